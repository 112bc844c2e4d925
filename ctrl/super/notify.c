// SPDX-License-Identifier: Apache-2.0
// Tells the service manager about readiness and the end, by its datagram protocol (sd_notify(3)).
#include "ctrl/super/supervise.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctrl/lib/log.h"

void notify_send(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (!path || (path[0] != '/' && path[0] != '@'))
        return;
    size_t n = strlen(path);
    if (n >= sizeof(to.sun_path)) {
        LOGF(DMN, 1, "NOTIFY_SOCKET is longer than %zu characters, not notified", sizeof(to.sun_path) - 1);
        return;
    }
    memcpy(to.sun_path, path, n);
    if (path[0] == '@')
        to.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to, len) < 0)
        LOGF(DMN, 1, "the service manager cannot be notified at %s", path);
    close(fd);
}
