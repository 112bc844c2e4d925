// SPDX-License-Identifier: Apache-2.0
// Intel's ipsec-mb, where it was there when this was built and is there now: AES-GCM without EVP's fixed cost
// for each packet. Loaded at run time, so that nothing needs it; OpenSSL always does the same.
#ifndef ESPALIER_SOFT_MB_H
#define ESPALIER_SOFT_MB_H

#include <stddef.h>
#include <stdint.h>

struct mb;
struct mb_schedule; // what the library makes of a key: a kilobyte
// A key. Its schedule is made when a packet first needs it, of a store that is the mb's, so that an SA
// without traffic costs no more than its key; where more are in use than the store holds, the oldest one
// goes.
struct mb_gcm {
    struct mb *mb;
    struct mb_schedule *schedule; // NULL: there is none now
    uint8_t key[32], octets;
};
enum { MB_SCHEDULES = 1 << 17 }; // in use at once: 128 MiB

// One thread's: its keys are used, and freed, by no other.
struct mb *mb_open(void); // NULL: not built in, not installed, of another version, or not for this processor
void mb_close(struct mb *m);
const char *mb_version(void); // of the library that it was built with

// octets: 16, 24 or 32. It stays where it is: its schedule knows it.
void mb_gcm_init(struct mb_gcm *k, struct mb *m, const uint8_t *key, size_t octets);
void mb_gcm_free(struct mb_gcm *k);      // zeroises it and its schedule
size_t mb_schedules(const struct mb *m); // that were ever in use at once
// out may be in. tag: 8, 12 or 16 octets.
void mb_gcm_seal(struct mb_gcm *k, const uint8_t nonce[12], const uint8_t *aad, size_t aad_len,
                 const uint8_t *in, uint8_t *out, size_t len, uint8_t *tag, size_t tag_len);
// The tag that belongs to the ciphertext: the caller compares.
void mb_gcm_open(struct mb_gcm *k, const uint8_t nonce[12], const uint8_t *aad, size_t aad_len,
                 const uint8_t *in, uint8_t *out, size_t len, uint8_t *tag, size_t tag_len);

#endif
