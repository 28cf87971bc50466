//! A batch as it stands in a log entry, and an outcome as it stands in a session row.
//!
//! ```text
//! batch    u8 format 2 | u64 now_ms | u32 epoch | u32 items | item…
//! item     u8 marks: 1 = retry, 2 = has a session | with a session: u64 session, u64 sequence, u64 answered_below | write
//! outcome  u8 0 = unknown, 1 = reply | reply, 2 = not here
//! ```
//!
//! *Invariant:* as in `kv::codec`: bounds-checked, no copy of keys and values, no large allocation for a lie.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Batch, Item, Outcome};
use crate::kv::codec::{self, BadBytes, Reader};

const FORMAT: u8 = 2;
const MARK_RETRY: u8 = 1;
const MARK_SESSION: u8 = 2;
/// Marks, and the smallest write: tag and a key of nothing.
const ITEM_MIN_BYTES: usize = 4;
/// Room for an item's fields beside its key and value.
const ITEM_TYPICAL_BYTES: usize = 192;

impl Batch {
    /// The bytes of a log entry; see the module.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(16 + self.items.len() * ITEM_TYPICAL_BYTES);
        out.put_u8(FORMAT);
        out.put_u64(self.now_ms);
        out.put_u32(self.epoch);
        out.put_u32(self.items.len() as u32);
        for item in &self.items {
            encode_item(item, &mut out);
        }
        out.freeze()
    }

    /// Keys and values of the batch are slices of `bytes`.
    pub fn decode(bytes: &Bytes) -> Result<Batch, BadBytes> {
        let mut reader = Reader::new(bytes, "batch");
        if reader.u8()? != FORMAT {
            return Err(reader.bad("unknown format version"));
        }
        let (now_ms, epoch) = (reader.u64()?, reader.u32()?);
        let count = reader.count(ITEM_MIN_BYTES)?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(decode_item(&mut reader)?);
        }
        reader.end()?;
        Ok(Batch { now_ms, epoch, items })
    }
}

fn encode_item(item: &Item, out: &mut BytesMut) {
    let mut marks = 0;
    if item.is_retry {
        marks |= MARK_RETRY;
    }
    if item.session != 0 {
        marks |= MARK_SESSION;
    }
    out.put_u8(marks);
    if item.session != 0 {
        out.put_u64(item.session);
        out.put_u64(item.sequence);
        out.put_u64(item.answered_below);
    }
    codec::encode_write(&item.write, out);
}

fn decode_item(reader: &mut Reader<'_>) -> Result<Item, BadBytes> {
    let marks = reader.u8()?;
    if marks & !(MARK_RETRY | MARK_SESSION) != 0 {
        return Err(reader.bad("unknown marks of an item"));
    }
    let (session, sequence, answered_below) =
        if marks & MARK_SESSION != 0 { (reader.u64()?, reader.u64()?, reader.u64()?) } else { (0, 0, 0) };
    if marks & MARK_SESSION != 0 && session == 0 {
        return Err(reader.bad("session 0 is no session"));
    }
    let is_retry = marks & MARK_RETRY != 0;
    Ok(Item { session, sequence, answered_below, is_retry, write: reader.write()? })
}

/// Appends an outcome to `out`.
pub fn encode_outcome(outcome: &Outcome, out: &mut BytesMut) {
    match outcome {
        Outcome::Unknown => out.put_u8(0),
        Outcome::Reply(reply) => {
            out.put_u8(1);
            codec::encode_reply(reply, out);
        }
        Outcome::NotHere => out.put_u8(2),
    }
}

/// Takes one outcome from the reader.
pub fn decode_outcome(reader: &mut Reader<'_>) -> Result<Outcome, BadBytes> {
    match reader.u8()? {
        0 => Ok(Outcome::Unknown),
        1 => Ok(Outcome::Reply(reader.reply()?)),
        2 => Ok(Outcome::NotHere),
        _ => Err(reader.bad("no such outcome")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Namespace;
    use crate::kv::{Expiry, Key, Reply, StoreMode, Write};

    fn key() -> Key {
        Key { namespace: Namespace::default(), bytes: Bytes::from_static(b"k") }
    }

    fn two_items() -> Batch {
        let value = Bytes::from_static(b"vv");
        let store = Write::Store { key: key(), mode: StoreMode::Set, flags: 5, expiry: Expiry::Never, value };
        let delete = Write::Delete { key: key(), version: None };
        let first = Item { session: 7, sequence: 3, answered_below: 2, is_retry: true, write: store };
        let second = Item { session: 0, sequence: 0, answered_below: 0, is_retry: false, write: delete };
        Batch { now_ms: 1000, epoch: 4, items: vec![first, second] }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn a_batch_has_its_golden_bytes() {
        let want = "02 00000000000003e8 00000004 00000002 \
            03 0000000000000007 0000000000000003 0000000000000002 \
            10 07 64656661756c74 00000001 6b 01 00000005 00 00000002 7676 \
            00 11 07 64656661756c74 00000001 6b 00";
        let bytes = two_items().encode();
        assert_eq!(hex(&bytes), want.replace(' ', ""));
        assert_eq!(Batch::decode(&bytes), Ok(two_items()));
        for cut in 0..bytes.len() {
            assert!(Batch::decode(&bytes.slice(..cut)).is_err(), "cut at {cut} was accepted");
        }
    }

    #[test]
    fn an_empty_batch_is_seventeen_bytes() {
        let batch = Batch { now_ms: 1, epoch: 0, items: vec![] };
        assert_eq!(hex(&batch.encode()), "0200000000000000010000000000000000");
        assert_eq!(Batch::decode(&batch.encode()), Ok(batch));
    }

    #[test]
    fn what_is_no_batch_is_refused_with_the_reason() {
        let check = |bytes: &[u8], want: &str| {
            let error = Batch::decode(&Bytes::copy_from_slice(bytes)).unwrap_err();
            assert_eq!(error.to_string(), want);
        };
        check(b"", "bad bytes in batch at byte 0: ends too early");
        check(b"\x01", "bad bytes in batch at byte 1: unknown format version");
        let head = b"\x02\0\0\0\0\0\0\0\x01\0\0\0\0";
        check(
            &[&head[..], b"\xff\xff\xff\xff"].concat(),
            "bad bytes in batch at byte 17: says more entries than can follow",
        );
        check(
            &[&head[..], b"\0\0\0\x01\x04\0\0\0"].concat(),
            "bad bytes in batch at byte 18: unknown marks of an item",
        );
        check(
            &[&head[..], b"\0\0\0\x01\x02", &[0; 24], b"\x11"].concat(),
            "bad bytes in batch at byte 42: session 0 is no session",
        );
        check(&[&head[..], b"\0\0\0\0x"].concat(), "bad bytes in batch at byte 17: nothing may follow");
    }

    #[test]
    fn outcomes_come_back() {
        for (outcome, want) in
            [(Outcome::Unknown, "00"), (Outcome::Reply(Reply::Done), "010b"), (Outcome::NotHere, "02")]
        {
            let mut out = BytesMut::new();
            encode_outcome(&outcome, &mut out);
            assert_eq!(hex(&out), want);
            assert_eq!(decode_outcome(&mut Reader::new(&out.freeze(), "outcome")), Ok(outcome));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(tail: Vec<u8>, count in 0u32..9) {
            let head = [&b"\x02\0\0\0\0\0\0\0\x01\0\0\0\0"[..], &count.to_be_bytes(), &tail].concat();
            let _ = Batch::decode(&Bytes::from(head));
            let _ = Batch::decode(&Bytes::from(tail));
        }
    }
}
