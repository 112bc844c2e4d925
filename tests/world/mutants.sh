#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# mutants.sh [NAME]...: plants each defect of mutants/LIST in a copy of the tree and lets random seeds look for it, RUNS times (5)
# from different seeds (SEED + 100000 a run), LIMIT seconds of CPU time each (300). A find is a seed on which an invariant trips that
# LIST names for this defect, and on which the unmutated build holds. Seeds that trip another invariant are named and looked past;
# a seed on which the unmutated build fails is no find, is named by itself, and fails the whole. At the end the unmutated build has
# to hold on all seeds that were looked at. RESUME=1: what the same programs have found before is not looked for again.
# PROGRAMS=FOLDER: the programs are there, built already, and LIST is the list.
# Prints the table and writes build/report/world-mutants.json.
# Exit status: 0 all found by more than half of the runs and the unmutated build clean, 1 otherwise.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
build=${BUILD:-build}
work=$build/mutants
runs=${RUNS:-5} limit=${LIMIT:-300} first=${SEED:-1} each=100000
list=${LIST:-tests/world/mutants/LIST} bin=${PROGRAMS:-$work/bin}
cd "$here"
mkdir -p "$bin" "$work/log" "$work/result" "$build/report"
[ "${RESUME:-0}" = 1 ] || rm -f "$work"/result/*

# Afresh each time, as what a run that was stopped has left patched must be in no later one; but with the objects that are there,
# so that only what a patch changes is compiled.
copy_tree() {
    rm -rf "$work/tree" && mkdir -p "$work/tree"
    git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -p -t "$work/tree"
    mkdir "$work/tree/build" && cp -Rp "$build/obj" "$build/lib" "$work/tree/build"
}
make_world() { make -s -C "$work/tree" BUILD=build build/tests/world >"$work/log/build" 2>&1 && cp "$work/tree/build/tests/world" "$bin/$1"; }
make_mutant() {
    patch -f -s -p1 -d "$work/tree" <"tests/world/mutants/$1.patch" >"$work/log/$1" 2>&1 && make_world "$1" && patch -s -R -p1 -d "$work/tree" <"tests/world/mutants/$1.patch"
}
sum_of() { sha256sum <"$bin/$1" | cut -c1-16; }

# world PROGRAM LOG ARGUMENT...: sets `rc`, `spent` (CPU s, its own).
world() {
    local program=$bin/$1 log=$2 TIMEFORMAT='%U %S'
    shift 2
    rc=0
    { time prlimit --cpu=$((limit + 120)): "$program" "$@" >"$log" 2>&1 || rc=$?; } 2>"$log.time"
    spent=$(awk 'NF == 2 && /^[0-9.]+ [0-9.]+$/ {printf "%.1f", $1 + $2}' "$log.time")
}
# Sets `at` and `tripped` to the first seed that fails in a log, and its invariant.
failing() {
    at=$(sed -n 's/^seed \([0-9]*\): .*/\1/p' "$1" | head -n 1)
    tripped=$(sed -n 's/^seed [0-9]*: invariant \([a-z-]*\) .*/\1/p' "$1" | head -n 1)
}
declare -A clean_on=() # 0 or 1, by seed
is_clean() {
    local rc spent
    if [ -z "${clean_on[$1]:-}" ]; then
        world unmutated "$work/log/unmutated.seed" "$1" --quiet
        clean_on[$1]=$((rc == 0))
    fi
    [ "${clean_on[$1]}" = 1 ]
}

# look NAME RUN EXPECTED: a line into the file of the result: found or missed, CPU s, the last seed, its invariant, seeds that
# tripped another one (or -), seeds on which the unmutated build fails (or -).
look() {
    local name=$1 from=$((first + $2 * each)) log=$work/log/$1.$2 all=0 how="" elsewhere="" unclean="" at tripped rc spent last
    last=$((from + each - 1))
    while [ -z "$how" ]; do
        world "$name" "$log" "$from" --count $((last + 1 - from)) --cpu "$(awk -v l="$limit" -v a="$all" 'BEGIN {print int(l - a) + 1}')"
        all=$(awk -v a="$all" -v s="$spent" 'BEGIN {printf "%.1f", a + s}')
        failing "$log"
        if [ "$rc" = 0 ] || [ -z "$at" ]; then
            how=missed at=$((from + $(sed -n 's/^\([0-9]*\) worlds PASSED.*/\1/p' "$log" | grep . || echo 1) - 1)) tripped=-
        elif ! is_clean "$at"; then
            unclean+=${unclean:+,}$at
        elif [[ ,$3, = *,$tripped,* ]]; then
            how=found
        else
            elsewhere+=${elsewhere:+,}$tripped:$at
        fi
        if [ -z "$how" ] && { ((at == last)) || awk -v l="$limit" -v a="$all" 'BEGIN {exit a < l}'; }; then
            how=missed tripped=-
        fi
        from=$((at + 1))
    done
    echo "$how $all $at $tripped ${elsewhere:--} ${unclean:--}"
}

if [ -z "${PROGRAMS:-}" ]; then
    copy_tree
    make_world unmutated || { tail "$work/log/build"; exit 1; }
fi
unmutated=$(sum_of unmutated)
names=("$@")
[ $# -gt 0 ] || mapfile -t names < <(grep -v '^#' "$list" | awk '{print $1}')
bad=0 json="" last=() unclean=""
for ((r = 0; r < runs; r++)); do last[r]=$((first + r * each)); done
printf '%-24s %5s  %7s  %-22s %s\n' mutant found "CPU s" "invariant:seed" "what it is"
for name in "${names[@]}"; do
    read -r expected what < <(awk -v n="$name" '$1 == n {$1 = ""; print}' "$list")
    if [ -z "${PROGRAMS:-}" ] && ! make_mutant "$name"; then
        printf '%-24s the patch does not apply or build\n' "$name"
        copy_tree
        bad=1
        continue
    fi
    found=0 times=() by="" others=""
    for ((r = 0; r < runs; r++)); do
        result=$work/result/$unmutated.$(sum_of "$name").$expected.$limit.$((first + r * each))
        if [ ! -s "$result" ]; then
            look "$name" "$r" "$expected" >"$result.new"
            mv "$result.new" "$result"
        fi
        read -r how spent at tripped elsewhere dirty <"$result"
        times+=("$spent")
        ((at <= last[r])) || last[r]=$at
        [ "$how" = missed ] || { found=$((found + 1)) && by+=${by:+ }$tripped:$at; }
        [ "$elsewhere" = - ] || others+=${others:+ }$elsewhere
        [ "$dirty" = - ] || unclean+=" $dirty"
    done
    median=$(printf '%s\n' "${times[@]}" | sort -n | sed -n "$(((runs + 1) / 2))p")
    ((found * 2 > runs)) || bad=1
    printf '%-24s %3d/%d  %7s  %-22s %s%s\n' "$name" "$found" "$runs" "$median" "${by:--}" "$what" "${others:+ (looked past: $others)}"
    json+="${json:+,}{\"mutant\":\"$name\",\"what\":\"$what\",\"expected\":\"$expected\",\"found\":$found,\"runs\":$runs,\"by\":\"$by\",\"looked_past\":\"$others\""
    json+=",\"median_cpu_s\":$median,\"cpu_s\":[$(IFS=,; echo "${times[*]}")]}"
done
seeds=0
for ((r = 0; r < runs; r++)); do
    from=$((first + r * each))
    seeds=$((seeds + last[r] + 1 - from))
    result=$work/result/$unmutated.$from
    known=$((from - 1)) fails=""
    [ ! -s "$result" ] || read -r known fails <"$result"
    if ((known < last[r])); then
        world unmutated "$work/log/unmutated.$r" $((known + 1)) --quiet --count $((last[r] - known))
        [ "$rc" = 0 ] || fails+=${fails:+ }$(sed -n 's/^seed \([0-9]*\): invariant \([a-z-]*\) .*/\2:\1/p' "$work/log/unmutated.$r" | grep . || echo "exit:$rc")
        fails=${fails//$'\n'/ }
        echo "${last[r]} $fails" >"$result.new"
        mv "$result.new" "$result"
    fi
    unclean+=${fails:+ $fails}
done
[ -z "$unclean" ] || bad=1
printf 'the unmutated build on the same %d seeds: %s\n' "$seeds" "${unclean:+it FAILS: }${unclean:-clean}"
printf '{"limit_cpu_s":%s,"clean":%s,"seeds":%d,"mutants":[%s]}\n' "$limit" "$([ -z "$unclean" ] && echo true || echo false)" "$seeds" "$json" \
    >"$build/report/world-mutants.json"
exit $bad
