// SPDX-License-Identifier: Apache-2.0
// Make before break (RFC 7296 section 2.8): a policy has several child SAs while one follows the other. The
// newest that is in place sends. The responder's new one lets the old one go on until the initiator has shown
// that it has the new one too. A packet that has no sequence number yet can change its SA at any time.
#include "ctrl/path/path.h"

enum { LINKS = 4 }; // an SA that waits for one that waits

static bool may_send(const struct child *c)
{
    const struct half *h = &c->out;
    return c->installed && !c->dying && c->serves_at && !h->ended && h->state != HALF_NONE &&
           h->state != HALF_FAILED && h->state != HALF_DELETING;
}

static struct child *newest_in_place(const struct policy *pol)
{
    for (struct child *c = pol->sas; c; c = c->serves_next)
        if (may_send(c))
            return c;
    return NULL;
}

// What comes here while the kernel's own ESP takes over goes by the one before.
static struct child *newest_of_ours(const struct policy *pol)
{
    for (struct child *c = pol->sas; c; c = c->serves_next)
        if (may_send(c) && !c->in_kernel)
            return c;
    return NULL;
}

// One that is still being added gets packets only when there is no other: they wait for it.
static struct child *newest(struct policy *pol)
{
    struct child *c = newest_of_ours(pol);
    if (!c && pol->of)
        c = newest_of_ours(policy_base(pol));
    return c ? c : pol->sas ? pol->sas : policy_base(pol)->sas;
}

// It will send no more, or there is none: nobody has to wait for it. One that is still being added is not
// over.
static bool over(const struct child *c)
{
    const struct half *h = c ? &c->out : NULL;
    return !c || c->dying || !c->serves_at || h->ended || h->state == HALF_FAILED ||
           h->state == HALF_DELETING || (c->installed && h->state == HALF_NONE);
}

struct child *outbound_sa(struct path *p, struct policy *pol, const struct fields *f)
{
    struct child *c = newest(pol), *sender;
    struct policy *sibling = c ? NULL : heir_sibling_with_sas(&p->spd, policy_base(pol));
    c = sibling ? newest(sibling) : c;
    sender = c;
    for (int i = 0; c && c->out_after && i < LINKS; i++) {
        struct child *old = sadb_by_id(p, c->out_after);
        if (over(old)) {
            c->out_after = 0;
            break;
        }
        if (!selectors_hold(policy_local(old->policy), policy_remote(old->policy), f))
            break;
        c = old;
        if (may_send(c))
            sender = c;
    }
    return sibling && sender && !child_conceals(sender) ? NULL : sender;
}

struct child *outbound_now(struct path *p, struct policy *pol)
{
    struct child *c = newest_in_place(pol), *sender = c;
    for (int i = 0; c && c->out_after && i < LINKS; i++) {
        struct child *old = sadb_by_id(p, c->out_after);
        if (over(old)) {
            c->out_after = 0;
            break;
        }
        c = old;
        if (may_send(c))
            sender = c;
    }
    return sender;
}

bool outbound_is(struct path *p, const struct child *c)
{
    struct child *s = c->policy ? newest_in_place(c->policy) : NULL;
    for (int i = 0; s && s != c && s->out_after && i < LINKS; i++)
        s = sadb_by_id(p, s->out_after);
    return s == c && !(c->out_after && !over(sadb_by_id(p, c->out_after)));
}

struct child *outbound_other(struct worker *w, const struct packet *pkt)
{
    struct fields f;
    struct policy *pol;
    if (!fields_parse(pkt->job.in, pkt->job.in_len, &f))
        return NULL;
    f.vti = pkt->vti;
    if (look_up_afresh(w, &f, false, &pol) != SPD_FOUND || pol->action != POLICY_PROTECT)
        return NULL;
    struct child *c = outbound_sa(w->p, pol, &f);
    return c && c != pkt->child && may_send(c) ? c : NULL;
}

void child_outbound(struct path *p, const struct msg_CHILD_OUTBOUND *m)
{
    struct child *c = sadb_by_id(p, m->child_id);
    if (!c) {
        ipc_result(p->ike, m->req, false, "there is no child with number %u", m->child_id);
        return;
    }
    c->out_after = m->after;
    c->aside = m->after != 0;
    if (m->after == m->child_id)
        spd_retire(p, c);
    ipc_result(p->ike, m->req, true, "%s", "");
}
