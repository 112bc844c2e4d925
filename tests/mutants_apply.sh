#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# mutants_apply.sh FOLDER...: does each patch of FOLDER/mutants still apply to the source, does the compiler take the C that it changes, and does LIST
# there, where there is one, name just these; links nothing. Exit status: 0 all do, 1 otherwise, and where there is none.
set -eu
cd "$(dirname "$0")/.."
bad=0
[ $# != 0 ] || { echo "mutants_apply.sh: no folder was named" >&2; exit 1; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# compiles PATCH: the files that it changes, as it leaves them, before the others of the tree.
compiles() {
    local files
    files=$(sed -n 's,^+++ b/\([^\t ]*\).*,\1,p' "$1")
    rm -rf "$tmp/tree" && mkdir "$tmp/tree"
    xargs cp --parents -t "$tmp/tree" <<<"$files"
    patch -f -s -p1 -d "$tmp/tree" <"$1"
    ! grep '\.c$' <<<"$files" >"$tmp/c" ||
        sed "s,^,$tmp/tree/," "$tmp/c" | xargs "${CC:-cc}" -fsyntax-only -Wall -Wextra -Werror -Wshadow -std=c11 -D_GNU_SOURCE -I"$tmp/tree" -I"$tmp/tree/driver/include" -I. -Idriver/include
}
for folder in "$@"; do
    at=$folder/mutants
    mapfile -t there < <(find "$at" -name '*.patch' -printf '%f\n' | sed 's/\.patch$//' | sort)
    named=("${there[@]}")
    if [ -e "$at/LIST" ]; then mapfile -t named < <(grep -v '^#' "$at/LIST" | awk '{print $1}' | sort); fi
    if [ "${named[*]}" != "${there[*]}" ]; then
        echo "$at: LIST and the patches differ: $(comm -3 <(printf '%s\n' "${named[@]}") <(printf '%s\n' "${there[@]}") | tr -d '\t' | tr '\n' ' ')"
        bad=1
    fi
    for name in "${there[@]}"; do
        if ! why=$(patch -f -s -p1 --dry-run <"$at/$name.patch" 2>&1); then
            echo "$at/$name.patch does not apply any more, and has to follow the code: ${why%%$'\n'*}"
            bad=1
        elif ! why=$(compiles "$at/$name.patch" 2>&1); then
            echo "$at/$name.patch does not compile any more, and has to follow the code: ${why%%$'\n'*}"
            bad=1
        fi
    done
    echo "$folder: ${#there[@]} mutants"
    [ ${#there[@]} != 0 ] || bad=1
done
exit $bad
