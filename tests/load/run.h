// SPDX-License-Identifier: Apache-2.0
// The run itself: who begins when, what is repeated, and what it came to.
#ifndef TESTS_LOAD_RUN_H
#define TESTS_LOAD_RUN_H

#include "tests/load/process.h"
#include "tests/load/load.h"

int load_run(const struct load_options *o, struct load_result *r, struct processes *before,
             struct processes *after, struct esp_error *err);
void load_print(const struct load_options *o, const struct load_result *r, const struct processes *before,
                const struct processes *after);
int load_write_json(const struct load_options *o, const struct load_result *r, const struct processes *before,
                    const struct processes *after, struct esp_error *err);

#endif
