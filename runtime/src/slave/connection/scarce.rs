//! Answering a batch when memory is too short for all values of its reads at once: what came is let go, and the values are
//! read again one after the other, each when there is room for it and what was before has been sent.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dkc_core::kv::{Command, Read, Reply};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Connection, ROOM_TIMEOUT};
use crate::router::{Admit, Call, RouteError};
use crate::slave::batch::PipelineBatch;
use crate::slave::memory::Share;
use crate::slave::protocol::{Flow, Outcome, Protocol};

/// A value that is larger each time it is read is given up.
const READS_MAX: usize = 3;

/// Room that has been taken for one value.
struct Taken {
    share: Arc<Share>,
    bytes: usize,
    is_used: AtomicBool,
}

impl Admit for Taken {
    fn admit(&self, bytes: usize) -> bool {
        let room = if self.is_used.swap(true, Ordering::Relaxed) { 0 } else { self.bytes };
        bytes <= room || self.share.try_take(bytes - room)
    }
}

/// Sends the answers. `Stop` when the request that goes on in the next batch is answered already.
pub(super) async fn answer<P: Protocol, S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<'_, P, S>,
    batch: &PipelineBatch<P>,
    mut outcomes: Vec<Outcome>,
) -> io::Result<Flow> {
    let first = outcomes.iter().position(is_missing).unwrap_or(outcomes.len());
    outcomes[first..].iter_mut().for_each(let_go);
    let mut flow = Flow::GoOn;
    for pending in batch.answers() {
        let mut of_this = Flow::GoOn;
        if pending.places.is_empty() {
            let part = batch.part(pending, pending.places.clone(), &mut outcomes);
            of_this = connection.protocol.answer(&pending.answer, part, &mut connection.output);
        }
        for place in pending.places.clone() {
            if let Err(RouteError::NoRoom { bytes }) = outcomes[place] {
                connection.write().await?;
                outcomes[place] = read_again(connection, batch, place, bytes).await;
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

fn is_missing(outcome: &Outcome) -> bool {
    matches!(outcome, Err(RouteError::NoRoom { .. }))
}

/// Nothing may be held while room is waited for.
fn let_go(outcome: &mut Outcome) {
    if let Ok(Reply::Record(record)) = outcome {
        *outcome = Err(RouteError::NoRoom { bytes: record.value.len() });
    }
}

/// What a get and touch has touched is touched: its record is read like any other.
async fn read_again<P: Protocol, S>(
    connection: &Connection<'_, P, S>,
    batch: &PipelineBatch<P>,
    place: usize,
    mut bytes: usize,
) -> Outcome {
    let touched = batch.touched(place);
    let Some(key) = touched.key.as_ref().filter(|_| touched.is_record) else {
        return Err(RouteError::NoRoom { bytes });
    };
    for _ in 0..READS_MAX {
        if !connection.share.take(bytes, ROOM_TIMEOUT).await {
            break;
        }
        let call = Call::from(Command::Read(Read::Get { key: key.clone() }));
        let taken = Taken { share: connection.share.clone(), bytes, is_used: AtomicBool::new(false) };
        let mut outcomes =
            connection.service.router.execute_admitted(vec![call], Some(Arc::new(taken))).await;
        match outcomes.pop() {
            Some(Err(RouteError::NoRoom { bytes: larger })) => {
                connection.share.settle(0);
                bytes = larger;
            }
            Some(outcome) => return outcome,
            None => break,
        }
    }
    Err(RouteError::NoRoom { bytes })
}
