//! Which elements of a sorted set are meant by ranks, by scores and by members.

use bytes::Bytes;

use super::Ran;
use super::collection::{Open, check_count};
use super::sorted_set::{BY_SCORE, score_of};
use crate::kv::operation::{LexBound, Part, ScoreBound, Span, Which};
use crate::tablet::Rows;
use crate::tablet::head::ordered;
use crate::tablet::view::View;

type Elements = Vec<(Bytes, f64)>;

impl<R: Rows> View<'_, R> {
    /// In the order in which they are answered.
    pub(super) fn range(&self, open: &Open, which: &Which, is_reverse: bool, part: Part) -> Ran<Elements, R> {
        let which = match which {
            Which::Ranks(span) if is_reverse => Which::Ranks(from_the_end(*span, open.head.elements)),
            which => which.clone(),
        };
        let mut elements = self.which(open, &which)?;
        if is_reverse {
            elements.reverse();
        }
        let offset = usize::try_from(part.offset).unwrap_or(usize::MAX);
        let count = part.count.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX));
        Ok(elements.into_iter().skip(offset).take(count).collect())
    }

    /// The lowest or the highest ones, from there on.
    pub(super) fn ends(&self, open: &Open, is_highest: bool, count: u64) -> Ran<Elements, R> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let end = i64::try_from(count).unwrap_or(i64::MAX) - 1;
        let part = Part { offset: 0, count: None };
        self.range(open, &Which::Ranks(Span { start: 0, end }), is_highest, part)
    }

    /// From the lowest to the highest.
    pub(super) fn which(&self, open: &Open, which: &Which) -> Ran<Elements, R> {
        match which {
            Which::Ranks(span) => {
                let Some(range) = span.of_elements(open.head.elements) else { return Ok(Vec::new()) };
                check_count(range.end - range.start)?;
                let mut at = 0;
                self.select(open, &[], |_, _| {
                    at += 1;
                    if at > range.end {
                        Seen::Behind
                    } else if at > range.start {
                        Seen::Wanted
                    } else {
                        Seen::Before
                    }
                })
            }
            Which::Scores { min, max } => {
                let from = ordered(min.score.0);
                self.select(open, &from, |score, _| {
                    match (min.allows_above(score), max.allows_below(score)) {
                        (false, _) => Seen::Before,
                        (true, true) => Seen::Wanted,
                        (true, false) => Seen::Behind,
                    }
                })
            }
            Which::Lex { min, max } => self.select(open, &[], |_, member| {
                match (min.allows_above(member), max.allows_below(member)) {
                    (false, _) => Seen::Before,
                    (true, true) => Seen::Wanted,
                    (true, false) => Seen::Behind,
                }
            }),
        }
    }

    fn select(
        &self,
        open: &Open,
        from: &[u8],
        mut judge: impl FnMut(f64, &[u8]) -> Seen,
    ) -> Ran<Elements, R> {
        let mut found = Vec::new();
        self.each(open, BY_SCORE, from, &mut |name, _| {
            let Some((score, member)) = name.split_first_chunk::<8>() else { return true };
            let score = unordered(*score);
            match judge(score, member) {
                Seen::Before => true,
                Seen::Behind => false,
                Seen::Wanted => {
                    found.push(Bytes::copy_from_slice(member));
                    true
                }
            }
        })?;
        check_count::<R::Error>(found.len() as u64)?;
        let mut elements = Vec::with_capacity(found.len());
        for member in found {
            // The score as it was given: minus zero is in the place of zero.
            let score = self.element(open, &member)?.map_or(0.0, |score| score_of(&score));
            elements.push((member, score));
        }
        Ok(elements)
    }
}

enum Seen {
    Before,
    Wanted,
    Behind,
}

fn unordered(bytes: [u8; 8]) -> f64 {
    let bits = u64::from_be_bytes(bytes);
    f64::from_bits(if bits >> 63 == 1 { bits & !(1 << 63) } else { !bits })
}

/// The same ranks, counted from the lowest.
fn from_the_end(span: Span, length: u64) -> Span {
    let Some(range) = span.of_elements(length) else { return Span { start: 1, end: 0 } };
    Span { start: (length - range.end) as i64, end: (length - 1 - range.start) as i64 }
}

impl ScoreBound {
    fn allows_above(&self, score: f64) -> bool {
        if self.is_exclusive { score > self.score.0 } else { score >= self.score.0 }
    }

    fn allows_below(&self, score: f64) -> bool {
        if self.is_exclusive { score < self.score.0 } else { score <= self.score.0 }
    }
}

impl LexBound {
    fn allows_above(&self, member: &[u8]) -> bool {
        match self {
            LexBound::Lowest => true,
            LexBound::Highest => false,
            LexBound::Including(bound) => member >= bound,
            LexBound::Excluding(bound) => member > bound,
        }
    }

    fn allows_below(&self, member: &[u8]) -> bool {
        match self {
            LexBound::Lowest => false,
            LexBound::Highest => true,
            LexBound::Including(bound) => member <= bound,
            LexBound::Excluding(bound) => member < bound,
        }
    }
}
