//! A command's result, printable as a table, YAML documents, JSON or JSON lines.
//! The documents are authoritative; the table is a view of them for people.

use comfy_table::{ContentArrangement, Table};
use dkc_inventory::document::Document;
use dkc_inventory::show::Shown;
use serde::Serialize;

/// Output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Columns for people
    Table,
    /// YAML documents, as in `show`
    Yaml,
    /// One JSON array
    Json,
    /// One JSON object per line
    Jsonl,
}

/// The same entries as table rows and as documents.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
    pub documents: Vec<Document>,
}

impl Listing {
    pub fn new(columns: &[&str]) -> Listing {
        Listing { columns: columns.iter().map(|c| c.to_string()).collect(), ..Listing::default() }
    }

    /// Adds an entry: its row and its document.
    pub fn push(&mut self, row: Vec<String>, document: impl Serialize) {
        // None of our types fails to serialise (such as a map with maps as keys).
        self.documents.push(serde_yaml::to_value(document).unwrap_or_default().into());
        self.rows.push(row);
    }

    /// The text to print; it ends in a line break unless it is empty.
    pub fn render(&self, format: Format, is_terminal: bool) -> String {
        match format {
            Format::Table => self.render_table(is_terminal),
            Format::Yaml => self.documents.iter().map(Document::shown).collect(),
            Format::Json => json(&self.documents, true),
            Format::Jsonl => self.documents.iter().map(|document| json(document, false)).collect(),
        }
    }

    /// Omits columns that are empty in all rows.
    fn render_table(&self, is_terminal: bool) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let is_filled =
            |column: usize| self.rows.iter().any(|r| r.get(column).is_some_and(|c| !c.is_empty()));
        let kept: Vec<usize> = (0..self.columns.len()).filter(|column| is_filled(*column)).collect();
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        if is_terminal {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        } else {
            table.force_no_tty().set_content_arrangement(ContentArrangement::Disabled);
        }
        table.set_header(kept.iter().map(|column| self.columns[*column].to_uppercase()));
        for row in &self.rows {
            table.add_row(kept.iter().map(|column| row.get(*column).cloned().unwrap_or_default()));
        }
        let lines = table.lines();
        lines
            .map(|line| format!("{}\n", line.trim_end().strip_prefix(' ').unwrap_or(line.trim_end())))
            .collect()
    }
}

/// The result of `show`.
impl From<Shown> for Listing {
    fn from(shown: Shown) -> Listing {
        let columns = shown.header.iter().map(|name| name.to_string()).collect();
        Listing { columns, rows: shown.rows, documents: shown.documents }
    }
}

fn json(value: &impl Serialize, is_pretty: bool) -> String {
    let text = if is_pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    format!("{}\n", text.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Row {
        name: &'static str,
        user: &'static str,
    }

    fn check(format: Format, want: &str) {
        let mut listing = Listing::new(&["host", "zone", "user"]);
        let rows = [Row { name: "10.0.0.1", user: "dkc" }, Row { name: "no", user: "admin" }];
        for row in rows {
            listing.push(vec![row.name.into(), String::new(), row.user.into()], row);
        }
        assert_eq!(listing.render(format, false), want);
    }

    #[test]
    fn a_listing_has_four_faces() {
        check(Format::Table, "HOST      USER\n10.0.0.1  dkc\nno        admin\n");
        check(Format::Yaml, "---\nname: 10.0.0.1\nuser: dkc\n---\nname: \"no\"\nuser: admin\n");
        check(
            Format::Jsonl,
            "{\"name\":\"10.0.0.1\",\"user\":\"dkc\"}\n{\"name\":\"no\",\"user\":\"admin\"}\n",
        );
    }

    #[test]
    fn nothing_found_is_an_empty_array_in_json_and_nothing_elsewhere() {
        let empty = Listing::new(&["host"]);
        let faces = [Format::Table, Format::Yaml, Format::Json, Format::Jsonl];
        assert_eq!(faces.map(|format| empty.render(format, false)), ["", "", "[]\n", ""]);
    }
}
