// SPDX-License-Identifier: Apache-2.0
// `xfrm policy add ...`: selector, dir, action, priority and at most one template (ESP in tunnel or transport
// mode) with source, destination, SPI and reqid. Every other word is refused by line and word.
#include "sim/workbench/sad_words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct policy_parse {
    struct sad_words *w;
    struct sad_policy po;
    struct sad_selector_seen seen;
    bool has_dir;
};

struct tmpl_seen {
    bool src, dst, proto, spi, mode, src_ipv6;
};

static int tmpl_id(struct sad_words *w, bool *seen)
{
    if (*seen)
        return sad_refuse(w, w->at - 1, "is there twice in the template");
    *seen = true;
    return 0;
}

static int expect(struct sad_words *w, const char *what, const char *value, const char *why)
{
    const char *word;
    int ret = sad_word(w, what, &word);

    if (ret == 0 && strcmp(word, value) != 0)
        ret = sad_refuse(w, w->at - 1, "%s", why);
    return ret;
}

// 1: took a word and its value, 0: no word of a template, negative: refused.
static int tmpl_word(struct policy_parse *p, struct tmpl_seen *seen)
{
    struct sad_words *w = p->w;
    int ret;

    if (sad_accept(w, "src")) {
        ret = tmpl_id(w, &seen->src);
        ret = ret ? ret : sad_end(w, p->po.tmpl_src, &seen->src_ipv6);
    } else if (sad_accept(w, "dst")) {
        ret = tmpl_id(w, &seen->dst);
        ret = ret ? ret : sad_end(w, p->po.tmpl_dst, &p->po.tmpl_ipv6);
    } else if (sad_accept(w, "spi")) {
        ret = tmpl_id(w, &seen->spi);
        ret = ret ? ret : sad_number32(w, &p->po.tmpl_spi);
    } else if (sad_accept(w, "proto")) {
        ret = tmpl_id(w, &seen->proto);
        ret = ret ? ret : expect(w, "a protocol", "esp", "expected proto esp");
    } else if (sad_accept(w, "mode")) {
        ret = 0;
        seen->mode = true;
        p->po.tmpl_mode = sad_accept(w, "transport") ? ESP_TRANSPORT : ESP_TUNNEL;
        if (p->po.tmpl_mode == ESP_TUNNEL)
            ret = expect(w, "a mode", "tunnel", "this build offers mode tunnel and mode transport only");
    } else if (sad_accept(w, "reqid")) {
        ret = sad_number32(w, &p->po.tmpl_reqid);
    } else if (sad_accept(w, "level")) {
        ret = expect(w, "a level", "required", "this build offers level required only");
    } else {
        return 0;
    }
    return ret ? ret : 1;
}

static int parse_tmpl(struct policy_parse *p)
{
    struct tmpl_seen seen = {0};
    unsigned at = p->w->at - 1;
    int ret;

    if (p->po.has_tmpl)
        return sad_refuse(p->w, at, "this build offers one template in a policy");
    p->po.has_tmpl = true;
    while ((ret = tmpl_word(p, &seen)) > 0)
        ;
    if (ret < 0)
        return ret;
    if (!seen.proto)
        return sad_refuse(p->w, at, "the template lacks proto esp");
    if (!seen.mode)
        return sad_refuse(
            p->w, at,
            "the template lacks mode tunnel or mode transport (iproute2's default, which few mean)");
    if (seen.src && seen.dst && seen.src_ipv6 != p->po.tmpl_ipv6)
        return sad_refuse(p->w, at, "the template's src and dst are of different families");
    p->po.tmpl_ipv6 = seen.dst ? p->po.tmpl_ipv6 : seen.src_ipv6;
    return 0;
}

static int parse_dir(struct policy_parse *p)
{
    if (!sad_peek(p->w))
        return sad_lacks(p->w, "a direction");
    if (p->has_dir)
        return sad_refuse(p->w, p->w->at - 1, "is there twice");
    p->has_dir = true;
    if (sad_accept(p->w, "in"))
        p->po.dir = SAD_IN;
    else if (sad_accept(p->w, "out"))
        p->po.dir = SAD_OUT;
    else if (sad_accept(p->w, "fwd"))
        p->po.dir = SAD_FWD;
    else
        return sad_refuse(p->w, p->w->at, "expected in, out or fwd");
    return 0;
}

static int parse_action(struct policy_parse *p)
{
    if (!sad_peek(p->w))
        return sad_lacks(p->w, "an action");
    p->po.block = sad_accept(p->w, "block");
    return p->po.block || sad_accept(p->w, "allow") ? 0
                                                    : sad_refuse(p->w, p->w->at, "expected allow or block");
}

static int parse_word(struct policy_parse *p)
{
    int ret = sad_selector_word(p->w, &p->po.sel, &p->seen);

    if (ret != 0)
        return ret < 0 ? ret : 0;
    if (sad_accept(p->w, "dir"))
        return parse_dir(p);
    if (sad_accept(p->w, "action"))
        return parse_action(p);
    if (sad_accept(p->w, "priority"))
        return sad_number32(p->w, &p->po.priority);
    if (sad_accept(p->w, "tmpl"))
        return parse_tmpl(p);
    if (sad_accept(p->w, "ptype"))
        return expect(p->w, "a type", "main", "this build offers ptype main only");
    return sad_refuse(p->w, p->w->at, "not honoured in xfrm policy");
}

// Two of one selector and direction may stand there: priority, then the file's order, decides.
static int store(struct policy_parse *p, struct sad *s)
{
    struct sad_policy *bigger;

    bigger = realloc(s->policies, (s->n_policies + 1) * sizeof(*bigger));
    if (!bigger)
        return esp_fail(p->w->err, -ENOMEM, p->w->file, "out of memory");
    s->policies = bigger;
    s->policies[s->n_policies++] = p->po;
    return 0;
}

int sad_parse_policy(struct sad_words *w, struct sad *s)
{
    struct policy_parse p = {.w = w, .po = {.line = w->word[0].line}};
    int ret = 0;

    while (ret == 0 && sad_peek(w))
        ret = parse_word(&p);
    if (ret == 0)
        ret = sad_selector_check(w, &p.po.sel, &p.seen);
    if (p.po.sel.family == 0) // as iproute2 has it
        p.po.sel.family = ESP_FAMILY_IPV4;
    if (ret == 0 && !p.has_dir)
        ret = sad_lacks(w, "dir in, out or fwd");
    return ret ? ret : store(&p, s);
}
