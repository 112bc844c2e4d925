// SPDX-License-Identifier: Apache-2.0
// SAs as a VICI client has them made, ended and listed, and the events that tell of them.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrl/lib/log.h"
#include "ctrl/lib/sa_edition.h"
#include "tests/unit/ctl_rig.h"

// ---- initiate, terminate

static struct msg_LOG log_message(uint8_t level, const char *text)
{
    struct msg_LOG m = {.room = ROOM_IKE, .subsys = LOG_IKE, .level = level, .ike_name = "gw", .ike_id = 3};
    snprintf(m.text, sizeof(m.text), "%s", text);
    return m;
}

static void test_initiate_streams_the_log_to_its_client_only(void **state)
{
    (void)state;
    int other = join();
    load_conn("gw");
    register_for(client, "control-log");
    register_for(other, "control-log");
    register_for(other, "log");
    request("initiate", "child", "net", "timeout", "5000", "loglevel", "1", NULL);
    union msg m = expect(ROOM_IKE, MSG_INITIATE);
    assert_string_equal(m.INITIATE.conn, "gw");
    assert_int_equal(m.INITIATE.timeout_ms, 5000);
    struct msg_LOG line = log_message(1, "initiating"), detail = log_message(2, "detail");
    tell(ROOM_IKE, MSG_LOG, &line);
    tell(ROOM_IKE, MSG_LOG, &detail);
    const struct vici_node *n = receive(client, VICI_EVENT, "control-log");
    assert_value(n, "group", "IKE");
    assert_value(n, "level", "1");
    assert_value(n, "ikesa-name", "gw");
    assert_value(n, "ikesa-uniqueid", "3");
    assert_value(n, "msg", "initiating");
    assert_value(receive(other, VICI_EVENT, "log"), "msg", "initiating");
    assert_value(receive(other, VICI_EVENT, "log"), "msg", "detail");
    no_answer_yet(other);
    result(ROOM_IKE, m.INITIATE.req, true, "");
    expect_success(); // and no line above the level before it
    close(other);
}

static void assert_listening_all(bool logs, bool events, bool alerts)
{
    static const enum room rooms[] = {ROOM_IKE, ROOM_KEYS, ROOM_PATH, ROOM_FETCH};
    for (unsigned i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
        expect_nothing(rooms[i]);
        assert_int_equal(listening[rooms[i]].logs, logs);
        assert_int_equal(listening[rooms[i]].events, events);
        assert_int_equal(listening[rooms[i]].alerts, alerts);
    }
    expect_nothing(ROOM_SUPER); // whose lines are few
}

static void assert_listening(bool logs, bool events)
{
    assert_listening_all(logs, events, false);
}

// What a room logs and tells unasked goes to ctl for somebody's sake or not at all.
static void test_rooms_hear_whether_anybody_listens(void **state)
{
    static const char *const events[] = {"ike-updown", "ike-rekey", "child-updown", "child-rekey",
                                         "ike-update"};
    (void)state;
    memset(listening, 1, sizeof(listening));
    assert_listening(false, false); // said at once
    register_for(client, "list-sa");
    register_for(client, "control-log"); // nothing is under way
    assert_listening(false, false);
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        int other = join();
        register_for(other, events[i]);
        assert_listening(false, true);
        close(other);
        assert_listening(false, false);
    }
    int alarmed = join();
    register_for(alarmed, "alert");
    assert_listening_all(false, false, true);
    close(alarmed);
    assert_listening(false, false);
    int one = join(), two = join();
    register_for(one, "log");
    register_for(two, "log");
    assert_listening(true, false);
    close(one);
    assert_listening(true, false);
    close(two);
    assert_listening(false, false);
}

static void test_rooms_hear_of_a_listener_before_what_he_has_begun(void **state)
{
    (void)state;
    load_conn("gw");
    assert_listening(false, false);
    register_for(client, "control-log");
    request("initiate", "child", "net", "loglevel", "-1", NULL); // wants no line of it
    result(ROOM_IKE, expect(ROOM_IKE, MSG_INITIATE).INITIATE.req, true, "");
    expect_success();
    assert_listening(false, false);
    request("initiate", "child", "net", "loglevel", "1", NULL);
    union msg m = expect(ROOM_IKE, MSG_INITIATE);
    assert_true(listening[ROOM_IKE].logs); // it came first
    assert_listening(true, false);
    result(ROOM_IKE, m.INITIATE.req, true, "");
    expect_success();
    assert_listening(false, false);
}

static void test_initiate_refusals(void **state)
{
    (void)state;
    request("initiate", NULL);
    expect_error("missing configuration name");
    request("initiate", "child", "net", NULL);
    expect_error("CHILD_SA config 'net' not found");
    load_conn("gw");
    request("initiate", "ike", "other", NULL);
    expect_error("IKE_SA config 'other' not found");
    request("initiate", "ike", "other", "child", "net", NULL);
    expect_error("CHILD_SA config 'net' not found");
    request("initiate", "child", "net", "timeout", "soon", NULL);
    expect_error("timeout: expected");
    request("initiate", "child", "net", NULL);
    result(ROOM_IKE, expect(ROOM_IKE, MSG_INITIATE).INITIATE.req, false, "AUTHENTICATION_FAILED");
    expect_error("AUTHENTICATION_FAILED");
}

static void test_initiate_of_an_ike_sa_alone_names_no_child(void **state)
{
    (void)state;
    load_conn("gw");
    request("initiate", "ike", "gw", NULL);
    union msg m = expect(ROOM_IKE, MSG_INITIATE);
    assert_string_equal(m.INITIATE.conn, "gw");
    assert_string_equal(m.INITIATE.child, "");
    result(ROOM_IKE, m.INITIATE.req, true, "");
    expect_success();
}

static void test_initiate_without_waiting_answers_at_once(void **state)
{
    (void)state;
    load_conn("gw");
    request("initiate", "child", "net", "timeout", "-1", NULL);
    union msg m = expect(ROOM_IKE, MSG_INITIATE);
    expect_success();
    result(ROOM_IKE, m.INITIATE.req, false, "later");
    no_answer_yet(client);
}

static void test_redirect_tells_the_number_of_matches(void **state)
{
    (void)state;
    request("redirect", "peer-id", "a.test", NULL);
    expect_error("gateway: expected an IP address");
    request("redirect", "gateway", "gw.example", "ike", "gw", NULL);
    expect_error("gateway: expected an IP address");
    request("redirect", "gateway", "10.0.0.3", NULL);
    expect_error("missing redirect selector");
    request("redirect", "gateway", "10.0.0.3", "peer-ip", "10.0.0.0/24", NULL);
    expect_error("peer-ip: expected an IP address");
    request("redirect", "gateway", "10.0.0.3", "ike", "gw", "ike-id", "7", "peer-id", "*.test", NULL);
    union msg m = expect(ROOM_IKE, MSG_REDIRECT);
    assert_string_equal(m.REDIRECT.conn, "gw");
    assert_int_equal(m.REDIRECT.ike_id, 7);
    assert_string_equal(m.REDIRECT.peer_id, "*.test");
    assert_int_equal(m.REDIRECT.peer.family, 0);
    assert_int_equal(m.REDIRECT.gateway.a[3], 3);
    result(ROOM_IKE, m.REDIRECT.req, true, "2");
    assert_value(receive(client, VICI_CMD_RESPONSE, NULL), "matches", "2");
    request("redirect", "gateway", "10.0.0.3", "ike", "gw", NULL);
    result(ROOM_IKE, expect(ROOM_IKE, MSG_REDIRECT).REDIRECT.req, false, "0");
    expect_error("no matching SAs to redirect found");
}

static void test_terminate_tells_the_number_of_matches(void **state)
{
    (void)state;
    request("terminate", NULL);
    expect_error("missing terminate selector");
    request("terminate", "ike-id", "7", "force", "yes", NULL);
    union msg m = expect(ROOM_IKE, MSG_TERMINATE);
    assert_int_equal(m.TERMINATE.ike_id, 7);
    assert_int_equal(m.TERMINATE.force, 1);
    result(ROOM_IKE, m.TERMINATE.req, true, "2");
    const struct vici_node *n = receive(client, VICI_CMD_RESPONSE, NULL);
    assert_value(n, "success", "yes");
    assert_value(n, "matches", "2");
    request("terminate", "ike", "gw", NULL);
    result(ROOM_IKE, expect(ROOM_IKE, MSG_TERMINATE).TERMINATE.req, true, "0");
    expect_error("no matching SAs");
}

static void test_rekey_tells_the_number_of_matches(void **state)
{
    (void)state;
    request("rekey", NULL);
    expect_error("missing rekey selector");
    request("rekey", "child", "net", "reauth", "yes", NULL);
    expect_error("reauth: a CHILD_SA cannot be reauthenticated");
    request("rekey", "child", "net", "ike", "gw", NULL);
    union msg m = expect(ROOM_IKE, MSG_REKEY);
    assert_string_equal(m.REKEY.conn, "gw");
    assert_string_equal(m.REKEY.child, "net");
    assert_int_equal(m.REKEY.reauth, 0);
    result(ROOM_IKE, m.REKEY.req, true, "3");
    const struct vici_node *n = receive(client, VICI_CMD_RESPONSE, NULL);
    assert_value(n, "success", "yes");
    assert_value(n, "matches", "3");
    request("rekey", "ike-id", "9", "anew", "yes", NULL);
    expect_error("anew: expected a CHILD_SA by child or child-id");
    request("rekey", "child-id", "9", "anew", "yes", NULL);
    m = expect(ROOM_IKE, MSG_REKEY);
    assert_int_equal(m.REKEY.anew, 1);
    result(ROOM_IKE, m.REKEY.req, true, "1");
    assert_value(receive(client, VICI_CMD_RESPONSE, NULL), "matches", "1");
    request("rekey", "ike-id", "9", "reauth", "yes", NULL);
    m = expect(ROOM_IKE, MSG_REKEY);
    assert_int_equal(m.REKEY.ike_id, 9);
    assert_int_equal(m.REKEY.reauth, 1);
    result(ROOM_IKE, m.REKEY.req, false, "0");
    expect_error("no matching SAs to rekey found");
}

// ---- list-sas

static struct msg_IKE_INFO ike_info(uint32_t req, uint32_t id)
{
    return (struct msg_IKE_INFO){.req = req,
                                 .conn = "gw",
                                 .id = id,
                                 .state = "ESTABLISHED",
                                 .initiator = 1,
                                 .local = {4, {10, 0, 0, 1}},
                                 .local_port = 4500,
                                 .local_id = "west",
                                 .remote = {4, {10, 0, 0, 2}},
                                 .remote_port = 4500,
                                 .remote_id = "east",
                                 .spi_i = 0x1122334455667788,
                                 .spi_r = 1,
                                 .encr = TRID_AES256_GCM16,
                                 .encr_bits = 256,
                                 .prf = TRID_PRF_HMAC_SHA2_256,
                                 .ke = TRID_CURVE_25519,
                                 .established_s = 9};
}

static struct msg_CHILD_INFO child_info(uint32_t req, uint32_t ike_id, uint32_t id)
{
    return (struct msg_CHILD_INFO){
        .req = req,
        .name = "net",
        .id = id,
        .ike_id = ike_id,
        .reqid = 1,
        .state = "INSTALLED",
        .spi_in = 0xc1,
        .spi_out = 0xc2,
        .encr = TRID_AES256_GCM16,
        .encr_bits = 256,
        .udp_encap = 1,
        .local_ts = {1, {{.family = 4, .port_hi = 65535, .lo = {10, 1}, .hi = {10, 1, 255, 255}}}}};
}

static void answer_list_sas_with(bool path_works, const char *survivors)
{
    union msg m = expect(ROOM_IKE, MSG_IKE_LIST);
    for (uint32_t id = 1; id <= 2; id++) {
        struct msg_IKE_INFO ike = ike_info(m.IKE_LIST.req, id);
        struct msg_CHILD_INFO child = child_info(m.IKE_LIST.req, id, 10 + id);
        ike.edition = id == 1 ? SA_PEER_BEGINS : SA_AS_LOADED;
        child.edition = id == 2 ? SA_EDITED : SA_AS_LOADED;
        tell(ROOM_IKE, MSG_IKE_INFO, &ike);
        tell(ROOM_IKE, MSG_CHILD_INFO, &child);
    }
    result(ROOM_IKE, m.IKE_LIST.req, true, "");
    m = expect(ROOM_PATH, MSG_PATH_LIST);
    struct msg_PATH_SA sa = {.req = m.PATH_LIST.req,
                             .child_id = 12,
                             .bytes_in = 84,
                             .packets_in = 1,
                             .use_in_s = 2,
                             .bytes_out = 1000,
                             .packets_out = 10,
                             .use_out_s = UINT32_MAX,
                             .offload = "card",
                             .offload_reason = "",
                             .card = "0000:01:00.0"};
    if (path_works)
        tell(ROOM_PATH, MSG_PATH_SA, &sa);
    result(ROOM_PATH, m.PATH_LIST.req, path_works, survivors);
}

static void answer_list_sas(bool path_works)
{
    answer_list_sas_with(path_works, "");
}

static void test_list_sas_joins_what_ike_and_path_know(void **state)
{
    (void)state;
    register_for(client, "list-sa");
    request("list-sas", NULL);
    answer_list_sas(true);
    const struct vici_node *gw = vici_find(receive(client, VICI_EVENT, "list-sa"), "gw");
    assert_value(gw, "uniqueid", "1");
    assert_value(gw, "initiator-spi", "1122334455667788");
    assert_value(gw, "responder-spi", "0000000000000001");
    assert_value(gw, "encr-alg", "AES_GCM_16");
    assert_value(gw, "dh-group", "CURVE_25519");
    assert_null(vici_find(gw, "integ-alg"));
    assert_value(gw, "edition", "edited");
    assert_value(gw, "stays",
                 "it has been edited, and no address of its peer is configured: the peer has to begin");
    const struct vici_node *child = vici_find(vici_find(gw, "child-sas"), "net-11");
    assert_value(child, "packets-in", "0"); // path does not know it (any more)
    assert_null(vici_find(child, "offload"));
    gw = vici_find(receive(client, VICI_EVENT, "list-sa"), "gw");
    assert_value(gw, "uniqueid", "2");
    child = vici_find(vici_find(gw, "child-sas"), "net-12");
    assert_null(vici_find(gw, "edition"));
    assert_value(child, "edition", "edited");
    assert_null(vici_find(child, "stays"));
    assert_value(child, "spi-in", "000000c1");
    assert_value(child, "encap", "yes");
    assert_value(child, "bytes-out", "1000");
    assert_value(child, "use-in", "2");
    assert_null(vici_find(child, "use-out")); // never
    assert_value(child, "offload", "card");
    assert_value(child, "card", "0000:01:00.0");
    assert_string_equal(vici_text(vici_find(child, "local-ts")->child), "10.1.0.0/16");
    assert_null(receive(client, VICI_CMD_RESPONSE, NULL)->child);
}

static struct msg_SURVIVOR_IS survivor(uint32_t req, const char *conn, uint32_t id)
{
    struct msg_SURVIVOR_IS s = {.req = req,
                                .child = "net",
                                .id = id,
                                .spi_in = 0xc1,
                                .encr = TRID_AES256_GCM16,
                                .encr_bits = 256,
                                .left_s = 280,
                                .remote = {.family = 4, .a = {192, 0, 2, 7}},
                                .remote_port = 4500};
    snprintf(s.conn, sizeof(s.conn), "%s", conn);
    return s;
}

static void tell_survivor(uint32_t req, const char *conn, uint32_t id)
{
    struct msg_SURVIVOR_IS s = survivor(req, conn, id);
    tell(ROOM_PATH, MSG_SURVIVOR_IS, &s);
    tell(ROOM_PATH, MSG_PATH_SA,
         &(struct msg_PATH_SA){.req = req, .child_id = id, .packets_out = 1000 + id, .offload = "software"});
}

static void expect_survivor(const char *conn, const char *name, const char *packets)
{
    const struct vici_node *gw = vici_find(receive(client, VICI_EVENT, "list-sa"), conn);
    const struct vici_node *child = vici_find(vici_find(gw, "child-sas"), name);
    assert_value(gw, "state", "LOST");
    assert_value(gw, "remote-host", "192.0.2.7");
    assert_value(gw, "remote-port", "4500");
    assert_value(child, "state", "SURVIVES");
    assert_value(child, "life-time", "280");
    assert_value(child, "packets-out", packets);
    assert_value(child, "offload", "software");
}

// Behind what ike knows, page by page.
static void test_list_sas_has_those_whose_ike_has_died(void **state)
{
    (void)state;
    register_for(client, "list-sa");
    request("list-sas", NULL);
    answer_list_sas_with(true, "3");
    union msg m = expect(ROOM_PATH, MSG_SURVIVOR_LIST);
    assert_int_equal(m.SURVIVOR_LIST.from, 0);
    tell_survivor(m.SURVIVOR_LIST.req, "gw", 3);
    tell(ROOM_PATH, MSG_LIST_MORE, &(struct msg_LIST_MORE){.req = m.SURVIVOR_LIST.req, .next = 4});
    m = expect(ROOM_PATH, MSG_SURVIVOR_LIST);
    assert_int_equal(m.SURVIVOR_LIST.from, 4);
    tell_survivor(m.SURVIVOR_LIST.req, "rw", 4);
    result(ROOM_PATH, m.SURVIVOR_LIST.req, true, "");
    for (int i = 0; i < 2; i++)
        assert_value(vici_find(receive(client, VICI_EVENT, "list-sa"), "gw"), "state", "ESTABLISHED");
    expect_survivor("gw", "net-3", "1003");
    expect_survivor("rw", "net-4", "1004");
    assert_null(receive(client, VICI_CMD_RESPONSE, NULL)->child);
}

static void survivors_asked_for(const char *key, const char *value)
{
    request("list-sas", key, value, NULL);
    answer_list_sas_with(true, "2");
    union msg m = expect(ROOM_PATH, MSG_SURVIVOR_LIST);
    tell_survivor(m.SURVIVOR_LIST.req, "gw", 3);
    tell_survivor(m.SURVIVOR_LIST.req, "rw", 4);
    result(ROOM_PATH, m.SURVIVOR_LIST.req, true, "");
    for (int i = 0; i < 2; i++)
        (void)receive(client, VICI_EVENT, "list-sa");
}

static void test_list_sas_has_of_those_the_ones_that_are_asked_for(void **state)
{
    (void)state;
    register_for(client, "list-sa");
    survivors_asked_for("ike", "rw");
    expect_survivor("rw", "net-4", "1004");
    assert_null(receive(client, VICI_CMD_RESPONSE, NULL)->child);
    survivors_asked_for("child-id", "3");
    expect_survivor("gw", "net-3", "1003");
    assert_null(receive(client, VICI_CMD_RESPONSE, NULL)->child);
    request("list-sas", "ike-id", "1", NULL); // a number of ike's
    answer_list_sas_with(true, "2");
    for (int i = 0; i < 2; i++)
        (void)receive(client, VICI_EVENT, "list-sa");
    assert_null(receive(client, VICI_CMD_RESPONSE, NULL)->child);
}

// Whatever order `ike` and `path` tell them in, and both at once: each CHILD SA once, under its own IKE SA,
// by its number, with its own traffic.
static void test_list_sas_sorts_what_comes_in_any_order(void **state)
{
    static const uint32_t children[][2] = {{2, 16}, {1, 13}, {2, 12}, {1, 15}, {2, 14}, {1, 11}};
    (void)state;
    register_for(client, "list-sa");
    request("list-sas", NULL);
    union msg m = expect(ROOM_IKE, MSG_IKE_LIST);
    for (uint32_t id = 1; id <= 2; id++) {
        struct msg_IKE_INFO ike = ike_info(m.IKE_LIST.req, id);
        tell(ROOM_IKE, MSG_IKE_INFO, &ike);
    }
    for (unsigned i = 0; i < 6; i++) {
        struct msg_CHILD_INFO child = child_info(m.IKE_LIST.req, children[i][0], children[i][1]);
        tell(ROOM_IKE, MSG_CHILD_INFO, &child);
    }
    result(ROOM_IKE, m.IKE_LIST.req, true, "");
    m = expect(ROOM_PATH, MSG_PATH_LIST);
    for (uint32_t id = 16; id >= 11; id--) {
        struct msg_PATH_SA sa = {.req = m.PATH_LIST.req, .child_id = id, .packets_in = 1000 + id};
        tell(ROOM_PATH, MSG_PATH_SA, &sa);
    }
    result(ROOM_PATH, m.PATH_LIST.req, true, "");
    for (uint32_t id = 1; id <= 2; id++) {
        const struct vici_node *gw = vici_find(receive(client, VICI_EVENT, "list-sa"), "gw"),
                               *child = vici_find(gw, "child-sas")->child;
        for (uint32_t number = 10 + id; number <= 14 + id; number += 2, child = child->next) {
            char name[16], packets[16];
            snprintf(name, sizeof(name), "net-%u", number);
            snprintf(packets, sizeof(packets), "%u", 1000 + number);
            assert_non_null(child);
            assert_string_equal(child->name, name);
            assert_value(child, "packets-in", packets);
        }
        assert_null(child);
    }
    assert_null(receive(client, VICI_CMD_RESPONSE, NULL)->child);
}

static void test_list_sas_without_path_still_lists(void **state)
{
    (void)state;
    register_for(client, "list-sa");
    request("list-sas", "child-id", "12", NULL);
    answer_list_sas(false);
    assert_null(vici_find(vici_find(receive(client, VICI_EVENT, "list-sa"), "gw"), "child-sas")->child);
    const struct vici_node *gw = vici_find(receive(client, VICI_EVENT, "list-sa"), "gw");
    assert_non_null(vici_find(vici_find(gw, "child-sas"), "net-12"));
    receive(client, VICI_CMD_RESPONSE, NULL);
}

static void test_updown_events(void **state)
{
    (void)state;
    register_for(client, "ike-updown");
    register_for(client, "child-updown");
    struct msg_IKE_UPDOWN up = {.up = 1, .conn = "gw", .ike_id = 1};
    struct msg_CHILD_UPDOWN down = {.up = 0, .conn = "gw", .ike_id = 1, .child_id = 5};
    struct msg_IKE_INFO ike = ike_info(0, 1);
    struct msg_CHILD_INFO child = child_info(0, 1, 5);
    tell(ROOM_IKE, MSG_IKE_UPDOWN, &up);
    tell(ROOM_IKE, MSG_IKE_INFO, &ike);
    const struct vici_node *n = receive(client, VICI_EVENT, "ike-updown");
    assert_value(n, "up", "yes");
    assert_value(vici_find(n, "gw"), "remote-id", "east");
    tell(ROOM_IKE, MSG_CHILD_UPDOWN, &down);
    tell(ROOM_IKE, MSG_IKE_INFO, &ike);
    no_answer_yet(client);
    tell(ROOM_IKE, MSG_CHILD_INFO, &child);
    n = receive(client, VICI_EVENT, "child-updown");
    assert_null(vici_find(n, "up"));
    assert_non_null(vici_find(vici_find(vici_find(n, "gw"), "child-sas"), "net-5"));
}

static void test_rekey_events_show_the_old_and_the_new_one(void **state)
{
    (void)state;
    register_for(client, "ike-rekey");
    register_for(client, "child-rekey");
    struct msg_IKE_REKEY rekey = {.conn = "gw", .old_id = 1, .new_id = 2};
    struct msg_IKE_INFO old = ike_info(0, 1), new = ike_info(0, 2);
    tell(ROOM_IKE, MSG_IKE_REKEY, &rekey);
    tell(ROOM_IKE, MSG_IKE_INFO, &old);
    no_answer_yet(client);
    tell(ROOM_IKE, MSG_IKE_INFO, &new);
    const struct vici_node *n = vici_find(receive(client, VICI_EVENT, "ike-rekey"), "gw");
    assert_value(vici_find(n, "old"), "uniqueid", "1");
    assert_value(vici_find(n, "new"), "uniqueid", "2");
    struct msg_CHILD_REKEY child = {.conn = "gw", .old_id = 5, .new_id = 6};
    struct msg_CHILD_INFO from = child_info(0, 2, 5), to = child_info(0, 2, 6);
    tell(ROOM_IKE, MSG_CHILD_REKEY, &child);
    tell(ROOM_IKE, MSG_IKE_INFO, &new);
    tell(ROOM_IKE, MSG_CHILD_INFO, &from);
    no_answer_yet(client);
    tell(ROOM_IKE, MSG_CHILD_INFO, &to);
    n = vici_find(receive(client, VICI_EVENT, "child-rekey"), "gw");
    assert_value(n, "uniqueid", "2");
    n = vici_find(vici_find(n, "child-sas"), "net");
    assert_value(vici_find(n, "old"), "uniqueid", "5");
    assert_value(vici_find(n, "new"), "uniqueid", "6");
}

static void test_a_move_shows_where_it_goes_and_where_it_was(void **state)
{
    (void)state;
    register_for(client, "ike-update");
    struct msg_IKE_MOVES to = {.conn = "gw", .ike_id = 3, .local_port = 4500, .remote_port = 61000};
    struct msg_IKE_INFO was = ike_info(0, 3);
    addr_parse("192.0.2.1", &to.local);
    addr_parse("2001:db8::9", &to.remote);
    tell(ROOM_IKE, MSG_IKE_MOVES, &to);
    no_answer_yet(client);
    tell(ROOM_IKE, MSG_IKE_INFO, &was);
    const struct vici_node *n = receive(client, VICI_EVENT, "ike-update");
    assert_value(n, "local-host", "192.0.2.1");
    assert_value(n, "local-port", "4500");
    assert_value(n, "remote-host", "2001:db8::9");
    assert_value(n, "remote-port", "61000");
    assert_value(vici_find(n, "gw"), "uniqueid", "3");
    assert_value(vici_find(n, "gw"), "remote-host", "10.0.0.2");
}

static void test_alerts_are_shown_by_charons_names(void **state)
{
    (void)state;
    register_for(client, "alert");
    tell(ROOM_IKE, MSG_ALERT, &(struct msg_ALERT){.alert = ALERT_IKE_PROPOSAL});
    const struct vici_node *n = receive(client, VICI_EVENT, "alert");
    assert_value(n, "type", "proposal-mismatch-ike");
    assert_null(vici_find(n, "ike-sa"));
    struct msg_IKE_INFO sa = ike_info(0, 3);
    tell(ROOM_IKE, MSG_ALERT, &(struct msg_ALERT){.alert = ALERT_EXPIRED, .ike_id = 3});
    no_answer_yet(client);
    tell(ROOM_IKE, MSG_IKE_INFO, &sa);
    n = receive(client, VICI_EVENT, "alert");
    assert_value(n, "type", "ike-sa-expired");
    assert_value(vici_find(vici_find(n, "ike-sa"), "gw"), "uniqueid", "3");
    tell(ROOM_IKE, MSG_ALERT, &(struct msg_ALERT){.alert = ALERT_COUNT}); // of an ike that was broken into
    no_answer_yet(client);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, ctl_set_up, ctl_tear_down)
    const struct CMUnitTest tests[] = {
        T(test_initiate_streams_the_log_to_its_client_only),
        T(test_rooms_hear_whether_anybody_listens),
        T(test_rooms_hear_of_a_listener_before_what_he_has_begun),
        T(test_initiate_refusals),
        T(test_initiate_of_an_ike_sa_alone_names_no_child),
        T(test_initiate_without_waiting_answers_at_once),
        T(test_redirect_tells_the_number_of_matches),
        T(test_terminate_tells_the_number_of_matches),
        T(test_rekey_tells_the_number_of_matches),
        T(test_list_sas_joins_what_ike_and_path_know),
        T(test_list_sas_without_path_still_lists),
        T(test_updown_events),
        T(test_rekey_events_show_the_old_and_the_new_one),
        T(test_a_move_shows_where_it_goes_and_where_it_was),
        T(test_alerts_are_shown_by_charons_names),
        T(test_list_sas_sorts_what_comes_in_any_order),
        T(test_list_sas_has_those_whose_ike_has_died),
        T(test_list_sas_has_of_those_the_ones_that_are_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
