// SPDX-License-Identifier: Apache-2.0
// Our own IKE and ESP, which a route has led into a tunnel. What ESP of ours is the outbound SPIs of all
// children say. They are found by a table, as the next packet of a gateway with IPsec of its own inside may
// ask for another one; there is one while there is a tunnel of its own, and its nodes stand beside the
// children, which most gateways have no use of.
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/path/io.h"

struct own_spi {
    struct hash_node node; // by the SPI, which several peers may have chosen
    const struct child *child;
};

static struct own_spi *first_of(const struct vtis *s, uint32_t spi)
{
    return (struct own_spi *)hash_first(&s->own_spis, hash_u64(spi));
}

static struct own_spi *next_of(const struct own_spi *o)
{
    return (struct own_spi *)hash_next(&o->node);
}

// ---- the table

void vti_child_comes(struct path *p, const struct child *c)
{
    struct vtis *s = &p->spd.vtis;
    if (!s->count)
        return;
    struct own_spi *o = calloc(1, sizeof(*o));
    if (o)
        o->child = c;
    if (o && hash_add(&s->own_spis, &o->node, hash_u64(c->c.spi_out)) == 0)
        return;
    free(o);
    s->own_spis_lack = true; // no memory: all children are asked
}

void vti_child_goes(struct path *p, const struct child *c)
{
    struct vtis *s = &p->spd.vtis;
    struct own_spi *o = first_of(s, c->c.spi_out);
    while (o && o->child != c)
        o = next_of(o);
    if (!o)
        return;
    hash_del(&s->own_spis, &o->node);
    free(o);
}

void vti_own_begin(struct path *p)
{
    for (const struct child *c = p->children; c; c = c->next)
        vti_child_comes(p, c);
}

void vti_own_end(struct vtis *s)
{
    struct hash_node *n;
    while ((n = hash_pop(&s->own_spis)))
        free(n);
    hash_free(&s->own_spis);
    s->own_spis_lack = false;
}

// ---- this machine's addresses

static void one_address(void *ctx, const struct addr *a, uint8_t len)
{
    struct vtis *s = ctx;
    (void)len;
    if (s->own_count == s->own_room) {
        unsigned room = s->own_room ? 2 * s->own_room : 16;
        struct addr *more = realloc(s->own, room * sizeof(*more));
        if (!more)
            return;
        s->own = more;
        s->own_room = room;
    }
    s->own[s->own_count++] = *a;
}

void vti_addresses(struct path *p)
{
    struct vtis *s = &p->spd.vtis;
    vti_lead_around(p);
    if (!s->count)
        return;
    s->own_count = 0;
    p->kernel->ops->addresses(p->kernel, one_address, s);
    vti_ways_again(p);
}

// ---- packets

static bool is_from_here(const struct vtis *s, const struct fields *f)
{
    for (unsigned i = 0; i < s->own_count; i++)
        if (s->own[i].family == f->family && !memcmp(s->own[i].a, f->src, f->family == 6 ? 16 : 4))
            return true;
    return false;
}

// Which starts the packet, where it is what `f` says.
static uint32_t spi_at(const struct packet *pkt, const struct fields *f)
{
    uint32_t at = (f->family == 6 ? 40 : 4u * (pkt->job.in[0] & 15)) + (f->proto == IPPROTO_AH ? 4 : 0);
    return pkt->job.in_len >= at + 4 ? io_be32(pkt->job.in + at) : 0;
}

static bool has_spi(const struct child *c, uint32_t spi, const struct fields *f)
{
    return c->c.spi_out == spi && c->c.remote.family == f->family &&
           !memcmp(c->c.remote.a, f->dst, f->family == 6 ? 16 : 4);
}

// What is sent with an SPI that is nobody's here is of others: the kernel's own IPsec inside of ours.
static bool is_ours(const struct path *p, uint32_t spi, const struct fields *f)
{
    const struct vtis *s = &p->spd.vtis;
    for (const struct own_spi *o = first_of(s, spi); o; o = next_of(o))
        if (has_spi(o->child, spi, f))
            return true;
    for (const struct child *c = s->own_spis_lack ? p->children : NULL; c; c = c->next)
        if (has_spi(c, spi, f))
            return true;
    return false;
}

bool vti_is_own(const struct worker *w, const struct packet *pkt, const struct fields *f)
{
    const struct path *p = w->p;
    bool udp =
        f->proto == IPPROTO_UDP && f->ports && (f->sport == p->set.port || f->sport == p->set.port_nat_t);
    if (!udp && f->proto != IPPROTO_ESP && f->proto != IPPROTO_AH)
        return false;
    return is_from_here(&p->spd.vtis, f) && (udp || is_ours(p, spi_at(pkt, f), f));
}
