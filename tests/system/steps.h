// SPDX-License-Identifier: Apache-2.0
// Steps that many tests with real daemons take; each fails, or skips, the cmocka test that takes it.
#ifndef TESTS_SYSTEM_STEPS_H
#define TESTS_SYSTEM_STEPS_H

#include "tests/system/harness.h"

void needs_strongswan(void);   // skips, and says so, where it is not installed
bool initiate(struct site *s); // child `net`, by swanctl; whether it came about
bool file_says(const char *folder, const char *name, const char *text); // in one of its lines
bool logged(const struct site *s, const char *text); // the site's daemon; complains where it has not

// The wire at the west site from here on, and what was on it: at least so many ESP packets, none twice, and
// nothing of the networks behind.
void start_capture(struct lab *l, char *pcap, size_t size);
void only_esp(struct lab *l, const char *pcap, uint64_t least);

// Until both sites lead what is for the network behind the other one by that device (" dev NAME "). Seconds;
// fails after so many milliseconds.
double await_way(const struct lab *l, const char *device, int most_ms);

#endif
