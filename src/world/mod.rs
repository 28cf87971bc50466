//! The only code that touches other machines. A [`World`] opens hosts (over SSH, or this machine for `--local` hosts) and
//! keeps them open for the session; callers use [`Host`] regardless of its kind.
//! *Invariant:* what runs on a host is a fixed script of ours with its values as arguments, never text pasted
//! together. It never decides what should be done.

pub mod askpass;
pub mod control;
mod control_line;
mod digest;
pub mod files;
mod jump;
pub mod local;
pub mod login;
mod meet;
mod owner;
pub mod program;
mod root_access;
pub mod salvage;
pub mod ssh;
mod ssh_options;

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dkc_core::ids::HostAddress;
use dkc_inventory::model;
use dkc_inventory::observed::Silence;
use parking_lot::Mutex;

pub use control::ControlClient;
pub use control_line::no_daemon;
#[cfg(test)]
pub use login::NoAsker;
pub use login::{Asker, Secret};
pub use root_access::RootAccess;

/// Timeout of a short remote step: enough for a loaded host, bearable for an operator.
pub const STEP_LIMIT: Duration = Duration::from_secs(30);
/// Output kept of one remote step; our scripts print far less.
pub const OUTPUT_MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Longest path of a control master's socket: a Unix socket's path is at most 108 bytes and ssh appends 17.
const SOCKET_PATH_MAX_BYTES: usize = 80;
/// Defines `as_root`: the program and arguments behind it, as root.
#[macro_export]
macro_rules! with_root {
    ($script:literal) => {
        concat!("as_root() { if [ \"$(id -u)\" = 0 ]; then \"$@\"; else sudo -n \"$@\"; fi; }\n", $script)
    };
}

#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    #[error("{message}")]
    Silent { host: HostAddress, kind: Silence, message: String },
    #[error("{what} on {host} did not finish within {limit_s} s")]
    TooSlow { host: HostAddress, what: &'static str, limit_s: u64 },
    #[error("{what} on {host} failed (status {status}){}", tail(stderr))]
    Failed { host: HostAddress, what: &'static str, status: i32, stderr: String },
    /// A file changed since the plan was made.
    #[error("{path} on {host} has changed since the plan was made")]
    Changed { host: HostAddress, path: String },
    #[error("{what} on {host}: {source}")]
    Broken { host: HostAddress, what: &'static str, source: std::io::Error },
    #[error("the daemon in {dir} on {host} does not answer: {reason}")]
    NoDaemon { host: HostAddress, dir: String, reason: String },
    #[error("{what}: {source}")]
    Here { what: String, source: std::io::Error },
}

/// The last output lines of a failed step, joined after a colon; empty if it printed nothing.
fn tail(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match lines.len() {
        0 => String::new(),
        count => format!(": {}", lines[count.saturating_sub(3)..].join("; ")),
    }
}

/// A step's output and exit status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub status: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Output {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// Called with the bytes sent so far and the total.
pub type OnBytes<'a> = &'a (dyn Fn(usize, usize) + Send + Sync);

/// A step's standard input.
pub enum Input<'a> {
    Nothing,
    Bytes(&'a [u8]),
    /// Many bytes, with progress reports.
    Pieces {
        bytes: &'a [u8],
        on_bytes: OnBytes<'a>,
    },
}

/// A fixed script, its arguments and its limits.
pub struct Script<'a> {
    /// Its name in messages: "write file", "start".
    pub what: &'static str,
    pub text: &'a str,
    pub arguments: &'a [&'a str],
    pub input: Input<'a>,
    pub limit: Duration,
}

/// One machine, opened. Cheap to clone.
#[derive(Clone)]
pub enum Host {
    Ssh(Arc<ssh::SshHost>),
    Local(Arc<local::LocalHost>),
}

impl Host {
    pub fn address(&self) -> &HostAddress {
        match self {
            Host::Ssh(host) => &host.address,
            Host::Local(host) => &host.address,
        }
    }

    pub fn root_access(&self) -> &RootAccess {
        match self {
            Host::Ssh(host) => &host.root_access,
            Host::Local(host) => &host.root_access,
        }
    }

    pub fn is_local(&self) -> bool {
        matches!(self, Host::Local(_))
    }

    /// Runs the script and returns its output, whatever its status.
    pub async fn run(&self, script: Script<'_>) -> Result<Output, WorldError> {
        let (what, limit_s) = (script.what, script.limit.as_secs());
        let output = match self {
            Host::Ssh(host) => host.run(script).await?,
            Host::Local(host) => host.run(script).await?,
        };
        // timeout(1) exits with 124: the limit on the host expired.
        match output.status {
            124 => Err(WorldError::TooSlow { host: self.address().clone(), what, limit_s }),
            _ => Ok(output),
        }
    }

    /// Runs the script; a status other than 0 is an error with its output.
    pub async fn must(&self, script: Script<'_>) -> Result<Output, WorldError> {
        let what = script.what;
        let output = self.run(script).await?;
        match output.status {
            0 => Ok(output),
            status => Err(WorldError::Failed {
                host: self.address().clone(),
                what,
                status,
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            }),
        }
    }

    /// Opens the control socket of the daemon in `dir`.
    pub async fn control(&self, dir: &str) -> Result<ControlClient, WorldError> {
        match self {
            Host::Ssh(host) => ControlClient::over_ssh(host, dir).await,
            Host::Local(host) => ControlClient::local(host, dir).await,
        }
    }
}

/// Whether a host's ssh port accepts a connection within the limit; `false` takes the whole limit. Always false behind a jump
/// host.
pub async fn takes_connections(address: &HostAddress, port: u16, limit: Duration) -> bool {
    let until = tokio::time::Instant::now() + limit;
    let connecting = tokio::net::TcpStream::connect((address.as_str(), port));
    let is_taken = tokio::time::timeout_at(until, connecting).await.is_ok_and(|taken| taken.is_ok());
    if !is_taken {
        tokio::time::sleep_until(until).await;
    }
    is_taken
}

/// Opens and caches hosts. One per session; [`World::close`] ends its connections.
pub struct World {
    prompts: Arc<login::LoginPrompts>,
    hosts: Mutex<BTreeMap<HostAddress, Arc<tokio::sync::Mutex<Option<Host>>>>>,
    private_dir: Mutex<Option<PathBuf>>,
    next_serial: AtomicU64,
}

impl World {
    pub fn new(asker: Arc<dyn Asker>) -> Self {
        World {
            prompts: Arc::new(login::LoginPrompts::new(asker)),
            hosts: Mutex::default(),
            private_dir: Mutex::default(),
            next_serial: AtomicU64::new(0),
        }
    }

    /// Announces the hosts that a command needs, so a password can be offered to all of them.
    pub fn expect<'a>(&self, hosts: impl Iterator<Item = (&'a HostAddress, &'a model::Host)>) {
        let open = self.hosts.lock();
        let waiting = hosts.filter(|(address, host)| !host.local && !open.contains_key(*address));
        self.prompts.expect(waiting.map(|(address, host)| (address.clone(), host.user.clone())));
    }

    /// The host, opened now or earlier. Reopens a dead connection.
    pub async fn host(&self, address: &HostAddress, host: &model::Host) -> Result<Host, WorldError> {
        let slot = self.hosts.lock().entry(address.clone()).or_default().clone();
        let mut slot = slot.lock().await;
        if let Some(open) = slot.as_ref()
            && open.is_alive().await
        {
            return Ok(open.clone());
        }
        let open = self.open(address, host).await?;
        *slot = Some(open.clone());
        Ok(open)
    }

    async fn open(&self, address: &HostAddress, host: &model::Host) -> Result<Host, WorldError> {
        if host.local {
            return Ok(Host::Local(Arc::new(local::LocalHost::new(address.clone()))));
        }
        let place = ssh::ConnectionFiles {
            dir: self.private_dir()?,
            serial: self.next_serial.fetch_add(1, Ordering::Relaxed),
        };
        let login = login::Login::new(address.clone(), host, self.prompts.clone());
        Ok(Host::Ssh(Arc::new(ssh::connect(place, login, host.port).await?)))
    }

    /// The key that a host presents, compared with its pins, without logging in.
    pub async fn shown_key(
        &self,
        address: &HostAddress,
        host: &model::Host,
    ) -> Result<login::KeyVerdict, WorldError> {
        let place = ssh::ConnectionFiles {
            dir: self.private_dir()?,
            serial: self.next_serial.fetch_add(1, Ordering::Relaxed),
        };
        ssh::look_at_key(place, login::Login::look(address.clone(), host, self.prompts.clone()), host.port)
            .await
    }

    /// Whether the operator is being asked something: no host may be given up as slow meanwhile.
    pub fn is_somebody_asked(&self) -> bool {
        self.prompts.is_somebody_asked()
    }

    /// Hosts with pinned keys, each of which may be a jump host.
    pub fn know_jump_hosts(&self, pins: BTreeMap<String, Vec<String>>) {
        self.prompts.know_jump_hosts(pins);
    }

    /// Keys of jump hosts that were seen and accepted for the first time: the caller pins them in the inventory.
    pub fn take_learned_jump_keys(&self) -> BTreeMap<String, String> {
        self.prompts.take_learned_jump_keys()
    }

    /// Keys that were seen and accepted for the first time: the caller pins them in the inventory.
    pub fn take_learned_keys(&self) -> BTreeMap<HostAddress, String> {
        self.prompts.take_learned_keys()
    }

    /// Ends every connection and removes the private directory.
    pub async fn close(&self) {
        let hosts = std::mem::take(&mut *self.hosts.lock());
        for slot in hosts.into_values() {
            if let Some(Host::Ssh(host)) = slot.lock().await.take() {
                host.close().await;
            }
        }
        if let Some(dir) = self.private_dir.lock().take() {
            let _ = std::fs::remove_dir_all(dir);
        }
    }

    /// A fresh directory that only this user can enter: access to a master's socket means access to the hosts.
    fn private_dir(&self) -> Result<PathBuf, WorldError> {
        let mut present = self.private_dir.lock();
        if let Some(dir) = present.as_ref() {
            return Ok(dir.clone());
        }
        let name = format!("dkc-{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let fits = |dir: &PathBuf| {
            is_private(dir) && dir.as_os_str().len() + name.len() + 8 <= SOCKET_PATH_MAX_BYTES
        };
        let dir = runtime.filter(fits).unwrap_or_else(|| PathBuf::from("/tmp")).join(name);
        let made = DirBuilder::new().mode(0o700).create(&dir);
        made.map_err(|source| WorldError::Here { what: format!("make {}", dir.display()), source })?;
        *present = Some(dir.clone());
        Ok(dir)
    }
}

/// A directory of this user that no other user can write to.
fn is_private(dir: &std::path::Path) -> bool {
    std::fs::metadata(dir).is_ok_and(|found| {
        found.is_dir() && found.uid() == nix::unistd::geteuid().as_raw() && found.mode() & 0o022 == 0
    })
}

impl Host {
    async fn is_alive(&self) -> bool {
        match self {
            Host::Ssh(host) => host.is_alive().await,
            Host::Local(_) => true,
        }
    }
}

impl Drop for World {
    /// Fallback if `close` was not called; masters also end after their idle time.
    fn drop(&mut self) {
        if let Some(dir) = self.private_dir.get_mut().take() {
            ssh::end_masters_in(&dir);
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::is_private;

    #[test]
    fn masters_never_lie_where_somebody_else_can_put_things() {
        let dir = tempfile::tempdir().unwrap();
        let check = |mode: u32, want: bool| {
            std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_private(dir.path()), want, "{mode:o}");
        };
        check(0o700, true);
        check(0o755, true);
        check(0o770, false);
        check(0o707, false);
        assert!(!is_private(&dir.path().join("missing")));
    }
}
