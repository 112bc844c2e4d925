#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The recipe for the container (ctrl/pack/Containerfile) without an engine for containers: its own lines, one by one, each
# stage a bare Debian made by debootstrap; then what is in it runs as its two uses have it, with the capabilities that podman
# gives and those that are to be added, and no others. A line of a kind that this does not know is a failure. Not seen here: an
# engine's own network, seccomp profile and AppArmor. As root; takes a few minutes and a network.
set -eu
build=$(realpath "${BUILD:-build}")
recipe=ctrl/pack/Containerfile
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
work=$build/image passed=0
PATH=$PATH:/usr/sbin:/sbin
ok() { echo "  ok: $1" && passed=$((passed + 1)); }
bad() {
    echo "[  FAILED  ] $*" >&2
    exit 1
}
[ "$(id -u)" = 0 ] || {
    echo "image.sh: roots of other Debians are made as root" >&2
    exit 3
}
for p in debootstrap unshare setpriv; do
    command -v $p >/dev/null || {
        echo "image.sh: $p is not installed" >&2
        exit 3
    }
done

# What an image of that name is, near enough: a folder.
bare() { # NAME FOLDER
    local suite=${1##*:}
    suite=${suite%-slim}
    local base=$work/base-$suite script=/usr/share/debootstrap/scripts/$suite
    if [ ! -e "$base/.made" ]; then
        rm -rf "$base"
        mkdir -p "$base"
        [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
        debootstrap --variant=minbase --include=ca-certificates "$suite" "$base" "$mirror" "$script" >"$work/base.log" 2>&1 || {
            tail -n 20 "$work/base.log" >&2
            bad "debootstrap $suite"
        }
        cp /etc/apt/apt.conf.d/*proxy* "$base/etc/apt/apt.conf.d/" 2>/dev/null || true
        touch "$base/.made"
    fi
    rm -rf "$2"
    cp -a "$base" "$2"
    cp /etc/resolv.conf "$2/etc/resolv.conf"
}

# A command in there, of which nothing stays mounted or running. in_root FOLDER [PROGRAM AND ITS OPTIONS, such as setpriv] -- COMMAND...
in_root() {
    local root=$1 with=()
    shift
    while [ "$1" != -- ]; do with+=("$1") && shift; done
    shift
    # shellcheck disable=SC2016
    unshare -mpfn --kill-child --propagation private sh -euc '
        cd "$1" && shift
        mount --rbind /dev dev && mount -t proc proc proc && mount -t sysfs sysfs sys && mount -t tmpfs tmpfs run && mount -t tmpfs tmpfs tmp
        ip link set lo up
        exec "$@"' sh "$root" "${with[@]}" chroot "$root" env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
        http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" "$@"
}

# The same where a network is needed: of this machine.
run_there() { # FOLDER LINE
    # shellcheck disable=SC2016
    unshare -mpf --kill-child --propagation private sh -euc '
        mount --rbind /dev "$1/dev" && mount -t proc proc "$1/proc"
        exec chroot "$1" env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 \
            http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" /bin/sh -euc "$2"' sh "$1" "$2" >>"$work/log" 2>&1 </dev/null || {
        tail -n 30 "$work/log" >&2
        bad "RUN $2"
    }
}

copy() { # FOLDER WORD...
    local root=$1 from="" to
    shift
    case $1 in --from=*) from=$work/stage-${1#--from=} && shift ;; esac
    to=$root${*: -1}
    if [ -z "$from" ]; then
        [ "$1" = . ] || bad "COPY $*: expected the whole folder"
        mkdir -p "$to"
        git ls-files -z -c -o --exclude-standard | tar -c --null -T - | tar -x -C "$to"
        return
    fi
    while [ $# -gt 1 ]; do
        case $to in */) mkdir -p "$to" ;; *) mkdir -p "$(dirname "$to")" ;; esac
        cp -a "$from$1" "$to"
        shift
    done
}

# Its lines, those that go on in the next one as one.
follow() {
    local word rest root="" name
    while read -r word rest; do
        case $word in
        "" | \#*) ;;
        FROM)
            name=${rest##* AS }
            [ "$name" != "$rest" ] || name=last
            root=$work/stage-$name
            bare "${rest%% AS *}" "$root"
            ;;
        RUN) run_there "$root" "$rest" ;;
        COPY)
            # shellcheck disable=SC2086
            copy "$root" $rest
            ;;
        CMD) command=$(printf '%s' "$rest" | tr -d '[]",') ;;
        VOLUME | EXPOSE) ;;
        *) bad "$recipe: '$word' is not known here" ;;
        esac
    done < <(sed -e ':a' -e '/\\$/{N' -e 's/\\\n *//' -e 'ba' -e '}' "$recipe")
}

mkdir -p "$work"
: >"$work/log"
command=
follow
root=$work/stage-last
[ -n "$command" ] || bad "$recipe has no CMD"
ok "$(grep -cE '^(FROM|RUN|COPY)' "$recipe") steps of the recipe"
! find "$root" -name '*.v' -o -name gcc -type f | grep -q . || bad "what builds it is in the image"
# shellcheck disable=SC2016
in_root "$root" -- sh -euc 'for p in espalierd espalier espalier-pair; do $p --version; done' >/dev/null || bad "a program does not start"
ok "the programs start, and no compiler is in it ($(du -sm "$root" | cut -f 1) MB)"

# By podman's manual, and what is to be added: all that a container has then.
usual=+chown,+dac_override,+fowner,+fsetid,+kill,+net_bind_service,+setfcap,+setgid,+setpcap,+setuid,+sys_chroot
caps() { echo "--bounding-set=-all,$usual,$1 --inh-caps=-all --no-new-privs"; }

# shellcheck disable=SC2046
in_root "$root" setpriv $(caps +net_admin,+net_raw,+sys_admin) -- espalier-pair >"$work/pair.log" 2>&1 || {
    tail -n 20 "$work/pair.log" >&2
    bad "espalier-pair in it"
}
grep -q "traffic passed" "$work/pair.log" || bad "espalier-pair says nothing of traffic"
ok "for CI: two gateways, a tunnel and traffic"

cat >"$root/etc/swanctl/swanctl.conf" <<'EOF'
connections {
    site {
        remote_addrs = 192.0.2.2
        local { auth = psk }
        remote { auth = psk }
        children {
            net {
                local_ts = 10.1.0.0/16
                remote_ts = 10.2.0.0/16
            }
        }
    }
}
secrets { ike-site { secret = "of this test" } }
EOF
# shellcheck disable=SC2016
gateway='
    '$command' --card none 2>/tmp/log & gateway=$!
    i=0; until espalier conns 2>/dev/null | grep -q site; do i=$((i + 1)); [ $i -lt 300 ] || { cat /tmp/log; exit 1; }; sleep 0.1; done
    blocked() { ip xfrm policy | grep -c "action block"; }
    [ "$(blocked)" -gt 0 ]
    sed -i "s/net {/other {/" /etc/swanctl/swanctl.conf
    kill -HUP $gateway
    i=0; until espalier conns | grep -q other; do i=$((i + 1)); [ $i -lt 300 ] || { cat /tmp/log; exit 1; }; sleep 0.1; done
    kill -TERM $gateway
    wait $gateway
    [ "$(blocked)" -gt 0 ]
    echo "nonsense {" >/etc/swanctl/swanctl.conf
    status=0; '$command' --card none 2>/tmp/log || status=$?
    [ $status = 2 ]'
# shellcheck disable=SC2046
in_root "$root" setpriv $(caps +net_admin,+net_raw) -- sh -euc "$gateway" >"$work/gateway.log" 2>&1 || {
    tail -n 20 "$work/gateway.log" >&2
    bad "the gateway in it"
}
ok "a gateway: loads its file, again on SIGHUP, blocks what it protects, ends with status 0, and with 2 where the file has a fault"
echo "$passed passed"
