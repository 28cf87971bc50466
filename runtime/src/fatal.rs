//! Fatal errors: a failed disk, a broken invariant. The process reports its version, its node and the failed step,
//! and exits; the next start recovers from disk. Nothing is retried,
//! because after a failed fsync the state of the page cache is unknown.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use dkc_core::config::layout;
use dkc_core::ids::GroupId;

use crate::durable_file;

/// The exit status for a broken invariant.
pub const EXIT_BUG: i32 = 70;
/// The exit status for a disk that failed.
pub const EXIT_DISK: i32 = 74;
/// The exit status for a configuration that was refused.
pub const EXIT_CONFIG: i32 = 78;

/// What the operator of a removed node can do.
pub const HOW_TO_SERVE_AGAIN: &str =
    "for this host to serve again, register it with `dkc grow`, which gives it a new data directory";

/// The shell looks for marks, also where it is another user.
const MARK_MODE: u32 = 0o644;

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
    let words = format!(
        "removed from its cluster, says {by}; it can never return, and this directory is no longer needed\n"
    );
    write_mark(directory, layout::REMOVED, &words)
}

fn write_mark(directory: &Path, name: &str, words: &str) -> io::Result<()> {
    let path = directory.join(name);
    if path.exists() {
        return Ok(());
    }
    durable_file::replace(&path, words.as_bytes(), MARK_MODE)
}

/// The data of this node was put back from an older copy. This is recorded before the exit, for when it starts again while whoever
/// remembers more is down.
pub fn put_back(words: &dyn Display) -> ! {
    let mark = |node: &ThisNode| write_mark(&node.directory, layout::PUT_BACK, &format!("{words}\n"));
    if let Some(Err(error)) = NODE.get().map(mark) {
        tracing::warn!(%error, "mark not written");
    }
    end(EXIT_CONFIG, &words.to_string())
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
