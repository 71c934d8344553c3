# QEMU's own reader of migration streams, scripts/analyze-migration.py, which the tests hold `fixedram devices` against: from the
# source package of Debian's backports (40 MB, one file of it is kept), in .cache/analyze-migration. Nothing is installed. Sourced
# after common.sh and qemu-10.sh.

analyze_migration=$cache/analyze-migration/analyze-migration.py

fetch_analyze_migration() {
  if [ -e "$analyze_migration" ]; then return 0; fi
  local codename work log=$cache/analyze-migration.log
  codename=$(. /etc/os-release && [ "$ID" = debian ] && echo "$VERSION_CODENAME")
  if [ -z "$codename" ]; then
    problem "the tests need QEMU's scripts/analyze-migration.py; on Debian it comes from the source package, here put it into .cache/analyze-migration by hand"
    return 0
  fi
  rm -rf "$cache"/analyze-migration.new.*
  work=$cache/analyze-migration.new.$$
  mkdir -p "$work"
  say "fetching QEMU's source for analyze-migration.py (about 40 MB)"
  if ! download_analyze_migration "$work" "$codename" >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    problem "could not fetch analyze-migration.py (all of it in ${log#"$root"/})"
    rm -rf "$work"
    return 0
  fi
  rm -rf "$cache/analyze-migration"
  mv "$work" "$cache/analyze-migration"
}

download_analyze_migration() {
  local work=$1 codename=$2 mirror apt=$1/apt source
  mirror=$(system_mirror "$codename")
  if [ -z "$mirror" ]; then
    echo "the system's apt names no mirror for $codename (apt-get update first?)"
    return 1
  fi
  write_apt_configuration "$apt" "$mirror" "$codename-backports"
  sed -i 's/^deb /deb-src /' "$apt/sources.list"
  apt-get -q -c "$apt/apt.conf" update || return 1
  # The packaging's own files may be gone from a mirror already; the source is what counts.
  (cd "$apt/debs" && apt-get -q -c "$apt/apt.conf" source --download-only qemu)
  source=$(ls "$apt"/debs/qemu_*.orig.tar.xz 2>/dev/null | head -n 1)
  [ -n "$source" ] || return 1
  tar -xJf "$source" -C "$work" --strip-components=2 --wildcards '*/scripts/analyze-migration.py' || return 1
  rm -rf "$apt"
  [ -e "$work/analyze-migration.py" ]
}
