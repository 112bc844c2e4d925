// SPDX-License-Identifier: Apache-2.0
// What a worker has to tell ike, and the lines of its log, which control writes where it has a thread of its
// own. It sends nothing itself, as the channels are control's: messages go into a ring, written as they will
// be sent, that the worker alone writes and control alone reads. The ring is bounded, and waits where ike
// does not keep up. What finds no room is not told: of what strangers cause (SPIs that there are not, IKE
// that came with ESP) that is a loss, which is counted; whoever asks for an SA or says that traffic has come
// says it again with the next packet; and that an SA has come to a limit is marked in the SA, where control
// finds it when there is room again (limits.c).
#ifndef CTRL_PATH_NOTES_H
#define CTRL_PATH_NOTES_H

#include <stdatomic.h>

#include "ctrl/ipc/ipc.h"

// Room for three of the longest that there is (a datagram of 64 KiB), of which strangers leave a quarter.
enum { NOTES_BYTES = 256 * 1024, NOTES_LEFT_BY_STRANGERS = NOTES_BYTES / 4 };

struct notes {
    uint8_t *bytes;
    _Atomic uint32_t written; // octets in all, modulo 2^32: by the worker
    _Atomic uint32_t taken;   // by control
    uint64_t full;            // notes that found no room, each time; but for those that are kept
};
int notes_open(struct notes *n); // 0 or -ENOMEM
void notes_close(struct notes *n);
// The worker's. False: there is no room, or less would be left than `leave` octets.
bool notes_put(struct notes *n, enum msg_type t, const void *m, uint32_t leave);
uint32_t notes_room(const struct notes *n); // octets
// Control's: the oldest one, empty where there is none; it stays until notes_take.
struct slice notes_next(struct notes *n);
void notes_take(struct notes *n);

struct path;
struct worker;
bool note_to_ike(struct worker *w, enum msg_type t, const void *m);              // to ike
bool note_of_stranger(struct worker *w, enum msg_type t, const void *m);         // likewise
void note_log(struct worker *w, enum log_subsys s, int level, const char *text); // a line, to ctl
bool note_kept(struct worker *w, enum msg_type t, const void *m); // without room whoever says it keeps it
void notes_forward(struct path *p); // control sends what all workers have noted, as far as ike takes it

#endif
