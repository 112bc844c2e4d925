#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# mutants.sh: plants each fault of mutants/LIST in a copy of the tree; the unit test that LIST names must fail, and pass
# without it.
# exit status: 0 all found, 1 otherwise
set -u
here=$(cd "$(dirname "$0")/../.." && pwd)
build=${BUILD:-build}
work=$here/$build/unit-mutants
patches=$here/tests/unit/mutants
cd "$here" || exit 1
mapfile -t lines < <(grep -v '^#' "$patches/LIST")
bad=0
rm -rf "$work"
mkdir -p "$work/tree" "$work/log"
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -p -t "$work/tree"
for line in "${lines[@]}"; do
    read -r name test what <<<"$line"
    if ! make -s -C "$work/tree" BUILD=build "build/tests/$test" >"$work/log/$test.build" 2>&1 ||
        ! (cd "$work/tree" && "build/tests/$test") >"$work/log/$test" 2>&1; then
        echo "  $test does not pass without a fault"
        exit 1
    fi
    patch -f -s -p1 -d "$work/tree" <"$patches/$name.patch" || exit 1
    make -s -C "$work/tree" BUILD=build "build/tests/$test" >"$work/log/$name.build" 2>&1 || {
        tail -n 20 "$work/log/$name.build"
        exit 1
    }
    found="NOT FOUND by $test: $what"
    if (cd "$work/tree" && exec timeout 300 "build/tests/$test") >"$work/log/$name" 2>&1; then
        bad=1
    else
        found="found by $(grep -aoE 'FAILED  \] test_[a-z0-9_]+' "$work/log/$name" | sed -n '1s/.* //p')"
    fi
    printf '  %-24s %s\n' "$name" "$found"
    patch -s -R -p1 -d "$work/tree" <"$patches/$name.patch"
done
exit $bad
