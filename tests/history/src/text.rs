//! A history as text, one operation a line, so that a failed run can be kept, read, cut down and checked again:
//!
//! ```text
//! KEY CLIENT BEGIN END CALL OUTCOME
//! 7 2 1000 1350 cas 12 99 stored
//! 7 3 1100 1200 get value 41 12
//! ```

use std::fmt::Write;

use crate::operation::{Call, Operation, Outcome, Reply};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the history: {why}: {text}")]
pub struct BadLine {
    pub line: usize,
    pub why: &'static str,
    pub text: String,
}

/// Appends an operation and the end of its line.
pub fn write_line(out: &mut String, operation: &Operation) {
    let Operation { key, client, begin, end, call, outcome } = operation;
    let call = match call {
        Call::Get => "get".to_owned(),
        Call::Set { value } => format!("set {value}"),
        Call::Add { value } => format!("add {value}"),
        Call::Cas { version, value } => format!("cas {version} {value}"),
        Call::Delete => "delete".to_owned(),
        Call::Increment { by } => format!("increment {by}"),
        Call::Append { piece } => format!("append {piece}"),
    };
    // Writing to a string does not fail.
    let _ = write!(out, "{key} {client} {begin} {end} {call} ");
    match outcome {
        Outcome::Refused => out.push_str("refused"),
        Outcome::Unknown => out.push_str("unknown"),
        Outcome::Done(reply) => write_answer(out, reply),
    }
    out.push('\n');
}

fn write_answer(out: &mut String, reply: &Reply) {
    match reply {
        Reply::Value { value, version: Some(version) } => out.push_str(&format!("value {value} {version}")),
        Reply::Value { value, version: None } => out.push_str(&format!("value {value}")),
        Reply::Pieces(pieces) => {
            out.push_str("pieces");
            pieces.iter().for_each(|piece| out.push_str(&format!(" {piece}")));
        }
        Reply::Number(number) => out.push_str(&format!("number {number}")),
        Reply::Stored => out.push_str("stored"),
        Reply::NotStored => out.push_str("not_stored"),
        Reply::Exists => out.push_str("exists"),
        Reply::Deleted => out.push_str("deleted"),
        Reply::NotFound => out.push_str("not_found"),
    }
}

/// Reads what `write_line` wrote; empty lines and lines that begin with `#` are left out.
pub fn parse(text: &str) -> Result<Vec<Operation>, BadLine> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(at, line)| {
            parse_line(line).map_err(|why| BadLine { line: at + 1, why, text: line.to_owned() })
        })
        .collect()
}

/// Reads one line.
pub fn parse_line(line: &str) -> Result<Operation, &'static str> {
    let mut words = Words(line.split_ascii_whitespace());
    let key = words.number()?.try_into().map_err(|_| "the key is too large")?;
    let client = words.number()?.try_into().map_err(|_| "the client is too large")?;
    let (begin, end) = (words.number()?, words.number()?);
    if begin > end {
        return Err("it ends before it begins");
    }
    let call = words.call()?;
    let outcome = words.outcome()?;
    match words.0.next() {
        None => Ok(Operation { key, client, begin, end, call, outcome }),
        Some(_) => Err("there is more than one operation"),
    }
}

struct Words<'a>(std::str::SplitAsciiWhitespace<'a>);

impl Words<'_> {
    fn number(&mut self) -> Result<u64, &'static str> {
        self.0.next().and_then(|word| word.parse().ok()).ok_or("a number is missing")
    }

    fn call(&mut self) -> Result<Call, &'static str> {
        Ok(match self.0.next() {
            Some("get") => Call::Get,
            Some("set") => Call::Set { value: self.number()? },
            Some("add") => Call::Add { value: self.number()? },
            Some("cas") => Call::Cas { version: self.number()?, value: self.number()? },
            Some("delete") => Call::Delete,
            Some("increment") => Call::Increment { by: self.number()? },
            Some("append") => Call::Append { piece: self.number()? },
            _ => return Err("no such call"),
        })
    }

    fn outcome(&mut self) -> Result<Outcome, &'static str> {
        let reply = match self.0.next() {
            Some("refused") => return Ok(Outcome::Refused),
            Some("unknown") => return Ok(Outcome::Unknown),
            Some("value") => {
                let value = self.number()?;
                let version = self.0.next().map(|word| word.parse().map_err(|_| "the version is no number"));
                Reply::Value { value, version: version.transpose()? }
            }
            Some("pieces") => {
                let pieces: Result<Vec<u64>, _> = self.0.by_ref().map(str::parse).collect();
                Reply::Pieces(pieces.map_err(|_| "a piece is no number")?.into())
            }
            Some("number") => Reply::Number(self.number()?),
            Some("stored") => Reply::Stored,
            Some("not_stored") => Reply::NotStored,
            Some("exists") => Reply::Exists,
            Some("deleted") => Reply::Deleted,
            Some("not_found") => Reply::NotFound,
            _ => return Err("no such outcome"),
        };
        Ok(Outcome::Done(reply))
    }
}
