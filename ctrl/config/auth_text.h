// SPDX-License-Identifier: Apache-2.0
// The value of `auth` of a local or remote section (swanctl.conf(5)): psk, or what signatures may be made
// with.
#ifndef CTRL_CONFIG_AUTH_TEXT_H
#define CTRL_CONFIG_AUTH_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "espalier/error.h"

struct auth_text {
    uint8_t auth;     // enum auth_method
    uint8_t eap_type; // enum eap_type, of AUTH_EAP
    uint32_t schemes; // bits of enum cr_scheme_bit: of the AUTH payload
    uint16_t rsa_bits,
        ecdsa_bits;       // the shortest key of the chain; 0: as anywhere; UINT16_MAX: none of the kind
    uint32_t cert_hashes; // of the signatures in the chain, 1 << CR_HASH_*; 0: as anywhere
};

// "pubkey", "rsa-2048-sha256-sha384", "ecdsa-384-sha384", "rsa-4096-ike:rsa/pss-sha256", "ed25519", "psk".
// local: what we make; without it what we take. 0, or -EINVAL with what is wrong and was expected.
int auth_text_parse(const char *text, bool local, struct auth_text *out, struct esp_error *err);

#endif
