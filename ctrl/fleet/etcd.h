// SPDX-License-Identifier: Apache-2.0
// What the fleet needs of etcd (version 3), as a seam: questions with one answer each, and one watch. Behind
// it is either a server, by its JSON gateway (etcd_http.c), or a model of its semantics, for tests.
// Everything is asked and answered in one loop; no answer comes before the question's call has returned, and
// none after etcd_free.
//
// Revisions count etcd's changes, of all keys; a key's are that of its creation and that of its last change.
// Keys are text, values any octets.
#ifndef CTRL_FLEET_ETCD_H
#define CTRL_FLEET_ETCD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ETCD_ANSWER_MOST = 16 << 20, // octets of an answer to RANGE or LEASED, or of what a watch says at once
    ETCD_SHORT_MOST = 64 << 10,  // of each other answer
    ETCD_HELD_MOST = 34 << 20,   // of all that is on its way
    ETCD_ITEMS_MOST = 1 << 19,   // values of one answer: what is read takes more memory than its text
    ETCD_TXN_MOST = 120,         // operations; etcd's own limit is 128 unless it was told otherwise
};

struct etcd_kv {
    const char *key;      // ends in NUL
    const uint8_t *value; // a NUL follows it
    size_t len;
    uint64_t created, changed; // revisions
    uint64_t lease;            // that it ends with; 0: none
};

struct etcd_compare { // holds where the key's revision is that; 0: there is no such key
    const char *key;
    bool creation; // that of its creation, else that of its last change
    uint64_t revision;
};

enum etcd_change { ETCD_PUT, ETCD_DELETE, ETCD_DELETE_PREFIX };
struct etcd_op {
    enum etcd_change change;
    const char *key;
    const void *value; // of a PUT
    size_t len;
    uint64_t lease;
};

enum etcd_kind {
    ETCD_RANGE,     // keys that begin with `key`, in their order
    ETCD_TXN,       // all or nothing: where each comparison holds, each operation
    ETCD_GRANT,     // a lease of ttl seconds
    ETCD_KEEPALIVE, // of `lease`
    ETCD_REVOKE,    // likewise: its keys go with it
    ETCD_LEASED,    // likewise: the keys that end with it, in no order
};
struct etcd_question {
    enum etcd_kind kind;
    const char *key;
    const char *after;                  // RANGE: only keys behind this one; NULL: all
    uint64_t revision;                  // RANGE: as it was then; 0: now
    unsigned most;                      // RANGE: keys; 0: all
    bool keys_only;                     // RANGE
    const struct etcd_compare *compare; // TXN
    size_t compares;
    const struct etcd_op *op;
    size_t ops;
    uint64_t lease;
    uint32_t ttl; // s
};

struct etcd_answer {
    // 0; -ETIMEDOUT, -EHOSTUNREACH: nobody answered; -EACCES: TLS or rights; -ENOENT: no such lease;
    // -ESTALE: of a revision that is compacted; -EBADMSG: what it said is not to be understood, or too much;
    // -EIO: it refuses, as `text` says
    int error;
    char text[240];
    uint64_t revision;
    bool succeeded;     // TXN
    bool more;          // RANGE: there are others behind the last
    uint64_t lease;     // GRANT, KEEPALIVE, LEASED
    uint32_t ttl;       // GRANT, KEEPALIVE, LEASED: s; 0: the lease has ended
    struct etcd_kv *kv; // RANGE; LEASED: `key` alone
    size_t count;
};
// The answer and what it points to is there until this returns.
typedef void etcd_answer_fn(void *ctx, const struct etcd_answer *a);

struct etcd_event {
    bool deleted;
    struct etcd_kv kv; // deleted: key and `changed` alone
};
// What a watch says: events in their order, all of a revision together; or why it has ended (error, as of
// an answer; -ESTALE with `compacted`, and -EBADMSG: read everything anew). It says nothing more then.
struct etcd_news {
    int error;
    char text[240];
    uint64_t revision, compacted;
    struct etcd_event *event;
    size_t count;
};
typedef void etcd_news_fn(void *ctx, const struct etcd_news *n);

struct etcd;
struct etcd_ops {
    int (*ask)(struct etcd *e, const struct etcd_question *q, etcd_answer_fn *fn, void *ctx);
    int (*watch)(struct etcd *e, const char *prefix, uint64_t from, etcd_news_fn *fn, void *ctx);
    void (*unwatch)(struct etcd *e);
    void (*free)(struct etcd *e);
};
struct etcd {
    const struct etcd_ops *ops;
};
// 0, or -ENOMEM: then there is no answer.
static inline int etcd_ask(struct etcd *e, const struct etcd_question *q, etcd_answer_fn *fn, void *ctx)
{
    return e->ops->ask(e, q, fn, ctx);
}
// Of keys that begin with that, all from that revision on. In place of the one before. As etcd_ask.
static inline int etcd_watch(struct etcd *e, const char *prefix, uint64_t from, etcd_news_fn *fn, void *ctx)
{
    return e->ops->watch(e, prefix, from, fn, ctx);
}
static inline void etcd_unwatch(struct etcd *e)
{
    e->ops->unwatch(e);
}
static inline void etcd_free(struct etcd *e) // NULL is none
{
    if (e)
        e->ops->free(e);
}

#endif
