// SPDX-License-Identifier: Apache-2.0
// A small PKI by the openssl command for tests with real daemons, and the two ends of a tunnel that use its
// files: which certificate each has, by swanctl's folders and the lines of its connection.
#ifndef TESTS_SYSTEM_CERT_LAB_H
#define TESTS_SYSTEM_CERT_LAB_H

#include "tests/system/steps.h"

#define MAKE(...) assert_int_equal(sh(__VA_ARGS__), 0)

void certs_begin(void); // makes the folder
void certs_end(void);   // and removes it
const char *certs_dir(void);
// NAME.key and NAME.pem, an authority with a P-256 key, issued by ISSUER (NULL: by itself). more: lines of
// openssl's x509v3_config for it, or "".
void make_ca(const char *name, const char *subject, const char *issuer, const char *more);
// The same of an end certificate, subject /C=CH/O=Lab/CN=NAME and subjectAltName DNS:ID. extensions: further
// lines; options: of openssl x509.
void make_end(const char *name, const char *ca, const char *algorithm, const char *id, const char *extensions,
              const char *options);
#define P256 "EC -pkeyopt ec_paramgen_curve:P-256"
// NAME.crl of that authority, in which all stand that were revoked (NULL: nobody more).
void make_crl(const char *ca, const char *name, const char *revoke);

struct end {
    const char *cert;   // its file's name; NULL: a shared secret
    const char *auth;   // of local, instead of pubkey
    const char *chain;  // further certificates that it has
    const char *id;     // NULL: the site's; "": none
    const char *crl;    // a CRL that is loaded
    const char *remote; // further lines of the section
    const char *conn;   // further lines of the connection, instead of send_cert = always
};
struct end_lines {
    char local[400], remote[400];
};
void put_file(const struct site *s, const char *name, const char *folder); // of swanctl's
// The files of `me` into its folders; what it is started or loaded with. `l` is what o points into.
void prepare(const struct site *s, const struct end *me, const struct end *peer, struct tunnel_options *o,
             struct end_lines *l);
bool authenticated(const struct site *s, const char *id, const char *with);
extern char *const no_card[];

#endif
