// SPDX-License-Identifier: Apache-2.0
// See soft_rig.h.
#include "tests/unit/soft_rig.h"

int rig_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->seed = 0x9e3779b97f4a7c15;
    *state = f;
    return esp_soft_open(&f->e, NULL);
}

int rig_down(void **state)
{
    struct fixture *f = *state;

    f->e->ops->destroy(f->e);
    free(f);
    return 0;
}

enum esp_status rig_encap_tfc(struct fixture *f, struct esp_sa *sa, uint32_t len, uint16_t tfc_max)
{
    f->job = (struct esp_job){.op = ESP_ENCAP,
                              .sa = sa,
                              .in = f->in,
                              .in_len = len,
                              .out = f->mid,
                              .out_cap = BUF,
                              .tfc_max = tfc_max};
    return run_job(f->e, &f->job);
}

enum esp_status rig_encap(struct fixture *f, struct esp_sa *sa, uint32_t len)
{
    return rig_encap_tfc(f, sa, len, 0);
}

enum esp_status rig_decap(struct fixture *f, uint32_t len)
{
    f->job = (struct esp_job){.op = ESP_DECAP, .in = f->mid, .in_len = len, .out = f->out, .out_cap = BUF};
    return run_job(f->e, &f->job);
}
