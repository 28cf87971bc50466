//! The common form of this crate's refusals: a stable id, what happened, why, and what to do next. The shell maps the kind
//! to an exit status and prints the rest.

/// The kind of refusal; the shell has one exit status for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// Invalid input (exit 2).
    Usage,
    /// An unregistered name, or a broken inventory file (exit 3).
    UnknownName,
    /// A safety rule (exit 4).
    Refused,
    /// The state changed since the plan was made (exit 6).
    Stale,
    /// A host does not answer or refuses the login (exit 7).
    Unreachable,
}

/// A refusal ready to be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `DKC-E0301`: never reused for anything else.
    pub code: &'static str,
    /// Decides the exit status.
    pub kind: ProblemKind,
    /// The message, on one line.
    pub what: String,
    /// Causes, one line each; empty if `what` suffices.
    pub cause: Vec<String>,
    /// What to do next, one line each.
    pub advice: Vec<String>,
}
