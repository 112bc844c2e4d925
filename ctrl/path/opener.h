// SPDX-License-Identifier: Apache-2.0
// Opens a card in a thread of its own: finding it, its reset and its registers wait for it, and packets do
// not.
#ifndef CTRL_PATH_OPENER_H
#define CTRL_PATH_OPENER_H

#include "espalier/engine.h"

struct opener;

// Starts; -ENOMEM or what the system says. The strings of the options are copied, the pools must stay.
int opener_start(struct opener **o, const struct esp_card_options *opt, struct esp_error *err);
int opener_fd(const struct opener *o);            // readable when it has ended
bool opener_wait(const struct opener *o, int ms); // has it ended? false: not within that time
void opener_give_up(struct opener *o);            // it ends as soon as the card lets it
// esp_card_open's answer, waited for; o is gone.
int opener_take(struct opener *o, struct esp_engine **e, struct esp_error *err);

#endif
