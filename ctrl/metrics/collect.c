// SPDX-License-Identifier: Apache-2.0
#include "ctrl/metrics/collect.h"

#include <stdio.h>
#include <string.h>

#include "ctrl/config/version.h"
#include "ctrl/lib/trust.h"
#include "ctrl/metrics/processes.h"
#include "ctrl/metrics/totals.h"

void collect_stop(struct collect *c)
{
    timer_stop(c->loop, &c->deadline);
    exposition_clear(&c->e);
    c->busy = false;
}

static void fail(struct collect *c, const char *fault)
{
    collect_stop(c);
    c->done(c->ctx, fault);
}

void collect_fail(struct collect *c, const char *fault)
{
    if (c->busy)
        fail(c, fault);
}

static void overdue(struct timer *t)
{
    fail(t->ctx, "ctl does not answer");
}

void collect_init(struct collect *c, struct loop *l, void (*done)(void *ctx, const char *fault), void *ctx)
{
    *c = (struct collect){.loop = l, .done = done, .ctx = ctx};
    c->deadline = (struct timer){.fire = overdue, .ctx = c};
}

// ---- asking

static void ask(struct collect *c, uint64_t from)
{
    c->req++;
    int rc = ipc_send(c->ctl, MSG_METRICS_LIST,
                      &(struct msg_METRICS_LIST){.req = c->req, .what = (uint8_t)c->what, .from = from});
    if (rc < 0)
        fail(c, "ctl is gone");
}

void collect_begin(struct collect *c, struct ipc_chan *ctl, bool per_sa, const pid_t pid[ROOM_COUNT])
{
    struct labels l = labels_none();
    c->busy = true;
    c->ctl = ctl;
    c->per_sa = per_sa;
    c->what = METRICS_TOTALS;
    c->conns = c->children = c->certs = c->sas = c->ike_sa = 0;
    memset(c->left_out, 0, sizeof(c->left_out));
    c->began_us = loop_now_us(c->loop);
    timer_set(c->loop, &c->deadline, loop_now(c->loop) + METRICS_COLLECT_MS);
    labels_add(&l, "version", ESPALIER_VERSION);
    exposition_add(&c->e, FAM_BUILD, &l, 1);
    processes_add(&c->e, pid);
    ask(c, 0);
}

// ---- what is told

static bool within(struct collect *c, unsigned *count, unsigned most)
{
    bool in = *count < most;
    *count += in;
    c->left_out[c->what] += !in;
    return in;
}

static struct labels of_conn(const char *conn)
{
    struct labels l = labels_none();
    labels_add(&l, "connection", conn);
    return l;
}

static struct labels of_child(const char *conn, const char *child)
{
    struct labels l = of_conn(conn);
    labels_add(&l, "child", child);
    return l;
}

static void on_conn(struct collect *c, const struct msg_CONN_COUNTS *m)
{
    static const char *const reasons[] = {
#define X(sym, name) name,
        IKE_FAILURE_LIST(X)
#undef X
    };
    struct labels l = of_conn(m->conn);
    struct reader r = reader_of(m->failed);
    if (!within(c, &c->conns, METRICS_MOST_CONNS))
        return;
    exposition_add(&c->e, FAM_CONNECTION_UP, &l, m->up > 0);
    exposition_add(&c->e, FAM_CONNECTION_STARTS, &l, m->starts);
    exposition_add(&c->e, FAM_CONNECTION_SAS, &l, m->up);
    exposition_add(&c->e, FAM_CONNECTION_ESTABLISHED, &l, m->established);
    exposition_add(&c->e, FAM_CONNECTION_REKEYED, &l, m->rekeyed);
    for (unsigned i = 0; i < IKE_FAILURE_COUNT; i++) {
        struct labels of_reason = l;
        labels_add(&of_reason, "reason", reasons[i]);
        exposition_add(&c->e, FAM_CONNECTION_FAILED, &of_reason, rd_u64(&r));
    }
}

static void on_child(struct collect *c, const struct msg_CHILD_COUNTS *m)
{
    static const char *const reasons[] = {
#define X(sym, name) name,
        CHILD_FAILURE_LIST(X)
#undef X
    };
    struct labels l = of_child(m->conn, m->child);
    struct reader r = reader_of(m->failed);
    if (!within(c, &c->children, METRICS_MOST_CHILDREN))
        return;
    exposition_add(&c->e, FAM_CHILD_UP, &l, m->up > 0);
    exposition_add(&c->e, FAM_CHILD_SAS, &l, m->up);
    exposition_add(&c->e, FAM_CHILD_INSTALLED, &l, m->installed);
    exposition_add(&c->e, FAM_CHILD_REKEYED, &l, m->rekeyed);
    for (unsigned i = 0; i < CHILD_FAILURE_COUNT; i++) {
        struct labels of_reason = l;
        labels_add(&of_reason, "reason", reasons[i]);
        exposition_add(&c->e, FAM_CHILD_FAILED, &of_reason, rd_u64(&r));
    }
    exposition_add(&c->e, FAM_CHILD_TRIES, &l, m->failures);
    if (m->next_ms != UINT32_MAX)
        exposition_add_real(&c->e, FAM_CHILD_NEXT_TRY, &l, m->next_ms / 1e3);
}

static void on_traffic(struct collect *c, const struct msg_TRAFFIC *m)
{
    struct labels l = of_child(m->conn, m->child);
    if (c->left_out[METRICS_CONNS])
        return; // its child may have been
    exposition_add(&c->e, FAM_CHILD_RX_BYTES, &l, m->bytes_in);
    exposition_add(&c->e, FAM_CHILD_RX_PACKETS, &l, m->packets_in);
    exposition_add(&c->e, FAM_CHILD_TX_BYTES, &l, m->bytes_out);
    exposition_add(&c->e, FAM_CHILD_TX_PACKETS, &l, m->packets_out);
    exposition_add(&c->e, FAM_CHILD_DROPPED, &l, m->dropped);
}

static void on_cert(struct collect *c, const struct msg_METRIC_CERT *m)
{
    struct labels l = labels_none();
    if (!within(c, &c->certs, METRICS_MOST_CERTS))
        return;
    labels_add(&l, m->kind == PKI_CRL ? "issuer" : "subject", m->subject);
    if (m->kind != PKI_CRL) {
        labels_add(&l, "kind", m->kind == PKI_CA ? "ca" : "end");
        labels_add(&l, "private_key", m->has_key ? "yes" : "no");
    }
    labels_add(&l, "fingerprint", m->fingerprint);
    if (m->kind == PKI_CRL) {
        if (m->not_after)
            exposition_add(&c->e, FAM_CRL_NEXT_UPDATE, &l, m->not_after);
        return;
    }
    exposition_add(&c->e, FAM_CERT_NOT_AFTER, &l, m->not_after);
    exposition_add(&c->e, FAM_CERT_NOT_BEFORE, &l, m->not_before);
}

static void on_ike_sa(struct collect *c, const struct msg_METRIC_IKE_SA *m)
{
    char remote[64];
    struct labels l = of_conn(m->conn), info;
    bool again = c->ike_sa == m->id; // its CHILD SAs go on on another page
    c->ike_sa = m->id;
    if (again || !within(c, &c->sas, METRICS_MOST_SAS))
        return;
    labels_addf(&l, "id", "%u", m->id);
    info = l;
    labels_add(&info, "state", m->state);
    labels_add(&info, "role", m->initiator ? "initiator" : "responder");
    labels_add(&info, "remote", addr_print(&m->remote, remote, sizeof(remote)));
    exposition_add(&c->e, FAM_SA_IKE, &info, 1);
    exposition_add(&c->e, FAM_SA_IKE_AGE, &l, m->established_s);
    if (m->rekey_s)
        exposition_add(&c->e, FAM_SA_IKE_REKEY, &l, m->rekey_s);
}

static void on_child_sa(struct collect *c, const struct msg_METRIC_CHILD_SA *m)
{
    struct labels l = of_child(m->conn, m->child), info;
    if (!within(c, &c->sas, METRICS_MOST_SAS))
        return;
    labels_addf(&l, "id", "%u", m->id);
    info = l;
    labels_add(&info, "state", m->state);
    labels_addf(&info, "spi_in", "%08x", m->spi_in);
    labels_addf(&info, "spi_out", "%08x", m->spi_out);
    labels_add(&info, "engine", m->offload);
    labels_add(&info, "reason", m->offload_reason);
    exposition_add(&c->e, FAM_SA_CHILD, &info, 1);
    exposition_add(&c->e, FAM_SA_CHILD_AGE, &l, m->install_s);
    if (m->rekey_s)
        exposition_add(&c->e, FAM_SA_CHILD_REKEY, &l, m->rekey_s);
    exposition_add(&c->e, FAM_SA_CHILD_RX_BYTES, &l, m->bytes_in);
    exposition_add(&c->e, FAM_SA_CHILD_RX_PACKETS, &l, m->packets_in);
    exposition_add(&c->e, FAM_SA_CHILD_TX_BYTES, &l, m->bytes_out);
    exposition_add(&c->e, FAM_SA_CHILD_TX_PACKETS, &l, m->packets_out);
    exposition_add(&c->e, FAM_SA_CHILD_SEQUENCE, &l, m->seq_out);
}

// ---- the end

static void add_left_out(struct collect *c)
{
    static const char *const lists[] = {
        [METRICS_CONNS] = "connections", [METRICS_CERTS] = "certificates", [METRICS_SAS] = "sas"};
    for (unsigned i = METRICS_CONNS; i < METRICS_WHAT_COUNT; i++) {
        struct labels l = labels_none();
        labels_add(&l, "list", lists[i]);
        exposition_add(&c->e, FAM_LEFT_OUT, &l, c->left_out[i]);
    }
}

static void finish(struct collect *c)
{
    struct labels none = labels_none();
    exposition_add_real(&c->e, FAM_COLLECT, &none, (double)(loop_now_us(c->loop) - c->began_us) / 1e6);
    add_left_out(c);
    if (c->e.failed) {
        fail(c, "no memory for the answer, or it would be too long");
        return;
    }
    timer_stop(c->loop, &c->deadline);
    c->busy = false;
    c->done(c->ctx, NULL);
}

// A page is over. What is beyond a bound is not asked for.
static void page_over(struct collect *c, uint64_t more)
{
    if (more && !c->left_out[c->what] && !c->e.failed) {
        ask(c, more);
        return;
    }
    c->what = (enum metrics_what)(c->what + 1);
    if (c->what == METRICS_WHAT_COUNT || (c->what == METRICS_SAS && !c->per_sa) || c->e.failed)
        finish(c);
    else
        ask(c, 0);
}

static void on_result(struct collect *c, const struct msg_RESULT *m)
{
    char fault[sizeof(m->text)];
    if (m->ok) {
        page_over(c, 0);
        return;
    }
    snprintf(fault, sizeof(fault), "%s", m->text);
    fail(c, fault);
}

static uint32_t req_of(enum msg_type t, const union msg *m)
{
    switch (t) {
    case MSG_IKE_STATS_IS: return m->IKE_STATS_IS.req;
    case MSG_PATH_STATS_IS: return m->PATH_STATS_IS.req;
    case MSG_CONN_COUNTS: return m->CONN_COUNTS.req;
    case MSG_CHILD_COUNTS: return m->CHILD_COUNTS.req;
    case MSG_TRAFFIC: return m->TRAFFIC.req;
    case MSG_METRIC_CERT: return m->METRIC_CERT.req;
    case MSG_METRIC_IKE_SA: return m->METRIC_IKE_SA.req;
    case MSG_METRIC_CHILD_SA: return m->METRIC_CHILD_SA.req;
    case MSG_LIST_MORE: return m->LIST_MORE.req;
    case MSG_RESULT: return m->RESULT.req;
    default: return 0;
    }
}

void collect_message(struct collect *c, enum msg_type t, const union msg *m)
{
    if (!c->busy || req_of(t, m) != c->req) // of one that was given up
        return;
    switch (t) {
    case MSG_IKE_STATS_IS: totals_ike(&c->e, &m->IKE_STATS_IS); break;
    case MSG_PATH_STATS_IS: totals_path(&c->e, &m->PATH_STATS_IS); break;
    case MSG_CONN_COUNTS: on_conn(c, &m->CONN_COUNTS); break;
    case MSG_CHILD_COUNTS: on_child(c, &m->CHILD_COUNTS); break;
    case MSG_TRAFFIC: on_traffic(c, &m->TRAFFIC); break;
    case MSG_METRIC_CERT: on_cert(c, &m->METRIC_CERT); break;
    case MSG_METRIC_IKE_SA: on_ike_sa(c, &m->METRIC_IKE_SA); break;
    case MSG_METRIC_CHILD_SA: on_child_sa(c, &m->METRIC_CHILD_SA); break;
    case MSG_LIST_MORE: page_over(c, m->LIST_MORE.next); break;
    default: on_result(c, &m->RESULT); break;
    }
}
