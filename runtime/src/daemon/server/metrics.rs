//! Figures of a server as Prometheus text: operations, connections, memory, the log, and the Raft state of each
//! group. Their names stand in `dkc_core::metrics`.

use dkc_core::metrics::{self, Metric};

use super::Server;
use crate::prometheus::Text;
use crate::resident::resident_bytes;

impl Server {
    pub fn metrics_text(&self) -> String {
        let mut text = Text::default();
        let operations = [("read", self.requests.reads()), ("write", self.requests.writes())];
        for (kind, taken) in operations {
            text.sample(&metrics::OPERATIONS, &format!("{{kind=\"{kind}\"}}"), taken);
        }
        text.latency(&metrics::WRITE_LATENCY, &self.local.write_latency().counted());
        let state = self.disk.store().usage();
        let log = self.disk.log_usage();
        let figures = [
            (&metrics::CONNECTIONS, u64::from(self.connections.count())),
            (&metrics::MEMORY, resident_bytes()),
            (&metrics::UPTIME, self.local.uptime().as_secs()),
            (&metrics::RING_VERSION, self.ring.version().0),
            (&metrics::MEMORY_MAX, self.local.parameters().memory_bytes),
            (&metrics::STATE_DISK, self.disk.store().disk_bytes()),
            (&metrics::STATE_GROWING, state.growing_bytes),
            (&metrics::STATE_FROZEN, state.frozen_bytes),
            (&metrics::STATE_WAITS, state.waits),
            (&metrics::LOG, log.bytes),
            (&metrics::LOG_LIVE, log.live_bytes),
            (&metrics::LOG_SYNCS, log.rounds),
            (&metrics::LOG_ENTRIES, log.entries),
            (&metrics::LOG_TROUBLE, self.disk.trouble().is_some().into()),
            (&metrics::GROUPS_HIBERNATING, self.hibernator.resting() as u64),
        ];
        figures.into_iter().for_each(|(metric, value)| text.sample(metric, "", value));
        text.seconds(&metrics::STATE_WAITED, state.waited_ms);
        self.group_metrics(&mut text);
        text.end()
    }

    /// The Raft state of each group.
    fn group_metrics(&self, text: &mut Text) {
        let groups: Vec<_> =
            self.replicas.all().into_iter().map(|group| (group.id, group.progress())).collect();
        let mut each = |metric: &'static Metric, value: &dyn Fn(&crate::raft::GroupProgress) -> u64| {
            for (id, progress) in &groups {
                text.sample(metric, &format!("{{group=\"{id}\"}}"), value(progress));
            }
        };
        each(&metrics::RAFT_TERM, &|p| p.term);
        each(&metrics::RAFT_IS_LEADER, &|p| p.is_leader.into());
        each(&metrics::RAFT_LEADER, &|p| p.leader.map_or(0, |node| node.0));
        each(&metrics::RAFT_LAST_INDEX, &|p| p.last_index);
        each(&metrics::RAFT_APPLIED_INDEX, &|p| p.applied_index);
        each(&metrics::RAFT_PURGED_INDEX, &|p| p.purged_index);
    }
}
