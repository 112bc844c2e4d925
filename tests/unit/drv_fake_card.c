// SPDX-License-Identifier: Apache-2.0
// The fake card's thread: one connection, messages in order, rings run when a doorbell arrives.
#include "drv_fake_card.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "driver/common/bytes.h"
#include "hw/regs/gen/espalier_card.h"

enum { MAX_MAPS = 16, MAX_FDS = 8, SLOTS = 64, BAR_WORDS = 0x10000 / 4 };
#define BDF "0000:01:00.0"

struct map {
    uint64_t iova, size;
    uint8_t *base;
};

struct sa {
    bool valid;
    uint32_t spi;
    uint16_t generation;
    uint64_t seq, limit, deadline, packets, bytes;
    uint32_t shape; // mode, families outside and inside, as in the blob
};

struct fake_card {
    char dir[64], dev[128], path[192];
    int listener, conn, stop[2];
    pthread_t thread;
    struct fake_options o;
    uint32_t reg[BAR_WORDS];
    uint16_t command;
    struct map map[MAX_MAPS];
    int irq[MAX_FDS];
    uint32_t sq_head[8], sq_tail[8], cq_tail[8];
    struct sa sa[2][SLOTS];
    uint64_t freerun;
    unsigned looks;      // at its clock, since FAKE_FREEZE_LATER
    atomic_ullong slept; // cycles that passed unseen
    unsigned long long slept_seen;
    atomic_int fault;
    atomic_uint doorbells, reads, clock_looks, master, keys_seen;
};

const struct fake_options fake_default = {.magic = 0x4c505345,
                                          .abi = 0x20000,
                                          .queues = 2,
                                          .features = 0x0fff,
                                          .clock_khz = 250000,
                                          .look = 1u << 22};

static uint32_t *reg(struct fake_card *f, uint32_t at)
{
    return &f->reg[at / 4 % BAR_WORDS];
}

static void reset_card(struct fake_card *f)
{
    memset(f->reg, 0, sizeof(f->reg));
    memset(f->sa, 0, sizeof(f->sa));
    memset(f->sq_head, 0, sizeof(f->sq_head));
    memset(f->sq_tail, 0, sizeof(f->sq_tail));
    memset(f->cq_tail, 0, sizeof(f->cq_tail));
    *reg(f, ESPC_REG_MAGIC) = f->o.magic;
    *reg(f, ESPC_REG_ABI) = f->o.abi;
    *reg(f, ESPC_REG_FEATURES_OFFERED) = f->o.features;
    *reg(f, ESPC_REG_SA_SLOTS) = SLOTS;
    *reg(f, ESPC_REG_QUEUES) = f->o.queues;
    *reg(f, ESPC_REG_MAX_LEN) = 9216;
    *reg(f, ESPC_REG_CLOCK_KHZ) = f->o.clock_khz;
    *reg(f, ESPC_REG_VECTORS) = 4;
    *reg(f, ESPC_REG_STATUS) = ESPC_STATUS_READY_MASK;
    static const uint32_t block[][2] = {{1, 0}, {2, 0x1000}, {3, 0x2000}, {4, 0x3000}, {99, 0x5000}, {0, 0}};
    for (uint32_t i = 0; i < 6; i++) {
        *reg(f, 0x800 + 16 * i) = block[i][0];
        *reg(f, 0x804 + 16 * i) = 2 << 16;
        *reg(f, 0x808 + 16 * i) = block[i][1];
        *reg(f, 0x80c + 16 * i) = i < 5 ? 0x810 + 16 * i : 0;
    }
    if (f->o.next_of_block_1)
        *reg(f, 0x81c) = f->o.next_of_block_1;
}

// Host memory at an IOVA, NULL where the driver has mapped none or has taken bus mastering away.
static uint8_t *host(struct fake_card *f, uint64_t iova, uint64_t len)
{
    for (int i = 0; i < MAX_MAPS && f->command & 4; i++)
        if (f->map[i].base && iova >= f->map[i].iova && len <= f->map[i].size &&
            iova - f->map[i].iova <= f->map[i].size - len)
            return f->map[i].base + (iova - f->map[i].iova);
    return NULL;
}

static uint64_t queue64(struct fake_card *f, unsigned q, uint32_t lo)
{
    return *reg(f, lo + q * ESPC_QUEUE_STRIDE) | (uint64_t)*reg(f, lo + 4 + q * ESPC_QUEUE_STRIDE) << 32;
}

struct done {
    uint64_t cookie, seq;
    uint32_t slot;
    uint16_t generation, status, out_len;
};

static void refuse(struct done *d, uint16_t status)
{
    d->status = status;
    d->out_len = 0;
}

static void spoil(struct fake_card *f, struct done *d, uint32_t *head, uint16_t *flags)
{
    switch (atomic_load(&f->fault)) {
    case FAKE_BAD_COOKIE: d->cookie ^= 1ull << 40; break;
    case FAKE_BAD_EPOCH: *flags ^= 1; break;
    case FAKE_BAD_LENGTH: d->out_len = 60000; break;
    case FAKE_BAD_HEAD: *head += 77; break;
    case FAKE_BAD_STATUS: refuse(d, 63); break;
    case FAKE_BAD_SLOT: d->slot = 40; break;
    case FAKE_REPEAT_SEQ: d->seq = 1; break;
    case FAKE_BEYOND_LEASE: d->seq = 1u << 30; break;
    case FAKE_SEEN_TWICE: d->seq = 1; break;
    case FAKE_WIDE_SEQ: d->seq = 1ull << 40; break;
    case FAKE_ZERO_SEQ: d->seq = 0; break;
    case FAKE_BAD_IP: refuse(d, ESPC_STATUS_BAD_IP); break;
    case FAKE_NO_DESC: refuse(d, ESPC_STATUS_BAD_DESC); break;
    case FAKE_NO_DMA: refuse(d, ESPC_STATUS_DMA_ERROR); break;
    case FAKE_NO_SA:
    case FAKE_LOST_SA: refuse(d, ESPC_STATUS_SA_INVALID); break;
    case FAKE_LONG: d->out_len = (uint16_t)(d->out_len + 200); break;
    default: break;
    }
}

static void complete(struct fake_card *f, unsigned q, struct done d)
{
    uint32_t log2 = *reg(f, ESPC_REG_QUEUE_LOG2_SIZE(q)) >> 8 & 0xff, size = 1u << log2;
    uint32_t at = f->cq_tail[q] & (size - 1), phase = !(f->cq_tail[q] >> log2 & 1), head = f->sq_head[q];
    uint8_t *c = host(f, queue64(f, q, ESPC_REG_QUEUE_CQ_BASE_LO(0)) + at * 32, 32);
    uint16_t flags = *reg(f, ESPC_REG_EPOCH) & 0xff;
    uint64_t one = 1;

    if (!c)
        return;
    if (q)
        spoil(f, &d, &head, &flags);
    put_le64(c, d.cookie);
    put_le64(c + 8, d.seq);
    put_le32(c + 16, d.slot);
    put_le16(c + 20, d.generation);
    put_le16(c + 22, d.status);
    put_le16(c + 24, d.out_len);
    put_le16(c + 26, flags);
    atomic_thread_fence(memory_order_release);
    __atomic_store_n((uint32_t *)(void *)(c + 28), (head & 0x7fffffff) | phase << 31, __ATOMIC_RELEASE);
    f->cq_tail[q]++;
    if (f->irq[q] >= 0)
        (void)!write(f->irq[q], &one, sizeof(one));
}

static void wake_clock(struct fake_card *f)
{
    unsigned long long slept = atomic_load(&f->slept);

    f->freerun += slept - f->slept_seen;
    f->slept_seen = slept;
}

static bool expired(struct fake_card *f, const struct sa *sa)
{
    wake_clock(f);
    return sa->deadline && f->freerun >= sa->deadline;
}

static uint16_t sa_command(struct fake_card *f, const uint8_t *s, struct done *d)
{
    struct sa *sa = &f->sa[s[1] & 1][get_le32(s + 4) % SLOTS];
    const uint8_t *blob = host(f, get_le64(s + 16), 512);
    uint8_t *result = host(f, get_le64(s + 24), 64);

    d->slot = get_le32(s + 4);
    d->generation = get_le16(s + 2);
    switch (s[0]) {
    case ESPC_SA_OP_ADD:
        if (!blob || !result || sa->valid)
            return ESPC_STATUS_SLOT_BUSY;
        if (get_le32(blob) == 0xbad) { // a field that this card refuses: the window
            put_le32(result + 32, 0x34);
            return ESPC_STATUS_BAD_FIELD;
        }
        *sa = (struct sa){.valid = true,
                          .spi = get_le32(blob),
                          .generation = d->generation,
                          .seq = get_le64(blob + 0x60),
                          .limit = get_le64(blob + 0x68),
                          .deadline = get_le64(blob + 0x90),
                          .shape = get_le32(blob + 0x5c) >> 8};
        if (s[1] == 0)
            sa->seq--;
        return ESPC_STATUS_OK;
    case ESPC_SA_OP_LEASE:
        if (expired(f, sa))
            return ESPC_STATUS_LEASE_EXPIRED;
        sa->limit = get_le64(s + 32);
        sa->deadline = get_le64(s + 40);
        break;
    case ESPC_SA_OP_DELETE: sa->valid = false; break;
    default: break;
    }
    if (!result || sa->generation != d->generation)
        return ESPC_STATUS_SA_STALE_GEN;
    put_le64(result, atomic_load(&f->fault) == FAKE_LAST_BEHIND   ? sa->seq - 1
                     : atomic_load(&f->fault) == FAKE_LAST_BEYOND ? sa->limit
                                                                  : sa->seq);
    put_le64(result + 8, sa->packets);
    put_le64(result + 16, sa->bytes);
    return ESPC_STATUS_OK;
}

static void put_payload(struct fake_card *f, uint8_t *to, uint32_t before, const uint8_t *from, uint32_t len)
{
    uint32_t most = atomic_load(&f->fault) == FAKE_PART ? 64 - before : len;

    memcpy(to, from, len < most ? len : most);
}

static uint16_t encap(struct fake_card *f, const uint8_t *s, const uint8_t *in, uint8_t *out, struct done *d)
{
    struct sa *sa = &f->sa[0][get_le32(s + 24) % SLOTS];
    uint32_t len = get_le32(s + 16);

    d->slot = get_le32(s + 24);
    d->generation = get_le16(s + 28);
    if (!sa->valid || sa->generation != d->generation)
        return ESPC_STATUS_SA_INVALID;
    if (expired(f, sa))
        return ESPC_STATUS_LEASE_EXPIRED;
    if (sa->seq + 1 >= sa->limit)
        return ESPC_STATUS_LEASE_END;
    d->seq = ++sa->seq;
    put_le32(out, sa->spi);
    put_le64(out + 4, d->seq);
    put_payload(f, out + FAKE_PREFIX, FAKE_PREFIX, in, len);
    d->out_len = (uint16_t)(len + FAKE_PREFIX);
    sa->packets++;
    sa->bytes += len;
    return ESPC_STATUS_OK;
}

static uint16_t decap(struct fake_card *f, const uint8_t *s, const uint8_t *in, uint8_t *out, struct done *d)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct sa *sa = &f->sa[1][i];
        if (!sa->valid || sa->spi != get_le32(in))
            continue;
        d->slot = i;
        d->generation = sa->generation;
        d->seq = get_le64(in + 4);
        d->out_len = (uint16_t)(get_le32(s + 16) - FAKE_PREFIX);
        put_payload(f, out, 0, in + FAKE_PREFIX, d->out_len);
        return ESPC_STATUS_OK;
    }
    return ESPC_STATUS_NO_SA;
}

static bool stops(int fault, unsigned q)
{
    return (q == 1 && (fault == FAKE_STOP_ONCE || fault == FAKE_STOP_ALWAYS)) ||
           (q == 0 && fault == FAKE_STOP_COMMANDS);
}

// What it has done of the descriptor at hand nobody hears.
static void stop_queue(struct fake_card *f, unsigned q)
{
    int once = FAKE_STOP_ONCE;

    *reg(f, ESPC_REG_QUEUE_STATUS(q)) = ESPC_QUEUE_STATUS_ERROR_MASK | ESPC_QUEUE_CAUSE_SQ_READ
                                                                           << ESPC_QUEUE_STATUS_CAUSE_SHIFT;
    *reg(f, ESPC_REG_STATUS) |= ESPC_STATUS_QUEUE_ERROR_MASK;
    atomic_compare_exchange_strong(&f->fault, &once, FAKE_GOOD);
}

static bool holds(int fault, unsigned q)
{
    return fault == FAKE_HOLD || fault == FAKE_FREEZE || fault == FAKE_FREEZE_LATER ||
           fault == FAKE_HANG_UP || (fault == FAKE_HOLD_ENCAP && q == 1);
}

static void run_queue(struct fake_card *f, unsigned q)
{
    uint32_t size = 1u << (*reg(f, ESPC_REG_QUEUE_LOG2_SIZE(q)) & 0xff);
    int fault = atomic_load(&f->fault);
    uint32_t stop_at = f->sq_head[q] + (f->sq_tail[q] - f->sq_head[q]) / 2;

    if (*reg(f, ESPC_REG_QUEUE_STATUS(q)) & ESPC_QUEUE_STATUS_ERROR_MASK)
        return;
    while (f->sq_head[q] != f->sq_tail[q] && !holds(fault, q)) {
        uint8_t *s =
            host(f, queue64(f, q, ESPC_REG_QUEUE_SQ_BASE_LO(0)) + (f->sq_head[q] & (size - 1)) * 64, 64);
        struct done d = {.slot = UINT32_MAX};

        if (!s)
            return;
        f->sq_head[q]++;
        if (q == 0) {
            d.cookie = get_le64(s + 8);
            d.status = sa_command(f, s, &d);
        } else {
            uint8_t *in = host(f, get_le64(s), get_le32(s + 16)),
                    *out = host(f, get_le64(s + 8), get_le32(s + 20));
            d.cookie = get_le64(s + 32);
            d.status = !in || !out                  ? ESPC_STATUS_DMA_ERROR
                       : s[30] == ESPC_PKT_OP_ENCAP ? encap(f, s, in, out, &d)
                                                    : decap(f, s, in, out, &d);
        }
        if (stops(fault, q) && f->sq_head[q] - 1 == stop_at) {
            stop_queue(f, q);
            return;
        }
        complete(f, q, d);
        if (fault == FAKE_SPURIOUS && q)
            complete(f, q, d);
    }
}

static void start_queue(struct fake_card *f, unsigned q)
{
    f->sq_head[q] = f->sq_tail[q] = f->cq_tail[q] = 0;
    *reg(f, ESPC_REG_QUEUE_STATUS(q)) = 0;
    *reg(f, ESPC_REG_STATUS) &= ~(uint32_t)ESPC_STATUS_QUEUE_ERROR_MASK;
}

static void bar_write(struct fake_card *f, uint32_t at, uint32_t value)
{
    if (at >= ESPC_REG_DOORBELL(0) && at < ESPC_REG_DOORBELL(8)) {
        unsigned q = (at - ESPC_REG_DOORBELL(0)) / 8;
        if (at % 8 == 0) {
            atomic_fetch_add(&f->doorbells, 1);
            f->sq_tail[q] = value;
            run_queue(f, q);
        }
        return;
    }
    for (unsigned q = 0; q < 3; q++)
        if (at == ESPC_REG_QUEUE_CTRL(q) && value)
            start_queue(f, q);
    if (at == ESPC_REG_CTRL && value & ESPC_CTRL_RESET_MASK) {
        reset_card(f);
        return;
    }
    *reg(f, at) = value;
    if (at == ESPC_REG_CTRL && atomic_load(&f->fault) == FAKE_RESET_ENABLE)
        *reg(f, ESPC_REG_EPOCH) = 0;
    if (at == ESPC_REG_FEATURES_ACCEPTED && (value & ~f->o.features) == 0)
        *reg(f, ESPC_REG_STATUS) |= ESPC_STATUS_FEATURES_OK_MASK;
}

static uint32_t bar_read(struct fake_card *f, uint32_t at)
{
    int fault = atomic_load(&f->fault);

    atomic_fetch_add(&f->reads, 1);
    atomic_fetch_add(&f->clock_looks, at == ESPC_REG_FREERUN_LO);
    if (fault == FAKE_ONES_LATER && at == ESPC_REG_EPOCH)
        atomic_store(&f->fault, fault = FAKE_ALL_ONES);
    if (fault == FAKE_ALL_ONES)
        return UINT32_MAX;
    if (fault == FAKE_NEVER_READY && at == ESPC_REG_STATUS)
        return 0;
    if (fault == FAKE_SLOW_ENABLE && at == ESPC_REG_CTRL)
        nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 200000000}, NULL);
    if (fault != FAKE_FREEZE && at == ESPC_REG_FREERUN_LO && (fault != FAKE_FREEZE_LATER || f->looks++ < 3))
        f->freerun += f->o.look;
    wake_clock(f);
    *reg(f, ESPC_REG_FREERUN_LO) = (uint32_t)f->freerun;
    *reg(f, ESPC_REG_FREERUN_HI) = (uint32_t)(f->freerun >> 32);
    if (fault == FAKE_FATAL || fault == FAKE_LOST_SA)
        return at == ESPC_REG_STATUS ? *reg(f, at) | ESPC_STATUS_FATAL_MASK : *reg(f, at);
    return fault == FAKE_RESET && at == ESPC_REG_EPOCH ? 0 : *reg(f, at);
}

static void add_map(struct fake_card *f, const uint8_t *p, int fd)
{
    for (int i = 0; i < MAX_MAPS; i++) {
        struct map *m = &f->map[i];
        if (m->base)
            continue;
        m->iova = get_le64(p + 16);
        m->size = get_le64(p + 24);
        m->base = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)get_le64(p + 8));
        if (m->base == MAP_FAILED)
            m->base = NULL;
        break;
    }
    close(fd);
}

static void drop_maps(struct fake_card *f)
{
    for (int i = 0; i < MAX_MAPS; i++) {
        if (f->map[i].base)
            munmap(f->map[i].base, f->map[i].size);
        f->map[i].base = NULL;
    }
}

static void drop_irqs(struct fake_card *f)
{
    for (int i = 0; i < MAX_FDS; i++) {
        if (f->irq[i] >= 0)
            close(f->irq[i]);
        f->irq[i] = -1;
    }
}

// Handles one message; p has room for a reply. Returns the reply's payload length.
static uint32_t handle(struct fake_card *f, uint16_t cmd, uint8_t *p, const int *fds, int nfds)
{
    static const char version[] = "\0\0\0\0{\"capabilities\":{}}";
    uint64_t offset = get_le64(p);
    uint32_t region = get_le32(p + 8), value;

    switch (cmd) {
    case 1: memcpy(p, version, sizeof(version)); return sizeof(version);
    case 2: add_map(f, p, nfds ? fds[0] : -1); return 0;
    case 4:
        put_le32(p + 4, 3);
        put_le32(p + 8, 9);
        put_le32(p + 12, 5);
        return 16;
    case 5:
        put_le32(p + 4, 3);
        put_le64(p + 16, get_le32(p + 8) ? 256 : 0x10000);
        return 32;
    case 7:
        put_le32(p + 4, 1);
        put_le32(p + 12, 4);
        return 16;
    case 8:
        drop_irqs(f);
        for (int i = 0; i < nfds && i < MAX_FDS; i++)
            f->irq[i] = fds[i];
        return 0;
    case 9:
        value = region ? f->command : bar_read(f, (uint32_t)offset);
        put_le32(p + 16, value);
        return 16 + get_le32(p + 12);
    case 10:
        if (region)
            f->command = get_le16(p + 16), atomic_store(&f->master, f->command & 4);
        else
            bar_write(f, (uint32_t)offset, get_le32(p + 16));
        return 16;
    case 13:
        if (atomic_load(&f->fault) != FAKE_NO_RESET)
            reset_card(f);
        return 0;
    default: return 0;
    }
}

static bool serve_message(struct fake_card *f)
{
    uint8_t m[16 + 4200] = {0};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))];
    struct iovec iov = {m, 16};
    struct msghdr h = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    int fds[16], nfds = 0;
    uint32_t size, reply;

    if (recvmsg(f->conn, &h, MSG_WAITALL | MSG_CMSG_CLOEXEC) != 16)
        return false;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
        nfds = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(c), (size_t)nfds * sizeof(int));
    }
    size = get_le32(m + 4) - 16;
    if (size > 4200 || (size && recv(f->conn, m + 16, size, MSG_WAITALL) != (ssize_t)size))
        return false;
    if (atomic_load(&f->fault) == FAKE_GONE_AT_CLOCK && get_le16(m + 2) == 9 && get_le32(m + 24) == 0 &&
        get_le64(m + 16) == ESPC_REG_FREERUN_LO)
        return false;
    reply = handle(f, get_le16(m + 2), m + 16, fds, nfds);
    if (get_le32(m + 8) & 0x10 || atomic_load(&f->fault) == FAKE_MUTE)
        return true;
    put_le32(m + 4, 16 + reply);
    put_le32(m + 8, 1);
    return send(f->conn, m, 16 + reply, MSG_NOSIGNAL) == (ssize_t)(16 + reply);
}

static void hang_up(struct fake_card *f)
{
    drop_irqs(f);
    close(f->conn);
    f->conn = -1;
    f->command = 0;
    atomic_store(&f->master, 0);
    drop_maps(f);
}

static void *serve(void *arg)
{
    struct fake_card *f = arg;

    for (;;) {
        struct pollfd p[3] = {{.fd = f->stop[0], .events = POLLIN},
                              {.fd = f->conn < 0 ? f->listener : f->conn, .events = POLLIN}};
        poll(p, 2, -1);
        if (p[0].revents) {
            char octet;
            if (read(f->stop[0], &octet, 1) != 1 || octet == 's')
                return NULL;
            if (f->conn >= 0 && atomic_load(&f->fault) == FAKE_HANG_UP)
                hang_up(f);
        } else if (f->conn < 0) {
            f->conn = accept(f->listener, NULL, NULL);
            reset_card(f);
        } else if (!serve_message(f)) {
            hang_up(f);
        }
    }
}

static void put_file(struct fake_card *f, const char *name, const char *text)
{
    FILE *file;

    snprintf(f->path, sizeof(f->path), "%s/%s", f->dev, name);
    file = fopen(f->path, "w");
    if (file) {
        fputs(text, file);
        fclose(file);
    }
}

static void put_tree(struct fake_card *f)
{
    static const char *const files[][2] = {{"vendor", "0x1234\n"},  {"device", "0xe5b0\n"},
                                           {"class", "0x100000\n"}, {"irq", "0\n"},
                                           {"resource", ""},        {"config", ""}};
    snprintf(f->dir, sizeof(f->dir), "/tmp/espalier-fake-XXXXXX");
    if (!mkdtemp(f->dir))
        abort();
    snprintf(f->dev, sizeof(f->dev), "%s/devices", f->dir);
    mkdir(f->dev, 0700);
    snprintf(f->dev, sizeof(f->dev), "%s/devices/" BDF, f->dir);
    mkdir(f->dev, 0700);
    for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        put_file(f, files[i][0], files[i][1]);
}

struct fake_card *fake_card_start(const struct fake_options *o)
{
    struct fake_card *f = calloc(1, sizeof(*f));
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    if (!f)
        abort();
    f->o = *o;
    f->conn = f->listener = -1;
    memset(f->irq, -1, sizeof(f->irq));
    put_tree(f);
    reset_card(f);
    if (o->no_server)
        return f;
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%.80s/vfio-user.sock", f->dev);
    f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(f->listener, (struct sockaddr *)&addr, sizeof(addr)) || listen(f->listener, 1) ||
        pipe(f->stop) || pthread_create(&f->thread, NULL, serve, f))
        abort();
    return f;
}

void fake_card_stop(struct fake_card *f)
{
    char command[256];

    if (!f->o.no_server) {
        if (write(f->stop[1], "s", 1) == 1)
            pthread_join(f->thread, NULL);
        close(f->stop[0]);
        close(f->stop[1]);
        close(f->listener);
    }
    if (f->conn >= 0)
        close(f->conn);
    drop_irqs(f);
    drop_maps(f);
    snprintf(command, sizeof(command), "rm -rf '%s'", f->dir);
    if (system(command))
        perror(command);
    free(f);
}

const char *fake_card_sysfs(const struct fake_card *f)
{
    return f->dir;
}

void fake_card_fault(struct fake_card *f, enum fake_fault fault)
{
    atomic_store(&f->fault, (int)fault);
    if (fault == FAKE_HANG_UP && write(f->stop[1], "h", 1) != 1)
        perror("fake card");
}

void fake_card_sleep(struct fake_card *f, uint64_t cycles)
{
    atomic_fetch_add(&f->slept, cycles);
}

bool fake_card_master(struct fake_card *f)
{
    return atomic_load(&f->master);
}

unsigned fake_card_doorbells(struct fake_card *f)
{
    return atomic_load(&f->doorbells);
}

unsigned fake_card_looks(struct fake_card *f)
{
    return atomic_load(&f->clock_looks);
}

unsigned fake_card_reads(struct fake_card *f)
{
    return atomic_load(&f->reads);
}

// Looks through all memory that the driver has mapped for the tests' key octets.
uint32_t fake_card_shape(struct fake_card *f, int dir, uint32_t spi)
{
    for (int i = 0; i < SLOTS; i++)
        if (f->sa[dir][i].valid && f->sa[dir][i].spi == spi)
            return f->sa[dir][i].shape;
    return UINT32_MAX;
}

bool fake_card_saw_key(struct fake_card *f)
{
    static const uint8_t key[8] = {0xde, 0xad, 0xbe, 0xef, 0x51, 0x52, 0x53, 0x54};

    for (int i = 0; i < MAX_MAPS; i++)
        if (f->map[i].base && memmem(f->map[i].base, f->map[i].size, key, sizeof(key)))
            return true;
    return false;
}
