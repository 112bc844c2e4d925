// SPDX-License-Identifier: Apache-2.0
// What ctl gets, and the next ctl once more where it dies: the socket that VICI is served at, whose clients
// wait meanwhile, and the memory of what it alone knows; and the same memory of keys.
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctrl/ctl/configured.h"
#include "ctrl/ctl/kept.h"
#include "ctrl/ctl/listen.h"
#include "ctrl/keys/secrets_file.h"
#include "ctrl/super/sockets.h"

int sockets_open_ctl(struct socket_set *s, const struct settings *st, struct esp_error *err)
{
    s->kept = kept_new();
    if (s->kept < 0)
        return esp_fail(err, s->kept, "ctl's memory", "%s", strerror(-s->kept));
    s->configured = configured_new();
    if (s->configured < 0)
        return esp_fail(err, s->configured, "the configuration's memory", "%s", strerror(-s->configured));
    s->secrets = secrets_file_new();
    if (s->secrets < 0)
        return esp_fail(err, s->secrets, "the secrets' memory", "%s", strerror(-s->secrets));
    if (getrandom(&s->conn_salt, sizeof(s->conn_salt), 0) != sizeof(s->conn_salt))
        return esp_fail(err, -EIO, "random octets", "%s", strerror(errno));
    s->vici = vici_listen(st->vici_uri, st->vici_insecure, err);
    if (s->vici < 0)
        return s->vici;
    snprintf(s->vici_uri, sizeof(s->vici_uri), "%s", st->vici_uri);
    return 0;
}

static bool is_shut_down(int fd)
{
    struct pollfd p = {.fd = fd};
    return fd < 0 || (poll(&p, 1, 0) == 1 && p.revents & POLLHUP);
}

int sockets_renew_vici(struct socket_set *s, const struct settings *st, struct esp_error *err)
{
    if (!is_shut_down(s->vici))
        return 0;
    if (s->vici >= 0)
        close(s->vici);
    s->vici = vici_listen(st->vici_uri, st->vici_insecure, err);
    return s->vici < 0 ? s->vici : 0;
}

void sockets_end_vici(struct socket_set *s)
{
    if (!s->vici_uri[0])
        return;
    vici_unlink(s->vici_uri);
    s->vici_uri[0] = 0;
    shutdown(s->vici, SHUT_RDWR);
}
