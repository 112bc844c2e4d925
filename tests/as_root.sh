#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs a program with the rights to make network namespaces: as root, by sudo, or in a user namespace of its own.
set -eu
if [ "$(id -u)" = 0 ]; then
    exec "$@"
elif sudo -n true 2>/dev/null; then
    exec sudo --preserve-env=TMPDIR,ESPALIER_KEEP,ESPALIER_LAB,ESPALIER_LAB_LOGS,ESPALIER_ROUNDS,ESPALIER_SECONDS,ESPALIER_REKEY,ESPALIER_REKEY_WEST,ESPALIER_REKEY_EAST,ESPALIER_CHARON_ROOT,ESPALIER_ML_KEM,ESPALIER_PEERS,ESPALIER_SEED,ASAN_OPTIONS,UBSAN_OPTIONS "$@"
elif unshare -Urnm true 2>/dev/null; then
    exec unshare -Urnm "$@"
fi
echo "$1: needs root, sudo, or unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1)" >&2
exit 3
