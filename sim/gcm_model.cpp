// SPDX-License-Identifier: Apache-2.0
// Drives the Verilated gcm_pair at its ports: one clock edge at a time, outputs sampled just before the edge.
// Byte n of a bus is bits 8n+7:8n, which on a little-endian host is a plain copy.
#include "sim/gcm_model.h"

#include <cerrno>
#include <cstring>
#include <memory>

#include "gcm_pair_model.h"
#include "verilated.h"

struct gcm_model {
    std::unique_ptr<VerilatedContext> context;
    std::unique_ptr<gcm_pair_model> top;
    uint64_t cycles = 0;
};

namespace
{
const unsigned KEY_TIMEOUT = 2000;
const unsigned DRAIN_TIMEOUT = 200;

void settle(gcm_model *m)
{
    m->top->clk = 0;
    m->top->eval();
}

void edge(gcm_model *m)
{
    m->top->clk = 1;
    m->top->eval();
    m->cycles++;
}

void tick(gcm_model *m)
{
    settle(m);
    edge(m);
}

struct sink {
    gcm_message *msg;
    size_t got = 0;
    bool tagged = false;
};

// One clock, taking what the core gives.
void tick_sink(gcm_model *m, sink &s)
{
    settle(m);
    if (m->top->out_valid) {
        size_t n = m->top->out_bytes;
        if (n > s.msg->len - s.got)
            n = s.msg->len - s.got;
        if (n != 0)
            memcpy(s.msg->out + s.got, &m->top->out_data, n);
        s.got += n;
    }
    if (m->top->tag_valid) {
        memcpy(s.msg->tag, &m->top->tag, sizeof(s.msg->tag));
        s.tagged = true;
    }
    edge(m);
}

int zeroize(gcm_model *m)
{
    unsigned done = 0;
    m->top->zeroize = 1;
    tick(m);
    m->top->zeroize = 0;
    for (unsigned i = 0; i < KEY_TIMEOUT; i++) {
        settle(m);
        done |= m->top->zeroize_done;
        edge(m);
        if (done == 3)
            return 0;
    }
    return -ETIMEDOUT;
}
} // namespace

extern "C" struct gcm_model *gcm_model_new(void)
{
    gcm_model *m = new gcm_model;
    m->context = std::make_unique<VerilatedContext>();
    m->top = std::make_unique<gcm_pair_model>(m->context.get(), "gcm_pair");
    m->top->rst = 1;
    for (int i = 0; i < 4; i++)
        tick(m);
    m->top->rst = 0;
    return m;
}

extern "C" void gcm_model_free(struct gcm_model *m)
{
    if (!m)
        return;
    memset(&m->top->key, 0, sizeof(m->top->key));
    zeroize(m);
    m->top->final();
    delete m;
}

extern "C" int gcm_model_set_key(struct gcm_model *m, unsigned slot, const uint8_t *key, size_t key_len)
{
    unsigned done = 0;
    bool taken = false;

    if (slot >= GCM_MODEL_SLOTS || (key_len != 16 && key_len != 32))
        return -EINVAL;
    memset(&m->top->key, 0, sizeof(m->top->key));
    memcpy(&m->top->key, key, key_len);
    m->top->key_256 = key_len == 32;
    m->top->key_sa = slot;
    m->top->key_valid = 1;
    for (unsigned i = 0; i < KEY_TIMEOUT && done != 3; i++) {
        settle(m);
        taken = taken || m->top->key_ready;
        done |= m->top->key_done;
        edge(m);
        if (taken)
            m->top->key_valid = 0;
    }
    m->top->key_valid = 0;
    memset(&m->top->key, 0, sizeof(m->top->key));
    return done == 3 ? 0 : -ETIMEDOUT;
}

extern "C" int gcm_model_run(struct gcm_model *m, struct gcm_message *msg)
{
    sink s{msg};
    size_t at = 0;

    if (msg->aad_len > GCM_MODEL_MAX_AAD || msg->slot >= GCM_MODEL_SLOTS)
        return -EINVAL;
    m->top->in_dec = msg->decrypt;
    m->top->in_sa = msg->slot;
    memcpy(&m->top->in_nonce, msg->nonce, 12);
    memset(&m->top->in_aad, 0, 16);
    if (msg->aad_len)
        memcpy(&m->top->in_aad, msg->aad, msg->aad_len);
    m->top->in_aad_len = msg->aad_len;
    do {
        size_t n = msg->len - at < 16 ? msg->len - at : 16;
        memset(&m->top->in_data, 0, 16);
        if (n != 0)
            memcpy(&m->top->in_data, msg->in + at, n);
        m->top->in_bytes = n;
        m->top->in_valid = 1;
        m->top->in_sop = at == 0;
        m->top->in_eop = at + n == msg->len;
        tick_sink(m, s);
        at += n;
    } while (at < msg->len);
    m->top->in_valid = 0;
    for (unsigned i = 0; i < DRAIN_TIMEOUT && !(s.tagged && s.got == msg->len); i++)
        tick_sink(m, s);
    return s.tagged && s.got == msg->len ? 0 : -ETIMEDOUT;
}

extern "C" uint64_t gcm_model_cycles(const struct gcm_model *m)
{
    return m->cycles;
}
