// SPDX-License-Identifier: Apache-2.0
// Datagrams as they come in: which version (RFC 7296 section 2.5), IKE_SA_INIT or an IKE SA that is known
// (2.6, 2.21.4).
#include "ctrl/ike/datagram.h"

#include <stdlib.h>
#include <string.h>

#include "ctrl/ike/exchange.h"
#include "ctrl/ike/exchange_receive.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/intermediate.h"
#include "ctrl/ike/init_respond.h"
#include "ctrl/ike/invalid_spi.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/resume.h"
#include "ctrl/ike/room.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/strangers.h"
#include "ctrl/ike/task.h"
#include "ctrl/lib/log.h"

enum { VERSIONS_A_SECOND = 1 }; // to one address

static void complain_version(struct ike *ike, const struct net_path *path, const struct ike_header *h)
{
    uint8_t buf[64];
    char a[64];
    struct writer w = writer_of(buf, sizeof(buf));
    if (((h->version >> 4) > 1 && (h->flags & FLAG_RESPONSE)) ||
        !may_answer(ike, &path->remote, VERSIONS_A_SECOND) || !may_complain(ike, &path->remote))
        return; // neither an answer nor a line for whoever sends many
    LOGF(ENC, 1, "received IKE version %u.%u from %s, sending INVALID_MAJOR_VERSION (RFC 7296 2.5)%s",
         h->version >> 4, h->version & 15, addr_print(&path->remote, a, sizeof(a)),
         (h->version >> 4) == 1
             ? ": set the peer to IKEv2 (keyexchange = ikev2, version = 2), there is no IKEv1 here"
             : "");
    struct ike_header out = {h->spi_i,    h->spi_r, PL_NOTIFY, IKE_VERSION,
                             h->exchange, 0,        h->mid,    IKE_HEADER_LEN + 8};
    out.flags = (uint8_t)(FLAG_RESPONSE | (h->flags & FLAG_INITIATOR ? 0 : FLAG_INITIATOR));
    header_write(&w, &out);
    struct pb b = {.w = w, .next_at = SIZE_MAX};
    pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), N_INVALID_MAJOR_VERSION, slice_of(NULL, 0));
    ike->net.send(ike->net.ctx, path, wr_written(&b.w), true);
}

static void to_sa(struct ike *ike, const struct net_path *path, const struct ike_header *h, struct slice d)
{
    bool from_initiator = h->flags & FLAG_INITIATOR;
    uint64_t own = from_initiator ? h->spi_r : h->spi_i, theirs = from_initiator ? h->spi_i : h->spi_r;
    struct ike_sa *sa = sa_by_spi(ike, own);
    if (!sa || sa->initiator == from_initiator || theirs != (sa->initiator ? sa->spi_r : sa->spi_i)) {
        COUNT(ike, dropped_unknown);
        LOGF(IKE, 1,
             "%s %s for an IKE SA that is not known, SPIs %016llx_i %016llx_r, dropped (RFC 7296 2.21.4)",
             exchange_name(h->exchange), h->flags & FLAG_RESPONSE ? "response" : "request",
             (unsigned long long)h->spi_i, (unsigned long long)h->spi_r);
        invalid_spi_unknown(ike, path, h, d);
        return;
    }
    log_set_context(sa->conn->cfg.name, sa->id);
    if (h->next == PL_NOTIFY) { // INVALID_IKE_SPI and the like: our request goes on asking (2.21.4)
        COUNT(ike, dropped_state);
        LOGF(ENC, 1, "%s in clear for an IKE SA that has keys, ignored", exchange_name(h->exchange));
    } else if (sa->sk_in)
        exchange_protected(sa, h, path, d);
    else if (h->exchange == intermediate_expected(sa) && !sa->initiator && !(h->flags & FLAG_RESPONSE) &&
             h->mid == 1)
        init_early(sa, path, d);
    else
        COUNT(ike, dropped_state);
    log_set_context("", 0);
}

// A refusal by what is loaded so far may be the last that a peer hears, as it gives up: it asks once more by
// itself instead.
static bool comes_too_soon(struct ike *ike, const struct ike_header *h)
{
    bool soon = ike->partial && !(h->flags & FLAG_RESPONSE) &&
                (h->exchange == EX_SA_INIT || h->exchange == EX_SESSION_RESUME);
    if (soon)
        COUNT(ike, dropped_state);
    return soon;
}

// Of IKE_SA_INIT, and of IKE_SESSION_RESUME in its place.
static void sa_init_response(struct ike *ike, const struct net_path *path, const struct ike_header *h,
                             struct slice d)
{
    struct ike_sa *sa = sa_by_spi(ike, h->spi_i);
    struct refusal r = {0};
    if (!sa || !sa->initiator || sa->sk_in || h->mid || !sa->request || !sa->active ||
        sa->active->kind != (h->exchange == EX_SA_INIT ? TASK_INIT : TASK_RESUME) ||
        (h->flags & FLAG_INITIATOR)) {
        COUNT(ike, dropped_state);
        return;
    }
    struct inmsg *m = inmsg_new(d.len);
    if (!m)
        return;
    m->h = *h;
    m->path = *path;
    m->len = d.len;
    memcpy(m->data, d.p, d.len);
    log_set_context(sa->conn->cfg.name, sa->id);
    struct slice body = slice_of(m->data + IKE_HEADER_LEN, d.len - IKE_HEADER_LEN);
    if (payloads_read(h->next, body, &m->pl, &r) == 0 && payloads_validate(&m->pl, &r) == 0) {
        exchange_log("parsed", h->exchange, true, 0, &m->pl);
        if (sa->active->ops->response(sa->active, m))
            m = NULL;
    } else { // anyone can send this: wait for a good one
        COUNT(ike, dropped_malformed);
        LOGF(ENC, 1, "%s response dropped: %s", exchange_name(h->exchange), r.why.text);
    }
    free(m);
    log_set_context("", 0);
}

static void take_datagram(struct ike *ike, const struct net_path *path, struct slice d)
{
    struct ike_header h;
    char a[64], b[64];
    LOGF(NET, 1, "received packet: from %s[%u] to %s[%u] (%zu bytes)",
         addr_print(&path->remote, a, sizeof(a)), path->remote_port, addr_print(&path->local, b, sizeof(b)),
         path->local_port, d.len);
    if (!header_read(d, &h) ||
        (h.spi_i == 0 && (h.exchange != EX_INFORMATIONAL || h.spi_r))) { // 1.5: INVALID_SPI
        COUNT(ike, dropped_malformed);
        LOGF(NET, 1, "datagram dropped: no IKE header with the datagram's length of %zu (RFC 7296 3.1)",
             d.len);
    } else if (h.version >> 4 != 2) {
        COUNT(ike, dropped_malformed);
        complain_version(ike, path, &h);
    } else if (comes_too_soon(ike, &h)) {
        LOGF(NET, 1, "%s dropped: not everything is loaded again yet", exchange_name(h.exchange));
    } else if (h.exchange == EX_SA_INIT && (h.flags & FLAG_RESPONSE)) {
        sa_init_response(ike, path, &h, d);
    } else if (h.exchange == EX_SA_INIT) {
        COUNT(ike, ike_init_in_req);
        init_request(ike, path, &h, d);
    } else if (h.exchange == EX_SESSION_RESUME && ike->set.session_resumption) {
        if (h.flags & FLAG_RESPONSE)
            sa_init_response(ike, path, &h, d);
        else
            resume_request(ike, path, &h, d);
    } else {
        to_sa(ike, path, &h, d);
    }
}

void exchange_datagram(struct ike *ike, const struct net_path *path, struct slice d)
{
    log_limit_begin(&ike->log_limit, &path->remote);
    take_datagram(ike, path, d);
    log_limit_end(&ike->log_limit);
}

void ike_answer_lost(struct ike *ike, const struct sockaddr_storage *to, int error)
{
    struct addr a;
    uint16_t port;
    char text[64];
    addr_from_sockaddr(to, &a, &port);
    log_limit_begin(&ike->log_limit, &a);
    LOGF(NET, 1, "sending to %s[%u]: %s", addr_print(&a, text, sizeof(text)), port, strerror(error));
    log_limit_end(&ike->log_limit);
}
