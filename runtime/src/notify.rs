//! Reports the daemon's state to systemd through the socket in `NOTIFY_SOCKET`. Without that variable every call is a
//! no-op.

use std::time::Duration;

use sd_notify::NotifyState;

/// The daemon serves.
pub const READY: NotifyState<'_> = NotifyState::Ready;
/// The daemon is stopping.
pub const STOPPING: NotifyState<'_> = NotifyState::Stopping;
/// The daemon is alive; must be sent more often than the unit's `WatchdogSec`.
pub const WATCHDOG: NotifyState<'_> = NotifyState::Watchdog;

/// Sends one state. A failure is only logged: the daemon works without systemd too.
pub fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(&state)) {
        tracing::warn!(%error, %state, "systemd not notified");
    }
}

/// Interval of `WATCHDOG`: half of the unit's limit. `None`: no watchdog.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}
