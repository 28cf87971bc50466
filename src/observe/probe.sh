# Asked of every host: facts, one a line, a word and a value with a tab between them. It changes nothing.
# After root.sh. $1 the root or "-", $2 "supervise" when systemd shall be left alone, $3 how many nodes follow, then the nodes,
# then HOST:PORT words to try to reach.
LC_ALL=C; export LC_ALL
PATH=$PATH:/usr/sbin:/sbin
say() { printf '%s\t%s\n' "$1" "$2"; }
digest() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum; elif command -v shasum >/dev/null 2>&1; then shasum -a 256
  else openssl dgst -sha256 -r; fi 2>/dev/null | cut -d' ' -f1
}
service=$2 count=$3; shift 3

say architecture "$(uname -m)"
say kernel "$(uname -sr)"
say libc "$( (ldd --version 2>&1 || echo unknown) | head -n 1)"
say machine "$(cat /etc/machine-id 2>/dev/null)"
say user "$(id -un)"

say root "$root"
[ -e "$root/.dkc-root" ] && say marker yes
# A file system of its own has lost+found, which is nobody's.
if [ ! -e "$root/.dkc-root" ] && [ -n "$(ls -A "$root" 2>/dev/null | grep -v -x "lost+found")" ]; then say foreign yes; fi
at=$root
while [ ! -e "$at" ] && [ "$at" != / ] && [ -n "$at" ]; do at=${at%/*}; [ -n "$at" ] || at=/; done
[ -d "$at" ] && [ -w "$at" ] && say writable yes
say free_kb "$(df -Pk "$at" 2>/dev/null | awk 'NR==2 {print $4}')"

user_dir=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}
may_linger() {
  [ -e "/var/lib/systemd/linger/$(id -un)" ] && return 0
  command -v pkcheck >/dev/null 2>&1 || return 1
  pkcheck --action-id org.freedesktop.login1.set-self-linger --process $$ >/dev/null 2>&1
}
# Whoever keeps a node goes on keeping it: after sudo has come or gone, the other manager could not stop its daemon.
user_units=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user
kept='' left=$count
for name in "$@"; do
  [ "$left" -gt 0 ] || break
  left=$((left - 1))
  if [ -e "/etc/systemd/system/dkcd@$name.service" ]; then kept=system
  elif [ -z "$kept" ] && [ -e "$user_units/dkcd@$name.service" ]; then kept=user; fi
done
if [ "$service" != supervise ] && [ -d /run/systemd/system ]; then
  if [ -n "$kept" ]; then service=$kept
  elif [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; then service=system
  elif XDG_RUNTIME_DIR=$user_dir systemctl --user show-environment >/dev/null 2>&1 && may_linger; then service=user
  else service=supervise; fi
else service=supervise; fi
say service "$service"

for program in "$root"/bin/*/dkc; do
  [ -x "$program" ] && { d=${program%/dkc}; say program "${d##*/}"; }
done
for table in tcp tcp6; do
  [ -r "/proc/net/$table" ] && awk '$4 == "0A" {print "listen\t" $2}' "/proc/net/$table"
done

ask_systemd() {
  if [ "$service" = system ]; then systemctl "$@"; else XDG_RUNTIME_DIR=$user_dir systemctl --user "$@"; fi
}
node() {
  name=$1 dir=$root/$1
  say node "$name"
  [ -d "$dir" ] || return
  say exists yes
  say node_marker "$(head -n 1 "$dir/.dkc-node" 2>/dev/null)"
  say identity "$(head -n 1 "$dir/data/identity" 2>/dev/null)"
  say link "$(readlink "$dir/dkcd" 2>/dev/null)"
  case $service in
    system) unit=/etc/systemd/system/dkcd@$name.service;;
    user) unit=$user_units/dkcd@$name.service;;
    *) unit=;;
  esac
  for file in node.yaml tls/ca.pem tls/node.pem; do
    [ -f "$dir/$file" ] && say "file" "$(digest < "$dir/$file") $file"
  done
  [ -n "$unit" ] && [ -f "$unit" ] && say "file" "$(digest < "$unit") unit"
  [ -f "$dir/node.yaml" ] && sed 's/^/config	/' "$dir/node.yaml"
  [ -f "$dir/tls/node.pem" ] && sed 's/^/certificate	/' "$dir/tls/node.pem"
  pid=$(head -n 1 "$dir/run/dkcd.pid" 2>/dev/null)
  case $pid in *[!0-9]*|'') ;; *) [ -d "/proc/$pid" ] && say pid "$pid";; esac
  [ -f "$dir/run/gave-up" ] && say gave_up "$(head -n 1 "$dir/run/gave-up")"
  if [ -n "$unit" ] && [ -f "$unit" ]; then
    ask_systemd show -p ActiveState -p SubState -p MainPID -p Result -p NRestarts "dkcd@$name.service" 2>/dev/null |
      sed 's/^/unit	/'
  fi
  if [ -f "$dir/log/dkcd.log" ]; then tail -n 12 "$dir/log/dkcd.log" | cut -c 1-400 | sed 's/^/log	/'
  elif [ -n "$unit" ] && command -v journalctl >/dev/null 2>&1; then
    if [ "$service" = user ]; then set -- --user; else set --; fi
    journalctl "$@" -q -n 12 -o cat -u "dkcd@$name.service" 2>/dev/null | cut -c 1-400 | sed 's/^/log	/'
  fi
}
while [ "$count" -gt 0 ]; do
  ( node "$1" )
  shift; count=$((count - 1))
done

# A refused connection proves the way as well as an accepted one; silence does not.
reach() {
  host=${1%:*} port=${1##*:}
  host=${host#[}; host=${host%]}
  if command -v bash >/dev/null 2>&1; then
    said=$(timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$host" "$port" 2>&1) && { say reach "$1 yes"; return; }
  elif command -v nc >/dev/null 2>&1; then
    said=$(nc -v -z -w 3 "$host" "$port" 2>&1) && { say reach "$1 yes"; return; }
  else return; fi
  case $said in *[Rr]efused*) say reach "$1 yes";; *) say reach "$1 no";; esac
}
for word in "$@"; do reach "$word" & done
wait
say end yes
