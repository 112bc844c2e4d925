// SPDX-License-Identifier: Apache-2.0
// An address pool as load-pool brings it.
#ifndef CTRL_CONFIG_POOL_LOAD_H
#define CTRL_CONFIG_POOL_LOAD_H

#include "ctrl/config/conn_load.h"
#include "ctrl/lib/pool.h"

// As config_load_conn; out holds nothing to be freed.
int config_load_pool(struct pool_config *out, const struct vici_node *section,
                     const struct load_report *report, struct esp_error *err);

#endif
