//! Commands about the connection, the server and transactions. What they answer depends on what the slave knows.

use bytes::Bytes;

use super::words::Words;
use super::{Refused, Request, wrong_number};
use crate::kv::Value;

/// A command whose answer only the slave knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionCommand {
    /// In small letters.
    pub name: &'static str,
    /// Behind the name.
    pub words: Vec<Bytes>,
}

pub fn request(words: &mut Words<'_>) -> Result<Request, Refused> {
    Ok(match words.name {
        "ping" if words.left() > 1 => return Err(wrong_number("ping")),
        "ping" if words.left() == 1 => Request::Known(Value::Text(words.next()?)),
        "ping" => Request::Known(Value::Word(Bytes::from_static(b"PONG"))),
        "echo" => Request::Known(Value::Text(words.next()?)),
        "multi" => Request::Multi,
        "exec" => Request::Exec,
        "discard" => Request::Discard,
        "watch" => Request::Watch { keys: words.rest() },
        "unwatch" => Request::Unwatch,
        "quit" => Request::Quit,
        "reset" => Request::Reset,
        "dbsize" => Request::Count,
        "flushdb" | "flushall" => {
            if words.left() > 1 || words.left() == 1 && !words.takes("async") && !words.takes("sync") {
                return Err(super::SYNTAX);
            }
            Request::Flush
        }
        name => Request::Connection(ConnectionCommand { name, words: words.rest() }),
    })
}
