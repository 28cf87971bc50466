//! This machine as a host: the same scripts and the same sockets without SSH. Used by `--local` hosts, the playground
//! and slaves without a host.

use std::path::PathBuf;
use std::process::Stdio;

use dkc_core::ids::HostAddress;
use tokio::net::UnixStream;

use super::ssh::{drain, feed};
use super::{Input, Output, RootAccess, Script, WorldError};

pub struct LocalHost {
    pub address: HostAddress,
    pub root_access: RootAccess,
}

impl LocalHost {
    pub fn new(address: HostAddress) -> Self {
        LocalHost { address, root_access: RootAccess::default() }
    }

    pub async fn run(&self, script: Script<'_>) -> Result<Output, WorldError> {
        let (what, limit) = (script.what, script.limit);
        match tokio::time::timeout(limit, run_now(script)).await {
            Ok(result) => {
                result.map_err(|source| WorldError::Broken { host: self.address.clone(), what, source })
            }
            Err(_) => Err(WorldError::TooSlow { host: self.address.clone(), what, limit_s: limit.as_secs() }),
        }
    }

    /// A connection to the control socket of the daemon in `dir`.
    pub async fn control_stream(&self, dir: &str) -> std::io::Result<UnixStream> {
        UnixStream::connect(PathBuf::from(dir).join(dkc_core::config::layout::CONTROL_SOCKET)).await
    }
}

/// In its own process group, so that Ctrl-C reaches only us and does not interrupt a step.
async fn run_now(script: Script<'_>) -> std::io::Result<Output> {
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", script.text, "dkc"]).args(script.arguments).kill_on_drop(true).process_group(0);
    let has_input = !matches!(script.input, Input::Nothing);
    command.stdin(if has_input { Stdio::piped() } else { Stdio::null() });
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (sent, stdout, stderr) = tokio::join!(feed(stdin, script.input), drain(stdout), drain(stderr));
    let status = child.wait().await?.code().unwrap_or(-1);
    if status == 0 {
        sent?;
    }
    Ok(Output { status, stdout, stderr })
}
