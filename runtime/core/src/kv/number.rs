//! incr and decr on the bytes of a value, as memcached 1.6 carries them out (`do_add_delta`).
//!
//! A value is a number when it begins with one (see `parse`). The result keeps the value's length where it fits, filled up with spaces, because memcached writes it in
//! place: `10` decremented is `9 `, and a client that reads it back sees that space.

/// memcached keeps larger values in chunks and refuses to count in them.
pub const NUMBER_MAX_BYTES: usize = 512 * 1024;
/// Digits of the largest u64.
const DIGITS_MAX: usize = 20;

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

/// A u64 as memcached reads one (`safe_strtoull`): white space and a sign may stand before the digits, white space or
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
    fn what_is_not_a_number_is_refused() {
        for value in ["", " ", "+", "-", "-1", "x", "5x", "5.0", "0x5", "18446744073709551616", "+ 5"] {
            check(value, 1, false, None);
        }
        assert_eq!(increment(&vec![b'0'; NUMBER_MAX_BYTES + 1], 1, false), None);
    }
}
