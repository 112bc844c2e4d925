// SPDX-License-Identifier: Apache-2.0
// What the files that read a connection share: the table made of swanctl_keys.h, one load with its faults,
// and the readers of single values. Every fault is recorded and the load goes on, so that all are told at
// once.
#ifndef CTRL_CONFIG_KEYS_H
#define CTRL_CONFIG_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "ctrl/config/conn_load.h"

// A value that was not given, until conn_finish.c has put what holds then. The widest that a key may have is
// one less.
#define UNSET UINT64_MAX

enum key_kind {
    K_TIME,
    K_SIZE,
    K_COUNT,
    K_NUMBER,
    K_PORT,
    K_YESNO,
    K_CHOICE,
    K_TEXT,
    K_ITEMS,
    K_WORD,
    K_BLOBS,
    K_ONLY,
    K_NEVER
};
enum key_section {
    SEC_CONN,
    SEC_LOCAL,
    SEC_REMOTE,
    SEC_LOCAL_CERT,
    SEC_REMOTE_CERT,
    SEC_REMOTE_CACERT,
    SEC_CHILD,
    SEC_EAP,
    SEC_NTLM,
    SEC_IKE,
    SEC_PPK,
    SEC_PRIVATE,
    SEC_RSA,
    SEC_ECDSA,
    SEC_PKCS8,
    SEC_PKCS12,
    SEC_TOKEN,
    SEC_POOL,
    SEC_AUTHORITY,
};

struct choice {
    const char *text;
    uint8_t value;
};
struct load;
struct key {
    enum key_section section;
    const char *name;
    enum key_kind kind;
    size_t offset;                // in conn_config, of SEC_CHILD in child_config
    uint64_t max;                 // K_NUMBER, K_TEXT
    const struct choice *choices; // K_CHOICE, K_ONLY
    int (*item)(struct load *l, void *owner, const char *text);    // K_ITEMS, K_WORD
    int (*octets)(struct load *l, void *owner, struct slice data); // K_BLOBS
    const char *usual, *words;
    bool awaited; // read and handed on, but without effect yet
};
extern const struct key swanctl_keys[];
extern const size_t swanctl_key_count;
// NULL: unknown
const struct key *key_find(enum key_section section, const char *name);

struct load {
    struct conn_config *conn; // NULL: an authority's
    const char *what;         // is discarded: "config", "authority"
    const struct load_report *report;
    struct esp_error *err; // the first fault
    unsigned faults;
    bool no_memory;               // no fault of what was given
    const struct key *key;        // being read, or NULL
    const struct vici_node *node; // where a fault is, or NULL
    char path[600];               // of the section being read: "gw.children.net"
    // if_id_in and if_id_out, of the connection and of the child that is being read; 0: not given
    struct if_ids {
        uint32_t in, out;
    } conn_if_ids, child_if_ids;
};

// Records a fault of l->key at l->node; returns -EINVAL.
__attribute__((format(printf, 2, 3))) int load_refuse(struct load *l, const char *fmt, ...);
__attribute__((format(printf, 2, 3))) void load_warn(struct load *l, const char *fmt, ...);
int load_bad_value(struct load *l, const char *value, const char *expected);
int load_too_long(struct load *l, const char *value, int most);
int load_too_many(struct load *l, const char *value, int most, const char *of_what); // the first one beyond
// Reads one key of a section into its owner: 0, or a fault was recorded.
int load_key(struct load *l, void *owner, enum key_section section, const struct vici_node *n);

// A certificate or public key of the key being read, PEM or DER, as DER: allocated, to be freed in any case.
// An authority's is one.
int load_der(struct load *l, enum pki_kind kind, struct slice data, uint8_t **der, size_t *len);

// ---- conn_items.c
#define X(name) int name(struct load *l, void *owner, const char *text);
X(conn_local_addr)
X(conn_remote_addr)
X(conn_local_port)
X(conn_if_id_in)
X(conn_if_id_out)
X(child_if_id_in)
X(child_if_id_out)
X(conn_pool)
X(conn_vip)
X(conn_ike_proposal)
X(child_esp_proposal)
X(child_ah_proposal)
X(child_local_ts)
X(child_remote_ts)
X(child_mode)
X(child_copy_dscp)
X(child_tfc_padding)
X(child_tfc_dummies)
X(child_route_metric)
X(child_probe_delay)
X(child_probe)
X(child_probe_from)
#undef X

// ---- conn_sides.c: local and remote, of the connection
#define X(name) int name(struct load *l, void *owner, const char *text);
X(side_auth)
X(side_policy)
X(side_ca_id)
X(side_eap_id)
X(side_aaa_id)
X(side_file)
#undef X
#define X(name) int name(struct load *l, void *owner, struct slice data);
X(side_cert)
X(side_cacert)
X(side_pubkey)
#undef X
// What does not go together in a side, and what its absence leaves open.
void side_finish(struct load *l, bool local, const struct vici_node *section);
// What does not go together in both of them.
void sides_finish(struct load *l);
// What `auth` is where nothing is said.
void side_defaults(struct auth_side *s, bool local);

// ---- authority_load.c
#define X(name) int name(struct load *l, void *owner, const char *text);
X(authority_file)
X(authority_crl_uri)
X(authority_ocsp_uri)
X(authority_uri_base)
#undef X
int authority_cacert(struct load *l, void *owner, struct slice data);

// ---- pool_load.c
#define X(name) int name(struct load *l, void *owner, const char *text);
X(pool_addrs)
X(pool_attr)
X(pool_attr_number)
#undef X

// ---- conn_finish.c: what follows from what was given, and what does not go together
void conn_finish(struct load *l);
void child_finish(struct load *l, struct child_config *child);

#endif
