# What the guests and tests need from the system's packages. To be sourced after common.sh.

# program or file to look for -> package that brings it
guest_needs=(qemu-img:qemu-utils busybox:busybox-static cpio:cpio mke2fs:e2fsprogs xz:xz-utils dpkg-deb:dpkg)
qemu_needs=(qemu-system-x86_64:qemu-system-x86 "${guest_needs[@]}")
test_needs=(
  nasm:nasm gcc:gcc /usr/include/stdio.h:libc6-dev e2fsck:e2fsprogs flock:util-linux setpriv:util-linux
  python3:python3 # QEMU's own analyze-migration.py
  bzip2:bzip2 zstd:zstd # in libvirt's images
  gdb:gdb gdb-multiarch:gdb-multiarch readelf:binutils makedumpfile:makedumpfile crash:crash drgn:python3-drgn # read what export and gdb give
  chromium:chromium /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf:fonts-dejavu-core # for the viewer
  fish:fish zsh:zsh man:man-db # for the completions and the man page
)

missing_packages() {
  local need probe package
  for need in "$@"; do
    probe=${need%%:*} package=${need#*:}
    case $probe in
    /*) [ -e "$probe" ] || echo "$package" ;;
    # A busybox that is linked dynamically is of no use in an initramfs.
    busybox) { have busybox && dpkg-query -W -f='${Status}' busybox-static 2>/dev/null | grep -q 'ok installed'; } || echo "$package" ;;
    *) PATH=$PATH:/usr/sbin:/sbin have "$probe" || echo "$package" ;;
    esac
  done | sort -u | tr '\n' ' '
}

# Runs a command as root: directly, or with a sudo that asks nothing. 2: neither is possible.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif have sudo && sudo -n true 2>/dev/null; then sudo -n "$@"; else return 2; fi
}

install_packages() {
  local missing log=$cache/apt-install.log
  missing=$(missing_packages "$@")
  if [ -z "${missing// /}" ]; then return 0; fi
  if ! have apt-get; then
    problem "no apt-get here; install by hand: $missing"
    return 0
  fi
  local command="apt-get update && apt-get install -y --no-install-recommends ${missing% }"
  if ! as_root true; then
    problem "packages are missing, and only root can install them; run this once as root, then the same script again:  $command"
    return 0
  fi
  say "installing ${missing% }"
  if ! as_root env DEBIAN_FRONTEND=noninteractive sh -c "$command" >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    problem "apt-get could not install ${missing% } (all of it in ${log#"$root"/})"
  fi
}
