//! `bench`: many clients load a slave's memcached listener; throughput and latencies are printed.

use std::time::Duration;

use dkc_core::config::Protocol as PairProtocol;
use dkc_core::ids::ClusterName;
use dkc_inventory::model::Inventory;
use serde::Serialize;

use crate::bench::{self, Figures, Load, Protocol};
use crate::error::{CommandError, codes};
use crate::session::Session;
use crate::ui::{Format, Listing};

/// Measure a cluster's throughput and latency through a slave
///
/// Writes keys `bench:0` to `bench:KEYS-1` in the default namespace, and reads them with --reads. Each connection keeps
/// a fixed number of requests in flight. The longest silence is the longest time without any reply: the outage that
/// applications see during a failover.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  bench -n c0\n  bench -n c0 --clients 64 --pipeline 16 --reads 90 --seconds 10\n  bench --address 127.0.0.1:11211\n  bench --address redis://127.0.0.1:6379      a peer, with the same loader"
)]
pub struct Args {
    /// Cluster, through one of its slaves on this machine (default: the one chosen with use, or the only one)
    #[arg(short = 'n', long = "name", value_name = "NAME", aliases = ["cluster", "css"],
        add = crate::complete::clusters())]
    pub name: Option<ClusterName>,
    /// Use this memcached listener instead; prefix redis:// for a RESP server
    #[arg(short = 'a', long, value_name = "ADDRESS:PORT")]
    pub address: Option<String>,
    /// Number of concurrent connections
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=i64::from(bench::CLIENTS_MAX)))]
    pub clients: u32,
    /// Requests in flight per connection
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(bench::PIPELINE_MAX)))]
    pub pipeline: u32,
    /// Percentage of reads; the rest are writes
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub reads: u32,
    /// Keys per read request; each counts as one operation
    #[arg(long, value_name = "KEYS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(bench::KEYS_PER_READ_MAX)))]
    pub multiget: u32,
    /// Write every key once, in order, then stop
    #[arg(long, conflicts_with_all = ["reads", "seconds", "multiget"])]
    pub fill: bool,
    /// Value size in bytes
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub size: u32,
    /// Number of distinct keys
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub keys: u64,
    /// Duration in seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
}

#[derive(Serialize)]
struct Row<'a> {
    target: &'a str,
    clients: u32,
    pipeline: u32,
    reads_percent: u32,
    keys_per_read: u32,
    value_bytes: u32,
    #[serde(flatten)]
    figures: &'a Figures,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let (target, protocol) = match &args.address {
        Some(address) => parse_target(address),
        None => {
            let name = session.cluster_name(args.name.as_ref())?;
            (listener_here(&session.inventory()?, &name)?, Protocol::Memcache)
        }
    };
    let load = Load {
        target,
        protocol,
        clients: args.clients,
        pipeline: args.pipeline,
        value_bytes: args.size as usize,
        keys: args.keys,
        read_percent: args.reads,
        keys_per_read: args.multiget,
        is_fill: args.fill,
        duration: Duration::from_secs(args.seconds),
    };
    let (figures, first_error) = bench::run(&load).await.map_err(|cause| {
        CommandError::new(&codes::FAILED_BENCH, format!("bench of {}", load.target))
            .cause(cause.to_string())
            .now("no request was sent")
            .next("status slave     (is it running?)")
    })?;
    session.show(Format::Table, &listing(&args, &load.target, &figures));
    match first_error {
        Some(error) => Err(CommandError::new(
            &codes::FAILED_BENCH,
            format!(
                "bench of {}: {} of {} requests failed",
                load.target,
                figures.errors,
                figures.operations + figures.errors
            ),
        )
        .cause(error)),
        None => Ok(()),
    }
}

fn listing(args: &Args, target: &str, figures: &Figures) -> Listing {
    let mut listing = Listing::new(&[
        "TARGET",
        "OPS/S",
        "P50",
        "P99",
        "P99.9",
        "MAX",
        "LONGEST SILENCE",
        "MISSES",
        "ERRORS",
    ]);
    let ms = |us: u64| format!("{}.{:02} ms", us / 1000, us % 1000 / 10);
    let row = vec![
        target.to_owned(),
        format!("{:.0}", figures.operations_per_s),
        ms(figures.p50_us),
        ms(figures.p99_us),
        ms(figures.p99_9_us),
        ms(figures.max_us),
        format!("{} ms", figures.longest_silence_ms),
        figures.misses.to_string(),
        figures.errors.to_string(),
    ];
    let document = Row {
        target,
        clients: args.clients,
        pipeline: args.pipeline,
        reads_percent: args.reads,
        keys_per_read: args.multiget,
        value_bytes: args.size,
        figures,
    };
    listing.push(row, document);
    listing
}

fn parse_target(address: &str) -> (String, Protocol) {
    match address.split_once("://") {
        Some(("redis", rest)) => (rest.to_owned(), Protocol::Redis),
        Some((_, rest)) => (rest.to_owned(), Protocol::Memcache),
        None => (address.to_owned(), Protocol::Memcache),
    }
}

/// The memcached listener of one of the cluster's slaves on this machine.
fn listener_here(inventory: &Inventory, name: &ClusterName) -> Result<String, CommandError> {
    let is_here = |host: &Option<dkc_core::ids::HostAddress>| match host {
        None => true,
        Some(address) => inventory.hosts.get(address).is_some_and(|h| h.local),
    };
    let slaves = inventory.slaves.values().filter(|s| &s.cluster == name && is_here(&s.host));
    let mut pairs = slaves.flat_map(|s| &s.pairs);
    pairs.find(|p| p.protocol == PairProtocol::Memcache && !p.listen.starts_with('/')).map(|p| p.listen.clone()).ok_or_else(
        || {
            CommandError::new(&codes::FAILED_BENCH, format!("bench of {name}: none of its slaves listens on this machine"))
                .cause("bench connects to a slave on the same host, as applications do")
                .next("run it on a slave's host:  exec HOST -- dkc bench --address 127.0.0.1:11211   (or pass --address here)")
        },
    )
}
