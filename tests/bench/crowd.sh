#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The flash crowd: very many devices come back at once, after a power cut, while forged requests come beside them. The gateway has
# core 0 to itself, the devices and the forger (espalier-load) core 1. Three times, one daemon after the other: devices of which the
# gateway holds nothing, the same devices once more, who say that they are new (INITIAL_CONTACT) while it still holds their SAs of before, and
# devices with RSA-2048 certificates. What is told: how many are up, seconds until the last of them is, CPU of all of the gateway's
# processes, their memory (proportional set size, the highest seen, sampled each second).
# usage: crowd.sh [BIN-DIR] [REPORT.json]     DEVICES, DEVICES_CERT, DEVICES_CHARON (0: left out), FORGED (a second), KINDS
set -eu
bin=$(realpath "${1:-build/bin}")
report=${2:-}
devices=${DEVICES:-100000} devices_cert=${DEVICES_CERT:-100000} devices_charon=${DEVICES_CHARON:-10000} forged=${FORGED:-3000}
kinds=${KINDS:-espalierd charon}
secret="of this crowd alone" unique=replace on_core=(taskset -c 0)
[ "$(nproc)" -ge 2 ] || {
    echo "crowd.sh: two cores are needed, one for the gateway and one for the crowd; here is $(nproc)" >&2
    exit 3
}
# shellcheck source=tests/bench/responder.sh
. "$(dirname "$0")/responder.sh"
conf_of_the_crowd() {
    conf 0
    printf 'connections { clients-psk { dpd_delay = 0\n rekey_time = 0 }\n clients-pubkey { dpd_delay = 0\n rekey_time = 0 } }\n' >>"$dir/swanctl/swanctl.conf"
}
memory() { # of all its processes, KiB
    local p
    for p in $(family "$pid"); do awk '/^Pss:/ { print $2 }' "/proc/$p/smaps_rollup" 2>/dev/null || true; done | awk '{ n += $1 } END { print n + 0 }'
}
crowd() { # name, how many, first, credentials
    local name=$1 count=$2 first=$3 forger watcher
    shift 3
    echo "$kind: $name, $count devices, $forged forged requests a second" >&2
    ip netns exec "${n}c" taskset -c 1 "$bin/espalier-load" --peer 192.0.2.1 --source 172.18.0.1+65536 --kind requests --rate "$forged" \
        --count $((forged * 1200)) --settle 0 --json "$dir/flood" >/dev/null &
    forger=$!
    (while :; do
        memory
        sleep 1
    done) >"$dir/memory" &
    watcher=$!
    sleep 0.5
    ip netns exec "${n}c" taskset -c 1 "$bin/espalier-load" --peer 192.0.2.1 --source 172.16.0.1+65536 --remote-ts 192.168.0.0/24 --pid "$pid" \
        --count "$count" --first "$first" --window 512 --timeout 1000 --tries 20 --json "$dir/one" "$@" >"$dir/load.out" 2>&1 || tail -n 3 "$dir/load.out" >&2
    kill $forger $watcher
    wait $forger $watcher 2>/dev/null || true
    memory >>"$dir/memory"
    printf '%s\t%s\t%s\t%s\n' "$kind" "$name" "$(sort -n "$dir/memory" | tail -n 1)" "$(tr -d '\n' <"$dir/one")" >>"$dir/all"
}
with_secret=(--psk "$secret" --id 'c%u.psk.load.test')
certs
for kind in $kinds; do
    there "$kind" || continue
    count=$devices cert=$devices_cert
    [ "$kind" = espalierd ] || count=$devices_charon cert=$((devices_charon / 10))
    net_up
    unique=replace
    conf_of_the_crowd
    if [ "$count" -gt 0 ]; then
        up "$kind" || exit 1
        crowd "with secrets" "$count" 0 "${with_secret[@]}"
        crowd "the same again" "$count" 0 "${with_secret[@]}" --initial-contact
        down
    fi
    if [ "$cert" -gt 0 ]; then
        unique=never # their certificate is one for all, and so is their name
        conf_of_the_crowd
        up "$kind" || exit 1
        crowd "with certificates" "$cert" 0 --cert "$dir/pki/client.pem" --key "$dir/pki/client.key" --id client.pubkey.load.test
        down
    fi
    net_down
done
python3 "$(dirname "$0")/crowd_table.py" "$dir/all" "$report"
