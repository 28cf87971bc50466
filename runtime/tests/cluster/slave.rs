//! A slave as a process, and applications that do it harm: it stays within its memory and serves those who behave.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use dkc_core::control::{ControlReply, ControlRequest};

use super::lab::{Lab, Server, TIMEOUT, wait_for};

const MIB: usize = 1024 * 1024;
/// What the slave may use for its connections.
const MEMORY_BYTES: usize = 32 * MIB;
/// What a process needs beside that: code, stacks, TLS to the servers, and what the allocator keeps between.
const BESIDE_BYTES: usize = 24 * MIB;

/// How many do harm, and for how many rounds an application that behaves is watched meanwhile.
struct Harm {
    memory_bytes: usize,
    idle: usize,
    unread: usize,
    tricklers: usize,
    rounds: usize,
    /// What those who do harm hold at some moment, or nothing was shown.
    held_min_bytes: usize,
}

/// What every run of the tests can afford.
const HARM: Harm = Harm {
    memory_bytes: MEMORY_BYTES,
    idle: 500,
    unread: 200,
    tricklers: 100,
    rounds: 300,
    held_min_bytes: 16 * MIB,
};
/// What is measured now and then: with the memory that a slave has by default.
const HARM_MEASURED: Harm = Harm {
    memory_bytes: 256 * MIB,
    idle: 5_000,
    unread: 1_000,
    tricklers: 200,
    rounds: 3_000,
    held_min_bytes: 96 * MIB,
};
const GETS_UNREAD: usize = 32;

/// An application that behaves.
pub struct Application {
    stream: BufReader<TcpStream>,
}

impl Application {
    pub fn connect(listen: &str) -> Application {
        let stream = TcpStream::connect(listen).expect("the slave listens");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a limit");
        Application { stream: BufReader::new(stream) }
    }

    /// Sends one command and wants this back.
    pub fn check(&mut self, sent: &str, want: &str) {
        self.stream.get_mut().write_all(sent.as_bytes()).expect("is taken");
        let mut got = vec![0; want.len()];
        let answered = self.stream.read_exact(&mut got);
        let (sent, got) = (&sent[..sent.len().min(60)], String::from_utf8_lossy(&got));
        assert!(answered.is_ok(), "{sent:?}: {answered:?} after {got:?}");
        assert!(got == want, "{sent:?}: {:?}", &got[..got.len().min(200)]);
    }
}

fn resident_bytes(slave: &Server) -> usize {
    let pages = std::fs::read_to_string(format!("/proc/{}/statm", slave.pid())).expect("it runs");
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number") * 4096
}

fn metric(slave: &Server, name: &str) -> u64 {
    let ControlReply::Text(text) = slave.ask(&ControlRequest::Metrics) else { panic!("no metrics") };
    let line = text.lines().find(|line| line.starts_with(name) && !line.starts_with('#'));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("{name} in {text}"))
}

/// Sends as much as is taken at once.
fn push(stream: &mut TcpStream, bytes: &[u8]) {
    match stream.write(bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        // The slave may have had enough of it.
        Err(_) => {}
    }
}

fn connect_quietly(listen: &str) -> TcpStream {
    let stream = TcpStream::connect(listen).expect("the slave listens");
    stream.set_nonblocking(true).expect("a socket");
    stream
}

#[test]
fn applications_that_do_harm_cost_no_more_than_the_memory_and_nobody_else_notices() {
    withstands(&HARM);
}

/// `runtime/benches/slave_memory` runs it.
#[test]
#[ignore = "a measurement: thousands of connections"]
fn what_harm_costs_is_measured() {
    withstands(&HARM_MEASURED);
}

fn withstands(harm: &Harm) {
    let lab = Lab::founded(1, 2, |_| {});
    let memory_bytes = harm.memory_bytes;
    let (slave, listen) = lab.slave(|parameters| {
        parameters.slave_memory_bytes = memory_bytes as u64;
        parameters.connections_max = 8192;
    });
    let mut application = Application::connect(&listen);
    let large = "x".repeat(MIB);
    application.check(&format!("set large 0 0 {MIB}\r\n{large}\r\n"), "STORED\r\n");
    application.check("set small 0 0 5\r\nsmall\r\n", "STORED\r\n");
    let before = resident_bytes(&slave);

    let idle: Vec<TcpStream> = (0..harm.idle).map(|_| connect_quietly(&listen)).collect();
    let mut unread: Vec<TcpStream> = (0..harm.unread).map(|_| connect_quietly(&listen)).collect();
    unread.iter_mut().for_each(|stream| push(stream, "get large\r\n".repeat(GETS_UNREAD).as_bytes()));
    let mut tricklers: Vec<TcpStream> = (0..harm.tricklers).map(|_| connect_quietly(&listen)).collect();
    tricklers.iter_mut().for_each(|stream| push(stream, format!("set trickle 0 0 {MIB}\r\n").as_bytes()));
    let mut endless = connect_quietly(&listen);
    push(&mut endless, b"get");

    let (mut largest, mut least_free, mut took) = (0, memory_bytes, Vec::with_capacity(harm.rounds));
    for round in 0..harm.rounds {
        tricklers.iter_mut().for_each(|stream| push(stream, b"x"));
        push(&mut endless, " of-many-keys".repeat(4096).as_bytes());
        let begun = Instant::now();
        application.check("get small\r\n", "VALUE small 0 5\r\nsmall\r\nEND\r\n");
        took.push(begun.elapsed());
        application.check(&format!("set own 0 0 4\r\n{round:04}\r\n"), "STORED\r\n");
        if round % 20 == 0 {
            let mut newcomer = Application::connect(&listen);
            newcomer.check("get own\r\n", &format!("VALUE own 0 4\r\n{round:04}\r\nEND\r\n"));
            least_free = least_free.min(metric(&slave, "dkc_slave_memory_free_bytes") as usize);
        }
        largest = largest.max(resident_bytes(&slave));
    }
    assert!(
        least_free + harm.held_min_bytes <= memory_bytes,
        "{} MiB were free all the time",
        least_free / MIB
    );
    let bound = before + memory_bytes + BESIDE_BYTES;
    assert!(largest <= bound, "{} MiB, {} before, at most {}", largest / MIB, before / MIB, bound / MIB);

    drop((idle, unread, tricklers, endless));
    wait_for("all memory is given back", || {
        // The one connection that is left has its share.
        metric(&slave, "dkc_slave_memory_free_bytes") >= memory_bytes as u64 - 64 * 1024
    });
    application.check("get large\r\n", &format!("VALUE large 0 {MIB}\r\n{large}\r\nEND\r\n"));
    let after = resident_bytes(&slave);
    assert!(after <= bound, "{} MiB after everybody has gone", after / MIB);
    took.sort();
    let at = |share: usize| took[(took.len() * share / 1000).min(took.len() - 1)].as_micros();
    println!(
        "{} MiB before, {} at most, {} after; of the {} MiB for connections {} were free at least; an application that behaves: {} answers, p50 {} us, p99 {} us, at most {} us",
        before / MIB,
        largest / MIB,
        after / MIB,
        memory_bytes / MIB,
        least_free / MIB,
        took.len(),
        at(500),
        at(990),
        at(1000)
    );
}

#[test]
fn who_says_nothing_or_never_ends_a_request_or_takes_no_answer_is_closed() {
    let lab = Lab::founded(1, 1, |_| {});
    let (slave, listen) = lab.slave(|parameters| {
        parameters.client_idle_timeout_ms = 1_000;
        parameters.client_stall_timeout_ms = 1_000;
    });
    let mut application = Application::connect(&listen);
    application.check(&format!("set large 0 0 {MIB}\r\n{}\r\n", "x".repeat(MIB)), "STORED\r\n");
    let mut silent = connect_quietly(&listen);
    let mut half = connect_quietly(&listen);
    push(&mut half, b"set a 0 0 100\r\nhalf");
    let mut deaf = connect_quietly(&listen);
    push(&mut deaf, "get large\r\n".repeat(64).as_bytes());
    wait_for("three are closed, and the one that asks is not", || {
        application.check("mn\r\n", "MN\r\n");
        metric(&slave, "dkc_slave_timed_out_connections_total") == 3
    });
    for stream in [&mut silent, &mut half] {
        stream.set_nonblocking(false).expect("a socket");
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        assert!(rest.is_empty() && ended.is_ok_and(|count| count == 0), "{rest:?}");
    }
    deaf.set_nonblocking(false).expect("a socket");
    let mut taken = Vec::new();
    // The kernel may say that the other side has reset the connection.
    let _ = deaf.read_to_end(&mut taken);
    assert!(taken.len() < 64 * MIB, "it was answered in full");
}

/// libmemcached refuses a server whose version does not begin with three numbers, and so does what is built on it.
#[test]
fn the_tools_of_libmemcached_work() {
    let lab = Lab::founded(1, 1, |_| {});
    let (_slave, listen) = lab.slave(|_| {});
    let run = |words: &[&str]| {
        let server = format!("--servers={listen}");
        let output =
            Command::new(words[0]).arg(server).args(&words[1..]).output().expect("libmemcached-tools");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    assert_eq!(run(&["memcping"]).0, Some(0), "{:?}", run(&["memcping"]));
    let (status, text) = run(&["memcstat"]);
    assert!(status == Some(0) && text.contains("version: 1.6.18"), "{text}");
    let mut application = Application::connect(&listen);
    application.check("set tool 7 0 5\r\nvalue\r\n", "STORED\r\n");
    assert_eq!(run(&["memccat", "tool"]), (Some(0), "value\n".into()));
    assert_eq!(run(&["memcexist", "tool"]).0, Some(0));
    assert_eq!(run(&["memctouch", "--expire=100", "tool"]).0, Some(0));
    assert_eq!(run(&["memcrm", "tool"]).0, Some(0));
    application.check("get tool\r\n", "END\r\n");
    application.check("set tool 7 0 5\r\nvalue\r\n", "STORED\r\n");
    assert_eq!(run(&["memcflush"]).0, Some(0));
    application.check("get tool\r\n", "END\r\n");
    let mut line = String::new();
    application.stream.get_mut().write_all(b"version\r\n").expect("is taken");
    application.stream.read_line(&mut line).expect("an answer");
    assert!(line.starts_with("VERSION 1.6.18"), "{line}");
}
