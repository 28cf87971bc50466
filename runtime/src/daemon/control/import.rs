//! Records of an export, written back. Each is one log entry; records of one key keep their order.
//!
//! *Invariant:* importing the same records again leads to the same state, unless existing keys are kept.

use std::collections::HashSet;

use bytes::Bytes;
use dkc_core::control::{BadBase64, Blob, ControlReply, ExportedContent, ExportedRecord};
use dkc_core::ids::Namespace;
use dkc_core::kv::operation::{Act, AddHow, End, HashAct, KeyAct, ListAct, SetAct, SortedSetAct};
use dkc_core::kv::{Command, Expiry, Key, Operation, Operations, Reply, Score, StoreMode, Value, Write};
use futures::{StreamExt, TryStreamExt, stream};

use super::ServerControl;
use super::kv::{Failed, check_key_bytes, failed, shown};

/// Records that are written at once.
const WRITE_AT_ONCE: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Imported {
    Stored,
    /// The key exists, and stays as it is.
    Kept,
}

impl From<BadBase64> for Failed {
    fn from(error: BadBase64) -> Failed {
        Failed::Bad(error.to_string())
    }
}

impl ServerControl {
    pub async fn import(
        &self,
        namespace: Namespace,
        records: Vec<ExportedRecord>,
        keeps_existing: bool,
    ) -> ControlReply {
        let mut kept = Vec::new();
        for run in runs(records) {
            let writes = run.into_iter().map(|record| self.write(&namespace, record, keeps_existing));
            let written: Result<Vec<_>, Failed> =
                stream::iter(writes).buffered(WRITE_AT_ONCE).try_collect().await;
            match written {
                Ok(written) => {
                    let not_stored = written.into_iter().filter(|(_, imported)| *imported == Imported::Kept);
                    kept.extend(not_stored.map(|(key, _)| key));
                }
                Err(error) => return failed(error),
            }
        }
        ControlReply::Imported { kept }
    }

    async fn write(
        &self,
        namespace: &Namespace,
        record: ExportedRecord,
        keeps_existing: bool,
    ) -> Result<(Blob, Imported), Failed> {
        let key = Key { namespace: namespace.clone(), bytes: record.key.to_bytes()?.into() };
        check_key_bytes(&key.bytes)?;
        let name = record.key.clone();
        let reply = self.router.execute(Command::Write(write_of(&key, record, keeps_existing)?)).await?;
        let why = match reply {
            Reply::Stored { .. } => return Ok((name, Imported::Stored)),
            Reply::NotStored | Reply::Value(Value::NilArray) => return Ok((name, Imported::Kept)),
            Reply::Value(Value::Array(answers)) => match answers.into_iter().find_map(fault) {
                None => return Ok((name, Imported::Stored)),
                Some(why) => why,
            },
            Reply::TooLarge => "key or value exceeds the cluster's size limit".into(),
            other => format!("unexpected reply to a write: {other:?}"),
        };
        Err(Failed::Bad(format!("{}: {why}", shown(&key.bytes))))
    }
}

fn fault(answer: Value) -> Option<String> {
    match answer {
        Value::Fault(fault) => Some(fault.to_string()),
        _ => None,
    }
}

/// Records that may be written at once: none of a run needs another of it to have been written before.
fn runs(records: Vec<ExportedRecord>) -> Vec<Vec<ExportedRecord>> {
    let mut runs: Vec<Vec<ExportedRecord>> = Vec::new();
    let mut keys = HashSet::new();
    for record in records {
        let key = record.key.to_bytes().unwrap_or_default();
        if runs.is_empty() || !keys.insert(key.clone()) {
            runs.push(Vec::new());
            keys = HashSet::from([key]);
        }
        if let Some(run) = runs.last_mut() {
            run.push(record);
        }
    }
    runs
}

fn write_of(key: &Key, record: ExportedRecord, keeps_existing: bool) -> Result<Write, Failed> {
    let expiry = record.expires_at_ms.map_or(Expiry::Never, Expiry::At);
    let add = match record.content {
        ExportedContent::String(value) => {
            let mode = if keeps_existing { StoreMode::Add } else { StoreMode::Set };
            let value = value.to_bytes()?.into();
            return Ok(Write::Store { key: key.clone(), mode, flags: record.flags, expiry, value });
        }
        ExportedContent::List(elements) => {
            Act::List(ListAct::Push { end: End::Right, elements: all(&elements)?, only_if_present: false })
        }
        ExportedContent::Set(members) => Act::Set(SetAct::Add { members: all(&members)? }),
        ExportedContent::Hash(pairs) => {
            let pair = |(field, value): &(Blob, Blob)| Ok((bytes(field)?, bytes(value)?));
            let pairs = pairs.iter().map(pair).collect::<Result<_, Failed>>()?;
            Act::Hash(HashAct::Set { pairs, says_okay: false })
        }
        ExportedContent::SortedSet(elements) => {
            let element = |(member, score): &(Blob, String)| Ok((score_of(score)?, bytes(member)?));
            let elements = elements.iter().map(element).collect::<Result<_, Failed>>()?;
            Act::SortedSet(SortedSetAct::Add { how: AddHow::default(), elements })
        }
    };
    let mut acts = vec![add];
    if !record.continues {
        acts.insert(0, Act::Key(KeyAct::Delete { others: Vec::new() }));
    }
    if expiry != Expiry::Never {
        acts.push(Act::Key(KeyAct::Expire { expiry, condition: None }));
    }
    // Version 0: only if there is no such key.
    let watched = if keeps_existing && !record.continues { vec![(key.bytes.clone(), 0)] } else { Vec::new() };
    let all = acts.into_iter().map(|act| Operation { key: key.bytes.clone(), act }).collect();
    Ok(Write::Operations(Box::new(Operations { key: key.clone(), watched: Some(watched), all })))
}

fn bytes(blob: &Blob) -> Result<Bytes, Failed> {
    Ok(blob.to_bytes()?.into())
}

fn all(blobs: &[Blob]) -> Result<Vec<Bytes>, Failed> {
    match blobs {
        [] => Err(Failed::Bad("a collection has at least one element".into())),
        blobs => blobs.iter().map(bytes).collect(),
    }
}

fn score_of(text: &str) -> Result<Score, Failed> {
    let score: f64 =
        text.parse().map_err(|_| Failed::Bad(format!("'{}' is not a score", shown(text.as_bytes()))))?;
    if score.is_nan() { Err(Failed::Bad("a score is never NaN".into())) } else { Ok(Score(score)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, continues: bool) -> ExportedRecord {
        let content = ExportedContent::Set(vec![Blob::Text("m".into())]);
        ExportedRecord { key: Blob::Text(key.into()), content, flags: 0, expires_at_ms: None, continues }
    }

    #[test]
    fn records_of_one_key_never_run_at_once() {
        let records = [("a", false), ("b", false), ("a", true), ("a", true), ("c", false)];
        let runs = runs(records.iter().map(|(key, continues)| record(key, *continues)).collect());
        let lengths: Vec<usize> = runs.iter().map(Vec::len).collect();
        assert_eq!(lengths, [2, 1, 2]);
        assert!(super::runs(Vec::new()).is_empty());
    }

    #[test]
    fn what_is_no_score_and_empty_collections_are_refused() {
        assert!(score_of("NaN").is_err() && score_of("x").is_err() && score_of("").is_err());
        assert_eq!(score_of("-inf").ok(), Some(Score(f64::NEG_INFINITY)));
        assert!(all(&[]).is_err());
    }
}
