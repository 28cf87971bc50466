//! One application: a connection to a slave in memcached's text protocol, one command at a time, and what an answer
//! says about the outcome. Whatever ends the connection with a command under way leaves its outcome unknown.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use dkc_history::{Call, Outcome, Reply};

/// Longer than a slave tries (`request_deadline_ms`), so that its own word is heard.
const ANSWER_MAX: Duration = Duration::from_secs(25);
/// A value is this many digits and as much filler as chance wants.
const DIGITS: usize = 20;

/// How the value of a key is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Digits and filler.
    Padded,
    /// A decimal number, for increments.
    Number,
    /// Numbers that each end with a comma, for appends.
    Pieces,
}

pub struct Application {
    stream: UnixStream,
    reader: BufReader<UnixStream>,
    line: Vec<u8>,
}

/// An answer that the protocol does not know: a bug of the daemon, or of this client.
#[derive(Debug)]
pub struct Odd(pub String);

impl Application {
    pub fn connect(socket: &Path) -> io::Result<Application> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        let reader = BufReader::new(stream.try_clone()?);
        Ok(Application { stream, reader, line: Vec::new() })
    }

    /// Carries out one command. The flag says whether the connection is still good.
    pub fn call(&mut self, key: u32, form: Form, call: &Call, filler: usize) -> Result<(Outcome, bool), Odd> {
        let request = request(key, form, call, filler);
        if self.stream.write_all(request.as_bytes()).is_err() {
            return Ok((Outcome::Unknown, false));
        }
        match self.answer(form) {
            Ok(Some(outcome)) => Ok((outcome, true)),
            Ok(None) => {
                Err(Odd(format!("{request:?} was answered {:?}", String::from_utf8_lossy(&self.line))))
            }
            Err(_) => Ok((Outcome::Unknown, false)),
        }
    }

    fn read_line(&mut self) -> io::Result<()> {
        self.line.clear();
        self.reader.read_until(b'\n', &mut self.line)?;
        match self.line.ends_with(b"\r\n") {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// `None` for what is no answer.
    fn answer(&mut self, form: Form) -> io::Result<Option<Outcome>> {
        self.read_line()?;
        let line = self.line.trim_ascii_end();
        let reply = match line {
            b"STORED" => Reply::Stored,
            b"NOT_STORED" => Reply::NotStored,
            b"EXISTS" => Reply::Exists,
            b"DELETED" => Reply::Deleted,
            b"NOT_FOUND" | b"END" => Reply::NotFound,
            _ if line.starts_with(b"VALUE ") => return self.value(form),
            _ if line.starts_with(b"SERVER_ERROR outcome unknown") => return Ok(Some(Outcome::Unknown)),
            _ if line.starts_with(b"SERVER_ERROR ") => return Ok(Some(Outcome::Refused)),
            b"ERROR Too many open connections" => return Ok(Some(Outcome::Refused)),
            _ => match number(line) {
                Some(number) => Reply::Number(number),
                None => return Ok(None),
            },
        };
        Ok(Some(Outcome::Done(reply)))
    }

    /// `VALUE key flags bytes [version]`, the value, `END`.
    fn value(&mut self, form: Form) -> io::Result<Option<Outcome>> {
        let head = String::from_utf8_lossy(&self.line).into_owned();
        let mut words = head.split_ascii_whitespace().skip(3);
        let Some(bytes) = words.next().and_then(|word| word.parse::<usize>().ok()) else { return Ok(None) };
        let version = words.next().and_then(|word| word.parse().ok());
        let mut data = vec![0; bytes + 2];
        self.reader.read_exact(&mut data)?;
        data.truncate(bytes);
        self.read_line()?;
        if self.line != b"END\r\n" {
            return Ok(None);
        }
        self.line = data;
        let data = &self.line;
        let reply = match form {
            Form::Padded => data.get(..DIGITS).and_then(number).map(|value| Reply::Value { value, version }),
            Form::Number => number(data).map(|value| Reply::Value { value, version: None }),
            Form::Pieces => pieces(data).map(Reply::Pieces),
        };
        Ok(reply.map(Outcome::Done))
    }
}

fn request(key: u32, form: Form, call: &Call, filler: usize) -> String {
    let store = |word: &str, value: u64, version: &str| {
        let value = match form {
            Form::Padded => format!("{value:0DIGITS$}{:x<filler$}", ""),
            Form::Number => value.to_string(),
            Form::Pieces => format!("{value},"),
        };
        format!("{word} chaos:{key} 0 0 {}{version}\r\n{value}\r\n", value.len())
    };
    match call {
        Call::Get if form == Form::Padded => format!("gets chaos:{key}\r\n"),
        Call::Get => format!("get chaos:{key}\r\n"),
        Call::Set { value } => store("set", *value, ""),
        Call::Add { value } => store("add", *value, ""),
        Call::Cas { version, value } => store("cas", *value, &format!(" {version}")),
        Call::Append { piece } => store("append", *piece, ""),
        Call::Delete => format!("delete chaos:{key}\r\n"),
        Call::Increment { by } => format!("incr chaos:{key} {by}\r\n"),
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.trim_end().parse().ok()
}

fn pieces(data: &[u8]) -> Option<Box<[u64]>> {
    let text = std::str::from_utf8(data).ok()?.strip_suffix(',')?;
    text.split(',').map(|piece| piece.parse().ok()).collect()
}
