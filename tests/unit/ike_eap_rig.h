// SPDX-License-Identifier: Apache-2.0
// Two daemons, side 0 the client a.test, which proves itself by EAP, side 1 the server b.test.
#ifndef TESTS_UNIT_IKE_EAP_RIG_H
#define TESTS_UNIT_IKE_EAP_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/ike_pair.h"

struct eap_names { // "": none
    const char *client_ike, *client_eap, *server_ike, *server_eap;
    const char *cert;   // of the client: by EAP-TLS; NULL: by a password
    const char *aaa_id; // NULL: none
    uint8_t revocation; // what the server asks for
    bool only;          // EAP is all the proof of either (RFC 5998)
};

// By a password, of the IKE identity and of bob, who is asked for; by EAP-TLS; by EAP-TLS alone.
extern const struct eap_names eap_plain, eap_asked, eap_tls, eap_tls_asked, eap_only, eap_only_asked;
extern bool eap_with_ppk; // both ends need a PPK, which goes into IKE_INTERMEDIATE (RFC 9867)

int eap_make_files(void **state); // certificates of all ends, by the openssl command
int eap_drop_files(void **state);
struct pair *eap_pair(const struct eap_names *n); // both ends loaded, but for passwords
void eap_pair_end(struct pair *p);
void eap_load_side(struct pair *p, int side, const struct eap_names *n);
void eap_password(struct pair *p, int side, const char *user, const char *text);
void eap_refused(struct pair *p, const char *why); // the client begins, and nothing is left of it

#endif
