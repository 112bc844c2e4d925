// SPDX-License-Identifier: Apache-2.0
// The RTL's AES-GCM core (rtl/gcm) as a C object: keys in slots, one message at a time, either direction.
// The model is Verilated from sim/workbench/gcm_pair.v; its owner calls it from one thread.
#ifndef SIM_GCM_MODEL_H
#define SIM_GCM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GCM_MODEL_SLOTS   16
#define GCM_MODEL_MAX_AAD 16

struct gcm_model;

struct gcm_model *gcm_model_new(void);
void gcm_model_free(struct gcm_model *m); // zeroizes the key memories first

// Loads a 16- or 32-octet key into `slot` of both directions. 0, -EINVAL or -ETIMEDOUT (the core never
// answered).
int gcm_model_set_key(struct gcm_model *m, unsigned slot, const uint8_t *key, size_t key_len);

struct gcm_message {
    bool decrypt;
    unsigned slot;
    const uint8_t *nonce; // 12 octets
    const uint8_t *aad;   // 0 ... 16 octets
    size_t aad_len;
    const uint8_t *in;
    size_t len;
    uint8_t *out;    // len octets
    uint8_t tag[16]; // the computed tag, both directions
};
// Runs one message. 0, -EINVAL (aad_len, slot) or -ETIMEDOUT.
int gcm_model_run(struct gcm_model *m, struct gcm_message *msg);

uint64_t gcm_model_cycles(const struct gcm_model *m);

#ifdef __cplusplus
}
#endif
#endif
