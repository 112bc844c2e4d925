#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs one part of `make check-long`. What it has to fetch and cannot is written to $ESPALIER_LACKS by whoever has tried
# (with what was tried); then the part is skipped by name and the others go on. Any other failure is one.
# usage: or_skip.sh COMMAND... TARGET
# exit status: the command's, 0: done, or skipped
set -u
for target; do :; done
ESPALIER_LACKS=$(mktemp "${TMPDIR:-/tmp}/espalier-lacks-XXXXXX") || exit 1
export ESPALIER_LACKS
trap 'rm -f "$ESPALIER_LACKS"' EXIT
status=0
"$@" || status=$?
if [ "$status" != 0 ] && [ -s "$ESPALIER_LACKS" ]; then
    echo "check-long: skip: make $target, because $(head -n 1 "$ESPALIER_LACKS")"
    status=0
fi
exit "$status"
