// SPDX-License-Identifier: Apache-2.0
// Which packets a replay decapsulates, encapsulates, passes and drops, and what it lets through after
// decapsulation.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sim/workbench/flow.h"
#include "sim/workbench/util.h"

#define TRANSPORT_KEY " aead 'rfc4106(gcm(aes))' 0x000102030405060708090a0b0c0d0e0fdeadbeef 128 "
#define KEY           " mode tunnel" TRANSPORT_KEY

static struct sad sad;
static struct flow_table table;
static unsigned line; // of the policy or state that decided

static void load(const char *text)
{
    struct esp_error err = {0};
    char *copy = strdup(text);

    sad_clear(&sad);
    if (sad_parse(&sad, "test", copy, strlen(copy), &err) != 0)
        fail_msg("%s: %s", err.field, err.text);
    free(copy);
    flow_table_init(&table, &sad);
}

static int teardown(void **state)
{
    (void)state;
    sad_clear(&sad);
    return 0;
}

static uint8_t packet[128];

// An IPv4 packet from 10.0.0.1; 60 octets.
static size_t make(uint32_t dst, uint8_t proto, const void *payload, size_t len)
{
    memset(packet, 0, sizeof(packet));
    packet[0] = 0x45;
    wb_put16(packet + 2, 60);
    packet[9] = proto;
    wb_put32(packet + 12, 0x0a000001);
    wb_put32(packet + 16, dst);
    if (len)
        memcpy(packet + 20, payload, len);
    return 60;
}

static size_t make_ports(uint32_t dst, uint8_t proto, uint16_t sport, uint16_t dport)
{
    size_t len = make(dst, proto, NULL, 0);

    wb_put16(packet + 20, sport);
    wb_put16(packet + 22, dport);
    return len;
}

static enum flow_action act(size_t len)
{
    return flow_classify(&table, packet, len).action;
}

static const char two_states[] =
    "xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 0x11223344 reqid 1" KEY "\n"
    "xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 0x11223355 reqid 2" KEY
    "encap espinudp 4500 4501 0.0.0.0\n"
    "xfrm policy add src 10.0.0.0/8 dst 2.2.2.0/24 dir out tmpl src 1.1.1.1 dst 2.2.2.2 proto esp mode "
    "tunnel\n";

static void test_esp_with_state_is_decapsulated_others_follow_policy(void **state)
{
    (void)state;
    load(two_states);
    assert_int_equal(act(make(0x02020202, 50, "\x11\x22\x33\x44", 4)), FLOW_DECAP);
    assert_int_equal(act(make(0x02020202, 50, "\x11\x22\x33\x45", 4)),
                     FLOW_ENCAP); // unknown SPI: the policy has it
    assert_int_equal(act(make(0x02020203, 50, "\x11\x22\x33\x44", 4)), FLOW_ENCAP); // another destination
    assert_int_equal(act(make(0x03030303, 50, "\x11\x22\x33\x44", 4)), FLOW_PASS);
    wb_put16(packet + 6, 1); // a later fragment holds no SPI
    assert_int_equal(act(60), FLOW_PASS);
}

static void test_esp_in_udp_is_told_from_ike_and_keepalive(void **state)
{
    static const uint8_t ike[12] = {0x11, 0x94, 0x11, 0x95, 0, 40, 0, 0};
    static const uint8_t esp[12] = {0x11, 0x94, 0x11, 0x95, 0, 40, 0, 0, 0x11, 0x22, 0x33, 0x55};
    static const uint8_t other[12] = {0x11, 0x94, 0x11, 0x96, 0, 40, 0, 0, 0x11, 0x22, 0x33, 0x55};
    static const uint8_t alive[9] = {0x11, 0x94, 0x11, 0x95, 0, 9, 0, 0, 0xff};

    (void)state;
    load(two_states);
    assert_int_equal(act(make(0x02020202, 17, esp, sizeof(esp))), FLOW_DECAP);
    assert_int_equal(act(make(0x02020202, 17, ike, sizeof(ike))), FLOW_PASS);
    assert_int_equal(act(make(0x02020202, 17, other, sizeof(other))), FLOW_ENCAP); // no encapsulation port
    make(0x02020202, 17, alive, sizeof(alive));
    wb_put16(packet + 2, 29);
    assert_int_equal(act(29), FLOW_PASS);
    assert_int_equal(act(46), FLOW_PASS); // with Ethernet's padding behind it
}

static void test_policy_order_action_and_template_decide(void **state)
{
    (void)state;
    load("xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 256 reqid 1" KEY "\n"
         "xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 257 reqid 2" KEY "\n"
         "xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 258 reqid 2" KEY "\n"
         "xfrm policy add dst 10.1.0.0/16 dir out priority 5 tmpl src 1.1.1.1 dst 2.2.2.2 proto esp mode "
         "tunnel reqid 2\n"
         "xfrm policy add dst 10.1.1.0/24 dir out priority 4 action block\n"
         "xfrm policy add dst 10.1.2.0/24 dir out priority 4 tmpl dst 2.2.2.2 proto esp mode tunnel spi 256\n"
         "xfrm policy add dst 10.1.3.0/24 dir out priority 4\n"
         "xfrm policy add dst 10.1.4.0/24 dir out priority 4 tmpl dst 2.2.2.3 proto esp mode tunnel\n");
    struct flow_verdict v = flow_classify(&table, packet, make(0x0a010001, 6, NULL, 0));
    assert_int_equal(v.action, FLOW_ENCAP);
    assert_int_equal(v.state, 2); // the newest that the template names
    v = flow_classify(&table, packet, make(0x0a010101, 6, NULL, 0));
    assert_int_equal(v.action, FLOW_DROP);
    assert_int_equal(v.reason, ESP_STATUS_POLICY);
    assert_int_not_equal(v.line, 0);
    v = flow_classify(&table, packet, make(0x0a010201, 6, NULL, 0));
    assert_int_equal(v.action, FLOW_ENCAP);
    assert_int_equal(v.state, 0);
    assert_int_equal(act(make(0x0a010301, 6, NULL, 0)), FLOW_PASS);
    v = flow_classify(&table, packet, make(0x0a010401, 6, NULL, 0));
    assert_int_equal(v.action, FLOW_DROP);
    assert_int_equal(v.reason, ESP_STATUS_NO_SA);
    assert_int_equal(v.line, 8);
}

static void test_unknown_ports_are_never_a_way_into_the_clear(void **state)
{
    (void)state;
    load("xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 256" KEY "\n"
         "xfrm policy add dst 10.1.0.0/16 proto tcp dport 22 dir out priority 1\n"
         "xfrm policy add dst 10.1.0.0/16 dir out priority 2 tmpl dst 2.2.2.2 proto esp mode tunnel\n"
         "xfrm policy add dst 10.2.0.0/16 proto udp dport 53 dir out tmpl dst 2.2.2.2 proto esp mode "
         "tunnel\n");
    assert_int_equal(act(make_ports(0x0a010001, 6, 1000, 22)), FLOW_PASS);
    assert_int_equal(act(make_ports(0x0a010001, 6, 1000, 23)), FLOW_ENCAP);
    make_ports(0x0a010001, 6, 1000, 22);
    wb_put16(packet + 6, 0x2001); // a later fragment: its octets are no ports
    assert_int_equal(act(60), FLOW_ENCAP);
    assert_int_equal(act(make_ports(0x0a020001, 17, 1000, 53)), FLOW_ENCAP);
    assert_int_equal(act(make_ports(0x0a020001, 17, 1000, 54)), FLOW_PASS);
    wb_put16(packet + 6, 1);
    assert_int_equal(act(60), FLOW_ENCAP);
}

static void test_headers_that_cannot_be_read_are_dropped_and_ipv6_passes(void **state)
{
    struct flow_verdict v;

    (void)state;
    load(two_states);
    make(0x02020202, 6, NULL, 0);
    v = flow_classify(&table, packet, 19);
    assert_int_equal(v.action, FLOW_DROP);
    assert_int_equal(v.reason, ESP_STATUS_TRUNCATED);
    packet[0] = 0x44;
    v = flow_classify(&table, packet, 60);
    assert_int_equal(v.action, FLOW_DROP);
    assert_int_equal(v.reason, ESP_STATUS_BAD_IP);
    packet[0] = 0x4f;
    v = flow_classify(&table, packet, 40);
    assert_int_equal(v.action, FLOW_DROP);
    packet[0] = 0x60;
    assert_int_equal(act(60), FLOW_PASS);
}

static void test_inner_packet_must_fit_selector_and_inbound_policies(void **state)
{
    (void)state;
    load("xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 256" KEY "sel dst 10.1.0.0/16\n"
         "xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 257 reqid 5" KEY "\n");
    assert_true(flow_allows_inner(&table, 0, packet, make(0x0a010001, 6, NULL, 0), &line));
    assert_false(flow_allows_inner(&table, 0, packet, make(0x0a020001, 6, NULL, 0), &line));
    assert_int_equal(line, 1); // the state's own selector
    assert_true(flow_allows_inner(&table, 1, packet, make(0x0a020001, 6, NULL, 0), &line));

    load("xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 256" KEY "\n"
         "xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 257 reqid 5" KEY "\n"
         "xfrm policy add dst 10.1.0.0/16 dir in priority 2 tmpl dst 2.2.2.2 proto esp mode tunnel reqid 5\n"
         "xfrm policy add dst 10.1.1.0/24 dir fwd priority 1 action block\n"
         "xfrm policy add dst 10.3.0.0/16 dir fwd\n");
    assert_true(flow_allows_inner(&table, 1, packet, make(0x0a010201, 6, NULL, 0), &line));
    assert_false(flow_allows_inner(&table, 0, packet, make(0x0a010201, 6, NULL, 0), &line)); // another SA
    assert_int_equal(line, 3);
    assert_false(flow_allows_inner(&table, 1, packet, make(0x0a010101, 6, NULL, 0), &line)); // blocked
    assert_int_equal(line, 4);
    assert_false(flow_allows_inner(&table, 1, packet, make(0x0a020101, 6, NULL, 0), &line)); // no policy
    assert_int_equal(line, 0);
    assert_false(
        flow_allows_inner(&table, 1, packet, make(0x0a030101, 6, NULL, 0), &line)); // for cleartext only
}

// ---- IPv6 and transport mode
// An IPv6 packet from 2001:db8::1 to 2001:db8::TO; 100 octets.
static size_t make6(uint8_t to, uint8_t next, const void *payload, size_t len)
{
    memset(packet, 0, sizeof(packet));
    packet[0] = 0x60;
    wb_put16(packet + 4, 60);
    packet[6] = next;
    memcpy(packet + 8, "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    memcpy(packet + 24, packet + 8, 16);
    packet[39] = to;
    memcpy(packet + 40, payload, len);
    return 100;
}

static void test_ipv6_policies_see_ports_behind_extension_headers(void **state)
{
    // hop-by-hop, destination options, then UDP to 53; the same as a first and as a later fragment
    static const uint8_t udp[] = {60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0, 0, 9, 0, 53};
    static const uint8_t first[] = {17, 0, 0, 1, 0, 0, 0, 7, 0, 9, 0, 53};
    static const uint8_t later[] = {17, 0, 0, 9, 0, 0, 0, 7, 0, 9, 0, 53};
    static const uint8_t endless[] = {0, 200};

    (void)state;
    load("xfrm policy add dst 2001:db8::/127 dir out action block priority 2\n"
         "xfrm policy add dst 2001:db8::/64 proto udp dport 53 dir out action block priority 3\n"
         "xfrm policy add dir out action block priority 4\n");
    assert_int_equal(act(make6(1, 6, "", 0)), FLOW_DROP); // the longest prefix ends inside an octet
    assert_int_equal(act(make6(2, 6, "", 0)), FLOW_PASS); // a policy without addresses is for IPv4
    assert_int_equal(act(make6(2, 0, udp, sizeof(udp))), FLOW_DROP);
    assert_int_equal(act(make6(2, 60, udp + 8, sizeof(udp) - 8)), FLOW_DROP);
    assert_int_equal(act(make6(2, 44, first, sizeof(first))), FLOW_DROP);
    assert_int_equal(act(make6(2, 44, later, sizeof(later))), FLOW_DROP); // its ports are not known: closed
    assert_int_equal(act(make6(2, 0, endless, sizeof(endless))), FLOW_PASS);
    assert_int_equal(flow_classify(&table, packet, 39).reason, ESP_STATUS_TRUNCATED);
    load("xfrm policy add dst 2001:db8::/64 proto udp dport 53 dir out priority 3\n"
         "xfrm policy add dst 2001:db8::/64 dir out action block priority 4\n");
    assert_int_equal(act(make6(2, 0, udp, sizeof(udp))), FLOW_PASS);
    assert_int_equal(act(make6(2, 44, later, sizeof(later))), FLOW_DROP); // never a way into the clear
}

static void test_ipv6_esp_finds_the_state_of_its_family(void **state)
{
    static const uint8_t esp[] = {0, 0, 1, 0, 0, 0, 0, 1},
                         udp[] = {0x11, 0x94, 0x11, 0x94, 0, 16, 0, 0, 0, 0, 1, 0};
    static const uint8_t ike[] = {0x11, 0x94, 0x11, 0x94, 0, 16, 0, 0, 0, 0, 0, 0};

    (void)state;
    load("xfrm state add src 2001:db8::9 dst 2001:db8::2 proto esp spi 256" KEY
         "encap espinudp 4500 4500 ::\n"
         "xfrm state add src 1.1.1.1 dst 32.1.13.184 proto esp spi 256" KEY "\n");
    assert_int_equal(act(make6(2, 50, esp, sizeof(esp))), FLOW_DECAP);
    assert_int_equal(act(make6(3, 50, esp, sizeof(esp))), FLOW_PASS);
    assert_int_equal(act(make6(0, 50, esp, sizeof(esp))),
                     FLOW_PASS); // the octets of 32.1.13.184, but no IPv4
    assert_int_equal(act(make6(2, 17, udp, sizeof(udp))), FLOW_DECAP);
    assert_int_equal(act(make6(2, 17, ike, sizeof(ike))), FLOW_PASS);
}

static void test_transport_template_takes_the_state_between_the_packets_own_ends(void **state)
{
    struct flow_verdict v;

    (void)state;
    load("xfrm state add src 10.0.0.1 dst 10.0.0.2 proto esp spi 256 mode transport" TRANSPORT_KEY "\n"
         "xfrm state add src 10.0.0.1 dst 10.0.0.3 proto esp spi 257 mode transport" TRANSPORT_KEY "\n"
         "xfrm state add src 10.0.0.1 dst 10.0.0.2 proto esp spi 258" KEY "\n"
         "xfrm policy add dir out dst 10.0.0.0/24 tmpl proto esp mode transport\n"
         "xfrm policy add dir in src 10.0.0.0/24 tmpl src 9.9.9.9 dst 9.9.9.8 proto esp mode transport\n");
    v = flow_classify(&table, packet, make(0x0a000002, 6, NULL, 0));
    assert_int_equal(v.action, FLOW_ENCAP);
    assert_int_equal(v.state, 0); // not the newer one in tunnel mode
    v = flow_classify(&table, packet, make(0x0a000003, 6, NULL, 0));
    assert_int_equal(v.state, 1);
    assert_int_equal(flow_classify(&table, packet, make(0x0a000004, 6, NULL, 0)).reason, ESP_STATUS_NO_SA);
    assert_true(flow_allows_inner(&table, 0, packet, make(0x0a000002, 6, NULL, 0), &line));
    assert_false(flow_allows_inner(&table, 0, packet, make(0x0a000003, 6, NULL, 0), &line));
    assert_false(flow_allows_inner(&table, 2, packet, make(0x0a000002, 6, NULL, 0), &line));
}

static void test_state_takes_only_families_that_may_be_inside(void **state)
{
    (void)state;
    load("xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 256" KEY "\n"
         "xfrm policy add dst 2001:db8::/64 dir out tmpl dst 2.2.2.2 proto esp mode tunnel\n");
    assert_int_equal(flow_classify(&table, packet, make6(2, 6, "", 0)).reason, ESP_STATUS_NO_SA);
    load("xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 256 flag af-unspec" KEY "\n"
         "xfrm policy add dst 2001:db8::/64 dir out tmpl dst 2.2.2.2 proto esp mode tunnel\n");
    assert_int_equal(act(make6(2, 6, "", 0)), FLOW_ENCAP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_esp_with_state_is_decapsulated_others_follow_policy, teardown),
        cmocka_unit_test_teardown(test_esp_in_udp_is_told_from_ike_and_keepalive, teardown),
        cmocka_unit_test_teardown(test_policy_order_action_and_template_decide, teardown),
        cmocka_unit_test_teardown(test_unknown_ports_are_never_a_way_into_the_clear, teardown),
        cmocka_unit_test_teardown(test_headers_that_cannot_be_read_are_dropped_and_ipv6_passes, teardown),
        cmocka_unit_test_teardown(test_inner_packet_must_fit_selector_and_inbound_policies, teardown),
        cmocka_unit_test_teardown(test_ipv6_policies_see_ports_behind_extension_headers, teardown),
        cmocka_unit_test_teardown(test_ipv6_esp_finds_the_state_of_its_family, teardown),
        cmocka_unit_test_teardown(test_transport_template_takes_the_state_between_the_packets_own_ends,
                                  teardown),
        cmocka_unit_test_teardown(test_state_takes_only_families_that_may_be_inside, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
