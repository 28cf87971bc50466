//! RESP2 and RESP3, the protocol of Redis: bytes to commands (`parse`), commands to operations (`command`), and values to
//! bytes (`encode`). The texts of errors are those of Redis 7.0.
//!
//! What differs from Redis on purpose:
//! - `SELECT n` chooses the namespace `NAME-n` beside the pair's own, which is number 0.
//! - Keys of one command that lie in different slots: `MGET`, `MSET`, `DEL`, `UNLINK`, `EXISTS` and `TOUCH` are carried out key by
//!   key and side by side, as a proxy does, and are not atomic then; every other command is refused with `CROSSSLOT`, and so is a
//!   transaction. With a `{tag}` all of them are atomic.
//! - Hashes and sets are returned in byte order. A scan's `COUNT` is a lower bound.
//! - `EVAL`, publish and subscribe, streams, geography and modules are unknown.
//! - Who blocks in a pop is not served in the order of coming.
//! - `OBJECT ENCODING` answers what Redis would of a value that was written at once, `REFCOUNT` always 1, `IDLETIME` the time since the key
//!   was written: reads leave no trace.
//! - `CONFIG SET` accepts the values that are in use; others are parameters of the cluster.
//! - `RESTORE` looks at its payload before it looks at the key. `DUMP` writes the plainest form, which is larger than Redis's.

mod command;
mod cursor;
mod encode;
mod glob;
mod inline;
mod parse;
mod table;
#[cfg(test)]
mod tests;

pub use command::{
    Blocking, ConnectionCommand, Gather, Request, SCAN_COUNT_DEFAULT, Scan, gathered, request,
};
pub use cursor::Cursor;
pub use encode::{Version, command, write_array_head, write_bulk_head, write_error, write_value};
pub use glob::matches;
pub use parse::{ARGUMENTS_MAX, COMMAND_MAX_BYTES, Parsed, Parser};
pub use table::{COMMANDS, CommandInfo, find};
