// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/xfrm_model.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { STATE = sizeof(struct xfrm_usersa_info), POLICY = sizeof(struct xfrm_userpolicy_info) };

struct nlmsghdr *model_header(struct model_message *m)
{
    return (struct nlmsghdr *)(void *)m->bytes;
}

static void keep(struct model_message *to, const struct nlmsghdr *h)
{
    if (h->nlmsg_len > MODEL_MESSAGE)
        abort();
    memset(to, 0, sizeof(*to));
    memcpy(to->bytes, h, h->nlmsg_len);
    to->len = h->nlmsg_len;
}

// ---- SAs

static bool same_id(const struct model_message *m, const struct xfrm_usersa_id *id)
{
    struct xfrm_usersa_info i;
    memcpy(&i, m->bytes + NLMSG_HDRLEN, sizeof(i));
    return m->len && i.id.spi == id->spi && i.id.proto == id->proto && i.family == id->family &&
           same_octets(&i.id.daddr, &id->daddr, sizeof(id->daddr));
}

static int find_state(const struct xfrm_model *m, const struct xfrm_usersa_id *id)
{
    for (int i = 0; i < MODEL_STATES; i++)
        if (same_id(&m->state[i], id))
            return i;
    return -1;
}

static struct xfrm_usersa_id id_of(const struct nlmsghdr *h)
{
    struct xfrm_usersa_info i;
    struct xfrm_usersa_id id = {0};
    memcpy(&i, mnl_nlmsg_get_payload(h), sizeof(i));
    id.daddr = i.id.daddr;
    id.spi = i.id.spi;
    id.proto = i.id.proto;
    id.family = i.family;
    return id;
}

static int free_place(const struct model_message *m)
{
    for (int i = 0; i < MODEL_STATES; i++)
        if (!m[i].len)
            return i;
    abort();
}

// A device that takes no packets refuses them; one that takes no ciphers leaves them to the kernel
// (net/xfrm/xfrm_device.c, xfrm_dev_state_add).
static int offload(const struct xfrm_model *m, const struct nlmsghdr *h, char *words)
{
    const struct xfrm_user_offload *o = xfrm_attr(h, STATE, XFRMA_OFFLOAD_DEV, sizeof(*o));
    if (!o || !(o->flags & XFRM_OFFLOAD_PACKET) || m->packet)
        return 0;
    snprintf(words, XFRM_WORDS, "Packet offload is not supported");
    return -EINVAL;
}

static int new_state(struct xfrm_model *m, const struct nlmsghdr *h, char *words)
{
    struct xfrm_usersa_id id = id_of(h);
    int rc = offload(m, h, words), at;
    if (rc)
        return rc;
    if (find_state(m, &id) >= 0)
        return -EEXIST;
    at = free_place(m->state);
    keep(&m->state[at], h);
    memset(&m->count[at], 0, sizeof(m->count[at]));
    return 0;
}

static void put_count(const struct xfrm_model *m, int at, struct nlmsghdr *h)
{
    const struct xfrm_replay_state_esn *e = xfrm_attr(h, STATE, XFRMA_REPLAY_ESN_VAL, sizeof(*e));
    struct xfrm_usersa_info i;
    memcpy(&i, mnl_nlmsg_get_payload(h), sizeof(i));
    i.curlft.packets = m->count[at].packets;
    i.curlft.bytes = m->count[at].bytes;
    i.stats.replay = m->count[at].replay;
    i.stats.integrity_failed = m->count[at].integrity_failed;
    memcpy(mnl_nlmsg_get_payload(h), &i, sizeof(i));
    if (e) {
        struct xfrm_replay_state_esn *w = (struct xfrm_replay_state_esn *)(uintptr_t)e;
        w->oseq = m->count[at].oseq;
        w->seq = m->count[at].seq;
    } else {
        const struct xfrm_replay_state r = {.oseq = m->count[at].oseq, .seq = m->count[at].seq};
        mnl_attr_put(h, XFRMA_REPLAY_VAL, sizeof(r), &r);
    }
}

// A message without the attribute of that type.
static void without(struct nlmsghdr *h, size_t fixed, uint16_t type)
{
    struct nlattr *a;
    mnl_attr_for_each(a, h, fixed)
    {
        if (mnl_attr_get_type(a) != type)
            continue;
        uint8_t *at = (uint8_t *)a, *end = (uint8_t *)h + h->nlmsg_len;
        size_t octets = MNL_ALIGN(a->nla_len);
        memmove(at, at + octets, (size_t)(end - at) - octets);
        h->nlmsg_len -= (uint32_t)octets;
        return;
    }
}

static void say_state(struct xfrm_model *m, int at, void (*each)(void *, const struct nlmsghdr *), void *ctx)
{
    struct model_message copy = m->state[at];
    struct nlmsghdr *h = model_header(&copy);
    const struct xfrm_user_offload *o = xfrm_attr(h, STATE, XFRMA_OFFLOAD_DEV, sizeof(*o));
    h->nlmsg_type = XFRM_MSG_NEWSA;
    if (o && !(o->flags & XFRM_OFFLOAD_PACKET) && !m->crypto)
        without(h, STATE, XFRMA_OFFLOAD_DEV);
    put_count(m, at, h);
    if (m->other)
        m->other(h);
    if (each)
        each(ctx, h);
}

// ---- policies

static int find_policy(const struct xfrm_model *m, const struct xfrm_selector *sel, uint8_t dir)
{
    struct xfrm_userpolicy_info i;
    for (int n = 0; n < MODEL_STATES; n++) {
        memcpy(&i, m->policy[n].bytes + NLMSG_HDRLEN, sizeof(i));
        if (m->policy[n].len && i.dir == dir && same_octets(&i.sel, sel, sizeof(*sel)))
            return n;
    }
    return -1;
}

static int update_policy(struct xfrm_model *m, const struct nlmsghdr *h)
{
    struct xfrm_userpolicy_info i;
    memcpy(&i, mnl_nlmsg_get_payload(h), sizeof(i));
    int at = find_policy(m, &i.sel, i.dir);
    keep(&m->policy[at < 0 ? free_place(m->policy) : at], h);
    return 0;
}

static void say_policy(struct xfrm_model *m, int at, void (*each)(void *, const struct nlmsghdr *), void *ctx)
{
    struct model_message copy = m->policy[at];
    struct nlmsghdr *h = model_header(&copy);
    h->nlmsg_type = XFRM_MSG_NEWPOLICY;
    if (m->other)
        m->other(h);
    if (each)
        each(ctx, h);
}

// ---- requests

static int about_state(struct xfrm_model *m, const struct nlmsghdr *h,
                       void (*each)(void *, const struct nlmsghdr *), void *ctx)
{
    struct xfrm_usersa_id id;
    memcpy(&id, mnl_nlmsg_get_payload(h), sizeof(id));
    int at = find_state(m, &id);
    if (at < 0)
        return -ESRCH;
    if (h->nlmsg_type == XFRM_MSG_DELSA)
        m->state[at].len = 0;
    else
        say_state(m, at, each, ctx);
    return 0;
}

static int about_policy(struct xfrm_model *m, const struct nlmsghdr *h,
                        void (*each)(void *, const struct nlmsghdr *), void *ctx)
{
    struct xfrm_userpolicy_id id;
    memcpy(&id, mnl_nlmsg_get_payload(h), sizeof(id));
    int at = find_policy(m, &id.sel, id.dir);
    if (at < 0)
        return -ENOENT;
    if (h->nlmsg_type == XFRM_MSG_DELPOLICY)
        m->policy[at].len = 0;
    else
        say_policy(m, at, each, ctx);
    return 0;
}

static int list(struct xfrm_model *m, uint16_t type, void (*each)(void *, const struct nlmsghdr *), void *ctx)
{
    for (int i = 0; i < MODEL_STATES; i++) {
        struct model_message *all = type == XFRM_MSG_GETSA ? m->state : m->policy;
        if (all[i].len)
            each(ctx, model_header(&all[i]));
    }
    return 0;
}

static int request(struct xfrm_model *m, const struct nlmsghdr *h,
                   void (*each)(void *, const struct nlmsghdr *), void *ctx, char *words)
{
    if ((h->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP)
        return list(m, h->nlmsg_type, each, ctx);
    switch (h->nlmsg_type) {
    case XFRM_MSG_NEWSA: return new_state(m, h, words);
    case XFRM_MSG_DELSA:
    case XFRM_MSG_GETSA: return about_state(m, h, each, ctx);
    case XFRM_MSG_UPDPOLICY: return update_policy(m, h);
    case XFRM_MSG_DELPOLICY:
    case XFRM_MSG_GETPOLICY: return about_policy(m, h, each, ctx);
    default: abort();
    }
}

static int talk(struct xfrm_link *l, struct nlmsghdr *h, void (*each)(void *, const struct nlmsghdr *),
                void *ctx, char words[XFRM_WORDS])
{
    struct xfrm_model *m = (struct xfrm_model *)l;
    words[0] = 0;
    if (m->logged < MODEL_LOG)
        keep(&m->log[m->logged++], h);
    if (m->refuse_rc && m->refuse == h->nlmsg_type && !(m->refuse_from && m->refuse_from--)) {
        if (m->does)
            (void)request(m, h, each, ctx, words);
        snprintf(words, XFRM_WORDS, "%s", m->words ? m->words : "");
        return m->refuse_rc;
    }
    return request(m, h, each, ctx, words);
}

// ---- notices

static ssize_t hear(struct xfrm_link *l, void *buf, size_t size)
{
    struct xfrm_model *m = (struct xfrm_model *)l;
    uint64_t n;
    if (m->lost) {
        m->lost = false;
        return -ENOBUFS;
    }
    if (m->news_out == m->news_in) {
        (void)!read(m->base.news, &n, sizeof(n));
        return 0;
    }
    const struct model_message *next = &m->news[m->news_out++ % MODEL_NEWS];
    if (next->len > size)
        abort();
    memcpy(buf, next->bytes, next->len);
    return next->len;
}

static void link_close(struct xfrm_link *l)
{
    struct xfrm_model *m = (struct xfrm_model *)l;
    close(m->base.news);
    m->closed = true;
}

void model_begin(struct xfrm_model *m)
{
    static const struct xfrm_link_ops ops = {talk, hear, link_close};
    memset(m, 0, sizeof(*m));
    m->base.ops = &ops;
    m->base.news = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

static unsigned count(const struct model_message *m)
{
    unsigned n = 0;
    for (int i = 0; i < MODEL_STATES; i++)
        n += m[i].len != 0;
    return n;
}

unsigned model_states(const struct xfrm_model *m)
{
    return count(m->state);
}

unsigned model_policies(const struct xfrm_model *m)
{
    return count(m->policy);
}

int model_state(const struct xfrm_model *m, uint32_t spi)
{
    struct xfrm_usersa_info i;
    for (int n = 0; n < MODEL_STATES; n++) {
        memcpy(&i, m->state[n].bytes + NLMSG_HDRLEN, sizeof(i));
        if (m->state[n].len && i.id.spi == htonl(spi))
            return n;
    }
    return -1;
}

int model_policy(const struct xfrm_model *m, uint8_t dir)
{
    struct xfrm_userpolicy_info i;
    for (int n = 0; n < MODEL_STATES; n++) {
        memcpy(&i, m->policy[n].bytes + NLMSG_HDRLEN, sizeof(i));
        if (m->policy[n].len && i.dir == dir)
            return n;
    }
    return -1;
}

void model_notice(struct xfrm_model *m, uint16_t type, const void *payload, size_t len)
{
    const uint64_t one = 1;
    struct model_message *to = &m->news[m->news_in++ % MODEL_NEWS];
    memset(to, 0, sizeof(*to));
    struct nlmsghdr *h = mnl_nlmsg_put_header(to->bytes);
    h->nlmsg_type = type;
    memcpy(mnl_nlmsg_put_extra_header(h, len), payload, len);
    to->len = h->nlmsg_len;
    (void)!write(m->base.news, &one, sizeof(one));
}

void model_state_gone(struct xfrm_model *m, uint32_t spi, bool told)
{
    int at = model_state(m, spi);
    struct xfrm_usersa_id id = id_of(model_header(&m->state[at]));
    m->state[at].len = 0;
    if (told)
        model_notice(m, XFRM_MSG_DELSA, &id, sizeof(id));
}

void model_expire(struct xfrm_model *m, uint32_t spi, bool hard)
{
    int at = model_state(m, spi);
    struct xfrm_user_expire e = {.hard = hard};
    memcpy(&e.state, m->state[at].bytes + NLMSG_HDRLEN, sizeof(e.state));
    e.state.curlft.packets = m->count[at].packets;
    e.state.curlft.bytes = m->count[at].bytes;
    if (hard)
        m->state[at].len = 0;
    model_notice(m, XFRM_MSG_EXPIRE, &e, sizeof(e));
}

void model_maps(struct xfrm_model *m, uint32_t spi, const uint8_t addr[4], uint16_t port)
{
    struct xfrm_user_mapping e = {.id = id_of(model_header(&m->state[model_state(m, spi)])),
                                  .new_sport = htons(port)};
    memcpy(&e.new_saddr, addr, 4);
    model_notice(m, XFRM_MSG_MAPPING, &e, sizeof(e));
}

void model_put_state(struct xfrm_model *m, uint32_t owner, uint32_t spi)
{
    struct model_message buf = {0};
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf.bytes);
    struct xfrm_usersa_info i = {.family = AF_INET, .sel.user = owner};
    i.id.spi = htonl(spi);
    i.id.proto = IPPROTO_ESP;
    h->nlmsg_type = XFRM_MSG_NEWSA;
    memcpy(mnl_nlmsg_put_extra_header(h, sizeof(i)), &i, sizeof(i));
    keep(&m->state[free_place(m->state)], h);
}

void model_put_policy(struct xfrm_model *m, uint32_t owner, uint8_t dir)
{
    struct model_message buf = {0};
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf.bytes);
    struct xfrm_userpolicy_info i = {.dir = dir, .sel.user = owner};
    h->nlmsg_type = XFRM_MSG_NEWPOLICY;
    memcpy(mnl_nlmsg_put_extra_header(h, sizeof(i)), &i, sizeof(i));
    keep(&m->policy[free_place(m->policy)], h);
}
