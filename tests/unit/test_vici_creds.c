// SPDX-License-Identifier: Apache-2.0
// Secrets on their way through the ctl process.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/ctl_rig.h"

// ---- secrets

static void test_secret_goes_to_keys_and_nowhere_else(void **state)
{
    (void)state;
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_REQUEST, "load-shared");
    vici_put(&o, "id", "ike-1");
    vici_put(&o, "type", "IKE");
    vici_put_blob(&o, "data", "s\0cret", 6);
    vici_list(&o, "owners");
    vici_item(&o, "west@example.net");
    vici_item(&o, "10.0.0.1");
    vici_list_end(&o);
    send_out(client, &o);
    union msg m = expect(ROOM_KEYS, MSG_SECRET_LOAD);
    assert_string_equal(m.SECRET_LOAD.id, "ike-1");
    assert_true(slice_eq(m.SECRET_LOAD.data, slice_of("s\0cret", 6)));
    struct reader r = reader_of(m.SECRET_LOAD.owners);
    assert_true(slice_eq(rd_slice16(&r), slice_str("west@example.net")));
    assert_true(slice_eq(rd_slice16(&r), slice_str("10.0.0.1")));
    assert_true(rd_done(&r));
    result(ROOM_KEYS, m.SECRET_LOAD.req, true, "");
    expect_success();
    expect_nothing(ROOM_IKE);
    expect_nothing(ROOM_PATH);
    expect_nothing(ROOM_SUPER);
}

static void test_secrets_that_are_refused(void **state)
{
    (void)state;
    request("load-shared", "id", "x", "data", "y", NULL);
    expect_error("type missing");
    request("load-shared", "type", "EAP", "data", "y", NULL);
    expect_error("not supported yet");
    request("load-shared", "type", "ppk", "data", "y", NULL);
    expect_error("post-quantum");
    request("load-shared", "type", "nonsense", "data", "y", NULL);
    expect_error("invalid shared key type");
    request("load-shared", "type", "ike", NULL);
    expect_error("data missing");
    request("load-shared", "type", "ike", "data", "", NULL);
    expect_error("empty");
    request("load-shared", "type", "ike", "data", "y", "owners", "not a list", NULL);
    expect_error("owners");
    expect_nothing(ROOM_KEYS);
}

static void test_get_shared_hides_secrets_without_a_name(void **state)
{
    (void)state;
    request("load-shared", "type", "ike", "data", "y", NULL);
    union msg m = expect(ROOM_KEYS, MSG_SECRET_LOAD);
    struct msg_SECRET_IS unnamed = {0}, named = {.id = "ike-1"};
    snprintf(unnamed.id, sizeof(unnamed.id), "%s", m.SECRET_LOAD.id);
    assert_true(unnamed.id[0]);
    result(ROOM_KEYS, m.SECRET_LOAD.req, true, "");
    expect_success();
    request("get-shared", NULL);
    m = expect(ROOM_KEYS, MSG_SECRET_LIST);
    unnamed.req = named.req = m.SECRET_LIST.req;
    tell(ROOM_KEYS, MSG_SECRET_IS, &unnamed);
    tell(ROOM_KEYS, MSG_SECRET_IS, &named);
    result(ROOM_KEYS, m.SECRET_LIST.req, true, "");
    const struct vici_node *n = vici_find(receive(client, VICI_CMD_RESPONSE, NULL), "keys")->child;
    assert_string_equal(vici_text(n), "ike-1");
    assert_null(n->next);
}

static void test_certificates_and_private_keys_say_why_not(void **state)
{
    (void)state;
    request("load-cert", "type", "X509", "data", "DER", NULL);
    expect_error("certificates are not supported yet");
    request("load-key", "type", "any", "data", "DER", NULL);
    expect_error("private keys are not supported yet");
    request("get-keys", NULL);
    assert_non_null(vici_find(receive(client, VICI_CMD_RESPONSE, NULL), "keys"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, ctl_set_up, ctl_tear_down)
    const struct CMUnitTest tests[] = {
        T(test_secret_goes_to_keys_and_nowhere_else),
        T(test_secrets_that_are_refused),
        T(test_get_shared_hides_secrets_without_a_name),
        T(test_certificates_and_private_keys_say_why_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
