// SPDX-License-Identifier: Apache-2.0
// Private keys. swanctl has decrypted them; they pass through to `keys`, and what stands here meanwhile is
// wiped.
#include "ctrl/ctl/ctl.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ctrl/config/cred_file.h"
#include "ctrl/lib/log.h"

enum { KEY_ID_LEN = 20 };

// ---- load-key

static const char *key_type(const struct command *cmd)
{
    static const char *const types[] = {"any", "rsa", "ecdsa", "ed25519", "ed448", "pkcs8"};
    const char *type = vici_get(cmd->msg.root, "type");
    for (size_t i = 0; type && i < sizeof(types) / sizeof(types[0]); i++)
        if (strcasecmp(types[i], type) == 0)
            return types[i];
    return NULL;
}

static void put_key_id(char text[2 * KEY_ID_LEN + 1], struct slice id)
{
    text[0] = 0;
    for (size_t i = 0; i < id.len && i < KEY_ID_LEN; i++)
        snprintf(text + 2 * i, 3, "%02x", id.p[i]);
}

static void key_answer(struct pending *p, enum msg_type t, const union msg *m)
{
    if (t == MSG_KEY_LOADED)
        put_key_id(p->data, m->KEY_LOADED.id);
}

static void key_loaded(struct pending *p, bool ok, const char *text)
{
    const char *type = vici_get(p->cmd->msg.root, "type"), *id = p->data;
    struct vici_out o;
    if (!ok || !id[0]) {
        LOGF(CFG, 0, "%s private key refused: %s", type, ok ? "no identifier" : text);
        server_reply_error(p->cmd, "parsing %.20s private key failed: %s", type, ok ? "no identifier" : text);
        return;
    }
    LOGF(CFG, 1, "loaded %s private key %s", type, id);
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_put(&o, "success", "yes");
    vici_put(&o, "id", id);
    server_reply(p->cmd, &o);
}

static void send_der(struct pending *p, const char *type, struct slice der)
{
    struct msg_KEY_LOAD m = {.req = p->req, .data = der};
    snprintf(m.type, sizeof(m.type), "%s", type);
    ctl_send(p, ROOM_KEYS, MSG_KEY_LOAD, &m);
}

// What was read of it has been wiped meanwhile.
static void send_again(struct pending *p)
{
    const struct vici_node *data = vici_find(p->cmd->msg.root, "data");
    struct esp_error err = {0};
    uint8_t *der = NULL;
    size_t len = 0;
    if (cred_key(data->value, data->len, NULL, &der, &len, &err) < 0)
        ctl_drop(p, err.text);
    else
        send_der(p, key_type(p->cmd), slice_of(der, len));
    cred_free(der, len);
}

static void send_key(struct ctl *c, struct command *cmd, const char *type, struct slice der)
{
    struct pending *p = ctl_ask(c, cmd, CTL_ANSWER_MS);
    if (!p)
        return;
    p->message = key_answer;
    p->done = key_loaded;
    p->ask_again = send_again;
    p->data = calloc(1, 2 * KEY_ID_LEN + 1);
    p->free_data = free;
    if (p->data)
        send_der(p, type, der);
    else
        ctl_drop(p, "out of memory");
}

void cmd_load_key(struct ctl *c, struct command *cmd)
{
    const struct vici_node *data = vici_find(cmd->msg.root, "data");
    const char *named = vici_get(cmd->msg.root, "type"), *type = key_type(cmd);
    struct esp_error err = {0};
    uint8_t *der = NULL;
    size_t len = 0;
    if (!named) {
        server_reply_error(cmd, "key type missing");
    } else if (!type) {
        server_reply_error(cmd, "invalid key type: %.40s: expected any, rsa, ecdsa, ed25519 or ed448", named);
    } else if (!data || data->kind != VICI_VALUE || !data->len) {
        server_reply_error(cmd, "key data missing");
    } else if (cred_key(data->value, data->len, NULL, &der, &len, &err) < 0) {
        LOGF(CFG, 0, "%s private key refused: %s", type, err.text);
        server_reply_error(cmd, "parsing %.20s private key failed: %s", named, err.text);
    } else {
        send_key(c, cmd, type, slice_of(der, len));
    }
    cred_free(der, len);
}

// ---- unload-key

static bool read_key_id(const char *text, uint8_t id[KEY_ID_LEN])
{
    size_t n = 0;
    for (; isxdigit((unsigned char)text[0]) && isxdigit((unsigned char)text[1]) && n < KEY_ID_LEN;
         text += 2, n++)
        sscanf(text, "%2hhx", &id[n]);
    return n == KEY_ID_LEN && !*text;
}

static void key_unloaded(struct pending *p, bool ok, const char *text)
{
    if (ok)
        LOGF(CFG, 1, "unloaded private key %s", vici_get(p->cmd->msg.root, "id"));
    ctl_done_simple(p, ok, text);
}

static void send_unload(struct pending *p)
{
    uint8_t id[KEY_ID_LEN];
    (void)read_key_id(vici_get(p->cmd->msg.root, "id"), id);
    ctl_send(p, ROOM_KEYS, MSG_KEY_UNLOAD,
             &(struct msg_KEY_UNLOAD){.req = p->req, .id = slice_of(id, sizeof(id))});
}

void cmd_unload_key(struct ctl *c, struct command *cmd)
{
    const char *text = vici_get(cmd->msg.root, "id");
    uint8_t id[KEY_ID_LEN];
    if (!text || !read_key_id(text, id)) {
        server_reply_error(
            cmd, text ? "key not found: '%.60s' is not 40 hexadecimal digits" : "key id missing", text);
        return;
    }
    struct pending *p = ctl_ask(c, cmd, CTL_ANSWER_MS);
    if (!p)
        return;
    p->done = key_unloaded;
    p->ask_again = send_unload;
    p->once = true; // keys would know it no more
    send_unload(p);
}

// ---- get-keys

struct key_list {
    struct pages pages;
    struct vici_out out; // one reply, which a frame bounds
    pid_t keys;          // as with secrets
};

static void add_key(struct pages *p, enum msg_type t, const union msg *m)
{
    char id[2 * KEY_ID_LEN + 1];
    if (t != MSG_KEY_IS)
        return;
    put_key_id(id, m->KEY_IS.id);
    vici_item(&((struct key_list *)p)->out, id);
}

static void reply_keys(struct pages *p)
{
    struct key_list *l = (struct key_list *)p;
    struct vici_out o = l->out;
    l->out = (struct vici_out){0}; // the reply outlives the command
    vici_list_end(&o);
    server_reply(p->cmd, &o);
}

static void begin_keys(struct key_list *l)
{
    vici_out_begin(&l->out, VICI_CMD_RESPONSE, NULL);
    vici_list(&l->out, "keys");
}

static void send_list(struct pending *p)
{
    const struct pages *l = p->cmd->data;
    ((struct key_list *)p->cmd->data)->keys = p->ctl->pid[ROOM_KEYS];
    ctl_send(p, ROOM_KEYS, MSG_KEY_LIST, &(struct msg_KEY_LIST){.req = p->req, .from = l->from});
}

static void list_again(struct pending *p)
{
    struct key_list *l = p->cmd->data;
    vici_out_free(&l->out);
    begin_keys(l);
    send_list(p);
}

// As with secrets (cmd_creds.c).
static void ask_keys(struct pages *l)
{
    if (l->from && ((struct key_list *)l)->keys != l->ctl->pid[ROOM_KEYS]) {
        server_reply_error(l->cmd, "keys has been started again, and numbers them anew: ask once more");
        return;
    }
    if (((struct key_list *)l)->out.len > VICI_MAX_FRAME) {
        server_reply_error(l->cmd, "more keys than a reply of %d octets holds", VICI_MAX_FRAME);
        return;
    }
    struct pending *p = pages_ask(l);
    if (!p)
        return;
    p->ask_again = l->from ? NULL : list_again;
    send_list(p);
}

static void free_key_list(void *data)
{
    struct key_list *l = data;
    vici_out_free(&l->out);
    free(l);
}

void cmd_get_keys(struct ctl *c, struct command *cmd)
{
    struct key_list *l = calloc(1, sizeof(*l));
    if (!l) {
        server_reply_error(cmd, "out of memory");
        return;
    }
    l->pages = (struct pages){
        .ctl = c, .cmd = cmd, .ask = ask_keys, .message = add_key, .end = reply_keys, .room = "keys"};
    cmd->data = l;
    cmd->free_data = free_key_list;
    begin_keys(l);
    pages_begin(&l->pages);
}

// ---- load-token

void cmd_load_token(struct ctl *c, struct command *cmd)
{
    (void)c;
    LOGF(CFG, 0, "load-token: keys on tokens are not supported yet");
    server_reply_error(cmd, "keys on tokens are not supported yet");
}
