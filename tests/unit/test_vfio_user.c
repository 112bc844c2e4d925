// SPDX-License-Identifier: Apache-2.0
// The vfio-user server over a socket pair, with a device that is 4 KiB of plain memory: negotiation,
// information, region accesses, interrupts, and a peer that lies about lengths, commands and descriptors.
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "sim/vfio_user/server.h"
#include "tests/unit/vfu_client.h"

struct fixture {
    struct vfu_server server;
    struct vfu_client client;
    uint8_t bar[4096];
    unsigned resets;
    int last; // of vfu_server_service
};

static int mem_read(void *ctx, uint32_t region, uint64_t offset, void *buf, uint32_t len)
{
    struct fixture *f = ctx;
    if (region != VFU_REGION_BAR0)
        return -EIO;
    memcpy(buf, f->bar + offset, len);
    return 0;
}

static int mem_write(void *ctx, uint32_t region, uint64_t offset, const void *buf, uint32_t len)
{
    struct fixture *f = ctx;
    if (region != VFU_REGION_BAR0)
        return -EIO;
    memcpy(f->bar + offset, buf, len);
    return 0;
}

static int mem_reset(void *ctx)
{
    ((struct fixture *)ctx)->resets++;
    return 0;
}

static const struct vfu_device_ops ops = {
    .region_read = mem_read, .region_write = mem_write, .reset = mem_reset};

static void serve(void *ctx)
{
    struct fixture *f = ctx;
    if (!vfu_server_connected(&f->server))
        return;
    f->last = vfu_server_service(&f->server, 1000);
    if (f->last < 0)
        vfu_server_detach(&f->server);
}

static void connect_client(struct fixture *f)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(vfu_server_attach(&f->server, pair[0]), 0);
    f->client = (struct vfu_client){.fd = pair[1], .serve = serve, .ctx = f};
}

static int setup_unversioned(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_int_equal(vfu_server_init(&f->server, &ops, f), 0);
    f->server.region_size[VFU_REGION_BAR0] = sizeof f->bar;
    f->server.region_size[VFU_REGION_CONFIG] = 4096;
    vfu_irq_init(&f->server.irq[VFU_IRQ_MSIX], 4);
    connect_client(f);
    *state = f;
    return 0;
}

static int setup(void **state)
{
    struct vfu_answer a;
    setup_unversioned(state);
    struct fixture *f = *state;
    assert_int_equal(client_version(&f->client, "{\"capabilities\":{\"max_msg_fds\":16}}", &a), 0);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    close(f->client.fd);
    vfu_server_free(&f->server);
    free(f);
    return 0;
}

// -------------------------------------------------------------------------------------------------
// negotiation

static void test_version_of_qemu_gets_ours_within_its_buffer(void **state)
{
    struct fixture *f = *state;
    struct vfu_answer a;
    assert_int_equal(
        client_version(&f->client,
                       "{\"capabilities\": {\"pgsizes\": 4096, \"max_msg_fds\": 16, \"max_dma_maps\": "
                       "65535, \"max_data_xfer_size\": 1048576, \"migration\": {\"max_bitmap_size\": "
                       "268435456, \"pgsize\": 4096}, \"write_multiple\": true}}",
                       &a),
        0);
    assert_true(VFU_HEADER_SIZE + a.len <= 214);
    assert_int_equal(a.body[a.len - 1], 0);
    assert_memory_equal(a.body, "\0\0\0\0", 4);
    assert_non_null(strstr((char *)a.body + 4, "\"max_data_xfer_size\":1048576"));
    assert_null(strstr((char *)a.body + 4, "write_multiple"));
}

static void refused_version(struct fixture *f, const void *body, size_t len)
{
    struct vfu_answer a;
    assert_int_equal(client_call(&f->client, VFU_VERSION, body, len, NULL, 0, &a), EINVAL);
    assert_int_equal(client_peek(&f->client), -1);
    close(f->client.fd);
    connect_client(f);
}

static void test_version_malformed_is_refused_and_closes(void **state)
{
    struct fixture *f = *state;
    refused_version(f, "\1\0\0\0{}", 7);       // major 1
    refused_version(f, "\0\0\0", 3);           // short
    refused_version(f, "\0\0\0\0{}", 6);       // no zero byte
    refused_version(f, "\0\0\0\0{\"a\":", 10); // not JSON
    refused_version(f, "\0\0\0\0[1]", 8);      // not an object
    refused_version(f, "\0\0\0\0{}\0{}", 10);  // text after the end
    struct vfu_answer a;
    assert_int_equal(client_version(&f->client, "{}", &a), 0);
}

static void test_command_before_version_is_refused_and_closes(void **state)
{
    struct fixture *f = *state;
    struct vfu_answer a;
    uint32_t body[4] = {16};
    assert_int_equal(client_call(&f->client, VFU_GET_INFO, body, sizeof body, NULL, 0, &a), EINVAL);
    assert_int_equal(client_peek(&f->client), -1);
}

static void test_second_version_is_refused_and_the_stream_lives(void **state)
{
    struct fixture *f = *state;
    struct vfu_answer a;
    uint32_t body[4] = {16};
    assert_int_equal(client_version(&f->client, "{}", &a), EINVAL);
    assert_int_equal(client_call(&f->client, VFU_GET_INFO, body, sizeof body, NULL, 0, &a), 0);
}

// -------------------------------------------------------------------------------------------------
// information

static void test_info_names_a_pci_device_with_reset(void **state)
{
    struct fixture *f = *state;
    struct vfu_answer a;
    uint32_t body[4] = {16}, want[4] = {16, 3, 9, 5};
    assert_int_equal(client_call(&f->client, VFU_GET_INFO, body, sizeof body, NULL, 0, &a), 0);
    assert_int_equal(a.len, 16);
    assert_memory_equal(a.body, want, 16);
    body[0] = 15;
    assert_int_equal(client_call(&f->client, VFU_GET_INFO, body, sizeof body, NULL, 0, &a), EINVAL);
    assert_int_equal(client_call(&f->client, VFU_GET_INFO, body, 3, NULL, 0, &a), EINVAL);
}

static void test_region_info_gives_sizes_and_zero_for_absent_bars(void **state)
{
    struct fixture *f = *state;
    struct vfu_answer a;
    for (uint32_t i = 0; i < 10; i++) {
        uint32_t body[8] = {32, 0, i}, got[4];
        uint64_t size;
        uint32_t err = client_call(&f->client, VFU_GET_REGION_INFO, body, sizeof body, NULL, 0, &a);
        assert_int_equal(err, i < 9 ? 0 : EINVAL);
        if (err)
            continue;
        assert_int_equal(a.len, 32);
        memcpy(got, a.body, sizeof got);
        memcpy(&size, a.body + 16, sizeof size);
        bool there = i == VFU_REGION_BAR0 || i == VFU_REGION_CONFIG;
        assert_int_equal(size, there ? 4096 : 0);
        assert_int_equal(got[1], there ? 3 : 0);
        assert_int_equal(got[2], i);
    }
}

static void test_irq_info_counts_msix_vectors(void **state)
{
    struct fixture *f = *state;
    struct vfu_answer a;
    for (uint32_t i = 0; i < 6; i++) {
        uint32_t body[4] = {16, 0, i}, want[4] = {16, i == 2, i, i == 2 ? 4 : 0};
        assert_int_equal(client_call(&f->client, VFU_GET_IRQ_INFO, body, 16, NULL, 0, &a),
                         i < 5 ? 0 : EINVAL);
        if (i < 5)
            assert_memory_equal(a.body, want, 16);
    }
}

// -----------------------------------------------------------------------------------------------------
// regions

static void test_region_read_returns_what_was_written(void **state)
{
    struct fixture *f = *state;
    for (uint32_t len = 1; len <= 8; len *= 2) {
        uint8_t data[8] = {1, 2, 3, 4, 5, 6, 7, 8}, got[8] = {0};
        assert_int_equal(client_write(&f->client, 0, 64 * len, data, len), 0);
        assert_int_equal(client_read(&f->client, 0, 64 * len, got, len), 0);
        assert_memory_equal(got, data, len);
    }
    uint8_t all[4096];
    assert_int_equal(client_read(&f->client, 0, 0, all, sizeof all), 0);
    assert_memory_equal(all, f->bar, sizeof all);
}

static void test_posted_write_has_no_reply_and_keeps_its_order(void **state)
{
    struct fixture *f = *state;
    uint32_t got;
    for (uint32_t v = 1; v <= 100; v++)
        client_post(&f->client, 0, 8, &v, 4);
    assert_int_equal(client_read(&f->client, 0, 8, &got, 4), 0); // checks its id: no stray reply came before
    assert_int_equal(got, 100);
    uint32_t v = 7;
    client_post(&f->client, 0, 4096, &v, 4); // refused, and even that is not answered
    assert_int_equal(client_peek(&f->client), 0);
}

static void test_region_access_outside_is_refused(void **state)
{
    struct fixture *f = *state;
    uint8_t buf[16] = {0};
    static const struct {
        uint32_t region;
        uint64_t offset;
        uint32_t len;
    } bad[] = {{0, 4096, 1},       {0, 4095, 2},       {0, 0, 0},         {0, UINT64_MAX, 1},
               {0, UINT64_MAX, 2}, {1, 0, 4},          {9, 0, 4},         {0xffffffff, 0, 4},
               {0, 0, 4097},       {0, 0, 0xffffffff}, {0, 8, 0xfffffff9}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(client_read(&f->client, bad[i].region, bad[i].offset, buf, bad[i].len), EINVAL);
    assert_int_equal(client_read(&f->client, 7, 0, buf, 4), EIO); // the device's own refusal passes through
}

static void test_region_write_length_lie_is_refused(void **state)
{
    struct fixture *f = *state;
    struct vfu_answer a;
    uint8_t body[16 + 8] = {0};
    body[12] = 4;
    assert_int_equal(client_call(&f->client, VFU_REGION_WRITE, body, 16, NULL, 0, &a), EINVAL);
    assert_int_equal(client_call(&f->client, VFU_REGION_WRITE, body, 19, NULL, 0, &a), EINVAL);
    assert_int_equal(client_call(&f->client, VFU_REGION_WRITE, body, 24, NULL, 0, &a), EINVAL);
    assert_int_equal(client_call(&f->client, VFU_REGION_WRITE, body, 20, NULL, 0, &a), 0);
    assert_int_equal(a.len, 16);
}

// --------------------------------------------------------------------------------------------------------
// stream

static void test_every_body_length_of_every_command_is_answered(void **state)
{
    struct fixture *f = *state;
    static const uint8_t zeros[64];
    for (uint16_t cmd = 0; cmd <= 20; cmd++) {
        for (size_t len = 0; len <= sizeof zeros; len++) {
            struct vfu_answer a;
            uint32_t err = client_call(&f->client, cmd, zeros, len, NULL, 0, &a);
            if (cmd == VFU_DEVICE_RESET)
                assert_int_equal(err, 0);
            else
                assert_true(err == EINVAL || err == ENOTSUP);
        }
    }
}

static void test_unknown_command_without_reply_is_silent(void **state)
{
    struct fixture *f = *state;
    client_send(&f->client, 99, VFU_F_NO_REPLY, NULL, 0, NULL, 0);
    assert_int_equal(client_peek(&f->client), 0);
}

static void test_reply_never_asked_for_is_ignored(void **state)
{
    struct fixture *f = *state;
    client_send(&f->client, VFU_DMA_READ, VFU_F_REPLY, "12345678", 8, NULL, 0);
    assert_int_equal(client_peek(&f->client), 0);
}

static void test_impossible_message_size_closes(void **state)
{
    struct fixture *f = *state;
    static const uint32_t sizes[] = {0, 15, VFU_HEADER_SIZE + VFU_MAX_BODY + 1, 0xffffffff};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        client_send_raw(&f->client, VFU_VERSION, 0, sizes[i], NULL, 0, NULL, 0);
        assert_int_equal(client_peek(&f->client), -1);
        assert_int_equal(f->last, -EPROTO);
        close(f->client.fd);
        connect_client(f);
    }
}

static void test_message_in_single_bytes_is_one_message(void **state)
{
    struct fixture *f = *state;
    struct vfu_answer a;
    uint8_t raw[VFU_HEADER_SIZE + 16] = {0x77, 0x66, VFU_GET_INFO, 0, sizeof raw};
    raw[VFU_HEADER_SIZE] = 16;
    for (size_t i = 0; i < sizeof raw; i++) {
        assert_int_equal(send(f->client.fd, raw + i, 1, 0), 1);
        serve(f);
    }
    client_receive(&f->client, 0x6677, VFU_GET_INFO, &a);
    assert_int_equal(a.len, 16);
}

static void test_close_inside_a_message_is_noticed(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(send(f->client.fd, "\1\0\4\0\40\0\0\0abc", 11, 0), 11);
    serve(f);
    assert_true(vfu_server_connected(&f->server));
    shutdown(f->client.fd, SHUT_WR);
    serve(f);
    assert_false(vfu_server_connected(&f->server));
    assert_int_equal(f->last, -ECONNRESET);
}

static void test_unread_replies_hold_requests_back_and_none_is_lost(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 150 };
    uint8_t head[VFU_REGION_RW_SIZE] = {0};
    head[13] = 0x10; // 4096 bytes
    uint16_t first = f->client.next_id;
    for (unsigned i = 0; i < COUNT; i++) {
        client_send(&f->client, VFU_REGION_READ, 0, head, sizeof head, NULL, 0);
        serve(f);
    }
    assert_true(vfu_conn_blocked(&f->server.conn)); // 600 KB of replies do not fit into the socket
    for (unsigned i = 0; i < COUNT; i++) {
        struct vfu_answer a;
        client_receive(&f->client, (uint16_t)(first + i), VFU_REGION_READ, &a);
        assert_int_equal(a.len, 4096 + VFU_REGION_RW_SIZE);
    }
}

static void test_disconnect_drops_maps_and_the_next_client_starts_afresh(void **state)
{
    struct fixture *f = *state;
    uint8_t *mem, buf[4];
    int fd = client_memory(4096, &mem);
    assert_int_equal(client_dma_map(&f->client, 0x1000, 4096, 0, 3, fd), 0);
    assert_int_equal(vfu_dma_read(&f->server.dma, 0x1000, buf, 4), 0);
    close(f->client.fd);
    serve(f);
    assert_int_equal(vfu_dma_read(&f->server.dma, 0x1000, buf, 4), -EFAULT);
    connect_client(f);
    struct vfu_answer a;
    assert_int_equal(client_version(&f->client, "{}", &a), 0);
    munmap(mem, 4096);
    close(fd);
}

// ------------------------------------------------------------------------------------------- DMA and
// descriptors

static int open_descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void test_dma_map_checks_and_unmap_by_range(void **state)
{
    struct fixture *f = *state;
    uint8_t *mem, buf[8];
    int fd = client_memory(0x4000, &mem);
    mem[0x1000] = 0x5a;
    assert_int_equal(client_dma_map(&f->client, 0x10000, 0x4000, 0, 3, fd), 0);
    assert_int_equal(vfu_dma_read(&f->server.dma, 0x11000, buf, 1), 0);
    assert_int_equal(buf[0], 0x5a);
    assert_int_equal(client_dma_map(&f->client, 0x13000, 0x1000, 0, 3, fd), EEXIST);
    assert_int_equal(client_dma_map(&f->client, 0x20000, 0x1000, 0x4000, 3, fd), EINVAL); // beyond the file
    assert_int_equal(client_dma_map(&f->client, 0x20000, 0x800, 0, 3, fd), EINVAL);       // half a page
    assert_int_equal(client_dma_map(&f->client, 0x20000, 0, 0, 3, fd), EINVAL);
    assert_int_equal(client_dma_map(&f->client, 0x20000, 0x1000, 0, 4, fd), EINVAL); // unknown flag
    assert_int_equal(client_dma_map(&f->client, 0xfffffffffffff000, 0x2000, 0, 3, fd), EINVAL);
    assert_int_equal(client_dma_map(&f->client, 0xfffffffffffff000, 0x1000, 0, 3, fd),
                     0);                                                    // the very last page
    assert_int_equal(client_dma_unmap(&f->client, 0x500000, 0x1000, 0), 0); // matches nothing: no error
    assert_int_equal(client_dma_unmap(&f->client, 0x1000, 0, 0), EINVAL);
    assert_int_equal(client_dma_unmap(&f->client, 0x1000, 0xffffffffffffffff, 0), EINVAL);
    assert_int_equal(client_dma_unmap(&f->client, 0x0, 0x80000000, 0), 0); // QEMU's sweep
    assert_int_equal(vfu_dma_read(&f->server.dma, 0x11000, buf, 1), -EFAULT);
    assert_int_equal(vfu_dma_read(&f->server.dma, 0xffffffffffffffff, buf, 1), 0);
    assert_int_equal(client_dma_unmap(&f->client, 0xfef00000, 0xffffffff01100000, 0), 0); // up to 2^64
    assert_int_equal(vfu_dma_read(&f->server.dma, 0xffffffffffffffff, buf, 1), -EFAULT);
    assert_int_equal(client_dma_map(&f->client, 0, 0x1000, 0, 3, fd), 0);
    assert_int_equal(client_dma_unmap(&f->client, 0, 1, VFU_DMA_F_UNMAP_ALL), EINVAL);
    assert_int_equal(client_dma_unmap(&f->client, 0, 0, VFU_DMA_F_UNMAP_ALL), 0);
    assert_int_equal(f->server.dma.count, 0);
    munmap(mem, 0x4000);
    close(fd);
}

static void test_descriptors_are_never_leaked(void **state)
{
    struct fixture *f = *state;
    struct vfu_answer a;
    uint8_t *mem;
    uint32_t info[4] = {16}, irqs[5] = {20, 0x24, 2, 0, 4};
    int fds[20], fd = client_memory(4096, &mem);
    for (unsigned i = 0; i < 20; i++)
        fds[i] = fd;
    int before = open_descriptors();
    assert_int_equal(client_call(&f->client, VFU_GET_INFO, info, sizeof info, fds, 16, &a), 0);
    assert_int_equal(client_call(&f->client, 99, NULL, 0, fds, 16, &a), ENOTSUP);
    assert_int_equal(client_call(&f->client, VFU_SET_IRQS, irqs, sizeof irqs, fds, 3, &a), EINVAL);
    assert_int_equal(client_dma_map(&f->client, 0, 4096, 0, 3, fd), 0);
    assert_int_equal(open_descriptors(), before);                         // a map keeps no descriptor
    client_send(&f->client, VFU_GET_INFO, 0, info, sizeof info, fds, 17); // one more than agreed
    assert_int_equal(client_peek(&f->client), -1);
    assert_int_equal(open_descriptors(), before - 1); // the connection's own is gone too
    munmap(mem, 4096);
    close(fd);
}

// ----------------------------------------------------------------------------------------------------
// interrupts

static uint64_t events(int fd)
{
    uint64_t n = 0;
    return read(fd, &n, sizeof n) == sizeof n ? n : 0;
}

static void test_interrupts_reach_their_eventfd(void **state)
{
    struct fixture *f = *state;
    struct vfu_irq_index *x = &f->server.irq[VFU_IRQ_MSIX];
    int fd[4];
    for (int i = 0; i < 4; i++)
        fd[i] = eventfd(0, EFD_NONBLOCK);
    vfu_irq_raise(x, 2); // nobody listens: pending
    assert_true(x->pending[2]);
    assert_int_equal(client_set_irqs(&f->client, 0x24, 2, 0, 4, fd, 4), 0);
    assert_int_equal(events(fd[2]), 1);
    assert_false(x->pending[2]);
    vfu_irq_raise(x, 0);
    vfu_irq_raise(x, 0);
    assert_int_equal(events(fd[0]), 2);
    assert_int_equal(events(fd[1]), 0);
    assert_int_equal(client_set_irqs(&f->client, 0x21, 2, 1, 1, NULL, 0), 0); // a trigger from the client
    assert_int_equal(events(fd[1]), 1);
    assert_int_equal(client_set_irqs(&f->client, 0x24, 2, 3, 1, NULL, 0), 0); // takes vector 3 away
    vfu_irq_raise(x, 3);
    assert_int_equal(events(fd[3]), 0);
    assert_int_equal(client_set_irqs(&f->client, 0x21, 2, 0, 0, NULL, 0), 0); // all
    vfu_irq_raise(x, 0);
    assert_int_equal(events(fd[0]), 0);
    vfu_irq_raise(x, 4); // no such vector
    for (int i = 0; i < 4; i++)
        close(fd[i]);
}

static void test_set_irqs_out_of_range_is_refused(void **state)
{
    struct fixture *f = *state;
    static const uint32_t bad[][4] = {{0x24, 2, 4, 1},          {0x24, 2, 0, 5}, {0x24, 2, 0xffffffff, 2},
                                      {0x24, 5, 0, 0},          {0x24, 0, 0, 1}, {0x09, 2, 0, 1},
                                      {0x27, 2, 0, 1},          {0x20, 2, 0, 1}, {0x22, 2, 0, 1},
                                      {0x24, 2, 1, 0xffffffff}, {0x3c, 2, 0, 1}, {0x04, 2, 0, 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(client_set_irqs(&f->client, bad[i][0], bad[i][1], bad[i][2], bad[i][3], NULL, 0),
                         EINVAL);
}

static void test_full_or_foreign_descriptor_does_not_block(void **state)
{
    struct fixture *f = *state;
    struct vfu_irq_index *x = &f->server.irq[VFU_IRQ_MSIX];
    uint64_t full = UINT64_MAX - 1;
    int pipes[2], fds[2];
    fds[0] = eventfd(0, 0); // blocking
    assert_int_equal(write(fds[0], &full, sizeof full), sizeof full);
    assert_int_equal(pipe(pipes), 0);
    fds[1] = pipes[0]; // not even writable
    assert_int_equal(client_set_irqs(&f->client, 0x24, 2, 0, 2, fds, 2), 0);
    vfu_irq_raise(x, 0);
    vfu_irq_raise(x, 1);
    assert_int_equal(events(fds[0]), UINT64_MAX - 1);
    close(fds[0]);
    close(pipes[0]);
    close(pipes[1]);
}

// Fields that are right more often than chance would have it, so that the checks behind the first one are
// reached.
static uint8_t likely_byte(size_t at)
{
    static const uint8_t values[] = {0, 0, 0, 0, 1, 2, 3, 4, 7, 8, 16, 20, 24, 32, 0x24, 0xff};
    return at % 4 && rand() % 4 ? 0 : rand() % 8 ? values[rand() % 16] : (uint8_t)rand();
}

static void test_random_messages_leave_the_server_whole(void **state)
{
    struct fixture *f = *state;
    struct vfu_answer a;
    uint8_t *mem, *junk = malloc(65536);
    int memfd = client_memory(0x10000, &mem), before = open_descriptors(),
        fds[4] = {memfd, memfd, memfd, memfd};
    srand(7);
    for (int round = 0; round < 20000; round++) {
        uint8_t body[80];
        size_t len = (size_t)rand() % sizeof body;
        uint32_t size = (uint32_t)(VFU_HEADER_SIZE + len);
        for (size_t i = 0; i < len; i++)
            body[i] = likely_byte(i);
        if (rand() % 50 == 0)
            size = (uint32_t)rand() % 200;
        client_send_raw(&f->client, (uint16_t)(rand() % 19), (uint32_t)(rand() % 10 ? 0 : rand() % 64), size,
                        body, len, fds, (unsigned)rand() % 4);
        serve(f);
        while (recv(f->client.fd, junk, 65536, MSG_DONTWAIT) > 0)
            ;
        if (vfu_server_connected(&f->server))
            continue;
        close(f->client.fd);
        connect_client(f);
        client_version(&f->client, "{}", &a);
    }
    vfu_server_detach(&f->server);
    assert_int_equal(open_descriptors(), before - 1); // less the connection: nothing leaks
    munmap(mem, 0x10000);
    close(memfd);
    free(junk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        cmocka_unit_test_setup_teardown(test_version_of_qemu_gets_ours_within_its_buffer, setup_unversioned,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_version_malformed_is_refused_and_closes, setup_unversioned,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_command_before_version_is_refused_and_closes, setup_unversioned,
                                        teardown),
        T(test_second_version_is_refused_and_the_stream_lives),
        T(test_info_names_a_pci_device_with_reset),
        T(test_region_info_gives_sizes_and_zero_for_absent_bars),
        T(test_irq_info_counts_msix_vectors),
        T(test_region_read_returns_what_was_written),
        T(test_posted_write_has_no_reply_and_keeps_its_order),
        T(test_region_access_outside_is_refused),
        T(test_region_write_length_lie_is_refused),
        T(test_every_body_length_of_every_command_is_answered),
        T(test_unknown_command_without_reply_is_silent),
        T(test_reply_never_asked_for_is_ignored),
        T(test_impossible_message_size_closes),
        T(test_message_in_single_bytes_is_one_message),
        T(test_close_inside_a_message_is_noticed),
        T(test_unread_replies_hold_requests_back_and_none_is_lost),
        T(test_disconnect_drops_maps_and_the_next_client_starts_afresh),
        T(test_dma_map_checks_and_unmap_by_range),
        T(test_descriptors_are_never_leaked),
        T(test_interrupts_reach_their_eventfd),
        T(test_set_irqs_out_of_range_is_refused),
        T(test_full_or_foreign_descriptor_does_not_block),
        T(test_random_messages_leave_the_server_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
