//! A node that is short of disk space stops accepting data before the disk is full: it answers clients with `Busy`,
//! ignores appends with data and transfers its leadership. Once there is space again, it resumes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::disk::Disk;
use super::leadership::Leadership;

/// At 1 GB/s the larger part of the reserve is left after one interval.
const LOOK: Duration = Duration::from_millis(100);
/// Others forget it after 30 s, and nodes that were down must learn it too.
const DECLINE_AGAIN: Duration = Duration::from_secs(2);

pub async fn watch_disk(disk: Arc<Disk>, leadership: Arc<Leadership>) {
    let mut declined_at: Option<Instant> = None;
    loop {
        disk.look();
        declined_at = match disk.is_short() {
            true => Some(decline_leadership(&leadership, declined_at).await),
            false => None,
        };
        tokio::time::sleep(LOOK).await;
    }
}

/// Announces before it offers: each offer triggers elections, so nodes that are all short of space must not pass
/// leadership back and forth. Returns the time of the last announcement.
async fn decline_leadership(leadership: &Leadership, declined_at: Option<Instant>) -> Instant {
    let declined_at = match declined_at.filter(|at| at.elapsed() < DECLINE_AGAIN) {
        Some(at) => at,
        None => {
            leadership.decline().await;
            Instant::now()
        }
    };
    leadership.offer().await;
    declined_at
}
