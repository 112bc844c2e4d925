// SPDX-License-Identifier: Apache-2.0
// espalier against a daemon that says what the test wants: tables, JSON, names, refusals, and nonsense.
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/unit/cli_rig.h"

static json_t *document(void)
{
    json_error_t why;
    json_t *doc = json_loads(cli_out, 0, &why);
    if (!doc)
        fail_msg("no JSON: %s at line %d:\n%s", why.text, why.line, cli_out);
    return doc;
}

// ---- what there is

static void put_list(struct vici_out *o, const char *name, const char *item)
{
    vici_list(o, name);
    vici_item(o, item);
    vici_list_end(o);
}

static void put_child(struct vici_out *o, const char *name, const char *id)
{
    char section[80];
    snprintf(section, sizeof(section), "%s-%s", name, id);
    vici_section(o, section);
    vici_put(o, "name", name);
    vici_put(o, "uniqueid", id);
    vici_put(o, "state", "INSTALLED");
    vici_put(o, "encr-alg", "AES_GCM_16");
    vici_put(o, "encr-keysize", "256");
    vici_put(o, "bytes-in", "1536");
    vici_put(o, "bytes-out", "1152921504606846976");
    vici_put(o, "install-time", "3900");
    vici_put(o, "spi-in", "0000000a");
    vici_put(o, "offload", "card");
    put_list(o, "local-ts", "10.1.0.0/16");
    put_list(o, "remote-ts", "10.2.0.0/16");
    vici_section_end(o);
}

static void send_sa(struct fake *f, const char *name, const char *remote_id)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_EVENT, "list-sa");
    vici_section(&o, name);
    vici_put(&o, "uniqueid", "7");
    vici_put(&o, "version", "2");
    vici_put(&o, "state", "ESTABLISHED");
    vici_put(&o, "local-host", "192.0.2.1");
    vici_put(&o, "local-id", "192.0.2.1");
    vici_put(&o, "remote-host", "192.0.2.2");
    vici_put(&o, "remote-id", remote_id);
    vici_put(&o, "initiator", "yes");
    vici_put(&o, "established", "59");
    vici_section(&o, "child-sas");
    put_child(&o, "net", "12");
    vici_section_end(&o);
    vici_section_end(&o);
    fake_send(f, &o);
}

static void send_conn(struct fake *f, const char *name, const char *child, const char *second)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_EVENT, "list-conn");
    vici_section(&o, name);
    put_list(&o, "remote_addrs", "192.0.2.2");
    vici_put(&o, "rekey_time", "14400");
    vici_section(&o, "children");
    for (const char *c = child; c; c = c == child ? second : NULL) {
        vici_section(&o, c);
        vici_put(&o, "mode", strcmp(c, "lan") == 0 ? "PASS" : "TUNNEL");
        vici_put(&o, "start_action", strcmp(c, "later") == 0 ? "trap" : "none");
        put_list(&o, "local-ts", "10.1.0.0/16");
        vici_section_end(&o);
    }
    vici_section_end(&o);
    vici_section_end(&o);
    fake_send(f, &o);
}

static const char hostile[] = "e\033[31mvil\x9b"
                              "2J C=CH, O=a name that is very much longer than any column of any table";

static void healthy(struct fake *f, const char *command, const struct vici_node *args)
{
    struct vici_out o;
    (void)args;
    if (strcmp(command, "list-sas") == 0)
        send_sa(f, "gw", hostile);
    if (strcmp(command, "list-conns") == 0) {
        send_conn(f, "gw", "net", "other");
        send_conn(f, "home", "home", NULL);
        send_conn(f, "second", "other", NULL);
        send_conn(f, "shunt", "lan", "later");
    }
    if (strcmp(command, "initiate") == 0) {
        vici_out_begin(&o, VICI_EVENT, "control-log");
        vici_put(&o, "group", "IKE");
        vici_put(&o, "level", "1");
        vici_put(&o, "msg", "a line\033[2J of the log");
        fake_send(f, &o);
    }
    fake_ok(f);
}

static void empty(struct fake *f, const char *command, const struct vici_node *args)
{
    struct vici_out o;
    (void)args;
    if (strcmp(command, "get-pools") != 0) {
        fake_ok(f);
        return;
    }
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    fake_send(f, &o);
}

static void down(struct fake *f, const char *command, const struct vici_node *args)
{
    (void)args;
    if (strcmp(command, "list-conns") == 0)
        send_conn(f, "gw", "net", NULL);
    fake_ok(f);
}

// net has failed twice and is tried again, far is being tried.
static void trying(struct fake *f, const char *command, const struct vici_node *args)
{
    struct vici_out o;
    if (strcmp(command, "list-conns") == 0 && vici_get_yes(args, "tries", false)) {
        vici_out_begin(&o, VICI_EVENT, "list-conn");
        vici_section(&o, "gw");
        vici_section(&o, "children");
        for (int i = 0; i < 2; i++) {
            vici_section(&o, i ? "far" : "net");
            vici_put(&o, "mode", "TUNNEL");
            vici_put(&o, "failures", "2");
            if (!i)
                vici_put(&o, "next-try", "12");
            vici_section_end(&o);
        }
        vici_section_end(&o);
        vici_section_end(&o);
        fake_send(f, &o);
    }
    fake_ok(f);
}

// Answers and goes at the next question.
static void one_answer(struct fake *f, const char *command, const struct vici_node *args)
{
    static bool once;
    if (once)
        shutdown(f->fd, SHUT_RDWR);
    else
        healthy(f, command, args);
    once = true;
}

static unsigned longest_line(const char *text)
{
    unsigned most = 0, n = 0;
    for (; *text; text++) {
        n = *text == '\n' ? 0 : n + (((unsigned char)*text & 0xc0) != 0x80);
        most = n > most ? n : most;
    }
    return most;
}

static void test_sas_table_fits_and_lets_no_control_character_by(void **state)
{
    static const unsigned widths[] = {80, 100, 120};
    (void)state;
    fake_start(healthy, NULL);
    cli_terminal = true;
    setenv("NO_COLOR", "1", 1);
    for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
        cli_width = widths[i];
        assert_int_equal(espalier("sas", NULL), CLI_DONE);
        assert_true(longest_line(cli_out) <= widths[i]);
        assert_null(strchr(cli_out, '\033'));
        assert_null(strchr(cli_out, '\x9b'));
        shows("gw[7]");
        shows("  net[12]");
        shows("ESTABLISHED");
        shows("192.0.2.2 [e?");
        shows("card");
        shows("1.5 KiB");
        shows("1.0 EiB");
    }
    shows("1h05m"); // where there is room
    unsetenv("NO_COLOR");
    cli_terminal = false;
    assert_int_equal(espalier("sas", "--long", NULL), CLI_DONE);
    assert_null(strchr(cli_out, '\033'));
    shows("    remote-host: 192.0.2.2\n");
}

static void test_sas_into_a_file_are_whole_however_long_they_are(void **state)
{
    static const char whole[] =
        "192.0.2.2 [e?[31mvil?2J C=CH, O=a name that is very much longer than any column "
        "of any table]  ";
    (void)state;
    fake_start(healthy, NULL);
    cli_width = 40;
    assert_int_equal(espalier("sas", NULL), CLI_DONE);
    shows(whole);
    shows("1h05m");
    assert_null(strchr(cli_out, '~'));
}

static char long_name[2000];

static void wordy(struct fake *f, const char *command, const struct vici_node *args)
{
    struct vici_out o;
    (void)args;
    if (strcmp(command, "list-sas") == 0) {
        memset(long_name, 'n', sizeof(long_name) - 1);
        send_sa(f, "gw", long_name);
    }
    if (strcmp(command, "initiate") == 0) {
        vici_out_begin(&o, VICI_EVENT, "control-log");
        vici_put(&o, "group", "IKE");
        vici_put(&o, "msg", long_name);
        fake_send(f, &o);
    }
    fake_ok(f);
}

static void test_what_is_long_is_shown_whole(void **state)
{
    (void)state;
    memset(long_name, 'n', sizeof(long_name) - 1);
    fake_start(wordy, NULL);
    assert_int_equal(espalier("sas", NULL), CLI_DONE);
    shows(long_name);
    assert_int_equal(espalier("sas", "--long", NULL), CLI_DONE);
    shows(long_name);
    assert_int_equal(espalier("up", "--ike", "gw", NULL), CLI_DONE);
    shows(long_name);
}

static void test_sas_colours_only_on_a_terminal_without_no_color(void **state)
{
    (void)state;
    fake_start(healthy, NULL);
    cli_terminal = true;
    assert_int_equal(espalier("sas", NULL), CLI_DONE);
    shows("\033[32mESTABLISHED\033[0m");
    setenv("NO_COLOR", "1", 1);
    assert_int_equal(espalier("sas", NULL), CLI_DONE);
    assert_null(strchr(cli_out, '\033'));
    unsetenv("NO_COLOR");
}

static void test_sas_json_has_numbers_and_booleans_by_key(void **state)
{
    (void)state;
    fake_start(healthy, NULL);
    assert_int_equal(espalier("sas", "--json", NULL), CLI_DONE);
    json_t *doc = document(), *sa = json_array_get(json_object_get(doc, "sas"), 0);
    json_t *child = json_array_get(json_object_get(sa, "child-sas"), 0);
    assert_string_equal(json_string_value(json_object_get(sa, "name")), "gw");
    assert_int_equal(json_integer_value(json_object_get(sa, "uniqueid")), 7);
    assert_true(json_is_true(json_object_get(sa, "initiator")));
    assert_string_equal(json_string_value(json_object_get(child, "name")), "net");
    assert_string_equal(json_string_value(json_object_get(child, "spi-in")), "0000000a");
    assert_int_equal(json_integer_value(json_object_get(child, "bytes-in")), 1536);
    assert_string_equal(json_string_value(json_array_get(json_object_get(child, "local-ts"), 0)),
                        "10.1.0.0/16");
    json_decref(doc);
}

static void test_sas_name_goes_to_the_daemon(void **state)
{
    (void)state;
    fake_start(healthy, NULL);
    assert_int_equal(espalier("sas", "gw", NULL), CLI_DONE);
    assert_string_equal(fake_heard(), "list-sas ike=gw noblock=yes\n");
}

static void test_name_that_nobody_has_exits_1_and_is_said(void **state)
{
    (void)state;
    fake_start(healthy, NULL);
    assert_int_equal(espalier("sas", "gw", NULL), CLI_DONE);
    fake_start(empty, NULL);
    assert_int_equal(espalier("sas", NULL), CLI_DONE);
    shows("no SAs");
    assert_int_equal(espalier("sas", "nosuch\033[2J", NULL), CLI_FAILED);
    says("espalier: nosuch?[2J: no connection of that name is loaded, or has an SA; see `espalier conns`\n");
    assert_string_equal(cli_out, "");
    assert_int_equal(espalier("sas", "nosuch", "--json", NULL), CLI_FAILED);
    json_t *doc = document();
    assert_string_equal(json_string_value(json_object_get(json_object_get(doc, "error"), "field")), "nosuch");
    json_decref(doc);
    assert_int_equal(espalier("conns", "nosuch", NULL), CLI_FAILED);
    says("espalier: nosuch: no connection of that name is loaded; see `espalier conns`\n");
    assert_int_equal(espalier("conns", "nosuch", "--names", NULL), CLI_FAILED);
    assert_int_equal(espalier("conns", "nosuch", "--long", NULL), CLI_FAILED);
    assert_int_equal(espalier("pools", "nosuch", NULL), CLI_FAILED);
    says("espalier: nosuch: no pool of that name is loaded; see `espalier pools`\n");
    assert_int_equal(espalier("pools", NULL), CLI_DONE);
    shows("no pools");
}

// A connection that is loaded and down has no SA, which is no failure.
static void test_sas_of_a_connection_that_is_down_are_none(void **state)
{
    (void)state;
    fake_start(down, NULL);
    assert_int_equal(espalier("sas", "gw", NULL), CLI_DONE);
    assert_string_equal(cli_out, "no SAs\n");
}

static void test_watch_waits_for_a_daemon_that_is_started_again(void **state)
{
    (void)state;
    fake_start_twice((fake_answer_fn *const[]){one_answer, healthy});
    assert_int_equal(espalier("sas", "--watch", "--interval", "1", "--count", "5", NULL), CLI_DONE);
    says("the daemon has closed the connection\nespalier: waiting for the daemon\nespalier: the daemon "
         "answers "
         "again\n");
    const char *again = strstr(strstr(cli_out, "gw[7]") + 1, "gw[7]");
    assert_non_null(again);
    fake_start_twice((fake_answer_fn *const[]){one_answer, healthy});
    assert_int_equal(espalier("sas", "--watch", "--json", "--interval", "1", "--count", "4", NULL), CLI_DONE);
    assert_non_null(strstr(cli_out, "\"error\":{\"field\":\"list-sas\""));
    assert_non_null(strstr(cli_out, "no daemon listens there"));
    assert_non_null(strstr(strstr(cli_out, "\"error\""), "\"sas\":[{"));
}

static void test_sas_watch_json_is_a_document_a_line_with_its_time(void **state)
{
    (void)state;
    fake_start(healthy, NULL);
    assert_int_equal(espalier("sas", "--json", "--watch", "--interval", "1", "--count", "2", NULL), CLI_DONE);
    char *second = strchr(cli_out, '\n');
    assert_non_null(second);
    *second++ = 0;
    json_t *doc = document();
    assert_non_null(json_object_get(doc, "time"));
    assert_non_null(json_object_get(doc, "sas"));
    json_decref(doc);
    assert_non_null(strstr(second, "\"sas\":[{"));
    assert_string_equal(strchr(second, '\n'), "\n");
}

static void test_conns_show_what_is_down_too(void **state)
{
    (void)state;
    fake_start(healthy, NULL);
    assert_int_equal(espalier("conns", NULL), CLI_DONE);
    shows("gw          up ");
    shows("  net       up ");
    shows("  other     down");
    shows("home        down");
    shows("  lan       policy");
    shows("  later     trap");
    assert_int_equal(espalier("conns", "--names", NULL), CLI_DONE);
    assert_string_equal(cli_out, "gw\nhome\nlan\nlater\nnet\nother\nsecond\nshunt\n");
    assert_int_equal(espalier("conns", "--json", NULL), CLI_DONE);
    json_t *doc = document(), *gw = json_array_get(json_object_get(doc, "connections"), 0);
    assert_int_equal(json_integer_value(json_object_get(gw, "up")), 1);
    assert_int_equal(
        json_integer_value(json_object_get(json_array_get(json_object_get(gw, "children"), 1), "up")), 0);
    json_decref(doc);
}

// ---- numbers

static void counting(struct fake *f, const char *command, const struct vici_node *args)
{
    static unsigned asked;
    struct vici_out o;
    (void)args;
    if (strcmp(command, "get-counters") != 0) {
        fake_ok(f);
        return;
    }
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_section(&o, "counters");
    vici_section(&o, "");
    vici_putf(&o, "packets", "%u", 1000000 + 500 * asked++);
    vici_put(&o, "drops", "0");
    vici_section_end(&o);
    vici_section(&o, "gw");
    vici_put(&o, "ike-rekey-init", "3");
    vici_section_end(&o);
    vici_section_end(&o);
    vici_put(&o, "success", "yes");
    fake_send(f, &o);
}

static void test_counters_of_all_and_of_connections(void **state)
{
    (void)state;
    fake_start(counting, NULL);
    assert_int_equal(espalier("counters", NULL), CLI_DONE);
    shows("packets             1,000,000\n");
    shows("gw: ike-rekey-init          3\n");
    assert_int_equal(espalier("counters", "drop", NULL), CLI_DONE);
    assert_null(strstr(cli_out, "packets"));
    shows("drops");
    fake_heard();
    assert_int_equal(espalier("counters", "--json", "--reset", NULL), CLI_DONE);
    assert_string_equal(fake_heard(), "get-counters all=yes\nreset-counters all=yes\n");
    json_t *doc = document();
    assert_int_equal(json_integer_value(json_object_get(json_object_get(doc, "counters"), "packets")),
                     1001000);
    json_t *gw = json_object_get(json_object_get(doc, "connections"), "gw");
    assert_int_equal(json_integer_value(json_object_get(gw, "ike-rekey-init")), 3);
    json_decref(doc);
}

static void test_counters_watched_show_how_many_a_second(void **state)
{
    (void)state;
    fake_start(counting, NULL);
    struct timespec begun, ended;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    assert_int_equal(espalier("counters", "packets", "--watch", "--interval", "1", "--count", "2", NULL),
                     CLI_DONE);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    double all = (double)(ended.tv_sec - begun.tv_sec) + (double)(ended.tv_nsec - begun.tv_nsec) / 1e9;
    const char *row = strstr(cli_out, "1,000,500");
    double rate = row ? strtod(row + strlen("1,000,500"), NULL) : 0;
    if (rate * all < 499) // 500 in a part of it
        fail_msg("%f a second, in %f s:\n%s", rate, all, cli_out);
}

// 100 more at each question; what is counted is set to zero by a reset, but not what there is.
static void counting_from_resets(struct fake *f, const char *command, const struct vici_node *args)
{
    static unsigned packets = 5000;
    struct vici_out o;
    (void)args;
    if (strcmp(command, "reset-counters") == 0)
        packets = 0;
    if (strcmp(command, "get-counters") != 0) {
        fake_ok(f);
        return;
    }
    packets += 100;
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_section(&o, "counters");
    vici_section(&o, "");
    vici_putf(&o, "packets", "%u", packets);
    vici_section_end(&o);
    vici_section_end(&o);
    vici_put(&o, "success", "yes");
    fake_send(f, &o);
}

// From the reset on there are 100 and then 200: 100 in the second between.
static void test_counters_watched_and_reset_show_how_many_since_the_reset(void **state)
{
    struct timespec begun, ended;
    (void)state;
    fake_start(counting_from_resets, NULL);
    clock_gettime(CLOCK_MONOTONIC, &begun);
    assert_int_equal(
        espalier("counters", "packets", "--watch", "--reset", "--interval", "1", "--count", "2", NULL),
        CLI_DONE);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    double all = (double)(ended.tv_sec - begun.tv_sec) + (double)(ended.tv_nsec - begun.tv_nsec) / 1e9;
    const char *first = strstr(cli_out, "5,100"), *row = first ? strstr(first, " 200 ") : NULL;
    double rate = row ? strtod(row + strlen(" 200 "), NULL) : 0;
    if (rate * all < 99) // 100 in a part of it
        fail_msg("%f a second, in %f s:\n%s", rate, all, cli_out);
}

// ---- what comes from elsewhere

static const char vile[] = "a\033[2J\x9b"
                           "b";
static const char vile_name[] =
    "n\x9bm"; // VICI has no control characters in names, but octets that are no UTF-8

static void vile_everywhere(struct fake *f, const char *command, const struct vici_node *args)
{
    struct vici_out o;
    (void)args;
    if (strcmp(command, "list-conns") == 0)
        send_conn(f, vile_name, vile_name, NULL);
    if (strcmp(command, "list-sas") == 0)
        send_sa(f, vile_name, vile);
    if (strcmp(command, "stats") != 0 && strcmp(command, "version") != 0) {
        fake_refuse(f, vile);
        return;
    }
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_put(&o, "daemon", vile);
    vici_put(&o, vile_name, vile);
    vici_section(&o, "processes");
    vici_put(&o, vile_name, vile);
    vici_section_end(&o);
    put_list(&o, "plugins", vile);
    fake_send(f, &o);
}

static void clean(const char *text)
{
    for (; *text; text++)
        if (((unsigned char)*text < ' ' && *text != '\n') || *text == 0x7f || *text == '\x9b')
            fail_msg("octet %02x in:\n%s\nand:\n%s", (unsigned char)*text, cli_out, cli_err);
}

static void test_nothing_that_comes_from_elsewhere_moves_the_cursor(void **state)
{
    static const char *const lines[][4] = {{"stats"},
                                           {"sas"},
                                           {"sas", "--long"},
                                           {"conns"},
                                           {"conns", "--names"},
                                           {"conns", "--long"},
                                           {"certs"},
                                           {"pools"},
                                           {"counters"},
                                           {"up", vile},
                                           {"down", vile},
                                           {"rekey", vile},
                                           {"up", "--ike", vile},
                                           {"sas", vile},
                                           {vile},
                                           {"sas", "--count", vile},
                                           {"completion", vile},
                                           {"help", vile},
                                           {"check", vile},
                                           {"load", vile}};
    (void)state;
    fake_start(vile_everywhere, NULL);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        const char *const *l = lines[i];
        char *argv[8] = {"espalier"};
        int argc = 1;
        for (; argc < 5 && l[argc - 1]; argc++)
            argv[argc] = (char *)(uintptr_t)l[argc - 1];
        const struct cli_command *c = cli_find(l[0]);
        if (c && c->options & 1u << CLI_URI)
            espalier(l[0], l[1], l[1] ? l[2] : NULL, NULL);
        else
            espalier_plain(argc, argv);
        clean(cli_out);
        clean(cli_err);
        assert_true(strlen(cli_out) + strlen(cli_err) > 5);
    }
    if (espalier("stats", NULL) != CLI_DONE)
        fail_msg("stats: %s", cli_err);
    shows("a?[2J?b");
}

static void test_conns_say_when_what_is_down_is_tried_again(void **state)
{
    (void)state;
    fake_start(trying, NULL);
    assert_int_equal(espalier("conns", NULL), CLI_DONE);
    shows("down, next try in 12s");
    shows("down, failed 2 times");
    assert_int_equal(espalier("conns", "--json", NULL), CLI_DONE);
    shows("\"next-try\": \"12\"");
}

// ---- tunnels

static void test_up_a_connection_is_each_of_its_children(void **state)
{
    (void)state;
    fake_start(healthy, NULL);
    assert_int_equal(espalier("up", "gw", "--timeout", "3", NULL), CLI_DONE);
    assert_string_equal(fake_heard(), "list-conns\n"
                                      "initiate child=net ike=gw timeout=3000 loglevel=1\n"
                                      "initiate child=other ike=gw timeout=3000 loglevel=1\n");
    shows("[IKE] a line?[2J of the log\n");
    shows("gw/net is up\n");
}

static void test_up_a_child_by_its_name_or_with_its_connection(void **state)
{
    (void)state;
    fake_start(healthy, NULL);
    assert_int_equal(espalier("up", "net", "second/other", "home", "--level", "-1", NULL), CLI_DONE);
    assert_string_equal(fake_heard(), "list-conns\n"
                                      "initiate child=net ike=gw loglevel=-1\n"
                                      "initiate child=other ike=second loglevel=-1\n"
                                      "initiate child=home ike=home loglevel=-1\n");
    assert_int_equal(espalier("up", "--ike", "gw", NULL), CLI_DONE);
    assert_string_equal(fake_heard(), "initiate ike=gw loglevel=1\n");
}

static void test_up_a_name_of_several_is_refused_before_anything_is_done(void **state)
{
    (void)state;
    fake_start(healthy, NULL);
    assert_int_equal(espalier("up", "other", NULL), CLI_USAGE);
    says("2 connections have a child of that name: say gw/other, or second/other");
    assert_string_equal(fake_heard(), "list-conns\n");
    assert_int_equal(espalier("down", "home", NULL), CLI_USAGE);
    says("a connection and a child have that name: say home/home for the child, --ike home for the "
         "connection");
    assert_int_equal(espalier("down", "home/home", NULL), CLI_DONE);
}

static void test_down_of_a_connection_is_its_ike_sas_and_rekey_of_all_that_is_in_them(void **state)
{
    (void)state;
    fake_start(healthy, NULL);
    assert_int_equal(espalier("down", "gw", "--force", NULL), CLI_DONE);
    assert_string_equal(fake_heard(),
                        "list-conns\nlist-sas noblock=yes\nterminate ike=gw force=yes loglevel=1\n");
    assert_int_equal(espalier("rekey", "gw", NULL), CLI_DONE);
    assert_string_equal(fake_heard(), "list-conns\nlist-sas noblock=yes\nrekey child=net ike=gw loglevel=1\n"
                                      "rekey ike=gw loglevel=1\n"); // `other` has no SA
    assert_int_equal(espalier("rekey", "--ike", "gw", NULL), CLI_DONE);
    assert_string_equal(fake_heard(), "rekey ike=gw loglevel=1\n");
    assert_int_equal(espalier("rekey", "gw", "--reauth", NULL), CLI_DONE);
    assert_string_equal(fake_heard(),
                        "list-conns\nlist-sas noblock=yes\nrekey ike=gw reauth=yes loglevel=1\n");
    assert_int_equal(espalier("down", "--child-id", "12", NULL), CLI_DONE);
    assert_string_equal(fake_heard(), "terminate child-id=12 loglevel=1\n");
}

static char long_refusal[700];

static void refusing(struct fake *f, const char *command, const struct vici_node *args)
{
    (void)args;
    if (strcmp(command, "list-conns") == 0)
        fake_ok(f);
    else
        fake_refuse(f, long_refusal);
}

static void test_refusal_is_printed_whole_as_the_daemon_says_it(void **state)
{
    (void)state;
    memset(long_refusal, 'r', sizeof(long_refusal) - 1);
    memcpy(long_refusal, "no\033way", 6);
    fake_start(refusing, NULL);
    long_refusal[2] = '?';
    assert_int_equal(espalier("up", "nobody", NULL), CLI_FAILED);
    says(long_refusal);
    assert_int_equal(espalier("up", "nobody", "--json", NULL), CLI_FAILED);
    json_t *doc = document(), *first = json_array_get(json_object_get(doc, "results"), 0);
    assert_true(json_is_false(json_object_get(first, "success")));
    assert_string_equal(json_string_value(json_object_get(first, "error")), long_refusal);
    json_decref(doc);
    assert_int_equal(espalier("sas", NULL), CLI_FAILED);
    says(long_refusal);
}

// ---- as it happens

static void send_log(struct fake *f, const char *level, const char *msg)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_EVENT, "log");
    vici_put(&o, "group", "IKE");
    vici_put(&o, "level", level);
    vici_put(&o, "ikesa-name", "gw");
    vici_put(&o, "ikesa-uniqueid", "7");
    vici_put(&o, "msg", msg);
    fake_send(f, &o);
}

static void put_ends(struct vici_out *o, const char *id)
{
    vici_put(o, "name", "net");
    vici_put(o, "uniqueid", id);
    vici_put(o, "spi-in", "00000001");
    put_list(o, "local-ts", "10.1.0.0/16");
    put_list(o, "remote-ts", "10.2.0.0/16");
}

static void send_events(struct fake *f)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_EVENT, "child-updown");
    vici_put(&o, "up", "yes");
    vici_section(&o, "gw");
    vici_section(&o, "child-sas");
    put_child(&o, "net", "12");
    vici_section_end(&o);
    vici_section_end(&o);
    fake_send(f, &o);
    vici_out_begin(&o, VICI_EVENT, "child-rekey");
    vici_section(&o, "gw");
    vici_section(&o, "child-sas");
    vici_section(&o, "net");
    vici_section(&o, "old");
    put_ends(&o, "12");
    vici_section_end(&o);
    vici_section(&o, "new");
    put_ends(&o, "13");
    vici_section_end(&o);
    vici_section_end(&o);
    vici_section_end(&o);
    vici_section_end(&o);
    fake_send(f, &o);
    vici_out_begin(&o, VICI_EVENT, "ike-updown");
    vici_section(&o, "gw");
    vici_put(&o, "uniqueid", "7");
    vici_put(&o, "remote-id", "peer\n.example");
    vici_section_end(&o);
    fake_send(f, &o);
}

static void talkative(struct fake *f, const char *event)
{
    if (strcmp(event, "log") == 0) {
        send_log(f, "2", "too much");
        send_log(f, "1", "first\nline");
        send_log(f, "0", "second");
    } else if (strcmp(event, "alert") == 0) {
        send_events(f);
    }
}

static void test_log_has_its_lines_up_to_a_level(void **state)
{
    (void)state;
    fake_start_events(talkative, NULL);
    assert_int_equal(espalier("log", "--level", "1", "--count", "2", NULL), CLI_DONE);
    assert_null(strstr(cli_out, "too much"));
    shows("[IKE] <gw|7> first?line\n");
    shows("[IKE] <gw|7> second\n");
    assert_int_equal(espalier("log", "--json", "--count", "1", NULL), CLI_DONE);
    json_t *doc = document();
    assert_int_equal(json_integer_value(json_object_get(doc, "level")), 2);
    assert_string_equal(json_string_value(json_object_get(doc, "msg")), "too much");
    assert_int_equal(strlen(json_string_value(json_object_get(doc, "time"))),
                     strlen("2026-11-30T12:00:00.123Z"));
    json_decref(doc);
}

static void test_events_say_what_came_went_and_was_rekeyed(void **state)
{
    (void)state;
    fake_start_events(talkative, "alert"); // which charon 5.9.8 has not
    assert_int_equal(espalier("events", "--count", "3", NULL), CLI_DONE);
    shows("up       CHILD SA net[12] of gw 10.1.0.0/16 - 10.2.0.0/16, SPIs 0000000a in");
    shows("rekeyed  CHILD SA net[13] of gw");
    shows("down     IKE SA gw[7]");
    shows("[peer?.example]");
    assert_int_equal(espalier("events", "--json", "--count", "1", NULL), CLI_DONE);
    json_t *doc = document(), *sa = json_object_get(doc, "sa");
    assert_string_equal(json_string_value(json_object_get(doc, "event")), "child-updown");
    assert_true(json_is_true(json_object_get(doc, "up")));
    assert_string_equal(json_string_value(json_object_get(sa, "name")), "gw");
    assert_int_equal(
        json_integer_value(json_object_get(json_array_get(json_object_get(sa, "child-sas"), 0), "uniqueid")),
        12);
    json_decref(doc);
}

// ---- a daemon that is not there, is something else, or goes

static void test_no_daemon_is_named_and_exits_3(void **state)
{
    (void)state;
    assert_int_equal(espalier("sas", NULL), CLI_MISSING);
    says("/vici: No such file or directory: no daemon listens there; start espalierd");
    assert_int_equal(espalier("sas", "--json", NULL), CLI_MISSING);
    json_t *doc = document();
    assert_non_null(
        strstr(json_string_value(json_object_get(json_object_get(doc, "error"), "text")), "no daemon"));
    json_decref(doc);
    assert_int_equal(espalier_plain(4, (char *[]){"espalier", "sas", "--uri", "tcp://127.0.0.1:1", NULL}),
                     CLI_MISSING);
    says("tcp://127.0.0.1:1: Connection refused");
}

static void leaving(struct fake *f, const char *command, const struct vici_node *args)
{
    (void)command;
    (void)args;
    send_sa(f, "gw", "x");
    shutdown(f->fd, SHUT_RDWR);
}

static void unknowing(struct fake *f, const char *command, const struct vici_node *args)
{
    (void)command;
    (void)args;
    fake_unknown(f);
}

static const char *nonsense;
static size_t nonsense_len;

static void babbling(struct fake *f, const char *command, const struct vici_node *args)
{
    (void)command;
    (void)args;
    if (send(f->fd, nonsense, nonsense_len, MSG_NOSIGNAL) < 0)
        _exit(1);
    shutdown(f->fd, SHUT_WR);
}

static void test_daemon_that_goes_or_knows_no_such_command_exits_1(void **state)
{
    (void)state;
    fake_start(leaving, NULL);
    assert_int_equal(espalier("sas", NULL), CLI_FAILED);
    says("list-sas: the daemon has closed the connection");
    assert_string_equal(cli_out, "");
    assert_int_equal(espalier("sas", "--json", NULL), CLI_FAILED);
    json_decref(document()); // one document, and it is the failure
    fake_start(unknowing, NULL);
    assert_int_equal(espalier("counters", NULL), CLI_FAILED);
    says("this daemon has no command 'get-counters'");
    fake_start(healthy, "list-sa");
    assert_int_equal(espalier("sas", NULL), CLI_FAILED);
    says("this daemon has no event 'list-sa'");
}

static void test_nonsense_of_a_daemon_exits_1(void **state)
{
    static const struct {
        const char *octets;
        size_t len;
        const char *said;
    } cases[] = {
#define CASE(bytes, words) {bytes, sizeof(bytes) - 1, words}
        CASE("HTTP/1.1 400 Bad Request\r\n", "what answers is no VICI"),
        CASE("\0\0\0\0", "a frame of 0 octets"),
        CASE("\0\0\0\1\7", "an event without a name"),
        CASE("\0\0\0\3\7\x05z", "an event without a name"),
        CASE("\0\0\0\1\5", "an answer of type 5, expected a response"),
        CASE("\0\0\0\2\1\2", "section end without a section"),
        CASE("\0\0\0\x09\1", "the daemon has closed the connection"),
#undef CASE
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        nonsense = cases[i].octets;
        nonsense_len = cases[i].len;
        fake_start(babbling, NULL);
        assert_int_equal(espalier("sas", NULL), CLI_FAILED);
        says(cases[i].said);
    }
}

static void test_output_that_cannot_be_written_exits_1(void **state)
{
    (void)state;
    FILE *full = fopen("/dev/full", "w"), *err = fopen("/dev/null", "w");
    assert_non_null(full);
    assert_int_equal(cli_main(full, err, false, 80, 2, (char *[]){"espalier", "--help", NULL}), CLI_FAILED);
    fclose(full);
    fclose(err);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, cli_rig_begin, cli_rig_end)
    const struct CMUnitTest tests[] = {
        T(test_sas_table_fits_and_lets_no_control_character_by),
        T(test_sas_into_a_file_are_whole_however_long_they_are),
        T(test_what_is_long_is_shown_whole),
        T(test_name_that_nobody_has_exits_1_and_is_said),
        T(test_sas_of_a_connection_that_is_down_are_none),
        T(test_watch_waits_for_a_daemon_that_is_started_again),
        T(test_sas_colours_only_on_a_terminal_without_no_color),
        T(test_sas_json_has_numbers_and_booleans_by_key),
        T(test_sas_name_goes_to_the_daemon),
        T(test_sas_watch_json_is_a_document_a_line_with_its_time),
        T(test_conns_show_what_is_down_too),
        T(test_counters_of_all_and_of_connections),
        T(test_counters_watched_show_how_many_a_second),
        T(test_counters_watched_and_reset_show_how_many_since_the_reset),
        T(test_nothing_that_comes_from_elsewhere_moves_the_cursor),
        T(test_conns_say_when_what_is_down_is_tried_again),
        T(test_up_a_connection_is_each_of_its_children),
        T(test_up_a_child_by_its_name_or_with_its_connection),
        T(test_up_a_name_of_several_is_refused_before_anything_is_done),
        T(test_down_of_a_connection_is_its_ike_sas_and_rekey_of_all_that_is_in_them),
        T(test_refusal_is_printed_whole_as_the_daemon_says_it),
        T(test_log_has_its_lines_up_to_a_level),
        T(test_events_say_what_came_went_and_was_rekeyed),
        T(test_no_daemon_is_named_and_exits_3),
        T(test_daemon_that_goes_or_knows_no_such_command_exits_1),
        T(test_nonsense_of_a_daemon_exits_1),
        T(test_output_that_cannot_be_written_exits_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
