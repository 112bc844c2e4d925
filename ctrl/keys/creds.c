// SPDX-License-Identifier: Apache-2.0
// What ctl loads, unloads and lists: shared secrets and private keys. ike hears which private keys there are,
// by their identifiers alone. Each change of them is made in the file for the next `keys`, too, which begins
// by reading it.
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctrl/keys/room.h"
#include "ctrl/lib/log.h"

enum { INHERIT_FIRST_MS = 100, INHERIT_MOST = 12 }; // twice as long each time: some minutes

struct page {
    struct ipc_chan *c;
    uint32_t req;
    unsigned left;
};

static bool list_secret(void *ctx, const char *name)
{
    struct page *p = ctx;
    struct msg_SECRET_IS is = {.req = p->req};
    if (!p->left || !ipc_has_room(p->c))
        return false;
    p->left--;
    snprintf(is.id, sizeof(is.id), "%s", name);
    ipc_send(p->c, MSG_SECRET_IS, &is);
    return true;
}

static void secret_list(struct keys *k, struct ipc_chan *c, const struct msg_SECRET_LIST *m)
{
    struct page p = {c, m->req, ipc_page(m->most)};
    uint32_t next = psk_names(k->psks, (uint32_t)m->from, list_secret, &p);
    if (next)
        ipc_send(c, MSG_LIST_MORE, &(struct msg_LIST_MORE){.req = m->req, .next = next});
    else
        ipc_result(c, m->req, true, "%s", "");
}

static bool list_key(void *ctx, const uint8_t id[PRIVATE_ID], enum cr_key_type type)
{
    struct page *p = ctx;
    struct msg_KEY_IS is = {.req = p->req, .id = slice_of(id, PRIVATE_ID)};
    if (!p->left || !ipc_has_room(p->c))
        return false;
    p->left--;
    snprintf(is.type, sizeof(is.type), "%s", cr_key_type_name(type));
    ipc_send(p->c, MSG_KEY_IS, &is);
    return true;
}

static void key_list(struct keys *k, struct ipc_chan *c, const struct msg_KEY_LIST *m)
{
    struct page p = {c, m->req, ipc_page(m->most)};
    uint32_t next = private_list(k->privates, (uint32_t)m->from, list_key, &p);
    if (next)
        ipc_send(c, MSG_LIST_MORE, &(struct msg_LIST_MORE){.req = m->req, .next = next});
    else
        ipc_result(c, m->req, true, "%s", "");
}

static void tell_ike(struct keys *k, struct slice id, bool have)
{
    ipc_send(k->chan[ROOM_IKE], MSG_KEY_HAVE, &(struct msg_KEY_HAVE){.id = id, .have = have});
}

static bool tell_key(void *ctx, const uint8_t id[PRIVATE_ID], enum cr_key_type type)
{
    (void)type;
    tell_ike(ctx, slice_of(id, PRIVATE_ID), true);
    return true;
}

void keys_tell_ike_all(struct keys *k)
{
    (void)private_list(k->privates, 0, tell_key, k);
}

static void kept(int rc)
{
    if (rc < 0)
        LOGF(DMN, 0, "what was loaded will not be there again if keys dies: %s", strerror(-rc));
}

static void key_load(struct keys *k, struct ipc_chan *c, const struct msg_KEY_LOAD *m)
{
    uint8_t id[PRIVATE_ID];
    struct esp_error err = {0};
    if (private_load(k->privates, m->type, m->data, id, &err) != 0) {
        ipc_result(c, m->req, false, "%s", err.text);
        return;
    }
    kept(secrets_file_put_private(k->file, id, m->type, m->data));
    tell_ike(k, slice_of(id, sizeof(id)), true);
    ipc_send(c, MSG_KEY_LOADED, &(struct msg_KEY_LOADED){.req = m->req, .id = slice_of(id, sizeof(id))});
}

static void key_unload(struct keys *k, struct ipc_chan *c, const struct msg_KEY_UNLOAD *m)
{
    bool found = private_unload(k->privates, m->id);
    secrets_file_drop_private(k->file, m->id);
    if (found)
        ticket_forget_all(&k->tickets);
    if (found)
        tell_ike(k, m->id, false);
    ipc_result(c, m->req, found, "%s", found ? "" : "no such private key");
}

// The first password brings the legacy provider.
static int need_mschap(struct keys *k, const char *id, struct esp_error *err)
{
    if (!k->mschap)
        k->mschap = mschap_new(k->algs);
    return k->mschap
               ? 0
               : esp_fail(err, -ENOSYS, "type",
                          "secret %s: OpenSSL's legacy provider, which MS-CHAP-V2 needs, is not there", id);
}

// Of a password only the NT hash is kept (RFC 2759 8.3).
static int hash_password(struct keys *k, const struct msg_SECRET_LOAD *m, uint8_t hash[MSCHAP_NT_HASH],
                         struct esp_error *err)
{
    int rc = need_mschap(k, m->id, err);
    if (rc < 0)
        return rc;
    if (mschap_nt_hash(k->mschap, m->data.p, m->data.len, hash) != 0)
        return esp_fail(err, -EINVAL, "data", "secret %s: expected a password of at most %d octets of UTF-8",
                        m->id, MSCHAP_PASSWORD_MAX);
    return 0;
}

static void secret_load(struct keys *k, struct ipc_chan *c, const struct msg_SECRET_LOAD *m)
{
    struct esp_error err = {0};
    uint8_t hash[MSCHAP_NT_HASH];
    struct slice data = m->data;
    if (secret_kind(m->type) == SECRET_EAP && hash_password(k, m, hash, &err) == 0)
        data = slice_of(hash, sizeof(hash));
    if (!err.code && psk_replaces(k->psks, m->id, m->type, data, m->owners))
        ticket_forget_all(&k->tickets);
    if (!err.code)
        psk_load(k->psks, m->id, m->type, data, m->owners, &err);
    if (!err.code)
        kept(secrets_file_put_shared(k->file, m->id, m->type, data, m->owners));
    OPENSSL_cleanse(hash, sizeof(hash));
    ipc_result(c, m->req, !err.code, "%s", err.text);
}

static void secret_unload(struct keys *k, struct ipc_chan *c, const struct msg_SECRET_UNLOAD *m)
{
    bool found = psk_unload(k->psks, m->id);
    secrets_file_drop_shared(k->file, m->id);
    if (found) // whom it let in comes by it no more, nor by what it was given when it did
        ticket_forget_all(&k->tickets);
    ipc_result(c, m->req, found, "%s", found ? "" : "no such secret");
}

static void clear(struct keys *k, struct ipc_chan *c, uint32_t req)
{
    psk_clear(k->psks);
    private_clear(k->privates);
    secrets_file_clear(k->file);
    ticket_forget_all(&k->tickets);
    tell_ike(k, slice_of(NULL, 0), false);
    ipc_result(c, req, true, "%s", "");
}

static int take_private(struct keys *k, const struct secret *s, struct esp_error *err)
{
    uint8_t id[PRIVATE_ID];
    int rc = private_load(k->privates, s->type, s->data, id, err);
    if (rc == 0 && memcmp(id, s->id, PRIVATE_ID) != 0) // it could be unloaded in this life alone
        secrets_file_drop_private(k->file, slice_of(s->id, PRIVATE_ID));
    if (rc == 0)
        tell_ike(k, slice_of(id, sizeof(id)), true);
    return rc;
}

static int take_shared(struct keys *k, const struct secret *s, struct esp_error *err)
{
    int rc = secret_kind(s->type) == SECRET_EAP ? need_mschap(k, s->name, err) : 0;
    if (rc == 0)
        psk_load(k->psks, s->name, s->type, s->data, s->owners, err);
    return err->code;
}

// What does not come again is told, stays in the file, and is tried again: it was taken before, and OpenSSL
// does not always say that it had no memory. Where we had none there is another process.
static int inherit(struct keys *k, const struct secret *s)
{
    struct esp_error err = {0};
    bool key = s->what == SECRET_PRIVATE, last = k->inherit_tries + 1 == INHERIT_MOST;
    int rc = key ? take_private(k, s, &err) : take_shared(k, s, &err);
    bool was = secrets_file_is_missing(k->file, s->number, rc != 0 && !last);
    if (rc && (!was || last))
        LOGF(CFG, 0, "%s%s is not there again%s: %s", key ? "a private key" : "shared key ", s->name,
             last ? ", and is not tried any more" : " yet", err.text);
    else if (!rc && was)
        LOGF(CFG, 1, "%s%s is there again", key ? "a private key" : "shared key ", s->name);
    return rc;
}

static int inherit_all(struct keys *k, bool missing);

static void inherit_again(struct timer *t)
{
    (void)inherit_all(t->ctx, true);
}

static int inherit_all(struct keys *k, bool missing)
{
    struct secret s = {0};
    int rc = 0, one = 0;
    bool more = false;
    while (rc == 0 && (one = secrets_file_next(k->file, s.number, missing, &s)) > 0) {
        one = inherit(k, &s);
        more = more || one;
        rc = one == -ENOMEM && !missing ? one : 0;
    }
    if (rc == 0 && one < 0)
        rc = one;
    if (rc == 0 && more && ++k->inherit_tries < INHERIT_MOST) {
        k->inherit_again.fire = inherit_again;
        k->inherit_again.ctx = k;
        timer_set(k->loop, &k->inherit_again,
                  loop_now(k->loop) + ((uint64_t)INHERIT_FIRST_MS << (k->inherit_tries - 1)));
    }
    return rc;
}

int keys_inherit(struct keys *k, int fd)
{
    if (fd < 0)
        return fd;
    k->file = secrets_file_open(fd);
    if (k->file)
        return inherit_all(k, false);
    int rc = -errno;
    close(fd);
    return rc;
}

void keys_from_ctl(struct keys *k, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    switch (t) {
    case MSG_SECRET_LOAD: secret_load(k, c, &m->SECRET_LOAD); break;
    case MSG_SECRET_UNLOAD: secret_unload(k, c, &m->SECRET_UNLOAD); break;
    case MSG_SECRET_LIST: secret_list(k, c, &m->SECRET_LIST); break;
    case MSG_SECRETS_CLEAR: clear(k, c, m->SECRETS_CLEAR.req); break;
    case MSG_KEY_LOAD: key_load(k, c, &m->KEY_LOAD); break;
    case MSG_KEY_UNLOAD: key_unload(k, c, &m->KEY_UNLOAD); break;
    case MSG_KEY_LIST: key_list(k, c, &m->KEY_LIST); break;
    default: LOGF(DMN, 1, "message %s from ctl is not for keys, ignored", msg_name(t)); break;
    }
}
