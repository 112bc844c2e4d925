// SPDX-License-Identifier: Apache-2.0
// The thread that opens a card; its answer is handed over by an eventfd and the join.
#include "ctrl/path/opener.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct opener {
    pthread_t thread;
    int fd;
    struct esp_card_options options;
    atomic_bool give_up;
    char sysfs[256], bdf[32];
    struct esp_engine *engine;
    struct esp_error err;
    int rc;
};

static void *run(void *arg)
{
    struct opener *o = arg;
    uint64_t one = 1;
    o->rc = esp_card_open(&o->engine, &o->options, &o->err);
    (void)!write(o->fd, &one, sizeof(one)); // nothing of o is touched after this
    return NULL;
}

static int discard(struct opener *o, int rc)
{
    if (o->fd >= 0)
        close(o->fd);
    free(o);
    return rc;
}

int opener_start(struct opener **out, const struct esp_card_options *opt, struct esp_error *err)
{
    struct opener *o = calloc(1, sizeof(*o));
    *out = NULL;
    if (!o)
        return esp_fail(err, -ENOMEM, "card", "out of memory");
    o->options = *opt;
    snprintf(o->sysfs, sizeof(o->sysfs), "%s", opt->pci_sysfs);
    snprintf(o->bdf, sizeof(o->bdf), "%s", opt->bdf ? opt->bdf : "");
    o->options.give_up = &o->give_up;
    o->options.pci_sysfs = o->sysfs;
    o->options.bdf = opt->bdf ? o->bdf : NULL;
    o->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (o->fd < 0)
        return discard(o, esp_fail(err, -errno, "card", "no eventfd: %s", strerror(errno)));
    int rc = pthread_create(&o->thread, NULL, run, o);
    if (rc)
        return discard(o, esp_fail(err, -rc, "card", "no thread to open it: %s", strerror(rc)));
    *out = o;
    return 0;
}

int opener_fd(const struct opener *o)
{
    return o->fd;
}

bool opener_wait(const struct opener *o, int ms)
{
    struct pollfd p = {.fd = o->fd, .events = POLLIN};
    return poll(&p, 1, ms) == 1;
}

void opener_give_up(struct opener *o)
{
    atomic_store(&o->give_up, true);
}

int opener_take(struct opener *o, struct esp_engine **e, struct esp_error *err)
{
    pthread_join(o->thread, NULL);
    *e = o->engine;
    *err = o->err;
    return discard(o, o->rc);
}
