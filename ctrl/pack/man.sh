#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A manual page out of what a program says of itself (--help), so that it never says anything else.
# usage: man.sh PROGRAM SECTION "WHAT IT IS"
set -eu
name=$(basename "$1")
help=$("$1" --help)
escape() {
    sed 's/\\/\\e/g; s/-/\\-/g; s/^\([.'"'"']\)/\\\&\1/'
}
printf '.\\" made of %s --help\n' "$name"
printf '.TH %s %s "" "Espalier"\n.SH NAME\n%s \\- %s\n' "$(echo "$name" | tr '[:lower:]' '[:upper:]')" "$2" "$(echo "$name" | escape)" "$3"
printf '.SH SYNOPSIS\n.B %s\n.RI [ OPTION ]...\n.SH DESCRIPTION\n.nf\n' "$(echo "$name" | escape)"
printf '%s\n' "$help" | escape
printf '.fi\n.SH SEE ALSO\n'
case $name in
espalierd) printf '.BR espalier (8)\n' ;;
*) printf '.BR espalierd (8),\n.BR espalier (8)\n' ;;
esac
