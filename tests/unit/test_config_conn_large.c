// SPDX-License-Identifier: Apache-2.0
// Connections as large as they may be and larger, as they come out at ike, of anything at all, and of
// nothing.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctrl/config/conn_load.h"
#include "ctrl/config/proposal_text.h"
#include "tests/unit/config_conn_rig.h"

static void many_items(struct vici_out *o, const char *key, unsigned count, const char *format)
{
    vici_list(o, key);
    for (unsigned i = 0; i < count; i++) {
        char text[80];
        snprintf(text, sizeof(text), format, i);
        vici_item(o, text);
    }
    vici_list_end(o);
}

// A connection with as many of everything.
static int load_many(unsigned name_len, unsigned proposals, unsigned children, unsigned selectors)
{
    struct vici_out o;
    char name[300] = {0};
    memset(name, 'n', name_len);
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_section(&o, name);
    many_items(&o, "proposals", proposals, "aes256-sha256-ecp256");
    for (int i = 0; i < 2; i++) {
        vici_section(&o, i ? "local" : "remote");
        vici_put(&o, "auth", "psk");
        vici_section_end(&o);
    }
    vici_section(&o, "children");
    for (unsigned i = 0; i < children; i++) {
        char child[20];
        snprintf(child, sizeof(child), "c%u", i);
        vici_section(&o, child);
        many_items(&o, "remote_ts", selectors, "10.2.%u.0/24");
        vici_section_end(&o);
    }
    vici_section_end(&o);
    vici_section_end(&o);
    return load_out(&o);
}

static void test_what_large_files_hold_is_taken_and_more_is_refused_by_name(void **state)
{
    (void)state;
    static uint8_t wire[128 * 1024];
    assert_int_equal(load_many(200, 8, 18, 40), 0);
    assert_int_equal(strlen(conn.name), 200);
    assert_int_equal(conn.proposal_count, 8);
    assert_int_equal(conn.child_count, 18);
    assert_int_equal(conn.children[17].remote_ts->count, 40);
    struct writer w = writer_of(wire, sizeof(wire)); // and fits into a message
    conn_write(&w, &conn);
    assert_false(w.bad);
    assert_int_equal(load_many(255, PROPOSALS_MAX, CHILDREN_MAX, 1), 0);
    assert_int_equal(load_many(4, PROPOSALS_MAX + 1, 1, 1), -EINVAL);
    assert_text("more than 24 proposals");
    assert_int_equal(load_many(4, 1, CHILDREN_MAX + 1, 1), -EINVAL);
    assert_text("more than 255 children");
    assert_int_equal(load_many(4, 1, 1, TS_MAX + 1), -EINVAL);
    assert_text("more than 64 traffic selectors");
}

// As many as there may be are taken, one more is refused with the number.
static void test_lists_of_addresses_and_pools_have_limits_that_are_named(void **state)
{
    static const struct {
        const char *key, *format, *refusal;
        unsigned most;
    } cases[] = {{"local_addrs", "10.0.0.%u", "local_addrs: '10.0.0.32': more than 32 addresses", 32},
                 {"remote_addrs", "10.0.0.%u", "remote_addrs: '10.0.0.32': more than 32 addresses", 32},
                 {"pools", "p%u", "pools: 'p8': more than 8", 8},
                 {"vips", "10.3.0.%u", "vips: '10.3.0.4': more than 4", 4}};
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (unsigned more = 0; more < 2; more++) {
            struct vici_out o;
            vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
            vici_section(&o, "gw");
            many_items(&o, cases[i].key, cases[i].most + more, cases[i].format);
            for (int k = 0; k < 2; k++) {
                vici_section(&o, k ? "local" : "remote");
                vici_put(&o, "auth", "psk");
                vici_section_end(&o);
            }
            vici_section_end(&o);
            assert_int_equal(load_out(&o), more ? -EINVAL : 0);
            if (more)
                assert_text(cases[i].refusal);
        }
    }
}

static void test_everything_survives_the_way_to_ike(void **state)
{
    (void)state;
    static struct conn_config back;
    static uint8_t wire[65536];
    assert_int_equal(load(IN_CHILD, "remote_ts", "10.2.0.0/16[udp/53]"), 0);
    struct writer w = writer_of(wire, sizeof(wire));
    conn_write(&w, &conn);
    assert_false(w.bad);
    struct reader r = reader_of(wr_written(&w));
    assert_true(conn_read(&r, &back));
    assert_string_equal(back.name, "gw");
    assert_int_equal(back.proposal_count, conn.proposal_count);
    assert_memory_equal(&back.children[0].remote_ts->t[0], &conn.children[0].remote_ts->t[0],
                        sizeof(struct ts));
    assert_int_equal(back.children[0].life_time, 3960);
    conn_clear(&back);
}

// ---- anything at all

static uint32_t seed = 99;
static uint32_t next_random(void)
{
    seed = seed * 1664525 + 1013904223;
    return seed >> 8;
}

static const char *random_text(void)
{
    static const char *const words[] = {"",
                                        "yes",
                                        "no",
                                        "psk",
                                        "0",
                                        "1",
                                        "18446744073709551616",
                                        "10.1.0.0/16",
                                        "10.0.0.1[tcp/80-]",
                                        "[",
                                        "%any",
                                        "aes256gcm16-prfsha256-x25519",
                                        "-",
                                        "aes-aes-aes",
                                        "1h",
                                        "9999999999d",
                                        "tunnel",
                                        "trap|start",
                                        "255.255.255.255..0.0.0.0",
                                        "::/0",
                                        "dynamic[/]",
                                        "default",
                                        "\x7f\x01",
                                        "0x",
                                        "1g"};
    static char text[300];
    if (next_random() % 3)
        return words[next_random() % (sizeof(words) / sizeof(words[0]))];
    size_t n = next_random() % (sizeof(text) - 1);
    for (size_t i = 0; i < n; i++)
        text[i] = (char)(1 + next_random() % 255);
    text[n] = 0;
    return text;
}

static void test_random_connections_are_taken_or_refused_with_a_reason(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "version",     "local_addrs",   "proposals",  "dpd_delay", "unique",        "keyingtries",
        "encap",       "auth",          "id",         "round",     "mode",          "local_ts",
        "remote_ts",   "esp_proposals", "hw_offload", "copy_dscp", "replay_window", "life_time",
        "rekey_bytes", "start_action",  "mark_in",    "reqid",     "local_port"};
    unsigned taken = 0;
    for (int round = 0; round < 20000; round++) {
        struct vici_out o;
        vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
        vici_section(&o, "gw");
        static const char *const sections[] = {"", "local", "remote", "children"};
        for (int s = 0; s < 4; s++) {
            if (s)
                vici_section(&o, sections[s]);
            if (s == 3)
                vici_section(&o, "net");
            if (s == 1 || s == 2)
                vici_put(&o, "auth", next_random() % 8 ? "psk" : random_text());
            const char *key = keys[next_random() % (sizeof(keys) / sizeof(keys[0]))];
            if (next_random() % 3 == 0 && strcmp(key, "auth") != 0) {
                if (next_random() % 2) {
                    vici_put(&o, key, random_text());
                } else {
                    vici_list(&o, key);
                    for (uint32_t i = next_random() % 10; i; i--)
                        vici_item(&o, random_text());
                    vici_list_end(&o);
                }
            }
            if (s == 3)
                vici_section_end(&o);
            if (s)
                vici_section_end(&o);
        }
        vici_section_end(&o);
        if (load_out(&o) == 0)
            taken++;
        else
            assert_true(err.text[0]);
    }
    assert_true(taken > 100);
}

// Stock swanctl sends a section with a name of 128 characters or more without its keys.
static int load_bare(const char *conn_name, const char *child_name)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_section(&o, conn_name);
    for (int side = 0; side < 2 && child_name; side++) {
        vici_section(&o, side ? "remote" : "local");
        vici_put(&o, "auth", "psk");
        vici_section_end(&o);
    }
    if (child_name) {
        vici_section(&o, "children");
        vici_section(&o, child_name);
        vici_section_end(&o);
        vici_section_end(&o);
    }
    vici_section_end(&o);
    return load_out(&o);
}

static void test_sections_that_swanctl_emptied_are_refused_with_the_cause(void **state)
{
    (void)state;
    char name[NAME_MAX_LEN];
    memset(name, 'n', 128);
    name[128] = 0;
    assert_int_equal(load_bare(name, NULL), -EINVAL);
    assert_non_null(
        strstr(err.text, "swanctl sends no key of a section whose name is longer than 127 characters"));
    assert_null(strstr(faults, "missing"));
    assert_int_equal(load_bare("gw", name), -EINVAL);
    assert_non_null(strstr(err.text, "nnnnnnnnnnnnnnnnnnnn... has 128"));
    name[127] = 0;
    assert_int_equal(load_bare("gw", name), 0); // dynamic selectors: what the file says
    assert_int_equal(conn.child_count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_connections_are_taken_or_refused_with_a_reason),
        cmocka_unit_test(test_lists_of_addresses_and_pools_have_limits_that_are_named),
        cmocka_unit_test(test_everything_survives_the_way_to_ike),
        cmocka_unit_test(test_what_large_files_hold_is_taken_and_more_is_refused_by_name),
        cmocka_unit_test(test_sections_that_swanctl_emptied_are_refused_with_the_cause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
