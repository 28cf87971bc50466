//! Records as the commands of other programs: what `redis-cli --pipe` and a memcached port load.

use dkc_core::control::{BadBase64, Blob, ExportedContent, ExportedRecord};
use dkc_core::{memcache, resp};

/// Elements of one command: Redis takes more, other programs not always.
const ELEMENTS_MAX: usize = 1000;

/// Commands of RESP that make the key what the record says.
pub fn redis(record: &ExportedRecord) -> Result<Vec<u8>, BadBase64> {
    let key = record.key.to_bytes()?;
    let expires_at = record.expires_at_ms.map(|at| at.to_string());
    let all = |blobs: &[Blob]| blobs.iter().map(Blob::to_bytes).collect::<Result<Vec<_>, _>>();
    // The command that adds elements, how many words one takes, and all their words.
    let (verb, width, words): (&[u8], usize, Vec<Vec<u8>>) = match &record.content {
        ExportedContent::String(value) => {
            let value = value.to_bytes()?;
            let mut words: Vec<&[u8]> = vec![b"SET", &key, &value];
            words.extend(expires_at.iter().flat_map(|at| [&b"PXAT"[..], at.as_bytes()]));
            return Ok(resp::command(&words).to_vec());
        }
        ExportedContent::List(elements) => (b"RPUSH", 1, all(elements)?),
        ExportedContent::Set(members) => (b"SADD", 1, all(members)?),
        ExportedContent::Hash(pairs) => {
            let words = pairs.iter().flat_map(|(field, value)| [field.to_bytes(), value.to_bytes()]);
            (b"HSET", 2, words.collect::<Result<_, _>>()?)
        }
        ExportedContent::SortedSet(elements) => {
            let words = elements
                .iter()
                .flat_map(|(member, score)| [Ok(score.clone().into_bytes()), member.to_bytes()]);
            (b"ZADD", 2, words.collect::<Result<_, _>>()?)
        }
    };
    let mut out = Vec::new();
    if !record.continues {
        out.extend(resp::command(&[b"DEL", &key]));
    }
    for words in words.chunks(ELEMENTS_MAX * width) {
        let head: [&[u8]; 2] = [verb, &key];
        let line: Vec<&[u8]> = head.into_iter().chain(words.iter().map(Vec::as_slice)).collect();
        out.extend(resp::command(&line));
    }
    if let Some(at) = expires_at {
        out.extend(resp::command(&[b"PEXPIREAT", &key, at.as_bytes()]));
    }
    Ok(out)
}

/// A `set` of memcached; `None` for what memcached has no words for: a collection, or a key that is long or not a word.
pub fn memcached(record: &ExportedRecord) -> Result<Option<Vec<u8>>, BadBase64> {
    let key = record.key.to_bytes()?;
    let is_word = key.iter().all(|byte| *byte > b' ' && *byte != 0x7f);
    let ExportedContent::String(value) = &record.content else { return Ok(None) };
    if !is_word || key.len() > memcache::KEY_MAX_BYTES {
        return Ok(None);
    }
    let value = value.to_bytes()?;
    // Whole seconds of the Unix epoch; 0 is never.
    let expires_at_s = record.expires_at_ms.map_or(0, |ms| ms.div_ceil(1000).max(1));
    let mut out = [b"set ", &key[..]].concat();
    out.extend_from_slice(format!(" {} {expires_at_s} {} noreply\r\n", record.flags, value.len()).as_bytes());
    out.extend_from_slice(&value);
    out.extend_from_slice(b"\r\n");
    Ok(Some(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(content: ExportedContent) -> ExportedRecord {
        ExportedRecord {
            key: Blob::Text("k".into()),
            content,
            flags: 7,
            expires_at_ms: Some(1500),
            continues: false,
        }
    }

    fn text(text: &str) -> Blob {
        Blob::Text(text.into())
    }

    #[test]
    fn records_become_commands_of_redis() {
        let check = |record: ExportedRecord, want: &[&[&str]]| {
            let mut wanted = Vec::new();
            for words in want {
                wanted.extend(resp::command(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>()));
            }
            assert_eq!(redis(&record).unwrap(), wanted, "{record:?}");
        };
        check(record(ExportedContent::String(text("v"))), &[&["SET", "k", "v", "PXAT", "1500"]]);
        let scores = ExportedContent::SortedSet(vec![(text("m"), "-inf".into())]);
        check(record(scores), &[&["DEL", "k"], &["ZADD", "k", "-inf", "m"], &["PEXPIREAT", "k", "1500"]]);
        let hash = ExportedContent::Hash(vec![(text("f"), text("v")); 1001]);
        let parts = redis(&ExportedRecord { continues: true, expires_at_ms: None, ..record(hash) }).unwrap();
        assert_eq!(parts.windows(4).filter(|part| part == b"HSET").count(), 2);
        assert!(!parts.windows(3).any(|part| part == b"DEL"));
    }

    #[test]
    fn strings_become_commands_of_memcached_and_other_records_none() {
        let string = record(ExportedContent::String(text("v")));
        assert_eq!(memcached(&string).unwrap().unwrap(), b"set k 7 2 1 noreply\r\nv\r\n");
        let none = |record: ExportedRecord| assert_eq!(memcached(&record).unwrap(), None);
        none(record(ExportedContent::Set(vec![text("m")])));
        none(ExportedRecord { key: text("two words"), ..string.clone() });
        none(ExportedRecord { key: text(&"k".repeat(251)), ..string });
    }
}
