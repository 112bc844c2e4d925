// SPDX-License-Identifier: Apache-2.0
// The "name value" lines of `ike` and `path`, as families.
#ifndef CTRL_METRICS_TOTALS_H
#define CTRL_METRICS_TOTALS_H

#include "ctrl/ipc/ipc.h"
#include "ctrl/metrics/exposition.h"

void totals_ike(struct exposition *e, const struct msg_IKE_STATS_IS *m);
void totals_path(struct exposition *e, const struct msg_PATH_STATS_IS *m);
bool totals_knows(const char *line); // by its name; what nobody knows is the card's own

#endif
