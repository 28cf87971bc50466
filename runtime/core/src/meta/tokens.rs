//! Tokens: whoever holds one may have a slave enrolled without SSH. What is here decides; the door only hashes and asks.
//!
//! *Invariant (A1):* an expired, revoked, used-up or unknown token enrols nobody, and a token with n uses left enrols n slaves at most,
//! however many ask at once: it is checked where the entry is applied.
//! *Invariant:* time comes with the entry. A token that one entry saw expire stays expired, whatever the clock of the next one says.
//! *Invariant:* no secret is here, only its SHA-256.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::apply::Outcome;
use super::{MetaReply, MetaState, Refused};
use crate::ids::{Namespace, NodeUuid, SlaveId};
use crate::token::{SecretHash, TokenId};

/// Tokens that are remembered, dead ones included; the oldest dead one makes room for a new one.
pub const TOKENS_MAX: usize = 1024;
/// Slaves that are remembered as enrolled by a token.
pub const ENROLLED_MAX: usize = 16_384;
/// The longest that a token lives: there is no "never".
pub const TOKEN_TTL_MAX_MS: u64 = 7 * 24 * 3600 * 1000;
/// The most slaves that one token enrols.
pub const TOKEN_USES_MAX: u32 = 1000;
/// Longest label, in bytes.
pub const TOKEN_LABEL_MAX_BYTES: usize = 128;
/// Namespaces of one token.
pub const TOKEN_NAMESPACES_MAX: usize = 16;
/// The first id of a slave that a token enrolled; ids of the inventory are the smallest free ones, far below.
pub const ENROLLED_ID_FIRST: SlaveId = SlaveId(1_000_000);
/// How far the clock of the server that redeems may be behind that of the one that issued.
const CLOCK_TOLERANCE_MS: u64 = crate::certificate::CLOCK_TOLERANCE_S as u64 * 1000;

/// A token as it was issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewToken {
    /// Names it in lists and in the token itself; no secret.
    pub id: TokenId,
    /// All that is kept of the secret.
    pub hash: SecretHash,
    /// What its slaves may use.
    pub namespaces: Vec<Namespace>,
    /// How many slaves it enrols.
    pub uses: u32,
    /// From the moment of the entry.
    pub ttl_ms: u64,
    /// For people.
    pub label: String,
    /// Who issued it, as in `ann@admin1`.
    pub by: String,
}

/// Why a token enrols nobody any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenEnd {
    /// All its uses are taken.
    UsedUp,
    /// An entry came after its end.
    Expired,
    /// By whom.
    Revoked(String),
}

/// A token and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Token {
    new: NewToken,
    issued_at_ms: u64,
    uses_left: u32,
    end: Option<TokenEnd>,
}

/// A slave that a token enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolledSlave {
    /// The id that operators know it by.
    pub id: SlaveId,
    /// The token that it showed.
    pub token: TokenId,
    /// What its certificate is bound to.
    pub namespaces: Vec<Namespace>,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// A token as lists show it: without the hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    /// What `token revoke` takes.
    pub id: TokenId,
    /// What its slaves may use.
    pub namespaces: Vec<Namespace>,
    /// How many slaves it enrols in all.
    pub uses: u32,
    /// How many more it enrols, unless it has ended.
    pub uses_left: u32,
    /// In milliseconds since the Unix epoch.
    pub issued_at_ms: u64,
    /// In milliseconds since the Unix epoch.
    pub expires_at_ms: u64,
    /// `None` while it enrols.
    pub end: Option<TokenEnd>,
    /// As it was issued.
    pub label: String,
    /// Who issued it.
    pub by: String,
}

/// All that the meta group remembers of tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    tokens: BTreeMap<TokenId, Token>,
    enrolled: BTreeMap<NodeUuid, EnrolledSlave>,
}

impl Token {
    fn expires_at_ms(&self) -> u64 {
        self.issued_at_ms.saturating_add(self.new.ttl_ms)
    }

    fn view(&self) -> TokenView {
        let new = &self.new;
        TokenView {
            id: new.id,
            namespaces: new.namespaces.clone(),
            uses: new.uses,
            uses_left: self.uses_left,
            issued_at_ms: self.issued_at_ms,
            expires_at_ms: self.expires_at_ms(),
            end: self.end.clone(),
            label: new.label.clone(),
            by: new.by.clone(),
        }
    }
}

impl Tokens {
    fn expire(&mut self, now_ms: u64) {
        for token in self.tokens.values_mut() {
            if token.end.is_none() && token.expires_at_ms() <= now_ms {
                token.end = Some(TokenEnd::Expired);
            }
        }
    }

    /// Dead tokens go first, the longest issued of them.
    fn make_room(&mut self) -> bool {
        if self.tokens.len() < TOKENS_MAX {
            return true;
        }
        let dead = self.tokens.values().filter(|token| token.end.is_some());
        let oldest = dead.min_by_key(|token| (token.issued_at_ms, token.new.id)).map(|token| token.new.id);
        oldest.is_some_and(|id| self.tokens.remove(&id).is_some())
    }

    fn next_id(&self) -> SlaveId {
        let last = self.enrolled.values().map(|slave| slave.id.0).max();
        last.map_or(ENROLLED_ID_FIRST, |last| SlaveId(last + 1))
    }
}

impl NewToken {
    /// The rule that it breaks.
    pub fn flaw(&self) -> Option<String> {
        let bounds = |what: &str, max: usize| Some(format!("{what}; at most {max}"));
        if self.uses == 0 || self.uses > TOKEN_USES_MAX {
            return Some(format!("uses are 1 to {TOKEN_USES_MAX}"));
        }
        if self.ttl_ms == 0 || self.ttl_ms > TOKEN_TTL_MAX_MS {
            return Some("a token lives for 1 ms to 7 days".into());
        }
        if self.label.len() > TOKEN_LABEL_MAX_BYTES {
            return bounds("the label is too long, in bytes", TOKEN_LABEL_MAX_BYTES);
        }
        if self.namespaces.is_empty() {
            return Some("it names no namespace".into());
        }
        if self.namespaces.len() > TOKEN_NAMESPACES_MAX {
            return bounds("it names too many namespaces", TOKEN_NAMESPACES_MAX);
        }
        None
    }
}

impl MetaState {
    /// Every token that is remembered, by id.
    pub fn tokens(&self) -> Vec<TokenView> {
        self.tokens.tokens.values().map(Token::view).collect()
    }

    /// Whether there is such a token, dead or alive: what a door may ask before it proposes anything.
    pub fn has_token(&self, id: TokenId, hash: &SecretHash) -> bool {
        self.tokens.tokens.get(&id).is_some_and(|token| token.new.hash.is_equal(hash))
    }

    /// Whether a token that still counts as alive has reached its end by this clock.
    pub fn has_overdue_token(&self, now_ms: u64) -> bool {
        self.tokens.tokens.values().any(|token| token.end.is_none() && token.expires_at_ms() <= now_ms)
    }

    /// Whether there is such a token and it still enrols by this clock. Its id is no secret, so this opens nothing that is one.
    pub fn is_token_alive(&self, id: TokenId, now_ms: u64) -> bool {
        let token = self.tokens.tokens.get(&id);
        token.is_some_and(|token| token.end.is_none() && now_ms < token.expires_at_ms())
    }

    /// Every slave that a token enrolled.
    pub fn enrolled(&self) -> &BTreeMap<NodeUuid, EnrolledSlave> {
        &self.tokens.enrolled
    }

    /// Idempotent for the same token.
    pub(super) fn issue_token(&mut self, new: &NewToken, now_ms: u64) -> Outcome {
        self.founded_ring()?;
        if let Some(why) = new.flaw() {
            return Err(Refused::BadToken { why });
        }
        self.tokens.expire(now_ms);
        match self.tokens.tokens.get(&new.id) {
            Some(known) if known.new == *new => return Ok(MetaReply::Done),
            Some(_) => return Err(Refused::BadToken { why: "another token has its id".into() }),
            None => {}
        }
        if !self.tokens.make_room() {
            return Err(Refused::BadToken {
                why: format!("{TOKENS_MAX} tokens are alive, as many as are remembered; revoke some"),
            });
        }
        let token = Token { new: new.clone(), issued_at_ms: now_ms, uses_left: new.uses, end: None };
        self.tokens.tokens.insert(new.id, token);
        Ok(MetaReply::Done)
    }

    /// Idempotent; a token that has ended in another way is dead as well.
    pub(super) fn revoke_token(&mut self, id: TokenId, by: &str) -> Outcome {
        self.founded_ring()?;
        let token = self.tokens.tokens.get_mut(&id).ok_or(Refused::NoSuchToken)?;
        if !matches!(token.end, Some(TokenEnd::Revoked(_))) {
            token.end = Some(TokenEnd::Revoked(by.to_owned()));
        }
        Ok(MetaReply::Done)
    }

    /// Marks what has expired. Idempotent.
    pub(super) fn expire_tokens(&mut self, now_ms: u64) -> Outcome {
        self.tokens.expire(now_ms);
        Ok(MetaReply::Done)
    }

    /// Takes one use of a token for a slave. Idempotent for the same slave, whose identity comes of its key: a retry takes no second
    /// use, also after the token has ended, unless it was revoked.
    pub(super) fn redeem_token(
        &mut self,
        id: TokenId,
        hash: &SecretHash,
        slave: NodeUuid,
        now_ms: u64,
    ) -> Outcome {
        self.check_newcomer(slave)?;
        self.tokens.expire(now_ms);
        let next_id = self.tokens.next_id();
        let enrolled_before = self.tokens.enrolled.get(&slave).cloned();
        let is_full = self.tokens.enrolled.len() >= ENROLLED_MAX;
        // One answer to an unknown token and to a wrong secret: ids cannot be probed.
        let token = self.tokens.tokens.get_mut(&id).filter(|token| token.new.hash.is_equal(hash));
        let token = token.ok_or(Refused::NoSuchToken)?;
        let end = |why: &str| Err(Refused::TokenEnded { id, why: why.into() });
        match (&token.end, enrolled_before) {
            (Some(TokenEnd::Revoked(by)), _) => return end(&format!("was revoked by {by}")),
            (_, Some(before)) if before.token == id => {
                return Ok(MetaReply::Enrolled { slave: before.id, namespaces: before.namespaces });
            }
            (_, Some(_)) => {
                return Err(Refused::BadToken { why: "another token enrolled this key".into() });
            }
            (Some(TokenEnd::UsedUp), _) => return end("is used up"),
            (Some(TokenEnd::Expired), _) => return end("has expired"),
            (None, None) => {}
        }
        if now_ms.saturating_add(CLOCK_TOLERANCE_MS) < token.issued_at_ms {
            return end("is from the future for the server that was asked, whose clock is late");
        }
        if is_full {
            let why = format!("{ENROLLED_MAX} slaves are enrolled, as many as are remembered");
            return Err(Refused::BadToken { why });
        }
        token.uses_left -= 1;
        if token.uses_left == 0 {
            token.end = Some(TokenEnd::UsedUp);
        }
        let namespaces = token.new.namespaces.clone();
        let enrolled =
            EnrolledSlave { id: next_id, token: id, namespaces: namespaces.clone(), at_ms: now_ms };
        self.tokens.enrolled.insert(slave, enrolled);
        Ok(MetaReply::Enrolled { slave: next_id, namespaces })
    }

    /// The identity of a server, of a removed node or of a revoked slave enrols never.
    fn check_newcomer(&self, slave: NodeUuid) -> Result<(), Refused> {
        let ring = self.founded_ring()?;
        let is_server = ring.nodes.iter().any(|node| node.uuid == slave);
        if is_server || self.removed.contains_key(&slave) || self.revoked.contains_key(&slave) {
            return Err(Refused::BadToken {
                why: "the identity of this key belongs to a server or was taken back; make a new key".into(),
            });
        }
        Ok(())
    }
}
