// SPDX-License-Identifier: Apache-2.0
// The card's own thread: all that waits for the card (registers read, bus mastering taken away, counters) is
// done here, so that a card which does not answer holds up nobody but itself. The thread of the packets
// writes descriptors and doorbells, reads completions, and never waits: the two share atomic words and two
// eventfds.
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "driver/card/card.h"

static uint64_t clock_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void card_nudge(struct card *c)
{
    uint64_t one = 1;

    if (c->nudge_fd >= 0)
        (void)!write(c->nudge_fd, &one, sizeof(one));
}

static void *run(void *arg)
{
    struct card *c = arg;

    while (!atomic_load(&c->stop) && !card_dead(c)) {
        // Of a stream only its end is asked for: what a device says unasked is read with the next reply.
        short what = c->bus->ops->notice ? POLLIN : POLLRDHUP;
        struct pollfd p[2] = {{.fd = c->nudge_fd, .events = POLLIN}, {.fd = c->bus->fd, .events = what}};
        uint64_t value;

        (void)poll(p, 2, (int)card_watch_ms(c));
        if (p[0].revents)
            (void)!read(c->nudge_fd, &value, sizeof(value));
        pthread_mutex_lock(&c->control);
        if (p[1].revents)
            card_bus_notice(c);
        card_watch(c, clock_ms());
        pthread_mutex_unlock(&c->control);
    }
    return NULL;
}

int card_thread_start(struct card *c, struct esp_error *err)
{
    int rc;

    c->nudge_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (c->nudge_fd < 0)
        return esp_fail(err, -errno, c->base.name, "cannot set up the card's thread: %s", strerror(errno));
    atomic_store(&c->snapshot_wanted, 1); // so that there is one soon
    rc = pthread_create(&c->thread, NULL, run, c);
    if (rc)
        return esp_fail(err, -rc, c->base.name, "cannot start the card's thread: %s", strerror(rc));
    c->thread_runs = true;
    return 0;
}

void card_thread_stop(struct card *c)
{
    if (c->thread_runs) {
        atomic_store(&c->stop, 1);
        card_nudge(c);
        pthread_join(c->thread, NULL);
        c->thread_runs = false;
    }
    if (c->nudge_fd >= 0)
        close(c->nudge_fd);
    c->nudge_fd = -1;
}
