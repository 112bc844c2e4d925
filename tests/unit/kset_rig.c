// SPDX-License-Identifier: Apache-2.0
// See kset_rig.h.
#include "tests/unit/kset_rig.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "espalier/error.h"

const struct kset_options rig_options = {.routes = true, .rule_priority = 220, .own_mark = 0xe59};

void rig_up_with(struct kset_rig *l, const struct kset_options *o)
{
    model_open(&l->m);
    assert_int_equal(kset_open(&l->s, &l->m.base, o, NULL), 0);
}

void rig_up(struct kset_rig *l)
{
    rig_up_with(l, &rig_options);
}

void rig_down(struct kset_rig *l)
{
    kset_close(l->s, false);
    assert_int_equal(l->m.count, 0);
    model_free(&l->m);
}

// "10.1.0.0/16", protocol and ports; several with one call each
void rig_selector(struct ts_list *l, const char *prefix, uint8_t proto, uint16_t lo, uint16_t hi)
{
    char text[64];
    uint8_t addr[16];
    snprintf(text, sizeof(text), "%s", prefix);
    char *slash = strchr(text, '/');
    *slash = 0;
    bool v6 = strchr(text, ':') != NULL;
    assert_int_equal(inet_pton(v6 ? AF_INET6 : AF_INET, text, addr), 1);
    pol_net(l, v6 ? 6 : 4, addr, (unsigned)atoi(slash + 1), proto, lo, hi);
}

void rig_pol(struct pol *p, uint8_t action, uint32_t rank, const char *l, const char *r, uint8_t proto,
             uint16_t lo, uint16_t hi)
{
    memset(p, 0, sizeof(*p));
    rig_selector(&p->l, l, 0, 0, 65535);
    rig_selector(&p->r, r, proto, lo, hi);
    pol_finish(p, action, rank);
}

struct kset_hold *rig_take(struct kset_rig *l, const struct pol *p)
{
    struct kset_hold *h = NULL;
    struct esp_error err = {0};
    if (kset_change(l->s, &p->spec, &h, 1, NULL, 0, &err) < 0)
        fail_msg("%s: %s", err.field, err.text);
    return h;
}

void rig_drop(struct kset_rig *l, struct kset_hold *h)
{
    assert_int_equal(kset_change(l->s, NULL, NULL, 0, &h, 1, NULL), 0);
}

int rig_says(const struct kernel_model *m, enum kobj_dir dir, const char *src, const char *dst, uint8_t proto,
             uint16_t sport, uint16_t dport)
{
    uint8_t s[16] = {0}, d[16] = {0};
    bool six = strchr(src, ':') != NULL;
    assert_int_equal(inet_pton(six ? AF_INET6 : AF_INET, src, s), 1);
    assert_int_equal(inet_pton(six ? AF_INET6 : AF_INET, dst, d), 1);
    return model_verdict(m, dir, six ? 6 : 4, s, d, proto, sport, dport);
}

unsigned rig_count_of(const struct kernel_model *m, uint8_t kind, uint8_t action)
{
    unsigned n = 0;
    for (unsigned i = 0; i < m->count; i++)
        n += m->objects[i].kind == kind && (!action || m->objects[i].action == action);
    return n;
}
