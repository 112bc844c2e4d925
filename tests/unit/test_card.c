// SPDX-License-Identifier: Apache-2.0
// The card engine against a card made of C: opening and refusing, SAs, packets through the rings, sleeping,
// and every way in which a card can fail or lie: the engine falls silent, says so, and gives the jobs back in
// order.
#include "drv_util.h"

#include <errno.h>
#include <poll.h>

#include "driver/card/card.h"
#include "drv_fake_card.h"

enum { BUF = 2048, MANY = 64 };

struct fixture {
    struct fake_card *card;
    struct esp_engine *e;
    struct esp_pool *pool;
    struct esp_job job[MANY];
    struct esp_sa *tx, *rx;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct esp_card_options o = {0};
    struct esp_error err = {0};

    assert_non_null(f);
    *state = f;
    f->card = fake_card_start(&fake_default);
    o.pci_sysfs = fake_card_sysfs(f->card);
    o.ring_log2 = 5;
    if (esp_card_open(&f->e, &o, &err))
        fail_msg("open: %s: %s", err.field, err.text);
    assert_int_equal(esp_pool_create(&f->pool, 2 * MANY, BUF, NULL), 0);
    assert_int_equal(f->e->ops->attach_pool(f->e, f->pool, NULL), 0);
    for (int i = 0; i < MANY; i++)
        f->job[i] =
            (struct esp_job){.in = esp_pool_get(f->pool), .out = esp_pool_get(f->pool), .out_cap = BUF};
    return 0;
}

static void teardown_engine(struct fixture *f)
{
    f->e->ops->destroy(f->e);
    for (uint64_t end = now_ms() + 2000; fake_card_master(f->card) && now_ms() < end;)
        nap(); // the end of a stream is seen in the card's own time
    assert_false(fake_card_master(f->card));
    fake_card_stop(f->card);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    teardown_engine(f);
    esp_pool_destroy(f->pool);
    free(f);
    return 0;
}

static struct esp_sa_params params(enum esp_dir dir, uint32_t spi)
{
    struct esp_sa_params p = make_params(dir, ESP_ALG_AES128_GCM16, spi);

    memcpy(p.key, "\xde\xad\xbe\xef\x51\x52\x53\x54", 8); // what fake_card_saw_key looks for
    p.seq_limit = dir == ESP_OUT ? 1000 : p.seq_limit;
    return p;
}

static void add_pair(struct fixture *f)
{
    struct esp_sa_params out = params(ESP_OUT, 7), in = params(ESP_IN, 7);

    f->tx = must_add(f->e, &out);
    f->rx = must_add(f->e, &in);
}

static struct esp_job *encap_job(struct fixture *f, int i, uint32_t len)
{
    f->job[i].op = ESP_ENCAP;
    f->job[i].sa = f->tx;
    f->job[i].in_len = len;
    memset(f->job[i].in, i + 1, len);
    return &f->job[i];
}

static struct esp_job *decap_job(struct fixture *f, int i, uint32_t spi, uint64_t seq)
{
    f->job[i].op = ESP_DECAP;
    f->job[i].sa = NULL;
    f->job[i].in_len = FAKE_PREFIX + 50;
    put_le32(f->job[i].in, spi);
    put_le64(f->job[i].in + 4, seq);
    memset(f->job[i].in + FAKE_PREFIX, i, 50);
    return &f->job[i];
}

static unsigned snapshots(struct fixture *f)
{
    char buf[16384];
    const char *at;

    assert_in_range(f->e->ops->counters(f->e, buf, sizeof(buf)), 1, sizeof(buf) - 1);
    at = strstr(buf, "driver_snapshots ");
    assert_non_null(at);
    return (unsigned)atoi(at + strlen("driver_snapshots "));
}

// Acknowledged accesses, begun after this call: the card has seen every doorbell before them.
static void sync_card(struct fixture *f)
{
    unsigned from = snapshots(f);

    for (uint64_t end = now_ms() + 5000; snapshots(f) < from + 2; nap())
        if (now_ms() > end)
            fail_msg("the card's counters were not read within 5 s");
}

static void test_open_refuses_what_it_does_not_know(void **state)
{
    struct {
        struct fake_options o;
        int code;
        const char *word;
    } cases[] = {
        {fake_default, -EPROTO, "MAGIC"},        {fake_default, -ENOTSUP, "version 1.0"},
        {fake_default, -EPROTO, "queues"},       {fake_default, -ENOTSUP, "features"},
        {fake_default, -EPROTO, "loops"},        {fake_default, -EPROTO, "leaves"},
        {fake_default, -ENOTSUP, "version 3.1"},
    };

    (void)state;
    cases[0].o.magic = 0x12345678;
    cases[1].o.abi = 0x10000;
    cases[2].o.queues = 0;
    cases[3].o.features = 3;
    cases[4].o.next_of_block_1 = 0x800;
    cases[5].o.next_of_block_1 = 0xfffffff0;
    cases[6].o.abi = 0x30001;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fake_card *card = fake_card_start(&cases[i].o);
        struct esp_card_options o = {.pci_sysfs = fake_card_sysfs(card)};
        struct esp_error err = {0};
        struct esp_engine *e;

        assert_int_equal(esp_card_open(&e, &o, &err), cases[i].code);
        if (!strstr(err.text, cases[i].word))
            fail_msg("case %u: \"%s\" does not say \"%s\"", i, err.text, cases[i].word);
        assert_null(e);
        fake_card_stop(card);
    }
}

static void test_open_without_a_card_is_enodev(void **state)
{
    struct fake_options o = fake_default;
    struct esp_card_options opt = {.pci_sysfs = "/nowhere"};
    struct esp_error err = {0};
    struct fake_card *card;
    struct esp_engine *e;

    (void)state;
    assert_int_equal(esp_card_open(&e, &opt, &err), -ENODEV);
    assert_true(err.text[0]);
    o.no_server = true;
    card = fake_card_start(&o);
    opt.pci_sysfs = fake_card_sysfs(card);
    assert_int_equal(esp_card_open(&e, &opt, &err), -ENODEV);
    assert_non_null(strstr(err.text, "vfio-user"));
    opt.bdf = "0000:02:00.0";
    assert_int_equal(esp_card_open(&e, &opt, &err), -ENODEV);
    assert_string_equal(err.field, "0000:02:00.0");
    fake_card_stop(card);
}

// On a busy machine a simulated card may be away for longer than one in use ever is.
static void test_open_waits_for_a_slow_card(void **unused)
{
    struct fake_card *card = fake_card_start(&fake_default);
    struct esp_card_options o = {.pci_sysfs = fake_card_sysfs(card), .ring_log2 = 5};
    struct esp_error err = {0};
    struct esp_engine *e;

    (void)unused;
    fake_card_fault(card, FAKE_SLOW_ENABLE);
    if (esp_card_open(&e, &o, &err))
        fail_msg("open: %s: %s", err.field, err.text);
    e->ops->destroy(e);
    fake_card_stop(card);
}

static void test_minor_version_above_ours_is_accepted(void **state)
{
    struct fake_options o = fake_default;
    struct esp_card_options opt = {0};
    struct fake_card *card;
    struct esp_engine *e;

    (void)state;
    o.abi = 0x20007;
    o.features |= 0xf0000000;
    card = fake_card_start(&o);
    opt.pci_sysfs = fake_card_sysfs(card);
    assert_int_equal(esp_card_open(&e, &opt, NULL), 0);
    assert_string_equal(e->name, "0000:01:00.0");
    assert_string_equal(e->kind, "card");
    assert_true(fake_card_master(card));
    e->ops->destroy(e);
    fake_card_stop(card);
}

static void test_sa_life_and_stats(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_stats st;
    struct esp_event ev;

    add_pair(f);
    assert_int_equal(run_job(f->e, encap_job(f, 0, 100)), ESP_STATUS_OK);
    assert_int_equal(run_job(f->e, encap_job(f, 1, 60)), ESP_STATUS_OK);
    assert_true(f->job[1].seq == 2);
    assert_int_equal(f->job[1].out_len, 72);
    assert_int_equal(f->e->ops->sa_query(f->e, f->tx), 0);
    ev = next_event(f->e);
    assert_int_equal(ev.type, ESP_EVENT_SA_STATS);
    assert_int_equal(ev.stats.bytes, 160);
    assert_int_equal(f->e->ops->sa_lease(f->e, f->tx, 900), -EINVAL);
    assert_int_equal(f->e->ops->sa_lease(f->e, f->tx, 2000), 0);
    assert_int_equal(next_event(f->e).type, ESP_EVENT_SA_LEASED);
    st = must_delete(f->e, f->tx);
    assert_int_equal(st.packets, 2);
    assert_int_equal(st.last_seq, 2);
    must_delete(f->e, f->rx);
}

static void test_key_memory_is_wiped_after_add(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params p = params(ESP_OUT, 9);
    struct esp_event ev;
    struct esp_sa *sa;

    fake_card_fault(f->card, FAKE_HOLD);
    assert_int_equal(f->e->ops->sa_add(f->e, &p, NULL, &sa, NULL), 0);
    assert_true(fake_card_saw_key(f->card)); // the command is under way
    fake_card_fault(f->card, FAKE_GOOD);
    p.spi = 0xbad;
    assert_int_equal(f->e->ops->sa_add(f->e, &p, &p, &sa, NULL), 0);
    assert_int_equal(next_event(f->e).type, ESP_EVENT_SA_ADDED);
    ev = next_event(f->e);
    assert_int_equal(ev.type, ESP_EVENT_SA_REFUSED);
    assert_int_equal(ev.status, ESP_STATUS_BAD_FIELD);
    assert_string_equal(ev.error.field, "window");
    assert_ptr_equal(ev.cookie, &p);
    assert_false(fake_card_saw_key(f->card));
}

static void test_slots_run_out_and_come_back_with_a_new_generation(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params p = params(ESP_OUT, 9);
    struct esp_error err = {0};
    struct esp_sa *sa[64], *more;

    for (int i = 0; i < 64; i++)
        sa[i] = must_add(f->e, &p);
    assert_int_equal(f->e->ops->sa_add(f->e, &p, NULL, &more, &err), -ENOSPC);
    for (int i = 0; i < 64; i++)
        must_delete(f->e, sa[i]);
    for (int i = 0; i < 200; i++) {
        f->tx = must_add(f->e, &p);
        assert_int_equal(run_job(f->e, encap_job(f, 0, 50)), ESP_STATUS_OK);
        must_delete(f->e, f->tx);
    }
}

static void test_capable_says_why_not(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params p = params(ESP_OUT, 9);
    struct esp_error why = {0};

    assert_int_equal(f->e->ops->capable(f->e, &p, &why), 0);
    p.alg = ESP_ALG_CHACHA20_POLY1305;
    assert_int_equal(f->e->ops->capable(f->e, &p, &why), -EOPNOTSUPP);
    assert_string_equal(why.field, "alg");
    assert_non_null(strstr(why.text, "chacha20poly1305"));
    p = params(ESP_OUT, 9);
    p.ipv6 = true;
    assert_int_equal(f->e->ops->capable(f->e, &p, &why), -EOPNOTSUPP);
    assert_string_equal(why.field, "ipv6");
}

static void test_rings_wrap_many_times_in_order(void **state)
{
    struct fixture *f = *state;
    uint64_t next_out = 1, next_in = 1, sent = 0;
    unsigned batch = 24, bells;

    add_pair(f);
    bells = fake_card_doorbells(f->card);
    for (int round = 0; round < 100; round++) {
        struct esp_job *list[MANY], *back[MANY];
        unsigned got = 0;

        for (unsigned i = 0; i < batch; i++)
            list[i] = i % 3 ? encap_job(f, (int)i, 40 + i) : decap_job(f, (int)i, 7, ++sent);
        assert_int_equal(esp_submit(f->e, list, batch), batch);
        for (uint64_t end = now_ms() + 5000; got < batch && now_ms() < end;)
            got += esp_poll(f->e, back + got, 7);
        assert_int_equal(got, batch);
        for (unsigned i = 0; i < batch; i++) {
            assert_int_equal(back[i]->status, ESP_STATUS_OK);
            if (back[i]->op == ESP_ENCAP) {
                assert_true(back[i]->seq == next_out++);
                assert_memory_equal(back[i]->out + FAKE_PREFIX, back[i]->in, back[i]->in_len);
                if (next_out > 900) // keep inside the lease
                    break;
            } else {
                assert_true(back[i]->seq == next_in++);
                assert_ptr_equal(back[i]->sa, f->rx);
                assert_memory_equal(back[i]->out, back[i]->in + FAKE_PREFIX, 50);
            }
        }
        if (next_out > 900)
            return;
    }
    assert_int_equal(fake_card_doorbells(f->card) - bells, 200); // one a batch and queue
}

static void test_hot_path_reads_no_register(void **state)
{
    struct fixture *f = *state;
    unsigned before;
    uint64_t start;

    add_pair(f);
    before = fake_card_reads(f->card);
    start = now_ms();
    for (int i = 0; i < 900; i++) {
        struct esp_job *job = encap_job(f, 0, 100), *back;
        assert_int_equal(esp_submit(f->e, &job, 1), 1);
        while (esp_poll(f->e, &back, 1) == 0)
            ;
    }
    // the card's own thread looks after it, by the clock and not by the packet
    if (fake_card_reads(f->card) - before > 40 + 10 * (now_ms() - start) / 20)
        fail_msg("%u reads in %u ms", fake_card_reads(f->card) - before, (unsigned)(now_ms() - start));
}

static void test_full_ring_takes_no_more(void **state)
{
    struct fixture *f = *state;
    struct esp_job *list[MANY], *back[MANY];
    unsigned got = 0;

    add_pair(f);
    fake_card_fault(f->card, FAKE_HOLD);
    for (int i = 0; i < MANY; i++)
        list[i] = encap_job(f, i, 40);
    assert_int_equal(esp_submit(f->e, list, MANY), 32);
    assert_int_equal(esp_submit(f->e, list + 32, 1), 0);
    sync_card(f);
    list[0] = decap_job(f, 63, 7, 5); // the other queue has room, and its doorbell wakes nothing else
    fake_card_fault(f->card, FAKE_GOOD);
    assert_int_equal(esp_submit(f->e, list, 1), 1);
    for (uint64_t end = now_ms() + 5000; got < 1 && now_ms() < end;)
        got += esp_poll(f->e, back, MANY);
    assert_ptr_equal(back[0], &f->job[63]);
}

static void test_jobs_that_the_card_must_not_see_come_back_in_turn(void **state)
{
    struct fixture *f = *state;
    static uint8_t elsewhere[256];
    struct esp_job stray, *list[6], *back[8] = {0};
    unsigned got = 0;

    add_pair(f);
    list[0] = encap_job(f, 0, 40);
    stray = *encap_job(f, 1, 40);
    stray.in = elsewhere;
    list[1] = &stray;
    list[2] = encap_job(f, 2, 40);
    list[2]->out += 4;
    list[3] = encap_job(f, 3, 0);
    list[4] = encap_job(f, 4, 40);
    list[4]->sa = f->rx;
    list[5] = encap_job(f, 5, 40);
    assert_int_equal(esp_submit(f->e, list, 6), 6);
    for (uint64_t end = now_ms() + 5000; got < 6 && now_ms() < end;)
        got += esp_poll(f->e, back + got, 1);
    for (int i = 0; i < 6; i++)
        assert_ptr_equal(back[i], list[i]);
    assert_int_equal(list[0]->status, ESP_STATUS_OK);
    assert_int_equal(list[1]->status, ESP_STATUS_BAD_DESC);
    assert_int_equal(list[2]->status, ESP_STATUS_BAD_DESC);
    assert_int_equal(list[3]->status, ESP_STATUS_TRUNCATED);
    assert_int_equal(list[4]->status, ESP_STATUS_SA_INVALID);
    assert_int_equal(list[5]->status, ESP_STATUS_OK);
    assert_true(list[5]->seq == 2);
    f->job[2].out -= 4;
}

static void test_delete_waits_for_the_jobs_of_its_sa(void **state)
{
    struct fixture *f = *state;
    struct esp_job *job, *late, *back;
    struct esp_event ev;

    add_pair(f);
    job = encap_job(f, 0, 40);
    assert_int_equal(esp_submit(f->e, &job, 1), 1);
    assert_int_equal(f->e->ops->sa_delete(f->e, f->tx), 0);
    assert_int_equal(f->e->ops->sa_delete(f->e, f->tx), -EINVAL);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(f->e->ops->events(f->e, &ev, 1), 0);
        nap();
    }
    late = encap_job(f, 1, 40);
    assert_int_equal(esp_submit(f->e, &late, 1), 1);
    while (esp_poll(f->e, &back, 1) == 0)
        nap();
    assert_ptr_equal(back, job);
    assert_int_equal(job->status, ESP_STATUS_OK);
    poll_one(f->e, late);
    assert_int_equal(late->status, ESP_STATUS_SA_DRAINING);
    ev = next_event(f->e);
    assert_int_equal(ev.type, ESP_EVENT_SA_DELETED);
    assert_int_equal(ev.stats.packets, 1);
}

static void test_an_sa_leaves_a_healthy_card_where_it_stands(void **state)
{
    struct fixture *f = *state;
    struct esp_endpoint to = {.dst = {10, 9, 9, 2}};
    struct esp_error err = {0};
    struct esp_event ev;

    add_pair(f);
    assert_int_equal(f->e->ops->sa_endpoint(f->e, f->tx, &to, &err), -EOPNOTSUPP);
    assert_non_null(strstr(err.text, "in place"));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(run_job(f->e, encap_job(f, 0, 40)), ESP_STATUS_OK);
        assert_int_equal(run_job(f->e, decap_job(f, 1, 7, (uint64_t)i * 2 + 1)), ESP_STATUS_OK);
    }
    assert_int_equal(f->e->ops->sa_delete(f->e, f->tx), 0);
    ev = next_event(f->e);
    assert_int_equal(ev.type, ESP_EVENT_SA_DELETED);
    assert_true(ev.next.seq == 4);
    assert_int_equal(f->e->ops->sa_delete(f->e, f->rx), 0);
    ev = next_event(f->e);
    assert_true(ev.next.seq == 5);
    assert_true(ev.next.seen[0] == 0x15); // 5, 3, 1
}

// The card says of a deleted SA that it used fewer numbers than it has shown, or more than it may.
static void test_a_lie_about_the_last_number_fails_the_card(void **unused)
{
    static const enum fake_fault lies[] = {FAKE_LAST_BEHIND, FAKE_LAST_BEYOND};
    void *state;

    (void)unused;
    for (unsigned i = 0; i < 2; i++) {
        struct fixture *f;
        struct esp_event ev;
        setup(&state);
        f = state;
        add_pair(f);
        assert_int_equal(run_job(f->e, encap_job(f, 0, 40)), ESP_STATUS_OK);
        fake_card_fault(f->card, lies[i]);
        assert_int_equal(f->e->ops->sa_delete(f->e, f->tx), 0);
        ev = next_event(f->e);
        assert_int_equal(ev.type, ESP_EVENT_FAILED);
        assert_non_null(strstr(ev.error.text, "DELETE"));
        teardown(&state);
    }
}

static int sleep_on(struct esp_engine *e, int ms)
{
    struct pollfd p = {.fd = e->fd, .events = POLLIN};

    return poll(&p, 1, ms);
}

static void test_sleeping_until_the_interrupt(void **state)
{
    struct fixture *f = *state;
    struct esp_job *job, *back;

    add_pair(f);
    for (int i = 0; i < 20; i++) {
        unsigned got = 0;
        job = encap_job(f, 0, 40);
        assert_int_equal(esp_submit(f->e, &job, 1), 1);
        while (got == 0) {
            if (!esp_arm(f->e))
                assert_int_equal(sleep_on(f->e, 5000), 1);
            got = esp_poll(f->e, &back, 1);
        }
        assert_ptr_equal(back, job);
    }
    while (esp_arm(f->e))
        ;
    assert_int_equal(sleep_on(f->e, 20), 0); // nothing to do: no spinning
}

// Ticks as a caller would until the failure is told; jobs are submitted before.
static struct esp_event wait_failed(struct fixture *f)
{
    uint64_t end = now_ms() + 5000;
    struct esp_event ev;

    while (f->e->ops->events(f->e, &ev, 1) == 0) {
        struct esp_job *back;
        if (now_ms() > end)
            fail_msg("the failure was not found within 5 s");
        f->e->ops->tick(f->e, now_ms());
        if (esp_poll(f->e, &back, 1) && back->status == ESP_STATUS_OK && back->op == ESP_ENCAP)
            fail_msg("a job of a lying card came back as OK with sequence %llu",
                     (unsigned long long)back->seq);
        nap();
    }
    assert_int_equal(ev.type, ESP_EVENT_FAILED);
    assert_true(ev.error.text[0]);
    return ev;
}

// Three good encapsulations and decapsulations, then the fault with jobs outstanding.
static struct esp_event provoke(struct fixture *f, enum fake_fault fault, const char *word)
{
    struct esp_job *list[8];
    struct esp_event ev;

    add_pair(f);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(run_job(f->e, encap_job(f, 0, 40)), ESP_STATUS_OK);
        assert_int_equal(run_job(f->e, decap_job(f, 1, 7, (uint64_t)i * 2 + 1)), ESP_STATUS_OK);
    }
    fake_card_fault(f->card, fault);
    for (int i = 0; i < 8; i++)
        list[i] = i % 2 ? decap_job(f, i, 7, 20 + (uint64_t)i) : encap_job(f, i, 40);
    assert_true(esp_submit(f->e, list, 8) <= 8);
    ev = wait_failed(f);
    if (!strstr(ev.error.text, word))
        fail_msg("\"%s\" does not say \"%s\"", ev.error.text, word);
    return ev;
}

static void check_after_failure(struct fixture *f)
{
    struct esp_sa_params out = params(ESP_OUT, 7), in = params(ESP_IN, 7);
    struct esp_job *job = encap_job(f, 0, 40), *back;
    struct esp_error err;
    struct esp_sa *sa;

    while (esp_poll(f->e, &back, 1))
        assert_int_equal(back->status, ESP_STATUS_ABORTED);
    assert_int_equal(esp_submit(f->e, &job, 1), 0);
    assert_int_equal(f->e->ops->sa_add(f->e, &out, NULL, &sa, &err), -ENODEV);
    assert_int_equal(f->e->ops->sa_handover(f->e, f->tx, &out), 0);
    assert_true(out.seq == 1000); // the lease's end, whatever was used of it
    assert_int_equal(f->e->ops->sa_handover(f->e, f->rx, &in), 0);
    assert_true(in.seq == 5);
    assert_true(in.seen[0] == 0x15); // 5, 3, 1: exactly what poll has returned
    assert_false(esp_arm(f->e));
    assert_int_equal(sleep_on(f->e, 20), 0);
}

static void test_nonsense_completions_fail_the_card(void **unused)
{
    static const struct {
        enum fake_fault fault;
        const char *word;
    } cases[] = {
        {FAKE_BAD_COOKIE, "cookie"},  {FAKE_BAD_EPOCH, "epoch"},    {FAKE_BAD_LENGTH, "length"},
        {FAKE_BAD_HEAD, "consumed"},  {FAKE_BAD_STATUS, "status"},  {FAKE_BAD_SLOT, "SA"},
        {FAKE_REPEAT_SEQ, "repeats"}, {FAKE_BEYOND_LEASE, "lease"},
    };

    void *state;

    (void)unused;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        setup(&state);
        provoke(state, cases[i].fault, cases[i].word);
        assert_false(fake_card_master(((struct fixture *)state)->card));
        check_after_failure(state);
        teardown(&state);
    }
}

static void test_second_pass_of_a_sequence_fails_the_card(void **state)
{
    struct fixture *f = *state;
    struct esp_job *job;

    add_pair(f);
    assert_int_equal(run_job(f->e, decap_job(f, 0, 7, 1)), ESP_STATUS_OK);
    fake_card_fault(f->card, FAKE_SEEN_TWICE);
    job = decap_job(f, 1, 7, 9);
    esp_submit(f->e, &job, 1);
    assert_non_null(strstr(wait_failed(f).error.text, "second time"));
}

// Such a number would close the window of the engine that takes the SA over.
static void test_a_number_that_cannot_be_received_fails_the_card(void **unused)
{
    static const struct {
        bool esn;
        enum fake_fault fault;
        const char *word;
    } cases[] = {{false, FAKE_WIDE_SEQ, "32 bits"},
                 {true, FAKE_WIDE_SEQ, "2^32"},
                 {false, FAKE_ZERO_SEQ, "number 0"},
                 {true, FAKE_ZERO_SEQ, "number 0"}};
    void *state;

    (void)unused;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct esp_sa_params in = params(ESP_IN, 7);
        struct esp_job *job;
        struct fixture *f;

        setup(&state);
        f = state;
        in.esn = cases[i].esn;
        f->rx = must_add(f->e, &in);
        assert_int_equal(run_job(f->e, decap_job(f, 0, 7, 5)), ESP_STATUS_OK);
        fake_card_fault(f->card, cases[i].fault);
        job = decap_job(f, 1, 7, 9);
        esp_submit(f->e, &job, 1);
        assert_non_null(strstr(wait_failed(f).error.text, cases[i].word));
        in = params(ESP_IN, 7);
        assert_int_equal(f->e->ops->sa_handover(f->e, f->rx, &in), 0);
        assert_true(in.seq == 5);
        teardown(&state);
    }
}

static void test_unasked_completion_fails_the_card(void **state)
{
    struct fixture *f = *state;
    struct esp_job *job;

    add_pair(f);
    fake_card_fault(f->card, FAKE_SPURIOUS);
    job = encap_job(f, 0, 40);
    esp_submit(f->e, &job, 1);
    poll_one(f->e, job);
    assert_int_equal(job->status, ESP_STATUS_OK);
    job = encap_job(f, 0, 40);
    esp_submit(f->e, &job, 1);
    assert_non_null(strstr(wait_failed(f).error.text, "cookie"));
}

static void test_dead_and_hanging_cards_are_found(void **unused)
{
    static const struct {
        enum fake_fault fault;
        const char *word;
    } cases[] = {
        {FAKE_HOLD, "hangs"},
        {FAKE_FREEZE, "stands still"},
        {FAKE_ALL_ONES, "all ones"},
        {FAKE_HANG_UP, "gone"},
    };

    void *state;

    (void)unused;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture *f;
        struct esp_job *list[8], *back[8];
        unsigned got = 0;

        setup(&state);
        f = state;
        add_pair(f);
        for (int k = 0; k < 3; k++)
            assert_int_equal(run_job(f->e, decap_job(f, 1, 7, (uint64_t)k * 2 + 1)), ESP_STATUS_OK);
        fake_card_fault(f->card, FAKE_HOLD);
        for (int k = 0; k < 8; k++)
            list[k] = k % 3 ? decap_job(f, k, 7, 20 + (uint64_t)k) : encap_job(f, k, 40);
        assert_int_equal(esp_submit(f->e, list, 8), 8);
        sync_card(f);
        fake_card_fault(f->card, cases[i].fault);
        for (uint64_t end = now_ms() + 5000; got < 8; nap()) {
            if (now_ms() > end)
                fail_msg("case %u: %u of 8 jobs came back", i, got);
            f->e->ops->tick(f->e, now_ms());
            got += esp_poll(f->e, back + got, 8 - got);
        }
        for (int k = 0; k < 8; k++) {
            assert_ptr_equal(back[k], list[k]); // in order of submission, over both queues
            assert_int_equal(back[k]->status, ESP_STATUS_ABORTED);
        }
        struct esp_event ev = next_event(f->e);
        assert_int_equal(ev.type, ESP_EVENT_FAILED);
        if (!strstr(ev.error.text, cases[i].word))
            fail_msg("\"%s\" does not say \"%s\"", ev.error.text, cases[i].word);
        check_after_failure(f);
        teardown(&state);
    }
}

// Its clock still ran when the watch first saw the work stand, and only then stood still itself.
static void test_a_clock_that_stops_later_than_the_work_is_found(void **state)
{
    struct fixture *f = *state;
    struct esp_job *job;

    add_pair(f);
    fake_card_fault(f->card, FAKE_FREEZE_LATER);
    job = encap_job(f, 0, 40);
    assert_int_equal(esp_submit(f->e, &job, 1), 1);
    assert_non_null(strstr(wait_failed(f).error.text, "stands still"));
}

static void test_fatal_and_foreign_reset_are_found_when_idle(void **unused)
{
    static const struct {
        enum fake_fault fault;
        const char *word;
    } cases[] = {{FAKE_FATAL, "FATAL"},
                 {FAKE_RESET, "EPOCH"},
                 {FAKE_ALL_ONES, "all ones"},
                 {FAKE_ONES_LATER, "all ones"}};

    void *state;

    (void)unused;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture *f;

        setup(&state);
        f = state;
        fake_card_fault(f->card, cases[i].fault);
        assert_non_null(strstr(wait_failed(f).error.text, cases[i].word));
        teardown(&state);
    }
}

static void test_hang_up_of_an_idle_card_wakes_the_sleeper(void **state)
{
    struct fixture *f = *state;
    struct esp_event ev;

    while (esp_arm(f->e))
        ;
    fake_card_fault(f->card, FAKE_HANG_UP);
    assert_int_equal(sleep_on(f->e, 2000), 1);
    assert_int_equal(f->e->ops->events(f->e, &ev, 1), 1);
    assert_int_equal(ev.type, ESP_EVENT_FAILED);
    assert_true(ev.silent);
}

static void test_mute_card_cannot_be_shown_silent(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params out = params(ESP_OUT, 7), in = params(ESP_IN, 7);
    uint64_t start;
    struct esp_event ev;

    add_pair(f);
    fake_card_fault(f->card, FAKE_MUTE);
    start = now_ms();
    ev = wait_failed(f);
    assert_in_range(now_ms() - start, 0, 4000);
    assert_non_null(strstr(ev.error.text, "could not be shown silent"));
    assert_int_equal(f->e->ops->sa_handover(f->e, f->tx, &out), -EINVAL);
    assert_int_equal(f->e->ops->sa_handover(f->e, f->rx, &in), 0);
}

// The card has stopped answering: whoever uses the engine is never made to wait for it, whatever he calls.
static void test_no_call_waits_for_a_mute_card(void **state)
{
    struct fixture *f = *state;
    uint64_t longest = 0, end = now_ms() + 6000;
    struct esp_event ev = {.type = ESP_EVENT_SA_ADDED};
    char buf[4096];

    add_pair(f);
    fake_card_fault(f->card, FAKE_MUTE);
    for (int i = 0; ev.type != ESP_EVENT_FAILED && now_ms() < end; i++) {
        struct esp_job *job = encap_job(f, i % MANY, 40), *back;
        uint64_t from = now_ms();
        esp_submit(f->e, &job, 1);
        while (esp_poll(f->e, &back, 1))
            ;
        (void)esp_arm(f->e);
        f->e->ops->tick(f->e, now_ms());
        (void)f->e->ops->counters(f->e, buf, sizeof(buf));
        (void)f->e->ops->events(f->e, &ev, 1);
        from = now_ms() - from;
        longest = from > longest ? from : longest;
        nap();
    }
    assert_int_equal(ev.type, ESP_EVENT_FAILED);
    assert_false(ev.silent);
    assert_in_range(longest, 0,
                    300); // the bus waits a second for an answer, and did so in the caller's thread
}

// Decapsulation goes on, so the card as a whole moves: the queue that stands still is found all the same.
static void test_a_queue_that_stands_still_is_found_while_the_other_moves(void **state)
{
    struct fixture *f = *state;
    struct esp_job *job, *back;
    struct esp_event ev = {.type = ESP_EVENT_SA_ADDED};
    uint64_t seq = 1;

    add_pair(f);
    fake_card_fault(f->card, FAKE_HOLD_ENCAP);
    job = encap_job(f, 0, 40);
    assert_int_equal(esp_submit(f->e, &job, 1), 1);
    for (uint64_t end = now_ms() + 5000; ev.type != ESP_EVENT_FAILED;) {
        if (now_ms() > end)
            fail_msg("%u decapsulations later the stuck queue was not found", (unsigned)seq);
        job = decap_job(f, 1, 7, seq++);
        esp_submit(f->e, &job, 1);
        while (esp_poll(f->e, &back, 1) == 0 && f->e->ops->events(f->e, &ev, 1) == 0)
            nap();
    }
    if (!strstr(ev.error.text, "hangs: queue 1"))
        fail_msg("\"%s\" does not say \"hangs: queue 1\"", ev.error.text);
    assert_true(seq > 3);
}

static void test_sleeping_asks_the_bus_nothing(void **state)
{
    struct fixture *f = *state;
    struct bus *bus = ((struct card *)f->e)->bus;
    const struct bus_ops *real = bus->ops;
    struct bus_ops blind = *real;

    blind.dead = NULL; // a look would end the test
    blind.read = NULL;
    sync_card(f);
    while (esp_arm(f->e))
        ;
    pthread_mutex_lock(&((struct card *)f->e)->control); // the card's own thread stands aside
    bus->ops = &blind;
    for (int i = 0; i < 100; i++)
        assert_false(esp_arm(f->e));
    bus->ops = real;
    pthread_mutex_unlock(&((struct card *)f->e)->control);
}

static void test_handover_without_a_lease_is_refused(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params p = params(ESP_OUT, 7), q = p;

    p.seq_limit = UINT64_MAX;
    f->tx = must_add(f->e, &p);
    assert_int_equal(f->e->ops->sa_handover(f->e, f->tx, &q), -EINVAL); // it has not failed
    fake_card_fault(f->card, FAKE_HANG_UP);
    wait_failed(f);
    assert_int_equal(f->e->ops->sa_handover(f->e, f->tx, &q), -EINVAL);
}

// Submits n packets and takes them all back, in order.
static void there_and_back(struct fixture *f, int n)
{
    struct esp_job *jobs[MANY], *back[MANY] = {NULL};
    int done = 0;

    for (int i = 0; i < n; i++)
        jobs[i] = encap_job(f, i, 100);
    for (int sent = 0; sent < n;) {
        sent += (int)esp_submit(f->e, jobs + sent, (unsigned)(n - sent));
        nap();
    }
    for (uint64_t end = now_ms() + 5000; done < n && now_ms() < end; nap())
        done += (int)esp_poll(f->e, back + done, (unsigned)(n - done));
    assert_int_equal(done, n);
    for (int i = 0; i < n; i++)
        assert_ptr_equal(back[i], jobs[i]);
}

static void test_a_queue_that_the_card_stops_fails_alone(void **state)
{
    struct fixture *f = *state;
    struct esp_job *job, *back;
    struct esp_event ev;
    uint64_t last;

    add_pair(f);
    fake_card_fault(f->card, FAKE_STOP_ONCE);
    there_and_back(f, 10);
    for (int i = 0; i < 10; i++)
        assert_int_equal(f->job[i].status, i < 5 ? ESP_STATUS_OK : ESP_STATUS_ABORTED);
    last = f->job[4].seq;
    ev = next_event(f->e);
    assert_int_equal(ev.type, ESP_EVENT_QUEUE_RESET);
    assert_non_null(strstr(ev.error.text, "queue 1 had stopped: a bus error when the card read"));
    there_and_back(f, 20); // by the same SA, whose numbers go on
    for (int i = 0; i < 20; i++) {
        assert_int_equal(f->job[i].status, ESP_STATUS_OK);
        assert_true(f->job[i].seq > last);
        last = f->job[i].seq;
    }
    job = decap_job(f, 0, 7, 1);
    assert_int_equal(esp_submit(f->e, &job, 1), 1);
    for (uint64_t end = now_ms() + 5000; !esp_poll(f->e, &back, 1) && now_ms() < end;)
        nap();
    assert_int_equal(job->status, ESP_STATUS_OK);
    assert_int_equal(f->e->ops->sa_delete(f->e, f->tx), 0); // no job of it is missing
    ev = next_event(f->e);
    assert_int_equal(ev.type, ESP_EVENT_SA_DELETED);
    assert_int_equal(ev.next.seq, last + 1);
    assert_true(fake_card_master(f->card)); // and nobody has taken the card away
}

static void fails_by_queue(struct fixture *f, const char *text)
{
    struct esp_event ev;

    do
        ev = next_event(f->e);
    while (ev.type == ESP_EVENT_QUEUE_RESET);
    assert_int_equal(ev.type, ESP_EVENT_FAILED);
    if (!strstr(ev.error.text, text))
        fail_msg("\"%s\" does not say \"%s\"", ev.error.text, text);
}

static void test_a_queue_that_stops_again_and_again_is_the_cards_end(void **state)
{
    struct fixture *f = *state;

    add_pair(f);
    fake_card_fault(f->card, FAKE_STOP_ALWAYS);
    for (int i = 0; i < 5; i++)
        there_and_back(f, 4);
    fails_by_queue(f, "queue 1 has stopped 5 times");
}

static void test_a_stopped_queue_of_sa_commands_is_the_cards_end(void **state)
{
    struct fixture *f = *state;

    add_pair(f);
    fake_card_fault(f->card, FAKE_STOP_COMMANDS);
    assert_int_equal(f->e->ops->sa_query(f->e, f->tx), 0);
    fails_by_queue(f, "the queue of SA commands has stopped");
}

enum { DEADLINE_MS = 100, DEADLINE = DEADLINE_MS * 250000 };

// Its time is the test's: what the card's thread does happens in tick.
static void open_with_deadline(struct fixture *f, struct esp_engine **e)
{
    struct esp_card_options o = {.ring_log2 = 5, .no_thread = true, .deadline_ms = DEADLINE_MS};
    struct fake_options of = fake_default;
    struct esp_error err = {0};

    teardown_engine(f);
    of.features |= ESPC_FEATURES_OFFERED_DEADLINE_MASK;
    f->card = fake_card_start(&of);
    o.pci_sysfs = fake_card_sysfs(f->card);
    if (esp_card_open(e, &o, &err))
        fail_msg("open: %s: %s", err.field, err.text);
    assert_int_equal((*e)->ops->attach_pool(*e, f->pool, NULL), 0);
    add_pair(f);
}

static void test_deadlines_move_while_the_host_lives(void **state)
{
    struct fixture *f = *state;
    struct esp_event ev;
    uint64_t now = now_ms();

    open_with_deadline(f, &f->e);
    for (int i = 0; i < 40; i++) { // each look at the clock takes 4 million cycles
        f->e->ops->tick(f->e, now += 1000);
        there_and_back(f, 1);
        assert_int_equal(f->job[0].status, ESP_STATUS_OK);
    }
    assert_int_equal(f->e->ops->events(f->e, &ev, 1), 0); // the renewals are nobody's business
}

static void test_silent_host_finds_its_sa_stopped(void **state)
{
    struct fixture *f = *state;
    struct esp_event ev;

    open_with_deadline(f, &f->e);
    there_and_back(f, 3);
    fake_card_sleep(f->card, 2 * DEADLINE);
    there_and_back(f, 2);
    assert_int_equal(f->job[0].status, ESP_STATUS_LEASE_EXPIRED);
    assert_int_equal(f->job[1].status, ESP_STATUS_LEASE_EXPIRED);
    f->e->ops->tick(f->e, now_ms() + 1000); // it is too late to move the deadline
    ev = next_event(f->e);
    assert_int_equal(ev.type, ESP_EVENT_SA_LEASED);
    assert_int_equal(ev.status, ESP_STATUS_LEASE_EXPIRED);
    assert_ptr_equal(ev.sa, f->tx);
    assert_int_equal(f->e->ops->sa_delete(f->e, f->tx), 0);
    ev = next_event(f->e);
    assert_int_equal(ev.type, ESP_EVENT_SA_DELETED);
    assert_int_equal(ev.next.seq, 4); // and the next owner goes on where it was
}

static void test_extended_lease_counts_from_the_request_on(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params q = params(ESP_OUT, 7);

    add_pair(f);
    fake_card_fault(f->card, FAKE_HOLD);
    assert_int_equal(f->e->ops->sa_lease(f->e, f->tx, 5000), 0);
    fake_card_fault(f->card, FAKE_HANG_UP);
    wait_failed(f);
    assert_int_equal(f->e->ops->sa_handover(f->e, f->tx, &q), 0);
    assert_true(q.seq == 5000);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_refuses_what_it_does_not_know),
        cmocka_unit_test(test_open_without_a_card_is_enodev),
        cmocka_unit_test(test_open_waits_for_a_slow_card),
        cmocka_unit_test(test_minor_version_above_ours_is_accepted),
        T(test_sa_life_and_stats),
        T(test_key_memory_is_wiped_after_add),
        T(test_slots_run_out_and_come_back_with_a_new_generation),
        T(test_capable_says_why_not),
        T(test_rings_wrap_many_times_in_order),
        T(test_hot_path_reads_no_register),
        T(test_full_ring_takes_no_more),
        T(test_jobs_that_the_card_must_not_see_come_back_in_turn),
        T(test_delete_waits_for_the_jobs_of_its_sa),
        T(test_an_sa_leaves_a_healthy_card_where_it_stands),
        cmocka_unit_test(test_a_lie_about_the_last_number_fails_the_card),
        T(test_sleeping_until_the_interrupt),
        cmocka_unit_test(test_nonsense_completions_fail_the_card),
        T(test_second_pass_of_a_sequence_fails_the_card),
        T(test_unasked_completion_fails_the_card),
        cmocka_unit_test(test_dead_and_hanging_cards_are_found),
        cmocka_unit_test(test_a_number_that_cannot_be_received_fails_the_card),
        T(test_a_clock_that_stops_later_than_the_work_is_found),
        cmocka_unit_test(test_fatal_and_foreign_reset_are_found_when_idle),
        T(test_hang_up_of_an_idle_card_wakes_the_sleeper),
        T(test_mute_card_cannot_be_shown_silent),
        T(test_no_call_waits_for_a_mute_card),
        T(test_a_queue_that_stands_still_is_found_while_the_other_moves),
        T(test_sleeping_asks_the_bus_nothing),
        T(test_handover_without_a_lease_is_refused),
        T(test_extended_lease_counts_from_the_request_on),
        T(test_a_queue_that_the_card_stops_fails_alone),
        T(test_a_queue_that_stops_again_and_again_is_the_cards_end),
        T(test_a_stopped_queue_of_sa_commands_is_the_cards_end),
        T(test_deadlines_move_while_the_host_lives),
        T(test_silent_host_finds_its_sa_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
