//! How outcomes of single operations are printed: in the ancestor's form for people, as a listing where a format is asked for.

use dkc_core::control::Blob;
use dkc_core::kv::{Fault, Record, Reply};
use serde::Serialize;

use super::quoted;
use super::sealed::Opener;
use super::server::fault;
use super::values::{Style, shown as shown_value};
use crate::error::{CommandError, Exit, codes};
use crate::session::Session;
use crate::ui::{Format, Listing, in_one_line};

/// Reports the outcome of a change.
pub fn print_outcome(session: &Session, key: &str, reply: Reply) -> Result<(), CommandError> {
    let refused = |what: String| Err(CommandError::new(&codes::DATA_REFUSED, what).now("nothing changed"));
    let shown = quoted(key.as_bytes());
    match reply {
        Reply::Stored { version } => print_done(session, key, "stored", Some(version)),
        Reply::Touched => print_done(session, key, "touched", None),
        Reply::Deleted => print_done(session, key, "removed", None),
        Reply::Number { value, .. } => {
            print_number(session, key, value);
            Ok(())
        }
        Reply::Count { records, bytes } => {
            let mut listing = Listing::new(&["records", "bytes"]);
            let row = vec![records.to_string(), bytes.to_string()];
            listing.push(row, serde_json::json!({ "records": records, "bytes": bytes }));
            session.show(Format::Table, &listing);
            Ok(())
        }
        Reply::NotFound => Err(CommandError::new(&codes::NO_KEY, format!("{shown} => value is not found"))
            .now("nothing changed")),
        Reply::NotStored => {
            refused(format!("{shown}: not stored: --add requires a missing key, --replace an existing one"))
        }
        Reply::Exists => refused(format!("the version of {shown} has changed")),
        Reply::NotANumber => refused(format!("the value of {shown} is not a number")),
        Reply::WrongType => Err(fault(key, Fault::WrongType)),
        Reply::TooLarge => refused(format!("{shown}: key or value exceeds the cluster's size limit")),
        other => Err(CommandError::bug(format!("unexpected reply to a change: {other:?}"))),
    }
}

/// A successful change prints nothing on standard output unless a format was requested.
pub fn print_done(
    session: &Session,
    key: &str,
    what: &str,
    version: Option<u64>,
) -> Result<(), CommandError> {
    let mut listing = Listing::new(&["key", "result", "version"]);
    let row = vec![key.into(), what.into(), version.map(|v| v.to_string()).unwrap_or_default()];
    listing.push(row, serde_json::json!({ "key": key, "result": what, "version": version }));
    match session.settings.output {
        Some(_) => session.show(Format::Table, &listing),
        None => session.ui.say(&format!("{}: {what}", quoted(key.as_bytes()))),
    }
    Ok(())
}

pub fn print_number(session: &Session, key: &str, value: u64) {
    let mut listing = Listing::new(&["key", "value"]);
    listing.push(vec![key.into(), value.to_string()], serde_json::json!({ "key": key, "value": value }));
    match session.settings.output {
        Some(_) => session.show(Format::Table, &listing),
        None => session.ui.data_line(&value.to_string()),
    }
}

#[derive(Serialize)]
struct PrintedRecord<'a> {
    key: &'a str,
    value: &'a Blob,
    version: u64,
    flags: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
    modified_at_ms: u64,
}

/// `"key" => "value"`; a missing key is printed in the same form and exits with 1.
pub fn print(
    session: &Session,
    key: &str,
    record: Option<Record>,
    is_long: bool,
    style: Style,
    opener: Option<Opener>,
) -> Result<(), CommandError> {
    let Some(Record { value, flags, version, expires_at_ms, modified_at_ms }) = record else {
        if session.settings.output.is_none() && !style.raw {
            session.ui.data_line(&format!("{} => value is not found", quoted(key.as_bytes())));
        }
        return Err(CommandError::silent(Exit::Failed));
    };
    let bytes = match opener {
        Some(mut opener) => opener.open(value.into())?,
        None => value.into(),
    };
    if style.raw {
        session.ui.data_bytes(&bytes);
        return Ok(());
    }
    let mut listing =
        Listing::new(&["key", "value", "version", "flags", "expires at (ms)", "modified at (ms)"]);
    let value = Blob::from_bytes(&bytes);
    let record = PrintedRecord { key, value: &value, version, flags, expires_at_ms, modified_at_ms };
    let expires = expires_at_ms.map(|at| at.to_string()).unwrap_or_default();
    let row = [
        key.into(),
        in_one_line(&bytes),
        version.to_string(),
        flags.to_string(),
        expires,
        modified_at_ms.to_string(),
    ];
    listing.push(row.to_vec(), record);
    match session.settings.output {
        None if !is_long => {
            session.ui.data_line(&format!("{} => {}", quoted(key.as_bytes()), shown_value(&bytes, style)));
        }
        None => session.show(Format::Yaml, &listing),
        Some(_) => session.show(Format::Table, &listing),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        let check = |bytes: &[u8], want: &str| assert_eq!(quoted(bytes), want);
        check(b"test-value", "\"test-value\"");
        check("\u{e9}\u{65e5}".as_bytes(), "\"\u{e9}\u{65e5}\"");
        check(b"a\"b", "\"a\\\"b\"");
        check(b"a\x1b[31m\n", "\"a\\u{1b}[31m\\n\"");
        check(&[b'a', 0xff], "\"a\\xff\"");
    }
}
