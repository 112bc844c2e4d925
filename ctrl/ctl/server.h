// SPDX-License-Identifier: Apache-2.0
// The VICI server: accepts clients, takes their frames apart, and sends replies and events, never waiting for
// anybody. Each client has one command at a time; what it does not read is bounded: events are dropped and
// counted, and a client whose replies no longer fit is disconnected.
#ifndef CTRL_CTL_SERVER_H
#define CTRL_CTL_SERVER_H

#include "ctrl/ctl/vici_msg.h"
#include "ctrl/lib/loop.h"

// X(symbol, name)
// clang-format off
#define VICI_EVENT_LIST(X)                                                                                   \
    X(LOG, "log") X(CONTROL_LOG, "control-log") X(LIST_SA, "list-sa") X(LIST_POLICY, "list-policy")          \
    X(LIST_CONN, "list-conn") X(LIST_CERT, "list-cert") X(LIST_AUTHORITY, "list-authority")                  \
    X(IKE_UPDOWN, "ike-updown") X(IKE_REKEY, "ike-rekey") X(IKE_UPDATE, "ike-update")                        \
    X(CHILD_UPDOWN, "child-updown") X(CHILD_REKEY, "child-rekey") X(ALERT, "alert")
// clang-format on
enum vici_event {
#define X(sym, name) VICI_EV_##sym,
    VICI_EVENT_LIST(X)
#undef X
        VICI_EV_COUNT
};

enum {
    SERVER_MAX_CLIENTS = 64,
    SERVER_AGAIN_MS = 1000,             // after a client could not be accepted for want of descriptors
    SERVER_STREAM = 256 << 10,          // octets waiting, above which what a command streams pauses
    SERVER_EVENT_QUEUE = 1 << 20,       // octets waiting, above which events to the client are dropped
    SERVER_QUEUE = 16 << 20,            // octets waiting, above which the client is disconnected
    SERVER_ERRMSG = 1024,               // octets of an errmsg; what is longer ends behind a word
    SERVER_FRAME_TIMEOUT_MS = 10 * 1000 // for the rest of a frame that has begun, and for a stuck reader
};

struct server;
struct client;

// A command that is being carried out. The handler answers now or later, exactly once, by server_reply.
struct command {
    struct server *server;
    struct client *client; // NULL once the client is gone
    char name[VICI_MAX_NAME + 1];
    struct vici_msg msg; // the request; freed with the command
    void *data;          // the handler's, released by free_data (where set) with the command
    void (*free_data)(void *data);
    void (*resume)(struct command *cmd); // called once, when the client has read, or is gone
    struct command *next;
};

struct server_ops {
    // false: unknown command
    bool (*command)(void *ctx, struct command *cmd);
    void (*listeners)(void *ctx); // who takes which events may have changed; NULL: nobody asks
    void (*dropped)(void *ctx);   // a client that loads has not gone by itself; may be NULL
    void (*unheard)(void *ctx);   // somebody has shut the socket down: no more clients come; may be NULL
};

struct server *server_new(struct loop *l, const struct server_ops *ops, void *ctx);
void server_free(struct server *s); // with all clients; commands still pending are released
// fd: listens (listen.h), and is closed here in any case. 0 or -errno.
int server_start(struct server *s, int fd);
void server_stop(struct server *s);         // no new clients
int server_adopt(struct server *s, int fd); // a connected client (tests)

// Takes o over (its contents are freed). A reply ends the command; NULL o: an empty message.
void server_reply(struct command *cmd, struct vici_out *o);
void server_reply_ok(struct command *cmd);
// errmsg of a reply. Stock clients show nothing of a text that has other characters than ASCII's printable
// ones.
void server_put_errmsg(struct vici_out *o, const char *text);
__attribute__((format(printf, 2, 3))) void server_reply_error(struct command *cmd, const char *fmt, ...);

unsigned
server_client_loads(const struct command *cmd); // its number, which grows; 0: it has gone. Noted: it loads

unsigned server_loaders(const struct server *s); // clients that are connected and have begun to load

// Events: to all clients that asked for them, or to the client of one command. o was begun by
// server_event_begin.
// What a command streams goes on while this is false; else it sets cmd->resume and returns.
bool server_full(const struct command *cmd);
bool server_wants(const struct server *s, enum vici_event ev);
bool server_command_wants(const struct command *cmd, enum vici_event ev);
void server_event_begin(struct vici_out *o, enum vici_event ev);
void server_event(struct server *s, enum vici_event ev, struct vici_out *o);
void server_event_to(struct command *cmd, enum vici_event ev, struct vici_out *o);

struct server_counts {
    unsigned clients;
    uint64_t commands, events_dropped, clients_dropped, bad_frames;
};
struct server_counts server_counts(const struct server *s);

#endif
