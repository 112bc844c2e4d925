// SPDX-License-Identifier: Apache-2.0
// A connection of the fleet in `ike` (ctrl/lib/fence.h): once this node's lease is over nothing is sent by
// it, also not in answer to who began while it lasted, and nobody begins by it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ctrl/ike/room.h"
#include "ctrl/lib/fence.h"
#include "tests/unit/ike_resume_rig.h"

static struct fence_page page; // of side 1, which answers

static void fleets(struct conn_config *c, int side)
{
    c->fence = side == 1 ? 1 : FENCE_NONE;
}

static struct pair *gateway_open(struct pair *p)
{
    page = (struct fence_page){0};
    fence_begin(&page, 1, 1, UINT64_MAX);
    ike_set_fence(p->s[1].ike, &page);
    return p;
}

static struct seen {
    unsigned requests, answers; // datagrams to side 1, and from it
    bool close_behind, lose_answers;
} seen;

static int watch(struct pair *p, unsigned number, struct datagram *d)
{
    (void)number;
    if (d->to == 0) {
        seen.answers++;
        return seen.lose_answers ? 0 : 1;
    }
    seen.requests++;
    if (!seen.close_behind)
        return 1;
    ike_receive(p->s[1].ike, &d->path, slice_of(d->data, d->len)); // `keys` is at work now
    fence_close(&page);
    return 0;
}

static struct pair *watched(void)
{
    struct pair *p = gateway_open(pair_loaded(UNIQUE_REPLACE, fleets));
    seen = (struct seen){0};
    p->filter = watch;
    return p;
}

static void test_open_it_is_as_any_other(void **state)
{
    (void)state;
    struct pair *p = watched();
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_true(pair_agree(p));
    pair_free(p);
}

static void test_a_lease_that_ends_while_keys_is_at_work_answers_nothing(void **state)
{
    (void)state;
    struct pair *p = watched();
    seen.close_behind = true;
    pair_initiate(p, 0, "c");
    pair_run(p);
    assert_int_equal(seen.requests, 1);
    assert_int_equal(p->s[1].ike->sa_count, 1); // it was begun
    assert_int_equal(seen.answers, 0);
    pair_free(p);
}

static void test_a_request_that_comes_again_after_the_lease_is_not_answered_again(void **state)
{
    (void)state;
    struct pair *p = watched();
    seen.lose_answers = true;
    pair_initiate(p, 0, "c");
    pair_run(p);
    assert_int_equal(seen.answers, 1);
    fence_close(&page);
    pair_wait(p, 10000);
    assert_true(seen.requests > 1);
    assert_int_equal(seen.answers, 1);
    pair_free(p);
}

static void test_who_begins_after_the_lease_is_answered_as_by_one_that_does_not_know_it(void **state)
{
    (void)state;
    struct pair *p = watched();
    fence_close(&page);
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_int_equal(p->s[1].ike->sa_count, 0);
    pair_free(p);
}

static void test_a_ticket_of_it_is_not_taken_after_the_lease(void **state)
{
    (void)state;
    struct pair *p = gateway_open(resume_pair(fleets));
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    resume_silent(p);
    fence_close(&page);
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_int_equal(resume_seen.nacks, 1);
    assert_int_equal(p->s[1].ike->sa_count, 1); // the one that it had
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_it_is_as_any_other),
        cmocka_unit_test(test_a_lease_that_ends_while_keys_is_at_work_answers_nothing),
        cmocka_unit_test(test_a_request_that_comes_again_after_the_lease_is_not_answered_again),
        cmocka_unit_test(test_who_begins_after_the_lease_is_answered_as_by_one_that_does_not_know_it),
        cmocka_unit_test(test_a_ticket_of_it_is_not_taken_after_the_lease),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
