//! Whether a group has nothing left to do and may hibernate: checked on its leader, and on each follower on the leader's
//! request.

use std::sync::atomic::Ordering;

use super::group::Group;
use super::hibernate::Keeper;
use super::types::LogId;

impl Group {
    /// The end of the log in a term that this node leads, if everything is applied here and replicated to every member. Not once
    /// it has begun to transfer its leadership: if that fails, only the timers of the others bring another leader.
    pub fn settled(&self) -> Option<(u64, LogId)> {
        let progress = self.progress();
        let members = self.membership();
        let others = members.nodes.iter().filter(|node| **node != self.node);
        let caught_up = self.caught_up(0);
        let is_settled = self.is_leader()
            && !members.is_joint
            && progress.applied_index == progress.last_index
            && progress.term != self.transferred_in.load(Ordering::Relaxed)
            && others.into_iter().all(|node| caught_up.contains(node));
        self.machine.applied().filter(|_| is_settled).map(|last| (progress.term, last))
    }

    /// A leader asks this follower to hibernate. It does if it follows that leader and lacks nothing.
    pub fn rest_under(&self, keeper: Keeper, term: u64, last: LogId) -> bool {
        let progress = self.progress();
        let is_follower = progress.leader == Some(keeper.leader) && keeper.leader != self.node;
        let lacks_nothing = progress.last_index == last.index && self.machine.applied() == Some(last);
        is_follower && progress.term == term && lacks_nothing && self.hibernation.rest(keeper)
    }
}
