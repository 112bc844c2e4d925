// SPDX-License-Identifier: Apache-2.0
// The test's vfio-user client; see the header.
#include "tests/unit/vfu_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "sim/vfio_user/wire.h"

uint16_t client_send_raw(struct vfu_client *c, uint16_t cmd, uint32_t flags, uint32_t size, const void *body,
                         size_t len, const int *fds, unsigned nfds)
{
    static uint8_t buf[VFU_HEADER_SIZE + VFU_MAX_BODY + 4096];
    char control[CMSG_SPACE(64 * sizeof(int))] __attribute__((aligned(8)));
    struct vfu_writer w = {.buf = buf, .size = sizeof buf};
    uint16_t id = c->next_id++;
    vfu_put16(&w, id);
    vfu_put16(&w, cmd);
    vfu_put32(&w, size);
    vfu_put32(&w, flags);
    vfu_put32(&w, 0);
    if (len)
        vfu_put_bytes(&w, body, len);
    assert_false(w.bad);
    struct iovec iov = {buf, w.used};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
    if (nfds) {
        memset(control, 0, sizeof control);
        mh.msg_control = control;
        mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
        struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);
        cm->cmsg_level = SOL_SOCKET;
        cm->cmsg_type = SCM_RIGHTS;
        cm->cmsg_len = CMSG_LEN(nfds * sizeof(int));
        memcpy(CMSG_DATA(cm), fds, nfds * sizeof(int));
    }
    assert_int_equal(sendmsg(c->fd, &mh, MSG_NOSIGNAL), (ssize_t)w.used);
    return id;
}

uint16_t client_send(struct vfu_client *c, uint16_t cmd, uint32_t flags, const void *body, size_t len,
                     const int *fds, unsigned nfds)
{
    return client_send_raw(c, cmd, flags, (uint32_t)(VFU_HEADER_SIZE + len), body, len, fds, nfds);
}

static void receive_all(struct vfu_client *c, void *to, size_t len)
{
    uint8_t *p = to;
    for (int idle = 0; len && idle < 1000;) {
        ssize_t n = recv(c->fd, p, len, MSG_DONTWAIT);
        if (n > 0) {
            p += n;
            len -= (size_t)n;
            continue;
        }
        assert_true(n < 0 && errno == EAGAIN); // otherwise the server closed the stream
        c->serve(c->ctx);
        idle++;
    }
    assert_int_equal(len, 0);
}

void client_receive(struct vfu_client *c, uint16_t id, uint16_t cmd, struct vfu_answer *a)
{
    uint8_t header[VFU_HEADER_SIZE];
    receive_all(c, header, sizeof header);
    struct vfu_reader r = {.at = header, .left = sizeof header};
    assert_int_equal(vfu_get16(&r), id);
    assert_int_equal(vfu_get16(&r), cmd);
    uint32_t size = vfu_get32(&r);
    a->flags = vfu_get32(&r);
    a->error = vfu_get32(&r);
    assert_int_equal(a->flags & VFU_F_TYPE_MASK, VFU_F_REPLY);
    assert_true(size >= VFU_HEADER_SIZE && size - VFU_HEADER_SIZE <= sizeof a->body);
    a->len = size - VFU_HEADER_SIZE;
    receive_all(c, a->body, a->len);
    if (a->flags & VFU_F_ERROR) {
        assert_int_not_equal(a->error, 0);
        assert_int_equal(a->len, 0);
    }
}

int client_peek(struct vfu_client *c)
{
    uint8_t byte;
    c->serve(c->ctx);
    ssize_t n = recv(c->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    return n > 0 ? 1 : n < 0 && errno == EAGAIN ? 0 : -1;
}

uint32_t client_call(struct vfu_client *c, uint16_t cmd, const void *body, size_t len, const int *fds,
                     unsigned nfds, struct vfu_answer *a)
{
    uint16_t id = client_send(c, cmd, VFU_F_COMMAND, body, len, fds, nfds);
    client_receive(c, id, cmd, a);
    return a->flags & VFU_F_ERROR ? a->error : 0;
}

uint32_t client_version(struct vfu_client *c, const char *json, struct vfu_answer *a)
{
    uint8_t body[512] = {0};
    struct vfu_writer w = {.buf = body, .size = sizeof body};
    vfu_put32(&w, 0);
    vfu_put_bytes(&w, json, strlen(json) + 1);
    return client_call(c, VFU_VERSION, body, w.used, NULL, 0, a);
}

static size_t access_head(uint8_t head[VFU_REGION_RW_SIZE], uint32_t region, uint64_t offset, uint32_t len)
{
    struct vfu_writer w = {.buf = head, .size = VFU_REGION_RW_SIZE};
    vfu_put64(&w, offset);
    vfu_put32(&w, region);
    vfu_put32(&w, len);
    return w.used;
}

uint32_t client_read(struct vfu_client *c, uint32_t region, uint64_t offset, void *out, uint32_t len)
{
    uint8_t head[VFU_REGION_RW_SIZE];
    struct vfu_answer a;
    size_t n = access_head(head, region, offset, len);
    uint32_t err = client_call(c, VFU_REGION_READ, head, n, NULL, 0, &a);
    if (err)
        return err;
    assert_int_equal(a.len, VFU_REGION_RW_SIZE + len);
    assert_memory_equal(a.body, head, sizeof head);
    memcpy(out, a.body + VFU_REGION_RW_SIZE, len);
    return 0;
}

uint32_t client_write(struct vfu_client *c, uint32_t region, uint64_t offset, const void *data, uint32_t len)
{
    uint8_t body[VFU_REGION_RW_SIZE + 4096];
    struct vfu_answer a;
    size_t n = access_head(body, region, offset, len);
    memcpy(body + n, data, len);
    return client_call(c, VFU_REGION_WRITE, body, n + len, NULL, 0, &a);
}

void client_post(struct vfu_client *c, uint32_t region, uint64_t offset, const void *data, uint32_t len)
{
    uint8_t body[VFU_REGION_RW_SIZE + 4096];
    size_t n = access_head(body, region, offset, len);
    memcpy(body + n, data, len);
    client_send(c, VFU_REGION_WRITE, VFU_F_NO_REPLY, body, n + len, NULL, 0);
}

uint32_t client_dma_map(struct vfu_client *c, uint64_t iova, uint64_t size, uint64_t offset, uint32_t flags,
                        int fd)
{
    uint8_t body[VFU_DMA_MAP_SIZE];
    struct vfu_answer a;
    struct vfu_writer w = {.buf = body, .size = sizeof body};
    vfu_put32(&w, VFU_DMA_MAP_SIZE);
    vfu_put32(&w, flags);
    vfu_put64(&w, offset);
    vfu_put64(&w, iova);
    vfu_put64(&w, size);
    return client_call(c, VFU_DMA_MAP, body, w.used, &fd, fd >= 0, &a);
}

uint32_t client_dma_unmap(struct vfu_client *c, uint64_t iova, uint64_t size, uint32_t flags)
{
    uint8_t body[VFU_DMA_UNMAP_SIZE];
    struct vfu_answer a;
    struct vfu_writer w = {.buf = body, .size = sizeof body};
    vfu_put32(&w, VFU_DMA_UNMAP_SIZE);
    vfu_put32(&w, flags);
    vfu_put64(&w, iova);
    vfu_put64(&w, size);
    return client_call(c, VFU_DMA_UNMAP, body, w.used, NULL, 0, &a);
}

uint32_t client_set_irqs(struct vfu_client *c, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
                         const int *fds, unsigned nfds)
{
    uint8_t body[VFU_SET_IRQS_SIZE];
    struct vfu_answer a;
    struct vfu_writer w = {.buf = body, .size = sizeof body};
    vfu_put32(&w, VFU_SET_IRQS_SIZE);
    vfu_put32(&w, flags);
    vfu_put32(&w, index);
    vfu_put32(&w, start);
    vfu_put32(&w, count);
    return client_call(c, VFU_SET_IRQS, body, w.used, fds, nfds, &a);
}

int client_memory(size_t size, uint8_t **mem)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(*mem, MAP_FAILED);
    return fd;
}
