// SPDX-License-Identifier: Apache-2.0
// Additional key exchanges by IKE_INTERMEDIATE (RFC 9242, RFC 9370) between two daemons: one to seven of
// them, every message lost once, in fragments, what either end may leave out, and what is refused. Keys
// and IntAuth are held against values made elsewhere; which octets of a message go in is shown with
// strongSwan (tests/system/test_intermediate.c).
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/keys/derive.h"
#include "tests/unit/ike_pair.h"

static void small(struct settings *s)
{
    s->fragment_size = 576;
}

static struct pair *pair_of(const char *ike0, const char *ike1)
{
    const char *const ike[] = {ike0, ike1};
    struct pair *p = pair_new(small);
    struct conn_config c;
    for (int side = 0; side < 2; side++) {
        pair_default_conn(&c, side);
        c.fragmentation = FRAGMENTATION_YES;
        pair_proposal(&c.proposals[0], PROTO_IKE, ike[side]);
        pair_load(p, side, &c);
        pair_psk(p, side, "a secret of both", NULL, NULL);
    }
    return p;
}

static void comes_up(const char *ike0, const char *ike1, unsigned messages)
{
    struct pair *p = pair_of(ike0, ike1);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_true(pair_agree(p) && pair_live(&p->s[0]) == 1);
    if (messages)
        assert_int_equal(p->sent, messages);
    pair_free(p);
}

static void is_refused(const char *ike0, const char *ike1)
{
    struct pair *p = pair_of(ike0, ike1);
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_int_equal(p->sent, 2); // NO_PROPOSAL_CHOSEN
    assert_int_equal(p->s[1].ike_up, 0);
    pair_free(p);
}

static void test_each_additional_key_exchange_is_an_exchange_of_its_own(void **state)
{
    static const char *const two = "aes256gcm16 prfsha256 curve25519 ke1_ecp256 ke3_curve448";
    static const char *const seven = "aes128 sha256 prfsha256 curve25519 ke1_ecp256 ke2_curve448 ke3_ecp384 "
                                     "ke4_ecp521 ke5_modp2048 ke6_modp3072 ke7_modp4096";
    (void)state;
    comes_up(two, two, 4 + 4);
    comes_up(seven, seven, 4 + 14 + 2); // modp4096 in two fragments each way
    if (cr_dh_public_len(36))
        comes_up("aes256gcm16 prfsha384 curve25519 ke1_mlkem768",
                 "aes256gcm16 prfsha384 curve25519 ke1_mlkem768", 0);
}

static void test_large_values_come_in_fragments(void **state)
{
    static const char *const large = "aes256gcm16 prfsha256 curve25519 ke1_modp8192 ke2_modp6144";
    (void)state;
    struct pair *p = pair_of(large, large);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_true(pair_agree(p));
    assert_true(p->sent > 8);
    pair_free(p);
}

static int lose_one(struct pair *p, unsigned number, struct datagram *d)
{
    (void)d;
    return number == *(unsigned *)p->ctx ? 0 : 1;
}

static int double_one(struct pair *p, unsigned number, struct datagram *d)
{
    (void)d;
    return number == *(unsigned *)p->ctx ? 2 : 1;
}

static void test_each_message_lost_or_doubled_is_made_up_for(void **state)
{
    static const char *const two = "aes256gcm16 prfsha256 curve25519 ke1_ecp256 ke2_curve448";
    (void)state;
    for (unsigned i = 0; i < 16; i++) {
        unsigned at = i / 2;
        struct pair *p = pair_of(two, two);
        p->filter = i % 2 ? double_one : lose_one;
        p->ctx = &at;
        uint32_t req = pair_initiate(p, 0, "c");
        pair_wait(p, 9000);
        pair_result(p, 0, req, true);
        assert_true(pair_agree(p));
        pair_free(p);
    }
}

static void test_what_either_end_may_leave_out_is_left_out(void **state)
{
    (void)state;
    comes_up("aes256gcm16 prfsha256 curve25519 ke1_ecp256 ke1_none", "aes256gcm16 prfsha256 curve25519", 4);
    comes_up("aes256gcm16 prfsha256 curve25519", "aes256gcm16 prfsha256 curve25519 ke1_ecp256 ke1_none", 4);
    comes_up("aes256gcm16 prfsha256 curve25519 ke1_none ke1_ecp256",
             "aes256gcm16 prfsha256 curve25519 ke1_ecp256 ke1_none", 6); // the responder's order counts
}

static void test_what_an_end_insists_on_is_not_left_out(void **state)
{
    (void)state;
    is_refused("aes256gcm16 prfsha256 curve25519", "aes256gcm16 prfsha256 curve25519 ke1_ecp256");
    is_refused("aes256gcm16 prfsha256 curve25519 ke1_ecp256", "aes256gcm16 prfsha256 curve25519");
    is_refused("aes256gcm16 prfsha256 curve25519 ke1_ecp256", "aes256gcm16 prfsha256 curve25519 ke1_ecp384");
}

static void test_no_method_is_taken_twice(void **state)
{
    (void)state;
    is_refused("aes256gcm16 prfsha256 curve25519 ke1_curve25519",
               "aes256gcm16 prfsha256 curve25519 ke1_curve25519");
    comes_up("aes256gcm16 prfsha256 curve25519 ke1_curve25519 ke1_ecp256",
             "aes256gcm16 prfsha256 curve25519 ke1_curve25519 ke1_ecp256", 6);
}

// IKE_AUTH may not come before the exchanges that were agreed on: whoever skips them skips what they protect.
static int skip_them(struct pair *p, unsigned number, struct datagram *d)
{
    (void)d;
    if (number == 1) // the response to IKE_SA_INIT is under way: the initiator will think that all is done
        for (struct ike_sa *sa = p->s[0].ike->sas; sa; sa = sa->next)
            sa->hs->kex.added = ADDKE_MAX;
    return 1;
}

static void test_an_end_that_skips_them_is_not_answered(void **state)
{
    static const char *const one = "aes256gcm16 prfsha256 curve25519 ke1_ecp256";
    (void)state;
    struct pair *p = pair_of(one, one);
    p->filter = skip_them;
    uint32_t req = pair_initiate(p, 0, "c");
    pair_run(p);
    assert_int_equal(p->sent, 3); // nothing answers IKE_AUTH
    assert_int_equal(p->s[1].ike_up, 0);
    pair_wait(p, 1000000);
    pair_result(p, 0, req, false);
    pair_free(p);
}

// Two exchanges one after the other; the values are Python's hmac's, by the text of RFC 9242 section 3.3.1
// and RFC 9370 section 2.2.2.
static void test_keys_and_int_auth_of_two_exchanges(void **state)
{
    static const uint8_t want[5][32] = {
        {0x2b, 0x23, 0xeb, 0xb0, 0x6e, 0xb4, 0xaa, 0xaf, 0xa3, 0x83, 0x00, 0xae, 0x32, 0xc6, 0xae, 0x07,
         0x99, 0x83, 0x2e, 0x2a, 0x83, 0x29, 0x3c, 0xe2, 0x9c, 0x31, 0xb3, 0x64, 0x1e, 0x64, 0xf8, 0x60},
        {0x2d, 0x84, 0xf2, 0xc3, 0x79, 0x32, 0xff, 0x00, 0xc0, 0x90, 0xf7, 0xb7, 0x79, 0x5e, 0xf0, 0x1a,
         0x55, 0x33, 0xcf, 0xf1, 0xe8, 0x8e, 0xae, 0x8c, 0xdd, 0x61, 0x8b, 0xb9, 0x50, 0x0d, 0x4c, 0x59},
        {0x67, 0x40, 0x9d, 0xe3, 0x4b, 0x46, 0xa8, 0xcd, 0x31, 0xf5, 0xc5, 0x18, 0xe5, 0xf2, 0xbf, 0x72,
         0xf0, 0x44, 0x1a, 0x7a, 0xee, 0xa3, 0x7b, 0x1e, 0xb7, 0xa7, 0x2d, 0x34, 0x35, 0x84, 0x60, 0x2e},
        {0xc1, 0xa2, 0x0c, 0x57, 0xaf, 0x6d, 0xa5, 0x8e, 0x1e, 0x9f, 0xb3, 0x74, 0xb2, 0x1f, 0x6b, 0x83,
         0x20, 0x47, 0xf8, 0x06, 0xeb, 0x09, 0xbd, 0x1a, 0x88, 0x34, 0x1a, 0x52, 0x7d, 0xd1, 0x68, 0xae},
        {0x42, 0x4b, 0x48, 0xd0, 0xdc, 0xc2, 0x26, 0x03, 0xb7, 0x4b, 0x02, 0x35, 0x97, 0x3f, 0x06, 0x5a,
         0xf0, 0x7c, 0xf8, 0x75, 0xd5, 0x3f, 0x2d, 0x98, 0x3b, 0xfd, 0x56, 0x4d, 0x58, 0xdd, 0xa5, 0xbd}};
    const struct cr_sk_alg alg = {20, 256, 0};
    struct ike_secrets s = {.prf = cr_prf_find(NULL, 5), .prf_len = 32}, one, two;
    uint8_t ni[32], nr[32], first[32], second[48], got[INT_AUTH_MAX];
    (void)state;
    for (uint8_t i = 0; i < 48; i++) {
        if (i < 32) {
            s.sk_d[i] = i;
            s.sk_pi[i] = (uint8_t)(32 + i);
            s.sk_pr[i] = (uint8_t)(64 + i);
            ni[i] = (uint8_t)(0xb0 + i);
            nr[i] = (uint8_t)(0xd0 + i);
            first[i] = (uint8_t)(0xa0 + i);
        }
        second[i] = (uint8_t)(0xc0 + i);
    }
    assert_int_equal(derive_int_auth(&s, got), 0);
    assert_int_equal(derive_intermediate(&alg, slice_of(first, 32), slice_of(NULL, 0), slice_of(ni, 32),
                                         slice_of(nr, 32), 0x1122334455667788, 0x99aabbccddeeff00,
                                         slice_str("request one"), slice_str("response one"), &s, &one),
                     0);
    assert_int_equal(derive_intermediate(&alg, slice_of(second, 48), slice_of(NULL, 0), slice_of(ni, 32),
                                         slice_of(nr, 32), 0x1122334455667788, 0x99aabbccddeeff00,
                                         slice_str("request two"), slice_str("response two"), &one, &two),
                     0);
    assert_memory_equal(two.sk_d, want[0], 32);
    assert_memory_equal(two.sk_pi, want[1], 32);
    assert_memory_equal(two.sk_pr, want[2], 32);
    static const uint8_t message_id[] = {0, 0, 0, 3}; // of the first IKE_AUTH behind them
    assert_int_equal(derive_int_auth(&two, got), 68);
    assert_memory_equal(got, want[3], 32);
    assert_memory_equal(got + 32, want[4], 32);
    assert_memory_equal(got + 64, message_id, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_and_int_auth_of_two_exchanges),
        cmocka_unit_test(test_each_additional_key_exchange_is_an_exchange_of_its_own),
        cmocka_unit_test(test_large_values_come_in_fragments),
        cmocka_unit_test(test_each_message_lost_or_doubled_is_made_up_for),
        cmocka_unit_test(test_what_either_end_may_leave_out_is_left_out),
        cmocka_unit_test(test_what_an_end_insists_on_is_not_left_out),
        cmocka_unit_test(test_no_method_is_taken_twice),
        cmocka_unit_test(test_an_end_that_skips_them_is_not_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
