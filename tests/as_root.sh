#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs a program with the rights to make network namespaces: as root, by sudo, or in a user namespace of its own.
set -eu
if [ "$(id -u)" = 0 ]; then
    exec "$@"
elif sudo -n true 2>/dev/null; then
    keep=TMPDIR,NO_COLOR,ASAN_OPTIONS,TSAN_OPTIONS,UBSAN_OPTIONS,ROUNDS,SECONDS_EACH,KINDS,COUNT,CONNS,HELD,HELD_CHARON,DEVICES,DEVICES_CERT,DEVICES_CHARON,FORGED
    for name in BIN CARD CHARON_ROOT ENGINE FAULTS GUEST GUEST_IMAGE KEEP KILLED_PEERS LAB LAB_LOGS ML_KEM PEERS RATE REKEY REKEY_EAST REKEY_WEST REPORT ROUNDS SECONDS SEED STEPS TRY VICI WORKERS; do
        keep=$keep,ESPALIER_$name
    done
    exec sudo --preserve-env="$keep" "$@"
elif unshare -Urnm true 2>/dev/null; then
    exec unshare -Urnm "$@"
fi
echo "$1: needs root, sudo, or unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1)" >&2
exit 3
