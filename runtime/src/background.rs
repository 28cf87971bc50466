//! Processes of this program that outlive the one that starts them, in a session of their own: an SSH session that started one can end.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Tells the process that it is to detach.
const MARK_VARIABLE: &str = "DKC_DETACH";
/// What it prints when it has begun.
const BEGIN_MARK: &str = "begun";

#[derive(Debug, thiserror::Error)]
pub enum BackgroundError {
    #[error("{step}: {source}")]
    Step { step: &'static str, source: io::Error },
    /// In its own words.
    #[error("{0}")]
    NotBegun(String),
}

pub fn step(step: &'static str) -> impl FnOnce(io::Error) -> BackgroundError {
    move |source| BackgroundError::Step { step, source }
}

/// This program, invoked as `dkcd`.
pub fn own_program() -> Result<Command, BackgroundError> {
    let mut command = Command::new(std::env::current_exe().map_err(step("cannot find its own program"))?);
    command.arg0("dkcd");
    Ok(command)
}

/// Starts `dkcd VERB --foreground --dir DIRECTORY` in the background and returns once it has begun.
pub fn start(verb: &str, directory: &Path) -> Result<(), BackgroundError> {
    let mut command = own_program()?;
    command.args([verb, "--foreground", "--dir"]).arg(directory);
    command
        .env(MARK_VARIABLE, "1")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(step("cannot start a process"))?;
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut line).map_err(step("cannot read from the new process"))?;
    }
    if line.trim() == BEGIN_MARK {
        return Ok(());
    }
    let mut why = String::new();
    if let Some(mut err) = child.stderr.take() {
        err.read_to_string(&mut why).map_err(step("cannot read from the new process"))?;
    }
    Err(BackgroundError::NotBegun(why.trim().trim_start_matches("dkcd: ").to_owned()))
}

/// A process that `start` began.
pub struct Detached(bool);

impl Detached {
    /// In its own session from now on, if `start` requested it.
    pub fn begin() -> Result<Detached, BackgroundError> {
        let is_detached = std::env::var_os(MARK_VARIABLE).is_some();
        if is_detached {
            nix::unistd::setsid().map_err(|errno| step("cannot create a session")(errno.into()))?;
        }
        Ok(Detached(is_detached))
    }

    /// Closes the caller's pipes, after which `start` returns.
    pub fn has_begun(self) -> Result<(), BackgroundError> {
        if self.0 {
            println!("{BEGIN_MARK}");
            let null =
                File::options().write(true).open("/dev/null").map_err(step("cannot open /dev/null"))?;
            nix::unistd::dup2_stdout(&null).map_err(|errno| step("cannot release stdout")(errno.into()))?;
            nix::unistd::dup2_stderr(&null).map_err(|errno| step("cannot release stderr")(errno.into()))?;
        }
        Ok(())
    }
}
