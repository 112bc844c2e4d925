// SPDX-License-Identifier: Apache-2.0
// What the kernel says of its own accord: an SA has come to a limit, its peer sends from elsewhere (RFC 7296
// section 2.23), or somebody else has taken SAs or policies away. Where notices are lost, or all went at
// once, the kernel is asked for each.
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

#include "driver/kernel/kernel.h"

enum { DATAGRAMS = 256 }; // in one turn

// That the SA has ended by the kernel's own doing, or is near to it.
static void expired(struct kernel_engine *k, const struct nlmsghdr *h)
{
    struct xfrm_user_expire e;
    struct xfrm_usersa_id id = {0};
    struct esp_sa *sa;

    if (mnl_nlmsg_get_payload_len(h) < sizeof(e))
        return;
    memcpy(&e, mnl_nlmsg_get_payload(h), sizeof(e));
    id = (struct xfrm_usersa_id){.daddr = e.state.id.daddr,
                                 .spi = e.state.id.spi,
                                 .family = e.state.family,
                                 .proto = e.state.id.proto};
    if (!(sa = kernel_find(k, &id)) || sa->closing || sa->ended)
        return;
    sa->stats.packets = e.state.curlft.packets;
    sa->stats.bytes = e.state.curlft.bytes;
    if (e.hard)
        kernel_ended(k, sa, ESP_STATUS_HARD_LIMIT);
    else
        kernel_tell(k, sa, TELL_SOFT);
}

static void deleted(struct kernel_engine *k, const struct nlmsghdr *h)
{
    struct xfrm_usersa_id id;
    struct esp_sa *sa;

    if (mnl_nlmsg_get_payload_len(h) < sizeof(id))
        return;
    memcpy(&id, mnl_nlmsg_get_payload(h), sizeof(id));
    // one that the kernel has all the same was put there again since
    if ((sa = kernel_find(k, &id)) && !sa->closing && !sa->ended && kernel_ask(k, sa) == -ESRCH)
        kernel_ended(k, sa, ESP_STATUS_SA_INVALID);
}

static void moved(struct kernel_engine *k, const struct nlmsghdr *h)
{
    struct xfrm_user_mapping m;
    struct esp_sa *sa;

    if (mnl_nlmsg_get_payload_len(h) < sizeof(m))
        return;
    memcpy(&m, mnl_nlmsg_get_payload(h), sizeof(m));
    if (!(sa = kernel_find(k, &m.id)) || sa->closing || sa->ended)
        return;
    sa->from = sa->ends;
    memset(sa->from.src, 0, sizeof(sa->from.src));
    memcpy(sa->from.src, &m.new_saddr, sa->ends.ipv6 ? 16 : 4);
    sa->from.sport = ntohs(m.new_sport);
    kernel_tell(k, sa, TELL_SOURCE);
}

static void one(struct kernel_engine *k, const struct nlmsghdr *h)
{
    uint32_t owner;

    switch (h->nlmsg_type) {
    case XFRM_MSG_EXPIRE: expired(k, h); break;
    case XFRM_MSG_DELSA: deleted(k, h); break;
    case XFRM_MSG_FLUSHSA: k->look_sas = true; break;
    case XFRM_MSG_MAPPING: moved(k, h); break;
    case XFRM_MSG_FLUSHPOLICY: k->look_policies = true; break;
    case XFRM_MSG_DELPOLICY:
    case XFRM_MSG_UPDPOLICY:
        if (xfrm_policy_owner(h, &owner) && owner == k->owner)
            k->look_policies = true;
        break;
    default: break;
    }
}

void kernel_hear(struct kernel_engine *k)
{
    _Alignas(uint64_t) char in[XFRM_ANSWER_MAX];
    ssize_t got = 0;

    for (unsigned i = 0; i < DATAGRAMS && (got = k->link->ops->hear(k->link, in, sizeof(in))) != 0; i++) {
        int left = (int)got;
        if (got < 0) {
            k->lost_notices++;
            k->look_sas = k->look_policies = true;
            continue;
        }
        for (const struct nlmsghdr *h = (void *)in; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left))
            one(k, h);
    }
    OPENSSL_cleanse(in, sizeof(in)); // of SAs the kernel says all, their keys too
}

void kernel_look_again(struct kernel_engine *k)
{
    k->look_sas = false;
    for (unsigned i = 0; i < KERNEL_BUCKETS; i++)
        for (struct esp_sa *sa = k->bucket[i]; sa; sa = sa->next) {
            int rc = sa->closing || sa->ended ? 0 : kernel_ask(k, sa);
            if (rc == -ESRCH)
                kernel_ended(k, sa, ESP_STATUS_SA_INVALID);
            else if (rc)
                k->look_sas = true; // it has not said
        }
}
