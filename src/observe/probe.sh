# Asked of every host: facts, one a line, a word and a value with a tab between them. It changes nothing.
# After root.sh. $1 the root or "-", $2 "supervise" when systemd shall be left alone, "kept" when only who keeps the nodes that
# are there matters, else "any": what would keep a node that is installed now; $3 whether this login may sudo: "yes", "no", or "try",
# which leaves a line in a log when it is refused and is only done for "any"; $4 how many nodes follow, then the nodes, then
# HOST:PORT words to try to reach.
LC_ALL=C; export LC_ALL
PATH=$PATH:/usr/sbin:/sbin
say() { printf '%s\t%s\n' "$1" "$2"; }
digest() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum; elif command -v shasum >/dev/null 2>&1; then shasum -a 256
  else openssl dgst -sha256 -r; fi 2>/dev/null | cut -d' ' -f1
}
asked_root=$1 service=$2 sudo=$3 count=$4; shift 4

say architecture "$(uname -m)"
say kernel "$(uname -sr)"
say libc "$( (ldd --version 2>&1 || echo unknown) | head -n 1)"
say machine "$(cat /etc/machine-id 2>/dev/null)"
say user "$(id -un)"

user_dir=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}
may_linger() {
  [ -e "/var/lib/systemd/linger/$(id -un)" ] && return 0
  command -v pkcheck >/dev/null 2>&1 || return 1
  pkcheck --action-id org.freedesktop.login1.set-self-linger --process $$ >/dev/null 2>&1
}
may_be_root() {
  [ "$(id -u)" = 0 ] && return 0
  if [ "$sudo" = try ]; then
    sudo=no
    sudo -n true 2>/dev/null && sudo=yes
    say sudo "$sudo"
  fi
  [ "$sudo" = yes ]
}
# Whoever keeps a node goes on keeping it: after sudo has come or gone, the other manager could not stop its daemon.
user_units=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user
kept='' left=$count
for name in "$@"; do
  [ "$left" -gt 0 ] || break
  left=$((left - 1))
  if [ -e "/etc/systemd/system/dkcd@$name.service" ]; then kept=system
  elif [ -z "$kept" ] && [ -e "$user_units/dkcd@$name.service" ]; then kept=user
  elif [ -z "$kept" ] && [ "$service" = kept ] && [ -e "$root/$name/dkcd" ]; then kept=own; fi
done
if [ "$service" != supervise ] && [ -d /run/systemd/system ]; then
  if [ -n "$kept" ]; then service=$kept
  elif may_be_root; then service=system
  elif XDG_RUNTIME_DIR=$user_dir systemctl --user show-environment >/dev/null 2>&1 && may_linger; then service=user
  else service=own; fi
elif [ "$service" != supervise ]; then service=own; fi
# Who keeps nodes as root can make a place for them that is open to the system users they run as; a home directory is not.
if [ "$service" = system ] && [ -z "$kept" ] && [ "$asked_root" = - ] && [ ! -e "$root/.dkc-root" ] && [ ! -e /var/lib/dkc ]; then
  root=/var/lib/dkc is_made_by_root=yes
fi

say root "$root"
[ -e "$root/.dkc-root" ] && say marker yes
# A file system of its own has lost+found, which is nobody's.
if [ ! -e "$root/.dkc-root" ] && [ -n "$(ls -A "$root" 2>/dev/null | grep -v -x "lost+found")" ]; then say foreign yes; fi
at=$root
while [ ! -e "$at" ] && [ "$at" != / ] && [ -n "$at" ]; do at=${at%/*}; [ -n "$at" ] || at=/; done
[ -d "$at" ] && { [ -w "$at" ] || [ -n "${is_made_by_root:-}" ]; } && say writable yes
# Whoever else may write there can put a program of his own in the place of ours. The sticky bit is not enough.
exposed() { # exposed DIR: why it is; nothing where it is not
  [ -d "$1" ] && ls -ldnL "$1" 2>/dev/null | awk -v me="$(id -u)" '
    $3 != me && $3 != 0 { print "it belongs to user " $3; next }
    substr($1, 6, 1) == "w" || substr($1, 9, 1) == "w" { print "others may write there (" substr($1, 1, 10) ")" }'
}
why=$(exposed "$root")
[ -n "$why" ] && say exposed "$why"
say free_kb "$(df -Pk "$at" 2>/dev/null | awk 'NR==2 {print $4}')"

# Somebody must carry out the crontab, and the user must be allowed to have one.
cron_runs() {
  for file in /proc/[0-9]*/comm; do
    { read -r comm < "$file"; } 2>/dev/null && case $comm in cron|crond|cronie|fcron|busybox-cron) return 0;; esac
  done
  return 1
}
may_have_crontab() {
  command -v crontab >/dev/null 2>&1 || return 1
  said=$(crontab -l 2>&1 >/dev/null </dev/null) || case $said in *'no crontab'*|*"can't open"*) ;; *) return 1;; esac
}
if [ "$service" = user ]; then
  why=$(exposed "$user_dir")
  [ -n "$why" ] && say runtime_exposed "$user_dir $why"
fi
if [ "$service" = own ]; then
  if cron_runs && may_have_crontab; then service=cron; else service=supervise; fi
fi
say service "$service"

# Why nodes cannot each run as a system user of their cluster. What they keep is open to the group of the login user.
passes() { # may everybody pass through the directories on the way to $1?
  way=$1
  while [ -n "$way" ]; do
    [ ! -d "$way" ] || case $(ls -ldL "$way") in ?????????[xt]*) ;; *) return 1;; esac
    way=${way%/*}
  done
}
others_in_group() {
  getent group "$(id -gn)" | cut -d: -f4 | tr ',' '\n' | grep -vx -e "$(id -un)" -e ''
}
if [ "$service" = system ]; then
  if [ "$(id -gn)" != "$(id -un)" ]; then say login_user_only "the login user's group $(id -gn) is not its own"
  elif [ -n "$(others_in_group)" ]; then say login_user_only "the login user's group $(id -gn) has other members"
  elif ! passes "$root"; then say login_user_only "other users may not pass through the directories to $root"
  else
    for program in useradd setpriv getent; do
      command -v "$program" >/dev/null 2>&1 || { say login_user_only "there is no $program"; break; }
    done
  fi
fi

for program in "$root"/bin/*/dkc; do
  [ -x "$program" ] && { d=${program%/dkc}; say program "${d##*/} $(wc -c < "$program")"; }
done
for table in tcp tcp6; do
  [ -r "/proc/net/$table" ] && awk '$4 == "0A" {print "listen\t" $2}' "/proc/net/$table"
done

ask_systemd() {
  if [ "$service" = system ]; then systemctl "$@"; else XDG_RUNTIME_DIR=$user_dir systemctl --user "$@"; fi
}
# Where only the node's own user may read the key, its certificate is in a file beside it. Without its key a certificate is of no use.
certificates() {
  [ -s "$1.pem" ] || return 0
  if [ -r "$1.pem" ]; then set -- "$1.pem" "$2"; else set -- "$1.crt" "$2"; fi
  [ -f "$1" ] && sed -n "/-BEGIN CERTIFICATE-/,/-END CERTIFICATE-/s/^/$2	/p" "$1"
}
node() {
  name=$1 dir=$root/$1
  say node "$name"
  [ -d "$dir" ] || return
  say exists yes
  say owner "$(ls -ld "$dir" | awk '{print $3}')"
  [ -r "$dir" ] && [ -x "$dir" ] || { say closed yes; return; }
  say node_marker "$(head -n 1 "$dir/.dkc-node" 2>/dev/null)"
  # What a power cut left empty; zeros are what some file systems make of it.
  for file in .dkc-node tls/node.pem; do
    [ -r "$dir/$file" ] && [ -z "$(head -c 64 "$dir/$file" | tr -d '\0\n ')" ] && say torn "$file"
  done
  say identity "$(head -n 1 "$dir/data/identity" 2>/dev/null)"
  say link "$(readlink "$dir/dkcd" 2>/dev/null)"
  say link_before "$(readlink "$dir/dkcd.before" 2>/dev/null)"
  case $service in
    system) unit=/etc/systemd/system/dkcd@$name.service;;
    user) unit=$user_units/dkcd@$name.service;;
    *) unit=;;
  esac
  for file in node.yaml tls/ca.pem tls/node.pem; do
    [ -r "$dir/$file" ] && say "file" "$(digest < "$dir/$file") $file"
  done
  [ -n "$unit" ] && [ -f "$unit" ] && say "file" "$(digest < "$unit") unit"
  [ -f "$dir/node.yaml" ] && sed 's/^/config	/' "$dir/node.yaml"
  # The keys in the same files stay where they are.
  certificates "$dir/tls/node" certificate
  certificates "$dir/tls/issuer" issuer
  pid=$(holder "$dir" dkcd.pid)
  [ -n "$pid" ] && say pid "$pid"
  pid=$(holder "$dir" daemon.lock)
  [ -n "$pid" ] && say daemon "$pid"
  [ -f "$dir/run/restarts" ] && say restarts "$(head -n 1 "$dir/run/restarts")"
  [ -f "$dir/data/PUT_BACK" ] && say put_back "$(head -n 1 "$dir/data/PUT_BACK")"
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
