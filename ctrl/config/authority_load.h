// SPDX-License-Identifier: Apache-2.0
// An authority as load-authority brings it: its certificate, and where its CRLs and OCSP responders are.
#ifndef CTRL_CONFIG_AUTHORITY_LOAD_H
#define CTRL_CONFIG_AUTHORITY_LOAD_H

#include "ctrl/config/conn_load.h"

enum { AUTHORITY_URIS_MAX = 8, AUTHORITY_URI_LEN = 1024 };

struct authority_config {
    char name[NAME_MAX_LEN];
    struct blobs cacert;              // one
    struct blobs crl_uris, ocsp_uris; // text
    struct {                          // what the crl_uris of file:// hold, DER
        uint8_t *der;
        size_t len;
    } crls[AUTHORITY_URIS_MAX];
    unsigned crl_count;
    char cert_uri_base[AUTHORITY_URI_LEN];
};

// As config_load_conn.
int config_load_authority(struct authority_config *out, const struct vici_node *section,
                          const struct load_report *report, struct esp_error *err);
void authority_clear(struct authority_config *a);

#endif
