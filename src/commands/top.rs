//! `top`: a cluster in full screen, refreshed every few seconds; lines without a terminal.

use std::time::{Duration, Instant};

use dkc_core::ids::ClusterName;
use dkc_inventory::live::{Live, Look, Picture};
use serde::Serialize;

use crate::arguments::OfCluster;
use crate::error::{CommandError, Exit, codes};
use crate::observe::Scope;
use crate::operation;
use crate::session::Session;
use crate::ui::numbers::{latency, rate};
use crate::ui::top::{Key, Screen, View};
use crate::ui::{Format, Listing};

/// Watch a cluster: operations, latencies, ring, merges and events
///
/// On a terminal, top fills the screen: Tab chooses the list (servers, tablets, slaves, events), Enter opens a row, ? shows all
/// keys. Without a terminal it prints one line for each look, and one for each event.
///
/// Rates and latencies are those between two looks. The latency of a write is that of its tablet's leader, from the proposal to the
/// answer; that of a slave is what applications see.
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES\n  top\n  top -n c0 --interval 5s\n  top -n c0 --count 3 -o jsonl")]
pub struct Args {
    #[command(flatten)]
    pub of: OfCluster,
    /// Time between two looks
    #[arg(long, value_name = "TIME", value_parser = crate::arguments::parse_duration, default_value = "2s")]
    pub interval: Duration,
    /// End after so many looks
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
}

/// Where and since when a cluster is looked at.
struct Place {
    name: ClusterName,
    began: Instant,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let place = Place { name: session.cluster_name(args.of.name.as_ref())?, began: Instant::now() };
    let mut live = Live::default();
    // Before the screen is taken: it may ask for a password or for trust.
    live.take(place.look(session).await?);
    let count = args.count.unwrap_or(u64::MAX);
    let is_screen = session.ui.is_full_screen() && session.settings.output.is_none();
    let interrupt = session.interrupt.clone();
    let view = View::new(args.interval);
    let watching = async {
        match is_screen {
            true => watch(session, &place, live, view, count).await,
            false => list(session, &place, live, view.interval, count).await,
        }
    };
    tokio::select! {
        biased;
        () = interrupt.pressed(1) => Err(CommandError::silent(Exit::Interrupted)),
        ended = watching => ended,
    }
}

impl Place {
    async fn look(&self, session: &mut Session) -> Result<Look, CommandError> {
        let inventory = session.inventory()?;
        let of_cluster = inventory.slaves.iter().filter(|(_, slave)| slave.cluster == self.name);
        let slaves = of_cluster.filter_map(|(id, _)| inventory.slave_node(*id));
        let nodes = inventory.servers_of(&self.name).into_iter().chain(slaves);
        let hosts = nodes.filter_map(|node| inventory.host_of(&node));
        let scope = Scope::of(hosts, session.timeout());
        let scope = Scope { down_limit: Some(super::status::DOWN_TIMEOUT.min(session.timeout())), ..scope };
        let (inventory, observed) = operation::observe_scope(session, scope).await?;
        let at_ms = self.began.elapsed().as_millis() as u64;
        Look::of(&inventory, &observed, &self.name, at_ms).ok_or_else(|| {
            let words = format!("top: cluster {} is not registered any more", self.name);
            CommandError::new(&codes::UNKNOWN_CLUSTER, words)
        })
    }
}

/// The full screen, until a key ends it.
async fn watch(
    session: &mut Session,
    place: &Place,
    mut live: Live,
    mut view: View,
    count: u64,
) -> Result<(), CommandError> {
    let failed = |error: std::io::Error| CommandError::new(&codes::TERMINAL, format!("top: {error}"));
    let has_color = session.ui.has_color();
    let mut screen = Screen::enter().map_err(failed)?;
    for _ in 1..count {
        // A host that does not answer keeps no key from being answered.
        let interval = view.interval;
        let look = async {
            tokio::time::sleep(interval).await;
            place.look(session).await
        };
        let mut look = std::pin::pin!(look);
        let looked = loop {
            screen.draw(&live, &view, has_color).map_err(failed)?;
            tokio::select! {
                looked = &mut look, if !view.is_paused => break looked,
                key = screen.keys.recv() => match key {
                    Some(Key::Interrupt) => return Err(CommandError::silent(Exit::Interrupted)),
                    None => return Ok(()),
                    Some(Key::Quit) if !view.is_help => return Ok(()),
                    Some(key) => view.press(key, &live),
                },
            }
        };
        live.take(looked?);
    }
    Ok(())
}

/// Lines, for a pipe.
async fn list(
    session: &mut Session,
    place: &Place,
    mut live: Live,
    interval: Duration,
    count: u64,
) -> Result<(), CommandError> {
    for look in 0..count {
        if look > 0 {
            tokio::time::sleep(interval).await;
            live.take(place.look(session).await?);
        }
        if let Some(picture) = &live.picture {
            show(session, picture);
        }
        let new = live.events.iter().filter(|event| Some(event.at_ms) == live.now_ms());
        new.for_each(|event| session.ui.say(&event.words));
    }
    Ok(())
}

/// One look, for scripts.
#[derive(Serialize)]
struct Shown {
    cluster: String,
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ring_version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reads_per_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    writes_per_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    write_p50_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    write_p99_us: Option<u64>,
    what: String,
}

fn show(session: &Session, picture: &Picture) {
    let rates = picture.rates.as_ref();
    let quantile = |per_mille| rates.and_then(|rates| rates.write_latency.per_mille_us(per_mille));
    let shown = Shown {
        cluster: picture.name.clone(),
        status: picture.state.to_string(),
        ring_version: picture.ring_version,
        reads_per_s: rates.map(|rates| rates.reads_per_s),
        writes_per_s: rates.map(|rates| rates.writes_per_s),
        write_p50_us: quantile(500),
        write_p99_us: quantile(990),
        what: picture.words.clone(),
    };
    let words = format!(
        "{}: {}; {} reads/s, {} writes/s, write p50 {}, p99 {}; {}",
        shown.cluster,
        shown.status,
        rate(shown.reads_per_s),
        rate(shown.writes_per_s),
        latency(shown.write_p50_us),
        latency(shown.write_p99_us),
        shown.what
    );
    if session.settings.output.is_none() {
        return session.ui.data_line(&words);
    }
    let mut listing = Listing::new(&["look"]);
    listing.push(vec![words], shown);
    session.show(Format::Table, &listing);
}
