//! Key-value operations through the control socket: JSON in, JSON out, and the same routing as every slave's.

use dkc_core::control::{Blob, ControlReply, DataMode, DataOperation, DataReply};
use dkc_core::ids::{Namespace, TabletId};
use dkc_core::kv::{Command, Expiry, KEY_MAX_BYTES, Key, Read, Reply, StoreMode, Write};

use super::handler::ServerHandler;
use crate::control::refusal;
use crate::router::RouteError;

/// Keys in one answer at most; a caller goes on with the cursor.
const KEYS_MAX: u32 = 10_000;
/// Keys looked at for one answer when most do not have the wanted prefix, so that no request runs for ever.
const SCANS_MAX: u32 = 64;

/// An answer that is not a reply of the tablet.
enum Failed {
    Bad(String),
    Route(RouteError),
}
impl From<RouteError> for Failed {
    fn from(error: RouteError) -> Failed {
        Failed::Route(error)
    }
}

impl ServerHandler {
    pub async fn data(&self, namespace: Namespace, operation: DataOperation) -> ControlReply {
        match self.try_data(namespace, operation).await {
            Ok(reply) => ControlReply::Data(reply),
            Err(Failed::Bad(why)) => refusal(why),
            Err(Failed::Route(error)) => ControlReply::Error {
                is_outcome_unknown: error.is_outcome_unknown(),
                message: error.to_string(),
            },
        }
    }

    async fn try_data(&self, namespace: Namespace, operation: DataOperation) -> Result<DataReply, Failed> {
        match operation {
            DataOperation::Keys { prefix, cursor, limit } => {
                let prefix = prefix.as_ref().map(bytes_of).transpose()?.unwrap_or_default();
                self.keys(namespace, &prefix, cursor.as_deref(), limit.clamp(1, KEYS_MAX)).await
            }
            DataOperation::Count => self.count(namespace).await,
            on_key => {
                let reply = self.router.execute(command_of(namespace, on_key)?).await?;
                data_reply(reply)
            }
        }
    }

    async fn count(&self, namespace: Namespace) -> Result<DataReply, Failed> {
        let command = Command::Read(Read::Count { namespace });
        let (mut records, mut bytes) = (0, 0);
        for reply in self.router.execute_everywhere(command).await? {
            if let Reply::Count { records: r, bytes: b } = reply? {
                records += r;
                bytes += b;
            }
        }
        Ok(DataReply::Count { records, bytes })
    }

    /// Keys tablet by tablet. The cursor names the tablet and the last key seen in it.
    async fn keys(
        &self,
        namespace: Namespace,
        prefix: &[u8],
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<DataReply, Failed> {
        let mut at = cursor.map_or(Ok(Cursor::default()), Cursor::parse)?;
        let tablets = self.router.tablets().await?;
        let mut found = Vec::new();
        for _ in 0..SCANS_MAX {
            let Some(tablet) = tablets.iter().copied().find(|tablet| *tablet >= at.tablet) else {
                return Ok(DataReply::Keys { keys: found, next: None });
            };
            let after = if tablet == at.tablet { at.after.into() } else { bytes::Bytes::new() };
            let read = Read::Scan { namespace: namespace.clone(), after, limit: limit - found.len() as u32 };
            let Reply::Keys { keys, next } = self.router.execute_on(tablet, Command::Read(read)).await?
            else {
                return Err(Failed::Bad("the tablet answered a scan with something else".into()));
            };
            found.extend(keys.iter().filter(|key| key.starts_with(prefix)).map(|key| Blob::from_bytes(key)));
            at = match next {
                Some(after) => Cursor { tablet, after: after.to_vec() },
                None => Cursor { tablet: TabletId(tablet.0 + 1), after: Vec::new() },
            };
            if found.len() as u32 >= limit {
                break;
            }
        }
        let is_end = tablets.iter().all(|tablet| *tablet < at.tablet);
        Ok(DataReply::Keys { keys: found, next: (!is_end).then(|| at.text()) })
    }
}

/// `TABLET:HEX`, opaque to callers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Cursor {
    tablet: TabletId,
    after: Vec<u8>,
}

impl Cursor {
    fn text(&self) -> String {
        let hex: String = self.after.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}:{hex}", self.tablet)
    }

    fn parse(text: &str) -> Result<Cursor, Failed> {
        let bad = || {
            Failed::Bad(format!(
                "'{}' is not a cursor that was given out",
                text.chars().take(80).collect::<String>()
            ))
        };
        let (tablet, hex) = text.split_once(':').ok_or_else(bad)?;
        if hex.len() % 2 != 0 || !hex.is_ascii() {
            return Err(bad());
        }
        let pairs = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16));
        let after = pairs.collect::<Result<Vec<u8>, _>>().map_err(|_| bad())?;
        Ok(Cursor { tablet: tablet.parse().map_err(|_| bad())?, after })
    }
}

fn bytes_of(blob: &Blob) -> Result<Vec<u8>, Failed> {
    blob.to_bytes().map_err(|error| Failed::Bad(error.to_string()))
}

fn command_of(namespace: Namespace, operation: DataOperation) -> Result<Command, Failed> {
    let key = |blob: &Blob| -> Result<Key, Failed> {
        let bytes = bytes_of(blob)?;
        if bytes.is_empty() || bytes.len() > KEY_MAX_BYTES {
            return Err(Failed::Bad(format!(
                "a key has 1 to {KEY_MAX_BYTES} bytes, this one has {}",
                bytes.len()
            )));
        }
        Ok(Key { namespace: namespace.clone(), bytes: bytes.into() })
    };
    let expiry = |in_ms: Option<u64>| in_ms.map_or(Expiry::Never, Expiry::After);
    Ok(match operation {
        DataOperation::Get { key: k } => Command::Read(Read::Get { key: key(&k)? }),
        DataOperation::Set { key: k, value, flags, expires_in_ms, mode } => Command::Write(Write::Store {
            key: key(&k)?,
            mode: store_mode(mode),
            flags,
            expiry: expiry(expires_in_ms),
            value: bytes_of(&value)?.into(),
        }),
        DataOperation::Remove { key: k } => Command::Write(Write::Delete { key: key(&k)?, version: None }),
        DataOperation::Increment { key: k, by, is_decrement } => {
            Command::Write(Write::Increment { key: key(&k)?, by, is_decrement })
        }
        DataOperation::Touch { key: k, expires_in_ms } => {
            Command::Write(Write::Touch { key: key(&k)?, expiry: expiry(expires_in_ms) })
        }
        DataOperation::Keys { .. } | DataOperation::Count => {
            return Err(Failed::Bad("keys and count concern all tablets".into()));
        }
    })
}

fn store_mode(mode: DataMode) -> StoreMode {
    match mode {
        DataMode::Set => StoreMode::Set,
        DataMode::Add => StoreMode::Add,
        DataMode::Replace => StoreMode::Replace,
        DataMode::Append => StoreMode::Append,
        DataMode::Prepend => StoreMode::Prepend,
        DataMode::Cas(version) => StoreMode::Cas(version),
    }
}

fn data_reply(reply: Reply) -> Result<DataReply, Failed> {
    Ok(match reply {
        Reply::Record(record) => DataReply::Value {
            value: Blob::from_bytes(&record.value),
            flags: record.flags,
            version: record.version,
            expires_at_ms: record.expires_at_ms,
            modified_at_ms: record.modified_at_ms,
        },
        Reply::NotFound => DataReply::NotFound,
        Reply::Stored { version } => DataReply::Stored { version },
        Reply::NotStored => DataReply::NotStored,
        Reply::Exists => DataReply::Exists,
        Reply::Deleted => DataReply::Removed,
        Reply::Touched => DataReply::Touched,
        Reply::Number { value, .. } => DataReply::Number { value },
        Reply::NotANumber => DataReply::NotANumber,
        Reply::TooLarge => DataReply::TooLarge,
        other @ (Reply::OutOfRange | Reply::Done | Reply::Keys { .. } | Reply::Count { .. }) => {
            return Err(Failed::Bad(format!("the tablet answered with {other:?}")));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_as_written_and_nothing_else_is_one() {
        for cursor in [Cursor::default(), Cursor { tablet: TabletId(7), after: vec![0, 255, 16] }] {
            assert_eq!(Cursor::parse(&cursor.text()).ok(), Some(cursor));
        }
        for text in ["", "7", "x:00", "7:0", "7:zz", "7:é"] {
            assert!(Cursor::parse(text).is_err(), "{text}");
        }
    }
}
