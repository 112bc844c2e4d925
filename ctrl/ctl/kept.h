// SPDX-License-Identifier: Apache-2.0
// What ctl alone knows and the next one must, when it has died and is started again: in a memory file of the
// supervisor's, of a fixed size (sealed), that the supervisor maps nowhere and each ctl maps as it is. No
// secret is in it. All else the next one asks of those that have it (recover.h). It may have been in the
// middle of writing, or broken into: nothing in here is trusted further than its own type.
#ifndef CTRL_CTL_KEPT_H
#define CTRL_CTL_KEPT_H

#include <stdint.h>

enum { KEPT_COUNTERS = 4096, KEPT_NAME_LEN = 64 };

struct ctl_kept_bank {
    uint32_t count;
    struct {
        uint64_t baseline;
        char name[KEPT_NAME_LEN];
    } of[KEPT_COUNTERS];
};
struct ctl_kept {
    int64_t started; // wall clock, of the first one; 0: this is it
    uint64_t started_ms;
    uint32_t last_req; // of questions to other rooms: an answer to the last one's is not taken for ours
    uint32_t unnamed;  // secrets without an id so far
    uint32_t loading;  // clients that are connected and have begun to load
    // other than 0: so it is (a bool may be nothing but 0 and 1)
    uint8_t half;    // a client's loads ended before their time, and none has begun anew
    uint8_t crowded; // more names of connections were refused than are kept count of
    uint8_t swept;   // path was told to sweep the kernel of what an earlier run left
    uint32_t bank;   // of the two, by its lowest bit, the one that is whole
    struct ctl_kept_bank banks[2];
};

int kept_new(void); // the file: a descriptor, or -errno. Close-on-exec
// In place from now on, and its descriptor closed; NULL: errno says why.
struct ctl_kept *kept_map(int fd);
struct ctl_kept *kept_alone(void); // that no successor will see; NULL: no memory
void kept_free(struct ctl_kept *k);

#endif
