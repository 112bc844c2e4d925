// SPDX-License-Identifier: Apache-2.0
// The card engine against a card made of C that is well: opening and refusing, SAs, packets through the
// rings, sleeping.
#include "card_rig.h"

#include <errno.h>
#include <poll.h>

#include "driver/card/card.h"

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

static void test_open_without_a_card_says_why(void **state)
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
    assert_int_equal(esp_card_open(&e, &opt, &err), -ENXIO);
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

// What would fail in use is found before anything depends on it, and by name.
static void test_open_refuses_a_card_that_does_not_work(void **unused)
{
    static const struct {
        enum fake_fault fault;
        const char *field, *word;
    } cases[] = {{FAKE_HOLD, "self-test", "hangs: queue 0"},
                 {FAKE_HOLD_ENCAP, "self-test", "hangs: queue 1"},
                 {FAKE_FREEZE, "self-test", "stands still"},
                 {FAKE_BAD_COOKIE, "self-test", "cookie"},
                 {FAKE_BAD_HEAD, "self-test", "consumed"},
                 {FAKE_SPURIOUS, "self-test", "cookie"},
                 {FAKE_PART, "self-test", "whole"},
                 {FAKE_NO_DMA, "self-test", "could not read"},
                 {FAKE_LAST_BEYOND, "self-test", "last sequence number"},
                 {FAKE_FATAL, NULL, "FATAL"},
                 {FAKE_RESET_ENABLE, NULL, "reset while it was being set up"}};

    (void)unused;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fake_card *card = fake_card_start(&fake_default);
        struct esp_card_options o = {.pci_sysfs = fake_card_sysfs(card), .ring_log2 = 5};
        struct esp_error err = {0};
        struct esp_engine *e = NULL;

        fake_card_fault(card, cases[i].fault);
        assert_true(esp_card_open(&e, &o, &err) < 0);
        assert_null(e);
        if (!strstr(err.text, cases[i].word) || (cases[i].field && strcmp(err.field, cases[i].field) != 0))
            fail_msg("case %u: \"%s: %s\" does not say \"%s\"", i, err.field, err.text, cases[i].word);
        for (uint64_t end = now_ms() + PATIENCE_MS; fake_card_master(card) && now_ms() < end;)
            nap();
        assert_false(fake_card_master(card));
        fake_card_fault(card, FAKE_GOOD); // and once it is well it is taken
        if (esp_card_open(&e, &o, &err))
            fail_msg("case %u: %s: %s", i, err.field, err.text);
        e->ops->destroy(e);
        fake_card_stop(card);
    }
}

struct mind {
    atomic_bool give_up, heard;
};

// For three seconds at most: whoever asks later, at the end of a wait of five, is not told.
static void *change_its_mind(void *ctx)
{
    struct mind *m = ctx;

    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    atomic_store(&m->give_up, true);
    for (uint64_t end = now_ms() + 3000; !atomic_load(&m->heard) && now_ms() < end;)
        nap();
    atomic_store(&m->give_up, false);
    return NULL;
}

// Whoever opens a card may change his mind, whatever the card keeps him waiting for.
static void test_opening_is_given_up(void **unused)
{
    static const enum fake_fault cases[] = {FAKE_NEVER_READY, FAKE_HOLD, FAKE_HOLD_ENCAP};
    struct fake_options fo = fake_default;

    (void)unused;
    fo.look = 1; // its clock hardly moves, so that no hang is found
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fake_card *card = fake_card_start(&fo);
        struct mind mind = {false, false};
        struct esp_card_options o = {.pci_sysfs = fake_card_sysfs(card), .give_up = &mind.give_up};
        struct esp_error err = {0};
        struct esp_engine *e = NULL;
        pthread_t t;

        fake_card_fault(card, cases[i]);
        assert_int_equal(pthread_create(&t, NULL, change_its_mind, &mind), 0);
        assert_int_equal(esp_card_open(&e, &o, &err), -ECANCELED);
        atomic_store(&mind.heard, true);
        assert_non_null(strstr(err.text, "given up"));
        assert_null(e);
        pthread_join(t, NULL);
        fake_card_stop(card);
    }
}

// The smallest rings that there are hold four.
static void test_the_self_test_leaves_no_trace(void **unused)
{
    struct fake_card *card = fake_card_start(&fake_default);
    struct esp_card_options o = {.pci_sysfs = fake_card_sysfs(card), .ring_log2 = 2};
    struct esp_error err = {0};
    struct esp_engine *e;
    struct esp_event ev;
    char buf[4096];

    (void)unused;
    if (esp_card_open(&e, &o, &err))
        fail_msg("open: %s: %s", err.field, err.text);
    assert_int_equal(e->ops->events(e, &ev, 1), 0);
    assert_in_range(e->ops->counters(e, buf, sizeof(buf)), 1, sizeof(buf) - 1);
    assert_non_null(strstr(buf, "driver_jobs 0\n"));
    assert_non_null(strstr(buf, "driver_completions 0\n"));
    assert_int_equal(((struct card *)e)->pools, 0);
    assert_null(((struct card *)e)->all);
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

// A card of an earlier minor version, before ESN, replay windows, deadlines and new ends in place: what it
// offers is used, what it lacks is refused by name, and nothing of it is asked of the card.
static void test_minor_version_below_ours_is_used_by_what_it_offers(void **unused)
{
    static const struct {
        bool esn;
        uint32_t window;
        const char *lacks; // NULL: it can
    } cases[] = {{false, 0, NULL}, {true, 64, "extended sequence"}, {false, 64, "window"}};
    const struct esp_endpoint to = {.dst = {192, 0, 2, 9}};
    struct fake_options o = fake_default;
    struct esp_capabilities caps;
    struct esp_error err = {0};
    struct fixture *f;
    void *state;

    (void)unused;
    o.abi = ESPC_ABI_MAJOR << 16;
    o.features = ESPC_FEATURES_OFFERED_AES128_GCM16_MASK | ESPC_FEATURES_OFFERED_TUNNEL_MASK |
                 ESPC_FEATURES_OFFERED_OUTER_IPV4_MASK | ESPC_FEATURES_OFFERED_INNER_IPV4_MASK |
                 ESPC_FEATURES_OFFERED_LOOKASIDE_MASK;
    rig_setup_with(&state, &o);
    f = state;
    f->e->ops->capabilities(f->e, &caps);
    assert_int_equal(caps.algs, 1u << ESP_ALG_AES128_GCM16);
    assert_int_equal(caps.flags, ESP_CAP_LOOKASIDE);
    assert_int_equal(caps.window_max, 0);
    assert_int_equal(caps.modes, 1u << ESP_TUNNEL);
    assert_int_equal(((struct card *)f->e)->deadline, 0);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct esp_sa_params in = card_params(ESP_IN, 7);
        in.esn = cases[i].esn;
        in.window = cases[i].window;
        int rc = f->e->ops->capable(f->e, &in, &err);
        assert_int_equal(rc, cases[i].lacks ? -EOPNOTSUPP : 0);
        if (cases[i].lacks && !strcasestr(err.text, cases[i].lacks))
            fail_msg("\"%s: %s\" does not name %s", err.field, err.text, cases[i].lacks);
    }
    struct esp_sa_params out = card_params(ESP_OUT, 7);
    out.mode = ESP_TRANSPORT;
    assert_int_equal(f->e->ops->capable(f->e, &out, &err), -EOPNOTSUPP);
    assert_non_null(strstr(err.text, "transport mode"));
    out.mode = ESP_TUNNEL;
    f->tx = must_add(f->e, &out);
    assert_int_equal(run_job(f->e, encap_job(f, 0, 100)), ESP_STATUS_OK);
    assert_int_equal(f->e->ops->sa_endpoint(f->e, f->tx, &to, &err), -EOPNOTSUPP);
    rig_teardown(&state);
}

// A card that offers it has transport mode, but not in UDP, from the beginning or later.
static void test_transport_mode_is_asked_of_the_card_as_it_is_but_not_in_udp(void **unused)
{
    struct fake_options o = fake_default;
    struct fixture *f;
    void *state;

    (void)unused;
    o.features |= ESPC_FEATURES_OFFERED_ENDPOINT_MASK;
    rig_setup_with(&state, &o);
    f = state;
    for (int dir = ESP_OUT; dir <= ESP_IN; dir++) {
        struct esp_sa_params p = card_params(dir, 7), tunnel = card_params(dir, 8);
        struct esp_endpoint to = {.dst = {192, 0, 2, 9}, .sport = 4500, .dport = 4500};
        struct esp_error err = {0};
        struct esp_sa *sa[2];

        p.mode = ESP_TRANSPORT;
        p.ttl = 0; // its packets have their own
        p.sport = p.dport = 4500;
        p.udp_encap = true;
        assert_int_equal(f->e->ops->capable(f->e, &p, &err), -EOPNOTSUPP);
        assert_string_equal(err.field, "udp_encap");
        assert_non_null(strstr(err.text, "transport mode"));
        assert_int_equal(f->e->ops->sa_add(f->e, &p, NULL, &sa[0], &err), -EOPNOTSUPP);
        p.udp_encap = false;
        assert_int_equal(f->e->ops->capable(f->e, &p, &err), 0);
        sa[0] = must_add(f->e, &p);
        sa[1] = must_add(f->e, &tunnel);
        assert_int_equal(fake_card_shape(f->card, dir, 7), ESPC_SA_MODE_TRANSPORT | ESPC_FAMILY_IPV4 << 8);
        assert_int_equal(fake_card_shape(f->card, dir, 8),
                         ESPC_SA_MODE_TUNNEL | ESPC_FAMILY_IPV4 << 8 | ESPC_FAMILY_IPV4 << 16);
        assert_int_equal(f->e->ops->sa_endpoint(f->e, sa[0], &to, &err), 0);
        to.udp_encap = true;
        assert_int_equal(f->e->ops->sa_endpoint(f->e, sa[0], &to, &err), -EOPNOTSUPP);
        assert_non_null(strstr(err.text, "transport mode"));
        assert_int_equal(f->e->ops->sa_endpoint(f->e, sa[1], &to, &err), 0);
        for (int i = 0; i < 2; i++)
            must_delete(f->e, sa[i]);
    }
    rig_teardown(&state);
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
    struct esp_sa_params p = card_params(ESP_OUT, 9);
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
    struct esp_sa_params p = card_params(ESP_OUT, 9);
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

// What a ring of commands has no room for waits in line, whatever its length: SAs stay where they are until
// the last command that names them is answered.
static void test_more_commands_than_a_ring_holds_wait_in_line(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params p = card_params(ESP_OUT, 9);
    struct esp_sa *sa[64];
    unsigned asked = 0, answered = 0, deleted = 0;

    for (int i = 0; i < 64; i++)
        sa[i] = must_add(f->e, &p);
    for (int i = 0; i < 64 * 10; i++) // no answer is taken meanwhile, so that none makes room
        asked += f->e->ops->sa_query(f->e, sa[i % 64]) == 0;
    assert_int_equal(asked, 640); // CARD_COMMAND_LOG2: 256
    for (int i = 0; i < 64; i++)
        assert_int_equal(f->e->ops->sa_delete(f->e, sa[i]), 0);
    while (deleted < 64) {
        struct esp_event ev = next_event(f->e);
        int i = 0;
        while (i < 64 && sa[i] != ev.sa)
            i++;
        if (i == 64)
            fail_msg("event %d after %u answers, %u deletions: %s", ev.type, answered, deleted,
                     ev.error.text);
        if (ev.type == ESP_EVENT_SA_DELETED) {
            sa[i] = NULL;
            deleted++;
        } else {
            assert_int_equal(ev.type, ESP_EVENT_SA_STATS);
            answered++;
        }
    }
    assert_int_equal(answered, asked);
}

static void test_capable_says_why_not(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params p = card_params(ESP_OUT, 9);
    struct esp_error why = {0};

    assert_int_equal(f->e->ops->capable(f->e, &p, &why), 0);
    p.alg = ESP_ALG_CHACHA20_POLY1305;
    assert_int_equal(f->e->ops->capable(f->e, &p, &why), -EOPNOTSUPP);
    assert_string_equal(why.field, "alg");
    assert_non_null(strstr(why.text, "chacha20poly1305"));
    p = card_params(ESP_OUT, 9);
    p.ipv6 = true;
    assert_int_equal(f->e->ops->capable(f->e, &p, &why), -EOPNOTSUPP);
    assert_string_equal(why.field, "ipv6");
    p = card_params(ESP_OUT, 9);
    p.tfc = 1400;
    assert_int_equal(f->e->ops->capable(f->e, &p, &why), -EOPNOTSUPP);
    assert_string_equal(why.text, "the card does not offer TFC padding");
}

// What an operator reads beside `software`: of each algorithm the one that the card lacks, by the name that
// proposals have.
static void test_the_card_names_each_algorithm_that_it_does_not_offer(void **state)
{
    struct fixture *f = *state;
    struct esp_error why;

    for (int alg = ESP_ALG_NONE + 1; alg < ESP_ALG_COUNT; alg++) {
        struct esp_sa_params p = make_params(ESP_OUT, (enum esp_alg)alg, 9);
        bool offered = alg == ESP_ALG_AES128_GCM16 || alg == ESP_ALG_AES256_GCM16;
        char want[80];
        memset(&why, 0, sizeof(why));
        assert_int_equal(f->e->ops->capable(f->e, &p, &why), offered ? 0 : -EOPNOTSUPP);
        snprintf(want, sizeof(want), "the card does not offer %s", esp_alg_name((enum esp_alg)alg));
        if (!offered)
            assert_string_equal(why.text, want);
    }
    struct esp_sa_params ah = make_params(ESP_OUT, ESP_ALG_NONE, 9);
    ah.protocol = ESP_PROTOCOL_AH;
    ah.integ = ESP_INTEG_HMAC_SHA256_128;
    assert_int_equal(f->e->ops->capable(f->e, &ah, &why), -EOPNOTSUPP);
    assert_string_equal(why.text, "the card does not offer AH");
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
        for (uint64_t end = now_ms() + PATIENCE_MS; got < batch && now_ms() < end;)
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
    for (uint64_t end = now_ms() + PATIENCE_MS; got < 1 && now_ms() < end;)
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
    for (uint64_t end = now_ms() + PATIENCE_MS; got < 6 && now_ms() < end;)
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
        rig_setup(&state);
        f = state;
        add_pair(f);
        assert_int_equal(run_job(f->e, encap_job(f, 0, 40)), ESP_STATUS_OK);
        fake_card_fault(f->card, lies[i]);
        assert_int_equal(f->e->ops->sa_delete(f->e, f->tx), 0);
        ev = next_event(f->e);
        assert_int_equal(ev.type, ESP_EVENT_FAILED);
        assert_non_null(strstr(ev.error.text, "DELETE"));
        rig_teardown(&state);
    }
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

enum { CHURN = 10000, AT_ONCE = 8, ROUNDS = 10, CPU_NS = 20000 };
enum { EACH_ROUND = 2 * CHURN / ROUNDS };

static uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void await(struct fixture *f, enum esp_event_type type)
{
    for (unsigned n = 0; n < AT_ONCE;) {
        struct esp_event ev[AT_ONCE];
        unsigned got = f->e->ops->events(f->e, ev, AT_ONCE);

        for (unsigned i = 0; i < got; i++)
            assert_int_equal(ev[i].type, type);
        n += got;
        if (n < AT_ONCE && !esp_arm(f->e))
            assert_int_equal(sleep_on(f->e, PATIENCE_MS), 1);
    }
}

static void add_and_delete(struct fixture *f)
{
    struct esp_sa *sa[AT_ONCE];
    struct esp_error err = {0};

    for (uint32_t i = 0; i < AT_ONCE; i++) {
        struct esp_sa_params p = card_params(i & 1 ? ESP_IN : ESP_OUT, 100 + i);
        if (f->e->ops->sa_add(f->e, &p, NULL, &sa[i], &err))
            fail_msg("sa_add: %s: %s", err.field, err.text);
    }
    await(f, ESP_EVENT_SA_ADDED);
    for (unsigned i = 0; i < AT_ONCE; i++)
        assert_int_equal(f->e->ops->sa_delete(f->e, sa[i]), 0);
    await(f, ESP_EVENT_SA_DELETED);
}

static int by_size(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

// All that the host's thread does for them: blobs, commands, doorbells, sleeping, answers. Beside it packets
// of another SA go.
static void test_adds_and_deletes_cost_the_host_little(void **state)
{
    struct fixture *f = *state;
    uint64_t round[ROUNDS] = {0}, all = 0;

    add_pair(f);
    for (unsigned r = 0; r < ROUNDS; r++) {
        for (unsigned done = 0; done < CHURN / ROUNDS; done += AT_ONCE) {
            uint64_t from = cpu_ns();
            add_and_delete(f);
            round[r] += cpu_ns() - from;
            if (done % (4 * AT_ONCE) == 0)
                there_and_back(f, 2);
        }
        all += round[r];
    }
    qsort(round, ROUNDS, sizeof(round[0]), by_size);
    uint64_t median = round[ROUNDS / 2] / EACH_ROUND;
    print_message("%u adds and as many deletes: %.1f us of CPU time each, in the median round %.1f\n", CHURN,
                  (double)all / (2 * CHURN) / 1e3, (double)median / 1e3);
#ifndef __SANITIZE_ADDRESS__
    assert_true(median <= CPU_NS);
#endif
}

#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_refuses_what_it_does_not_know),
        cmocka_unit_test(test_open_without_a_card_says_why),
        cmocka_unit_test(test_open_waits_for_a_slow_card),
        cmocka_unit_test(test_open_refuses_a_card_that_does_not_work),
        cmocka_unit_test(test_opening_is_given_up),
        cmocka_unit_test(test_the_self_test_leaves_no_trace),
        cmocka_unit_test(test_minor_version_above_ours_is_accepted),
        cmocka_unit_test(test_minor_version_below_ours_is_used_by_what_it_offers),
        cmocka_unit_test(test_transport_mode_is_asked_of_the_card_as_it_is_but_not_in_udp),
        T(test_sa_life_and_stats),
        T(test_key_memory_is_wiped_after_add),
        T(test_slots_run_out_and_come_back_with_a_new_generation),
        T(test_more_commands_than_a_ring_holds_wait_in_line),
        T(test_capable_says_why_not),
        T(test_the_card_names_each_algorithm_that_it_does_not_offer),
        T(test_rings_wrap_many_times_in_order),
        T(test_hot_path_reads_no_register),
        T(test_full_ring_takes_no_more),
        T(test_jobs_that_the_card_must_not_see_come_back_in_turn),
        T(test_delete_waits_for_the_jobs_of_its_sa),
        T(test_an_sa_leaves_a_healthy_card_where_it_stands),
        cmocka_unit_test(test_a_lie_about_the_last_number_fails_the_card),
        T(test_sleeping_until_the_interrupt),
        T(test_adds_and_deletes_cost_the_host_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
