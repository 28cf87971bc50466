//! The generation of an inventory. *Invariant:* generations are only compared or incremented; the difference between two
//! has no meaning.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Counts the states of an inventory; every change increments it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(u64);

impl Generation {
    /// The generation of an inventory that was never written.
    pub const NONE: Generation = Generation(0);

    /// From a number in a file or on the command line.
    pub const fn new(number: u64) -> Generation {
        Generation(number)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The generation after a change.
    #[must_use]
    pub const fn next(self) -> Generation {
        Generation(self.0 + 1)
    }

    /// The next generation if there was a change, else the same.
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
