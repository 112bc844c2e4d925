// SPDX-License-Identifier: Apache-2.0
// The fetch process takes off what rights it has been started with: its user, its groups, its capabilities.
// What is left can open sockets and read what everybody can.
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ctrl/fetch/fetch.h"
#include "ctrl/lib/log.h"

enum { NOBODY = 65534 };

static void to_ctl(void *ctx, enum log_subsys s, int level, const char *ike_name, unsigned ike_id,
                   const char *text)
{
    ipc_log(fetch_channel(ctx, ROOM_CTL), s, level, ike_name, ike_id, text);
}

// In a user namespace without that user (EINVAL) root is nobody outside of it already.
static int drop_user(void)
{
    if (geteuid() != 0)
        return 0;
    if (setgroups(0, NULL) < 0 && errno != EPERM)
        return -errno;
    if (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0)
        return errno == EINVAL ? 0 : -errno;
    return 0;
}

static int drop_rights(pid_t parent)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[2] = {{0}};
    int rc = drop_user();
    if (rc < 0)
        return rc;
    if (syscall(SYS_capset, &head, none) < 0)
        return -errno;
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL); // another user is another start
    return getppid() == parent ? 0 : -ESRCH;
}

int fetch_main(const struct child_env *env)
{
    static const enum room peers[] = {ROOM_CTL, ROOM_IKE, ROOM_SUPER};
    log_set_process("fetch");
    int rc = drop_rights(env->pid[ROOM_SUPER]);
    if (rc < 0) {
        LOGF(DMN, 0, "rights cannot be taken off: %s", strerror(-rc));
        return 1;
    }
    struct loop *l = loop_new();
    struct fetch *f = l ? fetch_new(l, false) : NULL;
    rc = f ? 0 : l ? -ENOMEM : -errno;
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
