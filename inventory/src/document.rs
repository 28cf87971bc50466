//! A document as people read it: ordered fields, written as YAML in the shape of the PAXOS shell, or serialised
//! (in the same order) as JSON. Every scalar is written so that readers of YAML 1.1 and 1.2 see the same text;
//! there is no anchor, tag or multi-line scalar.

use std::fmt::Write as _;

use dkc_core::config::Setting;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

/// A YAML or JSON value that remembers the order of its fields.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// `name:` with nothing behind it; `null` in JSON.
    Nothing,
    /// `true` or `false`.
    Bool(bool),
    /// Written as it is.
    Number(serde_json::Number),
    /// Quoted only where it must be.
    Text(String),
    /// Quoted always, as the PAXOS shell does for host names and users.
    Quoted(String),
    /// `[a, b]` on one line.
    Flow(Vec<Document>),
    /// One element a line, after `- `.
    List(Vec<Document>),
    /// In the order of the pairs; keys are plain words.
    Map(Vec<(String, Document)>),
    /// A map whose keys are numbers and are written as such.
    ById(Vec<(u64, Document)>),
}

impl From<&str> for Document {
    fn from(text: &str) -> Self {
        Document::Text(text.into())
    }
}
impl From<String> for Document {
    fn from(text: String) -> Self {
        Document::Text(text)
    }
}
impl From<u64> for Document {
    fn from(number: u64) -> Self {
        Document::Number(number.into())
    }
}
impl From<u32> for Document {
    fn from(number: u32) -> Self {
        Document::Number(number.into())
    }
}
impl From<u16> for Document {
    fn from(number: u16) -> Self {
        Document::Number(number.into())
    }
}
impl From<bool> for Document {
    fn from(value: bool) -> Self {
        Document::Bool(value)
    }
}
impl From<Setting> for Document {
    fn from(setting: Setting) -> Self {
        match setting {
            Setting::Number(number) => Document::Number(number.into()),
            Setting::Text(text) => Document::Text(text),
        }
    }
}
impl From<serde_yaml::Value> for Document {
    fn from(value: serde_yaml::Value) -> Self {
        use serde_yaml::Value;
        match value {
            Value::Null => Document::Nothing,
            Value::Bool(b) => Document::Bool(b),
            Value::Number(n) => number(&n),
            Value::String(s) => Document::Text(s),
            Value::Sequence(items) => Document::List(items.into_iter().map(Document::from).collect()),
            Value::Mapping(fields) => mapping(fields),
            Value::Tagged(tagged) => Document::from(tagged.value),
        }
    }
}

fn number(n: &serde_yaml::Number) -> Document {
    let exact = n.as_u64().map(serde_json::Number::from).or_else(|| n.as_i64().map(serde_json::Number::from));
    match exact.or_else(|| n.as_f64().and_then(serde_json::Number::from_f64)) {
        Some(number) => Document::Number(number),
        None => Document::Text(n.to_string()),
    }
}

fn mapping(fields: serde_yaml::Mapping) -> Document {
    if !fields.is_empty() && fields.keys().all(serde_yaml::Value::is_u64) {
        let by_id = fields.into_iter().filter_map(|(k, v)| Some((k.as_u64()?, Document::from(v))));
        return Document::ById(by_id.collect());
    }
    Document::Map(fields.into_iter().map(|(k, v)| (key_text(k), Document::from(v))).collect())
}

fn key_text(key: serde_yaml::Value) -> String {
    match key {
        serde_yaml::Value::String(text) => text,
        other => serde_yaml::to_string(&other).unwrap_or_default().trim().to_owned(),
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Document::Nothing => serializer.serialize_none(),
            Document::Bool(value) => serializer.serialize_bool(*value),
            Document::Number(number) => number.serialize(serializer),
            Document::Text(text) | Document::Quoted(text) => serializer.serialize_str(text),
            Document::Flow(items) | Document::List(items) => {
                let mut sequence = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    sequence.serialize_element(item)?;
                }
                sequence.end()
            }
            Document::Map(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
            Document::ById(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (id, value) in fields {
                    map.serialize_entry(id, value)?;
                }
                map.end()
            }
        }
    }
}

impl Document {
    /// The text in the shape of the PAXOS shell's `show`, beginning with `---`.
    pub fn shown(&self) -> String {
        let mut out = String::from("---\n");
        write_block(&mut out, self, 0, Dash::Alone);
        out
    }

    /// The text of a file: the same, with the first field of a list's element beside its dash.
    pub fn file_text(&self) -> String {
        let mut out = String::new();
        write_block(&mut out, self, 0, Dash::BesideFirst);
        out
    }

    fn is_inline(&self) -> bool {
        match self {
            Document::Map(fields) => fields.is_empty(),
            Document::List(items) => items.is_empty(),
            Document::ById(fields) => fields.is_empty(),
            _ => true,
        }
    }

    fn inline(&self) -> String {
        match self {
            Document::Nothing => String::new(),
            Document::Bool(value) => value.to_string(),
            Document::Number(number) => number.to_string(),
            Document::Text(text) => scalar(text),
            Document::Quoted(text) => quoted(text),
            Document::Flow(items) => {
                format!("[{}]", items.iter().map(Document::inline).collect::<Vec<_>>().join(", "))
            }
            Document::List(_) => "[]".into(),
            Document::Map(_) | Document::ById(_) => "{}".into(),
        }
    }
}

/// Indent of a list's dash when its element is a map.
#[derive(Clone, Copy, PartialEq)]
enum Dash {
    Alone,
    BesideFirst,
}

fn write_block(out: &mut String, document: &Document, depth: usize, dash: Dash) {
    match document {
        Document::Map(fields) => {
            for (name, value) in fields {
                out.push_str(&" ".repeat(depth));
                write_field(out, &key(name), value, depth, dash);
            }
        }
        Document::ById(fields) => {
            for (id, value) in fields {
                out.push_str(&" ".repeat(depth));
                write_field(out, &id.to_string(), value, depth, dash);
            }
        }
        Document::List(items) => items.iter().for_each(|item| write_item(out, item, depth, dash)),
        other => {
            let _ = writeln!(out, "{}{}", " ".repeat(depth), other.inline());
        }
    }
}

/// `name: value` behind an indent that is already written.
fn write_field(out: &mut String, name: &str, value: &Document, depth: usize, dash: Dash) {
    match value {
        Document::Nothing => {
            let _ = writeln!(out, "{name}:");
        }
        value if value.is_inline() => {
            let _ = writeln!(out, "{name}: {}", value.inline());
        }
        value => {
            let _ = writeln!(out, "{name}:");
            write_block(out, value, depth + 2, dash);
        }
    }
}

fn write_item(out: &mut String, item: &Document, depth: usize, dash: Dash) {
    let indent = " ".repeat(depth);
    match item {
        Document::Map(fields) if !fields.is_empty() => {
            let inside = depth + 2;
            for (index, (name, value)) in fields.iter().enumerate() {
                let lead = match (index, dash) {
                    (0, Dash::Alone) => format!("{indent}-\n{}", " ".repeat(inside)),
                    (0, Dash::BesideFirst) => format!("{indent}- "),
                    _ => " ".repeat(inside),
                };
                out.push_str(&lead);
                write_field(out, &key(name), value, inside, dash);
            }
        }
        item => {
            let _ = writeln!(out, "{indent}- {}", item.inline());
        }
    }
}

/// A field's name. Names of ours hold a space at most (`name space`), which a plain scalar may.
fn key(name: &str) -> String {
    match name.split(' ').all(|word| scalar(word) == word) {
        true => name.to_owned(),
        false => quoted(name),
    }
}

/// A string as a YAML scalar: plain where no reader of YAML 1.1 or 1.2 can take it for something else.
pub fn scalar(text: &str) -> String {
    match is_plain(text) {
        true => text.to_owned(),
        false => quoted(text),
    }
}

/// In double quotes. JSON's escapes are YAML's.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            // YAML counts these among line ends and invisible marks; inside quotes they would be folded or refused.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c if (0xfffe..=0xffff).contains(&(c as u32)) => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn is_plain(text: &str) -> bool {
    let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/' || c == '_');
    let is_made_well = text.chars().all(|c| c.is_ascii_alphanumeric() || "_./:@+-".contains(c));
    begins_well && is_made_well && !text.ends_with(':') && !is_retyped(text)
}

/// Would some YAML reader make a boolean, null, number, time of day (base 60) or date of this word?
fn is_retyped(text: &str) -> bool {
    const WORDS: [&str; 13] =
        ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity", "none"];
    let lower = text.to_ascii_lowercase();
    WORDS.contains(&lower.as_str()) || is_number(&lower) || is_sexagesimal(&lower) || is_date(&lower)
}

fn is_number(lower: &str) -> bool {
    let digits = lower.replace('_', "");
    let has_base = |prefix: &str, radix: u32| {
        digits.strip_prefix(prefix).is_some_and(|rest| rest.chars().all(|c| c.is_digit(radix)))
    };
    digits.parse::<f64>().is_ok() || has_base("0x", 16) || has_base("0o", 8) || has_base("0b", 2)
}

fn is_sexagesimal(lower: &str) -> bool {
    lower.contains(':') && lower.split(':').all(|part| part.replace('_', "").parse::<f64>().is_ok())
}

fn is_date(lower: &str) -> bool {
    let year: Vec<char> = lower.chars().take(5).collect();
    year.len() == 5 && year[..4].iter().all(char::is_ascii_digit) && year[4] == '-'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &str) {
        assert_eq!(scalar(text), want);
        let back: serde_yaml::Value = serde_yaml::from_str(&scalar(text)).unwrap();
        assert_eq!(back, serde_yaml::Value::String(text.into()), "{text} does not read back");
    }

    #[test]
    fn names_that_yaml_readers_would_retype_are_quoted() {
        for word in [
            "no",
            "NO",
            "on",
            "yes",
            "y",
            "off",
            "true",
            "null",
            "~",
            "12:30",
            "1:2:3",
            "1e3",
            "0x1f",
            "0o17",
            "017",
            "0b101",
            "1_000",
            "12",
            "1.5",
            ".inf",
            "2024-01-31",
            "",
            "-",
            "=",
            "<<",
            "a: b",
            "a #b",
            "::1",
            "*a",
            "&a",
        ] {
            check(word, &format!("\"{word}\""));
        }
    }

    #[test]
    fn ordinary_names_stay_plain() {
        for word in [
            "c0",
            "dkc",
            "10.0.0.1",
            "10.0.0.1:8020",
            "/var/lib/dkc",
            "0b1e7c1c-6f0f-4f0e",
            "none-such",
            "e3",
        ] {
            check(word, word);
        }
    }

    #[test]
    fn letters_that_need_an_escape_read_back() {
        for word in
            ["a\"b", "tab\there", "line\nend", "\u{85}", "\u{2028}", "日本", "back\\slash", "\u{7f}\u{1}"]
        {
            let back: String = serde_yaml::from_str(&scalar(word)).unwrap();
            assert_eq!(back, word);
        }
    }
}
