// SPDX-License-Identifier: Apache-2.0
// See tx_expect.h. A difference fails the running test with what came, what was expected and the seed.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/rtl/tx_expect.h"

uint32_t seed = 20240229;
struct model_out want;
struct pipe_out got;

struct pipe *new_pipe(unsigned lanes)
{
    struct pipe *p = pipe_new(lanes);

    assert_non_null(p);
    assert_true(pipe_zeroized(p));
    return p;
}

void add_ok(struct pipe *p, struct model_sa *sa)
{
    assert_int_equal(model_add(p, sa), ESPC_STATUS_OK);
}

void expect_out(struct pipe *p, uint16_t tag)
{
    if (!pipe_pop(p, PIPE_ENC, &got))
        fail_msg("no output packet, expected tag %u (seed %u)", tag, seed);
    if (got.tag != tag || got.status != want.status || got.size != want.size || got.seq != want.seq ||
        got.len != want.size || got.soft != want.soft || got.lease_low != want.lease_low)
        fail_msg("tag %u status %u size %zu len %u seq %llu soft %d low %d, expected tag %u status %u size "
                 "%zu seq %llu "
                 "soft %d low %d (seed %u)",
                 got.tag, got.status, got.size, got.len, (unsigned long long)got.seq, got.soft, got.lease_low,
                 tag, want.status, want.size, (unsigned long long)want.seq, want.soft, want.lease_low, seed);
    if (want.status != ESPC_STATUS_OK)
        assert_int_equal(got.beats, 1);
    for (size_t i = 0; i < want.size; i++)
        if (got.data[i] != want.data[i])
            fail_msg("tag %u byte %zu of %zu: %02x, expected %02x (seed %u)", tag, i, want.size, got.data[i],
                     want.data[i], seed);
}

uint16_t one(struct pipe *p, struct model_sa *sa, uint16_t gen, const uint8_t *buf, size_t size)
{
    model_encap(sa, gen, buf, size, &want);
    pipe_push(p, PIPE_ENC, buf, size, 77, sa->slot, gen);
    assert_true(pipe_run(p, PIPE_ENC, 1, 5000));
    expect_out(p, 77);
    return got.status;
}

uint16_t one_of(struct pipe *p, struct model_sa *sa, size_t total, uint32_t *rng)
{
    uint8_t buf[10240];

    model_taken(sa, buf, total, rng);
    return one(p, sa, sa->gen, buf, total);
}
