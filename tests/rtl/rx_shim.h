// SPDX-License-Identifier: Apache-2.0
// The pins of the decapsulation pipeline (rtl/esp/esp_rx.v) as a C structure, for LANES 1, 2 and 4. rx_step
// drives the inputs, reports the outputs that are sampled at this clock edge, and makes the edge.
#ifndef TESTS_RTL_RX_SHIM_H
#define TESTS_RTL_RX_SHIM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rx_pins {
    bool rst, zeroize;
    bool s_valid, s_last, m_ready;
    uint16_t s_tag, s_len;
    uint64_t s_keep;
    uint8_t s_data[64];
    bool slot_valid, seed_valid;
    uint8_t slot_op, seed_index;
    uint32_t slot_index;
    uint16_t slot_gen;
    uint64_t seed_word, slot_limit;
    uint8_t slot_blob[256];

    bool zeroized, s_ready, m_valid, m_last, m_soft, m_src_changed, done, beat;
    uint16_t m_tag, m_status, m_gen, m_len, done_status, done_len;
    uint32_t m_sa;
    uint64_t m_seq, m_keep;
    uint8_t m_data[64];
    bool slot_ready, slot_done;
    uint16_t slot_status;
    uint64_t slot_last_seq, slot_packets, slot_bytes, slot_drops;
};

struct rx_dut;
struct rx_dut *rx_new(int lanes);
void rx_free(struct rx_dut *dut);
void rx_step(struct rx_dut *dut, struct rx_pins *pins);
// all memory of the model that holds registers and RAM, for the search for keys
const uint8_t *rx_memory(const struct rx_dut *dut, size_t *size);

#ifdef __cplusplus
}
#endif
#endif
