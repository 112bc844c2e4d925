// SPDX-License-Identifier: Apache-2.0
// Two daemons that authenticate by certificates made by the openssl command: every kind of key, chains, both
// ends alike or each in its own way; and what must not get in: another's certificate, another authority,
// another identity, another method, what is expired, what is not a certificate.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <cmocka.h>

#include "ctrl/ike/exchange.h"
#include "ctrl/crypto/signature.h"
#include "ctrl/ike/cert_payload.h"
#include "ctrl/ike/creds.h"
#include "ctrl/ike/lifetime.h"
#include "ctrl/ike/own_auth.h"
#include "ctrl/ike/rekey_ike.h"
#include "ctrl/ike/sa.h"
#include "tests/unit/ike_watch.h"
#include "tests/unit/pki_files.h"

static uint32_t req = 50000;

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

static const char *const kinds[][2] = {{"rsa2048", "RSA -pkeyopt rsa_keygen_bits:2048"},
                                       {"p256", "EC -pkeyopt ec_paramgen_curve:P-256"},
                                       {"p384", "EC -pkeyopt ec_paramgen_curve:P-384"},
                                       {"p521", "EC -pkeyopt ec_paramgen_curve:P-521"},
                                       {"ed25519", "ED25519"},
                                       {"ed448", "ED448"}};

static int make_files(void **state)
{
    (void)state;
    pki_files_begin();
    make_ca("ca", NULL);
    make_ca("other", NULL);
    make_ca("mid", "ca");
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        make_end(kinds[i][0], "ca", kinds[i][1], "DNS:a.test", "");
    make_end("b", "ca", kinds[1][1], "DNS:b.test,email:user@b.test,IP:10.0.0.2", "");
    make_end("leaf", "mid", kinds[1][1], "DNS:a.test", "");
    make_end("false", "other", kinds[1][1], "DNS:a.test", "");
    make_end("mallory", "ca", kinds[1][1], "DNS:mallory.test", "");
    make_end("listed", "ca", kinds[1][1], "DNS:a.test\\ncrlDistributionPoints=URI:http://crl.lab/ca.crl", "");
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
    make_end("old", "ca", kinds[1][1], "DNS:a.test", PKI_EXPIRED);
    return 0;
}

static int drop_files(void **state)
{
    (void)state;
    pki_files_end();
    return 0;
}

static struct slice file(const char *name, const char *suffix)
{
    char whole[60];
    snprintf(whole, sizeof(whole), "%s.%s", name, suffix);
    return pki_read(whole);
}

// --- two daemons ---

static void load_key(struct pair *p, int side, const char *name)
{
    struct msg_KEY_LOAD m = {.req = ++req, .type = "any", .data = file(name, "key")};
    ipc_send(p->s[side].ctl_keys, MSG_KEY_LOAD, &m);
    pair_run(p);
}

static void load_cert(struct pair *p, int side, enum pki_kind kind, const char *name)
{
    struct msg_CERT_LOAD m = {.req = ++req, .kind = (uint8_t)kind, .data = file(name, "der")};
    ipc_send(p->s[side].ctl_ike, MSG_CERT_LOAD, &m);
    pair_run(p);
    pair_result(p, side, m.req, true);
}

// The connection of that end with its certificate; the peer is asked for one.
static void certified(struct conn_config *c, int side, const char *cert)
{
    pair_default_conn(c, side);
    c->local.auth = c->remote.auth = AUTH_PUBKEY;
    c->send_cert = SEND_CERT_IFASKED;
    c->send_certreq = 1;
    if (cert)
        assert_int_equal(blobs_add(&c->local.certs, file(cert, "der")), 0);
}

static void drop_conn(struct conn_config *c)
{
    auth_side_clear(&c->local);
    auth_side_clear(&c->remote);
}

static struct pair *begin(const char *a)
{
    struct pair *p = pair_new(NULL);
    watch_log();
    for (int side = 0; side < 2; side++) {
        struct conn_config c;
        const char *mine = side ? "b" : a;
        certified(&c, side, mine);
        load_cert(p, side, PKI_CA, "ca");
        load_key(p, side, mine);
        pair_load(p, side, &c);
        drop_conn(&c);
    }
    return p;
}

static void end(struct pair *p)
{
    pair_free(p);
    log_set_sink(NULL, NULL);
}

static void refused(struct pair *p, const char *why)
{
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_true(watch_said(why));
    assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 0);
    pair_wait(p, 10000);
    assert_int_equal(p->s[0].ike->sa_count + p->s[1].ike->sa_count, 0);
}

static void test_every_kind_of_key_authenticates(void **state)
{
    static const char *const with[] = {"with RSA_EMSA_PSS_SHA2_256_SALT_32 successful",
                                       "with ECDSA_WITH_SHA256_DER successful",
                                       "with ECDSA_WITH_SHA384_DER successful",
                                       "with ECDSA_WITH_SHA512_DER successful",
                                       "with ED25519 successful",
                                       "with ED448 successful"};
    (void)state;
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct pair *p = begin(kinds[i][0]);
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        assert_true(pair_agree(p) && pair_live(&p->s[0]) == 1);
        assert_true(watch_said(with[i]));
        assert_true(watch_said("authentication of 'b.test' with ECDSA_WITH_SHA256_DER successful"));
        assert_true(watch_said("received end entity cert \"C=CH, O=Lab, CN=b\""));
        end(p);
        p = begin(kinds[i][0]); // and as responder
        pair_result(p, 1, pair_initiate(p, 1, "c"), true);
        assert_true(pair_agree(p) && watch_said(with[i]));
        end(p);
    }
}

static void test_chain_is_sent_and_followed(void **state)
{
    (void)state;
    struct pair *p = begin("leaf");
    refused(p, "sending AUTHENTICATION_FAILED"); // the intermediate is not there
    load_cert(p, 0, PKI_X509, "mid");
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_true(watch_said("sending issuer cert \"C=CH, O=Lab, CN=mid\""));
    assert_true(watch_said("received issuer cert \"C=CH, O=Lab, CN=mid\""));
    assert_true(pair_agree(p));
    end(p);
}

static void test_certificates_of_others_do_not_get_in(void **state)
{
    static const struct {
        const char *cert, *why;
    } cases[] = {{"false", "sending AUTHENTICATION_FAILED"}, {"old", "expired"}};
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct pair *p = begin(cases[i].cert);
        refused(p, cases[i].why);
        end(p);
    }
}

// The peer says that it is a.test, which stands in no certificate of its own.
static void test_identity_must_stand_in_the_certificate(void **state)
{
    (void)state;
    struct pair *p = begin("p256");
    load_key(p, 0, "mallory");
    // Its own daemon would refuse: what a dishonest one would send is put into its connection.
    struct conn *c = p->s[0].ike->conns;
    blobs_clear(&c->cfg.local.certs);
    assert_int_equal(blobs_add(&c->cfg.local.certs, file("mallory", "der")), 0);
    refused(p, "not of the peer's identity");
    end(p);
}

static int hold_answer(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p, (void)d;
    return number == 1 ? -1 : 1;
}

// AUTH is made by the key of the connection's certificate, and another certificate is sent with it.
static bool initiate_with(struct pair *p, const char *cert)
{
    p->filter = hold_answer;
    uint32_t first = pair_initiate(p, 0, "c");
    struct datagram *g = p->late;
    p->late = NULL;
    ike_receive(p->s[0].ike, &g->path, slice_of(g->data, g->len));
    free(g);
    struct handshake *hs = p->s[0].ike->sas->hs;
    for (int i = 0; i < 20 && !hs->own; i++)
        loop_once(p->loop, 0);
    assert_non_null(hs->own); // the message is not built yet
    blobs_clear(&hs->own->chain);
    assert_int_equal(blobs_add(&hs->own->chain, file(cert, "der")), 0);
    pair_run(p);
    return p->s[0].last_req == first && p->s[0].last_ok;
}

// A dishonest peer: another's certificate, which anybody may have, and a key of its own.
static void test_signature_must_be_by_the_certificates_key(void **state)
{
    (void)state;
    struct pair *p = begin("p256");
    struct conn *c = p->s[0].ike->conns;
    load_key(p, 0, "mallory");
    blobs_clear(&c->cfg.local.certs);
    assert_int_equal(blobs_add(&c->cfg.local.certs, file("mallory", "der")), 0);
    assert_false(initiate_with(p, "p256"));
    assert_true(watch_said("received end entity cert \"C=CH, O=Lab, CN=p256\""));
    assert_true(watch_said("is not this key's over this exchange"));
    assert_true(watch_said("sending AUTHENTICATION_FAILED"));
    assert_int_equal(pair_live(&p->s[1]), 0);
    end(p);
}

static void test_without_the_private_key_nothing_is_sent(void **state)
{
    (void)state;
    struct pair *p = begin("p256");
    ipc_send(p->s[0].ctl_keys, MSG_SECRETS_CLEAR, &(struct msg_SECRETS_CLEAR){.req = ++req});
    pair_run(p);
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_true(watch_said("no private key found for 'a.test'"));
    assert_int_equal(p->sent, 2);
    end(p);
}

static void test_each_end_may_have_its_own_way(void **state)
{
    (void)state;
    for (int psk = 0; psk < 2; psk++) { // the end that knows a secret; the other has a certificate
        struct pair *p = pair_new(NULL);
        for (int side = 0; side < 2; side++) {
            struct conn_config c;
            certified(&c, side, side == psk ? NULL : side ? "b" : "p384");
            (side == psk ? &c.local : &c.remote)->auth = AUTH_PSK;
            load_cert(p, side, PKI_CA, "ca");
            load_key(p, side, side ? "b" : "p384");
            pair_psk(p, side, "shared", "a.test", "b.test");
            pair_load(p, side, &c);
            drop_conn(&c);
        }
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        assert_true(pair_agree(p) && pair_live(&p->s[1]) == 1);
        end(p);
    }
}

// Each end has one method and expects the other: neither takes what it did not ask for.
static void test_method_of_the_connection_is_the_only_one(void **state)
{
    (void)state;
    for (int want = AUTH_PSK; want <= AUTH_PUBKEY; want++) {
        struct pair *p = begin("p256");
        struct conn_config c;
        pair_psk(p, 0, "shared", NULL, NULL);
        pair_psk(p, 1, "shared", NULL, NULL);
        certified(&c, 0, "p256");
        c.local.auth =
            (uint8_t)(want == AUTH_PSK ? AUTH_PUBKEY : AUTH_PSK); // what the responder does not want
        pair_load(p, 0, &c);
        drop_conn(&c);
        certified(&c, 1, "b");
        c.remote.auth = (uint8_t)want;
        pair_load(p, 1, &c);
        drop_conn(&c);
        refused(p, "sending AUTHENTICATION_FAILED");
        // And the responder answers with another one than the initiator wants.
        certified(&c, 0, "p256");
        c.remote.auth = (uint8_t)want;
        pair_load(p, 0, &c);
        drop_conn(&c);
        certified(&c, 1, "b");
        c.local.auth = (uint8_t)(want == AUTH_PSK ? AUTH_PUBKEY : AUTH_PSK);
        pair_load(p, 1, &c);
        drop_conn(&c);
        pair_result(p, 0, pair_initiate(p, 0, "c"), false);
        assert_true(watch_said("the peer authenticates by"));
        pair_wait(p, 10000);
        assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 0);
        end(p);
    }
}

static void load_second(struct pair *p, const char *name, const char *cacert, const char *child)
{
    struct conn_config c;
    certified(&c, 1, "b");
    snprintf(c.name, sizeof(c.name), "%s", name);
    c.remote.id[0] = 0; // anybody of that authority
    assert_int_equal(blobs_add(&c.remote.cacerts, file(cacert, "der")), 0);
    snprintf(c.children[0].name, sizeof(c.children[0].name), "%s", child);
    pair_load(p, 1, &c);
    drop_conn(&c);
}

// Two connections for the same identities with an authority each: a certificate opens its own and no other.
static void test_certificate_opens_the_connection_of_its_authority_alone(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    watch_log();
    struct conn_config c;
    load_key(p, 0, "p256");
    load_key(p, 1, "b");
    load_cert(p, 0, PKI_CA, "ca");
    load_second(p, "first", "other", "c1");
    load_second(p, "second", "ca", "c2");
    certified(&c, 0, "p256");
    pair_load(p, 0, &c);
    drop_conn(&c);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_string_equal(p->s[1].ike->sas->conn->cfg.name, "second");
    assert_string_equal(pair_sa(&p->s[1], 0)->child.name, "c2");
    end(p);
}

static void load_refused(struct pair *p, const struct conn_config *c, const char *why)
{
    static uint8_t buf[65536];
    struct writer w = writer_of(buf, sizeof(buf));
    conn_write(&w, c);
    ipc_send(p->s[1].ctl_ike, MSG_CONN_LOAD, &(struct msg_CONN_LOAD){.req = ++req, .conn = wr_written(&w)});
    pair_run(p);
    pair_result(p, 1, req, false);
    if (!strstr(p->s[1].last_text, why))
        fail_msg("'%s' does not say '%s'", p->s[1].last_text, why);
}

static void test_connections_that_say_too_little_are_refused(void **state)
{
    (void)state;
    struct pair *p = begin("p256");
    struct conn_config c;
    certified(&c, 1, "b");
    c.remote.id[0] = 0;
    load_refused(p, &c, "any trusted certificate");
    drop_conn(&c);
    certified(&c, 1, "b");
    snprintf(c.local.id, sizeof(c.local.id), "c.test");
    load_refused(p, &c, "neither the subject nor a subjectAltName");
    drop_conn(&c);
    certified(&c, 1, NULL);
    assert_int_equal(blobs_add(&c.local.certs, slice_str("no certificate")), 0);
    load_refused(p, &c, "certificate 1");
    drop_conn(&c);
    certified(&c, 1, "b");
    assert_int_equal(blobs_add(&c.remote.cacerts, file("b", "der")), 0); // no authority
    load_refused(p, &c, "entry 1");
    drop_conn(&c);
    certified(&c, 1, "b");
    snprintf(c.remote.ca_id, sizeof(c.remote.ca_id), "root");
    load_refused(p, &c, "distinguished name");
    drop_conn(&c);
    end(p);
}

static void test_subject_is_the_identity_where_none_is_given(void **state)
{
    (void)state;
    struct pair *p = begin("p256");
    struct conn_config c;
    certified(&c, 0, "p256");
    c.local.id[0] = 0;
    pair_load(p, 0, &c);
    drop_conn(&c);
    certified(&c, 1, "b");
    snprintf(c.remote.id, sizeof(c.remote.id), "C=CH, O=Lab, CN=*");
    pair_load(p, 1, &c);
    drop_conn(&c);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_true(watch_said("authentication of 'C=CH, O=Lab, CN=p256' with ECDSA_WITH_SHA256_DER successful"));
    end(p);
}

// Of several certificates the one that the peer can judge (RFC 7296 3.7); where it can none, the first.
static void test_certificate_is_of_an_authority_that_the_peer_names(void **state)
{
    (void)state;
    for (int initiator = 0; initiator < 2; initiator++) {
        for (int loaded = 0; loaded < 2; loaded++) {
            struct pair *p = begin("false");
            struct conn_config c;
            certified(&c, 0, loaded ? NULL : "false");
            if (!loaded)
                assert_int_equal(blobs_add(&c.local.certs, file("p256", "der")), 0);
            load_cert(p, 0, PKI_X509, "p256"); // the older one
            load_cert(p, 0, PKI_X509, "false");
            load_key(p, 0, "p256");
            pair_load(p, 0, &c);
            drop_conn(&c);
            pair_result(p, !initiator, pair_initiate(p, !initiator, "c"), true);
            assert_true(watch_said("sending end entity cert \"C=CH, O=Lab, CN=p256\""));
            end(p);
        }
    }
    struct pair *p = begin("false");
    refused(p, "sending end entity cert \"C=CH, O=Lab, CN=false\"");
    end(p);
}

// The initiator names the authorities of its connection, and no others that happen to be loaded.
static void test_certreq_names_the_authorities_of_the_connection(void **state)
{
    (void)state;
    struct pair *p = begin("p256");
    struct conn_config c;
    load_cert(p, 0, PKI_CA, "other");
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_true(watch_said("sending a cert request for 2 authorities"));
    pair_terminate(p, 0, NULL, true);
    certified(&c, 0, "p256");
    assert_int_equal(blobs_add(&c.remote.cacerts, file("ca", "der")), 0);
    pair_load(p, 0, &c);
    drop_conn(&c);
    watch_lines[0] = 0;
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_true(watch_said("sending a cert request for 1 authorities"));
    assert_null(strstr(watch_lines, "for 2 authorities"));
    end(p);
}

static void test_certificate_among_the_loaded_ones_is_found_by_identity(void **state)
{
    (void)state;
    struct pair *p = begin("p256");
    struct conn_config c;
    load_cert(p, 0, PKI_X509, "mallory");
    load_cert(p, 0, PKI_X509, "ed25519"); // whose key is not there
    load_cert(p, 0, PKI_X509, "p256");
    certified(&c, 0, NULL);
    pair_load(p, 0, &c);
    drop_conn(&c);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_true(watch_said("sending end entity cert \"C=CH, O=Lab, CN=p256\""));
    end(p);
}

static void test_pinned_certificate_needs_no_authority_and_need_not_be_sent(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    for (int side = 0; side < 2; side++) {
        struct conn_config c;
        certified(&c, side, side ? "b" : "p256");
        c.send_cert = SEND_CERT_NEVER;
        c.send_certreq = 0;
        assert_int_equal(blobs_add(&c.remote.certs, file(side ? "p256" : "b", "der")), 0);
        load_key(p, side, side ? "b" : "p256");
        pair_load(p, side, &c);
        drop_conn(&c);
    }
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_true(pair_agree(p));
    end(p);
}

// --- revocation ---

static struct msg_FETCH asked; // of `fetch`, which the test plays
static unsigned asked_count;

static void to_fetch(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    struct pair *p = ctx;
    (void)c;
    assert_int_equal(t, MSG_FETCH);
    asked = m->FETCH;
    asked_count++;
    p->activity++;
}

static void fetch_closed(void *ctx, struct ipc_chan *c)
{
    (void)ctx;
    ipc_close(c);
}

static const struct ipc_handler fetch_handler = {to_fetch, fetch_closed};

// The responder wants to know whether the initiator's certificate, which names a list, is revoked.
static struct pair *begin_listed(uint8_t revocation, struct ipc_chan **fetch)
{
    int fd[2];
    struct conn_config c;
    struct pair *p = begin("listed");
    asked_count = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
    assert_int_equal(ike_attach(p->s[1].ike, ROOM_FETCH, fd[0]), 0);
    *fetch = ipc_open(p->loop, fd[1], ROOM_FETCH, ROOM_IKE, &fetch_handler, p);
    certified(&c, 1, "b");
    c.remote.revocation = revocation;
    pair_load(p, 1, &c);
    drop_conn(&c);
    return p;
}

static void fetch_says(struct pair *p, struct ipc_chan *fetch, bool ok, const char *crl)
{
    struct slice all = ok ? file(crl, "der") : slice_of(NULL, 0), first = slice_of(all.p, all.len / 2);
    struct slice rest = slice_of(all.p + all.len / 2, all.len - all.len / 2);
    struct msg_FETCHED m = {.req = asked.req, .ok = ok, .more = ok, .body = first};
    if (ok) { // in two pieces
        ipc_send(fetch, MSG_FETCHED, &m);
        m.more = 0;
        m.body = rest;
    } else {
        snprintf(m.text, sizeof(m.text), "nobody answers");
    }
    ipc_send(fetch, MSG_FETCHED, &m);
    pair_run(p);
}

static void test_lists_of_revoked_ones_are_fetched_and_obeyed(void **state)
{
    static const struct {
        uint8_t mode;
        const char *crl; // NULL: no answer
        bool up;
        const char *said;
    } cases[] = {{PKI_STRICT, "clean", true, "successful"},   {PKI_STRICT, "revoked", false, "is revoked"},
                 {PKI_STRICT, NULL, false, "nobody answers"}, {PKI_IFURI, NULL, false, "nobody answers"},
                 {PKI_RELAXED, NULL, true, "successful"},     {PKI_RELAXED, "revoked", false, "is revoked"},
                 {PKI_RELAXED, "other", true, "successful"}}; // what is fetched is no list
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ipc_chan *fetch;
        struct pair *p = begin_listed(cases[i].mode, &fetch);
        uint32_t first = pair_initiate(p, 0, "c");
        assert_int_equal(asked_count, 1);
        assert_string_equal(asked.url, "http://crl.lab/ca.crl");
        assert_int_equal(pair_live(&p->s[1]), 0); // not before the answer
        fetch_says(p, fetch, cases[i].crl != NULL, cases[i].crl);
        pair_result(p, 0, first, cases[i].up);
        assert_true(watch_said(cases[i].said));
        assert_int_equal(pair_live(&p->s[1]), cases[i].up);
        ipc_close(fetch);
        end(p);
    }
}

// A stranger who shows another's certificate makes nobody fetch anything.
static void test_nothing_is_fetched_before_the_signature_is_good(void **state)
{
    (void)state;
    struct ipc_chan *fetch;
    struct pair *p = begin_listed(PKI_STRICT, &fetch);
    struct conn *c = p->s[0].ike->conns;
    load_key(p, 0, "mallory");
    blobs_clear(&c->cfg.local.certs);
    assert_int_equal(blobs_add(&c->cfg.local.certs, file("mallory", "der")), 0);
    assert_false(initiate_with(p, "listed"));
    assert_true(watch_said("is not this key's over this exchange"));
    assert_int_equal(asked_count, 0);
    ipc_close(fetch);
    end(p);
}

static void test_answer_that_comes_too_late_goes_nowhere(void **state)
{
    (void)state;
    struct ipc_chan *fetch;
    struct pair *p = begin_listed(PKI_STRICT, &fetch);
    pair_initiate(p, 0, "c");
    pair_wait(p, 200000); // both gave up
    assert_int_equal(p->s[1].ike->sa_count, 0);
    fetch_says(p, fetch, true, "clean");
    assert_int_equal(p->s[1].ike->sa_count, 0);
    pair_initiate(p, 0, "c");
    ipc_close(fetch); // and a `fetch` that dies is an answer too
    pair_run(p);
    assert_true(watch_said("the fetch process is gone"));
    end(p);
}

// --- when they end ---

enum { LEFT_S = 600 };
static int64_t wall_base;

static int64_t wall(void *ctx)
{
    const struct side *s = ctx;
    return wall_base + (int64_t)(loop_now(s->pair->loop) / 1000);
}

// As the supervisor does when `fetch` has died and is started again.
static struct ipc_chan *fetch_again(struct pair *p, struct ipc_chan *super)
{
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
    struct ipc_chan *fetch = ipc_open(p->loop, fd[1], ROOM_FETCH, ROOM_IKE, &fetch_handler, p);
    assert_int_equal(ipc_send_channel(super, ROOM_FETCH, fd[0]), 0);
    pair_run(p);
    return fetch;
}

static void not_heard(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    (void)ctx, (void)c, (void)t, (void)m;
}

static void test_fetch_that_died_is_asked_again_by_its_new_channel(void **state)
{
    static const struct ipc_handler quiet = {not_heard, fetch_closed};
    (void)state;
    for (int told_first = 0; told_first < 2; told_first++) { // of the old channel's end, or of the new one
        int fd[2];
        struct ipc_chan *fetch, *again;
        struct pair *p = begin_listed(PKI_STRICT, &fetch);
        wall_base = (int64_t)time(NULL) - (int64_t)(loop_now(p->loop) / 1000);
        p->s[1].ike->net.wall = wall;
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
        assert_int_equal(ike_attach(p->s[1].ike, ROOM_SUPER, fd[0]), 0);
        struct ipc_chan *super = ipc_open(p->loop, fd[1], ROOM_SUPER, ROOM_IKE, &quiet, p);
        uint32_t first = pair_initiate(p, 0, "c");
        assert_int_equal(asked_count, 1);
        if (told_first) {
            ipc_close(fetch);
            pair_run(p);
            pair_result(p, 0, first, false);
            assert_true(watch_said("the fetch process is gone"));
            pair_wait(p, 31000); // what it was asked for may have been its end
            pair_result(p, 0, pair_initiate(p, 0, "c"), false);
            assert_true(watch_said("it cannot be fetched"));
        }
        again = fetch_again(p, super);
        if (!told_first) {
            pair_result(p, 0, first, false);
            assert_true(watch_said("the fetch process is gone"));
            pair_wait(p, 31000);
        }
        uint32_t second = pair_initiate(p, 0, "c"); // not refused for a URL that nobody was asked for
        assert_int_equal(asked_count, 2);
        fetch_says(p, again, true, "clean");
        pair_result(p, 0, second, true);
        assert_int_equal(pair_live(&p->s[1]), 1);
        ipc_close(again);
        ipc_close(super);
        end(p);
    }
}

// Certificates of both ends that hold for ten minutes more; their authority's for weeks.
static struct pair *begin_late(void)
{
    struct pki_info info;
    struct esp_error err = {0};
    assert_int_equal(pki_describe(PKI_X509, file("p256", "der"), &info, &err), 0);
    int64_t end_a = info.not_after;
    assert_int_equal(pki_describe(PKI_X509, file("b", "der"), &info, &err), 0);
    int64_t first = end_a < info.not_after ? end_a : info.not_after;
    struct pair *p = begin("p256");
    wall_base = first - LEFT_S - (int64_t)(loop_now(p->loop) / 1000);
    for (int side = 0; side < 2; side++)
        p->s[side].ike->net.wall = wall;
    return p;
}

static void test_tunnel_ends_with_the_certificate_it_was_proven_by(void **state)
{
    (void)state;
    struct pair *p = begin_late();
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    rekey_ike(p->s[0].ike->sas); // which proves nothing anew
    pair_run(p);
    pair_wait(p, (LEFT_S - 5) * 1000);
    assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 2);
    pair_wait(p, 5000 + PROOF_OVER_MS + 20000);
    assert_true(watch_said("expired"));
    assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 0);
    end(p);
}

static void load_crl(struct pair *p, int side, const char *name)
{
    load_cert(p, side, PKI_CRL, name);
    pair_run(p);
}

static void stands(struct pair *p, bool yes)
{
    pair_run(p);
    assert_int_equal(pair_live(&p->s[0]), yes);
    assert_int_equal(pair_live(&p->s[1]), yes);
}

// A CRL that is loaded while the tunnel is up counts at once, in every mode, for what was rekeyed since too.
static void test_crl_loaded_meanwhile_ends_the_tunnel_of_the_revoked_one(void **state)
{
    (void)state;
    for (int rekeyed = 0; rekeyed < 2; rekeyed++) {
        struct pair *p = begin("listed");
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        if (rekeyed) {
            rekey_ike(p->s[1].ike->sas);
            pair_run(p);
        }
        load_crl(p, 1, "clean");
        stands(p, true);
        load_crl(p, 1, "alien"); // of another authority, with the same serial in it
        load_cert(p, 1, PKI_X509, "mallory");
        stands(p, true);
        load_crl(p, 1, "revoked");
        stands(p, false);
        assert_true(watch_said("certificate \"C=CH, O=Lab, CN=listed\" is revoked"));
        pair_result(p, 0, pair_initiate(p, 0, "c"), false);
        end(p);
    }
}

// --- tickets (RFC 5723) ---

static void load_authority(struct pair *p, const char *ca)
{
    struct msg_AUTHORITY_LOAD m = {.req = 5100, .name = "lab", .cacert = file(ca, "der")};
    ipc_send(p->s[1].ctl_ike, MSG_AUTHORITY_LOAD, &m);
    pair_run(p);
    pair_result(p, 1, 5100, true);
}

// Up, with a ticket, and given up by the client.
static struct pair *begin_silent(void)
{
    struct pair *p = begin("listed");
    for (int i = 0; i < 2; i++)
        p->s[i].ike->set.session_resumption = true;
    load_authority(p, "ca");
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    p->filter = pair_lose_all;
    exchange_queue(p->s[0].ike->sas, TASK_LIVENESS, 0);
    pair_wait(p, 200000);
    p->filter = NULL;
    assert_int_equal(p->s[0].ike->sa_count, 0);
    return p;
}

static void test_crl_counts_for_who_is_resumed(void **state)
{
    (void)state;
    struct pair *p = begin_silent();
    load_crl(p, 1, "clean");
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_true(watch_said("authentication of 'a.test' with its session ticket successful"));
    stands(p, true);
    load_crl(p, 1, "revoked"); // no certificate came with it, and it ends by that of before
    stands(p, false);
    end(p);
    p = begin_silent();
    p->s[1].ike->sas->lost = true; // the gateway has given it up as well: nothing is left but the ticket
    sa_destroy(p->s[1].ike->sas);
    load_crl(p, 1, "revoked");
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_true(watch_said("not resuming an IKE_SA: a certificate that proved the peer is revoked"));
    stands(p, false);
    end(p);
}

static void test_authority_of_another_certificate_ends_tickets(void **state)
{
    (void)state;
    struct pair *p = begin_silent();
    load_authority(p, "ca"); // the same
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_int_equal(p->s[1].ike->counters[CNT_resumed], 1);
    end(p);
    p = begin_silent();
    load_authority(p, "mid");
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_int_equal(p->s[1].ike->counters[CNT_resumed], 0);
    assert_true(watch_said("certificates or authorities have gone since"));
    end(p);
}

// And one that comes while the peer is being judged by another answer.
static void test_crl_that_comes_during_the_judgement_counts(void **state)
{
    (void)state;
    struct ipc_chan *fetch;
    struct pair *p = begin_listed(PKI_RELAXED, &fetch);
    uint32_t first = pair_initiate(p, 0, "c");
    assert_int_equal(asked_count, 1);
    load_crl(p, 1, "revoked");
    fetch_says(p, fetch, false, NULL);
    pair_result(p, 0, first, false);
    assert_true(watch_said("is revoked"));
    stands(p, false);
    ipc_close(fetch);
    end(p);
}

// A tunnel of the pinned certificate stands: nobody else has a say in that.
static void test_crl_has_no_say_in_a_pinned_certificate(void **state)
{
    (void)state;
    struct pair *p = begin("listed");
    struct conn_config c;
    certified(&c, 1, "b");
    assert_int_equal(blobs_add(&c.remote.certs, file("listed", "der")), 0);
    pair_load(p, 1, &c);
    drop_conn(&c);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    load_crl(p, 1, "revoked");
    stands(p, true);
    end(p);
}

// The clock is set to beyond the end of the certificates: the tunnel does not go on for weeks.
static void test_clock_that_is_set_forward_brings_the_end_nearer(void **state)
{
    (void)state;
    struct pair *p = begin_late();
    wall_base -= 1000000; // eleven days more
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    pair_wait(p, 1000000);
    assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 2);
    wall_base += 2000000;
    for (int side = 0; side < 2; side++)
        ike_clock_set(p->s[side].ike);
    pair_wait(p, PROOF_LEAST_S * 1000 + PROOF_OVER_MS + 20000);
    assert_true(watch_said("expired"));
    assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 0);
    end(p);
}

static void test_clock_that_is_set_back_ends_nothing(void **state)
{
    (void)state;
    struct pair *p = begin_late();
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    wall_base -= 300;
    for (int side = 0; side < 2; side++)
        ike_clock_set(p->s[side].ike);
    pair_wait(p, (LEFT_S + 100) * 1000);
    assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 2); // proven again, and again until the end
    end(p);
}

// --- payloads ---

static void test_every_encoding_with_nothing_in_it_is_survived(void **state)
{
    (void)state; // CVE-2026-77207
    for (unsigned encoding = 0; encoding < 256; encoding++) {
        for (unsigned len = 0; len < 3; len++) {
            uint8_t body[3] = {(uint8_t)encoding, 0x30, 0};
            struct payloads pl = {.count = 1, .p = {{.type = PL_CERT, .body = slice_of(body, 1 + len)}}};
            struct peer_certs certs;
            struct esp_error err = {0};
            bool good = certs_read(&pl, &certs, &err);
            bool url = encoding == CERT_HASH_URL || encoding == CERT_HASH_URL_BUNDLE;
            bool ours = encoding == CERT_X509 || encoding == CERT_RAW_KEY;
            assert_int_equal(good, !url && (!ours || len));
            assert_int_equal(good, err.text[0] == 0);
        }
    }
    struct payloads none = {.count = 1, .p = {{.type = PL_CERT, .body = slice_of("", 0)}}};
    struct peer_certs certs;
    struct esp_error err = {0};
    assert_false(certs_read(&none, &certs, &err));
}

static void test_more_certificates_than_anyone_needs_are_refused(void **state)
{
    static uint8_t big[CERT_OCTETS_MAX + 2] = {CERT_X509};
    struct payloads pl = {.count = PKI_PEER_CERTS_MAX + 1};
    struct peer_certs certs;
    struct esp_error err = {0};
    (void)state;
    for (unsigned i = 0; i < pl.count; i++)
        pl.p[i] = (struct payload){.type = PL_CERT, .body = slice_of(big, 10)};
    assert_false(certs_read(&pl, &certs, &err));
    assert_non_null(strstr(err.text, "16"));
    pl.count--;
    assert_true(certs_read(&pl, &certs, &err));
    pl.p[0].body = slice_of(big, sizeof(big));
    assert_false(certs_read(&pl, &certs, &err));
}

static void use_cert(struct pair *p, const char *name)
{
    struct conn *c = p->s[0].ike->conns;
    blobs_clear(&c->cfg.local.certs);
    assert_int_equal(blobs_add(&c->cfg.local.certs, file(name, "der")), 0);
}

// From where many proofs have failed none is looked at for some seconds, not even a good one.
static void test_proofs_that_fail_are_counted_by_address(void **state)
{
    (void)state;
    struct pair *p = begin("p256");
    p->s[1].ike->set.block_threshold = p->s[1].ike->set.cookie_threshold = 0; // it is not these that stop it
    load_key(p, 0, "mallory");
    use_cert(p, "mallory");
    for (unsigned i = 0; i < 15; i++)
        pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    use_cert(p, "p256");
    pair_result(p, 0, pair_initiate(p, 0, "c"), true); // not yet
    pair_terminate(p, 0, NULL, true);
    use_cert(p, "mallory");
    for (unsigned i = 0; i < 2; i++)
        pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    use_cert(p, "p256");
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    pair_wait(p, 11000);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    end(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_of_key_authenticates),
        cmocka_unit_test(test_chain_is_sent_and_followed),
        cmocka_unit_test(test_certificates_of_others_do_not_get_in),
        cmocka_unit_test(test_identity_must_stand_in_the_certificate),
        cmocka_unit_test(test_signature_must_be_by_the_certificates_key),
        cmocka_unit_test(test_without_the_private_key_nothing_is_sent),
        cmocka_unit_test(test_each_end_may_have_its_own_way),
        cmocka_unit_test(test_method_of_the_connection_is_the_only_one),
        cmocka_unit_test(test_certificate_opens_the_connection_of_its_authority_alone),
        cmocka_unit_test(test_connections_that_say_too_little_are_refused),
        cmocka_unit_test(test_subject_is_the_identity_where_none_is_given),
        cmocka_unit_test(test_certificate_is_of_an_authority_that_the_peer_names),
        cmocka_unit_test(test_certreq_names_the_authorities_of_the_connection),
        cmocka_unit_test(test_certificate_among_the_loaded_ones_is_found_by_identity),
        cmocka_unit_test(test_pinned_certificate_needs_no_authority_and_need_not_be_sent),
        cmocka_unit_test(test_lists_of_revoked_ones_are_fetched_and_obeyed),
        cmocka_unit_test(test_nothing_is_fetched_before_the_signature_is_good),
        cmocka_unit_test(test_answer_that_comes_too_late_goes_nowhere),
        cmocka_unit_test(test_fetch_that_died_is_asked_again_by_its_new_channel),
        cmocka_unit_test(test_tunnel_ends_with_the_certificate_it_was_proven_by),
        cmocka_unit_test(test_crl_loaded_meanwhile_ends_the_tunnel_of_the_revoked_one),
        cmocka_unit_test(test_crl_counts_for_who_is_resumed),
        cmocka_unit_test(test_authority_of_another_certificate_ends_tickets),
        cmocka_unit_test(test_crl_that_comes_during_the_judgement_counts),
        cmocka_unit_test(test_crl_has_no_say_in_a_pinned_certificate),
        cmocka_unit_test(test_clock_that_is_set_forward_brings_the_end_nearer),
        cmocka_unit_test(test_clock_that_is_set_back_ends_nothing),
        cmocka_unit_test(test_every_encoding_with_nothing_in_it_is_survived),
        cmocka_unit_test(test_more_certificates_than_anyone_needs_are_refused),
        cmocka_unit_test(test_proofs_that_fail_are_counted_by_address),
    };
    return cmocka_run_group_tests(tests, make_files, drop_files);
}
