//! Commands from a file, standard input or `-c`, run in order until one fails.
//!
//! *Invariant:* the exit status is that of the first failed command, and its position (`FILE:LINE`) is printed.
//! No questions are asked, and verbs cannot be abbreviated.

use std::io::Read;
use std::path::PathBuf;

use crate::arguments::LINE_MAX_BYTES;
use crate::error::{CommandError, Exit, codes};
use crate::session::Session;

/// Longest batch: some hundred thousand commands.
const BATCH_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Where the commands of a batch come from.
pub enum Source {
    File(PathBuf),
    Standard,
    Words(String),
}

impl Source {
    fn name(&self) -> String {
        match self {
            Source::File(path) => path.display().to_string(),
            Source::Standard => "(standard input)".into(),
            Source::Words(_) => "-c".into(),
        }
    }

    fn read(&self) -> Result<Vec<u8>, CommandError> {
        let mut bytes = Vec::new();
        let read = match self {
            Source::Words(words) => return Ok(words.clone().into_bytes()),
            Source::Standard => std::io::stdin().lock().take(BATCH_MAX_BYTES + 1).read_to_end(&mut bytes),
            Source::File(path) => std::fs::File::open(path)
                .and_then(|file| file.take(BATCH_MAX_BYTES + 1).read_to_end(&mut bytes)),
        };
        let cannot = |cause: String| {
            CommandError::new(&codes::CANNOT_READ_BATCH, format!("cannot read commands from {}", self.name()))
                .cause(cause)
        };
        read.map_err(|e| cannot(e.to_string()))?;
        match bytes.len() as u64 > BATCH_MAX_BYTES {
            true => Err(cannot(format!("more than {BATCH_MAX_BYTES} bytes"))),
            false => Ok(bytes),
        }
    }
}

/// Runs a batch to its end or to the first command that fails.
pub async fn run(session: &mut Session, source: Source) -> Exit {
    let bytes = match source.read() {
        Ok(bytes) => bytes,
        Err(error) => {
            session.report(&error);
            return error.exit;
        }
    };
    for statement in statements(&bytes, matches!(source, Source::Words(_))) {
        let place = format!("{}:{}:", source.name(), statement.line);
        let words = match statement.words {
            Ok(words) => words,
            Err(error) => {
                session.ui.say(&place);
                session.report(&error);
                return error.exit;
            }
        };
        match crate::runner::run_words(session, words).await {
            None => return Exit::Done,
            Some(Exit::Done) => {}
            Some(exit) => {
                session.ui.say(&format!("{place} stopped here (exit {})", exit.number()));
                return exit;
            }
        }
    }
    Exit::Done
}

/// One command of a batch.
#[derive(Debug, PartialEq, Eq)]
pub struct Statement {
    /// The line it begins on, counting from 1.
    pub line: usize,
    pub words: Result<Vec<String>, CommandError>,
}

/// The commands in a text. A trailing `\` and an open quote continue on the next line; `#` begins a comment.
pub fn statements(bytes: &[u8], has_semicolons: bool) -> Vec<Statement> {
    let mut found = Vec::new();
    let mut pending = String::new();
    let mut first_line = 1;
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if pending.is_empty() {
            first_line = index + 1;
        }
        match line_text(line, pending.len()) {
            Ok(text) => pending.push_str(text),
            Err(error) => {
                found.push(Statement { line: index + 1, words: Err(error) });
                return found;
            }
        }
        if let Some(without) = pending.strip_suffix('\\') {
            pending.truncate(without.len());
            pending.push(' ');
        } else if is_quote_open(&pending) {
            pending.push('\n');
        } else {
            add(&mut found, first_line, &std::mem::take(&mut pending), has_semicolons);
        }
    }
    if !pending.trim().is_empty() {
        add(&mut found, first_line, &pending, has_semicolons);
    }
    found
}

/// The line as text, or why it is unreadable.
pub fn line_text(line: &[u8], before: usize) -> Result<&str, CommandError> {
    if line.len() + before > LINE_MAX_BYTES {
        return Err(CommandError::new(
            &codes::BAD_LINE,
            format!("the line is longer than {LINE_MAX_BYTES} bytes"),
        )
        .now("the line was not executed"));
    }
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    std::str::from_utf8(line).map_err(|e| {
        CommandError::new(
            &codes::BAD_LINE,
            format!("the line is not valid UTF-8 at byte {}", e.valid_up_to() + 1),
        )
        .now("the line was not executed")
    })
}

fn add(found: &mut Vec<Statement>, line: usize, text: &str, has_semicolons: bool) {
    let parts = if has_semicolons { split_at_semicolons(text) } else { vec![text.to_owned()] };
    for part in parts {
        match split(&part) {
            Ok(words) if words.is_empty() => {}
            words => found.push(Statement { line, words }),
        }
    }
}

/// Splits a line into words as a shell does; a comment has none.
pub fn split(line: &str) -> Result<Vec<String>, CommandError> {
    shlex::split(line).ok_or_else(|| {
        CommandError::new(&codes::BAD_LINE, "the line ends inside a quote or after a backslash")
            .now("the line was not executed")
    })
}

/// Whether more lines are needed to close a quote.
pub fn is_quote_open(text: &str) -> bool {
    Scan::over(text).quote.is_some()
}

fn split_at_semicolons(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut scan = Scan::default();
    for c in text.chars() {
        let was_outside = scan.quote.is_none() && !scan.is_escaped && !scan.is_comment;
        scan.step(c);
        if c == ';' && was_outside {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts
}

/// Position in shell-like text: inside a quote, after a backslash, in a comment.
struct Scan {
    quote: Option<char>,
    is_escaped: bool,
    is_comment: bool,
    is_word_begin: bool,
}

impl Default for Scan {
    fn default() -> Self {
        Scan { quote: None, is_escaped: false, is_comment: false, is_word_begin: true }
    }
}

impl Scan {
    fn over(text: &str) -> Scan {
        let mut scan = Scan::default();
        text.chars().for_each(|c| scan.step(c));
        scan
    }

    fn step(&mut self, c: char) {
        let was_word_begin = std::mem::replace(&mut self.is_word_begin, false);
        if self.is_comment {
            self.is_comment = c != '\n';
        } else if self.is_escaped {
            self.is_escaped = false;
        } else {
            match (self.quote, c) {
                (None | Some('"'), '\\') => self.is_escaped = true,
                (None, '#') if was_word_begin => self.is_comment = true,
                (None, '"' | '\'') => self.quote = Some(c),
                (Some(open), c) if open == c => self.quote = None,
                _ => {}
            }
        }
        if self.quote.is_none() && !self.is_escaped {
            self.is_word_begin = c.is_whitespace() || c == ';';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, has_semicolons: bool, want: &[(usize, &[&str])]) {
        let found: Vec<(usize, Vec<String>)> = statements(text.as_bytes(), has_semicolons)
            .into_iter()
            .map(|s| (s.line, s.words.expect("readable")))
            .collect();
        let want: Vec<(usize, Vec<String>)> =
            want.iter().map(|(line, words)| (*line, words.iter().map(|w| w.to_string()).collect())).collect();
        assert_eq!(found, want, "{text:?}");
    }

    #[test]
    fn lines_become_commands() {
        check(
            "show host\n\n# a comment\nlist host # the end\n",
            false,
            &[(1, &["show", "host"]), (4, &["list", "host"])],
        );
        check("show \\\n  host\nquit", false, &[(1, &["show", "host"]), (3, &["quit"])]);
        check(
            "data set k 'two\nlines'\r\nquit\r\n",
            false,
            &[(1, &["data", "set", "k", "two\nlines"]), (3, &["quit"])],
        );
        check("don#t stop", false, &[(1, &["don#t", "stop"])]);
    }

    #[test]
    fn semicolons_part_commands_of_c_only() {
        check("show host; list host;", true, &[(1, &["show", "host"]), (1, &["list", "host"])]);
        check("data set k 'a;b'", true, &[(1, &["data", "set", "k", "a;b"])]);
        check("data set k a;b", false, &[(1, &["data", "set", "k", "a;b"])]);
        check("# it's; fine", true, &[]);
    }

    #[test]
    fn what_is_not_a_line_is_refused_with_its_number() {
        let refused = |bytes: &[u8]| {
            let last = statements(bytes, false).pop().expect("a statement");
            (last.line, last.words.expect_err("refused").what)
        };
        assert_eq!(refused(b"show\n\xff\xfe\n"), (2, "the line is not valid UTF-8 at byte 1".into()));
        assert_eq!(refused(&[b'a'; LINE_MAX_BYTES + 1]), (1, "the line is longer than 1048576 bytes".into()));
        assert_eq!(
            refused(b"show 'host\nmore"),
            (1, "the line ends inside a quote or after a backslash".into())
        );
    }
}
