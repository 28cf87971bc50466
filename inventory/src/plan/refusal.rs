//! Every reason to refuse a plan, with advice. Reasons of all hosts are collected and reported together, so one round of
//! repairs is enough.

use dkc_core::ids::{ClusterName, HostAddress, MemberNo, NodeAddress, NodeUuid};

use super::standing::failures;
use crate::edit::plural;
use crate::generation::Generation;
use crate::model::NodeName;
use crate::names::suggestion;
use crate::observed::{NodeView, Silence};
use crate::problem::{Problem, ProblemKind};
use crate::render::SOCKET_PATH_MAX_BYTES;

/// A reason not to make a plan, or not to carry it out. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// DKC-E0305
    #[error("{what} {name} is not registered")]
    UnknownName {
        /// The noun, as in `cluster`.
        what: &'static str,
        /// As it was typed.
        name: String,
        /// All names of that noun, for a suggestion.
        known: Vec<String>,
    },
    /// DKC-E0700
    #[error("{host} was not queried")]
    NotAsked {
        /// Registered, but not among the observed.
        host: HostAddress,
    },
    /// DKC-E0701 to DKC-E0706, by the kind
    #[error("{host}: {message}")]
    Silent {
        /// The host without an answer.
        host: HostAddress,
        /// Decides code and advice.
        kind: Silence,
        /// What ssh or the host said.
        message: String,
    },
    /// DKC-E0420
    #[error("{host}: {root} contains files that are not dkc's")]
    ForeignRoot {
        /// The host concerned.
        host: HostAddress,
        /// The nodes' root directory.
        root: String,
    },
    /// DKC-E0421
    #[error("{host}: {user} cannot write to {root}")]
    RootNotWritable {
        /// The host concerned.
        host: HostAddress,
        /// The nodes' root directory.
        root: String,
        /// The login user.
        user: String,
    },
    /// DKC-E0448
    #[error("{host}: {dir} is not safe: {why}")]
    Exposed {
        /// The host concerned.
        host: HostAddress,
        /// The directory that others may write to.
        dir: String,
        /// Its owner or mode.
        why: String,
        /// The login user.
        user: String,
    },
    /// DKC-E0422
    #[error("{host} is {is}, but this program was built for {wanted}")]
    Architecture {
        /// The host concerned.
        host: HostAddress,
        /// `uname -m` of the host.
        is: String,
        /// `uname -m` of the program.
        wanted: String,
    },
    /// DKC-E0423
    #[error("{host}: {root} has {} free, but needs {}", mebibytes(*free_bytes), mebibytes(*needed_bytes))]
    DiskSpace {
        /// The host concerned.
        host: HostAddress,
        /// On whose file system.
        root: String,
        /// For the login user.
        free_bytes: u64,
        /// Of all nodes that would be installed.
        needed_bytes: u64,
    },
    /// DKC-E0424: more than `CLOCK_OFFSET_MAX_MS`
    #[error("{host}: clock is {} {}", seconds(*offset_ms), if *offset_ms > 0 { "ahead" } else { "behind" })]
    Clock {
        /// The host concerned.
        host: HostAddress,
        /// The host's clock minus this machine's.
        offset_ms: i64,
    },
    /// DKC-E0449
    #[error("{host}: the login user may not look into {dir}, which belongs to {owner}")]
    ClosedNode {
        /// The host concerned.
        host: HostAddress,
        /// The node's directory.
        dir: String,
        /// Its owner.
        owner: String,
    },
    /// DKC-E0425
    #[error("{host}: {dir} belongs to another node ({marker})")]
    ForeignNode {
        /// The host concerned.
        host: HostAddress,
        /// The node's directory.
        dir: String,
        /// The UUID in its marker.
        marker: NodeUuid,
    },
    /// DKC-E0426
    #[error("{host}: {dir} contains files but no dkc marker")]
    UnmarkedNode {
        /// The host concerned.
        host: HostAddress,
        /// The node's directory.
        dir: String,
    },
    /// DKC-E0427
    #[error("{host}: the data in {dir} belongs to another node ({identity})")]
    ForeignData {
        /// The host concerned.
        host: HostAddress,
        /// The node's directory.
        dir: String,
        /// The UUID in `data/identity`.
        identity: NodeUuid,
    },
    /// DKC-E0428: a node that had data has an empty directory.
    #[error("{host}: {} has lost its data", node.spoken())]
    LostData {
        /// The host concerned.
        host: HostAddress,
        /// The node concerned.
        node: NodeName,
    },
    /// DKC-E0470: a server whose directory is an older copy of itself.
    #[error("{host}: {words}")]
    PutBack {
        /// The host concerned.
        host: HostAddress,
        /// The cluster concerned.
        cluster: ClusterName,
        /// The server concerned.
        number: MemberNo,
        /// Its daemon's own.
        words: String,
    },
    /// DKC-E0429: Linux limits the path of a Unix socket.
    #[error("{host}: control socket path {path} exceeds {SOCKET_PATH_MAX_BYTES} bytes")]
    SocketPath {
        /// The host concerned.
        host: HostAddress,
        /// Root, node and socket.
        path: String,
    },
    /// DKC-E0430
    #[error("{host}: port {port} is in use by another program (listening on {by})")]
    PortTaken {
        /// The host concerned.
        host: HostAddress,
        /// The node that needs the port.
        node: NodeName,
        /// The node port, or that of a pair.
        port: u16,
        /// `ADDRESS:PORT` of the listener.
        by: String,
    },
    /// DKC-E0431
    #[error("{host}: {} is not installed", node.spoken())]
    NotInstalled {
        /// The host concerned.
        host: HostAddress,
        /// The node concerned.
        node: NodeName,
    },
    /// DKC-E0432: a founder would start with other parameters than the inventory's.
    #[error("{host}: the configuration of {} differs from the inventory", node.spoken())]
    Drift {
        /// The host concerned.
        host: HostAddress,
        /// The node concerned.
        node: NodeName,
    },
    /// DKC-E0433: the cluster would stop serving running slaves.
    #[error("slave {} still uses {cluster}", ids.join(", "))]
    SlavesUse {
        /// The cluster concerned.
        cluster: ClusterName,
        /// The slaves.
        ids: Vec<String>,
    },
    /// DKC-E0438: `destroy cluster` without `--with-slaves`.
    #[error("slave {} of {cluster} is still installed", ids.join(", "))]
    SlavesLeft {
        /// The cluster concerned.
        cluster: ClusterName,
        /// The slaves.
        ids: Vec<String>,
    },
    /// DKC-E0434: too many servers down at once, by the inventory.
    #[error("{cluster} would lose its quorum: {down} of {servers} servers down, it tolerates {tolerates}")]
    Quorum {
        /// The cluster concerned.
        cluster: ClusterName,
        /// Down after the plan.
        down: usize,
        /// Members.
        servers: usize,
        /// Failures that keep a quorum.
        tolerates: usize,
    },
    /// DKC-E0435: founding needs all founders at once.
    #[error("founding {cluster} requires all its founders; not included: {}", missing.join(", "))]
    FoundersMissing {
        /// The cluster concerned.
        cluster: ClusterName,
        /// Their numbers.
        missing: Vec<String>,
    },
    /// DKC-E0436
    #[error("invalid parameters of {cluster}: {message}")]
    Parameters {
        /// The cluster concerned.
        cluster: ClusterName,
        /// The parameter and the rule.
        message: String,
    },
    /// DKC-E0460: while servers restart one by one, some go by the old timeouts and some by the new ones.
    #[error("{cluster} cannot restart one server at a time with these timeouts: {why}")]
    Timeouts {
        /// The cluster concerned.
        cluster: ClusterName,
        /// The two values and the rule.
        why: String,
        /// The new ones are in the servers' files already.
        is_written: bool,
    },
    /// DKC-E0490
    #[error("{host} does not keep the program {digest}")]
    ProgramNotKept {
        /// The host concerned.
        host: HostAddress,
        /// What was asked for.
        digest: String,
        /// What it keeps.
        known: Vec<String>,
    },
    /// DKC-E0491
    #[error("the program {digest} does not say what it speaks and reads")]
    ProgramSilent {
        /// The cluster concerned.
        cluster: ClusterName,
        /// A release before there was `upgrade`.
        digest: String,
    },
    /// DKC-E0492
    #[error("{host}: the program cannot open {}: {why}", node.spoken())]
    DiskFormat {
        /// The host concerned.
        host: HostAddress,
        /// The node concerned.
        node: NodeName,
        /// Both versions.
        why: String,
    },
    /// DKC-E0493
    #[error("the programs of {cluster} could not speak with each other: {why}")]
    WireVersions {
        /// The cluster concerned.
        cluster: ClusterName,
        /// Both versions.
        why: String,
    },
    /// DKC-E0494
    #[error("no node of {cluster} had another program before")]
    NoProgramBefore {
        /// The cluster concerned.
        cluster: ClusterName,
    },
    /// DKC-E0495: each program was another one's successor.
    #[error("it is not clear which program {cluster} had before: one of {}", programs.join(", "))]
    ProgramBeforeUnclear {
        /// The cluster concerned.
        cluster: ClusterName,
        /// What nodes had before.
        programs: Vec<String>,
    },
    /// DKC-E0450
    #[error("cannot issue certificates: the certificate authority of {cluster} is not on this machine")]
    AuthorityLost {
        /// The cluster concerned.
        cluster: ClusterName,
    },
    /// DKC-E0437
    #[error("slave {id} has no pair to listen on")]
    NoPair {
        /// The slave.
        id: String,
    },
    /// DKC-E0440: members change only in a cluster that answers.
    #[error("the ring of {cluster} is unreachable: {why}")]
    RingSilent {
        /// The cluster concerned.
        cluster: ClusterName,
        /// What was tried.
        why: String,
    },
    /// DKC-E0441: a group has no leader, or a member has not joined.
    #[error("{cluster} does not serve all data: {why}")]
    NotServing {
        /// The cluster concerned.
        cluster: ClusterName,
        /// Which.
        why: String,
    },
    /// DKC-E0451: a restore would mix its records with others.
    #[error("{cluster} is not empty: it has {records} records")]
    NotEmpty {
        /// The cluster concerned.
        cluster: ClusterName,
        /// As its servers count them.
        records: u64,
    },
    /// DKC-E0471
    #[error("{cluster} is not to be recovered: {why}")]
    NotRecoverable {
        /// The cluster concerned.
        cluster: ClusterName,
        /// What else it is.
        why: String,
        /// The right way.
        next: String,
    },
    /// DKC-E0442: too many replicas down at once, by the ring map.
    #[error("{cluster} would lose its quorum: {} would have too few running replicas", tablets(*count))]
    RingQuorum {
        /// The cluster concerned.
        cluster: ClusterName,
        /// Tablets concerned.
        count: usize,
    },
    /// DKC-E0443: a failure during the move could stop the cluster.
    #[error("No.{} of {cluster} is down; {cluster} would tolerate {} while data moves", down.join(", "), failures(*tolerates))]
    Degraded {
        /// The cluster concerned.
        cluster: ClusterName,
        /// Numbers of members that are down.
        down: Vec<String>,
        /// Further failures until the move is done.
        tolerates: usize,
    },
    /// DKC-E0444
    #[error("{cluster} would be left without a server")]
    LastServer {
        /// The cluster concerned.
        cluster: ClusterName,
    },
    /// DKC-E0445
    #[error("{cluster} is already merging: {state}")]
    Merging {
        /// The cluster concerned.
        cluster: ClusterName,
        /// Its moves and their states.
        state: String,
    },
    /// DKC-E0446: a replacement at the address of the server it replaces.
    #[error("{address} is the address of No.{number}, the server to replace")]
    OwnAddress {
        /// The address concerned.
        address: NodeAddress,
        /// The server to replace.
        number: MemberNo,
    },
    /// DKC-E0447: the ring would refuse the command in its present state.
    #[error("{why}")]
    Illegal {
        /// The cluster concerned.
        cluster: ClusterName,
        /// The ring's own words.
        why: String,
    },
    /// DKC-E0603: one membership operation at a time.
    #[error("{holder} is running '{what}' on {cluster}")]
    OperationRuns {
        /// The cluster concerned.
        cluster: ClusterName,
        /// Who holds the lock.
        holder: String,
        /// Their command.
        what: String,
    },
    /// DKC-E0601
    #[error("the inventory is at generation {now}, the plan was made at {planned}")]
    StaleGeneration {
        /// `Plan::base`
        planned: Generation,
        /// On disk.
        now: Generation,
    },
    /// DKC-E0602
    #[error("the ring is at version {now}, the plan was made at {planned}")]
    StaleRing {
        /// `Plan::ring_version`
        planned: u64,
        /// The newest that any server reports.
        now: u64,
    },
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
    /// Of a server that its daemon found to be an older copy of itself.
    pub(crate) fn put_back(host: &HostAddress, node: &NodeName, view: &NodeView) -> Option<Refusal> {
        let (NodeName::Server(cluster, number), Some(words)) = (node, view.put_back.clone()) else {
            return None;
        };
        Some(Refusal::PutBack { host: host.clone(), cluster: cluster.clone(), number: *number, words })
    }

    /// Decides the exit status.
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

    /// Stable: `explain CODE` finds it, and it is never reused.
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
            Exposed { .. } => "DKC-E0448",
            Architecture { .. } => "DKC-E0422",
            DiskSpace { .. } => "DKC-E0423",
            Clock { .. } => "DKC-E0424",
            ClosedNode { .. } => "DKC-E0449",
            ForeignNode { .. } => "DKC-E0425",
            UnmarkedNode { .. } => "DKC-E0426",
            ForeignData { .. } => "DKC-E0427",
            LostData { .. } => "DKC-E0428",
            PutBack { .. } => "DKC-E0470",
            NotRecoverable { .. } => "DKC-E0471",
            SocketPath { .. } => "DKC-E0429",
            PortTaken { .. } => "DKC-E0430",
            NotInstalled { .. } => "DKC-E0431",
            Drift { .. } => "DKC-E0432",
            SlavesUse { .. } => "DKC-E0433",
            Quorum { .. } => "DKC-E0434",
            FoundersMissing { .. } => "DKC-E0435",
            Parameters { .. } => "DKC-E0436",
            Timeouts { .. } => "DKC-E0460",
            ProgramNotKept { .. } => "DKC-E0490",
            ProgramSilent { .. } => "DKC-E0491",
            DiskFormat { .. } => "DKC-E0492",
            WireVersions { .. } => "DKC-E0493",
            NoProgramBefore { .. } => "DKC-E0494",
            ProgramBeforeUnclear { .. } => "DKC-E0495",
            NoPair { .. } => "DKC-E0437",
            AuthorityLost { .. } => "DKC-E0450",
            SlavesLeft { .. } => "DKC-E0438",
            RingSilent { .. } => "DKC-E0440",
            NotServing { .. } => "DKC-E0441",
            NotEmpty { .. } => "DKC-E0451",
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

    /// Commands or tasks, one line each.
    pub fn advice(&self) -> Vec<String> {
        use Refusal::*;
        let one = |text: String| vec![text];
        match self {
            UnknownName { what, name, known } => match *what {
                "token" => one("token list".to_owned()),
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
            Exposed { host, dir, user, .. } => {
                one(format!("on {host}: chown {user} {dir} && chmod go-w {dir}"))
            }
            Architecture { is, .. } => one(format!("deploy with a dkc built for {is}")),
            DiskSpace { host, root, .. } => {
                one(format!("free space below {root} on {host}, then run the command again"))
            }
            Clock { host, .. } => one(format!(
                "synchronise the clock of {host} (chrony or systemd-timesyncd), then run the command again"
            )),
            ClosedNode { host, dir, .. } => vec![
                format!("modify host --user USER {host}, with the user who deployed it"),
                format!("or, on {host}: add the user to the group that {dir} belongs to"),
            ],
            ForeignNode { host, dir, .. } | UnmarkedNode { host, dir } => one(format!(
                "inspect {dir} on {host}; move it away if it is not needed, then run the command again"
            )),
            ForeignData { host, dir, .. } => {
                one(format!("inspect {dir}/data on {host}; dkc does not overwrite it"))
            }
            LostData { host, node } => match node {
                NodeName::Server(..) => one(format!(
                    "restore its newest data (is a disk not mounted on {host}?), then run the command again"
                )),
                NodeName::Slave(..) => one("deploy".into()),
            },
            NotRecoverable { next, .. } => one(next.clone()),
            PutBack { cluster, number, .. } => vec![
                format!("replace -n {cluster} --no {number} --address HOST:PORT"),
                "if every server was put back: explain DKC-E0470".into(),
            ],
            SocketPath { host, .. } => one(format!("modify host --data-dir /a/shorter/path {host}")),
            PortTaken { host, port, .. } => vec![
                format!("on {host}: ss -ltnp 'sport = :{port}' shows the program"),
                "stop it, or register another port".into(),
            ],
            NotInstalled { .. } | Drift { .. } => one("deploy".into()),
            SlavesUse { ids, .. } => ids.iter().map(|id| format!("stop slave --id {id}")).collect(),
            SlavesLeft { ids, .. } => {
                let each = ids.iter().map(|id| format!("destroy slave --id {id}"));
                each.chain(["or add --with-slaves".into()]).collect()
            }
            Quorum { cluster, .. } => vec![
                format!("start cluster -n {cluster}   (start the others first)"),
                format!("stop cluster -n {cluster}   (stops the whole cluster)"),
                "or add --allow-no-quorum".into(),
            ],
            FoundersMissing { cluster, .. } => one(format!("start cluster -n {cluster}")),
            Parameters { cluster, .. } => one(format!("modify cluster -n {cluster} …")),
            AuthorityLost { cluster } => one(format!(
                "restore authority/{cluster}/ca.pem and ca.key next to the inventory, then run the command again"
            )),
            Timeouts { cluster, is_written, .. } => vec![
                "go there in two changes, each applied: to raise them, election_timeout_max_ms first; to lower them, \
                 election_timeout_min_ms first"
                    .into(),
                match is_written {
                    true => format!("or restart all servers at once: restart cluster -n {cluster}"),
                    false => format!("or: stop cluster -n {cluster}, then deploy and start it"),
                },
            ],
            ProgramNotKept { known, .. } => vec![
                match known.is_empty() {
                    true => "it keeps none: deploy".to_owned(),
                    false => format!("it keeps {}", known.join(", ")),
                },
                "or bring the file: upgrade --to FILE".into(),
            ],
            ProgramSilent { cluster, .. } => one(format!(
                "with the dkc of that release: deploy -n {cluster}, then restart cluster -n {cluster} --rolling"
            )),
            DiskFormat { .. } => one("use a program that reads it: the one that runs, or a newer one".into()),
            WireVersions { .. } => one("upgrade to a release in between first".into()),
            NoProgramBefore { cluster } | ProgramBeforeUnclear { cluster, .. } => vec![
                "show instance -o json   (shows the programs)".into(),
                format!("upgrade -n {cluster} --to DIGEST"),
            ],
            NoPair { id } => one(format!("register pair --id {id} --listen 127.0.0.1:11211")),
            RingSilent { cluster, .. } => {
                vec![format!(
                    "start cluster -n {cluster}   (members change only while it runs), then run the command again"
                )]
            }
            NotServing { cluster, .. } => {
                vec![
                    format!("status cluster -n {cluster}"),
                    format!("start cluster -n {cluster}"),
                    format!("or, if a majority of its servers is lost for good: recover -n {cluster} --dry-run"),
                ]
            }
            NotEmpty { cluster, .. } => vec![
                "restore into a new cluster: register cluster, deploy, start cluster".into(),
                format!("or remove its records first: data keys -n {cluster}, data rm"),
            ],
            RingQuorum { cluster, .. } => {
                vec![format!("start cluster -n {cluster}   (start the others first)")]
            }
            Degraded { cluster, down, .. } => vec![
                format!("start cluster -n {cluster} --no {}", down.join(" --no ")),
                format!("or: replace -n {cluster} --no {} --address HOST:PORT", down[0]),
                "or add --allow-no-tolerance".into(),
            ],
            LastServer { cluster } => {
                vec![format!("destroy cluster -n {cluster}   (removes the whole cluster)")]
            }
            Merging { cluster, .. } => vec![
                format!("status cluster -n {cluster} --watch   (wait until it completes)"),
                format!("or: ring abortmerge -n {cluster}"),
            ],
            OwnAddress { .. } => one("use another host or port: a removed member can never return".into()),
            Illegal { cluster, .. } => {
                one(format!("status cluster -n {cluster}   (shows each member's state)"))
            }
            OperationRuns { cluster, .. } => vec![
                "wait for it".into(),
                format!("or, if it was yours: resume, or ring abortmerge -n {cluster}"),
                format!("or, if its owner abandoned it: ring abortmerge -n {cluster} --take-over"),
            ],
            StaleGeneration { .. } | StaleRing { .. } => {
                one("run the command again to make a new plan".into())
            }
        }
    }

    /// The rationale, if the message itself does not state it.
    fn reason(&self) -> Option<&'static str> {
        use Refusal::*;
        match self {
            ForeignRoot { .. } => Some("dkc writes and removes only files under its own marker"),
            Exposed { .. } => Some("whoever can write there can put another program in the place of dkc's"),
            AuthorityLost { .. } => {
                Some("the cluster was founded with it; its nodes trust no other authority")
            }
            Clock { .. } => Some("certificates and expiry times would be wrong"),
            LostData { .. } => {
                Some("it has voted before; restarted empty, it could undo acknowledged writes")
            }
            PutBack { .. } => Some("it could vote and acknowledge without what it acknowledged before"),
            ForeignData { .. } | ForeignNode { .. } => {
                Some("a data directory always belongs to the same node")
            }
            Timeouts { .. } => Some("a leader could answer a read by lease after another one was elected"),
            ProgramSilent { .. } => Some("it could stop nodes that it cannot start again"),
            Drift { .. } => Some("the ring is founded once, with the parameters in this file"),
            _ => None,
        }
    }
}

fn silent_advice(host: &HostAddress, kind: Silence) -> Vec<String> {
    match kind {
        Silence::Unreachable | Silence::Timeout => vec![format!("check host {host}")],
        Silence::Login => vec![format!("modify host --user USER {host}, or install your key: ssh-copy-id")],
        Silence::HostKeyUnknown => {
            vec![format!("modify host --host-key SHA256:… {host}"), format!("or: trust update {host}")]
        }
        Silence::HostKeyChanged => {
            vec![format!("find out why it changed; if the new key is right: trust update {host}")]
        }
        Silence::Other => vec![format!("check host {host}")],
    }
}

/// At least one reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .reasons.iter().map(|r| r.to_string()).collect::<Vec<_>>().join("; "))]
pub struct Refused {
    /// Of all hosts, without duplicates; never empty.
    pub reasons: Vec<Refusal>,
    /// Commands that would do part of the request.
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

    /// A silent host is one reason, however many nodes it has.
    pub(super) fn of(reasons: Vec<Refusal>, instead: Vec<String>) -> Refused {
        let mut once: Vec<Refusal> = Vec::new();
        for reason in reasons {
            if !once.contains(&reason) {
                once.push(reason);
            }
        }
        Refused { reasons: once, instead }
    }

    /// The first reason other than a silent host, else the first: a rule's refusal tells the operator more.
    fn leading(&self) -> &Refusal {
        let loud = self.reasons.iter().find(|r| r.kind() != ProblemKind::Unreachable);
        loud.unwrap_or(&self.reasons[0])
    }

    /// Of the reason that tells the operator most.
    pub fn kind(&self) -> ProblemKind {
        self.leading().kind()
    }

    /// Combines all reasons into one problem; `command` is the verb and its target.
    pub fn problem(&self, command: &str) -> Problem {
        let what = match self.reasons.as_slice() {
            [one] => format!("{command}: {one}"),
            several => format!("{command}: refused for {} reasons", several.len()),
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

/// Removes repeated lines, keeping the order: problems that many hosts share are printed once.
fn once(lines: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    lines.into_iter().filter(|line| seen.insert(line.clone())).collect()
}
