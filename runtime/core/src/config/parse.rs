//! Reading `node.yaml`: first the shape, then the sense. Each complaint names file, line and column, because a
//! person may have edited the file.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{NODE_CONFIG_VERSION, NodeConfig, Parameters, Role, ServerRole, SlaveRole};
use crate::ring::REPLICAS_MAX;
use crate::ring::SLOTS;

/// Longest path of a Unix socket on Linux, without the closing zero byte.
const SOCKET_PATH_MAX_BYTES: usize = 107;

/// What is wrong with a configuration file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {what}")]
pub struct BadConfig {
    /// As it was given to `parse`.
    pub file: String,
    /// Counts from 1.
    pub line: usize,
    /// Counts from 1.
    pub column: usize,
    /// The rule that was broken, and what to write instead.
    pub what: String,
}

/// A complaint about the value at a path of keys and list indexes.
struct Complaint {
    path: Vec<PathSegment>,
    what: String,
}

#[derive(Clone)]
enum PathSegment {
    Key(&'static str),
    /// Counts from 0.
    Entry(usize),
}
use PathSegment::{Entry, Key};

fn complaint(path: &[PathSegment], what: impl Into<String>) -> Complaint {
    Complaint { path: path.to_vec(), what: what.into() }
}

impl NodeConfig {
    /// Reads and checks a whole file. `file_name` is only for the error.
    pub fn parse(text: &str, file_name: &str) -> Result<NodeConfig, BadConfig> {
        let config: NodeConfig =
            serde_yaml::from_str(text).map_err(|error| shape_error(&error, file_name))?;
        config.check().map_err(|complaint| {
            let (line, column) = locate(text, &complaint.path);
            BadConfig { file: file_name.to_owned(), line, column, what: complaint.what }
        })?;
        Ok(config)
    }

    /// The file's text. `parse` of it gives the same configuration again.
    pub fn to_yaml(&self) -> String {
        serde_yaml::to_string(self).expect("a configuration is numbers and words")
    }

    /// What is allowed, but probably not what was meant.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Role::Server(server) = &self.role {
            let servers = self.servers.len();
            if server.is_founder && server.replicas as usize > servers {
                let there_are = if servers == 1 {
                    "is only 1 server".into()
                } else {
                    format!("are only {servers} servers")
                };
                warnings.push(format!(
                    "replicas is {}, but there {there_are}: every server holds everything",
                    server.replicas
                ));
            }
        }
        if self.parameters.retired_cache_bytes.is_some() {
            warnings.push(
                "cache_bytes is read and has no effect: memory_bytes has its place; the next deploy writes the file anew"
                    .into(),
            );
        }
        warnings
    }

    fn check(&self) -> Result<(), Complaint> {
        if self.version != NODE_CONFIG_VERSION {
            let what =
                format!("version {} is unknown; this program reads {NODE_CONFIG_VERSION}", self.version);
            return Err(complaint(&[Key("version")], what));
        }
        self.check_servers()?;
        match &self.role {
            Role::Server(server) => self.check_server(server)?,
            Role::Slave(slave) => check_slave(slave)?,
        }
        check_parameters(&self.parameters)
    }

    fn check_servers(&self) -> Result<(), Complaint> {
        if self.servers.is_empty() {
            return Err(complaint(&[Key("servers")], "servers is empty: name at least one"));
        }
        let mut seen = BTreeMap::new();
        for (n, server) in self.servers.iter().enumerate() {
            if server.node_id.0 == 0 {
                return Err(complaint(
                    &[Key("servers"), Entry(n), Key("node_id")],
                    "node_id 0 means 'no node'",
                ));
            }
            let facts = [
                ("number", server.number.to_string()),
                ("node_id", server.node_id.to_string()),
                ("node_uuid", server.node_uuid.to_string()),
                ("address", server.address.to_string()),
            ];
            for (key, value) in facts {
                if let Some(first) = seen.insert((key, value.clone()), n + 1) {
                    let what = format!("{key} {value} is that of server {first} in this list already");
                    return Err(complaint(&[Key("servers"), Entry(n), Key(key)], what));
                }
            }
        }
        Ok(())
    }

    fn check_server(&self, server: &ServerRole) -> Result<(), Complaint> {
        let at =
            |key: &'static str, what: String| Err(complaint(&[Key("role"), Key("server"), Key(key)], what));
        if server.node_id.0 == 0 {
            return at("node_id", "node_id 0 means 'no node'".into());
        }
        if server.tablets == 0 || u32::from(server.tablets) > SLOTS {
            return at("tablets", format!("tablets is {}: 1 to {SLOTS} are possible", server.tablets));
        }
        if !(1..=REPLICAS_MAX).contains(&server.replicas) {
            return at(
                "replicas",
                format!("replicas is {}: 1 to {REPLICAS_MAX} are possible", server.replicas),
            );
        }
        let myself = self.servers.iter().find(|entry| entry.node_uuid == self.node_uuid);
        match myself {
            None if server.is_founder => {
                at("is_founder", "a founder stands in servers, but node_uuid is not there".into())
            }
            Some(entry) if entry.node_id != server.node_id => {
                at("node_id", format!("node_id is {}, but servers says {}", server.node_id, entry.node_id))
            }
            Some(entry) if entry.number != server.number => {
                at("number", format!("number is {}, but servers says {}", server.number, entry.number))
            }
            _ => Ok(()),
        }
    }
}

fn check_slave(slave: &SlaveRole) -> Result<(), Complaint> {
    let mut seen = BTreeMap::new();
    for (n, pair) in slave.pairs.iter().enumerate() {
        let path = [Key("role"), Key("slave"), Key("pairs"), Entry(n), Key("listen")];
        check_listen(&pair.listen).map_err(|what| complaint(&path, what))?;
        if let Some(first) = seen.insert(&pair.listen, n + 1) {
            let what = format!("{} is where pair {first} of this list listens already", pair.listen);
            return Err(complaint(&path, what));
        }
    }
    Ok(())
}

/// Applications are not authenticated, so only those on the same host may reach a slave.
fn check_listen(listen: &str) -> Result<(), String> {
    if listen.starts_with('/') {
        let is_short = listen.len() <= SOCKET_PATH_MAX_BYTES;
        return if is_short {
            Ok(())
        } else {
            Err(format!(
                "{listen} is longer than the {SOCKET_PATH_MAX_BYTES} bytes a Unix socket's path may have"
            ))
        };
    }
    let expected = "ADDRESS:PORT on loopback (as in 127.0.0.1:11211), or the absolute path of a Unix socket";
    match listen.parse::<SocketAddr>() {
        Err(_) => Err(format!("{listen} is not {expected}")),
        Ok(address) if address.port() == 0 => {
            Err(format!("{listen} has port 0, which no application can know"))
        }
        Ok(address) if !address.ip().is_loopback() => {
            Err(format!("{listen} can be reached from other hosts; allowed is {expected}"))
        }
        Ok(_) => Ok(()),
    }
}

fn check_parameters(parameters: &Parameters) -> Result<(), Complaint> {
    parameters.check().map_err(|(name, what)| complaint(&[Key("parameters"), Key(name)], what))
}

fn shape_error(error: &serde_yaml::Error, file_name: &str) -> BadConfig {
    let (line, column) = error.location().map_or((1, 1), |place| (place.line(), place.column()));
    let text = error.to_string();
    // The library appends the position to its message; ours comes first.
    let what = text.find(" at line ").map_or(text.as_str(), |end| &text[..end]);
    BadConfig { file: file_name.to_owned(), line, column, what: what.to_owned() }
}

/// The line and column (from 1) of a value in a file of block style, as `to_yaml` writes it. Where the path leaves
/// what can be followed (a hand-written flow list, a key left out), the last place that was found.
fn locate(text: &str, path: &[PathSegment]) -> (usize, usize) {
    let lines: Vec<Line> = text.lines().enumerate().filter_map(|(n, raw)| Line::of(n + 1, raw)).collect();
    let mut found = (1, 1);
    let mut inside: &[Line] = &lines;
    for step in path {
        let Some((place, rest)) = descend(inside, step) else { break };
        (found, inside) = (place, rest);
    }
    found
}

/// A line that says something.
#[derive(Clone, Copy)]
struct Line<'a> {
    number: usize,
    /// Columns before the text, from 0; a list's dash counts as part of the indent of what follows it.
    indent: usize,
    is_entry: bool,
    text: &'a str,
}

impl<'a> Line<'a> {
    fn of(number: usize, raw: &'a str) -> Option<Line<'a>> {
        let text = raw.trim_start();
        if text.is_empty() || text.starts_with('#') {
            return None;
        }
        let indent = raw.len() - text.len();
        match text.strip_prefix("- ") {
            None => Some(Line { number, indent, is_entry: false, text }),
            Some(rest) => {
                let text = rest.trim_start();
                Some(Line { number, indent: raw.len() - text.len(), is_entry: true, text })
            }
        }
    }

    fn is_key(&self, key: &str) -> bool {
        self.text.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':'))
    }
}

/// One step into a block: the place of the key or entry, and the lines that belong to it.
fn descend<'a, 'b>(block: &'b [Line<'a>], step: &PathSegment) -> Option<((usize, usize), &'b [Line<'a>])> {
    let indent = block.first()?.indent;
    let is_here = |line: &Line| line.indent == indent;
    let start = match step {
        Key(key) => block.iter().position(|line| is_here(line) && line.is_key(key))?,
        Entry(n) => {
            let entries = block.iter().enumerate().filter(|(_, line)| is_here(line) && line.is_entry);
            entries.map(|(at, _)| at).nth(*n)?
        }
    };
    let line = block[start];
    // A list may be at the indent of its key: its dash is two columns before its text.
    let (first, ends_at): (usize, fn(&Line, usize) -> bool) = match step {
        Key(_) => (start + 1, |next, indent| next.indent <= indent),
        Entry(_) => (start, |next, indent| next.is_entry && next.indent == indent),
    };
    let length = block[start + 1..].iter().take_while(|next| !ends_at(next, indent)).count();
    Some(((line.number, line.indent + 1), &block[first..start + 1 + length]))
}
