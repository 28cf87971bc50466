//! The text of a token: what a machine needs to become a slave, and nothing else. It names the cluster and its servers, and holds the
//! digest of the CA, so that the machine authenticates the cluster before it shows the secret.
//!
//! ```text
//! dkc-token-1.BASE64URL(postcard, then its xxh3 in 8 bytes, big endian)
//! ```
//!
//! *Invariant:* a text that was cut, damaged or written by another release is refused in words before anything is sent.
//! *Invariant:* `Debug` shows neither a secret nor its hash: commands are logged when they are refused.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use crate::ids::{ClusterId, NodeAddress};

/// Longest text: eight servers with long names and two CAs fit.
pub const TOKEN_TEXT_MAX_BYTES: usize = 4096;
/// Servers that a token names; any of them leads to the others.
pub const TOKEN_SERVERS_MAX: usize = 8;
/// Two while the CA is being replaced.
pub const TOKEN_AUTHORITIES_MAX: usize = 2;
/// How every text of a token begins.
pub const PREFIX: &str = "dkc-token-1.";
const CHECKSUM_BYTES: usize = 8;

/// Names a token; no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenId(pub Uuid);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl FromStr for TokenId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(TokenId)
    }
}

/// The SHA-256 of a secret: all that the cluster keeps of it.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretHash(pub [u8; 32]);

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

impl SecretHash {
    /// In time that does not depend on where they differ.
    pub fn is_equal(&self, other: &SecretHash) -> bool {
        self.0.iter().zip(&other.0).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
    }
}

/// 256 bits of the system's randomness.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub [u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What is written in a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// The cluster that issued it.
    pub cluster: ClusterId,
    /// Its name in `token list`.
    pub id: TokenId,
    /// Shown to a server whose chain ends in one of `authorities`, never before.
    pub secret: Secret,
    /// SHA-256 of the CA's certificate (DER).
    pub authorities: Vec<[u8; 32]>,
    /// Where servers listen.
    pub servers: Vec<NodeAddress>,
}

/// Not a token. The words never repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// Something else, or a later release's.
    #[error("not a token: it does not begin with {PREFIX}")]
    Prefix,
    /// More than any token has.
    #[error("not a token: longer than {TOKEN_TEXT_MAX_BYTES} bytes")]
    Long,
    /// A part is missing or changed.
    #[error("the token is damaged or incomplete; copy all of it")]
    Damaged,
}

impl JoinToken {
    /// The text, without a line end.
    pub fn encode(&self) -> String {
        let mut bytes = postcard::to_extend(self, Vec::new()).expect("plain data always encodes");
        let checksum = xxh3_64(&bytes).to_be_bytes();
        bytes.extend_from_slice(&checksum);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Blanks around it are of no matter.
    pub fn decode(text: &str) -> Result<JoinToken, BadToken> {
        let text = text.trim();
        if text.len() > TOKEN_TEXT_MAX_BYTES {
            return Err(BadToken::Long);
        }
        let body = text.strip_prefix(PREFIX).ok_or(BadToken::Prefix)?;
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| BadToken::Damaged)?;
        let length = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or(BadToken::Damaged)?;
        let (bytes, checksum) = bytes.split_at(length);
        if xxh3_64(bytes).to_be_bytes() != checksum {
            return Err(BadToken::Damaged);
        }
        let (token, rest): (JoinToken, _) =
            postcard::take_from_bytes(bytes).map_err(|_| BadToken::Damaged)?;
        let is_sound = rest.is_empty()
            && (1..=TOKEN_AUTHORITIES_MAX).contains(&token.authorities.len())
            && (1..=TOKEN_SERVERS_MAX).contains(&token.servers.len());
        if is_sound { Ok(token) } else { Err(BadToken::Damaged) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
        JoinToken {
            cluster: "11111111-1111-4111-8111-111111111111".parse().unwrap(),
            id: TokenId(Uuid::from_u128(7)),
            secret: Secret([0xa5; 32]),
            authorities: vec![[3; 32]],
            servers: vec!["10.77.0.11:8020".parse().unwrap(), "db.example:8020".parse().unwrap()],
        }
    }

    #[test]
    fn a_token_is_read_as_it_was_written_and_no_shorter_or_changed() {
        let text = token().encode();
        assert_eq!(JoinToken::decode(&format!(" {text}\n")), Ok(token()));
        for cut in 0..text.len() {
            let want = if cut < PREFIX.len() { BadToken::Prefix } else { BadToken::Damaged };
            assert_eq!(JoinToken::decode(&text[..cut]), Err(want), "cut at {cut}");
        }
        for at in PREFIX.len()..text.len() - 1 {
            let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
            let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            assert_eq!(JoinToken::decode(&changed), Err(BadToken::Damaged), "changed at {at}");
        }
        assert_eq!(JoinToken::decode(&format!("{text}AAAA")), Err(BadToken::Damaged));
        assert_eq!(JoinToken::decode(&"x".repeat(TOKEN_TEXT_MAX_BYTES + 1)), Err(BadToken::Long));
    }

    #[test]
    fn a_token_without_a_server_or_a_ca_is_refused() {
        let check = |change: fn(&mut JoinToken)| {
            let mut changed = token();
            change(&mut changed);
            assert_eq!(JoinToken::decode(&changed.encode()), Err(BadToken::Damaged));
        };
        check(|token| token.servers.clear());
        check(|token| token.authorities.clear());
        check(|token| token.authorities = vec![[1; 32]; TOKEN_AUTHORITIES_MAX + 1]);
        check(|token| token.servers = vec![token.servers[0].clone(); TOKEN_SERVERS_MAX + 1]);
    }

    #[test]
    fn neither_debug_nor_an_error_shows_the_secret() {
        let text = format!("{:?}", token());
        assert!(text.contains("Secret(…)") && !text.contains("165"), "{text}");
        assert_eq!(format!("{:?}", SecretHash([7; 32])), "SecretHash(…)");
        assert_eq!(JoinToken::decode("hunter2").unwrap_err().to_string().find("hunter2"), None);
    }

    #[test]
    fn equal_hashes_are_equal_and_one_bit_makes_a_difference() {
        let hash = SecretHash([9; 32]);
        assert!(hash.is_equal(&SecretHash([9; 32])));
        for at in 0..32 {
            let mut other = hash;
            other.0[at] ^= 1;
            assert!(!hash.is_equal(&other), "byte {at}");
        }
    }
}
