// SPDX-License-Identifier: Apache-2.0
// Random chains of certificates, judged here and by the command `openssl verify` with the same trust, the
// same certificates in between and the same level of security: both have to say the same of every one. What
// is random: the length, basicConstraints, path lengths, keyUsage, name constraints (permitted and excluded
// DNS and IP), times, issuers' names, signatures that are not the issuer's, SHA-1, what is missing in
// between, the order in which it comes, and strangers among it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tests/unit/pki_rig.h"

enum { CHAINS = 240, DEEPEST = 5, KEYS = 8, LIFE_S = 86400 };

static uint64_t state_of = 0x5eed5eed1234567ull;
static EVP_PKEY *keys[KEYS];
static int64_t now;

static unsigned rnd(unsigned n) // xorshift
{
    state_of ^= state_of << 13;
    state_of ^= state_of >> 7;
    state_of ^= state_of << 17;
    return (unsigned)(state_of >> 20) % n;
}

struct cert {
    X509 *x;
    unsigned key;
    char name[24];
};

static void extend(X509 *x, X509 *issuer, const char *name, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf(NULL, &ctx, name, value);
    if (!e)
        fail_msg("extension %s = %s", name, value);
    assert_int_equal(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
}

static void set_name(X509_NAME *n, const char *cn)
{
    X509_NAME_add_entry_by_txt(n, "O", MBSTRING_ASC, (const unsigned char *)"Lab", -1, -1, 0);
    X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
}

// A flaw comes rarely enough that whole chains without one are as many as with one.
static bool rarely(void)
{
    return rnd(40) == 0;
}

static void add_constraints(X509 *x, X509 *issuer)
{
    static const char *const names[] = {"DNS:test", "DNS:lab.test", "DNS:a.lab.test", "DNS:other.test"};
    static const char *const nets[] = {"IP:10.0.0.0/255.0.0.0", "IP:10.1.0.0/255.255.0.0",
                                       "IP:192.0.2.0/255.255.255.0"};
    char text[300] = "critical";
    for (unsigned i = 0, n = 1 + rnd(3); i < n; i++) {
        size_t at = strlen(text);
        bool excluded = rnd(4) == 0;
        // what is permitted is wide most times, what is excluded is narrow, or nothing would be left
        if (rnd(3))
            snprintf(text + at, sizeof(text) - at, ",%s;%s", excluded ? "excluded" : "permitted",
                     names[excluded ? 1 + rnd(3) : rnd(5) / 2]);
        else
            snprintf(text + at, sizeof(text) - at, ",%s;%s", excluded ? "excluded" : "permitted",
                     nets[excluded ? 1 + rnd(2) : rnd(5) / 2]);
    }
    extend(x, issuer, "nameConstraints", text);
}

static void extend_ca(X509 *x, X509 *issuer)
{
    char text[60] = "critical,CA:TRUE";
    if (rnd(4) == 0)
        snprintf(text, sizeof(text), "critical,CA:TRUE,pathlen:%u", rnd(4));
    if (rarely())
        snprintf(text, sizeof(text), "CA:FALSE");
    if (!rarely())
        extend(x, issuer, "basicConstraints", text);
    extend(x, issuer, "keyUsage", rarely() ? "critical,digitalSignature" : "critical,keyCertSign,cRLSign");
    if (rnd(3) == 0)
        add_constraints(x, issuer);
}

static void extend_end(X509 *x, X509 *issuer)
{
    static const char *const names[] = {"DNS:a.lab.test", "DNS:b.lab.test,IP:10.1.2.3", "DNS:c.other.test",
                                        "DNS:a.lab.test,IP:192.0.2.7", "DNS:lab.test,IP:10.2.0.1"};
    extend(x, issuer, "basicConstraints", "CA:FALSE");
    extend(x, issuer, "keyUsage", "digitalSignature");
    extend(x, issuer, "subjectAltName", names[rnd(5)]);
}

static struct cert make(const char *name, const struct cert *issuer, bool ca)
{
    struct cert c = {.x = X509_new(), .key = rnd(KEYS)};
    int64_t from = now - LIFE_S, to = now + LIFE_S;
    bool root = !issuer;
    snprintf(c.name, sizeof(c.name), "%s", name);
    assert_non_null(c.x);
    X509_set_version(c.x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c.x), (long)rnd(1u << 30) + 1);
    set_name(X509_get_subject_name(c.x), name);
    if (!root && rarely())
        set_name(X509_get_issuer_name(c.x), "somebody");
    else
        X509_set_issuer_name(c.x, X509_get_subject_name(root ? c.x : issuer->x));
    if (!root && rarely())
        to = now - 3600;
    else if (!root && rarely())
        from = now + 3600;
    ASN1_TIME_set(X509_getm_notBefore(c.x), (time_t)from);
    ASN1_TIME_set(X509_getm_notAfter(c.x), (time_t)to);
    X509_set_pubkey(c.x, keys[c.key]);
    if (root) { // which the store takes as a CA
        extend(c.x, c.x, "basicConstraints", "critical,CA:TRUE");
        extend(c.x, c.x, "keyUsage", "critical,keyCertSign,cRLSign");
    } else if (ca) {
        extend_ca(c.x, issuer->x);
    } else {
        extend_end(c.x, issuer->x);
    }
    unsigned by = root ? c.key : issuer->key;
    if (!root && rarely())
        by = (by + 1) % KEYS;
    assert_true(X509_sign(c.x, keys[by], !root && rarely() ? EVP_sha1() : EVP_sha256()) > 0);
    return c;
}

static struct slice der_of(X509 *x, uint8_t *buf, size_t size)
{
    int len = i2d_X509(x, NULL);
    assert_true(len > 0 && (size_t)len <= size);
    i2d_X509(x, &buf);
    return slice_of(buf - len, (size_t)len);
}

static void write_pem(const char *name, struct cert *const *certs, size_t n)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/%s", pki_files_dir(), name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(PEM_write_X509(f, certs[i]->x), 1);
    fclose(f);
}

static enum pki_verdict ours(const struct cert *root, const struct cert *end, struct cert *const *between,
                             size_t n, struct esp_error *err)
{
    static uint8_t buf[DEEPEST + 4][2000];
    struct slice certs[DEEPEST + 3], ca = der_of(root->x, buf[0], sizeof(buf[0]));
    struct pki *p = pki_new();
    struct pki_check *c = NULL;
    size_t count = 0;
    if (pki_add(p, PKI_CA, ca.p, ca.len, err) < 0)
        fail_msg("%s", err->text);
    certs[count++] = der_of(end->x, buf[1], sizeof(buf[1]));
    for (size_t i = 0; i < n; i++)
        certs[count++] = der_of(between[i]->x, buf[i + 2], sizeof(buf[0]));
    const X509_NAME *subject = X509_get_subject_name(end->x);
    const unsigned char *dn;
    size_t dn_len;
    X509_NAME_get0_der((X509_NAME *)(uintptr_t)subject, &dn, &dn_len);
    const struct pki_rules rules = {.revocation = PKI_RELAXED};
    const struct pki_peer peer = {.certs = certs, .count = count, .id_type = 9, .id = slice_of(dn, dn_len)};
    enum pki_verdict v = pki_check_begin(p, &rules, &peer, now, &c, err);
    pki_check_free(c);
    pki_free(p);
    return v;
}

static bool verified(void)
{
    return pki_try("openssl verify -auth_level 2 -attime %lld -policy_check -partial_chain -verify_depth 8 "
                   "-no-CApath -no-CAstore -CAfile root.pem -untrusted between.pem end.pem >verdict 2>&1",
                   (long long)now);
}

// One chain: root, some in between, end; what the peer sends of it, and in which order.
static bool one(unsigned number, unsigned *valid)
{
    struct cert all[DEEPEST + 2], stranger, *between[DEEPEST + 1];
    unsigned depth = rnd(DEEPEST), n = 0;
    struct esp_error err = {0};
    all[0] = make("root", NULL, true);
    for (unsigned i = 1; i <= depth; i++) {
        char name[24];
        snprintf(name, sizeof(name), "ca %u", rnd(12) == 0 ? i - 1 : i); // two of one name at times
        all[i] = make(name, &all[i - 1], true);
    }
    all[depth + 1] = make("end", &all[depth], false);
    stranger = make(rnd(2) ? "ca 1" : "stranger", &all[0], true);
    for (unsigned i = 1; i <= depth; i++)
        if (!rarely())
            between[n++] = &all[i];
    if (rnd(3) == 0 || !n) // the command wants a file with something in it
        between[n++] = &stranger;
    for (unsigned i = 0; i + 1 < n; i++) { // in any order
        unsigned k = i + rnd(n - i);
        struct cert *t = between[i];
        between[i] = between[k];
        between[k] = t;
    }
    write_pem("root.pem", (struct cert *[]){&all[0]}, 1);
    write_pem("end.pem", (struct cert *[]){&all[depth + 1]}, 1);
    write_pem("between.pem", between, n);
    bool theirs = verified();
    bool good = ours(&all[0], &all[depth + 1], between, n, &err) == PKI_VALID;
    *valid += good;
    if (good && !theirs) {
        // Of two authorities of one name the command asks one alone; without the stranger it is the right
        // one.
        unsigned left = 0;
        for (unsigned i = 0; i < n; i++)
            if (between[i] != &stranger)
                between[left++] = between[i];
        if (left)
            write_pem("between.pem", between, left);
        theirs = left && verified();
    }
    if (good != theirs)
        print_error("chain %u of %u in between: we say %s (%s), openssl verify says %s\n", number, depth,
                    good ? "valid" : "refused", err.text,
                    theirs ? "valid" : (const char *)pki_read("verdict").p);
    for (unsigned i = 0; i <= depth + 1; i++)
        X509_free(all[i].x);
    X509_free(stranger.x);
    return good == theirs;
}

static void test_random_chains_are_judged_as_by_openssl_verify(void **state)
{
    unsigned valid = 0, differ = 0;
    (void)state;
    for (unsigned i = 0; i < CHAINS; i++)
        differ += !one(i, &valid);
    print_message("  %u chains: %u valid, %u refused, %u judged otherwise than by openssl verify\n", CHAINS,
                  valid, CHAINS - valid, differ);
    assert_int_equal(differ, 0);
    assert_in_range(valid, CHAINS / 4, CHAINS * 3 / 4);
}

static int begin(void **state)
{
    (void)state;
    pki_files_begin();
    now = rig_now();
    for (unsigned i = 0; i < KEYS; i++)
        keys[i] = EVP_EC_gen("P-256");
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < KEYS; i++)
        EVP_PKEY_free(keys[i]);
    pki_files_end();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_chains_are_judged_as_by_openssl_verify)};
    return cmocka_run_group_tests(tests, begin, end);
}
