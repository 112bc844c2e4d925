// SPDX-License-Identifier: Apache-2.0
// Every program explains itself, and refuses what it does not know; and the README names no command, option,
// target or test that is not there.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/script_rig.h"

static const char *const programs[] = {"espalierd",    "espalier",      "espalier-card",
                                       "espalier-sim", "espalier-load", "espalier-pair"};
enum { PROGRAMS = sizeof(programs) / sizeof(programs[0]) };

static int run(const char *program, const char *rest)
{
    char cmd[400];
    snprintf(cmd, sizeof(cmd), "${BUILD:-build}/bin/%s %s", program, rest);
    return command(cmd);
}

static void test_help_and_version_are_answered(void **state)
{
    char title[64];
    (void)state;
    for (int i = 0; i < PROGRAMS; i++) {
        if (run(programs[i], "--version") != 0)
            fail_msg("%s --version: %s", programs[i], output);
        snprintf(title, sizeof(title), "%s ", programs[i]);
        must_say(title);
        assert_non_null(strpbrk(output, "0123456789"));
        if (run(programs[i], "--help") != 0)
            fail_msg("%s --help: %s", programs[i], output);
        must_say(programs[i]);
    }
}

// A line that begins with the option, and goes on with more than its value's name.
static bool is_explained(const char *help, const char *option)
{
    size_t n = strlen(option);
    for (const char *at = strstr(help, option); at; at = strstr(at + 1, option)) {
        const char *line = at, *end = at + strcspn(at, "\n");
        while (line > help && line[-1] != '\n')
            line--;
        bool begins = strspn(line, " ") == (size_t)(at - line) && at > line;
        if (begins && !strchr("-abcdefghijklmnopqrstuvwxyz", at[n]) && end - at > (long)n + 12)
            return true;
    }
    return false;
}

static void test_each_option_is_explained(void **state)
{
    static const char *const card[] = {"--dir", "--lanes", "--sas", "--wire", "--json", "--fst"},
                             *const daemon[] = {"--config",    "--vici",      "--run-dir",    "--card",
                                                "--pci-sysfs", "--port",      "--port-nat-t", "--listen",
                                                "--tun",       "--log-level", "--log-format", "--debug-keys",
                                                "--check"};
    (void)state;
    assert_int_equal(run("espalier-card", "--help"), 0);
    for (size_t i = 0; i < sizeof(card) / sizeof(card[0]); i++)
        if (!is_explained(output, card[i]))
            fail_msg("espalier-card %s: no line of --help explains it:\n%s", card[i], output);
    must_say("fault MODE");
    must_say("bad-doorbell");
    must_say("Exit status: 0 ");
    assert_int_equal(run("espalierd", "--help"), 0);
    for (size_t i = 0; i < sizeof(daemon) / sizeof(daemon[0]); i++)
        if (!is_explained(output, daemon[i]))
            fail_msg("espalierd %s: no line of --help explains it:\n%s", daemon[i], output);
}

static void test_what_is_not_known_is_named_and_is_2(void **state)
{
    (void)state;
    for (int i = 0; i < PROGRAMS; i++) {
        int rc = run(programs[i], "--no-such-option");
        if (rc != 2)
            fail_msg("%s --no-such-option: exit status %d, expected 2\n%s", programs[i], rc, output);
        must_say("no-such-option");
    }
    assert_int_equal(run("espalier-card", "ctl --dir /nonexistent counters"), 3);
    assert_int_equal(run("espalier-card", ""), 2);
    must_say("--dir DIR is needed");
    assert_int_equal(run("espalier-sim", "replay --sad /nonexistent --in /nonexistent --out /dev/null"), 2);
    must_say("/nonexistent");
}

// ---- the README

static char readme[1 << 17];

static void read_file(const char *name)
{
    FILE *f = fopen(name, "r");
    assert_non_null(f);
    size_t n = fread(readme, 1, sizeof(readme) - 1, f);
    assert_true(n > 0 && n < sizeof(readme) - 1);
    readme[n] = 0;
    fclose(f);
}

// The next word from *at on that begins with this, made of what a name has; false: there is none.
static bool next_word(const char **at, const char *begins, char *out, size_t size)
{
    static const char name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    const char *p = strstr(*at, begins);
    if (!p)
        return false;
    p += strlen(begins);
    snprintf(out, size, "%.*s", (int)strspn(p, name), p);
    *at = p;
    return true;
}

// Options of one command line, which ends at its comment, at the next command or at the line.
static unsigned check_options(const char *program, const char *line, size_t len)
{
    char text[400], option[60], help[80], whole[160];
    const char *at = text;
    unsigned n = 0;
    snprintf(text, sizeof(text), "%.*s", (int)len, line);
    text[strcspn(text, "#&|")] = 0;
    const char *word = text + strspn(text, " ");
    int first = (int)strcspn(word, " ");
    if (!strcmp(program, "swanctl")) { // explains its commands one by one, with exit status 2
        snprintf(whole, sizeof(whole), "PATH=$PATH:/usr/sbin swanctl %.*s --help", first, word);
        command(whole);
    } else {
        bool one_by_one = !strcmp(program, "espalier") || !strncmp(word, "pair", 4);
        snprintf(help, sizeof(help), "%.*s --help", one_by_one ? first : 0, word);
        assert_int_equal(run(program, help), 0);
    }
    for (; next_word(&at, "--", option, sizeof(option)); n++) {
        snprintf(whole, sizeof(whole), "--%s", option);
        if (option[0] && !strstr(output, whole))
            fail_msg("the README has %s %s, which its --help has not:\n%s", program, whole, output);
    }
    return n;
}

static void test_the_readmes_commands_have_the_options_that_it_names(void **state)
{
    char program[40];
    unsigned options = 0, commands = 0;
    (void)state;
    read_file("README.md");
    for (const char *at = readme; next_word(&at, "\nbuild/bin/", program, sizeof(program)); commands++)
        options += check_options(program, at + strlen(program), strcspn(at + strlen(program), "\n"));
    if (command("PATH=$PATH:/usr/sbin command -v swanctl") == 0)
        for (const char *at = readme; (at = strstr(at, "\nswanctl ")); commands++) {
            at += strlen("\nswanctl ");
            options += check_options("swanctl", at, strcspn(at, "\n"));
        }
    assert_in_range(commands, 10, 100);
    assert_in_range(options, 15, 200);
}

static void make_knows(const char *targets)
{
    static char whole[20000];
    snprintf(whole, sizeof(whole),
             "env -u MAKEFLAGS -u MAKELEVEL make -n -k %s 2>&1 >/dev/null | grep 'No rule to make target'",
             targets);
    FILE *f = popen(whole, "r");
    assert_non_null(f);
    output[fread(output, 1, sizeof(output) - 1, f)] = 0;
    pclose(f);
    if (output[0])
        fail_msg("documents name tests that there are not:\n%s", output);
}

static void test_the_targets_and_tests_that_documents_name_are_there(void **state)
{
    static const char *const documents[] = {"README.md", "SECURITY.md", "CONTRIBUTING.md"};
    static char tests[16384];
    char name[80], cmd[200];
    unsigned n = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++) {
        read_file(documents[i]);
        for (const char *at = readme; next_word(&at, "`make ", name, sizeof(name)); n++) {
            if (!name[0] || strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(name))
                continue;
            snprintf(cmd, sizeof(cmd),
                     "{ grep -hE '^[a-z0-9 -]+:' Makefile $(find . -name '*.mk') | grep -qE '(^| )%s[ :]'; }",
                     name);
            if (command(cmd) != 0)
                fail_msg("%s names `make %s`, which is no target", documents[i], name);
        }
        for (const char *at = readme; next_word(&at, "`build/tests/", name, sizeof(name)); n++) {
            size_t len = strlen(tests);
            if (name[0] && at[strlen(name)] != '{')
                snprintf(tests + len, sizeof(tests) - len, " ${BUILD:-build}/tests/%s", name);
        }
    }
    assert_in_range(n, 50, 1000);
    make_knows(tests);
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_help_and_version_are_answered),
        cmocka_unit_test(test_each_option_is_explained),
        cmocka_unit_test(test_what_is_not_known_is_named_and_is_2),
        cmocka_unit_test(test_the_readmes_commands_have_the_options_that_it_names),
        cmocka_unit_test(test_the_targets_and_tests_that_documents_name_are_there),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}
