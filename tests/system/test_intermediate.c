// SPDX-License-Identifier: Apache-2.0
// Additional key exchanges (RFC 9242, RFC 9370) with a strongSwan that has them (6.0 and later, in the folder
// ESPALIER_CHARON_ROOT), either end beginning and either end rekeying: classic ones, and ML-KEM where that
// OpenSSL has it and ours does too.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/system/steps.h"

static struct lab lab;

static const struct cell {
    const char *proposal, *shown, *settings, *esp, *esp_shown;
} classic[] =
    {
        {"aes256gcm16-prfsha384-x25519-ke1_ecp384",
         "AES_GCM_16_256/PRF_HMAC_SHA2_384/CURVE_25519/KE1_ECP_384", "", "aes256gcm16-x25519-ke1_ecp384",
         "AES_GCM_16_256/CURVE_25519/NO_EXT_SEQ/KE1_ECP_384"},
        {"aes256gcm16-prfsha384-x25519-ke1_ecp256-ke2_x448",
         "AES_GCM_16_256/PRF_HMAC_SHA2_384/CURVE_25519/KE1_ECP_256/KE2_CURVE_448", "",
         "aes256gcm16-ecp256-ke1_x25519-ke2_x448",
         "AES_GCM_16_256/ECP_256/NO_EXT_SEQ/KE1_CURVE_25519/KE2_CURVE_448"},
        {"aes128-sha256-ecp256-ke1_modp4096-ke3_modp3072",
         "AES_CBC_128/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/ECP_256/KE1_MODP_4096/KE3_MODP_3072",
         "fragment_size = 400", "aes256gcm16-x25519-ke2_modp4096",
         "AES_GCM_16_256/CURVE_25519/NO_EXT_SEQ/KE2_MODP_4096"},
},
  mlkem[] = {
      {"aes256gcm16-prfsha384-x25519-ke1_mlkem768",
       "AES_GCM_16_256/PRF_HMAC_SHA2_384/CURVE_25519/KE1_ML_KEM_768", "", "aes256gcm16-x25519-ke1_mlkem768",
       "AES_GCM_16_256/CURVE_25519/NO_EXT_SEQ/KE1_ML_KEM_768"},
      {"aes256gcm16-prfsha512-ecp384-ke1_mlkem1024-ke2_mlkem512",
       "AES_GCM_16_256/PRF_HMAC_SHA2_512/ECP_384/KE1_ML_KEM_1024/KE2_ML_KEM_512", "fragment_size = 600",
       "aes256gcm16-ecp384-ke1_mlkem1024", "AES_GCM_16_256/ECP_384/NO_EXT_SEQ/KE1_ML_KEM_1024"},
};

static int set_up(void **state)
{
    (void)state;
    return lab_up(&lab, "espint") ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

// The SPIs tell that it was a rekeying.
static void spis_of(struct site *s, const char *field, char *spi, size_t size)
{
    char out[16384];
    const char *at;
    assert_int_equal(swanctl(s, out, sizeof(out), "--list-sas --raw"), 0);
    at = strstr(out, field);
    assert_non_null(at);
    snprintf(spi, size, "%.16s", at + strlen(field));
}

static void rekey(struct site *s, const char *what, const char *field)
{
    char out[16384], before[32], now[32];
    spis_of(&lab.west, field, before, sizeof(before));
    if (swanctl(s, out, sizeof(out), "--rekey %s", what)) {
        print_error("%s: --rekey %s: %s\n", s->name, what, out);
        fail();
    }
    for (int tries = 0; tries < 100; tries++) {
        usleep(100000);
        spis_of(&lab.west, field, now, sizeof(now));
        if (strcmp(before, now) != 0)
            break;
    }
    assert_string_not_equal(before, now);
    assert_true(ping(&lab, &lab.west, &lab.east, 2));
}

static void cell(const struct cell *c, bool charon_begins)
{
    static char *const ours[] = {"--card", "none", NULL};
    const struct tunnel_options o = {.ike = c->proposal,
                                     .esp = c->esp,
                                     .conn = "rekey_time = 0",
                                     .charon_root = getenv("ESPALIER_CHARON_ROOT"),
                                     .charon_settings = c->settings};
    struct site *first = charon_begins ? &lab.east : &lab.west;
    char out[16384], chosen[300];
    assert_true(charon_start(&lab, &lab.east, &lab.west, &o));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, ours));
    if (swanctl(first, out, sizeof(out), "--initiate --child net --timeout 20")) {
        print_error("%s, %s begins: %s\n", c->proposal, first->name, out);
        fail();
    }
    assert_true(ping(&lab, &lab.west, &lab.east, 2));
    snprintf(chosen, sizeof(chosen), "selected proposal: IKE:%s", c->shown);
    assert_true(logged(&lab.east, chosen));
    assert_true(logged(&lab.east, "IKE_INTERMEDIATE"));
    rekey(&lab.west, "--child net", "spi-in=");
    snprintf(chosen, sizeof(chosen), "selected proposal: ESP:%s", c->esp_shown);
    assert_true(logged(&lab.east, chosen));
    assert_true(logged(&lab.east, "parsed IKE_FOLLOWUP_KE request"));
    rekey(&lab.east, "--child net", "spi-in=");
    assert_true(logged(&lab.east, "parsed IKE_FOLLOWUP_KE response"));
    rekey(&lab.west, "--ike site", "initiator-spi=");
    rekey(&lab.east, "--ike site", "initiator-spi=");
    rekey(&lab.west, "--child net", "spi-in=");        // by the new keys
    assert_true(logged(&lab.east, "rekeyed between")); // and not made anew
    assert_true(stop(&lab.west.daemon, SIGTERM, 10000));
    assert_true(stop(&lab.east.daemon, SIGTERM, 10000));
}

static void need_root(void)
{
    if (getenv("ESPALIER_CHARON_ROOT"))
        return;
    print_message("skip: ESPALIER_CHARON_ROOT names no folder with strongSwan 6.0 or later\n");
    skip();
}

static void test_classic_additional_key_exchanges_work_with_strongswan_in_both_roles(void **state)
{
    (void)state;
    need_root();
    for (size_t i = 0; i < 2 * sizeof(classic) / sizeof(classic[0]); i++)
        cell(&classic[i / 2], i % 2);
}

static void test_ml_kem_works_with_strongswan_in_both_roles(void **state)
{
    (void)state;
    need_root();
    if (!getenv("ESPALIER_ML_KEM")) {
        print_message("skip: ESPALIER_ML_KEM does not say that both have ML-KEM\n");
        skip();
    }
    for (size_t i = 0; i < 2 * sizeof(mlkem) / sizeof(mlkem[0]); i++)
        cell(&mlkem[i / 2], i % 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_classic_additional_key_exchanges_work_with_strongswan_in_both_roles, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ml_kem_works_with_strongswan_in_both_roles, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
