// SPDX-License-Identifier: Apache-2.0
// See ike_watch.h.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ctrl/lib/log.h"
#include "tests/unit/ike_watch.h"

char watch_lines[65536];

static void keep(void *ctx, enum log_subsys s, int level, const char *ike_name, unsigned ike_id,
                 const char *text)
{
    size_t n = strlen(watch_lines);
    (void)ctx, (void)s, (void)level, (void)ike_name, (void)ike_id;
    snprintf(watch_lines + n, sizeof(watch_lines) - n, "%s\n", text);
}

void watch_log(void)
{
    log_set_all(1);
    log_set_sink(keep, NULL);
    watch_lines[0] = 0;
}

bool watch_said(const char *text)
{
    bool found = strstr(watch_lines, text) != NULL;
    if (!found)
        print_message("not said: %s\n%s", text, watch_lines);
    return found;
}

int watch_once(struct pair *p, unsigned number, struct datagram *d)
{
    struct watch_fault *f = p->ctx;
    (void)d;
    f->seen = number + 1 > f->seen ? number + 1 : f->seen;
    return number == f->at ? f->copies : 1;
}
