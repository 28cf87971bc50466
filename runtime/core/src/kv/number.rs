//! Counting in the bytes of a value, by the rules of the protocol that asks for it.
//!
//! memcached's numbers (`do_add_delta`) are u64. A value is a number when it begins with one (see `parse`). The result
//! keeps the value's length where it fits, filled up with spaces, because memcached writes it in place: `10` decremented
//! is `9 `, and a client that reads it back sees that space.
//!
//! Redis's numbers are i64 (`string2ll`). The whole value is the number, written in the one way in which it would be
//! printed, and what does not fit is refused.

use serde::{Deserialize, Serialize};

/// memcached keeps larger values in chunks and refuses to count in them.
pub const NUMBER_MAX_BYTES: usize = 512 * 1024;
/// Digits of the largest u64.
const DIGITS_MAX: usize = 20;

/// What is added to a number, and by whose rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delta {
    /// memcached's: wraps upwards, stops at 0 downwards.
    Unsigned {
        /// The amount; also what is subtracted if `is_decrement`.
        by: u64,
        /// Stops at 0 instead of wrapping.
        is_decrement: bool,
    },
    /// Redis's: refused where the result would not fit.
    Signed {
        /// Negative to count down.
        by: i64,
    },
}

/// Why a value cannot be counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotCounted {
    /// The value does not begin with a number, or is not wholly one, as the protocol demands.
    NotANumber,
    /// The value or the result does not fit the protocol's type.
    OutOfRange,
}

/// A value that was counted in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The new number as text.
    pub number: Vec<u8>,
    /// The new bytes of the value, which begin with the number.
    pub value: Vec<u8>,
}

/// Counts in a value.
pub fn count(value: &[u8], delta: Delta) -> Result<Counted, NotCounted> {
    match delta {
        Delta::Unsigned { by, is_decrement } => {
            let (number, value) = increment(value, by, is_decrement).ok_or(NotCounted::NotANumber)?;
            let (digits, start) = decimal(number);
            Ok(Counted { number: digits[start..].to_vec(), value })
        }
        Delta::Signed { by } => {
            let number = parse_exact(value).ok_or(NotCounted::NotANumber)?;
            let number = number.checked_add(by).ok_or(NotCounted::OutOfRange)?.to_string().into_bytes();
            Ok(Counted { value: number.clone(), number })
        }
    }
}

/// An i64 as Redis reads one: no space, no plus, no zero before it, nothing behind it.
pub fn parse_exact(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_canonical = match digits {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_canonical.then_some(text).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok())
}

/// The new number and the new bytes of the value; `None` when the value is not a number.
pub fn increment(value: &[u8], by: u64, is_decrement: bool) -> Option<(u64, Vec<u8>)> {
    let old = parse(value)?;
    let new = if is_decrement { old.saturating_sub(by) } else { old.wrapping_add(by) };
    let mut bytes = Vec::with_capacity(value.len().max(DIGITS_MAX));
    let (digits, start) = decimal(new);
    bytes.extend_from_slice(&digits[start..]);
    if bytes.len() < value.len() {
        bytes.resize(value.len(), b' ');
    }
    Some((new, bytes))
}

/// A u64 as memcached reads one (`safe_strtoull`): white space and a sign may precede the digits, white space or
/// a NUL must follow if anything does. A negative number counts as what it wraps to, and is refused if that is large.
pub fn parse(text: &[u8]) -> Option<u64> {
    if text.len() > NUMBER_MAX_BYTES {
        return None;
    }
    let (is_negative, number) = parse_digits(text)?;
    if !is_negative {
        return Some(number);
    }
    Some(number.wrapping_neg()).filter(|wrapped| *wrapped <= i64::MAX as u64)
}

/// An i64, likewise.
pub fn parse_signed(text: &[u8]) -> Option<i64> {
    let (is_negative, number) = parse_digits(text)?;
    if is_negative { 0i64.checked_sub_unsigned(number) } else { i64::try_from(number).ok() }
}

fn parse_digits(text: &[u8]) -> Option<(bool, u64)> {
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let start = text.iter().position(|byte| !is_space(byte))?;
    let is_negative = text[start] == b'-';
    let unsigned = if is_negative || text[start] == b'+' { &text[start + 1..] } else { &text[start..] };
    let digits = unsigned.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let ends_well = unsigned.get(digits).is_none_or(|byte| is_space(byte) || *byte == 0);
    if digits == 0 || !ends_well {
        return None;
    }
    let add = |number: u64, digit: &u8| number.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    Some((is_negative, unsigned[..digits].iter().try_fold(0, add)?))
}

/// The decimal digits of a number are those from the second value on.
pub fn decimal(mut number: u64) -> ([u8; DIGITS_MAX], usize) {
    let mut digits = [0; DIGITS_MAX];
    let mut start = DIGITS_MAX;
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return (digits, start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, by: u64, is_decrement: bool, want: Option<(u64, &str)>) {
        let got = increment(value.as_bytes(), by, is_decrement);
        let got = got.map(|(number, bytes)| (number, String::from_utf8(bytes).unwrap()));
        let want = want.map(|(number, bytes)| (number, bytes.to_owned()));
        assert_eq!(got, want, "{value:?} by {by}, decrement {is_decrement}");
    }

    #[test]
    fn incr_grows_wraps_and_keeps_the_length_it_had() {
        check("5", 1, false, Some((6, "6")));
        check("9", 1, false, Some((10, "10")));
        check("007", 1, false, Some((8, "8  ")));
        check("18446744073709551615", 1, false, Some((0, "0                   ")));
        check("9 ", 91, false, Some((100, "100")));
    }

    #[test]
    fn decr_stops_at_zero_and_fills_up_with_spaces() {
        check("10", 1, true, Some((9, "9 ")));
        check("5", 6, true, Some((0, "0")));
        check("100", 100, true, Some((0, "0  ")));
    }

    #[test]
    fn what_memcached_takes_for_a_number_is_one() {
        check(" 5", 1, false, Some((6, "6 ")));
        check("+5", 1, false, Some((6, "6 ")));
        check("5 apples", 1, false, Some((6, "6       ")));
        check("5\r\n", 1, false, Some((6, "6  ")));
        check("-0", 1, false, Some((1, "1 ")));
        check("5\0", 1, false, Some((6, "6 ")));
    }

    #[test]
    fn redis_counts_in_signed_numbers_and_refuses_what_does_not_fit() {
        let check = |value: &str, by: i64, want: Result<&str, NotCounted>| {
            let got = count(value.as_bytes(), Delta::Signed { by });
            let want = want.map(|text| Counted { number: text.into(), value: text.into() });
            assert_eq!(got, want, "{value:?} by {by}");
        };
        check("5", -7, Ok("-2"));
        check("100", -91, Ok("9"));
        check("-9223372036854775808", 1, Ok("-9223372036854775807"));
        check("9223372036854775807", 1, Err(NotCounted::OutOfRange));
        check("-9223372036854775808", -1, Err(NotCounted::OutOfRange));
        for value in ["", " 5", "5 ", "+5", "05", "-0", "-", "5x", "9223372036854775808", "-05", "1e3"] {
            check(value, 1, Err(NotCounted::NotANumber));
        }
    }

    #[test]
    fn the_number_is_told_without_what_fills_the_value_up() {
        let delta = Delta::Unsigned { by: 1, is_decrement: true };
        let counted = Counted { number: b"9".into(), value: b"9 ".into() };
        assert_eq!(count(b"10", delta), Ok(counted));
    }

    #[test]
    fn what_is_not_a_number_is_refused() {
        for value in ["", " ", "+", "-", "-1", "x", "5x", "5.0", "0x5", "18446744073709551616", "+ 5"] {
            check(value, 1, false, None);
        }
        assert_eq!(increment(&vec![b'0'; NUMBER_MAX_BYTES + 1], 1, false), None);
    }
}
