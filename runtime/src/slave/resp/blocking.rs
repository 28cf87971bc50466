//! Blocking pops. The slave polls until there is an element, and then pops it with one log entry. Waiting clients are not
//! served in order of arrival.

use std::time::Duration;

use dkc_core::kv::operation::{Act, KeyAct};
use dkc_core::kv::{Operation, Operations, Reply, Value};
use dkc_core::resp::Blocking;
use tokio::time::Instant;

use super::{CROSS_SLOT, Resp, as_command};
use crate::slave::output::Output;

/// Pause before the second poll; it doubles up to the maximum.
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(32);

impl Resp {
    pub(super) async fn block(&mut self, blocking: Blocking, output: &mut Output) {
        if !self.is_in_one_slot(blocking.operation.keys()) {
            return dkc_core::resp::write_error(output.buffer(), CROSS_SLOT);
        }
        let until = blocking.timeout_ms.and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)));
        let mut pause = PAUSE_MIN;
        loop {
            if self.may_have_element(&blocking.operation).await {
                let pop = as_command(Operations::one(self.namespace.clone(), blocking.operation.clone()));
                let outcome = self.service.router.execute(pop).await;
                let is_nothing =
                    matches!(outcome, Ok(Reply::Value(Value::Nil | Value::NilArray | Value::Integer(0))));
                if !is_nothing {
                    return self.tell_outcome(outcome, output);
                }
            }
            let now = Instant::now();
            if until.is_some_and(|until| until <= now) {
                return self.write(&blocking.nothing, output);
            }
            tokio::time::sleep_until(until.map_or(now + pause, |until| until.min(now + pause))).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// A read, which costs no log entry. Its answer is never told: an element may come right after it. What it cannot say the
    /// pop says.
    async fn may_have_element(&self, operation: &Operation) -> bool {
        let mut others: Vec<_> = operation.keys().skip(1).cloned().collect();
        // The destination of a move is not a source.
        if matches!(operation.act, Act::List(dkc_core::kv::operation::ListAct::Move { .. })) {
            others.clear();
        }
        let look = Operation { key: operation.key.clone(), act: Act::Key(KeyAct::Exists { others }) };
        let look = as_command(Operations::one(self.namespace.clone(), look));
        !matches!(self.service.router.execute(look).await, Ok(Reply::Value(Value::Integer(0))))
    }
}
