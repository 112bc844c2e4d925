// SPDX-License-Identifier: Apache-2.0
// The reference encapsulator: written from the RFCs (791, 3948, 4106, 4303, 6040), one byte after the other,
// with nothing of the pipeline's structure.
#include "tests/rtl/pipe_model.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_be(uint8_t *p, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> 8 * (n - 1 - i));
}

static void put_le(uint8_t *p, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get_le64(const uint8_t *p)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < 8; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

uint32_t model_random(uint32_t *state)
{
    uint32_t x = *state;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *state = x;
}

static void random_bytes(uint8_t *p, size_t n, uint32_t *rng)
{
    while (n--)
        *p++ = (uint8_t)(model_random(rng) >> 11);
}

void model_sa_random(struct model_sa *sa, uint32_t slot, uint32_t *rng)
{
    memset(sa, 0, sizeof(*sa));
    sa->slot = slot;
    sa->spi = model_random(rng) | 0x100;
    sa->flags = model_random(rng) & 0x1f;
    sa->alg = 1 + (model_random(rng) >> 7) % 2;
    sa->gen = (uint16_t)model_random(rng);
    sa->sport = (uint16_t)(model_random(rng) | 1);
    sa->dport = (uint16_t)(model_random(rng) | 1);
    random_bytes(sa->key, sa->alg == 1 ? 16 : 32, rng);
    random_bytes(sa->salt, 4, rng);
    random_bytes(sa->src, 4, rng);
    random_bytes(sa->dst, 4, rng);
    sa->ttl = (uint8_t)(1 + model_random(rng) % 255);
    sa->seq = 1 + model_random(rng) % 1000000;
    if (sa->flags & ESPC_SA_BLOB_FLAGS_ESN_MASK && model_random(rng) % 2)
        sa->seq |= (uint64_t)model_random(rng) << 32;
    sa->span = 1000000;
    sa->limit = sa->seq + sa->span;
    sa->id_offset = (uint16_t)model_random(rng);
}

static uint16_t ip_sum(const uint8_t *p, size_t n)
{
    uint32_t sum = 0;

    for (size_t i = 0; i + 1 < n; i += 2)
        sum += (uint32_t)(p[i] << 8 | p[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

void model_inner(uint8_t *buf, size_t total, uint32_t *rng)
{
    random_bytes(buf, total, rng);
    buf[0] = 0x45;
    put_be(buf + 2, total, 2);
    buf[6] &= 0x40;
}

void model_ip_checksum(uint8_t *ip)
{
    put_be(ip + 10, 0, 2);
    put_be(ip + 10, ip_sum(ip, 20), 2);
}

void model_own(const struct model_sa *sa, uint8_t *buf, size_t total, uint32_t *rng)
{
    random_bytes(buf, total, rng);
    buf[0] = 0x45;
    put_be(buf + 2, total, 2);
    buf[6] &= 0xc0;
    buf[7] = 0;
    if (buf[9] == 59) // to the far side a dummy packet
        buf[9] = 6;
    memcpy(buf + 12, sa->src, 4);
    memcpy(buf + 16, sa->dst, 4);
    model_ip_checksum(buf);
}

void model_taken(const struct model_sa *sa, uint8_t *buf, size_t total, uint32_t *rng)
{
    if (sa->transport)
        model_own(sa, buf, total, rng);
    else
        model_inner(buf, total, rng);
}

static void seal(const struct model_sa *sa, uint64_t seq, const uint8_t *text, size_t n, uint8_t *out)
{
    uint8_t nonce[12], aad[12];
    size_t aad_len = 8;
    int len;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

    memcpy(nonce, sa->salt, 4);
    put_be(nonce + 4, seq, 8);
    put_be(aad, sa->spi, 4);
    put_be(aad + 4, seq, 4);
    if (sa->flags & ESPC_SA_BLOB_FLAGS_ESN_MASK) {
        put_be(aad + 4, seq, 8);
        aad_len = 12;
    }
    if (!ctx ||
        EVP_EncryptInit_ex(ctx, sa->alg == 1 ? EVP_aes_128_gcm() : EVP_aes_256_gcm(), NULL, sa->key, nonce) !=
            1 ||
        EVP_EncryptUpdate(ctx, NULL, &len, aad, (int)aad_len) != 1 ||
        EVP_EncryptUpdate(ctx, out, &len, text, (int)n) != 1 ||
        EVP_EncryptFinal_ex(ctx, out + n, &len) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, 16, out + n) != 1) {
        fprintf(stderr, "pipe_model: OpenSSL failed\n");
        abort();
    }
    EVP_CIPHER_CTX_free(ctx);
}

static uint16_t inner_verdict(const uint8_t *buf, size_t size)
{
    size_t ihl = (buf[0] & 15u) * 4u, total = (size_t)(buf[2] << 8 | buf[3]);

    if (size < 20)
        return ESPC_STATUS_TRUNCATED;
    if (buf[0] >> 4 != 4 || ihl < 20 || total < ihl)
        return ESPC_STATUS_BAD_IP;
    return total > size ? ESPC_STATUS_TRUNCATED : ESPC_STATUS_OK;
}

// What is not for transport mode: its header is written anew, and a fragment is no whole packet.
static uint16_t own_verdict(const struct model_sa *sa, const uint8_t *buf)
{
    if (buf[0] != 0x45 || ip_sum(buf, 20) != 0)
        return ESPC_STATUS_BAD_IP;
    if (buf[6] & 0x3f || buf[7])
        return ESPC_STATUS_FRAGMENT;
    if (memcmp(buf + 12, sa->src, 4) != 0 || memcmp(buf + 16, sa->dst, 4) != 0)
        return ESPC_STATUS_SA_MISMATCH;
    return ESPC_STATUS_OK;
}

static uint16_t verdict(const struct model_sa *sa, uint16_t gen, const uint8_t *buf, size_t size,
                        size_t outer)
{
    uint64_t len = (uint64_t)(buf[2] << 8 | buf[3]);

    if (!sa->valid)
        return ESPC_STATUS_SA_INVALID;
    if (sa->gen != gen)
        return ESPC_STATUS_SA_STALE_GEN;
    if (sa->draining)
        return ESPC_STATUS_SA_DRAINING;
    if (inner_verdict(buf, size) != ESPC_STATUS_OK)
        return inner_verdict(buf, size);
    if (sa->transport && own_verdict(sa, buf) != ESPC_STATUS_OK)
        return own_verdict(sa, buf);
    if (outer > MODEL_MAX_LEN)
        return ESPC_STATUS_TOO_LONG;
    if ((sa->hard_packets && sa->packets + 1 > sa->hard_packets) ||
        (sa->hard_bytes && sa->bytes + len > sa->hard_bytes))
        return ESPC_STATUS_HARD_LIMIT;
    if (!(sa->flags & ESPC_SA_BLOB_FLAGS_ESN_MASK) && sa->seq > UINT32_MAX)
        return ESPC_STATUS_SEQ_OVERFLOW;
    if (sa->seq >= sa->limit)
        return ESPC_STATUS_LEASE_END;
    return ESPC_STATUS_OK;
}

// A tunnel's header in front of the packet; returns its bytes.
static size_t tunnel_header(const struct model_sa *sa, const uint8_t *buf, uint8_t *o, size_t size)
{
    bool udp = sa->flags & ESPC_SA_BLOB_FLAGS_UDP_ENCAP_MASK;
    bool df = buf[6] & 0x40 && !(sa->flags & ESPC_SA_BLOB_FLAGS_DF_CLEAR_MASK);

    memset(o, 0, 28);
    o[0] = 0x45;
    if (!(sa->flags & ESPC_SA_BLOB_FLAGS_NO_DSCP_COPY_MASK))
        o[1] |= buf[1] & 0xfc;
    if (!(sa->flags & ESPC_SA_BLOB_FLAGS_NO_ECN_MASK))
        o[1] |= buf[1] & 3;
    put_be(o + 2, size, 2);
    if (df)
        o[6] = 0x40;
    else
        put_be(o + 4, (uint16_t)(sa->seq + sa->id_offset), 2);
    o[8] = sa->ttl;
    o[9] = udp ? 17 : 50;
    memcpy(o + 12, sa->src, 4);
    memcpy(o + 16, sa->dst, 4);
    model_ip_checksum(o);
    if (udp) {
        put_be(o + 20, sa->sport, 2);
        put_be(o + 22, sa->dport, 2);
        put_be(o + 24, size - 20, 2);
    }
    return udp ? 28 : 20;
}

// The packet's own header, which says ESP and the new length.
static size_t own_header(const uint8_t *buf, uint8_t *o, size_t size)
{
    memcpy(o, buf, 20);
    put_be(o + 2, size, 2);
    o[9] = 50;
    model_ip_checksum(o);
    return 20;
}

static size_t text_len(const struct model_sa *sa, size_t total)
{
    return ((sa->transport ? total - 20 : total) + 2 + 3) / 4 * 4;
}

size_t model_outer(const struct model_sa *sa, size_t total)
{
    return 20 + (sa->flags & ESPC_SA_BLOB_FLAGS_UDP_ENCAP_MASK ? 8 : 0) + 16 + text_len(sa, total) + 16;
}

static void build(struct model_sa *sa, const uint8_t *buf, size_t total, struct model_out *out)
{
    uint8_t text[10240], *o = out->data;
    size_t head = sa->transport ? 20 : 0, len = total - head, ptlen = text_len(sa, total),
           pad = ptlen - len - 2;
    size_t n = sa->transport ? own_header(buf, o, out->size) : tunnel_header(sa, buf, o, out->size);

    put_be(o + n, sa->spi, 4);
    put_be(o + n + 4, sa->seq, 4);
    put_be(o + n + 8, sa->seq, 8);
    memcpy(text, buf + head, len);
    for (size_t i = 0; i < pad; i++)
        text[len + i] = (uint8_t)(i + 1);
    text[len + pad] = (uint8_t)pad;
    text[len + pad + 1] = sa->transport ? buf[9] : 4;
    seal(sa, sa->seq, text, ptlen, o + n + 16);
}

void model_encap(struct model_sa *sa, uint16_t gen, const uint8_t *buf, size_t size, struct model_out *out)
{
    size_t len = (size_t)(buf[2] << 8 | buf[3]), outer = model_outer(sa, len);
    bool mine = sa->valid && sa->gen == gen;

    memset(out, 0, offsetof(struct model_out, data));
    out->status = verdict(sa, gen, buf, size, outer);
    if (out->status == ESPC_STATUS_OK) {
        out->size = outer;
        out->seq = sa->seq;
        build(sa, buf, len, out);
        sa->seq++;
        sa->packets++;
        sa->bytes += len;
    } else if (mine)
        sa->drops++;
    if (!mine)
        return;
    out->soft = (sa->soft_packets && sa->packets >= sa->soft_packets) ||
                (sa->soft_bytes && sa->bytes >= sa->soft_bytes);
    out->lease_low = (sa->limit - sa->seq) < sa->span / 4;
}

void model_blob(const struct model_sa *sa, uint8_t dir, uint8_t blob[512])
{
    memset(blob, 0, 512);
    put_le(blob + 0x00, sa->spi, 4);
    put_le(blob + 0x04, sa->flags, 4);
    put_le(blob + 0x08, sa->alg, 4);
    memcpy(blob + 0x10, sa->key, 32);
    memcpy(blob + 0x30, sa->salt, 4);
    memcpy(blob + 0x38, sa->src, 4);
    memcpy(blob + 0x48, sa->dst, 4);
    put_le(blob + 0x58, sa->sport, 2);
    put_le(blob + 0x5a, sa->dport, 2);
    blob[0x5c] = sa->ttl;
    blob[0x5d] = sa->transport ? ESPC_SA_MODE_TRANSPORT : ESPC_SA_MODE_TUNNEL;
    blob[0x5e] = ESPC_FAMILY_IPV4;
    blob[0x5f] = sa->transport ? 0 : ESPC_FAMILY_IPV4;
    put_le(blob + 0x60, sa->seq, 8);
    put_le(blob + 0x68, sa->limit, 8);
    put_le(blob + 0x70, sa->soft_bytes, 8);
    put_le(blob + 0x78, sa->hard_bytes, 8);
    put_le(blob + 0x80, sa->soft_packets, 8);
    put_le(blob + 0x88, sa->hard_packets, 8);
    if (!dir)
        put_le(blob + 0x9c, sa->id_offset, 2);
}

static void command(uint8_t cmd[64], uint8_t op, uint8_t dir, uint32_t slot, uint16_t gen, uint64_t limit)
{
    memset(cmd, 0, 64);
    cmd[0] = op;
    cmd[1] = dir;
    put_le(cmd + 2, gen, 2);
    put_le(cmd + 4, slot, 4);
    put_le(cmd + 0x20, limit, 8);
}

int model_add(struct pipe *p, struct model_sa *sa)
{
    uint8_t cmd[64], blob[512], result[64];
    int status;

    command(cmd, ESPC_SA_OP_ADD, 0, sa->slot, sa->gen, 0);
    model_blob(sa, 0, blob);
    pipe_command(p, cmd, blob);
    status = pipe_result(p, result);
    if (status == ESPC_STATUS_OK)
        sa->valid = true;
    return status;
}

int model_op(struct pipe *p, uint8_t op, uint8_t dir, uint32_t slot, uint16_t gen, uint64_t limit,
             struct model_result *result)
{
    uint8_t cmd[64], words[64];
    int status;

    command(cmd, op, dir, slot, gen, limit);
    pipe_command(p, cmd, NULL);
    status = pipe_result(p, words);
    if (result) {
        result->last_seq = get_le64(words);
        result->packets = get_le64(words + 8);
        result->bytes = get_le64(words + 16);
        result->drops = get_le64(words + 24);
        result->refused = (uint32_t)get_le64(words + 32);
    }
    return status;
}
