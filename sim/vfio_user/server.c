// SPDX-License-Identifier: Apache-2.0
// The vfio-user server's commands, version 0.0 of the protocol. Each handler checks the lengths and ranges of
// one request, acts, and answers once; a refused request gets an error reply and the stream goes on, a broken
// stream ends the connection.
#include "sim/vfio_user/server.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char capabilities[] = "{\"capabilities\":{\"max_msg_fds\":16,\"max_data_xfer_size\":1048576,"
                                   "\"max_dma_maps\":65535,\"pgsizes\":4096}}";

__attribute__((format(printf, 2, 3))) static void say(struct vfu_server *s, const char *format, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (s->ops->log)
        s->ops->log(s->ctx, text);
}

int vfu_server_init(struct vfu_server *s, const struct vfu_device_ops *ops, void *ctx)
{
    memset(s, 0, sizeof *s);
    s->ops = ops;
    s->ctx = ctx;
    s->conn.fd = -1;
    s->scratch = malloc(VFU_MAX_BODY);
    vfu_dma_init(&s->dma);
    for (unsigned i = 0; i < VFU_IRQ_COUNT; i++)
        vfu_irq_init(&s->irq[i], 0);
    return s->scratch ? 0 : -ENOMEM;
}

void vfu_server_free(struct vfu_server *s)
{
    vfu_server_detach(s);
    vfu_dma_free(&s->dma);
    free(s->scratch);
    s->scratch = NULL;
}

int vfu_server_attach(struct vfu_server *s, int fd)
{
    s->versioned = false;
    return vfu_conn_open(&s->conn, fd);
}

void vfu_server_detach(struct vfu_server *s)
{
    vfu_conn_close(&s->conn);
    vfu_dma_unmap_all(&s->dma);
    for (unsigned i = 0; i < VFU_IRQ_COUNT; i++)
        vfu_irq_clear(&s->irq[i]);
    s->versioned = false;
}

// The client's capabilities bind only messages that this server never sends, so they are checked, not kept.
static int check_capabilities(const struct vfu_reader *r)
{
    if (r->left == 0)
        return 0;
    if (r->at[r->left - 1] != 0)
        return -EINVAL;
    json_error_t err;
    json_t *root = json_loadb((const char *)r->at, r->left - 1, 0, &err);
    bool object = json_is_object(root);
    json_decref(root);
    return object ? 0 : -EINVAL;
}

static int do_version(struct vfu_server *s, struct vfu_msg *m)
{
    struct vfu_reader r = {.at = m->body, .left = m->len};
    uint16_t major = vfu_get16(&r);
    vfu_get16(&r); // any minor: the answer names ours
    if (r.bad || major != 0 || s->versioned)
        return -EINVAL;
    if (check_capabilities(&r)) {
        say(s, "VERSION: the capabilities are not a JSON object that ends in a zero byte");
        return -EINVAL;
    }
    uint8_t reply[4 + sizeof capabilities];
    struct vfu_writer w = {.buf = reply, .size = sizeof reply};
    vfu_put16(&w, 0);
    vfu_put16(&w, 0);
    vfu_put_bytes(&w, capabilities, sizeof capabilities);
    s->versioned = true;
    return vfu_conn_reply(&s->conn, m, reply, w.used);
}

static int take_fd(struct vfu_msg *m, unsigned i)
{
    int fd = m->fds[i];
    m->fds[i] = -1;
    return fd;
}

static int do_dma_map(struct vfu_server *s, struct vfu_msg *m)
{
    struct vfu_reader r = {.at = m->body, .left = m->len};
    uint32_t argsz = vfu_get32(&r), flags = vfu_get32(&r);
    uint64_t offset = vfu_get64(&r), iova = vfu_get64(&r), size = vfu_get64(&r);
    if (r.bad || argsz < VFU_DMA_MAP_SIZE || m->nfds > 1)
        return -EINVAL;
    int rc = vfu_dma_map(&s->dma, iova, size, offset, flags, m->nfds ? m->fds[0] : -1);
    if (rc) {
        say(s, "DMA_MAP of %#llx + %#llx at file offset %#llx refused: %s", (unsigned long long)iova,
            (unsigned long long)size, (unsigned long long)offset, strerror(-rc));
        return rc;
    }
    return vfu_conn_reply(&s->conn, m, NULL, 0);
}

static int do_dma_unmap(struct vfu_server *s, struct vfu_msg *m)
{
    struct vfu_reader r = {.at = m->body, .left = m->len};
    uint32_t argsz = vfu_get32(&r), flags = vfu_get32(&r);
    uint64_t iova = vfu_get64(&r), size = vfu_get64(&r);
    if (r.bad || argsz < VFU_DMA_UNMAP_SIZE || flags & ~VFU_DMA_F_UNMAP_ALL)
        return -EINVAL;
    if (flags & VFU_DMA_F_UNMAP_ALL) {
        if (iova || size)
            return -EINVAL;
        vfu_dma_unmap_all(&s->dma);
    } else {
        int rc = vfu_dma_unmap(&s->dma, iova, size);
        if (rc)
            return rc;
    }
    return vfu_conn_reply(&s->conn, m, m->body, VFU_DMA_UNMAP_SIZE);
}

static int do_get_info(struct vfu_server *s, struct vfu_msg *m)
{
    struct vfu_reader r = {.at = m->body, .left = m->len};
    uint32_t argsz = vfu_get32(&r);
    if (r.bad || argsz < VFU_DEVICE_INFO_SIZE)
        return -EINVAL;
    uint8_t reply[VFU_DEVICE_INFO_SIZE];
    struct vfu_writer w = {.buf = reply, .size = sizeof reply};
    vfu_put32(&w, VFU_DEVICE_INFO_SIZE);
    vfu_put32(&w, VFU_DEVICE_F_RESET | VFU_DEVICE_F_PCI);
    vfu_put32(&w, VFU_REGION_COUNT);
    vfu_put32(&w, VFU_IRQ_COUNT);
    return vfu_conn_reply(&s->conn, m, reply, w.used);
}

static int do_get_region_info(struct vfu_server *s, struct vfu_msg *m)
{
    struct vfu_reader r = {.at = m->body, .left = m->len};
    uint32_t argsz = vfu_get32(&r);
    vfu_get32(&r);
    uint32_t index = vfu_get32(&r);
    if (r.bad || argsz < VFU_REGION_INFO_SIZE || index >= VFU_REGION_COUNT)
        return -EINVAL;
    uint64_t size = s->region_size[index];
    uint8_t reply[VFU_REGION_INFO_SIZE];
    struct vfu_writer w = {.buf = reply, .size = sizeof reply};
    vfu_put32(&w, VFU_REGION_INFO_SIZE);
    vfu_put32(&w, size ? VFU_REGION_F_READ | VFU_REGION_F_WRITE : 0);
    vfu_put32(&w, index);
    vfu_put32(&w, 0);
    vfu_put64(&w, size);
    vfu_put64(&w, 0);
    return vfu_conn_reply(&s->conn, m, reply, w.used);
}

static int do_get_irq_info(struct vfu_server *s, struct vfu_msg *m)
{
    struct vfu_reader r = {.at = m->body, .left = m->len};
    uint32_t argsz = vfu_get32(&r);
    vfu_get32(&r);
    uint32_t index = vfu_get32(&r);
    if (r.bad || argsz < VFU_IRQ_INFO_SIZE || index >= VFU_IRQ_COUNT)
        return -EINVAL;
    uint8_t reply[VFU_IRQ_INFO_SIZE];
    struct vfu_writer w = {.buf = reply, .size = sizeof reply};
    vfu_put32(&w, VFU_IRQ_INFO_SIZE);
    vfu_put32(&w, s->irq[index].count ? VFU_IRQ_F_EVENTFD : 0);
    vfu_put32(&w, index);
    vfu_put32(&w, s->irq[index].count);
    return vfu_conn_reply(&s->conn, m, reply, w.used);
}

static int set_eventfds(struct vfu_msg *m, struct vfu_irq_index *x, uint32_t start, uint32_t count)
{
    if (m->nfds && m->nfds != count)
        return -EINVAL;
    for (uint32_t i = 0; i < count; i++)
        vfu_irq_set(x, start + i, m->nfds ? take_fd(m, i) : -1);
    return 0;
}

static int do_set_irqs(struct vfu_server *s, struct vfu_msg *m)
{
    struct vfu_reader r = {.at = m->body, .left = m->len};
    uint32_t argsz = vfu_get32(&r), flags = vfu_get32(&r), index = vfu_get32(&r);
    uint32_t start = vfu_get32(&r), count = vfu_get32(&r);
    if (r.bad || argsz < VFU_SET_IRQS_SIZE || index >= VFU_IRQ_COUNT)
        return -EINVAL;
    struct vfu_irq_index *x = &s->irq[index];
    if (start > x->count || count > x->count - start || (flags & VFU_IRQ_ACTIONS) != VFU_IRQ_ACTION_TRIGGER)
        return -EINVAL;
    int rc = 0;
    switch (flags & VFU_IRQ_DATA_MASK) {
    case VFU_IRQ_DATA_NONE:
        if (count == 0)
            vfu_irq_clear(x);
        for (uint32_t i = 0; i < count; i++)
            vfu_irq_raise(x, start + i);
        break;
    case VFU_IRQ_DATA_BOOL:
        if (r.left < count)
            return -EINVAL;
        for (uint32_t i = 0; i < count; i++)
            if (r.at[i])
                vfu_irq_raise(x, start + i);
        break;
    case VFU_IRQ_DATA_EVENTFD: rc = set_eventfds(m, x, start, count); break;
    default: rc = -EINVAL;
    }
    return rc ? rc : vfu_conn_reply(&s->conn, m, NULL, 0);
}

// The fixed part of a region access; checks that it lies inside the region.
static int parse_access(struct vfu_server *s, struct vfu_reader *r, uint64_t *offset, uint32_t *region,
                        uint32_t *len)
{
    *offset = vfu_get64(r);
    *region = vfu_get32(r);
    *len = vfu_get32(r);
    if (r->bad || *region >= VFU_REGION_COUNT || *len == 0 || *len > VFU_MAX_DATA)
        return -EINVAL;
    uint64_t size = s->region_size[*region];
    return *offset < size && *len <= size - *offset ? 0 : -EINVAL;
}

static int do_region_read(struct vfu_server *s, struct vfu_msg *m)
{
    struct vfu_reader r = {.at = m->body, .left = m->len};
    uint64_t offset;
    uint32_t region, len;
    int rc = parse_access(s, &r, &offset, &region, &len);
    if (rc)
        return rc;
    memcpy(s->scratch, m->body, VFU_REGION_RW_SIZE);
    rc = s->ops->region_read(s->ctx, region, offset, s->scratch + VFU_REGION_RW_SIZE, len);
    return rc ? rc : vfu_conn_reply(&s->conn, m, s->scratch, VFU_REGION_RW_SIZE + len);
}

static int do_region_write(struct vfu_server *s, struct vfu_msg *m)
{
    struct vfu_reader r = {.at = m->body, .left = m->len};
    uint64_t offset;
    uint32_t region, len;
    int rc = parse_access(s, &r, &offset, &region, &len);
    if (rc)
        return rc;
    if (r.left != len)
        return -EINVAL;
    rc = s->ops->region_write(s->ctx, region, offset, r.at, len);
    return rc ? rc : vfu_conn_reply(&s->conn, m, m->body, VFU_REGION_RW_SIZE);
}

static int do_reset(struct vfu_server *s, struct vfu_msg *m)
{
    int rc = s->ops->reset(s->ctx);
    return rc ? rc : vfu_conn_reply(&s->conn, m, NULL, 0);
}

static int dispatch(struct vfu_server *s, struct vfu_msg *m)
{
    switch (m->cmd) {
    case VFU_VERSION: return do_version(s, m);
    case VFU_DMA_MAP: return do_dma_map(s, m);
    case VFU_DMA_UNMAP: return do_dma_unmap(s, m);
    case VFU_GET_INFO: return do_get_info(s, m);
    case VFU_GET_REGION_INFO: return do_get_region_info(s, m);
    case VFU_GET_IRQ_INFO: return do_get_irq_info(s, m);
    case VFU_SET_IRQS: return do_set_irqs(s, m);
    case VFU_REGION_READ: return do_region_read(s, m);
    case VFU_REGION_WRITE: return do_region_write(s, m);
    case VFU_DEVICE_RESET: return do_reset(s, m);
    default: say(s, "command %u is not one of this server's", m->cmd); return -ENOTSUP;
    }
}

// Answers one message. A negative return means that the connection is of no more use.
static int handle(struct vfu_server *s, struct vfu_msg *m)
{
    if ((m->flags & VFU_F_TYPE_MASK) != VFU_F_COMMAND) {
        say(s, "message %u of type %u ignored: this server sends no commands, so there are no replies to it",
            m->id, m->flags & VFU_F_TYPE_MASK);
        return 0;
    }
    if (!s->versioned && m->cmd != VFU_VERSION) {
        say(s, "command %u before VERSION", m->cmd);
        vfu_conn_reply_error(&s->conn, m, EINVAL);
        return -EPROTO;
    }
    int rc = dispatch(s, m);
    if (rc == 0)
        return 0;
    rc = vfu_conn_reply_error(&s->conn, m, rc);
    return rc ? rc : s->versioned ? 0 : -EPROTO;
}

int vfu_server_service(struct vfu_server *s, unsigned budget)
{
    unsigned handled = 0;
    int rc = vfu_conn_flush(&s->conn);
    while (rc == 0 && handled < budget) {
        struct vfu_msg *m;
        rc = vfu_conn_receive(&s->conn, &m);
        if (rc <= 0)
            break;
        rc = handle(s, m);
        vfu_conn_done(&s->conn);
        handled++;
        s->messages++;
    }
    if (rc < 0 && s->conn.error[0])
        say(s, "client: %s", s->conn.error);
    return rc < 0 ? rc : (int)handled;
}
