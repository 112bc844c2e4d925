// SPDX-License-Identifier: Apache-2.0
// The software engine in every mix of IPv4 and IPv6, tunnel and transport mode, plain and in UDP: packets
// that scapy has sealed (tests/vectors/esp_modes.py), the rules of outer fields, what transport mode refuses,
// and headers that lie. RFC 4303, RFC 4301 section 5.1.2, RFC 6040, RFC 3948, RFC 8200.
#include "drv_util.h"

#include "driver/common/checksum.h"

enum { BUF = 2048 };

struct vector {
    const char *name;
    enum esp_mode mode;
    bool ipv6;
    unsigned inner;
    bool udp, esn;
    uint64_t seq;
    const char *src, *dst, *in, *outer, *back;
};
static const struct vector vectors[] = {
#define V(...) {__VA_ARGS__},
#include "tests/vectors/esp_modes.inc"
#undef V
};
enum { VECTORS = sizeof(vectors) / sizeof(vectors[0]) };

struct fixture {
    struct esp_engine *e;
    struct esp_job job;
    uint8_t in[BUF], mid[BUF], out[BUF];
    uint64_t seed;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->seed = 0x2545f4914f6cdd1d;
    *state = f;
    return esp_soft_open(&f->e, NULL);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    f->e->ops->destroy(f->e);
    free(f);
    return 0;
}

static enum esp_status encap(struct fixture *f, struct esp_sa *sa, uint32_t len)
{
    f->job = (struct esp_job){
        .op = ESP_ENCAP, .sa = sa, .in = f->in, .in_len = len, .out = f->mid, .out_cap = BUF};
    return run_job(f->e, &f->job);
}

static enum esp_status decap(struct fixture *f, uint32_t len)
{
    f->job = (struct esp_job){.op = ESP_DECAP, .in = f->mid, .in_len = len, .out = f->out, .out_cap = BUF};
    return run_job(f->e, &f->job);
}

static uint32_t unhex(uint8_t *to, const char *hex)
{
    uint32_t n = 0;

    for (unsigned v; sscanf(hex + 2 * n, "%2x", &v) == 1; n++)
        to[n] = (uint8_t)v;
    return n;
}

static struct esp_sa_params params_of(const struct vector *v, enum esp_dir dir)
{
    struct esp_sa_params p = make_params(dir, ESP_ALG_AES256_GCM16, 0xc0ffee01);

    for (int k = 0; k < 32; k++)
        p.key[k] = (uint8_t)k;
    memcpy(p.salt, "\xa1\xa2\xa3\xa4", 4);
    memset(p.src, 0, 16);
    memset(p.dst, 0, 16);
    unhex(p.src, v->src);
    unhex(p.dst, v->dst);
    p.mode = v->mode;
    p.ipv6 = v->ipv6;
    p.inner = (uint8_t)v->inner;
    p.udp_encap = v->udp;
    p.esn = v->esn;
    p.sport = 4500;
    p.dport = 4501;
    p.seq = dir == ESP_OUT ? v->seq : v->seq - 1;
    p.id_offset = (uint16_t)(1 - v->seq); // the vectors' identification is 1 where there is one
    p.seen[0] = dir == ESP_IN;
    return p;
}

static void expect_bytes(const char *name, const char *what, const uint8_t *got, uint32_t got_len,
                         const char *hex)
{
    uint8_t want[BUF];
    uint32_t want_len = unhex(want, hex);

    if (got_len != want_len)
        fail_msg("%s, %s: got %u octets, expected %u", name, what, got_len, want_len);
    for (uint32_t i = 0; i < want_len; i++)
        if (got[i] != want[i])
            fail_msg("%s, %s: octet %u is %02x, expected %02x", name, what, i, got[i], want[i]);
}

static void test_packets_sealed_by_scapy_are_made_and_opened(void **state)
{
    struct fixture *f = *state;
    unsigned made = 0;

    for (unsigned i = 0; i < VECTORS; i++) {
        const struct vector *v = &vectors[i];
        struct esp_sa_params out = params_of(v, ESP_OUT), in = params_of(v, ESP_IN);
        struct esp_sa *tx = must_add(f->e, &out), *rx = must_add(f->e, &in);
        uint32_t len = unhex(f->in, v->in);

        if (len) {
            if (encap(f, tx, len))
                fail_msg("%s: encapsulation says %s", v->name, esp_status_name(f->job.status));
            expect_bytes(v->name, "encapsulated", f->mid, f->job.out_len, v->outer);
            made++;
        }
        len = unhex(f->mid, v->outer);
        if (decap(f, len))
            fail_msg("%s: decapsulation says %s", v->name, esp_status_name(f->job.status));
        expect_bytes(v->name, "decapsulated", f->out, f->job.out_len, v->back);
        assert_int_equal(f->job.src_changed, strncmp(v->name, "nat", 3) == 0);
        assert_int_equal(decap(f, len), ESP_STATUS_REPLAY_SEEN);
        must_delete(f->e, tx);
        assert_int_equal(must_delete(f->e, rx).bytes, strlen(v->back) / 2);
    }
    assert_in_range(made, 30, VECTORS - 6);
}

// An inner IPv6 packet of len >= 40 octets.
static void make_inner6(uint8_t *p, uint32_t len, uint8_t tos, uint64_t *seed)
{
    rnd_fill(seed, p, len);
    p[0] = (uint8_t)(0x60 | tos >> 4);
    p[1] = (uint8_t)(tos << 4);
    put_be16(p + 4, (uint16_t)(len - 40));
    p[6] = 17;
    p[7] = 60;
}

static struct esp_sa_params mixed(enum esp_dir dir, bool outer6, bool inner6)
{
    struct esp_sa_params p = make_params(dir, ESP_ALG_AES128_GCM16, 77);

    p.ipv6 = outer6;
    p.inner = inner6 ? ESP_FAMILY_IPV6 : ESP_FAMILY_IPV4;
    if (outer6) {
        memcpy(p.src, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
        memcpy(p.dst, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2", 16);
    }
    return p;
}

static uint8_t tos_of(const uint8_t *ip)
{
    return ip[0] >> 4 == 6 ? (uint8_t)(ip[0] << 4 | ip[1] >> 4) : ip[1];
}

static void set_outer_tos(uint8_t *ip, uint8_t tos)
{
    if (ip[0] >> 4 == 6) {
        ip[0] = (uint8_t)(0x60 | tos >> 4);
        ip[1] = (uint8_t)(tos << 4 | (ip[1] & 15));
    } else {
        ip[1] = tos;
        ip_checksum(ip);
    }
}

static void test_ecn_and_dscp_cross_families_as_rfc_6040_says(void **state)
{
    static const int table[4][4] = {// [inner][outer], RFC 6040 figure 4; -1: drop
                                    {0, 0, 0, -1},
                                    {1, 1, 1, 3},
                                    {2, 1, 2, 3},
                                    {3, 3, 3, 3}};
    struct fixture *f = *state;

    for (int mix = 0; mix < 16; mix++) {
        struct esp_sa_params out = mixed(ESP_OUT, mix & 1, mix & 2), in = mixed(ESP_IN, mix & 1, mix & 2);
        struct esp_sa *tx, *rx;

        in.no_ecn = mix & 4;
        in.dscp_decap = mix & 8;
        tx = must_add(f->e, &out);
        rx = must_add(f->e, &in);
        for (int k = 0; k < 16; k++) {
            int inner = k / 4, outer = k % 4, want = in.no_ecn ? inner : table[inner][outer];
            uint8_t tos = (uint8_t)(0x28 | inner);

            if (mix & 2)
                make_inner6(f->in, 60, tos, &f->seed);
            else
                make_inner(f->in, 60, tos, 1, &f->seed);
            assert_int_equal(encap(f, tx, 60), ESP_STATUS_OK);
            assert_int_equal(tos_of(f->mid), tos);
            set_outer_tos(f->mid, (uint8_t)(0xb8 | outer));
            assert_int_equal(decap(f, f->job.out_len), want < 0 ? ESP_STATUS_ECN_CE : ESP_STATUS_OK);
            if (want < 0)
                continue;
            set_outer_tos(f->in, (uint8_t)((in.dscp_decap ? 0xb8 : 0x28) | want));
            assert_memory_equal(f->out, f->in, 60);
        }
        must_delete(f->e, tx);
        must_delete(f->e, rx);
    }
}

static void test_df_of_an_ipv4_outer_header(void **state)
{
    struct fixture *f = *state;
    static const struct {
        bool inner6, inner_df, clear;
        int df;
    } cases[] = {{false, true, false, 1},
                 {false, false, false, 0},
                 {true, false, false, 1},
                 {false, true, true, 0},
                 {true, false, true, 0}};

    for (unsigned i = 0; i < 5; i++) {
        struct esp_sa_params p = mixed(ESP_OUT, false, cases[i].inner6);

        p.df_clear = cases[i].clear;
        if (cases[i].inner6)
            make_inner6(f->in, 60, 0, &f->seed);
        else
            make_inner(f->in, 60, 0, cases[i].inner_df, &f->seed);
        assert_int_equal(encap(f, must_add(f->e, &p), 60), ESP_STATUS_OK);
        assert_int_equal(get_be16(f->mid + 6), cases[i].df ? 0x4000 : 0);
        assert_int_equal(get_be16(f->mid + 4) != 0, !cases[i].df); // an ID where fragments can arise
        assert_int_equal(sum_fold(sum_octets(0, f->mid, 20)), 0);
    }
}

// What leaves says nothing of how long the packet is that is inside, and that one comes out as it was.
static void test_tfc_padding_makes_packets_of_one_length(void **state)
{
    struct fixture *f = *state;
    enum { TO = 130, MAX = 110 };

    for (int mix = 0; mix < 8; mix++) {
        struct esp_sa_params out = mixed(ESP_OUT, mix & 1, mix & 2), in = mixed(ESP_IN, mix & 1, mix & 2);
        uint32_t length[2] = {0};
        struct esp_sa *tx, *rx;

        out.udp_encap = mix & 4;
        out.tfc = TO;
        tx = must_add(f->e, &out);
        rx = must_add(f->e, &in);
        for (uint32_t len = 40; len < TO + 40; len++) {
            for (int bound = 0; bound < 2; bound++) {
                uint32_t to = bound ? MAX : TO;

                if (mix & 2)
                    make_inner6(f->in, len, 0, &f->seed);
                else
                    make_inner(f->in, len, 0, 1, &f->seed);
                f->job = (struct esp_job){.op = ESP_ENCAP,
                                          .sa = tx,
                                          .in = f->in,
                                          .in_len = len,
                                          .out = f->mid,
                                          .out_cap = BUF,
                                          .tfc_max = bound ? MAX : 0};
                assert_int_equal(run_job(f->e, &f->job), ESP_STATUS_OK);
                if (len == 40)
                    length[bound] = f->job.out_len;
                if (len <= to)
                    assert_int_equal(f->job.out_len, length[bound]);
                else
                    assert_int_equal(f->job.out_len, length[bound] + ((len + 5) & ~3u) - ((to + 5) & ~3u));
                assert_int_equal(decap(f, f->job.out_len), ESP_STATUS_OK);
                assert_int_equal(f->job.out_len, len);
                assert_memory_equal(f->out, f->in, len);
            }
        }
        // SAs count the packets inside, without padding.
        assert_int_equal(must_delete(f->e, tx).bytes, 2 * 130 * 40 + 2 * 130 * 129 / 2);
        must_delete(f->e, rx);
    }
}

// RFC 4303 section 2.6: who looks on the way sees what a padded packet with DF looks like, who has the key
// next header 59.
static void test_a_dummy_packet_looks_like_a_padded_one(void **state)
{
    struct fixture *f = *state;
    enum { TO = 130 };

    for (int mix = 0; mix < 8; mix++) {
        struct esp_sa_params out = mixed(ESP_OUT, mix & 1, false), in = mixed(ESP_IN, mix & 1, false);
        struct esp_sa *tx, *rx;
        uint32_t len, header = mix & 1 ? 40 : 20;
        uint8_t before[40];

        out.udp_encap = mix & 2;
        out.tfc = mix & 4 ? 0 : TO;
        out.hard_packets = 1;
        tx = must_add(f->e, &out);
        rx = must_add(f->e, &in);
        make_inner(f->in, TO, 0, 1, &f->seed);
        f->in[6] = 0x40;
        assert_int_equal(encap(f, tx, TO), ESP_STATUS_OK);
        len = f->job.out_len;
        memcpy(before, f->mid, header);
        f->job = (struct esp_job){
            .op = ESP_ENCAP, .sa = tx, .in = f->in, .out = f->mid, .out_cap = BUF, .dummy = true};
        assert_int_equal(run_job(f->e, &f->job), ESP_STATUS_HARD_LIMIT); // who is at an end says nothing
        assert_int_equal(must_delete(f->e, tx).last_seq, 1);
        out.hard_packets = 2;
        out.seq = 2;
        tx = must_add(f->e, &out);
        for (uint64_t seq = 2; seq < 10; seq++) {
            f->job = (struct esp_job){
                .op = ESP_ENCAP, .sa = tx, .in = NULL, .out = f->mid, .out_cap = BUF, .dummy = true};
            assert_int_equal(run_job(f->e, &f->job), ESP_STATUS_OK);
            assert_int_equal(f->job.seq, seq);
            if (out.tfc) {
                assert_int_equal(f->job.out_len, len);
                assert_memory_equal(f->mid, before, header);
            } else {
                assert_true(f->job.out_len < len);
            }
            assert_int_equal(decap(f, f->job.out_len), ESP_STATUS_DUMMY);
        }
        assert_int_equal(must_delete(f->e, tx).packets, 0);
        must_delete(f->e, rx);
    }
}

static void test_a_dummy_packet_is_of_esp_in_tunnel_mode(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params p = mixed(ESP_OUT, false, false);
    struct esp_sa *tx;

    p.mode = ESP_TRANSPORT;
    tx = must_add(f->e, &p);
    f->job = (struct esp_job){
        .op = ESP_ENCAP, .sa = tx, .in = f->in, .out = f->mid, .out_cap = BUF, .dummy = true};
    assert_int_equal(run_job(f->e, &f->job), ESP_STATUS_SA_MISMATCH);
    assert_int_equal(f->job.seq, 0);
    must_delete(f->e, tx);
}

static void test_a_family_that_may_not_be_inside_is_refused(void **state)
{
    struct fixture *f = *state;

    for (int six = 0; six < 2; six++) {
        struct esp_sa_params only = mixed(ESP_OUT, false, six), both = only, in = mixed(ESP_IN, false, six);
        struct esp_sa *tx;

        both.inner = ESP_FAMILY_IPV4 | ESP_FAMILY_IPV6;
        both.spi = only.spi = in.spi = 90 + (uint32_t)six;
        must_add(f->e, &in);
        if (six)
            make_inner(f->in, 60, 0, 1, &f->seed);
        else
            make_inner6(f->in, 60, 0, &f->seed);
        assert_int_equal(encap(f, must_add(f->e, &only), 60), ESP_STATUS_BAD_IP);
        tx = must_add(f->e, &both);
        assert_int_equal(encap(f, tx, 60), ESP_STATUS_OK);
        assert_int_equal(f->job.seq, 1);
        assert_int_equal(decap(f, f->job.out_len), ESP_STATUS_BAD_NEXT_HEADER);
    }
}

static void test_udp_over_ipv6_carries_a_right_checksum(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params p = mixed(ESP_OUT, true, false);
    struct esp_sa *sa;

    p.udp_encap = true;
    sa = must_add(f->e, &p);
    for (uint32_t len = 20; len < 400; len++) {
        uint32_t udp_len;
        uint64_t sum;

        make_inner(f->in, len, 0, 1, &f->seed);
        assert_int_equal(encap(f, sa, len), ESP_STATUS_OK);
        udp_len = f->job.out_len - 40;
        assert_int_equal(get_be16(f->mid + 4), udp_len);
        assert_int_equal(get_be16(f->mid + 44), udp_len);
        assert_int_not_equal(get_be16(f->mid + 46), 0);
        sum = sum_number(sum_number(sum_octets(0, f->mid + 8, 32), (uint16_t)udp_len), 17);
        assert_int_equal(sum_fold(sum_octets(sum, f->mid + 40, udp_len)), 0);
    }
}

static void test_ipv6_outer_packets_are_refused_by_reason(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params out = mixed(ESP_OUT, true, true), in = mixed(ESP_IN, true, true);
    uint8_t good[BUF];
    uint32_t len;

    must_add(f->e, &in);
    make_inner6(f->in, 100, 0, &f->seed);
    assert_int_equal(encap(f, must_add(f->e, &out), 100), ESP_STATUS_OK);
    len = f->job.out_len;
    memcpy(good, f->mid, len);
#define TRY(change, length, verdict)                                                                         \
    do {                                                                                                     \
        memcpy(f->mid, good, len);                                                                           \
        change;                                                                                              \
        assert_int_equal(decap(f, length), verdict);                                                         \
    } while (0)
    TRY((void)0, 39, ESP_STATUS_TRUNCATED);
    TRY((void)0, len - 1, ESP_STATUS_TRUNCATED);
    TRY(f->mid[6] = 44, len, ESP_STATUS_FRAGMENT);
    TRY(f->mid[6] = 6, len, ESP_STATUS_NOT_ESP);
    TRY((f->mid[6] = 0, f->mid[41] = 255), len, ESP_STATUS_TRUNCATED); // options longer than the packet
    TRY(put_be16(f->mid + 4, 7), len, ESP_STATUS_TRUNCATED);
    TRY(put_be16(f->mid + 4, 0), len, ESP_STATUS_TRUNCATED);
    TRY(f->mid[43] ^= 1, len, ESP_STATUS_NO_SA);
    TRY(f->mid[39] ^= 1, len, ESP_STATUS_SA_MISMATCH);
    TRY(f->mid[len - 1] ^= 1, len, ESP_STATUS_ICV_FAIL);
    TRY(f->mid[23] ^= 1, len + 5, ESP_STATUS_OK); // another source, and link padding
    assert_true(f->job.src_changed);
    // the SPI belongs to IPv6's destination: not to an IPv4 one with the same leading octets
    uint8_t four[20] = {0x45, 0, 0, 60, 0, 0, 0, 0, 64, 50, 1, 1, 1, 1, 1, 1, 0x20, 0x01, 0x0d, 0xb8};
    TRY((memcpy(f->mid, four, 20), ip_checksum(f->mid), memcpy(f->mid + 20, good + 40, 40)), 60,
        ESP_STATUS_SA_MISMATCH);
#undef TRY
}

static void test_a_chain_of_extension_headers_ends_the_look(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params in = mixed(ESP_IN, true, true);

    must_add(f->e, &in);
    for (unsigned n = 1; n < 60; n++) { // n empty hop-by-hop headers, then ESP
        uint32_t len = 40 + 8 * n + 8;

        memset(f->mid, 0, BUF);
        f->mid[0] = 0x60;
        put_be16(f->mid + 4, (uint16_t)(len - 40));
        f->mid[40 + 8 * (n - 1)] = 50;
        put_be32(f->mid + 40 + 8 * n, 0xdead);
        assert_int_equal(decap(f, len), n <= 8 ? ESP_STATUS_NO_SA : ESP_STATUS_BAD_IP);
    }
}

static struct esp_sa_params transport(enum esp_dir dir)
{
    struct esp_sa_params p = make_params(dir, ESP_ALG_AES128_GCM16, 88);

    p.mode = ESP_TRANSPORT;
    p.ttl = 0; // the packet brings its own
    return p;
}

static uint32_t own_packet(struct fixture *f, const struct esp_sa_params *p, uint32_t len)
{
    make_inner(f->in, len, 0, 1, &f->seed);
    memcpy(f->in + 12, p->src, 4);
    memcpy(f->in + 16, p->dst, 4);
    ip_checksum(f->in);
    return len;
}

static void test_transport_mode_takes_whole_packets_between_its_own_ends(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params p = transport(ESP_OUT);
    struct esp_sa *sa = must_add(f->e, &p);
    uint32_t len = 60;

#define TRY(change, verdict)                                                                                 \
    do {                                                                                                     \
        len = own_packet(f, &p, 60);                                                                         \
        change;                                                                                              \
        assert_int_equal(encap(f, sa, len), verdict);                                                        \
    } while (0)
    TRY((f->in[15] ^= 1, ip_checksum(f->in)), ESP_STATUS_SA_MISMATCH);
    TRY((f->in[19] ^= 1, ip_checksum(f->in)), ESP_STATUS_SA_MISMATCH);
    TRY((f->in[6] = 0x20, ip_checksum(f->in)), ESP_STATUS_FRAGMENT);
    TRY((f->in[6] = 0, f->in[7] = 9, ip_checksum(f->in)), ESP_STATUS_FRAGMENT);
    TRY(f->in[10] ^= 1, ESP_STATUS_BAD_IP); // the sum is written anew: a wrong one must not become right
    TRY(len = 59, ESP_STATUS_TRUNCATED);
    TRY(make_inner6(f->in, 60, 0, &f->seed), ESP_STATUS_BAD_IP);
    TRY((void)0, ESP_STATUS_OK);
    assert_int_equal(f->job.seq, 1); // no refusal has spent a number
    assert_memory_equal(f->mid + 12, f->in + 12, 8);
    assert_int_equal(f->mid[8], f->in[8]);
#undef TRY
}

static void test_transport_mode_result_must_fit(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params out = transport(ESP_OUT), in = transport(ESP_IN);
    struct esp_sa *tx = must_add(f->e, &out);

    must_add(f->e, &in);
    for (int small = 0; small < 2; small++) {
        uint32_t len = own_packet(f, &out, 61), outer;

        assert_int_equal(encap(f, tx, len), ESP_STATUS_OK);
        outer = f->job.out_len;
        f->job = (struct esp_job){
            .op = ESP_DECAP, .in = f->mid, .in_len = outer, .out = f->out, .out_cap = 61u - (uint32_t)small};
        assert_int_equal(run_job(f->e, &f->job), small ? ESP_STATUS_TOO_LONG : ESP_STATUS_OK);
        if (!small)
            assert_memory_equal(f->out, f->in, 61);
    }
}

// Any octets at all, aimed at SAs of each kind: no verdict but a drop, and nothing is read behind the packet
// (each lies at the end of its own allocation, for the address sanitizer).
static void test_random_octets_end_as_drops(void **state)
{
    struct fixture *f = *state;
    struct esp_sa *tx[4];

    for (int i = 0; i < 4; i++) {
        struct esp_sa_params out = i & 1 ? transport(ESP_OUT) : mixed(ESP_OUT, i & 2, i & 2);
        out.ipv6 = i & 2;
        out.inner = 3;
        tx[i] = must_add(f->e, &out);
        out.dir = ESP_IN;
        out.seq = 0;
        must_add(f->e, &out);
    }
    for (int i = 0; i < 40000; i++) {
        uint64_t r = rnd(&f->seed);
        uint32_t len = r % 120;
        uint8_t *p = malloc(len ? len : 1);

        assert_non_null(p);
        rnd_fill(&f->seed, p, len);
        if (len > 6) {
            static const uint8_t protos[] = {0, 43, 60, 44, 50, 17, 59, 41};
            p[0] = r >> 8 & 1 ? 0x60 : 0x45;
            p[6] = protos[r >> 9 & 7];
            put_be16(p + 4, (uint16_t)(r >> 20 & 127));
            if (len > 41)
                p[40] = protos[r >> 12 & 7], p[41] = r >> 15 & 3;
        }
        f->job = (struct esp_job){.op = r >> 30 & 1 ? ESP_ENCAP : ESP_DECAP,
                                  .sa = tx[r >> 31 & 3],
                                  .in = p,
                                  .in_len = len,
                                  .out = f->out,
                                  .out_cap = BUF};
        run_job(f->e, &f->job);
        if (f->job.op == ESP_DECAP)
            assert_int_not_equal(f->job.status, ESP_STATUS_OK);
        free(p);
    }
}

static void test_capabilities_agree_with_what_is_taken(void **state)
{
    struct fixture *f = *state;
    struct esp_capabilities caps;

    f->e->ops->capabilities(f->e, &caps);
    for (unsigned mode = 0; mode < 2; mode++) {
        for (unsigned mix = 0; mix < 8; mix++) {
            struct esp_sa_params p = mixed(ESP_OUT, mix & 1, mix & 2);
            struct esp_error why = {0};
            bool able;

            p.mode = mode;
            p.udp_encap = mix & 4;
            able = caps.modes & 1u << mode && caps.outer & (p.ipv6 ? 2u : 1u) && caps.inner & p.inner &&
                   (!p.udp_encap || caps.flags & ESP_CAP_UDP_ENCAP);
            assert_int_equal(f->e->ops->capable(f->e, &p, &why) == 0, able);
            assert_true(able);
        }
    }
    assert_int_equal(caps.window_max, ESP_MAX_WINDOW);
    assert_true(caps.flags & ESP_CAP_ENDPOINT);
    assert_true(caps.flags & ESP_CAP_TFC);
    assert_true(caps.protocols & 1u << ESP_PROTOCOL_AH);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_packets_sealed_by_scapy_are_made_and_opened),
        T(test_ecn_and_dscp_cross_families_as_rfc_6040_says),
        T(test_df_of_an_ipv4_outer_header),
        T(test_tfc_padding_makes_packets_of_one_length),
        T(test_a_dummy_packet_looks_like_a_padded_one),
        T(test_a_dummy_packet_is_of_esp_in_tunnel_mode),
        T(test_a_family_that_may_not_be_inside_is_refused),
        T(test_udp_over_ipv6_carries_a_right_checksum),
        T(test_ipv6_outer_packets_are_refused_by_reason),
        T(test_a_chain_of_extension_headers_ends_the_look),
        T(test_transport_mode_takes_whole_packets_between_its_own_ends),
        T(test_transport_mode_result_must_fit),
        T(test_random_octets_end_as_drops),
        T(test_capabilities_agree_with_what_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
