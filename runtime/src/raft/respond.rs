//! The destination of a reply to a key-value request: the connection that the request arrived on, or a task of this
//! process.
//!
//! *Invariant:* small replies always fit: when a connection is behind, a large one is replaced by "unknown", and the
//! caller may retry.

use dkc_core::ids::GroupId;
use dkc_core::wire::{Answer, Kind, REPLY_BOUNDED_MAX_BYTES};
use tokio::sync::oneshot;

use crate::net::{Sender, TurnOfBulk};

enum Destination {
    Connection { sender: Sender, id: u64, group: GroupId },
    Task(oneshot::Sender<Answer>),
}

/// Takes exactly one answer.
pub struct Respond(Option<Destination>);

impl Respond {
    pub fn connection(sender: Sender, id: u64, group: GroupId) -> Respond {
        Respond(Some(Destination::Connection { sender, id, group }))
    }

    pub fn task() -> (Respond, oneshot::Receiver<Answer>) {
        let (sender, receiver) = oneshot::channel();
        (Respond(Some(Destination::Task(sender))), receiver)
    }

    /// For a request without a waiting caller.
    pub fn nobody() -> Respond {
        Respond(None)
    }

    /// Waits for its turn as a bulk sender on its connection, and for room in the queue.
    pub async fn turn_of_bulk(&self) -> Option<TurnOfBulk> {
        match &self.0 {
            Some(Destination::Connection { sender, .. }) => Some(sender.turn_of_bulk().await),
            _ => None,
        }
    }

    /// Never blocks. If the connection is closed, the reply is dropped.
    pub fn send(mut self, answer: Answer) {
        self.deliver(answer);
    }

    fn deliver(&mut self, answer: Answer) {
        match self.0.take() {
            Some(Destination::Connection { sender, id, group }) => {
                let is_large =
                    matches!(&answer, Answer::Reply(reply) if reply.value_bytes() > REPLY_BOUNDED_MAX_BYTES);
                let answer = if is_large && !sender.has_room_for_large() { Answer::Unknown } else { answer };
                let sent = sender.send_with(Kind::Answer, id, group, |out| answer.encode(out));
                if let Err(error) = sent {
                    tracing::debug!(%error, "reply not sent");
                }
            }
            Some(Destination::Task(sender)) => {
                let _ = sender.send(answer);
            }
            None => {}
        }
    }
}

/// A request that is dropped without a reply (because its group was closed, for example) is answered with an
/// unknown outcome.
impl Drop for Respond {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.deliver(Answer::Unknown);
        }
    }
}

/// Of a large reply only the size, where the caller wants it so.
pub(super) fn bounded(answer: Answer, is_bounded: bool) -> Answer {
    match &answer {
        Answer::Reply(reply) if is_bounded && reply.value_bytes() > REPLY_BOUNDED_MAX_BYTES => {
            Answer::TooLarge { bytes: reply.value_bytes() }
        }
        _ => answer,
    }
}
