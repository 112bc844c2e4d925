// SPDX-License-Identifier: Apache-2.0
// The fetch room in the process, and under it a model of libcurl: the functions that ctrl/fetch calls, under
// the virtual clock, without names, sockets and HTTP. A server answers at once, late or never, with what it
// was asked for, with an error, or with what is no CRL, is cut or has no end.
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctrl/fetch/fetch.h"
#include "ctrl/lib/log.h"
#include "tests/world/world.h"

#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

// ---- what becomes of a question

enum how { WELL, MISSING, REFUSED, SILENT, JUNK, CUT, ENDLESS, HOWS };
struct transfer {
    struct transfer *next;
    struct web *web;
    char url[1024];
    curl_write_callback write;
    void *write_ctx, *private;
    long ms, status;
    uint64_t at; // when it is over
    enum how how;
    bool over, told;
    CURLcode code;
    CURLMsg msg;
};
struct web { // a CURLM
    struct site *site;
    struct transfer *first;
    curl_multi_timer_callback timer;
    void *timer_ctx;
};

static const char *const hows[] = {"", "404", "nobody there", "no answer", "junk", "cut", "without end"};

static void decide(struct transfer *t)
{
    struct world *w = the_world;
    struct rng *r = &w->certs.dice;
    bool bad = !w->fair && !w->calm && rng_chance(r, 400);
    uint64_t takes =
        w->fair || w->calm ? 5000 : rng_between(r, 1000, rng_chance(r, 300) ? 8 * SECOND : 200000);
    t->how = bad ? (enum how)rng_between(r, 1, HOWS - 1) : WELL;
    if (t->how == SILENT || takes > (uint64_t)t->ms * 1000) {
        t->how = SILENT;
        takes = (uint64_t)t->ms * 1000;
    }
    t->at = w->now + takes;
    TRACE(w, 113, t->how, "%c fetches %s: %.3f s %s", the_site->letter, t->url, (double)takes / 1e6,
          hows[t->how]);
}

static bool give(struct transfer *t, const uint8_t *p, size_t len)
{
    size_t n;
    for (; len; p += n, len -= n) {
        n = len < 700 ? len : 700;
        if (t->write((char *)p, 1, n, t->write_ctx) != n)
            return false;
    }
    return true;
}

static CURLcode answer(struct transfer *t)
{
    struct site *s = t->web->site;
    struct octets o = {0};
    bool taken = true, is = certs_serve(s, t->url, &o);
    t->status = is && t->how != MISSING ? 200 : 404;
    if (t->how == REFUSED)
        return CURLE_COULDNT_CONNECT;
    if (t->how == SILENT)
        return CURLE_OPERATION_TIMEDOUT;
    if (t->how == CUT)
        o.len = o.len / 2;
    if (t->how == JUNK)
        memset(o.p + o.len / 3, 0x5a, o.len / 3);
    for (unsigned i = 0; t->how == ENDLESS && taken && i < 10000; i++)
        taken = give(t, o.p, o.len);
    if (!taken || !give(t, o.p, o.len))
        return CURLE_WRITE_ERROR;
    return CURLE_OK;
}

static void set_timer(struct web *web)
{
    uint64_t first = UINT64_MAX, now = the_world->now;
    for (const struct transfer *t = web->first; t; t = t->next)
        if (!t->over && t->at < first)
            first = t->at;
    web->timer((CURLM *)web,
               first == UINT64_MAX ? -1
               : first <= now      ? 0
                                   : (long)((first - now + 999) / 1000),
               web->timer_ctx);
}

// ---- libcurl's functions

CURLcode curl_global_init(long flags)
{
    (void)flags;
    return CURLE_OK;
}

CURLM *curl_multi_init(void)
{
    struct web *web = calloc(1, sizeof(*web));
    web->site = the_site;
    return (CURLM *)web;
}

CURLMcode curl_multi_cleanup(CURLM *m)
{
    free(m);
    return CURLM_OK;
}

CURLMcode curl_multi_setopt(CURLM *m, CURLMoption o, ...)
{
    struct web *web = (struct web *)m;
    va_list ap;
    va_start(ap, o);
    if (o == CURLMOPT_TIMERFUNCTION)
        web->timer = va_arg(ap, curl_multi_timer_callback);
    else if (o == CURLMOPT_TIMERDATA)
        web->timer_ctx = va_arg(ap, void *);
    va_end(ap);
    return CURLM_OK;
}

CURLMcode curl_multi_assign(CURLM *m, curl_socket_t s, void *ctx)
{
    (void)m, (void)s, (void)ctx; // there are no sockets
    return CURLM_OK;
}

CURLMcode curl_multi_add_handle(CURLM *m, CURL *e)
{
    struct transfer *t = (struct transfer *)e;
    t->web = (struct web *)m;
    t->next = t->web->first;
    t->web->first = t;
    decide(t);
    set_timer(t->web);
    return CURLM_OK;
}

CURLMcode curl_multi_remove_handle(CURLM *m, CURL *e)
{
    struct web *web = (struct web *)m;
    struct transfer **at = &web->first;
    while (*at && *at != (struct transfer *)e)
        at = &(*at)->next;
    if (*at)
        *at = (*at)->next;
    return CURLM_OK;
}

CURLMcode curl_multi_socket_action(CURLM *m, curl_socket_t s, int events, int *running)
{
    struct web *web = (struct web *)m;
    (void)s, (void)events;
    *running = 0;
    for (struct transfer *t = web->first; t; t = t->next) {
        if (!t->over && t->at <= the_world->now) {
            t->over = true;
            t->code = answer(t);
        }
        *running += !t->over;
    }
    set_timer(web);
    return CURLM_OK;
}

CURLMsg *curl_multi_info_read(CURLM *m, int *left)
{
    *left = 0;
    for (struct transfer *t = ((struct web *)m)->first; t; t = t->next) {
        if (!t->over || t->told)
            continue;
        t->told = true;
        t->msg = (CURLMsg){.msg = CURLMSG_DONE, .easy_handle = (CURL *)t, .data.result = t->code};
        return &t->msg;
    }
    return NULL;
}

CURL *curl_easy_init(void)
{
    return (CURL *)calloc(1, sizeof(struct transfer));
}

void curl_easy_cleanup(CURL *e)
{
    free(e);
}

CURLcode curl_easy_setopt(CURL *e, CURLoption o, ...)
{
    struct transfer *t = (struct transfer *)e;
    va_list ap;
    va_start(ap, o);
    if (o == CURLOPT_URL)
        snprintf(t->url, sizeof(t->url), "%s", va_arg(ap, const char *));
    else if (o == CURLOPT_WRITEFUNCTION)
        t->write = va_arg(ap, curl_write_callback);
    else if (o == CURLOPT_WRITEDATA)
        t->write_ctx = va_arg(ap, void *);
    else if (o == CURLOPT_PRIVATE)
        t->private = va_arg(ap, void *);
    else if (o == CURLOPT_TIMEOUT_MS)
        t->ms = va_arg(ap, long);
    va_end(ap);
    return CURLE_OK;
}

CURLcode curl_easy_getinfo(CURL *e, CURLINFO o, ...)
{
    const struct transfer *t = (const struct transfer *)e;
    va_list ap;
    va_start(ap, o);
    if (o == CURLINFO_RESPONSE_CODE)
        *va_arg(ap, long *) = t->status;
    else if (o == CURLINFO_PRIVATE)
        *va_arg(ap, char **) = t->private;
    va_end(ap);
    return CURLE_OK;
}

const char *curl_easy_strerror(CURLcode c)
{
    return c == CURLE_COULDNT_CONNECT ? "Couldn't connect to server" : "the transfer failed";
}

struct curl_slist *curl_slist_append(struct curl_slist *l, const char *text)
{
    struct curl_slist *one = calloc(1, sizeof(*one));
    (void)text;
    one->next = l;
    return one;
}

void curl_slist_free_all(struct curl_slist *l)
{
    for (struct curl_slist *next; l; l = next) {
        next = l->next;
        free(l);
    }
}

CURLU *curl_url(void)
{
    return (CURLU *)calloc(1, 256);
}

CURLUcode curl_url_set(CURLU *u, CURLUPart what, const char *url, unsigned flags)
{
    (void)what, (void)flags;
    return sscanf(url, "http://%255[^/:]", (char *)u) == 1 ? CURLUE_OK : CURLUE_MALFORMED_INPUT;
}

// Its first parameter is const from some version of libcurl on.
CURLUcode url_get(const CURLU *u, CURLUPart what, char **out, unsigned flags) __asm__("curl_url_get");
CURLUcode url_get(const CURLU *u, CURLUPart what, char **out, unsigned flags)
{
    (void)what, (void)flags;
    *out = calloc(1, 256);
    memcpy(*out, u, 256);
    return CURLUE_OK;
}

void curl_url_cleanup(CURLU *u)
{
    free(u);
}

void curl_free(void *p)
{
    free(p);
}

// ---- the room

// The supervisor's end, and those of its neighbours.
static void make(struct daemon *d, int ends[ROOM_COUNT])
{
    static const enum room peers[] = {ROOM_SUPER, ROOM_CTL, ROOM_IKE};
    int fd[ROOM_COUNT][ROOM_COUNT];
    daemon_loop(d, ROOM_FETCH);
    d->fetch = fetch_new(d->loop[ROOM_FETCH], false);
    if (!d->fetch)
        abort();
    for (unsigned i = 0; i < 3; i++) {
        daemon_join(ROOM_FETCH, peers[i], fd);
        if (fetch_attach(d->fetch, peers[i], fd[ROOM_FETCH][peers[i]]) < 0)
            abort();
        ends[peers[i]] = fd[peers[i]][ROOM_FETCH];
    }
    d->super[ROOM_FETCH] = ends[ROOM_SUPER];
}

void web_start(struct daemon *d)
{
    int ends[ROOM_COUNT];
    d->super[ROOM_FETCH] = -1;
    if (!d->site->w->certs.on)
        return;
    make(d, ends);
    if (ike_attach(d->ike, ROOM_FETCH, ends[ROOM_IKE]) < 0 ||
        ctl_connect(d->ctl, ROOM_FETCH, ends[ROOM_CTL]) < 0)
        abort();
}

static void again(struct world *w, void *ctx, uint64_t generation)
{
    struct daemon *d = &((struct site *)ctx)->d;
    int ends[ROOM_COUNT];
    (void)w;
    if (d->generation != generation || d->life != UP || d->loop[ROOM_FETCH])
        return;
    the_site = d->site;
    make(d, ends);
    daemon_hand_over(d, ROOM_IKE, ROOM_FETCH, ends[ROOM_IKE]);
    daemon_hand_over(d, ROOM_CTL, ROOM_FETCH, ends[ROOM_CTL]);
    daemon_wake(d->site);
}

// The supervisor starts it again; the others go on.
void web_died(struct daemon *d)
{
    agenda_add(d->site->w, SECOND / 10, again, d->site, d->generation);
}
