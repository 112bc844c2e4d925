// SPDX-License-Identifier: Apache-2.0
// etcd by the JSON gateway of its client port, with libcurl in the loop of the process. Of several endpoints
// one is asked until it cannot be reached or is silent, then the next.
#ifndef CTRL_FLEET_ETCD_HTTP_H
#define CTRL_FLEET_ETCD_HTTP_H

#include "ctrl/fleet/etcd.h"
#include "ctrl/lib/loop.h"
#include "ctrl/lib/slice.h"
#include "espalier/error.h"

enum { ETCD_ENDPOINTS = 8, ETCD_URL_LEN = 256 };

struct etcd_http_config {
    const char *endpoints; // http:// or https:// URLs between commas
    struct slice ca, cert,
        key;             // PEM, for https://: whom to believe, and who we are; empty: the system's, nobody
    uint32_t timeout_ms; // of a question; of a watch, until it says that it is there
};

// Whether these are URLs that can be asked. 0, or -EINVAL with which one is not.
int etcd_endpoints_check(const char *endpoints, struct esp_error *err);
// Copies what it needs. NULL: err says why.
struct etcd *etcd_http_new(struct loop *l, const struct etcd_http_config *c, struct esp_error *err);

#endif
