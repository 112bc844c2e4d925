// SPDX-License-Identifier: Apache-2.0
// Interrupts as eventfds: set, cleared and raised. Masking is the client's business, as with VFIO.
#include "sim/vfio_user/irq.h"

#include <poll.h>
#include <unistd.h>

void vfu_irq_init(struct vfu_irq_index *x, uint32_t count)
{
    x->count = count;
    for (uint32_t i = 0; i < VFU_MAX_VECTORS; i++) {
        x->fds[i] = -1;
        x->pending[i] = false;
    }
}

void vfu_irq_clear(struct vfu_irq_index *x)
{
    for (uint32_t i = 0; i < x->count; i++) {
        vfu_irq_set(x, i, -1);
        x->pending[i] = false;
    }
}

void vfu_irq_set(struct vfu_irq_index *x, uint32_t vector, int fd)
{
    if (x->fds[vector] >= 0)
        close(x->fds[vector]);
    x->fds[vector] = fd;
    if (fd >= 0 && x->pending[vector])
        vfu_irq_raise(x, vector);
}

// The descriptor is the client's: it may be full, or no eventfd at all, and must not block this process.
static bool writable_now(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT);
}

void vfu_irq_raise(struct vfu_irq_index *x, uint32_t vector)
{
    const uint64_t one = 1;
    if (vector >= x->count)
        return;
    x->pending[vector] = x->fds[vector] < 0;
    // A full eventfd has an unread event in it already, so nothing is lost by not adding one.
    if (x->fds[vector] >= 0 && writable_now(x->fds[vector]) &&
        write(x->fds[vector], &one, sizeof one) != sizeof one)
        x->pending[vector] = true;
}
