// SPDX-License-Identifier: Apache-2.0
// The payloads that make a CHILD SA, in IKE_AUTH and CREATE_CHILD_SA: SA, TSi, TSr and their notifies.
#ifndef CTRL_IKE_CHILD_PAYLOADS_H
#define CTRL_IKE_CHILD_PAYLOADS_H

#include "ctrl/ike/kex.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/proposal.h"
#include "ctrl/ike/selectors.h"

struct child_config;
struct child_sa;
struct ike_sa;

struct child_wish { // what a peer asks for; no offers: no CHILD SA
    struct offers offers;
    struct ts_list local, remote; // as we call the ends
    bool transport, no_tfc;       // no_tfc: it takes no TFC padding
};

void child_put_request(struct pb *b, struct child_sa *c, bool with_ke,
                       const struct kex *k);                // k NULL: IKE_AUTH
void child_alert(const struct ike_sa *sa, uint16_t notify); // where an alert says what that error says
// The CHILD SA's half of a response; false: `why` says what is wrong with it.
bool child_take_answer(struct child_sa *c, const struct payloads *pl, bool with_ke, char *why, size_t size);
int child_wish_read(const struct payloads *pl, struct child_wish *w, struct refusal *r);
// A CHILD SA for the configured child that gives the peer all it asks for, otherwise for the first that gives
// it something; only: no other child than that. NULL: notify says why.
struct child_sa *child_choose(struct ike_sa *sa, const struct child_wish *w, const struct child_sa *old,
                              bool with_ke, uint16_t *notify);
void child_put_answer(struct pb *b, const struct child_sa *c, const struct kex *k);

#endif
