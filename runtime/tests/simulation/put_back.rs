//! A server's disk is put back from an older copy of itself, and often the servers that know best what it forgets are down just then:
//! its leader for a while, and another one restarts after a power cut that took what it had not synced. It happens at the end of the
//! safety phase of some worlds, while clients work and nothing else breaks.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use dkc_core::ids::GroupId;
use dkcd::simulation::disk::{GroupImage, LogDisk};
use dkcd::simulation::process::{CrashKind, Process};
use dkcd::simulation::world;
use tokio::time::Instant;

use crate::cluster::{Cluster, Fate, Member, pick};
use crate::operators::can_spare_one;
use crate::record::{PutBack, Record};

const LOOK: Duration = Duration::from_millis(20);
/// Worlds in which it happens, in percent.
pub const WORLDS_PERCENT: u64 = 20;
/// Servers that were cut off from each other connect again, and merges end, or it does not happen.
const CALM_MAX: Duration = Duration::from_secs(8);
/// While the copy ages.
const AGE_MIN_MS: u64 = 300;
const AGE_MORE_MS: u64 = 1_500;
/// What was synced so long ago, another server has been told and has written down.
const REMEMBERED_AFTER: Duration = Duration::from_millis(1_500);
/// One that is refused has ended after it.
const REFUSED_AFTER: Duration = Duration::from_millis(2_500);
const DISK_SLOW_MAX_MS: u64 = 250;
const DISASTER_PERCENT: u64 = 70;

/// The servers in it.
struct Cast {
    /// Its disk is put back.
    old: Rc<Member>,
    /// It was told how far the other's log has come, and is up when that returns.
    witness: Rc<Member>,
    /// It may be down then.
    third: Rc<Member>,
}

fn cast(cluster: &Cluster) -> Option<Cast> {
    let mut running = cluster.running();
    let mut draw = || {
        let one = pick(&running)?;
        running.retain(|member| member.id() != one.id());
        Some(one)
    };
    Some(Cast { old: draw()?, witness: draw()?, third: draw()? })
}

impl Cast {
    fn is_whole(&self) -> bool {
        [&self.old, &self.witness, &self.third]
            .iter()
            .all(|member| member.fate.get() == Fate::Member && member.process().is_some())
    }

    /// The two talk to each other.
    fn is_witnessed(&self) -> bool {
        self.is_whole() && self.old.server().is_some_and(|server| server.liveness().is_up(self.witness.id()))
    }
}

/// Of each group the vote and the last entry: what others rely on. Opening a log may purge, which promises nothing.
type Promises = BTreeMap<GroupId, (Option<Bytes>, Option<(u64, Bytes)>)>;

fn promises(log: &LogDisk) -> Promises {
    let of_group = |image: &GroupImage| {
        let last = image.entries.back().map(|entry| (image.next() - 1, entry.clone()));
        (image.vote.clone(), last)
    };
    log.synced.iter().map(|(group, image)| (*group, of_group(image))).collect()
}

fn has_promised(before: &Promises, after: &Promises) -> bool {
    let nothing = (None, None);
    after.iter().any(|(group, (vote, last))| {
        let (vote_before, last_before) = before.get(group).unwrap_or(&nothing);
        vote != vote_before || (last.is_some() && last != last_before)
    })
}

fn synced_count(member: &Member) -> u64 {
    world().disk(member.host()).lock().log.synced_count
}

/// Waits until a server can be spared and two others talk to each other.
async fn calm(cluster: &Cluster) -> Option<Cast> {
    let until = Instant::now() + CALM_MAX;
    while Instant::now() < until {
        let cast = cast(cluster).filter(|cast| cast.is_witnessed() && can_spare_one(cluster, 3));
        if cast.is_some() {
            return cast;
        }
        tokio::time::sleep(LOOK).await;
    }
    None
}

/// The caller has repaired everything and breaks nothing until this has ended.
pub async fn put_back(cluster: &Cluster, record: &Record) {
    let Some(cast) = calm(cluster).await else { return };
    let copy = world().disk(cast.old.host()).copy();
    let (copied_count, copied) = (copy.log.synced_count, promises(&copy.log));
    if world().chance(50) {
        world().disk(cast.witness.host()).set_slowness_ms(world().draw(DISK_SLOW_MAX_MS));
    }
    tokio::time::sleep(Duration::from_millis(AGE_MIN_MS + world().draw(AGE_MORE_MS))).await;
    let remembered_count = synced_count(&cast.old);
    tokio::time::sleep(REMEMBERED_AFTER).await;
    if !cast.is_witnessed() || !can_spare_one(cluster, 3) {
        return;
    }
    cluster.has_lost.set(true);
    record.count("disks put back");
    let is_disaster = world().chance(DISASTER_PERCENT);
    if is_disaster {
        cast.witness.end(CrashKind::PowerCut);
        cast.third.end(CrashKind::Kill);
    }
    cast.old.end(if world().chance(50) { CrashKind::Kill } else { CrashKind::PowerCut });
    let last_count = synced_count(&cast.old);
    world().disk(cast.old.host()).put_back(copy);
    world().disk(cast.witness.host()).set_slowness_ms(0);
    cast.witness.start().await;
    let witness = cast.witness.process();
    cast.old.start().await;
    let is_refused = ends(&cast.old).await;
    // Whoever else was at work may have sent it away.
    let is_still = |before: &std::sync::Arc<Process>| {
        cast.witness.process().is_some_and(|now| std::sync::Arc::ptr_eq(before, &now))
    };
    record.put_backs.borrow_mut().push(PutBack {
        node: cast.old.id(),
        has_forgotten: copied_count < remembered_count,
        has_lost_nothing: copied_count == last_count,
        is_witnessed: witness.is_some_and(|before| is_still(&before)),
        is_refused,
        has_promised: has_promised(&copied, &promises(&world().disk(cast.old.host()).lock().log)),
    });
    if copied_count < last_count && cast.old.fate.get() == Fate::Member {
        cast.old.end(CrashKind::PowerCut);
        cast.old.fate.set(Fate::Lost);
    }
    cast.third.start().await;
}

/// Whether the server ends by itself.
async fn ends(member: &Member) -> bool {
    let until = Instant::now() + REFUSED_AFTER;
    while member.process().is_some() && Instant::now() < until {
        tokio::time::sleep(LOOK).await;
    }
    member.process().is_none()
}
