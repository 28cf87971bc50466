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

/// Seconds since the Unix epoch, for the time of certificates and for nothing else. A build with assertions, which no release
/// is, adds the seconds in the file that `TEST_CLOCK_AHEAD` names: tests let days pass with it.
pub fn certificate_now_s() -> i64 {
    #[cfg(all(debug_assertions, not(feature = "simulation")))]
    let ahead_s = ahead_s();
    #[cfg(not(all(debug_assertions, not(feature = "simulation"))))]
    let ahead_s = 0;
    (now_ms() / 1000) as i64 + ahead_s
}

/// Names the file to a node that a test starts.
pub const TEST_CLOCK_AHEAD: &str = "DKCD_TEST_CLOCK_AHEAD";

#[cfg(all(debug_assertions, not(feature = "simulation")))]
fn ahead_s() -> i64 {
    let text = std::env::var_os(TEST_CLOCK_AHEAD).and_then(|path| std::fs::read_to_string(path).ok());
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}
