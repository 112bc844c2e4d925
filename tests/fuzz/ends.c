// SPDX-License-Identifier: Apache-2.0
// The ends of ends.h.
#include "tests/fuzz/ends.h"

#include "tests/fuzz/ca.h"

static struct {
    struct slice root, end[2], private_key;
} own;

static void make(void)
{
    if (own.root.p)
        return;
    own.root = ca_cert("root", true);
    own.end[0] = ca_cert("a", false);
    own.end[1] = ca_cert("b", false);
    own.private_key = ca_private();
}

struct slice ends_cert(int side)
{
    make();
    return own.end[side];
}

void ends_trust(struct pair *p, int side)
{
    make();
    struct msg_CERT_LOAD ca = {.req = 1, .kind = PKI_CA, .data = own.root};
    struct msg_KEY_LOAD key = {.req = 2, .type = "any", .data = own.private_key};
    ipc_send(p->s[side].ctl_ike, MSG_CERT_LOAD, &ca);
    ipc_send(p->s[side].ctl_keys, MSG_KEY_LOAD, &key);
    pair_run(p);
}

void ends_show(struct auth_side *s, int side)
{
    if (blobs_add(&s->certs, ends_cert(side)) != 0)
        abort();
}
