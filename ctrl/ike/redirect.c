// SPDX-License-Identifier: Apache-2.0
// Redirection (RFC 5685). As the client: a REDIRECT in IKE_SA_INIT (which anyone on the way can send: it only
// counts with our nonce, and the other gateway has to prove the same identity), behind the gateway's AUTH in
// IKE_AUTH, and in INFORMATIONAL, where the IKE SA with the new gateway is there before the old one ends.
// At most five in five minutes. As the gateway: clients that can are sent away as the operator says, and
// closed where they stay.
#include "ctrl/ike/redirect.h"

#include <stdlib.h>
#include <string.h>

#include "ctrl/ike/childsa.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/events.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/exchange_send.h"
#include "ctrl/ike/identity.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/initiate.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "ctrl/lib/log.h"

enum { GW_IPV4 = 1, GW_IPV6 = 2, GW_NAME = 3, GW_MAX = 2 + 16, STAY_MS = 30000 };

static void gateway_write(struct writer *w, const struct addr *a)
{
    unsigned len = a->family == 4 ? 4 : 16;
    wr_u8(w, a->family == 4 ? GW_IPV4 : GW_IPV6);
    wr_u8(w, (uint8_t)len);
    wr_bytes(w, a->a, len);
}

// Section 9.1: type, length, identity; behind them the nonce, in IKE_SA_INIT alone. NULL: read.
static const char *gateway_read(struct slice data, struct addr *to, struct slice *nonce)
{
    struct reader r = reader_of(data);
    uint8_t type = rd_u8(&r), len = rd_u8(&r);
    struct slice id = rd_bytes(&r, len);
    memset(to, 0, sizeof(*to));
    if (r.bad)
        return "it is malformed";
    if (type == GW_NAME)
        return "it names the gateway, and names are not looked up: an address is needed";
    if ((type == GW_IPV4 && len == 4) || (type == GW_IPV6 && len == 16)) {
        to->family = type == GW_IPV4 ? 4 : 6;
        memcpy(to->a, id.p, len);
        *nonce = rd_bytes(&r, r.left);
        return NULL;
    }
    return "its gateway's type and length are not known";
}

// --- as the client ---

void redirect_put(struct pb *b, struct ike_sa *sa)
{
    uint8_t buf[GW_MAX];
    struct writer w = writer_of(buf, sizeof(buf));
    sa->client = true;
    sa->redirects = sa->ike->set.follow_redirects;
    if (!sa->redirects)
        return;
    if (!sa->later->redirection.from.family) {
        pb_notify(b, PROTO_NONE, slice_of(NULL, 0), N_REDIRECT_SUPPORTED, slice_of(NULL, 0));
        return;
    }
    gateway_write(&w, &sa->later->redirection.from);
    pb_notify(b, PROTO_NONE, slice_of(NULL, 0), N_REDIRECTED_FROM, wr_written(&w));
}

// Where a REDIRECT leads; NULL: it can be followed.
static const char *may_follow(const struct ike_sa *sa, const struct redirection *r, const struct addr *to,
                              struct net_path *path)
{
    struct esp_error err = {0};
    if (r->count > REDIRECTS_MAX)
        return "more than 5 in 5 minutes (RFC 5685 6)";
    if (addr_eq(to, &sa->path.remote))
        return "it leads to the gateway that sent it";
    if (to->family == 4 ? to->a[0] == 127 || to->a[0] == 0 || to->a[0] >= 224 : to->a[0] == 0xff || !to->a[0])
        return "its address is nobody's";
    if (conn_path_to(sa->ike, &sa->conn->cfg, to, path, &err) != 0)
        return "there is no way to it";
    return path->local.family == to->family ? NULL : "local_addrs has another family";
}

static struct redirection counted(const struct ike_sa *sa)
{
    struct redirection r = sa->later->redirection;
    uint64_t now = loop_now(sa->ike->loop);
    if (!r.count || now - r.since > REDIRECTS_MS)
        r = (struct redirection){.since = now};
    r.from = sa->path.remote;
    r.count++;
    return r;
}

// True: r and path are those of what is to be begun. Otherwise sa->why says why not.
static bool lead(struct ike_sa *sa, const struct addr *to, struct redirection *r, struct net_path *path)
{
    char a[64], b[64];
    *r = counted(sa);
    const char *no = may_follow(sa, r, to, path);
    addr_print(to, b, sizeof(b)); // whether that line is written or not
    LOGF(IKE, 0, "redirected from %s to %s%s%s", addr_print(&sa->path.remote, a, sizeof(a)), b,
         no ? ", which is not followed: " : "", no ? no : "");
    if (no)
        sa_why(sa, "REDIRECT to %s is not followed: %s", b, no);
    return !no;
}

enum redirect_answer redirect_init(struct ike_sa *sa, const struct payloads *pl)
{
    struct notify n;
    struct addr to;
    struct slice nonce = {0};
    struct redirection r;
    struct net_path path;
    if (!notify_find(pl, N_REDIRECT, &n) || !sa->redirects)
        return REDIRECT_NONE;
    const char *no = gateway_read(n.data, &to, &nonce);
    if (no) {
        sa_why(sa, "REDIRECT is not followed: %s", no);
        return REDIRECT_REFUSED;
    }
    if (!slice_eq(nonce,
                  slice_of(sa->hs->kex.nonce, NONCE_LEN))) { // section 5: of somebody who has not seen it
        LOGF(IKE, 1, "REDIRECT without our nonce ignored (RFC 5685 5)");
        return REDIRECT_IGNORED;
    }
    if (!lead(sa, &to, &r, &path))
        return REDIRECT_REFUSED;
    sa->later->redirection = r;
    sa->path = path;
    return REDIRECT_FOLLOWED;
}

// A new IKE SA with that gateway, for the same child.
static struct ike_sa *begin(struct ike_sa *sa, const struct child_config *child, const struct addr *to)
{
    struct redirection r;
    struct net_path path;
    return lead(sa, to, &r, &path) ? initiate_to(sa->ike, sa->conn, child, &path, &r) : NULL;
}

static bool read_one(struct ike_sa *sa, const struct payloads *pl, struct addr *to)
{
    struct notify n;
    struct slice rest = {0};
    if (!sa->redirects || !notify_find(pl, N_REDIRECT, &n))
        return false;
    const char *no = gateway_read(n.data, to, &rest);
    if (!no && rest.len)
        no = "there are octets behind its gateway";
    if (no)
        LOGF(IKE, 1, "REDIRECT is not followed: %s", no);
    return !no;
}

bool redirect_auth(struct ike_sa *sa, const struct payloads *pl)
{
    struct addr to;
    if (payload_find(pl, PL_SA) || !read_one(sa, pl, &to)) // section 6: it comes in the CHILD SA's place
        return false;
    struct ike_sa *next = begin(sa, sa->hs->later->child, &to);
    if (!next)
        return false;
    next->hs->later->unwanted = sa->hs->later->unwanted;
    if (sa->replaces) // what it was to replace the next one does
        next->replaces = sa->replaces;
    sa->ike->events->sa_redirected(sa, next);
    sa->hs->later->child = NULL; // the next one's affair
    sa_why(sa, "redirected to another gateway");
    return true;
}

bool redirect_told(struct ike_sa *sa, const struct payloads *pl, struct addr *to)
{
    return sa->client && sa->state == SA_ESTABLISHED && !sa->wanted_new && read_one(sa, pl, to);
}

void redirect_follow(struct ike_sa *sa, const struct addr *to)
{
    const struct child_sa *c = sa->children;
    if (sa->state != SA_ESTABLISHED)
        return;
    while (c && !child_is_up(c))
        c = c->next;
    struct ike_sa *next = begin(sa, c ? c->cfg : NULL, to);
    if (!next)
        return;
    next->replaces = sa->id; // its other CHILD SAs follow, and then it goes
    sa->wanted_new = true;
}

// --- as the gateway ---

void redirect_read(struct ike_sa *sa, const struct payloads *pl)
{
    struct notify n;
    sa->redirects = notify_find(pl, N_REDIRECT_SUPPORTED, &n) || notify_find(pl, N_REDIRECTED_FROM, &n);
}

static void start(struct task *t)
{
    struct ike_sa *sa = t->sa;
    uint8_t buf[64], gateway[GW_MAX];
    char a[64];
    struct pb b = pb_of(buf, sizeof(buf));
    struct writer w = writer_of(gateway, sizeof(gateway));
    if (sa->state != SA_ESTABLISHED) {
        exchange_done(sa);
        return;
    }
    log_set_context(sa->conn->cfg.name, sa->id);
    LOGF(IKE, 0, "redirecting the peer of IKE_SA %s to %s", sa_label(sa), addr_print(t->data, a, sizeof(a)));
    gateway_write(&w, t->data);
    pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), N_REDIRECT, wr_written(&w));
    COUNT(sa->ike, info_out_req);
    exchange_send_inner(sa, EX_INFORMATIONAL, &b);
}

static void stays(struct timer *timer)
{
    struct ike_sa *sa = timer->ctx;
    if (sa->state != SA_ESTABLISHED)
        return;
    log_set_context(sa->conn->cfg.name, sa->id);
    LOGF(IKE, 1, "the peer of IKE_SA %s was redirected and stays, closing it (RFC 5685 5)", sa_label(sa));
    sa_why(sa, "its peer was redirected");
    sa_delete(sa);
    log_set_context("", 0);
}

static bool response(struct task *t, struct inmsg *m)
{
    struct ike_sa *sa = t->sa;
    (void)m;
    if (!sa->life.armed) { // otherwise it goes sooner
        sa->life.fire = stays;
        sa->life.ctx = sa;
        timer_set(sa->ike->loop, &sa->life, loop_now(sa->ike->loop) + STAY_MS);
    }
    exchange_done(sa);
    return false;
}

static void undo(struct task *t)
{
    free(t->data);
    t->data = NULL;
}

const struct task_ops task_redirect = {
    .name = "redirection", .start = start, .response = response, .undo = undo};

static bool matches(const struct ike_sa *sa, const struct msg_REDIRECT *m, const struct identity *peer)
{
    return sa->state == SA_ESTABLISHED && (!m->conn[0] || strcmp(sa->conn->cfg.name, m->conn) == 0) &&
           (!m->ike_id || sa->id == m->ike_id) && (!m->peer.family || addr_eq(&m->peer, &sa->path.remote)) &&
           (!m->peer_id[0] || identity_match(sa->remote_id, peer) != MATCH_NONE);
}

static bool ask_one(struct ike_sa *sa, const struct addr *to)
{
    if (!sa->redirects || sa->client) {
        LOGF(IKE, 1, "IKE_SA %s: %s", sa_label(sa),
             sa->redirects ? "we are its client" : "the peer does not follow redirections");
        return false;
    }
    if (task_is_asked(sa, TASK_REDIRECT, 0))
        return true;
    struct task *t = task_new(sa, TASK_REDIRECT, 0);
    struct addr *data = t ? malloc(sizeof(*data)) : NULL;
    if (!data) {
        task_free(t);
        return false;
    }
    *data = *to;
    t->data = data;
    exchange_queue_task(sa, t);
    return true;
}

void redirect_ask(struct ike *ike, const struct msg_REDIRECT *m)
{
    struct identity peer = {0};
    unsigned matched = 0;
    if (m->peer_id[0] && !identity_parse(m->peer_id, &peer)) {
        ipc_result(ike->chan[ROOM_CTL], m->req, false, "peer-id: '%.100s' is not an identity", m->peer_id);
        return;
    }
    for (struct ike_sa *sa = ike->sas, *next; sa; sa = next) {
        next = sa->next;
        if (matches(sa, m, &peer))
            matched += ask_one(sa, &m->gateway);
    }
    log_set_context("", 0);
    ipc_result(ike->chan[ROOM_CTL], m->req, matched > 0, "%u", matched);
}
