// SPDX-License-Identifier: Apache-2.0
// What a replay counts, and its JSON: {engine, lanes, packets, drops, sas, cycles, cycles_per_packet,
// bytes_per_cycle, latency}. The four last are null where nothing was measured (software, or no packet
// through the pipeline).
#include "sim/workbench/stats.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/workbench/util.h"

static void take_latency(struct stats *s, uint64_t cycles)
{
    if (s->n_latency == s->cap_latency) {
        size_t cap = s->cap_latency ? s->cap_latency * 2 : 4096;
        uint32_t *bigger = realloc(s->latency, cap * sizeof(*bigger));
        if (!bigger) // the figure is then over the packets so far
            return;
        s->latency = bigger;
        s->cap_latency = cap;
    }
    s->latency[s->n_latency++] = cycles < UINT32_MAX ? (uint32_t)cycles : UINT32_MAX;
}

void stats_take(struct stats *s, const struct pass_result *r)
{
    s->in++;
    s->out += r->end != PASS_DROPPED;
    s->encrypted += r->end == PASS_ENCRYPTED;
    s->decrypted += r->end == PASS_DECRYPTED;
    s->bypassed += r->end == PASS_BYPASSED;
    s->dropped += r->end == PASS_DROPPED;
    if (r->end == PASS_DROPPED)
        s->drops[(unsigned)r->reason % STATS_REASONS]++;
    if (r->went_in)
        take_latency(s, r->latency);
}

void stats_clear(struct stats *s)
{
    free(s->latency);
    memset(s, 0, sizeof(*s));
}

static json_t *packets_json(const struct stats *s)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "in", (json_int_t)s->in, "out", (json_int_t)s->out,
                     "encrypted", (json_int_t)s->encrypted, "decrypted", (json_int_t)s->decrypted, "bypassed",
                     (json_int_t)s->bypassed, "dropped", (json_int_t)s->dropped);
}

static json_t *drops_json(const struct stats *s)
{
    json_t *o = json_object();

    for (unsigned i = 0; i < STATS_REASONS; i++)
        if (s->drops[i])
            json_object_set_new(o, esp_status_name((enum esp_status)i),
                                json_integer((json_int_t)s->drops[i]));
    return o;
}

static int sas_json(json_t *array, struct wb_engine *e, const struct sad *sad, struct esp_error *err)
{
    for (unsigned i = 0; i < sad->n_states; i++) {
        char dst[INET6_ADDRSTRLEN];
        inet_ntop(sad->states[i].ipv6 ? AF_INET6 : AF_INET, sad->states[i].dst, dst, sizeof(dst));
        for (int dir = ESP_OUT; dir <= ESP_IN; dir++) {
            struct esp_sa_stats st;
            int ret = e->ops->stats(e, i, dir, &st, err);
            if (ret != 0)
                return ret;
            json_array_append_new(
                array, json_pack("{s:I,s:s,s:s,s:I,s:I,s:I}", "spi", (json_int_t)sad->states[i].spi, "dst",
                                 dst, "use", dir == ESP_IN ? "in" : "out", "packets", (json_int_t)st.packets,
                                 "bytes", (json_int_t)st.bytes, "last_seq", (json_int_t)st.last_seq));
        }
    }
    return 0;
}

static int compare32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void add_timing(json_t *root, struct stats *s, struct wb_engine *e)
{
    struct wb_timing t;

    e->ops->timing(e, &t);
    if (!t.measured || t.packets == 0 || t.egress == 0 || s->n_latency == 0) {
        static const char *const names[] = {"cycles", "cycles_per_packet", "bytes_per_cycle", "latency"};
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            json_object_set_new(root, names[i], json_null());
        return;
    }
    qsort(s->latency, s->n_latency, sizeof(*s->latency), compare32);
    json_object_set_new(root, "cycles", json_integer((json_int_t)t.cycles));
    json_object_set_new(root, "cycles_per_packet", json_real((double)t.egress / (double)t.packets));
    json_object_set_new(root, "bytes_per_cycle", json_real((double)t.bytes / (double)t.egress));
    json_object_set_new(root, "latency",
                        json_pack("{s:I,s:I,s:I}", "min", (json_int_t)s->latency[0], "median",
                                  (json_int_t)s->latency[s->n_latency / 2], "max",
                                  (json_int_t)s->latency[s->n_latency - 1]));
}

static const size_t json_style = JSON_INDENT(2) | JSON_REAL_PRECISION(6);

static int cannot_write(const char *path, struct esp_error *err)
{
    return esp_fail(err, errno ? -errno : -EIO, path, "cannot be written: %s", strerror(errno));
}

// Into a temporary file beside `target`, which is then renamed.
static int write_beside(const json_t *root, const char *path, const char *target, struct esp_error *err)
{
    char *temporary;
    FILE *f;
    int ret = 0;

    if (asprintf(&temporary, "%s.XXXXXX", target) < 0)
        return esp_fail(err, -ENOMEM, path, "out of memory");
    f = wb_temporary_open(temporary);
    if (!f) {
        ret = cannot_write(path, err);
    } else {
        bool whole = json_dumpf(root, f, json_style) == 0;
        whole = fclose(f) == 0 && whole;
        if (!whole || rename(temporary, target) != 0) {
            ret = cannot_write(path, err);
            unlink(temporary);
        }
    }
    wb_temporary_done(temporary);
    free(temporary);
    return ret;
}

static int write_renamed(const json_t *root, const char *path, struct esp_error *err)
{
    struct stat st;
    char *target;
    int ret;

    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) // a pipe or a terminal
        return json_dump_file(root, path, json_style) == 0 ? 0 : cannot_write(path, err);
    target = wb_target(path);
    ret = target ? write_beside(root, path, target, err) : esp_fail(err, -ENOMEM, path, "out of memory");
    free(target);
    return ret;
}

int stats_write(struct stats *s, const char *path, struct wb_engine *e, const struct sad *sad,
                struct esp_error *err)
{
    json_t *root = json_object(), *sas = json_array();
    int ret;

    json_object_set_new(root, "engine", json_string(e->name));
    json_object_set_new(root, "lanes", e->lanes ? json_integer(e->lanes) : json_null());
    json_object_set_new(root, "packets", packets_json(s));
    json_object_set_new(root, "drops", drops_json(s));
    json_object_set_new(root, "sas", sas);
    ret = sas_json(sas, e, sad, err);
    add_timing(root, s, e);
    if (ret == 0)
        ret = write_renamed(root, path, err);
    json_decref(root);
    return ret;
}
