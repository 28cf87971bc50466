//! The canary of a rolling change: a key of every tablet is written through the server that has just changed, read back and
//! removed. Keys are in a namespace of their own and expire, so that a shell that is killed leaves nothing.

use std::time::Duration;

use dkc_core::control::{ControlReply, ControlRequest, DataRequest};
use dkc_core::ids::Namespace;
use dkc_core::kv::{Command, Expiry, Key, Read, Reply, StoreMode, Write};
use dkc_core::ring::{RingMap, slot_of};
use dkc_inventory::plan::Endpoint;

use super::StepError;
use super::servers::Servers;

/// The namespace of canaries; nothing else belongs there.
const NAMESPACE: &str = "dkc-canary";
/// Time for leaders to settle after a node has changed; a cluster without trouble needs one attempt.
const CANARY_LIMIT: Duration = Duration::from_secs(30);
/// Longer than the default `request_deadline_ms`, so that the server's own answer arrives.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(300);
const EXPIRY_MS: u64 = 60_000;
/// Of a ring with more tablets, so many in equal distances are tried.
const KEYS_MAX: usize = 64;
/// Keys that are tried to find one for each tablet: far more than chance needs.
const CANDIDATES_MAX: usize = 65_536;

/// Whether a reply is the right one, given the value that was written.
type IsGood = fn(&Reply, &str) -> bool;

impl Servers<'_> {
    /// Tries until the cluster takes the writes or the limit has passed. It never asks another server than the first: that one
    /// has changed, and it must be of use.
    pub async fn canary(&self) -> Result<(), StepError> {
        let Some(endpoint) = self.endpoints.first() else { return Ok(()) };
        let deadline = tokio::time::Instant::now() + CANARY_LIMIT;
        loop {
            let why = match self.attempt(endpoint).await {
                Ok(()) => return Ok(()),
                Err(why) => why,
            };
            if tokio::time::Instant::now() > deadline {
                return Err(StepError::Refused(format!(
                    "no canary write came back within {} s: {why}",
                    CANARY_LIMIT.as_secs()
                )));
            }
            (self.on_words)(&format!("retrying the canary: {why}"));
            tokio::select! {
                () = self.interrupt.pressed(2) => return Err(StepError::Interrupted),
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    async fn attempt(&self, endpoint: &Endpoint) -> Result<(), String> {
        let said = |error: crate::world::WorldError| error.to_string();
        let mut client = self.client(endpoint).await.map_err(said)?;
        let ring = match client.ask(&ControlRequest::Ring, ANSWER_LIMIT).await.map_err(said)? {
            ControlReply::Ring(Some(ring)) => ring,
            _ => return Err("the server knows no ring map yet".into()),
        };
        let namespace: Namespace = NAMESPACE.parse().expect("a constant that is a namespace");
        for key in keys(&ring, &namespace, self.operation) {
            let value = format!("{} {}", self.operation, String::from_utf8_lossy(&key.bytes));
            let (mode, expiry) = (StoreMode::Set, Expiry::After(EXPIRY_MS));
            let store =
                Write::Store { key: key.clone(), mode, flags: 0, expiry, value: value.clone().into() };
            let commands: [(Command, IsGood); 3] = [
                (Command::Write(store), |reply, _| matches!(reply, Reply::Stored { .. })),
                (
                    Command::Read(Read::Get { key: key.clone() }),
                    |reply, wrote| matches!(reply, Reply::Record(record) if record.value == wrote.as_bytes()),
                ),
                (Command::Write(Write::Delete { key, version: None }), |reply, _| {
                    matches!(reply, Reply::Deleted | Reply::NotFound)
                }),
            ];
            for (command, is_good) in commands {
                let request = ControlRequest::Data(DataRequest::Command(command));
                match client.ask(&request, ANSWER_LIMIT).await.map_err(said)? {
                    ControlReply::Data(reply) if is_good(&reply, &value) => {}
                    ControlReply::Data(Reply::Record(_)) => {
                        return Err("a key was answered with another value".into());
                    }
                    ControlReply::Data(reply) => return Err(format!("a key was answered with {reply:?}")),
                    ControlReply::Error { message, .. } => return Err(message),
                    other => return Err(format!("unexpected reply to a data request: {other:?}")),
                }
            }
        }
        Ok(())
    }
}

/// A key of each tablet, or of `KEYS_MAX` of them.
fn keys(ring: &RingMap, namespace: &Namespace, operation: &str) -> Vec<Key> {
    let every = ring.tablets.len().div_ceil(KEYS_MAX).max(1);
    let mut wanted: Vec<_> = ring.tablets.iter().step_by(every).collect();
    let mut keys = Vec::new();
    for number in 0..CANDIDATES_MAX {
        if wanted.is_empty() {
            break;
        }
        let word = format!("{operation}-{number}");
        let slot = slot_of(namespace, word.as_bytes());
        let place = wanted.iter().position(|place| place.holds(slot));
        if let Some(place) = place {
            wanted.swap_remove(place);
            keys.push(Key { namespace: namespace.clone(), bytes: word.into() });
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::interrupt::Interrupt;
    use crate::world::{NoAsker, World};
    use dkc_core::config::layout;
    use dkc_core::ids::{ClusterId, NodeId, RingVersion};
    use dkc_core::kv::Record;
    use dkc_core::ring::{TabletPlace, tablet_ranges};
    use dkc_inventory::model::{Host, Inventory};
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

    /// What a canary says of a server that answers data requests so.
    async fn check(answer: fn(&Command) -> ControlReply, want: Result<(), &str>) {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join(layout::CONTROL_SOCKET);
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let daemon = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (reader, mut writer) = stream.into_split();
            let mut lines = BufReader::new(reader).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let reply = match serde_json::from_str(&line).unwrap() {
                    ControlRequest::Ring => ControlReply::Ring(Some(ring(6))),
                    ControlRequest::Data(DataRequest::Command(command)) => answer(&command),
                    other => panic!("{other:?}"),
                };
                let text = serde_json::to_string(&reply).unwrap() + "\n";
                writer.write_all(text.as_bytes()).await.unwrap();
            }
        });
        let address: dkc_core::ids::HostAddress = "127.0.0.1".parse().unwrap();
        let local = Host { local: true, ..Host::with_defaults() };
        let inventory = Inventory { hosts: [(address.clone(), local)].into(), ..Inventory::empty() };
        let endpoint = Endpoint { host: address, dir: dir.path().display().to_string() };
        let servers = Servers {
            operation: "op-00000001",
            endpoints: std::slice::from_ref(&endpoint),
            inventory: &inventory,
            world: &World::new(Arc::new(NoAsker)),
            interrupt: &Interrupt::default(),
            on_words: &|_| {},
        };
        let said = servers.attempt(&endpoint).await;
        assert_eq!(said.as_ref().map_err(String::as_str), want.as_ref().map_err(|words| *words));
        daemon.abort();
    }

    fn record(value: &[u8]) -> Record {
        Record { value: value.to_vec().into(), flags: 0, version: 1, expires_at_ms: None, modified_at_ms: 0 }
    }

    #[tokio::test]
    async fn a_server_that_forgets_refuses_or_answers_something_else_is_of_no_use() {
        check(
            |command| match command {
                Command::Write(Write::Store { .. }) => ControlReply::Data(Reply::Stored { version: 1 }),
                Command::Write(_) => ControlReply::Data(Reply::Deleted),
                Command::Read(read) => {
                    let key = String::from_utf8_lossy(&read.key().unwrap().bytes).into_owned();
                    ControlReply::Data(Reply::Record(record(format!("op-00000001 {key}").as_bytes())))
                }
            },
            Ok(()),
        )
        .await;
        check(
            |command| match command {
                Command::Write(_) => ControlReply::Data(Reply::Stored { version: 1 }),
                Command::Read(_) => ControlReply::Data(Reply::NotFound),
            },
            Err("a key was answered with NotFound"),
        )
        .await;
        check(
            |command| match command {
                Command::Write(_) => ControlReply::Data(Reply::Stored { version: 1 }),
                Command::Read(_) => ControlReply::Data(Reply::Record(record(b"of another operation"))),
            },
            Err("a key was answered with another value"),
        )
        .await;
        let refusal = |_: &Command| {
            let message = "no leader within 10 s".to_owned();
            ControlReply::Error { message, is_outcome_unknown: true }
        };
        check(refusal, Err("no leader within 10 s")).await;
    }

    fn ring(tablets: u16) -> RingMap {
        let place = |(tablet, first_slot, last_slot)| TabletPlace {
            tablet,
            first_slot,
            last_slot,
            epoch: 1,
            voters: vec![NodeId(1)],
            learners: Vec::new(),
            preferred_leader: NodeId(1),
        };
        let cluster = ClusterId(uuid::Uuid::from_u128(1));
        let tablets = tablet_ranges(tablets).map(place).collect();
        RingMap { cluster, version: RingVersion(1), replicas: 1, nodes: Vec::new(), tablets }
    }

    #[test]
    fn every_tablet_has_a_canary_and_no_ring_has_too_many() {
        let namespace: Namespace = NAMESPACE.parse().unwrap();
        for (tablets, want) in [(1, 1), (6, 6), (64, 64), (128, 64), (1024, 64)] {
            let ring = ring(tablets);
            let keys = keys(&ring, &namespace, "op-00000001");
            let of = |key: &Key| {
                let slot = slot_of(&key.namespace, &key.bytes);
                ring.tablets.iter().position(|place| place.holds(slot)).unwrap()
            };
            let places: std::collections::BTreeSet<usize> = keys.iter().map(of).collect();
            assert_eq!((keys.len(), places.len()), (want, want), "{tablets} tablets");
        }
    }
}
