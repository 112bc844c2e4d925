// SPDX-License-Identifier: Apache-2.0
// The two cards' memory, and the comparison. A card may complete the packets of its two pipelines in any
// order: completions of a batch are compared by cookie, and the submission head of each has to be possible.
#include "tests/system/model_twin.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/world/fast_card.h"

enum { IDLE_CYCLES = 4000000 };

void twins_differ(struct twins *t, const char *fmt, ...)
{
    va_list ap;
    if (t->difference[0])
        return;
    va_start(ap, fmt);
    vsnprintf(t->difference, sizeof(t->difference), fmt, ap);
    va_end(ap);
}

// ---- memory

static bool reaches(const struct twins *t, uint64_t at, size_t n)
{
    uint64_t from = at - TWIN_BASE;
    return from < sizeof(t->side[0].memory) && n <= sizeof(t->side[0].memory) - from &&
           !t->bad[from / TWIN_PAGE] && !t->bad[(from + n - 1) / TWIN_PAGE];
}

static int on_read(void *ctx, uint64_t at, void *p, size_t n)
{
    struct twin_side *s = ctx;
    if (!reaches(s->twins, at, n))
        return -1;
    memcpy(p, s->memory + (at - TWIN_BASE), n);
    return 0;
}

static int on_write(void *ctx, uint64_t at, const void *p, size_t n)
{
    struct twin_side *s = ctx;
    if (!reaches(s->twins, at, n))
        return -1;
    memcpy(s->memory + (at - TWIN_BASE), p, n);
    return 0;
}

static void on_irq(void *ctx, unsigned vector)
{
    ((struct twin_side *)ctx)->irqs[vector & 255]++;
}

uint64_t twin_place(unsigned page, unsigned offset)
{
    return TWIN_BASE + (uint64_t)page * TWIN_PAGE + offset;
}

void twins_put(struct twins *t, uint64_t at, const void *p, size_t n)
{
    for (int i = 0; i < 2; i++)
        memcpy(t->side[i].memory + (at - TWIN_BASE), p, n);
}

const uint8_t *twins_at(const struct twins *t, uint64_t at)
{
    return t->side[RTL].memory + (at - TWIN_BASE);
}

// ---- registers

void twins_write(struct twins *t, uint32_t reg, uint32_t value)
{
    for (int i = 0; i < 2; i++)
        card_model_csr_write32(t->side[i].card, reg, value);
}

uint32_t twins_read(struct twins *t, uint32_t reg)
{
    uint32_t a = card_model_csr_read32(t->side[RTL].card, reg),
             b = card_model_csr_read32(t->side[FAST].card, reg);
    if (a != b)
        twins_differ(t, "register 0x%04x reads 0x%08x in the Verilated card, 0x%08x in the C one", reg, a, b);
    return a;
}

static void forget_rings(struct twins *t)
{
    memset(t->queue, 0, sizeof(t->queue));
}

void twins_open(struct twins *t)
{
    struct card_model_config config = {
        .dma_read = on_read, .dma_write = on_write, .irq = on_irq, .sa_slots = TWIN_SLOTS};
    for (int i = 0; i < 2; i++) {
        memset(t->side[i].memory, 0, sizeof(t->side[i].memory));
        memset(t->side[i].irqs, 0, sizeof(t->side[i].irqs));
        t->side[i].twins = t;
        config.ctx = &t->side[i];
        t->side[i].card = i == RTL ? card_model_l1_new(&config) : card_model_fast_new(&config);
        if (!t->side[i].card)
            abort();
    }
    memset(t->bad, 0, sizeof(t->bad));
    forget_rings(t);
    t->difference[0] = 0;
}

void twins_close(struct twins *t)
{
    for (int i = 0; i < 2; i++)
        card_model_destroy(t->side[i].card);
}

void twins_hard_reset(struct twins *t)
{
    for (int i = 0; i < 2; i++)
        card_model_hard_reset(t->side[i].card);
    forget_rings(t);
}

// ---- queues

static uint64_t sq_at(unsigned q)
{
    return twin_place(PAGE_RINGS + 2 * q, 0);
}

static uint64_t cq_at(unsigned q)
{
    return twin_place(PAGE_RINGS + 2 * q + 1, 0);
}

void twins_queue_open(struct twins *t, unsigned q, uint32_t sq_log2, uint32_t cq_log2)
{
    static const uint8_t empty[TWIN_PAGE];
    twins_write(t, ESPC_REG_QUEUE_CTRL(q), 0);
    twins_put(t, cq_at(q), empty, sizeof(empty));
    twins_write(t, ESPC_REG_QUEUE_SQ_BASE_LO(q), (uint32_t)sq_at(q));
    twins_write(t, ESPC_REG_QUEUE_SQ_BASE_HI(q), (uint32_t)(sq_at(q) >> 32));
    twins_write(t, ESPC_REG_QUEUE_CQ_BASE_LO(q), (uint32_t)cq_at(q));
    twins_write(t, ESPC_REG_QUEUE_CQ_BASE_HI(q), (uint32_t)(cq_at(q) >> 32));
    twins_write(t, ESPC_REG_QUEUE_LOG2_SIZE(q), sq_log2 | cq_log2 << 8 | 6u << 16 | 5u << 24);
    twins_write(t, ESPC_REG_QUEUE_VECTOR(q), q);
    twins_write(t, ESPC_REG_QUEUE_CTRL(q), ESPC_QUEUE_CTRL_ENABLE_MASK);
    t->queue[q] = (struct twin_queue){.sq_log2 = sq_log2, .cq_log2 = cq_log2};
}

void twins_submit(struct twins *t, unsigned q, const void *entry)
{
    uint32_t slot = t->queue[q].tail & ((1u << t->queue[q].sq_log2) - 1);
    twins_put(t, sq_at(q) + 64u * slot, entry, 64);
    t->queue[q].tail++;
    t->descriptors++;
}

bool twins_pending(struct twins *t, unsigned q)
{
    return card_model_csr_read32(t->side[RTL].card, ESPC_REG_QUEUE_SQ_HEAD(q)) != t->queue[q].tail;
}

// ---- completions

static int by_cookie(const void *a, const void *b)
{
    const struct espc_completion *x = a, *y = b;
    return x->cookie < y->cookie ? -1 : x->cookie > y->cookie;
}

static void read_ring(struct twins *t, int side, unsigned q, uint32_t to, struct espc_completion *c)
{
    struct twin_queue *k = &t->queue[q];
    for (uint32_t i = k->seen; i != to; i++) {
        uint32_t slot = i & ((1u << k->cq_log2) - 1), phase = !(i >> k->cq_log2 & 1);
        struct espc_completion *e = &c[i - k->seen];
        memcpy(e, t->side[side].memory + (cq_at(q) - TWIN_BASE) + 32 * slot, sizeof(*e));
        if (e->head_phase >> 31 != phase)
            twins_differ(t, "completion %u of queue %u of card %d has the wrong phase", i, q, side);
        // one completion each, so its submission is not behind it in number
        if ((e->head_phase & 0x7fffffff) - (i + 1) > k->tail - (i + 1))
            twins_differ(t, "completion %u of queue %u of card %d states %u submissions taken of %u", i, q,
                         side, e->head_phase & 0x7fffffff, k->tail);
    }
}

// A packet that is refused before its window is asked has its number's upper half guessed from the window as
// the look-up finds it, which packets before it may still be moving.
static uint64_t known_seq(const struct espc_completion *c)
{
    bool guessed = c->status == ESPC_STATUS_SA_MISMATCH || c->status == ESPC_STATUS_SA_DRAINING ||
                   c->status == ESPC_STATUS_TRUNCATED;
    return guessed ? (uint32_t)c->seq : c->seq;
}

static bool same(const struct espc_completion *a, const struct espc_completion *b, bool alone)
{
    return a->cookie == b->cookie && (alone ? a->seq == b->seq : known_seq(a) == known_seq(b)) &&
           a->sa_index == b->sa_index && a->generation == b->generation && a->status == b->status &&
           a->out_len == b->out_len && a->flags == b->flags && (!alone || a->head_phase == b->head_phase);
}

static void compare_one(struct twins *t, unsigned q, const struct espc_completion *a,
                        const struct espc_completion *b, bool alone)
{
    t->verdicts[a->status & 127]++;
    if (!same(a, b, alone))
        twins_differ(
            t,
            "queue %u: the Verilated card completes %016llx: status %u seq %llx SA %d/%u %u bytes flags %x "
            "head %08x; the C one %016llx: status %u seq %llx SA %d/%u %u bytes flags %x head %08x",
            q, (unsigned long long)a->cookie, a->status, (unsigned long long)a->seq, (int)a->sa_index,
            a->generation, a->out_len, a->flags, a->head_phase, (unsigned long long)b->cookie, b->status,
            (unsigned long long)b->seq, (int)b->sa_index, b->generation, b->out_len, b->flags, b->head_phase);
}

static void compare_queue(struct twins *t, unsigned q)
{
    struct espc_completion a[64] = {0}, b[64] = {0};
    uint32_t to = twins_read(t, ESPC_REG_QUEUE_CQ_TAIL(q)), n;
    if (t->bad[PAGE_RINGS + 2 * q + 1]) // they are lost
        t->queue[q].seen = to;
    n = to - t->queue[q].seen;
    if (t->difference[0])
        return;
    if (n > 64) {
        twins_differ(t, "queue %u: %u completions", q, n);
        return;
    }
    read_ring(t, RTL, q, to, a);
    read_ring(t, FAST, q, to, b);
    if (q) { // the SA commands are worked through one after the other
        qsort(a, n, sizeof(*a), by_cookie);
        qsort(b, n, sizeof(*b), by_cookie);
    }
    for (uint32_t i = 0; i < n; i++)
        compare_one(t, q, &a[i], &b[i], !q || n == 1);
    t->queue[q].seen = to;
    t->completions += n;
    memcpy(t->side[FAST].memory + (cq_at(q) - TWIN_BASE), twins_at(t, cq_at(q)), TWIN_PAGE);
}

// ---- all that they leave

static void compare_memory(struct twins *t)
{
    const uint8_t *a = t->side[RTL].memory, *b = t->side[FAST].memory;
    if (!memcmp(a, b, sizeof(t->side[0].memory)))
        return;
    size_t i = 0;
    while (a[i] == b[i])
        i++;
    twins_differ(t, "memory differs at page %zu, octet %zu: %02x of the Verilated card, %02x of the C one",
                 i / TWIN_PAGE, i % TWIN_PAGE, a[i], b[i]);
}

static void compare_counters(struct twins *t)
{
    twins_write(t, ESPC_REG_SNAPSHOT, 1);
    for (unsigned i = 0; i < ESPC_COUNTER_COUNT; i++) {
        bool of_time = i == ESPC_COUNTER_CYCLES_BUSY || i == ESPC_COUNTER_ENC_BEATS ||
                       i == ESPC_COUNTER_DEC_BEATS || i == ESPC_COUNTER_DMA_READ_BEATS ||
                       i == ESPC_COUNTER_DMA_WRITE_BEATS;
        if (of_time)
            continue;
        (void)twins_read(t, ESPC_REG_COUNTER_LO(i));
        (void)twins_read(t, ESPC_REG_COUNTER_HI(i));
    }
}

static void compare_registers(struct twins *t, bool all)
{
    for (uint32_t q = 0; q < TWIN_QUEUES; q++)
        for (uint32_t at = all ? ESPC_REG_QUEUE_SQ_BASE_LO(q) : ESPC_REG_QUEUE_CTRL(q);
             at < ESPC_REG_QUEUE_SQ_BASE_LO(q + 1); at += 4)
            (void)twins_read(t, at);
    for (uint32_t at = all ? ESPC_REG_MAGIC : ESPC_REG_CTRL; at < ESPC_REG_FREERUN_LO; at += 4)
        if (at != ESPC_REG_BUILD_HASH)
            (void)twins_read(t, at);
    for (uint32_t at = ESPC_REG_BLOCK(0); all && at < ESPC_REG_BLOCK(8); at += 4)
        (void)twins_read(t, at);
    for (uint32_t at = ESPC_REG_COUNTER_NAME(0); all && at < ESPC_REG_COUNTER_NAME(ESPC_COUNTER_NAME_COUNT);
         at += 4)
        (void)twins_read(t, at);
}

void twins_settle(struct twins *t, bool all)
{
    struct card_model_stats stats;
    for (int i = 0; i < 2; i++) {
        card_model_step(t->side[i].card, IDLE_CYCLES);
        if (card_model_busy(t->side[i].card))
            twins_differ(t, "card %d does not come to rest", i);
    }
    card_model_stats(t->side[RTL].card, &stats);
    if (stats.violations)
        twins_differ(t, "the card breaks the rules of AXI");
    for (unsigned q = 0; q < TWIN_QUEUES; q++)
        compare_queue(t, q);
    for (unsigned v = 0; v < 256; v++)
        if (t->side[RTL].irqs[v] != t->side[FAST].irqs[v])
            twins_differ(t, "vector %u: %u interrupts of the Verilated card, %u of the C one", v,
                         t->side[RTL].irqs[v], t->side[FAST].irqs[v]);
    compare_memory(t);
    compare_registers(t, all);
    if (all)
        compare_counters(t);
}
