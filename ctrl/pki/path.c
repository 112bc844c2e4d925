// SPDX-License-Identifier: Apache-2.0
// From a peer's certificate to a trusted CA: OpenSSL builds and checks the path (RFC 5280 6.1: signatures,
// validity, basicConstraints, path length, name constraints, policies); what RFC 4945 5.1.3 and the
// connection ask for besides is checked here. Only keys and certificates that cr_key_public takes are in it
// at all.
#include <errno.h>
#include <string.h>
#include <time.h>
#include <openssl/err.h>

#include "ctrl/pki/internal.h"

enum {
    AUTH_LEVEL = 2, // OpenSSL's: 112 bits, no SHA-1
    TRIES = 4,      // CAs of one name and several keys
    WHO_LEN = 110,
};

void chain_free(struct chain *path)
{
    sk_X509_pop_free(path->chain, X509_free);
    path->chain = NULL;
}

static bool push(STACK_OF(X509) * to, X509 *x)
{
    if (X509_up_ref(x) != 1)
        return false;
    if (sk_X509_push(to, x) > 0)
        return true;
    X509_free(x);
    return false;
}

static bool has(const struct slice *list, size_t n, struct slice der)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq(list[i], der))
            return true;
    return false;
}

// ---- who may be in a path

struct sources {
    STACK_OF(X509) * trusted, *others;
};

static int trust_given(const struct pki_rules *r, STACK_OF(X509) * to, struct esp_error *err)
{
    for (size_t i = 0; i < r->cacert_count; i++) {
        struct pki_item *ca = item_new(PKI_CA, r->cacerts[i], err);
        bool ok = ca && push(to, ca->crt);
        item_unref(ca);
        if (!ok)
            return ca ? -ENOMEM : -EINVAL; // err: item_new's
    }
    return 0;
}

static int gather(const struct pki *p, const struct pki_rules *r, struct pki_item *const *peer, size_t count,
                  struct sources *s, struct esp_error *err)
{
    bool given = r->cacert_count != 0, ok = true;
    s->trusted = sk_X509_new_null();
    s->others = sk_X509_new_null();
    if (!s->trusted || !s->others)
        return esp_fail(err, -ENOMEM, "certificates", "no memory");
    int rc = trust_given(r, s->trusted, err);
    for (size_t i = 1; i < count && ok; i++)
        ok = push(s->others, peer[i]->crt);
    for (size_t i = 0; i < p->count && ok; i++) {
        const struct pki_item *it = p->items[i];
        if (it->crt && it->is_ca)
            ok = push(it->e.kind == PKI_CA && !given ? s->trusted : s->others, it->crt);
    }
    for (size_t i = 0; i < p->authority_count && ok; i++)
        ok = push(given ? s->others : s->trusted, p->authority_cas[i]->crt);
    return rc ? rc : ok ? 0 : esp_fail(err, -ENOMEM, "certificates", "no memory");
}

static void scatter(struct sources *s)
{
    sk_X509_pop_free(s->trusted, X509_free);
    sk_X509_pop_free(s->others, X509_free);
}

static void leave_out(STACK_OF(X509) * from, const X509 *x)
{
    for (int i = sk_X509_num(from); i-- > 0;)
        if (X509_cmp(sk_X509_value(from, i), x) == 0)
            X509_free(sk_X509_delete(from, i));
}

// ---- what OpenSSL says

static void print_day(int64_t t, char *buf, size_t size)
{
    struct tm tm;
    time_t when = (time_t)t;
    if (!gmtime_r(&when, &tm) || !strftime(buf, size, "%Y-%m-%d %H:%M:%S UTC", &tm))
        snprintf(buf, size, "?");
}

// -ENOKEY, apart from the other refusals: there is nobody to judge it.
static int no_issuer(const struct pki_rules *r, X509 *x, struct esp_error *err)
{
    char who[WHO_LEN / 2 + 20], issuer[PKI_TEXT_LEN];
    subject_of(x, who, sizeof(who));
    if (is_self_signed(x))
        return esp_fail(err, -ENOKEY, "certificate", "%s is self-signed and no trusted CA%s", who,
                        r->cacert_count ? " of this connection" : "");
    return esp_fail(err, -ENOKEY, "certificate", "%s is of no trusted CA%s: its issuer is \"%.70s\"", who,
                    r->cacert_count ? " of this connection" : "",
                    name_print(X509_get_issuer_name(x), issuer, sizeof(issuer)));
}

static int explain(const struct pki_rules *r, X509_STORE_CTX *ctx, struct esp_error *err)
{
    int code = X509_STORE_CTX_get_error(ctx), depth = X509_STORE_CTX_get_error_depth(ctx);
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
    X509 *x = X509_STORE_CTX_get_current_cert(ctx);
    char who[WHO_LEN], day[40];
    if (!x)
        x = chain && depth < sk_X509_num(chain) ? sk_X509_value(chain, depth) : X509_STORE_CTX_get0_cert(ctx);
    subject_of(x, who, sizeof(who));
    switch (code) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_UNTRUSTED:
        return no_issuer(r, chain && sk_X509_num(chain) ? sk_X509_value(chain, sk_X509_num(chain) - 1) : x,
                         err);
    case X509_V_ERR_CERT_HAS_EXPIRED:
        print_day(unix_time(X509_get0_notAfter(x)), day, sizeof(day));
        return esp_fail(err, -EACCES, "certificate", "%s has expired, %s", who, day);
    case X509_V_ERR_CERT_NOT_YET_VALID:
        print_day(unix_time(X509_get0_notBefore(x)), day, sizeof(day));
        return esp_fail(err, -EACCES, "certificate", "%s is not valid before %s", who, day);
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        return esp_fail(err, -EACCES, "certificate", "%s: its signature is not its issuer's", who);
    case X509_V_ERR_NO_EXPLICIT_POLICY:
        return esp_fail(err, -EACCES, "certificate",
                        "%s: its chain has none of the wanted certificate policies", who);
    case X509_V_ERR_OUT_OF_MEM: return esp_fail(err, -ENOMEM, "certificate", "no memory");
    default: return esp_fail(err, -EACCES, "certificate", "%s: %s", who, X509_verify_cert_error_string(code));
    }
}

static int set_policies(const struct pki_rules *r, X509_VERIFY_PARAM *param, struct esp_error *err)
{
    for (size_t i = 0; i < r->policy_count; i++) {
        ASN1_OBJECT *oid = OBJ_txt2obj(r->policies[i], 1);
        if (!oid)
            return esp_fail(err, -EINVAL, "cert_policy", "\"%.60s\" is no object identifier", r->policies[i]);
        if (X509_VERIFY_PARAM_add0_policy(param, oid) != 1) {
            ASN1_OBJECT_free(oid);
            return esp_fail(err, -ENOMEM, "cert_policy", "no memory");
        }
    }
    if (r->policy_count) {
        X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_EXPLICIT_POLICY);
        return 0;
    }
    // A CA may ask for a policy; any will do then.
    ASN1_OBJECT *any = OBJ_nid2obj(NID_any_policy);
    return X509_VERIFY_PARAM_add0_policy(param, any) == 1
               ? 0
               : esp_fail(err, -ENOMEM, "cert_policy", "no memory");
}

// 0, negative errno with *err, or 1: the signature by *wrong_issuer is not its; there may be another of that
// name.
static int verify_once(const struct pki_rules *r, X509 *end, struct sources *s, int64_t now,
                       struct chain *out, X509 **wrong_issuer, struct esp_error *err)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    int rc = ctx && X509_STORE_CTX_init(ctx, NULL, end, s->others) == 1
                 ? 0
                 : esp_fail(err, -ENOMEM, "certificates", "no memory");
    if (rc == 0) {
        X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
        X509_STORE_CTX_set0_trusted_stack(ctx, s->trusted);
        X509_VERIFY_PARAM_set_time(param, (time_t)now);
        X509_VERIFY_PARAM_set_depth(param, PKI_CHAIN_MAX - 2);
        X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
        X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_POLICY_CHECK);
        rc = set_policies(r, param, err);
    }
    if (rc == 0 && X509_verify_cert(ctx) == 1) {
        out->chain = X509_STORE_CTX_get1_chain(ctx);
        rc = out->chain ? 0 : esp_fail(err, -ENOMEM, "certificates", "no memory");
    } else if (rc == 0) {
        STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
        int depth = X509_STORE_CTX_get_error_depth(ctx);
        rc = explain(r, ctx, err);
        if (X509_STORE_CTX_get_error(ctx) == X509_V_ERR_CERT_SIGNATURE_FAILURE &&
            depth + 1 < sk_X509_num(chain)) {
            *wrong_issuer = sk_X509_value(chain, depth + 1);
            rc = X509_up_ref(*wrong_issuer) == 1 ? 1 : rc;
        }
    }
    X509_STORE_CTX_free(ctx);
    ERR_clear_error();
    return rc;
}

static int verify(const struct pki_rules *r, X509 *end, struct sources *s, int64_t now, struct chain *out,
                  struct esp_error *err)
{
    struct esp_error later = {0};
    X509 *wrong = NULL;
    int rc = verify_once(r, end, s, now, out, &wrong, err);
    for (int i = 1; rc == 1 && i < TRIES; i++) {
        leave_out(s->trusted, wrong);
        leave_out(s->others, wrong);
        X509_free(wrong);
        rc = verify_once(r, end, s, now, out, &wrong, &later); // err keeps what the first one said
    }
    if (rc == 1) {
        X509_free(wrong);
        rc = -EACCES;
    }
    return rc;
}

// ---- what RFC 4945 and the connection ask for

static int check_usage(X509 *end, struct esp_error *err)
{
    static const char *const good[] = {
        "2.5.29.37.0",                             // any
        "1.3.6.1.5.5.7.3.17", "1.3.6.1.5.5.8.2.2", // IKE: RFC 4945, and what came before
        "1.3.6.1.5.5.7.3.1",  "1.3.6.1.5.5.7.3.2", // TLS server and client
        "1.3.6.1.5.5.7.3.5",  "1.3.6.1.5.5.7.3.6", // IPsec end system, tunnel,
        "1.3.6.1.5.5.7.3.7",                       // user
    };
    char who[WHO_LEN], oid[80];
    subject_of(end, who, sizeof(who));
    if (!(X509_get_key_usage(end) & (KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION)))
        return esp_fail(err, -EACCES, "certificate", "%s: its keyUsage allows no signatures", who);
    EXTENDED_KEY_USAGE *usage = X509_get_ext_d2i(end, NID_ext_key_usage, NULL, NULL);
    bool ok = usage == NULL;
    for (int i = 0; i < sk_ASN1_OBJECT_num(usage) && !ok; i++) {
        OBJ_obj2txt(oid, sizeof(oid), sk_ASN1_OBJECT_value(usage, i), 1);
        for (size_t g = 0; g < sizeof(good) / sizeof(good[0]); g++)
            ok = ok || strcmp(oid, good[g]) == 0;
    }
    sk_ASN1_OBJECT_pop_free(usage, ASN1_OBJECT_free);
    return ok ? 0
              : esp_fail(err, -EACCES, "certificate",
                         "%s: its extendedKeyUsage is for neither IKE nor TLS (of several, one is enough)",
                         who);
}

static int check_key(const struct pki_rules *r, X509 *x, bool end, struct esp_error *err)
{
    struct esp_error why = {0};
    struct cr_key *k = NULL;
    char who[WHO_LEN];
    subject_of(x, who, sizeof(who));
    if (crt_key(x, &k, &why))
        return esp_fail(err, -EACCES, "certificate", "%s: %s", who, why.text);
    enum cr_key_type type = cr_key_type(k);
    unsigned bits = cr_key_bits(k);
    unsigned least = type == CR_KEY_RSA ? r->rsa_bits : type == CR_KEY_ECDSA ? r->ecdsa_bits : 0;
    cr_key_free(k);
    if (bits < least)
        return esp_fail(err, -EACCES, "certificate", "%s: its %s key has %u bits, the connection wants %u",
                        who, cr_key_type_name(type), bits, least);
    if (end && r->key_types && !(r->key_types & 1u << type))
        return esp_fail(err, -EACCES, "certificate", "%s: its key is %s, which the connection does not take",
                        who, cr_key_type_name(type));
    return 0;
}

static int check_hash(const struct pki_rules *r, X509 *x, struct esp_error *err)
{
    uint32_t taken = r->cert_hashes ? r->cert_hashes
                                    : 1u << CR_HASH_SHA256 | 1u << CR_HASH_SHA384 | 1u << CR_HASH_SHA512 |
                                          1u << CR_HASH_IDENTITY;
    uint8_t hash = crt_hash(x);
    char who[WHO_LEN];
    if (hash && taken & 1u << hash)
        return 0;
    const char *name = OBJ_nid2ln(X509_get_signature_nid(x));
    return esp_fail(err, -EACCES, "certificate", "%s is signed with %s, which is not taken here",
                    subject_of(x, who, sizeof(who)), name ? name : "an unknown algorithm");
}

static int check_ca_id(const struct pki_rules *r, STACK_OF(X509) * chain, struct esp_error *err)
{
    char want[100], who[80];
    for (int i = 1; i < sk_X509_num(chain); i++) {
        struct slice dn = name_der(X509_get_subject_name(sk_X509_value(chain, i)));
        if (dn_match(dn.p, dn.len, r->ca_id.p, r->ca_id.len) >= 0)
            return 0;
    }
    dn_print(r->ca_id.p, r->ca_id.len, want, sizeof(want));
    return esp_fail(err, -EACCES, "certificate", "%s has no CA \"%.90s\" in its chain",
                    subject_of(sk_X509_value(chain, 0), who, sizeof(who)), want);
}

static int check_rules(const struct pki_rules *r, const struct chain *path, struct esp_error *err)
{
    int n = sk_X509_num(path->chain), rc = check_usage(sk_X509_value(path->chain, 0), err);
    for (int i = 0; i < n && rc == 0; i++) {
        X509 *x = sk_X509_value(path->chain, i);
        char who[WHO_LEN];
        rc = check_key(r, x, i == 0, err);
        if (rc == 0 && i + 1 < n) // the anchor's own signature means nothing
            rc = check_hash(r, x, err);
        if (rc == 0 && i > 0 && X509_check_ca(x) != 1)
            rc = esp_fail(err, -EACCES, "certificate",
                          "%s has issued certificates and is no CA (basicConstraints)",
                          subject_of(x, who, sizeof(who)));
    }
    if (rc == 0 && r->ca_id.len)
        rc = check_ca_id(r, path->chain, err);
    return rc;
}

// ---- the certificate itself is trusted

static int check_validity(X509 *x, int64_t now, struct esp_error *err)
{
    char who[WHO_LEN], day[40];
    int64_t from = unix_time(X509_get0_notBefore(x)), to = unix_time(X509_get0_notAfter(x));
    subject_of(x, who, sizeof(who));
    if (from == INT64_MIN || to == INT64_MIN)
        return esp_fail(err, -EACCES, "certificate", "%s: its validity is malformed", who);
    print_day(now < from ? from : to, day, sizeof(day));
    if (now < from)
        return esp_fail(err, -EACCES, "certificate", "%s is not valid before %s", who, day);
    return now > to ? esp_fail(err, -EACCES, "certificate", "%s has expired, %s", who, day) : 0;
}

static int trust_directly(X509 *end, int64_t now, struct chain *out, struct esp_error *err)
{
    int rc = check_validity(end, now, err);
    if (rc)
        return rc;
    out->direct = true;
    out->chain = sk_X509_new_null();
    return out->chain && push(out->chain, end) ? 0 : esp_fail(err, -ENOMEM, "certificates", "no memory");
}

static bool is_loaded(const struct pki *p, const struct pki_item *end)
{
    const struct pki_item *there = store_find(p, end->digest);
    return there && there->e.kind == PKI_X509;
}

int chain_build(const struct pki *p, const struct pki_rules *r, struct pki_item *const *peer, size_t count,
                int64_t now, struct chain *out, struct esp_error *err)
{
    struct sources s = {0};
    char who[WHO_LEN];
    X509 *end = peer[0]->crt;
    bool pinned = r->cert_count && has(r->certs, r->cert_count, peer[0]->e.der);
    bool loaded = r->trust_loaded && !r->cacert_count && !r->cert_count && is_loaded(p, peer[0]);
    int rc;
    *out = (struct chain){0};
    if (r->cert_count && !pinned)
        return esp_fail(err, -EACCES, "certificate",
                        "%s is none of the certificates that the connection names",
                        subject_of(end, who, sizeof(who)));
    if (pinned && !r->cacert_count) {
        rc = trust_directly(end, now, out, err);
    } else {
        rc = gather(p, r, peer, count, &s, err);
        // A certificate that has a trusted CA is judged by it, loaded or not.
        if (rc == 0)
            rc = verify(r, end, &s, now, out, err);
        if (rc == -ENOKEY && loaded)
            rc = trust_directly(end, now, out, err);
        scatter(&s);
    }
    if (rc == 0)
        rc = check_rules(r, out, err);
    if (rc)
        chain_free(out);
    return rc;
}
