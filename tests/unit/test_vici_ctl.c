// SPDX-License-Identifier: Apache-2.0
// The ctl process between a VICI client and the other rooms, message by message: what it asks whom, what it
// makes of the answers, and that a client always gets an answer even when a room does not.
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

static uint64_t now;
static struct loop *loop;
static struct ctl *ctl;
static int room[ROOM_COUNT];
static int client;
static uint8_t frame[VICI_MAX_FRAME + 4];
static struct vici_msg reply; // of the last packet received; freed by the next

static uint64_t virtual_now(void *ctx)
{
    (void)ctx;
    return now * 1000;
}

static void turn(void)
{
    for (int i = 0; i < 20; i++)
        loop_once(loop, 0);
}

static int join(void)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(server_adopt(ctl->server, pair[0]), 0);
    return pair[1];
}

static int set_up(void **state)
{
    struct settings st;
    (void)state;
    now = 1000;
    log_set_all(-1);
    settings_default(&st);
    loop = loop_new();
    loop_set_clock(loop, (struct clock){virtual_now, NULL});
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
    client = join();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    vici_msg_free(&reply);
    ctl_free(ctl);
    loop_free(loop);
    close(client);
    for (int r = 0; r < ROOM_COUNT; r++) {
        if (room[r] >= 0)
            close(room[r]);
    }
    return 0;
}

// ---- the rooms' side

static uint8_t wire[IPC_MAX_MESSAGE];

static union msg expect(enum room from, enum msg_type t)
{
    union msg m;
    turn();
    ssize_t n = recv(room[from], wire, sizeof(wire), 0);
    if (n < 0)
        fail_msg("no message, expected %s", msg_name(t));
    enum msg_type got = msg_read(slice_of(wire, (size_t)n), &m);
    if (got != t)
        fail_msg("got %s, expected %s", msg_name(got), msg_name(t));
    return m;
}

static void expect_nothing(enum room from)
{
    turn();
    assert_int_equal(recv(room[from], wire, sizeof(wire), 0), -1);
}

static void tell(enum room from, enum msg_type t, const void *m)
{
    static uint8_t b[IPC_MAX_MESSAGE];
    struct writer w = writer_of(b, sizeof(b));
    msg_write(&w, t, m);
    assert_false(w.bad);
    assert_int_equal(send(room[from], w.p, w.len, 0), (ssize_t)w.len);
    turn();
}

static void result(enum room from, uint32_t req, bool ok, const char *text)
{
    struct msg_RESULT m = {.req = req, .ok = ok};
    snprintf(m.text, sizeof(m.text), "%s", text);
    tell(from, MSG_RESULT, &m);
}

// ---- the client's side

static void send_out(int fd, struct vici_out *o)
{
    assert_int_equal(vici_out_finish(o), 0);
    assert_int_equal(send(fd, o->data, o->len, 0), (ssize_t)o->len);
    vici_out_free(o);
    turn();
}

static void request(const char *name, ...) // pairs of key and value, NULL at the end
{
    struct vici_out o;
    va_list ap;
    vici_out_begin(&o, VICI_CMD_REQUEST, name);
    va_start(ap, name);
    for (const char *k; (k = va_arg(ap, const char *));)
        vici_put(&o, k, va_arg(ap, const char *));
    va_end(ap);
    send_out(client, &o);
}

static const struct vici_node *receive(int fd, enum vici_packet type, const char *event)
{
    struct esp_error err;
    turn();
    assert_int_equal(recv(fd, frame, 4, 0), 4);
    size_t len = (size_t)frame[1] << 16 | (size_t)frame[2] << 8 | frame[3], head = 1;
    assert_int_equal(recv(fd, frame, len, 0), (ssize_t)len);
    assert_int_equal(frame[0], type);
    if (event) {
        assert_int_equal(frame[1], strlen(event));
        assert_memory_equal(frame + 2, event, strlen(event));
        head = 2 + strlen(event);
    }
    vici_msg_free(&reply);
    if (vici_msg_parse(&reply, frame + head, len - head, &err) < 0)
        fail_msg("%s", err.text);
    return reply.root;
}

static void no_answer_yet(int fd)
{
    turn();
    assert_int_equal(recv(fd, frame, 1, 0), -1);
}

static void register_for(int fd, const char *event)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_EVENT_REGISTER, event);
    send_out(fd, &o);
    receive(fd, VICI_EVENT_CONFIRM, NULL);
}

static void assert_value(const struct vici_node *n, const char *key, const char *value)
{
    const char *got = vici_get(n, key);
    if (!got || strcmp(got, value) != 0)
        fail_msg("%s is %s, expected %s", key, got ? got : "(absent)", value);
}

static void expect_error(const char *text)
{
    const struct vici_node *r = receive(client, VICI_CMD_RESPONSE, NULL);
    assert_value(r, "success", "no");
    if (!vici_get(r, "errmsg") || !strstr(vici_get(r, "errmsg"), text))
        fail_msg("errmsg is %s, expected %s", vici_get(r, "errmsg"), text);
}

static void expect_success(void)
{
    assert_value(receive(client, VICI_CMD_RESPONSE, NULL), "success", "yes");
}

static void send_conn(const char *name, const char *start_action)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_REQUEST, "load-conn");
    vici_section(&o, name);
    vici_section(&o, "local");
    vici_put(&o, "auth", "psk");
    vici_section_end(&o);
    vici_section(&o, "remote");
    vici_put(&o, "auth", "psk");
    vici_section_end(&o);
    vici_section(&o, "children");
    vici_section(&o, "net");
    vici_put(&o, "start_action", start_action);
    vici_section_end(&o);
    vici_section_end(&o);
    vici_section_end(&o);
    send_out(client, &o);
}

static void load_conn(const char *name)
{
    send_conn(name, "none");
    result(ROOM_IKE, expect(ROOM_IKE, MSG_CONN_LOAD).CONN_LOAD.req, true, "");
    expect_success();
}

// ---- connections

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
    expect_error("4 faults, config discarded (all are in the log):\n"
                 "  gw: invalid value for: encap: 'perhaps', expected yes or no\n"
                 "  gw: unknown option: frobnicate\n"
                 "  gw: local.auth is missing");
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
}

static void test_load_conn_refused_by_ike_is_not_kept(void **state)
{
    (void)state;
    send_conn("gw", "start");
    result(ROOM_IKE, expect(ROOM_IKE, MSG_CONN_LOAD).CONN_LOAD.req, false, "no such thing");
    expect_error("no such thing");
    request("get-conns", NULL);
    assert_null(vici_find(receive(client, VICI_CMD_RESPONSE, NULL), "conns")->child);
    expect_nothing(ROOM_IKE); // nothing is started
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

static void test_initiate_refusals(void **state)
{
    (void)state;
    request("initiate", NULL);
    expect_error("missing configuration name");
    request("initiate", "child", "net", NULL);
    expect_error("CHILD_SA config 'net' not found");
    load_conn("gw");
    request("initiate", "ike", "gw", NULL);
    expect_error("without a CHILD_SA");
    request("initiate", "ike", "other", "child", "net", NULL);
    expect_error("CHILD_SA config 'net' not found");
    request("initiate", "child", "net", "timeout", "soon", NULL);
    expect_error("timeout: expected");
    request("initiate", "child", "net", NULL);
    result(ROOM_IKE, expect(ROOM_IKE, MSG_INITIATE).INITIATE.req, false, "AUTHENTICATION_FAILED");
    expect_error("AUTHENTICATION_FAILED");
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

static void answer_list_sas(bool path_works)
{
    union msg m = expect(ROOM_IKE, MSG_IKE_LIST);
    for (uint32_t id = 1; id <= 2; id++) {
        struct msg_IKE_INFO ike = ike_info(m.IKE_LIST.req, id);
        struct msg_CHILD_INFO child = child_info(m.IKE_LIST.req, id, 10 + id);
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
    result(ROOM_PATH, m.PATH_LIST.req, path_works, "");
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
    const struct vici_node *child = vici_find(vici_find(gw, "child-sas"), "net-11");
    assert_value(child, "packets-in", "0"); // path does not know it (any more)
    assert_null(vici_find(child, "offload"));
    gw = vici_find(receive(client, VICI_EVENT, "list-sa"), "gw");
    assert_value(gw, "uniqueid", "2");
    child = vici_find(vici_find(gw, "child-sas"), "net-12");
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
    request("get-counters", "name", "gw", NULL);
    expect_error("single connection");
}

// ---- rooms that do not answer

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
    close(room[ROOM_KEYS]);
    room[ROOM_KEYS] = -1;
    turn();
    request("get-shared", NULL);
    expect_error("the daemon is ending");
    request("version", NULL);
    assert_value(receive(client, VICI_CMD_RESPONSE, NULL), "daemon", "espalierd");
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

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_load_conn_is_kept_when_ike_takes_it),
        T(test_load_conn_refused_tells_every_fault),
        T(test_load_conn_refused_by_ike_is_not_kept),
        T(test_load_conn_with_start_action_leaves_starting_to_ike),
        T(test_load_conn_replaces_one_of_the_same_name),
        T(test_secret_goes_to_keys_and_nowhere_else),
        T(test_secrets_that_are_refused),
        T(test_get_shared_hides_secrets_without_a_name),
        T(test_certificates_and_private_keys_say_why_not),
        T(test_initiate_streams_the_log_to_its_client_only),
        T(test_initiate_refusals),
        T(test_initiate_without_waiting_answers_at_once),
        T(test_terminate_tells_the_number_of_matches),
        T(test_rekey_tells_the_number_of_matches),
        T(test_list_sas_joins_what_ike_and_path_know),
        T(test_list_sas_without_path_still_lists),
        T(test_updown_events),
        T(test_rekey_events_show_the_old_and_the_new_one),
        T(test_counters_are_counted_from_the_last_reset),
        T(test_room_without_answer_times_out),
        T(test_room_that_is_gone_is_an_error),
        T(test_settings_are_reread_by_the_supervisor),
        T(test_commands_under_way_are_bounded),
        T(test_all_36_commands_answer_an_empty_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
