// SPDX-License-Identifier: Apache-2.0
// The card as a PCI function, over a socket pair with a model that is not the RTL: configuration space, BAR0
// behind its enable bits, DMA behind bus mastering, MSI-X, resets, faults, and the clock that stops.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "hw/regs/gen/espalier_card.h"
#include "sim/card/control.h"
#include "sim/card/device.h"
#include "tests/unit/busy.h"
#include "tests/unit/vfu_client.h"

enum { MEM = 0x10000, SQ = 0x1000, CQ = 0x2000, CONFIG = VFU_REGION_CONFIG, VECTOR = 2 };
#define IOVA 0x7f00000000ull

struct fixture {
    struct card_device d;
    struct vfu_client client;
    uint8_t *mem;
    int memfd, irq[4];
};

// The process's loop in small: serve, then run the clock.
static void serve(void *ctx)
{
    struct fixture *f = ctx;
    if (vfu_server_connected(&f->d.server) && vfu_server_service(&f->d.server, 100) < 0)
        card_device_detach(&f->d);
}

static void run(struct fixture *f)
{
    for (int i = 0; i < 100 && card_device_busy(&f->d); i++)
        card_device_run(&f->d, 256);
}

static void connect_client(struct fixture *f)
{
    int pair[2];
    struct vfu_answer a;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(card_device_attach(&f->d, pair[0]), 0);
    f->client = (struct vfu_client){.fd = pair[1], .serve = serve, .ctx = f};
    assert_int_equal(client_version(&f->client, "{}", &a), 0);
}

static int setup(void **state)
{
    const struct card_device_options options = {.lanes = 1};
    struct fixture *f = calloc(1, sizeof *f);
    assert_int_equal(card_device_init(&f->d, &options), 0);
    f->memfd = client_memory(MEM, &f->mem);
    for (int i = 0; i < 4; i++)
        f->irq[i] = eventfd(0, EFD_NONBLOCK);
    connect_client(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    close(f->client.fd);
    card_device_free(&f->d);
    munmap(f->mem, MEM);
    close(f->memfd);
    for (int i = 0; i < 4; i++)
        close(f->irq[i]);
    free(f);
    return 0;
}

static uint32_t get(struct fixture *f, uint32_t region, uint64_t offset, uint32_t len)
{
    uint32_t v = 0;
    assert_int_equal(client_read(&f->client, region, offset, &v, len), 0);
    return v;
}

static void put(struct fixture *f, uint32_t region, uint64_t offset, uint32_t v, uint32_t len)
{
    assert_int_equal(client_write(&f->client, region, offset, &v, len), 0);
}

static uint64_t events(int fd)
{
    uint64_t n = 0;
    return read(fd, &n, sizeof n) == sizeof n ? n : 0;
}

// What a driver does before the first doorbell.
static void bring_up(struct fixture *f)
{
    put(f, CONFIG, 4, 6, 2);
    assert_int_equal(client_dma_map(&f->client, IOVA, MEM, 0, 3, f->memfd), 0);
    assert_int_equal(client_set_irqs(&f->client, 0x24, 2, 0, 4, f->irq, 4), 0);
    put(f, 0, ESPC_REG_QUEUE_SQ_BASE_LO(1), (uint32_t)(IOVA + SQ), 4);
    put(f, 0, ESPC_REG_QUEUE_SQ_BASE_HI(1), (uint32_t)(IOVA >> 32), 4);
    put(f, 0, ESPC_REG_QUEUE_CQ_BASE_LO(1), (uint32_t)(IOVA + CQ), 4);
    put(f, 0, ESPC_REG_QUEUE_CQ_BASE_HI(1), (uint32_t)(IOVA >> 32), 4);
    put(f, 0, ESPC_REG_QUEUE_VECTOR(1), VECTOR, 4);
    memset(f->mem + SQ, 0x42, 64);
}

static void ring(struct fixture *f)
{
    uint32_t tail = 1;
    client_post(&f->client, 0, ESPC_REG_DOORBELL_SQ_TAIL(1), &tail, 4);
    serve(f);
}

static bool done(const struct fixture *f)
{
    return memcmp(f->mem + SQ, f->mem + CQ, 64) == 0;
}

static void test_config_space_names_the_card(void **state)
{
    struct fixture *f = *state;
    uint8_t c[4096];
    assert_int_equal(client_read(&f->client, CONFIG, 0, c, sizeof c), 0);
    assert_int_equal(get(f, CONFIG, 0, 4), 0xe5b01234);
    assert_int_equal(get(f, CONFIG, 8, 4), 0x10000001);
    assert_int_equal(get(f, CONFIG, 0x10, 4), 0xfea00004);
    assert_int_equal(c[0x3d], 0);                 // no INTx
    assert_int_equal(get(f, CONFIG, 0x30, 4), 0); // no ROM
    uint8_t ids[3], n = 0;
    for (uint8_t at = c[0x34]; at && n < 3; at = c[at + 1])
        ids[n++] = c[at];
    assert_memory_equal(ids, "\x01\x11\x10", 3);
    assert_int_equal(get(f, CONFIG, 0x82, 2), 3);    // four vectors
    assert_true(get(f, CONFIG, 0x94, 4) & 1u << 28); // FLR
    assert_int_equal(get(f, CONFIG, 0x100, 4), 0x00010003);
}

static void test_config_write_reaches_writable_bits_only(void **state)
{
    struct fixture *f = *state;
    uint8_t ones[256], before[4096], after[4096];
    memset(ones, 0xff, sizeof ones);
    ones[0x99] = 0x7f; // everything but the FLR bit
    assert_int_equal(client_read(&f->client, CONFIG, 0, before, sizeof before), 0);
    assert_int_equal(client_write(&f->client, CONFIG, 0, ones, sizeof ones), 0);
    assert_int_equal(client_read(&f->client, CONFIG, 0, after, sizeof after), 0);
    assert_int_equal(get(f, CONFIG, 0, 4), 0xe5b01234);
    assert_int_equal(get(f, CONFIG, 4, 2), 0x0546);
    assert_int_equal(get(f, CONFIG, 0x10, 4), 0xffff0004); // sizing: 64 KiB
    assert_int_equal(get(f, CONFIG, 0x14, 4), 0xffffffff);
    assert_int_equal(get(f, CONFIG, 0x18, 4), 0);
    assert_int_equal(get(f, CONFIG, 0x30, 4), 0);
    assert_int_equal(get(f, CONFIG, 0x82, 2), 0xc003);
    assert_memory_equal(before + 0x100, after + 0x100, 4096 - 0x100);
    for (int i = 0; i < 0x100; i++)
        assert_int_equal(before[i] & ~f->d.pci.mask[i], after[i] & ~f->d.pci.mask[i]);
}

static void test_bar_answers_only_while_memory_is_enabled_in_d0(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(get(f, CONFIG, 4, 2), 2); // as VFIO hands a device over
    put(f, CONFIG, 4, 4, 2);
    assert_int_equal(get(f, 0, ESPC_REG_MAGIC, 4), 0xffffffff);
    put(f, CONFIG, 4, 2, 2);
    assert_int_equal(get(f, 0, ESPC_REG_MAGIC, 4), 0x4c505345);
    put(f, CONFIG, 0x44, 3, 2); // D3hot
    assert_int_equal(get(f, 0, ESPC_REG_MAGIC, 4), 0xffffffff);
    put(f, CONFIG, 0x44, 2, 2); // there is no D2
    assert_int_equal(get(f, CONFIG, 0x44, 2) & 3, 3);
    put(f, CONFIG, 0x44, 0, 2);
    assert_int_equal(get(f, 0, ESPC_REG_MAGIC, 4), 0x4c505345);
}

static void test_bar_reads_of_any_width_and_whole_word_writes(void **state)
{
    struct fixture *f = *state;
    uint64_t both = 0, epoch = 0x1122334455667788;
    put(f, CONFIG, 4, 2, 2);
    assert_int_equal(get(f, 0, ESPC_REG_MAGIC + 1, 1), 0x53);
    assert_int_equal(get(f, 0, ESPC_REG_MAGIC + 2, 2), 0x4c50);
    assert_int_equal(client_read(&f->client, 0, ESPC_REG_MAGIC, &both, 8), 0);
    assert_int_equal(both, 0x000200004c505345);
    assert_int_equal(client_write(&f->client, 0, ESPC_REG_QUEUE_SQ_BASE_LO(1), &epoch, 8), 0);
    assert_int_equal(get(f, 0, ESPC_REG_QUEUE_SQ_BASE_HI(1), 4), 0x11223344);
    assert_int_equal(client_write(&f->client, 0, ESPC_REG_EPOCH, &epoch, 2), EINVAL);
    assert_int_equal(get(f, 0, ESPC_REG_EPOCH, 4), 0);
    put(f, 0, CARD_PCI_MSIX_TABLE + 4, 0xfeedf00d, 4);
    assert_int_equal(get(f, 0, CARD_PCI_MSIX_TABLE + 4, 4), 0xfeedf00d);
    assert_int_equal(get(f, 0, 0xfffc, 4), 0);
}

static void test_doorbell_moves_data_then_interrupts(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    assert_false(card_device_busy(&f->d));
    ring(f);
    assert_true(card_device_busy(&f->d));
    assert_int_equal(events(f->irq[VECTOR]), 0);
    run(f);
    assert_false(card_device_busy(&f->d));
    assert_true(done(f));
    assert_int_equal(events(f->irq[VECTOR]), 1);
}

static void test_interrupt_without_eventfd_stays_pending(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    assert_int_equal(client_set_irqs(&f->client, 0x21, 2, 0, 0, NULL, 0), 0);
    ring(f);
    run(f);
    assert_int_equal(get(f, 0, CARD_PCI_MSIX_PBA, 4), 1u << VECTOR);
    assert_int_equal(client_set_irqs(&f->client, 0x24, 2, VECTOR, 1, &f->irq[VECTOR], 1), 0);
    assert_int_equal(events(f->irq[VECTOR]), 1);
    assert_int_equal(get(f, 0, CARD_PCI_MSIX_PBA, 4), 0);
}

static void test_dma_without_bus_master_is_an_error_to_the_model(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    put(f, CONFIG, 4, 2, 2);
    ring(f);
    run(f);
    assert_false(done(f));
    assert_int_equal(events(f->irq[VECTOR]), 0);
    assert_true(get(f, 0, ESPC_REG_STATUS, 4) & ESPC_STATUS_FATAL_MASK);
    assert_int_equal(f->d.dma_errors, 1);
}

static void test_function_level_reset_and_device_reset_clear_everything(void **state)
{
    struct fixture *f = *state;
    for (int how = 0; how < 2; how++) {
        struct vfu_answer a;
        bring_up(f);
        put(f, 0, ESPC_REG_EPOCH, 99, 4);
        ring(f);
        if (how)
            assert_int_equal(client_call(&f->client, VFU_DEVICE_RESET, NULL, 0, NULL, 0, &a), 0);
        else
            put(f, CONFIG, 0x98, 0x8000, 2);
        assert_int_equal(get(f, CONFIG, 0x98, 2) & 0x8000, 0);
        assert_int_equal(get(f, CONFIG, 4, 2), 2); // no bus master
        assert_false(card_device_busy(&f->d));
        put(f, CONFIG, 4, 6, 2);
        assert_int_equal(get(f, 0, ESPC_REG_EPOCH, 4), 0);
        assert_false(done(f));
        assert_int_equal(events(f->irq[VECTOR]), 0);
        assert_int_equal(client_dma_unmap(&f->client, IOVA, MEM, 0), 0);
    }
    bring_up(f); // and it works again
    ring(f);
    run(f);
    assert_true(done(f));
    assert_int_equal(events(f->irq[VECTOR]), 1);
}

static void test_client_that_leaves_takes_its_memory_and_resets_the_card(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    put(f, 0, ESPC_REG_EPOCH, 99, 4);
    ring(f);
    close(f->client.fd);
    serve(f);
    run(f);
    assert_false(vfu_server_connected(&f->d.server));
    assert_false(done(f));
    connect_client(f);
    put(f, CONFIG, 4, 2, 2);
    assert_int_equal(get(f, 0, ESPC_REG_EPOCH, 4), 0);
}

static void test_hang_answers_registers_and_does_nothing_else(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    ring(f);
    card_device_set_fault(&f->d, CARD_FAULT_HANG);
    assert_false(card_device_busy(&f->d));
    uint32_t before = get(f, 0, ESPC_REG_FREERUN_LO, 4);
    for (int i = 0; i < 2000; i++)
        assert_int_equal(get(f, 0, ESPC_REG_MAGIC, 4), 0x4c505345);
    assert_int_equal(get(f, 0, ESPC_REG_FREERUN_LO, 4), before);
    run(f);
    assert_false(done(f));
    card_device_set_fault(&f->d, CARD_FAULT_NONE);
    run(f);
    assert_true(done(f));
    assert_int_equal(events(f->irq[VECTOR]), 1);
}

static void test_doorbell_during_hang_waits_for_its_end_and_reset_forgets_it(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    card_device_set_fault(&f->d, CARD_FAULT_HANG);
    ring(f);
    put(f, 0, ESPC_REG_EPOCH, 5, 4);
    assert_int_equal(get(f, 0, ESPC_REG_EPOCH, 4), 5);
    card_device_set_fault(&f->d, CARD_FAULT_NONE);
    run(f);
    assert_true(done(f));
    memset(f->mem + CQ, 0, 64);
    card_device_set_fault(&f->d, CARD_FAULT_HANG);
    ring(f);
    assert_int_equal(card_device_reset(&f->d), 0);
    card_device_set_fault(&f->d, CARD_FAULT_NONE);
    run(f);
    assert_false(done(f));
}

static void test_dead_reads_all_ones_and_comes_back_reset(void **state)
{
    struct fixture *f = *state;
    struct vfu_answer a;
    bring_up(f);
    ring(f);
    card_device_set_fault(&f->d, CARD_FAULT_DEAD);
    assert_int_equal(get(f, 0, ESPC_REG_MAGIC, 4), 0xffffffff);
    assert_int_equal(get(f, CONFIG, 0, 4), 0xffffffff);
    put(f, CONFIG, 4, 6, 2);
    assert_int_equal(client_call(&f->client, VFU_DEVICE_RESET, NULL, 0, NULL, 0, &a), EIO);
    run(f);
    assert_false(done(f));
    card_device_set_fault(&f->d, CARD_FAULT_NONE);
    run(f);
    assert_false(done(f)); // a power cycle: the work is gone
    assert_int_equal(get(f, CONFIG, 4, 2), 0);
    assert_int_equal(client_dma_unmap(&f->client, IOVA, MEM, 0), 0);
    bring_up(f);
    ring(f);
    run(f);
    assert_true(done(f));
}

static void test_dropped_interrupts_are_counted(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    card_device_set_fault(&f->d, CARD_FAULT_DROP_IRQ);
    ring(f);
    run(f);
    assert_true(done(f));
    assert_int_equal(events(f->irq[VECTOR]), 0);
    assert_int_equal(f->d.irqs_dropped, 1);
}

static void test_spoilt_completions_change_one_field_in_the_ring_only(void **state)
{
    struct fixture *f = *state;
    static const struct {
        enum card_fault fault;
        size_t at, len;
    } cases[] = {{CARD_FAULT_BAD_COOKIE, 0, 8},
                 {CARD_FAULT_BAD_LENGTH, 24, 2},
                 {CARD_FAULT_BAD_HEAD, 30, 1},
                 {CARD_FAULT_BAD_STATUS, 22, 2},
                 {CARD_FAULT_BAD_EPOCH, 26, 1}};
    bring_up(f);
    put(f, 0, ESPC_REG_QUEUE_LOG2_SIZE(1), 2 << 8, 4);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        card_device_set_fault(&f->d, cases[i].fault);
        ring(f);
        run(f);
        for (size_t at = 0; at < 64; at++) // the 64 bytes are two completions
            if (at % 32 >= cases[i].at && at % 32 < cases[i].at + cases[i].len)
                assert_int_not_equal(f->mem[CQ + at], 0x42);
            else
                assert_int_equal(f->mem[CQ + at], 0x42);
    }
    put(f, 0, ESPC_REG_QUEUE_CQ_BASE_LO(2), (uint32_t)(IOVA + 0x4000), 4);
    put(f, 0, ESPC_REG_QUEUE_LOG2_SIZE(1), 0, 4); // no ring there any more: plain data
    ring(f);
    run(f);
    assert_true(done(f));
}

// ---- what goes wrong with memory

static void bring_up_rings(struct fixture *f)
{
    bring_up(f);
    put(f, 0, ESPC_REG_QUEUE_LOG2_SIZE(1), 2 << 8 | 2, 4);
}

static bool works_on(struct fixture *f)
{
    memset(f->mem + CQ, 0, 64);
    ring(f);
    run(f);
    return done(f);
}

static void test_a_stalled_queue_completes_nothing_and_the_clock_goes_on(void **state)
{
    struct fixture *f = *state;
    bring_up_rings(f);
    card_device_set_fault(&f->d, CARD_FAULT_STALL_DECAP); // another queue
    assert_true(works_on(f));
    assert_int_equal(events(f->irq[VECTOR]), 0); // its vector is that queue's here
    put(f, 0, ESPC_REG_QUEUE_VECTOR(1), 1, 4);
    assert_true(works_on(f));
    assert_int_equal(events(f->irq[1]), 1);
    static const enum card_fault stalls[] = {CARD_FAULT_STALL_ENCAP, CARD_FAULT_STALL};
    for (size_t i = 0; i < sizeof stalls / sizeof *stalls; i++) {
        card_device_set_fault(&f->d, stalls[i]);
        uint32_t before = get(f, 0, ESPC_REG_FREERUN_LO, 4);
        assert_false(works_on(f));
        assert_int_equal(events(f->irq[1]), 0);
        assert_true(get(f, 0, ESPC_REG_FREERUN_LO, 4) - before > 1000);
    }
    card_device_set_fault(&f->d, CARD_FAULT_NONE);
    assert_true(works_on(f));
    assert_int_equal(events(f->irq[1]), 1);
}

static void test_late_completions_come_in_their_time_and_in_order(void **state)
{
    struct fixture *f = *state;
    static const struct {
        enum card_fault fault;
        int ms;
    } cases[] = {{CARD_FAULT_SLOW, CARD_TROUBLE_SLOW_MS}, {CARD_FAULT_LATE, CARD_TROUBLE_LATE_MS}};
    bring_up_rings(f);
    assert_int_equal(card_device_wait_ms(&f->d), -1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t from = busy_now_us();
        card_device_set_fault(&f->d, cases[i].fault);
        assert_false(works_on(f));
        assert_in_range(card_device_wait_ms(&f->d), 0, cases[i].ms + 1);
        card_device_set_fault(&f->d, CARD_FAULT_NONE); // what is late stays late
        while (!done(f)) {
            assert_int_equal(events(f->irq[VECTOR]), 0);
            usleep(1000);
            card_device_run(&f->d, 1);
        }
        assert_true(busy_now_us() - from >= (uint64_t)cases[i].ms * 1000);
        assert_int_equal(events(f->irq[VECTOR]), 1);
        assert_int_equal(card_device_wait_ms(&f->d), -1);
    }
    card_device_set_fault(&f->d, CARD_FAULT_LATE);
    assert_false(works_on(f));
    assert_int_equal(card_device_reset(&f->d), 0); // and a reset forgets it
    assert_int_equal(card_device_wait_ms(&f->d), -1);
}

static void test_a_duplicate_says_what_was_said_before_it(void **state)
{
    struct fixture *f = *state;
    bring_up_rings(f);
    card_device_set_fault(&f->d, CARD_FAULT_DUPLICATE);
    memset(f->mem + SQ, 0x11, 64);
    memset(f->mem + SQ + 32, 0x22, 32);
    ring(f);
    run(f);
    for (size_t at = 0; at < 64; at++) // the 64 bytes are two completions; the phase word is the ring's
        assert_int_equal(f->mem[CQ + at], at < 60 ? 0x11 : 0x22);
}

static void test_a_read_that_is_never_answered_stops_all_but_the_clock(void **state)
{
    struct fixture *f = *state;
    bring_up_rings(f);
    card_device_set_fault(&f->d, CARD_FAULT_STUCK_DMA);
    assert_false(works_on(f));
    assert_false(card_device_busy(&f->d)); // it costs nothing
    uint32_t before = get(f, 0, ESPC_REG_FREERUN_LO, 4);
    usleep(5000);
    run(f);
    assert_true(get(f, 0, ESPC_REG_FREERUN_LO, 4) - before >= 5 * 249000); // 250 MHz
    assert_false(done(f));
    card_device_set_fault(&f->d, CARD_FAULT_NONE);
    run(f);
    assert_true(done(f));
    assert_int_equal(events(f->irq[VECTOR]), 1);
}

static void test_a_bad_descriptor_differs_in_one_bit(void **state)
{
    struct fixture *f = *state;
    unsigned bad = 0;
    bring_up_rings(f);
    card_device_set_fault(&f->d, CARD_FAULT_BAD_DESCRIPTOR);
    for (int i = 0; i < 200; i++) {
        unsigned bits = 0;
        (void)works_on(f);
        for (size_t at = 0; at < 64; at++)
            bits += (unsigned)__builtin_popcount(f->mem[CQ + at] ^ f->mem[SQ + at]);
        assert_in_range(bits, 0, 1);
        bad += bits;
    }
    assert_in_range(bad, 20, 80);
}

static void test_a_fault_inside_is_fatal_and_a_reset_ends_it(void **state)
{
    struct fixture *f = *state;
    bring_up_rings(f);
    card_device_set_fault(&f->d, CARD_FAULT_FATAL);
    run(f);
    assert_false(get(f, 0, ESPC_REG_STATUS, 4) & ESPC_STATUS_FATAL_MASK); // nothing is inside
    assert_true(works_on(f)); // its packet is known with the first read, and gone with that cycle here
    assert_true(works_on(f)); // what is found of it is a copy that nobody looks at
    assert_true(f->d.trouble.upset);
    assert_int_equal(f->d.fault, CARD_FAULT_FATAL); // another one, then
    ring(f);
    run(f);
    assert_true(get(f, 0, ESPC_REG_STATUS, 4) & ESPC_STATUS_FATAL_MASK);
    assert_int_equal(f->d.fault, CARD_FAULT_NONE);
    assert_int_equal(card_device_reset(&f->d), 0);
    assert_false(get(f, 0, ESPC_REG_STATUS, 4) & ESPC_STATUS_FATAL_MASK);
}

static void test_registers_of_all_ones_and_a_connection_that_is_cut(void **state)
{
    struct fixture *f = *state;
    bring_up_rings(f);
    card_device_set_fault(&f->d, CARD_FAULT_ALL_ONES);
    assert_int_equal(get(f, 0, ESPC_REG_MAGIC, 4), 0xffffffff);
    assert_int_equal(get(f, CONFIG, 4, 2), 6); // all else goes on
    assert_true(works_on(f));
    assert_false(card_device_cut(&f->d));
    card_device_set_fault(&f->d, CARD_FAULT_SOCKET_CUT);
    assert_true(card_device_cut(&f->d));
    assert_false(card_device_cut(&f->d)); // once
    assert_int_equal(get(f, 0, ESPC_REG_MAGIC, 4), 0x4c505345);
}

static int no_host(void *ctx, uint64_t addr, void *buf, size_t len)
{
    memset(buf, 0x77, len);
    *(uint64_t *)ctx = addr;
    return 0;
}

static void test_keys_are_known_from_their_commands_and_bursts_are_cut(void **state)
{
    struct fixture *f = *state;
    struct espc_sa_command add = {.op = ESPC_SA_OP_ADD, .blob_iova = 0x4000};
    struct card_trouble t;
    uint8_t entry[64], burst[256];
    uint64_t asked = 0;
    size_t len = sizeof burst;
    assert_int_equal(card_trouble_init(&t), 0);
    card_trouble_register(&t, ESPC_REG_QUEUE_SQ_BASE_LO(0), 0x1000);
    card_trouble_register(&t, ESPC_REG_QUEUE_LOG2_SIZE(0), 4 << 8 | 4);
    assert_int_equal(card_trouble_invert_keys(&t, f->d.model), 0);
    memcpy(entry, &add, sizeof entry);
    card_trouble_read(&t, CARD_TROUBLE_NONE, 0x1040, entry, sizeof entry, no_host, &asked);
    assert_int_equal(asked, 0x4000 + offsetof(struct espc_sa_blob, key));
    assert_int_equal(card_trouble_invert_keys(&t, f->d.model), 1);
    assert_false(card_trouble_write(&t, CARD_TROUBLE_PARTIAL, 0, 0x9000, burst, &len));
    assert_int_equal(len, CARD_TROUBLE_PART);
    card_trouble_free(&t);
}

static void test_free_running_counter_follows_wall_time_while_idle(void **state)
{
    struct fixture *f = *state;
    put(f, CONFIG, 4, 2, 2);
    uint64_t from = busy_now_us(), before = get(f, 0, ESPC_REG_FREERUN_LO, 4), within = busy_now_us();
    struct timespec t = {.tv_nsec = 20000000};
    nanosleep(&t, NULL);
    uint64_t until = busy_now_us(), after = get(f, 0, ESPC_REG_FREERUN_LO, 4), to = busy_now_us();
    assert_in_range(after - before, (until - within) * 249, (to - from) * 251); // 250 MHz
}

static char *control(struct fixture *f, const char *text)
{
    char line[64];
    strcpy(line, text);
    return card_control_execute(&f->d, "/nonexistent/wave.fst", line);
}

static void test_control_commands(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *command, *reply;
    } cases[] = {
        {"fault hang\n", "ok\n"},
        {"counters\n", "ok\n{"},
        {"fault clear\n", "ok\n"},
        {"fault none\n",
         "error 2 fault none: no such mode; this card knows hang, dead, all-ones, socket-cut, fatal, "},
        {"fault\n", "error 2 expected: "},
        {"\n", "error 2 expected: "},
        {"reset now\n", "error 2 expected: "},
        {"reset\n", "ok\n"},
        {"fault dead\n", "ok\n"},
        {"reset\n", "error 1 reset: the card is dead"},
        {"fault clear\n", "ok\n"},
        {"wave pause\n", "error 2 wave pause: "},
        {"wave start\n", "ok\n/nonexistent/wave.fst\n"},
        {"wave start\n", "error 1 wave "},
        {"wave stop\n", "ok\n"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *reply = control(f, cases[i].command);
        assert_non_null(reply);
        reply[strnlen(cases[i].reply, strlen(reply))] = 0;
        assert_string_equal(reply, cases[i].reply);
        free(reply);
    }
    char *reply = control(f, "counters\n");
    assert_non_null(strstr(reply, "\"done\": 0"));
    free(reply);
}

static void test_more_slots_than_the_model_has_are_refused(void **state)
{
    (void)state;
    struct card_device d;
    assert_int_equal(card_device_init(&d, &(struct card_device_options){.lanes = 4, .sa_slots = 5000}),
                     -ERANGE);
    assert_int_equal(card_device_init(&d, &(struct card_device_options){.lanes = 2}), -ENOTSUP);
    assert_int_equal(card_device_init(&d, &(struct card_device_options){.lanes = 4, .sa_slots = 16}), 0);
    assert_int_equal(card_device_peek(&d, ESPC_REG_SA_SLOTS), 16);
    card_device_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_config_space_names_the_card),
        T(test_config_write_reaches_writable_bits_only),
        T(test_bar_answers_only_while_memory_is_enabled_in_d0),
        T(test_bar_reads_of_any_width_and_whole_word_writes),
        T(test_doorbell_moves_data_then_interrupts),
        T(test_interrupt_without_eventfd_stays_pending),
        T(test_dma_without_bus_master_is_an_error_to_the_model),
        T(test_function_level_reset_and_device_reset_clear_everything),
        T(test_client_that_leaves_takes_its_memory_and_resets_the_card),
        T(test_hang_answers_registers_and_does_nothing_else),
        T(test_doorbell_during_hang_waits_for_its_end_and_reset_forgets_it),
        T(test_dead_reads_all_ones_and_comes_back_reset),
        T(test_dropped_interrupts_are_counted),
        T(test_spoilt_completions_change_one_field_in_the_ring_only),
        T(test_a_stalled_queue_completes_nothing_and_the_clock_goes_on),
        T(test_late_completions_come_in_their_time_and_in_order),
        T(test_a_duplicate_says_what_was_said_before_it),
        T(test_a_read_that_is_never_answered_stops_all_but_the_clock),
        T(test_a_bad_descriptor_differs_in_one_bit),
        T(test_a_fault_inside_is_fatal_and_a_reset_ends_it),
        T(test_registers_of_all_ones_and_a_connection_that_is_cut),
        T(test_keys_are_known_from_their_commands_and_bursts_are_cut),
        T(test_free_running_counter_follows_wall_time_while_idle),
        T(test_control_commands),
        cmocka_unit_test(test_more_slots_than_the_model_has_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
