// SPDX-License-Identifier: Apache-2.0
// Text from elsewhere (a peer's identity, a file's line) as a terminal, a log file or a reader of JSON may
// get it: well-formed UTF-8 without control characters; whatever else there is becomes '?'.
#ifndef CTRL_LIB_PRINTABLE_H
#define CTRL_LIB_PRINTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

// The octets of the well-formed UTF-8 character (RFC 3629) at `c` that may be shown; 0: there is none.
static inline size_t printable_octets(const unsigned char *c)
{
    static const unsigned least[] = {0, 0x20, 0xa0, 0x800,
                                     0x10000}; // below: control characters, or written too long
    size_t n = c[0] < 0x80 ? 1 : c[0] < 0xc0 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : c[0] < 0xf5 ? 4 : 0;
    unsigned code = n > 1 ? c[0] & (0xffu >> (n + 1)) : c[0];
    for (size_t i = 1; i < n; i++) {
        if ((c[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (c[i] & 0x3f);
    }
    bool fits =
        n && code >= least[n] && code <= 0x10ffff && code != 0x7f && !(code >= 0xd800 && code < 0xe000);
    return fits ? n : 0;
}

static inline void printable_make(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c;) {
        size_t n = *c >= 0x20 && *c < 0x7f ? 1 : printable_octets(c);
        if (!n)
            *c = '?';
        c += n ? n : 1;
    }
}

static inline void printable_put(FILE *f, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c;) {
        size_t n = printable_octets(c);
        if (n)
            fwrite(c, 1, n, f);
        else
            fputc('?', f);
        c += n ? n : 1;
    }
}

#endif
