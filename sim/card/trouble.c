// SPDX-License-Identifier: Apache-2.0
// Stands between the model's DMA and the host's memory.
#include "sim/card/trouble.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRY = sizeof(struct espc_completion), DESC = sizeof(struct espc_packet_desc) };
enum { ONE_IN = 4 };                               // descriptors with a bit inverted
enum { UPSET_CYCLES = 256, UPSET_LOOK_EVERY = 4 }; // of a slice; to look for a context takes a millisecond

static uint64_t roll(struct card_trouble *t)
{
    t->random ^= t->random << 13;
    t->random ^= t->random >> 7;
    t->random ^= t->random << 17;
    return t->random;
}

int card_trouble_init(struct card_trouble *t)
{
    memset(t, 0, sizeof *t);
    t->random = 0x9e3779b97f4a7c15u;
    t->held = calloc(CARD_TROUBLE_HELD, sizeof *t->held);
    return t->held ? 0 : -ENOMEM;
}

void card_trouble_free(struct card_trouble *t)
{
    free(t->held);
    t->held = NULL;
}

static void forget_keys(struct card_trouble *t)
{
    explicit_bzero(t->key, sizeof t->key);
}

void card_trouble_reset(struct card_trouble *t)
{
    memset(t->ring, 0, sizeof t->ring);
    forget_keys(t);
    t->count = t->first = 0;
    t->keys = 0;
    t->has_context = t->upset = false;
}

static uint64_t with_half(uint64_t of, bool high, uint32_t value)
{
    return high ? (of & 0xffffffff) | (uint64_t)value << 32 : (of & 0xffffffff00000000) | value;
}

void card_trouble_register(struct card_trouble *t, uint32_t offset, uint32_t value)
{
    if (offset == ESPC_REG_CTRL && value & (ESPC_CTRL_RESET_MASK | ESPC_CTRL_ZEROIZE_MASK))
        forget_keys(t);
    if (offset < ESPC_REG_QUEUE(0) || offset >= ESPC_REG_QUEUE(CARD_TROUBLE_QUEUES))
        return;
    unsigned q = (offset - ESPC_REG_QUEUE(0)) / ESPC_QUEUE_STRIDE;
    uint32_t at = offset - q * ESPC_QUEUE_STRIDE;
    if (at == ESPC_REG_QUEUE_SQ_BASE_LO(0) || at == ESPC_REG_QUEUE_SQ_BASE_HI(0))
        t->ring[q].sq = with_half(t->ring[q].sq, at == ESPC_REG_QUEUE_SQ_BASE_HI(0), value);
    else if (at == ESPC_REG_QUEUE_CQ_BASE_LO(0) || at == ESPC_REG_QUEUE_CQ_BASE_HI(0))
        t->ring[q].cq = with_half(t->ring[q].cq, at == ESPC_REG_QUEUE_CQ_BASE_HI(0), value);
    else if (at == ESPC_REG_QUEUE_LOG2_SIZE(0))
        t->ring[q].sizes = value;
    else if (at == ESPC_REG_QUEUE_CTRL(0))
        t->ring[q].said = false;
}

static bool inside(uint64_t addr, uint64_t base, uint32_t log2, unsigned entry)
{
    return log2 && log2 < 32 && addr >= base && addr - base < (uint64_t)entry << log2;
}

int card_trouble_queue(const struct card_trouble *t, uint64_t addr)
{
    for (int q = 0; q < CARD_TROUBLE_QUEUES; q++)
        if (inside(addr, t->ring[q].cq,
                   (t->ring[q].sizes & ESPC_QUEUE_LOG2_SIZE_CQ_MASK) >> ESPC_QUEUE_LOG2_SIZE_CQ_SHIFT, ENTRY))
            return q;
    return -1;
}

static int submission_queue(const struct card_trouble *t, uint64_t addr)
{
    for (int q = 0; q < CARD_TROUBLE_QUEUES; q++)
        if (inside(addr, t->ring[q].sq, t->ring[q].sizes & ESPC_QUEUE_LOG2_SIZE_SQ_MASK, DESC))
            return q;
    return -1;
}

// ---- what the card reads

static void learn_key(struct card_trouble *t, const uint8_t *entry,
                      int (*host)(void *ctx, uint64_t addr, void *buf, size_t len), void *ctx)
{
    struct card_known_key *k = &t->key[t->keys % CARD_TROUBLE_KEYS];
    struct espc_sa_command cmd;
    memcpy(&cmd, entry, sizeof cmd);
    if (cmd.op == ESPC_SA_OP_ZEROIZE_ALL)
        forget_keys(t);
    for (unsigned i = 0; cmd.op == ESPC_SA_OP_DELETE && i < CARD_TROUBLE_KEYS; i++)
        if (t->key[i].dir == cmd.dir && t->key[i].sa_index == cmd.sa_index)
            explicit_bzero(&t->key[i], sizeof t->key[i]);
    if (cmd.op != ESPC_SA_OP_ADD ||
        host(ctx, cmd.blob_iova + offsetof(struct espc_sa_blob, key), k->key, sizeof k->key))
        return;
    k->sa_index = cmd.sa_index;
    k->dir = cmd.dir;
    k->held = true;
    t->keys++;
}

static void learn_context(struct card_trouble *t, const uint8_t *entry)
{
    struct espc_packet_desc d;
    memcpy(&d, entry, sizeof d);
    uint16_t cap = d.dst_cap > UINT16_MAX ? UINT16_MAX : (uint16_t)d.dst_cap;
    memcpy(t->context, &d.cookie, 8);
    memcpy(t->context + 8, &d.dst_iova, 8);
    memcpy(t->context + 16, &cap, 2);
    t->has_context = true;
}

void card_trouble_read(struct card_trouble *t, enum card_trouble_kind kind, uint64_t addr, uint8_t *buf,
                       size_t len, int (*host)(void *ctx, uint64_t addr, void *buf, size_t len), void *ctx)
{
    for (size_t at = (size_t)(-addr % DESC); at + DESC <= len; at += DESC) {
        int q = submission_queue(t, addr + at);
        if (q == 0)
            learn_key(t, buf + at, host, ctx);
        if (q > 0)
            learn_context(t, buf + at);
        if (q > 0 && kind == CARD_TROUBLE_DESCRIPTOR && roll(t) % ONE_IN == 0)
            buf[at + roll(t) % DESC] ^= (uint8_t)(1u << roll(t) % 8);
    }
}

// ---- what the card writes

static bool lost(enum card_trouble_kind kind, int queue)
{
    switch (kind) {
    case CARD_TROUBLE_STALL: return queue >= 0;
    case CARD_TROUBLE_STALL_COMMANDS: return queue == 0;
    case CARD_TROUBLE_STALL_ENCAP: return queue == 1;
    case CARD_TROUBLE_STALL_DECAP: return queue == 2;
    default: return false;
    }
}

static uint64_t delay_ns(enum card_trouble_kind kind)
{
    return kind == CARD_TROUBLE_LATE   ? CARD_TROUBLE_LATE_MS * 1000000ull
           : kind == CARD_TROUBLE_SLOW ? CARD_TROUBLE_SLOW_MS * 1000000ull
                                       : 0;
}

// What comes behind something that is held is held too, so that the order is kept.
static struct card_held *hold(struct card_trouble *t, enum card_trouble_kind kind, uint64_t now_ns)
{
    uint64_t ns = delay_ns(kind);
    if ((!ns && !t->count) || t->count == CARD_TROUBLE_HELD)
        return NULL;
    struct card_held *h = &t->held[(t->first + t->count++) % CARD_TROUBLE_HELD];
    memset(h, 0, sizeof *h);
    h->due_ns = now_ns + ns;
    return h;
}

// The phase is the ring's: only what is said repeats what was said last.
static void say_again(struct card_trouble *t, enum card_trouble_kind kind, int q, uint8_t *entry)
{
    const size_t said = offsetof(struct espc_completion, head_phase);
    if (kind == CARD_TROUBLE_DUPLICATE && t->ring[q].said)
        memcpy(entry, t->ring[q].last, said);
    memcpy(t->ring[q].last, entry, said);
    t->ring[q].said = true;
}

static bool completion(struct card_trouble *t, enum card_trouble_kind kind, int q, uint64_t now_ns,
                       uint64_t addr, uint8_t *buf, size_t len)
{
    if (lost(kind, q))
        return true;
    for (size_t at = 0; q > 0 && at + ENTRY <= len; at += ENTRY)
        say_again(t, kind, q, buf + at);
    struct card_held *h = q > 0 && len <= sizeof h->data ? hold(t, kind, now_ns) : NULL;
    if (!h)
        return false;
    h->addr = addr;
    h->len = len;
    memcpy(h->data, buf, len);
    return true;
}

bool card_trouble_write(struct card_trouble *t, enum card_trouble_kind kind, uint64_t now_ns, uint64_t addr,
                        uint8_t *buf, size_t *len)
{
    int q = card_trouble_queue(t, addr);
    if (q >= 0)
        return completion(t, kind, q, now_ns, addr, buf, *len);
    if (kind == CARD_TROUBLE_PARTIAL && *len > CARD_TROUBLE_PART)
        *len = CARD_TROUBLE_PART;
    return false;
}

bool card_trouble_irq(struct card_trouble *t, enum card_trouble_kind kind, uint64_t now_ns, unsigned vector)
{
    if (lost(kind, (int)vector))
        return true;
    struct card_held *h = vector > 0 ? hold(t, kind, now_ns) : NULL;
    if (h)
        h->vector = vector;
    return h != NULL;
}

const struct card_held *card_trouble_due(struct card_trouble *t, uint64_t now_ns)
{
    struct card_held *h = &t->held[t->first];
    if (!t->count || h->due_ns > now_ns)
        return NULL;
    t->first = (t->first + 1) % CARD_TROUBLE_HELD;
    t->count--;
    return h;
}

int card_trouble_wait_ms(const struct card_trouble *t, uint64_t now_ns)
{
    if (!t->count)
        return -1;
    uint64_t due = t->held[t->first].due_ns;
    return due > now_ns ? (int)((due - now_ns) / 1000000 + 1) : 0;
}

// ---- inside the card

unsigned card_trouble_invert_keys(struct card_trouble *t, struct card_model *m)
{
    unsigned n = 0;
    for (unsigned i = 0; i < CARD_TROUBLE_KEYS; i++)
        if (t->key[i].held)
            n += card_model_flip(m, t->key[i].key, 8, 0, 0x10);
    return n;
}

// From the moment that a descriptor has been read its packet's context is looked for, as the queue and the
// tag stand behind it (rtl/ring/ring_dispatch.v): the tag's lowest bit is inverted, once for each packet, as
// a second time would set it right. What is found may be a copy that nobody looks at: a wire that is worked
// out anew in the next cycle, or a place in a FIFO that has been read.
void card_trouble_upset(struct card_trouble *t, struct card_model *m)
{
    for (unsigned i = 0; i < UPSET_CYCLES && card_model_busy(m); i++) {
        card_model_step(m, 1);
        if (t->has_context && i % UPSET_LOOK_EVERY == 0 &&
            card_model_flip(m, t->context, sizeof t->context, 0, 0x08)) {
            t->has_context = false;
            t->upset = true;
        }
    }
}
