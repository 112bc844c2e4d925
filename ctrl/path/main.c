// SPDX-License-Identifier: Apache-2.0
// The path process: locked memory, its log line to ctl, then the loop until the supervisor says stop.
#include "ctrl/path/path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ctrl/lib/fence.h"
#include "ctrl/lib/log.h"

static void to_ctl(void *ctx, enum log_subsys s, int level, const char *ike_name, unsigned ike_id,
                   const char *text)
{
    struct path *p = ctx;
    ipc_log(p->ctl, s, level, ike_name, ike_id, text);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) // whose shadow is larger than any memory
// 0 or an errno. Where the limit cannot be lifted, as in a container, CAP_IPC_LOCK, which is kept, knows
// none: with a limit of nothing mlockall() says whether it counts here.
static int lock_without_limit(const struct rlimit *now)
{
    const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY}, none = {0, now->rlim_max};
    bool lifted = setrlimit(RLIMIT_MEMLOCK, &all) == 0;
    if (!lifted && setrlimit(RLIMIT_MEMLOCK, &none) < 0)
        return errno;
    int rc = mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0 ? 0 : errno;
    if (!lifted)
        (void)setrlimit(RLIMIT_MEMLOCK, now);
    return rc;
}
#endif

// Everything stays out of swap where that is allowed without a limit that later memory would meet.
static bool lock_memory(void)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    struct rlimit now = {0};
    (void)getrlimit(RLIMIT_MEMLOCK, &now);
    int rc = lock_without_limit(&now);
    if (!rc)
        return true;
    LOGF(DMN, 0,
         "memory with traffic keys may be swapped out: it cannot be locked (%s; RLIMIT_MEMLOCK is %llu KiB)",
         strerror(rc), (unsigned long long)now.rlim_cur / 1024);
#endif
    return false;
}

static int run(struct path *p, const struct child_env *env)
{
    static const enum room peers[] = {ROOM_SUPER, ROOM_CTL, ROOM_IKE, ROOM_KEYS};
    struct esp_error err = {0};
    for (unsigned i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
        int rc = path_attach(p, peers[i], env->chan[peers[i]]);
        if (rc < 0) {
            LOGF(DMN, 0, "it cannot be set up: %s", strerror(-rc));
            return 1;
        }
    }
    if (env->fence >= 0) {
        p->fence = fence_map(env->fence, false); // without it what is the fleet's is closed
        close(env->fence);
    }
    log_set_sink(to_ctl, p);
    p->threads = true;
    if (p->set.workers > 1) // beside control
        path_set_workers(p, p->set.workers + 1);
    int rc = path_open(p, NULL, &err);
    if (rc < 0) {
        LOGF(ESP, 0, "%s: %s", err.field, err.text);
        return rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE ? 1 : PATH_MISSING;
    }
    ipc_send(p->super, MSG_READY, &(struct msg_READY){ROOM_PATH});
    loop_run(p->loop);
    return path_status(p);
}

int path_main(const struct child_env *env)
{
    struct loop *l = loop_new();
    struct path *p = l ? path_new(l, env) : NULL;
    if (!p) {
        LOGF(DMN, 0, "it cannot be set up: %s", strerror(l ? ENOMEM : errno));
        loop_free(l);
        return 1;
    }
    p->locked = lock_memory();
    int status = run(p, env);
    path_close(p);
    ipc_send(p->super, MSG_SHUTDOWN_DONE, &(struct msg_SHUTDOWN_DONE){ROOM_PATH});
    log_set_sink(NULL, NULL);
    if (p->thread_left) // exit() would take away what it uses, first of all OpenSSL
        _exit(status);
    path_free(p);
    loop_free(l);
    return status;
}
