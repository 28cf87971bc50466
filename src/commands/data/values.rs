//! Where a command takes values from, and how it prints them: quoted in one line, as they are, or as a hex dump.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::PathBuf;

use dkc_core::control::Blob;

use super::quoted;
use super::sealed::{Opener, is_sealed};
use crate::error::{CommandError, codes};
use crate::session::Session;
use crate::ui::{Format, Listing};

/// Largest value read from standard input or a file: the upper bound of `value_max_bytes`.
const VALUE_MAX_BYTES: u64 = 64 * 1024 * 1024;
const HEX_LINE_BYTES: usize = 16;

#[derive(Debug, clap::Args)]
pub struct Given {
    /// The value; - reads it from standard input
    #[arg(allow_hyphen_values = true, required_unless_present = "file", conflicts_with = "file")]
    pub value: Option<String>,
    /// Read the value from a file
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

impl Given {
    pub fn bytes(&self) -> Result<Vec<u8>, CommandError> {
        match (&self.value, &self.file) {
            (Some(value), _) => of_word(value),
            (None, Some(file)) => {
                let opened = std::fs::File::open(file).map_err(|error| cannot(error.to_string()))?;
                whole(opened)
            }
            (None, None) => Err(CommandError::bug("the parser lets no value pass")),
        }
    }
}

/// A value of the command line; `-` is standard input.
pub fn of_word(word: &str) -> Result<Vec<u8>, CommandError> {
    if word == "-" { whole(std::io::stdin().lock()) } else { Ok(word.into()) }
}

fn whole(from: impl std::io::Read) -> Result<Vec<u8>, CommandError> {
    let mut bytes = Vec::new();
    from.take(VALUE_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| cannot(error.to_string()))?;
    match bytes.len() as u64 > VALUE_MAX_BYTES {
        true => Err(cannot(format!("larger than {VALUE_MAX_BYTES} bytes"))),
        false => Ok(bytes),
    }
}

fn cannot(cause: String) -> CommandError {
    CommandError::new(&codes::FILE_UNREADABLE, "cannot read the value").cause(cause).now("nothing changed")
}

// How values are printed.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Style {
    /// Print the raw bytes only (control characters are escaped on a terminal)
    #[arg(long)]
    pub raw: bool,
    /// Print bytes as a hex dump
    #[arg(long, conflicts_with = "raw")]
    pub hex: bool,
}

/// What is printed behind `=>`.
pub fn shown(value: &[u8], style: Style) -> String {
    match style.hex {
        _ if is_sealed(value) && !style.hex => {
            format!("encrypted value of {} bytes (--decrypt)", value.len())
        }
        true => format!("{} bytes\n{}", value.len(), hex_dump(value).trim_end()),
        false => quoted(value),
    }
}

/// As `hexdump -C` prints it.
fn hex_dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (line, chunk) in bytes.chunks(HEX_LINE_BYTES).enumerate() {
        let hex: String = chunk.iter().map(|byte| format!("{byte:02x} ")).collect();
        let plain = |byte: &u8| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '.' };
        let plain: String = chunk.iter().map(plain).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {:08x}  {hex:<48} |{plain}|", line * HEX_LINE_BYTES);
    }
    text
}

/// Elements of a queue: a value each, and a key before it in a key-queue.
pub fn print_elements(
    session: &Session,
    name: &str,
    elements: Vec<(Option<Vec<u8>>, Vec<u8>)>,
    style: Style,
    opener: &mut Option<Opener>,
) -> Result<(), CommandError> {
    let has_keys = elements.iter().any(|(key, _)| key.is_some());
    let mut listing = Listing::new(if has_keys { &["key", "value"] } else { &["value"] });
    for (key, value) in elements {
        let value = match opener {
            Some(opener) => opener.open(value)?,
            None => value,
        };
        match (session.settings.output, style.raw) {
            (Some(_), _) => {
                let mut row: Vec<String> = key.iter().map(|key| crate::ui::in_one_line(key)).collect();
                row.push(crate::ui::in_one_line(&value));
                let blob = Blob::from_bytes(&value);
                match &key {
                    Some(key) => listing.push(
                        row,
                        serde_json::json!({ "name": name, "key": Blob::from_bytes(key), "value": blob }),
                    ),
                    None => listing.push(row, serde_json::json!({ "name": name, "value": blob })),
                }
            }
            (None, true) => session.ui.data_bytes(&[&value[..], b"\n"].concat()),
            (None, false) => {
                let name = quoted(key.as_deref().unwrap_or(name.as_bytes()));
                session.ui.data_line(&format!("{name} => {}", shown(&value, style)));
            }
        }
    }
    if session.settings.output.is_some() {
        session.show(Format::Table, &listing);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hex_dump_has_offsets_bytes_and_characters() {
        let want = concat!(
            "  00000000  00 01 41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e  |..ABCDEFGHIJKLMN|\n",
            "  00000010  ff                                               |.|\n",
        );
        let bytes: Vec<u8> = [0, 1].into_iter().chain(b'A'..=b'N').chain([0xff]).collect();
        assert_eq!(hex_dump(&bytes), want);
    }
}
