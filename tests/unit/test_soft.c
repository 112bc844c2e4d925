// SPDX-License-Identifier: Apache-2.0
// The software engine's packets: fixed ones (computed apart, with python3-cryptography), every inner length,
// the header rules, what is refused and why. RFC 4303, 4106, 7634, 6040, 3948.
#include "tests/unit/soft_rig.h"

#include <errno.h>
#include <poll.h>

#include "driver/soft/aead.h"

static uint32_t unhex(uint8_t *to, const char *hex)
{
    uint32_t n = 0;

    for (unsigned v; sscanf(hex + 2 * n, "%2x", &v) == 1; n++)
        to[n] = (uint8_t)v;
    return n;
}

static const char fixed_inner[] = "4502001d123440004011a646c0a80001c0a80102000102030405060708";
static const struct {
    enum esp_alg alg;
    bool esn, udp;
    uint64_t seq;
    const char *outer;
} fixed[] = {
    {ESP_ALG_AES256_GCM16, false, false, 0x11223344,
     "450200540000400040324e3fc0000201c6336402c0ffee011122334400000000112233445d7a536d09e139d10e600f4d6233dbb"
     "aaea34306800df8cf"
     "06c8c9044912f6307810c12d97c71dbf22c93029a3aad9f8"},
    {ESP_ALG_AES128_GCM16, true, true, 0x100000002,
     "4502005c0000400040114e58c0000201c63364021194119500480000c0ffee010000000200000001000000020634a4f22a9ba4b"
     "5db25f363cc05eaac"
     "ca194537fe2f8cb7400118fd7f745904e83945b169667a766a777ef9a0f2d362"},
    {ESP_ALG_CHACHA20_POLY1305, false, true, 7,
     "4502005c0000400040114e58c0000201c63364021194119500480000c0ffee01000000070000000000000007fb25d66ae598ec1"
     "4eeaf17c14a5af96f"
     "1b70e40570abb4ff7ec1eaddc7713be86a103cf9f22659fdfb4df231085ace8d"},
};

static struct esp_sa_params fixed_params(int i, enum esp_dir dir)
{
    struct esp_sa_params p = make_params(dir, fixed[i].alg, 0xc0ffee01);

    for (int k = 0; k < 32; k++)
        p.key[k] = (uint8_t)k;
    memcpy(p.salt, "\xa1\xa2\xa3\xa4", 4);
    memcpy(p.dst, "\xc6\x33\x64\x02", 4);
    p.dport = 4501;
    p.esn = fixed[i].esn;
    p.udp_encap = fixed[i].udp;
    p.seq = dir == ESP_OUT ? fixed[i].seq : fixed[i].seq - 1;
    return p;
}

static void test_fixed_packets_both_ways(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 3; i++) {
        struct esp_sa_params out = fixed_params(i, ESP_OUT), in = fixed_params(i, ESP_IN);
        struct esp_sa *tx = must_add(f->e, &out), *rx = must_add(f->e, &in);
        uint8_t want[BUF];
        uint32_t want_len = unhex(want, fixed[i].outer), len = unhex(f->in, fixed_inner);

        assert_int_equal(rig_encap(f, tx, len), ESP_STATUS_OK);
        assert_int_equal(f->job.out_len, want_len);
        assert_memory_equal(f->mid, want, want_len);
        assert_true(f->job.seq == fixed[i].seq);
        assert_int_equal(rig_decap(f, want_len), ESP_STATUS_OK);
        assert_ptr_equal(f->job.sa, rx);
        assert_int_equal(f->job.out_len, len);
        assert_memory_equal(f->out, f->in, len);
        assert_true(f->job.seq == fixed[i].seq);
        assert_false(f->job.src_changed);
        must_delete(f->e, tx);
        must_delete(f->e, rx);
    }
}

static void test_every_inner_length_1_to_200_and_beyond(void **state)
{
    struct fixture *f = *state;

    for (int alg = ESP_ALG_AES128_GCM16; alg < ESP_ALG_COUNT; alg++) {
        struct esp_sa_params out = make_params(ESP_OUT, alg, 100 + alg),
                             in = make_params(ESP_IN, alg, 100 + alg);
        struct alg_sizes size = alg_sizes((enum esp_alg)alg);
        uint32_t icv = size.icv ? size.icv : integ_sizes(out.integ).icv;
        struct esp_sa *tx, *rx;

        out.udp_encap = in.udp_encap = alg & 1;
        tx = must_add(f->e, &out);
        rx = must_add(f->e, &in);
        for (uint32_t len = 1; len <= 1500; len += len < 200 ? 1 : 13) {
            uint32_t outer;
            if (len < 20) { // shorter than an IPv4 header: refused by name, and no sequence number is spent
                memset(f->in, 0x45, len);
                assert_int_equal(rig_encap(f, tx, len), ESP_STATUS_TRUNCATED);
                continue;
            }
            make_inner(f->in, len, (uint8_t)len, len & 1, &f->seed);
            assert_int_equal(rig_encap(f, tx, len), ESP_STATUS_OK);
            outer = f->job.out_len;
            assert_int_equal(outer, 20 + (out.udp_encap ? 8 : 0) + 8 + size.iv +
                                        (len + 1 + size.align) / size.align * size.align + icv);
            assert_int_equal(rig_decap(f, outer), ESP_STATUS_OK);
            assert_int_equal(f->job.out_len, len);
            assert_memory_equal(f->out, f->in, len);
        }
        assert_int_equal(must_delete(f->e, tx).drops, 19);
        must_delete(f->e, rx);
    }
}

static void test_trailing_link_padding_is_cut(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params out = make_params(ESP_OUT, ESP_ALG_AES128_GCM16, 5),
                         in = make_params(ESP_IN, ESP_ALG_AES128_GCM16, 5);
    struct esp_sa *tx = must_add(f->e, &out);
    uint32_t outer;

    must_add(f->e, &in);
    make_inner(f->in, 30, 0, 1, &f->seed);
    assert_int_equal(rig_encap(f, tx, 46), ESP_STATUS_OK);
    outer = f->job.out_len;
    assert_int_equal(get_be16(f->mid + 2), outer);
    assert_int_equal(rig_decap(f, outer + 9), ESP_STATUS_OK);
    assert_int_equal(f->job.out_len, 30);
    make_inner(f->in, 60, 0, 1, &f->seed);
    assert_int_equal(rig_encap(f, tx, 59), ESP_STATUS_TRUNCATED);
}

static void test_outer_header_fields(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params p = make_params(ESP_OUT, ESP_ALG_AES128_GCM16, 6);
    struct esp_sa *plain = must_add(f->e, &p), *bare;

    p.df_clear = p.no_dscp_copy = p.no_ecn = true;
    bare = must_add(f->e, &p);
    for (unsigned i = 0; i < 512; i++) {
        uint8_t tos = (uint8_t)i, df = i >> 8;
        make_inner(f->in, 40, tos, df, &f->seed);
        assert_int_equal(rig_encap(f, plain, 40), ESP_STATUS_OK);
        assert_int_equal(f->mid[1], tos);
        assert_int_equal(get_be16(f->mid + 6), df ? 0x4000 : 0);
        assert_int_equal(get_be16(f->mid + 4), df ? 0 : i + 1);
        assert_int_equal(f->mid[8], 64);
        assert_int_equal(rig_encap(f, bare, 40), ESP_STATUS_OK);
        assert_int_equal(f->mid[1], 0);
        assert_int_equal(get_be16(f->mid + 6), 0);
        assert_int_equal(get_be16(f->mid + 4), i + 1);
        f->in[0] = 0x45;
        memcpy(f->in, f->mid, 20);
        ip_checksum(f->in);
        assert_memory_equal(f->in, f->mid, 20);
    }
}

// An authentic packet with any payload: what a peer that holds the key, and no one else, could send.
static uint32_t forge(struct fixture *f, const struct esp_sa_params *p, uint64_t seq, const uint8_t *plain,
                      uint32_t len)
{
    uint32_t total = 20 + 16 + len + 16;
    uint8_t *to = f->mid, nonce[12];
    struct aead a;

    memset(to, 0, 36);
    to[0] = 0x45;
    put_be16(to + 2, (uint16_t)total);
    to[8] = 64;
    to[9] = 50;
    memcpy(to + 12, p->src, 4);
    memcpy(to + 16, p->dst, 4);
    ip_checksum(to);
    put_be32(to + 20, p->spi);
    put_be32(to + 24, (uint32_t)seq);
    put_be64(to + 28, seq);
    memcpy(nonce, p->salt, 4);
    memcpy(nonce + 4, to + 28, 8);
    assert_int_equal(aead_init(&a, p->alg, ESP_OUT, p->key, NULL), 0);
    assert_int_equal(aead_seal(&a, nonce, to + 20, 8, plain, len, (const uint8_t *)"", 0, to + 36), 0);
    aead_free(&a);
    return total;
}

static void test_authentic_but_wrong_payloads(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params in = make_params(ESP_IN, ESP_ALG_AES256_GCM16, 12);
    uint8_t p[128];
    uint64_t seq = 0;

    must_add(f->e, &in);
    memset(p, 0, sizeof(p));
#define TRY(len, verdict)                                                                                    \
    do {                                                                                                     \
        uint32_t n = forge(f, &in, ++seq, p, len);                                                           \
        assert_int_equal(rig_decap(f, n), verdict);                                                          \
        assert_int_equal(rig_decap(f, n), ESP_STATUS_REPLAY_SEEN); /* authentic */                           \
    } while (0)
    p[3] = 59;
    TRY(4, ESP_STATUS_DUMMY);
    p[2] = 200;
    TRY(4, ESP_STATUS_DUMMY);
    p[3] = 4;
    TRY(4, ESP_STATUS_BAD_PAD); // pad length beyond the payload
    p[2] = 2;
    TRY(4, ESP_STATUS_BAD_PAD); // padding 0 0, not 1 2
    p[0] = 1;
    p[1] = 2;
    p[3] = 41;
    TRY(4, ESP_STATUS_BAD_NEXT_HEADER);
    p[3] = 4;
    TRY(4, ESP_STATUS_TRUNCATED); // no room for an inner header
    make_inner(p, 40, 0, 1, &f->seed);
    p[40] = 1, p[41] = 2, p[42] = 2, p[43] = 4;
    put_be16(p + 2, 41);
    TRY(44, ESP_STATUS_TRUNCATED);
    put_be16(p + 2, 19);
    TRY(44, ESP_STATUS_BAD_IP);
    put_be16(p + 2, 40);
    p[0] = 0x65;
    TRY(44, ESP_STATUS_BAD_IP);
    p[0] = 0x44;
    TRY(44, ESP_STATUS_BAD_IP);
    p[0] = 0x45;
    TRY(44, ESP_STATUS_OK);
    make_inner(p, 25, 0, 1,
               &f->seed); // octets behind the total length: TFC padding, cut (RFC 4303 section 2.7)
    TRY(44, ESP_STATUS_OK);
    assert_int_equal(f->job.out_len, 0);
#undef TRY
}

static void test_outer_packets_refused_by_reason(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params out = make_params(ESP_OUT, ESP_ALG_AES128_GCM16, 13),
                         in = make_params(ESP_IN, ESP_ALG_AES128_GCM16, 13);
    struct esp_sa *tx = must_add(f->e, &out);
    uint8_t good[BUF];
    uint32_t len;

    must_add(f->e, &in);
    make_inner(f->in, 60, 0, 1, &f->seed);
    assert_int_equal(rig_encap(f, tx, 60), ESP_STATUS_OK);
    len = f->job.out_len;
    memcpy(good, f->mid, len);
#define TRY(change, length, verdict)                                                                         \
    do {                                                                                                     \
        memcpy(f->mid, good, len);                                                                           \
        change;                                                                                              \
        assert_int_equal(rig_decap(f, length), verdict);                                                     \
    } while (0)
    TRY((void)0, 19, ESP_STATUS_TRUNCATED);
    TRY((void)0, 0, ESP_STATUS_TRUNCATED);
    TRY((void)0, len - 1, ESP_STATUS_TRUNCATED);
    TRY(f->mid[0] = 0x55, len, ESP_STATUS_BAD_IP);
    TRY(f->mid[0] = 0x44, len, ESP_STATUS_BAD_IP);
    TRY(f->mid[10] ^= 1, len, ESP_STATUS_BAD_IP);
    TRY((f->mid[6] |= 0x20, ip_checksum(f->mid)), len, ESP_STATUS_FRAGMENT);
    TRY((f->mid[7] = 1, ip_checksum(f->mid)), len, ESP_STATUS_FRAGMENT);
    TRY((f->mid[9] = 6, ip_checksum(f->mid)), len, ESP_STATUS_NOT_ESP);
    TRY((put_be16(f->mid + 2, 27), ip_checksum(f->mid)), len, ESP_STATUS_TRUNCATED);
    TRY(f->mid[23] ^= 1, len, ESP_STATUS_NO_SA);
    TRY((f->mid[19] ^= 1, ip_checksum(f->mid)), len, ESP_STATUS_SA_MISMATCH);
    TRY((put_be16(f->mid + 2, 55), ip_checksum(f->mid)), len, ESP_STATUS_TRUNCATED);
    TRY((put_be16(f->mid + 2, (uint16_t)(len - 2)), ip_checksum(f->mid)), len, ESP_STATUS_TRUNCATED);
    TRY((f->mid[15] ^= 1, ip_checksum(f->mid)), len, ESP_STATUS_OK); // another source: passes and is reported
    assert_true(f->job.src_changed);
#undef TRY
}

static void test_udp_encapsulation_rules(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params out = make_params(ESP_OUT, ESP_ALG_AES128_GCM16, 14),
                         in = make_params(ESP_IN, ESP_ALG_AES128_GCM16, 14);
    struct esp_sa *tx;
    uint8_t good[BUF];
    uint32_t len;

    out.udp_encap = in.udp_encap = true;
    tx = must_add(f->e, &out);
    must_add(f->e, &in);
    make_inner(f->in, 60, 0, 1, &f->seed);
    assert_int_equal(rig_encap(f, tx, 60), ESP_STATUS_OK);
    len = f->job.out_len;
    memcpy(good, f->mid, len);
    assert_int_equal(get_be16(good + 24), len - 20);
    assert_int_equal(get_be16(good + 26), 0);
#define TRY(change, verdict)                                                                                 \
    do {                                                                                                     \
        memcpy(f->mid, good, len);                                                                           \
        change;                                                                                              \
        assert_int_equal(rig_decap(f, len), verdict);                                                        \
    } while (0)
    TRY(put_be16(f->mid + 24, 7), ESP_STATUS_TRUNCATED);
    TRY(put_be16(f->mid + 24, (uint16_t)(len - 19)), ESP_STATUS_TRUNCATED);
    TRY(put_be16(f->mid + 24, 9), ESP_STATUS_NOT_ESP); // a keepalive's length
    TRY(put_be32(f->mid + 28, 0), ESP_STATUS_NOT_ESP); // IKE
    TRY(put_be16(f->mid + 22, 4502), ESP_STATUS_SA_MISMATCH);
    TRY(put_be16(f->mid + 26, 0x1234), ESP_STATUS_OK); // the checksum is ignored
    assert_false(f->job.src_changed);
    assert_int_equal(rig_encap(f, tx, 60), ESP_STATUS_OK);
    put_be16(f->mid + 20, 1024);
    assert_int_equal(rig_decap(f, len), ESP_STATUS_OK);
    assert_true(f->job.src_changed);
#undef TRY
}

// RFC 7296 section 2.23: both forms at any time. dport 0 stands for 4500; a port that is not the SA's is not.
static void test_plain_esp_and_udp_are_both_taken_whatever_was_negotiated(void **state)
{
    static const struct {
        bool in_udp, sa_udp;
        uint16_t sa_dport, dport;
        enum esp_status want;
    } cases[] = {
        {true, false, 0, 4500, ESP_STATUS_OK},    {true, false, 0, 500, ESP_STATUS_SA_MISMATCH},
        {true, false, 4501, 4501, ESP_STATUS_OK}, {true, false, 4501, 4500, ESP_STATUS_SA_MISMATCH},
        {true, true, 4500, 4500, ESP_STATUS_OK},  {true, true, 4500, 4501, ESP_STATUS_SA_MISMATCH},
        {false, true, 4500, 4500, ESP_STATUS_OK}, {false, false, 0, 0, ESP_STATUS_OK},
    };
    struct fixture *f = *state;

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct esp_sa_params out = make_params(ESP_OUT, ESP_ALG_AES128_GCM16, 150 + i),
                             in = make_params(ESP_IN, ESP_ALG_AES128_GCM16, 150 + i);

        out.udp_encap = cases[i].in_udp;
        out.dport = cases[i].dport;
        in.udp_encap = cases[i].sa_udp;
        in.dport = cases[i].sa_dport;
        must_add(f->e, &in);
        make_inner(f->in, 60, 0, 1, &f->seed);
        assert_int_equal(rig_encap(f, must_add(f->e, &out), 60), ESP_STATUS_OK);
        if (rig_decap(f, f->job.out_len) != cases[i].want)
            fail_msg("case %u: %s, expected %s", i, esp_status_name(f->job.status),
                     esp_status_name(cases[i].want));
    }
}

static void test_ecn_and_dscp_on_decapsulation(void **state)
{
    static const int table[4][4] = {// [inner][outer], RFC 6040 figure 4; -1: drop
                                    {0, 0, 0, -1},
                                    {1, 1, 1, 3},
                                    {2, 1, 2, 3},
                                    {3, 3, 3, 3}};
    struct fixture *f = *state;
    struct esp_sa_params out = make_params(ESP_OUT, ESP_ALG_AES128_GCM16, 20),
                         in = make_params(ESP_IN, ESP_ALG_AES128_GCM16, 20);

    for (int mode = 0; mode < 4; mode++) {
        struct esp_sa *tx, *rx;
        in.no_ecn = mode & 1;
        in.dscp_decap = mode & 2;
        tx = must_add(f->e, &out);
        rx = must_add(f->e, &in);
        for (int inner = 0; inner < 4; inner++) {
            for (int outer = 0; outer < 4; outer++) {
                int want = in.no_ecn ? inner : table[inner][outer];
                make_inner(f->in, 48, (uint8_t)(0x28 | inner), 1, &f->seed);
                assert_int_equal(rig_encap(f, tx, 48), ESP_STATUS_OK);
                f->mid[1] = (uint8_t)(0xb8 | outer);
                ip_checksum(f->mid);
                assert_int_equal(rig_decap(f, f->job.out_len), want < 0 ? ESP_STATUS_ECN_CE : ESP_STATUS_OK);
                if (want < 0)
                    continue;
                assert_int_equal(f->out[1], (in.dscp_decap ? 0xb8 : 0x28) | want);
                f->in[1] = f->out[1];
                ip_checksum(f->in);
                assert_memory_equal(f->out, f->in, 48);
            }
        }
        must_delete(f->e, tx);
        must_delete(f->e, rx);
    }
}

static void test_small_result_buffers(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params out = make_params(ESP_OUT, ESP_ALG_AES128_GCM16, 21),
                         in = make_params(ESP_IN, ESP_ALG_AES128_GCM16, 21);
    struct esp_sa *tx = must_add(f->e, &out);
    struct esp_job *job = &f->job;
    uint32_t len;

    must_add(f->e, &in);
    make_inner(f->in, 61, 0, 1, &f->seed);
    assert_int_equal(rig_encap(f, tx, 61), ESP_STATUS_OK);
    len = f->job.out_len;
    f->job = (struct esp_job){.op = ESP_DECAP, .in = f->mid, .in_len = len, .out = f->out, .out_cap = 61};
    assert_int_equal(run_job(f->e, job), ESP_STATUS_OK); // exactly enough, though the padding would not fit
    assert_memory_equal(f->out, f->in, 61);
    f->job = (struct esp_job){
        .op = ESP_ENCAP, .sa = tx, .in = f->in, .in_len = 61, .out = f->mid, .out_cap = len - 1};
    assert_int_equal(run_job(f->e, job), ESP_STATUS_TOO_LONG);
    assert_int_equal(rig_encap(f, tx, 61), ESP_STATUS_OK);
    assert_true(f->job.seq == 2); // the refused one spent no number
    f->job = (struct esp_job){.op = ESP_DECAP, .in = f->mid, .in_len = len, .out = f->out, .out_cap = 60};
    assert_int_equal(run_job(f->e, job), ESP_STATUS_TOO_LONG);
}

static void test_refusals_name_the_field(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params p = make_params(ESP_IN, ESP_ALG_AES128_GCM16, 22), q;
    struct esp_error err;
    struct esp_sa *sa;

#define REFUSED(change, name)                                                                                \
    do {                                                                                                     \
        q = p;                                                                                               \
        change;                                                                                              \
        memset(&err, 0, sizeof(err));                                                                        \
        assert_int_equal(f->e->ops->capable(f->e, &q, &err), -EOPNOTSUPP);                                   \
        assert_string_equal(err.field, name);                                                                \
        assert_true(f->e->ops->sa_add(f->e, &q, NULL, &sa, &err) < 0);                                       \
    } while (0)
    REFUSED(q.window = 1025, "window");
    REFUSED((q.window = 0, q.esn = true), "window");
    REFUSED(q.spi = 0, "spi");
    REFUSED(q.alg = ESP_ALG_COUNT, "alg");
    REFUSED(q.mode = (enum esp_mode)2, "mode");
    REFUSED(q.inner = 4, "inner");
    REFUSED(q.protocol = ESP_PROTOCOL_AH, "alg");
    REFUSED((q.protocol = ESP_PROTOCOL_AH, q.alg = ESP_ALG_NONE), "integ");
    REFUSED(q.integ = ESP_INTEG_HMAC_SHA256_128, "integ");
    REFUSED(q.integ = ESP_INTEG_COUNT, "integ");
    REFUSED(q.version = 1, "version");
    REFUSED((q.version = ESP_PARAMS_VERSION, q.size = 8), "version");
    REFUSED((q.dir = ESP_OUT, q.ttl = 0, q.seq = 1), "ttl");
    REFUSED((q.dir = ESP_OUT, q.seq = 1, q.tfc = 100, q.mode = ESP_TRANSPORT), "tfc");
    REFUSED((q.dir = ESP_OUT, q.seq = 1, q.tfc = 100, q.protocol = ESP_PROTOCOL_AH, q.alg = ESP_ALG_NONE,
             q.integ = ESP_INTEG_HMAC_SHA256_128),
            "tfc");
    REFUSED((q.dir = ESP_OUT, q.seq = 0), "seq");
    REFUSED((q.dir = ESP_OUT, q.seq = 5, q.seq_limit = 5), "seq_limit");
#undef REFUSED
    assert_int_equal(f->e->ops->capable(f->e, &p, &err), 0);
    must_add(f->e, &p);
    assert_int_equal(f->e->ops->sa_add(f->e, &p, &err, &sa, &err), 0);
    struct esp_event ev = next_event(f->e);
    assert_int_equal(ev.type, ESP_EVENT_SA_REFUSED);
    assert_int_equal(ev.status, ESP_STATUS_SPI_EXISTS);
    assert_ptr_equal(ev.cookie, &err);
    p.dst[3]++; // the same SPI for another destination is another SA
    must_add(f->e, &p);
}

#define T(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_fixed_packets_both_ways),
        T(test_every_inner_length_1_to_200_and_beyond),
        T(test_trailing_link_padding_is_cut),
        T(test_outer_header_fields),
        T(test_authentic_but_wrong_payloads),
        T(test_outer_packets_refused_by_reason),
        T(test_udp_encapsulation_rules),
        T(test_plain_esp_and_udp_are_both_taken_whatever_was_negotiated),
        T(test_ecn_and_dscp_on_decapsulation),
        T(test_small_result_buffers),
        T(test_refusals_name_the_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
