# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What measurements of a responder share, sourced by them: two namespaces with a cable between them, a configuration that
# all clients meet, the daemon (espalierd or charon) and espalier-load. Set before: bin, secret, unique (what is done
# about a client's older IKE SA), on_core (a command that keeps the daemon on a core, or ()).
: "${bin:?}" "${secret:?}" "${unique:?}"
[ -n "${on_core+x}" ] || on_core=()
kind=
[ "$(id -u)" = 0 ] || {
    echo "${0##*/}: needs root (network namespaces)" >&2
    exit 3
}
for p in ip swanctl python3 openssl; do
    command -v $p >/dev/null || {
        echo "${0##*/}: $p is not installed" >&2
        exit 3
    }
done
dir=$(mktemp -d)
n=ikb$$
pid=

net_down() {
    for s in r c; do ip netns del "$n$s" 2>/dev/null || true; done
}
net_up() {
    for s in r c; do
        ip netns add "$n$s"
        ip -n "$n$s" link set lo up
    done
    ip link add wan netns "${n}r" type veth peer name wan netns "${n}c"
    ip -n "${n}r" addr add 192.0.2.1/24 dev wan
    ip -n "${n}r" addr add 192.168.0.1/24 dev lo
    ip -n "${n}c" addr add 192.0.2.2/24 dev wan
    ip -n "${n}r" link set wan up
    ip -n "${n}c" link set wan up
    ip -n "${n}c" route add local 172.16.0.0/14 dev lo # all of it is the clients'
    ip -n "${n}r" route add 172.16.0.0/14 via 192.0.2.2
}
down() {
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
    [ -z "$pid" ] || wait "$pid" 2>/dev/null || true
    pid=
}
trap 'down; net_down; rm -rf "$dir"' EXIT

# One connection that every client meets, and as many others as are asked for.
conf() {
    mkdir -p "$dir/swanctl/x509" "$dir/swanctl/x509ca" "$dir/swanctl/private"
    {
        echo "connections {"
        for auth in psk pubkey; do
            cat <<E2
  clients-$auth { version = 2
    local_addrs = 192.0.2.1
    proposals = aes256gcm16-prfsha256-x25519
    mobike = no
    unique = $unique
    local { auth = $auth
      id = gw.load.test
      $([ $auth = psk ] || echo "certs = gw.pem") }
    remote { auth = $auth
      id = *.$auth.load.test }
    children { net { local_ts = 192.168.0.0/24
        remote_ts = 10.0.0.0/8
        esp_proposals = aes256gcm16
        rekey_time = 0 } } }
E2
        done
        echo "}"
        echo "secrets { ike-1 { secret = \"$secret\" } }"
    } >"$dir/swanctl/swanctl.conf"
    python3 - "$1" >>"$dir/swanctl/swanctl.conf" <<'P'
import sys
for i in range(int(sys.argv[1])):
    print("connections { other-%d { version = 2\n local_addrs = 192.0.2.1\n remote_addrs = 198.18.%d.%d\n proposals = aes256gcm16-prfsha256-x25519\n"
          " local { auth = psk\n id = gw.load.test }\n remote { auth = psk\n id = device-%d.other.test }\n"
          " children { net { local_ts = 192.168.0.0/24\n remote_ts = 10.255.%d.%d/32\n esp_proposals = aes256gcm16 } } } }"
          % (i, i >> 8 & 255, i & 255, i, i >> 8 & 255, i & 255))
P
    cat >"$dir/strongswan.conf" <<E2
charon { load = random nonce x509 pem pkcs1 pkcs8 pubkey constraints openssl kdf drbg gcm aes sha2 hmac curve25519 kernel-libipsec kernel-netlink socket-default vici
  filelog { main { path = $dir/charon.log
      default = 1 } }
  plugins { vici { socket = unix://$dir/vici } } }
swanctl { socket = unix://$dir/vici }
E2
}
certs() { # RSA-2048 of the gateway and of all clients, of one authority
    (
        cd "$dir" || exit
        mkdir -p pki swanctl/x509 swanctl/x509ca swanctl/private
        openssl req -x509 -newkey rsa:2048 -nodes -keyout pki/ca.key -out swanctl/x509ca/ca.pem -days 30 -subj "/CN=ca.load.test" 2>/dev/null
        for who in gw client; do
            name=$who.load.test
            [ $who = gw ] || name=client.pubkey.load.test
            printf 'subjectAltName=DNS:%s\n' "$name" >pki/ext
            openssl req -newkey rsa:2048 -nodes -keyout "pki/$who.key" -out pki/csr -subj "/CN=$name" 2>/dev/null
            openssl x509 -req -in pki/csr -CA swanctl/x509ca/ca.pem -CAkey pki/ca.key -CAcreateserial -days 30 -extfile pki/ext -out "pki/$who.pem" 2>/dev/null
        done
        cp pki/gw.pem swanctl/x509/
        cp pki/gw.key swanctl/private/
    )
}
ctl() { SWANCTL_DIR=$dir/swanctl STRONGSWAN_CONF=$dir/strongswan.conf ip netns exec "${n}r" swanctl "$@" --uri "unix://$dir/vici"; }
load_all() { ctl --load-all --noprompt >"$dir/load.log" 2>&1; }
up() { # kind
    rm -f "$dir/vici"
    if [ "$1" = espalierd ]; then
        ip netns exec "${n}r" "${on_core[@]}" "$bin/espalierd" --vici "unix://$dir/vici" --run-dir "$dir/run" --card none >"$dir/log" 2>&1 &
    else
        STRONGSWAN_CONF=$dir/strongswan.conf ip netns exec "${n}r" "${on_core[@]}" unshare -m sh -c 'mount -t tmpfs none /run; exec /usr/lib/ipsec/charon' \
            >"$dir/log" 2>&1 &
    fi
    pid=$!
    for _ in $(seq 100); do
        [ -S "$dir/vici" ] && load_all && return 0
        sleep 0.1
    done
    tail -n 5 "$dir/load.log" "$dir/log" >&2
    return 1
}
there() { [ "$1" = espalierd ] || { [ -x /usr/lib/ipsec/charon ] && ls /usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so >/dev/null 2>&1; }; }
load() { # name of the measure, options of espalier-load
    local name=$1
    shift
    ip netns exec "${n}c" "$bin/espalier-load" --peer 192.0.2.1 --source 172.16.0.1+8192 --remote-ts 192.168.0.0/24 --pid "$pid" \
        --json "$dir/one" "$@" >/dev/null || echo "${0##*/}: $kind, $name: not all done" >&2
    printf '%s\t%s\t%s\n' "$kind" "$name" "$(tr -d '\n' <"$dir/one")" >>"$dir/all"
}
psk() { load "$1" --psk "$secret" --id 'c%u.psk.load.test' "${@:2}"; }
octets() { # of all processes of the responder
    local p
    for p in $(family "$pid"); do awk '/^Private_Dirty/ { n += $2 } END { print n * 1024 }' "/proc/$p/smaps_rollup"; done | awk '{ n += $1 } END { print n + 0 }'
}
family() {
    local p all
    echo "$1"
    all=$(cat /proc/"$1"/task/*/children 2>/dev/null) || true
    for p in $all; do family "$p"; done
}
