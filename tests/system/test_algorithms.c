// SPDX-License-Identifier: Apache-2.0
// IKE's (RFC 8247) and ESP's (RFC 8221) algorithms with stock strongSwan, either end beginning: of IKE each
// encryption algorithm, integrity algorithm, PRF and key exchange group once at least, of ESP each that its
// kernel-libipsec has, with one proposal at both ends, so that no other can have been taken; traffic goes
// through each tunnel, both ways.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/system/steps.h"

static struct lab lab;

static const struct cell {
    const char *proposal, *shown; // shown: what charon's list of SAs says of it
} ike_cells[] = {
    {"aes128-sha256-modp2048", "AES_CBC-128/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048"},
    {"aes192-sha384-modp3072", "AES_CBC-192/HMAC_SHA2_384_192/PRF_HMAC_SHA2_384/MODP_3072"},
    {"aes256-sha512-modp4096", "AES_CBC-256/HMAC_SHA2_512_256/PRF_HMAC_SHA2_512/MODP_4096"},
    {"aes256-sha1-modp6144", "AES_CBC-256/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_6144"},
    {"aes128ctr-sha256-modp8192", "AES_CTR-128/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_8192"},
    {"aes192ctr-sha384-ecp256", "AES_CTR-192/HMAC_SHA2_384_192/PRF_HMAC_SHA2_384/ECP_256"},
    {"aes256ctr-sha512-ecp384", "AES_CTR-256/HMAC_SHA2_512_256/PRF_HMAC_SHA2_512/ECP_384"},
    {"aes128gcm8-prfsha256-ecp521", "AES_GCM_8-128/PRF_HMAC_SHA2_256/ECP_521"},
    {"aes192gcm8-prfsha384-x25519", "AES_GCM_8-192/PRF_HMAC_SHA2_384/CURVE_25519"},
    {"aes256gcm12-prfsha512-x448", "AES_GCM_12-256/PRF_HMAC_SHA2_512/CURVE_448"},
    {"aes128gcm12-prfsha1-x25519", "AES_GCM_12-128/PRF_HMAC_SHA1/CURVE_25519"},
    {"aes192gcm16-prfsha256-ecp256", "AES_GCM_16-192/PRF_HMAC_SHA2_256/ECP_256"},
    {"chacha20poly1305-prfsha256-x25519", "CHACHA20_POLY1305/PRF_HMAC_SHA2_256/CURVE_25519"},
};

static const struct cell esp_cells[] = {
    {"aes128-sha256", "ESP:AES_CBC-128/HMAC_SHA2_256_128"},
    {"aes192-sha384", "ESP:AES_CBC-192/HMAC_SHA2_384_192"},
    {"aes256-sha512", "ESP:AES_CBC-256/HMAC_SHA2_512_256"},
    {"aes256-sha1", "ESP:AES_CBC-256/HMAC_SHA1_96"},
    {"aes128ctr-sha256", "ESP:AES_CTR-128/HMAC_SHA2_256_128"},
    {"aes256ctr-sha384", "ESP:AES_CTR-256/HMAC_SHA2_384_192"},
    {"aes128gcm8", "ESP:AES_GCM_8-128"},
    {"aes256gcm12", "ESP:AES_GCM_12-256"},
    {"aes192gcm16", "ESP:AES_GCM_16-192"},
    {"aes128ccm8", "ESP:AES_CCM_8-128"},
    {"aes192ccm12", "ESP:AES_CCM_12-192"},
    {"aes256ccm16", "ESP:AES_CCM_16-256"},
    {"chacha20poly1305", "ESP:CHACHA20_POLY1305"},
    {"null-sha256", "ESP:NULL/HMAC_SHA2_256_128"},
};

static int set_up(void **state)
{
    (void)state;
    return lab_up(&lab, "espalg") ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

static void expect_shown(struct site *s, const char *want)
{
    char out[16384];
    assert_int_equal(swanctl(s, out, sizeof(out), "--list-sas"), 0);
    if (!strstr(out, want)) {
        print_error("%s expected, %s shows: %s\n", want, s->name, out);
        fail();
    }
}

static void cell(const struct tunnel_options *o, const struct cell *c, bool charon_begins)
{
    static char *const ours[] = {"--card", "none", NULL};
    struct site *first = charon_begins ? &lab.east : &lab.west;
    char out[16384];
    assert_true(charon_start(&lab, &lab.east, &lab.west, o));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, o, ours));
    if (swanctl(first, out, sizeof(out), "--initiate --child net --timeout 20")) {
        print_error("%s, %s begins: %s\n", c->proposal, first->name, out);
        fail();
    }
    if (!ping(&lab, &lab.west, &lab.east, 2)) {
        print_error("%s, %s begins: no answer to a ping\n", c->proposal, first->name);
        fail();
    }
    expect_shown(&lab.east, c->shown);
    expect_shown(&lab.west, c->shown);
    assert_true(stop(&lab.west.daemon, SIGTERM, 10000));
    assert_true(stop(&lab.east.daemon, SIGTERM, 10000));
}

#define PLUGINS "ctr gcm ccm chapoly curve25519 hmac sha1"

static void test_every_ike_algorithm_works_with_strongswan_in_both_roles(void **state)
{
    (void)state;
    needs_strongswan();
    for (size_t i = 0; i < 2 * sizeof(ike_cells) / sizeof(ike_cells[0]); i++)
        cell(&(struct tunnel_options){.ike = ike_cells[i / 2].proposal,
                                      .conn = "rekey_time = 0",
                                      .charon_plugins = PLUGINS},
             &ike_cells[i / 2], i % 2);
    print_message("%zu proposals, either end beginning\n", sizeof(ike_cells) / sizeof(ike_cells[0]));
}

static void test_every_esp_algorithm_works_with_strongswan_in_both_roles(void **state)
{
    (void)state;
    needs_strongswan();
    for (size_t i = 0; i < 2 * sizeof(esp_cells) / sizeof(esp_cells[0]); i++)
        cell(&(struct tunnel_options){.esp = esp_cells[i / 2].proposal,
                                      .conn = "rekey_time = 0",
                                      .charon_plugins = PLUGINS},
             &esp_cells[i / 2], i % 2);
    print_message("%zu proposals, either end beginning\n", sizeof(esp_cells) / sizeof(esp_cells[0]));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_ike_algorithm_works_with_strongswan_in_both_roles, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_every_esp_algorithm_works_with_strongswan_in_both_roles, set_up,
                                        tear_down),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
