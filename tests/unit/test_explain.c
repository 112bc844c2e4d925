// SPDX-License-Identifier: Apache-2.0
// `espalier-sim explain` on two engines of this file's own: one that does what an engine should as far as is
// needed here, and one with a planted fault. What is said of a packet, and what the capture shrinks to.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sim/workbench/explain.h"
#include "sim/workbench/util.h"

#define KEY " aead 'rfc4106(gcm(aes))' 0x000102030405060708090a0b0c0d0e0fdeadbeef 128"
#define SAD                                                                                                  \
    "xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 256 mode tunnel reqid 1 limit packet-hard 2" KEY   \
    "\n"                                                                                                     \
    "xfrm state add src 1.1.1.1 dst 3.3.3.3 proto esp spi 257 mode tunnel reqid 2 replay-window 32" KEY "\n" \
    "xfrm policy add dst 10.1.0.0/16 dir out tmpl dst 2.2.2.2 proto esp mode tunnel\n"                       \
    "xfrm policy add dst 10.2.0.0/16 dir out tmpl dst 3.3.3.3 proto esp mode tunnel\n"                       \
    "xfrm policy add dst 10.3.0.0/16 dir out action block\n"                                                 \
    "xfrm policy add dst 10.4.0.0/16 dir out tmpl dst 4.4.4.4 proto esp mode tunnel\n"

enum { STATES = 2, DEPTH = 3, PACKETS = 60, OCTETS = 40 };

struct fake {
    struct wb_engine base;
    struct wb_job jobs[DEPTH];
    uint8_t memory[2 * DEPTH][128];
    unsigned encrypted[STATES], limit[STATES];
    uint64_t seen[STATES]; // a bit for each sequence number below 64
    bool faulty;           // spoils an octet from the third packet of state 1 on
};

static struct explain x;
static struct fake good, bad;
static uint8_t octets[PACKETS][OCTETS];
static struct capture_packet packets[PACKETS];
static char *said;
static size_t said_len;

static int fake_add(struct wb_engine *e, unsigned index, const struct sad_state *st, struct esp_error *err)
{
    struct fake *f = (struct fake *)e;

    (void)err;
    f->encrypted[index] = 0;
    f->seen[index] = 0;
    f->limit[index] = st->hard_packets ? (unsigned)st->hard_packets : 1000000;
    return 0;
}

static int fake_remove(struct wb_engine *e, unsigned index, struct esp_error *err)
{
    (void)e;
    (void)index;
    (void)err;
    return 0;
}

static void encrypt(struct fake *f, struct wb_job *job)
{
    if (f->encrypted[job->state] == f->limit[job->state]) {
        job->status = ESP_STATUS_HARD_LIMIT;
        return;
    }
    job->seq = ++f->encrypted[job->state];
    job->out_len = job->in_len;
    memcpy(job->out, job->in, job->in_len);
    if (f->faulty && job->state == 1 && job->seq >= 3)
        job->out[30] ^= 0x10;
}

// The packet's own sequence number; what comes out is an IPv4 header of 10.9.9.9.
static void decrypt(struct fake *f, struct wb_job *job)
{
    job->state = wb_get32(job->in + 20) - 256;
    job->seq = wb_get32(job->in + 24);
    if (f->seen[job->state] >> job->seq & 1) {
        job->status = ESP_STATUS_REPLAY_SEEN;
        return;
    }
    f->seen[job->state] |= UINT64_C(1) << job->seq;
    job->out_len = 20;
    memcpy(job->out, job->in, 20);
    memcpy(job->out + 2, "\0\x14", 2);
    memcpy(job->out + 12, "\x0a\x09\x09\x09", 4);
}

static int fake_submit(struct wb_engine *e, struct wb_job *job, struct esp_error *err)
{
    (void)err;
    job->status = ESP_STATUS_OK;
    job->out_len = 0;
    job->seq = 0;
    if (job->encap)
        encrypt((struct fake *)e, job);
    else
        decrypt((struct fake *)e, job);
    return 0;
}

static int fake_wait(struct wb_engine *e, struct wb_job *job, struct esp_error *err)
{
    (void)e;
    (void)job;
    (void)err;
    return 0;
}

static const struct wb_engine_ops fake_ops = {
    .add = fake_add, .remove = fake_remove, .submit = fake_submit, .wait = fake_wait};

static void make_fake(struct fake *f, bool faulty)
{
    memset(f, 0, sizeof(*f));
    f->base = (struct wb_engine){.ops = &fake_ops, .name = "fake", .depth = DEPTH, .jobs = f->jobs};
    f->faulty = faulty;
    for (int i = 0; i < DEPTH; i++) {
        f->jobs[i].in = f->memory[2 * i];
        f->jobs[i].out = f->memory[2 * i + 1];
    }
}

static void put_packet(unsigned n, const char *dst, uint8_t proto, uint32_t spi, uint32_t seq)
{
    uint8_t *p = octets[n];

    memset(p, (int)n, OCTETS);
    memcpy(p, "\x45\0\0\x28\0\0\x40\0\x40\0\0\0\x0a\0\0\1", 16);
    p[9] = proto;
    memcpy(p + 16, dst, 4);
    wb_put32(p + 20, spi);
    wb_put32(p + 24, seq);
    packets[n] = (struct capture_packet){.data = p, .len = OCTETS, .wire_len = OCTETS};
}

// Packets for state 0, state 1 and in the clear by turns.
static void put_mixture(void)
{
    static const char *const dst[] = {"\x0a\1\0\1", "\x0a\2\0\1", "\x0b\0\0\1"};

    for (unsigned i = 0; i < PACKETS; i++)
        put_packet(i, dst[i % 3], 17, 0, 0);
    x.n = PACKETS;
}

static int setup(void **state)
{
    char text[] = SAD;
    struct esp_error err;

    (void)state;
    memset(&x, 0, sizeof(x));
    make_fake(&good, false);
    make_fake(&bad, true);
    x.packets = packets;
    x.link = CAPTURE_RAW;
    x.soft = &good.base;
    x.card = &bad.base;
    x.by_card = calloc(PACKETS, sizeof(*x.by_card));
    x.by_soft = calloc(PACKETS, sizeof(*x.by_soft));
    return sad_parse(&x.sad, "test.sad", text, strlen(text), &err);
}

static int teardown(void **state)
{
    (void)state;
    told_clear(x.by_card, PACKETS);
    told_clear(x.by_soft, PACKETS);
    free(x.by_card);
    free(x.by_soft);
    sad_clear(&x.sad);
    free(said);
    said = NULL;
    return 0;
}

static void run_all(void)
{
    struct esp_error err = {0};

    if (explain_run(&x, x.soft, NULL, x.n, x.by_soft, &err) ||
        explain_run(&x, x.card, NULL, x.n, x.by_card, &err))
        fail_msg("%s: %s", err.field, err.text);
}

static void must_say(size_t i, const char *text)
{
    FILE *f;

    free(said);
    f = open_memstream(&said, &said_len);
    explain_words(f, &x, i);
    fclose(f);
    if (!strstr(said, text))
        fail_msg("got:\n%sexpected: %s", said, text);
}

static size_t shrink(size_t target, size_t *which, bool *whole)
{
    struct esp_error err = {0};
    size_t n = 0;

    if (explain_shrink(&x, target, which, &n, whole, &err) != 0)
        fail_msg("%s: %s", err.field, err.text);
    assert_int_equal(which[n - 1], target);
    return n;
}

static void test_hard_limit_shrinks_to_the_packets_that_used_it_up(void **state)
{
    size_t which[PACKETS];
    bool whole;

    (void)state;
    put_mixture();
    run_all();
    assert_int_equal(x.by_soft[57].reason, ESP_STATUS_HARD_LIMIT);
    must_say(57, "packet 58, 10.0.0.1 > 10.1.0.1, UDP 0 > 0, 40 octets");
    must_say(57, "dropped, HARD_LIMIT: a hard limit is reached (packet-hard 2): 2 went through before it\n");
    must_say(57, "It went to the state of line 1 (SPI 0x00000100) to be encrypted, by the policy of line 3.");
    assert_int_equal(shrink(57, which, &whole), 3);
    assert_true(whole);
    assert_int_equal(which[0] % 3, 0);
    assert_int_equal(which[1] % 3, 0);
}

static void test_engines_that_disagree_are_told_and_shrunk_to_what_shows_it(void **state)
{
    size_t which[PACKETS];
    bool whole;

    (void)state;
    put_mixture();
    run_all();
    assert_true(told_same(&x.by_card[4], &x.by_soft[4]));
    assert_false(told_same(&x.by_card[58], &x.by_soft[58]));
    must_say(58, "WRONG: encrypted by the card, encrypted by software\n");
    must_say(58, "The frames differ first at octet 30: 0x2a of the card, 0x3a of software.");
    assert_int_equal(shrink(58, which, &whole), 3);
    assert_true(whole);
    assert_int_equal(which[0] % 3, 1);
    assert_int_equal(which[1] % 3, 1);
}

static void test_policy_drops_name_the_line_and_stand_alone(void **state)
{
    size_t which[PACKETS];
    bool whole;

    (void)state;
    put_mixture();
    put_packet(40, "\x0a\3\0\1", 6, 0, 0);
    put_packet(41, "\x0a\4\0\1", 6, 0, 0);
    packets[42].wire_len = 1500;
    run_all();
    must_say(40, "dropped, POLICY: the policy of line 5 blocks it\n");
    must_say(41, "dropped, NO_SA: the policy of line 6 protects it, but no state fits its template\n");
    must_say(42, "dropped, TRUNCATED: the capture's snap length left 40 of its 1500 octets\n");
    assert_int_equal(shrink(40, which, &whole), 1);
    assert_int_equal(shrink(42, which, &whole), 1);
}

static void test_replayed_packet_names_the_first_and_keeps_it(void **state)
{
    size_t which[PACKETS];
    bool whole;

    (void)state;
    put_mixture();
    put_packet(10, "\3\3\3\3", 50, 257, 7);
    put_packet(20, "\3\3\3\3", 50, 257, 8);
    put_packet(30, "\3\3\3\3", 50, 257, 7);
    put_packet(50, "\3\3\3\3", 50, 257, 7);
    run_all();
    must_say(30,
             "10.0.0.1 > 3.3.3.3, ESP, SPI 0x00000101, sequence number 7, 40 octets: dropped, REPLAY_SEEN: "
             "sequence number 7 was received before, in packet 11\n");
    must_say(30, "It went to the state of line 2 (SPI 0x00000101) to be decrypted.");
    must_say(50, "in packet 11\n");
    assert_int_equal(shrink(50, which, &whole), 2);
    assert_int_equal(packets[which[0]].data[24 + 3], 7);
}

static void test_packet_that_came_through_shrinks_to_itself(void **state)
{
    size_t which[PACKETS];
    bool whole;

    (void)state;
    put_mixture();
    run_all();
    assert_int_equal(shrink(1, which, &whole), 1);
    assert_int_equal(shrink(2, which, &whole), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_hard_limit_shrinks_to_the_packets_that_used_it_up, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_engines_that_disagree_are_told_and_shrunk_to_what_shows_it,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_policy_drops_name_the_line_and_stand_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replayed_packet_names_the_first_and_keeps_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_packet_that_came_through_shrinks_to_itself, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
