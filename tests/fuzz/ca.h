// SPDX-License-Identifier: Apache-2.0
// An authority in memory, with the same key each time, so that what the fuzzer keeps means the same in the
// next run. Its certificates all hold its own key: who has it is anybody.
#ifndef TESTS_FUZZ_CA_H
#define TESTS_FUZZ_CA_H

#include <stdbool.h>
#include <openssl/evp.h>

#include "ctrl/lib/slice.h"

EVP_PKEY *ca_key(void);        // Ed25519; made with the first call
struct slice ca_private(void); // PKCS#8; never freed
// DER, issued by CN=root, valid from 2020 to 2040, never freed. One that is no authority: CN=NAME and
// NAME.test, with a CRL and an OCSP responder to be asked.
struct slice ca_cert(const char *name, bool authority);

#endif
