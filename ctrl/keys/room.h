// SPDX-License-Identifier: Apache-2.0
// What the files of the keys room share: its state, and the IKE SAs whose secrets it holds.
#ifndef CTRL_KEYS_ROOM_H
#define CTRL_KEYS_ROOM_H

#include "ctrl/crypto/mschapv2.h"
#include "ctrl/keys/derive.h"
#include "ctrl/keys/kex.h"
#include "ctrl/keys/keys.h"
#include "ctrl/keys/private.h"
#include "ctrl/keys/psk.h"
#include "ctrl/keys/secrets_file.h"
#include "ctrl/keys/ticket_store.h"

enum eap_phase { EAP_NONE, EAP_BEGUN, EAP_FAILED, EAP_DONE };
struct eap_state { // in the vault
    uint8_t challenge[MSCHAP_CHALLENGE], msk[MSCHAP_MSK];
    uint8_t authenticator[MSCHAP_AUTHENTICATOR]; // as the client: what the server must say
    bool only;                                   // no other proof than by EAP (RFC 5998)
    bool tls, tls_signed;                        // by EAP-TLS
    char secret[NAME_MAX_LEN];                   // the id of the one that was shown
};
struct ike_rare {               // what few IKE SAs have
    struct ticket_ref by, gave; // the ticket that it was resumed by, the last one that it was given
    struct table used;          // nonces that have made a KEYMAT, by their hash, but for the first ones
};
// A hundred thousand of them may be there, for years.
struct ike_entry {
    struct table_one node; // key: ike_id
    bool initiator, made, made_by_eap, checked_by_eap;
    bool octets;     // what the peer's signature covers was given away: it proves itself so or not at all
    bool checked;    // the peer has proven itself
    bool peer_again; // it proves itself in a further round (RFC 4739)
    bool more;       // another round is to come
    uint8_t rounds;  // that have begun behind the first; ROUNDS_MAX: there are no more of them
    bool settled;    // both ends are proven, and nothing is proven by it any more
    bool ppk_tried, ppk_required; // nothing is proven without it
    bool resumed;                 // both ends prove themselves by SK_p (RFC 5723), and by nothing else
    bool message_alone;           // of such a one: AUTH as libreswan makes it (derive.h)
    uint8_t eap;     // enum eap_phase. DONE: AUTH of both ends is by the MSK, and by nothing else
    uint32_t proven; // by the secret of this serial number; 0: by a signature
    // Nonces that have made a KEYMAT, how many, and the hash of the first ones, as most have no others.
    uint32_t used_count;
    uint64_t used_first;
    struct ike_secrets *s;   // in the vault; once it is settled up to the last octet of SK_d
    struct ike_secrets *ppk; // likewise, with the PPK, until the peer has said whether it uses it; NULL: none
    struct eap_state *eap_state; // NULL: none, or it is over
    struct ike_rare *rare;       // NULL: it has nothing of that
};
struct install {            // a CHILD_INSTALL that path has not answered
    struct table_node node; // key: our request to path
    uint32_t ike_req;
};
struct keys {
    struct loop *loop;
    struct cr_algs *algs;
    struct vault *vault;
    struct ipc_chan *chan[ROOM_COUNT];
    struct psk_store *psks;
    struct private_store *privates;
    struct secrets_file *file; // what the next one is to have of the two; NULL: there is no next one
    struct mschap *mschap;     // NULL: no EAP secret was ever loaded
    struct kex_store kex;
    struct ticket_store tickets; // that were given
    struct timer ticket_timer;   // when one of their keys goes
    struct timer alone;          // since path is gone, and it is not told that another one comes
    bool path_died;              // it is
    struct timer inherit_again;  // what could not be read of the last one's
    unsigned inherit_tries;
    struct table kept_tickets; // that were got
    struct table ikes, installs;
    uint32_t next_req;
};

struct ike_entry *keys_find_ike(struct keys *k, uint32_t id); // NULL: none
void keys_drop_ike(struct keys *k, struct ike_entry *e);      // NULL: nothing
int keys_add_ike(struct keys *k, uint32_t id, bool initiator,
                 struct ike_entry **out);         // its secrets are empty
struct ike_rare *keys_rare(struct ike_entry *e);  // made where there is none yet; NULL: no memory
bool keys_both_proven(const struct ike_entry *e); // NULL: no; only then there are traffic keys
// Behind each proof: with the last one all goes that makes proofs (SK_p, what EAP made, IntAuth), and SK_d
// alone is left, for what comes now.
void keys_settle(struct keys *k, struct ike_entry *e);

void keys_send_ike(struct ipc_chan *c, uint32_t req, struct ike_secrets *s); // SK_e and SK_a, which are wiped
// ---- intermediate.c
void keys_ike_update(struct keys *k, struct ipc_chan *c, const struct msg_IKE_UPDATE *m);
void keys_ppk_confirm(struct keys *k, struct ipc_chan *c, const struct msg_PPK_CONFIRM *m);

// ---- auth.c
void keys_auth_make(struct keys *k, struct ipc_chan *c, const struct msg_AUTH_MAKE *m);
void keys_auth_check(struct keys *k, struct ipc_chan *c, const struct msg_AUTH_CHECK *m);
void keys_auth_octets(struct keys *k, struct ipc_chan *c, const struct msg_AUTH_OCTETS *m);
void keys_auth_verified(struct keys *k, const struct msg_AUTH_VERIFIED *m);
void keys_auth_round(struct keys *k, const struct msg_AUTH_ROUND *m);

// ---- ppk.c
void keys_ppk_select(struct keys *k, struct ipc_chan *c, const struct msg_PPK_SELECT *m);
void keys_ppk_settle(struct keys *k, const struct msg_PPK_SETTLE *m);

// ---- eap.c
void keys_eap_begin(struct keys *k, struct ipc_chan *c, const struct msg_EAP_BEGIN *m);
void keys_eap_mschap(struct keys *k, struct ipc_chan *c, const struct msg_EAP_MSCHAP *m);
void keys_eap_answer(struct keys *k, struct ipc_chan *c, const struct msg_EAP_ANSWER *m);
void keys_eap_server(struct keys *k, struct ipc_chan *c, const struct msg_EAP_SERVER *m);
void keys_eap_over(struct ike_entry *e); // what EAP made goes
// ---- eap_tls.c
void keys_eap_tls_begin(struct keys *k, struct ipc_chan *c, const struct msg_EAP_TLS_BEGIN *m);
void keys_eap_tls_sign(struct keys *k, struct ipc_chan *c, const struct msg_EAP_TLS_SIGN *m);
void keys_eap_tls_msk(struct keys *k, struct ipc_chan *c, const struct msg_EAP_TLS_MSK *m);

// ---- ticket.c
void keys_ticket_seal(struct keys *k, struct ipc_chan *c, const struct msg_TICKET_SEAL *m);
void keys_ticket_open(struct keys *k, struct ipc_chan *c, const struct msg_TICKET_OPEN *m);
void keys_ticket_keep(struct keys *k, const struct msg_TICKET_KEEP *m);
void keys_ticket_forget(struct keys *k, const struct msg_TICKET_FORGET *m);
void keys_ike_resume(struct keys *k, struct ipc_chan *c, const struct msg_IKE_RESUME *m);
void keys_ticket_void(struct keys *k, struct ike_entry *e); // what it was given is good no more
// Its holder has proven itself. False: it was used up, or void, before.
bool keys_ticket_use(struct keys *k, struct ike_entry *e);
void keys_ticket_free(struct keys *k, bool given); // that were got; given: those that were given too

// ---- creds.c
void keys_from_ctl(struct keys *k, struct ipc_chan *c, enum msg_type t, const union msg *m); // from ctl
void keys_tell_ike_all(struct keys *k); // another ike: which private keys there are

#endif
