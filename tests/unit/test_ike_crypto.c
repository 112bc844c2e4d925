// SPDX-License-Identifier: Apache-2.0
// Known answers for the key exchange groups (RFC 5903 section 8, RFC 7748 section 5.2) and HMAC-SHA2 (RFC
// 4231 section 4), and the properties that the SK payload's cipher must have: counted IVs, checked padding,
// no forgery taken.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/evp.h>

#include "ctrl/crypto/crypto.h"

static struct cr_algs *algs; // kept through all tests, as a room does

static size_t hex(uint8_t *out, const char *s)
{
    size_t n = 0;
    unsigned v;
    for (; s[0] && s[1]; s += 2) {
        assert_int_equal(sscanf(s, "%2x", &v), 1);
        out[n++] = (uint8_t)v;
    }
    return n;
}

static void test_ecp256_gives_the_rfc_5903_values(void **state)
{
    // RFC 5903 8.1
    static const char priv_hex[] = "C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433";
    static const char pub_hex[] = "DAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C3772581180"
                                  "5271A0461CDB8252D61F1C456FA3E59AB1F45B33ACCF5F58389E0577B8990BB3";
    static const char peer_hex[] = "D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63"
                                   "56FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB";
    static const char shared_hex[] = "D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE";
    uint8_t priv[132], peer[132], want[132], got[132];
    struct cr_dh *dh;
    size_t n;
    (void)state;
    assert_int_equal(cr_dh_from_private(algs, 19, priv, hex(priv, priv_hex), &dh), 0);
    assert_int_equal(cr_dh_public(dh, got, sizeof(got), &n), 0);
    assert_int_equal(n, hex(want, pub_hex));
    assert_memory_equal(got, want, n);
    assert_int_equal(cr_dh_shared(algs, dh, peer, hex(peer, peer_hex), got, sizeof(got), &n), 0);
    assert_int_equal(n, hex(want, shared_hex));
    assert_memory_equal(got, want, n);
    cr_dh_free(dh);
}

static void scalar_mult(uint16_t group, const char *scalar, const char *u, const char *result)
{
    uint8_t priv[64], peer[64], want[64], got[64];
    struct cr_dh *dh;
    size_t n;
    assert_int_equal(cr_dh_from_private(algs, group, priv, hex(priv, scalar), &dh), 0);
    assert_int_equal(cr_dh_shared(algs, dh, peer, hex(peer, u), got, sizeof(got), &n), 0);
    assert_int_equal(n, hex(want, result));
    assert_memory_equal(got, want, n);
    cr_dh_free(dh);
}

static void test_x25519_and_x448_give_the_rfc_7748_values(void **state)
{
    (void)state; // RFC 7748 5.2
    scalar_mult(31, "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
                "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
                "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
    scalar_mult(32,
                "3d262fddf9ec8e88495266fea19a34d28882acef045104d0d1aae121700a779c984c24f8cdd78fbff44943eba368"
                "f54b29259a4f1c60"
                "0ad3",
                "06fce640fa3487bfda5f6cf2d5263f8aad88334cbd07437f020f08f9814dc031ddbdc38c19c6da2583fa5429db94"
                "ada18aa7a7fb4ef8"
                "a086",
                "ce3e4ff95a60dc6697da1db1d85e6afbdf79b50a2412d7546d5f239fe14fbaadeb445fc66a01b0779d9822396111"
                "1e21766282f73dd9"
                "6b6f");
}

// The same by OpenSSL's key objects.
static void by_key_objects(const char *name, const uint8_t *priv, const uint8_t *peer, size_t len,
                           uint8_t *pub, uint8_t *secret)
{
    EVP_PKEY *own = EVP_PKEY_new_raw_private_key_ex(NULL, name, NULL, priv, len),
             *other = EVP_PKEY_new_raw_public_key_ex(NULL, name, NULL, peer, len);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
    size_t n = len;
    assert_int_equal(EVP_PKEY_get_raw_public_key(own, pub, &n), 1);
    assert_int_equal(EVP_PKEY_derive_init(ctx), 1);
    assert_int_equal(EVP_PKEY_derive_set_peer_ex(ctx, other, 0), 1);
    assert_int_equal(EVP_PKEY_derive(ctx, secret, &n), 1);
    assert_int_equal(n, len);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(other);
    EVP_PKEY_free(own);
}

static void test_x25519_and_x448_are_what_openssl_makes_of_key_objects(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        uint16_t group = i % 2 ? 32 : 31;
        uint8_t priv[56], peer[56], pub[56], secret[56], got[56];
        size_t len = cr_dh_public_len(group), n;
        struct cr_dh *dh;
        assert_int_equal(cr_random(priv, len) | cr_random(peer, len), 0); // the highest bit of X25519's too
        by_key_objects(group == 31 ? "X25519" : "X448", priv, peer, len, pub, secret);
        // kept by the room, and made anew each time
        struct cr_algs *by = i % 3 ? algs : NULL;
        assert_int_equal(cr_dh_from_private(by, group, priv, len, &dh), 0);
        assert_int_equal(cr_dh_public(dh, got, sizeof(got), &n), 0);
        assert_memory_equal(got, pub, len);
        assert_int_equal(cr_dh_shared(by, dh, peer, len, got, sizeof(got), &n), 0);
        assert_int_equal(n, len);
        assert_memory_equal(got, secret, len);
        cr_dh_free(dh);
    }
}

static void test_modp_values_are_padded_to_the_modulus(void **state)
{
    static const uint16_t groups[] = {14, 15, 16};
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        uint8_t three = 3, peer[CR_DH_MAX] = {0}, got[CR_DH_MAX], want[CR_DH_MAX] = {0};
        size_t len = cr_dh_public_len(groups[i]), n;
        struct cr_dh *dh;
        assert_int_equal(cr_dh_from_private(algs, groups[i], &three, 1, &dh), 0);
        assert_int_equal(cr_dh_public(dh, got, sizeof(got), &n), 0);
        want[len - 1] = 8; // 2^3
        assert_int_equal(n, len);
        assert_memory_equal(got, want, len);
        peer[len - 1] = 4;
        want[len - 1] = 64; // 4^3
        assert_int_equal(cr_dh_shared(algs, dh, peer, len, got, sizeof(got), &n), 0);
        assert_int_equal(n, len);
        assert_memory_equal(got, want, len);
        cr_dh_free(dh);
    }
}

static void test_every_group_agrees_and_takes_its_own_length_only(void **state)
{
    (void)state;
    unsigned groups = 0;
    for (unsigned g = 0; g < 65536; g++) {
        uint8_t a[CR_DH_MAX], b[CR_DH_MAX + 1] = {0}, x[CR_SHARED_MAX], y[CR_SHARED_MAX];
        size_t an, bn, xn, yn, len = cr_dh_public_len((uint16_t)g);
        struct cr_dh *da;
        if (!len) {
            assert_int_equal(cr_dh_new(algs, (uint16_t)g, &da), -EOPNOTSUPP);
            continue;
        }
        groups++;
        assert_int_equal(cr_dh_new(algs, (uint16_t)g, &da), 0);
        assert_int_equal(cr_dh_public(da, a, sizeof(a), &an), 0);
        assert_int_equal(an, len);
        assert_int_equal(cr_dh_respond(algs, (uint16_t)g, a, an, b, &bn, y, &yn), 0);
        assert_int_equal(bn, cr_dh_answer_len((uint16_t)g));
        assert_int_equal(cr_dh_shared(algs, da, b, bn, x, sizeof(x), &xn), 0);
        assert_true(xn == yn && memcmp(x, y, xn) == 0);
        for (size_t n = 0; n <= CR_DH_MAX; n++)
            if (n != bn)
                assert_int_equal(cr_dh_shared(algs, da, b, n, x, sizeof(x), &xn), -EBADMSG);
        cr_dh_free(da);
    }
    assert_int_equal(groups, cr_dh_public_len(36) ? 13 : 10); // ML-KEM comes with OpenSSL 3.5
}

static void test_degenerate_public_values_are_refused(void **state)
{
    static const uint16_t groups[] = {14, 19, 20, 21, 31, 32};
    (void)state;
    for (unsigned i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        uint8_t peer[CR_DH_MAX] = {0}, out[CR_DH_MAX];
        size_t n;
        struct cr_dh *dh;
        assert_int_equal(cr_dh_new(algs, groups[i], &dh), 0);
        assert_int_equal(cr_dh_shared(algs, dh, peer, cr_dh_public_len(groups[i]), out, sizeof(out), &n),
                         -EBADMSG);                // 0
        peer[cr_dh_public_len(groups[i]) - 1] = 1; // 1, or a point off the curve
        if (groups[i] < 31)
            assert_int_equal(cr_dh_shared(algs, dh, peer, cr_dh_public_len(groups[i]), out, sizeof(out), &n),
                             -EBADMSG);
        cr_dh_free(dh);
    }
    test_x25519_and_x448_give_the_rfc_7748_values(state); // what is kept is as good behind it
}

static void test_hmac_sha256_gives_the_rfc_4231_values(void **state)
{
    uint8_t want[64], got[64];
    struct cr_slice whole = {"what do ya want for nothing?", 28},
                    parts[] = {{"what do ya want ", 16}, {"for nothing?", 12}};
    (void)state; // RFC 4231 4.3
    hex(want, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_int_equal(cr_prf(cr_prf_find(algs, 5), "Jefe", 4, &whole, 1, got), 0);
    assert_memory_equal(got, want, 32);
    assert_int_equal(cr_prf(cr_prf_find(algs, 5), "Jefe", 4, parts, 2, got), 0);
    assert_memory_equal(got, want, 32);
    assert_int_equal(cr_prf(cr_prf_find(algs, 1), "Jefe", 4, &whole, 1, got), -EOPNOTSUPP); // HMAC-MD5
    hex(want, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"); // RFC 2202 3, case 2
    assert_int_equal(cr_prf(cr_prf_find(algs, 2), "Jefe", 4, &whole, 1, got), 0);
    assert_memory_equal(got, want, 20);
}

static void test_prf_plus_is_the_chain_of_rfc_7296(void **state)
{
    uint8_t all[160], t1[64], t2[64], one = 1, two = 2;
    struct cr_slice seed = {"seed", 4};
    (void)state; // 2.13: T1 = prf(K, S | 1), T2 = prf(K, T1 | S | 2)
    for (uint16_t prf = 5; prf <= 7; prf++) {
        size_t n = cr_prf_len(prf);
        struct cr_slice first[] = {seed, {&one, 1}}, second[] = {{t1, n}, seed, {&two, 1}};
        assert_int_equal(cr_prf_plus(cr_prf_find(algs, prf), "key", 3, &seed, 1, all, 2 * n - 5), 0);
        assert_int_equal(cr_prf(cr_prf_find(algs, prf), "key", 3, first, 2, t1), 0);
        assert_int_equal(cr_prf(cr_prf_find(algs, prf), "key", 3, second, 3, t2), 0);
        assert_memory_equal(all, t1, n);
        assert_memory_equal(all + n, t2, n - 5);
        assert_int_equal(cr_prf_plus(cr_prf_find(algs, prf), "key", 3, &seed, 1, all, 255 * n + 1), -ERANGE);
    }
}

// --- the SK payload ---

static const struct cr_sk_alg SUITES[] = {{20, 128, 0},  {20, 192, 0},  {20, 256, 0},  {28, 0, 0},
                                          {18, 256, 0},  {19, 128, 0},  {12, 128, 12}, {12, 192, 13},
                                          {12, 256, 14}, {13, 128, 12}, {13, 192, 2},  {13, 256, 14}};
enum { SUITE_COUNT = sizeof(SUITES) / sizeof(SUITES[0]), HEAD = 32 };

static void make(const struct cr_sk_alg *s, struct cr_sk **a, struct cr_sk **b)
{
    uint8_t ke[64], ka[64];
    size_t ken = cr_encr_key_len(s->encr, s->key_bits),
           kan = cr_encr_is_aead(s->encr) ? 0 : cr_integ_key_len(s->integ);
    cr_random(ke, sizeof(ke));
    cr_random(ka, sizeof(ka));
    assert_int_equal(cr_sk_new(algs, s, ke, ken, ka, kan, a), 0);
    assert_int_equal(cr_sk_new(algs, s, ke, ken, ka, kan, b), 0);
}

static void test_sealed_messages_of_every_length_open_and_no_bit_may_change(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SUITE_COUNT; i++) {
        struct cr_sk *a, *b;
        make(&SUITES[i], &a, &b);
        for (size_t len = 0; len < 70; len++) {
            uint8_t msg[256] = {7}, inner[70], out[256];
            size_t total = HEAD + cr_sk_sealed_len(a, len), n;
            memset(inner, 0x5a, sizeof(inner));
            assert_int_equal(cr_sk_seal(a, msg, HEAD, inner, len, total - 1), -ENOSPC);
            assert_int_equal(cr_sk_seal(a, msg, HEAD, inner, len, total), 0);
            assert_int_equal(cr_sk_open(b, msg, HEAD, total, out, &n), 0);
            assert_true(n == len && memcmp(out, inner, len) == 0);
            for (size_t at = 0; at < total; at += 5) {
                msg[at] ^= 0x10;
                assert_int_equal(cr_sk_open(b, msg, HEAD, total, out, &n), -EBADMSG);
                msg[at] ^= 0x10;
            }
            for (size_t cut = HEAD; cut < total; cut += 3)
                assert_int_equal(cr_sk_open(b, msg, HEAD, cut, out, &n), -EBADMSG);
        }
        cr_sk_free(a);
        cr_sk_free(b);
    }
}

static void test_aead_iv_counts_and_cbc_iv_is_never_the_last_block(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SUITE_COUNT; i++) {
        struct cr_sk *a, *b;
        uint8_t msg[128], last[16] = {0};
        make(&SUITES[i], &a, &b);
        for (uint8_t k = 0; k < 20; k++) {
            size_t total = HEAD + cr_sk_sealed_len(a, 16);
            assert_int_equal(cr_sk_seal(a, msg, HEAD, last, 16, sizeof(msg)), 0);
            if (cr_encr_is_aead(SUITES[i].encr) || SUITES[i].encr == 13) {
                const uint8_t want[8] = {0, 0, 0, 0, 0, 0, 0, k};
                assert_memory_equal(msg + HEAD, want, 8);
            } else {
                assert_memory_not_equal(msg + HEAD, last, 16);
                memcpy(last, msg + total - 32 - 16, 16);
            }
        }
        cr_sk_free(a);
        cr_sk_free(b);
    }
}

// RFC 3686 6, test vector 6: AES-192 in counter mode. What that memo calls the nonce is the salt behind the
// key, and the text is longer by our padding.
static void test_aes_ctr_gives_the_rfc_3686_stream(void **state)
{
    static const struct cr_sk_alg alg = {13, 192, 12};
    uint8_t ke[28], ka[32] = {1}, msg[HEAD + 8 + 33 + 16] = {0}, stream[36], inner[32], out[64];
    struct cr_sk *sk;
    size_t n;
    (void)state;
    hex(ke, "02BF391EE8ECB159B959617B0965279BF59B60A786D3E0FE0007BDFD");
    hex(msg + HEAD, "5CBD60278DCC0912");
    hex(msg + HEAD + 8, "96893FC55E5C722F540B7DD1DDF7E758D288BC95C69165884536C811662F2188");
    for (unsigned i = 0; i < 32; i++)
        inner[i] = (uint8_t)i;
    // The pad length octet behind it is zero under the third block of the stream, which the vector does not
    // have: made here by AES itself.
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t third[16];
    int len = 0;
    hex(third, "0007BDFD5CBD60278DCC091200000003");
    assert_int_equal(EVP_EncryptInit_ex2(ctx, EVP_aes_192_ecb(), ke, NULL, NULL), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, stream, &len, third, 16), 1);
    EVP_CIPHER_CTX_free(ctx);
    msg[HEAD + 8 + 32] = stream[0];
    struct cr_slice all = {msg, HEAD + 8 + 33};
    uint8_t tag[32];
    assert_int_equal(cr_prf(cr_prf_find(algs, 5), ka, sizeof(ka), &all, 1, tag), 0);
    memcpy(msg + HEAD + 8 + 33, tag, 16);
    assert_int_equal(cr_sk_new(algs, &alg, ke, sizeof(ke), ka, sizeof(ka), &sk), 0);
    assert_int_equal(cr_sk_open(sk, msg, HEAD, sizeof(msg), out, &n), 0);
    assert_int_equal(n, 32);
    assert_memory_equal(out, inner, 32);
    cr_sk_free(sk);
}

static void test_only_pairs_that_protect_are_taken(void **state)
{
    (void)state;
    for (unsigned encr = 0; encr < 40; encr++) {
        for (unsigned integ = 0; integ < 20; integ++) {
            struct cr_sk_alg s = {(uint16_t)encr, 256, (uint16_t)integ};
            bool aead = (encr >= 18 && encr <= 20) || encr == 28,
                 hmac = (integ >= 12 && integ <= 14) || integ == 2;
            bool good = (aead && integ == 0) || ((encr == 12 || encr == 13) && hmac);
            assert_int_equal(cr_sk_check(&s), good ? 0 : -EINVAL);
        }
    }
    for (unsigned bits = 0; bits < 1024; bits++)
        assert_int_equal(cr_encr_key_len(20, (uint16_t)bits) > 0, bits == 128 || bits == 192 || bits == 256);
}

static int setup(void **state)
{
    (void)state;
    algs = cr_algs_new();
    return algs ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    cr_algs_free(algs);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ecp256_gives_the_rfc_5903_values),
        cmocka_unit_test(test_x25519_and_x448_give_the_rfc_7748_values),
        cmocka_unit_test(test_x25519_and_x448_are_what_openssl_makes_of_key_objects),
        cmocka_unit_test(test_modp_values_are_padded_to_the_modulus),
        cmocka_unit_test(test_every_group_agrees_and_takes_its_own_length_only),
        cmocka_unit_test(test_degenerate_public_values_are_refused),
        cmocka_unit_test(test_hmac_sha256_gives_the_rfc_4231_values),
        cmocka_unit_test(test_prf_plus_is_the_chain_of_rfc_7296),
        cmocka_unit_test(test_sealed_messages_of_every_length_open_and_no_bit_may_change),
        cmocka_unit_test(test_aead_iv_counts_and_cbc_iv_is_never_the_last_block),
        cmocka_unit_test(test_aes_ctr_gives_the_rfc_3686_stream),
        cmocka_unit_test(test_only_pairs_that_protect_are_taken),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
