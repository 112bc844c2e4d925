// SPDX-License-Identifier: Apache-2.0
// Drives the Verilated esp_pipe at its AXI-Stream ports: valid is held whenever a packet waits, ready always.
// Outputs are sampled just before the rising edge. Compiled once for each number of lanes (PIPE_LANES,
// PIPE_CLASS, PIPE_OPS). Byte n of a beat is bits 8n+7:8n, which on a little-endian host is a plain copy.
#define _Static_assert static_assert // the generated header is C
#include "sim/pipe_model.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <deque>
#include <memory>
#include <string>

#include PIPE_HEADER
#include "verilated.h"
#include "verilated_fst_c.h"

namespace
{
const size_t BEAT = 16 * PIPE_LANES;
const unsigned RESET_TIMEOUT = 20000;  // a sweep over all slots
const unsigned SA_TIMEOUT = 200000;    // a delete waits for its packets
const unsigned STALL_TIMEOUT = 200000; // cycles without a beat

struct in_flight {
    pipe_packet packet;
    uint64_t first_in;
};

struct side {
    std::deque<pipe_packet> queue;
    size_t at = 0; // octets of queue.front() that have gone in
    std::deque<in_flight> inside;
    bool open = false; // the first beat of inside.front() is out
    uint64_t first_out = 0;
    size_t out_len = 0;
    pipe_span span = {};
    uint64_t gap = 0; // cycles with nothing offered, since the last beat in
};

// What a port shows in a cycle, in one form for both directions.
struct beat_out {
    bool valid, last;
    const void *data;
    uint64_t keep;
};

size_t octets(uint64_t keep)
{
    return keep == ~UINT64_C(0) ? 64 : static_cast<size_t>(__builtin_ctzll(~keep));
}

// What struct pipe_model stands for; each number of lanes has its own.
struct model {
    std::unique_ptr<VerilatedContext> context;
    std::unique_ptr<PIPE_CLASS> top;
    std::unique_ptr<VerilatedFstC> fst;
    uint64_t fst_from = 0, fst_to = 0, cycle = 0;
    side enc, dec;
    std::deque<pipe_result> results;
    uint64_t moved = 0; // cycle of the last beat in or out
    std::string fault;

    void trace(unsigned half)
    {
        if (fst && cycle >= fst_from && cycle <= fst_to)
            fst->dump(PIPE_CYCLE_NS * cycle + PIPE_CYCLE_NS / 2 * half);
    }
    void offer();
    void sample();
    void tick();
    void take_beat(side &s, bool decap, const beat_out &b);
    void finish(side &s, bool decap);
    void accept(side &s);
    void count(side &s, bool offered, bool taken);
};

// ---- inputs
template <typename Data, typename Keep> void fill_beat(const side &s, Data &data, Keep &keep, CData &last)
{
    const pipe_packet &p = s.queue.front();
    size_t n = p.len - s.at < BEAT ? p.len - s.at : BEAT;

    memset(&data, 0, BEAT);
    memcpy(&data, p.data + s.at, n);
    keep = static_cast<Keep>(n == 64 ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1);
    last = s.at + n == p.len;
}

void model::offer()
{
    top->s_enc_tvalid = !enc.queue.empty();
    if (top->s_enc_tvalid) {
        const pipe_packet &p = enc.queue.front();
        fill_beat(enc, top->s_enc_tdata, top->s_enc_tkeep, top->s_enc_tlast);
        top->s_enc_tag = p.tag;
        top->s_enc_sa = p.sa;
        top->s_enc_gen = p.generation;
        top->s_enc_len = static_cast<uint16_t>(p.len);
    }
    top->s_dec_tvalid = !dec.queue.empty();
    if (top->s_dec_tvalid) {
        const pipe_packet &p = dec.queue.front();
        fill_beat(dec, top->s_dec_tdata, top->s_dec_tkeep, top->s_dec_tlast);
        top->s_dec_tag = p.tag;
        top->s_dec_len = static_cast<uint16_t>(p.len);
    }
}

void model::accept(side &s)
{
    pipe_packet p = s.queue.front();

    moved = cycle;
    if (s.at == 0) {
        s.inside.push_back({p, cycle});
        if (s.span.first_in == 0)
            s.span.first_in = cycle;
    }
    s.at += BEAT;
    if (s.at >= p.len) {
        s.queue.pop_front();
        s.at = 0;
    }
}

// ---- outputs
void model::finish(side &s, bool decap)
{
    const in_flight &f = s.inside.front();
    pipe_result r = {};

    r.decap = decap;
    r.tag = decap ? top->m_dec_tag : top->m_enc_tag;
    r.status = decap ? top->m_dec_status : top->m_enc_status;
    r.seq = decap ? top->m_dec_seq : top->m_enc_seq;
    r.sa = decap ? top->m_dec_sa : top->m_enc_sa;
    r.generation = decap ? top->m_dec_gen : top->m_enc_gen;
    r.soft_limit = decap ? top->m_dec_soft : top->m_enc_soft;
    r.lease_low = !decap && top->m_enc_lease_low;
    r.src_changed = decap && top->m_dec_src_changed;
    r.len = decap ? top->m_dec_len : top->m_enc_len;
    r.first_in = f.first_in;
    r.first_out = s.first_out;
    r.last_out = cycle;
    if (r.tag != f.packet.tag)
        fault = "a result's tag is not that of the oldest packet inside";
    else if (r.status == ESPC_STATUS_ABORTED && r.len == 0)
        ; // what a wipe has overtaken may have left in part
    else if (r.len != s.out_len)
        fault = "a result's length is not the number of octets that came out";
    else if (r.status != ESPC_STATUS_OK && s.out_len != 0)
        fault = "octets came out of a dropped packet";
    s.span.packets++;
    s.inside.pop_front();
    s.open = false;
    results.push_back(r);
}

void model::take_beat(side &s, bool decap, const beat_out &b)
{
    size_t n = octets(b.keep);

    moved = s.span.last_out = cycle;
    s.span.beats_out++;
    if (s.span.first_out == 0)
        s.span.first_out = cycle;
    if (s.inside.empty()) {
        fault = "a beat came out with no packet inside";
        return;
    }
    if (!s.open) {
        s.open = true;
        s.first_out = cycle;
        s.out_len = 0;
    }
    if (n > BEAT || (b.keep >> (n < 64 ? n : 63)) > (n < 64 ? 0u : 1u) || (!b.last && n != BEAT) ||
        s.out_len + n > PIPE_MAX_LEN) {
        fault = "tkeep of a beat that came out is not contiguous, or not full before the last beat";
        return;
    }
    memcpy(s.inside.front().packet.out + s.out_len, b.data, n);
    s.out_len += n;
    if (b.last)
        finish(s, decap);
}

void model::count(side &s, bool offered, bool taken)
{
    if (taken) {
        s.span.beats_in++;
        s.span.last_in = cycle;
        s.span.unoffered += s.gap;
        s.gap = 0;
    } else if (s.span.first_in != 0) {
        s.span.refused += offered;
        s.gap += !offered;
    }
}

void model::sample()
{
    beat_out e = {top->m_enc_tvalid != 0, top->m_enc_tlast != 0, &top->m_enc_tdata, top->m_enc_tkeep};
    beat_out d = {top->m_dec_tvalid != 0, top->m_dec_tlast != 0, &top->m_dec_tdata, top->m_dec_tkeep};

    bool enc_taken = top->s_enc_tvalid && top->s_enc_tready,
         dec_taken = top->s_dec_tvalid && top->s_dec_tready;

    count(enc, top->s_enc_tvalid, enc_taken);
    count(dec, top->s_dec_tvalid, dec_taken);
    if (enc_taken)
        accept(enc);
    if (dec_taken)
        accept(dec);
    if (e.valid)
        take_beat(enc, false, e);
    if (d.valid)
        take_beat(dec, true, d);
}

void model::tick()
{
    cycle++;
    top->clk = 0;
    offer();
    top->eval();
    trace(0);
    sample();
    top->clk = 1;
    top->eval();
    trace(1);
}

// ---- the C side
model *self(pipe_model *m)
{
    return reinterpret_cast<model *>(m);
}

const model *self(const pipe_model *m)
{
    return reinterpret_cast<const model *>(m);
}

bool wait_zeroized(model *m)
{
    for (unsigned i = 0; i < RESET_TIMEOUT; i++) {
        m->tick();
        if (m->top->zeroized)
            return true;
    }
    return false;
}

pipe_model *create(const char *fst, uint64_t from, uint64_t to)
{
    std::unique_ptr<model> m(new model);

    m->context = std::make_unique<VerilatedContext>();
    m->context->traceEverOn(fst != nullptr);
    m->top = std::make_unique<PIPE_CLASS>(m->context.get(), "esp_pipe");
    if (fst) {
        FILE *probe = fopen(fst, "wb");
        if (!probe)
            return nullptr;
        fclose(probe);
        m->fst = std::make_unique<VerilatedFstC>();
        m->top->trace(m->fst.get(), 99);
        m->fst->set_time_resolution("1ns");
        m->fst->open(fst);
        m->fst_from = from;
        m->fst_to = to;
    }
    m->top->m_enc_tready = 1;
    m->top->m_dec_tready = 1;
    m->top->rst = 1;
    for (int i = 0; i < 8; i++)
        m->tick();
    m->top->rst = 0;
    if (!wait_zeroized(m.get())) {
        errno = ETIMEDOUT;
        return nullptr;
    }
    return reinterpret_cast<pipe_model *>(m.release());
}

void destroy(pipe_model *opaque)
{
    model *m = self(opaque);

    if (!m)
        return;
    m->enc.queue.clear();
    m->dec.queue.clear();
    m->top->zeroize = 1;
    m->enc.inside.clear();
    m->dec.inside.clear();
    m->top->clk = 0;
    m->top->eval();
    m->top->clk = 1;
    m->top->eval();
    m->top->zeroize = 0;
    for (unsigned i = 0; i < RESET_TIMEOUT && !m->top->zeroized; i++) {
        m->top->clk = 0;
        m->top->eval();
        m->top->clk = 1;
        m->top->eval();
    }
    if (m->fst)
        m->fst->close();
    m->top->final();
    delete m;
}

int sa_command(pipe_model *opaque, const espc_sa_command *c, const espc_sa_blob *blob, espc_sa_result *result,
               uint16_t *status)
{
    model *m = self(opaque);
    const size_t words = blob ? 72 : 8;
    uint64_t in[72] = {}, out[8] = {};
    size_t sent = 0, got = 0;
    int ret = -ETIMEDOUT;

    memcpy(in, c, sizeof(*c));
    if (blob)
        memcpy(in + 8, blob, sizeof(*blob));
    m->top->m_sa_tready = 1;
    for (unsigned i = 0; i < SA_TIMEOUT && got < 8; i++) {
        m->top->s_sa_tvalid = sent < words;
        m->top->s_sa_tdata = sent < words ? in[sent] : 0;
        m->top->s_sa_tlast = sent + 1 == words;
        m->cycle++;
        m->top->clk = 0;
        m->offer();
        m->top->eval();
        m->trace(0);
        if (m->top->s_sa_tvalid && m->top->s_sa_tready)
            sent++;
        if (m->top->m_sa_tvalid) {
            out[got++] = m->top->m_sa_tdata;
            *status = m->top->m_sa_status;
            if ((got == 8) != (m->top->m_sa_tlast != 0))
                m->fault = "the result of an SA command has other than 8 words";
        }
        m->sample();
        m->top->clk = 1;
        m->top->eval();
        m->trace(1);
    }
    m->top->s_sa_tvalid = 0;
    m->top->s_sa_tdata = 0;
    explicit_bzero(in, sizeof(in));
    if (got == 8)
        ret = m->fault.empty() ? 0 : -EPROTO;
    memcpy(result, out, sizeof(*result));
    return ret;
}

void push(pipe_model *opaque, bool decap, const pipe_packet *p)
{
    model *m = self(opaque);

    (decap ? m->dec : m->enc).queue.push_back(*p);
}

bool empty(const side &s)
{
    return s.queue.empty() && s.inside.empty();
}

int pull(pipe_model *opaque, pipe_result *r)
{
    model *m = self(opaque);

    m->moved = m->cycle;
    while (m->results.empty()) {
        if (!m->fault.empty())
            return -EPROTO;
        if (empty(m->enc) && empty(m->dec))
            return 0;
        if (m->cycle - m->moved > STALL_TIMEOUT)
            return -ETIMEDOUT;
        m->tick();
    }
    *r = m->results.front();
    m->results.pop_front();
    return m->fault.empty() ? 1 : -EPROTO;
}

const char *broken(const pipe_model *m)
{
    return self(m)->fault.c_str();
}

void mark(pipe_model *m)
{
    self(m)->enc.span = self(m)->dec.span = pipe_span{};
    self(m)->enc.gap = self(m)->dec.gap = 0;
}

void span(const pipe_model *m, bool decap, pipe_span *s)
{
    *s = decap ? self(m)->dec.span : self(m)->enc.span;
}

void set_freerun(pipe_model *opaque, uint64_t now)
{
    self(opaque)->top->now = now;
}

uint64_t cycles(const pipe_model *m)
{
    return self(m)->cycle;
}
} // namespace

extern "C" const struct pipe_ops PIPE_OPS = {PIPE_LANES, create, destroy, sa_command, push,       pull,
                                             broken,     mark,   span,    cycles,     set_freerun};
