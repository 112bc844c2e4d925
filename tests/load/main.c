// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/load/credentials.h"
#include "tests/load/run.h"

static int say(const struct esp_error *e, int status)
{
    if (e->text[0])
        fprintf(stderr, "espalier-load: %s: %s\n", e->field, e->text);
    return status;
}

int main(int argc, char **argv)
{
    static struct processes before, after;
    struct load_result r = {0};
    struct load_options o;
    bool help;
    int ret = load_options_parse(&o, argc, argv, &help);

    if (ret != LOAD_DONE || help)
        return say(&o.error, ret);
    o.algs = cr_algs_new();
    ret = load_run(&o, &r, &before, &after, &o.error);
    if (ret == 0 && o.json)
        ret = load_write_json(&o, &r, &before, &after, &o.error);
    if (ret == 0 && !(o.json && o.json[0] == '-' && !o.json[1]))
        load_print(&o, &r, &before, &after);
    credentials_free(o.credentials);
    cr_algs_free(o.algs);
    free(r.latency_ns);
    if (ret != 0)
        return say(&o.error, LOAD_MISSING);
    return r.failed ? LOAD_FAILED : LOAD_DONE;
}
