// SPDX-License-Identifier: Apache-2.0
// Reads an `ip -batch` file of `xfrm state` and `xfrm policy` lines into the SAs and policies of a replay,
// with the meaning that iproute2 6.1 and the kernel give them.
#include "sim/workbench/sad.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim/workbench/sad_words.h"
#include "sim/workbench/util.h"

// `xfrm state flush [proto P]`: what stands above is gone, as it is in the kernel.
static int flush_states(struct sad_words *w, struct sad *s)
{
    static const char *const others[] = {"ah", "comp", "route2", "hao"};
    bool ours = true;

    if (sad_accept(w, "proto")) {
        if (!sad_peek(w))
            return sad_lacks(w, "a protocol");
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]) && ours; i++)
            ours = !sad_accept(w, others[i]);
        if (ours && !sad_accept(w, "esp") && !sad_accept(w, "ipsec-any"))
            return sad_refuse(w, w->at, "expected esp, ah, comp, route2, hao or ipsec-any");
    }
    if (sad_peek(w))
        return sad_refuse(w, w->at, "not honoured in xfrm state flush");
    if (ours)
        sad_clear_states(s);
    return 0;
}

static int flush_policies(struct sad_words *w, struct sad *s)
{
    bool main = true;

    if (sad_accept(w, "ptype")) {
        if (!sad_peek(w))
            return sad_lacks(w, "a type");
        main = !sad_accept(w, "sub");
        if (main && !sad_accept(w, "main"))
            return sad_refuse(w, w->at, "expected main or sub");
    }
    if (sad_peek(w))
        return sad_refuse(w, w->at, "not honoured in xfrm policy flush");
    if (main)
        s->n_policies = 0;
    return 0;
}

static int parse_state_line(struct sad_words *w, struct sad *s)
{
    if (sad_accept_command(w, "add"))
        return sad_parse_state(w, s, false);
    if (sad_accept_command(w, "update"))
        return sad_parse_state(w, s, true);
    if (sad_accept_command(w, "flush"))
        return flush_states(w, s);
    return sad_peek(w) ? sad_refuse(w, w->at, "expected xfrm state add, update or flush")
                       : sad_lacks(w, "add");
}

static int parse_policy_line(struct sad_words *w, struct sad *s)
{
    if (sad_accept_command(w, "add"))
        return sad_parse_policy(w, s);
    if (sad_accept_command(w, "flush"))
        return flush_policies(w, s);
    return sad_peek(w) ? sad_refuse(w, w->at, "expected xfrm policy add or flush") : sad_lacks(w, "add");
}

// Commands may be cut short as in iproute2 (`x s a`); the words behind them may not.
static int parse_line(struct sad_words *w, struct sad *s)
{
    if (sad_peek(w) && strcmp(sad_peek(w), "ip") == 0)
        return sad_refuse(w, w->at, "a batch file's lines start behind the command ip, expected xfrm");
    if (!sad_accept_command(w, "xfrm"))
        return sad_refuse(w, w->at, "expected xfrm state or xfrm policy");
    if (!sad_peek(w))
        return sad_lacks(w, "state or policy");
    if (sad_accept_command(w, "state") || sad_accept_command(w, "sa"))
        return parse_state_line(w, s);
    if (sad_accept_command(w, "policy"))
        return parse_policy_line(w, s);
    return sad_refuse(w, w->at, "expected xfrm state or xfrm policy");
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

unsigned sad_ipv6_line(const struct sad *s)
{
    for (size_t i = 0; i < s->n_states; i++)
        if (s->states[i].ipv6)
            return s->states[i].line;
    return 0;
}

void sad_clear_states(struct sad *s)
{
    if (s->states)
        explicit_bzero(s->states, s->n_states * sizeof(*s->states));
    free(s->states);
    s->states = NULL;
    s->n_states = 0;
}

void sad_clear(struct sad *s)
{
    sad_clear_states(s);
    free(s->policies);
    memset(s, 0, sizeof(*s));
}
