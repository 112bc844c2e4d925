// SPDX-License-Identifier: Apache-2.0
// The metrics process: it serves.
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "ctrl/lib/log.h"
#include "ctrl/metrics/metrics.h"

static void to_ctl(void *ctx, enum log_subsys s, int level, const char *ike_name, unsigned ike_id,
                   const char *text)
{
    ipc_log(metrics_channel(ctx, ROOM_CTL), s, level, ike_name, ike_id, text);
}

int metrics_main(const struct child_env *env)
{
    static const enum room peers[] = {ROOM_CTL, ROOM_SUPER};
    pid_t pid[ROOM_COUNT];
    log_set_process("metrics");
    memcpy(pid, env->pid, sizeof(pid));
    pid[ROOM_METRICS] = getpid();
    struct loop *l = loop_new();
    struct metrics *m = l ? metrics_new(l, env->settings, pid, env->sock_metrics) : NULL;
    int rc = m ? 0 : -errno;
    for (unsigned i = 0; i < sizeof(peers) / sizeof(peers[0]) && !rc; i++)
        rc = metrics_attach(m, peers[i], env->chan[peers[i]]);
    if (!rc) {
        log_set_sink(to_ctl, m);
        ipc_send(metrics_channel(m, ROOM_SUPER), MSG_READY, &(struct msg_READY){.room = ROOM_METRICS});
        rc = loop_run(l);
    } else {
        LOGF(DMN, 0, "it cannot be set up: %s", strerror(-rc));
    }
    log_set_sink(NULL, NULL);
    metrics_free(m);
    if (l)
        loop_free(l);
    return rc ? 1 : 0;
}
