// SPDX-License-Identifier: Apache-2.0
// The VICI message codec: what is built comes back, and every lie about lengths, nesting or balance is
// refused.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctrl/ctl/vici_msg.h"

static int parse(const void *data, size_t len, struct vici_msg *m, struct esp_error *err)
{
    // a copy of exactly this size, so that a sanitizer sees a read beyond the end
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, data, len);
    int r = vici_msg_parse(m, copy, len, err);
    free(copy);
    return r;
}

static void assert_refused(const void *data, size_t len, int code, const char *text)
{
    struct vici_msg m;
    struct esp_error err = {0};
    int r = parse(data, len, &m, &err);
    if (r == 0)
        vici_msg_free(&m);
    assert_int_equal(r, code);
    if (!strstr(err.text, text))
        fail_msg("got \"%s\", expected \"%s\"", err.text, text);
}
#define REFUSED(code, text, bytes) assert_refused(bytes, sizeof(bytes) - 1, code, text)

static void test_message_built_is_parsed_back(void **state)
{
    (void)state;
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_REQUEST, "load-conn");
    vici_section(&o, "gw");
    vici_put(&o, "version", "2");
    vici_list(&o, "local_addrs");
    vici_item(&o, "10.0.0.1");
    vici_item(&o, "");
    vici_list_end(&o);
    vici_section(&o, "local");
    vici_putf(&o, "n", "%d", 42);
    vici_put_blob(&o, "blob", "a\0b", 3);
    vici_section_end(&o);
    vici_section_end(&o);
    assert_int_equal(vici_out_finish(&o), 0);
    assert_int_equal(o.data[3], o.len - 4);
    assert_memory_equal(o.data + 4, "\0\x09load-conn", 11);

    struct vici_msg m;
    struct esp_error err;
    assert_int_equal(parse(o.data + 15, o.len - 15, &m, &err), 0);
    const struct vici_node *gw = vici_find(m.root, "gw"), *local = vici_find(gw, "local");
    assert_string_equal(vici_get(gw, "version"), "2");
    const struct vici_node *item = vici_find(gw, "local_addrs")->child;
    assert_string_equal(vici_text(item), "10.0.0.1");
    assert_string_equal(vici_text(item->next), "");
    assert_null(item->next->next);
    assert_int_equal(vici_get_num(local, "n", 0), 42);
    assert_null(vici_get(local, "blob")); // a zero octet: not text
    assert_int_equal(vici_find(local, "blob")->len, 3);
    assert_null(vici_find(gw, "absent"));
    vici_msg_free(&m);
    vici_out_free(&o);
}

static void test_empty_message_is_fine(void **state)
{
    (void)state;
    struct vici_msg m;
    struct esp_error err;
    assert_int_equal(parse("", 0, &m, &err), 0);
    assert_null(m.root->child);
    vici_msg_free(&m);
}

static void test_every_truncation_is_refused(void **state)
{
    (void)state;
    static const char whole[] = "\x01\x01s\x03\x01k\x00\x02vv\x04\x01l\x05\x00\x01i\x06\x02";
    size_t len = sizeof(whole) - 1;
    struct vici_msg m;
    struct esp_error err;
    assert_int_equal(parse(whole, len, &m, &err), 0);
    vici_msg_free(&m);
    for (size_t n = 1; n < len; n++)
        assert_int_equal(parse(whole, n, &m, &err), -EBADMSG);
}

static void test_lengths_beyond_the_end_are_refused(void **state)
{
    (void)state;
    REFUSED(-EBADMSG, "name longer than the message", "\x03\x05k\x00\x00");
    REFUSED(-EBADMSG, "value longer than the message", "\x03\x01k\x00\x01");
    REFUSED(-EBADMSG, "value longer than the message", "\x03\x01k\xff\xff");
    REFUSED(-EBADMSG, "value length missing", "\x03\x01k\x00");
    REFUSED(-EBADMSG, "name length missing", "\x03");
    REFUSED(-EBADMSG, "value longer than the message", "\x04\x01l\x05\x00\x09i\x06");
}

static void test_unbalanced_sections_and_lists_are_refused(void **state)
{
    (void)state;
    REFUSED(-EBADMSG, "section end without a section", "\x02");
    REFUSED(-EBADMSG, "section end without a section", "\x01\x01s\x02\x02");
    REFUSED(-EBADMSG, "section not closed", "\x01\x01s");
    REFUSED(-EBADMSG, "list not closed", "\x04\x01l");
    REFUSED(-EBADMSG, "list element outside a list", "\x06");
    REFUSED(-EBADMSG, "list element outside a list", "\x05\x00\x00");
    REFUSED(-EBADMSG, "list element outside a list", "\x01\x01s\x06");
    REFUSED(-EBADMSG, "in a list", "\x04\x01l\x02");
    REFUSED(-EBADMSG, "in a list", "\x04\x01l\x03\x01k\x00\x00\x06");
    REFUSED(-EBADMSG, "in a list", "\x04\x01l\x04\x01m\x06\x06");
    REFUSED(-EBADMSG, "in a list", "\x04\x01l\x01\x01m\x02\x06");
}

static void test_names_are_checked(void **state)
{
    (void)state;
    REFUSED(-EBADMSG, "empty name", "\x03\x00\x00\x00");
    REFUSED(-EBADMSG, "empty name", "\x04\x00\x06");
    REFUSED(-EBADMSG, "control character", "\x03\x02k\n\x00\x00");
    REFUSED(-EBADMSG, "control character", "\x01\x02\x00k\x02");
    REFUSED(-EBADMSG, "k is there twice", "\x03\x01k\x00\x00\x03\x01k\x00\x00");
    REFUSED(-EBADMSG, "k is there twice", "\x03\x01k\x00\x00\x01\x01k\x02");
    struct vici_msg m;
    struct esp_error err; // the same name in another section is another key
    static const char two[] = "\x03\x01k\x00\x00\x01\x01s\x03\x01k\x00\x00\x02";
    assert_int_equal(parse(two, sizeof(two) - 1, &m, &err), 0);
    vici_msg_free(&m);
}

static void test_unknown_element_types_are_refused(void **state)
{
    (void)state;
    for (int type = 0; type < 256; type++) {
        uint8_t b[] = {(uint8_t)type, 1, 'k', 0, 0};
        struct vici_msg m;
        struct esp_error err;
        int r = parse(b, sizeof(b), &m, &err);
        assert_int_equal(r, type == VICI_KEY_VALUE ? 0 : -EBADMSG);
        if (r == 0)
            vici_msg_free(&m);
    }
}

static void test_depth_and_count_are_bounded(void **state)
{
    (void)state;
    static uint8_t big[VICI_MAX_FRAME + 1];
    size_t n = 0;
    for (int i = 0; i <= VICI_MAX_DEPTH; i++) {
        memcpy(big + n, "\x01\x01s", 3);
        n += 3;
    }
    assert_refused(big, n, -E2BIG, "nested deeper");
    memcpy(big, "\x04\x01l", 3);
    for (n = 3; n + 3 < VICI_MAX_FRAME; n += 3)
        memcpy(big + n, "\x05\x00\x00", 3);
    assert_refused(big, n, -E2BIG, "more than 32768 elements");
    memset(big, 0, sizeof(big));
    assert_refused(big, sizeof(big), -E2BIG, "at most 524288");
}

static void test_many_names_take_no_time(void **state)
{
    (void)state; // the check for unique names is not quadratic
    static uint8_t big[VICI_MAX_FRAME];
    size_t n = 0;
    for (int i = 0; i < VICI_MAX_ELEMENTS - 2; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%05d", i);
        big[n++] = 3;
        big[n++] = 5;
        memcpy(big + n, name, 5);
        n += 5;
        big[n++] = 0;
        big[n++] = 0;
    }
    struct vici_msg m;
    struct esp_error err;
    assert_int_equal(parse(big, n, &m, &err), 0);
    assert_int_equal(m.count, VICI_MAX_ELEMENTS - 1);
    vici_msg_free(&m);
}

static uint32_t seed = 12345;
static uint32_t next_random(void)
{
    seed = seed * 1664525 + 1013904223;
    return seed >> 8;
}

static void test_random_messages_never_read_outside(void **state)
{
    (void)state;
    for (int round = 0; round < 20000; round++) {
        uint8_t b[64];
        size_t len = next_random() % sizeof(b);
        for (size_t i = 0; i < len; i++)
            b[i] = next_random() % 3 ? (uint8_t)(next_random() % 8) : (uint8_t)next_random();
        struct vici_msg m;
        struct esp_error err;
        if (parse(b, len, &m, &err) == 0)
            vici_msg_free(&m);
    }
}

static void test_builder_refuses_what_cannot_be_sent(void **state)
{
    (void)state;
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_section(&o, "open");
    assert_int_equal(vici_out_finish(&o), -EINVAL);
    vici_out_free(&o);
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_section_end(&o);
    assert_int_equal(vici_out_finish(&o), -EINVAL);
    vici_out_free(&o);
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_item(&o, "no list");
    assert_int_equal(vici_out_finish(&o), -EINVAL);
    vici_out_free(&o);
    static char big[70000];
    memset(big, 'x', sizeof(big) - 1);
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_put(&o, "k", big);
    assert_int_equal(vici_out_finish(&o), -E2BIG);
    vici_out_free(&o);
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    for (int i = 0; i < 9; i++) {
        char name[16];
        snprintf(name, sizeof(name), "k%d", i);
        vici_put_blob(&o, name, big, 65000);
    }
    assert_int_equal(vici_out_finish(&o), -E2BIG);
    vici_out_free(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_message_built_is_parsed_back),
        cmocka_unit_test(test_empty_message_is_fine),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_lengths_beyond_the_end_are_refused),
        cmocka_unit_test(test_unbalanced_sections_and_lists_are_refused),
        cmocka_unit_test(test_names_are_checked),
        cmocka_unit_test(test_unknown_element_types_are_refused),
        cmocka_unit_test(test_depth_and_count_are_bounded),
        cmocka_unit_test(test_many_names_take_no_time),
        cmocka_unit_test(test_random_messages_never_read_outside),
        cmocka_unit_test(test_builder_refuses_what_cannot_be_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
