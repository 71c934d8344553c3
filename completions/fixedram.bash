# bash completions for fixedram; made by `fixedram completions bash`
_fixedram_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur"); }
_fixedram_files() { compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); }
_fixedram_folders() { compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$cur"); }
_fixedram_snapshots() {
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -d -- "$cur"; compgen -f -X '!*.fram' -- "$cur")
}

_fixedram() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= word i
  COMPREPLY=()
  # --option=value comes as three words.
  if [[ $cur == = ]]; then
    cur=
  elif [[ $prev == = && COMP_CWORD -ge 2 ]]; then
    prev=${COMP_WORDS[COMP_CWORD-2]}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case $command:$word in
      resume:--) _fixedram_tail $((i + 1)); return ;;
      clone:--) _fixedram_tail $((i + 1)); return ;;
      :-*) ;;
      :*) command=$word ;;
    esac
  done
  case $command:$prev in
    save:--qmp) _fixedram_files; return ;;
    save:--mode) _fixedram_words "stop live background"; return ;;
    save:--then) _fixedram_words "resume pause quit"; return ;;
    save:--max-bandwidth) :; return ;;
    save:--max-time) :; return ;;
    save:--max-rounds) :; return ;;
    save:--on-limit) _fixedram_words "stop abort"; return ;;
    save:--transport) _fixedram_words "auto stream multifd mapped-ram"; return ;;
    save:--direct-io) _fixedram_words "auto on off"; return ;;
    save:--socket-dir) _fixedram_folders; return ;;
    save:--listen) :; return ;;
    resume:--qmp) _fixedram_files; return ;;
    resume:--id) :; return ;;
    resume:--socket-dir) _fixedram_folders; return ;;
    resume:--prefetch) _fixedram_files; return ;;
    resume:--around) :; return ;;
    resume:--push-rate) :; return ;;
    resume:--events) _fixedram_files; return ;;
    resume:--listen) :; return ;;
    resume:--offset) :; return ;;
    clone:--count) :; return ;;
    clone:--overlay-dir) _fixedram_folders; return ;;
    clone:--id) :; return ;;
    clone:--socket-dir) _fixedram_folders; return ;;
    clone:--prefetch) _fixedram_files; return ;;
    clone:--around) :; return ;;
    clone:--push-rate) :; return ;;
    recover:--qmp) _fixedram_files; return ;;
    recover:--around) :; return ;;
    recover:--push-rate) :; return ;;
    info:--offset) :; return ;;
    map:--block) :; return ;;
    map:--width) :; return ;;
    map:--offset) :; return ;;
    map:--export) _fixedram_files; return ;;
    view:--listen) :; return ;;
    verify:--id) :; return ;;
    verify:--offset) :; return ;;
    seal:--offset) :; return ;;
    convert:--to) _fixedram_words "fixed-ram stream libvirt-sparse raw"; return ;;
    convert:--xml) _fixedram_files; return ;;
    convert:--offset) :; return ;;
    diff:--hex) :; return ;;
    diff:--pages-out) _fixedram_files; return ;;
    export:--format) _fixedram_words "elf kdump lime raw"; return ;;
    export:--map) :; return ;;
    export:--offset) :; return ;;
    read:--block) :; return ;;
    read:--cpu) :; return ;;
    read:--map) :; return ;;
    read:--offset) :; return ;;
    translate:--cpu) :; return ;;
    translate:--map) :; return ;;
    translate:--offset) :; return ;;
    search:--block) :; return ;;
    search:--limit) :; return ;;
    search:--map) :; return ;;
    search:--offset) :; return ;;
    strings:--min) :; return ;;
    strings:--block) :; return ;;
    strings:--limit) :; return ;;
    strings:--map) :; return ;;
    strings:--offset) :; return ;;
    devices:--instance) :; return ;;
    devices:--offset) :; return ;;
    cpus:--cpu) :; return ;;
    cpus:--offset) :; return ;;
    gdb:--port) :; return ;;
    gdb:--map) :; return ;;
    gdb:--offset) :; return ;;
  esac
  if [[ $cur == -* ]]; then
    case $command in
      save) _fixedram_words "--qmp --mode --then --max-bandwidth --max-time --max-rounds --on-limit --transport --direct-io --socket-dir --view --listen --no-open --force --json --quiet -q --help -h" ;;
      resume) _fixedram_words "--qmp --lazy --paused --run-recorded --verify --id --socket-dir --force --prefetch --around --push-rate --events --view --listen --no-open --offset --big-endian --little-endian --json --quiet -q --help -h" ;;
      clone) _fixedram_words "--count -n --overlay-dir --paused --run-recorded --verify --id --socket-dir --prefetch --around --push-rate --force --big-endian --little-endian --json --quiet -q --help -h" ;;
      recover) _fixedram_words "--qmp --verify --around --push-rate --force --big-endian --little-endian --json --quiet -q --help -h" ;;
      info) _fixedram_words "--keep-index --offset --big-endian --little-endian --json --quiet -q --help -h" ;;
      map) _fixedram_words "--block --width --keep-index --offset --big-endian --little-endian --export --json --quiet -q --help -h" ;;
      view) _fixedram_words "--listen --no-open --big-endian --little-endian --json --quiet -q --help -h" ;;
      verify) _fixedram_words "--deep --id --offset --big-endian --little-endian --json --quiet -q --help -h" ;;
      seal) _fixedram_words "--offset --big-endian --little-endian --json --quiet -q --help -h" ;;
      repair) _fixedram_words "--json --quiet -q --help -h" ;;
      convert) _fixedram_words "--to --xml --force --offset --big-endian --little-endian --json --quiet -q --help -h" ;;
      diff) _fixedram_words "--hex --pages-out --trust-seals --keep-index --big-endian --little-endian --json --quiet -q --help -h" ;;
      export) _fixedram_words "--format --map --force --keep-index --offset --big-endian --little-endian --json --quiet -q --help -h" ;;
      read) _fixedram_words "--block --physical --virtual --cpu --map --hex --raw --u64 --string --keep-index --offset --big-endian --little-endian --json --quiet -q --help -h" ;;
      translate) _fixedram_words "--cpu --map --keep-index --offset --big-endian --little-endian --json --quiet -q --help -h" ;;
      search) _fixedram_words "--as-hex --regex --utf16 --ignore-case -i --block --limit --map --keep-index --offset --big-endian --little-endian --json --quiet -q --help -h" ;;
      strings) _fixedram_words "--min --utf16 --block --limit --map --keep-index --offset --big-endian --little-endian --json --quiet -q --help -h" ;;
      devices) _fixedram_words "--instance --full --keep-index --offset --big-endian --little-endian --json --quiet -q --help -h" ;;
      cpus) _fixedram_words "--cpu --keep-index --offset --big-endian --little-endian --json --quiet -q --help -h" ;;
      gdb) _fixedram_words "--port --stdio --once --map --keep-index --offset --big-endian --little-endian --json --quiet -q --help -h" ;;
      doctor) _fixedram_words "--json --quiet -q --help -h" ;;
      completions) _fixedram_words "--json --quiet -q --help -h" ;;
      "") _fixedram_words "--version -V --help -h" ;;
    esac
    return
  fi
  case $command in
    save) _fixedram_snapshots ;;
    resume) _fixedram_snapshots ;;
    clone) _fixedram_snapshots ;;
    recover) _fixedram_snapshots ;;
    info) _fixedram_snapshots ;;
    map) _fixedram_snapshots ;;
    view) _fixedram_snapshots ;;
    verify) _fixedram_snapshots ;;
    seal) _fixedram_snapshots ;;
    repair) _fixedram_snapshots ;;
    convert) _fixedram_snapshots ;;
    diff) _fixedram_snapshots ;;
    export) _fixedram_snapshots ;;
    read) _fixedram_snapshots ;;
    translate) _fixedram_snapshots ;;
    search) _fixedram_snapshots ;;
    strings) _fixedram_snapshots ;;
    devices) _fixedram_snapshots ;;
    cpus) _fixedram_snapshots ;;
    gdb) _fixedram_snapshots ;;
    completions) _fixedram_words "bash zsh fish powershell" ;;
    help) _fixedram_words "save resume clone recover info map view verify seal repair convert diff export read translate search strings devices cpus gdb doctor completions" ;;
    "") _fixedram_words "save resume clone recover info map view verify seal repair convert diff export read translate search strings devices cpus gdb doctor completions help" ;;
  esac
}

# The words from $1 on are another command.
_fixedram_tail() {
  if declare -F _comp_command_offset >/dev/null; then
    _comp_command_offset "$1"
  elif declare -F _command_offset >/dev/null; then
    _command_offset "$1"
  elif ((COMP_CWORD == $1)); then
    mapfile -t COMPREPLY < <(compgen -c -- "$cur")
  else
    _fixedram_files
  fi
}

complete -F _fixedram fixedram
