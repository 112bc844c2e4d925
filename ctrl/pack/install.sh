#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Puts what was built where a machine has it, or takes it away again: one list (everything) serves both. Writes nothing
# outside $DESTDIR. Settings that are there already are kept, by either. Paths come in the environment, from pack.mk.
# usage: install.sh install | uninstall | list
set -eu
umask 022
do=${1:-}
: "${BUILD:=build}" "${DESTDIR=}" "${prefix:=/usr/local}"
: "${bindir:=$prefix/bin}" "${libdir:=$prefix/lib}" "${includedir:=$prefix/include}" "${datadir:=$prefix/share}" "${sysconfdir:=/etc}"
: "${mandir:=$datadir/man}" "${docdir:=$datadir/doc/espalier}" "${unitdir:=$prefix/lib/systemd/system}"
: "${bashdir:=$datadir/bash-completion/completions}" "${zshdir:=$datadir/zsh/site-functions}" "${fishdir:=$datadir/fish/vendor_completions.d}"
version=$(sed -n 's/^#define ESPALIER_VERSION "\(.*\)"/\1/p' driver/include/espalier/version.h)
pack=ctrl/pack

# A file that goes to a place of its own, from standard input. text MODE TARGET
text() {
    mkdir -p "$DESTDIR$(dirname "$2")"
    rm -f "$DESTDIR$2"
    cat >"$DESTDIR$2"
    chmod "$1" "$DESTDIR$2"
}

# Folders go with their last file where they are named after us, or are in one that is: any other may be somebody's, who
# has made it before there was anything of ours in it. ours FOLDER
ours() {
    folder=$1
    while case $folder/ in */espalier/*) rmdir "$DESTDIR$folder" 2>/dev/null ;; *) false ;; esac do
        folder=${folder%/*}
    done
}

# Does with one file what was asked for: MODE TARGET COMMAND..., whose output it is.
file() {
    mode=$1 target=$2
    shift 2
    case $do in
    install) "$@" >"$made" && text "$mode" "$target" <"$made" ;;
    uninstall)
        rm -f "$DESTDIR$target"
        ours "${target%/*}"
        ;;
    list) echo "$target" ;;
    esac
}

# The operator's: it is made where there is none, and goes only where it is as it came.
settings() { # TARGET SOURCE
    case $do in
    install) [ -e "$DESTDIR$1" ] || file 644 "$1" cat "$2" ;;
    uninstall) ! cmp -s "$DESTDIR$1" "$2" || file 644 "$1" cat "$2" ;;
    list) echo "$1" ;;
    esac
}

program() { # NAME SECTION "WHAT IT IS"
    file 755 "$bindir/$1" cat "$BUILD/bin/$1"
    [ -z "${2:-}" ] || file 644 "$mandir/man$2/$1.$2" "$pack/man.sh" "$BUILD/bin/$1" "$2" "$3"
}

paths() { # FILE: with the paths of this installation in the place of @bindir@ and so on
    sed -e "s|@bindir@|$bindir|g; s|@sysconfdir@|$sysconfdir|g; s|@prefix@|$prefix|g; s|@libdir@|$libdir|g; s|@includedir@|$includedir|g" \
        -e "s|@docdir@|$docdir|g; s|@version@|$version|g" "$1"
}

folder() { # FOLDER TARGET: all that is in it and is not made by a run
    (cd "$1" && find . -type f ! -name '*.pyc' | LC_ALL=C sort) | sed 's|^\./||' >"$found"
    while IFS= read -r f; do
        file 644 "$2/$f" cat "$1/$f"
    done <"$found"
}

everything() {
    program espalierd 8 "IKEv2 daemon, with IPsec on a card or in software"
    program espalier
    file 644 "$mandir/man8/espalier.8" cat ctrl/cli/espalier.8
    program espalier-pair 1 "a tunnel between two gateways in namespaces, and a verdict"
    program espalier-card 1 "a simulated IPsec card"
    program espalier-sim 1 "packets and vectors through the card's Verilog"
    program espalier-load 1 "IKEv2 clients by the thousand, toward any responder"
    file 644 "$bashdir/espalier" "$BUILD/bin/espalier" completion bash
    file 644 "$zshdir/_espalier" "$BUILD/bin/espalier" completion zsh
    file 644 "$fishdir/espalier.fish" "$BUILD/bin/espalier" completion fish
    file 644 "$unitdir/espalierd.service" paths "$pack/espalierd.service"
    settings "$sysconfdir/espalier/espalierd.conf" "$pack/espalierd.conf"
    file 644 "$docdir/examples/swanctl.conf" cat "$pack/swanctl.conf"
    for f in README.md SECURITY.md LICENSE; do
        file 644 "$docdir/$f" cat "$f"
    done
    file 644 "$docdir/settings.md" cat ctrl/config/README.md
    file 644 "$docdir/examples/grafana.json" cat ctrl/metrics/grafana.json
    file 644 "$docdir/examples/alerts.yml" cat ctrl/metrics/alerts.yml
    file 644 "$docdir/examples/example.sad" cat sim/workbench/examples/example.sad
    file 644 "$docdir/examples/example.pcap" cat sim/workbench/examples/example.pcap
    file 644 "$libdir/libespalier.a" cat "$BUILD/lib/libespalier.a"
    file 644 "$libdir/pkgconfig/libespalier.pc" paths "$pack/libespalier.pc"
    folder driver/include/espalier "$includedir/espalier"
    folder rtl "$datadir/espalier/rtl"
    folder hw/regs/gen "$datadir/espalier/hw/regs/gen"
    file 644 "$datadir/espalier/hw/regs/espalier.rdl" cat hw/regs/espalier.rdl
}

case $do in
install | uninstall | list) ;;
*)
    echo "usage: install.sh install|uninstall|list" >&2
    exit 2
    ;;
esac
made=$(mktemp) found=$(mktemp)
trap 'rm -f "$made" "$found"' EXIT
everything
