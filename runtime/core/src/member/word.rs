//! The words of the control socket, as CHMPX has them: one line, case does not matter.

use crate::ids::NodeAddress;

/// How much of an unknown word an error repeats.
const UNKNOWN_SHOWN_MAX_CHARS: usize = 64;

/// A control line that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlWord {
    /// Release of the node.
    Version,
    /// State of the node that is asked.
    SelfStatus,
    /// State of every member.
    AllStatus,
    /// Does nothing: every node reports its state as soon as it changes.
    UpdateStatus,
    /// Everything the node knows, for diagnosis.
    Dump,
    /// The node that is asked joins the ring with the next merge.
    ServiceIn,
    /// Without an address an error, as in CHMPX.
    ServiceOut(NodeAddress),
    /// Computes the target placement and starts copying replicas.
    Merge,
    /// Switches to the target placement; cannot be aborted.
    CompleteMerge,
    /// Drops the copies and keeps the old placement; refused after COMPMERGE.
    AbortMerge,
    /// Automerge stops in the whole cluster.
    SuspendMerge,
    /// Automerge goes on.
    NoSuspendMerge,
}

/// Why a line is not a control word, in CHMPX's own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadControlWord {
    /// The word is none of CHMPX's.
    #[error("Unknown command({0})")]
    Unknown(String),
    /// SERVICEOUT needs to know which server.
    #[error(
        "ERROR: SERVICEOUT command must have parameter as server/ctlport.(ex: \"SERVICEOUT servername.fqdn:ctlport\")"
    )]
    NoAddress,
    /// Too many, or malformed.
    #[error("ERROR: Parameters are wrong. {0}")]
    Parameters(String),
}

impl ControlWord {
    /// One line, without its end.
    pub fn parse(line: &str) -> Result<ControlWord, BadControlWord> {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        let word = match first.to_ascii_uppercase().as_str() {
            "VERSION" => ControlWord::Version,
            "SELFSTATUS" => ControlWord::SelfStatus,
            "ALLSTATUS" => ControlWord::AllStatus,
            "UPDATESTATUS" => ControlWord::UpdateStatus,
            "DUMP" => ControlWord::Dump,
            "SERVICEIN" => ControlWord::ServiceIn,
            "SERVICEOUT" => ControlWord::ServiceOut(address(words.next())?),
            "MERGE" => ControlWord::Merge,
            "COMPMERGE" => ControlWord::CompleteMerge,
            "ABORTMERGE" => ControlWord::AbortMerge,
            "SUSPENDMERGE" => ControlWord::SuspendMerge,
            "NOSUSPENDMERGE" => ControlWord::NoSuspendMerge,
            _ => return Err(BadControlWord::Unknown(printable(first))),
        };
        match words.next() {
            None => Ok(word),
            Some(more) => Err(BadControlWord::Parameters(format!("Nothing may follow: {}", printable(more)))),
        }
    }
}

fn address(word: Option<&str>) -> Result<NodeAddress, BadControlWord> {
    let word = word.ok_or(BadControlWord::NoAddress)?;
    word.parse().map_err(|error: crate::ids::BadWord| BadControlWord::Parameters(error.to_string()))
}

fn printable(word: &str) -> String {
    word.chars().take(UNKNOWN_SHOWN_MAX_CHARS).map(|c| if c.is_control() { '?' } else { c }).collect()
}
