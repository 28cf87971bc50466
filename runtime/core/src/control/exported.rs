//! Keys with all that they hold, as lines of JSON: what an export writes and an import reads. The spelling never changes; a
//! later release only adds to it.

use serde::{Deserialize, Serialize};

use super::Blob;

/// One key, or a part of a large collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedRecord {
    /// Without its namespace.
    pub key: Blob,
    /// What it holds.
    #[serde(flatten)]
    pub content: ExportedContent,
    /// memcached's; of strings only.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub flags: u32,
    /// Milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<u64>,
    /// These elements come after those of the record before, which has the same key. A record without it replaces the key.
    #[serde(default, skip_serializing_if = "is_false")]
    pub continues: bool,
}

/// What a key holds, by its type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
pub enum ExportedContent {
    /// A value of memcached, or a string of RESP.
    String(Blob),
    /// Elements from left to right.
    List(Vec<Blob>),
    /// Fields and values.
    Hash(Vec<(Blob, Blob)>),
    /// Members.
    Set(Vec<Blob>),
    /// Members and scores. A score is text, because JSON has no infinity.
    SortedSet(Vec<(Blob, String)>),
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Blob {
        Blob::Text(text.into())
    }

    #[test]
    fn records_are_spelt_as_in_every_release() {
        let check = |content: ExportedContent, line: &str| {
            let record =
                ExportedRecord { key: text("k"), content, flags: 0, expires_at_ms: None, continues: false };
            assert_eq!(serde_json::to_string(&record).unwrap(), line);
            assert_eq!(serde_json::from_str::<ExportedRecord>(line).unwrap(), record);
        };
        check(
            ExportedContent::String(Blob::from_bytes(&[0xff])),
            r#"{"key":{"text":"k"},"type":"string","value":{"base64":"/w=="}}"#,
        );
        check(
            ExportedContent::List(vec![text("a")]),
            r#"{"key":{"text":"k"},"type":"list","value":[{"text":"a"}]}"#,
        );
        check(
            ExportedContent::Hash(vec![(text("f"), text("v"))]),
            r#"{"key":{"text":"k"},"type":"hash","value":[[{"text":"f"},{"text":"v"}]]}"#,
        );
        check(
            ExportedContent::Set(vec![text("m")]),
            r#"{"key":{"text":"k"},"type":"set","value":[{"text":"m"}]}"#,
        );
        check(
            ExportedContent::SortedSet(vec![(text("m"), "-inf".into())]),
            r#"{"key":{"text":"k"},"type":"sorted_set","value":[[{"text":"m"},"-inf"]]}"#,
        );
        let all =
            r#"{"key":{"text":"k"},"type":"set","value":[],"flags":7,"expires_at_ms":9,"continues":true}"#;
        let record: ExportedRecord = serde_json::from_str(all).unwrap();
        assert!(record.continues && record.flags == 7 && record.expires_at_ms == Some(9));
        assert_eq!(serde_json::to_string(&record).unwrap(), all);
    }
}
