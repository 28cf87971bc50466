//! Random commands over few keys, sent to a slave and to the real memcached beside it: every answer is the same, byte for
//! byte. Left out is only what differs on purpose (`dkc_core::memcache` lists it) and what depends on the second in which
//! it happens.

use std::process::{Child, Command};

use super::*;

const COMMANDS: usize = 50_000;

/// Commands of one seed.
pub(super) fn commands() -> usize {
    std::env::var("DIFFERENTIAL_COMMANDS").map_or(COMMANDS, |count| count.parse().expect("a number"))
}

/// Commands in one write.
const PIPELINE_MAX: u64 = 60;
/// Pipelines that are shown with a difference, which may come from a write before.
const LATELY: usize = 12;
const SEEDS: [u64; 2] = [1, 2];

struct Memcached {
    process: Child,
    listen: String,
}

impl Memcached {
    fn start() -> Memcached {
        let address = free_address().to_string();
        let (host, port) = address.rsplit_once(':').unwrap();
        // Without the thread that moves items through lists, which holds on to them in passing.
        let words = ["-u", "nobody", "-t", "1", "-m", "64", "-o", "no_modern", "-l", host, "-p", port];
        let process = Command::new("memcached").args(words).spawn().expect("memcached is installed");
        Memcached { process, listen: address }
    }

    async fn connect(&self) -> TcpStream {
        let until = Instant::now() + LIMIT;
        loop {
            match TcpStream::connect(&self.listen).await {
                Ok(stream) => return stream,
                Err(error) => assert!(Instant::now() < until, "memcached does not listen: {error}"),
            }
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Knuth's generator: the same commands from the same seed on every machine.
pub(super) struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    pub fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len() as u64) as usize]
    }

    fn key(&mut self) -> &'static str {
        self.of(&["a", "b", "c", "d", "n", "m"])
    }

    fn value(&mut self) -> &'static str {
        // From 2^63 on memcached looks for a minus sign in whatever memory is behind the value.
        self.of(&["", "x", "0", "5", "10", "99", "-3", " 7", "12 ", "007", "abc", "12345"])
    }

    fn number(&mut self) -> &'static str {
        self.of(&["0", "1", "1", "2", "5", "10", "100", "10000000000000000", "-1", "x", "+2"])
    }

    fn version(&mut self, sent: usize) -> u64 {
        1 + self.below(4.max(sent as u64))
    }

    /// Mostly never and far away.
    fn exptime(&mut self) -> &'static str {
        self.of(&["0", "0", "0", "1000", "100000", "-1", "x"])
    }

    fn command(&mut self, sent: usize) -> String {
        let key = self.key();
        let noreply = self.of(&["", "", "", " noreply"]);
        match self.below(16) {
            0 | 1 => {
                let verb = self.of(&["set", "set", "add", "replace", "append", "prepend"]);
                let (value, exptime) = (self.value(), self.exptime().replace('x', "0"));
                let flags = self.below(9);
                format!("{verb} {key} {flags} {exptime} {}{noreply}\r\n{value}\r\n", value.len())
            }
            2 => {
                let (value, version) = (self.value(), self.version(sent));
                format!("cas {key} 3 0 {} {version}{noreply}\r\n{value}\r\n", value.len())
            }
            3 | 4 => format!("{} {key} {} {}\r\n", self.of(&["get", "gets"]), self.key(), self.key()),
            5 => format!("{} {} {key} {}\r\n", self.of(&["gat", "gats"]), self.exptime(), self.key()),
            6 | 7 => format!("{} {key} {}{noreply}\r\n", self.of(&["incr", "decr"]), self.number()),
            8 => format!("touch {key} {}{noreply}\r\n", self.exptime()),
            9 => format!("delete {key}{}{noreply}\r\n", self.of(&["", "", " 0", " x"])),
            10 | 11 => format!(
                "mg {key}{}\r\n",
                self.flags(&["v", "f", "c", "s", "k", "q", "O12", "u", "T1000", "P1"])
            ),
            12 | 13 => {
                let value = self.value();
                let mode = self.of(&["", "", " ME", " MR", " MA", " MP", " MS", " MX", " M"]);
                let compare = match self.below(4) {
                    0 => format!(" C{}", self.version(sent)),
                    _ => String::new(),
                };
                let flags = self.flags(&["c", "k", "q", "O7", "F9", "T0", "T1000", "I", "b"]);
                let flags = if compare.is_empty() { flags } else { flags.replace(" I", "") };
                format!("ms {key} {}{mode}{compare}{flags}\r\n{value}\r\n", value.len())
            }
            14 => format!("md {key}{}\r\n", self.flags(&["k", "q", "O3", "C1", "T5", "x"])),
            _ => {
                let mode = self.of(&["", " MI", " MD", " M+", " M-", " MQ"]);
                let flags = self.flags(&["v", "c", "k", "q", "O5", "N0", "J13", "D3", "C2", "T1000"]);
                // memcached is not quiet when it creates.
                let flags = if flags.contains('N') { flags.replace(" q", "") } else { flags };
                format!("ma {key}{mode}{flags}\r\n")
            }
        }
    }

    /// Some of these flags, in any order, each at most once.
    fn flags(&mut self, all: &[&str]) -> String {
        let mut left: Vec<&str> = all.to_vec();
        let mut flags = String::new();
        for _ in 0..self.below(4) {
            let at = self.below(left.len() as u64) as usize;
            flags += " ";
            flags += left.remove(at);
        }
        flags
    }
}

/// Everything up to the answer of `mn`.
async fn answers(stream: &mut TcpStream, sent: &str) -> String {
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    let reading = async {
        while !got.ends_with(b"MN\r\n") {
            assert!(stream.read_buf(&mut got).await.unwrap() > 0, "closed after {sent:?}");
        }
    };
    tokio::time::timeout(LIMIT, reading).await.expect("answers in time");
    String::from_utf8_lossy(&got).into_owned()
}

/// The first line of one answer that is not that of the other, and the line before it.
fn first_difference<'a>(one: &'a str, other: &str) -> Vec<&'a str> {
    let same = one.lines().zip(other.lines()).take_while(|(one, other)| one == other).count();
    one.lines().skip(same.saturating_sub(1)).take(2).collect()
}

#[tokio::test]
async fn random_commands_are_answered_as_memcached_answers_them() {
    for seed in SEEDS {
        let store = Store::default();
        let script = move |_: NodeId, request: &Request, tablet: TabletId| store.carry_out(request, tablet);
        // One tablet, so that its versions are counted as memcached counts.
        let slave = Running::start(Cluster::start(1, 1, script).await, 10_000).await;
        let memcached = Memcached::start();
        let (mut ours, mut theirs) = (slave.connect().await, memcached.connect().await);
        let mut lately = std::collections::VecDeque::new();
        let (mut random, mut sent, mut next) = (Random(seed), 0, String::new());
        while sent < commands() {
            let (mut pipeline, mut count) = (std::mem::take(&mut next), 1 + random.below(PIPELINE_MAX));
            while count > 0 && next.is_empty() {
                let command = random.command(sent);
                sent += 1;
                count -= 1;
                // memcached counts in place only when no answer before still refers to the value: not behind a get.
                let counts = ["incr ", "decr ", "ma "].iter().any(|verb| command.starts_with(verb));
                if counts && !pipeline.is_empty() { next = command } else { pipeline += &command }
            }
            pipeline += "mn\r\n";
            lately.push_back(pipeline.clone());
            if lately.len() > LATELY {
                lately.pop_front();
            }
            let want = answers(&mut theirs, &pipeline).await;
            let got = answers(&mut ours, &pipeline).await;
            assert!(
                got == want,
                "seed {seed} after {sent}: answered {:?}, memcached {:?}, to {pipeline:?}\nours {got:?}\n\
                 memcached {want:?}\nbefore: {lately:#?}",
                first_difference(&got, &want),
                first_difference(&want, &got),
            );
        }
    }
}
