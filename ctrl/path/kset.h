// SPDX-License-Identifier: Apache-2.0
// The set of objects that path keeps in the kernel: computed from the policies, counted by each object's own
// key, changed by difference (new before old, all or nothing), repaired when others remove something.
//
//   block policies (XFRM)  stand behind every protected or discarded selector, out, in and forwarded
//   allow policies (XFRM)  bypass; the traffic of a local network with itself where the remote side contains
//                          it; what is of one link, and of IPv6 the machine's own neighbour discovery
//   a rule and a table     per distinct local selector; in the table routes into the TUN by destination
//   hooks (netfilter)      one a family: of the kernel's own errors about what the TUN has brought; and of
//                          what programs of this machine send and receive by IPv6. And one for each pair of
//                          selectors with multicast in the remote one, which the kernel forwards without
//                          asking XFRM
#ifndef CTRL_PATH_KSET_H
#define CTRL_PATH_KSET_H

#include "ctrl/path/kernel.h"

struct kset;
struct kset_hold; // the objects that one policy, or one instance of a dynamic one, keeps in force

struct kset_options {
    bool routes;            // rules and routes too; otherwise XFRM policies alone
    uint32_t rule_priority; // the first of KSET_RULE_PRIORITIES
    uint32_t own_mark;      // of our own sockets: they pass our rules by
    uint32_t tun_index;     // 0: not known
    bool hooks;             // the kernel has them: otherwise IPv6 of this machine's own programs is blocked
    bool hooks4;            // those of IPv4
    unsigned number;        // in the mark of what the TUN brings
    bool follows;           // an earlier set of this run: see kset_guard_no_more
};
#define KSET_RULE_PRIORITIES 9

struct kset_spec {                   // what a policy asks of the kernel
    uint8_t action;                  // enum policy_action
    uint32_t rank;                   // among policies that overlap: lower first; of equals what blocks
    const struct ts *local, *remote; // those of family 0 (not known yet) ask for nothing
    unsigned local_count, remote_count;
    // 0: all of it. Else its routes alone, by that interface instead of the TUN: the kernel's own ESP
    // protects it
    uint32_t out_index;
};

// Finds what an earlier run has left (it is adopted when it is asked for, and swept otherwise).
int kset_open(struct kset **out, struct kernel *k, const struct kset_options *o, struct esp_error *err);
// Everything still held is let go of; leave: but stays in the kernel.
void kset_close(struct kset *s, bool leave);

// One transaction: what take[] asks for is put in force, then what drop[] held and nobody else holds goes. On
// a failure nothing has changed, and the error names the object. On success taken[] are the new holds and
// drop[] are gone. A hold that cannot be removed from the kernel is no failure: it is tried again.
int kset_change(struct kset *s, const struct kset_spec *take, struct kset_hold **taken, unsigned m,
                struct kset_hold **drop, unsigned n, struct esp_error *err);

// Of a set that follows an earlier one of the same run, whose policies are given again one after another:
// what that one blocked blocks on, also where a policy has asked for the same object and is taken away or
// changed meanwhile, as it may have been another one's as well. No object that let something by goes without
// a block in its place. From then on it counts as in the first life: what is held goes with its last hold,
// and what nobody has asked for by kset_sweep.
void kset_guard_no_more(struct kset *s);
// Of what an earlier run left: what lets packets by in clear, and nobody has asked for, lets none by any
// more.
void kset_close_lets(struct kset *s);

unsigned kset_sweep(struct kset *s); // removes what an earlier run left and nobody has asked for; how many
// The virtual addresses of this machine: they are preferred sources wherever a policy has them.
void kset_virtual(struct kset *s, const struct addr *a, unsigned count);
void kset_addresses_changed(struct kset *s); // the preferred sources of routes are chosen again

// What the notices of the kernel say about the objects; returns whether something has to be repaired.
bool kset_notice(struct kset *s, const struct knotice *n);
// Puts back what is missing, but routes into a TUN that is down. Returns how many objects were; 0: nothing to
// do. *failed: how many could not be.
unsigned kset_repair(struct kset *s, unsigned *failed);

// Something is not in the kernel as it should be: kset_repair has to try again.
bool kset_unsettled(const struct kset *s);

struct kset_counts {
    unsigned objects, found, wrong; // held; left by an earlier run; not in the kernel as they should be
};
struct kset_counts kset_count(const struct kset *s);
const char *kobj_print(const struct kobj *o, char *buf, size_t size); // returns buf

#endif
