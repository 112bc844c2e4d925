// SPDX-License-Identifier: Apache-2.0
#include "ctrl/fleet/curl_loop.h"

#include <stdlib.h>
#include <sys/epoll.h>

struct curl_loop_watch {
    struct loop_fd fd;
    struct curl_loop_watch *next, **at;
};

static void tell_done(struct curl_loop *c)
{
    CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(c->multi, &left)) != NULL)
        if (m->msg == CURLMSG_DONE)
            c->done(c->ctx, m->easy_handle, m->data.result);
}

static void due(struct timer *t)
{
    struct curl_loop *c = t->ctx;
    int running;
    curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    tell_done(c);
}

static int set_timer(CURLM *multi, long ms, void *ctx)
{
    struct curl_loop *c = ctx;
    (void)multi;
    timer_stop(c->loop, &c->timer);
    if (ms >= 0)
        timer_set(c->loop, &c->timer, loop_now(c->loop) + (uint64_t)ms);
    return 0;
}

static void socket_ready(struct loop_fd *fd, uint32_t events)
{
    struct curl_loop *c = fd->ctx;
    int running, how = (events & EPOLLIN ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                       (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
    curl_multi_socket_action(c->multi, fd->fd, how, &running);
    tell_done(c);
}

static void unwatch(struct curl_loop *c, struct curl_loop_watch *w)
{
    loop_del(c->loop, &w->fd);
    *w->at = w->next;
    if (w->next)
        w->next->at = w->at;
    free(w);
}

static int watch(struct curl_loop *c, curl_socket_t s, uint32_t events)
{
    struct curl_loop_watch *w = calloc(1, sizeof(*w));
    if (!w)
        return -1;
    w->fd = (struct loop_fd){.fd = s, .events = events, .ready = socket_ready, .ctx = c};
    if (loop_add(c->loop, &w->fd)) {
        free(w);
        return -1;
    }
    w->next = c->watches;
    w->at = &c->watches;
    if (w->next)
        w->next->at = &w->next;
    c->watches = w;
    curl_multi_assign(c->multi, s, w);
    return 0;
}

static int set_socket(CURL *easy, curl_socket_t s, int what, void *ctx, void *socket_ctx)
{
    struct curl_loop *c = ctx;
    struct curl_loop_watch *w = socket_ctx;
    uint32_t events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w)
            unwatch(c, w);
        curl_multi_assign(c->multi, s, NULL);
        return 0;
    }
    if (!w)
        return watch(c, s, events);
    w->fd.events = events;
    return loop_modify(c->loop, &w->fd) ? -1 : 0;
}

bool curl_loop_init(struct curl_loop *c, struct loop *l, void (*done)(void *ctx, CURL *easy, CURLcode code),
                    void *ctx)
{
    *c = (struct curl_loop){.loop = l, .done = done, .ctx = ctx};
    c->timer = (struct timer){.fire = due, .ctx = c};
    if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
        c->multi = curl_multi_init();
    return c->multi && curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, set_socket) == CURLM_OK &&
           curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c) == CURLM_OK &&
           curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, set_timer) == CURLM_OK &&
           curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c) == CURLM_OK;
}

void curl_loop_free(struct curl_loop *c)
{
    curl_multi_cleanup(c->multi);
    for (struct curl_loop_watch *w = c->watches, *next; w; w = next) {
        next = w->next;
        unwatch(c, w);
    }
    timer_stop(c->loop, &c->timer);
}
