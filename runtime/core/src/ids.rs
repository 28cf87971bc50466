//! Names and numbers that everything else is built from. Each type can only be made through a check, so
//! that holding one is the proof that it is well formed.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Longest cluster or namespace name, so that a name fits into a file name, a unit name and a certificate.
pub const NAME_MAX_BYTES: usize = 48;
/// The namespace of clients that name none.
pub const DEFAULT_NAMESPACE: &str = "default";
/// Longest host name (RFC 1123).
pub const HOST_MAX_BYTES: usize = 253;
/// The node port when an address names none.
pub const DEFAULT_NODE_PORT: u16 = 8020;

/// Why a word is not the name, address or id it should be. The message names the rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{word}' is not {what}: {rule}")]
pub struct BadWord {
    /// The refused text, its first 80 characters.
    pub word: String,
    /// What it should have been, with its article.
    pub what: &'static str,
    /// What a correct one is made of.
    pub rule: String,
}

fn bad(word: &str, what: &'static str, rule: impl Into<String>) -> BadWord {
    BadWord { word: word.chars().take(80).collect(), what, rule: rule.into() }
}

/// A type that is a checked string: parsed by `FromStr` only, and the same text in YAML and JSON. Copies share the text,
/// because a namespace goes with every key.
macro_rules! checked_string {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The checked text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = BadWord;
            fn try_from(word: String) -> Result<Self, BadWord> {
                word.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }
    };
}

fn check_name(word: &str, what: &'static str) -> Result<Arc<str>, BadWord> {
    let starts_well = word.starts_with(|c: char| c.is_ascii_alphanumeric());
    let is_made_of = word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if word.is_empty() || !starts_well || !is_made_of {
        return Err(bad(word, what, "letters, digits, '_' and '-', beginning with a letter or digit"));
    }
    if word.len() > NAME_MAX_BYTES {
        return Err(bad(word, what, format!("at most {NAME_MAX_BYTES} bytes")));
    }
    Ok(word.into())
}

checked_string!(
    /// The name of a cluster: it becomes part of file, unit and certificate names, so its letters are few.
    ClusterName
);
impl FromStr for ClusterName {
    type Err = BadWord;
    fn from_str(word: &str) -> Result<Self, BadWord> {
        check_name(word, "a cluster name").map(ClusterName)
    }
}

checked_string!(
    /// The name of a configuration group: parameters that several clusters share.
    ConfigName
);
impl FromStr for ConfigName {
    type Err = BadWord;
    fn from_str(word: &str) -> Result<Self, BadWord> {
        check_name(word, "the name of a configuration group").map(ConfigName)
    }
}

checked_string!(
    /// The name of a key space inside a cluster. `default` is used if none is named.
    Namespace
);
impl FromStr for Namespace {
    type Err = BadWord;
    fn from_str(word: &str) -> Result<Self, BadWord> {
        check_name(word, "a namespace").map(Namespace)
    }
}
impl Default for Namespace {
    fn default() -> Self {
        static DEFAULT: LazyLock<Namespace> = LazyLock::new(|| Namespace(DEFAULT_NAMESPACE.into()));
        DEFAULT.clone()
    }
}

checked_string!(
    /// A host: a name or an IP address (IPv6 without brackets), in lower case.
    HostAddress
);
impl FromStr for HostAddress {
    type Err = BadWord;
    fn from_str(word: &str) -> Result<Self, BadWord> {
        let bare = word.strip_prefix('[').and_then(|w| w.strip_suffix(']')).unwrap_or(word);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(HostAddress(ip.to_string().into()));
        }
        let rule = "an IP address or a host name (letters, digits, '-', '.')";
        let is_label = |l: &str| {
            !l.is_empty()
                && l.len() <= 63
                && !l.starts_with('-')
                && !l.ends_with('-')
                && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        };
        let looks_numeric = bare.chars().all(|c| c.is_ascii_digit() || c == '.');
        if bare.len() > HOST_MAX_BYTES || looks_numeric || !bare.split('.').all(is_label) {
            return Err(bad(word, "a host", rule));
        }
        Ok(HostAddress(bare.to_ascii_lowercase().into()))
    }
}
impl HostAddress {
    /// `None` for a host name, which is resolved when something connects to it.
    pub fn ip(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }
}

/// `HOST:PORT`, `[IPV6]:PORT`, or `HOST` alone for the default node port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeAddress {
    /// A name or an IP address.
    pub host: HostAddress,
    /// 1 to 65535.
    pub port: u16,
}
impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.ip() {
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            _ => write!(f, "{}:{}", self.host, self.port),
        }
    }
}
impl FromStr for NodeAddress {
    type Err = BadWord;
    fn from_str(word: &str) -> Result<Self, BadWord> {
        let what = "an address HOST:PORT";
        if let Ok(IpAddr::V6(_)) = word.parse::<IpAddr>() {
            return Ok(NodeAddress { host: word.parse()?, port: DEFAULT_NODE_PORT });
        }
        let (host, port) = match word.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (word, None),
        };
        let port = match port {
            None => DEFAULT_NODE_PORT,
            Some(p) => match p.parse::<u16>() {
                Ok(n) if n > 0 => n,
                _ => return Err(bad(word, what, "the port is a number from 1 to 65535")),
            },
        };
        let host = host.parse().map_err(|e: BadWord| bad(word, what, e.rule))?;
        Ok(NodeAddress { host, port })
    }
}
impl TryFrom<String> for NodeAddress {
    type Error = BadWord;
    fn try_from(word: String) -> Result<Self, BadWord> {
        word.parse()
    }
}
impl From<NodeAddress> for String {
    fn from(address: NodeAddress) -> String {
        address.to_string()
    }
}

/// A type that is a number with a meaning.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = BadWord;
            fn from_str(word: &str) -> Result<Self, BadWord> {
                word.parse().map($name).map_err(|_| bad(word, "a number", format!("0 to {}", <$inner>::MAX)))
            }
        }
    };
}

number!(
    /// The member number (`No.`) that people use. Unique in its cluster while the member lives.
    MemberNo(u32)
);
number!(
    /// The id of a slave in the inventory: the smallest free one.
    SlaveId(u32)
);
number!(
    /// The Raft id of a server node: one for each data directory that ever was, never given out again.
    NodeId(u64)
);
number!(
    /// A Raft group. Group 0 is the meta group; tablet `t` is group `t + 1`.
    GroupId(u16)
);
number!(
    /// A tablet: a contiguous range of slots with one Raft group and one keyspace.
    TabletId(u16)
);
number!(
    /// The version of the ring map. It only ever grows.
    RingVersion(u64)
);

impl GroupId {
    /// The group that holds the node registry, the ring map and operations.
    pub const META: GroupId = GroupId(0);
    /// `None` for the meta group.
    pub fn tablet(self) -> Option<TabletId> {
        self.0.checked_sub(1).map(TabletId)
    }
}
impl TabletId {
    /// The Raft group that replicates the tablet: its number plus one.
    pub fn group(self) -> GroupId {
        GroupId(self.0 + 1)
    }
}

/// A type that is a UUID with a meaning.
macro_rules! uuid_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = BadWord;
            fn from_str(word: &str) -> Result<Self, BadWord> {
                word.parse().map($name).map_err(|_| bad(word, "a UUID", "as in 0b1e7c1c-6f0f-4f0e-9d55-3f2b8d0c7a11"))
            }
        }
    };
}

uuid_type!(
    /// The identity of a cluster, made at `register cluster`; a restored cluster gets a new one.
    ClusterId
);
uuid_type!(
    /// The identity of one data directory, minted once and never used again; a wiped host gets a new one.
    NodeUuid
);
