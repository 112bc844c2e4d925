// SPDX-License-Identifier: Apache-2.0
// Runs inside a virtual machine (qemu.sh) on a card bound to vfio-pci: the driver's card engine over the
// kernel's VFIO, an IOMMU and MSI-X. Packets are encapsulated by the card and by software and compared, then
// decapsulated by the card. Prints one line "guest: ..." for each thing shown; exit status 1 with the reason
// otherwise.
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "espalier/engine.h"

enum { BUFFERS = 256, BUFFER = 2048, PACKETS = 64, WAIT_MS = 60000, NAP_MS = 50 };

struct side {
    struct esp_engine *e;
    struct esp_pool *pool;
    struct esp_sa *out, *in;
    struct esp_job jobs[PACKETS];
    unsigned woken; // times that the engine's descriptor ended a sleep
};

__attribute__((format(printf, 1, 2), noreturn)) static void give_up(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    printf("guest: driver: ");
    vprintf(fmt, ap);
    puts("");
    va_end(ap);
    exit(1);
}

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

// Sleeps until the engine has something or a tick is due.
static void rest(struct side *s)
{
    struct pollfd p = {.fd = s->e->fd, .events = POLLIN};
    if (!esp_arm(s->e))
        s->woken += poll(&p, 1, NAP_MS) == 1;
    s->e->ops->tick(s->e, now_ms());
}

static void expect(struct side *s, enum esp_event_type type, const char *what)
{
    struct esp_event ev;
    for (uint64_t end = now_ms() + WAIT_MS; now_ms() < end; rest(s)) {
        if (!s->e->ops->events(s->e, &ev, 1))
            continue;
        if (ev.type == type)
            return;
        give_up("%s: event %d, %s", what, (int)ev.type, ev.error.text);
    }
    give_up("%s: no answer", what);
}

static struct esp_sa *add(struct side *s, enum esp_dir way)
{
    struct esp_sa_params p = {.dir = way,
                              .mode = ESP_TUNNEL,
                              .alg = ESP_ALG_AES256_GCM16,
                              .spi = 0x1001,
                              .ttl = 64,
                              .seq_limit = 1u << 20,
                              .src = {192, 0, 2, 1},
                              .dst = {192, 0, 2, 2}};
    struct esp_error err = {0};
    struct esp_sa *sa;

    p.seq = way == ESP_OUT;
    p.window = way == ESP_IN ? 128 : 0;
    for (uint8_t i = 0; i < 32; i++)
        p.key[i] = (uint8_t)(i * 5 + 1);
    if (s->e->ops->sa_add(s->e, &p, NULL, &sa, &err))
        give_up("sa_add: %s", err.text);
    expect(s, ESP_EVENT_SA_ADDED, "sa_add");
    return sa;
}

static void open_side(struct side *s, bool card)
{
    const struct esp_card_options o = {.pci_sysfs = "/sys/bus/pci"};
    struct esp_error err = {0};

    if (card ? esp_card_open(&s->e, &o, &err) : esp_soft_open(&s->e, &err))
        give_up("open: %s: %s", err.field, err.text);
    if (esp_pool_create(&s->pool, BUFFERS, BUFFER, &err) || s->e->ops->attach_pool(s->e, s->pool, &err))
        give_up("memory: %s", err.text);
    s->out = add(s, ESP_OUT);
    s->in = add(s, ESP_IN);
}

static void make_inner(uint8_t *p, uint32_t len, unsigned seed)
{
    uint32_t sum = 0;
    memset(p, 0, 20);
    p[0] = 0x45;
    p[2] = (uint8_t)(len >> 8);
    p[3] = (uint8_t)len;
    p[8] = 63;
    p[9] = 17;
    memcpy(p + 12, "\x0a\1\0\1\x0a\2\0\1", 8);
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    p[10] = (uint8_t)(~sum >> 8);
    p[11] = (uint8_t)~sum;
    for (uint32_t i = 20; i < len; i++)
        p[i] = (uint8_t)(i * 11 + seed);
}

static void run(struct side *s, enum esp_op op)
{
    struct esp_job *jobs[PACKETS], *back[PACKETS];
    unsigned sent = 0, done = 0;

    for (unsigned i = 0; i < PACKETS; i++) {
        struct esp_job *j = jobs[i] = &s->jobs[i];
        if (op == ESP_DECAP) { // what came out goes in
            uint8_t *swap = j->in;
            j->in = j->out;
            j->out = swap;
            j->in_len = j->out_len;
        }
        j->op = op;
        j->sa = op == ESP_ENCAP ? s->out : NULL;
    }
    for (uint64_t end = now_ms() + WAIT_MS; done < PACKETS && now_ms() < end;) {
        if (sent < PACKETS)
            sent += esp_submit(s->e, jobs + sent, PACKETS - sent);
        done += esp_poll(s->e, back, PACKETS - done);
        if (done < PACKETS)
            rest(s);
    }
    if (done != PACKETS)
        give_up("%u of %u packets came back", done, PACKETS);
    for (unsigned i = 0; i < PACKETS; i++)
        if (s->jobs[i].status != ESP_STATUS_OK)
            give_up("packet %u: status %d", i, (int)s->jobs[i].status);
}

static void prepare(struct side *s)
{
    for (unsigned i = 0; i < PACKETS; i++) {
        uint32_t len = 28 + i * 22;
        s->jobs[i] = (struct esp_job){
            .in = esp_pool_get(s->pool), .out = esp_pool_get(s->pool), .in_len = len, .out_cap = BUFFER};
        make_inner(s->jobs[i].in, len, i);
    }
}

int main(void)
{
    static struct side card, soft;
    static uint8_t inner[BUFFER];

    setvbuf(stdout, NULL, _IOLBF, 0);
    open_side(&card, true);
    puts("guest: driver opened the card by VFIO");
    open_side(&soft, false);
    prepare(&card);
    prepare(&soft);
    run(&card, ESP_ENCAP);
    run(&soft, ESP_ENCAP);
    for (unsigned i = 0; i < PACKETS; i++)
        if (card.jobs[i].out_len != soft.jobs[i].out_len ||
            memcmp(card.jobs[i].out, soft.jobs[i].out, soft.jobs[i].out_len) != 0)
            give_up("packet %u: card and software differ", i);
    printf("guest: %u packets: card and software gave the same bytes\n", PACKETS);
    run(&card, ESP_DECAP);
    for (unsigned i = 0; i < PACKETS; i++) {
        make_inner(inner, 28 + i * 22, i);
        if (card.jobs[i].out_len != 28 + i * 22 || memcmp(card.jobs[i].out, inner, card.jobs[i].out_len) != 0)
            give_up("packet %u: not what went in", i);
    }
    printf("guest: %u packets came back\n", PACKETS);
    if (!card.woken)
        give_up("no interrupt came");
    puts("guest: interrupts came");
    card.e->ops->destroy(card.e);
    soft.e->ops->destroy(soft.e);
    esp_pool_destroy(card.pool);
    esp_pool_destroy(soft.pool);
    return 0;
}
