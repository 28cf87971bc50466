//! The file of an export: a line that says what it is, a line for each record, and a line with their number, so that a file that
//! was cut short is noticed. A file without the first line is taken too, for records that another program wrote.

use dkc_core::control::ExportedRecord;
use dkc_core::ids::{ClusterName, Namespace};
use serde::{Deserialize, Serialize};

/// Longer than the line of any record: a request with it would not reach a server.
pub const LINE_MAX_BYTES: u64 = 95 * 1024 * 1024;

/// Rises when a reader of before would misread what a writer of now writes.
const FORMAT: u32 = 1;

/// The first line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub format: u32,
    pub cluster: ClusterName,
    pub namespace: Namespace,
}

#[derive(Serialize, Deserialize)]
struct HeaderLine {
    dkc_export: Header,
}

/// The last line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct EndLine {
    end: End,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    records: u64,
}

pub fn header_line(cluster: &ClusterName, namespace: &Namespace) -> String {
    let header = Header { format: FORMAT, cluster: cluster.clone(), namespace: namespace.clone() };
    line(&HeaderLine { dkc_export: header })
}

pub fn record_line(record: &ExportedRecord) -> String {
    line(record)
}

pub fn end_line(records: u64) -> String {
    line(&EndLine { end: End { records } })
}

fn line(value: &impl Serialize) -> String {
    // Nothing in these types can fail to be JSON.
    serde_json::to_string(value).unwrap_or_default() + "\n"
}

/// Reads lines one after the other.
#[derive(Debug, Default)]
pub struct Lines {
    header: Option<Header>,
    has_end: bool,
    records: u64,
}

impl Lines {
    /// The record of a line, if it is one. `number` counts from 1.
    pub fn take(&mut self, number: u64, line: &[u8]) -> Result<Option<ExportedRecord>, String> {
        let line = line.trim_ascii();
        if line.is_empty() {
            return Ok(None);
        }
        if self.has_end {
            return Err(format!("line {number}: something follows the end of the export"));
        }
        let bad = |error: serde_json::Error| {
            // Its own words end with the place, which counts lines from this one.
            let text = error.to_string();
            let why = text.split(" at line ").next().unwrap_or(&text);
            format!("line {number}, column {}: {why}", error.column())
        };
        if line.starts_with(b"{\"dkc_export\"") {
            return self.take_header(number, serde_json::from_slice(line).map_err(bad)?).map(|()| None);
        }
        if line.starts_with(b"{\"end\"") {
            let EndLine { end: End { records } } = serde_json::from_slice(line).map_err(bad)?;
            if records != self.records {
                let found = self.records;
                return Err(format!("line {number}: the export has {records} records, but {found} are here"));
            }
            self.has_end = true;
            return Ok(None);
        }
        self.records += 1;
        serde_json::from_slice(line).map(Some).map_err(bad)
    }

    fn take_header(&mut self, number: u64, header: HeaderLine) -> Result<(), String> {
        let format = header.dkc_export.format;
        if format > FORMAT {
            return Err(format!("format {format} is of a newer release; this one reads up to {FORMAT}"));
        }
        if self.header.is_some() || self.records > 0 {
            return Err(format!("line {number}: a second export begins"));
        }
        self.header = Some(header.dkc_export);
        Ok(())
    }

    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// The input has ended; how many records it had.
    pub fn end(&self) -> Result<u64, String> {
        match self.header.is_some() && !self.has_end {
            true => Err(format!("cut short after {} records: its last line is missing", self.records)),
            false => Ok(self.records),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"key":{"text":"k"},"type":"string","value":{"text":"v"}}"#;

    fn read(text: &str) -> Result<u64, String> {
        let mut lines = Lines::default();
        for (number, line) in (1..).zip(text.lines()) {
            lines.take(number, line.as_bytes())?;
        }
        lines.end()
    }

    fn header() -> String {
        header_line(&"c0".parse().unwrap(), &"default".parse().unwrap())
    }

    #[test]
    fn whole_exports_and_bare_records_are_read() {
        let check = |text: String, records: u64| assert_eq!(read(&text), Ok(records), "{text}");
        check(format!("{}{RECORD}\n{RECORD}\n{}", header(), end_line(2)), 2);
        check(format!("{}{}", header(), end_line(0)), 0);
        check(format!("\n{RECORD}\n\n{RECORD}"), 2);
        check(String::new(), 0);
    }

    #[test]
    fn what_is_torn_foreign_or_newer_is_refused() {
        let check = |text: String, why: &str| {
            let refused = read(&text).unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        };
        check(format!("{}{RECORD}\n", header()), "cut short after 1 records");
        check(format!("{}{RECORD}\n{}", header(), end_line(2)), "has 2 records, but 1");
        check(format!("{}{}", header(), &RECORD[..20]), "line 2");
        check(format!("{}{}{RECORD}", header(), end_line(0)), "follows the end");
        check(format!("{RECORD}\n{}", header()), "a second export");
        check(header().replace("\"format\":1", "\"format\":2"), "newer release");
        check("set k 0 0 1".into(), "line 1");
    }
}
