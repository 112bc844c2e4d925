// SPDX-License-Identifier: Apache-2.0
// Address pools and the leases out of them: an identity gets the address again that it had. A pool costs
// memory by its leases, not by its size; each step costs the same however many there are. ctl keeps a file of
// the leases and brings those of a pool back when it loads the pool.
#ifndef CTRL_IKE_POOLS_H
#define CTRL_IKE_POOLS_H

#include "ctrl/ike/identity.h"
#include "ctrl/ipc/ipc.h"
#include "ctrl/lib/pool.h"

enum { POOLS_LOADED_MAX = 1024, LEASES_MAX = 65536 }; // of all pools

struct ike;
struct lease;
struct pools;

struct pools *pools_new(void); // NULL: no memory
void pools_free(struct pools *p);
void pools_message(struct ike *ike, enum msg_type t, const union msg *m); // ctl's

// An address for the identity out of one of the connection's pools, in their order; wish: of its family, the
// very one where that is its own already. again: what it has now may be given once more, as whoever has it
// goes. NULL: there is none.
struct lease *pools_take(struct ike *ike, const struct conn_config *cfg, const struct identity *id,
                         const struct addr *wish, bool again);
void pools_address(const struct lease *l, struct addr *out);
void pools_release(struct ike *ike, struct lease *l);
// What goes with an address of these pools: attributes as written; calls f for each pool that is loaded.
void pools_attributes(const struct pools *p, const struct conn_config *cfg,
                      void (*f)(void *ctx, struct slice attrs), void *ctx);
// All addresses of the pool; false: it is not loaded.
bool pools_range(const struct pools *p, const char *name, struct ts *out);

#endif
