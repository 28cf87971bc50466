//! Consensus: the glue between openraft and our log, storage and connections. One Raft group holds the node
//! registry and ring map (the meta group), one each tablet. Nothing outside this folder names an openraft type.

pub mod codec;
pub mod group;
mod log_store;
pub mod machine;
mod pace;
pub mod promise;
mod propose;
pub mod read;
pub mod respond;
pub mod sending;
pub mod serve;
pub mod snapshot;
pub mod transport;
pub mod types;

pub use group::{Group, GroupContext, GroupError, Members, NotProposed, Progress, RingVersionSource};
pub use machine::{Machine, Shape};
pub use propose::QueuedWrite;
pub use read::QueuedRead;
pub use respond::Respond;
pub use transport::Transport;
