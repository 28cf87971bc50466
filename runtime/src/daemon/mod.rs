//! The daemon: from a node's directory to a running node of either role, and its orderly end.

mod balance;
mod data;
mod depart;
mod disk;
mod driver;
pub mod fatal;
mod found;
mod groups;
mod handler;
mod lock;
mod members;
mod meta_members;
mod metrics;
mod peers;
mod persist;
mod requests;
mod serve;
pub mod server;
mod start;
mod status;

pub use lock::{DirectoryLock, LockError};
pub use start::{Parts, Running, StartError, check_config, initialise, open_disk, run};
