// SPDX-License-Identifier: Apache-2.0
// OCSP (RFC 6960): a request with a nonce (RFC 8954), an answer signed by the certificate's issuer or by a
// responder that it has delegated (id-kp-OCSPSigning), and the cache of answers. A delegated responder's own
// revocation is not asked for: its certificate is short-lived or says id-pkix-ocsp-nocheck.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>

#include "ctrl/pki/internal.h"

enum {
    NONCE_LEN = 32,
    SKEW_S = 300,          // clocks differ
    NO_NEXT_UPDATE_S = 60, // an answer without nextUpdate is kept that long
    KEEP_S = 7 * 86400,    // and none longer than that
};

// ---- the cache

static int answer_id(X509 *x, X509 *issuer, uint8_t out[SHA256_LEN])
{
    unsigned char a[SHA256_LEN], b[SHA256_LEN];
    unsigned n = 0;
    if (X509_digest(issuer, EVP_sha256(), a, &n) != 1 || X509_digest(x, EVP_sha256(), b, &n) != 1)
        return -ENOMEM;
    const struct cr_slice parts[] = {{a, sizeof(a)}, {b, sizeof(b)}};
    return cr_sha256(NULL, parts, 2, out);
}

void ocsp_cached(struct pki *p, X509 *x, X509 *issuer, int64_t now, struct status *out)
{
    uint8_t id[SHA256_LEN];
    *out = (struct status){.known = KNOWN_NOT};
    if (!p->answer_count || answer_id(x, issuer, id))
        return;
    for (size_t i = 0; i < p->answer_count; i++) {
        struct ocsp_answer *a = &p->answers[i];
        if (memcmp(a->id, id, sizeof(id)) != 0 || a->until <= now)
            continue;
        a->used = ++p->clock;
        *out = (struct status){.known = a->revoked_at ? KNOWN_REVOKED : KNOWN_GOOD,
                               .until = a->until,
                               .revoked_at = a->revoked_at,
                               .reason = a->reason};
    }
}

static void keep(struct pki *p, X509 *x, X509 *issuer, const struct status *s)
{
    struct ocsp_answer *to = NULL;
    uint8_t id[SHA256_LEN];
    if (!p->answers)
        p->answers = calloc(PKI_CACHED_OCSP_MAX, sizeof(struct ocsp_answer));
    if (!p->answers || answer_id(x, issuer, id))
        return;
    for (size_t i = 0; i < p->answer_count; i++) {
        struct ocsp_answer *a = &p->answers[i];
        if (memcmp(a->id, id, sizeof(id)) == 0) {
            to = a;
            break;
        }
        if (!to || a->used < to->used)
            to = a;
    }
    if (p->answer_count < PKI_CACHED_OCSP_MAX && (!to || memcmp(to->id, id, sizeof(id)) != 0))
        to = &p->answers[p->answer_count++];
    *to = (struct ocsp_answer){.until = s->until,
                               .revoked_at = s->known == KNOWN_REVOKED ? s->revoked_at : 0,
                               .reason = s->reason,
                               .used = ++p->clock};
    memcpy(to->id, id, sizeof(id));
}

// ---- asking

int ocsp_request(X509 *x, X509 *issuer, uint8_t **der, size_t *len)
{
    OCSP_REQUEST *req = OCSP_REQUEST_new();
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), x, issuer); // the hash that every responder knows
    unsigned char nonce[NONCE_LEN], *out = NULL;
    int n = 0;
    if (req && id && cr_random(nonce, sizeof(nonce)) == 0 && OCSP_request_add0_id(req, id)) {
        id = NULL;
        if (OCSP_request_add1_nonce(req, nonce, sizeof(nonce)) == 1)
            n = i2d_OCSP_REQUEST(req, &out);
    }
    *der = n > 0 ? malloc((size_t)n) : NULL;
    if (*der)
        memcpy(*der, out, *len = (size_t)n);
    OPENSSL_free(out);
    OCSP_CERTID_free(id);
    OCSP_REQUEST_free(req);
    ERR_clear_error();
    return *der ? 0 : -ENOMEM;
}

// ---- the answer

static bool says(struct status *out, const char *why)
{
    snprintf(out->why_not, sizeof(out->why_not), "OCSP: %s", why);
    return false;
}

static bool check_extensions(OCSP_BASICRESP *basic, OCSP_SINGLERESP *single, struct status *out)
{
    int at = -1;
    if (OCSP_SINGLERESP_get_ext_by_critical(single, 1, -1) >= 0)
        return says(out, "the answer has a critical extension that is not known");
    while ((at = OCSP_BASICRESP_get_ext_by_critical(basic, 1, at)) >= 0)
        if (OBJ_obj2nid(X509_EXTENSION_get_object(OCSP_BASICRESP_get_ext(basic, at))) !=
            NID_id_pkix_OCSP_Nonce)
            return says(out, "the answer has a critical extension that is not known");
    return true;
}

static bool check_nonce(struct slice request, OCSP_BASICRESP *basic, struct status *out)
{
    const unsigned char *p = request.p;
    OCSP_REQUEST *req = d2i_OCSP_REQUEST(NULL, &p, (long)request.len);
    int r = req ? OCSP_check_nonce(req, basic) : 0;
    OCSP_REQUEST_free(req);
    // Many responders sign in advance and leave it out; their answer is then as fresh as it says.
    return r == 1 || r == -1 || says(out, "the answer is to another question (nonce)");
}

static bool check_strength(OCSP_BASICRESP *basic, struct status *out)
{
    const ASN1_OBJECT *oid;
    X509 *signer = NULL;
    struct cr_key *key = NULL;
    struct esp_error err = {0};
    X509_ALGOR_get0(&oid, NULL, NULL, OCSP_resp_get0_tbs_sigalg(basic));
    uint8_t hash = hash_of_nid(OBJ_obj2nid(oid));
    if ((hash == 0 || hash == CR_HASH_SHA1) && OBJ_obj2nid(oid) != NID_rsassaPss)
        return says(out, "the answer is signed with a hash that is not taken");
    if (OCSP_resp_get0_signer(basic, &signer, NULL) == 1 && signer) {
        if (crt_key(signer, &key, &err)) {
            snprintf(out->why_not, sizeof(out->why_not), "OCSP: the responder's key: %.120s", err.text);
            return false;
        }
        cr_key_free(key);
    }
    return true;
}

static bool check_signature(OCSP_BASICRESP *basic, X509 *issuer, int64_t now, struct status *out)
{
    X509_STORE *store = X509_STORE_new();
    STACK_OF(X509) *also = sk_X509_new_null();
    bool ok = false;
    if (store && also && X509_STORE_add_cert(store, issuer) == 1 && sk_X509_push(also, issuer) > 0) {
        X509_VERIFY_PARAM *param = X509_STORE_get0_param(store);
        X509_VERIFY_PARAM_set_time(param, (time_t)now);
        X509_VERIFY_PARAM_set_auth_level(param, 2);
        X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
        ok = OCSP_basic_verify(basic, also, store, OCSP_NOEXPLICIT) == 1;
    }
    if (!ok) {
        const char *why = ERR_reason_error_string(ERR_peek_last_error());
        snprintf(out->why_not, sizeof(out->why_not),
                 "OCSP: the answer is not signed by the certificate's issuer or a responder of its (%.60s)",
                 why ? why : "no memory");
    }
    sk_X509_free(also);
    X509_STORE_free(store);
    return ok;
}

static bool check_times(const ASN1_GENERALIZEDTIME *made, const ASN1_GENERALIZEDTIME *next, int64_t now,
                        struct status *out)
{
    int64_t from = unix_time(made), to = next ? unix_time(next) : now + NO_NEXT_UPDATE_S;
    if (from == INT64_MIN || to == INT64_MIN)
        return says(out, "the answer's times are malformed");
    if (from > now + SKEW_S)
        return says(out, "the answer is of a later time");
    if (next ? to < now : from < now - SKEW_S)
        return says(out, "the answer is out of date");
    out->until = to < now + KEEP_S ? to : now + KEEP_S;
    return true;
}

static OCSP_SINGLERESP *find_single(OCSP_BASICRESP *basic, X509 *x, X509 *issuer)
{
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), x, issuer);
    int at = id ? OCSP_resp_find(basic, id, -1) : -1;
    OCSP_CERTID_free(id);
    return at < 0 ? NULL : OCSP_resp_get0(basic, at);
}

static void read_basic(OCSP_BASICRESP *basic, struct slice request, X509 *x, X509 *issuer, int64_t now,
                       struct status *out)
{
    ASN1_GENERALIZEDTIME *revoked = NULL, *made = NULL, *next = NULL;
    OCSP_SINGLERESP *single = find_single(basic, x, issuer);
    int reason = -1;
    if (!single) {
        says(out, "the answer is about another certificate");
        return;
    }
    if (!check_nonce(request, basic, out) || !check_extensions(basic, single, out) ||
        !check_signature(basic, issuer, now, out) || !check_strength(basic, out))
        return;
    int status = OCSP_single_get0_status(single, &reason, &revoked, &made, &next);
    if (!check_times(made, next, now, out))
        return;
    if (status == V_OCSP_CERTSTATUS_GOOD) {
        out->known = KNOWN_GOOD;
    } else if (status == V_OCSP_CERTSTATUS_REVOKED) {
        out->known = KNOWN_REVOKED;
        out->reason = reason;
        out->revoked_at = unix_time(revoked);
        if (out->revoked_at <= 0)
            out->revoked_at = 1; // it is revoked whatever that time says
    } else {
        says(out, "the responder does not know the certificate");
    }
}

void ocsp_take(struct pki *p, struct slice request, struct slice body, X509 *x, X509 *issuer, int64_t now,
               struct status *out)
{
    const unsigned char *at = body.p;
    *out = (struct status){.known = KNOWN_NOT};
    ERR_clear_error();
    OCSP_RESPONSE *resp =
        body.len && body.len <= PKI_OCSP_MAX ? d2i_OCSP_RESPONSE(NULL, &at, (long)body.len) : NULL;
    OCSP_BASICRESP *basic = NULL;
    if (!resp || at != body.p + body.len)
        says(out, "the answer is no OCSP response");
    else if (OCSP_response_status(resp) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
        snprintf(out->why_not, sizeof(out->why_not), "OCSP: the responder answered \"%s\"",
                 OCSP_response_status_str(OCSP_response_status(resp)));
    else if ((basic = OCSP_response_get1_basic(resp)) == NULL)
        says(out, "the answer is of a kind that is not known");
    else
        read_basic(basic, request, x, issuer, now, out);
    if (out->known != KNOWN_NOT)
        keep(p, x, issuer, out);
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(resp);
    if (was_no_memory() && out->known == KNOWN_NOT)
        out->known = KNOWN_NO_MEMORY;
}
