//! The lineage as a small text file, which is replaced as a whole.

use std::fmt::Write as _;

use xxhash_rust::xxh3::xxh3_64;

use super::{Lineage, LogEnd, Mark, Run};

/// The version that is written and read.
pub const FORMAT_VERSION: u32 = 1;
const FIRST_WORDS: &str = "dkcd lineage";

/// A file that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLineage {
    /// It is damaged, or not ours.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// A later release wrote it.
    #[error("it has format version {found}; this program knows {FORMAT_VERSION}")]
    Version {
        /// As written.
        found: String,
    },
}

impl Lineage {
    /// The text of the file.
    pub fn render(&self) -> String {
        let mut text = format!("{FIRST_WORDS} {FORMAT_VERSION}\n");
        for Run { number, id, begins } in &self.runs {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "run {number} {id:016x} begins {}", begins.0);
        }
        for (node, Mark { number, id, end }) in &self.others {
            let _ = writeln!(text, "node {node} run {number} {id:016x} end {}", end.0);
        }
        let checksum = xxh3_64(text.as_bytes());
        format!("{text}checksum {checksum:016x}\n")
    }

    /// Reads the text of the file.
    pub fn parse(text: &str) -> Result<Lineage, BadLineage> {
        let first = text.lines().next().unwrap_or_default();
        let version = first
            .strip_prefix(FIRST_WORDS)
            .ok_or(BadLineage::Damaged("it does not begin as one of ours does"))?;
        if version.trim() != FORMAT_VERSION.to_string() {
            return Err(BadLineage::Version { found: version.trim().chars().take(20).collect() });
        }
        let (body, checksum) = text.rsplit_once("checksum ").ok_or(BadLineage::Damaged("it has no end"))?;
        if format!("{:016x}\n", xxh3_64(body.as_bytes())) != checksum {
            return Err(BadLineage::Damaged("its checksum does not agree"));
        }
        parse_lines(body).ok_or(BadLineage::Damaged("it has a line that this program does not understand"))
    }
}

fn parse_lines(body: &str) -> Option<Lineage> {
    let mut lineage = Lineage::default();
    let id = |word: &str| u64::from_str_radix(word, 16).ok();
    for line in body.lines().skip(1) {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["run", number, run, "begins", begins] => {
                let (number, begins) = (number.parse().ok()?, LogEnd(begins.parse().ok()?));
                lineage.runs.push(Run { number, id: id(run)?, begins });
            }
            ["node", node, "run", number, run, "end", end] => {
                let (number, end) = (number.parse().ok()?, LogEnd(end.parse().ok()?));
                lineage.others.insert(node.parse().ok()?, Mark { number, id: id(run)?, end });
            }
            _ => return None,
        }
    }
    Some(lineage)
}
