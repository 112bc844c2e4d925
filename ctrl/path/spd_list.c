// SPDX-License-Identifier: Apache-2.0
// The policies in their order, for those who ask: page by page, at the asker's pace.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/path/path.h"

void selectors_copy(struct ts_list *to, struct selectors from)
{
    to->count = from.count < TS_MAX ? (uint8_t)from.count : TS_MAX;
    memcpy(to->t, from.t, to->count * sizeof(struct ts));
}

static void tell(struct path *p, uint32_t req, const struct policy *pol)
{
    struct msg_POLICY_IS m = {.req = req,
                              .trap = pol->trap,
                              .id = pol->id,
                              .action = pol->action,
                              .mode = pol->mode,
                              .rank = pol->rank,
                              .loaded = pol->loaded,
                              .sa_count = pol->sa_count};
    selectors_copy(&m.local_ts, policy_local(pol));
    selectors_copy(&m.remote_ts, policy_remote(pol));
    snprintf(m.conn, sizeof(m.conn), "%s", policy_conn(pol));
    snprintf(m.child, sizeof(m.child), "%s", policy_child(pol));
    ipc_send(p->ctl, MSG_POLICY_IS, &m);
}

static int by_rank(const void *a, const void *b)
{
    uint64_t x = (*(struct policy *const *)a)->rank, y = (*(struct policy *const *)b)->rank;
    return (x > y) - (x < y);
}

// Sorted once for all pages, and again only if the data base has changed in between.
static bool sort_policies(struct spd *s)
{
    const struct hash *both[] = {&s->by_id, &s->instances};
    size_t n = 0;
    if (s->sorted && s->sorted_at == s->generation)
        return true;
    free(s->sorted);
    s->sorted = calloc(both[0]->count + both[1]->count + 1, sizeof(struct policy *));
    for (int i = 0; s->sorted && i < 2; i++)
        for (struct hash_node *k = hash_each(both[i], NULL); k; k = hash_each(both[i], k))
            if (!((struct policy *)k)->into) // that stands in the list
                s->sorted[n++] = (struct policy *)k;
    if (s->sorted)
        qsort(s->sorted, n, sizeof(struct policy *), by_rank);
    s->sorted_count = n;
    s->sorted_at = s->generation;
    return s->sorted != NULL;
}

// The first policy of that rank or a later one.
static size_t first_of_rank(const struct spd *s, uint64_t rank)
{
    size_t lo = 0, hi = s->sorted_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->sorted[mid]->rank < rank)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void policy_list(struct path *p, const struct msg_POLICY_LIST *m)
{
    struct spd *s = &p->spd;
    if (!sort_policies(s)) {
        ipc_result(p->ctl, m->req, false, "out of memory");
        return;
    }
    size_t i = first_of_rank(s, m->from);
    for (unsigned left = ipc_page(m->most); i < s->sorted_count && left && ipc_has_room(p->ctl); i++, left--)
        tell(p, m->req, s->sorted[i]);
    if (i < s->sorted_count) {
        ipc_send(p->ctl, MSG_LIST_MORE, &(struct msg_LIST_MORE){.req = m->req, .next = s->sorted[i]->rank});
        return;
    }
    ipc_result(p->ctl, m->req, true, "%s", "");
    free(s->sorted); // until somebody lists them again
    s->sorted = NULL;
}
