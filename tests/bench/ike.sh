#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What IKEv2 costs a responder: espalierd and, where it is installed, strongSwan's charon (kernel-libipsec, so that both hold
# their ESP SAs themselves), at their default log levels, with espalier-load as all clients. The daemons take turns, round by
# round, each begun anew; medians. CPU is user and system time of all the responder's processes, octets are what they
# have written and no other process shares.
# usage: ike.sh [BIN-DIR] [REPORT.json]     ROUNDS, COUNT (clients a round), CONNS (connections loaded beside the one),
#        HELD and HELD_CHARON (clients of one daemon at a time; 0: none), KINDS in the environment
set -eu
bin=$(realpath "${1:-build/bin}")
report=${2:-}
rounds=${ROUNDS:-3} count=${COUNT:-1000} conns=${CONNS:-1000} held=${HELD:-100000} held_charon=${HELD_CHARON:-10000}
kinds=${KINDS:-espalierd charon}
secret="of this measurement alone" unique=never
# shellcheck source=tests/bench/responder.sh
. "$(dirname "$0")/responder.sh"
round() {
    local a b flood
    conf 0
    up "$kind" || return 0
    psk warm --count 200
    psk handshake --first 200 --count "$count"
    load certificates --cert "$dir/pki/client.pem" --key "$dir/pki/client.key" --id client.pubkey.load.test --first 100000 --count 200
    load half --kind half-open --count 200 --window 4
    load cookie --kind requests --rate 4000 --count 12000
    load junk --kind junk --rate 4000 --count 12000
    load unknown --kind unknown-spi --rate 4000 --count 12000
    ip netns exec "${n}c" "$bin/espalier-load" --peer 192.0.2.1 --source 172.18.0.1+65536 --kind requests --rate 3000 --count 15000 \
        --settle 0 --json "$dir/flood" >/dev/null &
    flood=$!
    sleep 0.5
    psk flooded --first 200000 --count 60 --rate 20
    wait $flood
    a=$(octets)
    conf "$conns"
    load_all || echo "ike.sh: $kind does not load $conns connections" >&2
    b=$(octets)
    printf '%s\tconnection\t{"octets_each": %s}\n' "$kind" "$(((b - a) / conns))" >>"$dir/all"
    psk handshake-conns --first 300000 --count 500
    load half-conns --kind half-open --count 200 --window 4
    down
    # the same pre-authentication work at a daemon that has nothing else: what many connections add is the difference
    conf 0
    up "$kind" || return 0
    load half-fresh --kind half-open --count 1000 --window 4 # many: what a daemon does once is 100 octets of each of 200
    down
}
hold() { # one daemon with very many clients: what the first and the last of them cost
    local some=$1
    [ "$some" -gt 0 ] || return 0
    conf 0
    up "$kind" || return 0
    psk held-first --count 2000
    psk held --first 2000 --count $((some - 4000)) --window 64 --timeout 5000
    psk held-last --first $((some - 2000)) --count 2000
    down
}

certs
for r in $(seq "$rounds"); do
    for kind in $kinds; do
        there "$kind" || continue
        net_up
        round
        net_down
    done
    echo "round $r of $rounds" >&2
done
for kind in $kinds; do
    there "$kind" || continue
    net_up
    if [ "$kind" = espalierd ]; then hold "$held"; else hold "$held_charon"; fi
    net_down
done
python3 "$(dirname "$0")/ike_table.py" "$dir/all" "$report"
