// SPDX-License-Identifier: Apache-2.0
// The TUN as an interface, and what the machine itself is reached and speaks by.
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctrl/lib/log.h"
#include "ctrl/path/netlink.h"

static int write_sysctl(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC), rc = 0;
    if (fd < 0)
        return -errno;
    if (write(fd, value, strlen(value)) < 0)
        rc = -errno;
    close(fd);
    return rc;
}

// -ENOENT: no IPv6 in this kernel. Where a refusal matters the caller looks what is set.
static int set_sysctl(const char *family, const char *name, const char *key, const char *value)
{
    char path[160];
    snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, name, key);
    int rc = write_sysctl(path, value);
    if (rc < 0 && rc != -ENOENT)
        LOGF(ESP, 1, "%s cannot be set to %s: %s", path, value, strerror(-rc));
    return rc;
}

// The digit that is set, or -errno.
static int read_sysctl(const char *name, const char *key)
{
    char path[160], c = 0;
    snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/%s", name, key);
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;
    if (fd < 0)
        return -errno;
    if (read(fd, &c, 1) < 0)
        rc = -errno;
    close(fd);
    return rc < 0 ? rc : c - '0';
}

static int need_one(const char *name, const char *key, struct esp_error *err)
{
    int rc = set_sysctl("ipv4", name, key, "1"), is = read_sysctl(name, key);
    if (is == 1) // as it may have been
        return 0;
    rc = is < 0 ? is : rc < 0 ? rc : -EPERM;
    return esp_fail(err, rc, name, "net.ipv4.conf.%s.%s cannot be set to 1: %s", name, key, strerror(-rc));
}

// Of the whole network namespace. Nobody is told when somebody sets it back.
static void reflect_path(uint8_t family, char *path, size_t size)
{
    snprintf(path, size, "/proc/sys/net/ipv%u/fwmark_reflect", family);
}

static bool reflects(const char *path)
{
    char c = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool is = fd >= 0 && read(fd, &c, 1) == 1 && c != '0';
    if (fd >= 0)
        close(fd);
    return is;
}

int netlink_reflect_marks(struct netlink_kernel *n, uint8_t family)
{
    char path[64];
    reflect_path(family, path, sizeof(path));
    if (reflects(path))
        return 0;
    int rc = write_sysctl(path, "1");
    if (rc < 0)
        LOGF(KNL, 0, "%s cannot be set to 1: %s", path, strerror(-rc));
    else
        n->reflects_for_us[family == 6] = true;
    return rc;
}

void netlink_reflect_as_before(struct netlink_kernel *n, uint8_t family)
{
    char path[64];
    reflect_path(family, path, sizeof(path));
    if (n->reflects_for_us[family == 6] && write_sysctl(path, "0") == 0)
        n->reflects_for_us[family == 6] = false;
}

static int set_up(struct netlink_kernel *n, int index, uint32_t mtu)
{
    _Alignas(struct nlmsghdr) char buf[512];
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = RTM_NEWLINK;
    struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->ifi_family = AF_UNSPEC;
    m->ifi_index = index;
    m->ifi_change = m->ifi_flags = IFF_UP;
    mnl_attr_put_u32(h, IFLA_MTU, mtu);
    return netlink_one(n, n->route, h);
}

int netlink_link_ready(struct netlink_kernel *n, const char *name, uint32_t mtu, struct esp_error *err)
{
    int index = (int)if_nametoindex(name);
    if (!index)
        return esp_fail(err, -ENODEV, name, "no such interface");
    // disable_xfrm: packets routed out here are not checked against the out block policies; disable_policy:
    // nor are those that come in from here, because path has already checked them (RFC 4301 section 5.2)
    int rc = need_one(name, "disable_xfrm", err);
    if (rc == 0)
        rc = need_one(name, "disable_policy", err);
    if (rc < 0)
        return rc;
    set_sysctl("ipv4", name, "rp_filter", "0");
    set_sysctl("ipv6", name, "disable_policy", "1");
    set_sysctl("ipv6", name, "accept_ra", "0");
    set_sysctl("ipv6", name, "addr_gen_mode", "1");
    set_sysctl("ipv4", name, "ignore_routes_with_linkdown", "0"); // between two runs it has no carrier, and
    set_sysctl("ipv6", name, "ignore_routes_with_linkdown", "0"); // its routes have to hold
    rc = set_up(n, index, mtu);
    if (rc < 0)
        return esp_fail(err, rc, name, "cannot bring the interface up: %s", strerror(-rc));
    return index;
}

int netlink_link_up(struct kernel *k, const char *name, uint32_t mtu, struct esp_error *err)
{
    struct netlink_kernel *n = (struct netlink_kernel *)k;
    int index = netlink_link_ready(n, name, mtu, err);
    if (index < 0)
        return index;
    if (!n->tun_index)
        netlink_news_forget(n);
    snprintf(n->tun, sizeof(n->tun), "%s", name);
    n->tun_index = index;
    n->tun_mtu = mtu;
    n->tun_was_up = true;
    return index;
}

struct link {
    bool up;
    uint64_t tx_dropped;
};

static int one_link(const struct nlmsghdr *h, void *ctx)
{
    struct link *l = ctx;
    struct rtnl_link_stats64 s = {0};
    const struct ifinfomsg *m = mnl_nlmsg_get_payload(h);
    const struct nlattr *attr;
    if (h->nlmsg_type != RTM_NEWLINK)
        return MNL_CB_STOP;
    l->up = m->ifi_flags & IFF_UP;
    mnl_attr_for_each(attr, h, sizeof(*m))
    {
        if (mnl_attr_get_type(attr) != IFLA_STATS64)
            continue;
        size_t n = mnl_attr_get_payload_len(attr);
        memcpy(&s, mnl_attr_get_payload(attr), n < sizeof(s) ? n : sizeof(s));
        l->tx_dropped = s.tx_dropped;
        return MNL_CB_OK;
    }
    return MNL_CB_STOP;
}

// Of the TUN. 0, or -errno; -ENODEV: it is not here any more.
static int ask_link(struct netlink_kernel *n, struct link *out)
{
    _Alignas(struct nlmsghdr) char buf[128], in[MNL_SOCKET_BUFFER_SIZE];
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = RTM_GETLINK;
    h->nlmsg_flags = NLM_F_REQUEST;
    h->nlmsg_seq = ++n->seq;
    struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->ifi_family = AF_UNSPEC;
    m->ifi_index = n->tun_index;
    if (!n->tun_index)
        return -ENODEV;
    if (mnl_socket_sendto(n->route, h, h->nlmsg_len) < 0)
        return -errno;
    ssize_t got = mnl_socket_recvfrom(n->route, in, sizeof(in));
    int rc =
        got < 0 ? -1 : mnl_cb_run(in, (size_t)got, n->seq, mnl_socket_get_portid(n->route), one_link, out);
    return rc < 0 ? -errno : rc == MNL_CB_OK ? 0 : -ENODATA;
}

int netlink_tun_lost(struct kernel *k, uint64_t *out)
{
    struct link l = {0};
    int rc = ask_link((struct netlink_kernel *)k, &l);
    if (rc == 0)
        *out = l.tx_dropped;
    return rc;
}

int netlink_tun_state(struct kernel *k)
{
    struct netlink_kernel *n = (struct netlink_kernel *)k;
    struct link l = {0};
    int rc = ask_link(n, &l);
    if (rc == 0)
        n->tun_was_up = l.up;
    return rc ? rc : l.up;
}

// ---- addresses

struct addresses {
    struct netlink_kernel *n;
    void (*each)(void *ctx, const struct addr *a, uint8_t len);
    void *ctx;
    bool of_tun;   // these, and no others
    bool by_whom;  // the kernel says who has put an address there (Linux 5.18): of some it has
    uint8_t proto; // ... of the one that is told, 0: it has not
};

static int one_address(const struct nlmsghdr *h, void *ctx)
{
    struct addresses *a = ctx;
    const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
    struct addr out = {.family = m->ifa_family == AF_INET6 ? 6 : 4};
    size_t len = out.family == 6 ? 16 : 4;
    bool local = false;
    const struct nlattr *attr;
    a->proto = 0;
    mnl_attr_for_each(attr, h, sizeof(*m))
    {
        if (mnl_attr_get_type(attr) == IFA_PROTO && mnl_attr_get_payload_len(attr))
            a->proto = mnl_attr_get_u8(attr);
        // IFA_LOCAL is the machine's own where a point-to-point link's IFA_ADDRESS is the other end's
        if (mnl_attr_get_payload_len(attr) < len ||
            (mnl_attr_get_type(attr) != IFA_LOCAL && (local || mnl_attr_get_type(attr) != IFA_ADDRESS)))
            continue;
        local |= mnl_attr_get_type(attr) == IFA_LOCAL;
        memcpy(out.a, mnl_attr_get_payload(attr), len);
    }
    a->by_whom |= a->proto != 0;
    if (h->nlmsg_type != RTM_NEWADDR || ((int)m->ifa_index == a->n->tun_index) != a->of_tun)
        return 0;
    if (m->ifa_scope == RT_SCOPE_UNIVERSE || m->ifa_scope == RT_SCOPE_SITE)
        a->each(a->ctx, &out, m->ifa_prefixlen);
    return 0;
}

static int all_addresses(struct addresses *a)
{
    struct netlink_kernel *n = a->n;
    _Alignas(struct nlmsghdr) char buf[128];
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = RTM_GETADDR;
    h->nlmsg_flags = NLM_F_DUMP;
    mnl_nlmsg_put_extra_header(h, sizeof(struct ifaddrmsg));
    return netlink_dump(n, n->route, h, one_address, a);
}

int netlink_addresses(struct kernel *k, void (*each)(void *ctx, const struct addr *a, uint8_t len), void *ctx)
{
    struct addresses a = {.n = (struct netlink_kernel *)k, .each = each, .ctx = ctx};
    return all_addresses(&a);
}

enum { TUN_ADDRESSES = 256, PUT_BY_US = 0xe5 }; // IFA_PROTO, as nobody else has it
struct of_tun {
    struct addresses all;
    struct addr a[TUN_ADDRESSES];
    bool ours[TUN_ADDRESSES];
    unsigned count;
};

// As change_address puts them: of one host alone.
static void one_of_tun(void *ctx, const struct addr *a, uint8_t len)
{
    struct of_tun *t = ctx;
    if (len != (a->family == 6 ? 128 : 32) || t->count == TUN_ADDRESSES)
        return;
    t->ours[t->count] = t->all.proto == PUT_BY_US;
    t->a[t->count++] = *a;
}

// Where the kernel says of no address who has put it there, all of them may be ours.
int netlink_tun_addresses(struct kernel *k, void (*each)(void *ctx, const struct addr *a), void *ctx)
{
    struct of_tun t = {
        .all = {.n = (struct netlink_kernel *)k, .each = one_of_tun, .ctx = &t, .of_tun = true}};
    int rc = all_addresses(&t.all);
    for (unsigned i = 0; i < t.count && rc == 0; i++)
        if (t.ours[i] || !t.all.by_whom)
            each(ctx, &t.a[i]);
    return rc;
}

// IPv6: without looking for another one that has it, which nobody on a TUN can be asked about.
static int change_address(struct netlink_kernel *n, const struct addr *a, uint8_t scope, bool add)
{
    size_t len = a->family == 6 ? 16 : 4;
    _Alignas(struct nlmsghdr) char buf[256];
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = add ? RTM_NEWADDR : RTM_DELADDR;
    if (add)
        h->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
    struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->ifa_family = a->family == 6 ? AF_INET6 : AF_INET;
    m->ifa_prefixlen = (uint8_t)(8 * len);
    m->ifa_flags = a->family == 6 ? IFA_F_NODAD : 0;
    m->ifa_scope = scope;
    m->ifa_index = (unsigned)n->tun_index;
    mnl_attr_put(h, IFA_LOCAL, len, a->a);
    mnl_attr_put(h, IFA_ADDRESS, len, a->a);
    mnl_attr_put_u8(h, IFA_PROTO, PUT_BY_US);
    int rc = netlink_one(n, n->route, h);
    return (add && rc == -EEXIST) || (!add && rc == -EADDRNOTAVAIL) ? 0 : rc;
}

// With the last IPv4 address of an interface Linux takes all routes by it away, those of other policies too.
// So the dummy address of RFC 7600 stays beside them; its scope keeps it from being anybody's source.
int netlink_address(struct kernel *k, const struct addr *a, bool add)
{
    static const struct addr anchor = {.family = 4, .a = {192, 0, 0, 8}};
    struct netlink_kernel *n = (struct netlink_kernel *)k;
    int rc = add && a->family == 4 ? change_address(n, &anchor, RT_SCOPE_HOST, true) : 0;
    return rc ? rc : change_address(n, a, RT_SCOPE_UNIVERSE, add);
}

// ---- the default source

struct asked_route {
    struct addr from; // its family is set
    uint32_t link;
};

static int one_route(const struct nlmsghdr *h, void *ctx)
{
    struct asked_route *out = ctx;
    const struct nlattr *attr;
    mnl_attr_for_each(attr, h, sizeof(struct rtmsg))
    {
        if (mnl_attr_get_type(attr) == RTA_PREFSRC)
            memcpy(out->from.a, mnl_attr_get_payload(attr), out->from.family == 6 ? 16 : 4);
        if (mnl_attr_get_type(attr) == RTA_OIF)
            out->link = mnl_attr_get_u32(attr);
    }
    return MNL_CB_STOP;
}

// Past our own rules. 0 or -errno.
static int ask_route(struct netlink_kernel *n, const uint8_t *to, struct asked_route *out)
{
    _Alignas(struct nlmsghdr) char buf[256], in[MNL_SOCKET_BUFFER_SIZE];
    size_t len = out->from.family == 6 ? 16 : 4;
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = RTM_GETROUTE;
    h->nlmsg_flags = NLM_F_REQUEST;
    h->nlmsg_seq = ++n->seq;
    struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->rtm_family = len == 16 ? AF_INET6 : AF_INET;
    m->rtm_dst_len = (uint8_t)(8 * len);
    mnl_attr_put(h, RTA_DST, len, to);
    mnl_attr_put_u32(h, RTA_MARK, n->own_mark);
    if (mnl_socket_sendto(n->route, h, h->nlmsg_len) < 0)
        return -errno;
    ssize_t got = mnl_socket_recvfrom(n->route, in, sizeof(in));
    if (got < 0 || mnl_cb_run(in, (size_t)got, n->seq, mnl_socket_get_portid(n->route), one_route, out) < 0)
        return -errno;
    return 0;
}

// Where XFRM is passed over, for all interfaces or for that one, what has no SA there would leave in clear.
static bool is_exempt(const char *name)
{
    return read_sysctl("all", "disable_xfrm") != 0 || read_sysctl(name, "disable_xfrm") != 0;
}

int netlink_way_to(struct kernel *k, const struct addr *a)
{
    struct asked_route r = {.from = {.family = a->family}};
    char name[IF_NAMESIZE];
    int rc = ask_route((struct netlink_kernel *)k, a->a, &r);
    if (rc)
        return rc;
    if (!r.link || !if_indextoname(r.link, name))
        return -ENETUNREACH;
    return is_exempt(name) ? -EACCES : (int)r.link;
}

// Any address that can only be reached by the default route does: these are documentation's (RFC 5737, 3849).
int netlink_default_source(struct kernel *k, uint8_t family, struct addr *out)
{
    static const uint8_t far[2][16] = {{192, 0, 2, 1}, {0x20, 0x01, 0x0d, 0xb8, [15] = 1}};
    static const uint8_t zero[16] = {0};
    struct asked_route r = {.from = {.family = family}};
    int rc = ask_route((struct netlink_kernel *)k, far[family == 6], &r);
    *out = r.from;
    return rc ? rc : memcmp(out->a, zero, 16) ? 0 : -ENETUNREACH;
}
