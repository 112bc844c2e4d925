// SPDX-License-Identifier: Apache-2.0
// IKE's algorithms with stock strongSwan (RFC 8247), either end beginning: each encryption algorithm,
// integrity algorithm, PRF and key exchange group once at least, with one proposal at both ends, so that no
// other can have been taken; traffic goes through each tunnel.
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
} cells[] = {
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

static void cell(const struct cell *c, bool charon_begins)
{
    static char *const ours[] = {"--card", "none", NULL};
    const struct tunnel_options o = {.ike = c->proposal,
                                     .conn = "rekey_time = 0",
                                     .charon_plugins = "ctr gcm chapoly curve25519 hmac sha1"};
    struct site *first = charon_begins ? &lab.east : &lab.west;
    char out[16384];
    assert_true(charon_start(&lab, &lab.east, &lab.west, &o));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, ours));
    if (swanctl(first, out, sizeof(out), "--initiate --child net --timeout 20")) {
        print_error("%s, %s begins: %s\n", c->proposal, first->name, out);
        fail();
    }
    assert_true(ping(&lab, &lab.west, &lab.east, 2));
    assert_int_equal(swanctl(&lab.east, out, sizeof(out), "--list-sas"), 0);
    if (!strstr(out, c->shown)) {
        print_error("%s expected, charon shows: %s\n", c->shown, out);
        fail();
    }
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--list-sas"), 0);
    if (!strstr(out, c->shown)) {
        print_error("%s expected, espalierd shows: %s\n", c->shown, out);
        fail();
    }
    assert_true(stop(&lab.west.daemon, SIGTERM, 10000));
    assert_true(stop(&lab.east.daemon, SIGTERM, 10000));
}

static void test_every_ike_algorithm_works_with_strongswan_in_both_roles(void **state)
{
    (void)state;
    needs_strongswan();
    for (size_t i = 0; i < 2 * sizeof(cells) / sizeof(cells[0]); i++)
        cell(&cells[i / 2], i % 2);
    print_message("%zu proposals, either end beginning\n", sizeof(cells) / sizeof(cells[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_ike_algorithm_works_with_strongswan_in_both_roles, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
