// SPDX-License-Identifier: Apache-2.0
// Postquantum preshared keys (RFC 8784) with stock strongSwan, in both roles: required by both, by one,
// loaded at one end alone, of two values. charon's acceptance checks the derivation: its AUTH and its CHILD
// SA's keys have the PPK in them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/system/steps.h"

static struct lab lab;

static int set_up(void **state)
{
    (void)state;
    return lab_up(&lab, "espppk") ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

static char *const no_card[] = {"--card", "none", NULL};

#define PPK(value) "  ppk-1 {\n    id = ppk.example\n    secret = \"" value "\"\n  }\n"
#define SECRET     PPK("0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
#define OTHER      PPK("0xff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
#define OPTIONAL   "ppk_id = ppk.example"
#define REQUIRED   OPTIONAL "\n    ppk_required = yes"

struct end {
    const char *conn, *secrets;
};

static void start(struct end west, struct end east)
{
    struct tunnel_options ours = {.conn = west.conn, .secrets = west.secrets},
                          theirs = {.conn = east.conn, .secrets = east.secrets};
    assert_true(charon_start(&lab, &lab.east, &lab.west, &theirs));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &ours, no_card));
}

// Each end begins once; traffic passes both ways; both ends list a PPK, or none does.
static void both_ways(bool ppk)
{
    char out[16384];
    struct site *first[] = {&lab.west, &lab.east};
    for (int i = 0; i < 2; i++) {
        assert_true(initiate(first[i]));
        assert_true(ping(&lab, &lab.west, &lab.east, 3) && ping(&lab, &lab.east, &lab.west, 3));
        for (int s = 0; s < 2; s++) {
            assert_int_equal(swanctl(first[s], out, sizeof(out), "--list-sas --raw"), 0);
            if ((strstr(out, "ppk=yes") != NULL) != ppk)
                fail_msg("%s: expected %s PPK: %s", first[s]->name, ppk ? "a" : "no", out);
        }
        assert_int_equal(swanctl(first[i], out, sizeof(out), "--terminate --ike site --timeout 10"), 0);
    }
}

static void test_required_by_both(void **state)
{
    (void)state;
    needs_strongswan();
    start((struct end){REQUIRED, SECRET}, (struct end){REQUIRED, SECRET});
    both_ways(true);
    assert_true(logged(&lab.west, "using PPK for PPK_ID 'ppk.example'"));
}

static void test_optional_and_had_by_both(void **state)
{
    (void)state;
    needs_strongswan();
    start((struct end){OPTIONAL, SECRET}, (struct end){OPTIONAL, SECRET});
    both_ways(true);
}

static void test_rekeyed_with_the_ppk_in(void **state)
{
    char out[16384];
    (void)state;
    needs_strongswan();
    start((struct end){REQUIRED, SECRET}, (struct end){REQUIRED, SECRET});
    assert_true(initiate(&lab.west));
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--rekey --ike site"), 0);
    assert_int_equal(swanctl(&lab.east, out, sizeof(out), "--rekey --child net"), 0);
    assert_true(ping(&lab, &lab.west, &lab.east, 3) && ping(&lab, &lab.east, &lab.west, 3));
    assert_true(logged(&lab.west, "rekeyed"));
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--list-sas --raw"), 0);
    assert_non_null(strstr(out, "ppk=yes"));
}

// With ppk_intermediate = yes at our end; east is strongSwan, or another one of ours.
static void start_intermediate(bool charon)
{
    char file[200];
    char *args[] = {"--card", "none", "--config", file, NULL};
    struct tunnel_options o = {.conn = REQUIRED, .secrets = SECRET};
    snprintf(file, sizeof(file), "%.150s/intermediate.conf", lab.dir);
    assert_int_equal(sh("printf 'espalierd {\n  ppk_intermediate = yes\n}\n' >%s", file), 0);
    assert_true(charon ? charon_start(&lab, &lab.east, &lab.west, &o)
                       : espalierd_start(&lab, &lab.east, &lab.west, &o, args));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, args));
}

// Of RFC 9867 strongSwan takes no notice, and goes by RFC 8784.
static void test_who_does_not_know_the_intermediate_way_goes_the_other(void **state)
{
    (void)state;
    needs_strongswan();
    start_intermediate(true);
    both_ways(true);
    assert_false(file_says(lab.west.dir, "daemon.log", "from IKE_AUTH on"));
}

static void test_two_of_ours_go_the_intermediate_way(void **state)
{
    (void)state;
    start_intermediate(false);
    both_ways(true);
    assert_true(logged(&lab.west, "using PPK for PPK_ID 'ppk.example' from IKE_AUTH on"));
    assert_true(logged(&lab.east, "using PPK for PPK_ID 'ppk.example' from IKE_AUTH on"));
}

// The end without it goes by NO_PPK_AUTH, whichever that is.
static void test_optional_and_had_by_one(void **state)
{
    (void)state;
    needs_strongswan();
    start((struct end){OPTIONAL, SECRET}, (struct end){OPTIONAL, ""});
    both_ways(false);
    assert_true(logged(&lab.west, "going on without"));
    lab_down(&lab);
    assert_true(lab_up(&lab, "espppk"));
    start((struct end){OPTIONAL, ""}, (struct end){OPTIONAL, SECRET});
    both_ways(false);
    assert_true(logged(&lab.west, "no PPK of that identity is loaded; ignored"));
    lab_down(&lab);
    assert_true(lab_up(&lab, "espppk"));
    start((struct end){"", ""}, (struct end){OPTIONAL, SECRET});
    both_ways(false);
}

static void refused(struct end west, struct end east, const char *why)
{
    start(west, east);
    assert_false(initiate(&lab.east));
    assert_false(initiate(&lab.west));
    assert_true(logged(&lab.west, why));
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
}

static void test_required_and_not_had_is_refused(void **state)
{
    (void)state;
    needs_strongswan();
    refused((struct end){REQUIRED, SECRET}, (struct end){"", ""}, "the peer uses no PPK");
    assert_true(logged(&lab.west, "the peer does not support PPKs"));
    lab_down(&lab);
    assert_true(lab_up(&lab, "espppk"));
    refused((struct end){REQUIRED, ""}, (struct end){REQUIRED, SECRET}, "no PPK of that identity is loaded");
}

static void test_another_value_of_that_name_is_refused(void **state)
{
    (void)state;
    needs_strongswan();
    refused((struct end){OPTIONAL, SECRET}, (struct end){OPTIONAL, OTHER}, "MAC mismatched");
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_required_by_both),
        T(test_optional_and_had_by_both),
        T(test_rekeyed_with_the_ppk_in),
        T(test_optional_and_had_by_one),
        T(test_required_and_not_had_is_refused),
        T(test_another_value_of_that_name_is_refused),
        T(test_who_does_not_know_the_intermediate_way_goes_the_other),
        T(test_two_of_ours_go_the_intermediate_way),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("postquantum preshared keys with strongSwan", tests, NULL, NULL);
}
