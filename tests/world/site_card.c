// SPDX-License-Identifier: Apache-2.0
// A site's card behind the driver's bus seam: the PCI function around a card in C or, where the world is
// asked for it, the Verilated one (both sim/card_model.h). It works in events of the world, a few descriptors
// at a time, and it can be killed, hang with or without its clock, lose its EPOCH, go FATAL, read all ones,
// stop answering, say nonsense, lose interrupts, refuse SAs and be slow. What it seals is told to the seal
// log.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/bus/bus.h"
#include "driver/common/bytes.h"
#include "hw/regs/gen/espalier_card.h"
#include "tests/world/fast_card.h"
#include "tests/world/world.h"

enum { MAPS = 16, FDS = 8, SLOTS_MAX = 64, QUEUES_ALL = 3, KHZ = 250000, FLIGHTS = 1 << 14 };
enum { STEP = 16 * FAST_CYCLES, REST = 1000000, MEMORY_MASTER = 4 };

struct map {
    uint64_t iova, size;
    uint8_t *base;
};
struct ring {
    uint64_t sq, cq;
    uint32_t size; // as the register has it
};
struct order_of { // the SA command in work
    uint8_t op, dir;
    uint16_t refusal;
    uint32_t slot;
    struct sealer sealer;
};
struct flight { // what comes into a result buffer next
    uint64_t dst, src;
    uint32_t slot; // outbound; UINT32_MAX: nothing that is sealed
};
struct site_card {
    struct site *site;
    struct card_bus *bus; // the driver that has it open
    enum card_fault fault;
    unsigned slots, refuse, slow, lose_irq; // per mille, us, per mille
    uint64_t still_at;                      // its clock when that stopped, cycles
    bool working, fatal;                    // fatal: until it is reset
    struct card_model *core;
    uint16_t command;
    struct map map[MAPS];
    int irq[FDS];
    struct ring ring[QUEUES_ALL];
    struct order_of now;
    struct sealer sealer[SLOTS_MAX];
    unsigned sas;
    struct flight flight[FLIGHTS]; // open addressing by dst
};
struct card_bus {
    struct bus bus;
    struct site_card *card;
};

#pragma weak card_model_l1_new

bool site_card_verilated(void)
{
    return card_model_l1_new != NULL;
}

// ---- memory of the host

static uint8_t *host(struct site_card *c, uint64_t iova, uint64_t len)
{
    for (int i = 0; i < MAPS && c->command & MEMORY_MASTER && c->bus; i++)
        if (c->map[i].base && iova >= c->map[i].iova && len <= c->map[i].size &&
            iova - c->map[i].iova <= c->map[i].size - len)
            return c->map[i].base + (iova - c->map[i].iova);
    return NULL;
}

static struct flight *flight_to(struct site_card *c, uint64_t dst)
{
    size_t i = (size_t)(dst / 64 * 0x9e3779b97f4a7c15u >> 32);
    for (size_t n = 0; n < FLIGHTS; n++, i++) {
        struct flight *f = &c->flight[i % FLIGHTS];
        if (!f->dst || f->dst == dst)
            return f;
    }
    abort();
}

// ---- what the card takes

// A refusal is the world's idea: the card sees a slot that does not exist, the driver another reason.
static void takes_command(struct site_card *c, uint8_t *entry)
{
    struct espc_sa_command cmd;
    memcpy(&cmd, entry, sizeof(cmd));
    c->now = (struct order_of){.op = cmd.op, .dir = cmd.dir & 1, .slot = cmd.sa_index};
    if (cmd.op == ESPC_SA_OP_ADD && rng_chance(&c->site->w->rng, c->refuse))
        c->now.refusal = ESPC_STATUS_BUCKET_FULL;
    if (cmd.op == ESPC_SA_OP_LEASE && rng_chance(&c->site->w->rng, c->refuse / 4))
        c->now.refusal = ESPC_STATUS_BAD_LEASE;
    if (c->now.refusal)
        memset(entry + offsetof(struct espc_sa_command, sa_index), 0xff, sizeof(cmd.sa_index));
    const uint8_t *blob =
        cmd.op == ESPC_SA_OP_ADD ? host(c, cmd.blob_iova, sizeof(struct espc_sa_blob)) : NULL;
    if (blob)
        c->now.sealer = check_sealer(get_le32(blob), blob + offsetof(struct espc_sa_blob, key),
                                     blob + offsetof(struct espc_sa_blob, salt));
}

static void takes_packet(struct site_card *c, const uint8_t *entry)
{
    struct espc_packet_desc d;
    memcpy(&d, entry, sizeof(d));
    bool seals = d.op == ESPC_PKT_OP_ENCAP && d.sa_index < SLOTS_MAX;
    *flight_to(c, d.dst_iova) =
        (struct flight){.dst = d.dst_iova, .src = d.src_iova, .slot = seals ? d.sa_index : UINT32_MAX};
}

static int on_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
    struct site_card *c = ctx;
    const uint8_t *p = host(c, addr, len);
    if (!p)
        return -EFAULT;
    memcpy(buf, p, len);
    for (unsigned q = 0; q < QUEUES_ALL; q++) {
        uint64_t bytes = 64ull << (c->ring[q].size & 15), from = addr - c->ring[q].sq;
        for (size_t i = 0; c->ring[q].sq && from < bytes && i + 64 <= len; i += 64) {
            if (q)
                takes_packet(c, (uint8_t *)buf + i);
            else
                takes_command(c, (uint8_t *)buf + i);
        }
    }
    return 0;
}

// ---- what the card says

static void lie(struct site_card *c, struct espc_completion *e)
{
    struct rng *r = &c->site->w->rng;
    uint32_t phase = e->head_phase & 0x80000000;
    switch (rng_below(r, 8)) {
    case 0: e->cookie ^= 1ull << rng_below(r, 64); break;
    case 1: e->flags ^= 1; break;
    case 2: e->out_len = 60000; break;
    case 3: e->head_phase = ((e->head_phase + 1 + (uint32_t)rng_below(r, 1000)) & 0x7fffffff) | phase; break;
    case 4: e->status = 63, e->out_len = 0; break;
    case 5: e->sa_index += 1 + (uint32_t)rng_below(r, 100); break;
    case 6: e->seq = 1; break;
    default: e->seq = UINT64_MAX >> 2; break;
    }
}

static void command_done(struct site_card *c, struct espc_completion *e)
{
    if (c->now.refusal) {
        e->status = c->now.refusal;
        e->sa_index = c->now.slot;
    } else if (e->status == ESPC_STATUS_OK && c->now.op == ESPC_SA_OP_ADD) {
        c->sas++;
        if (c->now.dir == 0)
            c->sealer[c->now.slot % SLOTS_MAX] = c->now.sealer;
    } else if (e->status == ESPC_STATUS_OK && c->now.op == ESPC_SA_OP_DELETE) {
        c->sas--;
    }
}

static int completes(struct site_card *c, unsigned q, uint64_t addr, const void *buf)
{
    struct espc_completion e;
    uint8_t *p = host(c, addr, sizeof(e));
    memcpy(&e, buf, sizeof(e));
    if (!q)
        command_done(c, &e);
    if (c->fault == CARD_HUNG) // it has used up its numbers, and nobody hears of it
        return 0;
    if (q && c->fault == CARD_NONSENSE)
        lie(c, &e);
    if (!p)
        return -EFAULT;
    memcpy(p, &e, sizeof(e));
    return 0;
}

// The head of an ESP packet on its way to the host.
static void sealed(struct site_card *c, const struct flight *f, const uint8_t *p)
{
    const uint8_t *esp = p + (p[0] & 15u) * 4 + (p[9] == IPPROTO_UDP ? 8 : 0), *inner = host(c, f->src, 1);
    if (inner)
        check_seals(&c->sealer[f->slot], (uint64_t)get32(esp + 8) << 32 | get32(esp + 12), inner);
}

static int on_write(void *ctx, uint64_t addr, const void *buf, size_t len)
{
    struct site_card *c = ctx;
    uint8_t *p = host(c, addr, len);
    for (unsigned q = 0; q < QUEUES_ALL; q++)
        if (c->ring[q].cq && addr - c->ring[q].cq < 32ull << (c->ring[q].size >> 8 & 15))
            return completes(c, q, addr, buf);
    if (!p)
        return -EFAULT;
    const struct flight *f = flight_to(c, addr);
    if (f->dst && f->slot != UINT32_MAX)
        sealed(c, f, buf);
    memcpy(p, buf, len);
    return 0;
}

static void on_irq(void *ctx, unsigned vector)
{
    struct site_card *c = ctx;
    uint64_t one = 1;
    if (vector >= FDS || c->irq[vector] < 0 || c->fault == CARD_HUNG)
        return;
    if (rng_chance(&c->site->w->rng, c->lose_irq)) {
        TRACE(c->site->w, 103, vector, "%c card: interrupt of vector %u is lost", c->site->letter, vector);
        return;
    }
    (void)!write(c->irq[vector], &one, sizeof(one));
    daemon_wake(c->site);
}

// ---- life

static void rest(struct site_card *c)
{
    card_model_step(c->core, REST);
    if (card_model_busy(c->core))
        abort();
}

static void forget(struct site_card *c)
{
    memset(c->ring, 0, sizeof(c->ring));
    memset(&c->now, 0, sizeof(c->now));
    memset(c->sealer, 0, sizeof(c->sealer));
    memset(c->flight, 0, sizeof(c->flight));
    c->sas = 0;
}

static void reset(struct site_card *c)
{
    unsigned memory = memory_of(NULL);
    c->fatal = false;
    forget(c);
    card_model_hard_reset(c->core);
    rest(c);
    memory_as(memory);
}

struct site_card *site_card_new(struct site *s, unsigned slots)
{
    struct site_card *c = calloc(1, sizeof(*c));
    struct card_model_config config = {
        .dma_read = on_read, .dma_write = on_write, .irq = on_irq, .ctx = c, .sa_slots = slots};
    if (!c)
        abort();
    c->site = s;
    c->slots = slots;
    memset(c->irq, -1, sizeof(c->irq));
    c->core = s->w->o.verilated ? card_model_l1_new(&config) : card_model_fast_new(&config);
    if (!c->core)
        abort();
    return c;
}

void site_card_free(struct site_card *c)
{
    if (c)
        card_model_destroy(c->core);
    free(c);
}

// ---- work

static bool stopped(const struct site_card *c)
{
    return c->fault == CARD_KILLED || c->fault == CARD_FROZEN || c->fatal;
}

static uint64_t cycles(const struct site_card *c)
{
    return c->fault == CARD_FROZEN ? c->still_at : c->site->w->now * KHZ / 1000;
}

// What the core has simulated of its time is less than the world's.
static void catch_up(struct site_card *c)
{
    uint64_t of_core = card_model_csr_read32(c->core, ESPC_REG_FREERUN_LO), now = cycles(c);
    of_core |= (uint64_t)card_model_csr_read32(c->core, ESPC_REG_FREERUN_HI) << 32;
    if (now > of_core)
        card_model_freerun_add(c->core, now - of_core);
}

static void work(struct world *w, void *ctx, uint64_t arg);

static void set_to_work(struct site_card *c)
{
    struct world *w = c->site->w;
    if (c->working || stopped(c) || !card_model_busy(c->core))
        return;
    c->working = true;
    agenda_add(w, rng_between(&w->rng, 1, 20) + rng_below(&w->rng, 1 + c->slow), work, c, 0);
}

static void work(struct world *w, void *ctx, uint64_t arg)
{
    struct site_card *c = ctx;
    (void)w, (void)arg;
    c->working = false;
    the_site = c->site;
    if (!stopped(c)) {
        catch_up(c);
        card_model_step(c->core, STEP);
    }
    set_to_work(c);
}

// ---- registers

// Its clock is the world's, whatever the card has simulated of it.
static uint32_t bar_read(struct site_card *c, uint32_t at)
{
    if (c->fault == CARD_ALL_ONES)
        return UINT32_MAX;
    if (at == ESPC_REG_FREERUN_LO)
        return (uint32_t)cycles(c);
    if (at == ESPC_REG_FREERUN_HI)
        return (uint32_t)(cycles(c) >> 32);
    if (at == ESPC_REG_STATUS && c->fatal)
        return card_model_csr_read32(c->core, at) | ESPC_STATUS_FATAL_MASK;
    return card_model_csr_read32(c->core, at);
}

static void note_ring(struct ring *r, uint32_t at, uint32_t value)
{
    uint64_t *of = at < ESPC_REG_QUEUE_CQ_BASE_LO(0) ? &r->sq : &r->cq;
    if (at == ESPC_REG_QUEUE_LOG2_SIZE(0))
        r->size = value;
    else if (at < ESPC_REG_QUEUE_LOG2_SIZE(0))
        *of = at & 4 ? (*of & UINT32_MAX) | (uint64_t)value << 32 : (*of & ~(uint64_t)UINT32_MAX) | value;
}

static void bar_write(struct site_card *c, uint32_t at, uint32_t value)
{
    uint32_t of_queue = (at - ESPC_REG_QUEUE_SQ_BASE_LO(0)) / ESPC_QUEUE_STRIDE;
    unsigned memory = memory_of(NULL); // its own, whatever its host has
    if (at >= ESPC_REG_QUEUE_SQ_BASE_LO(0) && of_queue < QUEUES_ALL)
        note_ring(&c->ring[of_queue], at - of_queue * ESPC_QUEUE_STRIDE, value);
    card_model_csr_write32(c->core, at, value);
    if (at == ESPC_REG_CTRL && value & ESPC_CTRL_RESET_MASK) {
        c->fatal = false;
        forget(c);
        rest(c);
    }
    set_to_work(c);
    memory_as(memory);
}

// ---- the bus

static struct site_card *card_at(struct bus *b)
{
    struct card_bus *cb = (struct card_bus *)b;
    return cb->card->bus == cb && !cb->card->site->d.cut ? cb->card : NULL;
}

static int refuses(struct site_card *c)
{
    return !c || c->fault == CARD_KILLED ? -ENODEV : c->fault == CARD_MUTE ? -ETIMEDOUT : 0;
}
static int bus_read(struct bus *b, unsigned region, uint64_t offset, void *buf, uint32_t count)
{
    struct site_card *c = card_at(b);
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
    struct site_card *c = card_at(b);
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
    struct site_card *c = card_at(b);
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
    struct site_card *c = card_at(b);
    (void)length;
    for (int i = 0; c && i < MAPS; i++)
        if (c->map[i].iova == iova)
            c->map[i].base = NULL;
    return 0;
}

static int bus_irqs(struct bus *b, const int *fds, unsigned n)
{
    struct site_card *c = card_at(b);
    for (unsigned i = 0; c && i < FDS; i++)
        c->irq[i] = i < n ? fds[i] : -1;
    return refuses(c);
}

static int bus_reset(struct bus *b)
{
    struct site_card *c = card_at(b);
    int rc = refuses(c);
    if (!rc)
        reset(c);
    return rc;
}

static bool bus_dead(struct bus *b)
{
    struct site_card *c = card_at(b);
    return !c || c->fault == CARD_KILLED;
}

// The device goes with its driver: no DMA, no interrupts, everything as after a reset.
static void let_go(struct site_card *c)
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

static const struct bus_ops ops = {bus_read,  bus_write, bus_map, bus_unmap, bus_irqs,
                                   bus_reset, bus_dead,  NULL,    bus_end};

// In the place of the driver's scan (--wrap).
int __wrap_bus_open(struct bus **b, const char *pci_sysfs, const char *bdf, uint16_t vendor, uint16_t device,
                    struct esp_error *err);
int __wrap_bus_open(struct bus **b, const char *pci_sysfs, const char *bdf, uint16_t vendor, uint16_t device,
                    struct esp_error *err)
{
    struct site_card *c = the_site->card;
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

void site_card_fault(struct site_card *c, enum card_fault f)
{
    TRACE(c->site->w, 100, f, "%c card: %s", c->site->letter, fault_names[f]);
    if (f == CARD_FROZEN)
        c->still_at = cycles(c);
    c->fault = f;
    c->fatal = c->fatal || f == CARD_FATAL;
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

void site_card_habits(struct site_card *c, unsigned refuse, unsigned slow, unsigned lose_irq)
{
    TRACE(c->site->w, 101, slow,
          "%c card: refuses %u per mille, slow by %u us, loses %u interrupts per mille", c->site->letter,
          refuse, slow, lose_irq);
    c->refuse = refuse;
    c->slow = slow;
    c->lose_irq = lose_irq;
}

unsigned site_card_sas(const struct site_card *c)
{
    return c->sas;
}
