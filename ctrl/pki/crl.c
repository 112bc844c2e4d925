// SPDX-License-Identifier: Apache-2.0
// CRLs (RFC 5280 5 and 6.3): which ones speak for a certificate, and what they say. OpenSSL judges each:
// signature, issuer, scope (issuing distribution point), critical extensions and time. Indirect CRLs, delta
// CRLs and CRLs for some reasons alone are none of ours: they prove nothing good.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include "ctrl/pki/internal.h"

bool is_uri(struct slice s)
{
    bool printable = s.len > 0 && s.len < PKI_URL_LEN;
    for (size_t i = 0; printable && i < s.len; i++)
        printable = s.p[i] > 0x20 && s.p[i] < 0x7f;
    return printable;
}

bool is_url(struct slice s)
{
    return ((s.len > 7 && memcmp(s.p, "http://", 7) == 0) ||
            (s.len > 8 && memcmp(s.p, "https://", 8) == 0)) &&
           is_uri(s);
}

enum { INDIRECT_S = 3600 }; // what a CRL of another issuer says is asked again then

static size_t add_url(struct slice s, char out[][PKI_URL_LEN], size_t n, size_t cap)
{
    if (n >= cap || !is_url(s))
        return n;
    for (size_t i = 0; i < n; i++)
        if (strlen(out[i]) == s.len && memcmp(out[i], s.p, s.len) == 0)
            return n;
    memcpy(out[n], s.p, s.len);
    out[n][s.len] = 0;
    return n + 1;
}

static size_t of_authorities(const struct pki *p, X509 *issuer, bool ocsp, char out[][PKI_URL_LEN],
                             size_t cap)
{
    size_t n = 0;
    for (size_t a = 0; a < p->authority_count; a++) {
        const struct pki_authority *au = &p->authorities[a];
        if (X509_cmp(p->authority_cas[a]->crt, issuer) != 0)
            continue;
        size_t count = ocsp ? au->ocsp_count : au->crl_count;
        for (size_t i = 0; i < count; i++)
            n = add_url(slice_str(ocsp ? au->ocsp_uris[i] : au->crl_uris[i]), out, n, cap);
    }
    return n;
}

static size_t of_point(const DIST_POINT *point, char out[][PKI_URL_LEN], size_t n, size_t cap)
{
    if (!point->distpoint || point->distpoint->type != 0 || point->CRLissuer || point->reasons)
        return n;
    GENERAL_NAMES *names = point->distpoint->name.fullname;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
        if (g->type == GEN_URI)
            n = add_url(slice_of(ASN1_STRING_get0_data(g->d.uniformResourceIdentifier),
                                 (size_t)ASN1_STRING_length(g->d.uniformResourceIdentifier)),
                        out, n, cap);
    }
    return n;
}

size_t crl_uris(const struct pki *p, X509 *x, X509 *issuer, char out[][PKI_URL_LEN], size_t cap)
{
    size_t n = of_authorities(p, issuer, false, out, cap);
    CRL_DIST_POINTS *points = X509_get_ext_d2i(x, NID_crl_distribution_points, NULL, NULL);
    for (int i = 0; i < sk_DIST_POINT_num(points); i++)
        n = of_point(sk_DIST_POINT_value(points, i), out, n, cap);
    CRL_DIST_POINTS_free(points);
    ERR_clear_error();
    return n;
}

size_t ocsp_uris(const struct pki *p, X509 *x, X509 *issuer, char out[][PKI_URL_LEN], size_t cap)
{
    size_t n = of_authorities(p, issuer, true, out, cap);
    STACK_OF(OPENSSL_STRING) *urls = X509_get1_ocsp(x);
    for (int i = 0; i < sk_OPENSSL_STRING_num(urls); i++)
        n = add_url(slice_str(sk_OPENSSL_STRING_value(urls, i)), out, n, cap);
    X509_email_free(urls);
    ERR_clear_error();
    return n;
}

const char *reason_name(int reason)
{
    static const char *const names[] = {
        "unspecified",     "key compromise",         "CA compromise",    "affiliation changed",
        "superseded",      "cessation of operation", "certificate hold", "",
        "remove from CRL", "privilege withdrawn",    "AA compromise"};
    return reason >= 0 && reason < (int)(sizeof(names) / sizeof(names[0])) ? names[reason]
                                                                           : "no reason given";
}

// ---- judging one

static bool weak_signature(const X509_CRL *crl)
{
    const X509_ALGOR *alg;
    const void *value;
    int ptype;
    X509_CRL_get0_signature(crl, NULL, &alg);
    const ASN1_OBJECT *oid;
    X509_ALGOR_get0(&oid, &ptype, &value, alg);
    if (OBJ_obj2nid(oid) != NID_rsassaPss) {
        uint8_t hash = hash_of_nid(OBJ_obj2nid(oid));
        return hash == 0 || hash == CR_HASH_SHA1;
    }
    RSA_PSS_PARAMS *pss =
        ptype == V_ASN1_SEQUENCE ? ASN1_item_unpack(value, ASN1_ITEM_rptr(RSA_PSS_PARAMS)) : NULL;
    const ASN1_OBJECT *md = NULL;
    if (pss && pss->hashAlgorithm)
        X509_ALGOR_get0(&md, NULL, NULL, pss->hashAlgorithm);
    int nid = md ? OBJ_obj2nid(md) : NID_sha1;
    RSA_PSS_PARAMS_free(pss);
    return nid != NID_sha256 && nid != NID_sha384 && nid != NID_sha512;
}

static bool is_delta(const X509_CRL *crl)
{
    return X509_CRL_get_ext_by_NID(crl, NID_delta_crl, -1) >= 0;
}

// NULL, or why this CRL is not looked at.
static const char *why_unfit(const X509_CRL *crl)
{
    if (!X509_CRL_get0_nextUpdate(crl))
        return "has no nextUpdate";
    return weak_signature(crl) ? "is signed with a hash that is not taken" : NULL;
}

static bool is_of(const X509_CRL *crl, X509 *issuer)
{
    return X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(issuer)) == 0;
}

// What OpenSSL is given: the chain, whoever may have signed CRLs, and the CRLs.
struct given {
    X509_STORE *store; // the anchor
    STACK_OF(X509) * others;
    STACK_OF(X509_CRL) * crls;
};

static void given_free(struct given *g)
{
    X509_STORE_free(g->store);
    sk_X509_free(g->others);
    sk_X509_CRL_free(g->crls);
}

// RFC 5280 5.2.3: numbers grow. One without a number comes before all that have one.
static bool is_later(const X509_CRL *a, const X509_CRL *b)
{
    ASN1_INTEGER *na = X509_CRL_get_ext_d2i(a, NID_crl_number, NULL, NULL),
                 *nb = X509_CRL_get_ext_d2i(b, NID_crl_number, NULL, NULL);
    bool later = na && (!nb || ASN1_INTEGER_cmp(na, nb) > 0);
    ASN1_INTEGER_free(na);
    ASN1_INTEGER_free(nb);
    ERR_clear_error();
    return later;
}

// Of two of one second OpenSSL asks the first, which has to be the later one by its number.
static bool give_crl(struct given *g, X509_CRL *crl, X509 *issuer)
{
    int n = sk_X509_CRL_num(g->crls);
    if (sk_X509_CRL_push(g->crls, crl) <= 0)
        return false;
    for (int i = 0; i < n && is_of(crl, issuer); i++) {
        X509_CRL *other = sk_X509_CRL_value(g->crls, i);
        if (is_of(other, issuer) &&
            ASN1_TIME_compare(X509_CRL_get0_lastUpdate(crl), X509_CRL_get0_lastUpdate(other)) == 0 &&
            is_later(crl, other)) {
            sk_X509_CRL_set(g->crls, i, crl);
            sk_X509_CRL_set(g->crls, n, other);
            return true;
        }
    }
    return true;
}

static bool give(const struct pki *p, STACK_OF(X509) * chain, X509 *issuer, X509_CRL *also, struct given *g)
{
    int n = sk_X509_num(chain);
    *g = (struct given){X509_STORE_new(), sk_X509_new_null(), sk_X509_CRL_new_null()};
    bool ok =
        g->store && g->others && g->crls && X509_STORE_add_cert(g->store, sk_X509_value(chain, n - 1)) == 1;
    for (int i = 0; i + 1 < n && ok; i++)
        ok = sk_X509_push(g->others, sk_X509_value(chain, i)) > 0;
    if (also && ok)
        ok = give_crl(g, also, issuer);
    for (size_t i = 0; i < p->count && ok; i++) {
        const struct pki_item *it = p->items[i];
        if (it->crl && !why_unfit(it->crl))
            ok = give_crl(g, it->crl, issuer);
        else if (it->crt && (X509_get_key_usage(it->crt) & KU_CRL_SIGN))
            ok = sk_X509_push(g->others, it->crt) > 0;
    }
    return ok;
}

// The path has been judged already. A self-issued certificate in the middle of it is free of name constraints
// (RFC 5280 6.1.4), at its end, where it stands now, it is not.
static int at_fault(int ok, X509_STORE_CTX *ctx)
{
    switch (X509_STORE_CTX_get_error(ctx)) {
    case X509_V_ERR_PERMITTED_VIOLATION:
    case X509_V_ERR_EXCLUDED_VIOLATION: X509_STORE_CTX_set_error(ctx, X509_V_OK); return 1;
    default: return ok;
    }
}

bool was_no_memory(void)
{
    bool yes = false;
    for (unsigned long e; (e = ERR_get_error()) != 0;)
        yes = yes || ERR_GET_REASON(e) == ERR_R_MALLOC_FAILURE;
    return yes;
}

static int judge_by(const struct given *g, X509 *x, int64_t now, unsigned long how)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    int code = X509_V_ERR_OUT_OF_MEM;
    ERR_clear_error();
    if (ctx && X509_STORE_CTX_init(ctx, g->store, x, g->others) == 1) {
        X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
        X509_STORE_CTX_set0_crls(ctx, g->crls);
        X509_STORE_CTX_set_verify_cb(ctx, at_fault);
        X509_VERIFY_PARAM_set_time(param, (time_t)now);
        X509_VERIFY_PARAM_set_depth(param, PKI_CHAIN_MAX - 2);
        X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_CRL_CHECK | how);
        X509_verify_cert(ctx);
        code = X509_STORE_CTX_get_error(ctx);
        if (code == X509_V_ERR_CERT_REVOKED && X509_STORE_CTX_get_error_depth(ctx) > 0)
            code = X509_V_ERR_CRL_PATH_VALIDATION_ERROR; // another one is: that is no word on x
    }
    X509_STORE_CTX_free(ctx);
    return was_no_memory() && code != X509_V_ERR_CERT_REVOKED ? X509_V_ERR_OUT_OF_MEM : code;
}

// What OpenSSL says of x: X509_V_OK, X509_V_ERR_CERT_REVOKED, or why no CRL speaks for it. Where the issuer's
// own whole CRL does not do, others' and deltas may, whose signers must not be revoked themselves.
static int judge(const struct given *g, X509 *x, X509 *issuer, int64_t now)
{
    bool deltas = false;
    for (int i = 0; i < sk_X509_CRL_num(g->crls); i++)
        deltas = deltas ||
                 (is_delta(sk_X509_CRL_value(g->crls, i)) && is_of(sk_X509_CRL_value(g->crls, i), issuer));
    int code = deltas ? X509_V_ERR_UNABLE_TO_GET_CRL : judge_by(g, x, now, 0);
    if (code == X509_V_OK || code == X509_V_ERR_CERT_REVOKED || code == X509_V_ERR_OUT_OF_MEM)
        return code;
    int wide = judge_by(
        g, x, now, X509_V_FLAG_CRL_CHECK_ALL | X509_V_FLAG_EXTENDED_CRL_SUPPORT | X509_V_FLAG_USE_DELTAS);
    return wide == X509_V_OK || wide == X509_V_ERR_CERT_REVOKED || wide == X509_V_ERR_OUT_OF_MEM || deltas
               ? wide
               : code;
}

static void set_revoked(const struct given *g, X509 *x, struct status *out)
{
    out->known = KNOWN_REVOKED;
    out->reason = -1;
    for (int i = 0; i < sk_X509_CRL_num(g->crls); i++) {
        X509_REVOKED *entry = NULL;
        if (X509_CRL_get0_by_cert(sk_X509_CRL_value(g->crls, i), &entry, x) <= 0 || !entry)
            continue;
        out->revoked_at = unix_time(X509_REVOKED_get0_revocationDate(entry));
        ASN1_ENUMERATED *reason = X509_REVOKED_get_ext_d2i(entry, NID_crl_reason, NULL, NULL);
        if (reason)
            out->reason = (int)ASN1_ENUMERATED_get(reason);
        ASN1_ENUMERATED_free(reason);
    }
}

// The first nextUpdate of the CRLs that may have been asked.
static int64_t until_of(const struct given *g, X509 *issuer, int64_t now)
{
    int64_t until = INT64_MAX;
    for (int i = 0; i < sk_X509_CRL_num(g->crls); i++) {
        X509_CRL *crl = sk_X509_CRL_value(g->crls, i);
        int64_t next = unix_time(X509_CRL_get0_nextUpdate(crl));
        if (is_of(crl, issuer) && next > now && next < until)
            until = next;
    }
    return until == INT64_MAX ? now + INDIRECT_S : until;
}

// Why nothing is known: the fault of a CRL of the issuer's, or that there is none.
static void set_unknown(const struct pki *p, X509_CRL *also, X509 *issuer, int code, struct status *out)
{
    const char *unfit = also ? why_unfit(also) : NULL;
    char name[80];
    bool any = also != NULL;
    name_print(X509_get_subject_name(issuer), name, sizeof(name));
    for (size_t i = 0; i < p->count; i++) {
        if (!p->items[i]->crl || !is_of(p->items[i]->crl, issuer))
            continue;
        any = true;
        if (!unfit)
            unfit = why_unfit(p->items[i]->crl);
    }
    if (unfit)
        snprintf(out->why_not, sizeof(out->why_not), "the CRL of \"%.60s\" %s", name, unfit);
    else if (any)
        snprintf(out->why_not, sizeof(out->why_not), "the CRL of \"%.60s\": %.70s", name,
                 X509_verify_cert_error_string(code));
}

static void ask(struct pki *p, STACK_OF(X509) * chain, int at, X509_CRL *also, int64_t now,
                struct status *out)
{
    struct given g;
    X509 *x = sk_X509_value(chain, at), *issuer = sk_X509_value(chain, at + 1);
    int code = X509_V_ERR_OUT_OF_MEM;
    *out = (struct status){.known = KNOWN_NOT};
    if (give(p, chain, issuer, also && !why_unfit(also) ? also : NULL, &g))
        code = judge(&g, x, issuer, now);
    if (code == X509_V_ERR_CERT_REVOKED)
        set_revoked(&g, x, out);
    else if (code == X509_V_OK)
        out->known = KNOWN_GOOD;
    else if (code == X509_V_ERR_OUT_OF_MEM)
        out->known = KNOWN_NO_MEMORY;
    else
        set_unknown(p, also, issuer, code, out);
    if (out->known == KNOWN_GOOD || out->known == KNOWN_REVOKED)
        out->until = until_of(&g, issuer, now);
    given_free(&g);
}

void crl_status(struct pki *p, STACK_OF(X509) * chain, int at, int64_t now, struct status *out)
{
    *out = (struct status){.known = KNOWN_NOT};
    bool any = false;
    for (size_t i = 0; i < p->count; i++) {
        struct pki_item *it = p->items[i];
        any = any || it->crl;
        if (it->crl && is_of(it->crl, sk_X509_value(chain, at + 1)))
            it->used = ++p->clock;
    }
    if (any)
        ask(p, chain, at, NULL, now, out);
}

// A CRL that was fetched is kept where the issuer itself has signed it; another one helps this check alone.
static bool is_signed(X509_CRL *crl, STACK_OF(X509) * chain, int from)
{
    bool ok = false;
    for (int i = from; i < sk_X509_num(chain) && !ok; i++) {
        X509 *issuer = sk_X509_value(chain, i);
        ok = is_of(crl, issuer) && (X509_get_key_usage(issuer) & KU_CRL_SIGN) &&
             X509_CRL_verify(crl, X509_get0_pubkey(issuer)) == 1;
    }
    ERR_clear_error();
    return ok;
}

void crl_take(struct pki *p, const char *url, struct slice body, STACK_OF(X509) * chain, int at, int64_t now,
              struct status *out)
{
    struct esp_error err = {0};
    uint8_t *der = NULL;
    size_t len = 0;
    struct pki_item *item = NULL;
    *out = (struct status){.known = KNOWN_NOT};
    if (pki_read_der(PKI_CRL, body.p, body.len, &der, &len, &err) == 0)
        item = item_new(PKI_CRL, slice_of(der, len), &err);
    free(der);
    if (!item) {
        out->known = was_no_memory() || err.code == -ENOMEM ? KNOWN_NO_MEMORY : KNOWN_NOT;
        snprintf(out->why_not, sizeof(out->why_not), "%.150s", err.text);
        return;
    }
    ask(p, chain, at, item->crl, now, out);
    snprintf(item->url, sizeof(item->url), "%s", url);
    if ((out->known != KNOWN_GOOD && out->known != KNOWN_REVOKED) || is_delta(item->crl) ||
        why_unfit(item->crl) || !is_signed(item->crl, chain, at + 1) || store_cache_crl(p, item) != 0)
        item_unref(item); // it is not kept; what it says holds all the same
}
