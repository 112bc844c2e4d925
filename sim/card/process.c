// SPDX-License-Identifier: Apache-2.0
// The event loop. While the model has work it runs in short slices and the sockets are looked at in between,
// so that a register access waits for one slice at most; otherwise the process sleeps in epoll_wait.
#include "sim/card/process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "sim/card/control.h"

enum { SLICE = 256, MESSAGES_PER_TURN = 64, MESSAGES_BEFORE_REFUSAL = 65536, DRAIN_MS = 1000 };
enum tag { TAG_SIGNAL, TAG_LISTEN, TAG_CLIENT, TAG_CONTROL, TAG_TESTER };

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

static int watch(struct card_process *p, int fd, enum tag tag, int op, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.u32 = tag};
    return epoll_ctl(p->epollfd, op, fd, &e) < 0 ? -errno : 0;
}

static void on_config_changed(void *ctx)
{
    struct card_process *p = ctx;
    uint8_t config[CARD_PCI_CONFIG_SIZE];
    card_device_config(&p->device, config);
    card_tree_update_config(&p->tree, config);
}

static void stop_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
}

void card_process_block_signals(void)
{
    sigset_t set;
    stop_signals(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int card_process_open(struct card_process *p)
{
    sigset_t set;
    stop_signals(&set);
    p->clientfd = p->testerfd = -1;
    p->epollfd = epoll_create1(EPOLL_CLOEXEC);
    p->signalfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (p->epollfd < 0 || p->signalfd < 0)
        return -errno;
    p->device.config_changed = on_config_changed;
    p->device.config_ctx = p;
    int rc = watch(p, p->signalfd, TAG_SIGNAL, EPOLL_CTL_ADD, EPOLLIN);
    rc = rc ? rc : watch(p, p->tree.listenfd, TAG_LISTEN, EPOLL_CTL_ADD, EPOLLIN);
    return rc ? rc : watch(p, p->tree.controlfd, TAG_CONTROL, EPOLL_CTL_ADD, EPOLLIN);
}

// ------------------------------------------------------------------------------------------- the vfio-user
// client

static void drop_client(struct card_process *p)
{
    p->clientfd = -1;
    card_device_detach(&p->device); // closes the socket, which takes it out of epoll
}

static void serve_client(struct card_process *p, unsigned budget)
{
    if (p->clientfd < 0)
        return;
    int rc = vfu_server_service(&p->device.server, budget);
    if (rc < 0) {
        if (rc != -ECONNRESET)
            fprintf(stderr, "espalier-card: client dropped: %s\n", strerror(-rc));
        drop_client(p);
        return;
    }
    uint32_t events = vfu_conn_blocked(&p->device.server.conn) ? EPOLLOUT : EPOLLIN;
    if (events != p->client_events && watch(p, p->clientfd, TAG_CLIENT, EPOLL_CTL_MOD, events) == 0)
        p->client_events = events;
}

static void accept_client(struct card_process *p)
{
    // A client that has closed may still have unread messages; they and its end come before the next one.
    serve_client(p, MESSAGES_BEFORE_REFUSAL);
    int fd = accept4(p->tree.listenfd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (p->clientfd >= 0) {
        fprintf(stderr, "espalier-card: a second client was refused: the card is in use\n");
        close(fd);
        return;
    }
    if (card_device_attach(&p->device, fd)) {
        close(fd);
        return;
    }
    p->client_events = EPOLLIN;
    p->clientfd = fd;
    if (watch(p, fd, TAG_CLIENT, EPOLL_CTL_ADD, EPOLLIN))
        drop_client(p);
}

// ----------------------------------------------------------------------------------------------------- the
// tester

static void drop_tester(struct card_process *p)
{
    if (p->testerfd >= 0)
        close(p->testerfd);
    p->testerfd = -1;
}

static void accept_tester(struct card_process *p)
{
    int fd = accept4(p->tree.controlfd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    drop_tester(p); // one at a time: the newest
    p->testerfd = fd;
    p->line_len = 0;
    if (watch(p, fd, TAG_TESTER, EPOLL_CTL_ADD, EPOLLIN))
        drop_tester(p);
}

static void serve_tester(struct card_process *p)
{
    ssize_t n = recv(p->testerfd, p->line + p->line_len, sizeof p->line - 1 - p->line_len, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        drop_tester(p);
        return;
    }
    p->line_len += (size_t)n;
    p->line[p->line_len] = 0;
    if (!strchr(p->line, '\n') && p->line_len < sizeof p->line - 1)
        return;
    char *reply = card_control_execute(&p->device, p->wave_file, p->line);
    if (reply && send(p->testerfd, reply, strlen(reply), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        fprintf(stderr, "espalier-card: the answer to a ctl command was lost: %s\n", strerror(errno));
    free(reply);
    drop_tester(p);
}

// --------------------------------------------------------------------------------------------------------
// the loop

static void stop(struct card_process *p)
{
    struct signalfd_siginfo info;
    if (read(p->signalfd, &info, sizeof info) != sizeof info || p->stopping)
        return;
    p->stopping = true;
    p->deadline = now_ms() + DRAIN_MS;
    // The client learns that its device is about to go; nobody new is let in.
    vfu_irq_raise(&p->device.server.irq[VFU_IRQ_REQ], 0);
    epoll_ctl(p->epollfd, EPOLL_CTL_DEL, p->tree.listenfd, NULL);
}

static void handle(struct card_process *p, enum tag tag)
{
    switch (tag) {
    case TAG_SIGNAL: stop(p); break;
    case TAG_LISTEN: accept_client(p); break;
    case TAG_CLIENT: serve_client(p, MESSAGES_PER_TURN); break;
    case TAG_CONTROL: accept_tester(p); break;
    case TAG_TESTER:
        if (p->testerfd >= 0)
            serve_tester(p);
        break;
    }
}

int card_process_run(struct card_process *p)
{
    for (;;) {
        struct epoll_event events[8];
        bool busy = card_device_busy(&p->device);
        if (p->stopping && (!busy || now_ms() >= p->deadline))
            return 0;
        int n = epoll_wait(p->epollfd, events, 8, busy ? 0 : card_device_wait_ms(&p->device));
        if (n < 0 && errno != EINTR)
            return -errno;
        for (int i = 0; i < n; i++)
            handle(p, (enum tag)events[i].data.u32);
        if (card_device_cut(&p->device) && p->clientfd >= 0)
            drop_client(p);
        card_device_run(&p->device, SLICE);
    }
}

void card_process_close(struct card_process *p)
{
    drop_tester(p);
    p->device.config_changed = NULL;
    if (p->clientfd >= 0)
        drop_client(p);
    if (p->signalfd >= 0)
        close(p->signalfd);
    if (p->epollfd >= 0)
        close(p->epollfd);
}
