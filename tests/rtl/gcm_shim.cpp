// SPDX-License-Identifier: Apache-2.0
// C interface over the Verilated AES-GCM test bench. One template serves the three widths.
#include "gcm_shim.h"

#include <cstring>
#include <memory>

#include "gcm_pair_l1.h"
#include "gcm_pair_l1__Syms.h"
#include "gcm_pair_l2.h"
#include "gcm_pair_l2__Syms.h"
#include "gcm_pair_l4.h"
#include "gcm_pair_l4__Syms.h"

struct gcm_dut {
    virtual ~gcm_dut() = default;
    virtual void step(gcm_pins *p) = 0;
    virtual const uint8_t *memory(size_t *size) const = 0;
};

template <class M, class Syms, class Root, int LANES> struct dut_of : gcm_dut {
    VerilatedContext context;
    M m{&context, "gcm"};

    ~dut_of() override { m.final(); }

    template <class Port> static void put(Port &port, const uint8_t *bytes, size_t n)
    {
        std::memcpy(&port, bytes, n);
    }

    void drive(const gcm_pins *p)
    {
        m.rst = p->rst;
        m.key_valid = p->key_valid;
        m.key_256 = p->key_256;
        m.key_sa = p->key_sa;
        m.clr_valid = p->clr_valid;
        m.clr_sa = p->clr_sa;
        m.zeroize = p->zeroize;
        put(m.key, p->key, 32);
        m.in_valid = p->in_valid;
        m.in_sop = p->in_sop;
        m.in_eop = p->in_eop;
        m.in_sa = p->in_sa;
        m.in_aad_len = p->in_aad_len;
        m.in_bytes = p->in_bytes;
        m.in_meta = p->in_meta;
        put(m.in_nonce, p->in_nonce, 12);
        put(m.in_aad, p->in_aad, 16);
        put(m.in_plain, p->in_plain, 16 * LANES);
        put(m.in_cipher, p->in_cipher, 16 * LANES);
    }

    void sample(gcm_pins *p)
    {
        p->key_ready = m.key_ready;
        p->key_done = m.key_done;
        p->clr_ready = m.clr_ready;
        p->clr_done = m.clr_done;
        p->zeroize_done = m.zeroize_done;
        for (int i = 0; i < 2; i++) {
            auto &o = p->out[i];
            o.valid = m.out_valid >> i & 1;
            o.sop = m.out_sop >> i & 1;
            o.eop = m.out_eop >> i & 1;
            o.tag_valid = m.tag_valid >> i & 1;
            o.bytes = m.out_bytes >> (7 * i) & 0x7f;
            o.meta = uint32_t(m.out_meta >> (32 * i));
            o.tag_meta = uint32_t(m.tag_meta >> (32 * i));
        }
        std::memcpy(p->out[0].data, &m.out_cipher, 16 * LANES);
        std::memcpy(p->out[1].data, &m.out_plain, 16 * LANES);
        std::memcpy(p->out[0].tag, &m.tag_enc, 16);
        std::memcpy(p->out[1].tag, &m.tag_dec, 16);
    }

    void step(gcm_pins *p) override
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

gcm_dut *gcm_new(int lanes)
{
    switch (lanes) {
    case 1: return new dut_of<gcm_pair_l1, gcm_pair_l1__Syms, gcm_pair_l1___024root, 1>;
    case 2: return new dut_of<gcm_pair_l2, gcm_pair_l2__Syms, gcm_pair_l2___024root, 2>;
    case 4: return new dut_of<gcm_pair_l4, gcm_pair_l4__Syms, gcm_pair_l4___024root, 4>;
    default: return nullptr;
    }
}

void gcm_free(gcm_dut *dut)
{
    delete dut;
}

void gcm_step(gcm_dut *dut, gcm_pins *pins)
{
    dut->step(pins);
}

const uint8_t *gcm_memory(const gcm_dut *dut, size_t *size)
{
    return dut->memory(size);
}
}
