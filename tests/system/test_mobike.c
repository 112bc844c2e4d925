// SPDX-License-Identifier: Apache-2.0
// MOBIKE (RFC 4555) through real daemons: west has another address all at once while a numbered stream goes
// both ways, and how long nothing came is measured; with strongSwan in either role, on the simulated card,
// from IPv4 to IPv6, with both addresses there for a while, and where a NAT has another mapping.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/system/steps.h"
#include "tests/system/middle.h"

enum { DELAY_US = 10000, RTT_US = 2 * DELAY_US, EVERY_US = 2000 };
// Of a move: a round trip and 100 ms from the new address on.
enum { GAP_US = RTT_US + 100000, CHARON_GAP_US = 2000000 };

static struct lab lab;
static struct middle middle;
static char *const no_card[] = {"--card", "none", NULL};

static bool promote_secondaries(const struct site *s)
{
    return sh("nsenter --net=%s sh -c 'echo 1 >/proc/sys/net/ipv4/conf/all/promote_secondaries'", s->ns) == 0;
}

static bool lab_alone(void)
{
    return lab_up(&lab, "espmob") && promote_secondaries(&lab.west) && promote_secondaries(&lab.east);
}

static int set_up(void **state)
{
    (void)state;
    struct middle_control first = {.delay_us = DELAY_US};
    return lab_alone() && middle_start(&lab, &middle, &first) ? 0 : -1;
}

// What lies between speaks IPv4 alone.
static int set_up_ipv6(void **state)
{
    (void)state;
    middle = (struct middle){0};
    return lab_alone() && lab_ipv6(&lab) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    if (middle.pid)
        middle_stop(&middle);
    lab_down(&lab);
    return 0;
}

static bool up(void)
{
    char out[16384];
    if (swanctl(&lab.west, out, sizeof(out), "--initiate --child net --timeout 20"))
        return complain("%s", out);
    return ping(&lab, &lab.west, &lab.east, 3);
}

static bool is_answered(void *ctx)
{
    struct site **ends = ctx;
    return answered(ends[0], ends[1], 1);
}

// strongSwan sends from a new address only when it has rekeyed there, which it promises no time for.
static bool gets_through(struct site *from, struct site *to)
{
    struct site *ends[] = {from, to};
    return wait_for(is_answered, ends, PATIENCE_MS) || complain("no way from %s to %s", from->name, to->name);
}

static bool seen_at(struct site *s, const char *text)
{
    char out[16384];
    return swanctl(s, out, sizeof(out), "--list-sas --raw") == 0 && strstr(out, text) != NULL;
}

static const char *awaited;
static bool east_sees(void *ctx)
{
    (void)ctx;
    return seen_at(&lab.east, awaited);
}

enum { ON_THE_WAY = 2 * RTT_US / EVERY_US }; // packets

// Each way by itself, as the stream is one way.
static uint64_t gap_of(const char *what, struct site *from, struct site *to, const struct site *where,
                       const char *commands)
{
    struct probe p = {0};
    struct probe_result r;
    assert_true(probe_start(&lab, &p, from, to, EVERY_US));
    usleep(500000);
    assert_int_equal(sh("nsenter --net=%s sh -c '%s'", where->ns, commands), 0);
    usleep(2500000);
    assert_true(probe_stop(&p, &r));
    print_message("%s, %s to %s: %.1f ms without a packet (a round trip is %d ms), %llu of %llu lost\n", what,
                  from->name, to->name, (double)r.max_gap_us / 1000, middle.pid ? RTT_US / 1000 : 0,
                  (unsigned long long)(r.sent - r.received), (unsigned long long)r.sent);
    assert_int_equal(r.repeated, 0);
    assert_true(r.received > 100);
    assert_in_range(r.sent - r.received - r.longest_lost, 0, ON_THE_WAY); // the others are lost in one gap
    return r.max_gap_us;
}

static bool east_awaits(const char *text)
{
    awaited = text;
    return wait_for(east_sees, NULL, PATIENCE_MS);
}

// West has the next address of a network, and no longer the one before.
static void move_in(const char *what, struct site *from, struct site *to, const char *net, unsigned *host,
                    uint64_t most)
{
    struct busy busy = {0};
    char commands[200], seen[64];
    uint64_t gap;
    do {
        unsigned next = *host < 11 ? 11 : *host + 1;
        bool six = strchr(net, ':') != NULL;
        snprintf(commands, sizeof(commands), "ip addr add %s%u/%s dev outer; ip addr del %s%u/%s dev outer",
                 net, next, six ? "64 nodad" : "24", net, *host, six ? "64" : "24");
        snprintf(seen, sizeof(seen), "remote-host=%s%u ", net, next);
        *host = next;
        busy_from(&busy);
        gap = gap_of(what, from, to, &lab.west, commands);
        assert_true(east_awaits(seen));
    } while (gap > most && busy_once_more(&busy, what));
    assert_in_range(gap, 0, most);
}

static void moves(const char *what, uint64_t most)
{
    unsigned host = 1;
    move_in(what, &lab.west, &lab.east, "10.10.0.", &host, most);
    move_in(what, &lab.east, &lab.west, "10.10.0.", &host, most);
    assert_true(gets_through(&lab.west, &lab.east) && gets_through(&lab.east, &lab.west));
}

static bool has_card(void *ctx)
{
    char out[16384];
    (void)ctx;
    swanctl(&lab.west, out, sizeof(out), "--counters --all --raw");
    return number_after(out, "card_present", 0) == 1;
}

static void start(bool west_charon, bool east_charon, char *const card[])
{
    struct tunnel_options o = {.mobike = true}, w = o;
    w.own_addrs = "%any";
    w.hw_offload = card == no_card ? NULL : "auto";
    o.peer_addr = "%any";
    assert_true(east_charon ? charon_start(&lab, &lab.east, &lab.west, &o)
                            : espalierd_start(&lab, &lab.east, &lab.west, &o, no_card));
    assert_true(west_charon ? charon_start(&lab, &lab.west, &lab.east, &w)
                            : espalierd_start(&lab, &lab.west, &lab.east, &w, card));
    assert_true(card == no_card || wait_for(has_card, NULL, PATIENCE_MS));
    assert_true(up());
}

static void test_two_of_ours(void **state)
{
    (void)state;
    start(false, false, no_card);
    moves("espalierd to espalierd", GAP_US);
}

static void test_we_move_and_strongswan_follows(void **state)
{
    (void)state;
    needs_strongswan();
    start(false, true, no_card);
    moves("espalierd to strongSwan", GAP_US);
}

// It waits a while itself before it looks at its addresses.
static void test_strongswan_moves_and_we_follow(void **state)
{
    (void)state;
    needs_strongswan();
    start(true, false, no_card);
    moves("strongSwan to espalierd", CHARON_GAP_US);
}

static void test_an_sa_on_the_card_moves_there(void **state)
{
    char out[16384];
    (void)state;
    assert_true(card_start(&lab, ""));
    char *with_card[] = {"--card", "auto", "--pci-sysfs", lab.card_dir, NULL};
    start(false, false, with_card);
    swanctl(&lab.west, out, sizeof(out), "--list-sas --raw");
    assert_non_null(strstr(out, "offload=card"));
    assert_int_equal(sh("nsenter --net=%s sh -c 'ip addr add 10.10.0.11/24 dev outer; ip addr del "
                        "10.10.0.1/24 dev outer'",
                        lab.west.ns),
                     0);
    assert_true(east_awaits("remote-host=10.10.0.11"));
    assert_true(ping(&lab, &lab.west, &lab.east, 5) && ping(&lab, &lab.east, &lab.west, 5));
    swanctl(&lab.west, out, sizeof(out), "--list-sas --raw");
    assert_non_null(strstr(out, "offload=card"));
}

// Nothing that the network carried is lost where the old address is there until the peer has heard of the
// new one: our own outgoing packets never stop.
static void test_both_addresses_for_a_while_lose_nothing_outward(void **state)
{
    struct probe p = {0};
    struct probe_result r;
    (void)state;
    start(false, false, no_card);
    assert_true(probe_start(&lab, &p, &lab.west, &lab.east, EVERY_US));
    usleep(300000);
    assert_int_equal(sh("nsenter --net=%s ip addr add 10.10.0.11/24 dev outer", lab.west.ns), 0);
    usleep(300000);
    assert_true(seen_at(&lab.east, "remote-host=10.10.0.1 "));
    assert_int_equal(sh("nsenter --net=%s ip addr del 10.10.0.1/24 dev outer", lab.west.ns), 0);
    assert_true(east_awaits("remote-host=10.10.0.11"));
    assert_true(probe_stop(&p, &r));
    assert_int_equal(r.sent, r.received);
    assert_int_equal(r.repeated, 0);
}

static uint64_t gap_to_ipv6(void)
{
    struct tunnel_options o = {.mobike = true}, w = o;
    w.own_addrs = "%any";
    w.peer_addr = "10.10.0.2, fd10::2";
    o.own_addrs = "10.10.0.2, fd10::2";
    o.peer_addr = "%any";
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &o, no_card));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &w, no_card));
    assert_true(up());
    uint64_t gap =
        gap_of("IPv4 to IPv6", &lab.west, &lab.east, &lab.west, "ip addr del 10.10.0.1/24 dev outer");
    assert_true(east_awaits("remote-host=fd10::1"));
    assert_true(gets_through(&lab.east, &lab.west));
    return gap;
}

static void test_from_ipv4_to_ipv6(void **state)
{
    struct busy busy = {0};
    uint64_t gap;
    while (busy_from(&busy), (gap = gap_to_ipv6()) > GAP_US && busy_once_more(&busy, "IPv4 to IPv6"))
        assert_true(tear_down(state) == 0 && set_up_ipv6(state) == 0);
    assert_in_range(gap, 0, GAP_US);
}

// Stock strongSwan over IPv6 outside, in both roles, and a move there.
static void over_ipv6(bool west_charon)
{
    (void)snprintf(lab.west.outer, sizeof(lab.west.outer), "fd10::1");
    (void)snprintf(lab.east.outer, sizeof(lab.east.outer), "fd10::2");
    start(west_charon, !west_charon, no_card);
    assert_true(seen_at(&lab.east, "remote-host=fd10::1"));
    unsigned host = 1;
    move_in(west_charon ? "strongSwan over IPv6" : "espalierd over IPv6", &lab.west, &lab.east,
            "fd10::", &host, west_charon ? CHARON_GAP_US : GAP_US);
    assert_true(gets_through(&lab.east, &lab.west));
}

static void test_we_move_over_ipv6_and_strongswan_follows(void **state)
{
    (void)state;
    needs_strongswan();
    over_ipv6(false);
}

static void test_strongswan_moves_over_ipv6_and_we_follow(void **state)
{
    (void)state;
    needs_strongswan();
    over_ipv6(true);
}

// --- the end that did not begin has another address ---

static void start_with_a_second_address(bool west_charon, bool east_charon)
{
    struct tunnel_options e = {.mobike = true, .peer_addr = "%any", .own_addrs = "10.10.0.2, 10.10.0.22"},
                          w = {.mobike = true};
    assert_int_equal(sh("nsenter --net=%s ip addr add 10.10.0.22/24 dev outer", lab.east.ns), 0);
    assert_true(east_charon ? charon_start(&lab, &lab.east, &lab.west, &e)
                            : espalierd_start(&lab, &lab.east, &lab.west, &e, no_card));
    assert_true(west_charon ? charon_start(&lab, &lab.west, &lab.east, &w)
                            : espalierd_start(&lab, &lab.west, &lab.east, &w, no_card));
    assert_true(up());
}

// East's first address goes. West hears of it from the other one, and not by a liveness check, of which there
// are none.
static void gateway_moves(const char *what, bool west_charon, bool east_charon, uint64_t most)
{
    struct busy busy = {0};
    uint64_t gap;
    while (busy_from(&busy), start_with_a_second_address(west_charon, east_charon),
           gap = gap_of(what, &lab.west, &lab.east, &lab.east, "ip addr del 10.10.0.2/24 dev outer"),
           gap > most && busy_once_more(&busy, what))
        assert_true(tear_down(NULL) == 0 && set_up(NULL) == 0);
    assert_in_range(gap, 0, most);
    assert_true(seen_at(&lab.west, "remote-host=10.10.0.22 "));
    assert_true(seen_at(&lab.east, "local-host=10.10.0.22 "));
    assert_true(gets_through(&lab.west, &lab.east) && gets_through(&lab.east, &lab.west));
}

static void test_our_gateway_tells_us_where_it_is_now(void **state)
{
    (void)state;
    gateway_moves("gateway espalierd to espalierd", false, false, GAP_US);
}

static void test_our_gateway_tells_strongswan_where_it_is_now(void **state)
{
    (void)state;
    needs_strongswan();
    gateway_moves("gateway espalierd to strongSwan", true, false, GAP_US);
}

static void test_strongswans_gateway_tells_us_where_it_is_now(void **state)
{
    (void)state;
    needs_strongswan();
    gateway_moves("gateway strongSwan to espalierd", false, true, CHARON_GAP_US);
}

// West has been told once how the peer sees it: a liveness check begins so long after the last message that
// came, so no time can be said beforehand.
static bool west_checked(void *ctx)
{
    (void)ctx;
    return sh("grep -q 'INFORMATIONAL response.*NAT_DETECTION_DESTINATION_IP' %s/daemon.log", lab.west.dir) ==
           0;
}

// The NAT between them forgets: the next liveness check finds out, and the peer is told (3.8).
static void nat_forgets(bool east_charon)
{
    struct tunnel_options o = {.mobike = true, .dpd_delay = "2"}, w = o;
    w.own_addrs = "%any";
    o.peer_addr = "%any";
    o.dpd_delay = "0";
    middle.control->nat = 20000;
    assert_true(east_charon ? charon_start(&lab, &lab.east, &lab.west, &o)
                            : espalierd_start(&lab, &lab.east, &lab.west, &o, no_card));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &w, no_card));
    assert_true(up());
    assert_true(east_awaits("remote-port=24500"));
    assert_true(wait_for(west_checked, NULL, PATIENCE_MS));
    middle.control->nat = 30000;
    assert_true(east_awaits("remote-port=34500")); // without a packet from west
    assert_true(gets_through(&lab.east, &lab.west));
}

static void test_a_nat_that_forgets_is_found_out_by_a_liveness_check(void **state)
{
    (void)state;
    nat_forgets(false);
}

static void test_strongswan_hears_of_a_nat_that_forgets(void **state)
{
    (void)state;
    needs_strongswan();
    nat_forgets(true);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_two_of_ours, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_we_move_and_strongswan_follows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_strongswan_moves_and_we_follow, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_sa_on_the_card_moves_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_both_addresses_for_a_while_lose_nothing_outward, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_from_ipv4_to_ipv6, set_up_ipv6, tear_down),
        cmocka_unit_test_setup_teardown(test_we_move_over_ipv6_and_strongswan_follows, set_up_ipv6,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_strongswan_moves_over_ipv6_and_we_follow, set_up_ipv6,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_our_gateway_tells_us_where_it_is_now, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_our_gateway_tells_strongswan_where_it_is_now, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_strongswans_gateway_tells_us_where_it_is_now, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_nat_that_forgets_is_found_out_by_a_liveness_check, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_strongswan_hears_of_a_nat_that_forgets, set_up, tear_down),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
