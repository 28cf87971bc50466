//! The one place where the daemon asks for the time of day. Only proposals carry it; nothing that is applied or
//! read depends on it directly. Spans of time are measured with `tokio::time::Instant` everywhere, so that a
//! simulation rules them too.

/// Milliseconds since the Unix epoch; 0 on a host whose clock stands before it.
#[cfg(not(feature = "simulation"))]
pub fn now_ms() -> u64 {
    use std::time::{SystemTime, UNIX_EPOCH};
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_millis() as u64)
}

#[cfg(feature = "simulation")]
pub use crate::simulation::now_ms;
