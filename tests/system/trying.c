// SPDX-License-Identifier: Apache-2.0
// An espalierd whose `ike` is somebody else's: before it does its job it tries what $ESPALIER_TRY names, or
// each of it, and says what came of it.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <unistd.h>

#include "ctrl/lib/child.h"
#include "ctrl/lib/log.h"

int __real_ike_main(const struct child_env *env);
int __wrap_ike_main(const struct child_env *env);

static int try_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd < 0 ? -1 : 0;
}

static int try_proc(pid_t pid, const char *file)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    return try_open(path, O_RDONLY);
}

static int try_memory(pid_t pid)
{
    struct iovec own = {&own, sizeof(own)}, other = {(void *)&try_memory, 8};
    return process_vm_readv(pid, &own, 1, &other, 1, 0) < 0 ? -1 : 0;
}

static int try_exec(void)
{
    char *argv[] = {"true", NULL};
    return execv("/bin/true", argv);
}

// 0 where it could be done; which of them with `it`.
static int attempt(const char *it, pid_t of)
{
    char key[300];
    if (strcmp(it, "ptrace") == 0)
        return (int)ptrace(PTRACE_SEIZE, of, 0, 0);
    if (strcmp(it, "kill") == 0)
        return kill(of, 0);
    if (strcmp(it, "memory") == 0)
        return try_memory(of);
    if (strcmp(it, "mem") == 0 || strcmp(it, "environ") == 0 || strcmp(it, "maps") == 0)
        return try_proc(of, it);
    if (strcmp(it, "shadow") == 0)
        return try_open("/etc/shadow", O_RDONLY);
    if (strcmp(it, "passwd") == 0) // anybody's to read
        return try_open("/etc/passwd", O_RDONLY);
    if (strcmp(it, "exec") == 0)
        return try_exec();
    snprintf(key, sizeof(key), "%s", it); // a path
    return try_open(key, O_RDONLY);
}

static void try_all(const char *it, const struct child_env *env)
{
    static const char *const each[] = {"ptrace", "kill", "memory", "mem", "environ", "maps", "shadow"};
    for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
        if (strcmp(it, "each") != 0 && strcmp(it, each[i]) != 0)
            continue;
        for (enum room r = ROOM_SUPER; r < ROOM_IKE + 2; r++) { // those that it knows
            if (env->pid[r] <= 0)
                continue;
            errno = 0;
            int rc = attempt(each[i], env->pid[r]);
            LOGF(DMN, 0, "tried %s of room %d: %s", each[i], (int)r, rc == 0 ? "done" : strerror(errno));
        }
    }
    if (strcmp(it, "exec") == 0)
        attempt(it, 0);
    if (strcmp(it, "passwd") == 0) {
        int rc = attempt(it, 0);
        LOGF(DMN, 0, "tried passwd: %s", rc == 0 ? "done" : strerror(errno));
    }
}

int __wrap_ike_main(const struct child_env *env)
{
    const char *it = getenv("ESPALIER_TRY");
    if (it)
        try_all(it, env);
    return __real_ike_main(env);
}
