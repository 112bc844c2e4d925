// SPDX-License-Identifier: Apache-2.0
// CERT and CERTREQ payloads (RFC 7296 sections 3.6 and 3.7) and the notify SIGNATURE_HASH_ALGORITHMS (RFC
// 7427 section 4), read within bounds and written.
#ifndef CTRL_IKE_CERT_PAYLOAD_H
#define CTRL_IKE_CERT_PAYLOAD_H

#include "ctrl/ike/message.h"
#include "ctrl/pki/pki.h"

// What a peer may send before it is known; more is refused by name.
enum { CERT_OCTETS_MAX = 64 * 1024, PEER_CAS_MAX = 64 };
enum { CERT_X509 = 4, CERT_CRL = 7, CERT_HASH_URL = 12, CERT_HASH_URL_BUNDLE = 13, CERT_RAW_KEY = 15 };

struct peer_certs {
    struct slice certs[PKI_PEER_CERTS_MAX]; // in the message
    size_t count;
    struct slice pubkey;
};
// False: err names what is wrong. What is of no use here is said and left out.
bool certs_read(const struct payloads *pl, struct peer_certs *out, struct esp_error *err);
void pb_cert(struct pb *b, uint8_t encoding, struct slice data);
struct peer_cas { // the authorities that a peer names in its CERTREQs; further ones are not kept
    unsigned count;
    uint8_t hash[PEER_CAS_MAX][20]; // SHA-1 of the SubjectPublicKeyInfo
};
bool certreq_read(const struct payloads *pl,
                  struct peer_cas *out); // whether it asks for a certificate at all
// The same, of which only those that are named are kept, in the place of others; NULL: none, or no memory for
// what binds nobody.
bool certreq_keep(const struct payloads *pl, struct peer_cas **kept);
void pb_certreq(struct pb *b, struct slice hashes);
void pb_signature_hashes(struct pb *b);
// What the peer may be signed for with; false: it sent no such notify.
bool signature_hashes_read(const struct payloads *pl, uint32_t *schemes);

#endif
