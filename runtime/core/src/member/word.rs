//! The words of the control socket, as CHMPX has them: one line, case does not matter.

use crate::ids::NodeAddress;

/// The part of an unknown word that is said back, so that garbage does not flood a terminal.
const UNKNOWN_SHOWN_MAX_CHARS: usize = 64;

/// A control line that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlWord {
    Version,
    SelfStatus,
    AllStatus,
    UpdateStatus,
    Dump,
    ServiceIn,
    /// Without an address in CHMPX an error; so here.
    ServiceOut(NodeAddress),
    Merge,
    CompleteMerge,
    AbortMerge,
    SuspendMerge,
    NoSuspendMerge,
}

/// Why a line is not a control word, in CHMPX's own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadControlWord {
    #[error("Unknown command({0})")]
    Unknown(String),
    #[error(
        "ERROR: SERVICEOUT command must have parameter as server/ctlport.(ex: \"SERVICEOUT servername.fqdn:ctlport\")"
    )]
    NoAddress,
    #[error("ERROR: Parameters are wrong. {0}")]
    Parameters(String),
}

impl ControlWord {
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
