//! The output to an application. Small pieces are collected in one buffer; a large value is sent without copying it, so that
//! it is in memory once.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Values from this size on are not copied.
const SHARED_MIN_BYTES: usize = 16 * 1024;
/// A larger buffer is released once it is empty.
const KEEP_MAX_BYTES: usize = 16 * 1024;

#[derive(Default)]
pub(crate) struct Output {
    /// Goes out before `buffer`.
    pieces: Pieces,
    buffer: BytesMut,
}

/// Bytes in several buffers; each is released when it has been written.
#[derive(Default)]
struct Pieces(VecDeque<Bytes>);

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.0.front().map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let filled = slices.iter_mut().zip(&self.0);
        filled.map(|(slice, piece)| *slice = IoSlice::new(piece)).count()
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(piece) = self.0.front_mut() {
            if piece.len() > count {
                return piece.advance(count);
            }
            count -= piece.len();
            self.0.pop_front();
        }
    }
}

impl Output {
    /// The buffer for small pieces.
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
        self.close_piece();
        self.pieces.0.push_back(value);
    }

    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.pieces.0.is_empty()
    }

    fn close_piece(&mut self) {
        if !self.buffer.is_empty() {
            self.pieces.0.push_back(self.buffer.split().freeze());
        }
    }

    /// Writes everything, with one system call if the client keeps up. Returns the number of bytes.
    pub async fn write_to(&mut self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<usize> {
        let written = self.pieces.remaining() + self.buffer.len();
        if self.pieces.0.is_empty() {
            stream.write_all(&self.buffer).await?;
        } else {
            self.close_piece();
            stream.write_all_buf(&mut self.pieces).await?;
        }
        if self.buffer.capacity() > KEEP_MAX_BYTES {
            self.buffer = BytesMut::new();
        }
        self.buffer.clear();
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

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
        output.put(b"c");
        assert!(output.pieces.0.iter().any(|piece| piece.as_ptr() == large.as_ptr()));
        // Takes a few bytes at a time, so that writes end inside of pieces.
        let (mut stream, mut other) = tokio::io::duplex(1000);
        let reading = tokio::spawn(async move {
            let mut read = Vec::new();
            other.read_to_end(&mut read).await.map(|_| read)
        });
        let count = output.write_to(&mut stream).await.unwrap();
        assert!(output.is_empty());
        drop(stream);
        let want = [b"asmall", &large[..], b"b", &large[..], b"c"].concat();
        assert!(reading.await.unwrap().unwrap() == want);
        assert_eq!(count, want.len());
    }
}
