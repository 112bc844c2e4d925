// SPDX-License-Identifier: Apache-2.0
// From the section that swanctl sends with load-conn to a struct conn_config: every key typed, checked and
// accounted for.
#ifndef CTRL_CONFIG_CONN_LOAD_H
#define CTRL_CONFIG_CONN_LOAD_H

#include "ctrl/ctl/vici_msg.h"
#include "ctrl/lib/conn.h"
#include "espalier/error.h"

enum { CONN_WIRE_MAX = 128 * 1024 }; // written (conn_write); below what a message may hold

// Stock swanctl reads nothing of what is in a section with a longer name.
enum { SWANCTL_NAME_MAX = 127 };

// What a load has to say. `at`: the key, list or section that it is about; `path` its section, from the
// connection's name on ("gw.children.net"); `text` names key, value and what was expected. Either may be
// NULL.
struct load_report {
    void *ctx;
    void (*fault)(void *ctx, const struct vici_node *at, const char *path, const char *text);
    void (*warn)(void *ctx, const struct vici_node *at, const char *path, const char *text);
};

// section: the connection's, whose name is the connection's. 0; or -EINVAL after all of it was read and each
// fault reported: *err is the first (field: the key; text: the sentence for the client); or -ENOMEM. *out is
// empty then.
int config_load_conn(struct conn_config *out, const struct vici_node *section,
                     const struct load_report *report, struct esp_error *err);
void config_conn_defaults(struct conn_config *c);
void config_child_defaults(struct child_config *c);

#endif
