// SPDX-License-Identifier: Apache-2.0
// espalier-load toward our daemon and toward charon: what it says came about is what the responder has, and
// what was refused is told as such.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/system/steps.h"

enum { CLIENTS = 100 };
static struct lab lab;

static int set_up(void **state)
{
    (void)state;
    if (!lab_up(&lab, "espload"))
        return -1;
    return sh("nsenter --net=%s ip route add local 172.16.0.0/16 dev lo", lab.east.ns) == 0 &&
                   sh("nsenter --net=%s ip route add 172.16.0.0/16 via %s", lab.west.ns, lab.east.outer) == 0
               ? 0
               : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

static char *const no_card[] = {"--card", "none", NULL};

// Any client may come, from anywhere; each has an address in the eastern network.
static void start(bool charon)
{
    struct tunnel_options o = {.ike = "aes256gcm16-prfsha256-x25519",
                               .peer_addr = "%any",
                               .remote_id = "*.load.test",
                               .conn = "unique = no",
                               .secrets = "  ike-2 {\n    secret = \"of the clients\"\n  }\n",
                               .psk = "of nobody"};
    if (charon)
        assert_true(charon_start(&lab, &lab.west, &lab.east, &o));
    else
        assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, no_card));
}

static int load(char *out, size_t size, const char *more)
{
    return sh_read(out, size,
                   "nsenter --net=%s %s/espalier-load --peer %s --source 172.16.0.1+64 --local-ts 10.2.0.1 "
                   "--remote-ts 10.1.0.0/24 --window 4 --pid %d --json - %s",
                   lab.east.ns, bin_dir(), lab.west.outer, (int)lab.west.daemon, more);
}

static uint64_t sas_of_responder(void)
{
    char out[4096];

    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--stats"), 0);
    return number_after(out, "IKE_SAs:", UINT64_MAX);
}

static void all_come_up(bool charon)
{
    char out[16384];

    start(charon);
    assert_int_equal(load(out, sizeof(out), "--psk 'of the clients' --count 100"), 0);
    assert_int_equal(number_after(out, "\"done\"", 0), CLIENTS);
    assert_int_equal(number_after(out, "\"failed\"", 1), 0);
    assert_true(number_after(out, "\"cpu_us_each\"", 0) > 0);
    assert_int_equal(sas_of_responder(), CLIENTS);
    assert_int_equal(load(out, sizeof(out), "--psk 'of the clients' --count 50 --first 100 --delete"), 0);
    assert_int_equal(sas_of_responder(), CLIENTS);
    assert_int_equal(load(out, sizeof(out), "--psk 'of the clients' --count 100 --initial-contact"), 0);
    assert_int_equal(sas_of_responder(), CLIENTS);
}

static void strangers_are_answered(bool charon)
{
    char out[16384];

    start(charon);
    // The first of them are given an SA; then everybody has to show a cookie first, or is told to wait.
    assert_int_equal(load(out, sizeof(out), "--kind half-open --count 60"), 0);
    assert_int_equal(number_after(out, "\"done\"", 0), 60);
    assert_true(number_after(out, "\"cookies\"", 0) > 0);
    assert_int_equal(load(out, sizeof(out), "--kind requests --count 500 --rate 5000"), 0);
    assert_true(number_after(out, "\"cookies\"", 0) > 0); // a busy responder may drop some
    assert_int_equal(load(out, sizeof(out), "--kind unknown-spi --count 200 --rate 5000"), 0);
    assert_int_equal(number_after(out, "\"begun\"", 0), 200);
    assert_int_equal(load(out, sizeof(out), "--kind junk --count 200 --rate 5000"), 0);
    assert_int_equal(number_after(out, "\"begun\"", 0), 200);
}

static void test_clients_of_espalierd_all_come_up(void **state)
{
    (void)state;
    all_come_up(false);
}

static void test_clients_of_charon_all_come_up(void **state)
{
    (void)state;
    needs_strongswan();
    all_come_up(true);
}

static void test_strangers_of_espalierd_are_answered(void **state)
{
    (void)state;
    strangers_are_answered(false);
}

static void test_strangers_of_charon_are_answered(void **state)
{
    (void)state;
    needs_strongswan();
    strangers_are_answered(true);
}

static void test_wrong_secret_is_told_as_refused(void **state)
{
    char out[16384];

    (void)state;
    start(false);
    assert_int_equal(load(out, sizeof(out), "--psk 'of somebody else' --count 3"), 1);
    assert_int_equal(number_after(out, "\"failed\"", 0), 3);
    assert_non_null(strstr(out, "AUTHENTICATION_FAILED"));
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--list-sas"), 0);
    assert_null(strstr(out, "ESTABLISHED"));
}

static void test_options_are_refused_by_name(void **state)
{
    char out[1024];

    (void)state;
    assert_int_equal(
        sh_read(out, sizeof(out), "%s/espalier-load --peer 10.10.0.1 --psk x --kind all 2>&1", bin_dir()), 2);
    assert_non_null(strstr(out, "--kind: all: expected handshakes"));
    assert_int_equal(sh_read(out, sizeof(out), "%s/espalier-load --peer 10.10.0.1 2>&1", bin_dir()), 2);
    assert_non_null(strstr(out, "one of --psk and --cert"));
    assert_int_equal(
        sh_read(out, sizeof(out), "%s/espalier-load --peer 10.10.0.1 --psk x --count 0 2>&1", bin_dir()), 2);
    assert_non_null(strstr(out, "--count: 0: expected a number from 1 to"));
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_clients_of_espalierd_all_come_up),    T(test_clients_of_charon_all_come_up),
        T(test_strangers_of_espalierd_are_answered), T(test_strangers_of_charon_are_answered),
        T(test_wrong_secret_is_told_as_refused),     cmocka_unit_test(test_options_are_refused_by_name),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("clients by the thousand", tests, NULL, NULL);
}
