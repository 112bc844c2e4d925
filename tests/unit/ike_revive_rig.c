// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/ike_revive_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

void assert_both(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        assert_int_equal(p->s[i].ike->sa_count, 1);
        assert_int_equal(pair_live(&p->s[i]), 2);
    }
    assert_true(pair_agree(p));
}

void assert_none(struct pair *p)
{
    for (int i = 0; i < 2; i++)
        assert_int_equal(p->s[i].ike->sa_count + pair_live(&p->s[i]), 0);
}

void event(struct pair *p, int side, uint8_t event)
{
    struct msg_CHILD_EVENT m = {.child_id = p->s[side].ike->sas->children->id, .event = event};
    ipc_send(p->s[side].path_ike, MSG_CHILD_EVENT, &m);
    pair_run(p);
}

void started(struct conn_config *c, int side)
{
    c->children[0].start_action = side ? ACTION_NONE : ACTION_START;
}

int lose_auth(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)number;
    return d->data[18] != EX_AUTH;
}

void closing(struct conn_config *c, int side)
{
    c->children[0].close_action = side ? ACTION_NONE : ACTION_START;
}

void acquire(struct pair *p)
{
    ipc_send(p->s[0].path_ike, MSG_ACQUIRE, &(struct msg_ACQUIRE){.conn = "t", .child = "c"});
    pair_run(p);
    pair_wait(p, 1);
}
