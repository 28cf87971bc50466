//! Numbers with a point, as Redis counts in strings and hashes and prints scores.
//!
//! Redis counts with 80-bit numbers and prints 17 digits behind the point; 0.1 and 0.2 make 0.3. Here the numbers are
//! decimal with 17 digits behind the point, which gives the same text; what does not fit is counted as `f64`.

/// Digits behind the point.
const DIGITS: u32 = 17;
const ONE: i128 = 10_i128.pow(DIGITS);
/// Longer texts are no number.
const TEXT_MAX_BYTES: usize = 256;

/// A floating point number as Redis reads one: nothing before it, nothing behind it.
pub fn parse_float(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= TEXT_MAX_BYTES)?;
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_word = unsigned.eq_ignore_ascii_case("inf") || unsigned.eq_ignore_ascii_case("infinity");
    if !is_word && !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    let number = text.parse::<f64>().ok()?;
    // What is written with digits and does not fit is no number.
    (is_word || number.is_finite()).then_some(number)
}

/// Why two numbers have no sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSum {
    /// One of them is no finite decimal number.
    NotANumber,
    /// The sum is infinite or NaN.
    Infinite,
}

/// The sum of two numbers, as text.
pub fn sum(one: &[u8], other: &[u8]) -> Result<String, NoSum> {
    let (a, b) = (parse_float(one).ok_or(NoSum::NotANumber)?, parse_float(other).ok_or(NoSum::NotANumber)?);
    let float_sum = a + b;
    if !float_sum.is_finite() {
        return Err(NoSum::Infinite);
    }
    match (parse(one), parse(other)) {
        (Some(one), Some(other)) => one.checked_add(other).map_or(Err(NoSum::Infinite), |sum| Ok(print(sum))),
        _ => Ok(trimmed(format!("{float_sum:.17}"))),
    }
}

/// Exactly, or not at all.
fn parse(text: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(text).ok()?.to_ascii_lowercase();
    let (mantissa, exponent) = match text.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text.as_str(), 0),
    };
    let unsigned = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let shift = DIGITS as i32 + exponent - fraction.len() as i32;
    let scaled = if shift >= 0 {
        digits.checked_mul(10_i128.checked_pow(shift as u32)?)?
    } else {
        let divisor = 10_i128.checked_pow(shift.unsigned_abs())?;
        (digits % divisor == 0).then(|| digits / divisor)?
    };
    Some(if mantissa.starts_with('-') { -scaled } else { scaled })
}

fn print(number: i128) -> String {
    let sign = if number < 0 { "-" } else { "" };
    let (whole, fraction) = (number.unsigned_abs() / ONE as u128, number.unsigned_abs() % ONE as u128);
    trimmed(format!("{sign}{whole}.{fraction:017}"))
}

/// Without zeros at the end, and without a point that nothing follows.
fn trimmed(text: String) -> String {
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A score as Redis 7.0 prints it: C's `%.17g`.
pub fn score_text(score: f64) -> String {
    const PRECISION: i32 = 17;
    if score.is_infinite() {
        return if score > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if score.is_nan() {
        return "nan".to_owned();
    }
    let scientific = format!("{score:.16e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..PRECISION).contains(&exponent) {
        let decimals = (PRECISION - 1 - exponent) as usize;
        let text = format!("{score:.decimals$}");
        return if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text
        };
    }
    let mantissa =
        if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_that_people_expect() {
        let check = |one: &str, other: &str, want: Result<&str, NoSum>| {
            assert_eq!(
                sum(one.as_bytes(), other.as_bytes()).as_deref().map_err(|e| *e),
                want,
                "{one} {other}"
            );
        };
        check("0.1", "0.2", Ok("0.3"));
        check("10.50", "0.1", Ok("10.6"));
        check("5.0e3", "2.0e2", Ok("5200"));
        check("3", "-3", Ok("0"));
        check("-1.5", "-1", Ok("-2.5"));
        check("x", "1", Err(NoSum::NotANumber));
        check(" 1", "1", Err(NoSum::NotANumber));
        check("", "1", Err(NoSum::NotANumber));
        check("inf", "1", Err(NoSum::Infinite));
        check("1e400", "1", Err(NoSum::NotANumber));
        check("1e300", "1", Ok(&trimmed(format!("{:.17}", 1e300_f64))));
    }

    #[test]
    fn scores_are_printed_as_c_prints_them() {
        for (score, want) in [
            (0.0, "0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.10000000000000001"),
            (2.14, "2.1400000000000001"),
            (1e17, "1e+17"),
            (12345678901234567.0, "12345678901234568"),
            (1e-5, "1.0000000000000001e-05"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(score_text(score), want);
        }
    }
}
