// SPDX-License-Identifier: Apache-2.0
// The command line of espalier-card.
#ifndef ESP_CARD_OPTIONS_H
#define ESP_CARD_OPTIONS_H

#include <stdint.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_MISSING = 3 };

struct card_options {
    const char *dir;
    unsigned lanes, sa_slots;
    const char *json;
    const char *fst;
    uint64_t from, to; // of the wave, in cycles; to == 0: no end
    char error[256];
};

// An exit status: EXIT_DONE, or why not (text in o->error). *help is set when the user asked for the usage.
int card_options_parse(struct card_options *o, int argc, char **argv, int *help);

#endif
