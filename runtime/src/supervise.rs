//! The built-in supervisor for hosts without systemd: a process in its own session that keeps the daemon running and writes
//! its log with rotation. *Invariant:* it exits only on request, or when the daemon's exit status says that its
//! configuration is refused or that it was removed from its cluster; after any other exit it restarts the daemon, as systemd does.
//! The next supervisor stops a daemon whose supervisor died and starts another: its log output had no reader.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use dkc_core::config::layout;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::background::{self, BackgroundError, Detached, own_program};
use crate::daemon::{DirectoryLock, LockError};
use crate::durable_file;
use crate::fatal;

/// The log file is rotated at this size; the last ones are kept.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;
const LOG_FILES_MAX: u32 = 4;
/// Pause before a restart of the daemon: the first, and the maximum. A cluster whose servers were all killed should
/// serve again within three seconds, so the first is short.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A daemon that ran this long counts as well started, and is restarted after the first pause.
const RAN_WELL: Duration = Duration::from_secs(3);
/// Timeout of a clean stop of the daemon; after that it is killed, which loses nothing that was acknowledged.
const STOP_MAX: Duration = Duration::from_secs(20);
/// Timeout of `stop`, which waits for the supervisor, which waits for the daemon.
const STOP_WAIT_MAX: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(25);
/// Without a signal the daemon is polled this often: a longer-lived process may have inherited its output.
const LOOK_RARELY: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("{step}: {source}")]
    Step { step: &'static str, source: io::Error },
    #[error(transparent)]
    Background(#[from] BackgroundError),
    #[error("the supervisor did not start: {0}")]
    NotBegun(String),
    #[error("not restarting the daemon: {why}")]
    GaveUp { why: String },
    #[error("process {pid} did not end within {} s", STOP_WAIT_MAX.as_secs())]
    DidNotEnd { pid: u32 },
}

fn step(step: &'static str) -> impl FnOnce(io::Error) -> SuperviseError {
    move |source| SuperviseError::Step { step, source }
}

/// Starts the supervisor in the background and returns once it holds its lock.
pub fn start(directory: &Path) -> Result<(), SuperviseError> {
    background::start("supervise", directory).map_err(|error| match error {
        BackgroundError::NotBegun(why) => SuperviseError::NotBegun(why),
        error => error.into(),
    })
}

/// Keeps the daemon running until asked to stop. In its own session if `start` requested it.
pub fn run(directory: &Path) -> Result<(), SuperviseError> {
    let detached = Detached::begin()?;
    let _lock = DirectoryLock::take(&directory.join(layout::PID_FILE))?;
    end_orphan(directory)?;
    let gave_up = directory.join(layout::GAVE_UP);
    remove_if_there(&gave_up).map_err(step("cannot remove the old reason for giving up"))?;
    remove_if_there(&directory.join(layout::RESTARTS))
        .map_err(step("cannot remove the old count of restarts"))?;
    let log = Log::open(&directory.join(layout::LOG_FILE)).map_err(step("cannot open the log file"))?;
    let is_told_to_stop = Arc::new(AtomicBool::new(false));
    let (wake, woken) = channel();
    watch_signals(is_told_to_stop.clone(), wake.clone()).map_err(step("cannot watch for signals"))?;
    detached.has_begun()?;
    let mut supervisor =
        Supervisor { directory, is_told_to_stop: &is_told_to_stop, wake, woken, restarts: 0 };
    let result = supervisor.keep_running(log);
    if let Err(error) = &result {
        fs::write(&gave_up, format!("{error}\n")).map_err(step("cannot write why it gave up"))?;
    }
    result
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A thread that only waits for SIGTERM or SIGINT.
fn watch_signals(is_told_to_stop: Arc<AtomicBool>, wake: Sender<()>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let terminate = signal(SignalKind::terminate());
            let interrupt = signal(SignalKind::interrupt());
            if let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            }
            is_told_to_stop.store(true, Ordering::Relaxed);
            // There is no receiver if the supervisor exits at this moment.
            let _ = wake.send(());
        });
    })?;
    Ok(())
}

/// A daemon that an earlier supervisor left behind: it serves, but would not be restarted, and its log has no reader.
fn end_orphan(directory: &Path) -> Result<(), SuperviseError> {
    end_holder(&directory.join(layout::DAEMON_LOCK), Instant::now() + STOP_WAIT_MAX)
}

struct Supervisor<'a> {
    directory: &'a Path,
    is_told_to_stop: &'a AtomicBool,
    /// Receives a message when the daemon has closed its output or a signal has arrived.
    wake: Sender<()>,
    woken: Receiver<()>,
    restarts: u64,
}

impl Supervisor<'_> {
    fn keep_running(&mut self, mut log: Log) -> Result<(), SuperviseError> {
        let mut pauses = Pauses(PAUSE_MIN);
        loop {
            let began = Instant::now();
            let mut child = start_daemon(self.directory)?;
            let (output, wake) = (child.stderr.take(), self.wake.clone());
            let writer = thread::spawn(move || {
                let last_line = output.map(|output| log.take_all(output)).unwrap_or_default();
                let _ = wake.send(());
                (log, last_line)
            });
            let status = self.wait_for(&mut child).map_err(step("cannot wait for the daemon"))?;
            let (returned, last_line) = writer.join().unwrap_or_else(|_| std::process::abort());
            log = returned;
            if self.is_told_to_stop() || status.success() {
                return Ok(());
            }
            let why = format!("{status}: {last_line}");
            log.line(&format!("supervisor: the daemon ended with {why}"));
            if is_final(status) {
                return Err(SuperviseError::GaveUp { why });
            }
            self.note_restart(&why);
            self.pause(pauses.after(began.elapsed()));
            if self.is_told_to_stop() {
                return Ok(());
            }
        }
    }

    fn is_told_to_stop(&self) -> bool {
        self.is_told_to_stop.load(Ordering::Relaxed)
    }

    /// For `status`. Appears whole or not at all; a disk without room for it must not end the supervisor.
    fn note_restart(&mut self, why: &str) {
        self.restarts += 1;
        let path = self.directory.join(layout::RESTARTS);
        let text = format!("{} {why}\n", self.restarts);
        let _ = durable_file::replace(&path, text.as_bytes(), 0o644);
    }

    /// Waits for the daemon; forwards a stop request, and kills a daemon that ignores it.
    fn wait_for(&self, child: &mut Child) -> io::Result<ExitStatus> {
        let mut told: Option<Instant> = None;
        let mut look = LOOK_RARELY;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if self.is_told_to_stop() {
                match told {
                    None => {
                        // The process may have ended by itself at this moment.
                        let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM);
                        told = Some(Instant::now());
                    }
                    Some(since) if since.elapsed() >= STOP_MAX => child.kill()?,
                    Some(_) => {}
                }
            }
            // The message announces the exit: a process closes its output shortly before it has exited.
            if self.woken.recv_timeout(look).is_ok() {
                look = LOOK;
            }
        }
    }

    fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while !self.is_told_to_stop() && Instant::now() < until {
            let _ = self.woken.recv_timeout(until - Instant::now());
        }
    }
}

/// Exits after which a restart is useless: the configuration was refused, or the node was removed.
fn is_final(status: ExitStatus) -> bool {
    status.code() == Some(fatal::EXIT_CONFIG)
}

/// The pause before the next start: doubles as long as the daemon does not start well.
struct Pauses(Duration);
impl Pauses {
    fn after(&mut self, ran: Duration) -> Duration {
        let pause = if ran >= RAN_WELL { PAUSE_MIN } else { self.0 };
        self.0 = (pause * 2).min(PAUSE_MAX);
        pause
    }
}

fn start_daemon(directory: &Path) -> Result<Child, SuperviseError> {
    let mut command = own_program()?;
    command.args(["run", "--dir"]).arg(directory).env_remove("DKC_DETACH");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().map_err(step("cannot start the daemon"))
}

/// Stops the supervisor, or a daemon without one, and waits until no process holds the directory.
pub fn stop(directory: &Path) -> Result<(), SuperviseError> {
    let until = Instant::now() + STOP_WAIT_MAX;
    [layout::PID_FILE, layout::DAEMON_LOCK]
        .iter()
        .try_for_each(|name| end_holder(&directory.join(name), until))
}

/// Asks the holder of this lock to exit, and waits for it. The lock counts, not the process table: a process that
/// has exited holds no lock, even as a zombie.
fn end_holder(lock: &Path, until: Instant) -> Result<(), SuperviseError> {
    let holder =
        || DirectoryLock::holder(lock).map_err(step("cannot check which process holds the directory"));
    let Some(pid) = holder()? else { return Ok(()) };
    // The process may have ended by itself at this moment.
    let _ = kill(Pid::from_raw(pid as i32), Signal::SIGTERM);
    while holder()?.is_some() {
        if Instant::now() >= until {
            return Err(SuperviseError::DidNotEnd { pid });
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

/// The log file: `dkcd.log`, and older ones as `dkcd.log.1` and so on.
struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Log {
    fn open(path: &Path) -> io::Result<Log> {
        if let Some(folder) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Log { path: path.to_owned(), file, bytes })
    }

    /// Writes everything until the end of `output`; returns the last line. A line that cannot be written is lost:
    /// the daemon must not stop because its log's disk is full.
    fn take_all(&mut self, output: impl Read) -> String {
        let mut last = String::new();
        let mut reader = BufReader::new(output);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&line);
            self.line(text.trim_end());
            if !text.trim().is_empty() {
                last = text.trim().chars().take(1000).collect();
            }
            line.clear();
        }
        last
    }

    fn line(&mut self, line: &str) {
        if self.bytes >= LOG_BYTES_MAX {
            // Without space for another file this one keeps growing.
            let _ = self.rotate();
        }
        if writeln!(self.file, "{line}").is_ok() {
            self.bytes += line.len() as u64 + 1;
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        let numbered = |number: u32| PathBuf::from(format!("{}.{number}", self.path.display()));
        for number in (1..LOG_FILES_MAX).rev() {
            if numbered(number).exists() {
                fs::rename(numbered(number), numbered(number + 1))?;
            }
        }
        fs::rename(&self.path, numbered(1))?;
        *self = Log::open(&self.path)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn only_a_refused_configuration_or_a_removal_is_the_end() {
        let check =
            |status: i32, want: bool| assert_eq!(is_final(ExitStatus::from_raw(status)), want, "{status}");
        check(fatal::EXIT_CONFIG << 8, true);
        for code in [1, 101, fatal::EXIT_BUG, fatal::EXIT_DISK] {
            check(code << 8, false);
        }
        check(Signal::SIGKILL as i32, false);
        check(Signal::SIGABRT as i32, false);
    }

    #[test]
    fn pauses_grow_up_to_half_a_minute_and_begin_anew_after_a_good_start() {
        let mut pauses = Pauses(PAUSE_MIN);
        let failed: Vec<u128> = (0..11).map(|_| pauses.after(Duration::ZERO).as_millis()).collect();
        assert_eq!(failed, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
        assert_eq!(pauses.after(RAN_WELL), PAUSE_MIN);
        assert_eq!(pauses.after(Duration::ZERO), PAUSE_MIN * 2);
    }

    #[test]
    fn the_log_is_set_aside_at_its_size_and_only_the_last_files_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log/dkcd.log");
        let mut log = Log::open(&path).expect("opens");
        for number in 0..LOG_FILES_MAX + 3 {
            log.bytes = LOG_BYTES_MAX;
            assert_eq!(log.take_all(format!("line {number}\n\n").as_bytes()), format!("line {number}"));
        }
        let mut names: Vec<String> = fs::read_dir(folder.path().join("log"))
            .expect("a folder")
            .map(|item| item.expect("an item").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(names, ["dkcd.log", "dkcd.log.1", "dkcd.log.2", "dkcd.log.3", "dkcd.log.4"]);
        assert_eq!(fs::read_to_string(&path).expect("readable"), "line 6\n\n");
    }
}
