//! Key-value requests in the control socket's JSON. The vocabulary is that of `kv`; this is only how its commands
//! and replies are spelt, which never changes. What the spelling has no words for cannot be sent.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use super::Blob;
use super::answer::AnswerJson;
use crate::ids::Namespace;
use crate::kv::{Command, Expiry, Key, Read, Record, Reply, StoreMode, Write};

/// What is asked about the data of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataRequest {
    /// A command for the tablet of its key.
    Command(Command),
    /// Keys of all tablets, in tablet order.
    Keys {
        /// Whose keys.
        namespace: Namespace,
        /// Only keys that begin with this.
        prefix: Bytes,
        /// Where to go on: what the last answer's `next` said.
        cursor: Option<Bytes>,
        /// Keys in one answer at most.
        limit: u32,
    },
    /// Records and bytes of all tablets.
    Count {
        /// Whose records.
        namespace: Namespace,
    },
    /// Commands in the words of RESP, on keys of one slot: one log entry or one read.
    Run {
        /// Whose keys.
        namespace: Namespace,
        /// Each with its name first. Several need `watched`.
        commands: Vec<Vec<Bytes>>,
        /// A transaction, which answers with an array: carried out only if these keys have these versions (0: there is none).
        watched: Option<Vec<(Bytes, u64)>>,
    },
}

#[derive(Serialize, Deserialize)]
struct RequestJson {
    namespace: Namespace,
    operation: OperationJson,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OperationJson {
    Get { key: Blob },
    Set { key: Blob, value: Blob, flags: u32, expires_in_ms: Option<u64>, mode: ModeJson },
    Remove { key: Blob },
    Increment { key: Blob, by: u64, is_decrement: bool },
    Touch { key: Blob, expires_in_ms: Option<u64> },
    Keys { prefix: Option<Blob>, cursor: Option<String>, limit: u32 },
    Count,
    Run { commands: Vec<Vec<Blob>>, watched: Option<Vec<(Blob, u64)>> },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ModeJson {
    Set,
    Add,
    Replace,
    Append,
    Prepend,
    Cas(u64),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReplyJson {
    Value {
        value: Blob,
        flags: u32,
        version: u64,
        expires_at_ms: Option<u64>,
        modified_at_ms: u64,
    },
    NotFound,
    Stored {
        version: u64,
    },
    NotStored,
    Exists,
    Removed,
    Touched,
    Number {
        value: u64,
    },
    NotANumber,
    TooLarge,
    /// The key holds a list, hash, set or sorted set.
    WrongType,
    Keys {
        keys: Vec<Blob>,
        next: Option<String>,
    },
    Count {
        records: u64,
        bytes: u64,
    },
    /// What commands of RESP answer.
    Answer(AnswerJson),
}

fn unspeakable<E: ser::Error>(what: impl std::fmt::Debug) -> E {
    E::custom(format!("the control socket has no word for {what:?}"))
}

fn text_of<E: ser::Error>(cursor: &Bytes) -> Result<String, E> {
    String::from_utf8(cursor.to_vec()).map_err(|_| E::custom("a cursor is text"))
}

fn bytes_of<E: de::Error>(blob: &Blob) -> Result<Bytes, E> {
    blob.to_bytes().map(Bytes::from).map_err(E::custom)
}

impl Serialize for DataRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (namespace, operation) = match self {
            DataRequest::Command(command) => {
                let key = command.key().ok_or_else(|| unspeakable(command))?;
                (&key.namespace, command_to_json(command, Blob::from_bytes(&key.bytes))?)
            }
            DataRequest::Keys { namespace, prefix, cursor, limit } => {
                let prefix = (!prefix.is_empty()).then(|| Blob::from_bytes(prefix));
                let cursor = cursor.as_ref().map(text_of).transpose()?;
                (namespace, OperationJson::Keys { prefix, cursor, limit: *limit })
            }
            DataRequest::Count { namespace } => (namespace, OperationJson::Count),
            DataRequest::Run { namespace, commands, watched } => (namespace, run_to_json(commands, watched)),
        };
        RequestJson { namespace: namespace.clone(), operation }.serialize(serializer)
    }
}

fn run_to_json(commands: &[Vec<Bytes>], watched: &Option<Vec<(Bytes, u64)>>) -> OperationJson {
    let blob = |bytes: &Bytes| Blob::from_bytes(bytes);
    let watched = watched.as_ref();
    OperationJson::Run {
        commands: commands.iter().map(|words| words.iter().map(blob).collect()).collect(),
        watched: watched.map(|all| all.iter().map(|(key, version)| (blob(key), *version)).collect()),
    }
}

fn command_to_json<E: ser::Error>(command: &Command, key: Blob) -> Result<OperationJson, E> {
    let expires_in_ms = |expiry: &Expiry| match expiry {
        Expiry::Never => Ok(None),
        Expiry::After(ms) => Ok(Some(*ms)),
        Expiry::At(_) => Err(unspeakable(expiry)),
    };
    Ok(match command {
        Command::Read(Read::Get { .. }) => OperationJson::Get { key },
        Command::Write(Write::Store { mode, flags, expiry, value, .. }) => OperationJson::Set {
            key,
            value: Blob::from_bytes(value),
            flags: *flags,
            expires_in_ms: expires_in_ms(expiry)?,
            mode: mode_to_json(*mode)?,
        },
        Command::Write(Write::Delete { version: None, .. }) => OperationJson::Remove { key },
        Command::Write(Write::Increment { by, is_decrement, .. }) => {
            OperationJson::Increment { key, by: *by, is_decrement: *is_decrement }
        }
        Command::Write(Write::Touch { expiry, .. }) => {
            OperationJson::Touch { key, expires_in_ms: expires_in_ms(expiry)? }
        }
        other => return Err(unspeakable(other)),
    })
}

fn mode_to_json<E: ser::Error>(mode: StoreMode) -> Result<ModeJson, E> {
    Ok(match mode {
        StoreMode::Set => ModeJson::Set,
        StoreMode::Add => ModeJson::Add,
        StoreMode::Replace => ModeJson::Replace,
        StoreMode::Append => ModeJson::Append,
        StoreMode::Prepend => ModeJson::Prepend,
        StoreMode::Cas(version) => ModeJson::Cas(version),
        StoreMode::AppendIf(_) | StoreMode::PrependIf(_) => return Err(unspeakable(mode)),
    })
}

impl<'de> Deserialize<'de> for DataRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DataRequest, D::Error> {
        let RequestJson { namespace, operation } = RequestJson::deserialize(deserializer)?;
        let key = |blob: &Blob| Ok(Key { namespace: namespace.clone(), bytes: bytes_of::<D::Error>(blob)? });
        let expiry = |in_ms: Option<u64>| in_ms.map_or(Expiry::Never, Expiry::After);
        Ok(DataRequest::Command(match operation {
            OperationJson::Keys { prefix, cursor, limit } => {
                let prefix = prefix.as_ref().map(bytes_of).transpose()?.unwrap_or_default();
                return Ok(DataRequest::Keys { namespace, prefix, cursor: cursor.map(Bytes::from), limit });
            }
            OperationJson::Count => return Ok(DataRequest::Count { namespace }),
            OperationJson::Run { commands, watched } => {
                let words = |words: &Vec<Blob>| words.iter().map(bytes_of::<D::Error>).collect();
                let commands = commands.iter().map(words).collect::<Result<_, _>>()?;
                let version = |(key, version): &(Blob, u64)| Ok((bytes_of::<D::Error>(key)?, *version));
                let watched = watched.map(|all| all.iter().map(version).collect()).transpose()?;
                return Ok(DataRequest::Run { namespace, commands, watched });
            }
            OperationJson::Get { key: k } => Command::Read(Read::Get { key: key(&k)? }),
            OperationJson::Set { key: k, value, flags, expires_in_ms, mode } => {
                Command::Write(Write::Store {
                    key: key(&k)?,
                    mode: mode_of(mode),
                    flags,
                    expiry: expiry(expires_in_ms),
                    value: bytes_of(&value)?,
                })
            }
            OperationJson::Remove { key: k } => {
                Command::Write(Write::Delete { key: key(&k)?, version: None })
            }
            OperationJson::Increment { key: k, by, is_decrement } => {
                Command::Write(Write::Increment { key: key(&k)?, by, is_decrement })
            }
            OperationJson::Touch { key: k, expires_in_ms } => {
                Command::Write(Write::Touch { key: key(&k)?, expiry: expiry(expires_in_ms) })
            }
        }))
    }
}

fn mode_of(mode: ModeJson) -> StoreMode {
    match mode {
        ModeJson::Set => StoreMode::Set,
        ModeJson::Add => StoreMode::Add,
        ModeJson::Replace => StoreMode::Replace,
        ModeJson::Append => StoreMode::Append,
        ModeJson::Prepend => StoreMode::Prepend,
        ModeJson::Cas(version) => StoreMode::Cas(version),
    }
}

/// For `ControlReply::Data`.
pub(super) fn serialize<S: Serializer>(reply: &Reply, serializer: S) -> Result<S::Ok, S::Error> {
    let json = match reply {
        Reply::Record(Record { value, flags, version, expires_at_ms, modified_at_ms }) => ReplyJson::Value {
            value: Blob::from_bytes(value),
            flags: *flags,
            version: *version,
            expires_at_ms: *expires_at_ms,
            modified_at_ms: *modified_at_ms,
        },
        Reply::NotFound => ReplyJson::NotFound,
        Reply::Stored { version } => ReplyJson::Stored { version: *version },
        Reply::NotStored => ReplyJson::NotStored,
        Reply::Exists => ReplyJson::Exists,
        Reply::Deleted => ReplyJson::Removed,
        Reply::Touched => ReplyJson::Touched,
        Reply::Number { value, .. } => ReplyJson::Number { value: *value },
        Reply::NotANumber => ReplyJson::NotANumber,
        Reply::TooLarge => ReplyJson::TooLarge,
        Reply::Keys { keys, next } => ReplyJson::Keys {
            keys: keys.iter().map(|key| Blob::from_bytes(key)).collect(),
            next: next.as_ref().map(text_of).transpose()?,
        },
        Reply::Count { records, bytes } => ReplyJson::Count { records: *records, bytes: *bytes },
        Reply::WrongType => ReplyJson::WrongType,
        Reply::Value(value) => ReplyJson::Answer(AnswerJson::from(value)),
        Reply::OutOfRange | Reply::Done => return Err(unspeakable(reply)),
    };
    json.serialize(serializer)
}

/// For `ControlReply::Data`.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Reply, D::Error> {
    Ok(match ReplyJson::deserialize(deserializer)? {
        ReplyJson::Value { value, flags, version, expires_at_ms, modified_at_ms } => {
            Reply::Record(Record { value: bytes_of(&value)?, flags, version, expires_at_ms, modified_at_ms })
        }
        ReplyJson::NotFound => Reply::NotFound,
        ReplyJson::Stored { version } => Reply::Stored { version },
        ReplyJson::NotStored => Reply::NotStored,
        ReplyJson::Exists => Reply::Exists,
        ReplyJson::Removed => Reply::Deleted,
        ReplyJson::Touched => Reply::Touched,
        // The JSON has no version; 0 is none.
        ReplyJson::Number { value } => Reply::Number { value, version: 0 },
        ReplyJson::NotANumber => Reply::NotANumber,
        ReplyJson::TooLarge => Reply::TooLarge,
        ReplyJson::WrongType => Reply::WrongType,
        ReplyJson::Keys { keys, next } => {
            let keys = keys.iter().map(bytes_of).collect::<Result<_, _>>()?;
            Reply::Keys { keys, next: next.map(Bytes::from) }
        }
        ReplyJson::Count { records, bytes } => Reply::Count { records, bytes },
        ReplyJson::Answer(answer) => Reply::Value(answer.try_into().map_err(de::Error::custom)?),
    })
}
