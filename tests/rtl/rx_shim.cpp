// SPDX-License-Identifier: Apache-2.0
// C interface over the Verilated decapsulation pipeline. One template serves the three widths.
#include "rx_shim.h"

#include <cstring>

#include "esp_rx_l1.h"
#include "esp_rx_l1__Syms.h"
#include "esp_rx_l1___024root.h"
#include "esp_rx_l2.h"
#include "esp_rx_l2__Syms.h"
#include "esp_rx_l2___024root.h"
#include "esp_rx_l4.h"
#include "esp_rx_l4__Syms.h"
#include "esp_rx_l4___024root.h"

struct rx_dut {
    virtual ~rx_dut() = default;
    virtual void step(rx_pins *p) = 0;
    virtual const uint8_t *memory(size_t *size) const = 0;
};

template <class M, class Syms, int LANES> struct dut_of : rx_dut {
    VerilatedContext context;
    M m{&context, "rx"};

    ~dut_of() override { m.final(); }

    void drive(const rx_pins *p)
    {
        m.rst = p->rst;
        m.zeroize = p->zeroize;
        m.s_dec_tvalid = p->s_valid;
        m.s_dec_tlast = p->s_last;
        m.s_dec_tag = p->s_tag;
        m.s_dec_len = p->s_len;
        m.s_dec_tkeep = p->s_keep;
        std::memcpy(&m.s_dec_tdata, p->s_data, 16 * LANES);
        m.m_dec_tready = p->m_ready;
        m.slot_valid = p->slot_valid;
        m.slot_op = p->slot_op;
        m.slot_index = p->slot_index;
        m.slot_gen = p->slot_gen;
        m.seed_valid = p->seed_valid;
        m.seed_index = p->seed_index;
        m.seed_word = p->seed_word;
        m.slot_limit = p->slot_limit;
        std::memcpy(&m.slot_blob, p->slot_blob, 256);
    }

    void sample(rx_pins *p)
    {
        p->zeroized = m.zeroized;
        p->s_ready = m.s_dec_tready;
        p->m_valid = m.m_dec_tvalid;
        p->m_last = m.m_dec_tlast;
        p->m_soft = m.m_dec_soft;
        p->m_src_changed = m.m_dec_src_changed;
        p->m_tag = m.m_dec_tag;
        p->m_status = m.m_dec_status;
        p->m_gen = m.m_dec_gen;
        p->m_len = m.m_dec_len;
        p->m_sa = m.m_dec_sa;
        p->m_seq = m.m_dec_seq;
        p->m_keep = m.m_dec_tkeep;
        std::memcpy(p->m_data, &m.m_dec_tdata, 16 * LANES);
        p->done = m.dec_done;
        p->done_status = m.dec_done_status;
        p->done_len = m.dec_done_len;
        p->beat = m.dec_beat;
        p->slot_ready = m.slot_ready;
        p->slot_done = m.slot_done;
        p->slot_status = m.slot_status;
        p->slot_last_seq = m.slot_last_seq;
        p->slot_packets = m.slot_packets;
        p->slot_bytes = m.slot_bytes;
        p->slot_drops = m.slot_drops;
    }

    void step(rx_pins *p) override
    {
        m.clk = 0;
        drive(p);
        m.eval();
        sample(p);
        m.clk = 1;
        m.eval();
    }

    const uint8_t *memory(size_t *size) const override
    {
        *size = sizeof(Syms);
        return reinterpret_cast<const uint8_t *>(m.rootp->vlSymsp);
    }
};

extern "C" {

rx_dut *rx_new(int lanes)
{
    switch (lanes) {
    case 1: return new dut_of<esp_rx_l1, esp_rx_l1__Syms, 1>;
    case 2: return new dut_of<esp_rx_l2, esp_rx_l2__Syms, 2>;
    case 4: return new dut_of<esp_rx_l4, esp_rx_l4__Syms, 4>;
    default: return nullptr;
    }
}

void rx_free(rx_dut *dut)
{
    delete dut;
}

void rx_step(rx_dut *dut, rx_pins *pins)
{
    dut->step(pins);
}

const uint8_t *rx_memory(const rx_dut *dut, size_t *size)
{
    return dut->memory(size);
}
}
