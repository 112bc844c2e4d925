// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/ike_editions_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

void starting(struct conn_config *c, int side)
{
    if (side == 0)
        c->children[0].start_action = ACTION_START;
}

void both(struct conn_config *c, int side)
{
    pair_two_children(c, side);
    for (unsigned i = 0; side == 0 && i < 2; i++)
        c->children[i].start_action = ACTION_START;
}

void renamed(struct conn_config *c)
{
    c->children[0].name = "new";
}

void load(struct pair *p, int side, pair_tune tune, void (*edit)(struct conn_config *c))
{
    struct conn_config c;
    pair_default_conn(&c, side);
    c.unique = UNIQUE_NO;
    if (tune)
        tune(&c, side);
    if (edit)
        edit(&c);
    pair_load(p, side, &c);
}

void settle(struct pair *p)
{
    pair_wait(p, 20000);
    for (int i = 0; i < 2; i++)
        pair_forget_deleted(&p->s[i]);
}

void assert_has(struct pair *p, unsigned ike_sas, unsigned children)
{
    for (int i = 0; i < 2; i++) {
        assert_int_equal(p->s[i].ike->sa_count, ike_sas);
        assert_int_equal(pair_live(&p->s[i]), children);
    }
    assert_true(pair_agree(p));
}
