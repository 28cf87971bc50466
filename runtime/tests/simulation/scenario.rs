//! One run: a cluster is founded, clients work, faults and operators do their worst for a while, then everything is
//! repaired and must come to rest; at last everything is read again.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use dkc_core::ids::{NodeId, TabletId};
use dkcd::simulation::{self, Mutant, observe, set_active, world};
use dkcd::storage::has_position_of;
use tokio::time::Instant;

use crate::clients::{Client, Clients};
use crate::cluster::Cluster;
use crate::record::{Newcomer, Record};
use crate::{faults, healing, operators, put_back};

/// How long the safety phase lasts, in simulated milliseconds.
const SAFETY_MIN_MS: u64 = 5_000;
const SAFETY_MORE_MS: u64 = 6_000;
/// Clients go on for a while after healing, so that what was in doubt is looked at.
const AFTERWARDS: Duration = Duration::from_millis(1_500);
/// The servers are looked at so often for what clients cannot see.
const OBSERVE: Duration = Duration::from_millis(10);
/// A founding that takes longer has failed.
const FOUND_MAX: Duration = Duration::from_secs(30);

/// What a run came to.
pub struct Run {
    pub seed: u64,
    pub violations: Vec<String>,
    pub counts: BTreeMap<&'static str, u64>,
    /// Of all that was told to anybody: two runs of a seed agree in it.
    pub digest: u64,
}

/// Runs one seed, with a known bug put back or none.
pub fn run(seed: u64, mutant: Option<Mutant>) -> Run {
    set_active(mutant);
    observe::take_applied();
    let record = Rc::new(Record::default());
    simulation::run(seed, || play(record.clone()));
    set_active(None);
    *record.applied.borrow_mut() = observe::take_applied();
    let violations = crate::checkers::violations(&record);
    let counts = record.counts.borrow().clone();
    Run { seed, violations, counts, digest: digest(&record) }
}

fn digest(record: &Record) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    format!("{:?}{:?}", record.history.borrow(), record.last.borrow()).hash(&mut hasher);
    record.applied.borrow().len().hash(&mut hasher);
    hasher.finish()
}

async fn play(record: Rc<Record>) {
    if let Err(why) = phases(&record).await {
        *record.unrest.borrow_mut() = Some(why);
    }
    *record.failure.borrow_mut() = world().failure();
}

async fn phases(record: &Rc<Record>) -> Result<(), String> {
    let founders = [1, 3, 3, 3, 4, 5][world().draw(6) as usize];
    let cluster = Cluster::new(founders, 1 + world().draw(3) as u16);
    let founding = tokio::time::timeout(FOUND_MAX, cluster.found()).await;
    founding.map_err(|_| "not founded in time")?.map_err(|why| format!("not founded: {why}"))?;
    let clients: Vec<Client> =
        (1..=2).map(|number| Client::new(number, &cluster, cluster.founders.clone())).collect();
    let work = Clients::new(record.clone());
    let is_observed = Cell::new(true);
    let working = futures::future::join_all(clients.iter().flat_map(|client| {
        let work = &work;
        [work.work(client), work.work(client)]
    }));
    let ordeal = async {
        let ended = ordeal(&cluster, record).await;
        work.is_over.set(true);
        is_observed.set(false);
        ended
    };
    let (_, (), ended) = tokio::join!(biased; working, observe(&cluster, record, &is_observed), ordeal);
    ended?;
    finish(&cluster, record, &work, &clients[0]).await
}

/// The safety phase, then healing.
async fn ordeal(cluster: &Cluster, record: &Record) -> Result<(), String> {
    let until = Instant::now() + Duration::from_millis(SAFETY_MIN_MS + world().draw(SAFETY_MORE_MS));
    tokio::join!(
        biased;
        faults::run(cluster, record, until),
        operators::run(cluster, record, until),
        operators::split(cluster, record, until),
        operators::operate(cluster, record, 1, until),
        operators::operate(cluster, record, 2, until),
    );
    healing::repair(cluster).await;
    if world().chance(put_back::WORLDS_PERCENT) {
        put_back::put_back(cluster, record).await;
    }
    tokio::time::sleep(AFTERWARDS).await;
    match world().failure() {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

async fn finish(cluster: &Cluster, record: &Record, work: &Clients, client: &Client) -> Result<(), String> {
    healing::come_to_rest(cluster, record).await?;
    work.read_everything(client).await?;
    healing::let_zombies_rise(cluster, record).await;
    operators::same_name_again(cluster, record).await;
    healing::come_to_rest(cluster, record).await?;
    let ring = operators::newest_ring(cluster).ok_or("no ring map")?;
    *record.last.borrow_mut() = Some(healing::look(cluster, &ring));
    Ok(())
}

/// Looks at what clients cannot see: who gets a vote, and with what in hand.
async fn observe(cluster: &Cluster, record: &Record, is_observed: &Cell<bool>) {
    // The newest term in which anybody led the tablet, and its voters then.
    let mut known: BTreeMap<TabletId, (u64, BTreeSet<NodeId>)> = BTreeMap::new();
    while is_observed.get() {
        tokio::time::sleep(OBSERVE).await;
        for member in cluster.running() {
            for group in member.server().iter().flat_map(|server| server.replicas().tablets()) {
                let Some(tablet) = group.id.tablet().filter(|_| group.is_leader()) else { continue };
                let (term, voters) = (group.progress().term, group.voters());
                let (newest, before) = known.entry(tablet).or_insert_with(|| (term, voters.clone()));
                // One that stood still believes that it leads, with voters of long ago.
                if term < *newest {
                    continue;
                }
                let newcomers: Vec<NodeId> = voters.difference(before).copied().collect();
                (*newest, *before) = (term, voters);
                for node in newcomers {
                    look_at_newcomer(cluster, record, tablet, node);
                }
            }
        }
    }
}

fn look_at_newcomer(cluster: &Cluster, record: &Record, tablet: TabletId, node: NodeId) {
    let member = cluster.running().into_iter().find(|member| member.id() == node);
    // One that does not run cannot be asked; that case has a rule of its own in the driver.
    let Some(member) = member else { return };
    let disk = world().disk(member.host());
    let has_state = {
        let disk = disk.lock();
        disk.has_log_of(tablet.group()) || has_position_of(&disk.state, tablet.group())
    };
    record.count("replicas that got a vote");
    record.newcomers.borrow_mut().push(Newcomer { tablet, node, has_state });
}
