// SPDX-License-Identifier: Apache-2.0
#include "ctrl/ctl/feed.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "ctrl/ctl/ctl.h"
#include "ctrl/lib/trust.h"

enum { SA_PAGE = 128, NAMES_OCTETS = COUNTS_PAGE * (NAME_MAX_LEN + 2) };

struct question { // a pending's data
    uint32_t req; // metrics' own
    uint64_t next;
    uint8_t names[NAMES_OCTETS]; // METRICS_CONNS: of this page
    size_t names_len;
    char conn[NAME_MAX_LEN];            // METRICS_SAS: of the IKE SA that ike told of last,
    unsigned child_count, told;         // whose CHILD SAs come behind it
    struct msg_METRIC_CHILD_SA child[]; // of this page, until path has told of them
};

static struct ipc_chan *to(const struct pending *p)
{
    return p->ctl->chan[ROOM_METRICS];
}

static uint32_t req_of(const struct pending *p)
{
    return ((const struct question *)p->data)->req;
}

// ---- the end of a question

static void answer(struct pending *p, bool ok, const char *room, const char *text)
{
    const struct question *q = p->data;
    p->ctl->feed.busy = false;
    if (ok && q->next)
        ipc_send(to(p), MSG_LIST_MORE, &(struct msg_LIST_MORE){.req = q->req, .next = q->next});
    else
        ipc_result(to(p), q->req, ok, "%s%s%s", ok ? "" : room, ok ? "" : ": ", ok ? "" : text);
}

static void ike_done(struct pending *p, bool ok, const char *text)
{
    answer(p, ok, "ike", text);
}

static void path_done(struct pending *p, bool ok, const char *text)
{
    answer(p, ok, "path", text);
}

// The next step of the same question; NULL: there are too many under way, and it has been answered.
static struct pending *go_on(struct pending *before)
{
    struct pending *p = ctl_ask(before->ctl, NULL, FEED_ANSWER_MS);
    if (!p) {
        answer(before, false, "ctl", "too many questions under way");
        return NULL;
    }
    p->data = before->data;
    p->free_data = before->free_data;
    p->message = before->message;
    p->done = path_done;
    before->data = NULL;
    return p;
}

// ---- totals

static void pass_totals(struct pending *p, enum msg_type t, const union msg *m)
{
    if (t == MSG_IKE_STATS_IS) {
        struct msg_IKE_STATS_IS copy = m->IKE_STATS_IS;
        copy.req = req_of(p);
        ipc_send(to(p), t, &copy);
    } else if (t == MSG_PATH_STATS_IS) {
        struct msg_PATH_STATS_IS copy = m->PATH_STATS_IS;
        copy.req = req_of(p);
        ipc_send(to(p), t, &copy);
    }
}

static void ike_counted(struct pending *p, bool ok, const char *text)
{
    struct pending *next = ok ? go_on(p) : NULL;
    if (!ok)
        ike_done(p, false, text);
    if (next)
        ctl_send(next, ROOM_PATH, MSG_PATH_STATS, &(struct msg_PATH_STATS){.req = next->req});
}

static void ask_totals(struct pending *p)
{
    p->message = pass_totals;
    p->done = ike_counted;
    ctl_send(p, ROOM_IKE, MSG_IKE_STATS, &(struct msg_IKE_STATS){.req = p->req});
}

// ---- connections

static void pass_counts(struct pending *p, enum msg_type t, const union msg *m)
{
    if (t == MSG_CONN_COUNTS) {
        struct msg_CONN_COUNTS copy = m->CONN_COUNTS;
        copy.req = req_of(p);
        ipc_send(to(p), t, &copy);
    } else if (t == MSG_CHILD_COUNTS) {
        struct msg_CHILD_COUNTS copy = m->CHILD_COUNTS;
        copy.req = req_of(p);
        ipc_send(to(p), t, &copy);
    } else if (t == MSG_TRAFFIC) {
        struct msg_TRAFFIC copy = m->TRAFFIC;
        copy.req = req_of(p);
        ipc_send(to(p), t, &copy);
    }
}

static void conns_counted(struct pending *p, bool ok, const char *text)
{
    struct pending *next = ok ? go_on(p) : NULL;
    if (!ok)
        ike_done(p, false, text);
    if (!next)
        return;
    const struct question *q = next->data;
    ctl_send(next, ROOM_PATH, MSG_TRAFFIC_LIST,
             &(struct msg_TRAFFIC_LIST){.req = next->req, .names = slice_of(q->names, q->names_len)});
}

static bool listed(const struct ctl *c, const struct conn_entry *e)
{
    return e && e->number <= c->feed.last_conn;
}

static void ask_conns(struct pending *p, uint64_t from)
{
    struct question *q = p->data;
    struct writer w = writer_of(q->names, sizeof(q->names));
    const struct conn_entry *e = p->ctl->conns;
    while (e && e->number < from)
        e = e->next;
    if (!from)
        p->ctl->feed.last_conn = p->ctl->conn_number;
    for (unsigned n = 0; listed(p->ctl, e) && n < COUNTS_PAGE; n++, e = e->next)
        wr_cstr(&w, conn_entry_name(e));
    q->names_len = w.len;
    q->next = listed(p->ctl, e) ? e->number : 0;
    p->message = pass_counts;
    p->done = conns_counted;
    ctl_send(p, ROOM_IKE, MSG_COUNTS_LIST, &(struct msg_COUNTS_LIST){.req = p->req, .names = wr_written(&w)});
}

// ---- certificates

static void pass_cert(struct pending *p, enum msg_type t, const union msg *m)
{
    const struct msg_CERT_IS *c = &m->CERT_IS;
    uint8_t digest[EVP_MAX_MD_SIZE];
    if (t != MSG_CERT_IS || (c->kind != PKI_X509 && c->kind != PKI_CA && c->kind != PKI_CRL) ||
        !EVP_Digest(c->data.p, c->data.len, digest, NULL, EVP_sha256(), NULL))
        return;
    struct msg_METRIC_CERT out = {.req = req_of(p),
                                  .kind = c->kind,
                                  .has_key = c->has_key,
                                  .not_before = c->not_before,
                                  .not_after = c->not_after};
    snprintf(out.subject, sizeof(out.subject), "%s", c->subject);
    for (unsigned i = 0; i < 8; i++)
        snprintf(out.fingerprint + 2 * i, 3, "%02x", digest[i]);
    ipc_send(to(p), MSG_METRIC_CERT, &out);
}

static void certs_listed(struct pending *p, bool ok, const char *text)
{
    ((struct question *)p->data)->next = p->more;
    ike_done(p, ok, text);
}

static void ask_certs(struct pending *p, uint64_t from)
{
    p->message = pass_cert;
    p->done = certs_listed;
    ctl_send(p, ROOM_IKE, MSG_CERT_LIST, &(struct msg_CERT_LIST){.req = p->req, .from = from});
}

// ---- SAs

static void pass_ike_sa(struct pending *p, const struct msg_IKE_INFO *i)
{
    struct msg_METRIC_IKE_SA out = {.req = req_of(p),
                                    .id = i->id,
                                    .initiator = i->initiator,
                                    .remote = i->remote,
                                    .established_s = i->established_s,
                                    .rekey_s = i->rekey_s};
    snprintf(out.conn, sizeof(out.conn), "%s", i->conn);
    snprintf(out.state, sizeof(out.state), "%s", i->state);
    snprintf(((struct question *)p->data)->conn, NAME_MAX_LEN, "%s", i->conn);
    ipc_send(to(p), MSG_METRIC_IKE_SA, &out);
}

static void keep_child_sa(struct question *q, const struct msg_CHILD_INFO *i)
{
    if (q->child_count == SA_PAGE) // more than was asked for
        return;
    struct msg_METRIC_CHILD_SA *c = &q->child[q->child_count++];
    *c = (struct msg_METRIC_CHILD_SA){.req = q->req,
                                      .id = i->id,
                                      .spi_in = i->spi_in,
                                      .spi_out = i->spi_out,
                                      .install_s = i->install_s,
                                      .rekey_s = i->rekey_s};
    snprintf(c->conn, sizeof(c->conn), "%s", q->conn);
    snprintf(c->child, sizeof(c->child), "%s", i->name);
    snprintf(c->state, sizeof(c->state), "%s", i->state);
}

// Path tells of them in the order in which it was asked, and passes over those that it has not.
static void pass_path_sa(struct pending *p, const struct msg_PATH_SA *s)
{
    struct question *q = p->data;
    while (q->told < q->child_count && q->child[q->told].id != s->child_id)
        ipc_send(to(p), MSG_METRIC_CHILD_SA, &q->child[q->told++]);
    if (q->told == q->child_count)
        return;
    struct msg_METRIC_CHILD_SA *c = &q->child[q->told++];
    snprintf(c->offload, sizeof(c->offload), "%s", s->offload);
    snprintf(c->offload_reason, sizeof(c->offload_reason), "%s", s->offload_reason);
    c->packets_in = s->packets_in;
    c->bytes_in = s->bytes_in;
    c->packets_out = s->packets_out;
    c->bytes_out = s->bytes_out;
    c->seq_out = s->seq_out;
    ipc_send(to(p), MSG_METRIC_CHILD_SA, c);
}

static void pass_sa(struct pending *p, enum msg_type t, const union msg *m)
{
    if (t == MSG_IKE_INFO)
        pass_ike_sa(p, &m->IKE_INFO);
    else if (t == MSG_CHILD_INFO)
        keep_child_sa(p->data, &m->CHILD_INFO);
    else if (t == MSG_PATH_SA)
        pass_path_sa(p, &m->PATH_SA);
}

static void traffic_told(struct pending *p, bool ok, const char *text)
{
    struct question *q = p->data;
    while (ok && q->told < q->child_count)
        ipc_send(to(p), MSG_METRIC_CHILD_SA, &q->child[q->told++]);
    path_done(p, ok, text);
}

static void sas_listed(struct pending *p, bool ok, const char *text)
{
    struct question *q = p->data;
    uint8_t ids[SA_PAGE * sizeof(uint32_t)];
    struct writer w = writer_of(ids, sizeof(ids));
    q->next = p->more;
    struct pending *next = ok ? go_on(p) : NULL;
    if (!ok)
        ike_done(p, false, text);
    if (!next)
        return;
    for (unsigned i = 0; i < q->child_count; i++)
        wr_u32(&w, q->child[i].id);
    next->done = traffic_told;
    ctl_send(next, ROOM_PATH, MSG_PATH_LIST,
             &(struct msg_PATH_LIST){.req = next->req, .children = wr_written(&w)});
}

static void ask_sas(struct pending *p, uint64_t from)
{
    p->message = pass_sa;
    p->done = sas_listed;
    ctl_send(p, ROOM_IKE, MSG_IKE_LIST, &(struct msg_IKE_LIST){.req = p->req, .from = from, .most = SA_PAGE});
}

// ---- a question

static bool too_many(struct ctl *c)
{
    uint64_t second = loop_now(c->loop) / 1000;
    if (second != c->feed.second)
        c->feed.count = 0;
    c->feed.second = second;
    return c->feed.busy || c->feed.count++ >= FEED_A_SECOND;
}

static struct pending *begin(struct ctl *c, const struct msg_METRICS_LIST *m)
{
    size_t children = m->what == METRICS_SAS ? SA_PAGE : 0;
    struct question *q = calloc(1, sizeof(*q) + children * sizeof(q->child[0]));
    struct pending *p = q ? ctl_ask(c, NULL, FEED_ANSWER_MS) : NULL;
    if (!p) {
        free(q);
        return NULL;
    }
    q->req = m->req;
    p->data = q;
    p->free_data = free;
    return p;
}

void feed_ask(struct ctl *c, const struct msg_METRICS_LIST *m)
{
    bool known = m->what < METRICS_WHAT_COUNT, refused = !known || !c->serving || too_many(c);
    struct pending *p = refused ? NULL : begin(c, m);
    if (!p) {
        ipc_result(c->chan[ROOM_METRICS], m->req, false, "ctl: %s",
                   !known        ? "there is no such list"
                   : !c->serving ? "it does not know yet what is loaded"
                   : refused     ? "one question at a time"
                                 : "out of memory, or too many questions under way");
        return;
    }
    c->feed.busy = true;
    switch (m->what) {
    case METRICS_CONNS: ask_conns(p, m->from); break;
    case METRICS_CERTS: ask_certs(p, m->from); break;
    case METRICS_SAS: ask_sas(p, m->from); break;
    default: ask_totals(p); break;
    }
}
