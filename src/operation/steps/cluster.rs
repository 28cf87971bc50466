//! Steps on the cluster as a whole, sent to any server that answers. *Invariants:* requests are idempotent, so a request whose
//! endpoint fails is retried at the next one; refusals of the ring are reported verbatim. It never decides which members join
//! or leave.

use std::time::Duration;

use dkc_core::control::{ControlReply, ControlRequest, MetaView, NodeStatus};
use dkc_core::ids::{NodeId, TabletId};
use dkc_core::meta::{MemberChange, OperationId};
use dkc_core::ring::{InRing, MemberAction};
use dkc_inventory::plan::ClusterAction;
use dkc_inventory::ring_facts::RingFacts;

use super::StepError;
use super::backup::BackUp;
use super::salvage::Salvage;
use super::servers::Servers;

/// Limit of one change over all retries: longer than several elections and a host that times out.
const CHANGE_LIMIT: Duration = Duration::from_secs(60);
/// Timeout of one reply. A change waits up to 10 s for a leader of the meta group.
const CHANGE_ANSWER_LIMIT: Duration = Duration::from_secs(15);
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// A merge without progress for this long is stuck: it waits for a member that is down.
const MERGE_STILL_LIMIT: Duration = Duration::from_secs(300);
/// Time for leaders to settle and followers to catch up after the last move.
const HEALTHY_LIMIT: Duration = Duration::from_secs(90);
const POLL_INTERVAL: Duration = Duration::from_millis(400);
const ENDPOINT_PAUSE: Duration = Duration::from_millis(500);

/// The answers of all reachable endpoints at one moment.
struct Answers(Vec<(Box<MetaView>, Box<NodeStatus>)>);

impl Answers {
    fn facts(&self) -> Option<RingFacts<'_>> {
        RingFacts::from_answers(self.0.iter().map(|(view, status)| (&**view, &**status)))
    }
}

impl Servers<'_> {
    pub async fn run(&self, action: &ClusterAction) -> Result<(), StepError> {
        match action {
            ClusterAction::BeginOperation { id, holder, what, .. } => {
                let (id, holder, what) = (*id, holder.clone(), what.clone());
                match self.change(&ControlRequest::BeginOperation { id, holder, what }).await {
                    Err(StepError::Illegal(why)) => Err(StepError::Held(why)),
                    result => result,
                }
            }
            ClusterAction::EndOperation { id } => {
                self.change(&ControlRequest::EndOperation { id: *id }).await
            }
            ClusterAction::ChangeMembers { operation, change, .. } => {
                let (operation, change) = (*operation, change.clone());
                self.change(&ControlRequest::Change { operation, change }).await
            }
            ClusterAction::RevokeSlave { uuid, id, by } => {
                let (uuid, id, by) = (*uuid, *id, by.clone());
                self.change(&ControlRequest::RevokeSlave { uuid, id, by }).await
            }
            ClusterAction::IssueToken { token } => {
                self.change(&ControlRequest::IssueToken { token: token.clone() }).await
            }
            ClusterAction::RevokeToken { id, by } => {
                self.change(&ControlRequest::RevokeToken { id: *id, by: by.clone() }).await
            }
            ClusterAction::WaitSplit { tablets } => self.wait_split(tablets).await,
            ClusterAction::BackUp { cluster, name, description, directory, operation } => {
                self.back_up(BackUp { cluster, name, description, directory, operation }).await
            }
            ClusterAction::Restore { directory, digest, namespace, .. } => {
                self.restore(directory, digest, namespace.as_ref()).await
            }
            ClusterAction::Salvage {
                cluster,
                cluster_id,
                name,
                description,
                directory,
                operation,
                sources,
                missing,
            } => {
                let cluster_id = *cluster_id;
                self.salvage(Salvage {
                    cluster,
                    cluster_id,
                    name,
                    description,
                    directory,
                    operation,
                    sources,
                    missing,
                })
                .await
            }
            ClusterAction::RestoreSalvaged { directory, operation } => {
                self.restore_salvaged(directory, operation).await
            }
            ClusterAction::RequireTolerance { failures } => self.require_tolerance(*failures).await,
            ClusterAction::Merge { operation, come, leave } => self.merge(*operation, come, leave).await,
            ClusterAction::Canary => self.canary().await,
            ClusterAction::WaitHealthy { failures } => self.wait_healthy(*failures).await,
        }
    }

    /// Tries one endpoint after another until the change is applied or the ring refuses it.
    async fn change(&self, request: &ControlRequest) -> Result<(), StepError> {
        let deadline = tokio::time::Instant::now() + CHANGE_LIMIT;
        let mut last = "none of its servers is reachable".to_owned();
        loop {
            for endpoint in self.endpoints {
                match self.ask(endpoint, request, CHANGE_ANSWER_LIMIT).await {
                    Ok(ControlReply::Error { message, is_outcome_unknown: false }) => {
                        return Err(StepError::Illegal(message));
                    }
                    Ok(ControlReply::Error { message, .. }) => last = message,
                    Ok(_) => return Ok(()),
                    Err(error) => last = error.to_string(),
                }
                if self.interrupt.count() > 1 {
                    return Err(StepError::Interrupted);
                }
            }
            if tokio::time::Instant::now() > deadline {
                return Err(StepError::Refused(format!("cannot change the ring: {last}")));
            }
            (self.on_words)(&format!("retrying: {last}"));
            tokio::time::sleep(ENDPOINT_PAUSE).await;
        }
    }

    /// Queries all endpoints concurrently; omits those that do not answer.
    async fn look(&self) -> Answers {
        let each = self.endpoints.iter().map(|endpoint| async move {
            let status = match self.ask(endpoint, &ControlRequest::Status, ANSWER_LIMIT).await {
                Ok(ControlReply::Status(status)) => status,
                _ => return None,
            };
            match self.ask(endpoint, &ControlRequest::Meta, ANSWER_LIMIT).await {
                Ok(ControlReply::Meta(Some(view))) => Some((view, status)),
                _ => None,
            }
        });
        Answers(futures::future::join_all(each).await.into_iter().flatten().collect())
    }

    /// The cluster completes splits automatically; this only watches.
    async fn wait_split(&self, tablets: &[TabletId]) -> Result<(), StepError> {
        let mut still = StallDetector::new(MERGE_STILL_LIMIT);
        loop {
            let answers = self.look().await;
            let waits_for = match answers.facts() {
                None => "none of its servers answers".to_owned(),
                Some(facts) => {
                    let ring = &facts.view.ring;
                    let left = tablets.iter().filter(|tablet| ring.place_of(**tablet).is_none()).count();
                    if left == 0 {
                        return Ok(());
                    }
                    format!("splitting: {} of {} done", tablets.len() - left, tablets.len())
                }
            };
            still.saw(&waits_for);
            (self.on_words)(&waits_for);
            still.check(&waits_for)?;
            self.pause().await?;
        }
    }

    async fn require_tolerance(&self, failures: u32) -> Result<(), StepError> {
        let answers = self.look().await;
        let tolerates = answers.facts().and_then(|facts| facts.tolerates());
        match tolerates {
            Some(now) if now >= failures => Ok(()),
            Some(now) => Err(StepError::Illegal(format!(
                "the cluster tolerates {now} failures now; it tolerated {failures} when the plan was made"
            ))),
            None => Err(StepError::Illegal("a tablet has too few running replicas".into())),
        }
    }

    /// Watches the merge until it completes, and sends MERGE and COMPMERGE where automerge does not.
    async fn merge(
        &self,
        operation: OperationId,
        come: &[NodeId],
        leave: &[NodeId],
    ) -> Result<(), StepError> {
        let mut has_merged = false;
        let mut still = StallDetector::new(MERGE_STILL_LIMIT);
        loop {
            let answers = self.look().await;
            let Some(facts) = answers.facts() else {
                still.check("none of its servers answers")?;
                self.pause().await?;
                continue;
            };
            let view = facts.view;
            if view.operation.as_ref().is_none_or(|running| running.id != operation)
                && !is_at(view, come, leave)
            {
                return Err(StepError::Illegal(
                    "another operator ended the operation (ring abortmerge?)".into(),
                ));
            }
            if is_at(view, come, leave) {
                return Ok(());
            }
            if has_merged && view.merge.is_none() && view.is_automerge_held {
                return Err(StepError::Illegal("the merge was aborted (ABORTMERGE)".into()));
            }
            has_merged |= view.merge.is_some();
            if let Some(change) = next_word(view) {
                match self.change(&ControlRequest::Change { operation: Some(operation), change }).await {
                    // The view was stale: look again.
                    Ok(()) | Err(StepError::Illegal(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            let words = match facts.progress() {
                Some(progress) => progress.words(),
                None => "waiting for MERGE".into(),
            };
            still.saw(&format!("{words} {}", view.ring.version));
            let down: Vec<String> = facts.down().iter().map(|node| format!("No.{}", node.number)).collect();
            let waits_for = match down.is_empty() {
                true => words,
                false => format!("{words}; {} down", down.join(", ")),
            };
            (self.on_words)(&waits_for);
            still.check(&waits_for)?;
            self.pause().await?;
        }
    }

    async fn wait_healthy(&self, failures: u32) -> Result<(), StepError> {
        let deadline = tokio::time::Instant::now() + HEALTHY_LIMIT;
        loop {
            let answers = self.look().await;
            let lacks = match answers.facts() {
                None => "none of its servers answers".to_owned(),
                Some(facts) => match lacks(&facts, failures) {
                    None => return Ok(()),
                    Some(lacks) => lacks,
                },
            };
            if tokio::time::Instant::now() > deadline {
                return Err(StepError::Refused(format!(
                    "the ring is still incomplete after {} s: {lacks}",
                    HEALTHY_LIMIT.as_secs()
                )));
            }
            (self.on_words)(&format!("waiting: {lacks}"));
            self.pause().await?;
        }
    }

    /// The merge continues without us, so the first Ctrl-C is enough.
    async fn pause(&self) -> Result<(), StepError> {
        tokio::select! {
            () = self.interrupt.pressed(1) => Err(StepError::Interrupted),
            () = tokio::time::sleep(POLL_INTERVAL) => Ok(()),
        }
    }
}

/// Whether all members have joined and left as planned.
fn is_at(view: &MetaView, come: &[NodeId], leave: &[NodeId]) -> bool {
    let has_come = |id: &NodeId| {
        let node = view.ring.node(*id);
        node.is_some_and(|node| node.in_ring == InRing::ServiceIn && node.action == MemberAction::None)
    };
    let has_left = |id: &NodeId| view.ring.node(*id).is_none_or(|node| node.in_ring == InRing::ServiceOut);
    view.merge.is_none() && come.iter().all(has_come) && leave.iter().all(has_left)
}

/// The command that automerge will not issue by itself.
fn next_word(view: &MetaView) -> Option<MemberChange> {
    let is_automatic = view.is_automerge && !view.is_merge_suspended && !view.is_automerge_held;
    match &view.merge {
        _ if is_automatic => None,
        None => Some(MemberChange::Merge),
        Some(merge) if merge.is_caught_up() && !merge.is_completing() => Some(MemberChange::CompleteMerge),
        Some(_) => None,
    }
}

fn lacks(facts: &RingFacts<'_>, failures: u32) -> Option<String> {
    if facts.view.merge.is_some() {
        return Some("a merge is running".into());
    }
    if let Some(trouble) = facts.trouble() {
        return Some(trouble);
    }
    let wanted = facts.copies_wanted();
    let short = facts.view.ring.tablets.iter().filter(|place| place.voters.len() < wanted).count();
    if short > 0 {
        return Some(format!("{short} tablets have fewer than {wanted} replicas"));
    }
    match facts.tolerates() {
        Some(now) if now >= failures => None,
        Some(now) => Some(format!("it tolerates {now} of {failures} failures so far")),
        None => Some("a tablet has too few running replicas".into()),
    }
}

/// Detects a merge without progress.
struct StallDetector {
    limit: Duration,
    last: String,
    since: tokio::time::Instant,
}

impl StallDetector {
    fn new(limit: Duration) -> StallDetector {
        StallDetector { limit, last: String::new(), since: tokio::time::Instant::now() }
    }

    fn saw(&mut self, state: &str) {
        if self.last != state {
            self.last = state.to_owned();
            self.since = tokio::time::Instant::now();
        }
    }

    fn check(&self, waits_for: &str) -> Result<(), StepError> {
        match self.since.elapsed() > self.limit {
            true => Err(StepError::Refused(format!(
                "no progress for {} s ({waits_for}); fix the cause, then resume",
                self.limit.as_secs()
            ))),
            false => Ok(()),
        }
    }
}
