#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# mutants_apply.sh: does each patch of tests/world/mutants still apply, and does LIST name each and no other? Where one
# does not, the mutant has to follow the code; `make world-mutants` builds and runs them.
cd "$(dirname "$0")/../.." || exit 1
bad=0
mapfile -t names < <(grep -v '^#' tests/world/mutants/LIST | awk '{print $1}' | sort)
mapfile -t files < <(find tests/world/mutants -name '*.patch' -printf '%f\n' | sed 's/\.patch$//' | sort)
if [ "${names[*]}" != "${files[*]}" ]; then
    echo "tests/world/mutants: LIST and the patches differ: $(comm -3 <(printf '%s\n' "${names[@]}") <(printf '%s\n' "${files[@]}") | tr -d '\t' | tr '\n' ' ')"
    bad=1
fi
for name in "${files[@]}"; do
    if ! why=$(patch -f -s -p1 --dry-run <"tests/world/mutants/$name.patch" 2>&1); then
        echo "tests/world/mutants/$name.patch does not apply any more: ${why%%$'\n'*}"
        bad=1
    fi
done
[ $bad = 0 ] && echo "world mutants: ${#files[@]} patches apply"
exit $bad
