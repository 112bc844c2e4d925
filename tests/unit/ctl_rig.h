// SPDX-License-Identifier: Apache-2.0
// The ctl process between one VICI client and the other rooms, which the test plays message by message: what
// is not as expected fails the test. Time stands still but for `now`.
#ifndef TESTS_CTL_RIG_H
#define TESTS_CTL_RIG_H

#include "ctrl/ctl/ctl.h"

extern uint64_t now; // ms
extern struct loop *loop;
extern struct ctl *ctl;
extern int room[ROOM_COUNT], client; // the test's ends; -1: closed

int ctl_set_up(void **state);
int ctl_tear_down(void **state);
void turn(void); // until nothing moves
int join(void);  // one more client

// ---- the rooms' side
extern struct msg_LISTEN listening[ROOM_COUNT]; // the last that came, in passing
union msg expect(enum room from, enum msg_type t);
void expect_nothing(enum room from);
void tell(enum room from, enum msg_type t, const void *m);
void result(enum room from, uint32_t req, bool ok, const char *text);

// ---- the client's side
void send_out(int fd, struct vici_out *o);
void request(const char *name, ...); // pairs of key and value, NULL at the end
const struct vici_node *receive(int fd, enum vici_packet type, const char *event); // valid until the next
void no_answer_yet(int fd);
void register_for(int fd, const char *event);
void assert_value(const struct vici_node *n, const char *key, const char *value);
void expect_error(const char *text);
void expect_success(void);
// A connection of two preshared keys and one child, `net`; load_conn: which ike takes.
void send_conn(const char *name, const char *start_action);
void load_conn(const char *name);

#endif
