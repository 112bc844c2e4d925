#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that building, testing and the demo need; does nothing where they are all there. Without
# root or sudo it prints the one line to run and exits 3. Services that come with the packages are kept from starting.
set -eu
build="gcc g++ make ccache verilator zlib1g-dev pkg-config libssl-dev libpci-dev libpcap-dev libcmocka-dev libjansson-dev libmnl-dev"
tools="python3 python3-venv python3-scapy python3-cryptography python3-cryptography-vectors iproute2 iputils-ping procps
    pciutils tshark netcat-openbsd util-linux"
client="strongswan-swanctl"
# strongSwan itself is a peer: without it two espalierd face each other, and the tests that need it say that they skip
peers="strongswan-charon libcharon-extra-plugins libstrongswan-standard-plugins libstrongswan-extra-plugins"
lint="clang clang-format clang-tidy shellcheck yosys iverilog"
case "${1:-all}" in
demo) want="$build $tools $client" ;;
all) want="$build $tools $client $lint" ;;
*)
    echo "usage: deps.sh [demo|all]" >&2
    exit 2
    ;;
esac

absent() {
    for p in $1; do
        dpkg-query -W -f '${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || printf ' %s' "$p"
    done
}
missing=$(absent "$want")
missing_peers=$(absent "$peers")
[ -n "$missing$missing_peers" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null || { [ -t 0 ] && command -v sudo >/dev/null && sudo true; }; then
    as_root=sudo
elif [ -z "$missing" ]; then
    echo "deps: strongSwan is not installed ($missing_peers): going on without it" >&2
    exit 0
else
    echo "Missing packages. As root, run:" >&2
    echo "  apt-get install -y --no-install-recommends$missing$missing_peers" >&2
    exit 3
fi

echo "installing:$missing$missing_peers"
policy=/usr/sbin/policy-rc.d
made=
if [ ! -e "$policy" ]; then # Debian's way to say: do not start services now
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
    made=1
fi
log=${TMPDIR:-/tmp}/espalier-deps.log
install() {
    $as_root sh -c "DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends$1" >>"$log" 2>&1
}
status=0
$as_root apt-get update -q >"$log" 2>&1 || status=$?
[ "$status" != 0 ] || [ -z "$missing" ] || install "$missing" || status=$?
if [ "$status" = 0 ] && [ -n "$missing_peers" ] && ! install "$missing_peers"; then
    echo "deps: strongSwan cannot be installed here ($log says why); going on without it" >&2
fi
[ -z "$made" ] || $as_root rm -f "$policy"
if [ "$status" != 0 ]; then
    tail -n 20 "$log" >&2
    echo "deps: apt-get failed; its whole output is in $log" >&2
    exit 1
fi
# A strongSwan service on the machine itself would take ports 500 and 4500 at the next boot; the tests run their own.
if [ -d /run/systemd/system ]; then
    $as_root systemctl disable --now strongswan-starter.service >/dev/null 2>&1 || true
fi
