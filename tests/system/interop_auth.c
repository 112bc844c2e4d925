// SPDX-License-Identifier: Apache-2.0
// The rows of the matrix: ways to authenticate, and the files that they need.
#include "tests/system/interop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/system/steps.h"

#define P256 "EC -pkeyopt ec_paramgen_curve:P-256"

const struct method interop_methods[] = {
    {.name = "PSK"},
    {.name = "RSA-PSS",
     .key = "RSA -pkeyopt rsa_keygen_bits:3072",
     .auth = "ike:rsa/pss-sha256",
     .with = "RSA_EMSA_PSS_SHA2_256_SALT_32"},
    {.name = "ECDSA-384", .key = "EC -pkeyopt ec_paramgen_curve:P-384", .with = "ECDSA_WITH_SHA384_DER"},
    {.name = "Ed25519", .key = "ED25519", .with = "ED25519"},
    {.name = "EAP-TLS", .key = P256, .with = "ECDSA_WITH_SHA256_DER", .eap = "eap-tls"},
    {.name = "EAP-MSCHAPv2", .key = P256, .with = "ECDSA_WITH_SHA256_DER", .eap = "eap-mschapv2"},
    {.name = "PPK", .ppk = true},
};
const unsigned interop_method_count = sizeof(interop_methods) / sizeof(interop_methods[0]);

// Where a method without certificates needs a chain, east shows this kind of key.
static const struct method chain_only = {.name = "chain", .key = P256, .with = "ECDSA_WITH_SHA256_DER"};

// --- files ---

static bool make_ca(const char *dir, const char *name, const char *issuer)
{
    int rc =
        issuer ? sh("cd %s && openssl genpkey -algorithm " P256
                    " -out %s.key && openssl req -new -key %s.key -subj /O=Lab/CN=%s -out %s.csr && printf "
                    "'basicConstraints=critical,CA:true\nkeyUsage=keyCertSign,cRLSign\n' >%s.ext && openssl "
                    "x509 -req -in %s.csr -CA %s.pem -CAkey %s.key -CAcreateserial -days 50 -extfile "
                    "%s.ext -out %s.pem",
                    dir, name, name, name, name, name, name, issuer, issuer, name, name)
               : sh("cd %s && openssl genpkey -algorithm " P256
                    " -out %s.key && openssl req -new -x509 -days 60 -key %s.key -subj /O=Lab/CN=%s -addext "
                    "keyUsage=critical,keyCertSign,cRLSign -out %s.pem",
                    dir, name, name, name, name);
    return rc == 0 || complain("cannot make the authority %s", name);
}

static bool make_end(const char *dir, const struct method *m, const char *site, const char *ca)
{
    char name[60];
    snprintf(name, sizeof(name), "%s-%s-%s", m->name, ca, site);
    return sh("cd %s && openssl genpkey -algorithm %s -out %s.key && openssl req -new -key %s.key -subj "
              "/O=Lab/CN=%s -out %s.csr && printf 'subjectAltName=DNS:%s.example\nkeyUsage=digitalSignature\n"
              "extendedKeyUsage=serverAuth,clientAuth\n' >%s.ext && openssl x509 -req -in %s.csr -CA %s.pem "
              "-CAkey %s.key -CAcreateserial -days 30 -extfile %s.ext -out %s.pem",
              dir, m->key, name, name, site, name, site, name, name, ca, ca, name, name) == 0 ||
           complain("cannot make the certificate %s", name);
}

static bool make_ends(const char *dir, const struct method *m)
{
    static const char *const sites[] = {"west", "east"}, *const authorities[] = {"ca", "low"};
    bool ok = true;
    for (int i = 0; i < 4 && ok && m->key; i++)
        ok = make_end(dir, m, sites[i / 2], authorities[i % 2]);
    return ok;
}

bool interop_files_make(char dir[96])
{
    snprintf(dir, 96, "/tmp/espalier-interop-XXXXXX");
    if (!mkdtemp(dir))
        return complain("cannot make %s", dir);
    bool ok = make_ca(dir, "ca", NULL) && make_ca(dir, "mid", "ca") && make_ca(dir, "low", "mid") &&
              make_ends(dir, &chain_only);
    for (unsigned i = 0; i < interop_method_count && ok; i++)
        ok = make_ends(dir, &interop_methods[i]);
    return ok;
}

void interop_files_drop(const char *dir)
{
    sh("rm -rf %s", dir);
}

// --- swanctl.conf ---

// The key by which that side shows itself; NULL: it shows none.
static const struct method *key_of(const struct method *m, int side, bool chain)
{
    if (m->key && !(m->eap && side == 0 && strcmp(m->eap, "eap-tls") != 0))
        return m;
    return side == 1 && chain ? &chain_only : NULL;
}

static bool put(const struct site *s, const char *files, const struct method *key, bool chain)
{
    const char *ca = chain ? "low" : "ca";
    if (sh("mkdir -p %s/swanctl/x509ca %s/swanctl/x509 %s/swanctl/private && cp %s/ca.pem %s/swanctl/x509ca/",
           s->dir, s->dir, s->dir, files, s->dir))
        return complain("cannot fill %s/swanctl", s->dir);
    if (!key)
        return true;
    return (sh("cp %s/%s-%s-%s.pem %s/swanctl/x509/ && cp %s/%s-%s-%s.key %s/swanctl/private/", files,
               key->name, ca, s->name, s->dir, files, key->name, ca, s->name, s->dir) == 0 &&
            (!chain || sh("cp %s/low.pem %s/mid.pem %s/swanctl/x509/", files, files, s->dir) == 0)) ||
           complain("cannot fill %s/swanctl", s->dir);
}

static void say(const struct method *m, const struct method *key, bool chain, int side, struct ends *e)
{
    const char *auth = m->eap && side == 0 ? m->eap : key ? (key->auth ? key->auth : "pubkey") : "psk";
    int at = snprintf(e->local[side], sizeof(e->local[side]), "auth = %s\n", auth);
    if (key)
        at +=
            snprintf(e->local[side] + at, sizeof(e->local[side]) - (size_t)at, "      certs = %s-%s-%s.pem\n",
                     key->name, chain ? "low" : "ca", side ? "east" : "west");
    if (m->eap && side == 0 && !key)
        snprintf(e->local[side] + at, sizeof(e->local[side]) - (size_t)at, "      eap_id = west.example\n");
    snprintf(e->remote[!side], sizeof(e->remote[!side]), "auth = %s\n", auth);
}

bool interop_authentication(const struct method *m, bool chain, const char *files, struct lab *l,
                            struct ends *e)
{
    memset(e, 0, sizeof(*e));
    for (int side = 0; side < 2; side++) {
        const struct method *key = key_of(m, side, chain);
        struct tunnel_options *o = &e->side[side];
        if (!put(side ? &l->east : &l->west, files, key, chain))
            return false;
        say(m, key, chain, side, e);
        snprintf(e->conn[side], sizeof(e->conn[side]), "send_cert = always\n%s",
                 m->ppk ? "    ppk_id = ppk.example\n    ppk_required = yes\n" : "");
        o->local = e->local[side];
        o->remote = e->remote[side];
        o->conn = e->conn[side];
        o->secrets = e->secrets;
        o->charon_plugins = "x509 constraints revocation pubkey pkcs1 pkcs8 gmp eap-identity "
                            "eap-mschapv2 eap-tls";
    }
    if (m->ppk)
        snprintf(e->secrets, sizeof(e->secrets),
                 "  ppk-1 {\n    id = ppk.example\n    secret = 0x%064x\n  }\n", 0x5eed);
    if (m->eap)
        snprintf(e->secrets, sizeof(e->secrets),
                 "  eap-1 {\n    id = west.example\n    secret = geheim\n  }\n");
    return true;
}

bool interop_authenticated(const struct method *m, bool chain, struct lab *l)
{
    char text[200];
    for (int side = 0; side < 2; side++) {
        const struct method *key = key_of(m, side, chain);
        snprintf(text, sizeof(text), "authentication of '%s.example' with %s successful",
                 side ? "east" : "west",
                 m->eap && side == 0 ? "EAP"
                 : key               ? key->with
                                     : "pre-shared key");
        if (!logged(side ? &l->west : &l->east, text))
            return false;
    }
    return !m->ppk || logged(&l->west, "using PPK for PPK_ID 'ppk.example'");
}
