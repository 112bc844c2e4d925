// SPDX-License-Identifier: Apache-2.0
// What it costs to end IKE SAs that there is no memory for, among many that go on: counted by the basic
// blocks that sa.c runs through (this program is built so that it counts them).
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "ctrl/ike/unique.h"
#include "tests/unit/ike_pair.h"
#include "tests/unit/no_memory.h"

// Most: for each that is passed by, and for each that ends.
enum { PASSED = 8, ENDED = 150, SOME = 300 };

static uint64_t blocks;

void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
    blocks++;
}

struct rig {
    struct pair *p;
    struct ike *ike;
    struct net_path path;
    uint8_t msg[4096];
    size_t len;
};

static void from_somebody(struct rig *r, unsigned i)
{
    r->path.remote = (struct addr){4, {1, (uint8_t)(i >> 8), (uint8_t)i, 9}};
    pair_inject(r->p, 1, &r->path, r->msg, r->len);
}

static void rig_start(struct rig *r, unsigned half_open)
{
    struct conn_config c;
    struct pair *p = r->p = pair_new(NULL);
    r->ike = p->s[1].ike;
    pair_simple(p);
    p->filter = pair_lose_all;
    pair_initiate(p, 0, "c");
    const struct ike_sa *sa = p->s[0].ike->sas;
    r->len = sa->hs->own_init_len;
    assert_true(r->len <= sizeof(r->msg));
    memcpy(r->msg, sa->hs->own_init, r->len);
    r->path = (struct net_path){
        .local = sa->path.remote, .local_port = sa->path.remote_port, .remote_port = sa->path.local_port};
    pair_default_conn(&c, 1);
    memset(&c.remote_addrs[0], 0, sizeof(c.remote_addrs[0])); // %any
    pair_load(p, 1, &c);
    r->ike->set.cookie_threshold = r->ike->set.cookie_threshold_ip = 0;
    for (unsigned i = 0; i < half_open; i++)
        from_somebody(r, i);
    assert_int_equal(r->ike->sa_count, half_open);
}

// The newest come first: they are those that go on.
static void test_many_that_starve_behind_many_others_cost_what_they_are_together(void **state)
{
    struct rig r;
    (void)state;
    rig_start(&r, 2 * SOME);
    unsigned n = 0;
    for (struct ike_sa *sa = r.ike->sas; sa; sa = sa->next)
        if (++n > SOME)
            sa_out_of_memory(sa);
    uint64_t from = blocks;
    pair_wait(r.p, 1);
    uint64_t cost = blocks - from;
    printf("%d behind %d others: %llu basic blocks\n", SOME, SOME, (unsigned long long)cost);
    assert_int_equal(r.ike->sa_count, SOME);
    for (const struct ike_sa *sa = r.ike->sas; sa; sa = sa->next)
        assert_false(sa->without_memory);
    assert_in_range(cost, SOME, SOME * (PASSED + ENDED));
    pair_free(r.p);
}

// Some of them for both reasons, and some that end before their turn.
static void test_each_that_starves_ends_and_no_other(void **state)
{
    enum { FEW = 12 };
    struct rig r;
    (void)state;
    rig_start(&r, FEW);
    unsigned n = 0;
    for (struct ike_sa *sa = r.ike->sas, *next; sa; sa = next) {
        next = sa->next;
        if (n % 3 == 0)
            sa_out_of_memory(sa);
        if (n % 3 == 0 && n % 2)
            sa_end_soon(sa);
        if (n % 4 == 3)
            sa_destroy(sa);
        n++;
    }
    assert_int_equal(r.ike->sa_count, 9);
    pair_wait(r.p, 1);
    assert_int_equal(r.ike->sa_count, 6);
    sa_end_soon(r.ike->sas);
    pair_wait(r.p, 1);
    assert_int_equal(r.ike->sa_count, 5);
    pair_free(r.p);
}

static void test_stranger_without_memory_costs_nobody_a_look_at_all_others(void **state)
{
    struct rig r;
    uint64_t most = 0;
    (void)state;
    rig_start(&r, SOME);
    for (unsigned n = 1, hit = 1; hit; n++) {
        uint64_t from = blocks;
        no_memory_at(n);
        from_somebody(&r, SOME + n);
        hit = no_memory_end();
        pair_wait(r.p, 1);
        most = blocks - from > most ? blocks - from : most;
    }
    printf("a stranger beside %d others: at most %llu basic blocks\n", SOME, (unsigned long long)most);
    assert_in_range(most, 10, 2 * ENDED);
    pair_free(r.p);
}

// What is asked with each that comes up, of a connection that a hundred thousand come by.
static void test_whether_it_is_the_only_one_costs_no_look_at_all_of_anybodys(void **state)
{
    struct rig r;
    (void)state;
    rig_start(&r, SOME);
    assert_string_equal(r.ike->sas->conn->cfg.name, r.ike->sas->next->conn->cfg.name);
    uint64_t from = blocks;
    (void)sa_only_one(r.ike->sas);
    printf("one of %d: %llu basic blocks\n", SOME, (unsigned long long)(blocks - from));
    assert_in_range(blocks - from, 0, 50);
    pair_free(r.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_that_starve_behind_many_others_cost_what_they_are_together),
        cmocka_unit_test(test_each_that_starves_ends_and_no_other),
        cmocka_unit_test(test_stranger_without_memory_costs_nobody_a_look_at_all_others),
        cmocka_unit_test(test_whether_it_is_the_only_one_costs_no_look_at_all_of_anybodys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
