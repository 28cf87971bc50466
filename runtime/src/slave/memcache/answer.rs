//! Writes outcomes as memcached's replies.

use dkc_core::kv::Reply;
use dkc_core::memcache::{
    Meta, Verb, WRONG_TYPE, write_end, write_meta, write_reply, write_server_error, write_unknown,
    write_value_head, write_version,
};

use super::statistics::WriteKind;
use super::{Answer, Memcache, VERSION};
use crate::clock;
use crate::router::RouteError;
use crate::slave::output::Output;
use crate::slave::protocol::{Flow, Outcome, Part, Service};
use crate::slave::statistics::Traffic;

/// memcached's reply when it has no buffer for a value.
const OUT_OF_MEMORY: &[u8] = b"SERVER_ERROR out of memory writing get response\r\n";

pub(super) fn answer(
    service: &Service<Memcache>,
    answer: &Answer,
    part: Part<'_>,
    output: &mut Output,
) -> Flow {
    match *answer {
        Answer::Text(text) => output.put(text),
        Answer::Version => write_version(output.buffer(), VERSION),
        Answer::Meta { ref meta, kind } => {
            answer_meta(service, meta, kind, &mut part.outcomes[0], output);
        }
        Answer::Write { kind, noreply } => {
            answer_write(service, &part.outcomes[0], kind, noreply, output);
        }
        Answer::Get { with_version, is_touch } => {
            return answer_get(service, part, with_version, is_touch, output);
        }
    }
    Flow::GoOn
}

fn answer_write(
    service: &Service<Memcache>,
    outcome: &Outcome,
    kind: WriteKind,
    noreply: bool,
    output: &mut Output,
) {
    if let Ok(reply) = outcome {
        service.statistics.count_write(kind, reply);
    }
    match outcome {
        _ if noreply => {}
        Ok(reply) => write_reply(output.buffer(), reply),
        Err(error) => answer_error(error, &service.traffic, output),
    }
}

/// Quiet requests get errors too.
fn answer_meta(
    service: &Service<Memcache>,
    meta: &Meta,
    kind: Option<WriteKind>,
    outcome: &mut Outcome,
    output: &mut Output,
) {
    let reply = match outcome {
        Ok(reply) => reply,
        Err(error) => return answer_error(error, &service.traffic, output),
    };
    if meta.verb == Verb::Get {
        service.statistics.count_get(matches!(reply, Reply::Record(_)));
    }
    if let Some(kind) = kind {
        service.statistics.count_write(kind, reply);
    }
    if write_meta(output.buffer(), meta, reply, clock::now_ms())
        && let Reply::Record(record) = reply
    {
        output.put_value(std::mem::take(&mut record.value));
        output.put(b"\r\n");
    }
}

/// The `VALUE` blocks of a get, or one error and nothing else.
fn answer_get(
    service: &Service<Memcache>,
    part: Part<'_>,
    with_version: bool,
    is_touch: bool,
    output: &mut Output,
) -> Flow {
    if let Some(Err(error)) = part.outcomes.iter().find(|outcome| outcome.is_err()) {
        answer_error(error, &service.traffic, output);
        return Flow::Stop;
    }
    if part.outcomes.iter().any(|outcome| matches!(outcome, Ok(Reply::WrongType))) {
        output.put(WRONG_TYPE);
        return Flow::Stop;
    }
    for (touched, outcome) in part.touched.iter().zip(part.outcomes) {
        let is_hit = matches!(outcome, Ok(Reply::Record(_)));
        service.statistics.count_get(is_hit);
        if is_touch {
            service.statistics.count_touch(is_hit);
        }
        if let Ok(Reply::Record(record)) = outcome {
            write_value_head(output.buffer(), touched.name(), record, with_version);
            output.put_value(std::mem::take(&mut record.value));
            output.put(b"\r\n");
        }
    }
    if part.is_last {
        write_end(output.buffer());
    }
    Flow::GoOn
}

pub(super) fn answer_error(error: &RouteError, traffic: &Traffic, output: &mut Output) {
    traffic.count_failure(error.is_outcome_unknown());
    match error {
        RouteError::Unknown { .. } => write_unknown(output.buffer()),
        RouteError::NoRoom { .. } => output.put(OUT_OF_MEMORY),
        _ => write_server_error(output.buffer(), &error.to_string()),
    }
}
