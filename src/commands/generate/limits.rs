//! The limits that an operator or an application can meet, for the reference of the book. Each is read from the constant
//! that the programs go by.

use std::fmt;

use dkc_core::{certificate, ids, kv, memcache, meta, resp, ring, tablet, token};
use dkc_inventory::{edit, plan};

use crate::commands::data;

/// One row of the page.
pub struct Limit {
    pub what: &'static str,
    pub size: Size,
}

/// A size with its unit, last.
pub enum Size {
    Bytes(u64),
    Count(u64, &'static str),
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match *self {
            Size::Count(count, unit) => write!(f, "{count} {unit}"),
            Size::Bytes(bytes) => match UNITS.iter().find(|(unit, _)| bytes >= *unit && bytes % unit == 0) {
                Some((unit, name)) => write!(f, "{} {name}", bytes / unit),
                None => write!(f, "{bytes} bytes"),
            },
        }
    }
}

const fn bytes(what: &'static str, size: usize) -> Limit {
    Limit { what, size: Size::Bytes(size as u64) }
}

const fn count(what: &'static str, size: u64, unit: &'static str) -> Limit {
    Limit { what, size: Size::Count(size, unit) }
}

const DAY_MS: u64 = 24 * 3_600_000;

pub static LIMITS: &[Limit] = &[
    bytes("Key over the memcached protocol", memcache::KEY_MAX_BYTES),
    bytes("Key over RESP and in `data`", kv::KEY_MAX_BYTES),
    bytes("Value, by default (`value_max_bytes`)", kv::VALUE_MAX_BYTES_DEFAULT),
    bytes("Value, at most by configuration", kv::VALUE_MAX_BYTES_LIMIT),
    bytes("Line of a memcached command, but for `get` of several keys", memcache::LINE_MAX_BYTES),
    bytes("Line of a memcached `get` of several keys", memcache::MULTIGET_LINE_MAX_BYTES),
    count("Arguments of one Redis command", resp::ARGUMENTS_MAX as u64, "arguments"),
    bytes("One Redis command with all its arguments", resp::COMMAND_MAX_BYTES),
    count("Commands of one Redis transaction", kv::operation::OPERATIONS_MAX as u64, "commands"),
    count("Elements that one Redis command reads or changes", tablet::ELEMENTS_MAX as u64, "elements"),
    bytes("One Redis answer", tablet::ANSWER_MAX_BYTES),
    bytes("Name of a cluster or a namespace", ids::NAME_MAX_BYTES),
    bytes("Name of a host", ids::HOST_MAX_BYTES),
    count("Replicas of a tablet", ring::REPLICAS_MAX as u64, "replicas"),
    count("Tablets that a cluster begins with", edit::TABLETS_MAX as u64, "tablets"),
    count("Slots of the key space", ring::SLOTS as u64, "slots"),
    bytes("Line of commands at the prompt or in a file", crate::arguments::LINE_MAX_BYTES),
    count(
        "Generations of the inventory that `undo` can go back to",
        crate::store::GENERATIONS_MAX as u64,
        "generations",
    ),
    count("Difference of a host's clock from the operator's", plan::CLOCK_OFFSET_MAX_MS as u64, "ms"),
    count("Validity of a node's certificate", certificate::LEAF_DAYS as u64, "days"),
    count("Validity of a server's issuing certificate", certificate::ISSUER_DAYS as u64, "days"),
    count("Living tokens of a cluster", meta::TOKENS_MAX as u64, "tokens"),
    count("Uses of one token", meta::TOKEN_USES_MAX as u64, "uses"),
    count("Lifetime of a token", meta::TOKEN_TTL_MAX_MS / DAY_MS, "days"),
    count("Servers named in a token", token::TOKEN_SERVERS_MAX as u64, "servers"),
    count("Slaves that joined a cluster with a token", meta::ENROLLED_MAX as u64, "slaves"),
    count("Revoked slaves that a cluster remembers", meta::REVOKED_MAX as u64, "slaves"),
    count("Earlier values that `data set --history` keeps", data::HISTORY_MAX, "values"),
    count("Keys of one tree that `data` prints or removes", data::TREE_KEYS_MAX as u64, "keys"),
    count("Clients of `bench`", crate::bench::CLIENTS_MAX as u64, "clients"),
];
