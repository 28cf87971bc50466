//! The only place where the daemon reads the time of day. Only proposals carry it; applying and reading never depend on it
//! directly. Durations are measured with `tokio::time::Instant` everywhere, so that a simulation controls them
//! too.

/// Milliseconds since the Unix epoch; 0 if the host's clock is before it.
#[cfg(not(feature = "simulation"))]
pub fn now_ms() -> u64 {
    use std::time::{SystemTime, UNIX_EPOCH};
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_millis() as u64)
}

#[cfg(feature = "simulation")]
pub use crate::simulation::now_ms;

/// Seconds since the Unix epoch, for certificates only. A build with assertions (never a release) adds the seconds in the file
/// named by `TEST_CLOCK_AHEAD`: tests let days pass with it.
pub fn certificate_now_s() -> i64 {
    #[cfg(all(debug_assertions, not(feature = "simulation")))]
    let ahead_s = ahead_s();
    #[cfg(not(all(debug_assertions, not(feature = "simulation"))))]
    let ahead_s = 0;
    (now_ms() / 1000) as i64 + ahead_s
}

/// Environment variable with the path of that file.
pub const TEST_CLOCK_AHEAD: &str = "DKCD_TEST_CLOCK_AHEAD";

#[cfg(all(debug_assertions, not(feature = "simulation")))]
fn ahead_s() -> i64 {
    let text = std::env::var_os(TEST_CLOCK_AHEAD).and_then(|path| std::fs::read_to_string(path).ok());
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}
