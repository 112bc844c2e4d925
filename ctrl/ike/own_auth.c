// SPDX-License-Identifier: Apache-2.0
// Our own AUTH: which key and certificate (RFC 7296 2.15, 3.6), which method and signature the peer takes
// (RFC 7427), and the certificates that go along.
#include "ctrl/ike/own_auth.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/ike/auth.h"
#include "ctrl/ike/cert_payload.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/rounds.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"

enum { ID_BODY_MAX = ID_DATA_MAX + 4 };

void own_auth_free(struct own_auth *o)
{
    if (o)
        blobs_clear(&o->chain);
    free(o);
}

// --- the connection ---

// The certificate's subject is who we are where the connection does not say.
static int take_subject(struct identity *own, const struct pki_info *info, struct esp_error *err)
{
    if (!identity_parse(info->subject, own) || own->type != ID_DN)
        return esp_fail(err, -EINVAL, "local.id",
                        "the certificate's subject '%.100s' is no identity: give local.id", info->subject);
    return 0;
}

static int check_certs(const struct auth_side *s, struct identity *own, struct esp_error *err)
{
    for (unsigned i = 0; i < s->certs.count; i++) {
        struct slice cert = blobs_at(&s->certs, i);
        struct pki_info info;
        struct esp_error why = {0};
        char id[ID_TEXT_MAX];
        if (pki_describe(PKI_X509, cert, &info, &why) != 0)
            return esp_fail(err, -EINVAL, "local.certs", "certificate %u: %.150s", i + 1, why.text);
        if (s->auth == AUTH_EAP) // whose it is, is between the certificate and the server
            continue;
        if (own->type == ID_ANY && take_subject(own, &info, err) != 0)
            return -EINVAL;
        if (!pki_match_id(cert, own->type, slice_of(own->data, own->len)))
            return esp_fail(err, -EINVAL, "local.id",
                            "'%.80s' is neither the subject nor a subjectAltName of the certificate %.80s",
                            identity_print(own, id, sizeof(id)), info.subject);
    }
    return 0;
}

static int check_side(const struct auth_side *s, struct identity *own, struct esp_error *err)
{
    struct cr_key *key;
    struct esp_error why = {0};
    if (s->auth != AUTH_PUBKEY && !(s->auth == AUTH_EAP && s->eap_type == EAP_TLS))
        return 0;
    for (unsigned i = 0; i < s->pubkeys.count; i++) {
        struct slice spki = blobs_at(&s->pubkeys, i);
        if (cr_key_public(spki.p, spki.len, &key, &why) != 0)
            return esp_fail(err, -EINVAL, "local.pubkeys", "public key %u: %.150s", i + 1, why.text);
        cr_key_free(key);
    }
    return check_certs(s, own, err);
}

int own_auth_check(struct conn *c, struct esp_error *err)
{
    struct identity id;
    identity_copy(&id, c->local_id);
    int rc = check_side(&c->cfg.local, &id, err);
    if (!rc && !identity_eq(&id, c->local_id)) { // its certificate has said who we are
        free(c->local_id);
        c->local_id = identity_dup(&id);
        rc = c->local_id ? 0 : esp_fail(err, -ENOMEM, "local.id", "no memory");
    }
    for (const struct auth_round *more = c->cfg.local_more; !rc && more; more = more->next)
        if (identity_parse(more->side.id, &id)) // what it cannot be is told by rounds.c
            rc = check_side(&more->side, &id, err);
    return rc;
}

// --- choosing ---

static uint8_t method_for(const struct handshake *hs, uint8_t key_type, unsigned bits)
{
    if (hs->peer_signs)
        return CR_METHOD_SIGNATURE;
    return key_type == CR_KEY_RSA     ? CR_METHOD_RSA
           : key_type != CR_KEY_ECDSA ? 0 // RFC 8420: by method 14 alone
           : bits == 256              ? CR_METHOD_ECDSA_256
           : bits == 384              ? CR_METHOD_ECDSA_384
                                      : CR_METHOD_ECDSA_521;
}

static bool take_cert(const struct ike_sa *sa, struct own_auth *o, struct slice cert)
{
    struct slice more[PKI_CHAIN_MAX];
    struct pki_info info;
    struct esp_error err = {0};
    if (pki_describe_own(sa->ike->creds->pki, cert, &info, &err) != 0 ||
        !creds_has_key(sa->ike->creds, info.key_id))
        return false;
    memcpy(o->key_id, info.key_id, sizeof(o->key_id));
    o->method = method_for(sa->hs, info.key_type, info.key_bits);
    o->encoding = CERT_X509;
    size_t n = pki_intermediates(sa->ike->creds->pki, cert, more, PKI_CHAIN_MAX);
    bool good = blobs_add(&o->chain, cert) == 0;
    for (size_t i = 0; i < n && good; i++)
        good = blobs_add(&o->chain, more[i]) == 0;
    return good;
}

static bool take_pubkey(const struct ike_sa *sa, struct own_auth *o, struct slice spki)
{
    struct cr_key *key;
    struct esp_error err = {0};
    if (cr_key_public(spki.p, spki.len, &key, &err) != 0)
        return false;
    bool good = cr_key_id(key, o->key_id) == 0 && creds_has_key(sa->ike->creds, o->key_id) &&
                blobs_add(&o->chain, spki) == 0;
    o->method = method_for(sa->hs, (uint8_t)cr_key_type(key), cr_key_bits(key));
    o->encoding = CERT_RAW_KEY;
    cr_key_free(key);
    return good;
}

static bool is_named(const struct ike_sa *sa, struct slice cert)
{
    const struct peer_cas *cas = sa->hs->peer_cas;
    return pki_certreq_names(sa->ike->creds->pki, cert,
                             slice_of(cas->hash[0], cas->count * sizeof(cas->hash[0])));
}

// One of those that are loaded, of our identity and with its private key.
static bool take_loaded(const struct ike_sa *sa, struct own_auth *o, bool named)
{
    const struct creds *c = sa->ike->creds;
    for (unsigned i = 0; i < c->key_count; i++) {
        const struct pki_entry *e =
            pki_find_cert(c->pki, sa->local_id->type, slice_of(sa->local_id->data, sa->local_id->len),
                          c->keys[i], creds_now(sa->ike));
        if (e && (!named || is_named(sa, e->der)) && take_cert(sa, o, e->der))
            return true;
    }
    return false;
}

static bool take_certs(const struct ike_sa *sa, struct own_auth *o, bool named)
{
    const struct auth_side *s = rounds_own(sa);
    for (unsigned i = 0; i < s->certs.count; i++)
        if ((!named || is_named(sa, blobs_at(&s->certs, i))) && take_cert(sa, o, blobs_at(&s->certs, i)))
            return true;
    return !s->certs.count && !s->pubkeys.count && take_loaded(sa, o, named);
}

// First what is of an authority that the peer names (RFC 7296 3.7); what it names binds nobody to that.
static bool take_key(const struct ike_sa *sa, struct own_auth *o)
{
    const struct auth_side *s = rounds_own(sa);
    if ((sa->hs->peer_cas && take_certs(sa, o, true)) || take_certs(sa, o, false))
        return true;
    for (unsigned i = 0; i < s->pubkeys.count; i++)
        if (take_pubkey(sa, o, blobs_at(&s->pubkeys, i)))
            return true;
    return false;
}

bool own_auth_certs(struct ike_sa *sa, char *why, size_t size)
{
    struct own_auth *o = calloc(1, sizeof(*o));
    char id[ID_TEXT_MAX];
    own_auth_free(sa->hs->later->own);
    sa->hs->later->own = o;
    bool good = o && take_key(sa, o);
    if (!good)
        snprintf(why, size, "no certificate with its private key found for '%.150s'",
                 identity_print(sa->local_id, id, sizeof(id)));
    return good;
}

static bool choose(struct ike_sa *sa, char *why, size_t size)
{
    const struct auth_side *s = rounds_own(sa);
    struct own_auth *o = calloc(1, sizeof(*o));
    char id[ID_TEXT_MAX];
    own_auth_free(sa->hs->later->own);
    sa->hs->later->own = o;
    snprintf(why, size, "no memory");
    if (!o)
        return false;
    o->method = CR_METHOD_PSK;
    if (s->auth != AUTH_PUBKEY || sa->hs->eap_over || sa->hs->later->resumption)
        return true;
    o->schemes = s->schemes ? s->schemes : cr_schemes_default();
    if (sa->hs->peer_signs)
        o->schemes &= sa->hs->peer_schemes;
    if (!take_key(sa, o)) {
        snprintf(why, size, "no private key found for '%.150s'",
                 identity_print(sa->local_id, id, sizeof(id)));
        return false;
    }
    if (!o->method)
        snprintf(why, size, "the peer sent no SIGNATURE_HASH_ALGORITHMS, which our key needs (RFC 8420)");
    return o->method != 0;
}

// --- AUTH ---

// Whom a secret is looked up for: of a further round an initiator knows whom it is to be, and where it does
// not know the peer's name it takes its address.
static struct slice peer_body(const struct ike_sa *sa, uint8_t *buf, size_t size)
{
    struct identity id;
    if (sa->initiator && sa->hs->later->rounds && rounds_peer_has(sa))
        rounds_peer_id(sa, &id);
    else
        id.type = ID_ANY;
    if (id.type == ID_ANY || identity_is_pattern(&id))
        identity_copy(&id, sa->remote_id);
    if (id.type == ID_ANY)
        identity_of_addr(&sa->path.remote, &id);
    return auth_id_body(&id, buf, size);
}

bool own_auth_make(struct task *t, reply_fn fn, char *why, size_t size)
{
    struct ike_sa *sa = t->sa;
    struct handshake *hs = sa->hs;
    uint8_t own[ID_BODY_MAX], peer[ID_BODY_MAX];
    if (!choose(sa, why, size))
        return false;
    const struct own_auth *o = hs->later->own;
    struct msg_AUTH_MAKE q = {.req = ask_new(t, fn),
                              .ike_id = sa->id,
                              .method = o->method,
                              .message = slice_of(hs->own_init, hs->own_init_len),
                              .peer_nonce = hs->kex.peer_nonce,
                              .id_body = auth_id_body(sa->local_id, own, sizeof(own)),
                              .peer_id_body = peer_body(sa, peer, sizeof(peer)),
                              .local = sa->path.local,
                              .remote = sa->path.remote,
                              .key_id = slice_of(o->key_id, o->chain.count ? sizeof(o->key_id) : 0),
                              .schemes = o->schemes,
                              .more = rounds_more(sa)};
    ask(sa->ike, ROOM_KEYS, q.req, MSG_AUTH_MAKE, &q);
    return true;
}

const char *auth_print(uint8_t method, struct slice auth)
{
    static const char *const names[CR_SCHEME_COUNT] = {
        [CR_SCHEME_INDEX_RSA_SHA1] = "RSA_EMSA_PKCS1_SHA1",
        [CR_SCHEME_INDEX_RSA_SHA256] = "RSA_EMSA_PKCS1_SHA2_256",
        [CR_SCHEME_INDEX_RSA_SHA384] = "RSA_EMSA_PKCS1_SHA2_384",
        [CR_SCHEME_INDEX_RSA_SHA512] = "RSA_EMSA_PKCS1_SHA2_512",
        [CR_SCHEME_INDEX_RSA_PSS_SHA256] = "RSA_EMSA_PSS_SHA2_256_SALT_32",
        [CR_SCHEME_INDEX_RSA_PSS_SHA384] = "RSA_EMSA_PSS_SHA2_384_SALT_48",
        [CR_SCHEME_INDEX_RSA_PSS_SHA512] = "RSA_EMSA_PSS_SHA2_512_SALT_64",
        [CR_SCHEME_INDEX_ECDSA_SHA256] = "ECDSA_WITH_SHA256_DER",
        [CR_SCHEME_INDEX_ECDSA_SHA384] = "ECDSA_WITH_SHA384_DER",
        [CR_SCHEME_INDEX_ECDSA_SHA512] = "ECDSA_WITH_SHA512_DER",
        [CR_SCHEME_INDEX_ED25519] = "ED25519",
        [CR_SCHEME_INDEX_ED448] = "ED448",
    };
    enum cr_scheme_index i;
    switch (method) {
    case CR_METHOD_PSK: return "pre-shared key";
    case CR_METHOD_RSA: return "RSA signature";
    case CR_METHOD_ECDSA_256: return "ECDSA-256 signature";
    case CR_METHOD_ECDSA_384: return "ECDSA-384 signature";
    case CR_METHOD_ECDSA_521: return "ECDSA-521 signature";
    case CR_METHOD_SIGNATURE:
        return cr_auth_scheme(auth.p, auth.len, &i) == 0 ? names[i] : "an unknown signature";
    default: return "an unknown method";
    }
}

void own_auth_log(const struct ike_sa *sa, struct slice auth)
{
    const struct own_auth *o = sa->hs->later->own;
    char text[ID_TEXT_MAX];
    LOGF(IKE, 1, "authentication of '%s' (myself) with %s%s",
         identity_print(sa->local_id, text, sizeof(text)),
         sa->hs->eap_over            ? "EAP"
         : sa->hs->later->resumption ? "its session ticket"
                                     : auth_print(o->method, auth),
         o->method == CR_METHOD_PSK ? "" : " successful");
}

void pb_own_certs(struct pb *b, const struct ike_sa *sa)
{
    const struct own_auth *o = sa->hs->later->own;
    uint8_t when = sa->conn->cfg.send_cert;
    bool send = when == SEND_CERT_ALWAYS || (when == SEND_CERT_IFASKED && sa->hs->peer_asks_cert);
    for (unsigned i = 0; i < o->chain.count && send; i++) {
        struct pki_info info;
        struct esp_error err = {0};
        struct slice der = blobs_at(&o->chain, i);
        if (o->encoding == CERT_RAW_KEY)
            LOGF(IKE, 1, "sending our raw public key");
        else if (pki_describe_own(sa->ike->creds->pki, der, &info, &err) == 0)
            LOGF(IKE, 1, "sending %s cert \"%s\"", i ? "issuer" : "end entity", info.subject);
        pb_cert(b, i ? CERT_X509 : o->encoding, der);
    }
}

void pb_own_auth(struct pb *b, const struct ike_sa *sa, struct slice auth)
{
    pb_auth(b, sa->hs->later->own->method, auth);
}
