//! Console blocks of the book: what a page says that is typed and seen is typed at a real place and compared with what is seen.
//! *Invariant:* every line of every console block is either typed or compared; what differs from run to run (times, sizes, ids) is
//! compared by its shape. `UPDATE=1 cargo test` writes what was seen; accept it by reading it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::masks::masked;
use crate::support::wait_for;

const FENCE: &str = "```";
const CONSOLE: &str = "```console";
/// Stands in a page for any number of lines.
const ELLIPSIS: &str = "…";
/// A remark of a page to its test: something that happens to the machines meanwhile.
const ASIDE: &str = "<!-- meanwhile: ";

/// Something typed, and what a person sees of it.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// `(dkc) `, `$ ` or `10.77.0.15$ `: who is typed at.
    pub prompt: String,
    pub line: String,
    /// Questions with their answers are lines of it.
    pub seen: Vec<String>,
    /// The line in the page.
    pub at: usize,
}

impl Step {
    /// The answers in their order: what follows a question on its line.
    pub fn answers(&self) -> Vec<String> {
        const QUESTIONS: [&str; 3] = ["[y/N]", "[Y/n]", "to continue:"];
        let answer = |line: &String| {
            let question = QUESTIONS.iter().find(|question| line.contains(*question))?;
            Some(line.split(question).nth(1)?.trim().to_owned())
        };
        self.seen.iter().filter_map(answer).collect()
    }
}

#[derive(Debug, Clone)]
enum Part {
    Prose(String),
    Step(Step),
    Aside(String),
}

impl Part {
    fn step(&self) -> Option<&Step> {
        if let Part::Step(step) = self { Some(step) } else { None }
    }
}

/// A page of the book.
#[derive(Debug, Clone)]
pub struct Page {
    path: PathBuf,
    parts: Vec<Part>,
}

/// Where the commands of a page run.
pub trait Place {
    /// Types a line and says what was seen of it.
    fn run(&mut self, step: &Step) -> String;
    /// The prompt of dkc that asks for a line.
    fn prompt(&mut self) -> String;
    /// Lets something happen, or waits for it.
    fn aside(&mut self, what: &str);
}

/// The remark that lets a page wait until `status --short` has nothing to say against any node: a slave may take a moment to
/// connect to a server that has just started.
pub const ALL_RUN: &str = "all nodes run";

/// Waits for it, with a limit.
#[track_caller]
pub fn wait_until_all_run(status: impl Fn() -> String) {
    wait_for("all nodes to run", Duration::from_secs(60), || {
        let said = status();
        (!said.is_empty() && said.lines().all(|line| line.ends_with(": running"))).then_some(())
    });
}

impl Page {
    #[track_caller]
    pub fn read(path: &str) -> Page {
        let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"));
        Page { path: path.into(), parts: parts(&text) }
    }

    pub fn steps(&self) -> Vec<&Step> {
        self.parts.iter().filter_map(Part::step).collect()
    }

    /// Runs every line of its blocks and compares.
    #[track_caller]
    pub fn play(mut self, place: &mut impl Place) {
        let is_update = std::env::var_os("UPDATE").is_some();
        for at in 0..self.parts.len() {
            let changed = match &self.parts[at] {
                Part::Prose(_) => None,
                Part::Aside(line) => {
                    place.aside(line[ASIDE.len()..].trim_end_matches("-->").trim());
                    None
                }
                Part::Step(step) => {
                    let is_dkc = step.prompt.starts_with("(dkc");
                    let prompt = if is_dkc { place.prompt() } else { step.prompt.clone() };
                    let seen = tidy(&place.run(step));
                    let is_same = prompt == step.prompt && is_like(&seen, &tidy(&step.seen.join("\n")));
                    assert!(is_same || is_update, "{}", difference(&self.path, step, &prompt, &seen));
                    (!is_same).then(|| Step { prompt, seen, ..step.clone() })
                }
            };
            if let Some(step) = changed {
                self.parts[at] = Part::Step(step);
                std::fs::write(&self.path, self.text()).expect("written");
            }
        }
    }

    fn text(&self) -> String {
        let lines = self.parts.iter().flat_map(|part| match part {
            Part::Prose(line) | Part::Aside(line) => vec![line.clone()],
            Part::Step(step) => [vec![format!("{}{}", step.prompt, step.line)], step.seen.clone()].concat(),
        });
        lines.map(|line| format!("{line}\n")).collect()
    }
}

fn difference(path: &Path, step: &Step, prompt: &str, seen: &[String]) -> String {
    format!(
        "{}:{}: what was seen of `{}{}` differs:\n{prompt}\n{}\n--- the page says\n{}",
        path.display(),
        step.at,
        step.prompt,
        step.line,
        seen.join("\n"),
        step.seen.join("\n")
    )
}

fn parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut is_console = false;
    for (number, line) in text.lines().enumerate() {
        if line.starts_with(FENCE) {
            is_console = line == CONSOLE;
            parts.push(Part::Prose(line.to_owned()));
        } else if !is_console && line.starts_with(ASIDE) {
            parts.push(Part::Aside(line.to_owned()));
        } else if !is_console {
            parts.push(Part::Prose(line.to_owned()));
        } else if let Some((prompt, typed)) = prompt_of(line) {
            let (prompt, line) = (prompt.to_owned(), typed.to_owned());
            parts.push(Part::Step(Step { prompt, line, seen: Vec::new(), at: number + 1 }));
        } else {
            let Some(Part::Step(step)) = parts.last_mut() else {
                panic!("line {}: no command before it", number + 1)
            };
            step.seen.push(line.to_owned());
        }
    }
    parts
}

/// A line in two: the prompt with its blank, and what is typed there.
pub fn prompt_of(line: &str) -> Option<(&str, &str)> {
    let end = match line {
        _ if line.starts_with("(dkc") => line.find(") ")? + 2,
        _ => {
            let end = line.find("$ ")?;
            let is_host = line[..end].chars().all(|c| c.is_ascii_digit() || c == '.');
            is_host.then_some(end + 2)?
        }
    };
    Some(line.split_at(end))
}

/// Lines without blanks at their ends, without empty lines around them.
fn tidy(text: &str) -> Vec<String> {
    let lines: Vec<String> = text.lines().map(|line| line.trim_end().to_owned()).collect();
    let is_text = |line: &String| !line.is_empty();
    let first = lines.iter().position(is_text).unwrap_or(lines.len());
    let end = lines.iter().rposition(is_text).map_or(first, |last| last + 1);
    lines[first..end].to_vec()
}

/// Whether lines are what a page says, each by its shape; an ellipsis is any number of them.
fn is_like(seen: &[String], wanted: &[String]) -> bool {
    let seen: Vec<String> = seen.iter().map(|line| masked(line)).collect();
    let wanted: Vec<String> = wanted.iter().map(|line| masked(line)).collect();
    let pieces: Vec<&[String]> = wanted.split(|line| line.trim() == ELLIPSIS).collect();
    let [first, between @ .., last] = pieces.as_slice() else { return seen == wanted };
    let Some(mut rest) = seen.strip_prefix(*first) else { return false };
    for piece in between {
        let Some(at) = (0..=rest.len()).find(|at| rest[*at..].starts_with(piece)) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_page_is_taken_apart_and_put_together_again() {
        let text =
            "# T\n\n```console\n$ dkc\n(dkc:c0*) show x\nApply? [y/N] y\n```\n<!-- meanwhile: kill h1 -->\n";
        let page = Page { path: PathBuf::new(), parts: parts(text) };
        assert_eq!(page.text(), text);
        let steps = page.steps();
        assert_eq!((steps[0].prompt.as_str(), steps[0].line.as_str()), ("$ ", "dkc"));
        assert_eq!((steps[1].prompt.as_str(), steps[1].line.as_str()), ("(dkc:c0*) ", "show x"));
        assert_eq!(steps[1].answers(), ["y"]);
        assert_eq!(prompt_of("10.77.0.15$ ls"), Some(("10.77.0.15$ ", "ls")));
        assert_eq!(prompt_of("costs 5$ "), None);
    }

    #[test]
    fn what_changes_in_a_line_is_noticed_and_an_ellipsis_leaves_lines_out() {
        assert!(is_like(&lines("a\nb\nc"), &lines("a\nb\nc")));
        assert!(!is_like(&lines("a\nb\nc"), &lines("a\nb")));
        assert!(!is_like(&lines("a\nb\nc"), &lines("a\nx\nc")));
        assert!(is_like(&lines("a\nb\nc\nd"), &lines("a\n…\nd")));
        assert!(!is_like(&lines("a\nb\nc\nd"), &lines("a\n…\nc")));
        assert!(!is_like(&lines("a"), &lines("a\n…\na")));
        assert!(!is_like(&lines("a\nb\nc\nd\ne"), &lines("a\n…\nd\n…\nc\n…\ne")));
        assert!(is_like(&lines("a\nb\nc\nd\ne"), &lines("a\n…\nc\n…\ne")));
    }
}
