//! Words to operations. A command that cannot be understood is refused here, in Redis's words, before it goes anywhere.

mod connection;
mod hashes;
mod keys;
mod lists;
mod sets;
mod sorted_sets;
mod split;
mod strings;
mod words;

use std::borrow::Cow;

use bytes::Bytes;

use super::table::{self, CommandInfo};
use crate::kv::operation::{Act, Operation};
use crate::kv::{Score, Value};

pub use connection::ConnectionCommand;
pub use split::{Gather, gathered};
use words::Words;

/// `COUNT` of a `SCAN` without one.
pub const SCAN_COUNT_DEFAULT: u32 = 10;
/// Longest name of a command that is looked up.
const NAME_MAX_BYTES: usize = 32;
/// How much of unknown words an error repeats.
const TOLD_MAX_BYTES: usize = 128;

/// The error that the application gets.
pub type Refused = Cow<'static, str>;

/// What a command asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Carried out by the tablet of its key.
    Operation(Operation),
    /// Tried until there is an element or time is up.
    Blocking(Blocking),
    /// A scan of a collection, of which only matching names are returned.
    Matching {
        /// A scan of a hash, set or sorted set.
        operation: Operation,
        /// The glob that names must match.
        pattern: Bytes,
        /// Names and values come in turn; both go or stay together.
        in_pairs: bool,
    },
    /// The answer is known without asking anybody.
    Known(Value),
    /// `SCAN`: over every tablet of the namespace.
    Scan(Scan),
    /// `KEYS`: over every tablet of the namespace.
    Keys {
        /// The glob that keys must match.
        pattern: Bytes,
    },
    /// `RANDOMKEY`
    RandomKey,
    /// `DBSIZE`
    Count,
    /// `FLUSHDB` and `FLUSHALL`: the listener's namespace alone.
    Flush,
    /// The connection queues commands from here on.
    Multi,
    /// What was queued becomes one log entry.
    Exec,
    /// What was queued is forgotten.
    Discard,
    /// The next `EXEC` is carried out only if these have not changed.
    Watch {
        /// Any slots; `EXEC` then needs them to share one.
        keys: Vec<Bytes>,
    },
    /// Forgets every watched key.
    Unwatch,
    /// The connection is closed after the answer.
    Quit,
    /// The connection is as if it were new.
    Reset,
    /// Answered by the slave from what it knows of the connection and of itself.
    Connection(ConnectionCommand),
}

/// A pop that waits for an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocking {
    /// A pop: answers nil or nothing while the keys are empty.
    pub operation: Operation,
    /// `None`: no timeout.
    pub timeout_ms: Option<u64>,
    /// What is said when there was none.
    pub nothing: Value,
}

/// One page of `SCAN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// As the page before answered; 0 begins.
    pub cursor: u64,
    /// `MATCH`: keys that do not match are left out, so that a page may be empty.
    pub pattern: Option<Bytes>,
    /// `COUNT`: keys looked at, not keys answered.
    pub count: u32,
    /// Only keys that hold this.
    pub kind: Option<Bytes>,
}

/// What a command asks for. `seed` decides what is drawn by chance.
pub fn request(words: &[Bytes], seed: u64) -> Result<Request, Refused> {
    let Some(name) = words.first() else { return Err("ERR unknown command".into()) };
    let lower = name[..name.len().min(NAME_MAX_BYTES)].to_ascii_lowercase();
    let Some(command) = std::str::from_utf8(&lower).ok().and_then(table::find) else {
        return Err(unknown(words));
    };
    let is_right = match command.arity {
        exact @ 0.. => words.len() == exact as usize,
        at_least => words.len() >= at_least.unsigned_abs() as usize,
    };
    if !is_right {
        return Err(wrong_number(command.name));
    }
    understand(command, words, seed)
}

fn understand(command: &CommandInfo, words: &[Bytes], seed: u64) -> Result<Request, Refused> {
    let mut words = Words { name: command.name, all: words, at: 1, seed };
    match command.group {
        "connection" | "server" | "transactions" => connection::request(&mut words),
        "generic" => keys::request(&mut words),
        "string" | "bitmap" => strings::operation(&mut words).map(Request::Operation),
        "list" => lists::request(&mut words),
        "hash" => hashes::request(&mut words),
        "set" => sets::request(&mut words),
        _ => sorted_sets::request(&mut words),
    }
}

fn unknown(words: &[Bytes]) -> Refused {
    let cut = |text: &[u8], max: usize| String::from_utf8_lossy(&text[..text.len().min(max)]).into_owned();
    let mut told = String::new();
    for word in &words[1..] {
        if told.len() >= TOLD_MAX_BYTES {
            break;
        }
        told += &format!("'{}' ", cut(word, TOLD_MAX_BYTES - told.len()));
    }
    format!("ERR unknown command '{}', with args beginning with: {told}", cut(&words[0], TOLD_MAX_BYTES))
        .into()
}

fn wrong_number(name: &str) -> Refused {
    format!("ERR wrong number of arguments for '{name}' command").into()
}

const SYNTAX: Refused = Cow::Borrowed("ERR syntax error");
const NOT_AN_INTEGER: Refused = Cow::Borrowed("ERR value is not an integer or out of range");
const NOT_POSITIVE: Refused = Cow::Borrowed("ERR value is out of range, must be positive");

fn on(key: Bytes, act: Act) -> Operation {
    Operation { key, act }
}

fn score(number: f64) -> Score {
    Score(number)
}
