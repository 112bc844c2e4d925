// SPDX-License-Identifier: Apache-2.0
// The anti-replay window against a model that keeps every number ever received, with and without extended
// sequence numbers, around the wrap of the low half. RFC 4303 section 3.4.3 and appendix A.
#include "drv_util.h"

#include "driver/common/window.h"

enum { STEPS = 20000, REACH = 4096 };

// The model: received[] marks start ... start + STEPS * something, sparse in a plain array of bits around the
// start.
struct model {
    uint64_t start, top;
    uint8_t *got;
    size_t span;
};

static enum esp_status model_verdict(const struct model *m, uint32_t size, uint64_t seq)
{
    if (seq == 0)
        return ESP_STATUS_REPLAY_OLD;
    if (seq > m->top || size == 0)
        return ESP_STATUS_OK;
    if (m->top - seq >= size)
        return ESP_STATUS_REPLAY_OLD;
    return seq >= m->start && m->got[seq - m->start] ? ESP_STATUS_REPLAY_SEEN : ESP_STATUS_OK;
}

static void run_model(uint32_t size, bool esn, uint64_t start, uint64_t seed)
{
    static const uint64_t none[16];
    struct model m = {.start = start, .top = start, .span = (size_t)STEPS * 700};
    uint64_t state = seed;
    uint64_t bits[WINDOW_MAX_WORDS];
    struct window w;

    m.got = calloc(m.span, 1);
    assert_non_null(m.got);
    window_init(&w, bits, size, esn, start, none);
    m.got[0] = start > 0;
    for (int i = 0; i < STEPS; i++) {
        uint64_t r = rnd(&state), seq;
        enum esp_status want;

        if (r % 8 < 4)
            seq = m.top + 1 + r / 8 % 3; // mostly forward, a little out of order
        else if (r % 8 < 7)
            seq = m.top - r / 8 % (size + 3);
        else
            seq = m.top + r / 8 % 1500; // a jump, sometimes beyond the whole window
        if (seq > m.top + REACH || seq < start ||
            seq - start >= m.span) // below the start or wrapped under zero
            continue;
        // With ESN the receiver sees 32 bits: a number left of the window is taken for one of the next
        // subspace.
        if (esn && m.top - seq < UINT64_MAX / 2 && m.top - seq >= size)
            continue;
        want = model_verdict(&m, size, seq);
        if (window_infer(&w, (uint32_t)seq) != (esn ? seq : (uint32_t)seq))
            fail_msg("size %u start %llx seed %llx step %d: inferred %llx, expected %llx", size,
                     (unsigned long long)start, (unsigned long long)seed, i,
                     (unsigned long long)window_infer(&w, (uint32_t)seq), (unsigned long long)seq);
        if (window_look(&w, seq) != want)
            fail_msg("size %u start %llx seed %llx step %d seq %llx: %s, expected %s", size,
                     (unsigned long long)start, (unsigned long long)seed, i, (unsigned long long)seq,
                     esp_status_name(window_look(&w, seq)), esp_status_name(want));
        if (want)
            continue;
        window_set(&w, seq);
        m.got[seq - start] = 1;
        if (seq > m.top)
            m.top = seq;
        assert_int_equal(w.top, m.top);
    }
    free(m.got);
}

static const uint32_t sizes[] = {1, 2, 3, 31, 32, 33, 63, 64, 65, 127, 128, 500, 1000, 1023, 1024};

static void test_window_matches_model_without_esn(void **state)
{
    (void)state;
    run_model(0, false, 0, 99);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        run_model(sizes[i], false, 0, 1 + i);
        run_model(sizes[i], false, 0x7fffff00, 100 + i);
    }
}

static void test_window_matches_model_across_esn_wrap(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        run_model(sizes[i], true, 0, 1 + i);
        run_model(sizes[i], true, 0xffffff00ull, 200 + i);
        run_model(sizes[i], true, 0x5ffff0000ull, 300 + i);
        run_model(sizes[i], true, 0xfffffffeffffff00ull, 400 + i);
    }
}

static void test_window_before_first_packet_is_old(void **state)
{
    static const uint64_t none[16];
    uint64_t bits[WINDOW_MAX_WORDS];
    struct window w;
    uint64_t seq;

    (void)state;
    window_init(&w, bits, 64, true, 5, none);
    seq = window_infer(&w, 0xfffffff0u); // 21 below zero
    assert_int_equal(window_look(&w, seq), ESP_STATUS_REPLAY_OLD);
    assert_int_equal(window_look(&w, 0), ESP_STATUS_REPLAY_OLD);
    assert_int_equal(window_look(&w, window_infer(&w, 3)), ESP_STATUS_OK);
}

static void test_window_export_and_init_are_inverse(void **state)
{
    uint64_t seed = 7, seen[16], again[16], bits[2][WINDOW_MAX_WORDS];
    struct window a, b;

    (void)state;
    memset(seen, 0, sizeof(seen));
    window_init(&a, bits[0], 200, true, 0, seen);
    for (uint64_t s = 1; s < 5000; s++)
        if (rnd(&seed) % 3 && window_look(&a, s) == ESP_STATUS_OK)
            window_set(&a, s);
    window_export(&a, seen);
    window_init(&b, bits[1], 200, true, a.top, seen);
    window_export(&b, again);
    for (uint64_t s = a.top > 300 ? a.top - 300 : 1; s < a.top + 100; s++)
        assert_int_equal(window_look(&a, s), window_look(&b, s));
    assert_int_equal(again[0] & 1, 1);
}

// As many bits as it is long, in words whose number is a power of two: what is behind it costs nothing.
static void test_window_keeps_no_more_than_its_length(void **state)
{
    static const struct {
        uint32_t size;
        unsigned words;
    } cases[] = {{0, 0}, {1, 1}, {32, 1}, {64, 1}, {65, 2}, {128, 2}, {129, 4}, {1023, 16}, {1024, 16}};
    uint64_t seen[16], bits[WINDOW_MAX_WORDS + 1];
    struct window w;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned words = cases[i].words;
        memset(seen, 0xff, sizeof(seen));
        memset(bits, 0xa5, sizeof(bits));
        window_init(&w, bits, cases[i].size, false, 5000, seen);
        for (uint64_t s = 5001; s < 9000; s += 1 + s % 97)
            window_set(&w, s);
        window_export(&w, seen);
        assert_int_equal(window_words(cases[i].size), words);
        assert_int_equal(bits[words], 0xa5a5a5a5a5a5a5a5u); // what is behind them is not its own
        for (uint64_t n = cases[i].size; n < 1024; n++)
            assert_false(seen[n / 64] >> (n % 64) & 1);
    }
}

static void test_window_at_the_last_number_terminates(void **state)
{
    static const uint64_t none[16];
    uint64_t bits[WINDOW_MAX_WORDS];
    struct window w;

    (void)state;
    window_init(&w, bits, 1024, true, UINT64_MAX - 3, none);
    window_set(&w, UINT64_MAX);
    assert_int_equal(window_look(&w, UINT64_MAX), ESP_STATUS_REPLAY_SEEN);
    assert_int_equal(window_look(&w, UINT64_MAX - 1), ESP_STATUS_OK);
    assert_int_equal(window_look(&w, window_infer(&w, 5)), ESP_STATUS_REPLAY_OLD); // past the end: wraps to 5
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window_matches_model_without_esn),
        cmocka_unit_test(test_window_matches_model_across_esn_wrap),
        cmocka_unit_test(test_window_before_first_packet_is_old),
        cmocka_unit_test(test_window_export_and_init_are_inverse),
        cmocka_unit_test(test_window_keeps_no_more_than_its_length),
        cmocka_unit_test(test_window_at_the_last_number_terminates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
