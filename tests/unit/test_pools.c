// SPDX-License-Identifier: Apache-2.0
// Address pools: their text, what an identity gets of them and gets again, what is kept for a restart and
// comes back, and how they are listed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "ctrl/ike/pools.h"
#include "tests/unit/ike_pair.h"
#include "tests/unit/no_memory.h"

static struct pair *p;
static struct ike *ike;
static struct conn_config cfg;
static const struct addr any4 = {.family = 4}, any6 = {.family = 6};
static struct {
    unsigned pools, leases, kept, online, pages;
    uint64_t next;
    char last[64];
    uint8_t id[64];
    size_t id_len;
    struct addr addr;
} seen;

static void on_ctl(struct side *s, enum msg_type t, const union msg *m)
{
    (void)s;
    if (t == MSG_POOL_IS) {
        seen.pools++;
        seen.online = m->POOL_IS.online;
    } else if (t == MSG_LEASE_IS) {
        seen.leases++;
        snprintf(seen.last, sizeof(seen.last), "%.60s", m->LEASE_IS.identity);
    } else if (t == MSG_LIST_MORE) {
        seen.next = m->LIST_MORE.next;
        seen.pages++;
    } else if (t == MSG_LEASE) {
        seen.kept++;
        seen.addr = m->LEASE.address;
        seen.id_len = m->LEASE.identity.len;
        memcpy(seen.id, m->LEASE.identity.p, seen.id_len);
    }
}

static int set_up(void **state)
{
    (void)state;
    memset(&cfg, 0, sizeof(cfg));
    memset(&seen, 0, sizeof(seen));
    p = pair_new(NULL);
    ike = p->s[0].ike;
    p->s[0].on_ctl = on_ctl;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pair_free(p);
    return 0;
}

static bool load(const char *name, const char *addrs)
{
    return pair_load_pool(p, 0, name, addrs, slice_of(NULL, 0));
}

static void use(const char *name)
{
    static char names[POOLS_MAX][NAME_MAX_LEN];
    cfg.pools = names;
    snprintf(cfg.pools[cfg.pool_count++], NAME_MAX_LEN, "%s", name);
}

static struct lease *take(const char *id, const struct addr *wish, bool again)
{
    struct identity i;
    assert_true(identity_parse(id, &i));
    return pools_take(ike, &cfg, &i, wish, again);
}

static void is(const struct lease *l, const char *addr)
{
    struct addr a;
    char text[64];
    assert_non_null(l);
    pools_address(l, &a);
    assert_string_equal(addr_print(&a, text, sizeof(text)), addr);
}

static void test_text_of_networks_and_ranges(void **state)
{
    static const struct {
        const char *text, *first;
        uint64_t size;
    } good[] = {
        {"10.3.0.0/24", "10.3.0.1", 254},
        {"10.3.0.16/24", "10.3.0.16", 239},
        {"10.3.0.4/30", "10.3.0.5", 2},
        {"10.3.0.4/31", "10.3.0.4", 2},
        {"10.3.0.4", "10.3.0.4", 1},
        {"10.3.0.4/32", "10.3.0.4", 1},
        {"10.0.0.0/8", "10.0.0.1", 16777214},
        {"10.3.0.250-10.3.1.5", "10.3.0.250", 12},
        {"fd00::/64", "fd00::1", POOL_SIZE_MAX},
        {"fd00::10-fd00::1f", "fd00::10", 16},
        {"fd00::/112", "fd00::1", 65534},
    };
    static const char *const bad[] = {"",
                                      "x",
                                      "10.3.0.0/33",
                                      "10.3.0.0/",
                                      "10.3.0.0/2x",
                                      "10.3.0.5-10.3.0.4",
                                      "10.3.0.5-fd00::1",
                                      "fd00::/129",
                                      "10.3.0.1-"};
    struct pool_config c;
    const char *why;
    char text[64];
    struct addr a;
    uint64_t n;
    (void)state;
    for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        memset(&c, 0, sizeof(c));
        assert_true(pool_addrs_parse(&c, good[i].text, &why));
        assert_string_equal(addr_print(&c.first, text, sizeof(text)), good[i].first);
        assert_true(c.size == good[i].size);
        pool_address(&c, c.size - 1, &a);
        assert_true(pool_number(&c, &a, &n) && n == c.size - 1);
        pool_address(&c, c.size, &a);
        assert_false(pool_number(&c, &a, &n));
    }
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        memset(&c, 0, sizeof(c));
        if (pool_addrs_parse(&c, bad[i], &why))
            fail_msg("'%s' was taken", bad[i]);
    }
}

static void test_identity_gets_its_address_again(void **state)
{
    (void)state;
    assert_true(load("a", "10.3.0.0/24"));
    use("a");
    struct lease *x = take("x.test", &any4, false), *y = take("y.test", &any4, false);
    is(x, "10.3.0.1");
    is(y, "10.3.0.2");
    assert_null(take("x.test", &any6, false));
    pools_release(ike, x);
    is(take("z.test", &any4, false), "10.3.0.3"); // not the one that x had
    is(take("x.test", &any4, false), "10.3.0.1");
    pair_run(p);
    assert_int_equal(seen.kept, 3); // what is new is kept, no more
}

// While it has it: by naming it, as who reauthenticates does, or as whoever takes its own place.
static void test_address_in_use_is_its_own_identitys_alone(void **state)
{
    struct addr wish;
    (void)state;
    assert_true(load("a", "10.3.0.0/24"));
    use("a");
    struct lease *x = take("x.test", &any4, false);
    addr_parse("10.3.0.1", &wish);
    assert_ptr_equal(take("x.test", &wish, false), x);
    assert_ptr_equal(take("x.test", &any4, true), x);
    is(take("x.test", &any4, false), "10.3.0.2"); // another client of that name
    is(take("y.test", &wish, true), "10.3.0.3");
    pools_release(ike, x);
    pools_release(ike, x);
    is(take("x.test", &any4, false), "10.3.0.4"); // the third hold is there yet
    pools_release(ike, x);
    is(take("x.test", &any4, false), "10.3.0.1");
}

static void test_exhausted_pool_gives_what_was_free_longest_then_nothing(void **state)
{
    (void)state;
    assert_true(load("a", "10.3.0.1-10.3.0.2"));
    use("a");
    struct lease *x = take("x.test", &any4, false), *y = take("y.test", &any4, false);
    assert_null(take("z.test", &any4, false));
    pools_release(ike, y);
    pools_release(ike, x);
    is(take("z.test", &any4, false), "10.3.0.2");
    is(take("y.test", &any4, false), "10.3.0.1");
    assert_null(take("x.test", &any4, false));
    assert_true(load("b", "10.4.0.0/30")); // the next pool, where there is one
    use("b");
    is(take("x.test", &any4, false), "10.4.0.1");
}

static void test_leases_of_a_file_come_back_for_their_identity(void **state)
{
    uint8_t buf[200];
    struct writer w = writer_of(buf, sizeof(buf));
    struct msg_POOL_LEASES m = {.name = "a"};
    (void)state;
    assert_true(load("a", "10.3.0.0/24"));
    use("a");
    pools_release(ike, take("x.test", &any4, false));
    pair_run(p);
    wr_u8(&w, 4);
    wr_bytes(&w, (uint8_t[16]){10, 3, 0, 2}, 16);
    wr_slice16(&w, slice_of(seen.id, seen.id_len)); // x.test had .2 as well
    wr_u8(&w, 4);
    wr_bytes(&w, (uint8_t[16]){10, 99, 0, 2}, 16); // none of the pool's
    wr_slice16(&w, slice_of(seen.id, seen.id_len));
    m.leases = wr_written(&w);
    ipc_send(p->s[0].ctl_ike, MSG_POOL_LEASES, &m);
    pair_run(p);
    is(take("y.test", &any4, false), "10.3.0.3"); // neither .1 nor .2
    assert_non_null(take("x.test", &any4, false));
    assert_non_null(take("x.test", &any4, false));
    is(take("x.test", &any4, false), "10.3.0.4");
}

// Whoever tells of them again is told when all are there; those that are stay.
static void test_leases_that_there_is_no_memory_for_are_said_to_be_lost(void **state)
{
    uint8_t buf[200];
    struct writer w = writer_of(buf, sizeof(buf));
    struct msg_POOL_LEASES m = {.name = "a"};
    (void)state;
    assert_true(load("a", "10.3.0.0/24"));
    use("a");
    pools_release(ike, take("x.test", &any4, false));
    pair_run(p);
    for (uint8_t i = 2; i <= 3; i++) {
        wr_u8(&w, 4);
        wr_bytes(&w, (uint8_t[16]){10, 3, 0, i}, 16);
        wr_slice16(&w, slice_of(seen.id, seen.id_len));
    }
    m.leases = wr_written(&w);
    bool hit = true;
    unsigned n = 0;
    while (hit) { // in every part of two leases, until they are there
        no_memory_at(++n);
        m.req = 0;
        ipc_send(p->s[0].ctl_ike, MSG_POOL_LEASES, &m);
        pair_run(p);
        hit = no_memory_end();
        ipc_send(p->s[0].ctl_ike, MSG_POOL_LEASES, &(struct msg_POOL_LEASES){.req = n, .name = "a"});
        pair_run(p);
        pair_result(p, 0, n, !hit);
        ipc_send(p->s[0].ctl_ike, MSG_POOL_LEASES, &(struct msg_POOL_LEASES){.req = 100 + n, .name = "a"});
        pair_run(p);
        pair_result(p, 0, 100 + n, true); // it has been told
    }
    assert_true(n > 1);
    is(take("y.test", &any4, false), "10.3.0.4");
}

static void test_pool_with_addresses_in_use_stays(void **state)
{
    (void)state;
    assert_true(load("a", "10.3.0.0/24"));
    use("a");
    struct lease *x = take("x.test", &any4, false);
    assert_true(load("a", "10.3.0.0/24")); // the same once more
    assert_false(load("a", "10.4.0.0/24"));
    struct msg_POOL_UNLOAD m = {.req = 7, .name = "a"};
    ipc_send(p->s[0].ctl_ike, MSG_POOL_UNLOAD, &m);
    pair_run(p);
    assert_false(p->s[0].last_ok);
    pools_release(ike, x);
    ipc_send(p->s[0].ctl_ike, MSG_POOL_UNLOAD, &m);
    pair_run(p);
    assert_true(p->s[0].last_ok);
    assert_null(take("x.test", &any4, false));
}

// A /8 and a /64 cost what their leases cost, and a list of them comes in pages, each lease once.
static void test_great_pools_and_many_leases(void **state)
{
    enum { MANY = 5000 };
    char id[32];
    (void)state;
    assert_true(load("a", "10.0.0.0/8"));
    assert_true(load("b", "fd00::/64"));
    use("a");
    use("b");
    for (int i = 0; i < MANY; i++) {
        snprintf(id, sizeof(id), "c%d.test", i);
        struct lease *l = take(id, i % 2 ? &any6 : &any4, false);
        assert_non_null(l);
        if (i % 100 == 0) // ctl reads
            pair_run(p);
    }
    pair_run(p);
    do {
        struct msg_POOL_LIST m = {.req = 9, .leases = 1, .from = seen.next};
        seen.next = 0;
        ipc_send(p->s[0].ctl_ike, MSG_POOL_LIST, &m);
        pair_run(p);
    } while (seen.next && seen.pages < 1000);
    assert_int_equal(seen.pools, 2);
    assert_int_equal(seen.leases, MANY);
    assert_int_equal(seen.online, MANY / 2);
    assert_string_equal(seen.last, "c4999.test");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_of_networks_and_ranges),
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        TEST(test_identity_gets_its_address_again),
        TEST(test_address_in_use_is_its_own_identitys_alone),
        TEST(test_exhausted_pool_gives_what_was_free_longest_then_nothing),
        TEST(test_leases_of_a_file_come_back_for_their_identity),
        TEST(test_leases_that_there_is_no_memory_for_are_said_to_be_lost),
        TEST(test_pool_with_addresses_in_use_stays),
        TEST(test_great_pools_and_many_leases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
