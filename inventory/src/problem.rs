//! What every refusal of this crate can say of itself: a stable id, what happened, why, and what to type next.
//! The shell turns the kind into an exit status and prints the rest; nothing here knows statuses or terminals.

/// Which sort of refusal: the shell has one exit status for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// The words themselves are wrong (exit 2).
    Usage,
    /// A name nobody registered, or a broken inventory file (exit 3).
    UnknownName,
    /// A rule of safety says no (exit 4).
    Refused,
    /// The world has moved on since the plan was made (exit 6).
    Stale,
    /// A host does not answer, or does not let us in (exit 7).
    Unreachable,
}

/// A refusal ready to be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `DKC-E0301`: never reused for anything else.
    pub code: &'static str,
    pub kind: ProblemKind,
    pub what: String,
    /// Why, one line a reason; empty when `what` says it all.
    pub cause: Vec<String>,
    /// What to do or to type next, one line each.
    pub advice: Vec<String>,
}
