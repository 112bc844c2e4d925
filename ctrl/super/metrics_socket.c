// SPDX-License-Identifier: Apache-2.0
// Where metrics are asked for: a TCP port, or a socket in the file system. It is open as long as the daemon
// runs: who asks while the room that answers is started again waits for it.
#include <errno.h>
#include <stdio.h>
#include <string.h>
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

static int bind_to(int fd, const struct metrics_at *at)
{
    const struct sockaddr *to = (const struct sockaddr *)&at->address;
    int rc = bind(fd, to, at->len);
    if (rc < 0 && errno == EADDRINUSE && file_is_nobodys(at)) {
        unlink(at->path);
        rc = bind(fd, to, at->len);
    }
    return rc;
}

static int failed(struct esp_error *err, const char *text, const char *step)
{
    int e = errno;
    return esp_fail(err, -e, "metrics", "%s: %s: %s", text, step, strerror(e));
}

// No mark and no bypass policy: who asks from behind a tunnel is answered through it.
int metrics_socket_open(struct socket_set *s, const char *text, struct esp_error *err)
{
    struct metrics_at at;
    const int on = 1;
    int r = metrics_at_read(text, &at);
    if (r)
        return esp_fail(err, r, "metrics", "'%s': expected %s", text, METRICS_AT_EXPECTED);
    s->metrics = socket(at.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->metrics < 0)
        return failed(err, text, "opening a socket");
    if (!at.path[0] && setsockopt(s->metrics, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
        return failed(err, text, "taking over the port");
    if (bind_to(s->metrics, &at) < 0)
        return failed(err, text, "binding");
    snprintf(s->metrics_path, sizeof(s->metrics_path), "%s", at.path);
    if ((at.path[0] && chmod(at.path, 0660) < 0) || listen(s->metrics, BACKLOG) < 0)
        return failed(err, text, "listening");
    if (at.wide)
        LOGF(NET, 0, "metrics are served at %s to whoever reaches it", text);
    return 0;
}
