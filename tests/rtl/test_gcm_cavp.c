// SPDX-License-Identifier: Apache-2.0
// The AES-GCM core against NIST's CAVP vectors with a 96-bit IV and at most one block of additional data,
// both directions at once: the excerpt in tests/vectors, and the whole files of Debian's
// python3-cryptography-vectors where they are installed. The number that passed is checked.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "tests/rtl/gcm_bench.h"

#define EXCERPT "tests/vectors/cavp"
static const char *const packaged[] = {
    // Debian 12's and 13's
    "/usr/lib/python3/dist-packages/cryptography_vectors/ciphers/AES/GCM",
    "/usr/lib/python3/dist-packages/cryptography_vectors/vectors/ciphers/AES/GCM",
};

struct vector {
    uint8_t key[32], tag[16];
    unsigned ivlen, aadlen, taglen, ptlen;
    struct gcm_packet p;
    bool fails;
};

static unsigned hex(const char *s, uint8_t *out, size_t max)
{
    unsigned n = 0, v;
    while (n < max && sscanf(s + 2 * n, "%2x", &v) == 1)
        out[n++] = (uint8_t)v;
    return n;
}

// fills `v` from the next vector of the file; false at its end
static bool next_vector(FILE *f, struct vector *v)
{
    char line[4096];
    bool open = false;
    uint8_t skip[64];
    while (fgets(line, sizeof(line), f) != NULL) {
        char *value = strstr(line, "= ");
        if (sscanf(line, "[IVlen = %u", &v->ivlen) == 1 || sscanf(line, "[AADlen = %u", &v->aadlen) == 1 ||
            sscanf(line, "[Taglen = %u", &v->taglen) == 1 || sscanf(line, "[PTlen = %u", &v->ptlen) == 1)
            continue;
        if (strncmp(line, "Count", 5) == 0) {
            open = true;
            v->fails = false;
            memset(&v->p, 0, sizeof(v->p));
            memset(v->key, 0, sizeof(v->key));
        } else if (strncmp(line, "FAIL", 4) == 0) {
            v->fails = true;
        } else if (value != NULL && open) {
            value += 2;
            if (strncmp(line, "Key ", 4) == 0)
                hex(value, v->key, 32);
            else if (strncmp(line, "IV ", 3) == 0)
                hex(value, v->ivlen == 96 ? v->p.nonce : skip, v->ivlen == 96 ? 12 : 1);
            else if (strncmp(line, "AAD ", 4) == 0)
                hex(value, v->p.aad, 16);
            else if (strncmp(line, "PT ", 3) == 0)
                hex(value, v->p.plain, MAX_BYTES);
            else if (strncmp(line, "CT ", 3) == 0)
                hex(value, v->p.cipher, MAX_BYTES);
            else if (strncmp(line, "Tag ", 4) == 0)
                hex(value, v->tag, 16);
        } else if (open && (line[0] == '\n' || line[0] == '\r')) {
            return true;
        }
    }
    return open;
}

// one vector through both cores; the tag is compared over its stated length
static void run_vector(struct gcm_bench *b, struct vector *v, bool is256, uint32_t sa, const char *where)
{
    uint8_t got[16];
    struct gcm_packet want = v->p;

    memcpy(b->key[sa], v->key, 32);
    b->key_256[sa] = is256;
    gcm_add_key(b, sa);
    want.sa = v->p.sa = sa;
    want.len = v->p.len = v->ptlen / 8;
    want.aad_len = v->p.aad_len = v->aadlen / 8;
    if (v->fails) {
        // the file has no plaintext: OpenSSL's unauthenticated one stands in, and the tag must be another
        EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
        int n;
        EVP_DecryptInit_ex(c, is256 ? EVP_aes_256_gcm() : EVP_aes_128_gcm(), NULL, v->key, v->p.nonce);
        EVP_DecryptUpdate(c, want.plain, &n, v->p.cipher, (int)want.len);
        EVP_CIPHER_CTX_free(c);
    }
    gcm_openssl_seal(b, &want);
    memcpy(got, want.tag, 16);
    // NIST's own words decide: OpenSSL only extends the tag to 16 bytes
    if (memcmp(want.cipher, v->p.cipher, want.len) != 0)
        fail_msg("%s: OpenSSL and the file disagree", where);
    if ((memcmp(got, v->tag, v->taglen / 8) == 0) == v->fails)
        fail_msg("%s: tag %s", where, v->fails ? "right, the file says FAIL" : "differs from the file");
    gcm_expect(b, &want);
    gcm_send_packet(b, &want, 0, 0);
    gcm_drain(b, 1);
}

static unsigned run_file(struct gcm_bench *b, const char *dir, const char *name, bool is256)
{
    char path[256], where[600];
    struct vector v = {0};
    unsigned n = 0;
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "r");
    if (f == NULL)
        fail_msg("cannot open %s (the test runs in the root of the source tree)", path);
    while (next_vector(f, &v)) {
        if (v.ivlen != 96 || v.aadlen > 128)
            continue;
        snprintf(where, sizeof(where), "%s vector %u", path, n);
        run_vector(b, &v, is256, n % SLOTS, where);
        n++;
    }
    fclose(f);
    return n;
}

static void run_cavp(int lanes, const char *dir, unsigned expected)
{
    static const struct {
        const char *name;
        bool is256;
    } files[] = {{"gcmEncryptExtIV128.rsp", false},
                 {"gcmEncryptExtIV256.rsp", true},
                 {"gcmDecrypt128.rsp", false},
                 {"gcmDecrypt256.rsp", true}};
    struct gcm_bench *b = calloc(1, sizeof(*b));
    unsigned n = 0;
    assert_non_null(b);
    gcm_bench_open(b, lanes, 9);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        n += run_file(b, dir, files[i].name, files[i].is256);
    gcm_free(b->dut);
    free(b);
    print_message("LANES %d: %u CAVP vectors passed (%s)\n", lanes, n, dir);
    assert_int_equal(n, expected);
}

static void run_packaged(int lanes)
{
    for (size_t i = 0; i < sizeof(packaged) / sizeof(packaged[0]); i++)
        if (access(packaged[i], R_OK) == 0) {
            run_cavp(lanes, packaged[i], 4200);
            return;
        }
    print_message("skip: python3-cryptography-vectors is not installed; its 180 vectors in " EXCERPT
                  " were run\n");
    skip();
}

static void test_cavp_excerpt_lanes1_all_pass(void **state)
{
    (void)state;
    run_cavp(1, EXCERPT, 180);
}

static void test_cavp_excerpt_lanes4_all_pass(void **state)
{
    (void)state;
    run_cavp(4, EXCERPT, 180);
}

static void test_cavp_whole_lanes1_all_pass(void **state)
{
    (void)state;
    run_packaged(1);
}

static void test_cavp_whole_lanes4_all_pass(void **state)
{
    (void)state;
    run_packaged(4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cavp_excerpt_lanes1_all_pass),
        cmocka_unit_test(test_cavp_excerpt_lanes4_all_pass),
        cmocka_unit_test(test_cavp_whole_lanes1_all_pass),
        cmocka_unit_test(test_cavp_whole_lanes4_all_pass),
    };
    return cmocka_run_group_tests_name("gcm_cavp", tests, NULL, NULL);
}
