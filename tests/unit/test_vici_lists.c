// SPDX-License-Identifier: Apache-2.0
// Long lists over VICI: page after page from the rooms, no faster than the client reads, and no more of it in
// ctl at a time than a page and a queue; a client that goes away in the middle leaves nothing behind.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/vici_rig.h"

enum { MANY = 40000 }; // IKE SAs: more than one answer ever held

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
        enum msg_type t = msg_read(slice_of(wire, (size_t)n), &m);
        if (t == MSG_PATH_LIST)
            path_page(&m.PATH_LIST);
        else if (t == MSG_POLICY_LIST)
            policy_page(&m.POLICY_LIST);
    }
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

static int set_up(void **state)
{
    pages = 0;
    return vici_set_up(state);
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

static struct conn_entry *conn_kept(const struct conn_config *cfg)
{
    static uint8_t out[4096];
    struct writer w = writer_of(out, sizeof(out));
    conn_write(&w, cfg);
    struct conn_entry *e = ctl_new_conn(cfg, wr_written(&w));
    assert_non_null(e);
    return e;
}

static void test_connections_are_listed_as_the_client_reads_them(void **state)
{
    (void)state;
    struct conn_entry **end = &ctl->conns;
    for (unsigned i = 1; i <= 5000; i++, end = &(*end)->next) {
        char name[30];
        struct conn_config cfg = {.name = name};
        snprintf(name, sizeof(name), "connection-%u", i);
        *end = conn_kept(&cfg);
        (*end)->number = i;
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
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, vici_tear_down)
    const struct CMUnitTest tests[] = {
        T(test_sas_are_asked_for_as_the_client_reads_them),
        T(test_policies_are_asked_for_as_the_client_reads_them),
        T(test_connections_are_listed_as_the_client_reads_them),
        T(test_client_that_goes_away_ends_its_list),
        T(test_daemon_may_end_while_a_list_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
