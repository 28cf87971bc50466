//! Which state of the inventory something is about. *Invariant:* a generation is only ever compared for equality or order, or
//! followed by its next one: how many edits lie between two of them means nothing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Counts the states of an inventory; every change makes the next one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(u64);

impl Generation {
    /// Of an inventory that was never written.
    pub const NONE: Generation = Generation(0);

    /// By its number, as files and operators give it.
    pub const fn new(number: u64) -> Generation {
        Generation(number)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The one that a change makes of this one.
    #[must_use]
    pub const fn next(self) -> Generation {
        Generation(self.0 + 1)
    }

    /// The one that a change made of this one, if there was a change.
    #[must_use]
    pub const fn next_if(self, is_changed: bool) -> Generation {
        if is_changed { self.next() } else { self }
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Generation {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Generation)
    }
}
