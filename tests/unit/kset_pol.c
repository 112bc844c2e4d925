// SPDX-License-Identifier: Apache-2.0
// See kset_pol.h.
#include "tests/unit/kset_pol.h"

#include <string.h>

void pol_net(struct ts_list *l, uint8_t family, const uint8_t *addr, unsigned bits, uint8_t proto,
             uint16_t lo, uint16_t hi)
{
    struct ts *t = &l->t[l->count++];
    *t = (struct ts){.family = family, .proto = proto, .port_lo = lo, .port_hi = hi};
    memcpy(t->lo, addr, family == 6 ? 16 : 4);
    memcpy(t->hi, t->lo, 16);
    for (unsigned i = bits; i < (family == 6 ? 128 : 32); i++)
        t->hi[i / 8] |= (uint8_t)(0x80 >> i % 8);
}

void pol_finish(struct pol *p, uint8_t action, uint32_t rank)
{
    p->spec = (struct kset_spec){.action = action,
                                 .rank = rank,
                                 .local = p->l.t,
                                 .remote = p->r.t,
                                 .local_count = p->l.count,
                                 .remote_count = p->r.count};
}
