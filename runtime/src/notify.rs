//! Tells systemd how the daemon is, through the socket named in `NOTIFY_SOCKET`. Without that variable every call does
//! nothing.

use std::time::Duration;

use sd_notify::NotifyState;

/// The daemon serves.
pub const READY: NotifyState<'_> = NotifyState::Ready;
/// The daemon has begun to stop.
pub const STOPPING: NotifyState<'_> = NotifyState::Stopping;
/// The daemon is alive; to be said more often than the unit's `WatchdogSec`.
pub const WATCHDOG: NotifyState<'_> = NotifyState::Watchdog;

/// Sends one state. A failure is only logged: the daemon works whether or not somebody watches it.
pub fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(&state)) {
        tracing::warn!(%error, %state, "systemd not notified");
    }
}

/// How often `WATCHDOG` should be said: half of what the unit allows. `None` = nobody asked.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}
