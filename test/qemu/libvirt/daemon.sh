#!/usr/bin/env bash
# Runs libvirtd of .cache/libvirt with QEMU of .cache/qemu-10 as root of mount and pid namespaces of its own: all that it mounts and
# starts goes when this process goes. harness.ts starts it thus and enters it with nsenter:
#
#   unshare --mount --pid --fork --kill-child --mount-proc --propagation private daemon.sh LIBVIRT QEMU MULTIARCH
#
# Says "ready" on stdout when libvirtd answers.
set -u
libvirt=$1 qemu=$2 multiarch=$3
fail() {
  echo "daemon.sh: $*" >&2
  exit 1
}

# In memory, so that nothing is left of it.
own=$libvirt/mnt
mount -t tmpfs -o mode=755 tmpfs "$own" || fail "no tmpfs at $own"
mkdir -p "$own"/{etc,var}.{upper,work} "$own/run/libvirt" || fail "no folders in $own"

# QEMU 10 would load 7.2's modules: its folder of modules must be its own, not both.
modules=$qemu/usr/lib/$multiarch/qemu
mount -t overlay overlay -o "lowerdir=$libvirt/usr:$qemu/usr:/usr" /usr || fail "no overlay over /usr"
mount --bind "$modules" "/usr/lib/$multiarch/qemu" || fail "no QEMU modules at $modules"
for folder in etc var; do
  mount -t overlay overlay \
    -o "lowerdir=$libvirt/$folder:/$folder,upperdir=$own/$folder.upper,workdir=$own/$folder.work" "/$folder" ||
    fail "no overlay over /$folder"
done
mount --bind "$own/run" /run || fail "no /run"
# Without cgroups libvirt does not look for a service manager.
umount -R /sys/fs/cgroup 2>/dev/null

grep -q '^libvirt-qemu:' /etc/passwd || echo 'libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin' >>/etc/passwd
grep -q '^libvirt-qemu:' /etc/group || echo 'libvirt-qemu:x:64055:' >>/etc/group

mkdir -p /etc/libvirt /var/lib/libvirt/qemu /var/log/libvirt/qemu /var/cache/libvirt/qemu
cat >/etc/libvirt/qemu.conf <<'CONF'
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
security_default_confined = 0
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
CONF
cat >/etc/libvirt/libvirtd.conf <<'CONF'
listen_tls = 0
listen_tcp = 0
unix_sock_dir = "/run/libvirt"
auth_unix_ro = "none"
auth_unix_rw = "none"
host_uuid = "00000000-1111-4222-8333-444444444444"
CONF

libvirtd --timeout 0 >&2 &
daemon=$!
until virsh -q -c qemu:///system version >/dev/null 2>&1; do
  kill -0 $daemon 2>/dev/null || fail "libvirtd ended at once"
  sleep 0.05
done
echo ready
wait $daemon
