// SPDX-License-Identifier: Apache-2.0
// The workbench's engine in software: libespalier's software engine behind its public header, one burst at a
// time.
#include "sim/workbench/engine.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "sim/workbench/util.h"

enum { DEPTH = 64, POLLS = 1000000 };

struct soft {
    struct wb_engine base;
    struct esp_engine *engine;
    struct esp_pool *pool;
    struct esp_job jobs[DEPTH];
    struct esp_sa *sa[WB_MAX_SAS][2];
};

static struct soft *soft(struct wb_engine *e)
{
    return (struct soft *)e;
}

static void fill_params(struct esp_sa_params *p, const struct sad_state *st, enum esp_dir dir)
{
    memset(p, 0, sizeof(*p));
    p->dir = dir;
    p->mode = st->mode;
    p->alg = st->alg;
    p->spi = st->spi;
    memcpy(p->key, st->key, st->key_len);
    memcpy(p->salt, st->salt, sizeof(p->salt));
    p->esn = st->esn;
    p->udp_encap = st->udp;
    p->df_clear = st->df_clear;
    p->no_dscp_copy = st->no_dscp_copy;
    p->no_ecn = st->no_ecn;
    p->dscp_decap = st->dscp_decap;
    p->ttl = WB_OUTER_TTL;
    p->ipv6 = st->ipv6;
    p->inner = st->inner;
    memcpy(p->src, st->src, sizeof(p->src));
    memcpy(p->dst, st->dst, sizeof(p->dst));
    p->sport = st->sport;
    p->dport = st->dport;
    p->window = dir == ESP_IN ? st->window : 0;
    p->tfc = dir == ESP_IN ? 0 : st->tfc;
    p->seq = dir == ESP_IN ? st->last_in : st->last_out + 1;
    p->seq_limit = dir == ESP_IN ? 0 : UINT64_MAX;
    p->seen[0] = dir == ESP_IN && st->last_in > 0;
    p->soft_bytes = st->soft_bytes;
    p->hard_bytes = st->hard_bytes;
    p->soft_packets = st->soft_packets;
    p->hard_packets = st->hard_packets;
}

// The next event of this type; a refusal ends the wait.
static int await(struct soft *s, enum esp_event_type type, struct esp_event *ev, struct esp_error *err)
{
    for (unsigned i = 0; i < POLLS; i++) {
        if (s->engine->ops->events(s->engine, ev, 1) == 0)
            continue;
        if (ev->type == type)
            return 0;
        if (ev->type == ESP_EVENT_SA_REFUSED || ev->type == ESP_EVENT_FAILED) {
            *err = ev->error;
            return err->code ? err->code : (err->code = -EINVAL);
        }
    }
    return esp_fail(err, -ETIMEDOUT, "soft", "the software engine gave no answer");
}

static int soft_add(struct wb_engine *e, unsigned index, const struct sad_state *st, struct esp_error *err)
{
    struct soft *s = soft(e);
    struct esp_sa_params p;
    struct esp_event ev;
    int ret = 0;

    for (int dir = ESP_OUT; dir <= ESP_IN && ret == 0; dir++) {
        fill_params(&p, st, dir);
        ret = s->engine->ops->sa_add(s->engine, &p, (void *)(uintptr_t)index, &s->sa[index][dir], err);
        if (ret == 0)
            ret = await(s, ESP_EVENT_SA_ADDED, &ev, err);
    }
    OPENSSL_cleanse(&p, sizeof(p));
    return ret;
}

static int soft_remove(struct wb_engine *e, unsigned index, struct esp_error *err)
{
    struct soft *s = soft(e);
    struct esp_event ev;
    int ret = 0;

    for (int dir = ESP_OUT; dir <= ESP_IN && ret == 0; dir++) {
        ret = s->engine->ops->sa_delete(s->engine, s->sa[index][dir]);
        ret = ret ? esp_fail(err, ret, "soft", "the SA cannot be deleted")
                  : await(s, ESP_EVENT_SA_DELETED, &ev, err);
        s->sa[index][dir] = NULL;
    }
    return ret;
}

static int soft_submit(struct wb_engine *e, struct wb_job *job, struct esp_error *err)
{
    struct soft *s = soft(e);
    struct esp_job *j = &s->jobs[job - e->jobs];

    *j = (struct esp_job){.op = job->encap ? ESP_ENCAP : ESP_DECAP,
                          .in = job->in,
                          .out = job->out,
                          .in_len = job->in_len,
                          .out_cap = WB_MAX_PACKET,
                          .cookie = job};
    if (job->encap)
        j->sa = s->sa[job->state][ESP_OUT];
    job->done = false;
    return esp_submit(s->engine, &j, 1) == 1 ? 0 : esp_fail(err, -EIO, "soft", "the engine took no job");
}

static unsigned index_of(const struct soft *s, const struct esp_sa *sa)
{
    for (unsigned i = 0; i < WB_MAX_SAS && sa; i++)
        if (s->sa[i][ESP_IN] == sa)
            return i;
    return UINT32_MAX;
}

static void finish(struct soft *s, const struct esp_job *j)
{
    struct wb_job *job = j->cookie;

    job->status = j->status;
    job->out_len = j->out_len;
    job->seq = j->seq;
    if (!job->encap)
        job->state = index_of(s, j->sa);
    job->done = true;
}

static int soft_wait(struct wb_engine *e, struct wb_job *job, struct esp_error *err)
{
    struct soft *s = soft(e);
    struct esp_job *j;

    for (unsigned i = 0; i < POLLS && !job->done; i++)
        if (esp_poll(s->engine, &j, 1) == 1)
            finish(s, j);
    return job->done ? 0 : esp_fail(err, -ETIMEDOUT, "soft", "the engine returned no job");
}

static int soft_stats(struct wb_engine *e, unsigned index, enum esp_dir dir, struct esp_sa_stats *out,
                      struct esp_error *err)
{
    struct soft *s = soft(e);
    struct esp_event ev;
    int ret = s->engine->ops->sa_query(s->engine, s->sa[index][dir]);

    if (ret != 0)
        return esp_fail(err, ret, "soft", "the SA cannot be queried");
    ret = await(s, ESP_EVENT_SA_STATS, &ev, err);
    if (ret == 0)
        *out = ev.stats;
    return ret;
}

static void soft_timing(struct wb_engine *e, struct wb_timing *t)
{
    (void)e;
    memset(t, 0, sizeof(*t));
}

static void soft_close(struct wb_engine *e)
{
    struct soft *s = soft(e);

    if (s->engine)
        s->engine->ops->destroy(s->engine);
    if (s->pool)
        esp_pool_destroy(s->pool);
    free(e->jobs);
    free(s);
}

static const struct wb_engine_ops soft_ops = {
    .add = soft_add,
    .remove = soft_remove,
    .submit = soft_submit,
    .wait = soft_wait,
    .stats = soft_stats,
    .timing = soft_timing,
    .close = soft_close,
};

int wb_soft_open(struct wb_engine **out, struct esp_error *err)
{
    struct soft *s = calloc(1, sizeof(*s));
    int ret;

    if (!s || !(s->base.jobs = calloc(DEPTH, sizeof(*s->base.jobs)))) {
        free(s);
        return esp_fail(err, -ENOMEM, "soft", "out of memory");
    }
    s->base.ops = &soft_ops;
    s->base.name = "soft";
    s->base.depth = DEPTH;
    ret = esp_soft_open(&s->engine, err);
    if (ret == 0)
        ret = esp_pool_create(&s->pool, 2 * DEPTH, WB_MAX_PACKET, err);
    if (ret == 0)
        ret = s->engine->ops->attach_pool(s->engine, s->pool, err);
    for (unsigned i = 0; i < DEPTH && ret == 0; i++) {
        s->base.jobs[i].in = esp_pool_get(s->pool);
        s->base.jobs[i].out = esp_pool_get(s->pool);
    }
    if (ret != 0)
        soft_close(&s->base);
    else
        *out = &s->base;
    return ret;
}
