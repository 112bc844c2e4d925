// SPDX-License-Identifier: Apache-2.0
// The software engine and one job, for its tests.
#ifndef TESTS_SOFT_RIG_H
#define TESTS_SOFT_RIG_H

#include "drv_util.h"

enum { BUF = 2048 };

struct fixture {
    struct esp_engine *e;
    struct esp_job job;
    uint8_t in[BUF], mid[BUF], out[BUF];
    uint64_t seed;
};

int rig_up(void **state);
int rig_down(void **state);
enum esp_status rig_encap(struct fixture *f, struct esp_sa *sa, uint32_t len);
enum esp_status rig_encap_tfc(struct fixture *f, struct esp_sa *sa, uint32_t len, uint16_t tfc_max);
enum esp_status rig_decap(struct fixture *f, uint32_t len);

#endif
