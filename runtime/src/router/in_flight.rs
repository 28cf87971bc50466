//! One command in flight. The same box is passed from the first attempt through every retry to its reply, without a
//! task of its own.

use std::sync::Arc;
use std::time::Duration;

use dkc_core::ids::{NodeId, RingVersion, TabletId};
use dkc_core::kv::{Command, Reply};
use dkc_core::mutant::{self, Mutant};
use dkc_core::wire::{Answer, Frame, Kind, Request};
use tokio::time::Instant;

use super::batch::ReplyBatch;
use super::session::{Session, TabletState};
use super::{Call, RouteError, Shared};
use crate::net::{NetError, Receive};

/// Backoff before the second retry; it doubles up to the maximum.
const BACKOFF_MIN: Duration = Duration::from_millis(2);
/// The maximum. An election takes some hundred milliseconds; a retry every 40 ms notices its end soon and costs little.
const BACKOFF_MAX: Duration = Duration::from_millis(40);
/// Redirects followed at once; later ones with backoff, in case two servers name each other.
const REDIRECTIONS_AT_ONCE_MAX: u32 = 2;

/// Retries of "unknown". A leader that is stepping down returns it for a moment, and a retry resolves it; a tablet that has
/// forgotten the session returns it on every attempt.
const UNKNOWN_ANSWERS_MAX: u32 = 10;
/// Timeout of the first attempt, doubled for every further one: a leader that is partitioned from
/// the other servers still answers pings but commits nothing, while another replica already leads. Longer
/// than an election; a cluster that is only slow is not flooded with retries.
const ATTEMPT_MIN: Duration = Duration::from_secs(1);
/// Attempts that may find the connection not open yet (30 ms in all) before another replica is tried.
const CONNECTING_FAILURES_MAX: u32 = 4;

pub(super) struct InFlight {
    shared: Arc<Shared>,
    request: Request,
    /// For commands without a key.
    tablet: Option<TabletId>,
    /// Set by the first attempt; writes keep it, because their sequence belongs to its session.
    state: Option<Arc<TabletState>>,
    /// For a write that was sent.
    session: Option<Arc<Session>>,
    /// The node of the last attempt.
    node: NodeId,
    began: Instant,
    deadline: Instant,
    failures: u32,
    redirections: u32,
    unknown_answers: u32,
    /// Attempts that timed out.
    timeouts: u32,
    /// An attempt got no definite reply, so the write may have been applied.
    is_ambiguous: bool,
    last_error: LastError,
    batch: Arc<ReplyBatch>,
    index: usize,
}

/// The last error. Formatted only when it is reported: most errors disappear with the next attempt.
enum LastError {
    None,
    NoRing,
    NotAMember(NodeId),
    Net(NodeId, NetError),
    NoLeader(NodeId),
    NotHere(NodeId),
    Busy(NodeId),
    Unknown(NodeId),
    BadAnswer(NodeId, String),
}

enum Next {
    Done(Result<Reply, RouteError>),
    AtOnce,
    Later,
}

impl InFlight {
    /// Makes the first attempt.
    pub fn begin(shared: &Arc<Shared>, call: Call, began: Instant, batch: Arc<ReplyBatch>, index: usize) {
        let deadline = began + shared.deadline();
        let request = Request {
            ring_version: RingVersion(0),
            epoch: 0,
            session: 0,
            sequence: 0,
            answered_below: 0,
            is_retry: false,
            reply_is_bounded: call.reply_is_bounded,
            timeout_ms: 0,
            command: call.command,
        };
        let operation = InFlight {
            shared: shared.clone(),
            request,
            tablet: call.tablet,
            state: None,
            session: None,
            node: NodeId(0),
            began,
            deadline,
            failures: 0,
            redirections: 0,
            unknown_answers: 0,
            timeouts: 0,
            is_ambiguous: false,
            last_error: LastError::None,
            batch,
            index,
        };
        Box::new(operation).send();
    }

    /// Sends it to the presumed leader, or schedules a retry.
    pub fn send(mut self: Box<Self>) {
        let shared = self.shared.clone();
        let Some(view) = shared.view() else {
            self.last_error = LastError::NoRing;
            return self.later();
        };
        let route = match (self.request.command.key(), self.tablet) {
            (Some(key), _) => view.of_key(key),
            (None, Some(tablet)) => match view.of_tablet(tablet) {
                Some(route) => route,
                None => return self.finish(Err(RouteError::Refused(format!("there is no tablet {tablet}")))),
            },
            (None, None) => {
                return self
                    .finish(Err(RouteError::Refused("the command names neither key nor tablet".into())));
            }
        };
        let until = self.attempt_until();
        self.prepare(route.state, route.place.epoch, route.version);
        let (leader, voters) = (route.state.leader(), &route.place.voters);
        self.node = leader;
        let Some(link) = view.link(leader) else {
            self.last_error = LastError::NotAMember(leader);
            route.state.leader_failed(leader, voters);
            return self.later();
        };
        match link.current() {
            Ok(client) => {
                let group = route.place.tablet.group();
                client.submit_held(Kind::Request, group, until, self, |held, out| held.request.encode(out));
            }
            Err(error) => {
                self.last_error = LastError::Net(leader, error);
                if !link.is_connecting() || self.failures >= CONNECTING_FAILURES_MAX {
                    route.state.leader_failed(leader, voters);
                }
                self.later();
            }
        }
    }

    /// The deadline of this attempt. The request carries it: the server starts nothing after it.
    fn attempt_until(&mut self) -> Instant {
        let now = if self.state.is_none() { self.began } else { Instant::now() };
        let until = self.deadline.min(now + ATTEMPT_MIN.saturating_mul(1 << self.timeouts.min(10)));
        self.request.timeout_ms = until.saturating_duration_since(now).as_millis().max(1) as u32;
        until
    }

    /// Sets the fields that depend on the route. Where the tablet was split meanwhile, the new one knows the session of the old one.
    fn prepare(&mut self, state: &Arc<TabletState>, epoch: u32, version: RingVersion) {
        self.request.epoch = epoch;
        self.request.ring_version = version;
        self.request.is_retry = self.is_ambiguous;
        match self.state.replace(state.clone()) {
            None => {
                if matches!(self.request.command, Command::Write(_)) {
                    let ticket = state.begin();
                    self.request.session = ticket.session.id;
                    self.request.sequence = ticket.sequence;
                    self.request.answered_below = ticket.answered_below;
                    self.session = Some(ticket.session);
                }
            }
            Some(_) => {
                if mutant::is_active(Mutant::RetryWithNewSequence) && self.session.is_some() {
                    self.request.session = crate::chance::unique_u64().max(1);
                    self.request.is_retry = false;
                }
                if let Some(session) = &self.session {
                    self.request.answered_below = session.answered_below();
                }
            }
        }
    }

    /// Handles a reply: finishes the command or retries it.
    fn judge(&mut self, answer: Result<Frame, NetError>) -> Next {
        let node = self.node;
        let answer = match answer {
            Ok(frame) => Answer::decode(frame.body),
            Err(error) => {
                self.is_ambiguous |= !error.is_never_sent();
                self.timeouts += u32::from(matches!(error, NetError::NoAnswer { .. }));
                self.last_error = LastError::Net(node, error);
                self.suspect_leader();
                return Next::Later;
            }
        };
        match answer {
            Ok(Answer::Reply(reply)) => return Next::Done(Ok(reply)),
            Ok(Answer::TooLarge { bytes }) => return Next::Done(Err(RouteError::NoRoom { bytes })),
            Ok(Answer::Refused(why)) if self.may_have_happened() => {
                return Next::Done(Err(self.unknown(why)));
            }
            Ok(Answer::Refused(why)) => return Next::Done(Err(RouteError::Refused(why))),
            Ok(Answer::NotLeader { leader, ring_version }) => return self.redirect(leader, ring_version),
            Ok(Answer::NotHere { ring_version }) => {
                self.shared.notice_ring(ring_version);
                self.last_error = LastError::NotHere(node);
                self.suspect_leader();
            }
            Ok(Answer::Busy) => self.last_error = LastError::Busy(node),
            Ok(Answer::Unknown) => {
                self.is_ambiguous = true;
                self.last_error = LastError::Unknown(node);
                self.unknown_answers += 1;
                if self.unknown_answers > UNKNOWN_ANSWERS_MAX {
                    return Next::Done(Err(self.unknown(self.why())));
                }
            }
            Err(error) => {
                self.is_ambiguous = true;
                self.last_error = LastError::BadAnswer(node, error.to_string());
            }
        }
        Next::Later
    }

    fn redirect(&mut self, leader: Option<NodeId>, ring_version: RingVersion) -> Next {
        self.shared.notice_ring(ring_version);
        self.last_error = LastError::NoLeader(self.node);
        match (leader, &self.state) {
            (Some(leader), Some(state)) if leader != self.node => {
                state.set_leader(leader);
                self.redirections += 1;
                if self.redirections <= REDIRECTIONS_AT_ONCE_MAX { Next::AtOnce } else { Next::Later }
            }
            _ => {
                self.suspect_leader();
                Next::Later
            }
        }
    }

    /// The next attempt goes to another replica.
    fn suspect_leader(&self) {
        let (Some(state), Some(view)) = (&self.state, self.shared.view()) else { return };
        if let Some(route) = view.of_tablet(state.tablet) {
            state.leader_failed(self.node, &route.place.voters);
        }
    }

    /// Schedules the next attempt, or gives up if the deadline comes first.
    fn later(mut self: Box<Self>) {
        let pause = BACKOFF_MIN.saturating_mul(1 << self.failures.min(10)).min(BACKOFF_MAX);
        self.failures += 1;
        let due = Instant::now() + pause;
        if due >= self.deadline {
            let why = self.why();
            return self.give_up(why);
        }
        let shared = self.shared.clone();
        shared.retries.put(due, self);
    }

    fn may_have_happened(&self) -> bool {
        let is_told = !mutant::is_active(Mutant::UnknownReportedAsFailed);
        is_told && self.is_ambiguous && matches!(self.request.command, Command::Write(_))
    }

    fn unknown(&self, why: String) -> RouteError {
        RouteError::Unknown { after_ms: self.began.elapsed().as_millis() as u64, why }
    }

    fn give_up(self: Box<Self>, why: String) {
        let after_ms = self.began.elapsed().as_millis() as u64;
        let error = match self.may_have_happened() {
            true => RouteError::Unknown { after_ms, why },
            false => RouteError::Unreachable { after_ms, why },
        };
        self.finish(Err(error));
    }

    fn finish(self: Box<Self>, outcome: Result<Reply, RouteError>) {
        if let Some(session) = &self.session {
            session.finish(self.request.sequence);
        }
        // What a write took away exists nowhere else.
        let is_kept = matches!(self.request.command, Command::Write(_)) && !self.request.reply_is_bounded;
        self.batch.complete(self.index, outcome, is_kept);
    }

    fn why(&self) -> String {
        let name = |node: &NodeId| match self.shared.view().as_ref().and_then(|view| view.link(*node)) {
            Some(link) => link.target().address.to_string(),
            None => format!("node {node}"),
        };
        match &self.last_error {
            LastError::None => "not tried".into(),
            LastError::NoRing => self.shared.no_ring(),
            LastError::NotAMember(node) => format!("the presumed leader, node {node}, is not in the ring"),
            LastError::Net(node, error) => format!("{}: {error}", name(node)),
            LastError::NoLeader(node) => format!("{} knows no leader", name(node)),
            LastError::NotHere(node) => format!("{} does not hold the tablet", name(node)),
            LastError::Busy(node) => format!("{} is busy", name(node)),
            LastError::Unknown(node) => format!("{} does not know the outcome", name(node)),
            LastError::BadAnswer(node, why) => format!("{} sent an invalid reply: {why}", name(node)),
        }
    }
}

impl Receive for InFlight {
    fn receive(mut self: Box<Self>, answer: Result<Frame, NetError>) {
        match self.judge(answer) {
            Next::Done(outcome) => self.finish(outcome),
            Next::AtOnce => self.send(),
            Next::Later => self.later(),
        }
    }
}
