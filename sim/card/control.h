// SPDX-License-Identifier: Apache-2.0
// The tester's control of a running card: one line of text in, a first line `ok` or `error CODE TEXT` and
// then any body out. CODE is the exit status of `espalier-card ctl`.
#ifndef ESP_CARD_CONTROL_H
#define ESP_CARD_CONTROL_H

#include "sim/card/device.h"

// Carries one command out; the reply is a string for free(), NULL when memory is short.
char *card_control_execute(struct card_device *d, const char *wave_file, char *line);

// `espalier-card ctl ...`, with argv[0] being "ctl". Returns an exit status.
int card_control_main(int argc, char **argv);

#endif
