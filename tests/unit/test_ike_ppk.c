// SPDX-License-Identifier: Apache-2.0
// Postquantum preshared keys (RFC 8784, and in IKE_INTERMEDIATE RFC 9867): what goes into the keys, by
// vectors made with Python's hmac; who ends up with a PPK, without one, or with nothing, for every pair of
// configurations; and that `keys` proves nothing while it is open whether the peer has it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctrl/keys/psk.h"
#include "tests/unit/ike_pair.h"
#include "tests/unit/keys_rig.h"

static void test_the_ppk_goes_into_three_keys(void **state)
{
    static const uint8_t want[3][32] = {
        {0xf1, 0xe5, 0x87, 0x47, 0xc2, 0xc1, 0x05, 0xc7, 0xfb, 0x7f, 0xe1, 0x5c, 0x4e, 0x33, 0xd1, 0xfe,
         0x60, 0xe0, 0xee, 0x24, 0x1f, 0xa8, 0x91, 0xf4, 0xbf, 0xd1, 0x2d, 0x02, 0xa2, 0xe0, 0x00, 0x2a},
        {0xb3, 0x38, 0x1a, 0x85, 0xad, 0x77, 0x1c, 0x3b, 0xa9, 0x12, 0x16, 0x9d, 0xb8, 0x1a, 0x37, 0x50,
         0xd3, 0x87, 0x39, 0x65, 0xf4, 0x83, 0xf7, 0x8a, 0x2b, 0x69, 0x4b, 0x6a, 0xda, 0x93, 0x80, 0x05},
        {0x9d, 0x67, 0x16, 0x64, 0xf0, 0x2e, 0x7e, 0xe1, 0x61, 0x25, 0xf7, 0x38, 0xbb, 0x42, 0x99, 0x92,
         0xb3, 0x67, 0xea, 0x94, 0xff, 0x46, 0x8c, 0x9a, 0x36, 0xf8, 0x8e, 0x77, 0x31, 0x85, 0x5d, 0x59},
    };
    struct ike_secrets s = {.prf = cr_prf_find(NULL, 5), .prf_len = 32}, out;
    uint8_t ppk[32];
    (void)state;
    for (uint8_t i = 0; i < 32; i++) {
        s.sk_d[i] = i;
        s.sk_pi[i] = (uint8_t)(32 + i);
        s.sk_pr[i] = (uint8_t)(64 + i);
        ppk[i] = (uint8_t)(0xa0 + i);
    }
    assert_int_equal(derive_ppk(&s, slice_of(ppk, 32), &out), 0);
    assert_memory_equal(out.sk_d, want[0], 32);
    assert_memory_equal(out.sk_pi, want[1], 32);
    assert_memory_equal(out.sk_pr, want[2], 32);
}

// --- the keys room ---

static bool load_ppk(const char *secret, const char *owner)
{
    uint8_t buf[100];
    struct writer w = writer_of(buf, sizeof(buf));
    wr_cstr(&w, owner);
    struct msg_SECRET_LOAD m = {
        .req = ++req, .id = "p", .type = "ppk", .data = slice_str(secret), .owners = wr_written(&w)};
    return say(b->ctl, MSG_SECRET_LOAD, &m);
}

static bool choose(const char *id, bool required)
{
    struct msg_PPK_SELECT m = {.req = ++req, .ike_id = 1, .ppk_id = slice_str(id), .required = required};
    return say(b->ike, MSG_PPK_SELECT, &m);
}

static void settle(bool used)
{
    ipc_send(b->ike, MSG_PPK_SETTLE, &(struct msg_PPK_SETTLE){.ike_id = 1, .used = used});
}

static void test_nothing_is_proven_while_the_ppk_is_open(void **state)
{
    struct ike_secrets s, with;
    (void)state;
    assert_true(load("x", "secret", NULL, NULL) && load_ppk("quantum", "ppk.test"));
    assert_true(derive(1, true, &s));
    derive_ppk(&s, slice_str("quantum"), &with);
    assert_true(choose("ppk.test", false));
    assert_false(choose("ppk.test", false)); // once
    assert_true(make_auth(1, "a.test", "b.test"));
    assert_false(check_auth(1, &with, false, "a.test", "b.test", "secret"));
    assert_non_null(strstr(b->text, "has not been said"));
    settle(true);
    assert_true(check_auth(1, &with, false, "a.test", "b.test", "secret"));
    assert_true(install(1, 1));
    uint8_t mat[72];
    derive_child(&with, NULL, 0, slice_of(NI, 32), slice_of(NR, 32), mat, 72);
    assert_memory_equal(b->key_out, mat, 36);
}

static void test_a_proof_without_the_required_ppk_is_none(void **state)
{
    struct ike_secrets s;
    (void)state;
    assert_true(load("x", "secret", NULL, NULL) && load_ppk("quantum", "ppk.test"));
    assert_true(derive(1, true, &s));
    assert_true(choose("ppk.test", true));
    assert_true(make_auth(1, "a.test", "b.test"));
    settle(false);
    assert_false(check_auth(1, &s, false, "a.test", "b.test", "secret"));
    assert_non_null(strstr(b->text, "no such IKE SA"));
}

static void test_a_ppk_is_no_secret_of_auth_and_goes_by_its_octets(void **state)
{
    struct ike_secrets s;
    (void)state;
    assert_true(load_ppk("quantum", "b.test"));
    assert_true(derive(1, true, &s));
    assert_false(make_auth(1, "a.test", "b.test"));
    assert_non_null(strstr(b->text, "no shared key"));
    static const char *const others[] = {"", "b.tes", "b.test.", "B.test", "*"};
    for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_true(derive(1, true, &s));
        assert_false(choose(others[i], false));
        assert_non_null(strstr(b->text, "no PPK"));
    }
    struct msg_SECRET_LOAD m = {.req = ++req, .id = "q", .type = "ppk", .data = slice_str("x")};
    assert_false(say(b->ctl, MSG_SECRET_LOAD, &m));
    assert_non_null(strstr(b->text, "needs the identity"));
}

static void test_too_late_for_a_ppk_once_auth_is_made(void **state)
{
    struct ike_secrets s;
    (void)state;
    assert_true(load("x", "secret", NULL, NULL) && load_ppk("quantum", "ppk.test"));
    assert_true(derive(1, true, &s));
    assert_true(make_auth(1, "a.test", "b.test"));
    assert_false(choose("ppk.test", false));
    assert_non_null(strstr(b->text, "too late"));
}

// --- two daemons ---

enum how { NONE, OPTIONAL, REQUIRED, HOWS };
struct want {
    enum how how;
    const char *ppk_id; // of the connection
    const char *id;     // under which the PPK is loaded; NULL: none is
    const char *secret;
};

static void load_secret(struct pair *p, int side, const struct want *w)
{
    uint8_t owners[100];
    struct writer o = writer_of(owners, sizeof(owners));
    if (!w->id)
        return;
    wr_cstr(&o, w->id);
    struct msg_SECRET_LOAD m = {
        .req = 77, .id = "ppk-1", .type = "ppk", .data = slice_str(w->secret), .owners = wr_written(&o)};
    ipc_send(p->s[side].ctl_keys, MSG_SECRET_LOAD, &m);
    pair_run(p);
    pair_result(p, side, 77, true);
}

static bool intermediate[2]; // whether that end takes it (RFC 9867)
static const char *proposal; // NULL: the default one

static struct pair *make_pair(const struct want w[2])
{
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    for (int i = 0; i < 2; i++) {
        p->s[i].ike->set.ppk_intermediate = intermediate[i];
        pair_default_conn(&c, i);
        if (proposal)
            pair_proposal(&c.proposals[0], 1, proposal);
        if (w[i].how != NONE)
            c.ppk_id = w[i].ppk_id;
        c.ppk_required = w[i].how == REQUIRED;
        pair_load(p, i, &c);
        pair_psk(p, i, "a secret of both", "a.test", "b.test");
        load_secret(p, i, &w[i]);
    }
    return p;
}

enum outcome { REFUSED, WITHOUT, WITH };

static enum outcome outcome(struct pair *p)
{
    bool up = p->s[0].last_ok;
    assert_int_equal(up, pair_live(&p->s[0]) == 1 && pair_agree(p));
    if (!up) {
        assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 0);
        return REFUSED;
    }
    assert_int_equal(p->s[0].ike->sas->ppk, p->s[1].ike->sas->ppk);
    return p->s[0].ike->sas->ppk ? WITH : WITHOUT;
}

static void expect_outcome(const struct want w[2], enum outcome want, const char *text)
{
    struct pair *p = make_pair(w);
    pair_initiate(p, 0, "c");
    pair_wait(p, 1000);
    enum outcome got = outcome(p);
    if (got != want)
        fail_msg("ini %d '%s' %s, resp %d '%s' %s: got %d (%s), expected %d", w[0].how, w[0].ppk_id, w[0].id,
                 w[1].how, w[1].ppk_id, w[1].id, got, p->s[0].last_text, want);
    if (text && !strstr(p->s[0].last_text, text))
        fail_msg("expected %s, got %s", text, p->s[0].last_text);
    pair_free(p);
}

static void test_every_pair_of_configurations(void **state)
{
    static const enum outcome want[HOWS][HOWS] = {
        {WITHOUT, WITHOUT, REFUSED}, {WITHOUT, WITH, WITH}, {REFUSED, WITH, WITH}};
    (void)state;
    for (enum how i = NONE; i < HOWS; i++)
        for (enum how r = NONE; r < HOWS; r++) {
            const struct want w[2] = {{i, "ppk.test", "ppk.test", "quantum"},
                                      {r, "ppk.test", "ppk.test", "quantum"}};
            expect_outcome(w, want[i][r],
                           i == REQUIRED && r == NONE   ? "does not support PPKs"
                           : i == NONE && r == REQUIRED ? "AUTHENTICATION_FAILED"
                                                        : NULL);
        }
}

static void test_what_only_one_end_has(void **state)
{
    static const struct {
        struct want w[2];
        enum outcome want;
    } cases[] = {
        // the responder has no such PPK
        {{{OPTIONAL, "p", "p", "x"}, {OPTIONAL, "p", NULL, NULL}}, WITHOUT},
        {{{REQUIRED, "p", "p", "x"}, {OPTIONAL, "p", NULL, NULL}}, REFUSED},
        {{{OPTIONAL, "p", "p", "x"}, {REQUIRED, "p", NULL, NULL}}, REFUSED},
        // its connection wants another one
        {{{OPTIONAL, "p", "p", "x"}, {OPTIONAL, "q", "p", "x"}}, WITHOUT},
        {{{REQUIRED, "p", "p", "x"}, {OPTIONAL, "q", "p", "x"}}, REFUSED},
        {{{OPTIONAL, "p", "p", "x"}, {REQUIRED, "q", "p", "x"}}, REFUSED},
        // or any
        {{{REQUIRED, "p", "p", "x"}, {REQUIRED, "%any", "p", "x"}}, WITH},
        {{{REQUIRED, "p.test", "p.test", "x"}, {REQUIRED, "*.test", "p.test", "x"}}, WITH},
        {{{REQUIRED, "p.prod", "p.prod", "x"}, {REQUIRED, "*.test", "p.prod", "x"}}, REFUSED},
        // the initiator has none
        {{{OPTIONAL, "p", NULL, NULL}, {OPTIONAL, "p", "p", "x"}}, WITHOUT},
        {{{REQUIRED, "p", NULL, NULL}, {OPTIONAL, "p", "p", "x"}}, REFUSED},
        {{{OPTIONAL, "p", NULL, NULL}, {REQUIRED, "p", "p", "x"}}, REFUSED},
        {{{REQUIRED, "%any", "p", "x"}, {OPTIONAL, "p", "p", "x"}}, REFUSED},
        // of one name, but not the same
        {{{OPTIONAL, "p", "p", "x"}, {OPTIONAL, "p", "p", "y"}}, REFUSED},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_outcome(cases[i].w, cases[i].want, NULL);
}

static int lose_one(struct pair *p, unsigned number, struct datagram *d)
{
    (void)d;
    return number == *(unsigned *)p->ctx ? 0 : 1;
}

static void lose_each(unsigned datagrams)
{
    static const struct want w[2] = {{REQUIRED, "p", "p", "x"}, {OPTIONAL, "p", "p", "x"}};
    for (unsigned lost = 0; lost < datagrams; lost++) {
        struct pair *p = make_pair(w);
        p->filter = lose_one;
        p->ctx = &lost;
        uint32_t wanted = pair_initiate(p, 0, "c");
        pair_wait(p, 5000);
        pair_result(p, 0, wanted, true);
        assert_int_equal(outcome(p), WITH);
        struct msg_REKEY m = {.req = 99, .conn = "t"};
        ipc_send(p->s[0].ctl_ike, MSG_REKEY, &m);
        pair_run(p);
        pair_wait(p, 20000);
        assert_int_equal(p->s[0].ike->counters[CNT_ike_rekeyed], 1);
        assert_int_equal(outcome(p), WITH); // what was mixed in stays in (RFC 8784 3)
        pair_free(p);
    }
}

static void test_each_message_lost_once_and_then_rekeyed(void **state)
{
    (void)state;
    lose_each(4);
}

// --- in IKE_INTERMEDIATE ---

// SKEYSEED' = prf+ (PPK, SK_d), all keys of it by prf+ again, and prf(PPK, Ni | Nr | SPIi | SPIr): by
// Python's hmac, from the text of RFC 9867.
static void test_the_ppk_goes_into_all_keys(void **state)
{
    static const uint8_t want[4][32] = {
        {0x8d, 0xe2, 0xdb, 0x23, 0x21, 0x99, 0x66, 0x31, 0x60, 0x2e, 0xd6, 0x46, 0x64, 0x2b, 0x20, 0xa1,
         0xba, 0x54, 0x29, 0x73, 0x4b, 0xc8, 0x5d, 0x18, 0x8e, 0x93, 0x08, 0xea, 0xa1, 0x90, 0x07, 0x84},
        {0xb0, 0x73, 0x43, 0xb4, 0x84, 0xfc, 0x47, 0xef, 0x5a, 0xf6, 0xec, 0x29, 0x00, 0xa4, 0x2a, 0xb0,
         0x21, 0xa7, 0x4d, 0x9d, 0xd6, 0x50, 0x0c, 0x82, 0xa9, 0x03, 0x08, 0xe4, 0xbf, 0xa0, 0x36, 0xdb},
        {0x69, 0x15, 0x33, 0x7a, 0xcd, 0x1b, 0xa9, 0x54, 0x22, 0x2d, 0x60, 0x68, 0x62, 0x2f, 0xbf, 0x49,
         0x7d, 0x36, 0x30, 0x8d, 0xcc, 0x4b, 0xb4, 0xd9, 0xe4, 0x54, 0x11, 0xdf, 0x00, 0x03, 0x2f, 0xd8},
        {0x80, 0x0a, 0x2f, 0x53, 0x8f, 0x81, 0x21, 0x4e, 0x2c, 0x93, 0x37, 0xd2, 0x35, 0x3d, 0x5b, 0xd0,
         0xd6, 0xe2, 0x14, 0x4c, 0xf6, 0xc2, 0x2c, 0x84, 0xa3, 0x4d, 0x55, 0x40, 0x5e, 0xb5, 0x30, 0xf3}};
    static const uint8_t confirmation[8] = {0x10, 0x06, 0xb7, 0xc8, 0x78, 0x37, 0x82, 0x31};
    const struct cr_sk_alg alg = {20, 256, 0};
    struct ike_secrets s = {.prf = cr_prf_find(NULL, 5), .prf_len = 32}, out;
    uint8_t ppk[32], ni[32], nr[32], got[8];
    (void)state;
    for (uint8_t i = 0; i < 32; i++) {
        s.sk_d[i] = i;
        ppk[i] = (uint8_t)(0xa0 + i);
        ni[i] = (uint8_t)(0xb0 + i);
        nr[i] = (uint8_t)(0xd0 + i);
    }
    struct slice key = slice_of(ppk, 32), i = slice_of(ni, 32), r = slice_of(nr, 32);
    const uint64_t spi_i = 0x1122334455667788, spi_r = 0x99aabbccddeeff00;
    assert_int_equal(derive_intermediate(&alg, slice_of(NULL, 0), key, i, r, spi_i, spi_r,
                                         slice_str("request"), slice_str("response"), &s, &out),
                     0);
    assert_memory_equal(out.sk_d, want[0], 32);
    assert_memory_equal(out.sk_ei, want[1], 32); // without its salt
    assert_memory_equal(out.sk_pi, want[2], 32);
    assert_memory_equal(out.sk_pr, want[3], 32);
    assert_int_equal(out.intermediates, 1);
    assert_int_equal(derive_ppk_confirmation(cr_prf_find(NULL, 5), key, i, r, spi_i, spi_r, got), 0);
    assert_memory_equal(got, confirmation, 8);
}

static void use(bool first, bool second)
{
    intermediate[0] = first;
    intermediate[1] = second;
}

// Where but one end has it the other way is gone; both alike come to the same.
static void test_every_pair_of_configurations_in_either_way(void **state)
{
    for (unsigned i = 1; i < 4; i++) {
        use(i & 1, i & 2);
        test_every_pair_of_configurations(state);
    }
    use(false, false);
}

static void test_what_only_one_end_has_in_an_intermediate(void **state)
{
    static const struct {
        struct want w[2];
        enum outcome want;
    } cases[] = {
        {{{OPTIONAL, "p", "p", "x"}, {OPTIONAL, "p", NULL, NULL}}, WITHOUT},
        {{{REQUIRED, "p", "p", "x"}, {OPTIONAL, "p", NULL, NULL}}, REFUSED},
        {{{OPTIONAL, "p", "p", "x"}, {REQUIRED, "p", NULL, NULL}}, REFUSED},
        // its connection wants another one, which it has beside: it is in by then
        {{{OPTIONAL, "p", "p", "x"}, {OPTIONAL, "q", "p", "x"}}, WITH},
        {{{OPTIONAL, "p", "p", "x"}, {REQUIRED, "q", "p", "x"}}, REFUSED},
        {{{REQUIRED, "p", "p", "x"}, {REQUIRED, "%any", "p", "x"}}, WITH},
        {{{REQUIRED, "p.test", "p.test", "x"}, {REQUIRED, "*.test", "p.test", "x"}}, WITH},
        {{{REQUIRED, "p.prod", "p.prod", "x"}, {REQUIRED, "*.test", "p.prod", "x"}}, REFUSED},
        {{{OPTIONAL, "p", NULL, NULL}, {OPTIONAL, "p", "p", "x"}}, WITHOUT},
        {{{REQUIRED, "p", NULL, NULL}, {OPTIONAL, "p", "p", "x"}}, REFUSED},
        {{{OPTIONAL, "p", NULL, NULL}, {REQUIRED, "p", "p", "x"}}, REFUSED},
        {{{REQUIRED, "%any", "p", "x"}, {OPTIONAL, "p", "p", "x"}}, REFUSED},
        // of one name, but not the same: seen before it is mixed in
        {{{OPTIONAL, "p", "p", "x"}, {OPTIONAL, "p", "p", "y"}}, WITHOUT},
        {{{REQUIRED, "p", "p", "x"}, {OPTIONAL, "p", "p", "y"}}, REFUSED},
        {{{OPTIONAL, "p", "p", "x"}, {REQUIRED, "p", "p", "y"}}, REFUSED},
    };
    (void)state;
    use(true, true);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_outcome(cases[i].w, cases[i].want, NULL);
    use(false, false);
}

// IKE_SA_INIT, IKE_INTERMEDIATE and IKE_AUTH, and with two additional key exchanges one of it for each.
static void test_each_message_of_an_intermediate_lost_once(void **state)
{
    (void)state;
    use(true, true);
    lose_each(6);
    proposal = "aes256gcm16 prfsha256 x25519 ke1_ecp256 ke2_ecp384";
    lose_each(8);
    proposal = NULL;
    use(false, false);
}

static unsigned types_of_exchanges[64];

static int count_types(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p, (void)number;
    types_of_exchanges[d->data[18] & 63]++;
    return 1;
}

static void test_the_ppk_goes_with_the_last_key_exchange(void **state)
{
    static const struct want w[2] = {{REQUIRED, "p", "p", "x"}, {REQUIRED, "p", "p", "x"}};
    static const char *const proposals[] = {NULL, "aes256gcm16 prfsha256 x25519 ke1_ecp256",
                                            "aes256gcm16 prfsha256 x25519 ke1_ecp256 ke2_ecp384"};
    (void)state;
    use(true, true);
    for (unsigned i = 0; i < 3; i++) {
        proposal = proposals[i];
        struct pair *p = make_pair(w);
        memset(types_of_exchanges, 0, sizeof(types_of_exchanges));
        p->filter = count_types;
        pair_initiate(p, 0, "c");
        pair_wait(p, 1000);
        assert_int_equal(outcome(p), WITH);
        assert_int_equal(types_of_exchanges[EX_INTERMEDIATE], i == 2 ? 4 : 2);
        pair_free(p);
    }
    proposal = NULL;
    use(false, false);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_ppk_goes_into_three_keys),
        cmocka_unit_test_setup_teardown(test_nothing_is_proven_while_the_ppk_is_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_proof_without_the_required_ppk_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_ppk_is_no_secret_of_auth_and_goes_by_its_octets, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_too_late_for_a_ppk_once_auth_is_made, setup, teardown),
        cmocka_unit_test(test_every_pair_of_configurations),
        cmocka_unit_test(test_what_only_one_end_has),
        cmocka_unit_test(test_each_message_lost_once_and_then_rekeyed),
        cmocka_unit_test(test_the_ppk_goes_into_all_keys),
        cmocka_unit_test(test_every_pair_of_configurations_in_either_way),
        cmocka_unit_test(test_what_only_one_end_has_in_an_intermediate),
        cmocka_unit_test(test_each_message_of_an_intermediate_lost_once),
        cmocka_unit_test(test_the_ppk_goes_with_the_last_key_exchange),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("postquantum preshared keys", tests, NULL, NULL);
}
