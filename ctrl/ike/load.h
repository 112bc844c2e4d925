// SPDX-License-Identifier: Apache-2.0
// Loading and unloading connections, and keeping their policies in path.
#ifndef CTRL_IKE_LOAD_H
#define CTRL_IKE_LOAD_H

#include "ctrl/ipc/ipc.h"

struct ike;
struct conn;
struct child_config;
struct child_sa;
void conn_load(struct ike *ike, const struct msg_CONN_LOAD *m);
void conn_unload(struct ike *ike, const struct msg_CONN_UNLOAD *m);
void conn_list(struct ike *ike, const struct msg_CONN_LIST *m);
// Whether the policies that path has taken protect that virtual address of ours, of every child that wants
// it.
bool conn_holds(const struct conn *c, const struct addr *address);
// Whether this child of it has the selectors of the one that the CHILD SA is of, and its policy, as path has
// it, takes the CHILD SA's own.
bool conn_takes(const struct conn *c, const struct child_config *child, const struct child_sa *sa);
// Whether its policies, as path has them, name all that the CHILD SA protects; nobody's address is left open.
bool conn_protects(const struct conn *c, const struct child_sa *sa);
// Another path has nothing yet: all policies are put in force there, in their order, then what was being
// loaded or unloaded is asked for again. In windows; when all of it is answered path_again_applied is called,
// and once more when what was refused for want of memory has been taken. True of the second: nothing is
// missing.
void conn_apply_all(struct ike *ike);
void conn_apply_on(struct ike *ike); // some of it has been answered
bool conn_all_applied(const struct ike *ike);
bool conn_asks_again(struct ike *ike, uint32_t job); // whether it is one of those that are asked for again
void conn_renew(struct ike *ike, struct conn *c);    // its policies, where addresses or traps have changed
void conn_trap(struct ike *ike, struct conn *c, const struct child_config *child);
void conn_addrs_changed(struct ike *ike);
// Of those that path has not answered about and that nothing of that name precedes: they are renewed then.
void conn_first_loads(struct ike *ike, bool (*differs)(const struct conn *c, const void *ctx),
                      const void *ctx);

#endif
