//! Why an edit was refused, with advice.

use dkc_core::ids::{ClusterName, ConfigName, HostAddress, MemberNo, NodeAddress, SlaveId};

use crate::names::suggestion;
use crate::problem::{Problem, ProblemKind};

/// Why an edit was refused; the inventory is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// DKC-E0301
    #[error("host {name} is not registered")]
    UnknownHost {
        /// As it was typed.
        name: HostAddress,
        /// All names, for a suggestion.
        known: Vec<String>,
    },
    /// DKC-E0302
    #[error("cluster {name} is not registered")]
    UnknownCluster {
        /// As it was typed.
        name: ClusterName,
        /// All names, for a suggestion.
        known: Vec<String>,
    },
    /// DKC-E0306
    #[error("configuration group {name} is not registered")]
    UnknownConfig {
        /// As it was typed.
        name: ConfigName,
        /// All names, for a suggestion.
        known: Vec<String>,
        /// There is a cluster of that name.
        is_cluster: bool,
    },
    /// DKC-E0303
    #[error("slave {id} is not registered")]
    UnknownSlave {
        /// As it was typed.
        id: SlaveId,
        /// All ids, for advice.
        known: Vec<String>,
    },
    /// DKC-E0304
    #[error("slave {id} has no pair that listens on {listen}")]
    UnknownPair {
        /// A slave that exists.
        id: SlaveId,
        /// As it was typed.
        listen: String,
        /// Where the slave's pairs listen, for advice.
        known: Vec<String>,
    },
    /// DKC-E0401: a register command repeated with other values.
    #[error("{what} is already registered with different values")]
    Different {
        /// Noun and name.
        what: String,
        /// One line for each value that differs.
        differences: Vec<String>,
        /// The command that would change them.
        modify: String,
    },
    /// DKC-E0402: something else refers to it.
    #[error("{what} is in use")]
    InUse {
        /// Noun and name.
        what: String,
        /// What refers to it.
        by: Vec<String>,
        /// The commands that remove the references.
        first: Vec<String>,
    },
    /// DKC-E0403
    #[error("address {address} already belongs to server {number} of {cluster}")]
    AddressTaken {
        /// Host and node port.
        address: NodeAddress,
        /// The cluster of the server that has it.
        cluster: ClusterName,
        /// That server.
        number: MemberNo,
    },
    /// DKC-E0212
    #[error("address {address} is given more than once")]
    AddressTwice {
        /// The one that is repeated.
        address: NodeAddress,
    },
    /// DKC-E0409
    #[error("too few free hosts: {wanted} wanted, {} free", free.len())]
    TooFewHosts {
        /// Servers to launch.
        wanted: usize,
        /// Hosts without a node.
        free: Vec<String>,
        /// The others, with their nodes.
        taken: Vec<String>,
    },
    /// DKC-E0404
    #[error("slave {by} on the same host already listens on {listen}")]
    ListenTaken {
        /// Address and port, or the path of a Unix socket.
        listen: String,
        /// The slave that has it.
        by: SlaveId,
    },
    /// DKC-E0405
    #[error("{listen} is not a loopback address")]
    NotLoopback {
        /// As it was typed.
        listen: String,
    },
    /// DKC-E0210
    #[error("invalid {what}: {rule}")]
    BadValue {
        /// What the value is for.
        what: String,
        /// What a correct value is.
        rule: String,
    },
    /// DKC-E0211
    #[error("nothing to register: no {noun} given")]
    Nothing {
        /// What is missing.
        noun: &'static str,
    },
    /// DKC-E0407: decided at founding.
    #[error("{what} of {cluster} can no longer change")]
    Fixed {
        /// The property.
        what: &'static str,
        /// Its cluster.
        cluster: ClusterName,
        /// Why it cannot change.
        why: &'static str,
    },
    /// DKC-E0408: unregistering would leave it running.
    #[error("{what} is installed on its hosts")]
    Deployed {
        /// Noun and name.
        what: String,
        /// The command that removes it from its hosts.
        remove: String,
    },
    /// DKC-E0213
    #[error("--local excludes an SSH port, user or key")]
    LocalWithLogin,
}

/// `1 server`, `2 servers`.
pub(crate) fn plural(count: usize, noun: &str) -> String {
    match count {
        1 => noun.to_owned(),
        _ => format!("{noun}s"),
    }
}

impl EditError {
    /// Decides the exit status.
    pub fn kind(&self) -> ProblemKind {
        use EditError::*;
        match self {
            UnknownHost { .. }
            | UnknownCluster { .. }
            | UnknownConfig { .. }
            | UnknownSlave { .. }
            | UnknownPair { .. } => ProblemKind::UnknownName,
            BadValue { .. } | Nothing { .. } | AddressTwice { .. } | LocalWithLogin => ProblemKind::Usage,
            _ => ProblemKind::Refused,
        }
    }

    /// Stable: `explain CODE` finds it, and it is never reused.
    pub fn code(&self) -> &'static str {
        use EditError::*;
        match self {
            UnknownHost { .. } => "DKC-E0301",
            UnknownCluster { .. } => "DKC-E0302",
            UnknownSlave { .. } => "DKC-E0303",
            UnknownPair { .. } => "DKC-E0304",
            UnknownConfig { .. } => "DKC-E0306",
            Different { .. } => "DKC-E0401",
            InUse { .. } => "DKC-E0402",
            AddressTaken { .. } => "DKC-E0403",
            ListenTaken { .. } => "DKC-E0404",
            TooFewHosts { .. } => "DKC-E0409",
            NotLoopback { .. } => "DKC-E0405",
            Fixed { .. } => "DKC-E0407",
            Deployed { .. } => "DKC-E0408",
            BadValue { .. } => "DKC-E0210",
            Nothing { .. } => "DKC-E0211",
            AddressTwice { .. } => "DKC-E0212",
            LocalWithLogin => "DKC-E0213",
        }
    }

    fn cause(&self) -> Vec<String> {
        use EditError::*;
        match self {
            Different { differences, .. } => differences.clone(),
            TooFewHosts { free, taken, .. } => {
                let free = (!free.is_empty()).then(|| format!("free: {}", free.join(", ")));
                free.into_iter().chain(taken.iter().cloned()).collect()
            }
            InUse { by, .. } => vec![format!("used by {}", by.join(", "))],
            NotLoopback { .. } => {
                vec!["a slave's port gives full access to the data, so it may only listen on loopback or a Unix socket".into()]
            }
            Fixed { why, .. } => vec![(*why).into()],
            Deployed { .. } => vec!["its files and running processes would stay there".into()],
            _ => Vec::new(),
        }
    }

    fn advice(&self) -> Vec<String> {
        use EditError::*;
        match self {
            UnknownHost { name, known } => {
                let mut advice = suggestion(name.as_str(), known.iter().cloned(), "host");
                advice.push(format!("register host {name}"));
                advice
            }
            UnknownCluster { name, known } => suggestion(name.as_str(), known.iter().cloned(), "cluster"),
            UnknownConfig { name, is_cluster: true, .. } => {
                vec![format!("{name} is a cluster: -c {name}")]
            }
            UnknownConfig { name, known, .. } => {
                let mut advice = suggestion(name.as_str(), known.iter().cloned(), "config");
                advice.push(format!("register config -n {name}"));
                advice
            }
            UnknownSlave { known, .. } if known.is_empty() => vec!["register slave --cluster NAME".into()],
            UnknownSlave { known, .. } => vec![format!("registered: {}", known.join(", "))],
            UnknownPair { known, .. } if known.is_empty() => vec!["the slave has no pairs".into()],
            UnknownPair { known, .. } => vec![format!("it has {}", known.join(", "))],
            Different { modify, .. } => vec![modify.clone()],
            InUse { first, .. } => first.clone(),
            AddressTaken { cluster, .. } => {
                vec!["use another port".into(), format!("show cluster {cluster}")]
            }
            TooFewHosts { .. } => {
                vec!["register host --group GROUP HOST".into(), "or add --from with other hosts".into()]
            }
            ListenTaken { by, .. } => vec!["use another port".into(), format!("show slave --id {by}")],
            NotLoopback { .. } => vec!["--listen 127.0.0.1:11211".into(), "--listen /path/of/a.sock".into()],
            Deployed { remove, .. } => vec![remove.clone(), "or add --forget and clean up by hand".into()],
            _ => Vec::new(),
        }
    }

    /// The error as the shell prints it.
    pub fn problem(&self) -> Problem {
        Problem {
            code: self.code(),
            kind: self.kind(),
            what: self.to_string(),
            cause: self.cause(),
            advice: self.advice(),
        }
    }
}
