//! Tells systemd how the daemon is: the few words of `sd_notify(3)` over the datagram socket named in
//! `NOTIFY_SOCKET`. Without that variable every call does nothing.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The daemon serves.
pub const READY: &str = "READY=1";
/// The daemon has begun to stop.
pub const STOPPING: &str = "STOPPING=1";
/// The daemon is alive; to be said more often than the unit's `WatchdogSec`.
pub const WATCHDOG: &str = "WATCHDOG=1";

/// Sends one state. A failure is only logged: the daemon works whether or not somebody watches it.
pub fn notify(state: &str) {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&path.to_string_lossy(), state) {
        tracing::warn!(%error, state, "systemd could not be notified");
    }
}

/// How often `WATCHDOG` should be said: half of what the unit allows. `None` = nobody asked.
pub fn watchdog_interval() -> Option<Duration> {
    let microseconds: u64 = env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    let is_for_us = env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
    (is_for_us && microseconds > 0).then(|| Duration::from_micros(microseconds / 2))
}

/// `@name` is a name in the abstract namespace, anything else a path.
fn send(path: &str, state: &str) -> io::Result<()> {
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name.as_bytes())?,
        None => SocketAddr::from_pathname(path)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(receiver: &UnixDatagram, path: &str) {
        send(path, READY).expect("the socket takes the word");
        let mut buffer = [0; 64];
        let count = receiver.recv(&mut buffer).expect("the word arrives");
        assert_eq!(&buffer[..count], b"READY=1");
    }

    #[test]
    fn a_word_arrives_at_a_path_and_at_an_abstract_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let receiver = UnixDatagram::bind(&path).expect("a socket");
        check(&receiver, &path.to_string_lossy());

        let name = format!("dkc-notify-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).expect("a name");
        let receiver = UnixDatagram::bind_addr(&address).expect("a socket");
        check(&receiver, &format!("@{name}"));
    }
}
