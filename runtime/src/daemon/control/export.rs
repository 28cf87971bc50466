//! Pages of an export: keys with all that they hold, tablet by tablet. Each key is as of one moment, also a collection that takes
//! several pages: when it changes meanwhile it is sent again from its beginning. Different keys are of different moments.

use bytes::Bytes;
use dkc_core::control::{Blob, ControlReply, ExportedContent, ExportedRecord};
use dkc_core::ids::{Namespace, TabletId};
use dkc_core::kv::operation::{Act, HashAct, KeyAct, ListAct, SetAct, SortedSetAct, Span};
use dkc_core::kv::{Command, Fault, Key, Operation, Operations, Read, Reply, Value};
use dkc_core::tablet::rows::data_row;
use futures::{StreamExt, TryStreamExt, stream};

use super::ServerControl;
use super::kv::{Cursor, Failed, SCANS_MAX, failed, not_given_out, shown};
use crate::raft::cut::OpenCut;
use crate::router::Router;

/// Keys of one page.
pub(super) const PAGE_KEYS_MAX: u32 = 1000;
/// A page ends with the record that reaches this.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// Keys that are read at once; as many of the largest values may stand in memory.
const READ_AT_ONCE: usize = 16;
/// Elements of one part of a collection: a scan begins at its beginning to find its place, so few parts are better.
const PART_ELEMENTS: u32 = 10_000;
/// A collection that changes while it is read is begun again so often.
const ATTEMPTS_MAX: u32 = 20;

/// Where an export goes on: behind a key, and within that key if it is a large collection. Opaque to callers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub at: Cursor,
    pub within: Option<Within>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Within {
    key: Vec<u8>,
    version: u64,
    /// Elements before it, or the cursor of a scan.
    position: u64,
    attempts: u32,
}

type Found = Option<(ExportedRecord, Option<Within>)>;

impl ServerControl {
    pub async fn export(&self, namespace: Namespace, prefix: &Blob, cursor: Option<&str>) -> ControlReply {
        let page = async {
            let prefix = prefix.to_bytes().map_err(|error| Failed::Bad(error.to_string()))?;
            let place = cursor.map_or(Ok(Place::default()), Place::parse)?;
            self.export_page(&namespace, &prefix, place).await
        };
        match page.await {
            Ok((records, next)) => ControlReply::Exported { records, next: next.map(|place| place.text()) },
            Err(error) => failed(error),
        }
    }

    async fn export_page(
        &self,
        namespace: &Namespace,
        prefix: &[u8],
        Place { mut at, within }: Place,
    ) -> Result<(Vec<ExportedRecord>, Option<Place>), Failed> {
        let keys = Keys::Now(&self.router);
        if let Some(within) = within {
            return keys.page_within(namespace, at, within).await;
        }
        let tablets = self.router.tablets().await?;
        for _ in 0..SCANS_MAX {
            let Some(scanned) = self.scan(&tablets, at, namespace, PAGE_KEYS_MAX).await? else {
                return Ok((Vec::new(), None));
            };
            let wanted = scanned.keys.into_iter().filter(|key| key.starts_with(prefix)).collect();
            let (records, end) = keys.read_all(scanned.tablet, namespace, wanted).await?;
            if let Some(end) = end {
                return Ok((records, Some(end)));
            }
            at = scanned.next;
            if !records.is_empty() {
                return Ok((records, Some(Place { at, within: None })));
            }
        }
        Ok((Vec::new(), Some(Place { at, within: None })))
    }
}

/// Where keys are read.
pub(super) enum Keys<'a> {
    /// In the cluster as it is.
    Now(&'a Router),
    /// In the state of a tablet at an earlier moment.
    Cut(&'a OpenCut),
}

impl Keys<'_> {
    pub async fn read(&self, read: Read) -> Result<Reply, Failed> {
        match self {
            Keys::Now(router) => Ok(router.execute(Command::Read(read)).await?),
            Keys::Cut(cut) => cut.read(&read).map_err(|error| Failed::Bad(error.to_string())),
        }
    }

    /// The next part of a collection.
    pub async fn page_within(
        &self,
        namespace: &Namespace,
        at: Cursor,
        within: Within,
    ) -> Result<(Vec<ExportedRecord>, Option<Place>), Failed> {
        let key = Key { namespace: namespace.clone(), bytes: within.key.clone().into() };
        let (record, within) = self.part(&key, Some(within)).await?.unzip();
        Ok((record.into_iter().collect(), Some(Place { at, within: within.flatten() })))
    }

    /// The records of these keys in their order, until a page is full or a collection needs more than one: then also where to
    /// go on.
    pub async fn read_all(
        &self,
        tablet: TabletId,
        namespace: &Namespace,
        keys: Vec<Bytes>,
    ) -> Result<(Vec<ExportedRecord>, Option<Place>), Failed> {
        let key_of = |bytes| Key { namespace: namespace.clone(), bytes };
        let reads = keys.into_iter().map(|bytes| {
            let key = key_of(bytes);
            async move { self.record(&key).await.map(|found| (key, found)) }
        });
        let mut found = stream::iter(reads).buffered(READ_AT_ONCE);
        let (mut records, mut bytes) = (Vec::new(), 0);
        while let Some((key, found)) = found.try_next().await? {
            let Some((record, within)) = found else { continue };
            bytes += size_of(&record);
            records.push(record);
            if within.is_some() || bytes >= PAGE_BYTES {
                let at = Cursor { tablet, after: data_row(&key)[1..].to_vec() };
                return Ok((records, Some(Place { at, within })));
            }
        }
        Ok((records, None))
    }

    async fn record(&self, key: &Key) -> Result<Found, Failed> {
        match self.read(Read::Get { key: key.clone() }).await? {
            Reply::Record(record) => {
                let content = ExportedContent::String(Blob::from_bytes(&record.value));
                let record = ExportedRecord {
                    key: Blob::from_bytes(&key.bytes),
                    content,
                    flags: record.flags,
                    expires_at_ms: record.expires_at_ms,
                    continues: false,
                };
                Ok(Some((record, None)))
            }
            Reply::NotFound => Ok(None),
            Reply::WrongType => self.part(key, None).await,
            other => Err(Failed::Bad(format!("unexpected reply to a read: {other:?}"))),
        }
    }

    /// Elements of a collection from its beginning, or from where an earlier part ended if it is the same since.
    async fn part(&self, key: &Key, mut from: Option<Within>) -> Result<Found, Failed> {
        let attempts = from.as_ref().map_or(0, |within| within.attempts);
        for attempt in attempts..ATTEMPTS_MAX {
            let Some(kind) = self.kind(key).await? else { return Ok(None) };
            let position = from.as_ref().map_or(0, |within| within.position);
            let Some(read) = self.read_part(key, kind, position).await? else { continue };
            if from.as_ref().is_some_and(|within| within.version != read.version) {
                from = None;
                continue;
            }
            let within = read.next.map(|position| Within {
                key: key.bytes.to_vec(),
                version: read.version,
                position,
                attempts: attempt,
            });
            let record = ExportedRecord {
                key: Blob::from_bytes(&key.bytes),
                content: read.content,
                flags: 0,
                expires_at_ms: read.expires_at_ms,
                continues: from.is_some(),
            };
            return Ok(Some((record, within)));
        }
        Err(Failed::Bad(format!("{} changes faster than it can be read", shown(&key.bytes))))
    }

    async fn kind(&self, key: &Key) -> Result<Option<Kind>, Failed> {
        let answers = self.read_operations(key, vec![Act::Key(KeyAct::Type)]).await?;
        match &answers[..] {
            [Value::Word(word)] => Ok(Kind::of(word)),
            other => Err(unexpected(key, other)),
        }
    }

    /// `None` if the key is of another type by now, or has gone.
    async fn read_part(&self, key: &Key, kind: Kind, position: u64) -> Result<Option<PartRead>, Failed> {
        let head = [KeyAct::Version, KeyAct::ExpiresAt { in_seconds: false }].map(Act::Key);
        let acts = head.into_iter().chain([kind.act(position)]).collect();
        let answers = self.read_operations(key, acts).await?;
        let [Value::Integer(version), Value::Integer(expires_at_ms), elements] = &answers[..] else {
            return Err(unexpected(key, &answers));
        };
        if *version == 0 || *elements == Value::Fault(Fault::WrongType) {
            return Ok(None);
        }
        let (content, next) = kind
            .content(elements, position)
            .ok_or_else(|| unexpected(key, std::slice::from_ref(elements)))?;
        let expires_at_ms = u64::try_from(*expires_at_ms).ok();
        Ok(Some(PartRead { version: *version as u64, expires_at_ms, content, next }))
    }

    async fn read_operations(&self, key: &Key, acts: Vec<Act>) -> Result<Vec<Value>, Failed> {
        let all = acts.into_iter().map(|act| Operation { key: key.bytes.clone(), act }).collect();
        let operations = Operations { key: key.clone(), watched: Some(Vec::new()), all };
        match self.read(Read::Operations(Box::new(operations))).await? {
            Reply::Value(Value::Array(answers)) => Ok(answers),
            other => Err(Failed::Bad(format!("unexpected reply to a read: {other:?}"))),
        }
    }
}

struct PartRead {
    version: u64,
    expires_at_ms: Option<u64>,
    content: ExportedContent,
    /// Where the next part begins.
    next: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    List,
    Hash,
    Set,
    SortedSet,
}

impl Kind {
    /// `None` for a key that is no collection by now; it was one when it was scanned.
    fn of(word: &[u8]) -> Option<Kind> {
        match word {
            b"list" => Some(Kind::List),
            b"hash" => Some(Kind::Hash),
            b"set" => Some(Kind::Set),
            b"zset" => Some(Kind::SortedSet),
            _ => None,
        }
    }

    fn act(self, position: u64) -> Act {
        let count = PART_ELEMENTS;
        match self {
            Kind::List => {
                let start = position as i64;
                Act::List(ListAct::Range { span: Span { start, end: start + i64::from(count) - 1 } })
            }
            Kind::Hash => Act::Hash(HashAct::Scan { after: position, count }),
            Kind::Set => Act::Set(SetAct::Scan { after: position, count }),
            Kind::SortedSet => Act::SortedSet(SortedSetAct::Scan { after: position, count }),
        }
    }

    /// What an answer to `act` holds, and the position behind it if there may be more.
    fn content(self, elements: &Value, position: u64) -> Option<(ExportedContent, Option<u64>)> {
        let (elements, next) = match (self, elements) {
            (Kind::List, Value::Array(elements)) => {
                let is_more = elements.len() == PART_ELEMENTS as usize;
                (elements, is_more.then_some(position + elements.len() as u64))
            }
            (_, Value::Array(page)) => match &page[..] {
                [Value::Text(next), Value::Array(elements)] => {
                    let next: u64 = std::str::from_utf8(next).ok()?.parse().ok()?;
                    (elements, (next != 0).then_some(next))
                }
                _ => return None,
            },
            _ => return None,
        };
        let content = match self {
            Kind::List => ExportedContent::List(elements.iter().map(blob).collect::<Option<_>>()?),
            Kind::Set => ExportedContent::Set(elements.iter().map(blob).collect::<Option<_>>()?),
            Kind::Hash => {
                let pair = |pair: &[Value]| Some((blob(pair.first()?)?, blob(pair.get(1)?)?));
                ExportedContent::Hash(elements.chunks(2).map(pair).collect::<Option<_>>()?)
            }
            Kind::SortedSet => {
                let pair = |pair: &[Value]| Some((blob(pair.first()?)?, score(pair.get(1)?)?));
                ExportedContent::SortedSet(elements.chunks(2).map(pair).collect::<Option<_>>()?)
            }
        };
        Some((content, next))
    }
}

fn blob(value: &Value) -> Option<Blob> {
    match value {
        Value::Text(bytes) => Some(Blob::from_bytes(bytes)),
        _ => None,
    }
}

fn score(value: &Value) -> Option<String> {
    match value {
        Value::Double(score) => Some(score.0.to_string()),
        Value::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    }
}

fn unexpected(key: &Key, answers: &[Value]) -> Failed {
    let fault = answers.iter().find_map(|answer| match answer {
        Value::Fault(fault) => Some(fault.to_string()),
        _ => None,
    });
    Failed::Bad(format!("{}: {}", shown(&key.bytes), fault.unwrap_or_else(|| "unexpected reply".into())))
}

fn size_of(record: &ExportedRecord) -> usize {
    let blob = |blob: &Blob| match blob {
        Blob::Text(text) | Blob::Base64(text) => text.len(),
    };
    blob(&record.key)
        + match &record.content {
            ExportedContent::String(value) => blob(value),
            ExportedContent::List(all) | ExportedContent::Set(all) => all.iter().map(blob).sum(),
            ExportedContent::Hash(all) => all.iter().map(|(field, value)| blob(field) + blob(value)).sum(),
            ExportedContent::SortedSet(all) => {
                all.iter().map(|(member, score)| blob(member) + score.len()).sum()
            }
        }
}

impl Place {
    /// The cursor, and behind it the place within a collection.
    pub fn text(&self) -> String {
        let mut text = self.at.text();
        if let Some(Within { key, version, position, attempts }) = &self.within {
            text += &format!(":{}:{version}:{position}:{attempts}", hex::encode(key));
        }
        text
    }

    pub fn parse(text: &str) -> Result<Place, Failed> {
        let second_colon = text.match_indices(':').nth(1).map(|(at, _)| at);
        let (cursor, within) = text.split_at(second_colon.unwrap_or(text.len()));
        let within = match within.strip_prefix(':') {
            Some(within) => Some(Within::parse(within).ok_or_else(|| not_given_out(text))?),
            None => None,
        };
        Ok(Place { at: Cursor::parse(cursor.as_bytes())?, within })
    }
}

impl Within {
    fn parse(text: &str) -> Option<Within> {
        let [key, version, position, attempts] = text.split(':').collect::<Vec<_>>()[..] else { return None };
        Some(Within {
            key: hex::decode(key).ok()?,
            version: version.parse().ok()?,
            position: position.parse().ok()?,
            attempts: attempts.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_as_written_and_nothing_else_is_one() {
        let within = Within { key: vec![0, 255], version: 7, position: 10_000, attempts: 1 };
        for within in [None, Some(within)] {
            let place = Place { at: Cursor { tablet: TabletId(3), after: vec![1, 2] }, within };
            assert_eq!(Place::parse(&place.text()).ok(), Some(place));
        }
        for text in ["", "7", "x:00", "7:0", "7:00:00", "7:00:00:1:2", "7:00:zz:1:2:3", "7:00:00:-1:2:3"] {
            assert!(Place::parse(text).is_err(), "{text}");
        }
    }
}
