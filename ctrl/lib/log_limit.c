// SPDX-License-Identifier: Apache-2.0
// Token buckets for log lines, and the line about those that were left out.
#include "ctrl/lib/log_limit.h"

#include <string.h>

#include "ctrl/lib/hash.h"
#include "ctrl/lib/log.h"

enum { LINE = 1000, TELL_MS = 1000 };

static bool has_token(struct log_bucket *b, uint64_t now, uint32_t rate, uint32_t burst)
{
    uint64_t full = (uint64_t)burst * LINE, gained = (now - b->at) * rate; // lines a second, ms: thousandths
    bool fresh = !b->used || now - b->at > full;
    b->left = fresh || b->left + gained > full ? (uint32_t)full : (uint32_t)(b->left + gained);
    b->at = now;
    b->used = true;
    return b->left >= LINE;
}

static void tell(struct timer *t)
{
    struct log_limit *l = t->ctx;
    uint64_t n = l->left_out - l->told;
    l->told = l->left_out;
    if (n)
        LOGF(NET, 1, "%llu lines about datagrams of strangers left out", (unsigned long long)n);
}

static bool may_write(void *ctx)
{
    struct log_limit *l = ctx;
    if (l->shut) {
        l->left_out++;
        return false;
    }
    uint64_t now = loop_now(l->loop);
    bool source = has_token(l->now, now, LOG_LIMIT_SOURCE_RATE, LOG_LIMIT_SOURCE_BURST);
    if (source && has_token(&l->all, now, LOG_LIMIT_RATE, LOG_LIMIT_BURST)) {
        l->now->left -= LINE;
        l->all.left -= LINE;
        l->taken++;
        return true;
    }
    l->left_out++;
    l->shut = true; // no token comes while a datagram is at work
    if (!l->tell.armed)
        timer_set(l->loop, &l->tell, now + TELL_MS);
    return false;
}

void log_limit_init(struct log_limit *l, struct loop *loop, uint64_t salt)
{
    *l = (struct log_limit){.loop = loop, .salt = salt};
    l->tell = (struct timer){.fire = tell, .ctx = l};
}

void log_limit_free(struct log_limit *l)
{
    if (l->loop)
        timer_stop(l->loop, &l->tell);
}

void log_limit_begin(struct log_limit *l, const struct addr *from)
{
    uint8_t key[8] = {from->family};
    if (l->depth++)
        return;
    memcpy(key + 1, from->a, from->family == 4 ? 3 : 7); // those who share it are one source
    l->now = &l->source[hash_bytes(l->salt, key, sizeof(key)) % LOG_LIMIT_SOURCES];
    l->taken = 0;
    l->shut = false;
    log_set_gate(may_write, l);
}

static void stop(struct log_limit *l)
{
    log_set_gate(NULL, NULL);
    l->now = NULL;
    l->taken = 0;
}

void log_limit_pardon(struct log_limit *l)
{
    if (!l->now)
        return;
    l->now->left += l->taken * LINE; // never above full: they were taken out of it just now
    l->all.left += l->taken * LINE;
    stop(l);
}

void log_limit_end(struct log_limit *l)
{
    if (l->depth && --l->depth == 0 && l->now)
        stop(l);
}
