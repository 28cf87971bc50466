//! The daemon: from a node's directory to a running node of either role, and its clean shutdown.

mod beats;
mod control;
mod cuts;
mod directory_lock;
mod disk;
mod disk_space;
mod drop_replicas;
mod follow_meta;
#[cfg(not(feature = "simulation"))]
mod formats;
mod founding;
mod hibernation;
mod known_ring;
mod leadership;
#[cfg(not(feature = "simulation"))]
mod lineage_file;
#[cfg(feature = "simulation")]
#[path = "../simulation/lineage_file.rs"]
mod lineage_file;
mod lineage_store;
mod liveness;
mod load;
mod local_node;
mod memory;
mod merge_driver;
mod meta_group;
mod meta_voters;
mod node_port;
mod peer_control;
mod persist;
mod proposal_codec;
mod replica_error;
mod replicas;
pub mod salvage;
pub mod server;
#[cfg(feature = "simulation")]
pub mod simulated;
mod split_driver;
mod standing;
mod start;
mod token_sweep;

pub use directory_lock::{DirectoryLock, LockError};
#[cfg(not(feature = "simulation"))]
pub use formats::check_formats;
pub use server::Parts;
pub use start::{Running, StartError, initialise, run};
