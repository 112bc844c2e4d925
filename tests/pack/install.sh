#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `make install` into a folder while nothing else can be written: what is there is what the list says, each program runs
# from there, a program is compiled against the library, Verilator reads the RTL, and uninstall leaves nothing.
set -eu
build=${BUILD:-build}
here=$(mktemp -d "${TMPDIR:-/tmp}/espalier-install-XXXXXX")
trap 'rm -rf "$here"' EXIT
root=$here/root
passed=0
ok() { echo "  ok: $1" && passed=$((passed + 1)); }
bad() {
    echo "[  FAILED  ] $*" >&2
    exit 1
}
make() { BUILD=$build command make --no-print-directory -s "$@" BUILD="$build" prefix=/usr DESTDIR="$root"; }

# Everything but that folder is read-only to what follows, whatever mount it is on.
# shellcheck disable=SC2016
alone='
    mount --make-rprivate / 2>/dev/null || true
    mount --bind "$1" "$1"
    cut -d" " -f2 /proc/self/mounts | while IFS= read -r m; do
        case $m in "$1" | /dev | /dev/* | /proc | /proc/* | /sys | /sys/*) ;; *) mount -o remount,bind,ro "$m" 2>/dev/null || true ;; esac
    done
    ! touch "$2/espalier-written" 2>/dev/null || { rm -f "$2/espalier-written"; echo "the sources can still be written to" >&2; exit 4; }
    cd "$1" && cd "$2" && shift 2 && exec "$@"'
mkdir -p "$root/usr/bin" "$root/usr/lib" "$here/tmp"
TMPDIR=$here/tmp tests/as_root.sh unshare -m sh -euc "$alone" sh "$here" "$PWD" \
    env TMPDIR="$here/tmp" make --no-print-directory -s install BUILD="$build" prefix=/usr DESTDIR="$root" || bad "make install"
[ -z "$(ls -A "$here/tmp")" ] || bad "left behind: $(ls -A "$here/tmp")"
[ -w "$root/usr/bin/espalierd" ] || tests/as_root.sh chown -R "$(id -u):$(id -g)" "$root" # by sudo it is root's
ok "installed while nothing but the target could be written"

listed() { DESTDIR=$root prefix=/usr BUILD=$build ctrl/pack/install.sh list | sort; }
(cd "$root" && find . -type f | sed 's/^\.//' | sort) >"$here/there"
listed | diff - "$here/there" >&2 || bad "what is there is not what the list says"
(cd "$root" && find . -type f -perm /022) | grep . >&2 && bad "others may write to these"
(cd "$root" && find . -type f -perm /111 ! -path './usr/bin/*'; find . -path './usr/bin/*' ! -perm 755) | grep . >&2 && bad "modes"
[ -z "$(find "$root" -type l)" ] || bad "links"
ok "$(wc -l <"$here/there") files, each on the list"

for p in "$build"/bin/*; do
    grep -qx "/usr/bin/$(basename "$p")" "$here/there" || bad "$p is not installed"
done
for p in "$root"/usr/bin/*; do
    "$p" --version | grep -q "$(sed -n 's/.*ESPALIER_VERSION "\(.*\)"/\1/p' driver/include/espalier/version.h)" || bad "$p --version"
    page=$(echo "$root"/usr/share/man/man?/"$(basename "$p")".?)
    [ -s "$page" ] || bad "no manual page of $p"
    "$p" --help | grep -oE '(^|[ [])--[a-z][a-z-]+' | tr -d ' [' | sort -u | while IFS= read -r o; do
        grep -qF -- "${o//-/\\-}" "$page" || bad "$o of $p is not in $page"
    done
    if command -v groff >/dev/null; then
        groff -man -ww -z -Tutf8 "$page" 2>&1 | grep . >&2 && bad "$page"
    fi
done
command -v groff >/dev/null || echo "skip: whether groff warns of the manual pages, because there is no groff here"
ok "each program runs, and has a manual page with all of its options"

grep -rIl "@[a-z]*@" "$root" >&2 && bad "a place for a path is left in these"
grep -rIlF "$PWD" "$root" >&2 && bad "the folder that it was built in is named in these"
unit=$root/usr/lib/systemd/system/espalierd.service
sed -n 's/^Exec[A-Za-z]*=[-+!:@]*\([^ ]*\).*/\1/p' "$unit" | while IFS= read -r p; do
    [ -x "$root$p" ] || [ -x "$p" ] || bad "$p, which the unit starts"
done
"$root/usr/bin/espalierd" --check "$root/etc/espalier/espalierd.conf" "$root/usr/share/doc/espalier/examples/swanctl.conf" || bad "an example has faults"
for s in bash zsh fish; do
    find "$root/usr/share" -path "*/$s*" -name '*espalier*' -size +1k | grep -q . || bad "$s completion"
done
bash -n "$root/usr/share/bash-completion/completions/espalier" || bad "bash completion"
ok "unit, settings, the example and completions are whole"

# every file of an installation is in one package, or is said to be in none
(cd "$root" && find . -type f | sed 's|^\./||; s|^usr/lib/|usr/lib/any/|; s|any/systemd/|systemd/|; s|zsh/site-functions|zsh/vendor-completions|' | sort) >"$here/files"
(cd "$here" && mkdir -p packed && cd packed && xargs -d '\n' dirname <../files | xargs -d '\n' mkdir -p && xargs -d '\n' touch <../files)
for list in ctrl/pack/debian/*.install ctrl/pack/debian/not-installed; do
    while read -r pattern _; do
        # shellcheck disable=SC2086 # the patterns are the shell's
        (cd "$here/packed" && find $pattern -type f) || bad "$list: there is no $pattern"
    done <"$list"
done | sort >"$here/packed-files"
echo usr/lib/systemd/system/espalierd.service | sort - "$here/packed-files" | diff "$here/files" - >&2 || bad "a file is in no package, or in two"
sed -n 's/^Package: //p' ctrl/pack/debian/control | while IFS= read -r p; do
    [ -s "ctrl/pack/debian/$p.install" ] || bad "$p has no list of files"
done
ok "each file is in one Debian package"

# what is listed there may be had less of, and no more
if command -v systemd-analyze >/dev/null; then
    timeout 60 systemd-analyze security --offline=yes --no-pager --threshold=30 "$unit" >"$here/security" || bad "$(tail -n 1 "$here/security")"
    ok "systemd-analyze security:$(sed -n 's/.*exposure level for [^:]*: *\([0-9.]*\).*/ \1/p' "$here/security") of 10, at most 3.0"
else
    echo "skip: how much the unit is exposed, because there is no systemd-analyze here"
fi

# A unit that fails at each start, by a load that fails, ends: so many starts take at most half of the time that counts them.
# systemd reads the two in [Unit] alone.
limit() { sed -n '/^\[Unit\]/,/^\[Service\]/s/^'"$1"'=\([1-9][0-9]*\)$/\1/p' "$unit"; }
seconds() { sed -n 's/^'"$1"'=\([0-9]*\)$/\1/p' "$unit"; }
again=$(limit StartLimitBurst) within=$(limit StartLimitIntervalSec)
[ -n "$again" ] && enough=$((2 * again * ($(seconds RestartSec) + $(seconds TimeoutStopSec))))
[ "${within:-0}" -ge "${enough:-1}" ] ||
    bad "a configuration with a fault would be started again for ever: StartLimitBurst=$again, StartLimitIntervalSec=$within"
ok "a unit that fails $again times in $within s is not started again"

# What the unit may is enough for the settings that touch files.
# shellcheck disable=SC2016
confined='
    mount -t tmpfs tmpfs /run
    mkdir /run/espalier /run/leases
    ip link set lo up
    umask 077
    cat >/run/swanctl.conf <<END
connections { c { remote_addrs = 192.0.2.2
                  pools = p
                  local { auth = psk }
                  remote { auth = psk
                           id = east }
                  children { c { local_ts = 10.1.0.0/16 } } } }
pools { p { addrs = 10.2.0.0/24 } }
secrets { ike { secret = "0sqg7ZsSpYoJ0Qn3PgVbsUwUfZVRDdQ1ez" } }
END
    setpriv --no-new-privs --bounding-set="$1" "$2/espalierd" --config "$3" --card none -o metrics=unix:///run/metrics \
        -o metrics_group=12345 -o pool_leases=/run/leases/leases 2>/run/log & daemon=$!
    i=0
    until [ -S /run/charon.vici ]; do
        i=$((i + 1))
        [ $i -lt 200 ] && kill -0 $daemon || { cat /run/log >&2; exit 1; }
        sleep 0.05
    done
    "$2/espalier" load /run/swanctl.conf
    "$2/espalier" conns
    [ "$(stat -c %a:%g /run/metrics)" = 660:12345 ]
    # of what it may no process keeps more than its job asks for
    for p in $(cat /proc/$daemon/task/*/children); do
        [ $((0x$(sed -n "s/^CapBnd:.//p" /proc/$p/status))) = 0 ] || { echo "bounds of $(cat /proc/$p/comm)" >&2; exit 1; }
    done
    kill $daemon
    wait $daemon
    grep -q "each process has a user of its own" /run/log
    # (the limit to locked memory is the unit'\''s to lift)
    ! grep -v RLIMIT_MEMLOCK /run/log | grep -i "permitted\|denied" >&2'
if tests/need.sh lab 2>/dev/null && tests/as_root.sh setpriv --reuid=1880000001 --regid=12345 --clear-groups true 2>/dev/null; then
    bounds=$(sed -n 's/^CapabilityBoundingSet=//p' "$unit" | tr '[:upper:]' '[:lower:]' | sed 's/cap_/+/g; s/ /,/g')
    tests/as_root.sh unshare -nm --propagation private sh -euc "$confined" sh "-all,$bounds" "$(realpath "$root/usr/bin")" \
        "$root/etc/espalier/espalierd.conf" >"$here/confined" || bad "espalierd with the capabilities of the unit: $(cat "$here/confined")"
    ok "espalierd serves metrics to a group and has a pool's leases with the unit's capabilities alone"
else
    echo "skip: espalierd with the unit's capabilities, because a right is missing here"
fi

cat >"$here/user.c" <<'END'
#include <stdio.h>
#include "espalier/engine.h"
#include "espalier/pci_scan.h"
#include "espalier/version.h"
int main(void)
{
    struct esp_error err = {0};
    struct esp_engine *e;
    if (esp_soft_open(&e, &err) < 0)
        return 1;
    e->ops->destroy(e);
    return printf("%s %s\n", ESPALIER_VERSION, esp_alg_name((enum esp_alg)1)) < 0;
}
END
export PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_PATH=$root/usr/lib/pkgconfig
# the system's own headers are where they are
flags=$(pkg-config --cflags --libs libespalier | sed "s|-I$root/usr/include\( \|$\)|-I$root/usr/include |") || bad "pkg-config"
# shellcheck disable=SC2086
(cd "$here" && "${CC:-gcc}" -std=gnu11 -Wall -Werror -o user user.c $flags) || bad "compiling a user of the library"
"$here/user" | grep -q "^[0-9.]* ." || bad "a user of the library"
ok "a program is compiled against the library by pkg-config, and runs"

if command -v verilator >/dev/null; then
    cat "$root"/usr/share/espalier/rtl/*/*.f | sed '/^\/\//d' | sort -u >"$here/card.f" # blocks share modules
    (cd "$root/usr/share/espalier" && verilator --lint-only -Wall -I. --top-module espalier_top -GLANES=4 -f "$here/card.f") || bad "the RTL as it is installed"
    ok "Verilator reads the RTL as it is installed, by its file lists"
else
    echo "skip: the RTL as it is installed, because there is no Verilator here"
fi

if tests/need.sh lab 2>/dev/null; then
    tests/as_root.sh "$root/usr/bin/espalier-pair" || bad "a tunnel by the programs as they are installed"
    ok "two gateways and a tunnel by the programs as they are installed"
else
    echo "skip: a tunnel by the programs as they are installed, because a right is missing here"
fi

echo "# mine" >>"$root/etc/espalier/espalierd.conf"
make install
grep -q "^# mine" "$root/etc/espalier/espalierd.conf" || bad "settings were overwritten"
make uninstall
[ "$(cd "$root" && find . -type f)" = ./etc/espalier/espalierd.conf ] || bad "left: $(cd "$root" && find . -type f)"
cp ctrl/pack/espalierd.conf "$root/etc/espalier/"
make uninstall
[ -z "$(find "$root" ! -type d)" ] || bad "left: $(find "$root" ! -type d)"
[ -z "$(find "$root" -mindepth 1 -name '*espalier*')" ] || bad "left: $(find "$root" -mindepth 1 -name '*espalier*')"
for d in usr/bin usr/lib; do
    [ -d "$root/$d" ] || bad "/$d was there before, and is gone"
done
ok "installing again keeps changed settings, and so does uninstalling; else no file is left, no folder of ours, and every other folder"
echo "$passed passed"
