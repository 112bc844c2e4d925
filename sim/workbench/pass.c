// SPDX-License-Identifier: Apache-2.0
// One pass of packets through an engine: judged, submitted, and told to the sink in the order of the input,
// each result with link header and time stamp of the packet that it came from.
#include "sim/workbench/pass.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim/workbench/util.h"

enum { MAX_LINK_HEADER = 64 }; // no VLAN stack is longer

struct record {
    struct capture_packet packet; // data: this record's own copy
    size_t cap;
    int ip_at, type_at;
    struct flow_verdict verdict;
};

struct pass {
    const struct sad *sad;
    struct wb_engine *engine;
    struct flow_table flows;
    enum capture_link link;
    pass_sink sink;
    void *ctx;
    struct record *records; // one for each of the engine's jobs
    uint64_t head, tail;    // records told, and taken
    size_t added;           // states inside the engine
    uint8_t frame[MAX_LINK_HEADER + WB_MAX_PACKET];
};

int wb_refuse_ipv6(const struct sad *sad, const char *path, struct esp_error *err)
{
    const char *base = strrchr(path, '/');
    unsigned line = sad_ipv6_line(sad);
    char where[sizeof(err->field)];

    if (!line)
        return 0;
    snprintf(where, sizeof(where), "%.32s:%u", base ? base + 1 : path, line);
    return esp_fail(err, -EINVAL, where,
                    "the state has IPv6 ends: they are taken with --ipv6, by software alone");
}

static int add_states(struct pass *p, struct esp_error *err)
{
    int ret = 0;

    for (; p->added < p->sad->n_states && ret == 0; p->added += ret == 0) {
        const struct sad_state *st = &p->sad->states[p->added];
        ret = p->engine->ops->add(p->engine, (unsigned)p->added, st, err);
        if (ret != 0)
            snprintf(err->field, sizeof(err->field), "line %u, spi 0x%08x", st->line, st->spi);
    }
    return ret;
}

int pass_open(struct pass **out, const struct sad *sad, struct wb_engine *engine, enum capture_link link,
              pass_sink sink, void *ctx, struct esp_error *err)
{
    struct pass *p = calloc(1, sizeof(*p));
    int ret;

    if (!p || !(p->records = calloc(engine->depth, sizeof(*p->records)))) {
        free(p);
        return esp_fail(err, -ENOMEM, "", "out of memory");
    }
    p->sad = sad;
    p->engine = engine;
    p->link = link;
    p->sink = sink;
    p->ctx = ctx;
    flow_table_init(&p->flows, sad);
    ret = add_states(p, err);
    if (ret != 0)
        pass_close(p);
    else
        *out = p;
    return ret;
}

static int copy_packet(struct record *rec, const struct capture_packet *p, struct esp_error *err)
{
    uint8_t *data = rec->packet.data;

    if (rec->cap < p->len || !data) {
        rec->cap = p->len + 2048;
        data = realloc(data, rec->cap);
        if (!data)
            return esp_fail(err, -ENOMEM, "", "out of memory");
    }
    memcpy(data, p->data, p->len);
    rec->packet = *p;
    rec->packet.data = data;
    return 0;
}

static void classify(struct pass *p, struct record *rec)
{
    const struct capture_packet *c = &rec->packet;

    rec->ip_at = capture_find_ip(p->link, c->data, c->len, &rec->type_at);
    rec->verdict = (struct flow_verdict){.action = FLOW_PASS};
    if (c->len < c->wire_len)
        rec->verdict = (struct flow_verdict){.action = FLOW_DROP, .reason = ESP_STATUS_TRUNCATED};
    else if (rec->ip_at >= 0)
        rec->verdict = flow_classify(&p->flows, c->data + rec->ip_at, c->len - (size_t)rec->ip_at);
    if (rec->ip_at > MAX_LINK_HEADER && rec->verdict.action != FLOW_PASS)
        rec->verdict = (struct flow_verdict){.action = FLOW_DROP, .reason = ESP_STATUS_TOO_LONG};
}

static void set_out(struct pass *p, const struct record *rec, const struct wb_job *job, struct pass_result *r)
{
    memcpy(p->frame, rec->packet.data, (size_t)rec->ip_at);
    if (rec->type_at >= 0)
        wb_put16(p->frame + rec->type_at, job->out[0] >> 4 == 6 ? 0x86dd : 0x0800);
    memcpy(p->frame + rec->ip_at, job->out, job->out_len);
    r->out = rec->packet;
    r->out.data = p->frame;
    r->out.len = r->out.wire_len = (uint32_t)rec->ip_at + job->out_len;
}

static int finish_job(struct pass *p, const struct record *rec, struct wb_job *job, struct pass_result *r,
                      struct esp_error *err)
{
    int ret = p->engine->ops->wait(p->engine, job, err);

    if (ret != 0)
        return ret;
    r->went_in = true;
    r->latency = job->latency;
    r->first_in = job->first_in;
    r->last_out = job->last_out;
    r->engine_in = job->in_len;
    r->engine_out = job->out_len;
    r->seq = job->seq;
    r->state = job->state < p->sad->n_states ? job->state : UINT32_MAX;
    r->reason = job->status;
    r->end = job->encap ? PASS_ENCRYPTED : PASS_DECRYPTED;
    if (job->status != ESP_STATUS_OK) {
        r->end = PASS_DROPPED;
        return 0;
    }
    if (!job->encap && (r->state == UINT32_MAX || job->out_len == 0))
        return esp_fail(err, -EPROTO, p->engine->name, "a decapsulated packet names no state (%u)",
                        job->state);
    set_out(p, rec, job, r);
    if (!job->encap && !flow_allows_inner(&p->flows, job->state, job->out, job->out_len, &r->verdict.line)) {
        r->end = PASS_DROPPED;
        r->reason = ESP_STATUS_POLICY;
    }
    return 0;
}

// Tells what became of the oldest packet.
static int tell(struct pass *p, struct esp_error *err)
{
    unsigned slot = (unsigned)(p->head++ % p->engine->depth);
    struct record *rec = &p->records[slot];
    struct pass_result r = {.verdict = rec->verdict, .state = UINT32_MAX, .in = &rec->packet};
    int ret = 0;

    switch (rec->verdict.action) {
    case FLOW_PASS:
        r.end = PASS_BYPASSED;
        r.out = rec->packet;
        break;
    case FLOW_DROP:
        r.end = PASS_DROPPED;
        r.reason = rec->verdict.reason;
        break;
    default: ret = finish_job(p, rec, &p->engine->jobs[slot], &r, err);
    }
    return ret ? ret : p->sink(p->ctx, &r, err);
}

int pass_take(struct pass *p, const struct capture_packet *packet, struct esp_error *err)
{
    unsigned slot = (unsigned)(p->tail % p->engine->depth);
    struct record *rec = &p->records[slot];
    struct wb_job *job = &p->engine->jobs[slot];
    int ret = p->tail - p->head == p->engine->depth ? tell(p, err) : 0;
    size_t len;

    if (ret == 0)
        ret = copy_packet(rec, packet, err);
    if (ret != 0)
        return ret;
    p->tail++;
    classify(p, rec);
    if (rec->verdict.action != FLOW_ENCAP && rec->verdict.action != FLOW_DECAP)
        return 0;
    len = packet->len - (size_t)rec->ip_at;
    job->in_len =
        len < WB_MAX_PACKET ? (uint32_t)len : WB_MAX_PACKET; // an IP packet is no longer: padding follows
    memcpy(job->in, rec->packet.data + rec->ip_at, job->in_len);
    job->encap = rec->verdict.action == FLOW_ENCAP;
    job->state = rec->verdict.state;
    return p->engine->ops->submit(p->engine, job, err);
}

int pass_drain(struct pass *p, struct esp_error *err)
{
    int ret = 0;

    while (ret == 0 && p->head != p->tail)
        ret = tell(p, err);
    return ret;
}

int pass_remove_states(struct pass *p, struct esp_error *err)
{
    int ret = 0;

    for (; p->added > 0 && ret == 0; p->added -= ret == 0)
        ret = p->engine->ops->remove(p->engine, (unsigned)p->added - 1, err);
    return ret;
}

void pass_close(struct pass *p)
{
    if (!p)
        return;
    for (unsigned i = 0; i < p->engine->depth; i++)
        free(p->records[i].packet.data);
    free(p->records);
    free(p);
}
