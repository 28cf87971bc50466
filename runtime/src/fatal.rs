//! Fatal errors: a failed disk, a broken invariant. The process reports its version, its node and the failed step,
//! and exits; the next start recovers from disk. Nothing is retried,
//! because after a failed fsync the state of the page cache is unknown.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{fs, io};

use dkc_core::config::layout;
use dkc_core::ids::GroupId;

/// The exit status for a broken invariant.
pub const EXIT_BUG: i32 = 70;
/// The exit status for a disk that failed.
pub const EXIT_DISK: i32 = 74;
/// The exit status for a configuration that was refused.
pub const EXIT_CONFIG: i32 = 78;

/// What the operator of a removed node can do.
pub const HOW_TO_SERVE_AGAIN: &str =
    "for this host to serve again, register it with `dkc grow`, which gives it a new data directory";

struct ThisNode {
    name: String,
    directory: PathBuf,
}

static NODE: OnceLock<ThisNode> = OnceLock::new();

/// This node's name for the message, and its directory, for the removal mark.
pub fn set_node(name: String, directory: PathBuf) {
    // Set once by the daemon; only tests have a second daemon in one process.
    let _ = NODE.set(ThisNode { name, directory });
}

fn node_name() -> &'static str {
    NODE.get().map_or("dkcd", |node| &node.name)
}

fn end(status: i32, words: &str) -> ! {
    tracing::error!(release = env!("CARGO_PKG_VERSION"), node = node_name(), "{words}");
    #[cfg(feature = "simulation")]
    crate::simulation::process::exit(status == EXIT_CONFIG, words);
    #[cfg(not(feature = "simulation"))]
    std::process::exit(status)
}

/// The cluster has removed this node. This is recorded before the exit: a removed node that starts with its host,
/// before it is refused again, would take the port from the node at its address.
pub fn removed(by: &dyn Display) -> ! {
    if let Some(Err(error)) = NODE.get().map(|node| mark_removed(&node.directory, by)) {
        tracing::warn!(%error, "removal mark not written");
    }
    end(
        EXIT_CONFIG,
        &format!(
            "this node was removed from the cluster and can never return, says {by}; {HOW_TO_SERVE_AGAIN}"
        ),
    )
}

fn mark_removed(directory: &Path, by: &dyn Display) -> io::Result<()> {
    let path = directory.join(layout::REMOVED);
    if path.exists() {
        return Ok(());
    }
    fs::write(
        &path,
        format!(
            "removed from its cluster, says {by}; it can never return, and this directory is no longer needed\n"
        ),
    )?;
    fs::File::open(&path)?.sync_all()?;
    fs::File::open(directory)?.sync_all()
}

/// The state store or the log failed.
pub fn disk(error: &dyn Display) -> ! {
    end(EXIT_DISK, &format!("disk error, exiting: {error}"))
}

/// The consensus library has stopped a group with an error.
pub fn group(group: GroupId, error: &dyn Display) -> ! {
    let status = if error.to_string().contains("panicked") { EXIT_BUG } else { EXIT_DISK };
    end(status, &format!("group {group} failed, exiting: {error}"))
}
