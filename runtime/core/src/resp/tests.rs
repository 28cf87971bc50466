//! Bytes in pieces of any size, mistakes, and random bytes.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::kv::{Score, Value};

const VALUE_MAX_BYTES: usize = 64;

/// Everything that comes of these bytes when they arrive in pieces of this size.
fn parsed(bytes: &[u8], piece: usize) -> Vec<Parsed> {
    let (mut parser, mut input, mut all) = (Parser::new(VALUE_MAX_BYTES), BytesMut::new(), Vec::new());
    for piece in bytes.chunks(piece.max(1)) {
        input.extend_from_slice(piece);
        loop {
            match parser.next(&mut input) {
                Parsed::NeedMore { bytes_min } => {
                    assert!(bytes_min > 0);
                    break;
                }
                end @ (Parsed::Broken(_) | Parsed::Foreign) => {
                    all.push(end);
                    assert_eq!(parser.next(&mut input), Parsed::Foreign);
                    return all;
                }
                other => all.push(other),
            }
        }
    }
    all
}

fn check(bytes: &str, want: &[Parsed]) {
    for piece in [1, 2, 3, 7, bytes.len()] {
        assert_eq!(parsed(bytes.as_bytes(), piece), want, "{bytes:?} in pieces of {piece}");
    }
}

fn command(words: &[&str]) -> Parsed {
    Parsed::Command(words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect())
}

fn broken(why: &str) -> Parsed {
    Parsed::Broken(format!("ERR Protocol error: {why}"))
}

#[test]
fn commands_come_in_pieces_of_any_size() {
    check(
        "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPING\r\n",
        &[command(&["GET", "k"]), command(&["PING"])],
    );
    check("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n", &[command(&["SET", "k", ""])]);
    check("*0\r\n*-1\r\n\r\nPING\r\n", &[command(&["PING"])]);
    check("set k 'a b' \"\\x41\\n\"\n", &[command(&["set", "k", "a b", "A\n"])]);
}

#[test]
fn a_string_that_is_too_long_is_swallowed_and_the_next_command_is_carried_out() {
    let long = "x".repeat(VALUE_MAX_BYTES + 1);
    let bytes = format!("*3\r\n$3\r\nSET\r\n${}\r\n{long}\r\n$1\r\nv\r\n*1\r\n$4\r\nPING\r\n", long.len());
    check(&bytes, &[Parsed::TooLarge, command(&["PING"])]);
}

#[test]
fn mistakes_are_told_in_the_words_of_redis() {
    check("*x\r\n", &[broken("invalid multibulk length")]);
    check("*1048577\r\n", &[broken("invalid multibulk length")]);
    check("*1\r\n+PING\r\n", &[broken("expected '$', got '+'")]);
    check("*1\r\n$-1\r\n", &[broken("invalid bulk length")]);
    check("*1\r\n$536870913\r\n", &[broken("invalid bulk length")]);
    check("get \"k\n", &[broken("unbalanced quotes in request")]);
    check("POST / HTTP/1.1\r\n", &[Parsed::Foreign]);
    let endless = "x".repeat(70_000);
    check(&endless, &[broken("too big inline request")]);
}

#[test]
fn a_command_without_room_for_its_rest_is_swallowed() {
    let (mut parser, mut input) =
        (Parser::new(VALUE_MAX_BYTES), BytesMut::from("*2\r\n$3\r\nGET\r\n$9\r\nab"));
    assert!(matches!(parser.next(&mut input), Parsed::NeedMore { bytes_min: 9 }));
    assert!(parser.refuse(&mut input));
    input.extend_from_slice(b"cdefghi\r\n*1\r\n$4\r\nPING\r\n");
    assert_eq!(parser.next(&mut input), Parsed::NoRoom);
    assert_eq!(parser.next(&mut input), command(&["PING"]));
}

fn refusal(line: &str) -> String {
    let words: Vec<Bytes> = line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
    request(&words, 1).map_or_else(|why| why.into_owned(), |request| format!("{request:?}"))
}

#[test]
fn what_cannot_be_understood_is_refused_before_it_goes_anywhere() {
    assert_eq!(refusal("EVAL x 0"), "ERR unknown command 'EVAL', with args beginning with: 'x' '0' ");
    assert_eq!(refusal("get"), "ERR wrong number of arguments for 'get' command");
    assert_eq!(refusal("set k v nx xx"), "ERR syntax error");
    assert_eq!(refusal("set k v ex 0"), "ERR invalid expire time in 'set' command");
    assert_eq!(refusal("incrby k 1.5"), "ERR value is not an integer or out of range");
    assert_eq!(refusal("zadd k nx xx 1 a"), "ERR XX and NX options at the same time are not compatible");
}

#[test]
fn the_table_is_in_order_and_every_command_is_understood() {
    assert!(COMMANDS.is_sorted_by(|one, other| one.name < other.name));
    for command in COMMANDS {
        assert_eq!(find(command.name), Some(command));
        let least = command.arity.unsigned_abs() as usize;
        let words: Vec<Bytes> = std::iter::once(command.name)
            .chain(std::iter::repeat("1"))
            .take(least)
            .map(Bytes::from)
            .collect();
        if let Err(why) = request(&words, 1) {
            assert!(!why.starts_with("ERR unknown command"), "{}: {why}", command.name);
        }
    }
}

#[test]
fn resp2_has_no_doubles_sets_and_maps() {
    let told = |value: &Value, version| {
        let mut out = BytesMut::new();
        write_value(&mut out, value, version, 1000);
        String::from_utf8(out.to_vec()).unwrap()
    };
    let check = |value: Value, two: &str, three: &str| {
        assert_eq!(told(&value, Version::Two), two);
        assert_eq!(told(&value, Version::Three), three);
    };
    let pair = || vec![Value::Text("a".into()), Value::Double(Score(1.5))];
    check(Value::Nil, "$-1\r\n", "_\r\n");
    check(Value::NilArray, "*-1\r\n", "_\r\n");
    check(Value::Double(Score(0.5)), "$3\r\n0.5\r\n", ",0.5\r\n");
    check(Value::Map(pair()), "*2\r\n$1\r\na\r\n$3\r\n1.5\r\n", "%1\r\n$1\r\na\r\n,1.5\r\n");
    check(Value::Pairs(pair()), "*2\r\n$1\r\na\r\n$3\r\n1.5\r\n", "*1\r\n*2\r\n$1\r\na\r\n,1.5\r\n");
    check(Value::Set(vec![Value::Integer(-1)]), "*1\r\n:-1\r\n", "~1\r\n:-1\r\n");
    check(Value::Remaining { until_ms: 3600, in_seconds: true }, ":3\r\n", ":3\r\n");
}

#[test]
fn patterns_match_as_those_of_redis() {
    for (pattern, text, want) in [
        ("*", "", true),
        ("h?llo", "hello", true),
        ("h[ae]llo", "hillo", false),
        ("h[^e]llo", "hallo", true),
        ("h[a-c]*o", "hbxxo", true),
        ("\\*", "*", true),
        ("a*b*c", "aXbYbZc", true),
        ("a*b*c", "aXbYbZ", false),
    ] {
        assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), want, "{pattern} {text}");
    }
}

/// Pieces from which something like a command is made.
fn any_piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => prop::sample::select(vec!["*1\r\n", "*3\r\n", "$3\r\n", "$0\r\n", "\r\n", "GET", "abc\r\n", "$70\r\n", "\"", "*-1\r\n"])
            .prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_parser_panic_and_pieces_make_no_difference(
        pieces in prop::collection::vec(any_piece(), 0..24),
        size in 1..9usize,
    ) {
        let bytes = pieces.concat();
        prop_assert_eq!(parsed(&bytes, size), parsed(&bytes, bytes.len()));
    }

    #[test]
    fn a_command_comes_back_whatever_its_strings_hold(
        words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..9),
        size in 1..40usize,
    ) {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in &words {
            bytes.extend(format!("${}\r\n", word.len()).bytes());
            bytes.extend(word);
            bytes.extend(b"\r\n");
        }
        let want = Parsed::Command(words.into_iter().map(Bytes::from).collect());
        prop_assert_eq!(parsed(&bytes, size), vec![want]);
    }

    #[test]
    fn no_words_make_understanding_panic(
        at in 0..COMMANDS.len(),
        words in prop::collection::vec("[a-z0-9 .+(\\[-]{0,8}|[-0-9]{1,20}|limit|count|withscores|weights|get|ex", 0..9),
        seed: u64,
    ) {
        let words: Vec<Bytes> =
            std::iter::once(COMMANDS[at].name.to_owned()).chain(words).map(Bytes::from).collect();
        let _ = request(&words, seed);
    }
}
