//! Services for the line editor: completions, a grey hint of what may come next, and whether the
//! line is complete. The hint cannot be accepted.

use std::borrow::Cow;

use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hint, Hinter};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use super::expand::expand;
use crate::batch::is_quote_open;

/// Columns of a candidate before its description.
const CANDIDATE_WIDTH: usize = 24;
/// Longest description, so that a candidate fits on one line.
const ABOUT_MAX_CHARS: usize = 50;

pub struct LineHelper {
    pub has_color: bool,
    /// Words that stand before what is typed: those of a data prompt.
    pub before: Vec<String>,
}

impl Helper for LineHelper {}

impl Completer for LineHelper {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (words, last, begin) = typed_words(&self.before, &line[..position]);
        let found = crate::complete::line(crate::cli::line(), &words, last);
        let is_single = found.len() == 1;
        let pairs = found.into_iter().map(|suggestion| {
            // The value of `KEY=` follows without a space.
            let space = if is_single && !suggestion.word.ends_with('=') { " " } else { "" };
            Pair {
                display: display(&suggestion),
                replacement: format!("{}{space}", quoted(&suggestion.word)),
            }
        });
        Ok((begin, pairs.collect()))
    }
}

/// The words before the one being typed, that one, and where it begins.
fn typed_words<'l>(before: &[String], line: &'l str) -> (Vec<String>, &'l str, usize) {
    let begin = line.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let typed = shlex::split(&line[..begin]).unwrap_or_default();
    let words = before.iter().cloned().chain(typed).collect();
    // The grammar needs full words; after an ambiguous one there are no completions.
    let words = expand(words).map(|expanded| expanded.words).unwrap_or_default();
    (words, &line[begin..], begin)
}

fn quoted(word: &str) -> Cow<'_, str> {
    shlex::try_quote(word).unwrap_or(Cow::Borrowed(word))
}

fn display(suggestion: &crate::complete::Suggestion) -> String {
    let about: String =
        suggestion.help.lines().next().unwrap_or_default().chars().take(ABOUT_MAX_CHARS).collect();
    if about.is_empty() {
        return suggestion.word.clone();
    }
    format!("{:<CANDIDATE_WIDTH$} {about}", suggestion.word)
}

/// A hint that is shown and cannot be accepted.
pub struct Usage(String);

impl Hint for Usage {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for LineHelper {
    type Hint = Usage;

    fn hint(&self, line: &str, position: usize, _: &Context<'_>) -> Option<Usage> {
        if position < line.len() {
            return None;
        }
        usage_after(&self.before, line).map(Usage)
    }
}

/// What may follow the words of a line that ends in a space: nouns, or the words of the command.
fn usage_after(before: &[String], line: &str) -> Option<String> {
    if !line.ends_with(' ') || line.trim().is_empty() {
        return None;
    }
    let words = before.iter().cloned().chain(shlex::split(line)?).collect();
    let words = expand(words).ok()?.words;
    let mut page = crate::cli::line();
    page.build();
    for word in &words {
        page = page.find_subcommand(word)?.clone();
    }
    let nouns: Vec<&str> =
        page.get_subcommands().filter(|sub| !sub.is_hide_set()).map(|sub| sub.get_name()).collect();
    if !nouns.is_empty() {
        return Some(nouns.join("|"));
    }
    let usage = page.render_usage().to_string();
    let tail = usage.split_once(page.get_name())?.1.trim();
    (!tail.is_empty()).then(|| tail.to_owned())
}

impl Highlighter for LineHelper {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        if self.has_color { Cow::Owned(format!("\x1b[90m{hint}\x1b[0m")) } else { Cow::Borrowed(hint) }
    }
}

impl Validator for LineHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let is_open = context.input().ends_with('\\') || is_quote_open(context.input());
        Ok(if is_open { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_hint(line: &str, want: Option<&str>) {
        assert_eq!(usage_after(&[], line).as_deref(), want, "{line:?}");
    }

    #[test]
    fn the_hint_says_what_may_come_next() {
        check_hint("register ", Some("host|cluster|slave|pair|config"));
        check_hint("register host ", Some("[OPTIONS] <HOST>..."));
        check_hint("register cluster ", Some("[OPTIONS] --name <NAME> <HOST:PORT>..."));
        check_hint("regis", None);
        check_hint("nonsense ", None);
        check_hint(" ", None);
    }

    #[test]
    fn completion_knows_verbs_nouns_and_flags() {
        let complete = |line: &str| {
            let (words, last, _) = typed_words(&[], line);
            let found = crate::complete::line(crate::cli::line(), &words, last);
            found.into_iter().map(|s| s.word).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(complete("unreg"), "unregister");
        assert_eq!(complete("register "), "host cluster slave pair config");
        assert_eq!(complete("reg cl"), "cluster");
        assert_eq!(complete("restart cluster --ro"), "--rolling");
        assert_eq!(complete("-o j"), "json jsonl");
    }
}
