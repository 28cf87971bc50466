//! The last ring map and its servers, saved across restarts. Written whenever they change (auto
//! configuration), so that a slave starts even if every server in its configuration has been replaced.
//!
//! *Invariant:* these files are optional: when they are missing or damaged, the configuration is enough.

use std::io;
use std::path::Path;
use std::sync::Arc;

use dkc_core::config::{NodeConfig, ServerEntry, layout};
use dkc_core::ids::{ClusterId, RingVersion};
use dkc_core::ring::RingMap;
use dkc_core::wire::{decode_ring, encode_ring};
use serde::{Deserialize, Serialize};

use super::Slave;
use crate::durable_file;

/// In the data directory: the last ring map, as it came over the wire.
const RING_FILE: &str = "ring";
/// In the data directory: the servers of that map, readable for operators too.
const SERVERS_FILE: &str = "servers.yaml";
/// The mode of both files, which contain no secrets.
const FILE_MODE: u32 = 0o644;

/// The content of `servers.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ServersFile {
    cluster_id: ClusterId,
    ring_version: RingVersion,
    servers: Vec<ServerEntry>,
}

pub(super) struct SavedRing {
    pub servers: Vec<ServerEntry>,
    pub ring: Option<RingMap>,
}

impl SavedRing {
    /// The saved servers, then those of the configuration that are not among them.
    pub fn load(directory: &Path, config: &NodeConfig) -> SavedRing {
        let data = directory.join(layout::DATA_DIR);
        let ring = read(&data.join(RING_FILE), |bytes| decode_ring(bytes).map_err(|error| error.to_string()));
        let file = read(&data.join(SERVERS_FILE), |bytes| {
            serde_yaml::from_slice::<ServersFile>(bytes).map_err(|error| error.to_string())
        });
        let of_ours = file.filter(|file| file.cluster_id == config.cluster_id);
        let mut servers = of_ours.map(|file| file.servers).unwrap_or_default();
        for server in &config.servers {
            if servers.iter().all(|known| known.node_uuid != server.node_uuid) {
                servers.push(server.clone());
            }
        }
        SavedRing { servers, ring: ring.filter(|ring| ring.cluster == config.cluster_id) }
    }
}

fn read<T>(path: &Path, parse: impl FnOnce(&[u8]) -> Result<T, String>) -> Option<T> {
    let parsed = match std::fs::read(path) {
        Ok(bytes) => parse(&bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => Err(error.to_string()),
    };
    parsed.inspect_err(|why| tracing::warn!(path = %path.display(), why, "saved ring map ignored")).ok()
}

/// Saves every new ring map, for as long as it is polled.
pub(super) async fn keep(slave: Arc<Slave>) {
    let mut ring = slave.router.ring();
    // The map loaded at the start is not written again.
    let mut written = ring.borrow_and_update().as_ref().map(|ring| ring.version);
    loop {
        let newest = ring.borrow_and_update().clone();
        if let Some(newest) = newest.filter(|newest| Some(newest.version) != written) {
            written = Some(newest.version);
            let data = slave.directory.join(layout::DATA_DIR);
            let saved = tokio::task::spawn_blocking(move || save(&data, &newest)).await;
            if let Ok(Err(error)) = saved {
                tracing::warn!(%error, "ring map not saved");
            }
        }
        if ring.changed().await.is_err() {
            return;
        }
    }
}

fn save(data: &Path, ring: &RingMap) -> io::Result<()> {
    std::fs::create_dir_all(data)?;
    let servers = ring.nodes.iter().map(ServerEntry::from).collect();
    let file = ServersFile { cluster_id: ring.cluster, ring_version: ring.version, servers };
    let yaml = serde_yaml::to_string(&file).map_err(io::Error::other)?;
    durable_file::replace(&data.join(SERVERS_FILE), yaml.as_bytes(), FILE_MODE)?;
    durable_file::replace(&data.join(RING_FILE), &encode_ring(ring), FILE_MODE)
}

#[cfg(test)]
mod tests {
    use dkc_core::ids::NodeId;
    use dkc_core::ring::{TabletPlace, tablet_ranges};

    use super::*;

    const CLUSTER: &str = "0b1e7c1c-6f0f-4f0e-9d55-3f2b8d0c7a11";

    fn config() -> NodeConfig {
        let text = format!(
            "version: 1\ncluster: c0\ncluster_id: {CLUSTER}\nnode_uuid: {CLUSTER}\n\
             role: {{slave: {{id: 0, pairs: []}}}}\n\
             servers:\n- {{number: 1, node_id: 1, node_uuid: {}, address: 10.0.0.1:8020}}\n\
             - {{number: 2, node_id: 2, node_uuid: {}, address: 10.0.0.2:8020}}\nparameters: {{}}\n",
            uuid(1),
            uuid(2)
        );
        serde_yaml::from_str(&text).unwrap()
    }
    fn uuid(number: u8) -> String {
        format!("{}0{number}", &CLUSTER[..34])
    }
    fn ring(cluster: &str, numbers: &[u8]) -> RingMap {
        let node = |number: &u8| {
            serde_yaml::from_str::<dkc_core::ring::Node>(&format!(
                "{{node_id: {number}, uuid: {}, number: {number}, address: '10.0.0.{number}:8020', zone: null,\
                  in_ring: ServiceIn, action: None, operate: Nothing}}",
                uuid(*number)
            ))
            .unwrap()
        };
        let leader = NodeId(u64::from(numbers[0]));
        let place = |(tablet, first_slot, last_slot)| TabletPlace {
            tablet,
            first_slot,
            last_slot,
            epoch: 1,
            voters: vec![leader],
            learners: Vec::new(),
            preferred_leader: leader,
        };
        RingMap {
            cluster: cluster.parse().unwrap(),
            version: RingVersion(7),
            replicas: 3,
            nodes: numbers.iter().map(node).collect(),
            tablets: tablet_ranges(1).map(place).collect(),
        }
    }
    fn check(prepare: impl FnOnce(&Path), want_servers: &[u32], want_ring: bool) {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join(layout::DATA_DIR);
        std::fs::create_dir(&data).unwrap();
        prepare(&data);
        let saved = SavedRing::load(directory.path(), &config());
        let numbers: Vec<u32> = saved.servers.iter().map(|server| server.number.0).collect();
        assert_eq!((numbers.as_slice(), saved.ring.is_some()), (want_servers, want_ring));
    }

    #[test]
    fn saved_servers_come_first_and_damaged_files_are_ignored() {
        check(|_| {}, &[1, 2], false);
        check(|data| save(data, &ring(CLUSTER, &[3, 2])).unwrap(), &[3, 2, 1], true);
        check(|data| save(data, &ring(&uuid(9), &[3])).unwrap(), &[1, 2], false);
        check(
            |data| {
                save(data, &ring(CLUSTER, &[3])).unwrap();
                std::fs::write(data.join(RING_FILE), b"\x01torn").unwrap();
                std::fs::write(data.join(SERVERS_FILE), b"cluster_id: [").unwrap();
            },
            &[1, 2],
            false,
        );
    }
}
