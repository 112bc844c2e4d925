// SPDX-License-Identifier: Apache-2.0
// What one end of a connection is authenticated by (swanctl.conf's local and remote): the identity, the
// method, and for certificates which of them, by which authorities and under which rules. Certificates and
// public keys are DER as they were loaded; whoever uses them parses them.
#ifndef CTRL_AUTH_SIDE_H
#define CTRL_AUTH_SIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "ctrl/lib/slice.h"
#include "ctrl/lib/trust.h"

enum auth_method { AUTH_NONE, AUTH_PSK, AUTH_PUBKEY, AUTH_EAP };
// EAP at both ends: the server signs nothing but in the method (RFC 5998).
enum eap_type { EAP_TLS = 13, EAP_MSCHAPV2 = 26 }; // their numbers on the wire

// Capacities; ctrl/config/README.md lists them. What exceeds one is refused by name.
#define ID_MAX_LEN 256
enum { BLOBS_MAX = 16, BLOB_MAX_LEN = 16384 }; // of one list, octets of one entry

struct blob {
    uint8_t *p;
    uint32_t len;
};
struct blobs { // blobs_clear frees them
    uint8_t count;
    struct blob *b;
};
// A copy behind the others. -EMSGSIZE: empty or above BLOB_MAX_LEN; -ENOSPC: there are BLOBS_MAX; -ENOMEM.
int blobs_add(struct blobs *l, struct slice s);
void blobs_clear(struct blobs *l);
struct slice blobs_at(const struct blobs *l, unsigned i);

enum auth_id {   // beside the identity; most connections have none of them
    AUTH_CA_ID,  // an authority's subject that the chain must hold; empty: any that is trusted
    AUTH_EAP_ID, // of AUTH_EAP. local: the user name; remote: whose passwords do; empty: the IKE identity,
                 // and that alone
    AUTH_AAA_ID, // local, of EAP-TLS: whom the server's certificate must be of; empty: its IKE identity
    AUTH_IDS
};

struct auth_side {
    const char *id;     // charon's syntax; empty: the address (local), %any (remote). Its connection has it
    uint32_t round;     // the order of several (RFC 4739)
    uint8_t auth;       // enum auth_method
    uint8_t eap_type;   // enum eap_type, of AUTH_EAP
    uint8_t revocation; // enum pki_revocation
    // Of AUTH_PUBKEY. 0: what ctrl/crypto takes where nothing is asked for.
    uint32_t schemes;              // enum cr_scheme_bit: what AUTH may be made with
    uint32_t cert_hashes;          // 1 << CR_HASH_...: what certificates of the chain may be signed with
    uint16_t rsa_bits, ecdsa_bits; // the least of every key in the chain
    struct blobs certs;            // local: ours, the first that serves; remote: the peer's, pinned
    struct blobs cacerts, pubkeys; // authorities for this end alone; raw public keys (SubjectPublicKeyInfo)
    struct blobs cert_policy;      // OIDs as text, one of which the chain must be good for
    char *ids[AUTH_IDS];           // auth_id and auth_set_id
};
#define ROUNDS_MAX 4 // of authentication, of one end (RFC 4739)
struct auth_round {  // behind the first one
    struct auth_side side;
    struct auth_round *next;
};
const char *auth_id(const struct auth_side *s, enum auth_id which); // "": none
// Copies it. -EMSGSIZE: ID_MAX_LEN octets or more; -ENOMEM.
int auth_set_id(struct auth_side *s, enum auth_id which, const char *id);
void auth_side_clear(struct auth_side *s); // frees what it holds and zeroes it
// Both without the identity.
void auth_side_write(struct writer *w, const struct auth_side *s);
void auth_side_read(struct reader *r,
                    struct auth_side *s); // *s is overwritten; r->bad: malformed, or no memory

#endif
