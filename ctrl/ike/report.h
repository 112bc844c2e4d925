// SPDX-License-Identifier: Apache-2.0
// What ctl shows of SAs.
#ifndef CTRL_IKE_REPORT_H
#define CTRL_IKE_REPORT_H

#include "ctrl/ipc/ipc.h"

struct child_sa;
struct ike;
struct ike_sa;
struct net_path;
void report_sas(struct ike *ike, const struct msg_IKE_LIST *m);
void report_stats(struct ike *ike, uint32_t req);
void report_updown(struct ike_sa *sa, bool up);
void report_child_updown(struct child_sa *c, bool up);
void report_ike_rekey(const struct ike_sa *old, const struct ike_sa *next);
void report_child_rekey(const struct child_sa *old, const struct child_sa *next);
void report_ike_moves(const struct ike_sa *sa, const struct net_path *to);
// enum ike_alert; sa may be NULL. At most so many a second, whoever brings them about: what is over that is
// counted alone.
enum { ALERTS_A_SECOND = 200 };
void report_alert(struct ike *ike, const struct ike_sa *sa, uint8_t what);

#endif
