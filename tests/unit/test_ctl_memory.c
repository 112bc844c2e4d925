// SPDX-License-Identifier: Apache-2.0
// The ctl room when memory runs out: at each allocation of load-conn, load-shared and list-sas the client is
// answered or let go of, what was loaded before stands, ctl and ike hold the same, and everything works when
// there is memory again.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/no_memory.h"
#include "tests/unit/vici_rig.h"

enum { LIMIT = 1000, WANTED = 5 };

static unsigned ike_dpd; // of the connection, as ike has it; 0: it has none
static unsigned secrets; // that keys has got

static void build_conn(struct vici_out *o, unsigned dpd)
{
    vici_out_begin(o, VICI_CMD_REQUEST, "load-conn");
    vici_section(o, "gw");
    vici_putf(o, "dpd_delay", "%us", dpd);
    vici_section(o, "local");
    vici_put(o, "auth", "psk");
    vici_put(o, "id", "a.test");
    vici_section_end(o);
    vici_section(o, "remote");
    vici_put(o, "auth", "psk");
    vici_section_end(o);
    vici_section(o, "children");
    vici_section(o, "net");
    vici_list(o, "remote_ts");
    vici_item(o, "10.2.0.0/16");
    vici_item(o, "10.3.0.0/16");
    vici_list_end(o);
    vici_section_end(o);
    vici_section_end(o);
    vici_section_end(o);
}

static void build_secret(struct vici_out *o, unsigned unused)
{
    (void)unused;
    vici_out_begin(o, VICI_CMD_REQUEST, "load-shared");
    vici_put(o, "id", "x");
    vici_put(o, "type", "ike");
    vici_put(o, "data", "a secret");
    vici_list(o, "owners");
    vici_item(o, "a.test");
    vici_item(o, "b.test");
    vici_list_end(o);
}

static void build_list(struct vici_out *o, unsigned unused)
{
    (void)unused;
    vici_out_begin(o, VICI_CMD_REQUEST, "list-sas");
}

static void conn_loaded(const struct msg_CONN_LOAD *m)
{
    static struct conn_config got;
    struct reader r = reader_of(m->conn);
    assert_true(conn_read(&r, &got));
    ike_dpd = got.dpd_delay;
    conn_clear(&got);
}

// The other rooms have memory: they do what they are asked for.
static void serve_rooms(void)
{
    static uint8_t asked_ike[IPC_MAX_MESSAGE];
    for (int idle = 0; idle < 5; idle++) {
        union msg m;
        loop_once(loop, 0);
        unsigned paused = no_memory_pause();
        for (int r = ROOM_IKE; r < ROOM_COUNT; r++) {
            ssize_t n = room[r] < 0 ? -1 : recv(room[r], asked_ike, sizeof(asked_ike), MSG_DONTWAIT);
            if (n < 0)
                continue;
            idle = 0;
            enum msg_type t = msg_read(slice_of(asked_ike, (size_t)n), &m);
            if (t == MSG_LISTEN) // asks for nothing
                continue;
            if (t == MSG_CONN_LOAD)
                conn_loaded(&m.CONN_LOAD);
            secrets += t == MSG_SECRET_LOAD;
            uint32_t q = m.CONN_LOAD.req; // all begin with it
            if (t == MSG_IKE_LIST) {
                tell(ROOM_IKE, MSG_IKE_INFO,
                     &(struct msg_IKE_INFO){.req = q, .conn = "gw", .id = 1, .state = "ESTABLISHED"});
                tell(ROOM_IKE, MSG_CHILD_INFO,
                     &(struct msg_CHILD_INFO){.req = q, .name = "net", .id = 2, .ike_id = 1});
            } else if (t == MSG_PATH_LIST) {
                tell(ROOM_PATH, MSG_PATH_SA,
                     &(struct msg_PATH_SA){.req = q, .child_id = 2, .offload = "software"});
            }
            tell((enum room)r, MSG_RESULT, &(struct msg_RESULT){.req = q, .ok = 1});
        }
        no_memory_go_on(paused);
    }
}

static void send_command(void (*build)(struct vici_out *o, unsigned arg), unsigned arg)
{
    struct vici_out o;
    build(&o, arg);
    assert_int_equal(vici_out_finish(&o), 0);
    assert_int_equal(send(client, o.data, o.len, 0), (ssize_t)o.len);
    vici_out_free(&o);
}

// Answered, or the client is gone; what came of it is looked at by whoever asks. Back with a client that is
// served.
static bool settle(void)
{
    serve_rooms();
    client_reads();
    bool answered = in.replies > 0;
    if (!answered) {
        assert_int_equal(server_counts(ctl->server).clients, 0);
        close(client);
        assert_true(client_joins());
    }
    in.replies = in.events = 0;
    assert_int_equal(ctl->pending_count, 0);
    return answered;
}

static unsigned ctl_dpd(void)
{
    const struct conn_entry *e = ctl_find_conn(ctl, "gw");
    struct conn_config cfg;
    if (!e)
        return 0;
    assert_true(ctl_read_conn(e, &cfg));
    unsigned delay = cfg.dpd_delay;
    conn_clear(&cfg);
    return delay;
}

struct outcome {
    unsigned tried, refused; // refused: nothing has changed
};

static void check_conn(struct outcome *o)
{
    assert_int_equal(ctl_dpd(), ike_dpd); // both have the new one, or both the old one
    assert_true(ike_dpd == 10 || ike_dpd == 20);
    o->refused += ike_dpd == 10;
    send_command(build_conn, 20);
    assert_true(settle());
    assert_int_equal(ctl_dpd(), 20);
    assert_int_equal(ike_dpd, 20);
}

static void check_secret(struct outcome *o)
{
    o->refused += secrets == 0;
    unsigned before = secrets;
    send_command(build_secret, 0);
    assert_true(settle());
    assert_int_equal(secrets, before + 1);
}

static void check_list(struct outcome *o)
{
    (void)o;
    register_for("list-sa");
    serve_rooms();
    client_reads();
    in.events = in.replies = 0;
    send_command(build_list, 0);
    serve_rooms();
    client_reads();
    assert_int_equal(in.events, 1);
    assert_int_equal(in.replies, 1);
}

// The heap of timers has room: without it a room ends, as documented in loop.c.
static void keep_timers(void)
{
    static struct timer t;
    t = (struct timer){0};
    timer_set(loop, &t, UINT64_MAX / 2);
}

static struct outcome each_with(void (*no_memory)(unsigned n),
                                void (*build)(struct vici_out *o, unsigned arg),
                                void (*check)(struct outcome *o))
{
    struct outcome o = {0, 0};
    bool failed = true;
    while (failed && o.tried < LIMIT) {
        assert_int_equal(vici_set_up(NULL), 0);
        keep_timers();
        secrets = ike_dpd = 0;
        send_command(build_conn, 10);
        assert_true(settle());
        assert_int_equal(ike_dpd, 10);
        register_for("list-sa");
        serve_rooms();
        client_reads();
        send_command(build, 20);
        in.replies = in.events = 0;
        no_memory(++o.tried);
        serve_rooms();
        failed = no_memory_end();
        bool answered = settle();
        assert_true(answered || failed);
        check(&o);
        vici_tear_down(NULL);
    }
    assert_false(failed);
    print_message("each of %u allocations failed%s, %u times nothing had changed\n", o.tried - 1,
                  no_memory == no_memory_at ? "" : " with all behind it", o.refused);
    return o;
}

static struct outcome each_allocation(void (*build)(struct vici_out *o, unsigned arg),
                                      void (*check)(struct outcome *o))
{
    (void)each_with(no_memory_from, build, check);
    return each_with(no_memory_at, build, check);
}

static void test_connection_that_cannot_be_loaded_leaves_the_one_before(void **state)
{
    (void)state;
    assert_in_range(each_allocation(build_conn, check_conn).refused, WANTED, LIMIT);
}

static void test_secret_that_cannot_be_passed_on_is_refused(void **state)
{
    (void)state;
    assert_in_range(each_allocation(build_secret, check_secret).refused, WANTED, LIMIT);
}

static void test_list_without_memory_ends_and_the_next_one_is_whole(void **state)
{
    (void)state;
    assert_in_range(each_allocation(build_list, check_list).tried, WANTED, LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connection_that_cannot_be_loaded_leaves_the_one_before),
        cmocka_unit_test(test_secret_that_cannot_be_passed_on_is_refused),
        cmocka_unit_test(test_list_without_memory_ends_and_the_next_one_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
