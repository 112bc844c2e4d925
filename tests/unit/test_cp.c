// SPDX-License-Identifier: Apache-2.0
// The Configuration payload: octets as RFC 7296 3.15 has them, written by hand (build/tests/system_pools
// shows that charon reads ours and we read charon's), what is made of lengths that lie, and what we write.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctrl/ike/cp.h"

static struct cp cp;

// Any address of either family, and name servers
static const uint8_t request[] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 3, 0, 0, 0, 10, 0, 0};
static const uint8_t reply[] = {2,    0,    0, 0, 0, 1,  0, 4, 10, 3, 0,  1, 0,  8,    0,    17,
                                0xfd, 0x03, 0, 0, 0, 0,  0, 0, 0,  0, 0,  0, 0,  0,    0,    1,
                                128,  0,    3, 0, 4, 10, 1, 0, 1,  0, 10, 0, 16, 0xfd, 0x01, 0,
                                0,    0,    0, 0, 0, 0,  0, 0, 0,  0, 0,  0, 1};

static void test_request_names_nothing_but_families(void **state)
{
    struct addr a;
    (void)state;
    assert_true(cp_read(slice_of(request, sizeof(request)), &cp));
    assert_int_equal(cp.type, CP_REQUEST);
    assert_int_equal(cp.count, 4);
    assert_true(cp_address(&cp.a[0], &a));
    assert_int_equal(a.family, 4);
    assert_true(addr_is_zero(&a));
    assert_true(cp_address(&cp.a[1], &a));
    assert_int_equal(a.family, 6);
    assert_true(addr_is_zero(&a));
    assert_false(cp_address(&cp.a[2], &a));
    assert_false(cp_dns(&cp.a[2], &a)); // a wish names none
    assert_string_equal(cp_attr_name(cp.a[3].type), "INTERNAL_IP6_DNS");
    assert_string_equal(cp_attr_name(999), "(unknown)");
}

static void test_reply_has_addresses_and_name_servers(void **state)
{
    struct addr a;
    char text[64];
    (void)state;
    assert_true(cp_read(slice_of(reply, sizeof(reply)), &cp));
    assert_int_equal(cp.type, CP_REPLY);
    assert_int_equal(cp.count, 4);
    assert_true(cp_address(&cp.a[0], &a));
    assert_string_equal(addr_print(&a, text, sizeof(text)), "10.3.0.1");
    assert_true(cp_address(&cp.a[1], &a));
    assert_string_equal(addr_print(&a, text, sizeof(text)), "fd03::1");
    assert_true(cp_dns(&cp.a[2], &a));
    assert_string_equal(addr_print(&a, text, sizeof(text)), "10.1.0.1");
    assert_true(cp_dns(&cp.a[3], &a));
    assert_string_equal(addr_print(&a, text, sizeof(text)), "fd01::1");
}

static void test_every_cut_and_every_lie_is_malformed(void **state)
{
    uint8_t lie[sizeof(reply)];
    (void)state;
    for (size_t n = 0; n < sizeof(reply); n++) {
        bool between = n == 4 || n == 12 || n == 33 || n == 41;
        assert_int_equal(cp_read(slice_of(reply, n), &cp), between);
    }
    for (unsigned len = 0; len < 0x10000; len++) {
        memcpy(lie, request, sizeof(request));
        lie[18] = (uint8_t)(len >> 8);
        lie[19] = (uint8_t)len;
        assert_int_equal(cp_read(slice_of(lie, sizeof(request)), &cp), len == 0);
    }
}

// RFC 7296 3.15.1: the bit above the type is ignored; an address has its own lengths and no others.
static void test_reserved_bit_is_ignored_and_lengths_are_exact(void **state)
{
    struct addr a;
    (void)state;
    uint8_t bit[] = {1, 0, 0, 0, 0x80, 1, 0, 0};
    assert_true(cp_read(slice_of(bit, sizeof(bit)), &cp));
    assert_int_equal(cp.a[0].type, CP_IP4_ADDRESS);
    for (unsigned n = 0; n <= 20; n++) {
        struct cp_attr v4 = {CP_IP4_ADDRESS, slice_of(reply, n)}, v6 = {CP_IP6_ADDRESS, slice_of(reply, n)};
        assert_int_equal(cp_address(&v4, &a), n == 0 || n == 4);
        assert_int_equal(cp_address(&v6, &a), n == 0 || n == 16 || n == 17);
    }
}

static void test_more_attributes_than_are_kept_are_counted(void **state)
{
    uint8_t many[4 + 4 * (CP_ATTRS_MAX + 3)] = {1};
    (void)state;
    for (size_t i = 4; i < sizeof(many); i += 4)
        many[i + 1] = CP_IP4_ADDRESS;
    assert_true(cp_read(slice_of(many, sizeof(many)), &cp));
    assert_int_equal(cp.count, CP_ATTRS_MAX);
    assert_int_equal(cp.cut, 3);
}

static void test_what_is_written_is_what_is_read(void **state)
{
    uint8_t buf[200];
    struct addr a[2];
    (void)state;
    addr_parse("10.3.0.1", &a[0]);
    addr_parse("fd03::1", &a[1]);
    struct pb b = pb_of(buf, sizeof(buf));
    pb_cp_begin(&b, CP_REPLY);
    pb_cp_address(&b, &a[0]);
    pb_cp_address(&b, &a[1]);
    pb_cp_attr(&b, CP_IP4_DNS, slice_of(reply + 37, 4));
    pb_cp_attr(&b, CP_IP6_DNS, slice_of(reply + 45, 16));
    pb_end(&b);
    assert_int_equal(b.first, PL_CP);
    assert_int_equal(b.w.len, PAYLOAD_HEADER_LEN + sizeof(reply));
    assert_memory_equal(buf + PAYLOAD_HEADER_LEN, reply, sizeof(reply));
    b = pb_of(buf, sizeof(buf));
    memset(a, 0, sizeof(a));
    a[0].family = 4;
    a[1].family = 6;
    pb_cp_begin(&b, CP_REQUEST);
    pb_cp_address(&b, &a[0]);
    pb_cp_address(&b, &a[1]);
    pb_cp_attr(&b, CP_IP4_DNS, slice_of(NULL, 0));
    pb_cp_attr(&b, CP_IP6_DNS, slice_of(NULL, 0));
    pb_end(&b);
    assert_memory_equal(buf + PAYLOAD_HEADER_LEN, request, sizeof(request));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_names_nothing_but_families),
        cmocka_unit_test(test_reply_has_addresses_and_name_servers),
        cmocka_unit_test(test_every_cut_and_every_lie_is_malformed),
        cmocka_unit_test(test_reserved_bit_is_ignored_and_lengths_are_exact),
        cmocka_unit_test(test_more_attributes_than_are_kept_are_counted),
        cmocka_unit_test(test_what_is_written_is_what_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
