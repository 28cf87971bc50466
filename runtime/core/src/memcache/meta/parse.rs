//! The line of a meta command: its flags, and the command that it is.

use bytes::Bytes;

use super::{Meta, Verb};
use crate::control::Blob;
use crate::ids::Namespace;
use crate::kv::{Adjustment, Command, Delta, Expiry, Initial, Key, Read, StoreMode, Write, number};
use crate::memcache::expiry::expiry;
use crate::memcache::line::next_word;
use crate::memcache::{BAD_FORMAT, KEY_MAX_BYTES};

/// memcached's limit for an opaque, with its letter.
const OPAQUE_MAX_BYTES: usize = 32;

const BAD_KEY: &[u8] = b"CLIENT_ERROR error decoding key\r\n";
const BAD_TOKEN: &[u8] = b"CLIENT_ERROR bad token in command line format\r\n";
const BAD_MODE_LENGTH: &[u8] = b"CLIENT_ERROR incorrect length for M token\r\n";
const BAD_SET_MODE: &[u8] = b"CLIENT_ERROR invalid mode for ms M token\r\n";
const BAD_ARITHMETIC_MODE: &[u8] = b"CLIENT_ERROR invalid mode for ma M token\r\n";
const BAD_DELTA: &[u8] = b"CLIENT_ERROR invalid numeric delta value\r\n";
const BAD_INITIAL: &[u8] = b"CLIENT_ERROR invalid numeric initial value\r\n";
const BAD_FLAG: &[u8] = b"CLIENT_ERROR invalid flag\r\n";
const DUPLICATE_FLAG: &[u8] = b"CLIENT_ERROR duplicate flag\r\n";
const OPAQUE_TOO_LONG: &[u8] = b"CLIENT_ERROR opaque token too long\r\n";
/// What `md` and `ma` say to all of these.
const BAD_OR_DUPLICATE_FLAG: &[u8] = b"CLIENT_ERROR invalid or duplicate flag\r\n";
/// Not memcached's words: it has the state that these flags are about.
const UNSUPPORTED: &[u8] = b"CLIENT_ERROR unsupported flag\r\n";

/// What flags say.
#[derive(Debug, Default)]
struct Flags {
    is_base64: bool,
    is_quiet: bool,
    wants_value: bool,
    /// Asks about the use of a record (h, l).
    wants_use: bool,
    is_invalidation: bool,
    /// Wins the right to recache a record before it expires (R).
    wants_recache: bool,
    is_opaque_too_long: bool,
    client_flags: u32,
    mode: Option<u8>,
    expiry: Option<Expiry>,
    vivify: Option<Expiry>,
    version: Option<u64>,
    delta: Option<u64>,
    initial: Option<u64>,
}

/// A line that has been cut into its key and its flags.
pub(in crate::memcache) struct MetaLine {
    pub verb: Verb,
    pub key: Bytes,
    pub flags: Bytes,
}

/// What is known of a `ms` before its value has come.
pub(in crate::memcache) struct SetHead {
    pub key: Key,
    pub mode: StoreMode,
    pub flags: u32,
    pub expiry: Expiry,
    pub meta: Meta,
}

impl MetaLine {
    /// Every command but `ms`.
    pub fn command(self, namespace: &Namespace) -> Result<(Command, Meta), &'static [u8]> {
        let (verb, flags, key) = self.read(namespace)?;
        let command = match verb {
            Verb::Get => get(key, &flags)?,
            Verb::Delete if flags.is_invalidation => return Err(UNSUPPORTED),
            Verb::Delete => Command::Write(Write::Delete { key, version: flags.version }),
            Verb::Arithmetic => Command::Write(adjust(key, &flags)?),
            Verb::Debug | Verb::Set => Command::Read(Read::Get { key }),
        };
        Ok((command, self.meta(&flags)))
    }

    pub fn set(self, namespace: &Namespace) -> Result<SetHead, &'static [u8]> {
        let (_, flags, key) = self.read(namespace)?;
        if flags.is_invalidation && flags.version.is_some() {
            return Err(UNSUPPORTED);
        }
        Ok(SetHead {
            key,
            mode: set_mode(&flags)?,
            flags: flags.client_flags,
            expiry: flags.expiry.unwrap_or(Expiry::Never),
            meta: self.meta(&flags),
        })
    }

    fn read(&self, namespace: &Namespace) -> Result<(Verb, Flags, Key), &'static [u8]> {
        if self.key.len() > KEY_MAX_BYTES {
            return Err(BAD_FORMAT);
        }
        let mut key = Key { namespace: namespace.clone(), bytes: self.key.clone() };
        let flags = Flags::read(&self.flags, &mut key).map_err(|error| match self.verb {
            Verb::Get | Verb::Set => error,
            Verb::Delete | Verb::Arithmetic => BAD_OR_DUPLICATE_FLAG,
            Verb::Debug => BAD_FORMAT,
        })?;
        if flags.is_opaque_too_long {
            return Err(OPAQUE_TOO_LONG);
        }
        Ok((self.verb, flags, key))
    }

    fn meta(self, flags: &Flags) -> Meta {
        let Flags { is_base64, is_quiet, wants_value, .. } = *flags;
        Meta { verb: self.verb, key: self.key, is_base64, is_quiet, wants_value, flags: self.flags }
    }
}

impl Flags {
    /// An unknown or duplicate flag is reported at once; of other errors memcached reports the last. A key in base64
    /// is decoded.
    fn read(words: &[u8], key: &mut Key) -> Result<Flags, &'static [u8]> {
        let (mut flags, mut seen, mut at) = (Flags::default(), 0u128, 0);
        let mut error = None;
        while let Some(word) = next_word(words, at) {
            at = word.end;
            let (letter, token) = (words[word.start], &words[word.start + 1..word.end]);
            let bit = 1u128.checked_shl(u32::from(letter)).ok_or(BAD_FLAG)?;
            if seen & bit != 0 {
                return Err(DUPLICATE_FLAG);
            }
            seen |= bit;
            let read = match letter {
                b'b' => decode(key),
                _ => flags.flag(letter, token),
            };
            match read {
                Err(BAD_FLAG) => return Err(BAD_FLAG),
                Err(other) => error = Some(other),
                Ok(()) => flags.is_base64 |= letter == b'b',
            }
        }
        error.map_or(Ok(flags), Err)
    }

    fn flag(&mut self, letter: u8, token: &[u8]) -> Result<(), &'static [u8]> {
        let number = || number::parse(token);
        match letter {
            b'q' => self.is_quiet = true,
            b'v' => self.wants_value = true,
            b'h' | b'l' => self.wants_use = true,
            b'I' => self.is_invalidation = true,
            b'T' => self.expiry = Some(expiry(token).ok_or(BAD_TOKEN)?),
            b'N' => self.vivify = Some(expiry(token).ok_or(BAD_TOKEN)?),
            b'R' => {
                expiry(token).ok_or(BAD_TOKEN)?;
                self.wants_recache = true;
            }
            b'C' => self.version = Some(number().ok_or(BAD_TOKEN)?),
            b'F' => {
                self.client_flags = number().and_then(|flags| u32::try_from(flags).ok()).ok_or(BAD_FORMAT)?;
            }
            b'D' => self.delta = Some(number().ok_or(BAD_DELTA)?),
            b'J' => self.initial = Some(number().ok_or(BAD_INITIAL)?),
            b'M' => match token {
                [mode] => self.mode = Some(*mode),
                _ => return Err(BAD_MODE_LENGTH),
            },
            b'O' => self.is_opaque_too_long = token.len() >= OPAQUE_MAX_BYTES,
            b'P' | b'L' | b'k' | b's' | b't' | b'c' | b'f' | b'u' => {}
            _ => return Err(BAD_FLAG),
        }
        Ok(())
    }
}

fn decode(key: &mut Key) -> Result<(), &'static [u8]> {
    let text = std::str::from_utf8(&key.bytes).map_err(|_| BAD_KEY)?;
    key.bytes = Blob::Base64(text.to_owned()).to_bytes().map_err(|_| BAD_KEY)?.into();
    Ok(())
}

fn get(key: Key, flags: &Flags) -> Result<Command, &'static [u8]> {
    if flags.wants_use || flags.wants_recache || flags.vivify.is_some() {
        return Err(UNSUPPORTED);
    }
    Ok(match flags.expiry {
        None => Command::Read(Read::Get { key }),
        Some(expiry) => Command::Write(Write::GetAndTouch { key, expiry }),
    })
}

fn set_mode(flags: &Flags) -> Result<StoreMode, &'static [u8]> {
    Ok(match (flags.mode.unwrap_or(b'S'), flags.version) {
        (b'E', _) => StoreMode::Add,
        (b'A', None) => StoreMode::Append,
        (b'A', Some(version)) => StoreMode::AppendIf(version),
        (b'P', None) => StoreMode::Prepend,
        (b'P', Some(version)) => StoreMode::PrependIf(version),
        (b'S' | b'R', Some(version)) => StoreMode::Cas(version),
        (b'S', None) => StoreMode::Set,
        (b'R', None) => StoreMode::Replace,
        _ => return Err(BAD_SET_MODE),
    })
}

fn adjust(key: Key, flags: &Flags) -> Result<Write, &'static [u8]> {
    let is_decrement = match flags.mode.unwrap_or(b'I') {
        b'I' | b'+' => false,
        b'D' | b'-' => true,
        _ => return Err(BAD_ARITHMETIC_MODE),
    };
    let initial = flags.vivify.map(|expiry| {
        let value = flags.initial.unwrap_or(0).to_string().into_bytes().into();
        Initial { value, expiry }
    });
    let delta = Delta::Unsigned { by: flags.delta.unwrap_or(1), is_decrement };
    let adjustment = Adjustment { delta, initial, version: flags.version, expiry: flags.expiry };
    Ok(Write::Adjust { key, adjustment: Box::new(adjustment) })
}
