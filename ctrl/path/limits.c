// SPDX-License-Identifier: Apache-2.0
// Where an SA has to be followed by another, and where it ends: what the operator allows (which the engines
// count, each from where the one before stopped), what its algorithm allows one key, and its last sequence
// number. ike is told of each once for a child SA, whichever direction comes there first.
#include "ctrl/path/path.h"

// X(algorithm, blocks to rekey at, blocks at which the key ends, forged packets to rekey at, ... at which it
// ends), as powers of two; 64: never. Blocks are of 16 octets.
// AES-GCM: an adversary who sees s blocks tells them from random with at most s^2 / 2^129 (the bound behind
// RFC 8446 section 5.5, which allows TLS 2^34.5 of them). The key ends at 2^36, where that is 2^-57. It is
// followed at 2^35 (2^-59), which is where QUIC's ends (RFC 9001 section 6.6: 2^23 packets of up to 2^12
// blocks): every 7.3 minutes at 10 Gb/s, with as long to do it in, and still 44 s at 100 Gb/s. RFC 8221 has
// no limit, and strongSwan none by default (its hour is 2^38 blocks at 10 Gb/s). SP 800-38D section 8.3
// limits nothing more: our IV is the sequence number, not random. Forgeries: RFC 9001 section 6.6.
// ChaCha20-Poly1305: no number of blocks below 2^64 matters (RFC 8446 section 5.5); v forgeries of L blocks
// succeed with v * L / 2^103, L being 2^12 at most.
// AES-GCM with a shorter tag: 12 octets: v * L / 2^96, which is 2^-48 at the end; 8 octets: SP 800-38D
// appendix C allows 2^23 for packets of up to 2^17 octets. AES-CCM asks the cipher twice for each block, so
// it has half as many; forged packets count in the same bound (RFC 9001 section 6.6 allows 2^21.5). AES-CBC
// and AES-CTR: the birthday bound of GCM. HMAC: v / 2^96 at worst (SHA-1). NULL and AH encrypt nothing;
// GMAC's cipher is asked once a packet.
#define KEY_LIMITS(X)                                                                                        \
    X(NONE, 64, 64, 51, 52)                                                                                  \
    X(AES128_GCM16, 35, 36, 51, 52)                                                                          \
    X(AES192_GCM16, 35, 36, 51, 52)                                                                          \
    X(AES256_GCM16, 35, 36, 51, 52)                                                                          \
    X(CHACHA20_POLY1305, 64, 64, 33, 34)                                                                     \
    X(AES128_GCM8, 35, 36, 22, 23)                                                                           \
    X(AES192_GCM8, 35, 36, 22, 23)                                                                           \
    X(AES256_GCM8, 35, 36, 22, 23)                                                                           \
    X(AES128_GCM12, 35, 36, 35, 36)                                                                          \
    X(AES192_GCM12, 35, 36, 35, 36)                                                                          \
    X(AES256_GCM12, 35, 36, 35, 36)                                                                          \
    X(AES128_CCM8, 34, 35, 20, 21)                                                                           \
    X(AES192_CCM8, 34, 35, 20, 21)                                                                           \
    X(AES256_CCM8, 34, 35, 20, 21)                                                                           \
    X(AES128_CCM12, 34, 35, 20, 21)                                                                          \
    X(AES192_CCM12, 34, 35, 20, 21)                                                                          \
    X(AES256_CCM12, 34, 35, 20, 21)                                                                          \
    X(AES128_CCM16, 34, 35, 20, 21)                                                                          \
    X(AES192_CCM16, 34, 35, 20, 21)                                                                          \
    X(AES256_CCM16, 34, 35, 20, 21)                                                                          \
    X(AES128_GMAC, 35, 36, 51, 52)                                                                           \
    X(AES192_GMAC, 35, 36, 51, 52)                                                                           \
    X(AES256_GMAC, 35, 36, 51, 52)                                                                           \
    X(AES128_CBC, 35, 36, 51, 52)                                                                            \
    X(AES192_CBC, 35, 36, 51, 52)                                                                            \
    X(AES256_CBC, 35, 36, 51, 52)                                                                            \
    X(AES128_CTR, 35, 36, 51, 52)                                                                            \
    X(AES192_CTR, 35, 36, 51, 52)                                                                            \
    X(AES256_CTR, 35, 36, 51, 52)                                                                            \
    X(NULL, 64, 64, 51, 52)

// What is in flight when a limit shows: it ends so much earlier.
#define IN_FLIGHT_BLOCKS ((uint64_t)PATH_JOBS * (65536 / 16))
// Numbers that are left when an SA has to be followed by another: half a minute at ten million packets a
// second.
#define LAST_NUMBERS (1ull << 28)

// Octets of the ring, so that an event finds room wherever it stands.
#define ROOM_TO_TELL 64u

struct key_limits {
    uint64_t soft_blocks, hard_blocks, soft_forged, hard_forged;
};

static uint64_t power(unsigned n)
{
    return n < 64 ? 1ull << n : UINT64_MAX;
}

static struct key_limits limits_of(enum esp_alg a)
{
    switch (a) {
#define X(sym, soft, hard, soft_forged, hard_forged)                                                         \
    case ESP_ALG_##sym:                                                                                      \
        return (struct key_limits){power(soft), power(hard) - IN_FLIGHT_BLOCKS, power(soft_forged),          \
                                   power(hard_forged)};
        KEY_LIMITS(X)
#undef X
    default: return (struct key_limits){0};
    }
}

static struct msg_CHILD_EVENT event_of(const struct child *c)
{
    return (struct msg_CHILD_EVENT){.child_id = c->c.child_id, .event = c->limit_event};
}

static void tell(struct child *c)
{
    struct msg_CHILD_EVENT m = event_of(c);
    if (note_kept(c->w, MSG_CHILD_EVENT, &m))
        c->limit_told = c->limit_event;
    else
        c->w->limits_untold = true;
}

void limit_event(struct child *c, uint8_t event)
{
    if (c->dying || c->limit_event >= event)
        return;
    c->limit_event = event; // once each
    tell(c);
}

// SAs are only looked at while there is room: there may be very many, just where ike does not keep up.
void limits_tell(struct path *p)
{
    bool any = false;
    for (unsigned i = 0; i < p->workers; i++) {
        struct worker *w = &p->worker[i];
        bool now = w->limits_untold && notes_room(&w->notes) >= ROOM_TO_TELL;
        w->limits_untold &= !now;
        any |= now;
    }
    for (struct child *c = any ? p->children : NULL; c; c = c->next)
        if (!c->dying && c->limit_told < c->limit_event && !c->w->limits_untold)
            tell(c);
}

void limit_last(struct path *p, struct child *c)
{
    c->limit_event = CHILD_EVENT_HARD_LIMIT;
    if (c->limit_told == c->limit_event)
        return;
    struct msg_CHILD_EVENT m = event_of(c);
    c->limit_told = c->limit_event;
    notes_forward(p); // what it has said before
    ipc_send(p->ike, MSG_CHILD_EVENT, &m);
}

static void judge(struct half *h, bool soft, bool hard)
{
    if (hard)
        h->ended = true;
    if (soft || hard)
        limit_event(h->child, hard ? CHILD_EVENT_HARD_LIMIT : CHILD_EVENT_SOFT_LIMIT);
}

static bool last_numbers(const struct half *h, uint64_t seq)
{
    uint64_t last = h->child->c.esn ? UINT64_MAX : UINT32_MAX;
    return half_dir(h) == ESP_OUT && seq > last - LAST_NUMBERS;
}

void limit_count(struct half *h, uint32_t octets, uint64_t seq)
{
    h->used.packets++;
    h->used.bytes += octets;
    limit_dummy(h, octets, seq);
}

// By an engine that counts for itself, since it was last asked.
void limit_many(struct half *h, uint64_t packets, uint64_t octets, uint64_t seq)
{
    struct key_limits l = limits_of((enum esp_alg)h->child->alg);
    h->used.packets += packets;
    h->used.bytes += octets;
    h->used.blocks += octets / 16 + 2 * packets;
    judge(h, h->used.blocks >= l.soft_blocks || last_numbers(h, seq), h->used.blocks >= l.hard_blocks);
}

// What the operator allows is of packets; what the key and the numbers do not last for is of these too.
void limit_dummy(struct half *h, uint32_t octets, uint64_t seq)
{
    struct key_limits l = limits_of((enum esp_alg)h->child->alg);
    h->used.blocks += octets / 16 + 2; // the ESP trailer and a last block that is not full
    judge(h, h->used.blocks >= l.soft_blocks || last_numbers(h, seq), h->used.blocks >= l.hard_blocks);
}

void limit_forged(struct half *h, uint64_t more)
{
    struct key_limits l = limits_of((enum esp_alg)h->child->alg);
    h->used.forged += more;
    judge(h, h->used.forged >= l.soft_forged, h->used.forged >= l.hard_forged);
}

void limit_job(struct child *c, const struct esp_job *j)
{
    if (j->status == ESP_STATUS_HARD_LIMIT || j->status == ESP_STATUS_SEQ_OVERFLOW)
        limit_event(c, CHILD_EVENT_HARD_LIMIT);
    else if (j->soft_limit)
        limit_event(c, CHILD_EVENT_SOFT_LIMIT);
}

static uint64_t rest(uint64_t limit, uint64_t used)
{
    return limit == 0 ? 0 : limit > used ? limit - used : 1;
}

void limits_left(const struct half *h, struct esp_sa_params *s)
{
    const struct child_facts *m = &h->child->c;
    s->soft_bytes = rest(m->rekey_bytes, h->used.bytes);
    s->hard_bytes = rest(m->life_bytes, h->used.bytes);
    s->soft_packets = rest(m->rekey_packets, h->used.packets);
    s->hard_packets = rest(m->life_packets, h->used.packets);
    if (m->life_packets && h->used.packets >= m->life_packets)
        s->hard_bytes = 1; // no packet is so short
}
