// SPDX-License-Identifier: Apache-2.0
// What the card counted, as JSON: its own counters by the names that it gives them, and the simulation's
// cost.
#ifndef ESP_CARD_STATS_H
#define ESP_CARD_STATS_H

#include "sim/card/device.h"

// A string for free(), or NULL when memory is short. While the card hangs "counters" is null: reading them
// would run its clock.
char *card_stats_json(struct card_device *d);
// Writes it to a temporary file beside `path` and renames it. 0 or a negative errno.
int card_stats_write(struct card_device *d, const char *path);

#endif
