// SPDX-License-Identifier: Apache-2.0
// Numbers of the vfio-user protocol, version 0.0, as QEMU 11.1 speaks it (its docs/interop/vfio-user.rst):
// commands, header flags and the sizes of the fixed parts. Everything on the socket is in host order.
#ifndef ESP_VFIO_USER_PROTO_H
#define ESP_VFIO_USER_PROTO_H

enum vfu_cmd {
    VFU_VERSION = 1,
    VFU_DMA_MAP = 2,
    VFU_DMA_UNMAP = 3,
    VFU_GET_INFO = 4,
    VFU_GET_REGION_INFO = 5,
    VFU_GET_REGION_IO_FDS = 6,
    VFU_GET_IRQ_INFO = 7,
    VFU_SET_IRQS = 8,
    VFU_REGION_READ = 9,
    VFU_REGION_WRITE = 10,
    VFU_DMA_READ = 11,
    VFU_DMA_WRITE = 12,
    VFU_DEVICE_RESET = 13,
    VFU_REGION_WRITE_MULTI = 15,
};

// Header flags.
#define VFU_F_TYPE_MASK 0x0fu
#define VFU_F_COMMAND   0x00u
#define VFU_F_REPLY     0x01u
#define VFU_F_NO_REPLY  0x10u
#define VFU_F_ERROR     0x20u

// DMA map flags.
#define VFU_DMA_F_READ      1u
#define VFU_DMA_F_WRITE     2u
#define VFU_DMA_F_UNMAP_ALL 2u

// GET_INFO, GET_REGION_INFO, GET_IRQ_INFO flags.
#define VFU_DEVICE_F_RESET 1u
#define VFU_DEVICE_F_PCI   2u
#define VFU_REGION_F_READ  1u
#define VFU_REGION_F_WRITE 2u
#define VFU_IRQ_F_EVENTFD  1u

// SET_IRQS flags: one data type and one action.
#define VFU_IRQ_DATA_NONE      0x01u
#define VFU_IRQ_DATA_BOOL      0x02u
#define VFU_IRQ_DATA_EVENTFD   0x04u
#define VFU_IRQ_DATA_MASK      0x07u
#define VFU_IRQ_ACTION_MASK    0x08u
#define VFU_IRQ_ACTION_UNMASK  0x10u
#define VFU_IRQ_ACTION_TRIGGER 0x20u
#define VFU_IRQ_ACTIONS        0x38u

// Region and interrupt indices of a PCI device.
enum { VFU_REGION_BAR0 = 0, VFU_REGION_CONFIG = 7, VFU_REGION_COUNT = 9 };
enum {
    VFU_IRQ_INTX = 0,
    VFU_IRQ_MSI = 1,
    VFU_IRQ_MSIX = 2,
    VFU_IRQ_ERR = 3,
    VFU_IRQ_REQ = 4,
    VFU_IRQ_COUNT = 5
};

#define VFU_HEADER_SIZE      16u
#define VFU_MAX_FDS          16u
#define VFU_MAX_DATA         1048576u // max_data_xfer_size that we offer
#define VFU_MAX_BODY         (VFU_MAX_DATA + 16u)
#define VFU_MAX_DMA_MAPS     65535u
#define VFU_PAGE_SIZE        4096u
#define VFU_DMA_MAP_SIZE     32u // body sizes of the fixed-size requests
#define VFU_DMA_UNMAP_SIZE   24u
#define VFU_DEVICE_INFO_SIZE 16u
#define VFU_REGION_INFO_SIZE 32u
#define VFU_IRQ_INFO_SIZE    16u
#define VFU_SET_IRQS_SIZE    20u
#define VFU_REGION_RW_SIZE   16u

#endif
