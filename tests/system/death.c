// SPDX-License-Identifier: Apache-2.0
#include "tests/system/death.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { OVER_MS = 4000, GONE_MS = 1000 };

pid_t death_of(const struct site *s, const char *name)
{
    return strcmp(name, "supervisor") == 0 ? s->daemon : room_pid(s, name);
}

struct waiting {
    pid_t daemon;
    int *status;
};

static bool is_over(void *ctx)
{
    const struct waiting *w = ctx;
    return waitpid(w->daemon, w->status, WNOHANG) == w->daemon;
}

// One that nobody has reaped yet runs no more.
static bool all_gone(void *ctx)
{
    return sh("for p in %s; do grep -s '^State:' /proc/$p/status; done | grep -q -v Z", (const char *)ctx) !=
           0;
}

bool death_takes_all(struct site *s, const char *name, struct death *d)
{
    struct waiting w = {s->daemon, &d->status};
    pid_t pid = death_of(s, name);
    *d = (struct death){.rooms = ""};
    sh_read(d->rooms, sizeof(d->rooms), "tr '\\n' ' ' </proc/%d/task/%d/children", (int)s->daemon,
            (int)s->daemon);
    if (pid <= 0 || kill(pid, SIGKILL) != 0 || !wait_for(is_over, &w, OVER_MS))
        return complain("%s of %s cannot be killed, or the daemon goes on", name, s->name);
    s->daemon = 0;
    return wait_for(all_gone, d->rooms, GONE_MS) || complain("%s: not all are gone", s->name);
}

unsigned death_blocks(const struct site *s)
{
    char out[32] = "";
    sh_read(out, sizeof(out), "nsenter --net=%s ip xfrm policy | grep -c 'action block'", s->ns);
    return (unsigned)strtoul(out, NULL, 10);
}
