//! What is to be sent to an application. Small pieces are gathered in one buffer; a large value is sent from where it
//! lies, so that it is in memory once.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Values from this size on are not copied.
const SHARED_MIN_BYTES: usize = 16 * 1024;
/// A buffer that grew beyond this is given back once it is empty.
const KEEP_MAX_BYTES: usize = 64 * 1024;

#[derive(Default)]
pub(crate) struct Output {
    /// Goes out before `buffer`.
    pieces: Vec<Bytes>,
    buffer: BytesMut,
}

impl Output {
    /// For what is small.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    pub fn put(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    pub fn put_value(&mut self, value: Bytes) {
        if value.len() < SHARED_MIN_BYTES {
            return self.put(&value);
        }
        let before = self.buffer.split().freeze();
        self.pieces.extend([before, value]);
    }

    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.pieces.is_empty()
    }

    /// Writes everything, giving up each large value when it is written. Says how many bytes that were.
    pub async fn write_to(&mut self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<usize> {
        let mut written = self.buffer.len();
        for piece in self.pieces.drain(..) {
            stream.write_all(&piece).await?;
            written += piece.len();
        }
        stream.write_all(&self.buffer).await?;
        if self.buffer.capacity() > KEEP_MAX_BYTES {
            self.buffer = BytesMut::new();
        }
        self.buffer.clear();
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everything_is_written_in_order_and_large_values_are_not_copied() {
        let large = Bytes::from(vec![b'x'; SHARED_MIN_BYTES]);
        let mut output = Output::default();
        output.put(b"a");
        output.put_value(Bytes::from_static(b"small"));
        output.put_value(large.clone());
        output.put(b"b");
        output.put_value(large.clone());
        assert!(output.pieces.iter().any(|piece| piece.as_ptr() == large.as_ptr()));
        let mut written = Vec::new();
        let count = output.write_to(&mut written).await.unwrap();
        assert_eq!(written, [b"asmall", &large[..], b"b", &large[..]].concat());
        assert_eq!(count, written.len());
        assert!(output.is_empty());
    }
}
