// SPDX-License-Identifier: Apache-2.0
// Makes the other processes: a channel between each two rooms, a fork and exec for each, and in the child
// nothing open that it must not have.
#ifndef CTRL_SUPER_CHILDREN_H
#define CTRL_SUPER_CHILDREN_H

#include <sys/types.h>

#include "ctrl/lib/child.h"
#include "ctrl/super/room_exec.h"
#include "ctrl/super/sockets.h"
#include "espalier/error.h"

struct channels {
    int fd[ROOM_COUNT][ROOM_COUNT]; // fd[a][b]: a's end of the channel between a and b; -1 on the diagonal
};
int channels_open(struct channels *c, struct esp_error *err);
int channels_open_of(struct channels *c, enum room room, struct esp_error *err); // those of one room alone
void channels_without(struct channels *c, enum room room); // closes both ends of those of one room
void channels_close(struct channels *c, enum room keep);   // all but keep's ends; ROOM_COUNT: all

struct remains {          // of a room that has died
    int words;            // where its last ones are read (filter.h); -1: nowhere
    struct log_page *log; // lines that it has not written yet (ctrl/lib/log_page.h); NULL: there are none
};
void remains_free(struct remains *r); // leaves none

// Starts every room but the supervisor. pid[] and left[] are filled as they start; on failure those already
// started are killed and gone.
int children_start(pid_t pid[ROOM_COUNT], struct remains left[ROOM_COUNT], struct channels *c,
                   const struct socket_set *s, const struct daemon_config *config, struct esp_error *err);
// Starts one of them again, with channels of its own: both ends of each are in *c, and only those to the
// neighbours are left open here, which they have to be handed. life: how often that was done, this time
// included.
int children_start_again(enum room room, uint32_t life, pid_t pid[ROOM_COUNT],
                         struct remains left[ROOM_COUNT], struct channels *c, const struct socket_set *s,
                         const struct daemon_config *config, struct esp_error *err);
// In a process that room_is_one: takes its rights off and runs the room; returns its exit status.
int children_run(const struct room_start *start);

// What `room` gets of the sockets; -1 for the rest. Exposed for tests.
struct child_env children_env(enum room room, const struct channels *c, const struct socket_set *s,
                              const struct settings *settings);

#endif
