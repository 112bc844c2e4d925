// SPDX-License-Identifier: Apache-2.0
// The card engine of the tests of path, and a kernel that agrees to everything.
#include "tests/unit/path_fake.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "ctrl/path/kernel_watch.h"

static struct fake_card *plugged;

static struct fake_card *card(struct esp_engine *e)
{
    return (struct fake_card *)e;
}

static void tell(struct fake_card *f, enum esp_event_type type, struct fake_sa *sa, enum esp_status status)
{
    struct esp_event *ev = &f->events[f->event_tail++ % FAKE_EVENTS];
    *ev = (struct esp_event){.type = type, .status = status};
    if (sa) {
        ev->sa = (struct esp_sa *)sa;
        ev->cookie = sa->cookie;
    }
}

static void capabilities(struct esp_engine *e, struct esp_capabilities *caps)
{
    *caps = (struct esp_capabilities){.sas = card(e)->slots ? card(e)->slots : UINT32_MAX};
}

static unsigned in_use(const struct fake_card *f, enum esp_dir dir)
{
    unsigned n = 0;
    for (unsigned i = 0; i < f->sa_count; i++)
        n += f->sas[i]->live && f->sas[i]->params.dir == dir;
    return n;
}

static int capable(struct esp_engine *e, const struct esp_sa_params *p, struct esp_error *why)
{
    (void)p;
    return card(e)->capable_rc ? esp_fail(why, card(e)->capable_rc, "alg", "the test does not want it") : 0;
}

static int attach_pool(struct esp_engine *e, struct esp_pool *pool, struct esp_error *err)
{
    (void)e;
    (void)pool;
    (void)err;
    return 0;
}

static int sa_add(struct esp_engine *e, const struct esp_sa_params *p, void *cookie, struct esp_sa **out,
                  struct esp_error *err)
{
    struct fake_card *f = card(e);
    struct esp_event ev;
    struct fake_sa *sa;
    *out = NULL;
    if (f->failed)
        return esp_fail(err, -ENODEV, e->name, "the card has failed");
    if (f->slots && in_use(f, p->dir) >= f->slots)
        return esp_fail(err, -ENOSPC, e->name, "all %u SA slots of this direction are in use", f->slots);
    if (f->add_rc_times[p->dir]) {
        f->add_rc_times[p->dir] -= f->add_rc_times[p->dir] > 0;
        return esp_fail(err, f->add_rc[p->dir], "sa", "the test says no");
    }
    sa = calloc(1, sizeof(*sa));
    if (!sa || f->sa_count == 64 || f->inner->ops->sa_add(f->inner, p, sa, &sa->inner, err) < 0)
        abort();
    while (f->inner->ops->events(f->inner, &ev, 1)) // at once, inside
        ;
    sa->card = f;
    sa->params = *p;
    sa->cookie = cookie;
    sa->live = !f->refuse[p->dir];
    f->sas[f->sa_count++] = sa;
    if (p->dir == ESP_OUT && p->seq_limit > f->last_limit)
        f->last_limit = p->seq_limit;
    tell(f, sa->live ? ESP_EVENT_SA_ADDED : ESP_EVENT_SA_REFUSED, sa, f->refuse[p->dir]);
    *out = (struct esp_sa *)sa;
    return 0;
}

static int sa_delete(struct esp_engine *e, struct esp_sa *s)
{
    struct fake_card *f = card(e);
    struct fake_sa *sa = (struct fake_sa *)s;
    if (f->failed)
        return -ENODEV;
    if (!sa || !sa->live || sa->deleting)
        return -EINVAL;
    sa->deleting = true;
    f->deletes++;
    return 0; // told by events() once its jobs are back
}

static int sa_query(struct esp_engine *e, struct esp_sa *s)
{
    (void)e;
    (void)s;
    return -EINVAL;
}

static int sa_lease(struct esp_engine *e, struct esp_sa *s, uint64_t limit)
{
    struct fake_card *f = card(e);
    struct fake_sa *sa = (struct fake_sa *)s;
    if (f->failed)
        return -ENODEV;
    if (f->lease_rc)
        return f->lease_rc;
    f->leases++;
    if (limit > f->last_limit)
        f->last_limit = limit;
    sa->params.seq_limit = limit;
    tell(f, ESP_EVENT_SA_LEASED, sa, f->lease_status); // it holds from then on
    return 0;
}

static int sa_endpoint(struct esp_engine *e, struct esp_sa *s, const struct esp_endpoint *to,
                       struct esp_error *why)
{
    struct fake_card *f = card(e);
    struct fake_sa *sa = (struct fake_sa *)s;
    if (!f->moves)
        return esp_fail(why, -EOPNOTSUPP, "endpoint", "the test's card changes nothing in place");
    if (!f->refuse_ends)
        return f->inner->ops->sa_endpoint(f->inner, sa->inner, to, why);
    tell(f, ESP_EVENT_SA_LEASED, sa, f->refuse_ends);
    return 0;
}

static int sa_handover(struct esp_engine *e, struct esp_sa *s, struct esp_sa_params *p)
{
    struct fake_card *f = card(e);
    struct fake_sa *sa = (struct fake_sa *)s;
    if (!f->failed || f->mute || (p->dir == ESP_OUT && f->loud))
        return -EINVAL;
    if (p->dir == ESP_IN)
        return f->inner->ops->sa_handover(f->inner, sa->inner, p);
    p->seq = sa->params.seq_limit;
    return 0;
}

static unsigned submit(struct esp_queue *q, struct esp_job **jobs, unsigned n)
{
    struct fake_card *f = card(q->engine);
    unsigned taken = 0;
    while (!f->failed && taken < n && f->job_tail - f->job_head < FAKE_JOBS)
        f->jobs[f->job_tail++ % FAKE_JOBS] = jobs[taken++];
    return taken;
}

static void run(struct fake_card *f, struct esp_job *job)
{
    struct fake_sa *sa = (struct fake_sa *)job->sa;
    struct esp_job *back;
    if (job->op == ESP_ENCAP)
        job->sa = sa->inner;
    if (f->lies) {
        job->status = ESP_STATUS_OK;
        job->out_len = 100;
        job->seq = 1;
    } else {
        esp_submit(f->inner, &job, 1);
        esp_poll(f->inner, &back, 1);
    }
    job->sa = job->op == ESP_ENCAP ? (struct esp_sa *)sa : NULL;
}

static unsigned poll_jobs(struct esp_queue *q, struct esp_job **jobs, unsigned max)
{
    struct fake_card *f = card(q->engine);
    unsigned n = 0;
    while (n < max && f->job_head != f->job_tail && (f->failed || !f->hold_jobs || f->jobs_left)) {
        f->jobs_left -= f->jobs_left > 0;
        struct esp_job *job = f->jobs[f->job_head++ % FAKE_JOBS];
        if (f->failed || f->stopped)
            job->status = ESP_STATUS_ABORTED;
        else if (f->expired && job->op == ESP_ENCAP)
            job->status = ESP_STATUS_LEASE_EXPIRED;
        else if (f->forgets && job->op == ESP_DECAP)
            job->status = ESP_STATUS_NO_SA;
        else
            run(f, job);
        f->given[f->given_count++ % FAKE_JOBS] = *job;
        jobs[n++] = job;
    }
    return n;
}

static void farewells(struct fake_card *f)
{
    for (unsigned i = 0; i < f->sa_count; i++) {
        struct fake_sa *sa = f->sas[i];
        struct esp_event ev;
        if (!sa->live || !sa->deleting || f->failed || f->job_head != f->job_tail)
            continue;
        sa->live = false;
        tell(f, ESP_EVENT_SA_DELETED, sa, ESP_STATUS_OK);
        f->inner->ops->sa_delete(f->inner, sa->inner);
        f->inner->ops->events(f->inner, &ev, 1);
        f->events[(f->event_tail - 1) % FAKE_EVENTS].stats = ev.stats;
        f->events[(f->event_tail - 1) % FAKE_EVENTS].next = ev.next;
    }
}

static unsigned events(struct esp_engine *e, struct esp_event *ev, unsigned max)
{
    struct fake_card *f = card(e);
    unsigned n = 0;
    farewells(f);
    while (n < max && f->event_head != f->event_tail && (f->failed || !f->hold_events)) {
        struct esp_event *next = &f->events[f->event_head++ % FAKE_EVENTS], ignored;
        struct fake_sa *sa = (struct fake_sa *)next->sa;
        if (next->type == ESP_EVENT_SA_LEASED && !next->status && !f->failed &&
            f->inner->ops->sa_lease(f->inner, sa->inner, sa->params.seq_limit) == 0)
            f->inner->ops->events(f->inner, &ignored, 1);
        ev[n++] = *next;
    }
    return n;
}

static bool arm(struct esp_queue *q)
{
    (void)q;
    return false;
}

static void tick(struct esp_engine *e, uint64_t now_ms)
{
    (void)e;
    (void)now_ms;
}

static int counters(struct esp_engine *e, char *buf, size_t size)
{
    (void)e;
    return snprintf(buf, size, "fake 1\n");
}

static void destroy(struct esp_engine *e)
{
    struct fake_card *f = card(e);
    for (unsigned i = 0; i < f->sa_count; i++)
        free(f->sas[i]);
    f->inner->ops->destroy(f->inner);
    close(e->fd);
    f->sa_count = 0;
    f->destroyed = true;
}

static const struct esp_queue_ops queue_ops = {submit, poll_jobs, arm};
static const struct esp_engine_ops ops = {
    .capabilities = capabilities,
    .capable = capable,
    .attach_pool = attach_pool,
    .sa_add = sa_add,
    .sa_delete = sa_delete,
    .sa_query = sa_query,
    .sa_lease = sa_lease,
    .sa_endpoint = sa_endpoint,
    .sa_handover = sa_handover,
    .events = events,
    .tick = tick,
    .counters = counters,
    .destroy = destroy,
};

void fake_init(struct fake_card *f)
{
    memset(f, 0, sizeof(*f));
    f->base = (struct esp_engine){
        .ops = &ops, .kind = "card", .name = "fake", .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    f->queue = (struct esp_queue){.ops = &queue_ops, .engine = &f->base, .fd = f->base.fd};
    f->list[0] = &f->queue;
    f->base.queue = f->list;
    if (esp_soft_open(&f->inner, NULL) < 0)
        abort();
}

void fake_plug(struct fake_card *f)
{
    plugged = f;
}

void fake_fail(struct fake_card *f)
{
    f->failed = true;
    tell(f, ESP_EVENT_FAILED, NULL, ESP_STATUS_ABORTED);
    f->events[(f->event_tail - 1) % FAKE_EVENTS].silent = !f->loud;
    esp_fail(&f->events[(f->event_tail - 1) % FAKE_EVENTS].error, -ENODEV, "fake", "pulled by the test");
}

void fake_scribble(struct fake_card *f)
{
    for (unsigned i = 0; i < f->given_count && i < FAKE_JOBS; i++) {
        memset(f->given[i].in, 0x45, 64);
        memset(f->given[i].out, 0x45, 64);
    }
}

void fake_lose_events(struct fake_card *f)
{
    f->event_head = f->event_tail;
}

void fake_stale_events(struct fake_card *f)
{
    for (unsigned i = 0; i < f->sa_count; i++)
        tell(f, ESP_EVENT_SA_DELETED, f->sas[i], ESP_STATUS_OK);
}

unsigned fake_live(const struct fake_card *f)
{
    unsigned n = 0;
    for (unsigned i = 0; i < f->sa_count; i++)
        n += f->sas[i]->live;
    return n;
}

unsigned fake_jobs(const struct fake_card *f)
{
    return f->job_tail - f->job_head;
}

atomic_bool fake_open_held;
int fake_open_rc;
unsigned fake_opens;

int esp_card_open(struct esp_engine **e, const struct esp_card_options *o, struct esp_error *err)
{
    fake_opens++;
    *e = NULL;
    while (atomic_load(&fake_open_held)) {
        if (o->give_up && atomic_load(o->give_up))
            return esp_fail(err, -ECANCELED, "card", "given up");
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    if (fake_open_rc)
        return esp_fail(err, fake_open_rc, "self-test", "a packet did not come back, try %u", fake_opens);
    *e = plugged ? &plugged->base : NULL;
    return plugged ? 0 : esp_fail(err, -ENODEV, "card", "none");
}

// ---- the kernel

int fake_routes, fake_blocks;
int fake_block_fails_in;
struct fake_change fake_changes[FAKE_CHANGES];
unsigned fake_change_count;

// One selector pair has several objects there; the block policy of its way out stands for them.
static bool counts_as_block(const struct kobj *o)
{
    return o->kind == KOBJ_XFRM && o->action == KXFRM_BLOCK && o->dir == KDIR_OUT;
}

static struct ts ts_of(const struct kobj *o, const uint8_t *addr, unsigned len)
{
    struct ts t = {.family = o->family, .proto = o->proto, .port_hi = 65535};
    unsigned bits = o->family == 6 ? 128 : 32;
    for (unsigned i = 0; i < bits; i++) {
        uint8_t bit = (uint8_t)(0x80 >> i % 8);
        t.lo[i / 8] |= i < len ? addr[i / 8] & bit : 0;
        t.hi[i / 8] |= i < len ? addr[i / 8] & bit : bit;
    }
    return t;
}

int fake_way, fake_way_to = 7;

static int kernel_change(const struct kobj *o, bool add)
{
    if (o->kind == KOBJ_ROUTE && add && o->dst_len == 16 && o->dst[0] == 10 && o->dst[1] == 2)
        fake_way = o->action == KROUTE_OUT ? (int)o->ifindex : 0;
    if (o->kind == KOBJ_ROUTE && o->action == KROUTE_TUN)
        fake_routes += add ? 1 : -1;
    if (!counts_as_block(o))
        return 0;
    if (add && fake_block_fails_in && --fake_block_fails_in == 0)
        return -ENOBUFS;
    fake_blocks += add ? 1 : -1;
    fake_changes[fake_change_count++ % FAKE_CHANGES] =
        (struct fake_change){add, ts_of(o, o->src, o->src_len), ts_of(o, o->dst, o->dst_len)};
    return 0;
}

static unsigned kernel_apply(struct kernel *k, struct kchange *c, unsigned n, struct esp_error *err)
{
    unsigned failed = 0;
    (void)k;
    for (unsigned i = 0; i < n; i++) {
        c[i].rc = kernel_change(c[i].o, c[i].add);
        if (c[i].rc < 0 && failed++ == 0)
            esp_fail(err, c[i].rc, "kernel", "the test's kernel has no room");
    }
    return failed;
}

static int kernel_dump(struct kernel *k, void (*each)(void *ctx, const struct kobj *o), void *ctx,
                       struct esp_error *err)
{
    (void)k, (void)each, (void)ctx, (void)err;
    return 0;
}

static int kernel_addresses(struct kernel *k, void (*each)(void *ctx, const struct addr *a, uint8_t len),
                            void *ctx)
{
    (void)k, (void)each, (void)ctx;
    return 0;
}

static int kernel_source(struct kernel *k, uint8_t family, struct addr *out)
{
    (void)k, (void)family, (void)out;
    return -ENETUNREACH;
}

int fake_addresses, fake_address_rc;
static int kernel_address(struct kernel *k, const struct addr *a, bool add)
{
    (void)k, (void)a;
    if (fake_address_rc == 0)
        fake_addresses += add ? 1 : -1;
    return fake_address_rc;
}

uint64_t fake_tun_lost;
static int kernel_tun_lost(struct kernel *k, uint64_t *out)
{
    (void)k;
    *out = fake_tun_lost;
    return 0;
}

int (*fake_kernel_engine)(struct esp_engine **e, struct esp_error *err);
static int kernel_engine(struct kernel *k, struct esp_engine **e, struct esp_error *err)
{
    (void)k;
    return fake_kernel_engine ? fake_kernel_engine(e, err)
                              : esp_fail(err, -ENODEV, "kernel", "there is none");
}

static int kernel_way_to(struct kernel *k, const struct addr *a)
{
    (void)k, (void)a;
    return fake_way_to;
}

struct kernel *fake_kernel(void)
{
    static const struct kernel_ops kernel_ops = {.apply = kernel_apply,
                                                 .dump = kernel_dump,
                                                 .addresses = kernel_addresses,
                                                 .default_source = kernel_source,
                                                 .address = kernel_address,
                                                 .tun_lost = kernel_tun_lost,
                                                 .engine = kernel_engine,
                                                 .way_to = kernel_way_to};
    static struct kernel k = {.ops = &kernel_ops, .fd = -1, .tables = 1000};
    return &k;
}

void kernel_watch_changed(struct path *p)
{
    (void)p;
}

void kernel_watch_edited(struct path *p)
{
    (void)p;
}
