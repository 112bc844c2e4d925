// SPDX-License-Identifier: Apache-2.0
// Additional key exchanges by IKE_INTERMEDIATE (RFC 9242, RFC 9370) between two daemons: one to seven of
// them, every message lost once, in fragments, what either end may leave out, and what is refused. That the
// octets are those of the RFCs is shown with strongSwan (tests/system/test_intermediate.c).
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctrl/crypto/crypto.h"
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
            sa->hs->added = ADDKE_MAX;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
