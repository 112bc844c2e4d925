// SPDX-License-Identifier: Apache-2.0
// CREATE_CHILD_SA for CHILD SAs: asking for one, and what is on its way.
#ifndef CTRL_IKE_CREATE_CHILD_H
#define CTRL_IKE_CREATE_CHILD_H

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct child_config;
struct ike_sa;
struct rekey_race;
// cfg: of conn, which is alike but for its children where it is not that of the IKE SA. false: no memory
bool create_child_begin(struct ike_sa *sa, struct conn *conn, const struct child_config *cfg);

// Each one that is being made or waits for its turn.
void create_child_each(struct ike_sa *sa, void (*fn)(struct ike_sa *sa, const char *child));
bool create_child_on_its_way(const struct ike_sa *sa, const char *child); // of any edition
bool create_child_makes(const struct ike_sa *sa, const struct conn *conn, const struct child_config *cfg);
void create_child_follow(struct ike_sa *sa, struct conn *c); // of what c has as it was, likewise by c
// The peer deletes this one, which we do not have: its answer to our own request may name it yet.
void create_child_gone(struct ike_sa *sa, uint32_t spi_out);
// What our own request has come to hear so far, in one number: whether two moments of it are the same.
uint64_t create_child_heard(const struct ike_sa *sa);
// The peer closes what its own rekeying made beside ours: ours stays, whichever nonce is the lowest.
void create_child_taken_back(struct ike_sa *sa, uint32_t id);
struct rekey_race *create_child_race(const struct ike_sa *sa, uint32_t old); // NULL: we are not rekeying it
// Of that name, which are being made or wait for their turn: whether it is to stay, or goes when it is there.
void create_child_want(struct ike_sa *sa, const char *child, bool wanted);
// The old one is to go: where we are rekeying it, what comes in its place goes as soon as it is there.
void create_child_unwanted(struct ike_sa *sa, uint32_t old);

#endif
