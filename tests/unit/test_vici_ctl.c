// SPDX-License-Identifier: Apache-2.0
// The ctl process between a VICI client and the other rooms: connections, counters, and that a client always
// gets an answer even when a room does not.
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ctl/leases.h"
#include "ctrl/lib/conn_diff.h"
#include "ctrl/lib/conn_fields.h"
#include "ctrl/lib/log.h"
#include "tests/unit/ctl_rig.h"

// ---- connections

// All that is allocated for one, its places in the tables and the gaps of malloc among it.
static void test_a_loaded_connection_is_small(void **state)
{
    enum { FIRST = 500, SOME = 1000, MOST_OCTETS = 430 };
    char name[20];
    size_t before = 0;
    (void)state;
    for (unsigned i = 0; i < FIRST + SOME; i++) {
        if (i == FIRST)
            before = mallinfo2().uordblks + mallinfo2().hblkhd;
        snprintf(name, sizeof(name), "device-%05u", i);
        load_conn(name);
    }
    size_t octets = mallinfo2().uordblks + mallinfo2().hblkhd - before;
    print_message("ctl: %zu octets a loaded connection\n", octets / SOME);
    assert_true(octets <= (size_t)SOME * MOST_OCTETS);
}

static void test_load_conn_is_kept_when_ike_takes_it(void **state)
{
    (void)state;
    static struct conn_config got;
    send_conn("gw", "none");
    union msg m = expect(ROOM_IKE, MSG_CONN_LOAD);
    struct reader r = reader_of(m.CONN_LOAD.conn);
    assert_true(conn_read(&r, &got));
    assert_string_equal(got.name, "gw");
    conn_clear(&got);
    no_answer_yet(client);
    result(ROOM_IKE, m.CONN_LOAD.req, true, "");
    expect_success();
    request("get-conns", NULL);
    assert_string_equal(vici_text(vici_find(receive(client, VICI_CMD_RESPONSE, NULL), "conns")->child), "gw");
    request("unload-conn", "name", "gw", NULL);
    m = expect(ROOM_IKE, MSG_CONN_UNLOAD);
    assert_string_equal(m.CONN_UNLOAD.conn, "gw");
    result(ROOM_IKE, m.CONN_UNLOAD.req, true, "");
    expect_success();
    request("get-conns", NULL);
    assert_null(vici_find(receive(client, VICI_CMD_RESPONSE, NULL), "conns")->child);
    request("unload-conn", "name", "gw", NULL);
    expect_error("'gw' not found");
}

static void test_load_conn_refused_tells_every_fault(void **state)
{
    (void)state;
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_REQUEST, "load-conn");
    vici_section(&o, "gw");
    vici_put(&o, "encap", "perhaps");
    vici_put(&o, "frobnicate", "1");
    vici_section_end(&o);
    send_out(client, &o);
    expect_error("4 faults, config discarded (all are in the log): "
                 "gw: invalid value for: encap: 'perhaps', expected yes or no; "
                 "gw: unknown option: frobnicate; "
                 "gw: local is missing");
    vici_out_begin(&o, VICI_CMD_REQUEST, "load-conn");
    vici_section(&o, "gw");
    for (int i = 0; i < 1000; i++) {
        char name[16];
        snprintf(name, sizeof(name), "x%d", i);
        vici_put(&o, name, "1");
    }
    vici_section_end(&o);
    send_out(client, &o);
    expect_error("1002 faults, config discarded");
    request("unload-conn", "name", "z\xc3\xbcrich\n", NULL);
    expect_error("connection 'z??rich?' not found");
}

static void put_auth(struct vici_out *o, const char *side, const char *id)
{
    vici_section(o, side);
    vici_put(o, "auth", "psk");
    if (id)
        vici_put(o, "id", id);
    vici_section_end(o);
}

// What was refused and what is to be done stands at its end. Longer than a kilobyte, it ends behind a word.
static void test_errmsg_is_whole(void **state)
{
    char text[1200] = "";
    struct esp_error err;
    (void)state;
    for (unsigned i = 0; i < 120; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%sword%03u", i ? " " : "", i);
    send_conn("gw", "none");
    result(ROOM_IKE, expect(ROOM_IKE, MSG_CONN_LOAD).CONN_LOAD.req, false, text);
    assert_value(receive(client, VICI_CMD_RESPONSE, NULL), "errmsg", text);
    esp_fail(&err, -EINVAL, "x", "%s", text);
    assert_string_equal(err.text + strlen(err.text) - 12, " word023 ...");
    esp_fail(&err, -EINVAL, "x", "%.199s", text);
    assert_memory_equal(err.text, text, 199); // just as long as there is room
}

// The same network on both sides of a child whose names are long.
static void test_fault_is_told_with_what_is_to_be_done(void **state)
{
    char name[200];
    struct vici_out o;
    (void)state;
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    vici_out_begin(&o, VICI_CMD_REQUEST, "load-conn");
    vici_section(&o, "gw");
    put_auth(&o, "local", NULL);
    put_auth(&o, "remote", NULL);
    vici_section(&o, "children");
    vici_section(&o, name);
    for (int i = 0; i < 2; i++) {
        vici_list(&o, i ? "remote_ts" : "local_ts");
        vici_item(&o, "0.0.0.0/0");
        vici_list_end(&o);
    }
    vici_section_end(&o);
    vici_section_end(&o);
    vici_section_end(&o);
    send_out(client, &o);
    expect_error("set if_id_in and if_id_out, or narrow local_ts, config discarded");
}

// ---- compare-conn

// As send_conn has it, but for what is given.
static void compare_conn(const char *name, const char *key, const char *value, const char *child_key,
                         const char *child_value, const char *id, const char *child)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_REQUEST, "compare-conn");
    vici_section(&o, name);
    if (key)
        vici_put(&o, key, value);
    put_auth(&o, "local", NULL);
    put_auth(&o, "remote", id);
    vici_section(&o, "children");
    vici_section(&o, child);
    vici_put(&o, "start_action", "none");
    if (child_key)
        vici_put(&o, child_key, child_value);
    vici_section_end(&o);
    vici_section_end(&o);
    vici_section_end(&o);
    send_out(client, &o);
}

static void expect_keys(const char *loaded, const char *keys)
{
    char got[200] = "";
    const struct vici_node *n = receive(client, VICI_CMD_RESPONSE, NULL), *list = vici_find(n, "keys");
    assert_value(n, "success", "yes");
    assert_value(n, "loaded", loaded);
    for (const struct vici_node *k = list ? list->child : NULL; k; k = k->next)
        snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", got[0] ? " " : "", vici_text(k));
    assert_string_equal(got, keys);
    expect_nothing(ROOM_IKE);
}

static void test_compare_conn_tells_what_a_load_would_change_and_loads_nothing(void **state)
{
    (void)state;
    load_conn("gw");
    compare_conn("new", NULL, NULL, NULL, NULL, NULL, "net");
    expect_keys("no", "");
    compare_conn("gw", NULL, NULL, NULL, NULL, NULL, "net");
    expect_keys("yes", "");
    compare_conn("gw", "remote_addrs", "192.0.2.1", "esp_proposals", "aes128gcm16", "east", "net");
    expect_keys("yes", "remote_addrs remote children.net.esp_proposals");
    compare_conn("gw", "dpd_delay", "7s", "inactivity", "77s", NULL, "net");
    expect_keys("yes", "dpd_delay children.net.inactivity");
    compare_conn("gw", "proposals", "aes256-sha256-x25519", "mode", "drop", NULL, "net");
    expect_keys("yes", "proposals children.net.mode");
    compare_conn("gw", NULL, NULL, NULL, NULL, NULL, "other");
    expect_keys("yes", "children.net children.other");
    compare_conn("gw", "frobnicate", "1", NULL, NULL, NULL, "net");
    expect_error("unknown option: frobnicate");
    compare_conn("gw", NULL, NULL, NULL, NULL, NULL, "net"); // it is as it was
    expect_keys("yes", "");
}

static void count_key(void *ctx, const char *key)
{
    (void)key;
    ++*(unsigned *)ctx;
}

// No field is left out: what one differs in is told by one key.
static void test_comparison_tells_of_each_number_that_a_file_has(void **state)
{
    static struct child_config a_child = {.name = "net"}, b_child = {.name = "net"};
    struct conn_config a = {.name = "gw", .ppk_id = "", .child_count = 1, .children = &a_child}, b = a;
    struct ts_list none = {0};
    unsigned told = 0;
    (void)state;
    a.local.id = a.remote.id = b.local.id = b.remote.id = "";
    a_child.local_ts = a_child.remote_ts = b_child.local_ts = b_child.remote_ts = &none;
    b.children = &b_child;
    conn_diff(&a, &b, count_key, &told);
    assert_int_equal(told, 0);
#define F(bits, field)                                                                                       \
    b.field++;                                                                                               \
    told = 0;                                                                                                \
    conn_diff(&a, &b, count_key, &told);                                                                     \
    assert_int_equal(told, strcmp(#field, "fence") != 0);                                                    \
    b.field--;
    CONN_SCALARS(F)
#undef F
#define F(bits, field)                                                                                       \
    b_child.field++;                                                                                         \
    told = 0;                                                                                                \
    conn_diff(&a, &b, count_key, &told);                                                                     \
    assert_int_equal(told, 1);                                                                               \
    b_child.field--;
    CHILD_SCALARS(F)
#undef F
}

static void test_load_conn_refused_by_ike_is_not_kept(void **state)
{
    (void)state;
    send_conn("gw", "start");
    result(ROOM_IKE, expect(ROOM_IKE, MSG_CONN_LOAD).CONN_LOAD.req, false, "no such thing");
    expect_error("no such thing");
    register_for(client, "list-conn");
    request("list-conns", NULL);
    receive(client, VICI_CMD_RESPONSE, NULL); // and no event before it
    expect_nothing(ROOM_IKE);                 // nothing is started
}

// Where the client asks for that; stock clients do not, and ike is not asked.
static void test_list_conns_tells_of_tries_whom_asks_for_them(void **state)
{
    (void)state;
    load_conn("gw");
    load_conn("other");
    register_for(client, "list-conn");
    request("list-conns", "tries", "yes", NULL);
    union msg m = expect(ROOM_IKE, MSG_COUNTS_LIST);
    assert_int_equal(m.COUNTS_LIST.names.len, 2 + 2 + 2 + 5);
    uint32_t req = m.COUNTS_LIST.req;
    tell(ROOM_IKE, MSG_CHILD_COUNTS,
         &(struct msg_CHILD_COUNTS){
             .req = req, .conn = "gw", .child = "net", .failures = 3, .next_ms = 11001});
    tell(ROOM_IKE, MSG_CHILD_COUNTS,
         &(struct msg_CHILD_COUNTS){.req = req, .conn = "other", .child = "net", .next_ms = UINT32_MAX});
    result(ROOM_IKE, req, true, "");
    const struct vici_node *gw = vici_find(receive(client, VICI_EVENT, "list-conn"), "gw");
    assert_value(vici_find(vici_find(gw, "children"), "net"), "failures", "3");
    assert_value(vici_find(vici_find(gw, "children"), "net"), "next-try", "12");
    const struct vici_node *other = vici_find(receive(client, VICI_EVENT, "list-conn"), "other");
    assert_null(vici_find(vici_find(vici_find(other, "children"), "net"), "failures"));
    receive(client, VICI_CMD_RESPONSE, NULL);
    request("list-conns", "tries", "yes", NULL); // an ike that cannot say
    result(ROOM_IKE, expect(ROOM_IKE, MSG_COUNTS_LIST).COUNTS_LIST.req, false, "no");
    for (int i = 0; i < 2; i++)
        receive(client, VICI_EVENT, "list-conn");
    receive(client, VICI_CMD_RESPONSE, NULL);
    request("list-conns", NULL);
    for (int i = 0; i < 2; i++)
        receive(client, VICI_EVENT, "list-conn");
    receive(client, VICI_CMD_RESPONSE, NULL);
    expect_nothing(ROOM_IKE);
}

// One owner: ike starts what start_action asks for, ctl does not.
static void test_load_conn_with_start_action_leaves_starting_to_ike(void **state)
{
    (void)state;
    send_conn("gw", "start");
    result(ROOM_IKE, expect(ROOM_IKE, MSG_CONN_LOAD).CONN_LOAD.req, true, "");
    expect_success();
    expect_nothing(ROOM_IKE);
}

static void test_load_conn_replaces_one_of_the_same_name(void **state)
{
    (void)state;
    load_conn("gw");
    load_conn("other");
    send_conn("gw", "trap");
    result(ROOM_IKE, expect(ROOM_IKE, MSG_CONN_LOAD).CONN_LOAD.req, true, "");
    expect_success();
    request("get-conns", NULL);
    const struct vici_node *n = vici_find(receive(client, VICI_CMD_RESPONSE, NULL), "conns")->child;
    assert_string_equal(vici_text(n), "gw");
    assert_string_equal(vici_text(n->next), "other");
    assert_null(n->next->next);
}

// ---- counters

static void answer_counters(const char *lines)
{
    union msg m = expect(ROOM_IKE, MSG_IKE_STATS);
    struct msg_IKE_STATS_IS is = {.req = m.IKE_STATS.req, .counters = slice_str(lines)};
    tell(ROOM_IKE, MSG_IKE_STATS_IS, &is);
    result(ROOM_IKE, m.IKE_STATS.req, true, "");
    m = expect(ROOM_PATH, MSG_PATH_STATS);
    result(ROOM_PATH, m.PATH_STATS.req, true, "");
}

static void test_counters_are_counted_from_the_last_reset(void **state)
{
    (void)state;
    request("get-counters", NULL);
    answer_counters("a 5\nb 7\nnonsense\n c\nd x\n");
    const struct vici_node *n = receive(client, VICI_CMD_RESPONSE, NULL);
    assert_value(n, "success", "yes");
    assert_value(vici_find(n, "counters")->child, "a", "5");
    request("reset-counters", NULL);
    answer_counters("a 6\nb 7\n");
    expect_success();
    request("get-counters", NULL);
    answer_counters("a 9\nb 7\n");
    n = vici_find(receive(client, VICI_CMD_RESPONSE, NULL), "counters")->child;
    assert_value(n, "a", "3");
    assert_value(n, "b", "0");
    assert_null(vici_find(n, "d"));
    // what there is was not counted, and stays: else there would be no card after a reset
    request("reset-counters", NULL);
    answer_counters("a 9\ncard_present 1\nchild_sas 7\nfailover_detection_to_first_packet_us 900\n");
    expect_success();
    request("get-counters", NULL);
    answer_counters("a 10\ncard_present 1\nchild_sas 7\nfailover_detection_to_first_packet_us 900\n");
    n = vici_find(receive(client, VICI_CMD_RESPONSE, NULL), "counters")->child;
    assert_value(n, "a", "1");
    assert_value(n, "card_present", "1");
    assert_value(n, "child_sas", "7");
    assert_value(n, "failover_detection_to_first_packet_us", "900");
}

// ---- rooms that do not answer

static void tell_counts(uint32_t req, const char *conn, unsigned n)
{
    struct msg_CONN_COUNTS c = {.req = req, .up = 1, .established = n, .rekeyed = 2};
    struct msg_CHILD_COUNTS k = {.req = req, .child = "net", .up = 1, .installed = 10, .rekeyed = 3};
    static const uint8_t failed[16] = {[7] = 4, [15] = 1};
    snprintf(c.conn, sizeof(c.conn), "%s", conn);
    snprintf(k.conn, sizeof(k.conn), "%s", conn);
    c.failed = k.failed = slice_of(failed, sizeof(failed));
    tell(ROOM_IKE, MSG_CONN_COUNTS, &c);
    for (int i = 0; i < 2; i++)
        tell(ROOM_IKE, MSG_CHILD_COUNTS, &k);
    result(ROOM_IKE, req, true, "");
}

static void test_counters_of_a_connection_are_those_that_ike_has_by_its_name(void **state)
{
    (void)state;
    load_conn("gw");
    load_conn("hub");
    request("get-counters", "name", "hub", NULL);
    union msg m = expect(ROOM_IKE, MSG_COUNTS_LIST);
    assert_true(slice_eq(m.COUNTS_LIST.names, slice_of("\0\3hub", 5)));
    tell_counts(m.COUNTS_LIST.req, "hub", 7);
    const struct vici_node *all = vici_find(receive(client, VICI_CMD_RESPONSE, NULL), "counters"),
                           *hub = vici_find(all, "hub");
    assert_non_null(hub);
    assert_value(hub, "ike_established", "7");
    assert_value(hub, "ike_failed", "5");
    assert_value(hub, "child_installed", "20");
    assert_value(hub, "child_rekeyed", "6");
    assert_null(vici_find(all, "gw"));
    request("get-counters", "all", "yes", NULL);
    answer_counters("card_present 1\n"); // those of no connection come with them
    m = expect(ROOM_IKE, MSG_COUNTS_LIST);
    assert_true(slice_eq(m.COUNTS_LIST.names, slice_of("\0\2gw\0\3hub", 9)));
    tell_counts(m.COUNTS_LIST.req, "gw", 1);
    all = vici_find(receive(client, VICI_CMD_RESPONSE, NULL), "counters");
    assert_value(vici_find(all, ""), "card_present", "1");
    assert_value(vici_find(all, "gw"), "ike_up", "1");
    request("reset-counters", "all", "yes", NULL);
    answer_counters("card_present 1\n");
    expect_success();
    request("get-counters", "name", "nobody", NULL);
    result(ROOM_IKE, expect(ROOM_IKE, MSG_COUNTS_LIST).COUNTS_LIST.req, true, "");
    expect_error("connection 'nobody' is not loaded");
    request("reset-counters", "name", "hub", NULL);
    expect_error("counters of connections are not reset");
}

static void test_room_without_answer_times_out(void **state)
{
    (void)state;
    request("stats", NULL);
    union msg m = expect(ROOM_IKE, MSG_IKE_STATS);
    now += CTL_ANSWER_MS + 1;
    const struct vici_node *n = receive(client, VICI_CMD_RESPONSE, NULL); // stats come without ike's part
    assert_value(vici_find(n, "ikesas"), "total", "0");
    result(ROOM_IKE, m.IKE_STATS.req, true, ""); // too late: nobody's answer
    no_answer_yet(client);
    request("reload-settings", NULL);
    expect(ROOM_SUPER, MSG_RELOAD);
    now += CTL_ANSWER_MS + 1;
    expect_error("no answer in time");
}

static void test_room_that_is_gone_is_an_error(void **state)
{
    (void)state;
    close(room[ROOM_PATH]);
    room[ROOM_PATH] = -1;
    turn();
    request("list-policies", "trap", "yes", NULL);
    expect_error("path: the daemon is ending");
    request("version", NULL);
    assert_value(receive(client, VICI_CMD_RESPONSE, NULL), "daemon", "espalierd");
}

// Only the channel is gone, where the daemon goes on: another ctl is given another.
static void test_channel_that_ended_ends_it_where_the_daemon_does_not(void **state)
{
    static const enum room of[] = {ROOM_IKE, ROOM_KEYS, ROOM_PATH};
    for (int i = 0; i < 3; i++) {
        close(room[ROOM_FETCH]); // which comes again by itself
        room[ROOM_FETCH] = -1;
        turn();
        now += 10 * CTL_ALONE_MS;
        turn();
        assert_false(loop_stopped(loop));
        close(room[of[i]]);
        room[of[i]] = -1;
        turn();
        now += CTL_ALONE_MS - 1;
        turn();
        assert_false(loop_stopped(loop));
        now += 1;
        turn();
        assert_true(loop_stopped(loop));
        assert_int_equal(ctl->status, 0);
        assert_int_equal(ctl_tear_down(state), 0);
        assert_int_equal(ctl_set_up(state), 0);
    }
}

static void test_settings_are_reread_by_the_supervisor(void **state)
{
    (void)state;
    request("reload-settings", NULL);
    result(ROOM_SUPER, expect(ROOM_SUPER, MSG_RELOAD).RELOAD.req, false, "charon.port: bad");
    expect_error("charon.port: bad");
}

static void test_commands_under_way_are_bounded(void **state)
{
    (void)state;
    for (int i = 0; i < CTL_MAX_PENDING; i++) {
        request("reload-settings", NULL);
        expect(ROOM_SUPER, MSG_RELOAD);
        close(client); // gone before the answer
        client = join();
        turn();
    }
    request("reload-settings", NULL);
    expect_error("too many commands under way");
    now += CTL_ANSWER_MS + 1;
    turn();
    request("reload-settings", NULL);
    result(ROOM_SUPER, expect(ROOM_SUPER, MSG_RELOAD).RELOAD.req, true, "");
    expect_success();
}

// A key exchange that this OpenSSL lacks (ML-KEM before 3.5) would be refused in a proposal.
static void test_algorithms_listed_are_those_that_can_be_had(void **state)
{
    static const struct {
        const char *name;
        uint16_t group;
    } some[] = {
        {"CURVE_25519", 31}, {"ECP_384", 20}, {"ML_KEM_512", 35}, {"ML_KEM_768", 36}, {"ML_KEM_1024", 37}};
    (void)state;
    request("get-algorithms", NULL);
    const struct vici_node *dh = vici_find(receive(client, VICI_CMD_RESPONSE, NULL), "dh");
    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++)
        assert_int_equal(vici_get(dh, some[i].name) != NULL, cr_dh_public_len(some[i].group) != 0);
    assert_non_null(vici_get(dh, "CURVE_25519"));
}

// Whatever each command is given, it answers; what charon has, this has.
static void test_all_36_commands_answer_an_empty_request(void **state)
{
    (void)state;
    static const char *const commands[] = {
        "version",          "stats",          "reload-settings",  "initiate",
        "terminate",        "rekey",          "redirect",         "install",
        "uninstall",        "list-sas",       "list-policies",    "list-conns",
        "list-certs",       "get-algorithms", "get-counters",     "reset-counters",
        "load-conn",        "unload-conn",    "get-conns",        "load-cert",
        "load-key",         "unload-key",     "get-keys",         "load-token",
        "load-shared",      "unload-shared",  "get-shared",       "clear-creds",
        "flush-certs",      "load-authority", "unload-authority", "get-authorities",
        "list-authorities", "load-pool",      "unload-pool",      "get-pools"};
    assert_int_equal(sizeof(commands) / sizeof(commands[0]), 36);
    for (size_t i = 0; i < 36; i++) {
        request(commands[i], NULL);
        for (int k = 0; k < 3; k++) { // let every question end without an answer
            now += CTL_ANSWER_MS + 1;
            turn();
        }
        receive(client, VICI_CMD_RESPONSE, NULL);
    }
    request("frobnicate", NULL);
    receive(client, VICI_CMD_UNKNOWN, NULL);
}

// ---- finding them

static void unload(const char *name)
{
    request("unload-conn", "name", name, NULL);
    result(ROOM_IKE, expect(ROOM_IKE, MSG_CONN_UNLOAD).CONN_UNLOAD.req, true, "");
    expect_success();
}

static void expect_found(const char *conn, const char *found)
{
    const struct conn_entry *e = ctl_find_child(ctl, conn, "net");
    if (found)
        assert_string_equal(e ? conn_entry_name(e) : "none", found);
    else
        assert_null(e);
}

// Several have a child of that name: the first that was loaded; an edit keeps its place.
static void test_child_is_that_of_the_first_connection_loaded(void **state)
{
    (void)state;
    expect_found("", NULL);
    load_conn("x");
    load_conn("y");
    load_conn("z");
    expect_found("", "x");
    expect_found("y", "y");
    expect_found("w", NULL);
    assert_null(ctl_find_child(ctl, "", "other"));
    send_conn("x", "trap"); // an edit
    result(ROOM_IKE, expect(ROOM_IKE, MSG_CONN_LOAD).CONN_LOAD.req, true, "");
    expect_success();
    expect_found("", "x");
    unload("x");
    expect_found("", "y");
    expect_found("x", NULL);
    assert_null(ctl_find_conn(ctl, "x"));
    load_conn("x");
    expect_found("", "y");
    unload("y");
    expect_found("", "z");
    unload("z");
    expect_found("", "x");
    unload("x");
    expect_found("", NULL);
    assert_int_equal(ctl->conn_names.count + ctl->child_names.count, 0);
    assert_null(ctl->conns);
    assert_null(ctl->last_conn);
}

// ---- leases

static unsigned unread;

static void count_unread(void *ctx, enum log_subsys s, int level, const char *name, unsigned id,
                         const char *text)
{
    (void)ctx, (void)s, (void)level, (void)name, (void)id;
    unread += strstr(text, "reading it: Too many open files") != NULL;
}

// Peers ask for them as fast as they like.
static void test_leases_that_cannot_be_read_are_tried_once_a_second(void **state)
{
    struct rlimit was, none = {0};
    uint8_t id[5] = {2, 0, 0, 0, 'a'};
    struct msg_LEASE m = {.pool = "p", .identity = slice_of(id, sizeof(id))};
    (void)state;
    snprintf(ctl->settings.pool_leases, sizeof(ctl->settings.pool_leases), "/tmp/test_vici_ctl.%d",
             (int)getpid());
    assert_true(addr_parse("10.3.0.1", &m.address));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    none.rlim_max = was.rlim_max;
    log_set_all(0);
    log_set_sink(count_unread, NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (unsigned ms = 0; ms < 3000; ms += 10, now += 10) {
        tell(ROOM_IKE, MSG_LEASE, &m);
        turn();
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    log_set_sink(NULL, NULL);
    assert_null(ctl->leases);
    assert_int_equal(unread, 3);
    now += 1000;
    tell(ROOM_IKE, MSG_LEASE, &m);
    turn();
    assert_non_null(ctl->leases);
    assert_int_equal(leases_count(ctl->leases), 1);
    now += 1;
    m.address.a[3]++;
    tell(ROOM_IKE, MSG_LEASE, &m); // each of them, from then on
    turn();
    assert_int_equal(leases_count(ctl->leases), 2);
    unlink(ctl->settings.pool_leases);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, ctl_set_up, ctl_tear_down)
    const struct CMUnitTest tests[] = {
        T(test_a_loaded_connection_is_small),
        T(test_load_conn_is_kept_when_ike_takes_it),
        T(test_load_conn_refused_tells_every_fault),
        T(test_load_conn_refused_by_ike_is_not_kept),
        T(test_errmsg_is_whole),
        T(test_fault_is_told_with_what_is_to_be_done),
        T(test_compare_conn_tells_what_a_load_would_change_and_loads_nothing),
        T(test_comparison_tells_of_each_number_that_a_file_has),
        T(test_load_conn_with_start_action_leaves_starting_to_ike),
        T(test_load_conn_replaces_one_of_the_same_name),
        T(test_list_conns_tells_of_tries_whom_asks_for_them),
        T(test_counters_are_counted_from_the_last_reset),
        T(test_counters_of_a_connection_are_those_that_ike_has_by_its_name),
        T(test_room_without_answer_times_out),
        T(test_room_that_is_gone_is_an_error),
        T(test_channel_that_ended_ends_it_where_the_daemon_does_not),
        T(test_settings_are_reread_by_the_supervisor),
        T(test_commands_under_way_are_bounded),
        T(test_algorithms_listed_are_those_that_can_be_had),
        T(test_all_36_commands_answer_an_empty_request),
        T(test_child_is_that_of_the_first_connection_loaded),
        T(test_leases_that_cannot_be_read_are_tried_once_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
