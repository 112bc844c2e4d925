// SPDX-License-Identifier: Apache-2.0
// The rig of keys_rig.h: a loop, the room, and channels whose other ends the test holds.
#include "tests/unit/keys_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "ctrl/lib/log.h"

struct bench *b;
uint32_t req;

static void keep_keys(const struct msg_IKE_KEYS *m)
{
    const struct slice k[] = {m->sk_ai, m->sk_ar, m->sk_ei, m->sk_er};
    for (int i = 0; i < 4; i++) {
        assert_true(k[i].len <= sizeof(b->sk[i]));
        memcpy(b->sk[i], k[i].p, k[i].len);
        b->sk_len[i] = k[i].len;
    }
}

static void answer(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    (void)ctx;
    if (c == b->path && t == MSG_NEXT_IKE) {
        b->deaths++;
        return;
    }
    if (c == b->path) {
        b->installs++;
        b->slow_req = m->CHILD_INSTALL.req;
        memcpy(b->key_out, m->CHILD_INSTALL.key_out.p, m->CHILD_INSTALL.key_out.len);
        memcpy(b->key_in, m->CHILD_INSTALL.key_in.p, m->CHILD_INSTALL.key_in.len);
        if (!b->slow)
            ipc_result(c, m->CHILD_INSTALL.req, true, "%s", "");
        return;
    }
    if (t == MSG_KEY_HAVE) {
        b->have += m->KEY_HAVE.have;
        b->gone += !m->KEY_HAVE.have;
        return;
    }
    b->type = t;
    b->ok = t != MSG_RESULT || m->RESULT.ok;
    b->len = 0;
    if (t == MSG_RESULT)
        snprintf(b->text, sizeof(b->text), "%s", m->RESULT.text);
    struct slice data = t == MSG_KE_PUBLIC        ? m->KE_PUBLIC.value
                        : t == MSG_AUTH_IS        ? m->AUTH_IS.auth
                        : t == MSG_AUTH_OCTETS_IS ? m->AUTH_OCTETS_IS.octets
                        : t == MSG_KEY_LOADED     ? m->KEY_LOADED.id
                        : t == MSG_KEY_IS         ? m->KEY_IS.id
                        : t == MSG_TICKET_IS      ? m->TICKET_IS.ticket
                        : t == MSG_EAP_CHALLENGE  ? m->EAP_CHALLENGE.challenge
                        : t == MSG_EAP_TLS_SIGNED ? m->EAP_TLS_SIGNED.signature
                        : t == MSG_EAP_MSCHAP_IS  ? m->EAP_MSCHAP_IS.authenticator
                                                  : slice_of(NULL, 0);
    b->listed += t == MSG_KEY_IS;
    if (t == MSG_AUTH_PROVEN) {
        snprintf(b->secret, sizeof(b->secret), "%s", m->AUTH_PROVEN.secret);
        snprintf(b->owner, sizeof(b->owner), "%s", m->AUTH_PROVEN.owner);
    }
    b->next = t == MSG_LIST_MORE ? m->LIST_MORE.next : 0;
    if (t == MSG_SECRET_IS) {
        b->listed++;
        if (b->on_secret)
            b->on_secret(m->SECRET_IS.id);
    }
    if (t == MSG_IKE_KEYS)
        keep_keys(&m->IKE_KEYS);
    if (t == MSG_EAP_ANSWER_IS) { // the challenge, and behind it the response
        assert_true(m->EAP_ANSWER_IS.peer_challenge.len == 16 && m->EAP_ANSWER_IS.response.len == 24);
        memcpy(b->data, m->EAP_ANSWER_IS.peer_challenge.p, 16);
        memcpy(b->data + 16, m->EAP_ANSWER_IS.response.p, 24);
    }
    assert_true(data.len <= sizeof(b->data));
    if (data.len) {
        memcpy(b->data, data.p, data.len);
        b->len = data.len;
    }
}
static void closed(void *ctx, struct ipc_chan *c)
{
    (void)ctx;
    ipc_close(c);
}
static const struct ipc_handler handler = {answer, closed};

static struct ipc_chan *attach(enum room room)
{
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
    assert_int_equal(keys_attach(b->keys, room, fd[0]), 0);
    return ipc_open(b->loop, fd[1], room, ROOM_KEYS, &handler, NULL);
}

int setup(void **state)
{
    (void)state;
    log_set_all(-1);
    b = calloc(1, sizeof(*b));
    b->loop = loop_new();
    b->keys = keys_new(b->loop);
    b->ike = attach(ROOM_IKE);
    b->path = attach(ROOM_PATH);
    b->ctl = attach(ROOM_CTL);
    return 0;
}

int teardown(void **state)
{
    (void)state;
    keys_free(b->keys);
    ipc_close(b->ike);
    ipc_close(b->path);
    ipc_close(b->ctl);
    ipc_close(b->super);
    loop_free(b->loop);
    free(b);
    return 0;
}

void another_ike(void)
{
    int fd[2];
    ipc_close(b->ike);
    if (!b->super)
        b->super = attach(ROOM_SUPER);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
    b->ike = ipc_open(b->loop, fd[1], ROOM_IKE, ROOM_KEYS, &handler, NULL);
    assert_int_equal(ipc_send_channel(b->super, ROOM_IKE, fd[0]), 0);
    for (int i = 0; i < 6; i++)
        loop_once(b->loop, 0);
}

void another_keys(int file)
{
    struct ipc_chan **all[] = {&b->ike, &b->path, &b->ctl, &b->super};
    keys_free(b->keys);
    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        ipc_close(*all[i]);
        *all[i] = NULL;
    }
    b->keys = keys_new(b->loop);
    assert_int_equal(keys_inherit(b->keys, dup(file)), 0);
    b->ike = attach(ROOM_IKE);
    b->path = attach(ROOM_PATH);
    b->ctl = attach(ROOM_CTL);
}

bool say(struct ipc_chan *c, enum msg_type t, const void *m)
{
    b->ok = false;
    b->type = MSG_NONE;
    ipc_send(c, t, m);
    for (int i = 0; i < 6; i++)
        loop_once(b->loop, 0);
    return b->ok;
}

struct slice id_body(const char *text, uint8_t *buf)
{
    struct identity id;
    struct writer w = writer_of(buf, 100);
    assert_true(identity_parse(text, &id));
    identity_write(&w, &id);
    return wr_written(&w);
}

bool load(const char *name, const char *secret, const char *o1, const char *o2)
{
    uint8_t owners[200];
    struct writer w = writer_of(owners, sizeof(owners));
    if (o1)
        wr_cstr(&w, o1);
    if (o2)
        wr_cstr(&w, o2);
    struct msg_SECRET_LOAD m = {
        .req = ++req, .type = "ike", .data = slice_str(secret), .owners = wr_written(&w)};
    snprintf(m.id, sizeof(m.id), "%s", name);
    return say(b->ctl, MSG_SECRET_LOAD, &m);
}

const uint8_t NI[32] = {1}, NR[32] = {2};

bool derive(uint32_t ike_id, bool initiator, struct ike_secrets *out)
{
    uint8_t peer[32], shared[32];
    size_t n;
    struct cr_dh *dh;
    struct cr_sk_alg alg = {20, 256, 0};
    struct slice secret = slice_of(shared, 32);
    assert_true(
        say(b->ike, MSG_KE_GENERATE, &(struct msg_KE_GENERATE){.req = ++req, .ke_id = 5, .group = 31}));
    assert_int_equal(b->len, 32);
    assert_int_equal(cr_dh_new(NULL, 31, &dh), 0);
    assert_int_equal(cr_dh_public(dh, peer, sizeof(peer), &n), 0);
    assert_int_equal(cr_dh_shared(NULL, dh, b->data, 32, shared, sizeof(shared), &n), 0);
    cr_dh_free(dh);
    derive_ike(&alg, cr_prf_find(NULL, 5), &secret, 1, slice_of(NI, 32), slice_of(NR, 32), 3, 4, NULL, out);
    struct msg_IKE_DERIVE m = {.req = ++req,
                               .ike_id = ike_id,
                               .ke_id = 5,
                               .peer_public = slice_of(peer, 32),
                               .encr = 20,
                               .encr_bits = 256,
                               .prf = 5,
                               .ni = slice_of(NI, 32),
                               .nr = slice_of(NR, 32),
                               .spi_i = 3,
                               .spi_r = 4,
                               .initiator = initiator};
    return say(b->ike, MSG_IKE_DERIVE, &m) && b->type == MSG_IKE_KEYS;
}

bool make_auth(uint32_t ike_id, const char *me, const char *peer)
{
    uint8_t x[100], y[100];
    struct msg_AUTH_MAKE m = {.req = ++req,
                              .ike_id = ike_id,
                              .method = 2,
                              .message = slice_str("mine"),
                              .peer_nonce = slice_of(NR, 32),
                              .id_body = id_body(me, x),
                              .peer_id_body = id_body(peer, y)};
    return say(b->ike, MSG_AUTH_MAKE, &m) && b->type == MSG_AUTH_IS;
}

bool check_auth(uint32_t ike_id, const struct ike_secrets *s, bool of_initiator, const char *me,
                const char *peer, const char *secret)
{
    uint8_t x[100], y[100], auth[64];
    struct slice nonce = of_initiator ? slice_of(NR, 32) : slice_of(NI, 32);
    derive_psk_auth(s, of_initiator, slice_str(secret), slice_str("theirs"), nonce, id_body(peer, y), auth);
    struct msg_AUTH_CHECK m = {.req = ++req,
                               .ike_id = ike_id,
                               .method = 2,
                               .message = slice_str("theirs"),
                               .own_nonce = nonce,
                               .id_body = id_body(me, x),
                               .peer_id_body = id_body(peer, y),
                               .auth = slice_of(auth, 32)};
    return say(b->ike, MSG_AUTH_CHECK, &m);
}

bool install_with(uint32_t ike_id, uint32_t described, struct slice ni, struct slice nr, uint16_t bits)
{
    uint8_t buf[4096];
    struct writer w = writer_of(buf, sizeof(buf));
    struct msg_CHILD child = {.child_id = 1, .ike_id = described, .encr = 20, .encr_bits = bits};
    msg_write(&w, MSG_CHILD, &child);
    struct msg_CHILD_DERIVE m = {
        .req = ++req, .ike_id = ike_id, .ni = ni, .nr = nr, .initiator = 1, .child = wr_written(&w)};
    return say(b->ike, MSG_CHILD_DERIVE, &m);
}

bool install(uint32_t ike_id, uint32_t described)
{
    return install_with(ike_id, described, slice_of(NI, 32), slice_of(NR, 32), 256);
}
