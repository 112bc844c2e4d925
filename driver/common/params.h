// SPDX-License-Identifier: Apache-2.0
// Checks of SA parameters that hold for every engine, and the sizes of the algorithms.
#ifndef ESPALIER_COMMON_PARAMS_H
#define ESPALIER_COMMON_PARAMS_H

#include "espalier/engine.h"

// 0, or -EINVAL with the field at fault: parameters that no engine could ever honour.
int params_check(const struct esp_sa_params *p, struct esp_error *err);

// The UDP destination port at which an inbound SA takes encapsulated packets.
uint16_t inbound_dport(uint16_t dport);

struct esp_endpoint params_endpoint(const struct esp_sa_params *p);
int endpoint_check(const struct esp_endpoint *to, enum esp_dir dir, struct esp_error *err);

// 0, or -EOPNOTSUPP with the attribute that an engine of these capabilities lacks; `who` is its name in the
// sentence.
int caps_check(const struct esp_capabilities *caps, const char *who, const struct esp_sa_params *p,
               struct esp_error *why);

// The families that may be inside, with the default filled in.
unsigned params_inner(const struct esp_sa_params *p);

// The sizes of an algorithm, all 0 for one that is not known (or none).
struct alg_sizes {
    uint8_t key, salt, iv, icv, align; // align: what the ciphertext is a multiple of
};
struct alg_sizes alg_sizes(enum esp_alg a);
struct alg_sizes integ_sizes(enum esp_integ a); // align 0
unsigned alg_key_octets(enum esp_alg a);

// The point of a lease [seq, limit) from which on less than a quarter is left; UINT64_MAX: no lease, never.
uint64_t lease_low_mark(uint64_t seq, uint64_t limit);

#endif
