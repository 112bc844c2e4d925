// SPDX-License-Identifier: Apache-2.0
// The keys process: no core dumps, no debugger, locked memory for OpenSSL's private values, then the loop.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <openssl/crypto.h>

#include "ctrl/keys/keys.h"
#include "ctrl/lib/log.h"

enum { SECURE_HEAP = 4 << 20, SECURE_CELL = 32 };

static void to_ctl(void *ctx, enum log_subsys s, int level, const char *ike_name, unsigned ike_id,
                   const char *text)
{
    ipc_log(keys_channel(ctx, ROOM_CTL), s, level, ike_name, ike_id, text);
}

int keys_main(const struct child_env *env)
{
    static const enum room peers[] = {ROOM_CTL, ROOM_IKE, ROOM_PATH, ROOM_SUPER};
    log_set_process("keys");
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    CRYPTO_secure_malloc_init(SECURE_HEAP, SECURE_CELL);
    struct loop *l = loop_new();
    struct keys *k = l ? keys_new(l) : NULL;
    int rc = k ? 0 : l ? -ENOMEM : -errno;
    if (!rc)
        rc = keys_inherit(k, env->secrets);
    for (unsigned i = 0; i < sizeof(peers) / sizeof(peers[0]) && !rc; i++)
        if (env->chan[peers[i]] >= 0)
            rc = keys_attach(k, peers[i], env->chan[peers[i]]);
    if (!rc) {
        log_set_sink(to_ctl, k);
        ipc_send(keys_channel(k, ROOM_SUPER), MSG_READY, &(struct msg_READY){.room = ROOM_KEYS});
        rc = loop_run(l);
    } else {
        LOGF(DMN, 0, "it cannot be set up: %s", strerror(-rc));
    }
    log_set_sink(NULL, NULL);
    keys_free(k);
    if (l)
        loop_free(l);
    return rc ? 1 : 0;
}
