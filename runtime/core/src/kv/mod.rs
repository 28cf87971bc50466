//! What a key-value command is and what it answers. The words are those of the memcached protocol document
//! (memcached 1.6, `protocol.txt`), because that is what applications speak first.
//!
//! `tablet` executes these; `wire` carries them; `memcache` and `resp` translate to and from them.

pub mod codec;
pub mod decimal;
pub mod number;
pub mod operation;
mod reader;
mod value;

use crate::ids::Namespace;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use number::Delta;
pub use operation::{Operation, Operations};
pub use value::{Fault, Score, Value};

/// Largest key anywhere: 64 KiB, which is also the storage library's limit of a row's key, less room for what
/// stands before the key in a row (kind, expiry, slot, namespace). memcached's own limit of 250 bytes is enforced
/// by its protocol listener.
pub const KEY_MAX_BYTES: usize = 64 * 1024 - 512;
/// Largest value unless the cluster's configuration says otherwise.
pub const VALUE_MAX_BYTES_DEFAULT: usize = 1024 * 1024;
/// No configuration can allow a larger value than this.
pub const VALUE_MAX_BYTES_LIMIT: usize = 64 * 1024 * 1024;

/// What operations may carry beyond one value of the largest size: keys, fields and what else they are told.
pub const OPERATIONS_ROOM_BYTES: usize = 256 * 1024;

/// A key inside a namespace.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub namespace: Namespace,
    pub bytes: Bytes,
}

/// When a record ceases to be. Decided by the replicated clock of its tablet only.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    Never,
    /// Milliseconds since the Unix epoch.
    At(u64),
    /// Milliseconds after the replicated time at which the command is applied. `After(0)` is at once.
    After(u64),
}

/// The condition and manner of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreMode {
    Set,
    /// Only if the key is absent.
    Add,
    /// Only if the key is present.
    Replace,
    /// After the present value; flags and expiry of the record stay.
    Append,
    /// Before the present value; flags and expiry of the record stay.
    Prepend,
    /// Only if the record's version is this one.
    Cas(u64),
    /// `Append`, only if the record's version is this one.
    AppendIf(u64),
    /// `Prepend`, only if the record's version is this one.
    PrependIf(u64),
}

/// A command that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    Get {
        key: Key,
    },
    /// Keys of one tablet in storage order, after a cursor (empty = from the start).
    Scan {
        namespace: Namespace,
        after: Bytes,
        limit: u32,
    },
    /// How many live records and bytes the tablet holds.
    Count {
        namespace: Namespace,
    },
    /// Operations none of which changes anything.
    Operations(Box<Operations>),
}

/// A command that goes through the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    Store {
        key: Key,
        mode: StoreMode,
        flags: u32,
        expiry: Expiry,
        value: Bytes,
    },
    /// With a version, only if the record has it.
    Delete {
        key: Key,
        version: Option<u64>,
    },
    /// memcached's incr/decr: the value is a decimal u64; incr wraps, decr stops at 0.
    Increment {
        key: Key,
        by: u64,
        is_decrement: bool,
    },
    Touch {
        key: Key,
        expiry: Expiry,
    },
    /// Counts under conditions and by the rules of either protocol. Answered with the record that results; its value there
    /// is the number alone, without what fills it up.
    Adjust {
        key: Key,
        adjustment: Box<Adjustment>,
    },
    /// Touch, answering the record (memcached `gat`).
    GetAndTouch {
        key: Key,
        expiry: Expiry,
    },
    /// Removes every record of the namespace in this tablet whose modification is older than now + delay.
    Flush {
        namespace: Namespace,
        after_ms: u64,
    },
    Operations(Box<Operations>),
}

/// How a number is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjustment {
    pub delta: Delta,
    /// What is stored where there is no record; without it, that is `NotFound`.
    pub initial: Option<Initial>,
    /// Only if the record has this version.
    pub version: Option<u64>,
    /// The record's expiry from now on; without it the record keeps its own.
    pub expiry: Option<Expiry>,
}

/// A record that counting creates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initial {
    pub value: Bytes,
    pub expiry: Expiry,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Read(Read),
    Write(Write),
}

impl Command {
    /// The one namespace that it reads or writes in.
    pub fn namespace(&self) -> &Namespace {
        match self {
            Command::Read(Read::Get { key }) => &key.namespace,
            Command::Read(Read::Operations(operations)) | Command::Write(Write::Operations(operations)) => {
                &operations.key.namespace
            }
            Command::Read(Read::Scan { namespace, .. } | Read::Count { namespace })
            | Command::Write(Write::Flush { namespace, .. }) => namespace,
            Command::Write(
                Write::Store { key, .. }
                | Write::Delete { key, .. }
                | Write::Increment { key, .. }
                | Write::Adjust { key, .. }
                | Write::Touch { key, .. }
                | Write::GetAndTouch { key, .. },
            ) => &key.namespace,
        }
    }

    /// The key that decides the slot; `None` for commands that name a tablet instead.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Command::Read(Read::Get { key }) => Some(key),
            Command::Read(Read::Operations(operations)) => Some(&operations.key),
            Command::Read(_) => None,
            Command::Write(w) => w.key(),
        }
    }
}

/// Why a command is refused before it goes anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OverLimit {
    #[error("the key has {bytes} bytes; the limit is {KEY_MAX_BYTES}")]
    Key { bytes: usize },
    #[error("the value has {bytes} bytes; the limit is {limit_bytes} (parameter value_max_bytes)")]
    Value { bytes: usize, limit_bytes: usize },
}

impl Command {
    /// The sizes are within the limits. What an append makes of a value is known to the tablet only.
    pub fn check_limits(&self, value_max_bytes: usize) -> Result<(), OverLimit> {
        match self {
            Command::Read(Read::Get { key }) => key.check_limit(),
            Command::Read(Read::Operations(operations)) => operations.check_limits(),
            Command::Read(_) => Ok(()),
            Command::Write(write) => write.check_limits(value_max_bytes),
        }
    }
}

impl Key {
    pub fn check_limit(&self) -> Result<(), OverLimit> {
        let bytes = self.bytes.len();
        if bytes > KEY_MAX_BYTES { Err(OverLimit::Key { bytes }) } else { Ok(()) }
    }
}

impl Write {
    pub fn check_limits(&self, value_max_bytes: usize) -> Result<(), OverLimit> {
        self.key().map_or(Ok(()), Key::check_limit)?;
        let room = match self {
            Write::Operations(operations) => {
                operations.check_limits()?;
                OPERATIONS_ROOM_BYTES
            }
            _ => 0,
        };
        let bytes = self.value_bytes();
        if bytes > value_max_bytes + room {
            return Err(OverLimit::Value { bytes, limit_bytes: value_max_bytes });
        }
        Ok(())
    }

    /// Bytes of the value that it carries.
    pub fn value_bytes(&self) -> usize {
        match self {
            Write::Store { value, .. } => value.len(),
            Write::Adjust { adjustment, .. } => {
                adjustment.initial.as_ref().map_or(0, |initial| initial.value.len())
            }
            // Their own keys are among it.
            Write::Operations(operations) => operations.payload_bytes(),
            _ => 0,
        }
    }

    /// Bytes of the key and the value that it carries: all of it that has no fixed size.
    pub fn payload_bytes(&self) -> usize {
        self.key().map_or(0, |key| key.bytes.len()) + self.value_bytes()
    }

    pub fn key(&self) -> Option<&Key> {
        match self {
            Write::Store { key, .. }
            | Write::Delete { key, .. }
            | Write::Increment { key, .. }
            | Write::Adjust { key, .. }
            | Write::Touch { key, .. }
            | Write::GetAndTouch { key, .. } => Some(key),
            Write::Operations(operations) => Some(&operations.key),
            Write::Flush { .. } => None,
        }
    }
}

/// A record as a reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub value: Bytes,
    pub flags: u32,
    /// memcached's cas unique: grows with every change of any record of the tablet, never 0.
    pub version: u64,
    /// Milliseconds since the Unix epoch; `None` = never.
    pub expires_at_ms: Option<u64>,
    pub modified_at_ms: u64,
}

/// The answer to a command that was carried out (or definitely refused) by the tablet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Record(Record),
    NotFound,
    Stored {
        version: u64,
    },
    NotStored,
    /// cas: the record has another version.
    Exists,
    Deleted,
    Touched,
    Number {
        value: u64,
        version: u64,
    },
    /// incr/decr of a value that is not a decimal number.
    NotANumber,
    /// The number that would result does not fit.
    OutOfRange,
    /// The value would be larger than the cluster allows.
    TooLarge,
    Done,
    /// `next` is the cursor to go on from; `None` = the end of the tablet.
    Keys {
        keys: Vec<Bytes>,
        next: Option<Bytes>,
    },
    Count {
        records: u64,
        bytes: u64,
    },
    /// The key holds a list, a hash, a set or a sorted set, where a string is wanted.
    WrongType,
    /// What operations answer.
    Value(Value),
}

impl Reply {
    /// What of it may be large: 0 for a reply that is always small.
    pub fn value_bytes(&self) -> usize {
        match self {
            Reply::Record(record) => record.value.len(),
            Reply::Value(value) => value.size_bytes(),
            _ => 0,
        }
    }
}
