// SPDX-License-Identifier: Apache-2.0
// Makes and locks the run directory; the lock is a flock on its pid file, so a dead daemon's file is no
// obstacle.
#include "ctrl/super/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int rundir_take(const char *dir, struct esp_error *err)
{
    char path[256], pid[24] = "";
    if (mkdir(dir, 0755) < 0 && errno != EEXIST)
        return esp_fail(err, -errno, dir, "the run directory cannot be made: %s", strerror(errno));
    int n = snprintf(path, sizeof(path), "%s/espalierd.pid", dir);
    if (n < 0 || (size_t)n >= sizeof(path))
        return esp_fail(err, -ENAMETOOLONG, dir, "the run directory's name is too long");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return esp_fail(err, -errno, path, "%s", strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK) {
            int e = errno;
            close(fd);
            return esp_fail(err, -e, path, "locking it: %s", strerror(e));
        }
        ssize_t got = read(fd, pid, sizeof(pid) - 1);
        pid[got > 0 ? strcspn(pid, "\n") : 0] = 0;
        close(fd);
        return esp_fail(err, -EBUSY, path, "the run directory is used by process %s",
                        pid[0] ? pid : "(unknown)");
    }
    n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n) {
        int e = errno;
        close(fd);
        return esp_fail(err, -e, path, "%s", strerror(e));
    }
    return fd;
}

int debug_dir_make(const char *dir, struct esp_error *err)
{
    struct stat st;
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return esp_fail(err, -errno, "--debug-keys", "%.100s cannot be made: %s", dir, strerror(errno));
    if (lstat(dir, &st) < 0 || !S_ISDIR(st.st_mode) || access(dir, W_OK | X_OK) < 0)
        return esp_fail(err, -EACCES, "--debug-keys", "%.100s is not a directory that can be written to",
                        dir);
    if (st.st_uid != geteuid() ||
        st.st_mode & (S_IWGRP | S_IWOTH)) // others could read or exchange what is in it
        return esp_fail(
            err, -EACCES, "--debug-keys",
            "%.100s must belong to user %u and be writable by nobody else; it belongs to %u, mode %04o", dir,
            (unsigned)geteuid(), (unsigned)st.st_uid, (unsigned)st.st_mode & 07777);
    return 0;
}
