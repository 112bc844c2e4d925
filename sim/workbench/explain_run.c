// SPDX-License-Identifier: Apache-2.0
// `espalier-sim explain`: chosen packets of the capture through an engine, and what became of each.
#include "sim/workbench/explain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct taking {
    struct told *told;
    size_t at;
};

static int take(void *ctx, const struct pass_result *r, struct esp_error *err)
{
    struct taking *t = ctx;
    struct told *to = &t->told[t->at++];

    *to = (struct told){.end = r->end,
                        .reason = r->reason,
                        .verdict = r->verdict,
                        .state = r->state,
                        .seq = r->seq,
                        .first_in = r->first_in,
                        .last_out = r->last_out,
                        .went_in = r->went_in,
                        .out_len = r->out.len};
    if (!r->out.data)
        return 0;
    to->out = malloc(r->out.len + 1);
    if (!to->out)
        return esp_fail(err, -ENOMEM, "", "out of memory");
    memcpy(to->out, r->out.data, r->out.len);
    return 0;
}

int explain_run(const struct explain *x, struct wb_engine *e, const size_t *which, size_t n,
                struct told *told, struct esp_error *err)
{
    struct taking t = {.told = told};
    struct pass *pass = NULL;
    int ret = pass_open(&pass, &x->sad, e, x->link, take, &t, err);

    memset(told, 0, n * sizeof(*told));
    for (size_t i = 0; i < n && ret == 0; i++)
        ret = pass_take(pass, &x->packets[which ? which[i] : i], err);
    if (ret == 0)
        ret = pass_drain(pass, err);
    if (ret == 0)
        ret = pass_remove_states(pass, err);
    pass_close(pass);
    return ret;
}

void told_clear(struct told *told, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(told[i].out);
    memset(told, 0, n * sizeof(*told));
}

bool told_same(const struct told *a, const struct told *b)
{
    return a->end == b->end && (a->end != PASS_DROPPED || a->reason == b->reason) &&
           (a->end == PASS_DROPPED || (a->out_len == b->out_len && memcmp(a->out, b->out, a->out_len) == 0));
}
