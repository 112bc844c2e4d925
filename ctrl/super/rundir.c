// SPDX-License-Identifier: Apache-2.0
// Makes and locks the run directory; the lock is a flock on its pid file, so a dead daemon's file is no
// obstacle. The rooms have it too: where the supervisor was killed, they are about to go, and until then the
// ports and the TUN are theirs.
#include "ctrl/super/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctrl/lib/log.h"

enum { ROOMS_GO_MS = 2000, LOOK_MS = 10 };

static void read_pid(int fd, char pid[24])
{
    ssize_t got = pread(fd, pid, 23, 0);
    pid[got > 0 ? got : 0] = 0;
    pid[strcspn(pid, "\n")] = 0;
}

static bool is_gone(const char *pid)
{
    long n = strtol(pid, NULL, 10);
    return n > 0 && kill((pid_t)n, 0) < 0 && errno == ESRCH;
}

// -1, errno: somebody else's.
static int take_lock(int fd, char pid[24])
{
    int rc = flock(fd, LOCK_EX | LOCK_NB);
    for (unsigned ms = 0; rc < 0 && errno == EWOULDBLOCK && ms < ROOMS_GO_MS; ms += LOOK_MS) {
        read_pid(fd, pid);
        if (!is_gone(pid))
            break;
        usleep(LOOK_MS * 1000); // and what else they hold goes in the same moment
        rc = flock(fd, LOCK_EX | LOCK_NB);
    }
    return rc;
}

// The lock's own descriptor, by which nothing can be written (flock(2) asks for no right to): the rooms get
// it.
static int lock_of(const char *path, struct esp_error *err)
{
    char pid[24] = "";
    int lock = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (lock >= 0 && take_lock(lock, pid) == 0)
        return lock;
    int e = errno;
    if (lock >= 0) {
        read_pid(lock, pid);
        close(lock);
    }
    if (e != EWOULDBLOCK)
        return esp_fail(err, -e, path, "locking it: %s", strerror(e));
    return esp_fail(err, -EBUSY, path, "the run directory is used by process %s", pid[0] ? pid : "(unknown)");
}

static int say_pid(int fd)
{
    char pid[24];
    int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    return ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n ? -errno : 0;
}

int rundir_take(const char *dir, bool *killed, struct esp_error *err)
{
    char path[256], pid[24];
    if (mkdir(dir, 0755) < 0 && errno != EEXIST)
        return esp_fail(err, -errno, dir, "the run directory cannot be made: %s", strerror(errno));
    int n = snprintf(path, sizeof(path), "%s/espalierd.pid", dir);
    if (n < 0 || (size_t)n >= sizeof(path))
        return esp_fail(err, -ENAMETOOLONG, dir, "the run directory's name is too long");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return esp_fail(err, -errno, path, "%s", strerror(errno));
    int lock = lock_of(path, err);
    if (lock >= 0) {
        read_pid(fd, pid);
        *killed = pid[0] != 0;
        int rc = say_pid(fd);
        if (rc < 0) {
            close(lock);
            lock = esp_fail(err, rc, path, "%s", strerror(-rc));
        }
    }
    close(fd);
    return lock;
}

void rundir_leave(int lock)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", lock);
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (fd < 0) // whoever comes next waits a little longer for ports that somebody else has
        LOGF(DMN, 2, "emptying the pid file: %s", strerror(errno));
    else
        close(fd);
    close(lock);
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
