// SPDX-License-Identifier: Apache-2.0
// Long lists over VICI: page after page from the rooms, no faster than the client reads, and no more of it in
// ctl at a time than a page and a queue; a client that goes away in the middle leaves nothing behind.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrl/ctl/ctl.h"
#include "ctrl/lib/log.h"

enum { MANY = 40000 }; // IKE SAs: more than one answer ever held

static struct loop *loop;
static struct ctl *ctl;
static int room[ROOM_COUNT], client;
static uint8_t wire[IPC_MAX_MESSAGE];

// ---- what the client reads

static struct {
    uint8_t head[5]; // length and type
    size_t have;     // octets of it
    size_t body;     // octets still to come
    unsigned events, replies;
} in;

static void begin_body(void)
{
    in.body =
        ((size_t)in.head[0] << 24 | (size_t)in.head[1] << 16 | (size_t)in.head[2] << 8 | in.head[3]) - 1;
    in.events += in.head[4] == VICI_EVENT;
    in.replies += in.head[4] == VICI_CMD_RESPONSE;
    in.have = 0;
}

static void take(const uint8_t *p, size_t n)
{
    while (n) {
        if (in.body) {
            size_t part = n < in.body ? n : in.body;
            in.body -= part;
            p += part;
            n -= part;
            continue;
        }
        in.head[in.have++] = *p++;
        n--;
        if (in.have == sizeof(in.head))
            begin_body();
    }
}

static size_t client_reads(void)
{
    size_t sum = 0;
    for (ssize_t n; (n = recv(client, wire, sizeof(wire), 0)) > 0; sum += (size_t)n)
        take(wire, (size_t)n);
    return sum;
}

static void request(const char *name, const char *key, const char *value)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_REQUEST, name);
    if (key)
        vici_put(&o, key, value);
    assert_int_equal(vici_out_finish(&o), 0);
    assert_int_equal(send(client, o.data, o.len, 0), (ssize_t)o.len);
    vici_out_free(&o);
}

static void register_for(const char *event)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_EVENT_REGISTER, event);
    assert_int_equal(vici_out_finish(&o), 0);
    assert_int_equal(send(client, o.data, o.len, 0), (ssize_t)o.len);
    vici_out_free(&o);
}

// ---- the rooms' side

static void tell(enum room from, enum msg_type t, const void *m)
{
    static uint8_t buf[IPC_MAX_MESSAGE];
    struct writer w = writer_of(buf, sizeof(buf));
    msg_write(&w, t, m);
    assert_false(w.bad);
    while (send(room[from], w.p, w.len, 0) < 0) {
        assert_int_equal(errno, EAGAIN);
        loop_once(loop, 0);
    }
}

static bool asked(enum room from, union msg *m, enum msg_type t)
{
    ssize_t n = recv(room[from], wire, sizeof(wire), 0);
    if (n < 0)
        return false;
    assert_int_equal(msg_read(slice_of(wire, (size_t)n), m), t);
    return true;
}

static unsigned pages;

static void ike_page(const struct msg_IKE_LIST *m)
{
    uint32_t at = (uint32_t)m->from;
    assert_in_range(m->most, 1, LIST_PAGE_MAX);
    for (uint32_t i = 0; i < m->most / 2 && at < MANY; i++, at++) {
        struct msg_IKE_INFO ike = {.req = m->req, .conn = "gw", .id = at + 1, .state = "ESTABLISHED"};
        struct msg_CHILD_INFO child = {
            .req = m->req, .name = "net", .id = at + 1, .ike_id = at + 1, .state = "INSTALLED"};
        tell(ROOM_IKE, MSG_IKE_INFO, &ike);
        tell(ROOM_IKE, MSG_CHILD_INFO, &child);
    }
    pages++;
    if (at < MANY)
        tell(ROOM_IKE, MSG_LIST_MORE, &(struct msg_LIST_MORE){.req = m->req, .next = at});
    else
        tell(ROOM_IKE, MSG_RESULT, &(struct msg_RESULT){.req = m->req, .ok = 1});
}

static void path_page(const struct msg_PATH_LIST *m)
{
    struct reader r = reader_of(m->children);
    while (r.left) {
        struct msg_PATH_SA sa = {.req = m->req, .child_id = rd_u32(&r), .offload = "software"};
        tell(ROOM_PATH, MSG_PATH_SA, &sa);
    }
    tell(ROOM_PATH, MSG_RESULT, &(struct msg_RESULT){.req = m->req, .ok = 1});
}

static void policy_page(const struct msg_POLICY_LIST *m)
{
    uint32_t at = (uint32_t)m->from;
    for (uint32_t i = 0; i < 500 && at < MANY; i++, at++)
        tell(ROOM_PATH, MSG_POLICY_IS,
             &(struct msg_POLICY_IS){.req = m->req, .conn = "gw", .child = "net", .id = at});
    pages++;
    if (at < MANY)
        tell(ROOM_PATH, MSG_LIST_MORE, &(struct msg_LIST_MORE){.req = m->req, .next = at});
    else
        tell(ROOM_PATH, MSG_RESULT, &(struct msg_RESULT){.req = m->req, .ok = 1});
}

// Until nobody has anything to do any more but the client to read.
static void run_rooms(void)
{
    for (int idle = 0; idle < 5; idle++) {
        union msg m;
        loop_once(loop, 0);
        if (asked(ROOM_IKE, &m, MSG_IKE_LIST)) {
            ike_page(&m.IKE_LIST);
            idle = 0;
        }
        ssize_t n = recv(room[ROOM_PATH], wire, sizeof(wire), 0);
        if (n < 0)
            continue;
        idle = 0;
        if (msg_read(slice_of(wire, (size_t)n), &m) == MSG_PATH_LIST)
            path_page(&m.PATH_LIST);
        else
            policy_page(&m.POLICY_LIST);
    }
}

static int set_up(void **state)
{
    struct settings st;
    (void)state;
    log_set_all(-1);
    settings_default(&st);
    memset(&in, 0, sizeof(in));
    pages = 0;
    loop = loop_new();
    ctl = ctl_new(loop, &st);
    for (int r = 0; r < ROOM_COUNT; r++) {
        int pair[2];
        room[r] = -1;
        if (r == ROOM_CTL)
            continue;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair) < 0 ||
            ctl_connect(ctl, (enum room)r, pair[0]) < 0)
            return -1;
        room[r] = pair[1];
    }
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0 ||
        server_adopt(ctl->server, pair[0]) < 0)
        return -1;
    client = pair[1];
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ctl_free(ctl);
    loop_free(loop);
    if (client >= 0)
        close(client);
    for (int r = 0; r < ROOM_COUNT; r++)
        if (room[r] >= 0)
            close(room[r]);
    return 0;
}

// Lists, and reads nothing until ctl has stopped to ask; then all of it. Returns the pages asked for before
// that.
static unsigned list_slowly(void)
{
    run_rooms();
    unsigned before = pages;
    while (client_reads())
        run_rooms();
    assert_int_equal(in.replies, 1);
    assert_int_equal(server_counts(ctl->server).clients_dropped, 0);
    return before;
}

static void test_sas_are_asked_for_as_the_client_reads_them(void **state)
{
    (void)state;
    register_for("list-sa");
    request("list-sas", NULL, NULL);
    unsigned before = list_slowly();
    assert_int_equal(in.events, MANY);
    assert_in_range(before, 1, pages / 10); // a queue and a socket full, not the list
}

static void test_policies_are_asked_for_as_the_client_reads_them(void **state)
{
    (void)state;
    register_for("list-policy");
    request("list-policies", "trap", "yes");
    unsigned before = list_slowly();
    assert_int_equal(in.events, MANY);
    assert_in_range(before, 1, pages / 5);
}

static void test_connections_are_listed_as_the_client_reads_them(void **state)
{
    (void)state;
    struct conn_entry **end = &ctl->conns;
    for (unsigned i = 1; i <= 5000; i++, end = &(*end)->next) {
        *end = calloc(1, sizeof(**end));
        (*end)->number = i;
        snprintf((*end)->config.name, sizeof((*end)->config.name), "connection-%u", i);
    }
    register_for("list-conn");
    request("list-conns", NULL, NULL);
    run_rooms();
    struct conn_entry *gone = ctl->conns; // unloaded while the client does not read
    ctl->conns = gone->next;
    free(gone);
    list_slowly();
    assert_int_equal(in.events, 5000);
}

static void test_client_that_goes_away_ends_its_list(void **state)
{
    (void)state;
    register_for("list-sa");
    request("list-sas", NULL, NULL);
    run_rooms();
    unsigned before = pages;
    close(client);
    client = -1;
    run_rooms();
    assert_int_equal(pages, before);
    assert_int_equal(server_counts(ctl->server).clients, 0);
    assert_int_equal(ctl->pending_count, 0);
}

static void test_daemon_may_end_while_a_list_waits(void **state)
{
    (void)state;
    register_for("list-sa");
    request("list-sas", NULL, NULL);
    run_rooms();
    assert_int_equal(in.replies, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_sas_are_asked_for_as_the_client_reads_them),
        T(test_policies_are_asked_for_as_the_client_reads_them),
        T(test_connections_are_listed_as_the_client_reads_them),
        T(test_client_that_goes_away_ends_its_list),
        T(test_daemon_may_end_while_a_list_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
