// SPDX-License-Identifier: Apache-2.0
// The loaded connections: replacing and unloading them, their policies in path (protected from the moment of
// loading, with an SA or without), and finding the one that fits addresses and identities.
#include "ctrl/ike/ike.h"

#include <errno.h>
#include <stdio.h>

void conn_unref(struct conn *c)
{
    if (c && --c->refs == 0) {
        free(c->blob);
        free(c->numbers);
        conn_clear(&c->cfg);
        free(c);
    }
}

struct conn *conn_find(struct ike *ike, const char *name)
{
    struct conn *c = ike->conns;
    while (c && strcmp(c->cfg.name, name) != 0)
        c = c->next;
    return c;
}

const struct child_config *conn_child(const struct conn *c, const char *name)
{
    for (unsigned i = 0; i < c->cfg.child_count; i++)
        if (strcmp(c->cfg.children[i].name, name) == 0)
            return &c->cfg.children[i];
    return NULL;
}

// 1: the list names the address, 0: it takes any (as an empty one does), -1: neither.
static int addr_fits(const struct addr *list, unsigned count, const struct addr *a)
{
    int fits = count ? -1 : 0;
    for (unsigned i = 0; i < count && fits < 1; i++)
        fits = addr_eq(&list[i], a) ? 1 : list[i].family == 0 ? 0 : fits;
    return fits;
}

static bool fits_with(const struct conn *c, const struct net_path *p, unsigned rank)
{
    int local = addr_fits(c->cfg.local_addrs, c->cfg.local_count, &p->local);
    int remote = addr_fits(c->cfg.remote_addrs, c->cfg.remote_count, &p->remote);
    return local >= 0 && remote >= 0 && 2u * (unsigned)remote + (unsigned)local == rank;
}

static unsigned rank_of(const struct conn *c, const struct net_path *p)
{
    unsigned rank = 3;
    while (rank && !fits_with(c, p, rank))
        rank--;
    return rank;
}

struct conn *conn_next(struct ike *ike, struct conn *after, const struct net_path *path)
{
    // Those that name the peer's address come before those that take anyone.
    unsigned rank = after ? rank_of(after, path) : 3;
    struct conn *c = after ? after->next : ike->conns;
    for (;; c = ike->conns) {
        for (; c; c = c->next)
            if (fits_with(c, path, rank))
                return c;
        if (rank-- == 0)
            return NULL;
    }
}

struct conn *conn_for_ids(struct ike *ike, const struct net_path *path, const struct suite *s,
                          const struct identity *local, const struct identity *remote)
{
    struct conn *best = NULL;
    int best_score = 0;
    for (struct conn *c = conn_next(ike, NULL, path); c; c = conn_next(ike, c, path)) {
        struct identity mine = c->local_id;
        if (mine.type == ID_ANY)
            identity_of_addr(&path->local, &mine);
        int l = local ? identity_match(local, &mine) : MATCH_ANY, r = identity_match(remote, &c->remote_id);
        int score = 1 + r * (MATCH_PERFECT + 1) + l;
        if (l && r && score > best_score && suite_allowed(s, c->cfg.proposals, c->cfg.proposal_count, true)) {
            best = c;
            best_score = score;
        }
    }
    return best;
}

uint32_t conn_reqid(struct ike *ike, struct conn *c, const struct child_config *child)
{
    size_t i = (size_t)(child - c->cfg.children);
    if (child->reqid)
        return child->reqid;
    if (!c->numbers[i].reqid)
        c->numbers[i].reqid = ++ike->next_reqid;
    return c->numbers[i].reqid;
}

// --- loading ---

static void policy_answer(struct ike *ike, uint32_t job, enum msg_type t, const union msg *m)
{
    control_job_step(ike, job, answer_ok(t, m), answer_text(t, m));
}

// Selectors with both ends known; dynamic ones wait for their SA.
static bool fixed(const struct ts_list *l)
{
    for (unsigned i = 0; i < l->count; i++)
        if (!l->t[i].family)
            return false;
    return l->count > 0;
}

enum { POLICIES_BYTES = 128 * 1024 };

static void apply_policies(struct ike *ike, struct conn *c, struct job *job)
{
    static uint8_t buf[POLICIES_BYTES];
    struct policy_spec *specs = calloc(c->cfg.child_count + 1u, sizeof(*specs));
    struct writer w = writer_of(buf, sizeof(buf));
    struct msg_POLICY_APPLY q = {.req = ask_new_room(ike, job ? job->id : 0, policy_answer)};
    unsigned n = 0;
    for (unsigned i = 0; specs && i < c->cfg.child_count; i++) {
        const struct child_config *child = &c->cfg.children[i];
        struct policy_spec *s = &specs[n];
        if (!fixed(&child->local_ts) || !fixed(&child->remote_ts))
            continue;
        *s = (struct policy_spec){.id = ++ike->next_policy,
                                  .action = POLICY_PROTECT,
                                  .mode = MODE_TUNNEL,
                                  .priority = child->priority,
                                  .trap = child->start_action == ACTION_TRAP,
                                  .local = child->local_ts,
                                  .remote = child->remote_ts};
        memcpy(s->child, child->name, sizeof(s->child));
        c->numbers[i].policy_id = s->id;
        n++;
    }
    policies_write(&w, specs, n);
    free(specs);
    snprintf(q.conn, sizeof(q.conn), "%s", c->cfg.name);
    q.policies = wr_written(&w);
    if (job)
        job->remaining++;
    ask(ike, ROOM_PATH, q.req, MSG_POLICY_APPLY, &q);
}

static void clear_policies(struct ike *ike, const char *name, struct job *job)
{
    struct msg_POLICY_CLEAR q = {.req = ask_new_room(ike, job ? job->id : 0, policy_answer)};
    snprintf(q.conn, sizeof(q.conn), "%s", name);
    if (job)
        job->remaining++;
    ask(ike, ROOM_PATH, q.req, MSG_POLICY_CLEAR, &q);
}

static int check(struct conn *c, struct esp_error *err)
{
    const struct conn_config *cfg = &c->cfg;
    if (!identity_parse(cfg->local_id, &c->local_id))
        return esp_fail(err, -EINVAL, "local.id", "'%.100s' is not an identity that is supported",
                        cfg->local_id);
    if (!identity_parse(cfg->remote_id, &c->remote_id))
        return esp_fail(err, -EINVAL, "remote.id", "'%.100s' is not an identity that is supported",
                        cfg->remote_id);
    if (cfg->local_auth != AUTH_PSK || cfg->remote_auth != AUTH_PSK)
        return esp_fail(err, -EINVAL, "auth", "only psk is supported, at both ends");
    if (!cfg->proposal_count)
        return esp_fail(err, -EINVAL, "proposals", "at least one is needed");
    for (unsigned i = 0; i < cfg->proposal_count; i++) {
        for (unsigned k = 0; k < cfg->proposals[i].count; k++) {
            struct transform t = cfg->proposals[i].t[k];
            if ((t.type == TR_KE && !cr_dh_public_len(t.id)) || (t.type == TR_PRF && !cr_prf_len(t.id)))
                return esp_fail(err, -EINVAL, "proposals", "%s is not supported", transform_name(t));
        }
    }
    return 0;
}

// NULL: err says why.
static struct conn *parse(struct slice blob, struct esp_error *err)
{
    struct reader r = reader_of(blob);
    struct conn *c = calloc(1, sizeof(*c));
    if (!c) {
        esp_fail(err, -ENOMEM, "", "no memory");
        return NULL;
    }
    c->refs = 1;
    c->blob = malloc(blob.len ? blob.len : 1);
    c->blob_len = blob.len;
    bool good = c->blob && conn_read(&r, &c->cfg) && rd_done(&r);
    c->numbers = good ? calloc(c->cfg.child_count + 1u, sizeof(*c->numbers)) : NULL;
    good = good && c->numbers;
    if (good)
        memcpy(c->blob, blob.p, blob.len);
    else
        esp_fail(err, -EINVAL, "conn", "malformed connection");
    if (!good || check(c, err) != 0) {
        conn_unref(c);
        return NULL;
    }
    return c;
}

static struct conn *take_out(struct ike *ike, const char *name)
{
    for (struct conn **at = &ike->conns; *at; at = &(*at)->next) {
        struct conn *c = *at;
        if (strcmp(c->cfg.name, name) == 0) {
            *at = c->next;
            return c;
        }
    }
    return NULL;
}

static bool child_is_up(struct ike *ike, const struct conn *c, const char *child)
{
    for (struct ike_sa *sa = ike->sas; sa; sa = sa->next) {
        if (strcmp(sa->conn->cfg.name, c->cfg.name) != 0 || sa->state == SA_DELETING)
            continue;
        if (sa->hs && sa->hs->child && strcmp(sa->hs->child->name, child) == 0)
            return true;
        for (struct child_sa *k = sa->children; k; k = k->next)
            if (strcmp(k->cfg->name, child) == 0)
                return true;
    }
    return false;
}

static void start_children(struct ike *ike, struct conn *c)
{
    for (unsigned i = 0; i < c->cfg.child_count; i++) {
        const struct child_config *child = &c->cfg.children[i];
        struct esp_error err = {0};
        if (child->start_action != ACTION_START || child_is_up(ike, c, child->name))
            continue;
        if (control_initiate(ike, c, child, NULL, &err) != 0)
            LOGF(CFG, 0, "start_action of %s: %s", child->name, err.text);
    }
}

void conn_load(struct ike *ike, const struct msg_CONN_LOAD *m)
{
    struct esp_error err = {0};
    struct conn *c = parse(m->conn, &err), *old;
    if (!c) {
        ipc_result(ike->chan[ROOM_CTL], m->req, false, "%s%s%s", err.field, err.field[0] ? ": " : "",
                   err.text);
        return;
    }
    old = conn_find(ike, c->cfg.name);
    if (old && slice_eq(slice_of(old->blob, old->blob_len), m->conn)) {
        ipc_result(ike->chan[ROOM_CTL], m->req, true, "%s", "");
        conn_unref(c);
        return;
    }
    struct job *job = control_job_new(ike, JOB_LOAD, m->req);
    if (job)
        job->remaining = 1; // until all are asked for
    uint32_t id = job ? job->id : 0;
    take_out(ike, c->cfg.name);
    struct conn **end = &ike->conns;
    while (*end)
        end = &(*end)->next;
    *end = c;
    apply_policies(ike, c, job);
    LOGF(CFG, 1, "%s connection '%s'", old ? "replaced" : "added", c->cfg.name);
    conn_unref(old);
    start_children(ike, c);
    control_job_step(ike, id, true, "");
}

void conn_unload(struct ike *ike, const struct msg_CONN_UNLOAD *m)
{
    struct conn *c = take_out(ike, m->conn);
    if (!c) {
        ipc_result(ike->chan[ROOM_CTL], m->req, false, "no connection named '%.100s'", m->conn);
        return;
    }
    struct job *job = control_job_new(ike, JOB_LOAD, m->req);
    clear_policies(ike, c->cfg.name, job);
    LOGF(CFG, 1, "removed connection '%s'", c->cfg.name);
    conn_unref(c);
}
