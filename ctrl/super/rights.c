// SPDX-License-Identifier: Apache-2.0
#include "ctrl/super/rights.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { CAPS = 5, NONE = -1 };

// keys and path lock memory; ctl makes its files, and reads certificates by their paths, as
// root would; path speaks to the kernel of policies, routes and cards, which are root's files; ike writes
// keys where that is asked for.
static const int kept[ROOM_COUNT][CAPS] = {
    [ROOM_SUPER] = {NONE},
    [ROOM_CTL] = {CAP_DAC_OVERRIDE, NONE},
    [ROOM_IKE] = {NONE},
    [ROOM_KEYS] = {CAP_IPC_LOCK, NONE},
    [ROOM_PATH] = {CAP_NET_ADMIN, CAP_NET_RAW, CAP_DAC_OVERRIDE, CAP_IPC_LOCK, NONE},
    [ROOM_FETCH] = {NONE},
    [ROOM_METRICS] = {NONE},
    [ROOM_FLEET] = {NONE},
};

uid_t rights_uid(uint32_t base, enum room room)
{
    return base ? (uid_t)(base + (uint32_t)room) : 0;
}

// Whether the user namespace has the ids of all rooms, as /proc/self/{uid,gid}_map say it.
static bool is_mapped(const char *path, uint32_t base)
{
    unsigned long long first, outside, count;
    bool mapped = false;
    FILE *f = fopen(path, "re");
    if (!f) // then it is tried, and where it cannot be done nothing starts
        return true;
    while (fscanf(f, "%llu %llu %llu", &first, &outside, &count) == 3)
        mapped |= first <= base && (unsigned long long)base + ROOM_COUNT <= first + count;
    fclose(f);
    return mapped;
}

const char *rights_apart(uint32_t base)
{
    if (!base)
        return "uid_base is 0";
    if (capng_get_caps_process() < 0 || !capng_have_capability(CAPNG_EFFECTIVE, CAP_SETUID) ||
        !capng_have_capability(CAPNG_EFFECTIVE, CAP_SETGID))
        return "CAP_SETUID and CAP_SETGID are missing";
    if (!capng_have_capability(CAPNG_EFFECTIVE, CAP_KILL))
        return "CAP_KILL is missing, without which processes of other users cannot be ended";
    if (!capng_have_capability(CAPNG_EFFECTIVE, CAP_DAC_OVERRIDE))
        return "CAP_DAC_OVERRIDE is missing, without which their files are out of the reach of other users";
    if (!is_mapped("/proc/self/uid_map", base) || !is_mapped("/proc/self/gid_map", base))
        return "this user namespace has no further users";
    return NULL;
}

static int change_user(uid_t id)
{
    if (setgroups(0, NULL) < 0 || setresgid(id, id, id) < 0)
        return -errno;
    return setresuid(id, id, id) < 0 ? -errno : 0;
}

// What executing something could bring back; before the user changes, as it takes a capability.
static int drop_bounds(void)
{
    if (capng_get_caps_process() < 0)
        return -EPERM;
    if (!capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP))
        return 0; // no_new_privs is on
    capng_clear(CAPNG_SELECT_BOUNDS);
    return capng_apply(CAPNG_SELECT_BOUNDS) < 0 ? -EPERM : 0;
}

// Of those that it has.
static int keep_capabilities(enum room room, bool debug_keys)
{
    if (capng_get_caps_process() < 0)
        return -EPERM;
    bool had[CAPS] = {false}, override = capng_have_capability(CAPNG_PERMITTED, CAP_DAC_OVERRIDE);
    for (int i = 0; i < CAPS && kept[room][i] != NONE; i++)
        had[i] = capng_have_capability(CAPNG_PERMITTED, (unsigned)kept[room][i]);
    capng_clear(CAPNG_SELECT_ALL);
    for (int i = 0; i < CAPS; i++)
        if (had[i])
            capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, (unsigned)kept[room][i]);
    if (room == ROOM_IKE && debug_keys && override)
        capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_DAC_OVERRIDE);
    return capng_apply(CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT) < 0 ? -EPERM : 0;
}

int rights_keep(enum room room, const struct settings *s, bool apart, pid_t parent)
{
    // who locks memory has no limit to it where the daemon was free to lift that
    (void)setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
    int rc = drop_bounds();
    if (rc == 0 && apart && prctl(PR_SET_KEEPCAPS, 1) < 0)
        rc = -errno;
    if (rc == 0)
        rc = apart ? change_user(rights_uid(s->uid_base, room)) : 0;
    if (rc == 0)
        rc = keep_capabilities(room, s->debug_keys[0]);
    if (rc < 0)
        return rc;
    // another user is another start, for the kernel
    (void)prctl(PR_SET_KEEPCAPS, 0);
#ifdef __SANITIZE_ADDRESS__ // the leak checker has to look at its own process
    prctl(PR_SET_DUMPABLE, 1);
#else
    prctl(PR_SET_DUMPABLE, 0);
#endif
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return getppid() == parent ? 0 : -ESRCH;
}
