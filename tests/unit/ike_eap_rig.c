// SPDX-License-Identifier: Apache-2.0
// See ike_eap_rig.h.
#include "tests/unit/ike_eap_rig.h"

#include <stdio.h>

#include "ctrl/lib/log.h"
#include "tests/unit/ike_watch.h"
#include "tests/unit/pki_files.h"

const struct eap_names eap_plain = {"a.test", "", "a.test", "", NULL, NULL, 0, false},
                       eap_asked = {"a.test", "bob", "a.test", "%any", NULL, NULL, 0, false},
                       eap_tls = {"a.test", "", "a.test", "", "a", NULL, 0, false},
                       eap_tls_asked = {"a.test", "bob", "a.test", "%any", "bob", NULL, 0, false},
                       eap_only = {"a.test", "", "a.test", "", "a", NULL, 0, true},
                       eap_only_asked = {"a.test", "bob", "a.test", "%any", "bob", NULL, 0, true};

static uint32_t req = 50000;

static void make_end(const char *name, const char *san, const char *algorithm)
{
    pki_run("openssl genpkey -algorithm %s -outform DER -out %s.key", algorithm, name);
    pki_run("openssl req -new -key %s.key -keyform DER -subj /CN=%s -out %s.csr", name, name, name);
    pki_run("printf 'subjectAltName=%s\\nkeyUsage=digitalSignature\\n' > %s.ext", san, name);
    pki_run("openssl x509 -req -in %s.csr -CA ca.pem -CAkey ca.keypem -CAcreateserial -days 30 -extfile "
            "%s.ext -outform DER -out %s.der",
            name, name, name);
}

int eap_make_files(void **state)
{
    (void)state;
    pki_files_begin();
    pki_run("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ca.keypem");
    pki_run("openssl req -new -x509 -days 60 -key ca.keypem -subj /CN=root -addext "
            "keyUsage=critical,keyCertSign -out ca.pem");
    pki_run("openssl x509 -in ca.pem -outform DER -out ca.der");
    make_end("b", "DNS:b.test", "EC -pkeyopt ec_paramgen_curve:P-256");
    make_end("a", "DNS:a.test", "RSA -pkeyopt rsa_keygen_bits:2048");
    make_end("bob", "DNS:bob", "ED25519");
    make_end("aaa", "DNS:aaa.test", "EC -pkeyopt ec_paramgen_curve:P-384");
    make_end("listed", "DNS:a.test\\ncrlDistributionPoints=URI:http://crl.lab/ca.crl", "ED25519");
    pki_run("openssl genpkey -algorithm ED25519 -outform DER -out other.key");
    pki_run("openssl req -new -x509 -days 60 -key other.key -keyform DER -subj /CN=x -addext "
            "subjectAltName=DNS:a.test -outform DER -out other.der");
    return 0;
}

int eap_drop_files(void **state)
{
    (void)state;
    pki_files_end();
    return 0;
}

void eap_password(struct pair *p, int side, const char *user, const char *text)
{
    uint8_t buf[100];
    struct writer w = writer_of(buf, sizeof(buf));
    wr_cstr(&w, user);
    struct msg_SECRET_LOAD m = {
        .req = ++req, .type = "eap", .data = slice_str(text), .owners = wr_written(&w)};
    snprintf(m.id, sizeof(m.id), "eap-%s", user);
    ipc_send(p->s[side].ctl_keys, MSG_SECRET_LOAD, &m);
    pair_run(p);
    pair_result(p, side, m.req, true);
}

static struct slice file(const char *name, const char *suffix)
{
    char whole[60];
    snprintf(whole, sizeof(whole), "%s.%s", name, suffix);
    return pki_read(whole);
}

bool eap_with_ppk;

static void load_ppk(struct pair *p, int side)
{
    uint8_t buf[100];
    struct writer w = writer_of(buf, sizeof(buf));
    wr_cstr(&w, "p");
    struct msg_SECRET_LOAD m = {
        .req = ++req, .id = "ppk-1", .type = "ppk", .data = slice_str("quantum"), .owners = wr_written(&w)};
    ipc_send(p->s[side].ctl_keys, MSG_SECRET_LOAD, &m);
    pair_run(p);
}

void eap_load_side(struct pair *p, int side, const struct eap_names *n)
{
    struct conn_config c;
    pair_default_conn(&c, side);
    c.local.auth = side ? AUTH_PUBKEY : AUTH_EAP;
    c.remote.auth = side || n->only ? AUTH_EAP : AUTH_PUBKEY;
    if (n->only) {
        c.local.auth = AUTH_EAP;
        c.local.eap_type = c.remote.eap_type = EAP_TLS;
    }
    (side ? &c.remote : &c.local)->eap_type = n->cert ? EAP_TLS : EAP_MSCHAPV2;
    c.send_cert = SEND_CERT_ALWAYS;
    c.send_certreq = 1;
    if (side) {
        assert_int_equal(blobs_add(&c.local.certs, pki_read("b.der")), 0);
        c.remote.id = n->server_ike;
        assert_int_equal(auth_set_id(&c.remote, AUTH_EAP_ID, n->server_eap), 0);
        c.remote.revocation = n->revocation;
        if (n->cert && strcmp(n->server_eap, "%any") == 0)
            assert_int_equal(blobs_add(&c.remote.cacerts, pki_read("ca.der")), 0);
    } else {
        if (n->cert)
            assert_int_equal(blobs_add(&c.local.certs, file(n->cert, "der")), 0);
        assert_int_equal(auth_set_id(&c.local, AUTH_AAA_ID, n->aaa_id ? n->aaa_id : ""), 0);
        c.local.id = n->client_ike;
        assert_int_equal(auth_set_id(&c.local, AUTH_EAP_ID, n->client_eap), 0);
    }
    if (eap_with_ppk) {
        p->s[side].ike->set.ppk_intermediate = true;
        c.ppk_id = "p";
        c.ppk_required = true;
        load_ppk(p, side);
    }
    pair_load(p, side, &c);
    auth_side_clear(&c.local);
    auth_side_clear(&c.remote);
}

struct pair *eap_pair(const struct eap_names *n)
{
    struct pair *p = pair_new(NULL);
    watch_log();
    for (int side = 0; side < 2; side++) {
        const char *name = side ? "b" : n->cert;
        struct msg_CERT_LOAD ca = {.req = ++req, .kind = PKI_CA, .data = pki_read("ca.der")};
        ipc_send(p->s[side].ctl_ike, MSG_CERT_LOAD, &ca);
        if (name) {
            struct msg_KEY_LOAD k = {.req = ++req, .type = "any", .data = file(name, "key")};
            ipc_send(p->s[side].ctl_keys, MSG_KEY_LOAD, &k);
        }
    }
    pair_run(p);
    eap_load_side(p, 0, n);
    eap_load_side(p, 1, n);
    return p;
}

void eap_pair_end(struct pair *p)
{
    pair_free(p);
    log_set_sink(NULL, NULL);
}

void eap_refused(struct pair *p, const char *why)
{
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_true(watch_said(why));
    assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 0);
    pair_wait(p, 60000); // half_open_timeout: a client that gives up is not heard before it is proven
    assert_int_equal(p->s[0].ike->sa_count + p->s[1].ike->sa_count, 0);
}
