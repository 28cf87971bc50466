//! Answers a batch with missing values: ones too large to be sent unrequested, or without memory for them. Everything
//! received after the first of them is released, and the values are read again in order, as many at a time as may be in
//! flight, once there is memory for them and the replies before have been sent.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dkc_core::kv::{Command, Reply};
use tokio::io::{AsyncRead, AsyncWrite};

use super::window::{IN_FLIGHT_MAX_BYTES, value_bytes};
use super::{Connection, ROOM_TIMEOUT};
use crate::router::{AdmitValue, Call, RouteError};
use crate::slave::batch::PipelineBatch;
use crate::slave::memory::{Share, UNCOUNTED_MAX_BYTES};
use crate::slave::protocol::{Flow, Outcome, Protocol, Service};

/// Attempts for a value that has grown each time it is read.
const READS_MAX: usize = 3;

/// Memory reserved for values before they are requested.
pub(super) struct Taken {
    share: Arc<Share>,
    left_bytes: AtomicUsize,
}

impl Taken {
    pub fn new(share: Arc<Share>, bytes: usize) -> Arc<Taken> {
        Arc::new(Taken { share, left_bytes: AtomicUsize::new(bytes) })
    }
}

impl AdmitValue for Taken {
    fn admit(&self, bytes: usize) -> bool {
        let take = |left: usize| left.checked_sub(bytes);
        self.left_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
            || self.share.try_take(bytes)
    }
}

/// Sends the replies. `Stop` if the request that continues in the next batch is answered already.
pub(super) async fn answer<P: Protocol, S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<'_, P, S>,
    batch: &PipelineBatch<P>,
    mut outcomes: Vec<Outcome>,
) -> io::Result<Flow> {
    let mut flow = Flow::GoOn;
    for pending in batch.answers() {
        let mut of_this = Flow::GoOn;
        if pending.places.is_empty() {
            let part = batch.part(pending, pending.places.clone(), &mut outcomes);
            of_this = connection.protocol.answer(&pending.answer, part, &mut connection.output);
        }
        for place in pending.places.clone() {
            if is_missing(&outcomes[place]) {
                // Nothing may be held while waiting for memory.
                let_go(batch, &mut outcomes, place);
                connection.write().await?;
                read_again(connection, batch, &mut outcomes, place).await;
            }
            let part = batch.part(pending, place..place + 1, &mut outcomes);
            of_this = connection.protocol.answer(&pending.answer, part, &mut connection.output);
            if of_this == Flow::Stop {
                break;
            }
        }
        if !pending.is_last {
            flow = of_this;
        }
    }
    Ok(flow)
}

pub(super) fn is_missing(outcome: &Outcome) -> bool {
    matches!(outcome, Err(RouteError::NoRoom { .. }))
}

/// What has come from `place` on and can be had once more. Small answers cost nothing while they wait.
fn let_go<P: Protocol>(batch: &PipelineBatch<P>, outcomes: &mut [Outcome], place: usize) {
    for (at, outcome) in outcomes.iter_mut().enumerate().skip(place) {
        let bytes = outcome.as_ref().map_or(0, Reply::value_bytes);
        if bytes > UNCOUNTED_MAX_BYTES && batch.again(at).is_some() {
            *outcome = Err(RouteError::NoRoom { bytes });
        }
    }
}

/// Executes a single read; memory is reserved before a large reply is sent.
pub(in crate::slave) async fn read_bounded<P: Protocol>(
    service: &Service<P>,
    share: &Arc<Share>,
    command: Command,
) -> Outcome {
    let call = Call { reply_is_bounded: true, ..Call::from(command) };
    let admit: Arc<dyn AdmitValue> = share.clone();
    let mut outcome = one(service, call.clone(), admit).await;
    for _ in 0..READS_MAX {
        let Err(RouteError::NoRoom { bytes }) = outcome else { break };
        share.settle(0);
        if !share.take(bytes, ROOM_TIMEOUT).await {
            break;
        }
        let Some(_turn) = service.memory.turn(bytes, ROOM_TIMEOUT).await else { break };
        let call = Call { reply_is_bounded: false, ..call.clone() };
        outcome = one(service, call, Taken::new(share.clone(), bytes)).await;
    }
    outcome
}

async fn one<P: Protocol>(service: &Service<P>, call: Call, admit: Arc<dyn AdmitValue>) -> Outcome {
    let mut outcomes = service.router.execute_admitted(vec![call], Some(admit)).await;
    outcomes.pop().expect("one for each call")
}

/// Waits until the value at `place` has arrived or was abandoned.
async fn read_again<P: Protocol, S>(
    connection: &Connection<'_, P, S>,
    batch: &PipelineBatch<P>,
    outcomes: &mut [Outcome],
    place: usize,
) {
    for _ in 0..READS_MAX {
        let read = read_from(connection, batch, outcomes, place).await;
        if read.is_break() || !is_missing(&outcomes[place]) {
            return;
        }
        let_go(batch, outcomes, place);
        connection.share.settle(0);
    }
}

/// Reads the missing values from `place` on that may be in flight together. A get-and-touch has touched its record already, which
/// is then read like any other. `Break` if another attempt is pointless.
async fn read_from<P: Protocol, S>(
    connection: &Connection<'_, P, S>,
    batch: &PipelineBatch<P>,
    outcomes: &mut [Outcome],
    place: usize,
) -> ControlFlow<()> {
    let (places, bytes) = group(batch, outcomes, place);
    let share = &connection.share;
    if places.is_empty() || !share.take(bytes, ROOM_TIMEOUT).await {
        return ControlFlow::Break(());
    }
    let Some(_turn) = connection.service.memory.turn(bytes, ROOM_TIMEOUT).await else {
        share.settle(0);
        return ControlFlow::Break(());
    };
    let call = |place: &usize| Call::from(batch.again(*place).expect("only such are grouped"));
    let calls = places.iter().map(call).collect();
    let taken = Taken::new(share.clone(), bytes);
    let read = connection.service.router.execute_admitted(calls, Some(taken)).await;
    places.into_iter().zip(read).for_each(|(place, outcome)| outcomes[place] = outcome);
    ControlFlow::Continue(())
}

/// Missing values from `place` on and their size: as many as may be in flight together, at least one. None if the one at
/// `place` cannot be read again.
fn group<P: Protocol>(batch: &PipelineBatch<P>, outcomes: &[Outcome], place: usize) -> (Vec<usize>, usize) {
    let (mut places, mut sum_bytes) = (Vec::new(), 0);
    for at in (place..outcomes.len()).filter(|at| is_missing(&outcomes[*at])) {
        let bytes = value_bytes(&outcomes[at]);
        let fits = places.is_empty() || sum_bytes + bytes <= IN_FLIGHT_MAX_BYTES;
        if !fits || batch.again(at).is_none() {
            break;
        }
        places.push(at);
        sum_bytes += bytes;
    }
    (places, sum_bytes)
}
