#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs a long command and says every 15 s how long it has run and about how long it took the last time (or on two idle
# cores); the command's own output passes through, and its exit status is this one's.
# usage: [ESPALIER_TICK=SECONDS] progress.sh NAME SECONDS COMMAND...
set -u
name=$1 expected=$2
shift 2
times=${BUILD:-build}/log/seconds
mkdir -p "${times%/*}"
last=$(sed -n "s/^$name //p" "$times" 2>/dev/null | tail -n 1)
expected=${last:-$expected}
clock() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

SECONDS=0
exec {never}<> <(:) # nothing is ever written there: a sleep without a process that outlives us
(
    while ! read -r -t "${ESPALIER_TICK:-15}" -u "$never"; do echo "  $name: $(clock $SECONDS) of about $(clock "$expected")"; done
) &
ticker=$!
"$@"
rc=$?
kill "$ticker" 2>/dev/null
wait "$ticker" 2>/dev/null
if [ $rc = 0 ] && ((SECONDS >= 5)); then # what was built already says nothing about the next time
    echo "$name $SECONDS" >>"$times"
    echo "  $name: done in $(clock $SECONDS)"
fi
exit $rc
