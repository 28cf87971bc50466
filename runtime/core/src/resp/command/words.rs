//! The words of one command, taken one after the other.

use bytes::Bytes;

use super::{NOT_AN_INTEGER, NOT_POSITIVE, Refused, SYNTAX, wrong_number};
use crate::kv::Expiry;
use crate::kv::decimal::parse_float;
use crate::kv::number::parse_exact;
use crate::kv::operation::Span;

pub struct Words<'a> {
    pub name: &'static str,
    pub all: &'a [Bytes],
    pub at: usize,
    pub seed: u64,
}

impl Words<'_> {
    pub fn left(&self) -> usize {
        self.all.len() - self.at
    }

    pub fn next(&mut self) -> Result<Bytes, Refused> {
        let word = self.all.get(self.at).cloned().ok_or(SYNTAX)?;
        self.at += 1;
        Ok(word)
    }

    /// All that are left.
    pub fn rest(&mut self) -> Vec<Bytes> {
        let rest = self.all[self.at..].to_vec();
        self.at = self.all.len();
        rest
    }

    /// Likewise, two by two; an odd one is one too many.
    pub fn pairs(&mut self) -> Result<Vec<(Bytes, Bytes)>, Refused> {
        let rest = self.rest();
        if !rest.len().is_multiple_of(2) {
            return Err(wrong_number(self.name));
        }
        Ok(rest.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
    }

    /// The next word if it is this one, whatever its case.
    pub fn takes(&mut self, word: &str) -> bool {
        let is_it = self.all.get(self.at).is_some_and(|next| next.eq_ignore_ascii_case(word.as_bytes()));
        self.at += usize::from(is_it);
        is_it
    }

    pub fn integer(&mut self) -> Result<i64, Refused> {
        parse_exact(&self.next()?).ok_or(NOT_AN_INTEGER)
    }

    /// A number of elements.
    pub fn positive(&mut self) -> Result<u64, Refused> {
        let number = parse_exact(&self.next()?).ok_or(NOT_POSITIVE)?;
        u64::try_from(number).map_err(|_| NOT_POSITIVE)
    }

    pub fn float(&mut self) -> Result<f64, Refused> {
        let number = parse_float(&self.next()?);
        number.ok_or("ERR value is not a valid float".into())
    }

    pub fn span(&mut self) -> Result<Span, Refused> {
        Ok(Span { start: self.integer()?, end: self.integer()? })
    }

    /// Nothing may follow.
    pub fn end(&self) -> Result<(), Refused> {
        if self.left() == 0 { Ok(()) } else { Err(SYNTAX) }
    }

    /// Keys preceded by their number.
    pub fn counted_keys(&mut self) -> Result<Vec<Bytes>, Refused> {
        let count = parse_exact(&self.next()?).filter(|count| *count > 0);
        let count = count.ok_or("ERR numkeys should be greater than 0")? as usize;
        if count > self.left() {
            return Err(SYNTAX);
        }
        let keys = self.all[self.at..self.at + count].to_vec();
        self.at += count;
        Ok(keys)
    }

    fn bad_expiry(&self) -> Refused {
        format!("ERR invalid expire time in '{}' command", self.name).into()
    }

    /// An expiry that must lie in the future.
    pub fn expiry(&mut self, unit_ms: i64, is_absolute: bool) -> Result<Expiry, Refused> {
        let number = self.integer()?;
        if number <= 0 {
            return Err(self.bad_expiry());
        }
        self.expiry_of(number, unit_ms, is_absolute)
    }

    /// One that may lie in the past.
    pub fn any_expiry(&mut self, unit_ms: i64, is_absolute: bool) -> Result<Expiry, Refused> {
        let number = self.integer()?;
        self.expiry_of(number, unit_ms, is_absolute)
    }

    fn expiry_of(&self, number: i64, unit_ms: i64, is_absolute: bool) -> Result<Expiry, Refused> {
        let ms = number.checked_mul(unit_ms).ok_or_else(|| self.bad_expiry())?;
        // Added to the time of day it must still be a time.
        if !is_absolute && ms > i64::MAX / 2 {
            return Err(self.bad_expiry());
        }
        Ok(match u64::try_from(ms) {
            // Long gone. No time of a record is 0: that is for "never".
            Err(_) => Expiry::At(1),
            Ok(ms) if is_absolute => Expiry::At(ms.max(1)),
            Ok(ms) => Expiry::After(ms),
        })
    }
}
