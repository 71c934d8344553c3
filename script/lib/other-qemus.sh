# QEMUs of other Debian releases and for another machine, for the tests of files that they make: unpacked under .cache/qemus/NAME,
# nothing installed. To be sourced after common.sh and qemu-10.sh. Needs no root.
#
#   debian-11   QEMU 5.2, x86, with the libraries of its release
#   sid         the newest QEMU, x86, with the libraries of its release
#   arm-old     QEMU for aarch64 of this release
#   arm-new     the same from backports

other_qemus=$cache/qemus

fetch_other_qemus() {
  local codename
  mkdir -p "$other_qemus"
  codename=$(. /etc/os-release && [ "$ID" = debian ] && echo "$VERSION_CODENAME")
  if [ -z "$codename" ]; then
    problem "the tests of other QEMUs' files need Debian's packages; this is another system, they can't run here"
    return 0
  fi
  fetch_other_qemu debian-11 bullseye qemu-system-x86_64 whole qemu-system-x86
  fetch_other_qemu sid sid qemu-system-x86_64 whole qemu-system-x86
  fetch_other_qemu arm-old "$codename" qemu-system-aarch64 beside qemu-system-arm
  fetch_other_qemu arm-new "$codename-backports" qemu-system-aarch64 beside qemu-system-arm qemu-system-common qemu-system-data
}

# $1 name, $2 suite, $3 program, $4 whole (with every library, and the loader) or beside (with the system's), $5... packages
fetch_other_qemu() {
  local label=$1 suite=$2 program=$3 how=$4 work log version
  shift 4
  if [ -e "$other_qemus/$label/complete" ]; then return 0; fi
  if [ "$(uname -m)" != x86_64 ]; then
    problem "the tests of other QEMUs' files need an x86 machine"
    return 0
  fi
  rm -rf "$other_qemus/$label".new.*
  work=$other_qemus/$label.new.$$ log=$cache/qemu-$label.log
  mkdir -p "$work"
  say "fetching QEMU of $suite ($program)"
  if ! download_other_qemu "$work" "$suite" "$how" "$@" >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    problem "could not fetch QEMU of $suite (all of it in ${log#"$root"/})"
    rm -rf "$work"
    return 0
  fi
  write_other_wrapper "$work" "$program" "$how"
  version=$(qemu_version "$work/$program")
  if [ -z "$version" ]; then
    problem "QEMU of $suite does not start: $("$work/$program" --version 2>&1 | head -n 1)"
    rm -rf "$work"
    return 0
  fi
  echo "$version" >"$work/complete"
  rm -rf "${other_qemus:?}/$label"
  mv "$work" "$other_qemus/$label"
  say "QEMU $version ($program) is in .cache/qemus/$label"
}

download_other_qemu() {
  local work=$1 suite=$2 how=$3 mirror deb apt=$1/apt
  shift 3
  mirror=$(system_mirror "$(. /etc/os-release && echo "$VERSION_CODENAME")")
  if [ -z "$mirror" ]; then
    echo "the system's apt names no mirror (apt-get update first?)"
    return 1
  fi
  write_apt_configuration "$apt" "$mirror" "$suite"
  apt-get -q -c "$apt/apt.conf" update || return 1
  if [ "$how" = whole ]; then
    # As if nothing were installed, so that every library comes.
    : >"$apt/status"
    apt-get -q -y -c "$apt/apt.conf" -o Dir::State::status="$apt/status" -o APT::Install-Recommends=false \
      -o Debug::NoLocking=true --download-only install "$@" || return 1
    mv "$apt"/archives/*.deb "$apt/debs/" || return 1
  else
    (cd "$apt/debs" && apt-get -q -c "$apt/apt.conf" download "${@/%//$suite}") || return 1
  fi
  for deb in "$apt"/debs/*.deb; do
    # A release that keeps libraries in lib has files there; a later one links it, and then usr/lib is what they are in.
    dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$work" --keep-directory-symlink || return 1
  done
  rm -rf "$apt" "$work"/usr/share/{doc,locale,man,info,icons} "$work"/{etc,var}
}

write_other_wrapper() {
  local work=$1 program=$2 how=$3 machine loader
  machine=$(dpkg-architecture_multiarch)
  loader=$(cd "$work" && find . -path "*/$machine/ld-*" -type f | head -n 1)
  {
    echo '#!/bin/sh'
    echo '# With its own libraries, firmware and modules, not those of the system.'
    echo 'here=$(dirname "$(readlink -f "$0")")'
    echo "export QEMU_MODULE_DIR=\$here/usr/lib/$machine/qemu"
    # shellcheck disable=SC2016
    if [ "$how" = whole ]; then
      echo "exec \"\$here/$loader\" --library-path \"\$here/usr/lib/$machine:\$here/lib/$machine\" \\"
      echo "  \"\$here/usr/bin/$program\" -L \"\$here/usr/share/qemu\" -L \"\$here/usr/share/seabios\" \"\$@\""
    else
      echo "exec \"\$here/usr/bin/$program\" -L \"\$here/usr/share/qemu\" -L /usr/share/qemu \"\$@\""
    fi
  } >"$work/$program"
  chmod 755 "$work/$program"
}
