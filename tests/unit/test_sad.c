// SPDX-License-Identifier: Apache-2.0
// The reader of `ip -batch` files: what it honours, and that everything else is refused by line and word.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sim/workbench/sad.h"
#include "sim/workbench/util.h"

#define ID   "xfrm state add src 192.0.2.1 dst 198.51.100.2 proto esp spi 0x1234 mode tunnel "
#define K128 "aead 'rfc4106(gcm(aes))' 0x000102030405060708090a0b0c0d0e0fdeadbeef 128 "
#define K256                                                                                                 \
    "aead rfc4106(gcm(aes)) 0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1fcafebabe 128 "

static struct sad sad;
static struct esp_error err;

static int parse(const char *text)
{
    char *copy = strdup(text);
    int ret;

    sad_clear(&sad);
    memset(&err, 0, sizeof(err));
    ret = sad_parse(&sad, "dir/test.sad", copy, strlen(copy), &err);
    free(copy);
    return ret;
}

static void must_parse(const char *text)
{
    if (parse(text) != 0)
        fail_msg("refused: %s: %s\nin: %s", err.field, err.text, text);
}

static int teardown(void **state)
{
    (void)state;
    sad_clear(&sad);
    return 0;
}

static void test_state_minimal_has_defaults(void **state)
{
    (void)state;
    must_parse(ID K128);
    assert_int_equal(sad.n_states, 1);
    struct sad_state *st = &sad.states[0];
    assert_int_equal(wb_get32(st->src), 0xc0000201);
    assert_int_equal(wb_get32(st->dst), 0xc6336402);
    assert_int_equal(st->spi, 0x1234);
    assert_int_equal(st->key_len, 16);
    assert_int_equal(st->key[15], 15);
    assert_memory_equal(st->salt, "\xde\xad\xbe\xef", 4);
    assert_int_equal(st->window, 0);
    assert_int_equal(st->last_in, 0);
    assert_int_equal(st->last_out, 0);
    assert_false(st->esn || st->udp || st->df_clear || st->no_ecn || st->dscp_decap || st->no_dscp_copy ||
                 st->has_sel);
}

static void test_state_every_word_is_honoured(void **state)
{
    (void)state;
    must_parse(ID K256 "reqid 7 replay-window 1024 flag esn noecn decap-dscp nopmtudisc af-unspec align4 "
                       "extra-flag dont-encap-dscp encap espinudp 4500 0x1388 0.0.0.0 tfcpad 1400 "
                       "replay-seq 5 replay-seq-hi 1 replay-oseq 0xffffffff replay-oseq-hi 2 "
                       "limit byte-soft 10 limit byte-hard 2k limit packet-soft 3 limit packet-hard 4 "
                       "sel src 10.0.0.0/8 dst 10.1.2.3/24 proto udp sport 53 dport 5353\n");
    struct sad_state *st = &sad.states[0];
    assert_int_equal(st->key_len, 32);
    assert_memory_equal(st->salt, "\xca\xfe\xba\xbe", 4);
    assert_int_equal(st->reqid, 7);
    assert_int_equal(st->window, 1024);
    assert_true(st->esn && st->no_ecn && st->dscp_decap && st->df_clear && st->no_dscp_copy && st->udp);
    assert_int_equal(st->sport, 4500);
    assert_int_equal(st->dport, 5000);
    assert_int_equal(st->tfc, 1400);
    assert_true(st->last_in == 0x100000005ull);
    assert_true(st->last_out == 0x2ffffffffull);
    assert_int_equal(st->soft_bytes, 10);
    assert_int_equal(st->hard_bytes, 2048);
    assert_int_equal(st->soft_packets, 3);
    assert_int_equal(st->hard_packets, 4);
    assert_true(st->has_sel);
    assert_int_equal(wb_get32(st->sel.dst), 0x0a010200);
    assert_int_equal(st->sel.dst_bits, 24);
    assert_int_equal(st->sel.proto, 17);
    assert_int_equal(st->sel.sport, 53);
    assert_int_equal(st->sel.dport, 5353);
}

static void test_commands_may_be_cut_short_as_in_iproute2(void **state)
{
    (void)state;
    must_parse("x s a src 192.0.2.1 dst 198.51.100.2 proto esp spi 0x1234 mode tunnel " K128 "\n"
               "xf sa up src 192.0.2.1 dst 198.51.100.2 proto esp spi 0x1234 mode tunnel " K256 "\n"
               "xfr po ad src 10.0.0.0/8 dir out\n");
    assert_int_equal(sad.n_states, 1);
    assert_int_equal(sad.states[0].key_len, 32);
    assert_int_equal(sad.n_policies, 1);
}

static void test_flush_takes_away_what_stands_above(void **state)
{
    (void)state;
    must_parse(ID K128 "\nxfrm policy add src 10.0.0.0/8 dir out\nxfrm policy add src 10.0.0.0/8 dir in\n"
                       "xfrm state flush proto ah\nxfrm policy flush ptype sub\n");
    assert_int_equal(sad.n_states, 1);
    assert_int_equal(sad.n_policies, 2);
    must_parse(ID K128 "\nxfrm policy add src 10.0.0.0/8 dir out\n"
                       "xfrm state flush\nxfrm policy flush\n" ID K256
                       "\nxfrm policy add src 10.1.0.0/16 dir in\n");
    assert_int_equal(sad.n_states, 1);
    assert_int_equal(sad.states[0].key_len, 32);
    assert_int_equal(sad.n_policies, 1);
    assert_int_equal(sad.policies[0].dir, SAD_IN);
    must_parse("x s f\nx p f\n" ID K128 "\nx s f proto ipsec-any");
    assert_int_equal(sad.n_states + sad.n_policies, 0);
}

// iproute2 reads a prefix there and drops its length.
static void test_prefix_length_behind_an_end_means_nothing(void **state)
{
    (void)state;
    must_parse("xfrm state add src 192.0.2.1/24 dst 198.51.100.2/0 proto esp spi 0x1234 mode tunnel " K128
               "\n"
               "xfrm policy add dir out tmpl src 192.0.2.1/24 dst 198.51.100.2/24 proto esp mode tunnel\n");
    assert_int_equal(wb_get32(sad.states[0].src), 0xc0000201);
    assert_int_equal(wb_get32(sad.states[0].dst), 0xc6336402);
    assert_int_equal(wb_get32(sad.policies[0].tmpl_src), 0xc0000201);
    assert_int_equal(wb_get32(sad.policies[0].tmpl_dst), 0xc6336402);
}

static void test_ipv6_ends_and_selectors_are_read(void **state)
{
    static const uint8_t src[16] = {0x20, 1, 0xd, 0xb8, [15] = 1}, net[16] = {0x20, 1, 0xd, 0xb8, 0, 5, 0x80};

    (void)state;
    must_parse("xfrm state add src 2001:db8::1/64 dst 2001:db8::2 proto esp spi 7 mode tunnel " K128 "\n"
               "xfrm policy add src 2001:db8:5:ffff::/49 dst ::/0 dir out "
               "tmpl src 2001:db8::1 dst 2001:db8::2 proto esp mode tunnel\n"
               "xfrm policy add proto ipv6-icmp type 128 dst fe80::/10 dir in");
    assert_true(sad.states[0].ipv6);
    assert_memory_equal(sad.states[0].src, src, 16);
    assert_int_equal(sad.states[0].dst[15], 2);
    assert_int_equal(sad_ipv6_line(&sad), 1);
    assert_int_equal(sad.policies[0].sel.family, ESP_FAMILY_IPV6);
    assert_memory_equal(sad.policies[0].sel.src, net, 16); // the host's bits are gone
    assert_int_equal(sad.policies[0].sel.src_bits, 49);
    assert_int_equal(sad.policies[0].sel.dst_bits, 0);
    assert_true(sad.policies[0].tmpl_ipv6);
    assert_int_equal(sad.policies[1].sel.proto, 58);
    assert_int_equal(sad.policies[1].sel.sport, 128);
    must_parse(ID K128);
    assert_int_equal(sad_ipv6_line(&sad), 0);
}

static void test_families_inside_are_those_of_the_kernel(void **state)
{
    static const struct {
        const char *ends, *more;
        unsigned inner;
    } cases[] = {
        {"src 1.1.1.1 dst 2.2.2.2", "", ESP_FAMILY_IPV4},
        {"src ::1 dst ::2", "", ESP_FAMILY_IPV6},
        {"src 1.1.1.1 dst 2.2.2.2", "flag af-unspec", ESP_FAMILY_IPV4 | ESP_FAMILY_IPV6},
        {"src 1.1.1.1 dst 2.2.2.2", "sel src fd00::/8", ESP_FAMILY_IPV6},
        {"src ::1 dst ::2", "sel dst 10.0.0.0/8 flag af-unspec", ESP_FAMILY_IPV4},
    };
    char line[300];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(line, sizeof(line), "xfrm state add %s proto esp spi 7 mode tunnel " K128 "%s",
                 cases[i].ends, cases[i].more);
        must_parse(line);
        assert_int_equal(sad.states[0].inner, cases[i].inner);
        assert_int_equal(sad.states[0].mode, ESP_TUNNEL);
    }
    must_parse("xfrm state add src ::1 dst ::2 proto esp spi 7 mode transport flag af-unspec " K128);
    assert_int_equal(sad.states[0].mode, ESP_TRANSPORT);
    assert_int_equal(sad.states[0].inner, ESP_FAMILY_IPV6);
}

static void test_each_aead_is_known_by_name_and_key_length(void **state)
{
    static const struct {
        const char *name;
        unsigned octets; // of the key
        enum esp_alg alg;
    } cases[] = {
        {"rfc4106(gcm(aes))", 16, ESP_ALG_AES128_GCM16},
        {"rfc4106(gcm(aes))", 24, ESP_ALG_AES192_GCM16},
        {"rfc4106(gcm(aes))", 32, ESP_ALG_AES256_GCM16},
        {"rfc7539esp(chacha20,poly1305)", 32, ESP_ALG_CHACHA20_POLY1305},
    };
    char line[300], key[65];

    (void)state;
    memset(key, 'a', 64);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sad_clear(&sad);
        key[2 * cases[i].octets] = 0;
        snprintf(line, sizeof(line), ID "aead '%s' 0x%s01020304 128", cases[i].name, key);
        must_parse(line);
        assert_int_equal(sad.states[0].alg, cases[i].alg);
        assert_int_equal(sad.states[0].key_len, cases[i].octets);
        assert_memory_equal(sad.states[0].salt, "\1\2\3\4", 4);
        key[2 * cases[i].octets] = 'a';
    }
    snprintf(line, sizeof(line), ID "aead 'rfc7539esp(chacha20,poly1305)' 0x%.32s01020304 128", key);
    assert_int_equal(parse(line), -EINVAL); // 16 octets are no key of ChaCha20
}

static void test_words_in_another_order_mean_the_same(void **state)
{
    (void)state;
    must_parse("xfrm state add " K128 "mode tunnel spi 0x1234 proto esp dst 198.51.100.2/32 src 192.0.2.1");
    assert_int_equal(sad.states[0].spi, 0x1234);
}

static void test_comments_quotes_and_continuation_are_those_of_iproute2(void **state)
{
    (void)state;
    must_parse("# a comment\n\n   \t\n"
               "xfrm state add src \"192.0.2.1\" dst '198.51.100.2' \\\n"
               "  proto esp spi 1 mode tunnel \\\n" K128 " # the rest goes \\\n"
               "xfrm policy add dir out src 10.0.0.0/8");
    assert_int_equal(sad.n_states, 1);
    assert_int_equal(sad.n_policies, 1);
    assert_int_equal(sad.policies[0].line, 7);
}

static void test_update_replaces_and_adds(void **state)
{
    (void)state;
    must_parse(ID K128
               "\nxfrm state update src 192.0.2.9 dst 198.51.100.2 proto esp spi 0x1234 mode tunnel " K256
               "\nxfrm state update src 192.0.2.9 dst 198.51.100.2 proto esp spi 0x1235 mode tunnel " K128);
    assert_int_equal(sad.n_states, 2);
    assert_int_equal(sad.states[0].key_len, 32);
}

static void test_policies_are_sorted_by_priority_then_line(void **state)
{
    (void)state;
    must_parse("xfrm policy add src 10.0.0.0/8 dst 0.0.0.0/0 dir out priority 9 action block\n"
               "xfrm policy add src 10.1.0.0/16 dir out priority 2 "
               "tmpl src 1.1.1.1 dst 2.2.2.2 proto esp spi 3 reqid 4 mode tunnel level required\n"
               "xfrm policy add src 10.2.0.0/16 proto icmp type 8 code 0 dir fwd priority 2 ptype main "
               "action allow\n"
               "xfrm policy add dst 10.2.0.0/16 dir in\n");
    assert_int_equal(sad.n_policies, 4);
    assert_int_equal(sad.policies[0].dir, SAD_IN);
    assert_int_equal(sad.policies[1].line, 2);
    assert_true(sad.policies[1].has_tmpl);
    assert_int_equal(wb_get32(sad.policies[1].tmpl_src), 0x01010101);
    assert_int_equal(wb_get32(sad.policies[1].tmpl_dst), 0x02020202);
    assert_int_equal(sad.policies[1].tmpl_spi, 3);
    assert_int_equal(sad.policies[1].tmpl_reqid, 4);
    assert_int_equal(sad.policies[2].dir, SAD_FWD);
    assert_int_equal(sad.policies[2].sel.sport, 8);
    assert_true(sad.policies[2].sel.has_dport);
    assert_true(sad.policies[3].block);
}

static void test_one_selector_twice_is_decided_by_priority_then_line(void **state)
{
    (void)state;
    must_parse("xfrm policy add src 10.0.0.0/8 dir out priority 3\n"
               "xfrm policy add src 10.0.0.9/8 dir out priority 2 action block\n"
               "xfrm policy add src 10.0.0.0/8 dir out priority 2\n");
    assert_int_equal(sad.n_policies, 3);
    assert_int_equal(sad.policies[0].line, 2);
    assert_int_equal(sad.policies[1].line, 3);
    assert_int_equal(sad.policies[2].line, 1);
}

static void test_addresses_are_read_as_iproute2_does(void **state)
{
    (void)state;
    must_parse("xfrm policy add src 10.1/16 dst any dir out\n"
               "xfrm policy add src 0/0 dst default dir in\n"
               "xfrm policy add src all dst 192.0.2 dir fwd\n");
    assert_int_equal(wb_get32(sad.policies[0].sel.src), 0x0a010000);
    assert_int_equal(sad.policies[0].sel.src_bits, 16);
    assert_int_equal(sad.policies[0].sel.dst_bits, 0);
    assert_int_equal(sad.policies[1].sel.src_bits | sad.policies[1].sel.dst_bits, 0);
    assert_int_equal(sad.policies[2].sel.src_bits, 0);
    assert_int_equal(wb_get32(sad.policies[2].sel.dst), 0xc0000200);
    assert_int_equal(sad.policies[2].sel.dst_bits, 32);
}

struct refusal {
    const char *text, *line, *why;
};

static void must_refuse(const struct refusal *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (parse(cases[i].text) == 0)
            fail_msg("accepted: %s", cases[i].text);
        if (!strstr(err.field, cases[i].line) || !strstr(err.text, cases[i].why))
            fail_msg("in: %s\ngot: %s: %s\nexpected: %s: ... %s", cases[i].text, err.field, err.text,
                     cases[i].line, cases[i].why);
        assert_int_equal(err.code, -EINVAL);
        assert_int_equal(sad.n_states + sad.n_policies, 0);
    }
}

static void test_state_refusals_name_line_and_word(void **state)
{
    static const struct refusal cases[] = {
        {"ip " ID K128, "test.sad:1", "\"ip\""},
        {"route add", "test.sad:1", "\"route\""},
        {"xfrm", "test.sad:1", "without state or policy"},
        {"\n\nxfrm state list", "test.sad:3", "\"list\": expected xfrm state add, update or flush"},
        {"x s al src 1.1.1.1", "test.sad:1", "\"al\""},
        {"x s addd src 1.1.1.1", "test.sad:1", "\"addd\""},
        {"X s a src 1.1.1.1", "test.sad:1", "\"X\""},
        {"'' s a src 1.1.1.1", "test.sad:1", "\"\""},
        {"xfrm state flush proto tcp", "test.sad:1", "\"tcp\": expected esp"},
        {"xfrm state flush proto any", "test.sad:1", "\"any\": expected esp"},
        {"xfrm state flush proto", "test.sad:1", "without a protocol"},
        {"xfrm state flush esp", "test.sad:1", "\"esp\": not honoured"},
        {"xfrm policy flush ptype any", "test.sad:1", "\"any\": expected main or sub"},
        {"x s a sr 1.1.1.1", "test.sad:1", "\"sr\""},
        {"xfrm monitor", "test.sad:1", "\"monitor\""},
        {ID K128 "mark 1", "test.sad:1", "\"mark\": not honoured"},
        {ID K128 "\\\n offload dev eth0 dir out", "test.sad:2", "\"offload\""},
        {ID K128 "if_id 4", "test.sad:1", "\"if_id\""},
        {ID K128 "flag wildrecv", "test.sad:1", "\"wildrecv\""},
        {ID K128 "flag", "test.sad:1", "without a flag"},
        {ID K128 "flag noecn icmp", "test.sad:1", "\"icmp\""},
        {ID K128 "extra-flag oseq-may-wrap", "test.sad:1", "\"oseq-may-wrap\""},
        {ID K128 "flag esn", "test.sad:1", "\"esn\": flag esn needs a replay-window"},
        {ID K128 "replay-window 1025", "test.sad:1", "\"1025\": expected a window of 0 ... 1024"},
        {ID K128 "replay-window -1", "test.sad:1", "\"-1\""},
        {ID K128 "replay-oseq-hi 1", "test.sad:1", "\"replay-oseq-hi\": needs flag esn"},
        {ID K128 "replay-seq 4294967296", "test.sad:1", "\"4294967296\""},
        {ID K128 "flag esn replay-window 32 replay-oseq 0xffffffff replay-oseq-hi 0xffffffff", "test.sad:1",
         "\"replay-oseq\": leaves no sequence number"},
        {ID K128 "tfcpad 65536", "test.sad:1", "\"65536\""},
        {ID K128 "limit time-hard 10", "test.sad:1", "\"time-hard\": a replay has no clock"},
        {ID K128 "limit byte-soft 3x", "test.sad:1", "\"3x\""},
        {ID K128 "limit", "test.sad:1", "without a limit"},
        {ID K128 "encap espinudp 4500 70000 0.0.0.0", "test.sad:1", "\"70000\""},
        {ID K128 "encap espinudp 4500 0 0.0.0.0", "test.sad:1", "\"0\""},
        {ID K128 "encap espintcp 1 2 0.0.0.0", "test.sad:1", "\"espintcp\""},
        {ID K128 "encap espinudp 4500 4500", "test.sad:1", "the line ends"},
        {ID K128 "sel mode", "test.sad:1", "\"mode\": expected a selector"},
        {ID K128 "sel src 10.0.0.0/8 sport 4", "test.sad:1", "\"sport\": needs proto"},
        {ID K128 "sel src fe80::1 dst 10.0.0.0/8", "test.sad:1", "\"10.0.0.0/8\": expected the family"},
        {ID K128 "sel src fe80::1/129", "test.sad:1",
         "\"fe80::1/129\": expected a prefix length of 0 ... 128"},
        {ID K128 "sel src fe80:::1", "test.sad:1", "\"fe80:::1\": expected an IPv4 or IPv6 address"},
        {"xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 1 mode transport " K128 "sel src fe80::1",
         "test.sad:1", "\"sel\": in transport mode the selector has the family of the ends"},
        {ID K128 "spi 5", "test.sad:1", "\"spi\": is there twice"},
        {ID K128 K128, "test.sad:1", "\"aead\": is there twice"},
        {ID K128 "'unclosed", "test.sad:1", "quotation mark"},
        {ID, "test.sad:1", "without aead"},
        {"xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 1 " K128, "test.sad:1",
         "without mode tunnel or mode transport"},
        {"xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 1 mode beet " K128, "test.sad:1",
         "\"beet\": this build offers mode tunnel and mode transport only"},
        {"xfrm state add src 1.1.1.1 dst 2.2.2.2 proto ah spi 1 mode tunnel", "test.sad:1", "\"ah\""},
        {"xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 0", "test.sad:1", "SPI 0 is reserved"},
        {"xfrm state add src 1.1.1.1 dst 2001:db8::1 proto esp spi 1 mode tunnel " K128, "test.sad:1",
         "\"2001:db8::1\": expected an address of the family of src"},
        {"xfrm state add src 1.1.1.0/33", "test.sad:1",
         "\"1.1.1.0/33\": expected a prefix length of 0 ... 32"},
        {ID K128 "encap espinudp 4500 4500 0.0.0.0/0", "test.sad:1", "\"0.0.0.0/0\": expected one address"},
        {"xfrm state add src 1.1.1", "test.sad:1", "\"1.1.1\": expected an IPv4 or IPv6 address"},
        {"xfrm state add dst 2.2.2.2 proto esp spi 1 mode tunnel " K128, "test.sad:1", "without src"},
        {ID K128 "\n" ID K128, "test.sad:2", "since line 1"},
        {ID "enc 'cbc(aes)' 0x00", "test.sad:1", "\"enc\": this build offers aead"},
        {ID "aead 'rfc7539esp(chacha20,poly1305)' 0x00 128", "test.sad:1",
         "\"KEY\": expected 0x and 36 octets"},
        {ID "aead 'rfc4309(ccm(aes))' 0x00 128", "test.sad:1", "\"rfc4309(ccm(aes))\": this build offers"},
        {ID "aead 'rfc4106(gcm(aes))' 0x000102030405060708090a0b0c0d0e0fdeadbeef 96", "test.sad:1", "\"96\""},
    };
    (void)state;
    must_refuse(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_bad_keys_are_refused_without_showing_them(void **state)
{
    static const char *const keys[] = {
        "0xdeadbeefdeadbeef",
        "secret-as-text",
        "0xdeadbeef0",
        "0xxyzw",
        "0xdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
    };
    char line[300];

    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        snprintf(line, sizeof(line), ID "aead 'rfc4106(gcm(aes))' %s 128", keys[i]);
        assert_int_equal(parse(line), -EINVAL);
        assert_non_null(strstr(err.text, "\"KEY\""));
        assert_null(strstr(err.text, "beef"));
        assert_null(strstr(err.text, "secret"));
    }
}

static void test_policy_refusals_name_line_and_word(void **state)
{
    static const struct refusal cases[] = {
        {"xfrm policy update src 10.0.0.0/8 dir out", "test.sad:1", "\"update\""},
        {"xfrm policy add src 10.0.0.0/8", "test.sad:1", "without dir"},
        {"xfrm policy add src 10.0.0.0/8 dir up", "test.sad:1", "\"up\""},
        {"xfrm policy add src 10.0.0.0/33 dir out", "test.sad:1", "\"10.0.0.0/33\""},
        {"xfrm policy add src 10.0.0.0/8 dir out action drop", "test.sad:1", "\"drop\""},
        {"xfrm policy add src 10.0.0.0/8 dir out mark 3", "test.sad:1", "\"mark\": not honoured"},
        {"xfrm policy add src 10.0.0.0/8 dir out index 3", "test.sad:1", "\"index\""},
        {"xfrm policy add src 10.0.0.0/8 dir out dev eth0", "test.sad:1", "\"dev\""},
        {"xfrm policy add src 10.0.0.0/8 dir out ptype sub", "test.sad:1", "\"sub\""},
        {"xfrm policy add src 10.0.0.0/8 dir out flag icmp", "test.sad:1", "\"flag\""},
        {"xfrm policy add src 10.0.0.0/8 dport 5 dir out", "test.sad:1", "\"dport\": needs proto"},
        {"xfrm policy add src 10.0.0.0/8 proto tcp type 5 dir out", "test.sad:1",
         "\"type\": needs proto icmp"},
        {"xfrm policy add src 10.0.0.0/8 proto nonsense dir out", "test.sad:1", "\"nonsense\""},
        {"xfrm policy add dir out tmpl src 1.1.1.1 dst 2.2.2.2 proto esp", "test.sad:1", "lacks mode tunnel"},
        {"xfrm policy add dir out tmpl src 1.1.1.1 dst 2.2.2.2 mode tunnel", "test.sad:1", "lacks proto esp"},
        {"xfrm policy add dir out tmpl proto comp mode tunnel", "test.sad:1", "\"comp\""},
        {"xfrm policy add dir out tmpl proto esp mode beet", "test.sad:1", "\"beet\""},
        {"xfrm policy add dir out tmpl src 1.1.1.1 dst ::1 proto esp mode tunnel", "test.sad:1",
         "\"tmpl\": the template's src and dst are of different families"},
        {"xfrm policy add src 10.0.0.0/8 dst fd00::/8 dir out", "test.sad:1",
         "\"fd00::/8\": expected the family"},
        {"xfrm policy add dir out tmpl proto esp mode tunnel level use", "test.sad:1", "\"use\""},
        {"xfrm policy add dir out tmpl proto esp mode tunnel tmpl proto esp mode tunnel", "test.sad:1",
         "one template"},
        {"xfrm policy add src 10.256/8 dir out", "test.sad:1", "\"10.256/8\""},
        {"xfrm policy add src 10.1.2.3.4 dir out", "test.sad:1", "\"10.1.2.3.4\""},
        {"xfrm policy add src 10./8 dir out", "test.sad:1", "\"10./8\""},
    };
    (void)state;
    must_refuse(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_binary_file_is_refused(void **state)
{
    char text[] = "xfrm\0state";

    (void)state;
    assert_int_equal(sad_parse(&sad, "f", text, sizeof(text), &err), -EINVAL);
    assert_non_null(strstr(err.text, "binary"));
}

static void test_any_cut_of_a_good_file_never_crashes(void **state)
{
    static const char text[] =
        ID K128 "replay-window 32 flag esn sel src 10.0.0.0/8 proto tcp sport 5 \\\n"
                " encap espinudp 4500 4500 0.0.0.0 limit byte-soft 3k 'x' # c\n"
                "xfrm policy add src 10.0.0.0/8 dir out tmpl src 1.1.1.1 proto esp mode tunnel\n";
    (void)state;
    for (size_t n = 0; n < sizeof(text); n++) {
        char *copy = strndup(text, n);
        sad_clear(&sad);
        (void)sad_parse(&sad, "cut", copy, n, &err);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_state_minimal_has_defaults, teardown),
        cmocka_unit_test_teardown(test_state_every_word_is_honoured, teardown),
        cmocka_unit_test_teardown(test_commands_may_be_cut_short_as_in_iproute2, teardown),
        cmocka_unit_test_teardown(test_flush_takes_away_what_stands_above, teardown),
        cmocka_unit_test_teardown(test_prefix_length_behind_an_end_means_nothing, teardown),
        cmocka_unit_test_teardown(test_ipv6_ends_and_selectors_are_read, teardown),
        cmocka_unit_test_teardown(test_families_inside_are_those_of_the_kernel, teardown),
        cmocka_unit_test_teardown(test_each_aead_is_known_by_name_and_key_length, teardown),
        cmocka_unit_test_teardown(test_words_in_another_order_mean_the_same, teardown),
        cmocka_unit_test_teardown(test_comments_quotes_and_continuation_are_those_of_iproute2, teardown),
        cmocka_unit_test_teardown(test_update_replaces_and_adds, teardown),
        cmocka_unit_test_teardown(test_policies_are_sorted_by_priority_then_line, teardown),
        cmocka_unit_test_teardown(test_one_selector_twice_is_decided_by_priority_then_line, teardown),
        cmocka_unit_test_teardown(test_addresses_are_read_as_iproute2_does, teardown),
        cmocka_unit_test_teardown(test_state_refusals_name_line_and_word, teardown),
        cmocka_unit_test_teardown(test_bad_keys_are_refused_without_showing_them, teardown),
        cmocka_unit_test_teardown(test_policy_refusals_name_line_and_word, teardown),
        cmocka_unit_test_teardown(test_binary_file_is_refused, teardown),
        cmocka_unit_test_teardown(test_any_cut_of_a_good_file_never_crashes, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
