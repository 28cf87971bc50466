//! The router against scripted servers: what it does when leaders move, answers are lost or nobody answers.

use std::sync::Arc;
use std::time::Duration;

use dkc_core::ids::{Namespace, NodeId, RingVersion, TabletId};
use dkc_core::kv::{Command, Expiry, Key, Read, Reply, StoreMode, Write};
use dkc_core::wire::{Answer, Request};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::testing::{Act, Cluster};
use super::*;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(700);
/// Enough for some pauses between attempts, on a busy machine too.
const SOME_PAUSES: Duration = Duration::from_secs(3);

fn key(name: &str) -> Key {
    Key { namespace: Namespace::default(), bytes: name.to_owned().into() }
}
fn set(name: &str) -> Command {
    let (key, value) = (key(name), "value".into());
    Command::Write(Write::Store { key, mode: StoreMode::Set, flags: 0, expiry: Expiry::Never, value })
}
fn get(name: &str) -> Command {
    Command::Read(Read::Get { key: key(name) })
}
fn stored() -> Act {
    Act::Answer(Answer::Reply(Reply::Stored { version: 1 }))
}
fn not_leader(leader: Option<u64>) -> Act {
    Act::Answer(Answer::NotLeader { leader: leader.map(NodeId), ring_version: RingVersion(1) })
}

/// Every request in the order in which servers saw them.
type Seen = Arc<Mutex<Vec<(u64, Request)>>>;

/// One set against three servers; the script gets the node and how many requests came before. The outcome, and
/// what the servers saw: `node:sequence`, with `!` for a retry.
async fn check(
    deadline: Duration,
    script: impl Fn(u64, usize) -> Act + Send + Sync + 'static,
    want: &str,
    want_seen: &str,
) {
    let seen = Seen::default();
    let seeing = seen.clone();
    let cluster = Cluster::start(3, 4, move |node, request, _| {
        let mut seen = seeing.lock();
        seen.push((node.0, request.clone()));
        script(node.0, seen.len() - 1)
    })
    .await;
    let outcome = match cluster.router(deadline).execute(set("k")).await {
        Ok(reply) => format!("{reply:?}"),
        Err(RouteError::Unknown { .. }) => "unknown".into(),
        Err(RouteError::Unreachable { why, .. }) => {
            why.split_once(": ").map_or(why.clone(), |(_, why)| why.into())
        }
        Err(RouteError::Refused(why)) => format!("refused {why}"),
        Err(RouteError::NoRoom { bytes }) => panic!("{bytes} bytes were not admitted, and nobody was asked"),
    };
    assert!(outcome.contains(want), "{outcome:?} does not contain {want:?}");
    let seen: Vec<String> = seen.lock().iter().map(describe).collect();
    let seen = seen.join(" ");
    assert!(seen.starts_with(want_seen), "servers saw {seen:?}, wanted {want_seen:?}");
}

fn describe((node, request): &(u64, Request)) -> String {
    format!("{node}:{}{}", request.sequence, if request.is_retry { "!" } else { "" })
}

#[tokio::test]
async fn a_write_goes_to_the_preferred_leader() {
    check(LONG, |_, _| stored(), "Stored", "1:1").await;
}

#[tokio::test]
async fn a_moved_leader_is_followed_with_the_same_sequence_and_without_a_retry_mark() {
    check(LONG, |node, _| if node == 3 { stored() } else { not_leader(Some(3)) }, "Stored", "1:1 3:1").await;
}

#[tokio::test]
async fn without_a_leader_the_others_are_asked_until_there_is_one() {
    check(
        LONG,
        |_, count| if count == 4 { stored() } else { not_leader(None) },
        "Stored",
        "1:1 2:1 3:1 1:1 2:1",
    )
    .await;
}

#[tokio::test]
async fn a_busy_leader_is_asked_again() {
    let script = |_, count| if count == 2 { stored() } else { Act::Answer(Answer::Busy) };
    check(LONG, script, "Stored", "1:1 1:1 1:1").await;
}

#[tokio::test]
async fn a_lost_answer_makes_the_next_sending_a_retry_elsewhere() {
    check(LONG, |_, count| if count == 0 { Act::Hang } else { stored() }, "Stored", "1:1 2:1!").await;
}

#[tokio::test]
async fn a_leader_that_is_silent_while_its_connection_stands_is_not_waited_for_until_the_deadline() {
    check(LONG, |node, _| if node == 1 { Act::Silence } else { stored() }, "Stored", "1:1 2:1!").await;
    // The second still takes the first for the leader, for a while.
    let script = |node, count| match (node, count) {
        (1, _) => Act::Silence,
        (_, 1) => not_leader(Some(1)),
        _ => stored(),
    };
    check(LONG, script, "Stored", "1:1 2:1! 1:1! 2:1!").await;
}

#[tokio::test]
async fn an_unknown_outcome_is_asked_again_as_a_retry() {
    let script = |_, count| if count == 0 { Act::Answer(Answer::Unknown) } else { stored() };
    check(LONG, script, "Stored", "1:1 1:1!").await;
    check(LONG, |_, _| Act::Answer(Answer::Unknown), "unknown", "1:1 1:1! 1:1!").await;
}

#[tokio::test]
async fn at_the_deadline_a_write_that_may_have_happened_is_unknown() {
    check(SHORT, |_, _| Act::Silence, "unknown", "1:1").await;
    check(SHORT, |_, count| if count == 0 { Act::Hang } else { not_leader(None) }, "unknown", "1:1 2:1!")
        .await;
}

#[tokio::test]
async fn at_the_deadline_a_write_that_did_not_happen_is_a_definite_error() {
    check(SHORT, |_, _| Act::Answer(Answer::Busy), "is busy", "1:1").await;
    check(SHORT, |_, _| not_leader(None), "knows no leader", "1:1").await;
    // Two servers that keep naming each other are asked with pauses.
    check(SOME_PAUSES, |node, _| not_leader(Some(3 - node)), "knows no leader", "1:1 2:1 1:1").await;
}

#[tokio::test]
async fn a_refusal_is_final_unless_an_earlier_sending_may_have_been_applied() {
    let refused = || Act::Answer(Answer::Refused("no room".into()));
    check(LONG, move |_, _| refused(), "refused no room", "1:1").await;
    check(LONG, move |_, count| if count == 0 { Act::Hang } else { refused() }, "unknown", "1:1 2:1!").await;
}

#[tokio::test]
async fn a_read_that_fails_is_never_unknown() {
    let cluster = Cluster::start(1, 1, |_, _, _| Act::Silence).await;
    let outcome = cluster.router(SHORT).execute(get("k")).await;
    assert!(matches!(outcome, Err(RouteError::Unreachable { .. })), "{outcome:?}");
}

#[tokio::test]
async fn an_unreachable_cluster_is_said_with_the_reason() {
    let cluster = Cluster::start(2, 1, |_, _, _| stored()).await;
    cluster.set_down(NodeId(1), true);
    cluster.set_down(NodeId(2), true);
    let error = cluster.router(SHORT).execute(set("k")).await.unwrap_err();
    assert!(error.to_string().contains("no ring map yet"), "{error}");
    assert!(!error.is_outcome_unknown());
}

#[tokio::test]
async fn service_resumes_when_the_leader_dies_and_when_it_comes_back() {
    let cluster = Cluster::start(2, 1, |_, _, _| stored()).await;
    let router = cluster.router(LONG);
    router.execute(set("k")).await.unwrap();
    for down in [NodeId(1), NodeId(2), NodeId(1)] {
        cluster.set_down(down, true);
        assert!(router.execute(set("k")).await.is_ok(), "with {down} down");
        cluster.set_down(down, false);
    }
}

#[tokio::test]
async fn a_newer_ring_is_followed() {
    let cluster = Cluster::start(3, 1, |node, _, _| match node.0 {
        3 => stored(),
        _ => Act::Answer(Answer::NotHere { ring_version: RingVersion(2) }),
    })
    .await;
    let router = cluster.router(LONG);
    assert_eq!(router.tablets().await.unwrap(), [TabletId(0)]);
    let setting = router.execute(set("k"));
    cluster.ring.send_modify(|ring| {
        ring.version = RingVersion(2);
        ring.tablets[0].voters = vec![NodeId(3)];
        ring.tablets[0].preferred_leader = NodeId(3);
        ring.tablets[0].epoch = 2;
    });
    assert!(setting.await.is_ok());
    let ring = router.ring().borrow().clone().unwrap();
    assert_eq!(ring.version, RingVersion(2));
    assert!(
        !router.set_ring(RingMap { version: RingVersion(1), ..(*ring).clone() }),
        "an older ring is not taken"
    );
}

#[tokio::test]
async fn many_calls_come_back_in_order_and_each_once() {
    let sequences: Arc<Mutex<Vec<(u16, u64)>>> = Arc::default();
    let seen = sequences.clone();
    let cluster = Cluster::start(3, 4, move |node, request, tablet| {
        // Each node leads the tablets whose number it divides out.
        let leader = u64::from(tablet.0) % 3 + 1;
        if node.0 != leader {
            return not_leader(Some(leader));
        }
        seen.lock().push((tablet.0, request.sequence));
        let Command::Write(Write::Increment { by, .. }) = &request.command else { panic!("only increments") };
        Act::Answer(Answer::Reply(Reply::Number { value: *by, version: 1 }))
    })
    .await;
    let router = cluster.router(LONG);
    let call = |by: u64| {
        let key = key(&format!("key{by}"));
        Call::from(Command::Write(Write::Increment { key, by, is_decrement: false }))
    };
    for round in 0..10 {
        let replies = router.execute_all((0..200).map(|n| call(round * 200 + n)).collect()).await;
        for (n, reply) in replies.into_iter().enumerate() {
            assert_eq!(reply, Ok(Reply::Number { value: round * 200 + n as u64, version: 1 }));
        }
    }
    let mut sequences = std::mem::take(&mut *sequences.lock());
    let count = sequences.len();
    sequences.sort();
    sequences.dedup();
    assert_eq!((count, sequences.len()), (2000, 2000), "a sequence was used twice or lost");
    assert_eq!(router.operations(), 2000);
}

#[tokio::test]
async fn a_command_for_every_tablet_reaches_every_tablet() {
    let seen: Arc<Mutex<Vec<u16>>> = Arc::default();
    let seeing = seen.clone();
    let cluster = Cluster::start(1, 6, move |_, _, tablet| {
        seeing.lock().push(tablet.0);
        Act::Answer(Answer::Reply(Reply::Done))
    })
    .await;
    let flush = Command::Write(Write::Flush { namespace: Namespace::default(), after_ms: 0 });
    let replies = cluster.router(LONG).execute_everywhere(flush).await.unwrap();
    assert_eq!(replies, vec![Ok(Reply::Done); 6]);
    let mut seen = seen.lock().clone();
    seen.sort();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn links_show_who_is_reached() {
    let cluster = Cluster::start(2, 1, |_, _, _| stored()).await;
    let router = cluster.router(LONG);
    router.execute(set("k")).await.unwrap();
    cluster.set_down(NodeId(1), true);
    router.execute(set("k")).await.unwrap();
    let until = Instant::now() + LONG;
    loop {
        let links = router.links();
        if !links[0].is_connected && links[0].error.is_some() && links[1].is_connected {
            return;
        }
        assert!(Instant::now() < until, "{links:?}");
        tokio::task::yield_now().await;
    }
}
