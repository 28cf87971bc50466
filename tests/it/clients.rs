//! Common clients of both protocols against a slave of a real cluster: each is a program in `tests/clients`, which fails by itself.

use std::process::Command;
use std::time::Duration;

use crate::here::Here;
use crate::support::wait_for;

/// Debian's, which has the packages, whatever else is called so.
const PYTHON: &str = "/usr/bin/python3";

/// Runs a client; what it says is shown if it fails.
#[track_caller]
fn runs(program: &str, words: &[&str]) -> String {
    let output =
        Command::new(program).args(words).env("NODE_PATH", "/usr/share/nodejs").output().expect(program);
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {words:?}: {said}");
    said
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

#[test]
fn clients_of_both_protocols_get_from_a_slave_what_they_expect() {
    let here = Here::registered(1);
    let (redis, memcached) = (free_port().to_string(), free_port().to_string());
    here.ok("register slave -n c0 --host 127.0.0.1");
    here.ok(&format!("register pair --id 0 --listen 127.0.0.1:{memcached}"));
    here.ok(&format!("register pair --id 0 --protocol redis --namespace other --listen 127.0.0.1:{redis}"));
    // A slave's certificate is for the namespaces of its pairs: this one is what `SELECT 1` of the other chooses.
    here.ok(&format!(
        "register pair --id 0 --protocol redis --namespace other-1 --listen 127.0.0.1:{}",
        free_port()
    ));
    here.ok("deploy --yes");
    here.ok("start cluster -n c0 --yes");
    here.ok("start slave --id 0 --yes");
    for port in [&redis, &memcached] {
        let address = format!("127.0.0.1:{port}");
        wait_for(&address, Duration::from_secs(30), || std::net::TcpStream::connect(&address).ok());
    }
    runs(PYTHON, &["tests/clients/redis_client.py", &redis]);
    runs(PYTHON, &["tests/clients/memcached_client.py", &memcached]);
    runs("node", &["tests/clients/redis_client.js", &redis]);
    let cli = |words: &[&str]| runs("redis-cli", &[&["-p", &redis], words].concat());
    assert_eq!(cli(&["SET", "by-cli", "v"]).trim(), "OK");
    assert_eq!(cli(&["-3", "HGETALL", "{j}h"]).trim(), "a 1\nb 2");
    assert!(cli(&["--scan", "--pattern", "by-*"]).contains("by-cli"));
    assert!(cli(&["--bigkeys"]).contains("Sampled"));
    let bench = ["-p", &redis, "-n", "2000", "-c", "10", "-P", "8", "-q"];
    let said = runs("redis-benchmark", &bench);
    for test in [
        "PING_INLINE",
        "SET",
        "GET",
        "INCR",
        "LPUSH",
        "LRANGE_600",
        "SADD",
        "HSET",
        "ZADD",
        "ZPOPMIN",
        "SPOP",
        "MSET",
    ] {
        assert!(said.contains(test), "{test} is not in {said}");
    }
    assert!(!said.contains("Error"), "{said}");
}
