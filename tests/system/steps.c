// SPDX-License-Identifier: Apache-2.0
#include "tests/system/steps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

void needs_strongswan(void)
{
    if (have_strongswan())
        return;
    print_message("skip: strongSwan is not installed\n");
    skip();
}

bool initiate(struct site *s)
{
    char out[16384];
    return swanctl(s, out, sizeof(out), "--initiate --child net --timeout 20") == 0;
}

bool file_says(const char *folder, const char *name, const char *text)
{
    char path[300], line[2000];
    bool found = false;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "r");
    while (f && !found && fgets(line, sizeof(line), f))
        found = strstr(line, text) != NULL;
    if (f)
        fclose(f);
    return found;
}

struct line {
    const struct site *s;
    const char *text;
};

static bool is_logged(void *ctx)
{
    const struct line *l = ctx;
    return file_says(l->s->dir, l->s->charon ? "charon.log" : "daemon.log", l->text);
}

bool logged(const struct site *s, const char *text)
{
    return wait_for(is_logged, &(struct line){s, text}, PATIENCE_MS) ||
           complain("%s does not say: %s", s->name, text);
}

void start_capture(struct lab *l, char *pcap, size_t size)
{
    snprintf(pcap, size, "%.90s/wire.pcap", l->dir);
    assert_true(capture_start(l, &l->west, pcap));
}

void only_esp(struct lab *l, const char *pcap, uint64_t least)
{
    struct wire w;
    assert_true(capture_stop(&l->west));
    assert_true(wire_check(pcap, &w));
    if (w.esp < least || w.repeated || w.plaintext || w.other)
        fail_msg("on the wire: %llu ESP, %llu repeated, %llu of the inner networks, %llu others",
                 (unsigned long long)w.esp, (unsigned long long)w.repeated, (unsigned long long)w.plaintext,
                 (unsigned long long)w.other);
}

struct leading {
    const struct lab *lab;
    const char *device;
};

static bool leads_by(void *ctx)
{
    const struct leading *l = ctx;
    char west[512], east[512];
    sh_read(west, sizeof(west), "nsenter --net=%s ip route get 10.2.9.5", l->lab->west.ns);
    sh_read(east, sizeof(east), "nsenter --net=%s ip route get 10.1.9.5", l->lab->east.ns);
    return strstr(west, l->device) && strstr(east, l->device);
}

double await_way(const struct lab *lab, const char *device, int most_ms)
{
    struct leading l = {lab, device};
    uint64_t from = mono_us();
    if (!wait_for(leads_by, &l, most_ms))
        fail_msg("both ends do not come to lead by%s within %d s", device, most_ms / 1000);
    return (double)(mono_us() - from) / 1e6;
}
