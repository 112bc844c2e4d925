// SPDX-License-Identifier: Apache-2.0
// Random sequences of what operators, peers, other programs and accidents do to a gateway's policies, with
// real daemons and the real kernel. After each step probes are sent both ways, and what the far end of the
// link sees is held against a naive second reading of the files alone: nothing that a child protects or drops
// is ever seen in clear, in whatever state; nothing that no child names is ever held up; and what an SA that
// is up protects comes out of it at the far end; what the gateway says about that is never in clear either.
// The kernel's objects have to become those that the second reading says, and no others.
//
//   policy_property [SEED [SECONDS]]     a failing seed prints its steps and the command to run again;
//                                        ESPALIER_STEPS=1 prints each as it is done
#include <stdio.h>
#include <stdlib.h>

#include "tests/system/policy_lab.h"

enum { PROBES_IN = 4 };

static bool run(struct test *t, uint64_t ms)
{
    if (!lab_prepare(t))
        return false;
    uint64_t end = mono_us() + ms * 1000;
    while (mono_us() < end) {
        if (!step(t) || !set_settles(t, false) || !probe_out(t, WAY_UP) || !probe_errors(t))
            return false;
        for (int i = 0; i < PROBES_IN; i++)
            if (!probe_in(t))
                return false;
    }
    return true;
}

static void explain(struct test *t, const char *program, unsigned seconds)
{
    char out[65536], sas[16384];
    for (unsigned i = t->log_count > LOG_LINES ? t->log_count - LOG_LINES : 0; i < t->log_count; i++)
        fprintf(stderr, "  %3u %s\n", i + 1, t->log[i % LOG_LINES]);
    sh_read(out, sizeof(out),
            "nsenter --net=%s sh -c 'ip addr show outer; ip route; ip neigh; ip rule; ip -6 rule; ip route "
            "show table all proto 89; ip -6 route show "
            "table "
            "all proto 89; ip xfrm policy | grep -v socket | head -400'",
            t->lab.west.ns);
    swanctl(&t->lab.west, sas, sizeof(sas), "--list-sas");
    fprintf(stderr, "%s\n%s\nrun it again: %s %llu %u\n", out, sas, program, (unsigned long long)t->seed,
            seconds);
}

int main(int argc, char **argv)
{
    static struct test t;
    t.seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    unsigned seconds = argc > 2 ? (unsigned)atoi(argv[2]) : 60;
    rng_seed(&t.rng, t.seed);
    t.begun = mono_us();
    if (!have_swanctl()) {
        puts("skip: swanctl is not installed");
        return 3;
    }
    bool ok = run(&t, seconds * 1000ull) && (t.steps || complain("no time for a step"));
    if (!ok)
        explain(&t, argv[0], seconds);
    lab_down(&t.lab);
    printf(
        "seed %llu: %u steps, %u probes, %u of them seen in clear, %u delivered by an SA; the "
        "kernel's objects as they have to be %u times; %u errors about what an SA brought, none in clear\n",
        (unsigned long long)t.seed, t.steps, t.probes, t.seen, t.delivered, t.sets, t.errors);
    printf("%d passed, %d failed\n", ok, !ok);
    return !ok;
}
