//! memcached's text protocol on a pair: maps requests parsed by `dkc_core::memcache` to commands, and outcomes to
//! memcached's replies.

mod alone;
mod answer;
mod statistics;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use dkc_core::kv::{Command, Expiry, Key, Read, Write};
use dkc_core::memcache::{Keys, Meta, Parser, RequestKind};

use super::memory::Share;
use super::output::Output;
use super::protocol::{Commands, Flow, Parsed, Part, Protocol, Request, Service};
use statistics::{Statistics, WriteKind};

/// The reply to `version`: the compatible release of memcached, because clients check its digits for supported
/// commands, then our own.
pub(super) const VERSION: &str = concat!("1.6.18-dkcd.", env!("CARGO_PKG_VERSION"));

/// One connection.
pub(super) struct Memcache {
    service: Arc<Service<Memcache>>,
    parser: Parser,
}

/// How a request is answered.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Text(&'static [u8]),
    Version,
    Get { with_version: bool, is_touch: bool },
    Write { kind: WriteKind, noreply: bool },
    Meta { meta: Meta, kind: Option<WriteKind> },
}

/// Requests that run alone.
pub(super) enum Alone {
    FlushAll { when: Expiry, noreply: bool },
    Stats { word: Bytes },
}

/// The commands of a get: one per key, created lazily.
#[derive(Debug, Clone)]
pub(super) struct Gets {
    keys: Keys,
    touch: Option<Expiry>,
}

impl Iterator for Gets {
    type Item = Command;

    fn next(&mut self) -> Option<Command> {
        Some(get(self.keys.next()?, self.touch))
    }
}

fn get(key: Key, touch: Option<Expiry>) -> Command {
    match touch {
        None => Command::Read(Read::Get { key }),
        Some(expiry) => Command::Write(Write::GetAndTouch { key, expiry }),
    }
}

fn gets(keys: Keys, touch: Option<Expiry>) -> Commands<Gets> {
    match keys.single() {
        Ok(key) => Commands::One(get(key, touch)),
        Err(keys) => Commands::Many(Gets { keys, touch }),
    }
}

impl Protocol for Memcache {
    type Statistics = Statistics;
    type Many = Gets;
    type Answer = Answer;
    type Alone = Alone;

    const TOO_MANY_CONNECTIONS: &'static [u8] = b"ERROR Too many open connections\r\n";

    fn new(service: Arc<Service<Memcache>>) -> Memcache {
        let parser = Parser::new(service.namespace.clone(), service.value_max_bytes);
        Memcache { service, parser }
    }

    fn parse(&mut self, input: &mut BytesMut) -> Parsed<Memcache> {
        use dkc_core::memcache::Parsed as Found;
        match self.parser.next(input) {
            Found::NeedMore { bytes_min } => Parsed::NeedMore { bytes_min },
            Found::Request(request) => understood(request.kind, request.noreply),
            Found::Answer(text) => {
                Parsed::Request(Request { commands: Commands::None, answer: Answer::Text(text) })
            }
            Found::Close => Parsed::Close,
            Found::Foreign(what) => {
                tracing::warn!(protocol = %what, "client connection closed: not memcached's text protocol");
                Parsed::Close
            }
        }
    }

    fn answer(&mut self, answer: &Answer, part: Part<'_>, output: &mut Output) -> Flow {
        answer::answer(&self.service, answer, part, output)
    }

    async fn alone(&mut self, request: Alone, _: &Arc<Share>, output: &mut Output) {
        alone::carry_out(&self.service, request, output).await;
    }

    fn refuse_unfinished(&mut self, input: &mut BytesMut, output: &mut Output) -> Flow {
        match self.parser.refuse_value(input) {
            Some(text) => {
                output.put(text);
                Flow::GoOn
            }
            None => Flow::Stop,
        }
    }
}

fn understood(kind: RequestKind, noreply: bool) -> Parsed<Memcache> {
    let (commands, answer) = match kind {
        RequestKind::Get { keys, with_version } => {
            let answer = Answer::Get { with_version, is_touch: false };
            (gets(keys, None), answer)
        }
        RequestKind::GetAndTouch { keys, expiry, with_version } => {
            let answer = Answer::Get { with_version, is_touch: true };
            (gets(keys, Some(expiry)), answer)
        }
        RequestKind::Write(write) => {
            let kind = WriteKind::of(&write);
            (Commands::One(Command::Write(write)), Answer::Write { kind, noreply })
        }
        RequestKind::Meta { command, meta } => {
            let kind = match &command {
                Command::Read(_) => None,
                Command::Write(write) => Some(WriteKind::of(write)),
            };
            (Commands::One(command), Answer::Meta { meta, kind })
        }
        RequestKind::FlushAll { when } => return Parsed::Alone(Alone::FlushAll { when, noreply }),
        RequestKind::Version => (Commands::None, Answer::Version),
        RequestKind::Stats { word } => return Parsed::Alone(Alone::Stats { word }),
    };
    Parsed::Request(Request { commands, answer })
}
