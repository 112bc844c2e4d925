// SPDX-License-Identifier: Apache-2.0
// A swanctl.conf read without swanctl is what stock swanctl makes of it: the program is run on the same
// files, and what it sends with load-conn is compared node by node. Then what --check says.
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrl/config/check.h"
#include "ctrl/config/swanctl_file.h"
#include "ctrl/config/swanctl_tree.h"

enum { CONNS = 8, WAIT_MS = 20000 };
static char dir[] = "/tmp/espalier-swanctl-XXXXXX";

static const char *in_dir(const char *name)
{
    static char path[2][128];
    static unsigned n;
    char *p = path[n++ % 2];
    snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
    return p;
}

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(in_dir(name), "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    fclose(f);
}

static int up(void **state)
{
    (void)state;
    return mkdtemp(dir) && mkdir(in_dir("conf.d"), 0700) == 0 ? 0 : -1;
}

static int down(void **state)
{
    static const char *const made[] = {"swanctl.conf", "conf.d/a.conf", "conf.d/b.conf", "s.conf", "out"};
    (void)state;
    for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++)
        unlink(in_dir(made[i]));
    rmdir(in_dir("conf.d"));
    return rmdir(dir);
}

// ---- what swanctl sends

static struct vici_msg sent[CONNS];
static unsigned sent_count;

static bool read_all(int fd, uint8_t *buf, size_t len)
{
    while (len) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n = poll(&p, 1, WAIT_MS) == 1 ? read(fd, buf, len) : -1;
        if (n <= 0)
            return false;
        buf += n;
        len -= (size_t)n;
    }
    return true;
}

static bool serve_one(int fd)
{
    static uint8_t buf[65536];
    struct esp_error err;
    struct vici_out o;
    if (!read_all(fd, buf, 4))
        return false;
    size_t len = (size_t)buf[2] << 8 | buf[3], head;
    assert_true(buf[0] == 0 && buf[1] == 0 && read_all(fd, buf, len) && buf[0] == VICI_CMD_REQUEST);
    head = 2u + buf[1];
    if (head - 2 == strlen("load-conn") && memcmp(buf + 2, "load-conn", head - 2) == 0) {
        assert_true(sent_count < CONNS);
        assert_int_equal(vici_msg_parse(&sent[sent_count++], buf + head, len - head, &err), 0);
    }
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_put(&o, "success", "yes");
    assert_int_equal(vici_out_finish(&o), 0);
    assert_int_equal(write(fd, o.data, o.len), o.len);
    vici_out_free(&o);
    return true;
}

static pid_t start_swanctl(const char *uri)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
        _exit(126);
    execlp("swanctl", "swanctl", "--load-conns", "--uri", uri, "--file", in_dir("swanctl.conf"),
           (char *)NULL);
    execl("/usr/sbin/swanctl", "swanctl", "--load-conns", "--uri", uri, "--file", in_dir("swanctl.conf"),
          (char *)NULL);
    _exit(127);
}

static void run_swanctl(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char uri[160];
    int status, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", in_dir("vici"));
    snprintf(uri, sizeof(uri), "unix://%s", a.sun_path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fd, 1), 0);
    pid_t pid = start_swanctl(uri);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    sent_count = 0;
    int c = poll(&p, 1, WAIT_MS) == 1 ? accept(fd, NULL, NULL) : -1;
    while (c >= 0 && serve_one(c))
        ;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(c);
    close(fd);
    unlink(a.sun_path);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("swanctl ended with %#x (127: it is not installed, make deps)", status);
}

// ---- compared with ours

static void assert_same(const struct vici_node *ours, const struct vici_node *theirs, const char *path)
{
    char here[400];
    for (; ours && theirs; ours = ours->next, theirs = theirs->next) {
        snprintf(here, sizeof(here), "%s.%s", path, theirs->name);
        if (ours->kind != theirs->kind || strcmp(ours->name, theirs->name) != 0 || ours->len != theirs->len ||
            (ours->len && memcmp(ours->value, theirs->value, ours->len) != 0))
            fail_msg("%s: swanctl sends '%.*s', here it is %s = '%.*s'", here, (int)theirs->len,
                     theirs->len ? (const char *)theirs->value : "", ours->name, (int)ours->len,
                     ours->len ? (const char *)ours->value : "");
        assert_same(ours->child, theirs->child, here);
    }
    if (ours || theirs)
        fail_msg("%s: %s %s", path, ours ? "swanctl does not send" : "only swanctl has",
                 ours ? ours->name : theirs->name);
}

static void compare(const char *text, unsigned conns)
{
    static const char *const connections[] = {"connections"};
    struct conf_tree t;
    struct conf_view v;
    struct esp_error err = {0};
    unsigned n = 0;
    write_file("swanctl.conf", text);
    run_swanctl();
    if (conf_tree_read(&t, in_dir("swanctl.conf"), NULL, &err) != 0)
        fail_msg("%s: %s", err.field, err.text);
    conf_view(&v, &t, connections, 1);
    for (unsigned i = 0; i < v.count; i++) {
        for (const struct conf_node *c = v.at[i]->sections.first; c; c = c->next) {
            struct swanctl_tree ours;
            if (tree_seen(&v, i, c->name))
                continue;
            assert_true(n < sent_count);
            assert_int_equal(tree_make(&ours, &t, NULL, "connections", c), 0);
            assert_same(tree_root(&ours), sent[n].root->child, "");
            vici_msg_free(&sent[n++]);
            tree_free(&ours);
        }
    }
    conf_tree_free(&t);
    assert_int_equal(n, conns);
    assert_int_equal(sent_count, conns);
}

static void test_values_are_joined_quoted_and_cut_as_swanctl_does(void **state)
{
    (void)state;
    compare("connections { a {\n proposals = aes256-sha256-modp2048 , ,default,\n local_addrs =\n"
            " remote_addrs = \"10.0.0.1, 10.0.0.2\"\n dscp = a   b\tc # comment\n encap = \"x  y\" z \"w\"\n"
            " mobike = \"a\\\"b\\tc\\\\d\\qe\"\n pull = \"line \\\n joined\"\n"
            " version = 1=2\n keyingtries = x{y # {\n"
            " local { id = \"C=CH, O=a # b, CN={x}\" }\n remote { id = \"\" }\n children { net { } } } }\n",
            1);
}

static void test_sections_that_come_again_are_merged_as_swanctl_does(void **state)
{
    (void)state;
    compare("connections {\n b { version = 1\n local { auth = psk } }\n a { version = 1 }\n"
            " b { mobike = no\n version = 2\n local { id = x\n auth = pubkey } }\n}\n"
            "connections { c { } a { encap = yes } }\n",
            3);
}

static void test_references_are_resolved_as_swanctl_does(void **state)
{
    (void)state;
    compare("base { version = 2\n encap = yes\n local { auth = psk\n id = base }\n"
            " children { all { mode = tunnel\n rekey_time = 1h } one { mode = drop } } }\n"
            "more : base { encap = no\n dpd_delay = 5s\n remote { auth = psk } }\n"
            "net { remote_ts = 10.0.0.0/8\n mode = transport }\n"
            "connections {\n"
            " a : base { local { id = a } }\n"
            " b : more , net { dpd_delay =\n children { all : net { rekey_time = 2h } } }\n"
            " c : connections.a { version = 1 }\n"
            " d : base, more { remote : base.local { id = d } }\n"
            " e : nowhere { version = 2 }\n"
            "}\n",
            5);
}

static void test_includes_are_followed_as_swanctl_does(void **state)
{
    (void)state;
    write_file("conf.d/a.conf", "version = 2\nlocal { auth = psk }\n");
    write_file("conf.d/b.conf", "connections { b : connections.a { encap = yes } }\n");
    compare("connections { a {\n include conf.d/a.*\n encap = no\n }\n}\ninclude conf.d/b.conf\n"
            "include conf.d/*.none\n",
            2);
}

// ---- what --check says

static void check(const char *name, int result, const char *expected)
{
    static char got[8000];
    char argv1[] = "espalierd", argv2[] = "--check", path[128];
    char *argv[] = {argv1, argv2, path, NULL};
    struct options o;
    struct esp_error err;
    snprintf(path, sizeof(path), "%s", in_dir(name));
    assert_int_equal(options_parse(&o, 3, argv, &err), 0);
    fflush(stdout);
    int was = dup(STDOUT_FILENO);
    FILE *out = fopen(in_dir("out"), "w+");
    assert_true(was >= 0 && out && dup2(fileno(out), STDOUT_FILENO) >= 0);
    int r = config_check(&o);
    fflush(stdout);
    dup2(was, STDOUT_FILENO);
    close(was);
    rewind(out);
    got[fread(got, 1, sizeof(got) - 1, out)] = 0;
    fclose(out);
    options_free(&o);
    for (char *at; (at = strstr(got, dir));) // the folder has another name each time
        memmove(at, at + strlen(dir) + 1, strlen(at + strlen(dir) + 1) + 1);
    assert_string_equal(got, expected);
    assert_int_equal(r, result);
}

static void test_check_tells_every_fault_with_its_place(void **state)
{
    (void)state;
    write_file("conf.d/a.conf", "connections { included { mobike = maybe\n } }\n");
    write_file("swanctl.conf",
               "defaults {\n version = 2\n local { auth = psk }\n remote { auth = psk }\n}\n"
               "connections {\n a : defaults {\n  encap = perhaps\n  what is this {\n   a = b\n  }\n"
               "  children { net { mode = beet\n remote_ts = 10.0.0.0/33, 10.1.0.0/16, x } }\n }\n"
               " b : nowhere, defaults { }\n stray = 1\n}\n"
               "secrets { ike-1 { secret = 0x123\n }\n ike-2 { id = a\n }\n rsa { secret = hidden\n } }\n"
               "conections { }\ninclude conf.d/a.conf\ninclude missing.conf\n");
    check(
        "swanctl.conf", -EINVAL,
        "swanctl.conf:9: what: expected '=' or '{' after it\n"
        "swanctl.conf:26: include: missing.conf not found\n"
        "swanctl.conf:24: conections: nothing in this section has effect: expected connections, secrets, "
        "pools or authorities, or a name that another section refers to\n"
        "swanctl.conf:15: connections.b: the section refers to nowhere, which is not there\n"
        "swanctl.conf:16: connections: a key has no place here: expected a section, such as `NAME { ... }`\n"
        "swanctl.conf:8: connections.a: invalid value for: encap: 'perhaps', expected yes or no\n"
        "swanctl.conf:12: connections.a.children.net: invalid value for: mode: 'beet', expected tunnel, "
        "transport, pass or drop\n"
        "swanctl.conf:13: connections.a.children.net: invalid value for: remote_ts: '33': expected a prefix "
        "length from 0 to 32\n"
        "swanctl.conf:13: connections.a.children.net: invalid value for: remote_ts: 'x': expected an "
        "address, a subnet, a range or dynamic\n"
        "conf.d/a.conf:1: connections.included: invalid value for: mobike: 'maybe', expected yes or no\n"
        "conf.d/a.conf:1: connections.included: local is missing: expected a section with auth = psk or "
        "pubkey\n"
        "conf.d/a.conf:1: connections.included: remote is missing: expected a section with auth = psk or "
        "pubkey\n"
        "swanctl.conf:18: secrets.ike-1: invalid value for: secret: expected at most 512 octets as text, "
        "behind 0x an even number of hexadecimal digits, or behind 0s base64\n"
        "swanctl.conf:20: secrets.ike-2: secret is missing: expected secret = KEY, 0xHEX or 0sBASE64\n"
        "swanctl.conf:22: secrets.rsa: file is missing: expected the name of a file of private keys, whose "
        "password this is\n"
        "swanctl.conf: 15 faults\n");
}

// swanctl sends such a section without its keys.
static void test_check_names_a_section_whose_name_swanctl_does_not_take(void **state)
{
    char name[129], text[400], expected[500];
    (void)state;
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    for (int longer = 0; longer < 2; longer++) {
        snprintf(text, sizeof(text),
                 "connections { a {\n local { auth = psk }\n remote { auth = psk }\n children { %s {\n  mode "
                 "= tunnel\n } } } }\n",
                 name + 1 - longer);
        write_file("swanctl.conf", text);
        snprintf(expected, sizeof(expected),
                 "swanctl.conf:4: connections.a.children: section %s: swanctl sends no key of one whose name "
                 "is longer "
                 "than 127 characters\nswanctl.conf: 1 fault\n",
                 name);
        if (longer)
            check("swanctl.conf", -EINVAL, expected);
        else
            check("swanctl.conf", 0, "swanctl.conf: 1 connection, 0 secrets, no fault\n");
    }
}

static void test_check_of_a_good_file_counts_what_it_holds(void **state)
{
    (void)state;
    write_file("swanctl.conf",
               "connections { a { local { auth = psk } \n remote { auth = psk } } }\n"
               "secrets { ike { secret = 0sAAEC\n id-1 = a\n } ike-x { secret = text\n } }\n");
    check("swanctl.conf", 0, "swanctl.conf: 1 connection, 2 secrets, no fault\n");
    write_file("swanctl.conf", "x : y { b { } }\ny : x { }\nconnections { a : x { } }\n");
    check("swanctl.conf", -EINVAL,
          "swanctl.conf:1: connections.a: unknown option: b\n"
          "swanctl.conf:3: connections.a: local is missing: expected a section with auth = psk or pubkey\n"
          "swanctl.conf:3: connections.a: remote is missing: expected a section with auth = psk or pubkey\n"
          "swanctl.conf: 3 faults\n");
}

static void test_check_of_settings_tells_every_fault(void **state)
{
    (void)state;
    write_file("s.conf", "charon {\n retransmit_tries = many\n retry_initiate_interval = soon\n}\n"
                         "espalierd { mtu = 3\n nonsense = 1\n }\n");
    check(
        "s.conf", -EINVAL,
        "s.conf:2: charon.retransmit_tries: 'many' (s.conf:2): expected a number from 0 to 100\n"
        "s.conf:3: charon.retry_initiate_interval: 'soon' (s.conf:3): expected a time from 0s to 86400s (30, "
        "30s, 5m, 1h, 1d)\n"
        "s.conf:5: espalierd.mtu: '3' (s.conf:5): expected a number from 1280 to 9000\n"
        "s.conf:6: espalierd.nonsense: (s.conf:6): unknown key\n"
        "s.conf: 4 faults\n");
    write_file("s.conf", "charon { retry_initiate_interval = 30s\n}\n");
    check("s.conf", 0, "s.conf: settings, no fault\n");
}

static void test_references_in_a_circle_end(void **state)
{
    static const char text[] =
        "connections : connections.a, connections.b, connections.c { a : connections.b, "
        "connections.c { a : connections.a { } b : connections { } }\n"
        "b : connections.a, connections, connections.c { a : connections.b { } }\n"
        "c : connections.a.a, connections.b.a, connections { } }\n";
    struct conf_tree t;
    struct esp_error err = {0};
    (void)state;
    assert_int_equal(conf_tree_parse(&t, text, strlen(text), "x", ".", NULL, &err), 0);
    for (const struct conf_node *n = t.top.sections.first->sections.first; n; n = n->next) {
        struct swanctl_tree made;
        assert_int_equal(tree_make(&made, &t, NULL, "connections", n), -ELOOP);
        tree_free(&made);
    }
    conf_tree_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_joined_quoted_and_cut_as_swanctl_does),
        cmocka_unit_test(test_sections_that_come_again_are_merged_as_swanctl_does),
        cmocka_unit_test(test_references_are_resolved_as_swanctl_does),
        cmocka_unit_test(test_includes_are_followed_as_swanctl_does),
        cmocka_unit_test(test_check_tells_every_fault_with_its_place),
        cmocka_unit_test(test_check_names_a_section_whose_name_swanctl_does_not_take),
        cmocka_unit_test(test_check_of_a_good_file_counts_what_it_holds),
        cmocka_unit_test(test_check_of_settings_tells_every_fault),
        cmocka_unit_test(test_references_in_a_circle_end),
    };
    return cmocka_run_group_tests(tests, up, down);
}
