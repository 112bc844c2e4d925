#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# mutants.sh [NAME]...: plants each bug of mutants/LIST in a copy of the tree and lets the program that is named there look for it:
# `orders` first through what `make check` runs, then through pairs of lists of two until LIMIT seconds of CPU time are over. Prints
# the table and writes build/report/orders-mutants.json.
# Exit status: 0 all found, 1 otherwise.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
build=${BUILD:-build} limit=${LIMIT:-100}
work=$here/$build/orders-mutants
list=$here/tests/orders/mutants/LIST
cd "$here"
mkdir -p "$work/log" "$here/$build/report"
copy_tree() { rm -rf "$work/tree" && mkdir -p "$work/tree" && git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -p -t "$work/tree"; }
build_it() { make -s -C "$work/tree" BUILD=build "build/tests/$1" >"$work/log/build" 2>&1; }
# Sets `tripped` and `spent`; 1: nothing was found. That a kept order cannot be gone any more says that something is otherwise, and not
# that it is wrong: it is no find.
look_by_orders() {
    local args
    for args in "--acts 1 --losses 0 --copies 0" "--kept tests/orders/KEPT" "cc/cd --losses 0 --copies 0" "cc/dd --losses 0 --copies 0" "ic/nd --losses 0 --copies 0" \
        "lc/cc --losses 0 --copies 0" "xc/c --losses 0 --copies 0" "xc/i --losses 0 --copies 0" "r/d --losses 0 --copies 0" "r/i --losses 0 --copies 0" "r/n --losses 0 --copies 0" "--acts 3 --losses 2 --copies 2 --walks 1000" \
        "--acts 1 --cpu $limit" "--acts 2 --losses 0 --copies 0 --cpu $limit" "--acts 3 --losses 2 --copies 2 --walks 100000 --cpu $limit"; do
        # shellcheck disable=SC2086
        "$work/tree/build/tests/orders" $args >"$work/log/$1" 2>&1 && rc=0 || rc=$?
        spent=$(awk -v a="$spent" '/CPU s$/ {a += $(NF - 2)} END {print a}' "$work/log/$1")
        tripped=$(sed -n 's/^FAILED [^:]*: \([a-z]*\):.*/\1/p' "$work/log/$1" | sed '/^order$/d' | head -n 1)
        [ "$rc" = 0 ] || { [ -z "$tripped" ] && grep -q '^FAILED [^:]*: order:' "$work/log/$1"; } || return 0
    done
    return 1
}
# Its limit is of CPU time, as all takes longer on a machine that has much to do; what is stopped by it has found nothing.
look_by_test() {
    local begun=$SECONDS rc=0
    (ulimit -t "$limit" && exec "$work/tree/build/tests/$2") >"$work/log/$1" 2>&1 || rc=$?
    tripped=$(sed -n 's/^\[  FAILED  \] \(test_[a-z0-9_]*\)$/\1/p' "$work/log/$1" | head -n 1)
    spent=$((SECONDS - begun))
    case $rc in 0 | 137 | 152) return 1 ;; esac
}
copy_tree
names=("$@")
[ $# -gt 0 ] || mapfile -t names < <(grep -v '^#' "$list" | awk '{print $1}')
bad=0 json=""
printf '%-26s %-12s %8s  %s\n' mutant "found as" "CPU s" "what it is"
for name in "${names[@]}"; do
    program=$(awk -v n="$name" '$1 == n {print $2}' "$list")
    what=$(awk -v n="$name" '$1 == n {$1 = $2 = ""; print substr($0, 3)}' "$list")
    if ! patch -f -s -p1 -d "$work/tree" <"tests/orders/mutants/$name.patch" >"$work/log/$name" 2>&1 || ! build_it "$program"; then
        printf '%-26s the patch does not apply or build\n' "$name"
        copy_tree
        bad=1
        continue
    fi
    spent=0 tripped=""
    if [ "$program" = orders ]; then look_by_orders "$name" && found=true || found=false; else look_by_test "$name" "$program" && found=true || found=false; fi
    patch -s -R -p1 -d "$work/tree" <"tests/orders/mutants/$name.patch"
    [ "$found" = true ] || { bad=1 && tripped="NOT FOUND"; }
    printf '%-26s %-12s %8s  %s\n' "$name" "${tripped:-crash}" "$spent" "$what"
    json+="${json:+,}{\"mutant\":\"$name\",\"what\":\"$what\",\"found\":$found,\"as\":\"${tripped:-crash}\",\"cpu_s\":$spent}"
done
printf '{"limit_cpu_s":%s,"mutants":[%s]}\n' "$limit" "$json" >"$build/report/orders-mutants.json"
exit $bad
