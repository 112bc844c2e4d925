// SPDX-License-Identifier: Apache-2.0
// The judge of the system tests must itself find what it looks for: repeated sequences and plaintext in a
// made-up capture.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/system/harness.h"

static void put(FILE *f, const uint8_t *ip, uint32_t len)
{
    uint32_t rec[4] = {1, 0, 14 + len, 14 + len};
    uint8_t eth[14] = {[12] = 0x08, [13] = 0x00};
    fwrite(rec, sizeof(rec), 1, f);
    fwrite(eth, sizeof(eth), 1, f);
    fwrite(ip, len, 1, f);
}

static void put_esp(FILE *f, uint8_t spi, uint8_t seq, int udp)
{
    uint8_t ip[60] = {0x45, [9] = udp ? 17 : 50, [12] = 10, 10, 0, 1, 10, 10, 0, 2};
    uint8_t *esp = ip + 20 + (udp ? 8 : 0);
    if (udp)
        memcpy(ip + 20, "\x11\x94\x11\x94", 4);
    esp[3] = spi;
    esp[7] = seq;
    put(f, ip, sizeof(ip));
}

static FILE *begin(char *path)
{
    uint32_t head[6] = {0xa1b2c3d4, 0x00040002, 0, 0, 65535, 1};
    strcpy(path, "/tmp/test_wire_XXXXXX");
    FILE *f = fdopen(mkstemp(path), "wb");
    fwrite(head, sizeof(head), 1, f);
    return f;
}

static struct wire check(FILE *f, const char *path)
{
    struct wire w;
    fclose(f);
    assert_true(wire_check(path, &w));
    unlink(path);
    return w;
}

static void test_wire_check_clean_capture_counts_nothing_bad(void **state)
{
    (void)state;
    char path[64];
    FILE *f = begin(path);
    put_esp(f, 1, 1, 0);
    put_esp(f, 1, 2, 0);
    put_esp(f, 2, 1, 1);
    struct wire w = check(f, path);
    assert_int_equal(w.esp, 3);
    assert_int_equal(w.spis, 2);
    assert_int_equal(w.repeated, 0);
    assert_int_equal(w.plaintext, 0);
    assert_int_equal(w.max_jump, 1);
}

static void test_wire_check_jump_within_one_sa_is_measured(void **state)
{
    (void)state;
    char path[64];
    FILE *f = begin(path);
    put_esp(f, 1, 200, 0);
    put_esp(f, 1, 3, 0);
    put_esp(f, 2, 255, 0); // another SA: no jump
    put_esp(f, 1, 2, 1);
    assert_int_equal(check(f, path).max_jump, 197);
}

static void test_wire_check_repeated_sequence_is_found(void **state)
{
    (void)state;
    char path[64];
    FILE *f = begin(path);
    put_esp(f, 1, 7, 0);
    put_esp(f, 2, 7, 0);
    put_esp(f, 1, 7, 1);
    assert_int_equal(check(f, path).repeated, 1);
}

static void test_wire_check_plaintext_is_found(void **state)
{
    (void)state;
    char path[64];
    uint8_t out[40] = {0x45, [9] = 1, [12] = 10, 1, 0, 1, 10, 2, 0, 1},
            half[40] = {0x45, [9] = 6, [12] = 10, 10, 0, 2, 10, 1, 9, 9};
    FILE *f = begin(path);
    put(f, out, sizeof(out));
    put(f, half, sizeof(half));
    assert_int_equal(check(f, path).plaintext, 2);
}

static void test_number_after_whole_names_only(void **state)
{
    (void)state;
    assert_int_equal(number_after("xcard_packets_out 3\ncard_packets_out 12\n", "card_packets_out", 0), 12);
    assert_int_equal(number_after("{\"a_b\": 7}", "b", 99), 99);
    assert_int_equal(number_after("stats {failovers=1 x=2}", "failovers", 0), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wire_check_clean_capture_counts_nothing_bad),
        cmocka_unit_test(test_wire_check_jump_within_one_sa_is_measured),
        cmocka_unit_test(test_wire_check_repeated_sequence_is_found),
        cmocka_unit_test(test_wire_check_plaintext_is_found),
        cmocka_unit_test(test_number_after_whole_names_only),
    };
    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
