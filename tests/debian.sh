#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs one of the README's commands on another Debian: a bare root of that suite, made by debootstrap under build/ with git
# and make and nothing else, in a mount and process namespace of its own (nothing of it is left mounted or running).
# The root is kept, so that a second run is quick; FRESH=1 makes it anew. What the command says is kept in build/log.
# Needs root or sudo, and debootstrap.
# usage: debian.sh SUITE TARGET...         such as: debian.sh trixie check
set -eu
[ $# -ge 2 ] || {
    echo "usage: debian.sh SUITE TARGET..." >&2
    exit 2
}
if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || {
        echo "debian.sh: making a root of another Debian needs root, or sudo without a password" >&2
        exit 3
    }
    exec sudo --preserve-env=BUILD,FRESH,DEBIAN_MIRROR,JOBS "$0" "$@"
fi
PATH=$PATH:/usr/sbin:/sbin
command -v debootstrap >/dev/null || {
    echo "debian.sh: debootstrap is not installed (apt-get install debootstrap)" >&2
    exit 3
}
suite=$1
shift
root=$(pwd)/${BUILD:-build}/debian-$suite
mirror=${DEBIAN_MIRROR:-$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\).*/\2/p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1)}
mirror=${mirror:-http://deb.debian.org/debian}

[ -z "${FRESH:-}" ] || rm -rf "$root"
if [ ! -e "$root/.made" ]; then
    echo "== a bare Debian $suite in $root (from $mirror)"
    rm -rf "$root"
    mkdir -p "$root"
    script=/usr/share/debootstrap/scripts/$suite
    [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid # a suite younger than this debootstrap
    debootstrap --variant=minbase --include=ca-certificates,git,make "$suite" "$root" "$mirror" "$script" >"$root.log" 2>&1 || {
        tail -n 20 "$root.log" >&2
        exit 1
    }
    cp /etc/apt/apt.conf.d/*proxy* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
    [ ! -e /etc/pip.conf ] || cp /etc/pip.conf "$root/etc/"
    rm -f "$root/var/cache/apt/archives"/*.deb "$root.log"
    touch "$root/.made"
fi
cp /etc/resolv.conf "$root/etc/resolv.conf"

# The sources as they stand here, committed or not; what was built there before stays.
mkdir -p "$root/src"
[ -d "$root/src/.git" ] || git init -q "$root/src"
# A file that differs is new to make there, whatever time it has here.
git -c safe.directory='*' ls-files -z | while IFS= read -r -d '' f; do
    [ -e "$f" ] || continue
    cmp -s "$f" "$root/src/$f" || {
        mkdir -p "$root/src/$(dirname "$f")"
        rm -f "$root/src/$f"
        cp --preserve=mode "$f" "$root/src/$f"
    }
done
git -C "$root/src" ls-files -z | while IFS= read -r -d '' f; do
    [ -e "$f" ] || rm -f "$root/src/$f"
done
git -C "$root/src" add -A

echo "== make $* on Debian $suite"
log=$(pwd)/${BUILD:-build}/log/debian-$suite-$(echo "$*" | tr ' /=' '---').log
mkdir -p "${log%/*}"
# pivot_root, not chroot: in a chroot the kernel makes no user namespace, and check-rootless needs one
# shellcheck disable=SC2016
exec unshare -mpf --kill-child --propagation private sh -euc '
    root=$1; shift
    mount --bind "$root" "$root"
    mount --rbind /dev "$root/dev"
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    mount -t tmpfs tmpfs "$root/run"
    mount -t tmpfs tmpfs "$root/tmp"
    chmod 1777 "$root/tmp"
    cd "$root"
    pivot_root . mnt
    umount -l /mnt
    cd /src
    exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 CI=true \
        ${JOBS:+JOBS="$JOBS"} make "$@" </dev/null
' sh "$root" "$@" > >(exec tee "$log") 2>&1
