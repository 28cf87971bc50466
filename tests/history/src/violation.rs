//! How a history contradicts itself.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An acknowledged write is gone.
    Lost,
    /// An answer is older than what somebody had been told before it was asked.
    Stale,
    /// One write took effect twice.
    Double,
    /// What was deleted came back.
    Resurrected,
    /// One version accepted more than one cas.
    TwoWinners,
    /// A value that nobody wrote.
    FromNowhere,
    /// A write that was refused for certain took effect.
    RefusedHappened,
    /// No order of events explains it, though no single pair of operations shows why.
    NoOrder,
}

impl Kind {
    pub const ALL: [Kind; 8] = [
        Kind::Lost,
        Kind::Stale,
        Kind::Double,
        Kind::Resurrected,
        Kind::TwoWinners,
        Kind::FromNowhere,
        Kind::RefusedHappened,
        Kind::NoOrder,
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Lost => "lost",
            Kind::Stale => "stale",
            Kind::Double => "double",
            Kind::Resurrected => "resurrected",
            Kind::TwoWinners => "two cas winners",
            Kind::FromNowhere => "from nowhere",
            Kind::RefusedHappened => "refused but happened",
            Kind::NoOrder => "no order explains it",
        })
    }
}

/// The first contradiction found in a key; what follows in the same key may be its consequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub key: u32,
    pub kind: Kind,
    /// A sentence for a person, with times and values.
    pub why: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}: {}: {}", self.key, self.kind, self.why)
    }
}

/// What a check of one key answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Fine,
    Violated(Violation),
    /// Too much happened at once to decide within bounds, or the key was used in a way that is not checked.
    Undecided(&'static str),
}
