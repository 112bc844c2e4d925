// SPDX-License-Identifier: Apache-2.0
// The steps of a run and what came of each: for people, as JSON, and as JUnit, which CI shows.
#ifndef SIM_PAIR_REPORT_H
#define SIM_PAIR_REPORT_H

#include <stdbool.h>
#include <stdint.h>

enum { REPORT_STEPS = 16 };
struct pair_report {
    bool quiet;     // nothing on standard output
    uint64_t begun; // ms
    unsigned count, failed;
    struct report_step {
        const char *name;
        char text[300];
        bool ok;
        uint64_t ms;
    } step[REPORT_STEPS];
};
void report_begin(struct pair_report *r, bool quiet);
// The step that ends here; returns ok.
__attribute__((format(printf, 4, 5))) bool report_step(struct pair_report *r, const char *name, bool ok,
                                                       const char *fmt, ...);
// What it lacks instead, where nothing could be run.
int report_json(const struct pair_report *r, const char *engine, const char *lacks,
                char **out); // to be freed
bool report_junit(const struct pair_report *r, const char *engine, const char *lacks, const char *path);

#endif
