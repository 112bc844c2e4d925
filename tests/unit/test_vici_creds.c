// SPDX-License-Identifier: Apache-2.0
// Credentials on their way through the ctl process: secrets and private keys to `keys`, what is public to
// `ike`, and what comes back as charon 5.9.8 says it.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrl/config/shared.h"
#include "ctrl/ctl/replay.h"
#include "ctrl/lib/trust.h"
#include "tests/unit/ctl_rig.h"

// ---- secrets

static void test_secret_goes_to_keys_and_nowhere_else(void **state)
{
    (void)state;
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_REQUEST, "load-shared");
    vici_put(&o, "id", "ike-1");
    vici_put(&o, "type", "IKE");
    vici_put_blob(&o, "data", "s\0cret", 6);
    vici_list(&o, "owners");
    vici_item(&o, "west@example.net");
    vici_item(&o, "10.0.0.1");
    vici_list_end(&o);
    send_out(client, &o);
    union msg m = expect(ROOM_KEYS, MSG_SECRET_LOAD);
    assert_string_equal(m.SECRET_LOAD.id, "ike-1");
    assert_true(slice_eq(m.SECRET_LOAD.data, slice_of("s\0cret", 6)));
    struct reader r = reader_of(m.SECRET_LOAD.owners);
    assert_true(slice_eq(rd_slice16(&r), slice_str("west@example.net")));
    assert_true(slice_eq(rd_slice16(&r), slice_str("10.0.0.1")));
    assert_true(rd_done(&r));
    result(ROOM_KEYS, m.SECRET_LOAD.req, true, "");
    expect_success();
    expect_nothing(ROOM_IKE);
    expect_nothing(ROOM_PATH);
    expect_nothing(ROOM_SUPER);
}

static void ask_with_owners(unsigned count)
{
    struct vici_out o;
    char name[24];
    vici_out_begin(&o, VICI_CMD_REQUEST, "load-shared");
    vici_put(&o, "type", "ike");
    vici_put(&o, "data", "s");
    vici_list(&o, "owners");
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "host%u.example", i);
        vici_item(&o, name);
    }
    vici_list_end(&o);
    send_out(client, &o);
}

static void test_owners_of_a_secret_are_all_kept_and_too_many_are_refused_by_number(void **state)
{
    (void)state;
    ask_with_owners(32);
    union msg m = expect(ROOM_KEYS, MSG_SECRET_LOAD);
    struct reader r = reader_of(m.SECRET_LOAD.owners);
    for (unsigned i = 0; i < 31; i++)
        rd_slice16(&r);
    assert_true(slice_eq(rd_slice16(&r), slice_str("host31.example")) && rd_done(&r));
    result(ROOM_KEYS, m.SECRET_LOAD.req, true, "");
    expect_success();
    ask_with_owners(33);
    expect_error("invalid owners: expected a list of at most 32 identities");
    expect_nothing(ROOM_KEYS);
}

static void test_secrets_that_are_refused(void **state)
{
    (void)state;
    request("load-shared", "id", "x", "data", "y", NULL);
    expect_error("type missing");
    request("load-shared", "type", "EAP", "data", "y", NULL);
    expect_error("an EAP secret needs the identity that it goes by");
    request("load-shared", "type", "xauth", "data", "y", NULL);
    expect_error("not supported yet");
    request("load-shared", "type", "ppk", "data", "y", NULL);
    expect_error("a PPK needs the identity that it goes by");
    request("load-shared", "type", "nonsense", "data", "y", NULL);
    expect_error("invalid shared key type");
    request("load-shared", "type", "ike", NULL);
    expect_error("data missing");
    request("load-shared", "type", "ike", "data", "", NULL);
    expect_error("empty");
    request("load-shared", "type", "ike", "data", "y", "owners", "not a list", NULL);
    expect_error("owners");
    expect_nothing(ROOM_KEYS);
}

static void test_get_shared_hides_secrets_without_a_name(void **state)
{
    (void)state;
    request("load-shared", "type", "ike", "data", "y", NULL);
    union msg m = expect(ROOM_KEYS, MSG_SECRET_LOAD);
    struct msg_SECRET_IS unnamed = {0}, named = {.id = "ike-1"};
    snprintf(unnamed.id, sizeof(unnamed.id), "%s", m.SECRET_LOAD.id);
    assert_true(unnamed.id[0]);
    result(ROOM_KEYS, m.SECRET_LOAD.req, true, "");
    expect_success();
    request("get-shared", NULL);
    m = expect(ROOM_KEYS, MSG_SECRET_LIST);
    unnamed.req = named.req = m.SECRET_LIST.req;
    tell(ROOM_KEYS, MSG_SECRET_IS, &unnamed);
    tell(ROOM_KEYS, MSG_SECRET_IS, &named);
    result(ROOM_KEYS, m.SECRET_LIST.req, true, "");
    const struct vici_node *n = vici_find(receive(client, VICI_CMD_RESPONSE, NULL), "keys")->child;
    assert_string_equal(vici_text(n), "ike-1");
    assert_null(n->next);
}

// Where a client says so, more of them are told than one reply holds.
static void test_get_shared_goes_on_where_the_reply_before_ended(void **state)
{
    enum { FIRST = 512, NAME = 255 };
    (void)state;
    request("get-shared", "from", "0", NULL);
    union msg m = expect(ROOM_KEYS, MSG_SECRET_LIST);
    assert_int_equal(m.SECRET_LIST.from, 0);
    for (unsigned i = 0; i <= FIRST; i++) {
        struct msg_SECRET_IS is = {.req = m.SECRET_LIST.req};
        snprintf(is.id, sizeof(is.id), "%0*u", NAME, i);
        tell(ROOM_KEYS, MSG_SECRET_IS, &is);
    }
    tell(ROOM_KEYS, MSG_LIST_MORE, &(struct msg_LIST_MORE){.req = m.SECRET_LIST.req, .next = 700});
    const struct vici_node *reply = receive(client, VICI_CMD_RESPONSE, NULL);
    assert_value(reply, "next", "700");
    assert_non_null(vici_find(reply, "keys")->child);
    expect_nothing(ROOM_KEYS);
    request("get-shared", "from", "700", NULL);
    m = expect(ROOM_KEYS, MSG_SECRET_LIST);
    assert_int_equal(m.SECRET_LIST.from, 700);
    tell(ROOM_KEYS, MSG_SECRET_IS, &(struct msg_SECRET_IS){.req = m.SECRET_LIST.req, .id = "last"});
    result(ROOM_KEYS, m.SECRET_LIST.req, true, "");
    reply = receive(client, VICI_CMD_RESPONSE, NULL);
    assert_null(vici_find(reply, "next"));
    assert_string_equal(vici_text(vici_find(reply, "keys")->child), "last");
}

static void keys_is(uint32_t pid)
{
    tell(ROOM_SUPER, MSG_ROOM_PID, &(struct msg_ROOM_PID){.room = ROOM_KEYS, .pid = pid});
    turn();
}

static void send_many(uint32_t req)
{
    for (unsigned i = 0; i <= 512; i++) {
        struct msg_SECRET_IS is = {.req = req};
        snprintf(is.id, sizeof(is.id), "%0255u", i);
        tell(ROOM_KEYS, MSG_SECRET_IS, &is);
    }
    tell(ROOM_KEYS, MSG_LIST_MORE, &(struct msg_LIST_MORE){.req = req, .next = 700});
}

// The next keys counts them anew: behind a page of the one before it would leave some out.
static void test_get_shared_by_pages_of_two_lives_of_keys_says_so(void **state)
{
    char next[32];
    (void)state;
    keys_is(4711);
    request("get-shared", "from", "0", NULL);
    send_many(expect(ROOM_KEYS, MSG_SECRET_LIST).SECRET_LIST.req);
    const struct vici_node *reply = receive(client, VICI_CMD_RESPONSE, NULL);
    snprintf(next, sizeof(next), "%s", vici_get(reply, "next"));
    request("get-shared", "from", next, NULL);
    union msg m = expect(ROOM_KEYS, MSG_SECRET_LIST);
    assert_int_equal(m.SECRET_LIST.from, 700);
    result(ROOM_KEYS, m.SECRET_LIST.req, true, "");
    assert_null(vici_find(receive(client, VICI_CMD_RESPONSE, NULL), "next"));
    keys_is(4712);
    request("get-shared", "from", next, NULL);
    expect_error("keys has been started again");
    expect_nothing(ROOM_KEYS);
}

// ---- private keys

// An Ed25519 key in PKCS#8, and its identifier.
static const uint8_t key_der[] = {0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70,
                                  0x04, 0x22, 0x04, 0x20, 0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60,
                                  0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69,
                                  0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60};
static const uint8_t key_id[20] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 0xff};
#define KEY_ID "0102030405060708090a0b0c0d0e0f10111213ff"

static void send_key(const char *type, const void *data, size_t len)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_REQUEST, "load-key");
    vici_put(&o, "type", type);
    vici_put_blob(&o, "data", data, len);
    send_out(client, &o);
}

static void test_private_key_goes_to_keys_and_nowhere_else(void **state)
{
    (void)state;
    send_key("ED25519", key_der, sizeof(key_der));
    union msg m = expect(ROOM_KEYS, MSG_KEY_LOAD);
    assert_string_equal(m.KEY_LOAD.type, "ed25519");
    assert_true(slice_eq(m.KEY_LOAD.data, slice_of(key_der, sizeof(key_der))));
    no_answer_yet(client);
    tell(ROOM_KEYS, MSG_KEY_LOADED,
         &(struct msg_KEY_LOADED){.req = m.KEY_LOAD.req, .id = slice_of(key_id, sizeof(key_id))});
    const struct vici_node *r = receive(client, VICI_CMD_RESPONSE, NULL);
    assert_value(r, "success", "yes");
    assert_value(r, "id", KEY_ID);
    expect_nothing(ROOM_IKE);
    expect_nothing(ROOM_PATH);
    expect_nothing(ROOM_SUPER);
}

static void test_private_key_in_pem_is_sent_as_der(void **state)
{
    (void)state;
    static const char pem[] = "-----BEGIN PRIVATE KEY-----\n"
                              "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
                              "-----END PRIVATE KEY-----\n";
    send_key("any", pem, strlen(pem));
    union msg m = expect(ROOM_KEYS, MSG_KEY_LOAD);
    assert_true(slice_eq(m.KEY_LOAD.data, slice_of(key_der, sizeof(key_der))));
    result(ROOM_KEYS, m.KEY_LOAD.req, false, "RSA keys have 2048 bits at least");
    expect_error("parsing any private key failed: RSA keys have 2048 bits at least");
}

static void test_private_keys_that_are_refused(void **state)
{
    (void)state;
    request("load-key", "data", "x", NULL);
    expect_error("key type missing");
    request("load-key", "type", "foo", "data", "x", NULL);
    expect_error("invalid key type: foo");
    request("load-key", "type", "rsa", NULL);
    expect_error("key data missing");
    request("load-key", "type", "rsa", "data", "hello", NULL);
    expect_error("parsing rsa private key failed: it is none that is known");
    request("load-key", "type", "rsa", "data",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", NULL);
    expect_error("it is CERTIFICATE in PEM; expected a private key");
    request("load-token", "handle", "1", NULL);
    expect_error("tokens are not supported yet");
    request("unload-key", NULL);
    expect_error("key id missing");
    request("unload-key", "id", "zz", NULL);
    expect_error("'zz' is not 40 hexadecimal digits");
    expect_nothing(ROOM_KEYS);
}

static void test_keys_are_listed_and_unloaded_by_their_identifier(void **state)
{
    (void)state;
    request("get-keys", NULL);
    union msg m = expect(ROOM_KEYS, MSG_KEY_LIST);
    struct msg_KEY_IS one = {.req = m.KEY_LIST.req, .id = slice_of(key_id, sizeof(key_id))};
    tell(ROOM_KEYS, MSG_KEY_IS, &one);
    tell(ROOM_KEYS, MSG_LIST_MORE, &(struct msg_LIST_MORE){.req = one.req, .next = 7});
    m = expect(ROOM_KEYS, MSG_KEY_LIST);
    assert_int_equal(m.KEY_LIST.from, 7);
    one.req = m.KEY_LIST.req;
    tell(ROOM_KEYS, MSG_KEY_IS, &one);
    result(ROOM_KEYS, one.req, true, "");
    const struct vici_node *n = vici_find(receive(client, VICI_CMD_RESPONSE, NULL), "keys")->child;
    assert_string_equal(vici_text(n), KEY_ID);
    assert_string_equal(vici_text(n->next), KEY_ID);
    assert_null(n->next->next);
    request("unload-key", "id", KEY_ID, NULL);
    m = expect(ROOM_KEYS, MSG_KEY_UNLOAD);
    assert_true(slice_eq(m.KEY_UNLOAD.id, slice_of(key_id, sizeof(key_id))));
    result(ROOM_KEYS, m.KEY_UNLOAD.req, false, "key not found");
    expect_error("key not found");
}

// ---- certificates

static void test_certificates_go_to_ike_by_their_kind(void **state)
{
    (void)state;
    static const struct {
        const char *type, *flag;
        uint8_t kind;
    } kinds[] = {{"X509", "NONE", PKI_X509},   {"X509", NULL, PKI_X509},    {"x509", "ca", PKI_CA},
                 {"X509", "OCSP", PKI_X509},   {"X509_CRL", NULL, PKI_CRL}, {"X509_CRL", "CA", PKI_CRL},
                 {"PUBKEY", NULL, PKI_PUBKEY}, {"x509ca", NULL, PKI_CA},    {"x509crl", NULL, PKI_CRL}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        request("load-cert", "type", kinds[i].type, "data", "DER", kinds[i].flag ? "flag" : NULL,
                kinds[i].flag, NULL);
        union msg m = expect(ROOM_IKE, MSG_CERT_LOAD);
        assert_int_equal(m.CERT_LOAD.kind, kinds[i].kind);
        assert_true(slice_eq(m.CERT_LOAD.data, slice_str("DER")));
        result(ROOM_IKE, m.CERT_LOAD.req, i != 0, i ? "" : "it is none");
        if (i)
            expect_success();
        else
            expect_error("parsing X509 certificate failed: it is none");
    }
    expect_nothing(ROOM_KEYS);
}

static void test_certificates_that_are_refused(void **state)
{
    (void)state;
    request("load-cert", "data", "x", NULL);
    expect_error("certificate type missing");
    request("load-cert", "type", "FOO", "data", "x", NULL);
    expect_error("invalid certificate type 'FOO'");
    request("load-cert", "type", "X509", "flag", "FOO", "data", "x", NULL);
    expect_error("invalid certificate flag 'FOO'");
    request("load-cert", "type", "X509", "flag", "AA", "data", "x", NULL);
    expect_error("attribute authorities");
    request("load-cert", "type", "X509_AC", "data", "x", NULL);
    expect_error("attribute certificates are not supported yet");
    request("load-cert", "type", "X509", NULL);
    expect_error("certificate data missing");
    request("load-cert", "type", "X509", "data", "", NULL);
    expect_error("certificate data missing");
    expect_nothing(ROOM_IKE);
}

// One of each kind, as ike has them.
static void answer_certs(void)
{
    union msg m = expect(ROOM_IKE, MSG_CERT_LIST);
    for (uint8_t kind = PKI_X509; kind <= PKI_OCSP; kind++) {
        struct msg_CERT_IS is = {.req = m.CERT_LIST.req,
                                 .kind = kind,
                                 .has_key = kind == PKI_X509,
                                 .data = slice_of(&"0123456"[kind], 1)};
        tell(ROOM_IKE, MSG_CERT_IS, &is);
    }
    result(ROOM_IKE, m.CERT_LIST.req, true, "");
}

static void test_list_certs_filters_as_charon_does(void **state)
{
    (void)state;
    static const struct {
        const char *type, *flag, *listed; // the data of what comes
    } lists[] = {{"any", NULL, "12345"},  {"x509", NULL, "12"},   {"x509", "none", "1"},
                 {"x509", "ca", "2"},     {"x509", "any", "12"},  {"x509ca", NULL, "2"},
                 {"X509_CRL", NULL, "3"}, {"pubkey", NULL, "4"},  {"ocsp_response", NULL, "5"},
                 {"x509_ac", NULL, ""},   {"any", "ca", "12345"}, {"x509", "aa", ""}};
    register_for(client, "list-cert");
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        request("list-certs", "type", lists[i].type, lists[i].flag ? "flag" : NULL, lists[i].flag, NULL);
        answer_certs();
        for (const char *c = lists[i].listed; *c; c++) {
            const struct vici_node *n = receive(client, VICI_EVENT, "list-cert");
            assert_int_equal(vici_find(n, "data")->value[0], *c);
            const char *type = *c <= '2'   ? "X509"
                               : *c == '3' ? "X509_CRL"
                               : *c == '4' ? "PUBKEY"
                                           : "OCSP_RESPONSE";
            assert_value(n, "type", type);
            if (*c <= '2')
                assert_value(n, "flag", *c == '1' ? "NONE" : "CA");
            else
                assert_null(vici_find(n, "flag"));
            assert_true((vici_get(n, "has_privkey") != NULL) == (*c == '1'));
        }
        assert_null(receive(client, VICI_CMD_RESPONSE, NULL)->child);
    }
    request("list-certs", "type", "foo", NULL);
    expect_error("invalid certificate type or flag");
    request("list-certs", "subject", "west.lab", NULL);
    union msg m = expect(ROOM_IKE, MSG_CERT_LIST);
    assert_string_equal(m.CERT_LIST.subject, "west.lab");
    result(ROOM_IKE, m.CERT_LIST.req, true, "");
    receive(client, VICI_CMD_RESPONSE, NULL);
}

static void test_flush_certs_is_of_what_was_fetched(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        int kind; // -1: nothing of it is ever cached
    } flushes[] = {{NULL, 0},    {"ANY", 0},    {"x509_crl", PKI_CRL}, {"OCSP_RESPONSE", PKI_OCSP},
                   {"x509", -1}, {"pubkey", -1}};
    for (size_t i = 0; i < sizeof(flushes) / sizeof(flushes[0]); i++) {
        request("flush-certs", flushes[i].type ? "type" : NULL, flushes[i].type, NULL);
        if (flushes[i].kind >= 0) {
            union msg m = expect(ROOM_IKE, MSG_CERTS_FLUSH);
            assert_int_equal(m.CERTS_FLUSH.kind, flushes[i].kind);
            result(ROOM_IKE, m.CERTS_FLUSH.req, true, "");
        }
        expect_success();
    }
    request("flush-certs", "type", "crl", NULL);
    expect_error("invalid certificate type 'crl'");
}

static void test_clear_creds_clears_keys_then_certificates(void **state)
{
    (void)state;
    request("clear-creds", NULL);
    union msg m = expect(ROOM_KEYS, MSG_SECRETS_CLEAR);
    expect_nothing(ROOM_IKE);
    result(ROOM_KEYS, m.SECRETS_CLEAR.req, true, "");
    m = expect(ROOM_IKE, MSG_CERTS_CLEAR);
    no_answer_yet(client);
    result(ROOM_IKE, m.CERTS_CLEAR.req, true, "");
    expect_success();
    request("clear-creds", NULL);
    result(ROOM_KEYS, expect(ROOM_KEYS, MSG_SECRETS_CLEAR).SECRETS_CLEAR.req, false, "no");
    expect_error("no");
    expect_nothing(ROOM_IKE);
}

// ---- authorities

// A root on P-256, self-signed: "CN=Root".
static const char root_pem[] = "-----BEGIN CERTIFICATE-----\n"
                               "MIIBdTCCARugAwIBAgIUJ1DO8m0FqxzqNHQvNumDVzEnCUYwCgYIKoZIzj0EAwIw\n"
                               "DzENMAsGA1UEAwwEUm9vdDAgFw0yNjExMjkwNDUxNTNaGA8yMDgxMDkwMTA0NTE1\n"
                               "M1owDzENMAsGA1UEAwwEUm9vdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABGZc\n"
                               "yus+PgtQlB8vYxtwcjwdkYlT0Kc37uU50Cnte6R73eX45yZiQvNSSdXnyup79RqU\n"
                               "fOGexvpWHPMUHOv3hC+jUzBRMB0GA1UdDgQWBBT+kQECTyxBuCS8fXK5Nb8j+Ozg\n"
                               "LzAfBgNVHSMEGDAWgBT+kQECTyxBuCS8fXK5Nb8j+OzgLzAPBgNVHRMBAf8EBTAD\n"
                               "AQH/MAoGCCqGSM49BAMCA0gAMEUCICfX2PMUWVh+EO/TVtQ+dZMXw+OJO+sEHETp\n"
                               "gW3tdPpaAiEAo+GAs3Ea18SK/LeWm9TVBmj7U7pdGCes65BXRgYPT5c=\n"
                               "-----END CERTIFICATE-----\n";

static void test_authorities_go_to_ike_and_are_listed(void **state)
{
    (void)state;
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_REQUEST, "load-authority");
    vici_section(&o, "lab");
    vici_put(&o, "cacert", root_pem);
    vici_list(&o, "crl_uris");
    vici_item(&o, "http://c/1");
    vici_item(&o, "file:///2");
    vici_list_end(&o);
    vici_section_end(&o);
    send_out(client, &o);
    union msg m = expect(ROOM_IKE, MSG_AUTHORITY_LOAD);
    assert_string_equal(m.AUTHORITY_LOAD.name, "lab");
    assert_int_equal(m.AUTHORITY_LOAD.cacert.p[0], 0x30);
    struct reader r = reader_of(m.AUTHORITY_LOAD.crl_uris);
    assert_true(slice_eq(rd_slice16(&r), slice_str("http://c/1")));
    assert_true(slice_eq(rd_slice16(&r), slice_str("file:///2")));
    assert_true(rd_done(&r));
    assert_int_equal(m.AUTHORITY_LOAD.ocsp_uris.len, 0);
    result(ROOM_IKE, m.AUTHORITY_LOAD.req, true, "");
    expect_success();

    request("get-authorities", NULL);
    m = expect(ROOM_IKE, MSG_AUTHORITY_LIST);
    static uint8_t uris[] = "\0\012http://c/1";
    struct msg_AUTHORITY_IS is = {.req = m.AUTHORITY_LIST.req,
                                  .name = "lab",
                                  .subject = "CN=Root",
                                  .crl_uris = slice_of(uris, sizeof(uris) - 1)};
    tell(ROOM_IKE, MSG_AUTHORITY_IS, &is);
    result(ROOM_IKE, is.req, true, "");
    const struct vici_node *n = vici_find(receive(client, VICI_CMD_RESPONSE, NULL), "authorities")->child;
    assert_string_equal(vici_text(n), "lab");
    assert_null(n->next);

    register_for(client, "list-authority");
    request("list-authorities", "name", "lab", NULL);
    m = expect(ROOM_IKE, MSG_AUTHORITY_LIST);
    assert_string_equal(m.AUTHORITY_LIST.name, "lab");
    is.req = m.AUTHORITY_LIST.req;
    tell(ROOM_IKE, MSG_AUTHORITY_IS, &is);
    result(ROOM_IKE, is.req, true, "");
    n = vici_find(receive(client, VICI_EVENT, "list-authority"), "lab");
    assert_value(n, "cacert", "CN=Root");
    assert_string_equal(vici_text(vici_find(n, "crl_uris")->child), "http://c/1");
    assert_null(vici_find(n, "ocsp_uris")->child);
    assert_null(vici_find(n, "cert_uri_base"));
    receive(client, VICI_CMD_RESPONSE, NULL);

    request("unload-authority", "name", "lab", NULL);
    m = expect(ROOM_IKE, MSG_AUTHORITY_UNLOAD);
    assert_string_equal(m.AUTHORITY_UNLOAD.name, "lab");
    result(ROOM_IKE, m.AUTHORITY_UNLOAD.req, true, "");
    expect_success();
}

static void test_authorities_that_are_refused(void **state)
{
    (void)state;
    request("load-authority", NULL);
    expect_error("expected one section");
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_REQUEST, "load-authority");
    vici_section(&o, "a");
    vici_section_end(&o);
    send_out(client, &o);
    expect_error("CA certificate missing: a");
    request("unload-authority", NULL);
    expect_error("missing authority name");
    expect_nothing(ROOM_IKE);
}

// ---- a keys that dies

static void keys_dies(void)
{
    close(room[ROOM_KEYS]);
    room[ROOM_KEYS] = -1;
    tell(ROOM_SUPER, MSG_ROOM_PID, &(struct msg_ROOM_PID){.room = ROOM_KEYS});
}

static void keys_comes(void)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(ctl_connect(ctl, ROOM_KEYS, pair[0]), 0);
    room[ROOM_KEYS] = pair[1];
    tell(ROOM_SUPER, MSG_ROOM_PID, &(struct msg_ROOM_PID){.room = ROOM_KEYS, .pid = 4711});
}

static void secret_comes(const char *id)
{
    union msg m = expect(ROOM_KEYS, MSG_SECRET_LOAD);
    assert_string_equal(m.SECRET_LOAD.id, id);
    assert_true(slice_eq(m.SECRET_LOAD.data, slice_str("s")));
    result(ROOM_KEYS, m.SECRET_LOAD.req, true, "");
    expect_success();
}

static void test_secret_that_is_loaded_while_keys_is_dead_waits_for_the_next(void **state)
{
    (void)state;
    request("load-shared", "id", "x", "type", "ike", "data", "s", NULL);
    expect(ROOM_KEYS, MSG_SECRET_LOAD); // it dies in the middle of it
    keys_dies();
    no_answer_yet(client);
    now += CTL_ALONE_MS + 1000;
    turn();
    assert_false(loop_stopped(loop));
    keys_comes();
    secret_comes("x");
    keys_dies();
    request("load-shared", "type", "ike", "data", "s", NULL);
    no_answer_yet(client);
    keys_comes();
    secret_comes(SHARED_UNNAMED "1");
}

static void test_key_waits_too_and_is_read_anew(void **state)
{
    (void)state;
    keys_dies();
    send_key("any", key_der, sizeof(key_der));
    no_answer_yet(client);
    keys_comes();
    union msg m = expect(ROOM_KEYS, MSG_KEY_LOAD);
    assert_string_equal(m.KEY_LOAD.type, "any");
    assert_true(slice_eq(m.KEY_LOAD.data, slice_of(key_der, sizeof(key_der))));
    result(ROOM_KEYS, m.KEY_LOAD.req, false, "no");
    expect_error("parsing any private key failed: no");
}

static void load_x(uint8_t out[64], size_t *len)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_REQUEST, "load-shared");
    vici_put(&o, "id", "x");
    vici_put(&o, "type", "ike");
    vici_put(&o, "data", "s");
    assert_int_equal(vici_out_finish(&o), 0);
    assert_true(o.len <= 64);
    memcpy(out, o.data, *len = o.len);
    vici_out_free(&o);
}

// It is asked before its channel has told of its end; and once more as it dies again.
static void test_secret_waits_though_nobody_has_told_yet_that_keys_is_dead(void **state)
{
    uint8_t request[64];
    size_t len;
    (void)state;
    load_x(request, &len);
    assert_int_equal(send(client, request, len, 0), (ssize_t)len);
    for (int i = 0; i < 2; i++) {
        close(room[ROOM_KEYS]);
        room[ROOM_KEYS] = -1;
        no_answer_yet(client);
        tell(ROOM_SUPER, MSG_ROOM_PID, &(struct msg_ROOM_PID){.room = ROOM_KEYS});
        no_answer_yet(client);
        keys_comes();
    }
    secret_comes("x");
}

// Which may have been done already: then it would be said not to be there.
static void test_unload_that_it_was_asked_for_fails_and_another_waits(void **state)
{
    (void)state;
    request("unload-shared", "id", "x", NULL);
    expect(ROOM_KEYS, MSG_SECRET_UNLOAD);
    keys_dies();
    expect_error(KEYS_DIED);
    request("unload-shared", "id", "x", NULL);
    no_answer_yet(client);
    keys_comes();
    result(ROOM_KEYS, expect(ROOM_KEYS, MSG_SECRET_UNLOAD).SECRET_UNLOAD.req, true, "");
    expect_success();
}

static void test_list_begins_anew_and_one_in_the_middle_fails(void **state)
{
    (void)state;
    request("get-shared", NULL);
    uint32_t req = expect(ROOM_KEYS, MSG_SECRET_LIST).SECRET_LIST.req;
    tell(ROOM_KEYS, MSG_SECRET_IS, &(struct msg_SECRET_IS){.req = req, .id = "one"});
    keys_dies();
    no_answer_yet(client);
    keys_comes();
    req = expect(ROOM_KEYS, MSG_SECRET_LIST).SECRET_LIST.req;
    tell(ROOM_KEYS, MSG_SECRET_IS, &(struct msg_SECRET_IS){.req = req, .id = "one"});
    result(ROOM_KEYS, req, true, "");
    const struct vici_node *n = vici_find(receive(client, VICI_CMD_RESPONSE, NULL), "keys");
    assert_true(n && n->child && !n->child->next &&
                slice_eq(slice_of(n->child->value, n->child->len), slice_str("one")));
    request("get-keys", NULL);
    req = expect(ROOM_KEYS, MSG_KEY_LIST).KEY_LIST.req;
    tell(ROOM_KEYS, MSG_LIST_MORE, &(struct msg_LIST_MORE){.req = req, .next = 7});
    assert_int_equal(expect(ROOM_KEYS, MSG_KEY_LIST).KEY_LIST.from, 7);
    keys_dies();
    expect_error("keys: " KEYS_DIED);
}

// ike goes with it, and its channel is lost while that of keys is missed: no loss, as both are told dead.
static void test_ike_that_goes_with_keys_is_no_loss(void **state)
{
    (void)state;
    close(room[ROOM_KEYS]);
    room[ROOM_KEYS] = -1;
    turn();
    close(room[ROOM_IKE]);
    room[ROOM_IKE] = -1;
    turn();
    request("load-shared", "id", "x", "type", "ike", "data", "s", NULL);
    no_answer_yet(client);
    tell(ROOM_SUPER, MSG_ROOM_PID, &(struct msg_ROOM_PID){.room = ROOM_KEYS});
    tell(ROOM_SUPER, MSG_ROOM_PID, &(struct msg_ROOM_PID){.room = ROOM_IKE});
    now += 3 * CTL_ALONE_MS;
    turn();
    assert_false(loop_stopped(loop));
    keys_comes();
    secret_comes("x");
}

static void test_channel_of_ike_that_is_lost_alone_ends_it_though_keys_comes_again(void **state)
{
    (void)state;
    close(room[ROOM_KEYS]);
    room[ROOM_KEYS] = -1;
    turn();
    close(room[ROOM_IKE]);
    room[ROOM_IKE] = -1;
    turn();
    tell(ROOM_SUPER, MSG_ROOM_PID, &(struct msg_ROOM_PID){.room = ROOM_KEYS});
    now += CTL_ALONE_MS;
    turn();
    assert_true(loop_stopped(loop));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, ctl_set_up, ctl_tear_down)
    const struct CMUnitTest tests[] = {
        T(test_secret_goes_to_keys_and_nowhere_else),
        T(test_owners_of_a_secret_are_all_kept_and_too_many_are_refused_by_number),
        T(test_secrets_that_are_refused),
        T(test_get_shared_hides_secrets_without_a_name),
        T(test_get_shared_goes_on_where_the_reply_before_ended),
        T(test_get_shared_by_pages_of_two_lives_of_keys_says_so),
        T(test_private_key_goes_to_keys_and_nowhere_else),
        T(test_private_key_in_pem_is_sent_as_der),
        T(test_private_keys_that_are_refused),
        T(test_keys_are_listed_and_unloaded_by_their_identifier),
        T(test_certificates_go_to_ike_by_their_kind),
        T(test_certificates_that_are_refused),
        T(test_list_certs_filters_as_charon_does),
        T(test_flush_certs_is_of_what_was_fetched),
        T(test_clear_creds_clears_keys_then_certificates),
        T(test_authorities_go_to_ike_and_are_listed),
        T(test_authorities_that_are_refused),
        T(test_secret_that_is_loaded_while_keys_is_dead_waits_for_the_next),
        T(test_secret_waits_though_nobody_has_told_yet_that_keys_is_dead),
        T(test_key_waits_too_and_is_read_anew),
        T(test_unload_that_it_was_asked_for_fails_and_another_waits),
        T(test_list_begins_anew_and_one_in_the_middle_fails),
        T(test_ike_that_goes_with_keys_is_no_loss),
        T(test_channel_of_ike_that_is_lost_alone_ends_it_though_keys_comes_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
