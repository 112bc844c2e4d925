#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that building, testing and the demo need; does nothing where they are all there. It adds
# packages and nothing else: none is removed, none of a machine's own strongSwan or libreswan is changed, no unit that
# was there before is stopped or disabled. Without root or sudo it prints the one line to run and exits 3.
# usage: deps.sh [demo|all|fleet|roots|software|newest|qemu|deb|lintian]
set -eu
build="gcc g++ make ccache verilator zlib1g-dev pkg-config libssl-dev libpci-dev libpcap-dev libcmocka-dev libjansson-dev libmnl-dev libcurl4-openssl-dev libmicrohttpd-dev libseccomp-dev libcap-ng-dev"
# only there for this processor, and only faster: the software engine does without it
[ "$(dpkg --print-architecture 2>/dev/null)" != amd64 ] || build="$build libipsec-mb-dev"
tools="patch python3 python3-venv python3-scapy python3-cryptography python3-cryptography-vectors python3-prometheus-client iproute2 iputils-ping procps
    pciutils nftables curl tshark netcat-openbsd util-linux openssl strongswan-pki"
software="gcc make libssl-dev libpci-dev libmnl-dev libcurl4-openssl-dev libmicrohttpd-dev libseccomp-dev libcap-ng-dev libjansson-dev iproute2"
tools_lab="iputils-ping procps pciutils nftables tshark netcat-openbsd util-linux openssl strongswan-pki"
pluto="libnss3-tools libldns3t64 libunbound8 libevent-pthreads-2.1-7t64"
client="strongswan-swanctl"
# strongSwan itself is a peer: without it two espalierd face each other, and the tests that need it say that they skip
peers="strongswan-charon libcharon-extra-plugins libcharon-extauth-plugins libstrongswan-standard-plugins libstrongswan-extra-plugins"
daemons="strongswan-charon charon-systemd strongswan-starter libreswan"
etcd="etcd-server" # three gateways share it (check-fleet)
lint="clang libclang-rt-dev llvm clang-format clang-tidy shellcheck yosys iverilog"
case "${1:-all}" in
demo) want="$build $tools $client" ;;
all) want="$build $tools $client $lint $etcd" ;;
fleet) want="$build $tools $client $etcd" ;;
roots) want="debootstrap git" peers= ;; # for roots of other Debians (debian.sh)
newest) want="$software libcmocka-dev $tools_lab $client $pluto" ;; # the daemon, its laboratory without the card, and what libreswan 5 needs
qemu) want="$build $tools $client xz-utils" ;;
deb) want="$build build-essential debhelper fakeroot" peers= ;; # for making packages
lintian) want="lintian" peers= ;;
software) want=$software peers= ;;
*)
    echo "usage: deps.sh [demo|all|fleet|roots|software|newest|qemu|deb|lintian]" >&2
    exit 2
    ;;
esac
if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "deps: no apt here; needed is what Debian calls $(echo "$want" | tr -s '\n ' ' ')" >&2
    exit 3
fi

present() {
    dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}
absent() {
    for p in $1; do
        present "$p" || printf ' %s' "$p"
    done
}
missing=$(absent "$want")
missing_peers=$(absent "$peers")
if [ -n "$missing_peers" ]; then
    for p in $daemons; do
        if present "$p"; then
            echo "deps: $p is installed here and is left as it is; without$missing_peers the tests run a second espalierd as the peer" >&2
            missing_peers=
            break
        fi
    done
fi
[ -n "$missing$missing_peers" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null || { [ -t 0 ] && command -v sudo >/dev/null && sudo true; }; then
    as_root=sudo
elif [ -z "$missing" ]; then
    echo "deps: strongSwan is not installed ($missing_peers ): going on without it" >&2
    exit 0
else
    echo "deps: packages are missing, and installing them needs root or sudo. As root, run:" >&2
    echo "  apt-get update && apt-get install -y --no-remove --no-install-recommends$missing$missing_peers" >&2
    exit 3
fi

log=$(mktemp "${TMPDIR:-/tmp}/espalier-deps-XXXXXX")
policy=${ESPALIER_POLICY_RC_D:-/usr/sbin/policy-rc.d}
units=${ESPALIER_UNITS:-/lib/systemd/system /usr/local/lib/systemd/system /etc/systemd/system}
made_policy=
keep_log=
cleanup() {
    [ -z "$made_policy" ] || $as_root rm -f "$policy"
    [ -n "$keep_log" ] || rm -f "$log"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# names of the units of strongSwan and etcd that are there now
daemon_units() {
    for d in $units; do
        for f in "$d"/strongswan*.service "$d"/ipsec*.service "$d"/etcd*.service; do
            [ ! -e "$f" ] || basename "$f" .service
        done
    done | sort -u
}
units_before=$(daemon_units)

# policy-rc.d is Debian's way to say: do not start this service now. Ours speaks only of those units that this run
# brings, and only while this shell lives, so that even one left behind by kill -9 says nothing.
forbid_start() {
    [ ! -e "$policy" ] || return 0
    known=$(printf '%s\n' "$units_before" | sed '/^$/d' | tr '\n' '|' | sed 's/|$//')
    made_policy=1
    {
        echo '#!/bin/sh'
        echo "# made by espalier's tests/deps.sh for the time of its apt-get (process $$); remove it when that is gone"
        # shellcheck disable=SC2016
        echo 'u=${1%.service}'
        echo "kill -0 $$ 2>/dev/null || exit 0"
        # shellcheck disable=SC2016
        [ -z "$known" ] || echo 'case "$u" in '"$known) exit 0 ;; esac"
        # shellcheck disable=SC2016
        echo 'case "$u" in strongswan* | ipsec* | etcd*) exit 101 ;; esac'
        echo 'exit 0'
    } | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
}

# apt's status lines in, progress out: in place on a terminal, else a line every 15 s. The last line is apt's exit status.
progress() {
    started=$(date +%s)
    shown=$started
    while IFS=: read -r kind what percent _; do
        case "$kind" in
        rc)
            [ ! -t 1 ] || printf '\r\033[K'
            return "$what"
            ;;
        dlstatus) doing="fetching" ;;
        pmstatus) doing="unpacking and configuring" ;;
        *) continue ;;
        esac
        now=$(date +%s)
        if [ -t 1 ]; then
            printf '\r\033[K  %s: %s %%, %d s' "$doing" "${percent%%.*}" $((now - started))
        elif [ $((now - shown)) -ge "${ESPALIER_TICK:-15}" ]; then
            printf '  %s: %s %%, %d s\n' "$doing" "${percent%%.*}" $((now - started))
            shown=$now
        fi
    done
    return 1
}
# The log is opened here: root may not write to another one's file in /tmp (fs.protected_regular). sudo passes on no other
# descriptor than the first three.
apt() {
    # shellcheck disable=SC2016
    {
        $as_root env DEBIAN_FRONTEND=noninteractive sh -c \
            'exec apt-get -q -o APT::Status-Fd=3 -o DPkg::Lock::Timeout=300 "$@" 3>&1 >&2 </dev/null' sh "$@" 2>>"$log" || rc=$?
        echo "rc:${rc:-0}"
    } | progress
}
install() {
    # shellcheck disable=SC2086
    apt install -y --no-remove --no-upgrade --no-install-recommends $1
}

echo "deps: installing packages of this Debian (nothing is removed):$missing$missing_peers"
forbid_start
status=0
apt update || status=$?
[ "$status" != 0 ] || [ -z "$missing" ] || install "$missing" || status=$?
if [ "$status" = 0 ] && [ -n "$missing_peers" ] && ! install "$missing_peers"; then
    tail -n 5 "$log" >&2
    echo "deps: strongSwan cannot be added here (above: apt's last lines); going on with a second espalierd as the peer" >&2
fi
if [ "$status" != 0 ]; then
    tail -n 20 "$log" >&2
    keep_log=1
    # what a run of many checks goes on without (or_skip.sh)
    ! grep -qE '^[EW]: .*(Failed to fetch|Unable to fetch|Unable to locate)' "$log" || [ -z "${ESPALIER_LACKS:-}" ] ||
        echo "packages cannot be fetched:$missing (apt-get said: $(grep -E '^[EW]: ' "$log" | head -n 1); the whole in $log)" >>"$ESPALIER_LACKS"
    echo "deps: apt-get failed (above: its last lines; the whole output is in $log)" >&2
    exit 1
fi
# A service that came just now would take its ports (500, 4500, 2379) at the next boot; the tests start their own.
if [ -d /run/systemd/system ] || [ -n "${ESPALIER_UNITS:-}" ]; then
    for u in $(daemon_units); do
        ! printf '%s\n' "$units_before" | grep -qx "$u" || continue
        for d in $units; do
            if [ -f "$d/$u.service" ] && [ ! -L "$d/$u.service" ]; then # a link is an alias that systemctl made
                echo "deps: disabling $u.service, which came with these packages (systemctl enable $u brings it back)"
                $as_root systemctl disable --now "$u.service" >>"$log" 2>&1 ||
                    echo "deps: $u.service could not be disabled" >&2
            fi
        done
    done
fi
echo "deps: done"
