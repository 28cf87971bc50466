//! Commands whose answers depend on how Redis stores a value, or on its configuration, in an order in which both must say the same. What
//! is not compared: `OBJECT REFCOUNT` of small numbers, which Redis shares, `OBJECT IDLETIME` of a key that was read, and the encoding
//! of a value that was another one before.

use super::redis::{Answers, Told, both, encode};
use super::*;

/// Each with `@` for a text that is long for Redis, and a number for so many elements.
const COMMANDS: &[&str] = &[
    "set k 5",
    "object encoding k",
    "set k text",
    "object encoding k",
    "object refcount k",
    "object idletime k",
    "object freq k",
    "set k @",
    "object encoding k",
    "rpush list a",
    "object encoding list",
    "sadd numbers 1 2 3",
    "object encoding numbers",
    "sadd words a 1",
    "object encoding words",
    "hset hash f v",
    "object encoding hash",
    "hset longhash f @",
    "object encoding longhash",
    "zadd sorted 1 a",
    "object encoding sorted",
    "zadd longsorted 1 @",
    "object encoding longsorted",
    "zadd manysorted 129",
    "object encoding manysorted",
    "hset somehash 129",
    "object encoding somehash",
    "hset manyhash 513",
    "object encoding manyhash",
    "sadd manynumbers 513",
    "object encoding manynumbers",
    "object encoding absent",
    "object refcount absent",
    "object idletime absent",
    "object freq absent",
    "object encoding",
    "object encoding a b",
    "object help",
    "object HELP me",
    "object",
    "config set nonsense 1",
    "config set databases 16",
    "config set maxmemory",
    "config set maxmemory 0",
    "config set maxmemory-policy noeviction maxmemory",
    "config set save ",
    "bitfield k",
    "bitfield_ro k set u8 0 1",
    "bitfield list get u8 0",
    "bitfield new overflow fail incrby u2 100 9",
    "strlen new",
];

fn words(line: &str) -> Vec<String> {
    let many = line
        .split(' ')
        .next_back()
        .and_then(|word| word.parse::<usize>().ok())
        .filter(|n| *n > 100 && *n < 1000);
    let plain = line.split(' ').map(|word| word.replace('@', &"x".repeat(70)).to_owned());
    let Some(many) = many else { return plain.collect() };
    let is_pair = line.starts_with("hset") || line.starts_with("zadd");
    let elements = (0..many).flat_map(|n| [Some(n.to_string()), is_pair.then(|| n.to_string())]).flatten();
    plain.take(2).chain(elements).collect()
}

/// Commands that make the key `k` something, in all the forms in which Redis keeps it.
const VALUES: &[&str] = &[
    "set k text",
    "set k 12",
    "set k -30000",
    "set k 2000000000",
    "set k 9000000000000000000",
    "set k @@@@@@@@@@",
    "rpush k a 1 -1 70000 -5000000 9000000000 @@",
    "rpush k 300",
    "sadd k 1 2 3",
    "sadd k 1 70000",
    "sadd k 1 9000000000",
    "sadd k a @",
    "hset k f v g 7",
    "hset k f @@",
    "hset k 300",
    "zadd k 1 a 2.5 b -inf c",
    "zadd k 1 @",
    "zadd k 300",
];

#[tokio::test]
async fn a_dump_of_either_is_restored_by_both() {
    let (_slave, _redis, mut ours, mut theirs) = both().await;
    for line in VALUES {
        for side in [&mut ours, &mut theirs] {
            side.ask(&[b"FLUSHALL"]).await;
            let words = words(line);
            side.ask(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>()).await;
        }
        for is_ours in [true, false] {
            let from = if is_ours { &mut ours } else { &mut theirs };
            let Told::Text(payload) = from.ask(&[b"DUMP", b"k"]).await else { panic!("{line}") };
            let mut contents = Vec::new();
            for side in [&mut ours, &mut theirs] {
                let restored = side.ask(&[b"RESTORE", b"copy", b"0", &payload, b"REPLACE"]).await;
                assert_eq!(restored, Told::Line("+OK".into()), "{line} {is_ours}");
                let copy = side.content(b"copy").await;
                contents.push(side.content(b"k").await);
                contents.push(copy);
                assert_eq!(
                    side.ask(&[b"RESTORE", b"k", b"0", &payload]).await,
                    Told::Line("-BUSYKEY Target key name already exists.".into())
                );
            }
            assert!(contents.iter().all(|content| *content == contents[0]), "{line}: {contents:?}");
        }
    }
    for side in [&mut ours, &mut theirs] {
        let Told::Text(payload) = side.ask(&[b"DUMP", b"k"]).await else { panic!("a dump") };
        let mut torn = payload.clone();
        torn[0] ^= 1;
        let wrong = Told::Line("-ERR DUMP payload version or checksum are wrong".into());
        assert_eq!(side.ask(&[b"RESTORE", b"n", b"0", &torn]).await, wrong);
        assert_eq!(side.ask(&[b"RESTORE", b"n", b"0", b"x"]).await, wrong);
        let time = Told::Line("-ERR Invalid TTL value, must be >= 0".into());
        assert_eq!(side.ask(&[b"RESTORE", b"n", b"-1", &payload]).await, time);
        assert_eq!(side.ask(&[b"RESTORE", b"n", b"100000", &payload]).await, Told::Line("+OK".into()));
        assert!(matches!(side.ask(&[b"TTL", b"n"]).await, Told::Line(line) if line == ":100"));
        assert_eq!(
            side.ask(&[b"RESTORE", b"n", b"1", &payload, b"REPLACE", b"ABSTTL"]).await,
            Told::Line("+OK".into())
        );
        assert_eq!(side.ask(&[b"EXISTS", b"n"]).await, Told::Line(":0".into()));
        assert_eq!(side.ask(&[b"DUMP", b"n"]).await, Told::Line("$-1".into()));
    }
}

/// The element comes right after the slave has looked for it: what the look counts is no answer of a pop.
#[tokio::test]
async fn a_pop_that_waits_answers_with_the_element_that_came_after_it_looked() {
    let (store, looks) = (Store::at_time_of_day(), AtomicUsize::new(0));
    let script = move |_: NodeId, request: &Request, tablet: TabletId| {
        let told = store.carry_out(request, tablet);
        let is_look = matches!(&request.command, Command::Read(_));
        if is_look && looks.fetch_add(1, Ordering::SeqCst) == 0 {
            let Ok(dkc_core::resp::Request::Operation(push)) =
                dkc_core::resp::request(&["RPUSH", "q", "job"].map(|word| word.to_owned().into()), 0)
            else {
                panic!("a command on a key");
            };
            let push = dkc_core::kv::Operations::one(dkc_core::ids::Namespace::default(), push);
            let mut pushing = request.clone();
            pushing.command = Command::Write(Write::Operations(Box::new(push)));
            store.carry_out(&pushing, tablet);
        }
        told
    };
    let slave = Running::start(Cluster::start(1, 1, script).await, 10_000).await;
    let mut ours = Answers::new(TcpStream::connect(&slave.redis).await.unwrap());
    let told = ours.ask(&[b"BLPOP", b"q", b"10"]).await;
    assert_eq!(told, Told::All('*', vec![Told::Text(b"q".to_vec()), Told::Text(b"job".to_vec())]));
}

impl Answers {
    async fn ask(&mut self, words: &[&[u8]]) -> Told {
        self.stream.write_all(&dkc_core::resp::command(words)).await.unwrap();
        self.next().await
    }

    /// All that a key holds, in an order that does not depend on the server.
    async fn content(&mut self, key: &[u8]) -> Told {
        let Told::Line(kind) = self.ask(&[b"TYPE", key]).await else { panic!("a type") };
        let told = match kind.as_str() {
            "+string" => self.ask(&[b"GET", key]).await,
            "+list" => return self.ask(&[b"LRANGE", key, b"0", b"-1"]).await,
            "+hash" => self.ask(&[b"HGETALL", key]).await,
            "+set" => self.ask(&[b"SMEMBERS", key]).await,
            _ => return self.ask(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]).await,
        };
        match told {
            Told::All(mark, all) if kind == "+hash" => {
                let mut pairs: Vec<Told> = all.chunks(2).map(|pair| Told::All('*', pair.to_vec())).collect();
                pairs.sort();
                Told::All(mark, pairs)
            }
            Told::All(mark, mut all) => {
                all.sort();
                Told::All(mark, all)
            }
            text => text,
        }
    }
}

#[tokio::test]
async fn encodings_and_configuration_are_answered_as_redis_answers_them() {
    let (_slave, _redis, mut ours, mut theirs) = both().await;
    let mut differences = Vec::new();
    for line in COMMANDS {
        let bytes = encode(&words(line));
        let mut told = Vec::new();
        for side in [&mut ours, &mut theirs] {
            side.stream.write_all(&bytes).await.unwrap();
            told.push(side.next().await);
        }
        if told[0] != told[1] {
            differences.push(format!("{line}\nours  {:?}\nredis {:?}", told[0], told[1]));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}
