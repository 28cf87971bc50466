//! Escapes text for a terminal. Bytes from others (hosts, their files, stored values) may contain sequences that move the cursor,
//! answer questions or hide earlier output.
//!
//! *Invariant:* the result contains no control characters except line breaks and tabs, and nothing that changes the text direction.

use std::borrow::Cow;

/// The text with control characters written out, such as `\u{1b}`.
pub fn for_terminal(text: &str) -> Cow<'_, str> {
    if !text.contains(is_disturbing) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_disturbing(letter) { out.extend(letter.escape_default()) } else { out.push(letter) }
    }
    Cow::Owned(out)
}

/// The same for bytes that need not be text.
pub fn bytes_for_terminal(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(&for_terminal(chunk.valid()));
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    out
}

/// A value in one line: line breaks, tabs and backslashes are written out as well.
pub fn in_one_line(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter.is_control() || is_disturbing(letter) || letter == '\\' {
                true => out.extend(letter.escape_default()),
                false => out.push(letter),
            }
        }
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    out
}

/// Control characters (C0, DEL, C1), and Unicode's marks, overrides and isolates of direction.
fn is_disturbing(letter: char) -> bool {
    match letter {
        '\n' | '\t' => false,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        letter => letter.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_moves_a_cursor_is_written_out() {
        let check = |text: &str, want: &str| assert_eq!(for_terminal(text), want);
        check("plain\ttext\n日本\n", "plain\ttext\n日本\n");
        check("\x1b[2Jgone\r\x07", "\\u{1b}[2Jgone\\r\\u{7}");
        check("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}");
        check("a\u{202e}b", "a\\u{202e}b");
        assert_eq!(bytes_for_terminal(b"a\xff\x1b\n"), "a\\xff\\u{1b}\n");
        assert_eq!(in_one_line(b"a\\\n\t\xff"), "a\\\\\\n\\t\\xff");
    }

    proptest! {
        #[test]
        fn no_byte_disturbs(bytes in prop::collection::vec(any::<u8>(), 0..200), text in any::<String>()) {
            let is_quiet = |text: &str| !text.contains(is_disturbing);
            prop_assert!(is_quiet(&bytes_for_terminal(&bytes)));
            prop_assert!(is_quiet(&for_terminal(&text)));
            prop_assert!(!in_one_line(&bytes).contains(|c: char| c.is_control() || is_disturbing(c)));
        }
    }
}
