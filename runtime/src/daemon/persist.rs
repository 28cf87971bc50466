//! Makes the applied state durable, when its memory is full and periodically, then purges the log. Between ingestions acknowledged
//! writes are durable only in the log, so only what an ingestion has covered is purged.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::disk::Disk;
use super::local_node::LocalNode;
use super::replicas::Replicas;
use crate::fatal;

/// More than so many segments' worth in the log makes every group purge all it can, however few its entries:
/// values may be large.
const LOG_PRESSED_SEGMENTS: u64 = 2;
/// How often a changed interval is noticed.
const INTERVAL_LOOK: Duration = Duration::from_secs(5);

/// Pause before a full disk is retried.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

pub struct Persister {
    local: Arc<LocalNode>,
    disk: Arc<Disk>,
    replicas: Arc<Replicas>,
}

impl Persister {
    pub fn new(local: Arc<LocalNode>, disk: Arc<Disk>, replicas: Arc<Replicas>) -> Persister {
        Persister { local, disk, replicas }
    }

    pub async fn run(self) {
        loop {
            // Either way something may be there to ingest.
            tokio::select! {
                () = self.wait_to_persist() => {}
                () = self.disk.store().wait_until_full() => {}
            }
            match self.disk.store().ingest().await {
                Ok(()) => self.purge().await,
                // The log keeps what is not durable in the state store, and nothing is purged meanwhile.
                Err(error) if error.is_disk_full() => {
                    tracing::debug!(%error, "not ingested: disk full");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err(error) => fatal::disk(&error),
            }
        }
    }

    /// A shorter interval that is reloaded meanwhile counts at once.
    async fn wait_to_persist(&self) {
        let since = Instant::now();
        loop {
            let until = since + Duration::from_millis(self.local.parameters().persist_interval_ms);
            let now = Instant::now();
            if now >= until {
                return;
            }
            tokio::time::sleep_until(until.min(now + INTERVAL_LOOK)).await;
        }
    }

    async fn purge(&self) {
        let is_pressed = self.disk.log_usage().live_bytes
            > LOG_PRESSED_SEGMENTS * self.local.parameters().log_segment_bytes;
        for group in self.replicas.all() {
            match group.machine.persisted() {
                Ok(Some(persisted)) => group.purge(persisted, is_pressed).await,
                Ok(None) => {}
                Err(error) => fatal::disk(&error),
            }
        }
    }
}
