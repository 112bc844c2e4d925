#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that building, testing and the demo need; does nothing where they are all there. Without
# root or sudo it prints the one line to run and exits 3. Services that come with the packages are kept from starting.
set -eu
build="gcc g++ make ccache verilator zlib1g-dev pkg-config libssl-dev libpci-dev libcmocka-dev libjansson-dev libmnl-dev"
tools="python3 python3-venv python3-scapy python3-cryptography python3-cryptography-vectors iproute2 iputils-ping procps
    pciutils tshark netcat-openbsd util-linux"
peers="strongswan-charon strongswan-swanctl libcharon-extra-plugins libstrongswan-standard-plugins libstrongswan-extra-plugins"
lint="clang clang-tidy shellcheck yosys"
case "${1:-all}" in
demo) want="$build $tools $peers" ;;
all) want="$build $tools $peers $lint" ;;
*)
    echo "usage: deps.sh [demo|all]" >&2
    exit 2
    ;;
esac

missing=
for p in $want; do
    dpkg-query -W -f '${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null || { [ -t 0 ] && command -v sudo >/dev/null && sudo true; }; then
    as_root=sudo
else
    echo "Missing packages. As root, run:" >&2
    echo "  apt-get install -y --no-install-recommends$missing" >&2
    exit 3
fi

echo "installing:$missing"
policy=/usr/sbin/policy-rc.d
made=
if [ ! -e "$policy" ]; then # Debian's way to say: do not start services now
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
    made=1
fi
status=0
$as_root sh -c "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends$missing" \
    >"${TMPDIR:-/tmp}/espalier-deps.log" 2>&1 || status=$?
[ -z "$made" ] || $as_root rm -f "$policy"
if [ "$status" != 0 ]; then
    tail -n 20 "${TMPDIR:-/tmp}/espalier-deps.log" >&2
    echo "deps: apt-get failed; its whole output is in ${TMPDIR:-/tmp}/espalier-deps.log" >&2
    exit 1
fi
# A strongSwan service on the machine itself would take ports 500 and 4500 at the next boot; the tests run their own.
if [ -d /run/systemd/system ]; then
    $as_root systemctl disable --now strongswan-starter.service >/dev/null 2>&1 || true
fi
