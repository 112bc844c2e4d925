// SPDX-License-Identifier: Apache-2.0
// See ticket_store.h. A ticket: version 1, three octets of zero, the key's number (8), the ticket's number
// under it (4), all of which is authenticated; then IV, ciphertext and tag of AES-256-GCM. The IV is a
// counter of the key's, which seals 2^20 tickets and is then replaced, as it is after a day.
#include "ctrl/keys/ticket_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>

enum {
    AES_GCM_16 = 20, // of the registry of transforms
    VERSION = 1,
    HEAD = 4 + 8 + 4,
    KEY_LEN = 32 + 4,
    KEY_MS = TICKET_LIFE_MAX_S * 1000,
    INNER_MAX = 8 + 2 + 1 + CR_PRF_MAX + TICKET_STATE_MAX
};

static void drop(struct ticket_key *k)
{
    cr_sk_free(k->sk);
    free(k->used);
    *k = (struct ticket_key){0};
}

void ticket_forget_all(struct ticket_store *t)
{
    drop(&t->now);
    drop(&t->before);
}

static int make_key(struct cr_algs *a, struct ticket_key *k, uint64_t now, uint64_t not_this)
{
    const struct cr_sk_alg alg = {AES_GCM_16, 256, 0};
    uint8_t key[KEY_LEN];
    int rc = cr_random(key, sizeof(key));
    *k = (struct ticket_key){.made_at = now};
    while (!rc && (!k->id || k->id == not_this))
        rc = cr_random(&k->id, sizeof(k->id));
    if (!rc)
        rc = cr_sk_new(a, &alg, key, sizeof(key), NULL, 0, &k->sk);
    OPENSSL_cleanse(key, sizeof(key));
    if (rc)
        drop(k);
    return rc;
}

// A key goes when none of its tickets can be good any more.
static uint64_t end_of(const struct ticket_key *k)
{
    return k->id ? k->made_at + 2 * (uint64_t)KEY_MS : 0;
}

uint64_t ticket_age(struct ticket_store *t, uint64_t now)
{
    if (now >= end_of(&t->before))
        drop(&t->before);
    if (now >= end_of(&t->now))
        drop(&t->now);
    return t->before.id ? end_of(&t->before) : end_of(&t->now); // in the order of their making
}

static int key_for_sealing(struct ticket_store *t, uint64_t now)
{
    struct ticket_key next;
    ticket_age(t, now);
    if (t->now.id && t->now.count < TICKETS_OF_KEY && now - t->now.made_at < KEY_MS)
        return 0;
    int rc = make_key(t->algs, &next, now, t->now.id);
    if (rc)
        return rc;
    drop(&t->before);
    t->before = t->now;
    t->now = next;
    return 0;
}

// Where the bit of one more will be: to use it up takes no memory.
static int make_room(struct ticket_key *k)
{
    if (k->count / 8 < k->room)
        return 0;
    size_t room = k->room ? 2 * k->room : 64;
    uint8_t *more = realloc(k->used, room);
    if (!more)
        return -ENOMEM;
    memset(more + k->room, 0, room - k->room);
    k->used = more;
    k->room = room;
    return 0;
}

static struct slice write_head(uint8_t *out, uint64_t key, uint32_t number)
{
    struct writer w = writer_of(out, HEAD);
    wr_u32(&w, (uint32_t)VERSION << 24);
    wr_u64(&w, key);
    wr_u32(&w, number);
    return wr_written(&w);
}

int ticket_seal(struct ticket_store *t, uint64_t now, const struct ticket_secrets *s, struct slice state,
                uint8_t *out, size_t *len, struct ticket_ref *ref)
{
    uint8_t inner[INNER_MAX];
    struct writer w = writer_of(inner, sizeof(inner));
    int rc = state.len > TICKET_STATE_MAX || s->len > CR_PRF_MAX ? -EMSGSIZE : key_for_sealing(t, now);
    if (!rc)
        rc = make_room(&t->now);
    if (rc)
        return rc;
    wr_u64(&w, s->until);
    wr_u16(&w, s->prf);
    wr_u8(&w, s->len);
    wr_bytes(&w, s->sk_d, s->len);
    wr_slice(&w, state);
    struct ticket_key *k = &t->now;
    size_t head = write_head(out, k->id, k->count).len;
    rc = w.bad ? -EMSGSIZE : cr_sk_seal(k->sk, out, head, inner, w.len, TICKET_MAX);
    OPENSSL_cleanse(inner, sizeof(inner));
    if (rc)
        return rc;
    *len = head + cr_sk_sealed_len(k->sk, w.len);
    *ref = (struct ticket_ref){k->id, k->count++};
    return 0;
}

static struct ticket_key *find(const struct ticket_store *t, uint64_t id)
{
    const struct ticket_key *k = id == 0              ? NULL
                                 : t->now.id == id    ? &t->now
                                 : t->before.id == id ? &t->before
                                                      : NULL;
    return (struct ticket_key *)(uintptr_t)k;
}

bool ticket_is_good(const struct ticket_store *t, struct ticket_ref ref)
{
    const struct ticket_key *k = find(t, ref.key);
    return k && ref.number < k->count && !(k->used[ref.number / 8] >> ref.number % 8 & 1);
}

void ticket_use_up(struct ticket_store *t, struct ticket_ref ref)
{
    struct ticket_key *k = find(t, ref.key);
    if (k && ref.number < k->count)
        k->used[ref.number / 8] |= (uint8_t)(1u << ref.number % 8);
}

static int read_inner(struct slice inner, struct ticket_secrets *s, struct slice *state)
{
    struct reader r = reader_of(inner);
    s->until = rd_u64(&r);
    s->prf = rd_u16(&r);
    s->len = rd_u8(&r);
    if (r.bad || s->len > CR_PRF_MAX || s->len != cr_prf_len(s->prf))
        return -EBADMSG;
    struct slice d = rd_bytes(&r, s->len);
    if (r.bad)
        return -EBADMSG;
    memcpy(s->sk_d, d.p, d.len);
    *state = rd_bytes(&r, r.left);
    return 0;
}

int ticket_open(struct ticket_store *t, uint64_t now, struct slice ticket, struct ticket_secrets *s,
                uint8_t *buf, struct slice *state, struct ticket_ref *ref)
{
    struct reader r = reader_of(ticket);
    uint32_t version = rd_u32(&r);
    size_t len = 0;
    *ref = (struct ticket_ref){.key = rd_u64(&r)};
    ref->number = rd_u32(&r);
    ticket_age(t, now);
    struct ticket_key *k = find(t, ref->key);
    if (r.bad || version != (uint32_t)VERSION << 24 || !k || ticket.len > TICKET_MAX ||
        ref->number >= k->count)
        return -EBADMSG;
    int rc = cr_sk_open(k->sk, ticket.p, HEAD, ticket.len, buf, &len);
    if (!rc)
        rc = read_inner(slice_of(buf, len), s, state);
    if (!rc && !ticket_is_good(t, *ref))
        rc = -EALREADY;
    if (!rc && now >= s->until)
        rc = -ETIME;
    return rc;
}
