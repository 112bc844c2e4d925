// SPDX-License-Identifier: Apache-2.0
// An IKE SA and the edition of its connection that is loaded now: where all that concerns the IKE SA is as it
// was, it goes on under that one, and a CHILD SA that is new in it needs no second IKE SA. Its CHILD SAs stay
// what they were made by (struct child_sa, conn). So it does where the connection has been renamed: loaded by
// another name, and by the former one no more, in either order. Which of several that is, its CHILD SAs say:
// the one whose children take the most of them.
#ifndef CTRL_IKE_EDITION_H
#define CTRL_IKE_EDITION_H

#include <stdbool.h>

#include "ctrl/lib/sa_edition.h"

struct child_config;
struct child_sa;
struct conn;
struct ike;
struct ike_sa;

// Whether CHILD SAs of c may be made on it; c is the edition that is loaded.
bool sa_follows(struct ike_sa *sa, struct conn *c);
// c has been put in the place of what was loaded by its name, if anything was. What is of a connection that
// is loaded no more comes to be of it, where only its name and children are others.
void edition_follow(struct ike *ike, struct conn *c);
void edition_removed(struct ike *ike, const struct conn *c); // it is loaded no more: likewise the other way
void edition_look(struct ike_sa *sa); // likewise, where its connection has gone meanwhile
// Of its name, or else the first that is for the same; NULL: neither.
const struct child_config *edition_child(const struct conn *c, const struct child_sa *k);
// Made for that child of the connection that its IKE SA is of, or for what that was before it was renamed, or
// unloaded and loaded again.
bool edition_serves(const struct child_sa *k, const struct conn *c, const struct child_config *child);
// Another connection that is loaded, as c in all but its name and children, has what this child of c is for.
bool edition_is_served(struct ike *ike, const struct conn *c, const struct child_config *child);
// The peer has it too: what was of a child that has been renamed, or was edited since, has had its time.
void edition_child_up(struct child_sa *c);
// c took the place of one that may have had its time: then it soon has, too.
void edition_child_rekeyed(struct child_sa *c);
// Another CHILD SA is there for all that this one is for, whose child is loaded no more as it was.
bool edition_is_over(const struct child_sa *c);

// How it stands to what is loaded; what has its successor under way, or ends, is as it is to be.
enum sa_edition edition_of_sa(const struct ike_sa *sa);
enum sa_edition
edition_of_child(const struct child_sa *c); // SA_AS_LOADED too where its IKE SA is not: it goes with that
// SA_EDITED, and no other: a CHILD SA of what is loaded is made first, on the same IKE SA, and then c is
// closed. Where that fails c goes on. False: there is nothing to do, or no memory.
bool edition_apply(struct child_sa *c);
void edition_child_failed(struct ike_sa *sa); // what was to come in a place has not

#endif
