// SPDX-License-Identifier: Apache-2.0
// A vfio-user client for tests: it sends any bytes that the test asks for, and checks the form of every
// reply.
#ifndef ESP_TEST_VFU_CLIENT_H
#define ESP_TEST_VFU_CLIENT_H

#include <stddef.h>
#include <stdint.h>

struct vfu_client {
    int fd;
    uint16_t next_id;
    // Called while a reply is waited for: the server runs in the test's own thread.
    void (*serve)(void *ctx);
    void *ctx;
};

struct vfu_answer {
    uint32_t flags, error;
    size_t len;
    uint8_t body[8192];
};

// Sends header and body as they are; the header's size field can lie. Returns the message's id.
uint16_t client_send_raw(struct vfu_client *c, uint16_t cmd, uint32_t flags, uint32_t size, const void *body,
                         size_t len, const int *fds, unsigned nfds);
uint16_t client_send(struct vfu_client *c, uint16_t cmd, uint32_t flags, const void *body, size_t len,
                     const int *fds, unsigned nfds);
// The reply to `id`; fails the test when there is none or its header is wrong.
void client_receive(struct vfu_client *c, uint16_t id, uint16_t cmd, struct vfu_answer *a);
// Serves once, then tells whether a byte waits (1), nothing (0), or the end of the stream (-1).
int client_peek(struct vfu_client *c);
// Sends and receives; returns the reply's errno (0 when it is no error).
uint32_t client_call(struct vfu_client *c, uint16_t cmd, const void *body, size_t len, const int *fds,
                     unsigned nfds, struct vfu_answer *a);

uint32_t client_version(struct vfu_client *c, const char *json, struct vfu_answer *a);
uint32_t client_read(struct vfu_client *c, uint32_t region, uint64_t offset, void *out, uint32_t len);
uint32_t client_write(struct vfu_client *c, uint32_t region, uint64_t offset, const void *data, uint32_t len);
void client_post(struct vfu_client *c, uint32_t region, uint64_t offset, const void *data, uint32_t len);
uint32_t client_dma_map(struct vfu_client *c, uint64_t iova, uint64_t size, uint64_t offset, uint32_t flags,
                        int fd);
uint32_t client_dma_unmap(struct vfu_client *c, uint64_t iova, uint64_t size, uint32_t flags);
uint32_t client_set_irqs(struct vfu_client *c, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
                         const int *fds, unsigned nfds);

// A memfd of `size` bytes, mapped at *mem.
int client_memory(size_t size, uint8_t **mem);

#endif
