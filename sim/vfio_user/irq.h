// SPDX-License-Identifier: Apache-2.0
// Interrupts of the device as eventfds. A vector that has none yet keeps a pending bit, which fires when an
// eventfd arrives.
#ifndef ESP_VFIO_USER_IRQ_H
#define ESP_VFIO_USER_IRQ_H

#include <stdbool.h>
#include <stdint.h>

enum { VFU_MAX_VECTORS = 64 };

struct vfu_irq_index {
    uint32_t count; // vectors that the device has at this index
    int fds[VFU_MAX_VECTORS];
    bool pending[VFU_MAX_VECTORS];
};

void vfu_irq_init(struct vfu_irq_index *x, uint32_t count);
// Closes all eventfds and forgets what is pending.
void vfu_irq_clear(struct vfu_irq_index *x);
// Takes the eventfd (-1: none) for one vector.
void vfu_irq_set(struct vfu_irq_index *x, uint32_t vector, int fd);
void vfu_irq_raise(struct vfu_irq_index *x, uint32_t vector);

#endif
