//! Consensus: the glue between openraft and our log, storage and connections. One Raft group holds the node
//! registry and ring map (the meta group), one each tablet. Nothing outside this folder names an openraft type.

pub mod codec;
pub mod cut;
pub mod group;
pub mod hibernate;
pub mod hold;
mod limits;
mod log_store;
pub mod machine;
mod operations;
mod pace;
mod propose;
pub mod read;
pub mod receive;
pub mod respond;
mod ring_version;
pub mod salvage;
mod settled;
pub mod snapshot;
pub mod snapshot_receive;
pub mod snapshot_sends;
mod splitting;
pub mod transport;
mod tuning;
pub mod types;
pub mod vote_floor;

pub use group::{Group, GroupContext, GroupError, GroupProgress, Members};
pub use machine::{Machine, TabletBounds};
pub use propose::{NotProposed, QueuedWrite};
pub use read::QueuedRead;
pub use respond::Respond;
pub use ring_version::RingVersionSource;
pub use transport::Transport;
pub use tuning::Tuning;
