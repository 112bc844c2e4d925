// SPDX-License-Identifier: Apache-2.0
// Lists of ike and keys in pages: 130,000 SAs, 130,000 secrets, each listed once and in order, in time that
// grows as they do, on channels that hold a small part of them; and lists that change between two pages.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#include "ctrl/keys/psk.h"
#include "tests/unit/ike_pair.h"
#include "tests/unit/keys_rig.h"

enum {
    MANY = 130000,
    FEW = 13000,
    STEEP = 30
}; // ten times as many may take STEEP times as long, not a hundred times

static uint8_t *seen; // by id: how often
static unsigned listed, pages, children_seen, out_of_order;
static uint32_t last_id;
static uint64_t next_page;
static bool ended;
static char why[1024];

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void forget(unsigned ids)
{
    free(seen);
    seen = calloc(ids + 1u, 1);
    listed = pages = children_seen = out_of_order = 0;
    last_id = UINT32_MAX;
    next_page = 0;
    ended = false;
    why[0] = 0;
}

// ---- ike

static void note(struct side *s, enum msg_type t, const union msg *m)
{
    (void)s;
    if (t == MSG_IKE_INFO) {
        out_of_order += m->IKE_INFO.id > last_id; // the newest first
        last_id = m->IKE_INFO.id;
        listed++;
        seen[m->IKE_INFO.id]++;
    } else if (t == MSG_CHILD_INFO) {
        children_seen++;
    } else if (t == MSG_LIST_MORE) {
        next_page = m->LIST_MORE.next;
        pages++;
    } else if (t == MSG_RESULT) {
        ended = true;
        snprintf(why, sizeof(why), "%s", m->RESULT.text);
    }
}

static void ask_page(struct pair *p, const char *conn, uint32_t most)
{
    struct msg_IKE_LIST m = {.req = 6, .from = next_page, .most = most};
    snprintf(m.conn, sizeof(m.conn), "%s", conn);
    next_page = 0;
    ipc_send(p->s[0].ctl_ike, MSG_IKE_LIST, &m);
    pair_run(p);
    assert_true(ended || next_page);
}

static void list_all(struct pair *p, const char *conn, uint32_t most)
{
    while (!ended)
        ask_page(p, conn, most);
    assert_string_equal(why, "");
}

// SAs as they are listed, without the exchanges that make them.
static struct pair *with_sas(unsigned n)
{
    struct pair *p = pair_new(NULL);
    struct net_path path = {.local = {.family = 4, .a = {10, 0, 0, 1}},
                            .remote = {.family = 4, .a = {10, 0, 0, 2}}};
    pair_simple(p);
    for (unsigned i = 0; i < n; i++) {
        struct ike_sa *sa = sa_new(p->s[0].ike, p->s[0].ike->conns, true, &path);
        assert_non_null(sa);
        handshake_free(sa);
        sa->state = SA_ESTABLISHED;
    }
    p->s[0].on_ctl = note;
    return p;
}

static double time_to_list(unsigned n)
{
    struct pair *p = with_sas(n);
    forget(n);
    double began = seconds();
    list_all(p, "", 0);
    double took = seconds() - began;
    assert_int_equal(listed, n);
    assert_int_equal(out_of_order, 0);
    for (unsigned id = 1; id <= n; id++)
        assert_int_equal(seen[id], 1);
    assert_true(pages >= n / LIST_PAGE_MAX);
    pair_free(p);
    return took;
}

static void test_sas_come_in_pages_in_time_that_grows_as_they_do(void **state)
{
    (void)state;
    double few = time_to_list(FEW), many = time_to_list(MANY);
    printf("%d SAs listed in %.3f s, %d in %.3f s of CPU\n", FEW, few, MANY, many);
    assert_true(many < STEEP * few);
}

static void test_list_goes_on_where_it_was_although_sas_come_and_go(void **state)
{
    (void)state;
    struct pair *p = with_sas(100);
    struct net_path path = {.local = {.family = 4}, .remote = {.family = 4}};
    forget(200);
    ask_page(p, "", 10);                   // 100 ... 91
    sa_destroy(sa_by_id(p->s[0].ike, 90)); // the one to go on with
    sa_destroy(sa_by_id(p->s[0].ike, 89));
    sa_destroy(sa_by_id(p->s[0].ike, 95));
    handshake_free(sa_new(p->s[0].ike, p->s[0].ike->conns, true, &path));
    list_all(p, "", 10);
    assert_int_equal(listed, 98);
    for (unsigned id = 1; id <= 88; id++)
        assert_int_equal(seen[id], 1);
    pair_free(p);
}

static void test_page_of_a_connection_ends_the_list_where_there_is_no_more_of_it(void **state)
{
    (void)state;
    struct pair *p = with_sas(30);
    forget(100);
    list_all(p, "no such connection", 10);
    assert_int_equal(listed, 0);
    forget(100);
    list_all(p, p->s[0].ike->conns->cfg.name, 10);
    assert_int_equal(listed, 30);
    pair_free(p);
}

// The IKE SA is named again on each page, and the smallest page gets on as well.
static void test_children_of_one_ike_sa_go_over_several_pages(void **state)
{
    (void)state;
    for (uint32_t most = 1; most <= 8; most += 7) {
        struct pair *p = with_sas(2);
        struct ike_sa *sa = sa_by_id(p->s[0].ike, 2);
        for (unsigned i = 0; i < 50; i++)
            assert_non_null(child_new(sa, sa->conn, &sa->conn->cfg.children[0]));
        forget(10);
        ask_page(p, "", most);
        uint32_t to_go_on_with = (uint32_t)next_page;
        if (to_go_on_with)
            child_destroy(child_by_id(p->s[0].ike, to_go_on_with));
        list_all(p, "", most);
        assert_int_equal(children_seen, to_go_on_with ? 49 : 50);
        assert_int_equal(seen[1], 1);
        assert_true(seen[2] >= 50 / 8);
        pair_free(p);
    }
}

// ---- keys

static unsigned secrets_seen, wrong;

static void note_secret(const char *id)
{
    char want[16];
    snprintf(want, sizeof(want), "s%u", secrets_seen++);
    wrong += strcmp(id, want) != 0;
}

static double time_to_list_secrets(unsigned n)
{
    setup(NULL);
    char id[16];
    uint64_t from = 0;
    secrets_seen = wrong = 0;
    for (unsigned i = 0; i < n; i++) {
        snprintf(id, sizeof(id), "s%u", i);
        assert_true(load(id, "secret", id, NULL));
    }
    b->on_secret = note_secret;
    double began = seconds();
    do {
        assert_true(say(b->ctl, MSG_SECRET_LIST, &(struct msg_SECRET_LIST){.req = ++req, .from = from}) ||
                    b->next);
        for (int i = 0; i < 20; i++)
            loop_once(b->loop, 0);
        from = b->next;
    } while (from);
    double took = seconds() - began;
    assert_int_equal(secrets_seen, n);
    assert_int_equal(wrong, 0);
    teardown(NULL);
    return took;
}

static void test_secrets_come_in_pages_in_time_that_grows_as_they_do(void **state)
{
    (void)state;
    double few = time_to_list_secrets(FEW), many = time_to_list_secrets(MANY);
    printf("%d secrets listed in %.3f s, %d in %.3f s of CPU\n", FEW, few, MANY, many);
    assert_true(many < STEEP * few);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sas_come_in_pages_in_time_that_grows_as_they_do),
        cmocka_unit_test(test_list_goes_on_where_it_was_although_sas_come_and_go),
        cmocka_unit_test(test_page_of_a_connection_ends_the_list_where_there_is_no_more_of_it),
        cmocka_unit_test(test_children_of_one_ike_sa_go_over_several_pages),
        cmocka_unit_test(test_secrets_come_in_pages_in_time_that_grows_as_they_do),
    };
    log_set_all(-1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
