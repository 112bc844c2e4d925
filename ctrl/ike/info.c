// SPDX-License-Identifier: Apache-2.0
// INFORMATIONAL (RFC 7296 sections 1.4, 1.4.1, 2.25): DELETE of CHILD and IKE SAs both ways, liveness, and
// empty answers. Several DELETEs may stand in one message in any order; the IKE SA's takes effect last.
#include "ctrl/ike/info.h"

#include <stdlib.h>

#include "ctrl/ike/childsa.h"
#include "ctrl/ike/create_child.h"
#include "ctrl/ike/events.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/exchange_send.h"
#include "ctrl/ike/identity.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/kex.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/mobike.h"
#include "ctrl/ike/redirect.h"
#include "ctrl/ike/rekey_ike.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/selectors.h"
#include "ctrl/ike/task.h"
#include "ctrl/ike/unique.h"
#include "ctrl/lib/log.h"

enum { INFO_MAX = 1024, UNKNOWN_LINES = 8 };

static void log_closing(const struct child_sa *c)
{
    char a[SELECTORS_TEXT], b[SELECTORS_TEXT];
    LOGF_SA(IKE, 0, c, "closing CHILD_SA %s{%u} with SPIs %08x_i %08x_o and TS %s === %s", c->cfg->name,
            c->id, c->spi_in, c->spi_out, selectors_print(c->local_ts, a, sizeof(a)),
            selectors_print(c->remote_ts, b, sizeof(b)));
}

static void log_deleting(const struct ike_sa *sa)
{
    char a[64], b[64], ida[ID_TEXT_MAX], idb[ID_TEXT_MAX];
    LOGF(IKE, 0, "deleting IKE_SA %s between %s[%s]...%s[%s]", sa_label(sa),
         addr_print(&sa->path.local, a, sizeof(a)), identity_print(sa->local_id, ida, sizeof(ida)),
         addr_print(&sa->path.remote, b, sizeof(b)), identity_print(sa->remote_id, idb, sizeof(idb)));
}

// --- as responder ---

// Closes the CHILD SAs that the payload names and collects our SPIs of them for the answer, which has room
// for as many as the payload names.
static void close_children(struct ike_sa *sa, const struct delete_payload *d, uint32_t *spis, unsigned *count)
{
    unsigned unknown = 0;
    for (unsigned i = 0; i < d->count; i++) {
        struct child_sa *c = child_by_spi_out(sa, delete_spi(d, i));
        if (c && child_protocol(c) != d->protocol)
            c = NULL;
        if (!c && unknown++ < UNKNOWN_LINES)
            LOGF(IKE, 1, "received DELETE for unknown %s CHILD_SA with SPI %08x",
                 d->protocol == PROTO_ESP ? "ESP" : "AH", delete_spi(d, i));
        if (!c) {
            create_child_gone(sa, delete_spi(d, i));
            continue;
        }
        LOGF_SA(IKE, 1, c, "received DELETE for %s CHILD_SA with SPI %08x",
                d->protocol == PROTO_ESP ? "ESP" : "AH", c->spi_out);
        log_closing(c);
        // 1.4.1: where both ends delete at once, the answer does not name it again
        if (c->state != CHILD_DELETING)
            spis[(*count)++] = c->spi_in;
        const struct rekey_race *race = create_child_race(sa, c->id);
        if (race && (race->child_id || race->taken_back))
            c->replaced = true; // by the peer's own rekeying, whose answer to ours is still on its way
        if (!c->job && child_is_up(c)) {
            sa->ike->events->child_lost(sa->ike, sa->conn, c->cfg->name, LOST_CLOSED);
            sa->ike->events->child_closed(c);
        }
        if (!c->replaced)
            create_child_taken_back(sa, c->id);
        unique_child_closes(c);
        child_closed(c);
    }
    if (unknown > UNKNOWN_LINES)
        LOGF(IKE, 1, "received DELETE for %u unknown CHILD_SAs more", unknown - UNKNOWN_LINES);
}

static size_t spis_named(const struct payloads *pl)
{
    size_t n = 0;
    for (unsigned i = 0; i < pl->count; i++) {
        struct delete_payload d;
        if (pl->p[i].type == PL_DELETE && delete_read(pl->p[i].body, &d))
            n += d.count;
    }
    return n;
}

static bool wants_end(const struct payloads *pl)
{
    for (unsigned i = 0; i < pl->count; i++) {
        struct delete_payload d;
        if (pl->p[i].type == PL_DELETE && delete_read(pl->p[i].body, &d) && d.protocol == PROTO_IKE)
            return true;
    }
    return false;
}

// spis: room for as many as the payloads name. `answer`: what was closed is named, of each protocol in a
// payload.
static void answer_deletes(struct ike_sa *sa, const struct payloads *pl, uint32_t *spis, bool answer,
                           struct pb *b)
{
    for (uint8_t protocol = PROTO_AH; protocol <= PROTO_ESP; protocol++) {
        unsigned count = 0;
        for (unsigned i = 0; i < pl->count; i++) {
            struct delete_payload d;
            if (pl->p[i].type == PL_DELETE && delete_read(pl->p[i].body, &d) && d.protocol == protocol)
                close_children(sa, &d, spis, &count);
        }
        if (count && answer)
            pb_delete(b, protocol, spis, count);
    }
}

static void request(struct task *t)
{
    struct ike_sa *sa = t->sa;
    struct inmsg *m = t->msg;
    size_t named = spis_named(&m->pl), size = INFO_MAX + named * sizeof(uint32_t);
    uint32_t *spis = calloc(named + 1, sizeof(*spis));
    uint8_t *buf = malloc(size);
    struct ike *ike = sa->ike;
    struct pb b = pb_of(buf, size);
    struct notify n;
    if (!spis || !buf) {
        free(spis);
        free(buf);
        exchange_drop_request(sa); // the peer asks again
        return;
    }
    bool refused = notify_find(&m->pl, N_AUTHENTICATION_FAILED, &n), end = wants_end(&m->pl) || refused;
    if (!end)
        rekey_ike_used(sa);
    if (sa->state == SA_DEAD) { // with what it has replaced: nothing is left to answer by
        free(spis);
        free(buf);
        return;
    }
    answer_deletes(sa, &m->pl, spis, !end, &b);
    struct addr gateway;
    bool redirected = !end && redirect_told(sa, &m->pl, &gateway);
    bool moved = mobike_answer(sa, m, &b);
    exchange_reply(sa, EX_INFORMATIONAL, &b);
    if (redirected)
        redirect_follow(sa, &gateway);
    if (moved)
        mobike_follow(sa);
    free(spis);
    free(buf);
    if (end) {
        LOGF(IKE, 0,
             refused ? "received AUTHENTICATION_FAILED for IKE_SA %s" : "received DELETE for IKE_SA %s",
             sa_label(sa));
        log_deleting(sa);
        rekey_ike_concede(sa);
        for (struct child_sa *c = sa->children; c && sa->state == SA_ESTABLISHED; c = c->next)
            if (!c->job && child_is_up(c))
                sa->ike->events->child_lost(ike, sa->conn, c->cfg->name, LOST_CLOSED);
        if (unique_goes(sa) && sa->state == SA_ESTABLISHED && !refused) // as a duplicate
            sa->ike->events->sa_replaced(sa);
        sa_why(sa, refused ? "received AUTHENTICATION_FAILED notify error" : "the peer deleted the IKE_SA");
        if (refused)
            sa->failure = IKE_FAILURE_AUTHENTICATION;
        if (refused) {
            COUNT(ike, auth_failed);
            sa_alert(sa, ALERT_LOCAL_AUTH);
        } else
            ike->events->sa_deleted(sa);
        sa_destroy(sa);
        LOGF(IKE, 0, "IKE_SA deleted");
    } else {
        sa->ike->events->sa_at_rest(sa);
    }
}

const struct task_ops task_info = {.name = "INFORMATIONAL", .exchange = EX_INFORMATIONAL, .request = request};

// --- as initiator ---

static void delete_ike_start(struct task *t)
{
    struct ike_sa *sa = t->sa;
    uint8_t buf[32];
    struct pb b = pb_of(buf, sizeof(buf));
    log_set_context(sa->conn->cfg.name, sa->id);
    sa->state = SA_DELETING;
    log_deleting(sa);
    LOGF(IKE, 1, "sending DELETE for IKE_SA %s", sa_label(sa));
    pb_delete(&b, PROTO_IKE, NULL, 0);
    COUNT(sa->ike, info_out_req);
    exchange_send_inner(sa, EX_INFORMATIONAL, &b);
}

static bool delete_ike_response(struct task *t, struct inmsg *m)
{
    (void)m;
    LOGF(IKE, 0, "IKE_SA deleted");
    unique_deleted(t->sa);
    return false;
}

const struct task_ops task_delete_ike = {
    .name = "DELETE of the IKE_SA", .start = delete_ike_start, .response = delete_ike_response};

// A forced end while another task is at work here, which would go before the DELETE. Where a request of ours
// is out, its number is the one behind that: a peer that has answered that takes it, another one drops it
// (2.3).
void delete_ike_at_once(struct ike_sa *sa)
{
    uint8_t buf[32];
    struct pb b = pb_of(buf, sizeof(buf));
    if (sa->state != SA_DELETING || !sa->active || task_is(sa->active, TASK_DELETE_IKE))
        return;
    if (sa->request)
        sa->out_mid++;
    LOGF(IKE, 1, "sending DELETE for IKE_SA %s", sa_label(sa));
    pb_delete(&b, PROTO_IKE, NULL, 0);
    COUNT(sa->ike, info_out_req);
    send_once(sa, EX_INFORMATIONAL, &b);
}

// Its number is the one behind IKE_AUTH's: a peer that has answered that takes it, another one drops it
// (2.3).
void delete_ike_unfinished(struct ike_sa *sa)
{
    uint8_t buf[32];
    struct pb b = pb_of(buf, sizeof(buf));
    bool asked = sa->request || (sa->hs && sa->hs->later->answer);
    if (sa->state != SA_CONNECTING || !sa->active || !task_is(sa->active, TASK_AUTH) || !asked)
        return;
    if (sa->request)
        sa->out_mid++;
    LOGF(IKE, 1, "sending DELETE for IKE_SA %s, which the peer may have", sa_label(sa));
    pb_delete(&b, PROTO_IKE, NULL, 0);
    COUNT(sa->ike, info_out_req);
    send_once(sa, EX_INFORMATIONAL, &b);
}

static void delete_child_start(struct task *t)
{
    uint8_t buf[32];
    struct pb b = pb_of(buf, sizeof(buf));
    struct child_sa *c = child_by_id(t->sa->ike, t->child_id);
    uint32_t spi = c ? c->spi_in : t->spi;
    uint8_t protocol = c ? child_protocol(c) : t->protocol;
    if (!spi || (c && (c->state == CHILD_DELETING || c->state == CHILD_DELETED))) {
        exchange_done(t->sa);
        return;
    }
    if (c) {
        timer_stop(t->sa->ike->loop, &c->timer);
        c->state = CHILD_DELETING;
        log_closing(c);
    }
    LOGF_CHILD(IKE, 1, c ? c->cfg->name : "", t->child_id, "sending DELETE for %s CHILD_SA with SPI %08x",
               protocol == PROTO_AH ? "AH" : "ESP", spi);
    pb_delete(&b, protocol, &spi, 1);
    COUNT(t->sa->ike, info_out_req);
    exchange_send_inner(t->sa, EX_INFORMATIONAL, &b);
}

static bool delete_child_response(struct task *t, struct inmsg *m)
{
    struct child_sa *c = child_by_id(t->sa->ike, t->child_id);
    (void)m;
    if (c) {
        LOGF_SA(IKE, 1, c, "CHILD_SA closed");
        unique_child_closes(c);
        child_closed(c);
    }
    struct ike_sa *sa = t->sa;
    exchange_done(sa);
    sa->ike->events->sa_at_rest(sa);
    return false;
}

const struct task_ops task_delete_child = {
    .name = "DELETE of a CHILD_SA", .start = delete_child_start, .response = delete_child_response};

static void liveness_start(struct task *t)
{
    uint8_t buf[MOBIKE_PROBE];
    struct pb b = pb_of(buf, sizeof(buf));
    mobike_put_probe(&b, t->sa);
    COUNT(t->sa->ike, info_out_req);
    exchange_send_inner(t->sa, EX_INFORMATIONAL, &b);
}

static bool liveness_response(struct task *t, struct inmsg *m)
{
    mobike_read_probe(t->sa, &m->pl);
    exchange_done(t->sa);
    return false;
}

const struct task_ops task_liveness = {
    .name = "liveness check", .start = liveness_start, .response = liveness_response};
