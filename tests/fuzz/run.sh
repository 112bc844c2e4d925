#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs fuzz targets one after the other from their seeds and from what earlier runs have kept in FUZZ/corpus.
# usage: run.sh FUZZ SECONDS TARGET...   (FUZZ: build/fuzz; an input that breaks a target stays in FUZZ/found)
# exit status: 0 nothing was found, 1 something was, or one ran nothing
set -u
fuzz=$1 seconds=$2
shift 2
failed=0
[ $# -gt 0 ] || { echo "run.sh: no target was named" >&2; exit 1; }
mkdir -p "$fuzz/found" "$fuzz/log"
for t; do
    log=$fuzz/log/$t.log
    mkdir -p "$fuzz/corpus/$t" "$fuzz/seeds/$t"
    printf '  FUZZ    %-10s %s s: ' "$t" "$seconds"
    if "$fuzz/bin/fuzz_$t" -max_total_time="$seconds" -max_len=8192 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$fuzz/found/$t-" "$fuzz/corpus/$t" "$fuzz/seeds/$t" >"$log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        if [ "${runs:-0}" -gt 0 ]; then
            echo "$runs runs, nothing found"
        else
            failed=1
            echo "FAILED: it ran nothing (whole output: $log)"
        fi
    else
        failed=1
        echo "FAILED (whole output: $log)"
        grep -aE 'ERROR: |never: |runtime error: |SUMMARY: |Test unit written to ' "$log"
    fi
done
exit $failed
