//! What a key-value command is and what it answers. The words are those of the memcached protocol document
//! (memcached 1.6, `protocol.txt`), because that is what applications speak first.
//!
//! `tablet` executes these; `wire` carries them; `memcache` and `resp` translate to and from them.

pub mod codec;
pub mod decimal;
pub mod number;
pub mod operation;
pub mod rdb;
mod reader;
pub(crate) mod value;

use crate::ids::Namespace;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use number::Delta;
pub use operation::{Operation, Operations};
pub use value::{Fault, Score, Value};

/// Largest key anywhere: 64 KiB, which is also the storage library's limit of a row's key, less the
/// prefix of a row (kind, expiry, slot, namespace). memcached's own limit of 250 bytes is enforced
/// by its protocol listener.
pub const KEY_MAX_BYTES: usize = 64 * 1024 - 512;
/// Largest value unless the cluster's configuration says otherwise.
pub const VALUE_MAX_BYTES_DEFAULT: usize = 1024 * 1024;
/// No configuration can allow a larger value than this.
pub const VALUE_MAX_BYTES_LIMIT: usize = 64 * 1024 * 1024;

/// What operations may carry beyond one value of the largest size: keys, fields and arguments.
pub const OPERATIONS_ROOM_BYTES: usize = 256 * 1024;

/// A key inside a namespace.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Part of the key: the same bytes in two namespaces are two keys, in different slots.
    pub namespace: Namespace,
    /// 1 to `KEY_MAX_BYTES` bytes; memcached's listener allows 250.
    pub bytes: Bytes,
}

/// When a record ceases to exist. Decided by the replicated clock of its tablet only.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// It stays until it is deleted.
    Never,
    /// Milliseconds since the Unix epoch.
    At(u64),
    /// Milliseconds after the replicated time at which the command is applied. `After(0)` is at once.
    After(u64),
}

/// The condition and manner of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreMode {
    /// Whether or not the key exists.
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
    /// The record of one key, whatever wrote it.
    Get {
        /// Which record.
        key: Key,
    },
    /// Keys of one tablet in storage order, after a cursor (empty = from the start).
    Scan {
        /// Keys of other namespaces are skipped.
        namespace: Namespace,
        /// `Reply::Keys::next` of the page before.
        after: Bytes,
        /// Keys in one page, at most.
        limit: u32,
    },
    /// How many live records and bytes the tablet holds.
    Count {
        /// Only its records are counted.
        namespace: Namespace,
    },
    /// Operations none of which changes anything.
    Operations(Box<Operations>),
}

/// A command that goes through the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Writes a record under a condition.
    Store {
        /// Which record.
        key: Key,
        /// The condition, and where the value goes.
        mode: StoreMode,
        /// Opaque to the server: memcached clients keep a value's type here.
        flags: u32,
        /// When the record ceases to exist; append and prepend keep the old one.
        expiry: Expiry,
        /// At most `value_max_bytes`, also with what it is appended to.
        value: Bytes,
    },
    /// With a version, only if the record has it.
    Delete {
        /// Which record.
        key: Key,
        /// Otherwise `Reply::Exists`.
        version: Option<u64>,
    },
    /// memcached's incr/decr: the value is a decimal u64; incr wraps, decr stops at 0.
    Increment {
        /// Which record.
        key: Key,
        /// The amount, also to subtract.
        by: u64,
        /// Subtracts, and stops at 0.
        is_decrement: bool,
    },
    /// Sets the expiry and leaves the value.
    Touch {
        /// Which record.
        key: Key,
        /// From now on.
        expiry: Expiry,
    },
    /// Counts under conditions and by the rules of either protocol. Answered with the record that results; its value there
    /// is the number alone, without what fills it up.
    Adjust {
        /// Which record.
        key: Key,
        /// Boxed, because most writes are smaller.
        adjustment: Box<Adjustment>,
    },
    /// Touch, answering the record (memcached `gat`).
    GetAndTouch {
        /// Which record.
        key: Key,
        /// From now on.
        expiry: Expiry,
    },
    /// Removes every record of the namespace in this tablet whose modification is older than now + delay.
    Flush {
        /// No other is touched.
        namespace: Namespace,
        /// Milliseconds after the replicated time at which the command is applied; 0 is at once.
        after_ms: u64,
    },
    /// Commands of RESP, at least one of which writes.
    Operations(Box<Operations>),
}

/// How a number is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjustment {
    /// By how much, and by which protocol's rules.
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
    /// Written as it is; it must be a number for the next count.
    pub value: Bytes,
    /// Of the new record.
    pub expiry: Expiry,
}

/// What a slave sends to the leader of one tablet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Answered from the leader's rows, without a log entry.
    Read(Read),
    /// Becomes part of a log entry.
    Write(Write),
}

impl Read {
    /// The key that it is routed by, if it names one.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Read::Get { key } => Some(key),
            Read::Operations(operations) => Some(&operations.key),
            Read::Scan { .. } | Read::Count { .. } => None,
        }
    }
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
            Command::Read(read) => read.key(),
            Command::Write(w) => w.key(),
        }
    }
}

/// Why a command is refused before it goes anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OverLimit {
    /// The key exceeds `KEY_MAX_BYTES`.
    #[error("the key has {bytes} bytes; the limit is {KEY_MAX_BYTES}")]
    Key {
        /// Its length.
        bytes: usize,
    },
    /// The value exceeds what the cluster allows.
    #[error("the value has {bytes} bytes; the limit is {limit_bytes} (parameter value_max_bytes)")]
    Value {
        /// Its length.
        bytes: usize,
        /// `value_max_bytes` of the node that refused it.
        limit_bytes: usize,
    },
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
    /// At most `KEY_MAX_BYTES`.
    pub fn check_limit(&self) -> Result<(), OverLimit> {
        let bytes = self.bytes.len();
        if bytes > KEY_MAX_BYTES { Err(OverLimit::Key { bytes }) } else { Ok(()) }
    }
}

impl Write {
    /// The key and the value that is carried. What an append makes of a value is known to the tablet only.
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

    /// The key that decides the slot; `None` for a flush, which goes to every tablet.
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
    /// Without the bytes that the row holds before it.
    pub value: Bytes,
    /// As the last store left them; 0 in a record that RESP created.
    pub flags: u32,
    /// memcached's cas unique: grows with every change of any record of the tablet, never 0.
    pub version: u64,
    /// Milliseconds since the Unix epoch; `None` = never.
    pub expires_at_ms: Option<u64>,
    /// Milliseconds since the Unix epoch, by the replicated clock; a flush goes by the version instead.
    pub modified_at_ms: u64,
}

/// The answer to a command that was carried out (or definitely refused) by the tablet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The record of a get, of `gat` or of a count.
    Record(Record),
    /// There is no such record, or it has expired or been flushed.
    NotFound,
    /// The store's condition was met.
    Stored {
        /// Of the new record, for a later cas.
        version: u64,
    },
    /// The condition of add, replace, append or prepend was not met.
    NotStored,
    /// cas: the record has another version.
    Exists,
    /// There was a record, and it is gone.
    Deleted,
    /// The expiry was set.
    Touched,
    /// The result of `Increment`.
    Number {
        /// After counting.
        value: u64,
        /// Of the new record.
        version: u64,
    },
    /// incr/decr of a value that is not a decimal number.
    NotANumber,
    /// The number that would result does not fit.
    OutOfRange,
    /// The value would be larger than the cluster allows.
    TooLarge,
    /// A flush was carried out.
    Done,
    /// `next` is the cursor to go on from; `None` = the end of the tablet.
    Keys {
        /// At most `limit`, in storage order: by slot, then by bytes.
        keys: Vec<Bytes>,
        /// Opaque to the caller.
        next: Option<Bytes>,
    },
    /// What one tablet holds of the namespace.
    Count {
        /// Live ones, and expired ones that are not removed yet.
        records: u64,
        /// Their keys and values.
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
