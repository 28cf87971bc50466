//! Values that only those who know a passphrase can read. The cluster, its backups and other clients see ciphertext; the passphrase
//! and the key never leave this process.
//!
//! ```text
//! sealed value  "dkc-enc1", u32 iterations, 16 bytes salt, 12 bytes nonce, ciphertext, 16 bytes tag
//! ```
//!
//! The key is PBKDF2-HMAC-SHA256 of passphrase, salt and iterations; the cipher is AES-256-GCM, with everything before the nonce
//! as associated data. The name of the key is not part of it, so that a renamed value can still be read: whoever may write to the
//! cluster can put one sealed value in the place of another.
//!
//! *Invariant:* what was changed by a single bit, or sealed with another passphrase, is refused; no byte of it is given out.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::pbkdf2;
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::error::{CommandError, codes};
use crate::session::Session;
use crate::world::Secret;

const MAGIC: &[u8; 8] = b"dkc-enc1";
/// About a third of a second of one core for a guess.
const ITERATIONS: u32 = 600_000;
/// Somebody else may have written the value: more would only keep this machine busy.
const ITERATIONS_MAX: u32 = 10_000_000;
const SALT_BYTES: usize = 16;
const HEAD_BYTES: usize = MAGIC.len() + 4 + SALT_BYTES;
/// Largest file with a passphrase.
const PASSPHRASE_MAX_BYTES: usize = 4096;

// For commands that store a value.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Encrypt {
    /// Encrypt the value with a passphrase, which is asked for and never leaves this machine
    #[arg(long)]
    pub encrypt: bool,
    /// Encrypt the value with the passphrase in the first line of this file
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

// For commands that print values.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Decrypt {
    /// Decrypt values with their passphrase, which is asked for and never leaves this machine
    #[arg(long)]
    pub decrypt: bool,
    /// Decrypt values with the passphrase in the first line of this file
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

impl Encrypt {
    /// The value as it is stored.
    pub fn sealed(&self, session: &Session, values: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, CommandError> {
        let Some(passphrase) = passphrase(session, self.encrypt, self.passphrase_file.as_deref(), true)?
        else {
            return Ok(values);
        };
        let sealer = Sealer::new(&passphrase, ITERATIONS)?;
        values.iter().map(|value| sealer.seal(value)).collect()
    }
}

impl Decrypt {
    pub fn opener(&self, session: &Session) -> Result<Option<Opener>, CommandError> {
        let passphrase = passphrase(session, self.decrypt, self.passphrase_file.as_deref(), false)?;
        Ok(passphrase.map(|passphrase| Opener { passphrase, keys: HashMap::new() }))
    }
}

fn passphrase(
    session: &Session,
    is_asked: bool,
    file: Option<&Path>,
    is_new: bool,
) -> Result<Option<Secret>, CommandError> {
    if let Some(file) = file {
        return from_file(file).map(Some);
    }
    if !is_asked {
        return Ok(None);
    }
    let missing = || {
        CommandError::new(&codes::CONFIRMATION_NEEDED, "no passphrase was given")
            .now("nothing changed")
            .next("without a terminal: --passphrase-file FILE")
    };
    let asked = session.ui.ask_secret("Passphrase: ").ok_or_else(missing)?;
    if asked.reveal().is_empty() {
        return Err(missing());
    }
    if is_new && session.ui.ask_secret("The same passphrase again: ").ok_or_else(missing)? != asked {
        return Err(CommandError::new(&codes::BAD_VALUE, "the two passphrases differ").now("nothing changed"));
    }
    Ok(Some(asked))
}

fn from_file(file: &Path) -> Result<Secret, CommandError> {
    let cannot = |cause: String| {
        let what = format!("cannot read a passphrase from {}", file.display());
        CommandError::new(&codes::FILE_UNREADABLE, what).cause(cause).now("nothing changed")
    };
    let text = Zeroizing::new(std::fs::read(file).map_err(|error| cannot(error.to_string()))?);
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match std::str::from_utf8(line) {
        Ok(line) if (1..=PASSPHRASE_MAX_BYTES).contains(&line.len()) => Ok(Secret::new(line.to_owned())),
        _ => Err(cannot(format!("its first line must be text of 1 to {PASSPHRASE_MAX_BYTES} bytes"))),
    }
}

/// What `data attr` says of the cipher of a value; `None` if it is not encrypted.
pub fn cipher_of(value: &[u8]) -> Option<&'static str> {
    is_sealed(value).then_some("AES-256-GCM, PBKDF2-HMAC-SHA256")
}

pub fn is_sealed(value: &[u8]) -> bool {
    value.starts_with(MAGIC) && value.len() >= HEAD_BYTES + NONCE_LEN + AES_256_GCM.tag_len()
}

fn key_of(passphrase: &Secret, iterations: NonZeroU32, salt: &[u8]) -> LessSafeKey {
    let mut key = Zeroizing::new([0_u8; 32]);
    let secret = passphrase.reveal().as_bytes();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, secret, &mut key[..]);
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key[..]).expect("a key of this cipher has 32 bytes"))
}

/// Seals the values of one command: one salt, and a random nonce for each.
struct Sealer {
    head: Vec<u8>,
    key: LessSafeKey,
}

impl Sealer {
    fn new(passphrase: &Secret, iterations: u32) -> Result<Sealer, CommandError> {
        let salt: [u8; SALT_BYTES] = random()?;
        let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
        let head = [&MAGIC[..], &iterations.get().to_be_bytes(), &salt].concat();
        Ok(Sealer { head, key: key_of(passphrase, iterations, &salt) })
    }

    fn seal(&self, value: &[u8]) -> Result<Vec<u8>, CommandError> {
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut text = value.to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&self.head), &mut text)
            .map_err(|_| CommandError::new(&codes::BAD_VALUE, "the value is too large to be encrypted"))?;
        Ok([&self.head[..], &nonce, &text].concat())
    }
}

fn random<const N: usize>() -> Result<[u8; N], CommandError> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| CommandError::bug("the system gives no random numbers"))?;
    Ok(bytes)
}

/// Opens values with one passphrase.
pub struct Opener {
    passphrase: Secret,
    /// By what precedes the nonce: values of one command share it.
    keys: HashMap<Vec<u8>, LessSafeKey>,
}

impl Opener {
    /// A value that is not sealed is what it is.
    pub fn open(&mut self, value: Vec<u8>) -> Result<Vec<u8>, CommandError> {
        if !is_sealed(&value) {
            return Ok(value);
        }
        let (head, rest) = value.split_at(HEAD_BYTES);
        let (nonce, text) = rest.split_at(NONCE_LEN);
        let number = head[MAGIC.len()..].first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let iterations = NonZeroU32::new(number).filter(|number| number.get() <= ITERATIONS_MAX);
        let Some(iterations) = iterations else { return Err(wrong()) };
        let salt = &head[MAGIC.len() + 4..];
        let key =
            self.keys.entry(head.to_vec()).or_insert_with(|| key_of(&self.passphrase, iterations, salt));
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| wrong())?;
        let mut text = text.to_vec();
        let opened = key.open_in_place(nonce, Aad::from(head), &mut text).map_err(|_| wrong())?;
        Ok(opened.to_vec())
    }
}

fn wrong() -> CommandError {
    CommandError::new(&codes::WRONG_PASSPHRASE, "wrong passphrase, or the stored value was changed")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fewer, so that the test is quick.
    const FEW: u32 = 10;

    fn opener(passphrase: &str) -> Opener {
        Opener { passphrase: Secret::new(passphrase.into()), keys: HashMap::new() }
    }

    fn sealed(passphrase: &str, value: &[u8]) -> Vec<u8> {
        Sealer::new(&Secret::new(passphrase.into()), FEW).unwrap().seal(value).unwrap()
    }

    #[test]
    fn a_sealed_value_is_read_with_its_passphrase_only() {
        for value in [&b""[..], b"v", &[0xff; 100_000]] {
            let stored = sealed("right", value);
            assert!(is_sealed(&stored));
            assert_eq!(opener("right").open(stored.clone()).unwrap(), value);
            assert_eq!(opener("wrong").open(stored).unwrap_err().code.number, codes::WRONG_PASSPHRASE.number);
        }
        assert_ne!(sealed("right", b"v"), sealed("right", b"v"));
        assert_eq!(opener("any").open(b"plain".to_vec()).unwrap(), b"plain");
    }

    #[test]
    fn a_changed_or_shortened_value_is_refused() {
        let stored = sealed("right", b"value");
        for at in MAGIC.len()..stored.len() {
            let mut changed = stored.clone();
            changed[at] ^= 1;
            assert!(opener("right").open(changed).is_err(), "{at}");
        }
        // What is shorter than the least is not taken for a sealed value.
        for length in HEAD_BYTES + NONCE_LEN + AES_256_GCM.tag_len()..stored.len() {
            assert!(opener("right").open(stored[..length].to_vec()).is_err(), "{length}");
        }
    }

    #[test]
    fn a_value_that_would_keep_this_machine_busy_is_refused_at_once() {
        let mut stored = sealed("right", b"value");
        for number in [0, ITERATIONS_MAX + 1, u32::MAX] {
            stored[MAGIC.len()..MAGIC.len() + 4].copy_from_slice(&number.to_be_bytes());
            assert!(opener("right").open(stored.clone()).is_err());
        }
    }

    #[test]
    fn the_format_never_changes() {
        // Made with another library: PBKDF2 of Python's hashlib, AES of its package cryptography.
        let stored = hex::decode(GOLDEN).unwrap();
        assert_eq!(opener("correct horse").open(stored).unwrap(), b"battery staple");
    }

    const GOLDEN: &str = "646b632d656e6331000003e8000102030405060708090a0b0c0d0e0f000102030405060708090a0b3768e05599753e90418e6f672fe241c0122d8eb69fc0c9be67d4a372a519";
}
