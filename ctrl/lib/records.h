// SPDX-License-Identifier: Apache-2.0
// Records in a memory file, one behind the other: what a room has been given and the next one in its place is
// to have. The supervisor holds the file and maps it nowhere. It has one length, whoever writes to it, and
// what is read of it is bounded, as a room that was broken into may have written anything there. A process
// may die in the middle of writing: a record counts once its head says so, and what takes the place of
// another is there before that one goes.
#ifndef CTRL_RECORDS_H
#define CTRL_RECORDS_H

#include "ctrl/lib/hash.h"
#include "ctrl/lib/slice.h"

enum { RECORD_MAX = 160 * 1024, RECORD_SIZES = 46 };

struct record {
    struct hash_node by_key;    // of one that is there
    struct record *next, *prev; // in the order of coming; next of a place that is unused: of the same size
    int64_t at;
    uint64_t number; // grows; 0: nothing is in its place
    uint32_t room, len;
    bool marked; // by who uses them, and not in the file
};
struct records {
    int fd;
    int64_t bytes, end; // the file's length, and behind the last place
    unsigned most, places;
    uint64_t number;
    bool wiped; // what goes leaves no octet
    struct record *first, *last, *at, *unused[RECORD_SIZES];
    struct hash by_key;
    uint8_t in[RECORD_MAX];
};

int records_file(const char *name, int64_t bytes); // a descriptor, or -errno. Close-on-exec
// Takes the descriptor. key: what a record is known by; false: it makes no sense, and counts as a place
// alone. At most so many places are looked at, and made. NULL: errno
// says why (no memory, or it cannot be read), and the descriptor is the caller's still.
struct records *records_open(int fd, int64_t bytes, unsigned most, bool wiped,
                             bool (*key)(struct slice octets, uint64_t *key));
void records_close(struct records *r);
struct record *records_find(const struct records *r, uint64_t key); // NULL: none
// Its octets, in r->in until the next call; none: they cannot be read.
struct slice records_read(struct records *r, const struct record *of);
// Behind the others, in the place of the one of that key where there is one. 0 or -errno: that one is there.
int records_put(struct records *r, uint64_t key, struct slice octets);
void records_drop(struct records *r, struct record *of);
struct record *records_behind(struct records *r, uint64_t number); // the first with a higher one; NULL: none

#endif
