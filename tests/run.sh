#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs test commands, JOBS of them at a time (one by default): a line for each that passes, the end of its output for each
# that does not. A command that exits 3 lacks a right, which it has named; one that ran no test at all has failed.
# Outputs are kept under build/log. With REVIEWED_SKIPS=FILE a test that was skipped has failed unless it stands there.
# usage: [JOBS=N] [REVIEWED_SKIPS=FILE] run.sh COMMAND...
# exit status: 0 all passed, 1 one failed, 3 none failed but one lacked a right
set -u
logs=${BUILD:-build}/log

# What each failed cmocka test said, at most 60 lines of it; where there is none, the end of the output.
why() {
    echo "          ---- from $1"
    awk '/^\[ RUN/ { n = 0 } { said[n++] = $0 }
        /^\[  FAILED  \] [a-z]/ && !/listed below/ && n > 1 && said[0] ~ /RUN/ {
            for (i = n > 60 ? n - 60 : 0; i < n; i++) print said[i]
            found = 1; n = 0
        }
        /^\[       OK/ { n = 0 }
        END { exit !found }' "$1" || tail -n 50 "$1"
    grep -aE 'ERROR: (Address|Leak)Sanitizer|runtime error:' "$1" | head -n 5
}

# Each test that was skipped stands in the list, with the line of its own by which the peer proves why, and that line is in
# the output between the test's beginning and its end. The list has five lines at most.
reviewed() {
    awk -F '\t' -v list="$REVIEWED_SKIPS" '
        BEGIN { while ((getline < list) > 0) if ($0 !~ /^(#|$)/) { proof[$1] = $2; n++ } }
        /^\[ RUN/ { split($0, w, " "); test = w[length(w)]; said = "" }
        /^skip: / { said = $0 }
        /^\[  SKIPPED \] test_/ && test && !(test in seen) {
            seen[test] = 1
            if (!(test in proof) || !index(said, proof[test])) {
                print "reviewed: " test " was skipped, and that it may be is not shown: " (said ? said : "nothing was said")
                bad = 1
            }
        }
        END { if (n > 5) { print "reviewed: " list " has more than five lines"; bad = 1 } exit bad }' "$1" >"$1.reviewed"
    local rc=$?
    cat "$1.reviewed" >>"$1"
    rm -f "$1.reviewed"
    return $rc
}

one() {
    local name=$1 t=$2 log rc from word
    log=$logs/$name.log
    from=$(date +%s)
    ESPALIER_LAB_LOGS=1 sh -c "$t" >"$log" 2>&1 </dev/null
    rc=$?
    word=ok
    if [ $rc = 3 ] && ! grep -aqF '[  FAILED  ]' "$log"; then # cmocka's own status is the number of tests that failed
        word=skipped
    elif [ $rc != 0 ]; then
        word=FAILED
    elif [ -n "${REVIEWED_SKIPS:-}" ] && ! reviewed "$log"; then
        word=FAILED
    elif ! grep -aqE 'PASSED  \] [1-9][0-9]* test|^[1-9][0-9]* passed' "$log"; then
        word=FAILED
        echo "$name exited 0 but ran no test" >>"$log"
    fi
    {
        flock 9
        if [ $word = ok ]; then
            printf '  ok      %s: %s (%d s)\n' "$name" "$(grep -aE 'PASSED|passed' "$log" | tail -n 1)" $(($(date +%s) - from))
            grep -a -iE '^ *skip(ped)?:' "$log" | sed 's/^ */          /'
        else
            printf '  %-7s %s: exit %d (rerun: %s)\n' "$word" "$name" $rc "$t"
            why "$log"
            echo "          ----"
        fi
    } 9>>"$logs/.lock"
    echo $word >>"$verdicts"
}

mkdir -p "$logs"
if [ "${1:-}" = --one ]; then
    verdicts=$2
    one "$3" "$4"
    exit 0
fi
verdicts=$(mktemp "$logs/.verdicts-XXXXXX")
trap 'rm -f "$verdicts"' EXIT
declare -A seen=()
for t in "$@"; do # a name for each, which is also its log's
    name=$(basename "${t##* }")
    n=$((${seen[$name]:-0} + 1))
    seen[$name]=$n
    [ "$n" = 1 ] || name=$name-$n
    printf '%s\0%s\0' "$name" "$t"
done | xargs -0 -r -n 2 -P "${JOBS:-1}" "$0" --one "$verdicts"
passed=$(grep -cx ok "$verdicts")
failed=$(grep -cx FAILED "$verdicts")
skipped=$(grep -cx skipped "$verdicts")
echo "$passed passed, $failed failed$([ "$skipped" = 0 ] || echo ", $skipped lacked a right")"
if [ "$failed" != 0 ] || [ $((passed + skipped)) != $# ]; then
    exit 1
elif [ "$skipped" != 0 ]; then
    exit 3
fi
[ "$passed" != 0 ] || {
    echo "run.sh: no test was named" >&2
    exit 1
}
