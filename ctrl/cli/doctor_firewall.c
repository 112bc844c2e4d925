// SPDX-License-Identifier: Apache-2.0
// Whether this machine's own firewall lets IKE and ESP in and out: the chains of nf_tables (iptables' of
// today are such, too) at local input and output, asked by netlink. What is seen is the chain's policy, rules
// that take or drop whatever comes, and rules that name UDP 500, UDP 4500 or ESP by port, set, range or
// protocol, also in chains that may be jumped to. What rules say of addresses, interfaces and connections is
// not judged: where those alone let something in, that is a note, not a fault. Of iptables-legacy it is the
// policy alone.
#include <netinet/in.h> // before the kernel's own of the same

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/xt_multiport.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include "ctrl/cli/doctor.h"

enum { IKE = 1, NAT_T = 2, ESP = 4, ALL = IKE | NAT_T | ESP };
enum { CHAINS = 64, REGISTERS = 32, ELEMENTS = 256, ROOM = 65536 };

struct chain { // that a hook begins
    uint8_t family;
    unsigned hook;
    char table[64], name[64];
    bool closed;             // what no rule takes is dropped
    unsigned accepts, drops; // of the three above, by rules that name them
};
struct firewall {
    struct mnl_socket *rules, *sets;
    unsigned seq;
    struct chain chains[CHAINS];
    unsigned count;
    bool more; // than there is room for
};

// ---- asking

static int ask(struct mnl_socket *s, struct firewall *f, uint16_t type, uint8_t family, const char *table,
               const char *set, mnl_cb_t each, void *ctx)
{
    _Alignas(struct nlmsghdr) char buf[ROOM];
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
    h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    const unsigned seq = ++f->seq; // `each` may ask, too
    h->nlmsg_seq = seq;
    struct nfgenmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->nfgen_family = family;
    m->version = NFNETLINK_V0;
    if (set) {
        mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, table);
        mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, set);
    }
    if (mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
        return -errno;
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(s, buf, sizeof(buf));
        int r = n < 0 ? -1 : mnl_cb_run(buf, (size_t)n, seq, mnl_socket_get_portid(s), each, ctx);
        if (r <= 0)
            return r < 0 ? -errno : 0;
    }
}

static void nothing(const struct nlattr *at[], unsigned most)
{
    for (unsigned i = 0; i <= most; i++)
        at[i] = NULL;
}

// The attributes, where there is one, up to `most`.
static void parse(const struct nlattr *at[], unsigned most, const struct nlattr *first, size_t len)
{
    const struct nlattr *a;
    nothing(at, most);
    for (a = first; mnl_attr_ok(a, (int)len - (int)((const char *)a - (const char *)first));
         a = mnl_attr_next(a))
        if (mnl_attr_get_type(a) <= most)
            at[mnl_attr_get_type(a)] = a;
}

static void parse_nest(const struct nlattr *at[], unsigned most, const struct nlattr *nest)
{
    if (nest)
        parse(at, most, mnl_attr_get_payload(nest), mnl_attr_get_payload_len(nest));
    else
        nothing(at, most);
}

static void parse_message(const struct nlattr *at[], unsigned most, const struct nlmsghdr *h)
{
    const size_t head = MNL_ALIGN(sizeof(struct nfgenmsg));
    parse(at, most, mnl_nlmsg_get_payload_offset(h, sizeof(struct nfgenmsg)),
          mnl_nlmsg_get_payload_len(h) - head);
}

static uint32_t number(const struct nlattr *a, uint32_t absent)
{
    return a && mnl_attr_get_payload_len(a) == sizeof(uint32_t) ? ntohl(mnl_attr_get_u32(a)) : absent;
}

static const char *text(const struct nlattr *a)
{
    return a && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0 ? mnl_attr_get_str(a) : "";
}

// The octets of a value as a number; UINT32_MAX: it is none of `len` octets.
static uint32_t value_of(const struct nlattr *data, size_t len)
{
    const struct nlattr *at[NFTA_DATA_MAX + 1];
    uint32_t n = 0;
    parse_nest(at, NFTA_DATA_MAX, data);
    const struct nlattr *v = at[NFTA_DATA_VALUE];
    if (!v || mnl_attr_get_payload_len(v) < len)
        return UINT32_MAX;
    for (size_t i = 0; i < len; i++)
        n = n << 8 | ((const uint8_t *)mnl_attr_get_payload(v))[i];
    return n;
}

static unsigned ports_of(uint32_t from, uint32_t to)
{
    return (from <= 500 && 500 <= to ? IKE : 0) | (from <= 4500 && 4500 <= to ? NAT_T : 0);
}

// ---- chains

static int take_chain(const struct nlmsghdr *h, void *ctx)
{
    const struct nlattr *at[NFTA_CHAIN_MAX + 1], *hook[NFTA_HOOK_MAX + 1];
    const struct nfgenmsg *m = mnl_nlmsg_get_payload(h);
    struct firewall *f = ctx;
    parse_message(at, NFTA_CHAIN_MAX, h);
    parse_nest(hook, NFTA_HOOK_MAX, at[NFTA_CHAIN_HOOK]);
    uint32_t num = number(hook[NFTA_HOOK_HOOKNUM], UINT32_MAX);
    bool ip =
        m->nfgen_family == NFPROTO_IPV4 || m->nfgen_family == NFPROTO_IPV6 || m->nfgen_family == NFPROTO_INET;
    if (!ip || (num != NF_INET_LOCAL_IN && num != NF_INET_LOCAL_OUT))
        return MNL_CB_OK;
    f->more = f->count == CHAINS;
    if (f->more)
        return MNL_CB_OK;
    struct chain *c = &f->chains[f->count++];
    *c = (struct chain){.family = m->nfgen_family,
                        .hook = num,
                        .closed = number(at[NFTA_CHAIN_POLICY], NF_ACCEPT) == NF_DROP};
    snprintf(c->table, sizeof(c->table), "%s", text(at[NFTA_CHAIN_TABLE]));
    snprintf(c->name, sizeof(c->name), "%s", text(at[NFTA_CHAIN_NAME]));
    return MNL_CB_OK;
}

// ---- sets of ports

struct element {
    uint32_t key;
    bool end; // of an interval
};
struct elements {
    struct element e[ELEMENTS];
    unsigned count;
    bool intervals;
};

static int take_elements(const struct nlmsghdr *h, void *ctx)
{
    const struct nlattr *at[NFTA_SET_ELEM_LIST_MAX + 1], *of[NFTA_SET_ELEM_MAX + 1], *e;
    struct elements *all = ctx;
    parse_message(at, NFTA_SET_ELEM_LIST_MAX, h);
    if (!at[NFTA_SET_ELEM_LIST_ELEMENTS])
        return MNL_CB_OK;
    mnl_attr_for_each_nested(e, at[NFTA_SET_ELEM_LIST_ELEMENTS])
    {
        if (all->count == ELEMENTS)
            break;
        parse_nest(of, NFTA_SET_ELEM_MAX, e);
        bool end = number(of[NFTA_SET_ELEM_FLAGS], 0) & NFT_SET_ELEM_INTERVAL_END;
        all->e[all->count++] = (struct element){value_of(of[NFTA_SET_ELEM_KEY], 2), end};
        all->intervals |= end;
    }
    return MNL_CB_OK;
}

static int by_key(const void *a, const void *b)
{
    const struct element *x = a, *y = b;
    return x->key < y->key ? -1 : x->key > y->key;
}

static unsigned ports_in_set(struct firewall *f, uint8_t family, const char *table, const char *set)
{
    struct elements all = {.count = 0};
    unsigned ports = 0;
    if (ask(f->sets, f, NFT_MSG_GETSETELEM, family, table, set, take_elements, &all) < 0)
        return 0;
    qsort(all.e, all.count, sizeof(all.e[0]), by_key);
    for (unsigned i = 0; i < all.count; i++) {
        uint32_t to = all.e[i].key;
        if (all.e[i].end || to == UINT32_MAX)
            continue;
        if (all.intervals) // up to the next one, which is its end
            to = i + 1 < all.count ? all.e[i + 1].key - 1 : UINT16_MAX;
        ports |= ports_of(all.e[i].key, to);
    }
    return ports;
}

// ---- rules

enum holds { SOMETHING, PROTOCOL, PORT, FAMILY };
struct rule {
    struct firewall *f;
    uint8_t family;
    const char *table;
    enum holds holds[REGISTERS];
    unsigned ports, protocol; // ports that it names; 0: any protocol
    uint32_t from, to;        // the ports that comparisons leave of them
    bool named, other;        // it names ports; it asks for something else, too
    int verdict;              // NF_ACCEPT, NF_DROP, or -1
};
typedef void expression_fn(struct rule *r, const struct nlattr *data);

static enum holds held(const struct rule *r, const struct nlattr *reg)
{
    uint32_t n = number(reg, REGISTERS);
    return n < REGISTERS ? r->holds[n] : SOMETHING;
}

static void hold(struct rule *r, const struct nlattr *reg, enum holds what)
{
    uint32_t n = number(reg, REGISTERS);
    if (n < REGISTERS)
        r->holds[n] = what;
}

static void on_meta(struct rule *r, const struct nlattr *data)
{
    const struct nlattr *at[NFTA_META_MAX + 1];
    parse_nest(at, NFTA_META_MAX, data);
    uint32_t key = number(at[NFTA_META_KEY], 0);
    hold(r, at[NFTA_META_DREG],
         key == NFT_META_L4PROTO   ? PROTOCOL
         : key == NFT_META_NFPROTO ? FAMILY
                                   : SOMETHING);
}

static void on_payload(struct rule *r, const struct nlattr *data)
{
    const struct nlattr *at[NFTA_PAYLOAD_MAX + 1];
    parse_nest(at, NFTA_PAYLOAD_MAX, data);
    uint32_t base = number(at[NFTA_PAYLOAD_BASE], 0), offset = number(at[NFTA_PAYLOAD_OFFSET], 0),
             len = number(at[NFTA_PAYLOAD_LEN], 0);
    bool port = base == NFT_PAYLOAD_TRANSPORT_HEADER && offset == 2 && len == 2;
    bool protocol = base == NFT_PAYLOAD_NETWORK_HEADER && len == 1 && (offset == 9 || offset == 6);
    hold(r, at[NFTA_PAYLOAD_DREG], port ? PORT : protocol ? PROTOCOL : SOMETHING);
}

static void on_load(struct rule *r, const struct nlattr *data) // ct, fib, ...: the register is the first
{
    const struct nlattr *at[NFTA_CT_MAX + 1];
    parse_nest(at, NFTA_CT_MAX, data);
    hold(r, at[NFTA_CT_DREG], SOMETHING);
}

static void name_ports(struct rule *r, unsigned ports)
{
    r->ports |= ports;
    r->named = true;
}

// A range is two comparisons on some kernels' rules.
static void compare_port(struct rule *r, uint32_t op, uint32_t port)
{
    if (op == NFT_CMP_EQ || op == NFT_CMP_GTE || op == NFT_CMP_GT)
        r->from = port + (op == NFT_CMP_GT);
    if (op == NFT_CMP_EQ || op == NFT_CMP_LTE || op == NFT_CMP_LT)
        r->to = port - (op == NFT_CMP_LT);
    name_ports(r, ALL);
}

static void on_cmp(struct rule *r, const struct nlattr *data)
{
    const struct nlattr *at[NFTA_CMP_MAX + 1];
    parse_nest(at, NFTA_CMP_MAX, data);
    enum holds what = held(r, at[NFTA_CMP_SREG]);
    uint32_t op = number(at[NFTA_CMP_OP], NFT_CMP_NEQ);
    if (what == PROTOCOL && op == NFT_CMP_EQ)
        r->protocol = value_of(at[NFTA_CMP_DATA], 1);
    else if (what == PORT && op != NFT_CMP_NEQ)
        compare_port(r, op, value_of(at[NFTA_CMP_DATA], 2));
    else if (what != FAMILY)
        r->other = true;
}

static void on_range(struct rule *r, const struct nlattr *data)
{
    const struct nlattr *at[NFTA_RANGE_MAX + 1];
    parse_nest(at, NFTA_RANGE_MAX, data);
    if (held(r, at[NFTA_RANGE_SREG]) == PORT && number(at[NFTA_RANGE_OP], NFT_RANGE_NEQ) == NFT_RANGE_EQ)
        name_ports(r, ports_of(value_of(at[NFTA_RANGE_FROM_DATA], 2), value_of(at[NFTA_RANGE_TO_DATA], 2)));
    else
        r->other = true;
}

static void on_lookup(struct rule *r, const struct nlattr *data)
{
    const struct nlattr *at[NFTA_LOOKUP_MAX + 1];
    parse_nest(at, NFTA_LOOKUP_MAX, data);
    bool inverted = number(at[NFTA_LOOKUP_FLAGS], 0) & NFT_LOOKUP_F_INV;
    if (held(r, at[NFTA_LOOKUP_SREG]) == PORT && !inverted && !at[NFTA_LOOKUP_DREG])
        name_ports(r, ports_in_set(r->f, r->family, r->table, text(at[NFTA_LOOKUP_SET])));
    else
        r->other = true;
}

static void on_immediate(struct rule *r, const struct nlattr *data)
{
    const struct nlattr *at[NFTA_IMMEDIATE_MAX + 1], *of[NFTA_DATA_MAX + 1], *v[NFTA_VERDICT_MAX + 1];
    parse_nest(at, NFTA_IMMEDIATE_MAX, data);
    parse_nest(of, NFTA_DATA_MAX, at[NFTA_IMMEDIATE_DATA]);
    parse_nest(v, NFTA_VERDICT_MAX, of[NFTA_DATA_VERDICT]);
    if (number(at[NFTA_IMMEDIATE_DREG], 1) == NFT_REG_VERDICT)
        r->verdict = (int)number(v[NFTA_VERDICT_CODE], (uint32_t)NFT_CONTINUE);
}

static void on_reject(struct rule *r, const struct nlattr *data)
{
    (void)data;
    r->verdict = NF_DROP;
}

static void on_target(struct rule *r, const struct nlattr *data) // of iptables
{
    const struct nlattr *at[NFTA_TARGET_MAX + 1];
    parse_nest(at, NFTA_TARGET_MAX, data);
    if (strcmp(text(at[NFTA_TARGET_NAME]), "REJECT") == 0)
        r->verdict = NF_DROP;
}

static void on_multiport(struct rule *r, const struct nlattr *info)
{
    struct xt_multiport_v1 m;
    if (!info || mnl_attr_get_payload_len(info) < sizeof(m)) {
        r->other = true;
        return;
    }
    memcpy(&m, mnl_attr_get_payload(info), sizeof(m));
    r->other |= m.invert || m.flags != XT_MULTIPORT_DESTINATION;
    for (unsigned i = 0; i < m.count && i < XT_MULTI_PORTS; i++) {
        bool range = m.pflags[i] && i + 1 < XT_MULTI_PORTS;
        name_ports(r, ports_of(m.ports[i], range ? m.ports[i + 1] : m.ports[i]));
        i += range;
    }
}

static void on_udp(struct rule *r, const struct nlattr *info)
{
    struct xt_udp u;
    if (!info || mnl_attr_get_payload_len(info) < sizeof(u)) {
        r->other = true;
        return;
    }
    memcpy(&u, mnl_attr_get_payload(info), sizeof(u));
    r->other |= u.invflags || u.spts[0] || u.spts[1] != UINT16_MAX;
    if (u.dpts[0] || u.dpts[1] != UINT16_MAX)
        name_ports(r, ports_of(u.dpts[0], u.dpts[1]));
}

static void on_match(struct rule *r, const struct nlattr *data) // of iptables
{
    const struct nlattr *at[NFTA_MATCH_MAX + 1];
    parse_nest(at, NFTA_MATCH_MAX, data);
    const char *name = text(at[NFTA_MATCH_NAME]);
    if (strcmp(name, "multiport") == 0 && number(at[NFTA_MATCH_REV], 0) == 1)
        on_multiport(r, at[NFTA_MATCH_INFO]);
    else if (strcmp(name, "udp") == 0)
        on_udp(r, at[NFTA_MATCH_INFO]);
    else if (strcmp(name, "comment") != 0)
        r->other = true;
}

static void on_condition(struct rule *r, const struct nlattr *data) // limit, quota, ...
{
    (void)data;
    r->other = true;
}

static const struct {
    const char *name;
    expression_fn *see;
} expressions[] = {{"meta", on_meta},
                   {"payload", on_payload},
                   {"ct", on_load},
                   {"cmp", on_cmp},
                   {"range", on_range},
                   {"lookup", on_lookup},
                   {"immediate", on_immediate},
                   {"reject", on_reject},
                   {"target", on_target},
                   {"match", on_match},
                   {"limit", on_condition},
                   {"quota", on_condition},
                   {"connlimit", on_condition},
                   {"numgen", on_condition},
                   {"socket", on_condition},
                   {"fib", on_condition},
                   {"dynset", on_condition},
                   {"xfrm", on_condition},
                   {"osf", on_condition},
                   {"exthdr", on_condition},
                   {"rt", on_condition},
                   {"hash", on_condition},
                   {"objref", on_condition},
                   {"last", on_condition},
                   {"tunnel", on_condition},
                   {"byteorder", on_condition}};

static void see(struct rule *r, const struct nlattr *expression)
{
    const struct nlattr *at[NFTA_EXPR_MAX + 1];
    parse_nest(at, NFTA_EXPR_MAX, expression);
    for (size_t i = 0; i < sizeof(expressions) / sizeof(expressions[0]); i++)
        if (strcmp(text(at[NFTA_EXPR_NAME]), expressions[i].name) == 0)
            expressions[i].see(r, at[NFTA_EXPR_DATA]);
}

// Which of the three it is about: by port where it names some, otherwise by protocol, otherwise all.
static unsigned about(const struct rule *r)
{
    bool udp = r->protocol == 0 || r->protocol == IPPROTO_UDP;
    bool esp = r->protocol == 0 || r->protocol == IPPROTO_ESP;
    return r->named ? (udp ? r->ports & ports_of(r->from, r->to) : 0)
                    : (udp ? IKE | NAT_T : 0) | (esp ? ESP : 0);
}

// base: the rule stands in that chain itself, and not in one that may be jumped to.
static void count(struct chain *c, const struct rule *r, bool base)
{
    bool names = r->named || r->protocol;
    if (r->verdict == NF_ACCEPT && (r->named || r->protocol == IPPROTO_ESP || !r->other))
        c->accepts |= about(r) & ~c->drops;
    else if (r->verdict == NF_DROP && base && !r->other && names)
        c->drops |= about(r) & ~c->accepts;
    else if (r->verdict == NF_DROP && base && !r->other)
        c->closed = true;
}

static int take_rule(const struct nlmsghdr *h, void *ctx)
{
    const struct nlattr *at[NFTA_RULE_MAX + 1], *e;
    const struct nfgenmsg *m = mnl_nlmsg_get_payload(h);
    struct firewall *f = ctx;
    bool here = false, base = false;
    parse_message(at, NFTA_RULE_MAX, h);
    struct rule r = {.f = f,
                     .family = m->nfgen_family,
                     .table = text(at[NFTA_RULE_TABLE]),
                     .to = UINT16_MAX,
                     .verdict = NFT_CONTINUE};
    for (unsigned i = 0; i < f->count; i++) {
        bool same = f->chains[i].family == r.family && strcmp(f->chains[i].table, r.table) == 0;
        here |= same;
        base |= same && strcmp(f->chains[i].name, text(at[NFTA_RULE_CHAIN])) == 0;
    }
    if (!here || !at[NFTA_RULE_EXPRESSIONS])
        return MNL_CB_OK;
    mnl_attr_for_each_nested(e, at[NFTA_RULE_EXPRESSIONS]) see(&r, e);
    for (unsigned i = 0; i < f->count; i++) {
        struct chain *c = &f->chains[i];
        bool own = strcmp(c->name, text(at[NFTA_RULE_CHAIN])) == 0;
        if (c->family == r.family && strcmp(c->table, r.table) == 0 && (own || !base))
            count(c, &r, own);
    }
    return MNL_CB_OK;
}

// ---- what is said

static const char *words(char buf[64], unsigned what)
{
    snprintf(buf, 64, "%s%s%s%s%s", what & IKE ? "UDP 500" : "",
             what & IKE && what & ~(unsigned)IKE ? ", " : "", what & NAT_T ? "UDP 4500" : "",
             what & ESP && what & NAT_T ? ", " : "", what & ESP ? "ESP" : "");
    return buf;
}

static const char *family_name(uint8_t family)
{
    return family == NFPROTO_IPV4 ? "ip" : family == NFPROTO_IPV6 ? "ip6" : "inet";
}

static const char *way_of(const struct chain *c)
{
    return c->hook == NF_INET_LOCAL_IN ? "in" : "out";
}

static void tell_dropped(struct doctor *d, const struct chain *c)
{
    char mend[400], list[64];
    const char *family = family_name(c->family);
    snprintf(mend, sizeof(mend), "nft -a list chain %s %s %s; nft delete rule %s %s %s handle N", family,
             c->table, c->name, family, c->table, c->name);
    doctor_find(d, WRONG, "the peer is not heard, or does not hear us", mend,
                "the firewall's chain %s %s %s drops %s on its way %s", family, c->table, c->name,
                words(list, c->drops), way_of(c));
}

static void tell_missing(struct doctor *d, const struct chain *c, unsigned missing)
{
    char mend[500], list[64];
    const char *family = family_name(c->family);
    snprintf(mend, sizeof(mend),
             "nft insert rule %s %s %s udp dport '{ 500, 4500 }' accept; nft insert rule %s %s %s meta "
             "l4proto esp accept; with iptables likewise",
             family, c->table, c->name, family, c->table, c->name);
    doctor_find(d, NOTE,
                "what a peer begins is not let in, unless a rule takes it by its address, its interface or "
                "its connection, which is not looked into",
                mend,
                "the firewall's chain %s %s %s drops what no rule takes on its way %s, and none names %s",
                family, c->table, c->name, way_of(c), words(list, missing));
}

static void judge(struct doctor *d, const struct chain *c)
{
    unsigned missing = c->closed ? ALL & ~(c->accepts | c->drops) : 0;
    if (c->drops)
        tell_dropped(d, c);
    if (missing)
        tell_missing(d, c, missing);
}

// ---- iptables-legacy, the structures of whose two families have the same form up to a rule's

struct legacy {
    int family, level, get_info, get_entries;
    size_t target; // from a rule's beginning
    const char *tables, *name, *mend;
};
static const struct legacy legacies[] = {
    {AF_INET, SOL_IP, IPT_SO_GET_INFO, IPT_SO_GET_ENTRIES, sizeof(struct ipt_entry),
     "/proc/net/ip_tables_names", "iptables-legacy",
     "iptables-legacy -S INPUT; iptables-legacy -I INPUT -p udp -m multiport --dports 500,4500 -j ACCEPT; "
     "iptables-legacy -I INPUT -p esp -j ACCEPT"},
    {AF_INET6, SOL_IPV6, IP6T_SO_GET_INFO, IP6T_SO_GET_ENTRIES, sizeof(struct ip6t_entry),
     "/proc/net/ip6_tables_names", "ip6tables-legacy", "ip6tables-legacy -S INPUT, and likewise"},
};

// The rules, to be freed; NULL: there are none to be had.
static struct ipt_get_entries *legacy_rules(const struct legacy *l, int fd, struct ipt_getinfo *info)
{
    socklen_t len = sizeof(*info);
    *info = (struct ipt_getinfo){.name = "filter"};
    if (getsockopt(fd, l->level, l->get_info, info, &len) < 0)
        return NULL;
    len = (socklen_t)(sizeof(struct ipt_get_entries) + info->size);
    struct ipt_get_entries *all = calloc(1, len);
    if (!all)
        return NULL;
    memcpy(all->name, info->name, sizeof(all->name));
    all->size = info->size;
    if (getsockopt(fd, l->level, l->get_entries, all, &len) == 0)
        return all;
    free(all);
    return NULL;
}

// The chain's last rule is its policy.
static bool legacy_drops(const struct legacy *l)
{
    struct xt_standard_target t = {.verdict = 0};
    struct ipt_getinfo info;
    int fd = socket(l->family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    struct ipt_get_entries *all = fd >= 0 ? legacy_rules(l, fd, &info) : NULL;
    size_t at = all ? info.underflow[NF_INET_LOCAL_IN] + l->target : 0;
    if (all && at + sizeof(t) <= info.size)
        memcpy(&t, (const char *)all->entrytable + at, sizeof(t));
    free(all);
    if (fd >= 0)
        close(fd);
    return t.verdict == -NF_DROP - 1;
}

// Asked where it is loaded: to ask loads it.
static bool has_legacy(const char *path)
{
    char line[64];
    bool has = false;
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f))
        has |= strcmp(line, "filter\n") == 0;
    if (f)
        fclose(f);
    return has;
}

static void judge_legacy(struct doctor *d)
{
    for (size_t i = 0; i < sizeof(legacies) / sizeof(legacies[0]); i++)
        if (has_legacy(legacies[i].tables) && legacy_drops(&legacies[i]))
            doctor_find(
                d, NOTE,
                "what a peer begins is let in where a rule takes it alone; these rules are not looked into",
                legacies[i].mend, "%s drops what no rule of INPUT takes", legacies[i].name);
}

// ---- all of it

static int look(struct firewall *f)
{
    int r = ask(f->rules, f, NFT_MSG_GETCHAIN, AF_UNSPEC, NULL, NULL, take_chain, f);
    return r == 0 && f->count ? ask(f->rules, f, NFT_MSG_GETRULE, AF_UNSPEC, NULL, NULL, take_rule, f) : r;
}

static struct mnl_socket *open_netfilter(void)
{
    struct mnl_socket *s = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    if (s && mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) == 0)
        return s;
    if (s)
        mnl_socket_close(s);
    return NULL;
}

void doctor_firewall(struct doctor *d)
{
    struct firewall *f = calloc(1, sizeof(*f));
    if (!f)
        return;
    f->rules = open_netfilter();
    f->sets = open_netfilter();
    int r = f->rules && f->sets ? look(f) : 0; // a kernel without netfilter drops nothing
    if (r == -EPERM || f->more)
        doctor_find(d, NOTE, "whether it drops IKE or ESP is not known",
                    "sudo espalier doctor; nft list ruleset",
                    f->more ? "the firewall has more chains than are looked at"
                            : "the firewall is seen by root alone");
    for (unsigned i = 0; i < f->count; i++)
        judge(d, &f->chains[i]);
    judge_legacy(d);
    if (f->rules)
        mnl_socket_close(f->rules);
    if (f->sets)
        mnl_socket_close(f->sets);
    free(f);
}
