// SPDX-License-Identifier: Apache-2.0
// The result as a table for people and as JSON for programs.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <jansson.h>

#include "tests/load/run.h"

static double at(const struct load_result *r, unsigned per_mille) // milliseconds
{
    size_t i = (size_t)(r->done ? r->done - 1 : 0) * per_mille / 1000;

    return r->done ? (double)r->latency_ns[i] / 1e6 : 0;
}

static double per(uint64_t what, uint64_t count)
{
    return count ? (double)what / (double)count : 0;
}

// Of the processes that were there all the time.
static uint64_t cpu_spent(const struct processes *before, const struct processes *after)
{
    uint64_t all = 0;

    for (unsigned i = 0; i < after->count; i++) {
        const struct process *b = process_find(before, after->p[i].pid);
        if (b)
            all += after->p[i].cpu_ns - b->cpu_ns;
    }
    return all;
}

static int64_t octets_grown(const struct processes *before, const struct processes *after)
{
    return (int64_t)processes_octets(after) - (int64_t)processes_octets(before);
}

static void print_process(const struct process *p, const struct processes *before, uint32_t count)
{
    const struct process *b = process_find(before, p->pid);

    if (!b) {
        printf("  %-28s began meanwhile\n", p->name);
        return;
    }
    printf("  %-28s %10.1f us each %10.0f octets each %10.1f MB\n", p->name,
           per(p->cpu_ns - b->cpu_ns, count) / 1e3,
           ((double)p->own_octets - (double)b->own_octets) / (count ? count : 1),
           (double)p->own_octets / 1e6);
}

void load_print(const struct load_options *o, const struct load_result *r, const struct processes *before,
                const struct processes *after)
{
    double seconds = (double)r->elapsed_ns / 1e9;

    printf("%s: %u begun, %u done, %u failed in %.3f s: %.0f a second\n", load_kind_word(o->kind), r->begun,
           r->done, r->failed, seconds, seconds > 0 ? r->done / seconds : 0);
    if (r->failed)
        printf("  the first that failed: %s\n", r->why);
    printf("  datagrams: %llu sent, %llu came, %llu sent again, %llu not sent, %llu that nobody could open\n",
           (unsigned long long)r->sent, (unsigned long long)r->received, (unsigned long long)r->retransmitted,
           (unsigned long long)r->send_errors, (unsigned long long)r->unopened);
    printf("  answers: %llu cookies, %llu refusals; %u requests of the responder, %u SAs ended by it\n",
           (unsigned long long)r->cookies, (unsigned long long)r->refused, r->peer_requests,
           r->ended_by_peer);
    if (r->latency_ns && r->done)
        printf("  until done, ms: %.2f at the fastest, %.2f median, %.2f of 90 %%, %.2f of 99 %%, %.2f the "
               "slowest\n",
               at(r, 0), at(r, 500), at(r, 900), at(r, 990), at(r, 1000));
    if (!after->count)
        return;
    printf("  responder: %.1f us of CPU each, %.0f octets each\n",
           per(cpu_spent(before, after), r->done) / 1e3,
           (double)octets_grown(before, after) / (r->done ? r->done : 1));
    for (unsigned i = 0; i < after->count; i++)
        print_process(&after->p[i], before, r->done);
}

static json_t *processes_json(const struct load_result *r, const struct processes *before,
                              const struct processes *after)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < after->count; i++) {
        const struct process *p = &after->p[i], *b = process_find(before, p->pid);
        json_array_append_new(
            list, json_pack("{s:i, s:s, s:f, s:I, s:I}", "pid", p->pid, "name", p->name, "cpu_us_each",
                            b ? per(p->cpu_ns - b->cpu_ns, r->done) / 1e3 : 0.0, "octets_before",
                            (json_int_t)(b ? b->own_octets : 0), "octets_after", (json_int_t)p->own_octets));
    }
    return list;
}

int load_write_json(const struct load_options *o, const struct load_result *r, const struct processes *before,
                    const struct processes *after, struct esp_error *err)
{
    double seconds = (double)r->elapsed_ns / 1e9;
    json_t *j = json_pack("{s:s, s:i, s:i, s:i, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:i, s:i}", "kind",
                          load_kind_word(o->kind), "begun", (int)r->begun, "done", (int)r->done, "failed",
                          (int)r->failed, "seconds", seconds, "rate", seconds > 0 ? r->done / seconds : 0.0,
                          "sent", (json_int_t)r->sent, "received", (json_int_t)r->received, "retransmitted",
                          (json_int_t)r->retransmitted, "cookies", (json_int_t)r->cookies, "refused",
                          (json_int_t)r->refused, "ended_by_peer", (int)r->ended_by_peer, "peer_requests",
                          (int)r->peer_requests);
    int ret;

    if (r->latency_ns)
        json_object_set_new(j, "latency_ms",
                            json_pack("{s:f, s:f, s:f, s:f, s:f}", "min", at(r, 0), "median", at(r, 500),
                                      "p90", at(r, 900), "p99", at(r, 990), "max", at(r, 1000)));
    if (after->count)
        json_object_set_new(j, "responder",
                            json_pack("{s:f, s:f, s:o}", "cpu_us_each",
                                      per(cpu_spent(before, after), r->done) / 1e3, "octets_each",
                                      (double)octets_grown(before, after) / (r->done ? r->done : 1),
                                      "processes", processes_json(r, before, after)));
    if (r->failed)
        json_object_set_new(j, "why", json_string(r->why));
    ret = strcmp(o->json, "-") == 0 ? json_dumpf(j, stdout, JSON_INDENT(1))
                                    : json_dump_file(j, o->json, JSON_INDENT(1));
    json_decref(j);
    if (ret != 0)
        return esp_fail(err, -EIO, "--json", "%s cannot be written", o->json);
    return 0;
}
