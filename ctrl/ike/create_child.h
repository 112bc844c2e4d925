// SPDX-License-Identifier: Apache-2.0
// CREATE_CHILD_SA for CHILD SAs: asking for one, and what is on its way.
#ifndef CTRL_IKE_CREATE_CHILD_H
#define CTRL_IKE_CREATE_CHILD_H

#include <stdbool.h>
#include <stdint.h>

struct child_config;
struct ike_sa;
struct rekey_race;
bool create_child_begin(struct ike_sa *sa,
                        const struct child_config *cfg); // one of sa->conn; false: no memory

// Each one that is being made or waits for its turn.
void create_child_each(struct ike_sa *sa, void (*fn)(struct ike_sa *sa, const char *child));
bool create_child_on_its_way(const struct ike_sa *sa, const char *child);
// The peer deletes this one, which we do not have: its answer to our own request may name it yet.
void create_child_gone(struct ike_sa *sa, uint32_t spi_out);
struct rekey_race *create_child_race(const struct ike_sa *sa, uint32_t old); // NULL: we are not rekeying it

#endif
