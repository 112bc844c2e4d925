// SPDX-License-Identifier: Apache-2.0
// What load-cert, list-certs and flush-certs call the kinds of certificates, and what the daemon does.
#ifndef CTRL_CONFIG_CERT_KIND_H
#define CTRL_CONFIG_CERT_KIND_H

#include <stdint.h>

#include "espalier/error.h"

// type: X509, X509_CRL, PUBKEY ... in letters of either case; flag of an X509: NONE (or NULL), CA, OCSP.
// *kind is an enum pki_kind, *warning what to say beside, or NULL. -EINVAL, -EOPNOTSUPP: with charon's words
// where it has some.
int cert_kind(const char *type, const char *flag, uint8_t *kind, const char **warning, struct esp_error *err);
// "X509", "X509_CRL", "PUBKEY"; and the flag of an X509, or NULL.
const char *cert_kind_type(uint8_t kind);
const char *cert_kind_flag(uint8_t kind);

#endif
