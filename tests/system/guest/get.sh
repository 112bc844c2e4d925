#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Unpacks what a virtual machine takes into a folder of its own, and installs nothing: Debian 13's kernel and static
# busybox, and the QEMU of its backports (11.1 or later, with vfio-user-pci) with every library of it, so that the same
# one runs on Debian 12. FOLDER/qemu starts it; FOLDER/vmlinuz and FOLDER/modules are the kernel, FOLDER/busybox is that.
# usage: get.sh FOLDER      exit status: 0 it is all there, 3 it cannot be had (said on stderr)
set -euo pipefail
dir=$1
[[ ! -e $dir/.done ]] || exit 0
suite=trixie
mirror=${DEBIAN_MIRROR:-$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\).*/\2/p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1 || true)}
mirror=${mirror:-http://deb.debian.org/debian}

# cannot REASON: it is not to be had here, which a run of many checks goes on without (or_skip.sh)
lack() {
    echo "guest: $1" >&2
    exit 3
}
cannot() {
    [[ -z ${ESPALIER_LACKS:-} ]] || echo "$1" >>"$ESPALIER_LACKS"
    lack "skip: because $1"
}
[[ $(uname -m) == x86_64 ]] || cannot "the virtual machine is one of x86_64, and this is $(uname -m)"
command -v apt-get >/dev/null || cannot "there is no apt here (QEMU 11.1, a kernel and busybox: QEMU=, QEMU_KERNEL=, …)"
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
mkdir -p "$dir"/apt/{state/lists/partial,cache/archives/partial} "$dir/root"
exec 9>"$dir/.lock" # two runs side by side
flock 9
[[ ! -e $dir/.done ]] || exit 0

# apt with lists and a state of its own, in which nothing is installed: what it fetches for a package is all that this needs.
key='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
printf 'deb %s %s %s main\n' "$key" "$mirror" $suite "$key" "$mirror" $suite-backports >"$dir/apt/sources.list"
: >"$dir/apt/status"
own=(-q -o "Dir::Etc::SourceList=$dir/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State=$dir/apt/state"
    -o "Dir::State::status=$dir/apt/status" -o "Dir::Cache=$dir/apt/cache" -o APT::Sandbox::User= -o APT::Architecture=amd64
    -o APT::Architectures::=amd64 -o APT::Install-Recommends=false -o Acquire::Languages=none -o Acquire::Retries=3)
log=$dir/apt/log
fetch() {
    "$@" >>"$log" 2>&1 || {
        tail -n 5 "$log" >&2
        cannot "QEMU, a kernel and busybox cannot be fetched from $mirror ($1 said: $(grep -aE '^[EW]: ' "$log" | head -n 1); the whole in $log)"
    }
}
: >"$log"
echo "guest: fetching QEMU, a kernel and busybox (once; about 200 MB)"
fetch apt-get "${own[@]}" update
fetch apt-get "${own[@]}" install -y --download-only -t $suite-backports qemu-system-x86
kernel=$(apt-cache "${own[@]}" depends linux-image-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
(cd "$dir/apt/cache/archives" && fetch apt-get "${own[@]}" download busybox-static "$kernel")

rm -rf "$dir/root" && mkdir -p "$dir/root"
for deb in "$dir"/apt/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$dir/root" --keep-directory-symlink
done
rm -rf "$dir/apt/cache" "$dir/apt/state"

ln -sfn "$(cd "$dir/root" && echo boot/vmlinuz-*)" "$dir/root/vmlinuz"
ln -sfn root/vmlinuz "$dir/vmlinuz"
ln -sfn "root/$(cd "$dir/root" && echo usr/lib/modules/*)" "$dir/modules"
busybox=$(cd "$dir/root" && find . -path '*bin/busybox' -type f | head -n 1)
ln -sfn "root/$busybox" "$dir/busybox"
# its own loader and libraries, and its parts where they lie
cat >"$dir/qemu" <<'QEMU'
#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/root
libs=$(find "$root/usr/lib/x86_64-linux-gnu" "$root/lib/x86_64-linux-gnu" -maxdepth 1 -type d 2>/dev/null | tr '\n' ':')
export QEMU_MODULE_DIR="$root/usr/lib/x86_64-linux-gnu/qemu"
exec "$root/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --library-path "$libs" "$root/usr/bin/qemu-system-x86_64" \
    -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" -L "$root/usr/lib/ipxe/qemu" "$@"
QEMU
chmod +x "$dir/qemu"
"$dir/qemu" -device help 2>>"$log" | grep -q vfio-user-pci || lack "the QEMU that was fetched does not start or has no vfio-user-pci (see $log)"
touch "$dir/.done"
