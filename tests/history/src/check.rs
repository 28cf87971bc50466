//! The check of a whole history: keys are independent, so each is checked by itself, with the checker for its use.

use std::collections::BTreeMap;
use std::fmt;

use crate::operation::{Call, Operation};
use crate::violation::{Kind, Verdict, Violation};
use crate::{register, steps};

/// What a check found. Undecided keys prove nothing; whoever asks decides how many are too many.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    pub operations: u64,
    pub unknown: u64,
    pub keys: u64,
    pub violations: Vec<Violation>,
    pub undecided: Vec<(u32, &'static str)>,
}

impl Report {
    pub fn count(&self, kind: Kind) -> usize {
        self.violations.iter().filter(|violation| violation.kind == kind).count()
    }

    pub fn is_fine(&self) -> bool {
        self.violations.is_empty()
    }

    /// Of all operations; 0 for none.
    pub fn unknown_share(&self) -> f64 {
        self.unknown as f64 / self.operations.max(1) as f64
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} operations on {} keys, {} unknown", self.operations, self.keys, self.unknown)?;
        for kind in Kind::ALL {
            write!(f, ", {kind} {}", self.count(kind))?;
        }
        write!(f, ", undecided {}", self.undecided.len())
    }
}

/// Checks every key of a history; the order of the operations does not matter.
pub fn check(history: &[Operation]) -> Report {
    let mut keys: BTreeMap<u32, Vec<&Operation>> = BTreeMap::new();
    for operation in history {
        keys.entry(operation.key).or_default().push(operation);
    }
    let mut report = Report {
        operations: history.len() as u64,
        unknown: history.iter().filter(|operation| operation.is_unknown()).count() as u64,
        keys: keys.len() as u64,
        ..Report::default()
    };
    for (key, operations) in keys {
        match check_key(&operations) {
            Verdict::Fine => {}
            Verdict::Violated(violation) => report.violations.push(violation),
            Verdict::Undecided(why) => report.undecided.push((key, why)),
        }
    }
    report
}

/// Checks the operations of one key, which was absent before the first of them.
pub fn check_key(operations: &[&Operation]) -> Verdict {
    let any = |is: fn(&Call) -> bool| operations.iter().any(|operation| is(&operation.call));
    let is_counter = any(|call| matches!(call, Call::Increment { .. }));
    let is_list = any(|call| matches!(call, Call::Append { .. }));
    let replaces = any(|call| matches!(call, Call::Set { .. } | Call::Cas { .. } | Call::Delete));
    match (is_counter, is_list) {
        (false, false) => register::check(operations),
        _ if replaces => Verdict::Undecided("a counter or list that is also replaced"),
        (true, false) => steps::check_counter(operations),
        (false, true) => steps::check_list(operations),
        (true, true) => Verdict::Undecided("both a counter and a list"),
    }
}
