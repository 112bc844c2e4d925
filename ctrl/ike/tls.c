// SPDX-License-Identifier: Apache-2.0
// The handshake runs as one of OpenSSL's asynchronous jobs, so that it can stand still within the signature;
// between two calls there is a job only while a signature is waited for. No session is resumed, no ticket
// given, nothing is sent early.
#include "ctrl/ike/tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/async.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>

#include "ctrl/ike/tls_key.h"

struct tls_room {
    OSSL_LIB_CTX *lib;
    OSSL_PROVIDER *normal, *keys;
    SSL_CTX *ctx[2]; // client, server
    unsigned sessions;
};
struct tls {
    struct tls_room *room;
    SSL *ssl;
    struct tls_signer signer;
    uint8_t *certs[TLS_PEER_CERTS_MAX];
    size_t cert_len[TLS_PEER_CERTS_MAX], cert_count;
    bool done;
};

// --- what they share ---

static void forget_certs(struct tls *t)
{
    while (t->cert_count)
        OPENSSL_free(t->certs[--t->cert_count]);
}

static bool keep(struct tls *t, X509 *x, size_t *octets)
{
    int n = t->cert_count < TLS_PEER_CERTS_MAX ? i2d_X509(x, &t->certs[t->cert_count]) : -1;
    if (n <= 0)
        return false;
    t->cert_len[t->cert_count++] = (size_t)n;
    *octets += (size_t)n;
    return *octets <= TLS_PEER_OCTETS;
}

// Whose they are and what they are worth is judged by whoever asks for them; here they are put aside. This
// runs on a job's small stack.
static int put_aside(X509_STORE_CTX *store, void *arg)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls *t = SSL_get_app_data(ssl);
    const STACK_OF(X509) *all = X509_STORE_CTX_get0_untrusted(store);
    X509 *own = X509_STORE_CTX_get0_cert(store);
    size_t octets = 0;
    (void)arg;
    forget_certs(t);
    t->certs[0] = NULL;
    bool good = own && keep(t, own, &octets);
    for (int i = 0; good && i < sk_X509_num(all); i++) {
        X509 *x = sk_X509_value(all, i);
        if (t->cert_count < TLS_PEER_CERTS_MAX)
            t->certs[t->cert_count] = NULL;
        good = x == own || keep(t, x, &octets);
    }
    X509_STORE_CTX_set_error(store, good ? X509_V_OK : X509_V_ERR_UNSPECIFIED);
    return good;
}

static SSL_CTX *context(OSSL_LIB_CTX *lib, bool server)
{
    SSL_CTX *c = SSL_CTX_new_ex(lib, NULL, server ? TLS_server_method() : TLS_client_method());
    bool good = c && SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) == 1 &&
                SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) == 1 &&
                SSL_CTX_set_cipher_list(c, "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!SHA1:!aNULL:!PSK") == 1 &&
                SSL_CTX_set1_groups_list(c, "X25519:P-256:P-384:P-521:X448") == 1 &&
                SSL_CTX_set1_sigalgs_list(c, "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:ed448:"
                                             "rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:"
                                             "RSA+SHA256:RSA+SHA384:RSA+SHA512") == 1 &&
                SSL_CTX_set_num_tickets(c, 0) == 1;
    if (!good) {
        SSL_CTX_free(c);
        return NULL;
    }
    SSL_CTX_set_options(c, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                               SSL_OP_CIPHER_SERVER_PREFERENCE);
    // strongSwan's server has no RFC 5746; here nobody renegotiates, and the server has signed IKE_AUTH
    // before.
    if (!server)
        SSL_CTX_set_options(c, SSL_OP_LEGACY_SERVER_CONNECT);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(c, SSL_MODE_ASYNC);
    SSL_CTX_set_max_cert_list(c, TLS_PEER_OCTETS);
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(c, put_aside, NULL);
    return c;
}

void tls_room_free(struct tls_room *r)
{
    if (!r)
        return;
    SSL_CTX_free(r->ctx[0]);
    SSL_CTX_free(r->ctx[1]);
    if (r->keys)
        OSSL_PROVIDER_unload(r->keys);
    if (r->normal)
        OSSL_PROVIDER_unload(r->normal);
    OSSL_LIB_CTX_free(r->lib);
    ASYNC_cleanup_thread();
    free(r);
}

struct tls_room *tls_room_new(void)
{
    struct tls_room *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->lib = OSSL_LIB_CTX_new();
    if (r->lib && OSSL_PROVIDER_add_builtin(r->lib, TLS_KEY_PROVIDER, tls_key_provider) == 1) {
        r->normal = OSSL_PROVIDER_load(r->lib, "default");
        r->keys = OSSL_PROVIDER_load(r->lib, TLS_KEY_PROVIDER);
    }
    for (int server = 0; server < 2 && r->normal && r->keys; server++)
        r->ctx[server] = context(r->lib, server);
    if (r->ctx[0] && r->ctx[1])
        return r;
    tls_room_free(r);
    return NULL;
}

// --- one ---

static X509 *read_cert(OSSL_LIB_CTX *lib, struct slice der)
{
    const uint8_t *at = der.p;
    X509 *x = X509_new_ex(lib, NULL);
    if (x && d2i_X509(&x, &at, (long)der.len))
        return x;
    X509_free(x);
    return NULL;
}

static bool take_chain(struct tls *t, const struct slice *chain, size_t count)
{
    bool good = count > 0;
    for (size_t i = 0; i < count && good; i++) {
        X509 *x = read_cert(t->room->lib, chain[i]);
        if (i == 0) {
            t->signer.public = x ? X509_get_pubkey(x) : NULL;
            EVP_PKEY *key = t->signer.public ? tls_key_new(t->room->lib, &t->signer) : NULL;
            good = key && SSL_use_certificate(t->ssl, x) == 1 && SSL_use_PrivateKey(t->ssl, key) == 1;
            EVP_PKEY_free(key);
        } else {
            good = x && SSL_add1_chain_cert(t->ssl, x) == 1;
        }
        X509_free(x);
    }
    return good;
}

static void explain(struct esp_error *err, const char *what)
{
    char text[160] = "";
    unsigned long e = ERR_peek_last_error();
    if (e)
        ERR_error_string_n(e, text, sizeof(text));
    esp_fail(err, -EPROTO, "TLS", "%s%s%s", what, text[0] ? ": " : "", text);
    ERR_clear_error();
}

struct tls *tls_new(struct tls_room *r, bool server, const struct slice *chain, size_t count,
                    struct esp_error *err)
{
    if (r->sessions >= TLS_SESSIONS_MAX) {
        esp_fail(err, -EBUSY, "TLS", "%d handshakes are under way, more are not begun", TLS_SESSIONS_MAX);
        return NULL;
    }
    struct tls *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->room = r;
    r->sessions++;
    t->ssl = SSL_new(r->ctx[server]);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    if (!t->ssl || !in || !out) {
        BIO_free(in);
        BIO_free(out);
        explain(err, "no session");
        tls_free(t);
        return NULL;
    }
    SSL_set_bio(t->ssl, in, out);
    SSL_set_app_data(t->ssl, t);
    if (server)
        SSL_set_accept_state(t->ssl);
    else
        SSL_set_connect_state(t->ssl);
    if (take_chain(t, chain, count))
        return t;
    explain(err, "our certificate cannot be used");
    tls_free(t);
    return NULL;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    if (t->signer.pending) { // the job that stands still ends: it gets no signature
        t->signer.signature_len = 0;
        (void)SSL_do_handshake(t->ssl);
        ERR_clear_error();
    }
    SSL_free(t->ssl);
    EVP_PKEY_free(t->signer.public);
    free(t->signer.data);
    forget_certs(t);
    t->room->sessions--;
    free(t);
}

static enum tls_step go_on(struct tls *t, struct esp_error *err)
{
    ERR_clear_error();
    int rc = SSL_do_handshake(t->ssl);
    if (rc == 1) {
        t->done = true;
        return TLS_DONE;
    }
    switch (SSL_get_error(t->ssl, rc)) {
    case SSL_ERROR_WANT_READ: return TLS_WAITS;
    case SSL_ERROR_WANT_ASYNC:
        if (t->signer.pending)
            return TLS_SIGNS;
        break;
    default: break;
    }
    explain(err, "the handshake failed");
    return TLS_FAILED;
}

bool tls_feed(struct tls *t, struct slice in)
{
    return !in.len || BIO_write(SSL_get_rbio(t->ssl), in.p, (int)in.len) == (int)in.len;
}

enum tls_step tls_step(struct tls *t, struct slice in, struct esp_error *err)
{
    if (!tls_feed(t, in)) {
        explain(err, "no memory");
        return TLS_FAILED;
    }
    if (t->signer.pending) {
        esp_fail(err, -EPROTO, "TLS", "the peer speaks while our signature is being made");
        return TLS_FAILED;
    }
    return t->done ? TLS_DONE : go_on(t, err);
}

struct slice tls_to_sign(const struct tls *t, uint32_t *scheme)
{
    *scheme = t->signer.scheme;
    return slice_of(t->signer.data, t->signer.len);
}

enum tls_step tls_signed(struct tls *t, struct slice signature, struct esp_error *err)
{
    if (!t->signer.pending || signature.len > sizeof(t->signer.signature)) {
        esp_fail(err, -EINVAL, "TLS", "a signature that nobody waits for, or too long");
        return TLS_FAILED;
    }
    memcpy(t->signer.signature, signature.p, signature.len);
    t->signer.signature_len = signature.len;
    return go_on(t, err);
}

size_t tls_take(struct tls *t, uint8_t *out, size_t cap)
{
    int n = BIO_read(SSL_get_wbio(t->ssl), out, (int)cap);
    return n > 0 ? (size_t)n : 0;
}

size_t tls_output(const struct tls *t)
{
    return BIO_ctrl_pending(SSL_get_wbio(t->ssl));
}

size_t tls_peer_certs(const struct tls *t, struct slice out[TLS_PEER_CERTS_MAX])
{
    for (size_t i = 0; i < t->cert_count; i++)
        out[i] = slice_of(t->certs[i], t->cert_len[i]);
    return t->cert_count;
}

const char *tls_version(const struct tls *t)
{
    return SSL_get_version(t->ssl);
}

bool tls_is_13(const struct tls *t)
{
    return SSL_version(t->ssl) == TLS1_3_VERSION;
}

bool tls_say_done(struct tls *t)
{
    static const uint8_t done = 0;
    return SSL_write(t->ssl, &done, 1) == 1;
}

bool tls_heard_done(struct tls *t)
{
    uint8_t octet[2];
    ERR_clear_error();
    return SSL_read(t->ssl, octet, sizeof(octet)) == 1 && octet[0] == 0;
}

bool tls_msk(struct tls *t, uint8_t out[TLS_MSK_LEN])
{
    static const char of_12[] = "client EAP encryption", of_13[] = "EXPORTER_EAP_TLS_Key_Material";
    static const uint8_t type = 13;
    uint8_t all[2 * TLS_MSK_LEN]; // MSK and EMSK
    bool v13 = tls_is_13(t);
    bool good = t->done && SSL_export_keying_material(t->ssl, all, sizeof(all), v13 ? of_13 : of_12,
                                                      (v13 ? sizeof(of_13) : sizeof(of_12)) - 1, &type,
                                                      v13 ? 1 : 0, v13) == 1;
    memcpy(out, all, TLS_MSK_LEN);
    OPENSSL_cleanse(all, sizeof(all));
    return good;
}
