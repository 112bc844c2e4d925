// SPDX-License-Identifier: Apache-2.0
// The value types of settings and connection keys: yes/no, numbers in a range, times and sizes with a unit.
// Each parser says whether the whole text is such a value; the caller names the key.
#ifndef CTRL_CONFIG_VALUES_H
#define CTRL_CONFIG_VALUES_H

#include <stdbool.h>
#include <stdint.h>

bool value_bool(const char *text, bool *out); // yes no true false enabled disabled 1 0
bool value_number(const char *text, uint64_t min, uint64_t max, uint64_t *out); // decimal or 0x
bool value_time(const char *text, uint64_t max, uint64_t *seconds); // "90", "90s", "5m", "1h", "2d"
bool value_size(const char *text, uint64_t *octets); // "1000", "10k", "5M", "1G", in powers of 1024
bool value_fraction(const char *text, double min, double max, double *out);

#endif
