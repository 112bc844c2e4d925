// SPDX-License-Identifier: Apache-2.0
// See rx_bench.h. Packets are made by hand and OpenSSL (RFC 4303, RFC 4106, RFC 3948), not by any code of the
// project.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "tests/rtl/rx_bench.h"

uint32_t rx_rng(struct rx_bench *b)
{
    b->rng = b->rng * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(b->rng >> 33);
}

void rx_fill(struct rx_bench *b, void *p, size_t n)
{
    uint8_t *out = p;
    while (n-- > 0)
        *out++ = (uint8_t)rx_rng(b);
}

// ---- packets
// -------------------------------------------------------------------------------------------------------

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v);
}

void rx_ip_checksum(uint8_t *ip)
{
    uint32_t sum = 0;
    unsigned n = (ip[0] & 15u) * 4u;
    put16(ip + 10, 0);
    for (unsigned i = 0; i < n; i += 2)
        sum += (uint32_t)ip[i] << 8 | ip[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    put16(ip + 10, ~sum);
}

void rx_inner(struct rx_bench *b, uint8_t *inner, uint16_t len, uint8_t tos)
{
    rx_fill(b, inner, len);
    inner[0] = 0x45;
    inner[1] = tos;
    put16(inner + 2, len);
    rx_ip_checksum(inner);
}

static void seal(const struct rx_sa *sa, uint8_t *esp, size_t len, uint64_t seq)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    uint8_t nonce[12], aad[12];
    bool esn = sa->blob.flags & ESPC_SA_BLOB_FLAGS_ESN_MASK;
    int n;

    memcpy(nonce, sa->blob.salt, 4);
    memcpy(nonce + 4, esp + 8, 8);
    memcpy(aad, esp, 4);
    put32(aad + 4, (uint32_t)(seq >> 32));
    memcpy(aad + (esn ? 8 : 4), esp + 4, 4);
    assert_int_equal(EVP_EncryptInit_ex(
                         c, sa->blob.alg == ESPC_SA_ALG_AES256_GCM16 ? EVP_aes_256_gcm() : EVP_aes_128_gcm(),
                         NULL, sa->blob.key, nonce),
                     1);
    assert_int_equal(EVP_EncryptUpdate(c, NULL, &n, aad, esn ? 12 : 8), 1);
    assert_int_equal(EVP_EncryptUpdate(c, esp + 16, &n, esp + 16, (int)len), 1);
    assert_int_equal(EVP_EncryptFinal_ex(c, esp + 16 + len, &n), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, 16, esp + 16 + len), 1);
    EVP_CIPHER_CTX_free(c);
}

// inner packet from `from` on, TFC bytes, padding, trailer; returns the bytes of the payload
static size_t payload(uint8_t *out, const struct rx_packet *p, size_t from, uint8_t next,
                      const struct rx_make *how)
{
    size_t n = p->inner_len - from;
    unsigned pad;
    memcpy(out, p->inner + from, n);
    for (unsigned i = 0; i < how->tfc; i++)
        out[n++] = (uint8_t)(i * 7 + 3);
    pad = (unsigned)(2 - n) & 3;
    pad += how->pad & ~3u;
    if (pad > 255)
        pad -= 4;
    for (unsigned i = 1; i <= pad; i++)
        out[n++] = (uint8_t)i;
    if (how->bad_pad && pad > 0)
        out[n - 1 - how->seq % pad] ^= 0x40;
    out[n++] = (uint8_t)(how->pad_lie ? how->pad_lie : pad);
    out[n++] = how->next ? how->next : next;
    return n;
}

// The header that the peer's packet had, and has again: no fragment, between the SA's ends.
static void own_header(uint8_t *ip, const struct rx_sa *sa)
{
    ip[6] &= 0xc0;
    ip[7] = 0;
    if (ip[9] == 59) // that would be a dummy packet
        ip[9] = 6;
    memcpy(ip + 12, sa->blob.src, 4);
    memcpy(ip + 16, sa->blob.dst, 4);
    rx_ip_checksum(ip);
}

void rx_make(struct rx_packet *p, const struct rx_sa *sa, uint32_t slot, const struct rx_make *how)
{
    bool udp = (sa->blob.flags & ESPC_SA_BLOB_FLAGS_UDP_ENCAP_MASK || how->udp) && !how->not_udp;
    unsigned ihl = 20 + 4u * how->options;
    uint8_t *ip = p->wire, *esp = ip + ihl + (udp ? 8 : 0);
    bool transport = sa->blob.mode == ESPC_SA_MODE_TRANSPORT;
    size_t n;

    if (transport)
        own_header(p->inner, sa);
    memset(ip, 0, ihl);
    for (unsigned i = 20; i < ihl; i++)
        ip[i] = 1;
    put32(esp, sa->blob.spi);
    put32(esp + 4, (uint32_t)how->seq);
    put32(esp + 8, (uint32_t)(how->seq >> 32) ^ 0x5a5a5a5a);
    put32(esp + 12, (uint32_t)how->seq);
    n = payload(esp + 16, p, transport ? 20 : 0, transport ? p->inner[9] : 4, how);
    seal(sa, esp, n, how->seq);
    if (how->bad_icv)
        esp[16 + (how->seq * 13) % (n + 16)] ^= 1;
    p->len = (uint16_t)(esp + 16 + n + 16 - ip);
    if (transport) {
        memcpy(ip, p->inner, 20);
    } else {
        ip[1] = how->outer_tos;
        put16(ip + 6, 0x4000);
        ip[8] = 64;
    }
    ip[0] = (uint8_t)(0x40 | ihl / 4);
    put16(ip + 2, p->len);
    ip[9] = udp ? 17 : 50;
    memcpy(ip + 12, sa->blob.src, 4);
    memcpy(ip + 16, sa->blob.dst, 4);
    if (udp) {
        put16(ip + ihl, sa->blob.sport);
        put16(ip + ihl + 2, sa->blob.dport);
        put16(ip + ihl + 4, (uint32_t)(p->len - ihl));
        put16(ip + ihl + 6, 0);
    }
    rx_ip_checksum(ip);
    memset(ip + p->len, 0xee, how->trailing);
    p->len = (uint16_t)(p->len + how->trailing);
    p->status = ESPC_STATUS_OK;
    p->slot = slot;
    p->seq = how->seq;
    p->gen = sa->gen;
    p->src_changed = p->soft = false;
    p->or_status = 0;
}

void rx_fail(struct rx_packet *p, uint16_t status)
{
    p->status = status;
    p->src_changed = false;
    switch (status) {
    case ESPC_STATUS_TOO_LONG:
    case ESPC_STATUS_BAD_IP:
    case ESPC_STATUS_FRAGMENT:
    case ESPC_STATUS_NOT_ESP:
    case ESPC_STATUS_NO_SA: p->slot = 0xffffffff; break;
    default: break;
    }
}

// ---- clock cycles
// --------------------------------------------------------------------------------------------------

static void drive_input(struct rx_bench *b)
{
    size_t width = 16u * (size_t)b->lanes, n;
    const struct rx_packet *p;

    // a word that is offered stays until it is taken
    if (b->pins.s_valid)
        return;
    if (b->sent >= b->n_packets || (b->in_gap && rx_rng(b) % 100 < b->in_gap))
        return;
    p = &b->packets[b->sent];
    n = p->len - b->sent_bytes < width ? p->len - b->sent_bytes : width;
    b->pins.s_valid = true;
    b->pins.s_tag = (uint16_t)(b->first_tag + b->sent);
    b->pins.s_len = p->said ? p->said : p->len;
    b->pins.s_keep = n == 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1;
    b->pins.s_last = b->sent_bytes + n == p->len;
    memset(b->pins.s_data, 0xcc, sizeof(b->pins.s_data));
    memcpy(b->pins.s_data, p->wire + b->sent_bytes, n);
}

static void after_input(struct rx_bench *b)
{
    if (!b->pins.s_valid || !b->pins.s_ready)
        return;
    if (b->sent == 0 && b->sent_bytes == 0)
        b->first_in = b->cycle;
    b->last_in = b->cycle;
    b->sent_bytes += 16u * (size_t)b->lanes;
    if (b->pins.s_last) {
        b->sent++;
        b->sent_bytes = 0;
    }
    b->pins.s_valid = false;
}

static void check_last(struct rx_bench *b, const struct rx_packet *p)
{
    const struct rx_pins *o = &b->pins;
    size_t i = b->received;

    if ((b->loose && o->m_status == ESPC_STATUS_ABORTED) || (p->or_status && o->m_status == p->or_status))
        return;
    if (o->m_status != p->status)
        fail_msg("packet %zu (length %u, inner %u, seq %llu): status %u, expected %u", i, p->len,
                 p->inner_len, (unsigned long long)p->seq, o->m_status, p->status);
    if (o->m_sa != p->slot)
        fail_msg("packet %zu (status %u): SA %#x, expected %#x", i, p->status, o->m_sa, p->slot);
    if (p->slot != 0xffffffff) {
        if (o->m_seq != p->seq)
            fail_msg("packet %zu (status %u): seq %#llx, expected %#llx", i, p->status,
                     (unsigned long long)o->m_seq, (unsigned long long)p->seq);
        assert_int_equal(o->m_gen, p->gen);
    }
    if (o->m_src_changed != p->src_changed || o->m_soft != p->soft)
        fail_msg("packet %zu: src_changed %d soft %d, expected %d %d", i, o->m_src_changed, o->m_soft,
                 p->src_changed, p->soft);
    assert_int_equal(o->m_len, p->status == ESPC_STATUS_OK ? p->inner_len : 0);
    assert_int_equal(b->got_bytes, o->m_len);
}

static void after_output(struct rx_bench *b)
{
    const struct rx_pins *o = &b->pins;
    const struct rx_packet *p = &b->packets[b->received];
    size_t n;

    if (!o->m_valid || !o->m_ready)
        return;
    assert_true(b->received < b->n_packets);
    if (b->beats_out++ == 0)
        b->first_out = b->cycle;
    b->last_out = b->cycle;
    n = (size_t)__builtin_popcountll(o->m_keep);
    assert_true(o->m_keep == (n == 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1));
    assert_int_equal(o->m_tag, (uint16_t)(b->first_tag + b->received));
    if (b->got_bytes + n > p->inner_len || (p->status != ESPC_STATUS_OK && n > 0))
        fail_msg("packet %zu: plaintext of a packet with status %u, or too much", b->received, o->m_status);
    if (memcmp(o->m_data, p->inner + b->got_bytes, n) != 0)
        fail_msg("packet %zu (inner %u): wrong bytes at %zu", b->received, p->inner_len, b->got_bytes);
    b->got_bytes += n;
    assert_int_equal(o->done, o->m_last);
    assert_true(o->beat);
    if (o->m_last) {
        check_last(b, p);
        assert_int_equal(o->done_status, o->m_status);
        assert_int_equal(o->done_len, o->m_len);
        b->received++;
        b->got_bytes = 0;
    }
}

void rx_cycle(struct rx_bench *b)
{
    drive_input(b);
    b->pins.m_ready = !b->out_stall || rx_rng(b) % 100 >= b->out_stall;
    rx_step(b->dut, &b->pins);
    after_input(b);
    after_output(b);
    if (b->pins.slot_valid && b->pins.slot_ready) {
        b->pins.slot_valid = false;
        b->op_started = b->cycle;
    }
    if (b->pins.slot_done) {
        assert_true(b->op_active);
        b->op_active = false;
        b->op_done = true;
    }
    b->cycle++;
}

void rx_idle(struct rx_bench *b, int cycles)
{
    while (cycles-- > 0)
        rx_cycle(b);
}

void rx_expect(struct rx_bench *b, const struct rx_packet *packets, size_t n)
{
    b->packets = packets;
    b->n_packets = n;
    b->sent = b->received = b->sent_bytes = b->got_bytes = 0;
    b->beats_out = 0;
}

void rx_run(struct rx_bench *b)
{
    uint64_t quiet = b->cycle;
    size_t sent = b->sent, received = b->received;
    while (b->received < b->n_packets) {
        rx_cycle(b);
        if (b->sent != sent || b->received != received)
            quiet = b->cycle;
        sent = b->sent;
        received = b->received;
        if (b->cycle - quiet > 20000)
            fail_msg("the pipeline stands still: %zu of %zu packets in, %zu out", b->sent, b->n_packets,
                     b->received);
    }
    rx_idle(b, 4);
}

void rx_open(struct rx_bench *b, int lanes, uint64_t seed)
{
    memset(b, 0, sizeof(*b));
    b->rng = seed;
    b->lanes = lanes;
    b->dut = rx_new(lanes);
    assert_non_null(b->dut);
    b->pins.rst = true;
    rx_idle(b, 4);
    b->pins.rst = false;
    do
        rx_cycle(b);
    while (!b->pins.zeroized);
    b->cycle = 0;
}

void rx_close(struct rx_bench *b)
{
    rx_free(b->dut);
}

// ---- slots
// ---------------------------------------------------------------------------------------------------------

void rx_op_start(struct rx_bench *b, enum rx_op op, uint32_t slot, uint16_t gen,
                 const struct espc_sa_blob *blob)
{
    assert_false(b->op_active);
    if (blob)
        memcpy(b->pins.slot_blob, blob, 256);
    if (op == RX_WRITE) {
        for (uint8_t i = 0; i < 16; i++) {
            b->pins.seed_valid = true;
            b->pins.seed_index = i;
            b->pins.seed_word = blob->seen[i];
            rx_cycle(b);
        }
        b->pins.seed_valid = false;
    }
    b->pins.slot_valid = true;
    b->pins.slot_op = (uint8_t)op;
    b->pins.slot_index = slot;
    b->pins.slot_gen = gen;
    b->op_active = true;
    b->op_done = false;
}

uint16_t rx_op(struct rx_bench *b, enum rx_op op, uint32_t slot, uint16_t gen,
               const struct espc_sa_blob *blob)
{
    uint64_t start = b->cycle;
    rx_op_start(b, op, slot, gen, blob);
    while (!b->op_done) {
        rx_cycle(b);
        if (b->cycle - start > 20000)
            fail_msg("operation %d on slot %u is never done", op, slot);
    }
    memset(b->pins.slot_blob, 0, sizeof(b->pins.slot_blob));
    return b->pins.slot_status;
}

void rx_sa_init(struct rx_bench *b, struct rx_sa *sa, uint32_t spi, uint32_t window, uint32_t flags,
                bool aes256)
{
    memset(sa, 0, sizeof(*sa));
    sa->gen = (uint16_t)rx_rng(b);
    sa->blob.spi = spi;
    sa->blob.flags = flags;
    sa->blob.alg = aes256 ? ESPC_SA_ALG_AES256_GCM16 : ESPC_SA_ALG_AES128_GCM16;
    sa->blob.mode = ESPC_SA_MODE_TUNNEL;
    sa->blob.outer = sa->blob.inner = ESPC_FAMILY_IPV4;
    sa->blob.window = window;
    rx_fill(b, sa->blob.key, aes256 ? 32 : 16);
    rx_fill(b, sa->blob.salt, 4);
    rx_fill(b, sa->blob.src, 4);
    rx_fill(b, sa->blob.dst, 4);
    sa->blob.sport = 4500;
    sa->blob.dport = (uint16_t)(4500 + spi % 3);
}

uint16_t rx_sa_add(struct rx_bench *b, struct rx_sa *sa, uint32_t slot)
{
    return rx_op(b, RX_WRITE, slot, sa->gen, &sa->blob);
}

// ---- what most tests begin with
// ------------------------------------------------------------------------------------

struct rx_bench *rx_bench_new(int lanes, uint64_t seed)
{
    struct rx_bench *b = calloc(1, sizeof(*b));
    assert_non_null(b);
    rx_open(b, lanes, seed);
    return b;
}

void rx_bench_done(struct rx_bench *b, void *packets)
{
    rx_close(b);
    free(b);
    free(packets);
}

struct rx_packet *rx_packets(size_t n)
{
    struct rx_packet *p = calloc(n, sizeof(*p));
    assert_non_null(p);
    return p;
}

void rx_run_all(struct rx_bench *b, const struct rx_packet *packets, size_t n)
{
    rx_expect(b, packets, n);
    rx_run(b);
}

// a good packet of `len` inner bytes
void rx_good(struct rx_bench *b, struct rx_packet *p, const struct rx_sa *sa, uint32_t slot, uint64_t seq,
             uint16_t len)
{
    struct rx_make how = {.seq = seq};
    rx_inner(b, p->inner, len, 0);
    p->inner_len = len;
    rx_make(p, sa, slot, &how);
}

// SAs of every kind in slots spread over the table
const uint32_t rx_kind_slot[RX_KINDS] = {0,   127, 5,  64, 33, 90, 91, 92, 2,  1,
                                         100, 101, 17, 18, 19, 20, 40, 41, 70, 71};

void rx_add_kinds(struct rx_bench *b, struct rx_sa *sa)
{
    for (uint32_t i = 0; i < RX_KINDS; i++) {
        uint32_t flags =
            (i & 1 ? ESPC_SA_BLOB_FLAGS_ESN_MASK : 0) | (i & 2 ? ESPC_SA_BLOB_FLAGS_UDP_ENCAP_MASK : 0);
        if (i >= RX_TRANSPORT)
            flags &= ~(uint32_t)ESPC_SA_BLOB_FLAGS_UDP_ENCAP_MASK;
        rx_sa_init(b, &sa[i], 0xc0000000u + i * 0x1001u, i & 8 ? 64 : 1024, flags, i & 6);
        if (i >= RX_TRANSPORT) {
            sa[i].blob.mode = ESPC_SA_MODE_TRANSPORT;
            sa[i].blob.inner = 0;
        }
        assert_int_equal(rx_sa_add(b, &sa[i], rx_kind_slot[i]), ESPC_STATUS_OK);
        assert_true(b->cycle - b->op_started <= 200);
    }
}
