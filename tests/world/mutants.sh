#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# mutants.sh [NAME]...: plants each defect of mutants/LIST in a copy of the tree and lets random seeds look for it, five
# times from different seeds, five minutes of CPU time each; the unmutated build must hold on the same seeds. Prints the
# table and writes build/report/world-mutants.json. Exit status: 0 all found and the unmutated build clean, 1 otherwise.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
build=${BUILD:-build}
work=$here/$build/mutants
runs=${RUNS:-5} limit=${LIMIT:-300}
list=$here/tests/world/mutants/LIST
mkdir -p "$work/bin" "$work/log" "$here/$build/report"
cd "$here"

# Afresh each time: what a run that was stopped has left patched is in no later one.
copy_tree() { rm -rf "$work/tree" && mkdir -p "$work/tree" && git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -p -t "$work/tree"; }
copy_tree
make_world() { make -s -C "$work/tree" BUILD=build build/tests/world >"$work/log/build" 2>&1; }
make_world || { tail "$work/log/build"; exit 1; }
cp "$work/tree/build/tests/world" "$work/bin/unmutated"

names=("$@")
[ $# -gt 0 ] || mapfile -t names < <(grep -v '^#' "$list" | awk '{print $1}')
bad=0 json="" longest=()
for ((r = 0; r < runs; r++)); do longest[r]=1; done
printf '%-24s %5s  %-10s %7s  %s\n' mutant found invariant "CPU s" "what it is"
for name in "${names[@]}"; do
    what=$(awk -v n="$name" '$1 == n {$1 = $2 = ""; print substr($0, 3)}' "$list")
    if ! patch -f -s -p1 -d "$work/tree" <"tests/world/mutants/$name.patch" >"$work/log/$name" 2>&1 || ! make_world; then
        printf '%-24s the patch does not apply or build\n' "$name"
        copy_tree
        bad=1
        continue
    fi
    cp "$work/tree/build/tests/world" "$work/bin/$name"
    patch -s -R -p1 -d "$work/tree" <"tests/world/mutants/$name.patch"
    found=0 times=() invariants=()
    for ((r = 0; r < runs; r++)); do
        log=$work/log/$name.$r
        if ! "$work/bin/$name" $((r * 100000 + 1)) --count 100000 --cpu "$limit" >"$log" 2>&1; then
            found=$((found + 1))
            tripped=$(sed -n 's/^seed [0-9]*: invariant \([a-z-]*\) .*/\1/p' "$log" | head -n 1)
            invariants+=("${tripped:-crash}")
        fi
        seeds=$(sed -n 's/^\([0-9]*\) worlds PASSED, \([0-9]*\) failed.*/\1 \2/p' "$log" | awk '{print $1 + $2}')
        ((${seeds:-0} <= longest[r])) || longest[r]=$seeds
        times+=("$(sed -n 's/.* in \([0-9.]*\) CPU s.*/\1/p' "$log")")
    done
    median=$(printf '%s\n' "${times[@]}" | sort -n | sed -n "$(((runs + 1) / 2))p")
    names_found=$(printf '%s\n' "${invariants[@]:-none}" | sort | uniq -c | sort -rn | awk '{printf "%s%s", sep, $2; sep = ","}')
    ((found * 2 > runs)) || bad=1
    printf '%-24s %3d/%d  %-10s %7s  %s\n' "$name" "$found" "$runs" "$names_found" "$median" "$what"
    json+="${json:+,}{\"mutant\":\"$name\",\"what\":\"$what\",\"found\":$found,\"runs\":$runs,\"invariants\":\"$names_found\",\"median_cpu_s\":$median}"
done
clean=true
for ((r = 0; r < runs; r++)); do
    if ! "$work/bin/unmutated" $((r * 100000 + 1)) --count "${longest[r]}" >"$work/log/unmutated.$r"; then
        echo "the unmutated build fails on the same seeds: $(grep '^seed' "$work/log/unmutated.$r")"
        clean=false bad=1
    fi
done
printf 'the unmutated build on the same %d seeds: %s\n' "$(IFS=+; echo $((${longest[*]})))" "$([ $clean = true ] && echo clean || echo 'NOT clean')"
printf '{"limit_cpu_s":%s,"clean":%s,"mutants":[%s]}\n' "$limit" $clean "$json" >"$build/report/world-mutants.json"
exit $bad
