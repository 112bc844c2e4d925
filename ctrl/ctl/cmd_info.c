// SPDX-License-Identifier: Apache-2.0
// What the daemon says of itself: version, stats, algorithms, counters, and rereading its settings.
#include "ctrl/ctl/ctl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "ctrl/config/values.h"
#include "ctrl/config/version.h"
#include "ctrl/crypto/crypto.h"
#include "ctrl/lib/log.h"

void cmd_version(struct ctl *c, struct command *cmd)
{
    struct utsname u;
    struct vici_out o;
    (void)c;
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_put(&o, "daemon", "espalierd");
    vici_put(&o, "version", ESPALIER_VERSION);
    if (uname(&u) == 0) {
        vici_put(&o, "sysname", u.sysname);
        vici_put(&o, "release", u.release);
        vici_put(&o, "machine", u.machine);
    }
    server_reply(cmd, &o);
}

// ---- stats

static void put_uptime(struct vici_out *o, const struct ctl *c)
{
    char since[64];
    struct tm tm;
    time_t at = (time_t)c->kept->started;
    uint64_t s = (loop_now(c->loop) - c->kept->started_ms) / 1000;
    const char *unit = "seconds";
    uint64_t n = s;
    if (s >= 2 * 86400) {
        n = s / 86400;
        unit = "days";
    } else if (s >= 2 * 3600) {
        n = s / 3600;
        unit = "hours";
    } else if (s >= 2 * 60) {
        n = s / 60;
        unit = "minutes";
    }
    localtime_r(&at, &tm);
    strftime(since, sizeof(since), "%b %d %H:%M:%S %Y", &tm);
    vici_section(o, "uptime");
    vici_putf(o, "running", "%llu %s", (unsigned long long)n, unit);
    vici_put(o, "since", since);
    vici_section_end(o);
}

static void put_levels(struct vici_out *o, const char *name)
{
    static const char *const levels[] = {"critical", "high", "medium", "low"};
    vici_section(o, name);
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
        vici_put(o, levels[i], "0");
    vici_section_end(o);
}

static void put_processes(struct vici_out *o, const struct ctl *c)
{
    static const char *const names[] = {
#define X(sym, name) name,
        ROOM_LIST(X)
#undef X
    };
    unsigned n = 0;
    for (int r = 0; r < ROOM_COUNT; r++)
        n += c->pid[r] > 0;
    vici_section(o, "workers"); // charon has threads here; one process is one worker
    vici_putf(o, "total", "%u", n);
    vici_putf(o, "idle", "%u", n);
    put_levels(o, "active");
    vici_section_end(o);
    put_levels(o, "queues");
    vici_putf(o, "scheduled", "%u", c->pending_count);
    vici_section(o, "processes");
    for (int r = 0; r < ROOM_COUNT; r++) {
        if (c->pid[r] > 0)
            vici_putf(o, names[r], "%d", (int)c->pid[r]);
    }
    vici_section_end(o);
}

static void put_vici(struct vici_out *o, const struct ctl *c)
{
    struct server_counts n = server_counts(c->server);
    vici_section(o, "vici");
    vici_putf(o, "clients", "%u", n.clients);
    vici_putf(o, "commands", "%llu", (unsigned long long)n.commands);
    vici_putf(o, "events-dropped", "%llu", (unsigned long long)n.events_dropped);
    vici_putf(o, "clients-dropped", "%llu", (unsigned long long)n.clients_dropped);
    vici_putf(o, "bad-frames", "%llu", (unsigned long long)n.bad_frames);
    vici_section_end(o);
}

struct stats {
    uint32_t total, half_open;
};

static void take_stats(struct pending *p, enum msg_type t, const union msg *m)
{
    struct stats *s = p->data;
    if (t == MSG_IKE_STATS_IS)
        *s = (struct stats){m->IKE_STATS_IS.total, m->IKE_STATS_IS.half_open};
}

static void stats_done(struct pending *p, bool ok, const char *text)
{
    const struct stats *s = p->data;
    struct vici_out o;
    if (!ok)
        LOGF(CFG, 1, "stats without IKE SAs: ike: %s", text);
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    put_uptime(&o, p->ctl);
    put_processes(&o, p->ctl);
    vici_section(&o, "ikesas");
    vici_putf(&o, "total", "%u", s->total);
    vici_putf(&o, "half-open", "%u", s->half_open);
    vici_section_end(&o);
    put_vici(&o, p->ctl);
    vici_list(&o, "plugins");
    vici_list_end(&o);
    server_reply(p->cmd, &o);
}

void cmd_stats(struct ctl *c, struct command *cmd)
{
    struct stats *s = calloc(1, sizeof(*s));
    struct pending *p = s ? ctl_ask(c, cmd, CTL_ANSWER_MS) : NULL;
    if (!s)
        server_reply_error(cmd, "out of memory");
    if (!p) {
        free(s);
        return;
    }
    p->data = s;
    p->free_data = free;
    p->message = take_stats;
    p->done = stats_done;
    ctl_send(p, ROOM_IKE, MSG_IKE_STATS, &(struct msg_IKE_STATS){.req = p->req});
}

// ---- settings

void cmd_reload_settings(struct ctl *c, struct command *cmd)
{
    struct pending *p = ctl_ask(c, cmd, CTL_ANSWER_MS);
    if (p)
        ctl_send(p, ROOM_SUPER, MSG_RELOAD, &(struct msg_RELOAD){.req = p->req});
}

// ---- algorithms

static const struct {
    uint8_t type;
    uint16_t id;
    const char *name;
} registry[] = {
#define X(sym, ttype, tid, bits, kw, nm) {ttype, tid, nm},
    TRANSFORM_LIST(X)
#undef X
};

static bool is_aead(const char *name)
{
    return strncmp(name, "AES_GCM", 7) == 0 || strncmp(name, "CHACHA20", 8) == 0;
}

static void put_algorithms(struct vici_out *o, const char *section, uint8_t type, bool aead)
{
    const char *last = "";
    vici_section(o, section);
    for (size_t i = 0; i < sizeof(registry) / sizeof(registry[0]); i++) {
        bool wanted = registry[i].type == type && (type != TR_ENCR || is_aead(registry[i].name) == aead);
        if (!wanted || !registry[i].id) // 0: none
            continue;
        if (type == TR_KE && !cr_dh_public_len(registry[i].id)) // this OpenSSL lacks it
            continue;
        if (strcmp(registry[i].name, last) == 0) // the key lengths of one cipher stand together
            continue;
        last = registry[i].name;
        vici_put(o, last, "openssl");
    }
    vici_section_end(o);
}

void cmd_get_algorithms(struct ctl *c, struct command *cmd)
{
    struct vici_out o;
    (void)c;
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    put_algorithms(&o, "encryption", TR_ENCR, false);
    put_algorithms(&o, "integrity", TR_INTEG, false);
    put_algorithms(&o, "aead", TR_ENCR, true);
    put_algorithms(&o, "prf", TR_PRF, false);
    put_algorithms(&o, "dh", TR_KE, false);
    server_reply(cmd, &o);
}

// ---- counters

void ctl_free_counters(struct ctl *c)
{
    while (c->counters) {
        struct counter *n = c->counters;
        c->counters = n->next;
        free(n);
    }
}

// NULL: there are as many as there may be, or no memory.
static struct counter *need_counter(struct ctl *c, const char *name)
{
    struct counter **p = &c->counters;
    unsigned count = 0;
    while (*p && strcmp((*p)->name, name) != 0) {
        p = &(*p)->next;
        count++;
    }
    if (!*p && count < CTL_MAX_NAMED && (*p = calloc(1, sizeof(**p))))
        snprintf((*p)->name, sizeof((*p)->name), "%.63s", name);
    return *p;
}

static void set_counter(struct ctl *c, const char *name, uint64_t value)
{
    struct counter *n = need_counter(c, name);
    if (n)
        n->value = value;
}

// The bank that is not in use is filled; then it is the one in use. What is read from there is no index.
static void keep_baselines(const struct ctl *c)
{
    uint32_t next = ~c->kept->bank & 1, count = 0;
    struct ctl_kept_bank *b = &c->kept->banks[next];
    for (const struct counter *n = c->counters; n && count < KEPT_COUNTERS; n = n->next) {
        b->of[count].baseline = n->baseline;
        memcpy(b->of[count++].name, n->name, KEPT_NAME_LEN);
    }
    b->count = count;
    __atomic_store_n(&c->kept->bank, next, __ATOMIC_RELEASE);
}

void ctl_kept_counters(struct ctl *c)
{
    const struct ctl_kept_bank *b = &c->kept->banks[c->kept->bank & 1];
    for (uint32_t i = 0; i < b->count && i < KEPT_COUNTERS; i++) {
        char name[KEPT_NAME_LEN];
        snprintf(name, sizeof(name), "%.*s", KEPT_NAME_LEN - 1, b->of[i].name);
        struct counter *n = need_counter(c, name);
        if (n)
            n->value = n->baseline = b->of[i].baseline;
    }
}

// "name value\n" lines
static void take_lines(struct ctl *c, struct slice text)
{
    while (text.len) {
        char line[128];
        const uint8_t *end = memchr(text.p, '\n', text.len);
        size_t n = end ? (size_t)(end - text.p) : text.len;
        snprintf(line, sizeof(line), "%.*s", (int)(n < sizeof(line) ? n : sizeof(line) - 1),
                 (const char *)text.p);
        char *space = strrchr(line, ' ');
        uint64_t value;
        if (space && space - line < (ptrdiff_t)sizeof(((struct counter *)0)->name) && space != line) {
            *space = 0;
            if (value_number(space + 1, 0, UINT64_MAX, &value))
                set_counter(c, line, value);
        }
        n += end != NULL;
        text = slice_of(text.p + n, text.len - n);
    }
}

static void take_counters(struct pending *p, enum msg_type t, const union msg *m)
{
    if (t == MSG_IKE_STATS_IS)
        take_lines(p->ctl, m->IKE_STATS_IS.counters);
    else if (t == MSG_PATH_STATS_IS)
        take_lines(p->ctl, m->PATH_STATS_IS.counters);
}

// What there is and was not counted, such as whether there is a card: that no reset changes.
static bool is_state(const char *name)
{
    static const char *const states[] = {"child_sas",
                                         "child_sas_on_card",
                                         "child_sas_in_kernel",
                                         "card_present",
                                         "counters_left_out",
                                         "failover_last_completion_to_detection_us",
                                         "failover_detection_to_first_packet_us"};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        if (strcmp(states[i], name) == 0)
            return true;
    return false;
}

void ctl_put_counters(const struct ctl *c, struct vici_out *o)
{
    vici_section(o, ""); // the global ones
    for (const struct counter *n = c->counters; n; n = n->next) {
        uint64_t value = n->value >= n->baseline ? n->value - n->baseline : n->value;
        vici_putf(o, n->name, "%llu", (unsigned long long)value);
    }
    vici_section_end(o);
}

static void reset_counters(struct ctl *c, struct command *cmd)
{
    for (struct counter *n = c->counters; n; n = n->next)
        n->baseline = is_state(n->name) ? 0 : n->value;
    keep_baselines(c);
    server_reply_ok(cmd);
}

static void reply_counters(struct ctl *c, struct command *cmd)
{
    struct vici_out o;
    if (strcmp(cmd->name, "reset-counters") == 0) {
        reset_counters(c, cmd);
        return;
    }
    if (vici_get_yes(cmd->msg.root, "all", false)) {
        ctl_count_conns(c, cmd);
        return;
    }
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_section(&o, "counters");
    ctl_put_counters(c, &o);
    vici_section_end(&o);
    vici_put(&o, "success", "yes");
    server_reply(cmd, &o);
}

static void path_counted(struct pending *p, bool ok, const char *text)
{
    if (!ok)
        LOGF(CFG, 1, "counters of path are old: %s", text);
    reply_counters(p->ctl, p->cmd);
}

static void ike_counted(struct pending *p, bool ok, const char *text)
{
    if (!ok)
        LOGF(CFG, 1, "counters of ike are old: %s", text);
    struct pending *next = ctl_ask(p->ctl, p->cmd, CTL_ANSWER_MS);
    if (!next)
        return;
    next->message = take_counters;
    next->done = path_counted;
    ctl_send(next, ROOM_PATH, MSG_PATH_STATS, &(struct msg_PATH_STATS){.req = next->req});
}

static void count(struct ctl *c, struct command *cmd)
{
    const char *name = vici_get(cmd->msg.root, "name");
    bool of_one = name && name[0];
    if (of_one && strcmp(cmd->name, "reset-counters") == 0) {
        server_reply_error(cmd, "counters of connections are not reset, those of all together are");
        return;
    }
    if (of_one) {
        ctl_count_conns(c, cmd);
        return;
    }
    struct pending *p = ctl_ask(c, cmd, CTL_ANSWER_MS);
    if (!p)
        return;
    p->message = take_counters;
    p->done = ike_counted;
    ctl_send(p, ROOM_IKE, MSG_IKE_STATS, &(struct msg_IKE_STATS){.req = p->req});
}

void cmd_get_counters(struct ctl *c, struct command *cmd)
{
    count(c, cmd);
}

void cmd_reset_counters(struct ctl *c, struct command *cmd)
{
    count(c, cmd);
}
