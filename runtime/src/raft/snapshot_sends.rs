//! Snapshots that this node sends: their common rate limit, and the progress of each. The limit leaves disk and
//! network bandwidth to the service while replicas move.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dkc_core::control::Transfer;
use dkc_core::ids::{GroupId, NodeId};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Shared by all groups of a node.
#[derive(Clone)]
pub struct SnapshotSends(Arc<Inner>);

struct Inner {
    bytes_per_s: AtomicU64,
    /// The budget is used up until then.
    free_at: Mutex<Instant>,
    under_way: Mutex<BTreeMap<(GroupId, NodeId), SendProgress>>,
}

#[derive(Clone, Copy)]
struct SendProgress {
    began: Instant,
    bytes_sent: u64,
    bytes_total: u64,
}

impl SnapshotSends {
    pub fn new(bytes_per_s: u64) -> SnapshotSends {
        SnapshotSends(Arc::new(Inner {
            bytes_per_s: AtomicU64::new(bytes_per_s.max(1)),
            free_at: Mutex::new(Instant::now()),
            under_way: Mutex::default(),
        }))
    }

    /// Applies to the next chunks; chunks already scheduled keep their time.
    pub fn set_bytes_per_s(&self, bytes_per_s: u64) {
        self.0.bytes_per_s.store(bytes_per_s.max(1), Ordering::Relaxed);
    }

    /// Counts a snapshot as in progress until the guard is dropped.
    pub fn begin(&self, group: GroupId, to: NodeId, bytes_total: u64) -> SnapshotSend {
        let progress = SendProgress { began: Instant::now(), bytes_sent: 0, bytes_total };
        self.0.under_way.lock().insert((group, to), progress);
        SnapshotSend { sending: self.clone(), key: (group, to) }
    }

    /// When the next chunk of this size may be sent, after all chunks scheduled before.
    fn allow(&self, bytes: usize, now: Instant) -> Instant {
        let bytes_per_s = self.0.bytes_per_s.load(Ordering::Relaxed);
        let mut free_at = self.0.free_at.lock();
        let from = (*free_at).max(now);
        *free_at = from + Duration::from_secs_f64(bytes as f64 / bytes_per_s as f64);
        from
    }

    /// Replicas being sent, for status.
    pub fn transfers(&self) -> Vec<Transfer> {
        let under_way = self.0.under_way.lock();
        let transfer = |(&(group, to), progress): (&(GroupId, NodeId), &SendProgress)| {
            let elapsed_ms = progress.began.elapsed().as_millis().max(1) as u64;
            Some(Transfer {
                tablet: group.tablet()?,
                to,
                bytes_sent: progress.bytes_sent,
                bytes_total: progress.bytes_total.max(progress.bytes_sent),
                bytes_per_s: progress.bytes_sent.saturating_mul(1000) / elapsed_ms,
            })
        };
        under_way.iter().filter_map(transfer).collect()
    }
}

/// One snapshot being sent.
pub struct SnapshotSend {
    sending: SnapshotSends,
    key: (GroupId, NodeId),
}

impl SnapshotSend {
    /// Waits until a chunk may be sent, and counts it.
    pub async fn chunk(&self, bytes: usize) {
        tokio::time::sleep_until(self.sending.allow(bytes, Instant::now())).await;
        if let Some(progress) = self.sending.0.under_way.lock().get_mut(&self.key) {
            progress.bytes_sent += bytes as u64;
        }
    }
}

impl Drop for SnapshotSend {
    fn drop(&mut self) {
        self.sending.0.under_way.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_sent_together_keeps_to_the_pace() {
        let sending = SnapshotSends::new(1000);
        let now = Instant::now();
        let at_ms = |bytes, at: Instant| sending.allow(bytes, at).duration_since(now).as_millis();
        assert_eq!([at_ms(500, now), at_ms(500, now), at_ms(2000, now), at_ms(1, now)], [0, 500, 1000, 3000]);
        // Idle time does not accumulate.
        let later = now + Duration::from_secs(60);
        assert_eq!([at_ms(500, later), at_ms(500, later)], [60_000, 60_500]);
        sending.set_bytes_per_s(100);
        let slower = later + Duration::from_secs(60);
        assert_eq!([at_ms(500, slower), at_ms(500, slower)], [120_000, 125_000]);
    }

    #[tokio::test]
    async fn what_is_under_way_is_told_until_it_ends() {
        let sending = SnapshotSends::new(1 << 30);
        let one = sending.begin(GroupId(1), NodeId(2), 900);
        for _ in 0..3 {
            one.chunk(500).await;
        }
        let seen: Vec<_> =
            sending.transfers().iter().map(|t| (t.to.0, t.bytes_sent, t.bytes_total)).collect();
        assert_eq!(seen, [(2, 1500, 1500)]);
        drop(one);
        assert!(sending.transfers().is_empty());
    }
}
