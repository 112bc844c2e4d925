// SPDX-License-Identifier: Apache-2.0
// Collects counters through the card's own registers (SNAPSHOT, COUNTER, COUNTER_NAME) and the model's
// statistics.
#include "sim/card/stats.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/regs/gen/espalier_card.h"

enum { NAME_BYTES = ESPC_COUNTER_NAME_STRIDE };

// The name of counter i; empty where there is none.
static void counter_name(struct card_device *d, unsigned i, char name[NAME_BYTES + 1])
{
    for (unsigned w = 0; w < NAME_BYTES / 4; w++) {
        uint32_t v = card_device_peek(d, ESPC_REG_COUNTER_NAME_WORD(i, w));
        for (unsigned b = 0; b < 4; b++) {
            char c = (char)(v >> 8 * b & 0xff);
            name[4 * w + b] = c == 0 || (c >= 0x20 && c < 0x7f) ? c : '?';
        }
    }
    name[NAME_BYTES] = 0;
}

static json_t *counters(struct card_device *d)
{
    if (d->fault == CARD_FAULT_HANG)
        return json_null();
    json_t *o = json_object();
    card_device_snapshot(d);
    for (unsigned i = 0; i < ESPC_COUNTER_COUNT; i++) {
        char name[NAME_BYTES + 1];
        counter_name(d, i, name);
        if (!name[0])
            continue;
        uint64_t lo = card_device_peek(d, ESPC_REG_COUNTER_LO(i)),
                 hi = card_device_peek(d, ESPC_REG_COUNTER_HI(i));
        json_object_set_new(o, name, json_integer((json_int_t)(hi << 32 | lo)));
    }
    return o;
}

static json_t *build(struct card_device *d)
{
    struct card_model_stats m;
    card_model_stats(d->model, &m);
    double cpu = (double)d->cpu_ns / 1e9;
    return json_pack("{s:i, s:i, s:I, s:s, s:b, s:I, s:I, s:f, s:f, s:{s:I, s:I, s:I, s:I, s:I}, s:{s:I, "
                     "s:I}, s:I, s:I, s:I, s:o}",
                     "lanes", (int)card_model_lanes(d->model), "sa_slots", (int)d->sa_slots, "clock_khz",
                     (json_int_t)d->clock_khz, "fault", card_fault_name(d->fault), "client",
                     vfu_server_connected(&d->server), "cycles", (json_int_t)m.cycles, "busy_cycles",
                     (json_int_t)m.busy_cycles, "cpu_seconds", cpu, "cycles_per_cpu_second",
                     cpu > 0 ? (double)d->run_cycles / cpu : 0.0, "dma", "read_bytes",
                     (json_int_t)m.read_bytes, "read_bursts", (json_int_t)m.read_bursts, "write_bytes",
                     (json_int_t)m.write_bytes, "write_bursts", (json_int_t)m.write_bursts, "errors",
                     (json_int_t)d->dma_errors, "interrupts", "raised", (json_int_t)m.irqs, "dropped",
                     (json_int_t)d->irqs_dropped, "resets", (json_int_t)d->resets, "refused_accesses",
                     (json_int_t)d->refused_accesses, "messages", (json_int_t)d->server.messages, "counters",
                     counters(d));
}

char *card_stats_json(struct card_device *d)
{
    json_t *o = build(d);
    char *text = o ? json_dumps(o, JSON_INDENT(2)) : NULL;
    json_decref(o);
    return text;
}

int card_stats_write(struct card_device *d, const char *path)
{
    char *text = card_stats_json(d), *temporary = NULL;
    int rc = -ENOMEM;
    if (!text || asprintf(&temporary, "%s.%ld.tmp", path, (long)getpid()) < 0) {
        free(text);
        return rc;
    }
    FILE *f = fopen(temporary, "w");
    rc = f ? 0 : -errno;
    if (f) {
        if (fprintf(f, "%s\n", text) < 0)
            rc = -EIO;
        if (fclose(f) != 0 && rc == 0)
            rc = -errno;
        if (rc == 0 && rename(temporary, path) < 0)
            rc = -errno;
        if (rc)
            unlink(temporary);
    }
    free(temporary);
    free(text);
    return rc;
}
