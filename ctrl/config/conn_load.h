// SPDX-License-Identifier: Apache-2.0
// From the section that swanctl sends with load-conn to a struct conn_config: every key typed, checked and
// accounted for.
#ifndef CTRL_CONFIG_CONN_LOAD_H
#define CTRL_CONFIG_CONN_LOAD_H

#include "ctrl/ctl/vici_msg.h"
#include "ctrl/lib/conn.h"
#include "espalier/error.h"

// section: the connection's, whose name is the connection's. warn(ctx, text) is called for keys without
// effect. 0, or -EINVAL: err->field is the key, err->text the whole sentence for the client.
int config_load_conn(struct conn_config *out, const struct vici_node *section,
                     void (*warn)(void *ctx, const char *text), void *ctx, struct esp_error *err);
void config_conn_defaults(struct conn_config *c);
void config_child_defaults(struct child_config *c);

#endif
