// SPDX-License-Identifier: Apache-2.0
// `auth` of swanctl.conf(5): the forms of its text, what they allow, and what is refused and why.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ctrl/config/auth_text.h"
#include "ctrl/crypto/signature.h"
#include "ctrl/lib/conn.h"

static struct esp_error err;
static struct auth_text a;

static const char *schemes(const char *text, bool local)
{
    static char buf[400];
    if (auth_text_parse(text, local, &a, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    assert_int_equal(a.auth, AUTH_PUBKEY);
    return cr_schemes_print(a.schemes, buf, sizeof(buf));
}

#define HASH(n) (1u << CR_HASH_##n)
#define SHA2    (HASH(SHA256) | HASH(SHA384) | HASH(SHA512))
#define RSA     "rsa-sha256, rsa-sha384, rsa-sha512"
#define PSS     "rsa/pss-sha256, rsa/pss-sha384, rsa/pss-sha512"
#define ECDSA   "ecdsa-sha256, ecdsa-sha384, ecdsa-sha512"
#define NONE    UINT16_MAX

static void test_psk_stays_what_it_is(void **state)
{
    (void)state;
    assert_int_equal(auth_text_parse("psk", true, &a, &err), 0);
    assert_int_equal(a.auth, AUTH_PSK);
    assert_int_equal(a.schemes, 0);
}

static void test_schemes_of_the_auth_payload(void **state)
{
    (void)state;
    static const struct {
        const char *text, *made, *taken;
    } lines[] = {
        // the man page's own, first
        {"pubkey", RSA ", " ECDSA ", ed25519, ed448", RSA ", " PSS ", " ECDSA ", ed25519, ed448"},
        {"ecdsa-384", ECDSA, ECDSA},
        {"rsa-2048-ecdsa-256", RSA ", " ECDSA, RSA ", " PSS ", " ECDSA},
        {"pubkey-sha256-sha512", "rsa-sha256, rsa-sha512, ecdsa-sha256, ecdsa-sha512",
         "rsa-sha256, rsa-sha512, rsa/pss-sha256, rsa/pss-sha512, ecdsa-sha256, ecdsa-sha512"},
        {"rsa-2048-sha256-sha384-sha512", RSA, RSA ", " PSS},
        {"rsa-2048-sha256-ecdsa-256-sha256-sha384", "rsa-sha256, ecdsa-sha256, ecdsa-sha384",
         "rsa-sha256, rsa/pss-sha256, ecdsa-sha256, ecdsa-sha384"},
        {"rsa/pss-sha256", "rsa/pss-sha256", "rsa/pss-sha256"},
        {"ike:rsa/pss-sha256", "rsa/pss-sha256", "rsa/pss-sha256"},
        {"ike:pubkey-sha384-sha256", "rsa-sha256, rsa-sha384, ecdsa-sha256, ecdsa-sha384",
         "rsa-sha256, rsa-sha384, rsa/pss-sha256, rsa/pss-sha384, ecdsa-sha256, ecdsa-sha384"},
        // others
        {"rsa-2048-sha256-ike:rsa/pss-sha512", "rsa/pss-sha512", "rsa/pss-sha512"},
        {"ike:rsa/pss-sha256-ike:ecdsa-sha384", "rsa/pss-sha256, ecdsa-sha384",
         "rsa/pss-sha256, ecdsa-sha384"},
        {"ed25519", "ed25519", "ed25519"},
        {"ed448-identity", "ed448", "ed448"},
        {"ed25519-ed448", "ed25519, ed448", "ed25519, ed448"},
        {"pubkey-identity", "ed25519, ed448", "ed25519, ed448"},
        {"ike:rsa-sha1", "rsa-sha1", "rsa-sha1"},
        {"ike:pubkey", RSA ", " ECDSA ", ed25519, ed448", RSA ", " PSS ", " ECDSA ", ed25519, ed448"},
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_string_equal(schemes(lines[i].text, true), lines[i].made);
        assert_string_equal(schemes(lines[i].text, false), lines[i].taken);
    }
}

static void test_chain_is_held_to_lengths_and_hashes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned rsa, ecdsa;
        uint32_t hashes;
    } lines[] = {
        {"pubkey", 0, 0, SHA2 | HASH(IDENTITY)},
        {"pubkey-sha256-sha512", 0, 0, HASH(SHA256) | HASH(SHA512)},
        {"rsa", 0, NONE, SHA2},
        {"rsa-4096", 4096, NONE, SHA2},
        {"ecdsa-384", NONE, 384, SHA2},
        {"ecdsa-384-sha384", NONE, 384, HASH(SHA384)},
        {"rsa-2048-ecdsa-256", 2048, 256, SHA2},
        {"rsa-2048-sha256-ecdsa-256-sha256-sha384", 2048, 256, HASH(SHA256) | HASH(SHA384)},
        {"rsa-2048-rsa-4096", 4096, NONE, SHA2},
        {"ed25519", NONE, NONE, HASH(IDENTITY)},
        {"ecdsa-521-ed25519", NONE, 521, SHA2 | HASH(IDENTITY)},
        {"rsa-3072-sha512-ike:rsa/pss-sha256", 3072, NONE, HASH(SHA512)},
        // "ike:" leaves the chain alone, but for a length: the key that signs is in it
        {"ike:rsa/pss-sha256", 0, 0, 0},
        {"ike:rsa-4096-sha256", 4096, 0, 0},
        {"pubkey-sha256-ike:ecdsa-384", 0, 384, HASH(SHA256)},
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        schemes(lines[i].text, false);
        if (a.rsa_bits != lines[i].rsa || a.ecdsa_bits != lines[i].ecdsa || a.cert_hashes != lines[i].hashes)
            fail_msg("%s: rsa %u, ecdsa %u, hashes 0x%x; expected %u, %u, 0x%x", lines[i].text, a.rsa_bits,
                     a.ecdsa_bits, a.cert_hashes, lines[i].rsa, lines[i].ecdsa, lines[i].hashes);
    }
}

static void test_refusals_say_what_was_expected(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } lines[] = {
        {"", "nothing between"},
        {"PUBKEY", "expected psk, pubkey, rsa"},
        {"magic", "eap-mschapv2 or eap-tls"},
        {"psk-sha256", "'psk': expected psk, pubkey"},
        {"eap", "of EAP there are eap-mschapv2 and eap-tls"},
        {"eap-tls:ecdsa-384", "of EAP there are eap-mschapv2 and eap-tls"},
        {"xauth-pam", "XAuth belongs to IKEv1"},
        {"bliss-128", "BLISS signatures are not supported"},
        {"any", "say psk or pubkey"},
        {"sha256", "'sha256': expected psk, pubkey"},
        {"-pubkey", "nothing between"},
        {"pubkey-", "nothing between"},
        {"rsa--sha256", "nothing between"},
        {"ike:", "'' is no kind of key"},
        {"ike:psk", "'psk' is no kind of key"},
        {"pubkey:ike:rsa", "expected psk, pubkey"},
        {"rsa-sha224", "'sha224' is unknown or not supported"},
        {"rsa-sha3_256", "'sha3_256' is unknown or not supported"},
        {"rsa-md5", "'md5' is unknown or not supported"},
        {"rsa-foo", "'foo' is unknown or not supported; expected a kind of key"},
        {"rsa-sha1", "SHA-1 is not accepted in certificates"},
        {"rsa-1024", "expected the least length of rsa keys, 2048 to 8192 bits"},
        {"rsa-99999999999999999999", "expected the least length"},
        {"rsa-2048-4096", "rsa has a length already"},
        {"ecdsa-160", "expected the least length of ecdsa keys, 256 to 521 bits"},
        {"ed25519-256", "no length of a key goes with ed25519"},
        {"pubkey-2048", "no length of a key goes with pubkey"},
        {"ed25519-sha512", "no signature of ed25519 keys is made with those hashes"},
        {"rsa-identity", "no signature of rsa keys"},
        {"ike:ecdsa-sha1", "no signature of ecdsa keys"},
        {"rsa-thiswordislongerthananythatisknownhere", "is unknown"},
        {"rsa-rsa-rsa-rsa-rsa-rsa-rsa-rsa-rsa", "more than 8 kinds of keys"},
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        for (int local = 0; local < 2; local++) {
            memset(&err, 0, sizeof(err));
            if (auth_text_parse(lines[i].text, local, &a, &err) == 0)
                fail_msg("%s was taken", lines[i].text);
            if (!strstr(err.text, lines[i].why))
                fail_msg("%s: '%s', expected '%s'", lines[i].text, err.text, lines[i].why);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_psk_stays_what_it_is),
        cmocka_unit_test(test_schemes_of_the_auth_payload),
        cmocka_unit_test(test_chain_is_held_to_lengths_and_hashes),
        cmocka_unit_test(test_refusals_say_what_was_expected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
