// SPDX-License-Identifier: Apache-2.0
// TLS of EAP-TLS: two ends in one process whose signatures are made outside of them, with every kind of key;
// against the openssl command's own handshake keys by version; and handshakes that are given up anywhere.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ctrl/ike/tls.h"
#include "tests/unit/pki_files.h"

static const char *const kinds[][2] = {{"rsa2048", "RSA -pkeyopt rsa_keygen_bits:2048"},
                                       {"p256", "EC -pkeyopt ec_paramgen_curve:P-256"},
                                       {"p384", "EC -pkeyopt ec_paramgen_curve:P-384"},
                                       {"p521", "EC -pkeyopt ec_paramgen_curve:P-521"},
                                       {"ed25519", "ED25519"},
                                       {"ed448", "ED448"}};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static int make_files(void **state)
{
    (void)state;
    pki_files_begin();
    for (unsigned i = 0; i < KINDS; i++) {
        pki_run("openssl genpkey -algorithm %s -outform DER -out %s.key", kinds[i][1], kinds[i][0]);
        pki_run(
            "openssl req -new -x509 -days 9 -key %s.key -keyform DER -subj /CN=%s -outform DER -out %s.der",
            kinds[i][0], kinds[i][0], kinds[i][0]);
    }
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

// As keys does it: the signature without the AlgorithmIdentifier of RFC 7427.
static struct slice sign_with(const char *name, struct tls *t, uint8_t *buf, size_t cap)
{
    struct slice der = file(name, "key");
    struct cr_key *key;
    struct esp_error err = {0};
    uint32_t scheme;
    size_t n;
    struct slice data = tls_to_sign(t, &scheme);
    struct cr_slice part = {data.p, data.len};
    assert_int_equal(cr_key_private(der.p, der.len, &key, &err), 0);
    if (cr_sign(key, scheme, CR_METHOD_SIGNATURE, &part, 1, buf, cap, &n, &err) != 0)
        fail_msg("%s: %s", name, err.text);
    cr_key_free(key);
    return slice_of(buf + 1 + buf[0], n - 1 - buf[0]);
}

struct ends {
    struct tls_room *room;
    struct tls *t[2]; // client, server
    const char *name[2];
    unsigned signs, most_signs;
};

static void open_ends(struct ends *e, const char *client, const char *server)
{
    struct esp_error err = {0};
    *e = (struct ends){.room = tls_room_new(), .name = {client, server}, .most_signs = 99};
    assert_non_null(e->room);
    for (int i = 0; i < 2; i++) {
        struct slice cert = file(e->name[i], "der");
        e->t[i] = tls_new(e->room, i, &cert, 1, &err);
        if (!e->t[i])
            fail_msg("%s: %s", e->name[i], err.text);
    }
}

static void close_ends(struct ends *e)
{
    tls_free(e->t[0]);
    tls_free(e->t[1]);
    tls_room_free(e->room);
}

// Until neither has anything to say. False: one failed, or waits for a signature that it does not get.
static bool shake(struct ends *e, unsigned steps)
{
    static uint8_t wire[65536], sig[CR_SIG_MAX];
    struct esp_error err = {0};
    enum tls_step last[2] = {TLS_WAITS, TLS_WAITS};
    size_t n = 0;
    for (unsigned k = 0; k < steps; k++) {
        int who = k % 2;
        last[who] = tls_step(e->t[who], slice_of(wire, n), &err);
        while (last[who] == TLS_SIGNS) {
            if (++e->signs > e->most_signs)
                return false;
            last[who] = tls_signed(e->t[who], sign_with(e->name[who], e->t[who], sig, sizeof(sig)), &err);
        }
        if (last[who] == TLS_FAILED) {
            print_message("%s: %s\n", e->name[who], err.text);
            return false;
        }
        n = tls_take(e->t[who], wire, sizeof(wire));
        if (!n && last[0] == TLS_DONE && last[1] == TLS_DONE)
            return true;
    }
    return false;
}

static void test_every_kind_of_key_signs_outside(void **state)
{
    (void)state;
    for (unsigned i = 0; i < KINDS; i++) {
        struct ends e;
        uint8_t a[TLS_MSK_LEN], b[TLS_MSK_LEN];
        struct slice certs[TLS_PEER_CERTS_MAX];
        open_ends(&e, kinds[i][0], kinds[(i + 1) % KINDS][0]);
        assert_true(shake(&e, 20));
        assert_int_equal(e.signs, 2);
        assert_string_equal(tls_version(e.t[0]), "TLSv1.3");
        assert_true(tls_msk(e.t[0], a) && tls_msk(e.t[1], b));
        assert_memory_equal(a, b, sizeof(a));
        for (int who = 0; who < 2; who++) {
            assert_int_equal(tls_peer_certs(e.t[who], certs), 1);
            assert_true(slice_eq(certs[0], file(e.name[1 - who], "der")));
        }
        assert_false(tls_heard_done(e.t[0]));
        assert_true(tls_say_done(e.t[1]));
        uint8_t wire[200];
        struct esp_error err = {0};
        assert_int_equal(tls_step(e.t[0], slice_of(wire, tls_take(e.t[1], wire, sizeof(wire))), &err),
                         TLS_DONE);
        assert_true(tls_heard_done(e.t[0]));
        close_ends(&e);
    }
}

static void test_wrong_key_signs_nothing_that_is_taken(void **state)
{
    (void)state;
    for (int who = 0; who < 2; who++) {
        struct ends e;
        open_ends(&e, "p256", "p256");
        pki_run(
            "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -outform DER -out wrong%d.key",
            who);
        e.name[who] = who ? "wrong1" : "wrong0";
        assert_false(shake(&e, 20));
        close_ends(&e);
    }
}

// Given up between any two steps, and while a signature is waited for.
static void test_handshake_may_end_anywhere(void **state)
{
    (void)state;
    for (unsigned steps = 0; steps < 6; steps++) {
        struct ends e;
        open_ends(&e, "p256", "rsa2048");
        (void)shake(&e, steps);
        close_ends(&e);
    }
    for (unsigned signs = 0; signs < 2; signs++) {
        struct ends e;
        open_ends(&e, "p256", "rsa2048");
        e.most_signs = signs;
        assert_false(shake(&e, 20));
        uint8_t msk[TLS_MSK_LEN];
        assert_false(tls_msk(e.t[1], msk));
        close_ends(&e);
    }
}

static void test_handshakes_at_once_are_bounded(void **state)
{
    struct tls *all[TLS_SESSIONS_MAX];
    struct tls_room *r = tls_room_new();
    struct slice cert = file("p256", "der");
    struct esp_error err = {0};
    (void)state;
    for (unsigned i = 0; i < TLS_SESSIONS_MAX; i++)
        assert_non_null(all[i] = tls_new(r, true, &cert, 1, &err));
    assert_null(tls_new(r, true, &cert, 1, &err));
    assert_non_null(strstr(err.text, "are under way"));
    tls_free(all[0]);
    assert_non_null(all[0] = tls_new(r, true, &cert, 1, &err));
    for (unsigned i = 0; i < TLS_SESSIONS_MAX; i++)
        tls_free(all[i]);
    tls_room_free(r);
}

static void test_octets_that_are_no_tls_fail(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 256; i++) {
        struct tls_room *r = i ? NULL : tls_room_new();
        struct ends e;
        struct esp_error err = {0};
        uint8_t junk[64];
        tls_room_free(r);
        if (i % 16)
            continue;
        open_ends(&e, "p256", "p256");
        memset(junk, (int)i, sizeof(junk));
        assert_int_equal(tls_step(e.t[1], slice_of(junk, sizeof(junk)), &err), TLS_FAILED);
        assert_non_null(strstr(err.text, "the handshake failed"));
        close_ends(&e);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_of_key_signs_outside),
        cmocka_unit_test(test_wrong_key_signs_nothing_that_is_taken),
        cmocka_unit_test(test_handshake_may_end_anywhere),
        cmocka_unit_test(test_handshakes_at_once_are_bounded),
        cmocka_unit_test(test_octets_that_are_no_tls_fail),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("TLS", tests, make_files, drop_files);
}
