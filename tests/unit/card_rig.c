// SPDX-License-Identifier: Apache-2.0
#include "card_rig.h"

#include <poll.h>

int rig_setup(void **state)
{
    return rig_setup_with(state, &fake_default);
}

int rig_setup_with(void **state, const struct fake_options *card)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct esp_card_options o = {0};
    struct esp_error err = {0};

    assert_non_null(f);
    *state = f;
    f->card = fake_card_start(card);
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

void rig_end(struct fixture *f)
{
    f->e->ops->destroy(f->e);
    for (uint64_t end = now_ms() + PATIENCE_MS; fake_card_master(f->card) && now_ms() < end;)
        nap(); // the end of a stream is seen in the card's own time
    assert_false(fake_card_master(f->card));
    fake_card_stop(f->card);
}

int rig_teardown(void **state)
{
    struct fixture *f = *state;

    rig_end(f);
    esp_pool_destroy(f->pool);
    free(f);
    return 0;
}

struct esp_sa_params card_params(enum esp_dir dir, uint32_t spi)
{
    struct esp_sa_params p = make_params(dir, ESP_ALG_AES128_GCM16, spi);

    memcpy(p.key, "\xde\xad\xbe\xef\x51\x52\x53\x54", 8); // what fake_card_saw_key looks for
    p.seq_limit = dir == ESP_OUT ? 1000 : p.seq_limit;
    return p;
}

void add_pair(struct fixture *f)
{
    struct esp_sa_params out = card_params(ESP_OUT, 7), in = card_params(ESP_IN, 7);

    f->tx = must_add(f->e, &out);
    f->rx = must_add(f->e, &in);
}

struct esp_job *encap_job(struct fixture *f, int i, uint32_t len)
{
    f->job[i].op = ESP_ENCAP;
    f->job[i].sa = f->tx;
    f->job[i].in_len = len;
    memset(f->job[i].in, i + 1, len);
    return &f->job[i];
}

struct esp_job *decap_job(struct fixture *f, int i, uint32_t spi, uint64_t seq)
{
    f->job[i].op = ESP_DECAP;
    f->job[i].sa = NULL;
    f->job[i].in_len = FAKE_PREFIX + 50;
    put_le32(f->job[i].in, spi);
    put_le64(f->job[i].in + 4, seq);
    memset(f->job[i].in + FAKE_PREFIX, i, 50);
    return &f->job[i];
}

unsigned snapshots(struct fixture *f)
{
    char buf[16384];
    const char *at;

    assert_in_range(f->e->ops->counters(f->e, buf, sizeof(buf)), 1, sizeof(buf) - 1);
    at = strstr(buf, "driver_snapshots ");
    assert_non_null(at);
    return (unsigned)atoi(at + strlen("driver_snapshots "));
}

// Acknowledged accesses, begun after this call: the card has seen every doorbell before them.
void sync_card(struct fixture *f)
{
    unsigned from = snapshots(f);

    for (uint64_t end = now_ms() + PATIENCE_MS; snapshots(f) < from + 2; nap())
        if (now_ms() > end)
            fail_msg("the card's counters were not read within %d s", PATIENCE_MS / 1000);
}

int sleep_on(struct esp_engine *e, int ms)
{
    struct pollfd p = {.fd = e->fd, .events = POLLIN};

    return poll(&p, 1, ms);
}

// Ticks as a caller would until the failure is told; jobs are submitted before.
struct esp_event wait_failed(struct fixture *f)
{
    uint64_t end = now_ms() + PATIENCE_MS;
    struct esp_event ev;

    while (f->e->ops->events(f->e, &ev, 1) == 0) {
        struct esp_job *back;
        if (now_ms() > end)
            fail_msg("the failure was not found within %d s", PATIENCE_MS / 1000);
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

// Submits n packets and takes them all back, in order.
void there_and_back(struct fixture *f, int n)
{
    struct esp_job *jobs[MANY], *back[MANY] = {NULL};
    int done = 0;

    for (int i = 0; i < n; i++)
        jobs[i] = encap_job(f, i, 100);
    for (int sent = 0; sent < n;) {
        sent += (int)esp_submit(f->e, jobs + sent, (unsigned)(n - sent));
        nap();
    }
    for (uint64_t end = now_ms() + PATIENCE_MS; done < n && now_ms() < end; nap())
        done += (int)esp_poll(f->e, back + done, (unsigned)(n - done));
    assert_int_equal(done, n);
    for (int i = 0; i < n; i++)
        assert_ptr_equal(back[i], jobs[i]);
}
