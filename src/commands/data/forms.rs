//! Records as the commands of other programs: what `redis-cli --pipe` and a memcached port load.

use dkc_core::control::{BadBase64, Blob, ExportedContent, ExportedRecord};

/// Elements of one command: Redis takes more, other programs not always.
const ELEMENTS_MAX: usize = 1000;
/// memcached's limit on a key.
const MEMCACHED_KEY_MAX_BYTES: usize = 250;

/// Commands of RESP that make the key what the record says.
pub fn redis(record: &ExportedRecord) -> Result<Vec<u8>, BadBase64> {
    let key = record.key.to_bytes()?;
    let mut out = Vec::new();
    if let ExportedContent::String(value) = &record.content {
        let value = value.to_bytes()?;
        match record.expires_at_ms {
            None => command(&mut out, &[b"SET", &key, &value]),
            Some(at) => command(&mut out, &[b"SET", &key, &value, b"PXAT", at.to_string().as_bytes()]),
        }
        return Ok(out);
    }
    if !record.continues {
        command(&mut out, &[b"DEL", &key]);
    }
    let (verb, width, words) = elements(&record.content)?;
    for words in words.chunks(ELEMENTS_MAX * width) {
        let mut line: Vec<&[u8]> = vec![verb, &key];
        line.extend(words.iter().map(Vec::as_slice));
        command(&mut out, &line);
    }
    if let Some(at) = record.expires_at_ms {
        command(&mut out, &[b"PEXPIREAT", &key, at.to_string().as_bytes()]);
    }
    Ok(out)
}

type Elements = (&'static [u8], usize, Vec<Vec<u8>>);

/// The command that adds elements, how many words one takes, and all their words.
fn elements(content: &ExportedContent) -> Result<Elements, BadBase64> {
    let all = |blobs: &[Blob]| blobs.iter().map(Blob::to_bytes).collect::<Result<Vec<_>, _>>();
    Ok(match content {
        ExportedContent::String(value) => (b"SET", 1, vec![value.to_bytes()?]),
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
    })
}

fn command(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// A `set` of memcached; `None` for what memcached has no words for: a collection, or a key that is long or not a word.
pub fn memcached(record: &ExportedRecord) -> Result<Option<Vec<u8>>, BadBase64> {
    let key = record.key.to_bytes()?;
    let is_word = key.iter().all(|byte| *byte > b' ' && *byte != 0x7f);
    let ExportedContent::String(value) = &record.content else { return Ok(None) };
    if !is_word || key.len() > MEMCACHED_KEY_MAX_BYTES {
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
                command(&mut wanted, &words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
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
