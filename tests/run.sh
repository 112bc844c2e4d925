#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs test commands one after another; prints a failing one's output whole and a passing one's last line.
set -u
failed=0
passed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for t in "$@"; do
    if sh -c "$t" >"$log" 2>&1; then
        passed=$((passed + 1))
        printf '  ok      %s: %s\n' "$(basename "${t##* }")" "$(grep -aE 'PASSED|passed' "$log" | tail -n 1)"
        grep -a -i '^skip' "$log" | sed 's/^/          /'
    else
        failed=$((failed + 1))
        printf '  FAILED  %s (rerun: %s)\n' "$(basename "${t##* }")" "$t"
        cat "$log"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
