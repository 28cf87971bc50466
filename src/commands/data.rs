//! `data`: single operations on the keys of a cluster, for an operator who wants to look or to correct.
//! A value that must not be seen in a process list is read from standard input (`-`).

use dkc_core::ids::{ClusterName, Namespace};

use crate::error::CommandError;
use crate::session::Session;

/// Read and write keys of a cluster
#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  data set -n c0 test-key test-value\n  data print -n c0 test-key\n  data keys -n c0 --prefix user: --limit 20\n  data incr -n c0 counter 5"
)]
pub struct Args {
    #[command(subcommand)]
    pub action: Action,
    /// The cluster (default: the one in use)
    #[arg(short = 'n', long = "name", value_name = "NAME", aliases = ["cluster", "css"], global = true,
        add = crate::complete::clusters())]
    pub name: Option<ClusterName>,
    /// The namespace (default: default)
    #[arg(long, value_name = "NS", global = true, default_value = "default")]
    pub namespace: Namespace,
}

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Store a value
    Set {
        key: String,
        /// The value; - reads it from standard input
        #[arg(allow_hyphen_values = true)]
        value: String,
        /// Time until it expires, such as 60s
        #[arg(long, value_name = "TIME", value_parser = crate::cli::parse_duration)]
        expires: Option<std::time::Duration>,
        /// The number that clients keep beside a value
        #[arg(long, default_value_t = 0)]
        flags: u32,
        /// Only when the key does not exist
        #[arg(long, conflicts_with = "replace")]
        add: bool,
        /// Only when the key exists
        #[arg(long)]
        replace: bool,
        /// Only when the key still has this version (`data print --long` shows it)
        #[arg(long, value_name = "VERSION", conflicts_with_all = ["add", "replace"])]
        cas: Option<u64>,
    },
    /// Print the value of a key
    #[command(visible_alias = "get")]
    Print {
        key: String,
        /// With version, flags and expiry
        #[arg(long)]
        long: bool,
        /// Only the value, byte for byte
        #[arg(long, conflicts_with = "long")]
        raw: bool,
    },
    /// Remove keys
    Rm {
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Add to a number
    Incr {
        key: String,
        #[arg(default_value_t = 1)]
        by: u64,
    },
    /// Subtract from a number, not below 0
    Decr {
        key: String,
        #[arg(default_value_t = 1)]
        by: u64,
    },
    /// Change when a key expires
    Touch {
        key: String,
        /// Time until it expires, such as 60s; without it the key never expires
        #[arg(value_name = "TIME", value_parser = crate::cli::parse_duration)]
        expires: Option<std::time::Duration>,
    },
    /// List keys
    Keys {
        /// Only keys that begin with this
        #[arg(long, value_name = "TEXT")]
        prefix: Option<String>,
        /// At most this many
        #[arg(long, default_value_t = 1000)]
        limit: u32,
    },
    /// Count keys and bytes
    Count,
}

impl Args {
    pub fn is_changing(&self) -> bool {
        !matches!(self.action, Action::Print { .. } | Action::Keys { .. } | Action::Count)
    }
}

pub async fn run(_session: &mut Session, _args: Args) -> Result<(), CommandError> {
    Err(super::not_built("data"))
}
