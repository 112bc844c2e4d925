// SPDX-License-Identifier: Apache-2.0
// How the ends of a tunnel with stock strongSwan sign, beyond certificates and RFC 7427: raw public keys, the
// methods of RFC 4754 toward a charon that does not negotiate hashes, and what is refused there by name (RSA
// with SHA-1, EdDSA, RFC 8420); a chain of three certificates in messages of at most 1280 octets; a charon
// that would rather look certificates up by hash and URL; and reauthentication by either end.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/system/cert_lab.h"

static struct lab lab;

static const char *const kinds[][2] = {{"rsa", "RSA -pkeyopt rsa_keygen_bits:3072"},
                                       {"p256", P256},
                                       {"p384", "EC -pkeyopt ec_paramgen_curve:P-384"},
                                       {"p521", "EC -pkeyopt ec_paramgen_curve:P-521"},
                                       {"ed25519", "ED25519"},
                                       {"ed448", "ED448"}};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static int make_files(void **state)
{
    static const char *const ends[] = {"west", "east"};
    char name[40], id[40];
    (void)state;
    certs_begin();
    make_ca("ca", "/C=CH/O=Lab/CN=root", NULL, "");
    make_ca("mid", "/C=CH/O=Lab/CN=mid", "ca", "");
    make_ca("low", "/C=CH/O=Lab/CN=low", "mid", "");
    for (unsigned e = 0; e < 2; e++) {
        snprintf(id, sizeof(id), "%s.example", ends[e]);
        for (unsigned i = 0; i < KINDS; i++) {
            snprintf(name, sizeof(name), "%s-%s", kinds[i][0], ends[e]);
            make_end(name, "ca", kinds[i][1], id, "", "");
            MAKE("cd %s && openssl pkey -in %s.key -pubout -out %s.pub", certs_dir(), name, name);
        }
        snprintf(name, sizeof(name), "chain-%s", ends[e]);
        make_end(name, "low", kinds[0][1], id, "", "");
    }
    return 0;
}

static int drop_files(void **state)
{
    (void)state;
    certs_end();
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    return lab_up(&lab, "espsign") ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

static void both_ways(void)
{
    char out[8192];
    struct site *first[] = {&lab.west, &lab.east};
    for (int i = 0; i < 2; i++) {
        assert_true(initiate(first[i]));
        assert_true(ping(&lab, &lab.west, &lab.east, 2) && ping(&lab, &lab.east, &lab.west, 2));
        assert_int_equal(swanctl(first[i], out, sizeof(out), "--terminate --ike site --timeout 10"), 0);
    }
}

// first: both are started; otherwise what they have is loaded anew.
static void with(const struct tunnel_options *west, const struct tunnel_options *east, bool first)
{
    static char *const options[] = {"--card", "none", "-o", "fragment_size=1280", NULL};
    assert_true(first ? charon_start(&lab, &lab.east, &lab.west, east)
                      : site_load(&lab.east, &lab.west, east));
    assert_true(first ? espalierd_start(&lab, &lab.west, &lab.east, west, options)
                      : site_load(&lab.west, &lab.east, west));
}

static void with_certs(const struct end *west, const struct end *east, const char *charon, bool first)
{
    struct tunnel_options o[2];
    struct end_lines l[2];
    prepare(&lab.west, west, east, &o[0], &l[0]);
    prepare(&lab.east, east, west, &o[1], &l[1]);
    o[1].charon_settings = charon;
    with(&o[0], &o[1], first);
}

static void test_raw_public_keys_of_every_kind_in_both_roles(void **state)
{
    static const char *const names[KINDS] = {"RSA_EMSA_PSS_SHA2_256_SALT_32",
                                             "ECDSA_WITH_SHA256_DER",
                                             "ECDSA_WITH_SHA384_DER",
                                             "ECDSA_WITH_SHA512_DER",
                                             "ED25519",
                                             "ED448"};
    struct site *sites[] = {&lab.west, &lab.east};
    (void)state;
    needs_strongswan();
    for (unsigned i = 0; i < KINDS; i++) {
        struct tunnel_options o[2] = {{.conn = "send_cert = always"}, {.conn = "send_cert = always"}};
        char local[2][100], remote[2][100], file[40];
        for (int s = 0; s < 2; s++) {
            const char *me = s ? "east" : "west", *peer = s ? "west" : "east";
            snprintf(local[s], sizeof(local[s]), "auth = %s\n      pubkeys = %s-%s.pub",
                     i ? "pubkey" : "ike:rsa/pss-sha256", kinds[i][0], me);
            snprintf(remote[s], sizeof(remote[s]), "auth = pubkey\n      pubkeys = %s-%s.pub", kinds[i][0],
                     peer);
            snprintf(file, sizeof(file), "%s-%s.pub", kinds[i][0], me);
            put_file(sites[s], file, "pubkey");
            snprintf(file, sizeof(file), "%s-%s.pub", kinds[i][0], peer);
            put_file(sites[s], file, "pubkey");
            snprintf(file, sizeof(file), "%s-%s.key", kinds[i][0], me);
            put_file(sites[s], file, "private");
            o[s].local = local[s];
            o[s].remote = remote[s];
            o[s].charon_plugins = "x509 constraints pubkey pkcs1 pkcs8 gmp";
        }
        with(&o[0], &o[1], i == 0);
        both_ways();
        assert_true(authenticated(&lab.west, "east.example", names[i]));
        assert_true(authenticated(&lab.east, "west.example", names[i]));
    }
    // Another's key is not taken, whichever end begins.
    struct tunnel_options o[2] = {{.local = "auth = pubkey\n      pubkeys = p256-west.pub",
                                   .remote = "auth = pubkey\n      pubkeys = p384-east.pub"},
                                  {.local = "auth = pubkey\n      pubkeys = p256-east.pub",
                                   .remote = "auth = pubkey\n      pubkeys = p256-west.pub"}};
    with(&o[0], &o[1], false);
    assert_false(initiate(&lab.west));
    assert_false(initiate(&lab.east));
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
}

// RFC 4754, toward a peer that sends no SIGNATURE_HASH_ALGORITHMS.
static void test_methods_of_rfc_4754_toward_a_peer_without_hash_negotiation(void **state)
{
    static const struct {
        const char *key, *with;
    } cases[] = {
        {"p256", "ECDSA-256 signature"}, {"p384", "ECDSA-384 signature"}, {"p521", "ECDSA-521 signature"}};
    (void)state;
    needs_strongswan();
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char west[40], east[40];
        snprintf(west, sizeof(west), "%s-west", cases[i].key);
        snprintf(east, sizeof(east), "%s-east", cases[i].key);
        with_certs(&(struct end){.cert = west}, &(struct end){.cert = east}, "signature_authentication = no",
                   i == 0);
        both_ways();
        assert_true(authenticated(&lab.west, "east.example", cases[i].with));
        assert_true(authenticated(&lab.east, "west.example", cases[i].with));
    }
}

static void test_rsa_with_sha1_and_eddsa_without_negotiation_are_refused_by_name(void **state)
{
    (void)state;
    needs_strongswan();
    with_certs(&(struct end){.cert = "p256-west"}, &(struct end){.cert = "rsa-east"},
               "signature_authentication = no", true);
    assert_false(initiate(&lab.west)); // its answer is method 1
    assert_true(logged(&lab.west, "rsa-sha1 is not allowed here for this RSA key"));
    assert_false(initiate(&lab.east));
    with_certs(&(struct end){.cert = "rsa-west"}, &(struct end){.cert = "p256-east"}, NULL, false);
    assert_false(initiate(&lab.west)); // ours would be
    assert_false(initiate(&lab.east));
    with_certs(&(struct end){.cert = "ed25519-west"}, &(struct end){.cert = "p256-east"}, NULL, false);
    assert_false(initiate(&lab.west));
    assert_true(logged(&lab.west, "sent no SIGNATURE_HASH_ALGORITHMS, which our key needs (RFC 8420)"));
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
}

static void test_chain_of_three_in_messages_of_1280_octets(void **state)
{
    char pcap[200];
    struct wire w = {0};
    (void)state;
    needs_strongswan();
    with_certs(&(struct end){.cert = "chain-west", .chain = "low mid"},
               &(struct end){.cert = "chain-east", .chain = "low mid"}, "fragment_size = 1280", true);
    start_capture(&lab, pcap, sizeof(pcap));
    both_ways();
    assert_true(capture_stop(&lab.west) && wire_check(pcap, &w));
    assert_true(logged(&lab.west, "received issuer cert \"C=CH, O=Lab, CN=low\""));
    assert_true(logged(&lab.east, "EF(2/"));
    print_message("  the largest IKE datagram: %llu octets\n", (unsigned long long)w.largest_ike);
    assert_in_range(w.largest_ike, 1000, 1280);
    assert_int_equal(w.plaintext + w.other, 0);
}

// A charon that knows where its certificates lie sends them whole, since we never say that we would look
// there (HTTP_CERT_LOOKUP_SUPPORTED); and its own question for that is not answered with a URL.
static void test_certificates_come_whole_from_a_peer_that_has_urls_for_them(void **state)
{
    char out[8192], path[200];
    (void)state;
    needs_strongswan();
    with_certs(&(struct end){.cert = "p256-west"}, &(struct end){.cert = "p256-east"}, "hash_and_url = yes",
               true);
    snprintf(path, sizeof(path), "%s/swanctl/swanctl.conf", lab.east.dir);
    MAKE("printf 'authorities {\\n  ca {\\n    cacert = ca.pem\\n    cert_uri_base = "
         "http://10.10.0.2:8080/\\n  }\\n}\\n' >>%s",
         path);
    assert_int_equal(swanctl(&lab.east, out, sizeof(out), "--load-all --noprompt"), 0);
    both_ways();
    assert_true(logged(&lab.east, "N(HTTP_CERT_LOOK)"));
    assert_true(authenticated(&lab.west, "east.example", "ECDSA_WITH_SHA256_DER"));
    assert_false(file_says(lab.west.dir, "daemon.log", "by hash and URL"));
}

static bool has_new_sa(void *ctx)
{
    char out[8192];
    return swanctl(&lab.west, out, sizeof(out), "--list-sas --raw") == 0 &&
           number_after(out, "uniqueid", 0) > *(uint64_t *)ctx && strstr(out, "INSTALLED");
}

static void test_reauthentication_proves_both_ends_by_certificates_again(void **state)
{
    char out[8192];
    struct site *first[] = {&lab.west, &lab.east};
    (void)state;
    needs_strongswan();
    with_certs(&(struct end){.cert = "p384-west"}, &(struct end){.cert = "ed25519-east"}, NULL, true);
    assert_true(initiate(&lab.west));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--list-sas --raw"), 0);
        uint64_t id = number_after(out, "uniqueid", 0);
        assert_true(id > 0);
        assert_int_equal(swanctl(first[i % 2], out, sizeof(out), "--rekey --ike site --reauth"), 0);
        assert_true(wait_for(has_new_sa, &id, PATIENCE_MS));
        assert_true(ping(&lab, &lab.west, &lab.east, 2) && ping(&lab, &lab.east, &lab.west, 2));
    }
    out[0] = 0;
    sh_read(out, sizeof(out),
            "grep -c \"authentication of 'east.example' with ED25519 successful\" %s/daemon.log",
            lab.west.dir);
    // strongSwan deletes before it makes, and what it deletes we make anew too: each of its two turns leaves
    // up to twice as many, and every one of them is proved anew: 1, 1, 2, 2 and 4 of them at most.
    assert_in_range(strtoul(out, NULL, 10), 5, 10);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_raw_public_keys_of_every_kind_in_both_roles),
        T(test_methods_of_rfc_4754_toward_a_peer_without_hash_negotiation),
        T(test_rsa_with_sha1_and_eddsa_without_negotiation_are_refused_by_name),
        T(test_chain_of_three_in_messages_of_1280_octets),
        T(test_certificates_come_whole_from_a_peer_that_has_urls_for_them),
        T(test_reauthentication_proves_both_ends_by_certificates_again),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("signatures with strongSwan", tests, make_files, drop_files);
}
