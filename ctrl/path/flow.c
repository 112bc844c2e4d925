// SPDX-License-Identifier: Apache-2.0
// See flow.h. Slots are picked by a hash under a secret; a newer flow takes an older one's place.
#include "ctrl/path/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/lib/hash.h"

#define WAYS 4 // fragments of one hash

int flows_init(struct flows *w, uint64_t secret)
{
    *w = (struct flows){.secret = secret};
    w->flow = calloc(FLOW_SLOTS, sizeof(*w->flow));
    w->fragment = calloc(FLOW_FRAGMENTS, sizeof(*w->fragment));
    if (!w->flow || !w->fragment) {
        flows_free(w);
        return -ENOMEM;
    }
    return 0;
}

void flows_free(struct flows *w)
{
    free(w->flow);
    free(w->fragment);
    w->flow = NULL;
    w->fragment = NULL;
}

static uint64_t spread(uint64_t secret, const uint8_t *key, size_t words)
{
    uint64_t h = secret;
    for (size_t i = 0; i < words; i++) {
        uint64_t v;
        memcpy(&v, key + 8 * i, 8);
        h = hash_u64(h ^ v);
    }
    return h;
}

struct flow *flow_slot(struct flows *w, const struct fields *f, bool inbound)
{
    uint8_t key[48] = {0};
    _Static_assert(FIELDS_FLOW_LEN <= sizeof(key) - 1, "what a flow is known by fits into six words");
    memcpy(key, f, FIELDS_FLOW_LEN);
    key[47] = inbound;
    return &w->flow[spread(w->secret, key, 6) % FLOW_SLOTS];
}

bool flow_hit(const struct flow *s, const struct fields *f, bool inbound, uint64_t generation)
{
    return s->generation == generation && s->inbound == inbound && !memcmp(s->key, f, FIELDS_FLOW_LEN);
}

void flow_keep(struct flow *s, const struct fields *f, bool inbound, uint64_t generation, void *policy)
{
    memcpy(s->key, f, FIELDS_FLOW_LEN);
    s->inbound = inbound;
    s->generation = generation;
    s->policy = policy;
}

// ---- fragments

static struct fragment *set_of(struct flows *w, const struct fields *f)
{
    uint8_t key[40];
    memcpy(key, f->src, 16);
    memcpy(key + 16, f->dst, 16);
    memcpy(key + 32, &f->id, 4);
    memset(key + 36, 0, 4);
    key[36] = f->proto;
    key[37] = f->family;
    return &w->fragment[spread(w->secret, key, 5) % (FLOW_FRAGMENTS / WAYS) * WAYS];
}

static bool of_one_packet(const struct fragment *s, const struct fields *f, bool inbound, uint64_t now)
{
    return s->at && now - s->at < FRAGMENT_MS && s->inbound == inbound && fields_one_packet(&s->f, f);
}

void fragment_keep(struct flows *w, const struct fields *f, bool inbound, uint64_t now)
{
    struct fragment *set = set_of(w, f), *s = set;
    for (int i = 0; i < WAYS; i++) { // its own place, otherwise the oldest
        if (of_one_packet(&set[i], f, inbound, now)) {
            s = &set[i];
            break;
        }
        if (set[i].at < s->at)
            s = &set[i];
    }
    *s = (struct fragment){.f = *f, .inbound = inbound, .at = now ? now : 1};
}

void fragment_fill(struct flows *w, struct fields *f, bool inbound, uint64_t now)
{
    struct fragment *set = set_of(w, f);
    for (int i = 0; i < WAYS; i++) {
        if (of_one_packet(&set[i], f, inbound, now)) {
            f->sport = set[i].f.sport;
            f->dport = set[i].f.dport;
            f->ports = true;
            f->unseen = false;
            w->later_known++;
            return;
        }
    }
    w->later_unknown++;
}
