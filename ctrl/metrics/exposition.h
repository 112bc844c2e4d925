// SPDX-License-Identifier: Apache-2.0
// The text that a scrape gets: OpenMetrics 1.0, or the older text format (0.0.4) for who asks for that, as
// promtool does. Samples are the same in both and are written as they come, each to its family; the headers
// are put before them when the text is made.
//
//   struct labels l = labels_none();
//   labels_add(&l, "connection", name);
//   exposition_add(e, FAM_CONNECTION_UP, &l, 1);
#ifndef CTRL_METRICS_EXPOSITION_H
#define CTRL_METRICS_EXPOSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctrl/metrics/families.h"

enum { EXPOSITION_MOST = 128 << 20 }; // octets of samples; what is beyond makes it fail

struct labels {
    char text[4096]; // {a="b",c="d"} without its end
    size_t len;
};
struct labels labels_none(void);
void labels_add(struct labels *l, const char *name,
                const char *value); // escaped; an octet that is no UTF-8: U+FFFD and its digits
void labels_addf(struct labels *l, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

struct text { // all zero: empty
    char *p;
    size_t len, cap;
};
struct exposition { // all zero: empty
    struct text body[FAM_COUNT];
    size_t len;  // of all of them
    bool failed; // no memory, or too long
};
void exposition_add(struct exposition *e, enum family f, const struct labels *l, uint64_t value);
void exposition_add_real(struct exposition *e, enum family f, const struct labels *l, double value);
// counts: of each bound, none of which is counted twice; the last is of what is above all of them.
void exposition_add_histogram(struct exposition *e, enum family f, const double *bounds,
                              const uint64_t *counts, unsigned bound_count, double sum);
void exposition_clear(struct exposition *e);

// The whole text, to be freed; NULL: it failed.
char *exposition_text(const struct exposition *e, bool openmetrics, size_t *len);
extern const char exposition_type_openmetrics[], exposition_type_text[]; // Content-Type

#endif
