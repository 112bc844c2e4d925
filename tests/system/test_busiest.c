// SPDX-License-Identifier: Apache-2.0
// Two SAs and a simulated card that has room for one: the busier one takes the other one's place, and the
// other way round when the load changes, while numbered packets go both ways by both. None is lost, none
// comes twice, no number is on the wire twice, nothing is in clear; and they do not change places otherwise.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/system/taps.h"

enum { CAPACITY = 60000, MOVE_MS = 40000, STAY_S = 12 };
enum { OF_NET, OF_NET1 = 2 }; // the first stream of each: out, then in
static const unsigned per_second[] = {40, 250};

static struct lab lab;
static char pcap[200];
static struct stream stream[TAPS_STREAMS];
static struct stream_account account[TAPS_STREAMS];
static struct tap west, east;

static bool has_card(void *ctx)
{
    (void)ctx;
    return daemon_counter(&lab.west, "card_present") == 1;
}

static bool is_in(const char *child, const char *engine)
{
    char sas[16384], name[40], offload[40];
    snprintf(name, sizeof(name), "name=%s ", child);
    snprintf(offload, sizeof(offload), "offload=%s", engine);
    swanctl(&lab.west, sas, sizeof(sas), "--list-sas --raw");
    const char *at = strstr(sas, name), *is = at ? strstr(at, "offload=") : NULL;
    return is && strncmp(is, offload, strlen(offload)) == 0;
}

static bool net_is_on_card(void *ctx)
{
    (void)ctx;
    return is_in("net", "card") && is_in("net1", "software");
}

static bool net1_is_on_card(void *ctx)
{
    (void)ctx;
    return is_in("net1", "card") && is_in("net", "software");
}

static void up(void)
{
    static char *const no_card[] = {"--card", "none", NULL};
    char out[16384], *with_card[] = {"--card", "auto", "--pci-sysfs", lab.card_dir, NULL};
    struct tunnel_options o = {.encap = true, .hw_offload = "auto", .children = 2};
    struct tunnel_options plain = {.encap = true, .children = 2};
    struct site *both[] = {&lab.west, &lab.east};
    for (int i = 0; i < 2; i++)
        assert_int_equal(sh("nsenter --net=%s ip addr add 10.%d.1.1/32 dev lo", both[i]->ns, i + 1), 0);
    snprintf(pcap, sizeof(pcap), "%.90s/wire.pcap", lab.dir);
    assert_true(card_start(&lab, "--sas 1"));
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &plain, no_card));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, with_card));
    assert_true(wait_for(has_card, NULL, PATIENCE_MS));
    assert_true(capture_start(&lab, &lab.west, pcap));
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--initiate --child net --timeout 20"), 0);
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--initiate --child net1 --timeout 20"), 0);
    assert_true(wait_for(net_is_on_card, NULL, PATIENCE_MS));
    swanctl(&lab.west, out, sizeof(out), "--list-sas --raw");
    assert_non_null(strstr(out, "all 1 SA slots of this direction are in use"));
}

static void start_traffic(void)
{
    for (unsigned i = 0; i < TAPS_STREAMS; i++)
        stream[i] = (struct stream){.from = i % 2 ? &lab.east : &lab.west,
                                    .to = i % 2 ? &lab.west : &lab.east,
                                    .child = i / 2,
                                    .index = i / 2,
                                    .count = 2,
                                    .per_second = per_second[i / 2],
                                    .capacity = CAPACITY};
    assert_true(tap_start(&west, &lab.west, stream, CAPACITY));
    assert_true(tap_start(&east, &lab.east, stream, CAPACITY));
    for (unsigned i = 0; i < TAPS_STREAMS; i++)
        assert_true(stream_start(&stream[i]));
}

static void end_traffic(void)
{
    for (unsigned i = 0; i < TAPS_STREAMS; i++)
        stream_quit(&stream[i]);
    for (unsigned i = 0; i < TAPS_STREAMS; i++)
        assert_true(stream_stop(&stream[i], &account[i]));
    assert_true(tap_stop(&west));
    assert_true(tap_stop(&east));
    assert_true(capture_stop(&lab.west));
}

static void judge(uint64_t away)
{
    static const char *const names[] = {"net out", "net in", "net1 out", "net1 in"};
    struct wire wire;
    assert_true(wire_check(pcap, &wire));
    assert_int_equal(wire.repeated, 0);
    assert_int_equal(wire.plaintext, 0);
    for (unsigned i = 0; i < TAPS_STREAMS; i++) {
        struct passage p = tap_passage(i % 2 ? &east : &west, i % 2 ? &west : &east, i, UINT64_MAX);
        print_message("%-8s %6llu sent, %6llu came, %llu twice, longest gap %llu ms\n", names[i],
                      (unsigned long long)p.sent, (unsigned long long)p.received,
                      (unsigned long long)p.duplicates, (unsigned long long)p.gap_us / 1000);
        assert_true(p.sent > 10ull * per_second[i / 2]);
        assert_int_equal(p.duplicates, 0);
        assert_int_equal(account[i].wrong, 0);
        if (p.sent > p.received + away)
            fail_msg("%s: %llu were lost, %llu were turned away by full sockets, TUNs and queues", names[i],
                     (unsigned long long)(p.sent - p.received), (unsigned long long)away);
    }
}

static void test_the_busier_sa_is_on_the_card_and_none_of_its_packets_is_lost(void **state)
{
    (void)state;
    up();
    uint64_t away = turned_away(&lab);
    start_traffic();
    assert_true(wait_for(net1_is_on_card, NULL, MOVE_MS));
    sleep(STAY_S);
    assert_true(net1_is_on_card(NULL));
    assert_int_equal(daemon_counter(&lab.west, "card_busiest_in"), 1);
    assert_int_equal(daemon_counter(&lab.west, "card_idlest_out"), 1);
    stream_pause(&stream[OF_NET1], true);
    stream_pause(&stream[OF_NET1 + 1], true);
    assert_true(wait_for(net_is_on_card, NULL, MOVE_MS));
    sleep(1);
    assert_int_equal(daemon_counter(&lab.west, "card_busiest_in"), 2);
    assert_int_equal(daemon_counter(&lab.west, "failovers"), 0);
    end_traffic();
    judge(turned_away(&lab) - away);
}

static int set_up(void **state)
{
    (void)state;
    return lab_up(&lab, "espbusy") ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TAPS_STREAMS; i++)
        stream_free(&stream[i]);
    tap_free(&west);
    tap_free(&east);
    lab_down(&lab);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(
        test_the_busier_sa_is_on_the_card_and_none_of_its_packets_is_lost, set_up, tear_down)};
    return cmocka_run_group_tests_name("more SAs than slots", tests, NULL, NULL);
}
