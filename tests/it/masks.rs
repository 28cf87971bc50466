//! The shape of a line: what differs from run to run is replaced, everything else stays.

/// Units whose number differs from run to run.
const UNITS: [&str; 10] = ["ms", "s", "min", "h", "B", "kB", "MB", "GB", "bytes", "%"];
const TIME_BYTES: usize = 20;
const DIGEST_BYTES_MIN: usize = 8;
/// Words whose number differs from run to run.
const COUNTED: [&str; 1] = ["version"];

/// A line in which times, durations, sizes, digests, ids and versions have one shape, and blanks are single.
pub fn masked(line: &str) -> String {
    let line = line.replace("B/", "B / ");
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut shapes = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let before = if at > 0 { words[at - 1].trim_end_matches(':') } else { "" };
        let (number, mark) = without_mark(words[at].trim_start_matches('('));
        let unit = words.get(at + 1).map(|word| without_mark(word)).unwrap_or_default();
        if is_number(number) && UNITS.contains(&unit.0) && mark.is_empty() {
            shapes.push(format!("N {}{}", unit.0, unit.1));
            at += 2;
        } else if is_number(number) && COUNTED.contains(&before) {
            shapes.push(format!("N{mark}"));
            at += 1;
        } else {
            shapes.push(shape_of(words[at]));
            at += 1;
        }
    }
    shapes.join(" ")
}

/// A word and the marks behind it.
fn without_mark(word: &str) -> (&str, &str) {
    let end = word.trim_end_matches([',', ';', '.', ':', ')']).len();
    word.split_at(end)
}

fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
        && word.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '/'))
}

/// A word by what it is.
fn shape_of(word: &str) -> String {
    let (bare, mark) = without_mark(word);
    if bare.starts_with("SHA256:") {
        return format!("SHA256:FINGERPRINT{mark}");
    }
    if bare.len() == TIME_BYTES && bare.ends_with('Z') {
        return format!("TIME{mark}");
    }
    let pieces = word.split_inclusive(['/', '"', ',', '(', ')', '@', ':', '=']);
    pieces.map(piece_shape).collect()
}

fn piece_shape(piece: &str) -> String {
    let end = piece.trim_end_matches(['/', '"', ',', '(', ')', '@', ':', '=', ';', '.']).len();
    let (word, mark) = piece.split_at(end);
    let is_hex = word.bytes().all(|b| b.is_ascii_hexdigit());
    let shape = match word {
        _ if word.len() == 10 && word.matches('-').count() == 2 && word.starts_with("20") => "DATE",
        _ if word.len() == 36 && word.matches('-').count() == 4 => "UUID",
        _ if word.starts_with("op-") => "op-ID",
        _ if word.starts_with("dkc-token-1") => "TOKEN",
        _ if is_hex && word.len() >= DIGEST_BYTES_MIN => "HEX",
        _ if word.starts_with("dkc-join.") => "dkc-join.ID",
        _ => word,
    };
    format!("{shape}{mark}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_has_one_shape_and_nothing_else() {
        for (one, other) in [
            ("plan op-b21ab04c: stop", "plan op-12345678: stop"),
            ("ring:      version 1", "ring: version 23"),
            ("57 MB/268 MB  27 s", "58 MB/268 MB 1.5 s"),
            ("of 2026-11-28T14:38:50Z", "of 2027-01-01T00:00:00Z"),
            ("key SHA256:zFeQpJl/Qi4i5V4z. Trust", "key SHA256:AAAA+/bbb. Trust"),
            ("to /var/lib/dkc/bin (44.6 MB)", "to /var/lib/dkc/bin (4 MB)"),
        ] {
            assert_eq!(masked(one), masked(other));
        }
        for (one, other) in [
            ("plan op-b21ab04c: stop", "plan op-b21ab04c: start"),
            ("3 servers", "4 servers"),
            ("tolerates 1 failure", "tolerates 0 failures"),
            ("127.0.0.1:18020", "127.0.0.1:18021"),
            ("ok 2 of 2 steps", "ok 3 of 3 steps"),
        ] {
            assert_ne!(masked(one), masked(other));
        }
    }
}
