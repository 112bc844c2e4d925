// SPDX-License-Identifier: Apache-2.0
// See ike_resume_rig.h.
#include "tests/unit/ike_resume_rig.h"

struct resume_seen resume_seen;

void resume_note(const struct datagram *d)
{
    static struct payloads pl;
    struct refusal r = {0};
    struct notify n;
    resume_seen.of[d->data[18]]++;
    if (d->data[18] != EX_SESSION_RESUME)
        return;
    assert_int_equal(
        payloads_read(d->data[16], slice_of(d->data + IKE_HEADER_LEN, d->len - IKE_HEADER_LEN), &pl, &r), 0);
    if (d->data[19] & FLAG_RESPONSE) {
        assert_in_range(d->len, 1, sizeof(resume_seen.answer));
        memcpy(resume_seen.answer, d->data, d->len);
        resume_seen.answer_len = d->len;
        resume_seen.nacks += notify_find(&pl, N_TICKET_NACK, &n);
        resume_seen.cookies += notify_find(&pl, N_COOKIE, &n);
        return;
    }
    memcpy(resume_seen.resume, d->data, d->len);
    resume_seen.resume_len = d->len;
    resume_seen.path = d->path;
}

int resume_watch(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)number;
    resume_note(d);
    return resume_seen.lose && resume_seen.lose(resume_seen.number++, d) ? 0 : 1;
}

void resume_on(struct pair *p)
{
    memset(&resume_seen, 0, sizeof(resume_seen));
    for (int i = 0; i < 2; i++) {
        p->s[i].ike->set.session_resumption = true;
        p->s[i].ike->set.ticket_lifetime = 3600;
    }
    p->filter = resume_watch;
}

struct pair *resume_pair_unique(uint8_t unique, pair_tune tune)
{
    struct pair *p = pair_loaded(unique, tune);
    resume_on(p);
    return p;
}

struct pair *resume_pair(pair_tune tune)
{
    return resume_pair_unique(UNIQUE_REPLACE, tune);
}

struct pair *resume_up(pair_tune tune)
{
    struct pair *p = resume_pair(tune);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    pair_assert_one(p);
    return p;
}

void resume_silent(struct pair *p)
{
    p->filter = pair_lose_all;
    exchange_queue(p->s[0].ike->sas, TASK_LIVENESS, 0);
    pair_wait(p, RESUME_SILENCE_MS);
    assert_int_equal(p->s[0].ike->sa_count, 0);
    p->filter = resume_watch;
    memset(resume_seen.of, 0, sizeof(resume_seen.of));
    resume_seen.number = 0;
}

void resume_assert(struct pair *p)
{
    pair_assert_one(p);
    if (resume_seen.of[EX_SA_INIT] || !resume_seen.of[EX_SESSION_RESUME])
        fail_msg("%u IKE_SA_INIT and %u IKE_SESSION_RESUME messages", resume_seen.of[EX_SA_INIT],
                 resume_seen.of[EX_SESSION_RESUME]);
}

void resume_assert_anew(struct pair *p)
{
    pair_assert_one(p);
    assert_in_range(resume_seen.of[EX_SA_INIT], 2, 100);
}
