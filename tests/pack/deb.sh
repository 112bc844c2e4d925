#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Debian's packages, on bare Debian 12 and 13: made twice, in two folders, at two times, with two locales, and equal to the
# octet; clean by lintian; installed where there is nothing else, run, upgraded and purged. Takes half an hour, and a network.
# ESPALIER_SUITES names other suites, ESPALIER_DEBS a folder with packages, which are taken instead of being made.
set -eu
build=$(realpath "${BUILD:-build}")
suites=${ESPALIER_SUITES:-bookworm trixie}
passed=0
ok() { echo "  ok: $1" && passed=$((passed + 1)); }
bad() {
    echo "[  FAILED  ] $*" >&2
    exit 1
}
[ "$(id -u)" = 0 ] || {
    echo "deb.sh: roots of other Debians are made as root" >&2
    exit 3
}
PATH=$PATH:/usr/sbin:/sbin
for p in debootstrap dpkg-deb unshare; do
    command -v $p >/dev/null || {
        echo "deb.sh: $p is not installed" >&2
        exit 3
    }
done
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}

made() { # SUITE FOLDER MAKE'S-ARGUMENT...: what `make deb` makes there
    local suite=$1 to=$2
    shift 2
    tests/debian.sh "$suite" deb "$@" >"$build/log/deb-$suite.log" 2>&1 || {
        tail -n 40 "$build/log/deb-$suite.log" >&2
        bad "make deb on $suite"
    }
    rm -rf "$to"
    mkdir -p "$to"
    cp "$build/debian-$suite/src/build/deb"/*.deb "$build/debian-$suite/src/build/deb"/*.dsc "$build/debian-$suite/src/build/deb"/*.tar.xz "$to/"
}

sums() { (cd "$1" && sha256sum ./*); }

make_them() { # SUITE
    made "$1" "$build/deb-$1"
    made "$1" "$build/deb-$1-again" DEB_COPY=/var/tmp/another/and/longer/name CCACHE_DISABLE=1 TZ=Asia/Kathmandu LC_ALL=C
    sums "$build/deb-$1" >"$build/deb-$1.sums"
    (cd "$build/deb-$1-again" && sha256sum --quiet -c "$build/deb-$1.sums") || bad "two runs on $1 made different packages"
    [ "$(wc -l <"$build/deb-$1.sums")" = "$(find "$build/deb-$1-again" -type f | wc -l)" ] || bad "one run on $1 made more than the other"
    ok "$1: two runs made the same $(wc -l <"$build/deb-$1.sums") files"
    tests/debian.sh "$1" lint-deb >"$build/log/lintian-$1.log" 2>&1 || {
        grep -E '^[EW]:' "$build/log/lintian-$1.log" >&2 || tail -n 20 "$build/log/lintian-$1.log" >&2
        bad "lintian on $1"
    }
    ok "$1: lintian says no error and no warning"
}

clean_root() { # SUITE: a Debian with nothing but what each has; it stays as it is
    local root=$build/clean-$1 script=/usr/share/debootstrap/scripts/$1
    [ ! -e "$root/.made" ] || return 0
    rm -rf "$root"
    mkdir -p "$root"
    [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
    debootstrap --variant=minbase --include=ca-certificates "$1" "$root" "$mirror" "$script" >"$root.log" 2>&1 || {
        tail -n 20 "$root.log" >&2
        bad "debootstrap $1"
    }
    cp /etc/apt/apt.conf.d/*proxy* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
    touch "$root/.made"
}

# The same packages with a later version.
later() { # FROM TO
    local d p
    rm -rf "$2"
    mkdir -p "$2"
    for d in "$1"/*.deb; do
        case $d in *-dbgsym_*) continue ;; esac
        p=$(mktemp -d)
        dpkg-deb -R "$d" "$p/root"
        sed -i 's/^\(Version: .*\)$/\1+later/; s/(= \([^)]*\))/(= \1+later)/' "$p/root/DEBIAN/control"
        dpkg-deb --root-owner-group -b "$p/root" "$2" >/dev/null
        rm -rf "$p"
    done
}

# What both scripts below have.
# shellcheck disable=SC2016
common='
    say() { echo "  ok: $suite: $1"; }
    apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold "$@" >/tmp/apt 2>&1 </dev/null || { tail -n 20 /tmp/apt; exit 1; }; }'

# The end of the packages, in a network of its own: a purge lifts nothing, and says what stays blocked and how it is lifted.
# shellcheck disable=SC2016
blocked='
    blocks() { ip xfrm policy | grep -c "action block" || true; }
    serve() { # BLOCK_ON_EXIT: a daemon that loads the example, and is told to end
        echo "espalierd { block_on_exit = $1 }" >/tmp/settings
        espalierd --config /tmp/settings --card none 2>/tmp/log & daemon=$!
        i=0; until [ -S /run/charon.vici ]; do i=$((i + 1)); [ $i -lt 200 ] || { cat /tmp/log; exit 1; }; sleep 0.1; done
        espalier load /usr/share/doc/espalier/examples/swanctl.conf
        kill $daemon; wait $daemon
    }
    goes() { # BLOCKS HOW PACKAGE...
        left=$1; shift
        apt_get "$@"
        [ "$(blocks)" = "$left" ] || { echo "$1 has changed what is blocked"; exit 1; }
        [ "$left" = 0 ] && ! grep -q BLOCKED /tmp/apt && return 0
        grep -q "stays BLOCKED in the kernel until the next boot" /tmp/apt && grep -q "ip xfrm policy flush" /tmp/apt || { cat /tmp/apt; exit 1; }
    }
    comes_back() { dpkg -i /debs/later/espalier_*.deb /debs/later/espalier-sim_*.deb >/tmp/apt 2>&1 || { cat /tmp/apt; exit 1; }; }
    ip link set lo up
    serve yes
    before=$(blocks)
    [ "$before" -ge 3 ] || { echo "nothing is blocked"; exit 1; }
    goes "$before" remove espalier espalier-sim
    comes_back
    serve no
    goes 0 remove espalier espalier-sim
    comes_back
    serve yes
    goes "$before" purge espalier espalier-sim libespalier-dev espalier-rtl
    ip xfrm policy flush
    [ "$(blocks)" = 0 ]
    say "a removal and a purge leave what is blocked as it is, and say so; block_on_exit = no before them lifts it"'

# What happens in the clean root, after which nothing of it is left.
# shellcheck disable=SC2016
there='
    users=$(cat /etc/passwd /etc/group | sha256sum)
    apt_get update
    apt_get install --no-install-recommends /debs/now/*.deb
    ! grep -E "^(W|E):|warning:|error" /tmp/apt | grep -v unsandboxed || exit 1
    for p in espalier espalierd espalier-card espalier-sim espalier-pair espalier-load; do $p --version; done
    [ -s /usr/lib/*/libespalier.a ] && [ -s /usr/share/espalier/rtl/top/espalier_top.v ] && [ -s /usr/share/man/man8/espalierd.8.gz ]
    unit=$(dpkg -L espalier | grep /espalierd.service$)
    [ -s "$unit" ] && [ -z "$(find /etc/systemd -name "espalierd*")" ]
    say "the packages are installed, and nothing is enabled"
    unshare -n sh -euc "
        ip link set lo up
        espalierd --config /etc/espalier/espalierd.conf --card none 2>/tmp/log & daemon=\$!
        i=0; until [ -S /run/charon.vici ]; do i=\$((i + 1)); [ \$i -lt 200 ] || { cat /tmp/log; exit 1; }; sleep 0.1; done
        espalier stats
        espalier load /usr/share/doc/espalier/examples/swanctl.conf
        espalier conns | grep -q site
        kill \$daemon; wait \$daemon
        grep -q \"each process has a user of its own\" /tmp/log"
    say "espalierd comes up by hand, loads the example, and ends with status 0"
    espalier-pair && espalier-pair --card
    say "two gateways, a tunnel and traffic, in software and on the simulated card"
    echo "# mine" >>/etc/espalier/espalierd.conf
    mkdir -p /var/lib/espalier && touch /var/lib/espalier/leases
    apt_get install --no-install-recommends /debs/later/*.deb
    dpkg-query -W -f "\${Version}\n" espalier espalier-sim libespalier-dev espalier-rtl | grep -vq "+later\$" && exit 1
    grep -q "^# mine" /etc/espalier/espalierd.conf && [ -e /var/lib/espalier/leases ]
    say "an upgrade keeps settings and leases"
    unshare -n sh -euc "$common $blocked"
    left=$(find / -xdev -path /debs -prune -o -iname "*espalier*" -print)
    [ -z "$left" ] || { echo "left: $left"; exit 1; }
    [ "$users" = "$(cat /etc/passwd /etc/group | sha256sum)" ]
    say "a purge leaves no file of theirs; no user came or went"'

install_them() { # SUITE
    later "$debs" "$build/deb-later"
    rm -rf "$build/deb-now"
    mkdir -p "$build/deb-now"
    find "$debs" -name '*.deb' ! -name '*-dbgsym_*' -exec cp {} "$build/deb-now/" \;
    # shellcheck disable=SC2016
    unshare -mpf --kill-child --propagation private sh -euc '
        build=$1 suite=$2
        mkdir -p "$build/clean"
        mount -t tmpfs tmpfs "$build/clean"
        cd "$build/clean"
        mkdir upper work root
        mount -t overlay overlay -o "lowerdir=$build/clean-$suite,upperdir=upper,workdir=work" root
        cp /etc/resolv.conf root/etc/resolv.conf
        mount --rbind /dev root/dev
        mount -t proc proc root/proc
        mount -t sysfs sysfs root/sys
        mount -t tmpfs tmpfs root/run
        mount -t tmpfs tmpfs root/tmp
        mkdir -p root/debs/now root/debs/later
        cp "$build/deb-now"/*.deb root/debs/now/
        cp "$build/deb-later"/*.deb root/debs/later/
        exec chroot root env -i suite="$suite" common="$4" blocked="$5" PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 sh -euc "$4 $3"' \
        sh "$build" "$1" "$there" "$common" "$blocked" >"$build/log/clean-$1.log" 2>&1 || {
        tail -n 40 "$build/log/clean-$1.log" >&2
        bad "a clean $1"
    }
    grep '^  ok: ' "$build/log/clean-$1.log"
    passed=$((passed + $(grep -c '^  ok: ' "$build/log/clean-$1.log")))
}

mkdir -p "$build/log"
for suite in $suites; do
    debs=${ESPALIER_DEBS:-$build/deb-$suite}
    [ -n "${ESPALIER_DEBS:-}" ] || make_them "$suite"
    clean_root "$suite"
    install_them "$suite"
done
echo "$passed passed"
