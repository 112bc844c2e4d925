// SPDX-License-Identifier: Apache-2.0
// Every command that stock swanctl has, against espalierd with a peer of its own kind: each ends with the
// status that it should, and what it prints has no hole. Debian's swanctl 5.9.8 here; in check-newest that of
// a younger Debian (6.1), whose charon is no peer here.
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

static struct lab lab;
static char out[65536];
static char *const no_card[] = {"--card", "none", NULL};

static const char sections[] =
    "pools {\n road {\n  addrs = 10.77.0.0/24\n  dns = 10.77.0.1\n }\n}\n"
    "authorities {\n ca {\n  cacert = ca.pem\n  crl_uris = http://192.0.2.9/ca.crl\n }\n}\n";

static int set_up(void **state)
{
    struct tunnel_options o = {.conn = "pools = road", .sections = sections, .start_action = "trap"};
    struct tunnel_options peer = {0};
    (void)state;
    if (!lab_up(&lab, "espsw") ||
        sh("mkdir -p %s/swanctl/x509ca && openssl req -x509 -newkey ed25519 -nodes -subj /CN=ca -days 9 "
           "-keyout %s/ca.key -out %s/swanctl/x509ca/ca.pem 2>%s/openssl.log",
           lab.west.dir, lab.west.dir, lab.west.dir, lab.west.dir) != 0)
        return -1;
    return espalierd_start(&lab, &lab.west, &lab.east, &o, no_card) &&
                   espalierd_start(&lab, &lab.east, &lab.west, &peer, no_card)
               ? 0
               : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

struct command {
    const char *line;
    int status;
    const char *shows; // NULL: nothing in particular
};

static void run(const struct command *c)
{
    int r = swanctl(&lab.west, out, sizeof(out), "%s", c->line);
    if (r != c->status || strstr(out, "(null)") || (c->shows && !strstr(out, c->shows)))
        fail_msg("swanctl %s: status %d, expected %d with \"%s\" and no hole:\n%s", c->line, r, c->status,
                 c->shows ? c->shows : "", out);
}

static void test_every_command_of_stock_swanctl(void **state)
{
    static const struct command commands[] = {
        {"--version --daemon", 0, "espalierd"},
        {"--stats", 0, "IKE_SAs: 0 total"},
        {"--list-algs", 0, "AES_GCM_16"},
        {"--reload-settings", 0, NULL},
        {"--load-all --noprompt", 0, "loaded connection 'site'"},
        {"--load-creds --noprompt", 0, "loaded ike secret 'ike-1'"},
        {"--load-authorities", 0, "loaded authority 'ca'"},
        {"--load-pools", 0, "loaded pool 'road'"},
        {"--load-conns", 0, "loaded connection 'site'"},
        {"--list-conns", 0, "net: TUNNEL"},
        {"--list-conns --raw", 0, "list-conn event"},
        {"--list-pools --leases", 0, "10.77.0.0"},
        {"--list-authorities", 0, "http://192.0.2.9/ca.crl"},
        {"--list-certs", 0, "CN=ca"},
        {"--list-certs --pem --flag ca", 0, "BEGIN CERTIFICATE"},
        {"--list-pols", 0, "site/net"},
        {"--uninstall --child net", 0, "uninstall completed"},
        {"--install --child net", 0, "install completed"},
        {"--list-pols --trap", 0, "site/net"},
        {"--initiate --child net", 0, "initiate completed"},
        {"--list-sas", 0, "INSTALLED, TUNNEL"},
        {"--list-sas --pretty", 0, "state = INSTALLED"},
        {"--rekey --child net", 0, "rekey completed"},
        {"--rekey --ike site", 0, "rekey completed"},
        {"--rekey --ike site --reauth", 0, "rekey completed"},
        {"--list-sas --ike site --noblock", 0, "ESTABLISHED"},
        {"--counters", 0, "ike_init_out_req"},
        {"--counters --all", 0, "site:"},
        {"--counters --name site", 0, "ike_established"},
        {"--counters --reset", 0, "reset-counters completed"},
        {"--redirect --peer-id nobody --gateway 192.0.2.7", 1, "no matching SAs to redirect found"},
        {"--terminate --child net --timeout 10", 0, "terminate completed"},
        {"--terminate --ike site --force", 0, "terminate completed"},
        {"--flush-certs", 0, NULL},
        {"--flush-certs --type x509_crl", 0, NULL},
        {"--initiate --ike nobody", 1, "IKE_SA config 'nobody' not found"},
        {"--terminate --ike nobody", 1, "no matching SAs to terminate found"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        run(&commands[i]);
}

// A command of --help that is not among those above would be one that nobody has looked at.
static void test_commands_of_its_help_are_those(void **state)
{
    static const char known[] =
        " counters initiate terminate rekey redirect uninstall install list-sas monitor-sa list-pols "
        "list-authorities list-conns list-certs list-pools list-algs flush-certs load-all load-authorities "
        "load-conns load-creds load-pools log version stats reload-settings help ";
    unsigned n = 0;
    (void)state;
    sh_read(out, sizeof(out),
            "/usr/sbin/swanctl --help 2>/dev/null | sed -n '/^options/q; s/^  \\(swanctl \\)*--\\([a-z-]*\\) "
            ".*/\\2/p'");
    for (char *at = out, *name; (name = strtok(at, "\n")) != NULL; at = NULL, n++) {
        char word[64];
        snprintf(word, sizeof(word), " %s ", name);
        if (!strstr(known, word))
            fail_msg("swanctl has --%s, which nothing here asks for", name);
    }
    assert_in_range(n, 20, 30);
}

// The two that wait for what comes: they say it, and end when they are told to.
static void test_monitors_show_what_happens(void **state)
{
    static const struct command up = {"--initiate --child net", 0, "initiate completed"},
                                down = {"--terminate --ike site", 0, "terminate completed"};
    const char *dir = lab.west.dir;
    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(sh("(STRONGSWAN_CONF=%s/client.conf nsenter --net=%s timeout 60 stdbuf -oL "
                            "/usr/sbin/swanctl --%s "
                            "--uri unix://%s/vici >%s/monitor.%d 2>&1 &)",
                            dir, lab.west.ns, i ? "log" : "monitor-sa", dir, dir, i),
                         0);
    sleep(1); // they say nothing when they have been heard
    run(&up);
    run(&down);
    sh_read(out, sizeof(out),
            "for i in 1 2 3 4 5 6 7 8 9 10; do grep -q ESTABLISHED %s/monitor.0 && grep -q 'IKE_SA site' "
            "%s/monitor.1 && break; sleep 0.5; done; cat %s/monitor.0 %s/monitor.1",
            dir, dir, dir, dir);
    assert_non_null(strstr(out, "site: #"));
    assert_non_null(strstr(out, "[IKE] initiating IKE_SA site"));
    assert_null(strstr(out, "(null)"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands_of_its_help_are_those),
        cmocka_unit_test(test_every_command_of_stock_swanctl),
        cmocka_unit_test(test_monitors_show_what_happens),
    };
    if (!have_swanctl()) {
        fprintf(stderr, "missing: swanctl (Debian package strongswan-swanctl)\n");
        return 3;
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
