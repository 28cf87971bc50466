//! Membership requests: CHMPX words and structured requests of the control socket become commands
//! of the meta group, from any server. The meta group decides; its refusals are returned unchanged.

use std::collections::BTreeMap;
use std::time::Duration;

use dkc_core::control::{ControlReply, MetaView, TokensView};
use dkc_core::ids::{NodeAddress, NodeId, NodeUuid, SlaveId};
use dkc_core::member::ControlWord;
use dkc_core::meta::{MemberChange, MetaCommand, MetaReply, NewToken, OperationId};
use dkc_core::ring::InRing;
use dkc_core::token::TokenId;
use tokio::time::Instant;

use crate::clock;
use crate::control::refusal;
use crate::daemon::meta_group::MetaGroup;
use crate::raft::NotProposed;

/// How long a change is retried while the meta group has no leader: longer than an election.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Poll interval while a leaving node still votes.
const VOTE_LOOK: Duration = Duration::from_millis(50);
const SUCCEED: &str = "SUCCEED\n";

impl MetaGroup {
    pub fn view(&self) -> ControlReply {
        ControlReply::Meta(MetaView::of(&self.state()).map(Box::new))
    }

    pub async fn begin_operation(&self, id: OperationId, holder: String, what: String) -> ControlReply {
        self.propose_change(MetaCommand::BeginOperation { id, holder, what }).await
    }

    pub async fn end_operation(&self, id: OperationId) -> ControlReply {
        self.propose_change(MetaCommand::EndOperation { id }).await
    }

    pub async fn revoke_slave(&self, uuid: NodeUuid, id: SlaveId, by: String) -> ControlReply {
        self.propose_change(MetaCommand::RevokeSlave { uuid, id, by }).await
    }

    pub async fn issue_token(&self, token: NewToken) -> ControlReply {
        self.propose_change(MetaCommand::IssueToken { token, now_ms: clock::now_ms() }).await
    }

    pub async fn revoke_token(&self, id: TokenId, by: String) -> ControlReply {
        self.propose_change(MetaCommand::RevokeToken { id, by }).await
    }

    pub fn tokens(&self, connected: BTreeMap<NodeUuid, String>) -> ControlReply {
        let state = self.state();
        let view = TokensView { tokens: state.tokens(), enrolled: state.enrolled().clone(), connected };
        ControlReply::Tokens(Box::new(view))
    }

    pub async fn change_members(&self, operation: Option<OperationId>, change: MemberChange) -> ControlReply {
        if let MemberChange::RemoveNode { node } = change
            && !self.votes_no_more(node).await
        {
            return refusal(format!(
                "node {node} still votes in the meta group, because no other member could replace it; are \
                enough members up?"
            ));
        }
        self.propose_change(MetaCommand::Change { operation, change }).await
    }

    /// Waits until a node that has left the ring no longer has a vote in the meta group.
    async fn votes_no_more(&self, node: NodeId) -> bool {
        let until = Instant::now() + CHANGE_TIMEOUT;
        // The meta group itself refuses members in service.
        while self.state().node(node).is_some_and(|node| node.in_ring == InRing::ServiceOut)
            && self.group().membership().voters.contains(&node)
        {
            if Instant::now() >= until {
                return false;
            }
            tokio::time::sleep(VOTE_LOOK).await;
        }
        true
    }

    async fn propose_change(&self, command: MetaCommand) -> ControlReply {
        match self.propose(&command, CHANGE_TIMEOUT).await {
            Ok(MetaReply::Done) => ControlReply::Ok,
            Ok(MetaReply::Registered { node_id }) => ControlReply::Registered { node_id },
            // Only the node port redeems tokens.
            Ok(MetaReply::Enrolled { .. }) => refusal("a slave was enrolled"),
            Ok(MetaReply::Refused(why)) => refusal(why.to_string()),
            Err(NotProposed::NotLeader(_)) => refusal(format!(
                "the meta group has had no leader for {} s, so nothing was changed; are most of its voters up?",
                CHANGE_TIMEOUT.as_secs()
            )),
            Err(NotProposed::Unknown) => ControlReply::Error {
                message: "unknown whether the change was applied; see `ring allstatus`".into(),
                is_outcome_unknown: true,
            },
        }
    }

    /// A CHMPX word that changes members, answered in CHMPX's format.
    pub async fn carry_out(&self, word: &ControlWord) -> ControlReply {
        let change = match self.change_of(word) {
            Ok(Some(change)) => change,
            Ok(None) => return ControlReply::Text(SUCCEED.into()),
            Err(answer) => return answer,
        };
        match self.change_members(None, change).await {
            ControlReply::Ok => ControlReply::Text(SUCCEED.into()),
            ControlReply::Error { message, is_outcome_unknown } => {
                ControlReply::Error { message: format!("ERROR: {message}"), is_outcome_unknown }
            }
            other => other,
        }
    }

    /// `None` when nothing has to be changed.
    fn change_of(&self, word: &ControlWord) -> Result<Option<MemberChange>, ControlReply> {
        Ok(Some(match word {
            ControlWord::ServiceIn => MemberChange::ServiceIn { node: self.node() },
            ControlWord::ServiceOut(address) => {
                let node = self.member_at(address)?;
                if self.state().node(node).is_some_and(|node| node.in_ring == InRing::ServiceOut) {
                    let text = "SUCCEED: Already server has been SERVICEOUT.\n";
                    return Err(ControlReply::Text(text.into()));
                }
                MemberChange::ServiceOut { node }
            }
            ControlWord::Merge => MemberChange::Merge,
            ControlWord::CompleteMerge => MemberChange::CompleteMerge,
            ControlWord::AbortMerge => MemberChange::AbortMerge,
            ControlWord::SuspendMerge => MemberChange::SuspendMerge,
            ControlWord::NoSuspendMerge => MemberChange::NoSuspendMerge,
            // Every state is pushed as soon as it changes; nothing to do.
            ControlWord::UpdateStatus => return Ok(None),
            ControlWord::Version | ControlWord::SelfStatus | ControlWord::AllStatus | ControlWord::Dump => {
                return Ok(None);
            }
        }))
    }

    fn member_at(&self, address: &NodeAddress) -> Result<NodeId, ControlReply> {
        let known = self.state();
        let nodes = known.ring().map(|ring| ring.nodes.as_slice()).unwrap_or_default();
        nodes.iter().find(|node| node.address == *address).map(|node| node.node_id).ok_or_else(|| {
            let members: Vec<String> = nodes.iter().map(|node| node.address.to_string()).collect();
            refusal(format!("ERROR: no member has the address {address}; members: {}", members.join(" ")))
        })
    }
}
