// SPDX-License-Identifier: Apache-2.0
// Postquantum preshared keys (RFC 8784): whether both ends want one (USE_PPK), which (PPK_IDENTITY), and what
// happens where only one end has it (NO_PPK_AUTH). The PPKs themselves and what they go into are `keys`'.
#ifndef CTRL_IKE_PPK_H
#define CTRL_IKE_PPK_H

#include <stdbool.h>

#include "ctrl/ike/message.h"
#include "espalier/error.h"

struct conn;
struct ike_sa;
struct task;

int ppk_check_conn(const struct conn *c, struct esp_error *err);
struct ike;
int ppk_check_way(const struct ike *ike, const struct conn *c,
                  struct esp_error *err); // by what the settings say

// IKE_SA_INIT, either role: the responder says it where the initiator has. Of both ways that of RFC 9867,
// where it is on (ppk_int.h), comes first.
void ppk_put_use(struct pb *b, const struct ike_sa *sa);
void ppk_read_use(struct ike_sa *sa, const struct payloads *pl);

// IKE_AUTH as initiator, before our AUTH is made: chooses the PPK. good false: why says what ends the
// attempt.
typedef void (*ppk_fn)(struct task *t, bool good, const char *why);
void ppk_offer(struct task *t, ppk_fn fn);
void ppk_put_offer(struct pb *b, const struct ike_sa *sa, struct slice no_ppk_auth);
// The answer: whether the peer has it too. Before its AUTH is checked.
bool ppk_take_answer(struct ike_sa *sa, const struct payloads *pl, char *why, size_t size);

// IKE_AUTH as responder, before the peer's AUTH is checked. Then auth may be that of NO_PPK_AUTH.
void ppk_request(struct task *t, const struct payloads *pl, ppk_fn fn);
void ppk_choose_auth(const struct ike_sa *sa, const struct payloads *pl, struct auth *auth);
void ppk_put_answer(struct pb *b, const struct ike_sa *sa);
// Whether what was chosen for the one connection holds for the other too.
bool ppk_same(const struct conn *a, const struct conn *b);

#endif
