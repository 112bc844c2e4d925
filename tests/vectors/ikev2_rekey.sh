#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Writes ikev2_rekey.json: keys of rekeyed IKE SAs and of CHILD SAs with key exchanges of their own, computed from the
# formulas of RFC 7296 2.13, 2.17, 2.18 and RFC 9370 2.2.4 by the openssl command's HMAC and nothing else.
# Run by hand: sh tests/vectors/ikev2_rekey.sh > tests/vectors/ikev2_rekey.json
set -eu

# octets SEED COUNT: arbitrary octets that anybody can make again
octets() { printf '%s' "$1" | openssl dgst -shake256 -xoflen "$2" -hex | sed 's/.*= *//'; }
hmac() { printf '%s' "$3" | xxd -r -p | openssl mac -digest "$1" -macopt "hexkey:$2" HMAC | tr 'A-F' 'a-f'; }
# prf_plus HASH KEY SEED OCTETS
prf_plus() {
    t='' out='' n=1
    while [ ${#out} -lt $((2 * $4)) ]; do
        t=$(hmac "$1" "$2" "$t$3$(printf %02x $n)")
        out=$out$t n=$((n + 1))
    done
    printf '%s' "$out" | cut -c1-$((2 * $4))
}
cut_octets() { printf '%s' "$1" | cut -c$((2 * $2 + 1))-$((2 * ($2 + $3))); }
length_of() { case $1 in SHA256) echo 32 ;; SHA384) echo 48 ;; SHA512) echo 64 ;; esac; }
number_of() { case $1 in SHA256) echo 5 ;; SHA384) echo 6 ;; SHA512) echo 7 ;; esac; }

# ike NAME OLD_HASH NEW_HASH ADDITIONAL: AES-GCM-256, so that SK_e is 36 octets and there is no SK_a
ike() {
    old=$(octets "$1 SK_d" "$(length_of "$2")") n=$(length_of "$3")
    ni=$(octets "$1 Ni" 32) nr=$(octets "$1 Nr" 40) spis=$(octets "$1 SPIs" 16)
    first=$(octets "$1 g^ir" 32) more='' list="\"$first\""
    for i in $4; do more=$more$(octets "$1 SK($i)" 48) list="$list, \"$(octets "$1 SK($i)" 48)\""; done
    seed=$(hmac "$2" "$old" "$first$ni$nr$more")
    all=$(prf_plus "$3" "$seed" "$ni$nr$spis" $((3 * n + 72)))
    cat <<EOF
  {"name": "$1", "old_prf": $(number_of "$2"), "prf": $(number_of "$3"), "old_sk_d": "$old", "shared": [$list],
   "ni": "$ni", "nr": "$nr", "spis": "$spis",
   "sk_d": "$(cut_octets "$all" 0 "$n")", "sk_ei": "$(cut_octets "$all" "$n" 36)",
   "sk_er": "$(cut_octets "$all" $((n + 36)) 36)", "sk_pi": "$(cut_octets "$all" $((n + 72)) "$n")",
   "sk_pr": "$(cut_octets "$all" $((2 * n + 72)) "$n")"}$5
EOF
}

# child NAME HASH ADDITIONAL
child() {
    d=$(octets "$1 SK_d" "$(length_of "$2")") ni=$(octets "$1 Ni" 32) nr=$(octets "$1 Nr" 16)
    first=$(octets "$1 g^ir" 256) more='' list="\"$first\""
    for i in $3; do more=$more$(octets "$1 SK($i)" 32) list="$list, \"$(octets "$1 SK($i)" 32)\""; done
    cat <<EOF
  {"name": "$1", "prf": $(number_of "$2"), "sk_d": "$d", "shared": [$list], "ni": "$ni", "nr": "$nr",
   "keymat": "$(prf_plus "$2" "$d" "$first$ni$nr$more" 192)"}$4
EOF
}

echo '{"ike_sas": ['
ike "same PRF" SHA256 SHA256 "" ,
ike "longer PRF" SHA256 SHA512 "" ,
ike "shorter PRF" SHA512 SHA256 "" ,
ike "two additional key exchanges" SHA384 SHA256 "1 2" ""
echo '], "child_sas": ['
child "its own key exchange" SHA256 "" ,
child "seven additional key exchanges" SHA512 "1 2 3 4 5 6 7" ""
echo ']}'
