// SPDX-License-Identifier: Apache-2.0
// espalier-sim vectors, esp-vectors and ike-vectors: what others published passes, what was changed fails.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/rtl/replay_rig.h"

#define VECTORS "tests/rtl/replay_vectors"
#define SHARED  "tests/vectors"
#define PSK     "psk-gcm256-ecp256"
#define SIGNED  "ecdsa-gcm256-ecp384"
#define CAVP    "/usr/lib/python3/dist-packages/cryptography_vectors/vectors/ciphers/AES/GCM"
#define CAVP_11 "/usr/lib/python3/dist-packages/cryptography_vectors/ciphers/AES/GCM"

// ---- vectors
static void test_vectors_cavp_all_6300_that_fit_pass(void **state)
{
    const char *dir = access(CAVP, R_OK) == 0 ? CAVP : CAVP_11;

    (void)state;
    if (access(dir, R_OK) != 0) {
        print_message("skip: python3-cryptography-vectors is not there\n");
        skip();
    }
    must_exit(run(ESPALIER_SIM " vectors %s/gcmEncryptExtIV*.rsp %s/gcmDecrypt*.rsp", dir, dir), 0);
    must_say("\n6300 passed, 0 failed, 40950 skipped\n");
    must_say("2100 of those that passed are AES-192 or ChaCha20-Poly1305: software only");
}

static void test_vectors_wycheproof_schema_counts_each_kind(void **state)
{
    (void)state;
    must_exit(run(ESPALIER_SIM " vectors " VECTORS "/aead.json"), 0);
    must_say("\n7 passed, 0 failed, 4 skipped\n");
    must_say("IV of other than 96 bits");
    must_say("more than 16 octets of additional data");
    must_say("tag of fewer than 4 octets");
}

static void test_vectors_excerpts_of_wycheproof_and_cavp_pass(void **state)
{
    (void)state;
    must_exit(run(ESPALIER_SIM " vectors " SHARED "/wycheproof/aes_gcm.json"), 0);
    must_say("\n30 passed, 0 failed, 9 skipped\n");
    must_exit(run(ESPALIER_SIM " vectors " SHARED "/wycheproof/chacha20_poly1305.json"), 0);
    must_say("28 of those that passed are AES-192 or ChaCha20-Poly1305: software only");
    must_say("\n28 passed, 0 failed, 3 skipped\n");
    must_exit(run(ESPALIER_SIM " vectors " SHARED "/cavp/*.rsp"), 0);
    must_say("180 passed, 0 failed, 0 skipped\n");
}

static void test_vectors_of_a_file_without_any_are_refused(void **state)
{
    (void)state;
    must_exit(run("echo '{\"algorithm\": \"AES-GCM\", \"testGroups\": []}' > %s/e.json; " ESPALIER_SIM
                  " vectors %s/e.json",
                  folder, folder),
              2);
    must_say("e.json: no vector found");
    must_exit(run("echo '[]' > %s/e.json; " ESPALIER_SIM " esp-vectors %s/e.json", folder, folder), 2);
    must_say("e.json: no vector found");
}

static void test_vectors_wrong_expectation_fails(void **state)
{
    (void)state;
    must_exit(run("sed 's/0388dace60b6a392f328c2b971b2fe78/0388dace60b6a392f328c2b971b2fe79/' " VECTORS
                  "/aead.json > %s/wrong.json",
                  folder),
              0);
    must_exit(run(ESPALIER_SIM " vectors %s/wrong.json", folder), 1);
    must_say("vector 1: RTL");
    must_say("\n5 passed, 2 failed, 4 skipped\n");
    must_exit(run(ESPALIER_SIM " vectors %s/none.rsp", folder), 2);
    must_exit(run("echo 'PLAINTEXT = 00' > %s/cbc.rsp; " ESPALIER_SIM " vectors %s/cbc.rsp", folder, folder),
              2);
    must_say("line 1: expected a field of a GCM response file, found \"PLAINTEXT\"");
}

static void test_esp_vectors_own_pass_both_ways(void **state)
{
    (void)state;
    must_exit(run(ESPALIER_SIM " esp-vectors " VECTORS "/esp.json"), 0);
    must_say("4 through core and OpenSSL; 10 decapsulations and 8 encapsulations");
    must_say("\n5 passed, 0 failed, 0 skipped\n");
    must_exit(
        run("sed 's/\"inner\": \"4500/\"inner\": \"4501/' " VECTORS "/esp.json > %s/wrong.json", folder), 0);
    must_exit(run(ESPALIER_SIM " esp-vectors %s/wrong.json", folder), 1);
    must_say("another inner packet");
}

static void test_esp_vectors_of_others_pass(void **state)
{
    (void)state;
    must_exit(run(ESPALIER_SIM " esp-vectors " SHARED "/esp.json"), 0);
    must_say("2 of those that passed are AES-192 or ChaCha20-Poly1305: software only");
    must_say("\n25 passed, 0 failed, 5 skipped\n");
}

static void test_ike_vectors_recorded_exchanges_pass(void **state)
{
    (void)state;
    must_exit(run(ESPALIER_SIM " ike-vectors " SHARED "/ikev2/*.json"), 0);
    must_say("72 passed, 0 failed, 0 skipped\n");
}

// What is changed in the record of one exchange, and what is then wrong with it.
static void test_ike_vectors_changed_exchanges_fail_where_they_were_changed(void **state)
{
    static const struct {
        const char *python, *says;
        int code;
        const char *file;
    } cases[] = {
        {"j['ike_sas'][0]['sk_pr']='00'+j['ike_sas'][0]['sk_pr'][2:]", "IKE SA 0: another SK_pr", 1, PSK},
        {"j['ike_sas'][0]['gir']='00'+j['ike_sas'][0]['gir'][2:]", "IKE SA 0: another SK_d", 1, PSK},
        {"j['child_sas'][0]['encr_r']='00'+j['child_sas'][0]['encr_r'][2:]", "CHILD SA 0: another key", 1,
         PSK},
        {"j['messages'][2]['plaintext']='00'+j['messages'][2]['plaintext'][2:]",
         "message 2: other payloads inside", 1, PSK},
        {"j['messages'][3]['msg']=j['messages'][3]['msg'][:-2]+'00'", "message 3: cannot be opened", 1, PSK},
        {"j['messages'][0]['msg']=j['messages'][0]['msg'][:-2]", "message 0: its header is refused", 1, PSK},
        {"j['auth'][0]['verified']='psk:another'", "AUTH in message 2: another AUTH", 1, PSK},
        {"j['auth'][0]['verified']='ECPublicKey/sha256'",
         "AUTH in message 2: no certificate whose key can be read", 1, PSK},
        {"j['auth'][0]['verified']='psk:another'", "AUTH in message 2: another AUTH", 1, SIGNED},
        {"j['messages'][0]['msg']=j['messages'][0]['msg'][:-2]+'00'",
         "AUTH in message 2: not signed by its certificate's key", 1, SIGNED},
        {"j['messages'][1]['msg']=j['messages'][1]['msg'][:-2]+'00'",
         "AUTH in message 3: not signed by its certificate's key", 1, SIGNED},
        {"j['ike_sas'][0]['nr']='00'+j['ike_sas'][0]['nr'][2:]", "AUTH in message 2: no AUTH can be made", 1,
         SIGNED},
        {"j['messages'][1]['msg']='xyz'", "message 1: \"msg\" is missing or malformed", 2, PSK},
        {"j['ike_sas'][0]['spi_i']='00'", "IKE SA 0: \"spi_i\" is missing or malformed", 2, PSK},
        {"j['algs']['1'][1]=999", "algorithm 1: \"algs\" is missing or malformed", 2, PSK},
        {"del j['ike_sas']", "no \"ike_sas\", expected a recorded IKEv2 exchange", 2, PSK},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        must_exit(run("/usr/bin/python3 -c \"import json; j=json.load(open('" SHARED
                      "/ikev2/%s.json')); %s; json.dump(j, open('%s/ike.json', 'w'))\"",
                      cases[i].file, cases[i].python, folder),
                  0);
        must_exit(run(ESPALIER_SIM " ike-vectors %s/ike.json", folder), cases[i].code);
        must_say(cases[i].says);
    }
    must_exit(run("echo '{' > %s/ike.json; " ESPALIER_SIM " ike-vectors %s/ike.json", folder, folder), 2);
    must_say("ike.json: line ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors_cavp_all_6300_that_fit_pass),
        cmocka_unit_test(test_vectors_wycheproof_schema_counts_each_kind),
        cmocka_unit_test(test_vectors_excerpts_of_wycheproof_and_cavp_pass),
        cmocka_unit_test(test_vectors_of_a_file_without_any_are_refused),
        cmocka_unit_test(test_vectors_wrong_expectation_fails),
        cmocka_unit_test(test_esp_vectors_own_pass_both_ways),
        cmocka_unit_test(test_esp_vectors_of_others_pass),
        cmocka_unit_test(test_ike_vectors_recorded_exchanges_pass),
        cmocka_unit_test(test_ike_vectors_changed_exchanges_fail_where_they_were_changed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
