// SPDX-License-Identifier: Apache-2.0
// redirect: clients of ours are sent to another gateway (RFC 5685), chosen by IKE SA, address or identity.
#include <stdio.h>
#include <string.h>

#include "ctrl/config/values.h"
#include "ctrl/ctl/ctl.h"

static void redirected(struct pending *p, bool ok, const char *text)
{
    struct vici_out o;
    uint64_t matches = 0;
    if (!p->cmd)
        return;
    bool counted = value_number(text, 0, UINT32_MAX, &matches);
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_put(&o, "success", ok ? "yes" : "no");
    vici_putf(&o, "matches", "%llu", (unsigned long long)matches);
    if (!ok)
        server_put_errmsg(&o, counted ? "no matching SAs to redirect found" : text);
    server_reply(p->cmd, &o);
}

static const char *read_request(const struct command *cmd, struct msg_REDIRECT *m)
{
    const struct vici_node *root = cmd->msg.root;
    const char *ike = vici_get(root, "ike"), *id = vici_get(root, "ike-id"), *ip = vici_get(root, "peer-ip"),
               *peer = vici_get(root, "peer-id"), *gateway = vici_get(root, "gateway");
    uint64_t n = 0;
    if (!gateway || !addr_parse(gateway, &m->gateway))
        return "gateway: expected an IP address";
    if (!ike && !id && !ip && !peer)
        return "missing redirect selector";
    if (ike && strlen(ike) >= sizeof(m->conn))
        return "ike: expected a connection's name";
    if (id && !value_number(id, 1, UINT32_MAX, &n))
        return "ike-id: expected a number";
    if (ip && !addr_parse(ip, &m->peer))
        return "peer-ip: expected an IP address; networks and ranges are not supported";
    if (peer && strlen(peer) >= sizeof(m->peer_id))
        return "peer-id: expected an identity of at most 256 characters";
    m->ike_id = (uint32_t)n;
    snprintf(m->conn, sizeof(m->conn), "%s", ike ? ike : "");
    snprintf(m->peer_id, sizeof(m->peer_id), "%s", peer ? peer : "");
    return NULL;
}

void cmd_redirect(struct ctl *c, struct command *cmd)
{
    struct msg_REDIRECT m = {0};
    const char *bad = read_request(cmd, &m);
    if (bad) {
        server_reply_error(cmd, "%s", bad);
        return;
    }
    struct pending *p = ctl_ask(c, cmd, CTL_ANSWER_MS);
    if (!p)
        return;
    p->done = redirected;
    m.req = p->req;
    ctl_send(p, ROOM_IKE, MSG_REDIRECT, &m);
}
