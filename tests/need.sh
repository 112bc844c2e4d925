#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Says what a test or the demo would lack here, before anything starts: rights, TUN, programs. Exits 3 where something is
# missing, and names each thing with what would bring it.
# usage: need.sh lab | rootless | build
set -u
here=$(dirname "$0")
lacking=0
lack() {
    echo "missing: $*" >&2
    lacking=1
}

programs() { # NAME:PACKAGE...
    for np in "$@"; do
        PATH=$PATH:/usr/sbin:/sbin command -v "${np%%:*}" >/dev/null || lack "the program ${np%%:*} (Debian package ${np#*:}; \`make deps\`)"
    done
}

# In a network namespace of its own, with the rights that as_root.sh (or a user namespace) gives.
namespace() { # COMMAND... that runs its arguments in that namespace
    "$@" ip link add esp0 type veth peer name esp1 2>/dev/null || lack "network interfaces (veth): the kernel module, or the right CAP_NET_ADMIN"
    if [ ! -e /dev/net/tun ]; then
        lack "/dev/net/tun (in a container: --device /dev/net/tun)"
    else
        "$@" ip tuntap add dev esp2 mode tun 2>/dev/null || lack "the right to use /dev/net/tun (CAP_NET_ADMIN; its mode is usually 0666)"
    fi
    "$@" ip xfrm policy add src 192.0.2.1 dst 192.0.2.2 dir out action block 2>/dev/null ||
        lack "the kernel's IPsec policies (xfrm_user): without them nothing could be held back in clear"
}

case "${1:-}" in
build)
    programs gcc:gcc g++:g++ make:make verilator:verilator python3:python3
    ;;
lab)
    programs ip:iproute2 ping:iputils-ping nsenter:util-linux unshare:util-linux tshark:tshark nc:netcat-openbsd \
        swanctl:strongswan-swanctl lspci:pciutils
    if ! "$here/as_root.sh" true 2>/dev/null; then
        lack "root, sudo without a password, or unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1), to make network namespaces"
    elif ! "$here/as_root.sh" unshare -n true 2>/dev/null; then
        lack "the right to make network namespaces (CAP_SYS_ADMIN; in a container: --cap-add SYS_ADMIN --cap-add NET_ADMIN)"
    elif command -v ip >/dev/null || [ -x /sbin/ip ]; then
        namespace "$here/as_root.sh" unshare -n
    fi
    ;;
rootless)
    programs ip:iproute2 unshare:util-linux setpriv:util-linux
    as_user=
    [ "$(id -u)" != 0 ] || as_user="setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs"
    # shellcheck disable=SC2086
    if ! $as_user unshare -Urnm true 2>/dev/null; then
        lack "user namespaces for an unprivileged user (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns=0)"
    else
        namespace $as_user unshare -Urnm
    fi
    ;;
*)
    echo "usage: need.sh lab | rootless | build" >&2
    exit 2
    ;;
esac
[ $lacking = 0 ] || exit 3
