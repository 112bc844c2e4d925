// SPDX-License-Identifier: Apache-2.0
// The card as a fast model behind the driver's bus seam: registers, rings, DMA, interrupts and SA slots as
// hw/regs describes them; ESP itself by the software engine. It works in events of the world, a few
// descriptors at a time, and it can be killed, hang with or without its clock, lose its EPOCH, go FATAL, read
// all ones, stop answering, say nonsense, lose interrupts, refuse SAs and be slow.
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/bus/bus.h"
#include "driver/common/bytes.h"
#include "espalier/engine.h"
#include "hw/regs/gen/espalier_card.h"
#include "tests/world/world.h"

enum { MAPS = 16, FDS = 8, SLOTS_MAX = 64, WORDS = 0x6000 / 4, QUEUES_ALL = 3, KHZ = 250000, BATCH = 16 };

struct map {
    uint64_t iova, size;
    uint8_t *base;
};
struct slot {
    struct esp_sa *inner; // NULL: invalid
    uint16_t generation;
    uint64_t last; // outbound: used, also by packets that nobody was told of
};
struct card_model {
    struct site *site;
    struct card_bus *bus; // the driver that has it open
    enum card_fault fault;
    unsigned slots, refuse, slow, lose_irq; // per mille, us, per mille
    uint64_t still_at;                      // its clock when that stopped, cycles
    bool working;
    struct esp_engine *inner;
    uint32_t reg[WORDS];
    uint16_t command;
    struct map map[MAPS];
    int irq[FDS];
    uint32_t sq_head[QUEUES_ALL], sq_tail[QUEUES_ALL], cq_tail[QUEUES_ALL];
    bool armed[QUEUES_ALL];
    struct slot slot[2][SLOTS_MAX];
};
struct card_bus {
    struct bus bus;
    struct card_model *card;
};

static uint32_t *reg(struct card_model *c, uint32_t at)
{
    return &c->reg[at / 4 % WORDS];
}

// ---- life

static void drop_sas(struct card_model *c)
{
    struct esp_error err;
    if (c->inner)
        c->inner->ops->destroy(c->inner);
    c->inner = NULL;
    memset(c->slot, 0, sizeof(c->slot));
    if (esp_soft_open(&c->inner, &err) < 0)
        abort();
}

static void reset(struct card_model *c)
{
    static const uint32_t block[][2] = {{1, 0}, {2, 0x1000}, {3, 0x2000}, {4, 0x3000}, {5, 0x4000}};
    drop_sas(c);
    memset(c->reg, 0, sizeof(c->reg));
    memset(c->sq_head, 0, sizeof(c->sq_head));
    memset(c->sq_tail, 0, sizeof(c->sq_tail));
    memset(c->cq_tail, 0, sizeof(c->cq_tail));
    memset(c->armed, 0, sizeof(c->armed));
    *reg(c, ESPC_REG_MAGIC) = 0x4c505345;
    *reg(c, ESPC_REG_ABI) = ESPC_ABI_MAJOR << 16 | ESPC_ABI_MINOR;
    *reg(c, ESPC_REG_FEATURES_OFFERED) = 0x0f57;
    *reg(c, ESPC_REG_SA_SLOTS) = c->slots;
    *reg(c, ESPC_REG_QUEUES) = 2;
    *reg(c, ESPC_REG_MAX_LEN) = 9216;
    *reg(c, ESPC_REG_CLOCK_KHZ) = KHZ;
    *reg(c, ESPC_REG_VECTORS) = 4;
    *reg(c, ESPC_REG_STATUS) = ESPC_STATUS_READY_MASK;
    for (uint32_t i = 0; i < 5; i++) {
        *reg(c, ESPC_REG_BLOCK_TYPE(i)) = block[i][0];
        *reg(c, ESPC_REG_BLOCK_VERSION(i)) = ESPC_ABI_MAJOR << 16;
        *reg(c, ESPC_REG_BLOCK_OFFSET(i)) = block[i][1];
        *reg(c, ESPC_REG_BLOCK_NEXT(i)) = i < 4 ? ESPC_REG_BLOCK(i + 1) : 0;
    }
}

struct card_model *card_model_new(struct site *s, unsigned slots)
{
    struct card_model *c = calloc(1, sizeof(*c));
    if (!c)
        abort();
    c->site = s;
    c->slots = slots;
    memset(c->irq, -1, sizeof(c->irq));
    reset(c);
    return c;
}

void card_model_free(struct card_model *c)
{
    if (c && c->inner)
        c->inner->ops->destroy(c->inner);
    free(c);
}

// ---- memory of the host

static uint8_t *host(struct card_model *c, uint64_t iova, uint64_t len)
{
    for (int i = 0; i < MAPS && c->command & 4 && c->bus; i++)
        if (c->map[i].base && iova >= c->map[i].iova && len <= c->map[i].size &&
            iova - c->map[i].iova <= c->map[i].size - len)
            return c->map[i].base + (iova - c->map[i].iova);
    return NULL;
}

static uint64_t ring_base(struct card_model *c, unsigned q, uint32_t lo)
{
    return *reg(c, lo + q * ESPC_QUEUE_STRIDE) | (uint64_t)*reg(c, lo + 4 + q * ESPC_QUEUE_STRIDE) << 32;
}

struct done {
    uint64_t cookie, seq;
    uint32_t slot;
    uint16_t generation, status, out_len, flags;
};

static void lie(struct card_model *c, struct done *d, uint32_t *head)
{
    switch (rng_below(&c->site->w->rng, 8)) {
    case 0: d->cookie ^= 1ull << rng_below(&c->site->w->rng, 64); break;
    case 1: d->flags ^= 1; break;
    case 2: d->out_len = 60000; break;
    case 3: *head += 1 + (uint32_t)rng_below(&c->site->w->rng, 1000); break;
    case 4: d->status = 63, d->out_len = 0; break;
    case 5: d->slot += 1 + (uint32_t)rng_below(&c->site->w->rng, 100); break;
    case 6: d->seq = 1; break;
    default: d->seq = UINT64_MAX >> 2; break;
    }
}

static void complete(struct card_model *c, unsigned q, struct done d)
{
    uint32_t log2 = *reg(c, ESPC_REG_QUEUE_LOG2_SIZE(q)) >> 8 & 0xff, size = 1u << log2;
    uint32_t at = c->cq_tail[q] & (size - 1), phase = !(c->cq_tail[q] >> log2 & 1), head = c->sq_head[q];
    uint8_t *p = host(c, ring_base(c, q, ESPC_REG_QUEUE_CQ_BASE_LO(0)) + at * 32, 32);
    if (!p)
        return;
    d.flags |= *reg(c, ESPC_REG_EPOCH) & 0xff;
    if (q && c->fault == CARD_NONSENSE)
        lie(c, &d, &head);
    put_le64(p, d.cookie);
    put_le64(p + 8, d.seq);
    put_le32(p + 16, d.slot);
    put_le16(p + 20, d.generation);
    put_le16(p + 22, d.status);
    put_le16(p + 24, d.out_len);
    put_le16(p + 26, d.flags);
    put_le32(p + 28, (head & 0x7fffffff) | phase << 31);
    c->cq_tail[q]++;
}

static void interrupt(struct card_model *c, unsigned q)
{
    uint64_t one = 1;
    if (!c->armed[q] || c->irq[q] < 0)
        return;
    c->armed[q] = false;
    if (rng_chance(&c->site->w->rng, c->lose_irq)) {
        TRACE(c->site->w, 103, q, "%c card: interrupt of queue %u is lost", c->site->letter, q);
        return;
    }
    (void)!write(c->irq[q], &one, sizeof(one));
    daemon_wake(c->site);
}

// ---- SA commands

static bool answer_of(struct card_model *c, enum esp_event_type want, struct esp_event *ev)
{
    return c->inner->ops->events(c->inner, ev, 1) == 1 && ev->type == want;
}

static uint16_t sa_add(struct card_model *c, struct slot *s, enum esp_dir dir, uint16_t generation,
                       const uint8_t *b)
{
    struct esp_error err = {0};
    struct esp_event ev;
    struct esp_sa *sa;
    uint32_t flags = get_le32(b + offsetof(struct espc_sa_blob, flags));
    struct esp_sa_params p = {
        .dir = dir,
        .mode = ESP_TUNNEL,
        .alg = get_le32(b + 8) == ESPC_SA_ALG_AES128_GCM16 ? ESP_ALG_AES128_GCM16 : ESP_ALG_AES256_GCM16,
        .spi = get_le32(b),
        .esn = flags & ESPC_SA_BLOB_FLAGS_ESN_MASK,
        .udp_encap = flags & ESPC_SA_BLOB_FLAGS_UDP_ENCAP_MASK,
        .df_clear = flags & ESPC_SA_BLOB_FLAGS_DF_CLEAR_MASK,
        .no_dscp_copy = flags & ESPC_SA_BLOB_FLAGS_NO_DSCP_COPY_MASK,
        .no_ecn = flags & ESPC_SA_BLOB_FLAGS_NO_ECN_MASK,
        .dscp_decap = flags & ESPC_SA_BLOB_FLAGS_DSCP_DECAP_MASK,
        .ttl = b[offsetof(struct espc_sa_blob, ttl)],
        .window = get_le32(b + offsetof(struct espc_sa_blob, window)),
        .sport = get_le16(b + offsetof(struct espc_sa_blob, sport)),
        .dport = get_le16(b + offsetof(struct espc_sa_blob, dport)),
        .seq = get_le64(b + offsetof(struct espc_sa_blob, seq)),
        .seq_limit = dir == ESP_OUT ? get_le64(b + offsetof(struct espc_sa_blob, seq_limit)) : UINT64_MAX};
    memcpy(p.key, b + offsetof(struct espc_sa_blob, key), 32);
    memcpy(p.salt, b + offsetof(struct espc_sa_blob, salt), 4);
    memcpy(p.src, b + offsetof(struct espc_sa_blob, src), 16);
    memcpy(p.dst, b + offsetof(struct espc_sa_blob, dst), 16);
    p.soft_bytes = get_le64(b + offsetof(struct espc_sa_blob, soft_bytes));
    p.hard_bytes = get_le64(b + offsetof(struct espc_sa_blob, hard_bytes));
    p.soft_packets = get_le64(b + offsetof(struct espc_sa_blob, soft_packets));
    p.hard_packets = get_le64(b + offsetof(struct espc_sa_blob, hard_packets));
    for (int i = 0; i < 16; i++)
        p.seen[i] = get_le64(b + offsetof(struct espc_sa_blob, seen) + 8 * i);
    int rc = c->inner->ops->sa_add(c->inner, &p, NULL, &sa, &err);
    OPENSSL_cleanse(&p, sizeof(p));
    if (rc < 0)
        return ESPC_STATUS_BAD_FIELD;
    if (!answer_of(c, ESP_EVENT_SA_ADDED, &ev))
        return ESPC_STATUS_SPI_EXISTS;
    *s = (struct slot){.inner = sa, .generation = generation};
    return ESPC_STATUS_OK;
}

static void put_result(uint8_t *r, const struct esp_sa_stats *st)
{
    put_le64(r, st->last_seq);
    put_le64(r + 8, st->packets);
    put_le64(r + 16, st->bytes);
    put_le64(r + 24, st->drops);
}

static bool zero_from(const uint8_t *s, unsigned at)
{
    while (at < 64 && !s[at])
        at++;
    return at == 64;
}

static uint16_t sa_command(struct card_model *c, const uint8_t *s, struct done *d)
{
    unsigned dir = s[1] & 1;
    uint32_t index = get_le32(s + 4);
    struct slot *slot = &c->slot[dir][index % SLOTS_MAX];
    uint8_t *blob = host(c, get_le64(s + 16), 512), *result = host(c, get_le64(s + 24), 64);
    struct esp_event ev;
    d->slot = index;
    d->generation = get_le16(s + 2);
    if (!zero_from(s, offsetof(struct espc_sa_command, deadline)))
        return ESPC_STATUS_BAD_DESC;
    if (index >= c->slots)
        return ESPC_STATUS_BAD_INDEX;
    if (!result)
        return ESPC_STATUS_DMA_ERROR;
    if (s[0] == ESPC_SA_OP_ADD) {
        if (rng_chance(&c->site->w->rng, c->refuse))
            return ESPC_STATUS_BUCKET_FULL;
        return !blob         ? ESPC_STATUS_DMA_ERROR
               : slot->inner ? ESPC_STATUS_SLOT_BUSY
                             : sa_add(c, slot, (enum esp_dir)dir, d->generation, blob);
    }
    if (!slot->inner)
        return ESPC_STATUS_SA_INVALID;
    if (slot->generation != d->generation)
        return ESPC_STATUS_SA_STALE_GEN;
    if (s[0] == ESPC_SA_OP_LEASE) {
        if (rng_chance(&c->site->w->rng, c->refuse / 4))
            return ESPC_STATUS_BAD_LEASE;
        if (c->inner->ops->sa_lease(c->inner, slot->inner, get_le64(s + 32)) < 0)
            return ESPC_STATUS_BAD_LEASE;
        (void)answer_of(c, ESP_EVENT_SA_LEASED, &ev);
    } else if (s[0] == ESPC_SA_OP_DELETE) {
        c->inner->ops->sa_delete(c->inner, slot->inner);
        (void)answer_of(c, ESP_EVENT_SA_DELETED, &ev);
        *slot = (struct slot){0};
    } else {
        c->inner->ops->sa_query(c->inner, slot->inner);
        (void)answer_of(c, ESP_EVENT_SA_STATS, &ev);
    }
    put_result(result, &ev.stats);
    return ESPC_STATUS_OK;
}

// ---- packets

static uint16_t packet(struct card_model *c, const uint8_t *s, struct done *d)
{
    uint8_t *in = host(c, get_le64(s), get_le32(s + 16)), *out = host(c, get_le64(s + 8), get_le32(s + 20));
    struct esp_job job = {.op = s[30] == ESPC_PKT_OP_ENCAP ? ESP_ENCAP : ESP_DECAP,
                          .in = in,
                          .out = out,
                          .in_len = get_le32(s + 16),
                          .out_cap = get_le32(s + 20)},
                   *j = &job;
    if (s[31] || !zero_from(s, offsetof(struct espc_packet_desc, wire_port)))
        return ESPC_STATUS_BAD_DESC;
    if (!in || !out)
        return ESPC_STATUS_DMA_ERROR;
    if (job.op == ESP_ENCAP) {
        struct slot *slot = &c->slot[ESP_OUT][get_le32(s + 24) % SLOTS_MAX];
        d->slot = get_le32(s + 24);
        d->generation = get_le16(s + 28);
        if (!slot->inner)
            return ESPC_STATUS_SA_INVALID;
        if (slot->generation != d->generation)
            return ESPC_STATUS_SA_STALE_GEN;
        job.sa = slot->inner;
    }
    esp_submit(c->inner, &j, 1);
    esp_poll(c->inner, &j, 1);
    for (uint32_t i = 0; job.op == ESP_DECAP && job.sa && i < c->slots; i++) {
        if (c->slot[ESP_IN][i].inner == job.sa) {
            d->slot = i;
            d->generation = c->slot[ESP_IN][i].generation;
        }
    }
    d->seq = job.seq;
    d->out_len = (uint16_t)job.out_len;
    d->flags = (job.soft_limit ? ESPC_COMPLETION_FLAGS_SOFT_LIMIT_MASK : 0) |
               (job.lease_low ? ESPC_COMPLETION_FLAGS_LEASE_LOW_MASK : 0) |
               (job.src_changed ? ESPC_COMPLETION_FLAGS_SRC_CHANGED_MASK : 0);
    return (uint16_t)job.status;
}

// Takes descriptors. Hung, it takes them and uses up their numbers, and nobody hears of it.
static unsigned work_queue(struct card_model *c, unsigned q)
{
    uint32_t size = 1u << (*reg(c, ESPC_REG_QUEUE_LOG2_SIZE(q)) & 0xff);
    unsigned n = 0;
    for (; c->sq_head[q] != c->sq_tail[q] && n < BATCH; n++) {
        uint8_t *s =
            host(c, ring_base(c, q, ESPC_REG_QUEUE_SQ_BASE_LO(0)) + (c->sq_head[q] & (size - 1)) * 64, 64);
        struct done d = {.slot = UINT32_MAX};
        if (!s)
            break;
        c->sq_head[q]++;
        d.cookie = get_le64(s + (q ? 32 : 8));
        d.status = q ? packet(c, s, &d) : sa_command(c, s, &d);
        if (c->fault != CARD_HUNG)
            complete(c, q, d);
    }
    if (n && c->fault != CARD_HUNG)
        interrupt(c, q);
    return n;
}

static bool stopped(const struct card_model *c)
{
    return c->fault == CARD_KILLED || c->fault == CARD_FROZEN || c->fault == CARD_FATAL;
}

static void work(struct world *w, void *ctx, uint64_t arg);

static void set_to_work(struct card_model *c)
{
    struct world *w = c->site->w;
    if (c->working || stopped(c))
        return;
    c->working = true;
    agenda_add(w, rng_between(&w->rng, 1, 20) + rng_below(&w->rng, 1 + c->slow), work, c, 0);
}

static void work(struct world *w, void *ctx, uint64_t arg)
{
    struct card_model *c = ctx;
    unsigned n = 0;
    (void)w, (void)arg;
    c->working = false;
    the_site = c->site;
    for (unsigned q = 0; q < QUEUES_ALL && !stopped(c) && c->bus; q++)
        n += work_queue(c, q);
    if (n)
        set_to_work(c);
}

// ---- registers

static uint64_t cycles(const struct card_model *c)
{
    return c->fault == CARD_FROZEN ? c->still_at : c->site->w->now * KHZ / 1000;
}

static uint32_t bar_read(struct card_model *c, uint32_t at)
{
    if (c->fault == CARD_ALL_ONES)
        return UINT32_MAX;
    if (at == ESPC_REG_FREERUN_LO)
        return (uint32_t)cycles(c);
    if (at == ESPC_REG_FREERUN_HI)
        return (uint32_t)(cycles(c) >> 32);
    return *reg(c, at);
}

static void bar_write(struct card_model *c, uint32_t at, uint32_t value)
{
    if (at >= ESPC_REG_DOORBELL(0) && at < ESPC_REG_DOORBELL(QUEUES_ALL)) {
        unsigned q = (at - ESPC_REG_DOORBELL(0)) / 8;
        if (at % 8 == 0) {
            c->sq_tail[q] = value;
            set_to_work(c);
        } else if (value >> 31) {
            c->armed[q] = true;
            if ((c->cq_tail[q] & 0x7fffffff) != (value & 0x7fffffff))
                interrupt(c, q);
        }
    } else if (at == ESPC_REG_CTRL && value & ESPC_CTRL_RESET_MASK) {
        reset(c);
    } else {
        *reg(c, at) = value;
        if (at == ESPC_REG_FEATURES_ACCEPTED)
            *reg(c, ESPC_REG_STATUS) |= ESPC_STATUS_FEATURES_OK_MASK;
    }
}

// ---- the bus

static struct card_model *card_at(struct bus *b)
{
    struct card_bus *cb = (struct card_bus *)b;
    return cb->card->bus == cb && !cb->card->site->d.cut ? cb->card : NULL;
}

static int refuses(struct card_model *c)
{
    return !c || c->fault == CARD_KILLED ? -ENODEV : c->fault == CARD_MUTE ? -ETIMEDOUT : 0;
}

static int bus_read(struct bus *b, unsigned region, uint64_t offset, void *buf, uint32_t count)
{
    struct card_model *c = card_at(b);
    uint8_t v[4] = {0};
    int rc = refuses(c);
    if (rc) {
        b->gone = true;
        return rc;
    }
    put_le32(v, region == BUS_REGION_CONFIG ? c->command : bar_read(c, (uint32_t)offset));
    memcpy(buf, v, count < 4 ? count : 4);
    return 0;
}

static int bus_write(struct bus *b, unsigned region, uint64_t offset, const void *buf, uint32_t count,
                     bool posted)
{
    struct card_model *c = card_at(b);
    uint8_t v[4] = {0};
    int rc = refuses(c);
    if (rc) {
        if (posted && rc == -ETIMEDOUT)
            return 0; // nobody waits for it
        b->gone = true;
        return rc;
    }
    memcpy(v, buf, count < 4 ? count : 4);
    if (region == BUS_REGION_CONFIG)
        c->command = get_le16(v);
    else
        bar_write(c, (uint32_t)offset, get_le32(v));
    return 0;
}

static int bus_map(struct bus *b, void *base, size_t length, int memfd, uint64_t iova)
{
    struct card_model *c = card_at(b);
    (void)memfd;
    for (int i = 0; c && i < MAPS; i++) {
        if (!c->map[i].base) {
            c->map[i] = (struct map){iova, length, base};
            return 0;
        }
    }
    return -ENOSPC;
}

static int bus_unmap(struct bus *b, uint64_t iova, size_t length)
{
    struct card_model *c = card_at(b);
    (void)length;
    for (int i = 0; c && i < MAPS; i++)
        if (c->map[i].iova == iova)
            c->map[i].base = NULL;
    return 0;
}

static int bus_irqs(struct bus *b, const int *fds, unsigned n)
{
    struct card_model *c = card_at(b);
    for (unsigned i = 0; c && i < FDS; i++)
        c->irq[i] = i < n ? fds[i] : -1;
    return refuses(c);
}

static int bus_reset(struct bus *b)
{
    struct card_model *c = card_at(b);
    int rc = refuses(c);
    if (!rc)
        reset(c);
    return rc;
}

static bool bus_dead(struct bus *b)
{
    struct card_model *c = card_at(b);
    return !c || c->fault == CARD_KILLED;
}

// The device goes with its driver: no DMA, no interrupts, everything as after a reset.
static void let_go(struct card_model *c)
{
    c->bus = NULL;
    c->command = 0;
    memset(c->map, 0, sizeof(c->map));
    memset(c->irq, -1, sizeof(c->irq));
    reset(c);
}

static void bus_end(struct bus *b)
{
    struct card_bus *cb = (struct card_bus *)b;
    if (cb->card->bus == cb)
        let_go(cb->card);
    free(cb);
}

static const struct bus_ops ops = {bus_read, bus_write, bus_map,  bus_unmap,
                                   bus_irqs, bus_reset, bus_dead, bus_end};

// In the place of the driver's scan (--wrap).
int __wrap_bus_open(struct bus **b, const char *pci_sysfs, const char *bdf, uint16_t vendor, uint16_t device,
                    struct esp_error *err);
int __wrap_bus_open(struct bus **b, const char *pci_sysfs, const char *bdf, uint16_t vendor, uint16_t device,
                    struct esp_error *err)
{
    struct card_model *c = the_site->card;
    (void)pci_sysfs, (void)bdf, (void)vendor, (void)device;
    *b = NULL;
    if (!c || c->fault == CARD_KILLED || c->bus)
        return esp_fail(err, -ENODEV, "pci", "no card");
    struct card_bus *cb = calloc(1, sizeof(*cb));
    if (!cb)
        abort();
    cb->card = c;
    c->bus = cb;
    cb->bus.ops = &ops;
    strcpy(cb->bus.name, "0000:01:00.0");
    cb->bus.fd = -1;
    cb->bus.next_iova = 1 << 20;
    cb->bus.bar0_size = 0x10000;
    cb->bus.irqs = 4;
    *b = &cb->bus;
    return 0;
}

// ---- faults

static const char *const fault_names[] = {
#define X(sym, name) name,
    CARD_FAULT_LIST(X)
#undef X
};

void card_model_fault(struct card_model *c, enum card_fault f)
{
    TRACE(c->site->w, 100, f, "%c card: %s", c->site->letter, fault_names[f]);
    if (f == CARD_FROZEN)
        c->still_at = cycles(c);
    c->fault = f;
    if (f == CARD_FATAL)
        *reg(c, ESPC_REG_STATUS) |= ESPC_STATUS_FATAL_MASK;
    if (f == CARD_RESET) {
        reset(c);
        c->fault = CARD_WELL;
    }
    if (f == CARD_WELL) {
        if (!c->bus)
            reset(c);
        set_to_work(c);
    }
    daemon_wake(c->site);
}

void card_model_habits(struct card_model *c, unsigned refuse, unsigned slow, unsigned lose_irq)
{
    TRACE(c->site->w, 101, slow,
          "%c card: refuses %u per mille, slow by %u us, loses %u interrupts per mille", c->site->letter,
          refuse, slow, lose_irq);
    c->refuse = refuse;
    c->slow = slow;
    c->lose_irq = lose_irq;
}

unsigned card_model_sas(const struct card_model *c)
{
    unsigned n = 0;
    for (unsigned i = 0; i < c->slots; i++)
        n += (c->slot[0][i].inner != NULL) + (c->slot[1][i].inner != NULL);
    return n;
}
