//! `bench`: load from many clients against the memcached listener of a slave, with throughput and latencies.

use std::time::Duration;

use dkc_core::config::Protocol as PairProtocol;
use dkc_core::ids::ClusterName;
use dkc_inventory::model::Inventory;
use serde::Serialize;

use crate::bench::{self, Figures, Load, Protocol};
use crate::error::{CommandError, codes};
use crate::session::Session;
use crate::ui::{Format, Listing};

/// Measure throughput and latency of a cluster through a slave
///
/// Writes (and with --reads also reads) keys `bench:0` to `bench:KEYS-1` of the default namespace, with a fixed number
/// of requests in flight on each connection. The longest silence is the longest time in which no request at all was
/// answered: what an application feels of a fail-over.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  bench -n c0\n  bench -n c0 --clients 64 --pipeline 16 --reads 90 --seconds 10\n  bench --address 127.0.0.1:11211\n  bench --address redis://127.0.0.1:6379      a peer, with the same loader"
)]
pub struct Args {
    /// The cluster, through a slave of it on this machine (default: the one in use)
    #[arg(short = 'n', long = "name", value_name = "NAME", aliases = ["cluster", "css"],
        add = crate::complete::clusters())]
    pub name: Option<ClusterName>,
    /// A memcached listener to use instead, or with redis:// in front one that speaks RESP
    #[arg(short = 'a', long, value_name = "ADDRESS:PORT")]
    pub address: Option<String>,
    /// Connections at the same time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=i64::from(bench::CLIENTS_MAX)))]
    pub clients: u32,
    /// Requests under way on each connection
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(bench::PIPELINE_MAX)))]
    pub pipeline: u32,
    /// Percentage of reads; the rest are writes
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub reads: u32,
    /// Keys in one read request; each counts as an operation
    #[arg(long, value_name = "KEYS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(bench::KEYS_PER_READ_MAX)))]
    pub multiget: u32,
    /// Write every key once, in order, and end, instead of drawing keys for some seconds
    #[arg(long, conflicts_with_all = ["reads", "seconds", "multiget"])]
    pub fill: bool,
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
            .now("nothing was written")
            .next("is the slave running?  status slave")
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

/// The memcached listener of a slave of the cluster that runs on this machine.
fn listener_here(inventory: &Inventory, name: &ClusterName) -> Result<String, CommandError> {
    let is_here = |host: &Option<dkc_core::ids::HostAddress>| match host {
        None => true,
        Some(address) => inventory.hosts.get(address).is_some_and(|h| h.local),
    };
    let slaves = inventory.slaves.values().filter(|s| &s.cluster == name && is_here(&s.host));
    let mut pairs = slaves.flat_map(|s| &s.pairs);
    pairs.find(|p| p.protocol == PairProtocol::Memcache && !p.listen.starts_with('/')).map(|p| p.listen.clone()).ok_or_else(
        || {
            CommandError::new(&codes::FAILED_BENCH, format!("bench of {name}: no slave of it listens on this machine"))
                .cause("the load has to come from beside a slave, as an application's does")
                .next("run it on a slave's host:  exec HOST dkc bench --address 127.0.0.1:11211   or give --address")
        },
    )
}
