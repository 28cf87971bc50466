//! Stops before the disk is full. The state store takes no more writes for good once it has met a full disk, so a
//! node that is short of space takes no data any more while there is still some: it answers its clients with
//! `Busy`, lets appends with data go unanswered and hands its leadership to others. When there is space again it goes on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::server::Server;

/// Room that the state store keeps for flushing what it has already taken: its journals and one compaction.
const RESERVE_BYTES: u64 = 128 * 1024 * 1024;
/// Space that must be there again before the node goes on, so that it does not do so by turns.
const ENOUGH_BYTES: u64 = RESERVE_BYTES + 64 * 1024 * 1024;
/// A disk of 1 GB/s cannot use up the reserve's larger part between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// Others forget after half a minute, and those that were away have to hear it too.
const DECLINE_AGAIN: Duration = Duration::from_secs(2);

/// Whether a node is short of space, given whether it was.
fn is_short(was_short: bool, free_bytes: u64) -> bool {
    free_bytes < if was_short { ENOUGH_BYTES } else { RESERVE_BYTES }
}

impl Server {
    pub async fn watch_disk(self: Arc<Self>) {
        let mut declined_at: Option<Instant> = None;
        loop {
            match self.store.free_bytes() {
                Ok(free_bytes) => self.take_free_bytes(free_bytes),
                Err(error) => tracing::warn!(%error, "the free space of the disk is not known"),
            }
            declined_at = match self.is_disk_short() {
                true => Some(self.stand_back(declined_at).await),
                false => None,
            };
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Others are told first: each offer of leadership sets elections off, so nodes that are all short of space must
    /// not offer it to each other in turns. Answers when they were told last.
    async fn stand_back(&self, declined_at: Option<Instant>) -> Instant {
        let declined_at = match declined_at.filter(|at| at.elapsed() < DECLINE_AGAIN) {
            Some(at) => at,
            None => {
                self.decline_leadership().await;
                Instant::now()
            }
        };
        self.offer_leadership().await;
        declined_at
    }

    fn take_free_bytes(&self, free_bytes: u64) {
        let was_short = self.is_disk_short();
        let is_short = is_short(was_short, free_bytes);
        self.is_disk_short.store(is_short, Ordering::Relaxed);
        match (was_short, is_short) {
            (false, true) => tracing::error!(
                free_bytes,
                reserve_bytes = RESERVE_BYTES,
                "short of disk space: takes no writes"
            ),
            (true, false) => tracing::info!(free_bytes, "there is disk space again: takes writes"),
            _ => {}
        }
    }

    pub fn is_disk_short(&self) -> bool {
        self.is_disk_short.load(Ordering::Relaxed)
    }

    /// Why nothing is acknowledged at the moment, for status.
    pub fn trouble(&self) -> Option<String> {
        let short = || {
            let free_bytes = self.store.free_bytes().unwrap_or(0);
            format!(
                "short of disk space: {} MiB are free, {} MiB are needed before this node takes writes again",
                free_bytes >> 20,
                ENOUGH_BYTES >> 20
            )
        };
        self.log.trouble().or_else(|| self.is_disk_short().then(short))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_stops_at_the_reserve_and_goes_on_only_with_some_more() {
        let table = [
            (false, RESERVE_BYTES, false),
            (false, RESERVE_BYTES - 1, true),
            (true, RESERVE_BYTES, true),
            (true, ENOUGH_BYTES - 1, true),
            (true, ENOUGH_BYTES, false),
        ];
        for (was_short, free_bytes, want) in table {
            assert_eq!(is_short(was_short, free_bytes), want, "{was_short} {free_bytes}");
        }
    }
}
