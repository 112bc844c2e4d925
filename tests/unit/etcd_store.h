// SPDX-License-Identifier: Apache-2.0
// What the two files of the model share: etcd_store.c has etcd's keys, leases and what is asked of them,
// etcd_model.c the clients and what becomes of their questions on the way.
#ifndef TESTS_UNIT_ETCD_STORE_H
#define TESTS_UNIT_ETCD_STORE_H

#include "tests/unit/etcd_model.h"

enum { FROZEN_MS = 20 }; // between two looks whether it is awake
enum { KEYS = 4096, EVENTS = 8192, LEASES = 256, ANSWER_MS = 2, SILENT_MS = 2000, KEY_LEN = 512 };

struct key {
    char name[KEY_LEN];
    char *value;
    size_t len;
    uint64_t created, changed, lease;
};
struct event {
    bool deleted;
    struct key key;
};
struct lease {
    uint64_t id, end;
    uint32_t ttl;
};
struct client;
struct etcd_model {
    struct loop *loop;
    struct key key[KEYS]; // in their order
    size_t keys;
    struct event event[EVENTS];
    size_t events;
    uint64_t revision, compacted, last_lease;
    struct lease lease[LEASES];
    size_t leases;
    struct timer expiry;
    struct client *clients;
    bool away, broken;
    unsigned ranges;
    uint32_t ttl_said, slow_ms;
    uint64_t lease_said;
    model_delay_fn *delay;
    void *delay_ctx;
    bool stale;
};
struct asked {
    struct asked *next;
    struct client *client;
    struct timer timer;
    struct etcd_question q;
    char *key, *after;
    struct etcd_compare *compare;
    struct etcd_op *op;
    etcd_answer_fn *fn;
    void *ctx;
    bool lost;
};
struct late {
    struct late *next;
    struct client *client;
    struct timer timer;
    struct etcd_answer a;
    etcd_answer_fn *fn;
    void *ctx;
};
struct client {
    struct etcd base;
    struct client *next;
    struct etcd_model *m;
    bool away, deaf, frozen;
    unsigned questions;
    struct asked *asked;
    struct late *late;
    // its watch
    bool watching;
    char prefix[KEY_LEN];
    uint64_t from;
    struct timer watch;
    etcd_news_fn *news;
    void *ctx;
};

struct key *store_find(const struct etcd_model *m, const char *name);
void store_put(struct etcd_model *m, const char *name, const void *value, size_t len, uint64_t lease);
void store_delete(struct etcd_model *m, const char *name, bool prefix);
bool store_begins(const char *name, const char *prefix);
void store_arm(struct etcd_model *m);
void store_expire(struct timer *t);
void store_range(struct etcd_model *m, const struct etcd_question *q, struct etcd_answer *a);
void store_txn(struct etcd_model *m, const struct etcd_question *q, struct etcd_answer *a);
void store_lease(struct etcd_model *m, const struct etcd_question *q, struct etcd_answer *a);
void store_compact(struct etcd_model *m, uint64_t revision);
void model_wake(struct etcd_model *m); // all watches: there is something

#endif
