//! Makes the applied state durable, when memory for it is full and from time to time, and then lets the log go. Between two
//! ingestions only the log holds what was acknowledged, which is why nothing is purged that an ingestion has not covered.

use std::sync::Arc;
use std::time::Duration;

use super::server::Server;
use crate::fatal;

/// More than so many segments' worth in the log makes every group purge all it can, however few its entries:
/// values may be large.
const LOG_PRESSED_SEGMENTS: u64 = 2;

/// Before a full disk is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

impl Server {
    pub async fn keep_persisted(self: Arc<Self>) {
        let interval = Duration::from_millis(self.parameters().persist_interval_ms);
        loop {
            // Either way something may be there to ingest.
            let _ = tokio::time::timeout(interval, self.store.wait_until_full()).await;
            match self.store.ingest().await {
                Ok(()) => self.purge().await,
                // The log keeps what is not durable in the state store, and nothing is purged meanwhile.
                Err(error) if error.is_disk_full() => {
                    tracing::debug!(%error, "not ingested");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err(error) => fatal::disk(&error),
            }
        }
    }

    async fn purge(&self) {
        let is_pressed =
            self.log.usage().live_bytes > LOG_PRESSED_SEGMENTS * self.parameters().log_segment_bytes;
        for group in self.all_groups() {
            match group.machine.persisted() {
                Ok(Some(persisted)) => group.purge(persisted, is_pressed).await,
                Ok(None) => {}
                Err(error) => fatal::disk(&error),
            }
        }
    }
}
