//! The daemon: from a node's directory to a running node of either role, and its orderly end.

mod control;
mod directory_lock;
mod disk_space;
mod drop_replicas;
mod follow_meta;
mod founding;
mod leadership;
mod memory;
mod merge_driver;
mod meta_voters;
mod metrics;
mod node_port;
mod peer_control;
mod persist;
mod proposal_codec;
pub mod server;
#[cfg(feature = "simulation")]
pub mod simulated;
mod start;
mod status;

pub use directory_lock::{DirectoryLock, LockError};
pub use start::{Parts, Running, StartError, check_config, initialise, open_disk, run};
