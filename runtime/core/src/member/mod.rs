//! Members as CHMPX shows them: the state notation, its hexadecimal code, the text blocks of the control socket and
//! the control words themselves.
//!
//! *Invariant:* text for people only; nothing in the cluster decides by it.

use std::fmt;

use crate::ring::{ActionProgress, InRing, MemberAction, Node};

#[cfg(test)]
mod tests;
mod text;
mod word;

pub use text::{all_status, dump, self_status, status_text, version};
pub use word::{BadControlWord, ControlWord};

/// A member's state: what the ring map says, and whether it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberState {
    /// By the ring map.
    pub in_ring: InRing,
    /// Whether it answered lately, as one node sees it; not part of the ring map.
    pub is_up: bool,
    /// The change under way.
    pub action: MemberAction,
    /// How far that change is.
    pub operate: ActionProgress,
    /// The process runs but does not serve, as with a full disk. (CHMPX: no server program has attached.)
    pub is_suspended: bool,
}

impl MemberState {
    /// Not suspended: the ring map does not know it.
    pub fn of(node: &Node, is_up: bool) -> MemberState {
        let Node { in_ring, action, operate, .. } = *node;
        MemberState { in_ring, is_up, action, operate, is_suspended: false }
    }

    /// CHMPX's status word: live 0x1, ring 0x30, action 0x300, operate 0x3000, suspend 0x10000.
    pub fn code(&self) -> u32 {
        let ring = match self.in_ring {
            InRing::ServiceOut => 0x10,
            InRing::ServiceIn => 0x20,
        };
        let action = match self.action {
            MemberAction::None => 0,
            MemberAction::Add => 0x100,
            MemberAction::Delete => 0x200,
        };
        let operate = match self.operate {
            ActionProgress::Nothing => 0,
            ActionProgress::Pending => 0x1000,
            ActionProgress::Doing => 0x2000,
            ActionProgress::Done => 0x3000,
        };
        u32::from(self.is_up) | ring | action | operate | if self.is_suspended { 0x1_0000 } else { 0 }
    }

    /// Whether CHMPX's table allows the combination. DOWN while being added, or while data is copied away, is not
    /// in that table, because CHMPX throws such a member out; here it stays (a crash is not a service-out), and
    /// NOT SAFE tells the reader that a merge waits for it.
    pub fn is_safe(&self) -> bool {
        use {ActionProgress as O, MemberAction as A};
        match (self.in_ring, self.is_up, self.action, self.operate) {
            (InRing::ServiceOut, _, action, operate) => (action, operate) == (A::None, O::Nothing),
            (InRing::ServiceIn, true, A::None, _) => true,
            (InRing::ServiceIn, true, A::Add | A::Delete, operate) => operate != O::Nothing,
            (InRing::ServiceIn, false, A::None, operate) => operate == O::Nothing,
            (InRing::ServiceIn, false, A::Delete, operate) => matches!(operate, O::Pending | O::Done),
            (InRing::ServiceIn, false, A::Add, _) => false,
        }
    }

    /// `0x21(SAFE -> [SERVICE IN][UP][n/a][Nothing][NoSuspend])`
    pub fn with_code(&self) -> String {
        let safe = if self.is_safe() { "SAFE" } else { "NOT SAFE" };
        format!("{:#x}({safe} -> {})", self.code(), self.words().concat())
    }

    fn words(&self) -> [String; 5] {
        let live = if self.is_up { "[UP]" } else { "[DOWN]" };
        let suspend = if self.is_suspended { "[Suspend]" } else { "[NoSuspend]" };
        [
            self.in_ring.to_string(),
            live.into(),
            self.action.to_string(),
            self.operate.to_string(),
            suspend.into(),
        ]
    }
}

/// `[SERVICE IN] [UP] [n/a] [Nothing] [NoSuspend]`
impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}
