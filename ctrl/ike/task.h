// SPDX-License-Identifier: Apache-2.0
// One exchange at work, in the role of whoever began it or of whoever answers: a task. Its operations are
// found by its kind in the one table (wiring.c), so that whoever asks for an exchange need not know its file,
// and a new exchange is a new file and a line here. An SA has at most one task of each role at work.
#ifndef CTRL_IKE_TASK_H
#define CTRL_IKE_TASK_H

#include "ctrl/ike/message.h"
#include "ctrl/ike/room.h"
#include "ctrl/lib/table.h"

// X(KIND, name of its operations)
// clang-format off
#define TASK_LIST(X) \
    X(INIT, init) \
    X(INTERMEDIATE, intermediate) \
    X(INTERMEDIATE_RESPOND, intermediate_respond) \
    X(AUTH, auth) \
    X(AUTH_RESPOND, auth_respond) \
    X(CREATE_CHILD, create_child) \
    X(CREATE_CHILD_RESPOND, create_child_respond) \
    X(REKEY_CHILD, rekey_child) \
    X(REKEY_IKE, rekey_ike) \
    X(REKEY_IKE_RESPOND, rekey_ike_respond) \
    X(FOLLOWUP_RESPOND, followup_respond) \
    X(TICKET_RESPOND, ticket_respond) \
    X(INFO, info) \
    X(DELETE_IKE, delete_ike) \
    X(DELETE_CHILD, delete_child) \
    X(LIVENESS, liveness) \
    X(MOBIKE, mobike) \
    X(REDIRECT, redirect) \
    X(RESUME, resume) \
    X(TICKET, ticket)
// clang-format on
enum task_kind {
#define X(kind, name) TASK_##kind,
    TASK_LIST(X)
#undef X
        TASK_COUNT
};

struct inmsg { // one decrypted (or plain) message; heap, one owner
    struct ike_header h;
    struct net_path path;
    struct payloads pl;
    bool fragmented;  // how it came
    uint8_t hash[32]; // of a request as it came, of its first fragment: its repetition is known by that
    size_t len;
    uint8_t data[];
};
// With room for so many octets of data. Zeroed, but for the places of payloads and the data, which are 6 KiB
// that most messages need a few of. NULL: no memory.
struct inmsg *inmsg_new(size_t octets);

struct ike_sa;
struct task;
struct task_ops {
    const char *name;
    void (*start)(struct task *t); // as initiator: ends in exchange_send, now or when keys has answered
    bool (*response)(struct task *t, struct inmsg *m); // true: it keeps m. Ends in exchange_done
    void (*restart)(struct ike_sa *sa); // no answer came: all over again. NULL: the IKE SA ends
    uint8_t tries;                      // of repetitions before that, 0: the setting says how many
    uint8_t exchange;                   // as responder: the type that it answers
    bool (*takes)(
        const struct inmsg *m);       // where several answer one type: whether this one does. NULL: it does
    void (*request)(struct task *t);  // as responder, of t->msg: ends in exchange_reply
    void (*followed)(struct task *t); // as responder, of another request for the same task (followup.h)
    void (*undo)(struct task *t);     // it goes: what it holds is released, what is half made is taken back
};
#define X(kind, name) extern const struct task_ops task_##name;
TASK_LIST(X)
#undef X

struct task {
    struct table_node by_number; // what keys and path answer finds it by this
    struct task *next;           // that waits behind it
    enum task_kind kind;
    const struct task_ops *ops;
    struct ike_sa *sa;
    uint32_t number, child_id; // the CHILD SA that it is about, 0: none
    // Of one that does not wait for its DELETE; 0: it does. spi: inbound, peer_spi: outbound; reqid: its
    // child
    uint32_t spi, peer_spi, reqid;
    uint8_t protocol;
    struct inmsg *msg; // as responder: the request
    struct timer over; // as responder, waiting for an IKE_FOLLOWUP_KE: in vain
    uint8_t followups; // of these: behind how many
    void *data;        // the exchange's own
};

struct ike;
struct task *task_new(struct ike_sa *sa, enum task_kind kind, uint32_t child_id); // NULL: no memory
void task_become(struct task *t, enum task_kind kind);
static inline bool task_is(const struct task *t, enum task_kind kind) // t may be NULL
{
    return t && t->kind == kind;
}
void task_free(struct task *t);
struct task *task_by_number(struct ike *ike, uint32_t number); // NULL: it is gone, or its SA is
void task_drop_all(struct ike_sa *sa);
bool task_is_asked(const struct ike_sa *sa, enum task_kind kind, uint32_t child_id); // at work, or waits
void task_move_queue(struct ike_sa *from, struct ike_sa *to);                        // what has not begun

#endif
