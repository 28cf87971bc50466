//! Requests that run alone: commands on several keys of one slot, on all tablets, and on the connection.

use std::sync::Arc;

use bytes::Bytes;
use dkc_core::kv::operation::{Act, KeyAct};
use dkc_core::kv::{Command, Operation, Operations, Read, Reply, Value, Write};
use dkc_core::resp::{matches, write_error};

use super::answer::{partly_done, value_of};
use super::{Alone, CROSS_SLOT, Resp, as_command};
use crate::router::RouteError;
use crate::slave::connection::scarce::read_bounded;
use crate::slave::memory::Share;
use crate::slave::output::Output;
use crate::slave::protocol::Outcome;

impl Resp {
    pub(super) async fn carry_out(&mut self, request: Alone, share: &Arc<Share>, output: &mut Output) {
        let service = self.service.clone();
        let _in_flight = match request {
            Alone::Blocking(blocking) => return self.block(blocking, output).await,
            _ => service.traffic.batch(),
        };
        let told = match request {
            Alone::Operation(operation) => self.run(operation, share).await,
            Alone::Matching { operation, pattern, in_pairs } => {
                self.matching(operation, &pattern, in_pairs, share).await
            }
            Alone::Scan(scan) => self.scan(scan).await,
            Alone::Keys { pattern } => self.keys(&pattern).await,
            Alone::RandomKey => self.random_key().await,
            Alone::Count => self.count().await.map(|(records, _)| Value::Integer(records as i64)),
            Alone::Flush => self.flush().await,
            Alone::Watch { keys } => return self.watch(keys, output).await,
            Alone::Exec => return self.exec(share, output).await,
            Alone::Connection(command) => return self.connection(command, output).await,
            Alone::Blocking(_) => return,
        };
        match told {
            Ok(value) => self.write(&value, output),
            Err(error) => self.fail(&error, output),
        }
    }

    async fn run(&self, operation: Operation, share: &Arc<Share>) -> Result<Value, RouteError> {
        let operations = Operations::one(self.namespace.clone(), operation);
        value_of(self.carry_out_bounded(as_command(operations), share).await)
    }

    /// What changes something answers with what it took away or with few bytes: that is kept even where memory is short, for
    /// it cannot be had once more.
    pub(super) async fn carry_out_bounded(&self, command: Command, share: &Arc<Share>) -> Outcome {
        match command {
            Command::Read(_) => read_bounded(&self.service, share, command).await,
            Command::Write(_) => self.service.router.execute(command).await,
        }
    }

    /// A step of a scan of a collection: the cursor, and the names that match.
    async fn matching(
        &self,
        operation: Operation,
        pattern: &Bytes,
        in_pairs: bool,
        share: &Arc<Share>,
    ) -> Result<Value, RouteError> {
        let mut value = self.run(operation, share).await?;
        if let Value::Array(parts) = &mut value
            && let Some(Value::Array(elements)) = parts.get_mut(1)
        {
            let width = if in_pairs { 2 } else { 1 };
            let is_wanted = |element: &&[Value]| matches!(element.first(), Some(Value::Text(name)) if matches(pattern, name));
            *elements = elements.chunks(width).filter(is_wanted).flatten().cloned().collect();
        }
        Ok(value)
    }

    /// Live records and bytes of the namespace, over all tablets.
    pub(super) async fn count(&self) -> Result<(u64, u64), RouteError> {
        let command = Command::Read(Read::Count { namespace: self.namespace.clone() });
        let (mut all_records, mut all_bytes) = (0, 0);
        for outcome in self.service.router.execute_everywhere(command).await? {
            if let Reply::Count { records, bytes } = outcome? {
                all_records += records;
                all_bytes += bytes;
            }
        }
        Ok((all_records, all_bytes))
    }

    async fn flush(&self) -> Result<Value, RouteError> {
        let flush = Command::Write(Write::Flush { namespace: self.namespace.clone(), after_ms: 0 });
        let outcomes = self.service.router.execute_everywhere(flush).await.map_err(partly_done)?;
        outcomes.into_iter().try_for_each(|outcome| outcome.map(drop)).map_err(partly_done)?;
        Ok(Value::OKAY)
    }

    /// `WATCH`: remembers the versions of keys for the next transaction.
    async fn watch(&mut self, keys: Vec<Bytes>, output: &mut Output) {
        let before = self.transaction.watched.first().map(|(key, _)| key);
        if !self.is_in_one_slot(before.into_iter().chain(&keys)) {
            return write_error(output.buffer(), CROSS_SLOT);
        }
        let operations =
            keys.iter().map(|key| Operation { key: key.clone(), act: Act::Key(KeyAct::Version) });
        let calls =
            operations.map(|operation| as_command(Operations::one(self.namespace.clone(), operation)).into());
        let outcomes = self.service.router.execute_all(calls.collect()).await;
        for (key, outcome) in keys.into_iter().zip(outcomes) {
            match value_of(outcome) {
                Ok(Value::Integer(version)) => self.transaction.watched.push((key, version as u64)),
                Ok(other) => return self.write(&other, output),
                Err(error) => return self.fail(&error, output),
            }
        }
        self.write(&Value::OKAY, output);
    }
}
