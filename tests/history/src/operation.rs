//! What one client did: a call on a key, when it began and ended, and what is known of its outcome.

/// Values and versions are numbers here; how they are written in a protocol is the recorder's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Get,
    /// Value and counter alike: whatever was there is replaced.
    Set {
        value: u64,
    },
    /// Only if the key is absent.
    Add {
        value: u64,
    },
    /// Only if the key still has the version that a read of it showed.
    Cas {
        version: u64,
        value: u64,
    },
    Delete,
    Increment {
        by: u64,
    },
    /// Adds a piece at the end of what is there.
    Append {
        piece: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The answer to a get, with the version if it was asked for.
    Value {
        value: u64,
        version: Option<u64>,
    },
    /// The answer to a get of what appends made.
    Pieces(Box<[u64]>),
    /// The answer to an increment: the counter afterwards.
    Number(u64),
    Stored,
    /// The condition of an add or append did not hold.
    NotStored,
    /// cas: it has another version by now.
    Exists,
    Deleted,
    /// The key is absent: to a get, a cas, a delete or an increment.
    NotFound,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Done(Reply),
    /// It did not happen and never will.
    Refused,
    /// It may have happened, may happen later, or never.
    Unknown,
}

/// One operation. For an unknown outcome `end` is when the client gave up, and says nothing about when it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    pub key: u32,
    pub client: u32,
    pub begin: u64,
    pub end: u64,
    pub call: Call,
    pub outcome: Outcome,
}

impl Operation {
    pub fn reply(&self) -> Option<&Reply> {
        match &self.outcome {
            Outcome::Done(reply) => Some(reply),
            _ => None,
        }
    }

    pub fn is_unknown(&self) -> bool {
        self.outcome == Outcome::Unknown
    }

    /// The value it wrote or may have written.
    pub fn written(&self) -> Option<u64> {
        match self.call {
            Call::Set { value } | Call::Add { value } | Call::Cas { value, .. } => Some(value),
            _ => None,
        }
    }

    /// It happened before the other one was called: whatever explains both has them in this order.
    pub fn precedes(&self, other: &Operation) -> bool {
        !self.is_unknown() && self.end < other.begin
    }
}
