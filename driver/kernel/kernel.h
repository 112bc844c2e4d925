// SPDX-License-Identifier: Apache-2.0
// The kernel's engine, inside: messages of the XFRM user interface (linux/xfrm.h), the seam to the kernel
// that tests bring a model for, and what is kept of an SA.
#ifndef ESPALIER_KERNEL_KERNEL_H
#define ESPALIER_KERNEL_KERNEL_H

#include <libmnl/libmnl.h>
#include <linux/xfrm.h>
#include <stdbool.h>
#include <string.h>
#include <sys/types.h>

#include "espalier/engine.h"

#ifndef XFRM_OFFLOAD_PACKET // linux-libc-dev before 6.2
#define XFRM_OFFLOAD_PACKET 4
#endif

enum {
    XFRM_REQUEST_MAX = 2048, // octets of any of our requests
    XFRM_ANSWER_MAX = 32768, // of a datagram of the kernel's
    XFRM_WORDS = 120,        // the kernel's own words for a refusal
};

// ---- the seam
struct xfrm_link;
struct xfrm_link_ops {
    // Asks and waits for the answer: each() (may be NULL) for what comes before the end of it. 0, or -errno
    // with the kernel's own words, where it has any; -ETIMEDOUT: it may have been done or not. The request is
    // as it was but for its number.
    int (*talk)(struct xfrm_link *l, struct nlmsghdr *h, void (*each)(void *ctx, const struct nlmsghdr *h),
                void *ctx, char words[XFRM_WORDS]);
    // The next datagram of notices: its length, 0: none, -ENOBUFS: some are lost.
    ssize_t (*hear)(struct xfrm_link *l, void *buf, size_t size);
    void (*close)(struct xfrm_link *l);
};
struct xfrm_link { // first in an implementation's own struct
    const struct xfrm_link_ops *ops;
    int news; // readable when there are notices
};
int xfrm_link_open(struct xfrm_link **l, struct esp_error *err); // talk.c: Linux itself

// ---- engine.c
// On that link, which it takes, also when it fails.
int kernel_open_link(struct esp_engine **e, struct xfrm_link *l, const struct esp_kernel_options *o,
                     struct esp_error *err);

enum { KERNEL_BUCKETS = 1024 };
enum { // bits of what is to be told of an SA, in this order
    TELL_ADDED = 1,
    TELL_REFUSED = 2,
    TELL_STATS = 4,
    TELL_SOFT = 8,
    TELL_SOURCE = 16,
    TELL_ENDED = 32,
    TELL_DELETED = 64,
};
struct esp_sa {
    struct esp_sa *next;      // of its bucket
    struct esp_sa *told_next; // that have something to be told
    struct xfrm_usersa_id id; // by which the kernel knows it
    struct xfrm_mark mark;    // m 0: none
    enum esp_dir dir;
    void *cookie;
    bool ipv6, udp_encap, queued, ended; // queued: among those that have something to be told
    bool closing, left;                  // deletion was asked for; the kernel has let go of it
    unsigned tell;                       // TELL_*
    enum esp_offload offload;            // what it has become
    enum esp_status why;                 // of ENDED and REFUSED
    struct esp_sa_stats stats;
    struct esp_endpoint ends, from; // from: of SOURCE
    struct esp_error error;         // of REFUSED
};
struct kernel_policy {
    struct kernel_policy *next;
    struct esp_policy p;
};
struct kernel_engine {
    struct esp_engine base; // first
    struct xfrm_link *link;
    uint32_t owner;
    int wake; // eventfd
    struct esp_sa *bucket[KERNEL_BUCKETS], *told, **told_last;
    struct kernel_policy *policies;
    bool look_sas, look_policies; // somebody else may have taken some away
    bool retry;                   // an SA could not be deleted
    uint8_t *known;               // combinations that the kernel has been seen to take: see capable.c
    uint64_t probes, refused, mismatched, lost_notices, restored;
};

// ---- sa.c: between parameters and messages
struct xfrm_wish { // beside the parameters
    uint32_t owner;
    enum esp_offload offload; // NONE, CRYPTO or PACKET
    unsigned ifindex;
};
// A request for a new SA, in a buffer of XFRM_REQUEST_MAX; it holds keys.
struct nlmsghdr *xfrm_put_sa(void *buf, const struct esp_sa_params *p, const struct xfrm_wish *w);
// To delete it, or to be told of it.
struct nlmsghdr *xfrm_put_id(void *buf, uint16_t type, const struct esp_sa *sa);
// Is `got` (a XFRM_MSG_NEWSA of the kernel's) the SA that `sent` asked for? 0; -EPROTO: names the parameter
// that is another one. What became of offload is in *offload, and no difference.
int xfrm_same_sa(const struct nlmsghdr *sent, const struct nlmsghdr *got, enum esp_offload *offload,
                 struct esp_error *why);
bool xfrm_get_stats(const struct nlmsghdr *got, enum esp_dir dir, struct esp_sa_stats *out);
// Of a message with attributes behind `fixed` octets: the one of that type that has at least `size` octets.
const void *xfrm_attr(const struct nlmsghdr *h, size_t fixed, uint16_t type, size_t size);
void xfrm_address(xfrm_address_t *to, const uint8_t from[16], bool ipv6);

// ---- capable.c
void kernel_capabilities(struct esp_engine *e, struct esp_capabilities *caps);
int kernel_capable(struct esp_engine *e, const struct esp_sa_params *p, struct esp_error *why);
// What no kernel could make good: -EINVAL or -EOPNOTSUPP.
int kernel_check(const struct esp_sa_params *p, struct esp_error *why);
size_t kernel_known_octets(void);

// ---- policy.c
int kernel_policy_set(struct esp_engine *e, const struct esp_policy *p, struct esp_error *err);
int kernel_policy_drop(struct esp_engine *e, const struct esp_policy *p, struct esp_error *err);
void kernel_policies_again(struct kernel_engine *k); // those that somebody else has taken away
void kernel_policies_forget(struct kernel_engine *k);
// A policy of the kernel's own list: its owner; false: it is none.
bool xfrm_policy_owner(const struct nlmsghdr *h, uint32_t *owner);

// ---- news.c
void kernel_hear(struct kernel_engine *k);
void kernel_look_again(struct kernel_engine *k); // which SAs are still there

// ---- engine.c, for the others
void kernel_identify(struct esp_sa *sa, const struct esp_sa_params *p); // how the kernel knows it
void kernel_tell(struct kernel_engine *k, struct esp_sa *sa, unsigned what);
struct esp_sa *kernel_find(struct kernel_engine *k, const struct xfrm_usersa_id *id);
void kernel_ended(struct kernel_engine *k, struct esp_sa *sa, enum esp_status why);

// ---- ask.c
int kernel_say(struct kernel_engine *k, struct nlmsghdr *h, const char *field, struct esp_error *err);
// One SA as the kernel has it now: 0 (and its counters are in it), or -errno.
int kernel_ask(struct kernel_engine *k, struct esp_sa *sa);
// 0 and what it has become, or -errno and the reason, in it. With AUTO it is the most that the device takes.
int kernel_add(struct kernel_engine *k, struct esp_sa *sa, const struct esp_sa_params *p);
int kernel_take_away(struct kernel_engine *k, const struct esp_sa *sa); // 0: the kernel has it no more

// ---- sweep.c: what an earlier run of the same owner has left
int kernel_sweep(struct kernel_engine *k, struct esp_error *err);

// Of what the kernel compares as octets too (addresses, selectors): what is between their fields is zero.
static inline bool same_octets(const void *a, const void *b, size_t n)
{
    return memcmp(a, b, n) == 0;
}

#endif
