# A second, newer QEMU for the tests, beside the system's: Debian's backports build, unpacked under .cache/qemu-10,
# nothing installed. To be sourced after common.sh. Needs no root.

new_qemu=$cache/qemu-10/qemu-system-x86_64

qemu_version() { "$1" --version 2>/dev/null | sed -n '1s/.*version \([0-9][0-9.]*\).*/\1/p'; }

# Writes a wrapper that starts the program at $1 (in the wrapper's own folder, or an absolute path) into folder $2.
write_qemu_wrapper() {
  local target=$1 folder=$2
  if [ "${target#/}" != "$target" ]; then
    printf '#!/bin/sh\nexec %s "$@"\n' "$target" >"$folder/qemu-system-x86_64"
  else
    cat >"$folder/qemu-system-x86_64" <<WRAPPER
#!/bin/sh
# QEMU from backports with its own firmware and modules, not those of the system's QEMU.
here=\$(dirname "\$(readlink -f "\$0")")
QEMU_MODULE_DIR=\$here/$(dirname "$(dirname "$target")")/lib/$(dpkg-architecture_multiarch)/qemu
export QEMU_MODULE_DIR
exec "\$here/$target" -L "\$here/usr/share/qemu" -L "\$here/usr/share/seabios" "\$@"
WRAPPER
  fi
  chmod 755 "$folder/qemu-system-x86_64"
}
dpkg-architecture_multiarch() { echo "$(uname -m)-linux-gnu"; }

# The mirror this machine's own apt uses for its release, e.g. for "bookworm".
system_mirror() {
  apt-get indextargets --format '$(SITE) $(CODENAME) $(RELEASE)' "Created-By: Packages" 2>/dev/null |
    awk -v codename="$1" '$2 == codename || $3 == codename { print $1; exit }'
}

# Own sources, lists and caches: the system's apt state is only read. $1 folder, $2 mirror, $3 suite
write_apt_configuration() {
  local folder=$1 keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  mkdir -p "$folder/lists/partial" "$folder/archives/partial" "$folder/debs"
  echo "deb [signed-by=$keyring] $2 $3 main" >"$folder/sources.list"
  cat >"$folder/apt.conf" <<CONF
Dir::Etc::sourcelist "$folder/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferences "-";
Dir::Etc::preferencesparts "-";
Dir::State::lists "$folder/lists";
Dir::Cache "$folder";
Dir::Cache::archives "$folder/archives";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "$(id -un)";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
CONF
}

fetch_qemu_10() {
  if [ -x "$new_qemu" ] && [ -e "$cache/qemu-10/complete" ]; then return 0; fi
  local codename system work log version
  system=$(command -v qemu-system-x86_64) && version=$(qemu_version "$system") || version=
  rm -rf "$cache"/qemu-10.new.*
  work=$cache/qemu-10.new.$$ log=$cache/qemu-10.log
  mkdir -p "$work"
  if [ "${version%%.*}" -ge 9 ] 2>/dev/null; then
    say "the system's QEMU $version serves as the new one"
    write_qemu_wrapper "$system" "$work"
  else
    codename=$(. /etc/os-release && [ "$ID" = debian ] && echo "$VERSION_CODENAME")
    if [ -z "$codename" ]; then
      problem "the tests need a QEMU >= 9 beside the old one; on Debian it comes from backports, here install one by hand and link it as .cache/qemu-10/qemu-system-x86_64"
      rm -rf "$work"
      return 0
    fi
    say "fetching a newer QEMU from $codename-backports (about 15 MB)"
    if ! download_qemu_10 "$work" "$codename" >"$log" 2>&1; then
      tail -n 15 "$log" >&2
      problem "could not fetch the newer QEMU (all of it in ${log#"$root"/})"
      rm -rf "$work"
      return 0
    fi
    write_qemu_wrapper usr/bin/qemu-system-x86_64 "$work"
  fi
  version=$(qemu_version "$work/qemu-system-x86_64")
  if [ -z "$version" ]; then
    problem "the newer QEMU does not start: $("$work/qemu-system-x86_64" --version 2>&1 | head -n 1)"
    rm -rf "$work"
    return 0
  fi
  echo "$version" >"$work/complete"
  rm -rf "$cache/qemu-10"
  mv "$work" "$cache/qemu-10"
  say "QEMU $version is in .cache/qemu-10"
}

download_qemu_10() {
  local work=$1 codename=$2 mirror deb apt=$1/apt
  mirror=$(system_mirror "$codename")
  if [ -z "$mirror" ]; then
    echo "the system's apt names no mirror for $codename (apt-get update first?)"
    return 1
  fi
  write_apt_configuration "$apt" "$mirror" "$codename-backports"
  apt-get -q -c "$apt/apt.conf" update || return 1
  (cd "$apt/debs" && apt-get -q -c "$apt/apt.conf" download qemu-system-x86 qemu-system-common qemu-system-data seabios) || return 1
  for deb in "$apt"/debs/*.deb; do
    dpkg -x "$deb" "$work" || return 1
  done
  rm -rf "$apt"
  [ -x "$work/usr/bin/qemu-system-x86_64" ]
}
