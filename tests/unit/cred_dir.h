// SPDX-License-Identifier: Apache-2.0
// A swanctl directory with credentials of every kind, made by the openssl command: in x509ca ca.pem and
// sub.der, in x509 west.pem (RSA, of ca), east.pem (ECDSA, of sub) and north.der (Ed25519, of ca), in x509crl
// root.crl, in pubkey west.pub; in rsa, ecdsa and private the keys, in pkcs8 north's encrypted with "geheim",
// in private west's as private/westenc.pem (PEM, with "sesam"), in pkcs12 east.p12 with "p12".
#ifndef TESTS_CRED_DIR_H
#define TESTS_CRED_DIR_H

#include "tests/unit/pki_files.h"

// In the directory of pki_files_begin. What tests then change in it is their own.
void cred_dir_make(void);
// The keyids of west, east and north as charon 5.9.8 prints them: 40 hexadecimal digits.
const char *cred_dir_key_id(const char *name);

#endif
