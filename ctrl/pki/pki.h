// SPDX-License-Identifier: Apache-2.0
// Certificates: a store of what the operator has loaded, and the judgement of what a peer presents (RFC 5280,
// RFC 4945, RFC 6960 for OCSP). It knows X.509 and nothing of IKE messages. What a peer sent is bounded
// before it is parsed, a path is built by OpenSSL, and every refusal says which certificate and why.
// Revocation needs answers from elsewhere: a check says which URLs it wants, all of them out of chains that
// end at a trusted CA or configured for that CA, and its owner hands the answers back.
#ifndef ESPALIER_CTRL_PKI_H
#define ESPALIER_CTRL_PKI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctrl/crypto/dn.h"
#include "ctrl/crypto/signature.h"
#include "ctrl/lib/slice.h"
#include "ctrl/lib/trust.h"
#include "espalier/error.h"

// Bounds; more is refused by name.
enum {
    PKI_CERT_MAX = 16 * 1024,        // octets of a certificate or public key, in DER
    PKI_CRL_MAX = 1024 * 1024,       // of a CRL
    PKI_OCSP_MAX = 64 * 1024,        // of an OCSP response
    PKI_PEER_CERTS_MAX = 16,         // that a peer sends
    PKI_CHAIN_MAX = 10,              // certificates from the peer's to the CA's
    PKI_DN_MAX = DN_DER_MAX,         // octets of a distinguished name in DER
    PKI_STORE_MAX = 4096,            // certificates and public keys loaded
    PKI_STORE_OCTETS = 32 << 20,     // and their octets, CRLs included
    PKI_STORE_CRLS_MAX = 256,        // CRLs loaded
    PKI_CACHED_CRLS_MAX = 64,        // CRLs fetched,
    PKI_CACHED_CRL_OCTETS = 8 << 20, // and their octets; the one that is the longest unused goes first
    PKI_CACHED_OCSP_MAX = 1024,      // OCSP answers
    PKI_AUTHORITIES_MAX = 256,       // operators know of so many
    PKI_URIS_MAX = 8,   // of a kind, in an authority or a certificate (which may have more: unused)
    PKI_URL_LEN = 1024, // with the zero
    PKI_TEXT_LEN = 512, // a printed name, with the zero
};

struct pki;
struct pki *pki_new(void); // NULL: no memory
void pki_free(struct pki *p);

// ---- what the operator loads: DER or PEM

// The first PEM block of that kind, or the DER itself, checked: *out is allocated. -EINVAL, -ENOTSUP, -E2BIG,
// -ENOMEM.
int pki_read_der(enum pki_kind kind, const uint8_t *data, size_t len, uint8_t **out, size_t *out_len,
                 struct esp_error *err);
// Adds it, once: 0 added, 1 it was there already (a CA stays one). A CA needs basicConstraints CA. -ENOSPC:
// the store is full.
int pki_add(struct pki *p, enum pki_kind kind, const uint8_t *data, size_t len, struct esp_error *err);
void pki_clear(struct pki *p); // all that pki_add has added; authorities and caches stay
enum pki_cache { PKI_CACHE_CRL = 1, PKI_CACHE_OCSP = 2, PKI_CACHE_ALL = 3 };
void pki_flush(struct pki *p, unsigned caches); // of answers that were fetched

// An operator's knowledge about a CA: where its CRLs and OCSP responder are. ca: DER or PEM, which becomes a
// trusted CA too while the authority is there. Set again it replaces the one of that name.
int pki_authority_set(struct pki *p, const char *name, struct slice ca, const struct slice *crl_uris,
                      size_t crl_count, const struct slice *ocsp_uris, size_t ocsp_count,
                      struct esp_error *err);
int pki_authority_unset(struct pki *p, const char *name, struct esp_error *err); // -ENOENT
struct pki_authority {
    char name[256];
    struct slice ca; // DER
    size_t crl_count, ocsp_count;
    char crl_uris[PKI_URIS_MAX][PKI_URL_LEN], ocsp_uris[PKI_URIS_MAX][PKI_URL_LEN];
};
// In the order of their names: the first that comes after `name` (NULL: the first). Valid until the next
// change.
const struct pki_authority *pki_authority_next(const struct pki *p, const char *name);

// What is known of one, to be printed or judged by a person.
struct pki_info {
    char subject[PKI_TEXT_LEN], issuer[PKI_TEXT_LEN];
    char serial[64];               // hex
    int64_t not_before, not_after; // a CRL's thisUpdate and nextUpdate (INT64_MAX: none)
    bool is_ca, self_signed;
    uint8_t key_type; // enum cr_key_type
    uint16_t key_bits;
    uint8_t key_id[20];
    char names[PKI_TEXT_LEN]; // subjectAltName, as "DNS:a.test, IP Address:10.0.0.1"
};
int pki_describe(enum pki_kind kind, struct slice der, struct pki_info *out, struct esp_error *err);

// Everything that is loaded or cached, in the order of its coming: the first entry with a number above
// `after` and of `kind` (0: any). NULL: no more. Valid until the next change.
struct pki_entry {
    uint64_t number;
    enum pki_kind kind;
    bool fetched; // in a cache
    struct slice der;
    const struct cr_key *key; // NULL for a CRL
};
const struct pki_entry *pki_next(const struct pki *p, enum pki_kind kind, uint64_t after);

// ---- identities (types of RFC 7296 3.5: 1 IPv4, 2 FQDN, 3 e-mail, 5 IPv6, 9 DN, 11 key id)

// Whether the certificate is that identity's: its subject, a subjectAltName, or its key's identifier. Never
// the common name alone. A DN may have wildcards (dn_match). False as well for what is no certificate.
bool pki_match_id(struct slice cert, uint8_t id_type, struct slice id);
// ---- our own

// A loaded end certificate for that identity (id_type 0: any) and that key (key_id NULL: any); the newest
// valid one.
const struct pki_entry *pki_find_cert(const struct pki *p, uint8_t id_type, struct slice id,
                                      const uint8_t *key_id, int64_t now);
// pki_describe of an end or intermediate certificate of ours: the last few are kept as they were read.
int pki_describe_own(struct pki *p, struct slice cert, struct pki_info *out, struct esp_error *err);
// The loaded intermediates from the certificate's issuer up, without the self-signed one at the end. Their
// number.
size_t pki_intermediates(struct pki *p, struct slice cert, struct slice *out, size_t cap);
// SHA-1 of the trusted CAs' SubjectPublicKeyInfo for CERTREQ (RFC 7296 3.7): `cacerts`, or where there is
// none all loaded CAs. Octets written.
size_t pki_certreq(const struct pki *p, const struct slice *cacerts, size_t count, uint8_t *out, size_t cap);
// Whether one of the CAs that a CERTREQ names is in the chain of this certificate as far as it is loaded.
bool pki_certreq_names(struct pki *p, struct slice cert, struct slice hashes);

// ---- a peer's

struct pki_rules {
    const struct slice *cacerts; // DER: these CAs and no others; none: every loaded CA
    size_t cacert_count;
    const struct slice *certs; // DER: exactly one of these certificates; alone they are trusted without a CA
    size_t cert_count;
    const struct slice *pubkeys; // SubjectPublicKeyInfo: exactly one of these keys
    size_t pubkey_count;
    struct slice ca_id;          // a DN, wildcards allowed, that a CA of the chain has; empty: any
    const char *const *policies; // OIDs in dots: one of them holds for the whole chain; none: any
    size_t policy_count;
    uint8_t revocation; // enum pki_revocation
    uint16_t rsa_bits,
        ecdsa_bits;       // at least, in every certificate of the chain; 0: the floor of cr_key_public
    uint32_t key_types;   // 1 << enum cr_key_type of the peer's key; 0: any
    uint32_t cert_hashes; // 1 << CR_HASH_* of the certificates' signatures; 0: all but SHA-1
    bool trust_loaded; // where neither cacerts nor certs nor pubkeys are given: a loaded end certificate is
                       // trusted
};
struct pki_peer {
    const struct slice
        *certs; // X.509 as received, the peer's own first; none: it is looked for among rules->certs
    size_t count;
    struct slice pubkey; // a raw public key (encoding 15) instead
    uint8_t id_type;     // what the peer says that it is
    struct slice id;
};
enum pki_verdict { PKI_VALID = 1, PKI_REFUSED, PKI_WANTS_FETCH };

struct pki_check; // one judgement; it keeps what it needs of rules and peer, and must be freed before the
                  // store
// now: seconds since 1970. *out is set with PKI_VALID and PKI_WANTS_FETCH alone. PKI_REFUSED: err.
enum pki_verdict pki_check_begin(struct pki *p, const struct pki_rules *rules, const struct pki_peer *peer,
                                 int64_t now, struct pki_check **out, struct esp_error *err);
struct pki_fetch {
    uint32_t id; // of this check
    char url[PKI_URL_LEN];
    struct slice body;        // an OCSP request to be POSTed; empty: GET. Valid until it is answered
    const char *content_type; // of the body, or NULL
    uint32_t most;            // octets that an answer may have
};
// The next URL to be asked for, each once; false: no more at the moment.
bool pki_check_next(struct pki_check *c, struct pki_fetch *out);
// The answer, or why there is none: a URL that gave none rests for half a minute, one that nobody could be
// asked for does not. A verdict of WANTS_FETCH: others are out, or pki_check_next has more.
enum pki_answer { PKI_NO_ANSWER, PKI_ANSWERED, PKI_NOT_ASKED };
enum pki_verdict pki_check_fetched(struct pki_check *c, uint32_t id, enum pki_answer how, const char *text,
                                   struct slice body, int64_t now, struct esp_error *err);
// The peer's key and certificate (empty: a raw key), of a check that ended in PKI_VALID.
const struct cr_key *pki_check_key(const struct pki_check *c);
struct slice pki_check_cert(const struct pki_check *c);
// When the certificates or the answers about them end (seconds since 1970): judge again then. INT64_MAX:
// never.
int64_t pki_check_until(const struct pki_check *c);
void pki_check_free(struct pki_check *c);

// ---- a peer that was taken

// The chain that proved it, for as long as what was proven stands: a CRL that is loaded or fetched later may
// say that it is revoked. *out is NULL where nobody can (a raw key, a pinned certificate). 0 or -ENOMEM.
struct pki_standing;
int pki_check_standing(const struct pki_check *c, struct pki_standing **out);
struct pki_standing *pki_standing_ref(struct pki_standing *s); // NULL is none
void pki_standing_unref(struct pki_standing *s);
uint64_t pki_newest(const struct pki *p); // grows with whatever comes into the store or the caches
// By the CRLs that came since it was asked last: 0, or -EACCES with which certificate is revoked, or -ENOMEM:
// that is not known yet.
int pki_standing_judge(struct pki *p, struct pki_standing *s, int64_t now, struct esp_error *err);

#endif
