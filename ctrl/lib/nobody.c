// SPDX-License-Identifier: Apache-2.0
#include "ctrl/lib/nobody.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NOBODY = 65534 };

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

int nobody_become(pid_t parent)
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
