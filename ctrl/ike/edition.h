// SPDX-License-Identifier: Apache-2.0
// An IKE SA and the edition of its connection that is loaded now: where all that concerns the IKE SA is as it
// was, it goes on under that one, and a CHILD SA that is new in it needs no second IKE SA. Its CHILD SAs stay
// what they were made by (struct child_sa, conn).
#ifndef CTRL_IKE_EDITION_H
#define CTRL_IKE_EDITION_H

#include <stdbool.h>

struct child_sa;
struct conn;
struct ike;
struct ike_sa;

// Whether CHILD SAs of c may be made on it; c is the edition that is loaded.
bool sa_follows(struct ike_sa *sa, struct conn *c);
// c has been put in the place of what was loaded by its name.
void edition_follow(struct ike *ike, struct conn *c);
// The peer has it too: what was of a child that has been renamed, or was edited since, has had its time.
void edition_child_up(struct child_sa *c);
// Another CHILD SA is there for all that this one is for, whose child is loaded no more as it was.
bool edition_is_over(const struct child_sa *c);

#endif
