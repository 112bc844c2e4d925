// SPDX-License-Identifier: Apache-2.0
// Tickets of IKE SAs that may be resumed (RFC 5723), as the one who gives them: sealed under a key that is
// made here, lives in this process and for two days at most, each good for one resumption. What was given,
// and whether it is used up, is one bit a ticket, and there is a bound to them.
#ifndef CTRL_KEYS_TICKET_STORE_H
#define CTRL_KEYS_TICKET_STORE_H

#include "ctrl/crypto/crypto.h"
#include "ctrl/lib/slice.h"

enum {
    TICKET_LIFE_MAX_S = 24 * 3600,
    TICKET_STATE_MAX = 2048, // of what ike puts into one
    TICKET_MAX = TICKET_STATE_MAX + 256,
    TICKETS_OF_KEY = 1 << 20
};

struct ticket_ref { // which ticket; key 0: none
    uint64_t key;
    uint32_t number;
};
struct ticket_key {
    uint64_t id; // 0: there is none
    struct cr_sk *sk;
    uint64_t made_at;
    uint32_t count;
    uint8_t *used; // a bit for each that was sealed
    size_t room;   // octets of it
};
struct ticket_store { // all zero: empty
    struct ticket_key now, before;
    struct cr_algs *algs;
};
struct ticket_secrets { // what one is for; wiped by whoever owns it
    uint64_t until;     // ms by the loop's clock
    uint16_t prf;
    uint8_t len;
    uint8_t sk_d[CR_PRF_MAX];
};

// Times are ms by the loop's clock. state: ike's own, at most TICKET_STATE_MAX octets; out: TICKET_MAX.
int ticket_seal(struct ticket_store *t, uint64_t now, const struct ticket_secrets *s, struct slice state,
                uint8_t *out, size_t *len, struct ticket_ref *ref);
// buf: TICKET_MAX octets that *state lies in, wiped by the caller. -EBADMSG: not one of ours, or its key is
// gone; -ETIME: it has expired; -EALREADY: it is used up.
int ticket_open(struct ticket_store *t, uint64_t now, struct slice ticket, struct ticket_secrets *s,
                uint8_t *buf, struct slice *state, struct ticket_ref *ref);
bool ticket_is_good(const struct ticket_store *t, struct ticket_ref ref); // neither used up nor forgotten
void ticket_use_up(struct ticket_store *t, struct ticket_ref ref);
// Keys that have outlived their tickets go. When that is to be looked at again; 0: there is none.
uint64_t ticket_age(struct ticket_store *t, uint64_t now);
void ticket_forget_all(struct ticket_store *t); // none that was sealed before is good any more

#endif
