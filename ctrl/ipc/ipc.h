// SPDX-License-Identifier: Apache-2.0
// Typed messages over SOCK_SEQPACKET pairs: u16 type, then the fields in order, by the slice reader and
// writer.
//   ipc_send(&chan, MSG_KE_GENERATE, &(struct msg_KE_GENERATE){.req = 1, .ke_id = 7, .group = 31});
// A receiver gets the type and a union of all structs; BLOB slices point into the receive buffer and are
// valid until the handler returns. A malformed message is a bug of another room, or worse: it is logged and
// the channel is closed.
#ifndef CTRL_IPC_IPC_H
#define CTRL_IPC_IPC_H

#include "ctrl/ipc/messages.h"
#include "ctrl/lib/child.h"
#include "ctrl/lib/conn.h"
#include "ctrl/lib/log.h"
#include "ctrl/lib/loop.h"
#include "ctrl/lib/slice.h"

enum msg_type {
    MSG_NONE,
#define X(name, routes) MSG_##name,
    MSG_LIST(X)
#undef X
        MSG_COUNT
};

#define IPC_MEMBER(kind, name, size) IPC_MEMBER_##kind(name, size)
#define IPC_MEMBER_U8(name, size)    uint8_t name;
#define IPC_MEMBER_U16(name, size)   uint16_t name;
#define IPC_MEMBER_U32(name, size)   uint32_t name;
#define IPC_MEMBER_U64(name, size)   uint64_t name;
#define IPC_MEMBER_STR(name, size)   char name[size];
#define IPC_MEMBER_BLOB(name, size)  struct slice name;
#define IPC_MEMBER_ADDR(name, size)  struct addr name;
#define IPC_MEMBER_TSL(name, size)   struct ts_list name;
#define X(name, routes)                                                                                      \
    struct msg_##name {                                                                                      \
        MSG_##name##_FIELDS(IPC_MEMBER)                                                                      \
    };
MSG_LIST(X)
#undef X

union msg {
#define X(name, routes) struct msg_##name name;
    MSG_LIST(X)
#undef X
};

#define IPC_MAX_MESSAGE (160 * 1024)

const char *msg_name(enum msg_type t);
void msg_write(struct writer *w, enum msg_type t, const void *m); // with its type
enum msg_type msg_read(struct slice s, union msg *m);             // MSG_NONE: malformed
enum msg_type msg_parse(struct slice s, union msg *m,
                        size_t *touched); // the same; *touched: what it has written of *m, octets

// PING is answered here, out of the loop, and no handler sees it.
// A channel in a loop. Sends never block: what does not fit the socket waits in a bounded queue
// (IPC_QUEUE_BYTES); a full queue is a fault of the other side and ends the channel. closed() comes from the
// loop, never out of ipc_send. Queued bytes are wiped after sending.
// Between ike and keys, and keys and path, which have most of a handshake, what is sent in one turn of the
// loop goes as one datagram at the turn's end: u16 IPC_BUNDLE, then the messages, 16 at most, u32 length and
// octets each; before anything goes by another channel of the loop, and at once where the loop calls nobody.
// A channel that ends meanwhile is told by closed() and not by what ipc_send returns.
#define IPC_BUNDLE      0xffffu
#define IPC_QUEUE_BYTES (8u << 20)
#define IPC_LOG_BYTES                                                                                        \
    (256u << 10) // where as much waits, log lines are dropped: they must never end a channel
struct ipc_chan;
struct ipc_handler {
    void (*message)(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m);
    void (*closed)(void *ctx, struct ipc_chan *c); // the other side is gone; free the channel here or later
};
// The channel between two rooms, as self has it; takes fd. What the peer may not send to self (MSG_LIST) ends
// the channel as a malformed message does.
struct ipc_chan *ipc_open(struct loop *l, int fd, enum room self, enum room peer, const struct ipc_handler *h,
                          void *ctx);
bool ipc_may_send(enum room from, enum room to, enum msg_type t);
void ipc_close(struct ipc_chan *c);
bool ipc_has_room(const struct ipc_chan *c); // false: a page must end here, not the channel
int ipc_send(struct ipc_chan *c, enum msg_type t, const void *m); // 0 or -errno; c may be NULL (-ENOTCONN)
int ipc_send_written(struct ipc_chan *c,
                     struct slice m); // the same of what msg_write has written, but no LOG
// CHANNEL is the one message that has a descriptor with it, and only the supervisor sends it. The first takes
// fd; the second, inside message(), gives the descriptor that came, the caller's from then on.
int ipc_send_channel(struct ipc_chan *c, enum room of, int fd);
int ipc_take_fd(struct ipc_chan *c);
// A line of this room's log, to ctl where somebody takes it.
void ipc_log(struct ipc_chan *c, enum log_subsys s, int level, const char *ike_name, unsigned ike_id,
             const char *text);
bool ipc_takes_events(const struct ipc_chan *c); // whether somebody takes what comes unasked; NULL: nobody
bool ipc_takes_alerts(const struct ipc_chan *c); // likewise ALERT
uint64_t ipc_logs_dropped(const struct ipc_chan *c); // LOG messages that it had no room for, ever; NULL: 0
const char *ipc_peer(const struct ipc_chan *c);
unsigned ipc_page(uint32_t most); // how many entries a page of a list may have
int ipc_result(struct ipc_chan *c, uint32_t req, bool ok, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
