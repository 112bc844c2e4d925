// SPDX-License-Identifier: Apache-2.0
// What ctl asks for.
#ifndef CTRL_IKE_CONTROL_H
#define CTRL_IKE_CONTROL_H

#include "ctrl/ipc/ipc.h"

struct child_config;
struct ike;
struct ike_sa;
void control_message(struct ike *ike, enum msg_type t, const union msg *m);
void control_acquire(struct ike *ike, const struct msg_ACQUIRE *m);
void control_sa_alone(struct ike_sa *sa);
void control_child_up(struct ike_sa *sa, const char *child);
void control_sa_deleted(struct ike_sa *sa); // by the peer
void control_sa_replaced(struct ike_sa *sa);
void control_child_later(struct ike_sa *sa,
                         const struct child_config *cfg); // the peer is busy: it is tried again
void control_child_failed(struct ike_sa *sa, const char *child, const char *why);
void control_sa_over(struct ike_sa *sa);
void control_sa_rekeyed(struct ike_sa *old,
                        struct ike_sa *next); // who waits for the old one waits for the next
void control_shutdown(struct ike *ike);

#endif
