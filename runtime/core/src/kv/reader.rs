//! Reading fields of a raw layout, one after the other. Every step is checked against what is left, so that no bytes
//! can make it panic; the meaning of the fields is in `codec`.

use bytes::Bytes;

/// Bytes that are not what they should be: torn, foreign, or made by a newer release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bad bytes in {what} at byte {at}: {rule}")]
pub struct BadBytes {
    /// What was being decoded, in the words of an error message.
    pub what: &'static str,
    /// Where reading stopped, counted from the beginning of what was to be decoded.
    pub at: usize,
    /// The rule that the bytes break.
    pub rule: &'static str,
}

/// Reads fields one after the other from a buffer that keys and values are then slices of.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a Bytes,
    at: usize,
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// `what` is being read, in the words of an error message.
    pub fn new(bytes: &'a Bytes, what: &'static str) -> Reader<'a> {
        Reader { bytes, at: 0, what }
    }

    /// The error for a rule that is broken at the current position.
    pub fn bad(&self, rule: &'static str) -> BadBytes {
        BadBytes { what: self.what, at: self.at, rule }
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Everything has been read; what is left over is an error.
    pub fn end(&self) -> Result<(), BadBytes> {
        if self.remaining() == 0 { Ok(()) } else { Err(self.bad("nothing may follow")) }
    }

    /// The next `length` bytes, borrowed.
    pub(super) fn raw(&mut self, length: usize) -> Result<&'a [u8], BadBytes> {
        if length > self.remaining() {
            return Err(self.bad("ends too early"));
        }
        let raw = &self.bytes[self.at..self.at + length];
        self.at += length;
        Ok(raw)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadBytes> {
        let mut array = [0; N];
        array.copy_from_slice(self.raw(N)?);
        Ok(array)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, BadBytes> {
        Ok(self.array::<1>()?[0])
    }

    /// Big endian.
    pub fn u16(&mut self) -> Result<u16, BadBytes> {
        self.array().map(u16::from_be_bytes)
    }

    /// Big endian.
    pub fn u32(&mut self) -> Result<u32, BadBytes> {
        self.array().map(u32::from_be_bytes)
    }

    /// Big endian.
    pub fn u64(&mut self) -> Result<u64, BadBytes> {
        self.array().map(u64::from_be_bytes)
    }

    /// One byte, 0 or 1; anything else is an error.
    pub fn bool(&mut self) -> Result<bool, BadBytes> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.bad("a truth value is 0 or 1")),
        }
    }

    /// The next `length` bytes, as a slice that shares the buffer.
    pub fn slice(&mut self, length: usize) -> Result<Bytes, BadBytes> {
        if length > self.remaining() {
            return Err(self.bad("ends too early"));
        }
        let slice = self.bytes.slice(self.at..self.at + length);
        self.at += length;
        Ok(slice)
    }

    /// u32 length, then as many bytes.
    pub fn bytes(&mut self) -> Result<Bytes, BadBytes> {
        let length = self.u32()? as usize;
        self.slice(length)
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> Bytes {
        let rest = self.bytes.slice(self.at..);
        self.at = self.bytes.len();
        rest
    }

    /// How many things follow, when each takes at least `each_min_bytes`: so that a wrong number is refused
    /// before anything is allocated for it.
    pub fn count(&mut self, each_min_bytes: usize) -> Result<usize, BadBytes> {
        let count = self.u32()? as usize;
        if count > self.remaining() / each_min_bytes {
            return Err(self.bad("says more entries than can follow"));
        }
        Ok(count)
    }

    /// A `bool` that says whether a u64 follows.
    pub fn option_u64(&mut self) -> Result<Option<u64>, BadBytes> {
        Ok(if self.bool()? { Some(self.u64()?) } else { None })
    }
}
