//! `show` and `list`. `show` returns documents (YAML in the PAXOS shell's format, or JSON) and table rows; `list` returns
//! names only. A filter with an unknown name is refused; one that matches nothing returns nothing.

mod cluster;
mod config;
mod host;
mod slave;

pub use cluster::{ClusterFilter, list_clusters, show_clusters};
pub use config::{check_config, list_configs};
pub use host::{HostFilter, list_hosts, show_hosts};
pub use slave::{PairFilter, SlaveFilter, list_pairs, list_slaves, show_pairs, show_slaves};

use crate::document::Document;

/// The result of `show`.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// One for each thing that was found, for YAML and JSON.
    pub documents: Vec<Document>,
    /// Column titles of `rows`.
    pub header: Vec<&'static str>,
    /// As wide as `header`.
    pub rows: Vec<Vec<String>>,
}

impl Shown {
    /// YAML documents.
    pub fn text(&self) -> String {
        self.documents.iter().map(Document::shown).collect()
    }

    fn new(header: &[&'static str]) -> Shown {
        Shown { documents: Vec::new(), header: header.to_vec(), rows: Vec::new() }
    }

    fn push(&mut self, fields: Vec<(String, Document)>, row: Vec<String>) {
        self.documents.push(Document::Map(fields));
        self.rows.push(row);
    }
}

/// A field of a document.
fn field(name: &str, value: impl Into<Document>) -> (String, Document) {
    (name.to_owned(), value.into())
}

fn flow(words: &[String]) -> Document {
    Document::Flow(words.iter().map(|word| Document::Text(word.clone())).collect())
}
