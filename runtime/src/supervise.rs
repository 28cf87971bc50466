//! Own supervision for hosts without systemd: a process in a session of its own that keeps the daemon running, writes
//! its log with rotation, and gives up, saying why, when the daemon fails again and again. A disk that fails is tried for
//! ever, as by systemd: a full one becomes free again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dkc_core::config::layout;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::daemon::{DirectoryLock, LockError};
use crate::fatal;

/// The log file is set aside at this size; the last ones are kept.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;
const LOG_FILES_MAX: u32 = 4;
/// Pause before the daemon is started again: the first, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A daemon that ran this long had started well.
const RAN_WELL: Duration = Duration::from_secs(60);
/// Failures in a row after which starting again is pointless.
const FAILURES_MAX: u32 = 8;
/// An orderly stop of the daemon; after that it is killed, which loses nothing that was acknowledged.
const STOP_MAX: Duration = Duration::from_secs(20);
/// `stop` waits for the supervisor, which waits for the daemon.
const STOP_WAIT_MAX: Duration = Duration::from_secs(30);
/// `supervise` waits for the word that the background process holds its lock.
const BEGIN_MARK: &str = "supervising";
const LOOK: Duration = Duration::from_millis(25);

#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("{step}: {source}")]
    Step { step: &'static str, source: io::Error },
    #[error("the supervisor did not begin: {0}")]
    NotBegun(String),
    #[error("gave up after {failures} failures in a row: {why}")]
    GaveUp { failures: u32, why: String },
    #[error("process {pid} did not end within {} s", STOP_WAIT_MAX.as_secs())]
    DidNotEnd { pid: u32 },
}

fn step(step: &'static str) -> impl FnOnce(io::Error) -> SuperviseError {
    move |source| SuperviseError::Step { step, source }
}

/// This very program, invoked as `dkcd`.
fn own_program() -> Result<Command, SuperviseError> {
    let mut command = Command::new(std::env::current_exe().map_err(step("cannot find the own program"))?);
    command.arg0("dkcd");
    Ok(command)
}

/// Starts the supervisor in the background and returns once it holds its lock.
pub fn start(directory: &Path) -> Result<(), SuperviseError> {
    let mut command = own_program()?;
    command.args(["supervise", "--foreground", "--dir"]).arg(directory);
    command
        .env("DKC_DETACH", "1")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(step("cannot start the supervisor"))?;
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut line).map_err(step("cannot hear the supervisor"))?;
    }
    if line.trim() == BEGIN_MARK {
        return Ok(());
    }
    let mut why = String::new();
    if let Some(mut err) = child.stderr.take() {
        err.read_to_string(&mut why).map_err(step("cannot hear the supervisor"))?;
    }
    Err(SuperviseError::NotBegun(why.trim().trim_start_matches("dkcd: ").to_owned()))
}

/// Keeps the daemon running until told to stop. In a session of its own when `start` asked for it.
pub fn run(directory: &Path) -> Result<(), SuperviseError> {
    let is_detached = std::env::var_os("DKC_DETACH").is_some();
    if is_detached {
        nix::unistd::setsid().map_err(|errno| step("cannot begin a session")(errno.into()))?;
    }
    let _lock = DirectoryLock::take(&directory.join(layout::PID_FILE))?;
    let gave_up = directory.join(layout::GAVE_UP);
    remove_if_there(&gave_up).map_err(step("cannot remove the old reason for giving up"))?;
    let log = Log::open(&directory.join(layout::LOG_FILE)).map_err(step("cannot open the log file"))?;
    let is_told_to_stop = Arc::new(AtomicBool::new(false));
    watch_signals(is_told_to_stop.clone()).map_err(step("cannot watch for signals"))?;
    if is_detached {
        println!("{BEGIN_MARK}");
        let null = File::options().write(true).open("/dev/null").map_err(step("cannot open /dev/null"))?;
        // The caller's pipes are let go of, so that an SSH session that started this can end.
        nix::unistd::dup2_stdout(&null).map_err(|errno| step("cannot let go of stdout")(errno.into()))?;
        nix::unistd::dup2_stderr(&null).map_err(|errno| step("cannot let go of stderr")(errno.into()))?;
    }
    let result = keep_running(directory, log, &is_told_to_stop);
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
fn watch_signals(is_told_to_stop: Arc<AtomicBool>) -> io::Result<()> {
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
        });
    })?;
    Ok(())
}

fn keep_running(directory: &Path, mut log: Log, is_told_to_stop: &AtomicBool) -> Result<(), SuperviseError> {
    let (mut failures, mut pause) = (0, PAUSE_MIN);
    loop {
        let began = Instant::now();
        let mut child = start_daemon(directory)?;
        let output = child.stderr.take();
        let writer = thread::spawn(move || {
            let last_line = output.map(|output| log.take_all(output)).unwrap_or_default();
            (log, last_line)
        });
        let status = wait_for(&mut child, is_told_to_stop).map_err(step("cannot wait for the daemon"))?;
        let (returned, last_line) = writer.join().unwrap_or_else(|_| std::process::abort());
        log = returned;
        if is_told_to_stop.load(Ordering::Relaxed) || status.success() {
            return Ok(());
        }
        if began.elapsed() >= RAN_WELL {
            (failures, pause) = (0, PAUSE_MIN);
        }
        failures += 1;
        let why = format!("{status}: {last_line}");
        log.line(&format!("supervisor: the daemon ended with {why}"));
        let is_pointless = matches!(status.code(), Some(fatal::EXIT_CONFIG | fatal::EXIT_BUG));
        let may_pass = status.code() == Some(fatal::EXIT_DISK);
        if (failures >= FAILURES_MAX && !may_pass) || is_pointless {
            return Err(SuperviseError::GaveUp { failures, why });
        }
        pause_unless(is_told_to_stop, pause);
        pause = (pause * 2).min(PAUSE_MAX);
        if is_told_to_stop.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
}

fn start_daemon(directory: &Path) -> Result<Child, SuperviseError> {
    let mut command = own_program()?;
    command.args(["run", "--dir"]).arg(directory).env_remove("DKC_DETACH");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().map_err(step("cannot start the daemon"))
}

/// Waits for the daemon; passes on an order to stop, and kills a daemon that does not follow it.
fn wait_for(child: &mut Child, is_told_to_stop: &AtomicBool) -> io::Result<ExitStatus> {
    let mut told: Option<Instant> = None;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if is_told_to_stop.load(Ordering::Relaxed) {
            match told {
                None => {
                    // The process may have ended by itself in this moment.
                    let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM);
                    told = Some(Instant::now());
                }
                Some(since) if since.elapsed() >= STOP_MAX => child.kill()?,
                Some(_) => {}
            }
        }
        thread::sleep(if told.is_some() { LOOK } else { LOOK * 8 });
    }
}

fn pause_unless(is_told_to_stop: &AtomicBool, pause: Duration) {
    let began = Instant::now();
    while began.elapsed() < pause && !is_told_to_stop.load(Ordering::Relaxed) {
        thread::sleep(LOOK);
    }
}

/// Ends the supervisor, or a daemon that runs without one, and waits until nothing holds the directory.
pub fn stop(directory: &Path) -> Result<(), SuperviseError> {
    let until = Instant::now() + STOP_WAIT_MAX;
    for name in [layout::PID_FILE, layout::DAEMON_LOCK] {
        let path = directory.join(name);
        let holder = || DirectoryLock::holder(&path).map_err(step("cannot look who holds the directory"));
        let Some(pid) = holder()? else { continue };
        // The process may have ended by itself in this moment.
        let _ = kill(Pid::from_raw(pid as i32), Signal::SIGTERM);
        while holder()?.is_some() {
            if Instant::now() >= until {
                return Err(SuperviseError::DidNotEnd { pid });
            }
            thread::sleep(LOOK);
        }
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
            // Without room for another file this one goes on growing.
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
