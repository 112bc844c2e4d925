// SPDX-License-Identifier: Apache-2.0
// Parses the VICI URI and opens the listening socket. A stale socket file is told from a live one by
// connecting to it; anything there that is not a socket is left alone.
#include "ctrl/ctl/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctrl/config/values.h"

struct where {
    struct sockaddr_storage addr;
    socklen_t len;
    bool unix_socket;
};

static int parse_unix(const char *path, struct where *w, struct esp_error *err)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&w->addr;
    if (path[0] != '/')
        return esp_fail(err, -EINVAL, "--vici", "'%.80s': expected an absolute path after unix://", path);
    if (strlen(path) >= sizeof(un->sun_path))
        return esp_fail(err, -EINVAL, "--vici", "the path is longer than %zu characters",
                        sizeof(un->sun_path) - 1);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, strlen(path) + 1);
    w->len = sizeof(*un);
    w->unix_socket = true;
    return 0;
}

// tcp://127.0.0.1:4502 or tcp://[::1]:4502
static int parse_tcp(const char *text, bool insecure, struct where *w, struct esp_error *err)
{
    char host[INET6_ADDRSTRLEN + 2];
    struct sockaddr_in *v4 = (struct sockaddr_in *)&w->addr;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&w->addr;
    const char *colon = strrchr(text, ':');
    uint64_t port;
    bool loopback = false;
    if (!insecure)
        return esp_fail(err, -EINVAL, "--vici", "tcp:// has no access control; --vici-insecure allows it");
    if (!colon || (size_t)(colon - text) >= sizeof(host) || !value_number(colon + 1, 1, 65535, &port))
        return esp_fail(err, -EINVAL, "--vici", "'%.60s': expected ADDRESS:PORT after tcp://", text);
    snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
    size_t n = strlen(host);
    if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
        host[n - 1] = 0;
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        w->len = sizeof(*v6);
        loopback = inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
    } else {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        w->len = sizeof(*v4);
        loopback = inet_pton(AF_INET, host, &v4->sin_addr) == 1 && ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    }
    return loopback ? 0 : esp_fail(err, -EINVAL, "--vici", "'%.60s' is not a loopback address", host);
}

static int parse(const char *uri, bool insecure, struct where *w, struct esp_error *err)
{
    memset(w, 0, sizeof(*w));
    if (strncmp(uri, "unix://", 7) == 0)
        return parse_unix(uri + 7, w, err);
    if (strncmp(uri, "tcp://", 6) == 0)
        return parse_tcp(uri + 6, insecure, w, err);
    return esp_fail(err, -EINVAL, "--vici", "'%.80s': expected unix:///PATH or tcp://ADDRESS:PORT", uri);
}

// 0: nobody there; *stale: a socket file without a listener.
static int probe(const char *uri, const struct where *w, bool *stale, struct esp_error *err)
{
    struct stat st;
    *stale = false;
    if (w->unix_socket) {
        const char *path = ((const struct sockaddr_un *)&w->addr)->sun_path;
        if (lstat(path, &st) < 0)
            return errno == ENOENT ? 0 : esp_fail(err, -errno, uri, "%s", strerror(errno));
        if (!S_ISSOCK(st.st_mode))
            return esp_fail(err, -EADDRINUSE, uri, "something that is not a socket is there");
    }
    int fd = socket(w->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return esp_fail(err, -errno, uri, "%s", strerror(errno));
    int r = connect(fd, (const struct sockaddr *)&w->addr, w->len) < 0 ? errno : 0;
    close(fd);
    if (r == ECONNREFUSED || r == ENOENT) {
        *stale = w->unix_socket;
        return 0;
    }
    if (r == EINPROGRESS && !w->unix_socket) // bind will tell
        return 0;
    if (r == 0 || r == EAGAIN || r == EINPROGRESS)
        return esp_fail(err, -EADDRINUSE, uri, "another daemon is listening there");
    return esp_fail(err, -r, uri, "%s", strerror(r));
}

int vici_uri_check(const char *uri, bool insecure, struct esp_error *err)
{
    struct where w;
    bool stale;
    int r = parse(uri, insecure, &w, err);
    return r ? r : probe(uri, &w, &stale, err);
}

int vici_listen(const char *uri, bool insecure, struct esp_error *err)
{
    struct where w;
    bool stale;
    int one = 1, r = parse(uri, insecure, &w, err);
    if (r == 0)
        r = probe(uri, &w, &stale, err);
    if (r)
        return r;
    if (stale && unlink(((const struct sockaddr_un *)&w.addr)->sun_path) < 0)
        return esp_fail(err, -errno, uri, "removing what an earlier daemon left there: %s", strerror(errno));
    int fd = socket(w.addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return esp_fail(err, -errno, uri, "%s", strerror(errno));
    if (!w.unix_socket)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    mode_t old = umask(0117); // 0660 from the first moment
    r = bind(fd, (const struct sockaddr *)&w.addr, w.len) < 0 ? -errno : 0;
    umask(old);
    if (r == 0 && listen(fd, 16) < 0)
        r = -errno;
    if (r) {
        close(fd);
        return esp_fail(err, r, uri, "%s", strerror(-r));
    }
    return fd;
}

void vici_unlink(const char *uri)
{
    if (strncmp(uri, "unix://", 7) == 0)
        unlink(uri + 7);
}
