//! Writes outcomes as Redis's replies.

use dkc_core::kv::{Record, Reply, Value};
use dkc_core::resp::{Gather, gathered, write_array_head, write_bulk_head, write_error, write_value};

use super::{Answer, NO_ROOM, Resp};
use crate::clock;
use crate::router::RouteError;
use crate::slave::output::Output;
use crate::slave::protocol::{Flow, Outcome, Part};

/// Values from this size on are sent without copying.
const SHARED_MIN_BYTES: usize = 1024;

impl Resp {
    pub(super) fn tell(&mut self, answer: &Answer, part: Part<'_>, output: &mut Output) -> Flow {
        match answer {
            Answer::Known(value) => self.write(value, output),
            Answer::Error(why) => write_error(output.buffer(), why),
            Answer::One { is_read } => {
                let outcome = take(&mut part.outcomes[0]);
                let is_hit =
                    !matches!(outcome, Ok(Reply::NotFound | Reply::Value(Value::Nil | Value::NilArray)));
                if *is_read {
                    self.service.statistics.count_read(is_hit);
                }
                self.tell_outcome(outcome, output);
            }
            Answer::Gathered(Gather::Array, count) => return self.each(*count, part, output),
            Answer::Gathered(gather, _) => return self.gather(*gather, part, output),
        }
        Flow::GoOn
    }

    /// Writes elements of an array as they arrive, so that none is collected. Once its head is sent, a failure is an error in
    /// place of its element.
    fn each(&mut self, count: usize, part: Part<'_>, output: &mut Output) -> Flow {
        for outcome in part.outcomes.iter_mut().map(take) {
            if self.elements_left == 0 {
                if let Err(error) = &outcome {
                    self.fail(error, output);
                    return Flow::Stop;
                }
                write_array_head(output.buffer(), count);
                self.elements_left = count;
            }
            self.elements_left -= 1;
            match outcome {
                // As in Redis, a key of another type is nil.
                Ok(Reply::WrongType | Reply::Value(Value::Fault(_))) => self.write(&Value::Nil, output),
                outcome => self.tell_outcome(outcome, output),
            }
        }
        Flow::GoOn
    }

    /// Collects partial results, all of them small, until all have arrived.
    fn gather(&mut self, gather: Gather, part: Part<'_>, output: &mut Output) -> Flow {
        for outcome in part.outcomes.iter_mut() {
            match value_of(take(outcome)) {
                Ok(value) => self.gathered.push(value),
                Err(error) => {
                    self.gathered.clear();
                    // Some of the writes may have been applied, so the outcome of the whole command is unknown.
                    let is_write = part.touched.iter().any(|touched| touched.is_write);
                    self.fail(&if is_write { partly_done(error) } else { error }, output);
                    return Flow::Stop;
                }
            }
        }
        if part.is_last {
            let value = gathered(gather, std::mem::take(&mut self.gathered));
            self.write(&value, output);
        }
        Flow::GoOn
    }

    pub(super) fn tell_outcome(&self, outcome: Outcome, output: &mut Output) {
        match outcome {
            Ok(Reply::Record(Record { value, .. })) if value.len() >= SHARED_MIN_BYTES => {
                write_bulk_head(output.buffer(), value.len());
                output.put_value(value);
                output.put(b"\r\n");
            }
            outcome => match value_of(outcome) {
                Ok(value) => self.write(&value, output),
                Err(error) => self.fail(&error, output),
            },
        }
    }

    pub(super) fn write(&self, value: &Value, output: &mut Output) {
        write_value(output.buffer(), value, self.version, clock::now_ms());
    }

    pub(super) fn fail(&self, error: &RouteError, output: &mut Output) {
        self.service.traffic.count_failure(error.is_outcome_unknown());
        let text = match error {
            RouteError::Unknown { .. } => {
                "UNKNOWN outcome unknown: the write may or may not have been carried out".to_owned()
            }
            RouteError::NoRoom { .. } => NO_ROOM.to_owned(),
            RouteError::Unreachable { .. } => format!("CLUSTERDOWN {error}"),
            RouteError::Refused(_) => format!("ERR {error}"),
        };
        write_error(output.buffer(), &text);
    }
}

/// Removes the outcome; called once.
fn take(outcome: &mut Outcome) -> Outcome {
    std::mem::replace(outcome, Ok(Reply::NotFound))
}

/// A definite error of one key is not definite for the whole command.
pub(super) fn partly_done(error: RouteError) -> RouteError {
    match error {
        RouteError::Unreachable { after_ms, why } => RouteError::Unknown { after_ms, why },
        RouteError::Refused(why) => RouteError::Unknown { after_ms: 0, why },
        other => other,
    }
}

pub(super) fn value_of(outcome: Outcome) -> Result<Value, RouteError> {
    use dkc_core::kv::Fault;
    Ok(match outcome? {
        Reply::Value(value) => value,
        Reply::Record(record) => Value::Text(record.value),
        Reply::NotFound => Value::Nil,
        Reply::Stored { .. } | Reply::Done => Value::OKAY,
        Reply::Deleted => Value::Integer(1),
        Reply::WrongType => Value::Fault(Fault::WrongType),
        Reply::TooLarge => Value::Fault(Fault::TooLarge),
        other => return Err(RouteError::Refused(format!("unexpected reply: {other:?}"))),
    })
}
