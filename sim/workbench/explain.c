// SPDX-License-Identifier: Apache-2.0
// `espalier-sim explain`: the whole capture through both engines, a word on each packet that is dropped or
// wrong, and for one of them the smallest capture and its waves.
#include "sim/workbench/explain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim/pipe_model.h"

enum { LEAD_CYCLES = 8 }; // that a wave begins before the first beat

// ---- reading
static int keep_packet(struct explain *x, size_t *cap, const struct capture_packet *p, struct esp_error *err)
{
    struct capture_packet *kept;

    if (x->n == *cap) {
        size_t more = *cap ? *cap * 2 : 1024;
        struct capture_packet *bigger = realloc(x->packets, more * sizeof(*bigger));
        if (!bigger)
            return esp_fail(err, -ENOMEM, "", "out of memory");
        x->packets = bigger;
        *cap = more;
    }
    kept = &x->packets[x->n];
    *kept = *p;
    kept->data = malloc(p->len + 1);
    if (!kept->data)
        return esp_fail(err, -ENOMEM, "", "out of memory");
    memcpy(kept->data, p->data, p->len);
    x->n++;
    return 0;
}

static int load(struct explain *x, const struct explain_options *o, struct capture_reader **reader,
                struct esp_error *cut, struct esp_error *err)
{
    struct capture_packet p;
    size_t cap = 0;
    int ret = sad_load(&x->sad, o->sad, err);

    if (ret == 0 && !o->ipv6)
        ret = wb_refuse_ipv6(&x->sad, o->sad, err);
    if (ret == 0)
        ret = capture_open(reader, o->in, err);
    if (ret != 0)
        return ret;
    x->link = capture_link(*reader);
    while (ret == 0 && capture_next(*reader, &p, cut) == 1)
        ret = keep_packet(x, &cap, &p, err);
    if (ret == 0 && o->packet > x->n)
        ret = esp_fail(err, -EINVAL, "--packet", "the capture has %zu packets, %lu was asked for", x->n,
                       o->packet);
    return ret;
}

// ---- running
static int run_both(struct explain *x, const struct explain_options *o, struct esp_error *err)
{
    const struct wb_card_options card = {.lanes = o->lanes};
    struct esp_error why = {0};
    int ret;

    x->by_card = calloc(x->n + 1, sizeof(*x->by_card));
    x->by_soft = calloc(x->n + 1, sizeof(*x->by_soft));
    if (!x->by_card || !x->by_soft)
        return esp_fail(err, -ENOMEM, "", "out of memory");
    ret = wb_soft_open(&x->soft, err);
    if (ret == 0)
        ret = explain_run(x, x->soft, NULL, x->n, x->by_soft, err);
    if (ret == 0)
        ret = wb_card_open(&x->card, &card, err);
    if (ret == 0 && (ret = explain_run(x, x->card, NULL, x->n, x->by_card, &why)) == -EINVAL) {
        printf("The card does not take this SA file (%s: %s): software alone.\n", why.field, why.text);
        x->card->ops->close(x->card);
        x->card = NULL;
        return 0;
    }
    if (why.code)
        *err = why;
    return ret;
}

// ---- telling
static bool is_wrong(const struct explain *x, size_t i)
{
    return x->card && !told_same(&x->by_card[i], &x->by_soft[i]);
}

static unsigned long tell_all(const struct explain *x, const struct explain_options *o, size_t *target)
{
    unsigned long wrong = 0, dropped = 0;
    size_t first_drop = x->n, first_wrong = x->n, first_inside = x->n;

    for (size_t i = 0; i < x->n; i++) {
        bool is = is_wrong(x, i), drop = x->by_soft[i].end == PASS_DROPPED;
        if (!is && !drop)
            continue;
        explain_words(stdout, x, i);
        wrong += is;
        dropped += !is;
        first_wrong = is && first_wrong == x->n ? i : first_wrong;
        first_drop = drop && first_drop == x->n ? i : first_drop;
        first_inside = drop && x->by_soft[i].went_in && first_inside == x->n ? i : first_inside;
    }
    if (o->fst && first_inside < x->n) // one that has waves
        first_drop = first_inside;
    *target = o->packet ? o->packet - 1 : first_wrong < x->n ? first_wrong : first_drop;
    if (!x->card)
        printf("%zu packets: %lu dropped by software.\n", x->n, dropped);
    else
        printf("%zu packets: %lu dropped by card and software alike, %lu on which they disagree.\n", x->n,
               dropped, wrong);
    return wrong;
}

// ---- the smallest capture
static int write_small(const struct explain *x, const struct explain_options *o,
                       const struct capture_reader *reader, const size_t *which, size_t n,
                       struct esp_error *err)
{
    struct capture_writer *w;
    int ret = capture_create(&w, o->small, reader, err);

    if (ret != 0)
        return ret;
    for (size_t i = 0; i < n && ret == 0; i++)
        ret = capture_write(w, &x->packets[which[i]], err);
    if (ret == 0)
        return capture_commit(w, err);
    capture_abandon(w);
    return ret;
}

static int run_alone(const struct explain *x, const struct wb_card_options *card, const size_t *which,
                     size_t n, struct told *last, struct esp_error *err)
{
    struct told *told = calloc(n, sizeof(*told));
    struct wb_engine *e = NULL;
    int ret;

    if (!told)
        return esp_fail(err, -ENOMEM, "", "out of memory");
    ret = wb_card_open(&e, card, err);
    if (ret == 0)
        ret = explain_run(x, e, which, n, told, err);
    if (e)
        e->ops->close(e);
    if (ret == 0)
        *last = told[n - 1];
    told_clear(told, n);
    free(told);
    last->out = NULL;
    return ret;
}

// The same packets once more, on a card of their own: the cycles are then known beforehand.
static int write_waves(const struct explain *x, const struct explain_options *o, const size_t *which,
                       size_t n, struct esp_error *err)
{
    struct wb_card_options card = {.lanes = o->lanes};
    struct told last = {0};
    int ret;

    if (!x->card) {
        printf("No waves: the card does not take this SA file.\n");
        return 0;
    }
    ret = run_alone(x, &card, which, n, &last, err);
    if (ret != 0)
        return ret;
    if (!last.went_in) {
        printf("No waves: the packet never reaches the card.\n");
        return 0;
    }
    card.fst = o->fst;
    card.fst_from = last.first_in > LEAD_CYCLES ? last.first_in - LEAD_CYCLES : 0;
    card.fst_to = last.last_out + 1;
    ret = run_alone(x, &card, which, n, &last, err);
    if (ret == 0)
        printf("%s: cycles %llu to %llu (%llu to %llu ns), its first beat in to its last beat out.\n", o->fst,
               (unsigned long long)card.fst_from, (unsigned long long)card.fst_to,
               (unsigned long long)card.fst_from * PIPE_CYCLE_NS,
               (unsigned long long)card.fst_to * PIPE_CYCLE_NS);
    return ret;
}

static int shrink(const struct explain *x, const struct explain_options *o,
                  const struct capture_reader *reader, size_t target, struct esp_error *err)
{
    size_t *which = malloc((target + 1) * sizeof(*which)), n = 0;
    bool whole = true;
    int ret = which ? explain_shrink(x, target, which, &n, &whole, err)
                    : esp_fail(err, -ENOMEM, "", "out of memory");

    if (ret == 0)
        ret = write_small(x, o, reader, which, n, err);
    if (ret == 0) {
        printf("%s: %s %zu %s that still %s packet %zu:", o->small,
               whole ? "the smallest capture," : "the search gave up at", n, n == 1 ? "packet" : "packets",
               n == 1 ? "shows" : "show", target + 1);
        for (size_t i = 0; i < n && i < 20; i++)
            printf(" %zu", which[i] + 1);
        printf(n > 20 ? " ...\n" : "\n");
    }
    if (ret == 0 && o->fst)
        ret = write_waves(x, o, which, n, err);
    free(which);
    return ret;
}

static void clear(struct explain *x)
{
    if (x->by_card)
        told_clear(x->by_card, x->n);
    if (x->by_soft)
        told_clear(x->by_soft, x->n);
    free(x->by_card);
    free(x->by_soft);
    if (x->card)
        x->card->ops->close(x->card);
    if (x->soft)
        x->soft->ops->close(x->soft);
    for (size_t i = 0; i < x->n; i++)
        free(x->packets[i].data);
    free(x->packets);
    sad_clear(&x->sad);
}

int wb_explain(const struct explain_options *o, unsigned long *wrong, struct esp_error *err)
{
    struct explain x = {0};
    struct capture_reader *reader = NULL;
    struct esp_error cut = {0};
    size_t target;
    int ret = load(&x, o, &reader, &cut, err);

    if (ret == 0)
        ret = run_both(&x, o, err);
    if (ret == 0) {
        *wrong = tell_all(&x, o, &target);
        if (target < x.n)
            ret = shrink(&x, o, reader, target, err);
    }
    capture_close(reader);
    clear(&x);
    if (ret == 0 && cut.code != 0)
        ret = esp_fail(err, -EIO, cut.field, "%.130s (the packets before it were processed)", cut.text);
    return ret;
}
