#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the Debian packages out of the sources as they stand here, in a copy of them ($2, which is made anew), and puts them
# into $1. Nothing of the machine is changed: what is missing is named (status 3).
# usage: deb.sh TO FOLDER
set -eu
[ $# = 2 ] || {
    echo "usage: deb.sh TO FOLDER" >&2
    exit 2
}
for p in dpkg-buildpackage dh; do
    command -v $p >/dev/null || {
        echo "deb: $p is not installed (apt-get install dpkg-dev debhelper)" >&2
        exit 3
    }
done
to=$(realpath -m "$1") copy=$(realpath -m "$2")
version=$(sed -n 's/^#define ESPALIER_VERSION "\(.*\)"/\1/p' driver/include/espalier/version.h)
[ "$(sed -n '1s/^espalier (\(.*\)) .*/\1/p' ctrl/pack/debian/changelog)" = "$version" ] || {
    echo "deb: ctrl/pack/debian/changelog is not of version $version" >&2
    exit 1
}
rm -rf "$copy"
mkdir -p "$to" "$copy/espalier"
# where git reads nothing (a tarball) the folders that there are
if git ls-files >/dev/null 2>&1; then git ls-files; else
    find hw rtl driver ctrl sim tests Makefile ./*.md LICENSE -type f ! -name '*.pyc'
fi | tar -c -T - | tar -x -C "$copy/espalier"
cp -r "$copy/espalier/ctrl/pack/debian" "$copy/espalier/debian"
cd "$copy/espalier"
dpkg-buildpackage -us -uc >"$copy/log" 2>&1 || {
    tail -n 40 "$copy/log" >&2
    echo "deb: dpkg-buildpackage failed (above: its last lines; all of it is in $copy/log)" >&2
    exit 1
}
cd - >/dev/null
rm -f "$to"/*.deb "$to"/*.dsc "$to"/*.tar.xz "$to"/*.buildinfo "$to"/*.changes
mv "$copy"/*.deb "$copy"/*.dsc "$copy"/*.tar.xz "$copy"/*.buildinfo "$copy"/*.changes "$to/"
