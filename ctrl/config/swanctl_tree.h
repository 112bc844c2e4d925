// SPDX-License-Identifier: Apache-2.0
// One section of a swanctl.conf, with all that it inherits, as the section of a VICI message; each node knows
// the line that it comes from.
#ifndef CTRL_CONFIG_SWANCTL_TREE_H
#define CTRL_CONFIG_SWANCTL_TREE_H

#include "ctrl/config/conffile.h"
#include "ctrl/ctl/vici_msg.h"

struct swanctl_tree {
    struct placed *all, *root;
};

// The section `n` of the top section `above` ("connections"). dir: of the swanctl.conf, beside which files of
// certificates are read as swanctl reads them; NULL: their names stay. 0, -ELOOP for references without an
// end, or -ENOMEM. tree_free in any case.
int tree_make(struct swanctl_tree *t, const struct conf_tree *from, const char *dir, const char *above,
              const struct conf_node *n);
void tree_free(struct swanctl_tree *t); // wipes the values
const struct vici_node *tree_root(const struct swanctl_tree *t);
const char *tree_where(const struct vici_node *n); // "FILE:LINE"
const char *tree_error(const struct vici_node *n); // why its file could not be read, or NULL
// Whether a section of this name stands in the view before the i-th.
bool tree_seen(const struct conf_view *v, unsigned i, const char *name);

#endif
