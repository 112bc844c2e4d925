// SPDX-License-Identifier: Apache-2.0
// The ike that made a child SA has died, and another one has come: the SA goes on until there is a successor,
// which is asked for, or until it has been too long.
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/path_rig.h"

// Of the room, which the rig puts together by itself.
void kernel_watch_sweep(struct path *p, const struct msg_SWEEP *m)
{
    (void)p, (void)m;
}

int kernel_watch_open(struct path *p, struct esp_error *err)
{
    (void)p;
    return esp_fail(err, -ENOSYS, "", "the rig has none");
}

void kernel_watch_whole(struct path *p)
{
    (void)p;
}

void kernel_watch_close(struct path *p)
{
    (void)p;
}

enum { OVERLAP_MS = 3000, SURVIVE_MS = 300000, LOOK_MS = 500, NEXT_ID = 1 << 24 };

static uint64_t blocks; // basic blocks of survivors.c, which this program counts

void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
    blocks++;
}

// rig/net as the next one has it: by a number of its own.
static void applied_anew(struct rig *r)
{
    struct policy_spec s = rig_spec(NEXT_ID + 1, "net", "10.1.0.0/16", "10.2.0.0/16");
    s.trap = true;
    rig_must_apply(r, "rig", &s, 1);
}

static unsigned acquired(struct rig *r)
{
    uint8_t buf[8192];
    unsigned n = 0;
    union msg m;
    rig_turn(r);
    for (ssize_t len; (len = recv(r->ike, buf, sizeof(buf), MSG_DONTWAIT)) > 0;) {
        if (msg_read(slice_of(buf, (size_t)len), &m) != MSG_ACQUIRE)
            continue;
        assert_string_equal(m.ACQUIRE.conn, "rig");
        assert_string_equal(m.ACQUIRE.child, "net");
        n++;
    }
    return n;
}

static void look(struct rig *r, uint64_t ms)
{
    rig_pass(r, ms);
    survivors_look(r->p);
    rig_turn(r);
}

static bool is_there(struct rig *r, uint32_t id)
{
    return sadb_by_id(r->p, id) != NULL;
}

static void goes_both_ways(struct rig *r, uint32_t number)
{
    rig_out(r, number, 3);
    rig_expect(r, number, 3);
    rig_in(r, 0x1001, "10.2.0.1", number + 3);
    assert_int_equal(rig_read(r), number + 3);
}

static void test_it_goes_on_and_a_successor_is_asked_for(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    survivors_begin(r->p);
    goes_both_ways(r, 0);
    assert_int_equal(acquired(r), 0); // the next one knows of no connection yet
    applied_anew(r);
    goes_both_ways(r, 10);
    look(r, OVERLAP_MS);
    goes_both_ways(r, 20);
}

static void test_applying_anew_asks_once_for_each_policy(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = rig_spec(NEXT_ID + 1, "net", "10.1.0.0/16", "10.2.0.0/16");
    uint8_t buf[8192];
    struct writer w = writer_of(buf, sizeof(buf));
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    survivors_begin(r->p);
    policies_write(&w, &s, 1);
    (void)acquired(r);
    policy_apply(r->p, &(struct msg_POLICY_APPLY){
                           .req = 5, .conn = "rig", .peer = r->conn_peer, .policies = wr_written(&w)});
    assert_int_equal(acquired(r), 1);
    w = writer_of(buf, sizeof(buf));
    policies_write(&w, NULL, 0);
    policy_apply(r->p, &(struct msg_POLICY_APPLY){.req = 6, .conn = "other", .policies = wr_written(&w)});
    assert_int_equal(acquired(r), 0);
}

static void test_without_survivors_nothing_is_asked_for(void **state)
{
    struct rig *r = *state;
    survivors_begin(r->p);
    applied_anew(r);
    assert_int_equal(acquired(r), 0);
}

static void test_it_ends_behind_its_successor(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    survivors_begin(r->p);
    applied_anew(r);
    struct msg_CHILD c = rig_child(r, 2);
    c.policy_id = NEXT_ID + 1;
    rig_must_install_child(r, &c);
    rig_out(r, 0, 5);
    rig_expect(r, 0, 5);
    assert_int_equal(r->sent[r->sent_count - 1].bytes[31], 2); // by the new one
    rig_in(r, 0x1001, "10.2.0.1", 5);                          // what the peer had sent by the old one
    assert_int_equal(rig_read(r), 5);
    look(r, OVERLAP_MS - 2 * LOOK_MS);
    assert_true(is_there(r, 1));
    look(r, 2 * LOOK_MS);
    assert_false(is_there(r, 1));
    assert_true(is_there(r, 2));
    assert_int_equal(r->p->survivors, 0);
    look(r, SURVIVE_MS);
    assert_true(is_there(r, 2));
}

static void test_it_ends_when_nobody_has_come_for_long(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    survivors_begin(r->p);
    applied_anew(r);
    look(r, SURVIVE_MS - LOOK_MS);
    goes_both_ways(r, 0);
    look(r, LOOK_MS);
    assert_false(is_there(r, 1));
    (void)acquired(r);
    unsigned before = r->sent_count;
    rig_out(r, 10, 1); // protected as before: asked for, and not sent
    assert_int_equal(r->sent_count, before);
    assert_int_equal(r->past_count, 0);
    assert_int_equal(acquired(r), 1);
}

static unsigned ended_by(struct rig *r, const char *conn, const char *child, uint32_t child_id)
{
    uint8_t buf[8192];
    struct msg_SURVIVORS_END q = {.req = 5, .child_id = child_id};
    unsigned n = UINT32_MAX;
    union msg m;
    snprintf(q.conn, sizeof(q.conn), "%s", conn);
    snprintf(q.child, sizeof(q.child), "%s", child);
    survivors_end(r->p, &q);
    rig_turn(r);
    for (ssize_t len; (len = recv(r->ike, buf, sizeof(buf), MSG_DONTWAIT)) > 0;)
        if (msg_read(slice_of(buf, (size_t)len), &m) == MSG_RESULT && m.RESULT.req == 5 && m.RESULT.ok)
            n = (unsigned)strtoul(m.RESULT.text, NULL, 10);
    return n;
}

static unsigned ended(struct rig *r, const char *conn, const char *child)
{
    return ended_by(r, conn, child, 0);
}

static void test_it_ends_where_somebody_says_so_by_its_names(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    assert_int_equal(ended(r, "rig", "net"), 0); // none survives
    survivors_begin(r->p);
    rig_must_install(r, 2, OFFLOAD_NO, "software"); // which has its ike
    const char *child = sadb_by_id(r->p, 1)->c.name;
    assert_int_equal(ended(r, "other", ""), 0);
    assert_int_equal(ended(r, "rig", "other"), 0);
    assert_int_equal(ended(r, "", "other"), 0);
    assert_true(is_there(r, 1));
    assert_int_equal(ended(r, "rig", child), 1);
    assert_false(is_there(r, 1));
    assert_true(is_there(r, 2));
    survivors_begin(r->p);
    assert_int_equal(ended(r, "rig", ""), 1);
    assert_false(is_there(r, 2));
    assert_int_equal(r->p->survivors, 0);
}

static void test_it_ends_where_somebody_says_so_by_its_number(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_must_install(r, 2, OFFLOAD_NO, "software");
    survivors_begin(r->p);
    rig_must_install(r, 3, OFFLOAD_NO, "software");
    assert_int_equal(ended_by(r, "", "", 3), 0); // which has its ike
    assert_int_equal(ended_by(r, "other", "", 2), 0);
    assert_int_equal(ended_by(r, "", "", 2), 1);
    assert_true(is_there(r, 1));
    assert_false(is_there(r, 2));
    assert_true(is_there(r, 3));
}

struct listed {
    unsigned count;
    uint32_t id[8];
    uint64_t next; // 0: the list has ended
    struct msg_SURVIVOR_IS last;
    struct msg_PATH_SA traffic;
};

static struct listed list(struct rig *r, uint64_t from, uint32_t most)
{
    struct listed l = {.next = UINT64_MAX};
    uint8_t buf[8192];
    union msg m;
    survivors_list(r->p, &(struct msg_SURVIVOR_LIST){.req = 6, .from = from, .most = most});
    rig_turn(r);
    for (ssize_t len; (len = recv(r->ctl, buf, sizeof(buf), MSG_DONTWAIT)) > 0;) {
        enum msg_type t = msg_read(slice_of(buf, (size_t)len), &m);
        if (t == MSG_SURVIVOR_IS) {
            assert_int_equal(m.SURVIVOR_IS.req, 6);
            assert_in_range(l.count, 0, 7);
            l.id[l.count++] = m.SURVIVOR_IS.id;
            l.last = m.SURVIVOR_IS;
        } else if (t == MSG_PATH_SA) { // behind the SA that it is of
            assert_int_equal(m.PATH_SA.child_id, l.last.id);
            l.traffic = m.PATH_SA;
        } else if (t == MSG_LIST_MORE || t == MSG_RESULT) {
            l.next = t == MSG_LIST_MORE ? m.LIST_MORE.next : 0;
        }
    }
    return l;
}

static void test_they_are_listed_with_what_is_known_of_them(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    assert_int_equal(list(r, 0, 0).count, 0);
    survivors_begin(r->p);
    goes_both_ways(r, 0);
    rig_pass(r, 20000);
    struct listed l = list(r, 0, 0);
    const struct child *c = sadb_by_id(r->p, 1);
    assert_int_equal(l.count, 1);
    assert_int_equal(l.next, 0);
    assert_string_equal(l.last.conn, "rig");
    assert_string_equal(l.last.child, c->c.name);
    assert_int_equal(l.last.spi_in, c->c.spi_in);
    assert_int_equal(l.last.spi_out, c->c.spi_out);
    assert_int_equal(l.last.encr, c->c.encr);
    assert_true(addr_eq(&l.last.remote, &c->c.remote));
    assert_int_equal(l.last.install_s, 20);
    assert_int_equal(l.last.left_s, (SURVIVE_MS - 20000) / 1000);
    assert_int_equal(l.last.remote_ts.count, 1);
    assert_int_equal(l.last.remote_ts.t[0].lo[1], 2); // 10.2.0.0/16
    assert_int_equal(l.traffic.packets_out, 3);
    assert_int_equal(l.traffic.packets_in, 1);
}

static void test_they_are_listed_in_pages_and_others_not_at_all(void **state)
{
    struct rig *r = *state;
    for (uint32_t id = 5; id > 0; id--)
        rig_must_install(r, id, OFFLOAD_NO, "software");
    survivors_begin(r->p);
    rig_must_install(r, 6, OFFLOAD_NO, "software"); // which has its ike
    struct listed l = list(r, 0, 2);
    assert_int_equal(l.count, 2);
    assert_int_equal(l.id[0], 1);
    assert_int_equal(l.id[1], 2);
    assert_int_equal(ended_by(r, "", "", 1), 1); // nothing moves by that
    l = list(r, l.next, 3);
    assert_int_equal(l.count, 3);
    assert_int_equal(l.id[0], 3);
    assert_int_equal(l.id[2], 5);
    assert_int_equal(l.next, 0);
}

static int attach(struct rig *r, enum room room)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    ipc_close(path_channel(r->p, room));
    assert_int_equal(path_attach(r->p, room, pair[0]), 0);
    return pair[1];
}

// As where keys, before which no ike comes, dies at once each time.
static void test_its_time_runs_whether_another_ike_comes_or_not(void **state)
{
    struct rig *r = *state;
    int super = attach(r, ROOM_SUPER), ike = attach(r, ROOM_IKE);
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    close(ike);
    rig_turn(r);
    look(r, SURVIVE_MS - LOOK_MS);
    goes_both_ways(r, 0);
    look(r, LOOK_MS);
    assert_false(is_there(r, 1));
    unsigned before = r->sent_count;
    rig_out(r, 10, 1);
    assert_int_equal(r->sent_count, before);
    assert_int_equal(r->past_count, 0);
    ipc_close(r->p->super);
    r->p->super = NULL;
    close(super);
}

// Who has broken into ike, and lets it die time and again, keeps none alive by that.
static void test_further_deaths_prolong_nothing(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    survivors_begin(r->p);
    look(r, SURVIVE_MS / 2);
    rig_must_install(r, 2, OFFLOAD_NO, "software");
    survivors_begin(r->p);
    assert_int_equal(r->p->survivors, 2);
    look(r, SURVIVE_MS / 2);
    assert_false(is_there(r, 1));
    assert_true(is_there(r, 2)); // its own time
    look(r, SURVIVE_MS / 2);
    assert_false(is_there(r, 2));
    assert_int_equal(r->p->survivors, 0);
}

// No ike ends it, and as long as it is there nothing asks for another.
static void test_it_ends_at_its_limit_and_the_next_packet_asks(void **state)
{
    struct rig *r = *state;
    rig_install(r, 1, OFFLOAD_NO, 3);
    survivors_begin(r->p);
    applied_anew(r);
    (void)acquired(r);
    rig_out(r, 0, 3);
    rig_expect(r, 0, 3);
    look(r, LOOK_MS);
    assert_true(is_there(r, 1));
    rig_out(r, 3, 1); // is beyond it
    look(r, LOOK_MS);
    assert_false(is_there(r, 1));
    (void)acquired(r);
    rig_out(r, 4, 1);
    assert_int_equal(acquired(r), 1);
    assert_int_equal(r->past_count, 0);
}

// keys had been asked for it by the ike that died, and was behind.
static void test_one_that_was_on_its_way_is_one_too(void **state)
{
    struct rig *r = *state;
    survivors_begin(r->p);
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    survivors_late(r->p);
    assert_int_equal(r->p->survivors, 1);
    look(r, SURVIVE_MS);
    assert_false(is_there(r, 1));
}

// One of a road warrior with a virtual address, by the connection number `of`.
static void install_host(struct rig *r, uint32_t id, uint32_t of, uint16_t port)
{
    struct msg_CHILD c = rig_child(r, id);
    c.policy_id = of;
    c.remote_port = port;
    c.remote_ts = rig_list("10.2.0.7/32");
    rig_must_install_child(r, &c);
}

// Without what the last ike had given, the next one gives it to somebody else.
static void test_address_that_another_peer_has_now_is_no_survivors(void **state)
{
    struct rig *r = *state;
    struct policy_spec of = rig_spec(NEXT_ID + 2, "net", "10.1.0.0/16", "10.2.0.0/16");
    of.given = true;
    rig_must_install(r, 1, OFFLOAD_NO, "software"); // a network
    install_host(r, 2, 1, 4001);
    survivors_begin(r->p);
    rig_must_apply(r, "another", &of, 1);
    install_host(r, 3, NEXT_ID + 2, 4001); // he has come again
    assert_true(is_there(r, 2));
    install_host(r, 4, NEXT_ID + 2, 4002);
    assert_false(is_there(r, 2));
    assert_true(is_there(r, 1) && is_there(r, 3) && is_there(r, 4));
    survivors_begin(r->p);
    of.id = NEXT_ID + 3;
    r->conn_peer++; // from the same place, by what is for another one
    rig_must_apply(r, "third", &of, 1);
    install_host(r, 5, NEXT_ID + 3, 4001);
    assert_false(is_there(r, 3));
    assert_false(is_there(r, 4));
    assert_true(is_there(r, 1));
}

// Behind a NAT that has another port for him now: the new one sends, as soon as it is there.
static void test_client_that_comes_from_another_port_has_what_is_for_him(void **state)
{
    struct rig *r = *state;
    struct policy_spec of = rig_spec(2, "net", "10.1.0.0/16", "10.2.0.0/16");
    of.given = true;
    r->conn_peer = 2;
    rig_must_apply(r, "warrior", &of, 1);
    install_host(r, 2, 2, 4001);
    survivors_begin(r->p);
    of.id = NEXT_ID + 2;
    rig_must_apply(r, "warrior", &of, 1);
    install_host(r, 3, NEXT_ID + 2, r->udp_port);
    assert_false(is_there(r, 2));
    unsigned before = r->sent_count;
    rig_out_packet(r, &(struct rig_packet){.src = "10.1.0.1", .dst = "10.2.0.7", .proto = 17});
    assert_int_equal(r->sent_count, before + 1);
}

static void install_at(struct rig *r, uint32_t id, uint32_t of, unsigned host)
{
    char at[32];
    struct msg_CHILD c = rig_child(r, id);
    c.policy_id = of;
    snprintf(at, sizeof(at), "10.2.%u.%u/32", host / 256, host % 256);
    c.remote_ts = rig_list(at);
    rig_must_install_child(r, &c);
}

static uint64_t cost_of_one_more(struct rig *r, uint32_t id)
{
    survivors_begin(r->p);
    uint64_t from = blocks;
    install_at(r, id, NEXT_ID + 2, id);
    return blocks - from;
}

// A hundred thousand clients come again beside as many.
static void test_client_that_comes_costs_the_same_beside_many_survivors(void **state)
{
    enum { FEW = 4, MANY = 300 };
    struct rig *r = *state;
    struct policy_spec of = rig_spec(NEXT_ID + 2, "net", "10.1.0.0/16", "10.2.0.0/16");
    of.given = true;
    rig_must_apply(r, "another", &of, 1);
    for (uint32_t id = 1; id < FEW; id++)
        install_at(r, id, NEXT_ID + 2, id);
    uint64_t few = cost_of_one_more(r, FEW);
    for (uint32_t id = FEW + 1; id < MANY; id++)
        install_at(r, id, NEXT_ID + 2, id);
    uint64_t many = cost_of_one_more(r, MANY);
    print_message("  %u basic blocks beside %u, %u beside %u\n", (unsigned)few, FEW - 1, (unsigned)many,
                  MANY - 1);
    assert_int_equal(r->p->survivors, MANY - 1);
    assert_true(few > 0 && many < 2 * few);
}

static uint64_t cost_of_a_page(struct rig *r)
{
    uint64_t before = blocks;
    assert_int_equal(list(r, 0, 2).next, 3);
    return blocks - before;
}

// Of a hundred thousand no page sorts them all: beside ten times as many it costs about ten times as much.
static void test_page_of_many_is_no_list_of_all(void **state)
{
    enum { FEW = 60, MANY = 10 * FEW };
    struct rig *r = *state;
    uint32_t id = 1;
    struct policy_spec of = rig_spec(NEXT_ID + 2, "net", "10.1.0.0/16", "10.2.0.0/16");
    rig_must_apply(r, "another", &of, 1);
    for (; id <= FEW; id++)
        install_at(r, id, NEXT_ID + 2, id);
    survivors_begin(r->p);
    uint64_t few = cost_of_a_page(r);
    for (; id <= MANY; id++)
        install_at(r, id, NEXT_ID + 2, id);
    survivors_begin(r->p);
    uint64_t many = cost_of_a_page(r);
    print_message("  %u basic blocks of %u, %u of %u\n", (unsigned)few, FEW, (unsigned)many, MANY);
    assert_int_equal(r->p->survivors, MANY);
    assert_true(few > 0 && many < 12 * few);
}

static void put_address(struct rig *r, const char *text)
{
    struct msg_VIRTUAL_ADD m = {.req = 9};
    assert_true(addr_parse(text, &m.address));
    virtual_add(r->p, &m);
}

// With the SA its policy goes: what a program still sent from that address would leave in clear. That another
// one goes on keeps it no longer.
static void test_virtual_address_goes_with_what_protects_it(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    put_address(r, "10.1.0.9");
    put_address(r, "10.9.9.9"); // of none: the next ike knows nothing of it either
    survivors_begin(r->p);
    assert_int_equal(r->p->virtual.count, 1);
    look(r, SURVIVE_MS / 2);
    struct msg_CHILD c = rig_child(r, 2);
    c.local_ts = rig_list("10.1.7.0/24");
    rig_must_install_child(r, &c);
    survivors_begin(r->p);
    assert_int_equal(r->p->virtual.count, 1);
    look(r, SURVIVE_MS / 2);
    assert_false(is_there(r, 1));
    assert_true(is_there(r, 2));
    assert_int_equal(r->p->virtual.count, 0);
}

static void test_one_that_is_made_afterwards_is_none(void **state)
{
    struct rig *r = *state;
    survivors_begin(r->p);
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    look(r, SURVIVE_MS);
    assert_true(is_there(r, 1));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)
    const struct CMUnitTest tests[] = {
        T(test_it_goes_on_and_a_successor_is_asked_for),
        T(test_applying_anew_asks_once_for_each_policy),
        T(test_without_survivors_nothing_is_asked_for),
        T(test_it_ends_behind_its_successor),
        T(test_it_ends_when_nobody_has_come_for_long),
        T(test_its_time_runs_whether_another_ike_comes_or_not),
        T(test_one_that_is_made_afterwards_is_none),
        T(test_virtual_address_goes_with_what_protects_it),
        T(test_client_that_comes_costs_the_same_beside_many_survivors),
        T(test_it_ends_where_somebody_says_so_by_its_names),
        T(test_it_ends_where_somebody_says_so_by_its_number),
        T(test_they_are_listed_with_what_is_known_of_them),
        T(test_they_are_listed_in_pages_and_others_not_at_all),
        T(test_page_of_many_is_no_list_of_all),
        T(test_further_deaths_prolong_nothing),
        T(test_it_ends_at_its_limit_and_the_next_packet_asks),
        T(test_one_that_was_on_its_way_is_one_too),
        T(test_address_that_another_peer_has_now_is_no_survivors),
        T(test_client_that_comes_from_another_port_has_what_is_for_him),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
