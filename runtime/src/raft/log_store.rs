//! openraft's log on our shared log: entries, votes and positions in our own encoding. The shared log
//! syncs; this file only translates and waits.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};

use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use tokio::sync::oneshot;

use super::codec::{self, CodecError};
use super::limits::READ_BYTES_MAX;
use super::types::{Entry, LogId, Types, Vote};
use crate::log::GroupLog;

/// One group's log, as storage and as reader.
#[derive(Clone)]
pub struct LogStore(pub GroupLog);

fn damaged(error: CodecError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Submits a request with a callback to the log, and waits for the callback.
async fn durable(hand_over: impl FnOnce(crate::log::Done)) -> io::Result<()> {
    let (sender, receiver) = oneshot::channel();
    hand_over(Box::new(move |result| drop(sender.send(result))));
    receiver.await.unwrap_or_else(|_| Err(io::Error::other("the log was closed before it was durable")))
}

impl LogStore {
    pub(super) fn read(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let entries = self.0.read_up_to(from..to, bytes_max)?;
        entries.into_iter().map(|(index, bytes)| codec::decode_entry(index, bytes).map_err(damaged)).collect()
    }
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: R,
    ) -> io::Result<Vec<Entry>> {
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(last) => last + 1,
            Bound::Excluded(to) => *to,
            Bound::Unbounded => u64::MAX,
        };
        self.read(from, to, usize::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start, end, READ_BYTES_MAX)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        self.0.state().vote.map(|bytes| codec::decode_vote(bytes).map_err(damaged)).transpose()
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let state = self.0.state();
        let purged = match state.purged {
            Some((_, marker)) => codec::decode_log_id(marker).map_err(damaged)?,
            None => None,
        };
        let last = match state.last_index {
            Some(index) => self.read(index, index + 1, usize::MAX)?.first().map(|entry| entry.log_id),
            None => purged,
        };
        Ok(LogState { last_purged_log_id: purged, last_log_id: last })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        durable(|done| self.0.save_vote(codec::encode_vote(vote), done)).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        if committed.is_some() {
            self.0.save_committed(codec::encode_log_id(committed.as_ref()));
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        match self.0.state().committed {
            Some(bytes) => codec::decode_log_id(bytes).map_err(damaged),
            None => Ok(None),
        }
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let entries =
            entries.into_iter().map(|entry| (entry.log_id.index, codec::encode_entry(&entry))).collect();
        self.0.room().await;
        self.0.append(entries, Box::new(move |result| callback.io_completed(result)));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let from = last.map_or(0, |id| id.index + 1);
        durable(|done| self.0.truncate_from(from, done)).await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        durable(|done| self.0.purge_to(upto.index, codec::encode_log_id(Some(&upto)), done)).await
    }
}
