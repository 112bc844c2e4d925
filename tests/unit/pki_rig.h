// SPDX-License-Identifier: Apache-2.0
// A small PKI by the openssl command, and the judgement of its certificates with a few words.
#ifndef TESTS_PKI_RIG_H
#define TESTS_PKI_RIG_H

#include <stdint.h>

#include "ctrl/pki/pki.h"
#include "tests/unit/pki_files.h"

// The certificates of a rig are valid from now for ten years.
int64_t rig_now(void);
// NAME.pem (an ECDSA P-256 key unless it is there), NAME.crt and NAME.der, subject "C=CH, O=Lab, CN=NAME",
// issued by ISSUER (NULL: by itself) with the extensions of openssl's x509v3_config, a line each.
void rig_cert(const char *name, const char *issuer, const char *extensions);
#define RIG_CA                                                                                               \
    "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
#define RIG_END                                                                                              \
    "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nsubjectKeyIdentifier="                            \
    "hash\nauthorityKeyIdentifier=keyid\n"
struct slice rig_der(const char *name);                            // NAME.der
void rig_add(struct pki *p, enum pki_kind kind, const char *name); // NAME.der; fails the test
// A judgement of NAME.der (and others behind it, with spaces) for the identity "dns:NAME.test" or "dn:..." or
// "email:..".
struct rig_try {
    const char *certs, *id;
    struct pki_rules rules;
    int64_t now; // 0: rig_now
};
enum pki_verdict rig_judge(struct pki *p, const struct rig_try *t, struct pki_check **c,
                           struct esp_error *err);
void rig_valid(struct pki *p, const struct rig_try *t);
void rig_refused(struct pki *p, const struct rig_try *t, const char *says);

#endif
