// SPDX-License-Identifier: Apache-2.0
// Client of the vfio-user protocol (QEMU's docs/interop/vfio-user): the VFIO model of a device over a UNIX
// stream socket. Replies are matched by id, every wait ends within timeout_ms, and the end of the stream
// means that the device has gone.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "driver/bus/bus.h"
#include "driver/common/bytes.h"

enum command {
    CMD_VERSION = 1,
    CMD_DMA_MAP = 2,
    CMD_DMA_UNMAP = 3,
    CMD_GET_INFO = 4,
    CMD_GET_REGION_INFO = 5,
    CMD_GET_IRQ_INFO = 7,
    CMD_SET_IRQS = 8,
    CMD_REGION_READ = 9,
    CMD_REGION_WRITE = 10,
    CMD_DEVICE_RESET = 13,
};
enum {
    HEADER = 16,
    MAX_PAYLOAD = 4096 + 64,
    FLAG_REPLY = 1,
    FLAG_TYPE = 15,
    FLAG_NO_REPLY = 0x10,
    FLAG_ERROR = 0x20
};
enum { POSTED_ID = 0xffff }; // of messages that get no reply
enum { DEVICE_IS_PCI = 2, DMA_READ_WRITE = 3, IRQ_EVENTFD_TRIGGER = 0x24, IRQ_NONE_TRIGGER = 0x21 };

static const char capabilities[] = "{\"capabilities\":{\"max_msg_fds\":16,\"max_data_xfer_size\":1048576,"
                                   "\"max_dma_maps\":65535,\"pgsizes\":4096}}";

struct vfio_user {
    struct bus base;
    uint16_t id;
    atomic_bool eof; // the other side has closed: its process has ended or has let go of the device
};

static struct vfio_user *vu(struct bus *b)
{
    return (struct vfio_user *)b;
}

static int64_t ms_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

// The stream cannot be used any more. Shut down, not closed: the number must not be given to another file
// yet.
static int lost(struct vfio_user *v, int rc)
{
    if (rc == -EPIPE || rc == -ECONNRESET)
        v->eof = true;
    if (!atomic_exchange(&v->base.gone, true))
        shutdown(v->base.fd, SHUT_RDWR);
    return rc;
}

static int wait_for(struct vfio_user *v, short what, int64_t deadline)
{
    struct pollfd p = {.fd = v->base.fd, .events = what};

    for (;;) {
        int64_t left = deadline - ms_now();
        int n = poll(&p, 1, left > 0 ? (int)left : 0);

        if (n > 0)
            return 0;
        if (n == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

// Puts the descriptors into a control message.
static void attach_fds(struct msghdr *m, void *control, size_t size, const int *fds, unsigned n)
{
    struct cmsghdr *c;

    if (n == 0)
        return;
    memset(control, 0, size);
    m->msg_control = control;
    m->msg_controllen = CMSG_SPACE(n * sizeof(int));
    c = CMSG_FIRSTHDR(m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(c), fds, n * sizeof(int));
}

static int send_all(struct vfio_user *v, const uint8_t *msg, size_t len, const int *fds, unsigned nfds)
{
    int64_t deadline = 0;
    size_t sent = 0;

    while (sent < len) {
        _Alignas(struct cmsghdr) char control[CMSG_SPACE(BUS_MAX_IRQS * sizeof(int))];
        struct iovec iov = {.iov_base = (void *)(uintptr_t)(msg + sent), .iov_len = len - sent};
        struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
        ssize_t n;

        attach_fds(&m, control, sizeof(control), fds, sent ? 0 : nfds); // they go with the first byte
        n = sendmsg(v->base.fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            sent += (size_t)n;
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            int rc;
            if (deadline == 0)
                deadline = ms_now() + v->base.timeout_ms;
            rc = wait_for(v, POLLOUT, deadline);
            if (rc)
                return lost(v, rc);
        } else if (n == 0 || errno != EINTR) {
            return lost(v, n == 0 ? -EPIPE : -errno);
        }
    }
    return 0;
}

// One small message, without waiting and without a lock against the thread that talks to the device: Linux
// queues a message that fits one socket buffer as a whole or not at all. One that were cut all the same could
// not be mended: the stream is lost.
static int send_now(struct vfio_user *v, const uint8_t *msg, size_t len)
{
    ssize_t n;

    do {
        n = send(v->base.fd, msg, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n == (ssize_t)len)
        return 0;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return -EAGAIN;
    return lost(v, n < 0 ? -errno : -EIO);
}

static int recv_all(struct vfio_user *v, uint8_t *to, size_t len, int64_t deadline)
{
    size_t got = 0;

    while (got < len) {
        ssize_t n = recv(v->base.fd, to + got, len - got, MSG_DONTWAIT);
        int rc;

        if (n > 0) {
            got += (size_t)n;
            continue;
        }
        if (n == 0)
            return lost(v, -EPIPE);
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return lost(v, -errno);
        rc = wait_for(v, POLLIN, deadline);
        if (rc)
            return lost(v, rc);
    }
    return 0;
}

static void put_header(uint8_t *h, uint16_t id, uint16_t cmd, size_t size, uint32_t flags, uint32_t error)
{
    put_le16(h, id);
    put_le16(h + 2, cmd);
    put_le32(h + 4, (uint32_t)size);
    put_le32(h + 8, flags);
    put_le32(h + 12, error);
}

// A request of the server's: we have mapped all memory by descriptor, so it has nothing to ask.
static int refuse_request(struct vfio_user *v, const uint8_t *h)
{
    uint8_t reply[HEADER];

    if (get_le32(h + 8) & FLAG_NO_REPLY)
        return 0;
    put_header(reply, get_le16(h), get_le16(h + 2), HEADER, FLAG_REPLY | FLAG_ERROR, ENOTSUP);
    int rc = send_now(v, reply, sizeof(reply));
    return rc == -EAGAIN ? lost(v, -ETIMEDOUT) : rc; // it asks and asks, and reads no answer
}

// Reads messages until the reply to id; others are skipped, for as long as a silent device is waited for.
// Returns the payload's length or a negative errno.
static int wait_reply(struct vfio_user *v, uint16_t id, uint16_t cmd, uint8_t *payload, size_t cap)
{
    int64_t deadline = ms_now() + v->base.timeout_ms;
    uint8_t h[HEADER], body[MAX_PAYLOAD];

    for (;;) {
        uint32_t size, flags;
        int rc = ms_now() < deadline ? recv_all(v, h, sizeof(h), deadline) : lost(v, -ETIMEDOUT);

        if (rc)
            return rc;
        size = get_le32(h + 4);
        flags = get_le32(h + 8);
        if (size < HEADER || size > HEADER + MAX_PAYLOAD)
            return lost(v, -EPROTO);
        rc = recv_all(v, body, size - HEADER, deadline);
        if (rc)
            return rc;
        if ((flags & FLAG_TYPE) == 0) {
            rc = refuse_request(v, h);
            if (rc)
                return rc;
        } else if (get_le16(h) == id) {
            uint32_t error = get_le32(h + 12);
            if (get_le16(h + 2) != cmd)
                return lost(v, -EPROTO);
            if (flags & FLAG_ERROR)
                return error > 0 && error < 4096 ? -(int)error : -EIO;
            if (size - HEADER > cap)
                return lost(v, -EPROTO);
            memcpy(payload, body, size - HEADER);
            return (int)(size - HEADER);
        }
    }
}

// Sends one command and waits for its reply, which replaces buf. Returns the reply's length or a negative
// errno.
static int call(struct vfio_user *v, enum command cmd, uint8_t *buf, size_t len, size_t cap, const int *fds,
                unsigned nfds)
{
    uint8_t msg[HEADER + MAX_PAYLOAD];
    uint16_t id = v->id++ % POSTED_ID;
    int rc;

    if (v->base.gone)
        return -ENODEV;
    put_header(msg, id, (uint16_t)cmd, HEADER + len, 0, 0);
    memcpy(msg + HEADER, buf, len);
    rc = send_all(v, msg, HEADER + len, fds, nfds);
    return rc ? rc : wait_reply(v, id, (uint16_t)cmd, buf, cap);
}

static void put_access(uint8_t *p, uint64_t offset, unsigned region, uint32_t count)
{
    put_le64(p, offset);
    put_le32(p + 8, region);
    put_le32(p + 12, count);
}

static int vu_read(struct bus *b, unsigned region, uint64_t offset, void *buf, uint32_t count)
{
    uint8_t p[16 + 8];
    int rc;

    if (count > 8)
        return -EINVAL;
    put_access(p, offset, region, count);
    rc = call(vu(b), CMD_REGION_READ, p, 16, sizeof(p), NULL, 0);
    if (rc < 0)
        return rc;
    if (rc != (int)(16 + count))
        return lost(vu(b), -EPROTO);
    memcpy(buf, p + 16, count);
    return 0;
}

static int vu_write(struct bus *b, unsigned region, uint64_t offset, const void *buf, uint32_t count,
                    bool posted)
{
    uint8_t p[HEADER + 16 + 8];
    int rc;

    if (count > 8)
        return -EINVAL;
    put_access(p + HEADER, offset, region, count);
    memcpy(p + HEADER + 16, buf, count);
    if (posted) {
        put_header(p, POSTED_ID, CMD_REGION_WRITE, HEADER + 16 + count, FLAG_NO_REPLY, 0);
        return send_now(vu(b), p, HEADER + 16 + count);
    }
    rc = call(vu(b), CMD_REGION_WRITE, p + HEADER, 16 + count, 16 + 8, NULL, 0);
    return rc < 0 ? rc : 0;
}

static int vu_dma_map(struct bus *b, void *base, size_t length, int memfd, uint64_t iova)
{
    uint8_t p[32];
    int rc;

    (void)base;
    put_le32(p, sizeof(p));
    put_le32(p + 4, DMA_READ_WRITE);
    put_le64(p + 8, 0);
    put_le64(p + 16, iova);
    put_le64(p + 24, length);
    rc = call(vu(b), CMD_DMA_MAP, p, sizeof(p), sizeof(p), &memfd, 1);
    return rc < 0 ? rc : 0;
}

static int vu_dma_unmap(struct bus *b, uint64_t iova, size_t length)
{
    uint8_t p[24];
    int rc;

    put_le32(p, sizeof(p));
    put_le32(p + 4, 0);
    put_le64(p + 8, iova);
    put_le64(p + 16, length);
    rc = call(vu(b), CMD_DMA_UNMAP, p, sizeof(p), sizeof(p), NULL, 0);
    return rc < 0 ? rc : 0;
}

static int vu_irq_set(struct bus *b, const int *fds, unsigned n)
{
    uint8_t p[20];
    int rc;

    put_le32(p, sizeof(p));
    put_le32(p + 4, n ? IRQ_EVENTFD_TRIGGER : IRQ_NONE_TRIGGER);
    put_le32(p + 8, BUS_IRQ_MSIX);
    put_le32(p + 12, 0);
    put_le32(p + 16, n);
    rc = call(vu(b), CMD_SET_IRQS, p, sizeof(p), sizeof(p), fds, n);
    return rc < 0 ? rc : 0;
}

static int vu_reset(struct bus *b)
{
    uint8_t none[1];
    int rc = call(vu(b), CMD_DEVICE_RESET, none, 0, sizeof(none), NULL, 0);

    return rc < 0 ? rc : 0;
}

// The device is a process: once its end of the stream is closed it has exited, and its mappings of our memory
// went with it, or it has let go of the device, which resets it. Nothing in flight can reach our memory after
// either. A stream that is merely silent proves nothing.
static bool vu_dead(struct bus *b)
{
    struct vfio_user *v = vu(b);
    uint8_t octet;
    ssize_t n;

    if (v->eof)
        return true;
    n = recv(b->fd, &octet, 1, MSG_PEEK | MSG_DONTWAIT);
    if (b->gone) // we have shut it down ourselves: the end that we read may be our own
        return v->eof;
    if (n == 0 || (n < 0 && (errno == ECONNRESET || errno == EPIPE)))
        lost(v, -EPIPE);
    return v->eof;
}

static void vu_close(struct bus *b)
{
    if (b->fd >= 0)
        close(b->fd);
    free(b);
}

static const struct bus_ops vfio_user_ops = {
    .read = vu_read,
    .write = vu_write,
    .dma_map = vu_dma_map,
    .dma_unmap = vu_dma_unmap,
    .irq_set = vu_irq_set,
    .reset = vu_reset,
    .dead = vu_dead,
    .close = vu_close,
};

// connect() is given the path below a descriptor of its directory: socket addresses hold 108 bytes, sysfs
// paths more.
static int connect_to(struct vfio_user *v, const char *dir)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), rc = 0;

    if (at < 0)
        return -errno;
    v->base.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/vfio-user.sock", at);
    if (v->base.fd < 0 || connect(v->base.fd, (struct sockaddr *)&addr, sizeof(addr)))
        rc = -errno;
    close(at);
    return rc;
}

static int negotiate(struct vfio_user *v)
{
    uint8_t p[1024];
    int rc;

    put_le16(p, 0);
    put_le16(p + 2, 0);
    memcpy(p + 4, capabilities, sizeof(capabilities));
    rc = call(v, CMD_VERSION, p, 4 + sizeof(capabilities), sizeof(p), NULL, 0);
    if (rc < 0)
        return rc;
    return rc < 4 || get_le16(p) != 0 ? -EPROTO : 0;
}

static int query_device(struct vfio_user *v, struct esp_error *err)
{
    uint8_t p[64] = {0};
    int rc;

    put_le32(p, 16);
    rc = call(v, CMD_GET_INFO, p, 16, sizeof(p), NULL, 0);
    if (rc < 16 || !(get_le32(p + 4) & DEVICE_IS_PCI))
        return esp_fail(err, rc < 0 ? rc : -EPROTO, "vfio-user",
                        "the device does not say that it is a PCI device");
    memset(p, 0, sizeof(p));
    put_le32(p, 32);
    put_le32(p + 8, BUS_REGION_BAR0);
    rc = call(v, CMD_GET_REGION_INFO, p, 32, sizeof(p), NULL, 0);
    if (rc < 32)
        return esp_fail(err, rc < 0 ? rc : -EPROTO, "vfio-user", "the device does not describe BAR0");
    v->base.bar0_size = get_le64(p + 16);
    memset(p, 0, sizeof(p));
    put_le32(p, 16);
    put_le32(p + 8, BUS_IRQ_MSIX);
    rc = call(v, CMD_GET_IRQ_INFO, p, 16, sizeof(p), NULL, 0);
    if (rc < 16)
        return esp_fail(err, rc < 0 ? rc : -EPROTO, "vfio-user",
                        "the device does not describe its MSI-X interrupts");
    v->base.irqs = get_le32(p + 12);
    return 0;
}

int bus_vfio_user_open(struct bus **b, const char *dir, const char *bdf, struct esp_error *err)
{
    struct vfio_user *v = calloc(1, sizeof(*v));
    int rc;

    if (!v)
        return esp_fail(err, -ENOMEM, bdf, "out of memory");
    v->base.ops = &vfio_user_ops;
    v->base.fd = -1;
    v->base.timeout_ms = BUS_OPEN_TIMEOUT_MS;
    rc = connect_to(v, dir);
    if (rc)
        esp_fail(err, rc, bdf, "cannot connect to the device's vfio-user socket: %s", strerror(-rc));
    if (!rc) {
        rc = negotiate(v);
        if (v->eof) // it closes before a word where it has a client
            rc = esp_fail(
                err, -EBUSY, bdf,
                "the device's vfio-user socket closes without a word: another process has the device");
        else if (rc)
            esp_fail(err, rc, bdf, "the device's vfio-user socket does not agree on version 0.0: %s",
                     strerror(-rc));
    }
    if (!rc)
        rc = query_device(v, err);
    if (rc) {
        vu_close(&v->base);
        return rc;
    }
    v->base.timeout_ms = BUS_TIMEOUT_MS;
    *b = &v->base;
    return 0;
}
