// SPDX-License-Identifier: Apache-2.0
// Behind `espalier load`: a load ends no SA, so there may be some that were made by what has been edited or
// is loaded no more, which the daemon says of each. What can be made anew before it ends is; what cannot is
// listed with why, and ended where --apply asks for that.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/cli/json.h"
#include "ctrl/cli/load.h"
#include "ctrl/lib/printable.h"

struct outdated {
    struct outdated *next;
    bool child;
    char *id, *why;                    // why: it cannot be made anew first; NULL: it can
    char name[2 * VICI_MAX_NAME + 40]; // for people
};
struct apply {
    struct cli *cli;
    struct outdated *first, **last;
    json_t *list; // with --json
    bool no_memory;
};

// ---- which there are

static void look_at(struct apply *a, const struct vici_node *ike, const struct vici_node *child)
{
    const struct vici_node *sa = child ? child : ike;
    const char *id = vici_get(sa, "uniqueid"), *why = vici_get(sa, "stays"), *name;
    if (!vici_get(sa, "edition") || !id)
        return;
    struct outdated *o = calloc(1, sizeof(*o));
    if (o) {
        o->id = strdup(id);
        o->why = why ? strdup(why) : NULL;
        *a->last = o;
        a->last = &o->next;
    }
    if (!o || !o->id || (why && !o->why)) {
        a->no_memory = true;
        return;
    }
    name = child && vici_get(child, "name") ? vici_get(child, "name") : "";
    o->child = child != NULL;
    snprintf(o->name, sizeof(o->name), "%s %s%s%s[%s]", child ? "CHILD_SA" : "IKE_SA", ike->name,
             child ? "/" : "", name, id);
    printable_make(o->name);
}

static int take_sa(void *ctx, const char *event, const struct vici_node *root)
{
    struct apply *a = ctx;
    const struct vici_node *ike = root->child;
    if (strcmp(event, "list-sa") != 0 || !ike || ike->kind != VICI_SECTION)
        return 0;
    look_at(a, ike, NULL);
    const struct vici_node *children = vici_get(ike, "edition") ? NULL : vici_find(ike, "child-sas");
    for (const struct vici_node *k = children ? children->child : NULL; k; k = k->next)
        if (k->kind == VICI_SECTION)
            look_at(a, ike, k);
    return 0;
}

// ---- what becomes of them

static void say(struct apply *a, const struct outdated *o, const char *what, const char *why)
{
    if (a->list) {
        json_t *j = json_pack("{s:o, s:s}", "sa", json_text(o->name), "what", what);
        if (why)
            json_object_set_new(j, "why", json_text(why));
        json_array_append_new(a->list, j);
        return;
    }
    fprintf(a->cli->out, "%s: %s%s", o->name, what, why ? ": " : "");
    cli_put_clean(a->cli, why ? why : "");
    fputc('\n', a->cli->out);
}

// Made anew by an IKE_SA with authentication of its own, which brings its CHILD SAs; a CHILD SA on the one
// that there is.
static int ask(struct apply *a, const struct outdated *o, bool end, struct esp_error *err)
{
    struct vici_out out;
    vici_out_begin(&out, VICI_CMD_REQUEST, end ? "terminate" : "rekey");
    vici_put(&out, o->child ? "child-id" : "ike-id", o->id);
    if (end)
        vici_put(&out, "timeout", "-1");
    else
        vici_put(&out, o->child ? "anew" : "reauth", "yes");
    return talk_do(a->cli->talk, &out, NULL, NULL, TALK_ANSWER_MS, err);
}

static int apply_one(struct apply *a, const struct outdated *o, struct esp_error *err)
{
    bool end = o->why && cli_given(a->cli, CLI_APPLY);
    if (o->why && !end) {
        say(a, o, "goes on as it was made, unless --apply ends it", o->why);
        return 0;
    }
    int r = ask(a, o, end, err);
    if (r == -EREMOTEIO) { // it has gone meanwhile, or become what it is to be
        *err = (struct esp_error){0};
        return 0;
    }
    if (r == 0)
        say(a, o, end ? "is ended" : "was made by what has been edited, and is made anew", o->why);
    return r;
}

int load_apply(struct cli *cli, json_t *done, struct esp_error *err)
{
    struct apply a = {.cli = cli, .list = done ? json_array() : NULL};
    a.last = &a.first;
    int r = talk_register(cli->talk, "list-sa", err);
    if (r == 0)
        r = cli_list(cli, "list-sas", take_sa, &a, NULL, NULL, "noblock", err);
    if (r == 0 && a.no_memory)
        r = esp_fail(err, -ENOMEM, "", "out of memory");
    for (const struct outdated *o = a.first; o && r == 0; o = o->next)
        r = apply_one(&a, o, err);
    for (struct outdated *o = a.first, *next; o; o = next) {
        next = o->next;
        free(o->id);
        free(o->why);
        free(o);
    }
    if (done)
        json_object_set_new(done, "sas", a.list);
    return r;
}
