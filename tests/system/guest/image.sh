#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes the initial RAM file system of a virtual machine from what this machine has: programs and folders at the places
# where they are here, with the libraries that they need; and from the guest's folder (get.sh) the kernel's modules, each
# with those that it depends on, and busybox for the rest.
# usage: image.sh GUEST OUT INIT [--module NAME | --program PATH | --folder PATH]...
set -euo pipefail
guest=$1 out=$2 init=$3
shift 3
[[ -d $guest/modules/ ]] || {
    echo "image.sh: $guest holds no modules (get.sh)" >&2
    exit 1
}
root=$(mktemp -d "${TMPDIR:-/tmp}/espalier-image.XXXXXX")
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{usr/{bin,sbin,lib,lib64},dev,proc,sys,tmp,run,var,etc,root,modules}
for d in bin sbin lib lib64; do
    ln -s usr/$d "$root/$d"
done
ln -s ../run "$root/var/run"

# put FILE: a program or library where it is here, and what it is linked with
put() {
    local library
    [[ ! -e $root$1 ]] || return 0
    mkdir -p "$root${1%/*}"
    cp -L "$1" "$root$1"
    while read -r library; do
        [[ -e $root$library ]] || { mkdir -p "$root${library%/*}" && cp -L "$library" "$root$library"; }
    done < <(ldd "$1" 2>/dev/null | sed -n 's|^[^/]*\(/[^ ]*\) (0x.*|\1|p')
}

# module NAME: unpacked, behind those that it depends on; none where it is built in
declare -A known=()
module() {
    local name=${1//-/_} file needs n
    [[ -z ${known[$name]:-} ]] || return 0
    known[$name]=1
    file=${files[$name]:-}
    case $file in
        '') return 0 ;;
        *.xz) xz -dc "$file" >"$root/modules/$name.ko" ;;
        *.zst) zstd -dqc "$file" >"$root/modules/$name.ko" ;;
        *) cp "$file" "$root/modules/$name.ko" ;;
    esac
    needs=$(tr '\0' '\n' <"$root/modules/$name.ko" | sed -n 's/^depends=//p' | head -n 1)
    for n in ${needs//,/ }; do
        module "$n"
    done
    echo "$name" >>"$root/modules/order"
}
declare -A files=()
while read -r f; do
    n=${f##*/}
    n=${n%%.ko*}
    files[${n//-/_}]=$f
done < <(find "$guest/modules/" -name '*.ko*')

: >"$root/modules/order"
f=/lib/x86_64-linux-gnu/libgcc_s.so.1 # the C library loads it where a thread is cancelled
[[ ! -e $f ]] || put "$f"
cp -L "$guest/busybox" "$root/usr/bin/busybox"
# not busybox's own, which takes its applets for the programs that are here
put "$(readlink -f /bin/sh)"
ln -sf "$(readlink -f /bin/sh)" "$root/usr/bin/sh"
while [[ $# -gt 0 ]]; do
    case $1 in
        --module) module "$2" ;;
        --program)
            program=$(readlink -f "$(command -v "$2")")
            put "$program"
            [[ -e $root/usr/bin/${2##*/} ]] || ln -s "$program" "$root/usr/bin/${2##*/}"
            ;;
        --folder)
            mkdir -p "$root$2"
            cp -rL "$2/." "$root$2/"
            while read -r f; do
                put_libraries=$(ldd "$f" 2>/dev/null | sed -n 's|^[^/]*\(/[^ ]*\) (0x.*|\1|p')
                for l in $put_libraries; do put "$l"; done
            done < <(find "$2/" -name '*.so')
            ;;
        *)
            echo "image.sh: $1 is none of --module, --program, --folder" >&2
            exit 1
            ;;
    esac
    shift 2
done
install -m 755 "$init" "$root/init"
(cd "$root" && find . | "$root/usr/bin/busybox" cpio -o -H newc 2>/dev/null) >"$out.new"
mv "$out.new" "$out"
