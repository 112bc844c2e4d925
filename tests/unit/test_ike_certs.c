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

#include "ctrl/ike/sa.h"
#include "tests/unit/ike_certs_rig.h"
#include "tests/unit/ike_watch.h"

static void test_every_kind_of_key_authenticates(void **state)
{
    static const char *const with[] = {"with RSA_EMSA_PSS_SHA2_256_SALT_32 successful",
                                       "with ECDSA_WITH_SHA256_DER successful",
                                       "with ECDSA_WITH_SHA384_DER successful",
                                       "with ECDSA_WITH_SHA512_DER successful",
                                       "with ED25519 successful",
                                       "with ED448 successful"};
    (void)state;
    for (unsigned i = 0; i < CERTS_KINDS; i++) {
        struct pair *p = certs_begin(certs_kinds[i][0]);
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        assert_true(pair_agree(p) && pair_live(&p->s[0]) == 1);
        assert_true(watch_said(with[i]));
        assert_true(watch_said("authentication of 'b.test' with ECDSA_WITH_SHA256_DER successful"));
        assert_true(watch_said("received end entity cert \"C=CH, O=Lab, CN=b\""));
        certs_end(p);
        p = certs_begin(certs_kinds[i][0]); // and as responder
        pair_result(p, 1, pair_initiate(p, 1, "c"), true);
        assert_true(pair_agree(p) && watch_said(with[i]));
        certs_end(p);
    }
}

static void test_chain_is_sent_and_followed(void **state)
{
    (void)state;
    struct pair *p = certs_begin("leaf");
    certs_refused(p, "sending AUTHENTICATION_FAILED"); // the intermediate is not there
    certs_load(p, 0, PKI_X509, "mid");
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_true(watch_said("sending issuer cert \"C=CH, O=Lab, CN=mid\""));
    assert_true(watch_said("received issuer cert \"C=CH, O=Lab, CN=mid\""));
    assert_true(pair_agree(p));
    certs_end(p);
}

static void test_certificates_of_others_do_not_get_in(void **state)
{
    static const struct {
        const char *cert, *why;
    } cases[] = {{"false", "sending AUTHENTICATION_FAILED"}, {"old", "expired"}};
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct pair *p = certs_begin(cases[i].cert);
        certs_refused(p, cases[i].why);
        certs_end(p);
    }
}

// The peer says that it is a.test, which stands in no certificate of its own.
static void test_identity_must_stand_in_the_certificate(void **state)
{
    (void)state;
    struct pair *p = certs_begin("p256");
    certs_load_key(p, 0, "mallory");
    // Its own daemon would refuse: what a dishonest one would send is put into its connection.
    struct conn *c = p->s[0].ike->conns;
    blobs_clear(&c->cfg.local.certs);
    assert_int_equal(blobs_add(&c->cfg.local.certs, certs_file("mallory", "der")), 0);
    certs_refused(p, "not of the peer's identity");
    certs_end(p);
}

// A dishonest peer: another's certificate, which anybody may have, and a key of its own.
static void test_signature_must_be_by_the_certificates_key(void **state)
{
    (void)state;
    struct pair *p = certs_begin("p256");
    struct conn *c = p->s[0].ike->conns;
    certs_load_key(p, 0, "mallory");
    blobs_clear(&c->cfg.local.certs);
    assert_int_equal(blobs_add(&c->cfg.local.certs, certs_file("mallory", "der")), 0);
    assert_false(certs_initiate_with(p, "p256"));
    assert_true(watch_said("received end entity cert \"C=CH, O=Lab, CN=p256\""));
    assert_true(watch_said("is not this key's over this exchange"));
    assert_true(watch_said("sending AUTHENTICATION_FAILED"));
    assert_int_equal(pair_live(&p->s[1]), 0);
    certs_end(p);
}

static void test_without_the_private_key_nothing_is_sent(void **state)
{
    (void)state;
    struct pair *p = certs_begin("p256");
    ipc_send(p->s[0].ctl_keys, MSG_SECRETS_CLEAR, &(struct msg_SECRETS_CLEAR){.req = certs_req()});
    pair_run(p);
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_true(watch_said("no private key found for 'a.test'"));
    assert_int_equal(p->sent, 2);
    certs_end(p);
}

static void test_each_end_may_have_its_own_way(void **state)
{
    (void)state;
    for (int psk = 0; psk < 2; psk++) { // the end that knows a secret; the other has a certificate
        struct pair *p = pair_new(NULL);
        for (int side = 0; side < 2; side++) {
            struct conn_config c;
            certs_conn(&c, side, side == psk ? NULL : side ? "b" : "p384");
            (side == psk ? &c.local : &c.remote)->auth = AUTH_PSK;
            certs_load(p, side, PKI_CA, "ca");
            certs_load_key(p, side, side ? "b" : "p384");
            pair_psk(p, side, "shared", "a.test", "b.test");
            pair_load(p, side, &c);
            certs_drop_conn(&c);
        }
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        assert_true(pair_agree(p) && pair_live(&p->s[1]) == 1);
        certs_end(p);
    }
}

// Each end has one method and expects the other: neither takes what it did not ask for.
static void test_method_of_the_connection_is_the_only_one(void **state)
{
    (void)state;
    for (int want = AUTH_PSK; want <= AUTH_PUBKEY; want++) {
        struct pair *p = certs_begin("p256");
        struct conn_config c;
        pair_psk(p, 0, "shared", NULL, NULL);
        pair_psk(p, 1, "shared", NULL, NULL);
        certs_conn(&c, 0, "p256");
        c.local.auth =
            (uint8_t)(want == AUTH_PSK ? AUTH_PUBKEY : AUTH_PSK); // what the responder does not want
        pair_load(p, 0, &c);
        certs_drop_conn(&c);
        certs_conn(&c, 1, "b");
        c.remote.auth = (uint8_t)want;
        pair_load(p, 1, &c);
        certs_drop_conn(&c);
        certs_refused(p, "sending AUTHENTICATION_FAILED");
        // And the responder answers with another one than the initiator wants.
        certs_conn(&c, 0, "p256");
        c.remote.auth = (uint8_t)want;
        pair_load(p, 0, &c);
        certs_drop_conn(&c);
        certs_conn(&c, 1, "b");
        c.local.auth = (uint8_t)(want == AUTH_PSK ? AUTH_PUBKEY : AUTH_PSK);
        pair_load(p, 1, &c);
        certs_drop_conn(&c);
        pair_result(p, 0, pair_initiate(p, 0, "c"), false);
        assert_true(watch_said("the peer authenticates by"));
        pair_wait(p, 10000);
        assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 0);
        certs_end(p);
    }
}

static void load_second(struct pair *p, const char *name, const char *cacert, const char *child)
{
    struct conn_config c;
    certs_conn(&c, 1, "b");
    c.name = name;
    c.remote.id = ""; // anybody of that authority
    assert_int_equal(blobs_add(&c.remote.cacerts, certs_file(cacert, "der")), 0);
    c.children[0].name = child;
    pair_load(p, 1, &c);
    certs_drop_conn(&c);
}

// Two connections for the same identities with an authority each: a certificate opens its own and no other.
static void test_certificate_opens_the_connection_of_its_authority_alone(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    watch_log();
    struct conn_config c;
    certs_load_key(p, 0, "p256");
    certs_load_key(p, 1, "b");
    certs_load(p, 0, PKI_CA, "ca");
    load_second(p, "first", "other", "c1");
    load_second(p, "second", "ca", "c2");
    certs_conn(&c, 0, "p256");
    pair_load(p, 0, &c);
    certs_drop_conn(&c);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_string_equal(p->s[1].ike->sas->conn->cfg.name, "second");
    assert_string_equal(pair_sa(&p->s[1], 0)->child.name, "c2");
    certs_end(p);
}

static void load_refused(struct pair *p, const struct conn_config *c, const char *why)
{
    static uint8_t buf[65536];
    struct writer w = writer_of(buf, sizeof(buf));
    conn_write(&w, c);
    uint32_t req = certs_req();
    ipc_send(p->s[1].ctl_ike, MSG_CONN_LOAD, &(struct msg_CONN_LOAD){.req = req, .conn = wr_written(&w)});
    pair_run(p);
    pair_result(p, 1, req, false);
    if (!strstr(p->s[1].last_text, why))
        fail_msg("'%s' does not say '%s'", p->s[1].last_text, why);
}

static void test_connections_that_say_too_little_are_refused(void **state)
{
    (void)state;
    struct pair *p = certs_begin("p256");
    struct conn_config c;
    certs_conn(&c, 1, "b");
    c.remote.id = "";
    load_refused(p, &c, "any trusted certificate");
    certs_drop_conn(&c);
    certs_conn(&c, 1, "b");
    c.local.id = "c.test";
    load_refused(p, &c, "neither the subject nor a subjectAltName");
    certs_drop_conn(&c);
    certs_conn(&c, 1, NULL);
    assert_int_equal(blobs_add(&c.local.certs, slice_str("no certificate")), 0);
    load_refused(p, &c, "certificate 1");
    certs_drop_conn(&c);
    certs_conn(&c, 1, "b");
    assert_int_equal(blobs_add(&c.remote.cacerts, certs_file("b", "der")), 0); // no authority
    load_refused(p, &c, "entry 1");
    certs_drop_conn(&c);
    certs_conn(&c, 1, "b");
    assert_int_equal(auth_set_id(&c.remote, AUTH_CA_ID, "root"), 0);
    load_refused(p, &c, "distinguished name");
    certs_drop_conn(&c);
    certs_conn(&c, 1, "b");
    c.local.id = "10.0.0.0/8";
    load_refused(p, &c, "many addresses");
    certs_drop_conn(&c);
    certs_conn(&c, 1, "b");
    struct auth_side *second = conn_add_round(&c, true);
    second->auth = AUTH_PSK;
    second->id = "10.0.0.1-10.0.0.9";
    load_refused(p, &c, "'10.0.0.1-10.0.0.9' is many addresses");
    certs_drop_conn(&c);
    certs_end(p);
}

static void test_subject_is_the_identity_where_none_is_given(void **state)
{
    (void)state;
    struct pair *p = certs_begin("p256");
    struct conn_config c;
    certs_conn(&c, 0, "p256");
    c.local.id = "";
    pair_load(p, 0, &c);
    certs_drop_conn(&c);
    certs_conn(&c, 1, "b");
    c.remote.id = "C=CH, O=Lab, CN=*";
    pair_load(p, 1, &c);
    certs_drop_conn(&c);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_true(watch_said("authentication of 'C=CH, O=Lab, CN=p256' with ECDSA_WITH_SHA256_DER successful"));
    certs_end(p);
}

// Of several certificates the one that the peer can judge (RFC 7296 3.7); where it can none, the first.
static void test_certificate_is_of_an_authority_that_the_peer_names(void **state)
{
    (void)state;
    for (int initiator = 0; initiator < 2; initiator++) {
        for (int loaded = 0; loaded < 2; loaded++) {
            struct pair *p = certs_begin("false");
            struct conn_config c;
            certs_conn(&c, 0, loaded ? NULL : "false");
            if (!loaded)
                assert_int_equal(blobs_add(&c.local.certs, certs_file("p256", "der")), 0);
            certs_load(p, 0, PKI_X509, "p256"); // the older one
            certs_load(p, 0, PKI_X509, "false");
            certs_load_key(p, 0, "p256");
            pair_load(p, 0, &c);
            certs_drop_conn(&c);
            pair_result(p, !initiator, pair_initiate(p, !initiator, "c"), true);
            assert_true(watch_said("sending end entity cert \"C=CH, O=Lab, CN=p256\""));
            certs_end(p);
        }
    }
    struct pair *p = certs_begin("false");
    certs_refused(p, "sending end entity cert \"C=CH, O=Lab, CN=false\"");
    certs_end(p);
}

// The initiator names the authorities of its connection, and no others that happen to be loaded.
static void test_certreq_names_the_authorities_of_the_connection(void **state)
{
    (void)state;
    struct pair *p = certs_begin("p256");
    struct conn_config c;
    certs_load(p, 0, PKI_CA, "other");
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_true(watch_said("sending a cert request for 2 authorities"));
    pair_terminate(p, 0, NULL, true);
    certs_conn(&c, 0, "p256");
    assert_int_equal(blobs_add(&c.remote.cacerts, certs_file("ca", "der")), 0);
    pair_load(p, 0, &c);
    certs_drop_conn(&c);
    watch_lines[0] = 0;
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_true(watch_said("sending a cert request for 1 authorities"));
    assert_null(strstr(watch_lines, "for 2 authorities"));
    certs_end(p);
}

static void test_certificate_among_the_loaded_ones_is_found_by_identity(void **state)
{
    (void)state;
    struct pair *p = certs_begin("p256");
    struct conn_config c;
    certs_load(p, 0, PKI_X509, "mallory");
    certs_load(p, 0, PKI_X509, "ed25519"); // whose key is not there
    certs_load(p, 0, PKI_X509, "p256");
    certs_conn(&c, 0, NULL);
    pair_load(p, 0, &c);
    certs_drop_conn(&c);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_true(watch_said("sending end entity cert \"C=CH, O=Lab, CN=p256\""));
    certs_end(p);
}

static void test_pinned_certificate_needs_no_authority_and_need_not_be_sent(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    for (int side = 0; side < 2; side++) {
        struct conn_config c;
        certs_conn(&c, side, side ? "b" : "p256");
        c.send_cert = SEND_CERT_NEVER;
        c.send_certreq = 0;
        assert_int_equal(blobs_add(&c.remote.certs, certs_file(side ? "p256" : "b", "der")), 0);
        certs_load_key(p, side, side ? "b" : "p256");
        pair_load(p, side, &c);
        certs_drop_conn(&c);
    }
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_true(pair_agree(p));
    certs_end(p);
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
    assert_int_equal(blobs_add(&c->cfg.local.certs, certs_file(name, "der")), 0);
}

// From where many proofs have failed none is looked at for some seconds, not even a good one.
static void test_proofs_that_fail_are_counted_by_address(void **state)
{
    (void)state;
    struct pair *p = certs_begin("p256");
    p->s[1].ike->set.block_threshold = p->s[1].ike->set.cookie_threshold = 0; // it is not these that stop it
    certs_load_key(p, 0, "mallory");
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
    certs_end(p);
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
        cmocka_unit_test(test_every_encoding_with_nothing_in_it_is_survived),
        cmocka_unit_test(test_more_certificates_than_anyone_needs_are_refused),
        cmocka_unit_test(test_proofs_that_fail_are_counted_by_address),
    };
    return cmocka_run_group_tests(tests, certs_make_files, certs_drop_files);
}
