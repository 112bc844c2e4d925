// SPDX-License-Identifier: Apache-2.0
// The same tunnels with the simulated card: offload and its refusals, and what `espalier card` does with it.
// What happens when it fails: test_matrix.c.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/system/harness.h"

static struct lab lab;

static int set_up(void **state)
{
    (void)state;
    return lab_up(&lab, "espcard") ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

static char *const no_card[] = {"--card", "none", NULL};

static bool start(const struct tunnel_options *o)
{
    char *with_card[] = {"--card", "auto", "--pci-sysfs", lab.card_dir, NULL};
    struct tunnel_options plain = *o;
    plain.hw_offload = NULL; // only west is to have a card
    return espalierd_start(&lab, &lab.east, &lab.west, &plain, no_card) &&
           espalierd_start(&lab, &lab.west, &lab.east, o, with_card);
}

static bool has_card(void *ctx)
{
    char out[16384];
    (void)ctx;
    swanctl(&lab.west, out, sizeof(out), "--counters --all --raw");
    return number_after(out, "card_present", 0) == 1;
}

static uint64_t stat(const char *name)
{
    char out[16384];
    swanctl(&lab.west, out, sizeof(out), "--counters --all --raw");
    return number_after(out, name, 0);
}

static int up(char *out, size_t size)
{
    return swanctl(&lab.west, out, size, "--initiate --child net --timeout 20");
}

static void test_auto_uses_a_card_that_appears_later(void **state)
{
    (void)state;
    char out[16384];
    struct tunnel_options o = {.encap = true, .hw_offload = "auto"};
    assert_true(start(&o));
    assert_int_equal(up(out, sizeof(out)), 0);
    assert_true(ping(&lab, &lab.west, &lab.east, 2));
    assert_int_equal(stat("card_packets_out"), 0);
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--terminate --ike site --timeout 10"), 0);
    assert_true(sh("chmod 700 %s", lab.dir) == 0); // its folder is root's alone, and path another user
    assert_true(card_start(&lab, ""));
    assert_true(wait_for(has_card, NULL, PATIENCE_MS));
    uint64_t soft = stat("software_packets_out");
    assert_int_equal(up(out, sizeof(out)), 0);
    assert_true(ping(&lab, &lab.west, &lab.east, 10));
    assert_true(stat("card_packets_out") >= 10);
    assert_true(stat("card_packets_in") >= 10);
    assert_int_equal(stat("software_packets_out"), soft);
    swanctl(&lab.west, out, sizeof(out), "--list-sas --raw");
    assert_non_null(strstr(out, "offload=card"));
}

static void test_yes_without_a_card_fails_with_the_reason(void **state)
{
    (void)state;
    char out[16384];
    struct tunnel_options o = {.encap = true, .hw_offload = "yes"};
    assert_true(start(&o));
    assert_int_not_equal(up(out, sizeof(out)), 0);
    if (!strstr(out, "hw_offload"))
        fail_msg("expected the reason to name hw_offload, got: %s", out);
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
}

static void ends_in_software(const struct tunnel_options *o, const char *reason)
{
    char out[16384];
    assert_true(card_start(&lab, ""));
    assert_true(start(o));
    assert_int_equal(up(out, sizeof(out)), 0);
    assert_true(ping(&lab, &lab.west, &lab.east, 3));
    assert_int_equal(stat("card_packets_out"), 0);
    swanctl(&lab.west, out, sizeof(out), "--list-sas --raw");
    assert_non_null(strstr(out, "offload=software"));
    if (!strstr(out, reason))
        fail_msg("%s expected, it shows: %s", reason, out);
}

static void test_auto_with_an_algorithm_the_card_lacks_ends_in_software(void **state)
{
    (void)state;
    ends_in_software(&(struct tunnel_options){.encap = true, .hw_offload = "auto", .esp = "chacha20poly1305"},
                     "offload-reason=the card does not offer chacha20poly1305");
}

static void test_auto_with_tfc_padding_ends_in_software(void **state)
{
    (void)state;
    ends_in_software(&(struct tunnel_options){.encap = true,
                                              .hw_offload = "auto",
                                              .child = "rekey_time = 0\n        tfc_padding = mtu"},
                     "offload-reason=the card does not offer TFC padding");
}

// ---- espalier card

static int card(char *out, size_t size, const char *action)
{
    return sh_read(out, size, "%s/espalier card %s --pci-sysfs %s 2>&1", bin_dir(), action, lab.card_dir);
}

static void card_says(int status, const char *action, const char *text)
{
    char out[4096];
    int rc = card(out, sizeof(out), action);
    if (rc != status || !strstr(out, text))
        fail_msg("espalier card %s: %d, expected %d and \"%s\":\n%s", action, rc, status, text, out);
}

static void test_card_that_nobody_uses_is_tested_and_reset(void **state)
{
    (void)state;
    assert_true(card_start(&lab, ""));
    card_says(0, "selftest", "against software  ok      512 packets of 28 to 1414 octets by 8 kinds of SA");
    card_says(0, "selftest --json", "\"passed\": true,\n  \"steps\"");
    card_says(0, "reset", "0000:01:00.0 was reset");
    card_says(0, "info", "1,024 in each direction\n");
    assert_int_equal(sh("%s/espalier-card ctl --dir %s fault drop-irq", bin_dir(), lab.card_dir), 0);
    card_says(1, "selftest",
              "interrupts        FAILED\nespalier: 0000:01:00.0: no interrupt came for an SA command\n");
    assert_int_equal(sh("%s/espalier-card ctl --dir %s fault partial-dma", bin_dir(), lab.card_dir), 0);
    card_says(1, "selftest", "its result was not written as a whole");
}

static void test_card_that_the_daemon_has_is_left_alone(void **state)
{
    (void)state;
    char out[16384];
    struct tunnel_options o = {.encap = true, .hw_offload = "auto"};
    assert_true(card_start(&lab, ""));
    assert_true(start(&o));
    assert_true(wait_for(has_card, NULL, PATIENCE_MS));
    assert_int_equal(up(out, sizeof(out)), 0);
    static const char why[] = "another process has the device";
    card_says(1, "reset", why);
    card_says(1, "selftest", why);
    card_says(0, "info", why);
    assert_true(ping(&lab, &lab.west, &lab.east, 5));
    assert_true(stat("card_packets_out") >= 5);
    assert_int_equal(stat("failovers"), 0);
    assert_int_equal(sh_read(out, sizeof(out), "%s/espalier card counters --json --uri unix://%s/vici",
                             bin_dir(), lab.west.dir),
                     0);
    assert_true(number_after(out, "ENC_PACKETS", 0) >= 5);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_auto_uses_a_card_that_appears_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_yes_without_a_card_fails_with_the_reason, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_auto_with_an_algorithm_the_card_lacks_ends_in_software, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_auto_with_tfc_padding_ends_in_software, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_card_that_nobody_uses_is_tested_and_reset, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_card_that_the_daemon_has_is_left_alone, set_up, tear_down),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("tunnels through the card", tests, NULL, NULL);
}
