//! Random commands over few keys, sent to a slave and to the real redis-server beside it: every answer is the same. Left out is
//! what differs on purpose (`dkc_core::resp` lists it); hashes and sets are compared without their order, times of life with
//! room for the time between the two.

use std::process::{Child, Command};

use super::differential::{Random, commands};
use super::*;

const SEEDS: [u64; 2] = [1, 2];
const PIPELINE_MAX: u64 = 60;
/// Commands before a difference that are shown.
const LATELY: usize = 12;
/// So many are enough for one run.
const DIFFERENCES_MAX: usize = 30;
/// A sorted set whose scores are all the same.
const LEX_KEY: &str = "{t}lex";
/// How far two servers' times of life may differ, in milliseconds.
const LIFE_MAX_MS: i64 = 20_000;

pub(super) struct Redis {
    process: Child,
    listen: String,
}

impl Redis {
    pub fn start() -> Redis {
        let address = free_address().to_string();
        let (host, port) = address.rsplit_once(':').unwrap();
        let words =
            ["--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--loglevel", "warning"];
        let process = Command::new("redis-server").args(words).spawn().expect("redis-server is installed");
        Redis { process, listen: address }
    }

    pub async fn connect(&self) -> TcpStream {
        let until = Instant::now() + LIMIT;
        loop {
            match TcpStream::connect(&self.listen).await {
                Ok(stream) => return stream,
                Err(error) => assert!(Instant::now() < until, "redis-server does not listen: {error}"),
            }
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An answer, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    Line(String),
    Text(Vec<u8>),
    All(char, Vec<Told>),
}

/// Answers as they come.
pub(super) struct Answers<S = TcpStream> {
    pub stream: S,
    read: Vec<u8>,
    at: usize,
}

impl<S: AsyncReadExt + Unpin> Answers<S> {
    pub fn new(stream: S) -> Answers<S> {
        Answers { stream, read: Vec::new(), at: 0 }
    }

    async fn fill(&mut self, wanted: usize) {
        while self.read.len() < wanted {
            let count = tokio::time::timeout(LIMIT, self.stream.read_buf(&mut self.read)).await;
            assert!(count.expect("answers in time").unwrap() > 0, "closed after {:?}", self.read);
        }
    }

    async fn line(&mut self) -> String {
        let mut end = self.at;
        loop {
            self.fill(end + 2).await;
            if &self.read[end..end + 2] == b"\r\n" {
                break;
            }
            end += 1;
        }
        let line = String::from_utf8_lossy(&self.read[self.at..end]).into_owned();
        self.at = end + 2;
        line
    }

    pub async fn next(&mut self) -> Told {
        if self.at == self.read.len() {
            self.read.clear();
            self.at = 0;
        }
        let line = self.line().await;
        let count: i64 = line[1..].parse().unwrap_or(-1);
        match line.chars().next().unwrap() {
            '$' if count >= 0 => {
                let end = self.at + count as usize;
                self.fill(end + 2).await;
                let text = self.read[self.at..end].to_vec();
                self.at = end + 2;
                Told::Text(text)
            }
            mark @ ('*' | '~' | '%' | '>') if count >= 0 => {
                let count = if mark == '%' { count * 2 } else { count };
                let mut all = Vec::new();
                for _ in 0..count {
                    all.push(Box::pin(self.next()).await);
                }
                Told::All(mark, all)
            }
            _ => Told::Line(line),
        }
    }
}

pub(super) fn encode<S: AsRef<str>>(words: &[S]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words.iter().map(AsRef::as_ref) {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
    }
    bytes
}

/// Without what may differ.
fn comparable(command: &[String], told: Told) -> Told {
    let in_pairs = |all: Vec<Told>| {
        let mut pairs: Vec<Told> = all.chunks(2).map(|pair| Told::All('*', pair.to_vec())).collect();
        pairs.sort();
        pairs
    };
    match (command[0].as_str(), told) {
        (
            "smembers" | "spop" | "sunion" | "sinter" | "sdiff" | "hkeys" | "hvals" | "keys",
            Told::All(mark, mut all),
        ) => {
            all.sort();
            Told::All(mark, all)
        }
        ("hgetall", Told::All(mark, all)) => Told::All(mark, in_pairs(all)),
        ("sscan" | "hscan" | "zscan", Told::All(mark, mut all)) => {
            let found = all.pop();
            if let Some(Told::All(_, found)) = found {
                let found = if command[0] == "sscan" {
                    let mut found = found;
                    found.sort();
                    found
                } else {
                    in_pairs(found)
                };
                all.push(Told::All('*', found));
            }
            Told::All(mark, all)
        }
        (_, told) => told,
    }
}

/// What Redis says of a key that is not there or is of another type.
fn is_before_the_words(told: &Told) -> bool {
    match told {
        Told::Line(line) => ["$-1", "*-1", "_", ":0"].contains(&line.as_str()) || line.starts_with('-'),
        Told::All(_, all) => {
            all.iter().all(|part| *part == Told::Text(b"0".to_vec()) || is_before_the_words(part))
        }
        Told::Text(_) => false,
    }
}

/// Commands whose words we look at before their key; Redis looks at the key first and does not get to a mistake in the words.
const WORDS_FIRST: [&str; 11] = [
    "bitcount",
    "lcs",
    "getex",
    "hscan",
    "sscan",
    "zscan",
    "zunionstore",
    "zinterstore",
    "incrbyfloat",
    "zrange",
    "setrange",
];

/// Redis counts with 80 bits, so that more than 19 digits are rounded there and not here: the two are compared as `f64`, and
/// such a command is the last of its pipeline.
fn is_float(command: &[String]) -> bool {
    matches!(command[0].as_str(), "incrbyfloat" | "hincrbyfloat")
}

fn is_nearly(ours: &Told, theirs: &Told) -> bool {
    let number = |told: &Told| match told {
        Told::Text(text) => String::from_utf8_lossy(text).parse::<f64>().ok(),
        _ => None,
    };
    let (Some(ours), Some(theirs)) = (number(ours), number(theirs)) else { return false };
    (ours - theirs).abs() <= theirs.abs() * 4.0 * f64::EPSILON
}

fn is_same(command: &[String], ours: &Told, theirs: &Told) -> bool {
    let is_mistake = |told: &Told| matches!(told, Told::Line(line) if line.starts_with("-ERR"));
    if WORDS_FIRST.contains(&command[0].as_str()) && is_mistake(ours) && is_before_the_words(theirs) {
        return true;
    }
    if is_float(command) && is_nearly(ours, theirs) {
        return true;
    }
    let unit_ms = match command[0].as_str() {
        "ttl" | "expiretime" => 1000,
        "pttl" | "pexpiretime" => 1,
        _ => return comparable(command, ours.clone()) == comparable(command, theirs.clone()),
    };
    let number = |told: &Told| match told {
        Told::Line(line) => line[1..].parse::<i64>().ok(),
        _ => None,
    };
    match (number(ours), number(theirs)) {
        (Some(ours), Some(theirs)) if ours > 0 && theirs > 0 => {
            (ours - theirs).abs() * unit_ms <= LIFE_MAX_MS
        }
        (ours, theirs) => ours == theirs,
    }
}

impl Random {
    fn word(&mut self, words: &[&str]) -> String {
        self.of(words).to_owned()
    }

    /// All in one slot, so that every command may have several.
    fn tagged(&mut self) -> String {
        self.word(&["{t}a", "{t}b", "{t}c", "{t}d", "{t}e", "{t}f"])
    }

    fn text(&mut self) -> String {
        self.word(&[
            "", "x", "0", "5", "10", "-3", "1.5", "abc", "abcdefgh", "12345", "foobar", " 7", "3.0e2", "a",
        ])
    }

    fn integer(&mut self) -> String {
        self.word(&["0", "1", "1", "-1", "2", "3", "-2", "5", "100", "-100", "x", "9223372036854775807"])
    }

    fn index(&mut self) -> String {
        self.word(&["0", "1", "-1", "2", "-2", "3", "-3", "10", "-10"])
    }

    fn score(&mut self) -> String {
        self.word(&["0", "1", "2", "3", "-1", "1.5", "0.1", "100", "inf", "-inf", "3", "2"])
    }

    fn member(&mut self) -> String {
        self.word(&["a", "b", "c", "d", "e", "aa", "ab", "zz", "1", "2"])
    }

    fn bound(&mut self) -> String {
        self.word(&["-inf", "+inf", "0", "1", "(1", "2", "(2", "3", "-1", "x"])
    }

    fn lex(&mut self) -> String {
        self.word(&["-", "+", "[a", "(a", "[b", "(c", "[zz", "x"])
    }

    fn many(&mut self, max: u64, mut one: impl FnMut(&mut Random) -> String) -> Vec<String> {
        let count = 1 + self.below(max);
        (0..count).map(|_| one(self)).collect()
    }

    fn maybe(&mut self, words: &[&str]) -> Vec<String> {
        let word = self.of(words);
        word.split_whitespace().map(str::to_owned).collect()
    }
}

/// One random command.
fn command(random: &mut Random) -> Vec<String> {
    let kind = random.below(100);
    let (name, rest) = match kind {
        0..=29 => strings(random),
        30..=44 => keys(random),
        45..=59 => lists(random),
        60..=69 => hashes(random),
        70..=79 => sets(random),
        80..=96 => sorted_sets(random),
        _ => broken(random),
    };
    std::iter::once(name.to_owned()).chain(rest).collect()
}

fn broken(random: &mut Random) -> (&'static str, Vec<String>) {
    let name =
        random.of(&["get", "nonsense", "set", "hset", "zadd", "lpush", "echo", "ping", "object", "setex"]);
    let rest = match random.below(3) {
        0 => vec![],
        1 => vec![random.text()],
        _ => random.many(6, Random::text),
    };
    let name = if name == "object" { "nothing" } else { name };
    (name, rest)
}

fn strings(random: &mut Random) -> (&'static str, Vec<String>) {
    let name = random.of(&[
        "get",
        "set",
        "set",
        "set",
        "setnx",
        "setex",
        "psetex",
        "getset",
        "getdel",
        "getex",
        "mget",
        "mset",
        "msetnx",
        "strlen",
        "append",
        "getrange",
        "substr",
        "setrange",
        "incr",
        "decr",
        "incrby",
        "decrby",
        "incrbyfloat",
        "lcs",
        "setbit",
        "getbit",
        "bitcount",
        "bitpos",
        "bitop",
        "bitfield",
        "bitfield",
        "bitfield_ro",
    ]);
    let mut rest = vec![random.tagged()];
    match name {
        "set" => {
            rest.push(random.text());
            rest.extend(
                random.maybe(&["", "", "", "nx", "xx", "get", "NX GET", "xx get", "keepttl", "bad", "nx xx"]),
            );
            rest.extend(random.maybe(&[
                "",
                "",
                "",
                "ex 100000",
                "px 100000000",
                "ex 0",
                "ex x",
                "ex",
                "exat 1",
                "px -1",
            ]));
        }
        "setnx" | "getset" | "append" => rest.push(random.text()),
        "setex" | "psetex" => {
            rest.push(random.word(&["100000", "100000000", "0", "-5", "x"]));
            rest.push(random.text());
        }
        "getex" => {
            rest.extend(random.maybe(&["", "persist", "ex 100000", "px 100000000", "exat 1", "ex 0", "bad"]))
        }
        "mget" => rest.extend(random.many(3, |random| random.word(&["{t}a", "{t}b", "x", "y", "{t}c"]))),
        "mset" => {
            rest.push(random.text());
            for _ in 0..random.below(3) {
                rest.push(random.word(&["{t}a", "{t}b", "x", "y"]));
                rest.push(random.text());
            }
            rest.extend(random.maybe(&["", "", "", "odd"]));
        }
        "msetnx" => rest.extend([random.text(), random.tagged(), random.text()]),
        "getrange" | "substr" => rest.extend([random.index(), random.index()]),
        "setrange" => rest.extend([random.word(&["0", "1", "5", "-1", "x", "20"]), random.text()]),
        "incrby" | "decrby" => rest.push(random.integer()),
        // Redis counts with 80 bits and tells what is left over: fractions that have an end in binary only.
        "incrbyfloat" => rest.push(random.word(&["1", "-1", "2", "3.0e2", "x", "0.5"])),
        "lcs" => {
            rest.push(random.tagged());
            rest.extend(random.maybe(&[
                "",
                "len",
                "idx",
                "idx withmatchlen",
                "idx minmatchlen 2",
                "idx minmatchlen 2 withmatchlen",
                "idx len",
                "minmatchlen x",
                "minmatchlen",
                "bad",
            ]));
        }
        "setbit" => {
            rest.extend([random.word(&["0", "1", "7", "8", "100", "-1", "x"]), random.word(&["0", "1", "2"])])
        }
        "getbit" => rest.push(random.word(&["0", "1", "7", "8", "100", "-1"])),
        "bitcount" => rest.extend(match random.below(4) {
            0 => vec![],
            1 => vec![random.index()],
            2 => vec![random.index(), random.index()],
            _ => vec![random.index(), random.index(), random.word(&["bit", "BYTE", "x"])],
        }),
        "bitpos" => {
            rest.push(random.word(&["0", "1", "2"]));
            for _ in 0..random.below(3) {
                rest.push(random.index());
            }
            if rest.len() == 4 {
                rest.extend(random.maybe(&["", "bit", "byte"]));
            }
        }
        "bitfield" | "bitfield_ro" => {
            for _ in 0..random.below(4) {
                rest.extend(random.maybe(&[
                    "get",
                    "get",
                    "set",
                    "incrby",
                    "incrby",
                    "overflow sat get",
                    "overflow FAIL incrby",
                    "overflow wrap set",
                    "overflow sat incrby",
                    "overflow fail set",
                    "overflow x",
                    "bad",
                ]));
                let is_get = rest[rest.len() - 1] == "get";
                let kinds =
                    ["u8", "i8", "u4", "i5", "u1", "i64", "u63", "i16", "u64", "i65", "x8", "i0", "u"];
                rest.push(random.word(&kinds));
                rest.push(random.word(&["0", "1", "7", "#0", "#1", "#2", "100", "-1", "#-1", "x", "3"]));
                if !is_get {
                    rest.push(random.integer());
                }
            }
        }
        "bitop" => {
            rest = vec![random.word(&["and", "or", "xor", "not", "bad"]), random.tagged()];
            rest.extend(random.many(3, Random::tagged));
        }
        _ => {}
    }
    (name, rest)
}

fn keys(random: &mut Random) -> (&'static str, Vec<String>) {
    let name = random.of(&[
        "exists",
        "touch",
        "del",
        "unlink",
        "expire",
        "pexpire",
        "expireat",
        "pexpireat",
        "persist",
        "ttl",
        "pttl",
        "expiretime",
        "pexpiretime",
        "type",
        "rename",
        "renamenx",
        "copy",
        "object",
        "dbsize",
        "keys",
        "flushdb",
    ]);
    let mut rest = vec![random.tagged()];
    match name {
        "exists" | "touch" | "del" | "unlink" => {
            rest.extend(random.many(2, |random| random.word(&["{t}a", "{t}b", "x", "y"])));
        }
        "expire" | "pexpire" => {
            // Two times are never the same: which one is later would depend on the milliseconds between them.
            let far = 1_000_000 + random.below(1_000_000);
            let far = if name == "expire" { far } else { far * 1000 };
            let time = random.word(&["", "", "", "-1", "x", "0"]);
            rest.push(if time.is_empty() { far.to_string() } else { time });
            rest.extend(
                random.maybe(&["", "", "nx", "xx", "gt", "lt", "nx xx", "gt lt", "bad", "xx gt", "xx lt"]),
            );
        }
        "expireat" | "pexpireat" => {
            rest.push(random.word(&["1", "4000000000", "5000000000", "x", "0"]));
            rest[1] = if name == "pexpireat" {
                rest[1].replace("000000000", "000000000000")
            } else {
                rest[1].clone()
            };
        }
        "rename" | "renamenx" => rest.push(random.tagged()),
        "object" => rest.insert(0, random.word(&["freq", "HELP", "nothing"])),
        "copy" => {
            rest.push(random.tagged());
            rest.extend(random.maybe(&["", "", "replace", "bad"]));
        }
        "keys" => rest = vec![random.word(&["*", "{t}?", "[xy]", "*[a-c]", "none", "[^x]", "\\x"])],
        "flushdb" if random.below(10) == 0 => rest.clear(),
        "flushdb" => return ("exists", rest),
        _ => {}
    }
    (name, rest)
}

fn lists(random: &mut Random) -> (&'static str, Vec<String>) {
    let name = random.of(&[
        "lpush",
        "rpush",
        "rpush",
        "lpushx",
        "rpushx",
        "lpop",
        "rpop",
        "llen",
        "lrange",
        "lrange",
        "lindex",
        "lset",
        "ltrim",
        "lrem",
        "linsert",
        "lpos",
        "lmove",
        "rpoplpush",
        "lmpop",
        "blpop",
        "brpop",
        "blmove",
        "blmpop",
    ]);
    let mut rest = vec![random.tagged()];
    match name {
        "lpush" | "rpush" | "lpushx" | "rpushx" => rest.extend(random.many(4, Random::member)),
        "lpop" | "rpop" => rest.extend(random.maybe(&["", "", "0", "1", "2", "-1", "x", "10"])),
        "lrange" => rest.extend([random.index(), random.index()]),
        "lindex" => rest.push(random.index()),
        "lset" => rest.extend([random.index(), random.member()]),
        "ltrim" => rest
            .extend([random.word(&["0", "0", "1", "-3", "5"]), random.word(&["-1", "-1", "5", "-2", "0"])]),
        "lrem" => rest.extend([random.word(&["0", "1", "-1", "2", "-2", "x"]), random.member()]),
        "linsert" => {
            rest.extend([random.word(&["before", "AFTER", "bad"]), random.member(), random.member()])
        }
        "lpos" => {
            rest.push(random.member());
            rest.extend(random.maybe(&["", "rank 1", "rank -1", "rank 2", "rank 0", "rank -2"]));
            rest.extend(random.maybe(&[
                "",
                "count 0",
                "count 2",
                "count -1",
                "maxlen 2",
                "count 0 maxlen 3",
            ]));
        }
        "lmove" => {
            let (from, to) = (random.word(&["left", "right"]), random.word(&["left", "right", "bad"]));
            rest.extend([random.tagged(), from, to]);
        }
        "rpoplpush" => rest.push(random.tagged()),
        "lmpop" => {
            let (end, count) = (random.word(&["left", "right"]), random.maybe(&["", "count 2", "count 0"]));
            rest = vec!["2".into(), random.tagged(), random.tagged(), end];
            rest.extend(count);
        }
        "blpop" | "brpop" => rest.extend([random.tagged(), random.word(&["0.001", "0.001", "-1", "x"])]),
        "blmove" => rest.extend([random.tagged(), "left".into(), "right".into(), "0.001".into()]),
        "blmpop" => rest = vec!["0.001".into(), "1".into(), random.tagged(), "left".into()],
        _ => {}
    }
    (name, rest)
}

fn hashes(random: &mut Random) -> (&'static str, Vec<String>) {
    let name = random.of(&[
        "hset",
        "hset",
        "hset",
        "hmset",
        "hsetnx",
        "hget",
        "hmget",
        "hgetall",
        "hkeys",
        "hvals",
        "hlen",
        "hdel",
        "hexists",
        "hstrlen",
        "hincrby",
        "hincrbyfloat",
        "hscan",
    ]);
    let mut rest = vec![random.tagged()];
    match name {
        "hset" | "hmset" => {
            for _ in 0..=random.below(3) {
                rest.extend([random.member(), random.text()]);
            }
            rest.extend(random.maybe(&["", "", "", "odd"]));
        }
        "hsetnx" => rest.extend([random.member(), random.text()]),
        "hget" | "hexists" | "hstrlen" => rest.push(random.member()),
        "hmget" | "hdel" => rest.extend(random.many(3, Random::member)),
        "hincrby" => rest.extend([random.member(), random.integer()]),
        "hincrbyfloat" => rest.extend([random.member(), random.word(&["1", "0.25", "-1.5", "x"])]),
        "hscan" => rest.extend(random.maybe(&["0", "0 match a*", "0 count 100", "0 count 0", "x"])),
        _ => {}
    }
    (name, rest)
}

fn sets(random: &mut Random) -> (&'static str, Vec<String>) {
    let name = random.of(&[
        "sadd",
        "sadd",
        "sadd",
        "srem",
        "sismember",
        "smismember",
        "smembers",
        "scard",
        "smove",
        "sunion",
        "sinter",
        "sdiff",
        "sunionstore",
        "sinterstore",
        "sdiffstore",
        "sintercard",
        "sscan",
        "spop",
        "srandmember",
    ]);
    let mut rest = vec![random.tagged()];
    match name {
        "sadd" | "srem" => rest.extend(random.many(4, Random::member)),
        "sismember" => rest.push(random.member()),
        "smismember" => rest.extend(random.many(3, Random::member)),
        "smove" => rest.extend([random.tagged(), random.member()]),
        "sunion" | "sinter" | "sdiff" | "sunionstore" | "sinterstore" | "sdiffstore" => {
            rest.extend(random.many(3, Random::tagged));
        }
        "sintercard" => {
            rest = vec!["2".into(), random.tagged(), random.tagged()];
            rest.extend(random.maybe(&["", "limit 1", "limit 0", "limit -1"]));
        }
        "sscan" => rest.extend(random.maybe(&["0", "0 match a*", "0 count 100"])),
        // What is drawn by chance is not: all of them, or none.
        "spop" => rest.push(random.word(&["1000", "0", "-1"])),
        "srandmember" => rest.push(random.word(&["0", "x"])),
        _ => {}
    }
    (name, rest)
}

fn sorted_sets(random: &mut Random) -> (&'static str, Vec<String>) {
    let name = random.of(&[
        "zadd",
        "zadd",
        "zadd",
        "zadd",
        "zincrby",
        "zrem",
        "zscore",
        "zmscore",
        "zcard",
        "zcount",
        "zlexcount",
        "zrank",
        "zrevrank",
        "zrange",
        "zrange",
        "zrangebyscore",
        "zrevrangebyscore",
        "zrevrange",
        "zrangebylex",
        "zrevrangebylex",
        "zremrangebyrank",
        "zremrangebyscore",
        "zremrangebylex",
        "zpopmin",
        "zpopmax",
        "zrangestore",
        "zunionstore",
        "zinterstore",
        "zdiffstore",
        "zunion",
        "zinter",
        "zdiff",
        "zintercard",
        "zmpop",
        "bzpopmin",
        "bzpopmax",
        "zscan",
    ]);
    let mut rest = vec![random.tagged()];
    let limit = ["", "", "", "limit 0 2", "limit 1 -1", "limit -1 2", "withscores"];
    match name {
        "zadd" => {
            rest.extend(random.maybe(&[
                "", "", "", "nx", "xx", "gt", "lt", "ch", "xx gt", "nx gt", "incr", "gt ch", "nx xx",
            ]));
            for _ in 0..=random.below(3) {
                rest.extend([random.score(), random.member()]);
            }
        }
        "zincrby" => rest.extend([random.score(), random.member()]),
        "zrem" | "zmscore" => rest.extend(random.many(3, Random::member)),
        "zscore" | "zrank" | "zrevrank" => rest.push(random.member()),
        "zcount" | "zremrangebyscore" => rest.extend([random.bound(), random.bound()]),
        "zlexcount" | "zremrangebylex" => rest.extend([random.lex(), random.lex()]),
        "zremrangebyrank" => rest.extend([random.index(), random.index()]),
        "zrange" => match random.below(3) {
            0 => {
                rest.extend([random.index(), random.index()]);
                rest.extend(random.maybe(&["", "rev", "withscores", "rev withscores", "limit 0 1"]));
            }
            1 => {
                rest.extend([random.bound(), random.bound(), "byscore".into()]);
                rest.extend(random.maybe(&["", "rev"]));
                rest.extend(random.maybe(&limit));
            }
            _ => {
                rest.extend([random.lex(), random.lex(), "bylex".into()]);
                rest.extend(random.maybe(&["", "rev"]));
                rest.extend(random.maybe(&limit));
            }
        },
        "zrangestore" => {
            rest.extend([random.tagged(), random.index(), random.index()]);
            rest.extend(random.maybe(&["", "rev"]));
        }
        "zrangebyscore" | "zrevrangebyscore" => {
            rest.extend([random.bound(), random.bound()]);
            rest.extend(random.maybe(&limit));
        }
        "zrangebylex" | "zrevrangebylex" => {
            rest.extend([random.lex(), random.lex()]);
            rest.extend(random.maybe(&limit[..6]));
        }
        "zrevrange" => {
            rest.extend([random.index(), random.index()]);
            rest.extend(random.maybe(&["", "withscores"]));
        }
        "zpopmin" | "zpopmax" => rest.extend(random.maybe(&["", "", "1", "2", "0", "-1"])),
        "zunionstore" | "zinterstore" => {
            rest.extend(["2".into(), random.tagged(), random.tagged()]);
            rest.extend(random.maybe(&[
                "",
                "weights 2 3",
                "aggregate min",
                "aggregate max",
                "weights 1",
                "weights 1 x",
            ]));
        }
        "zdiffstore" => rest.extend(["2".into(), random.tagged(), random.tagged()]),
        "zunion" | "zinter" | "zdiff" => {
            rest = vec!["2".into(), random.tagged(), random.tagged()];
            rest.extend(random.maybe(&["", "withscores"]));
        }
        "zintercard" => rest = vec!["2".into(), random.tagged(), random.tagged()],
        "zmpop" => {
            rest = vec!["2".into(), random.tagged(), random.tagged(), random.word(&["min", "max", "bad"])]
        }
        "bzpopmin" | "bzpopmax" => rest.push("0.001".into()),
        "zscan" => rest.extend(random.maybe(&["0", "0 match a*"])),
        _ => {}
    }
    // Ranges of members mean something only where all scores are the same; elsewhere Redis answers as its skip list lies.
    if rest.iter().any(|word| word == "bylex") || name.contains("lex") {
        rest[0] = LEX_KEY.to_owned();
        if random.below(2) == 0 {
            return ("zadd", vec![LEX_KEY.to_owned(), "0".to_owned(), random.member()]);
        }
    }
    (name, rest)
}

/// A slave and the real server, which run for as long as they are kept, and a connection to each.
pub(super) async fn both() -> (Running, Redis, Answers, Answers) {
    let store = Store::at_time_of_day();
    let script = move |_: NodeId, request: &Request, tablet: TabletId| store.carry_out(request, tablet);
    let slave = Running::start(Cluster::start(1, 1, script).await, 10_000).await;
    let redis = Redis::start();
    let ours = Answers::new(TcpStream::connect(&slave.redis).await.unwrap());
    let theirs = Answers::new(redis.connect().await);
    (slave, redis, ours, theirs)
}

async fn compare(seed: u64, commands: usize, hello: &str) {
    let (_slave, _redis, mut ours, mut theirs) = both().await;
    for side in [&mut ours, &mut theirs] {
        side.stream.write_all(hello.as_bytes()).await.unwrap();
        side.next().await;
    }
    let (mut random, mut sent) = (Random(seed), 0);
    let mut lately = std::collections::VecDeque::new();
    let (mut differences, mut known, mut is_rounded) = (Vec::new(), 0, false);
    while sent < commands {
        let mut pipeline = Vec::new();
        for _ in 0..1 + random.below(PIPELINE_MAX) {
            pipeline.push(command(&mut random));
            if is_float(&pipeline[pipeline.len() - 1]) {
                break;
            }
        }
        let bytes: Vec<u8> = pipeline.iter().flat_map(|command| encode(command)).collect();
        ours.stream.write_all(&bytes).await.unwrap();
        theirs.stream.write_all(&bytes).await.unwrap();
        for command in pipeline {
            let (got, want) = (ours.next().await, theirs.next().await);
            sent += 1;
            is_rounded |= got != want && is_float(&command);
            if !is_same(&command, &got, &want) && differences.len() < DIFFERENCES_MAX {
                let before: Vec<&String> = lately.iter().collect();
                differences
                    .push(format!("{sent}: {command:?}\nours  {got:?}\nredis {want:?}\nbefore {before:?}"));
            }
            lately.push_back(command.join(" "));
            if lately.len() > LATELY {
                lately.pop_front();
            }
        }
        // Both start over, so that one difference does not make others.
        if differences.len() > known || std::mem::take(&mut is_rounded) {
            known = differences.len();
            for side in [&mut ours, &mut theirs] {
                side.stream.write_all(b"FLUSHALL\r\n").await.unwrap();
                side.next().await;
            }
        }
        if differences.len() == DIFFERENCES_MAX {
            break;
        }
    }
    assert!(differences.is_empty(), "seed {seed} after {sent} commands:\n{}", differences.join("\n\n"));
}

#[tokio::test]
async fn random_commands_are_answered_as_redis_answers_them() {
    for (seed, hello) in SEEDS.into_iter().zip(["PING\r\n", "HELLO 3\r\n"]) {
        compare(seed, commands(), hello).await;
    }
}
