//! A host over SSH: dkc starts the control master itself, so that it can ask for passwords, and uses it through the `openssh`
//! crate. *Invariant:* an unpinned key is never accepted silently, and secrets never appear in arguments, the environment
//! or files.

use std::path::{Path, PathBuf};
use std::process::Stdio as ProcessStdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dkc_core::control::ControlRequest;
use dkc_core::ids::HostAddress;
use dkc_inventory::model::DEFAULT_SSH_PORT;
use dkc_inventory::observed::Silence;
use openssh::{ForwardType, Session, Stdio};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::control_line::{self, no_daemon};
use super::jump::{self, OwnConfiguration};
use super::login::{KeyVerdict, Login};
use super::ssh_options::{MASTER_LIMIT, options_of_every_connection};
use super::{Input, OUTPUT_MAX_BYTES, Output, RootAccess, Script, WorldError, askpass};

/// Connect timeout.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Login timeout: key exchange, slow name lookups and PAM on the host. Time for typing is not counted.
const LOGIN_LIMIT: Duration = Duration::from_secs(20);
/// sshd's MaxSessions is 10 by default; two are left for the operator's own use of the master.
const CHANNELS_MAX: usize = 8;
/// An idle master exits by itself, even if dkc was killed.
const MASTER_IDLE_S: u32 = 600;
/// Upload chunk between two progress reports.
const UPLOAD_PIECE_BYTES: usize = 256 * 1024;
/// For hosts whose sshd does not forward sockets: runs `dkcd ctl` there. The request goes through standard input to keep
/// values out of the process list.
const ASK_THERE: &str = r#"exec "$1/dkcd" ctl --dir "$1" -"#;

/// The files of one connection.
pub struct ConnectionFiles {
    pub dir: PathBuf,
    pub serial: u64,
}
impl ConnectionFiles {
    fn path(&self, ending: &str) -> PathBuf {
        self.dir.join(format!("{}{ending}", self.serial))
    }
}

pub struct SshHost {
    pub address: HostAddress,
    pub root_access: RootAccess,
    session: Session,
    master: PathBuf,
    channels: Semaphore,
    next_forward: AtomicU64,
    /// Whether sshd forwards sockets, once known.
    forwards: tokio::sync::OnceCell<bool>,
}

/// Logs in. Failures are classified for exit statuses and advice.
pub async fn connect(place: ConnectionFiles, login: Arc<Login>, port: u16) -> Result<SshHost, WorldError> {
    let result = log_in(&place, &login, port).await;
    match &result {
        Ok(()) => login.succeeded().await,
        Err(_) => login.gave_up(),
    }
    let _ = std::fs::remove_file(place.path(".ask"));
    result?;
    let master = place.path("");
    let session = Session::resume_mux(master.clone().into_boxed_path(), None);
    let channels = Semaphore::new(CHANNELS_MAX);
    Ok(SshHost {
        address: login.address.clone(),
        root_access: RootAccess::default(),
        session,
        master,
        channels,
        next_forward: AtomicU64::new(0),
        forwards: tokio::sync::OnceCell::new(),
    })
}

/// Fetches the host's key without logging in.
pub async fn look_at_key(
    place: ConnectionFiles,
    login: Arc<Login>,
    port: u16,
) -> Result<KeyVerdict, WorldError> {
    let result = log_in(&place, &login, port).await;
    login.gave_up();
    let _ = std::fs::remove_file(place.path(".ask"));
    match (login.verdict(), result) {
        (Some(verdict), _) => Ok(verdict),
        (None, Err(error)) => Err(error),
        (None, Ok(())) => Err(silent(&login, Silence::Other, "ssh did not report its key".into())),
    }
}

async fn log_in(place: &ConnectionFiles, login: &Arc<Login>, port: u16) -> Result<(), WorldError> {
    let here = |source| WorldError::Here { what: "start ssh".into(), source };
    let ask = place.path(".ask");
    let listener = UnixListener::bind(&ask).map_err(here)?;
    let helper = tokio::spawn(askpass::serve(listener, login.clone()));
    let log_path = place.path(".log");
    let log = std::fs::File::create(&log_path).map_err(here)?;
    let own = OwnConfiguration::of(login.address.as_str(), Some(&login.user), other_port(port)).await;
    let has_jump_host = own.has_jump_host();
    login.set_way(jump::way_to(&own).await);
    let mut command = master_command(&place.path(""), &ask, login, port, &own).map_err(here)?;
    command
        .stdin(ProcessStdio::null())
        .stdout(ProcessStdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .process_group(0);
    let mut child = command.spawn().map_err(here)?;
    login.started(child.id().unwrap_or_default());
    let status = wait_for_login(&mut child, login).await;
    helper.abort();
    let said = std::fs::read_to_string(&log_path).unwrap_or_default();
    let _ = std::fs::remove_file(&log_path);
    match status {
        Some(true) => verify(&place.path(""), login, key_was_checked(login.verdict())).await,
        Some(false) => Err(why_refused(login, &said, has_jump_host)),
        None => Err(silent(login, Silence::Timeout, no_answer(LOGIN_LIMIT))),
    }
}

/// `Some(true)` if the master is up, `Some(false)` if ssh gave up, `None` on timeout.
async fn wait_for_login(child: &mut tokio::process::Child, login: &Login) -> Option<bool> {
    let mut deadline = Instant::now() + LOGIN_LIMIT;
    loop {
        tokio::select! {
            status = child.wait() => return Some(status.is_ok_and(|status| status.success())),
            () = login.failed.notified() => {
                end_group(child).await;
                return Some(false);
            }
            () = tokio::time::sleep_until(deadline) => {
                if !login.is_waiting() {
                    end_group(child).await;
                    return None;
                }
                deadline = Instant::now() + LOGIN_LIMIT;
            }
        }
    }
}

/// Also ends the ssh that it started for a jump host.
async fn end_group(child: &mut tokio::process::Child) {
    if let Some(group) = child.id().and_then(|id| i32::try_from(id).ok()) {
        let _ =
            nix::sys::signal::killpg(nix::unistd::Pid::from_raw(group), nix::sys::signal::Signal::SIGKILL);
    }
    let _ = child.kill().await;
}

/// A connection is used only if its host key was presented to us and is the pinned one. Our options disable every known way
/// around that; this check also covers unknown ones.
fn key_was_checked(verdict: Option<KeyVerdict>) -> bool {
    verdict == Some(KeyVerdict::Trusted)
}

/// Mandatory options come first: ssh uses the first value it sees.
fn master_command(
    master: &Path,
    ask: &Path,
    login: &Login,
    port: u16,
    own: &OwnConfiguration,
) -> std::io::Result<tokio::process::Command> {
    let program = askpass::own_program()?;
    let mut command = tokio::process::Command::new("ssh");
    command.args(["-M", "-N", "-f", "-T", "-S"]).arg(master).args(["-l", &login.user]);
    if let Some(port) = other_port(port) {
        command.args(["-p", &port.to_string()]);
    }
    if let Some(last) = login.way().len().checked_sub(1) {
        command.args(["-o", &jump::proxy_command(&program, last)]);
    }
    for option in fixed_options(login.is_interactive()) {
        command.args(["-o", &option]);
    }
    if own.knows_gssapi_key_exchange {
        command.args(["-o", "GSSAPIKeyExchange=no"]);
    }
    command.args(["-o", &connect_timeout(own.has_jump_host())]);
    command.args(["-o", &format!("KnownHostsCommand={}", askpass::known_hosts_command(&program))]);
    command.env(askpass::SOCKET_VARIABLE, ask).env_remove("DISPLAY");
    // Even without a terminal: the ssh of a jump host ignores BatchMode and would prompt on the terminal.
    command.env("SSH_ASKPASS", &program).env("SSH_ASKPASS_REQUIRE", "force");
    command.arg("--").arg(login.address.as_str());
    Ok(command)
}

/// The operator may be asked about a jump host first, while the host behind it seems silent. Then only the login timeout
/// applies, which excludes time for typing.
fn connect_timeout(has_jump_host: bool) -> String {
    match has_jump_host {
        true => "ConnectTimeout=none".into(),
        false => format!("ConnectTimeout={}", CONNECT_LIMIT.as_secs()),
    }
}

/// Only where it differs from the default: the operator's configuration may set another one.
fn other_port(port: u16) -> Option<u16> {
    Some(port).filter(|port| *port != DEFAULT_SSH_PORT)
}

fn fixed_options(is_interactive: bool) -> Vec<String> {
    let mut options = vec![format!("ControlPersist={MASTER_IDLE_S}"), "ControlMaster=yes".into()];
    options.extend(options_of_every_connection(is_interactive));
    options.extend(["ClearAllForwardings=yes".into(), "StreamLocalBindUnlink=yes".into()]);
    options
}

/// ssh may exit with 0 without a working socket; only `-O check` proves that the master works.
async fn verify(master: &Path, login: &Login, key_was_checked: bool) -> Result<(), WorldError> {
    if key_was_checked && control_master(master, "check", &login.address).await {
        return Ok(());
    }
    control_master(master, "exit", &login.address).await;
    if !key_was_checked {
        let message = "ssh logged in without showing the host key, because of a setting in its configuration; \
                       the connection was closed unused";
        return Err(silent(login, Silence::Other, message.into()));
    }
    Err(silent(login, Silence::Other, "ssh logged in but left no control master".into()))
}

/// ssh requires an address but with `-O` it only uses the socket.
async fn control_master(master: &Path, word: &str, address: &HostAddress) -> bool {
    let mut command = tokio::process::Command::new("ssh");
    command.arg("-S").arg(master).args(["-O", word, "--", address.as_str()]).kill_on_drop(true);
    command.stdin(ProcessStdio::null()).stdout(ProcessStdio::null()).stderr(ProcessStdio::null());
    let status = tokio::time::timeout(MASTER_LIMIT, command.status()).await;
    status.is_ok_and(|status| status.is_ok_and(|status| status.success()))
}

/// Ends masters without waiting, for the drop of a [`super::World`] that was not closed.
pub fn end_masters_in(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let is_master = |path: &PathBuf| path.extension().is_none();
    for path in entries.flatten().map(|entry| entry.path()).filter(is_master) {
        let mut command = std::process::Command::new("ssh");
        command.arg("-S").arg(path).args(["-O", "exit", "--", "any"]);
        command.stdin(ProcessStdio::null()).stdout(ProcessStdio::null()).stderr(ProcessStdio::null());
        let _ = command.status();
    }
}

fn silent(login: &Login, kind: Silence, message: String) -> WorldError {
    WorldError::Silent { host: login.address.clone(), kind, message }
}

fn no_answer(limit: Duration) -> String {
    format!("no reply within {} s", limit.as_secs())
}

/// Classifies ssh's message.
fn why_refused(login: &Login, said: &str, has_jump_host: bool) -> WorldError {
    match login.jump_verdict() {
        Some((name, KeyVerdict::Changed(shown))) => {
            let pinned = login.jump_pins(&name).join(" or ");
            let message = format!(
                "the host key of jump host {name} has changed: pinned {pinned}, presented {shown}; \
                 if that is right: trust update {name}"
            );
            return silent(login, Silence::HostKeyChanged, message);
        }
        Some((name, KeyVerdict::Unknown(shown))) => {
            let message = format!("host key {shown} of jump host {name} is not trusted yet");
            return silent(login, Silence::HostKeyUnknown, message);
        }
        _ => {}
    }
    match login.verdict() {
        Some(KeyVerdict::Changed(shown)) => {
            let message =
                format!("the host key has changed: pinned {}, presented {shown}", login.pins().join(" or "));
            return silent(login, Silence::HostKeyChanged, message);
        }
        Some(KeyVerdict::Unknown(shown)) => {
            return silent(login, Silence::HostKeyUnknown, format!("host key {shown} is not trusted yet"));
        }
        _ => {}
    }
    let (kind, message) = classify(said, login.gave_password() || login.password_was_refused());
    // ssh does not pass on messages of a jump host's ssh once it has started a master.
    let message = match has_jump_host && kind == Silence::Unreachable {
        true => format!("{message}; connected via jump host, try: ssh {}@{}", login.user, login.address),
        false => message,
    };
    silent(login, kind, message)
}

fn classify(said: &str, gave_password: bool) -> (Silence, String) {
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    // A mere consequence of the closed connection; the line before says more.
    let is_consequence = |line: &&str| line.contains("closed by UNKNOWN port");
    let last =
        lines.rfind(|line| !is_consequence(line)).or(said.lines().next()).unwrap_or("ssh gave no reason");
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["timed out"]) {
        return (Silence::Timeout, no_answer(CONNECT_LIMIT));
    }
    if has(&["Bad configuration option"]) {
        return (Silence::Other, format!("ssh on this machine is older than OpenSSH 8.5 ({last})"));
    }
    if has(&["Permission denied"]) || gave_password {
        let what = if gave_password { "the password was refused" } else { "login refused" };
        return (Silence::Login, format!("{what} ({last})"));
    }
    if has(&["refused", "No route", "unreachable", "resolve", "closed", "reset", "not known"]) {
        return (Silence::Unreachable, last.to_owned());
    }
    (Silence::Other, last.to_owned())
}

/// Runs a script under a limit on the host, so a lost connection leaves nothing running.
const UNDER_LIMIT: &str = r#"limit=$1 script=$2; shift 2
if command -v timeout >/dev/null 2>&1; then exec timeout -k 5 "$limit" sh -c "$script" dkc "$@"; fi
exec sh -c "$script" dkc "$@""#;
/// Our own limit exceeds the host's by this much, so that its answer arrives.
const LIMIT_MARGIN: Duration = Duration::from_secs(7);

impl SshHost {
    pub async fn run(&self, script: Script<'_>) -> Result<Output, WorldError> {
        let _channel = self.channels.acquire().await.expect("never closed");
        let (what, limit) = (script.what, script.limit);
        match tokio::time::timeout(limit + LIMIT_MARGIN, self.run_now(script)).await {
            Ok(result) => result.map_err(|error| self.broken(what, error)),
            Err(_) => Err(WorldError::TooSlow { host: self.address.clone(), what, limit_s: limit.as_secs() }),
        }
    }

    async fn run_now(&self, script: Script<'_>) -> Result<Output, openssh::Error> {
        let mut command = self.session.raw_command(command_line(&script));
        let has_input = !matches!(script.input, Input::Nothing);
        command.stdin(if has_input { Stdio::piped() } else { Stdio::null() });
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().await?;
        let (stdin, stdout, stderr) = (child.stdin().take(), child.stdout().take(), child.stderr().take());
        let (sent, stdout, stderr) = tokio::join!(feed(stdin, script.input), drain(stdout), drain(stderr));
        let status = match child.wait().await {
            Ok(status) => status.code().unwrap_or(-1),
            // The crate turns 127 into an error of its own.
            Err(openssh::Error::Remote(error)) if error.kind() == std::io::ErrorKind::NotFound => 127,
            Err(error) => return Err(error),
        };
        // A script that exits early closes its input; its status, not the broken pipe, is the cause.
        if status == 0 {
            sent.map_err(openssh::Error::ChildIo)?;
        }
        Ok(Output { status, stdout, stderr })
    }

    fn broken(&self, what: &'static str, error: openssh::Error) -> WorldError {
        let source = std::io::Error::other(format!("SSH connection lost: {error}"));
        WorldError::Broken { host: self.address.clone(), what, source }
    }

    /// A forwarded connection to the control socket of the daemon in `dir`; `None` where sshd forbids that.
    pub async fn control_stream(&self, dir: &str) -> Result<Option<UnixStream>, WorldError> {
        match *self.forwards.get_or_try_init(|| self.finds_out_forwarding(dir)).await? {
            true => self.forward(dir).await.map(Some),
            false => Ok(None),
        }
    }

    /// A forwarded connection that closes at once means that nothing listens there or that sshd forbids forwarding. A query
    /// on the host distinguishes the two; while nothing listens it stays unknown.
    async fn finds_out_forwarding(&self, dir: &str) -> Result<bool, WorldError> {
        let broken = |reason: String| no_daemon(&self.address, dir, &reason);
        let line = control_line::encode(&ControlRequest::Status).map_err(broken)?;
        let mut stream = BufReader::new(self.forward(dir).await?);
        let answer = control_line::exchange(&mut stream, &line, MASTER_LIMIT).await;
        if answer.and_then(|answer| control_line::decode(&answer)).is_ok() {
            return Ok(true);
        }
        self.ask_there(dir, &line, MASTER_LIMIT).await.map(|_| false)
    }

    /// Queries through the daemon's own program on the host.
    pub async fn ask_there(&self, dir: &str, line: &str, limit: Duration) -> Result<String, WorldError> {
        let input = Input::Bytes(line.as_bytes());
        let script = Script { what: "ask the daemon", text: ASK_THERE, arguments: &[dir], input, limit };
        let output = self.run(script).await?;
        // An error reply has its own exit status, but it is a reply.
        match output.stdout.is_empty() {
            false => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            true => {
                let said = String::from_utf8_lossy(&output.stderr);
                Err(no_daemon(&self.address, dir, said.lines().last().unwrap_or("no output").trim()))
            }
        }
    }

    /// Forwards a fresh private socket to the daemon's and opens one connection through it.
    async fn forward(&self, dir: &str) -> Result<UnixStream, WorldError> {
        let far = PathBuf::from(dir).join(dkc_core::config::layout::CONTROL_SOCKET);
        let name = format!("f{}", self.next_forward.fetch_add(1, Ordering::Relaxed));
        let near = self.master.with_extension(name);
        let forward = self.session.request_port_forward(ForwardType::Local, unix(&near), unix(&far));
        if !matches!(tokio::time::timeout(MASTER_LIMIT, forward).await, Ok(Ok(()))) {
            return Err(no_daemon(&self.address, dir, "the SSH master refused to forward its socket"));
        }
        let stream = UnixStream::connect(&near).await;
        // The open connection no longer needs the listener.
        let _ = self.session.close_port_forward(ForwardType::Local, unix(&near), unix(&far)).await;
        let _ = std::fs::remove_file(&near);
        stream.map_err(|error| no_daemon(&self.address, dir, &error.to_string()))
    }

    pub async fn is_alive(&self) -> bool {
        let check = tokio::time::timeout(MASTER_LIMIT, self.session.check()).await;
        matches!(check, Ok(Ok(())))
    }

    pub async fn close(&self) {
        control_master(&self.master, "exit", &self.address).await;
    }
}

fn unix(path: &Path) -> openssh::Socket<'_> {
    openssh::Socket::UnixSocket { path: path.into() }
}

/// The one line that sshd gives to the login shell: fixed words and quoted values.
fn command_line(script: &Script<'_>) -> String {
    let limit = script.limit.as_secs().max(1).to_string();
    let fixed = ["sh", "-c", UNDER_LIMIT, "dkc", &limit, script.text];
    let words = fixed.into_iter().chain(script.arguments.iter().copied());
    format!("exec {}", words.map(quote).collect::<Vec<_>>().join(" "))
}

/// Quotes for a POSIX shell: inside single quotes only the quote itself has a meaning.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Writes a step's input and closes it.
pub async fn feed(pipe: Option<impl AsyncWrite + Unpin>, input: Input<'_>) -> std::io::Result<()> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    match input {
        Input::Nothing => {}
        Input::Bytes(bytes) => pipe.write_all(bytes).await?,
        Input::Pieces { bytes, on_bytes } => {
            let mut sent = 0;
            for piece in bytes.chunks(UPLOAD_PIECE_BYTES) {
                pipe.write_all(piece).await?;
                sent += piece.len();
                on_bytes(sent, bytes.len());
            }
        }
    }
    pipe.shutdown().await
}

/// Reads a step's output; discards what exceeds the limit so that the step does not block.
pub async fn drain(pipe: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = (&mut pipe).take(OUTPUT_MAX_BYTES).read_to_end(&mut kept).await;
        let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_reach_the_far_shell_as_single_words() {
        let check = |word: &str, want: &str| assert_eq!(quote(word), want);
        check("plain", "'plain'");
        check("two words", "'two words'");
        check("$(rm -rf ~)", "'$(rm -rf ~)'");
        check("it's", r"'it'\''s'");
        check("", "''");
    }

    #[test]
    fn the_cause_of_a_refusal_is_told_apart() {
        let check = |said: &str, gave_password: bool, want: Silence| {
            assert_eq!(classify(said, gave_password).0, want)
        };
        check("ssh: connect to host 10.0.0.1 port 22: Connection timed out", false, Silence::Timeout);
        check("ssh: connect to host 10.0.0.1 port 22: Connection refused", false, Silence::Unreachable);
        check("ssh: connect to host 10.0.0.1 port 22: No route to host", false, Silence::Unreachable);
        check("ssh: Could not resolve hostname nix: Name or service not known", false, Silence::Unreachable);
        check("dkc@10.0.0.1: Permission denied (publickey,password).", false, Silence::Login);
        check("", true, Silence::Login);
        check("Bad configuration option: knownhostscommand", false, Silence::Other);
        check("", false, Silence::Other);
    }

    #[test]
    fn a_jump_host_is_seen_in_the_operators_configuration() {
        let check = |configuration: &str, want: bool| {
            assert_eq!(OwnConfiguration::parse(configuration).has_jump_host(), want)
        };
        check("user dkc\nproxyjump dkc@10.0.0.1\nport 22\n", true);
        check("proxycommand nc -X connect %h %p\n", true);
        check("proxycommand none\n", false);
        check("user dkc\nproxyusefdpass no\n", false);
    }

    #[test]
    fn an_option_that_this_ssh_does_not_know_is_left_out() {
        let check = |configuration: &str, want: bool| {
            assert_eq!(OwnConfiguration::parse(configuration).knows_gssapi_key_exchange, want)
        };
        check("user dkc\ngssapikeyexchange yes\n", true);
        check("user dkc\ngssapiauthentication yes\n", false);
    }

    #[test]
    fn only_a_key_that_was_shown_and_is_the_pinned_one_opens_a_connection() {
        let check = |verdict: Option<KeyVerdict>, want: bool| assert_eq!(key_was_checked(verdict), want);
        check(Some(KeyVerdict::Trusted), true);
        check(Some(KeyVerdict::Changed("SHA256:b".into())), false);
        check(Some(KeyVerdict::Unknown("SHA256:b".into())), false);
        check(None, false);
    }

    #[test]
    fn host_keys_are_always_checked_and_passwords_need_a_terminal() {
        for is_interactive in [true, false] {
            let options = fixed_options(is_interactive);
            assert!(options.contains(&"StrictHostKeyChecking=yes".to_owned()));
            assert!(options.contains(&"ForwardAgent=no".to_owned()));
            assert_eq!(options.contains(&"BatchMode=yes".to_owned()), !is_interactive);
        }
    }

    #[test]
    fn no_secret_is_in_the_arguments_or_the_environment_of_ssh() {
        // The command is built before any password is known, and nothing is added to it afterwards: what can be
        // checked is that it only holds paths, options and names.
        let host = dkc_inventory::model::Host {
            user: "dkc".into(),
            port: 2222,
            group: Vec::new(),
            host_key: Vec::new(),
            accept_new: false,
            data_dir: None,
            zone: None,
            local: false,
        };
        struct Ready;
        impl super::super::Asker for Ready {
            fn is_terminal(&self) -> bool {
                true
            }
            fn secret(&self, _: &str) -> Option<super::super::Secret> {
                Some(super::super::Secret::new("correct-horse".into()))
            }
            fn confirm(&self, _: &str, _: bool) -> bool {
                true
            }
        }
        let prompts = Arc::new(super::super::login::LoginPrompts::new(Arc::new(Ready)));
        let login = Login::new("10.0.0.1".parse().unwrap(), &host, prompts);
        let command = master_command(
            Path::new("/run/d/0"),
            Path::new("/run/d/0.ask"),
            &login,
            2222,
            &OwnConfiguration::default(),
        )
        .unwrap();
        let command = command.as_std();
        let arguments: Vec<String> =
            command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        assert!(arguments.windows(2).any(|pair| pair == ["-p", "2222"]));
        assert_eq!(arguments.last().map(String::as_str), Some("10.0.0.1"));
        let environment: Vec<_> =
            command.get_envs().filter_map(|(name, value)| Some((name, value?))).collect();
        let names: Vec<_> = environment.iter().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
        assert_eq!(names, ["DKC_ASKPASS_SOCKET", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE"]);
    }
}
