// SPDX-License-Identifier: Apache-2.0
// Strict parsers: no sign, no blanks, nothing after the value, no overflow.
#include "ctrl/config/values.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool value_bool(const char *text, bool *out)
{
    static const char *const yes[] = {"yes", "true", "enabled", "1"}, *const no[] = {"no", "false",
                                                                                     "disabled", "0"};
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
            *out = strcasecmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static const char *digits(const char *text, uint64_t *out)
{
    if (!isdigit((unsigned char)*text))
        return NULL;
    char *end;
    errno = 0;
    *out = strtoull(text, &end, text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? 16 : 10);
    return errno ? NULL : end;
}

bool value_number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    const char *end = digits(text, out);
    return end && *end == 0 && *out >= min && *out <= max;
}

static bool scaled(const char *text, const char *units, const uint64_t *factors, uint64_t max, uint64_t *out)
{
    const char *end = digits(text, out);
    if (!end)
        return false;
    if (*end) {
        const char *unit = strchr(units, *end);
        if (!unit || end[1])
            return false;
        uint64_t f = factors[unit - units];
        if (*out > UINT64_MAX / f)
            return false;
        *out *= f;
    }
    return *out <= max;
}

bool value_time(const char *text, uint64_t max, uint64_t *seconds)
{
    static const uint64_t factors[] = {1, 60, 3600, 86400};
    return scaled(text, "smhd", factors, max, seconds);
}

bool value_size(const char *text, uint64_t *octets)
{
    static const uint64_t factors[] = {1 << 10, 1 << 20, 1 << 30, 1 << 10, 1 << 20, 1 << 30};
    return scaled(text, "kmgKMG", factors, UINT64_MAX, octets);
}

bool value_fraction(const char *text, double min, double max, double *out)
{
    if (!isdigit((unsigned char)*text))
        return false;
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    return !errno && *end == 0 && isfinite(*out) && *out >= min && *out <= max;
}
