//! Commands and replies as bytes: the raw layout of client requests and replies (`wire`), of log
//! entries (`tablet::batch`) and in session rows (`tablet::session`).
//!
//! ```text
//! number   big endian              bytes    u32 length | bytes
//! option   u8 0 or 1 | the thing   names    u8 length | name
//! key      namespace | bytes       expiry   u8 0 never, 1 at, 2 after | u64 unless never
//! command  u8 tag | fields in the order in which `encode_command` writes them; replies likewise
//! ```
//!
//! *Invariant:* decoding is bounds-checked, takes every byte or fails, copies no key and no value (they are slices
//! of what came in; those of operations are copied), and never allocates more than a small multiple of what came in. Tags are never reused.

use bytes::{BufMut, Bytes, BytesMut};

pub use super::reader::{BadBytes, Reader};
use super::{
    Adjustment, Command, Delta, Expiry, Initial, Key, Operations, Read, Record, Reply, StoreMode, Value,
    Write,
};
use crate::ids::{DEFAULT_NAMESPACE, Namespace};

mod tag {
    pub const GET: u8 = 1;
    pub const SCAN: u8 = 2;
    pub const COUNT: u8 = 3;
    pub const READ_OPERATIONS: u8 = 4;
    pub const STORE: u8 = 16;
    pub const DELETE: u8 = 17;
    pub const INCREMENT: u8 = 18;
    pub const TOUCH: u8 = 19;
    pub const GET_AND_TOUCH: u8 = 20;
    pub const FLUSH: u8 = 21;
    pub const ADJUST: u8 = 22;
    pub const OPERATIONS: u8 = 23;

    pub const SET: u8 = 1;
    pub const ADD: u8 = 2;
    pub const REPLACE: u8 = 3;
    pub const APPEND: u8 = 4;
    pub const PREPEND: u8 = 5;
    pub const CAS: u8 = 6;
    pub const APPEND_IF: u8 = 7;
    pub const PREPEND_IF: u8 = 8;

    pub const RECORD: u8 = 1;
    pub const NOT_FOUND: u8 = 2;
    pub const STORED: u8 = 3;
    pub const NOT_STORED: u8 = 4;
    pub const EXISTS: u8 = 5;
    pub const DELETED: u8 = 6;
    pub const TOUCHED: u8 = 7;
    pub const NUMBER: u8 = 8;
    pub const NOT_A_NUMBER: u8 = 9;
    pub const TOO_LARGE: u8 = 10;
    pub const DONE: u8 = 11;
    pub const KEYS: u8 = 12;
    pub const COUNTED: u8 = 13;
    pub const OUT_OF_RANGE: u8 = 14;
    pub const WRONG_TYPE: u8 = 15;
    pub const VALUE: u8 = 16;
}

/// Appends a command to `out`.
pub fn encode_command(command: &Command, out: &mut BytesMut) {
    match command {
        Command::Read(read) => encode_read(read, out),
        Command::Write(write) => encode_write(write, out),
    }
}

/// Takes exactly one command out of `bytes`.
pub fn decode_command(bytes: &Bytes) -> Result<Command, BadBytes> {
    let mut reader = Reader::new(bytes, "command");
    let command = reader.command()?;
    reader.end()?;
    Ok(command)
}

/// Appends a reply to `out`.
pub fn encode_reply(reply: &Reply, out: &mut BytesMut) {
    match reply {
        Reply::Record(record) => {
            out.put_u8(tag::RECORD);
            put_record(record, out);
        }
        Reply::NotFound => out.put_u8(tag::NOT_FOUND),
        Reply::Stored { version } => {
            out.put_u8(tag::STORED);
            out.put_u64(*version);
        }
        Reply::NotStored => out.put_u8(tag::NOT_STORED),
        Reply::Exists => out.put_u8(tag::EXISTS),
        Reply::Deleted => out.put_u8(tag::DELETED),
        Reply::Touched => out.put_u8(tag::TOUCHED),
        Reply::Number { value, version } => {
            out.put_u8(tag::NUMBER);
            out.put_u64(*value);
            out.put_u64(*version);
        }
        Reply::NotANumber => out.put_u8(tag::NOT_A_NUMBER),
        Reply::OutOfRange => out.put_u8(tag::OUT_OF_RANGE),
        Reply::TooLarge => out.put_u8(tag::TOO_LARGE),
        Reply::Done => out.put_u8(tag::DONE),
        Reply::WrongType => out.put_u8(tag::WRONG_TYPE),
        Reply::Value(value) => {
            out.put_u8(tag::VALUE);
            value.encode(out);
        }
        Reply::Keys { keys, next } => put_keys(keys, next.as_ref(), out),
        Reply::Count { records, bytes } => {
            out.put_u8(tag::COUNTED);
            out.put_u64(*records);
            out.put_u64(*bytes);
        }
    }
}

/// Takes exactly one reply out of `bytes`.
pub fn decode_reply(bytes: &Bytes) -> Result<Reply, BadBytes> {
    let mut reader = Reader::new(bytes, "reply");
    let reply = reader.reply()?;
    reader.end()?;
    Ok(reply)
}

fn encode_read(read: &Read, out: &mut BytesMut) {
    match read {
        Read::Get { key } => {
            out.put_u8(tag::GET);
            put_key(key, out);
        }
        Read::Scan { namespace, after, limit } => {
            out.put_u8(tag::SCAN);
            put_namespace(namespace, out);
            put_bytes(after, out);
            out.put_u32(*limit);
        }
        Read::Count { namespace } => {
            out.put_u8(tag::COUNT);
            put_namespace(namespace, out);
        }
        Read::Operations(operations) => {
            out.put_u8(tag::READ_OPERATIONS);
            operations.encode(out);
        }
    }
}

/// Appends a write to `out`; the same bytes as `encode_command` gives for it.
pub fn encode_write(write: &Write, out: &mut BytesMut) {
    match write {
        Write::Store { key, mode, flags, expiry, value } => {
            out.reserve(key.bytes.len() + value.len() + 96);
            out.put_u8(tag::STORE);
            put_key(key, out);
            put_mode(*mode, out);
            out.put_u32(*flags);
            put_expiry(*expiry, out);
            put_bytes(value, out);
        }
        Write::Delete { key, version } => {
            out.put_u8(tag::DELETE);
            put_key(key, out);
            put_option_u64(*version, out);
        }
        Write::Increment { key, by, is_decrement } => {
            out.put_u8(tag::INCREMENT);
            put_key(key, out);
            out.put_u64(*by);
            out.put_u8(u8::from(*is_decrement));
        }
        Write::Adjust { key, adjustment } => {
            out.put_u8(tag::ADJUST);
            put_key(key, out);
            put_adjustment(adjustment, out);
        }
        Write::Touch { key, expiry } => {
            out.put_u8(tag::TOUCH);
            put_key(key, out);
            put_expiry(*expiry, out);
        }
        Write::GetAndTouch { key, expiry } => {
            out.put_u8(tag::GET_AND_TOUCH);
            put_key(key, out);
            put_expiry(*expiry, out);
        }
        Write::Flush { namespace, after_ms } => {
            out.put_u8(tag::FLUSH);
            put_namespace(namespace, out);
            out.put_u64(*after_ms);
        }
        Write::Operations(operations) => {
            out.put_u8(tag::OPERATIONS);
            operations.encode(out);
        }
    }
}

fn put_adjustment(adjustment: &Adjustment, out: &mut BytesMut) {
    match adjustment.delta {
        Delta::Unsigned { by, is_decrement } => {
            out.put_u8(u8::from(is_decrement));
            out.put_u64(by);
        }
        Delta::Signed { by } => {
            out.put_u8(2);
            out.put_i64(by);
        }
    }
    match &adjustment.initial {
        None => out.put_u8(0),
        Some(initial) => {
            out.put_u8(1);
            put_bytes(&initial.value, out);
            put_expiry(initial.expiry, out);
        }
    }
    put_option_u64(adjustment.version, out);
    match adjustment.expiry {
        None => out.put_u8(0),
        Some(expiry) => {
            out.put_u8(1);
            put_expiry(expiry, out);
        }
    }
}

fn put_bytes(bytes: &[u8], out: &mut BytesMut) {
    // Nothing longer than a frame is ever encoded, and frames are far below 4 GiB.
    out.put_u32(bytes.len() as u32);
    out.put_slice(bytes);
}

fn put_namespace(namespace: &Namespace, out: &mut BytesMut) {
    let name = namespace.as_str().as_bytes();
    out.put_u8(name.len() as u8); // NAME_MAX_BYTES is 48
    out.put_slice(name);
}

fn put_key(key: &Key, out: &mut BytesMut) {
    put_namespace(&key.namespace, out);
    put_bytes(&key.bytes, out);
}

fn put_option_u64(number: Option<u64>, out: &mut BytesMut) {
    match number {
        None => out.put_u8(0),
        Some(number) => {
            out.put_u8(1);
            out.put_u64(number);
        }
    }
}

fn put_expiry(expiry: Expiry, out: &mut BytesMut) {
    match expiry {
        Expiry::Never => out.put_u8(0),
        Expiry::At(ms) => {
            out.put_u8(1);
            out.put_u64(ms);
        }
        Expiry::After(ms) => {
            out.put_u8(2);
            out.put_u64(ms);
        }
    }
}

fn put_mode(mode: StoreMode, out: &mut BytesMut) {
    match mode {
        StoreMode::Set => out.put_u8(tag::SET),
        StoreMode::Add => out.put_u8(tag::ADD),
        StoreMode::Replace => out.put_u8(tag::REPLACE),
        StoreMode::Append => out.put_u8(tag::APPEND),
        StoreMode::Prepend => out.put_u8(tag::PREPEND),
        StoreMode::Cas(version) => {
            out.put_u8(tag::CAS);
            out.put_u64(version);
        }
        StoreMode::AppendIf(version) => {
            out.put_u8(tag::APPEND_IF);
            out.put_u64(version);
        }
        StoreMode::PrependIf(version) => {
            out.put_u8(tag::PREPEND_IF);
            out.put_u64(version);
        }
    }
}

fn put_record(record: &Record, out: &mut BytesMut) {
    out.reserve(record.value.len() + 40);
    out.put_u32(record.flags);
    out.put_u64(record.version);
    put_option_u64(record.expires_at_ms, out);
    out.put_u64(record.modified_at_ms);
    put_bytes(&record.value, out);
}

fn put_keys(keys: &[Bytes], next: Option<&Bytes>, out: &mut BytesMut) {
    out.put_u8(tag::KEYS);
    out.put_u32(keys.len() as u32);
    for key in keys {
        put_bytes(key, out);
    }
    match next {
        None => out.put_u8(0),
        Some(cursor) => {
            out.put_u8(1);
            put_bytes(cursor, out);
        }
    }
}

impl Reader<'_> {
    /// u8 length, then the name. Most keys have the default namespace, which costs no allocation.
    pub fn namespace(&mut self) -> Result<Namespace, BadBytes> {
        let length = usize::from(self.u8()?);
        let raw = self.raw(length)?;
        // The name that nearly every key has needs neither a check nor memory of its own.
        if raw == DEFAULT_NAMESPACE.as_bytes() {
            return Ok(Namespace::default());
        }
        std::str::from_utf8(raw).ok().and_then(|name| name.parse().ok()).ok_or(self.bad("not a namespace"))
    }

    /// A namespace, then u32 length and the bytes.
    pub fn key(&mut self) -> Result<Key, BadBytes> {
        Ok(Key { namespace: self.namespace()?, bytes: self.bytes()? })
    }

    fn expiry(&mut self) -> Result<Expiry, BadBytes> {
        match self.u8()? {
            0 => Ok(Expiry::Never),
            1 => Ok(Expiry::At(self.u64()?)),
            2 => Ok(Expiry::After(self.u64()?)),
            _ => Err(self.bad("no such expiry")),
        }
    }

    fn mode(&mut self) -> Result<StoreMode, BadBytes> {
        Ok(match self.u8()? {
            tag::SET => StoreMode::Set,
            tag::ADD => StoreMode::Add,
            tag::REPLACE => StoreMode::Replace,
            tag::APPEND => StoreMode::Append,
            tag::PREPEND => StoreMode::Prepend,
            tag::CAS => StoreMode::Cas(self.u64()?),
            tag::APPEND_IF => StoreMode::AppendIf(self.u64()?),
            tag::PREPEND_IF => StoreMode::PrependIf(self.u64()?),
            _ => return Err(self.bad("no such store mode")),
        })
    }

    /// A read or a write, distinguished by its tag.
    pub fn command(&mut self) -> Result<Command, BadBytes> {
        Ok(match self.u8()? {
            tag::GET => Command::Read(Read::Get { key: self.key()? }),
            tag::SCAN => Command::Read(Read::Scan {
                namespace: self.namespace()?,
                after: self.bytes()?,
                limit: self.u32()?,
            }),
            tag::COUNT => Command::Read(Read::Count { namespace: self.namespace()? }),
            tag::READ_OPERATIONS => {
                let operations = Operations::decode(self)?;
                if operations.is_write() {
                    return Err(self.bad("a read that writes"));
                }
                Command::Read(Read::Operations(Box::new(operations)))
            }
            other => Command::Write(self.write_of(other)?),
        })
    }

    /// A write with its tag; also what a log entry holds for each item.
    pub fn write(&mut self) -> Result<Write, BadBytes> {
        let tag = self.u8()?;
        self.write_of(tag)
    }

    fn write_of(&mut self, tag: u8) -> Result<Write, BadBytes> {
        Ok(match tag {
            tag::STORE => Write::Store {
                key: self.key()?,
                mode: self.mode()?,
                flags: self.u32()?,
                expiry: self.expiry()?,
                value: self.bytes()?,
            },
            tag::DELETE => Write::Delete { key: self.key()?, version: self.option_u64()? },
            tag::INCREMENT => {
                Write::Increment { key: self.key()?, by: self.u64()?, is_decrement: self.bool()? }
            }
            tag::ADJUST => Write::Adjust { key: self.key()?, adjustment: Box::new(self.adjustment()?) },
            tag::TOUCH => Write::Touch { key: self.key()?, expiry: self.expiry()? },
            tag::GET_AND_TOUCH => Write::GetAndTouch { key: self.key()?, expiry: self.expiry()? },
            tag::FLUSH => Write::Flush { namespace: self.namespace()?, after_ms: self.u64()? },
            tag::OPERATIONS => Write::Operations(Box::new(Operations::decode(self)?)),
            _ => return Err(self.bad("no such command")),
        })
    }

    fn adjustment(&mut self) -> Result<Adjustment, BadBytes> {
        let delta = match self.u8()? {
            sign @ (0 | 1) => Delta::Unsigned { by: self.u64()?, is_decrement: sign == 1 },
            2 => Delta::Signed { by: self.u64()? as i64 },
            _ => return Err(self.bad("no such delta")),
        };
        let initial = match self.bool()? {
            false => None,
            true => Some(Initial { value: self.bytes()?, expiry: self.expiry()? }),
        };
        let version = self.option_u64()?;
        let expiry = if self.bool()? { Some(self.expiry()?) } else { None };
        Ok(Adjustment { delta, initial, version, expiry })
    }

    fn record(&mut self) -> Result<Record, BadBytes> {
        Ok(Record {
            flags: self.u32()?,
            version: self.u64()?,
            expires_at_ms: self.option_u64()?,
            modified_at_ms: self.u64()?,
            value: self.bytes()?,
        })
    }

    fn keys(&mut self) -> Result<Reply, BadBytes> {
        let count = self.count(4)?;
        let mut keys = Vec::with_capacity(count);
        for _ in 0..count {
            keys.push(self.bytes()?);
        }
        let next = if self.bool()? { Some(self.bytes()?) } else { None };
        Ok(Reply::Keys { keys, next })
    }

    /// A reply with its tag. Keys and values stay slices of the buffer.
    pub fn reply(&mut self) -> Result<Reply, BadBytes> {
        Ok(match self.u8()? {
            tag::RECORD => Reply::Record(self.record()?),
            tag::NOT_FOUND => Reply::NotFound,
            tag::STORED => Reply::Stored { version: self.u64()? },
            tag::NOT_STORED => Reply::NotStored,
            tag::EXISTS => Reply::Exists,
            tag::DELETED => Reply::Deleted,
            tag::TOUCHED => Reply::Touched,
            tag::NUMBER => Reply::Number { value: self.u64()?, version: self.u64()? },
            tag::NOT_A_NUMBER => Reply::NotANumber,
            tag::OUT_OF_RANGE => Reply::OutOfRange,
            tag::TOO_LARGE => Reply::TooLarge,
            tag::WRONG_TYPE => Reply::WrongType,
            tag::VALUE => Reply::Value(Value::decode(self)?),
            tag::DONE => Reply::Done,
            tag::KEYS => self.keys()?,
            tag::COUNTED => Reply::Count { records: self.u64()?, bytes: self.u64()? },
            _ => return Err(self.bad("no such reply")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(bytes: &'static [u8]) -> Key {
        Key { namespace: Namespace::default(), bytes: Bytes::from_static(bytes) }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// The command has exactly these bytes, comes back from them, and from no shorter or longer piece of them.
    fn check_command(command: Command, want: &str) {
        let mut out = BytesMut::new();
        encode_command(&command, &mut out);
        assert_eq!(hex(&out), want.replace(' ', ""), "{command:?}");
        let bytes = out.freeze();
        assert_eq!(decode_command(&bytes), Ok(command));
        for cut in 0..bytes.len() {
            assert!(decode_command(&bytes.slice(..cut)).is_err(), "cut at {cut} was accepted");
        }
        let longer = Bytes::from([&bytes[..], b"x"].concat());
        assert_eq!(decode_command(&longer).map_err(|e| e.rule), Err("nothing may follow"));
    }

    fn check_reply(reply: Reply, want: &str) {
        let mut out = BytesMut::new();
        encode_reply(&reply, &mut out);
        assert_eq!(hex(&out), want.replace(' ', ""), "{reply:?}");
        let bytes = out.freeze();
        assert_eq!(decode_reply(&bytes), Ok(reply));
        for cut in 0..bytes.len() {
            assert!(decode_reply(&bytes.slice(..cut)).is_err(), "cut at {cut} was accepted");
        }
    }

    #[test]
    fn commands_have_their_golden_bytes() {
        let k = "07 64656661756c74 00000001 6b";
        let namespace = Namespace::default();
        let store = |mode, expiry| {
            Command::Write(Write::Store {
                key: key(b"k"),
                mode,
                flags: 5,
                expiry,
                value: Bytes::from_static(b"vv"),
            })
        };
        let value = "00000002 7676";
        check_command(Command::Read(Read::Get { key: key(b"k") }), &format!("01 {k}"));
        check_command(
            Command::Read(Read::Scan {
                namespace: namespace.clone(),
                after: Bytes::from_static(b"a"),
                limit: 9,
            }),
            "02 07 64656661756c74 00000001 61 00000009",
        );
        check_command(Command::Read(Read::Count { namespace: namespace.clone() }), "03 07 64656661756c74");
        let modes = [
            (StoreMode::Set, "01"),
            (StoreMode::Add, "02"),
            (StoreMode::Replace, "03"),
            (StoreMode::Append, "04"),
            (StoreMode::Prepend, "05"),
            (StoreMode::Cas(258), "06 0000000000000102"),
            (StoreMode::AppendIf(1), "07 0000000000000001"),
            (StoreMode::PrependIf(2), "08 0000000000000002"),
        ];
        for (mode, want) in modes {
            check_command(store(mode, Expiry::Never), &format!("10 {k} {want} 00000005 00 {value}"));
        }
        check_command(
            store(StoreMode::Set, Expiry::At(7)),
            &format!("10 {k} 01 00000005 01 0000000000000007 {value}"),
        );
        check_command(Command::Write(Write::Delete { key: key(b"k"), version: None }), &format!("11 {k} 00"));
        check_command(
            Command::Write(Write::Delete { key: key(b"k"), version: Some(3) }),
            &format!("11 {k} 01 0000000000000003"),
        );
        check_command(
            Command::Write(Write::Increment { key: key(b"k"), by: 1, is_decrement: true }),
            &format!("12 {k} 0000000000000001 01"),
        );
        check_command(
            Command::Write(Write::Touch { key: key(b"k"), expiry: Expiry::After(0) }),
            &format!("13 {k} 02 0000000000000000"),
        );
        check_command(
            Command::Write(Write::GetAndTouch { key: key(b"k"), expiry: Expiry::Never }),
            &format!("14 {k} 00"),
        );
        check_command(
            Command::Write(Write::Flush { namespace, after_ms: 1 }),
            "15 07 64656661756c74 0000000000000001",
        );
    }

    #[test]
    fn adjustments_have_their_golden_bytes() {
        let check = |adjustment: Adjustment, want: &str| {
            let write = Write::Adjust { key: key(b"k"), adjustment: Box::new(adjustment) };
            check_command(Command::Write(write), &format!("16 07 64656661756c74 00000001 6b {want}"));
        };
        let delta = Delta::Unsigned { by: 3, is_decrement: true };
        check(
            Adjustment { delta, initial: None, version: None, expiry: None },
            "01 0000000000000003 00 00 00",
        );
        check(
            Adjustment {
                delta: Delta::Signed { by: -2 },
                initial: Some(Initial { value: Bytes::from_static(b"7"), expiry: Expiry::After(1) }),
                version: Some(9),
                expiry: Some(Expiry::Never),
            },
            "02 fffffffffffffffe 01 00000001 37 02 0000000000000001 01 0000000000000009 01 00",
        );
    }

    #[test]
    fn replies_have_their_golden_bytes() {
        let record = |expires_at_ms| {
            Reply::Record(Record {
                value: Bytes::from_static(b"v"),
                flags: 1,
                version: 2,
                expires_at_ms,
                modified_at_ms: 4,
            })
        };
        check_reply(record(None), "01 00000001 0000000000000002 00 0000000000000004 00000001 76");
        check_reply(
            record(Some(3)),
            "01 00000001 0000000000000002 01 0000000000000003 0000000000000004 00000001 76",
        );
        check_reply(Reply::NotFound, "02");
        check_reply(Reply::Stored { version: 9 }, "03 0000000000000009");
        check_reply(Reply::NotStored, "04");
        check_reply(Reply::Exists, "05");
        check_reply(Reply::Deleted, "06");
        check_reply(Reply::Touched, "07");
        check_reply(Reply::Number { value: 1, version: 2 }, "08 0000000000000001 0000000000000002");
        check_reply(Reply::NotANumber, "09");
        check_reply(Reply::TooLarge, "0a");
        check_reply(Reply::Done, "0b");
        check_reply(Reply::OutOfRange, "0e");
        let keys = vec![Bytes::from_static(b"a"), Bytes::new()];
        check_reply(
            Reply::Keys { keys, next: Some(Bytes::from_static(b"c")) },
            "0c 00000002 00000001 61 00000000 01 00000001 63",
        );
        check_reply(Reply::Keys { keys: vec![], next: None }, "0c 00000000 00");
        check_reply(Reply::Count { records: 1, bytes: 2 }, "0d 0000000000000001 0000000000000002");
    }

    #[test]
    fn garbage_is_an_error_with_a_reason() {
        let check = |bytes: &'static [u8], want: &str| {
            let error = decode_reply(&Bytes::from_static(bytes)).unwrap_err();
            assert_eq!(error.to_string(), want);
        };
        check(b"", "bad bytes in reply at byte 0: ends too early");
        check(b"\xff", "bad bytes in reply at byte 1: no such reply");
        check(b"\x0c\xff\xff\xff\xff\0", "bad bytes in reply at byte 5: says more entries than can follow");
        let name = decode_command(&Bytes::from_static(b"\x03\x02./")).unwrap_err();
        assert_eq!(name.to_string(), "bad bytes in command at byte 4: not a namespace");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(bytes: Vec<u8>, tag in 0u8..24) {
            let bytes = Bytes::from([&[tag], &bytes[..]].concat());
            let _ = decode_command(&bytes);
            let _ = decode_reply(&bytes);
        }
    }
}
