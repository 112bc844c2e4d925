// SPDX-License-Identifier: Apache-2.0
// What a replay came to, for people: packets by their end, cycles against the ideal, and a loud word where
// nothing was protected.
#ifndef SIM_WORKBENCH_SUMMARY_H
#define SIM_WORKBENCH_SUMMARY_H

#include <stdio.h>

#include "sim/workbench/stats.h"

void summary_print(FILE *f, const struct stats *s, struct wb_engine *e);
void summary_warn(FILE *f, const struct stats *s, const struct sad *sad);

#endif
