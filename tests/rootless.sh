#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Two espalierd against each other in an unprivileged user namespace: no root anywhere. Where the caller is root the test
# is run as another user, from a copy of the programs that this user can read.
set -eu
build=$1
copy=$(mktemp -d "${TMPDIR:-/tmp}/espalier-rootless-XXXXXX")
trap 'rm -rf "$copy"' EXIT
mkdir -p "$copy/bin" "$copy/tests"
cp "$build/bin/espalierd" "$copy/bin/"
cp "$build/tests/system_tunnel" "$copy/tests/"
chmod -R a+rX "$copy"
as_user() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs "$@"
    else
        "$@"
    fi
}
if ! as_user unshare -Urnm true 2>/dev/null; then
    echo "check-rootless: this kernel gives an unprivileged user no user namespace (sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces)" >&2
    exit 3
fi
cd /
TMPDIR=/tmp as_user unshare -Urnm "$copy/tests/system_tunnel" rootless
