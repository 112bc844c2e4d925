// SPDX-License-Identifier: Apache-2.0
#include "tests/system/cert_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

char *const no_card[] = {"--card", "none", NULL};

static char files[96];

const char *certs_dir(void)
{
    return files;
}

void certs_begin(void)
{
    snprintf(files, sizeof(files), "/tmp/espalier-certs-XXXXXX");
    assert_non_null(mkdtemp(files));
}

void certs_end(void)
{
    sh("rm -rf %s", files);
}

void make_ca(const char *name, const char *subject, const char *issuer, const char *more)
{
    MAKE("cd %s && openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out %s.key && printf "
         "'basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n%s' >%s.ext && openssl "
         "req -new -key %s.key -subj %s -out %s.csr",
         files, name, more, name, name, subject, name);
    if (issuer)
        MAKE("cd %s && openssl x509 -req -in %s.csr -CA %s.pem -CAkey %s.key -CAcreateserial -days 50 "
             "-extfile %s.ext -out %s.pem",
             files, name, issuer, issuer, name, name);
    else
        MAKE("cd %s && openssl x509 -req -in %s.csr -signkey %s.key -days 60 -extfile %s.ext -out %s.pem",
             files, name, name, name, name);
}

void make_end(const char *name, const char *ca, const char *algorithm, const char *id, const char *extensions,
              const char *options)
{
    MAKE("cd %s && openssl genpkey -algorithm %s -out %s.key && openssl req -new -key %s.key -subj "
         "/C=CH/O=Lab/CN=%s -out %s.csr && printf "
         "'subjectAltName=DNS:%s\nkeyUsage=digitalSignature\n%s' >%s.ext && openssl x509 -req -in %s.csr -CA "
         "%s.pem -CAkey %s.key -CAcreateserial -days 30 -extfile %s.ext %s -out %s.pem",
         files, algorithm, name, name, name, name, id, extensions, name, name, ca, ca, name, options, name);
}

void make_crl(const char *ca, const char *name, const char *revoke)
{
    MAKE("cd %s && touch %s.index && (test -e %s.number || echo 01 >%s.number) && printf "
         "'[ca]\ndefault_ca=d\n[d]\ndatabase=%s.index\ncrlnumber=%s.number\ndefault_md=sha256\n' >%s.cnf",
         files, ca, ca, ca, ca, ca, ca);
    if (revoke)
        MAKE("cd %s && openssl ca -config %s.cnf -revoke %s.pem -keyfile %s.key -cert %s.pem", files, ca,
             revoke, ca, ca);
    MAKE("cd %s && openssl ca -config %s.cnf -gencrl -crldays 20 -keyfile %s.key -cert %s.pem -out %s.crl",
         files, ca, ca, ca, name);
}

void put_file(const struct site *s, const char *name, const char *folder)
{
    MAKE("mkdir -p %s/swanctl/%s && cp %s/%s %s/swanctl/%s/", s->dir, folder, files, name, s->dir, folder);
}

void prepare(const struct site *s, const struct end *me, const struct end *peer, struct tunnel_options *o,
             struct end_lines *l)
{
    char name[60], *save = NULL, list[100];
    memset(o, 0, sizeof(*o));
    o->conn = me->conn ? me->conn : "send_cert = always";
    o->charon_plugins = "x509 constraints revocation pubkey pkcs1 pkcs8 gmp";
    put_file(s, "ca.pem", "x509ca");
    snprintf(l->local, sizeof(l->local), "auth = psk");
    snprintf(l->remote, sizeof(l->remote), "auth = %s\n      %s", peer->cert ? "pubkey" : "psk",
             me->remote ? me->remote : "");
    if (me->cert) {
        snprintf(name, sizeof(name), "%s.pem", me->cert);
        put_file(s, name, "x509");
        snprintf(l->local, sizeof(l->local), "auth = %s\n      certs = %s", me->auth ? me->auth : "pubkey",
                 name);
        snprintf(name, sizeof(name), "%s.key", me->cert);
        put_file(s, name, "private");
    }
    snprintf(list, sizeof(list), "%s", me->chain ? me->chain : "");
    for (char *c = strtok_r(list, " ", &save); c; c = strtok_r(NULL, " ", &save)) {
        snprintf(name, sizeof(name), "%s.pem", c);
        put_file(s, name, "x509");
    }
    if (me->crl) {
        snprintf(name, sizeof(name), "%s.crl", me->crl);
        put_file(s, name, "x509crl");
    }
    o->local = l->local;
    o->remote = l->remote;
    o->local_id = me->id;
}

bool authenticated(const struct site *s, const char *id, const char *with)
{
    char text[200];
    snprintf(text, sizeof(text), "authentication of '%s' with %s successful", id, with);
    return logged(s, text);
}
