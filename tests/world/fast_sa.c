// SPDX-License-Identifier: Apache-2.0
// SA commands and packets of the fast card, in the order in which rtl/esp/esp_sa.v, the two slot units and
// the pipelines judge them. ESP itself is the software engine's.
#include "tests/world/fast_sa.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "driver/common/params.h"

// ---- the SPI table (rtl/esp/esp_rx_hash.v): one place in each way; who finds all four taken is refused

static uint32_t crc(uint32_t v, uint32_t poly)
{
    for (int i = 0; i < 32; i++)
        v = v >> 1 ^ (v & 1 ? poly : 0);
    return v;
}

void fast_spi_places(uint32_t spi, unsigned place[FAST_WAYS])
{
    uint32_t a = crc(spi, 0xedb88320), b = crc(spi, 0x82f63b78);
    place[0] = a % FAST_PLACES;
    place[1] = (a >> 16) % FAST_PLACES;
    place[2] = b % FAST_PLACES;
    place[3] = (b >> 16) % FAST_PLACES;
}

static bool spi_insert(struct fast_sas *s, uint32_t spi, uint32_t slot)
{
    unsigned place[FAST_WAYS];
    fast_spi_places(spi, place);
    for (unsigned w = 0; w < FAST_WAYS; w++) {
        if (!s->way[w][place[w]]) {
            s->way[w][place[w]] = (uint16_t)(slot + 1);
            return true;
        }
    }
    return false;
}

static void spi_remove(struct fast_sas *s, uint32_t spi, uint32_t slot)
{
    unsigned place[FAST_WAYS];
    fast_spi_places(spi, place);
    for (unsigned w = 0; w < FAST_WAYS; w++)
        if (s->way[w][place[w]] == slot + 1)
            s->way[w][place[w]] = 0;
}

// The slot that the card names for a packet of this SPI and destination: the last way that fits in both, else
// the last that fits in the SPI. FAST_SLOTS: none.
static uint32_t spi_slot(const struct fast_sas *s, uint32_t spi, const uint8_t *dst)
{
    uint32_t by_spi = FAST_SLOTS, by_both = FAST_SLOTS;
    unsigned place[FAST_WAYS];
    fast_spi_places(spi, place);
    for (unsigned w = 0; w < FAST_WAYS; w++) {
        uint32_t slot = s->way[w][place[w]] - 1u;
        if (slot >= FAST_SLOTS || s->slot[ESP_IN][slot].sa->spi != spi)
            continue;
        by_spi = slot;
        if (!memcmp(s->slot[ESP_IN][slot].sa->ends.dst, dst, 4))
            by_both = slot;
    }
    return by_both < FAST_SLOTS ? by_both : by_spi;
}

// ---- slots

void fast_sas_init(struct fast_sas *s)
{
    memset(s, 0, sizeof(*s));
    if (spi_table_init(&s->spis))
        abort();
}

void fast_sas_zeroise(struct fast_sas *s)
{
    uint64_t now = s->now;
    for (int d = 0; d < 2; d++)
        for (int i = 0; i < FAST_SLOTS; i++)
            soft_sa_free(s->slot[d][i].sa);
    spi_table_free(&s->spis);
    OPENSSL_cleanse(s->scratch, sizeof(s->scratch));
    fast_sas_init(s);
    s->now = now;
}

// ---- ADD

static bool zero(const uint8_t *p, size_t n)
{
    while (n && !*p)
        p++, n--;
    return !n;
}

// The offset of the first of these 64-bit words that is not zero; -1: none.
static int first_word(const struct espc_sa_blob *b, size_t from, size_t to)
{
    for (; from < to; from += 8)
        if (!zero((const uint8_t *)b + from, 8))
            return (int)from;
    return -1;
}

// The first field that the card refuses, by its offset; -1: none.
static int refused_field(const struct espc_sa_blob *b, bool in)
{
    bool esn = b->flags & ESPC_SA_BLOB_FLAGS_ESN_MASK, udp = b->flags & ESPC_SA_BLOB_FLAGS_UDP_ENCAP_MASK;
    bool transport = b->mode == ESPC_SA_MODE_TRANSPORT;
#define REFUSE_IF(field, wrong)                                                                              \
    if (wrong)                                                                                               \
    return (int)offsetof(struct espc_sa_blob, field)
    REFUSE_IF(spi, !b->spi);
    REFUSE_IF(flags, b->flags >= 2 * ESPC_SA_BLOB_FLAGS_DSCP_DECAP_MASK);
    REFUSE_IF(alg, b->alg != ESPC_SA_ALG_AES128_GCM16 && b->alg != ESPC_SA_ALG_AES256_GCM16);
    REFUSE_IF(integ, b->integ != ESPC_SA_INTEG_NONE);
    REFUSE_IF(key, b->alg == ESPC_SA_ALG_AES128_GCM16 && !zero(b->key + 16, 16));
    REFUSE_IF(window, in && (b->window > ESP_MAX_WINDOW || (esn && !b->window)));
    REFUSE_IF(src, !zero(b->src + 4, 12));
    REFUSE_IF(dst, !zero(b->dst + 4, 12));
    REFUSE_IF(sport, udp && !in && !b->sport);
    REFUSE_IF(dport, udp && !b->dport);
    REFUSE_IF(ttl, !in && !b->ttl && !transport);
    REFUSE_IF(mode, transport ? udp : b->mode != ESPC_SA_MODE_TUNNEL);
    REFUSE_IF(outer, b->outer != ESPC_FAMILY_IPV4);
    REFUSE_IF(inner, b->inner != (transport ? 0 : ESPC_FAMILY_IPV4));
    REFUSE_IF(seq, in ? !esn && b->seq >> 32 : !b->seq);
    REFUSE_IF(deadline, in && b->deadline);
    REFUSE_IF(tfc_length, b->tfc_length);
    REFUSE_IF(id_offset, in && b->id_offset);
    REFUSE_IF(reserved0, !zero(b->reserved0, 2));
#undef REFUSE_IF
    return first_word(b, 0xa0, offsetof(struct espc_sa_blob, seen));
}

static struct esp_sa *make_sa(const struct espc_sa_blob *b, enum esp_dir dir)
{
    struct esp_sa_params p = {.dir = dir,
                              .mode = b->mode == ESPC_SA_MODE_TRANSPORT ? ESP_TRANSPORT : ESP_TUNNEL,
                              .alg = b->alg == ESPC_SA_ALG_AES128_GCM16 ? ESP_ALG_AES128_GCM16
                                                                        : ESP_ALG_AES256_GCM16,
                              .spi = b->spi,
                              .esn = b->flags & ESPC_SA_BLOB_FLAGS_ESN_MASK,
                              .udp_encap = b->flags & ESPC_SA_BLOB_FLAGS_UDP_ENCAP_MASK,
                              .df_clear = b->flags & ESPC_SA_BLOB_FLAGS_DF_CLEAR_MASK,
                              .no_dscp_copy = b->flags & ESPC_SA_BLOB_FLAGS_NO_DSCP_COPY_MASK,
                              .no_ecn = b->flags & ESPC_SA_BLOB_FLAGS_NO_ECN_MASK,
                              .dscp_decap = b->flags & ESPC_SA_BLOB_FLAGS_DSCP_DECAP_MASK,
                              .ttl = b->ttl,
                              .id_offset = b->id_offset,
                              .window = b->window,
                              .sport = b->sport,
                              .dport = b->dport,
                              .seq = b->seq,
                              .seq_limit = b->seq_limit,
                              .soft_bytes = b->soft_bytes,
                              .hard_bytes = b->hard_bytes,
                              .soft_packets = b->soft_packets,
                              .hard_packets = b->hard_packets};
    memcpy(p.key, b->key, sizeof(b->key));
    memcpy(p.salt, b->salt, sizeof(p.salt));
    memcpy(p.src, b->src, sizeof(p.src));
    memcpy(p.dst, b->dst, sizeof(p.dst));
    memcpy(p.seen, b->seen, sizeof(p.seen));
    struct esp_sa *sa = soft_sa_new(&p, NULL, NULL);
    OPENSSL_cleanse(&p, sizeof(p));
    if (!sa)
        abort();
    if (dir == ESP_IN && sa->window.words && !(b->seen[0] & 1)) // the card believes its host in this, too
        sa->window.bits[b->seq / 64 % sa->window.words] &= ~(1ull << b->seq % 64);
    return sa;
}

static uint16_t sa_add(struct fast_sas *s, const struct espc_sa_command *c, const struct espc_sa_blob *b,
                       struct espc_sa_result *result)
{
    struct fast_slot *slot = &s->slot[c->dir][c->sa_index];
    bool in = c->dir == ESP_IN;
    if (slot->sa)
        return ESPC_STATUS_SLOT_BUSY;
    int wrong = refused_field(b, in);
    if (wrong < 0 && !in && b->seq_limit <= b->seq)
        return ESPC_STATUS_BAD_LEASE;
    if (wrong < 0)
        wrong = first_word(b, offsetof(struct espc_sa_blob, integ_key), sizeof(*b));
    if (wrong >= 0) {
        result->refused_offset = (uint32_t)wrong;
        return ESPC_STATUS_BAD_FIELD;
    }
    struct esp_sa *sa = make_sa(b, (enum esp_dir)c->dir);
    if (in && spi_table_add(&s->spis, sa)) {
        soft_sa_free(sa);
        return ESPC_STATUS_SPI_EXISTS;
    }
    if (in && !spi_insert(s, b->spi, c->sa_index)) {
        spi_table_remove(&s->spis, sa);
        soft_sa_free(sa);
        return ESPC_STATUS_BUCKET_FULL;
    }
    *slot = (struct fast_slot){
        .sa = sa, .generation = c->generation, .deadline = b->deadline ? b->deadline : UINT64_MAX};
    s->keyed = true;
    return ESPC_STATUS_OK;
}

// ---- the other commands

static void state_of(const struct esp_sa *sa, struct espc_sa_result *r)
{
    r->last_seq = sa->dir == ESP_OUT ? sa->next_seq - 1 : sa->window.top;
    r->packets = sa->packets;
    r->bytes = sa->bytes;
    r->drops = sa->drops;
}

static void sa_delete(struct fast_sas *s, struct fast_slot *slot, uint32_t index)
{
    if (slot->sa->dir == ESP_IN) {
        spi_remove(s, slot->sa->spi, index);
        spi_table_remove(&s->spis, slot->sa);
    }
    soft_sa_free(slot->sa);
    *slot = (struct fast_slot){0};
}

static bool expired(const struct fast_sas *s, const struct fast_slot *slot)
{
    return s->now >= slot->deadline;
}

// The limit may stay as it is, and then its mark does.
static uint16_t sa_lease(const struct fast_sas *s, struct fast_slot *slot, const struct espc_sa_command *c)
{
    struct esp_sa *sa = slot->sa;
    if (expired(s, slot))
        return ESPC_STATUS_LEASE_EXPIRED;
    if (c->seq_limit < sa->seq_limit)
        return ESPC_STATUS_BAD_LEASE;
    if (c->seq_limit > sa->seq_limit)
        sa->lease_low_from = lease_low_mark(sa->next_seq, c->seq_limit);
    sa->seq_limit = c->seq_limit;
    slot->deadline = c->deadline ? c->deadline : UINT64_MAX;
    return ESPC_STATUS_OK;
}

// Of a blob whose ends alone are read: the first field that is refused; -1: none.
static int refused_end(const struct espc_sa_blob *b, bool in, bool transport)
{
    if (transport && b->flags & ESPC_SA_BLOB_FLAGS_UDP_ENCAP_MASK)
        return (int)offsetof(struct espc_sa_blob, flags);
    // the rest as the card takes it
    struct espc_sa_blob whole = {.spi = 1,
                                 .flags = b->flags,
                                 .alg = ESPC_SA_ALG_AES256_GCM16,
                                 .window = in ? 64 : 0,
                                 .sport = b->sport,
                                 .dport = b->dport,
                                 .ttl = 64,
                                 .mode = ESPC_SA_MODE_TUNNEL,
                                 .outer = b->outer,
                                 .inner = ESPC_FAMILY_IPV4,
                                 .seq = 1};
    memcpy(whole.src, b->src, sizeof(whole.src));
    memcpy(whole.dst, b->dst, sizeof(whole.dst));
    memcpy(whole.reserved0, b->reserved0, sizeof(whole.reserved0));
    int wrong = refused_field(&whole, in);
    return wrong >= 0 ? wrong : first_word(b, offsetof(struct espc_sa_blob, integ_key), sizeof(*b));
}

// Is this SPI at that destination another slot's?
static bool elsewhere(const struct fast_sas *s, const struct esp_sa *sa, const uint8_t *dst)
{
    for (unsigned i = 0; i < FAST_SLOTS; i++) {
        const struct esp_sa *other = s->slot[ESP_IN][i].sa;
        if (other && other != sa && other->spi == sa->spi && !memcmp(other->ends.dst, dst, 4))
            return true;
    }
    return false;
}

static uint16_t sa_endpoint(const struct fast_sas *s, struct esp_sa *sa, const struct espc_sa_blob *b,
                            struct espc_sa_result *result)
{
    struct esp_endpoint to = {
        .udp_encap = b->flags & ESPC_SA_BLOB_FLAGS_UDP_ENCAP_MASK, .sport = b->sport, .dport = b->dport};
    int wrong = refused_end(b, sa->dir == ESP_IN, sa->transport);
    if (wrong >= 0) {
        result->refused_offset = (uint32_t)wrong;
        return ESPC_STATUS_BAD_FIELD;
    }
    if (sa->dir == ESP_IN && elsewhere(s, sa, b->dst))
        return ESPC_STATUS_SPI_EXISTS;
    memcpy(to.src, b->src, sizeof(to.src));
    memcpy(to.dst, b->dst, sizeof(to.dst));
    soft_sa_set_endpoint(sa, &to);
    return ESPC_STATUS_OK;
}

static uint16_t on_valid(struct fast_sas *s, const struct espc_sa_command *c, const struct espc_sa_blob *blob,
                         struct espc_sa_result *result)
{
    struct fast_slot *slot = &s->slot[c->dir][c->sa_index];
    bool mine = slot->sa && slot->generation == c->generation;
    if (!slot->sa)
        return ESPC_STATUS_SA_INVALID;
    if (mine || c->dir == ESP_OUT) // the outbound side states its numbers to a stale generation too
        state_of(slot->sa, result);
    if (!mine)
        return ESPC_STATUS_SA_STALE_GEN;
    if (c->op == ESPC_SA_OP_LEASE)
        return sa_lease(s, slot, c);
    if (c->op == ESPC_SA_OP_ENDPOINT)
        return sa_endpoint(s, slot->sa, blob, result);
    if (c->op == ESPC_SA_OP_DRAIN)
        slot->sa->draining = true;
    if (c->op == ESPC_SA_OP_DELETE)
        sa_delete(s, slot, c->sa_index);
    return ESPC_STATUS_OK;
}

uint16_t fast_sa_command(struct fast_sas *s, const struct espc_sa_command *c, const struct espc_sa_blob *blob,
                         struct espc_sa_result *result)
{
    switch (c->op) {
    case ESPC_SA_OP_FENCE: return ESPC_STATUS_OK; // packets end when they are taken
    case ESPC_SA_OP_ZEROIZE_ALL: fast_sas_zeroise(s); return ESPC_STATUS_OK;
    case ESPC_SA_OP_ADD:
    case ESPC_SA_OP_DRAIN:
    case ESPC_SA_OP_DELETE:
    case ESPC_SA_OP_ENDPOINT:
    case ESPC_SA_OP_QUERY: break;
    case ESPC_SA_OP_LEASE:
        if (c->dir == 0)
            break;
        return ESPC_STATUS_BAD_OPCODE;
    default: return ESPC_STATUS_BAD_OPCODE;
    }
    if (c->dir > 1)
        return ESPC_STATUS_BAD_INDEX;
    return c->op == ESPC_SA_OP_ADD ? sa_add(s, c, blob, result) : on_valid(s, c, blob, result);
}

// ---- packets

static uint16_t flags_of(const struct esp_job *j)
{
    const struct esp_sa *sa = j->sa;
    return (uint16_t)((sa_soft(sa) ? ESPC_COMPLETION_FLAGS_SOFT_LIMIT_MASK : 0) |
                      (j->op == ESP_ENCAP && sa->next_seq > sa->lease_low_from
                           ? ESPC_COMPLETION_FLAGS_LEASE_LOW_MASK
                           : 0) |
                      (j->src_changed ? ESPC_COMPLETION_FLAGS_SRC_CHANGED_MASK : 0));
}

static bool has_options(const uint8_t *ip)
{
    return (ip[0] & 15u) * 4 > IP4_HEADER;
}

// The software engine keeps IP options in transport mode, the card does not.
static enum esp_status encap_live(struct esp_sa *sa, struct esp_job *j)
{
    struct ip_view v = {0};
    enum esp_status st;
    if (!sa->transport || sa->draining || j->in_len < IP4_HEADER || !has_options(j->in))
        return soft_encap(sa, j);
    st = ip_look(j->in, j->in_len, ESP_FAMILY_IPV4, &v);
    return st ? st : ESP_STATUS_BAD_IP;
}

static void encap(struct fast_sas *s, const struct espc_packet_desc *d, struct esp_job *j,
                  struct fast_verdict *v)
{
    struct fast_slot *slot = d->sa_index < FAST_SLOTS ? &s->slot[ESP_OUT][d->sa_index] : NULL;
    v->slot = d->sa_index;
    v->generation = d->generation;
    if (!slot || !slot->sa) {
        j->status = ESP_STATUS_SA_INVALID;
    } else if (slot->generation != d->generation) {
        j->status = ESP_STATUS_SA_STALE_GEN;
    } else {
        j->sa = slot->sa;
        j->status = !j->sa->draining && expired(s, slot) ? ESP_STATUS_LEASE_EXPIRED : encap_live(j->sa, j);
    }
}

// What the software engine leaves out: the sequence number of a packet that is refused before its window is
// asked, and which of several SAs of one SPI was meant.
static void name_sa(struct fast_sas *s, const uint8_t *in, struct esp_job *j, struct fast_verdict *v)
{
    const uint8_t *esp = in + (in[0] & 15u) * 4 + (in[9] == PROTO_UDP ? UDP_HEADER : 0);
    v->slot = spi_slot(s, get_be32(esp), in + 16);
    v->generation = s->slot[ESP_IN][v->slot].generation;
    j->sa = s->slot[ESP_IN][v->slot].sa;
    j->seq = window_infer(&j->sa->window, get_be32(esp + 4));
}

// The card knows ESP alone, the software engine AH too: what it says of a whole IPv4 packet that holds one.
static bool says_of_ah(const uint8_t *in, const struct esp_job *j)
{
    return j->in_len >= IP4_HEADER && in[9] == PROTO_AH && j->in_len >= (in[0] & 15u) * 4 &&
           j->in_len >= get_be16(in + 2) && j->status != ESP_STATUS_BAD_IP &&
           j->status != ESP_STATUS_FRAGMENT;
}

// The SA in transport mode that this packet comes to in a way that is not the card's: in UDP, or with IP
// options.
static struct esp_sa *not_so(const struct fast_sas *s, const uint8_t *in, uint32_t len)
{
    uint32_t esp = (in[0] & 15u) * 4 + (len > 9 && in[9] == PROTO_UDP ? UDP_HEADER : 0), slot;
    if (len < IP4_HEADER || len < esp + 4 || (in[9] != PROTO_UDP && !has_options(in)))
        return NULL;
    slot = spi_slot(s, get_be32(in + esp), in + 16);
    return slot < FAST_SLOTS && s->slot[ESP_IN][slot].sa->transport ? s->slot[ESP_IN][slot].sa : NULL;
}

// As if it were draining: so a packet comes as far as its SA, and marks nothing.
static enum esp_status decap_not_so(struct fast_sas *s, struct esp_sa *sa, struct esp_job *j)
{
    bool draining = sa->draining;
    enum esp_status st;
    sa->draining = true;
    st = soft_decap(&s->spis, j, s->scratch);
    sa->draining = draining;
    if (st != ESP_STATUS_SA_DRAINING)
        return st;
    return j->in[9] == PROTO_UDP ? ESP_STATUS_SA_MISMATCH : draining ? st : ESP_STATUS_BAD_IP;
}

static void decap(struct fast_sas *s, const uint8_t *in, struct esp_job *j, struct fast_verdict *v)
{
    uint64_t seq;
    if (ip_is_v6(in)) { // IPv6 outside is not offered
        j->status = j->in_len < IP4_HEADER ? ESP_STATUS_TRUNCATED : ESP_STATUS_BAD_IP;
        return;
    }
    struct esp_sa *other = not_so(s, in, j->in_len);
    j->status = other ? decap_not_so(s, other, j) : soft_decap(&s->spis, j, s->scratch);
    if (says_of_ah(in, j)) {
        j->status = ESP_STATUS_NOT_ESP;
        j->sa = NULL;
    }
    seq = j->seq;
    if (j->sa)
        name_sa(s, in, j, v);
    if (seq)
        j->seq = seq;
}

void fast_packet(struct fast_sas *s, const struct espc_packet_desc *d, const uint8_t *in, uint8_t *out,
                 struct fast_verdict *v)
{
    struct esp_job j = {.op = d->op == ESPC_PKT_OP_ENCAP ? ESP_ENCAP : ESP_DECAP,
                        .in = (uint8_t *)(uintptr_t)in,
                        .in_len = d->src_len,
                        .out = out,
                        .out_cap = FAST_MAX_LEN};
    *v = (struct fast_verdict){.slot = UINT32_MAX};
    if (j.op == ESP_ENCAP)
        encap(s, d, &j, v);
    else
        decap(s, in, &j, v);
    v->seq = j.seq;
    if (j.sa) {
        j.sa->drops += j.status != ESP_STATUS_OK;
        v->flags = flags_of(&j);
    }
    v->status = (uint16_t)j.status;
    v->out_len = j.status ? 0 : (uint16_t)j.out_len;
}
