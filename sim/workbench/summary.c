// SPDX-License-Identifier: Apache-2.0
// A replay's summary. The ideal is that of the pipelines: one cycle for each beat of the outer packet, the
// longer one, at the port where it passes (encapsulation: the egress; decapsulation: the ingress). What a
// direction took beyond it is split by cause as far as its ports show it.
#include "sim/workbench/summary.h"

#include <inttypes.h>
#include <string.h>

static const char *plural(uint64_t n, const char *one, const char *many)
{
    return n == 1 ? one : many;
}

// What a replay means by a reason, where that is more than the list of hw/regs says.
static const char *meaning(enum esp_status s)
{
    switch (s) {
    case ESP_STATUS_NO_SA: return "No state fits the policy's template, or none has the packet's SPI.";
    case ESP_STATUS_POLICY: return "A policy or a state's selector does not allow the packet.";
    case ESP_STATUS_TRUNCATED:
        return "Fewer octets than a length field promises, or cut by the capture's snap length.";
    default: return esp_status_text(s);
    }
}

static void print_cause(FILE *f, uint64_t cycles, const char *cause, const char **before)
{
    if (cycles == 0)
        return;
    fprintf(f, "%s%" PRIu64 " %s", *before, cycles, cause);
    *before = ", ";
}

static void print_way(FILE *f, const char *name, const struct wb_way *w)
{
    const char *before = ": ";

    if (w->packets == 0)
        return;
    fprintf(f, "  %-13s %8" PRIu64 " %s %9" PRIu64 " cycles, ideal %9" PRIu64, name, w->packets,
            plural(w->packets, "packet, ", "packets,"), w->cycles, w->ideal);
    print_cause(f, w->dropped, "for dropped packets", &before);
    print_cause(f, w->waiting, "with no packet waiting", &before);
    print_cause(f, w->stalled, "stalled inside", &before);
    fputs("\n", f);
}

static void print_timing(FILE *f, struct wb_engine *e)
{
    struct wb_timing t;

    e->ops->timing(e, &t);
    if (!t.measured)
        return;
    fprintf(f, "%u %s of 16 octets: %" PRIu64 " cycles from the first beat in to the last beat out\n",
            e->lanes, plural(e->lanes, "lane", "lanes"), t.cycles);
    print_way(f, "encapsulation", &t.encap);
    print_way(f, "decapsulation", &t.decap);
}

void summary_print(FILE *f, const struct stats *s, struct wb_engine *e)
{
    fprintf(f,
            "%s: %" PRIu64 " %s: %" PRIu64 " encrypted, %" PRIu64 " decrypted, %" PRIu64
            " passed in the clear, %" PRIu64 " dropped\n",
            e->name, s->in, plural(s->in, "packet", "packets"), s->encrypted, s->decrypted, s->bypassed,
            s->dropped);
    for (unsigned i = 0; i < STATS_REASONS; i++)
        if (s->drops[i])
            fprintf(f, "  %8" PRIu64 " %-15s %s\n", s->drops[i], esp_status_name((enum esp_status)i),
                    meaning((enum esp_status)i));
    print_timing(f, e);
}

void summary_warn(FILE *f, const struct stats *s, const struct sad *sad)
{
    bool out = false;

    if (s->encrypted + s->decrypted != 0 || s->bypassed == 0)
        return;
    for (size_t i = 0; i < sad->n_policies; i++)
        out = out || sad->policies[i].dir == SAD_OUT;
    fprintf(f, "espalier-sim: WARNING: nothing was protected: %" PRIu64 " %s passed in the clear. %s\n",
            s->bypassed, plural(s->bypassed, "packet", "packets"),
            out ? "No packet fits a policy with dir out, and none is ESP for one of the states"
                : "The SA file has no policy with dir out, and no packet is ESP for one of the states");
}
