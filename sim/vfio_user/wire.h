// SPDX-License-Identifier: Apache-2.0
// Framing of vfio-user messages on a stream socket: one message in, at most one reply out, descriptors
// attached to the message that carried them. No message is interpreted here.
#ifndef ESP_VFIO_USER_WIRE_H
#define ESP_VFIO_USER_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/vfio_user/proto.h"

// Reads fixed-width fields one after another; the first short read sets `bad` and all later ones return 0.
struct vfu_reader {
    const uint8_t *at;
    size_t left;
    bool bad;
};
uint16_t vfu_get16(struct vfu_reader *r);
uint32_t vfu_get32(struct vfu_reader *r);
uint64_t vfu_get64(struct vfu_reader *r);

// Writes fields into a buffer of fixed size; running over sets `bad`.
struct vfu_writer {
    uint8_t *buf;
    size_t used, size;
    bool bad;
};
void vfu_put16(struct vfu_writer *w, uint16_t v);
void vfu_put32(struct vfu_writer *w, uint32_t v);
void vfu_put64(struct vfu_writer *w, uint64_t v);
void vfu_put_bytes(struct vfu_writer *w, const void *data, size_t len);

struct vfu_msg {
    uint16_t id, cmd;
    uint32_t flags;
    size_t len; // bytes of the body
    const uint8_t *body;
    int fds[VFU_MAX_FDS]; // owned by the connection until a handler takes one and puts -1 in its place
    unsigned nfds;
};

struct vfu_conn {
    int fd; // -1: no connection
    uint8_t header[VFU_HEADER_SIZE];
    size_t got; // bytes of header and body received so far
    uint8_t *body;
    uint8_t *pending; // the part of a reply that the socket had no room for
    size_t pending_len, pending_at;
    struct vfu_msg msg;
    char error[128]; // why the stream was given up
};

// The connection takes `fd`, which is made non-blocking.
int vfu_conn_open(struct vfu_conn *c, int fd);
void vfu_conn_close(struct vfu_conn *c);

// 1: *msg is a whole message, valid until vfu_conn_done(); 0: no whole message yet; -ECONNRESET: the peer has
// gone; another negative errno: the stream is lost (`error` says why).
int vfu_conn_receive(struct vfu_conn *c, struct vfu_msg **msg);
void vfu_conn_done(struct vfu_conn *c);

// Nothing is sent for a message that asks for no reply. 0, or a negative errno when the stream is lost.
int vfu_conn_reply(struct vfu_conn *c, const struct vfu_msg *to, const void *body, size_t len);
int vfu_conn_reply_error(struct vfu_conn *c, const struct vfu_msg *to, int err);
// Sends more of a pending reply. No message is received while vfu_conn_blocked().
int vfu_conn_flush(struct vfu_conn *c);
static inline bool vfu_conn_blocked(const struct vfu_conn *c)
{
    return c->pending_len != 0;
}

#endif
