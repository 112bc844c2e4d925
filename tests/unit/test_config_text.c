// SPDX-License-Identifier: Apache-2.0
// Proposals and traffic selectors as people write them.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ctrl/config/proposal_text.h"
#include "ctrl/crypto/crypto.h"

// ---- proposals

static const char *proposal(uint8_t protocol, const char *text)
{
    static char printed[300];
    struct proposal list[PROPOSALS_MAX];
    uint8_t count = 0;
    struct esp_error e;
    if (proposal_text_add(list, &count, protocol, text, &e) < 0)
        snprintf(printed, sizeof(printed), "error: %s", e.text);
    else
        proposal_print(&list[0], printed, sizeof(printed));
    return printed;
}

static void test_proposals_are_completed_as_charon_does(void **state)
{
    (void)state;
    assert_string_equal(proposal(PROTO_IKE, "aes256gcm16-prfsha256-x25519"),
                        "IKE:AES_GCM_16_256/PRF_HMAC_SHA2_256/CURVE_25519");
    assert_string_equal(proposal(PROTO_IKE, "aes256-sha256-modp2048"),
                        "IKE:AES_CBC_256/HMAC_SHA2_256_128/MODP_2048/PRF_HMAC_SHA2_256");
    assert_string_equal(proposal(PROTO_IKE, "aes128gcm16-sha384-ecp384"),
                        "IKE:AES_GCM_16_128/ECP_384/PRF_HMAC_SHA2_384");
    assert_string_equal(proposal(PROTO_ESP, "aes128gcm16"), "ESP:AES_GCM_16_128/NO_EXT_SEQ");
    assert_string_equal(proposal(PROTO_ESP, "aes256gcm16-x25519-esn-noesn"),
                        "ESP:AES_GCM_16_256/CURVE_25519/EXT_SEQ/NO_EXT_SEQ");
    assert_string_equal(proposal(PROTO_ESP, "chacha20poly1305"), "ESP:CHACHA20_POLY1305/NO_EXT_SEQ");
    assert_string_equal(proposal(PROTO_ESP, "aes256gcm16-x25519-ecp384-none"),
                        "ESP:AES_GCM_16_256/CURVE_25519/ECP_384/MODP_NONE/NO_EXT_SEQ");
    assert_string_equal(proposal(PROTO_ESP, "aes256gcm16-modpnone-modp3072"),
                        "ESP:AES_GCM_16_256/MODP_NONE/MODP_3072/NO_EXT_SEQ");
    assert_string_equal(proposal(PROTO_IKE, "aes128ctr-sha1-modp8192"),
                        "IKE:AES_CTR_128/HMAC_SHA1_96/MODP_8192/PRF_HMAC_SHA1");
    assert_string_equal(proposal(PROTO_IKE, "aes256gcm64-aes192gcm12-prfsha1-modp6144"),
                        "IKE:AES_GCM_8_256/AES_GCM_12_192/PRF_HMAC_SHA1/MODP_6144");
    assert_string_equal(proposal(PROTO_ESP, "aes256-aes128ctr-sha384-sha1-esn"),
                        "ESP:AES_CBC_256/AES_CTR_128/HMAC_SHA2_384_192/HMAC_SHA1_96/EXT_SEQ");
    assert_string_equal(proposal(PROTO_ESP, "aes128ccm64-aes192ccm96-aes256ccm-aes256gcm8-aes128gmac"),
                        "ESP:AES_CCM_8_128/AES_CCM_12_192/AES_CCM_16_256/AES_GCM_8_256/NULL_AES_GMAC_128/"
                        "NO_EXT_SEQ");
    assert_string_equal(proposal(PROTO_AH, "sha256-sha1-aes128gmac-aes256gmac-x25519"),
                        "AH:HMAC_SHA2_256_128/HMAC_SHA1_96/AES_128_GMAC/AES_256_GMAC/CURVE_25519/NO_EXT_SEQ");
    assert_string_equal(proposal(PROTO_AH, "default"),
                        "AH:HMAC_SHA2_256_128/HMAC_SHA2_384_192/HMAC_SHA2_512_256/NO_EXT_SEQ");
    assert_string_equal(proposal(PROTO_ESP, "null-sha512"), "ESP:NULL/HMAC_SHA2_512_256/NO_EXT_SEQ");
    assert_string_equal(proposal(PROTO_ESP, "aes256gcm16-sha256"), "ESP:AES_GCM_16_256/NO_EXT_SEQ");
    assert_string_equal(proposal(PROTO_ESP, "aes256gcm16-none"), "ESP:AES_GCM_16_256/NO_EXT_SEQ");
}

static void test_proposals_incomplete_ones_say_what_is_missing(void **state)
{
    (void)state;
    assert_non_null(strstr(proposal(PROTO_IKE, "aes256gcm16-x25519"), "a PRF is missing"));
    assert_non_null(strstr(proposal(PROTO_IKE, "aes256gcm16-prfsha256"), "group is missing"));
    assert_non_null(strstr(proposal(PROTO_IKE, "prfsha256-x25519"), "encryption algorithm is missing"));
    assert_non_null(strstr(proposal(PROTO_IKE, "aes256-prfsha256-x25519"), "integrity algorithm is missing"));
    assert_non_null(
        strstr(proposal(PROTO_IKE, "aes256-aes256gcm16-sha256-x25519"), "cannot be in one proposal"));
    assert_non_null(strstr(proposal(PROTO_ESP, "null"), "integrity algorithm is missing"));
    assert_non_null(strstr(proposal(PROTO_AH, "esn"), "integrity algorithm is missing"));
    assert_non_null(strstr(proposal(PROTO_AH, "null-sha256"), "'null' has no place in an AH proposal"));
    assert_non_null(strstr(proposal(PROTO_ESP, "aes128"), "integrity algorithm is missing"));
    assert_non_null(strstr(proposal(PROTO_ESP, "aes128-aes128ccm16-sha256"), "cannot be in one proposal"));
    assert_non_null(
        strstr(proposal(PROTO_IKE, "aes128ccm16-prfsha256-x25519"), "no place in an IKE proposal"));
    assert_non_null(
        strstr(proposal(PROTO_IKE, "aes128gmac-prfsha256-x25519"), "no place in an IKE proposal"));
    assert_non_null(strstr(proposal(PROTO_ESP, "des-sha256"), "DES must not be used"));
    assert_non_null(strstr(proposal(PROTO_ESP, "aes128-md5"), "HMAC-MD5 must not be used"));
    assert_non_null(
        strstr(proposal(PROTO_IKE, "aes256gcm16-prfsha256-x25519-esn"), "no place in an IKE proposal"));
    assert_non_null(
        strstr(proposal(PROTO_IKE, "aes256gcm16-prfsha256-x25519-none"), "'none' has no place in an IKE"));
    assert_non_null(strstr(proposal(PROTO_IKE, ""), "missing"));
}

static void test_proposals_name_additional_key_exchanges(void **state)
{
    (void)state;
    assert_string_equal(proposal(PROTO_IKE, "aes256gcm16-prfsha256-x25519-ke1_ecp384-ke1_none-ke7_x448"),
                        "IKE:AES_GCM_16_256/PRF_HMAC_SHA2_256/CURVE_25519/KE1_ECP_384/KE1_MODP_NONE/"
                        "KE7_CURVE_448");
    assert_non_null(strstr(proposal(PROTO_IKE, "aes256gcm16-prfsha256-x25519-ke8_ecp384"), "'ke8_ecp384'"));
    assert_non_null(strstr(proposal(PROTO_IKE, "aes256gcm16-prfsha256-x25519-ke1_sha256"), "'ke1_sha256'"));
    assert_non_null(strstr(proposal(PROTO_IKE, "aes256gcm16-prfsha256-ke1_x25519"), "group is missing"));
    assert_non_null(strstr(proposal(PROTO_ESP, "aes256gcm16-ke1_x25519"), "stands behind a first one"));
    assert_non_null(strstr(proposal(PROTO_ESP, "aes256gcm16-x25519-none-ke1_x448"), "'none' has no place"));
    assert_string_equal(proposal(PROTO_ESP, "aes256gcm16-x25519-ke1_x448-ke1_none"),
                        "ESP:AES_GCM_16_256/CURVE_25519/KE1_CURVE_448/KE1_MODP_NONE/NO_EXT_SEQ");
}

static void test_proposals_with_ml_kem_need_an_openssl_that_has_it(void **state)
{
    const char *text = proposal(PROTO_IKE, "aes256gcm16-prfsha256-x25519-ke1_mlkem768");
    (void)state;
    if (cr_dh_public_len(36)) {
        assert_string_equal(text, "IKE:AES_GCM_16_256/PRF_HMAC_SHA2_256/CURVE_25519/KE1_ML_KEM_768");
        assert_non_null(strstr(proposal(PROTO_IKE, "aes256gcm16-prfsha256-mlkem768"),
                               "is an additional key exchange: x25519-ke1_mlkem768"));
    } else {
        assert_non_null(strstr(text, "'ke1_mlkem768' needs OpenSSL 3.5 or later, here is 3."));
    }
}

static void test_proposals_with_weak_algorithms_are_refused_by_name(void **state)
{
    static const struct {
        const char *word, *text;
    } weak[] = {{"des", "'des' is refused: DES must not be used (RFC 8247 2.1, RFC 8221 5)"},
                {"3des", "'3des' is refused"},
                {"blowfish256", "(RFC 8221 5)"},
                {"cast128", "'cast128' is refused"},
                {"null", "in clear"},
                {"md5", "(RFC 8247 2.3, RFC 8221 6)"},
                {"prfmd5", "(RFC 8247 2.2)"},
                {"modp768", "(RFC 8247 2.4)"},
                {"modp1024", "(RFC 8247 2.4)"},
                {"modp1536", "(RFC 8247 2.4)"},
                {"modp1024s160", "(RFC 8247 2.4)"},
                {"modp2048s224", "(RFC 8247 2.4)"},
                {"modp2048s256", "(RFC 8247 2.4)"},
                {"ecp192", "'ecp192' is refused"}};
    (void)state;
    for (size_t i = 0; i < sizeof(weak) / sizeof(weak[0]); i++) {
        char text[100];
        snprintf(text, sizeof(text), "aes256-sha256-%s-x25519", weak[i].word);
        assert_non_null(strstr(proposal(PROTO_IKE, text), weak[i].text));
    }
}

// ---- traffic selectors

static const char *ts(const char *text)
{
    static char printed[300];
    struct ts t;
    struct esp_error e;
    if (ts_text_parse(text, &t, &e) < 0)
        snprintf(printed, sizeof(printed), "error: %s", e.text);
    else
        ts_print(&t, printed, sizeof(printed));
    return printed;
}

static void test_traffic_selectors(void **state)
{
    (void)state;
    assert_string_equal(ts("10.1.0.0/16"), "10.1.0.0/16");
    assert_string_equal(ts("10.1.2.3/16"), "10.1.0.0/16"); // host bits do not count
    assert_string_equal(ts("10.1.0.1"), "10.1.0.1/32");
    assert_string_equal(ts("0.0.0.0/0"), "0.0.0.0/0");
    assert_string_equal(ts("dynamic"), "dynamic");
    assert_string_equal(ts("dynamic[tcp/80]"), "dynamic[tcp/80]");
    assert_string_equal(ts("10.0.0.1[tcp/80]"), "10.0.0.1/32[tcp/80]");
    assert_string_equal(ts("10.0.0.1[udp/1024-65535]"), "10.0.0.1/32[udp/1024-65535]");
    assert_string_equal(ts("10.0.0.1[6]"), "10.0.0.1/32[tcp]");
    assert_string_equal(ts("10.0.0.1-10.0.0.9"), "10.0.0.1..10.0.0.9");
    assert_string_equal(ts("10.0.0.0..10.0.0.255"), "10.0.0.0/24");
    assert_string_equal(ts("fd00::/64"), "fd00::/64");
    static const char *const bad[] = {"",
                                      "10.0.0.0/33",
                                      "10.0.0.0/",
                                      "10.0.0.0/x",
                                      "10.0.0",
                                      "10.0.0.9-10.0.0.1",
                                      "10.0.0.1-fd00::1",
                                      "10.0.0.1[tcp/80",
                                      "10.0.0.1[nonsense]",
                                      "10.0.0.1[tcp/80-70]",
                                      "10.0.0.1[gre/opaque]",
                                      "10.0.0.1[tcp/65536]",
                                      "fd00::/129",
                                      "[",
                                      "]"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (strncmp(ts(bad[i]), "error: ", 7) != 0)
            fail_msg("\"%s\" was taken as %s", bad[i], ts(bad[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_proposals_are_completed_as_charon_does),
        cmocka_unit_test(test_proposals_incomplete_ones_say_what_is_missing),
        cmocka_unit_test(test_proposals_name_additional_key_exchanges),
        cmocka_unit_test(test_proposals_with_ml_kem_need_an_openssl_that_has_it),
        cmocka_unit_test(test_proposals_with_weak_algorithms_are_refused_by_name),
        cmocka_unit_test(test_traffic_selectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
