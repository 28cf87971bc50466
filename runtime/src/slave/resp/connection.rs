//! Commands about the connection and the server, sent by clients when they connect and by operators.

use bytes::Bytes;
use dkc_core::kv::Value;
use dkc_core::resp::{COMMANDS, CommandInfo, ConnectionCommand, Version, find, matches, write_error};

use super::{REDIS_VERSION, Resp};
use crate::clock;
use crate::slave::output::Output;
use crate::slave::statistics::counts;

/// The number of databases for `SELECT`, as in Redis.
const DATABASES: u32 = 16;

fn text(text: impl Into<String>) -> Value {
    Value::Text(Bytes::from(text.into()))
}

fn word(word: &'static str) -> Value {
    Value::Word(Bytes::from_static(word.as_bytes()))
}

impl Resp {
    pub(super) async fn connection(&mut self, command: ConnectionCommand, output: &mut Output) {
        let words = &command.words;
        let told = match command.name {
            "hello" => self.hello(words),
            "auth" => auth(words).map(|()| Value::OKAY),
            "select" => self.select(&words[0]),
            "client" => self.client(words),
            "command" => command_info(words),
            "config" => self.config(words),
            "time" => Ok(time()),
            _ => Ok(text(self.info(words).await)),
        };
        match told {
            Ok(value) => self.write(&value, output),
            Err(why) => write_error(output.buffer(), &why),
        }
    }

    fn hello(&mut self, words: &[Bytes]) -> Result<Value, String> {
        let mut version = self.version;
        if let Some(number) = words.first() {
            version = match &number[..] {
                b"2" => Version::Two,
                b"3" => Version::Three,
                other if other.iter().all(u8::is_ascii_digit) => {
                    return Err("NOPROTO unsupported protocol version".into());
                }
                _ => return Err("ERR Protocol version is not an integer or out of range".into()),
            };
        }
        let (mut at, mut name) = (1, None);
        while at < words.len() {
            let option = words[at].to_ascii_lowercase();
            match (&option[..], words.len() - at) {
                (b"auth", 3..) => {
                    auth(&words[at + 1..at + 3])?;
                    at += 3;
                }
                (b"setname", 2..) => {
                    name = Some(client_name(&words[at + 1])?);
                    at += 2;
                }
                _ => {
                    let option = String::from_utf8_lossy(&words[at]).into_owned();
                    return Err(format!("ERR Syntax error in HELLO option '{option}'"));
                }
            }
        }
        self.version = version;
        self.name = name.unwrap_or_else(|| self.name.clone());
        let number = if version == Version::Three { 3 } else { 2 };
        Ok(Value::Map(vec![
            text("server"),
            text("redis"),
            text("version"),
            text(REDIS_VERSION),
            text("proto"),
            Value::Integer(number),
            text("id"),
            Value::Integer(self.number as i64),
            text("mode"),
            text("standalone"),
            text("role"),
            text("master"),
            text("modules"),
            Value::Array(Vec::new()),
        ]))
    }

    /// Database 0 is the namespace of the pair; the names of the others are derived from it.
    fn select(&mut self, number: &Bytes) -> Result<Value, String> {
        let number = std::str::from_utf8(number).ok().and_then(|number| number.parse::<i64>().ok());
        let number = number.ok_or("ERR value is not an integer or out of range")?;
        let number = u32::try_from(number).ok().filter(|number| *number < DATABASES);
        let number = number.ok_or("ERR DB index is out of range")?;
        let own = &self.service.namespace;
        self.namespace = match number {
            0 => own.clone(),
            number => format!("{own}-{number}").parse().map_err(|error| format!("ERR {error}"))?,
        };
        self.database = number;
        Ok(Value::OKAY)
    }

    fn client(&mut self, words: &[Bytes]) -> Result<Value, String> {
        let sub = words[0].to_ascii_lowercase();
        match (&sub[..], words.len()) {
            (b"id", 1) => Ok(Value::Integer(self.number as i64)),
            (b"getname", 1) if self.name.is_empty() => Ok(Value::Nil),
            (b"getname", 1) => Ok(Value::Text(self.name.clone())),
            (b"setname", 2) => {
                self.name = client_name(&words[1])?;
                Ok(Value::OKAY)
            }
            (b"info" | b"list", _) => Ok(text(self.client_line())),
            (b"no-evict" | b"no-touch", 2) => Ok(Value::OKAY),
            (b"setinfo", 3) => Ok(Value::OKAY),
            (b"reply", 2) if words[1].eq_ignore_ascii_case(b"on") => Ok(Value::OKAY),
            _ => Err(unknown_subcommand("CLIENT", &words[0])),
        }
    }

    fn client_line(&self) -> String {
        let name = String::from_utf8_lossy(&self.name);
        let protocol = if self.version == Version::Three { 3 } else { 2 };
        format!("id={} name={name} db={} resp={protocol}\n", self.number, self.database)
    }

    fn config(&self, words: &[Bytes]) -> Result<Value, String> {
        let sub = words[0].to_ascii_lowercase();
        match &sub[..] {
            b"get" if words.len() > 1 => {
                let is_asked = |name: &str| {
                    words[1..].iter().any(|pattern| matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
                };
                let found = self.settings().into_iter().filter(|(name, _)| is_asked(name));
                Ok(Value::Map(found.flat_map(|(name, value)| [text(name), text(value)]).collect()))
            }
            b"resetstat" => {
                use crate::slave::statistics::Counters;
                self.service.traffic.counters.reset();
                self.service
                    .statistics
                    .total_commands_processed
                    .store(0, std::sync::atomic::Ordering::Relaxed);
                Ok(Value::OKAY)
            }
            b"set" if words.len() < 3 => Err("ERR wrong number of arguments for 'config|set' command".into()),
            b"set" if words.len().is_multiple_of(2) => Err("ERR syntax error".into()),
            b"set" => self.config_set(&words[1..]),
            _ => Err(unknown_subcommand("CONFIG", &words[0])),
        }
    }

    /// What `CONFIG` knows.
    fn settings(&self) -> [(&'static str, String); 7] {
        [
            ("appendonly", "yes".to_owned()),
            ("appendfsync", "always".to_owned()),
            ("databases", DATABASES.to_string()),
            ("maxmemory", "0".to_owned()),
            ("maxmemory-policy", "noeviction".to_owned()),
            ("proto-max-bulk-len", self.service.value_max_bytes.to_string()),
            ("save", String::new()),
        ]
    }

    /// Parameters are those of the cluster: a value that is in use already is accepted, no other is.
    fn config_set(&self, pairs: &[Bytes]) -> Result<Value, String> {
        let settings = self.settings();
        let told = |word: &Bytes| String::from_utf8_lossy(word).into_owned();
        for pair in pairs.chunks(2) {
            let name = pair[0].to_ascii_lowercase();
            let found = settings.iter().find(|(known, _)| known.as_bytes() == name);
            let (Some((known, value)), [_, wanted]) = (found, pair) else {
                return Err(format!(
                    "ERR Unknown option or number of arguments for CONFIG SET - '{}'",
                    told(&pair[0])
                ));
            };
            let why = match *known {
                "databases" => "can't set immutable config",
                _ if value.as_bytes() == wanted => continue,
                _ => "parameters are set with dkc",
            };
            let name = told(&pair[0]);
            return Err(format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}"));
        }
        Ok(Value::OKAY)
    }

    async fn info(&self, words: &[Bytes]) -> String {
        let wanted = |section: &str| {
            let is_it = |word: &Bytes| {
                let word = word.to_ascii_lowercase();
                word == section.as_bytes() || matches!(&word[..], b"all" | b"default" | b"everything")
            };
            words.is_empty() || words.iter().any(is_it)
        };
        let mut all = String::new();
        if wanted("server") {
            all += &format!(
                "# Server\r\nredis_version:{REDIS_VERSION}\r\ndkcd_version:{}\r\nredis_mode:standalone\r\n\
                 process_id:{}\r\nuptime_in_seconds:{}\r\n\r\n",
                env!("CARGO_PKG_VERSION"),
                std::process::id(),
                self.service.started.elapsed().as_secs(),
            );
        }
        if wanted("clients") {
            all += &format!("# Clients\r\nconnected_clients:{}\r\n\r\n", self.service.traffic.connections());
        }
        if wanted("stats") {
            all += "# Stats\r\n";
            let traffic = counts(&self.service.traffic.counters).into_iter();
            for (name, count) in traffic.chain(counts(&*self.service.statistics)) {
                all += &format!("{name}:{count}\r\n");
            }
            all += "\r\n";
        }
        if wanted("replication") {
            all += "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n\r\n";
        }
        if wanted("keyspace") {
            all += "# Keyspace\r\n";
            if let Ok((records @ 1.., bytes)) = self.count().await {
                all += &format!("db{}:keys={records},expires=0,avg_ttl=0,bytes={bytes}\r\n", self.database);
            }
        }
        all
    }
}

/// There are no passwords yet: a pair listens on loopback or on a Unix socket.
fn auth(words: &[Bytes]) -> Result<(), String> {
    match words {
        [_] => Err("ERR AUTH <password> called without any password configured for the default user. \
            Are you sure your configuration is correct?"
            .into()),
        [user, _] if user == "default" => Ok(()),
        [_, _] => Err("WRONGPASS invalid username-password pair or user is disabled.".into()),
        _ => Err("ERR syntax error".into()),
    }
}

fn client_name(name: &Bytes) -> Result<Bytes, String> {
    if name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        return Ok(name.clone());
    }
    Err("ERR Client names cannot contain spaces, newlines or special characters.".into())
}

fn unknown_subcommand(name: &str, sub: &Bytes) -> String {
    format!("ERR unknown subcommand '{}'. Try {name} HELP.", String::from_utf8_lossy(sub))
}

fn time() -> Value {
    let now_ms = clock::now_ms();
    Value::texts([(now_ms / 1000).to_string().into(), (now_ms % 1000 * 1000).to_string().into()])
}

fn command_info(words: &[Bytes]) -> Result<Value, String> {
    let Some(sub) = words.first() else { return Ok(Value::Array(COMMANDS.iter().map(describe).collect())) };
    let named = |name: &Bytes| std::str::from_utf8(&name.to_ascii_lowercase()).ok().and_then(find);
    match &sub.to_ascii_lowercase()[..] {
        b"count" => Ok(Value::count(COMMANDS.len())),
        b"info" if words.len() == 1 => Ok(Value::Array(COMMANDS.iter().map(describe).collect())),
        b"info" => Ok(Value::Array(
            words[1..].iter().map(|name| named(name).map_or(Value::NilArray, describe)).collect(),
        )),
        b"list" => Ok(Value::Array(COMMANDS.iter().map(|command| text(command.name)).collect())),
        b"docs" => {
            let all: Vec<&CommandInfo> = match words.len() {
                1 => COMMANDS.iter().collect(),
                _ => words[1..].iter().filter_map(named).collect(),
            };
            let each = |command: &CommandInfo| {
                [
                    text(command.name),
                    Value::Map(vec![text("summary"), text(""), text("group"), text(command.group)]),
                ]
            };
            Ok(Value::Map(all.into_iter().flat_map(each).collect()))
        }
        _ => Err(unknown_subcommand("COMMAND", sub)),
    }
}

fn describe(command: &CommandInfo) -> Value {
    let flag = word(if command.is_write { "write" } else { "readonly" });
    let (first, last, step) = command.keys;
    Value::Array(vec![
        text(command.name),
        Value::Integer(i64::from(command.arity)),
        Value::Set(vec![flag]),
        Value::Integer(i64::from(first)),
        Value::Integer(i64::from(last)),
        Value::Integer(i64::from(step)),
        Value::Set(Vec::new()),
        Value::Set(Vec::new()),
        Value::Array(Vec::new()),
        Value::Array(Vec::new()),
    ])
}
