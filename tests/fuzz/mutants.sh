#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# mutants.sh: plants each fault of mutants/LIST in a copy of the tree and lets its fuzz target look for it, from the seeds
# alone, for LIMIT seconds of CPU time at most.
# exit status: 0 all found, 1 otherwise
set -u
here=$(cd "$(dirname "$0")/../.." && pwd)
build=${BUILD:-build} limit=${LIMIT:-600}
work=$here/$build/fuzz/mutants
patches=$here/tests/fuzz/mutants
cd "$here" || exit 1
mapfile -t lines < <(grep -v '^#' "$patches/LIST")
bad=0
rm -rf "$work"
mkdir -p "$work/tree" "$work/log"
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -p -t "$work/tree"
for line in "${lines[@]}"; do
    read -r name target what <<<"$line"
    patch -f -s -p1 -d "$work/tree" <"$patches/$name.patch" || exit 1
    mkdir -p "$work/seeds/$target" "$work/corpus/$name"
    make -s -C "$work/tree" BUILD=build "build/fuzz/bin/fuzz_$target" build/fuzz/seeds/.done >"$work/log/$name.build" 2>&1 || {
        tail -n 20 "$work/log/$name.build"
        exit 1
    }
    TIMEFORMAT=%U+%S
    spent=$({ time (ulimit -t "$limit" && exec "$work/tree/build/fuzz/bin/fuzz_$target" -max_len=8192 -artifact_prefix="$work/$name-" \
        "$work/corpus/$name" "$work/tree/build/fuzz/seeds/$target" >"$work/log/$name" 2>&1); } 2>&1 | grep -aoE '[0-9.]+[+][0-9.]+' | tail -n 1)
    found=$(grep -aoE 'SUMMARY: [A-Za-z]+: [a-z-]+|never: .*|runtime error: .*' "$work/log/$name" | head -n 1)
    [ -n "$found" ] || bad=1
    printf '  %-20s %-10s %7.1f CPU s  %s\n' "$name" "$target" "$(awk "BEGIN { print ${spent:-0} }")" "${found:-NOT FOUND: $what}"
    patch -s -R -p1 -d "$work/tree" <"$patches/$name.patch"
done
exit $bad
