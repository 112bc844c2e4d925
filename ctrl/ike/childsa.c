// SPDX-License-Identifier: Apache-2.0
// CHILD SAs: numbers and SPIs, their selectors (RFC 7296 section 2.9), and installing them: ike describes,
// keys derives (2.17) and sends the keys to path. One that path did not take is rolled back, never reported
// as up.
#include "ctrl/ike/ike.h"

#include <stdio.h>

static struct child_sa *of_node(struct table_node *n, size_t offset)
{
    return n ? (struct child_sa *)(void *)((char *)n - offset) : NULL;
}

struct child_sa *child_by_id(struct ike *ike, uint32_t id)
{
    return of_node(table_find(&ike->children, id), offsetof(struct child_sa, by_id));
}

struct child_sa *child_by_spi_out(struct ike_sa *sa, uint32_t spi)
{
    for (struct child_sa *c = sa->children; c; c = c->next)
        if (c->spi_out == spi && c->state != CHILD_CREATED)
            return c;
    return NULL;
}

struct child_sa *child_new(struct ike_sa *sa, const struct child_config *cfg)
{
    struct ike *ike = sa->ike;
    struct child_sa *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    while (c->spi_in < 256 || table_find(&ike->spis, c->spi_in)) // below 256: reserved (RFC 4303 2.1)
        if (cr_random(&c->spi_in, sizeof(c->spi_in)) != 0)
            break;
    c->sa = sa;
    c->cfg = cfg;
    c->id = ++ike->next_child;
    c->reqid = conn_reqid(ike, sa->conn, cfg);
    if (!table_add(&ike->children, &c->by_id, c->id)) {
        free(c);
        return NULL;
    }
    if (c->spi_in < 256 || !table_add(&ike->spis, &c->by_spi, c->spi_in)) {
        table_del(&ike->children, &c->by_id);
        free(c);
        return NULL;
    }
    struct child_sa **end = &sa->children;
    while (*end)
        end = &(*end)->next;
    *end = c;
    return c;
}

void child_destroy(struct child_sa *c)
{
    struct ike_sa *sa = c->sa;
    struct ike *ike = sa->ike;
    if (c->state == CHILD_INSTALLED || c->state == CHILD_DELETING || c->state == CHILD_INSTALLING)
        ipc_send(ike->chan[ROOM_PATH], MSG_CHILD_DELETE,
                 &(struct msg_CHILD_DELETE){.req = ++ike->next_req, .child_id = c->id});
    if (c->announced)
        report_child_updown(c, false);
    for (struct child_sa **at = &sa->children; *at; at = &(*at)->next) {
        if (*at == c) {
            *at = c->next;
            break;
        }
    }
    table_del(&ike->children, &c->by_id);
    table_del(&ike->spis, &c->by_spi);
    if (sa->hs && sa->hs->pending == c)
        sa->hs->pending = NULL;
    control_job_step(ike, c->job, true, "");
    free(c);
}

void child_wanted_ts(const struct ike_sa *sa, const struct child_config *cfg, struct ts_list *local,
                     struct ts_list *remote)
{
    selectors_resolve(&cfg->local_ts, &sa->path.local, local);
    selectors_resolve(&cfg->remote_ts, &sa->path.remote, remote);
    if (cfg->mode != MODE_TRANSPORT)
        return;
    // Packets keep their addresses in transport mode: they are the endpoints' own (RFC 4301 section 5.1.2).
    struct ts_list host = {.count = 1, .t = {{.port_hi = 65535}}}, end, all = *local;
    selectors_resolve(&host, &sa->path.local, &end);
    selectors_narrow(&all, &end, local);
    all = *remote;
    selectors_resolve(&host, &sa->path.remote, &end);
    selectors_narrow(&all, &end, remote);
}

void child_moved(struct child_sa *c)
{
    struct ike *ike = c->sa->ike;
    const struct net_path *p = &c->sa->path;
    if (c->state != CHILD_INSTALLED && c->state != CHILD_INSTALLING)
        return;
    struct msg_CHILD_ENDPOINT m = {.req = ++ike->next_req,
                                   .child_id = c->id,
                                   .local = p->local,
                                   .local_port = p->local_port,
                                   .remote = p->remote,
                                   .remote_port = p->remote_port,
                                   .udp_encap = c->sa->nat_local || c->sa->nat_remote};
    ipc_send(ike->chan[ROOM_PATH], MSG_CHILD_ENDPOINT, &m);
}

bool child_narrow(struct ike_sa *sa, const struct child_config *cfg, const struct ts_list *their_local,
                  const struct ts_list *their_remote, struct ts_list *local, struct ts_list *remote)
{
    struct ts_list mine, theirs;
    child_wanted_ts(sa, cfg, &mine, &theirs);
    return selectors_narrow(&mine, their_local, local) && selectors_narrow(&theirs, their_remote, remote);
}

void child_log_suite(const struct suite *s)
{
    char text[200];
    suite_print(s, PROTO_ESP, text, sizeof(text));
    LOGF(CFG, 1, "selected proposal: %s", text);
}

static void describe(const struct child_sa *c, struct msg_CHILD *m)
{
    const struct ike_sa *sa = c->sa;
    const struct child_config *cfg = c->cfg;
    memset(m, 0, sizeof(*m));
    m->child_id = c->id;
    m->ike_id = sa->id;
    snprintf(m->conn, sizeof(m->conn), "%s", sa->conn->cfg.name);
    snprintf(m->name, sizeof(m->name), "%s", cfg->name);
    m->reqid = c->reqid;
    m->policy_id = conn_numbers(sa->ike, sa->conn, cfg)->policy_id;
    m->mode = cfg->mode;
    m->spi_in = c->spi_in;
    m->spi_out = c->spi_out;
    m->encr = c->suite.encr.id;
    m->encr_bits = c->suite.encr.key_bits;
    m->integ = c->suite.integ.id;
    m->esn = c->suite.esn.id == TRID_ESN;
    m->udp_encap = sa->nat_local || sa->nat_remote;
    m->local = sa->path.local;
    m->local_port = sa->path.local_port;
    m->remote = sa->path.remote;
    m->remote_port = sa->path.remote_port;
    m->local_ts = c->local_ts;
    m->remote_ts = c->remote_ts;
    m->hw_offload =
        cfg->hw_offload == OFFLOAD_DEFAULT ? (uint8_t)sa->ike->set.offload_default : cfg->hw_offload;
    m->replay_window = cfg->replay_window == UINT32_MAX ? sa->ike->set.replay_window : cfg->replay_window;
    m->copy_df = cfg->copy_df;
    m->copy_ecn = cfg->copy_ecn;
    m->copy_dscp_out = cfg->copy_dscp_out;
    m->copy_dscp_in = cfg->copy_dscp_in;
    m->rekey_bytes = cfg->rekey_bytes;
    m->life_bytes = cfg->life_bytes;
    m->rekey_packets = cfg->rekey_packets;
    m->life_packets = cfg->life_packets;
}

void child_install(struct child_sa *c, bool initiator, struct slice ni, struct slice nr, reply_fn fn)
{
    struct ike *ike = c->sa->ike;
    struct msg_CHILD m;
    uint8_t buf[8192];
    struct writer w = writer_of(buf, sizeof(buf));
    describe(c, &m);
    msg_write(&w, MSG_CHILD, &m);
    c->state = CHILD_INSTALLING;
    struct msg_CHILD_DERIVE q = {.req = ask_new(ike, c->sa, c->id, fn),
                                 .ike_id = c->sa->id,
                                 .ni = ni,
                                 .nr = nr,
                                 .initiator = initiator,
                                 .child = wr_written(&w)};
    ask(ike, ROOM_KEYS, q.req, MSG_CHILD_DERIVE, &q);
}

void child_installed(struct child_sa *c)
{
    char lts[SELECTORS_TEXT], rts[SELECTORS_TEXT];
    c->state = CHILD_INSTALLED;
    c->installed_at = loop_now(c->sa->ike->loop);
    COUNT(c->sa->ike, child_installed);
    LOGF(IKE, 0, "CHILD_SA %s{%u} established with SPIs %08x_i %08x_o and TS %s === %s", c->cfg->name, c->id,
         c->spi_in, c->spi_out, selectors_print(&c->local_ts, lts, sizeof(lts)),
         selectors_print(&c->remote_ts, rts, sizeof(rts)));
    c->announced = true;
    report_child_updown(c, true);
    control_child_up(c->sa, c->cfg->name);
}
