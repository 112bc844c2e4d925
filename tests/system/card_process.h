// SPDX-License-Identifier: Apache-2.0
// One espalier-card as a process of the test's, in a folder of its own.
#ifndef TESTS_SYSTEM_CARD_PROCESS_H
#define TESTS_SYSTEM_CARD_PROCESS_H

#include <sys/types.h>

extern char program[512]; // the test's to set
extern char dir[64];      // where it is, for esp_card_options.pci_sysfs
extern pid_t card_pid;    // 0: none runs

void start_card(const char *name); // of the folder below /tmp; fails the test where it does not come up
void stop_card(int signal);        // and its folder goes

#endif
