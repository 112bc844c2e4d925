// SPDX-License-Identifier: Apache-2.0
// Questions to `fetch`: what lies under a URL, in the pieces in which it comes. The answer finds the task
// that asked by its number, so one that comes after the task has gone is dropped.
#ifndef CTRL_IKE_FETCHING_H
#define CTRL_IKE_FETCHING_H

#include "ctrl/ipc/ipc.h"
#include "ctrl/pki/pki.h"

struct ike;
struct task;
typedef void (*fetched_fn)(struct task *t, uint32_t id, bool ok, const char *text, struct slice body);
bool fetch_ask(struct task *t, const struct pki_fetch *what, fetched_fn fn); // false: it cannot be asked
void fetch_got(struct ike *ike, const struct msg_FETCHED *m);
void fetch_fail_all(struct ike *ike, const char *why);
void fetch_drop_all(struct ike *ike); // without a word

#endif
