// SPDX-License-Identifier: Apache-2.0
// Blobs, inner packets, forged and spoilt outer ones.
#include "tests/system/twin_packets.h"

#include <stdlib.h>
#include <string.h>

#include "driver/soft/aead.h"
#include "tests/unit/drv_util.h"

static const uint8_t ends[3][4] = {{192, 0, 2, 1}, {198, 51, 100, 2}, {203, 0, 113, 3}};

static uint64_t below(uint64_t *r, uint64_t n)
{
    return (rnd(r) >> 16) % n;
}

uint32_t twin_spi(unsigned index)
{
    return 0x1000193u * (index + 7) ^ 0x5bd1e995u;
}

static bool has_esn(unsigned spi)
{
    return spi & 2;
}

static bool has_aes256(unsigned spi)
{
    return spi & 4;
}

static void key_of(unsigned spi, uint8_t key[32], uint8_t salt[4])
{
    memset(key, 0, 32);
    for (unsigned i = 0; i < (has_aes256(spi) ? 32 : 16); i++)
        key[i] = (uint8_t)(spi * 37 + i * 11 + 5);
    memcpy(salt, &spi, 4);
}

// Where numbers get interesting: the first, a window on, both sides of 2^32, and far beyond it. An extended
// number stays near where its SPI is at home: the card guesses the upper half of a packet's while those
// before it are under way, so a jump of 2^31 is not for it to follow (rtl/esp/esp_rx_commit.v).
static uint64_t some_seq(uint64_t *r, unsigned spi)
{
    static const uint64_t home[4] = {0, 0xfffffe00u, 0x3fffffff0u, 0x5000000a0u};
    if (has_esn(spi))
        return home[(spi & 1) | (spi >> 1 & 2)] + (below(r, 3) ? 0 : below(r, 1500));
    return below(r, 2) ? below(r, 3000) : 0xfffff000u + below(r, 0xfff);
}

static uint64_t some_limit(uint64_t *r, uint64_t unit)
{
    return below(r, 3) ? 0 : 1 + below(r, unit);
}

struct espc_sa_blob twin_blob(uint64_t *r, unsigned spi, unsigned dir)
{
    static const uint32_t windows[] = {0, 1, 31, 32, 64, 128, 1000, 1024};
    struct espc_sa_blob b = {.spi = twin_spi(spi),
                             .mode = ESPC_SA_MODE_TUNNEL,
                             .outer = ESPC_FAMILY_IPV4,
                             .inner = ESPC_FAMILY_IPV4};
    b.alg = has_aes256(spi) ? ESPC_SA_ALG_AES256_GCM16 : ESPC_SA_ALG_AES128_GCM16;
    b.flags = (uint32_t)below(r, 64) & ~ESPC_SA_BLOB_FLAGS_ESN_MASK;
    b.flags |= has_esn(spi) ? ESPC_SA_BLOB_FLAGS_ESN_MASK : 0;
    key_of(spi, b.key, b.salt);
    b.window = windows[below(r, 8)];
    b.window += has_esn(spi) && !b.window;
    memcpy(b.src, ends[0], 4);
    memcpy(b.dst, ends[below(r, 8) ? 1 : 2], 4);
    b.sport = below(r, 4) ? 4500 : (uint16_t)(1 + below(r, 65535));
    b.dport = below(r, 8) ? 4500 : (uint16_t)(1 + below(r, 65535));
    b.ttl = (uint8_t)(1 + below(r, 255));
    b.id_offset = dir == 0 ? (uint16_t)below(r, 65536) : 0;
    b.seq = below(r, 3) && !has_esn(spi) ? dir == 0 : some_seq(r, spi);
    if (dir == 0) {
        b.seq += b.seq == 0;
        b.seq_limit = below(r, 4) ? b.seq + 1 + below(r, 200) : UINT64_MAX;
    }
    if (below(r, 3) == 0) {
        b.mode = ESPC_SA_MODE_TRANSPORT;
        b.inner = 0;
        b.flags &= ~ESPC_SA_BLOB_FLAGS_UDP_ENCAP_MASK;
    }
    b.soft_bytes = some_limit(r, 20000);
    b.hard_bytes = some_limit(r, 50000);
    b.soft_packets = some_limit(r, 40);
    b.hard_packets = some_limit(r, 100);
    for (int i = 0; i < 16; i++)
        b.seen[i] = rnd(r) & rnd(r) & (below(r, 2) ? UINT64_MAX : 0);
    return b;
}

// New ends; of the rest of the blob nothing is to be read.
struct espc_sa_blob twin_ends(uint64_t *r, unsigned dir)
{
    struct espc_sa_blob b = twin_blob(r, (unsigned)below(r, TWIN_SPIS), dir);
    memcpy(b.src, ends[below(r, 3)], 4);
    return b;
}

void twin_spoil_blob(uint64_t *r, struct espc_sa_blob *b)
{
    switch (below(r, 25)) {
    case 0: b->spi = 0; break;
    case 1: b->flags |= 0x40u << below(r, 26); break;
    case 2: b->alg = (uint32_t)below(r, 5); break;
    case 3: b->mode = (uint8_t)below(r, 3); break;
    case 4: b->key[16 + below(r, 16)] ^= 1; break;
    case 5: b->window = (uint32_t)(below(r, 2) ? 1025 + below(r, 9) : rnd(r)); break;
    case 6: b->window = 0; break;
    case 7: b->src[4 + below(r, 12)] = 1; break;
    case 8: b->dst[4 + below(r, 12)] = 1; break;
    case 9: b->sport = 0; break;
    case 10: b->dport = 0; break;
    case 11: b->ttl = 0; break;
    case 12: b->seq = 0; break;
    case 13: b->seq = b->seq + (b->flags & ESPC_SA_BLOB_FLAGS_ESN_MASK ? 1 : 1ull << 32); break;
    case 14: b->seq_limit = b->seq - below(r, 2); break;
    case 15: b->tfc_length = 1 + (uint32_t)below(r, 1500); break;
    case 16: b->spi = (uint32_t)rnd(r); break;
    case 17: b->outer = (uint8_t)below(r, 4); break;
    case 18: b->inner = (uint8_t)below(r, 4); break;
    case 19: b->integ = (uint32_t)below(r, 4); break;
    case 20: b->deadline = below(r, 2); break;
    case 21: ((uint8_t *)b)[offsetof(struct espc_sa_blob, integ_key) + below(r, 128)] = 1; break;
    case 22: b->id_offset = 1 + (uint16_t)below(r, 65535); break;
    default: b->reserved0[below(r, sizeof(b->reserved0))] = 1; break;
    }
}

// ---- packets

uint32_t twin_inner(uint64_t *r, uint8_t *p)
{
    uint32_t len = 20 + (uint32_t)(below(r, 8)    ? below(r, 200)
                                   : below(r, 40) ? below(r, 1500)
                                                  : below(r, 9150));
    make_inner(p, len, (uint8_t)below(r, 256), (int)below(r, 2), r);
    if (below(r, 3)) { // between the ends of most SAs, as transport mode wants it
        memcpy(p + 12, ends[0], 4);
        memcpy(p + 16, ends[1], 4);
        p[4] = (uint8_t)below(r, 256);
        p[8] = (uint8_t)below(r, 256);
        p[9] = (uint8_t)below(r, 256);
        p[6] |=
            below(r, 16) ? 0 : (uint8_t)(0x20u << below(r, 3)); // a fragment, or the flag that is reserved
        ip_checksum(p);
    }
    if (below(r, 24) == 0)
        p[below(r, 4)] ^= (uint8_t)(1 << below(r, 8));
    if (below(r, 24) == 0)
        p[0] = (uint8_t)(0x45 + below(r, 11)); // options, or the claim of them
    if (below(r, 16) == 0)
        len += 1 + (uint32_t)below(r, 9);
    return below(r, 40) ? len : 1 + (uint32_t)below(r, len);
}

void twin_spoil_packet(uint64_t *r, uint8_t *p, uint32_t *length)
{
    uint32_t at = (uint32_t)below(r, *length), bit = (uint32_t)below(r, 8);
    bool whole = *length >= 60;
    switch (below(r, 24)) {
    case 0: p[at] ^= (uint8_t)(1 << bit); return;
    case 1: *length = at + 1; return;
    case 2: *length += 1 + (uint32_t)below(r, 8); return;
    case 3: p[at % 28] ^= (uint8_t)(1 << bit); break;
    case 4: put_be16(p + 2, (uint16_t)(get_be16(p + 2) - below(r, 64))); break;
    case 5: p[1] = (uint8_t)below(r, 256); break;
    case 6: p[15] ^= 3; break;                                   // another source
    case 7: memcpy(p + 16, ends[2], 4); break;                   // another destination
    case 8: p[20 + below(r, 16)] ^= (uint8_t)(1 << bit); return; // UDP and ESP header
    case 9: memset(p + 20 + 8 * (p[9] == 17), 0, 4); return;     // no SPI
    case 10: p[0] = (uint8_t)(0x46 + below(r, 10)); break;
    case 11: p[6] |= 0x20; break;
    case 12: p[9] = (uint8_t[]){17, 50, 51}[below(r, 3)]; break; // UDP, ESP, AH
    default: return;
    }
    if (whole)
        ip_checksum(p);
}

// What may stand in an authentic payload; its length is a multiple of four.
static uint32_t payload(uint64_t *r, uint8_t *p)
{
    uint32_t len = below(r, 8) ? twin_inner(r, p) : (uint32_t)below(r, 60);
    uint32_t pad;
    len = len < 1500 ? len : 1500;
    pad = (0u - (len + 2)) & 3;
    pad += 4 * (uint32_t)(below(r, 3) ? 0 : below(r, 63));
    for (uint32_t i = 0; i < pad; i++)
        p[len + i] = (uint8_t)(i + 1);
    if (pad && below(r, 10) == 0)
        p[len + below(r, pad)] ^= 1;
    p[len + pad] = (uint8_t)(below(r, 16) ? pad : below(r, 256));
    p[len + pad + 1] = (uint8_t)(below(r, 8) ? 4 : below(r, 2) ? 59 : below(r, 256));
    return len + pad + 2;
}

static void seal(unsigned spi, uint64_t seq, const uint8_t *plain, uint32_t len, uint8_t *esp)
{
    uint8_t key[32], salt[4], nonce[12], aad[12];
    struct aead a;
    key_of(spi, key, salt);
    if (aead_init(&a, has_aes256(spi) ? ESP_ALG_AES256_GCM16 : ESP_ALG_AES128_GCM16, ESP_OUT, key, NULL))
        abort();
    put_be32(esp, twin_spi(spi));
    put_be32(esp + 4, (uint32_t)seq);
    put_be64(esp + 8, seq);
    memcpy(nonce, salt, 4);
    memcpy(nonce + 4, esp + 8, 8);
    put_be32(aad, twin_spi(spi));
    put_be64(aad + 4, seq);
    if (!has_esn(spi))
        put_be32(aad + 4, (uint32_t)seq);
    if (aead_seal(&a, nonce, aad, has_esn(spi) ? 12 : 8, plain, len, NULL, 0, esp + 16))
        abort();
    aead_free(&a);
}

uint32_t twin_forge(uint64_t *r, unsigned spi, uint64_t near, uint8_t *p)
{
    static const uint64_t jumps[] = {0, 1, 2, 60, 64, 1000, 1023, 1024, 1025, 5000};
    uint8_t plain[TWIN_PACKET_MAX + 512];
    uint64_t jump = jumps[below(r, 10)], seq = below(r, 2) ? near + jump : near - jump;
    bool udp = below(r, 4) == 0;
    uint32_t len = payload(r, plain), head = 20 + (udp ? 8 : 0), total = head + 16 + len + 16;
    memset(p, 0, head);
    p[0] = 0x45;
    p[1] = (uint8_t)(below(r, 3) ? 0 : below(r, 256));
    put_be16(p + 2, (uint16_t)total);
    put_be16(p + 4, (uint16_t)below(r, 65536));
    p[6] = (uint8_t)(below(r, 4) << 6);
    p[8] = (uint8_t)below(r, 256);
    p[9] = udp ? 17 : 50;
    memcpy(p + 12, ends[0], 4);
    memcpy(p + 16, ends[1], 4);
    if (udp) {
        put_be16(p + 20, (uint16_t)(below(r, 8) ? 4500 : 1 + below(r, 65535)));
        put_be16(p + 22, 4500);
        put_be16(p + 24, (uint16_t)(total - 20));
    }
    ip_checksum(p);
    seal(spi, seq, plain, len, p + head);
    return total;
}
