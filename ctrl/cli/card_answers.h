// SPDX-License-Identifier: Apache-2.0
// Packets whose sealed form is known (card_answers.c): not by any code of ours.
#ifndef CTRL_CLI_CARD_ANSWERS_H
#define CTRL_CLI_CARD_ANSWERS_H

#include "espalier/engine.h"

enum { CARD_ANSWER = 136 };
struct card_answer {
    enum esp_alg alg;
    bool esn, udp;
    uint64_t seq;
    uint32_t inner, len; // octets of the packet, and of what is sealed
    uint8_t sealed[CARD_ANSWER];
};
extern const struct card_answer card_answers[];
extern const unsigned card_answer_count;

#endif
