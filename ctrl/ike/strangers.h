// SPDX-License-Identifier: Apache-2.0
// What those who have not proved who they are may cost: keys of tables that nobody can aim at, half-open SAs
// counted by address, and answers counted by address.
#ifndef CTRL_IKE_STRANGERS_H
#define CTRL_IKE_STRANGERS_H

#include <stdbool.h>
#include <stdint.h>

#include "ctrl/ipc/ipc.h"

struct ike;
struct ike_sa;
uint64_t peer_key(const struct ike *ike, uint64_t spi_i, const struct addr *a); // salted
void sa_set_half_open(struct ike_sa *sa, bool on);
unsigned half_open_from(struct ike *ike, const struct addr *a);
bool may_answer(struct ike *ike, const struct addr *a,
                unsigned limit); // a second; who did not prove to be anyone
enum { CHOICES_A_SECOND = 50 };  // of one address
// What it proposes may be held against a long list of ours: its cookie has shown that it is there.
bool may_choose(struct ike *ike, const struct addr *a);
// A try to prove an identity by a signature: not after many from there that failed.
bool may_prove(struct ike *ike, const struct addr *a);
void proof_failed(struct ike *ike, const struct addr *a);
bool may_complain(struct ike *ike,
                  const struct addr *a); // error answers to strangers: two a second to each, ten to all

#endif
