// SPDX-License-Identifier: Apache-2.0
// VICI with a client that this project did not write, beside swanctl: strongSwan's module `vici` for Python,
// every command of it and every event (vici_python.py). Where the module is not installed the test says so
// and is skipped; ESPALIER_VICI names a folder that has it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/system/harness.h"

static struct lab lab;
static char *const no_card[] = {"--card", "none", NULL};

static int set_up(void **state)
{
    (void)state;
    return lab_up(&lab, "esppyth") ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

static const char *folder(void)
{
    const char *set = getenv("ESPALIER_VICI");
    return set ? set : "";
}

static void test_every_command_and_event_of_the_python_module(void **state)
{
    (void)state;
    char out[8192];
    if (sh("PYTHONPATH='%s' python3 -c 'import vici'", folder()) != 0) {
        print_message("skip: Python's module vici is not installed (make check-vici-python fetches it)\n");
        skip();
    }
    struct tunnel_options plain = {0}, east = {.name = "py",
                                               .peer_addr = "%any",
                                               .mobike = true,
                                               .psk = "a secret of both ends"};
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &plain, no_card));
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &east, no_card));
    // its address is followed by the next one on the interface, by which it moves
    assert_int_equal(
        sh("nsenter --net=%s sh -c 'echo 1 >/proc/sys/net/ipv4/conf/all/promote_secondaries'", lab.west.ns),
        0);
    int rc = sh_read(out, sizeof(out),
                     "PYTHONPATH='%s' timeout 150 nsenter --net=%s python3 tests/system/vici_python.py "
                     "%s/vici %s %s %s 10.10.0.11 2>&1",
                     folder(), lab.west.ns, lab.west.dir, lab.west.dir, lab.west.outer, lab.east.outer);
    if (rc != 0)
        fail_msg("status %d: %s", rc, out);
    assert_non_null(strstr(out, " 7 kinds of events"));
    print_message("%s", out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_command_and_event_of_the_python_module, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("VICI by Python's module", tests, NULL, NULL);
}
