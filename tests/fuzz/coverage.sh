#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Which lines of the files that read what others send, and of those that hold the state of it, the fuzz targets reach with
# what is in FUZZ/seeds and FUZZ/corpus: a table, and the sum, which must be 80 % at least.
# usage: coverage.sh FUZZ TARGET...   (FUZZ/cov/bin has the targets with clang's coverage)
set -eu
fuzz=$1
shift
least=80
files="ctrl/ike/message.c ctrl/ike/proposal.c ctrl/ike/selectors.c ctrl/ike/identity.c ctrl/ike/child_payloads.c ctrl/ike/cert_payload.c
    ctrl/ike/fragments.c ctrl/ike/datagram.c ctrl/ike/exchange.c ctrl/ike/exchange_receive.c ctrl/ike/exchange_send.c
    ctrl/ike/seal.c ctrl/ike/cookie.c ctrl/ike/strangers.c ctrl/ike/first_request.c ctrl/ike/init.c ctrl/ike/init_respond.c ctrl/ike/auth.c ctrl/ike/auth_respond.c
    ctrl/ike/proof.c ctrl/ike/eap.c ctrl/ike/eap_client.c ctrl/ike/eap_packet.c ctrl/ike/eap_tls.c ctrl/crypto/mschapv2.c ctrl/ike/create_child.c ctrl/ike/childsa.c ctrl/ike/rekey_ike.c ctrl/ike/info.c ctrl/ike/sa.c ctrl/ike/task.c
    ctrl/ipc/ipc.c ctrl/lib/conn.c ctrl/lib/policy_wire.c ctrl/ctl/vici_msg.c ctrl/ctl/server.c ctrl/ctl/client.c
    ctrl/pki/cert.c ctrl/pki/crl.c ctrl/pki/ocsp.c ctrl/crypto/dn.c"
version=$(${FUZZ_CC:-clang} -dumpversion | cut -d. -f1)
tool() { command -v "$1-$version" || command -v "$1" || { echo "missing: $1 (Debian: llvm; make deps)" >&2; exit 3; }; }
profdata=$(tool llvm-profdata) cov=$(tool llvm-cov)
rm -f "$fuzz"/cov/*.profraw
objects=()
for t; do
    LLVM_PROFILE_FILE=$fuzz/cov/$t.profraw "$fuzz/cov/bin/fuzz_$t" -runs=0 -max_len=8192 "$fuzz/corpus/$t" "$fuzz/seeds/$t" >"$fuzz/log/cov-$t.log" 2>&1
    objects+=(${objects[0]:+-object} "$fuzz/cov/bin/fuzz_$t") # the first one goes without the word
done
$profdata merge -o "$fuzz/cov/all.profdata" "$fuzz"/cov/*.profraw
# shellcheck disable=SC2086
$cov export -summary-only -instr-profile "$fuzz/cov/all.profdata" "${objects[@]}" $files |
    python3 -c '
import json, sys
seen = total = 0
for f in sorted(json.load(sys.stdin)["data"][0]["files"], key=lambda f: f["filename"]):
    lines = f["summary"]["lines"]
    seen, total = seen + lines["covered"], total + lines["count"]
    print("  %5d of %5d  %5.1f %%  %s" % (lines["covered"], lines["count"], lines["percent"], f["filename"][f["filename"].find("ctrl/"):]))
print("  %5d of %5d  %5.1f %%  in all; at least %s %% are wanted" % (seen, total, 100 * seen / total, sys.argv[1]))
sys.exit(100 * seen < int(sys.argv[1]) * total)' "$least"
