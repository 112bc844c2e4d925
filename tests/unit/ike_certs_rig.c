// SPDX-License-Identifier: Apache-2.0
// See ike_certs_rig.h.
#include "tests/unit/ike_certs_rig.h"

#include <stdio.h>

#include "ctrl/ike/own_auth.h"
#include "tests/unit/ike_watch.h"
#include "tests/unit/pki_files.h"

uint32_t certs_req(void)
{
    static uint32_t req = 50000;
    return ++req;
}

// --- files: ca (with a.test and b.test of it), other (an authority of the same name), mid and leaf ---

static void make_end(const char *name, const char *ca, const char *algorithm, const char *san,
                     const char *more)
{
    pki_run("openssl genpkey -algorithm %s -outform DER -out %s.key", algorithm, name);
    pki_run("openssl req -new -key %s.key -keyform DER -subj /C=CH/O=Lab/CN=%s -out %s.csr", name, name,
            name);
    pki_run("printf 'subjectAltName=%s\\nkeyUsage=digitalSignature\\n' > %s.ext", san, name);
    pki_run("openssl x509 -req -in %s.csr -CA %s.pem -CAkey %s.keypem -CAcreateserial -days 30 -extfile "
            "%s.ext %s "
            "-outform DER -out %s.der",
            name, ca, ca, name, more, name);
}

static void make_ca(const char *name, const char *issuer)
{
    pki_run("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out %s.keypem", name);
    if (!issuer) {
        pki_run("openssl req -new -x509 -days 60 -key %s.keypem -subj /C=CH/O=Lab/CN=root -addext "
                "keyUsage=critical,keyCertSign,cRLSign -out %s.pem",
                name, name);
    } else {
        pki_run("openssl req -new -key %s.keypem -subj /C=CH/O=Lab/CN=%s -out %s.csr", name, name, name);
        pki_run("printf 'basicConstraints=critical,CA:true\\nkeyUsage=keyCertSign\\n' > %s.ext", name);
        pki_run("openssl x509 -req -in %s.csr -CA %s.pem -CAkey %s.keypem -CAcreateserial -days 40 -extfile "
                "%s.ext -out %s.pem",
                name, issuer, issuer, name, name);
    }
    pki_run("openssl x509 -in %s.pem -outform DER -out %s.der", name, name);
}

const char *const certs_kinds[CERTS_KINDS][2] = {{"rsa2048", "RSA -pkeyopt rsa_keygen_bits:2048"},
                                                 {"p256", "EC -pkeyopt ec_paramgen_curve:P-256"},
                                                 {"p384", "EC -pkeyopt ec_paramgen_curve:P-384"},
                                                 {"p521", "EC -pkeyopt ec_paramgen_curve:P-521"},
                                                 {"ed25519", "ED25519"},
                                                 {"ed448", "ED448"}};

int certs_make_files(void **state)
{
    (void)state;
    pki_files_begin();
    make_ca("ca", NULL);
    make_ca("other", NULL);
    make_ca("mid", "ca");
    for (unsigned i = 0; i < CERTS_KINDS; i++)
        make_end(certs_kinds[i][0], "ca", certs_kinds[i][1], "DNS:a.test", "");
    make_end("b", "ca", certs_kinds[1][1], "DNS:b.test,email:user@b.test,IP:10.0.0.2", "");
    make_end("leaf", "mid", certs_kinds[1][1], "DNS:a.test", "");
    make_end("false", "other", certs_kinds[1][1], "DNS:a.test", "");
    make_end("mallory", "ca", certs_kinds[1][1], "DNS:mallory.test", "");
    make_end("listed", "ca", certs_kinds[1][1],
             "DNS:a.test\\ncrlDistributionPoints=URI:http://crl.lab/ca.crl", "");
    pki_run("touch index && echo 01 > crlnumber && printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index\\n"
            "crlnumber=crlnumber\\ndefault_md=sha256\\n' > crl.cnf");
    pki_run("openssl ca -config crl.cnf -gencrl -crldays 20 -keyfile ca.keypem -cert ca.pem -out clean.pem");
    pki_run("openssl x509 -inform DER -in listed.der -out listed.pem");
    pki_run("openssl ca -config crl.cnf -revoke listed.pem -keyfile ca.keypem -cert ca.pem");
    pki_run(
        "openssl ca -config crl.cnf -gencrl -crldays 20 -keyfile ca.keypem -cert ca.pem -out revoked.pem");
    pki_run(
        "openssl ca -config crl.cnf -gencrl -crldays 20 -keyfile mid.keypem -cert mid.pem -out alien.pem");
    pki_run("for f in clean revoked alien; do openssl crl -in $f.pem -outform DER -out $f.der; done");
    make_end("old", "ca", certs_kinds[1][1], "DNS:a.test", PKI_EXPIRED);
    return 0;
}

int certs_drop_files(void **state)
{
    (void)state;
    pki_files_end();
    return 0;
}

struct slice certs_file(const char *name, const char *suffix)
{
    char whole[60];
    snprintf(whole, sizeof(whole), "%s.%s", name, suffix);
    return pki_read(whole);
}

// --- two daemons ---

void certs_load_key(struct pair *p, int side, const char *name)
{
    struct msg_KEY_LOAD m = {.req = certs_req(), .type = "any", .data = certs_file(name, "key")};
    ipc_send(p->s[side].ctl_keys, MSG_KEY_LOAD, &m);
    pair_run(p);
}

void certs_load(struct pair *p, int side, enum pki_kind kind, const char *name)
{
    struct msg_CERT_LOAD m = {.req = certs_req(), .kind = (uint8_t)kind, .data = certs_file(name, "der")};
    ipc_send(p->s[side].ctl_ike, MSG_CERT_LOAD, &m);
    pair_run(p);
    pair_result(p, side, m.req, true);
}

// The connection of that end with its certificate; the peer is asked for one.
void certs_conn(struct conn_config *c, int side, const char *cert)
{
    pair_default_conn(c, side);
    c->local.auth = c->remote.auth = AUTH_PUBKEY;
    c->send_cert = SEND_CERT_IFASKED;
    c->send_certreq = 1;
    if (cert)
        assert_int_equal(blobs_add(&c->local.certs, certs_file(cert, "der")), 0);
}

void certs_drop_conn(struct conn_config *c)
{
    auth_side_clear(&c->local);
    auth_side_clear(&c->remote);
}

struct pair *certs_begin(const char *a)
{
    struct pair *p = pair_new(NULL);
    watch_log();
    for (int side = 0; side < 2; side++) {
        struct conn_config c;
        const char *mine = side ? "b" : a;
        certs_conn(&c, side, mine);
        certs_load(p, side, PKI_CA, "ca");
        certs_load_key(p, side, mine);
        pair_load(p, side, &c);
        certs_drop_conn(&c);
    }
    return p;
}

void certs_end(struct pair *p)
{
    pair_free(p);
    log_set_sink(NULL, NULL);
}

void certs_refused(struct pair *p, const char *why)
{
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_true(watch_said(why));
    assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 0);
    pair_wait(p, 10000);
    assert_int_equal(p->s[0].ike->sa_count + p->s[1].ike->sa_count, 0);
}

static int hold_answer(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p, (void)d;
    return number == 1 ? -1 : 1;
}

// AUTH is made by the key of the connection's certificate, and another certificate is sent with it.
bool certs_initiate_with(struct pair *p, const char *cert)
{
    p->filter = hold_answer;
    uint32_t first = pair_initiate(p, 0, "c");
    struct datagram *g = p->late;
    p->late = NULL;
    ike_receive(p->s[0].ike, &g->path, slice_of(g->data, g->len));
    free(g);
    struct handshake *hs = p->s[0].ike->sas->hs;
    for (int i = 0; i < 20 && !hs->later->own; i++)
        loop_once(p->loop, 0);
    assert_non_null(hs->later->own); // the message is not built yet
    blobs_clear(&hs->later->own->chain);
    assert_int_equal(blobs_add(&hs->later->own->chain, certs_file(cert, "der")), 0);
    pair_run(p);
    return p->s[0].last_req == first && p->s[0].last_ok;
}
