// SPDX-License-Identifier: Apache-2.0
// espalierd's command line, its settings file, and how they become one configuration. Bad input is refused by
// name.
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrl/config/options.h"
#include "ctrl/config/values.h"

static char warnings[2000];

static void warn(const char *text)
{
    size_t n = strlen(warnings);
    snprintf(warnings + n, sizeof(warnings) - n, "%s\n", text);
}

static int from_text(const char *text, struct daemon_config *c, struct esp_error *err)
{
    struct conf conf;
    *err = (struct esp_error){0};
    *c = (struct daemon_config){0};
    warnings[0] = 0;
    settings_default(&c->settings);
    int r = conf_read_text(&conf, text, strlen(text), "test.conf", ".", err);
    if (r == 0) {
        r = config_apply(c, &conf, warn, err);
        conf_free(&conf);
    }
    return r;
}

static void assert_contains(const char *got, const char *expected)
{
    if (!strstr(got, expected))
        fail_msg("got \"%s\", expected \"%s\" in it", got, expected);
}

// ---- the file

static void test_file_sections_comments_quotes_and_overrides(void **state)
{
    (void)state;
    static const char text[] =
        "# first\ncharon {\n  retransmit_tries = 3 # trailing\n  retransmit_timeout = 2.5\n"
        "  half_open_timeout=1m\n  fragment_size = 500\n  port = 1500\n  port_nat_t = \"1501\"\n}\n"
        "espalierd\n{ retransmit_tries = 7\n offload_default = auto }\nswanctl { x = y }\n";
    struct daemon_config c;
    struct esp_error err;
    assert_int_equal(from_text(text, &c, &err), 0);
    assert_int_equal(c.settings.retransmit_tries, 7); // section espalierd overrides
    assert_true(c.settings.retransmit_timeout == 2.5);
    assert_int_equal(c.settings.half_open_timeout, 60);
    assert_int_equal(c.settings.fragment_size, 500);
    assert_int_equal(c.settings.port, 1500);
    assert_int_equal(c.settings.port_nat_t, 1501);
    assert_int_equal(c.settings.offload_default, OFFLOAD_AUTO);
    assert_string_equal(warnings, "");
}

// Long lists are found by an index; that changes nothing of what a file means.
static void test_file_with_very_many_sections(void **state)
{
    enum { MANY = 20000 };
    char *text = NULL, name[20];
    size_t size;
    struct conf_tree t = {0};
    struct esp_error err = {0};
    (void)state;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = pass; i < MANY + pass; i++) // a section that comes again is the same one
            fprintf(f, "many { s%u { a = %u\n b%u = x\n } }\n", i, pass, pass);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(conf_tree_parse(&t, text, size, "test.conf", ".", NULL, &err), 0);
    const struct conf_node *many = conf_find(&t.top.sections, "many");
    assert_non_null(many);
    assert_int_equal(many->sections.count, MANY + 1);
    assert_string_equal(many->sections.first->name, "s0");
    for (unsigned i = 0; i <= MANY; i++) {
        snprintf(name, sizeof(name), "s%u", i);
        const struct conf_node *s = conf_find(&many->sections, name);
        assert_non_null(s);
        assert_string_equal(conf_find(&s->values, "a")->value, i ? "1" : "0");
        assert_int_equal(conf_find(&s->values, "b0") != NULL, i < MANY);
        assert_int_equal(conf_find(&s->values, "b1") != NULL, i > 0);
    }
    assert_null(conf_find(&many->sections, "s"));
    conf_tree_free(&t);
    free(text);
}

static void test_file_espalierd_before_charon_still_overrides(void **state)
{
    (void)state;
    struct daemon_config c;
    struct esp_error err;
    assert_int_equal(from_text("espalierd { keep_alive = 5s }\ncharon { keep_alive = 20s }\n", &c, &err), 0);
    assert_int_equal(c.settings.keep_alive, 5);
}

static void test_file_unknown_keys_warn_in_charon_and_fail_in_espalierd(void **state)
{
    (void)state;
    struct daemon_config c;
    struct esp_error err;
    assert_int_equal(
        from_text("charon {\n threads = 16\n plugins { a { load = yes } b { load = no } } }", &c, &err), 0);
    assert_contains(warnings, "charon.threads (test.conf:2) is not honoured");
    assert_contains(warnings, "charon.plugins (test.conf:3)");
    assert_null(strstr(strstr(warnings, "charon.plugins") + 1, "charon.plugins")); // once
    assert_int_equal(from_text("espalierd { thread = 16 }", &c, &err), -EINVAL);
    assert_string_equal(err.field, "espalierd.thread");
    assert_contains(err.text, "unknown key");
    assert_int_equal(from_text("charon { offload_default = yes }", &c, &err), 0); // not charon's
    assert_contains(warnings, "charon.offload_default");
}

static void test_file_what_we_always_do_is_said_where_it_is_not_wanted(void **state)
{
    (void)state;
    struct daemon_config c;
    struct esp_error err;
    assert_int_equal(from_text("charon { make_before_break = yes }", &c, &err), 0);
    assert_string_equal(warnings, "");
    assert_int_equal(from_text("charon { make_before_break = no }", &c, &err), 0);
    assert_contains(warnings, "charon.make_before_break (test.conf:1) = no has no effect");
    assert_int_equal(from_text("espalierd { make_before_break = maybe }", &c, &err), -EINVAL);
    assert_string_equal(err.field, "espalierd.make_before_break");
}

static void test_file_bad_values_are_named_with_what_was_expected(void **state)
{
    (void)state;
    static const struct {
        const char *text, *field, *expected;
    } bad[] = {
        {"charon { retransmit_tries = many }", "charon.retransmit_tries", "a number from 0 to 100"},
        {"charon { retransmit_tries = -1 }", "charon.retransmit_tries", "a number"},
        {"charon { retransmit_tries = 99999999999999999999 }", "charon.retransmit_tries", "a number"},
        {"charon { retransmit_timeout = 1.5x }", "charon.retransmit_timeout", "a number from 0 to 3600"},
        {"charon { retransmit_base = nan }", "charon.retransmit_base", "a number"},
        {"charon { fragment_size = 255 }", "charon.fragment_size", "a number from 256 to 65535"},
        {"charon { fragment_size = 65536 }", "charon.fragment_size", "0 (the address family's default)"},
        {"charon { half_open_timeout = 5y }", "charon.half_open_timeout", "a time"},
        {"charon { half_open_timeout = 0 }", "charon.half_open_timeout", "a time from 1s"},
        {"charon { port = 70000 }", "charon.port", "1 to 65535"},
        {"charon { install_routes = maybe }", "charon.install_routes", "yes or no"},
        {"espalierd { offload_default = card }", "espalierd.offload_default",
         "no, auto, yes, crypto or packet"},
        {"espalierd { mtu = 100 }", "espalierd.mtu", "1280"},
        {"espalierd { metrics = yes }", "espalierd.metrics",
         "no, PORT, ADDRESS:PORT, [IPv6]:PORT or unix:///PATH"},
        {"espalierd { metrics = localhost:9909 }", "espalierd.metrics", "ADDRESS:PORT"},
        {"espalierd { metrics_per_sa = some }", "espalierd.metrics_per_sa", "yes or no"},
        {"espalierd { seccomp = strict }", "espalierd.seccomp", "yes or no"},
        {"espalierd { landlock = strict }", "espalierd.landlock", "yes or no"},
        {"espalierd { workers = 0 }", "espalierd.workers", "auto or a number from 1 to 15"},
        {"espalierd { workers = 16 }", "espalierd.workers", "auto or a number from 1 to 15"},
        {"espalierd { workers = all }", "espalierd.workers", "auto or a number from 1 to 15"},
        {"espalierd { uid_base = nobody }", "espalierd.uid_base", "a number from 0 to 4294967039"},
        {"charon { filelog { x { ike = 9 } } }", "charon.filelog.x.ike", "a level from -1 to 4"},
        {"charon { filelog { x { path = a.log } } }", "charon.filelog.x.path", "an absolute path"},
        {"charon { filelog { x { append = often } } }", "charon.filelog.x.append", "yes or no"},
        {"charon { filelog { x { time_format = "
         "%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y } } }",
         "charon.filelog.x.time_format", "a format of strftime"},
        {"espalierd { filelog { x { time_add_ms = yes } } }", "espalierd.filelog.x.time_add_ms",
         "unknown key"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct daemon_config c;
        struct esp_error err;
        assert_int_equal(from_text(bad[i].text, &c, &err), -EINVAL);
        assert_string_equal(err.field, bad[i].field);
        assert_contains(err.text, bad[i].expected);
    }
}

static void test_metrics_are_served_nowhere_unless_a_place_is_named(void **state)
{
    (void)state;
    struct daemon_config c;
    struct esp_error err;
    settings_default(&c.settings);
    assert_string_equal(c.settings.metrics, "");
    assert_false(c.settings.metrics_per_sa);
    assert_int_equal(from_text("espalierd { metrics = 9909\n metrics_per_sa = yes }", &c, &err), 0);
    assert_string_equal(c.settings.metrics, "9909");
    assert_true(c.settings.metrics_per_sa);
    assert_int_equal(from_text("espalierd { metrics = no }", &c, &err), 0);
    assert_string_equal(c.settings.metrics, "");
    assert_int_equal(from_text("charon { metrics = 9909 }", &c, &err), 0); // ours alone
    assert_string_equal(c.settings.metrics, "");
}

static void test_one_worker_unless_more_are_asked_for(void **state)
{
    (void)state;
    struct daemon_config c;
    struct esp_error err;
    long there = sysconf(_SC_NPROCESSORS_ONLN);
    settings_default(&c.settings);
    assert_int_equal(c.settings.workers, 1);
    assert_int_equal(from_text("espalierd { workers = 15 }", &c, &err), 0);
    assert_int_equal(c.settings.workers, SETTINGS_MAX_WORKERS);
    assert_int_equal(from_text("espalierd { workers = auto }", &c, &err), 0);
    assert_in_range(c.settings.workers, 1, there < SETTINGS_MAX_WORKERS ? there : SETTINGS_MAX_WORKERS);
    assert_int_equal(from_text("charon { workers = 2 }", &c, &err), 0); // ours alone
    assert_int_equal(c.settings.workers, 1);
}

#define TEN(x) x x x x x x x x x x
#define LONG   TEN(TEN(TEN("0123456789")))

static void test_file_syntax_errors_name_file_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *field, *expected;
    } bad[] = {
        {"charon {\n\n", "test.conf:3", "charon is not closed"},
        {"charon {\n}\n}\n", "test.conf:3", "without a section"},
        {"charon {\n a = \"x\n", "test.conf:2", "a: quote not closed"},
        {"charon {\n a = " LONG "\n}", "test.conf:2", "a: value longer than 4095 characters"},
        {"charon {\n a = \"" LONG "\"\n}", "test.conf:2", "a: value longer than 4095 characters"},
        {"charon {\n " LONG " = 1\n}", "test.conf:2", "name longer than 255 characters: 0123456789"},
        {"charon {\n = 1\n}", "test.conf:2", "expected a key"},
        {"charon {\n a b\n}", "test.conf:2", "expected '=' or '{'"},
        {"charon : other {\n}", "test.conf:1", "references are not supported"},
        {"include\n", "test.conf:1", "expected a file name"},
        {"include /nonexistent/file\n", "test.conf:1", "not found"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct daemon_config c;
        struct esp_error err;
        assert_true(from_text(bad[i].text, &c, &err) < 0);
        assert_string_equal(err.field, bad[i].field);
        assert_contains(err.text, bad[i].expected);
    }
}

static void test_file_with_a_zero_octet_names_its_line(void **state)
{
    static const char text[] = "charon {\n port = 1\n a = \0 }\n";
    struct conf conf;
    struct esp_error err = {0};
    (void)state;
    assert_int_equal(conf_read_text(&conf, text, sizeof(text) - 1, "test.conf", ".", &err), -EINVAL);
    assert_string_equal(err.field, "test.conf:3");
    assert_contains(err.text, "zero octet");
}

static void test_file_deep_nesting_is_bounded(void **state)
{
    (void)state;
    char text[400] = "";
    for (int i = 0; i < 50; i++)
        strcat(text, "a {\n");
    struct daemon_config c;
    struct esp_error err;
    assert_int_equal(from_text(text, &c, &err), -E2BIG);
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void test_file_includes_relative_with_pattern_and_loop(void **state)
{
    (void)state;
    char dir[] = "/tmp/espalier-conf-XXXXXX", path[100];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/a.conf", dir);
    write_file(path, "retransmit_tries = 4\n");
    snprintf(path, sizeof(path), "%s/main.conf", dir);
    write_file(path, "charon {\n include *.none\n include a.con*\n}\n");
    struct conf conf;
    struct esp_error err = {0};
    assert_int_equal(conf_read_file(&conf, path, &err), 0);
    assert_int_equal(conf.count, 1);
    assert_string_equal(conf.entries[0].path, "charon.retransmit_tries");
    conf_free(&conf);
    write_file(path, "include main.conf\n");
    assert_int_equal(conf_read_file(&conf, path, &err), -ELOOP);
    assert_contains(err.text, "include: main.conf: files nested deeper than 10");
    assert_int_equal(conf_read_file(&conf, dir, &err), -EISDIR);
    assert_contains(err.text, "it is a folder");
    unlink(path);
    assert_int_equal(conf_read_file(&conf, path, &err), -ENOENT);
    snprintf(path, sizeof(path), "%s/a.conf", dir);
    unlink(path);
    rmdir(dir);
}

static void test_file_log_levels_by_subsystem(void **state)
{
    (void)state;
    struct daemon_config c;
    struct esp_error err;
    assert_int_equal(
        from_text("charon { filelog { stderr { default = 2\n ike = 3\n tnc = 4\n net = -1 } } }", &c, &err),
        0);
    assert_int_equal(c.log_level[LOG_IKE], 3);
    assert_int_equal(c.log_level[LOG_CFG], 2);
    assert_int_equal(c.log_level[LOG_NET], -1);
    assert_string_equal(warnings, "");
}

static void test_file_log_path_and_form_are_taken_or_refused_by_name(void **state)
{
    (void)state;
    struct daemon_config c;
    struct esp_error err;
    assert_int_equal(
        from_text("charon { filelog { one { path = /var/log/charon.log\n time_format = %b %e %T\n"
                  " append = no\n flush_line = yes\n ike_name = yes\n time_add_ms = yes\n ike = 2 } } }",
                  &c, &err),
        0);
    assert_string_equal(c.log_path, "/var/log/charon.log");
    assert_string_equal(c.log_time_format, "%b %e %T");
    assert_true(c.log_truncate);
    assert_int_equal(c.log_level[LOG_IKE], 2);
    assert_contains(warnings, "charon.filelog.one.time_add_ms (test.conf:6) is not honoured");
    assert_int_equal(from_text("charon { filelog { a { path = /a } b { path = /b } } }", &c, &err),
                     -EOPNOTSUPP);
    assert_string_equal(err.field, "charon.filelog.b.path");
    assert_int_equal(from_text("charon { filelog { a { ike_name = no } } }", &c, &err), -EOPNOTSUPP);
    // as before strongSwan 5.7: the section's name is the path
    assert_int_equal(from_text("charon { filelog { /var/log/x.log { ike = 2 } } }", &c, &err), 0);
    assert_string_equal(c.log_path, "/var/log/x.log");
    assert_int_equal(c.log_level[LOG_IKE], 2);
    assert_int_equal(from_text("charon { filelog { /a { ike = 1 } /b { ike = 1 } } }", &c, &err),
                     -EOPNOTSUPP);
}

static void test_file_that_would_lose_a_section_says_so(void **state)
{
    (void)state;
    struct daemon_config c;
    struct esp_error err;
    assert_int_equal(from_text("\xef\xbb\xbf"
                               "charon { port = 501 }",
                               &c, &err),
                     -EINVAL);
    assert_contains(err.text, "byte order mark");
    assert_int_equal(from_text("espalier { mtu = 1300 }\nswanctl { a = b }\nlibtls { c = d }", &c, &err), 0);
    assert_contains(warnings, "section espalier (test.conf:1) is nobody's");
    assert_null(strstr(warnings, "swanctl"));
    assert_int_equal(from_text("include /nonexistent/*.conf\ncharon { port = 501 }", &c, &err), 0);
    assert_int_equal(c.settings.port, 501);
    assert_true(from_text("include /nonexistent/a.conf", &c, &err) < 0);
}

static void test_file_random_text_is_read_or_refused(void **state)
{
    (void)state;
    static const char *const pieces[] = {"charon", "espalierd", "{",  "}",       "=",    "\n",
                                         " ",      "#",         "\"", "\\",      "port", "retransmit_tries",
                                         "5",      "include",   ":",  "filelog", ".",    "default",
                                         "\t",     "\xff",      "1m"};
    uint32_t seed = 4711;
    for (int round = 0; round < 20000; round++) {
        char text[400] = "";
        for (int i = 0; i < 40; i++) {
            seed = seed * 1664525 + 1013904223;
            strcat(text, pieces[(seed >> 8) % (sizeof(pieces) / sizeof(pieces[0]))]);
        }
        struct daemon_config c;
        struct esp_error err;
        if (from_text(text, &c, &err) < 0)
            assert_true(err.text[0]);
    }
}

// ---- options

static int build(struct daemon_config *c, struct esp_error *err, char *const *argv)
{
    struct options o;
    int argc = 0;
    while (argv[argc])
        argc++;
    *err = (struct esp_error){0};
    warnings[0] = 0;
    int r = options_parse(&o, argc, argv, err);
    if (r == 0)
        r = config_build(c, &o, warn, err);
    options_free(&o);
    return r;
}
#define BUILD(c, err, ...) build(c, err, (char *const[]){"espalierd", __VA_ARGS__, NULL})

static void test_options_named_options_win_over_set(void **state)
{
    (void)state;
    struct daemon_config c;
    struct esp_error err;
    assert_int_equal(BUILD(&c, &err, "--port", "1000", "-o", "port=2000", "-o", "charon.port_nat_t=2001",
                           "--vici=unix:///x", "-o", "offload_default=yes", "--log-level", "2", "--log-level",
                           "ike=3", "--listen", "10.0.0.1"),
                     0);
    assert_int_equal(c.settings.port, 1000);
    assert_int_equal(c.settings.port_nat_t, 2001);
    assert_string_equal(c.settings.vici_uri, "unix:///x");
    assert_int_equal(c.settings.offload_default, OFFLOAD_YES);
    assert_int_equal(c.log_level[LOG_IKE], 3);
    assert_int_equal(c.log_level[LOG_NET], 2);
    assert_int_equal(c.settings.listen_count, 1);
}

static char kept[512];

static void note_kept(const char *text)
{
    size_t at = strlen(kept);
    snprintf(kept + at, sizeof(kept) - at, "%s; ", text);
}

static void test_settings_read_at_the_start_alone_are_kept_and_named(void **state)
{
    (void)state;
    struct settings now, next;
    settings_default(&now);
    next = now;
    snprintf(now.pool_leases, sizeof(now.pool_leases), "/a/longer/path");
    snprintf(next.pool_leases, sizeof(next.pool_leases), "/b");
    snprintf(next.metrics, sizeof(next.metrics), "9909");
    next.port = 501;
    next.mtu = 1300;
    next.routing_table = 7;
    next.routing_priority = 8;
    next.install_routes = false;
    next.block_on_exit = false;
    next.mss_clamp = false;
    next.keep_alive = 9;
    settings_keep_fixed(&next, &now, note_kept);
    assert_string_equal(
        kept, "port takes effect at the next start; install_routes takes effect at the next start; "
              "routing_table takes effect at the next start; routing_table_prio takes effect at the "
              "next start; mtu takes effect at the next start; pool_leases takes effect at the next "
              "start; metrics takes effect at the next start; ");
    assert_int_equal(next.port, 500);
    assert_int_equal(next.mtu, 1400);
    assert_int_equal(next.routing_table, now.routing_table);
    assert_int_equal(next.routing_priority, now.routing_priority);
    assert_true(next.install_routes);
    assert_string_equal(next.pool_leases, "/a/longer/path");
    assert_string_equal(next.metrics, "");
    assert_false(next.block_on_exit || next.mss_clamp);
    assert_int_equal(next.keep_alive, 9);
    kept[0] = 0;
    memset(next.pool_leases + 20, 'x', 10); // behind its end
    settings_keep_fixed(&next, &now, note_kept);
    assert_string_equal(kept, "");
}

static void test_options_defaults(void **state)
{
    (void)state;
    struct daemon_config c;
    struct esp_error err;
    assert_int_equal(BUILD(&c, &err, "--vici-insecure"), 0);
    assert_string_equal(c.settings.vici_uri, "unix:///var/run/charon.vici");
    assert_string_equal(c.settings.run_dir, "/run/espalier");
    assert_string_equal(c.settings.card, "auto");
    assert_int_equal(c.settings.port, 500);
    assert_int_equal(c.settings.port_nat_t, 4500);
    assert_int_equal(c.settings.retransmit_tries, 5);
    assert_int_equal(c.settings.offload_default, OFFLOAD_NO);
    assert_true(c.settings.vici_insecure);
}

static void test_options_bad_ones_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *argv[4], *field, *expected;
    } bad[] = {
        {{"espalierd", "--frobnicate", NULL}, "--frobnicate", "unknown option"},
        {{"espalierd", "--por", "1", NULL}, "--por", "unknown option"},
        {{"espalierd", "x", NULL}, "x", "unknown option"},
        {{"espalierd", "--port", NULL}, "--port", "expected a value"},
        {{"espalierd", "--port", "0", NULL}, "--port", "1 to 65535"},
        {{"espalierd", "--port", "4500", NULL}, "--port-nat-t", "must differ"},
        {{"espalierd", "--listen", "west", NULL}, "--listen", "not an IPv4 or IPv6 address"},
        {{"espalierd", "--card", "0000:1:00.0", NULL}, "--card", "0000:01:00.0"},
        {{"espalierd", "--card", "banana", NULL}, "--card", "auto, none or a PCI address"},
        {{"espalierd", "-o", "port", NULL}, "-o", "key=value"},
        {{"espalierd", "-o", "bogus=1", NULL}, "espalierd.bogus", "unknown key"},
        {{"espalierd", "-o", "charon.port=x", NULL}, "charon.port", "a number"},
        {{"espalierd", "--log-level", "9", NULL}, "--log-level", "-1 to 4"},
        {{"espalierd", "--log-level", "xyz=1", NULL}, "--log-level", "no subsystem 'xyz'"},
        {{"espalierd", "--log-format", "xml", NULL},
         "--log-format",
         "text or json, journal or journal:/PATH"},
        {{"espalierd", "--tun", "a-name-that-is-too-long", NULL}, "--tun", "longer than 15"},
        {{"espalierd", "--run-dir", "", NULL}, "--run-dir", "empty"},
        {{"espalierd", "--help=x", NULL}, "--help", "takes no value"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct daemon_config c;
        struct esp_error err;
        assert_int_equal(build(&c, &err, (char *const *)bad[i].argv), -EINVAL);
        assert_string_equal(err.field, bad[i].field);
        assert_contains(err.text, bad[i].expected);
    }
}

// ---- values

static void test_options_help_explains_every_option_of_the_usage(void **state)
{
    char *text = NULL;
    size_t size = 0;
    (void)state;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    options_help(f);
    fclose(f);
    for (const char *at = strchr(options_usage(), '['); at; at = strchr(at + 1, '[')) {
        char line[60];
        if (at[1] != '-')
            continue; // within an option's value
        snprintf(line, sizeof(line), "\n  %.*s ", (int)strcspn(at + 1, " ]"), at + 1);
        assert_contains(text, line);
    }
    free(text);
}

static void test_values_whole_text_or_nothing(void **state)
{
    (void)state;
    uint64_t n;
    assert_true(value_time("90", UINT32_MAX, &n) && n == 90);
    assert_true(value_time("2h", UINT32_MAX, &n) && n == 7200);
    assert_true(value_time("1d", UINT32_MAX, &n) && n == 86400);
    static const char *const not_times[] = {
        "", "h", "1w", "1hh", " 1", "1 ", "-1", "+1", "1.5h", "99999999999999999999", "9999999999999999d"};
    for (size_t i = 0; i < sizeof(not_times) / sizeof(not_times[0]); i++)
        assert_false(value_time(not_times[i], UINT32_MAX, &n));
    assert_true(value_size("10k", &n) && n == 10240);
    assert_true(value_size("1G", &n) && n == 1u << 30);
    assert_false(value_size("99999999999999999g", &n));
    assert_true(value_number("0x10", 0, 100, &n) && n == 16);
    assert_false(value_number("101", 0, 100, &n));
    bool b;
    assert_true(value_bool("Yes", &b) && b);
    assert_true(value_bool("0", &b) && !b);
    assert_false(value_bool("", &b));
    double d;
    assert_false(value_fraction("1e999", 0, 10, &d));
    assert_false(value_fraction("inf", 0, 10, &d));
}

static void test_interfaces_are_used_or_ignored_by_name(void **state)
{
    struct settings st;
    (void)state;
    settings_default(&st);
    assert_true(settings_use_interface(&st, "eth0"));
    snprintf(st.interfaces_ignore, sizeof(st.interfaces_ignore), "eth1, wlan0");
    assert_true(settings_use_interface(&st, "eth0"));
    assert_false(settings_use_interface(&st, "eth1"));
    assert_false(settings_use_interface(&st, "wlan0"));
    assert_true(settings_use_interface(&st, "wlan"));
    snprintf(st.interfaces_use, sizeof(st.interfaces_use), "eth1");
    assert_true(settings_use_interface(&st, "eth1")); // the other list has no effect then
    assert_false(settings_use_interface(&st, "eth0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settings_read_at_the_start_alone_are_kept_and_named),
        cmocka_unit_test(test_interfaces_are_used_or_ignored_by_name),
        cmocka_unit_test(test_file_sections_comments_quotes_and_overrides),
        cmocka_unit_test(test_file_espalierd_before_charon_still_overrides),
        cmocka_unit_test(test_file_with_very_many_sections),
        cmocka_unit_test(test_file_unknown_keys_warn_in_charon_and_fail_in_espalierd),
        cmocka_unit_test(test_file_what_we_always_do_is_said_where_it_is_not_wanted),
        cmocka_unit_test(test_file_bad_values_are_named_with_what_was_expected),
        cmocka_unit_test(test_metrics_are_served_nowhere_unless_a_place_is_named),
        cmocka_unit_test(test_one_worker_unless_more_are_asked_for),
        cmocka_unit_test(test_file_syntax_errors_name_file_and_line),
        cmocka_unit_test(test_file_with_a_zero_octet_names_its_line),
        cmocka_unit_test(test_file_deep_nesting_is_bounded),
        cmocka_unit_test(test_file_includes_relative_with_pattern_and_loop),
        cmocka_unit_test(test_file_random_text_is_read_or_refused),
        cmocka_unit_test(test_file_log_levels_by_subsystem),
        cmocka_unit_test(test_file_log_path_and_form_are_taken_or_refused_by_name),
        cmocka_unit_test(test_file_that_would_lose_a_section_says_so),
        cmocka_unit_test(test_options_named_options_win_over_set),
        cmocka_unit_test(test_options_defaults),
        cmocka_unit_test(test_options_bad_ones_are_named),
        cmocka_unit_test(test_options_help_explains_every_option_of_the_usage),
        cmocka_unit_test(test_values_whole_text_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
