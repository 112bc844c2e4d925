// SPDX-License-Identifier: Apache-2.0
// compare-conn, which charon has not: what load-conn of the same section would change, key by key. Nothing is
// loaded, and nobody else hears of it.
#include <stdlib.h>

#include "ctrl/ctl/ctl.h"
#include "ctrl/lib/conn_diff.h"

static void put_key(void *ctx, const char *key)
{
    vici_item(ctx, key);
}

// False: no memory.
static bool put_diff(struct vici_out *o, const struct conn_entry *was, const struct conn_entry *is)
{
    struct conn_config a = {0}, b = {0};
    bool read = ctl_read_conn(was, &a) && ctl_read_conn(is, &b);
    vici_list(o, "keys");
    if (read)
        conn_diff(&a, &b, put_key, o);
    vici_list_end(o);
    conn_clear(&a);
    conn_clear(&b);
    return read;
}

void cmd_compare_conn(struct ctl *c, struct command *cmd)
{
    struct writer w = writer_of(c->conn_wire, sizeof(c->conn_wire));
    struct conn_entry *e = ctl_conn_of(c, cmd, false, &w);
    const struct conn_entry *old = e ? ctl_find_conn(c, conn_entry_name(e)) : NULL;
    struct vici_out o;
    if (!e)
        return;
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_put(&o, "success", "yes");
    vici_put(&o, "loaded", old ? "yes" : "no");
    bool done = !old || put_diff(&o, old, e);
    free(e);
    if (done) {
        server_reply(cmd, &o);
        return;
    }
    vici_out_free(&o);
    server_reply_error(cmd, "out of memory");
}
