// SPDX-License-Identifier: Apache-2.0
// The C++ side of pipe_shim.h: drives a Verilated esp_pipe of either width from queues.
#include "pipe_shim.h"

#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "esp_pipe_l1__Syms.h"
#include "esp_pipe_l4__Syms.h"

namespace
{

struct in_packet {
    std::vector<uint8_t> data;
    uint16_t len, tag, gen;
    uint32_t sa;
};

struct sa_words {
    std::vector<uint64_t> words;
};

struct sa_answer {
    uint8_t result[64];
    uint16_t status;
};

// one direction's streams
struct stream {
    std::deque<in_packet> in;
    std::deque<uint64_t> in_cycles;
    size_t at = 0; // bytes of the first packet already taken
    bool offered = false;
    std::deque<std::unique_ptr<pipe_out>> out;
    std::unique_ptr<pipe_out> cur;
    uint64_t pulses = 0;
};

} // namespace

struct pipe {
    virtual ~pipe() = default;
    virtual void tick() = 0;
    virtual bool zeroized() = 0;
    virtual bool busy() = 0;
    virtual const uint8_t *memory(size_t *size) const = 0;

    stream dir[2];
    std::deque<sa_words> cmds;
    size_t cmd_at = 0;
    std::deque<sa_answer> answers;
    std::vector<uint64_t> answer;
    uint64_t cycle = 0;
    bool zeroize = false;
    unsigned in_stall = 0, out_stall = 0;
    uint32_t rng = 1;

    bool chance(unsigned percent)
    {
        rng ^= rng << 13;
        rng ^= rng >> 17;
        rng ^= rng << 5;
        return rng % 100 < percent;
    }
};

namespace
{

template <class MODEL, class SYMS, unsigned LANES> struct model_pipe : pipe {
    MODEL m;
    static constexpr size_t KB = 16 * LANES;

    model_pipe()
    {
        m.rst = 1;
        for (int i = 0; i < 8; i++) {
            m.clk = 0;
            m.eval();
            edge();
        }
        m.rst = 0;
        for (int i = 0; i < 5000 && !zeroized(); i++)
            tick();
    }
    ~model_pipe() override { m.final(); }
    bool zeroized() override { return m.zeroized; }
    bool busy() override { return m.busy; }
    const uint8_t *memory(size_t *size) const override
    {
        *size = sizeof(SYMS);
        return reinterpret_cast<const uint8_t *>(m.rootp->vlSymsp);
    }

    void edge()
    {
        m.clk = 1;
        m.eval();
    }

    template <class DATA, class KEEP> void offer(stream &s, DATA &data, KEEP &keep, CData &valid, CData &last)
    {
        if (!s.offered && (s.in.empty() || chance(in_stall))) {
            valid = 0;
            return;
        }
        s.offered = true; // valid stays until ready
        valid = 1;
        const in_packet &p = s.in.front();
        size_t n = p.data.size() - s.at < KB ? p.data.size() - s.at : KB;
        uint8_t beat[KB] = {0};
        if (n)
            memcpy(beat, p.data.data() + s.at, n);
        memcpy(&data, beat, KB);
        keep = n == 64 ? KEEP(~0ull) : KEEP((1ull << n) - 1);
        last = s.at + n == p.data.size();
    }

    void accepted(stream &s)
    {
        if (s.at == 0)
            s.in_cycles.push_back(cycle);
        s.offered = false;
        s.at += KB;
        if (s.at >= s.in.front().data.size()) {
            s.in.pop_front();
            s.at = 0;
        }
    }

    template <class DATA> pipe_out *collect(stream &s, const DATA &data, uint64_t keep, bool last)
    {
        if (!s.cur) {
            s.cur.reset(new pipe_out());
            s.cur->first_cycle = cycle;
            s.cur->in_cycle = s.in_cycles.front();
            s.in_cycles.pop_front();
        }
        pipe_out *o = s.cur.get();
        uint8_t beat[KB];
        memcpy(beat, &data, KB);
        for (size_t i = 0; i < KB && (keep >> i & 1) && o->size < sizeof(o->data); i++)
            o->data[o->size++] = beat[i];
        o->beats++;
        o->last_cycle = cycle;
        return last ? o : nullptr;
    }

    void enc_side(pipe_out *o)
    {
        o->tag = m.m_enc_tag;
        o->status = m.m_enc_status;
        o->seq = m.m_enc_seq;
        o->sa = m.m_enc_sa;
        o->gen = m.m_enc_gen;
        o->len = m.m_enc_len;
        o->soft = m.m_enc_soft;
        o->lease_low = m.m_enc_lease_low;
    }

    void dec_side(pipe_out *o)
    {
        o->tag = m.m_dec_tag;
        o->status = m.m_dec_status;
        o->seq = m.m_dec_seq;
        o->sa = m.m_dec_sa;
        o->gen = m.m_dec_gen;
        o->len = m.m_dec_len;
        o->soft = m.m_dec_soft;
        o->src_changed = m.m_dec_src_changed;
    }

    void drive()
    {
        stream &e = dir[PIPE_ENC], &d = dir[PIPE_DEC];
        offer(e, m.s_enc_tdata, m.s_enc_tkeep, m.s_enc_tvalid, m.s_enc_tlast);
        if (!e.in.empty()) {
            m.s_enc_tag = e.in.front().tag;
            m.s_enc_sa = e.in.front().sa;
            m.s_enc_gen = e.in.front().gen;
            m.s_enc_len = e.in.front().len;
        }
        offer(d, m.s_dec_tdata, m.s_dec_tkeep, m.s_dec_tvalid, m.s_dec_tlast);
        if (!d.in.empty()) {
            m.s_dec_tag = d.in.front().tag;
            m.s_dec_len = d.in.front().len;
        }
        m.m_enc_tready = !chance(out_stall);
        m.m_dec_tready = !chance(out_stall);
        m.s_sa_tvalid = !cmds.empty();
        if (!cmds.empty()) {
            m.s_sa_tdata = cmds.front().words[cmd_at];
            m.s_sa_tlast = cmd_at + 1 == cmds.front().words.size();
        }
        m.m_sa_tready = 1;
        m.zeroize = zeroize;
        zeroize = false;
    }

    void commands()
    {
        if (m.s_sa_tvalid && m.s_sa_tready && ++cmd_at == cmds.front().words.size()) {
            cmds.pop_front();
            cmd_at = 0;
        }
        if (!m.m_sa_tvalid)
            return;
        answer.push_back(m.m_sa_tdata);
        if (!m.m_sa_tlast)
            return;
        sa_answer a;
        a.status = m.m_sa_status;
        memset(a.result, 0xee, sizeof(a.result));
        memcpy(a.result, answer.data(), answer.size() * 8 < 64 ? answer.size() * 8 : 64);
        answers.push_back(a);
        answer.clear();
    }

    void tick() override
    {
        m.clk = 0;
        drive();
        m.eval(); // ready and data may depend on the inputs within the cycle
        stream &e = dir[PIPE_ENC], &d = dir[PIPE_DEC];
        if (m.s_enc_tvalid && m.s_enc_tready)
            accepted(e);
        if (m.s_dec_tvalid && m.s_dec_tready)
            accepted(d);
        if (m.m_enc_tvalid && m.m_enc_tready) {
            pipe_out *o = collect(e, m.m_enc_tdata, m.m_enc_tkeep, m.m_enc_tlast);
            if (o) {
                enc_side(o);
                e.out.push_back(std::move(e.cur));
            }
        }
        if (m.m_dec_tvalid && m.m_dec_tready) {
            pipe_out *o = collect(d, m.m_dec_tdata, m.m_dec_tkeep, m.m_dec_tlast);
            if (o) {
                dec_side(o);
                d.out.push_back(std::move(d.cur));
            }
        }
        commands();
        edge();
        e.pulses += m.enc_done;
        d.pulses += m.dec_done;
        cycle++;
    }
};

} // namespace

struct pipe *pipe_new(unsigned lanes)
{
    if (lanes == 1)
        return new model_pipe<esp_pipe_l1, esp_pipe_l1__Syms, 1>();
    if (lanes == 4)
        return new model_pipe<esp_pipe_l4, esp_pipe_l4__Syms, 4>();
    return nullptr;
}

void pipe_free(struct pipe *p)
{
    delete p;
}

void pipe_stalls(struct pipe *p, unsigned in_percent, unsigned out_percent, uint32_t seed)
{
    p->in_stall = in_percent;
    p->out_stall = out_percent;
    p->rng = seed ? seed : 1;
}

void pipe_push_len(struct pipe *p, enum pipe_dir dir, const void *data, size_t size, uint16_t len,
                   uint16_t tag, uint32_t sa, uint16_t gen)
{
    const uint8_t *bytes = static_cast<const uint8_t *>(data);

    p->dir[dir].in.push_back({std::vector<uint8_t>(bytes, bytes + size), len, tag, gen, sa});
}

void pipe_push(struct pipe *p, enum pipe_dir dir, const void *data, size_t size, uint16_t tag, uint32_t sa,
               uint16_t gen)
{
    pipe_push_len(p, dir, data, size, static_cast<uint16_t>(size), tag, sa, gen);
}

bool pipe_pop(struct pipe *p, enum pipe_dir dir, struct pipe_out *out)
{
    if (p->dir[dir].out.empty())
        return false;
    *out = *p->dir[dir].out.front();
    p->dir[dir].out.pop_front();
    return true;
}

size_t pipe_out_count(struct pipe *p, enum pipe_dir dir)
{
    return p->dir[dir].out.size();
}

void pipe_step(struct pipe *p, unsigned cycles)
{
    while (cycles--)
        p->tick();
}

bool pipe_run(struct pipe *p, enum pipe_dir dir, size_t count, unsigned limit)
{
    while (limit-- && p->dir[dir].out.size() < count)
        p->tick();
    return p->dir[dir].out.size() >= count;
}

void pipe_command(struct pipe *p, const uint8_t cmd[64], const uint8_t blob[512])
{
    sa_words w;

    w.words.resize(blob ? 72 : 8);
    memcpy(w.words.data(), cmd, 64);
    if (blob)
        memcpy(w.words.data() + 8, blob, 512);
    p->cmds.push_back(w);
}

int pipe_result(struct pipe *p, uint8_t result[64])
{
    for (int i = 0; i < 20000 && p->answers.empty(); i++)
        p->tick();
    if (p->answers.empty())
        return -1;
    int status = p->answers.front().status;
    memcpy(result, p->answers.front().result, 64);
    p->answers.pop_front();
    return status;
}

void pipe_zeroize(struct pipe *p)
{
    p->zeroize = true;
    p->tick();
}

bool pipe_zeroized(struct pipe *p)
{
    return p->zeroized();
}

bool pipe_busy(struct pipe *p)
{
    return p->busy();
}

const uint8_t *pipe_memory(const struct pipe *p, size_t *size)
{
    return p->memory(size);
}

uint64_t pipe_cycles(struct pipe *p)
{
    return p->cycle;
}

uint64_t pipe_done_pulses(struct pipe *p, enum pipe_dir dir)
{
    return p->dir[dir].pulses;
}
