//! Connections between nodes: TLS 1.3 with a certificate on both sides, frames, multiplexed requests. Used by the Raft
//! glue, the server role and the slave role; it interprets no body except Hello.
//!
//! *Invariant:* no frame reaches a caller before the peer's certificate, cluster and ALPN have been checked.
//! A peer without a certificate may enrol (`newcomer`) or fetch the program (`download`), and nothing else.
//! *Invariant:* a slave's certificate opens `dkc-slave/1` only.

pub mod client;
pub mod connection;
mod download;
#[cfg(not(feature = "simulation"))]
pub mod enrol;
mod handshakes;
pub mod identity;
pub mod listener;
mod newcomer;
pub mod peers;
mod places;
#[cfg(not(feature = "simulation"))]
mod stream;
#[cfg(feature = "simulation")]
#[path = "../simulation/stream.rs"]
pub(crate) mod stream;
#[cfg(test)]
pub(crate) mod testing;
// They use real TCP and TLS.
mod target;
#[cfg(all(test, not(feature = "simulation")))]
mod tests;
pub mod tls;

use std::sync::Arc;

use dkc_core::wire::Refusal;

pub use client::{Client, Receive};
pub use connection::{Connection, FrameReader, Sender, TurnOfBulk};
pub use download::Download;
pub use handshakes::MemberSources;
pub use identity::{Identity, IdentityError, NodeRole, Peer};
pub use listener::{Admit, Listener};
pub use peers::{Link, LinkState, Peers};
pub use places::ConnectedSlaves;
pub use target::Target;
pub use tls::{Alpn, Tls, TlsError};

/// Why a request got no reply, or a connection is not open. Cloned for every affected request.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NetError {
    /// The request never left this process, so it was certainly not carried out.
    #[error("{0}")]
    NotSent(Arc<str>),
    /// The connection ended before the reply: the request may have been carried out.
    #[error("connection lost: {0}")]
    Lost(Arc<str>),
    /// No reply in time: the request may have been carried out.
    #[error("no reply within {after_ms} ms")]
    NoAnswer { after_ms: u64 },
    /// The peer refused our Hello.
    #[error("refused by the peer: {}", refusal_words(.0))]
    Refused(Refusal),
}

impl NetError {
    pub(crate) fn not_sent(why: impl std::fmt::Display) -> NetError {
        NetError::NotSent(why.to_string().into())
    }
    /// True when the request certainly never reached the peer.
    pub fn is_never_sent(&self) -> bool {
        matches!(self, NetError::NotSent(_) | NetError::Refused(_))
    }
}

/// A refusal in words.
pub fn refusal_words(refusal: &Refusal) -> String {
    match refusal {
        Refusal::ForeignCluster => "the node belongs to another cluster".into(),
        Refusal::Removed => "this node was removed from the cluster".into(),
        Refusal::UnknownNode => "the cluster does not know this node".into(),
        Refusal::WireVersion { ours } => format!("it supports only wire version {ours}"),
        Refusal::Full { connections_max } => {
            format!("its connection limit is reached (connections_max = {connections_max})")
        }
        Refusal::Other(why) => why.clone(),
    }
}
