#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Unpacks peers that cannot be installed beside strongSwan, with the libraries that they need, into a folder of their own.
# usage: get.sh FOLDER        exit status: 0 it is all there, 3 it cannot be had (said on stderr)
set -eu
dir=$1
[ -e "$dir/.done" ] && exit 0
mkdir -p "$dir/debs" "$dir/root"
cd "$dir/debs"
for p in libreswan libldns3 libevent-pthreads-2.1-7 libevent-2.1-7 libunbound8 libcurl3-nss libnss3-tools openiked; do
    apt-get download -q "$p" >log 2>&1 || {
        echo "peers: skip: because the Debian package $p cannot be downloaded ($(tail -n 1 log))" >&2
        exit 3
    }
    dpkg -x "$p"_*.deb ../root
done
touch ../.done
