//! One line of the text protocol, cut into words. memcached separates words by spaces only, and they end at a NUL.

use std::ops::Range;

use memchr::memchr;

/// Words of the longest command that is not a get: `cas key flags exptime bytes version noreply`.
pub(super) const WORDS_MAX: usize = 7;

/// A whole line: its words, and where it ends in the buffer.
pub(super) struct Line {
    pub words: [Range<usize>; WORDS_MAX],
    /// Also counts words beyond `WORDS_MAX`.
    pub count: usize,
    pub last: Range<usize>,
    pub noreply: bool,
    /// Where the words end: at the line's end or at its first NUL.
    pub text_end: usize,
    /// Behind the newline.
    pub end: usize,
}

impl Line {
    /// The line that ends, with its newline, before `end`.
    pub fn split(buffer: &[u8], end: usize) -> Line {
        let mut text = &buffer[..end - 1];
        text = text.strip_suffix(b"\r").unwrap_or(text);
        text = &text[..memchr(0, text).unwrap_or(text.len())];
        let mut words: [Range<usize>; WORDS_MAX] = Default::default();
        let (mut count, mut at, mut last) = (0, 0, 0..0);
        while let Some(word) = next_word(text, at) {
            at = word.end;
            if count < WORDS_MAX {
                words[count] = word.clone();
            }
            last = word;
            count += 1;
        }
        let can_be_quiet = match &text[words[0].clone()] {
            b"get" | b"gets" | b"gat" | b"gats" | b"bget" => false,
            b"mg" | b"ms" | b"md" | b"ma" | b"me" => false, // these have a flag for it
            b"delete" => count > 2,                         // `delete noreply` is about a key of that name
            _ => count > 1,
        };
        let noreply = can_be_quiet && &text[last.clone()] == b"noreply";
        let text_end = text.len();
        Line { words, count, last, noreply, text_end, end }
    }
}

/// The first word at or after `from`.
pub(super) fn next_word(text: &[u8], from: usize) -> Option<Range<usize>> {
    let start = from + text[from..].iter().position(|byte| *byte != b' ')?;
    let end = memchr(b' ', &text[start..]).map_or(text.len(), |length| start + length);
    Some(start..end)
}
