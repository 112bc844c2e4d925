// SPDX-License-Identifier: Apache-2.0
// espalier doctor and card: what no namespace can be made ill with (the clock, entropy), refusals in the
// words of either daemon, and what a daemon says of its card.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrl/cli/doctor.h"
#include "tests/unit/cli_rig.h"

// ---- the clock and entropy

static struct doctor patient;

static int begin(void **state)
{
    patient = (struct doctor){.check = "clock", .findings = json_array()};
    return cli_rig_begin(state);
}

static int end(void **state)
{
    json_decref(patient.findings);
    return cli_rig_end(state);
}

static const char *found(const char *key)
{
    const char *text = json_string_value(json_object_get(json_array_get(patient.findings, 0), key));
    return text ? text : "(nothing)";
}

static void test_clock_before_2026_is_wrong(void **state)
{
    (void)state;
    doctor_judge_clock(&patient, &(struct doctor_time){.now = 1767225599, .synchronised = true});
    assert_string_equal(found("what"), "the clock says 2025-12-31");
    assert_string_equal(found("weight"), "wrong");
    assert_int_equal(patient.wrong, 1);
}

static void test_clock_that_nothing_keeps_right_is_a_note(void **state)
{
    (void)state;
    doctor_judge_clock(&patient, &(struct doctor_time){.now = 1767225600, .synchronised = false});
    assert_string_equal(found("weight"), "note");
    assert_int_equal(patient.wrong, 0);
}

static void test_clock_and_entropy_as_they_should_be_are_fine(void **state)
{
    const struct doctor_time t = {.now = 1796000000, .synchronised = true, .seeded = true};
    (void)state;
    doctor_judge_clock(&patient, &t);
    doctor_judge_entropy(&patient, &t);
    assert_int_equal(json_array_size(patient.findings), 0);
}

static void test_random_numbers_without_a_seed_are_wrong(void **state)
{
    (void)state;
    doctor_judge_entropy(&patient, &(struct doctor_time){.now = 1796000000, .synchronised = true});
    assert_string_equal(found("what"), "the kernel's random numbers are not seeded yet");
    assert_int_equal(patient.wrong, 1);
}

// ---- ports

// Who listens on a TCP socket of VICI has no number that could be asked for: nobody is the daemon then.
static void
test_port_of_a_process_that_is_not_the_daemons_is_found_also_where_the_daemon_has_no_number(void **state)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(4500), .sin_addr.s_addr = htonl(0x7f000007)};
    char text[100];
    bool named = false;
    size_t i;
    json_t *f;
    int one = 1, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)state;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)); // two runs at once
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    patient.daemon = true;
    patient.pids[patient.pid_count++] = 0;
    doctor_ports(&patient);
    close(fd);
    snprintf(text, sizeof(text), "UDP port 4500 is held by test_cli_doctor (process %d)", (int)getpid());
    json_array_foreach(patient.findings, i, f) named =
        named || strcmp(json_string_value(json_object_get(f, "what")), text) == 0;
    assert_true(named);
}

// ---- refusals, as they stand in the log of an attempt

static const char *line, *refusal;

static void attempting(struct fake *f, const char *command, const struct vici_node *args)
{
    struct vici_out o;
    (void)args;
    if (strcmp(command, "initiate") != 0) {
        fake_ok(f);
        return;
    }
    vici_out_begin(&o, VICI_EVENT, "control-log");
    vici_put(&o, "group", "IKE");
    vici_put(&o, "msg", line);
    fake_send(f, &o);
    fake_refuse(f, refusal);
}

static void test_refusals_are_explained_by_what_was_logged(void **state)
{
    static const struct {
        const char *line, *refusal, *said;
    } cases[] = {
        {"received NO_PROPOSAL_CHOSEN notify error", "establishing CHILD_SA 'net' failed",
         "the peer accepts none of our proposals"},
        {"received AUTHENTICATION_FAILED notify error", "establishing CHILD_SA 'net' failed",
         "the peer does not believe that we are who we say"},
        {"no shared key found for 'a' - 'b'", "x", "there is no pre-shared key for these two identities"},
        {"no private key found for 'a'", "x", "there is no private key for our certificate"},
        {"received TS_UNACCEPTABLE notify, no CHILD_SA built", "x",
         "the peer does not take our traffic selectors"},
        {"received INTERNAL_ADDRESS_FAILURE notify error", "x", "the peer has no virtual address for us"},
        {"received FAILED_CP_REQUIRED notify error", "x", "wants us to ask for a virtual address"},
        {"establishing IKE_SA failed, peer not responding", "x", "the peer does not answer"},
        {"no trusted certificate found for 'b'", "x", "a certificate is refused"},
        {"something new", "CHILD_SA config 'net' not found", "net: CHILD_SA config 'net' not found"},
        {"retransmit 1 of request", "refused by NO_PROPOSAL_CHOSEN",
         "the peer accepts none of our proposals"},
        {"authentication of 'b' with certificate successful", "timed out", "net: timed out"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        line = cases[i].line;
        refusal = cases[i].refusal;
        fake_start(attempting, NULL);
        assert_int_equal(espalier("doctor", "net", NULL), CLI_FAILED);
        shows(cases[i].said);
        shows("\n       why:  ");
        shows("\n       mend: ");
    }
    assert_non_null(strstr(fake_heard(), "initiate child=net timeout=30000 loglevel=1\n"));
}

// ---- card

static void with_card(struct fake *f, const char *command, const struct vici_node *args)
{
    struct vici_out o;
    (void)args;
    if (strcmp(command, "list-sas") == 0) {
        vici_out_begin(&o, VICI_EVENT, "list-sa");
        vici_section(&o, "gw");
        vici_section(&o, "child-sas");
        for (int i = 0; i < 3; i++) {
            char name[8];
            snprintf(name, sizeof(name), "net-%d", i);
            vici_section(&o, name);
            vici_put(&o, "offload", i ? "card" : "software");
            vici_put(&o, i ? "card" : "offload-reason", i ? "0000:01:00.0" : "the card has no slot left");
            vici_section_end(&o);
        }
        vici_section_end(&o);
        vici_section_end(&o);
        fake_send(f, &o);
        fake_ok(f);
        return;
    }
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_section(&o, "counters");
    vici_section(&o, "");
    vici_put(&o, "card_present", "1");
    vici_put(&o, "failovers", "2");
    vici_put(&o, "software_packets_in", "9");
    vici_put(&o, "drop_in_NO_SA", "4");
    vici_put(&o, "ENC_PACKETS", "12");
    vici_put(&o, "drop_NO_SA", "3");
    vici_section_end(&o);
    vici_section_end(&o);
    fake_send(f, &o);
}

static void test_card_says_how_much_is_on_it_and_why_not_all(void **state)
{
    (void)state;
    fake_start(with_card, NULL);
    assert_int_equal(espalier("card", NULL), CLI_DONE);
    shows("the daemon uses a card; 2 of 3 CHILD SAs on it\nin software: the card has no slot left\n");
    shows("failovers         2\n");
    assert_null(strstr(cli_out, "software_packets_in"));
    assert_int_equal(espalier("card", "--json", NULL), CLI_DONE);
    json_t *doc = json_loads(cli_out, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(doc, "card")), "0000:01:00.0");
    assert_int_equal(json_integer_value(json_object_get(doc, "on-card")), 2);
    assert_true(json_is_true(json_object_get(doc, "in-use")));
    json_decref(doc);
    assert_int_equal(espalier("card", "lost", NULL), CLI_USAGE);
    says("'lost': expected list, info");
    assert_int_equal(espalier("card", "counters", NULL), CLI_DONE);
    shows("COUNTER      VALUE\nENC_PACKETS     12\ndrop_NO_SA       3\n");
    assert_null(strstr(cli_out, "failovers"));
    assert_null(strstr(cli_out, "drop_in_NO_SA")); // the daemon's own
    assert_int_equal(espalier("card", "list", "--pci-sysfs", "/nonexistent", NULL), CLI_MISSING);
    says("/nonexistent/devices: No such file or directory");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(test_clock_before_2026_is_wrong),
        T(test_clock_that_nothing_keeps_right_is_a_note),
        T(test_clock_and_entropy_as_they_should_be_are_fine),
        T(test_random_numbers_without_a_seed_are_wrong),
        T(test_port_of_a_process_that_is_not_the_daemons_is_found_also_where_the_daemon_has_no_number),
        T(test_refusals_are_explained_by_what_was_logged),
        T(test_card_says_how_much_is_on_it_and_why_not_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
