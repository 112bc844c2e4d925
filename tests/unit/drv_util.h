// SPDX-License-Identifier: Apache-2.0
// What the driver's tests share: SA parameters, inner and outer packets, and running one job through an
// engine.
#ifndef ESPALIER_TESTS_DRV_UTIL_H
#define ESPALIER_TESTS_DRV_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/common/bytes.h"
#include "driver/common/params.h"
#include "espalier/engine.h"
#include "tests/unit/busy.h"

// A small repeatable generator: the seed is in the failure message of whoever uses it.
static inline uint64_t rnd(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static inline void rnd_fill(uint64_t *state, uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(rnd(state) >> 24);
}

static inline void ip_checksum(uint8_t *ip)
{
    uint32_t sum = 0, len = (ip[0] & 15u) * 4;

    put_be16(ip + 10, 0);
    for (uint32_t i = 0; i < len; i += 2)
        sum += get_be16(ip + i);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    put_be16(ip + 10, (uint16_t)~sum);
}

// An inner IPv4 packet of len >= 20 bytes with random contents behind the header.
static inline void make_inner(uint8_t *p, uint32_t len, uint8_t tos, int df, uint64_t *seed)
{
    static const uint8_t addresses[8] = {10, 0, 0, 1, 10, 0, 1, 1};

    rnd_fill(seed, p, len);
    p[0] = 0x45;
    p[1] = tos;
    put_be16(p + 2, (uint16_t)len);
    put_be16(p + 4, (uint16_t)len);
    put_be16(p + 6, df ? 0x4000 : 0);
    p[8] = 63;
    p[9] = 17;
    memcpy(p + 12, addresses, 8);
    ip_checksum(p);
}

static inline struct esp_sa_params make_params(enum esp_dir dir, enum esp_alg alg, uint32_t spi)
{
    struct esp_sa_params p = {
        .dir = dir, .mode = ESP_TUNNEL, .alg = alg, .spi = spi, .ttl = 64, .window = dir ? 64 : 0};

    for (unsigned i = 0; i < alg_key_octets(alg); i++)
        p.key[i] = (uint8_t)(i * 7 + spi);
    p.integ = alg == ESP_ALG_NONE || alg_sizes(alg).icv ? ESP_INTEG_NONE : ESP_INTEG_HMAC_SHA256_128;
    for (unsigned i = 0; i < integ_sizes(p.integ).key; i++)
        p.integ_key[i] = (uint8_t)(i * 5 + spi);
    memcpy(p.salt, "\x01\x02\x03\x04", 4);
    memcpy(p.src, "\xc0\x00\x02\x01", 4);
    memcpy(p.dst, "\xc0\x00\x02\x02", 4);
    p.sport = p.dport = 4500;
    p.seq = dir == ESP_OUT ? 1 : 0;
    p.seq_limit = UINT64_MAX;
    return p;
}

static inline void nap(void)
{
    struct timespec ms = {0, 1000000};

    nanosleep(&ms, NULL);
}

static inline uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

// Takes the next event.
static inline struct esp_event next_event(struct esp_engine *e)
{
    struct esp_event ev = {0};
    uint64_t end = now_ms() + PATIENCE_MS;

    while (e->ops->events(e, &ev, 1) == 0) {
        if (now_ms() > end)
            fail_msg("no event from engine %s within %d s", e->name, PATIENCE_MS / 1000);
        e->ops->tick(e, now_ms());
        nap();
    }
    return ev;
}

static inline struct esp_sa *must_add(struct esp_engine *e, const struct esp_sa_params *p)
{
    struct esp_error err = {0};
    struct esp_sa *sa = NULL;
    struct esp_event ev;

    if (e->ops->sa_add(e, p, NULL, &sa, &err))
        fail_msg("sa_add: %s: %s", err.field, err.text);
    ev = next_event(e);
    if (ev.type != ESP_EVENT_SA_ADDED)
        fail_msg("sa_add: event %d status %s: %s %s", ev.type, esp_status_name(ev.status), ev.error.field,
                 ev.error.text);
    return sa;
}

static inline struct esp_sa_stats must_delete(struct esp_engine *e, struct esp_sa *sa)
{
    struct esp_event ev;

    assert_int_equal(e->ops->sa_delete(e, sa), 0);
    ev = next_event(e);
    assert_int_equal(ev.type, ESP_EVENT_SA_DELETED);
    return ev.stats;
}

static inline void poll_one(struct esp_engine *e, struct esp_job *job)
{
    struct esp_job *back = NULL;
    uint64_t end = now_ms() + PATIENCE_MS;

    while (esp_poll(e, &back, 1) == 0) {
        if (now_ms() > end)
            fail_msg("no completion from engine %s within %d s", e->name, PATIENCE_MS / 1000);
        e->ops->tick(e, now_ms());
        nap();
    }
    assert_ptr_equal(back, job);
}

static inline enum esp_status run_job(struct esp_engine *e, struct esp_job *job)
{
    assert_int_equal(esp_submit(e, &job, 1), 1);
    poll_one(e, job);
    return job->status;
}

#endif
