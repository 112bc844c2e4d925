// SPDX-License-Identifier: Apache-2.0
// Registers and rings of the fast card (rtl/csr, rtl/ring). What a card may do in one of several orders, it
// does in the order of submission.
#include "tests/world/fast_card.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hw/regs/gen/espalier_card.h"
#include "sim/card_model_ops.h"
#include "tests/world/fast_sa.h"

enum {
    QUEUES_ALL = 3,
    VECTORS = 4,
    KHZ = 250000,
    BURST = 256,
    BLOCKS = 6,
    COUNTERS = 58,
    RESET_CYCLES = 2000
};
enum { ENTRY_SIZES = 6 | 5 << 8 }; // upper half of LOG2_SIZE
#define OFFERED                                                                                              \
    (ESPC_FEATURES_OFFERED_AES128_GCM16_MASK | ESPC_FEATURES_OFFERED_AES256_GCM16_MASK |                     \
     ESPC_FEATURES_OFFERED_TUNNEL_MASK | ESPC_FEATURES_OFFERED_OUTER_IPV4_MASK |                             \
     ESPC_FEATURES_OFFERED_INNER_IPV4_MASK | ESPC_FEATURES_OFFERED_UDP_ENCAP_MASK |                          \
     ESPC_FEATURES_OFFERED_ESN_MASK | ESPC_FEATURES_OFFERED_REPLAY_MASK |                                    \
     ESPC_FEATURES_OFFERED_LOOKASIDE_MASK | ESPC_FEATURES_OFFERED_DEADLINE_MASK |                            \
     ESPC_FEATURES_OFFERED_ENDPOINT_MASK | ESPC_FEATURES_OFFERED_TRANSPORT_MASK)

struct queue {
    uint64_t sq_base, cq_base;
    uint32_t size, vector; // as written
    bool enable, armed;
    uint8_t cause; // enum espc_queue_cause: why it has stopped
    uint32_t sq_tail, sq_head, cq_tail, cq_head;
};
struct fast_card {
    struct card_model model;
    struct card_model_config config;
    struct card_model_stats stats;
    struct fast_sas sas;
    struct queue queue[QUEUES_ALL];
    uint32_t accepted, epoch, freerun_high;
    bool enable, quiesce;
    uint64_t freerun;
    uint64_t count[COUNTERS], shown[COUNTERS];
};

static struct fast_card *card(struct card_model *m)
{
    return (struct fast_card *)m;
}

// ---- reset, errors, host memory

static void reset(struct fast_card *c)
{
    fast_sas_zeroise(&c->sas);
    memset(c->queue, 0, sizeof(c->queue));
    c->accepted = c->epoch = 0;
    c->enable = c->quiesce = false;
}

static void hard_reset(struct card_model *m)
{
    struct fast_card *c = card(m);
    reset(c);
    c->freerun = RESET_CYCLES;
    memset(c->count, 0, sizeof(c->count));
    memset(c->shown, 0, sizeof(c->shown));
}

// Reads in bursts that stay within a block of 256 bytes; one that the bus refuses gives zeros.
static bool host_read(struct fast_card *c, uint64_t from, uint8_t *to, uint32_t len)
{
    bool ok = true;
    while (len) {
        uint32_t n = BURST - (uint32_t)(from % BURST);
        n = n < len ? n : len;
        if (c->config.dma_read(c->config.ctx, from, to, n)) {
            memset(to, 0, n);
            ok = false;
        }
        from += n, to += n, len -= n;
    }
    return ok;
}

static bool host_write(struct fast_card *c, uint64_t to, const void *from, uint32_t len)
{
    const uint8_t *p = from;
    bool ok = true;
    while (len) {
        uint32_t n = BURST - (uint32_t)(to % BURST);
        n = n < len ? n : len;
        if (c->config.dma_write(c->config.ctx, to, p, n))
            ok = false;
        to += n, p += n, len -= n;
    }
    return ok;
}

// ---- completions

static uint32_t sq_size(const struct queue *q)
{
    return 1u << (q->size & 15);
}

static uint32_t cq_size(const struct queue *q)
{
    return 1u << (q->size >> 8 & 15);
}

static void raise(struct fast_card *c, const struct queue *q)
{
    c->stats.irqs++;
    if (c->config.irq)
        c->config.irq(c->config.ctx, q->vector & 0xff);
}

static void interrupt(struct fast_card *c, struct queue *q)
{
    if (!q->armed || q->cq_tail == q->cq_head)
        return;
    q->armed = false;
    raise(c, q);
}

// The first cause counts; nothing else stops.
static void stop(struct fast_card *c, struct queue *q, enum espc_queue_cause cause)
{
    if (q->cause)
        return;
    q->cause = (uint8_t)cause;
    raise(c, q);
}

static void complete(struct fast_card *c, unsigned n, uint64_t cookie, const struct fast_verdict *v)
{
    struct queue *q = &c->queue[n];
    struct espc_completion e = {.cookie = cookie,
                                .seq = v->seq,
                                .sa_index = v->slot,
                                .generation = v->generation,
                                .status = v->status,
                                .out_len = v->out_len,
                                .flags = (uint16_t)(v->flags | (c->epoch & 0xff)),
                                .head_phase = (q->sq_head & 0x7fffffff) |
                                              (uint32_t) !(q->cq_tail / cq_size(q) & 1) << 31};
    uint64_t at = q->cq_base + (uint64_t)(q->cq_tail & (cq_size(q) - 1)) * sizeof(e);
    bool ok = host_write(c, at, &e, sizeof(e));
    q->cq_tail++;
    c->count[ESPC_COUNTER_COMPLETIONS]++;
    if (!ok)
        stop(c, q, ESPC_QUEUE_CAUSE_CQ_WRITE);
    interrupt(c, q);
}

// ---- SA commands

static bool zero(const void *from, const void *to)
{
    const uint8_t *p = from;
    while (p != to && !*p)
        p++;
    return p == to;
}

static bool place_is_good(uint64_t iova)
{
    return iova && iova % 64 == 0;
}

// Every command but one whose own memory is at fault.
static uint16_t obey(struct fast_card *c, const struct espc_sa_command *cmd, struct espc_sa_result *result)
{
    struct espc_sa_blob blob;
    bool indexed = cmd->op >= ESPC_SA_OP_ADD && cmd->op <= ESPC_SA_OP_QUERY, ok = true;
    bool with_blob = cmd->op == ESPC_SA_OP_ADD || cmd->op == ESPC_SA_OP_ENDPOINT;
    uint16_t status;
    if (!place_is_good(cmd->result_iova) || !zero(cmd->reserved, cmd + 1) ||
        (cmd->op != ESPC_SA_OP_LEASE && cmd->deadline) || (with_blob && !place_is_good(cmd->blob_iova)))
        return ESPC_STATUS_BAD_DESC;
    if (indexed && cmd->sa_index >= c->config.sa_slots)
        return ESPC_STATUS_BAD_INDEX;
    if (with_blob)
        ok = host_read(c, cmd->blob_iova, (uint8_t *)&blob, sizeof(blob));
    status = ok ? fast_sa_command(&c->sas, cmd, &blob, result) : ESPC_STATUS_DMA_ERROR;
    if (with_blob)
        explicit_bzero(&blob, sizeof(blob));
    return status;
}

static void sa_command(struct fast_card *c, const struct espc_sa_command *cmd)
{
    struct espc_sa_result result = {0};
    struct fast_verdict v = {.slot = cmd->sa_index, .generation = cmd->generation};
    v.status = obey(c, cmd, &result);
    v.seq = result.last_seq;
    if (place_is_good(cmd->result_iova) && !host_write(c, cmd->result_iova, &result, sizeof(result)))
        v.status = ESPC_STATUS_DMA_ERROR;
    c->count[ESPC_COUNTER_SA_COMMANDS]++;
    c->count[ESPC_COUNTER_SA_REFUSED] += v.status != ESPC_STATUS_OK;
    complete(c, 0, cmd->cookie, &v);
}

// ---- packets

static bool descriptor_is_good(const struct espc_packet_desc *d)
{
    return (d->op == ESPC_PKT_OP_ENCAP || d->op == ESPC_PKT_OP_DECAP) && !d->flags && d->src_len &&
           d->src_len <= FAST_MAX_LEN && place_is_good(d->dst_iova) && zero(&d->wire_port, d + 1);
}

static void count_packet(struct fast_card *c, const struct espc_packet_desc *d, const struct fast_verdict *v)
{
    static const uint8_t counter[2][3] = {
        {ESPC_COUNTER_ENC_PACKETS, ESPC_COUNTER_ENC_BYTES, ESPC_COUNTER_ENC_DROPS},
        {ESPC_COUNTER_DEC_PACKETS, ESPC_COUNTER_DEC_BYTES, ESPC_COUNTER_DEC_DROPS}};
    const uint8_t *of = counter[d->op == ESPC_PKT_OP_DECAP];
    c->count[of[0]] += v->status == ESPC_STATUS_OK;
    c->count[of[1]] += v->out_len;
    c->count[of[2]] += v->status != ESPC_STATUS_OK;
}

static void protect(struct fast_card *c, const struct espc_packet_desc *d, struct fast_verdict *v)
{
    uint8_t in[FAST_MAX_LEN], out[65536];
    bool ok = host_read(c, d->src_iova, in, d->src_len);
    fast_packet(&c->sas, d, in, out, v);
    if (!ok)
        v->status = ESPC_STATUS_DMA_ERROR;
    else if (v->status == ESPC_STATUS_OK && v->out_len > d->dst_cap)
        v->status = ESPC_STATUS_TOO_LONG;
    if (v->status == ESPC_STATUS_OK && !host_write(c, d->dst_iova, out, v->out_len))
        v->status = ESPC_STATUS_DMA_ERROR;
    if (v->status != ESPC_STATUS_OK)
        v->out_len = 0;
    count_packet(c, d, v);
}

static void packet(struct fast_card *c, unsigned n, const struct espc_packet_desc *d)
{
    struct fast_verdict v = {.slot = UINT32_MAX, .status = ESPC_STATUS_BAD_DESC};
    if (descriptor_is_good(d))
        protect(c, d, &v);
    if (v.status < COUNTERS - 32)
        c->count[32 + v.status]++;
    complete(c, n, d->cookie, &v);
}

// ---- the rings

// Every entry that is taken makes one completion, so there must be room for it.
static bool has_work(const struct fast_card *c, unsigned n)
{
    const struct queue *q = &c->queue[n];
    return c->enable && !c->quiesce && !q->cause && q->enable && q->sq_head != q->sq_tail &&
           q->sq_head - q->cq_head < cq_size(q);
}

static void take(struct fast_card *c, unsigned n)
{
    struct queue *q = &c->queue[n];
    union {
        uint8_t octets[64];
        struct espc_sa_command command;
        struct espc_packet_desc packet;
    } e;
    uint64_t at = q->sq_base + (uint64_t)(q->sq_head & (sq_size(q) - 1)) * sizeof(e);
    bool ok = host_read(c, at, e.octets, sizeof(e));
    q->sq_head++;
    if (n)
        c->count[ESPC_COUNTER_DESC_FETCHED]++;
    c->sas.now = c->freerun;
    if (!ok)
        stop(c, q, ESPC_QUEUE_CAUSE_SQ_READ);
    else if (n)
        packet(c, n, &e.packet);
    else
        sa_command(c, &e.command);
}

static bool is_busy(const struct card_model *m)
{
    for (unsigned n = 0; n < QUEUES_ALL; n++)
        if (has_work((const struct fast_card *)m, n))
            return true;
    return false;
}

static uint64_t step(struct card_model *m, uint64_t cycles)
{
    struct fast_card *c = card(m);
    uint64_t used = 0;
    while (used < cycles && is_busy(m)) {
        for (unsigned n = 0; n < QUEUES_ALL; n++) {
            if (has_work(c, n)) {
                take(c, n);
                used += FAST_CYCLES;
            }
        }
    }
    c->freerun += used;
    c->stats.cycles += used;
    c->stats.busy_cycles += used;
    return used;
}

// ---- doorbells

static bool bad_doorbell(struct fast_card *c, unsigned n)
{
    stop(c, &c->queue[n], ESPC_QUEUE_CAUSE_BAD_DOORBELL);
    return false;
}

static bool ring_tail(struct fast_card *c, unsigned n, uint32_t tail)
{
    struct queue *q = &c->queue[n];
    if (tail - q->sq_head > sq_size(q))
        return bad_doorbell(c, n);
    q->sq_tail = tail;
    return true;
}

static bool ring_head(struct fast_card *c, unsigned n, uint32_t value)
{
    struct queue *q = &c->queue[n];
    uint32_t head = value & 0x7fffffff, behind = (q->cq_tail - head) & 0x7fffffff;
    if (behind > ((q->cq_tail - q->cq_head) & 0x7fffffff))
        return bad_doorbell(c, n);
    q->cq_head = q->cq_tail - behind;
    q->armed |= value >> 31;
    interrupt(c, q);
    return true;
}

static void doorbell(struct fast_card *c, uint32_t at, uint32_t value)
{
    unsigned n = (at - ESPC_REG_DOORBELL(0)) / 8;
    if (n >= QUEUES_ALL || c->queue[n].cause || !c->queue[n].enable || at % 4)
        return;
    c->count[ESPC_COUNTER_DOORBELLS] += at % 8 ? ring_head(c, n, value) : ring_tail(c, n, value);
}

// ---- registers

// A queue goes up where its rings make sense; its indices begin anew.
static bool is_sane(const struct queue *q)
{
    uint32_t sq = q->size & 0xff, cq = q->size >> 8 & 0xff;
    return q->size >> 16 == ENTRY_SIZES && sq >= 2 && sq <= 15 && cq >= sq && cq <= 15 &&
           place_is_good(q->sq_base) && place_is_good(q->cq_base) && q->vector < VECTORS;
}

static void put_half(uint64_t *of, bool high, uint32_t value)
{
    *of = high ? (*of & UINT32_MAX) | (uint64_t)value << 32 : (*of & ~(uint64_t)UINT32_MAX) | value;
}

static void queue_write(struct queue *q, uint32_t at, uint32_t value)
{
    if (q->enable) {
        q->enable = at != ESPC_REG_QUEUE_CTRL(0) || value & ESPC_QUEUE_CTRL_ENABLE_MASK;
        return;
    }
    switch (at) {
    case ESPC_REG_QUEUE_SQ_BASE_LO(0):
    case ESPC_REG_QUEUE_SQ_BASE_HI(0): put_half(&q->sq_base, at & 4, value); break;
    case ESPC_REG_QUEUE_CQ_BASE_LO(0):
    case ESPC_REG_QUEUE_CQ_BASE_HI(0): put_half(&q->cq_base, at & 4, value); break;
    case ESPC_REG_QUEUE_LOG2_SIZE(0): q->size = value; break;
    case ESPC_REG_QUEUE_VECTOR(0): q->vector = value; break;
    case ESPC_REG_QUEUE_CTRL(0):
        if (!(value & ESPC_QUEUE_CTRL_ENABLE_MASK) || !is_sane(q))
            break;
        q->enable = true;
        q->armed = false;
        q->cause = 0;
        q->sq_tail = q->sq_head = q->cq_tail = q->cq_head = 0;
        break;
    default: break;
    }
}

static uint32_t queue_read(const struct queue *q, uint32_t at)
{
    switch (at) {
    case ESPC_REG_QUEUE_SQ_BASE_LO(0): return (uint32_t)q->sq_base;
    case ESPC_REG_QUEUE_SQ_BASE_HI(0): return (uint32_t)(q->sq_base >> 32);
    case ESPC_REG_QUEUE_CQ_BASE_LO(0): return (uint32_t)q->cq_base;
    case ESPC_REG_QUEUE_CQ_BASE_HI(0): return (uint32_t)(q->cq_base >> 32);
    case ESPC_REG_QUEUE_LOG2_SIZE(0): return q->size;
    case ESPC_REG_QUEUE_VECTOR(0): return q->vector;
    case ESPC_REG_QUEUE_CTRL(0): return q->enable;
    case ESPC_REG_QUEUE_STATUS(0):
        return q->cause ? ESPC_QUEUE_STATUS_ERROR_MASK | (uint32_t)q->cause << ESPC_QUEUE_STATUS_CAUSE_SHIFT
                        : 0;
    case ESPC_REG_QUEUE_SQ_HEAD(0): return q->sq_head;
    case ESPC_REG_QUEUE_CQ_TAIL(0): return q->cq_tail;
    default: return 0;
    }
}

static void control(struct fast_card *c, uint32_t value)
{
    if (value & ESPC_CTRL_RESET_MASK) {
        reset(c);
        return;
    }
    c->enable = value & ESPC_CTRL_ENABLE_MASK && !(c->accepted & ~OFFERED);
    c->quiesce = value & ESPC_CTRL_QUIESCE_MASK;
    if (value & ESPC_CTRL_ZEROIZE_MASK)
        fast_sas_zeroise(&c->sas);
}

static void csr_write32(struct card_model *m, uint32_t at, uint32_t value)
{
    struct fast_card *c = card(m);
    uint32_t of_queue = (at - ESPC_REG_QUEUE_SQ_BASE_LO(0)) / ESPC_QUEUE_STRIDE;
    if (at >= ESPC_REG_DOORBELL(0) && at < ESPC_REG_DOORBELL(ESPC_QUEUE_COUNT))
        doorbell(c, at, value);
    else if (at >= ESPC_REG_QUEUE_SQ_BASE_LO(0) && of_queue < QUEUES_ALL)
        queue_write(&c->queue[of_queue], at - of_queue * ESPC_QUEUE_STRIDE, value);
    else if (at == ESPC_REG_CTRL)
        control(c, value);
    else if (at == ESPC_REG_FEATURES_ACCEPTED && !c->enable)
        c->accepted = value;
    else if (at == ESPC_REG_EPOCH)
        c->epoch = value;
    else if (at == ESPC_REG_SNAPSHOT)
        memcpy(c->shown, c->count, sizeof(c->shown));
}

static uint32_t status(const struct fast_card *c)
{
    bool stopped = false;
    for (unsigned n = 0; n < QUEUES_ALL; n++)
        stopped = stopped || c->queue[n].cause;
    return ESPC_STATUS_READY_MASK | (c->accepted & ~OFFERED ? 0 : ESPC_STATUS_FEATURES_OK_MASK) |
           (stopped ? ESPC_STATUS_QUEUE_ERROR_MASK : 0) | ESPC_STATUS_DRAINED_MASK |
           (c->sas.keyed ? 0 : ESPC_STATUS_ZEROIZED_MASK);
}

static uint32_t identity_read(struct fast_card *c, uint32_t at)
{
    switch (at) {
    case ESPC_REG_MAGIC: return 0x4c505345;
    case ESPC_REG_ABI: return ESPC_ABI_MAJOR << 16 | ESPC_ABI_MINOR;
    case ESPC_REG_FEATURES_OFFERED: return OFFERED;
    case ESPC_REG_FEATURES_ACCEPTED: return c->accepted;
    case ESPC_REG_SA_SLOTS: return c->config.sa_slots;
    case ESPC_REG_QUEUES: return QUEUES_ALL - 1;
    case ESPC_REG_MAX_LEN: return FAST_MAX_LEN;
    case ESPC_REG_CLOCK_KHZ: return KHZ;
    case ESPC_REG_LANES: return 1;
    case ESPC_REG_VECTORS: return VECTORS;
    case ESPC_REG_EPOCH: return c->epoch;
    case ESPC_REG_CTRL:
        return (c->enable ? ESPC_CTRL_ENABLE_MASK : 0) | (c->quiesce ? ESPC_CTRL_QUIESCE_MASK : 0);
    case ESPC_REG_STATUS: return status(c);
    case ESPC_REG_FREERUN_LO: c->freerun_high = (uint32_t)(c->freerun >> 32); return (uint32_t)c->freerun;
    case ESPC_REG_FREERUN_HI: return c->freerun_high;
    default: return 0;
    }
}

static uint32_t directory_read(uint32_t at)
{
    static const uint32_t block[BLOCKS][2] = {{ESPC_BLOCK_TYPE_ID, ESPC_REG_MAGIC},
                                              {ESPC_BLOCK_TYPE_QUEUES, ESPC_REG_QUEUE_SQ_BASE_LO(0)},
                                              {ESPC_BLOCK_TYPE_DOORBELL, ESPC_REG_DOORBELL(0)},
                                              {ESPC_BLOCK_TYPE_COUNTERS, ESPC_REG_COUNTER_LO(0)},
                                              {ESPC_BLOCK_TYPE_COUNTER_NAMES, ESPC_REG_COUNTER_NAME(0)},
                                              {ESPC_BLOCK_TYPE_MSIX, ESPC_REG_MSIX_TABLE}};
    uint32_t i = (at - ESPC_REG_BLOCK(0)) / 16;
    if (i >= BLOCKS)
        return 0;
    switch (at % 16) {
    case 0: return block[i][0];
    case 4: return ESPC_ABI_MAJOR << 16;
    case 8: return block[i][1];
    default: return i + 1 < BLOCKS ? ESPC_REG_BLOCK(i + 1) : 0;
    }
}

static uint32_t counter_read(const struct fast_card *c, uint32_t at)
{
    uint32_t i = (at - ESPC_REG_COUNTER_LO(0)) / ESPC_COUNTER_STRIDE;
    if (i >= COUNTERS)
        return 0;
    return (uint32_t)(c->shown[i] >> (at & 4 ? 32 : 0));
}

static uint32_t name_read(uint32_t at)
{
    static const struct {
        const char *name;
        unsigned index;
    } names[] = {
#define X(sym, value, text) {#sym, value},
        ESPC_COUNTER_LIST(X)
#undef X
#define X(sym, value, text) {(value) ? "drop_" #sym : "packets_" #sym, 32 + (value)},
            ESPC_STATUS_LIST(X)
#undef X
    };
    uint32_t i = (at - ESPC_REG_COUNTER_NAME(0)) / ESPC_COUNTER_NAME_STRIDE, word;
    char name[ESPC_COUNTER_NAME_STRIDE] = "";
    for (size_t k = 0; k < sizeof(names) / sizeof(*names) && i < COUNTERS; k++)
        if (names[k].index == i && i != 32 + ESPC_STATUS_POLICY) // which the host alone gives
            memcpy(name, names[k].name, strlen(names[k].name));
    memcpy(&word, name + at % ESPC_COUNTER_NAME_STRIDE, sizeof(word));
    return word;
}

static uint32_t csr_read32(struct card_model *m, uint32_t at)
{
    struct fast_card *c = card(m);
    uint32_t of_queue = (at - ESPC_REG_QUEUE_SQ_BASE_LO(0)) / ESPC_QUEUE_STRIDE;
    if (at < 0x100)
        return identity_read(c, at);
    if (at >= ESPC_REG_BLOCK(0) && at < ESPC_REG_BLOCK(0) + 0x100)
        return directory_read(at);
    if (at >= ESPC_REG_QUEUE_SQ_BASE_LO(0) && of_queue < QUEUES_ALL)
        return queue_read(&c->queue[of_queue], at - of_queue * ESPC_QUEUE_STRIDE);
    if (at >= ESPC_REG_COUNTER_LO(0) && at < ESPC_REG_COUNTER_LO(ESPC_COUNTER_COUNT))
        return counter_read(c, at);
    if (at >= ESPC_REG_COUNTER_NAME(0) && at < ESPC_REG_COUNTER_NAME(ESPC_COUNTER_NAME_COUNT))
        return name_read(at);
    return 0;
}

// ---- the rest of card_model.h

static void freerun_add(struct card_model *m, uint64_t cycles)
{
    card(m)->freerun += cycles;
}

static unsigned find(const struct card_model *m, const void *bytes, size_t len)
{
    const struct fast_card *c = (const struct fast_card *)m;
    const char *at = (const char *)c, *end = at + sizeof(*c);
    unsigned n = 0;
    while ((at = memmem(at, (size_t)(end - at), bytes, len))) {
        n++;
        at++;
    }
    return n;
}

static void get_stats(const struct card_model *m, struct card_model_stats *stats)
{
    *stats = ((const struct fast_card *)m)->stats;
}

static int wave_start(struct card_model *m, const char *path)
{
    (void)m, (void)path;
    return -ENOTSUP;
}

static void wave_stop(struct card_model *m)
{
    (void)m;
}

static void destroy(struct card_model *m)
{
    fast_sas_zeroise(&card(m)->sas);
    spi_table_free(&card(m)->sas.spis);
    free(m);
}

static const struct card_model_ops ops = {.lanes = 1,
                                          .vectors = VECTORS,
                                          .csr_read32 = csr_read32,
                                          .csr_write32 = csr_write32,
                                          .busy = is_busy,
                                          .step = step,
                                          .freerun_add = freerun_add,
                                          .find = find,
                                          .hard_reset = hard_reset,
                                          .stats = get_stats,
                                          .wave_start = wave_start,
                                          .wave_stop = wave_stop,
                                          .destroy = destroy};

struct card_model *card_model_fast_new(const struct card_model_config *config)
{
    struct fast_card *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->model.ops = &ops;
    c->config = *config;
    if (!c->config.sa_slots || c->config.sa_slots > FAST_SLOTS)
        c->config.sa_slots = FAST_SLOTS;
    fast_sas_init(&c->sas);
    c->freerun = RESET_CYCLES;
    return &c->model;
}
