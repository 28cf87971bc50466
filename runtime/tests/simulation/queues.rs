//! A list that some push to and others pop from, as RESP's clients do: every value is pushed once.

use bytes::Bytes;
use dkc_core::kv::operation::{Act, End, ListAct, Span};
use dkc_core::kv::{Command, Operation, Operations, Read, Reply, Value, Write};
use dkcd::simulation::world;

use crate::clients::{Client, Clients, key, number_of};
use crate::record::{QueueCall, Queued};

/// The list's key.
const QUEUE: u32 = 40;

impl Clients {
    pub async fn use_queue(&self, client: &Client) {
        match world().draw(10) {
            0..=4 => {
                let value = self.value();
                let elements = vec![Bytes::from(value.to_string())];
                let push = ListAct::Push { end: End::Right, elements, only_if_present: false };
                self.queue(client, push, |outcome| {
                    Some(outcome.map_or(QueueCall::PushUnknown(value), |_| QueueCall::Pushed(value)))
                })
                .await;
            }
            5..=8 => {
                let pop = ListAct::Pop { end: End::Left, count: None };
                self.queue(client, pop, |outcome| match outcome {
                    Some(Value::Text(element)) => Some(QueueCall::Popped(Some(number_of(&element)))),
                    Some(Value::Nil) => Some(QueueCall::Popped(None)),
                    Some(other) => panic!("a pop was answered with {other:?}"),
                    None => Some(QueueCall::PopUnknown),
                })
                .await;
            }
            _ => self.read_queue(client).await,
        }
    }

    /// Everything that is in it.
    pub async fn read_queue(&self, client: &Client) {
        let range = ListAct::Range { span: Span { start: 0, end: -1 } };
        let text = |element: Value| match element {
            Value::Text(element) => number_of(&element),
            other => panic!("an element is {other:?}"),
        };
        self.queue(client, range, |outcome| match outcome? {
            Value::Array(elements) => Some(QueueCall::Seen(elements.into_iter().map(text).collect())),
            other => panic!("a range was answered with {other:?}"),
        })
        .await;
    }

    async fn queue(
        &self,
        client: &Client,
        act: ListAct,
        told: impl FnOnce(Option<Value>) -> Option<QueueCall>,
    ) {
        let list = key(QUEUE);
        let operation = Operation { key: list.bytes, act: Act::List(act) };
        let operations = Box::new(Operations::one(list.namespace, operation));
        let command = match operations.is_write() {
            true => Command::Write(Write::Operations(operations)),
            false => Command::Read(Read::Operations(operations)),
        };
        let begin = self.record.now();
        let result = client.execute(command).await;
        let end = self.record.now();
        let what = match result {
            Ok(Reply::Value(value)) => told(Some(value)),
            Ok(other) => panic!("a command on a list was answered with {other:?}"),
            Err(error) if error.is_outcome_unknown() => told(None),
            Err(_) => return,
        };
        if let Some(what) = what {
            self.record.queue.borrow_mut().push(Queued { begin, end, what });
        }
    }
}
