// SPDX-License-Identifier: Apache-2.0
// Certificates, CRLs, OCSP answers, names and keys. The first octet says what the rest is. An authority of
// the target's own signs what the fuzzer made up, so that it is judged and not only parsed: the signed part
// of a certificate, of a CRL or of an OCSP answer.
#include <string.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "ctrl/crypto/dn.h"
#include "ctrl/pki/pki.h"
#include "tests/fuzz/ca.h"
#include "tests/fuzz/fuzz.h"

enum what { DER, CERTIFICATE, CRL, OCSP, NAME, AUTH_VALUE, WHATS };
enum { NOW = 1780272000, MAX = 8192 }; // 2026-06-01

static const uint8_t ed25519[] = {0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70}; // as AlgorithmIdentifier
static EVP_PKEY *key;
static struct slice root, end;
static struct cr_key *public_key;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct esp_error err;
    uint8_t spki[64], *at = spki;
    (void)argc, (void)argv;
    key = ca_key();
    root = ca_cert("root", true);
    end = ca_cert("end", false);
    int len = i2d_PUBKEY(key, &at);
    if (cr_key_public(spki, (size_t)len, &public_key, &err) != 0)
        abort();
    return 0;
}

// ---- DER, as far as it takes to wrap something

static size_t put_head(uint8_t *out, uint8_t tag, size_t len)
{
    out[0] = tag;
    out[1] = 0x82;
    out[2] = (uint8_t)(len >> 8);
    out[3] = (uint8_t)len;
    return 4;
}

static size_t wrap(uint8_t *out, uint8_t tag, const uint8_t *p, size_t len)
{
    memmove(out + 4, p, len);
    return put_head(out, tag, len) + len;
}

// SEQUENCE { what the fuzzer made up, Ed25519, the authority's signature }
static size_t sign(struct slice tbs, uint8_t *out)
{
    uint8_t body[MAX + 128], bits[65] = {0};
    size_t n = tbs.len, sig = 64;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    memcpy(body, tbs.p, tbs.len);
    if (EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) != 1 ||
        EVP_DigestSign(ctx, bits + 1, &sig, tbs.p, tbs.len) != 1)
        abort();
    EVP_MD_CTX_free(ctx);
    memcpy(body + n, ed25519, sizeof(ed25519));
    n += sizeof(ed25519);
    n += wrap(body + n, 0x03, bits, sizeof(bits));
    return wrap(out, 0x30, body, n);
}

// OCSPResponse { successful, [0] { id-pkix-ocsp-basic, OCTET STRING { basic } } }
static size_t wrap_ocsp(const uint8_t *basic, size_t len, uint8_t *out)
{
    static const uint8_t id[] = {0x06, 0x09, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01},
                         good[] = {0x0a, 0x01, 0x00};
    uint8_t a[MAX + 256], b[MAX + 256];
    memcpy(a, id, sizeof(id));
    size_t n = sizeof(id) + wrap(a + sizeof(id), 0x04, basic, len);
    n = wrap(b, 0x30, a, n);
    memcpy(a, good, sizeof(good));
    n = sizeof(good) + wrap(a + sizeof(good), 0xa0, b, n);
    return wrap(out, 0x30, a, n);
}

// ---- what is done with it

static struct pki *store(void)
{
    struct pki *p = pki_new();
    struct esp_error err;
    if (!p || pki_add(p, PKI_CA, root.p, root.len, &err) < 0)
        abort();
    return p;
}

static void any(struct slice d)
{
    struct pki *p = store();
    struct pki_info info;
    struct esp_error err;
    for (int kind = PKI_X509; kind <= PKI_OCSP; kind++) {
        uint8_t *der = NULL;
        size_t len;
        (void)pki_describe((enum pki_kind)kind, d, &info, &err);
        if (kind != PKI_OCSP && pki_read_der((enum pki_kind)kind, d.p, d.len, &der, &len, &err) == 0)
            (void)pki_add(p, (enum pki_kind)kind, der, len, &err);
        free(der);
    }
    struct cr_key *k = NULL;
    if (cr_key_private(d.p, d.len, &k, &err) == 0)
        cr_key_free(k);
    for (const struct pki_entry *e = NULL; (e = pki_next(p, (enum pki_kind)0, e ? e->number : 0));)
        (void)pki_match_id(e->der, 2, slice_str("end.test"));
    pki_free(p);
}

// The judgement of one that the authority has signed, as of a peer that sends it.
static enum pki_verdict judge(struct pki *p, struct slice cert, struct slice answer)
{
    const struct pki_rules rules = {.revocation = answer.len ? PKI_STRICT : PKI_IFURI};
    const struct pki_peer peer = {.certs = &cert, .count = 1, .id_type = 2, .id = slice_str("end.test")};
    struct pki_check *c = NULL;
    struct pki_fetch f;
    struct esp_error err;
    enum pki_verdict v = pki_check_begin(p, &rules, &peer, NOW, &c, &err);
    for (unsigned i = 0; v == PKI_WANTS_FETCH && i < 32 && pki_check_next(c, &f); i++)
        v = pki_check_fetched(c, f.id, answer.len != 0, "none", answer, NOW, &err);
    pki_check_free(c);
    return v;
}

static void signed_part(enum what what, struct slice tbs)
{
    static uint8_t der[MAX + 512], whole[MAX + 1024];
    struct pki *p = store();
    size_t n = sign(tbs, der);
    if (what == CERTIFICATE) {
        struct pki_info info;
        struct esp_error err;
        (void)pki_describe(PKI_X509, slice_of(der, n), &info, &err);
        judge(p, slice_of(der, n), slice_of(NULL, 0));
    } else if (what == CRL) {
        struct esp_error err;
        judge(p, end, slice_of(der, n));
        (void)pki_add(p, PKI_CRL, der, n, &err);
        judge(p, end, slice_of(NULL, 0));
    } else {
        size_t len = wrap_ocsp(der, n, whole);
        judge(p, end, slice_of(whole, len));
    }
    pki_free(p);
}

static void name(struct slice d)
{
    char text[DN_TEXT_MAX], printed[DN_TEXT_MAX];
    uint8_t der[DN_DER_MAX];
    size_t half = d.len / 2, len;
    (void)dn_match(d.p, half, d.p + half, d.len - half);
    (void)dn_print(d.p, d.len, printed, sizeof(printed));
    snprintf(text, sizeof(text), "%.*s", (int)d.len, (const char *)d.p);
    (void)dn_is_text(text);
    if (dn_parse(text, der, sizeof(der), &len) == 0 &&
        (!dn_print(der, len, printed, sizeof(printed)) || dn_match(der, len, der, len) < 0))
        FUZZ_NEVER("a name that we made ourselves cannot be read");
}

static void auth_value(struct slice d)
{
    enum cr_scheme_index scheme;
    struct esp_error err;
    const struct cr_slice part = {"octets", 6};
    (void)cr_auth_scheme(d.p, d.len, &scheme);
    if (cr_verify(public_key, UINT32_MAX, CR_METHOD_SIGNATURE, d.p, d.len, &part, 1, &err) == 0)
        FUZZ_NEVER("a signature was taken that nobody made");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader in = reader_of(slice_of(data, size));
    enum what what = (enum what)(fuzz_u8(&in) % WHATS);
    struct slice d = fuzz_bytes(&in, MAX);
    if (!d.len)
        return 0;
    switch (what) {
    case DER: any(d); break;
    case NAME: name(d); break;
    case AUTH_VALUE: auth_value(d); break;
    default: signed_part(what, d);
    }
    return 0;
}
