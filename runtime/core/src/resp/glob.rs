//! Patterns of `KEYS` and `SCAN`: `*`, `?`, `[abc]`, `[^a-c]` and `\` (Redis's `stringmatchlen`).

/// Most combinations of positions that are tried: bounds the time of any pattern.
const STEPS_MAX: usize = 1_000_000;

/// Redis's glob: `*`, `?`, `[a-c]`, `[^a]` and `\`. Bytes, not characters.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // On a mismatch the last star takes one byte more; stars before it need not.
    let (mut p, mut t, mut star) = (0, 0, None);
    for _ in 0..STEPS_MAX {
        if p == pattern.len() && t == text.len() {
            return true;
        }
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
            continue;
        }
        let next = text.get(t).and_then(|byte| one(&pattern[p..], *byte));
        match (next, star) {
            (Some(length), _) => {
                p += length;
                t += 1;
            }
            (None, Some((at, from))) if from < text.len() => {
                star = Some((at, from + 1));
                (p, t) = (at + 1, from + 1);
            }
            _ => return false,
        }
    }
    false
}

/// How long the part of the pattern is that matches one byte; none if it does not.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [b'[', rest @ ..] => class(rest, byte).map(|length| length + 1),
        [plain, ..] => (*plain == byte).then_some(1),
    }
}

/// Behind the opening bracket; a class that is not closed ends with the pattern.
fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let is_not = pattern.first() == Some(&b'^');
    let (mut at, mut is_in) = (usize::from(is_not), false);
    loop {
        match &pattern[at.min(pattern.len())..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', escaped, ..] => {
                is_in |= *escaped == byte;
                at += 2;
            }
            [from, b'-', to, ..] => {
                is_in |= (*from.min(to)..=*from.max(to)).contains(&byte);
                at += 3;
            }
            [plain, ..] => {
                is_in |= *plain == byte;
                at += 1;
            }
        }
    }
    (is_in != is_not).then_some(at)
}
