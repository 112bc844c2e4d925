// SPDX-License-Identifier: Apache-2.0
// Loading and unloading connections, all or nothing: path puts the policies (RFC 4301 section 4.4.1) in force
// first, and only when it says yes does the connection stand in the old one's place. Selectors that are
// dynamic (the endpoint's own address) are written out where the address is known, and again when the
// machine's addresses change.
#include "ctrl/ike/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/childsa.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/counts.h"
#include "ctrl/ike/eap.h"
#include "ctrl/ike/eap_client.h"
#include "ctrl/ike/identity.h"
#include "ctrl/ike/edition.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/own_auth.h"
#include "ctrl/ike/proof.h"
#include "ctrl/ike/jobs.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/pending.h"
#include "ctrl/ike/ppk.h"
#include "ctrl/ike/rounds.h"
#include "ctrl/ike/selectors.h"
#include "ctrl/ike/virtual.h"
#include "ctrl/ipc/ipc.h"
#include "ctrl/lib/log.h"
#include "ctrl/lib/policy_wire.h"

// Of one connection; below what a message may hold.
enum { POLICIES_BYTES = 128 * 1024, CONN_BYTES = 128 * 1024 };

// --- what a connection must be ---

static int take_identity(const char *key, const char *text, struct identity **out, struct esp_error *err)
{
    struct identity id;
    if (!identity_parse(text, &id))
        return esp_fail(err, -EINVAL, key, "'%.100s' is not an identity that is supported", text);
    *out = identity_dup(&id);
    return *out ? 0 : esp_fail(err, -ENOMEM, key, "no memory");
}

static int check(struct conn *c, struct esp_error *err)
{
    const struct conn_config *cfg = &c->cfg;
    int rc = take_identity("local.id", cfg->local.id, &c->local_id, err);
    if (!rc)
        rc = take_identity("remote.id", cfg->remote.id, &c->remote_id, err);
    if (rc)
        return rc;
    if (identity_is_addrs(c->local_id))
        return esp_fail(err, -EINVAL, "local.id", "'%.100s' is many addresses: expected one identity",
                        cfg->local.id);
    if ((!cfg->local.auth || !cfg->remote.auth) && !conn_only_policies(cfg))
        return esp_fail(err, -EINVAL, "auth", "psk or pubkey is needed at both ends");
    if (own_auth_check(c, err) != 0 || proof_check_conn(c, err) != 0 || ppk_check_conn(c, err) != 0 ||
        rounds_check(c, err) != 0 || eap_check_conn(c, err) != 0 || eap_client_check(c, err) != 0)
        return -EINVAL;
    if (!cfg->proposal_count)
        return esp_fail(err, -EINVAL, "proposals", "at least one is needed");
    for (unsigned i = 0; i < cfg->proposal_count; i++) {
        for (unsigned k = 0; k < cfg->proposals[i].count; k++) {
            struct transform t = cfg->proposals[i].t[k];
            if ((t.type == TR_KE && !cr_dh_public_len(t.id)) ||
                (transform_is_addke(t) && t.id && !cr_dh_public_len(t.id)) ||
                (t.type == TR_PRF && !cr_prf_len(t.id)))
                return esp_fail(err, -EINVAL, "proposals", "%s is not supported", transform_name(t));
        }
    }
    return 0;
}

// By parts of what it was read from, of `len` octets. False: no memory.
static bool name_parts(const struct ike *ike, struct conn *c, size_t len)
{
    struct conn_config part = c->cfg;
    uint8_t *buf = malloc(len ? len : 1);
    struct writer w = writer_of(buf, len);
    if (!buf)
        return false;
    conn_peer_write(&w, &c->cfg);
    c->peer = w.bad ? 0 : hash_bytes(ike->conn_salt, buf, w.len);
    part.name = "";
    part.child_count = 0;
    w = writer_of(buf, len);
    conn_write(&w, &part);
    c->ike_part = w.bad ? 0 : hash_bytes(ike->peer_salt, buf, w.len);
    free(buf);
    return true;
}

// Of what is configured: what is trapped by hand is the same connection. False: it cannot be made.
static bool make_digest(const struct ike *ike, struct conn *c, struct slice blob)
{
    uint8_t by_hand[CHILDREN_MAX], any = 0, *buf = NULL;
    struct cr_slice all = {blob.p, blob.len};
    for (unsigned i = 0; i < c->cfg.child_count; i++) {
        any |= by_hand[i] = c->cfg.children[i].trap_by_hand;
        c->cfg.children[i].trap_by_hand = TRAP_AS_CONFIGURED;
    }
    if (any && (buf = malloc(blob.len)) != NULL) {
        struct writer w = writer_of(buf, blob.len);
        conn_write(&w, &c->cfg);
        all = (struct cr_slice){buf, w.len};
    }
    for (unsigned i = 0; i < c->cfg.child_count; i++)
        c->cfg.children[i].trap_by_hand = by_hand[i];
    bool made = (!any || buf) && cr_sha256(ike->algs, &all, 1, c->digest) == 0;
    free(buf);
    return made;
}

// NULL: err says why.
static struct conn *parse(struct ike *ike, struct slice blob, struct esp_error *err)
{
    struct reader r = reader_of(blob);
    struct conn *c = calloc(1, sizeof(*c));
    if (!c) {
        esp_fail(err, -ENOMEM, "", "no memory");
        return NULL;
    }
    c->refs = 1;
    bool read = conn_read(&r, &c->cfg) && rd_done(&r), hashed = !read || make_digest(ike, c, blob),
         good = read && hashed;
    c->numbers = good ? calloc(c->cfg.child_count + 1u, sizeof(*c->numbers)) : NULL;
    c->vips = good && c->cfg.vip_count ? calloc(VIPS_MAX, sizeof(*c->vips)) : NULL;
    good = good && c->numbers && (c->vips || !c->cfg.vip_count) && name_parts(ike, c, blob.len) &&
           conn_share(ike, c) == 0;
    if (!good && (!hashed || r.no_memory || rd_done(&r)))
        esp_fail(err, -ENOMEM, "", "no memory");
    else if (!good)
        esp_fail(err, -EINVAL, "conn", "malformed connection");
    if (!good || check(c, err) != 0) {
        conn_unref(c);
        return NULL;
    }
    return c;
}

// --- its policies ---

struct known { // the addresses of one end
    unsigned count;
    bool lacks; // some cannot be said now, as there is no way to a peer
    struct addr a[2 * ADDRS_MAX];
};

static void know(struct known *k, const struct addr *a)
{
    for (unsigned i = 0; i < k->count; i++)
        if (addr_eq(&k->a[i], a))
            return;
    if (a->family && k->count < 2 * ADDRS_MAX)
        k->a[k->count++] = *a;
}

static bool is_dynamic(const struct ts_list *l)
{
    bool dynamic = false;
    for (unsigned i = 0; i < l->count; i++)
        dynamic = dynamic || !l->t[i].family;
    return dynamic;
}

// A child's own end is the address that the route to the peer gives.
static bool follows_routes(const struct conn_config *cfg)
{
    bool any = cfg->local_count == 0, dynamic = false;
    for (unsigned i = 0; i < cfg->local_count; i++)
        any = any || !cfg->local_addrs[i].family;
    for (unsigned i = 0; i < cfg->child_count; i++)
        dynamic = dynamic || is_dynamic(cfg->children[i].local_ts);
    return any && dynamic && cfg->remote_count;
}

static void source_before(const struct conn *old, const struct addr *remote, struct addr *source)
{
    for (unsigned i = 0; old && old->sources && i < old->cfg.remote_count; i++)
        if (addr_eq(&old->cfg.remote_addrs[i], remote))
            *source = old->sources[i];
}

// An address once known stays until another one is: a route that goes away opens nothing.
static int find_sources(struct ike *ike, struct conn *c, const struct conn *old, struct esp_error *err)
{
    if (!follows_routes(&c->cfg))
        return 0;
    if (!c->sources)
        c->sources = calloc(c->cfg.remote_count, sizeof(*c->sources));
    if (!c->sources)
        return esp_fail(err, -ENOMEM, "", "no memory");
    for (unsigned i = 0; i < c->cfg.remote_count; i++) {
        const struct addr *remote = &c->cfg.remote_addrs[i];
        struct addr from = {0};
        if (old != c)
            source_before(old, remote, &c->sources[i]);
        if (remote->family && ike->net.source_for(ike->net.ctx, remote, &from))
            c->sources[i] = from;
    }
    return 0;
}

static void known_ends(const struct conn *c, struct known *local, struct known *remote)
{
    const struct conn_config *cfg = &c->cfg;
    memset(local, 0, sizeof(*local));
    memset(remote, 0, sizeof(*remote));
    for (unsigned i = 0; i < cfg->local_count; i++)
        know(local, &cfg->local_addrs[i]);
    for (unsigned i = 0; i < cfg->remote_count; i++) {
        know(remote, &cfg->remote_addrs[i]);
        if (!c->sources)
            continue;
        know(local, &c->sources[i]);
        local->lacks = local->lacks || (cfg->remote_addrs[i].family && !c->sources[i].family);
    }
}

// False: it takes more selectors than there is room for.
static bool resolve(const struct ts_list *in, const struct known *host, struct ts_list *out)
{
    out->count = 0;
    for (unsigned i = 0; i < in->count; i++) {
        unsigned n = in->t[i].family || !host->count ? 1 : host->count;
        for (unsigned k = 0; k < n; k++) {
            if (out->count == TS_MAX)
                return false;
            struct ts_list one = {.count = 1, .t = {in->t[i]}};
            if (host->count)
                selectors_resolve(&one, &host->a[k], &one);
            out->t[out->count++] = one.t[0];
        }
    }
    return true;
}

static const struct policy_spec *same_policy(const struct policy_spec *p, unsigned count,
                                             const struct policy_spec *s)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(p[i].child, s->child) == 0 && p[i].action == s->action && p[i].mode == s->mode &&
            p[i].priority == s->priority && p[i].if_id == s->if_id && p[i].given == s->given &&
            tunnel_routes_eq(&p[i].route, &s->route) && ts_lists_eq(&p[i].local, &s->local) &&
            ts_lists_eq(&p[i].remote, &s->remote))
            return &p[i];
    return NULL;
}

static bool all_dynamic(const struct ts_list *l)
{
    for (unsigned i = 0; i < l->count; i++)
        if (l->t[i].family)
            return false;
    return l->count > 0;
}

static int spec_of(const struct ike *ike, const struct conn *c, unsigned i, const struct known *local,
                   const struct known *remote, struct policy_spec *s, struct esp_error *err)
{
    const struct child_config *child = &c->cfg.children[i];
    *s = (struct policy_spec){
        .action = child->action, .mode = child->mode, .priority = child->priority, .if_id = child->if_id};
    if (child->route && child->action == POLICY_PROTECT)
        s->route = *child->route;
    snprintf(s->child, sizeof(s->child), "%s", child->name);
    s->trap =
        s->action == POLICY_PROTECT && child->trap_by_hand != TRAP_UNINSTALLED &&
        (child->start_action & ACTION_TRAP || child->trap_by_hand == TRAP_INSTALLED || c->numbers[i].trapped);
    struct ts_list ours, theirs;
    static const struct known nobody;
    bool tunnel = child->mode == MODE_TUNNEL, vips = c->cfg.vip_count && tunnel,
         pools = c->cfg.pool_count && tunnel;
    ts_list_copy(&ours, child->local_ts);
    ts_list_copy(&theirs, child->remote_ts);
    s->given = (pools && all_dynamic(&theirs)) || (vips && all_dynamic(&ours));
    s->later =
        s->action != POLICY_BYPASS && ((!vips && local->lacks && is_dynamic(&ours)) ||
                                       (pools && is_dynamic(&theirs) && !virtual_pools_known(ike, &c->cfg)));
    if (vips && !virtual_own_ts(c, &ours))
        return esp_fail(err, -E2BIG, child->name, "more than %d selectors with the virtual addresses",
                        TS_MAX);
    if (pools && !virtual_pool_ts(ike, &c->cfg, &theirs))
        return esp_fail(err, -E2BIG, child->name, "more than %d selectors with the addresses of its pools",
                        TS_MAX);
    if (!resolve(&ours, vips ? &nobody : local, &s->local) ||
        !resolve(&theirs, pools ? &nobody : remote, &s->remote))
        return esp_fail(err, -E2BIG, child->name,
                        "more than %d selectors once the dynamic ones are written out", TS_MAX);
    return 0;
}

static void drop_pending(struct conn *c)
{
    free(c->pending);
    free(c->pending_ids);
    c->pending = NULL; // or it would be waited for
    c->pending_ids = NULL;
}

static int keep_policies(struct conn *c, const struct policy_spec *specs, uint8_t *buf, struct esp_error *err)
{
    struct writer w = writer_of(buf, POLICIES_BYTES);
    policies_write(&w, specs, c->cfg.child_count);
    if (w.bad)
        return esp_fail(err, -E2BIG, "children", "their selectors are too many for one connection");
    c->pending = malloc(w.len);
    c->pending_ids = calloc(c->cfg.child_count + 1u, sizeof(*c->pending_ids));
    if (!c->pending || !c->pending_ids) {
        drop_pending(c);
        return esp_fail(err, -ENOMEM, "", "no memory");
    }
    memcpy(c->pending, buf, w.len);
    c->pending_len = w.len;
    for (unsigned i = 0; i < c->cfg.child_count; i++)
        c->pending_ids[i] = specs[i].id;
    return 0;
}

// Numbers as they were in `old`, which may be NULL; a policy that is still the same, and for the same peer,
// keeps its id.
static int make_policies(struct ike *ike, struct conn *c, const struct conn *old, struct esp_error *err)
{
    uint8_t *buf = malloc(POLICIES_BYTES);
    struct policy_spec *before = NULL, *specs = calloc(c->cfg.child_count + 1u, sizeof(*specs));
    struct known local, remote;
    unsigned count = 0;
    int rc = specs && buf ? 0 : esp_fail(err, -ENOMEM, "", "no memory");
    if (old && old->policies && !rc)
        rc = policies_read(slice_of(old->policies, old->policies_len), &before, &count);
    if (!rc)
        rc = find_sources(ike, c, old, err);
    known_ends(c, &local, &remote);
    if (old && old != c && old->vips && c->vips) {
        memcpy(c->vips, old->vips, old->vip_count * sizeof(*c->vips));
        c->vip_count = old->vip_count;
    }
    for (unsigned i = 0; specs && i < c->cfg.child_count && !rc; i++) {
        const struct child_config *was = old ? conn_child(old, c->cfg.children[i].name) : NULL;
        if (was && old != c)
            c->numbers[i] = old->numbers[was - old->cfg.children];
        rc = spec_of(ike, c, i, &local, &remote, &specs[i], err);
        const struct policy_spec *same =
            old && old->peer == c->peer ? same_policy(before, count, &specs[i]) : NULL;
        specs[i].id = same ? same->id : ++ike->next_policy;
    }
    if (!rc && specs && buf)
        rc = keep_policies(c, specs, buf, err);
    free(buf);
    free(specs);
    free(before);
    return rc;
}

// Path has them: they are what the connection goes by from now on. Nothing here can fail, or path and ike
// would differ.
static void take_policies(struct conn *c)
{
    for (unsigned i = 0; i < c->cfg.child_count; i++)
        c->numbers[i].policy_id = c->pending_ids[i];
    free(c->policies);
    c->policies = c->pending;
    c->policies_len = c->pending_len;
    c->pending = NULL;
    drop_pending(c);
}

// Other ones than path, or the last one, may have of it. Of an ike that is given what the last one had none
// is, as far as it can know.
static bool is_edit(struct ike *ike, const struct conn *c)
{
    const struct conn *live = conn_find(ike, c->cfg.name);
    return !ike->partial && !(live && slice_eq(slice_of(c->pending, c->pending_len),
                                               slice_of(live->policies, live->policies_len)));
}

static void send_policies(struct ike *ike, const struct conn *c, uint32_t req)
{
    struct msg_POLICY_APPLY q = {.req = req,
                                 .peer = c->peer,
                                 .edit = is_edit(ike, c),
                                 .first = !conn_find(ike, c->cfg.name),
                                 .policies = slice_of(c->pending, c->pending_len)};
    snprintf(q.conn, sizeof(q.conn), "%s", c->cfg.name);
    ask(ike, ROOM_PATH, q.req, MSG_POLICY_APPLY, &q);
}

// Without memory for the question the job ends at once (0), as with any other answer.
static uint32_t ask_path(struct ike *ike, const struct job *job, room_fn fn)
{
    uint32_t req = ask_new_room(ike, job->id, fn);
    union msg m = {0};
    snprintf(m.RESULT.text, sizeof(m.RESULT.text), "no memory");
    if (!req)
        fn(ike, job->id, MSG_RESULT, &m);
    return req;
}

// --- to another path, that has nothing yet ---

enum { APPLY_WINDOW = 64 };

// The job has its answer, or is about to end; before that.
static void has_answer(struct ike *ike, struct job *job)
{
    if (job->again)
        ike->again.asked--;
    job->again = false;
}

// --- load ---

static struct conn *newest(struct ike *ike, const char *name)
{
    for (const struct job *j = ike->jobs; j; j = j->next) // the newest stands first
        if (j->kind == JOB_LOAD && j->conn && strcmp(j->conn->cfg.name, name) == 0)
            return j->conn;
    return conn_find(ike, name);
}

static bool equal(const struct conn *a, const struct conn *b)
{
    return memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
}

static int put_in_place(struct ike *ike, struct conn *c)
{
    struct conn *old = conn_find(ike, c->cfg.name);
    bool same = old && equal(old, c);
    int rc = conn_add(ike, c); // its memory was there before path was asked
    if (rc)
        return rc;
    c->refs++;
    take_policies(c);
    if (old) {
        conn_remove(ike, old);
        conn_unref(old);
    }
    counts_settle(ike, c);
    edition_follow(ike, c);
    if (same)
        return 0;
    LOGF(CFG, 1, "%s connection '%s'", old ? "replaced" : "added", c->cfg.name);
    ike->events->conn_loaded(ike, c);
    return 0;
}

static void applied(struct ike *ike, uint32_t id, enum msg_type t, const union msg *m)
{
    struct job *job = job_find(ike, id);
    bool ok = answer_ok(t, m);
    char why[sizeof(m->RESULT.text)];
    snprintf(why, sizeof(why), "%s", answer_text(t, m));
    if (!job)
        return;
    has_answer(ike, job);
    struct conn *c = job->conn;
    job->conn = NULL;
    if (ok && put_in_place(ike, c) != 0) {
        ok = false; // path has policies of a connection that is not there: protected all the same
        snprintf(why, sizeof(why), "no memory");
    }
    if (!ok)
        LOGF(CFG, 0, "connection '%s' is not loaded: %s", c->cfg.name, why);
    struct conn *live = conn_find(ike, c->cfg.name);
    if (live && (c->stale || live->unapplied)) // another path was asked for c alone
        conn_renew(ike, live);
    conn_unref(c);
    job_step(ike, id, ok, why);
    conn_apply_on(ike);
}

void conn_load(struct ike *ike, const struct msg_CONN_LOAD *m)
{
    struct esp_error err = {0};
    struct conn *c = parse(ike, m->conn, &err);
    if (c &&
        (ppk_check_way(ike, c, &err) != 0 || make_policies(ike, c, newest(ike, c->cfg.name), &err) != 0 ||
         ((!counts_follow(ike, c) || conn_reserve(ike, c) != 0) &&
          esp_fail(&err, -ENOMEM, "", "no memory")))) {
        conn_unref(c);
        c = NULL;
    }
    struct job *job = c ? job_new(ike, JOB_LOAD, m->req) : NULL;
    if (!job) {
        ipc_result(ike->chan[ROOM_CTL], m->req, false, "%s%s%s", err.field, err.field[0] ? ": " : "",
                   c ? "no memory" : err.text);
        conn_unref(c);
        return;
    }
    c->number = m->number;
    job->conn = c;
    uint32_t req = ask_path(ike, job, applied);
    if (req)
        send_policies(ike, c, req);
}

// --- unload ---

static bool another_unload(const struct ike *ike, const struct job *job)
{
    for (const struct job *j = ike->jobs; j; j = j->next)
        if (j != job && j->kind == JOB_LOAD && !j->conn && strcmp(j->child, job->child) == 0)
            return true;
    return false;
}

static void cleared(struct ike *ike, uint32_t id, enum msg_type t, const union msg *m)
{
    struct job *job = job_find(ike, id);
    struct conn *c = job ? conn_find(ike, job->child) : NULL;
    if (job)
        has_answer(ike, job);
    if (c && answer_ok(t, m)) {
        LOGF(CFG, 1, "removed connection '%s'", c->cfg.name);
        conn_remove(ike, c);
        edition_removed(ike, c);
        conn_unref(c);
    } else if (c && !another_unload(ike, job)) {
        c->leaving = false;
        if (c->stale || c->unapplied)
            conn_renew(ike, c);
    }
    job_step(ike, id, answer_ok(t, m), answer_text(t, m));
    conn_apply_on(ike);
}

static void ask_clear(struct ike *ike, struct job *job)
{
    struct msg_POLICY_CLEAR q = {.req = ask_path(ike, job, cleared)};
    snprintf(q.conn, sizeof(q.conn), "%s", job->child);
    if (q.req)
        ask(ike, ROOM_PATH, q.req, MSG_POLICY_CLEAR, &q);
}

// Path may have policies of one that is not here: of the ike before, which this one had no memory for.
void conn_unload(struct ike *ike, const struct msg_CONN_UNLOAD *m)
{
    struct conn *c = newest(ike, m->conn);
    struct job *job = job_new(ike, JOB_LOAD, m->req);
    if (!job) {
        ipc_result(ike->chan[ROOM_CTL], m->req, false, "no memory");
        return;
    }
    snprintf(job->child, sizeof(job->child), "%s", m->conn);
    struct conn *live = conn_find(ike, m->conn);
    if (c)
        c->leaving = true;
    if (live)
        live->leaving = true;
    ask_clear(ike, job);
}

// --- listing ---

// Of ctl's own, not of policies that are written out anew.
static bool being_loaded(const struct ike *ike)
{
    for (const struct job *j = ike->jobs; j; j = j->next)
        if (j->kind == JOB_LOAD && j->req)
            return true;
    return false;
}

// False: no memory.
static bool send_conn(struct ike *ike, const struct conn *c, uint32_t req)
{
    uint8_t *buf = malloc(CONN_BYTES);
    struct writer w = writer_of(buf, buf ? CONN_BYTES : 0);
    conn_write(&w, &c->cfg);
    if (!w.bad)
        ipc_send(ike->chan[ROOM_CTL], MSG_CONN_IS,
                 &(struct msg_CONN_IS){.req = req, .number = c->number, .conn = wr_written(&w)});
    free(buf);
    return !w.bad;
}

// A cursor is the order of the one to go on with.
void conn_list(struct ike *ike, const struct msg_CONN_LIST *m)
{
    struct ipc_chan *ctl = ike->chan[ROOM_CTL];
    unsigned left = ipc_page(m->most);
    if (being_loaded(ike)) {
        ipc_result(ctl, m->req, false, "%s", CONN_LIST_BUSY);
        return;
    }
    for (const struct conn *c = ike->conns; c; c = c->next) {
        if (c->order < m->from)
            continue;
        if (!left-- || !ipc_has_room(ctl)) {
            ipc_send(ctl, MSG_LIST_MORE, &(struct msg_LIST_MORE){.req = m->req, .next = c->order});
            return;
        }
        if (!send_conn(ike, c, m->req)) {
            ipc_result(ctl, m->req, false, "no memory");
            return;
        }
    }
    ipc_result(ctl, m->req, true, "%s", "");
}

// --- the machine's addresses, and traps that are set later ---

static bool holds(const struct ts_list *l, const struct addr *a)
{
    for (unsigned i = 0; i < l->count; i++) {
        const struct ts *t = &l->t[i];
        size_t n = a->family == 4 ? 4 : 16;
        if (t->family == a->family && memcmp(t->lo, a->a, n) <= 0 && memcmp(a->a, t->hi, n) <= 0)
            return true;
    }
    return false;
}

bool conn_holds(const struct conn *c, const struct addr *address)
{
    struct policy_spec *specs = NULL;
    unsigned count = 0;
    bool all = policies_read(slice_of(c->policies, c->policies_len), &specs, &count) == 0;
    for (unsigned i = 0; i < c->cfg.child_count && all; i++) {
        const struct child_config *child = &c->cfg.children[i];
        if (child->action == POLICY_PROTECT && child->mode == MODE_TUNNEL && is_dynamic(child->local_ts))
            all = i < count && holds(&specs[i].local, address);
    }
    free(specs);
    return all;
}

// A selector whose address is not known yet is that of the SA's own end, which path looks at.
static bool all_inside(const struct ts_list *sa, const struct ts_list *of)
{
    bool in = true;
    for (unsigned i = 0; i < sa->count && in; i++) {
        in = false;
        for (unsigned k = 0; k < of->count && !in; k++)
            in = !of->t[k].family || ts_contains(&of->t[k], &sa->t[i]);
    }
    return in;
}

bool conn_takes(const struct conn *c, const struct child_config *child, const struct child_sa *sa)
{
    struct policy_spec *specs = NULL;
    unsigned count = 0, i = (unsigned)(child - c->cfg.children);
    bool takes = ts_lists_eq(child->local_ts, sa->cfg->local_ts) &&
                 ts_lists_eq(child->remote_ts, sa->cfg->remote_ts) &&
                 policies_read(slice_of(c->policies, c->policies_len), &specs, &count) == 0 && i < count &&
                 specs[i].action == POLICY_PROTECT && specs[i].mode == sa->cfg->mode &&
                 all_inside(sa->local_ts, &specs[i].local) && all_inside(sa->remote_ts, &specs[i].remote);
    free(specs);
    return takes;
}

static bool all_named(const struct ts_list *sa, const struct ts_list *of)
{
    for (unsigned k = 0; k < of->count; k++)
        if (!of->t[k].family)
            return false;
    return all_inside(sa, of);
}

bool conn_protects(const struct conn *c, const struct child_sa *sa)
{
    struct policy_spec *specs = NULL;
    unsigned count = 0;
    bool named = false;
    (void)policies_read(slice_of(c->policies, c->policies_len), &specs, &count);
    for (unsigned i = 0; specs && i < count && !named; i++)
        named = specs[i].action == POLICY_PROTECT && all_named(sa->local_ts, &specs[i].local) &&
                all_named(sa->remote_ts, &specs[i].remote);
    free(specs);
    return named;
}

enum { RENEWALS_MOST = 12, RENEW_AGAIN_MS = 1000, RENEW_LONGEST = 6 };

static void renew_all(struct timer *t)
{
    struct ike *ike = t->ctx;
    for (struct conn *c = ike->conns, *next; c; c = next) {
        next = c->next;
        if (c->unrenewed)
            conn_renew(ike, c);
    }
}

// What memory was short for, here or in path, is done when there is some: what its policies lack is not
// protected as it is to be.
static void not_renewed(struct ike *ike, struct conn *c, bool again, const char *why)
{
    again = again && c->renewals < RENEWALS_MOST;
    LOGF(KNL, 0, "the policies of connection '%s' stay as they were%s: %s", c->cfg.name,
         again ? ", for now" : "", why);
    c->unrenewed = again;
    if (!again)
        return;
    uint64_t ms = (uint64_t)RENEW_AGAIN_MS << (c->renewals < RENEW_LONGEST ? c->renewals : RENEW_LONGEST);
    c->renewals++;
    if (ike->renewal.armed && ike->renewal.at <= loop_now(ike->loop) + ms)
        return; // it is looked at with another one
    ike->renewal.fire = renew_all;
    ike->renewal.ctx = ike;
    timer_set(ike->loop, &ike->renewal, loop_now(ike->loop) + ms);
}

static void renewed(struct ike *ike, uint32_t id, enum msg_type t, const union msg *m)
{
    struct job *job = job_find(ike, id);
    struct conn *c = job ? job->conn : NULL;
    if (!c)
        return;
    has_answer(ike, job);
    job->conn = NULL;
    if (answer_ok(t, m)) {
        c->renewals = 0;
        c->unapplied = false;
    }
    if (answer_ok(t, m) && c->pending)
        take_policies(c);
    else if (!answer_ok(t, m))
        not_renewed(ike, c, !ike->stopping, answer_text(t, m));
    drop_pending(c);
    job_step(ike, id, true, "");
    if (c->stale)
        conn_renew(ike, c);
    conn_unref(c);
    conn_apply_on(ike);
}

void conn_renew(struct ike *ike, struct conn *c)
{
    struct esp_error err = {0};
    struct conn *latest = newest(ike, c->cfg.name);
    if (latest != c) {
        latest->stale = true; // it was made before; what is in place when path has answered is renewed then
        return;
    }
    c->stale = c->pending != NULL || c->leaving;
    if (c->stale)
        return; // once more when path has answered, and never behind its last word
    c->unrenewed = false;
    if (make_policies(ike, c, c, &err) != 0) {
        not_renewed(ike, c, err.code == -ENOMEM, err.text);
        return;
    }
    if (!c->unapplied &&
        slice_eq(slice_of(c->pending, c->pending_len), slice_of(c->policies, c->policies_len))) {
        drop_pending(c);
        return;
    }
    struct job *job = job_new(ike, JOB_LOAD, 0);
    if (!job) {
        not_renewed(ike, c, true, "no memory");
        drop_pending(c);
        return;
    }
    job->conn = c;
    job->again = ike->again.busy;
    ike->again.asked += job->again;
    c->refs++;
    uint32_t req = ask_path(ike, job, renewed);
    if (req)
        send_policies(ike, c, req);
}

bool conn_asks_again(struct ike *ike, uint32_t id)
{
    struct job *job = job_find(ike, id);
    if (!job || job->kind != JOB_LOAD)
        return false;
    job->unasked = true;
    job->again = false;
    return true;
}

bool conn_all_applied(const struct ike *ike)
{
    for (const struct conn *c = ike->conns; c; c = c->next)
        if (c->unapplied && !c->leaving)
            return false;
    return true;
}

static struct job *oldest_unasked(const struct ike *ike)
{
    struct job *oldest = NULL;
    for (struct job *j = ike->jobs; j; j = j->next) // the newest stands first
        oldest = j->unasked ? j : oldest;
    return oldest;
}

static void ask_once_more(struct ike *ike, struct job *job)
{
    struct conn *c = job->conn;
    job->unasked = false;
    job->again = true;
    ike->again.asked++;
    if (!c) {
        ask_clear(ike, job);
        return;
    }
    uint32_t req = ask_path(ike, job, job->req ? applied : renewed);
    if (req)
        send_policies(ike, c, req);
}

// What is being replaced, renewed or unloaded is asked for behind the others.
static void apply_some(struct ike *ike)
{
    struct path_again *a = &ike->again;
    while (a->next && a->asked < APPLY_WINDOW) {
        struct conn *c = a->next;
        a->next = c->next;
        if (c->unapplied && !c->pending && !c->leaving && newest(ike, c->cfg.name) == c)
            conn_renew(ike, c);
    }
    for (struct job *j; !a->next && a->asked < APPLY_WINDOW && (j = oldest_unasked(ike)) != NULL;)
        ask_once_more(ike, j);
}

void conn_apply_on(struct ike *ike)
{
    struct path_again *a = &ike->again;
    if (a->busy) // what could not be sent is answered at once
        return;
    if (!a->sending) {
        path_again_whole(ike);
        return;
    }
    a->busy = true;
    apply_some(ike);
    a->busy = false;
    if (a->asked || a->next)
        return;
    a->sending = false;
    path_again_applied(ike);
}

void conn_apply_all(struct ike *ike)
{
    struct path_again *a = &ike->again;
    for (struct conn *c = ike->conns; c; c = c->next)
        c->unapplied = true;
    a->asked = 0;
    a->next = ike->conns;
    a->sending = true;
    conn_apply_on(ike);
}

void conn_trap(struct ike *ike, struct conn *c, const struct child_config *child)
{
    struct child_numbers *n = &c->numbers[child - c->cfg.children];
    struct conn *latest = newest(ike, c->cfg.name);
    const struct child_config *k = latest ? conn_child(latest, child->name) : NULL;
    if (n->trapped || child->start_action & ACTION_TRAP)
        return;
    n->trapped = true;
    if (k) // being loaded
        latest->numbers[k - latest->cfg.children].trapped = true;
    conn_renew(ike, c);
}

void conn_first_loads(struct ike *ike, bool (*differs)(const struct conn *c, const void *ctx),
                      const void *ctx)
{
    for (const struct job *j = ike->jobs; j; j = j->next) // nothing of a new one's name is in place yet
        if (j->kind == JOB_LOAD && j->conn && differs(j->conn, ctx) && !conn_find(ike, j->conn->cfg.name))
            j->conn->stale = true;
}

static bool follows(const struct conn *c, const void *ctx)
{
    (void)ctx;
    return c->sources != NULL;
}

void conn_addrs_changed(struct ike *ike)
{
    conn_first_loads(ike, follows, NULL);
    for (struct conn *c = ike->conns, *next; c; c = next) {
        next = c->next;
        if (c->sources) // of the others nothing can differ
            conn_renew(ike, c);
    }
}
