// SPDX-License-Identifier: Apache-2.0
// The machines that the manual's examples are run on: the two sites of the lab, each with an /etc/swanctl and
// a /run of its own, so that every command runs as it is printed. This is the one place where the manual's
// world is mapped to the test's; ctrl/manual/README.md says how.
#ifndef TESTS_SYSTEM_MANUAL_LAB_H
#define TESTS_SYSTEM_MANUAL_LAB_H

#include "tests/system/harness.h"
#include "tests/unit/manual_pages.h"

struct manual_lab {
    struct lab lab;
    pid_t mounts[2]; // west's and east's
    pid_t card[2];   // what `daemon=card` has started there
    char pcap[200];
    char out[65536]; // of the last command
};
// Skips the test where a machine of its own cannot be made; why is said.
bool manual_lab_up(struct manual_lab *m);
void manual_lab_down(struct manual_lab *m);
const char *manual_peers(void); // the folder with libreswan (peers/get.sh), or NULL
// One block, as its label says. false: it was said what came instead.
bool block_run(struct manual_lab *m, const struct page *p, const struct block *b);

#endif
