#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Proofs about the RTL by Yosys and yices (see tests/formal/README.md). Each PROOF is a module tests/formal/PROOF.v around RTL as it is:
# its assertions hold from the first cycle on (bounded) and are kept by every step (induction), so for ever; and its cover
# statements are reached, so nothing was assumed away.
# usage: formal.sh FOLDER               all proofs, results in FOLDER
#        formal.sh FOLDER mutants       each planted bug of mutants/ is found by the assertion that its first line names
set -eu
out=$1
here=tests/formal
mkdir -p "$out"

# proof, cycles from the first one on, steps of induction, cycles for the cover statements
proofs="fifo_f 12 4 16
fifo_ram_f 14 4 18
skid_f 10 4 12
ram_f 8 3 8
window_f 4 3 8
esn_f 9 1 12
egress_f 8 2 12
cut_f 8 1 8
build_f 10 1 10
tx_sa_f 3 1 10"

rtl() { # FOLDER PROOF: the sources
    case $2 in
    fifo_f) echo "$1/rtl/lib/fifo.v" ;;
    fifo_ram_f) echo "$1/rtl/lib/fifo_ram.v $1/rtl/lib/ram_sdp.v" ;;
    skid_f) echo "$1/rtl/lib/skid.v" ;;
    ram_f) echo "$1/rtl/lib/ram_ab.v" ;;
    window_f) echo "$1/rtl/esp/esp_rx_commit.v $here/ram_ab_any.v" ;;
    esn_f) echo "$1/rtl/esp/esp_rx_lookup.v $1/rtl/lib/key_ram.v $here/ram_ab_any.v" ;;
    egress_f) echo "$1/rtl/esp/esp_rx_egress.v" ;;
    cut_f) echo "$1/rtl/esp/esp_tx_cut.v" ;;
    build_f) echo "$1/rtl/esp/esp_tx_build.v" ;;
    tx_sa_f) echo "$1/rtl/esp/esp_tx_sa.v $here/ram_sdp_any.v" ;;
    esac
}

model() { # FLAGS SOURCES PROOF OUTPUT
    yosys -q -p "read_verilog -formal -sv -I. $1 $2 $here/$3.v; hierarchy -check -top $3; proc; opt; memory_map; opt; flatten;
        prep -top $3; async2sync; dffunmap; write_smt2 -wires $4" >"$4.log" 2>&1 || {
        cat "$4.log" >&2
        exit 1
    }
    # a signal that is watched by name and is not there is any signal
    if grep -E 'no driver|implicitly declared' "$4.log" >&2; then exit 1; fi
}

step() { # NAME ARGUMENTS: one run of the solver
    name=$1
    shift
    if ! timeout 600 yosys-smtbmc --noprogress -s yices "$@" "$out/$proof.smt2" >"$out/$proof.$name" 2>&1; then
        grep -E 'failed|Unreached|Status' "$out/$proof.$name" | sed "s/^/  $proof $name: /" >&2
        echo "formal: $proof: $name did not hold; $out/$proof.$name" >&2
        exit 1
    fi
}

prove() {
    echo "$proofs" | while read -r proof bound steps covers; do
        model -DLINK "$(rtl . "$proof")" "$proof" "$out/$proof.smt2"
        step bounded -t "$bound"
        step induction -i -t "$steps"
        step cover -c -t "$covers"
        printf '  proved  %-10s from the first %s cycles and by induction over %s, %s cover statements reached\n' "$proof" "$bound" \
            "$steps" "$(grep -c 'Reached cover' "$out/$proof.cover")"
    done
}

# A planted bug is looked for from the first cycle on and without the link, which would speak first.
mutants() {
    failed=0
    for patch in "$here"/mutants/*.patch; do
        read -r proof label <"$patch"
        tree=$out/mutant
        rm -rf "$tree"
        mkdir -p "$tree"
        cp -r rtl "$tree/rtl"
        patch -s -d "$tree" -p1 <"$patch"
        model "" "$(rtl "$tree" "$proof")" "$proof" "$out/mutant.smt2"
        timeout 600 yosys-smtbmc --noprogress -s yices -t 16 "$out/mutant.smt2" >"$out/mutant.log" 2>&1 || true
        found=$(sed -n "s/.*Assert failed in $proof: //p" "$out/mutant.log" | sort -u | tr '\n' ' ')
        case " $found" in
        *" $label "*) printf '  found   %-24s by %s\n' "$(basename "$patch" .patch)" "$label" ;;
        *)
            printf '  NOT     %-24s expected %s, failed: %s\n' "$(basename "$patch" .patch)" "$label" "$found"
            failed=1
            ;;
        esac
    done
    return $failed
}

if [ "${2:-}" = mutants ]; then mutants; else prove; fi
