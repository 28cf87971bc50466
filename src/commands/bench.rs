//! `bench`: load from many clients against the memcached listener of a slave, with throughput and latencies.

use dkc_core::ids::ClusterName;

use crate::error::CommandError;
use crate::session::Session;

/// Measure throughput and latency of a cluster through a slave
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES\n  bench -n c0\n  bench -n c0 --clients 64 --pipeline 16 --reads 90 --seconds 10\n  bench --address 127.0.0.1:11211")]
pub struct Args {
    /// The cluster, through a slave of it on this machine (default: the one in use)
    #[arg(short = 'n', long = "name", value_name = "NAME", aliases = ["cluster", "css"],
        add = crate::complete::clusters())]
    pub name: Option<ClusterName>,
    /// A memcached listener to use instead
    #[arg(short = 'a', long, value_name = "ADDRESS:PORT")]
    pub address: Option<String>,
    /// Connections at the same time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub clients: u32,
    /// Requests under way on each connection
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub pipeline: u32,
    /// Percentage of reads; the rest are writes
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub reads: u32,
    /// Bytes of a value
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub size: u32,
    /// Number of different keys
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub keys: u64,
    /// How long to measure
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
}

pub async fn run(_session: &mut Session, _args: Args) -> Result<(), CommandError> {
    Err(super::not_built("bench"))
}
