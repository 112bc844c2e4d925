// SPDX-License-Identifier: Apache-2.0
// The registry of notifies, and what is not in it (RFC 7296 section 3.10.1) between two daemons: a status is
// ignored in every message, an error fails the exchange that it answers, and in a request it is ignored.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctrl/ike/expiry.h"
#include "tests/unit/ike_pair.h"

enum { NEW_STATUS = 40961, NEW_ERROR = 8193, REST = 400000 };

static void test_the_list_is_in_order_and_says_what_has_an_effect_where(void **state)
{
    unsigned before = 0, count = 0;
    (void)state;
#define X(sym, num, places, effect)                                                                          \
    assert_true((num) > before);                                                                             \
    assert_true((places) != 0 && ((num) < 16384 || (effect) != FAILS));                                      \
    assert_string_equal(notify_name(num), #sym);                                                             \
    before = (num);                                                                                          \
    count++;
    NOTIFY_LIST(X)
#undef X
    assert_int_equal(count, 25 + 63); // as many as IANA has of each kind
    assert_false(notify_is_known(NEW_STATUS) || notify_is_known(NEW_ERROR) || notify_is_known(16447));
    assert_string_equal(notify_name(2), "(unknown)");
    assert_true(notify_has_effect(N_REKEY_SA, EX_CREATE_CHILD));
    assert_false(notify_has_effect(N_REKEY_SA, EX_AUTH));
    assert_false(notify_has_effect(N_IPCOMP_SUPPORTED, EX_AUTH));
    assert_false(notify_has_effect(NEW_STATUS, EX_AUTH));
}

// --- a notify more in messages: behind those payloads, but for the first ones of them ---

static struct {
    uint16_t type;
    unsigned skip, times;
    uint8_t behind; // 0: IDi, IDr and nonces
} extra;

void __real_pb_payload(struct pb *b, uint8_t type, struct slice body);
void __wrap_pb_payload(struct pb *b, uint8_t type, struct slice body);
void __wrap_pb_payload(struct pb *b, uint8_t type, struct slice body)
{
    __real_pb_payload(b, type, body);
    bool here = extra.behind ? type == extra.behind : type == PL_NONCE || type == PL_IDI || type == PL_IDR;
    if (!here || !extra.times)
        return;
    if (extra.skip) {
        extra.skip--;
        return;
    }
    extra.times--;
    pb_notify(b, PROTO_NONE, slice_of(NULL, 0), extra.type, slice_of("data", 4));
}

static struct child_sa *up(struct pair *p, int side)
{
    for (struct ike_sa *sa = p->s[side].ike->sas; sa; sa = sa->next)
        for (struct child_sa *c = sa->children; sa->state == SA_ESTABLISHED && c; c = c->next)
            if (child_is_up(c))
                return c;
    fail_msg("side %d has no CHILD SA", side);
    return NULL;
}

static void test_a_status_that_is_not_known_is_ignored_in_every_message(void **state)
{
    (void)state;
    memset(&extra, 0, sizeof(extra));
    extra.type = NEW_STATUS;
    extra.times = 1000;
    struct pair *p = pair_established(UNIQUE_NO, NULL);
    for (int side = 0; side < 2; side++) {
        expiry_rekey(up(p, side));
        pair_wait(p, 10000);
        rekey_ike(up(p, side)->sa);
        pair_wait(p, 10000);
        pair_assert_one(p);
    }
    assert_int_equal(p->s[0].ike_down + p->s[1].ike_down, 0);
    assert_true(extra.times < 1000 - 10);
    extra.times = 0;
    pair_free(p);
}

static void test_an_error_that_is_not_known_is_ignored_in_a_request(void **state)
{
    (void)state;
    memset(&extra, 0, sizeof(extra));
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    extra.type = NEW_ERROR;
    extra.behind = PL_IDI;
    extra.times = 1;
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_int_equal(extra.times, 0);
    pair_assert_one(p);
    extra.behind = PL_NONCE; // of the request: ours
    extra.times = 1;
    uint32_t was = up(p, 0)->spi_in;
    expiry_rekey(up(p, 0));
    pair_wait(p, 10000);
    assert_int_equal(extra.times, 0);
    assert_true(up(p, 0)->spi_in != was);
    pair_assert_one(p);
    pair_free(p);
}

static void test_an_error_that_is_not_known_fails_what_it_answers(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) { // IKE_SA_INIT, IKE_AUTH
        struct pair *p = pair_loaded(UNIQUE_NO, NULL);
        memset(&extra, 0, sizeof(extra));
        extra.type = NEW_ERROR;
        extra.behind = i ? PL_IDR : PL_NONCE;
        extra.skip = 1; // the request's
        extra.times = 1;
        pair_result(p, 0, pair_initiate(p, 0, "c"), false);
        assert_int_equal(extra.times, 0);
        pair_wait(p, REST);
        assert_int_equal(p->s[0].ike->sa_count + p->s[1].ike->sa_count, 0);
        assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 0);
        pair_free(p);
    }
    for (int ike = 0; ike < 2; ike++) { // CREATE_CHILD_SA: what there was goes on until there is another
        struct pair *p = pair_established(UNIQUE_REPLACE, NULL);
        uint32_t was = up(p, 0)->spi_in;
        memset(&extra, 0, sizeof(extra));
        extra.type = NEW_ERROR;
        extra.behind = PL_NONCE;
        extra.skip = 1;
        extra.times = 1;
        if (ike)
            rekey_ike(up(p, 0)->sa);
        else
            expiry_rekey(up(p, 0));
        pair_run(p);
        assert_int_equal(extra.times, 0);
        assert_true(ike || up(p, 0)->spi_in == was);
        pair_wait(p, REST);
        pair_assert_one(p);
        assert_int_equal(p->s[0].ike_down, ike); // the peer took itself for rekeyed: reauthenticated
        pair_free(p);
    }
}

// --- ESP_TFC_PADDING_NOT_SUPPORTED ---

static void padded(struct conn_config *c, int side)
{
    c->children[0].tfc_padding = (uint16_t)(1000 + side);
    c->children[0].tfc_dummies = (uint8_t)(20 + side);
}

static void expect_padding(struct pair *p, bool initiator, bool responder)
{
    pair_assert_one(p);
    for (int i = 0; i < 2; i++) {
        bool pads = i ? responder : initiator;
        assert_int_equal(pair_sa(&p->s[i], 0)->child.tfc_padding, pads ? 1000 + i : 0);
        assert_int_equal(pair_sa(&p->s[i], 0)->child.tfc_dummies, pads ? 20 + i : 0);
    }
}

// Each end pads what it sends as it is told, unless the other one says that it takes none: in IKE_AUTH and
// for each CHILD SA anew.
static void test_tfc_padding_is_left_out_toward_whom_says_that_he_takes_none(void **state)
{
    (void)state;
    for (int who = -1; who < 2; who++) { // nobody, the initiator, the responder
        struct pair *p = pair_loaded(UNIQUE_NO, padded);
        for (int rekeyed = 0; rekeyed < 2; rekeyed++) {
            memset(&extra, 0, sizeof(extra));
            extra.type = N_ESP_TFC_PADDING_NOT_SUPPORTED;
            extra.behind = rekeyed ? PL_NONCE : who ? PL_IDR : PL_IDI; // IDr is in the request too
            extra.skip = who == 1;
            extra.times = who >= 0;
            if (rekeyed)
                expiry_rekey(up(p, 0));
            else
                pair_result(p, 0, pair_initiate(p, 0, "c"), true);
            pair_wait(p, 10000);
            assert_int_equal(extra.times, 0);
            expect_padding(p, who != 1, who != 0);
        }
        expiry_rekey(up(p, 0)); // nobody says so this time
        pair_wait(p, 10000);
        expect_padding(p, true, true);
        pair_free(p);
    }
}

static void transport(struct conn_config *c, int side)
{
    struct child_config *k = &c->children[0];
    (void)side;
    pair_own_selectors(k);
    *k->local_ts = *k->remote_ts = (struct ts_list){.count = 1, .t[0] = {.port_hi = 65535}}; // dynamic
    k->mode = MODE_TRANSPORT;
}

static void test_in_transport_mode_both_ends_say_that_they_take_no_tfc_padding(void **state)
{
    (void)state;
    memset(&extra, 0, sizeof(extra));
    struct pair *p = pair_established(UNIQUE_NO, transport);
    for (int i = 0; i < 2; i++)
        assert_true(up(p, i)->no_tfc);
    pair_free(p);
    p = pair_established(UNIQUE_NO, NULL);
    for (int i = 0; i < 2; i++)
        assert_false(up(p, i)->no_tfc);
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_list_is_in_order_and_says_what_has_an_effect_where),
        cmocka_unit_test(test_a_status_that_is_not_known_is_ignored_in_every_message),
        cmocka_unit_test(test_an_error_that_is_not_known_is_ignored_in_a_request),
        cmocka_unit_test(test_an_error_that_is_not_known_fails_what_it_answers),
        cmocka_unit_test(test_tfc_padding_is_left_out_toward_whom_says_that_he_takes_none),
        cmocka_unit_test(test_in_transport_mode_both_ends_say_that_they_take_no_tfc_padding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
