// SPDX-License-Identifier: Apache-2.0
// Which exchange of an IKE SA is at work, and which wait: one of ours and one of the peer's at a time
// (RFC 7296 section 2.3).
#ifndef CTRL_IKE_EXCHANGE_H
#define CTRL_IKE_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "ctrl/ike/task.h"

struct ike_sa;
void exchange_queue(struct ike_sa *sa, enum task_kind kind, uint32_t child_id);
void exchange_queue_task(struct ike_sa *sa, struct task *t);
// Before all others; the end of the IKE SA behind the DELETEs of its CHILD SAs.
void exchange_first(struct ike_sa *sa, enum task_kind kind, uint32_t child_id);
void exchange_next(struct ike_sa *sa);
void exchange_done(struct ike_sa *sa);         // the active task is over
void exchange_drop_request(struct ike_sa *sa); // unanswered, as if it had been lost
void exchange_clear(struct ike_sa *sa);
const char *exchange_name(uint8_t exchange);
void exchange_log(const char *verb, uint8_t exchange, bool response, uint32_t mid, const struct payloads *pl);

#endif
