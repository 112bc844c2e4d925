// SPDX-License-Identifier: Apache-2.0
// Small things that all workbench commands share: exit codes, files, hexadecimal, big-endian numbers and the
// tally that vector runs end with.
#ifndef SIM_WORKBENCH_UTIL_H
#define SIM_WORKBENCH_UTIL_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "espalier/error.h"

enum wb_exit { WB_DONE = 0, WB_FAILED = 1, WB_USAGE = 2, WB_MISSING = 3 };

// Prints "espalier-sim: FIELD: TEXT" on stderr and returns the exit code that fits the errno-like code.
int wb_report(const struct esp_error *err);

// The whole file with a zero octet behind it, to be freed; NULL and *err otherwise.
char *wb_read_file(const char *path, size_t *len, struct esp_error *err);

// Decodes hexadecimal digits up to the end of the string. 0; -EINVAL: a character that is no digit, or an odd
// number of them; -ENOSPC: more than cap octets.
int wb_hex(const char *s, uint8_t *out, size_t cap, size_t *len);
// The same into memory of its own, to be freed; at least one octet is allocated. NULL where wb_hex would
// refuse.
uint8_t *wb_hex_dup(const char *s, size_t *len);

// Temporary files: a signal that ends the program (SIGINT, SIGTERM, SIGHUP, SIGPIPE) removes those that were
// added and not yet done. The string must live, at the same place, from add to done; add it before the file
// is made. Four at most.
void wb_temporary_add(char *path);
void wb_temporary_done(const char *path);
// Makes and adds the file that mkstemp makes of `name`, with the mode that fopen would have given it.
FILE *wb_temporary_open(char *name);
// Where a rename must go so that a symbolic link stays one (/dev/stdout); to be freed, NULL: no memory.
char *wb_target(const char *path);

uint16_t wb_get16(const uint8_t *p);
uint32_t wb_get32(const uint8_t *p);
uint64_t wb_get64(const uint8_t *p);
void wb_put16(uint8_t *p, uint16_t v);
void wb_put32(uint8_t *p, uint32_t v);

#define WB_REASONS 48
struct wb_tally {
    uint64_t passed, failed, skipped;
    uint64_t software_only; // of the passed ones: the RTL has no such algorithm
    struct {
        char text[96];
        uint64_t count;
    } reasons[WB_REASONS];
    unsigned n_reasons;
};
__attribute__((format(printf, 2, 3))) void wb_skip(struct wb_tally *t, const char *fmt, ...);
// Prints what ran in software only and why vectors were skipped, then the line "N passed, N failed, N
// skipped"; returns the exit code.
int wb_tally_print(const struct wb_tally *t);

#endif
