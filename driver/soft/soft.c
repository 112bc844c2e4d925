// SPDX-License-Identifier: Apache-2.0
// The software engine behind engine.h: SAs, events and counters. Packets are the business of its queues
// (queue.c). Answers to SA commands are events; an SA that is deleted or refused is freed once its event is
// taken, and that comes when every job that names it has been returned.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "driver/common/params.h"
#include "driver/soft/queue.h"

enum { MAX_QUEUES = 64 };

static struct soft_engine *soft(struct esp_engine *e)
{
    return (struct soft_engine *)e;
}

static void soft_capabilities(struct esp_engine *e, struct esp_capabilities *caps)
{
    *caps = (struct esp_capabilities){
        .flags = ESP_CAP_LOOKASIDE | ESP_CAP_ENDPOINT | ESP_CAP_UDP_ENCAP | ESP_CAP_ESN | ESP_CAP_TFC,
        .protocols = 1u << ESP_PROTOCOL_ESP | 1u << ESP_PROTOCOL_AH,
        .modes = 1u << ESP_TUNNEL | 1u << ESP_TRANSPORT,
        .outer = ESP_FAMILY_IPV4 | ESP_FAMILY_IPV6,
        .inner = ESP_FAMILY_IPV4 | ESP_FAMILY_IPV6,
#define X(sym, name, key, salt, iv, icv, align) | 1u << ESP_ALG_##sym
        .algs = 1u << ESP_ALG_NONE ESP_ALG_LIST(X),
#undef X
#define X(sym, name, key, salt, iv, icv) | 1u << ESP_INTEG_##sym
        .integs = 1u << ESP_INTEG_NONE ESP_INTEG_LIST(X),
#undef X
        .window_max = ESP_MAX_WINDOW,
        .max_packet = MAX_IP,
        .queues = soft(e)->queues,
    };
}

static int soft_capable(struct esp_engine *e, const struct esp_sa_params *p, struct esp_error *why)
{
    struct esp_capabilities caps;

    if (params_check(p, why))
        return why ? (why->code = -EOPNOTSUPP) : -EOPNOTSUPP;
    soft_capabilities(e, &caps);
    return caps_check(&caps, "the software engine", p, why);
}

static int soft_attach_pool(struct esp_engine *e, struct esp_pool *pool, struct esp_error *err)
{
    (void)e;
    (void)pool;
    (void)err;
    return 0; // software reaches all memory
}

static void link_sa(struct soft_engine *s, struct esp_sa *sa)
{
    sa->next = s->all;
    if (s->all)
        s->all->prev = sa;
    s->all = sa;
}

static void unlink_sa(struct soft_engine *s, struct esp_sa *sa)
{
    if (sa->prev)
        sa->prev->next = sa->next;
    else
        s->all = sa->next;
    if (sa->next)
        sa->next->prev = sa->prev;
}

static int soft_sa_add(struct esp_engine *e, const struct esp_sa_params *p, void *cookie, struct esp_sa **out,
                       struct esp_error *err)
{
    struct soft_engine *s = soft(e);
    struct soft_order o = {.c.op = SOFT_ADD};
    int rc;

    *out = NULL;
    rc = params_check(p, err);
    if (!rc)
        rc = soft_capable(e, p, err);
    if (rc)
        return rc;
    o.node = event_node_new();
    o.sa = o.node ? soft_sa_new(p, s->queue[p->queue]->mb, err) : NULL;
    if (o.sa)
        o.sa->cookie = cookie;
    if (!o.sa || soft_queue_give(s->queue[p->queue], &o)) {
        soft_sa_free(o.sa);
        event_node_free(o.node);
        return esp_fail(err, -ENOMEM, "sa", "out of memory");
    }
    link_sa(s, o.sa);
    *out = o.sa;
    return 0;
}

// Every command but ADD and DELETE.
static int give(struct soft_engine *s, struct esp_sa *sa, struct soft_order o)
{
    int rc;

    o.sa = sa;
    o.node = o.c.op == SOFT_ENDPOINT ? NULL : event_node_new();
    if (!o.node && o.c.op != SOFT_ENDPOINT)
        return -ENOMEM;
    rc = soft_queue_give(s->queue[sa->queue], &o);
    if (rc)
        event_node_free(o.node);
    return rc;
}

static int soft_sa_delete(struct esp_engine *e, struct esp_sa *sa)
{
    if (!sa || sa->closing)
        return -EINVAL;
    sa->closing = true;
    soft_queue_delete(soft(e)->queue[sa->queue], sa);
    return 0;
}

static int soft_sa_query(struct esp_engine *e, struct esp_sa *sa)
{
    if (!sa || sa->closing)
        return -EINVAL;
    return give(soft(e), sa, (struct soft_order){.c.op = SOFT_QUERY});
}

static int soft_sa_lease(struct esp_engine *e, struct esp_sa *sa, uint64_t seq_limit)
{
    int rc;

    if (!sa || sa->dir != ESP_OUT || sa->closing || seq_limit <= sa->limit_asked)
        return -EINVAL;
    rc = give(soft(e), sa, (struct soft_order){.c.op = SOFT_LEASE, .seq_limit = seq_limit});
    if (!rc)
        sa->limit_asked = seq_limit;
    return rc;
}

// Is this destination's SPI another inbound SA's?
static bool taken(const struct soft_engine *s, const struct esp_sa *sa, const struct esp_endpoint *to)
{
    for (const struct esp_sa *i = s->all; i; i = i->next)
        if (i != sa && i->dir == ESP_IN && !i->closing && i->spi == sa->spi && i->asked_ipv6 == to->ipv6 &&
            !memcmp(i->asked_dst, to->dst, ip_addr_octets(to->ipv6)))
            return true;
    return false;
}

static int soft_sa_endpoint(struct esp_engine *e, struct esp_sa *sa, const struct esp_endpoint *to,
                            struct esp_error *why)
{
    int rc;

    if (!sa || sa->closing)
        return esp_fail(why, -EINVAL, "sa", "there is no such SA any more");
    if (endpoint_check(to, sa->dir, why))
        return -EINVAL;
    if (sa->is_ah && to->udp_encap)
        return esp_fail(why, -EINVAL, "udp_encap", "AH has no UDP encapsulation: there must be no NAT");
    if (sa->dir == ESP_IN && taken(soft(e), sa, to))
        return esp_fail(why, -EEXIST, "spi", "an SA with SPI 0x%08x and this destination exists", sa->spi);
    rc = give(soft(e), sa, (struct soft_order){.c.op = SOFT_ENDPOINT, .to = *to});
    if (rc)
        return esp_fail(why, rc, "sa", "out of memory");
    soft_sa_ask_endpoint(sa, to);
    return 0;
}

// The software engine never loses a job, so what it knows is exact at every moment; but only the SA's own
// thread knows it.
static int soft_sa_handover(struct esp_engine *e, struct esp_sa *sa, struct esp_sa_params *p)
{
    if (!sa || sa->dir != p->dir || soft(e)->threads)
        return -EINVAL;
    soft_sa_hand_over(sa, &p->seq, p->seen);
    return 0;
}

// The queues' answers, in each queue's order, behind those that wait already.
static void collect(struct soft_engine *s)
{
    struct event_node *oldest = NULL, *next;

    if (!s->threads)
        soft_queue_flush(s->queue[0]);
    for (struct event_node *n = atomic_exchange(&s->done, NULL); n; n = next) {
        next = n->next;
        n->next = oldest;
        oldest = n;
    }
    for (; oldest; oldest = next) {
        next = oldest->next;
        event_queue_push(&s->events, oldest);
    }
}

// Takes the node too. One without an event is a deleted SA's, whose jobs are all back: none is submitted for
// it any more, its queue does not know it, and what it knows, drops too, is exact now.
static void take_event(struct soft_engine *s, struct event_node *node, struct esp_event *ev)
{
    struct esp_sa *sa =
        node->ev ? node->ev->sa : (struct esp_sa *)(void *)((char *)node - offsetof(struct esp_sa, deleted));

    *ev = (struct esp_event){0};
    if (node->ev)
        *ev = *node->ev;
    else
        soft_queue_answer(sa, ESP_EVENT_SA_DELETED, ev);
    event_node_free(node);
    if (ev->type == ESP_EVENT_SA_REFUSED)
        ev->sa = NULL;
    if (ev->type == ESP_EVENT_SA_DELETED || ev->type == ESP_EVENT_SA_REFUSED) {
        unlink_sa(s, sa);
        soft_sa_free(sa);
    }
}

static unsigned soft_events(struct esp_engine *e, struct esp_event *ev, unsigned max)
{
    struct soft_engine *s = soft(e);
    struct event_node *node;
    uint64_t value;
    unsigned n = 0;

    if (s->threads)
        (void)!read(e->fd, &value, sizeof(value));
    collect(s);
    while (n < max && (node = event_queue_pop(&s->events, UINT64_MAX)))
        take_event(s, node, &ev[n++]);
    if (s->threads && s->events.first) { // for the next call
        value = 1;
        (void)!write(e->fd, &value, sizeof(value));
    }
    return n;
}

static void soft_tick(struct esp_engine *e, uint64_t now_ms)
{
    (void)e;
    (void)now_ms; // nothing here can hang
}

static uint64_t total(const struct soft_engine *s, int op, int status)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < s->queues; i++)
        n += status < 0 ? s->queue[i]->bytes[op] : s->queue[i]->count[op][status];
    return n;
}

static int soft_counters(struct esp_engine *e, char *buf, size_t size)
{
    static const char *const op[2] = {"enc", "dec"};
    struct soft_engine *s = soft(e);
    unsigned inbound = 0;
    size_t at = 0;

    for (unsigned i = 0; i < s->queues; i++)
        inbound += s->queue[i]->inbound;
#define PUT(...) at += (size_t)snprintf(at < size ? buf + at : NULL, at < size ? size - at : 0, __VA_ARGS__)
    PUT("sas_inbound %u\n", inbound);
    for (int o = 0; o < 2; o++) {
        PUT("%s_packets %llu\n", op[o], (unsigned long long)total(s, o, ESP_STATUS_OK));
        PUT("%s_bytes %llu\n", op[o], (unsigned long long)total(s, o, -1));
        for (int st = 1; st < SOFT_STATUSES; st++)
            if (total(s, o, st))
                PUT("%s_drop_%s %llu\n", op[o], esp_status_name((enum esp_status)st),
                    (unsigned long long)total(s, o, st));
    }
#undef PUT
    return (int)at;
}

static void soft_destroy(struct esp_engine *e)
{
    struct soft_engine *s = soft(e);

    for (struct event_node *n = atomic_load(&s->done), *next; n; n = next) {
        next = n->next;
        event_node_free(n);
    }
    event_queue_clear(&s->events);
    for (unsigned i = 0; s->queue && i < s->queues; i++)
        if (s->queue[i])
            soft_queue_forget(s->queue[i]);
    for (struct esp_sa *sa = s->all, *next; sa; sa = next) {
        next = sa->next;
        soft_sa_free(sa);
    }
    for (unsigned i = 0; s->queue && i < s->queues; i++)
        soft_queue_free(s->queue[i]);
    free(s->queue);
    free(s->list);
    if (e->fd >= 0)
        close(e->fd);
    free(s);
}

static const struct esp_engine_ops soft_ops = {
    .capabilities = soft_capabilities,
    .capable = soft_capable,
    .attach_pool = soft_attach_pool,
    .sa_add = soft_sa_add,
    .sa_delete = soft_sa_delete,
    .sa_query = soft_sa_query,
    .sa_lease = soft_sa_lease,
    .sa_endpoint = soft_sa_endpoint,
    .sa_handover = soft_sa_handover,
    .events = soft_events,
    .tick = soft_tick,
    .counters = soft_counters,
    .destroy = soft_destroy,
};

// Takes mb, which is the first queue's; the others have one each.
static int open_queues(struct soft_engine *s, struct mb *mb, struct esp_error *err)
{
    bool more = mb != NULL;

    s->queue = calloc(s->queues, sizeof(struct soft_queue *));
    s->list = calloc(s->queues, sizeof(struct esp_queue *));
    if (!s->queue || !s->list) {
        mb_close(mb);
        return esp_fail(err, -ENOMEM, "software", "out of memory");
    }
    s->base.queue = s->list;
    for (unsigned i = 0; i < s->queues; i++) {
        s->queue[i] = soft_queue_new(s, i, mb, err);
        mb = more && i + 1 < s->queues ? mb_open() : NULL;
        if (!s->queue[i]) {
            mb_close(mb);
            return err ? err->code : -ENOMEM;
        }
        s->list[i] = &s->queue[i]->base;
    }
    return 0;
}

// Takes mb, also when it fails.
static int open_soft(struct esp_engine **e, unsigned queues, bool threads, struct mb *mb,
                     struct esp_error *err)
{
    struct soft_engine *s = calloc(1, sizeof(*s));
    int rc;

    *e = NULL;
    if (!s) {
        mb_close(mb);
        return esp_fail(err, -ENOMEM, "software", "out of memory");
    }
    s->base.ops = &soft_ops;
    s->base.kind = "software";
    snprintf(s->base.name, sizeof(s->base.name), "%s%s", mb ? "ipsec-mb " : "openssl",
             mb ? mb_version() : "");
    s->queues = queues;
    s->threads = threads;
    event_queue_init(&s->events);
    s->base.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (s->base.fd < 0) {
        rc = esp_fail(err, -errno, "software", "cannot set up the software engine: %s", strerror(errno));
        mb_close(mb);
    } else {
        rc = open_queues(s, mb, err);
    }
    if (rc) {
        soft_destroy(&s->base);
        return rc;
    }
    *e = &s->base;
    return 0;
}

int esp_soft_open(struct esp_engine **e, struct esp_error *err)
{
    return open_soft(e, 1, false, crypt_mb_if_faster(), err);
}

int esp_soft_open_queues(struct esp_engine **e, unsigned queues, struct esp_error *err)
{
    *e = NULL;
    if (queues == 0 || queues > MAX_QUEUES)
        return esp_fail(err, -EINVAL, "queues", "1 to %d queues are possible, %u were asked for", MAX_QUEUES,
                        queues);
    return open_soft(e, queues, true, crypt_mb_if_faster(), err);
}

int soft_open_openssl(struct esp_engine **e, struct esp_error *err)
{
    return open_soft(e, 1, false, NULL, err);
}
