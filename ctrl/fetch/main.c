// SPDX-License-Identifier: Apache-2.0
// The fetch process: it serves, with what rights the supervisor has left it.
#include <errno.h>
#include <string.h>

#include "ctrl/fetch/fetch.h"
#include "ctrl/lib/log.h"

static void to_ctl(void *ctx, enum log_subsys s, int level, const char *ike_name, unsigned ike_id,
                   const char *text)
{
    ipc_log(fetch_channel(ctx, ROOM_CTL), s, level, ike_name, ike_id, text);
}

int fetch_main(const struct child_env *env)
{
    static const enum room peers[] = {ROOM_CTL, ROOM_IKE, ROOM_SUPER};
    log_set_process("fetch");
    struct loop *l = loop_new();
    struct fetch *f = l ? fetch_new(l, false) : NULL;
    int rc = f ? 0 : l ? -ENOMEM : -errno;
    for (unsigned i = 0; i < sizeof(peers) / sizeof(peers[0]) && !rc; i++)
        if (env->chan[peers[i]] >= 0)
            rc = fetch_attach(f, peers[i], env->chan[peers[i]]);
    if (!rc) {
        log_set_sink(to_ctl, f);
        ipc_send(fetch_channel(f, ROOM_SUPER), MSG_READY, &(struct msg_READY){.room = ROOM_FETCH});
        rc = loop_run(l);
    } else {
        LOGF(DMN, 0, "it cannot be set up: %s", strerror(-rc));
    }
    log_set_sink(NULL, NULL);
    fetch_free(f);
    if (l)
        loop_free(l);
    return rc ? 1 : 0;
}
