// SPDX-License-Identifier: Apache-2.0
// What the files of ctrl/pki share: certificates and CRLs as they lie in the store, and the parts of a check.
#ifndef ESPALIER_CTRL_PKI_INTERNAL_H
#define ESPALIER_CTRL_PKI_INTERNAL_H

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "ctrl/lib/hash.h"
#include "ctrl/pki/pki.h"

enum { SHA256_LEN = 32 };

// One of X.509, parsed once: crt or crl or neither (a public key).
struct pki_item {
    struct pki_entry e; // what pki_next shows; der is owned
    uint8_t digest[SHA256_LEN];
    struct hash_node by_digest;
    X509 *crt;
    bool is_ca; // it may issue certificates
    X509_CRL *crl;
    char url[PKI_URL_LEN]; // of a fetched CRL
    uint64_t used;         // a cached one: when last
    unsigned refs;         // the store, and checks that go on
};

struct ocsp_answer {        // in the cache
    uint8_t id[SHA256_LEN]; // of issuer and certificate
    int64_t until;
    int64_t revoked_at; // 0: good
    int reason;
    uint64_t used;
};

struct failed_url {
    uint64_t hash;
    int64_t until;
};
enum { FAILED_URLS = 128, FAILED_FOR_S = 30 };

enum { OWN_KEPT = 8 };
struct pki {
    uint64_t seed, next_number, clock;
    struct hash by_digest;
    struct pki_item **items; // in the order of their numbers
    size_t count, cap;
    size_t certs, crls, octets;            // loaded
    size_t cached_crls, cached_crl_octets; // fetched
    struct pki_authority *authorities;     // ordered by name
    struct pki_item **authority_cas;       // beside them
    size_t authority_count;
    struct ocsp_answer *answers; // PKI_CACHED_OCSP_MAX of them, or NULL as long as there is none
    size_t answer_count;
    struct failed_url failed[FAILED_URLS];
    struct pki_item *own[OWN_KEPT]; // what was sent last, of which each handshake asks
    unsigned own_next;
};

// cert.c
int digest_of(struct slice der, uint8_t out[SHA256_LEN]);
// A checked item of its own: bounds, DER to the last octet, a key that is taken. der is copied.
struct pki_item *item_new(enum pki_kind kind, struct slice der, struct esp_error *err);
void item_unref(struct pki_item *i);
void item_describe(const struct pki_item *i, struct pki_info *out);
int64_t unix_time(const ASN1_TIME *t); // INT64_MIN: malformed
struct slice name_der(const X509_NAME *n);
char *name_print(const X509_NAME *n, char *buf, size_t size); // buf
char *subject_of(const X509 *x, char *buf, size_t size);      // in quotes, shortened: for errors
bool is_self_signed(X509 *x);
bool issued_by(X509 *x, X509 *issuer); // by names and key identifiers; no signature
bool crt_matches(X509 *x, const struct cr_key *key, uint8_t id_type, struct slice id);
int crt_key(X509 *x, struct cr_key **out, struct esp_error *err);
uint8_t
hash_of_nid(int signature_nid); // CR_HASH_*, 0: unknown, of a signature algorithm with its hash in its name
uint8_t crt_hash(X509 *x);      // the hash of its signature: CR_HASH_*, 0: not known

// store.c
struct pki_item *store_find(const struct pki *p, const uint8_t digest[SHA256_LEN]);
bool is_uri(struct slice s); // printable, of less than PKI_URL_LEN octets
bool is_url(struct slice s); // http or https, printable, of less than PKI_URL_LEN octets
bool is_anchor(const struct pki *p, const struct pki_item *i); // loaded as a CA, or an authority's
// Keeps a fetched CRL, in place of an older one of the same issuer and URL. It may let go of others.
int store_cache_crl(struct pki *p, struct pki_item *crl);

// path.c
struct chain {
    STACK_OF(X509) * chain; // the peer's first, the anchor last
    bool direct;            // trusted as it is: no chain, no revocation
};
// Certificates of their own, which the caller frees: chain_free.
int chain_build(const struct pki *p, const struct pki_rules *r, struct pki_item *const *peer, size_t count,
                int64_t now, struct chain *out, struct esp_error *err);
void chain_free(struct chain *path);

// crl.c and ocsp.c: what is known about a certificate
enum known { KNOWN_NOT, KNOWN_GOOD, KNOWN_REVOKED, KNOWN_NO_MEMORY /* to find out */ };
struct status {
    enum known known;
    int64_t until, revoked_at;
    int reason;
    char why_not[160]; // the last answer that could not be used
};
// chain[at]: the certificate; its issuer follows.
void crl_status(struct pki *p, STACK_OF(X509) * chain, int at, int64_t now, struct status *out);
// Judges by this fetched CRL besides; it is kept where it is the issuer's.
void crl_take(struct pki *p, const char *url, struct slice body, STACK_OF(X509) * chain, int at, int64_t now,
              struct status *out);
void ocsp_cached(struct pki *p, X509 *x, X509 *issuer, int64_t now, struct status *out);
// A request for x with a nonce, in DER, to be freed with free(); 0 or -ENOMEM.
int ocsp_request(X509 *x, X509 *issuer, uint8_t **der, size_t *len);
void ocsp_take(struct pki *p, struct slice request, struct slice body, X509 *x, X509 *issuer, int64_t now,
               struct status *out);
bool was_no_memory(void); // in what OpenSSL did since its errors were cleared, which they are now
const char *reason_name(int reason);
int revoked_error(const X509 *x, const struct status *s, struct esp_error *err);
// standing.c: seen: the newest number when the chain was judged. *out: NULL where nobody can revoke it.
int pki_standing_new(const struct pki *p, STACK_OF(X509) * chain, uint64_t seen, struct pki_standing **out);
// The URIs in x and those of issuer's authorities, each once: http and https alone. Their number.
size_t crl_uris(const struct pki *p, X509 *x, X509 *issuer, char out[][PKI_URL_LEN], size_t cap);
size_t ocsp_uris(const struct pki *p, X509 *x, X509 *issuer, char out[][PKI_URL_LEN], size_t cap);

#endif
