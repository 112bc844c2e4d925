// SPDX-License-Identifier: Apache-2.0
// Certificates that the openssl command makes, and two daemons that authenticate by them.
#ifndef TESTS_IKE_CERTS_RIG_H
#define TESTS_IKE_CERTS_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ctrl/pki/pki.h"
#include "tests/unit/ike_pair.h"

// In a folder of their own: ca (of it one end of each kind of key, b, mallory, old and listed), other (an
// authority of the same name: false), mid (of ca) with leaf, and CRLs of ca.
int certs_make_files(void **state);
int certs_drop_files(void **state);
struct slice certs_file(const char *name, const char *suffix);

#define CERTS_KINDS 6
extern const char *const certs_kinds[CERTS_KINDS][2]; // of keys: the end's name, and as openssl makes it
uint32_t certs_req(void);                             // a number that no request had yet
void certs_load_key(struct pair *p, int side, const char *name);
void certs_load(struct pair *p, int side, enum pki_kind kind, const char *name);
// The connection of that end with its certificate; the peer is asked for one. To be dropped.
void certs_conn(struct conn_config *c, int side, const char *cert);
void certs_drop_conn(struct conn_config *c);
struct pair *certs_begin(const char *a); // side 0 has that certificate, side 1 has b
void certs_end(struct pair *p);
void certs_refused(struct pair *p, const char *why); // side 0 begins, and nothing is left of it
// Side 0 begins, and signs by the key of its own certificate although it sends that one: is it proven?
bool certs_initiate_with(struct pair *p, const char *cert);

#endif
