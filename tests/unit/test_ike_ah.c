// SPDX-License-Identifier: Apache-2.0
// AH in IKEv2 (RFC 7296 section 3.3, protocol 2): negotiated alone and beside ESP, its keys, closed by the
// peer, and refused where a NAT stands between.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/ike_pair.h"

#include "ctrl/ike/childsa.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/sa.h"

// One side's proposals: "esp:aes256gcm16", "ah:sha256", in their order.
static void load(struct pair *p, int side, const char *first, const char *second)
{
    struct conn_config c;
    struct child_config *k;
    pair_default_conn(&c, side);
    k = &c.children[0];
    k->proposal_count = 0;
    for (int i = 0; i < 2; i++) {
        const char *text = i ? second : first;
        if (!text)
            continue;
        bool ah = !strncmp(text, "ah:", 3);
        pair_proposal(&k->proposals[k->proposal_count++], ah ? PROTO_AH : PROTO_ESP, strchr(text, ':') + 1);
    }
    if (p->nat && side == 1)
        c.remote_count = 0; // it comes from the NAT's address
    pair_load(p, side, &c);
    pair_psk(p, side, "a secret of both", NULL, NULL);
}

static const struct case_ {
    const char *first[2], *second[2]; // of the initiator, of the responder
    uint16_t encr, integ;
    size_t keys; // 0: no CHILD SA
} cases[] = {
    {{"ah:sha256"}, {"ah:sha256"}, 0, TRID_HMAC_SHA2_256_128, 32},
    {{"ah:sha512 esn"}, {"ah:sha384 sha512 esn"}, 0, TRID_HMAC_SHA2_512_256, 64},
    {{"ah:ah-aes256gmac"}, {"ah:ah-aes256gmac"}, 0, TRID_AH_AES256_GMAC, 36},
    {{"esp:aes256gcm16", "ah:sha256"}, {"ah:sha256"}, 0, TRID_HMAC_SHA2_256_128, 32},
    {{"ah:sha256", "esp:aes256gcm16"}, {"esp:aes256gcm16"}, TRID_AES256_GCM16, 0, 36},
    {{"ah:sha256", "esp:aes256 sha256"},
     {"esp:aes256 sha256", "ah:sha256"},
     TRID_AES256_CBC,
     TRID_HMAC_SHA2_256_128,
     64},
    {{"ah:sha256"}, {"esp:null sha256"}, 0, 0, 0}, // the same algorithm, another protocol
    {{"esp:null sha256"}, {"ah:sha256"}, 0, 0, 0},
    {{"ah:sha256"}, {"ah:sha384"}, 0, 0, 0},
};

static void test_ah_is_negotiated_alone_and_beside_esp(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct case_ *c = &cases[i];
        struct pair *p = pair_new(NULL);
        load(p, 0, c->first[0], c->first[1]);
        load(p, 1, c->second[0], c->second[1]);
        pair_result(p, 0, pair_initiate(p, 0, "c"), c->keys != 0);
        assert_int_equal(pair_live(&p->s[0]), c->keys != 0);
        assert_int_equal(pair_live(&p->s[1]), c->keys != 0);
        if (c->keys) {
            struct path_sa *sa = pair_sa(&p->s[1], 0);
            assert_true(pair_agree(p));
            assert_int_equal(sa->child.encr, c->encr);
            assert_int_equal(sa->child.integ, c->integ);
            assert_int_equal(sa->key_len, c->keys);
        } else {
            assert_non_null(strstr(p->s[0].last_text, "NO_PROPOSAL_CHOSEN"));
        }
        pair_free(p);
    }
}

static void test_ah_is_closed_at_both_ends_by_either(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 4; n++) {
        int side = n & 1;
        struct pair *p = pair_new(NULL);
        load(p, 0, "ah:sha256", NULL);
        load(p, 1, "ah:sha256", NULL);
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        if (n & 2) // by force, behind another exchange
            exchange_queue(p->s[side].ike->sas, TASK_LIVENESS, 0);
        pair_terminate(p, side, "c", n & 2);
        pair_wait(p, 1000);
        assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 0);
        assert_null(p->s[0].ike->sas->children);
        assert_null(p->s[1].ike->sas->children);
        pair_free(p);
    }
}

static void test_ah_is_refused_through_a_nat_and_esp_is_not(void **state)
{
    (void)state;
    for (int both = 0; both < 2; both++) {
        struct pair *p = pair_new(NULL);
        p->nat = true;
        p->nat_shift = 10000;
        load(p, 0, "ah:sha256", both ? "esp:aes256gcm16" : NULL);
        load(p, 1, "ah:sha256", both ? "esp:aes256gcm16" : NULL);
        pair_result(p, 0, pair_initiate(p, 0, "c"), both);
        assert_int_equal(p->s[1].ike->sas->state, SA_ESTABLISHED);
        assert_int_equal(pair_live(&p->s[0]), both);
        assert_int_equal(pair_live(&p->s[1]), both);
        if (both)
            assert_int_equal(pair_sa(&p->s[1], 0)->child.encr, TRID_AES256_GCM16);
        pair_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ah_is_negotiated_alone_and_beside_esp),
        cmocka_unit_test(test_ah_is_closed_at_both_ends_by_either),
        cmocka_unit_test(test_ah_is_refused_through_a_nat_and_esp_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
