// SPDX-License-Identifier: Apache-2.0
// A ctl that takes the place of one that died: what it asks the other rooms for before it serves, and what
// the dead one has left it.
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrl/ctl/names.h"
#include "ctrl/ctl/recover.h"
#include "tests/unit/ctl_rig.h"

static int file; // what outlives a ctl
static char dir[64], path[100];

static void take_over(void)
{
    ctl_keep(ctl, kept_map(dup(file)));
}

static int set_up(void **state)
{
    strcpy(dir, "/tmp/test_recover.XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/connections", dir);
    file = kept_new();
    if (file < 0 || ctl_set_up(state))
        return -1;
    take_over();
    return ctl_sweep_open(ctl, path);
}

static int tear_down(void **state)
{
    close(file);
    unlink(path);
    return ctl_tear_down(state) | rmdir(dir);
}

// It dies: what its clients and the other rooms' messages are about is over without a word.
static void killed(void)
{
    struct ctl_kept *last = kept_map(dup(file)), was = *last;
    void *state = NULL;
    assert_int_equal(ctl_tear_down(&state), 0);
    *last = was; // nothing was done in good order
    kept_free(last);
    assert_int_equal(ctl_set_up(&state), 0);
    take_over();
    assert_int_equal(ctl_sweep_open(ctl, path), 0);
}

static int listens(struct sockaddr_un *at)
{
    socklen_t len = sizeof(*at);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    *at = (struct sockaddr_un){.sun_family = AF_UNIX}; // a name of the kernel's choice
    assert_int_equal(bind(fd, (const struct sockaddr *)at, sizeof(at->sun_family)), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)at, &len), 0);
    return fd;
}

static struct sockaddr_un vici;

static uint32_t begins(void)
{
    ctl->listener = listens(&vici);
    tell(ROOM_SUPER, MSG_GO, &(struct msg_GO){0});
    return expect(ROOM_IKE, MSG_CONN_LIST).CONN_LIST.req;
}

static bool serves(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    size_t len = offsetof(struct sockaddr_un, sun_path) + 6; // \0 and five digits
    unsigned before = server_counts(ctl->server).clients;
    assert_int_equal(connect(fd, (const struct sockaddr *)&vici, (socklen_t)len), 0);
    turn();
    bool accepted = server_counts(ctl->server).clients > before;
    close(fd);
    turn();
    return accepted;
}

static void no_pools(void)
{
    result(ROOM_IKE, expect(ROOM_IKE, MSG_POOL_LIST).POOL_LIST.req, true, "");
}

// What ike was given.
struct given {
    struct msg_CONN_LOAD m;
    uint8_t conn[4096];
};
static void load(struct given *g, const char *name)
{
    send_conn(name, "none");
    union msg m = expect(ROOM_IKE, MSG_CONN_LOAD);
    *g = (struct given){.m = m.CONN_LOAD};
    assert_true(m.CONN_LOAD.conn.len <= sizeof(g->conn));
    memcpy(g->conn, m.CONN_LOAD.conn.p, m.CONN_LOAD.conn.len);
    g->m.conn.p = g->conn;
    result(ROOM_IKE, m.CONN_LOAD.req, true, "");
    expect_success();
}

static void is_loaded(const struct given *g, uint32_t req)
{
    tell(ROOM_IKE, MSG_CONN_IS, &(struct msg_CONN_IS){.req = req, .number = g->m.number, .conn = g->m.conn});
}

static void expect_conns(const char *first, const char *second)
{
    client = client < 0 ? join() : client;
    request("get-conns", NULL);
    const struct vici_node *n = vici_find(receive(client, VICI_CMD_RESPONSE, NULL), "conns")->child;
    assert_non_null(n);
    assert_string_equal((const char *)n->value, first);
    n = n->next;
    assert_true(!n == !second);
    if (second && n)
        assert_string_equal((const char *)n->value, second);
}

// ---- what is loaded

static void test_it_serves_when_it_knows_what_is_loaded(void **state)
{
    (void)state;
    struct given x, y;
    load(&x, "x");
    load(&y, "y");
    killed();
    uint32_t req = begins();
    expect_nothing(ROOM_SUPER);
    assert_false(serves());
    is_loaded(&y, req); // replaced since: behind the others for ike, in its place here
    is_loaded(&x, req);
    result(ROOM_IKE, req, true, "");
    assert_false(serves());
    no_pools();
    expect(ROOM_SUPER, MSG_SERVING);
    assert_true(serves());
    expect_conns("x", "y");
    send_conn("x", "none"); // as it is loaded: nothing for ike to do
    expect_success();
    assert_false(expect(ROOM_IKE, MSG_WHOLE).WHOLE.missing);
    expect_nothing(ROOM_IKE);
    struct given z;
    load(&z, "z"); // behind them
    assert_true(z.m.number > y.m.number);
    assert_null(strstr(conn_entry_name(ctl->conns), "z"));
    assert_string_equal(conn_entry_name(ctl->last_conn), "z");
}

static void test_list_comes_in_pages(void **state)
{
    (void)state;
    struct given x, y;
    load(&x, "x");
    load(&y, "y");
    killed();
    uint32_t req = begins();
    is_loaded(&x, req);
    tell(ROOM_IKE, MSG_LIST_MORE, &(struct msg_LIST_MORE){.req = req, .next = 77});
    union msg more = expect(ROOM_IKE, MSG_CONN_LIST);
    assert_int_equal(more.CONN_LIST.from, 77);
    is_loaded(&y, more.CONN_LIST.req);
    result(ROOM_IKE, more.CONN_LIST.req, true, "");
    no_pools();
    expect_conns("x", "y");
}

static void test_load_that_is_under_way_is_waited_for(void **state)
{
    (void)state;
    killed();
    result(ROOM_IKE, begins(), false, CONN_LIST_BUSY);
    expect_nothing(ROOM_IKE);
    now += RECOVER_AGAIN_MS;
    uint32_t req = expect(ROOM_IKE, MSG_CONN_LIST).CONN_LIST.req;
    result(ROOM_IKE, req, true, "");
    no_pools();
    expect(ROOM_SUPER, MSG_SERVING);
}

static void test_without_an_answer_it_ends_and_serves_nobody(void **state)
{
    (void)state;
    killed();
    begins();
    now += CTL_ANSWER_MS;
    turn();
    expect_nothing(ROOM_SUPER);
    assert_int_equal(ctl->status, 1);
    assert_true(loop_stopped(loop));
}

static void test_connection_that_cannot_be_read_is_no_list(void **state)
{
    (void)state;
    struct given x;
    load(&x, "x");
    killed();
    uint32_t req = begins();
    x.m.conn.len--;
    is_loaded(&x, req);
    result(ROOM_IKE, req, true, "");
    expect_nothing(ROOM_SUPER);
    assert_int_equal(ctl->status, 1);
}

static void test_metrics_are_told_nothing_before(void **state)
{
    (void)state;
    killed();
    begins();
    tell(ROOM_METRICS, MSG_METRICS_LIST, &(struct msg_METRICS_LIST){.req = 9, .what = METRICS_CONNS});
    union msg m = expect(ROOM_METRICS, MSG_RESULT);
    assert_int_equal(m.RESULT.req, 9);
    assert_false(m.RESULT.ok);
}

// ---- leases

// Each side may know of one that the other has not heard of.
static void test_leases_are_told_both_ways(void **state)
{
    (void)state;
    static const uint8_t ann[] = {2, 0, 0, 0, 'a', 'n', 'n'}, bob[] = {2, 0, 0, 0, 'b', 'o', 'b'};
    struct msg_LEASE of_ann = {
        .pool = "p", .address = {.family = 4, .a = {10, 3, 0, 1}}, .identity = slice_of(ann, sizeof(ann))};
    const struct msg_POOL_IS pool = {.name = "p"};
    snprintf(ctl->settings.pool_leases, sizeof(ctl->settings.pool_leases), "%s/leases", dir);
    tell(ROOM_IKE, MSG_LEASE, &of_ann);
    killed();
    snprintf(ctl->settings.pool_leases, sizeof(ctl->settings.pool_leases), "%s/leases", dir);
    result(ROOM_IKE, begins(), true, "");
    uint32_t req = expect(ROOM_IKE, MSG_POOL_LIST).POOL_LIST.req;
    struct msg_POOL_IS is = pool;
    is.req = req;
    tell(ROOM_IKE, MSG_POOL_IS, &is);
    union msg m = expect(ROOM_IKE, MSG_POOL_LEASES);
    assert_string_equal(m.POOL_LEASES.name, "p");
    assert_non_null(memmem(m.POOL_LEASES.leases.p, m.POOL_LEASES.leases.len, "ann", 3));
    struct msg_LEASE_IS of_bob = {
        .req = req, .address = {.family = 4, .a = {10, 3, 0, 2}}, .id = slice_of(bob, sizeof(bob))};
    tell(ROOM_IKE, MSG_LEASE_IS, &of_bob);
    result(ROOM_IKE, req, true, "");
    expect(ROOM_SUPER, MSG_SERVING);
    char text[200], file_of[120];
    snprintf(file_of, sizeof(file_of), "%s/leases", dir);
    FILE *f = fopen(file_of, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    text[n] = 0;
    fclose(f);
    unlink(file_of);
    assert_string_equal(text, "espalier leases 1\np 10.3.0.1 02000000616e6e\np 10.3.0.2 02000000626f62\n");
}

// ---- what is kept

static uint32_t asks(void)
{
    close(client);
    client = join();
    request("stats", NULL);
    return expect(ROOM_IKE, MSG_IKE_STATS).IKE_STATS.req;
}

// What was asked by the one before may be answered yet.
static void test_answer_to_the_last_one_is_not_taken_for_ours(void **state)
{
    (void)state;
    uint32_t before = asks();
    killed();
    assert_true(asks() > before);
}

static void load_secret(char *id)
{
    request("load-shared", "type", "IKE", "data", "secret", NULL);
    union msg m = expect(ROOM_KEYS, MSG_SECRET_LOAD);
    snprintf(id, NAME_MAX_LEN, "%s", m.SECRET_LOAD.id);
    result(ROOM_KEYS, m.SECRET_LOAD.req, true, "");
    expect_success();
}

static void test_secret_without_an_id_takes_no_other_ones_place(void **state)
{
    (void)state;
    char first[NAME_MAX_LEN], second[NAME_MAX_LEN];
    load_secret(first);
    killed();
    load_secret(second);
    assert_string_not_equal(first, second);
}

static void test_uptime_is_the_daemons(void **state)
{
    (void)state;
    int64_t began = ctl->kept->started;
    uint64_t ms = ctl->kept->started_ms;
    now += 5000;
    killed();
    assert_true(began > 0);
    assert_int_equal(ctl->kept->started, began);
    assert_int_equal(ctl->kept->started_ms, ms);
}

static void counted(const char *command, uint64_t value)
{
    char text[64];
    snprintf(text, sizeof(text), "retransmits %llu\n", (unsigned long long)value);
    request(command, NULL);
    uint32_t req = expect(ROOM_IKE, MSG_IKE_STATS).IKE_STATS.req;
    tell(ROOM_IKE, MSG_IKE_STATS_IS, &(struct msg_IKE_STATS_IS){.req = req, .counters = slice_str(text)});
    result(ROOM_IKE, req, true, "");
    result(ROOM_PATH, expect(ROOM_PATH, MSG_PATH_STATS).PATH_STATS.req, true, "");
}

static void test_counters_are_counted_from_where_they_were_reset(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        counted("reset-counters", 40 + round);
        expect_success();
        killed();
        counted("get-counters", 43 + round);
        const struct vici_node *n = vici_find(receive(client, VICI_CMD_RESPONSE, NULL), "counters");
        assert_value(n->child, "retransmits", "3");
    }
}

// Whoever wrote there last may have been broken into.
static void test_what_is_kept_may_be_anything(void **state)
{
    (void)state;
    ctl->kept->bank = 2; // so the first one is in use
    counted("reset-counters", 40);
    expect_success();
    assert_int_equal(ctl->kept->bank, 1); // and the other one was filled
    memset(ctl->kept, 0xff, sizeof(*ctl->kept));
    killed();
    request("version", NULL);
    assert_value(receive(client, VICI_CMD_RESPONSE, NULL), "daemon", "espalierd");
    assert_true(ctl->kept->swept && ctl->kept->crowded);
}

// ---- what cannot be had back

static void test_socket_that_somebody_shut_down_ends_it(void **state)
{
    (void)state;
    uint32_t req = begins();
    int shared = dup(ctl->listener);
    result(ROOM_IKE, req, true, "");
    no_pools();
    expect(ROOM_SUPER, MSG_SERVING);
    assert_int_equal(shutdown(shared, SHUT_RDWR), 0);
    turn();
    struct pollfd p = {.fd = loop_pollfd(loop), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0); // and does not keep it turning
    assert_false(loop_stopped(loop));    // as the daemon's end may do it
    now += CTL_ALONE_MS;
    turn();
    assert_true(loop_stopped(loop));
    assert_int_equal(ctl->status, 0);
    close(shared);
}

// ---- the sweep

static union msg swept(void)
{
    now += CTL_SWEEP_MS;
    turn();
    return expect(ROOM_PATH, MSG_SWEEP);
}

// Whether ike is told that it lacks what was loaded.
static bool recovers(const struct given *g)
{
    uint32_t req = begins();
    is_loaded(g, req);
    result(ROOM_IKE, req, true, "");
    no_pools();
    expect(ROOM_SUPER, MSG_SERVING);
    return expect(ROOM_IKE, MSG_WHOLE).WHOLE.missing;
}

static void test_client_that_loaded_when_it_died_has_not_loaded_all(void **state)
{
    (void)state;
    struct given x, y;
    load(&x, "x");
    killed();
    recovers(&x);
    assert_string_not_equal(swept().SWEEP.held, "");
    killed(); // once more, and nobody was there
    recovers(&x);
    assert_string_not_equal(swept().SWEEP.held, "");
    client = join();
    load(&y, "y"); // the whole, again
    assert_string_equal(swept().SWEEP.held, "");
}

static void test_client_that_went_before_it_died_has_loaded_all(void **state)
{
    (void)state;
    struct given x;
    load(&x, "x");
    close(client);
    turn();
    client = join();
    killed();
    recovers(&x);
    assert_string_equal(swept().SWEEP.held, "");
}

static void test_connection_that_was_awaited_is_awaited_still(void **state)
{
    (void)state;
    struct given x, y;
    load(&x, "x");
    load(&y, "y");
    close(client);
    turn();
    client = join();
    killed();
    recovers(&x);
    assert_string_equal(swept().SWEEP.held, "y");
    expect_conns("x", "y");
}

// The file went while it ran. What ike has is loaded: the sweep of the next run must wait for it.
static void test_connection_that_ike_has_is_written_down_again(void **state)
{
    struct given x;
    load(&x, "x");
    assert_int_equal(unlink(path), 0);
    killed();
    recovers(&x);
    assert_int_equal(ctl_tear_down(state), 0); // and the daemon with it
    assert_int_equal(ctl_set_up(state), 0);
    assert_int_equal(ctl_sweep_open(ctl, path), 0);
    expect_conns("x", NULL);
}

static void test_sweep_that_path_was_not_told_of_is_told_by_the_next(void **state)
{
    (void)state;
    struct given x;
    load(&x, "x");
    close(client); // it has loaded all
    turn();
    client = join();
    close(room[ROOM_PATH]);
    room[ROOM_PATH] = -1;
    now += CTL_SWEEP_MS;
    turn();
    killed();
    recovers(&x);
    assert_string_equal(swept().SWEEP.held, "");
}

// The one who died was to give ike, which followed another, what that had no memory for. This one knows its
// name alone: so ike knows that it lacks something, and a path that follows another, until it is loaded or
// unloaded by somebody.
static void missing_until(bool loaded)
{
    struct given x, y;
    load(&x, "x");
    load(&y, "y");
    assert_string_equal(swept().SWEEP.held, "");
    killed();
    assert_true(recovers(&x));
    expect(ROOM_PATH, MSG_SWEEP);
    expect_conns("x", "y");
    expect_nothing(ROOM_IKE);
    if (loaded) {
        load(&y, "y");
    } else {
        request("unload-conn", "name", "y", NULL);
        result(ROOM_IKE, expect(ROOM_IKE, MSG_CONN_UNLOAD).CONN_UNLOAD.req, true, ""); // path may have it
        expect_success();
    }
    assert_false(expect(ROOM_IKE, MSG_WHOLE).WHOLE.missing);
    expect_conns("x", loaded ? "y" : NULL);
    killed();
    assert_int_equal(recovers(&x), loaded); // ike does not say that it has it
}

static void test_connection_that_ike_has_not_again_is_missing_there_until_it_is_loaded(void **state)
{
    (void)state;
    missing_until(true);
}

// A load of it that is refused takes nothing away from what path may have of it.
static void test_connection_that_ike_has_not_again_and_refuses_is_missing_for_every_ctl(void **state)
{
    (void)state;
    struct given x, y;
    load(&x, "x");
    load(&y, "y");
    assert_string_equal(swept().SWEEP.held, "");
    killed();
    assert_true(recovers(&x));
    expect(ROOM_PATH, MSG_SWEEP);
    client = client < 0 ? join() : client;
    send_conn("y", "none");
    result(ROOM_IKE, expect(ROOM_IKE, MSG_CONN_LOAD).CONN_LOAD.req, false, "no memory");
    assert_non_null(receive(client, VICI_CMD_RESPONSE, NULL));
    expect_nothing(ROOM_IKE);
    killed();
    assert_true(recovers(&x));
}

static void test_connection_that_ike_has_not_again_is_missing_there_until_it_is_unloaded(void **state)
{
    (void)state;
    missing_until(false);
}

// Nothing of an earlier run is left that a refused one could mean.
static void test_after_the_sweep_nothing_is_awaited(void **state)
{
    (void)state;
    struct given x;
    load(&x, "x");
    assert_string_equal(swept().SWEEP.held, "");
    killed();
    recovers(&x);
    assert_string_equal(expect(ROOM_PATH, MSG_SWEEP).SWEEP.held, ""); // path may be another one
    now += CTL_SWEEP_MS;
    expect_nothing(ROOM_PATH);
    expect_conns("x", NULL);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(test_it_serves_when_it_knows_what_is_loaded),
        T(test_list_comes_in_pages),
        T(test_load_that_is_under_way_is_waited_for),
        T(test_without_an_answer_it_ends_and_serves_nobody),
        T(test_connection_that_cannot_be_read_is_no_list),
        T(test_metrics_are_told_nothing_before),
        T(test_leases_are_told_both_ways),
        T(test_answer_to_the_last_one_is_not_taken_for_ours),
        T(test_secret_without_an_id_takes_no_other_ones_place),
        T(test_uptime_is_the_daemons),
        T(test_counters_are_counted_from_where_they_were_reset),
        T(test_what_is_kept_may_be_anything),
        T(test_socket_that_somebody_shut_down_ends_it),
        T(test_client_that_loaded_when_it_died_has_not_loaded_all),
        T(test_client_that_went_before_it_died_has_loaded_all),
        T(test_connection_that_was_awaited_is_awaited_still),
        T(test_connection_that_ike_has_is_written_down_again),
        T(test_sweep_that_path_was_not_told_of_is_told_by_the_next),
        T(test_connection_that_ike_has_not_again_is_missing_there_until_it_is_loaded),
        T(test_connection_that_ike_has_not_again_is_missing_there_until_it_is_unloaded),
        T(test_connection_that_ike_has_not_again_and_refuses_is_missing_for_every_ctl),
        T(test_after_the_sweep_nothing_is_awaited),
    };
    return cmocka_run_group_tests_name("a ctl in the place of one that died", tests, NULL, NULL);
}
