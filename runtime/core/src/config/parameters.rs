//! The one table of parameters: name, type, default, unit, range, whether a change needs a restart, and words. The
//! type `Parameters`, its defaults, `show config`, the checks of what is typed and of `node.yaml`, and what a running
//! node takes over all come from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::setting::{Setting, ValueKind, choice};
use crate::kv::{VALUE_MAX_BYTES_DEFAULT, VALUE_MAX_BYTES_LIMIT};

/// An election may begin only after several heartbeats were missed, or one late packet replaces a leader.
const HEARTBEATS_PER_ELECTION_MIN: u64 = 3;
/// What a log segment needs besides the largest value: its header, and the record's key, session and header.
const SEGMENT_ROOM_BYTES: u64 = 1024 * 1024;

/// One row of the table.
pub struct Parameter {
    /// As it is typed, and as files spell it.
    pub name: &'static str,
    /// Empty if it has none.
    pub unit: &'static str,
    /// Which values are allowed.
    pub range: Range,
    /// When a changed value takes effect.
    pub change: Change,
    /// One or two sentences for `show config`.
    pub explanation: &'static str,
    get: fn(&Parameters) -> Setting,
    set: fn(&mut Parameters, &Setting) -> bool,
}

/// Which values are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// A whole number, both ends included.
    Number {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// One of these words.
    Words(&'static [&'static str]),
    /// Printable text of at most so many bytes.
    Text {
        /// More is refused.
        max_bytes: usize,
    },
}

/// A parameter of the release before that files may still name. It has no effect.
pub struct Retired {
    /// As it stands in files.
    pub name: &'static str,
    /// The parameter that has its place.
    pub instead: &'static str,
}

/// What `cache_bytes` said was the size of one cache; taken for the whole budget it would be far too little.
pub const RETIRED: [Retired; 1] = [Retired { name: "cache_bytes", instead: "memory_bytes" }];

/// When a changed value takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A running node takes it over when it reloads its configuration.
    Dynamic,
    /// The next start of the node takes it over.
    RestartNeeded,
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

choice! {
    /// How reads are made linearizable.
    ReadPolicy {
        /// The leader's lease: fast, assumes that clocks run at nearly the same rate.
        Lease = "lease",
        /// A round of heartbeats for every batch of reads.
        Index = "index",
    }
}

choice! {
    /// Whether something is done.
    Switch {
        /// It is done.
        On = "on",
        /// It is not done.
        Off = "off",
    }
}

choice! {
    /// How an event is logged.
    LogFormat {
        /// A line for people.
        Text = "text",
        /// A JSON object, on one line.
        Json = "json",
    }
}

const fn number(min: u64, max: u64) -> Range {
    Range::Number { min, max }
}

macro_rules! parameters {
    ($($name:ident: $type:ty = $default:expr, $unit:literal, $range:expr, $change:ident, $explanation:literal;)+) => {
        /// Every parameter of a node. Names end with the unit.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Parameters {
            $(#[doc = $explanation] pub $name: $type,)+
            /// What a file of the release before may still say, so that a node starts when only its program is upgraded.
            /// It has no effect, and is never written. It goes with the next release, and so does `RETIRED`.
            #[serde(rename = "cache_bytes", skip_serializing)]
            pub retired_cache_bytes: Option<u64>,
        }

        impl Default for Parameters {
            fn default() -> Parameters {
                Parameters { $($name: $default,)+ retired_cache_bytes: None }
            }
        }

        /// Every parameter, in the order of `Parameters`.
        pub static PARAMETERS: &[Parameter] = &[$(Parameter {
            name: stringify!($name),
            unit: $unit,
            range: $range,
            change: Change::$change,
            explanation: $explanation,
            get: |parameters| parameters.$name.to_setting(),
            set: |parameters, setting| {
                ValueKind::from_setting(setting).map(|value| parameters.$name = value).is_some()
            },
        },)+];
    };
}

parameters! {
    heartbeat_ms: u64 = 75, "ms", number(10, 5_000), RestartNeeded,
        "Time between two heartbeats of a leader; a dead leader is noticed after several of them.";
    election_timeout_min_ms: u64 = 250, "ms", number(50, 60_000), RestartNeeded,
        "Shortest silence of a leader after which a follower campaigns; at least 3 heartbeats.";
    election_timeout_max_ms: u64 = 450, "ms", number(50, 60_000), RestartNeeded,
        "Longest such silence; more than the shortest, so that followers do not campaign at once. Never less than \
         nine tenths of the election_timeout_min_ms of a server that runs: a rolling restart with such values is refused.";
    read: ReadPolicy = ReadPolicy::Lease, "", Range::Words(ReadPolicy::WORDS), Dynamic,
        "How reads are made linearizable: by the leader's lease (fast, assumes bounded clock drift) or by asking a \
         majority (index).";
    request_deadline_ms: u64 = 10_000, "ms", number(100, 600_000), Dynamic,
        "How long a slave retries before it reports an error to the application.";
    value_max_bytes: u64 = VALUE_MAX_BYTES_DEFAULT as u64, "bytes", number(KIB, VALUE_MAX_BYTES_LIMIT as u64), RestartNeeded,
        "Largest value accepted; fixed once the cluster is founded.";
    connections_max: u32 = 4096, "connections", number(16, 1_000_000), Dynamic,
        "Most open connections; more are refused.";
    slave_memory_bytes: u64 = 256 * MIB, "bytes", number(16 * MIB, 1024 * 1024 * MIB), Dynamic,
        "Memory for all connections of applications to one slave together; a quarter is kept for new connections and \
         small requests.";
    client_idle_timeout_ms: u64 = 24 * 3_600_000, "ms", number(1_000, 366 * 24 * 3_600_000), Dynamic,
        "How long an application may be silent before its connection is closed.";
    client_stall_timeout_ms: u64 = 60_000, "ms", number(1_000, 3_600_000), Dynamic,
        "How long an application may take to finish a request or to read its answers; three seconds while others wait \
         for memory.";
    tablet_queue_max: u32 = 16_384, "writes", number(16, 1_000_000), Dynamic,
        "Most writes queued for one tablet; more are refused as busy.";
    log_segment_bytes: u64 = 64 * MIB, "bytes", number(2 * MIB, 1024 * MIB), Dynamic,
        "Size of one file of the replication log; must hold the largest value.";
    memory_bytes: u64 = 256 * MIB, "bytes", number(64 * MIB, 1024 * 1024 * MIB), RestartNeeded,
        "Memory of one server: six sixteenths for rows that are not in table files yet, two for blocks of table files and \
         one for single rows of them, one for the end of the log, two for entries on their way into it, the rest for \
         everything else.";
    persist_interval_ms: u64 = 60_000, "ms", number(100, 600_000), Dynamic,
        "Longest time that applied rows stand in memory only; the log has them for as long.";
    automerge: Switch = Switch::On, "", Range::Words(Switch::WORDS), Dynamic,
        "Whether MERGE and COMPMERGE follow automatically after SERVICEIN and SERVICEOUT.";
    merge_bytes_per_s: u64 = 32 * MIB, "bytes/s", number(64 * KIB, 1024 * 1024 * MIB), Dynamic,
        "Bandwidth of one node for snapshots to new replicas, so that a merge leaves capacity to the service.";
    merge_incoming_max: u32 = 2, "tablets", number(1, 64), Dynamic,
        "Most tablets that catch up at once on any one node.";
    split_operations_per_s: u64 = 2_000, "operations/s", number(0, 1_000_000_000), Dynamic,
        "Least load for which a tablet is split that carries more than one and a half times the share of a server; 0 means \
         never for its load.";
    split_after_ms: u64 = 60_000, "ms", number(600, 24 * 3_600_000), Dynamic,
        "How long a tablet must carry so much before it is split.";
    metrics_port: u16 = 0, "", number(0, 65_535), RestartNeeded,
        "Port on 127.0.0.1 where a server tells its metrics at /metrics, for Prometheus; 0 means none. Only one server of a \
         host can use it.";
    slave_metrics_port: u16 = 0, "", number(0, 65_535), RestartNeeded,
        "The same for slaves.";
    log_level: String = "info".to_owned(), "", Range::Text { max_bytes: 200 }, Dynamic,
        "What is logged: error, warn, info, debug or trace, also by part as in `info,dkcd::raft=debug`.";
    log_format: LogFormat = LogFormat::Text, "", Range::Words(LogFormat::WORDS), Dynamic,
        "One line of text, or one JSON object, for each event.";
}

impl Parameter {
    /// The parameter of this name.
    pub fn named(name: &str) -> Option<&'static Parameter> {
        PARAMETERS.iter().find(|parameter| parameter.name == name)
    }

    /// The documented default.
    pub fn default_value(&self) -> Setting {
        self.value_in(&Parameters::default())
    }

    /// Its value in these parameters.
    pub fn value_in(&self, parameters: &Parameters) -> Setting {
        (self.get)(parameters)
    }

    /// Says what is wrong with a value.
    pub fn check(&self, value: &Setting) -> Result<(), String> {
        let is_good = match (self.range, value) {
            (Range::Number { min, max }, Setting::Number(number)) => (min..=max).contains(number),
            (Range::Words(words), Setting::Text(word)) => words.contains(&word.as_str()),
            (Range::Text { max_bytes }, Setting::Text(text)) => {
                !text.is_empty() && text.len() <= max_bytes && !text.chars().any(char::is_control)
            }
            _ => false,
        };
        if is_good { Ok(()) } else { Err(self.refusal(value)) }
    }

    fn refusal(&self, value: &Setting) -> String {
        format!("{} is {}, not {value}", self.name, self.range)
    }

    fn set(&self, parameters: &mut Parameters, value: &Setting) -> Result<(), String> {
        self.check(value)?;
        if (self.set)(parameters, value) { Ok(()) } else { Err(self.refusal(value)) }
    }
}

impl Retired {
    /// The retired parameter of this name.
    pub fn named(name: &str) -> Option<&'static Retired> {
        RETIRED.iter().find(|retired| retired.name == name)
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
    pub fn with_overrides(overrides: &BTreeMap<String, Setting>) -> Result<Parameters, String> {
        let mut parameters = Parameters::default();
        for (name, value) in overrides {
            Parameter::named(name).ok_or_else(|| unknown(name))?.set(&mut parameters, value)?;
        }
        parameters.check().map_err(|(_, why)| why)?;
        Ok(parameters)
    }

    /// As they stand in `node.yaml`.
    pub fn to_yaml(&self) -> String {
        serde_yaml::to_string(self).expect("parameters are numbers and words")
    }

    /// Says which parameter is wrong, and why: each by its range, then all together.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        for parameter in PARAMETERS {
            parameter.check(&parameter.value_in(self)).map_err(|why| (parameter.name, why))?;
        }
        self.check_elections()?;
        self.check_segments()
    }

    /// How old the last confirmation by a majority may be for a read by lease. A follower that has confirmed grants no vote
    /// else for `election_timeout_max_ms` of its own configuration: by default this is half of that, so that clocks may run at
    /// different rates.
    pub fn read_lease_ms(&self) -> u64 {
        self.election_timeout_min_ms * 9 / 10
    }

    /// Whether servers with these parameters and servers with `other` may be in one cluster: no lease outlives the time in which
    /// followers grant no vote.
    pub fn check_beside(&self, other: &Parameters) -> Result<(), String> {
        for (leader, follower) in [(self, other), (other, self)] {
            if leader.read_lease_ms() > follower.election_timeout_max_ms {
                return Err(format!(
                    "nine tenths of election_timeout_min_ms ({}) of one server are more than election_timeout_max_ms \
                     ({}) of another",
                    leader.election_timeout_min_ms, follower.election_timeout_max_ms
                ));
            }
        }
        Ok(())
    }

    fn check_elections(&self) -> Result<(), (&'static str, String)> {
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
        Ok(())
    }

    fn check_segments(&self) -> Result<(), (&'static str, String)> {
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
    if let Some(retired) = Retired::named(name) {
        return format!("'{name}' is not a parameter any more; {} has its place", retired.instead);
    }
    let names: Vec<&str> = PARAMETERS.iter().map(|parameter| parameter.name).collect();
    format!("'{name}' is not a parameter; there are: {}", names.join(", "))
}
