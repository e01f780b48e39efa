#!/usr/bin/env bash
# The driver's tests on another kernel, which has cgroup v2 and nothing else: Debian's, in QEMU
# without KVM. By hand, as root; takes some minutes. Not part of CI.
#
#   apt-get install qemu-system-x86 busybox-static kmod e2fsprogs
#   bash tests/vm/run.sh [TEST ...]            # of crates/runtime/tests; default: all that boot sandboxes
#
# The machine inside sees this one's /usr and the test programs, read-only, over 9p. Its own disk is
# ext4, since layers have to be on a file system that maps ids.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

tests=("$@")
[ "${#tests[@]}" -gt 0 ] || tests=(driver_contract isolation network pool)
modules=(virtio_pci virtio_blk crc32c_generic ext4 9p 9pnet_virtio overlay btrfs loop
    veth nf_tables nft_ct nft_chain_nat nft_masq nft_redir nft_reject_ipv4 nft_reject_inet)
place=$(mktemp -d "${TMPDIR:-/tmp}/pinfold-vm.XXXXXX")
trap 'rm -rf "$place"' EXIT

# --- The kernel, unpacked and not installed -------------------------------------------------------
package=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: //p' | head -1)
(cd "$place" && apt-get download -qq "$package" 2>/dev/null && dpkg -x ./*.deb kernel)
release=$(ls "$place/kernel/lib/modules")
depmod -b "$place/kernel" "$release"

# --- A first root that loads modules, and the real one --------------------------------------------
mkdir -p "$place"/first/{bin,mods,proc,sys,dev,new}
cp "$(command -v busybox)" "$place/first/bin/busybox"
for module in "${modules[@]}"; do
    modprobe -d "$place/kernel" -S "$release" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
    cp "$file" "$place/first/mods/"
    basename "$file" >>"$place/first/order"
done
cat >"$place/first/init" <<'INIT'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for module in $($b cat /order); do $b insmod "/mods/$module"; done
$b mount -t ext4 /dev/vda /new
for directory in dev proc sys; do $b mount --move "/$directory" "/new/$directory"; done
exec $b switch_root /new /init
INIT
chmod +x "$place/first/init"
(cd "$place/first" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$place/initrd"

mkdir -p "$place"/{share,root/{dev,proc,sys,tmp,run,root,var/lib,home,usr,etc,share}}
for link in bin sbin lib lib64; do ln -s "usr/$link" "$place/root/$link"; done
cp -a /etc/{passwd,group,nsswitch.conf,ld.so.conf,ld.so.conf.d,ld.so.cache,alternatives} "$place/root/etc/"
cp "$(command -v busybox)" "$place/root/busybox"
cat >"$place/root/init" <<'INIT'
#!/busybox sh
export PATH=/usr/local/bin:/usr/bin:/usr/sbin HOME=/root
options=trans=virtio,version=9p2000.L,msize=524288,cache=loose,ro
/busybox mount -o remount,rw /
/busybox mount -t 9p -o $options usr /usr
mount -t 9p -o $options share /share
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run
mount -t cgroup2 none /sys/fs/cgroup
ip link set lo up
(sh /share/tests; echo "failed: $?") >/dev/ttyS0 2>&1
/busybox poweroff -f
INIT
chmod +x "$place/root/init"
truncate -s 6G "$place/disk"
mkfs.ext4 -q -F -d "$place/root" "$place/disk"

# --- The tests ------------------------------------------------------------------------------------
echo 'failed=0; uname -r; cat /sys/fs/cgroup/cgroup.controllers; cd /tmp' >"$place/share/tests"
for test in "${tests[@]}"; do
    # With the features of the whole workspace, so that nothing is built a second time.
    program=$(cargo test --workspace --all-features --no-run --message-format json --test "$test" 2>/dev/null |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -1)
    cp "$program" "$place/share/$test"
    echo "/share/$test --test-threads 1 || failed=\$((failed + 1))" >>"$place/share/tests"
done
echo 'exit $failed' >>"$place/share/tests"

qemu-system-x86_64 -machine q35 -cpu max -accel tcg,thread=multi -smp 2 -m 3072 -no-reboot \
    -kernel "$place/kernel/boot/vmlinuz-$release" -initrd "$place/initrd" \
    -append "console=ttyS0 quiet cgroup_no_v1=all panic=-1" \
    -drive "file=$place/disk,format=raw,if=virtio" \
    -virtfs local,path=/usr,mount_tag=usr,security_model=none,readonly=on,multidevs=remap \
    -virtfs "local,path=$place/share,mount_tag=share,security_model=none,readonly=on" \
    -display none -monitor none -serial stdio </dev/null | tee "$place/out"
grep -q '^failed: 0' "$place/out"
