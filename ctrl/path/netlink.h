// SPDX-License-Identifier: Apache-2.0
// The kernel seam on Linux: rtnetlink, the XFRM user interface and nf_tables, by libmnl. The files
// netlink_*.c share what is below the line.
#ifndef CTRL_PATH_NETLINK_H
#define CTRL_PATH_NETLINK_H

#include "ctrl/path/kernel.h"

struct netlink_options {
    const char
        *owner; // names this instance: what one leaves its next run finds, and nobody else (the run dir)
    uint32_t routing_table; // tables are numbered from routing_table * 1,000,000
    uint32_t own_mark;
    uint16_t port_nat_t; // of ESP in UDP
    bool routes;         // tables are needed
    bool kernel_esp;     // what the kernel's own ESP brings is as what the TUN brings
};
int netlink_kernel_open(struct kernel **out, const struct netlink_options *o, struct esp_error *err);

// ---- inside netlink_*.c
#include <libmnl/libmnl.h>

#define NETLINK_PROTOCOL 89 // of our rules and routes, in `ip rule`, `ip route show proto 89`

struct netlink_kernel {
    struct kernel base;
    struct mnl_socket *route, *xfrm;           // requests
    struct mnl_socket *route_news, *xfrm_news; // multicast groups
    struct mnl_socket *hooks, *hook_news;      // NULL: there are none
    uint32_t seq;
    uint32_t owner;     // in the selectors of our XFRM policies, as their user
    uint64_t owner_tag; // of our anchor rule
    uint32_t own_mark;
    uint16_t port_nat_t;
    uint32_t anchor; // the first of the tables that are this instance's, whether it uses them or not; 0: none
    int tun_index;   // 0: none yet
    uint32_t tun_mtu;
    bool tun_was_up;
    char tun[16];
    char hook_name[24];
    bool kernel_esp;
    bool looked; // what an earlier run has left has been looked for
    // Of IPv4, of IPv6
    bool sockets[2];   // the hooks see whether a socket has an address of its own
    bool keeps[2];     // a table can be ours alone, also when we are gone (since Linux 6.9)
    bool asked[2];     // who has asked has been kept: if it is not there, somebody has taken it away
    bool forgotten[2]; // somebody has changed that, or may have
    struct netlink_around *around; // netlink_around.c; NULL: there was no VTI yet
    bool around_gone;              // somebody has taken away some of its rules, or may have
    bool reflects_for_us[2];       // the kernel reflects marks because we have said so
};

// netlink_objects.c: between objects and messages
struct nlmsghdr *netlink_put(const struct netlink_kernel *n, char *buf, const struct kobj *o, bool add);
// From messages of rtnetlink and of XFRM. False: not ours, or not an object.
bool netlink_get(const struct netlink_kernel *n, const struct nlmsghdr *h, struct kobj *out);
bool netlink_get_xfrm(const struct netlink_kernel *n, const struct nlmsghdr *h, struct kobj *out);

// netlink_hooks.c: objects of another form, a whole table in one transaction
void netlink_hooks_open(struct netlink_kernel *n, struct mnl_socket *s); // keeps s, or closes it
int netlink_hook_change(struct netlink_kernel *n, const struct kobj *o, bool add);
int netlink_hook_dump(struct netlink_kernel *n, void (*each)(void *ctx, const struct kobj *o), void *ctx);
bool netlink_get_hook(const struct netlink_kernel *n, const struct nlmsghdr *h, struct kobj *out);

// netlink_talk.c: requests and answers
// Sends the messages of buf (count of them, with consecutive numbers from the first one's) and puts each
// answer's 0 or -errno in rc[]; text: the kernel's own words for the first refusal, where it has any.
void netlink_talk(struct netlink_kernel *n, struct mnl_socket *s, const char *buf, size_t len, unsigned count,
                  int *rc, char *text, size_t size);
int netlink_one(struct netlink_kernel *n, struct mnl_socket *s, struct nlmsghdr *h); // 0 or -errno
int netlink_dump(struct netlink_kernel *n, struct mnl_socket *s, struct nlmsghdr *h,
                 int (*each)(const struct nlmsghdr *h, void *ctx), void *ctx);
// netlink.c: all rules of a family, AF_INET or AF_INET6.
int netlink_dump_rules(struct netlink_kernel *n, int family, int (*each)(const struct nlmsghdr *h, void *ctx),
                       void *ctx);

// netlink_link.c: the TUN, addresses, the default source
// Exempt from the block policies, and up. Its index, or -errno.
int netlink_link_ready(struct netlink_kernel *n, const char *name, uint32_t mtu, struct esp_error *err);
int netlink_link_up(struct kernel *k, const char *name, uint32_t mtu, struct esp_error *err);
int netlink_tun_addresses(struct kernel *k, void (*each)(void *ctx, const struct addr *a), void *ctx);
int netlink_addresses(struct kernel *k, void (*each)(void *ctx, const struct addr *a, uint8_t len),
                      void *ctx);
int netlink_address(struct kernel *k, const struct addr *a, bool add);
int netlink_default_source(struct kernel *k, uint8_t family, struct addr *out);
// The realm of routes past the TUN, to the kernel's own ESP: the hooks let nothing out by them that has no
// SA.
#define NETLINK_REALM_OUT 0xe59u
int netlink_way_to(struct kernel *k, const struct addr *a);
int netlink_tun_lost(struct kernel *k, uint64_t *out);
int netlink_tun_state(struct kernel *k);
// netlink_vti.c
int netlink_vti_find(struct kernel *k, const char *name);
int netlink_vti_up(struct kernel *k, const char *name, uint32_t mtu, struct esp_error *err);
int netlink_vti_remove(struct kernel *k, const char *name);
void netlink_vti_each(struct kernel *k, void (*each)(void *ctx, const char *name, uint32_t index), void *ctx);
int netlink_vti_route(struct kernel *k, const struct kernel_route *r, bool add);
void netlink_vti_routes(struct kernel *k, void (*each)(void *ctx, const struct kernel_route *r), void *ctx);
// netlink_around.c: our own packets go by no route into these.
void netlink_vti_around(struct kernel *k, const uint32_t *vti, unsigned count);
bool netlink_is_around(const struct netlink_kernel *n, const struct nlmsghdr *h); // a rule for that
// What is there of it, and goes with the last VTI.
struct netlink_around_left {
    unsigned rules, routes;
} netlink_around_left(struct kernel *k);
void netlink_around_free(struct netlink_kernel *n);
// What the kernel answers has the mark of what it answers; and no more, where nobody else wanted that.
int netlink_reflect_marks(struct netlink_kernel *n, uint8_t family);
void netlink_reflect_as_before(struct netlink_kernel *n, uint8_t family);

// netlink_news.c
int netlink_news_open(struct netlink_kernel *n, struct esp_error *err);
void netlink_notices(struct kernel *k, void (*each)(void *ctx, const struct knotice *n), void *ctx);
void netlink_news_forget(struct netlink_kernel *n); // of what was before anybody looked
void netlink_news_close(struct netlink_kernel *n);

#endif
