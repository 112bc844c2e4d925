// SPDX-License-Identifier: Apache-2.0
// Being sent to another gateway, and sending a peer there (RFC 5685).
#ifndef CTRL_IKE_REDIRECT_H
#define CTRL_IKE_REDIRECT_H

#include <stdbool.h>
#include <stdint.h>

#include "ctrl/ipc/ipc.h"

struct ike;
struct ike_sa;
struct payloads;
struct pb;

enum { REDIRECTS_MAX = 5, REDIRECTS_MS = 300000 }; // section 11: MAX_REDIRECTS, REDIRECT_LOOP_DETECT_PERIOD
struct redirection {                               // what has sent an IKE SA, or those before it, elsewhere
    uint64_t since;
    struct addr from; // the gateway that did so last; family 0: none
    uint8_t count;    // since then
};

// --- as the client ---

void redirect_put(struct pb *b, struct ike_sa *sa); // in the IKE_SA_INIT request
enum redirect_answer { REDIRECT_NONE, REDIRECT_IGNORED, REDIRECT_REFUSED, REDIRECT_FOLLOWED };
// Of an IKE_SA_INIT response. FOLLOWED: sa is to begin anew, with the other gateway. REFUSED: sa->why says
// why.
enum redirect_answer redirect_init(struct ike_sa *sa, const struct payloads *pl);
// Of the IKE_AUTH response of a gateway that is proven: true: an IKE SA with the other one takes sa's place.
bool redirect_auth(struct ike_sa *sa, const struct payloads *pl);
// Of an INFORMATIONAL request: where to; and, when that has been answered, there.
bool redirect_told(struct ike_sa *sa, const struct payloads *pl, struct addr *to);
void redirect_follow(struct ike_sa *sa, const struct addr *to);

// --- as the gateway ---

void redirect_read(struct ike_sa *sa, const struct payloads *pl); // of the IKE_SA_INIT request
void redirect_ask(struct ike *ike, const struct msg_REDIRECT *m); // of the operator

#endif
