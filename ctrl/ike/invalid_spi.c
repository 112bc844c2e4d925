// SPDX-License-Identifier: Apache-2.0
// INVALID_SPI and INVALID_IKE_SPI outside an IKE SA, sent and heard.
#include "ctrl/ike/invalid_spi.h"

#include "ctrl/ike/childsa.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/mobike.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/strangers.h"
#include "ctrl/ike/task.h"
#include "ctrl/lib/log.h"

// To one address; of one IKE SA; how often a request of it is repeated in vain before it is believed so far.
enum { ONE_A_SECOND = 1, HINT_EVERY_MS = 10000, IN_VAIN = 2, MESSAGE_MAX = 64 };

static bool may_say(struct ike *ike, const struct addr *to)
{
    return may_answer(ike, to, ONE_A_SECOND) && may_complain(ike, to);
}

static void say(struct ike *ike, const struct net_path *path, struct ike_header h, uint16_t type,
                struct slice data)
{
    uint8_t buf[MESSAGE_MAX];
    char a[64];
    struct pb b = pb_of(buf, sizeof(buf));
    LOGF(IKE, 1, "sending %s to %s, in clear (RFC 7296 2.21.4)", notify_name(type),
         addr_print(&path->remote, a, sizeof(a)));
    h.next = PL_NOTIFY;
    h.version = IKE_VERSION;
    h.length = (uint32_t)(IKE_HEADER_LEN + 8 + data.len);
    header_write(&b.w, &h);
    pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), type, data);
    ike->net.send(ike->net.ctx, path, wr_written(&b.w), true);
}

static bool any(void *ctx, const struct proposal *p, unsigned count)
{
    (void)ctx, (void)p, (void)count;
    return true;
}

// With an IKE SA its peer is told what goes by DELETEs; without one it may have outlived us. An ike that died
// may have told of one in a DELETE that was lost, and was to come again: the next one has another IKE SA with
// that host, which tells of nothing before it.
static bool may_have_outlived_us(struct ike *ike, const struct addr *host)
{
    return ike->follows || !sa_at_host(ike, host, NULL);
}

void invalid_spi_seen(struct ike *ike, const struct msg_UNKNOWN_SPI *m)
{
    struct net_path path = {.local = m->local, .remote = m->remote, .nat_t = m->udp};
    uint8_t spi[4] = {(uint8_t)(m->spi >> 24), (uint8_t)(m->spi >> 16), (uint8_t)(m->spi >> 8),
                      (uint8_t)m->spi};
    path.local_port = m->udp ? ike->set.port_nat_t : ike->set.port;
    path.remote_port = m->udp ? m->remote_port : IKE_PORT;
    COUNT(ike, unknown_spi);
    log_limit_begin(&ike->log_limit, &m->remote);
    // What is for another IPsec of this machine is not ours to complain of; that path has lost one its peer
    // hears by what comes in its place.
    if (!table_get(&ike->spis, m->spi) && may_have_outlived_us(ike, &m->remote) &&
        conn_for_offers(ike, &path, any, NULL) && may_say(ike, &m->remote))
        say(ike, &path, (struct ike_header){.exchange = EX_INFORMATIONAL, .flags = FLAG_INITIATOR},
            N_INVALID_SPI, slice_of(spi, sizeof(spi)));
    log_limit_end(&ike->log_limit);
}

// Whether the peer is there is asked soon, by the IKE SA itself. One that answers nothing, while somebody
// goes on to say so, may have forgotten it: another IKE SA, which proves who the peer is, takes its place if
// it comes up, and this one goes on until then.
static void doubt(struct ike_sa *sa, uint32_t spi)
{
    bool again = sa->active && sa->initiator && sa->state == SA_ESTABLISHED;
    uint64_t now = loop_now(sa->ike->loop);
    if ((sa->active && (!again || sa->later->tries < IN_VAIN)) ||
        (sa->later->hinted_at && now - sa->later->hinted_at < HINT_EVERY_MS))
        return;
    sa->later->hinted_at = now;
    log_set_context(sa->conn->cfg.name, sa->id);
    LOGF(IKE, 1, "somebody says in clear that the peer does not know SPI %08x%s", spi,
         again ? ", and it does not answer: beginning anew beside it" : ": asking it (RFC 7296 1.5)");
    if (again)
        sa->ike->events->sa_unanswered(sa);
    else
        exchange_queue(sa, mobike_tells_first(sa) ? TASK_MOBIKE : TASK_LIVENESS, 0);
    log_set_context("", 0);
}

static void hint(struct ike *ike, const struct net_path *path, uint32_t spi)
{
    for (struct ike_sa *sa = NULL; (sa = sa_at_host(ike, &path->remote, sa));) {
        if (!child_by_spi_out(sa, spi))
            continue;
        doubt(sa, spi);
        return;
    }
}

static bool read_hint(const struct ike_header *h, struct slice d, uint32_t *spi)
{
    struct slice body = slice_of(d.p + IKE_HEADER_LEN, d.len - IKE_HEADER_LEN);
    struct payloads pl;
    struct refusal r = {0};
    struct notify n;
    if (h->exchange != EX_INFORMATIONAL || (h->flags & FLAG_RESPONSE) || h->next != PL_NOTIFY ||
        d.len > MESSAGE_MAX || payloads_read(h->next, body, &pl, &r) != 0 ||
        payloads_validate(&pl, &r) != 0 || !notify_find(&pl, N_INVALID_SPI, &n) || n.data.len != 4)
        return false;
    struct reader rd = reader_of(n.data);
    *spi = rd_u32(&rd);
    return true;
}

void invalid_spi_unknown(struct ike *ike, const struct net_path *path, const struct ike_header *h,
                         struct slice d)
{
    uint32_t spi;
    if (h->next != PL_SK && h->next != PL_SKF) { // in clear
        if (may_answer(ike, &path->remote, ONE_A_SECOND) && read_hint(h, d, &spi))
            hint(ike, path, spi);
        return;
    }
    if ((h->flags & FLAG_RESPONSE) || !h->spi_r || !may_say(ike, &path->remote))
        return;
    struct ike_header out = {.spi_i = h->spi_i, .spi_r = h->spi_r, .exchange = h->exchange, .mid = h->mid};
    out.flags = (uint8_t)(FLAG_RESPONSE | (h->flags & FLAG_INITIATOR ? 0 : FLAG_INITIATOR));
    say(ike, path, out, N_INVALID_IKE_SPI, slice_of(NULL, 0));
}
