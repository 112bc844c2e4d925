// SPDX-License-Identifier: Apache-2.0
// In the place of driver/card/barrier.h for test_barrier.c: the test is told where each barrier stands.
#ifndef ESPALIER_CARD_BARRIER_H
#define ESPALIER_CARD_BARRIER_H

void to_device(void);
void from_device(void);

#endif
