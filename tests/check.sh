#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The stages of `make check`, one after another, with the time that each took; all are run even when one fails.
# usage: check.sh MAKE [ARGUMENT]...
set -u
passed=0
failed=0
skipped=0
summary=
stage() {
    printf '\n== %s\n' "$1"
    from=$(date +%s)
    name=$1
    shift
    "$@"
    case $? in
    0)
        passed=$((passed + 1))
        word=ok
        ;;
    3) # a missing right, which the stage has named
        skipped=$((skipped + 1))
        word=skipped
        ;;
    *)
        failed=$((failed + 1))
        word=FAILED
        ;;
    esac
    summary="$summary$(printf '  %-7s %-44s %5d s' "$word" "$name" $(($(date +%s) - from)))
"
}
stage "registers match their source" "$@" check-regs
stage "build everything" "$@" programs unit-tests rtl-tests system-tests
stage "lint" "$@" lint
stage "unit tests" "$@" check-unit
stage "RTL tests" "$@" check-rtl
stage "system tests (strongSwan, two espalierd, card)" "$@" check-system
stage "rootless: two espalierd in a user namespace" tests/rootless.sh "${BUILD:-build}"
stage "the demo" tests/as_root.sh "${BUILD:-build}/tests/demo"
printf '\n%s' "$summary"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
