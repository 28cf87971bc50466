//! What goes wrong during the safety phase, drawn from the seed: processes killed, hosts without power, one or all at
//! once; processes that stand still; ways cut, both or one; slow ways, slow disks, clocks that jump.

use std::rc::Rc;
use std::time::Duration;

use dkc_core::meta::MemberChange;
use dkcd::simulation::process::CrashKind;
use dkcd::simulation::world;
use tokio::time::Instant;

use crate::cluster::{Cluster, Fate, Member, pick};
use crate::record::{IsolatedChange, Record};

/// How often it is looked whether a fault begins or ends.
const LOOK: Duration = Duration::from_millis(20);
/// Pause between two faults.
const PAUSE_MAX_MS: u64 = 1_200;
const DOWN_MAX_MS: u64 = 2_500;
const PAUSED_MAX_MS: u64 = 2_000;
const CUT_MAX_MS: u64 = 3_000;
const WAY_SLOW_MAX_MS: u64 = 150;
const DISK_SLOW_MAX_MS: u64 = 250;
const CLOCK_JUMP_MAX_MS: u64 = 5_000;
/// Time in which an isolated node surely has nobody who hears it.
const ISOLATED_FOR: Duration = Duration::from_millis(1_500);

/// How a fault ends.
enum Ending {
    Start(Rc<Member>),
    Resume(Rc<Member>),
    Heal,
    FastDisk(Rc<Member>),
}

/// Makes faults until the time is up. What is broken then stays so: healing is another's work.
pub async fn run(cluster: &Cluster, record: &Record, until: Instant) {
    let mut due: Vec<(Instant, Ending)> = Vec::new();
    let mut next = Instant::now() + pause(PAUSE_MAX_MS);
    while Instant::now() < until {
        tokio::time::sleep(LOOK).await;
        let now = Instant::now();
        let (over, later): (Vec<_>, Vec<_>) = due.into_iter().partition(|(at, _)| *at <= now);
        due = later;
        for (_, end) in over {
            end.carry_out().await;
        }
        if now >= next {
            next = now + pause(PAUSE_MAX_MS);
            due.extend(begin(cluster, record).await);
        }
    }
}

fn pause(max_ms: u64) -> Duration {
    Duration::from_millis(20 + world().draw(max_ms))
}

fn in_time(max_ms: u64) -> Instant {
    Instant::now() + pause(max_ms)
}

impl Ending {
    async fn carry_out(self) {
        match self {
            Ending::Start(member) => member.start().await,
            Ending::Resume(member) => {
                if let Some(process) = member.process() {
                    process.resume();
                }
            }
            Ending::Heal => world().network().heal(),
            Ending::FastDisk(member) => world().disk(member.host()).set_slowness_ms(0),
        }
    }
}

async fn begin(cluster: &Cluster, record: &Record) -> Vec<(Instant, Ending)> {
    let Some(member) = cluster.any_running() else { return Vec::new() };
    let world = world();
    match world.draw(100) {
        0..=19 => {
            record.count("kill -9");
            down(member, CrashKind::Kill)
        }
        20..=37 => {
            record.count("power cuts");
            down(member, CrashKind::PowerCut)
        }
        38..=43 => {
            record.count("power cuts of all");
            cluster.running().into_iter().flat_map(|member| down(member, CrashKind::PowerCut)).collect()
        }
        44..=57 => {
            record.count("pauses");
            if let Some(process) = member.process() {
                process.pause();
            }
            vec![(in_time(PAUSED_MAX_MS), Ending::Resume(member))]
        }
        58..=67 => {
            record.count("one-way cuts");
            cut_one_way(cluster, &member);
            vec![(in_time(CUT_MAX_MS), Ending::Heal)]
        }
        68..=77 => {
            record.count("isolations");
            isolate(&member, cluster);
            vec![(in_time(CUT_MAX_MS), Ending::Heal)]
        }
        78..=80 => {
            record.count("isolations with a change of members");
            change_while_isolated(cluster, record, &member).await;
            vec![(in_time(CUT_MAX_MS), Ending::Heal)]
        }
        81..=87 => {
            record.count("slow ways");
            slow_ways(cluster, &member);
            vec![(in_time(CUT_MAX_MS), Ending::Heal)]
        }
        88..=94 => {
            record.count("slow disks");
            world.disk(member.host()).set_slowness_ms(1 + world.draw(DISK_SLOW_MAX_MS));
            vec![(in_time(CUT_MAX_MS), Ending::FastDisk(member))]
        }
        _ => {
            record.count("clock jumps");
            if let Some(process) = member.process() {
                let jump_ms = world.draw(2 * CLOCK_JUMP_MAX_MS) as i64 - CLOCK_JUMP_MAX_MS as i64;
                process.set_clock_offset_ms(process.clock_offset_ms() + jump_ms);
            }
            Vec::new()
        }
    }
}

fn down(member: Rc<Member>, how: CrashKind) -> Vec<(Instant, Ending)> {
    member.end(how);
    vec![(in_time(DOWN_MAX_MS), Ending::Start(member))]
}

fn hosts_but(cluster: &Cluster, member: &Member) -> Vec<String> {
    cluster.all().iter().filter(|m| m.host() != member.host()).map(|m| m.host().to_owned()).collect()
}

fn cut_one_way(cluster: &Cluster, member: &Member) {
    let world = world();
    let is_deaf = world.chance(50);
    for other in hosts_but(cluster, member).into_iter().filter(|_| world.chance(60)) {
        match is_deaf {
            true => world.network().cut(&other, member.host()),
            false => world.network().cut(member.host(), &other),
        }
    }
}

/// From all servers; clients reach it still.
fn isolate(member: &Member, cluster: &Cluster) {
    for other in hosts_but(cluster, member) {
        world().network().cut(&other, member.host());
        world().network().cut(member.host(), &other);
    }
}

fn slow_ways(cluster: &Cluster, member: &Member) {
    let world = world();
    for other in hosts_but(cluster, member) {
        world.network().slow_down(member.host(), &other, world.draw(WAY_SLOW_MAX_MS));
        world.network().slow_down(&other, member.host(), world.draw(WAY_SLOW_MAX_MS));
    }
}

/// Cut off from everybody it is told to send the others away (M4).
async fn change_while_isolated(cluster: &Cluster, record: &Record, member: &Member) {
    let members = cluster.of_fate(Fate::Member);
    let Some(other) = pick(&members).filter(|other| other.id() != member.id()) else { return };
    // A meta group of one voter may go on alone.
    if member.server().is_none_or(|server| server.meta().group().voters().len() < 3) {
        return;
    }
    isolate(member, cluster);
    let heals = world().network().heals();
    let change = MemberChange::ServiceOut { node: other.id() };
    let word = change.word();
    let asking = member.change(None, change);
    let Ok(answer) = tokio::time::timeout(ISOLATED_FOR, asking).await else { return };
    let is_done = matches!(answer, Some(dkc_core::control::ControlReply::Ok));
    if world().network().heals() != heals {
        return;
    }
    record.isolated_changes.borrow_mut().push(IsolatedChange { node: member.id(), word, is_done });
}
