//! The table of parameters: name, unit, range, whether a change needs a restart, and one line of explanation. The
//! documentation, `show config` and the check of overrides all read this one table.

use std::collections::BTreeMap;

use serde_yaml::Value;

use super::Parameters;
use crate::kv::VALUE_MAX_BYTES_LIMIT;

/// An election may begin only after several heartbeats were missed, or one late packet replaces a leader.
const HEARTBEATS_PER_ELECTION_MIN: u64 = 3;
/// What a log segment needs besides the largest value: its header, and the record's key, session and header.
const SEGMENT_ROOM_BYTES: u64 = 1024 * 1024;

/// One row of the table. The default stands in `Parameters::default` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    pub name: &'static str,
    /// Empty where it has none.
    pub unit: &'static str,
    pub range: Range,
    pub change: Change,
    pub explanation: &'static str,
}

/// Which values are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    Number {
        min: u64,
        max: u64,
    },
    Words(&'static [&'static str]),
    /// Printable text of at most so many bytes.
    Text {
        max_bytes: usize,
    },
}

/// When a changed value takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Dynamic,
    RestartNeeded,
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

const fn number(
    name: &'static str,
    unit: &'static str,
    (min, max): (u64, u64),
    change: Change,
    explanation: &'static str,
) -> Parameter {
    Parameter { name, unit, range: Range::Number { min, max }, change, explanation }
}

/// Every parameter, in the order of `Parameters`.
pub const PARAMETERS: [Parameter; 19] = [
    number(
        "heartbeat_ms",
        "ms",
        (10, 5_000),
        Change::RestartNeeded,
        "Time between two heartbeats of a leader; a dead leader is noticed after several of them.",
    ),
    number(
        "election_timeout_min_ms",
        "ms",
        (50, 60_000),
        Change::RestartNeeded,
        "Shortest silence of a leader after which a follower stands for election; at least 3 heartbeats.",
    ),
    number(
        "election_timeout_max_ms",
        "ms",
        (50, 60_000),
        Change::RestartNeeded,
        "Longest such silence; more than the shortest, so that followers do not stand at the same moment. One rolling \
         restart may not bring it below nine tenths of the election_timeout_min_ms from before.",
    ),
    Parameter {
        name: "read",
        unit: "",
        range: Range::Words(&["lease", "index"]),
        change: Change::RestartNeeded,
        explanation: "How reads are made linearizable: by the leader's lease (fast, trusts the rate of clocks) or by \
                      asking a majority (index).",
    },
    number(
        "request_deadline_ms",
        "ms",
        (100, 600_000),
        Change::RestartNeeded,
        "How long a slave tries before it tells the application that it failed.",
    ),
    number(
        "value_max_bytes",
        "bytes",
        (KIB, VALUE_MAX_BYTES_LIMIT as u64),
        Change::RestartNeeded,
        "Largest value that is stored.",
    ),
    number(
        "connections_max",
        "connections",
        (16, 1_000_000),
        Change::RestartNeeded,
        "Most connections that are open at once; more are refused.",
    ),
    number(
        "slave_memory_bytes",
        "bytes",
        (16 * MIB, 1024 * 1024 * MIB),
        Change::RestartNeeded,
        "Memory for all connections of applications to one slave together; a quarter is kept for new connections and \
         small requests.",
    ),
    number(
        "client_idle_timeout_ms",
        "ms",
        (1_000, 366 * 24 * 3_600_000),
        Change::RestartNeeded,
        "How long an application may be silent before its connection is closed.",
    ),
    number(
        "client_stall_timeout_ms",
        "ms",
        (1_000, 3_600_000),
        Change::RestartNeeded,
        "How long an application may take to finish a request or to read its answers; three seconds while others wait \
         for memory.",
    ),
    number(
        "tablet_queue_max",
        "writes",
        (16, 1_000_000),
        Change::RestartNeeded,
        "Writes that may wait in the queue of one tablet before Busy is answered.",
    ),
    number(
        "log_segment_bytes",
        "bytes",
        (2 * MIB, 1024 * MIB),
        Change::RestartNeeded,
        "Size of one file of the replication log; must hold the largest value.",
    ),
    number(
        "memory_bytes",
        "bytes",
        (64 * MIB, 1024 * 1024 * MIB),
        Change::RestartNeeded,
        "Memory of one server: six sixteenths for rows that are not in table files yet, two for blocks of table files, \
         one for the end of the log, two for entries on their way into it, the rest for everything else.",
    ),
    number(
        "persist_interval_ms",
        "ms",
        (100, 600_000),
        Change::RestartNeeded,
        "Longest time that applied rows stand in memory only; the log has them for as long.",
    ),
    Parameter {
        name: "automerge",
        unit: "",
        range: Range::Words(&["on", "off"]),
        change: Change::RestartNeeded,
        explanation: "Whether MERGE and COMPMERGE follow by themselves after SERVICEIN and SERVICEOUT.",
    },
    number(
        "merge_bytes_per_s",
        "bytes/s",
        (64 * KIB, 1024 * 1024 * MIB),
        Change::RestartNeeded,
        "Most that one node sends to replicas that catch up by snapshot, so that a merge leaves room for the service.",
    ),
    number(
        "merge_incoming_max",
        "tablets",
        (1, 64),
        Change::RestartNeeded,
        "Tablets that catch up at once on any one node.",
    ),
    Parameter {
        name: "log_level",
        unit: "",
        range: Range::Text { max_bytes: 200 },
        change: Change::RestartNeeded,
        explanation: "What is logged: error, warn, info, debug or trace, also by part as in `info,dkcd::raft=debug`.",
    },
    Parameter {
        name: "log_format",
        unit: "",
        range: Range::Words(&["text", "json"]),
        change: Change::RestartNeeded,
        explanation: "One line of text, or one JSON object, for each event.",
    },
];

impl Parameter {
    pub fn named(name: &str) -> Option<&'static Parameter> {
        PARAMETERS.iter().find(|parameter| parameter.name == name)
    }

    /// The documented default.
    pub fn default_value(&self) -> Value {
        Parameters::default().value_of(self.name).unwrap_or(Value::Null)
    }

    /// Says what is wrong with a value.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        let is_good = match self.range {
            Range::Number { min, max } => value.as_u64().is_some_and(|n| (min..=max).contains(&n)),
            Range::Words(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Range::Text { max_bytes } => value.as_str().is_some_and(|text| {
                !text.is_empty() && text.len() <= max_bytes && !text.chars().any(char::is_control)
            }),
        };
        if is_good { Ok(()) } else { Err(format!("{} is {}, not {}", self.name, self.range, shown(value))) }
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Range::Number { min, max } => write!(f, "a number from {min} to {max}"),
            Range::Words(words) => f.write_str(&words.join(" or ")),
            Range::Text { max_bytes } => write!(f, "a line of 1 to {max_bytes} bytes"),
        }
    }
}
impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Change::Dynamic => "at once",
            Change::RestartNeeded => "restart needed",
        })
    }
}

impl Parameters {
    /// The defaults with some values replaced. Every name and value is checked, and that the whole fits together.
    pub fn with_overrides(overrides: &BTreeMap<String, Value>) -> Result<Parameters, String> {
        let mut values = Parameters::default().to_values();
        for (name, value) in overrides {
            let parameter = Parameter::named(name).ok_or_else(|| unknown(name))?;
            parameter.check(value)?;
            values.insert(name.clone(), value.clone());
        }
        let mapping: serde_yaml::Mapping =
            values.into_iter().map(|(name, v)| (Value::String(name), v)).collect();
        let parameters: Parameters =
            serde_yaml::from_value(Value::Mapping(mapping)).map_err(|error| error.to_string())?;
        parameters.check().map_err(|(_, why)| why)?;
        Ok(parameters)
    }

    /// Name and value of every parameter, by name.
    pub fn to_values(&self) -> BTreeMap<String, Value> {
        let value = serde_yaml::to_value(self).expect("parameters are numbers and words");
        let mapping = value.as_mapping().cloned().unwrap_or_default();
        mapping.into_iter().filter_map(|(name, value)| Some((name.as_str()?.to_owned(), value))).collect()
    }

    /// The value of one parameter.
    pub fn value_of(&self, name: &str) -> Option<Value> {
        self.to_values().remove(name)
    }

    /// Says which parameter is wrong, and why: each by its range, then all together.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let values = self.to_values();
        for parameter in &PARAMETERS {
            let value = values.get(parameter.name).unwrap_or(&Value::Null);
            parameter.check(value).map_err(|why| (parameter.name, why))?;
        }
        let shortest = self.heartbeat_ms * HEARTBEATS_PER_ELECTION_MIN;
        if self.election_timeout_min_ms < shortest {
            let why = format!(
                "election_timeout_min_ms is {}, but must be at least {HEARTBEATS_PER_ELECTION_MIN} heartbeats \
                 ({shortest} ms), or one late packet replaces a leader",
                self.election_timeout_min_ms
            );
            return Err(("election_timeout_min_ms", why));
        }
        if self.election_timeout_max_ms <= self.election_timeout_min_ms {
            let why = format!(
                "election_timeout_max_ms is {}, but must be more than election_timeout_min_ms ({}), or elections \
                 collide",
                self.election_timeout_max_ms, self.election_timeout_min_ms
            );
            return Err(("election_timeout_max_ms", why));
        }
        let segment_min_bytes = self.value_max_bytes + SEGMENT_ROOM_BYTES;
        if self.log_segment_bytes < segment_min_bytes {
            let why = format!(
                "log_segment_bytes is {}, but must be at least {segment_min_bytes} to hold a value of \
                 value_max_bytes ({})",
                self.log_segment_bytes, self.value_max_bytes
            );
            return Err(("log_segment_bytes", why));
        }
        Ok(())
    }
}

fn unknown(name: &str) -> String {
    let names: Vec<&str> = PARAMETERS.iter().map(|parameter| parameter.name).collect();
    format!("'{name}' is not a parameter; there are: {}", names.join(", "))
}

/// A value as a person wrote it, cut short.
fn shown(value: &Value) -> String {
    let text = serde_yaml::to_string(value).unwrap_or_default();
    let text = text.trim_end();
    let line = text.lines().next().unwrap_or_default();
    if line.len() < text.len() || line.chars().count() > 60 {
        return format!("{}…", line.chars().take(60).collect::<String>());
    }
    line.to_owned()
}
