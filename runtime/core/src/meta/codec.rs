//! Bytes of the meta group: one version byte, then postcard. Snapshots, log entries and answers all begin with the
//! version, so that a later release can read what an older one wrote.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{MetaCommand, MetaReply, MetaState, Splits, Tokens};

/// A state in which identities are revoked: they follow after what version 1 holds.
const STATE_WITH_REVOKED: u8 = 2;

/// A state of a cluster that has split a tablet: revoked identities and splits follow.
const STATE_WITH_SPLITS: u8 = 3;

/// A state of a cluster that has issued a token: revoked identities, splits and tokens follow.
const STATE_WITH_TOKENS: u8 = 4;

/// The newest version of a state.
pub const META_STATE_NEWEST: u8 = STATE_WITH_TOKENS;

/// The version that is written. Every version that was ever released stays readable.
pub const META_FORMAT_VERSION: u8 = 1;

/// Bytes that are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBytes {
    /// There is not even a version byte.
    #[error("the {what} is empty")]
    Empty {
        /// What was being decoded.
        what: &'static str,
    },
    /// Written by a later release, or not by dkc.
    #[error("the {what} has format version {found}; this program knows 1 to {META_FORMAT_VERSION}")]
    Version {
        /// What was being decoded.
        what: &'static str,
        /// The version byte.
        found: u8,
    },
    /// The version is known, but not the rest.
    #[error("the {what} is damaged: {why}")]
    Damaged {
        /// What was being decoded.
        what: &'static str,
        /// For people.
        why: String,
    },
}

/// The format version, then postcard.
pub(crate) fn encode_versioned<T: Serialize>(value: &T) -> Vec<u8> {
    // Writing to memory cannot fail, and every length of these types is known beforehand.
    postcard::to_extend(value, vec![META_FORMAT_VERSION]).expect("plain data always encodes")
}

pub(crate) fn decode_versioned<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, BadBytes> {
    let (&version, body) = bytes.split_first().ok_or(BadBytes::Empty { what })?;
    if version != META_FORMAT_VERSION {
        return Err(BadBytes::Version { what, found: version });
    }
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(BadBytes::Damaged { what, why: format!("{} bytes too many", rest.len()) }),
        Err(error) => Err(BadBytes::Damaged { what, why: error.to_string() }),
    }
}

impl MetaState {
    /// The lowest version that holds all there is: what follows the state stands in the order of the versions.
    pub fn format_version(&self) -> u8 {
        if self.tokens != Tokens::default() {
            STATE_WITH_TOKENS
        } else if self.splits != Splits::default() {
            STATE_WITH_SPLITS
        } else if !self.revoked.is_empty() {
            STATE_WITH_REVOKED
        } else {
            META_FORMAT_VERSION
        }
    }

    /// The format version, then the state.
    pub fn encode(&self) -> Vec<u8> {
        fn append<T: Serialize>(value: &T, bytes: Vec<u8>) -> Vec<u8> {
            postcard::to_extend(value, bytes).expect("plain data always encodes")
        }
        let (version, mut bytes) = (self.format_version(), encode_versioned(self));
        bytes[0] = version;
        if version >= STATE_WITH_REVOKED {
            bytes = append(&self.revoked, bytes);
        }
        if version >= STATE_WITH_SPLITS {
            bytes = append(&self.splits, bytes);
        }
        if version >= STATE_WITH_TOKENS {
            bytes = append(&self.tokens, bytes);
        }
        bytes
    }

    /// Reads what any release wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadBytes> {
        let what = "meta snapshot";
        let Some((&version @ STATE_WITH_REVOKED..=STATE_WITH_TOKENS, body)) = bytes.split_first() else {
            return decode_versioned(what, bytes);
        };
        let damaged = |error: postcard::Error| BadBytes::Damaged { what, why: error.to_string() };
        let (mut state, rest) = postcard::take_from_bytes::<MetaState>(body).map_err(damaged)?;
        let (revoked, mut rest) = postcard::take_from_bytes(rest).map_err(damaged)?;
        state.revoked = revoked;
        if version >= STATE_WITH_SPLITS {
            (state.splits, rest) = postcard::take_from_bytes(rest).map_err(damaged)?;
        }
        if version >= STATE_WITH_TOKENS {
            (state.tokens, rest) = postcard::take_from_bytes(rest).map_err(damaged)?;
        }
        if !rest.is_empty() {
            return Err(BadBytes::Damaged { what, why: format!("{} bytes too many", rest.len()) });
        }
        Ok(state)
    }
}

macro_rules! versioned {
    ($name:ident, $what:literal) => {
        impl $name {
            /// `META_FORMAT_VERSION`, then postcard.
            pub fn encode(&self) -> Vec<u8> {
                encode_versioned(self)
            }
            /// Refuses other versions, and bytes behind the value.
            pub fn decode(bytes: &[u8]) -> Result<Self, BadBytes> {
                decode_versioned($what, bytes)
            }
        }
    };
}
versioned!(MetaCommand, "meta command");
versioned!(MetaReply, "meta answer");
