// SPDX-License-Identifier: Apache-2.0
#include "ctrl/ike/counts.h"

#include <stdlib.h>

#include "ctrl/ike/childsa.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/notifies.h"
#include "ctrl/ike/revive.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ipc/ipc.h"

// --- the counters of a name ---

static struct child_counts *child_of(const struct conn_counts *k, const char *name)
{
    struct child_counts *c = k ? k->children : NULL;
    while (c && strcmp(c->name, name) != 0)
        c = c->next;
    return c;
}

static bool add_child(struct conn_counts *k, const char *name)
{
    size_t len = strlen(name) + 1;
    if (child_of(k, name))
        return true;
    struct child_counts *c = calloc(1, sizeof(*c) + len);
    if (!c)
        return false;
    memcpy(c->name, name, len);
    c->next = k->children;
    k->children = c;
    return true;
}

static struct conn_counts *find(const struct ike *ike, uint64_t key, const char *name)
{
    for (struct table_node *n = table_find(&ike->counts, key); n; n = table_next(n)) {
        struct conn_counts *k = (struct conn_counts *)(void *)n;
        if (strcmp(k->name, name) == 0)
            return k;
    }
    return NULL;
}

static struct conn_counts *make(struct ike *ike, uint64_t key, const char *name)
{
    size_t len = strlen(name) + 1;
    struct conn_counts *k = calloc(1, sizeof(*k) + len);
    if (!k || !table_add(&ike->counts, &k->by_name, key)) {
        free(k);
        return NULL;
    }
    k->home = &ike->counts;
    memcpy(k->name, name, len);
    return k;
}

void counts_settle(struct ike *ike, struct conn *c)
{
    (void)counts_follow(ike, c); // its first SA may have come while it was being loaded
    struct child_counts **at = c->counts ? &c->counts->children : NULL, *k;
    while (at && (k = *at) != NULL) {
        if (k->up || conn_child(c, k->name)) {
            at = &k->next;
            continue;
        }
        *at = k->next;
        free(k);
    }
}

static bool have(struct ike *ike, struct conn *c, bool new)
{
    const struct conn_config *cfg = &c->cfg;
    uint64_t key = hash_str(ike->peer_salt, cfg->name);
    struct conn_counts *k = c->counts ? NULL : find(ike, key, cfg->name);
    bool all = true;
    if (c->counts || (!k && !new))
        return true;
    if (!k)
        k = make(ike, key, cfg->name);
    if (!k)
        return false;
    k->refs++;
    for (unsigned i = 0; i < cfg->child_count && all; i++)
        all = add_child(k, cfg->children[i].name);
    if (all)
        c->counts = k;
    else
        counts_put(k);
    return all;
}

bool counts_follow(struct ike *ike, struct conn *c)
{
    return have(ike, c, false);
}

// Where the loaded one is another by now, it goes on with them.
bool counts_begin(struct ike *ike, struct conn *c)
{
    if (c->counts)
        return true;
    struct conn *live = conn_find(ike, c->cfg.name);
    return have(ike, c, true) && (!live || have(ike, live, true));
}

void counts_put(struct conn_counts *k)
{
    struct child_counts *c;
    if (!k || --k->refs)
        return;
    while ((c = k->children) != NULL) {
        k->children = c->next;
        free(c);
    }
    table_del(k->home, &k->by_name);
    free(k);
}

// --- what happens ---

void counts_notify(struct ike_sa *sa, uint16_t notify)
{
    switch (notify) {
    case N_AUTHENTICATION_FAILED: sa->failure = IKE_FAILURE_AUTHENTICATION; break;
    case N_NO_PROPOSAL_CHOSEN: sa->failure = IKE_FAILURE_NO_PROPOSAL; break;
    case N_INVALID_SYNTAX: sa->failure = IKE_FAILURE_SYNTAX; break;
    case N_INVALID_KE_PAYLOAD: sa->failure = IKE_FAILURE_KE; break;
    case N_UNSUPPORTED_CRITICAL_PAYLOAD: sa->failure = IKE_FAILURE_CRITICAL; break;
    case N_TEMPORARY_FAILURE:
    case N_NO_ADDITIONAL_SAS: sa->failure = IKE_FAILURE_BUSY; break;
    default: sa->failure = IKE_FAILURE_REFUSED;
    }
}

void counts_child_notify(struct ike_sa *sa, uint16_t notify)
{
    switch (notify) {
    case N_NO_PROPOSAL_CHOSEN: sa->child_failure = CHILD_FAILURE_NO_PROPOSAL; break;
    case N_TS_UNACCEPTABLE: sa->child_failure = CHILD_FAILURE_SELECTORS; break;
    case N_INTERNAL_ADDRESS_FAILURE:
    case N_FAILED_CP_REQUIRED: sa->child_failure = CHILD_FAILURE_NO_ADDRESS; break;
    case N_INVALID_KE_PAYLOAD: sa->child_failure = CHILD_FAILURE_KE; break;
    case N_TEMPORARY_FAILURE:
    case N_NO_ADDITIONAL_SAS: sa->child_failure = CHILD_FAILURE_BUSY; break;
    default: sa->child_failure = CHILD_FAILURE_OTHER;
    }
}

void counts_sa_up(struct ike_sa *sa, bool up)
{
    struct conn_counts *k = sa->conn->counts;
    if (!k || sa->counted == up)
        return;
    sa->counted = up;
    k->up += up ? 1 : -1;
}

static void count_handshake(struct ike *ike, uint32_t us)
{
    static const uint32_t most[] = {
#define X(us) us,
        HANDSHAKE_LIST(X)
#undef X
    };
    unsigned i = 0;
    while (i < HANDSHAKE_COUNT && us > most[i])
        i++;
    ike->handshakes[i]++;
    ike->handshakes_us += us;
}

void counts_sa_established(struct ike_sa *sa)
{
    count_handshake(sa->ike, sa->later->handshake_us);
    if (sa->conn->counts)
        sa->conn->counts->established++;
}

void counts_sa_rekeyed(const struct ike_sa *sa)
{
    if (sa->conn->counts)
        sa->conn->counts->rekeyed++;
}

void counts_sa_failed(struct ike_sa *sa)
{
    if (sa->failed)
        return;
    sa->failed = true;
    if (sa->conn->counts)
        sa->conn->counts->failed[sa->failure]++;
}

void counts_attempt_failed(const struct ike_sa *sa)
{
    if (sa->conn->counts)
        sa->conn->counts->failed[sa->failure]++;
}

static void counted(struct child_counts *k, struct child_sa *c, bool up)
{
    if (!k || c->counted == up)
        return;
    c->counted = up;
    k->up += up ? 1 : -1;
}

void counts_child_up(struct child_sa *c, bool up)
{
    struct child_counts *k = child_of(c->sa->conn->counts, c->cfg->name);
    c->announced = up;
    counted(k, c, up);
}

void counts_child_lost(struct child_sa *c)
{
    counted(child_of(c->sa->conn->counts, c->cfg->name), c, false);
}

// The connection that it is of now may not have a child of that name: it is counted by that all the same.
void counts_children_follow(const struct ike_sa *sa, struct conn_counts *from)
{
    struct conn_counts *to = sa->conn->counts;
    for (struct child_sa *c = sa->children; c; c = c->next) {
        struct child_counts *old = child_of(from, c->cfg->name);
        if (old && c->counted)
            old->up--;
        c->counted = false;
        if (to && c->announced && !c->lost && add_child(to, c->cfg->name)) // without memory it is not counted
            counts_child_up(c, true);
    }
}

void counts_child_installed(const struct child_sa *c)
{
    struct child_counts *k = child_of(c->sa->conn->counts, c->cfg->name);
    if (k)
        k->installed++;
}

void counts_child_rekeyed(const struct child_sa *c)
{
    struct child_counts *k = child_of(c->sa->conn->counts, c->cfg->name);
    if (k)
        k->rekeyed++;
}

void counts_child_failed(struct ike_sa *sa, const char *child)
{
    struct child_counts *k = child_of(sa->conn->counts, child);
    if (k)
        k->failed[sa->child_failure]++;
    sa->child_failure = CHILD_FAILURE_OTHER;
}

// --- what is told ---

static void tell_child(struct ike *ike, uint32_t req, const char *conn, const char *name,
                       const struct child_counts *k)
{
    struct revive_state next = revive_state(ike, conn, name);
    uint8_t failed[8 * CHILD_FAILURE_COUNT];
    struct writer w = writer_of(failed, sizeof(failed));
    struct msg_CHILD_COUNTS m = {.req = req,
                                 .up = k->up,
                                 .installed = k->installed,
                                 .rekeyed = k->rekeyed,
                                 .failures = next.failures,
                                 .next_ms = next.next_ms};
    for (unsigned i = 0; i < CHILD_FAILURE_COUNT; i++)
        wr_u64(&w, k->failed[i]);
    m.failed = wr_written(&w);
    snprintf(m.conn, sizeof(m.conn), "%s", conn);
    snprintf(m.child, sizeof(m.child), "%s", name);
    ipc_send(ike->chan[ROOM_CTL], MSG_CHILD_COUNTS, &m);
}

static bool starts(const struct conn_config *cfg)
{
    for (unsigned i = 0; i < cfg->child_count; i++)
        if (cfg->children[i].start_action & ACTION_START)
            return true;
    return false;
}

static void tell_conn(struct ike *ike, uint32_t req, const struct conn *c)
{
    static const struct conn_counts nothing;
    static const struct child_counts nothing_of_child;
    const struct conn_counts *k = c->counts ? c->counts : &nothing;
    uint8_t failed[8 * IKE_FAILURE_COUNT];
    struct writer w = writer_of(failed, sizeof(failed));
    struct msg_CONN_COUNTS m = {.req = req,
                                .starts = starts(&c->cfg),
                                .up = k->up,
                                .established = k->established,
                                .rekeyed = k->rekeyed};
    for (unsigned i = 0; i < IKE_FAILURE_COUNT; i++)
        wr_u64(&w, k->failed[i]);
    m.failed = wr_written(&w);
    snprintf(m.conn, sizeof(m.conn), "%s", c->cfg.name);
    ipc_send(ike->chan[ROOM_CTL], MSG_CONN_COUNTS, &m);
    for (unsigned i = 0; i < c->cfg.child_count; i++) {
        const struct child_config *cfg = &c->cfg.children[i];
        const struct child_counts *child = child_of(c->counts, cfg->name);
        if (cfg->action == POLICY_PROTECT)
            tell_child(ike, req, c->cfg.name, cfg->name, child ? child : &nothing_of_child);
    }
}

void counts_list(struct ike *ike, const struct msg_COUNTS_LIST *m)
{
    struct reader r = reader_of(m->names);
    char name[NAME_MAX_LEN];
    bool room = true;
    for (unsigned n = 0; r.left && !r.bad && room; n++) {
        rd_cstr(&r, name, sizeof(name));
        room = n < COUNTS_PAGE && ipc_has_room(ike->chan[ROOM_CTL]);
        const struct conn *c = r.bad || !room ? NULL : conn_find(ike, name);
        if (c && !conn_only_policies(&c->cfg)) // those that pass and drop are never up
            tell_conn(ike, m->req, c);
    }
    ipc_result(ike->chan[ROOM_CTL], m->req, room && !r.bad, "%s",
               !room   ? "more connections than a page holds, or no room for them"
               : r.bad ? "malformed list"
                       : "");
}

struct slice counts_handshakes(const struct ike *ike, uint8_t buf[HANDSHAKES_OCTETS])
{
    struct writer w = writer_of(buf, HANDSHAKES_OCTETS);
    wr_u64(&w, ike->handshakes_us);
    for (unsigned i = 0; i <= HANDSHAKE_COUNT; i++)
        wr_u64(&w, ike->handshakes[i]);
    return wr_written(&w);
}
