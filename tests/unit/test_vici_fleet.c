// SPDX-License-Identifier: Apache-2.0
// Connections of the fleet in ctl: loaded as its room says, closed ones without anything that they would
// begin and without SAs, and out of the reach of VICI's clients.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctrl/lib/fence.h"
#include "tests/unit/ctl_rig.h"

static struct vici_out message;             // what load-conn would be sent
static const char *child_key, *child_value; // one more of its child; NULL: none

static void side(const char *name, const char *id)
{
    vici_section(&message, name);
    vici_put(&message, "auth", "psk");
    vici_put(&message, "id", id);
    vici_section_end(&message);
}

static void from_fleet(const char *name, uint32_t req, uint32_t fence)
{
    vici_out_begin(&message, VICI_CMD_RESPONSE, NULL);
    size_t head = message.len;
    vici_section(&message, name);
    side("local", "us");
    side("remote", "them");
    vici_section(&message, "children");
    vici_section(&message, "net");
    vici_put(&message, "start_action", "start");
    vici_put(&message, "close_action", "start");
    if (child_key && strstr(child_key, "proposals")) {
        vici_list(&message, child_key);
        vici_item(&message, child_value);
        vici_list_end(&message);
    } else if (child_key) {
        vici_put(&message, child_key, child_value);
    }
    vici_section_end(&message);
    vici_section_end(&message);
    vici_section_end(&message);
    assert_int_equal(vici_out_finish(&message), 0);
    tell(ROOM_FLEET, MSG_FLEET_CONN,
         &(struct msg_FLEET_CONN){.req = req,
                                  .name = "gw",
                                  .fence = fence,
                                  .conn = slice_of(message.data + head, message.len - head)});
    vici_out_free(&message);
}

static void fleet_is_told(uint32_t req, bool ok, const char *text)
{
    struct msg_RESULT m = expect(ROOM_FLEET, MSG_RESULT).RESULT;
    assert_int_equal(m.req, req);
    assert_int_equal(m.ok, ok);
    if (!strstr(m.text, text))
        fail_msg("'%s' does not say '%s'", m.text, text);
}

// What ike was given; it takes it.
static struct conn_config ike_takes(void)
{
    struct msg_CONN_LOAD m = expect(ROOM_IKE, MSG_CONN_LOAD).CONN_LOAD;
    struct reader r = reader_of(m.conn);
    struct conn_config cfg;
    assert_true(conn_read(&r, &cfg));
    result(ROOM_IKE, m.req, true, "");
    return cfg;
}

static void closed(const char *name, uint32_t req)
{
    from_fleet(name, req, FENCE_CLOSED);
    struct conn_config cfg = ike_takes();
    assert_int_equal(cfg.fence, FENCE_CLOSED);
    assert_int_equal(cfg.children[0].start_action, ACTION_NONE);
    assert_int_equal(cfg.children[0].close_action, ACTION_NONE);
    conn_clear(&cfg);
    struct msg_TERMINATE t = expect(ROOM_IKE, MSG_TERMINATE).TERMINATE;
    assert_string_equal(t.conn, name);
    expect_nothing(ROOM_FLEET); // before its SAs have ended it is not closed
    result(ROOM_IKE, t.req, false, "none");
    fleet_is_told(req, true, "");
}

static void test_closed_begins_nothing_and_ends_its_sas(void **state)
{
    (void)state;
    closed("gw", 7);
}

static void test_open_is_what_was_desired(void **state)
{
    (void)state;
    closed("gw", 7);
    from_fleet("gw", 8, 3);
    struct conn_config cfg = ike_takes();
    assert_int_equal(cfg.fence, 3);
    assert_int_equal(cfg.children[0].close_action, ACTION_START);
    conn_clear(&cfg);
    fleet_is_told(8, true, "");
}

static void test_what_is_refused_is_said(void **state)
{
    (void)state;
    from_fleet("gw", 7, 3);
    struct msg_CONN_LOAD m = expect(ROOM_IKE, MSG_CONN_LOAD).CONN_LOAD;
    result(ROOM_IKE, m.req, false, "no memory");
    fleet_is_told(7, false, "no memory");
    tell(ROOM_FLEET, MSG_FLEET_CONN,
         &(struct msg_FLEET_CONN){.req = 8, .fence = 3, .conn = slice_of((const uint8_t *)"\x09", 1)});
    struct msg_RESULT r = expect(ROOM_FLEET, MSG_RESULT).RESULT;
    assert_false(r.ok);
    assert_int_equal(r.req, 8);
    expect_nothing(ROOM_IKE);
}

static const struct {
    const char *key, *value, *said;
} unencrypted[] = {{"mode", "pass", "child net lets traffic leave unencrypted (mode = pass)"},
                   {"ah_proposals", "sha256", "(ah_proposals)"},
                   {"esp_proposals", "aes128-null-sha256", "(esp_proposals without encryption)"},
                   {"esp_proposals", "aes256gmac", "(esp_proposals without encryption)"}};

// Who writes to etcd does not decide that.
static void test_what_does_not_encrypt_is_refused_open_and_closed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(unencrypted) / sizeof(unencrypted[0]); i++) {
        child_key = unencrypted[i].key;
        child_value = unencrypted[i].value;
        from_fleet("gw", 7, 3);
        fleet_is_told(7, false, unencrypted[i].said);
        from_fleet("gw", 8, FENCE_CLOSED);
        fleet_is_told(8, false, "espalierd.fleet.allow_clear does not allow here");
        expect_nothing(ROOM_IKE);
    }
    child_key = "mode";
    child_value = "drop"; // that blocks
    from_fleet("gw", 9, 3);
    struct conn_config cfg = ike_takes();
    conn_clear(&cfg);
    fleet_is_told(9, true, "");
    child_key = NULL;
}

static void test_what_does_not_encrypt_is_taken_where_this_node_allows_it(void **state)
{
    (void)state;
    ctl->settings.fleet_allow_clear = true;
    child_key = "mode";
    child_value = "pass";
    from_fleet("gw", 7, 3);
    struct conn_config cfg = ike_takes();
    assert_int_equal(cfg.children[0].action, POLICY_BYPASS);
    conn_clear(&cfg);
    fleet_is_told(7, true, "");
    child_key = NULL;
}

static void test_a_local_one_keeps_its_name(void **state)
{
    (void)state;
    load_conn("gw");
    from_fleet("gw", 7, 3);
    fleet_is_told(7, false, "is loaded here");
    tell(ROOM_FLEET, MSG_FLEET_UNLOAD, &(struct msg_FLEET_UNLOAD){.req = 8, .conn = "gw"});
    fleet_is_told(8, true, ""); // it has none of that name
    expect_nothing(ROOM_IKE);
    assert_non_null(ctl_find_conn(ctl, "gw"));
}

// Whoever has its key has it, and not what the message says: two nodes might have one otherwise.
static void test_one_is_what_its_key_says(void **state)
{
    (void)state;
    from_fleet("another", 7, 3);
    fleet_is_told(7, false, "its key is another connection's");
    expect_nothing(ROOM_IKE);
}

static void test_clients_neither_see_it_to_unload_nor_replace_it(void **state)
{
    (void)state;
    closed("gw", 7);
    request("get-conns", NULL);
    const struct vici_node *reply = receive(client, VICI_CMD_RESPONSE, NULL);
    assert_null(vici_find(reply, "conns")->child);
    request("unload-conn", "name", "gw", NULL);
    expect_error("unload: connection 'gw' is the fleet's: espalier fleet load");
    send_conn("gw", "none");
    expect_error("connection 'gw' is the fleet's: espalier fleet load");
    expect_nothing(ROOM_IKE);
}

static void test_unloaded_is_gone(void **state)
{
    (void)state;
    closed("gw", 7);
    tell(ROOM_FLEET, MSG_FLEET_UNLOAD, &(struct msg_FLEET_UNLOAD){.req = 8, .conn = "gw"});
    struct msg_CONN_UNLOAD m = expect(ROOM_IKE, MSG_CONN_UNLOAD).CONN_UNLOAD;
    assert_string_equal(m.conn, "gw");
    result(ROOM_IKE, m.req, true, "");
    fleet_is_told(8, true, "");
    assert_null(ctl_find_conn(ctl, "gw"));
}

static void listed(uint32_t req, uint64_t from, const char *name)
{
    tell(ROOM_FLEET, MSG_FLEET_LIST, &(struct msg_FLEET_LIST){.req = req, .from = from});
    if (name)
        assert_string_equal(expect(ROOM_FLEET, MSG_FLEET_HAS).FLEET_HAS.conn, name);
    fleet_is_told(req, true, "");
}

// A `fleet` that has just come asks for them; those that are not its own are not said.
static void test_the_fleets_are_listed(void **state)
{
    (void)state;
    tell(ROOM_FLEET, MSG_FLEET_LIST, &(struct msg_FLEET_LIST){.req = 1});
    fleet_is_told(1, false, "it is not known yet");
    ctl->serving = true;
    load_conn("local");
    listed(2, 0, NULL);
    from_fleet("gw", 7, 3);
    tell(ROOM_FLEET, MSG_FLEET_LIST, &(struct msg_FLEET_LIST){.req = 3});
    fleet_is_told(3, false, "it is not known yet"); // ike has not answered
    struct conn_config cfg = ike_takes();
    conn_clear(&cfg);
    fleet_is_told(7, true, "");
    listed(4, 0, "gw");
    listed(5, ctl->conn_number, NULL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, ctl_set_up, ctl_tear_down)
    const struct CMUnitTest tests[] = {
        T(test_closed_begins_nothing_and_ends_its_sas),
        T(test_open_is_what_was_desired),
        T(test_what_is_refused_is_said),
        T(test_what_does_not_encrypt_is_refused_open_and_closed),
        T(test_what_does_not_encrypt_is_taken_where_this_node_allows_it),
        T(test_a_local_one_keeps_its_name),
        T(test_clients_neither_see_it_to_unload_nor_replace_it),
        T(test_one_is_what_its_key_says),
        T(test_unloaded_is_gone),
        T(test_the_fleets_are_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
