//! `bench`: many clients load a slave's memcached listener; prints throughput and latencies. The load runs on a slave's host, as
//! applications do: this machine, another host, or a slave that is started for this run only.

mod own_slave;
mod place;

use std::time::Duration;

use serde::Serialize;

use crate::arguments::OfCluster;
use crate::bench::{self, Figures, Load, Protocol, Ran};
use crate::error::{CommandError, codes};
use crate::session::Session;
use crate::ui::{Format, Listing};
use own_slave::OwnSlave;
use place::{Place, run_on_host};

/// Measure a cluster's throughput and latency through a slave
///
/// Writes keys `bench:0` to `bench:KEYS-1` in the default namespace, and reads them with --reads. Each connection keeps
/// a fixed number of requests in flight. The longest silence is the longest time without any reply: the outage that
/// applications see during a failover.
///
/// The load runs where one of the cluster's slaves runs: on this machine if there is one, otherwise on the slave's host, over
/// SSH. For a cluster without slaves, or with --own-slave, a temporary slave is started on this machine; it needs the cluster's
/// authority key and network access to the servers.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  bench -n c0\n  bench -n c0 --clients 64 --pipeline 16 --reads 90 --seconds 10\n  bench -n c0 --own-slave\n  bench --address 127.0.0.1:11211\n  bench --address redis://127.0.0.1:6379      a peer, with the same loader"
)]
pub struct Args {
    #[command(flatten)]
    pub of: OfCluster,
    /// Use this memcached listener instead; prefix redis:// for a RESP server
    #[arg(short = 'a', long, value_name = "ADDRESS:PORT")]
    pub address: Option<String>,
    /// Start a slave on this machine for the run instead of using one of the cluster's
    #[arg(long, conflicts_with = "address")]
    pub own_slave: bool,
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
    let place = match &args.address {
        Some(address) => {
            let (target, protocol) = parse_target(address);
            Place::Here { target, protocol }
        }
        None => {
            let name = session.cluster_name(args.of.name.as_ref())?;
            place::of(&session.inventory()?, &name, args.own_slave)?
        }
    };
    let (target, ran) = match place {
        Place::Here { target, protocol } => {
            let load = args.load(target.clone(), protocol);
            (target, run_here(&load).await?)
        }
        Place::Hosts(slaves) => run_on_host(session, &args, &slaves).await?,
        Place::OwnSlave(name) => {
            let slave = OwnSlave::start(session, &name).await?;
            let ran = run_here(&args.load(slave.listen.clone(), Protocol::Memcache)).await;
            slave.end().await;
            (format!("{name} (own slave)"), ran?)
        }
    };
    report(session, &args, &target, &ran)
}

impl Args {
    fn load(&self, target: String, protocol: Protocol) -> Load {
        Load {
            target,
            protocol,
            clients: self.clients,
            pipeline: self.pipeline,
            value_bytes: self.size as usize,
            keys: self.keys,
            read_percent: self.reads,
            keys_per_read: self.multiget,
            is_fill: self.fill,
            duration: Duration::from_secs(self.seconds),
        }
    }
}

async fn run_here(load: &Load) -> Result<Ran, CommandError> {
    bench::run(load).await.map_err(|cause| {
        failed(format!("bench of {}", load.target))
            .cause(cause.to_string())
            .now("no request was sent")
            .next("status slave     (is it running?)")
    })
}

fn failed(what: String) -> CommandError {
    CommandError::new(&codes::FAILED_BENCH, what)
}

fn report(session: &Session, args: &Args, target: &str, ran: &Ran) -> Result<(), CommandError> {
    let figures = &ran.figures;
    session.show(Format::Table, &listing(args, target, figures));
    let Some(error) = &ran.first_error else { return Ok(()) };
    let all = figures.errors + figures.operations;
    Err(failed(format!("bench of {target}: {} of {all} requests failed", figures.errors))
        .cause(error.clone()))
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
