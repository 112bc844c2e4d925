// SPDX-License-Identifier: Apache-2.0
// How long a packet inside may be, for every algorithm against what the software engine makes of it; what
// becomes of longer ones; and what TCP announces.
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctrl/path/gso_sum.h"
#include "ctrl/path/mtu.h"
#include "tests/unit/path_rig.h"

// ---- sizes

static uint32_t build(uint8_t *p, bool six, uint32_t len, const uint8_t *src, const uint8_t *dst)
{
    memset(p, 0, six ? 40 : 20);
    for (uint32_t i = six ? 40 : 20; i < len; i++)
        p[i] = (uint8_t)(i * 7 + 3);
    if (six) {
        p[0] = 0x60;
        put16(p + 4, len - 40);
        p[6] = IPPROTO_UDP;
        p[7] = 64;
        memcpy(p + 8, src, 16);
        memcpy(p + 24, dst, 16);
        return len;
    }
    p[0] = 0x45;
    put16(p + 2, len);
    put16(p + 4, 77);
    p[8] = 64;
    p[9] = IPPROTO_UDP;
    memcpy(p + 12, src, 4);
    memcpy(p + 16, dst, 4);
    sum_ip(p, 20);
    return len;
}

static struct esp_sa_params shape(enum esp_protocol proto, enum esp_alg alg, enum esp_integ integ, bool six,
                                  bool udp, bool transport)
{
    struct esp_sa_params s = {.protocol = proto,
                              .dir = ESP_OUT,
                              .mode = transport ? ESP_TRANSPORT : ESP_TUNNEL,
                              .alg = alg,
                              .integ = integ,
                              .spi = 0x3000,
                              .ipv6 = six,
                              .udp_encap = udp,
                              .inner = ESP_FAMILY_IPV4 | ESP_FAMILY_IPV6,
                              .ttl = 64,
                              .seq = 1,
                              .seq_limit = UINT64_MAX,
                              .src = {1, 2, 3, 4},
                              .dst = {5, 6, 7, 8},
                              .sport = 4500,
                              .dport = 4500};
    if (six) {
        s.src[15] = 1;
        s.dst[15] = 2;
    }
    return s;
}

static uint32_t sealed_length(struct esp_engine *e, struct esp_sa *sa, const struct esp_sa_params *s,
                              uint32_t len)
{
    static uint8_t in[2000], out[2400];
    bool six = s->mode == ESP_TRANSPORT && s->ipv6;
    struct esp_job job = {.op = ESP_ENCAP, .sa = sa, .in = in, .out = out, .out_cap = sizeof(out)},
                   *one = &job;
    job.in_len = build(in, six, len, s->src, s->dst);
    assert_int_equal(esp_submit(e, &one, 1), 1);
    assert_int_equal(esp_poll(e, &one, 1), 1);
    assert_int_equal(job.status, ESP_STATUS_OK);
    return job.out_len;
}

static unsigned check_shape(struct esp_engine *e, const struct esp_sa_params *s)
{
    static const uint32_t paths[] = {576, 1280, 1300, 1492, 1499, 1500, 1501, 1502, 1503};
    struct esp_error err = {0};
    struct esp_event ev;
    struct esp_sa *sa;
    if (e->ops->capable(e, s, &err) < 0)
        return 0;
    assert_int_equal(e->ops->sa_add(e, s, NULL, &sa, &err), 0);
    assert_int_equal(e->ops->events(e, &ev, 1), 1);
    for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        uint32_t most = mtu_inside(s, paths[i]);
        if (sealed_length(e, sa, s, most) > paths[i] || sealed_length(e, sa, s, most + 1) <= paths[i])
            fail_msg("%s %s, %s%s%s: a path of %u does not take %u and no more", esp_alg_name(s->alg),
                     s->integ ? esp_integ_name(s->integ) : "", s->ipv6 ? "IPv6" : "IPv4",
                     s->udp_encap ? " in UDP" : "", s->mode == ESP_TRANSPORT ? " transport" : "", paths[i],
                     most);
    }
    assert_int_equal(e->ops->sa_delete(e, sa), 0);
    assert_int_equal(e->ops->events(e, &ev, 1), 1);
    return 1;
}

static void test_the_longest_packet_fits_and_one_octet_more_does_not(void **state)
{
    struct esp_engine *e;
    struct esp_error err = {0};
    unsigned esp = 0, ah = 0;
    (void)state;
    assert_int_equal(esp_soft_open(&e, &err), 0);
    for (unsigned k = 0; k < 8; k++) {
        bool six = k & 1, udp = k & 2, transport = k & 4;
        for (int a = 1; a < ESP_ALG_COUNT; a++)
            for (int i = 0; i < ESP_INTEG_COUNT; i++) {
                struct esp_sa_params s =
                    shape(ESP_PROTOCOL_ESP, (enum esp_alg)a, (enum esp_integ)i, six, udp, transport);
                esp += check_shape(e, &s);
            }
        for (int i = 1; i < ESP_INTEG_COUNT && !udp; i++) {
            struct esp_sa_params s =
                shape(ESP_PROTOCOL_AH, ESP_ALG_NONE, (enum esp_integ)i, six, false, transport);
            ah += check_shape(e, &s);
        }
    }
    // 22 with an ICV of their own, 7 with four HMACs each; AH with four and GMAC of three key lengths
    assert_int_equal(esp, 8 * (22 + 7 * 4));
    assert_int_equal(ah, 4 * 7);
    e->ops->destroy(e);
}

static void test_a_path_that_takes_nothing_takes_nothing(void **state)
{
    struct esp_sa_params s = shape(ESP_PROTOCOL_ESP, ESP_ALG_AES256_GCM16, ESP_INTEG_NONE, true, true, false);
    (void)state;
    for (uint32_t n = 0; n < 100; n++)
        assert_int_equal(mtu_inside(&s, n), 0);
}

// ---- the manual

static void rows(FILE *f)
{
    static const struct {
        const char *name;
        enum esp_protocol proto;
        enum esp_alg alg;
        enum esp_integ integ;
    } row[] = {
        {"`aes*gcm16`, `aes*ccm16`, `aes*gmac`, `chacha20poly1305`", ESP_PROTOCOL_ESP, ESP_ALG_AES256_GCM16,
         0},
        {"`aes*gcm12`, `aes*ccm12`", ESP_PROTOCOL_ESP, ESP_ALG_AES256_GCM12, 0},
        {"`aes*gcm8`, `aes*ccm8`", ESP_PROTOCOL_ESP, ESP_ALG_AES256_GCM8, 0},
        {"`aes*-sha256`", ESP_PROTOCOL_ESP, ESP_ALG_AES256_CBC, ESP_INTEG_HMAC_SHA256_128},
        {"`aes*-sha384`", ESP_PROTOCOL_ESP, ESP_ALG_AES256_CBC, ESP_INTEG_HMAC_SHA384_192},
        {"`aes*-sha512`", ESP_PROTOCOL_ESP, ESP_ALG_AES256_CBC, ESP_INTEG_HMAC_SHA512_256},
        {"`aes*-sha1`", ESP_PROTOCOL_ESP, ESP_ALG_AES256_CBC, ESP_INTEG_HMAC_SHA1_96},
        {"`aes*ctr-sha256`", ESP_PROTOCOL_ESP, ESP_ALG_AES256_CTR, ESP_INTEG_HMAC_SHA256_128},
        {"`aes*ctr-sha384`", ESP_PROTOCOL_ESP, ESP_ALG_AES256_CTR, ESP_INTEG_HMAC_SHA384_192},
        {"`aes*ctr-sha512`", ESP_PROTOCOL_ESP, ESP_ALG_AES256_CTR, ESP_INTEG_HMAC_SHA512_256},
        {"`aes*ctr-sha1`", ESP_PROTOCOL_ESP, ESP_ALG_AES256_CTR, ESP_INTEG_HMAC_SHA1_96},
        {"`null-sha256`", ESP_PROTOCOL_ESP, ESP_ALG_NULL, ESP_INTEG_HMAC_SHA256_128},
        {"`null-sha384`", ESP_PROTOCOL_ESP, ESP_ALG_NULL, ESP_INTEG_HMAC_SHA384_192},
        {"`null-sha512`", ESP_PROTOCOL_ESP, ESP_ALG_NULL, ESP_INTEG_HMAC_SHA512_256},
        {"`null-sha1`", ESP_PROTOCOL_ESP, ESP_ALG_NULL, ESP_INTEG_HMAC_SHA1_96},
        {"AH `sha256`", ESP_PROTOCOL_AH, ESP_ALG_NONE, ESP_INTEG_HMAC_SHA256_128},
        {"AH `sha384`", ESP_PROTOCOL_AH, ESP_ALG_NONE, ESP_INTEG_HMAC_SHA384_192},
        {"AH `sha512`", ESP_PROTOCOL_AH, ESP_ALG_NONE, ESP_INTEG_HMAC_SHA512_256},
        {"AH `sha1`", ESP_PROTOCOL_AH, ESP_ALG_NONE, ESP_INTEG_HMAC_SHA1_96},
        {"AH `aes*gmac`", ESP_PROTOCOL_AH, ESP_ALG_NONE, ESP_INTEG_AES256_GMAC},
    };
    for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        fprintf(f, "| %s |", row[i].name);
        for (unsigned k = 0; k < 8; k++) { // tunnel and transport, IPv4 and IPv6, plain and in UDP
            struct esp_sa_params s = shape(row[i].proto, row[i].alg, row[i].integ, k & 2, k & 1, k & 4);
            if (s.udp_encap && row[i].proto == ESP_PROTOCOL_AH)
                fprintf(f, " – |");
            else
                fprintf(f, " %u |", mtu_inside(&s, 1500));
        }
        fprintf(f, "\n");
    }
}

static void test_the_manuals_table_is_true(void **state)
{
    static char manual[200000];
    char *table = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&table, &n), *m = fopen("ctrl/config/README.md", "r");
    (void)state;
    assert_non_null(f);
    assert_non_null(m);
    rows(f);
    fclose(f);
    n = fread(manual, 1, sizeof(manual) - 1, m);
    assert_true(n < sizeof(manual) - 1);
    fclose(m);
    if (!strstr(manual, table)) {
        fputs(table, stderr);
        fail_msg("ctrl/config/README.md lacks this table");
    }
    free(table);
}

// ---- longer ones, through path

static struct net {
    int mtu;        // of the path, as the kernel says
    uint32_t limit; // of what it takes; 0: anything
    unsigned asked, count;
    struct {
        uint8_t bytes[2600];
        uint32_t len;
    } sent[64];
} net; // net's hooks have no other way to it

static int path_mtu(void *ctx, const struct addr *from, const struct addr *to)
{
    (void)ctx;
    assert_int_equal(from->family, 4);
    assert_int_equal(to->a[0], 127);
    net.asked++;
    return net.mtu;
}

static int catch_long(void *ctx, struct mmsghdr *m, unsigned n)
{
    (void)ctx;
    for (unsigned i = 0; i < n; i++) {
        const struct iovec *v = m[i].msg_hdr.msg_iov;
        if (net.limit && v->iov_len > net.limit) {
            errno = EMSGSIZE;
            return i ? (int)i : -1;
        }
        assert_true(net.count < 64 && v->iov_len <= sizeof(net.sent[0].bytes));
        memcpy(net.sent[net.count].bytes, v->iov_base, v->iov_len);
        net.sent[net.count++].len = (uint32_t)v->iov_len;
    }
    return (int)n;
}

static int up(void **state)
{
    int rc = rig_up(state);
    struct rig *r = *state;
    net = (struct net){.mtu = 1500};
    r->p->worker->net.path_mtu = path_mtu;
    r->p->worker->net.send = catch_long;
    return rc;
}

static const uint8_t near4[4] = {10, 1, 0, 1}, far4[4] = {10, 2, 0, 1};
static const uint8_t near6[16] = {0xfd, 1, [15] = 1}, far6[16] = {0xfd, 2, [15] = 1};

static void install(struct rig *r, bool copy_df)
{
    struct policy_spec s = rig_spec(7, "six", "fd01::/16", "fd02::/16");
    struct msg_CHILD c = rig_child(r, 1);
    c.copy_df = copy_df;
    rig_must_install_child(r, &c);
    s.local = rig_list("fd01::/16");
    rig_must_apply(r, "six", &s, 1);
    c = rig_child(r, 2);
    c.policy_id = 7;
    c.copy_df = copy_df;
    c.local_ts = rig_list("fd01::/16");
    c.remote_ts = rig_list("fd02::/16");
    rig_must_install_child(r, &c);
}

static uint8_t packet[2600];

static void into_tun(struct rig *r, uint32_t len)
{
    assert_int_equal(write(r->tun, packet, len), len);
    rig_turn(r);
}

static void out4(struct rig *r, uint32_t len, bool df)
{
    build(packet, false, len, near4, far4);
    if (df) {
        packet[6] = 0x40;
        sum_ip(packet, 20);
    }
    into_tun(r, len);
}

static void out6(struct rig *r, uint32_t len)
{
    build(packet, true, len, near6, far6);
    into_tun(r, len);
}

static void no_answer(struct rig *r)
{
    uint8_t b[100];
    assert_true(read(r->tun, b, sizeof(b)) < 0);
}

static void expect_answer(struct rig *r, uint32_t mtu)
{
    uint8_t b[1500];
    ssize_t n = read(r->tun, b, sizeof(b));
    assert_true(n > 28 + 28);
    if (b[0] >> 4 == 4) {
        assert_int_equal(b[9], IPPROTO_ICMP);
        assert_int_equal(sum_fold(sum_add(0, b, 20)), 0xffff);
        assert_int_equal(sum_fold(sum_add(0, b + 20, (uint32_t)n - 20)), 0xffff);
        assert_memory_equal(b + 12, packet + 16, 4);
        assert_memory_equal(b + 16, packet + 12, 4);
        assert_int_equal(b[20], 3);
        assert_int_equal(b[21], 4);
        assert_int_equal(get16(b + 26), mtu);
        assert_memory_equal(b + 28, packet, (size_t)n - 28);
    } else {
        assert_int_equal(b[6], IPPROTO_ICMPV6);
        assert_memory_equal(b + 8, packet + 24, 16);
        assert_memory_equal(b + 24, packet + 8, 16);
        assert_int_equal(b[40], 2);
        assert_int_equal(b[41], 0);
        assert_int_equal(get32(b + 44), mtu);
        assert_memory_equal(b + 48, packet, (size_t)n - 48);
        uint64_t sum = sum_add((uint64_t)htons((uint16_t)(n - 40)) + htons(IPPROTO_ICMPV6), b + 8, 32);
        assert_int_equal(sum_fold(sum_add(sum, b + 40, (uint32_t)n - 40)), 0xffff);
    }
    no_answer(r);
}

static uint32_t open_sent(struct rig *r, const uint8_t *p, uint32_t len)
{
    memcpy(r->in, p, len);
    struct esp_job job = {.op = ESP_DECAP,
                          .in = r->in,
                          .in_len = len,
                          .out = r->out,
                          .out_cap = sizeof(r->out)},
                   *one = &job;
    assert_int_equal(esp_submit(r->peer, &one, 1), 1);
    assert_int_equal(esp_poll(r->peer, &one, 1), 1);
    assert_int_equal(job.status, ESP_STATUS_OK);
    return job.out_len;
}

struct whole { // put together again
    uint8_t bytes[2600];
    uint32_t len;
    unsigned pieces;
};

static void add_piece(struct whole *w, const uint8_t *p, uint32_t len, uint32_t most, bool last)
{
    assert_true(len <= most);
    assert_int_equal(get16(p + 2), len);
    assert_int_equal(sum_fold(sum_add(0, p, 20)), 0xffff);
    if (!w->pieces++) {
        memcpy(w->bytes, p, 20);
        w->len = 20;
    }
    assert_int_equal(get16(p + 4), get16(w->bytes + 4));
    assert_true(get16(p + 4) != 0);
    assert_memory_equal(p + 8, w->bytes + 8, 2);
    assert_memory_equal(p + 12, w->bytes + 12, 8);
    assert_int_equal((get16(p + 6) & 0x1fff) * 8, w->len - 20);
    assert_int_equal(get16(p + 6) >> 13, last ? 0 : 1);
    memcpy(w->bytes + w->len, p + 20, len - 20);
    w->len += len - 20;
}

static void expect_inside(struct rig *r, uint32_t len, uint32_t most)
{
    struct whole w = {.len = 0};
    assert_true(net.count > 1);
    for (unsigned i = 0; i < net.count; i++) {
        uint32_t n = open_sent(r, net.sent[i].bytes, net.sent[i].len);
        add_piece(&w, r->out, n, most, i + 1 == net.count);
    }
    assert_int_equal(w.len, len);
    assert_memory_equal(w.bytes + 20, packet + 20, len - 20);
    net.count = 0;
}

static void expect_outside(struct rig *r, uint32_t len, uint32_t most)
{
    struct whole w = {.len = 0};
    assert_true(net.count > 1);
    for (unsigned i = 0; i < net.count; i++)
        add_piece(&w, net.sent[i].bytes, net.sent[i].len, most, i + 1 == net.count);
    put16(w.bytes + 2, w.len);
    put16(w.bytes + 6, 0);
    sum_ip(w.bytes, 20);
    assert_int_equal(open_sent(r, w.bytes, w.len), len);
    assert_memory_equal(r->out, packet, len);
    net.count = 0;
}

static void expect_one(struct rig *r, uint32_t len)
{
    assert_int_equal(net.count, 1);
    assert_int_equal(open_sent(r, net.sent[0].bytes, net.sent[0].len), len);
    net.count = 0;
    no_answer(r);
}

enum { PATH = 1300, INSIDE = PATH - 20 - 8 - 8 - 8 - 16 - 2 }; // AES-GCM-16 in UDP over IPv4

static void test_a_longer_one_with_df_is_answered_with_what_fits(void **state)
{
    struct rig *r = *state;
    install(r, true);
    net.mtu = net.limit = PATH;
    out4(r, INSIDE + 1, true);
    assert_int_equal(net.count, 0);
    expect_answer(r, INSIDE);
    out4(r, INSIDE, true);
    expect_one(r, INSIDE);
    out6(r, 1281); // no host may be told less than 1280
    assert_int_equal(net.count, 0);
    expect_answer(r, 1280);
    assert_int_equal(r->p->worker->too_big, 2);
    assert_int_equal(r->p->worker->drop_out[ESP_STATUS_TOO_LONG], 2);
    assert_int_equal(net.asked, 2); // once for each SA
}

static void test_a_longer_one_without_df_goes_in_fragments_made_before(void **state)
{
    struct rig *r = *state;
    install(r, true);
    net.mtu = net.limit = PATH;
    for (uint32_t len = INSIDE + 1; len < 2500; len += 97) {
        out4(r, len, false);
        expect_inside(r, len, INSIDE);
    }
    no_answer(r);
    assert_int_equal(r->p->worker->send_too_long, 0);
    out4(r, 100, false);
    expect_one(r, 100);
}

static void test_a_fragment_is_cut_again_at_its_own_place(void **state)
{
    struct rig *r = *state;
    install(r, true);
    net.mtu = net.limit = PATH;
    build(packet, false, 1400, near4, far4);
    put16(packet + 6, 0x2000 | 100); // more follow; it begins at 800
    sum_ip(packet, 20);
    into_tun(r, 1400);
    assert_int_equal(net.count, 2);
    for (unsigned i = 0; i < 2; i++) {
        uint32_t n = open_sent(r, net.sent[i].bytes, net.sent[i].len);
        assert_int_equal(get16(r->out + 6), 0x2000 | (i ? 100 + (INSIDE - 20) / 8 : 100));
        assert_int_equal(n, i ? 1400 - (INSIDE - 20) / 8 * 8 : (INSIDE - 20) / 8 * 8 + 20);
    }
}

// Nothing was known until the kernel refused it: what ICMP from outside has taught it.
static void test_what_the_kernel_refuses_is_told_or_leaves_in_fragments(void **state)
{
    struct rig *r = *state;
    install(r, true);
    out4(r, 1400, true);
    expect_one(r, 1400);
    rig_pass(r, 2000);
    net.mtu = net.limit = PATH;
    out4(r, 1400, true);
    assert_int_equal(net.count, 0);
    expect_answer(r, INSIDE);
    assert_int_equal(r->p->worker->send_too_long, 1);
    net.mtu = 1500; // and without DF the outer one, which is sealed already
    net.limit = 0;
    rig_pass(r, 11000);
    out4(r, 1400, false);
    expect_one(r, 1400);
    net.mtu = net.limit = PATH;
    rig_pass(r, 2000);
    out4(r, 1401, false);
    expect_outside(r, 1401, PATH);
    assert_int_equal(r->p->worker->send_too_long, 1);
    assert_int_equal(r->p->worker->fragmented_after, 1);
    out4(r, 1401, false); // from then on before
    expect_inside(r, 1401, INSIDE);
}

static void test_ipv6_of_1280_octets_gets_through_any_path(void **state)
{
    struct rig *r = *state;
    install(r, true);
    net.mtu = net.limit = PATH;
    out6(r, 1280);
    expect_outside(r, 1280, PATH);
    out6(r, INSIDE);
    expect_one(r, INSIDE);
    no_answer(r);
}

static void test_without_copy_df_the_outer_packet_is_cut(void **state)
{
    struct rig *r = *state;
    install(r, false);
    net.mtu = net.limit = PATH;
    out4(r, 1400, true);
    expect_outside(r, 1400, PATH);
    out4(r, 1400, false);
    expect_outside(r, 1400, PATH);
    no_answer(r);
}

static void test_a_path_that_takes_more_again_is_found_out(void **state)
{
    struct rig *r = *state;
    install(r, true);
    net.mtu = net.limit = PATH;
    out4(r, 1400, true);
    expect_answer(r, INSIDE);
    net.mtu = 1500;
    net.limit = 0;
    rig_pass(r, 9999);
    out4(r, 1400, true);
    expect_answer(r, INSIDE);
    rig_pass(r, 1);
    out4(r, 1400, true);
    expect_one(r, 1400);
}

static void test_nobody_makes_us_believe_in_a_path_that_cannot_be(void **state)
{
    struct rig *r = *state;
    install(r, true);
    net.mtu = 68;
    out4(r, 553, true);
    expect_answer(r, 552 - 20 - 8 - 8 - 8 - 16 - 2);
    out4(r, 480, true);
    expect_one(r, 480);
}

static void test_where_nobody_knows_the_path_it_is_counted(void **state)
{
    struct rig *r = *state;
    install(r, true);
    net.mtu = -ENETUNREACH;
    net.limit = PATH;
    out4(r, 1400, true);
    out4(r, 1400, false);
    assert_int_equal(net.count, 0);
    assert_int_equal(r->p->worker->send_too_long, 2);
    r->p->worker->net.path_mtu = NULL;
    out4(r, 1400, true);
    assert_int_equal(r->p->worker->send_too_long, 3);
    no_answer(r);
}

// ---- TFC padding

static void install_padded(struct rig *r, uint32_t id, uint16_t to)
{
    struct msg_CHILD c = rig_child(r, id);
    c.copy_df = true;
    c.tfc_padding = to;
    rig_must_install_child(r, &c);
}

static void expect_padded(struct rig *r, uint32_t len, uint32_t inside)
{
    assert_int_equal(net.count, 1);
    assert_int_equal(net.sent[0].len, 20 + 8 + 8 + 8 + (inside + 2 + 3) / 4 * 4 + 16);
    expect_one(r, len);
}

static void test_tfc_padding_is_as_long_as_the_path_and_the_tun_allow(void **state)
{
    static const struct {
        uint16_t to;
        int path;
        uint32_t inside;
    } cases[] = {{700, 1500, 700}, {65535, PATH, INSIDE}, {INSIDE + 1, PATH, INSIDE}, {65535, 1500, 1400}};
    struct rig *r = *state;
    for (unsigned i = 0; i < 4; i++) {
        net.mtu = cases[i].path;
        install_padded(r, i + 1, cases[i].to); // the newest one sends
        for (uint32_t len = 28; len < cases[i].inside; len += 97) {
            out4(r, len, len & 1);
            expect_padded(r, len, cases[i].inside);
        }
        out4(r, cases[i].inside, true);
        expect_padded(r, cases[i].inside, cases[i].inside);
    }
}

static void test_fragments_made_before_encryption_are_padded_too(void **state)
{
    struct rig *r = *state;
    net.mtu = PATH;
    install_padded(r, 1, 65535);
    out4(r, INSIDE + 40, false);
    assert_int_equal(net.count, 2);
    assert_int_equal(net.sent[0].len, PATH);
    assert_int_equal(net.sent[1].len, PATH);
    expect_inside(r, INSIDE + 40, INSIDE);
}

static void test_tfc_padding_follows_the_path(void **state)
{
    struct rig *r = *state;
    net.mtu = PATH;
    install_padded(r, 1, 65535);
    out4(r, 60, true);
    expect_padded(r, 60, INSIDE);
    net.mtu = net.limit = 1000; // nobody has told us yet
    rig_pass(r, 1000);
    out4(r, 60, true);
    expect_outside(r, 60, 1000);
    out4(r, 60, true);
    expect_padded(r, 60, INSIDE - 300);
    net.mtu = PATH;
    net.limit = 0;
    rig_pass(r, 9999);
    out4(r, 60, true);
    expect_padded(r, 60, INSIDE - 300);
    rig_pass(r, 1);
    out4(r, 60, true);
    expect_padded(r, 60, INSIDE);
    net.mtu = -ENETUNREACH; // nobody knows the path
    rig_pass(r, 10000);
    out4(r, 60, true);
    expect_padded(r, 60, 1400);
}

static void test_what_is_longer_is_not_padded(void **state)
{
    struct rig *r = *state;
    net.mtu = PATH;
    install_padded(r, 1, 30);
    out4(r, 60, true);
    expect_padded(r, 60, 60);
}

// ---- TCP

static uint32_t syn(uint8_t *p, bool six, unsigned nops, uint16_t mss, uint8_t flags)
{
    uint32_t ip = six ? 40 : 20, len = build(p, six, ip + 40, six ? near6 : near4, six ? far6 : far4);
    uint8_t *tcp = p + ip;
    p[six ? 6 : 9] = IPPROTO_TCP;
    if (!six)
        sum_ip(p, 20);
    tcp[12] = 10 << 4;
    tcp[13] = flags;
    memset(tcp + 20, 1, 20);
    tcp[20 + nops] = 2;
    tcp[21 + nops] = 4;
    put16(tcp + 22 + nops, mss);
    put16(tcp + 16, 0);
    sum_put(tcp + 16, (uint16_t)~sum_fold(sum_add(sum_pseudo(p, IPPROTO_TCP, 40), tcp, 40)));
    return len;
}

static bool right_sum(const uint8_t *p)
{
    uint32_t ip = p[0] >> 4 == 6 ? 40 : 20;
    return sum_fold(sum_add(sum_pseudo(p, IPPROTO_TCP, 40), p + ip, 40)) == 0xffff;
}

static void test_a_syn_announces_what_fits(void **state)
{
    uint8_t p[100], was[100];
    (void)state;
    for (unsigned k = 0; k < 2 * 17; k++) {
        bool six = k & 1;
        uint32_t ip = six ? 40 : 20, len = syn(p, six, k / 2, 1460, k % 3 ? 2 : 0x12);
        assert_true(mss_clamp(p, len, 1300));
        assert_int_equal(get16(p + ip + 22 + k / 2), 1300 - ip - 20);
        assert_true(right_sum(p));
        assert_false(mss_clamp(p, len, 1300));
        assert_false(mss_clamp(p, len, 1500));
    }
    uint32_t len = syn(p, false, 0, 1460, 0x10); // no SYN
    memcpy(was, p, len);
    assert_false(mss_clamp(p, len, 1300));
    assert_memory_equal(p, was, len);
    syn(p, false, 0, 1460, 2);
    p[7] = 1; // a later fragment
    assert_false(mss_clamp(p, len, 1300));
    for (uint32_t cut = 0; cut < len; cut++) { // shorter than it says: nothing behind its end is touched
        uint8_t *exact = malloc(cut ? cut : 1);
        assert_non_null(exact);
        syn(p, false, 16, 1460, 2);
        memcpy(exact, p, cut);
        if (cut)
            assert_false(mss_clamp(exact, cut, 1300));
        free(exact);
    }
    syn(p, false, 0, 1460, 2);
    p[20 + 20] = 8; // an option of no length, one beyond the end
    p[20 + 21] = 0;
    assert_false(mss_clamp(p, len, 1300));
    p[20 + 21] = 200;
    assert_false(mss_clamp(p, len, 1300));
}

static void test_mss_is_clamped_both_ways_unless_told_not_to(void **state)
{
    struct rig *r = *state;
    uint8_t b[200];
    install(r, true);
    net.mtu = PATH;
    for (int on = 1; on >= 0; on--) {
        r->p->set.mss_clamp = on;
        into_tun(r, syn(packet, false, 0, 1460, 2));
        assert_int_equal(net.count, 1);
        open_sent(r, net.sent[0].bytes, net.sent[0].len);
        assert_int_equal(get16(r->out + 42), on ? INSIDE - 40 : 1460);
        assert_true(right_sum(r->out));
        net.count = 0;
        into_tun(r, syn(packet, true, 0, 1460, 2));
        open_sent(r, net.sent[0].bytes, net.sent[0].len);
        assert_int_equal(get16(r->out + 62), on ? INSIDE - 60 : 1460);
        net.count = 0;
        uint32_t len = syn(r->in, false, 0, 1460, 0x12);
        memcpy(r->in + 12, far4, 4);
        memcpy(r->in + 16, near4, 4);
        rig_in_bytes(r, 0x1001, len);
        assert_int_equal(read(r->tun, b, sizeof(b)), len);
        assert_int_equal(get16(b + 42), on ? INSIDE - 40 : 1460);
        assert_true(right_sum(b));
    }
    assert_int_equal(r->p->worker->mss_clamped, 3);
    r->p->set.mss_clamp = true;
    r->p->set.mtu = 1280; // the TUN takes less than the path
    into_tun(r, syn(packet, false, 0, 1460, 2));
    open_sent(r, net.sent[0].bytes, net.sent[0].len);
    assert_int_equal(get16(r->out + 42), INSIDE - 40 < 1240 ? INSIDE - 40 : 1240);
}

#define WITH(t) cmocka_unit_test_setup_teardown(t, up, rig_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_longest_packet_fits_and_one_octet_more_does_not),
        cmocka_unit_test(test_a_path_that_takes_nothing_takes_nothing),
        cmocka_unit_test(test_the_manuals_table_is_true),
        WITH(test_a_longer_one_with_df_is_answered_with_what_fits),
        WITH(test_a_longer_one_without_df_goes_in_fragments_made_before),
        WITH(test_a_fragment_is_cut_again_at_its_own_place),
        WITH(test_what_the_kernel_refuses_is_told_or_leaves_in_fragments),
        WITH(test_ipv6_of_1280_octets_gets_through_any_path),
        WITH(test_without_copy_df_the_outer_packet_is_cut),
        WITH(test_tfc_padding_is_as_long_as_the_path_and_the_tun_allow),
        WITH(test_fragments_made_before_encryption_are_padded_too),
        WITH(test_tfc_padding_follows_the_path),
        WITH(test_what_is_longer_is_not_padded),
        WITH(test_a_path_that_takes_more_again_is_found_out),
        WITH(test_nobody_makes_us_believe_in_a_path_that_cannot_be),
        WITH(test_where_nobody_knows_the_path_it_is_counted),
        cmocka_unit_test(test_a_syn_announces_what_fits),
        WITH(test_mss_is_clamped_both_ways_unless_told_not_to),
    };
    return cmocka_run_group_tests_name("MTU", tests, NULL, NULL);
}
