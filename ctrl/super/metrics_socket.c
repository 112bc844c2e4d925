// SPDX-License-Identifier: Apache-2.0
// Where metrics are asked for: a TCP port, or a socket in the file system. It is open as long as the daemon
// runs: who asks while the room that answers is started again waits for it.
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctrl/lib/log.h"
#include "ctrl/lib/metrics_at.h"
#include "ctrl/super/sockets.h"

enum { BACKLOG = 64 };

// Of a daemon that was killed the file is left. What is no socket is somebody's, whatever connect() says.
static bool file_is_nobodys(const struct metrics_at *at)
{
    struct stat st;
    if (!at->path[0] || lstat(at->path, &st) < 0 || !S_ISSOCK(st.st_mode)) {
        errno = EADDRINUSE;
        return false;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool nobody =
        fd >= 0 && connect(fd, (const struct sockaddr *)&at->address, at->len) < 0 && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return nobody;
}

// For its owner and its group from the first moment on: later its name may be another file's.
static int bind_file(int fd, const struct sockaddr *to, socklen_t len)
{
    mode_t before = umask(0117);
    int rc = bind(fd, to, len);
    umask(before);
    return rc;
}

static int bind_to(int fd, const struct metrics_at *at)
{
    const struct sockaddr *to = (const struct sockaddr *)&at->address;
    int rc = bind_file(fd, to, at->len);
    if (rc < 0 && errno == EADDRINUSE && file_is_nobodys(at)) {
        unlink(at->path);
        rc = bind_file(fd, to, at->len);
    }
    return rc;
}

static int failed(struct esp_error *err, const char *text, const char *step)
{
    int e = errno;
    return esp_fail(err, -e, "metrics", "%s: %s: %s", text, step, strerror(e));
}

// -1: the one that it has. 0 or -errno.
static int group_of(const char *text, gid_t *gid, struct esp_error *err)
{
    char buf[4096], *end;
    struct group g, *found = NULL;
    *gid = (gid_t)-1;
    if (!text[0])
        return 0;
    unsigned long n = strtoul(text, &end, 10);
    if (isdigit((unsigned char)text[0]) && !*end && n < UINT32_MAX) {
        *gid = (gid_t)n;
        return 0;
    }
    int e = getgrnam_r(text, &g, buf, sizeof(buf), &found);
    if (!found)
        return esp_fail(err, e ? -e : -EINVAL, "metrics_group", "'%s': %s", text,
                        e ? strerror(e) : "there is no such group");
    *gid = g.gr_gid;
    return 0;
}

// A file's owner may give it to a group that he is in: for this one call we are in that one, which takes
// CAP_SETGID, which is ours for the processes' users, and not CAP_CHOWN, which would be for any file. Where
// that is missing too, the call says so.
static int give(int fd, gid_t gid)
{
    int before = setfsgid(gid), rc = fchownat(fd, "", (uid_t)-1, gid, AT_EMPTY_PATH), e = errno;
    setfsgid((gid_t)before);
    errno = e;
    return rc;
}

// The socket that we have made, and not what the owner of its folder has put in its place meanwhile, or what
// a link leads to.
static int hand_to_group(const struct metrics_at *at, gid_t gid)
{
    struct stat st;
    if (gid == (gid_t)-1)
        return 0;
    int fd = open(at->path, O_PATH | O_NOFOLLOW | O_CLOEXEC), rc = fd < 0 ? -1 : fstat(fd, &st);
    if (rc == 0 && (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid() || st.st_nlink != 1)) {
        errno = EPERM;
        rc = -1;
    }
    if (rc == 0)
        rc = give(fd, gid);
    int e = errno;
    if (fd >= 0)
        close(fd);
    errno = e;
    return rc;
}

// No mark and no bypass policy: who asks from behind a tunnel is answered through it.
int metrics_socket_open(struct socket_set *s, const char *text, const char *group, struct esp_error *err)
{
    struct metrics_at at;
    const int on = 1;
    gid_t gid;
    int r = metrics_at_read(text, &at);
    if (r)
        return esp_fail(err, r, "metrics", "'%s': expected %s", text, METRICS_AT_EXPECTED);
    if (group[0] && !at.path[0])
        return esp_fail(err, -EINVAL, "metrics_group", "has a meaning with metrics = unix:///PATH alone");
    r = group_of(group, &gid, err);
    if (r)
        return r;
    s->metrics = socket(at.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->metrics < 0)
        return failed(err, text, "opening a socket");
    if (!at.path[0] && setsockopt(s->metrics, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
        return failed(err, text, "taking over the port");
    if (bind_to(s->metrics, &at) < 0)
        return failed(err, text, "binding");
    snprintf(s->metrics_path, sizeof(s->metrics_path), "%s", at.path);
    if (at.path[0] && hand_to_group(&at, gid) < 0)
        return failed(err, text, "giving it to its group");
    if (listen(s->metrics, BACKLOG) < 0)
        return failed(err, text, "listening");
    if (at.wide)
        LOGF(NET, 0, "metrics are served at %s to whoever reaches it", text);
    return 0;
}
