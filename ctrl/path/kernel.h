// SPDX-License-Identifier: Apache-2.0
// The seam between path and the kernel: what path keeps there (routing rules, routes into the TUN, XFRM
// policies, netfilter hooks) as plain objects, and the operations on them. netlink.c talks to Linux; tests
// bring a model.
//
// Each object has a key (what the kernel tells two of them apart by) and a value (what may differ under one
// key): adding an object whose key is there replaces its value in one step.
#ifndef CTRL_PATH_KERNEL_H
#define CTRL_PATH_KERNEL_H

#include "ctrl/lib/conn.h"
#include "espalier/error.h"

enum kobj_kind { KOBJ_RULE = 1, KOBJ_ROUTE, KOBJ_XFRM, KOBJ_HOOK };
enum kobj_action {
    KRULE_LOOKUP = 1, // look in `table`; go on when nothing is found
    KRULE_GOTO,       // go on at the rule with priority `target`
    KRULE_NOP,        // nothing: a place to go to
    KROUTE_OUT,       // by interface `ifindex`, where the kernel's own ESP takes it; source as below
    KROUTE_TUN,       // into the TUN, with source `from` where it is set
    KROUTE_THROW,     // ends this table, the next rule is asked
    KROUTE_UNREACHABLE,
    KXFRM_ALLOW, // in clear
    KXFRM_HOLD, // out: what is forwarded is dropped, and so is what is sent from here, unless a hook turns it
    KXFRM_BLOCK, // dropped
    // Marks what the TUN `ifindex` brings; drops ICMP errors of the kernel's own about that which do not go
    // there. IPv6: gives held packets another look at routes and policies; forwards no neighbour discovery.
    KHOOK_TURN,
    // Of programs without an address of their own (UDP): what they say to whom has asked them through the TUN
    // `ifindex` goes there or nowhere.
    KHOOK_ASKED,
    KHOOK_GROUPS, // KDIR_FWD: multicast of src > dst is not forwarded; KDIR_OUT: but this is
};
enum kobj_dir { KDIR_IN, KDIR_OUT, KDIR_FWD }; // as in linux/xfrm.h

// Key: everything but the fields marked V. Unused fields are zero, so that keys compare as bytes. Addresses
// are in network order, an IPv4 address in the first four octets; ports in host order.
struct kobj {
    uint8_t kind, family; // family: 4 or 6
    uint8_t action;       // enum kobj_action. V of routes, XFRM policies and hooks
    uint8_t dir;          // XFRM, hook of groups
    uint8_t proto;        // rule, XFRM, hook of groups; 0: any. KHOOK_ASKED: UDP
    uint8_t invert;       // rule: it holds for what does not match
    uint8_t src_len, dst_len;
    uint8_t src[16], dst[16];   // prefixes; a route has dst alone
    uint16_t sport, dport;      // rule: first of the range (0: any). XFRM: value
    uint16_t sport2, dport2;    // rule: last of the range. XFRM: mask
    uint32_t table;             // rule, route
    uint32_t mark, mark_mask;   // rule, XFRM
    uint32_t ifindex;           // XFRM: of the selector, 0: any. Hook: the TUN's, 0: not known; V. Route: V
    uint32_t priority;          // rule: its place. XFRM, hook of groups: lower first; V
    uint32_t target;            // rule: KRULE_GOTO
    uint32_t lifetime;          // XFRM: the kernel itself removes it after so many seconds, 0: never. V
    uint8_t from_set, from[16]; // route: preferred source. V
};

struct kchange {
    bool add; // or take away; taking away what is not there is no failure
    const struct kobj *o;
    int rc; // out: 0 or -errno
};

enum knotice_kind {
    KNOTE_OBJECT,    // `o` was removed, or replaced, by somebody else. Its value fields may not be filled in.
    KNOTE_FLUSHED,   // all XFRM policies were removed by somebody else
    KNOTE_TUN_DOWN,  // somebody set our TUN down: its routes are gone
    KNOTE_TUN_UP,    // up again
    KNOTE_TUN_GONE,  // deleted
    KNOTE_LINKS,     // an interface came or went
    KNOTE_ADDRESSES, // an address of the machine, or a route of somebody else, came or went
    KNOTE_LOST,      // notices were lost, up to now: anything may have happened
};
struct knotice {
    enum knotice_kind kind;
    struct kobj o; // KNOTE_OBJECT
};

struct kernel_route { // of the main table, into a TUN of its own
    uint8_t family, len, dst[16];
    uint32_t link, metric;
    struct addr from; // family 0: whatever the machine takes
};

struct esp_engine;
struct kernel;
struct kernel_ops {
    // Brings the interface up with this MTU, exempt from the block policies. Returns its index or -errno.
    int (*tun_up)(struct kernel *k, const char *name, uint32_t mtu, struct esp_error *err);
    // Makes n changes in their order, each acknowledged. One that fails does not keep the later ones from
    // being tried. Returns the number of failures; the first one's reason is in err.
    unsigned (*apply)(struct kernel *k, struct kchange *c, unsigned n, struct esp_error *err);
    // Calls each() for every object there that is ours (this instance's, from this run or an earlier one).
    int (*dump)(struct kernel *k, void (*each)(void *ctx, const struct kobj *o), void *ctx,
                struct esp_error *err);
    // Calls each() for every address of the machine with the length of its network's prefix.
    int (*addresses)(struct kernel *k, void (*each)(void *ctx, const struct addr *a, uint8_t len), void *ctx);
    // The source that the machine takes for the family's default route, past our own rules. -ENETUNREACH:
    // none.
    int (*default_source)(struct kernel *k, uint8_t family, struct addr *out);
    // Calls each() for what has happened since the last call. Call it when fd can be read.
    void (*notices)(struct kernel *k, void (*each)(void *ctx, const struct knotice *n), void *ctx);
    // leave: as a run does that is killed; otherwise what only the next run would look for goes too (no
    // object).
    void (*close)(struct kernel *k, bool leave);
    // Puts an address of this machine on the TUN, usable at once, or takes it away. 0 or -errno; what is
    // there already, or not there, is no failure.
    int (*address)(struct kernel *k, const struct addr *a, bool add);
    // Packets that the TUN's queue had no room for, since it was made. 0 or -errno. NULL: nobody counts them.
    int (*tun_lost)(struct kernel *k, uint64_t *out);
    // Whether our TUN is up, for when notices were lost: 1 or 0; -ENODEV: it is gone; another -errno: it
    // cannot be said now. NULL: no notice is ever lost.
    int (*tun_state)(struct kernel *k);
    // TUNs of their own (vti.c); NULL, all of them: there are none. 1: there is one of that name, of this
    // instance, from this run or an earlier one; 0: there is no interface of that name; -EEXIST: it is
    // another's; another -errno.
    int (*vti_find)(struct kernel *k, const char *name);
    // As tun_up, and says that it is this instance's.
    int (*vti_up)(struct kernel *k, const char *name, uint32_t mtu, struct esp_error *err);
    int (*vti_remove)(struct kernel *k, const char *name); // 0 or -errno
    // Calls each() for all that are this instance's.
    void (*vti_each)(struct kernel *k, void (*each)(void *ctx, const char *name, uint32_t index), void *ctx);
    // These are all that there are now, or routes have changed: our own packets go by no route into any of
    // them. NULL: nobody sees to that.
    void (*vti_around)(struct kernel *k, const uint32_t *index, unsigned count);
    // 0 or -errno; what is there already, or not there, is no failure. An existing one keeps its source.
    // NULL: none is to be had.
    int (*vti_route)(struct kernel *k, const struct kernel_route *r, bool add);
    // Calls each() for all of them that some instance has put there.
    void (*vti_routes)(struct kernel *k, void (*each)(void *ctx, const struct kernel_route *r), void *ctx);
    // Calls each() for the addresses that `address` has put on the TUN, in this process or one before. 0 or
    // -errno. NULL: there are none.
    int (*tun_addresses)(struct kernel *k, void (*each)(void *ctx, const struct addr *a), void *ctx);
    // The kernel's own ESP as an engine (esp_kernel_open), which is the caller's; what it has in the kernel
    // is this instance's. 0 or a negative errno. NULL: there is none.
    int (*engine)(struct kernel *k, struct esp_engine **e, struct esp_error *err);
    // By which interface a packet of ours goes to that address, past our own rules: its index; -EACCES:
    // XFRM is passed over there (disable_xfrm); another -errno. Not NULL where there is an engine.
    int (*way_to)(struct kernel *k, const struct addr *a);
};
struct kernel { // first in an implementation's own struct
    const struct kernel_ops *ops;
    int fd;             // readable: there are notices; -1: never
    uint32_t tables;    // the first of KERNEL_TABLES routing tables that are this instance's alone
    bool hooks, hooks4; // KOBJ_HOOK is to be had: of IPv6, of IPv4
    unsigned number;    // this instance's among those of the machine: kernel_mark
};
#define KERNEL_TABLES 100000

// Of what the TUN brings, where there are hooks: nothing from outside carries it to the policies. And of what
// the kernel itself answers to that. Each instance of the machine has a number of its own, which the mark
// says, so that none takes what another one's TUN has brought for its own.
#define KERNEL_MARK_FROM_TUN 0x20000000u
#define KERNEL_MARK_MASK     0x2f000000u
#define KERNEL_NUMBERS       16u
static inline uint32_t kernel_mark(unsigned number)
{
    return KERNEL_MARK_FROM_TUN | number << 24;
}
// Of forwarded multicast that a policy lets pass.
#define KERNEL_MARK_LET_GO 0x10000000u

#endif
