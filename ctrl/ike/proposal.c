// SPDX-License-Identifier: Apache-2.0
// Proposals and their transforms (RFC 7296 sections 3.3.1 to 3.3.6). A proposal with a transform type or
// attribute that is not known can still be read; the proposal, or that transform, is then not acceptable,
// as 3.3.6 asks.
#include "ctrl/ike/proposal.h"

#include <stdio.h>

#include "ctrl/lib/log.h"

enum { ATTR_KEY_LENGTH = 14, TYPE_LAST = TR_ADDKE7 };

// One transform substructure; its attributes may only be a key length.
static bool read_transform(struct reader *r, struct transform *t, bool *acceptable, bool *last)
{
    uint8_t more = rd_u8(r);
    rd_u8(r);
    uint16_t len = rd_u16(r);
    t->type = rd_u8(r);
    rd_u8(r);
    t->id = rd_u16(r);
    t->key_bits = 0;
    struct reader a = reader_of(rd_bytes(r, len >= 8 ? len - 8u : r->left + 1));
    while (!r->bad && a.left) {
        uint16_t type = rd_u16(&a), value = rd_u16(&a);
        if (!(type & 0x8000))
            rd_bytes(&a, value); // a long attribute: none is known
        if (a.bad)
            return false;
        if (type == (0x8000 | ATTR_KEY_LENGTH) && value && !t->key_bits)
            t->key_bits = value;
        else
            *acceptable = false;
    }
    *last = more == 0;
    return !r->bad && (more == 0 || more == 3);
}

// Of those that are known there are few, however long a peer's list is.
static void take(struct offer *o, struct transform t)
{
    if (transform_set_has(&o->has, t) || o->p.count == PROPOSAL_MAX_TRANSFORMS)
        return;
    transform_set_add(&o->has, t);
    o->p.t[o->p.count++] = t;
}

static bool read_offer(struct reader *r, struct offer *o, bool *last)
{
    uint8_t more = rd_u8(r);
    rd_u8(r);
    uint16_t len = rd_u16(r);
    struct reader p = reader_of(rd_bytes(r, len >= 8 ? len - 4u : r->left + 1));
    *o = (struct offer){.number = rd_u8(&p), .usable = true};
    o->protocol = o->p.protocol = rd_u8(&p);
    o->spi_len = rd_u8(&p);
    unsigned count = rd_u8(&p);
    struct slice spi = rd_bytes(&p, o->spi_len);
    for (size_t i = 0; i < spi.len && spi.len <= 8; i++)
        o->spi = o->spi << 8 | spi.p[i];
    if (spi.len > 8)
        o->usable = false;
    bool end = count == 0;
    for (unsigned i = 0; i < count; i++) {
        struct transform t;
        bool acceptable = true;
        if (end || !read_transform(&p, &t, &acceptable, &end))
            return false;
        if (t.type == 0 || t.type > TYPE_LAST)
            o->usable = false;
        else if (t.id)
            o->types |= (uint16_t)(1u << t.type);
        if (acceptable && o->usable && transform_known(t))
            take(o, t);
    }
    if (o->protocol != PROTO_IKE && (o->spi_len != 4 || o->spi < 256)) // below 256: reserved (RFC 4303 2.1)
        o->usable = false;
    *last = more == 0;
    return !r->bad && end && rd_done(&p) && (more == 0 || more == 2);
}

int offers_read(struct slice body, struct offers *out, struct refusal *r)
{
    struct reader rd = reader_of(body);
    bool last = false;
    unsigned cut = 0;
    out->count = 0;
    while (!last) {
        struct offer o;
        if (!read_offer(&rd, &o, &last))
            return refuse(r, N_INVALID_SYNTAX, "SA",
                          "proposal %u's lengths or counts do not agree (RFC 7296 3.3)", out->count + 1);
        if (out->count < OFFERS_MAX)
            out->o[out->count++] = o;
        else
            cut++;
    }
    if (cut)
        LOGF(CFG, 1, "the peer offers %u proposals, the last %u are not looked at: %d are", out->count + cut,
             cut, OFFERS_MAX);
    if (rd.left)
        return refuse(r, N_INVALID_SYNTAX, "SA", "%zu octets behind the last proposal (RFC 7296 3.3)",
                      rd.left);
    return 0;
}

static struct transform *slot(struct suite *s, uint8_t type)
{
    switch (type) {
    case TR_ENCR: return &s->encr;
    case TR_PRF: return &s->prf;
    case TR_INTEG: return &s->integ;
    case TR_KE: return &s->ke;
    case TR_ESN: return &s->esn;
    default: return &s->addke[type - TR_ADDKE1];
    }
}

bool proposal_has(const struct proposal *p, uint8_t type, uint16_t id)
{
    for (unsigned i = 0; i < p->count; i++)
        if (p->t[i].type == type && p->t[i].id == id)
            return true;
    return false;
}

static bool is_ke(uint8_t type)
{
    return type == TR_KE || (type >= TR_ADDKE1 && type <= TR_ADDKE7);
}

// RFC 9370 2.2.1: no method twice.
static bool ke_taken(const struct suite *s, struct transform t)
{
    bool taken = is_ke(t.type) && t.id && s->ke.type && s->ke.id == t.id;
    for (unsigned i = 0; i < ADDKE_MAX; i++)
        taken = taken || (is_ke(t.type) && t.id && s->addke[i].type && s->addke[i].id == t.id);
    return taken;
}

// Our proposal as it goes on the wire: ESP and AH have an ESN transform, and no group where none may be sent.
static struct proposal dressed(const struct proposal *ours, bool with_ke)
{
    struct proposal p = {.protocol = ours->protocol};
    bool esn = false;
    for (unsigned i = 0; i < ours->count && i < PROPOSAL_MAX_TRANSFORMS; i++) {
        if (is_ke(ours->t[i].type) && !with_ke)
            continue;
        esn = esn || ours->t[i].type == TR_ESN;
        p.t[p.count++] = ours->t[i];
    }
    if (p.protocol != PROTO_IKE && !esn && p.count < PROPOSAL_MAX_TRANSFORMS)
        p.t[p.count++] = (struct transform){TR_ESN, TRID_NO_ESN, 0};
    return p;
}

struct own { // a proposal of ours, ready to be held against many offers
    struct proposal p;
    struct transform_set has;
    uint16_t types; // as an offer's
    bool with_ke, aead;
};

static void own_ready(struct own *w, const struct proposal *ours, bool with_ke)
{
    *w = (struct own){.p = dressed(ours, with_ke), .with_ke = with_ke};
    for (unsigned i = 0; i < w->p.count; i++) {
        struct transform t = w->p.t[i];
        transform_set_add(&w->has, t);
        w->types |= (uint16_t)(t.id ? 1u << t.type : 0);
        w->aead = w->aead || (t.type == TR_ENCR && transform_is_aead(t));
    }
}

// Neither end insists on an additional key exchange that the other does not name.
static bool may_lack(const struct own *mine, const struct offer *o, uint8_t type)
{
    const struct transform none = {type, TRID_KE_NONE, 0};
    bool ours = mine->types & 1u << type, theirs = o->types & 1u << type;
    return type >= TR_ADDKE1 && (!ours || transform_set_has(&mine->has, none)) &&
           (!theirs || transform_set_has(&o->has, none));
}

static bool either_names(const struct own *mine, const struct offer *o, uint8_t type)
{
    return (mine->types | o->types) & 1u << type;
}

// Whether each type that either side needs has a transform in common, by a few words: of the many that a
// stranger may offer, nearly all that do not match are told by that.
static bool may_match(const struct own *mine, const struct offer *o)
{
    if (!o->usable || o->protocol != mine->p.protocol)
        return false;
    for (uint8_t type = TR_ENCR; type <= TYPE_LAST; type++) {
        bool aside = (type == TR_INTEG && mine->aead) || (is_ke(type) && !mine->with_ke);
        if (!aside && either_names(mine, o, type) && !transform_sets_meet(&mine->has, &o->has, type) &&
            !may_lack(mine, o, type))
            return false;
    }
    return true;
}

// What is common, in our order; false where a type that either side needs finds no partner.
static bool match(const struct own *mine, const struct offer *o, struct suite *s)
{
    memset(s, 0, sizeof(*s));
    if (!may_match(mine, o))
        return false;
    s->protocol = mine->p.protocol;
    for (unsigned i = 0; i < mine->p.count; i++) {
        struct transform *t = slot(s, mine->p.t[i].type);
        if (!t->type && transform_set_has(&o->has, mine->p.t[i]) && !ke_taken(s, mine->p.t[i]))
            *t = mine->p.t[i];
    }
    bool aead = s->encr.type && transform_is_aead(s->encr);
    for (uint8_t type = TR_ENCR; type <= TYPE_LAST; type++) {
        if ((type == TR_INTEG && aead) || (is_ke(type) && !mine->with_ke) || slot(s, type)->type)
            continue;
        if (may_lack(mine, o, type)) {
            const struct transform none = {type, TRID_KE_NONE, 0};
            if (transform_set_has(&o->has, none))
                *slot(s, type) = none;
        } else if (either_names(mine, o, type)) {
            return false;
        }
    }
    if (aead)
        s->integ = (struct transform){0};
    if ((!s->encr.type && s->protocol != PROTO_AH) || (!aead && !s->integ.type))
        return false;
    return s->protocol == PROTO_IKE ? s->prf.type && s->ke.type : s->esn.type;
}

bool offers_choose(const struct offers *theirs, const struct proposal *ours, unsigned count, bool with_ke,
                   struct suite *out, const struct offer **chosen)
{
    for (unsigned i = 0; i < count; i++) {
        struct own mine;
        own_ready(&mine, &ours[i], with_ke);
        for (unsigned k = 0; k < theirs->count; k++) {
            if (match(&mine, &theirs->o[k], out)) {
                *chosen = &theirs->o[k];
                return true;
            }
        }
    }
    return false;
}

char *offers_print(const struct offers *theirs, const struct proposal *ours, unsigned count, char *buf,
                   size_t size)
{
    char got[400] = "nothing", want[400] = "nothing";
    if (theirs->count)
        proposal_print(&theirs->o[0].p, got, sizeof(got));
    if (count)
        proposal_print(&ours[0], want, sizeof(want));
    snprintf(buf, size, "received proposals: %s%s, configured: %s%s", got, theirs->count > 1 ? ", ..." : "",
             want, count > 1 ? ", ..." : "");
    return buf;
}

bool suite_allowed(const struct suite *s, const struct proposal *ours, unsigned count, bool with_ke)
{
    for (unsigned i = 0; i < count; i++) {
        struct own mine;
        bool ok = true;
        own_ready(&mine, &ours[i], with_ke);
        for (uint8_t type = TR_ENCR; type <= TYPE_LAST && ok; type++) {
            struct transform t = *slot((struct suite *)(uintptr_t)s, type);
            const struct transform none = {type, TRID_KE_NONE, 0};
            if (type >= TR_ADDKE1 && !t.id) // left out: may it be?
                ok = !(mine.types & 1u << type) || transform_set_has(&mine.has, none);
            else if (t.type)
                ok = transform_set_has(&mine.has, t);
        }
        if (ok)
            return true;
    }
    return false;
}

static void write_transform(struct writer *w, struct transform t, bool last)
{
    wr_u8(w, last ? 0 : 3);
    wr_u8(w, 0);
    wr_u16(w, t.key_bits ? 12 : 8);
    wr_u8(w, t.type);
    wr_u8(w, 0);
    wr_u16(w, t.id);
    if (t.key_bits) {
        wr_u16(w, 0x8000 | ATTR_KEY_LENGTH);
        wr_u16(w, t.key_bits);
    }
}

static void write_proposal(struct writer *w, const struct proposal *p, uint8_t number, bool last,
                           uint64_t spi, uint8_t spi_len)
{
    size_t start = w->len;
    wr_u8(w, last ? 0 : 2);
    wr_u8(w, 0);
    wr_u16(w, 0);
    wr_u8(w, number);
    wr_u8(w, p->protocol);
    wr_u8(w, spi_len);
    wr_u8(w, p->count);
    wr_uint(w, spi, spi_len);
    for (unsigned i = 0; i < p->count; i++)
        write_transform(w, p->t[i], i + 1u == p->count);
    wr_set_u16(w, start + 2, (uint16_t)(w->len - start));
}

void pb_offer(struct pb *b, const struct proposal *ours, unsigned count, bool with_ke, uint64_t spi,
              uint8_t spi_len)
{
    pb_begin(b, PL_SA);
    for (unsigned i = 0; i < count; i++) {
        struct proposal p = dressed(&ours[i], with_ke);
        write_proposal(&b->w, &p, (uint8_t)(i + 1), i + 1 == count, spi, spi_len);
    }
    pb_end(b);
}

static struct proposal of_suite(const struct suite *s, uint8_t protocol)
{
    const struct transform all[] = {s->encr, s->prf, s->integ, s->ke, s->esn};
    struct proposal p = {.protocol = protocol};
    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i].type)
            p.t[p.count++] = all[i];
    for (unsigned i = 0; i < ADDKE_MAX; i++)
        if (s->addke[i].type)
            p.t[p.count++] = s->addke[i];
    return p;
}

void pb_chosen(struct pb *b, const struct suite *s, uint8_t number, uint8_t protocol, uint64_t spi,
               uint8_t spi_len)
{
    struct proposal p = of_suite(s, protocol);
    pb_begin(b, PL_SA);
    write_proposal(&b->w, &p, number, true, spi, spi_len);
    pb_end(b);
}

int answer_read(struct slice body, const struct proposal *ours, unsigned count, bool with_ke,
                uint8_t protocol, uint8_t spi_len, struct suite *out, uint64_t *spi, struct refusal *r)
{
    struct offers offers;
    const struct offer *chosen;
    int rc = offers_read(body, &offers, r);
    if (rc)
        return rc;
    const struct offer *o = &offers.o[0];
    if (offers.count != 1 || (protocol && o->protocol != protocol) || o->spi_len != spi_len)
        return refuse(r, N_INVALID_SYNTAX, "SA",
                      "the answer must hold one proposal of protocol %u (0: any of ours) with an SPI of %u "
                      "octets (RFC 7296 2.7)",
                      protocol, spi_len);
    for (unsigned i = 0; i < o->p.count; i++)
        for (unsigned k = i + 1; k < o->p.count; k++)
            if (o->p.t[i].type == o->p.t[k].type)
                return refuse(r, N_INVALID_SYNTAX, "SA",
                              "the answer holds two transforms of type %u (RFC 7296 2.7)", o->p.t[i].type);
    if (!offers_choose(&offers, ours, count, with_ke, out, &chosen))
        return refuse(r, N_NO_PROPOSAL_CHOSEN, "SA", "the peer chose what was not offered (RFC 7296 2.7)");
    *spi = o->spi;
    return 0;
}

unsigned suite_addkes(const struct suite *s)
{
    unsigned n = 0;
    for (unsigned i = 0; i < ADDKE_MAX; i++)
        n += s->addke[i].id != 0;
    return n;
}

const struct transform *suite_addke(const struct suite *s, unsigned n)
{
    for (unsigned i = 0; i < ADDKE_MAX; i++)
        if (s->addke[i].id && !n--)
            return &s->addke[i];
    return NULL;
}

void suite_print(const struct suite *s, uint8_t protocol, char *buf, size_t size)
{
    struct proposal p = of_suite(s, protocol);
    proposal_print(&p, buf, (unsigned)size);
}
