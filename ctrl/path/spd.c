// SPDX-License-Identifier: Apache-2.0
// See spd.h. A connection's policies change as one: new ones are in the classifier and the kernel before old
// ones leave, and when anything of that fails nothing has changed.
#include "ctrl/path/path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctrl/lib/log.h"

// ---- rank

static unsigned address_bits(const struct ts *t) // of 128 that are the same in all of it
{
    unsigned bits = t->family == 6 ? 128 : 32, n = 0;
    if (!t->family)
        return 128; // one address, whichever
    while (n < bits && !((t->lo[n / 8] ^ t->hi[n / 8]) & (0x80 >> n % 8)))
        n++;
    return t->family == 6 ? n : 4 * n;
}

static unsigned specificity(const struct ts *t) // at most 128 * 128 + 17
{
    unsigned ports = ts_opaque(t) ? 1 : 1u + t->port_hi - t->port_lo, bits = 0;
    while (ports < 65536) {
        ports *= 2;
        bits++;
    }
    return 128 * address_bits(t) + bits + (t->proto != 0);
}

static unsigned least_specific(struct selectors l)
{
    unsigned least = UINT32_MAX;
    for (unsigned i = 0; i < l.count; i++) {
        unsigned s = specificity(&l.t[i]);
        least = s < least ? s : least;
    }
    return l.count ? least : 0;
}

#define RANK_AMONG (1u << 31)
// 63: without explicit priority; 62 ... 32: the priority, or (62: protect) how little specific; 30 ... 1: the
// order of loading; 0: not an instance. 31 is 0 of what goes before all of its equals.
static uint64_t rank_of(const struct policy *pol, uint32_t priority, uint32_t order)
{
    uint64_t first = priority < INT32_MAX ? priority : INT32_MAX;
    if (!priority)
        first = SPD_RANK_COMPUTED | (pol->action == POLICY_PROTECT ? SPD_RANK_PROTECT : 0) |
                (65535 - least_specific(policy_local(pol)) - least_specific(policy_remote(pol)));
    return first << 32 | RANK_AMONG | (uint64_t)(order & (INT32_MAX >> 1)) << 1 | 1;
}

// ---- policies

// Its head and selectors, with more octets behind them.
static struct policy *make(const struct policy *like, struct selectors local, struct selectors remote,
                           size_t more)
{
    size_t n = local.count + remote.count;
    struct policy *pol = calloc(1, sizeof(*like) + n * sizeof(struct ts) + more);
    if (!pol)
        return NULL;
    memcpy(pol, like, sizeof(*like));
    pol->local_count = local.count;
    pol->remote_count = remote.count;
    if (local.count)
        memcpy(pol->ts, local.t, local.count * sizeof(struct ts));
    if (remote.count)
        memcpy(pol->ts + local.count, remote.t, remote.count * sizeof(struct ts));
    return pol;
}

static struct policy *make_whole(const struct policy *like, const char *conn, const struct policy_spec *s)
{
    enum { ALIGN = _Alignof(struct policy_whole) };
    size_t n = strlen(conn) + 1, m = strlen(s->child) + 1;
    size_t selectors = (s->local.count + s->remote.count) * sizeof(struct ts);
    size_t fill = (ALIGN - (sizeof(*like) + selectors) % ALIGN) % ALIGN;
    struct policy *pol = make(like, selectors_of(&s->local), selectors_of(&s->remote),
                              fill + sizeof(struct policy_whole) + n + m);
    if (!pol)
        return NULL;
    pol->whole = (struct policy_whole *)(void *)((char *)pol->ts + selectors + fill);
    pol->whole->pol = pol;
    char *names = (char *)(pol->whole + 1);
    pol->whole->conn = memcpy(names, conn, n);
    pol->whole->child = memcpy(names + n, s->child, m);
    return pol;
}

static bool any_dynamic(struct selectors l)
{
    for (unsigned i = 0; i < l.count; i++)
        if (!l.t[i].family)
            return true;
    return false;
}

static struct policy *policy_by_id(const struct spd *s, uint32_t id)
{
    for (struct hash_node *n = hash_first(&s->by_id, hash_u64(id)); n; n = hash_next(n)) {
        struct policy *pol = (struct policy *)n;
        if (pol->id == id)
            return pol;
    }
    return NULL;
}

static struct policy *of_conn_node(struct hash_node *n)
{
    return n ? ((struct policy_whole *)(void *)((char *)n - offsetof(struct policy_whole, conn_node)))->pol
             : NULL;
}

static struct policy *next_of_conn(struct hash_node *n, const char *conn)
{
    while (n && strcmp(policy_conn(of_conn_node(n)), conn))
        n = hash_next(n);
    return of_conn_node(n);
}

struct policy *spd_first_of_conn(const struct spd *s, const char *conn)
{
    return next_of_conn(hash_first(&s->by_conn, hash_str(0, conn)), conn);
}

struct policy *spd_next_of_conn(const struct policy *pol)
{
    return next_of_conn(hash_next(&pol->whole->conn_node), policy_conn(pol));
}

struct classifier *spd_classes_of(struct spd *s, const struct policy *pol)
{
    return pol->vti ? &s->vtis.at[pol->vti]->classes : &s->classes;
}

int spd_classify(struct spd *s, struct policy *pol, struct esp_error *err)
{
    struct class_rule rule = {pol->rank, pol};
    int rc = classifier_add(spd_classes_of(s, pol), policy_local(pol), policy_remote(pol), rule, err);
    pol->classified = rc == 0;
    s->generation++;
    return rc;
}

void spd_unclassify(struct spd *s, struct policy *pol)
{
    if (pol->classified)
        classifier_remove(spd_classes_of(s, pol), policy_local(pol), policy_remote(pol),
                          (struct class_rule){pol->rank, pol});
    pol->classified = false;
}

static void leave(struct path *p, struct policy *pol)
{
    struct spd *s = &p->spd;
    spd_unclassify(s, pol);
    while (policy_instances(pol))
        policy_unlink(policy_instances(pol));
    while (pol->heirs_of)
        policy_unlink(pol->heirs_of);
    policy_unlink(&pol->among);
    policy_unlink(&pol->heir);
    heir_forget(s, pol);
    if (!pol->whole) {
        hash_del(&s->instances, &pol->node);
    } else {
        traffic_put(p, pol->whole->traffic);
        vti_way_end(p, pol);
        if (pol->vti)
            vti_put(p, pol->vti);
        hash_del(&s->by_id, &pol->node);
        hash_del(&s->by_conn, &pol->whole->conn_node);
    }
    s->generation++;
    free(pol);
}

// Into the data base, not into the kernel. On a failure the policy is gone.
static int enter(struct path *p, struct policy *pol, struct esp_error *err)
{
    struct spd *s = &p->spd;
    int rc = spd_classify(s, pol, err);
    if (rc == 0 && (hash_add(&s->by_id, &pol->node, hash_u64(pol->id)) < 0 ||
                    hash_add(&s->by_conn, &pol->whole->conn_node, hash_str(0, policy_conn(pol))) < 0))
        rc = esp_fail(err, -ENOMEM, "policy", "out of memory");
    if (rc < 0)
        leave(p, pol);
    return rc;
}

// ---- one connection's policies, as one

struct change {
    struct path *p;
    const char *conn;
    uint64_t peer;
    struct policy_spec *spec;
    unsigned specs;
    struct policy **kept, **born, **gone; // of spec; of spec; those that nothing needs any more
    unsigned born_count, gone_count;
};

static bool same(const struct vtis *v, const struct policy *pol, const char *conn, uint64_t peer,
                 const struct policy_spec *s)
{
    bool eq = !strcmp(policy_conn(pol), conn) && policy_peer(pol) == peer &&
              !strcmp(policy_child(pol), s->child) && pol->action == s->action && pol->mode == s->mode &&
              pol->given == s->given && vti_if_id(v, pol->vti) == s->if_id &&
              tunnel_routes_eq(vti_way_route(pol), &s->route) && pol->local_count == s->local.count &&
              pol->remote_count == s->remote.count;
    for (unsigned i = 0; eq && i < pol->local_count; i++)
        eq = ts_eq(&policy_local(pol).t[i], &s->local.t[i]);
    for (unsigned i = 0; eq && i < pol->remote_count; i++)
        eq = ts_eq(&policy_remote(pol).t[i], &s->remote.t[i]);
    return eq;
}

static int bear(struct change *c, const struct policy_spec *s, struct esp_error *err)
{
    struct policy like = {.id = s->id,
                          .action = s->action,
                          .mode = s->mode,
                          .trap = s->trap,
                          .given = s->given,
                          .later = s->later,
                          .loaded = true};
    int rc = s->if_id ? vti_get(c->p, s->if_id, &like.vti, err) : 0;
    if (rc < 0)
        return rc;
    struct policy *pol = make_whole(&like, c->conn, s);
    if (!pol) {
        if (like.vti)
            vti_put(c->p, like.vti);
        return esp_fail(err, -ENOMEM, s->child, "out of memory");
    }
    pol->whole->peer = c->peer;
    if (pol->action == POLICY_PROTECT)
        pol->whole->traffic = traffic_find(c->p, policy_conn(pol), policy_child(pol));
    pol->dynamic = any_dynamic(policy_local(pol)) || any_dynamic(policy_remote(pol));
    pol->rank = rank_of(pol, s->priority, c->p->spd.order++);
    rc = enter(c->p, pol, err);
    if (rc < 0)
        return rc;
    c->born[c->born_count++] = pol;
    return s->route.metric ? vti_way_begin(c->p, pol, &s->route, err) : 0;
}

static int plan_one(struct change *c, unsigned i, struct esp_error *err)
{
    const struct policy_spec *s = &c->spec[i];
    struct policy *old = policy_by_id(&c->p->spd, s->id);
    if (!s->local.count || !s->remote.count)
        return esp_fail(err, -EINVAL, s->child, "a policy without %s selectors",
                        s->local.count ? "remote" : "local");
    if (s->if_id && s->action != POLICY_PROTECT)
        return esp_fail(err, -EINVAL, s->child, "only what protects has an interface of its own");
    if (!old || old->into) // a number that SAs know another policy by hides behind that of the new one
        return bear(c, s, err);
    if (!same(&c->p->spd.vtis, old, c->conn, c->peer, s))
        return esp_fail(err, -EEXIST, s->child, "policy id %u is that of %.60s/%.60s", s->id,
                        policy_conn(old), policy_child(old));
    for (unsigned j = 0; j < c->born_count; j++)
        if (c->born[j] == old)
            return esp_fail(err, -EEXIST, s->child, "policy id %u is there twice", s->id);
    c->kept[i] = old;
    return 0;
}

static bool listed(const struct change *c, const struct policy *pol)
{
    for (unsigned i = 0; i < c->specs; i++)
        if (c->spec[i].id == pol->id)
            return true;
    return false;
}

static int count_of_conn(const struct spd *s, const char *conn)
{
    int n = 0;
    for (struct policy *i = spd_first_of_conn(s, conn); i; i = spd_next_of_conn(i))
        n++;
    return n;
}

// Of one without an SA an instance may still stand for SAs of the heir.
static bool serves_nobody(const struct policy *pol)
{
    return !pol->sa_count && !policy_instances(pol) && !pol->heirs_of;
}

static int plan(struct change *c, struct esp_error *err)
{
    size_t n = c->specs + (size_t)count_of_conn(&c->p->spd, c->conn) + 1;
    int rc = 0;
    c->kept = calloc(n, sizeof(struct policy *));
    c->born = calloc(n, sizeof(struct policy *));
    c->gone = calloc(n, sizeof(struct policy *));
    if (!c->kept || !c->born || !c->gone)
        return esp_fail(err, -ENOMEM, "policies", "out of memory");
    for (unsigned i = 0; i < c->specs && rc == 0; i++)
        rc = plan_one(c, i, err);
    for (struct policy *i = spd_first_of_conn(&c->p->spd, c->conn); i && rc == 0; i = spd_next_of_conn(i))
        if (!listed(c, i) && serves_nobody(i))
            c->gone[c->gone_count++] = i;
    return rc;
}

// It has happened: what is loaded and what is not. Those that an SA still needs stay in force.
static void commit(struct change *c)
{
    for (unsigned i = 0; i < c->gone_count; i++)
        leave(c->p, c->gone[i]);
    for (struct policy *i = spd_first_of_conn(&c->p->spd, c->conn); i; i = spd_next_of_conn(i)) {
        i->loaded = !i->into && listed(c, i);
        i->trap = i->trap && i->loaded;
        if (i->loaded)
            i->whole->peer = c->peer;
        heir_list(&c->p->spd, i);
    }
    for (unsigned i = 0; i < c->born_count; i++)
        if (c->born[i]->vti)
            vti_settle(&c->p->spd.vtis, c->born[i]->vti);
    for (unsigned i = 0; i < c->specs; i++)
        if (c->kept[i]) {
            c->kept[i]->trap = c->spec[i].trap;
            c->kept[i]->later = c->spec[i].later;
        }
    heir_settle(c->p, c->conn);
}

static int change(struct path *p, const char *conn, uint64_t peer, struct policy_spec *spec, unsigned specs,
                  struct esp_error *err)
{
    struct change c = {.p = p, .conn = conn, .peer = peer, .spec = spec, .specs = specs};
    int rc = plan(&c, err);
    if (rc == 0)
        rc = policy_kernel(p, (struct policies){c.gone, c.gone_count},
                           (struct policies){c.born, c.born_count}, err);
    if (rc == 0)
        commit(&c);
    else
        while (c.born_count)
            leave(p, c.born[--c.born_count]);
    free(c.kept);
    free(c.born);
    free(c.gone);
    return rc;
}

// An ike that follows another may not know yet what that one knew of its addresses (a pool that it has no
// memory for, a way to the peer): what they protected would go out in clear meanwhile.
static int knows_less(const struct path *p, const char *conn, const struct policy_spec *spec, unsigned n,
                      struct esp_error *err)
{
    for (unsigned i = 0; i < n; i++)
        for (struct policy *was = spd_first_of_conn(&p->spd, conn); was && spec[i].later;
             was = spd_next_of_conn(was))
            if (was->loaded && !was->later && strcmp(policy_child(was), spec[i].child) == 0)
                return esp_fail(err, -EAGAIN, spec[i].child,
                                "not all addresses that it had are known again: a pool is not loaded, or "
                                "there is no way to its peer");
    return 0;
}

void policy_apply(struct path *p, const struct msg_POLICY_APPLY *m)
{
    struct esp_error err = {0};
    struct policy_spec *spec = NULL;
    unsigned n = 0;
    int rc = policies_read(m->policies, &spec, &n);
    if (rc == -ENOMEM)
        esp_fail(&err, rc, "policies", "out of memory");
    else if (rc < 0)
        esp_fail(&err, rc, "policies", "the list is malformed: %s", strerror(-rc));
    else if (!m->first || (rc = knows_less(p, m->conn, spec, n, &err)) == 0)
        rc = change(p, m->conn, m->peer, spec, n, &err);
    free(spec);
    if (rc < 0)
        LOGF(KNL, 0, "policies of %s: %s: %s", m->conn, err.field, err.text);
    ipc_result(p->ike, m->req, rc == 0, "%s%s%s", err.field, rc ? ": " : "", err.text);
    if (rc == 0 && m->edit)
        kernel_watch_edited(p);
    if (rc == 0)
        survivors_ask(p, m->conn);
}

void policy_clear(struct path *p, const struct msg_POLICY_CLEAR *m)
{
    struct esp_error err = {0};
    int rc = change(p, m->conn, 0, NULL, 0, &err);
    kernel_watch_edited(p);
    ipc_result(p->ike, m->req, rc == 0, "%s%s%s", err.field, rc ? ": " : "", err.text);
}

void policy_drop_all(struct path *p)
{
    p->spd.vtis.stay = path_leaves_closed(p);
    struct hash *both[] = {&p->spd.instances, &p->spd.by_id};
    for (struct child *c = p->children; c; c = c->next) {
        spd_retire(p, c);
        c->policy = NULL;
    }
    for (int i = 0; i < 2; i++) {
        struct hash_node *n;
        while ((n = hash_pop(both[i]))) {
            leave(p, (struct policy *)n);
        }
    }
    free(p->spd.sorted);
    p->spd.sorted = NULL;
    hash_free(&p->spd.by_id);
    hash_free(&p->spd.by_conn);
    hash_free(&p->spd.instances);
    hash_free(&p->spd.twins);
    classifier_free(&p->spd.classes);
    vti_close(&p->spd.vtis);
}

// ---- the SAs that serve a policy

static bool is_address(const struct ts *t, const struct addr *a)
{
    return t->family == a->family && !memcmp(t->lo, a->a, a->family == 4 ? 4 : 16) &&
           !memcmp(t->hi, a->a, a->family == 4 ? 4 : 16);
}

// A dynamic selector is the SA's own end.
static bool inside(const struct ts *t, const struct ts *of, const struct addr *end)
{
    struct ts known = *of;
    if (of->family)
        return ts_contains(of, t);
    known.family = end->family;
    memcpy(known.lo, end->a, 16);
    memcpy(known.hi, end->a, 16);
    return ts_contains(&known, t);
}

static int check_side(const struct ts_list *sa, struct selectors of, const struct addr *end, bool transport,
                      const char *side, struct esp_error *err)
{
    char text[128];
    if (!sa->count)
        return esp_fail(err, -EINVAL, side, "the SA has none");
    for (unsigned i = 0; i < sa->count; i++) {
        bool in = false;
        for (unsigned j = 0; j < of.count && !in; j++)
            in = inside(&sa->t[i], &of.t[j], end);
        if (!in)
            return esp_fail(err, -EPERM, side, "%.100s is not inside the policy",
                            ts_print(&sa->t[i], text, sizeof(text)));
        if (transport && !is_address(&sa->t[i], end))
            return esp_fail(err, -EINVAL, side, "%.80s is not the SA's own end, as transport mode needs",
                            ts_print(&sa->t[i], text, sizeof(text)));
    }
    return 0;
}

static int check_child(struct path *p, const struct msg_CHILD *c, struct policy **out, struct esp_error *err)
{
    struct policy *pol = policy_by_id(&p->spd, c->policy_id);
    bool transport = c->mode == MODE_TRANSPORT;
    int rc;
    if (!pol)
        return esp_fail(err, -ENOENT, "policy", "there is none with id %u", c->policy_id);
    if (pol->action != POLICY_PROTECT)
        return esp_fail(err, -EPERM, "policy", "%.60s/%.60s does not protect", policy_conn(pol),
                        policy_child(pol));
    if (pol->mode != c->mode)
        return esp_fail(err, -EPERM, "mode", "%.60s/%.60s asks for %s mode", policy_conn(pol),
                        policy_child(pol), pol->mode == MODE_TUNNEL ? "tunnel" : "transport");
    if ((rc = check_side(&c->local_ts, policy_local(pol), &c->local, transport, "local_ts", err)) < 0 ||
        (rc = check_side(&c->remote_ts, policy_remote(pol), &c->remote, transport, "remote_ts", err)) < 0)
        return rc;
    *out = pol;
    return 0;
}

static bool same_side(struct selectors a, struct selectors b)
{
    bool eq = a.count == b.count;
    for (unsigned i = 0; eq && i < a.count; i++)
        eq = ts_eq(&a.t[i], &b.t[i]);
    return eq;
}

static uint64_t instance_hash(const struct policy *of, struct selectors local, struct selectors remote)
{
    uint64_t h = hash_bytes(of->id, local.t, local.count * sizeof(struct ts));
    return hash_bytes(h, remote.t, remote.count * sizeof(struct ts));
}

uint64_t spd_instance_rank(const struct policy *of, uint64_t rank)
{
    rank &= ~1ull;
    if (of->given) // connections that share a pool, at either end of it, may have equal policies
        rank &= ~(uint64_t)RANK_AMONG;
    return rank;
}

struct policy *spd_instance(const struct spd *s, const struct policy *of, struct selectors local,
                            struct selectors remote)
{
    for (struct hash_node *n = hash_first(&s->instances, instance_hash(of, local, remote)); n;
         n = hash_next(n)) {
        struct policy *i = (struct policy *)n;
        if (i->of == of && same_side(policy_local(i), local) && same_side(policy_remote(i), remote))
            return i;
    }
    return NULL;
}

static int instance_make(struct path *p, struct policy *of, const struct msg_CHILD *c, struct policy **out,
                         struct esp_error *err)
{
    struct policy like = {.of = of,
                          .id = of->id,
                          .action = of->action,
                          .mode = of->mode,
                          .given = of->given,
                          .vti = of->vti,
                          .rank = spd_instance_rank(of, policy_now(of)->rank)};
    struct policy *pol = make(&like, selectors_of(&c->local_ts), selectors_of(&c->remote_ts), 0);
    if (!pol)
        return esp_fail(err, -ENOMEM, "policy", "out of memory");
    heir_of_instance(&p->spd, pol);
    policy_link(&of->whole->instances, &pol->among);
    int rc = pol->into ? 0 : spd_classify(&p->spd, pol, err);
    if (rc == 0 &&
        hash_add(&p->spd.instances, &pol->node, instance_hash(of, policy_local(pol), policy_remote(pol))) < 0)
        rc = esp_fail(err, -ENOMEM, "policy", "out of memory");
    if (rc == 0) // what the kernel holds for a policy whose selectors are all known holds for what is in it
        rc = of->dynamic && !pol->into
                 ? policy_kernel(p, (struct policies){0}, (struct policies){&pol, 1}, err)
                 : 0;
    if (rc < 0)
        leave(p, pol);
    else
        *out = pol;
    return rc;
}

// With its heir, with what it is an instance of, and with the heir of that.
static void count(struct policy *pol, int more)
{
    struct policy *all[] = {pol, pol->into, pol->of, pol->of ? pol->of->into : NULL};
    for (int i = 0; i < 4; i++)
        if (all[i])
            all[i]->sa_count += (uint32_t)more;
}

// What its SAs carry is counted from the first one on; so does every policy of these names. False: no memory.
static bool count_traffic(struct path *p, struct policy *of)
{
    struct policy_whole *w = of->whole;
    if (!w->traffic)
        w->traffic = traffic_get(p, policy_conn(of), policy_child(of));
    if (!w->traffic)
        return false;
    for (struct policy *i = spd_first_of_conn(&p->spd, policy_conn(of)); i; i = spd_next_of_conn(i))
        if (!i->whole->traffic && i->action == POLICY_PROTECT &&
            strcmp(policy_child(i), policy_child(of)) == 0)
            i->whole->traffic = traffic_ref(w->traffic);
    return true;
}

int spd_attach(struct path *p, struct child *c, const struct msg_CHILD *m, struct esp_error *err)
{
    struct selectors local = selectors_of(&m->local_ts), remote = selectors_of(&m->remote_ts);
    struct policy *of = NULL, *pol;
    int rc = check_child(p, m, &of, err);
    if (rc < 0 || !of)
        return rc;
    if (!of->whole->traffic && !count_traffic(p, of))
        return esp_fail(err, -ENOMEM, "policy", "out of memory");
    bool whole = !of->dynamic && !of->given && same_side(policy_local(of), local) &&
                 same_side(policy_remote(of), remote);
    pol = whole ? of : spd_instance(&p->spd, of, local, remote);
    if (!pol && ((rc = instance_make(p, of, m, &pol, err)) < 0 || !pol))
        return rc;
    if (!policy_now(pol)->classified && (rc = spd_classify(&p->spd, policy_now(pol), err)) < 0) {
        spd_drop_unneeded(p, pol);
        return rc;
    }
    c->policy = pol;
    c->vti = of->vti;
    traffic_join(of->whole->traffic, c);
    count(pol, 1);
    if (pol->of) // which may be new, or in force again
        kernel_esp_beside(p, pol);
    return 0;
}

void spd_serve(struct path *p, struct child *c)
{
    struct policy *pol = policy_now(c->policy);
    (void)p;
    if (heir_silent(c->policy))
        return;
    c->serves_next = pol->sas;
    c->serves_at = &pol->sas;
    if (pol->sas)
        pol->sas->serves_at = &c->serves_next;
    pol->sas = c;
    // What was asked for has come: where it ends, the next packet asks at once.
    atomic_store_explicit(&policy_base(pol)->whole->acquired_at, 0, memory_order_relaxed);
}

// An instance that has no SA to send by hides no other of its policy. One of a dynamic policy stays: only it
// says that these packets are protected.
static void step_aside(struct spd *s, struct policy *pol)
{
    if (!pol->of || pol->of->dynamic || pol->sas || !pol->classified)
        return;
    spd_unclassify(s, pol);
    s->generation++;
}

void spd_retire(struct path *p, struct child *c)
{
    if (!c->serves_at)
        return;
    *c->serves_at = c->serves_next;
    if (c->serves_next)
        c->serves_next->serves_at = c->serves_at;
    c->serves_at = NULL;
    c->serves_next = NULL;
    step_aside(&p->spd, policy_now(c->policy));
}

void spd_drop_unneeded(struct path *p, struct policy *pol)
{
    struct esp_error err = {0};
    struct policy *of = pol->of, *into = pol->into;
    if (pol->loaded || !serves_nobody(pol) || p->leaving)
        return;
    if (pol->hold && policy_kernel(p, (struct policies){&pol, 1}, (struct policies){0}, &err) < 0)
        LOGF(KNL, 0, "policy %s/%s: %s: %s", policy_conn(pol), policy_child(pol), err.field, err.text);
    leave(p, pol);
    if (of)
        of->sa_count++; // it stays meanwhile
    if (into)
        spd_drop_unneeded(p, into);
    if (of) {
        of->sa_count--;
        spd_drop_unneeded(p, of);
    }
}

const struct policy *spd_later(const struct path *p)
{
    for (const struct hash_node *n = NULL; (n = hash_each(&p->spd.by_id, n));) {
        const struct policy *pol = (const struct policy *)n;
        if (pol->loaded && pol->later)
            return pol;
    }
    return NULL;
}

void spd_leave_closed(struct path *p)
{
    p->leaving = path_leaves_closed(p);
}

void spd_release(struct path *p, struct child *c)
{
    struct policy *pol = c->policy;
    traffic_leave(p, c);
    if (!pol)
        return;
    spd_retire(p, c);
    c->policy = NULL;
    count(pol, -1);
    spd_drop_unneeded(p, pol);
}
