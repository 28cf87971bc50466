//! The node without systemd: started in the background, started again, stopped, given up.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;

use dkc_core::config::layout;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;

use crate::lab::{Lab, Server, TIMEOUT, wait_for};

/// Ends what `supervise` started, also when the test fails.
struct Supervised<'a>(&'a Server);
impl Drop for Supervised<'_> {
    fn drop(&mut self) {
        self.0.dkcd(&["stop"]);
    }
}

fn pid(server: &Server, name: &str) -> i32 {
    fs::read_to_string(server.directory.join(name))
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

#[test]
fn a_supervised_daemon_is_started_again_and_stops_when_told() {
    let lab = Lab::new(1, 1, |_| {});
    let server = &lab.servers[0];
    let _end = Supervised(server);
    assert_eq!(server.dkcd(&["supervise"]), (0, String::new()));
    server.wait_until_it_answers();
    let first = pid(server, layout::DAEMON_LOCK);
    assert_ne!(first, pid(server, layout::PID_FILE));
    let (status, text) = server.dkcd(&["supervise"]);
    assert!(status == 1 && text.contains("already running"), "{text}");

    nix::sys::signal::kill(nix::unistd::Pid::from_raw(first), nix::sys::signal::Signal::SIGKILL)
        .expect("killed");
    wait_for("another daemon runs", || {
        server.try_node_status().is_some_and(|status| status.pid as i32 != first)
    });
    assert_eq!(server.dkcd(&["stop"]), (0, String::new()));
    assert!(server.try_node_status().is_none(), "nothing answers any more");
    let log = fs::read_to_string(server.directory.join(layout::LOG_FILE)).expect("a log file");
    assert!(log.contains("the daemon ended with signal: 9") && log.trim_end().ends_with("stopped"), "{log}");
    assert_eq!(server.dkcd(&["stop"]), (0, String::new()), "stopping what does not run is no failure");
}

fn kill(pid: i32) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL)
        .expect("killed");
}

/// A killed process holds its lock until the kernel has come round to it.
fn wait_until_let_go(server: &Server, name: &str) {
    wait_for("the lock is let go of", || {
        let file = fs::File::open(server.directory.join(name)).expect("a lock file");
        Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok()
    });
}

/// Each connection that does not speak TLS is worth a line, which nobody reads any more.
fn make_it_log(server: &Server) {
    for _ in 0..5 {
        let mut connection = TcpStream::connect(server.entry.address.to_string()).expect("it listens");
        connection.write_all(b"this is no handshake\r\n\r\n").expect("sent");
        // It ends however it ends: with the bytes of an alert, or a reset.
        let _ = connection.read_to_end(&mut Vec::new());
    }
}

/// The daemon that answers is this node's, and none of these.
fn wait_for_another(server: &Server, than: &[i32]) -> i32 {
    wait_for("another daemon runs", || {
        server.try_node_status().is_some_and(|status| !than.contains(&(status.pid as i32)))
    });
    pid(server, layout::DAEMON_LOCK)
}

#[test]
fn whichever_half_is_killed_the_node_is_taken_over_and_stops_when_told() {
    let lab = Lab::new(1, 1, |_| {});
    let server = &lab.servers[0];
    let _end = Supervised(server);
    assert_eq!(server.dkcd(&["supervise"]), (0, String::new()));
    let mut daemons = vec![wait_for_another(server, &[])];
    for round in 1..=2 {
        // The supervisor alone: its daemon serves on, until the next supervisor takes its place.
        kill(pid(server, layout::PID_FILE));
        make_it_log(server);
        assert!(server.try_node_status().is_some_and(|status| daemons.contains(&(status.pid as i32))));
        wait_until_let_go(server, layout::PID_FILE);
        assert_eq!(server.dkcd(&["supervise"]), (0, String::new()), "round {round}");
        daemons.push(wait_for_another(server, &daemons));
        // The daemon alone: it is counted, for status.
        kill(daemons[daemons.len() - 1]);
        daemons.push(wait_for_another(server, &daemons));
        let said = fs::read_to_string(server.directory.join(layout::RESTARTS)).expect("a count");
        assert!(said.starts_with("1 signal: 9"), "{said}");
        // Both.
        kill(pid(server, layout::PID_FILE));
        wait_until_let_go(server, layout::PID_FILE);
        kill(daemons[daemons.len() - 1]);
        assert_eq!(server.dkcd(&["supervise"]), (0, String::new()), "round {round}");
        daemons.push(wait_for_another(server, &daemons));
        assert!(!server.directory.join(layout::RESTARTS).exists(), "a new supervisor counts anew");
    }
    kill(pid(server, layout::PID_FILE));
    assert_eq!(server.dkcd(&["stop"]), (0, String::new()));
    assert!(server.try_node_status().is_none(), "an orphan is stopped as well");
}

#[test]
fn a_daemon_that_cannot_start_is_given_up_with_the_reason() {
    let lab = Lab::new(1, 1, |_| {});
    let server = &lab.servers[0];
    let _end = Supervised(server);
    fs::remove_file(server.directory.join(layout::IDENTITY)).expect("removed");
    assert_eq!(server.dkcd(&["supervise"]).0, 0);
    let path = server.directory.join(layout::GAVE_UP);
    wait_for("the reason is written", || path.exists());
    let why = fs::read_to_string(path).expect("readable");
    assert!(why.contains("exit status: 78") && why.contains("no data yet"), "{why}");
}

#[test]
fn systemd_is_told_when_the_daemon_serves_lives_and_stops() {
    let mut lab = Lab::new(1, 1, |_| {});
    let path = lab.servers[0].directory.join("notify");
    let systemd = UnixDatagram::bind(&path).expect("a socket");
    systemd.set_read_timeout(Some(TIMEOUT)).expect("a limit");
    let socket = format!("NOTIFY_SOCKET={}", path.display());
    lab.servers[0].start_under(&["env", &socket, "WATCHDOG_USEC=200000"]);
    let mut buffer = [0; 256];
    let mut heard = || {
        let count = systemd.recv(&mut buffer).expect("a word from the daemon");
        String::from_utf8_lossy(&buffer[..count]).trim().to_owned()
    };
    while heard() != "READY=1" {}
    assert_eq!([heard(), heard()], ["WATCHDOG=1", "WATCHDOG=1"], "again and again");
    lab.servers[0].signal(Signal::SIGTERM);
    while heard() != "STOPPING=1" {}
    assert_eq!(lab.servers[0].stop(), 0);
}
