// SPDX-License-Identifier: Apache-2.0
#include "ctrl/lib/metrics_at.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static const char unix_scheme[] = "unix://";

static bool read_port(const char *text, uint16_t *port)
{
    unsigned n = 0;
    size_t digits = strspn(text, "0123456789");
    if (!digits || digits > 5 || text[digits])
        return false;
    for (size_t i = 0; i < digits; i++)
        n = 10 * n + (unsigned)(text[i] - '0');
    *port = (uint16_t)n;
    return n && n <= UINT16_MAX;
}

static int read_path(const char *path, struct metrics_at *out)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&out->address;
    if (path[0] != '/' || strlen(path) >= sizeof(un->sun_path))
        return -EINVAL;
    un->sun_family = AF_UNIX;
    snprintf(un->sun_path, sizeof(un->sun_path), "%s", path);
    snprintf(out->path, sizeof(out->path), "%s", path);
    out->len = sizeof(*un);
    return 0;
}

static int read_ipv4(const char *host, uint16_t port, struct metrics_at *out)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&out->address;
    if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
        return -EINVAL;
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    out->len = sizeof(*in);
    out->wide = ntohl(in->sin_addr.s_addr) >> 24 != 127;
    return 0;
}

static int read_ipv6(const char *host, uint16_t port, struct metrics_at *out)
{
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out->address;
    if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
        return -EINVAL;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    out->len = sizeof(*in6);
    out->wide = !IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
    return 0;
}

int metrics_at_read(const char *text, struct metrics_at *out)
{
    char host[64];
    uint16_t port;
    const char *colon = strrchr(text, ':');
    memset(out, 0, sizeof(*out));
    if (strncmp(text, unix_scheme, sizeof(unix_scheme) - 1) == 0)
        return read_path(text + sizeof(unix_scheme) - 1, out);
    if (!read_port(colon ? colon + 1 : text, &port))
        return -EINVAL;
    if (!colon)
        return read_ipv4("127.0.0.1", port, out);
    size_t n = (size_t)(colon - text);
    bool six = n > 2 && text[0] == '[' && text[n - 1] == ']';
    if (n >= sizeof(host))
        return -EINVAL;
    snprintf(host, sizeof(host), "%.*s", (int)(six ? n - 2 : n), six ? text + 1 : text);
    return six ? read_ipv6(host, port, out) : read_ipv4(host, port, out);
}
