// SPDX-License-Identifier: Apache-2.0
// Between espalierd and the C library: each call counts, and one of them fails as the kernel would let it.
// Calls inside shared libraries are not counted. What only a wrong argument can make fail is left alone.
#include "tests/system/inject.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

extern const char __executable_start[];
static struct inject *told;
static const char *room = "supervisor"; // which process this is

int __real_open(const char *path, int flags, ...);
void *__real_mmap(void *at, size_t n, int prot, int flags, int fd, off_t from);

__attribute__((constructor)) static void find_out(int argc, char **argv)
{
    static const char title[] = "espalierd: ";
    const char *path = getenv(INJECT_FILE);
    int fd = path && argc ? __real_open(path, O_RDWR | O_CLOEXEC) : -1;
    void *p =
        fd < 0 ? MAP_FAILED : __real_mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (p == MAP_FAILED)
        return;
    told = p;
    if (strncmp(argv[0], title, sizeof(title) - 1) == 0)
        room = argv[0] + sizeof(title) - 1;
}

static bool fails(const char *what, int error, const void *where)
{
    if (!told || atomic_load(&told->left) <= 0 || strcmp(told->room, room) != 0 ||
        atomic_fetch_sub(&told->left, 1) != 1)
        return false;
    snprintf(told->what, sizeof(told->what), "%s", what);
    told->error = error;
    told->where = (uintptr_t)where - (uintptr_t)__executable_start;
    atomic_fetch_add(&told->errors, 1);
    errno = error;
    return true;
}

#define WRAP(type, failed, name, error, params, args)                                                        \
    type __real_##name params;                                                                               \
    type __wrap_##name params;                                                                               \
    type __wrap_##name params                                                                                \
    {                                                                                                        \
        return fails(#name, error, __builtin_return_address(0)) ? (type)(failed) : __real_##name args;       \
    }

WRAP(void *, NULL, malloc, ENOMEM, (size_t n), (n))
WRAP(void *, NULL, calloc, ENOMEM, (size_t n, size_t size), (n, size))
WRAP(void *, NULL, realloc, ENOMEM, (void *p, size_t n), (p, n))
WRAP(int, -1, socket, EMFILE, (int family, int type, int protocol), (family, type, protocol))
WRAP(int, -1, socketpair, EMFILE, (int family, int type, int protocol, int fd[2]),
     (family, type, protocol, fd))
WRAP(int, -1, setsockopt, ENOBUFS, (int fd, int level, int name, const void *p, socklen_t n),
     (fd, level, name, p, n))
WRAP(int, -1, getsockname, ENOBUFS, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n))
WRAP(int, -1, bind, ENOMEM, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
WRAP(int, -1, listen, EADDRINUSE, (int fd, int backlog), (fd, backlog))
WRAP(int, -1, connect, ENOBUFS, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
WRAP(int, -1, accept4, EMFILE, (int fd, struct sockaddr *a, socklen_t *n, int flags), (fd, a, n, flags))
WRAP(ssize_t, -1, send, ENOBUFS, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags))
WRAP(ssize_t, -1, sendto, ENOBUFS,
     (int fd, const void *p, size_t n, int flags, const struct sockaddr *a, socklen_t len),
     (fd, p, n, flags, a, len))
WRAP(ssize_t, -1, sendmsg, ENOBUFS, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
WRAP(ssize_t, -1, recv, EINTR, (int fd, void *p, size_t n, int flags), (fd, p, n, flags))
WRAP(ssize_t, -1, recvmsg, EINTR, (int fd, struct msghdr *m, int flags), (fd, m, flags))
WRAP(ssize_t, -1, read, EIO, (int fd, void *p, size_t n), (fd, p, n))
WRAP(ssize_t, -1, pread, EIO, (int fd, void *p, size_t n, off_t at), (fd, p, n, at))
WRAP(ssize_t, -1, write, ENOSPC, (int fd, const void *p, size_t n), (fd, p, n))
WRAP(ssize_t, -1, pwrite, ENOSPC, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at))
WRAP(int, -1, ftruncate, EIO, (int fd, off_t n), (fd, n))
WRAP(int, -1, fsync, EIO, (int fd), (fd))
WRAP(int, -1, flock, ENOLCK, (int fd, int how), (fd, how))
WRAP(int, -1, mkdir, ENOSPC, (const char *path, mode_t mode), (path, mode))
WRAP(int, -1, rename, ENOSPC, (const char *from, const char *to), (from, to))
WRAP(int, -1, unlink, EIO, (const char *path), (path))
WRAP(int, -1, chmod, EIO, (const char *path, mode_t mode), (path, mode))
WRAP(int, -1, stat, EIO, (const char *path, struct stat *st), (path, st))
WRAP(int, -1, lstat, EIO, (const char *path, struct stat *st), (path, st))
WRAP(int, -1, fstat, EIO, (int fd, struct stat *st), (fd, st))
WRAP(int, -1, access, EIO, (const char *path, int mode), (path, mode))
WRAP(int, -1, dup2, EMFILE, (int from, int to), (from, to))
WRAP(int, -1, epoll_create1, EMFILE, (int flags), (flags))
WRAP(int, -1, epoll_ctl, ENOSPC, (int epfd, int op, int fd, struct epoll_event *e), (epfd, op, fd, e))
WRAP(int, -1, epoll_wait, EINTR, (int epfd, struct epoll_event *e, int n, int ms), (epfd, e, n, ms))
WRAP(int, -1, poll, ENOMEM, (struct pollfd * fd, nfds_t n, int ms), (fd, n, ms))
WRAP(int, -1, signalfd, EMFILE, (int fd, const sigset_t *set, int flags), (fd, set, flags))
WRAP(int, -1, eventfd, EMFILE, (unsigned value, int flags), (value, flags))
WRAP(int, -1, timerfd_create, EMFILE, (int clock, int flags), (clock, flags))
WRAP(int, -1, memfd_create, EMFILE, (const char *name, unsigned flags), (name, flags))
WRAP(void *, MAP_FAILED, mmap, ENOMEM, (void *at, size_t n, int prot, int flags, int fd, off_t from),
     (at, n, prot, flags, fd, from))
WRAP(int, -1, mlock, ENOMEM, (const void *at, size_t n), (at, n))
WRAP(int, -1, mlockall, EAGAIN, (int flags), (flags))
WRAP(int, -1, close_range, ENOSYS, (unsigned from, unsigned to, int flags), (from, to, flags))
WRAP(pid_t, -1, fork, EAGAIN, (void), ())
WRAP(int, -1, fexecve, ENOMEM, (int fd, char *const argv[], char *const env[]), (fd, argv, env))
WRAP(int, -1, setresgid, EAGAIN, (gid_t r, gid_t e, gid_t s), (r, e, s))
WRAP(int, -1, setresuid, EAGAIN, (uid_t r, uid_t e, uid_t s), (r, e, s))

int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    void *more = va_arg(ap, void *);
    va_end(ap);
    return fails("open", EMFILE, __builtin_return_address(0)) ? -1 : __real_open(path, flags, more);
}

int __real_fcntl(int fd, int cmd, ...);
int __wrap_fcntl(int fd, int cmd, ...);
int __wrap_fcntl(int fd, int cmd, ...)
{
    va_list ap;
    va_start(ap, cmd);
    void *more = va_arg(ap, void *);
    va_end(ap);
    return fails("fcntl", EMFILE, __builtin_return_address(0)) ? -1 : __real_fcntl(fd, cmd, more);
}

int __real_ioctl(int fd, unsigned long cmd, ...);
int __wrap_ioctl(int fd, unsigned long cmd, ...);
int __wrap_ioctl(int fd, unsigned long cmd, ...)
{
    va_list ap;
    va_start(ap, cmd);
    void *more = va_arg(ap, void *);
    va_end(ap);
    return fails("ioctl", ENOMEM, __builtin_return_address(0)) ? -1 : __real_ioctl(fd, cmd, more);
}

char *__wrap_strndup(const char *text, size_t most);
char *__wrap_strdup(const char *text);

char *__wrap_strndup(const char *text, size_t most)
{
    size_t len = strnlen(text, most);
    char *copy = fails("strndup", ENOMEM, __builtin_return_address(0)) ? NULL : __real_malloc(len + 1);
    if (copy) {
        memcpy(copy, text, len);
        copy[len] = 0;
    }
    return copy;
}

char *__wrap_strdup(const char *text)
{
    return __wrap_strndup(text, strlen(text));
}
