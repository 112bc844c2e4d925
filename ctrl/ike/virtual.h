// SPDX-License-Identifier: Apache-2.0
// Virtual addresses of an IKE SA (RFC 7296 section 2.19): asked for and given by Configuration payloads in
// IKE_AUTH, they take the place of an end's own address in its selectors.
#ifndef CTRL_IKE_VIRTUAL_H
#define CTRL_IKE_VIRTUAL_H

#include "ctrl/ike/message.h"
#include "ctrl/ike/pending.h"
#include "ctrl/lib/conn.h"

struct child_sa;
struct conn;
struct ike;
struct ike_sa;
struct task;
struct vip;

// --- as the one that gives addresses ---

// False: a Configuration payload of the request is malformed.
bool virtual_request_fits(const struct payloads *pl, struct refusal *r);
// What an authenticated peer asks for, out of its connection's pools. 0, or INTERNAL_ADDRESS_FAILURE.
uint16_t virtual_assign(struct ike_sa *sa, const struct payloads *pl);
void virtual_put_reply(struct pb *b, const struct ike_sa *sa); // CFG_REPLY, where it was given any
// The notify for a CHILD SA that does not come to be: its own, or that an address must be asked for first.
uint16_t virtual_why(const struct ike_sa *sa, uint16_t no_address, uint16_t notify);
// The peer's selectors where its addresses come from pools; false: they do not.
bool virtual_remote_ts(const struct ike_sa *sa, const struct child_config *cfg, struct ts_list *out);
// Dynamic selectors become all addresses of the connection's pools, as far as these are loaded. False: those
// are too many.
bool virtual_pools_known(const struct ike *ike, const struct conn_config *cfg); // all of its are loaded
bool virtual_pool_ts(const struct ike *ike, const struct conn_config *cfg, struct ts_list *l);

// --- as the one that asks ---

void virtual_put_request(struct pb *b, const struct ike_sa *sa); // CFG_REQUEST, where the connection has vips
// What the response gives of them; c's selectors are then those that are wanted; c NULL: none is asked for
// with them. False: why says what is wrong.
bool virtual_take(struct ike_sa *sa, struct child_sa *c, const struct payloads *pl, char *why, size_t size);
// Policies, then addresses are put in place, step by step: 1: fn gets the answer to one; 0: all is done;
// -EAGAIN: the policies in force do not protect an address, which is not put.
int virtual_put(struct task *t, reply_fn fn);
void virtual_follow(struct ike_sa *sa); // its connection is another, which is loaded: that has its addresses
// Our selectors where they are virtual addresses: until one is given, all of their families. False: they are
// not.
bool virtual_local_ts(const struct ike_sa *sa, const struct child_config *cfg, struct ts_list *out);
// Dynamic selectors of policies become the addresses that the connection was given last, or names.
bool virtual_own_ts(const struct conn *c, struct ts_list *l);
char *virtual_print_dns(const struct ike_sa *sa, char *buf, size_t size);

// --- of either end ---

// Another path is told of those that are there; what is on the TUN beside them it takes away.
void virtual_tell_again(struct ike *ike);
void virtual_release(struct ike_sa *sa);
void virtual_move(struct ike_sa *old, struct ike_sa *next);                       // next was rekeyed from old
char *virtual_print(const struct vip *v, unsigned count, char *buf, size_t size); // a blank between two

#endif
