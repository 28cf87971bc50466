//! `data export` and `data import` on a running server: every type, large collections, torn files; and other programs load the other
//! formats.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::here::Here;
use crate::support::wait_for;

/// More elements than one part of a page has.
const LARGE: usize = 25_000;
const FAR_AHEAD_MS: u64 = 4_102_444_800_000;

fn started() -> Here {
    let here = Here::registered(1);
    here.ok("deploy --yes");
    here.ok("start cluster -n c0 --yes");
    here
}

/// Records of every type, as another program may write them.
pub fn records() -> String {
    let mut text = format!(
        r#"{{"key":{{"text":"plain"}},"type":"string","value":{{"text":"v"}},"flags":7}}
{{"key":{{"base64":"/wA="}},"type":"string","value":{{"base64":"AP8="}},"expires_at_ms":{FAR_AHEAD_MS}}}
{{"key":{{"text":"list"}},"type":"list","value":[{{"text":"b"}},{{"text":"a"}},{{"text":"b"}}]}}
{{"key":{{"text":"hash"}},"type":"hash","value":[[{{"text":"f"}},{{"text":"v"}}]],"expires_at_ms":{FAR_AHEAD_MS}}}
{{"key":{{"text":"set"}},"type":"set","value":[{{"text":"m"}}]}}
{{"key":{{"text":"scores"}},"type":"sorted_set","value":[[{{"text":"low"}},"-inf"],[{{"text":"half"}},"0.5"]]}}
"#
    );
    for (kind, prefix) in [("list", "l"), ("set", "s")] {
        let elements: Vec<String> = (0..LARGE).map(|n| format!(r#"{{"text":"{prefix}{n}"}}"#)).collect();
        for (part, elements) in elements.chunks(9_000).enumerate() {
            let continues = if part > 0 { r#","continues":true"# } else { "" };
            let elements = elements.join(",");
            writeln!(
                text,
                r#"{{"key":{{"text":"large-{kind}"}},"type":"{kind}","value":[{elements}]{continues}}}"#
            )
            .unwrap();
        }
    }
    text
}

/// What an export says, part by part put together: the type, elements (in order only where the type has one) and the rest by key.
pub fn content(export: &str) -> BTreeMap<String, (String, Vec<String>, String)> {
    let mut all: BTreeMap<String, (String, Vec<String>, String)> = BTreeMap::new();
    for line in export.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let Some(key) = record.get("key") else { continue };
        let elements = match &record["value"] {
            Value::Array(elements) => elements.iter().map(Value::to_string).collect(),
            value => vec![value.to_string()],
        };
        let kind = record["type"].as_str().unwrap().to_owned();
        let rest = format!("{} {}", record["flags"], record["expires_at_ms"]);
        match record["continues"] == Value::Bool(true) {
            true => all.get_mut(&key.to_string()).unwrap().1.extend(elements),
            false => drop(all.insert(key.to_string(), (kind, elements, rest))),
        }
    }
    for (kind, elements, _) in all.values_mut() {
        if kind != "list" {
            elements.sort();
        }
    }
    all
}

/// What the export writes to standard output.
fn exported(here: &Here, words: &str) -> String {
    let output = here.run(&format!("data export -n c0 {words}"));
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn file(here: &Here, name: &str) -> PathBuf {
    here.stage.state().join(name)
}

#[test]
fn what_is_exported_is_what_was_imported_and_torn_files_change_nothing() {
    let here = started();
    let (from, to) = (file(&here, "from.jsonl"), file(&here, "to.jsonl"));
    fs::write(&from, records()).unwrap();
    assert!(here.ok(&format!("data import -n c0 {}", from.display())).contains("12 records"));
    here.ok(&format!("data export -n c0 --to {}", to.display()));
    let written = fs::read_to_string(&to).unwrap();
    assert_eq!(content(&written), content(&records()));
    assert_eq!(here.ok("data print -n c0 plain").trim(), "\"plain\" => \"v\"");

    // A name that is taken stays as it is, and nothing is left beside it.
    assert!(here.exits(&format!("data export -n c0 --to {}", to.display()), 1).contains("DKC-E0727"));
    assert_eq!(fs::read_to_string(&to).unwrap(), written);
    assert!(!file(&here, "to.jsonl.part").exists());

    // Into another namespace, then again without a change; what exists there may stay.
    let import =
        |words: &str| here.ok(&format!("data import -n c0 --namespace other {words} {}", to.display()));
    import("");
    here.ok("data set -n c0 --namespace other plain changed");
    assert!(import("--keep-existing").contains("kept as they were"));
    assert_eq!(here.ok("data print -n c0 --namespace other plain").trim(), "\"plain\" => \"changed\"");
    import("");
    assert_eq!(content(&exported(&here, "--namespace other")), content(&written));
    assert_eq!(content(&exported(&here, "--prefix large-")).len(), 2);

    // Cut short, or damaged on its last line: refused before the first record.
    let torn = file(&here, "torn.jsonl");
    let lines: Vec<&str> = written.lines().collect();
    for (text, why) in [
        (lines[..lines.len() - 1].join("\n"), "cut short"),
        (written.replace(r#"{"end":{"records":"#, r#"{"end":{"records":1"#), "records, but"),
        (format!("{}\n{{\"key\":", lines[0]), "line 2"),
    ] {
        fs::write(&torn, text).unwrap();
        let said = here.exits(&format!("data import -n c0 --namespace third {}", torn.display()), 2);
        assert!(
            said.contains("DKC-E0728") && said.contains(why) && said.contains("nothing changed"),
            "{said}"
        );
    }
    assert_eq!(content(&exported(&here, "--namespace third")).len(), 0);
    assert!(here.exits("data import -n c0 /nonexistent", 1).contains("DKC-E0727"));
}

/// A Redis of this machine on a port of its own.
struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    fn start() -> Redis {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("redis", Duration::from_secs(20), || TcpStream::connect(("127.0.0.1", port)).ok());
        Redis { child, port }
    }

    fn cli(&self, words: &[&str], input: &[u8]) -> String {
        let mut child = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).trim().to_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It keeps nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn redis_and_memcached_load_what_is_exported_for_them() {
    let here = started();
    let (from, resp) = (file(&here, "from.jsonl"), file(&here, "c0.resp"));
    fs::write(&from, records()).unwrap();
    here.ok(&format!("data import -n c0 {}", from.display()));
    here.ok(&format!("data export -n c0 --format redis --to {}", resp.display()));
    let redis = Redis::start();
    assert!(redis.cli(&["--pipe"], &fs::read(&resp).unwrap()).contains("errors: 0"));
    for (words, want) in [
        (&["dbsize"][..], "8".to_owned()),
        (&["get", "plain"], "v".into()),
        (&["lrange", "list", "0", "-1"], "b\na\nb".into()),
        (&["hgetall", "hash"], "f\nv".into()),
        (&["pexpiretime", "hash"], FAR_AHEAD_MS.to_string()),
        (&["zscore", "scores", "low"], "-inf".into()),
        (&["llen", "large-list"], LARGE.to_string()),
        (&["lindex", "large-list", "-1"], format!("l{}", LARGE - 1)),
        (&["scard", "large-set"], LARGE.to_string()),
    ] {
        assert_eq!(redis.cli(words, b""), want, "{words:?}");
    }

    // memcached has strings only, and no words for a key of other bytes: seven records are left out, and it says so.
    let text = file(&here, "c0.memcached");
    let said = here.exits(&format!("data export -n c0 --format memcached --to {}", text.display()), 1);
    assert!(said.contains("left out"), "{said}");
    assert_eq!(load_into_memcached(&fs::read(&text).unwrap()), "VALUE plain 7 1\r\nv\r\nEND\r\n");
}

/// Loads the commands into a memcached of this machine and answers what it has of the key `plain`.
fn load_into_memcached(commands: &[u8]) -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut child = Command::new("memcached")
        .args(["-l", "127.0.0.1", "-u", "root", "-p", &port.to_string()])
        .spawn()
        .unwrap();
    let mut stream =
        wait_for("memcached", Duration::from_secs(20), || TcpStream::connect(("127.0.0.1", port)).ok());
    stream.write_all(commands).unwrap();
    stream.write_all(b"get plain\r\n").unwrap();
    let (mut reader, mut said) = (BufReader::new(stream), String::new());
    while !said.ends_with("END\r\n") {
        assert!(reader.read_line(&mut said).unwrap() > 0, "closed after: {said}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    said
}
