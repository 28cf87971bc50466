//! Operations on keys, whatever they hold: remove, rename, list. *Invariant:* what belongs to a key goes with it, in the same log entry.

use bytes::Bytes;
use dkc_core::control::{Blob, DataRequest};
use dkc_core::kv::{Fault, Reply, Value};

use super::outcome::print_done;
use super::server::{Server, fault};
use super::{KEYS_PAGE, answer, companion, quoted, sub, words};
use crate::error::{CommandError, codes};
use crate::session::Session;
use crate::ui::{Format, Listing, in_one_line};

pub async fn remove(session: &Session, server: &mut Server, keys: Vec<String>) -> Result<(), CommandError> {
    let mut missing = Vec::new();
    for key in keys {
        match companion::remove_key(server, &key).await? {
            true => print_done(session, &key, "removed", None)?,
            false => missing.push(quoted(key.as_bytes())),
        }
    }
    match missing.is_empty() {
        true => Ok(()),
        false => {
            Err(CommandError::new(&codes::NO_KEY, format!("{} => value is not found", missing.join(", "))))
        }
    }
}

pub async fn rename(
    session: &Session,
    server: &mut Server,
    (old, new): (&str, &str),
    keeps_existing: bool,
    parent: Option<&str>,
) -> Result<(), CommandError> {
    let slot = |key: &str| dkc_core::ring::slot_of(&server.namespace, key.as_bytes());
    if slot(old) != slot(new) {
        return Err(fault(old, Fault::CrossSlot));
    }
    let verb = if keeps_existing { "RENAMENX" } else { "RENAME" };
    let mut line = vec![words(&[verb, old, new])];
    // A name without companions takes none along.
    for companion in [companion::sub_keys, companion::history] {
        if let (Ok(old), Ok(new)) = (companion(old), companion(new)) {
            line.push(vec![Bytes::from(verb.to_owned()), old, new]);
        }
    }
    // Watched, because what follows a rename that was refused would still be carried out.
    let record_version = match server.record(old).await {
        Ok(Some(record)) => vec![(Bytes::from(old.to_owned()), record.version)],
        Ok(None) => return Err(fault(old, Fault::NoSuchKey)),
        // A list, hash, set or sorted set, whose version nobody tells.
        Err(_) => Vec::new(),
    };
    let taken = [words(&["EXISTS"]), companion::whole(new)].concat();
    if keeps_existing && answer(new, server.run(taken).await?)? > 0 {
        let what = format!("{} exists", quoted(new.as_bytes()));
        return Err(CommandError::new(&codes::DATA_REFUSED, what).now("nothing changed"));
    }
    let Some(answers) = server.run_together(line, record_version).await? else {
        let what = format!("{} was changed meanwhile", quoted(old.as_bytes()));
        return Err(CommandError::new(&codes::DATA_REFUSED, what).now("nothing changed"));
    };
    match answers.first() {
        Some(Value::Fault(why)) => return Err(fault(old, *why)),
        Some(Value::Integer(0)) => {
            let what = format!("{} exists", quoted(new.as_bytes()));
            return Err(CommandError::new(&codes::DATA_REFUSED, what).now("nothing changed"));
        }
        _ => {}
    }
    if let Some(parent) = parent {
        sub::rename_below(server, parent, old, new).await?;
    }
    print_done(session, new, "renamed", None)
}

pub async fn list(
    session: &Session,
    server: &mut Server,
    prefix: Option<String>,
    limit: u32,
) -> Result<(), CommandError> {
    let mut listing = Listing::new(&["key"]);
    let (mut cursor, mut left) = (None, limit);
    while left > 0 {
        let (namespace, prefix) = (server.namespace.clone(), prefix.clone().unwrap_or_default().into());
        let request =
            DataRequest::Keys { namespace, prefix, cursor: cursor.take(), limit: left.min(KEYS_PAGE) };
        let Reply::Keys { keys, next } = server.ask(request).await? else {
            return Err(CommandError::bug("unexpected reply to a request for keys"));
        };
        left = left.saturating_sub(keys.len() as u32);
        for key in keys {
            listing.push(vec![in_one_line(&key)], Blob::from_bytes(&key));
        }
        match next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    match session.settings.output {
        Some(_) => session.show(Format::Table, &listing),
        None => listing.rows.iter().for_each(|row| session.ui.data_line(&row[0])),
    }
    Ok(())
}
