//! A node that is short of disk space takes no data any more while there is still some: it answers its clients with
//! `Busy`, lets appends with data go unanswered and hands its leadership to others. When there is space again it goes on.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::disk::Disk;
use super::leadership::Leadership;

/// A disk of 1 GB/s cannot use up the reserve's larger part between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// Others forget after half a minute, and those that were away have to hear it too.
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

/// Others are told first: each offer of leadership sets elections off, so nodes that are all short of space must
/// not offer it to each other in turns. Answers when they were told last.
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
