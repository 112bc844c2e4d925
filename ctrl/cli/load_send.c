// SPDX-License-Identifier: Apache-2.0
// Sending for `espalier load`, in the order of swanctl --load-all: certificates, keys and secrets,
// authorities, pools, connections, and of each then what the daemon has and the file has not. What is refused
// is said and does not keep the rest: the other connections are what protects the other networks.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/cli/json.h"
#include "ctrl/cli/load.h"
#include "ctrl/lib/printable.h"

struct sending {
    struct load *load;
    json_t *loaded, *unloaded, *refused; // with --json
    unsigned refusals, counts[LOAD_KINDS], gone[LOAD_KINDS];
    unsigned ahead; // requests that go out before the first of them is answered
};
// A daemon that answers in order is not waited for between them: with two processes at each a hundred
// thousand secrets would be so many turns of the scheduler.
enum { LOAD_MANY = 64, LOAD_AHEAD = 32 };

static void say(struct sending *s, const struct load_kind_words *k, const char *what, const char *name)
{
    char text[600];
    if (s->loaded || (!name[0] && strcmp(what, "loaded") == 0))
        return;
    snprintf(text, sizeof(text), "%s %s '%s'", what, k->word, name);
    printable_make(text);
    fprintf(s->load->cli->out, "%s\n", text);
}

static void note(json_t *to, const struct load_kind_words *k, const char *name)
{
    json_t *list = json_object_get(to, k->words);
    if (!list) {
        list = json_array();
        json_object_set_new(to, k->words, list);
    }
    json_array_append_new(list, json_text(name));
}

static void refused(struct sending *s, const struct load_kind_words *k, const char *what, const char *name)
{
    const char *why = talk_refusal(s->load->cli->talk);
    char text[300];
    s->refusals++;
    snprintf(text, sizeof(text), "%s %s%s%s%s", what, k->word, name[0] ? " '" : "", name, name[0] ? "'" : "");
    printable_make(text);
    if (s->refused)
        json_array_append_new(s->refused,
                              json_pack("{s:s, s:s, s:o, s:o}", "operation", what, "kind", k->word, "name",
                                        json_text(name), "error", json_text(why)));
    fflush(s->load->cli->out);
    fprintf(s->load->cli->err, "espalier: %s failed: %s\n", text, why);
}

// ---- loading

// A key goes by what the daemon calls it, which is what it lists later.
static void take_id(struct load_item *i, const struct vici_node *reply)
{
    const char *id = i->kind == LOAD_KEY ? vici_get(reply, "id") : NULL;
    char *copy = id ? strdup(id) : NULL;
    if (!copy)
        return;
    free(i->name);
    i->name = copy;
}

static int end_one(struct sending *s, struct load_item *i, struct esp_error *err)
{
    const struct load_kind_words *k = &load_kinds[i->kind];
    struct vici_msg reply;
    int r = talk_end(s->load->cli->talk, &reply, err);
    if (r == -EREMOTEIO) {
        refused(s, k, "loading", i->name);
        return 0;
    }
    if (r)
        return r;
    take_id(i, reply.root);
    vici_msg_free(&reply);
    s->counts[i->kind]++;
    if (s->loaded && i->name[0])
        note(s->loaded, k, i->name);
    say(s, k, "loaded", i->name);
    return 0;
}

static int load_kind(struct sending *s, enum load_kind kind, struct esp_error *err)
{
    struct load_item *next = s->load->lists[kind].first;
    unsigned under_way = 0;
    int r = 0;
    for (struct load_item *i = next; i && r == 0; i = i->next) {
        for (; next && under_way < s->ahead && r == 0; next = next->next, under_way++)
            r = talk_begin(s->load->cli->talk, &next->request, err);
        if (r == 0)
            r = end_one(s, i, err);
        under_way--;
    }
    return r;
}

// ---- unloading

static int unload_one(void *ctx, enum load_kind kind, const char *name, struct esp_error *err)
{
    struct sending *s = ctx;
    const struct load_kind_words *k = &load_kinds[kind];
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_REQUEST, k->unload);
    vici_put(&o, k->key, name);
    int r = talk_do(s->load->cli->talk, &o, NULL, NULL, TALK_ANSWER_MS, err);
    if (r == -EREMOTEIO)
        refused(s, k, "unloading", name);
    if (r)
        return r == -EREMOTEIO ? 0 : r;
    s->gone[kind]++;
    if (s->unloaded)
        note(s->unloaded, k, name);
    say(s, k, "unloaded", name);
    return 0;
}

// What was there before the load, in `had`.
static int unload_rest(struct sending *s, enum load_kind kind, const struct load_had *had,
                       struct esp_error *err)
{
    return load_had_rest(had, &s->load->lists[kind], kind, unload_one, s, err);
}

// ---- the order of it

// Only espalierd is known to answer in order, and it is asked only where that spares something.
static int find_pace(struct sending *s, struct esp_error *err)
{
    struct vici_msg version;
    struct vici_out o;
    unsigned most = 0;
    for (int k = 0; k < LOAD_KINDS; k++)
        most = s->load->lists[k].count > most ? s->load->lists[k].count : most;
    s->ahead = 1;
    if (most < LOAD_MANY)
        return 0;
    vici_out_begin(&o, VICI_CMD_REQUEST, "version");
    int r = talk_ask_ok(s->load->cli->talk, &o, &version, err);
    if (r)
        return r;
    const char *daemon = vici_get(version.root, "daemon");
    if (daemon && strcmp(daemon, "espalierd") == 0)
        s->ahead = LOAD_AHEAD;
    vici_msg_free(&version);
    return 0;
}

static int clear(struct sending *s, struct esp_error *err)
{
    struct vici_out o;
    if (!cli_given(s->load->cli, CLI_CLEAR))
        return 0;
    vici_out_begin(&o, VICI_CMD_REQUEST, "clear-creds");
    return talk_do(s->load->cli->talk, &o, NULL, NULL, TALK_ANSWER_MS, err);
}

static int send_creds(struct sending *s, struct esp_error *err)
{
    struct load_had keys = {0}, shared = {0};
    int r = clear(s, err);
    if (r == 0)
        r = load_had_get(s->load->cli, LOAD_KEY, &keys, err);
    if (r == 0)
        r = load_had_get(s->load->cli, LOAD_SHARED, &shared, err);
    for (int kind = LOAD_CERT; kind <= LOAD_SHARED && r == 0; kind++)
        r = load_kind(s, (enum load_kind)kind, err);
    if (r == 0)
        r = unload_rest(s, LOAD_KEY, &keys, err);
    if (r == 0)
        r = unload_rest(s, LOAD_SHARED, &shared, err);
    load_had_free(&keys);
    load_had_free(&shared);
    return r;
}

static int send_kind(struct sending *s, enum load_kind kind, struct esp_error *err)
{
    struct load_had had = {0};
    int r = load_had_get(s->load->cli, kind, &had, err);
    if (r == 0)
        r = load_kind(s, kind, err);
    if (r == 0)
        r = unload_rest(s, kind, &had, err);
    load_had_free(&had);
    return r;
}

static void sum_up(const struct sending *s)
{
    static const char *const plural[LOAD_KINDS] = {"certificates", "private keys", "secrets",
                                                   "authorities",  "pools",        "connections"};
    FILE *out = s->load->cli->out;
    for (int k = 0; k < LOAD_KINDS; k++)
        fprintf(out, "%s%u %s", k ? ", " : "", s->counts[k],
                s->counts[k] == 1 ? load_kinds[k].word : plural[k]);
    fprintf(out, " loaded\n");
}

int load_send(struct load *l, json_t *done, struct esp_error *err)
{
    struct sending s = {.load = l};
    if (done) {
        s.loaded = json_object();
        s.unloaded = json_object();
        s.refused = json_array();
        json_object_set_new(done, "loaded", s.loaded);
        json_object_set_new(done, "unloaded", s.unloaded);
        json_object_set_new(done, "refused", s.refused);
    }
    int r = find_pace(&s, err);
    if (r == 0)
        r = send_creds(&s, err);
    for (int kind = LOAD_AUTHORITY; kind < LOAD_KINDS && r == 0; kind++)
        r = send_kind(&s, (enum load_kind)kind, err);
    if (done)
        json_object_set_new(s.loaded, "certificates", json_integer((json_int_t)s.counts[LOAD_CERT]));
    else if (r == 0)
        sum_up(&s);
    return r ? r == -EREMOTEIO ? -EIO : r : s.refusals ? -EREMOTEIO : 0;
}
