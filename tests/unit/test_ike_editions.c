// SPDX-License-Identifier: Apache-2.0
// A connection that is loaded again while it is up: where all that concerns the IKE SA is as it was, there is
// one IKE SA before and after, whatever became of its children.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "ctrl/ike/childsa.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/counts.h"
#include "ctrl/ike/edition.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/expiry.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "tests/unit/ike_editions_rig.h"

static void test_child_that_is_added_comes_up_on_the_ike_sa_that_is_there(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, starting);
    settle(p);
    assert_has(p, 1, 1);
    uint64_t spi = p->s[0].ike->sas->spi_i;
    for (int side = 1; side >= 0; side--)
        load(p, side, both, NULL);
    settle(p);
    assert_has(p, 1, 2);
    assert_true(p->s[0].ike->sas->spi_i == spi);
    pair_free(p);
}

// At the end that has it in its file, whoever of the two asks first; the other end knows no names.
static void test_child_that_is_renamed_is_one_child_sa_under_its_new_name(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, starting);
    settle(p);
    for (int i = 0; i < 6; i++) {
        load(p, 0, starting, i % 2 ? NULL : renamed);
        settle(p);
        assert_has(p, 1, 1);
        assert_string_equal(pair_sa(&p->s[0], 0)->child.name, i % 2 ? "c" : "new");
    }
    pair_free(p);
}

// What was on its way on the former one arrives before the DELETE.
static void test_child_sa_of_a_renamed_child_goes_a_moment_after_its_successor_came(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, starting);
    settle(p);
    load(p, 0, starting, renamed);
    pair_wait(p, 400);
    assert_has(p, 1, 2);
    pair_wait(p, 600);
    assert_has(p, 1, 1);
    assert_string_equal(pair_sa(&p->s[0], 0)->child.name, "new");
    pair_free(p);
}

// The peer makes the successor: what it replaces is not rekeyed, and goes when that would be due.
static void test_child_that_is_renamed_at_the_end_that_answers_goes_instead_of_being_rekeyed(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    load(p, 1, NULL, renamed);
    struct child_sa *c = p->s[1].ike->sas->children;
    expiry_rekey(c); // no other is there: it is rekeyed, as what it is
    settle(p);
    assert_has(p, 1, 1);
    assert_string_equal(pair_sa(&p->s[1], 0)->child.name, "c");
    pair_result(p, 1, pair_initiate(p, 1, "new"), true);
    settle(p);
    assert_has(p, 1, 1);
    assert_string_equal(pair_sa(&p->s[1], 0)->child.name, "new");
    pair_free(p);
}

static void test_equal_file_lets_nothing_of_the_former_edition_live(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, pair_two_children);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    for (int side = 0; side < 2; side++)
        load(p, side, pair_two_children, NULL);
    for (int side = 0; side < 2; side++) {
        struct ike *ike = p->s[side].ike;
        assert_ptr_equal(ike->sas->conn, ike->conns);
        assert_ptr_equal(ike->sas->children->conn, ike->conns);
    }
    pair_result(p, 0, pair_initiate(p, 0, "d"), true);
    settle(p);
    assert_has(p, 1, 2);
    pair_free(p);
}

// What was made under the former edition is rekeyed by either end as what it was.
static void test_child_of_a_former_edition_is_rekeyed_by_either_end(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    for (int side = 0; side < 2; side++)
        load(p, side, pair_two_children, renamed); // `c` is called otherwise now, and nobody starts it
    for (int i = 0; i < 6; i++) {
        const struct child_sa *c = p->s[i % 2].ike->sas->children;
        assert_non_null(c);
        uint32_t spi = c->spi_in;
        assert_string_equal(c->cfg->name, "c");
        exchange_queue(c->sa, TASK_REKEY_CHILD, c->id);
        settle(p);
        assert_has(p, 1, 1);
        assert_true(p->s[i % 2].ike->sas->children->spi_in != spi);
    }
    settle(p);
    assert_int_equal(p->s[0].ike->sa_count, 1);
    assert_true(pair_agree(p));
    pair_free(p);
}

static void slower(struct conn_config *c)
{
    c->dpd_delay = 77;
}

// What has been agreed upon for the IKE SA is not what the file says now: a child that is new needs another
// one.
static void test_edit_of_what_the_ike_sa_is_keeps_that_one_as_it_was(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, starting);
    settle(p);
    load(p, 1, both, NULL);
    load(p, 0, both, slower);
    settle(p);
    assert_has(p, 2, 2);
    unsigned slow = 0;
    for (const struct ike_sa *sa = p->s[0].ike->sas; sa; sa = sa->next)
        slow += sa->conn->cfg.dpd_delay == 77;
    assert_int_equal(slow, 1);
    pair_free(p);
}

// The load comes while the IKE SA, or its second CHILD SA, is being made.
static void test_load_while_an_sa_is_being_made_comes_to_one_ike_sa(void **state)
{
    (void)state;
    for (int steps = 0; steps < 2; steps++) {
        struct pair *p = pair_loaded(UNIQUE_NO, pair_two_children);
        if (steps)
            pair_result(p, 0, pair_initiate(p, 0, "d"), true);
        p->filter = pair_lose_all; // repeated later
        uint32_t req = pair_initiate(p, 0, "c");
        load(p, 0, both, NULL);
        p->filter = NULL;
        pair_wait(p, 60000);
        (void)req;
        settle(p);
        assert_has(p, 1, 2);
        pair_free(p);
    }
}

// Two children for the same, of which one has been given another place.
static void twice(struct conn_config *c, int side)
{
    pair_two_children(c, side);
    c->children[1].local_ts = c->children[0].local_ts;
    c->children[1].remote_ts = c->children[0].remote_ts;
}

static void other_priority(struct conn_config *c)
{
    c->children[0].priority = 5;
}

// What it is for is loaded under its name, whatever the number of its policy: it has not had its time.
static void test_child_sa_that_its_child_still_takes_is_rekeyed_beside_another_one(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, twice);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    pair_result(p, 0, pair_initiate(p, 0, "d"), true);
    uint32_t id = p->s[0].policy[0].id;
    load(p, 0, twice, other_priority);
    assert_int_not_equal(p->s[0].policy[0].id, id);
    for (struct child_sa *k = p->s[0].ike->sas->children; k; k = k->next)
        if (strcmp(k->cfg->name, "c") == 0) {
            expiry_rekey(k);
            break;
        }
    settle(p);
    assert_has(p, 1, 2);
    pair_free(p);
}

// ---- what an operator asks for: that running SAs become what is loaded

static struct child_sa *child_named(struct side *s, const char *name)
{
    struct child_sa *k = s->ike->sas->children;
    while (k && strcmp(k->cfg->name, name) != 0)
        k = k->next;
    assert_non_null(k);
    return k;
}

static void ask_anew(struct pair *p, uint32_t child_id, bool ok)
{
    struct msg_REKEY m = {.req = 7000 + child_id, .child_id = child_id, .anew = 1};
    ipc_send(p->s[0].ctl_ike, MSG_REKEY, &m);
    pair_run(p);
    assert_int_equal(p->s[0].last_req, m.req);
    assert_int_equal(p->s[0].last_ok, ok);
}

static void shorter(struct conn_config *c)
{
    c->children[0].life_time = 1234;
}

static void another_cipher(struct conn_config *c)
{
    pair_proposal(c->children[0].proposals, PROTO_ESP, "aes128gcm16");
}

static struct pair *with_both(void)
{
    struct pair *p = pair_loaded(UNIQUE_NO, pair_two_children);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    pair_result(p, 0, pair_initiate(p, 0, "d"), true);
    return p;
}

// The other one, which nobody has edited, is the same before and after.
static void test_edited_child_sa_is_made_anew_before_it_ends_and_its_neighbour_is_left_alone(void **state)
{
    (void)state;
    struct pair *p = with_both();
    for (int side = 1; side >= 0; side--)
        load(p, side, pair_two_children, shorter);
    struct child_sa *c = child_named(&p->s[0], "c"), *d = child_named(&p->s[0], "d");
    uint32_t was = c->id, neighbour = d->id;
    assert_int_equal(edition_of_sa(c->sa), SA_AS_LOADED);
    assert_int_equal(edition_of_child(c), SA_EDITED);
    assert_int_equal(edition_of_child(d), SA_AS_LOADED);
    ask_anew(p, neighbour, false);
    ask_anew(p, was, true);
    pair_wait(p, 400);
    assert_has(p, 1, 3);
    settle(p);
    assert_has(p, 1, 2);
    c = child_named(&p->s[0], "c");
    assert_int_not_equal(c->id, was);
    assert_int_equal(c->cfg->life_time, 1234);
    assert_int_equal(edition_of_child(c), SA_AS_LOADED);
    assert_int_equal(child_named(&p->s[0], "d")->id, neighbour);
    ask_anew(p, c->id, false);
    pair_free(p);
}

static void test_edited_child_sa_that_the_peer_refuses_anew_goes_on_and_may_be_asked_for_again(void **state)
{
    (void)state;
    struct pair *p = with_both();
    load(p, 0, pair_two_children, another_cipher);
    uint32_t was = child_named(&p->s[0], "c")->id;
    ask_anew(p, was, true);
    settle(p);
    assert_has(p, 1, 2);
    assert_int_equal(child_named(&p->s[0], "c")->id, was);
    assert_int_equal(edition_of_child(child_named(&p->s[0], "c")), SA_EDITED);
    load(p, 1, pair_two_children, another_cipher);
    ask_anew(p, was, true);
    settle(p);
    assert_has(p, 1, 2);
    assert_int_equal(child_named(&p->s[0], "c")->suite->encr.key_bits, 128);
    pair_free(p);
}

static void renamed_with_another_cipher(struct conn_config *c)
{
    renamed(c);
    another_cipher(c);
}

// What was to come had another name, and has not come: what there is is not said to have a successor.
static void test_child_sa_whose_renamed_successor_the_peer_refuses_is_what_it_was(void **state)
{
    (void)state;
    struct pair *p = with_both();
    load(p, 0, pair_two_children, renamed_with_another_cipher);
    uint32_t was = child_named(&p->s[0], "c")->id;
    ask_anew(p, was, true);
    settle(p);
    assert_has(p, 1, 2);
    assert_int_equal(child_named(&p->s[0], "c")->id, was);
    assert_false(child_named(&p->s[0], "c")->outdated);
    assert_int_equal(edition_of_child(child_named(&p->s[0], "c")), SA_EDITED);
    pair_free(p);
}

static void for_anybody(struct conn_config *c)
{
    c->dpd_delay = 77;
    c->remote_count = 0;
}

static void without_c(struct conn_config *c)
{
    c->dpd_delay = 77;
    c->children[0].name = "other";
    c->children[0].remote_ts->t[0].lo[1] ^= 1;
    c->children[0].remote_ts->t[0].hi[1] ^= 1;
}

static void test_ike_sa_says_how_it_stands_to_what_is_loaded(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, NULL);
    static const struct {
        void (*edit)(struct conn_config *c);
        enum sa_edition is;
    } cases[] = {
        {slower, SA_EDITED}, {for_anybody, SA_PEER_BEGINS}, {without_c, SA_NO_CHILD}, {NULL, SA_AS_LOADED}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        load(p, 0, NULL, cases[i].edit);
        assert_int_equal(edition_of_sa(p->s[0].ike->sas), cases[i].is);
        assert_int_equal(edition_of_child(p->s[0].ike->sas->children), SA_AS_LOADED); // it goes with that
    }
    struct msg_CONN_UNLOAD m = {.req = 9000};
    snprintf(m.conn, sizeof(m.conn), "%s", p->s[0].ike->conns->cfg.name);
    ipc_send(p->s[0].ctl_ike, MSG_CONN_UNLOAD, &m);
    pair_run(p);
    assert_int_equal(edition_of_sa(p->s[0].ike->sas), SA_NOT_LOADED);
    assert_has(p, 1, 1);
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_child_that_is_added_comes_up_on_the_ike_sa_that_is_there),
        cmocka_unit_test(test_child_that_is_renamed_is_one_child_sa_under_its_new_name),
        cmocka_unit_test(test_child_sa_of_a_renamed_child_goes_a_moment_after_its_successor_came),
        cmocka_unit_test(test_child_that_is_renamed_at_the_end_that_answers_goes_instead_of_being_rekeyed),
        cmocka_unit_test(test_equal_file_lets_nothing_of_the_former_edition_live),
        cmocka_unit_test(test_child_of_a_former_edition_is_rekeyed_by_either_end),
        cmocka_unit_test(test_edit_of_what_the_ike_sa_is_keeps_that_one_as_it_was),
        cmocka_unit_test(test_load_while_an_sa_is_being_made_comes_to_one_ike_sa),
        cmocka_unit_test(test_child_sa_that_its_child_still_takes_is_rekeyed_beside_another_one),
        cmocka_unit_test(test_edited_child_sa_is_made_anew_before_it_ends_and_its_neighbour_is_left_alone),
        cmocka_unit_test(test_edited_child_sa_that_the_peer_refuses_anew_goes_on_and_may_be_asked_for_again),
        cmocka_unit_test(test_child_sa_whose_renamed_successor_the_peer_refuses_is_what_it_was),
        cmocka_unit_test(test_ike_sa_says_how_it_stands_to_what_is_loaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
