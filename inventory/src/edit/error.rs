//! Why an edit was refused, with advice.

use dkc_core::ids::{ClusterName, HostAddress, MemberNo, NodeAddress, SlaveId};

use crate::names::suggestion;
use crate::problem::{Problem, ProblemKind};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error("host {name} is not registered")]
    UnknownHost { name: HostAddress, known: Vec<String> },
    #[error("cluster {name} is not registered")]
    UnknownCluster { name: ClusterName, known: Vec<String> },
    #[error("slave {id} is not registered")]
    UnknownSlave { id: SlaveId, known: Vec<String> },
    #[error("slave {id} has no pair that listens on {listen}")]
    UnknownPair { id: SlaveId, listen: String, known: Vec<String> },
    #[error("{what} is already registered with different values")]
    Different { what: String, differences: Vec<String>, modify: String },
    #[error("{what} is in use")]
    InUse { what: String, by: Vec<String>, first: Vec<String> },
    #[error("address {address} already belongs to server {number} of {cluster}")]
    AddressTaken { address: NodeAddress, cluster: ClusterName, number: MemberNo },
    #[error("address {address} is given more than once")]
    AddressTwice { address: NodeAddress },
    #[error("slave {by} on the same host already listens on {listen}")]
    ListenTaken { listen: String, by: SlaveId },
    #[error("{listen} is not a loopback address")]
    NotLoopback { listen: String },
    #[error("invalid {what}: {rule}")]
    BadValue { what: String, rule: String },
    #[error("nothing to register: no {noun} given")]
    Nothing { noun: &'static str },
    #[error("{what} of {cluster} can no longer change")]
    Fixed { what: &'static str, cluster: ClusterName, why: &'static str },
    #[error("{what} is installed on its hosts")]
    Deployed { what: String, remove: String },
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
    pub fn kind(&self) -> ProblemKind {
        use EditError::*;
        match self {
            UnknownHost { .. } | UnknownCluster { .. } | UnknownSlave { .. } | UnknownPair { .. } => {
                ProblemKind::UnknownName
            }
            BadValue { .. } | Nothing { .. } | AddressTwice { .. } | LocalWithLogin => ProblemKind::Usage,
            _ => ProblemKind::Refused,
        }
    }

    pub fn code(&self) -> &'static str {
        use EditError::*;
        match self {
            UnknownHost { .. } => "DKC-E0301",
            UnknownCluster { .. } => "DKC-E0302",
            UnknownSlave { .. } => "DKC-E0303",
            UnknownPair { .. } => "DKC-E0304",
            Different { .. } => "DKC-E0401",
            InUse { .. } => "DKC-E0402",
            AddressTaken { .. } => "DKC-E0403",
            ListenTaken { .. } => "DKC-E0404",
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
            UnknownSlave { known, .. } if known.is_empty() => vec!["register slave --cluster NAME".into()],
            UnknownSlave { known, .. } => vec![format!("registered: {}", known.join(", "))],
            UnknownPair { known, .. } if known.is_empty() => vec!["the slave has no pairs".into()],
            UnknownPair { known, .. } => vec![format!("it has {}", known.join(", "))],
            Different { modify, .. } => vec![modify.clone()],
            InUse { first, .. } => first.clone(),
            AddressTaken { cluster, .. } => {
                vec!["use another port".into(), format!("show cluster {cluster}")]
            }
            ListenTaken { by, .. } => vec!["use another port".into(), format!("show slave --id {by}")],
            NotLoopback { .. } => vec!["--listen 127.0.0.1:11211".into(), "--listen /path/of/a.sock".into()],
            Deployed { remove, .. } => vec![remove.clone(), "or add --forget and clean up by hand".into()],
            _ => Vec::new(),
        }
    }

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
