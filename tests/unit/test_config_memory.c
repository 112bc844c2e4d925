// SPDX-License-Identifier: Apache-2.0
// No memory, at each allocation in turn: a file that is read, a connection that is loaded and the ctl process
// that loads it. What was asked for fails and says so, nothing has changed, nothing is lost (the address
// sanitizer's leak checker looks on), and the next time it works.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrl/config/options.h"
#include "ctrl/config/swanctl_file.h"
#include "ctrl/ctl/ctl.h"
#include "ctrl/lib/log.h"
#include "tests/unit/no_memory.h"

enum { LIMIT = 5000 };

// ---- files

static const char file[] =
    "base { local { auth = psk\n id = a }\n remote { auth = psk } }\n"
    "connections { gw : base { remote_addrs = 10.0.0.1, 10.0.0.2\n"
    " children { net { remote_ts = 10.1.0.0/16\n } other : connections.gw.children.net { mode = transport\n "
    "} }\n"
    " } }\n"
    "secrets { ike { secret = 0sAAEC\n id = a } }\npools { p { addrs = 10.9.0.0/24 } }\n";

static unsigned faults, conns, secrets;

static void fault(void *ctx, const char *where, const char *path, const char *text)
{
    (void)ctx;
    (void)where;
    if (strstr(text, "memory"))
        faults++;
    else
        fail_msg("%s: %s", path, text);
}

static void syntax_fault(void *ctx, const char *where, const char *text)
{
    fault(ctx, where, "", text);
}

static void warn(void *ctx, const char *where, const char *path, const char *text)
{
    (void)ctx;
    (void)where;
    (void)path;
    (void)text;
}

static void conn(void *ctx, const struct conn_config *c)
{
    (void)ctx;
    assert_int_equal(c->child_count, 2);
    conns++;
}

static void secret(void *ctx, const struct vici_node *root)
{
    (void)ctx;
    (void)root;
    secrets++;
}

static int read_swanctl(bool all_faults)
{
    const struct conf_faults told = {NULL, syntax_fault};
    const struct swanctl_report report = {.fault = fault, .warn = warn, .conn = conn, .secret = secret};
    struct conf_tree t;
    struct esp_error err = {0};
    conns = secrets = faults = 0;
    int r = conf_tree_parse(&t, file, strlen(file), "x", ".", all_faults ? &told : NULL, &err);
    if (r)
        assert_non_null(strstr(err.text, "memory"));
    if (r)
        assert_null(t.top.sections.first);
    r = r ? r : swanctl_file_check(&t, NULL, &report);
    conf_tree_free(&t);
    return r;
}

static void test_swanctl_file_without_memory_is_read_no_further(void **state)
{
    (void)state;
    for (int all = 0; all < 2; all++) {
        unsigned n = 0;
        int r;
        do {
            no_memory_at(++n);
            r = read_swanctl(all);
            assert_int_equal(no_memory_end(), r != 0);
            assert_true(r == 0 || r == -ENOMEM);
        } while (r && n < LIMIT);
        assert_in_range(n, 40, LIMIT - 1);
        assert_true(conns == 1 && secrets == 1 && faults == 0);
        print_message("a swanctl.conf met each of %u allocations failing\n", n - 1);
    }
}

static void test_settings_without_memory_are_not_applied(void **state)
{
    char path[] = "/tmp/espalier-memory-XXXXXX", opt[] = "-o", set[] = "mtu=1300", name[] = "--config";
    char *argv[] = {opt, name, path, opt, set, NULL};
    static const char text[] = "charon { retransmit_tries = 3\n filelog { x { ike = 2\n } } }\n";
    unsigned n = 0;
    int fd = mkstemp(path), r;
    (void)state;
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    do {
        struct options o;
        struct daemon_config c;
        struct esp_error err = {0};
        no_memory_at(++n);
        r = options_parse(&o, 5, argv, &err);
        r = r ? r : config_build(&c, &o, NULL, &err);
        assert_int_equal(no_memory_end(), r != 0);
        if (r && !strstr(err.text, "memory"))
            fail_msg("%d: %s", r, err.text);
        if (!r)
            assert_true(c.settings.retransmit_tries == 3 && c.settings.mtu == 1300);
        options_free(&o);
    } while (r && n < LIMIT);
    unlink(path);
    assert_in_range(n, 8, LIMIT - 1);
    print_message("settings met each of %u allocations failing\n", n - 1);
}

// ---- load-conn

static struct loop *loop;
static struct ctl *ctl;
static int ike, client;

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

static void up(void)
{
    struct settings st;
    int pair[2];
    settings_default(&st);
    loop = loop_new();
    ctl = ctl_new(loop, &st);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(ctl_connect(ctl, ROOM_IKE, pair[0]), 0);
    ike = pair[1];
    client = join();
}

static void down(void)
{
    ctl_free(ctl);
    loop_free(loop);
    close(client);
    close(ike);
}

static void put_conn(struct vici_out *o, const char *action)
{
    vici_out_begin(o, VICI_CMD_REQUEST, "load-conn");
    vici_section(o, "gw");
    for (int i = 0; i < 2; i++) {
        vici_section(o, i ? "local" : "remote");
        vici_put(o, "auth", "psk");
        vici_section_end(o);
    }
    vici_section(o, "children");
    for (int i = 0; i < 3; i++) {
        vici_section(o, i == 0 ? "a" : i == 1 ? "b" : "c");
        vici_put(o, "start_action", action);
        vici_section_end(o);
    }
    vici_section_end(o);
    vici_section_end(o);
    assert_int_equal(vici_out_finish(o), 0);
}

// Whether ike was asked; it takes what it gets.
static bool ike_takes(void)
{
    static uint8_t wire[IPC_MAX_MESSAGE];
    uint8_t answer[300];
    union msg m;
    enum msg_type t = MSG_LISTEN; // ctl says who listens when it meets ike
    while (t == MSG_LISTEN) {
        ssize_t n = recv(ike, wire, sizeof(wire), 0);
        if (n < 0)
            return false;
        t = msg_read(slice_of(wire, (size_t)n), &m);
    }
    assert_int_equal(t, MSG_CONN_LOAD);
    struct msg_RESULT ok = {.req = m.CONN_LOAD.req, .ok = true};
    struct writer w = writer_of(answer, sizeof(answer));
    msg_write(&w, MSG_RESULT, &ok);
    assert_int_equal(send(ike, w.p, w.len, 0), w.len);
    turn();
    return true;
}

static uint8_t action_now(void)
{
    const struct conn_entry *e = ctl_find_conn(ctl, "gw");
    struct conn_config cfg;
    assert_non_null(e);
    assert_true(ctl_read_conn(e, &cfg));
    assert_int_equal(cfg.child_count, 3);
    uint8_t action = cfg.children[2].start_action;
    // Thousands are kept here: no more than went to `ike`.
    assert_true(malloc_usable_size((void *)(uintptr_t)e) < 4096);
    conn_clear(&cfg);
    return action;
}

// The client's answer: 1 success; 0 refused for lack of memory; 2 the command is done and its answer has
// none; -1 nothing, because there was none for that either.
static int answer(void)
{
    static uint8_t buf[4096];
    ssize_t n = recv(client, buf, sizeof(buf), 0);
    if (n <= 0)
        return -1;
    if (memmem(buf, (size_t)n, "success\0\003yes", 12))
        return 1;
    if (memmem(buf, (size_t)n, "the reply cannot be sent", 24))
        return 2;
    if (!memmem(buf, (size_t)n, "memory", 6))
        fail_msg("refused with \"%.*s\"", (int)n - 28, (const char *)buf + 28);
    return 0;
}

static bool load(struct vici_out *o)
{
    assert_int_equal(send(client, o->data, o->len, 0), o->len);
    turn();
    return ike_takes();
}

static void test_load_conn_without_memory_changes_nothing(void **state)
{
    struct vici_out first, edited;
    unsigned n = 0, refused = 0;
    bool failed = true;
    (void)state;
    log_set_all(-1);
    put_conn(&first, "none");
    put_conn(&edited, "trap");
    while (failed && n++ < LIMIT) {
        up();
        assert_true(load(&first) && answer() == 1);
        no_memory_at(n);
        bool asked = load(&edited);
        failed = no_memory_end();
        int said = answer();
        assert_int_equal(action_now(), asked ? ACTION_TRAP : ACTION_NONE);
        assert_true(failed || said == 1);
        if (asked)
            assert_int_not_equal(said, 0);
        else
            refused++;
        if (said < 0) { // hung up on, or waiting for ever: both would be seen by the next client
            close(client);
            client = join();
        }
        if (!asked)
            assert_true(load(&edited) && answer() == 1);
        assert_int_equal(action_now(), ACTION_TRAP);
        down();
    }
    vici_out_free(&first);
    vici_out_free(&edited);
    assert_false(failed);
    assert_in_range(refused, 5, LIMIT);
    print_message("load-conn met each of %u allocations failing, and was refused at %u\n", n - 1, refused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_swanctl_file_without_memory_is_read_no_further),
        cmocka_unit_test(test_settings_without_memory_are_not_applied),
        cmocka_unit_test(test_load_conn_without_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
