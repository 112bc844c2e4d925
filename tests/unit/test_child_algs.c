// SPDX-License-Identifier: Apache-2.0
// What IKE's numbers of ESP algorithms mean to the engines, and how many octets of KEYMAT they take: the
// sizes are those of RFC 4106 section 8.1, RFC 4309 section 7.1, RFC 7634 section 3, RFC 4543 section 3.1,
// RFC 3602 section 2.4, RFC 3686 section 5.1, RFC 4868 section 2.1.1 and RFC 2404 section 3.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctrl/lib/child_algs.h"

static const struct row {
    uint16_t encr, bits, integ;
    size_t keymat;
    const char *alg, *integ_name;
} rows[] = {
    {20, 128, 0, 20, "aes128gcm16", "none"},
    {20, 192, 0, 28, "aes192gcm16", "none"},
    {20, 256, 0, 36, "aes256gcm16", "none"},
    {19, 256, 0, 36, "aes256gcm12", "none"},
    {18, 128, 0, 20, "aes128gcm8", "none"},
    {14, 128, 0, 19, "aes128ccm8", "none"},
    {15, 192, 0, 27, "aes192ccm12", "none"},
    {16, 256, 0, 35, "aes256ccm16", "none"},
    {28, 0, 0, 36, "chacha20poly1305", "none"},
    {21, 128, 0, 20, "aes128gmac", "none"},
    {21, 256, 0, 36, "aes256gmac", "none"},
    {12, 128, 12, 16 + 32, "aes128", "sha256"},
    {12, 256, 14, 32 + 64, "aes256", "sha512"},
    {12, 192, 2, 24 + 20, "aes192", "sha1"},
    {13, 128, 13, 20 + 48, "aes128ctr", "sha384"},
    {13, 256, 12, 36 + 32, "aes256ctr", "sha256"},
    {11, 0, 12, 32, "null", "sha256"},
    {0, 0, 12, 32, "none", "sha256"}, // AH
    {0, 0, 2, 20, "none", "sha1"},
    {0, 0, 9, 20, "none", "aes128gmac"},
    {0, 0, 11, 36, "none", "aes256gmac"},
};

static void test_child_algorithms_have_the_sizes_of_their_rfcs(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct child_algs a = child_algs(rows[i].encr, rows[i].bits, rows[i].integ);
        assert_true(a.known);
        assert_int_equal(a.ah, rows[i].encr == 0);
        assert_int_equal(child_algs_keymat(a), rows[i].keymat);
        assert_string_equal(esp_alg_name(a.alg), rows[i].alg);
        assert_string_equal(esp_integ_name(a.integ), rows[i].integ_name);
    }
}

// Weak ones, those of another length, AEADs with integrity, ciphers without.
static void test_child_algorithms_that_protect_nothing_are_not_known(void **state)
{
    static const uint16_t bad[][3] = {{3, 0, 12},    {2, 0, 12},   {12, 128, 0}, {12, 0, 12},
                                      {12, 64, 12},  {12, 128, 1}, {12, 128, 9}, {20, 128, 12},
                                      {20, 0, 0},    {11, 0, 0},   {11, 0, 10},  {0, 0, 0},
                                      {21, 128, 12}, {16, 100, 0}, {28, 128, 0}, {999, 128, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(child_algs_keymat(child_algs(bad[i][0], bad[i][1], bad[i][2])), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_child_algorithms_have_the_sizes_of_their_rfcs),
        cmocka_unit_test(test_child_algorithms_that_protect_nothing_are_not_known)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
