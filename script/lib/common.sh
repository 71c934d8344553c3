# Shared by the scripts: where we are, how we speak, what is missing. To be sourced by bash.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
cache=$root/.cache
problems=()

say() { printf '%s: %s\n' "$name" "$*" >&2; }
# A failed step is remembered, and the script goes on with what it can; finish() sets the exit status.
problem() {
  problems+=("$*")
  say "PROBLEM: $*"
}
die() {
  say "$*"
  exit 1
}
finish() {
  if [ ${#problems[@]} -eq 0 ]; then return 0; fi
  say "not complete, ${#problems[@]} problem(s):"
  printf '  - %s\n' "${problems[@]}" >&2
  return 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# One setup at a time in this checkout: the second waits, then finds everything done.
lock() {
  mkdir -p "$cache"
  exec 9>"$cache/setup.lock"
  if ! have flock; then return 0; fi
  if ! flock -n 9; then
    say "another setup is running in this checkout, waiting for it"
    flock 9
  fi
}
