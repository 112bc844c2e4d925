// SPDX-License-Identifier: Apache-2.0
// install and uninstall: what ctl makes of an operator's word, and that it outlives reloads and an ike.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/ctl_rig.h"

// What ike is given of the child `net`.
static uint8_t loaded_by_hand(void)
{
    union msg m = expect(ROOM_IKE, MSG_CONN_LOAD);
    struct reader r = reader_of(m.CONN_LOAD.conn);
    struct conn_config got;
    assert_true(conn_read(&r, &got) && rd_done(&r));
    assert_string_equal(got.children[0].name, "net");
    uint8_t by_hand = got.children[0].trap_by_hand;
    conn_clear(&got);
    no_answer_yet(client);
    result(ROOM_IKE, m.CONN_LOAD.req, true, "");
    expect_success();
    return by_hand;
}

static void load(const char *name, const char *start_action)
{
    send_conn(name, start_action);
    assert_int_equal(loaded_by_hand(), TRAP_AS_CONFIGURED);
}

static void test_install_and_uninstall_are_changes_of_the_connection(void **state)
{
    (void)state;
    load("gw", "none");
    request("install", "child", "net", NULL);
    assert_int_equal(loaded_by_hand(), TRAP_INSTALLED);
    request("install", "child", "net", "ike", "gw", NULL); // once more: ike is not asked
    expect_success();
    request("uninstall", "child", "net", NULL);
    assert_int_equal(loaded_by_hand(), TRAP_AS_CONFIGURED);
    request("uninstall", "child", "net", NULL);
    expect_error("policy 'net' not found");
    expect_nothing(ROOM_IKE);
}

static void test_uninstall_of_a_configured_trap_is_taken_back_by_install(void **state)
{
    (void)state;
    load("gw", "trap");
    request("install", "child", "net", NULL); // it is
    expect_success();
    request("uninstall", "child", "net", NULL);
    assert_int_equal(loaded_by_hand(), TRAP_UNINSTALLED);
    request("uninstall", "child", "net", NULL);
    expect_error("policy 'net' not found");
    request("install", "child", "net", NULL);
    assert_int_equal(loaded_by_hand(), TRAP_AS_CONFIGURED);
}

static void test_a_reload_leaves_what_is_by_hand_unless_start_action_changes(void **state)
{
    (void)state;
    load("gw", "none");
    request("install", "child", "net", NULL);
    assert_int_equal(loaded_by_hand(), TRAP_INSTALLED);
    send_conn("gw", "none"); // as it was: ike is not asked
    expect_success();
    expect_nothing(ROOM_IKE);
    load("gw", "start");
    request("uninstall", "child", "net", NULL);
    expect_error("policy 'net' not found");
}

static void test_install_refuses_by_name(void **state)
{
    (void)state;
    request("install", "child", "net", NULL);
    expect_error("CHILD_SA config 'net' not found");
    load("gw", "none");
    request("install", NULL);
    expect_error("missing configuration name");
    request("uninstall", "child", "net", "ike", "other", NULL);
    expect_error("CHILD_SA config 'net' not found");
    request("install", "child", "net", NULL);
    result(ROOM_IKE, expect(ROOM_IKE, MSG_CONN_LOAD).CONN_LOAD.req, false, "no memory");
    expect_error("no memory");
    request("uninstall", "child", "net", NULL);
    expect_error("policy 'net' not found");
}

static void test_install_waits_for_no_load_of_its_connection(void **state)
{
    (void)state;
    load("gw", "none");
    send_conn("gw", "start");
    uint32_t req = expect(ROOM_IKE, MSG_CONN_LOAD).CONN_LOAD.req;
    int first = client;
    client = join();
    request("install", "child", "net", NULL);
    expect_error("connection 'gw' is being loaded or unloaded: try again");
    close(client);
    client = first;
    result(ROOM_IKE, req, true, "");
    expect_success();
}

static void send_shunt(const char *mode)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_REQUEST, "load-conn");
    vici_section(&o, "shunt");
    vici_section(&o, "children");
    vici_section(&o, "net");
    vici_put(&o, "mode", mode);
    vici_list(&o, "remote_ts");
    vici_item(&o, "192.0.2.0/24");
    vici_list_end(&o);
    vici_section_end(&o);
    vici_section_end(&o);
    vici_section_end(&o);
    send_out(client, &o);
}

static void test_pass_and_drop_are_in_force_as_long_as_they_are_loaded(void **state)
{
    static const char *const modes[] = {"pass", "drop"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        char expected[40];
        send_shunt(modes[i]);
        assert_int_equal(loaded_by_hand(), TRAP_AS_CONFIGURED);
        request("install", "child", "net", NULL);
        expect_success();
        request("uninstall", "child", "net", NULL);
        snprintf(expected, sizeof(expected), "policy 'net' of mode %s holds", modes[i]);
        expect_error(expected);
    }
}

// ---- list-policies

static const char *listed(const char *kind)
{
    static const uint8_t actions[] = {POLICY_PROTECT, POLICY_BYPASS, POLICY_DISCARD};
    static char names[100];
    names[0] = 0;
    request("list-policies", kind, "yes", NULL);
    uint32_t req = expect(ROOM_PATH, MSG_POLICY_LIST).POLICY_LIST.req;
    for (unsigned i = 0; i < 3; i++) {
        struct msg_POLICY_IS is = {.req = req, .conn = "gw", .action = actions[i], .mode = MODE_TUNNEL};
        snprintf(is.child, sizeof(is.child), "k%u", i);
        tell(ROOM_PATH, MSG_POLICY_IS, &is);
    }
    result(ROOM_PATH, req, true, "");
    snprintf(names, sizeof(names), "%s",
             receive(client, VICI_EVENT, "list-policy")->child->name); // one, or this fails
    receive(client, VICI_CMD_RESPONSE, NULL);
    return names;
}

static void test_policies_are_listed_by_their_kind(void **state)
{
    (void)state;
    register_for(client, "list-policy");
    assert_string_equal(listed("trap"), "gw/k0");
    assert_string_equal(listed("pass"), "gw/k1");
    assert_string_equal(listed("drop"), "gw/k2");
}

#define T(name) cmocka_unit_test_setup_teardown(name, ctl_set_up, ctl_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_install_and_uninstall_are_changes_of_the_connection),
        T(test_uninstall_of_a_configured_trap_is_taken_back_by_install),
        T(test_a_reload_leaves_what_is_by_hand_unless_start_action_changes),
        T(test_install_refuses_by_name),
        T(test_install_waits_for_no_load_of_its_connection),
        T(test_pass_and_drop_are_in_force_as_long_as_they_are_loaded),
        T(test_policies_are_listed_by_their_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
