// SPDX-License-Identifier: Apache-2.0
// The nodes and the connections that are known, by their names.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/fleet/internal.h"

const char *fleet_key(const struct fleet *f, char buf[FLEET_KEY_LEN], const char *part, const char *name)
{
    snprintf(buf, FLEET_KEY_LEN, "%s%s%s", f->cfg.prefix, part, name);
    return buf;
}

// ---- nodes

struct peer *state_peer(struct fleet *f, const char *name, bool make)
{
    for (struct peer *p = f->peers; p; p = p->next)
        if (strcmp(p->name, name) == 0)
            return p;
    bool room = f->peer_count < FLEET_NODES || strcmp(name, f->cfg.node) == 0;
    if (!make || strlen(name) >= FLEET_NODE_LEN || !room)
        return NULL;
    struct peer *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    snprintf(p->name, sizeof(p->name), "%s", name);
    p->next = f->peers;
    f->peers = p;
    f->peer_count++;
    return p;
}

void state_forget_gone_peers(struct fleet *f)
{
    for (struct peer **at = &f->peers, *p; (p = *at) != NULL;) {
        if (p->present || p->draining) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        f->peer_count--;
        free(p);
    }
}

bool state_draining(struct fleet *f)
{
    const struct peer *me = state_peer(f, f->cfg.node, false);
    return me && me->draining;
}

// ---- connections

struct item *state_item(struct fleet *f, const char *name, bool make)
{
    uint64_t h = hash_str(0, name);
    for (struct hash_node *n = hash_first(&f->names, h); n; n = hash_next(n))
        if (strcmp(((struct item *)n)->name, name) == 0)
            return (struct item *)n;
    if (!make || strlen(name) >= NAME_MAX_LEN || f->count >= FLEET_CONNS)
        return NULL;
    struct item *i = calloc(1, sizeof(*i));
    if (!i || hash_add(&f->names, &i->node, h) < 0) {
        free(i);
        return NULL;
    }
    snprintf(i->name, sizeof(i->name), "%s", name);
    i->fleet = f;
    i->next = f->items;
    i->at = &f->items;
    if (i->next)
        i->next->at = &i->next;
    f->items = i;
    f->count++;
    return i;
}

void state_forget(struct fleet *f, struct item *i)
{
    hash_del(&f->names, &i->node);
    *i->at = i->next;
    if (i->next)
        i->next->at = i->at;
    f->octets -= i->len;
    free(i->message);
    free(i->last);
    free(i);
    f->count--;
}
