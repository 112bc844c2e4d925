// SPDX-License-Identifier: Apache-2.0
// mlock, MADV_DONTDUMP and MADV_WIPEONFORK, and a sentence for a person where the first of them fails.
#include "driver/common/lock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

void memory_protect(void *p, size_t length, const char *what, char note[MEMORY_NOTE])
{
    struct rlimit limit = {0};
    int rc = mlock(p, length) ? errno : 0;

    note[0] = 0;
    if (rc) {
        (void)getrlimit(RLIMIT_MEMLOCK, &limit);
        snprintf(note, MEMORY_NOTE, "%zu KiB of %s could not be locked (%s; RLIMIT_MEMLOCK is %llu KiB)",
                 length / 1024, what, strerror(rc), (unsigned long long)limit.rlim_cur / 1024);
    }
    (void)madvise(p, length, MADV_DONTDUMP);
    (void)madvise(p, length, MADV_WIPEONFORK); // for private memory only, on today's kernels
}
