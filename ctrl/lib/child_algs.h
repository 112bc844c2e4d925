// SPDX-License-Identifier: Apache-2.0
// IKE's transforms of a CHILD SA as the engines name them, and what its KEYMAT is (RFC 7296 section 2.17: of
// each direction the encryption key, whose salt is behind it, then the integrity key).
#ifndef CTRL_CHILD_ALGS_H
#define CTRL_CHILD_ALGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "espalier/engine.h"

struct child_algs {
    bool known; // false: no engine of ours has the combination
    bool ah;    // there is no cipher: AH
    enum esp_alg alg;
    enum esp_integ integ;
    uint8_t key, salt, integ_key; // octets; integ_key: with the salt of GMAC
};
// encr and integ: IANA's numbers, 0: none. Without encr it is AH.
struct child_algs child_algs(uint16_t encr, uint16_t encr_bits, uint16_t integ);
size_t child_algs_keymat(struct child_algs a); // octets of one direction, 0: not known

#endif
