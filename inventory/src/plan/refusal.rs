//! Every reason why a plan is not made, with what the operator needs to go on. All reasons of all hosts are
//! gathered before anybody is told, so that one round of repairs is enough.

use dkc_core::ids::{ClusterName, HostAddress, MemberNo, NodeAddress, NodeUuid};

use super::standing::failures;
use crate::edit::plural;
use crate::generation::Generation;
use crate::model::NodeName;
use crate::names::suggestion;
use crate::observed::Silence;
use crate::problem::{Problem, ProblemKind};
use crate::render::SOCKET_PATH_MAX_BYTES;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{what} {name} is not registered")]
    UnknownName { what: &'static str, name: String, known: Vec<String> },
    #[error("{host} was not asked")]
    NotAsked { host: HostAddress },
    #[error("{host}: {message}")]
    Silent { host: HostAddress, kind: Silence, message: String },
    #[error("{host}: {root} holds files that are not dkc's")]
    ForeignRoot { host: HostAddress, root: String },
    #[error("{host}: {user} may not write to {root}")]
    RootNotWritable { host: HostAddress, root: String, user: String },
    #[error("{host} is {is}, but this program is for {wanted}")]
    Architecture { host: HostAddress, is: String, wanted: String },
    #[error("{host}: {root} has {} free, {} are needed", mebibytes(*free_bytes), mebibytes(*needed_bytes))]
    DiskSpace { host: HostAddress, root: String, free_bytes: u64, needed_bytes: u64 },
    #[error("{host}: its clock is {} {}", seconds(*offset_ms), if *offset_ms > 0 { "ahead" } else { "behind" })]
    Clock { host: HostAddress, offset_ms: i64 },
    #[error("{host}: {dir} is marked as the directory of another node ({marker})")]
    ForeignNode { host: HostAddress, dir: String, marker: NodeUuid },
    #[error("{host}: {dir} holds files, but no marker of dkc")]
    UnmarkedNode { host: HostAddress, dir: String },
    #[error("{host}: the data in {dir} is that of another node ({identity})")]
    ForeignData { host: HostAddress, dir: String, identity: NodeUuid },
    #[error("{host}: {} has lost its data", node.spoken())]
    LostData { host: HostAddress, node: NodeName },
    #[error("{host}: the control socket's path {path} is longer than {SOCKET_PATH_MAX_BYTES} bytes")]
    SocketPath { host: HostAddress, path: String },
    #[error("{host}: port {port} is taken by another program (it listens on {by})")]
    PortTaken { host: HostAddress, node: NodeName, port: u16, by: String },
    #[error("{host}: {} is not installed", node.spoken())]
    NotInstalled { host: HostAddress, node: NodeName },
    #[error("{host}: the configuration of {} is not what the inventory says", node.spoken())]
    Drift { host: HostAddress, node: NodeName },
    #[error("slave {} still uses {cluster}", ids.join(", "))]
    SlavesUse { cluster: ClusterName, ids: Vec<String> },
    #[error("slave {} of {cluster} is still installed", ids.join(", "))]
    SlavesLeft { cluster: ClusterName, ids: Vec<String> },
    #[error(
        "{cluster} would lose its quorum: {down} of {servers} servers would be down, it tolerates {tolerates}"
    )]
    Quorum { cluster: ClusterName, down: usize, servers: usize, tolerates: usize },
    #[error("{cluster} cannot be founded without all of its founders: {} is not among those to start", missing.join(", "))]
    FoundersMissing { cluster: ClusterName, missing: Vec<String> },
    #[error("the parameters of {cluster} are not valid: {message}")]
    Parameters { cluster: ClusterName, message: String },
    #[error("the authority of {cluster} is not on this machine, so no certificate can be issued")]
    AuthorityLost { cluster: ClusterName },
    #[error("slave {id} has no pair: it would listen nowhere")]
    NoPair { id: String },
    #[error("the ring of {cluster} cannot be spoken to: {why}")]
    RingSilent { cluster: ClusterName, why: String },
    #[error("{cluster} does not serve everything: {why}")]
    NotServing { cluster: ClusterName, why: String },
    #[error("{cluster} would lose its quorum: {} would have too few replicas that run", tablets(*count))]
    RingQuorum { cluster: ClusterName, count: usize },
    #[error("No.{} of {cluster} is down, so while data moves {cluster} would tolerate {}", down.join(", "), failures(*tolerates))]
    Degraded { cluster: ClusterName, down: Vec<String>, tolerates: usize },
    #[error("{cluster} would be left without a server")]
    LastServer { cluster: ClusterName },
    #[error("a merge runs in {cluster} already: {state}")]
    Merging { cluster: ClusterName, state: String },
    #[error("{address} is the address of No.{number} itself")]
    OwnAddress { address: NodeAddress, number: MemberNo },
    #[error("{why}")]
    Illegal { cluster: ClusterName, why: String },
    #[error("{holder} is doing '{what}' with {cluster}")]
    OperationRuns { cluster: ClusterName, holder: String, what: String },
    #[error("the inventory is at generation {now}, the plan was made at {planned}")]
    StaleGeneration { planned: Generation, now: Generation },
    #[error("the ring is at version {now}, the plan was made at {planned}")]
    StaleRing { planned: u64, now: u64 },
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes / (1024 * 1024))
}

fn tablets(count: usize) -> String {
    format!("{count} {}", plural(count, "tablet"))
}

fn seconds(offset_ms: i64) -> String {
    format!("{} s", offset_ms.unsigned_abs().div_ceil(1000))
}

impl Refusal {
    pub fn kind(&self) -> ProblemKind {
        use Refusal::*;
        match self {
            UnknownName { .. } => ProblemKind::UnknownName,
            NotAsked { .. } | Silent { .. } => ProblemKind::Unreachable,
            StaleGeneration { .. } | StaleRing { .. } | OperationRuns { .. } => ProblemKind::Stale,
            RingSilent { .. } => ProblemKind::Refused,
            _ => ProblemKind::Refused,
        }
    }

    pub fn code(&self) -> &'static str {
        use Refusal::*;
        match self {
            UnknownName { .. } => "DKC-E0305",
            NotAsked { .. } => "DKC-E0700",
            Silent { kind, .. } => match kind {
                Silence::Unreachable => "DKC-E0701",
                Silence::Timeout => "DKC-E0702",
                Silence::Login => "DKC-E0703",
                Silence::HostKeyUnknown => "DKC-E0704",
                Silence::HostKeyChanged => "DKC-E0705",
                Silence::Other => "DKC-E0706",
            },
            ForeignRoot { .. } => "DKC-E0420",
            RootNotWritable { .. } => "DKC-E0421",
            Architecture { .. } => "DKC-E0422",
            DiskSpace { .. } => "DKC-E0423",
            Clock { .. } => "DKC-E0424",
            ForeignNode { .. } => "DKC-E0425",
            UnmarkedNode { .. } => "DKC-E0426",
            ForeignData { .. } => "DKC-E0427",
            LostData { .. } => "DKC-E0428",
            SocketPath { .. } => "DKC-E0429",
            PortTaken { .. } => "DKC-E0430",
            NotInstalled { .. } => "DKC-E0431",
            Drift { .. } => "DKC-E0432",
            SlavesUse { .. } => "DKC-E0433",
            Quorum { .. } => "DKC-E0434",
            FoundersMissing { .. } => "DKC-E0435",
            Parameters { .. } => "DKC-E0436",
            NoPair { .. } => "DKC-E0437",
            AuthorityLost { .. } => "DKC-E0450",
            SlavesLeft { .. } => "DKC-E0438",
            RingSilent { .. } => "DKC-E0440",
            NotServing { .. } => "DKC-E0441",
            RingQuorum { .. } => "DKC-E0442",
            Degraded { .. } => "DKC-E0443",
            LastServer { .. } => "DKC-E0444",
            Merging { .. } => "DKC-E0445",
            OwnAddress { .. } => "DKC-E0446",
            Illegal { .. } => "DKC-E0447",
            OperationRuns { .. } => "DKC-E0603",
            StaleGeneration { .. } => "DKC-E0601",
            StaleRing { .. } => "DKC-E0602",
        }
    }

    pub fn advice(&self) -> Vec<String> {
        use Refusal::*;
        let one = |text: String| vec![text];
        match self {
            UnknownName { what, name, known } => match *what {
                "cluster" | "host" | "slave" => suggestion(name, known.iter().cloned(), what),
                _ => one(format!("known: {}", known.join(", "))),
            },
            NotAsked { host } => one(format!("check host {host}")),
            Silent { host, kind, .. } => silent_advice(host, *kind),
            ForeignRoot { host, .. } => one(format!("modify host --data-dir /another/directory {host}")),
            RootNotWritable { host, root, user } => vec![
                format!("on {host}: mkdir -p {root} && chown {user} {root}"),
                format!("or: modify host --data-dir DIR {host}"),
            ],
            Architecture { is, .. } => one(format!("deploy from a program built for {is}")),
            DiskSpace { host, root, .. } => one(format!("free space below {root} on {host}, then retype")),
            Clock { host, .. } => {
                one(format!("set the clock of {host} (chrony or systemd-timesyncd), then retype"))
            }
            ForeignNode { host, dir, .. } | UnmarkedNode { host, dir } => {
                one(format!("look at {dir} on {host}; move it away when nobody needs it, then retype"))
            }
            ForeignData { host, dir, .. } => {
                one(format!("look at {dir}/data on {host}: it must not be overwritten"))
            }
            LostData { host, node } => match node {
                NodeName::Server(..) => {
                    one(format!("put the data back (was a disk not mounted on {host}?), then retype"))
                }
                NodeName::Slave(..) => one("deploy".into()),
            },
            SocketPath { host, .. } => one(format!("modify host --data-dir /a/shorter/path {host}")),
            PortTaken { host, port, .. } => vec![
                format!("on {host}: ss -ltnp 'sport = :{port}' tells which program"),
                "stop it, or register another port".into(),
            ],
            NotInstalled { .. } | Drift { .. } => one("deploy".into()),
            SlavesUse { ids, .. } => ids.iter().map(|id| format!("stop slave --id {id}")).collect(),
            SlavesLeft { ids, .. } => {
                let each = ids.iter().map(|id| format!("destroy slave --id {id}"));
                each.chain(["or add --with-slaves".into()]).collect()
            }
            Quorum { cluster, .. } => vec![
                format!("start cluster -n {cluster}   (bring the others back first)"),
                format!("stop cluster -n {cluster}   (stops the whole cluster)"),
                "or add --allow-no-quorum".into(),
            ],
            FoundersMissing { cluster, .. } => one(format!("start cluster -n {cluster}")),
            Parameters { cluster, .. } => one(format!("modify cluster -n {cluster} …")),
            AuthorityLost { cluster } => one(format!(
                "put authority/{cluster}/ca.pem and ca.key back beside the inventory, then retype"
            )),
            NoPair { id } => one(format!("register pair --id {id} --listen 127.0.0.1:11211")),
            RingSilent { cluster, .. } => {
                vec![format!("start cluster -n {cluster}   (members change only while it runs), then retype")]
            }
            NotServing { cluster, .. } => {
                vec![format!("status cluster -n {cluster}"), format!("start cluster -n {cluster}")]
            }
            RingQuorum { cluster, .. } => {
                vec![format!("start cluster -n {cluster}   (bring the others back first)")]
            }
            Degraded { cluster, down, .. } => vec![
                format!("start cluster -n {cluster} --no {}", down.join(" --no ")),
                format!("or: replace -n {cluster} --no {} --address HOST:PORT", down[0]),
                "or add --allow-no-tolerance".into(),
            ],
            LastServer { cluster } => vec![format!("destroy cluster -n {cluster}   (removes all of it)")],
            Merging { cluster, .. } => vec![
                format!("status cluster -n {cluster} --watch   (wait for its end)"),
                format!("or: ring abortmerge -n {cluster}"),
            ],
            OwnAddress { .. } => one("give another host or port: a member that left can never return".into()),
            Illegal { cluster, .. } => {
                one(format!("status cluster -n {cluster}   (shows each member's state)"))
            }
            OperationRuns { cluster, .. } => vec![
                "wait for it".into(),
                format!("or, when it was yours: resume, or ring abortmerge -n {cluster}"),
                format!("or, when nobody goes on with it: ring abortmerge -n {cluster} --take-over"),
            ],
            StaleGeneration { .. } | StaleRing { .. } => {
                one("retype the command: it makes a new plan".into())
            }
        }
    }

    /// Why it is a reason, where the sentence itself does not say it.
    fn reason(&self) -> Option<&'static str> {
        use Refusal::*;
        match self {
            ForeignRoot { .. } => Some("dkc writes and removes only what carries its own marker"),
            AuthorityLost { .. } => {
                Some("the cluster was founded with it: no node would trust what another one signs")
            }
            Clock { .. } => Some("certificates and expiry times would go wrong"),
            LostData { .. } => Some("it took part in votes: empty, it could undo what was acknowledged"),
            ForeignData { .. } | ForeignNode { .. } => Some("a data directory belongs to one node for ever"),
            Drift { .. } => Some("a ring is founded once, with what stands in this file"),
            _ => None,
        }
    }
}

fn silent_advice(host: &HostAddress, kind: Silence) -> Vec<String> {
    match kind {
        Silence::Unreachable | Silence::Timeout => vec![format!("check host {host}")],
        Silence::Login => vec![format!("modify host --user USER {host}, or put your key there: ssh-copy-id")],
        Silence::HostKeyUnknown => {
            vec![format!("modify host --host-key SHA256:… {host}"), format!("or: trust update {host}")]
        }
        Silence::HostKeyChanged => {
            vec![format!("find out why it changed; when it is right: trust update {host}")]
        }
        Silence::Other => vec![format!("check host {host}")],
    }
}

/// At least one reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .reasons.iter().map(|r| r.to_string()).collect::<Vec<_>>().join("; "))]
pub struct Refused {
    pub reasons: Vec<Refusal>,
    /// Commands that would do a part of what was asked for.
    pub instead: Vec<String>,
}

impl From<Refusal> for Refused {
    fn from(reason: Refusal) -> Self {
        Refused { reasons: vec![reason], instead: Vec::new() }
    }
}

impl Refused {
    pub(super) fn unless_empty(reasons: Vec<Refusal>) -> Result<(), Refused> {
        match reasons.is_empty() {
            true => Ok(()),
            false => Err(Refused::of(reasons, Vec::new())),
        }
    }

    /// A host that is silent is one reason, however many nodes are on it.
    pub(super) fn of(reasons: Vec<Refusal>, instead: Vec<String>) -> Refused {
        let mut once: Vec<Refusal> = Vec::new();
        for reason in reasons {
            if !once.contains(&reason) {
                once.push(reason);
            }
        }
        Refused { reasons: once, instead }
    }

    /// That of the first reason that is not about a host's silence: a rule that says no is the better news.
    fn leading(&self) -> &Refusal {
        let loud = self.reasons.iter().find(|r| r.kind() != ProblemKind::Unreachable);
        loud.unwrap_or(&self.reasons[0])
    }

    pub fn kind(&self) -> ProblemKind {
        self.leading().kind()
    }

    /// All reasons as one problem; `command` is the verb and its target.
    pub fn problem(&self, command: &str) -> Problem {
        let what = match self.reasons.as_slice() {
            [one] => format!("{command}: {one}"),
            several => format!("{command}: {} reasons against it", several.len()),
        };
        let mut cause: Vec<String> = match self.reasons.as_slice() {
            [_] => Vec::new(),
            several => several.iter().map(|r| r.to_string()).collect(),
        };
        let mut advice: Vec<String> = Vec::new();
        for reason in &self.reasons {
            cause.extend(reason.reason().map(String::from));
            advice.extend(reason.advice());
        }
        advice.extend(self.instead.iter().cloned());
        Problem {
            code: self.leading().code(),
            kind: self.kind(),
            what,
            cause: once(cause),
            advice: once(advice),
        }
    }
}

/// Each line once, in the order of first appearance: identical troubles of many hosts are said once.
fn once(lines: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    lines.into_iter().filter(|line| seen.insert(line.clone())).collect()
}
