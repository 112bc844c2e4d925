// SPDX-License-Identifier: Apache-2.0
// What the fleet's room is given: the page that says until when this node has what is the fleet's, and the
// files that it speaks TLS to etcd with, which are root's.
#include <errno.h>
#include <string.h>

#include "ctrl/fleet/tls_file.h"
#include "ctrl/lib/fence.h"
#include "ctrl/super/sockets.h"

static int open_tls(struct socket_set *s, const struct settings *st, struct esp_error *err)
{
    struct tls_files t;
    int rc = tls_files_read(&t, st, err);
    if (rc)
        return rc;
    s->fleet_tls = tls_files_put(&t);
    tls_files_free(&t);
    return s->fleet_tls < 0 ? esp_fail(err, s->fleet_tls, "fleet", "%s", strerror(-s->fleet_tls)) : 0;
}

int sockets_open_fleet(struct socket_set *s, const struct settings *st, struct esp_error *err)
{
    if (!st->fleet_endpoints[0])
        return 0;
    s->fence = fence_file();
    if (s->fence >= 0)
        s->fence_read = fence_read_only(s->fence);
    if (s->fence < 0 || s->fence_read < 0)
        return esp_fail(err, s->fence < 0 ? s->fence : s->fence_read, "fleet", "%s",
                        strerror(s->fence < 0 ? -s->fence : -s->fence_read));
    return open_tls(s, st, err);
}
