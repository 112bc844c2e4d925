// SPDX-License-Identifier: Apache-2.0
// `espalier-sim replay`: reads a capture, decides for each packet (flow.c), keeps the engine's pipelines full
// and writes the results in the order of the input, with link header and time stamp of the packet that they
// came from.
#include "sim/workbench/replay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim/workbench/flow.h"
#include "sim/workbench/capture.h"
#include "sim/workbench/stats.h"
#include "sim/workbench/util.h"

enum { MAX_LINK_HEADER = 64 }; // no VLAN stack is longer

struct record {
    struct capture_packet packet; // data: this record's own copy
    size_t cap;
    int ip_at, type_at;
    struct flow_verdict verdict;
};

struct replay {
    struct sad sad;
    struct flow_table flows;
    struct wb_engine *engine;
    struct capture_reader *reader;
    struct capture_writer *writer;
    struct record *records; // one for each of the engine's jobs
    uint64_t head, tail;    // records written out, and read in
    struct stats stats;
    struct esp_error cut; // where the capture could not be read any further
    uint8_t frame[MAX_LINK_HEADER + WB_MAX_PACKET];
};

static int open_engine(struct replay *r, const struct replay_options *o, struct esp_error *err)
{
    struct wb_card_options card = {
        .lanes = o->lanes, .fst = o->fst, .fst_from = o->fst_from, .fst_to = o->fst_to};
    int ret;

    if (r->sad.n_states > o->sas)
        return esp_fail(err, -EINVAL, o->sad, "%zu states, but the engine has %u slots", r->sad.n_states,
                        o->sas);
    ret = o->soft ? wb_soft_open(&r->engine, err) : wb_card_open(&r->engine, &card, err);
    for (unsigned i = 0; i < r->sad.n_states && ret == 0; i++) {
        ret = r->engine->ops->add(r->engine, i, &r->sad.states[i], err);
        if (ret != 0)
            snprintf(err->field, sizeof(err->field), "line %u, spi 0x%08x", r->sad.states[i].line,
                     r->sad.states[i].spi);
    }
    if (ret == 0) {
        r->records = calloc(r->engine->depth, sizeof(*r->records));
        ret = r->records ? 0 : esp_fail(err, -ENOMEM, "", "out of memory");
    }
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

static void classify(struct replay *r, struct record *rec)
{
    const struct capture_packet *p = &rec->packet;

    rec->ip_at = capture_find_ip(capture_link(r->reader), p->data, p->len, &rec->type_at);
    rec->verdict = (struct flow_verdict){.action = FLOW_PASS};
    if (p->len < p->wire_len)
        rec->verdict = (struct flow_verdict){.action = FLOW_DROP, .reason = ESP_STATUS_TRUNCATED};
    else if (rec->ip_at >= 0)
        rec->verdict = flow_classify(&r->flows, p->data + rec->ip_at, p->len - (size_t)rec->ip_at);
    if (rec->ip_at > MAX_LINK_HEADER && rec->verdict.action != FLOW_PASS)
        rec->verdict = (struct flow_verdict){.action = FLOW_DROP, .reason = ESP_STATUS_TOO_LONG};
}

static int take(struct replay *r, const struct capture_packet *p, struct esp_error *err)
{
    unsigned slot = (unsigned)(r->tail % r->engine->depth);
    struct record *rec = &r->records[slot];
    struct wb_job *job = &r->engine->jobs[slot];
    int ret = copy_packet(rec, p, err);
    size_t len;

    if (ret != 0)
        return ret;
    r->stats.in++;
    r->tail++;
    classify(r, rec);
    if (rec->verdict.action != FLOW_ENCAP && rec->verdict.action != FLOW_DECAP)
        return 0;
    len = p->len - (size_t)rec->ip_at;
    job->in_len =
        len < WB_MAX_PACKET ? (uint32_t)len : WB_MAX_PACKET; // an IP packet is no longer: padding follows
    memcpy(job->in, rec->packet.data + rec->ip_at, job->in_len);
    job->encap = rec->verdict.action == FLOW_ENCAP;
    job->state = rec->verdict.state;
    return r->engine->ops->submit(r->engine, job, err);
}

static int write_result(struct replay *r, const struct record *rec, const struct wb_job *job,
                        struct esp_error *err)
{
    struct capture_packet p = rec->packet;

    memcpy(r->frame, rec->packet.data, (size_t)rec->ip_at);
    if (rec->type_at >= 0)
        wb_put16(r->frame + rec->type_at, job->out[0] >> 4 == 6 ? 0x86dd : 0x0800);
    memcpy(r->frame + rec->ip_at, job->out, job->out_len);
    p.data = r->frame;
    p.len = p.wire_len = (uint32_t)rec->ip_at + job->out_len;
    r->stats.out++;
    return capture_write(r->writer, &p, err);
}

static int finish_job(struct replay *r, const struct record *rec, struct wb_job *job, struct esp_error *err)
{
    int ret = r->engine->ops->wait(r->engine, job, err);

    if (ret != 0)
        return ret;
    if (r->engine->lanes)
        stats_latency(&r->stats, job->latency);
    if (job->status != ESP_STATUS_OK) {
        stats_drop(&r->stats, job->status);
        return 0;
    }
    if (!job->encap && (job->state >= r->sad.n_states || job->out_len == 0))
        return esp_fail(err, -EPROTO, r->engine->name, "a decapsulated packet names no state (%u)",
                        job->state);
    if (!job->encap && !flow_allows_inner(&r->flows, job->state, job->out, job->out_len)) {
        stats_drop(&r->stats, ESP_STATUS_POLICY);
        return 0;
    }
    r->stats.encrypted += job->encap;
    r->stats.decrypted += !job->encap;
    return write_result(r, rec, job, err);
}

// Writes what became of the oldest packet.
static int put(struct replay *r, struct esp_error *err)
{
    unsigned slot = (unsigned)(r->head++ % r->engine->depth);
    struct record *rec = &r->records[slot];

    switch (rec->verdict.action) {
    case FLOW_PASS:
        r->stats.bypassed++;
        r->stats.out++;
        return capture_write(r->writer, &rec->packet, err);
    case FLOW_DROP: stats_drop(&r->stats, rec->verdict.reason); return 0;
    default: return finish_job(r, rec, &r->engine->jobs[slot], err);
    }
}

static int run(struct replay *r, struct esp_error *err)
{
    struct capture_packet p;
    int ret;

    while ((ret = capture_next(r->reader, &p, &r->cut)) == 1) {
        if (r->tail - r->head == r->engine->depth)
            ret = put(r, err);
        if (ret >= 0)
            ret = take(r, &p, err);
        if (ret < 0)
            return ret;
    }
    for (ret = 0; ret == 0 && r->head != r->tail;)
        ret = put(r, err);
    return ret;
}

static void close_all(struct replay *r)
{
    if (r->records)
        for (unsigned i = 0; i < r->engine->depth; i++)
            free(r->records[i].packet.data);
    free(r->records);
    capture_abandon(r->writer);
    capture_close(r->reader);
    if (r->engine)
        r->engine->ops->close(r->engine);
    stats_clear(&r->stats);
    sad_clear(&r->sad);
    free(r);
}

int wb_replay(const struct replay_options *o, struct esp_error *err)
{
    struct replay *r = calloc(1, sizeof(*r));
    int ret;

    if (!r)
        return esp_fail(err, -ENOMEM, "", "out of memory");
    ret = sad_load(&r->sad, o->sad, err);
    if (ret == 0)
        ret = capture_open(&r->reader, o->in, err);
    if (ret == 0)
        ret = capture_create(&r->writer, o->out, r->reader, err);
    if (ret == 0) {
        flow_table_init(&r->flows, &r->sad);
        ret = open_engine(r, o, err);
    }
    if (ret == 0)
        ret = run(r, err);
    if (ret == 0 && o->json)
        ret = stats_write(&r->stats, o->json, r->engine, &r->sad, err);
    if (ret == 0) {
        ret = capture_commit(r->writer, err);
        r->writer = NULL;
    }
    if (ret == 0 && r->cut.code != 0)
        ret = esp_fail(err, -EIO, r->cut.field, "%.130s (the packets before it were processed)", r->cut.text);
    close_all(r);
    return ret;
}
