//! Where the answer to one key-value request goes: back over the connection it came on, or to a task of this
//! process.

use dkc_core::ids::GroupId;
use dkc_core::wire::{Answer, Kind};
use tokio::sync::oneshot;

use crate::net::Sender;

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

    /// For a request that nobody waits for.
    pub fn nobody() -> Respond {
        Respond(None)
    }

    /// Never waits. Whoever asked may be gone; then the answer is lost with them.
    pub fn send(mut self, answer: Answer) {
        self.deliver(answer);
    }

    fn deliver(&mut self, answer: Answer) {
        match self.0.take() {
            Some(Destination::Connection { sender, id, group }) => {
                let sent = sender.send_with(Kind::Answer, id, group, |out| answer.encode(out));
                if let Err(error) = sent {
                    tracing::debug!(%error, "an answer could not be sent");
                }
            }
            Some(Destination::Task(sender)) => {
                let _ = sender.send(answer);
            }
            None => {}
        }
    }
}

/// A request that is dropped on the way (its group was closed, say) is answered all the same: with what is true of
/// a request whose fate nobody knows.
impl Drop for Respond {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.deliver(Answer::Unknown);
        }
    }
}
