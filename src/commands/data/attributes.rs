//! What belongs to a key beside its value: type, times, version, cipher, and earlier values.
//!
//! *Invariant:* a value and the one before it change in one log entry, so that the history misses no value that `data set --history`
//! replaced. Other clients do not write to it.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use dkc_core::control::Blob;
use dkc_core::kv::{Fault, Record, Value};

use super::companion;
use super::sealed::{Decrypt, cipher_of};
use super::server::{Server, fault};
use super::values::{Style, shown};
use super::{answer, quoted, texts, words};
use crate::error::{CommandError, Exit, codes};
use crate::session::Session;
use crate::ui::{Format, Listing, in_one_line};

/// Earlier values that are kept at most: they cost as much room as they are long.
pub const HISTORY_MAX: u64 = 1000;
/// How often a change that others came before is tried.
const ATTEMPTS_MAX: u32 = 100;

#[derive(serde::Serialize)]
struct Attributes<'k> {
    key: &'k str,
    r#type: String,
    encoding: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    elements: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified_at: Option<String>,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    encrypted: Option<&'static str>,
    sub_keys: i64,
    earlier_values: i64,
}

/// `data attr`
pub async fn print(session: &Session, server: &mut Server, key: &str) -> Result<(), CommandError> {
    let asked =
        vec![words(&["TYPE", key]), words(&["PEXPIRETIME", key]), words(&["OBJECT", "ENCODING", key])];
    let answers = server.run_together(asked, Vec::new()).await?.unwrap_or_default();
    let [Value::Word(kind), Value::Integer(expires_at_ms), encoding] = &answers[..] else {
        return Err(CommandError::bug(format!("unexpected answer to attributes: {answers:?}")));
    };
    let kind = String::from_utf8_lossy(kind).into_owned();
    let length = match kind.as_str() {
        "none" => return Err(fault(key, Fault::NoSuchKey)),
        "list" => Some("LLEN"),
        "hash" => Some("HLEN"),
        "set" => Some("SCARD"),
        "zset" => Some("ZCARD"),
        _ => None,
    };
    let (mut record, mut elements) = (None, None);
    match length {
        None => record = server.record(key).await?,
        Some(verb) => elements = Some(answer(key, server.run(words(&[verb, key])).await?)?),
    }
    let attributes = Attributes {
        key,
        r#type: kind,
        encoding: if let Value::Text(word) = encoding { in_one_line(word) } else { String::new() },
        bytes: record.as_ref().map(|record| record.value.len()),
        elements,
        version: record.as_ref().map(|record| record.version),
        flags: record.as_ref().map(|record| record.flags),
        modified_at: record.as_ref().map(|record| time_of(record.modified_at_ms)),
        expires_at: u64::try_from(*expires_at_ms).map_or_else(|_| "never".into(), time_of),
        encrypted: record.as_ref().and_then(|record| cipher_of(&record.value)),
        sub_keys: count(server, "SCARD", companion::sub_keys(key).ok()).await?,
        earlier_values: count(server, "LLEN", companion::history(key).ok()).await? / 2,
    };
    let mut listing = Listing::new(&["key", "type", "expires at"]);
    let row = vec![key.to_owned(), attributes.r#type.clone(), attributes.expires_at.clone()];
    listing.push(row, attributes);
    session.show(Format::Yaml, &listing);
    Ok(())
}

async fn count(server: &mut Server, verb: &str, name: Option<Bytes>) -> Result<i64, CommandError> {
    let Some(name) = name else { return Ok(0) };
    match server.run(vec![Bytes::from(verb.to_owned()), name]).await? {
        Value::Integer(count) => Ok(count),
        _ => Ok(0),
    }
}

/// RFC 3339, in UTC.
fn time_of(ms: u64) -> String {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms));
    // Later than the year 9999 nobody can write.
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_millis(time.unwrap_or(last).min(last)).to_string()
}

/// `data set --history`: the value that is replaced goes to the history, of which the latest `kept` stay.
pub async fn set_with_history(
    server: &mut Server,
    key: &str,
    value: Vec<u8>,
    expires: Option<Duration>,
    kept: u64,
) -> Result<(), CommandError> {
    let history = companion::history(key)?;
    let value = Bytes::from(value);
    let key_bytes = Bytes::from(key.to_owned());
    for _ in 0..ATTEMPTS_MAX {
        let old = server.record(key).await?;
        let version = old.as_ref().map_or(0, |record| record.version);
        let mut store = vec![Bytes::from_static(b"SET"), key_bytes.clone(), value.clone()];
        if let Some(time) = expires {
            store.extend(words(&["PX", &time.as_millis().to_string()]));
        }
        let mut commands = vec![store];
        if let Some(Record { value: old, modified_at_ms, .. }) = old {
            let when = modified_at_ms.to_string();
            commands.push(vec![Bytes::from_static(b"LPUSH"), history.clone(), old, when.into()]);
            let last = (2 * kept - 1).to_string();
            commands.push(vec![Bytes::from_static(b"LTRIM"), history.clone(), "0".into(), last.into()]);
        }
        let watched = vec![(key_bytes.clone(), version)];
        let Some(answers) = server.run_together(commands, watched).await? else { continue };
        return answers.into_iter().try_for_each(|value| match value {
            Value::Fault(why) => Err(fault(key, why)),
            _ => Ok(()),
        });
    }
    let what = format!("{} was changed by others {ATTEMPTS_MAX} times meanwhile", quoted(key.as_bytes()));
    Err(CommandError::new(&codes::DATA_REFUSED, what).now("nothing changed"))
}

/// `data history`
pub async fn print_history(
    session: &Session,
    server: &mut Server,
    key: &str,
    style: Style,
    decrypt: Decrypt,
) -> Result<(), CommandError> {
    let mut opener = decrypt.opener(session)?;
    let name = companion::history(key)?;
    let all = texts(server.run(vec![Bytes::from_static(b"LRANGE"), name, "0".into(), "-1".into()]).await?);
    let mut listing = Listing::new(&["written at", "value"]);
    for pair in all.chunks_exact(2) {
        let written_at_ms = std::str::from_utf8(&pair[0]).ok().and_then(|ms| ms.parse().ok()).unwrap_or(0);
        let value = pair[1].clone();
        let value = if let Some(opener) = &mut opener { opener.open(value)? } else { value };
        let when = time_of(written_at_ms);
        if session.settings.output.is_none() {
            session.ui.data_line(&format!("{when}  {} => {}", quoted(key.as_bytes()), shown(&value, style)));
        }
        let document = serde_json::json!({
            "key": key, "written_at_ms": written_at_ms, "value": Blob::from_bytes(&value)
        });
        listing.push(vec![when, in_one_line(&value)], document);
    }
    if session.settings.output.is_some() {
        session.show(Format::Table, &listing);
    }
    if listing.rows.is_empty() {
        if session.settings.output.is_none() {
            session.ui.data_line(&format!("{} => no earlier values", quoted(key.as_bytes())));
        }
        return Err(CommandError::silent(Exit::Failed));
    }
    Ok(())
}
