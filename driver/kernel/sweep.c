// SPDX-License-Identifier: Apache-2.0
// What an earlier run of the same owner has left in the kernel: its policies and its SAs, whose keys nobody
// has any more. Policies go first.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "driver/kernel/kernel.h"

enum { ROUNDS = 4 }; // a list that changes meanwhile may leave some out

struct found {
    struct found *next;
    _Alignas(uint64_t) uint8_t request[512];
};
struct finding {
    uint32_t owner;
    struct found *all;
    bool memory; // there was none
};

static struct nlmsghdr *keep(struct finding *f, uint16_t type)
{
    struct found *n = calloc(1, sizeof(*n));

    if (!n) {
        f->memory = true;
        return NULL;
    }
    n->next = f->all;
    f->all = n;
    struct nlmsghdr *h = mnl_nlmsg_put_header(n->request);
    h->nlmsg_type = type;
    h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    return h;
}

static void copy_attr(struct nlmsghdr *to, const struct nlmsghdr *from, size_t fixed, uint16_t type,
                      size_t octets)
{
    const void *at = xfrm_attr(from, fixed, type, octets);

    if (at)
        mnl_attr_put(to, type, octets, at);
}

static void one_sa(struct finding *f, const struct nlmsghdr *h)
{
    struct xfrm_usersa_info i;
    struct xfrm_usersa_id id;
    struct nlmsghdr *out;

    if (mnl_nlmsg_get_payload_len(h) < sizeof(i))
        return;
    memcpy(&i, mnl_nlmsg_get_payload(h), sizeof(i));
    if (i.sel.user != f->owner || !(out = keep(f, XFRM_MSG_DELSA)))
        return;
    memset(&id, 0, sizeof(id));
    id.daddr = i.id.daddr;
    id.spi = i.id.spi;
    id.proto = i.id.proto;
    id.family = i.family;
    memcpy(mnl_nlmsg_put_extra_header(out, sizeof(id)), &id, sizeof(id));
    copy_attr(out, h, sizeof(i), XFRMA_MARK, sizeof(struct xfrm_mark));
}

static void one_policy(struct finding *f, const struct nlmsghdr *h)
{
    struct xfrm_userpolicy_info i;
    struct xfrm_userpolicy_id id;
    struct nlmsghdr *out;

    if (mnl_nlmsg_get_payload_len(h) < sizeof(i))
        return;
    memcpy(&i, mnl_nlmsg_get_payload(h), sizeof(i));
    if (i.sel.user != f->owner || !(out = keep(f, XFRM_MSG_DELPOLICY)))
        return;
    memset(&id, 0, sizeof(id));
    id.sel = i.sel;
    id.dir = i.dir;
    memcpy(mnl_nlmsg_put_extra_header(out, sizeof(id)), &id, sizeof(id));
    copy_attr(out, h, sizeof(i), XFRMA_MARK, sizeof(struct xfrm_mark));
    copy_attr(out, h, sizeof(i), XFRMA_IF_ID, sizeof(uint32_t));
}

static void each(void *ctx, const struct nlmsghdr *h)
{
    if (h->nlmsg_type == XFRM_MSG_NEWSA)
        one_sa(ctx, h);
    else if (h->nlmsg_type == XFRM_MSG_NEWPOLICY)
        one_policy(ctx, h);
}

// Those of a kind that are this owner's; *count: how many went.
static int sweep(struct kernel_engine *k, uint16_t list, unsigned *count, struct esp_error *err)
{
    _Alignas(uint64_t) uint8_t buf[256] = {0};
    struct finding f = {.owner = k->owner};
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    char words[XFRM_WORDS];
    struct found *n;
    int rc;

    *count = 0;
    h->nlmsg_type = list;
    h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    rc = k->link->ops->talk(k->link, h, each, &f, words);
    if (rc || f.memory)
        rc = esp_fail(err, rc ? rc : -ENOMEM, "kernel", "it does not list what is in it: %s%s%s",
                      strerror(rc ? -rc : ENOMEM), words[0] ? ", " : "", words);
    while ((n = f.all)) {
        int one = rc ? 0 : kernel_say(k, (struct nlmsghdr *)(void *)n->request, "kernel", err);
        if (one && one != -ESRCH && one != -ENOENT)
            rc = one;
        ++*count;
        f.all = n->next;
        free(n);
    }
    return rc;
}

int kernel_sweep(struct kernel_engine *k, struct esp_error *err)
{
    static const uint16_t lists[] = {XFRM_MSG_GETPOLICY, XFRM_MSG_GETSA};
    int rc = 0;

    for (unsigned i = 0; i < 2; i++) {
        unsigned count = 1;
        for (unsigned round = 0; round < ROUNDS && count && rc == 0; round++)
            rc = sweep(k, lists[i], &count, err);
    }
    return rc;
}
