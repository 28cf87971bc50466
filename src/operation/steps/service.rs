//! Service managers: systemd (of the system or of the user) or dkcd's own supervisor, behind the same five
//! operations. *Invariant:* a node that was started returns after a reboot if the host has systemd or cron; a
//! stopped one does not.

use std::time::Duration;

use dkc_core::config::layout;
use dkc_inventory::observed::ServiceManager;

use crate::world::{Host, Input, STEP_LIMIT, Script, WorldError};

/// A graceful stop transfers leaderships first; the unit's own limit is 60 s.
const STOP_LIMIT: Duration = Duration::from_secs(90);
/// Log lines shown after a failure.
pub const LAST_LINES: u32 = 12;

/// `manage` calls the right systemd. $1 is always the manager.
macro_rules! with_systemd {
    ($script:literal) => {
        concat!(
            include_str!("../../world/alive.sh"),
            $crate::with_root!(r#"XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}; export XDG_RUNTIME_DIR
manage() {
  case $manager in
    system) as_root systemctl "$@";;
    user) systemctl --user "$@";;
  esac
}
unit_dir() {
  case $manager in
    system) echo /etc/systemd/system;;
    user) echo "${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user";;
  esac
}
# Lines of the user's crontab that begin the node in directory $1: with $2 it gets one, else it has none afterwards.
# One at a time on a host: whoever reads the crontab and writes it back undoes what another wrote in between.
begin_at_reboot() {
  command -v crontab >/dev/null 2>&1 || return 0
  (
    command -v flock >/dev/null 2>&1 && { exec 9< "${1%/*}" && flock 9; }
    # To cron, a percent sign that nothing protects is the end of the line.
    line=$(printf "@reboot '%s/dkcd' supervise --dir '%s'" "$1" "$1" | sed 's/%/\\%/g')
    before=$(crontab -l 2>/dev/null)
    after=$(printf '%s\n' "$before" | grep -vxF -e "$line")
    [ -z "${2:-}" ] || after="$after${after:+
}$line"
    if [ "$before" = "$after" ]; then exit 0; fi
    if [ -z "$after" ]; then crontab -r; else printf '%s\n' "$after" | crontab -; fi
  )
}
manager=$1; shift
"#),
            $script
        )
    };
}

/// $2 unit, $3 operation; the text comes in.
const INSTALL: &str = with_systemd!(
    r#"set -eu
umask 022
part=$(mktemp "${TMPDIR:-/tmp}/dkc-unit-$2.XXXXXX")
trap 'rm -f "$part"' EXIT
cat > "$part"
dir=$(unit_dir)
if [ "$manager" = system ]; then as_root install -m 644 "$part" "$dir/$1"
else
  mkdir -p "$dir"
  install -m 644 "$part" "$dir/$1"
  loginctl enable-linger
fi
manage daemon-reload
sync"#
);

/// $2 directory, $3 unit.
const START: &str = with_systemd!(
    r#"case $manager in
  cron|supervise)
    [ "$manager" = supervise ] || begin_at_reboot "$1" yes
    [ -z "$(holder "$1" dkcd.pid)" ] || exit 0
    mkdir -p "$1/log"
    # The supervisor detaches; its output is kept if the disk has room.
    said=$("$1/dkcd" supervise --dir "$1" </dev/null 2>&1) && exit 0
    status=$?
    { printf '%s\n' "$said" > "$1/log/start.log"; } 2>/dev/null
    printf '%s\n' "$said" | tail -n 5 >&2
    exit $status;;
  *)
    manage reset-failed "$2" 2>/dev/null
    manage enable "$2" 2>/dev/null
    sync
    manage start --no-block "$2";;
esac"#
);

const STOP: &str = with_systemd!(
    r#"case $manager in
  cron|supervise)
    begin_at_reboot "$1"
    [ -x "$1/dkcd" ] || exit 0
    exec "$1/dkcd" stop --dir "$1";;
  *)
    [ -e "$(unit_dir)/$2" ] || exit 0
    manage disable "$2" 2>/dev/null
    manage stop "$2"
    manage reset-failed "$2" 2>/dev/null
    exit 0;;
esac"#
);

const REMOVE: &str = with_systemd!(
    r#"case $manager in cron|supervise) exit 0;; esac
file=$(unit_dir)/$2
[ -e "$file" ] || exit 0
if [ "$manager" = system ]; then as_root rm -f "$file"; else rm -f "$file"; fi
manage daemon-reload"#
);

/// $1 directory, $2 unit: `running`, or why not. Finds this node's service manager itself.
const STATE: &str = concat!(
    include_str!("../../world/alive.sh"),
    r#"XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}; export XDG_RUNTIME_DIR
if [ -n "$(holder "$1" dkcd.pid)" ]; then
  if [ -n "$(holder "$1" daemon.lock)" ] || [ ! -s "$1/run/restarts" ]; then echo running
  else echo "it keeps crashing: $(head -n 1 "$1/run/restarts" | cut -d' ' -f2-)"; fi
  exit 0
fi
if [ -e "/etc/systemd/system/$2" ]; then state=$(systemctl show -p ActiveState -p SubState -p Result "$2")
elif [ -e "${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/$2" ]; then
  state=$(systemctl --user show -p ActiveState -p SubState -p Result "$2")
elif [ -s "$1/run/gave-up" ]; then echo "supervisor $(head -n 1 "$1/run/gave-up")"; exit 0
else echo "the process has ended"; exit 0; fi
case $state in
  *auto-restart*) echo "it keeps crashing; systemd is restarting it";;
  *ActiveState=activating*|*ActiveState=active*) echo running;;
  *Result=*) echo "systemd: ${state##*Result=}" | head -n 1;;
  *) echo "the process has ended";;
esac"#
);

/// $1 directory, $2 unit, $3 lines: first where the log is, then its end.
const LOG: &str = r#"XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}; export XDG_RUNTIME_DIR
if [ -e "/etc/systemd/system/$2" ]; then
  echo "journalctl -u $2"
  # Of a service of another user, a login may see nothing, which is no error.
  said=$(journalctl -q -n "$3" -o cat -u "$2" 2>/dev/null)
  if [ -n "$said" ]; then printf '%s\n' "$said"; else sudo -n journalctl -q -n "$3" -o cat -u "$2"; fi
elif [ -e "${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/$2" ]; then
  echo "journalctl --user -u $2"
  journalctl -q --user -n "$3" -o cat -u "$2"
elif [ -s "$1/log/dkcd.log" ]; then
  echo "$1/log/dkcd.log"
  tail -n "$3" "$1/log/dkcd.log"
else
  echo "$1/log/start.log"
  tail -n "$3" "$1/log/start.log"
fi 2>/dev/null
exit 0"#;

fn word(manager: ServiceManager) -> &'static str {
    match manager {
        ServiceManager::SystemdSystem => "system",
        ServiceManager::SystemdUser => "user",
        ServiceManager::Cron => "cron",
        ServiceManager::Supervise => "supervise",
    }
}

/// The unit of the node in this directory: both carry the node's name.
fn unit_of(dir: &str) -> String {
    format!("dkcd@{}.service", dir.rsplit('/').next().unwrap_or(dir))
}

pub async fn install(
    host: &Host,
    manager: ServiceManager,
    unit: &str,
    text: &str,
    operation: &str,
) -> Result<(), WorldError> {
    let arguments = [word(manager), unit, operation];
    let input = Input::Bytes(text.as_bytes());
    host.must(Script {
        what: "install service",
        text: INSTALL,
        arguments: &arguments,
        input,
        limit: STEP_LIMIT,
    })
    .await?;
    Ok(())
}

pub async fn start(host: &Host, manager: ServiceManager, dir: &str) -> Result<(), WorldError> {
    run(host, "start", START, &[word(manager), dir, &unit_of(dir)], STEP_LIMIT).await
}

pub async fn stop(host: &Host, manager: ServiceManager, dir: &str) -> Result<(), WorldError> {
    run(host, "stop", STOP, &[word(manager), dir, &unit_of(dir)], STOP_LIMIT).await
}

/// Stops the node and removes its service; its directory stays.
pub async fn remove(host: &Host, manager: ServiceManager, dir: &str) -> Result<(), WorldError> {
    stop(host, manager, dir).await?;
    run(host, "remove service", REMOVE, &[word(manager), dir, &unit_of(dir)], STEP_LIMIT).await
}

#[derive(Debug, PartialEq, Eq)]
pub enum NodeState {
    Running,
    Stopped(String),
}

pub async fn state(host: &Host, dir: &str) -> Result<NodeState, WorldError> {
    let arguments = [dir, &unit_of(dir)];
    let script =
        Script { what: "look", text: STATE, arguments: &arguments, input: Input::Nothing, limit: STEP_LIMIT };
    let said = host.must(script).await?.text().trim().to_owned();
    Ok(if said == "running" { NodeState::Running } else { NodeState::Stopped(said) })
}

/// The last lines of a node's log and where the log is. An unreadable log is empty: it is only read after another
/// failure.
pub async fn log(host: &Host, manager: ServiceManager, dir: &str, lines: u32) -> (Vec<String>, String) {
    let (tail, place) = log_anywhere(host, dir, lines).await;
    match (manager, tail.is_empty()) {
        (ServiceManager::Cron | ServiceManager::Supervise, true) => {
            (tail, format!("{dir}/{}", layout::LOG_FILE))
        }
        _ => (tail, place),
    }
}

pub async fn log_anywhere(host: &Host, dir: &str, lines: u32) -> (Vec<String>, String) {
    let (unit, lines) = (unit_of(dir), lines.to_string());
    let arguments = [dir, unit.as_str(), lines.as_str()];
    let script = Script {
        what: "read log",
        text: LOG,
        arguments: &arguments,
        input: Input::Nothing,
        limit: STEP_LIMIT,
    };
    let text = host.must(script).await.map(|output| output.text()).unwrap_or_default();
    let mut lines = text.lines().map(str::to_owned);
    let place = lines.next().unwrap_or_else(|| format!("{dir}/{}", layout::LOG_FILE));
    (lines.collect(), place)
}

async fn run(
    host: &Host,
    what: &'static str,
    text: &str,
    arguments: &[&str],
    limit: Duration,
) -> Result<(), WorldError> {
    host.must(Script { what, text, arguments, input: Input::Nothing, limit }).await?;
    Ok(())
}
