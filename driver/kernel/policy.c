// SPDX-License-Identifier: Apache-2.0
// Policies that give packets to this engine's SAs. They let nothing by in clear: a packet that one of them is
// for and for which there is no SA is dropped by the kernel. Inbound one in tunnel mode is two in the kernel,
// of what is for this machine and of what it forwards.
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "driver/kernel/kernel.h"

static void put_selector(struct xfrm_selector *s, const struct esp_policy *p, uint32_t owner)
{
    memset(s, 0, sizeof(*s));
    xfrm_address(&s->saddr, p->src, p->ipv6);
    xfrm_address(&s->daddr, p->dst, p->ipv6);
    s->prefixlen_s = p->src_len;
    s->prefixlen_d = p->dst_len;
    s->family = p->ipv6 ? AF_INET6 : AF_INET;
    s->proto = p->proto;
    s->sport = htons(p->sport);
    s->sport_mask = htons(p->sport_mask);
    s->dport = htons(p->dport);
    s->dport_mask = htons(p->dport_mask);
    s->user = owner;
}

static void put_template(struct nlmsghdr *h, const struct esp_policy *p)
{
    struct xfrm_user_tmpl t;

    memset(&t, 0, sizeof(t));
    xfrm_address(&t.id.daddr, p->outer_dst, p->outer_ipv6);
    xfrm_address(&t.saddr, p->outer_src, p->outer_ipv6);
    t.id.proto = p->protocol == ESP_PROTOCOL_AH ? IPPROTO_AH : IPPROTO_ESP;
    t.family = p->outer_ipv6 ? AF_INET6 : AF_INET;
    t.reqid = p->group;
    t.mode = p->mode == ESP_TUNNEL ? XFRM_MODE_TUNNEL : XFRM_MODE_TRANSPORT;
    t.aalgos = t.ealgos = t.calgos = UINT32_MAX;
    mnl_attr_put(h, XFRMA_TMPL, sizeof(t), &t);
}

static void put_offload(struct nlmsghdr *h, unsigned ifindex)
{
    struct xfrm_user_offload o;

    memset(&o, 0, sizeof(o));
    o.ifindex = (int)ifindex;
    o.flags = XFRM_OFFLOAD_PACKET;
    mnl_attr_put(h, XFRMA_OFFLOAD_DEV, sizeof(o), &o);
}

// Whose policy it is among those with the same selector.
static void put_whose(struct nlmsghdr *h, const struct esp_policy *p)
{
    const struct xfrm_mark mark = {p->mark, p->mark_mask};

    if (p->mark_mask)
        mnl_attr_put(h, XFRMA_MARK, sizeof(mark), &mark);
    if (p->if_id)
        mnl_attr_put_u32(h, XFRMA_IF_ID, p->if_id);
}

static struct nlmsghdr *start(void *buf, uint16_t type)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(memset(buf, 0, XFRM_REQUEST_MAX));

    h->nlmsg_type = type;
    h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    return h;
}

static struct nlmsghdr *put_policy(void *buf, const struct esp_policy *p, uint8_t dir, uint32_t owner,
                                   unsigned ifindex)
{
    struct nlmsghdr *h = start(buf, XFRM_MSG_UPDPOLICY); // makes it, or replaces it
    struct xfrm_userpolicy_info i;

    memset(&i, 0, sizeof(i));
    put_selector(&i.sel, p, owner);
    i.lft.soft_byte_limit = i.lft.hard_byte_limit = XFRM_INF;
    i.lft.soft_packet_limit = i.lft.hard_packet_limit = XFRM_INF;
    i.priority = p->priority;
    i.dir = dir;
    i.action = XFRM_POLICY_ALLOW;
    memcpy(mnl_nlmsg_put_extra_header(h, sizeof(i)), &i, sizeof(i));
    put_template(h, p);
    put_whose(h, p);
    if (ifindex)
        put_offload(h, ifindex);
    return h;
}

static struct nlmsghdr *put_which(void *buf, uint16_t type, const struct esp_policy *p, uint8_t dir,
                                  uint32_t owner)
{
    struct nlmsghdr *h = start(buf, type);
    struct xfrm_userpolicy_id i;

    memset(&i, 0, sizeof(i));
    put_selector(&i.sel, p, owner);
    i.dir = dir;
    memcpy(mnl_nlmsg_put_extra_header(h, sizeof(i)), &i, sizeof(i));
    put_whose(h, p);
    return h;
}

// ---- what the kernel has taken

static int other(struct esp_error *why, const char *field)
{
    return esp_fail(why, -EPROTO, field, "the kernel says that it has taken another one than it was told");
}

static int same_template(const struct nlmsghdr *sent, const struct nlmsghdr *got, struct esp_error *why)
{
    const size_t fixed = sizeof(struct xfrm_userpolicy_info);
    struct xfrm_user_tmpl a, b;
    const void *s = xfrm_attr(sent, fixed, XFRMA_TMPL, sizeof(a)),
               *g = xfrm_attr(got, fixed, XFRMA_TMPL, sizeof(b));

    if (!s || !g || xfrm_attr(got, fixed, XFRMA_TMPL, sizeof(b) + 1)) // more than one
        return other(why, "template");
    memcpy(&a, s, sizeof(a));
    memcpy(&b, g, sizeof(b));
    if (!same_octets(&a.id.daddr, &b.id.daddr, sizeof(a.id.daddr)) ||
        !same_octets(&a.saddr, &b.saddr, sizeof(a.saddr)) || a.family != b.family)
        return other(why, "outer_src");
    if (b.optional) // a packet would go without it
        return other(why, "template");
    return a.id.proto == b.id.proto && a.reqid == b.reqid && a.mode == b.mode ? 0 : other(why, "group");
}

struct reading {
    const struct nlmsghdr *sent;
    bool came;
    int rc;
    struct esp_error *why;
};

static void read_policy(void *ctx, const struct nlmsghdr *h)
{
    const size_t fixed = sizeof(struct xfrm_userpolicy_info), octets = sizeof(struct xfrm_user_offload);
    struct reading *r = ctx;
    struct xfrm_userpolicy_info a, b;

    if (h->nlmsg_type != XFRM_MSG_NEWPOLICY || mnl_nlmsg_get_payload_len(h) < sizeof(b) || r->came)
        return;
    memcpy(&a, mnl_nlmsg_get_payload(r->sent), sizeof(a));
    memcpy(&b, mnl_nlmsg_get_payload(h), sizeof(b));
    r->came = true;
    if (!same_octets(&a.sel, &b.sel, sizeof(a.sel)) || a.dir != b.dir)
        r->rc = other(r->why, "selector");
    else if (a.action != b.action || a.priority != b.priority)
        r->rc = other(r->why, "priority");
    else if (!xfrm_attr(r->sent, fixed, XFRMA_OFFLOAD_DEV, octets) !=
             !xfrm_attr(h, fixed, XFRMA_OFFLOAD_DEV, octets))
        r->rc = other(r->why, "offload");
    else
        r->rc = same_template(r->sent, h, r->why);
}

// 0: it is there as it is meant to be; -ENOENT: it is not there.
static int look(struct kernel_engine *k, const struct esp_policy *p, uint8_t dir, const struct nlmsghdr *sent,
                struct esp_error *why)
{
    _Alignas(uint64_t) uint8_t buf[XFRM_REQUEST_MAX];
    struct reading r = {.sent = sent, .why = why};
    char words[XFRM_WORDS];
    int rc = k->link->ops->talk(k->link, put_which(buf, XFRM_MSG_GETPOLICY, p, dir, k->owner), read_policy,
                                &r, words);

    if (rc == 0 && !r.came)
        rc = -EPROTO;
    if (rc)
        return esp_fail(why, rc, "kernel", "it does not say what it has taken: %s", strerror(-rc));
    return r.rc;
}

static int set_one(struct kernel_engine *k, const struct esp_policy *p, uint8_t dir, struct esp_error *err)
{
    _Alignas(uint64_t) uint8_t buf[XFRM_REQUEST_MAX];
    unsigned ifindex = 0;
    int rc;

    if (p->offload == ESP_OFFLOAD_PACKET && !(ifindex = if_nametoindex(p->device)))
        return esp_fail(err, -ENODEV, "device", "there is no network device %s", p->device);
    struct nlmsghdr *h = put_policy(buf, p, dir, k->owner, ifindex);
    if ((rc = kernel_say(k, h, "kernel", err)) == 0 && (rc = look(k, p, dir, h, err)) == -EPROTO)
        k->mismatched++;
    return rc;
}

static int drop_one(struct kernel_engine *k, const struct esp_policy *p, uint8_t dir, struct esp_error *err)
{
    _Alignas(uint64_t) uint8_t buf[XFRM_REQUEST_MAX];
    int rc = kernel_say(k, put_which(buf, XFRM_MSG_DELPOLICY, p, dir, k->owner), "kernel", err);

    return rc == -ENOENT ? 0 : rc;
}

// ---- both of a direction

static unsigned dirs(const struct esp_policy *p, uint8_t out[2])
{
    out[0] = p->dir == ESP_OUT ? XFRM_POLICY_OUT : XFRM_POLICY_IN;
    out[1] = XFRM_POLICY_FWD;
    return p->dir == ESP_IN && p->mode == ESP_TUNNEL ? 2 : 1;
}

static int set_all(struct kernel_engine *k, const struct esp_policy *p, struct esp_error *err)
{
    uint8_t dir[2];
    unsigned n = dirs(p, dir);
    int rc = 0;

    for (unsigned i = 0; i < n && rc == 0; i++)
        rc = set_one(k, p, dir[i], err);
    for (unsigned i = 0; rc && i < n; i++) // what stands behind them closes
        (void)drop_one(k, p, dir[i], NULL);
    return rc;
}

static bool same_key(const struct esp_policy *a, const struct esp_policy *b)
{
    return a->dir == b->dir && a->ipv6 == b->ipv6 && a->proto == b->proto && a->src_len == b->src_len &&
           a->dst_len == b->dst_len && !memcmp(a->src, b->src, sizeof(a->src)) &&
           !memcmp(a->dst, b->dst, sizeof(a->dst)) && a->sport == b->sport &&
           a->sport_mask == b->sport_mask && a->dport == b->dport && a->dport_mask == b->dport_mask &&
           a->mark == b->mark && a->mark_mask == b->mark_mask && a->if_id == b->if_id;
}

static struct kernel_policy **find(struct kernel_engine *k, const struct esp_policy *p)
{
    struct kernel_policy **at = &k->policies;

    while (*at && !same_key(&(*at)->p, p))
        at = &(*at)->next;
    return at;
}

static int check(const struct esp_policy *p, struct esp_error *err)
{
    unsigned most = p->ipv6 ? 128 : 32;

    if (p->dir != ESP_OUT && p->dir != ESP_IN)
        return esp_fail(err, -EINVAL, "dir", "the direction must be out (0) or in (1), it is %d",
                        (int)p->dir);
    if (p->src_len > most || p->dst_len > most)
        return esp_fail(err, -EINVAL, p->src_len > most ? "src_len" : "dst_len",
                        "a prefix has 0 to %u bits, not %u", most,
                        p->src_len > most ? p->src_len : p->dst_len);
    if (p->mode != ESP_TRANSPORT && p->mode != ESP_TUNNEL)
        return esp_fail(err, -EINVAL, "mode", "the mode must be transport (0) or tunnel (1), it is %d",
                        (int)p->mode);
    if (p->mode == ESP_TRANSPORT && p->ipv6 != p->outer_ipv6)
        return esp_fail(err, -EINVAL, "outer_ipv6", "transport mode has one family");
    if (p->group == 0)
        return esp_fail(err, -EINVAL, "group", "the kernel finds an SA for a policy by it: it must not be 0");
    if (p->offload != ESP_OFFLOAD_NONE && p->offload != ESP_OFFLOAD_PACKET)
        return esp_fail(err, -EINVAL, "offload", "of a policy it is none (0) or packet (2), not %d",
                        (int)p->offload);
    return 0;
}

int kernel_policy_set(struct esp_engine *e, const struct esp_policy *p, struct esp_error *err)
{
    struct kernel_engine *k = (struct kernel_engine *)e;
    struct kernel_policy **at = find(k, p), *n = *at;
    int rc = check(p, err);

    if (rc)
        return rc;
    if (!n && !(n = calloc(1, sizeof(*n))))
        return esp_fail(err, -ENOMEM, "kernel", "out of memory");
    rc = set_all(k, p, err);
    if (rc) { // neither the one before is there
        *at = *at ? n->next : NULL;
        free(n);
        return rc;
    }
    n->p = *p;
    *at = n; // where it was, or at the end
    return 0;
}

int kernel_policy_drop(struct esp_engine *e, const struct esp_policy *p, struct esp_error *err)
{
    struct kernel_engine *k = (struct kernel_engine *)e;
    struct kernel_policy **at = find(k, p), *n = *at;
    uint8_t dir[2];
    int rc = 0;

    if (!n)
        return 0;
    for (unsigned i = 0, m = dirs(&n->p, dir); i < m; i++) {
        int one = drop_one(k, &n->p, dir[i], err);
        rc = rc ? rc : one;
    }
    if (rc)
        return rc; // it is kept, so that it goes with the engine
    *at = n->next;
    free(n);
    return 0;
}

static bool all_there(struct kernel_engine *k, const struct esp_policy *p)
{
    _Alignas(uint64_t) uint8_t buf[XFRM_REQUEST_MAX];
    unsigned ifindex = p->offload ? if_nametoindex(p->device) : 0;
    uint8_t dir[2];

    for (unsigned i = 0, n = dirs(p, dir); i < n; i++)
        if (look(k, p, dir[i], put_policy(buf, p, dir[i], k->owner, ifindex), NULL))
            return false;
    return true;
}

// Those that cannot be set again stay wanted, and closed: the next notice, or loss, tries again.
void kernel_policies_again(struct kernel_engine *k)
{
    k->look_policies = false;
    for (struct kernel_policy *n = k->policies; n; n = n->next) {
        if (all_there(k, &n->p))
            continue;
        if (set_all(k, &n->p, NULL) == 0)
            k->restored++;
        else
            k->look_policies = true;
    }
}

void kernel_policies_forget(struct kernel_engine *k)
{
    struct kernel_policy *n;
    uint8_t dir[2];

    while ((n = k->policies)) {
        for (unsigned i = 0, m = dirs(&n->p, dir); i < m; i++)
            (void)drop_one(k, &n->p, dir[i], NULL);
        k->policies = n->next;
        free(n);
    }
}

bool xfrm_policy_owner(const struct nlmsghdr *h, uint32_t *owner)
{
    struct xfrm_userpolicy_info i;
    struct xfrm_userpolicy_id id;
    const void *whole;

    if (h->nlmsg_type != XFRM_MSG_DELPOLICY) {
        if (mnl_nlmsg_get_payload_len(h) < sizeof(i))
            return false;
        memcpy(&i, mnl_nlmsg_get_payload(h), sizeof(i));
        *owner = i.sel.user;
        return true;
    }
    if (mnl_nlmsg_get_payload_len(h) < sizeof(id))
        return false;
    // who deletes by number says it without a selector, and the policy itself stands behind it
    if ((whole = xfrm_attr(h, sizeof(id), XFRMA_POLICY, sizeof(i)))) {
        memcpy(&i, whole, sizeof(i));
        *owner = i.sel.user;
        return true;
    }
    memcpy(&id, mnl_nlmsg_get_payload(h), sizeof(id));
    *owner = id.sel.user;
    return true;
}
