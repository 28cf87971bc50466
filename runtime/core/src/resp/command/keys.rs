//! Commands on keys, whatever they hold.

use bytes::Bytes;

use super::words::Words;
use super::{NOT_AN_INTEGER, Refused, Request, SCAN_COUNT_DEFAULT, SYNTAX, Scan, on};
use crate::kv::number::parse_exact;
use crate::kv::operation::{Act, ExpireCondition, KeyAct};
use crate::kv::{Expiry, Value, rdb};

pub fn request(words: &mut Words<'_>) -> Result<Request, Refused> {
    match words.name {
        "scan" => return scan(words).map(Request::Scan),
        "keys" => return Ok(Request::Keys { pattern: words.next()? }),
        "randomkey" => return Ok(Request::RandomKey),
        "object" => return object(words),
        _ => {}
    }
    let key = words.next()?;
    let act = match words.name {
        "exists" | "touch" => KeyAct::Exists { others: words.rest() },
        "del" | "unlink" => KeyAct::Delete { others: words.rest() },
        "expire" => expire(words, 1000, false)?,
        "pexpire" => expire(words, 1, false)?,
        "expireat" => expire(words, 1000, true)?,
        "pexpireat" => expire(words, 1, true)?,
        "persist" => KeyAct::Persist,
        "ttl" => KeyAct::Remaining { in_seconds: true },
        "pttl" => KeyAct::Remaining { in_seconds: false },
        "expiretime" => KeyAct::ExpiresAt { in_seconds: true },
        "pexpiretime" => KeyAct::ExpiresAt { in_seconds: false },
        "dump" => KeyAct::Dump,
        "restore" => restore(words)?,
        "type" => KeyAct::Type,
        "rename" => KeyAct::Rename { to: words.next()?, only_if_absent: false },
        "renamenx" => KeyAct::Rename { to: words.next()?, only_if_absent: true },
        _ => copy(words, &key)?,
    };
    Ok(Request::Operation(on(key, Act::Key(act))))
}

fn expire(words: &mut Words<'_>, unit_ms: i64, is_absolute: bool) -> Result<KeyAct, Refused> {
    let number = words.next()?;
    let (mut nx, mut xx, mut gt, mut lt) = (false, false, false, false);
    while words.left() > 0 {
        let all = [("nx", &mut nx), ("xx", &mut xx), ("gt", &mut gt), ("lt", &mut lt)];
        let Some((_, flag)) = all.into_iter().find(|(word, _)| words.takes(word)) else {
            return Err(format!("ERR Unsupported option {}", String::from_utf8_lossy(&words.next()?)).into());
        };
        *flag = true;
    }
    if nx && (xx || gt || lt) {
        return Err("ERR NX and XX, GT or LT options at the same time are not compatible".into());
    }
    if gt && lt {
        return Err("ERR GT and LT options at the same time are not compatible".into());
    }
    let all = [number];
    let mut number = Words { name: words.name, all: &all, at: 0, seed: 0 };
    let expiry: Expiry = number.any_expiry(unit_ms, is_absolute)?;
    let all = [
        (nx, ExpireCondition::Never),
        (gt, ExpireCondition::Later),
        (lt && xx, ExpireCondition::SoonerIfExpires),
        (lt, ExpireCondition::Sooner),
        (xx, ExpireCondition::Expires),
    ];
    let condition = all.into_iter().find(|(is, _)| *is).map(|(_, condition)| condition);
    Ok(KeyAct::Expire { expiry, condition })
}

/// `IDLETIME` and `FREQ` are looked at and forgotten: nothing here goes by them.
fn restore(words: &mut Words<'_>) -> Result<KeyAct, Refused> {
    let (time, payload) = (words.next()?, words.next()?);
    let (mut replaces, mut is_absolute) = (false, false);
    while words.left() > 0 {
        if words.takes("replace") {
            replaces = true;
        } else if words.takes("absttl") {
            is_absolute = true;
        } else if words.left() > 1 && words.takes("idletime") {
            if words.integer()? < 0 {
                return Err("ERR Invalid IDLETIME value, must be >= 0".into());
            }
        } else if words.left() > 1 && words.takes("freq") {
            if !(0..=255).contains(&words.integer()?) {
                return Err("ERR Invalid FREQ value, must be >= 0 and <= 255".into());
            }
        } else {
            return Err(SYNTAX);
        }
    }
    let ms = parse_exact(&time).ok_or(NOT_AN_INTEGER)?;
    let ms = u64::try_from(ms).map_err(|_| "ERR Invalid TTL value, must be >= 0")?;
    let expiry = match (ms, is_absolute) {
        (0, _) => Expiry::Never,
        (ms, true) => Expiry::At(ms),
        (ms, false) => Expiry::After(ms),
    };
    let content = rdb::decode(&payload).map_err(|error| error.to_string())?;
    Ok(KeyAct::Restore { content, expiry, replaces })
}

fn copy(words: &mut Words<'_>, key: &Bytes) -> Result<KeyAct, Refused> {
    let to = words.next()?;
    let mut replaces = false;
    while words.left() > 0 {
        if words.takes("replace") {
            replaces = true;
        } else if words.takes("db") {
            return Err("ERR COPY to another database is not supported".into());
        } else {
            return Err(SYNTAX);
        }
    }
    if to == *key {
        return Err("ERR source and destination objects are the same".into());
    }
    Ok(KeyAct::Copy { to, replaces })
}

/// What `OBJECT HELP` answers, in Redis's words.
const OBJECT_HELP: [&str; 15] = [
    "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ENCODING <key>",
    "    Return the kind of internal representation used in order to store the value",
    "    associated with a <key>.",
    "FREQ <key>",
    "    Return the access frequency index of the <key>. The returned integer is",
    "    proportional to the logarithm of the recent access frequency of the key.",
    "IDLETIME <key>",
    "    Return the idle time of the <key>, that is the approximated number of",
    "    seconds elapsed since the last access to the key.",
    "REFCOUNT <key>",
    "    Return the number of references of the value associated with the specified",
    "    <key>.",
    "HELP",
    "    Prints this help.",
];

fn object(words: &mut Words<'_>) -> Result<Request, Refused> {
    let all = [
        ("encoding", KeyAct::Encoding),
        ("freq", KeyAct::Frequency),
        ("idletime", KeyAct::IdleTime),
        ("refcount", KeyAct::References),
    ];
    if words.takes("help") && words.left() == 0 {
        let line = |line: &&'static str| Value::Word(Bytes::from_static(line.as_bytes()));
        return Ok(Request::Known(Value::Array(OBJECT_HELP.iter().map(line).collect())));
    }
    let word = String::from_utf8_lossy(&words.all[1]).into_owned();
    match all.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name)) {
        Some((_, act)) if words.all.len() == 3 => {
            Ok(Request::Operation(on(words.all[2].clone(), Act::Key(act))))
        }
        None if !word.eq_ignore_ascii_case("help") => {
            Err(format!("ERR unknown subcommand '{word}'. Try OBJECT HELP.").into())
        }
        _ => Err(super::wrong_number(&format!("object|{}", word.to_ascii_lowercase()))),
    }
}

/// Cursors are decimal numbers.
pub fn cursor(words: &mut Words<'_>) -> Result<u64, Refused> {
    let word = words.next()?;
    let cursor = std::str::from_utf8(&word).ok().and_then(|word| word.parse().ok());
    cursor.ok_or("ERR invalid cursor".into())
}

/// The words behind a cursor.
pub struct ScanOptions {
    pub pattern: Option<Bytes>,
    pub count: u32,
    pub kind: Option<Bytes>,
}

pub fn scan_options(words: &mut Words<'_>) -> Result<ScanOptions, Refused> {
    let mut options = ScanOptions { pattern: None, count: SCAN_COUNT_DEFAULT, kind: None };
    while words.left() > 0 {
        let is_pattern = words.takes("match");
        let is_count = !is_pattern && words.takes("count");
        let is_kind = !is_pattern && !is_count && words.name == "scan" && words.takes("type");
        if !(is_pattern || is_count || is_kind) || words.left() == 0 {
            return Err(SYNTAX);
        }
        let word = words.next()?;
        if is_pattern {
            options.pattern = Some(word).filter(|pattern| pattern != "*");
        } else if is_kind {
            options.kind = Some(word.to_ascii_lowercase().into());
        } else {
            let count = parse_exact(&word).ok_or(NOT_AN_INTEGER)?;
            if count < 1 {
                return Err(SYNTAX);
            }
            options.count = u32::try_from(count).unwrap_or(u32::MAX);
        }
    }
    Ok(options)
}

fn scan(words: &mut Words<'_>) -> Result<Scan, Refused> {
    let cursor = cursor(words)?;
    let ScanOptions { pattern, count, kind } = scan_options(words)?;
    Ok(Scan { cursor, pattern, count, kind })
}
