// SPDX-License-Identifier: Apache-2.0
// Requests to the kernel and their answers: many in one datagram, each acknowledged.
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "ctrl/path/netlink.h"

enum { DATAGRAM_MAX = 32768 }; // what the kernel sends at once

struct answers {
    uint32_t first; // number of the first request
    unsigned count, left;
    int *rc;
    char *text;
    size_t size;
};

// Of the reason, when the kernel gives one beside the number (NETLINK_EXT_ACK).
static void reason(const struct nlmsghdr *h, struct answers *a)
{
    const struct nlattr *attr;
    size_t skip = sizeof(struct nlmsgerr);
    if (a->text[0] || !(h->nlmsg_flags & NLM_F_ACK_TLVS) || mnl_nlmsg_get_payload_len(h) < skip)
        return;
    mnl_attr_for_each(attr, h, skip)
    {
        if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG)
            snprintf(a->text, a->size, "%.*s", (int)mnl_attr_get_payload_len(attr), mnl_attr_get_str(attr));
    }
}

static void one_answer(const struct nlmsghdr *h, struct answers *a)
{
    const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
    uint32_t i = h->nlmsg_seq - a->first;
    if (h->nlmsg_type != NLMSG_ERROR || mnl_nlmsg_get_payload_len(h) < sizeof(*e) || i >= a->count ||
        a->rc[i] != 1)
        return; // of an earlier request that was given up
    a->rc[i] = e->error;
    a->left--;
    if (e->error)
        reason(h, a);
}

// It may have been done or not: the kernel has not said.
static void all_unknown(struct answers *a)
{
    if (!a->text[0])
        snprintf(a->text, a->size, "%s", strerror(errno));
    for (unsigned i = 0; i < a->count; i++)
        if (a->rc[i] == 1)
            a->rc[i] = -EAGAIN;
    a->left = 0;
}

void netlink_talk(struct netlink_kernel *n, struct mnl_socket *s, const char *buf, size_t len, unsigned count,
                  int *rc, char *text, size_t size)
{
    _Alignas(struct nlmsghdr) char in[DATAGRAM_MAX];
    struct answers a = {((const struct nlmsghdr *)buf)->nlmsg_seq, count, count, rc, text, size};
    (void)n;
    text[0] = 0;
    for (unsigned i = 0; i < count; i++)
        rc[i] = 1; // not answered
    if (mnl_socket_sendto(s, buf, len) < 0) {
        all_unknown(&a);
        return;
    }
    while (a.left) {
        ssize_t got = mnl_socket_recvfrom(s, in, sizeof(in));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            all_unknown(&a);
            return;
        }
        int left = (int)got;
        for (const struct nlmsghdr *h = (void *)in; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left))
            one_answer(h, &a);
    }
}

int netlink_one(struct netlink_kernel *n, struct mnl_socket *s, struct nlmsghdr *h)
{
    char text[8];
    int rc;
    h->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
    h->nlmsg_seq = ++n->seq;
    netlink_talk(n, s, (const char *)h, h->nlmsg_len, 1, &rc, text, sizeof(text));
    return rc;
}

struct dumping {
    int (*each)(const struct nlmsghdr *h, void *ctx);
    void *ctx;
};

static int dumped(const struct nlmsghdr *h, void *ctx)
{
    struct dumping *d = ctx;
    return d->each(h, d->ctx) < 0 ? MNL_CB_ERROR : MNL_CB_OK;
}

// The list's end, or the word that there is none.
static bool ends(const void *in, ssize_t got, uint32_t seq)
{
    int left = (int)got;
    for (const struct nlmsghdr *h = in; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left))
        if (h->nlmsg_seq == seq && (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR))
            return true;
    return false;
}

// The rest of what was given up, or the next request would find it before its answer, and the next list would
// be refused meanwhile.
static void read_to_the_end(struct mnl_socket *s, char *in, ssize_t got, uint32_t seq)
{
    while (!(got >= 0 && ends(in, got, seq))) {
        got = mnl_socket_recvfrom(s, in, DATAGRAM_MAX);
        if (got < 0 && errno != EINTR && errno != ENOSPC)
            return;
    }
}

int netlink_dump(struct netlink_kernel *n, struct mnl_socket *s, struct nlmsghdr *h,
                 int (*each)(const struct nlmsghdr *h, void *ctx), void *ctx)
{
    _Alignas(struct nlmsghdr) char in[DATAGRAM_MAX];
    struct dumping d = {each, ctx};
    h->nlmsg_flags |= NLM_F_REQUEST;
    h->nlmsg_seq = ++n->seq;
    if (mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
        return -errno;
    for (;;) {
        ssize_t got = mnl_socket_recvfrom(s, in, sizeof(in));
        if (got < 0 && errno == EINTR)
            continue;
        int rc = got < 0 ? -errno : 0;
        if (rc == -ENOSPC) // more than there is room for
            read_to_the_end(s, in, got, n->seq);
        if (rc < 0)
            return rc;
        const struct nlmsghdr *first = (void *)in;
        if (first->nlmsg_seq != n->seq)
            continue; // a late answer to something that was given up
        rc = mnl_cb_run(in, (size_t)got, n->seq, mnl_socket_get_portid(s), dumped, &d);
        if (rc == MNL_CB_STOP)
            return 0;
        if (rc < 0) {
            rc = errno == EINTR ? -EAGAIN : -errno; // changed meanwhile
            read_to_the_end(s, in, got, n->seq);
            return rc;
        }
    }
}
