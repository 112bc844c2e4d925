// SPDX-License-Identifier: Apache-2.0
// The keys room alone with its three neighbours played by the test: each call asks one thing and gives the
// answer.
#ifndef TESTS_KEYS_RIG_H
#define TESTS_KEYS_RIG_H

#include "ctrl/ike/identity.h"
#include "ctrl/keys/derive.h"
#include "ctrl/keys/keys.h"

struct bench {
    struct loop *loop;
    struct keys *keys;
    struct ipc_chan *ike, *path, *ctl, *super; // super: once there has been another ike
    bool slow;                                 // path does not answer
    uint32_t slow_req;
    unsigned deaths;    // of ikes, as path has heard of them
    enum msg_type type; // the last answer to ike or ctl
    bool ok;
    char text[1024];
    char secret[NAME_MAX_LEN], owner[257]; // AUTH_PROVEN
    unsigned listed;                       // SECRET_IS, KEY_IS
    unsigned have, gone;                   // KEY_HAVE
    void (*on_secret)(const char *id);
    uint64_t next; // LIST_MORE; 0: RESULT
    uint8_t data[1100];
    size_t len;
    uint8_t sk[4][64]; // IKE_KEYS: ai, ar, ei, er
    size_t sk_len[4];
    unsigned installs;
    uint8_t key_out[128], key_in[128];
};
extern struct bench *b; // of the test that runs
extern uint32_t req;
extern const uint8_t NI[32], NR[32];

int setup(void **state);
int teardown(void **state);
bool say(struct ipc_chan *c, enum msg_type t, const void *m); // true: it was done
struct slice id_body(const char *text, uint8_t *buf);
bool load(const char *name, const char *secret, const char *o1, const char *o2);
// An IKE SA whose peer's private value is known to the test, so that the test knows its keys too.
bool derive(uint32_t ike_id, bool initiator, struct ike_secrets *out);
bool make_auth(uint32_t ike_id, const char *me, const char *peer);
bool check_auth(uint32_t ike_id, const struct ike_secrets *s, bool of_initiator, const char *me,
                const char *peer, const char *secret);
bool install_with(uint32_t ike_id, uint32_t described, struct slice ni, struct slice nr, uint16_t bits);
bool install(uint32_t ike_id, uint32_t described);
void another_ike(void);      // that one has died
void another_keys(int file); // likewise, with its file; its neighbours are there

#endif
