// SPDX-License-Identifier: Apache-2.0
// Big TCP and UDP packets: what is refused, what is not put together, and their way through path. That
// cutting and putting together give the right octets is held against the kernel (tests/system/test_gso.c).
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/path/gso_sum.h"
#include "ctrl/path/io.h"
#include "tests/unit/path_rig.h"
#include "tests/unit/segments.h"

// ---- cutting

static void test_a_header_that_does_not_fit_its_packet_is_refused(void **state)
{
    static uint8_t p[65536];
    const struct big_packet k = {.flags = 0x10, .options = 12, .payload = 3000, .gso_size = 1000, .seed = 1};
    struct virtio_net_hdr good, h;
    struct gso g;
    uint32_t len = big_build(&k, p, &good);
    (void)state;
    assert_int_equal(gso_begin(&g, &good, p, len), 0);
    assert_int_equal(gso_begin(&g, &good, p, 39), -EINVAL);
    assert_int_equal(gso_begin(&g, &good, p, 52), -EINVAL); // nothing behind its headers
#define BAD(change)                                                                                          \
    h = good;                                                                                                \
    h.change;                                                                                                \
    assert_int_equal(gso_begin(&g, &h, p, len), -EINVAL)
    BAD(gso_size = 0);
    BAD(flags = 0);
    BAD(gso_type = VIRTIO_NET_HDR_GSO_UDP);
    BAD(gso_type = VIRTIO_NET_HDR_GSO_TCPV6);
    BAD(csum_start = 24);
    BAD(csum_offset = 6);
    p[20 + 12] = 0x40; // a TCP header of 16 octets
    assert_int_equal(gso_begin(&g, &good, p, len), -EINVAL);
    assert_int_equal(gso_complete(&good, p, len), -EINVAL); // it is to be cut
}

static void test_a_header_that_does_not_fit_its_udp_packet_is_refused(void **state)
{
    static uint8_t p[65536];
    const struct big_packet k = {.udp = true, .payload = 3000, .gso_size = 1000, .seed = 1};
    struct virtio_net_hdr good, h;
    struct gso g;
    uint32_t len = big_build(&k, p, &good);
    (void)state;
    assert_int_equal(gso_begin(&g, &good, p, len), 0);
    assert_int_equal(gso_begin(&g, &good, p, 27), -EINVAL);
    assert_int_equal(gso_begin(&g, &good, p, 28), -EINVAL); // nothing behind its headers
    BAD(gso_size = 0);
    BAD(flags = 0);
    BAD(gso_type |= VIRTIO_NET_HDR_GSO_ECN);
    BAD(gso_type = VIRTIO_NET_HDR_GSO_TCPV4);
    BAD(csum_start = 24);
    BAD(csum_offset = 16);
    p[9] = 6;
    assert_int_equal(gso_begin(&g, &good, p, len), -EINVAL);
}
#undef BAD

// Where the sum comes to zero UDP has all ones (RFC 768): there would be none.
static void test_a_datagram_cut_off_always_has_a_checksum(void **state)
{
    static uint8_t p[65536], to[200];
    struct virtio_net_hdr h;
    struct gso g;
    const struct big_packet k = {.udp = true, .payload = 200, .gso_size = 100};
    uint32_t len = big_build(&k, p, &h);
    (void)state;
    assert_int_equal(gso_begin(&g, &h, p, len), 0);
    assert_int_equal(gso_next(&g, to, sizeof(to)), 128);
    uint32_t sum = (uint32_t)(p[28] << 8 | p[29]) + (uint32_t)(to[26] << 8 | to[27]);
    sum = (sum & 0xffff) + (sum >> 16);
    p[28] = (uint8_t)(sum >> 8); // now everything adds up to 0xffff
    p[29] = (uint8_t)sum;
    assert_int_equal(gso_begin(&g, &h, p, len), 0);
    assert_int_equal(gso_next(&g, to, sizeof(to)), 128);
    assert_int_equal(to[26] << 8 | to[27], 0xffff);
}

static void test_a_checksum_outside_of_its_packet_is_refused(void **state)
{
    uint8_t p[64] = {0x45};
    struct virtio_net_hdr h = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 20, .csum_offset = 42};
    (void)state;
    assert_int_equal(gso_complete(&h, p, 64), 0);
    assert_int_equal(gso_complete(&h, p, 63), -EINVAL);
    h.csum_start = 65;
    h.csum_offset = 0;
    assert_int_equal(gso_complete(&h, p, 64), -EINVAL);
}

static void test_a_sum_of_zero_is_told_from_none(void **state)
{
    uint8_t p[30] = {0x45, [20] = 0xff, 0xff}; // behind the header everything adds up to 0xffff
    struct virtio_net_hdr h = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 20, .csum_offset = 6};
    (void)state;
    assert_int_equal(gso_complete(&h, p, sizeof(p)), 0);
    assert_int_equal(p[26] << 8 | p[27], 0xffff);
}

static void test_a_segment_that_has_no_room_is_not_cut(void **state)
{
    static uint8_t p[65536], to[1051];
    const struct big_packet k = {.flags = 0x10, .payload = 3000, .gso_size = 1012};
    struct virtio_net_hdr h;
    struct gso g;
    uint32_t len = big_build(&k, p, &h);
    (void)state;
    assert_int_equal(gso_begin(&g, &h, p, len), 0);
    assert_int_equal(gso_next(&g, to, sizeof(to)), 0);
    assert_int_equal(gso_left(&g), 3);
}

// ---- putting together

struct three {
    uint8_t p[3][1200], whole[GSO_MAX];
    uint32_t len[3];
    struct gro g;
};

static void make_three_of(struct three *t, const struct big_packet *k)
{
    static uint8_t p[4096];
    struct virtio_net_hdr h;
    struct gso g;
    uint32_t len = big_build(k, p, &h);
    assert_int_equal(gso_begin(&g, &h, p, len), 0);
    for (int i = 0; i < 3; i++)
        t->len[i] = gso_next(&g, t->p[i], sizeof(t->p[i]));
    t->g = (struct gro){.buf = t->whole};
}

static void make_three(struct three *t, bool six)
{
    make_three_of(
        t, &(struct big_packet){
               .six = six, .flags = 0x18, .options = 12, .payload = 2900, .gso_size = 1000, .seed = 3});
}

static void make_three_udp(struct three *t, bool six)
{
    make_three_of(
        t, &(struct big_packet){.six = six, .udp = true, .payload = 2900, .gso_size = 1000, .seed = 3});
}

static bool start(struct gro *g, const uint8_t *p, uint32_t len)
{
    struct gro_place at;
    if (!gro_look(p, len, &at))
        return false;
    gro_start(g, p, len, &at);
    return true;
}

static bool append(struct gro *g, const uint8_t *p, uint32_t len)
{
    struct gro_place at;
    return gro_look(p, len, &at) && gro_append(g, p, len, &at);
}

static void sum_again(uint8_t *p, uint32_t from, uint32_t len, uint32_t at, uint32_t s)
{
    p[at] = p[at + 1] = 0;
    for (uint32_t i = from; i < len; i++)
        s += (i - from) & 1 ? p[i] : (uint32_t)p[i] << 8;
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    p[at] = (uint8_t)(~s >> 8);
    p[at + 1] = (uint8_t)~s;
}

static void right_sums(uint8_t *p, uint32_t len)
{
    uint32_t at = p[0] >> 4 == 6 ? 40 : 20, proto = p[at == 40 ? 6 : 9], s = len - at + proto;
    for (uint32_t i = at == 40 ? 8 : 12; i < at; i++)
        s += i & 1 ? p[i] : (uint32_t)p[i] << 8;
    sum_again(p, at, len, at + (proto == 17 ? 6 : 16), s);
    if (at == 20)
        sum_again(p, 0, 20, 10, 0);
}

// The second one, changed in one octet.
static void expect_apart(bool six, uint32_t octet, uint8_t bits, bool sums)
{
    static struct three t;
    struct virtio_net_hdr h;
    make_three(&t, six);
    t.p[1][octet] ^= bits;
    if (sums)
        right_sums(t.p[1], t.len[1]);
    assert_true(start(&t.g, t.p[0], t.len[0]));
    if (append(&t.g, t.p[1], t.len[1]))
        fail_msg("IPv%d, octet %u ^ %02x: it was put together", six ? 6 : 4, octet, bits);
    assert_int_equal(gro_end(&t.g, &h), t.len[0]);
    assert_memory_equal(t.whole, t.p[0], t.len[0]);
    assert_int_equal(h.flags | h.gso_type | h.gso_size, 0);
}

static void test_what_differs_in_more_than_its_place_is_not_put_together(void **state)
{
    static const struct {
        uint32_t octet;
        uint8_t bits;
    } ip4[] = {{1, 4}, {5, 1}, {6, 0x40}, {6, 0x20}, {7, 1}, {8, 1}, {9, 1}, {15, 1}, {19, 1}},
      ip6[] = {{1, 0x40}, {3, 1}, {6, 1}, {7, 1}, {23, 1}, {39, 1}},
      tcp[] = {{1, 1},  {3, 1},     {7, 1},     {11, 1}, {12, 0x10}, {13, 1},
               {13, 2}, {13, 0x40}, {13, 0x80}, {15, 1}, {19, 1},    {25, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof(ip4) / sizeof(ip4[0]); i++)
        expect_apart(false, ip4[i].octet, ip4[i].bits, true);
    for (size_t i = 0; i < sizeof(ip6) / sizeof(ip6[0]); i++)
        expect_apart(true, ip6[i].octet, ip6[i].bits, true);
    for (size_t i = 0; i < sizeof(tcp) / sizeof(tcp[0]); i++) {
        expect_apart(false, 20 + tcp[i].octet, tcp[i].bits, true);
        expect_apart(true, 40 + tcp[i].octet, tcp[i].bits, true);
    }
    expect_apart(false, 10, 1, false); // wrong sums stay wrong
    expect_apart(false, 500, 1, false);
    expect_apart(true, 500, 1, false);
}

static void test_nothing_follows_a_push_a_shorter_one_or_more_than_64_kib(void **state)
{
    static struct three t;
    struct virtio_net_hdr h;
    (void)state;
    make_three(&t, false);
    assert_true(start(&t.g, t.p[0], t.len[0]));
    assert_true(append(&t.g, t.p[1], t.len[1]));
    assert_true(append(&t.g, t.p[2], t.len[2])); // shorter, and with PSH
    assert_false(append(&t.g, t.p[1], t.len[1]));
    assert_int_equal(gro_end(&t.g, &h), 20 + 32 + 2900);
    assert_false(append(&t.g, t.p[1], t.len[1])); // nothing is there
    assert_int_equal(gro_end(&t.g, &h), 0);
    assert_true(start(&t.g, t.p[2], t.len[2]));
    assert_false(append(&t.g, t.p[0], t.len[0]));
    (void)gro_end(&t.g, &h);
    uint8_t many[1200];
    unsigned n = 1;
    assert_true(start(&t.g, t.p[0], t.len[0]));
    for (;; n++) {
        memcpy(many, t.p[0], t.len[0]);
        uint32_t id = (uint32_t)(many[4] << 8 | many[5]) + n, seq = 0xffff0000u + n * 1000;
        seq += (uint32_t)(many[26] << 8 | many[27]);
        many[4] = (uint8_t)(id >> 8);
        many[5] = (uint8_t)id;
        for (int i = 0; i < 4; i++)
            many[24 + i] = (uint8_t)(seq >> (24 - 8 * i));
        right_sums(many, t.len[0]);
        if (!append(&t.g, many, t.len[0]))
            break;
    }
    assert_int_equal(n, 65);
    assert_int_equal(gro_end(&t.g, &h), 52 + 65 * 1000);
}

// ---- UDP

// The second one, changed in one octet: was it put together?
static bool udp_joins(bool six, bool df, uint32_t octet, uint8_t bits, bool sums)
{
    static struct three t;
    make_three_udp(&t, six);
    for (int i = 0; i < 2 && !six && !df; i++) {
        t.p[i][6] = 0;
        right_sums(t.p[i], t.len[i]);
    }
    t.p[1][octet] ^= bits;
    if (sums)
        right_sums(t.p[1], t.len[1]);
    assert_true(start(&t.g, t.p[0], t.len[0]));
    return append(&t.g, t.p[1], t.len[1]);
}

static void test_datagrams_that_differ_in_more_than_what_they_carry_are_not_put_together(void **state)
{
    (void)state;
    for (int six = 0; six < 2; six++) {
        uint32_t udp = six ? 40 : 20;
        assert_true(udp_joins(six, true, udp + 8, 1, true));
        assert_false(udp_joins(six, true, udp + 1, 1, true)); // ports
        assert_false(udp_joins(six, true, udp + 3, 1, true));
        assert_false(udp_joins(six, true, udp + 5, 1, true));  // a length that is not its own
        assert_false(udp_joins(six, true, udp + 7, 1, false)); // a wrong sum stays wrong
        assert_false(udp_joins(six, true, 500, 1, false));
        assert_false(udp_joins(six, true, six ? 39 : 19, 1, true));
        assert_false(udp_joins(six, true, six ? 7 : 8, 1, true));
        assert_false(udp_joins(six, true, 1, six ? 0x40 : 4, true));
    }
    assert_true(udp_joins(false, true, 5, 1, true)); // an ID that says nothing
    assert_true(udp_joins(false, false, 20 + 8, 1, true));
    assert_false(udp_joins(false, false, 5, 1, true)); // and one that does
    assert_false(udp_joins(false, true, 6, 0x40, true));
}

static void test_a_datagram_without_a_checksum_stays_without(void **state)
{
    static struct three t;
    struct gro_place at;
    (void)state;
    make_three_udp(&t, false);
    assert_true(gro_look(t.p[1], t.len[1], &at));
    t.p[1][26] = t.p[1][27] = 0;
    assert_false(gro_look(t.p[1], t.len[1], &at));
}

static void test_no_more_datagrams_than_every_kernel_cuts_are_put_together(void **state)
{
    static struct three t;
    struct virtio_net_hdr h;
    unsigned n = 1;
    (void)state;
    make_three_of(&t, &(struct big_packet){.udp = true, .payload = 90, .gso_size = 30});
    assert_true(start(&t.g, t.p[0], t.len[0]));
    while (n < 100 && append(&t.g, t.p[1], t.len[1]))
        n++;
    assert_int_equal(n, GSO_UDP);
    assert_int_equal(gro_end(&t.g, &h), 28 + 64 * 30);
    assert_int_equal(h.gso_type, VIRTIO_NET_HDR_GSO_UDP_L4);
    assert_int_equal(h.gso_size, 30);
    assert_int_equal(t.whole[24] << 8 | t.whole[25], 8 + 64 * 30);
}

// ---- sums

// RFC 1071, word by word.
static uint16_t naive_sum(const uint8_t *p, uint32_t n)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)sum);
}

static void expect_sums(const uint8_t *p, uint32_t n)
{
    static uint8_t to[65600];
    uint16_t right = naive_sum(p, n);
    assert_int_equal(sum_fold(sum_add(0, p, n)), right);
    assert_int_equal(sum_fold(sum_long(0, p, n)), right);
    for (int plain = 0; plain < 2; plain++) {
        memset(to, 0xa5, n + 1);
        assert_int_equal(sum_fold(plain ? sum_copy_plain(0, to, p, n) : sum_copy(0, to, p, n)), right);
        assert_memory_equal(to, p, n);
        assert_int_equal(to[n], 0xa5);
    }
}

static void test_a_sum_is_that_of_its_words_however_it_is_made(void **state)
{
    static uint8_t p[65600];
    (void)state;
    for (size_t i = 0; i < sizeof(p); i++)
        p[i] = (uint8_t)(rand() >> 5);
    for (uint32_t n = 0; n < 1500; n++)
        expect_sums(p + n % 7, n);
    memset(p, 0xff, sizeof(p));
    expect_sums(p, 65535);
    memset(p, 0, sizeof(p));
    expect_sums(p, 65535);
}

// ---- through path

struct tun {
    unsigned asked;  // for one
    unsigned frames; // that wait
    bool alone;      // they are not to be cut
    struct big_packet k;
    uint8_t written[65536];
    struct virtio_net_hdr h;
    uint32_t written_len;
    unsigned writes;
    uint32_t lens[64]; // of each
    uint8_t flows[64]; // the last octet of the source port
};

static int read_big(const struct path_tun *q, struct virtio_net_hdr *h, uint8_t *first, uint32_t cap,
                    uint8_t *rest, uint32_t rest_cap)
{
    static uint8_t p[65536];
    struct tun *t = q->ctx;
    t->asked++;
    if (!t->frames)
        return -EAGAIN;
    t->frames--;
    uint32_t len = big_build(&t->k, p, h);
    if (t->alone)
        h->gso_type = VIRTIO_NET_HDR_GSO_NONE;
    assert_true(len <= cap + rest_cap);
    memcpy(first, p, len < cap ? len : cap);
    if (len > cap)
        memcpy(rest, p + cap, len - cap);
    return (int)len;
}

static int write_big(const struct path_tun *q, const struct virtio_net_hdr *h, const uint8_t *p, uint32_t len)
{
    struct tun *t = q->ctx;
    memcpy(t->written, p, len);
    t->written_len = len;
    t->h = *h;
    t->lens[t->writes % 64] = len;
    t->flows[t->writes % 64] = p[(p[0] >> 4 == 6 ? 40 : 20) + 1];
    t->writes++;
    return (int)len;
}

static int write_one(const struct path_tun *q, const uint8_t *p, uint32_t len)
{
    static const struct virtio_net_hdr none;
    return write_big(q, &none, p, len);
}

static int none_past(void *ctx, const uint8_t *p, uint32_t len)
{
    (void)ctx, (void)p, (void)len;
    return -EOPNOTSUPP;
}

static int sends;

static int count_sent(void *ctx, struct mmsghdr *m, unsigned n)
{
    (void)ctx, (void)m;
    sends += (int)n;
    return (int)n;
}

static void give_big_tun(struct rig *r, struct tun *t)
{
    struct worker *w = r->p->worker;
    w->big = malloc(w->buffer + GSO_MAX + 1);
    w->gro_bufs = malloc(GRO_FLOWS * GSO_MAX);
    assert_non_null(w->big);
    assert_non_null(w->gro_bufs);
    for (size_t i = 0; i < GRO_FLOWS; i++)
        w->gro[i].buf = w->gro_bufs + i * GSO_MAX;
    w->net = (struct path_net){
        .ctx = t,
        .tun = {.ctx = t, .fd = -1, .read_big = read_big, .write_big = write_big, .write = write_one},
        .past = none_past,
        .send = count_sent};
    sends = 0;
}

static void load_for_big(struct rig *r)
{
    struct policy_spec s = rig_spec(5, "big", "10.9.0.0/16", "10.8.0.0/16");
    struct msg_CHILD c = rig_child(r, 1);
    rig_must_apply(r, "big", &s, 1);
    c.policy_id = 5;
    c.local_ts = rig_list("10.9.0.0/16");
    c.remote_ts = rig_list("10.8.0.0/16");
    rig_must_install_child(r, &c);
}

static void test_each_segment_of_a_big_packet_is_sealed_by_itself(void **state)
{
    struct rig *r = *state;
    struct tun t = {.frames = 3,
                    .k = {.flags = 0x10, .payload = 60000, .gso_size = 1000, .options = 12, .seed = 9}};
    struct worker *w = r->p->worker;
    load_for_big(r);
    give_big_tun(r, &t);
    while (t.frames)
        out_ready(&w->tun_fd, 0);
    assert_int_equal(sends, 180);
    assert_int_equal(w->big_reads, 3);
    assert_int_equal(w->count[PATH_SOFT].packets_out, 180);
    assert_int_equal(w->count[PATH_SOFT].bytes_out, 3 * (60000 + 60 * 52));
}

static unsigned turns(struct worker *w, struct tun *t, unsigned each, unsigned most)
{
    unsigned n = 0;
    for (t->asked = 0; n < most; n++) {
        t->frames += each;
        out_ready(&w->tun_fd, 0);
    }
    return t->asked;
}

// A call that says that there is nothing is spared where there mostly is nothing.
static void test_a_tun_that_gives_one_packet_at_a_time_is_asked_for_one(void **state)
{
    struct rig *r = *state;
    struct worker *w = r->p->worker;
    struct tun t = {.alone = true, .k = {.flags = 0x10, .payload = 100, .gso_size = 200, .seed = 9}};
    load_for_big(r);
    give_big_tun(r, &t);
    assert_in_range(turns(w, &t, 1, 80), 80, 80 + 4 + 80 / 8 + 1);
    assert_int_equal(sends, 80);
    turns(w, &t, 3, 8); // now there is more, which it comes to know
    assert_int_equal(t.frames, 0);
    assert_int_equal(sends, 80 + 3 * 8);
    assert_int_equal(turns(w, &t, 3, 10), 4 * 10);
    t.alone = false;
    t.k.payload = 1000;
    t.k.gso_size = 500;
    turns(w, &t, 1, 10);
    t.frames = 5; // what is to be cut comes with more
    out_ready(&w->tun_fd, 0);
    assert_int_equal(t.frames, 0);
}

static void test_a_big_packet_that_no_policy_has_leaves_by_no_sa(void **state)
{
    struct rig *r = *state;
    struct tun t = {.frames = 1, .k = {.flags = 0x10, .payload = 9000, .gso_size = 1000}};
    struct worker *w = r->p->worker;
    give_big_tun(r, &t);
    out_ready(&w->tun_fd, 0);
    assert_int_equal(sends, 0);
    assert_int_equal(w->past_us_refused, 9);
}

// Nothing comes back from where they wait: what has no room is counted.
static void test_segments_without_a_packet_to_put_them_in_are_counted(void **state)
{
    struct rig *r = *state;
    struct tun t = {.frames = 1, .k = {.flags = 0x10, .payload = 60000, .gso_size = 100}};
    struct worker *w = r->p->worker;
    struct packet *kept[PATH_JOBS];
    load_for_big(r);
    give_big_tun(r, &t);
    for (int i = 0; i < PATH_JOBS - 1; i++)
        assert_non_null(kept[i] = packet_get(w));
    out_ready(&w->tun_fd, 0); // one at a time, each gives its packet back
    assert_int_equal(sends, 600);
    assert_int_equal(w->queue_full, 0);
    struct child *c = sadb_by_id(r->p, 1);
    c->out.state = HALF_MOVING; // now they wait
    t.frames = 1;
    w->reading = true;
    out_ready(&w->tun_fd, 0);
    assert_int_equal(w->queue_full, 599);
    c->out.state = HALF_READY;
    io_flush_waiting(w, &c->out);
    io_pump(w);
    assert_int_equal(sends, 601);
    for (int i = 0; i < PATH_JOBS - 1; i++)
        packet_release(w, kept[i]);
}

static void test_what_came_in_one_burst_goes_into_the_tun_as_one(void **state)
{
    struct rig *r = *state;
    static struct three s;
    struct tun t = {0};
    struct worker *w = r->p->worker;
    make_three(&s, false);
    give_big_tun(r, &t);
    for (int i = 0; i < 3; i++)
        tun_put(w, 0, s.p[i], s.len[i]);
    assert_int_equal(t.writes, 0);
    tun_flush(w);
    assert_int_equal(t.writes, 1);
    assert_int_equal(t.written_len, 52 + 2900);
    assert_int_equal(t.h.gso_size, 1000);
    tun_put(w, 0, s.p[0], s.len[0]);
    tun_put(w, 0, s.p[0], s.len[0]); // again: it does not follow
    assert_int_equal(t.writes, 2);
    tun_flush(w);
    assert_int_equal(t.writes, 3);
    tun_flush(w);
    assert_int_equal(t.writes, 3);
    s.p[0][9] = 47;
    tun_put(w, 0, s.p[0], s.len[0]); // neither TCP nor UDP: at once
    assert_int_equal(t.writes, 4);
}

static void put_of_flow(struct worker *w, const struct three *s, int i, uint8_t flow)
{
    uint8_t p[1200];
    memcpy(p, s->p[i], s->len[i]);
    p[(p[0] >> 4 == 6 ? 40 : 20) + 1] = flow;
    right_sums(p, s->len[i]);
    tun_put(w, 0, p, s->len[i]);
}

static void test_datagrams_go_together_where_the_kernel_cuts_them(void **state)
{
    struct rig *r = *state;
    static struct three s;
    struct worker *w = r->p->worker;
    struct tun t = {0};
    give_big_tun(r, &t);
    for (int cuts = 0; cuts < 2; cuts++) {
        w->net.tun.udp_big = cuts;
        make_three_udp(&s, true);
        t.writes = 0;
        for (int i = 0; i < 3; i++)
            tun_put(w, 0, s.p[i], s.len[i]);
        assert_int_equal(t.writes, cuts ? 0 : 3);
        tun_flush(w);
        assert_int_equal(t.writes, cuts ? 1 : 3);
        assert_int_equal(t.written_len, 48 + (cuts ? 2900 : 900));
    }
}

static void test_each_datagram_of_a_big_packet_is_sealed_by_itself(void **state)
{
    struct rig *r = *state;
    struct tun t = {.frames = 2, .k = {.udp = true, .payload = 60000, .gso_size = 1000}};
    load_for_big(r);
    give_big_tun(r, &t);
    out_ready(&r->p->worker->tun_fd, 0);
    assert_int_equal(sends, 120);
    assert_int_equal(r->p->worker->big_reads, 2);
}

static void test_flows_that_alternate_are_each_put_together(void **state)
{
    struct rig *r = *state;
    static struct three s;
    struct worker *w = r->p->worker;
    struct tun t = {0};
    give_big_tun(r, &t);
    for (int six = 0; six < 2; six++) {
        make_three(&s, six);
        t.writes = 0;
        for (int i = 0; i < 3; i++)
            for (uint8_t f = 0; f < GRO_FLOWS; f++)
                put_of_flow(w, &s, i, f);
        assert_int_equal(t.writes, 0);
        tun_flush(w);
        assert_int_equal(t.writes, GRO_FLOWS);
        for (unsigned f = 0; f < GRO_FLOWS; f++)
            assert_int_equal(t.lens[f], (six ? 72 : 52) + 2900);
    }
    assert_int_equal(w->big_writes, 2 * GRO_FLOWS);
}

static void test_more_flows_than_there_is_room_for_lose_nothing(void **state)
{
    struct rig *r = *state;
    static struct three s;
    struct worker *w = r->p->worker;
    struct tun t = {0};
    uint32_t octets[GRO_FLOWS + 3] = {0}, packets = 0;
    make_three(&s, false);
    give_big_tun(r, &t);
    for (int i = 0; i < 3; i++)
        for (uint8_t f = 0; f < GRO_FLOWS + 3; f++)
            put_of_flow(w, &s, i, f);
    tun_flush(w);
    for (unsigned i = 0; i < t.writes; i++) {
        octets[t.flows[i]] += t.lens[i] - 52;
        packets++;
    }
    for (unsigned f = 0; f < GRO_FLOWS + 3; f++)
        assert_int_equal(octets[f], 2900);
    assert_int_equal(packets, GRO_FLOWS - 1 + 3 * 4); // the last place is the others'
}

// What cannot be put together leaves after what came before it, and the others wait on.
static void test_nothing_overtakes_its_own_flow(void **state)
{
    struct rig *r = *state;
    static struct three s, other;
    struct worker *w = r->p->worker;
    struct tun t = {0};
    make_three(&s, false);
    make_three(&other, true);
    give_big_tun(r, &t);
    put_of_flow(w, &other, 0, 9);
    put_of_flow(w, &s, 0, 1);
    put_of_flow(w, &s, 1, 1);
    s.p[2][20 + 13] |= 1; // FIN
    put_of_flow(w, &s, 2, 1);
    assert_int_equal(t.writes, 2);
    assert_int_equal(t.lens[0], 52 + 2000);
    assert_int_equal(t.lens[1], 52 + 900);
    put_of_flow(w, &s, 0, 1);
    put_of_flow(w, &s, 0, 1); // not what follows
    assert_int_equal(t.writes, 3);
    put_of_flow(w, &other, 1, 9);
    tun_flush(w);
    assert_int_equal(t.writes, 5);
    assert_int_equal(t.lens[3] + t.lens[4], 72 + 2000 + 52 + 1000);
}

#define WITH(t) cmocka_unit_test_setup_teardown(t, rig_up, rig_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sum_is_that_of_its_words_however_it_is_made),
        cmocka_unit_test(test_a_header_that_does_not_fit_its_packet_is_refused),
        cmocka_unit_test(test_a_header_that_does_not_fit_its_udp_packet_is_refused),
        cmocka_unit_test(test_a_checksum_outside_of_its_packet_is_refused),
        cmocka_unit_test(test_a_sum_of_zero_is_told_from_none),
        cmocka_unit_test(test_a_segment_that_has_no_room_is_not_cut),
        cmocka_unit_test(test_a_datagram_cut_off_always_has_a_checksum),
        cmocka_unit_test(test_what_differs_in_more_than_its_place_is_not_put_together),
        cmocka_unit_test(test_nothing_follows_a_push_a_shorter_one_or_more_than_64_kib),
        cmocka_unit_test(test_no_more_datagrams_than_every_kernel_cuts_are_put_together),
        cmocka_unit_test(test_a_datagram_without_a_checksum_stays_without),
        cmocka_unit_test(test_datagrams_that_differ_in_more_than_what_they_carry_are_not_put_together),
        WITH(test_each_segment_of_a_big_packet_is_sealed_by_itself),
        WITH(test_a_tun_that_gives_one_packet_at_a_time_is_asked_for_one),
        WITH(test_each_datagram_of_a_big_packet_is_sealed_by_itself),
        WITH(test_a_big_packet_that_no_policy_has_leaves_by_no_sa),
        WITH(test_segments_without_a_packet_to_put_them_in_are_counted),
        WITH(test_what_came_in_one_burst_goes_into_the_tun_as_one),
        WITH(test_datagrams_go_together_where_the_kernel_cuts_them),
        WITH(test_flows_that_alternate_are_each_put_together),
        WITH(test_more_flows_than_there_is_room_for_lose_nothing),
        WITH(test_nothing_overtakes_its_own_flow),
    };
    return cmocka_run_group_tests_name("big packets", tests, NULL, NULL);
}
