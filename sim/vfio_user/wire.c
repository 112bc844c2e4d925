// SPDX-License-Identifier: Apache-2.0
// Framing of vfio-user messages: reads exactly one header, then exactly its body, so that descriptors always
// belong to the message at hand. Header and body of a reply leave in one sendmsg, because a client may refuse
// a header that arrives in pieces.
#include "sim/vfio_user/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static void get(struct vfu_reader *r, void *out, size_t n)
{
    if (r->bad || r->left < n) {
        r->bad = true;
        memset(out, 0, n);
        return;
    }
    memcpy(out, r->at, n);
    r->at += n;
    r->left -= n;
}

uint16_t vfu_get16(struct vfu_reader *r)
{
    uint16_t v;
    get(r, &v, sizeof v);
    return v;
}

uint32_t vfu_get32(struct vfu_reader *r)
{
    uint32_t v;
    get(r, &v, sizeof v);
    return v;
}

uint64_t vfu_get64(struct vfu_reader *r)
{
    uint64_t v;
    get(r, &v, sizeof v);
    return v;
}

void vfu_put_bytes(struct vfu_writer *w, const void *data, size_t len)
{
    if (w->bad || w->size - w->used < len) {
        w->bad = true;
        return;
    }
    memcpy(w->buf + w->used, data, len);
    w->used += len;
}

void vfu_put16(struct vfu_writer *w, uint16_t v)
{
    vfu_put_bytes(w, &v, sizeof v);
}

void vfu_put32(struct vfu_writer *w, uint32_t v)
{
    vfu_put_bytes(w, &v, sizeof v);
}

void vfu_put64(struct vfu_writer *w, uint64_t v)
{
    vfu_put_bytes(w, &v, sizeof v);
}

int vfu_conn_open(struct vfu_conn *c, int fd)
{
    memset(c, 0, sizeof *c);
    c->fd = -1;
    c->body = malloc(VFU_MAX_BODY);
    c->pending = malloc(VFU_HEADER_SIZE + VFU_MAX_BODY);
    if (!c->body || !c->pending)
        goto fail;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        goto fail;
    c->fd = fd;
    return 0;
fail:
    free(c->body);
    free(c->pending);
    c->body = c->pending = NULL;
    return -ENOMEM;
}

void vfu_conn_close(struct vfu_conn *c)
{
    if (c->fd < 0)
        return;
    vfu_conn_done(c);
    close(c->fd);
    free(c->body);
    free(c->pending);
    c->body = c->pending = NULL;
    c->pending_len = 0;
    c->fd = -1;
}

void vfu_conn_done(struct vfu_conn *c)
{
    for (unsigned i = 0; i < c->msg.nfds; i++)
        if (c->msg.fds[i] >= 0)
            close(c->msg.fds[i]);
    c->msg.nfds = 0;
    c->got = 0;
}

static int lost(struct vfu_conn *c, const char *why)
{
    snprintf(c->error, sizeof c->error, "%s", why);
    return -EPROTO;
}

// Keeps the descriptors of one recvmsg; those beyond the agreed 16 per message end the stream.
static int take_fds(struct vfu_conn *c, struct msghdr *mh)
{
    int rc = 0;
    for (struct cmsghdr *cm = CMSG_FIRSTHDR(mh); cm; cm = CMSG_NXTHDR(mh, cm)) {
        if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(cm) + i * sizeof fd, sizeof fd);
            if (c->msg.nfds < VFU_MAX_FDS) {
                c->msg.fds[c->msg.nfds++] = fd;
            } else {
                close(fd);
                rc = lost(c, "more than 16 descriptors with one message");
            }
        }
    }
    if (mh->msg_flags & MSG_CTRUNC)
        rc = lost(c, "descriptors with a message did not fit (at most 16 are taken)");
    return rc;
}

// Receives up to `want` bytes: the number received, 0 when the socket is empty, or a negative errno.
static ssize_t receive_some(struct vfu_conn *c, void *to, size_t want)
{
    union {
        char bytes[CMSG_SPACE(VFU_MAX_FDS * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = to, .iov_len = want};
    struct msghdr mh = {.msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = control.bytes,
                        .msg_controllen = sizeof control.bytes};
    ssize_t n;
    do
        n = recvmsg(c->fd, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
    int rc = take_fds(c, &mh);
    if (rc)
        return rc;
    return n == 0 ? -ECONNRESET : n;
}

static int parse_header(struct vfu_conn *c, size_t *body_len)
{
    struct vfu_reader r = {.at = c->header, .left = sizeof c->header};
    c->msg.id = vfu_get16(&r);
    c->msg.cmd = vfu_get16(&r);
    uint32_t size = vfu_get32(&r);
    c->msg.flags = vfu_get32(&r);
    if (size < VFU_HEADER_SIZE || size > VFU_HEADER_SIZE + VFU_MAX_BODY) {
        snprintf(c->error, sizeof c->error, "message %u (command %u) claims %u bytes; 16 to %u are possible",
                 c->msg.id, c->msg.cmd, size, VFU_HEADER_SIZE + VFU_MAX_BODY);
        return -EPROTO;
    }
    *body_len = size - VFU_HEADER_SIZE;
    return 0;
}

int vfu_conn_receive(struct vfu_conn *c, struct vfu_msg **msg)
{
    size_t body_len = 0;
    if (vfu_conn_blocked(c))
        return 0;
    for (;;) {
        uint8_t *to;
        size_t want;
        if (c->got < VFU_HEADER_SIZE) {
            to = c->header + c->got;
            want = VFU_HEADER_SIZE - c->got;
        } else {
            int rc = parse_header(c, &body_len);
            if (rc)
                return rc;
            if (c->got == VFU_HEADER_SIZE + body_len)
                break;
            to = c->body + (c->got - VFU_HEADER_SIZE);
            want = VFU_HEADER_SIZE + body_len - c->got;
        }
        ssize_t n = receive_some(c, to, want);
        if (n == -ECONNRESET && c->got > 0)
            snprintf(c->error, sizeof c->error, "closed after %zu bytes of a message", c->got);
        if (n <= 0)
            return (int)n;
        c->got += (size_t)n;
    }
    c->msg.len = body_len;
    c->msg.body = c->body;
    *msg = &c->msg;
    return 1;
}

int vfu_conn_flush(struct vfu_conn *c)
{
    while (c->pending_len) {
        ssize_t n = send(c->fd, c->pending + c->pending_at, c->pending_len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return 0;
        if (n < 0)
            return -errno;
        c->pending_at += (size_t)n;
        c->pending_len -= (size_t)n;
    }
    c->pending_at = 0;
    return 0;
}

static int send_message(struct vfu_conn *c, const uint8_t header[VFU_HEADER_SIZE], const void *body,
                        size_t len)
{
    union {
        const void *in;
        void *out;
    } data = {.in = body};
    uint8_t head[VFU_HEADER_SIZE];
    memcpy(head, header, sizeof head);
    struct iovec iov[2] = {{head, sizeof head}, {data.out, len}};
    struct msghdr mh = {.msg_iov = iov, .msg_iovlen = len ? 2 : 1};
    size_t sent = 0;
    ssize_t n;
    do
        n = sendmsg(c->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
        return -errno;
    if (n > 0)
        sent = (size_t)n;
    if (sent == sizeof head + len)
        return 0;
    // The rest follows when the socket has room; the caller receives nothing until then.
    memcpy(c->pending, head, sizeof head);
    if (len)
        memcpy(c->pending + sizeof head, body, len);
    c->pending_at = sent;
    c->pending_len = sizeof head + len - sent;
    return 0;
}

static int send_reply(struct vfu_conn *c, const struct vfu_msg *to, uint32_t flags, uint32_t err,
                      const void *body, size_t len)
{
    if ((to->flags & VFU_F_NO_REPLY) || (to->flags & VFU_F_TYPE_MASK) != VFU_F_COMMAND)
        return 0;
    if (len > VFU_MAX_BODY || vfu_conn_blocked(c))
        return -EMSGSIZE;
    uint8_t header[VFU_HEADER_SIZE];
    struct vfu_writer w = {.buf = header, .size = sizeof header};
    vfu_put16(&w, to->id);
    vfu_put16(&w, to->cmd);
    vfu_put32(&w, (uint32_t)(VFU_HEADER_SIZE + len));
    vfu_put32(&w, flags);
    vfu_put32(&w, err);
    return send_message(c, header, body, len);
}

int vfu_conn_reply(struct vfu_conn *c, const struct vfu_msg *to, const void *body, size_t len)
{
    return send_reply(c, to, VFU_F_REPLY, 0, body, len);
}

int vfu_conn_reply_error(struct vfu_conn *c, const struct vfu_msg *to, int err)
{
    return send_reply(c, to, VFU_F_REPLY | VFU_F_ERROR, (uint32_t)(err < 0 ? -err : err), NULL, 0);
}
