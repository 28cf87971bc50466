//! A leader's part in the split of its tablet: it proposes the entry, and as long as the entry may be committed without having been
//! applied here, it answers no read of what it gives away (`read`).

use std::time::Duration;

use dkc_core::mutant::{self, Mutant};
use dkc_core::tablet::Split;
use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::Instant;

use super::group::{Group, GroupError};
use super::propose::{NotProposed, propose};
use super::types::Proposal;

impl Group {
    /// Proposes a split of this tablet, which this node leads, with its members as they are now.
    pub async fn split(&self, split: &Split, timeout: Duration) -> Result<(), GroupError> {
        let failed = |why: String| GroupError::Split { group: self.id, why };
        let members = self.membership();
        let are_voters = members.voters.iter().eq(split.voters.iter()) && members.nodes == members.voters;
        if (members.is_joint || !are_voters) && !mutant::is_active(Mutant::SplitDuringMove) {
            return Err(failed(format!("its members are {members:?}")));
        }
        *self.splitting.lock() = Some(split.first_slot);
        self.hibernation.touch();
        #[cfg(feature = "simulation")]
        crate::simulation::disk::fill_now_and_then();
        // Without a result it stays as it is: an earlier attempt may be in the log, and the next one will tell.
        match propose(&self.raft, Proposal(split.encode()), Instant::now() + timeout).await {
            Ok(_) => *self.splitting.lock() = None,
            Err(NotProposed::NotLeader(leader)) => return Err(failed(format!("the leader is {leader:?}"))),
            Err(NotProposed::Unknown) => return Err(failed("it may have been proposed".into())),
        }
        Ok(())
    }

    /// Stands for election, unless there is a leader.
    pub async fn stand(&self) {
        let is_follower = self.metrics().borrow_watched().state == ServerState::Follower;
        if is_follower && self.leader().is_none() {
            let _ = self.raft.trigger().elect(true).await;
        }
    }
}
