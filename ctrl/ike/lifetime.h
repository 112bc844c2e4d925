// SPDX-License-Identifier: Apache-2.0
// When a CHILD SA or an IKE SA is due for rekeying, or over. What is done then is expiry.c's.
#ifndef CTRL_IKE_LIFETIME_H
#define CTRL_IKE_LIFETIME_H

#include <stdint.h>

enum {                       // when the peer's certificates or the answers about them end
    PROOF_LEAST_S = 60,      // however short those are: it is asked again once a minute at most
    PROOF_SPREAD_MS = 30000, // within that it has to prove itself again
    PROOF_OVER_MS = 90000,   // or the IKE SA ends
    MEMORY_MS = 1000         // what there was no memory to ask for is asked for again
};

struct child_sa;
struct ike_sa;
void lifetime_child(struct child_sa *c); // its times run from now on
void lifetime_child_arm(struct child_sa *c);
uint64_t lifetime_volume(uint64_t limit, uint64_t spread); // less a random part of spread
void lifetime_ike(struct ike_sa *sa);
// A successor has new keys, and no new proof of its peer: that ends when it would have (RFC 7296
// section 2.8.3).
void lifetime_ike_inherit(struct ike_sa *next, const struct ike_sa *old);
void lifetime_ike_retry(struct ike_sa *sa, uint64_t ms); // of its rekeying
void lifetime_ike_arm(struct ike_sa *sa);
void lifetime_ike_reauth(struct ike_sa *sa, uint64_t at); // it proves itself again by then
void lifetime_ike_retire(struct ike_sa *sa, uint64_t at); // it is replaced, and ends then
void lifetime_clock_set(struct ike_sa *sa); // where its peer's certificates end is elsewhere now

#endif
