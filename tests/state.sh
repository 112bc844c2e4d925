#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# state.sh OBJDIR OBJECT...: fails on writable file-scope state in the objects that tests/state.allow does not
# give a reason for, and on a reason whose object has gone. Two daemons must fit one process.
set -eu
dir=$1
shift
allow=$(dirname "$0")/state.allow
found=$(for o in "$@"; do
    objdump -t "$o" | awk -v o="${o#"$dir"/}" '
        $0 ~ /\t/ && $0 !~ /\.data\.rel\.ro/ && ($0 ~ / \.(data|bss|tdata|tbss)[.a-z]*\t/ || $0 ~ /\*COM\*/) {
            n = $NF; sub(/\.[0-9]+$/, "", n); if (n !~ /^\./ && $0 !~ / d /) print o, n }'
done | sort -u)
wanted=$(grep -v '^#' "$allow" | awk '{print $1, $2}' | sort -u)
new=$(printf '%s\n' "$found" | grep -vxF "$wanted" || true)
gone=$(printf '%s\n' "$wanted" | grep -vxF "$found" || true)
if [ -n "$new" ]; then
    printf 'writable state outside of a room (move it into one, or give the reason in tests/state.allow):\n%s\n' "$new"
fi
if [ -n "$gone" ]; then
    printf 'tests/state.allow gives a reason for what is not there:\n%s\n' "$gone"
fi
[ -z "$new$gone" ]
