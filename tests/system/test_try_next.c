// SPDX-License-Identifier: Apache-2.0
// What `make demo` says at its end to try next: three commands, run here as they are printed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <signal.h>

#include <cmocka.h>

#include "tests/system/steps.h"

static struct lab lab;
static char *const no_card[] = {"--card", "none", NULL};
static char said[4096];

static int set_up(void **state)
{
    (void)state;
    return lab_up(&lab, "esptry") ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

// The command under the line that begins with this.
static const char *under(const char *title, char *out, size_t size)
{
    const char *at = strstr(said, title);
    at = at ? strstr(at, "\n    ") : NULL;
    if (!at) {
        fail_msg("no command stands under \"%s\" in:\n%s", title, said);
        return out;
    }
    at += strlen("\n    ");
    snprintf(out, size, "%.*s", (int)strcspn(at, "\n"), at);
    return out;
}

static void ask_the_demo(void)
{
    assert_int_equal(sh_read(said, sizeof(said), "%s/../tests/demo try-next", bin_dir()), 0);
    assert_non_null(strstr(said, "Try next:"));
}

// In a folder of its own that looks like this one, because they write where they are run.
static void must_run(const char *command, const char *file)
{
    int rc = sh("mkdir -p %s/try && ln -sfn \"$PWD\"/* %s/try/ && cd %s/try && %s && test -s %s", lab.dir,
                lab.dir, lab.dir, command, file);
    if (rc)
        fail_msg("exit status %d, or no %s: %s", rc, file, command);
}

static void test_three_commands_stand_there_to_be_copied(void **state)
{
    unsigned commands = 0, titles = 0;
    const char *line;
    (void)state;
    ask_the_demo();
    line = strstr(said, "Try next:\n");
    while (line && (line = strchr(line, '\n')) && *++line) {
        bool command = !strncmp(line, "    ", 4);
        commands += command;
        titles += !command;
        if (command && !strstr(line, "bin/espalier"))
            fail_msg("no whole command: %s", line);
    }
    assert_int_equal(commands, 3);
    assert_int_equal(titles, 3);
}

static void test_the_shipped_packets_go_through_the_rtl(void **state)
{
    char command[1024];
    (void)state;
    ask_the_demo();
    must_run(under("the shipped packets through the RTL", command, sizeof(command)), "out.pcap");
    must_run(under("the same with its waves", command, sizeof(command)), "waves.fst");
}

static void test_a_tunnel_of_ones_own_comes_up(void **state)
{
    static char out[65536];
    char command[1024];
    struct tunnel_options o = {0};
    (void)state;
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &o, no_card));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, no_card)); // for its files
    assert_true(stop(&lab.west.daemon, SIGTERM, PATIENCE_MS));
    ask_the_demo();
    under("a tunnel of your own", command, sizeof(command));
    char *name = strstr(command, "NAME");
    assert_non_null(name);
    memcpy(name, "net ", 4); // the child of the lab
    int rc = sh_read(
        out, sizeof(out),
        "nsenter --net=%s unshare -m sh -c 'mount -t tmpfs none /run && mount --bind %s/swanctl "
        "/etc/swanctl && export PATH=$PATH:/usr/sbin && { %s; rc=$?; kill $!; wait $!; exit $rc; }' 2>&1",
        lab.west.ns, lab.west.dir, command);
    if (rc || !strstr(out, "initiate completed successfully"))
        fail_msg("exit status %d of %s\n%s", rc, command, out);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_three_commands_stand_there_to_be_copied),
        T(test_the_shipped_packets_go_through_the_rtl),
        T(test_a_tunnel_of_ones_own_comes_up),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("what to try next", tests, NULL, NULL);
}
