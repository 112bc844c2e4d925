// SPDX-License-Identifier: Apache-2.0
// One loop: begin those whose time has come, send again what was not answered, take in what came. A client
// is found by the low half of its SPI, and as all wait equally long those that wait stand in the order of
// their times: nothing here grows with the number of clients.
#include "tests/load/run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/ike/message.h"
#include "tests/load/client.h"
#include "tests/load/socket.h"
#include "tests/load/strangers.h"

enum { DATAGRAM_MAX = 65536, TURN = 64 };
#define NOBODY  UINT32_MAX
#define MS_NS   UINT64_C(1000000)
#define IDLE_NS (10 * MS_NS)

struct load {
    const struct load_options *o;
    struct load_result *r;
    struct load_socket socket;
    struct client *clients;
    uint32_t oldest, youngest, waiting; // of those that wait for an answer
    uint32_t latencies, ending;
    uint64_t began;
    uint8_t datagram[DATAGRAM_MAX];
};

static struct client_ends ends_of(const struct load *l, uint32_t n)
{
    return (struct client_ends){load_source(&l->socket, l->o, n), l->o->peer, l->socket.port,
                                l->o->peer_port};
}

static void send_out(struct load *l, uint32_t n, const void *data, size_t len)
{
    if (load_send(&l->socket, l->o, n, data, len) == 0)
        l->r->sent++;
    else
        l->r->send_errors++;
}

// ---- who waits
static void unqueue(struct load *l, struct client *c)
{
    if (!c->queued)
        return;
    *(c->queue_prev == NOBODY ? &l->oldest : &l->clients[c->queue_prev].queue_next) = c->queue_next;
    *(c->queue_next == NOBODY ? &l->youngest : &l->clients[c->queue_next].queue_prev) = c->queue_prev;
    c->queued = false;
    l->waiting--;
}

static void queue(struct load *l, struct client *c)
{
    unqueue(l, c);
    c->due_ns = load_now_ns() + l->o->timeout_ms * MS_NS;
    c->queue_next = NOBODY;
    c->queue_prev = l->youngest;
    *(l->youngest == NOBODY ? &l->oldest : &l->clients[l->youngest].queue_next) = c->n;
    l->youngest = c->n;
    c->queued = true;
    l->waiting++;
}

static void request(struct load *l, struct client *c)
{
    c->tries = 1;
    queue(l, c);
    send_out(l, c->n, c->request, c->request_len);
}

static void failed(struct load *l, struct client *c, const struct esp_error *err)
{
    unqueue(l, c);
    if (l->r->failed++ == 0)
        snprintf(l->r->why, sizeof(l->r->why), "client %u: %.40s: %.100s", l->o->first + c->n, err->field,
                 err->text);
}

static void send_again(struct load *l)
{
    uint64_t now = load_now_ns();

    while (l->oldest != NOBODY && l->clients[l->oldest].due_ns <= now) {
        struct client *c = &l->clients[l->oldest];
        if (c->tries >= l->o->tries) {
            struct esp_error err;
            esp_fail(&err, -ETIMEDOUT, c->state == CLIENT_INIT ? "IKE_SA_INIT" : "IKE_AUTH",
                     "no answer to %u requests", c->tries);
            failed(l, c, &err);
            client_free(c);
            c->state = CLIENT_FAILED;
            continue;
        }
        c->tries++;
        l->r->retransmitted++;
        queue(l, c);
        send_out(l, c->n, c->request, c->request_len);
    }
}

// ---- what comes
static void done(struct load *l, struct client *c)
{
    unqueue(l, c);
    if (c->state == CLIENT_GONE) {
        l->ending--;
        return;
    }
    c->took_ns = load_now_ns() - c->began_ns;
    l->r->latency_ns[l->latencies++] = c->took_ns;
    l->r->done++;
}

static void take_in(struct load *l, struct slice d)
{
    struct client_reply reply = {.len = 0};
    struct esp_error err = {0};
    struct client_ends ends;
    struct ike_header h;
    struct client *c;

    if (!header_read(d, &h) || (uint32_t)h.spi_i >= l->o->count || !l->clients) {
        l->r->unopened += l->clients != NULL;
        return;
    }
    c = &l->clients[(uint32_t)h.spi_i];
    if (c->state == CLIENT_NEW || c->spi_i != h.spi_i) {
        l->r->unopened++;
        return;
    }
    ends = ends_of(l, c->n);
    switch (client_receive(c, l->o, &ends, d, &reply, &err)) {
    case CLIENT_COOKIE:
        l->r->cookies++;
        request(l, c);
        break;
    case CLIENT_SEND: request(l, c); break;
    case CLIENT_ENDED:
        l->r->ended_by_peer++;
        send_out(l, c->n, reply.data, reply.len);
        break;
    case CLIENT_ANSWER:
        l->r->peer_requests++;
        send_out(l, c->n, reply.data, reply.len);
        break;
    case CLIENT_DONE: done(l, c); break;
    case CLIENT_LOST: failed(l, c, &err); break;
    case CLIENT_UNOPENED: l->r->unopened++; break;
    case CLIENT_NOTHING: break;
    }
}

// What a stranger is answered: a cookie, a refusal or something else.
static void count_answer(struct load *l, struct slice d)
{
    struct refusal r = {0};
    struct payloads pl;
    struct ike_header h;
    struct notify n;

    if (!header_read(d, &h) ||
        payloads_read(h.next, slice_of(d.p + IKE_HEADER_LEN, d.len - IKE_HEADER_LEN), &pl, &r) != 0 ||
        payloads_validate(&pl, &r) != 0)
        l->r->unopened++;
    else if (notify_find(&pl, N_COOKIE, &n))
        l->r->cookies++;
    else if (notify_first_error(&pl, &n))
        l->r->refused++;
}

static unsigned receive(struct load *l)
{
    unsigned n = 0;
    size_t len;

    while (n < TURN && (len = load_receive(&l->socket, l->datagram, sizeof(l->datagram))) > 0) {
        l->r->received++;
        n++;
        if (l->clients)
            take_in(l, slice_of(l->datagram, len));
        else
            count_answer(l, slice_of(l->datagram, len));
    }
    return n;
}

// How many may have begun by now.
static uint32_t due(const struct load *l)
{
    double n = l->o->rate > 0 ? l->o->rate * (double)(load_now_ns() - l->began) / 1e9 + 1 : l->o->count;

    return n >= l->o->count ? l->o->count : (uint32_t)n;
}

// Until something is due.
static uint64_t rest_ns(const struct load *l)
{
    uint64_t now = load_now_ns(), ns = IDLE_NS, next;

    if (l->oldest != NOBODY) {
        next = l->clients[l->oldest].due_ns;
        ns = next <= now ? 0 : next - now < ns ? next - now : ns;
    }
    if (l->o->rate > 0 && l->r->begun < l->o->count) {
        next = l->began + (uint64_t)(1e9 * l->r->begun / l->o->rate);
        ns = next <= now ? 0 : next - now < ns ? next - now : ns;
    }
    return ns;
}

// Or a datagram comes.
static void rest(struct load *l)
{
    load_wait(&l->socket, rest_ns(l));
}

// ---- the kinds of run
static void settle(struct load *l)
{
    uint64_t end = load_now_ns() + l->o->settle_ms * MS_NS;

    for (uint64_t now = load_now_ns(); now < end; now = load_now_ns())
        if (receive(l) == 0)
            load_wait(&l->socket, end - now < IDLE_NS ? end - now : IDLE_NS);
}

static int begin_those_due(struct load *l, struct esp_error *err)
{
    uint32_t until = due(l);

    for (unsigned turn = 0; turn < TURN && l->r->begun < until && l->waiting < l->o->window; turn++) {
        struct client *c = &l->clients[l->r->begun];
        struct client_ends ends = ends_of(l, l->r->begun);
        int ret;

        c->n = l->r->begun++;
        c->began_ns = load_now_ns();
        ret = client_begin(c, l->o, &ends);
        if (ret != 0)
            return esp_fail(err, ret, "client", "%u cannot begin: %s", c->n, strerror(-ret));
        request(l, c);
    }
    return 0;
}

static int run_clients(struct load *l, struct esp_error *err)
{
    int ret = 0;

    while (ret == 0 && l->r->done + l->r->failed < l->o->count) {
        ret = begin_those_due(l, err);
        if (receive(l) == 0)
            rest(l);
        send_again(l);
    }
    return ret;
}

static void end_clients(struct load *l)
{
    uint32_t next = 0;

    l->ending = 0;
    while (next < l->o->count || l->waiting) {
        for (; next < l->o->count && l->waiting < l->o->window; next++) {
            struct client *c = &l->clients[next];
            if (c->state == CLIENT_UP && c->out && client_end(c) == 0) {
                l->ending++;
                request(l, c);
            }
        }
        if (receive(l) == 0)
            rest(l);
        send_again(l);
    }
}

// Strangers wait for no answer, and are woken by none: with both ends on one machine the responder would be
// charged for waking them, and for the processor that they take from it at once.
static int run_strangers(struct load *l, struct esp_error *err)
{
    struct client_ends ends = ends_of(l, 0);
    struct stranger s = {.len = 0};

    if (stranger_make(&s, l->o, &ends) != 0)
        return esp_fail(err, -ENOMEM, "request", "cannot be made");
    while (l->r->begun < l->o->count) {
        uint32_t until = due(l);
        for (unsigned turn = 0; turn < TURN && l->r->begun < until; turn++) {
            stranger_vary(&s, l->o->kind, l->r->begun);
            send_out(l, l->r->begun++, s.data, s.len);
        }
        if (receive(l) == 0)
            load_sleep(rest_ns(l));
    }
    l->r->done = (uint32_t)l->r->sent;
    return 0;
}

static int make_room(struct load *l)
{
    if (!load_kind_has_clients(l->o->kind))
        return 0;
    l->clients = calloc(l->o->count, sizeof(*l->clients));
    l->r->latency_ns = calloc(l->o->count, sizeof(*l->r->latency_ns));
    return l->clients && l->r->latency_ns ? 0 : -ENOMEM;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

int load_run(const struct load_options *o, struct load_result *r, struct processes *before,
             struct processes *after, struct esp_error *err)
{
    struct load *l = calloc(1, sizeof(*l));
    int ret;

    if (!l)
        return esp_fail(err, -ENOMEM, "", "out of memory");
    l->o = o;
    l->r = r;
    l->socket.fd = -1;
    l->oldest = l->youngest = NOBODY;
    ret = make_room(l);
    if (ret == 0)
        ret = load_socket_open(&l->socket, o, err);
    if (ret == 0) {
        processes_read(before, o->pids, o->pid_count);
        l->began = load_now_ns();
        ret = l->clients ? run_clients(l, err) : run_strangers(l, err);
        r->elapsed_ns = load_now_ns() - l->began;
        settle(l);
        processes_read(after, o->pids, o->pid_count);
    }
    if (ret == 0 && l->clients && o->end)
        end_clients(l);
    if (r->latency_ns)
        qsort(r->latency_ns, l->latencies, sizeof(*r->latency_ns), by_value);
    for (uint32_t i = 0; l->clients && i < o->count; i++)
        client_free(&l->clients[i]);
    free(l->clients);
    load_socket_close(&l->socket);
    free(l);
    return ret;
}
