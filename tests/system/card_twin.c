// SPDX-License-Identifier: Apache-2.0
// The card (espalier-card as a process, under the driver's card engine) and the software engine as twins:
// random SAs and packets, many of them broken, must get the same verdict, sequence and bytes from both. And
// the card killed under load: the software engine goes on at the lease's end, every packet comes out once, no
// sequence number is used twice.
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "driver/soft/aead.h"
#include "tests/unit/drv_util.h"
#include "tests/system/card_process.h"

enum { BUFFERS = 512, BUFFER = 2048, BATCH = 64, PAIRS = 12, ROUNDS = 60 };

static struct esp_engine *open_card(struct esp_pool *pool)
{
    struct esp_card_options o = {.pci_sysfs = dir};
    struct esp_error err = {0};
    struct esp_engine *e;

    if (esp_card_open(&e, &o, &err))
        fail_msg("%s: %s", err.field, err.text);
    assert_int_equal(e->ops->attach_pool(e, pool, &err), 0);
    return e;
}

// ---- twins

struct twin {
    struct esp_engine *e;
    struct esp_sa *out[PAIRS], *in[PAIRS];
    struct esp_job job[BATCH];
};

struct twins {
    struct esp_pool *pool;
    struct twin side[2];     // card, software
    uint8_t old[64][BUFFER]; // packets to be replayed
    uint32_t old_len[64];
    uint64_t seed;
    unsigned verdicts[2][32];
    struct esp_sa_params forged; // an SA whose peer, holding the key, sends what it likes
    struct aead forger;
    struct esp_sa *forged_in[2];
};

static struct esp_sa_params random_params(struct twins *t, int i)
{
    struct esp_sa_params p =
        make_params(ESP_OUT, i & 1 ? ESP_ALG_AES256_GCM16 : ESP_ALG_AES128_GCM16, 0x100 + (uint32_t)i * 77);
    static const uint32_t windows[] = {1, 32, 64, 128, 1000, 1024};
    uint64_t r = rnd(&t->seed);

    p.mode = i % 4 == 1 ? ESP_TRANSPORT : ESP_TUNNEL; // there the card is in no UDP
    p.esn = r & 1;
    p.udp_encap = r & 2 && p.mode == ESP_TUNNEL;
    p.df_clear = r & 4;
    p.no_dscp_copy = r & 8;
    p.no_ecn = r & 16;
    p.dscp_decap = r & 32;
    p.window = p.esn ? windows[r / 64 % 6] : r / 64 % 7 ? windows[r / 64 % 6] : 0;
    p.seq =
        i % 4 == 3 ? 0xffffff80ull - r / 512 % 16 : 1 + r / 512 % 100; // some SAs reach the end of 32 bits
    p.seq_limit = p.seq + 200 + r / 4096 % 200;
    p.hard_packets = i % 5 == 0 ? 100 : 0;
    p.soft_bytes = i % 3 == 0 ? 20000 : 0;
    p.hard_bytes = i % 7 == 6 ? 60000 : 0;
    return p;
}

static void add_pairs(struct twins *t)
{
    for (int i = 0; i < PAIRS; i++) {
        struct esp_sa_params out = random_params(t, i), in = out;

        in.dir = ESP_IN;
        in.seq = out.seq - 1;
        out.window = 0;
        if (in.seq)
            in.seen[0] = 1;
        for (int s = 0; s < 2; s++) {
            t->side[s].out[i] = must_add(t->side[s].e, &out);
            t->side[s].in[i] = must_add(t->side[s].e, &in);
        }
    }
}

static void add_forged(struct twins *t)
{
    t->forged = make_params(ESP_IN, ESP_ALG_AES256_GCM16, 0xf00d);
    t->forged.window = 64;
    t->forged.hard_bytes = 200000;
    assert_int_equal(aead_init(&t->forger, t->forged.alg, ESP_OUT, t->forged.key, NULL), 0);
    for (int s = 0; s < 2; s++)
        t->forged_in[s] = must_add(t->side[s].e, &t->forged);
}

// An authentic packet whose payload is right in some ways and wrong in others.
static uint32_t forge(struct twins *t, uint8_t *p)
{
    uint64_t r = rnd(&t->seed);
    uint32_t payload = 4 + (uint32_t)(r % 3 ? r / 4 % 12 * 4 : r / 4 % 90 * 4),
             total = 20 + 16 + payload + 16;
    uint8_t plain[400], nonce[12], pad = (uint8_t)(r >> 20 & 3 ? r >> 22 & 7 : r >> 22);

    rnd_fill(&t->seed, plain, sizeof(plain));
    if (payload >= 24)
        make_inner(plain, payload - 2, (uint8_t)(r >> 30), 1, &t->seed);
    put_be16(plain + 2, (uint16_t)(payload - 2 - pad + (r >> 38 & 7 ? 0 : (r >> 41 & 31) - 16)));
    plain[payload - 2] = pad;
    plain[payload - 1] = r >> 46 & 7 ? 4 : r >> 49 & 1 ? 59 : 41;
    for (uint32_t i = 0; i < pad && i + 2 < payload; i++)
        plain[payload - 3 - i] = (uint8_t)(pad - i);
    if ((r >> 50 & 7) == 0)
        plain[(r >> 53 & 1023) % payload] ^= 1;
    memset(p, 0, 36);
    p[0] = 0x45;
    p[1] = (uint8_t)(r >> 56);
    put_be16(p + 2, (uint16_t)total);
    p[8] = 64;
    p[9] = 50;
    memcpy(p + 12, t->forged.src, 4);
    memcpy(p + 16, t->forged.dst, 4);
    ip_checksum(p);
    put_be32(p + 20, t->forged.spi);
    put_be32(p + 24, (uint32_t)++t->forged.seq);
    put_be64(p + 28, t->forged.seq);
    memcpy(nonce, t->forged.salt, 4);
    memcpy(nonce + 4, p + 28, 8);
    assert_int_equal(aead_seal(&t->forger, nonce, p + 20, 8, plain, payload, (const uint8_t *)"", 0, p + 36),
                     0);
    return total;
}

static void run_side(struct twin *s, unsigned n)
{
    struct esp_job *list[BATCH], *back[BATCH];
    unsigned sent = 0, done = 0;

    for (unsigned i = 0; i < n; i++)
        list[i] = &s->job[i];
    for (uint64_t end = now_ms() + 60000; done < n; nap()) {
        if (now_ms() > end)
            fail_msg("%u of %u jobs came back from %s", done, n, s->e->name);
        sent += esp_submit(s->e, list + sent, n - sent);
        done += esp_poll(s->e, back + done, n - done);
        s->e->ops->tick(s->e, now_ms());
    }
}

static int index_of(const struct twin *s, const struct esp_sa *sa)
{
    for (int i = 0; sa && i < PAIRS; i++)
        if (s->in[i] == sa || s->out[i] == sa)
            return i;
    return sa ? PAIRS : -1;
}

static void compare(struct twins *t, unsigned n, int round, uint64_t seed)
{
    for (unsigned i = 0; i < n; i++) {
        struct esp_job *c = &t->side[0].job[i], *s = &t->side[1].job[i];
        bool known = s->sa && s->status != ESP_STATUS_SA_MISMATCH;

        t->verdicts[s->op == ESP_DECAP][s->status % 32]++;
        if (c->status != s->status || c->out_len != s->out_len || memcmp(c->out, s->out, s->out_len) ||
            index_of(&t->side[0], c->sa) != index_of(&t->side[1], s->sa))
            fail_msg("seed %llx round %d job %u (%s, %u bytes): card %s %u bytes SA %d, software %s %u bytes "
                     "SA %d",
                     (unsigned long long)seed, round, i, s->op == ESP_ENCAP ? "encap" : "decap", s->in_len,
                     esp_status_name(c->status), c->out_len, index_of(&t->side[0], c->sa),
                     esp_status_name(s->status), s->out_len, index_of(&t->side[1], s->sa));
        if (s->status == ESP_STATUS_OK && (c->seq != s->seq || c->src_changed != s->src_changed))
            fail_msg("seed %llx round %d job %u: card sequence %llx source %d, software %llx %d",
                     (unsigned long long)seed, round, i, (unsigned long long)c->seq, c->src_changed,
                     (unsigned long long)s->seq, s->src_changed);
        if (known && (c->soft_limit != s->soft_limit || c->lease_low != s->lease_low))
            fail_msg("seed %llx round %d job %u %s: card soft %d lease %d, software %d %d",
                     (unsigned long long)seed, round, i, esp_status_name(s->status), c->soft_limit,
                     c->lease_low, s->soft_limit, s->lease_low);
    }
}

static void random_inner(struct twins *t, struct esp_job *j, bool transport)
{
    uint64_t r = rnd(&t->seed);
    uint32_t len = 20 + (uint32_t)(r % 8 ? r / 8 % 180 : r / 8 % 1480);

    make_inner(j->in, len, (uint8_t)(r >> 32), r >> 40 & 1, &t->seed);
    if (transport) { // between the ends, mostly, and mostly whole
        memcpy(j->in + 12, "\xc0\x00\x02\x01\xc0\x00\x02\x02", r >> 56 & 15 ? 8 : 4);
        j->in[6] |= r >> 60 ? 0 : 0x20;
        ip_checksum(j->in);
    }
    j->in_len = len + (r >> 41 & 7 ? 0 : 9);
    if ((r >> 44 & 31) == 0)
        j->in[r >> 49 & 3] ^= (uint8_t)(1 << (r >> 52 & 7));
}

static void encap_round(struct twins *t, int round, uint64_t seed)
{
    for (int i = 0; i < BATCH; i++) {
        struct esp_job *c = &t->side[0].job[i], *s = &t->side[1].job[i];
        int pair = (int)(rnd(&t->seed) % PAIRS);

        c->op = s->op = ESP_ENCAP;
        random_inner(t, s, pair % 4 == 1);
        memcpy(c->in, s->in, s->in_len);
        c->in_len = s->in_len;
        c->sa = t->side[0].out[pair];
        s->sa = t->side[1].out[pair];
    }
    run_side(&t->side[0], BATCH);
    run_side(&t->side[1], BATCH);
    compare(t, BATCH, round, seed);
}

// What the network may do to an outer packet.
static void spoil(struct twins *t, uint8_t *p, uint32_t *len)
{
    uint64_t r = rnd(&t->seed);
    uint32_t at = (uint32_t)(r >> 16) % *len;

    switch (r % 16) {
    case 0: p[at] ^= (uint8_t)(1 << (r >> 8 & 7)); break;
    case 1: *len = at; break;
    case 2:
        p[at % 28] ^= (uint8_t)(1 << (r >> 8 & 7));
        ip_checksum(p);
        break; // any header field, checksum right
    case 3:
        put_be16(p + 2, (uint16_t)(get_be16(p + 2) - (r >> 8 & 63)));
        ip_checksum(p);
        break;
    case 4:
        p[1] = (uint8_t)(r >> 8);
        ip_checksum(p);
        break;
    case 5:
        p[15] ^= 3;
        ip_checksum(p);
        break;
    case 6: p[20 + (r >> 8 & 15)] ^= (uint8_t)(1 << (r >> 12 & 7)); break;
    case 7: *len += 5; break;
    default: break;
    }
    if (p[0] >> 4 == 6) // IPv6 is not the card's, as `capable` says
        p[0] ^= 0x20;
}

static void decap_round(struct twins *t, int round, uint64_t seed)
{
    unsigned n = 0;

    for (int i = 0; i < BATCH; i++) {
        struct esp_job *c = &t->side[0].job[n], *s = &t->side[1].job[n];
        uint64_t r = rnd(&t->seed);
        uint8_t packet[BUFFER];
        uint32_t len = t->side[1].job[i].out_len;

        memcpy(packet, t->side[1].job[i].out, len);
        if (len == 0 || r % 10 == 0) { // an old one again
            len = t->old_len[r / 16 % 64];
            memcpy(packet, t->old[r / 16 % 64], len);
        } else if (r % 4 == 0) {
            t->old_len[r / 16 % 64] = len;
            memcpy(t->old[r / 16 % 64], packet, len);
        }
        if (len == 0)
            continue;
        if (rnd(&t->seed) % 4 == 0)
            len = forge(t, packet);
        else
            spoil(t, packet, &len);
        if (len == 0)
            continue;
        memcpy(s->in, packet, len);
        memcpy(c->in, packet, len);
        c->op = s->op = ESP_DECAP;
        c->in_len = s->in_len = len;
        n++;
    }
    run_side(&t->side[0], n);
    run_side(&t->side[1], n);
    compare(t, n, round, seed);
}

static void same_end(struct twins *t, struct esp_sa *on_card, struct esp_sa *on_soft, const char *what, int i)
{
    struct esp_sa_stats c = must_delete(t->side[0].e, on_card), s = must_delete(t->side[1].e, on_soft);

    if (memcmp(&c, &s, sizeof(c)))
        fail_msg("%s SA %d: card last %llu packets %llu bytes %llu drops %llu, software %llu %llu %llu %llu",
                 what, i, (unsigned long long)c.last_seq, (unsigned long long)c.packets,
                 (unsigned long long)c.bytes, (unsigned long long)c.drops, (unsigned long long)s.last_seq,
                 (unsigned long long)s.packets, (unsigned long long)s.bytes, (unsigned long long)s.drops);
}

static void test_random_packets_get_the_same_verdicts(void **state)
{
    struct twins *t = calloc(1, sizeof(*t));
    const char *given = getenv("SEED");
    uint64_t seed = given ? strtoull(given, NULL, 16) : 0x1234abcd5678ef01;

    (void)state;
    assert_non_null(t);
    t->seed = seed;
    start_card("card-twin");
    assert_int_equal(esp_pool_create(&t->pool, BUFFERS, BUFFER, NULL), 0);
    t->side[0].e = open_card(t->pool);
    assert_int_equal(esp_soft_open(&t->side[1].e, NULL), 0);
    for (int s = 0; s < 2; s++)
        for (int i = 0; i < BATCH; i++)
            t->side[s].job[i] = (struct esp_job){
                .in = esp_pool_get(t->pool), .out = esp_pool_get(t->pool), .out_cap = BUFFER};
    add_pairs(t);
    add_forged(t);
    for (int round = 0; round < ROUNDS; round++) {
        encap_round(t, round, seed);
        decap_round(t, round, seed);
    }
    for (int i = 0; i < PAIRS; i++) {
        same_end(t, t->side[0].out[i], t->side[1].out[i], "outbound", i);
        same_end(t, t->side[0].in[i], t->side[1].in[i], "inbound", i);
    }
    same_end(t, t->forged_in[0], t->forged_in[1], "forged", 0);
    aead_free(&t->forger);
    for (int d = 0; d < 2; d++)
        for (int st = 0; st < 32; st++)
            if (t->verdicts[d][st])
                printf("%s %s: %u\n", d ? "decap" : "encap", esp_status_name((enum esp_status)st),
                       t->verdicts[d][st]);
    t->side[0].e->ops->destroy(t->side[0].e);
    t->side[1].e->ops->destroy(t->side[1].e);
    esp_pool_destroy(t->pool);
    free(t);
    stop_card(SIGTERM);
}

// ---- the card goes

enum { FLOW = 4000, DEPTH = 96, KILL_AFTER = 700, LEASE = 2000 };

struct flow {
    struct esp_pool *pool;
    struct esp_engine *card, *soft, *peer, *now; // now: who protects
    struct esp_sa *out, *in;                     // of `now`
    struct esp_sa_params out_params, in_params;
    struct esp_job job[2 * DEPTH];
    struct esp_job *idle[2 * DEPTH],
        *again[2 * DEPTH]; // free; given back by the card, to be done again first
    unsigned idle_count, again_count;
    uint8_t (*wire)[160]; // what the peer sent us
    uint32_t wire_len;
    uint8_t used[2][2 * FLOW + LEASE + 1]; // how often a number was used (out) or passed (in)
    unsigned sent[2], done[2], aborted;
    uint64_t killed_ms, resumed_ms;
};

static void make_wire(struct flow *f)
{
    struct esp_sa_params p = f->in_params;
    uint64_t seed = 5;
    uint8_t inner[64];

    f->wire = calloc(FLOW, sizeof(*f->wire));
    assert_non_null(f->wire);
    p.dir = ESP_OUT;
    p.seq = 1;
    p.seq_limit = UINT64_MAX;
    p.window = 0;
    struct esp_sa *sa = must_add(f->peer, &p);
    make_inner(inner, sizeof(inner), 0, 1, &seed);
    for (int i = 0; i < FLOW; i++) {
        struct esp_job j = {.op = ESP_ENCAP,
                            .sa = sa,
                            .in = inner,
                            .in_len = sizeof(inner),
                            .out = f->wire[i],
                            .out_cap = 160};
        assert_int_equal(run_job(f->peer, &j), ESP_STATUS_OK);
        f->wire_len = j.out_len;
    }
}

static void take_over(struct flow *f)
{
    struct esp_sa_params out = f->out_params, in = f->in_params;

    assert_int_equal(f->card->ops->sa_handover(f->card, f->out, &out), 0);
    assert_int_equal(f->card->ops->sa_handover(f->card, f->in, &in), 0);
    assert_true(out.seq == 1 + LEASE);
    out.seq_limit = UINT64_MAX;
    f->now = f->soft;
    f->out = must_add(f->soft, &out);
    f->in = must_add(f->soft, &in);
}

static void take_result(struct flow *f, struct esp_job *j)
{
    int d = j->op == ESP_DECAP;

    if (j->status == ESP_STATUS_ABORTED) {
        f->aborted++;
        f->again[f->again_count++] = j;
        return;
    }
    if (j->status != ESP_STATUS_OK)
        fail_msg("%s of %s ended with %s, sequence %llu", d ? "decap" : "encap", f->now->kind,
                 esp_status_name(j->status), (unsigned long long)j->seq);
    if (f->killed_ms && !f->resumed_ms && f->now == f->soft)
        f->resumed_ms = now_ms();
    f->used[d][j->seq]++;
    f->done[d]++;
    f->idle[f->idle_count++] = j;
}

static bool feed(struct flow *f)
{
    struct esp_job *j;

    if (f->again_count) { // the oldest first: they came back in order of submission
        j = f->again[0];
        if (j->op == ESP_ENCAP)
            j->sa = f->out;
        if (esp_submit(f->now, &j, 1) == 0)
            return false;
        memmove(f->again, f->again + 1, --f->again_count * sizeof(struct esp_job *));
        return true;
    }
    if (f->idle_count == 0 || (f->sent[0] == FLOW && f->sent[1] == FLOW))
        return false;
    j = f->idle[f->idle_count - 1];
    j->op = f->sent[1] < f->sent[0] ? ESP_DECAP : ESP_ENCAP;
    if (j->op == ESP_DECAP) {
        memcpy(j->in, f->wire[f->sent[1]], f->wire_len);
        j->in_len = f->wire_len;
    } else {
        uint64_t seed = 1 + f->sent[0];
        make_inner(j->in, 80, 0, 1, &seed);
        j->in_len = 80;
        j->sa = f->out;
    }
    if (esp_submit(f->now, &j, 1) == 0)
        return false;
    f->sent[j->op == ESP_DECAP]++;
    f->idle_count--;
    return true;
}

static void run_flow(struct flow *f)
{
    uint64_t end = now_ms() + 60000;

    while (f->done[0] < FLOW || f->done[1] < FLOW) {
        struct esp_job *back[32];
        struct esp_event ev;
        unsigned n;

        if (now_ms() > end)
            fail_msg("%u and %u of %d packets were done after 60 s", f->done[0], f->done[1], FLOW);
        if (!f->killed_ms && f->done[0] >= KILL_AFTER) {
            f->killed_ms = now_ms();
            kill(card_pid, SIGKILL);
        }
        while (f->now == f->soft ||
               f->again_count == 0) // what came back waits until the soft engine has the SAs
            if (!feed(f))
                break;
        n = esp_poll(f->now, back, 32);
        for (unsigned i = 0; i < n; i++)
            take_result(f, back[i]);
        f->now->ops->tick(f->now, now_ms());
        if (f->now->ops->events(f->now, &ev, 1)) {
            assert_int_equal(ev.type, ESP_EVENT_FAILED);
            while ((n = esp_poll(f->card, back, 32)))
                for (unsigned i = 0; i < n; i++)
                    take_result(f, back[i]);
            take_over(f);
        }
    }
}

static void check_flow(const struct flow *f)
{
    unsigned used = 0;

    assert_true(f->now == f->soft);
    for (int i = 1; i <= FLOW; i++)
        if (f->used[1][i] != 1)
            fail_msg("inbound sequence %d passed %u times, expected once", i, f->used[1][i]);
    for (int i = 1; i < 2 * FLOW + LEASE; i++) {
        if (f->used[0][i] > 1)
            fail_msg("outbound sequence %d was used %u times", i, f->used[0][i]);
        used += f->used[0][i];
    }
    assert_int_equal(used, FLOW);
    printf("card killed after %d packets: %u jobs given back, service again after %llu ms, no number twice\n",
           KILL_AFTER, f->aborted, (unsigned long long)(f->resumed_ms - f->killed_ms));
}

static void test_killed_card_loses_nothing_and_repeats_nothing(void **state)
{
    struct flow *f = calloc(1, sizeof(*f));
    struct esp_job *j;

    (void)state;
    assert_non_null(f);
    start_card("card-twin");
    assert_int_equal(esp_pool_create(&f->pool, BUFFERS, BUFFER, NULL), 0);
    f->now = f->card = open_card(f->pool);
    assert_int_equal(esp_soft_open(&f->soft, NULL), 0);
    assert_int_equal(esp_soft_open(&f->peer, NULL), 0);
    f->out_params = make_params(ESP_OUT, ESP_ALG_AES256_GCM16, 0x1111);
    f->out_params.seq_limit = 1 + LEASE;
    f->in_params = make_params(ESP_IN, ESP_ALG_AES256_GCM16, 0x2222);
    f->in_params.window = 1024;
    f->out = must_add(f->card, &f->out_params);
    f->in = must_add(f->card, &f->in_params);
    make_wire(f);
    for (int i = 0; i < 2 * DEPTH; i++) {
        f->job[i] =
            (struct esp_job){.in = esp_pool_get(f->pool), .out = esp_pool_get(f->pool), .out_cap = BUFFER};
        f->idle[f->idle_count++] = &f->job[i];
    }
    run_flow(f);
    check_flow(f);
    j = &f->job[0]; // and what has passed before the kill does not pass again after it
    for (int i = 0; i < FLOW; i += 97) {
        *j = (struct esp_job){
            .op = ESP_DECAP, .in = f->wire[i], .in_len = f->wire_len, .out = j->out, .out_cap = BUFFER};
        assert_int_not_equal(run_job(f->soft, j), ESP_STATUS_OK);
    }
    f->card->ops->destroy(f->card);
    f->soft->ops->destroy(f->soft);
    f->peer->ops->destroy(f->peer);
    esp_pool_destroy(f->pool);
    free(f->wire);
    free(f);
    stop_card(SIGKILL);
}

static int after(void **state)
{
    (void)state;
    if (card_pid > 0)
        kill(card_pid, SIGKILL);
    return 0;
}

int main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/'), *named = getenv("ESPALIER_CARD");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_random_packets_get_the_same_verdicts, after),
        cmocka_unit_test_teardown(test_killed_card_loses_nothing_and_repeats_nothing, after),
    };

    (void)argc;
    if (named)
        snprintf(program, sizeof(program), "%s", named);
    else
        snprintf(program, sizeof(program), "%.*s/../bin/espalier-card", slash ? (int)(slash - argv[0]) : 1,
                 slash ? argv[0] : ".");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
