// SPDX-License-Identifier: Apache-2.0
// Reads an `ip -batch` file of `xfrm state` and `xfrm policy` lines into the SAs and policies of a replay.
#include "sim/workbench/sad.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim/workbench/sad_words.h"
#include "sim/workbench/util.h"

static int parse_line(struct sad_words *w, struct sad *s)
{
    bool update;

    if (sad_peek(w) && strcmp(sad_peek(w), "ip") == 0)
        return sad_refuse(w, w->at, "a batch file's lines start behind the command ip, expected xfrm");
    if (!sad_accept(w, "xfrm"))
        return sad_refuse(w, w->at, "expected xfrm state add, xfrm state update or xfrm policy add");
    if (!sad_peek(w))
        return sad_lacks(w, "state or policy");
    if (sad_accept(w, "policy")) {
        if (sad_accept(w, "add"))
            return sad_parse_policy(w, s);
        return sad_peek(w) ? sad_refuse(w, w->at, "expected xfrm policy add") : sad_lacks(w, "add");
    }
    if (!sad_accept(w, "state"))
        return sad_refuse(w, w->at, "expected xfrm state or xfrm policy");
    update = sad_accept(w, "update");
    if (update || sad_accept(w, "add"))
        return sad_parse_state(w, s, update);
    return sad_peek(w) ? sad_refuse(w, w->at, "expected xfrm state add or xfrm state update")
                       : sad_lacks(w, "add");
}

static int by_priority(const void *a, const void *b)
{
    const struct sad_policy *x = a, *y = b;

    if (x->priority != y->priority)
        return x->priority < y->priority ? -1 : 1;
    return x->line < y->line ? -1 : x->line > y->line;
}

int sad_parse(struct sad *s, const char *name, char *text, size_t len, struct esp_error *err)
{
    struct sad_words *w = calloc(1, sizeof(*w));
    char *end = text + len;
    unsigned line = 0;
    int ret = 0;

    memset(s, 0, sizeof(*s));
    if (!w)
        return esp_fail(err, -ENOMEM, name, "out of memory");
    w->file = name;
    w->err = err;
    if (memchr(text, 0, len))
        ret = esp_fail(err, -EINVAL, name, "is binary, expected the text of an ip -batch file");
    while (ret == 0 && (ret = sad_read_line(w, &text, end, &line)) == 1)
        ret = w->n ? parse_line(w, s) : 0;
    free(w);
    if (ret != 0)
        sad_clear(s);
    else if (s->n_policies)
        qsort(s->policies, s->n_policies, sizeof(*s->policies), by_priority);
    return ret;
}

int sad_load(struct sad *s, const char *path, struct esp_error *err)
{
    size_t len;
    char *text = wb_read_file(path, &len, err);
    int ret;

    memset(s, 0, sizeof(*s));
    if (!text)
        return err->code;
    ret = sad_parse(s, path, text, len, err);
    explicit_bzero(text, len);
    free(text);
    return ret;
}

void sad_clear(struct sad *s)
{
    if (s->states)
        explicit_bzero(s->states, s->n_states * sizeof(*s->states));
    free(s->states);
    free(s->policies);
    memset(s, 0, sizeof(*s));
}
