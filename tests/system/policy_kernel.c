// SPDX-License-Identifier: Apache-2.0
// What the kernel of west has, held against the set that the policies need.
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/system/policy_lab.h"
#include "tests/system/policy_set.h"

enum { TEXT = 1 << 20, NAMES = 4096 };

bool set_open(struct test *t)
{
    t->tables = socket_in(&t->lab.west, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
    return t->tables >= 0 || complain("no netlink of netfilter: %s", strerror(errno));
}

static bool is_name(const struct nlattr *a)
{
    return (a->nla_type & NLA_TYPE_MASK) == NFTA_TABLE_NAME;
}

static void names_of(const struct nlmsghdr *h, char *to, size_t size)
{
    const struct nfgenmsg *m = (const void *)((const char *)h + NLMSG_HDRLEN);
    size_t at = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct nfgenmsg));
    while (at + NLA_HDRLEN <= h->nlmsg_len) {
        const struct nlattr *a = (const void *)((const char *)h + at);
        size_t used = strlen(to);
        if (is_name(a))
            snprintf(to + used, size - used, "%s %d\n", (const char *)a + NLA_HDRLEN,
                     m->nfgen_family == NFPROTO_IPV6 ? 6 : 4);
        at += NLA_ALIGN(a->nla_len ? a->nla_len : NLA_HDRLEN);
    }
}

// The names of the tables of nf_tables and their families, a line each. Where there is no nf_tables there are
// none.
static void list_tables(struct test *t, char *to, size_t size)
{
    struct {
        struct nlmsghdr h;
        struct nfgenmsg m;
    } ask = {{.nlmsg_len = sizeof(ask),
              .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE,
              .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
             {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0}};
    _Alignas(struct nlmsghdr) char in[16384];
    bool more = send(t->tables, &ask, sizeof(ask), 0) == sizeof(ask);
    to[0] = 0;
    while (more) {
        ssize_t got = recv(t->tables, in, sizeof(in), MSG_DONTWAIT); // a dump's answer is there at once
        more = got > 0;
        for (const struct nlmsghdr *h = (const void *)in; got > 0 && NLMSG_OK(h, (unsigned)got);
             h = NLMSG_NEXT(h, got)) {
            if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
                return;
            names_of(h, to, size);
        }
    }
}

struct sets {
    struct test *t;
    bool tun_down;
    struct set must, may, is;
    char text[TEXT], names[NAMES], why[200];
};

static void list(struct sets *s)
{
    sh_read(
        s->text, sizeof(s->text),
        "nsenter --net=%s sh -c 'echo @policies; ip xfrm policy; echo @rules4; ip rule; echo @rules6; ip -6 "
        "rule; echo @routes4; ip route show table all proto 89; echo @routes6; ip -6 route show table all "
        "proto 89; echo @tables' 2>/dev/null",
        s->t->lab.west.ns);
    list_tables(s->t, s->names, sizeof(s->names));
    size_t used = strlen(s->text);
    snprintf(s->text + used, sizeof(s->text) - used, "%s", s->names);
}

static bool is_right(void *ctx)
{
    struct sets *s = ctx;
    list(s);
    set_read(&s->is, s->text);
    if (s->tun_down)
        set_without_ways(&s->must);
    const char *lacks = set_first_missing(&s->must, &s->is), *beyond = set_first_missing(&s->is, &s->may);
    if (lacks)
        snprintf(s->why, sizeof(s->why), "the kernel lacks: %s", lacks);
    else if (beyond)
        snprintf(s->why, sizeof(s->why), "the kernel has beyond what is needed: %s", beyond);
    return !lacks && !beyond;
}

static bool without_hooks(struct test *t)
{
    return sh("grep -q 'no nf_tables here' %s/daemon.log", t->lab.west.dir) == 0;
}

bool set_settles(struct test *t, bool tun_down)
{
    static struct sets s;
    bool hooks = !without_hooks(t);
    s.t = t;
    s.tun_down = tun_down;
    set_expected(&s.must, &t->naive, false, hooks);
    set_expected(&s.may, &t->naive, true, hooks);
    t->sets++;
    if (wait_for(is_right, &s, PATIENCE_MS))
        return true;
    note(t, "SET %.90s", s.why);
    return complain("%s", s.why);
}
