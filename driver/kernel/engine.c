// SPDX-License-Identifier: Apache-2.0
// The kernel's engine: SAs that Linux protects packets by, by itself. What is told the kernel is read back
// from it, and an SA that it has taken other than it was told is taken away again. It never hands an SA over:
// its IVs are its own.
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "driver/common/params.h"
#include "driver/kernel/kernel.h"

static struct kernel_engine *kernel(struct esp_engine *e)
{
    return (struct kernel_engine *)e;
}

// ---- SAs

static struct esp_sa **bucket(struct kernel_engine *k, uint32_t spi_be)
{
    uint32_t spi = ntohl(spi_be);

    return &k->bucket[(spi ^ spi >> 10 ^ spi >> 20) % KERNEL_BUCKETS];
}

struct esp_sa *kernel_find(struct kernel_engine *k, const struct xfrm_usersa_id *id)
{
    for (struct esp_sa *sa = *bucket(k, id->spi); sa; sa = sa->next)
        if (sa->id.spi == id->spi && sa->id.proto == id->proto && sa->id.family == id->family &&
            same_octets(&sa->id.daddr, &id->daddr, sizeof(id->daddr)))
            return sa;
    return NULL;
}

static void unlink_sa(struct kernel_engine *k, struct esp_sa *sa)
{
    struct esp_sa **at = bucket(k, sa->id.spi);

    while (*at && *at != sa)
        at = &(*at)->next;
    if (*at)
        *at = sa->next;
}

void kernel_identify(struct esp_sa *sa, const struct esp_sa_params *p)
{
    memset(&sa->id, 0, sizeof(sa->id)); // its holes too: they go to the kernel
    xfrm_address(&sa->id.daddr, p->dst, p->ipv6);
    sa->id.spi = htonl(p->spi);
    sa->id.proto = p->protocol == ESP_PROTOCOL_AH ? IPPROTO_AH : IPPROTO_ESP;
    sa->id.family = p->ipv6 ? AF_INET6 : AF_INET;
    sa->mark = (struct xfrm_mark){p->mark, p->mark_mask};
    sa->dir = p->dir;
    sa->ends = params_endpoint(p);
}

void kernel_tell(struct kernel_engine *k, struct esp_sa *sa, unsigned what)
{
    const uint64_t one = 1;

    sa->tell |= what;
    if (sa->queued)
        return;
    sa->queued = true;
    sa->told_next = NULL;
    *k->told_last = sa;
    k->told_last = &sa->told_next;
    (void)!write(k->wake, &one, sizeof(one));
}

void kernel_ended(struct kernel_engine *k, struct esp_sa *sa, enum esp_status why)
{
    if (sa->ended || sa->closing)
        return;
    sa->ended = true;
    sa->why = why;
    kernel_tell(k, sa, TELL_ENDED);
}

// ---- commands

static int kernel_sa_add(struct esp_engine *e, const struct esp_sa_params *p, void *cookie,
                         struct esp_sa **out, struct esp_error *err)
{
    struct kernel_engine *k = kernel(e);
    struct esp_sa *sa;
    int rc = kernel_check(p, err);

    *out = NULL;
    if (rc)
        return rc;
    if (!(sa = calloc(1, sizeof(*sa))))
        return esp_fail(err, -ENOMEM, "kernel", "out of memory");
    kernel_identify(sa, p);
    sa->cookie = cookie;
    rc = kernel_add(k, sa, p);
    if (rc == 0) {
        struct esp_sa **first = bucket(k, sa->id.spi);
        sa->next = *first;
        *first = sa;
    }
    sa->why = rc == -EEXIST ? ESP_STATUS_SPI_EXISTS : ESP_STATUS_BAD_FIELD;
    k->refused += rc != 0;
    kernel_tell(k, sa, rc ? TELL_REFUSED : TELL_ADDED);
    *out = sa;
    return 0;
}

static void try_delete(struct kernel_engine *k, struct esp_sa *sa)
{
    if (kernel_take_away(k, sa)) { // the kernel has not answered, or has no memory
        k->retry = true;
        return;
    }
    sa->left = true;
    kernel_tell(k, sa, TELL_DELETED);
}

static int kernel_sa_delete(struct esp_engine *e, struct esp_sa *sa)
{
    if (!sa || sa->closing || sa->tell & TELL_REFUSED)
        return -EINVAL;
    if (!sa->ended)
        (void)kernel_ask(kernel(e), sa); // what it has counted last
    sa->closing = true;
    try_delete(kernel(e), sa);
    return 0;
}

static int kernel_sa_query(struct esp_engine *e, struct esp_sa *sa)
{
    struct kernel_engine *k = kernel(e);
    int rc;

    if (!sa || sa->closing || sa->tell & TELL_REFUSED)
        return -EINVAL;
    rc = sa->ended ? 0 : kernel_ask(k, sa);
    if (rc == -ESRCH)
        kernel_ended(k, sa, ESP_STATUS_SA_INVALID);
    else if (rc)
        return rc;
    kernel_tell(k, sa, TELL_STATS);
    return 0;
}

static int kernel_sa_lease(struct esp_engine *e, struct esp_sa *sa, uint64_t seq_limit)
{
    (void)e;
    (void)sa;
    (void)seq_limit;
    return -EINVAL; // it knows none
}

static int kernel_sa_endpoint(struct esp_engine *e, struct esp_sa *sa, const struct esp_endpoint *to,
                              struct esp_error *why)
{
    (void)e;
    (void)sa;
    (void)to;
    return esp_fail(why, -EOPNOTSUPP, "endpoint", "the kernel changes no ends in place: rekey");
}

static int kernel_sa_handover(struct esp_engine *e, struct esp_sa *sa, struct esp_sa_params *p)
{
    (void)e;
    (void)sa;
    (void)p;
    return -EINVAL; // its IVs are its own
}

static int kernel_attach_pool(struct esp_engine *e, struct esp_pool *pool, struct esp_error *err)
{
    (void)e;
    (void)pool;
    return esp_fail(err, -EOPNOTSUPP, "pool", "the kernel takes its packets from its own network stack");
}

// ---- events

// bit: of TELL_*, one.
static enum esp_event_type type_of(unsigned bit)
{
    static const enum esp_event_type types[] = {
        ESP_EVENT_SA_ADDED,  ESP_EVENT_SA_REFUSED, ESP_EVENT_SA_STATS,  ESP_EVENT_SA_SOFT_LIMIT,
        ESP_EVENT_SA_SOURCE, ESP_EVENT_SA_ENDED,   ESP_EVENT_SA_DELETED};

    return types[__builtin_ctz(bit)];
}

static void take(struct esp_sa *sa, unsigned bit, struct esp_event *ev)
{
    *ev = (struct esp_event){.type = type_of(bit),
                             .sa = sa,
                             .cookie = sa->cookie,
                             .offload = sa->offload,
                             .stats = sa->stats,
                             .from = sa->from};
    sa->tell &= ~bit;
    if (bit & (TELL_REFUSED | TELL_ENDED))
        ev->status = sa->why;
    if (bit == TELL_REFUSED) {
        ev->error = sa->error;
        ev->sa = NULL;
    }
}

static unsigned kernel_events(struct esp_engine *e, struct esp_event *ev, unsigned max)
{
    struct kernel_engine *k = kernel(e);
    struct esp_sa *sa;
    uint64_t n = 0;
    unsigned count = 0;

    (void)!read(k->wake, &n, sizeof(n));
    kernel_hear(k);
    while (count < max && (sa = k->told)) {
        unsigned bit = sa->tell & (0u - sa->tell); // the lowest
        bool gone = bit & (TELL_REFUSED | TELL_DELETED);
        if (gone || sa->tell == bit) {
            k->told = sa->told_next;
            if (!k->told)
                k->told_last = &k->told;
            sa->queued = false;
        }
        take(sa, bit, &ev[count++]);
        if (gone) { // whatever else there was to tell
            unlink_sa(k, sa);
            free(sa);
        }
    }
    n = 1;
    if (k->told) // for the next call
        (void)!write(k->wake, &n, sizeof(n));
    return count;
}

static void delete_again(struct kernel_engine *k)
{
    k->retry = false;
    for (unsigned i = 0; i < KERNEL_BUCKETS; i++)
        for (struct esp_sa *sa = k->bucket[i]; sa; sa = sa->next)
            if (sa->closing && !sa->left)
                try_delete(k, sa);
}

static void kernel_tick(struct esp_engine *e, uint64_t now_ms)
{
    struct kernel_engine *k = kernel(e);

    (void)now_ms; // the kernel has its own clock
    kernel_hear(k);
    if (k->look_sas)
        kernel_look_again(k);
    if (k->look_policies)
        kernel_policies_again(k);
    if (k->retry)
        delete_again(k);
}

static int kernel_counters(struct esp_engine *e, char *buf, size_t size)
{
    struct kernel_engine *k = kernel(e);
    unsigned sas[2] = {0}, offload[ESP_OFFLOAD_AUTO] = {0}, policies = 0;

    for (unsigned i = 0; i < KERNEL_BUCKETS; i++)
        for (const struct esp_sa *sa = k->bucket[i]; sa; sa = sa->next) {
            sas[sa->dir]++;
            offload[sa->offload]++;
        }
    for (const struct kernel_policy *p = k->policies; p; p = p->next)
        policies++;
    return snprintf(buf, size,
                    "sas_outbound %u\nsas_inbound %u\nsas_offload_crypto %u\nsas_offload_packet %u\n"
                    "policies %u\npolicies_restored %llu\nprobes %llu\nrefused %llu\nmismatched %llu\n"
                    "notices_lost %llu\n",
                    sas[ESP_OUT], sas[ESP_IN], offload[ESP_OFFLOAD_CRYPTO], offload[ESP_OFFLOAD_PACKET],
                    policies, (unsigned long long)k->restored, (unsigned long long)k->probes,
                    (unsigned long long)k->refused, (unsigned long long)k->mismatched,
                    (unsigned long long)k->lost_notices);
}

// ---- opening and the end

// Policies first: what they have let to an SA is closed then by what stands behind them, not asked for by the
// kernel.
static void kernel_destroy(struct esp_engine *e)
{
    struct kernel_engine *k = kernel(e);

    kernel_policies_forget(k);
    for (struct esp_sa *sa = k->told, *next; sa; sa = next) { // those that the kernel has not taken
        next = sa->told_next;
        if (sa->tell & TELL_REFUSED)
            free(sa);
    }
    for (unsigned i = 0; i < KERNEL_BUCKETS; i++)
        for (struct esp_sa *sa = k->bucket[i], *next; sa; sa = next) {
            next = sa->next;
            if (!sa->left)
                (void)kernel_take_away(k, sa);
            free(sa);
        }
    k->link->ops->close(k->link);
    if (k->wake >= 0)
        close(k->wake);
    if (k->base.fd >= 0)
        close(k->base.fd);
    free(k->known);
    free(k);
}

static const struct esp_engine_ops kernel_ops = {
    .capabilities = kernel_capabilities,
    .capable = kernel_capable,
    .attach_pool = kernel_attach_pool,
    .sa_add = kernel_sa_add,
    .sa_delete = kernel_sa_delete,
    .sa_query = kernel_sa_query,
    .sa_lease = kernel_sa_lease,
    .sa_endpoint = kernel_sa_endpoint,
    .sa_handover = kernel_sa_handover,
    .policy_set = kernel_policy_set,
    .policy_drop = kernel_policy_drop,
    .events = kernel_events,
    .tick = kernel_tick,
    .counters = kernel_counters,
    .destroy = kernel_destroy,
};

static int watch(int epoll, int fd)
{
    struct epoll_event ev = {.events = EPOLLIN};

    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev);
}

static int set_up(struct kernel_engine *k, struct esp_error *err)
{
    k->known = calloc(1, kernel_known_octets());
    k->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    k->base.fd = epoll_create1(EPOLL_CLOEXEC);
    if (!k->known)
        return esp_fail(err, -ENOMEM, "kernel", "out of memory");
    if (k->wake < 0 || k->base.fd < 0 || watch(k->base.fd, k->wake) || watch(k->base.fd, k->link->news))
        return esp_fail(err, -errno, "kernel", "the engine cannot be set up: %s", strerror(errno));
    return kernel_sweep(k, err);
}

int kernel_open_link(struct esp_engine **e, struct xfrm_link *l, const struct esp_kernel_options *o,
                     struct esp_error *err)
{
    struct kernel_engine *k = calloc(1, sizeof(*k));
    int rc;

    *e = NULL;
    if (!k) {
        l->ops->close(l);
        return esp_fail(err, -ENOMEM, "kernel", "out of memory");
    }
    k->base.ops = &kernel_ops;
    k->base.kind = "kernel";
    snprintf(k->base.name, sizeof(k->base.name), "linux xfrm");
    k->link = l;
    k->owner = o->owner;
    k->wake = k->base.fd = -1;
    k->told_last = &k->told;
    rc = set_up(k, err);
    if (rc) {
        kernel_destroy(&k->base);
        return rc;
    }
    *e = &k->base;
    return 0;
}

int esp_kernel_open(struct esp_engine **e, const struct esp_kernel_options *o, struct esp_error *err)
{
    struct xfrm_link *l;
    int rc;

    *e = NULL;
    if (o->owner == 0)
        return esp_fail(err, -EINVAL, "owner", "what is this engine's in the kernel is told by it: not 0");
    if ((rc = xfrm_link_open(&l, err)))
        return rc;
    return kernel_open_link(e, l, o, err);
}
