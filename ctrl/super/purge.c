// SPDX-License-Identifier: Apache-2.0
#include "ctrl/super/purge.h"

#include <stdbool.h>
#include <stdio.h>

#include "ctrl/path/purge.h"
#include "ctrl/super/rundir.h"

static void say_device(void *ctx, const char *name)
{
    (void)ctx;
    printf("TUN device %s removed\n", name);
}

static void say_count(unsigned n, const char *one, const char *many)
{
    if (n)
        printf("%u %s removed\n", n, n == 1 ? one : many);
}

static void say(const struct purged *p, bool all, const char *run_dir)
{
    say_count(p->rules, "routing rule", "routing rules");
    say_count(p->routes, "route", "routes");
    say_count(p->tables, "table of nf_tables", "tables of nf_tables");
    say_count(p->policies, "block policy (XFRM)", "block policies (XFRM)");
    if (p->devices || p->rules || p->routes || p->tables || p->policies)
        puts("what they kept closed leaves in clear from now on, wherever a route leads it");
    else if (all)
        printf("nothing is left of a run with %s\n", run_dir);
}

int purge_run(const struct settings *s, struct esp_error *err)
{
    struct purged gone = {0};
    bool killed;
    int lock = rundir_take(s->run_dir, &killed, err);
    if (lock < 0)
        return lock;
    int rc = purge(s, say_device, NULL, &gone, err);
    say(&gone, rc == 0, s->run_dir);
    rundir_leave(lock);
    return rc;
}
