//! Histories of operations on independent keys, and whether one order of events explains what applications were told.
//! Whoever runs a store under faults records what was called, when, and what came back; `check` answers which keys
//! contradict linearizability (L1–L4 of the invariants), and how: lost, stale, double, resurrected, …
//!
//! *Invariant:* every value written to a key is unique in that key, so that a read names the write it saw.
//! *Invariant:* a violation is never reported for a history that is linearizable; registers are decided exactly.
//! No clock, file or randomness is here: times are arguments, in any unit, as long as all come from one clock.

mod check;
mod exact;
mod explain;
mod operation;
mod register;
mod steps;
mod text;
mod violation;

pub use check::{Report, check, check_key};
pub use exact::{EXACT_MAX_OPERATIONS, is_linearizable};
pub use operation::{Call, Operation, Outcome, Reply};
pub use text::{BadLine, parse, parse_line, write_line};
pub use violation::{Kind, Verdict, Violation};
