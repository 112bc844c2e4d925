// SPDX-License-Identifier: Apache-2.0
// etcd's semantics (https://etcd.io/docs/v3.4/learning/api/) in one process, for any number of clients in one
// loop, by its clock: revisions, transactions, leases that end by time, watches that begin in the past, and
// compaction. What etcd refuses this refuses with the same error.
#ifndef TESTS_UNIT_ETCD_MODEL_H
#define TESTS_UNIT_ETCD_MODEL_H

#include "ctrl/fleet/etcd.h"
#include "ctrl/lib/loop.h"

struct etcd_model;
struct etcd_model *model_new(struct loop *l);
void model_free(struct etcd_model *m); // after its clients

// A client. Each is away by itself: what it asks is not heard, and it hears nothing.
struct etcd *model_client(struct etcd_model *m);
void model_client_away(struct etcd *e, bool away);
void model_client_deaf(struct etcd *e, bool deaf); // it is answered; its watch says nothing, and does not end
void model_away(struct etcd_model *m, bool away); // from everybody; leases go on, as with a leader that stays
void model_compact(struct etcd_model *m);         // nothing of the past is kept
void model_broken(struct etcd_model *m, bool broken); // each range is all keys, and more behind them, forever
void model_ttl_said(struct etcd_model *m, uint32_t ttl);     // to keepalives, whatever it is; 0: what it is
void model_lease_said(struct etcd_model *m, uint64_t lease); // likewise, of which it is
// How long each way takes, in ms; less than 0: it is lost, which who asked finds out by its time-out. A watch
// that loses something ends, as its connection does.
enum model_way { MODEL_THERE, MODEL_BACK, MODEL_NEWS };
typedef int model_delay_fn(void *ctx, struct etcd *e, enum model_way way);
void model_network(struct etcd_model *m, model_delay_fn *delay, void *ctx);
void model_client_frozen(struct etcd *e, bool frozen); // what comes waits until it is awake
// There is another leader, for which each lease begins anew; the one before answers keepalives all the same,
// and they extend nothing.
void model_stale(struct etcd_model *m, bool stale);
unsigned model_asked(const struct etcd *e);         // how many questions that client has asked
void model_slow(struct etcd_model *m, uint32_t ms); // transactions are heard of so much later than by a watch
unsigned model_ranges(const struct etcd_model *m);  // how many it was asked for
// By somebody with etcdctl.
void model_put(struct etcd_model *m, const char *key, const char *value);
void model_delete(struct etcd_model *m, const char *key);
const char *model_get(const struct etcd_model *m, const char *key); // NULL: there is none
uint64_t model_revision(const struct etcd_model *m);

#endif
