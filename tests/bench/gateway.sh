#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a gateway without a card carries: two clients, a gateway before each, in network namespaces, with one tunnel between
# the gateways at a time: espalierd (ESP in UDP, raw ESP), strongSwan's kernel-libipsec (in UDP) and wireguard-go where they
# are installed, a pair of programs that only pass on what the kernel gives them, and plain forwarding. The kinds take turns, round by round; medians. Packets of 1,400 octets inside.
# CPU is user and system time of the gateways' own processes, both together, per packet inside. What the kernel does in
# softirqs is charged to whom it interrupts: where a program writes into a TUN or sends, that is this program, so that
# forwarding and much of the clients' TCP are in it, for all kinds alike. `pass-on` is that, and the kernel's copies: no
# gateway in user space can cost less. (Its clients' packets end at 60,000 octets: with a header they go by one call.)
# usage: gateway.sh [BIN-DIR]       ROUNDS, SECONDS_EACH, KINDS in the environment; espalier-udp@2: with two workers
set -eu
bin=$(realpath "${1:-build/bin}")
rounds=${ROUNDS:-3}
seconds=${SECONDS_EACH:-4}
kinds=${KINDS:-espalier-udp espalier-raw libipsec wireguard-go pass-on plain}
[ "$(id -u)" = 0 ] || {
    echo "gateway.sh: needs root (network namespaces)" >&2
    exit 3
}
for p in ip iperf3 swanctl ping; do
    command -v $p >/dev/null || {
        echo "gateway.sh: $p is not installed" >&2
        exit 3
    }
done
dir=$(mktemp -d)
n=gwb$$
pids=

in_ns() { ip netns exec "$n$1" "${@:2}"; }
net_down() {
    for s in c1 g1 g2 c2; do ip netns del "$n$s" 2>/dev/null || true; done
}
net_up() {
    local i s
    for s in c1 g1 g2 c2; do
        ip netns add "$n$s"
        ip -n "$n$s" link set lo up
    done
    for i in 1 2; do
        ip link add lan netns "${n}g$i" type veth peer name lan netns "${n}c$i"
        ip -n "${n}g$i" addr add "10.$i.0.1/24" dev lan
        ip -n "${n}c$i" addr add "10.$i.0.2/24" dev lan
        ip -n "${n}g$i" link set lan mtu 1500 up
        ip -n "${n}c$i" link set lan mtu 1400 up # so that every tunnel carries the same packets
        ip -n "${n}c$i" route add default via "10.$i.0.1"
        in_ns g$i sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
    done
    ip link add wan netns "${n}g1" type veth peer name wan netns "${n}g2"
    for i in 1 2; do
        ip -n "${n}g$i" addr add "192.0.2.$i/24" dev wan
        ip -n "${n}g$i" link set wan mtu 1500 up
    done
}
trap 'down; net_down; rm -rf "$dir"' EXIT

conf() { # gateway, its peer, encap
    mkdir -p "$dir/$1/swanctl"
    cat >"$dir/$1/swanctl/swanctl.conf" <<E
connections { t { version = 2
    local_addrs = 192.0.2.$1
    remote_addrs = 192.0.2.$2
    proposals = aes256gcm16-prfsha256-x25519
    encap = $3
    mobike = no
    local { auth = psk
      id = g$1.test }
    remote { auth = psk
      id = g$2.test }
    children { net { local_ts = 10.$1.0.0/24
        remote_ts = 10.$2.0.0/24
        esp_proposals = aes256gcm16
        rekey_time = 0 } } } }
secrets { ike-1 { id-1 = g1.test
    id-2 = g2.test
    secret = "of this measurement alone" } }
E
    cat >"$dir/$1/strongswan.conf" <<E
charon { load = random nonce pem openssl kdf drbg gcm aes sha2 hmac curve25519 kernel-libipsec kernel-netlink socket-default vici
  filelog { main { path = $dir/$1/charon.log
      default = 1 } }
  plugins { vici { socket = unix://$dir/$1/vici } } }
swanctl { socket = unix://$dir/$1/vici }
E
}
ctl() { SWANCTL_DIR=$dir/$1/swanctl STRONGSWAN_CONF=$dir/$1/strongswan.conf in_ns "g$1" swanctl "${@:2}" --uri "unix://$dir/$1/vici"; }
ike_up() { # the daemon's start is the first argument
    local i t
    for i in 1 2; do
        conf $i $((3 - i)) "$2"
        $1 $i
        pids="$pids $!"
    done
    for i in 1 2; do
        for t in $(seq 100); do
            [ -S "$dir/$i/vici" ] && ctl $i --load-all --noprompt >"$dir/$i/load" 2>&1 && break
            [ "$t" -lt 100 ] || return 1
            sleep 0.1
        done
    done
    ctl 1 --initiate --child net >"$dir/initiate" 2>&1
}
# No function in the background: what is killed has to be the daemon, not a shell that waits for it.
espalier() {
    ip netns exec "${n}g$1" "$bin/espalierd" --vici "unix://$dir/$1/vici" --run-dir "$dir/$1/run" --card none -o "workers=$workers" \
        >"$dir/$1/log" 2>&1 &
}
charon() {
    STRONGSWAN_CONF=$dir/$1/strongswan.conf ip netns exec "${n}g$1" unshare -m sh -c 'mount -t tmpfs none /run; exec /usr/lib/ipsec/charon' \
        >"$dir/$1/log" 2>&1 &
}
wireguard() {
    local i o
    for i in 1 2; do
        mkdir -p "$dir/$i"
        wg genkey >"$dir/$i/key"
        ip netns exec "${n}g$i" wireguard-go -f "wg$i" >"$dir/$i/log" 2>&1 &
        pids="$pids $!"
    done
    for i in 1 2; do
        o=$((3 - i))
        for _ in $(seq 50); do
            ip -n "${n}g$i" link show "wg$i" >/dev/null 2>&1 && break
            sleep 0.1
        done
        in_ns g$i wg set "wg$i" private-key "$dir/$i/key" listen-port 51820 peer "$(wg pubkey <"$dir/$o/key")" \
            endpoint "192.0.2.$o:51820" allowed-ips "10.$o.0.0/24"
        ip -n "${n}g$i" link set "wg$i" mtu 1420 up
        ip -n "${n}g$i" route add "10.$o.0.0/24" dev "wg$i"
    done
}
pass_on() {
    local i o
    for i in 1 2; do
        o=$((3 - i))
        ip netns exec "${n}g$i" "$bin/../tests/pass_on" pass0 "192.0.2.$i" "192.0.2.$o" &
        pids="$pids $!"
        for _ in $(seq 50); do
            ip -n "${n}g$i" link set pass0 mtu 1400 up 2>/dev/null && break
            sleep 0.1
        done
        ip -n "${n}g$i" route add "10.$o.0.0/24" dev pass0
        ip -n "${n}c$i" link set lan gso_max_size 60000
    done
}
up() {
    workers=1
    case $1 in *@*) workers=${1#*@} ;; esac
    case ${1%@*} in
    espalier-udp) ike_up espalier yes ;;
    espalier-raw) ike_up espalier no ;;
    libipsec) ike_up charon no ;;
    wireguard-go) wireguard ;;
    pass-on) pass_on ;;
    plain) for i in 1 2; do ip -n "${n}g$i" route add "10.$((3 - i)).0.0/24" via "192.0.2.$((3 - i))"; done ;;
    esac
}
down() {
    local p
    for p in $pids; do kill "$p" 2>/dev/null || true; done
    for p in $pids; do wait "$p" 2>/dev/null || true; done
    pids=
}
there() {
    case $1 in
    libipsec) [ -x /usr/lib/ipsec/charon ] && ls /usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so >/dev/null 2>&1 ;;
    pass-on) [ -x "$bin/../tests/pass_on" ] ;;
    wireguard-go) command -v wireguard-go >/dev/null && command -v wg >/dev/null ;;
    *) true ;;
    esac
}
family() { # a process and all below it
    local p
    echo "$1"
    local all
    all=$(cat /proc/"$1"/task/*/children 2>/dev/null) || true
    for p in $all; do family "$p"; done
}
cpu_ns() { # of all processes of the gateways
    local p t f all=0
    for p in $pids; do
        for t in $(family "$p"); do
            for f in /proc/"$t"/task/*/schedstat; do
                read -r ns _ <"$f" 2>/dev/null && all=$((all + ns))
            done
        done
    done
    echo $all
}
flow() { # iperf3's options; octets received, Mb/s, retransmissions
    ip netns exec "${n}c2" timeout $((seconds + 20)) iperf3 -s -1 >/dev/null &
    local s=$!
    for _ in $(seq 50); do
        in_ns c2 ss -Hltn 'sport = 5201' | grep -q . && break
        sleep 0.05
    done
    in_ns c1 timeout $((seconds + 15)) iperf3 -c 10.2.0.2 -t "$seconds" -J "$@" >"$dir/iperf" || true
    wait $s || true
    python3 - "$dir/iperf" <<'P'
import json, sys
e = json.load(open(sys.argv[1])).get("end", {})
u = e.get("sum", {})
if "sum_received" in e and not u.get("packets"):
    print(e["sum_received"]["bytes"], e["sum_received"]["bits_per_second"] / 1e6, e["sum_sent"].get("retransmits", 0))
else:
    print(u.get("packets", 0) - u.get("lost_packets", 0), u.get("lost_percent", 100), 0)
P
}
measure() { # one line: kind, ping ms, Mb/s, retransmissions, µs per 1,400-octet packet, µs per 64-octet packet, its loss
    local ping a b tcp udp
    in_ns c1 ping -q -c 3 -i 0.2 10.2.0.2 >/dev/null || return 1
    ping=$(in_ns c1 ping -q -c 200 -i 0.005 10.2.0.2 | awk -F/ '/^rtt/ { print $5 }')
    a=$(cpu_ns)
    tcp=$(flow)
    b=$(cpu_ns)
    tcp="$tcp $((b - a))"
    a=$(cpu_ns)
    udp=$(flow -u -l 36 -b 5760000) # 64 octets of IP, 20,000 a second
    b=$(cpu_ns)
    echo "$1 $ping $tcp $udp $((b - a))" | awk '{ printf "%s %s %.0f %d %.2f %.2f %.1f\n", $1, $2, $4, $5, $3 ? $6 / 1e3 / ($3 / 1348) : 0,
        $7 ? $10 / 1e3 / $7 : 0, $8 }'
}
for r in $(seq "$rounds"); do
    for k in $kinds; do
        there "$k" || continue
        net_up
        if ! up "$k" || ! measure "$k" >>"$dir/all"; then
            echo "gateway.sh: $k does not come up" >&2
            tail -n 5 "$dir"/[12]/log "$dir/initiate" >&2 || true
        fi
        down
        net_down
    done
    echo "round $r of $rounds" >&2
done
python3 - "$dir/all" "$kinds" <<'P'
import os, statistics, sys
rows = {}
if not os.path.exists(sys.argv[1]):
    sys.exit("gateway.sh: nothing came up")
for l in open(sys.argv[1]):
    k, *v = l.split()
    rows.setdefault(k, []).append([float(x) for x in v])
print("medians of %d rounds" % max(len(v) for v in rows.values()))
print("%-14s %9s %11s %13s %14s %12s %9s" % ("", "ping ms", "TCP Mb/s", "retransmits", "us/1400 octets", "us/64 octets", "its loss"))
for k in sys.argv[2].split():
    if k not in rows:
        print("%-14s not installed, or it does not come up" % k)
        continue
    m = [statistics.median(c) for c in zip(*rows[k])]
    print("%-14s %9.3f %11.0f %13.0f %14.2f %12.2f %8.1f%%" % (k, *m))
P
