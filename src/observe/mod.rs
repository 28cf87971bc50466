//! Queries hosts and daemons and fills [`Observed`]. Read-only: it leaves nothing on hosts. Hosts are queried concurrently;
//! one that does not answer costs its timeout once and is reported as silent, not as an error.

mod facts;
mod lost;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dkc_core::control::{ControlReply, ControlRequest, RoleStatus};
use dkc_core::ids::HostAddress;
use dkc_core::versions::ProgramVersions;
use dkc_inventory::model::{Host as HostEntry, Inventory, NodeName, node_dir};
use dkc_inventory::observed::{HostFacts, HostView, NodeView, Observed, Silence};
use futures::StreamExt;

use lost::Lost;

use crate::world::{Host, Input, Script, World, WorldError};

/// Hosts queried concurrently: enough for a large cluster, few enough for one machine's ssh processes.
pub const WIDTH: usize = 16;
/// The probe reads some files; unreachable ports take 3 s of it.
const PROBE_LIMIT: Duration = Duration::from_secs(20);
const CLOCK_LIMIT: Duration = Duration::from_secs(5);

const PROBE: &str =
    concat!(include_str!("../world/alive.sh"), include_str!("root.sh"), include_str!("probe.sh"));
/// $1 root. A digest, and what the program says in a line of JSON.
const PROGRAMS: &str = r#"for program in "$1"/bin/*/dkc; do
  [ -x "$program" ] || continue
  digest=${program%/dkc}
  printf '%s\t%s\n' "${digest##*/}" "$("$program" daemon version --json 2>/dev/null </dev/null | head -n 1)"
done
true"#;
/// Nanoseconds since 1970; where `date` has no %N, seconds and a warning's worth of precision.
const CLOCK: &str = r#"n=$(date +%s%N); case $n in *N) echo "$(date +%s)500000000";; *) echo "$n";; esac"#;

/// What to observe.
pub struct Scope {
    pub hosts: BTreeSet<HostAddress>,
    /// Also test which members each host can reach.
    pub wants_reaches: bool,
    /// Do not use this machine's systemd (playground).
    pub is_supervised: bool,
    /// Also detect the service manager for nodes to be installed, which may try sudo: once for each connection to a host.
    pub wants_manager: bool,
    /// Also ask the programs on each host what they speak and read.
    pub wants_programs: bool,
    /// Timeout of a daemon's reply.
    pub limit: Duration,
    /// Longest wait for hosts whose servers are DOWN in the ring. `None`: the same as for all hosts.
    pub down_limit: Option<Duration>,
    /// Notified of each host's reply.
    pub on_view: Option<OnView>,
}

/// Receives each host's reply as it arrives.
pub type OnView = Arc<dyn Fn(&HostAddress, &HostView) + Send + Sync>;

impl Scope {
    pub fn of(hosts: impl IntoIterator<Item = HostAddress>, limit: Duration) -> Self {
        Scope {
            hosts: hosts.into_iter().collect(),
            wants_reaches: false,
            is_supervised: false,
            wants_manager: false,
            wants_programs: false,
            limit,
            down_limit: None,
            on_view: None,
        }
    }
}

/// Observes every host of the scope. The result has exactly those hosts.
pub async fn observe(world: &World, inventory: &Inventory, scope: &Scope) -> Observed {
    let known: Vec<_> = scope.hosts.iter().filter_map(|a| Some((a, inventory.hosts.get(a)?))).collect();
    world.expect(known.iter().copied());
    world.meet(known.into_iter()).await;
    let reaches = if scope.wants_reaches { ports_to_reach(inventory) } else { BTreeMap::new() };
    let reaches = Arc::new(reaches);
    let lost = &scope.down_limit.map(Lost::new);
    let questions = scope.hosts.iter().map(|address| {
        let reaches = reaches.clone();
        async move {
            let asking = ask_host(world, inventory, scope, address, &reaches);
            let view = match lost {
                None => asking.await,
                Some(lost) => {
                    let entry =
                        inventory.host(address).map_or_else(HostEntry::with_defaults, Cow::into_owned);
                    tokio::select! {
                        biased;
                        view = asking => view,
                        view = lost.given_up(world, address, &entry) => view,
                    }
                }
            };
            if let (Some(lost), HostView::Facts(facts)) = (lost, &view) {
                lost.learn(facts);
            }
            if let Some(on_view) = &scope.on_view {
                on_view(address, &view);
            }
            (address.clone(), view)
        }
    });
    let hosts = futures::stream::iter(questions).buffer_unordered(WIDTH).collect::<Vec<_>>().await;
    Observed { hosts: hosts.into_iter().collect() }
}

/// For each host, the members of its clusters on other hosts.
fn ports_to_reach(inventory: &Inventory) -> BTreeMap<HostAddress, BTreeSet<String>> {
    let mut ports: BTreeMap<HostAddress, BTreeSet<String>> = BTreeMap::new();
    for node in inventory.node_names() {
        let (Some(host), Some(cluster)) = (inventory.host_of(&node), inventory.clusters.get(node.cluster()))
        else {
            continue;
        };
        let others = cluster.servers.iter().filter(|server| server.address.host != host);
        ports.entry(host.clone()).or_default().extend(others.map(|server| server.address.to_string()));
    }
    ports
}

async fn ask_host(
    world: &World,
    inventory: &Inventory,
    scope: &Scope,
    address: &HostAddress,
    reaches: &BTreeMap<HostAddress, BTreeSet<String>>,
) -> HostView {
    match facts_of(world, inventory, scope, address, reaches).await {
        Ok(facts) => HostView::Facts(Box::new(facts)),
        Err(error) => silence(error),
    }
}

/// Converts a host error: a kind for the exit status and a message for the operator.
pub fn silence(error: WorldError) -> HostView {
    match error {
        WorldError::Silent { kind, message, .. } => HostView::Silent { kind, message },
        WorldError::TooSlow { limit_s, .. } => {
            HostView::Silent { kind: Silence::Timeout, message: format!("no reply within {limit_s} s") }
        }
        other => HostView::Silent { kind: Silence::Other, message: other.to_string() },
    }
}

async fn facts_of(
    world: &World,
    inventory: &Inventory,
    scope: &Scope,
    address: &HostAddress,
    reaches: &BTreeMap<HostAddress, BTreeSet<String>>,
) -> Result<HostFacts, WorldError> {
    let silent =
        |message: String| WorldError::Silent { host: address.clone(), kind: Silence::Other, message };
    let entry = inventory.host(address).ok_or_else(|| silent("not in the inventory".into()))?;
    let host = world.host(address, &entry).await?;
    let mut nodes = inventory.nodes_on(address);
    let removed = inventory.clusters.keys().flat_map(|cluster| inventory.removed_of(cluster));
    nodes.extend(removed.filter(|node| inventory.host_of(node).as_ref() == Some(address)));
    let service = match (scope.is_supervised, scope.wants_manager) {
        (true, _) => "supervise",
        (false, true) => "any",
        (false, false) => "kept",
    };
    let count = nodes.len().to_string();
    let names: Vec<String> = nodes.iter().map(NodeName::to_string).collect();
    let nothing = BTreeSet::new();
    let reaches = reaches.get(address).unwrap_or(&nothing);
    let sudo = match (host.root_access().verdict(), scope.wants_manager && !scope.is_supervised) {
        (_, false) | (Some(false), _) => "no",
        (Some(true), _) => "yes",
        (None, _) => "try",
    };
    let mut arguments = vec![entry.data_dir.as_deref().unwrap_or("-"), service, sudo, count.as_str()];
    arguments.extend(names.iter().map(String::as_str));
    arguments.extend(reaches.iter().map(String::as_str));
    let script = Script {
        what: "the probe",
        text: PROBE,
        arguments: &arguments,
        input: Input::Nothing,
        limit: PROBE_LIMIT,
    };
    let output = host.must(script).await?;
    let text = output.text();
    if let Some(verdict) = text.lines().find_map(|line| line.strip_prefix("sudo\t")) {
        host.root_access().learn(verdict == "yes");
    }
    let mut facts = facts::parse(&text, &nodes).map_err(silent)?;
    facts.clock_offset_ms = clock_offset(&host).await?;
    ask_daemons(&host, &mut facts, scope.limit).await;
    if scope.wants_programs {
        facts.program_versions = ask_programs(&host, &facts.root).await?;
    }
    Ok(facts)
}

/// What the programs on a host say of themselves; nothing of those that say nothing.
async fn ask_programs(host: &Host, root: &str) -> Result<BTreeMap<String, ProgramVersions>, WorldError> {
    let script = Script {
        what: "the programs",
        text: PROGRAMS,
        arguments: &[root],
        input: Input::Nothing,
        limit: PROBE_LIMIT,
    };
    let text = host.must(script).await?.text();
    let told = |line: &str| {
        let (digest, json) = line.split_once('\t')?;
        Some((digest.to_owned(), serde_json::from_str(json).ok()?))
    };
    Ok(text.lines().filter_map(told).collect())
}

/// Opens a host of the inventory.
pub async fn open(world: &World, inventory: &Inventory, address: &HostAddress) -> Result<Host, WorldError> {
    let unknown = || WorldError::Silent {
        host: address.clone(),
        kind: Silence::Other,
        message: "not in the inventory".into(),
    };
    let entry = inventory.host(address).ok_or_else(unknown)?;
    world.host(address, &entry).await
}

/// The root directory of a host's nodes, for commands that need no other fact.
pub async fn root_of(
    world: &World,
    inventory: &Inventory,
    address: &HostAddress,
) -> Result<(Host, String), WorldError> {
    let host = open(world, inventory, address).await?;
    if let Some(root) = inventory.host(address).and_then(|entry| entry.data_dir.clone()) {
        return Ok((host, root));
    }
    let script = Script {
        what: "the probe",
        text: concat!(include_str!("root.sh"), "printf '%s' \"$root\"\n"),
        arguments: &["-"],
        input: Input::Nothing,
        limit: CLOCK_LIMIT,
    };
    let root = host.must(script).await?.text();
    Ok((host, root))
}

/// The host's clock minus ours, assuming that its reply took half of the round trip.
async fn clock_offset(host: &Host) -> Result<i64, WorldError> {
    let before = now_ns();
    let script =
        Script { what: "the clock", text: CLOCK, arguments: &[], input: Input::Nothing, limit: CLOCK_LIMIT };
    let theirs: i128 = host.must(script).await?.text().trim().parse().unwrap_or(before);
    let middle = before + (now_ns() - before) / 2;
    Ok(i64::try_from((theirs - middle) / 1_000_000).unwrap_or(i64::MAX))
}

fn now_ns() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i128)
}

/// Queries each running daemon concurrently: one that hangs must not delay the others.
async fn ask_daemons(host: &Host, facts: &mut HostFacts, limit: Duration) {
    let root = facts.root.clone();
    let running = facts.nodes.iter_mut().filter(|(_, view)| view.is_running());
    futures::future::join_all(running.map(|(name, view)| {
        let dir = node_dir(&root, name);
        async move { ask_daemon(host, &dir, view, limit).await }
    }))
    .await;
}

async fn ask_daemon(host: &Host, dir: &str, view: &mut NodeView, limit: Duration) {
    let Ok(mut control) = host.control(dir).await else { return };
    if let Ok(ControlReply::Status(status)) = control.ask(&ControlRequest::Status, limit).await {
        let is_server = matches!(status.role, RoleStatus::Server(_));
        view.status = Some(status);
        if is_server && let Ok(ControlReply::Meta(meta)) = control.ask(&ControlRequest::Meta, limit).await {
            view.meta = meta;
            // A server of the release before does not know this.
            if let Ok(ControlReply::Tokens(tokens)) = control.ask(&ControlRequest::Tokens, limit).await {
                view.tokens = Some(tokens);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::NoAsker;
    use dkc_inventory::observed::ServiceManager;

    #[tokio::test]
    async fn this_machine_answers_like_any_host() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root").display().to_string();
        let here: HostAddress = "127.0.0.1".parse().unwrap();
        let entry = HostEntry { local: true, data_dir: Some(root.clone()), ..HostEntry::with_defaults() };
        let inventory = Inventory { hosts: [(here.clone(), entry)].into(), ..Inventory::empty() };
        let scope = Scope { is_supervised: true, ..Scope::of([here.clone()], Duration::from_secs(5)) };
        let observed = observe(&World::new(Arc::new(NoAsker)), &inventory, &scope).await;
        let HostView::Facts(facts) = &observed.hosts[&here] else { panic!("{observed:?}") };
        assert_eq!(facts.root, root);
        assert!(facts.root_is_writable && !facts.root_has_marker && !facts.root_is_foreign);
        assert_eq!(facts.service, ServiceManager::Supervise);
        assert!(facts.clock_offset_ms.abs() < 5_000);
        assert!(!dir.path().join("root").exists());
    }
}
