// SPDX-License-Identifier: Apache-2.0
// `espalier fleet`: etcd itself, as espalierd's settings name it, asked one question after the other.
#ifndef CTRL_CLI_FLEET_H
#define CTRL_CLI_FLEET_H

#include "ctrl/cli/cli.h"
#include "ctrl/fleet/etcd.h"
#include "ctrl/fleet/fleet.h"

struct fleet_etcd;
// By the settings file that --config names, or espalierd's own. *out is to be closed where this is 0.
int fleet_etcd_open(struct fleet_etcd **out, const char *config, struct esp_error *err);
void fleet_etcd_close(struct fleet_etcd *e);

// espalierd.fleet.allow_clear of those settings.
bool fleet_etcd_allows_clear(const struct fleet_etcd *e);

// The prefix, a part of it ("nodes/") and a name in one, in buf.
const char *fleet_etcd_key(const struct fleet_etcd *e, char buf[512], const char *part, const char *name);
// What is answered goes to fn, which may be NULL. 0, or why nothing was, or a refusal, with etcd's words.
int fleet_etcd_ask(struct fleet_etcd *e, const struct etcd_question *q, etcd_answer_fn *fn, void *ctx,
                   struct esp_error *err);
// -EAGAIN: a comparison does not hold.
int fleet_etcd_txn(struct fleet_etcd *e, const struct etcd_compare *c, size_t compares,
                   const struct etcd_op *op, size_t ops, struct esp_error *err);
// Each key below a part, by what follows that, until fn returns something else than 0, which is returned.
typedef int fleet_etcd_each_fn(void *ctx, const char *name, const struct etcd_kv *kv);
int fleet_etcd_each(struct fleet_etcd *e, const char *part, bool keys_only, fleet_etcd_each_fn *fn, void *ctx,
                    struct esp_error *err);

struct fleet_current { // `current`; all zero: nothing has been loaded yet
    char generation[64], before[64];
    uint64_t connections, loaded, changed; // changed: its revision
};
// -EPROTO: it is of another schema.
int fleet_etcd_current(struct fleet_etcd *e, struct fleet_current *c, struct esp_error *err);

int fleet_load(struct cli *cli, struct fleet_etcd *e, const char *file); // fleet_load.c; an exit status

#endif
