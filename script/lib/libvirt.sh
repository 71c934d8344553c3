#!/usr/bin/env bash
# A real libvirt (>= 11) for the tests, whose daemon is started in namespaces of its own (test/qemu/libvirt/daemon.sh): Debian's
# backports build, unpacked under .cache/libvirt, nothing installed. Needs no root. Sourced by script/setup after common.sh and
# qemu-10.sh, or run by itself.
if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  set -u
  name=libvirt
  . "$(dirname "$0")/common.sh"
  . "$root/script/lib/qemu-10.sh"
fi

libvirt=$cache/libvirt
libvirt_needs=(
  libvirt-common libvirt0 libvirt-clients libvirt-daemon libvirt-daemon-common libvirt-daemon-log libvirt-daemon-driver-qemu
)
# Backports does not bring what it does not change. lzop: one of libvirt's image formats.
libvirt_old_needs=(libssh-4 lzop liblzo2-2)

fetch_libvirt() {
  if [ -e "$libvirt/complete" ]; then return 0; fi
  local codename work log missing
  codename=$(. /etc/os-release && [ "$ID" = debian ] && echo "$VERSION_CODENAME")
  # What it is run with: QEMU 10's own libraries come with the system's QEMU.
  if [ -z "$codename" ]; then
    problem "the libvirt tests need libvirt >= 11 from Debian's backports; this is another system, they can't run here"
    return 0
  fi
  if [ ! -x "$cache/qemu-10/usr/bin/qemu-system-x86_64" ]; then
    problem "the libvirt tests need the QEMU of .cache/qemu-10 as fetched from backports, which is not there"
    return 0
  fi
  rm -rf "$cache"/libvirt.new.*
  work=$cache/libvirt.new.$$ log=$cache/libvirt.log
  mkdir -p "$work"
  say "fetching libvirt from $codename-backports (about 4 MB)"
  if ! download_libvirt "$work" "$codename" >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    problem "could not fetch libvirt (all of it in ${log#"$root"/})"
    rm -rf "$work"
    return 0
  fi
  missing=$(libvirt_missing_libraries "$work")
  if [ -n "$missing" ]; then
    problem "libvirt can't run here, libraries are missing: $missing"
    rm -rf "$work"
    return 0
  fi
  libvirt_version "$work" >"$work/complete"
  rm -rf "$libvirt"
  mv "$work" "$libvirt"
  say "libvirt $(cat "$libvirt/complete") is in .cache/libvirt"
}

libvirt_libraries() { echo "$1/usr/lib/$(dpkg-architecture_multiarch)"; }

libvirt_version() { LD_LIBRARY_PATH=$(libvirt_libraries "$1") "$1/usr/bin/virsh" --version; }

libvirt_missing_libraries() {
  LD_LIBRARY_PATH=$(libvirt_libraries "$1") ldd "$1/usr/sbin/libvirtd" "$1/usr/bin/virsh" \
    "$(libvirt_libraries "$1")"/libvirt/connection-driver/libvirt_driver_qemu.so | sed -n 's/ => not found//p' | sort -u | tr -d '\t' | tr '\n' ' '
}

download_libvirt() {
  local work=$1 codename=$2 mirror deb apt=$1/apt
  mirror=$(system_mirror "$codename")
  if [ -z "$mirror" ]; then
    echo "the system's apt names no mirror for $codename (apt-get update first?)"
    return 1
  fi
  write_apt_configuration "$apt" "$mirror" "$codename-backports"
  sed "s/ $codename-backports / $codename /" "$apt/sources.list" >"$apt/more.list"
  cat "$apt/more.list" >>"$apt/sources.list"
  apt-get -q -c "$apt/apt.conf" update || return 1
  (cd "$apt/debs" && apt-get -q -c "$apt/apt.conf" download "${libvirt_needs[@]/%//$codename-backports}" "${libvirt_old_needs[@]}") || return 1
  for deb in "$apt"/debs/*.deb; do
    dpkg -x "$deb" "$work" || return 1
  done
  rm -rf "$apt"
  # Only usr, etc and var are laid over the system's.
  if [ -d "$work/lib" ]; then cp -a "$work/lib/." "$work/usr/lib/" && rm -rf "$work/lib"; fi
  # For use outside, from a PATH.
  mkdir -p "$work/bin" "$work/mnt"
  cat >"$work/bin/lzop" <<WRAPPER
#!/bin/sh
here=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")
LD_LIBRARY_PATH=\$here/usr/lib/$(dpkg-architecture_multiarch) exec "\$here/usr/bin/lzop" "\$@"
WRAPPER
  chmod 755 "$work/bin/lzop"
  [ -x "$work/usr/sbin/libvirtd" ] && [ -x "$work/usr/bin/virsh" ]
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  lock
  fetch_libvirt
  finish
fi
