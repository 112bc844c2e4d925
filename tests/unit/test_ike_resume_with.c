// SPDX-License-Identifier: Apache-2.0
// Session resumption (RFC 5723) of IKE SAs that were made by more than a key: by EAP, with a postquantum
// preshared key, with virtual addresses. What was shown once is not asked for again, whom it made the peer it
// stays, and a full exchange that takes its place has it all again.
#include <stdio.h>

#include "ctrl/ike/cp.h"
#include "ctrl/ike/resume_session.h"
#include "ctrl/lib/pool.h"
#include "tests/unit/ike_eap_rig.h"
#include "tests/unit/ike_resume_rig.h"
#include "tests/unit/ike_watch.h"

static const char *name_of(const struct identity *id)
{
    static char text[ID_TEXT_MAX];
    return identity_print(id, text, sizeof(text));
}

static void begin(struct pair *p)
{
    uint32_t wanted = pair_initiate(p, 0, "c");
    pair_wait(p, 1000); // a PPK is more to and fro between ike and keys than pair_initiate waits for
    pair_result(p, 0, wanted, true);
    pair_assert_one(p);
}

static void refused(struct pair *p)
{
    uint32_t wanted = pair_initiate(p, 0, "c");
    pair_wait(p, RESUME_FALL_BACK_MS);
    pair_result(p, 0, wanted, false);
    assert_int_equal(pair_live(&p->s[0]), 0);
}

// --- EAP ---

static const struct eap_names *const ways[] = {&eap_plain,     &eap_asked, &eap_tls,
                                               &eap_tls_asked, &eap_only,  &eap_only_asked};
enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

static const char *user_of(unsigned way)
{
    return way % 2 ? "bob" : "a.test";
}

static struct pair *eap_up(unsigned way)
{
    struct pair *p = eap_pair(ways[way]);
    resume_on(p);
    for (int side = 0; side < 2; side++)
        eap_password(p, side, user_of(way), "geheim");
    begin(p);
    assert_non_null(p->s[0].ike->sas->later->session);
    return p;
}

static void assert_who(struct pair *p, unsigned way)
{
    assert_string_equal(name_of(p->s[1].ike->sas->remote_id), user_of(way));
    assert_string_equal(name_of(p->s[0].ike->sas->remote_id), "b.test");
}

static void test_eap_is_not_asked_for_again_and_the_user_is_who_it_was(void **state)
{
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        struct pair *p = eap_up(way);
        assert_who(p, way);
        for (int times = 0; times < 2; times++) {
            resume_silent(p);
            watch_log();
            begin(p);
            resume_assert(p);
            assert_int_equal(resume_seen.of[EX_AUTH], 2); // one of each, without EAP
            assert_null(strstr(watch_lines, "EAP"));
            assert_who(p, way);
        }
        for (int side = 0; side < 2; side++) {
            rekey_ike(p->s[side].ike->sas);
            pair_wait(p, 20000);
            pair_assert_one(p);
            assert_who(p, way);
        }
        eap_pair_end(p);
    }
}

// The ticket is of the user, not of the name that the client has without EAP.
static void test_a_ticket_is_the_user_s_and_of_the_name_that_was_said(void **state)
{
    (void)state;
    for (unsigned way = 1; way < WAYS; way += 2) {
        struct pair *p = eap_up(way);
        resume_silent(p);
        begin(p);
        resume_assert(p);
        const struct session *s = p->s[0].ike->sas->later->session;
        assert_non_null(s);
        assert_string_equal(name_of(s->local), "a.test");
        assert_string_equal(name_of(p->s[0].ike->sas->local_id), "a.test");
        assert_string_equal(p->s[1].ike_info.remote_id, "bob");
        eap_pair_end(p);
    }
}

// Whoever took the password away wants to see another proof.
static void test_a_password_that_went_ends_the_ticket(void **state)
{
    (void)state;
    for (int again = 0; again < 2; again++) { // and came back
        struct pair *p = eap_up(1);
        resume_silent(p);
        struct msg_SECRET_UNLOAD m = {.req = 4100, .id = "eap-bob"};
        ipc_send(p->s[1].ctl_keys, MSG_SECRET_UNLOAD, &m);
        pair_run(p);
        pair_result(p, 1, 4100, true);
        if (again) {
            eap_password(p, 1, "bob", "geheim");
            begin(p);
            resume_assert_anew(p);
            assert_who(p, 1);
        } else {
            refused(p);
        }
        assert_int_equal(resume_seen.nacks, 1);
        eap_pair_end(p);
    }
}

// With EAP a ticket is given at the end of the handshake and after a resumption, and not in between: who the
// client said to be is not known any more.
static void test_behind_a_rekeying_eap_begins_in_full(void **state)
{
    (void)state;
    struct pair *p = eap_up(1);
    rekey_ike(p->s[0].ike->sas);
    pair_wait(p, 20000);
    assert_null(p->s[0].ike->sas->later->session);
    resume_silent(p);
    begin(p);
    resume_assert_anew(p);
    assert_int_equal(resume_seen.of[EX_SESSION_RESUME], 0);
    resume_silent(p);
    begin(p);
    resume_assert(p);
    eap_pair_end(p);
}

// --- a PPK ---

static bool in_intermediate;

static void tune_ppk(struct conn_config *c, int side)
{
    (void)side;
    c->ppk_id = "p";
    c->ppk_required = true;
}

static void ppk(struct pair *p, int side, const char *secret)
{
    uint8_t owners[20];
    struct writer w = writer_of(owners, sizeof(owners));
    wr_cstr(&w, "p");
    struct msg_SECRET_LOAD m = {
        .req = 4200, .id = "ppk-1", .type = "ppk", .data = slice_str(secret), .owners = wr_written(&w)};
    ipc_send(p->s[side].ctl_keys, MSG_SECRET_LOAD, &m);
    pair_run(p);
    pair_result(p, side, 4200, true);
}

static struct pair *ppk_up(void)
{
    struct pair *p = resume_pair(tune_ppk);
    for (int side = 0; side < 2; side++) {
        p->s[side].ike->set.ppk_intermediate = in_intermediate;
        ppk(p, side, "quantum");
    }
    begin(p);
    assert_true(p->s[0].ike->sas->ppk && p->s[1].ike->sas->ppk);
    assert_int_equal(resume_seen.of[EX_INTERMEDIATE], in_intermediate ? 2 : 0);
    return p;
}

static void test_a_ppk_is_in_the_ticket_s_keys_and_not_named_again(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        in_intermediate = way;
        struct pair *p = ppk_up();
        for (int times = 0; times < 2; times++) {
            resume_silent(p);
            begin(p);
            resume_assert(p);
            assert_int_equal(resume_seen.of[EX_INTERMEDIATE], 0);
            assert_int_equal(resume_seen.of[EX_AUTH], 2);
            assert_true(p->s[0].ike->sas->ppk && p->s[1].ike->sas->ppk);
            assert_true(p->s[0].ike_info.ppk && p->s[1].ike_info.ppk); // as the operator is told
        }
        rekey_ike(p->s[1].ike->sas);
        pair_wait(p, 20000);
        pair_assert_one(p);
        assert_true(p->s[0].ike->sas->ppk && p->s[1].ike->sas->ppk);
        pair_free(p);
    }
}

// With the PPK the tickets go that were made with it, at either end, and the full exchange needs it.
static void test_a_ppk_that_changed_ends_the_ticket(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        in_intermediate = way;
        struct pair *p = ppk_up();
        resume_silent(p);
        ppk(p, 1, "another one");
        refused(p);
        assert_int_equal(resume_seen.nacks, 1);
        assert_true(resume_seen.of[EX_SA_INIT] > 0);
        ppk(p, 0, "another one");
        begin(p);
        assert_true(p->s[0].ike->sas->ppk && p->s[1].ike->sas->ppk);
        pair_free(p);
    }
}

// --- virtual addresses ---

static void dynamic(struct ts_list *l)
{
    *l = (struct ts_list){.count = 1, .t = {{.port_hi = 65535}}};
}

static void tune_warrior(struct conn_config *c, int side)
{
    if (side) {
        dynamic(c->children[0].remote_ts);
        c->pool_count = 1;
        snprintf(c->pools[0], sizeof(c->pools[0]), "v4");
    } else {
        dynamic(c->children[0].local_ts);
        c->vip_count = 1;
        assert_true(addr_parse("0.0.0.0", &c->vips[0]));
    }
}

static struct pair *warrior_up(uint8_t unique, const char *addresses)
{
    uint8_t buf[16];
    struct writer a = writer_of(buf, sizeof(buf));
    struct pair *p = resume_pair_unique(unique, tune_warrior);
    wr_u16(&a, CP_IP4_DNS);
    wr_slice16(&a, slice_of((uint8_t[]){10, 2, 0, 53}, 4));
    assert_true(pair_load_pool(p, 1, "v4", addresses, wr_written(&a)));
    begin(p);
    return p;
}

static const char *selectors(const struct ts_list *l)
{
    static char buf[SELECTORS_TEXT];
    return selectors_print(l, buf, sizeof(buf));
}

static void assert_address(struct pair *p, const char *a)
{
    char host[40];
    snprintf(host, sizeof(host), "%s/32", a);
    assert_string_equal(p->s[0].ike_info.local_vips, a);
    assert_string_equal(p->s[0].ike_info.dns, "10.2.0.53");
    assert_string_equal(p->s[1].ike_info.remote_vips, a);
    assert_int_equal(p->s[0].virtual_count, 1);
    assert_string_equal(selectors(&pair_sa(&p->s[0], 0)->child.local_ts), host);
    assert_string_equal(selectors(&pair_sa(&p->s[1], 0)->child.remote_ts), host);
    assert_string_equal(selectors(&p->s[0].policy[0].local), host);
}

// Of a pool that has no other one: the old IKE SA's must be free before the new one asks.
static void test_the_address_is_the_same_again(void **state)
{
    static const uint8_t modes[] = {UNIQUE_NO, UNIQUE_NEVER, UNIQUE_KEEP, UNIQUE_REPLACE};
    (void)state;
    for (unsigned i = 0; i < sizeof(modes); i++) {
        struct pair *p = warrior_up(modes[i], "10.3.0.1-10.3.0.1");
        assert_address(p, "10.3.0.1");
        for (int times = 0; times < 2; times++) {
            resume_silent(p);
            assert_int_equal(p->s[0].virtual_count, 0);
            begin(p);
            resume_assert(p);
            assert_address(p, "10.3.0.1");
        }
        pair_free(p);
    }
}

// Both ends gave up, and the pool is another one: the ticket is good, the address is what there is now.
static void test_an_address_that_is_no_more_is_another_one_now(void **state)
{
    (void)state;
    struct pair *p = warrior_up(UNIQUE_REPLACE, "10.3.0.0/24");
    resume_silent(p);
    pair_terminate(p, 1, NULL, true); // also ends the ticket
    pair_run(p);
    assert_true(
        pair_load_pool(p, 1, "v4", "10.4.0.0/24", slice_of((uint8_t[]){0, 3, 0, 4, 10, 2, 0, 53}, 8)));
    begin(p);
    resume_assert_anew(p);
    assert_address(p, "10.4.0.1");
    pair_free(p);
}

static unsigned lost_one;

static bool lose_one(unsigned number, const struct datagram *d)
{
    (void)d;
    return number == lost_one;
}

static void test_any_message_may_be_lost_and_the_address_is_put_once(void **state)
{
    (void)state;
    for (lost_one = 0; lost_one < 4; lost_one++) {
        struct pair *p = warrior_up(UNIQUE_NO, "10.3.0.1-10.3.0.1");
        resume_silent(p);
        resume_seen.lose = lose_one;
        pair_initiate(p, 0, "c");
        pair_wait(p, RESUME_FALL_BACK_MS);
        resume_assert(p);
        assert_address(p, "10.3.0.1");
        pair_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_eap_is_not_asked_for_again_and_the_user_is_who_it_was),
        cmocka_unit_test(test_a_ticket_is_the_user_s_and_of_the_name_that_was_said),
        cmocka_unit_test(test_a_password_that_went_ends_the_ticket),
        cmocka_unit_test(test_behind_a_rekeying_eap_begins_in_full),
        cmocka_unit_test(test_a_ppk_is_in_the_ticket_s_keys_and_not_named_again),
        cmocka_unit_test(test_a_ppk_that_changed_ends_the_ticket),
        cmocka_unit_test(test_the_address_is_the_same_again),
        cmocka_unit_test(test_an_address_that_is_no_more_is_another_one_now),
        cmocka_unit_test(test_any_message_may_be_lost_and_the_address_is_put_once),
    };
    return cmocka_run_group_tests_name("resumption with more", tests, eap_make_files, eap_drop_files);
}
