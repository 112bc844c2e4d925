// SPDX-License-Identifier: Apache-2.0
// card_model_twin [SEED [DESCRIPTORS]]: the card in C (tests/world/fast_card.h) against the Verilated one.
// Episodes of random steps (SA commands, packets, doorbells, broken memory, resets) go into both; after each
// step completions, memory, interrupts and registers must be equal. Every step is a function of its own seed,
// so an episode that ends in a difference is made as short as it goes, and printed.
// Exit status: 0 equal, 1 a difference.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/system/model_twin.h"
#include "tests/system/twin_packets.h"
#include "tests/unit/drv_util.h"
#include "tests/world/fast_sa.h"

enum { STEPS = 150, OLD = 64, DEFAULT_DESCRIPTORS = 4000 };

struct known { // the last ADD of a slot, whatever came of it
    uint16_t generation;
    unsigned spi;
    uint64_t seq;
};
struct episode {
    uint64_t seed;
    bool skip[STEPS];
    bool tell;
    struct known known[2][TWIN_SLOTS];
    uint8_t old[OLD][2048]; // what was sealed
    uint32_t old_len[OLD];
    bool quiesced, fatal, empty;
};
static struct twins t; // large

static uint64_t below(uint64_t *r, uint64_t n)
{
    return (rnd(r) >> 16) % n;
}

static bool chance(uint64_t *r, unsigned per_mille)
{
    return below(r, 1000) < per_mille;
}

#define TELL(e, ...)                                                                                         \
    do {                                                                                                     \
        if ((e)->tell)                                                                                       \
            printf(__VA_ARGS__);                                                                             \
    } while (0)

// ---- coming up

static void bring_up(struct episode *e, uint64_t *r)
{
    uint32_t accept =
        chance(r, 900)
            ? t.side[RTL].card ? card_model_csr_read32(t.side[RTL].card, ESPC_REG_FEATURES_OFFERED) : 0
            : (uint32_t)rnd(r);
    twins_write(&t, ESPC_REG_EPOCH, (uint32_t)rnd(r));
    twins_write(&t, ESPC_REG_FEATURES_ACCEPTED, accept);
    for (unsigned q = 0; q < TWIN_QUEUES; q++) {
        uint32_t sq = 2 + (uint32_t)below(r, 4);
        twins_queue_open(&t, q, sq, sq + (uint32_t)below(r, 7 - sq));
    }
    twins_write(&t, ESPC_REG_CTRL, ESPC_CTRL_ENABLE_MASK);
    e->quiesced = e->fatal = false;
    TELL(e, "bring up, features 0x%x accepted\n", accept);
}

static void step_reset(struct episode *e, uint64_t *r)
{
    bool hard = chance(r, 300);
    TELL(e, "%s reset\n", hard ? "hard" : "CTRL");
    if (hard)
        twins_hard_reset(&t);
    else
        twins_write(&t, ESPC_REG_CTRL, ESPC_CTRL_RESET_MASK | (uint32_t)below(r, 16));
    memset(t.queue, 0, sizeof(t.queue));
    twins_settle(&t, false);
    bring_up(e, r);
    e->empty = true;
}

static bool anything_pending(void)
{
    for (unsigned q = 0; q < TWIN_QUEUES; q++)
        if (twins_pending(&t, q))
            return true;
    return false;
}

// ---- SA commands

static uint64_t some_place(uint64_t *r, unsigned page, unsigned offset)
{
    if (chance(r, 985))
        return twin_place(page, offset);
    switch (below(r, 4)) {
    case 0: return 0;
    case 1: return twin_place(page, offset) + 1 + below(r, 63);
    case 2: return rnd(r) & ~(uint64_t)63;
    default: return twin_place(TWIN_PAGES, 0) - 64 * below(r, 3);
    }
}

static uint8_t some_op(uint64_t *r)
{
    static const uint8_t common[] = {ESPC_SA_OP_ADD,    ESPC_SA_OP_ADD,   ESPC_SA_OP_ADD,
                                     ESPC_SA_OP_ADD,    ESPC_SA_OP_LEASE, ESPC_SA_OP_ENDPOINT,
                                     ESPC_SA_OP_DELETE, ESPC_SA_OP_QUERY, ESPC_SA_OP_FENCE};
    if (chance(r, 960))
        return common[below(r, sizeof(common))];
    return (uint8_t)(below(r, 4) ? 1 + below(r, 10) : below(r, 256));
}

static struct espc_sa_command some_command(uint64_t *r)
{
    return (struct espc_sa_command){.op = some_op(r),
                                    .dir = (uint8_t)(chance(r, 985) ? below(r, 2) : below(r, 256)),
                                    .sa_index = (uint32_t)(chance(r, 980) ? below(r, TWIN_SLOTS) : rnd(r)),
                                    .cookie = rnd(r),
                                    .seq_limit = chance(r, 900) ? below(r, 3000) : rnd(r)};
}

// Over for either card, or never reached by one: their clocks are not the same.
static uint64_t some_deadline(uint64_t *r)
{
    return chance(r, 300) ? 1 + below(r, 99) : UINT64_MAX - below(r, 99);
}

// The blob of a command, in both memories, not always where it should be.
static uint64_t put_blob(uint64_t *r, unsigned i, const struct espc_sa_blob *b)
{
    uint64_t at = some_place(r, PAGE_SA + i / 2, 512 * (i % 2) + 64 * (unsigned)below(r, 8));
    if (at % 64 == 0 && at - TWIN_BASE < sizeof(t.side[0].memory) - sizeof(*b))
        twins_put(&t, at, b, sizeof(*b));
    return at;
}

static void command(struct episode *e, uint64_t *r, unsigned i, struct espc_sa_command c)
{
    bool drain = c.op != ESPC_SA_OP_ADD && chance(r, 60);
    struct known *k = &e->known[c.dir & 1][c.sa_index % TWIN_SLOTS];
    if (chance(r, 10))
        ((uint8_t *)&c)[c.op == ESPC_SA_OP_LEASE ? 48 + below(r, 16) : 40 + below(r, 24)] = 1;
    c.op = drain ? ESPC_SA_OP_DRAIN : c.op;
    c.result_iova = some_place(r, PAGE_SA + 7, 64 * i);
    c.generation = (uint16_t)(k->generation + (chance(r, 930) ? 0 : 1 + below(r, 3)));
    if (c.op == ESPC_SA_OP_LEASE && chance(r, 700))
        c.seq_limit = k->seq + below(r, 600);
    if (c.op == ESPC_SA_OP_LEASE && chance(r, 300))
        c.deadline = some_deadline(r);
    if (c.op == ESPC_SA_OP_ADD) {
        unsigned spi = (unsigned)below(r, TWIN_SPIS / 2) * 2 + (c.sa_index & 1);
        struct espc_sa_blob b = twin_blob(r, spi, c.dir & 1);
        if (!(c.dir & 1) && chance(r, 200))
            b.deadline = some_deadline(r);
        if (chance(r, 150))
            twin_spoil_blob(r, &b);
        *k = (struct known){.generation = (uint16_t)(c.generation + 1), .spi = spi, .seq = b.seq};
        c.generation = k->generation;
        c.blob_iova = put_blob(r, i, &b);
    }
    if (c.op == ESPC_SA_OP_ENDPOINT) {
        struct espc_sa_blob b = twin_ends(r, c.dir & 1);
        if (chance(r, 150))
            twin_spoil_blob(r, &b);
        c.blob_iova = put_blob(r, i, &b);
    }
    TELL(e, "  command op %u dir %u slot %d generation %u limit %llu\n", c.op, c.dir, (int)c.sa_index,
         c.generation, (unsigned long long)c.seq_limit);
    twins_submit(&t, 0, &c);
}

static unsigned room(unsigned q, unsigned n)
{
    unsigned size = 1u << t.queue[q].sq_log2;
    return n < size ? n : size;
}

// An SA in most slots.
static void stock(struct episode *e, uint64_t *r)
{
    for (unsigned i = 0; i < 2 * TWIN_SLOTS; i++) {
        if (!chance(r, 800) || !room(0, 1) || twins_pending(&t, 0))
            continue;
        command(e, r, 0, (struct espc_sa_command){.op = ESPC_SA_OP_ADD, .dir = i & 1, .sa_index = i / 2});
        twins_write(&t, ESPC_REG_DOORBELL_SQ_TAIL(0), t.queue[0].tail);
        twins_settle(&t, false);
        t.queue[0].head = t.queue[0].seen;
        twins_write(&t, ESPC_REG_DOORBELL_CQ_HEAD(0), t.queue[0].head & 0x7fffffff);
    }
}

// ---- an SPI that finds no place

// The next SPI that wants these places in ways 0 and `way`.
static uint32_t spi_that_wants(uint32_t *from, unsigned place0, unsigned way, unsigned place)
{
    unsigned at[FAST_WAYS];
    do
        fast_spi_places(++*from, at);
    while (at[0] != place0 || at[way] != place);
    return *from;
}

// Nine SPIs of which the first eight sit in all four places of the last: each has the same place in way 0,
// and those meant for way 2 or 3 have their other places taken first.
static void crowd(uint32_t spi[9])
{
    uint32_t from = 0x12345;
    unsigned t_at[FAST_WAYS], c_at[FAST_WAYS], e_at[FAST_WAYS], g_at[FAST_WAYS];
    spi[8] = from;
    fast_spi_places(spi[8], t_at);
    spi[0] = spi_that_wants(&from, t_at[0], 0, t_at[0]);
    spi[1] = spi_that_wants(&from, t_at[0], 1, t_at[1]);
    spi[3] = spi_that_wants(&from, t_at[0], 2, t_at[2]);
    fast_spi_places(spi[3], c_at);
    spi[2] = spi_that_wants(&from, t_at[0], 1, c_at[1]);
    spi[7] = spi_that_wants(&from, t_at[0], 3, t_at[3]);
    fast_spi_places(spi[7], e_at);
    spi[4] = spi_that_wants(&from, t_at[0], 1, e_at[1]);
    spi[6] = spi_that_wants(&from, t_at[0], 2, e_at[2]);
    fast_spi_places(spi[6], g_at);
    spi[5] = spi_that_wants(&from, t_at[0], 1, g_at[1]);
}

static void crowd_command(uint8_t op, uint32_t slot, uint32_t spi)
{
    uint64_t r = 9;
    struct espc_sa_blob b = twin_blob(&r, 0, ESP_IN);
    struct espc_sa_command c = {.op = op,
                                .dir = ESP_IN,
                                .sa_index = slot,
                                .cookie = slot,
                                .blob_iova = twin_place(PAGE_SA, 0),
                                .result_iova = twin_place(PAGE_SA + 7, 0)};
    b.spi = spi;
    twins_put(&t, c.blob_iova, &b, sizeof(b));
    twins_submit(&t, 0, &c);
    twins_write(&t, ESPC_REG_DOORBELL_SQ_TAIL(0), t.queue[0].tail);
    twins_settle(&t, false);
    twins_write(&t, ESPC_REG_DOORBELL_CQ_HEAD(0), t.queue[0].seen);
}

// The last is refused, and taken once one of the others has gone.
static bool full_bucket(struct episode *e)
{
    uint32_t spi[9];
    uint64_t r = 1;
    crowd(spi);
    twins_open(&t);
    do
        bring_up(e, &r);
    while (!(card_model_csr_read32(t.side[RTL].card, ESPC_REG_CTRL) & ESPC_CTRL_ENABLE_MASK));
    for (uint32_t i = 0; i < 9; i++)
        crowd_command(ESPC_SA_OP_ADD, i, spi[i]);
    uint64_t refused = t.verdicts[ESPC_STATUS_BUCKET_FULL];
    crowd_command(ESPC_SA_OP_DELETE, 1, 0);
    crowd_command(ESPC_SA_OP_ADD, 8, spi[8]);
    twins_close(&t);
    if (!t.difference[0] && (refused != 1 || t.verdicts[ESPC_STATUS_OK] != 10))
        twins_differ(&t, "a full bucket: %llu refused and %llu OK, expected 1 and 10",
                     (unsigned long long)refused, (unsigned long long)t.verdicts[ESPC_STATUS_OK]);
    if (t.difference[0])
        printf("%s\n1 failed: SPIs that share their places\n", t.difference);
    return !t.difference[0];
}

static void step_commands(struct episode *e, uint64_t *r)
{
    unsigned n = room(0, 1 + (unsigned)below(r, 6));
    TELL(e, "%u SA commands\n", n);
    for (unsigned i = 0; i < n; i++)
        command(e, r, i, some_command(r));
    twins_write(&t, ESPC_REG_DOORBELL_SQ_TAIL(0), t.queue[0].tail);
}

// ---- packets

// A few SAs get most of the packets, so that leases, limits and windows are reached.
static unsigned some_slot(uint64_t *r, int parity)
{
    unsigned slot = (unsigned)below(r, chance(r, 700) ? 4 : TWIN_SLOTS / 2) * 2;
    return slot + (parity < 0 ? (unsigned)below(r, 2) : (unsigned)parity);
}

static uint32_t outer(struct episode *e, uint64_t *r, int parity, uint8_t *p)
{
    unsigned i = (unsigned)below(r, OLD / 2) * 2 + (parity < 0 ? (unsigned)below(r, 2) : (unsigned)parity);
    uint32_t len = e->old_len[i];
    if (!len || chance(r, 350)) {
        unsigned slot =
            (unsigned)below(r, TWIN_SLOTS / 2) * 2 + (parity < 0 ? (unsigned)below(r, 2) : (unsigned)parity);
        const struct known *k = &e->known[1][slot];
        unsigned spi =
            chance(r, 800) ? (k->spi & ~1u) | (slot & 1) : (unsigned)below(r, TWIN_SPIS / 2) * 2 + (slot & 1);
        len = twin_forge(r, spi, k->seq + below(r, 40), p);
    } else {
        memcpy(p, e->old[i], len);
    }
    if (chance(r, 400))
        twin_spoil_packet(r, p, &len);
    return len;
}

static void spoil_descriptor(uint64_t *r, struct espc_packet_desc *d)
{
    switch (below(r, 10)) {
    case 0: d->op = (uint8_t)rnd(r); break;
    case 1: d->flags = (uint8_t)rnd(r); break;
    case 2: d->src_len = chance(r, 500) ? 0 : (uint32_t)rnd(r); break;
    case 3: d->dst_iova = chance(r, 500) ? 0 : d->dst_iova + 1 + below(r, 63); break;
    case 4: d->dst_cap = (uint32_t)below(r, 100); break;
    case 5: d->sa_index = (uint32_t)rnd(r); break;
    case 6: d->src_iova = rnd(r); break;
    case 7: d->dst_iova = rnd(r) & ~(uint64_t)63; break;
    case 8: d->src_len = 9210 + (uint32_t)below(r, 12); break;
    default: ((uint8_t *)d)[40 + below(r, 24)] = 1; break;
    }
}

// parity: -1 where the queue has all SAs to itself.
static void descriptor(struct episode *e, uint64_t *r, unsigned q, unsigned i, int parity)
{
    static uint8_t p[16384];
    unsigned in_page = PAGE_IN + i * BUFFER_PAGES, slot;
    bool encap = chance(r, 500);
    struct espc_packet_desc d = {.op = encap ? ESPC_PKT_OP_ENCAP : ESPC_PKT_OP_DECAP,
                                 .src_iova = twin_place(in_page, (unsigned)below(r, 2800)),
                                 .dst_iova =
                                     twin_place(PAGE_OUT + i * BUFFER_PAGES, 64 * (unsigned)below(r, 40)),
                                 .dst_cap = chance(r, 930) ? 9300 : (uint32_t)below(r, 1600)};
    slot = some_slot(r, parity);
    d.sa_index = slot;
    d.generation = (uint16_t)(e->known[0][slot].generation + (chance(r, 960) ? 0 : 1));
    d.cookie = (uint64_t)(t.queue[q].tail & 0xffff) << 48 | rnd(r) >> 16;
    d.src_len = encap ? twin_inner(r, p) : outer(e, r, parity, p);
    twins_put(&t, d.src_iova, p, d.src_len);
    if (chance(r, 40))
        spoil_descriptor(r, &d);
    TELL(e, "  queue %u: %s slot %d generation %u, %u octets into %u, cookie %llx\n", q,
         d.op == ESPC_PKT_OP_ENCAP ? "encap" : "decap", (int)d.sa_index, d.generation, d.src_len, d.dst_cap,
         (unsigned long long)d.cookie);
    twins_submit(&t, q, &d);
}

// Keeps what was sealed, for later.
static void collect(struct episode *e, uint64_t *r, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const uint8_t *p = twins_at(&t, twin_place(PAGE_OUT + i * BUFFER_PAGES, 0));
        for (unsigned k = 0; k < 40; k++, p += 64) {
            uint32_t len = get_be16(p + 2);
            bool sealed =
                p[0] == 0x45 && (p[9] == 50 || p[9] == 17) && p[12] == 192 && len >= 60 && len < 2000;
            for (unsigned s = 0; sealed && s < TWIN_SPIS; s++) {
                unsigned at = (unsigned)below(r, OLD / 2) * 2 + (s & 1);
                if (get_be32(p + 20 + (p[9] == 17 ? 8 : 0)) != twin_spi(s))
                    continue;
                memcpy(e->old[at], p, len);
                e->old_len[at] = len;
            }
        }
    }
}

static void break_pages(struct episode *e, uint64_t *r)
{
    for (unsigned n = 1 + (unsigned)below(r, 4); n; n--) {
        unsigned page = PAGE_SA + (unsigned)below(r, TWIN_PAGES - PAGE_SA);
        t.bad[page] = true;
        TELL(e, "  page %u answers with an error\n", page);
    }
}

static void step_packets(struct episode *e, uint64_t *r)
{
    bool both = chance(r, 300);
    unsigned first = 1 + (unsigned)below(r, 2),
             n = room(first, 1 + (unsigned)below(r, chance(r, 300) ? 2 : BATCH_MAX / 2)),
             m = both ? room(3 - first, 1 + (unsigned)below(r, BATCH_MAX / 2)) : 0;
    TELL(e, "%u packets\n", n + m);
    for (unsigned i = 0; i < n; i++)
        descriptor(e, r, first, i, both ? (int)(first & 1) : -1);
    for (unsigned i = 0; i < m; i++)
        descriptor(e, r, 3 - first, n + i, (int)(~first & 1));
    twins_write(&t, ESPC_REG_DOORBELL_SQ_TAIL(first), t.queue[first].tail);
    if (m)
        twins_write(&t, ESPC_REG_DOORBELL_SQ_TAIL(3 - first), t.queue[3 - first].tail);
    twins_settle(&t, false);
    collect(e, r, n + m);
}

// ---- doorbells and control

static void step_consume(struct episode *e, uint64_t *r)
{
    for (unsigned q = 0; q < TWIN_QUEUES; q++) {
        struct twin_queue *k = &t.queue[q];
        uint32_t to = chance(r, 800) ? k->seen : k->head + (uint32_t)below(r, k->seen - k->head + 1);
        bool arm = chance(r, 600);
        TELL(e, "queue %u: %u of %u completions consumed%s\n", q, to, k->seen, arm ? ", armed" : "");
        k->head = to;
        twins_write(&t, ESPC_REG_DOORBELL_CQ_HEAD(q), (to & 0x7fffffff) | (uint32_t)arm << 31);
    }
}

static void step_bad_doorbell(struct episode *e, uint64_t *r)
{
    unsigned q = (unsigned)below(r, TWIN_QUEUES), size = 1u << t.queue[q].sq_log2;
    uint32_t value;
    if (chance(r, 500)) {
        value = chance(r, 500) ? t.queue[q].tail - 1 - (uint32_t)below(r, 5)
                               : t.queue[q].tail + size + 1 + (uint32_t)below(r, 99);
        twins_write(&t, ESPC_REG_DOORBELL_SQ_TAIL(q), value);
    } else {
        value = chance(r, 500) ? t.queue[q].seen + 1 + (uint32_t)below(r, 9)
                               : t.queue[q].head - 1 - (uint32_t)below(r, 9);
        twins_write(&t, ESPC_REG_DOORBELL_CQ_HEAD(q), value);
    }
    TELL(e, "queue %u: doorbell %u, tail %u, %u completed, %u consumed\n", q, value, t.queue[q].tail,
         t.queue[q].seen, t.queue[q].head);
    e->fatal = true;
}

// One entry whose ring cannot be read, or whose completion cannot be written.
static void step_bad_ring(struct episode *e, uint64_t *r)
{
    unsigned q = (unsigned)below(r, TWIN_QUEUES), page = PAGE_RINGS + 2 * q + (unsigned)below(r, 2);
    t.bad[page] = true;
    TELL(e, "queue %u: its %s cannot be reached\n", q, page & 1 ? "submission ring" : "completion ring");
    if (q)
        descriptor(e, r, q, 0, -1);
    else
        command(e, r, 0, some_command(r));
    twins_write(&t, ESPC_REG_DOORBELL_SQ_TAIL(q), t.queue[q].tail);
    e->fatal = true;
}

static void step_control(struct episode *e, uint64_t *r)
{
    uint32_t value = ESPC_CTRL_ENABLE_MASK;
    switch (below(r, 6)) {
    case 0: value |= ESPC_CTRL_QUIESCE_MASK; break;
    case 1: value |= anything_pending() ? 0 : ESPC_CTRL_ZEROIZE_MASK; break; // else it would cut off work
    case 2: value = 0; break;
    case 3: twins_write(&t, ESPC_REG_EPOCH, (uint32_t)rnd(r)); break;
    case 4: twins_write(&t, ESPC_REG_FEATURES_ACCEPTED, (uint32_t)rnd(r)); break;
    default: twins_write(&t, ESPC_REG_ERR_CAUSE, (uint32_t)below(r, 8)); break;
    }
    e->quiesced = value != ESPC_CTRL_ENABLE_MASK && !(value & ESPC_CTRL_ZEROIZE_MASK);
    TELL(e, "CTRL = 0x%x\n", value);
    twins_write(&t, ESPC_REG_CTRL, value);
}

// A queue that is set up anew, not always sensibly.
static void step_queue(struct episode *e, uint64_t *r)
{
    unsigned q = (unsigned)below(r, TWIN_QUEUES);
    uint32_t sq = 2 + (uint32_t)below(r, 4);
    TELL(e, "queue %u is set up anew\n", q);
    twins_write(&t, ESPC_REG_QUEUE_CTRL(q), 0);
    twins_write(&t, ESPC_REG_QUEUE_SQ_BASE_LO(q), (uint32_t)(TWIN_BASE + below(r, 130)));
    twins_write(&t, ESPC_REG_QUEUE_VECTOR(q), (uint32_t)below(r, 6));
    twins_write(&t, ESPC_REG_QUEUE_LOG2_SIZE(q),
                (uint32_t)below(r, 18) | (uint32_t)below(r, 18) << 8 | (uint32_t)(5 + below(r, 2)) << 16 |
                    (uint32_t)(4 + below(r, 2)) << 24);
    twins_write(&t, ESPC_REG_QUEUE_CTRL(q), ESPC_QUEUE_CTRL_ENABLE_MASK);
    (void)twins_read(&t, ESPC_REG_QUEUE_CTRL(q));
    twins_queue_open(&t, q, sq, sq + (uint32_t)below(r, 7 - sq));
}

// ---- episodes

// What waits is worked through before the next submissions, so that no two queues race for an SA.
static void step(struct episode *e, uint64_t seed)
{
    uint64_t r = seed | 1, what;
    for (int i = 0; i < 4; i++)
        (void)rnd(&r);
    what = below(&r, 1000);
    if (e->empty)
        stock(e, &r);
    e->empty = false;
    if (chance(&r, 60))
        break_pages(e, &r);
    if (e->fatal ? what < 500 : what < 4) {
        step_reset(e, &r);
    } else if (what < 9 && !anything_pending()) {
        step_bad_doorbell(e, &r);
    } else if (what < 14 && !anything_pending() && !e->quiesced) {
        step_bad_ring(e, &r);
    } else if (what < 34 || (e->quiesced && chance(&r, 500))) {
        step_control(e, &r);
    } else if (what < 40 && !anything_pending()) {
        step_queue(e, &r);
    } else if (what < 180 || anything_pending()) {
        step_consume(e, &r);
    } else if (what < 340) {
        step_commands(e, &r);
    } else {
        step_packets(e, &r);
    }
    twins_settle(&t, false);
    memset(t.bad, 0, sizeof(t.bad));
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    a = (a ^ (b + 0x9e3779b97f4a7c15u)) * 0xbf58476d1ce4e5b9u;
    return a ^ a >> 29;
}

// The step after which the two differed, STEPS: none.
static unsigned run(struct episode *e, unsigned steps)
{
    uint64_t r = mix(e->seed, 1) | 1;
    unsigned i;
    memset(e->known, 0, sizeof(e->known));
    e->empty = false;
    memset(e->old_len, 0, sizeof(e->old_len));
    twins_open(&t);
    bring_up(e, &r);
    stock(e, &r);
    for (i = 0; i < steps && !t.difference[0]; i++)
        if (!e->skip[i])
            step(e, mix(mix(e->seed, 2), i));
    if (!t.difference[0])
        twins_settle(&t, true);
    twins_close(&t);
    return t.difference[0] ? i - !!i : STEPS;
}

// Leaves out what the difference does not need: halves, quarters, ... single steps.
static void shrink(struct episode *e, unsigned last)
{
    unsigned steps = last + 1;
    for (unsigned n = steps / 2; n; n /= 2) {
        for (unsigned at = 0; at < last; at += n) {
            bool before[STEPS];
            memcpy(before, e->skip, sizeof(before));
            for (unsigned i = at; i < at + n && i < last; i++)
                e->skip[i] = true;
            if (memcmp(before, e->skip, sizeof(before)) && run(e, steps) == STEPS)
                memcpy(e->skip, before, sizeof(before));
        }
    }
    e->tell = true;
    (void)run(e, steps);
    printf("%s\n", t.difference);
}

int main(int argc, char **argv)
{
    static struct episode e;
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    uint64_t wanted = argc > 2 ? strtoull(argv[2], NULL, 0) : DEFAULT_DESCRIPTORS;
    unsigned episodes = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!full_bucket(&e))
        return 1;
    for (uint64_t before = t.descriptors; t.descriptors - before < wanted; episodes++, seed++) {
        memset(&e, 0, sizeof(e));
        e.seed = seed;
        unsigned last = run(&e, STEPS);
        if (last == STEPS)
            continue;
        printf("seed %llu, step %u: %s\nthe shortest way to a difference:\n", (unsigned long long)seed, last,
               t.difference);
        shrink(&e, last);
        printf("1 failed: replay with card_model_twin %llu 1\n", (unsigned long long)seed);
        return 1;
    }
    for (unsigned s = 0; s < 128; s++)
        if (t.verdicts[s])
            printf("status %u: %llu\n", s, (unsigned long long)t.verdicts[s]);
    printf("%u passed: episodes, %llu descriptors and commands, %llu completions, all equal\n", episodes,
           (unsigned long long)t.descriptors, (unsigned long long)t.completions);
    return 0;
}
