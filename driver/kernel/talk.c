// SPDX-License-Identifier: Apache-2.0
// Linux behind the seam: one netlink socket for requests, one for notices.
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "driver/kernel/kernel.h"

enum { WAIT_S = 5, NEWS_OCTETS = 1 << 20 };

struct linux_link {
    struct xfrm_link base; // first
    struct mnl_socket *ask, *news;
    uint32_t seq;
};

struct answer {
    uint32_t seq;
    void (*each)(void *ctx, const struct nlmsghdr *h);
    void *ctx;
    bool ended;
    int rc;
    char *words;
};

// Beside the number (NETLINK_EXT_ACK). What was sent is cut off (NETLINK_CAP_ACK): it holds keys.
static void read_words(const struct nlmsghdr *h, char words[XFRM_WORDS])
{
    const struct nlattr *attr;

    if (!(h->nlmsg_flags & NLM_F_ACK_TLVS))
        return;
    mnl_attr_for_each(attr, h, sizeof(struct nlmsgerr))
    {
        if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG)
            snprintf(words, XFRM_WORDS, "%.*s", (int)mnl_attr_get_payload_len(attr), mnl_attr_get_str(attr));
    }
}

static void one(const struct nlmsghdr *h, struct answer *a)
{
    const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);

    if (h->nlmsg_seq != a->seq || a->ended)
        return; // of an earlier request that was given up
    if (h->nlmsg_type == NLMSG_DONE) {
        a->ended = true;
    } else if (h->nlmsg_type == NLMSG_ERROR && mnl_nlmsg_get_payload_len(h) >= sizeof(*e)) {
        a->ended = true;
        a->rc = e->error;
        if (e->error)
            read_words(h, a->words);
    } else if (a->each && h->nlmsg_type >= NLMSG_MIN_TYPE) {
        a->each(a->ctx, h);
    }
}

static int await(struct linux_link *l, struct answer *a)
{
    _Alignas(uint64_t) char in[XFRM_ANSWER_MAX];

    while (!a->ended) {
        ssize_t got = mnl_socket_recvfrom(l->ask, in, sizeof(in));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            a->rc = errno == EAGAIN || errno == EWOULDBLOCK ? -ETIMEDOUT : -errno;
            break;
        }
        int left = (int)got;
        for (const struct nlmsghdr *h = (void *)in; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left))
            one(h, a);
    }
    OPENSSL_cleanse(in, sizeof(in)); // the kernel tells of SAs with their keys
    return a->rc;
}

static int talk(struct xfrm_link *base, struct nlmsghdr *h, void (*each)(void *ctx, const struct nlmsghdr *h),
                void *ctx, char words[XFRM_WORDS])
{
    struct linux_link *l = (struct linux_link *)base;
    struct answer a = {.seq = ++l->seq, .each = each, .ctx = ctx, .words = words};

    words[0] = 0;
    h->nlmsg_seq = a.seq;
    if (mnl_socket_sendto(l->ask, h, h->nlmsg_len) < 0)
        return -errno;
    return await(l, &a);
}

static ssize_t hear(struct xfrm_link *base, void *buf, size_t size)
{
    struct linux_link *l = (struct linux_link *)base;
    ssize_t got = recv(l->base.news, buf, size, MSG_DONTWAIT);

    if (got < 0)
        return errno == ENOBUFS ? -ENOBUFS : 0;
    return got;
}

static void link_close(struct xfrm_link *base)
{
    struct linux_link *l = (struct linux_link *)base;

    if (l->ask)
        mnl_socket_close(l->ask);
    if (l->news)
        mnl_socket_close(l->news);
    free(l);
}

static const struct xfrm_link_ops linux_ops = {talk, hear, link_close};

static struct mnl_socket *socket_open(unsigned groups)
{
    struct mnl_socket *s = mnl_socket_open2(NETLINK_XFRM, SOCK_CLOEXEC);

    if (s && mnl_socket_bind(s, groups, MNL_SOCKET_AUTOPID) < 0) {
        int e = errno;
        mnl_socket_close(s);
        errno = e;
        return NULL;
    }
    return s;
}

static int sockets_open(struct linux_link *l)
{
    const unsigned groups = 1u << (XFRMNLGRP_EXPIRE - 1) | 1u << (XFRMNLGRP_SA - 1) |
                            1u << (XFRMNLGRP_POLICY - 1) | 1u << (XFRMNLGRP_MAPPING - 1);
    const struct timeval patience = {.tv_sec = WAIT_S};
    int on = 1, octets = NEWS_OCTETS;

    if (!(l->ask = socket_open(0)) || !(l->news = socket_open(groups)))
        return -errno;
    l->base.news = mnl_socket_get_fd(l->news);
    // without them there are no words, and what is sent comes back: no failure
    (void)mnl_socket_setsockopt(l->ask, NETLINK_EXT_ACK, &on, sizeof(on));
    (void)mnl_socket_setsockopt(l->ask, NETLINK_CAP_ACK, &on, sizeof(on));
    (void)setsockopt(l->base.news, SOL_SOCKET, SO_RCVBUF, &octets, sizeof(octets));
    if (setsockopt(mnl_socket_get_fd(l->ask), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
        return -errno;
    return 0;
}

int xfrm_link_open(struct xfrm_link **out, struct esp_error *err)
{
    struct linux_link *l = calloc(1, sizeof(*l));
    int rc;

    *out = NULL;
    if (!l)
        return esp_fail(err, -ENOMEM, "kernel", "out of memory");
    l->base.ops = &linux_ops;
    rc = sockets_open(l);
    if (rc) {
        link_close(&l->base);
        return rc == -EPROTONOSUPPORT
                   ? esp_fail(err, -ENODEV, "kernel", "this kernel has no XFRM (CONFIG_XFRM_USER)")
                   : esp_fail(err, rc, "kernel", "its XFRM cannot be reached: %s", strerror(-rc));
    }
    *out = &l->base;
    return 0;
}
