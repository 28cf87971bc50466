//! Requests that run alone: `flush_all` and `stats`.

use std::fmt::Display;
use std::time::Duration;

use dkc_core::kv::{Command, Expiry, Read, Reply, Write};
use dkc_core::memcache::{ERROR, write_end, write_reply, write_stat};

use super::answer::answer_error;
use super::{Alone, Memcache, VERSION};
use crate::clock;
use crate::router::RouteError;
use crate::slave::output::Output;
use crate::slave::protocol::Service;
use crate::slave::statistics::{Counters, add, counts};

/// Timeout of `stats` for the cluster's part.
const COUNT_MAX: Duration = Duration::from_secs(1);

pub(super) async fn carry_out(service: &Service<Memcache>, request: Alone, output: &mut Output) {
    match request {
        Alone::FlushAll { when, noreply } => {
            let outcome = flush_all(service, when).await;
            match outcome {
                _ if noreply => {}
                Ok(()) => write_reply(output.buffer(), &Reply::Done),
                Err(error) => answer_error(&error, &service.traffic, output),
            }
        }
        Alone::Stats { word } => stats(service, &word, output).await,
    }
}

async fn flush_all(service: &Service<Memcache>, when: Expiry) -> Result<(), RouteError> {
    let _in_flight = service.traffic.batch();
    add(&service.statistics.cmd_flush, 1);
    // A time of day is converted to a delay once for all tablets, whose clocks count from its arrival.
    let after_ms = match when {
        Expiry::After(ms) => ms,
        Expiry::At(ms) => ms.saturating_sub(clock::now_ms()),
        Expiry::Never => return Ok(()),
    };
    let flush = Command::Write(Write::Flush { namespace: service.namespace.clone(), after_ms });
    let outcomes = service.router.execute_everywhere(flush).await.map_err(partly_done)?;
    outcomes.into_iter().try_for_each(|outcome| outcome.map(drop)).map_err(partly_done)
}

/// If one tablet failed, others may be flushed, so a definite error would be wrong.
fn partly_done(error: RouteError) -> RouteError {
    match error {
        RouteError::Unreachable { after_ms, why } => RouteError::Unknown { after_ms, why },
        RouteError::Refused(why) => RouteError::Unknown { after_ms: 0, why },
        other => other,
    }
}

async fn stats(service: &Service<Memcache>, word: &[u8], output: &mut Output) {
    match word {
        b"" => general_stats(service, output).await,
        b"reset" => {
            service.statistics.reset();
            service.traffic.counters.reset();
            return output.put(b"RESET\r\n");
        }
        b"settings" => {
            let out = output.buffer();
            write_stat(out, "item_size_max", &service.value_max_bytes);
            write_stat(out, "cas_enabled", &"yes");
            write_stat(out, "flush_enabled", &"yes");
        }
        // They describe data, which is on the servers.
        b"items" | b"slabs" | b"sizes" | b"conns" => {}
        _ => return output.put(ERROR),
    }
    write_end(output.buffer());
}

async fn general_stats(service: &Service<Memcache>, output: &mut Output) {
    // An unreachable cluster must not prevent the other statistics.
    let counted = count(service).await;
    let out = output.buffer();
    let facts: [(&str, &dyn Display); 7] = [
        ("pid", &std::process::id()),
        ("uptime", &service.started.elapsed().as_secs()),
        ("time", &(clock::now_ms() / 1000)),
        ("version", &VERSION),
        ("pointer_size", &usize::BITS),
        ("threads", &std::thread::available_parallelism().map_or(1, usize::from)),
        ("curr_connections", &service.traffic.connections()),
    ];
    for (name, value) in facts {
        write_stat(out, name, value);
    }
    for (name, count) in counts(&service.traffic.counters).into_iter().chain(counts(&*service.statistics)) {
        write_stat(out, name, &count);
    }
    if let Some((records, bytes)) = counted {
        write_stat(out, "curr_items", &records);
        write_stat(out, "bytes", &bytes);
    }
}

/// Live records and bytes of the namespace, over all tablets.
async fn count(service: &Service<Memcache>) -> Option<(u64, u64)> {
    let command = Command::Read(Read::Count { namespace: service.namespace.clone() });
    let counting = service.router.execute_everywhere(command);
    let outcomes = tokio::time::timeout(COUNT_MAX, counting).await.ok()?.ok()?;
    outcomes.into_iter().try_fold((0, 0), |(all_records, all_bytes), outcome| match outcome {
        Ok(Reply::Count { records, bytes }) => Some((all_records + records, all_bytes + bytes)),
        _ => None,
    })
}
