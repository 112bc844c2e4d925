#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a container does as a gateway: the daemon, and what /etc/swanctl/swanctl.conf has, loaded once it serves. Ends as the
# daemon ends; with status 2 where the file has a fault, for a gateway without its tunnels is none. SIGHUP reads both again.
# usage: gateway [OPTION OF ESPALIERD]...
set -eu
settings=/etc/espalier/espalierd.conf connections=/etc/swanctl/swanctl.conf
[ ! -e $settings ] || set -- --config $settings "$@"
rm -f /var/run/charon.vici # of a life that was killed: nobody else is in here

load() { [ ! -e $connections ] || espalier load; }
again() {
    kill -HUP "$daemon"
    load || echo "gateway: $connections is not loaded again; what was stays" >&2
}
espalierd "$@" &
daemon=$!
trap 'kill -TERM "$daemon"' TERM INT
trap again HUP
while kill -0 "$daemon" 2>/dev/null && ! [ -S /var/run/charon.vici ]; do sleep 0.1; done
if kill -0 "$daemon" 2>/dev/null && ! load; then
    kill -TERM "$daemon"
    wait "$daemon" || true
    exit 2
fi
# a signal that is taken ends a wait; what the daemon ended with is asked for until it has
while :; do
    status=0
    wait "$daemon" || status=$?
    kill -0 "$daemon" 2>/dev/null || exit "$status"
done
