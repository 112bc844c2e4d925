// SPDX-License-Identifier: Apache-2.0
// No memory, at each allocation in turn, while path loads policies and installs SAs: what was asked for is
// refused by name, nothing else has changed, nothing leaves in clear, and the next request finds all in
// order.
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/unit/no_memory.h"
#include "tests/unit/path_rig.h"

enum { LIMIT = 2000, WANTED = 8 }; // allocations that are tried; fewer than WANTED would be no test

static unsigned listed(struct rig *r, struct msg_POLICY_IS *out, unsigned max)
{
    uint8_t buf[16384];
    union msg m;
    ssize_t len;
    unsigned n = 0;
    memset(out, 0, max * sizeof(*out));
    policy_list(r->p, &(struct msg_POLICY_LIST){.req = 5});
    while ((len = recv(r->ctl, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
        if (msg_read(slice_of(buf, (size_t)len), &m) == MSG_POLICY_IS && n < max)
            out[n++] = m.POLICY_IS;
    return n;
}

static void send_one(struct rig *r, const char *dst)
{
    rig_out_packet(r,
                   &(struct rig_packet){.src = "10.1.0.1", .dst = dst, .proto = 17, .dport = 5, .number = 1});
}

static void expect_nothing_in_clear(struct rig *r)
{
    unsigned sent = r->sent_count;
    send_one(r, "10.2.0.1");
    assert_int_equal(r->past_count, 0);
    r->seen += r->sent_count - sent;
}

// A renamed one takes over the SA of the old one, and where it cannot, both stay in force: what the SA
// carries goes on either way.
static void test_takeover_without_memory_leaves_both_in_force(void **state)
{
    (void)state;
    struct policy_spec renamed = rig_spec(7, "renamed", "10.1.0.0/16", "10.2.0.0/16");
    struct msg_POLICY_IS is[16];
    char text[400];
    unsigned n = 0, both = 0;
    for (bool failed = true; failed && n++ < LIMIT;) {
        struct rig *r;
        assert_int_equal(rig_up((void **)&r), 0);
        rig_must_install(r, 1, OFFLOAD_NO, "software");
        struct msg_CHILD narrow = rig_child(r, 2);
        narrow.remote_ts = rig_list("10.2.7.0/24");
        rig_must_install_child(r, &narrow);

        no_memory_from(n);
        bool ok = rig_apply(r, "rig", &renamed, 1, text, sizeof(text));
        failed = no_memory_end();
        assert_true(ok || failed);
        unsigned count = listed(r, is, 16);
        assert_true(count == 2 || (ok && count == 3)); // with the narrowed SA's own
        both += count == 3;
        rig_out(r, 0, 10);
        rig_expect(r, 0, 10);
        expect_nothing_in_clear(r);
        rig_in(r, 0x1001, "10.2.0.1", 5);
        assert_int_equal(rig_read(r), 5);
        rig_in(r, 0x1002, "10.2.7.1", 6);
        assert_int_equal(rig_read(r), 6);
        sadb_delete(r->p, 1);
        sadb_delete(r->p, 2);
        rig_turn(r);
        assert_int_equal(r->p->spd.instances.count, 0);
        assert_int_equal(r->p->spd.by_id.count, 1);
        expect_nothing_in_clear(r);
        void *end = r;
        assert_int_equal(rig_down(&end), 0);
    }
    assert_in_range(n, WANTED, LIMIT - 1);
    assert_true(both > 0);
}

// One that has an SA, one that is edited, one that goes, one that comes.
static void test_load_without_memory_changes_nothing(void **state)
{
    struct policy_spec before[] = {rig_spec(2, "edited", "10.1.0.0/16", "10.3.0.0/16[17/1000-1999]"),
                                   rig_spec(3, "gone", "10.1.0.0/16", "10.4.0.0/16,10.5.0.0/16")};
    struct policy_spec after[] = {rig_spec(4, "edited", "10.1.0.0/16", "10.3.0.0/16[17/1000-2999]"),
                                  rig_spec(5, "new", "10.1.0.0/16,fd01::/64", "10.6.0.0/24,fd02::/64")};
    struct msg_POLICY_IS was[16], is[16];
    char text[400];
    unsigned n = 0, refused = 0;
    bool ok, failed = true;
    while (failed && n++ < LIMIT) { // some it can do without
        struct rig *r;
        assert_int_equal(rig_up((void **)&r), 0);
        rig_must_install(r, 1, OFFLOAD_NO, "software");
        rig_must_apply(r, "other", before, 2);
        unsigned count = listed(r, was, 16);
        int blocks = fake_blocks, routes = fake_routes;

        no_memory_at(n);
        ok = rig_apply(r, "other", after, 2, text, sizeof(text));
        failed = no_memory_end();
        assert_true(ok || failed);
        if (!ok) {
            refused++;
            assert_non_null(strstr(text, "memory"));
            assert_null(strstr(text, "malformed"));
            assert_int_equal(listed(r, is, 16), count);
            assert_memory_equal(is, was, sizeof(is));
            assert_int_equal(fake_blocks, blocks);
            assert_int_equal(fake_routes, routes);
            rig_must_apply(r, "other", after, 2);
        }
        assert_int_equal(listed(r, is, 16), 3);
        rig_out(r, 0, 10);
        rig_expect(r, 0, 10);
        expect_nothing_in_clear(r);
        void *end = r;
        assert_int_equal(rig_down(&end), 0);
    }
    assert_false(failed);
    assert_in_range(refused, WANTED, LIMIT);
    print_message("a load met each of %u allocations failing, and was refused at %u\n", n - 1, refused);
    (void)state;
}

// Of an SA that serves a part of its policy, so that an instance of that policy is made too.
static void test_install_without_memory_leaves_nothing_behind(void **state)
{
    unsigned n = 0;
    bool ok = false;
    (void)state;
    while (!ok && n++ < LIMIT) {
        struct rig *r;
        struct msg_POLICY_IS list[16];
        char text[400];
        assert_int_equal(rig_up((void **)&r), 0);
        struct msg_CHILD c = rig_child(r, 1);
        c.remote_ts = rig_list("10.2.0.0/24");
        int blocks = fake_blocks, routes = fake_routes;

        no_memory_at(n);
        rig_ask_for_child(r, &c);
        rig_turn(r);
        bool failed = no_memory_end();
        assert_true(rig_result(r, &ok, text, sizeof(text)));
        if (!ok) {
            assert_true(failed);
            assert_null(sadb_by_id(r->p, 1));
            assert_int_equal(listed(r, list, 16), 1);
            assert_int_equal(list[0].sa_count, 0);
            assert_int_equal(fake_blocks, blocks);
            assert_int_equal(fake_routes, routes);
            expect_nothing_in_clear(r);
            rig_ask_for_child(r, &c);
            rig_turn(r);
            assert_true(rig_result(r, &ok, text, sizeof(text)) && ok);
            ok = false;
        }
        unsigned sent = r->sent_count;
        send_one(r, "10.2.0.1");
        assert_int_equal(r->sent_count, sent + 1);
        assert_int_equal(r->past_count, 0);
        r->seen = r->sent_count;
        void *end = r;
        assert_int_equal(rig_down(&end), 0);
        if (ok && failed)
            ok = false; // it did without: on to the next one
    }
    assert_in_range(n, 4, LIMIT);
    print_message("an installation met each of %u allocations failing\n", n - 1);
}

// An equal policy for another peer has an SA now. Where it cannot take the place of the old one, what either
// peer sends is let in all the same, and what is sent is sent.
static void test_another_peers_sa_without_memory_loses_nothing(void **state)
{
    (void)state;
    struct policy_spec other = rig_spec(7, "net", "10.1.0.0/16", "10.2.0.0/16");
    struct msg_POLICY_IS is[16];
    char text[400];
    unsigned n = 0, both = 0;
    for (bool failed = true; failed && n++ < LIMIT;) {
        struct rig *r;
        bool ok;
        assert_int_equal(rig_up((void **)&r), 0);
        rig_must_install(r, 1, OFFLOAD_NO, "software");
        r->conn_peer = 2;
        rig_must_apply(r, "rig", &other, 1);
        struct msg_CHILD c = rig_child(r, 3);
        c.policy_id = 7;
        no_memory_at(n);
        rig_ask_for_child(r, &c);
        rig_turn(r);
        failed = no_memory_end();
        assert_true(rig_result(r, &ok, text, sizeof(text)) && (ok || failed));
        if (ok) {
            both += listed(r, is, 16) == 2;
            rig_in(r, 0x1003, "10.2.0.1", 6);
            assert_int_equal(rig_read(r), 6);
        }
        rig_in(r, 0x1001, "10.2.0.1", 5);
        assert_int_equal(rig_read(r), 5);
        unsigned sent = r->sent_count;
        expect_nothing_in_clear(r);
        assert_int_equal(r->sent_count, sent + 1);
        void *end = r;
        assert_int_equal(rig_down(&end), 0);
    }
    assert_in_range(n, 7, LIMIT); // an SA of the software engine is one allocation
    assert_true(both > 0);
    print_message("another peer's SA met each of %u allocations failing, %u of a takeover's\n", n - 1, both);
}

// A card comes: an SA goes there with the window of what it has received, or stays where it is. Nothing is
// let in twice.
static void test_sa_without_room_for_its_window_stays_in_software(void **state)
{
    (void)state;
    unsigned n = 0, stayed = 0;
    for (bool failed = true; failed && n++ < LIMIT;) {
        struct rig *r;
        assert_int_equal(rig_up((void **)&r), 0);
        rig_must_install(r, 1, OFFLOAD_AUTO, "software");
        rig_in(r, 0x1001, "10.2.0.1", 5);
        assert_int_equal(rig_read(r), 5);
        fake_init(&r->card);
        fake_plug(&r->card);
        no_memory_at(n);
        card_scan(r->p);
        failed = no_memory_end();
        for (int i = 0; i < 5; i++)
            rig_turn(r);
        const char *where = child_offload(r->p->children);
        assert_true(failed || strcmp(where, "card") == 0);
        stayed += path_card(r->p) && strcmp(where, "software") == 0;
        rig_datagram(r, r->last_in, r->last_in_len);
        assert_int_equal(rig_read(r), UINT32_MAX);
        assert_int_equal(r->p->worker->drop_in[ESP_STATUS_REPLAY_SEEN], 1);
        rig_in(r, 0x1001, "10.2.0.1", 6);
        assert_int_equal(rig_read(r), 6);
        void *end = r;
        assert_int_equal(rig_down(&end), 0);
    }
    assert_true(n < LIMIT);
    assert_true(stayed > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_peers_sa_without_memory_loses_nothing),
        cmocka_unit_test(test_takeover_without_memory_leaves_both_in_force),
        cmocka_unit_test(test_load_without_memory_changes_nothing),
        cmocka_unit_test(test_install_without_memory_leaves_nothing_behind),
        cmocka_unit_test(test_sa_without_room_for_its_window_stays_in_software),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
