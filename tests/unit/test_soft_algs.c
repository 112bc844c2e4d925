// SPDX-License-Identifier: Apache-2.0
// Every ESP algorithm of the software engine: packets and ciphertexts that RFC 3602, RFC 3686 and
// draft-mcgrew-gcm-test-01 publish, random packets sealed and opened by scapy and the cryptography package
// (esp_oracle.py), every octet of a packet forged, ESN's high half, and IVs of CBC.
#include "tests/unit/soft_rig.h"

#include <errno.h>
#include <openssl/hmac.h>
#include <stdio.h>

#include "driver/soft/crypt.h"

static uint32_t unhex(uint8_t *to, const char *hex)
{
    uint32_t n = 0;

    for (unsigned v; sscanf(hex + 2 * n, "%2x", &v) == 1; n++)
        to[n] = (uint8_t)v;
    return n;
}

static bool needs_integ(int alg)
{
    return !alg_sizes((enum esp_alg)alg).icv;
}

static const enum esp_integ hmacs[] = {ESP_INTEG_HMAC_SHA256_128, ESP_INTEG_HMAC_SHA384_192,
                                       ESP_INTEG_HMAC_SHA512_256, ESP_INTEG_HMAC_SHA1_96};

// ---- published values

// RFC 3602 section 4, cases 5 to 8: ESP packets without integrity, and what is in them.
static const struct {
    const char *key, *esp, *inside;
    uint32_t pad;
} rfc3602[] = {
    {"90d382b410eeba7ad938c46cec1a82bf",
     "0000432100000001e96e8c08ab465763fd098d45dd3ff893f663c25d325c18c6a9453e194e120849a4870b66cc6b9965330013b"
     "4898dc856"
     "a4699e523a55db080b59ec3a8e4b7e52775b07d1db34ed9c538ab50c551b874aa269add047ad2d5913ac19b7cfbad4a6",
     "08000ebda70a00008e9c083db95b070008090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2"
     "b2c2d2e2f"
     "3031323334353637",
     14},
    {"90d382b410eeba7ad938c46cec1a82bf",
     "000043210000000869d08df7d203329db093fc4924e5bd80f51995881ec4e0c4488987ce742e8109689bb379d2d750c0d915dca"
     "346a89f75",
     "0800b5e8a80a0500a69c083d0b660e00777777777777777777777777", 2},
    {"0123456789abcdef0123456789abcdef",
     "0000876500000002f4e765244f6407adf13dc1380f673f37773b5241a4c449225e4f3ce5ed611b0c237ca96cf74a93013c1b0ea"
     "1a0cf70f8"
     "e4ecaec78ac53aad7a0f022b859243c647752e94a859352b8a4d4d2decd136e5c177f132ad3fbfb2201ac9904c74ee0a109e0ca"
     "1e4dfe9d5"
     "a100b842f1c22f0d",
     "45000054090400004001f988c0a87b03c0a87bc808009f76a90a0100b49c083d02a2040008090a0b0c0d0e0f101112131415161"
     "718191a1b"
     "1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637",
     10},
    {"0123456789abcdef0123456789abcdef",
     "000087650000000585d47224b5f3dd5d2101d4ea8dffab2215b92683819596a8047232cc00f7048fe45318e11f8a0f62ede3c3f"
     "c61203bb5"
     "0f980a08c9843fd3a1b06d5c07ff9639b7eb7dfb3512e5de435e7207ed971ef3d2726d9b5ef6affc6d17a0decbb13892",
     "45000044090c00004001f990c0a87b03c0a87bc80800d63caa0a0200c69c083da3de0300fffffffffffffffffffffffffffffff"
     "fffffffff"
     "ffffffffffffffffffffffff",
     10},
};

static void test_cbc_packets_of_rfc3602_open(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct esp_sa_params p = make_params(ESP_IN, ESP_ALG_AES128_CBC, 7);
        uint8_t esp[BUF], plain[BUF], inside[BUF], whole[32];
        uint32_t len = unhex(esp, rfc3602[i].esp), text = len - 24, n = unhex(inside, rfc3602[i].inside);
        struct crypt c;

        unhex(p.key, rfc3602[i].key);
        assert_int_equal(crypt_init(&c, &p, NULL, NULL), 0);
        HMAC(EVP_sha256(), p.integ_key, 32, esp, len, whole, NULL); // the RFC's packets have no ICV
        memcpy(esp + len, whole, 16);
        assert_int_equal(crypt_open(&c, esp, text, 1, plain), 0);
        assert_memory_equal(plain, inside, n);
        for (uint32_t k = 0; k < rfc3602[i].pad; k++)
            assert_int_equal(plain[n + k], k + 1);
        assert_int_equal(plain[text - 2], rfc3602[i].pad);
        assert_int_equal(plain[text - 1], inside[0] == 0x45 ? 4 : 1);
        crypt_free(&c);
    }
}

// RFC 3686 section 6, all nine: key, nonce, IV, plaintext, ciphertext.
static const struct {
    enum esp_alg alg;
    const char *key, *nonce;
    uint64_t iv;
    const char *plain, *text;
} rfc3686[] = {
#define BYTES(n)                                                                                             \
    (n == 36 ? "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223"                    \
             : "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
#define MESSAGE "53696e676c6520626c6f636b206d7367"
    {ESP_ALG_AES128_CTR, "ae6852f8121067cc4bf7a5765577f39e", "00000030", 0, MESSAGE,
     "e4095d4fb7a7b3792d6175a3261311b8"},
    {ESP_ALG_AES128_CTR, "7e24067817fae0d743d6ce1f32539163", "006cb6db", 0xc0543b59da48d90b, BYTES(32),
     "5104a106168a72d9790d41ee8edad388eb2e1efc46da57c8fce630df9141be28"},
    {ESP_ALG_AES128_CTR, "7691be035e5020a8ac6e618529f9a0dc", "00e0017b", 0x27777f3f4a1786f0, BYTES(36),
     "c1cf48a89f2ffdd9cf4652e9efdb72d74540a42bde6d7836d59a5ceaaef3105325b2072f"},
    {ESP_ALG_AES192_CTR, "16af5b145fc9f579c175f93e3bfb0eed863d06ccfdb78515", "00000048", 0x36733c147d6d93cb,
     MESSAGE, "4b55384fe259c9c84e7935a003cbe928"},
    {ESP_ALG_AES192_CTR, "7c5cb2401b3dc33c19e7340819e0f69c678c3db8e6f6a91a", "0096b03b", 0x020c6eadc2cb500d,
     BYTES(32), "453243fc609b23327edfaafa7131cd9f8490701c5ad4a79cfc1fe0ff42f4fb00"},
    {ESP_ALG_AES192_CTR, "02bf391ee8ecb159b959617b0965279bf59b60a786d3e0fe", "0007bdfd", 0x5cbd60278dcc0912,
     BYTES(36), "96893fc55e5c722f540b7dd1ddf7e758d288bc95c69165884536c811662f2188abee0935"},
    {ESP_ALG_AES256_CTR, "776beff2851db06f4c8a0542c8696f6c6a81af1eec96b4d37fc1d689e6c1c104", "00000060",
     0xdb5672c97aa8f0b2, MESSAGE, "145ad01dbf824ec7560863dc71e3e0c0"},
    {ESP_ALG_AES256_CTR, "f6d66d6bd52d59bb0796365879eff886c66dd51a5b6a99744b50590c87a23884", "00faac24",
     0xc1585ef15a43d875, BYTES(32), "f05e231b3894612c49ee000b804eb2a9b8306b508f839d6a5530831d9344af1c"},
    {ESP_ALG_AES256_CTR, "ff7a617ce69148e4f1726e2f43581de2aa62d9f805532edff1eed687fb54153d", "001cc5b7",
     0x51a51d70a1c11148, BYTES(36),
     "eb6c52821d0bbbf7ce7594462aca4faab407df866569fd07f48cc0b583d6071f1ec0e6b8"},
};

static void test_ctr_of_rfc3686_seals_and_opens(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof(rfc3686) / sizeof(rfc3686[0]); i++) {
        struct esp_sa_params out = make_params(ESP_OUT, rfc3686[i].alg, 7), in;
        uint8_t plain[64], want[64], esp[128] = {0}, back[64];
        uint32_t n = unhex(plain, rfc3686[i].plain);
        struct crypt tx, rx;

        unhex(out.key, rfc3686[i].key);
        unhex(out.salt, rfc3686[i].nonce);
        in = out;
        in.dir = ESP_IN;
        assert_int_equal(unhex(want, rfc3686[i].text), n);
        assert_int_equal(crypt_init(&tx, &out, NULL, NULL), 0);
        assert_int_equal(crypt_init(&rx, &in, NULL, NULL), 0);
        assert_int_equal(
            crypt_seal(&tx, &(struct crypt_seal){esp, rfc3686[i].iv, plain, plain + n - 4, n - 4, 4}), 0);
        assert_memory_equal(esp + 16, want, n);
        assert_int_equal(crypt_open(&rx, esp, n, 0, back), 0);
        assert_memory_equal(back, plain, n);
        crypt_free(&tx);
        crypt_free(&rx);
    }
}

// draft-mcgrew-gcm-test-01: an ICMP packet under ENCR_NULL_AUTH_AES_GMAC, SPI 4321, sequence number 7, IV 0.
static void test_gmac_packet_of_draft_mcgrew_opens(void **state)
{
    struct esp_sa_params p = make_params(ESP_IN, ESP_ALG_AES128_GMAC, 0x4321);
    uint8_t esp[128], plain[64];
    struct crypt c;

    (void)state;
    unhex(p.key, "4c80cdefbb5d10da906ac73c3613a634");
    unhex(p.salt, "22433c64");
    assert_int_equal(unhex(esp, "00004321000000070000000000000000"
                                "45000030da3a00008001df3bc0a80005c0a800010800c6cd02000700"
                                "6162636465666768696a6b6c6d6e6f707172737401020201"
                                "f2a9a836e155106aa8dcd618e4099aaa"),
                     84);
    assert_int_equal(crypt_init(&c, &p, NULL, NULL), 0);
    assert_int_equal(crypt_open(&c, esp, 52, 7, plain), 0);
    assert_memory_equal(plain, esp + 16, 52);
    esp[12] ^= 1; // the IV is authenticated too
    assert_int_equal(crypt_open(&c, esp, 52, 7, plain), -EBADMSG);
    crypt_free(&c);
}

// ---- random packets against scapy

struct sample {
    struct esp_sa_params p; // outbound
    uint8_t inner[BUF], outer[BUF];
    uint32_t inner_len, padded; // padded: with TFC padding, zeros
    uint16_t tfc_max;
};
enum { ROUNDS = 6, SAMPLES = ESP_ALG_COUNT * ROUNDS };
static struct sample samples[SAMPLES];

static void hex(FILE *f, const uint8_t *p, size_t n)
{
    fputc(' ', f);
    if (!n)
        fputc('-', f);
    for (size_t i = 0; i < n; i++)
        fprintf(f, "%02x", p[i]);
}

static const char *kind_of(enum esp_alg alg)
{
    const char *name = esp_alg_name(alg);

    return alg == ESP_ALG_NULL                ? "null"
           : alg == ESP_ALG_CHACHA20_POLY1305 ? "chacha"
           : strstr(name, "gcm")              ? "gcm"
           : strstr(name, "ccm")              ? "ccm"
           : strstr(name, "gmac")             ? "gmac"
           : strstr(name, "ctr")              ? "ctr"
                                              : "cbc";
}

static void ask(FILE *f, const char *op, const struct sample *s, const uint8_t *packet, uint32_t len)
{
    const struct esp_sa_params *p = &s->p;
    struct alg_sizes z = alg_sizes(p->alg);

    fprintf(f, "%s %s %u", op, kind_of(p->alg), z.icv);
    hex(f, p->key, z.key);
    hex(f, p->salt, z.salt);
    fprintf(f, " %s", p->integ ? esp_integ_name(p->integ) : "none");
    hex(f, p->integ_key, integ_sizes(p->integ).key);
    fprintf(f, " %d %llu %u", p->esn, (unsigned long long)p->seq, p->spi);
    hex(f, packet, len);
    fputc('\n', f);
}

// None in half of them, of the others every other one bounded.
static void draw_tfc(struct fixture *f, struct sample *s)
{
    uint64_t r = rnd(&f->seed) >> 16;

    s->p.tfc = (uint16_t)(r & 1 ? 1 + (r >> 8) % 600 : 0);
    s->tfc_max = (uint16_t)(r & 2 ? 1 + (r >> 24) % 600 : 0);
    s->padded = s->tfc_max && s->tfc_max < s->p.tfc ? s->tfc_max : s->p.tfc;
    if (s->padded < s->inner_len)
        s->padded = s->inner_len;
    memset(s->inner + s->inner_len, 0, s->padded - s->inner_len);
}

// Random in all that an SA of this algorithm can differ in.
static void draw(struct fixture *f, struct sample *s, enum esp_alg alg, uint32_t n)
{
    struct esp_sa_params *p = &s->p;

    *p = make_params(ESP_OUT, alg, 0x10000 + n);
    rnd_fill(&f->seed, p->key, sizeof(p->key));
    rnd_fill(&f->seed, p->salt, sizeof(p->salt));
    if (needs_integ(alg))
        p->integ = hmacs[n % 4];
    rnd_fill(&f->seed, p->integ_key, sizeof(p->integ_key));
    memcpy(p->dst, "\xc6\x33\x64\x02", 4);
    p->inner = ESP_FAMILY_IPV4 | ESP_FAMILY_IPV6;
    p->esn = rnd(&f->seed) & 1;
    p->seq = 1 + (rnd(&f->seed) >> (p->esn ? 20 : 40));
    s->inner_len = 28 + (uint32_t)(rnd(&f->seed) % 200);
    make_inner(s->inner, s->inner_len, 0, 1, &f->seed);
    if (rnd(&f->seed) & 1) { // as IPv6
        s->inner_len += 40;
        rnd_fill(&f->seed, s->inner, s->inner_len);
        put_be32(s->inner, 0x60000000);
        put_be16(s->inner + 4, (uint16_t)(s->inner_len - 40));
        s->inner[6] = 59; // nothing that scapy would look at
    }
    draw_tfc(f, s);
}

static void run_oracle(const char *in, const char *out)
{
    char command[400];

    snprintf(command, sizeof(command), "${PYTHON:-/usr/bin/python3} tests/unit/esp_oracle.py <%s >%s", in,
             out);
    if (system(command))
        fail_msg("tests/unit/esp_oracle.py (run in the root of the source tree) ended badly");
}

static uint32_t reply(FILE *f, uint8_t *to)
{
    static char line[2 * BUF + 2];

    assert_non_null(fgets(line, sizeof(line), f));
    if (!strncmp(line, "fault", 5))
        fail_msg("the oracle: %s", line);
    return unhex(to, line);
}

static void check_sample(struct fixture *f, const struct sample *s, FILE *answers)
{
    struct esp_sa_params in = s->p;
    uint8_t inner[BUF];
    struct esp_sa *sa;

    assert_int_equal(reply(answers, inner), s->padded); // what scapy got out of our packet
    assert_memory_equal(inner, s->inner, s->padded);
    in.dir = ESP_IN;
    in.seq--;
    in.window = 64;
    sa = must_add(f->e, &in);
    if (rig_decap(f, reply(answers, f->mid)) || f->job.out_len != s->inner_len ||
        memcmp(f->out, s->inner, s->inner_len))
        fail_msg("%s with %s, esn %d, seq %llu: what scapy sealed gives %s", esp_alg_name(in.alg),
                 esp_integ_name(in.integ), in.esn, (unsigned long long)s->p.seq,
                 esp_status_name(f->job.status));
    must_delete(f->e, sa);
}

static void test_random_packets_of_every_algorithm_agree_with_scapy(void **state)
{
    char in[] = "/tmp/esp_ask.XXXXXX", out[] = "/tmp/esp_reply.XXXXXX";
    struct fixture *f = *state;
    FILE *questions = fdopen(mkstemp(in), "w"), *answers = fdopen(mkstemp(out), "r");
    uint32_t n = 0;

    assert_true(questions && answers);
    for (int alg = ESP_ALG_NONE + 1; alg < ESP_ALG_COUNT; alg++) {
        for (int r = 0; r < ROUNDS; r++, n++) {
            struct sample *s = &samples[n];
            struct esp_sa *sa;
            draw(f, s, (enum esp_alg)alg, n);
            sa = must_add(f->e, &s->p);
            memcpy(f->in, s->inner, s->inner_len);
            assert_int_equal(rig_encap_tfc(f, sa, s->inner_len, s->tfc_max), ESP_STATUS_OK);
            ask(questions, "open", s, f->mid, f->job.out_len);
            ask(questions, "seal", s, s->inner, s->padded);
            must_delete(f->e, sa);
        }
    }
    assert_int_equal(fclose(questions), 0);
    run_oracle(in, out);
    for (uint32_t i = 0; i < n; i++)
        check_sample(f, &samples[i], answers);
    fclose(answers);
    unlink(in);
    unlink(out);
    printf("%u packets of %d algorithms, each way\n", n, ESP_ALG_COUNT - 1);
}

// ---- ipsec-mb

// The same octets as OpenSSL's, whatever the length and the number, and each opens what the other has sealed.
static void agree(struct fixture *f, const struct esp_sa_params *p, struct mb *mb, uint32_t len)
{
    struct esp_sa_params in = *p;
    uint8_t payload[BUF], one[BUF] = {0}, two[BUF] = {0}, tail[4] = {1, 2, 2, 4}, plain[BUF];
    struct crypt c[2], d[2];
    uint64_t seq = rnd(&f->seed);

    in.dir = ESP_IN;
    rnd_fill(&f->seed, payload, len);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(crypt_init(&c[i], p, i ? mb : NULL, NULL), 0);
        assert_int_equal(crypt_init(&d[i], &in, i ? mb : NULL, NULL), 0);
        assert_int_equal(crypt_seal(&c[i], &(struct crypt_seal){i ? two : one, seq, payload, tail, len, 4}),
                         0);
    }
    assert_ptr_not_equal(c[0].ops, c[1].ops);
    assert_memory_equal(one, two, 16 + len + 4 + c[0].icv);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(crypt_open(&d[i], one, len + 4, seq, plain), 0);
        assert_memory_equal(plain, payload, len);
        one[16 + len + 3 + c[0].icv] ^= 0x80; // the ICV's last octet
        assert_int_equal(crypt_open(&d[i], one, len + 4, seq, plain), -EBADMSG);
        for (uint32_t k = 0; k < len + 4; k++)
            assert_int_equal(plain[k], 0);
        one[16 + len + 3 + c[0].icv] ^= 0x80;
        crypt_free(&c[i]);
        crypt_free(&d[i]);
    }
}

static void test_ipsec_mb_makes_the_same_octets_as_openssl(void **state)
{
    struct fixture *f = *state;
    struct mb *mb = mb_open();

    if (!mb) {
        printf("skip: no ipsec-mb here (version %s when this was built)\n", mb_version());
        skip();
    }
    for (int alg = ESP_ALG_NONE + 1; alg < ESP_ALG_COUNT; alg++) {
        for (uint32_t len = 0; strstr(esp_alg_name((enum esp_alg)alg), "gcm") && len < 1500;
             len += len < 80 ? 1 : 37) {
            struct esp_sa_params p = make_params(ESP_OUT, (enum esp_alg)alg, 50 + len);
            p.esn = len & 1;
            rnd_fill(&f->seed, p.key, sizeof(p.key));
            agree(f, &p, mb, len);
        }
    }
    mb_close(mb);
}

// ---- what must not pass

static void test_every_octet_of_every_algorithm_is_authenticated(void **state)
{
    struct fixture *f = *state;

    for (int alg = ESP_ALG_NONE + 1; alg < ESP_ALG_COUNT; alg++) {
        struct esp_sa_params out = make_params(ESP_OUT, (enum esp_alg)alg, 40), in;
        uint8_t good[BUF];
        struct esp_sa *tx, *rx;
        uint32_t len;

        out.integ = needs_integ(alg) ? hmacs[alg % 4] : ESP_INTEG_NONE;
        in = out;
        in.dir = ESP_IN;
        in.seq = 0;
        in.window = 64;
        tx = must_add(f->e, &out);
        rx = must_add(f->e, &in);
        make_inner(f->in, 61, 0, 1, &f->seed);
        assert_int_equal(rig_encap(f, tx, 61), ESP_STATUS_OK);
        len = f->job.out_len;
        memcpy(good, f->mid, len);
        for (uint32_t at = 24; at < len; at++) { // sequence number, IV, ciphertext, ICV
            memcpy(f->mid, good, len);
            f->mid[at] ^= (uint8_t)(1u << at % 8);
            memset(f->out, 0, BUF);
            if (rig_decap(f, len) != ESP_STATUS_ICV_FAIL)
                fail_msg("%s: octet %u changed: %s", esp_alg_name(out.alg), at,
                         esp_status_name(f->job.status));
            assert_int_equal(f->job.out_len, 0);
            for (uint32_t i = 0; i < 61; i++) // and nothing of it is to be seen
                assert_int_equal(f->out[i], 0);
        }
        memcpy(f->mid, good, len);
        assert_int_equal(rig_decap(f, len), ESP_STATUS_OK);
        must_delete(f->e, tx);
        must_delete(f->e, rx);
    }
}

// The high half is nowhere in the packet: who believes in another one must find the ICV wrong.
static void test_esn_high_half_is_authenticated_by_every_algorithm(void **state)
{
    struct fixture *f = *state;

    for (int alg = ESP_ALG_NONE + 1; alg < ESP_ALG_COUNT; alg++) {
        struct esp_sa_params out = make_params(ESP_OUT, (enum esp_alg)alg, 41),
                             in = make_params(ESP_IN, (enum esp_alg)alg, 41);
        struct esp_sa *tx, *rx;

        out.esn = in.esn = true;
        out.seq = 0x500000010;
        in.seq = 0x400000001;
        tx = must_add(f->e, &out);
        rx = must_add(f->e, &in);
        make_inner(f->in, 64, 0, 1, &f->seed);
        assert_int_equal(rig_encap(f, tx, 64), ESP_STATUS_OK);
        assert_int_equal(rig_decap(f, f->job.out_len), ESP_STATUS_ICV_FAIL);
        must_delete(f->e, rx);
        in.seq = 0x500000001;
        rx = must_add(f->e, &in);
        assert_int_equal(rig_encap(f, tx, 64), ESP_STATUS_OK);
        assert_int_equal(rig_decap(f, f->job.out_len), ESP_STATUS_OK);
        assert_true(f->job.seq == 0x500000011);
        must_delete(f->e, tx);
        must_delete(f->e, rx);
    }
}

// RFC 3602 section 3: no counter, not the last block of the packet before, and no SA's are another's.
static void test_ivs_of_cbc_are_not_to_be_foretold(void **state)
{
    enum { N = 200 };
    static uint8_t iv[2 * N][16];
    struct fixture *f = *state;
    unsigned ones = 0;

    for (int sa = 0; sa < 2; sa++) {
        struct esp_sa_params p = make_params(ESP_OUT, ESP_ALG_AES128_CBC, 42);
        struct esp_sa *tx = must_add(f->e, &p); // the same key twice
        uint8_t last[16] = {0};
        for (int i = 0; i < N; i++) {
            make_inner(f->in, 64, 0, 1, &f->seed);
            assert_int_equal(rig_encap(f, tx, 64), ESP_STATUS_OK);
            memcpy(iv[sa * N + i], f->mid + 28, 16);
            assert_memory_not_equal(f->mid + 28, last, 16);
            memcpy(last, f->mid + f->job.out_len - 32, 16);
        }
        must_delete(f->e, tx);
    }
    for (int i = 0; i < 2 * N; i++) {
        for (int k = 0; k < i; k++)
            assert_memory_not_equal(iv[i], iv[k], 16);
        for (int b = 0; b < 16; b++)
            ones += (unsigned)__builtin_popcount(iv[i][b]);
    }
    assert_in_range(ones, 2 * N * 64 - 1000, 2 * N * 64 + 1000); // 25600 bits expected, 9 standard deviations
}

static void test_combinations_that_protect_nothing_are_refused_by_name(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params p;
    struct esp_error err;

#define REFUSED(algorithm, integrity, name, words)                                                           \
    do {                                                                                                     \
        p = make_params(ESP_OUT, algorithm, 43);                                                             \
        p.integ = integrity;                                                                                 \
        assert_int_equal(f->e->ops->capable(f->e, &p, &err), -EOPNOTSUPP);                                   \
        assert_string_equal(err.field, name);                                                                \
        assert_non_null(strstr(err.text, words));                                                            \
    } while (0)
    REFUSED(ESP_ALG_AES256_CBC, ESP_INTEG_NONE, "integ", "aes256 needs an integrity algorithm");
    REFUSED(ESP_ALG_NULL, ESP_INTEG_NONE, "integ", "null needs an integrity algorithm");
    REFUSED(ESP_ALG_AES128_GCM8, ESP_INTEG_HMAC_SHA256_128, "integ", "aes128gcm8 has an ICV of its own");
    REFUSED(ESP_ALG_NULL, ESP_INTEG_AES128_GMAC, "integ", "aes128gmac is for AH");
    REFUSED(ESP_ALG_NONE, ESP_INTEG_HMAC_SHA256_128, "alg", "unknown algorithm");
#undef REFUSED
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)
    const struct CMUnitTest tests[] = {
        T(test_cbc_packets_of_rfc3602_open),
        T(test_ctr_of_rfc3686_seals_and_opens),
        T(test_gmac_packet_of_draft_mcgrew_opens),
        T(test_random_packets_of_every_algorithm_agree_with_scapy),
        T(test_ipsec_mb_makes_the_same_octets_as_openssl),
        T(test_every_octet_of_every_algorithm_is_authenticated),
        T(test_esn_high_half_is_authenticated_by_every_algorithm),
        T(test_ivs_of_cbc_are_not_to_be_foretold),
        T(test_combinations_that_protect_nothing_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
