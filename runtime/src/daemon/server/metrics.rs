//! Figures of a server as Prometheus text: operations, connections, memory, the log, and the Raft state of each
//! group.

use std::fmt::Write;

use super::Server;
use super::status::resident_bytes;

/// Collects samples under their names; a name's head is written once, before its first sample.
#[derive(Default)]
struct Text {
    out: String,
    last_name: &'static str,
}

impl Text {
    fn sample(&mut self, name: &'static str, kind: &str, help: &str, labels: &str, value: u64) {
        if self.last_name != name {
            // Writing into a string cannot fail.
            let _ = write!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
            self.last_name = name;
        }
        let _ = writeln!(self.out, "{name}{labels} {value}");
    }
}

impl Server {
    pub fn metrics_text(&self) -> String {
        let mut text = Text::default();
        let operations = [("read", self.requests.reads()), ("write", self.requests.writes())];
        for (kind, taken) in operations {
            let labels = format!("{{kind=\"{kind}\"}}");
            text.sample("dkc_operations_total", "counter", "Requests taken, by kind.", &labels, taken);
        }
        let connections = u64::from(self.connections.count());
        text.sample("dkc_connections", "gauge", "Connections at the node port.", "", connections);
        text.sample("dkc_memory_bytes", "gauge", "Resident memory.", "", resident_bytes());
        text.sample(
            "dkc_uptime_seconds",
            "counter",
            "Time since the start.",
            "",
            self.local.uptime().as_secs(),
        );
        text.sample(
            "dkc_ring_version",
            "gauge",
            "Version of the ring map known here.",
            "",
            self.ring.version().0,
        );
        text.sample(
            "dkc_memory_max_bytes",
            "gauge",
            "What memory_bytes allows.",
            "",
            self.local.parameters().memory_bytes,
        );
        let state = self.disk.store().usage();
        let figures = [
            ("dkc_state_disk_bytes", "gauge", "Table files of the state.", self.disk.store().disk_bytes()),
            ("dkc_state_growing_bytes", "gauge", "Rows applied since the last freeze.", state.growing_bytes),
            ("dkc_state_frozen_bytes", "gauge", "Rows that are being ingested.", state.frozen_bytes),
            ("dkc_state_waits_total", "counter", "Times that applying waited for an ingestion.", state.waits),
            ("dkc_state_waited_milliseconds_total", "counter", "How long in all.", state.waited_ms),
        ];
        for (name, kind, help, value) in figures {
            text.sample(name, kind, help, "", value);
        }
        let usage = self.disk.log_usage();
        text.sample("dkc_log_bytes", "gauge", "Size of the Raft log's segments.", "", usage.bytes);
        text.sample(
            "dkc_log_live_bytes",
            "gauge",
            "Bytes of the log that some group needs.",
            "",
            usage.live_bytes,
        );
        text.sample(
            "dkc_log_syncs_total",
            "counter",
            "Writes of the log, each with one fdatasync.",
            "",
            usage.rounds,
        );
        text.sample("dkc_log_entries_total", "counter", "Entries appended.", "", usage.entries);
        text.sample(
            "dkc_log_trouble",
            "gauge",
            "1 while the log cannot write and nothing is acknowledged.",
            "",
            self.disk.trouble().is_some().into(),
        );
        text.sample(
            "dkc_groups_hibernating",
            "gauge",
            "Raft groups without running timers, because they are idle.",
            "",
            self.hibernator.resting() as u64,
        );
        self.group_metrics(&mut text);
        text.out
    }

    /// The Raft state of each group.
    fn group_metrics(&self, text: &mut Text) {
        let groups: Vec<_> =
            self.replicas.all().into_iter().map(|group| (group.id, group.progress())).collect();
        let mut each = |name, kind, help, value: &dyn Fn(&crate::raft::GroupProgress) -> u64| {
            for (id, progress) in &groups {
                text.sample(name, kind, help, &format!("{{group=\"{id}\"}}"), value(progress));
            }
        };
        each("dkc_raft_term", "gauge", "Raft term.", &|p| p.term);
        each("dkc_raft_is_leader", "gauge", "1 on the leader.", &|p| p.is_leader.into());
        each("dkc_raft_leader", "gauge", "Node id of the leader, 0 = unknown.", &|p| {
            p.leader.map_or(0, |node| node.0)
        });
        each("dkc_raft_last_index", "gauge", "Last entry in the log.", &|p| p.last_index);
        each("dkc_raft_applied_index", "gauge", "Last entry applied.", &|p| p.applied_index);
        each("dkc_raft_purged_index", "gauge", "Last entry purged.", &|p| p.purged_index);
    }
}
