// SPDX-License-Identifier: Apache-2.0
// Signatures of the AUTH payload held against what others published or made: RFC 4754 section 8, RFC 8032,
// the AlgorithmIdentifiers of RFC 7427 appendix A, Project Wycheproof's right and wrong signatures, and keys
// in every form that the openssl command writes.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <jansson.h>
#include <cmocka.h>

#include "ctrl/crypto/signature.h"
#include "tests/unit/pki_files.h"

static const struct {
    const char *scheme, *algorithm; // RFC 7427 appendix A and RFC 8420 appendix A, from the SEQUENCE on
} algorithms[] = {
    {"rsa-sha1", "300d06092a864886f70d0101050500"},
    {"rsa-sha256", "300d06092a864886f70d01010b0500"},
    {"rsa-sha384", "300d06092a864886f70d01010c0500"},
    {"rsa-sha512", "300d06092a864886f70d01010d0500"},
    {"rsa/pss-sha256",
     "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d01010"
     "8300d06096086480165030402010500a203020120"},
    {"rsa/pss-sha384",
     "304106092a864886f70d01010a3034a00f300d06096086480165030402020500a11c301a06092a864886f70d01010"
     "8300d06096086480165030402020500a203020130"},
    {"rsa/pss-sha512",
     "304106092a864886f70d01010a3034a00f300d06096086480165030402030500a11c301a06092a864886f70d01010"
     "8300d06096086480165030402030500a203020140"},
    {"ecdsa-sha256", "300a06082a8648ce3d040302"},
    {"ecdsa-sha384", "300a06082a8648ce3d040303"},
    {"ecdsa-sha512", "300a06082a8648ce3d040304"},
    {"ed25519", "300506032b6570"},
    {"ed448", "300506032b6571"},
};

static uint32_t bit_of(const char *name)
{
    for (unsigned i = 0; i < CR_SCHEME_COUNT; i++)
        if (strcmp(cr_scheme((enum cr_scheme_index)i)->name, name) == 0)
            return 1u << i;
    fail_msg("no scheme %s", name);
    return 0;
}

// The AUTH value of method 14: length, AlgorithmIdentifier, signature.
static size_t auth_value(uint8_t *out, size_t cap, const char *scheme, const uint8_t *sig, size_t sig_len)
{
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
        if (strcmp(algorithms[i].scheme, scheme) != 0)
            continue;
        size_t n = unhex(out + 1, cap - 1, algorithms[i].algorithm);
        out[0] = (uint8_t)n;
        assert_true(1 + n + sig_len <= cap);
        if (sig_len)
            memcpy(out + 1 + n, sig, sig_len);
        return 1 + n + sig_len;
    }
    fail_msg("no AlgorithmIdentifier for %s", scheme);
    return 0;
}

static struct cr_key *public_of_hex(const char *hex)
{
    uint8_t der[2048];
    struct esp_error err = {0};
    struct cr_key *k;
    size_t n = unhex(der, sizeof(der), hex);
    if (cr_key_public(der, n, &k, &err))
        fail_msg("%s: %s", err.field, err.text);
    return k;
}

// ---- published values

static void test_ecdsa_rfc_4754_signature_is_taken(void **state)
{
    // RFC 4754 8.1 and 8.2: SHA-2 of "abc"
    static const struct {
        uint8_t method;
        const char *spki, *sig;
    } v[] = {
        {CR_METHOD_ECDSA_256,
         "3059301306072a8648ce3d020106082a8648ce3d03010703420004"
         "2442A5CC0ECD015FA3CA31DC8E2BBC70BF42D60CBCA20085E0822CB04235E970"
         "6FC98BD7E50211A4A27102FA3549DF79EBCB4BF246B80945CDDFE7D509BBFD7D",
         "CB28E0999B9C7715FD0A80D8E47A77079716CBBF917DD72E97566EA1C066957C"
         "86FA3BB4E26CAD5BF90B7F81899256CE7594BB1EA0C89212748BFF3B3D5B0315"},
        {CR_METHOD_ECDSA_384,
         "3076301006072a8648ce3d020106052b81040022036200"
         "04"
         "96281BF8DD5E0525CA049C048D345D3082968D10FEDF5C5ACA0C64E6465A97EA5CE10C9DFEC21797415710721F437922"
         "447688BA94708EB6E2E4D59F6AB6D7EDFF9301D249FE49C33096655F5D502FAD3D383B91C5E7EDAA2B714CC99D5743CA",
         "FB017B914E29149432D8BAC29A514640B46F53DDAB2C69948084E2930F1C8F7E08E07C9C63F2D21A07DCB56A6AF56EB3"
         "B263A1305E057F984D38726A1B46874109F417BCA112674C528262A40A629AF1CBB9F516CE0FA7D2FF630863A00E8B9F"},
    };
    const struct cr_slice abc = {"abc", 3};
    (void)state;
    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        struct cr_key *k = public_of_hex(v[i].spki);
        uint8_t sig[144];
        size_t n = unhex(sig, sizeof(sig), v[i].sig);
        struct esp_error err = {0};
        int rc = cr_verify(k, cr_schemes_default(), v[i].method, sig, n, &abc, 1, &err);
        if (rc)
            fail_msg("method %u: %s", v[i].method, err.text);
        sig[n - 1] ^= 1;
        assert_int_equal(cr_verify(k, cr_schemes_default(), v[i].method, sig, n, &abc, 1, &err), -EBADMSG);
        cr_key_free(k);
    }
}

static void test_eddsa_signs_as_rfc_8032_and_8420(void **state)
{
    static const struct {
        const char *pkcs8, *scheme, *msg, *sig;
    } v[] = {
        // RFC 8032 7.1 TEST 2
        {"302e020100300506032b657004220420"
         "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
         "ed25519", "72",
         "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
         "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
        // RFC 8032 7.4, 1 octet
        {"3047020100300506032b6571043b0439"
         "c4eab05d357007c632f3dbb48489924d552b08fe0c353a0d4a1f00acda2c463afbea67c5e8d2877c5e3bc397a659949e"
         "f8021e954e0a12274e",
         "ed448", "03",
         "26b8f91727bd62897af15e41eb43c377efb9c610d48f2335cb0bd0087810f4352541b143c4b981b7e18f62de8ccdf633"
         "fc1bf037ab7cd779805e0dbcc0aae1cbcee1afb2e027df36bc04dcecbf154336c19f0af7e0a6472905e799f1953d2a0f"
         "f3348ab21aa4adafd1d234441cf807c03a00"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        uint8_t der[128], msg[4], sig[128], want[160], got[CR_SIG_MAX];
        struct cr_key *k;
        size_t len, n = unhex(der, sizeof(der), v[i].pkcs8);
        assert_int_equal(cr_key_private(der, n, &k, NULL), 0);
        // in two parts, the first empty: the pieces are joined
        const struct cr_slice parts[] = {{NULL, 0}, {msg, unhex(msg, sizeof(msg), v[i].msg)}};
        size_t want_len = auth_value(want, sizeof(want), v[i].scheme, sig, unhex(sig, sizeof(sig), v[i].sig));
        assert_int_equal(
            cr_sign(k, cr_schemes_default(), CR_METHOD_SIGNATURE, parts, 2, got, sizeof(got), &len, NULL), 0);
        assert_int_equal(len, want_len);
        assert_memory_equal(got, want, len);
        cr_key_free(k);
    }
}

static void check_wycheproof(json_t *group, json_t *test)
{
    static uint8_t msg[4096], sig[2048], auth[4096];
    const char *scheme = json_string_value(json_object_get(group, "scheme"));
    uint8_t method = (uint8_t)json_integer_value(json_object_get(group, "method"));
    bool valid = strcmp(json_string_value(json_object_get(test, "result")), "valid") == 0;
    struct cr_key *k = public_of_hex(json_string_value(json_object_get(group, "publicKeyDer")));
    size_t msg_len = unhex(msg, sizeof(msg), json_string_value(json_object_get(test, "msg")));
    size_t len = unhex(sig, sizeof(sig), json_string_value(json_object_get(test, "sig")));
    const uint8_t *value = sig;
    const struct cr_slice parts[] = {{msg, msg_len / 2}, {msg + msg_len / 2, msg_len - msg_len / 2}};
    if (method == CR_METHOD_SIGNATURE) {
        len = auth_value(auth, sizeof(auth), scheme, sig, len);
        value = auth;
    }
    int rc = cr_verify(k, bit_of(scheme), method, value, len, parts, 2, NULL);
    if (rc != (valid ? 0 : -EBADMSG))
        fail_msg("%s tcId %lld (%s): got %d, expected it to be %s",
                 json_string_value(json_object_get(group, "file")),
                 (long long)json_integer_value(json_object_get(test, "tcId")),
                 json_string_value(json_object_get(test, "comment")), rc, valid ? "valid" : "refused");
    cr_key_free(k);
}

static void test_signatures_of_wycheproof_are_judged_as_published(void **state)
{
    json_t *root = json_load_file("tests/vectors/wycheproof/signatures.json", 0, NULL);
    json_t *group, *test;
    size_t i, j, n = 0;
    (void)state;
    assert_non_null(root);
    json_array_foreach(json_object_get(root, "testGroups"), i, group)
        json_array_foreach(json_object_get(group, "tests"), j, test)
    {
        check_wycheproof(group, test);
        n++;
    }
    assert_true(n > 200);
    json_decref(root);
}

// ---- which scheme

static void make_keys(void)
{
    pki_run("openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem 2>/dev/null || "
            "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem");
    pki_run("for c in P-256 P-384 P-521; do openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:$c -out "
            "$c.pem; done");
    pki_run("for a in ed25519 ed448; do openssl genpkey -algorithm $a -out $a.pem; done");
    pki_run("for k in rsa P-256 P-384 P-521 ed25519 ed448; do openssl pkey -in $k.pem -pubout -outform DER "
            "-out $k.pub && "
            "openssl pkcs8 -topk8 -nocrypt -in $k.pem -outform DER -out $k.key; done");
}

static struct cr_key *key(const char *name, bool private)
{
    char file[32];
    struct esp_error err = {0};
    struct cr_key *k;
    snprintf(file, sizeof(file), "%s.%s", name, private ? "key" : "pub");
    struct slice der = pki_read(file);
    if (private ? cr_key_private(der.p, der.len, &k, &err) : cr_key_public(der.p, der.len, &k, &err))
        fail_msg("%s: %s", file, err.text);
    return k;
}

static const char *const key_names[] = {"rsa", "P-256", "P-384", "P-521", "ed25519", "ed448"};
enum { KEYS = sizeof(key_names) / sizeof(key_names[0]) };

static void test_each_key_signs_by_each_scheme_and_method_what_its_public_half_takes(void **state)
{
    const struct cr_slice parts[] = {{"real message", 12}, {"nonce", 5}, {"prf", 3}};
    const struct cr_slice other[] = {{"real messagf", 12}, {"nonce", 5}, {"prf", 3}};
    static const uint8_t methods[] = {1, 9, 10, 11, 14};
    unsigned signed_count = 0;
    (void)state;
    for (int i = 0; i < KEYS; i++) {
        struct cr_key *priv = key(key_names[i], true), *pub = key(key_names[i], false);
        for (unsigned s = 0; s < CR_SCHEME_COUNT; s++) {
            for (size_t m = 0; m < sizeof(methods); m++) {
                uint8_t sig[CR_SIG_MAX];
                size_t len;
                if (cr_sign(priv, 1u << s, methods[m], parts, 3, sig, sizeof(sig), &len, NULL))
                    continue;
                signed_count++;
                assert_int_equal(cr_verify(pub, 1u << s, methods[m], sig, len, parts, 3, NULL), 0);
                assert_int_equal(cr_verify(pub, 1u << s, methods[m], sig, len, other, 3, NULL), -EBADMSG);
                assert_int_equal(cr_verify(pub, ~(1u << s), methods[m], sig, len, parts, 3, NULL), -EACCES);
                for (size_t cut = 0; cut < len; cut++) // every beginning of it
                    assert_true(cr_verify(pub, ~0u, methods[m], sig, cut, parts, 3, NULL) < 0);
                if (methods[m] == CR_METHOD_SIGNATURE) {
                    uint8_t want[160];
                    size_t n =
                        auth_value(want, sizeof(want), cr_scheme((enum cr_scheme_index)s)->name, NULL, 0);
                    assert_memory_equal(sig, want, n);
                }
            }
        }
        cr_key_free(priv);
        cr_key_free(pub);
    }
    // RSA: 7 by method 14 and SHA-1 by method 1; ECDSA: 3 hashes each, and one by its own method; EdDSA: one
    // each
    assert_int_equal(signed_count, 8 + 3 * 4 + 2);
}

static void chosen(const char *name, const char *allowed, const char *want)
{
    struct cr_key *k = key(name, true);
    enum cr_scheme_index got = CR_SCHEME_COUNT;
    uint32_t set = 0;
    char list[200], *save = NULL;
    snprintf(list, sizeof(list), "%s", allowed);
    for (char *s = strtok_r(list, " ", &save); s; s = strtok_r(NULL, " ", &save))
        set |= bit_of(s);
    int rc = cr_scheme_choose(k, strcmp(allowed, "default") == 0 ? cr_schemes_default() : set, &got);
    if (!want)
        assert_int_equal(rc, -EACCES);
    else
        assert_string_equal(cr_scheme(got)->name, want);
    cr_key_free(k);
}

static void test_scheme_is_as_strong_as_the_key(void **state)
{
    (void)state;
    chosen("rsa", "rsa-sha512 rsa-sha384", "rsa-sha384");
    chosen("rsa", "rsa-sha256 rsa/pss-sha256 rsa/pss-sha512", "rsa/pss-sha256");
    chosen("rsa", "rsa-sha1", "rsa-sha1");
    chosen("rsa", "ecdsa-sha256", NULL);
    chosen("P-384", "ecdsa-sha256 ecdsa-sha512", "ecdsa-sha512");
    chosen("P-521", "ecdsa-sha256 ecdsa-sha384", "ecdsa-sha384");
    chosen("P-256", "ecdsa-sha512 ecdsa-sha256", "ecdsa-sha256");
    chosen("ed448", "ed25519 ed448", "ed448");
}

static void test_sha1_is_never_a_default(void **state)
{
    static const uint16_t old[] = {CR_HASH_SHA1}, now[] = {CR_HASH_SHA256, CR_HASH_IDENTITY, 77};
    (void)state;
    assert_int_equal(cr_schemes_default() & CR_SCHEME_RSA_SHA1, 0);
    assert_int_equal(cr_schemes_with_hashes(old, 1), CR_SCHEME_RSA_SHA1);
    assert_int_equal(cr_schemes_with_hashes(now, 3), CR_SCHEME_RSA_SHA256 | CR_SCHEME_RSA_PSS_SHA256 |
                                                         CR_SCHEME_ECDSA_SHA256 | CR_SCHEME_ED25519 |
                                                         CR_SCHEME_ED448);
    struct cr_key *k = key("rsa", true);
    struct esp_error err = {0};
    uint8_t sig[CR_SIG_MAX];
    size_t len;
    const struct cr_slice part = {"x", 1};
    assert_int_equal(cr_sign(k, cr_schemes_default(), CR_METHOD_RSA, &part, 1, sig, sizeof(sig), &len, &err),
                     -EACCES);
    assert_non_null(strstr(err.text, "rsa-sha1"));
    cr_key_free(k);
}

static void test_method_follows_the_key_and_what_the_peer_knows(void **state)
{
    static const uint8_t without[KEYS] = {1, 9, 10, 11, 0, 0};
    (void)state;
    for (int i = 0; i < KEYS; i++) {
        struct cr_key *k = key(key_names[i], false);
        assert_int_equal(cr_method_for(k, true), CR_METHOD_SIGNATURE);
        assert_int_equal(cr_method_for(k, false), without[i]);
        cr_key_free(k);
    }
}

static void refused_auth(const char *what, const char *name, const char *hex_head, int want, const char *says)
{
    struct cr_key *k = key(name, false);
    struct esp_error err = {0};
    uint8_t auth[512] = {0};
    const struct cr_slice part = {"x", 1};
    size_t n = unhex(auth, 256, hex_head);
    int rc = cr_verify(k, ~0u, CR_METHOD_SIGNATURE, auth, n + 64, &part, 1, &err);
    if (rc != want || !strstr(err.text, says))
        fail_msg("%s: got %d \"%s\", expected %d with \"%s\"", what, rc, err.text, want, says);
    cr_key_free(k);
}

static void test_verify_of_an_algorithm_that_is_not_taken_names_it(void **state)
{
    (void)state;
    refused_auth("DSA", "rsa", "0d300b0609608648016503040302", -EACCES, "dsa_with_SHA256");
    refused_auth("MD5", "rsa", "0f300d06092a864886f70d0101040500", -EACCES, "md5WithRSAEncryption");
    refused_auth("SHA-224", "P-256", "0c300a06082a8648ce3d040301", -EACCES, "ecdsa-with-SHA224");
    refused_auth("ECDSA by an RSA key", "rsa", "0c300a06082a8648ce3d040302", -EBADMSG,
                 "the peer signed with ecdsa-sha256, its key is RSA");
    refused_auth("PSS of SHA-1 (no parameters)", "rsa", "0f300d06092a864886f70d01010a3000", -EACCES,
                 "rsassaPss");
    refused_auth("PSS, mask of another hash", "rsa",
                 "43304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d0"
                 "10108300d06"
                 "096086480165030402020500a203020120",
                 -EACCES, "unusual");
    refused_auth("PSS, trailer 2", "rsa",
                 "48304606092a864886f70d01010a3039a00f300d06096086480165030402010500a11c301a06092a864886f70d0"
                 "10108300d06"
                 "096086480165030402010500a203020120a303020102",
                 -EACCES, "unusual");
    refused_auth("PSS, a salt longer than the key", "rsa",
                 "44304206092a864886f70d01010a3035a00f300d06096086480165030402010500a11c301a06092a864886f70d0"
                 "10108300d06"
                 "096086480165030402010500a20402020400",
                 -EBADMSG, "not this key's");
    refused_auth("no AlgorithmIdentifier", "rsa", "00", -EACCES, "unreadable");
    refused_auth("one that goes on", "P-256", "0d300a06082a8648ce3d04030200", -EACCES, "which is not taken");
    refused_auth("one that is longer than the payload", "P-256", "ff300a06082a8648ce3d040302", -EBADMSG,
                 "no AlgorithmIdentifier");
}

static void test_rsa_algorithm_without_parameters_is_taken(void **state)
{
    // RFC 4055 5: NULL is sent, absent is taken as well
    struct cr_key *priv = key("rsa", true), *pub = key("rsa", false);
    const struct cr_slice part = {"x", 1};
    uint8_t sig[CR_SIG_MAX], auth[CR_SIG_MAX];
    size_t len, head;
    (void)state;
    assert_int_equal(cr_sign(priv, CR_SCHEME_RSA_SHA256, 14, &part, 1, sig, sizeof(sig), &len, NULL), 0);
    head = unhex(auth, sizeof(auth), "0d300b06092a864886f70d01010b");
    memcpy(auth + head, sig + 16, len - 16);
    assert_int_equal(cr_verify(pub, CR_SCHEME_RSA_SHA256, 14, auth, head + len - 16, &part, 1, NULL), 0);
    cr_key_free(priv);
    cr_key_free(pub);
}

// ---- keys

static void test_key_in_every_form_of_openssl_is_the_same_key(void **state)
{
    static const char *const forms[] = {"rsa.key", "rsa.pkcs1", "P-384.key", "P-384.sec1"};
    uint8_t id[4][20], info[20], want[20];
    (void)state;
    pki_run("openssl pkey -in rsa.pem -traditional -outform DER -out rsa.pkcs1 && "
            "openssl pkey -in P-384.pem -traditional -outform DER -out P-384.sec1");
    for (int i = 0; i < 4; i++) {
        struct slice der = pki_read(forms[i]);
        struct cr_key *k;
        assert_int_equal(cr_key_private(der.p, der.len, &k, NULL), 0);
        cr_key_id(k, id[i]);
        cr_key_free(k);
    }
    assert_memory_equal(id[0], id[1], 20);
    assert_memory_equal(id[2], id[3], 20);
    struct cr_key *pub = key("rsa", false);
    cr_key_id(pub, want);
    assert_memory_equal(id[0], want, 20);
    pki_run("openssl dgst -sha1 -binary rsa.pub >rsa.sha1");
    cr_key_info_id(pub, info);
    assert_memory_equal(info, pki_read("rsa.sha1").p, 20);
    cr_key_free(pub);
}

static void test_key_id_is_the_subject_key_identifier_of_openssl_and_the_keyid_of_pki(void **state)
{
    uint8_t id[20];
    char hex[64] = "";
    (void)state;
    for (int i = 0; i < KEYS; i++) {
        struct cr_key *k = key(key_names[i], false);
        cr_key_id(k, id);
        for (int o = 0; o < 20; o++)
            snprintf(hex + 2 * o, sizeof(hex) - 2 * (size_t)o, "%02x", id[o]);
        if (pki_try("command -v pki"))
            pki_run("pki --keyid --type pub --in %s.pub --id spk >id.txt; tr -d : <id.txt | grep -qi %s",
                    key_names[i], hex);
        pki_run("openssl req -x509 -key %s.pem -subj /CN=x -out x.pem && "
                "openssl x509 -in x.pem -noout -ext subjectKeyIdentifier | tr -d ': ' | grep -qi %s",
                key_names[i], hex);
        cr_key_free(k);
    }
}

static void refused_private(const char *file, const char *says)
{
    struct slice der = pki_read(file);
    struct esp_error err = {0};
    struct cr_key *k = (void *)1;
    int rc = cr_key_private(der.p, der.len, &k, &err);
    if (rc >= 0 || k || !strstr(err.text, says))
        fail_msg("%s: got %d \"%s\", expected a refusal with \"%s\"", file, rc, err.text, says);
}

static void refused_public(const char *file, const char *says)
{
    struct slice der = pki_read(file);
    struct esp_error err = {0};
    struct cr_key *k = (void *)1;
    int rc = cr_key_public(der.p, der.len, &k, &err);
    if (rc >= 0 || k || !strstr(err.text, says))
        fail_msg("%s: got %d \"%s\", expected a refusal with \"%s\"", file, rc, err.text, says);
}

static void test_key_that_is_not_taken_is_refused_by_its_name(void **state)
{
    (void)state;
    pki_run("openssl pkcs8 -topk8 -in rsa.pem -passout pass:x -outform DER -out encrypted.key");
    pki_run("openssl req -x509 -key rsa.pem -subj /CN=x -outform DER -out cert.der");
    pki_run("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -outform DER -out rsa1024.key && "
            "openssl pkey -inform DER -in rsa1024.key -pubout -outform DER -out rsa1024.pub");
    pki_run("openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -outform DER -out pss.key && "
            "openssl pkey -inform DER -in pss.key -pubout -outform DER -out pss.pub");
    pki_run("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1 -outform DER -out k1.key && "
            "openssl pkey -inform DER -in k1.key -pubout -outform DER -out k1.pub");
    pki_run(
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit "
        "-outform DER -out explicit.key && openssl pkey -inform DER -in explicit.key -pubout -outform DER "
        "-out explicit.pub");
    pki_run("openssl genpkey -algorithm X25519 -outform DER -out x25519.key && "
            "openssl pkey -inform DER -in x25519.key -pubout -outform DER -out x25519.pub");
    pki_run("openssl genpkey -genparam -algorithm DSA -out dsa.par -pkeyopt dsa_paramgen_bits:1024 && "
            "openssl genpkey -paramfile dsa.par -outform DER -out dsa.key && "
            "openssl pkey -inform DER -in dsa.key -pubout -outform DER -out dsa.pub");
    pki_run("cat rsa.key rsa.key >twice.key; cat rsa.pub rsa.pub >twice.pub; : >empty; head -c 20000 "
            "/dev/zero >zeros");
    refused_private("encrypted.key", "an encrypted PKCS#8 key");
    refused_private("rsa.pub", "a public key");
    refused_private("cert.der", "a certificate");
    refused_private("rsa.pem", "not a DER private key");
    refused_private("rsa1024.key", "RSA of 1024 bits: 2048 to 8192 are taken");
    refused_private("pss.key", "id-RSASSA-PSS");
    refused_private("k1.key", "secp256k1");
    refused_private("x25519.key", "X25519");
    refused_private("dsa.key", "DSA");
    refused_private("twice.key", "not a DER private key");
    refused_private("empty", "not a DER private key");
    refused_private("zeros", "not a DER private key");
    refused_public("rsa1024.pub", "RSA of 1024 bits: 2048 to 8192 are taken");
    refused_public("pss.pub", "id-RSASSA-PSS");
    refused_public("k1.pub", "secp256k1");
    refused_public("explicit.pub", "of its own parameters");
    refused_public("x25519.pub", "X25519");
    refused_public("dsa.pub", "dsaEncryption");
    refused_public("rsa.key", "not a DER SubjectPublicKeyInfo");
    refused_public("twice.pub", "not a DER SubjectPublicKeyInfo");
    refused_public("empty", "not a DER SubjectPublicKeyInfo");
    refused_public("zeros", "not a DER SubjectPublicKeyInfo");
}

static void test_key_cut_anywhere_is_refused(void **state)
{
    (void)state;
    for (int i = 0; i < KEYS; i++) {
        char file[32];
        snprintf(file, sizeof(file), "%s.key", key_names[i]);
        struct slice priv = pki_read(file);
        snprintf(file, sizeof(file), "%s.pub", key_names[i]);
        struct slice pub = pki_read(file);
        struct cr_key *k;
        for (size_t n = 0; n < priv.len; n++)
            assert_true(cr_key_private(priv.p, n, &k, NULL) < 0);
        for (size_t n = 0; n < pub.len; n++)
            assert_true(cr_key_public(pub.p, n, &k, NULL) < 0);
    }
}

static void test_private_key_whose_halves_do_not_fit_is_refused(void **state)
{
    struct slice der = pki_read("P-256.key");
    struct esp_error err = {0};
    struct cr_key *k;
    uint8_t copy[512];
    (void)state;
    // Another key's public half: the last 64 octets of PKCS#8 are the point's coordinates.
    pki_run("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 | openssl pkcs8 -topk8 -nocrypt "
            "-outform DER -out other.key");
    struct slice other = pki_read("other.key");
    assert_int_equal(der.len, other.len);
    memcpy(copy, der.p, der.len);
    memcpy(copy + der.len - 64, other.p + other.len - 64, 64);
    assert_int_equal(cr_key_private(copy, der.len, &k, &err), -EINVAL);
    assert_non_null(strstr(err.text, "does not fit its public half"));
}

static void test_public_key_does_not_sign(void **state)
{
    struct cr_key *k = key("ed25519", false);
    const struct cr_slice part = {"x", 1};
    uint8_t sig[CR_SIG_MAX];
    size_t len;
    (void)state;
    assert_int_equal(cr_sign(k, ~0u, 14, &part, 1, sig, sizeof(sig), &len, NULL), -EINVAL);
    cr_key_free(k);
}

static void test_spki_comes_back_as_it_was(void **state)
{
    (void)state;
    for (int i = 0; i < KEYS; i++) {
        char file[32];
        uint8_t out[1024];
        size_t len;
        struct cr_key *priv = key(key_names[i], true);
        snprintf(file, sizeof(file), "%s.pub", key_names[i]);
        struct slice want = pki_read(file);
        assert_int_equal(cr_key_spki(priv, out, sizeof(out), &len), 0);
        assert_int_equal(len, want.len);
        assert_memory_equal(out, want.p, len);
        assert_int_equal(cr_key_spki(priv, out, len - 1, &len), -ENOSPC);
        cr_key_free(priv);
    }
}

static int begin(void **state)
{
    (void)state;
    pki_files_begin();
    make_keys();
    return 0;
}

static int end(void **state)
{
    (void)state;
    pki_files_end();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ecdsa_rfc_4754_signature_is_taken),
        cmocka_unit_test(test_eddsa_signs_as_rfc_8032_and_8420),
        cmocka_unit_test(test_signatures_of_wycheproof_are_judged_as_published),
        cmocka_unit_test(test_each_key_signs_by_each_scheme_and_method_what_its_public_half_takes),
        cmocka_unit_test(test_scheme_is_as_strong_as_the_key),
        cmocka_unit_test(test_sha1_is_never_a_default),
        cmocka_unit_test(test_method_follows_the_key_and_what_the_peer_knows),
        cmocka_unit_test(test_verify_of_an_algorithm_that_is_not_taken_names_it),
        cmocka_unit_test(test_rsa_algorithm_without_parameters_is_taken),
        cmocka_unit_test(test_key_in_every_form_of_openssl_is_the_same_key),
        cmocka_unit_test(test_key_id_is_the_subject_key_identifier_of_openssl_and_the_keyid_of_pki),
        cmocka_unit_test(test_key_that_is_not_taken_is_refused_by_its_name),
        cmocka_unit_test(test_key_cut_anywhere_is_refused),
        cmocka_unit_test(test_private_key_whose_halves_do_not_fit_is_refused),
        cmocka_unit_test(test_public_key_does_not_sign),
        cmocka_unit_test(test_spki_comes_back_as_it_was),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
