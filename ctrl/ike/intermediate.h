// SPDX-License-Identifier: Apache-2.0
// IKE_INTERMEDIATE: whether it is agreed on, and what comes next between IKE_SA_INIT and IKE_AUTH.
#ifndef CTRL_IKE_INTERMEDIATE_H
#define CTRL_IKE_INTERMEDIATE_H

#include <stdbool.h>
#include <stdint.h>

#include "ctrl/ike/message.h"
#include "ctrl/ike/proposal.h"

struct ike_sa;
// INTERMEDIATE_EXCHANGE_SUPPORTED where we propose, or have chosen, additional key exchanges.
void intermediate_put(struct pb *b, const struct ike_sa *sa);
// The suite has additional key exchanges, and the peer's IKE_SA_INIT does not say that it can make them.
bool intermediate_lacks(const struct suite *s, const struct payloads *pl);
uint8_t intermediate_expected(const struct ike_sa *sa); // the exchange that comes next, before the SA is up
void intermediate_next(struct ike_sa *sa);              // queues it, as initiator

#endif
