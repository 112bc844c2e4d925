#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The manual as HTML and as man pages (section 7), by lowdown; every link of the HTML is followed once.
# usage: build.sh FOLDER (from the repository's folder)
# exit status: 0 done, 1 a link leads nowhere, 2 usage, 3 lowdown is missing
set -eu
out=${1:?usage: build.sh FOLDER}
src=ctrl/manual
command -v lowdown >/dev/null || {
    echo "manual: missing: lowdown (apt-get install lowdown)" >&2
    exit 3
}
rm -rf "$out"
mkdir -p "$out"
root=$(realpath --relative-to="$out" .)

title() { sed -n 's/^# //p' "$1" | head -n 1; }

# README.md is the index; what is outside the manual stays where it is in the source
to_html() {
    lowdown -s -thtml -M title="$(title "$1") – Espalier" "$1" |
        sed -e 's|&#47;|/|g' \
            -e "s|href=\"\.\./\.\./|href=\"$root/|g" -e "s|href=\"\.\./|href=\"$root/ctrl/|g" \
            -e 's|href="README\.md|href="index.html|g' -e 's|href="\([a-z0-9-]*\)\.md|href="\1.html|g'
}

for page in "$src"/*.md; do
    name=$(basename "$page" .md)
    if [ "$name" = README ]; then
        to_html "$page" >"$out/index.html"
        name=manual
    else
        to_html "$page" >"$out/$name.html"
    fi
    lowdown -s -tman -M title="ESPALIER-$(echo "$name" | tr '[:lower:]' '[:upper:]')" -M section=7 -M source=Espalier "$page" >"$out/espalier-$name.7"
done

nowhere=0
for page in "$out"/*.html; do
    grep -o 'href="[^"]*"' "$page" | sed -e 's/href="//' -e 's/"$//' >"$out/.links"
    while read -r link; do
        case $link in https://*) continue ;; esac
        file=${link%%#*}
        to=$out/${file:-$(basename "$page")}
        if [ ! -e "$to" ]; then
            echo "$page: nothing is at $link" >&2
            nowhere=1
        elif [ "$link" != "${link#*#}" ] && [ "${to%.html}" != "$to" ] && ! grep -q "id=\"${link#*#}\"" "$to"; then
            echo "$page: no heading is at $link" >&2
            nowhere=1
        fi
    done <"$out/.links"
done
rm -f "$out/.links"
[ $nowhere = 0 ] || exit 1
echo "manual: $(find "$out" -name '*.html' | wc -l) pages in $out/index.html, man pages beside them (man $out/espalier-manual.7)"
