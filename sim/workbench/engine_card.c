// SPDX-License-Identifier: Apache-2.0
// The workbench's engine on the card's own pipeline: every state goes into the slot of its index, both
// directions, with the SA command and blob that a driver would send.
#include "sim/workbench/engine.h"

#include <endian.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "sim/pipe_model.h"
#include "sim/workbench/util.h"

enum { DEPTH = 1024 };

struct card {
    struct wb_engine base;
    const struct pipe_ops *ops;
    struct pipe_model *model;
    uint8_t *memory;
    uint16_t generation[WB_MAX_SAS];
    uint64_t bytes;
    uint64_t ideal[2];      // cycles, encapsulation and decapsulation
    uint64_t dropped_beats; // that packets took which were to be encapsulated and were dropped
};
_Static_assert(PIPE_MAX_LEN == WB_MAX_PACKET, "jobs hold what the pipeline takes");
_Static_assert(PIPE_SLOTS >= WB_MAX_SAS, "a slot for every state");

static struct card *card(struct wb_engine *e)
{
    return (struct card *)e;
}

static int model_fail(struct card *c, int code, struct esp_error *err)
{
    const char *why = c->ops->broken(c->model);

    return esp_fail(err, code, "card", "%s", *why ? why : "the pipeline stands still");
}

static uint32_t blob_flags(const struct sad_state *st)
{
    return (st->esn ? ESPC_SA_BLOB_FLAGS_ESN_MASK : 0) | (st->udp ? ESPC_SA_BLOB_FLAGS_UDP_ENCAP_MASK : 0) |
           (st->df_clear ? ESPC_SA_BLOB_FLAGS_DF_CLEAR_MASK : 0) |
           (st->no_dscp_copy ? ESPC_SA_BLOB_FLAGS_NO_DSCP_COPY_MASK : 0) |
           (st->no_ecn ? ESPC_SA_BLOB_FLAGS_NO_ECN_MASK : 0) |
           (st->dscp_decap ? ESPC_SA_BLOB_FLAGS_DSCP_DECAP_MASK : 0);
}

static void fill_blob(struct espc_sa_blob *b, const struct sad_state *st, bool inbound)
{
    memset(b, 0, sizeof(*b));
    b->spi = htole32(st->spi);
    b->flags = htole32(blob_flags(st));
    b->alg = htole32(st->alg == ESP_ALG_AES128_GCM16 ? ESPC_SA_ALG_AES128_GCM16 : ESPC_SA_ALG_AES256_GCM16);
    b->mode = st->mode == ESP_TRANSPORT ? ESPC_SA_MODE_TRANSPORT : ESPC_SA_MODE_TUNNEL;
    b->outer = ESPC_FAMILY_IPV4;
    b->inner = st->mode == ESP_TRANSPORT ? 0 : ESPC_FAMILY_IPV4;
    memcpy(b->key, st->key, st->key_len);
    memcpy(b->salt, st->salt, sizeof(b->salt));
    memcpy(b->src, st->src, 4);
    memcpy(b->dst, st->dst, 4);
    b->sport = htole16(st->sport);
    b->dport = htole16(st->dport); // inbound 0 means 4500: a peer may send in UDP at any time
    if (inbound) {
        b->window = htole32(st->window);
        b->seq = htole64(st->last_in);
        b->seen[0] = htole64(st->last_in > 0);
    } else {
        b->ttl = WB_OUTER_TTL;
        b->seq = htole64(st->last_out + 1);
        b->seq_limit = htole64(UINT64_MAX);
    }
    b->soft_bytes = htole64(st->soft_bytes);
    b->hard_bytes = htole64(st->hard_bytes);
    b->soft_packets = htole64(st->soft_packets);
    b->hard_packets = htole64(st->hard_packets);
}

static const char *blob_field(uint32_t offset)
{
#define X(field, at, size)                                                                                   \
    if (offset - (at) < (uint32_t)(size))                                                                    \
        return #field;
    ESPC_SA_BLOB_FIELDS(X)
#undef X
    return "?";
}

static int command(struct card *c, enum espc_sa_op op, unsigned index, bool inbound,
                   const struct espc_sa_blob *blob, struct espc_sa_result *result, struct esp_error *err)
{
    struct espc_sa_command cmd = {.op = (uint8_t)op,
                                  .dir = inbound,
                                  .generation = htole16(c->generation[index]),
                                  .sa_index = htole32(index),
                                  .cookie = htole64(index)};
    uint16_t status = 0;
    int ret = c->ops->sa_command(c->model, &cmd, blob, result, &status);

    if (ret != 0)
        return model_fail(c, ret, err);
    if (status == ESPC_STATUS_OK)
        return 0;
    if (status == ESPC_STATUS_BAD_FIELD)
        return esp_fail(err, -EINVAL, "card", "the card refuses field %s of the SA",
                        blob_field(le32toh(result->refused_offset)));
    return esp_fail(err, -EINVAL, "card", "the card refuses the SA: %s",
                    esp_status_name((enum esp_status)status));
}

static int card_add(struct wb_engine *e, unsigned index, const struct sad_state *st, struct esp_error *err)
{
    struct card *c = card(e);
    struct espc_sa_result result;
    struct espc_sa_blob blob;
    int ret = 0;

    if (st->ipv6 || st->inner == ESP_FAMILY_IPV6)
        return esp_fail(err, -EINVAL, "card", "the card has no IPv6: --engine soft has it");
    if (st->mode == ESP_TRANSPORT && st->udp)
        return esp_fail(err, -EINVAL, "card", "the card has no transport mode in UDP: --engine soft has it");
    if (st->tfc)
        return esp_fail(err, -EINVAL, "card", "the card has no traffic flow padding: --engine soft has it");
    if (st->alg != ESP_ALG_AES128_GCM16 && st->alg != ESP_ALG_AES256_GCM16)
        return esp_fail(err, -EINVAL, "card", "the card has no %s: --engine soft has it",
                        st->alg == ESP_ALG_AES192_GCM16 ? "AES-GCM with a 192-bit key" : "ChaCha20-Poly1305");
    c->generation[index]++;
    for (int inbound = 0; inbound <= 1 && ret == 0; inbound++) {
        fill_blob(&blob, st, inbound);
        ret = command(c, ESPC_SA_OP_ADD, index, inbound, &blob, &result, err);
    }
    OPENSSL_cleanse(&blob, sizeof(blob));
    return ret;
}

static int card_remove(struct wb_engine *e, unsigned index, struct esp_error *err)
{
    struct card *c = card(e);
    struct espc_sa_result result;
    int ret = 0;

    for (int inbound = 0; inbound <= 1 && ret == 0; inbound++)
        ret = command(c, ESPC_SA_OP_DELETE, index, inbound, NULL, &result, err);
    return ret;
}

static int card_submit(struct wb_engine *e, struct wb_job *job, struct esp_error *err)
{
    struct card *c = card(e);
    struct pipe_packet p = {
        .tag = (uint16_t)(job - e->jobs), .data = job->in, .len = job->in_len, .out = job->out};

    (void)err;
    if (job->encap) {
        p.sa = job->state;
        p.generation = c->generation[job->state];
    }
    job->done = false;
    c->ops->push(c->model, !job->encap, &p);
    return 0;
}

static void count_beats(struct card *c, const struct wb_job *j, const struct pipe_result *r)
{
    const uint64_t beat = 16 * c->ops->lanes;
    uint64_t in = (j->in_len + beat - 1) / beat, out = (r->len + beat - 1) / beat;

    if (r->decap)
        c->ideal[1] += in;
    else if (r->status == ESPC_STATUS_OK)
        c->ideal[0] += out;
    else
        c->dropped_beats += in;
}

static int card_wait(struct wb_engine *e, struct wb_job *job, struct esp_error *err)
{
    struct card *c = card(e);

    while (!job->done) {
        struct pipe_result r;
        struct wb_job *j;
        int ret = c->ops->pull(c->model, &r);

        if (ret != 1)
            return model_fail(c, ret ? ret : -EPROTO, err);
        j = &e->jobs[r.tag];
        j->status = (enum esp_status)r.status;
        j->out_len = r.len;
        j->seq = r.seq;
        j->latency = r.first_out - r.first_in;
        j->first_in = r.first_in;
        j->last_out = r.last_out;
        count_beats(c, j, &r);
        if (r.decap)
            j->state = r.sa;
        if (r.status == ESPC_STATUS_OK)
            c->bytes += r.decap ? r.len : (uint32_t)wb_get16(j->in + 2);
        j->done = true;
    }
    return 0;
}

static int card_stats(struct wb_engine *e, unsigned index, enum esp_dir dir, struct esp_sa_stats *s,
                      struct esp_error *err)
{
    struct espc_sa_result result;
    int ret = command(card(e), ESPC_SA_OP_QUERY, index, dir == ESP_IN, NULL, &result, err);

    if (ret == 0)
        *s = (struct esp_sa_stats){.last_seq = le64toh(result.last_seq),
                                   .packets = le64toh(result.packets),
                                   .bytes = le64toh(result.bytes),
                                   .drops = le64toh(result.drops)};
    return ret;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

// Outer packets leave the encapsulation pipeline at its egress and enter the other at its ingress.
static void fill_ways(const struct card *c, struct wb_timing *t)
{
    struct pipe_span out, in;
    uint64_t over;

    c->ops->span(c->model, false, &out);
    c->ops->span(c->model, true, &in);
    if (out.packets) {
        t->encap = (struct wb_way){
            .packets = out.packets, .cycles = out.last_out - out.first_out + 1, .ideal = c->ideal[0]};
        over = t->encap.cycles - t->encap.ideal;
        t->encap.dropped = least(over, c->dropped_beats);
        t->encap.waiting = least(over - t->encap.dropped, out.unoffered);
        t->encap.stalled = over - t->encap.dropped - t->encap.waiting;
    }
    if (in.packets)
        t->decap = (struct wb_way){.packets = in.packets,
                                   .cycles = in.last_in - in.first_in + 1,
                                   .ideal = c->ideal[1],
                                   .waiting = in.unoffered,
                                   .stalled = in.refused};
}

static void card_timing(struct wb_engine *e, struct wb_timing *t)
{
    struct card *c = card(e);
    uint64_t first = UINT64_MAX, last = 0;

    memset(t, 0, sizeof(*t));
    for (int decap = 0; decap <= 1; decap++) {
        struct pipe_span s;
        c->ops->span(c->model, decap, &s);
        if (s.packets == 0)
            continue;
        t->packets += s.packets;
        t->egress += s.last_out - s.first_out + 1;
        first = s.first_in < first ? s.first_in : first;
        last = s.last_out > last ? s.last_out : last;
    }
    t->measured = t->packets != 0;
    t->cycles = t->measured ? last - first + 1 : 0;
    t->bytes = c->bytes;
    fill_ways(c, t);
}

static void card_close(struct wb_engine *e)
{
    struct card *c = card(e);

    if (c->model)
        c->ops->destroy(c->model);
    free(c->memory);
    free(e->jobs);
    free(c);
}

static const struct wb_engine_ops card_ops = {
    .add = card_add,
    .remove = card_remove,
    .submit = card_submit,
    .wait = card_wait,
    .stats = card_stats,
    .timing = card_timing,
    .close = card_close,
};

int wb_card_open(struct wb_engine **out, const struct wb_card_options *o, struct esp_error *err)
{
    struct card *c = calloc(1, sizeof(*c));
    const size_t room = WB_MAX_PACKET + 1;

    if (c) {
        c->base.jobs = calloc(DEPTH, sizeof(*c->base.jobs));
        c->memory = malloc(2 * DEPTH * room); // pages that no packet reaches stay untouched
    }
    if (!c || !c->base.jobs || !c->memory) {
        if (c)
            card_close(&c->base);
        return esp_fail(err, -ENOMEM, "card", "out of memory");
    }
    c->base.ops = &card_ops;
    c->base.name = "card";
    c->base.lanes = o->lanes;
    c->base.depth = DEPTH;
    for (unsigned i = 0; i < DEPTH; i++) {
        c->base.jobs[i].in = c->memory + (2 * i) * room;
        c->base.jobs[i].out = c->memory + (2 * i + 1) * room;
    }
    c->ops = o->lanes == 4 ? &pipe_ops_l4 : o->lanes == 2 ? &pipe_ops_l2 : &pipe_ops_l1;
    c->model = c->ops->create(o->fst, o->fst_from, o->fst_to);
    if (!c->model) {
        int code = errno == ETIMEDOUT ? -ETIMEDOUT : -EINVAL;
        esp_fail(err, code, o->fst ? o->fst : "card", "the model cannot start: %s", strerror(errno));
        card_close(&c->base);
        return code;
    }
    *out = &c->base;
    return 0;
}
