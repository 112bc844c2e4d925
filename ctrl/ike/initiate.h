// SPDX-License-Identifier: Apache-2.0
// Beginning CHILD SAs of a connection, on the IKE SA that there is or on a new one.
#ifndef CTRL_IKE_INITIATE_H
#define CTRL_IKE_INITIATE_H

#include <stdint.h>

#include "espalier/error.h"

struct child_config;
struct conn;
struct ike;
struct ike_sa;
struct net_path;
struct redirection;
// On the IKE SA that there is, otherwise on a new one.
int initiate_child(struct ike *ike, struct conn *c, const struct child_config *child, struct esp_error *err);
// A new IKE SA, whatever there is already; child NULL: it alone.
int initiate_anew(struct ike *ike, struct conn *c, const struct child_config *child, struct esp_error *err);
// Likewise by that path; redirected: what led there, NULL: nothing. NULL: no memory, or we are going.
struct ike_sa *initiate_to(struct ike *ike, struct conn *c, const struct child_config *child,
                           const struct net_path *path, const struct redirection *redirected);
// The IKE SA that initiate_child would take, NULL: a new one.
struct ike_sa *initiate_on(struct ike *ike, struct conn *c, const struct child_config *child);

#endif
