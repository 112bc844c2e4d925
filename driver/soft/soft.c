// SPDX-License-Identifier: Apache-2.0
// The software engine behind engine.h: submit does the work at once, poll hands the jobs back in order.
// Answers to SA commands are events; a deleted SA is freed once every job that names it has been returned.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "driver/common/event_queue.h"
#include "driver/common/params.h"
#include "driver/soft/sa.h"

enum { RING = 1024, STATUSES = 128, SCRATCH = 65536 };
_Static_assert((RING & (RING - 1)) == 0, "the ring is a power of two");

struct soft_engine {
    struct esp_engine base;
    struct spi_table spis;
    struct esp_job *ring[RING];
    uint64_t submitted, returned; // jobs taken and handed back in all
    struct event_queue events;
    struct esp_sa *all;
    uint64_t count[2][STATUSES], bytes[2]; // by operation
    uint8_t *scratch;
};

static struct soft_engine *soft(struct esp_engine *e)
{
    return (struct soft_engine *)e;
}

static bool work_waits(const struct soft_engine *s)
{
    return s->submitted != s->returned || event_queue_ready(&s->events, s->returned);
}

static void soft_capabilities(struct esp_engine *e, struct esp_capabilities *caps)
{
    (void)e;
    *caps = (struct esp_capabilities){
        .flags = ESP_CAP_LOOKASIDE | ESP_CAP_ENDPOINT | ESP_CAP_UDP_ENCAP | ESP_CAP_ESN,
        .protocols = 1u << ESP_PROTOCOL_ESP,
        .modes = 1u << ESP_TUNNEL | 1u << ESP_TRANSPORT,
        .outer = ESP_FAMILY_IPV4 | ESP_FAMILY_IPV6,
        .inner = ESP_FAMILY_IPV4 | ESP_FAMILY_IPV6,
#define X(sym, name, key, salt, iv, icv) | 1u << ESP_ALG_##sym
        .algs = 0 ESP_ALG_LIST(X),
#undef X
        .integs = 1u << ESP_INTEG_NONE,
        .window_max = ESP_MAX_WINDOW,
        .max_packet = MAX_IP,
        .queues = 1,
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

static void hand_over(const struct esp_sa *sa, uint64_t *seq, uint64_t *seen)
{
    *seq = sa->dir == ESP_OUT ? sa->next_seq : sa->window.top;
    if (sa->dir == ESP_IN)
        window_export(&sa->window, seen);
}

static struct event_node *answer(struct esp_sa *sa, enum esp_event_type type, struct event_node *n)
{
    n->ev.type = type;
    n->ev.sa = sa;
    n->ev.cookie = sa->cookie;
    n->ev.stats.last_seq = sa->dir == ESP_OUT ? sa->next_seq - 1 : sa->window.top;
    n->ev.stats.packets = sa->packets;
    n->ev.stats.bytes = sa->bytes;
    n->ev.stats.drops = sa->drops;
    if (type == ESP_EVENT_SA_DELETED) // the work is done already: nothing can follow
        hand_over(sa, &n->ev.next.seq, n->ev.next.seen);
    return n;
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
    struct event_node *n;
    struct esp_sa *sa;
    int rc;

    *out = NULL;
    rc = params_check(p, err);
    if (!rc)
        rc = soft_capable(e, p, err);
    if (rc)
        return rc;
    n = event_node_new();
    sa = n ? soft_sa_new(p, err) : NULL;
    if (!sa) {
        free(n);
        return -ENOMEM;
    }
    sa->cookie = cookie;
    rc = p->dir == ESP_IN ? spi_table_add(&s->spis, sa) : 0;
    answer(sa, rc ? ESP_EVENT_SA_REFUSED : ESP_EVENT_SA_ADDED, n);
    if (rc) {
        soft_sa_free(sa);
        sa = n->ev.sa = NULL;
        n->ev.status = rc == -EEXIST ? ESP_STATUS_SPI_EXISTS : ESP_STATUS_BUCKET_FULL;
        esp_fail(&n->ev.error, rc, "spi",
                 rc == -EEXIST ? "an SA with SPI 0x%08x and this destination exists"
                               : "no memory for SPI 0x%08x",
                 p->spi);
    } else {
        link_sa(s, sa);
    }
    event_queue_push(&s->events, n);
    *out = sa;
    return 0;
}

static int push_answer(struct soft_engine *s, struct esp_sa *sa, enum esp_event_type type, uint64_t after)
{
    struct event_node *n = event_node_new();

    if (!n)
        return -ENOMEM;
    answer(sa, type, n)->after = after;
    event_queue_push(&s->events, n);
    return 0;
}

static int soft_sa_delete(struct esp_engine *e, struct esp_sa *sa)
{
    struct soft_engine *s = soft(e);
    int rc;

    if (!sa || sa->draining)
        return -EINVAL;
    rc = push_answer(s, sa, ESP_EVENT_SA_DELETED, s->submitted);
    if (rc)
        return rc;
    sa->draining = true;
    if (sa->dir == ESP_IN)
        spi_table_remove(&s->spis, sa);
    aead_free(&sa->aead); // the work is done already: the key can go at once
    return 0;
}

static int soft_sa_query(struct esp_engine *e, struct esp_sa *sa)
{
    return sa ? push_answer(soft(e), sa, ESP_EVENT_SA_STATS, 0) : -EINVAL;
}

static int soft_sa_lease(struct esp_engine *e, struct esp_sa *sa, uint64_t seq_limit)
{
    int rc;

    if (!sa || sa->dir != ESP_OUT || sa->draining || seq_limit <= sa->seq_limit)
        return -EINVAL;
    rc = push_answer(soft(e), sa, ESP_EVENT_SA_LEASED, 0);
    if (rc)
        return rc;
    sa->seq_limit = seq_limit;
    sa->lease_low_from = lease_low_mark(sa->next_seq, seq_limit);
    return 0;
}

// The software engine never loses a job, so what it knows is exact at every moment.
static int soft_sa_handover(struct esp_engine *e, struct esp_sa *sa, struct esp_sa_params *p)
{
    (void)e;
    if (!sa || sa->dir != p->dir)
        return -EINVAL;
    hand_over(sa, &p->seq, p->seen);
    return 0;
}

static int soft_sa_endpoint(struct esp_engine *e, struct esp_sa *sa, const struct esp_endpoint *to,
                            struct esp_error *why)
{
    if (!sa || sa->draining)
        return esp_fail(why, -EINVAL, "sa", "there is no such SA any more");
    if (endpoint_check(to, sa->dir, why))
        return -EINVAL;
    if (sa->dir == ESP_OUT) {
        soft_sa_set_endpoint(sa, to);
        return 0;
    }
    return spi_table_move(&soft(e)->spis, sa, to, why);
}

// Drops, and the flags that ask the owner for action whatever became of the packet.
static void account(struct esp_job *job, bool encap)
{
    struct esp_sa *sa = job->sa;

    if (job->status)
        sa->drops++;
    job->soft_limit = sa_soft(sa);
    job->lease_low = encap && sa->next_seq > sa->lease_low_from;
}

static void run_job(struct soft_engine *s, struct esp_job *job)
{
    bool encap = job->op == ESP_ENCAP;

    job->out_len = 0;
    job->seq = 0;
    job->soft_limit = job->lease_low = job->src_changed = false;
    job->status = encap ? soft_encap(job->sa, job) : soft_decap(&s->spis, job, s->scratch);
    if (job->sa && job->status != ESP_STATUS_SA_INVALID)
        account(job, encap);
    s->count[!encap][job->status % STATUSES]++;
    s->bytes[!encap] += job->out_len;
}

static unsigned soft_submit(struct esp_engine *e, struct esp_job **jobs, unsigned n)
{
    struct soft_engine *s = soft(e);
    unsigned taken = 0;

    while (taken < n && s->submitted - s->returned < RING) {
        run_job(s, jobs[taken]);
        s->ring[s->submitted++ & (RING - 1)] = jobs[taken++];
    }
    return taken;
}

static unsigned soft_poll(struct esp_engine *e, struct esp_job **jobs, unsigned max)
{
    struct soft_engine *s = soft(e);
    unsigned n = 0;

    while (n < max && s->returned != s->submitted)
        jobs[n++] = s->ring[s->returned++ & (RING - 1)];
    return n;
}

static unsigned soft_events(struct esp_engine *e, struct esp_event *ev, unsigned max)
{
    struct soft_engine *s = soft(e);
    unsigned n = 0;

    while (n < max) {
        struct event_node *node = event_queue_pop(&s->events, s->returned);
        if (!node)
            break;
        if (node->ev.type == ESP_EVENT_SA_DELETED) {
            unlink_sa(s, node->ev.sa);
            soft_sa_free(node->ev.sa);
        }
        ev[n++] = node->ev;
        free(node);
    }
    return n;
}

static bool soft_arm(struct esp_engine *e)
{
    return work_waits(soft(e)); // whoever gives it work looks here afterwards: fd has nothing to tell
}

static void soft_tick(struct esp_engine *e, uint64_t now_ms)
{
    (void)e;
    (void)now_ms; // nothing here can hang
}

static int soft_counters(struct esp_engine *e, char *buf, size_t size)
{
    static const char *const op[2] = {"enc", "dec"};
    struct soft_engine *s = soft(e);
    size_t at = 0;

#define PUT(...) at += (size_t)snprintf(at < size ? buf + at : NULL, at < size ? size - at : 0, __VA_ARGS__)
    PUT("sas_inbound %zu\n", s->spis.count);
    for (int o = 0; o < 2; o++) {
        PUT("%s_packets %llu\n", op[o], (unsigned long long)s->count[o][ESP_STATUS_OK]);
        PUT("%s_bytes %llu\n", op[o], (unsigned long long)s->bytes[o]);
        for (int st = 1; st < STATUSES; st++)
            if (s->count[o][st])
                PUT("%s_drop_%s %llu\n", op[o], esp_status_name((enum esp_status)st),
                    (unsigned long long)s->count[o][st]);
    }
#undef PUT
    return (int)at;
}

static void soft_destroy(struct esp_engine *e)
{
    struct soft_engine *s = soft(e);

    event_queue_clear(&s->events);
    for (struct esp_sa *sa = s->all, *next; sa; sa = next) {
        next = sa->next;
        soft_sa_free(sa);
    }
    spi_table_free(&s->spis);
    if (s->scratch) {
        OPENSSL_cleanse(s->scratch, SCRATCH);
        free(s->scratch);
    }
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
    .submit = soft_submit,
    .poll = soft_poll,
    .events = soft_events,
    .arm = soft_arm,
    .tick = soft_tick,
    .counters = soft_counters,
    .destroy = soft_destroy,
};

int esp_soft_open(struct esp_engine **e, struct esp_error *err)
{
    struct soft_engine *s = calloc(1, sizeof(*s));

    *e = NULL;
    if (!s)
        return esp_fail(err, -ENOMEM, "software", "out of memory");
    s->base.ops = &soft_ops;
    s->base.kind = "software";
    snprintf(s->base.name, sizeof(s->base.name), "openssl");
    event_queue_init(&s->events);
    s->base.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    s->scratch = malloc(SCRATCH);
    if (s->base.fd < 0 || !s->scratch || spi_table_init(&s->spis)) {
        int rc = s->base.fd < 0 ? -errno : -ENOMEM;
        soft_destroy(&s->base);
        return esp_fail(err, rc, "software", "cannot set up the software engine: %s", strerror(-rc));
    }
    *e = &s->base;
    return 0;
}
