// SPDX-License-Identifier: Apache-2.0
// espalier's command line: what is wrong with it is named, and --help, the manual page and the completions
// are of one table.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/cli_rig.h"

static void healthy(struct fake *f, const char *command, const struct vici_node *args)
{
    (void)command, (void)args;
    fake_ok(f);
}

// ---- the line

static void test_usage_names_what_is_wrong_and_exits_2(void **state)
{
    static const struct {
        const char *arg[4], *said;
    } cases[] = {
        {{"sis"}, "no command 'sis'"},
        {{"sas", "--frob"}, "--frob: unknown option"},
        {{"sas", "--force"}, "--force: `espalier sas` has no such option"},
        {{"sas", "a", "b"}, "b: more than `espalier sas` takes"},
        {{"sas", "--json=1"}, "--json: takes no value"},
        {{"sas", "--count", "0"}, "--count: '0': expected a number from 1 on"},
        {{"sas", "--interval", "2"}, "--interval: has a meaning with --watch alone"},
        {{"up"}, "up: expected NAME... after it"},
        {{"up", "net", "--level", "5"}, "--level: '5': expected -1 to 4"},
        {{"up", "net", "--ike", "gw"}, "net: a name beside --ike"},
        {{"down", "--ike=gw", "--id=1"}, "expected one of them"},
        {{"down", "--run-dir", "/run/a"}, "--run-dir: has a meaning with --purge alone"},
        {{"down", "--purge", "net"}, "--purge: takes no name"},
        {{"down", "--purge", "--id", "7"}, "--purge: takes no name"},
        {{"certs", "--type", "foo"},
         "--type: 'foo': expected x509, x509ca, x509_crl, pubkey or ocsp_response"},
        {{"sas\033[2J"}, "no command 'sas?[2J'"},
        {{"sas", "--frob\033"}, "--frob?: unknown option"},
        {{"completion", "csh"}, "'csh': expected bash, zsh or fish"},
        {{"help", "sis"}, "no command 'sis'"},
    };
    (void)state;
    fake_start(healthy, NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *argv[8] = {"espalier"};
        int argc = 1;
        for (; argc < 5 && cases[i].arg[argc - 1]; argc++)
            argv[argc] = (char *)(uintptr_t)cases[i].arg[argc - 1];
        const struct cli_command *c = cli_find(cases[i].arg[0]);
        int status = c && c->options & 1u << CLI_URI ? espalier(argv[1], argv[2], argv[2] ? argv[3] : NULL,
                                                                argv[2] && argv[3] ? argv[4] : NULL, NULL)
                                                     : espalier_plain(argc, argv);
        if (status != CLI_USAGE)
            fail_msg("case %zu: status %d, expected 2: %s", i, status, cli_err);
        says(cases[i].said);
    }
    assert_int_equal(espalier_plain(1, (char *[]){"espalier", NULL}), CLI_USAGE);
    assert_int_equal(espalier_plain(4, (char *[]){"espalier", "sas", "--uri", "ftp://x", NULL}), CLI_USAGE);
    says("--uri: 'ftp://x': expected unix:///PATH or tcp://ADDRESS:PORT");
    assert_int_equal(espalier_plain(4, (char *[]){"espalier", "sas", "--uri", "unix://x", NULL}), CLI_USAGE);
    assert_int_equal(espalier_plain(4, (char *[]){"espalier", "sas", "--uri", "tcp://localhost:1", NULL}),
                     CLI_USAGE);
    says("expected ADDRESS:PORT");
    assert_int_equal(espalier_plain(3, (char *[]){"espalier", "sas", "--uri", NULL}), CLI_USAGE);
    says("--uri: expected URI after it");
}

// ---- --help, the manual page and the completion are of one table

enum { WORDS = 128 };
struct words {
    char text[WORDS][40];
    unsigned count;
};

static void add_word(struct words *w, const char *text, size_t len)
{
    char word[40];
    snprintf(word, sizeof(word), "%.*s", (int)len, text);
    for (unsigned i = 0; i < w->count; i++)
        if (strcmp(w->text[i], word) == 0)
            return;
    assert_true(w->count < WORDS);
    strcpy(w->text[w->count++], word);
}

static bool has_word(const struct words *w, const char *word)
{
    for (unsigned i = 0; i < w->count; i++)
        if (strcmp(w->text[i], word) == 0)
            return true;
    return false;
}

// Every --option of a text, where a manual page's \- is a hyphen.
static void find_options(struct words *w, const char *text)
{
    char plain[65536];
    size_t n = 0;
    for (; *text && n + 1 < sizeof(plain); text++)
        if (!(text[0] == '\\' && text[1] == '-'))
            plain[n++] = *text;
    plain[n] = 0;
    for (const char *at = plain; (at = strstr(at, "--")); at += strspn(at, "-"))
        if (at[2] >= 'a' && at[2] <= 'z')
            add_word(w, at, 2 + strspn(at + 2, "abcdefghijklmnopqrstuvwxyz-"));
}

static const char *manual(void)
{
    static char text[65536];
    FILE *f = fopen("ctrl/cli/espalier.8", "r");
    if (!f)
        fail_msg("ctrl/cli/espalier.8 is not there: run from the repository's top");
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    text[n] = 0;
    fclose(f);
    return text;
}

static void assert_same(const struct words *a, const char *who, const struct words *b, const char *other)
{
    for (unsigned i = 0; i < a->count; i++)
        if (!has_word(b, a->text[i]))
            fail_msg("%s is in %s and not in %s", a->text[i], who, other);
}

static void test_manual_page_has_the_options_and_commands_of_help_and_no_others(void **state)
{
    static struct words help, man;
    char entry[3][64];
    (void)state;
    assert_int_equal(espalier_plain(2, (char *[]){"espalier", "--help", NULL}), CLI_DONE);
    find_options(&help, cli_out);
    for (unsigned i = 0; i < cli_command_count; i++) {
        const char *name = cli_commands[i].name;
        assert_int_equal(espalier_plain(3, (char *[]){"espalier", (char *)(uintptr_t)name, "--help", NULL}),
                         CLI_DONE);
        find_options(&help, cli_out);
        snprintf(entry[0], sizeof(entry[0]), "\n.B %s", name);
        snprintf(entry[1], sizeof(entry[1]), "\n.BR %s ", name);
        snprintf(entry[2], sizeof(entry[2]), "\n.BI %s ", name);
        if (!strstr(manual(), entry[0]) && !strstr(manual(), entry[1]) && !strstr(manual(), entry[2]))
            fail_msg("the manual page has no entry for the command %s", name);
    }
    find_options(&man, manual());
    assert_true(help.count >= CLI_OPTION_COUNT);
    assert_same(&help, "--help", &man, "espalier.8");
    assert_same(&man, "espalier.8", &help, "--help");
}

static void test_completion_is_bash_and_offers_what_there_is(void **state)
{
    char line[512];
    (void)state;
    assert_int_equal(espalier_plain(3, (char *[]){"espalier", "completion", "bash", NULL}), CLI_DONE);
    char file[] = "/tmp/espalier-completion-XXXXXX";
    int fd = mkstemp(file);
    assert_int_equal(write(fd, cli_out, strlen(cli_out)), (ssize_t)strlen(cli_out));
    close(fd);
    static const char *const asks[][3] = {
        {"espalier s", "1", "sas stats "},
        {"espalier up --", "2", "--uri --json --ike --timeout --level --help "},
        {"espalier up --uri x n", "4", "net "},
        {"espalier certs x", "2", ""},
    };
    for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
        snprintf(
            line, sizeof(line),
            "bash -ec 'espalier() { [[ \"$*\" == \"conns --names --uri x\" ]] && echo \"gw net\"; }; . %s; "
            "COMP_WORDS=(%s); COMP_CWORD=%s; _espalier; printf \"%%s \" \"${COMPREPLY[@]}\"' 2>&1",
            file, asks[i][0], asks[i][1]);
        FILE *f = popen(line, "r");
        char got[512] = "";
        size_t n = fread(got, 1, sizeof(got) - 1, f);
        got[n] = 0;
        int rc = pclose(f);
        if (n && strcmp(got, " ") == 0) // printf with nothing
            got[0] = 0;
        assert_int_equal(rc, 0);
        assert_string_equal(got, asks[i][2]);
    }
    unlink(file);
}

// What a shell that has read the completion says to each line; those that are not installed are passed by.
static void assert_completes(const char *shell, const char *script, const char *const asks[][2], size_t count)
{
    char file[] = "/tmp/espalier-completion-XXXXXX", line[900], got[512];
    if (system(strcmp(shell, "zsh") == 0 ? "command -v zsh >/dev/null" : "command -v fish >/dev/null") != 0)
        skip();
    assert_int_equal(espalier_plain(3, (char *[]){"espalier", "completion", (char *)(uintptr_t)shell, NULL}),
                     CLI_DONE);
    int fd = mkstemp(file);
    assert_int_equal(write(fd, cli_out, strlen(cli_out)), (ssize_t)strlen(cli_out));
    close(fd);
    for (size_t i = 0; i < count; i++) {
        snprintf(line, sizeof(line), script, file, asks[i][0]);
        FILE *f = popen(line, "r");
        size_t n = fread(got, 1, sizeof(got) - 1, f);
        got[n] = 0;
        assert_int_equal(pclose(f), 0);
        if (strcmp(got, asks[i][1]) != 0)
            fail_msg("%s, %s: \"%s\", expected \"%s\"", shell, asks[i][0], got, asks[i][1]);
    }
    unlink(file);
}

static void test_completion_of_zsh_offers_what_there_is(void **state)
{
    static const char *const asks[][2] = {
        {"espalier \"\"", "sas "},
        {"espalier certs --", "--uri --json --watch --interval --count --long --type --help "},
        {"espalier up --uri x n", "gw net "},
        {"espalier certs x", "--uri --json --watch --interval --count --long --type --help "},
    };
    (void)state;
    // what zsh's own functions would do with it
    assert_completes("zsh",
                     "zsh -fc 'compdef() { : }; compadd() { [[ $1 == -- ]] && shift; print -rn -- \"$* \" }; "
                     "_describe() { print -rn -- \"${verbs[1]%%%%:*} \" }; "
                     "espalier() { [[ \"$*\" == \"conns --names --uri x\" ]] && print \"gw\\nnet\" }; "
                     ". %s; words=(%s); CURRENT=$#words; _espalier' 2>&1 | sed 's/--help --version $//'",
                     asks, sizeof(asks) / sizeof(asks[0]));
}

static void test_completion_of_fish_offers_what_there_is(void **state)
{
    static const char *const asks[][2] = {
        {"espalier s", "sas stats "},
        {"espalier certs --ty", "--type "},
        {"espalier up ", "gw net "},
        {"espalier certs ", ""},
        {"espalier certs --type ", "x509 x509ca x509_crl pubkey ocsp_response "},
    };
    (void)state;
    assert_completes("fish",
                     "env -i PATH=\"$PATH\" HOME=/dev/null fish --no-config -c 'function espalier; echo gw; "
                     "echo net; end; source %s; "
                     "complete -C \"%s\" | cut -f1 | tr \"\\n\" \" \"' 2>/dev/null",
                     asks, sizeof(asks) / sizeof(asks[0]));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, cli_rig_begin, cli_rig_end)
    const struct CMUnitTest tests[] = {
        T(test_usage_names_what_is_wrong_and_exits_2),
        T(test_manual_page_has_the_options_and_commands_of_help_and_no_others),
        T(test_completion_is_bash_and_offers_what_there_is),
        T(test_completion_of_zsh_offers_what_there_is),
        T(test_completion_of_fish_offers_what_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
