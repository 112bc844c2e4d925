// SPDX-License-Identifier: Apache-2.0
// The file that keeps the leases of address pools over a restart: text, one a line,
//   POOL ADDRESS IDENTITY
// POOL with octets other than letters, digits, '.', '_' and '-' as %XX; IDENTITY the ID payload (RFC
// 7296 3.5) from the ID type octet on, in hexadecimal. A later line of the same pool and address takes the
// place of an earlier one; the first line is "espalier leases 1". New leases are appended; now and then, and
// when it is opened, the file is written anew and renamed into place. A damaged one is named in the log and
// set aside with ".bad" behind its name; what can be read of it is taken.
#ifndef CTRL_CTL_LEASES_H
#define CTRL_CTL_LEASES_H

#include "ctrl/ipc/ipc.h"

enum { LEASES_KEPT_MAX = 131072, LEASES_POOLS_MAX = 4096 };

struct leases;
// Reads the file, where there is one; what is wrong with it is said in the log. NULL: it could not be read
// now (no memory).
struct leases *leases_open(const char *path);
void leases_close(struct leases *l);
void leases_keep(struct leases *l, const struct msg_LEASE *m);
void leases_drop(struct leases *l, const char *pool);
// Those of the pool as POOL_LEASES messages, of which the last is answered by that number. False: no memory,
// and none was sent.
bool leases_send(const struct leases *l, const char *pool, uint32_t req, struct ipc_chan *ike);
unsigned leases_count(const struct leases *l);

#endif
