//! One step on one host: each action is a fixed script or a request to a daemon. *Invariant:* actions are idempotent, and
//! nothing is written or removed without the right marker.

use std::path::Path;
use std::time::Duration;

use dkc_core::config::layout;
use dkc_core::control::{ControlReply, ControlRequest, NodeStatus, RoleStatus};
use dkc_core::ids::{HostAddress, NodeId};
use dkc_inventory::model::Inventory;
use dkc_inventory::observed::ServiceManager;
use dkc_inventory::plan::{HostAction, Plan, Step};
use dkc_inventory::ring_facts::leaderless;

use super::super::journal::JournalError;
use super::service;
use crate::authority::AuthorityError;
use crate::interrupt::Interrupt;
use crate::with_root;
use crate::world::files::{NewFile, Replaces, Upload};
use crate::world::program::Program;
use crate::world::{Host, Input, STEP_LIMIT, Script, WorldError};

/// A node replays its log before it answers; after a power cut of a full cluster this takes longest.
const READY_LIMIT: Duration = Duration::from_secs(120);
/// Founding waits until every tablet has a leader.
const FOUND_LIMIT: Duration = Duration::from_secs(60);
const PREPARE_LIMIT: Duration = Duration::from_secs(30);
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// For a node whose disk is full or failing; waiting rarely helps.
const TROUBLE_LIMIT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(150);
/// A starting node may look stopped this often before supervisor writes the pid; after that it has ended.
const STOPPED_SEEN_MAX: u32 = 8;

#[derive(Debug, thiserror::Error)]
pub enum StepError {
    #[error(transparent)]
    World(#[from] WorldError),
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    Journal(JournalError),
    #[error("the host is no longer in the inventory")]
    UnknownHost,
    #[error("the node is no longer in the inventory")]
    UnknownNode,
    #[error("{dir} on {host} does not belong to this node: {reason}")]
    NotOurs { host: HostAddress, dir: String, reason: String },
    #[error("the digest of {what} is {own}, the plan requires {wanted}; run the command again")]
    OtherProgram { what: String, own: String, wanted: String },
    #[error("{0}")]
    Refused(String),
    /// A node that did not start: its last log lines, and where the log is.
    #[error("{reason}")]
    NotReady { reason: String, log_tail: Vec<String>, log_place: String },
    /// The ring refused: its state and which command comes next.
    #[error("{0}")]
    Illegal(String),
    /// Another operation is changing the ring's members.
    #[error("{0}")]
    Held(String),
    #[error("interrupted")]
    Interrupted,
}

/// Exit status of a script that found a foreign file or marker.
const STATUS_NOT_OURS: i32 = 69;

/// $1 root. The marker is written first, so a half-made root is marked too.
const MAKE_ROOT: &str = with_root!(
    r#"set -eu
umask 022
if [ ! -e "$1/.dkc-root" ] && [ -n "$(ls -A "$1" 2>/dev/null | grep -v -x "lost+found")" ]; then
  echo "it contains files that are not dkc's" >&2; exit 69
fi
# Where the login user may not make it but root may, it is the login user's all the same.
mkdir -p "$1" 2>/dev/null || as_root install -d -m 755 -o "$(id -u)" -g "$(id -g)" "$1"
[ -e "$1/.dkc-root" ] || echo "managed by dkc" > "$1/.dkc-root"
mkdir -p "$1/bin" "$1/receipts"
sync"#
);

/// $1 user. Without a home and a shell; nobody can log in as this user.
const MAKE_USER: &str = with_root!(
    r#"set -eu
id -u "$1" >/dev/null 2>&1 ||
  PATH=$PATH:/usr/sbin:/sbin as_root useradd --system --user-group --no-create-home --home-dir /nonexistent \
    --shell /usr/sbin/nologin --comment "dkc, nodes of one cluster" "$1"
sync"#
);

/// $1 directory, $2 uuid, $3 operation, $4 the system user that it belongs to or `-`. Created under another name and renamed: the
/// directory appears with its marker or not at all, and belongs to its owner from the beginning. The login user's group may read
/// it and use its control socket, but has no access to keys and data. An empty marker is ours too: a power cut left it, and no
/// other program creates a file of that name.
const MAKE_NODE: &str = with_root!(
    r#"set -eu
umask 077
if [ -e "$1" ]; then
  marker=$(tr -d '\0' 2>/dev/null < "$1/.dkc-node" | head -n 1)
  if [ -f "$1/.dkc-node" ] && [ -z "$marker" ]; then
    echo "$2" > "$1/.dkc-node.part-$3"
    chmod 640 "$1/.dkc-node.part-$3"
    sync
    mv -f "$1/.dkc-node.part-$3" "$1/.dkc-node"
  elif [ "$marker" != "$2" ]; then echo "it has a different marker" >&2; exit 69; fi
  mkdir -p "$1/tls" "$1/run" "$1/log"
  sync
  exit 0
fi
part="$1.part-$3"
if [ "$4" = - ]; then rm -rf "$part"; else as_root rm -rf "$part"; fi
mkdir -p "$part/tls" "$part/run" "$part/log"
echo "$2" > "$part/.dkc-node"
if [ "$4" != - ]; then
  mkdir "$part/data"
  chmod 640 "$part/.dkc-node"
  as_root chown -R "$4:$(id -g)" "$part"
  # What is made in them later has the same group.
  as_root chmod 2750 "$part" "$part/tls" "$part/run" "$part/log" "$part/data"
fi
sync
mv "$part" "$1"
sync"#
);

/// $1 directory, $2 digest, $3 operation, $4 "remember" the program before, for a roll-back, or "forget" it.
const LINK: &str = r#"set -eu
target="../bin/$2/dkc"
[ -x "$1/$target" ] || { echo "$1/$target is missing" >&2; exit 1; }
before=$(readlink "$1/dkcd" 2>/dev/null) || before=
if [ "$4" = remember ] && [ -n "$before" ] && [ "$before" != "$target" ]; then
  rm -f "$1/dkcd.before.part-$3"
  ln -s "$before" "$1/dkcd.before.part-$3"
  mv -f "$1/dkcd.before.part-$3" "$1/dkcd.before"
fi
rm -f "$1/dkcd.part-$3"
ln -s "$target" "$1/dkcd.part-$3"
mv -f "$1/dkcd.part-$3" "$1/dkcd"
[ "$4" = remember ] || rm -f "$1/dkcd.before"
sync "$1" 2>/dev/null || sync"#;

/// $1 directory, $2 digest. The program is asked where it will run, beside the one that runs.
const CHECK_PROGRAM: &str = r#"exec "$1/../bin/$2/dkc" daemon check-directory --dir "$1""#;

/// $1 root, $2 how many stay that no node uses. A node whose directory may not be looked into could use any of them.
const PRUNE: &str = r#"set -eu
for node in "$1"/*/; do
  [ -r "$node" ] && [ -x "$node" ] || exit 0
done
used=" $(for link in "$1"/*/dkcd "$1"/*/dkcd.before; do
  to=$(readlink "$link" 2>/dev/null) || continue
  to=${to%/dkc}
  printf '%s ' "${to##*/}"
done)"
left=$2
ls -t "$1/bin" | while read -r program; do
  case $used in *" $program "*) continue;; esac
  left=$((left - 1))
  [ "$left" -ge 0 ] || rm -rf "$1/bin/$program"
done
sync"#;

const INITIALISE: &str = r#"exec "$1/dkcd" init --dir "$1" --uuid "$2""#;
const CHECK_CONFIGURATION: &str = r#"exec "$1/dkcd" check-config --dir "$1""#;

/// $1 directory, $2 uuid: removes only a directory with this node's marker.
const REMOVE_NODE: &str = with_root!(
    r#"set -eu
[ -e "$1" ] || exit 0
[ "$(head -n 1 "$1/.dkc-node" 2>/dev/null)" = "$2" ] || { echo "it has a different marker" >&2; exit 69; }
case $(ls -ld "$1" | awk '{print $3}') in dkc-*) as_remover=as_root;; *) as_remover=;; esac
$as_remover rm -rf "$1/data" "$1/run" "$1/log" "$1/tls"
# The marker goes last, also for a power cut: files left without it could never be removed.
sync
$as_remover rm -rf "$1"
sync"#
);

/// $1 directory, $2 uuid, $3 operation.
const MARK_REMOVED: &str = r#"set -eu
[ -e "$1" ] || exit 0
[ "$(head -n 1 "$1/.dkc-node" 2>/dev/null)" = "$2" ] || { echo "it has a different marker" >&2; exit 69; }
umask 022
echo "removed from its cluster by $3; it can never return, and this directory is no longer needed" > "$1/REMOVED"
sync"#;

/// $1 root. Refused while it contains nodes.
const REMOVE_ROOT: &str = r#"set -eu
[ -e "$1" ] || exit 0
[ -e "$1/.dkc-root" ] || { echo "it has no dkc marker" >&2; exit 69; }
for left in "$1"/*/.dkc-node; do
  [ ! -e "$left" ] || { echo "it still contains a node: ${left%/.dkc-node}" >&2; exit 69; }
done
rm -rf "$1/bin" "$1/receipts"
rm -f "$1/.dkc-root"
rmdir "$1" 2>/dev/null || true"#;

/// $1 root, $2 name, $3 text. Keeps the newest 300 receipts. If the disk is full the receipt is skipped; the step counts
/// as done all the same.
const RECEIPT: &str = r#"set -eu
[ -e "$1/.dkc-root" ] || exit 0
umask 022
[ -d "$1/receipts" ] || mkdir -p "$1/receipts" 2>/dev/null || exit 0
{ echo "$3" > "$1/receipts/$2" && { sync "$1/receipts/$2" "$1/receipts" || sync; }; } 2>/dev/null || true
ls -t "$1/receipts" | tail -n +301 | while read -r old; do rm -f "$1/receipts/$old"; done"#;

/// A step and its context.
pub struct HostStep<'a> {
    pub host: &'a Host,
    pub step: &'a Step,
    /// What the step does.
    pub action: &'a HostAction,
    pub plan: &'a Plan,
    pub inventory: &'a Inventory,
    pub authority_dir: &'a Path,
    pub interrupt: &'a Interrupt,
    pub on_words: &'a (dyn Fn(&str) + Send + Sync),
}

impl HostStep<'_> {
    pub async fn run(&self) -> Result<(), StepError> {
        let operation = self.plan.operation.as_str();
        match self.action {
            HostAction::MakeRoot { root } => self.in_root("make directory", MAKE_ROOT, &[root]).await,
            HostAction::UploadProgram { root, digest, from, .. } => {
                self.upload(root, digest, from.as_deref()).await
            }
            HostAction::PrunePrograms { root, keep } => {
                self.in_root("remove programs", PRUNE, &[root, &keep.to_string()]).await
            }
            HostAction::MakeUser { user, .. } => self.must("create user", MAKE_USER, &[user]).await,
            HostAction::MakeNode { dir, uuid, owner } => {
                let owner = owner.as_deref().unwrap_or("-");
                let arguments = [dir.as_str(), &uuid.to_string(), operation, owner];
                self.in_node("make directory", MAKE_NODE, &arguments).await
            }
            HostAction::WriteFile { path, text, mode, replaces, .. } => {
                let replaces = replaces.as_deref().map_or(Replaces::Nothing, Replaces::Digest);
                Ok(self.write(path, text, *mode, replaces).await?)
            }
            HostAction::MakeAuthority { cluster, instead_of, .. } => {
                self.make_authority(cluster, *instead_of)
            }
            HostAction::RotateAuthority { cluster, step, .. } => self.rotate_authority(cluster, *step),
            HostAction::TrustAuthorities { dir } => self.trust_authorities(dir).await,
            HostAction::ReloadCertificates { dir } => self.reload_certificates(dir).await,
            HostAction::IssueCertificate { dir, uuid, is_server, namespaces } => {
                self.issue(dir, *uuid, *is_server, namespaces).await
            }
            HostAction::BringCertificate { dir, staged } => self.bring(dir, Path::new(staged)).await,
            HostAction::LinkProgram { dir, digest } => {
                self.in_node("link program", LINK, &[dir, digest, operation, "remember"]).await
            }
            HostAction::ReturnProgram { dir, digest } => {
                self.in_node("link program", LINK, &[dir, digest, operation, "forget"]).await
            }
            HostAction::CheckProgram { dir, digest } => {
                self.in_node("check program", CHECK_PROGRAM, &[dir, digest]).await
            }
            HostAction::InitialiseData { dir, uuid } => {
                self.in_node("initialise data", INITIALISE, &[dir, &uuid.to_string()]).await
            }
            HostAction::CheckConfiguration { dir } => {
                self.in_node("check configuration", CHECK_CONFIGURATION, &[dir]).await
            }
            HostAction::ReloadNode { dir } => self.reload(dir).await,
            HostAction::InstallService { manager, unit, text, .. } => {
                Ok(service::install(self.host, *manager, unit, text, operation).await?)
            }
            HostAction::StartNode { dir, manager } => self.start(dir, *manager).await,
            HostAction::WaitReady { dir } => self.wait_until(dir, &not_ready).await,
            HostAction::FoundCluster { dir } => self.found(dir).await,
            HostAction::PrepareStop { dir } => self.prepare_stop(dir).await,
            HostAction::StopNode { dir, manager } => Ok(service::stop(self.host, *manager, dir).await?),
            HostAction::RemoveNode { dir, uuid, manager } => {
                service::remove(self.host, *manager, dir).await?;
                self.in_root("remove directory", REMOVE_NODE, &[dir, &uuid.to_string()]).await
            }
            HostAction::RemoveRoot { root } => self.in_root("remove directory", REMOVE_ROOT, &[root]).await,
            HostAction::WaitJoined { dir, node_id } => {
                self.wait_until(dir, &|status| not_joined(status, *node_id)).await
            }
            HostAction::MarkRemoved { dir, uuid } => {
                let arguments = [dir.as_str(), &uuid.to_string(), operation];
                self.in_node("mark directory", MARK_REMOVED, &arguments).await
            }
        }
    }

    /// Leaves a receipt for this step on the host.
    pub async fn leave_receipt(&self) -> Result<(), StepError> {
        if matches!(self.action, HostAction::RemoveRoot { .. }) {
            return Ok(());
        }
        let name = format!("{}-{}", self.plan.operation, self.step.number);
        let text = format!("{} {}", self.plan.digest(), self.step.action.words());
        self.must("leave receipt", RECEIPT, &[self.action.root(), &name, &text]).await
    }

    async fn must(&self, what: &'static str, text: &str, arguments: &[&str]) -> Result<(), StepError> {
        let script = Script { what, text, arguments, input: Input::Nothing, limit: STEP_LIMIT };
        self.host.must(script).await?;
        Ok(())
    }

    /// Runs a script about a node's directory, its first argument, as the directory's owner. It refuses to touch foreign files.
    async fn in_node(&self, what: &'static str, text: &str, arguments: &[&str]) -> Result<(), StepError> {
        self.as_owner_of(arguments[0], what, text, arguments).await
    }

    /// The same for a host's root directory, and for what lies in it.
    async fn in_root(&self, what: &'static str, text: &str, arguments: &[&str]) -> Result<(), StepError> {
        self.as_owner_of(self.action.root(), what, text, arguments).await
    }

    async fn as_owner_of(
        &self,
        owned: &str,
        what: &'static str,
        text: &str,
        arguments: &[&str],
    ) -> Result<(), StepError> {
        let script = Script { what, text, arguments, input: Input::Nothing, limit: STEP_LIMIT };
        let output = self.host.run_as_owner(owned, script).await?;
        let (host, dir) = (self.step.host.clone(), arguments[0].to_owned());
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        match output.status {
            0 => Ok(()),
            STATUS_NOT_OURS => Err(StepError::NotOurs { host, dir, reason }),
            status => Err(self.host.failed(what, status, &output.stderr).into()),
        }
    }

    async fn upload(&self, root: &str, digest: &str, from: Option<&str>) -> Result<(), StepError> {
        let read;
        let program = match from {
            None => Program::own()?,
            Some(file) => {
                read = Program::in_file(Path::new(file), digest)?;
                &*read
            }
        };
        if program.short_digest() != digest {
            let what = from.map_or_else(|| "this program".to_owned(), str::to_owned);
            let own = program.short_digest().to_owned();
            return Err(StepError::OtherProgram { what, own, wanted: digest.to_owned() });
        }
        let on_bytes =
            |sent, all| (self.on_words)(&format!("upload dkcd: {} %", sent * 100 / usize::max(all, 1)));
        let dir = format!("{root}/{}/{digest}", layout::BIN_DIR);
        let upload = Upload { program, dir: &dir, name: layout::PROGRAM, operation: &self.plan.operation };
        self.host.upload_program(upload, &on_bytes).await?;
        Ok(())
    }

    pub(super) async fn write(
        &self,
        path: &str,
        text: &str,
        mode: u32,
        replaces: Replaces<'_>,
    ) -> Result<(), WorldError> {
        let operation = self.plan.operation.as_str();
        let dir = self.action.node_dir().unwrap_or_else(|| self.action.root());
        self.host.write_file(NewFile { dir, path, bytes: text.as_bytes(), mode, operation, replaces }).await
    }

    async fn start(&self, dir: &str, manager: ServiceManager) -> Result<(), StepError> {
        match service::start(self.host, manager, dir).await {
            Ok(()) => Ok(()),
            Err(WorldError::Failed { status, stderr, .. }) => {
                let (log_tail, log_place) = service::log(self.host, manager, dir, service::LAST_LINES).await;
                let said = stderr.lines().last().unwrap_or_default().trim();
                let reason = format!("failed to start (status {status}) {said}").trim_end().to_owned();
                Err(StepError::NotReady { reason, log_tail, log_place })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Polls until the daemon is ready; stops early if the process has ended.
    async fn wait_until(
        &self,
        dir: &str,
        lacks: &(dyn Fn(&NodeStatus) -> Option<String> + Send + Sync),
    ) -> Result<(), StepError> {
        let deadline = tokio::time::Instant::now() + READY_LIMIT;
        let mut stopped_seen = 0;
        let mut trouble_since = None;
        let mut waits_for = "no answer on its control socket".to_owned();
        while tokio::time::Instant::now() < deadline {
            match self.status(dir).await {
                Some(status) => {
                    match lacks(&status) {
                        None => return Ok(()),
                        Some(reason) => waits_for = reason,
                    }
                    let now = tokio::time::Instant::now();
                    trouble_since = has_trouble(&status).then(|| trouble_since.unwrap_or(now));
                    if trouble_since.is_some_and(|since| now - since >= TROUBLE_LIMIT) {
                        break;
                    }
                }
                None => match service::state(self.host, dir).await? {
                    service::NodeState::Stopped(reason) => {
                        stopped_seen += 1;
                        waits_for = reason;
                        if stopped_seen >= STOPPED_SEEN_MAX {
                            break;
                        }
                    }
                    service::NodeState::Running => stopped_seen = 0,
                },
            }
            (self.on_words)(&format!("waiting for {}: {waits_for}", last(dir)));
            if self.interrupt.count() > 1 {
                return Err(StepError::Interrupted);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        let (log_tail, log_place) = service::log_anywhere(self.host, dir, service::LAST_LINES).await;
        let reason = format!("{} did not become ready: {waits_for}", last(dir));
        Err(StepError::NotReady { reason, log_tail, log_place })
    }

    pub(super) async fn status(&self, dir: &str) -> Option<Box<NodeStatus>> {
        let mut control = self.host.control(dir).await.ok()?;
        match control.ask(&ControlRequest::Status, ANSWER_LIMIT).await.ok()? {
            ControlReply::Status(status) => Some(status),
            _ => None,
        }
    }

    async fn found(&self, dir: &str) -> Result<(), StepError> {
        let mut control = self.host.control(dir).await?;
        accepted(control.ask(&ControlRequest::Found, FOUND_LIMIT).await?)
    }

    /// A daemon that has exited meanwhile reads the file when it starts.
    async fn reload(&self, dir: &str) -> Result<(), StepError> {
        let Ok(mut control) = self.host.control(dir).await else { return Ok(()) };
        match control.ask(&ControlRequest::Reload, ANSWER_LIMIT).await {
            Ok(reply) => accepted(reply),
            Err(WorldError::NoDaemon { .. }) if self.status(dir).await.is_none() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A daemon that does not run has no leadership to transfer.
    async fn prepare_stop(&self, dir: &str) -> Result<(), StepError> {
        let Ok(mut control) = self.host.control(dir).await else { return Ok(()) };
        match control.ask(&ControlRequest::PrepareStop, PREPARE_LIMIT).await {
            Ok(reply) => accepted(reply),
            Err(WorldError::NoDaemon { .. }) if self.status(dir).await.is_none() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

pub(super) fn accepted(reply: ControlReply) -> Result<(), StepError> {
    match reply {
        ControlReply::Error { message, .. } => Err(StepError::Refused(message)),
        _ => Ok(()),
    }
}

fn has_trouble(status: &NodeStatus) -> bool {
    matches!(&status.role, RoleStatus::Server(server) if server.trouble.is_some())
}

/// Why a node that answers is not ready yet.
fn not_ready(status: &NodeStatus) -> Option<String> {
    match &status.role {
        RoleStatus::Server(server) => match &server.trouble {
            Some(trouble) => Some(trouble.clone()),
            None if !server.is_founded || server.tablets_without_leader.is_empty() => None,
            None => Some(leaderless(server.tablets_without_leader.len())),
        },
        RoleStatus::Slave(slave) if slave.listeners.is_empty() => Some("it is not listening yet".into()),
        RoleStatus::Slave(_) => None,
    }
}

/// Why a new server is not in the ring yet, by its own view.
fn not_joined(status: &NodeStatus, node_id: NodeId) -> Option<String> {
    let RoleStatus::Server(server) = &status.role else { return Some("it is not a server".into()) };
    let is_member = server.members.iter().any(|member| member.node.node_id == node_id);
    match (&server.trouble, is_member) {
        (Some(trouble), _) => Some(trouble.clone()),
        (None, true) => None,
        (None, false) => Some("it has not received the ring map yet".into()),
    }
}

fn last(dir: &str) -> &str {
    dir.rsplit('/').next().unwrap_or(dir)
}
