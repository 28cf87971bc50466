//! How much the tablets that this node leads have to do, and how much the other servers do: what splits for load are decided by.
//! A server with something to do tells the others once in each window; of one that says nothing the load is taken for none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dkc_core::ids::{NodeId, TabletId};
use dkc_core::ring::TabletLoad;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::raft::Transport;

/// Body of a `PeerControl`: the node with this id (u64) carries so many operations a second (u64).
const LOAD: &[u8] = b"\x01load";

/// The loads that other servers have told.
pub struct ServerLoads {
    node: NodeId,
    transport: Arc<Transport>,
    told: Mutex<BTreeMap<NodeId, (u64, Instant)>>,
}

impl ServerLoads {
    pub fn new(node: NodeId, transport: Arc<Transport>) -> ServerLoads {
        ServerLoads { node, transport, told: Mutex::default() }
    }

    /// Takes another server's load; false for other messages.
    pub fn hear(&self, body: &[u8]) -> bool {
        let Some((node, per_s)) = decode(body) else { return false };
        self.told.lock().insert(node, (per_s, Instant::now()));
        true
    }

    /// Of all other servers together, as told within `recent`.
    pub fn others_per_s(&self, recent: Duration) -> u64 {
        let mut told = self.told.lock();
        told.retain(|_, (_, at)| at.elapsed() <= recent);
        told.values().fold(0, |sum, (per_s, _)| sum.saturating_add(*per_s))
    }

    /// Tells every connected server; who misses it is told again in the next window.
    pub async fn tell(&self, per_s: u64) {
        self.transport.tell_connected(encode(self.node, per_s)).await;
    }
}

fn encode(node: NodeId, per_s: u64) -> Bytes {
    [LOAD, &node.0.to_be_bytes(), &per_s.to_be_bytes()].concat().into()
}

fn decode(body: &[u8]) -> Option<(NodeId, u64)> {
    let (node, per_s) = body.strip_prefix(LOAD)?.split_first_chunk()?;
    let per_s = per_s.try_into().ok()?;
    Some((NodeId(u64::from_be_bytes(*node)), u64::from_be_bytes(per_s)))
}

/// The operations of the tablets that this node leads, window by window.
pub struct LoadWindows {
    since: Instant,
    counted: BTreeMap<TabletId, (u64, u64)>,
}

impl LoadWindows {
    pub fn new(now: Instant) -> LoadWindows {
        LoadWindows { since: now, counted: BTreeMap::new() }
    }

    /// Once a window is over: the load of each tablet that was led through all of it. `counted` are operations since the
    /// start, by half.
    pub fn end(
        &mut self,
        now: Instant,
        window: Duration,
        counted: impl FnOnce() -> BTreeMap<TabletId, (u64, u64)>,
    ) -> Option<BTreeMap<TabletId, TabletLoad>> {
        let elapsed_ms = now.duration_since(self.since).as_millis() as u64;
        if elapsed_ms < window.as_millis() as u64 {
            return None;
        }
        let counted = counted();
        let per_s =
            |before: u64, after: u64| after.saturating_sub(before).saturating_mul(1000) / elapsed_ms.max(1);
        let loads = counted.iter().filter_map(|(tablet, (lower, upper))| {
            let (lower_before, upper_before) = *self.counted.get(tablet)?;
            let lower_per_s = per_s(lower_before, *lower);
            Some((*tablet, TabletLoad { lower_per_s, upper_per_s: per_s(upper_before, *upper) }))
        });
        let loads = loads.collect();
        (self.since, self.counted) = (now, counted);
        Some(loads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_read_as_it_was_told_and_nothing_else_is() {
        let told = encode(NodeId(7), 1_000_000);
        assert_eq!(decode(&told), Some((NodeId(7), 1_000_000)));
        assert_eq!(decode(&told[..told.len() - 1]), None);
        assert_eq!(decode(&[&told[..], b"x"].concat()), None);
        assert_eq!(decode(b"\x01stopping"), None);
    }

    #[test]
    fn a_window_tells_the_tablets_that_were_led_through_all_of_it() {
        let begin = Instant::now();
        let window = Duration::from_secs(10);
        let mut windows = LoadWindows::new(begin);
        let counted = |tablets: &[(u16, u64, u64)]| {
            tablets.iter().map(|(tablet, lower, upper)| (TabletId(*tablet), (*lower, *upper))).collect()
        };
        let early = windows.end(begin + window / 2, window, || panic!("the window is not over"));
        assert_eq!(early, None);
        let first = windows.end(begin + window, window, || counted(&[(0, 50, 70), (1, 0, 0)]));
        assert_eq!(first, Some(BTreeMap::new()), "nothing was counted before");
        let second = windows.end(begin + 3 * window, window, || counted(&[(0, 250, 71), (2, 9, 9)]));
        let load = TabletLoad { lower_per_s: 10, upper_per_s: 0 };
        assert_eq!(second, Some(BTreeMap::from([(TabletId(0), load)])));
        // The replica was opened anew and counts from nothing.
        let third = windows.end(begin + 4 * window, window, || counted(&[(0, 5, 5)]));
        assert_eq!(third, Some(BTreeMap::from([(TabletId(0), TabletLoad::default())])));
    }
}
