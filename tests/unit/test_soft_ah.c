// SPDX-License-Identifier: Apache-2.0
// AH in the software engine (RFC 4302): random packets of every HMAC, mode and family, with options and
// extension headers, sealed and opened by scapy (ah_oracle.py); what may change on the way and what may not;
// GMAC (RFC 4543); ESN; lengths that lie.
#include "tests/unit/soft_rig.h"

#include <errno.h>
#include <stdio.h>

#include <openssl/evp.h>

static const enum esp_integ all[] = {
    ESP_INTEG_HMAC_SHA256_128, ESP_INTEG_HMAC_SHA384_192, ESP_INTEG_HMAC_SHA512_256, ESP_INTEG_HMAC_SHA1_96,
    ESP_INTEG_AES128_GMAC,     ESP_INTEG_AES192_GMAC,     ESP_INTEG_AES256_GMAC};
enum { HMACS = 4, ALL = 7 };
static const uint8_t a4[4] = {192, 0, 2, 1}, b4[4] = {198, 51, 100, 2},
                     a6[16] = {0x20, 1, 0x0d, 0xb8, [15] = 1}, b6[16] = {0x20, 1, 0x0d, 0xb8, [15] = 2};

static struct esp_sa_params params(enum esp_dir dir, enum esp_integ integ, enum esp_mode mode, bool v6,
                                   uint32_t spi)
{
    struct esp_sa_params p = make_params(dir, ESP_ALG_NONE, spi);

    p.protocol = ESP_PROTOCOL_AH;
    p.integ = integ;
    p.mode = mode;
    p.ipv6 = v6;
    p.inner = ESP_FAMILY_IPV4 | ESP_FAMILY_IPV6;
    for (int i = 0; i < ESP_MAX_INTEG_KEY; i++)
        p.integ_key[i] = (uint8_t)(i * 3 + spi);
    memset(p.src, 0, 16);
    memset(p.dst, 0, 16);
    memcpy(p.src, v6 ? a6 : a4, v6 ? 16 : 4);
    memcpy(p.dst, v6 ? b6 : b4, v6 ? 16 : 4);
    return p;
}

// ---- packets of transport mode

// Random octets of a protocol that scapy does not look into.
static uint32_t payload(struct fixture *f, uint8_t *p)
{
    uint32_t n = 8 + (uint32_t)(rnd(&f->seed) % 120);

    rnd_fill(&f->seed, p, n);
    return n;
}

static const uint8_t options4[] = {0x94, 4,  0, 0,             // router alert: stays
                                   7,    7,  4, 0, 0, 0, 0, 1, // record route: changes; no operation
                                   68,   8,  5, 0, 1, 2, 3, 4, // time stamp: changes
                                   0x82, 11, 0, 0, 0, 0, 0, 0, // security: stays
                                   0,    0,  0, 0};

static uint32_t packet4(struct fixture *f, uint8_t *p, bool with_options)
{
    uint32_t header = 20 + (with_options ? sizeof(options4) : 0), n = header + payload(f, p + header);

    rnd_fill(&f->seed, p, 20);
    memcpy(p + 20, options4, header - 20);
    p[0] = (uint8_t)(0x40 | header / 4);
    put_be16(p + 2, (uint16_t)n);
    put_be16(p + 6, rnd(&f->seed) & 1 ? 0x4000 : 0);
    p[9] = 253;
    memcpy(p + 12, a4, 4);
    memcpy(p + 16, b4, 4);
    ip_checksum(p);
    return n;
}

static const uint8_t hop_by_hop[16] = {60, 1, 5, 2, 0, 0, 0x3e, 6, 1, 2, 3, 4, 5, 6, 0, 0}, // 3e: may change
    dest_options[16] = {43, 1, 0x1e, 4, 9, 9, 9, 9, 0x3e, 6, 7, 7, 7, 7, 7, 7},
                     routing[24] = {253, 2, 2, 0, 0, 0, 0, 0, 0x20, 1, 0x0d, 0xb8, [23] = 9};

static uint32_t packet6(struct fixture *f, uint8_t *p,
                        unsigned kind) // kind: 0 plain, 1 hop-by-hop, 2 with routing
{
    uint32_t at = 40, n;

    rnd_fill(&f->seed, p, 40);
    p[0] = (uint8_t)(0x60 | (p[0] & 15));
    p[6] = kind ? 0 : 253;
    memcpy(p + 8, a6, 16);
    memcpy(p + 24, b6, 16);
    if (kind) {
        memcpy(p + at, hop_by_hop, 16);
        p[at] = kind == 2 ? 60 : 253;
        at += 16;
    }
    if (kind == 2) {
        memcpy(p + at, dest_options, 16);
        memcpy(p + at + 16, routing, 24);
        at += 40;
    }
    n = at + payload(f, p + at);
    put_be16(p + 4, (uint16_t)(n - 40));
    return n;
}

// ---- random packets against scapy

struct sample {
    struct esp_sa_params p;
    uint8_t in[512];
    uint32_t len;
    bool seal; // scapy can seal such
};
enum { SAMPLES = 160 };
static struct sample samples[SAMPLES];

static void draw(struct fixture *f, struct sample *s, uint32_t n)
{
    enum esp_mode mode = n & 1 ? ESP_TUNNEL : ESP_TRANSPORT;
    bool v6 = n & 2, inside6 = mode == ESP_TUNNEL ? n & 4 : v6;
    unsigned kind = mode == ESP_TRANSPORT ? n / 8 % 3 : 0;

    s->p = params(ESP_OUT, all[n % 11 % HMACS], mode, v6, 1000 + n);
    rnd_fill(&f->seed, s->p.integ_key, ESP_MAX_INTEG_KEY);
    s->p.esn = rnd(&f->seed) & 1;
    s->p.seq = 1 + (rnd(&f->seed) >> (s->p.esn ? 20 : 40));
    s->len = inside6 ? packet6(f, s->in, kind) : packet4(f, s->in, kind > 0);
    s->seal = kind != 2 || !inside6;
}

static void ask(FILE *q, const char *op, const struct sample *s, const uint8_t *packet, uint32_t len)
{
    fprintf(q, "%s %s %d %s ", op, s->p.mode == ESP_TUNNEL ? "tunnel" : "transport", s->p.ipv6 ? 6 : 4,
            esp_integ_name(s->p.integ));
    for (unsigned i = 0; i < integ_sizes(s->p.integ).key; i++)
        fprintf(q, "%02x", s->p.integ_key[i]);
    fprintf(q, " %d %llu %u ", s->p.esn, (unsigned long long)s->p.seq, s->p.spi);
    for (uint32_t i = 0; i < len; i++)
        fprintf(q, "%02x", packet[i]);
    fputc('\n', q);
}

static uint32_t reply(FILE *f, uint8_t *to, const struct sample *s)
{
    static char line[2 * BUF + 2];
    uint32_t n = 0;

    assert_non_null(fgets(line, sizeof(line), f));
    if (!strncmp(line, "fault", 5))
        fail_msg("the oracle, sample %d (%s): %s", (int)(s - samples), esp_integ_name(s->p.integ), line);
    for (unsigned v; sscanf(line + 2 * n, "%2x", &v) == 1; n++)
        to[n] = (uint8_t)v;
    return n;
}

static void check_sample(struct fixture *f, const struct sample *s, FILE *answers)
{
    struct esp_sa_params in = s->p;
    uint8_t opened[BUF];
    struct esp_sa *sa;

    assert_int_equal(reply(answers, opened, s), s->len); // what scapy got out of our packet
    assert_memory_equal(opened, s->in, s->len);
    if (!s->seal)
        return;
    in.dir = ESP_IN;
    in.seq--;
    in.window = 64;
    sa = must_add(f->e, &in);
    if (rig_decap(f, reply(answers, f->mid, s)) || f->job.out_len != s->len || memcmp(f->out, s->in, s->len))
        fail_msg("sample %d: what scapy sealed gives %s", (int)(s - samples), esp_status_name(f->job.status));
    must_delete(f->e, sa);
}

static void test_random_packets_agree_with_scapy(void **state)
{
    char in[] = "/tmp/ah_ask.XXXXXX", out[] = "/tmp/ah_reply.XXXXXX", command[400];
    struct fixture *f = *state;
    FILE *questions = fdopen(mkstemp(in), "w"), *answers = fdopen(mkstemp(out), "r");

    assert_true(questions && answers);
    for (uint32_t n = 0; n < SAMPLES; n++) {
        struct sample *s = &samples[n];
        struct esp_sa *sa;
        draw(f, s, n);
        sa = must_add(f->e, &s->p);
        memcpy(f->in, s->in, s->len);
        if (rig_encap(f, sa, s->len))
            fail_msg("sample %u: %s", n, esp_status_name(f->job.status));
        ask(questions, "open", s, f->mid, f->job.out_len);
        if (s->seal)
            ask(questions, "seal", s, s->in, s->len);
        must_delete(f->e, sa);
    }
    assert_int_equal(fclose(questions), 0);
    snprintf(command, sizeof(command), "${PYTHON:-/usr/bin/python3} tests/unit/ah_oracle.py <%s >%s", in,
             out);
    if (system(command))
        fail_msg("tests/unit/ah_oracle.py (run in the root of the source tree) ended badly");
    for (uint32_t i = 0; i < SAMPLES; i++)
        check_sample(f, &samples[i], answers);
    fclose(answers);
    unlink(in);
    unlink(out);
}

// ---- what may change on the way

// Octets of a header that the network may change, RFC 4302 appendix A.
static bool mutable4(uint32_t at)
{
    return at == 1 || at == 6 || at == 7 || at == 8 || at == 10 || at == 11 || at == 24 ||
           (at > 25 && at < 31) || at == 32 || (at > 33 && at < 40); // of options all but their length
}

static bool mutable6(uint32_t at) // with hop-by-hop and destination options and a routing header
{
    return at == 1 || at == 2 || at == 3 || at == 7 || (at >= 48 && at < 54) || (at >= 66 && at < 72);
}

// Each octet of a transport mode packet changed alone. IPv4's checksum is mended; what makes the header
// senseless may be refused earlier, but nothing may pass that must not.
static void change_each_octet(struct fixture *f, bool v6)
{
    struct esp_sa_params out = params(ESP_OUT, ESP_INTEG_HMAC_SHA256_128, ESP_TRANSPORT, v6, 7), in = out;
    uint32_t len = v6 ? packet6(f, f->in, 2) : packet4(f, f->in, true), outer;
    struct esp_sa *tx = must_add(f->e, &out);
    uint8_t good[BUF];

    in.dir = ESP_IN;
    in.seq = 0;
    in.window = 64;
    assert_int_equal(rig_encap(f, tx, len), ESP_STATUS_OK);
    outer = f->job.out_len;
    memcpy(good, f->mid, outer);
    for (uint32_t at = 0; at < outer; at++) {
        struct esp_sa *rx = must_add(f->e, &in);
        bool may = v6 ? mutable6(at) : mutable4(at);
        memcpy(f->mid, good, outer);
        f->mid[at] ^= !v6 && at == 6 ? 0x40 : 0x10; // of the fragment fields DF: others make it a fragment
        if (!v6 && at == 7)
            f->mid[at] = good[at];
        if (!v6 && at != 10 && at != 11)
            ip_checksum(f->mid);
        if (!v6 && (at == 10 || at == 11)) // a wrong checksum is no AH matter
            memcpy(f->mid, good, outer);
        enum esp_status st = rig_decap(f, outer);
        if ((st == ESP_STATUS_OK) != may)
            fail_msg("IPv%d, octet %u changed: %s", v6 ? 6 : 4, at, esp_status_name(st));
        must_delete(f->e, rx);
    }
    must_delete(f->e, tx);
}

static void test_what_the_network_may_change_passes_and_nothing_else(void **state)
{
    change_each_octet(*state, false);
    change_each_octet(*state, true);
}

static void test_every_algorithm_mode_and_family_goes_through_and_forged_ones_do_not(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < ALL * 4; i++) {
        enum esp_mode mode = i & 1 ? ESP_TUNNEL : ESP_TRANSPORT;
        struct esp_sa_params out = params(ESP_OUT, all[i / 4], mode, i & 2, 8), in = out;
        uint32_t len = i & 2 ? packet6(f, f->in, 1) : packet4(f, f->in, true), outer,
                 icv = integ_sizes(out.integ).icv;
        uint32_t front = mode == ESP_TUNNEL ? (i & 2 ? 40 : 20)
                         : i & 2            ? 56
                                            : 20 + (uint32_t)sizeof(options4);
        struct esp_sa *tx, *rx;

        in.dir = ESP_IN;
        in.esn = out.esn = i & 4;
        out.seq = out.esn ? 0x300000005 : 5;
        in.seq = out.seq - 1;
        in.window = 64;
        tx = must_add(f->e, &out);
        rx = must_add(f->e, &in);
        assert_int_equal(rig_encap(f, tx, len), ESP_STATUS_OK);
        outer = f->job.out_len;
        uint32_t octets = (f->mid[front + 1] + 2u) * 4;
        assert_int_equal(outer, len + octets + (mode == ESP_TUNNEL ? front : 0));
        assert_int_equal(octets % (i & 2 ? 8 : 4), 0);
        assert_true(octets >= 12 + icv && octets < 12 + icv + 8 + 8);
        f->mid[front + octets - 1 - (octets > 12 + icv + integ_sizes(out.integ).iv ? 4 : 0)] ^=
            1; // the ICV's end
        assert_int_equal(rig_decap(f, outer), ESP_STATUS_ICV_FAIL);
        assert_int_equal(f->job.out_len, 0);
        assert_int_equal(rig_encap(f, tx, len), ESP_STATUS_OK);
        assert_int_equal(rig_decap(f, outer), ESP_STATUS_OK);
        assert_int_equal(f->job.out_len, len);
        assert_memory_equal(f->out, f->in, len);
        assert_int_equal(rig_decap(f, outer), ESP_STATUS_REPLAY_SEEN);
        must_delete(f->e, tx);
        must_delete(f->e, rx);
    }
}

// RFC 4543 section 4 by OpenSSL's GCM as it is: nonce salt and IV, all that is authenticated as AAD.
static void test_gmac_icv_is_that_of_the_rfc(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params p = params(ESP_OUT, ESP_INTEG_AES128_GMAC, ESP_TUNNEL, false, 9);
    uint32_t len = packet4(f, f->in, false), n;
    uint8_t nonce[12], zeroed[BUF], tag[16];
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    struct esp_sa *tx;
    int k;

    p.no_dscp_copy = p.no_ecn = true;
    tx = must_add(f->e, &p);
    assert_int_equal(rig_encap(f, tx, len), ESP_STATUS_OK);
    n = f->job.out_len;
    memcpy(zeroed, f->mid, n);
    zeroed[1] = zeroed[6] = zeroed[7] = zeroed[8] = zeroed[10] = zeroed[11] = 0;
    memset(zeroed + 32, 0, 24); // IV and ICV
    memcpy(nonce, p.integ_key + 16, 4);
    memcpy(nonce + 4, f->mid + 32, 8);
    assert_int_equal(EVP_EncryptInit_ex(c, EVP_aes_128_gcm(), NULL, p.integ_key, nonce), 1);
    assert_int_equal(EVP_EncryptUpdate(c, NULL, &k, zeroed, (int)n), 1);
    assert_int_equal(EVP_EncryptFinal_ex(c, zeroed, &k), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, tag), 1);
    assert_memory_equal(f->mid + 40, tag, 16);
    EVP_CIPHER_CTX_free(c);
}

// ---- what is no AH packet of the SA

static void test_packets_that_lie_are_refused(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params out = params(ESP_OUT, ESP_INTEG_HMAC_SHA256_128, ESP_TUNNEL, false, 10), in = out,
                         esp = make_params(ESP_IN, ESP_ALG_AES128_GCM16, 11);
    struct esp_sa *tx = must_add(f->e, &out);
    uint8_t good[BUF];
    uint32_t len;

    in.dir = ESP_IN;
    in.seq = 0;
    in.window = 64;
    must_add(f->e, &in);
    memcpy(esp.dst, b4, 4);
    must_add(f->e, &esp);
    len = packet4(f, f->in, false);
    assert_int_equal(rig_encap(f, tx, len), ESP_STATUS_OK);
    len = f->job.out_len;
    memcpy(good, f->mid, len);
#define TRY(change, length, verdict)                                                                         \
    do {                                                                                                     \
        memcpy(f->mid, good, len);                                                                           \
        change;                                                                                              \
        ip_checksum(f->mid);                                                                                 \
        assert_int_equal(rig_decap(f, length), verdict);                                                     \
    } while (0)
    TRY(f->mid[21] += 2, len, ESP_STATUS_TRUNCATED);  // another length than this SA's
    TRY(f->mid[21] = 255, len, ESP_STATUS_TRUNCATED); // longer than the packet
    TRY(f->mid[21] = 0, len, ESP_STATUS_TRUNCATED);   // shorter than what every AH has
    TRY(put_be16(f->mid + 2, 28), 28, ESP_STATUS_TRUNCATED);
    TRY(f->mid[27] ^= 1, len, ESP_STATUS_SA_MISMATCH); // AH with the SPI of an ESP SA
    TRY(f->mid[26] ^= 1, len, ESP_STATUS_NO_SA);
    TRY((put_be32(f->mid + 20, 10), f->mid[9] = 50), len, ESP_STATUS_SA_MISMATCH); // and the other way round
    TRY(f->mid[6] = 0x20, len, ESP_STATUS_FRAGMENT);
    TRY((void)0, len, ESP_STATUS_OK);
#undef TRY
}

static void test_source_routed_packets_under_way_are_refused(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params out = params(ESP_OUT, ESP_INTEG_HMAC_SHA256_128, ESP_TRANSPORT, true, 12);
    struct esp_sa *tx = must_add(f->e, &out);
    uint32_t len = packet6(f, f->in, 2);

    f->in[40 + 16 + 16 + 3] = 1; // a segment is left
    assert_int_equal(rig_encap(f, tx, len), ESP_STATUS_BAD_IP);
    assert_int_equal(f->job.out_len, 0);
    len = packet6(f, f->in, 1);
    f->in[40 + 7] = 200; // an option beyond its header
    assert_int_equal(rig_encap(f, tx, len), ESP_STATUS_BAD_IP);
}

static void test_hard_limit_of_ah_counts_the_packets_octets(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params out = params(ESP_OUT, ESP_INTEG_HMAC_SHA256_128, ESP_TUNNEL, false, 13), in = out;
    uint32_t len = packet4(f, f->in, false);
    struct esp_sa *tx = must_add(f->e, &out);

    in.dir = ESP_IN;
    in.seq = 0;
    in.window = 64;
    in.hard_bytes = len;
    must_add(f->e, &in);
    assert_int_equal(rig_encap(f, tx, len), ESP_STATUS_OK);
    assert_int_equal(rig_decap(f, f->job.out_len), ESP_STATUS_OK);
    assert_int_equal(rig_encap(f, tx, len), ESP_STATUS_OK);
    assert_int_equal(rig_decap(f, f->job.out_len), ESP_STATUS_HARD_LIMIT);
}

static void test_parameters_without_sense_are_refused_by_name(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params p;
    struct esp_error err;
    struct esp_endpoint nat;
    struct esp_sa *sa;

#define REFUSED(change, name, words)                                                                         \
    do {                                                                                                     \
        p = params(ESP_OUT, ESP_INTEG_HMAC_SHA256_128, ESP_TUNNEL, false, 14);                               \
        change;                                                                                              \
        assert_int_equal(f->e->ops->capable(f->e, &p, &err), -EOPNOTSUPP);                                   \
        assert_string_equal(err.field, name);                                                                \
        assert_non_null(strstr(err.text, words));                                                            \
    } while (0)
    REFUSED(p.integ = ESP_INTEG_NONE, "integ", "AH needs an integrity algorithm");
    REFUSED(p.alg = ESP_ALG_NULL, "alg", "AH encrypts nothing");
    REFUSED(p.udp_encap = true, "udp_encap", "AH has no UDP encapsulation");
#undef REFUSED
    p = params(ESP_OUT, ESP_INTEG_HMAC_SHA256_128, ESP_TUNNEL, false, 14);
    sa = must_add(f->e, &p);
    nat = (struct esp_endpoint){.udp_encap = true, .sport = 4500, .dport = 4500};
    assert_int_equal(f->e->ops->sa_endpoint(f->e, sa, &nat, &err), -EINVAL);
    assert_string_equal(err.field, "udp_encap");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)
    const struct CMUnitTest tests[] = {
        T(test_random_packets_agree_with_scapy),
        T(test_what_the_network_may_change_passes_and_nothing_else),
        T(test_every_algorithm_mode_and_family_goes_through_and_forged_ones_do_not),
        T(test_gmac_icv_is_that_of_the_rfc),
        T(test_packets_that_lie_are_refused),
        T(test_source_routed_packets_under_way_are_refused),
        T(test_hard_limit_of_ah_counts_the_packets_octets),
        T(test_parameters_without_sense_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
