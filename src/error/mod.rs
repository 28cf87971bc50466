//! The error that a failed command returns, and the one table of exit statuses.
//!
//! *Invariant:* every error has a stable id from the registry in `codes`, which `explain` knows in two languages.
//! Nothing here prints; `src/ui` does.

pub mod codes;
mod language;

use std::fmt;

use dkc_inventory::edit::EditError;
use dkc_inventory::problem::{Problem, ProblemKind};
use dkc_inventory::yaml::YamlError;

pub use codes::Code;
pub use language::Language;

/// The exit statuses of `dkc`. They are part of the contract with scripts and never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Unknown = 3,
    Refused = 4,
    NotConfirmed = 5,
    Busy = 6,
    Unreachable = 7,
    PartlyApplied = 8,
    OutcomeUnknown = 9,
    Pending = 10,
    Degraded = 20,
    NotServing = 21,
    StatusUnknown = 22,
    Bug = 70,
    Interrupted = 130,
}

impl Exit {
    /// Every exit status, in order of its number.
    pub const ALL: [Exit; 16] = [
        Exit::Done,
        Exit::Failed,
        Exit::Usage,
        Exit::Unknown,
        Exit::Refused,
        Exit::NotConfirmed,
        Exit::Busy,
        Exit::Unreachable,
        Exit::PartlyApplied,
        Exit::OutcomeUnknown,
        Exit::Pending,
        Exit::Degraded,
        Exit::NotServing,
        Exit::StatusUnknown,
        Exit::Bug,
        Exit::Interrupted,
    ];

    pub fn number(self) -> u8 {
        self as u8
    }

    /// The status in words, for help and man pages.
    pub fn meaning(self) -> &'static str {
        match self {
            Exit::Done => "done, or nothing to do",
            Exit::Failed => "failed; the cause is printed",
            Exit::Usage => "invalid command line",
            Exit::Unknown => "unknown name or invalid inventory",
            Exit::Refused => "refused by a safety rule; nothing changed",
            Exit::NotConfirmed => "confirmation required or declined; nothing changed",
            Exit::Busy => "lock held or plan stale; nothing changed",
            Exit::Unreachable => "host unreachable, login refused, or host key not trusted",
            Exit::PartlyApplied => "partly applied; continue with resume",
            Exit::OutcomeUnknown => "outcome unknown",
            Exit::Pending => "changes pending (--dry-run --exit-code)",
            Exit::Degraded => "status: degraded",
            Exit::NotServing => "status: not serving",
            Exit::StatusUnknown => "status: unknown",
            Exit::Bug => "a bug in dkc",
            Exit::Interrupted => "interrupted",
        }
    }

    fn japanese(self) -> &'static str {
        match self {
            Exit::Done => "完了、または実行すべきことがない",
            Exit::Failed => "失敗。原因が表示されます",
            Exit::Usage => "コマンドラインが不正",
            Exit::Unknown => "未登録の名前、または不正なインベントリ",
            Exit::Refused => "安全規則による拒否。何も変更されていません",
            Exit::NotConfirmed => "確認が必要、または確認で中止。何も変更されていません",
            Exit::Busy => "ロック中、または計画が古い。何も変更されていません",
            Exit::Unreachable => "ホストに到達できない、ログイン拒否、またはホスト鍵が未承認",
            Exit::PartlyApplied => "一部のみ適用済み。resume で続行できます",
            Exit::OutcomeUnknown => "結果が不明",
            Exit::Pending => "未適用の変更あり (--dry-run --exit-code)",
            Exit::Degraded => "status: degraded",
            Exit::NotServing => "status: 応答できない状態",
            Exit::StatusUnknown => "status: unknown",
            Exit::Bug => "dkc の不具合",
            Exit::Interrupted => "中断された",
        }
    }

    /// The status in words of a language, for `explain` and the book.
    pub fn meaning_in(self, language: Language) -> &'static str {
        match language {
            Language::English => self.meaning(),
            Language::Japanese => self.japanese(),
        }
    }
}

/// A command's failure: what failed, why, the state now, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError {
    pub code: &'static Code,
    pub what: String,
    pub cause: Vec<String>,
    pub now: Option<String>,
    pub next: Option<String>,
    pub exit: Exit,
    /// Print nothing: the exit status suffices (`status --quiet`), or the output was printed already.
    pub is_silent: bool,
}

impl CommandError {
    pub fn new(code: &'static Code, what: impl Into<String>) -> CommandError {
        CommandError {
            code,
            what: what.into(),
            cause: Vec::new(),
            now: None,
            next: None,
            exit: code.exit,
            is_silent: false,
        }
    }

    /// Only an exit status; the output was printed already.
    pub fn silent(exit: Exit) -> CommandError {
        CommandError {
            exit,
            is_silent: true,
            ..CommandError::new(&codes::SEE_OUTPUT, "see the output above")
        }
    }

    /// A broken invariant of our own.
    pub fn bug(what: impl Into<String>) -> CommandError {
        CommandError::new(&codes::BUG, what)
    }

    /// Adds a cause; there can be several, such as one per host.
    pub fn cause(mut self, cause: impl Into<String>) -> CommandError {
        self.cause.push(cause.into());
        self
    }

    /// The state after the failure.
    pub fn now(mut self, now: impl Into<String>) -> CommandError {
        self.now = Some(now.into());
        self
    }

    /// What the operator can do next; printed as `try:`.
    pub fn next(mut self, next: impl Into<String>) -> CommandError {
        self.next = Some(next.into());
        self
    }

    /// The same for programs: one line of JSON.
    pub fn json(&self) -> String {
        let document = serde_json::json!({
            "id": self.code.to_string(),
            "what": self.what,
            "cause": self.cause,
            "now": self.now,
            "try": self.next,
            "exit": self.exit.number(),
        });
        document.to_string()
    }

    pub fn exit(mut self, exit: Exit) -> CommandError {
        self.exit = exit;
        self
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.code, indented(&self.what))?;
        for cause in &self.cause {
            write!(f, "\n  cause: {}", indented(cause))?;
        }
        if let Some(now) = &self.now {
            write!(f, "\n  now:   {}", indented(now))?;
        }
        if let Some(next) = &self.next {
            write!(f, "\n  try:   {}", indented(next))?;
        }
        Ok(())
    }
}

impl std::error::Error for CommandError {}

/// A refusal by pure code: nothing has changed.
impl From<Problem> for CommandError {
    fn from(problem: Problem) -> CommandError {
        let Some(code) = codes::find(problem.code) else {
            return CommandError::bug(format!("{} is not in the registry: {}", problem.code, problem.what));
        };
        let exit = match problem.kind {
            ProblemKind::Usage => Exit::Usage,
            ProblemKind::UnknownName => Exit::Unknown,
            ProblemKind::Refused => Exit::Refused,
            ProblemKind::Stale => Exit::Busy,
            ProblemKind::Unreachable => Exit::Unreachable,
        };
        let error = CommandError { cause: problem.cause, exit, ..CommandError::new(code, problem.what) };
        let error = error.now("nothing changed");
        if problem.advice.is_empty() { error } else { error.next(problem.advice.join("\n")) }
    }
}

impl From<EditError> for CommandError {
    fn from(error: EditError) -> CommandError {
        error.problem().into()
    }
}

impl From<YamlError> for CommandError {
    fn from(error: YamlError) -> CommandError {
        error.problem().into()
    }
}

/// Indents later lines to align with the first one's text.
fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n         ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_why_now_and_next() {
        let error = CommandError::new(&codes::LOCK_HELD, "the inventory is being changed")
            .cause("deploy by dkc@admin")
            .now("nothing changed")
            .next("wait, then type the command again");
        assert_eq!(
            error.to_string(),
            "error[DKC-E0810]: the inventory is being changed\n  cause: deploy by dkc@admin\n  \
             now:   nothing changed\n  try:   wait, then type the command again"
        );
    }

    #[test]
    fn every_exit_status_has_its_own_number_and_meaning() {
        let numbers: std::collections::BTreeSet<u8> = Exit::ALL.iter().map(|e| e.number()).collect();
        assert_eq!(numbers.len(), Exit::ALL.len());
        for language in [Language::English, Language::Japanese] {
            let meanings: std::collections::BTreeSet<&str> =
                Exit::ALL.iter().map(|e| e.meaning_in(language)).collect();
            assert_eq!(meanings.len(), Exit::ALL.len(), "{language:?}");
        }
    }
}
