#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs one of the README's commands on another Debian: a bare root of that suite, made by debootstrap under build/ with git
# and make and nothing else, in a mount and process namespace of its own (nothing of it is left mounted or running).
# The root is kept, so that a second run is quick; FRESH=1 makes it anew. What the command says is kept in build/log.
# With --user the command is run by an ordinary user, who has sudo without a password and nothing else; that root is one of
# its own. Needs root or sudo, and debootstrap.
# usage: debian.sh [--user] SUITE TARGET...         such as: debian.sh trixie check
set -eu
usage() {
    echo "usage: debian.sh [--user] SUITE TARGET..." >&2
    exit 2
}
user=
if [ "${1:-}" = --user ]; then
    user=builder
    shift
fi
[ $# -ge 2 ] || usage
case "$1" in -*) usage ;; esac
if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || {
        echo "debian.sh: making a root of another Debian needs root, or sudo without a password" >&2
        exit 3
    }
    exec sudo --preserve-env=BUILD,FRESH,DEBIAN_MIRROR,JOBS,ESPALIER_LACKS "$0" ${user:+--user} "$@"
fi
PATH=$PATH:/usr/sbin:/sbin
command -v debootstrap >/dev/null || {
    echo "debian.sh: debootstrap is not installed (apt-get install debootstrap)" >&2
    exit 3
}
suite=$1
shift
name=debian-$suite${user:+-user}
root=$(pwd)/${BUILD:-build}/$name
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
    debootstrap --variant=minbase "--include=ca-certificates,git,make${user:+,sudo}" "$suite" "$root" "$mirror" "$script" >"$root.log" 2>&1 || {
        tail -n 20 "$root.log" >&2
        # what a run of many checks goes on without (or_skip.sh)
        ! grep -qE "^[EW]: (Failed getting release file|Couldn't download)" "$root.log" || [ -z "${ESPALIER_LACKS:-}" ] ||
            echo "Debian $suite cannot be fetched from $mirror (debootstrap said: $(grep -E '^[EW]: ' "$root.log" | head -n 1); the whole in $root.log)" >>"$ESPALIER_LACKS"
        exit 1
    }
    cp /etc/apt/apt.conf.d/*proxy* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
    [ ! -e /etc/pip.conf ] || cp /etc/pip.conf "$root/etc/"
    rm -f "$root/var/cache/apt/archives"/*.deb "$root.log"
    case "$suite" in
    bookworm | trixie) ;;
    *) echo 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/99-lists-of-a-suite-that-moves" ;; # mirrors lag behind it
    esac
    if [ -n "$user" ]; then
        chroot "$root" useradd --create-home --groups sudo "$user"
        echo "$user ALL=(ALL:ALL) NOPASSWD: ALL" >"$root/etc/sudoers.d/$user"
    fi
    touch "$root/.made"
fi
cp /etc/resolv.conf "$root/etc/resolv.conf"
printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$(uname -n)" >"$root/etc/hosts" # sudo looks for it

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
git -c safe.directory='*' -C "$root/src" ls-files -z | while IFS= read -r -d '' f; do
    [ -e "$f" ] || rm -f "$root/src/$f"
done
git -c safe.directory='*' -C "$root/src" add -A
[ -z "$user" ] || chroot "$root" chown -R "$user:" /src

echo "== make $* on Debian $suite${user:+, as a user with sudo}"
log=$(pwd)/${BUILD:-build}/log/$name-$(echo "$*" | tr ' /=' '---').log
mkdir -p "${log%/*}"
# pivot_root, not chroot: in a chroot the kernel makes no user namespace, and check-rootless needs one
# shellcheck disable=SC2016
exec unshare -mpf --kill-child --propagation private sh -euc '
    root=$1 user=$2; shift 2
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
    sbin=/usr/local/sbin:/usr/sbin:/sbin: home=/root
    [ -z "$user" ] || sbin= home=/home/$user
    exec ${user:+runuser -u "$user" --} env -i PATH=${sbin}/usr/local/bin:/usr/bin:/bin HOME=$home LC_ALL=C.UTF-8 CI=true \
        ${JOBS:+JOBS="$JOBS"} make "$@" </dev/null
' sh "$root" "$user" "$@" > >(exec tee "$log") 2>&1
