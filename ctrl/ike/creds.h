// SPDX-License-Identifier: Apache-2.0
// Credentials that are public, as the ike room has them: the store of certificates, what ctl loads into it
// and lists from it, and which private keys `keys` has.
#ifndef CTRL_IKE_CREDS_H
#define CTRL_IKE_CREDS_H

#include "ctrl/ipc/ipc.h"
#include "ctrl/pki/pki.h"

enum { CREDS_KEY_ID = 20, CREDS_CERTREQ_MAX = 20 };

struct ike;
struct creds {
    struct pki *pki;
    uint8_t (*keys)[CREDS_KEY_ID]; // of the private keys that there are
    unsigned key_count, key_room;
    uint8_t certreq[CREDS_CERTREQ_MAX * 20]; // of the loaded authorities
    size_t certreq_len;
    bool certreq_made;
    uint64_t gone;   // how often what was trusted went: clears, authorities that were unloaded or replaced
    uint64_t judged; // pki_newest when the SAs that stand were held against the CRLs,
    uint64_t looked; // ... or were, but for those there was no memory for
};
struct creds *creds_new(void); // NULL: no memory
void creds_free(struct creds *c);
bool creds_have(struct creds *c, const struct msg_KEY_HAVE *m); // false: no memory to know of it
bool creds_has_key(const struct creds *c, const uint8_t id[CREDS_KEY_ID]);
struct slice creds_certreq(struct creds *c); // the hashes of the first CREDS_CERTREQ_MAX authorities
void creds_message(struct ike *ike, enum msg_type t, const union msg *m); // from ctl
int64_t creds_now(const struct ike *ike);                                 // seconds since 1970

#endif
