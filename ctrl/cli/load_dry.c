// SPDX-License-Identifier: Apache-2.0
// `espalier load --dry-run`: what a load would bring and take away, by name, and of connections that are
// loaded what of them would be another, key by key, as the daemon compares it. Secrets and credentials are
// compared by name alone: none is told to anybody.
#include <errno.h>
#include <string.h>

#include "ctrl/cli/json.h"
#include "ctrl/cli/load.h"
#include "ctrl/lib/printable.h"

struct dry {
    struct load *load;
    json_t *new, *edited, *gone, *refused; // with --json
    unsigned changes, refusals;
};

static void say(struct dry *d, json_t *to, const char *what, enum load_kind kind, const char *name)
{
    d->changes++;
    if (to) {
        json_t *list = json_object_get(to, load_kinds[kind].words);
        if (!list && (list = json_array()) != NULL)
            json_object_set_new(to, load_kinds[kind].words, list);
        json_array_append_new(list, json_text(name));
        return;
    }
    fprintf(d->load->cli->out, "would %s %s '", what, load_kinds[kind].word);
    cli_put_clean(d->load->cli, name);
    fputs("'\n", d->load->cli->out);
}

static int say_gone(void *ctx, enum load_kind kind, const char *name, struct esp_error *err)
{
    struct dry *d = ctx;
    (void)err;
    say(d, d->gone, "unload", kind, name);
    return 0;
}

static int say_new(void *ctx, enum load_kind kind, const char *name, struct esp_error *err)
{
    struct dry *d = ctx;
    (void)err;
    say(d, d->new, "load", kind, name);
    return 0;
}

static void say_refused(struct dry *d, const char *name)
{
    const char *why = talk_refusal(d->load->cli->talk);
    d->refusals++;
    if (d->refused)
        json_array_append_new(d->refused,
                              json_pack("{s:o, s:o}", "name", json_text(name), "error", json_text(why)));
    fflush(d->load->cli->out);
    fputs("espalier: connection '", d->load->cli->err);
    printable_put(d->load->cli->err, name);
    fprintf(d->load->cli->err, "' would be refused: %s\n", why);
}

static void say_keys(struct dry *d, const char *name, const struct vici_node *keys)
{
    json_t *list = d->edited ? json_array() : NULL;
    if (!keys || !keys->child) {
        json_decref(list);
        return;
    }
    d->changes++;
    if (!list) {
        fputs("would edit connection '", d->load->cli->out);
        cli_put_clean(d->load->cli, name);
        fputs("':", d->load->cli->out);
    }
    for (const struct vici_node *k = keys->child; k; k = k->next) {
        const char *key = vici_text(k) ? vici_text(k) : "?";
        if (list) {
            json_array_append_new(list, json_text(key));
            continue;
        }
        fputs(k == keys->child ? " " : ", ", d->load->cli->out);
        cli_put_clean(d->load->cli, key);
    }
    if (list)
        json_object_set_new(d->edited, name, list);
    else
        fputc('\n', d->load->cli->out);
}

static int compare(struct dry *d, struct load_item *i, struct esp_error *err)
{
    struct vici_msg reply;
    int r = talk_ask_ok(d->load->cli->talk, &i->request, &reply, err);
    if (r == -EREMOTEIO) {
        *err = (struct esp_error){0};
        say_refused(d, i->name);
        return 0;
    }
    if (r == -ENOSYS)
        return esp_fail(err, -ENOSYS, "--dry-run",
                        "the daemon cannot compare connections: it is no espalierd, or an older one");
    if (r)
        return r;
    if (vici_get_yes(reply.root, "loaded", false))
        say_keys(d, i->name, vici_find(reply.root, "keys"));
    else
        say(d, d->new, "load", LOAD_CONN, i->name);
    vici_msg_free(&reply);
    return 0;
}

static int compare_kind(struct dry *d, enum load_kind kind, struct esp_error *err)
{
    struct load_list *list = &d->load->lists[kind];
    struct load_had had = {0};
    int r = load_had_get(d->load->cli, kind, &had, err);
    for (struct load_item *i = list->first; i && kind == LOAD_CONN && r == 0; i = i->next)
        r = compare(d, i, err);
    if (r == 0 && kind != LOAD_CONN)
        r = load_had_lacks(&had, list, kind, say_new, d, err);
    if (r == 0)
        r = load_had_rest(&had, list, kind, say_gone, d, err);
    load_had_free(&had);
    return r;
}

int load_dry(struct load *l, json_t *done, struct esp_error *err)
{
    struct dry d = {.load = l};
    int r = 0;
    if (done) {
        d.new = json_object();
        d.edited = json_object();
        d.gone = json_object();
        d.refused = json_array();
        json_object_set_new(done, "new", d.new);
        json_object_set_new(done, "edited", d.edited);
        json_object_set_new(done, "unloaded", d.gone);
        json_object_set_new(done, "refused", d.refused);
    }
    for (int kind = LOAD_KEY; kind < LOAD_KINDS && r == 0; kind++)
        r = compare_kind(&d, (enum load_kind)kind, err);
    if (r == 0 && !done && !d.changes && !d.refusals)
        fputs("all of it is loaded as it is there\n", l->cli->out);
    return r ? r == -EREMOTEIO ? -EIO : r : d.refusals ? -EREMOTEIO : 0;
}
