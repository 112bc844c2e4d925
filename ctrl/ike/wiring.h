// SPDX-License-Identifier: Apache-2.0
// The one place that knows every file of the room: the table of its exchanges, and what follows from each
// event.
#ifndef CTRL_IKE_WIRING_H
#define CTRL_IKE_WIRING_H

#include "ctrl/ike/events.h"
#include "ctrl/ike/task.h"

extern const struct task_ops *const ike_exchanges[TASK_COUNT];
extern const struct ike_events ike_events;

#endif
