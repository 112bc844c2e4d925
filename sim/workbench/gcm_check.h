// SPDX-License-Identifier: Apache-2.0
// One AEAD vector through the RTL's AES-GCM core and through OpenSSL, both ways, compared with what the
// vector promises. What the core has not (AES-192, ChaCha20-Poly1305) goes through OpenSSL alone.
#ifndef SIM_WORKBENCH_GCM_CHECK_H
#define SIM_WORKBENCH_GCM_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/workbench/util.h"

struct wb_bytes {
    uint8_t *data;
    size_t len;
};

struct gcm_vector {
    const char *file; // for messages
    unsigned long id;
    struct wb_bytes key, iv, aad, msg, ct, tag;
    bool chacha;  // ChaCha20-Poly1305 in place of AES-GCM
    bool invalid; // the tag must be found wrong; msg is not looked at
};

struct gcm_check;
struct gcm_check *gcm_check_new(void);
void gcm_check_free(struct gcm_check *c);

// Counts the vector as passed, failed (with a line on stderr that names the engine and the difference) or
// skipped.
void gcm_check_vector(struct gcm_check *c, const struct gcm_vector *v, struct wb_tally *t);

// Does the RTL's core take this vector's algorithm and key?
bool gcm_check_in_rtl(const struct gcm_vector *v);

// The same without the tally, for vectors known to fit: 0, or -EBADMSG after the line on stderr.
int gcm_check_one(struct gcm_check *c, const struct gcm_vector *v);

#endif
