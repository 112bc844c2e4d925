// SPDX-License-Identifier: Apache-2.0
// The ctl room alone: the test is the other rooms and the VICI client, and nothing moves but by its calls.
#ifndef TESTS_VICI_RIG_H
#define TESTS_VICI_RIG_H

#include <stddef.h>
#include <stdint.h>

#include "ctrl/ctl/ctl.h"

struct vici_input {  // what the client has read, frame by frame
    uint8_t head[5]; // length and type
    size_t have;     // octets of it
    size_t body;     // octets still to come
    unsigned events, replies;
};
extern struct loop *loop;
extern struct ctl *ctl;
extern int room[ROOM_COUNT], client;  // the test's ends; -1: closed
extern uint8_t wire[IPC_MAX_MESSAGE]; // the last that came
extern struct vici_input in;

int vici_set_up(void **state);
int vici_tear_down(void **state);
bool client_joins(void);
size_t client_reads(void);                                          // all that there is; octets
void request(const char *name, const char *key, const char *value); // key may be NULL
void register_for(const char *event);
void tell(enum room from, enum msg_type t, const void *m);
bool asked(enum room from, union msg *m,
           enum msg_type t); // false: nothing; the test fails where it is another, but LISTEN

#endif
