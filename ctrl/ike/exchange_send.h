// SPDX-License-Identifier: Apache-2.0
// Requests and responses on their way out: sealed, sent, sent again.
#ifndef CTRL_IKE_EXCHANGE_SEND_H
#define CTRL_IKE_EXCHANGE_SEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctrl/ike/message.h"

struct ike_sa;
struct net_path;
void exchange_send(struct ike_sa *sa, uint8_t *msg,
                   size_t len); // takes msg: a request with all its datagrams, retransmitted until answered
void exchange_again(struct ike_sa *sa); // what is unanswered, at once, where the peer or we are now
// What has not been answered goes out once more, beside its repetitions and once between two of them: it may
// get through now.
void exchange_hurry(struct ike_sa *sa);
// Of a fleet's connection, while this node has it (ctrl/lib/fence.h); false is said in the log. To be asked
// before each message of an IKE SA, also of one that has no keys yet.
bool exchange_may_send(const struct ike_sa *sa);
bool exchange_tried_enough(const struct ike_sa *sa); // what is at work has been repeated often enough
void exchange_send_inner(struct ike_sa *sa, uint8_t exchange, const struct pb *b);
bool exchange_reply(struct ike_sa *sa, uint8_t exchange,
                    const struct pb *b); // the passive task is over; false: it could not be said
void exchange_reply_notify(struct ike_sa *sa, uint8_t exchange, uint16_t type, struct slice data);
void exchange_repeat(struct ike_sa *sa, const struct net_path *path);    // the last response once more
void send_once(struct ike_sa *sa, uint8_t exchange, const struct pb *b); // a request nobody waits for

#endif
