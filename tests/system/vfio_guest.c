// SPDX-License-Identifier: Apache-2.0
// Runs inside a virtual machine on a device that is none of ours and whose model is QEMU's own, an Intel
// 82574 (e1000e) bound to vfio-pci: the driver's bus layer over the kernel's VFIO, by what that controller's
// data sheet says: MSI-X vectors, DMA both ways through the IOMMU. Prints a line for each thing shown; exit
// status 1 with the reason otherwise. usage: vfio_guest ADDRESS
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver/bus/bus.h"
#include "driver/common/bytes.h"

enum {
    INTEL = 0x8086,
    I82574 = 0x10d3,
    VECTORS = 5,
    MINE = 2,
    WAIT_MS = 10000,
    REMOVAL_MS = 600000,
    MEMORY = 0x2000,
    FRAME = 0x1000
};
enum { // registers (data sheet, section 10)
    ICR = 0xc0,
    ICS = 0xc8,
    IMS = 0xd0,
    IVAR = 0xe4,
    TCTL = 0x400,
    TDBAL = 0x3800,
    TDBAH = 0x3804,
    TDLEN = 0x3808,
    TDH = 0x3810,
    TDT = 0x3818
};
enum { CAUSE_TXQ0 = 1 << 22, IVAR_TXQ0 = 8, IVAR_VALID = 8, TCTL_EN = 2, RING_BYTES = 128 };
enum { COMMAND_EOP_IFCS_RS = 0x0b, STATUS_DD = 1 }; // of a transmit descriptor

__attribute__((format(printf, 1, 2), noreturn)) static void give_up(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    printf("vfio: ");
    vprintf(fmt, ap);
    puts("");
    va_end(ap);
    exit(1);
}

static void must(int rc, const char *what)
{
    if (rc)
        give_up("%s: %s", what, strerror(-rc));
}

static void await(int fd, const char *what)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    uint64_t times;
    if (poll(&p, 1, WAIT_MS) != 1 || read(fd, &times, sizeof(times)) != sizeof(times))
        give_up("no interrupt came for %s", what);
}

static void show_interrupts(struct bus *b, int fd[VECTORS])
{
    if (b->irqs != VECTORS)
        give_up("it has %u MSI-X vectors, %d were expected", b->irqs, VECTORS);
    for (int i = 0; i < VECTORS; i++)
        fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    must(b->ops->irq_set(b, fd, VECTORS), "interrupts");
    must(bus_master(b, true), "bus mastering");
    bus_write32(b, IVAR, (MINE | IVAR_VALID) << IVAR_TXQ0);
    bus_write32(b, IMS, CAUSE_TXQ0);
    bus_write32(b, ICS, CAUSE_TXQ0);
    await(fd[MINE], "a cause that was set");
    for (int i = 0; i < VECTORS; i++) {
        uint64_t times;
        if (i != MINE && read(fd[i], &times, sizeof(times)) >= 0)
            give_up("vector %d came too", i);
    }
    puts("vfio: MSI-X: vector 2 of 5 came, and no other");
}

// A frame is read and its descriptor written back, through the IOMMU.
static void show_dma(struct bus *b, uint8_t *memory, uint64_t iova, int fd)
{
    put_le64(memory, iova + FRAME);
    put_le16(memory + 8, 60);
    memory[11] = COMMAND_EOP_IFCS_RS;
    bus_write32(b, TDBAL, (uint32_t)iova);
    bus_write32(b, TDBAH, (uint32_t)(iova >> 32));
    bus_write32(b, TDLEN, RING_BYTES);
    bus_write32(b, TDH, 0);
    bus_write32(b, TCTL, TCTL_EN);
    bus_write32(b, ICR, CAUSE_TXQ0); // it is told again
    bus_write32(b, TDT, 1);
    await(fd, "a frame that was sent");
    if (!(((volatile uint8_t *)memory)[12] & STATUS_DD))
        give_up("the descriptor was not written back");
    if (bus_read32(b, TDH) != 1)
        give_up("the descriptor was not fetched");
    puts("vfio: DMA: a descriptor was read, and written back");
}

static void await_removal(struct bus *b)
{
    struct pollfd p = {.fd = b->fd, .events = POLLIN};
    puts("vfio: waits");
    if (poll(&p, 1, REMOVAL_MS) != 1)
        give_up("nobody wanted it back within %d ms", REMOVAL_MS);
    const char *why = b->ops->notice(b);
    printf("vfio: notice: %s\n", why ? why : "none");
}

int main(int argc, char **argv)
{
    struct esp_error err = {0};
    struct bus *b;
    uint64_t iova;
    int fd[VECTORS];

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc < 2 || bus_open(&b, "/sys/bus/pci", argv[1], INTEL, I82574, &err))
        give_up("open: %s: %s", err.field, err.text);
    uint8_t *memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        give_up("memory: %s", strerror(errno));
    if (bus_dma_map(b, memory, MEMORY, -1, &iova, &err))
        give_up("%s", err.text);
    show_interrupts(b, fd);
    show_dma(b, memory, iova, fd[MINE]);
    if (argc > 2 && strcmp(argv[2], "wait") == 0)
        await_removal(b);
    bus_close(b);
    puts("vfio: let go");
    return 0;
}
