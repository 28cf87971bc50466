//! Values to payloads.

use bytes::{BufMut, Bytes, BytesMut};

use super::{VERSION, crc64, kind};
use crate::kv::operation::Content;

/// The payload of a value.
pub fn encode(content: &Content) -> Bytes {
    let mut out = BytesMut::new();
    match content {
        Content::String(text) => {
            out.put_u8(kind::STRING);
            put_text(text, &mut out);
        }
        Content::List(all) => put_texts(kind::LIST, all, &mut out),
        Content::Set(all) => put_texts(kind::SET, all, &mut out),
        Content::Hash(pairs) => {
            out.put_u8(kind::HASH);
            put_length(pairs.len(), &mut out);
            for (field, value) in pairs {
                put_text(field, &mut out);
                put_text(value, &mut out);
            }
        }
        Content::SortedSet(all) => {
            out.put_u8(kind::SORTED_SET);
            put_length(all.len(), &mut out);
            for (score, member) in all {
                put_text(member, &mut out);
                out.put_f64_le(score.0);
            }
        }
    }
    out.put_u16_le(VERSION);
    let crc = crc64(&out);
    out.put_u64_le(crc);
    out.freeze()
}

fn put_texts(kind: u8, all: &[Bytes], out: &mut BytesMut) {
    out.put_u8(kind);
    put_length(all.len(), out);
    all.iter().for_each(|text| put_text(text, out));
}

fn put_text(text: &[u8], out: &mut BytesMut) {
    put_length(text.len(), out);
    out.put_slice(text);
}

fn put_length(length: usize, out: &mut BytesMut) {
    match length {
        0..0x40 => out.put_u8(length as u8),
        0x40..0x4000 => out.put_u16(length as u16 | 0x4000),
        0x4000..=0xffff_ffff => {
            out.put_u8(0x80);
            out.put_u32(length as u32);
        }
        _ => {
            out.put_u8(0x81);
            out.put_u64(length as u64);
        }
    }
}
