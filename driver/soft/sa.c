// SPDX-License-Identifier: Apache-2.0
// SAs of the software engine and the SPI table: a chained hash that doubles when it is full, so that a
// look-up costs the same at ten and at a hundred thousand SAs. RFC 4301 section 4.1 (look-up by SPI and
// destination).
#include "driver/soft/sa.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "driver/common/bytes.h"
#include "driver/common/params.h"

enum { SPI_TABLE_START = 64 };

static uint64_t none_is_max(uint64_t limit)
{
    return limit ? limit : UINT64_MAX;
}

static void build_ip4(struct esp_sa *sa, const struct esp_endpoint *to, uint8_t *h, uint8_t proto)
{
    h[0] = 0x45;
    h[8] = sa->ttl;
    h[9] = proto;
    memcpy(h + 12, to->src, 4);
    memcpy(h + 16, to->dst, 4);
    for (int i = 0; i < IP4_HEADER; i += 2)
        sa->header_sum += get_be16(h + i);
}

static void build_ip6(const struct esp_sa *sa, const struct esp_endpoint *to, uint8_t *h, uint8_t proto)
{
    h[0] = 0x60;
    h[6] = proto;
    h[7] = sa->ttl;
    memcpy(h + 8, to->src, 16);
    memcpy(h + 24, to->dst, 16);
}

static struct soft_ends ends_of(const struct esp_endpoint *to)
{
    struct soft_ends e;

    memcpy(e.src, to->src, sizeof(e.src));
    memcpy(e.dst, to->dst, sizeof(e.dst));
    return e;
}

// The outer header with zeros where fields differ from packet to packet (RFC 4303 section 3.1.2, RFC 3948
// section 2.1). In transport mode the packet brings its own, and only what follows it is used.
static void build_header(struct esp_sa *sa, const struct esp_endpoint *to)
{
    uint8_t *h = sa->header, proto = sa->is_ah ? PROTO_AH : sa->udp_encap ? PROTO_UDP : PROTO_ESP;
    uint32_t ip = sa->transport ? 0 : sa->ipv6 ? IP6_HEADER : IP4_HEADER;

    memset(h, 0, sizeof(sa->header));
    sa->header_sum = 0;
    sa->header_len = (uint8_t)(ip + (sa->udp_encap ? UDP_HEADER : 0));
    if (ip == IP4_HEADER)
        build_ip4(sa, to, h, proto);
    else if (ip == IP6_HEADER)
        build_ip6(sa, to, h, proto);
    if (sa->udp_encap) {
        put_be16(h + ip, to->sport);
        put_be16(h + ip + 2, to->dport);
    }
    put_be32(h + sa->header_len, sa->spi);
    if (sa->transport)
        sa->must = ends_of(to);
}

void soft_sa_set_endpoint(struct esp_sa *sa, const struct esp_endpoint *to)
{
    sa->ipv6 = to->ipv6;
    sa->udp_encap = to->udp_encap;
    if (sa->dir == ESP_OUT) {
        build_header(sa, to);
        return;
    }
    sa->ends = ends_of(to);
    sa->sport = to->sport;
    sa->dport = inbound_dport(to->dport);
}

void soft_sa_hand_over(const struct esp_sa *sa, uint64_t *seq, uint64_t *seen)
{
    *seq = sa->dir == ESP_OUT ? sa->next_seq : sa->window.top;
    if (sa->dir == ESP_IN)
        window_export(&sa->window, seen);
}

void soft_sa_ask_endpoint(struct esp_sa *sa, const struct esp_endpoint *to)
{
    if (sa->dir == ESP_OUT)
        return;
    sa->asked_ipv6 = to->ipv6;
    memcpy(sa->asked_dst, to->dst, sizeof(sa->asked_dst));
}

static size_t octets_of(enum esp_dir dir, uint32_t window)
{
    return sizeof(struct esp_sa) + (dir == ESP_IN ? window_words(window) * sizeof(uint64_t) : 0);
}

struct esp_sa *soft_sa_new(const struct esp_sa_params *p, struct mb *mb, struct esp_error *err)
{
    struct esp_sa *sa = calloc(1, octets_of(p->dir, p->window));
    struct esp_endpoint to = params_endpoint(p);

    if (!sa) {
        esp_fail(err, -ENOMEM, "sa", "out of memory");
        return NULL;
    }
    sa->is_ah = p->protocol == ESP_PROTOCOL_AH;
    if (sa->is_ah ? ah_init(&sa->ah, p, err) : crypt_init(&sa->crypt, p, mb, err)) {
        free(sa);
        return NULL;
    }
    sa->dir = (uint8_t)p->dir;
    sa->spi = p->spi;
    sa->transport = p->mode == ESP_TRANSPORT;
    sa->inner = (uint8_t)params_inner(p);
    sa->esn = p->esn;
    sa->df_clear = p->df_clear;
    sa->no_dscp_copy = p->no_dscp_copy;
    sa->no_ecn = p->no_ecn;
    sa->dscp_decap = p->dscp_decap;
    sa->ttl = p->ttl;
    sa->soft_bytes = none_is_max(p->soft_bytes);
    sa->hard_bytes = none_is_max(p->hard_bytes);
    sa->soft_packets = none_is_max(p->soft_packets);
    sa->hard_packets = none_is_max(p->hard_packets);
    if (p->dir == ESP_OUT) {
        sa->next_seq = p->seq;
        sa->seq_limit = p->seq_limit;
        sa->limit_asked = p->seq_limit;
        sa->lease_low_from = lease_low_mark(p->seq, p->seq_limit);
        sa->id_offset = p->id_offset;
        sa->tfc = p->tfc;
    } else {
        window_init(&sa->window, sa->bits, p->window, p->esn, p->seq, p->seen);
    }
    sa->queue = p->queue;
    sa->farewell.op = SOFT_DELETE;
    soft_sa_ask_endpoint(sa, &to);
    soft_sa_set_endpoint(sa, &to);
    return sa;
}

void soft_sa_wipe(struct esp_sa *sa)
{
    if (sa->is_ah)
        ah_free(&sa->ah);
    else
        crypt_free(&sa->crypt);
}

void soft_sa_free(struct esp_sa *sa)
{
    if (!sa)
        return;
    soft_sa_wipe(sa);
    OPENSSL_cleanse(sa, octets_of((enum esp_dir)sa->dir, sa->dir == ESP_IN ? sa->window.size : 0));
    free(sa);
}

static size_t spi_hash(uint32_t spi)
{
    uint32_t h = spi * 0x9e3779b1u; // peers choose no SPI of ours, so spreading is enough

    return h ^ h >> 15;
}

int spi_table_init(struct spi_table *t)
{
    t->count = 0;
    t->size = SPI_TABLE_START;
    t->bucket = calloc(t->size, sizeof(struct esp_sa *));
    return t->bucket ? 0 : -ENOMEM;
}

void spi_table_free(struct spi_table *t)
{
    free(t->bucket);
    t->bucket = NULL;
}

static int grow(struct spi_table *t)
{
    struct spi_table wide = {.size = t->size * 2, .count = t->count};

    wide.bucket = calloc(wide.size, sizeof(struct esp_sa *));
    if (!wide.bucket)
        return -ENOMEM;
    for (size_t i = 0; i < t->size; i++) {
        for (struct esp_sa *sa = t->bucket[i], *next; sa; sa = next) {
            struct esp_sa **to = &wide.bucket[spi_hash(sa->spi) & (wide.size - 1)];
            next = sa->hash_next;
            sa->hash_next = *to;
            *to = sa;
        }
    }
    free(t->bucket);
    *t = wide;
    return 0;
}

int spi_table_add(struct spi_table *t, struct esp_sa *sa)
{
    struct esp_sa *old = spi_table_find(t, sa->spi, sa->ipv6, sa->ends.dst);
    struct esp_sa **to;

    if (old && sa_is_for(old, sa->ipv6, sa->ends.dst))
        return -EEXIST;
    if (t->count >= t->size && grow(t))
        return -ENOMEM;
    to = &t->bucket[spi_hash(sa->spi) & (t->size - 1)];
    sa->hash_next = *to;
    *to = sa;
    t->count++;
    return 0;
}

void spi_table_remove(struct spi_table *t, struct esp_sa *sa)
{
    struct esp_sa **at = &t->bucket[spi_hash(sa->spi) & (t->size - 1)];

    while (*at && *at != sa)
        at = &(*at)->hash_next;
    if (*at) {
        *at = sa->hash_next;
        t->count--;
    }
}

struct esp_sa *spi_table_find(const struct spi_table *t, uint32_t spi, bool v6, const uint8_t *dst)
{
    struct esp_sa *other = NULL;

    for (struct esp_sa *sa = t->bucket[spi_hash(spi) & (t->size - 1)]; sa; sa = sa->hash_next) {
        if (sa->spi != spi)
            continue;
        if (sa_is_for(sa, v6, dst))
            return sa;
        other = sa;
    }
    return other;
}
