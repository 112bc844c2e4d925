#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Unpacks peers that cannot be installed beside strongSwan, with the libraries that they need, into a folder of their own.
# usage: get.sh FOLDER [PACKAGE...]     A/B: whichever this Debian has. Exit status: 0 it is all there, 3 it cannot be had (said on stderr)
set -eu
dir=$1
shift
[ $# -gt 0 ] || set -- libreswan libldns3 libevent-pthreads-2.1-7 libevent-2.1-7 libunbound8 libcurl3-nss libnss3-tools openiked
[ -e "$dir/.done" ] && exit 0
mkdir -p "$dir/debs" "$dir/root"
cd "$dir/debs"
download() { # A/B
    for p in $(echo "$1" | tr / ' '); do
        apt-get download -q "$p" >log 2>&1 && return
    done
    return 1
}
for names in "$@"; do
    download "$names" || {
        echo "peers: skip: because the Debian package $names cannot be downloaded ($(tail -n 1 log))" >&2
        exit 3
    }
    dpkg -x "$p"_*.deb ../root
done
touch ../.done
