// SPDX-License-Identifier: Apache-2.0
// The smallest capture in which a packet still ends as it did: of the packets before it ever larger parts are
// left out as long as nothing changes (delta debugging), first those that went to no or another state.
#include "sim/workbench/explain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BUDGET_SOFT = 4000000, BUDGET_CARD = 200000 }; // packets run in all

struct shrinking {
    const struct explain *x;
    size_t target;
    struct told *told; // room for target + 1
    uint64_t left;     // packets that may still be run
};

// Does the target end as it did, in the engine that it is about?
static int ends_so(struct shrinking *s, struct wb_engine *e, const struct told *want, const size_t *which,
                   size_t n, bool *so, struct esp_error *err)
{
    int ret = explain_run(s->x, e, which, n, s->told, err);

    *so = ret == 0 && told_same(&s->told[n - 1], want);
    told_clear(s->told, n);
    return ret;
}

// Its octets may differ from those that it had (another sequence number): what counts is that the engines
// still disagree.
static int disagrees(struct shrinking *s, const size_t *which, size_t n, bool *so, struct esp_error *err)
{
    struct told *by_soft = calloc(n, sizeof(*by_soft));
    int ret;

    if (!by_soft)
        return esp_fail(err, -ENOMEM, "", "out of memory");
    ret = explain_run(s->x, s->x->soft, which, n, by_soft, err);
    if (ret == 0)
        ret = explain_run(s->x, s->x->card, which, n, s->told, err);
    *so = ret == 0 && !told_same(&s->told[n - 1], &by_soft[n - 1]);
    told_clear(s->told, n);
    told_clear(by_soft, n);
    free(by_soft);
    return ret;
}

static bool wrong(const struct explain *x, size_t i)
{
    return x->card && !told_same(&x->by_card[i], &x->by_soft[i]);
}

static int still_shows(struct shrinking *s, const size_t *which, size_t n, bool *so, struct esp_error *err)
{
    const struct told *want = &s->x->by_soft[s->target];
    int ret;

    s->left = s->left > n ? s->left - n : 0;
    if (wrong(s->x, s->target))
        return disagrees(s, which, n, so, err);
    if (want->end == PASS_DROPPED)
        return ends_so(s, s->x->soft, want, which, n, so, err);
    ret =
        explain_run(s->x, s->x->soft, which, n, s->told, err); // a packet that was asked for and came through
    *so = ret == 0 && s->told[n - 1].end == want->end;
    told_clear(s->told, n);
    return ret;
}

// Leaves out which[from ... to-1] where the target then still ends so.
static int try_without(struct shrinking *s, size_t *which, size_t *n, size_t from, size_t to, bool *went,
                       struct esp_error *err)
{
    size_t *rest = malloc(*n * sizeof(*rest)), kept = *n - (to - from);
    int ret;

    if (!rest)
        return esp_fail(err, -ENOMEM, "", "out of memory");
    memcpy(rest, which, from * sizeof(*rest));
    memcpy(rest + from, which + to, (*n - to) * sizeof(*rest));
    ret = still_shows(s, rest, kept, went, err);
    if (ret == 0 && *went) {
        memcpy(which, rest, kept * sizeof(*rest));
        *n = kept;
    }
    free(rest);
    return ret;
}

static size_t keep_of_state(const struct explain *x, size_t target, size_t *which)
{
    const struct told *t = &x->by_soft[target];
    size_t n = 0;

    for (size_t i = 0; i < target; i++)
        if (x->by_soft[i].went_in && x->by_soft[i].state == t->state &&
            x->by_soft[i].verdict.action == t->verdict.action)
            which[n++] = i;
    which[n++] = target;
    return n;
}

static int start(struct shrinking *s, size_t *which, size_t *n, struct esp_error *err)
{
    bool so = false;
    int ret;

    which[0] = s->target;
    *n = 1;
    ret = still_shows(s, which, 1, &so, err);
    if (ret != 0 || so)
        return ret;
    *n = keep_of_state(s->x, s->target, which);
    ret = still_shows(s, which, *n, &so, err);
    if (ret != 0 || so)
        return ret;
    for (*n = 0; *n <= s->target; ++*n)
        which[*n] = *n;
    return 0;
}

int explain_shrink(const struct explain *x, size_t target, size_t *which, size_t *n, bool *whole,
                   struct esp_error *err)
{
    struct shrinking s = {.x = x,
                          .target = target,
                          .told = calloc(target + 1, sizeof(*s.told)),
                          .left = wrong(x, target) ? BUDGET_CARD : BUDGET_SOFT};
    int ret;

    if (!s.told)
        return esp_fail(err, -ENOMEM, "", "out of memory");
    ret = start(&s, which, n, err);

    for (size_t part = *n / 2; ret == 0 && part > 0 && *n > 1; part = part > 1 ? (part + 1) / 2 : 0)
        for (size_t from = 0; ret == 0 && from < *n - 1 && s.left > 0;) {
            size_t to = from + part < *n - 1 ? from + part : *n - 1;
            bool went = false;
            ret = try_without(&s, which, n, from, to, &went, err);
            from = went ? from : to;
        }
    *whole = s.left > 0;
    free(s.told);
    return ret;
}
