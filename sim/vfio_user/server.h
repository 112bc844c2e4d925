// SPDX-License-Identifier: Apache-2.0
// A vfio-user server for one PCI device and one client at a time. It owns the protocol, the DMA maps and the
// interrupt eventfds; what a region access or a reset means is the device's, behind struct vfu_device_ops.
#ifndef ESP_VFIO_USER_SERVER_H
#define ESP_VFIO_USER_SERVER_H

#include "sim/vfio_user/dma.h"
#include "sim/vfio_user/irq.h"
#include "sim/vfio_user/wire.h"

struct vfu_device_ops {
    // 0 or a negative errno, which the client gets. `len` is at least 1 and the access lies inside the
    // region.
    int (*region_read)(void *ctx, uint32_t region, uint64_t offset, void *buf, uint32_t len);
    int (*region_write)(void *ctx, uint32_t region, uint64_t offset, const void *buf, uint32_t len);
    int (*reset)(void *ctx);
    void (*log)(void *ctx, const char *text);
};

struct vfu_server {
    const struct vfu_device_ops *ops;
    void *ctx;
    uint64_t region_size[VFU_REGION_COUNT];
    struct vfu_conn conn;
    struct vfu_dma dma;
    struct vfu_irq_index irq[VFU_IRQ_COUNT];
    bool versioned;   // VERSION has been agreed on
    uint8_t *scratch; // VFU_MAX_BODY bytes for replies
    uint64_t messages;
};

int vfu_server_init(struct vfu_server *s, const struct vfu_device_ops *ops, void *ctx);
void vfu_server_free(struct vfu_server *s);
static inline bool vfu_server_connected(const struct vfu_server *s)
{
    return s->conn.fd >= 0;
}

// Takes a connected socket.
int vfu_server_attach(struct vfu_server *s, int fd);
// Handles up to `budget` messages. Number handled, or a negative errno when the client has gone or broke the
// protocol: then vfu_server_detach().
int vfu_server_service(struct vfu_server *s, unsigned budget);
// Closes the connection and drops maps and eventfds. The device's own reset is the caller's.
void vfu_server_detach(struct vfu_server *s);

#endif
