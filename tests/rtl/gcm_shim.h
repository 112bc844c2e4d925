// SPDX-License-Identifier: Apache-2.0
// The pins of the AES-GCM test bench (gcm_pair.v) as a C structure, for LANES 1, 2 and 4. gcm_step drives the
// inputs, reports the outputs that are sampled at this clock edge, and makes the edge.
#ifndef TESTS_RTL_GCM_SHIM_H
#define TESTS_RTL_GCM_SHIM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gcm_pins {
    bool rst, key_valid, key_256, clr_valid, zeroize;
    uint32_t key_sa, clr_sa;
    uint8_t key[32];
    bool in_valid, in_sop, in_eop;
    uint32_t in_sa, in_aad_len, in_bytes, in_meta;
    uint8_t in_nonce[12], in_aad[16], in_plain[64], in_cipher[64];

    bool key_ready, key_done, clr_ready, clr_done, zeroize_done;
    // index 0: the encrypting core, 1: the decrypting core
    struct {
        bool valid, sop, eop, tag_valid;
        uint32_t bytes, meta, tag_meta;
        uint8_t data[64], tag[16];
    } out[2];
};

struct gcm_dut;
struct gcm_dut *gcm_new(int lanes);
void gcm_free(struct gcm_dut *dut);
void gcm_step(struct gcm_dut *dut, struct gcm_pins *pins);
// all memory of the model that holds registers and RAM, for the search for keys
const uint8_t *gcm_memory(const struct gcm_dut *dut, size_t *size);

#ifdef __cplusplus
}
#endif
#endif
