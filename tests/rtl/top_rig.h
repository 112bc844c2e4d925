// SPDX-License-Identifier: Apache-2.0
// The card of the tests at its bus: open, with three queues (SA commands, packets, packets), at either width.
#ifndef TESTS_RTL_TOP_RIG_H
#define TESTS_RTL_TOP_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/rtl/top_esp.h"
#include "tests/rtl/top_host.h"

#define READY       ESPC_STATUS_READY_MASK
#define FEATURES_OK ESPC_STATUS_FEATURES_OK_MASK
#define FATAL       ESPC_STATUS_FATAL_MASK
#define DRAINED     ESPC_STATUS_DRAINED_MASK
#define ZEROIZED    ESPC_STATUS_ZEROIZED_MASK

extern struct host h;
extern struct queue sq, q1, q2;
extern card_new make;

int open_card(void **state);
int close_card(void **state);
uint32_t status(void);
struct espc_packet_desc packet(uint8_t op, uint32_t len, uint64_t cookie);
struct espc_completion submit(struct queue *q, const struct espc_packet_desc *d);
void add_sa(uint8_t dir, uint32_t slot, uint16_t generation);
uint32_t queue_status(unsigned q);
void upset(void);

#define CARD(test) cmocka_unit_test_setup_teardown(test, open_card, close_card)
// All of them at one lane, then at four; the number that failed.
int at_each_width(const struct CMUnitTest *tests, size_t count);

#endif
