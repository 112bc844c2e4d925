// SPDX-License-Identifier: Apache-2.0
#include "tests/world/scenario.h"

#include <stdlib.h>

struct world w;

void hold(const char *what)
{
    if (w.failed)
        fail_msg("seed %llu, %s: invariant %s: %s", (unsigned long long)w.o.seed, what, w.failed, w.why);
}

void begin(uint64_t seed, const struct plain *p)
{
    const struct options o = {.seed = seed, .plain = p};
    world_begin(&w, &o, getenv("WORLD_TRACE") != NULL);
    w.o.trace = getenv("WORLD_TRACE") != NULL;
}

void run(uint64_t us)
{
    world_run_until(&w, w.now + us);
    hold("while it runs");
}

unsigned lost(size_t from)
{
    unsigned n = 0;
    for (size_t i = from; i < w.ledger.count; i++)
        n += !w.ledger.sent[i].forged && !w.ledger.sent[i].own && !w.ledger.sent[i].delivered &&
             w.ledger.sent[i].at + 2 * SECOND < w.now;
    return n;
}

unsigned counted(unsigned site, const char *name)
{
    return (unsigned)ike_counted(w.site[site].d.ike, name);
}

size_t up(void)
{
    run(10 * SECOND);
    size_t from = w.ledger.count;
    run(5 * SECOND);
    if (lost(from))
        fail_msg("seed %llu: %u packets are lost before anything happens", (unsigned long long)w.o.seed,
                 lost(from));
    return w.ledger.count;
}

void finish(void)
{
    world_conclude(&w);
    hold("at the end");
    world_end(&w);
}

const struct plain cards = {.card = {true, true}, .start = {START_START, START_TRAP}};
const struct plain no_cards = {.start = {START_START, START_TRAP}};
