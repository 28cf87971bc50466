# Is process $1 the one that works in directory $2? Its command line says so: a process that has ended has none, even where
# nobody has collected it yet, and another one that got its number has a different one. Other programs may have the directory among
# their words too, such as the shell that asks this; after a reboot it may well have the same number.
alive() {
  case $1 in *[!0-9]*|'') return 1;; esac
  { tr '\0' '\n' < "/proc/$1/cmdline"; } 2>/dev/null | {
    read -r _ && read -r verb || return 1
    case $verb in run|supervise) grep -qxF -e "$2";; *) return 1;; esac
  }
}
# The process that file $2 of directory $1 names, if it lives.
holder() {
  set -- "$1" "$(head -n 1 "$1/run/$2" 2>/dev/null)"
  if alive "$2" "$1"; then echo "$2"; fi
}
