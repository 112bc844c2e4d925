// SPDX-License-Identifier: Apache-2.0
#include "ctrl/fleet/etcd_http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/fleet/curl_loop.h"
#include "ctrl/fleet/etcd_json.h"

enum { CONNECT_MS = 1500 };

struct http;
struct transfer {
    struct transfer *next, **at;
    struct http *http;
    CURL *easy;
    char *body;
    char url[ETCD_URL_LEN + 32];
    enum etcd_kind kind;
    bool watch, said; // said: its answer has come, or it is gone
    unsigned endpoint, tries;
    const char *path;
    char *got;
    size_t len, cap;
    bool too_long, too_much; // it alone; with all others
    etcd_answer_fn *answer;
    etcd_news_fn *news;
    void *ctx;
    char why[CURL_ERROR_SIZE];
};

struct http {
    struct etcd base;
    struct curl_loop curl;
    struct curl_slist *headers;
    char endpoint[ETCD_ENDPOINTS][ETCD_URL_LEN];
    unsigned endpoints, current;
    char *ca, *cert, *key;
    size_t ca_len, cert_len, key_len;
    uint32_t timeout_ms;
    struct transfer *transfers;
    size_t held;                  // octets that have come for all of them
    struct timer starter, reaper; // what could not be begun; watches that have ended
};

static void transfer_free(struct transfer *t)
{
    if (t->easy) {
        curl_multi_remove_handle(t->http->curl.multi, t->easy);
        curl_easy_cleanup(t->easy);
    }
    *t->at = t->next;
    if (t->next)
        t->next->at = t->at;
    t->http->held -= t->len;
    free(t->body);
    free(t->got);
    free(t);
}

// ---- what comes

static void news_end(struct transfer *t, int error, const char *text)
{
    struct etcd_news n = {.error = error};
    snprintf(n.text, sizeof(n.text), "%s", text);
    t->said = true;
    t->news(t->ctx, &n);
}

// A whole line of a watch's. Whoever hears it may end the watch.
static void tell_line(struct transfer *t, const char *line, size_t len)
{
    struct etcd_news n;
    etcd_json_news(line, len, &n);
    if (n.error)
        t->said = true;
    if (n.error || n.count)
        t->news(t->ctx, &n);
    etcd_news_free(&n);
}

static void tell_lines(struct transfer *t)
{
    char *end;
    while (!t->said && (end = memchr(t->got, '\n', t->len)) != NULL) {
        size_t n = (size_t)(end - t->got);
        tell_line(t, t->got, n);
        t->len -= n + 1;
        t->http->held -= n + 1;
        memmove(t->got, end + 1, t->len);
    }
}

static size_t most_of(const struct transfer *t)
{
    return t->watch || t->kind == ETCD_RANGE || t->kind == ETCD_LEASED ? ETCD_ANSWER_MOST : ETCD_SHORT_MOST;
}

static bool make_room(struct transfer *t, size_t n)
{
    size_t cap = 2 * (t->len + n) < most_of(t) ? 2 * (t->len + n) : most_of(t);
    if (t->len + n <= t->cap)
        return true;
    char *more = realloc(t->got, cap);
    if (!more)
        return false;
    t->got = more;
    t->cap = cap;
    return true;
}

static size_t receive(char *data, size_t size, size_t count, void *ctx)
{
    struct transfer *t = ctx;
    size_t n = size * count;
    t->too_long = !t->said && n > most_of(t) - t->len;
    t->too_much = !t->said && n > ETCD_HELD_MOST - t->http->held;
    if (t->said || t->too_long || t->too_much || !make_room(t, n))
        return 0;
    memcpy(t->got + t->len, data, n);
    t->len += n;
    t->http->held += n;
    if (t->watch)
        tell_lines(t);
    return n;
}

// ---- what is sent

static bool set_tls(const struct http *h, CURL *e)
{
    struct curl_blob ca = {h->ca, h->ca_len, CURL_BLOB_NOCOPY},
                     cert = {h->cert, h->cert_len, CURL_BLOB_NOCOPY},
                     key = {h->key, h->key_len, CURL_BLOB_NOCOPY};
    return (!h->ca || curl_easy_setopt(e, CURLOPT_CAINFO_BLOB, &ca) == CURLE_OK) &&
           (!h->cert || curl_easy_setopt(e, CURLOPT_SSLCERT_BLOB, &cert) == CURLE_OK) &&
           (!h->key || curl_easy_setopt(e, CURLOPT_SSLKEY_BLOB, &key) == CURLE_OK) &&
           curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK;
}

static bool set_up(struct transfer *t)
{
    CURL *e = t->easy;
    struct http *h = t->http;
    snprintf(t->url, sizeof(t->url), "%s%s", h->endpoint[t->endpoint], t->path);
    bool ok = curl_easy_setopt(e, CURLOPT_URL, t->url) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_PROXY, "") == CURLE_OK && // not even the environment's
              curl_easy_setopt(e, CURLOPT_HTTPHEADER, h->headers) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_POSTFIELDS, t->body) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, receive) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_WRITEDATA, t) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->why) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS) == CURLE_OK;
    curl_easy_setopt(e, CURLOPT_PRIVATE, t);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "espalier");
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPIDLE, 2L);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPINTVL, 1L);
    if (!t->watch)
        curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)h->timeout_ms);
    return ok && set_tls(h, e);
}

static bool begin(struct transfer *t)
{
    t->easy = curl_easy_init();
    t->endpoint = t->http->current;
    t->http->held -= t->len;
    t->len = 0;
    t->why[0] = 0;
    return t->easy && set_up(t) && curl_multi_add_handle(t->http->curl.multi, t->easy) == CURLM_OK;
}

static struct transfer *add(struct http *h, char *body, const char *path, void *ctx)
{
    struct transfer *t = calloc(1, sizeof(*t));
    if (!t) {
        free(body);
        return NULL;
    }
    *t = (struct transfer){
        .next = h->transfers, .at = &h->transfers, .http = h, .body = body, .path = path, .ctx = ctx};
    if (t->next)
        t->next->at = &t->next;
    h->transfers = t;
    return t;
}

// ---- how it ended

static int error_of(const struct transfer *t, CURLcode code)
{
    if (t->too_long || t->too_much)
        return -EBADMSG;
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT: return -ETIMEDOUT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR: return -EACCES;
    default: return -EHOSTUNREACH;
    }
}

// With TLS 1.3 a certificate of ours is looked at when for us the handshake is over.
static bool closed_on_us(const struct transfer *t, CURLcode code)
{
    return strncmp(t->http->endpoint[t->endpoint], "https:", 6) == 0 &&
           (code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR || code == CURLE_GOT_NOTHING) && !t->len;
}

static void describe(const struct transfer *t, CURLcode code, int error, char *text, size_t size)
{
    const char *why = t->why[0] ? t->why : curl_easy_strerror(code);
    const char *end = t->http->endpoint[t->endpoint];
    if (t->too_long)
        snprintf(text, size, "%.80s: its answer has more than %zu octets", end, most_of(t));
    else if (t->too_much)
        snprintf(text, size, "%.80s: its answers have more than %d octets at once", end, ETCD_HELD_MOST);
    else if (closed_on_us(t, code))
        snprintf(text, size,
                 "%.80s: TLS: it has closed the connection without an answer: does it take our certificate?",
                 end);
    else
        snprintf(text, size, "%.80s%s: %.120s", end, error == -EACCES ? ": TLS" : "", why);
}

static void tell_failure(struct transfer *t, int error, const char *text)
{
    struct etcd_answer a = {.error = error};
    if (t->watch) {
        news_end(t, error, text);
        return;
    }
    snprintf(a.text, sizeof(a.text), "%s", text);
    t->said = true;
    t->answer(t->ctx, &a);
}

static void tell_answer(struct transfer *t)
{
    struct etcd_answer a;
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    etcd_json_answer(t->kind, status, t->got ? t->got : "", t->len, &a);
    t->said = true;
    t->answer(t->ctx, &a);
    etcd_answer_free(&a);
}

// Nothing of it has been sent: somebody else is asked the same.
static bool ask_the_next(struct transfer *t, CURLcode code)
{
    struct http *h = t->http;
    if (t->endpoint == h->current)
        h->current = (h->current + 1) % h->endpoints;
    if ((code != CURLE_COULDNT_CONNECT && code != CURLE_COULDNT_RESOLVE_HOST) || ++t->tries >= h->endpoints)
        return false;
    curl_multi_remove_handle(h->curl.multi, t->easy);
    curl_easy_cleanup(t->easy);
    t->easy = NULL;
    return begin(t);
}

static void ended(void *ctx, CURL *easy, CURLcode code)
{
    char *private = NULL, text[240];
    (void)ctx;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
    struct transfer *t = (struct transfer *)(void *)private;
    if (!t->said && code != CURLE_OK && ask_the_next(t, code))
        return;
    if (!t->said && code == CURLE_OK && !t->watch) {
        tell_answer(t);
    } else if (!t->said) {
        int error = code == CURLE_OK ? -EHOSTUNREACH : closed_on_us(t, code) ? -EACCES : error_of(t, code);
        if (code == CURLE_OK)
            snprintf(text, sizeof(text), "%.80s: it has ended the watch", t->http->endpoint[t->endpoint]);
        else
            describe(t, code, error, text, sizeof(text));
        tell_failure(t, error, text);
    }
    transfer_free(t);
}

// Everything is begun here, never inside a callback of libcurl's, which would refuse it.
static void start_all(struct timer *timer)
{
    struct http *h = timer->ctx;
    struct transfer *t = h->transfers;
    while (t && (t->easy || t->said || (t->body && begin(t))))
        t = t->next;
    if (!t)
        return;
    tell_failure(t, -ENOMEM, "no memory");
    transfer_free(t);
    timer_set(h->curl.loop, timer, loop_now(h->curl.loop)); // the list may be another now
}

static int ask(struct etcd *e, const struct etcd_question *q, etcd_answer_fn *fn, void *ctx)
{
    struct http *h = (struct http *)e;
    const char *path = "";
    char *body = etcd_json_question(q, &path);
    struct transfer *t = add(h, body, path, ctx);
    if (!t)
        return -ENOMEM;
    t->kind = q->kind;
    t->answer = fn;
    timer_set(h->curl.loop, &h->starter, loop_now(h->curl.loop));
    return 0;
}

// ---- watch

static void reap(struct timer *timer)
{
    struct http *h = timer->ctx;
    for (struct transfer *t = h->transfers, *next; t; t = next) {
        next = t->next;
        if (t->watch && t->said)
            transfer_free(t);
    }
}

// From within its own callback it may not be taken out.
static void unwatch(struct etcd *e)
{
    struct http *h = (struct http *)e;
    for (struct transfer *t = h->transfers; t; t = t->next)
        if (t->watch)
            t->said = true;
    timer_set(h->curl.loop, &h->reaper, loop_now(h->curl.loop));
}

static int watch(struct etcd *e, const char *prefix, uint64_t from, etcd_news_fn *fn, void *ctx)
{
    struct http *h = (struct http *)e;
    unwatch(e);
    struct transfer *t = add(h, etcd_json_watch(prefix, from), "/v3/watch", ctx);
    if (!t)
        return -ENOMEM;
    t->watch = true;
    t->news = fn;
    timer_set(h->curl.loop, &h->starter, loop_now(h->curl.loop));
    return 0;
}

// ---- life

static void http_free(struct etcd *e)
{
    struct http *h = (struct http *)e;
    for (struct transfer *t = h->transfers, *next; t; t = next) {
        next = t->next;
        transfer_free(t);
    }
    curl_slist_free_all(h->headers);
    timer_stop(h->curl.loop, &h->starter);
    timer_stop(h->curl.loop, &h->reaper);
    curl_loop_free(&h->curl);
    free(h->ca);
    free(h->cert);
    if (h->key)
        explicit_bzero(h->key, h->key_len);
    free(h->key);
    free(h);
}

// The next URL of the list, without a slash at its end; its length, 0: there is none. *at: behind it.
static size_t next_endpoint(const char **at, const char **url)
{
    *url = *at + strspn(*at, ", \t");
    size_t n = strcspn(*url, ", \t");
    *at = *url + n;
    while (n && (*url)[n - 1] == '/')
        n--;
    return n;
}

static int check_one(const char *url, size_t n, struct esp_error *err)
{
    char text[ETCD_URL_LEN];
    if (n >= sizeof(text))
        return esp_fail(err, -EINVAL, "fleet.endpoints", "a URL is longer than %d characters",
                        ETCD_URL_LEN - 1);
    snprintf(text, sizeof(text), "%.*s", (int)n, url);
    CURLU *u = curl_url();
    bool good = (strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0) && u &&
                curl_url_set(u, CURLUPART_URL, text, 0) == CURLUE_OK;
    curl_url_cleanup(u);
    return good ? 0
                : esp_fail(err, -EINVAL, "fleet.endpoints",
                           "'%.80s': expected https://HOST:PORT (or http://)", text);
}

int etcd_endpoints_check(const char *endpoints, struct esp_error *err)
{
    const char *url;
    unsigned count = 0;
    for (size_t n; (n = next_endpoint(&endpoints, &url)) > 0; count++) {
        int rc = check_one(url, n, err);
        if (rc)
            return rc;
    }
    if (!count || count > ETCD_ENDPOINTS)
        return esp_fail(err, -EINVAL, "fleet.endpoints", "%u URLs: expected 1 to %d, between commas", count,
                        ETCD_ENDPOINTS);
    return 0;
}

static bool copy(struct slice s, char **to, size_t *len)
{
    *len = s.len;
    if (!s.len)
        return true;
    *to = malloc(s.len);
    if (*to)
        memcpy(*to, s.p, s.len);
    return *to;
}

struct etcd *etcd_http_new(struct loop *l, const struct etcd_http_config *c, struct esp_error *err)
{
    static const struct etcd_ops ops = {ask, watch, unwatch, http_free};
    const char *at = c->endpoints, *url;
    if (etcd_endpoints_check(c->endpoints, err))
        return NULL;
    struct http *h = calloc(1, sizeof(*h));
    bool ok = h && curl_loop_init(&h->curl, l, ended, h);
    if (ok) {
        h->base.ops = &ops;
        h->timeout_ms = c->timeout_ms;
        h->starter = (struct timer){.fire = start_all, .ctx = h};
        h->reaper = (struct timer){.fire = reap, .ctx = h};
        h->headers = curl_slist_append(NULL, "Content-Type: application/json");
        ok = h->headers && copy(c->ca, &h->ca, &h->ca_len) && copy(c->cert, &h->cert, &h->cert_len) &&
             copy(c->key, &h->key, &h->key_len);
        for (size_t n; (n = next_endpoint(&at, &url)) > 0; h->endpoints++)
            snprintf(h->endpoint[h->endpoints], ETCD_URL_LEN, "%.*s", (int)n, url);
    }
    if (ok)
        return &h->base;
    esp_fail(err, -ENOMEM, "fleet", "no memory");
    if (h && h->base.ops)
        http_free(&h->base);
    else
        free(h);
    return NULL;
}
