// SPDX-License-Identifier: Apache-2.0
// The exec between the supervisor and a room, from both sides.
#include "ctrl/super/room_exec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static const char magic[16] = "espalierd room\n";
static const char *const names[] = {
#define X(sym, name) name,
    ROOM_LIST(X)
#undef X
};

const char *room_name(enum room r)
{
    return (unsigned)r < ROOM_COUNT ? names[r] : "?";
}

int room_program(struct esp_error *err)
{
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    return fd >= 0 ? fd : esp_fail(err, -errno, "/proc/self/exe", "%s (is /proc mounted?)", strerror(errno));
}

static int put(int fd, const struct room_start *start)
{
    struct room_start s = *start;
    memcpy(s.magic, magic, sizeof(s.magic));
    s.size = sizeof(s);
    s.env.settings = NULL;
    ssize_t n = write(fd, &s, sizeof(s));
    if (n != (ssize_t)sizeof(s))
        return n < 0 ? -errno : -EIO;
    return fcntl(fd, F_ADD_SEALS, SEALS) < 0 ? -errno : 0;
}

int room_start_file(const struct room_start *start)
{
    int fd = memfd_create("espalierd-room", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    int rc = put(fd, start);
    if (rc < 0)
        close(fd);
    return rc < 0 ? rc : fd;
}

// The service manager is the supervisor's to talk to.
static void drop_notify_socket(void)
{
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

int room_exec(int program, enum room room)
{
    char title[32];
    char *argv[] = {title, NULL};
    snprintf(title, sizeof(title), ROOM_TITLE "%s", room_name(room));
    drop_notify_socket();
    fexecve(program, argv, environ);
    return -errno;
}

bool room_is_one(const char *title)
{
    return title && strncmp(title, ROOM_TITLE, strlen(ROOM_TITLE)) == 0;
}

int room_read_start(struct room_start *start)
{
    int seals = fcntl(ROOM_START_FD, F_GET_SEALS);
    if (seals < 0)
        return -errno;
    ssize_t n = pread(ROOM_START_FD, start, sizeof(*start), 0);
    if (n < 0)
        return -errno;
    bool whole = (seals & SEALS) == SEALS && n == (ssize_t)sizeof(*start) &&
                 memcmp(start->magic, magic, sizeof(magic)) == 0 && start->size == sizeof(*start) &&
                 start->room > ROOM_SUPER && start->room < ROOM_COUNT;
    if (!whole)
        return -EBADMSG;
    close(ROOM_START_FD);
    start->env.settings = &start->config.settings;
    return 0;
}
