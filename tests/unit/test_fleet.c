// SPDX-License-Identifier: Apache-2.0
// The fleet's room: nodes in one loop under virtual time, with a model of etcd, and the test as each node's
// `ctl`. At every moment at most one node's fence is open for a connection, whatever is away.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "ctrl/fleet/internal.h"
#include "ctrl/lib/log.h"
#include "tests/unit/etcd_model.h"

enum { NODES = 3, CONNS = 5, TTL = 10 };

struct told {
    char conn[64];
    uint32_t fence;  // as it was last given; 0: unloaded
    unsigned closed; // how often it was closed
};
struct node {
    struct fleet *fleet;
    struct etcd *etcd;
    struct fence_page page;
    struct ipc_chan *ctl;
    struct told told[CONNS + 2];
    unsigned conns, refuse; // refuse: so many questions
    const char *refuses;    // what has that in its message
    bool hangs;             // it hears, and neither does nor answers anything
};
static struct loop *loop;
static struct etcd_model *model;
static struct node node[NODES];
static uint64_t now_us;
static unsigned most_open; // of a connection at once, ever

static uint64_t virtual_us(void *ctx)
{
    (void)ctx;
    return now_us;
}

static struct told *of(struct node *n, const char *conn)
{
    for (unsigned i = 0; i < n->conns; i++)
        if (strcmp(n->told[i].conn, conn) == 0)
            return &n->told[i];
    assert_true(n->conns < CONNS + 2);
    struct told *t = &n->told[n->conns++];
    snprintf(t->conn, sizeof(t->conn), "%s", conn);
    return t;
}

// One at a time.
static void list(struct node *n, struct ipc_chan *c, uint32_t req, uint64_t from)
{
    struct msg_FLEET_HAS has = {.req = req};
    while (from < n->conns && !n->told[from].fence)
        from++;
    if (from == n->conns) {
        ipc_result(c, req, true, "%s", "");
        return;
    }
    snprintf(has.conn, sizeof(has.conn), "%s", n->told[from].conn);
    ipc_send(c, MSG_FLEET_HAS, &has);
    ipc_send(c, MSG_LIST_MORE, &(struct msg_LIST_MORE){.req = req, .next = from + 1});
}

static void on_message(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    struct node *n = ctx;
    char name[64];
    if (n->hangs)
        return;
    if (t == MSG_FLEET_CONN) {
        snprintf(name, sizeof(name), "%.*s", (int)m->FLEET_CONN.conn.len, (const char *)m->FLEET_CONN.conn.p);
        bool refused = n->refuses && strstr(name, n->refuses);
        name[strcspn(name, " ")] = 0;
        if (n->refuse || refused) {
            n->refuse -= n->refuse > 0;
            ipc_result(c, m->FLEET_CONN.req, false, "not here");
            return;
        }
        of(n, name)->fence = m->FLEET_CONN.fence;
        of(n, name)->closed += m->FLEET_CONN.fence == FENCE_CLOSED;
        ipc_result(c, m->FLEET_CONN.req, true, "%s", "");
    } else if (t == MSG_FLEET_UNLOAD) {
        of(n, m->FLEET_UNLOAD.conn)->fence = 0;
        ipc_result(c, m->FLEET_UNLOAD.req, true, "%s", "");
    } else if (t == MSG_FLEET_LIST) {
        list(n, c, m->FLEET_LIST.req, m->FLEET_LIST.from);
    }
}

static void on_closed(void *ctx, struct ipc_chan *c)
{
    ((struct node *)ctx)->ctl = NULL;
    ipc_close(c);
}

static void join(int i)
{
    static const struct ipc_handler handler = {on_message, on_closed};
    struct node *n = &node[i];
    int pair[2];
    struct fleet_config c = {.prefix = "/espalier/", .ttl = TTL, .jitter_ms = 200};
    snprintf(c.node, sizeof(c.node), "node%d", i + 1);
    n->etcd = model_client(model);
    n->fleet = fleet_new(loop, &c, n->etcd, &n->page);
    assert_non_null(n->fleet);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(fleet_attach(n->fleet, ROOM_CTL, pair[0]), 0);
    n->ctl = ipc_open(loop, pair[1], ROOM_CTL, ROOM_FLEET, &handler, n);
}

// Without a goodbye; its page closes by its time alone.
static void die(int i)
{
    struct node *n = &node[i];
    fleet_free(n->fleet);
    n->fleet = NULL;
    ipc_close(n->ctl);
    n->ctl = NULL;
}

// This node may send by it at this moment, as `path` would look.
static bool is_open(int i, const char *conn)
{
    uint32_t fence = of(&node[i], conn)->fence;
    return fence && fence_open_at(&node[i].page, fence, now_us / 1000);
}

static unsigned open_at(const char *conn)
{
    unsigned n = 0;
    for (int i = 0; i < NODES; i++)
        n += is_open(i, conn);
    return n;
}

static void conn_name(char name[16], int i)
{
    snprintf(name, 16, "c%d", i);
}

static void run(unsigned ms)
{
    char name[16];
    for (unsigned k = 0; k < ms; k++) {
        while (loop_step(loop))
            ;
        now_us += 1000;
        for (int i = 0; i < CONNS; i++) {
            conn_name(name, i);
            unsigned n = open_at(name);
            most_open = n > most_open ? n : most_open;
        }
    }
}

static void load(const char *generation, int count)
{
    char key[100], value[200];
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "/espalier/conns/%s/c%d", generation, i);
        snprintf(value, sizeof(value), "c%d of %s", i, generation);
        model_put(model, key, value);
    }
    snprintf(value, sizeof(value), "{\"schema\":1,\"generation\":\"%s\",\"connections\":%d}", generation,
             count);
    model_put(model, "/espalier/current", value);
}

static int set_up(void **state)
{
    (void)state;
    memset(node, 0, sizeof(node));
    most_open = 0;
    now_us = 1000000000;
    loop = loop_new();
    loop_set_clock(loop, (struct clock){virtual_us, NULL});
    model = model_new(loop);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < NODES; i++)
        if (node[i].fleet)
            die(i);
    model_free(model);
    loop_free(loop);
    return 0;
}

static void all_join(void)
{
    for (int i = 0; i < NODES; i++)
        join(i);
    load("g1", CONNS);
    run(5000);
}

static void all_of_first_are_open_once(int count)
{
    char name[16];
    for (int i = 0; i < count; i++) {
        conn_name(name, i);
        if (open_at(name) != 1)
            fail_msg("%s is open at %u nodes", name, open_at(name));
    }
    assert_int_equal(most_open, 1);
}

static void all_are_open_once(void)
{
    all_of_first_are_open_once(CONNS);
}

static int owner(const char *conn)
{
    for (int i = 0; i < NODES; i++)
        if (is_open(i, conn))
            return i;
    return -1;
}

// ---- tests

static void test_each_connection_is_one_nodes(void **state)
{
    (void)state;
    all_join();
    all_are_open_once();
    for (int i = 0; i < NODES; i++)
        for (int k = 0; k < CONNS; k++) {
            char name[16];
            conn_name(name, k);
            assert_true(of(&node[i], name)->fence !=
                        0); // loaded at every node, or it would not be blocked there
        }
}

static void test_a_node_that_dies_is_replaced_after_its_lease(void **state)
{
    (void)state;
    all_join();
    int gone = owner("c0");
    die(gone);
    run(1000); // its page is open yet, as that of a host whose processes hang would be
    assert_int_equal(owner("c0"), gone);
    run((TTL + 4) * 1000);
    all_are_open_once();
    assert_int_not_equal(owner("c0"), gone);
}

static void test_etcd_away_closes_at_the_deadline_and_not_before(void **state)
{
    (void)state;
    all_join();
    model_away(model, true);
    run(TTL * 1000 - (unsigned)fleet_margin_ms(TTL) - TTL * 1000 / 3 - 100);
    all_are_open_once();
    run(TTL * 1000 / 3 + 200);
    for (int i = 0; i < CONNS; i++) {
        char name[16];
        conn_name(name, i);
        assert_int_equal(open_at(name), 0);
        for (int k = 0; k < NODES; k++)
            assert_true(of(&node[k], name)->fence == FENCE_CLOSED);
    }
    run(60000);
    model_away(model, false);
    run(20000);
    all_are_open_once();
}

// The node believes, and so do the others: two sides of a partition.
static void test_a_node_cut_off_from_etcd_closes_before_another_opens(void **state)
{
    (void)state;
    all_join();
    int cut = owner("c1");
    model_client_away(node[cut].etcd, true);
    run((TTL + 5) * 1000);
    all_are_open_once();
    assert_int_not_equal(owner("c1"), cut);
    model_client_away(node[cut].etcd, false);
    run(15000);
    all_are_open_once();
}

static void test_a_later_session_does_not_open_what_an_earlier_one_had(void **state)
{
    (void)state;
    all_join();
    int cut = owner("c1");
    uint32_t old = of(&node[cut], "c1")->fence;
    model_client_away(node[cut].etcd, true);
    run((TTL + 5) * 1000);
    model_client_away(node[cut].etcd, false);
    run(15000);
    assert_true(node[cut].page.number > old);
    assert_true(node[cut].page.deadline > now_us / 1000);
    assert_false(fence_open_at(&node[cut].page, old, now_us / 1000));
}

static void test_a_drained_node_closes_before_it_gives_away(void **state)
{
    char key[64];
    (void)state;
    all_join();
    int from = owner("c2");
    snprintf(key, sizeof(key), "/espalier/drain/node%d", from + 1);
    model_put(model, key, "{}");
    run(5000);
    all_are_open_once();
    for (int i = 0; i < CONNS; i++) {
        char name[16];
        conn_name(name, i);
        assert_int_not_equal(owner(name), from);
    }
    model_delete(model, key);
}

static void test_a_load_changes_removes_and_keeps(void **state)
{
    (void)state;
    all_join();
    int c0 = owner("c0");
    load("g2", CONNS - 1);
    run(3000);
    assert_int_equal(owner("c0"), c0);
    assert_int_equal(open_at("c4"), 0);
    for (int i = 0; i < NODES; i++)
        assert_true(of(&node[i], "c4")->fence == 0); // unloaded
    assert_null(model_get(model, "/espalier/owners/c4"));
    assert_int_equal(most_open, 1);
}

static void test_another_schema_changes_nothing(void **state)
{
    (void)state;
    all_join();
    model_put(model, "/espalier/current", "{\"schema\":2,\"generation\":\"g9\",\"connections\":0}");
    run(5000);
    all_are_open_once();
}

static void test_half_a_generation_is_not_taken(void **state)
{
    (void)state;
    all_join();
    model_put(model, "/espalier/current", "{\"schema\":1,\"generation\":\"g2\",\"connections\":3}");
    run(5000);
    all_are_open_once();
}

// Nor is all of it asked for each second, for ever; what is right at last is taken at once.
static void test_what_cannot_be_taken_is_asked_for_less_and_less(void **state)
{
    (void)state;
    all_join();
    model_put(model, "/espalier/current", "{\"schema\":1,\"generation\":\"g2\",\"connections\":3}");
    run(60000);
    unsigned before = model_ranges(model);
    run(300000);
    assert_in_range(model_ranges(model) - before, NODES, NODES * 2 * 7); // two questions each time
    load("g3", CONNS - 1);
    run(2000);
    assert_int_equal(open_at("c4"), 0);
}

static void test_a_compacted_watch_is_read_anew(void **state)
{
    (void)state;
    all_join();
    model_client_away(node[0].etcd, true);
    load("g2", CONNS - 1);
    run(100);
    model_compact(model);
    model_client_away(node[0].etcd, false);
    run(5000);
    assert_true(of(&node[0], "c4")->fence == 0);
    assert_int_equal(most_open, 1);
}

static void test_what_a_node_refuses_another_takes(void **state)
{
    (void)state;
    node[0].refuse = 1000;
    all_join();
    run(5000);
    all_are_open_once();
    for (int i = 0; i < CONNS; i++) {
        char name[16];
        conn_name(name, i);
        assert_int_not_equal(owner(name), 0);
    }
}

// Its `ike` may just have been away.
static void test_what_is_refused_everywhere_is_tried_again(void **state)
{
    (void)state;
    for (int i = 0; i < NODES; i++)
        node[i].refuses = "c3";
    all_join();
    assert_int_equal(open_at("c3"), 0);
    for (int i = 0; i < NODES; i++)
        node[i].refuses = NULL;
    run(FLEET_REFUSED_MS + 5000);
    all_are_open_once();
}

// It has the old one open: that is closed, blocked and then given away.
static void test_a_change_that_the_owner_refuses_closes_what_it_has(void **state)
{
    (void)state;
    all_join();
    int had = owner("c0");
    node[had].refuses = "of g2";
    model_put(model, "/espalier/conns/g2/c0", "c0 of g2");
    model_put(model, "/espalier/current", "{\"schema\":1,\"generation\":\"g2\",\"connections\":1}");
    run(10000);
    assert_int_equal(most_open, 1);
    assert_int_equal(open_at("c0"), 1);
    assert_int_not_equal(owner("c0"), had);
    assert_true(of(&node[had], "c0")->fence == FENCE_CLOSED);
}

// Desired no more since the `fleet` before died: what that left open at its ctl is not open any more when it
// has been given away.
static void test_a_fleet_that_comes_again_unloads_what_went_meanwhile(void **state)
{
    (void)state;
    all_join();
    int i = owner("c4");
    die(i);
    load("g2", CONNS - 1);
    run(1000);
    assert_true(is_open(i, "c4"));
    join(i);
    run(3000);
    assert_null(model_get(model, "/espalier/owners/c4"));
    assert_true(of(&node[i], "c4")->fence == 0);
}

// It was another node's, so that nothing in etcd says that it was ever here; and it is blocked here.
static void test_a_fleet_that_comes_again_unloads_what_others_had(void **state)
{
    (void)state;
    all_join();
    int i = (owner("c4") + 1) % NODES;
    die(i);
    load("g2", CONNS - 1);
    run(1000);
    assert_true(of(&node[i], "c4")->fence == FENCE_CLOSED);
    join(i);
    run(3000);
    assert_true(of(&node[i], "c4")->fence == 0);
    all_of_first_are_open_once(CONNS - 1);
}

// Keys that were not asked for, again and again: none is taken for one of the part, and it has an end.
static void test_an_etcd_that_answers_with_other_keys_is_not_believed(void **state)
{
    (void)state;
    model_put(model, "x", "{}");
    model_put(model, "/espalier/nodes/a", "{}");
    model_broken(model, true);
    join(0);
    unsigned before = model_ranges(model);
    run(5000);
    assert_in_range(model_ranges(model) - before, 2, 10);
    model_broken(model, false);
    load("g1", CONNS);
    run(5000);
    all_are_open_once();
}

// Its claim was carried out, but by the time it hears so somebody has deleted the key and another has it.
static void test_an_answer_that_comes_late_is_not_the_last_word(void **state)
{
    (void)state;
    join(0);
    run(3000);
    model_slow(model, 300);
    load("g1", 1);
    while (!model_get(model, "/espalier/owners/c0"))
        run(1);
    run(20);
    model_delete(model, "/espalier/owners/c0");
    model_put(model, "/espalier/owners/c0", "{\"node\":\"node2\"}");
    run(1000);
    assert_int_equal(open_at("c0"), 0);
    assert_true(of(&node[0], "c0")->fence == FENCE_CLOSED);
}

static void test_no_answer_keeps_a_node_open_for_long(void **state)
{
    (void)state;
    model_ttl_said(model, 4000000000u);
    join(0);
    load("g1", CONNS);
    run(TTL * 1000);
    assert_int_equal(open_at("c0"), 1);
    assert_true(node[0].page.deadline < now_us / 1000 + 600000);
}

// An answer that went astray, or a proxy's of before.
static void test_an_answer_about_another_lease_keeps_nothing_open(void **state)
{
    (void)state;
    uint64_t session[NODES];
    all_join();
    for (int i = 0; i < NODES; i++)
        session[i] = node[i].page.session;
    model_lease_said(model, 4711);
    run(TTL * 1000);
    for (int i = 0; i < NODES; i++) // what it had has ended by its time
        assert_true(node[i].page.session != session[i]);
    model_lease_said(model, 0);
    run(20000);
    all_are_open_once();
}

// What is desired has a bound as a whole, and a load that is larger leaves what there is.
static void test_more_than_a_node_can_hold_is_not_taken(void **state)
{
    (void)state;
    all_join();
    for (int i = 0; i < NODES; i++) {
        assert_int_equal(node[i].fleet->octets, CONNS * strlen("c0 of g1"));
        node[i].fleet->octets_most = CONNS * strlen("c0 of g1");
    }
    load("longer", CONNS);
    run(5000);
    all_are_open_once();
    for (int i = 0; i < NODES; i++)
        assert_true(node[i].fleet->octets <= node[i].fleet->octets_most);
    load("g3", CONNS - 1);
    run(5000);
    assert_int_equal(open_at("c4"), 0);
    for (int i = 0; i < NODES; i++)
        assert_int_equal(node[i].fleet->octets, (CONNS - 1) * strlen("c0 of g1"));
}

static void test_nodes_that_have_gone_are_forgotten(void **state)
{
    char key[64];
    (void)state;
    join(0);
    run(2000);
    for (int i = 0; i < 1200; i++) {
        snprintf(key, sizeof(key), "/espalier/nodes/n%d", i);
        model_put(model, key, "{}");
        if (i < 100) {
            model_delete(model, key);
            run(5);
        }
    }
    run(50);
    assert_int_equal(node[0].fleet->peer_count, FLEET_NODES);
    model_put(model, "/espalier/drain/node1", "{}"); // its own is heard all the same
    model_delete(model, "/espalier/nodes/node1");
    run(50);
    assert_true(state_draining(node[0].fleet));
    model_delete(model, "/espalier/drain/node1");
    for (int i = 100; i < 1200; i++) {
        snprintf(key, sizeof(key), "/espalier/nodes/n%d", i);
        model_delete(model, key);
    }
    run(50);
    assert_int_equal(node[0].fleet->peer_count, 0);
}

static void test_two_nodes_of_one_name_are_one_at_a_time(void **state)
{
    struct fence_page page = {0};
    struct fleet_config c = {.prefix = "/espalier/", .node = "node1", .ttl = TTL, .jitter_ms = 200};
    (void)state;
    all_join();
    struct fleet *twin = fleet_new(loop, &c, model_client(model), &page);
    run(20000);
    assert_int_equal(page.session, 0);
    all_are_open_once();
    fleet_free(twin);
}

static void test_a_key_that_somebody_deletes_closes_at_once(void **state)
{
    (void)state;
    all_join();
    int had = owner("c3");
    assert_int_not_equal(had, -1);
    unsigned before = of(&node[had], "c3")->closed;
    model_delete(model, "/espalier/owners/c3");
    run(50); // it may have it again by then
    assert_int_equal(of(&node[had], "c3")->closed, before + 1);
    run(5000);
    assert_int_equal(open_at("c3"), 1);
}

// Its watch is silent, and nothing says so: it finds out by what etcd has of its lease, and nobody takes it
// before it has.
static void test_a_key_that_somebody_deletes_is_missed_without_the_watch(void **state)
{
    (void)state;
    all_join();
    int had = owner("c3");
    unsigned before = of(&node[had], "c3")->closed;
    model_client_deaf(node[had].etcd, true);
    model_delete(model, "/espalier/owners/c3");
    run(TTL * 1000);
    assert_int_equal(of(&node[had], "c3")->closed, before + 1);
    run(TTL * 1000);
    all_are_open_once();
}

// It knows, and cannot have it closed: then everything is, by its time.
static void test_what_ctl_does_not_close_ends_the_session(void **state)
{
    (void)state;
    all_join();
    int had = owner("c3");
    node[had].hangs = true;
    model_delete(model, "/espalier/owners/c3");
    run(TTL * 1000 - (unsigned)fleet_margin_ms(TTL));
    assert_false(fence_open_at(&node[had].page, of(&node[had], "c3")->fence, now_us / 1000));
    run(TTL * 1000 * 2);
    assert_int_equal(most_open, 1);
    assert_int_not_equal(owner("c3"), had);
    assert_int_equal(open_at("c3"), 1);
}

// To nobody, or to one that cannot be told: it is not taken from under whoever has it.
static void test_a_key_that_somebody_overwrites_is_nobodys(void **state)
{
    (void)state;
    all_join();
    int had = owner("c3");
    model_client_deaf(node[had].etcd, true);
    model_put(model, "/espalier/owners/c3", "nonsense");
    run(TTL * 1000);
    assert_int_equal(open_at("c3"), 0);
    model_delete(model, "/espalier/owners/c3");
    run(TTL * 1000);
    all_are_open_once();
}

static void test_a_fleet_that_comes_again_goes_on_with_its_lease(void **state)
{
    (void)state;
    all_join();
    int i = owner("c0");
    uint64_t session = node[i].page.session;
    die(i);
    join(i);
    run(3000);
    assert_int_equal(node[i].page.session, session);
    assert_int_equal(owner("c0"), i);
    all_are_open_once();
}

// Random: who is away, dies, comes, what is loaded, for ten minutes.
static void test_never_two_whatever_is_away(void **state)
{
    (void)state;
    all_join();
    srand(11);
    for (int step = 0; step < 150; step++) {
        int i = rand() % NODES;
        switch (rand() % 6) {
        case 0:
            if (node[i].fleet)
                model_client_away(node[i].etcd, true);
            break;
        case 1: model_away(model, true); break;
        case 2:
            if (node[i].fleet)
                die(i);
            break;
        case 3: model_compact(model); break;
        default:
            model_away(model, false);
            if (!node[i].fleet)
                join(i);
            model_client_away(node[i].etcd, false);
        }
        run((unsigned)(rand() % 8000));
        assert_true(most_open <= 1);
    }
    model_away(model, false);
    for (int i = 0; i < NODES; i++) {
        if (!node[i].fleet)
            join(i);
        model_client_away(node[i].etcd, false);
    }
    run(40000);
    all_are_open_once();
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_each_connection_is_one_nodes),
        T(test_a_node_that_dies_is_replaced_after_its_lease),
        T(test_etcd_away_closes_at_the_deadline_and_not_before),
        T(test_a_node_cut_off_from_etcd_closes_before_another_opens),
        T(test_a_later_session_does_not_open_what_an_earlier_one_had),
        T(test_a_drained_node_closes_before_it_gives_away),
        T(test_a_load_changes_removes_and_keeps),
        T(test_another_schema_changes_nothing),
        T(test_half_a_generation_is_not_taken),
        T(test_what_cannot_be_taken_is_asked_for_less_and_less),
        T(test_a_compacted_watch_is_read_anew),
        T(test_what_a_node_refuses_another_takes),
        T(test_what_is_refused_everywhere_is_tried_again),
        T(test_a_change_that_the_owner_refuses_closes_what_it_has),
        T(test_a_fleet_that_comes_again_unloads_what_went_meanwhile),
        T(test_a_fleet_that_comes_again_unloads_what_others_had),
        T(test_an_etcd_that_answers_with_other_keys_is_not_believed),
        T(test_an_answer_that_comes_late_is_not_the_last_word),
        T(test_no_answer_keeps_a_node_open_for_long),
        T(test_an_answer_about_another_lease_keeps_nothing_open),
        T(test_more_than_a_node_can_hold_is_not_taken),
        T(test_nodes_that_have_gone_are_forgotten),
        T(test_two_nodes_of_one_name_are_one_at_a_time),
        T(test_a_key_that_somebody_deletes_closes_at_once),
        T(test_a_key_that_somebody_deletes_is_missed_without_the_watch),
        T(test_what_ctl_does_not_close_ends_the_session),
        T(test_a_key_that_somebody_overwrites_is_nobodys),
        T(test_a_fleet_that_comes_again_goes_on_with_its_lease),
        T(test_never_two_whatever_is_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
