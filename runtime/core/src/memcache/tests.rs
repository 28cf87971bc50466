//! The parser and the answers in front of a real tablet, against what memcached 1.6.18 was seen to answer.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::ids::Namespace;
use crate::kv::{Key, Read, Reply};
use crate::ring::ALL_SLOTS;
use crate::tablet::{Batch, Item, Outcome, Tablet, rows::write_changes};

const VALUE_MAX_BYTES: usize = 1024 * 1024;
/// Some day in 2025, so that small absolute times lie in the past.
const NOW_MS: u64 = 1_763_000_000_000;

/// A listener without a network: one connection to one tablet.
struct Server {
    parser: Parser,
    input: BytesMut,
    output: BytesMut,
    tablet: Tablet,
    rows: BTreeMap<Vec<u8>, Bytes>,
    is_closed: bool,
}

impl Server {
    fn new() -> Server {
        let rows = BTreeMap::new();
        Server {
            parser: Parser::new(Namespace::default(), VALUE_MAX_BYTES),
            input: BytesMut::new(),
            output: BytesMut::new(),
            tablet: Tablet::open(&rows, VALUE_MAX_BYTES, ALL_SLOTS).unwrap(),
            rows,
            is_closed: false,
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        while !self.is_closed {
            match self.parser.next(&mut self.input) {
                Parsed::NeedMore { .. } => return,
                Parsed::Close | Parsed::Foreign(_) => self.is_closed = true,
                Parsed::Answer(answer) => self.output.extend_from_slice(answer),
                Parsed::Request(request) => self.serve(request),
            }
        }
    }

    fn serve(&mut self, request: Request) {
        match request.kind {
            RequestKind::Get { keys, with_version } => {
                for key in keys {
                    let reply =
                        self.tablet.read(&self.rows, &Read::Get { key: key.clone() }, 1).unwrap().unwrap();
                    self.value(&key, reply, with_version);
                }
                write_end(&mut self.output);
            }
            RequestKind::GetAndTouch { keys, expiry, with_version } => {
                for key in keys {
                    let reply = self.apply(Write::GetAndTouch { key: key.clone(), expiry });
                    self.value(&key, reply, with_version);
                }
                write_end(&mut self.output);
            }
            RequestKind::Write(write) => self.answer(write, request.noreply),
            RequestKind::Meta { command, meta } => {
                let reply = match command {
                    Command::Read(read) => self.tablet.read(&self.rows, &read, 1).unwrap().unwrap(),
                    Command::Write(write) => self.apply(write),
                };
                if write_meta(&mut self.output, &meta, &reply, NOW_MS)
                    && let Reply::Record(record) = reply
                {
                    self.output.extend_from_slice(&record.value);
                    self.output.extend_from_slice(b"\r\n");
                }
            }
            RequestKind::FlushAll { when } => {
                let after_ms = match when {
                    Expiry::After(ms) => ms,
                    Expiry::At(ms) => ms.saturating_sub(NOW_MS),
                    Expiry::Never => panic!("a flush has a time"),
                };
                self.answer(Write::Flush { namespace: Namespace::default(), after_ms }, request.noreply);
            }
            RequestKind::Version => write_version(&mut self.output, "1.6.18"),
            RequestKind::Stats { word } if word.is_empty() => write_end(&mut self.output),
            RequestKind::Stats { .. } => self.output.extend_from_slice(ERROR),
        }
    }

    fn apply(&mut self, write: Write) -> Reply {
        let item = Item { session: 0, sequence: 0, answered_below: 0, is_retry: false, write };
        let batch = Batch { now_ms: NOW_MS, epoch: 1, items: vec![item] };
        let (mut outcomes, changes) = self.tablet.apply(&self.rows, &batch).unwrap();
        write_changes(&mut self.rows, changes);
        match outcomes.remove(0) {
            Outcome::Reply(reply) => reply,
            Outcome::Unknown => panic!("no session, so nothing can be unknown"),
            Outcome::NotHere => panic!("not here"),
        }
    }

    fn answer(&mut self, write: Write, noreply: bool) {
        let reply = self.apply(write);
        if !noreply {
            write_reply(&mut self.output, &reply);
        }
    }

    fn value(&mut self, key: &Key, reply: Reply, with_version: bool) {
        if let Reply::Record(record) = reply {
            write_value_head(&mut self.output, &key.bytes, &record, with_version);
            self.output.extend_from_slice(&record.value);
            self.output.extend_from_slice(b"\r\n");
        }
    }

    /// All that was answered, and whether the connection was closed.
    fn said(mut self) -> String {
        if self.is_closed {
            self.output.extend_from_slice(b"<closed>");
        }
        self.output.escape_ascii().to_string()
    }
}

/// These bytes get that answer, however they are cut in two, and when they come byte by byte.
pub fn check(sent: &[u8], want: &[u8]) {
    let want = want.escape_ascii().to_string();
    let shown = sent[..sent.len().min(80)].escape_ascii();
    for cut in 0..sent.len() {
        let mut server = Server::new();
        server.receive(&sent[..cut]);
        server.receive(&sent[cut..]);
        assert_eq!(server.said(), want, "{shown} cut at {cut}");
    }
    let mut server = Server::new();
    for byte in sent {
        server.receive(std::slice::from_ref(byte));
    }
    assert_eq!(server.said(), want, "{shown} byte by byte");
}

/// For what is too long to be cut everywhere.
fn check_whole(sent: &[&[u8]], want: &[u8]) {
    let mut server = Server::new();
    for piece in sent {
        server.receive(piece);
    }
    assert_eq!(server.said(), want.escape_ascii().to_string());
}

#[test]
fn every_answer_is_the_one_of_memcached() {
    for (sent, want) in SEEN {
        check(sent, want);
    }
}

#[test]
fn a_key_has_at_most_250_bytes() {
    let (longest, longer) = ("k".repeat(250), "k".repeat(251));
    let with = |pattern: &str, key: &str| pattern.replace('K', key).into_bytes();
    check(
        &with("set K 0 0 1\r\n1\r\nget K\r\n", &longest),
        &with("STORED\r\nVALUE K 0 1\r\n1\r\nEND\r\n", &longest),
    );
    let bad = b"CLIENT_ERROR bad command line format\r\n";
    for pattern in
        ["get K\r\n", "get a K\r\n", "gat 0 K\r\n", "delete K\r\n", "incr K 1\r\n", "touch K 1\r\n"]
    {
        check(&with(pattern, &longer), bad);
    }
    check(&with("set K 0 0 1\r\n1\r\n", &longer), b"CLIENT_ERROR bad command line format\r\nERROR\r\n");
}

#[test]
fn a_value_that_is_too_large_is_swallowed_and_the_old_one_stays() {
    let value = vec![b'x'; VALUE_MAX_BYTES + 1];
    let head = format!("set a 0 0 {}\r\n", value.len());
    let refused = b"STORED\r\nSERVER_ERROR object too large for cache\r\nVALUE a 0 1\r\n1\r\nEND\r\n";
    check_whole(&[b"set a 0 0 1\r\n1\r\n", head.as_bytes(), &value, b"\r\nget a\r\n"], refused);
    let quiet = format!("set a 0 0 {} noreply\r\n", value.len());
    check_whole(&[quiet.as_bytes(), &value[1..], b"x\r", b"\nget a\r\n"], b"END\r\n");
    let whole = format!("set a 0 0 {VALUE_MAX_BYTES}\r\n");
    check_whole(&[whole.as_bytes(), &value[1..], b"\r\ndelete a\r\n"], b"STORED\r\nDELETED\r\n");
}

#[test]
fn an_endless_line_closes_the_connection_unless_it_is_a_get() {
    check_whole(&[&[b'x'; 3000]], b"<closed>");
    check_whole(&[&[b' '; 3000]], b"<closed>");
    check_whole(&[b"get ", &b"y ".repeat(2000)], b"");
    check_whole(&[b"gat 0 ", &b"y ".repeat(2000)], b"");
    check_whole(&[b"gats 0 ", &b"y ".repeat(2000), b"\r\n"], b"END\r\n");
    check_whole(&[b"get ", &b"y ".repeat(2000), b"\r\n"], b"END\r\n");
    check_whole(&[b"get ", &b"y ".repeat(MULTIGET_LINE_MAX_BYTES / 2)], b"<closed>");
    check_whole(&[&[&[b'x'; 3000][..], b"\r\n"].concat()], b"ERROR\r\n");
}

#[test]
fn a_hundred_thousand_keys_fit_in_one_get() {
    let keys: String = (0..100_000).map(|n| format!(" key-of-a-usual-length-{n}")).collect();
    for command in ["get", "gat 0"] {
        let line = format!("set key-of-a-usual-length-99999 0 0 1\r\n1\r\n{command}{keys}\r\n");
        let pieces: Vec<&[u8]> = line.as_bytes().chunks(64 * 1024).collect();
        check_whole(&pieces, b"STORED\r\nVALUE key-of-a-usual-length-99999 0 1\r\n1\r\nEND\r\n");
    }
}

/// A body that is not memcached's would otherwise be carried out.
#[test]
fn who_speaks_another_protocol_is_left_at_once() {
    let body = "\r\nHost: localhost\r\n\r\nflush_all\r\n";
    for method in ["GET", "POST", "HEAD", "PUT", "OPTIONS", "PRI"] {
        check(format!("{method} /x HTTP/1.1{body}").as_bytes(), b"<closed>");
    }
    check(format!("CONNECT localhost:80 HTTP/1.1{body}").as_bytes(), b"<closed>");
    check(format!("mn\r\nGET /{body}").as_bytes(), b"MN\r\n<closed>");
    check(b"\x80\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\r\nflush_all\r\n", b"<closed>");
    check(b"\x16\x03\x01\0\x01\n", b"<closed>");
    // Only the first byte of a connection tells.
    check(b"mn\r\n\x80\r\nmn\r\n", b"MN\r\nERROR\r\nMN\r\n");
    check(b"get HTTP/1.1\r\nset POST 0 0 1\r\n1\r\n", b"END\r\nSTORED\r\n");
}

#[test]
fn a_data_block_of_an_unknown_command_is_never_carried_out() {
    for line in ["mx foo 9", "mz foo 9 T0", "sets foo 0 0 9", "touchset foo 0 0 9 noreply"] {
        let sent = format!("set a 0 0 1\r\n1\r\n{line}\r\nflush_all\r\nget a\r\n");
        check(sent.as_bytes(), b"STORED\r\nERROR\r\n<closed>");
    }
    check(b"foo bar 9\r\nmn\r\n", b"ERROR\r\nMN\r\n");
}

#[test]
fn flush_all_at_a_time_of_day_waits_for_it() {
    let (past, future) = (NOW_MS / 1000 - 10, NOW_MS / 1000 + 10);
    let flushed = |time: u64| format!("set a 0 0 1\r\n1\r\nflush_all {time}\r\nget a\r\n");
    check(flushed(past).as_bytes(), b"STORED\r\nOK\r\nEND\r\n");
    check(flushed(future).as_bytes(), b"STORED\r\nOK\r\nVALUE a 0 1\r\n1\r\nEND\r\n");
}

#[test]
fn where_we_differ_from_memcached_it_is_on_purpose() {
    let bad = b"CLIENT_ERROR bad command line format\r\n";
    check(b"set a 4294967296 0 1\r\n", bad);
    check(b"set a 0 0 9999999999\r\n", bad);
    // Where a get is refused, memcached also loses the answer before it when both came in one piece.
    let long = ["set a 0 0 1\r\n1\r\nget a ", &"k".repeat(251), "\r\n"].concat();
    check(long.as_bytes(), &[b"STORED\r\n", &bad[..]].concat());
    check(b"set a 0 4102444800 1\r\n1\r\nget a\r\n", b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n");
}

#[test]
fn what_cannot_be_said_in_one_line_is_cut_out_of_an_error() {
    let mut out = BytesMut::new();
    write_server_error(&mut out, "no leader\r\nSTORED");
    assert_eq!(&out[..], b"SERVER_ERROR no leaderSTORED\r\n");
    out.clear();
    write_unknown(&mut out);
    assert!(out.starts_with(b"SERVER_ERROR outcome unknown"));
}

/// Words of the protocol and other bytes, put together at random.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        &b"get "[..],
        b"gets ",
        b"gat ",
        b"set ",
        b"cas ",
        b"add ",
        b"append ",
        b"delete ",
        b"incr ",
        b"decr ",
        b"touch ",
        b"flush_all ",
        b"verbosity ",
        b"stats ",
        b"version ",
        b"quit ",
        b"mn",
        b" noreply",
        b"a ",
        b"b ",
        b"0 ",
        b"1 ",
        b"-1 ",
        b"3 ",
        b"99999999999999999999 ",
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"\n",
        b"\0",
        b"abc",
    ]);
    let piece = prop_oneof![
        12 => word.prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn garbage_is_answered_the_same_however_it_is_cut(
        sent in any_bytes(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut whole = Server::new();
        whole.receive(&sent);
        let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(sent.len() + 1)).collect();
        at.sort_unstable();
        at.push(sent.len());
        let (mut pieces, mut from) = (Server::new(), 0);
        for to in at {
            pieces.receive(&sent[from..to]);
            from = to;
        }
        prop_assert_eq!(whole.said(), pieces.said());
    }

    #[test]
    fn each_step_takes_bytes_or_asks_for_more(sent in any_bytes()) {
        let mut parser = Parser::new(Namespace::default(), 8);
        let mut buffer = BytesMut::from(&sent[..]);
        loop {
            let before = buffer.len();
            match parser.next(&mut buffer) {
                Parsed::NeedMore { bytes_min } => {
                    prop_assert!(bytes_min > 0);
                    break;
                }
                Parsed::Close if before == 0 => break,
                _ => prop_assert!(buffer.len() < before),
            }
        }
    }
}

/// Sent to memcached 1.6.18, each on a new server, and what came back.
const SEEN: &[(&[u8], &[u8])] = &[
    (b"set a 0 0 1\r\n1\r\nget a\r\n", b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
    (b"set a 5 0 1\r\n1\r\ngets a b a\r\n", b"STORED\r\nVALUE a 5 1 1\r\n1\r\nVALUE a 5 1 1\r\n1\r\nEND\r\n"),
    (b"get\r\n", b"ERROR\r\n"),
    (b"gets\r\n", b"ERROR\r\n"),
    (b"get \r\n", b"ERROR\r\n"),
    (b"get a\r\n", b"END\r\n"),
    (b"GET a\r\n", b"ERROR\r\n"),
    (b"\r\n", b"ERROR\r\n"),
    (b"\n", b"ERROR\r\n"),
    (b" \r\n", b"ERROR\r\n"),
    (b"foo\r\n", b"ERROR\r\n"),
    (b"foo bar baz\r\n", b"ERROR\r\n"),
    (b"set\r\n", b"ERROR\r\n"),
    (b"set a\r\n", b"ERROR\r\n"),
    (b"set a 0 0\r\n", b"ERROR\r\n"),
    (b"set a 0 0 1\n2\r\nget a\n", b"STORED\r\nVALUE a 0 1\r\n2\r\nEND\r\n"),
    (b"set a 0 0 1\r\n2\nget a\r\nget a\r\n", b"CLIENT_ERROR bad data chunk\r\nERROR\r\nEND\r\n"),
    (b"  get   a  \r\n", b"END\r\n"),
    (b"set a 0 0 1\r\n1\r\n  get   a  \r\n", b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
    (b"set a 0 0 3\r\nabcdef\r\nget a\r\n", b"CLIENT_ERROR bad data chunk\r\nERROR\r\nEND\r\n"),
    (b"set a 0 0 3\r\nab\r\nget a\r\nget a\r\n", b"CLIENT_ERROR bad data chunk\r\nERROR\r\nEND\r\n"),
    (b"set a 0 0 -1\r\nabc\r\n", b"CLIENT_ERROR bad command line format\r\nERROR\r\n"),
    (b"set a 0 0 x\r\nabc\r\n", b"CLIENT_ERROR bad command line format\r\nERROR\r\n"),
    (b"set a x 0 1\r\n1\r\n", b"CLIENT_ERROR bad command line format\r\nERROR\r\n"),
    (b"set a -1 0 1\r\n1\r\n", b"CLIENT_ERROR bad command line format\r\nERROR\r\n"),
    (b"set a 4294967295 0 1\r\n1\r\nget a\r\n", b"STORED\r\nVALUE a 4294967295 1\r\n1\r\nEND\r\n"),
    (b"set a 0 x 1\r\n1\r\n", b"CLIENT_ERROR bad command line format\r\nERROR\r\n"),
    (b"set a 0 -1 1\r\n1\r\nget a\r\n", b"STORED\r\nEND\r\n"),
    (b"set a 0 2592001 1\r\n1\r\nget a\r\n", b"STORED\r\nEND\r\n"),
    (b"set a 0 2592000 1\r\n1\r\nget a\r\n", b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
    (b"set a 0 2147483647 1\r\n1\r\nget a\r\n", b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
    (b"get kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk\r\n", b"CLIENT_ERROR bad command line format\r\n"),
    (b"delete kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk\r\n", b"CLIENT_ERROR bad command line format\r\n"),
    (b"incr kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk 1\r\n", b"CLIENT_ERROR bad command line format\r\n"),
    (b"touch kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk 1\r\n", b"CLIENT_ERROR bad command line format\r\n"),
    (b"gat 0 kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk\r\n", b"CLIENT_ERROR bad command line format\r\n"),
    (b"set a 0 0 1 noreply\r\n1\r\nget a\r\n", b"VALUE a 0 1\r\n1\r\nEND\r\n"),
    (b"set a 0 0 1 noreplyx\r\n1\r\nget a\r\n", b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
    (b"set a 0 0 1 foo\r\n1\r\nget a\r\n", b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
    (b"set a 0 0 1 noreply x\r\n1\r\nget a\r\n", b"ERROR\r\nERROR\r\nEND\r\n"),
    (b"set a 0 0 3 noreply\r\nabcdef\r\nget a\r\n", b"ERROR\r\nEND\r\n"),
    (b"set a x 0 3 noreply\r\nabc\r\nget a\r\n", b"ERROR\r\nEND\r\n"),
    (b"add a 0 0 1\r\n1\r\nadd a 0 0 1\r\n2\r\nget a\r\n", b"STORED\r\nNOT_STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
    (b"replace a 0 0 1\r\n1\r\n", b"NOT_STORED\r\n"),
    (b"set a 0 0 1\r\n1\r\nreplace a 7 0 1\r\n2\r\nget a\r\n", b"STORED\r\nSTORED\r\nVALUE a 7 1\r\n2\r\nEND\r\n"),
    (b"append a 0 0 1\r\n1\r\n", b"NOT_STORED\r\n"),
    (b"set a 3 0 1\r\n1\r\nappend a 9 0 1\r\n2\r\nprepend a 0 0 1\r\n0\r\nget a\r\n", b"STORED\r\nSTORED\r\nSTORED\r\nVALUE a 3 3\r\n012\r\nEND\r\n"),
    (b"prepend a 0 0 1\r\n1\r\n", b"NOT_STORED\r\n"),
    (b"cas a 0 0 1 1\r\n1\r\n", b"NOT_FOUND\r\n"),
    (b"set a 0 0 1\r\n1\r\ngets a\r\ncas a 0 0 1 99\r\n2\r\ncas a 0 0 1 1\r\n2\r\nget a\r\n", b"STORED\r\nVALUE a 0 1 1\r\n1\r\nEND\r\nEXISTS\r\nSTORED\r\nVALUE a 0 1\r\n2\r\nEND\r\n"),
    (b"cas a 0 0 1\r\n1\r\n", b"ERROR\r\nERROR\r\n"),
    (b"cas a 0 0 1 x\r\n1\r\n", b"CLIENT_ERROR bad command line format\r\nERROR\r\n"),
    (b"cas a 0 0 1 1 noreply\r\n1\r\nmn\r\n", b"MN\r\n"),
    (b"cas a 0 0 1 -1\r\n1\r\n", b"CLIENT_ERROR bad command line format\r\nERROR\r\n"),
    (b"delete a\r\n", b"NOT_FOUND\r\n"),
    (b"set a 0 0 1\r\n1\r\ndelete a\r\nget a\r\n", b"STORED\r\nDELETED\r\nEND\r\n"),
    (b"delete\r\n", b"ERROR\r\n"),
    (b"delete a 0\r\n", b"NOT_FOUND\r\n"),
    (b"delete a 1\r\n", b"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"),
    (b"delete a noreply\r\nmn\r\n", b"MN\r\n"),
    (b"delete a 0 noreply\r\nmn\r\n", b"MN\r\n"),
    (b"delete a 1 noreply\r\nmn\r\n", b"MN\r\n"),
    (b"delete a b c d\r\n", b"ERROR\r\n"),
    (b"delete a foo\r\n", b"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"),
    (b"delete a 0 foo\r\n", b"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"),
    (b"incr a 1\r\n", b"NOT_FOUND\r\n"),
    (b"set a 0 0 2\r\n10\r\nincr a 1\r\ndecr a 5\r\nget a\r\n", b"STORED\r\n11\r\n6\r\nVALUE a 0 2\r\n6 \r\nEND\r\n"),
    (b"set a 0 0 2\r\n10\r\ndecr a 1\r\nget a\r\ndecr a 100\r\nget a\r\n", b"STORED\r\n9\r\nVALUE a 0 2\r\n9 \r\nEND\r\n0\r\nVALUE a 0 2\r\n0 \r\nEND\r\n"),
    (b"set a 0 0 1\r\nx\r\nincr a 1\r\n", b"STORED\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n"),
    (b"set a 0 0 2\r\n10\r\nincr a x\r\nincr a -1\r\nincr a 18446744073709551616\r\nincr a 18446744073709551615\r\nget a\r\n", b"STORED\r\nCLIENT_ERROR invalid numeric delta argument\r\nCLIENT_ERROR invalid numeric delta argument\r\nCLIENT_ERROR invalid numeric delta argument\r\n9\r\nVALUE a 0 2\r\n9 \r\nEND\r\n"),
    (b"incr a\r\n", b"ERROR\r\n"),
    (b"incr\r\n", b"ERROR\r\n"),
    (b"incr a 1 noreply\r\nmn\r\n", b"MN\r\n"),
    (b"incr a x noreply\r\nmn\r\n", b"MN\r\n"),
    (b"incr a 1 2 3\r\n", b"ERROR\r\n"),
    (b"incr a 1 foo\r\n", b"NOT_FOUND\r\n"),
    (b"set a 0 0 0\r\n\r\nincr a 1\r\n", b"STORED\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n"),
    (b"set a 0 0 4\r\n 5 x\r\nincr a 1\r\nget a\r\n", b"STORED\r\n6\r\nVALUE a 0 4\r\n6   \r\nEND\r\n"),
    (b"set a 0 0 20\r\n18446744073709551615\r\nincr a 2\r\nget a\r\n", b"STORED\r\n1\r\nVALUE a 0 20\r\n1                   \r\nEND\r\n"),
    (b"set a 0 0 2\r\n-1\r\nincr a 1\r\n", b"STORED\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n"),
    (b"set a 0 0 2\r\n-0\r\nincr a 1\r\n", b"STORED\r\n1\r\n"),
    (b"set a 0 0 2\r\n+5\r\nincr a 1\r\nget a\r\n", b"STORED\r\n6\r\nVALUE a 0 2\r\n6 \r\nEND\r\n"),
    (b"set a 0 0 20\r\n18446744073709551616\r\nincr a 1\r\n", b"STORED\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n"),
    (b"set a 0 0 2\r\n5x\r\nincr a 1\r\n", b"STORED\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n"),
    (b"set a 0 0 2\r\n5\0\r\nincr a 1\r\n", b"STORED\r\n6\r\n"),
    (b"set a 0 0 25\r\n0000000000000000000000005\r\nincr a 1\r\nget a\r\n", b"STORED\r\n6\r\nVALUE a 0 25\r\n6                        \r\nEND\r\n"),
    (b"set a 0 0 2\r\n10\r\nincr a  1\r\n", b"STORED\r\n11\r\n"),
    (b"set a 0 0 2\r\n10\r\nincr a +1\r\n", b"STORED\r\n11\r\n"),
    (b"set a 0 0 2\r\n10\r\nincr a 1x\r\n", b"STORED\r\nCLIENT_ERROR invalid numeric delta argument\r\n"),
    (b"set a 0 0 2\r\n5\xa0\r\nincr a 1\r\n", b"STORED\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n"),
    (b"set a 0 0 2\r\n\x0b5\r\nincr a 1\r\nget a\r\n", b"STORED\r\n6\r\nVALUE a 0 2\r\n6 \r\nEND\r\n"),
    (b"touch a 0\r\n", b"NOT_FOUND\r\n"),
    (b"set a 0 0 1\r\n1\r\ntouch a 0\r\ntouch a -1\r\nget a\r\n", b"STORED\r\nTOUCHED\r\nTOUCHED\r\nEND\r\n"),
    (b"touch a\r\n", b"ERROR\r\n"),
    (b"touch\r\n", b"ERROR\r\n"),
    (b"touch a x\r\n", b"CLIENT_ERROR invalid exptime argument\r\n"),
    (b"touch a 0 noreply\r\nmn\r\n", b"MN\r\n"),
    (b"touch a 0 foo\r\n", b"NOT_FOUND\r\n"),
    (b"touch a 0 1 2\r\n", b"ERROR\r\n"),
    (b"gat 0 a\r\n", b"END\r\n"),
    (b"set a 4 0 1\r\n1\r\ngat 0 a\r\ngats 0 a b\r\ngat -1 a\r\nget a\r\n", b"STORED\r\nVALUE a 4 1\r\n1\r\nEND\r\nVALUE a 4 1 1\r\n1\r\nEND\r\nVALUE a 4 1\r\n1\r\nEND\r\nEND\r\n"),
    (b"gat\r\n", b"ERROR\r\n"),
    (b"gat 0\r\n", b"END\r\n"),
    (b"gat x a\r\n", b"CLIENT_ERROR invalid exptime argument\r\n"),
    (b"gats 0\r\n", b"END\r\n"),
    (b"gat a\r\n", b"CLIENT_ERROR invalid exptime argument\r\n"),
    (b"gats\r\n", b"ERROR\r\n"),
    (b"gat 0 \r\n", b"END\r\n"),
    (b"set a 0 0 1\r\n1\r\nflush_all\r\nget a\r\n", b"STORED\r\nOK\r\nEND\r\n"),
    (b"flush_all 10\r\n", b"OK\r\n"),
    (b"flush_all noreply\r\nmn\r\n", b"MN\r\n"),
    (b"flush_all 0 noreply\r\nmn\r\n", b"MN\r\n"),
    (b"flush_all x\r\n", b"CLIENT_ERROR invalid exptime argument\r\n"),
    (b"flush_all -1\r\n", b"OK\r\n"),
    (b"flush_all 0 foo\r\n", b"OK\r\n"),
    (b"flush_all 1 2 3\r\n", b"ERROR\r\n"),
    (b"flush_all foo noreply\r\nmn\r\n", b"MN\r\n"),
    (b"set a 0 0 1\r\n1\r\nflush_all -1\r\nget a\r\n", b"STORED\r\nOK\r\nEND\r\n"),
    (b"flush_all 1 2\r\n", b"OK\r\n"),
    (b"set a 0 0 1\r\n1\r\nflush_all -5\r\nget a\r\n", b"STORED\r\nOK\r\nEND\r\n"),
    (b"verbosity\r\n", b"ERROR\r\n"),
    (b"verbosity 1\r\n", b"OK\r\n"),
    (b"verbosity 1 noreply\r\nmn\r\n", b"MN\r\n"),
    (b"verbosity x\r\n", b"CLIENT_ERROR bad command line format\r\n"),
    (b"verbosity 1 2\r\n", b"OK\r\n"),
    (b"verbosity noreply\r\nmn\r\n", b"MN\r\n"),
    (b"verbosity 1 2 3\r\n", b"ERROR\r\n"),
    (b"verbosity 1 2 noreply\r\nmn\r\n", b"ERROR\r\nMN\r\n"),
    (b"version\r\n", b"VERSION 1.6.18\r\n"),
    (b"version x\r\n", b"VERSION 1.6.18\r\n"),
    (b"version noreply\r\n", b"VERSION 1.6.18\r\n"),
    (b"quit\r\n", b"<closed>"),
    (b"quit x\r\nmn\r\n", b"<closed>"),
    (b"quit noreply\r\nmn\r\n", b"<closed>"),
    (b"mn\r\n", b"MN\r\n"),
    (b"mn x\r\n", b"MN\r\n"),
    (b"stats foo\r\n", b"ERROR\r\n"),
    (b"stats noreply\r\n", b"ERROR\r\n"),
    (b"bget a\r\n", b"END\r\n"),
    (b"set a 0 0 0\r\n\r\nget a\r\n", b"STORED\r\nVALUE a 0 0\r\n\r\nEND\r\n"),
    (b"set a 0 0 2147483647\r\n", b"CLIENT_ERROR bad command line format\r\n"),
    (b"set a\0b 0 0 1\r\n1\r\nget a\0b\r\n", b"ERROR\r\nERROR\r\nEND\r\n"),
    (b"get \xff\x01\r\n", b"END\r\n"),
    (b"get a\x09b\r\n", b"END\r\n"),
    (b"get a\rb\r\n", b"END\r\n"),
    (b"get a\r\r\n", b"END\r\n"),
    (b"set a 0 0 1\r\n1\r\nget a\r\r\n", b"STORED\r\nEND\r\n"),
    (b"get a b\0c d\r\n", b"END\r\n"),
    (b"set a 0 0 1 \r\n1\r\nget a\r\n", b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
    (b"set a 0x10 0 1\r\n1\r\nget a\r\n", b"CLIENT_ERROR bad command line format\r\nERROR\r\nEND\r\n"),
    (b"set a +1 0 1\r\n1\r\nget a\r\n", b"STORED\r\nVALUE a 1 1\r\n1\r\nEND\r\n"),
    (b"set a 010 0 1\r\n1\r\nget a\r\n", b"STORED\r\nVALUE a 10 1\r\n1\r\nEND\r\n"),
    (b"set a 0 0 01\r\n1\r\nget a\r\n", b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
    (b"set a 0 0 +1\r\n1\r\nget a\r\n", b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
    (b"set a 0 0 1x\r\n1\r\nget a\r\n", b"CLIENT_ERROR bad command line format\r\nERROR\r\nEND\r\n"),
    (b"set a 0 1x 1\r\n1\r\nget a\r\n", b"CLIENT_ERROR bad command line format\r\nERROR\r\nEND\r\n"),
    (b"set a 0 0 1\r\n1\r\r\nget a\r\n", b"CLIENT_ERROR bad data chunk\r\nERROR\r\nEND\r\n"),
    (b"set a 0 0 1\r\n1x\nget a\r\n", b"CLIENT_ERROR bad data chunk\r\nEND\r\n"),
    (b"set a 0 0 1\r\nxyz\r\nget a\r\nget a\r\n", b"CLIENT_ERROR bad data chunk\r\nERROR\r\nEND\r\nEND\r\n"),
    (b"set a 0 -9999999999 1\r\n1\r\n", b"STORED\r\n"),
    (b"touch a 9999999999\r\n", b"NOT_FOUND\r\n"),
    (b"mn noreply\r\n", b"MN\r\n"),
    (b"get noreply\r\n", b"END\r\n"),
    (b"gat x noreply\r\n", b"CLIENT_ERROR invalid exptime argument\r\n"),
    (b"foo noreply\r\n", b"ERROR\r\n"),
    (b"set noreply\r\n", b"ERROR\r\n"),
    (b"delete noreply\r\nmn\r\n", b"NOT_FOUND\r\nMN\r\n"),
    (b"touch a x noreply\r\nmn\r\n", b"MN\r\n"),
    (b"incr a noreply\r\n", b""),
    (b"touch noreply 1\r\n", b"NOT_FOUND\r\n"),
    (b"incr a 1 NOREPLY\r\n", b"NOT_FOUND\r\n"),
    (b"set a 0 0 noreply\r\nmn\r\n", b"MN\r\n"),
    (b"set a 0 0 1 noreply\r\n1\r\nset b 0 0 1\r\n2\r\nget a b\r\n", b"STORED\r\nVALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n2\r\nEND\r\n"),
    (b"set a 0 0 1\r\n1\r\ndelete a 0\r\nget a\r\n", b"STORED\r\nDELETED\r\nEND\r\n"),
    (b"set a 0 0 1\r\n1\r\ntouch a -1 noreply\r\nget a\r\n", b"STORED\r\nEND\r\n"),
    (b"set a 0 0 1\r\n1\r\ngats -1 a a\r\n", b"STORED\r\nVALUE a 0 1 1\r\n1\r\nEND\r\n"),
    (b"set a 0 0 1\r\n1\r\ngat 100 a a\r\nget a\r\n", b"STORED\r\nVALUE a 0 1\r\n1\r\nVALUE a 0 1\r\n1\r\nEND\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
    (b"set a 0 0 1\r\n1\r\ntouch a 1\r\nadd a 0 0 1\r\n2\r\nget a\r\n", b"STORED\r\nTOUCHED\r\nNOT_STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
    (b"set a 0 0 1\r\n1\r\nincr a 1\r\ngets a\r\n", b"STORED\r\n2\r\nVALUE a 0 1 2\r\n2\r\nEND\r\n"),
    (b"set a 0 0 1\r\n1\r\ntouch a 100\r\ngets a\r\n", b"STORED\r\nTOUCHED\r\nVALUE a 0 1 1\r\n1\r\nEND\r\n"),
    (b"set a 0 0 1\r\n1\r\nappend a 0 0 1\r\n2\r\ngets a\r\n", b"STORED\r\nSTORED\r\nVALUE a 0 2 2\r\n12\r\nEND\r\n"),
    (b"set a 0 0 1\r\n1\r\ngats 100 a\r\ngets a\r\n", b"STORED\r\nVALUE a 0 1 1\r\n1\r\nEND\r\nVALUE a 0 1 1\r\n1\r\nEND\r\n"),
    (b"set a 0 0 1\r\n1\r\ndelete a\r\nset a 0 0 1\r\n2\r\ngets a\r\n", b"STORED\r\nDELETED\r\nSTORED\r\nVALUE a 0 1 2\r\n2\r\nEND\r\n"),
    (b"set a 0 0 1\r\nx\r\nincr a 1 noreply\r\nmn\r\n", b"STORED\r\nMN\r\n"),
    (b"set a 0 0 2\r\n1 \r\nincr a 1\r\nget a\r\n", b"STORED\r\n2\r\nVALUE a 0 2\r\n2 \r\nEND\r\n"),
    (b"set a 0 0 2\r\n99\r\nincr a 1\r\nget a\r\n", b"STORED\r\n100\r\nVALUE a 0 3\r\n100\r\nEND\r\n"),
    (b"set a 0 0 1\r\n1\r\ndecr a 0\r\n", b"STORED\r\n1\r\n"),
    (b"set a 0 0 2\r\n05\r\ndecr a 0\r\nget a\r\n", b"STORED\r\n5\r\nVALUE a 0 2\r\n5 \r\nEND\r\n"),
    (b"set a 0 0 1\r\n1\r\nincr a 010\r\n", b"STORED\r\n11\r\n"),
    (b"set a 0 0 1\r\n1\r\nincr a \x091\r\n", b"STORED\r\n2\r\n"),
    (b"set a 0 0 1\r\n1\r\nincr a -0\r\n", b"STORED\r\n1\r\n"),
    (b"set a 0 0 1\r\n1\r\nincr a 0x1\r\n", b"STORED\r\nCLIENT_ERROR invalid numeric delta argument\r\n"),
    (b"touch a \r\n", b"ERROR\r\n"),
    (b"set a 0 0 \r\n", b"ERROR\r\n"),
    (b"cas a 0 0 1 1 2 3\r\n", b"ERROR\r\n"),
    (b"cas a 0 0 1 +0 foo\r\n1\r\n", b"NOT_FOUND\r\n"),
    (b"cas a 0 0 1 18446744073709551616\r\n1\r\n", b"CLIENT_ERROR bad command line format\r\nERROR\r\n"),
    (b"cas a 0 0 1 18446744073709551615\r\n1\r\n", b"NOT_FOUND\r\n"),
    (b"append a 0 0 1 noreply\r\n1\r\nget a\r\n", b"END\r\n"),
    (b"flush_all 1x\r\n", b"CLIENT_ERROR invalid exptime argument\r\n"),
    (b"flush_all noreply noreply\r\nmn\r\n", b"MN\r\n"),
    (b"flush_all -x\r\n", b"CLIENT_ERROR invalid exptime argument\r\n"),
    (b"verbosity -1\r\n", b"CLIENT_ERROR bad command line format\r\n"),
    (b"verbosity 99999999999\r\n", b"OK\r\n"),
    (b"verbosity 1x\r\n", b"CLIENT_ERROR bad command line format\r\n"),
    (b"touch a 1x\r\n", b"CLIENT_ERROR invalid exptime argument\r\n"),
    (b"gat 1x a\r\n", b"CLIENT_ERROR invalid exptime argument\r\n"),
    (b"gat  -1  a\r\n", b"END\r\n"),
    (b"set a 0 0 2\r\n\r\n\r\nget a\r\n", b"STORED\r\nVALUE a 0 2\r\n\r\n\r\nEND\r\n"),
    (b"set a 0 0 0\r\nx\r\n", b"CLIENT_ERROR bad data chunk\r\nERROR\r\n"),
    (b"set a 0 0 1\r\n\r\n\r\n", b"CLIENT_ERROR bad data chunk\r\nERROR\r\n"),
    (b"get a\0 b\r\nget b\r\n", b"END\r\nEND\r\n"),
    (b"\0\r\n", b"ERROR\r\n"),
    (b"mn\0x\r\n", b"MN\r\n"),
    (b"versions\r\n", b"ERROR\r\n"),
    (b"quitx\r\n", b"ERROR\r\n"),
    (b"mnx\r\n", b"ERROR\r\n"),
    (b"stats a b c d e f g h i\r\n", b"ERROR\r\n"),
    (b"a b c d e f g h i j k l m n o p q r s t u v w x y z 1 2 3\r\n", b"ERROR\r\n"),
    (b"set a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a \r\n", b"ERROR\r\n"),
    (b"delete a b b b b b b b b b b b b b b b b b b b b b b b b b b b b b b b b b b b b b b b b \r\n", b"ERROR\r\n"),
    (b"touch a 1 noreply noreply\r\n", b"ERROR\r\n"),
    (b"set a 0 -0 1\r\n1\r\nget a\r\n", b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
    (b"set a 0 +5 1\r\n1\r\nget a\r\n", b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
    (b"set a -0 0 1\r\n1\r\nget a\r\n", b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
    (b"set a 0 0 -0\r\n\r\nget a\r\n", b"STORED\r\nVALUE a 0 0\r\n\r\nEND\r\n"),
    (b"set a 0\x09 0 1\r\n1\r\nmn\r\n", b"STORED\r\nMN\r\n"),
    (b"set a \x090 0 1\r\n1\r\nget a\r\n", b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
    (b"\x09get a\r\n", b"ERROR\r\n"),
    (b"get\x09a\r\n", b"ERROR\r\n"),
];
