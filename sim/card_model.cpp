// SPDX-License-Identifier: Apache-2.0
// The C interface of card_model.h over the Verilated espalier_top, with a model of host memory on its AXI
// master: fixed or random latency, answers of different IDs in any order, a write takes effect when it is
// acknowledged and no sooner. Compiled once per width: CARD_LANES, and VCARD, the name of the Verilated
// class.
#include "sim/card_model_ops.h"

#include <cerrno>
#include <cstring>
#include <deque>
#include <new>
#include <vector>

#include <verilated.h>

#define CARD_STRING_(x) #x
#define CARD_STRING(x)  CARD_STRING_(x)
#include CARD_STRING(VCARD.h)
#include CARD_STRING(CARD_SYMS.h)
#ifdef CARD_TRACE
#include <verilated_fst_c.h>
#endif

namespace
{

constexpr unsigned BEAT = 16 * CARD_LANES;
constexpr unsigned BURST = CARD_MODEL_BURST;
constexpr unsigned IDS = 4;
constexpr unsigned RESPONSE_OK = 0;
constexpr unsigned RESPONSE_ERROR = 2;

struct Burst {
    uint64_t addr = 0;  // first byte
    uint64_t due = 0;   // cycle of the answer
    uint64_t order = 0; // of issue
    unsigned beats = 0, beat = 0;
    bool loaded = false, failed = false;
    uint8_t data[BURST];
    uint8_t strobe[BURST]; // one per byte
};

// The rules that a bus relies on: an address or data once offered stays until taken, a burst stays in its
// 256-byte block, the last beat is marked and no other.
struct Offer {
    bool open = false;
    uint64_t addr = 0;
    unsigned len = 0, id = 0;

    bool broken(bool valid, bool ready, uint64_t a, unsigned l, unsigned i)
    {
        bool bad =
            (open && (!valid || a != addr || l != len || i != id)) ||
            (valid && a / BURST != ((a & ~static_cast<uint64_t>(BEAT - 1)) + l * BEAT + BEAT - 1) / BURST);
        open = valid && !ready;
        addr = a;
        len = l;
        id = i;
        return bad;
    }
};

struct Card : card_model {
    struct card_model_config config;
    struct card_model_stats stats;
    VerilatedContext context;
    VCARD *top = nullptr;
    std::deque<Burst> reads[IDS];  // waiting for their answer
    std::deque<Burst> writes[IDS]; // data complete, waiting for their answer
    std::deque<Burst> addressed;   // write addresses whose data is not complete
    std::deque<unsigned> addressed_id;
    Offer read_offer, write_offer;
    bool data_open = false;
    uint64_t order = 0;
    uint64_t random = 0;
#ifdef CARD_TRACE
    VerilatedFstC *trace = nullptr;
    uint64_t time = 0;
#endif
};

uint64_t roll(Card *c)
{
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return c->random;
}

uint64_t due(Card *c, unsigned latency)
{
    uint64_t extra = c->config.jitter ? roll(c) % (c->config.jitter + 1) : 0;
    return c->stats.cycles + latency + extra;
}

// The ID that answers now: the oldest answer that is due, or with `reorder` any that is due. -1: none.
int choose(Card *c, const std::deque<Burst> *queues)
{
    int best = -1;
    unsigned seen = 0;
    for (unsigned id = 0; id < IDS; id++) {
        if (queues[id].empty() || queues[id].front().due > c->stats.cycles)
            continue;
        seen++;
        if (best < 0 ||
            (c->config.reorder ? roll(c) % seen == 0 : queues[id].front().order < queues[best].front().order))
            best = static_cast<int>(id);
    }
    return best;
}

// False: the host's memory gives no answer yet.
bool load(Card *c, Burst &b)
{
    uint64_t end = (b.addr & ~static_cast<uint64_t>(BEAT - 1)) + static_cast<uint64_t>(b.beats) * BEAT;
    size_t skip = b.addr % BEAT;
    size_t len = end - b.addr;
    std::memset(b.data, 0, sizeof b.data);
    int rc = c->config.dma_read(c->config.ctx, b.addr, b.data + skip, len);
    if (rc == CARD_MODEL_LATER)
        return false;
    b.failed = rc != 0;
    if (b.failed)
        std::memset(b.data, 0, sizeof b.data);
    b.loaded = true;
    c->stats.read_bytes += len;
    return true;
}

void drive_read(Card *c)
{
    int id = choose(c, c->reads);
    c->top->m_axi_rvalid = id >= 0;
    if (id < 0)
        return;
    Burst &b = c->reads[id].front();
    if (!b.loaded && !load(c, b)) {
        c->top->m_axi_rvalid = 0;
        return;
    }
    std::memcpy(&c->top->m_axi_rdata, b.data + static_cast<size_t>(b.beat) * BEAT, BEAT);
    c->top->m_axi_rid = static_cast<unsigned>(id);
    c->top->m_axi_rresp = b.failed ? RESPONSE_ERROR : RESPONSE_OK;
    c->top->m_axi_rlast = ++b.beat == b.beats;
    if (b.beat == b.beats) // the card takes every beat at once
        c->reads[id].pop_front();
}

// Writes each run of enabled bytes.
void store(Card *c, Burst &b)
{
    size_t len = static_cast<size_t>(b.beats) * BEAT;
    uint64_t base = b.addr & ~static_cast<uint64_t>(BEAT - 1);
    for (size_t i = 0; i < len;) {
        size_t n = 0;
        while (i + n < len && b.strobe[i + n])
            n++;
        if (n && c->config.dma_write(c->config.ctx, base + i, b.data + i, n) != 0)
            b.failed = true;
        c->stats.write_bytes += n;
        i += n ? n : 1;
    }
}

void drive_response(Card *c)
{
    int id = choose(c, c->writes);
    c->top->m_axi_bvalid = id >= 0;
    if (id < 0)
        return;
    Burst &b = c->writes[id].front();
    store(c, b);
    c->top->m_axi_bid = static_cast<unsigned>(id);
    c->top->m_axi_bresp = b.failed ? RESPONSE_ERROR : RESPONSE_OK;
    c->writes[id].pop_front();
}

// What the card says of each burst: data in ordinary, bufferable memory, not secure and not privileged (AXI4,
// A4.4 and A4.7).
bool ordinary(unsigned cache, unsigned prot)
{
    return cache == 3 && prot == 2;
}

// The handshakes of the coming clock edge, as the card's registers show them now.
void take_addresses(Card *c)
{
    VCARD *t = c->top;
    if (t->m_axi_arvalid && t->m_axi_arready) {
        Burst b;
        b.addr = t->m_axi_araddr;
        b.beats = t->m_axi_arlen + 1u;
        b.order = c->order++;
        b.due = due(c, c->config.read_latency);
        c->reads[t->m_axi_arid % IDS].push_back(b);
        c->stats.read_bursts++;
        c->stats.violations += !ordinary(t->m_axi_arcache, t->m_axi_arprot);
    }
    if (t->m_axi_awvalid && t->m_axi_awready) {
        Burst b;
        b.addr = t->m_axi_awaddr;
        b.beats = t->m_axi_awlen + 1u;
        b.order = c->order++;
        c->addressed.push_back(b);
        c->addressed_id.push_back(t->m_axi_awid % IDS);
        c->stats.write_bursts++;
        c->stats.violations += !ordinary(t->m_axi_awcache, t->m_axi_awprot);
    }
}

void take_data(Card *c)
{
    VCARD *t = c->top;
    if (!t->m_axi_wvalid || !t->m_axi_wready)
        return;
    Burst &b = c->addressed.front();
    uint64_t strobe = t->m_axi_wstrb;
    size_t at = static_cast<size_t>(b.beat) * BEAT;
    std::memcpy(b.data + at, &t->m_axi_wdata, BEAT);
    for (unsigned i = 0; i < BEAT; i++)
        b.strobe[at + i] = strobe >> i & 1;
    if (++b.beat == b.beats || t->m_axi_wlast) {
        b.due = due(c, c->config.write_latency);
        c->writes[c->addressed_id.front()].push_back(b);
        c->addressed.pop_front();
        c->addressed_id.pop_front();
    }
}

void eval(Card *c, unsigned clk)
{
    c->top->clk = clk;
    c->top->eval();
#ifdef CARD_TRACE
    if (c->trace)
        c->trace->dump(c->time);
    c->time++;
#endif
}

void check_rules(Card *c)
{
    VCARD *t = c->top;
    if (c->read_offer.broken(t->m_axi_arvalid, t->m_axi_arready, t->m_axi_araddr, t->m_axi_arlen,
                             t->m_axi_arid))
        c->stats.violations++;
    if (c->write_offer.broken(t->m_axi_awvalid, t->m_axi_awready, t->m_axi_awaddr, t->m_axi_awlen,
                              t->m_axi_awid))
        c->stats.violations++;
    if (c->data_open && !t->m_axi_wvalid)
        c->stats.violations++;
    if (t->m_axi_wvalid && !c->addressed.empty() &&
        t->m_axi_wlast != (c->addressed.front().beat + 1 == c->addressed.front().beats))
        c->stats.violations++;
    c->data_open = t->m_axi_wvalid && !t->m_axi_wready;
}

// One clock cycle. AXI outputs of the card are registers: what they show before the edge is what the edge
// transfers.
void tick(Card *c)
{
    VCARD *t = c->top;
    t->m_axi_wready = 1;
    if (c->config.stalls) {
        uint64_t r = roll(c);
        t->m_axi_arready = (r & 7) != 0;
        t->m_axi_awready = (r >> 3 & 7) != 0;
        t->m_axi_wready = (r >> 6 & 7) != 0;
        t->irq_ready = (r >> 9 & 1) != 0;
    }
    drive_read(c);
    drive_response(c);
    take_addresses(c);
    if (c->addressed.empty()) // data may come before its address: it waits
        t->m_axi_wready = 0;
    if (c->config.stalls)
        check_rules(c);
    take_data(c);
    bool irq = t->irq_valid && t->irq_ready;
    unsigned vector = t->irq_vector;
    if (t->busy)
        c->stats.busy_cycles++;
    eval(c, 1);
    eval(c, 0);
    c->stats.cycles++;
    if (irq) {
        c->stats.irqs++;
        if (c->config.irq)
            c->config.irq(c->config.ctx, vector);
    }
}

void forget(Card *c)
{
    for (unsigned id = 0; id < IDS; id++) {
        c->reads[id].clear();
        c->writes[id].clear();
    }
    c->addressed.clear();
    c->addressed_id.clear();
    c->read_offer.open = c->write_offer.open = c->data_open = false;
}

void reset(Card *c)
{
    c->top->rst = 1;
    forget(c);
    for (unsigned i = 0; i < 4; i++) {
        tick(c);
        forget(c);
    }
    c->top->rst = 0;
}

Card *card(struct card_model *m)
{
    return static_cast<Card *>(m);
}

// ---- the functions of card_model.h

uint32_t csr_read32(struct card_model *m, uint32_t offset)
{
    Card *c = card(m);
    VCARD *t = c->top;
    t->s_axil_araddr = offset & 0xffff;
    t->s_axil_arvalid = 1;
    t->s_axil_rready = 0;
    for (bool taken = false; !taken;) {
        t->eval();
        taken = t->s_axil_arready;
        tick(c);
    }
    t->s_axil_arvalid = 0;
    while (!t->s_axil_rvalid)
        tick(c);
    uint32_t value = t->s_axil_rdata;
    t->s_axil_rready = 1;
    tick(c);
    return value;
}

void csr_write32(struct card_model *m, uint32_t offset, uint32_t value)
{
    Card *c = card(m);
    VCARD *t = c->top;
    t->s_axil_awaddr = offset & 0xffff;
    t->s_axil_wdata = value;
    t->s_axil_wstrb = 15;
    t->s_axil_awvalid = 1;
    t->s_axil_wvalid = 1;
    t->s_axil_bready = 1;
    for (bool taken = false; !taken;) { // address and data are taken together
        t->eval();
        taken = t->s_axil_awready;
        tick(c);
    }
    t->s_axil_awvalid = 0;
    t->s_axil_wvalid = 0;
    while (!t->s_axil_bvalid)
        tick(c);
    tick(c);
}

bool busy(const struct card_model *m)
{
    return static_cast<const Card *>(m)->top->busy;
}

uint64_t step(struct card_model *m, uint64_t ncycles)
{
    Card *c = card(m);
    uint64_t n = 0;
    while (n < ncycles && c->top->busy) {
        tick(c);
        n++;
    }
    return n;
}

void freerun_add(struct card_model *m, uint64_t cycles)
{
    Card *c = card(m);
    if (cycles == 0)
        return;
    c->top->freerun_add = cycles - 1; // the cycle itself counts
    c->top->freerun_add_valid = 1;
    tick(c);
    c->top->freerun_add_valid = 0;
}

// Verilator keeps the whole design's state in one object.
unsigned find(const struct card_model *m, const void *bytes, size_t len)
{
    const Card *c = static_cast<const Card *>(m);
    const char *at = reinterpret_cast<const char *>(c->top->rootp->vlSymsp);
    const char *end = at + sizeof *c->top->rootp->vlSymsp;
    unsigned n = 0;
    while ((at = static_cast<const char *>(memmem(at, static_cast<size_t>(end - at), bytes, len)))) {
        n++;
        at++;
    }
    return n;
}

unsigned flip(struct card_model *m, const void *bytes, size_t len, size_t behind, unsigned char mask)
{
    const Card *c = static_cast<const Card *>(m);
    char *at = reinterpret_cast<char *>(c->top->rootp->vlSymsp);
    char *end = at + sizeof *c->top->rootp->vlSymsp;
    unsigned n = 0;
    while ((at = static_cast<char *>(memmem(at, static_cast<size_t>(end - at), bytes, len)))) {
        if (static_cast<size_t>(end - at) > len + behind)
            at[len + behind] = static_cast<char>(at[len + behind] ^ mask);
        n++;
        at++;
    }
    return n;
}

void hard_reset(struct card_model *m)
{
    reset(card(m));
}

void get_stats(const struct card_model *m, struct card_model_stats *stats)
{
    *stats = static_cast<const Card *>(m)->stats;
}

void wave_stop(struct card_model *m)
{
#ifdef CARD_TRACE
    Card *c = card(m);
    if (c->trace) {
        c->trace->close();
        delete c->trace;
        c->trace = nullptr;
    }
#else
    (void)m;
#endif
}

int wave_start(struct card_model *m, const char *path)
{
#ifdef CARD_TRACE
    Card *c = card(m);
    if (c->trace)
        return -EBUSY;
    c->trace = new (std::nothrow) VerilatedFstC;
    if (!c->trace)
        return -ENOMEM;
    c->top->trace(c->trace, 99);
    c->trace->open(path);
    if (c->trace->isOpen())
        return 0;
    delete c->trace;
    c->trace = nullptr;
    return -EIO;
#else
    (void)m;
    (void)path;
    return -ENOTSUP;
#endif
}

void destroy(struct card_model *m)
{
    Card *c = card(m);
    wave_stop(m);
    c->top->final();
    delete c->top;
    delete c;
}

const struct card_model_ops OPS = {
    CARD_LANES, CARD_VECTORS, csr_read32, csr_write32, busy,       step,      freerun_add,
    find,       flip,         hard_reset, get_stats,   wave_start, wave_stop, destroy,
};

void configure(Card *c, const struct card_model_config *config)
{
    c->ops = &OPS;
    c->config = *config;
    if (!c->config.read_latency)
        c->config.read_latency = 20;
    if (!c->config.write_latency)
        c->config.write_latency = 10;
    std::memset(&c->stats, 0, sizeof c->stats);
    c->random = 0x9e3779b97f4a7c15u ^ config->seed;

    VCARD *t = c->top;
    unsigned slots = config->sa_slots;
    t->sa_limit = slots == 0 || slots > CARD_SLOTS ? CARD_SLOTS : slots;
    t->m_axi_arready = 1;
    t->m_axi_awready = 1;
    t->irq_ready = 1;
}

} // namespace

#if CARD_LANES == 1
extern "C" struct card_model *card_model_l1_new(const struct card_model_config *config)
#else
extern "C" struct card_model *card_model_l4_new(const struct card_model_config *config)
#endif
{
    Card *c = new (std::nothrow) Card;
    if (!c) {
        errno = ENOMEM;
        return nullptr;
    }
#ifdef CARD_TRACE
    c->context.traceEverOn(true);
#endif
    c->top = new (std::nothrow) VCARD(&c->context);
    if (!c->top) {
        delete c;
        errno = ENOMEM;
        return nullptr;
    }
    configure(c, config);
    reset(c);
    step(c, 100000);
    return c;
}
