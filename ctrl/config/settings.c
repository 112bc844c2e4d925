// SPDX-License-Identifier: Apache-2.0
// The keys of strongswan.conf that are honoured, as one table. Section espalierd takes all of them and has
// its own beside; there an unknown key is refused, in section charon it is passed over with a warning that
// names it.
#include "ctrl/config/options.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctrl/config/values.h"
#include "ctrl/lib/metrics_at.h"

enum kind {
    K_U32,
    K_FRAGMENT,
    K_PORT,
    K_TIME,
    K_BOOL,
    K_DOUBLE,
    K_OFFLOAD,
    K_TEXT,
    K_METRICS,
    K_WORKERS,
    K_URLS,
    K_PREFIX
};
struct key {
    const char *name;
    enum kind kind;
    size_t offset;
    uint64_t min, max;
    bool own;   // ours: section espalierd only
    bool fixed; // read at the start alone
};
#define AT(field)   offsetof(struct settings, field)
#define SIZE(field) sizeof(((struct settings *)0)->field)
static const struct key keys[] = {
    {"retransmit_tries", K_U32, AT(retransmit_tries), 0, 100, false, false},
    {"retransmit_timeout", K_DOUBLE, AT(retransmit_timeout), 0, 3600, false, false},
    {"retransmit_base", K_DOUBLE, AT(retransmit_base), 1, 100, false, false},
    {"retransmit_limit", K_TIME, AT(retransmit_limit), 0, 86400, false, false},
    {"retransmit_jitter", K_U32, AT(retransmit_jitter), 0, 20, false, false},
    {"half_open_timeout", K_TIME, AT(half_open_timeout), 1, 86400, false, false},
    {"cookie_threshold", K_U32, AT(cookie_threshold), 0, UINT32_MAX, false, false},
    {"cookie_threshold_ip", K_U32, AT(cookie_threshold_ip), 0, UINT32_MAX, false, false},
    {"block_threshold", K_U32, AT(block_threshold), 0, UINT32_MAX, false, false},
    {"fragment_size", K_FRAGMENT, AT(fragment_size), 256, 65535, false, false},
    {"port", K_PORT, AT(port), 1, 65535, false, true},
    {"port_nat_t", K_PORT, AT(port_nat_t), 1, 65535, false, true},
    {"keep_alive", K_TIME, AT(keep_alive), 0, 86400, false, false},
    {"follow_redirects", K_BOOL, AT(follow_redirects), 0, 1, false, false},
    {"delete_rekeyed_delay", K_TIME, AT(delete_rekeyed_delay), 0, 3600, false, false},
    {"replay_window", K_U32, AT(replay_window), 0, 1024, false, false},
    {"retry_initiate_interval", K_TIME, AT(retry_initiate_interval), 0, 86400, false, false},
    {"install_routes", K_BOOL, AT(install_routes), 0, 1, false, true},
    {"install_virtual_ip", K_BOOL, AT(install_virtual_ip), 0, 1, false, false},
    {"interfaces_use", K_TEXT, AT(interfaces_use), 0, SIZE(interfaces_use), false, false},
    {"interfaces_ignore", K_TEXT, AT(interfaces_ignore), 0, SIZE(interfaces_ignore), false, false},
    {"ikesa_limit", K_U32, AT(ikesa_limit), 0, UINT32_MAX, false, false},
    {"routing_table", K_U32, AT(routing_table), 1, UINT32_MAX, false, true},
    {"routing_table_prio", K_U32, AT(routing_priority), 1, 32765, false, true},
    {"ppk_intermediate", K_BOOL, AT(ppk_intermediate), 0, 1, true, false},
    {"session_resumption", K_BOOL, AT(session_resumption), 0, 1, true, false},
    {"ticket_lifetime", K_TIME, AT(ticket_lifetime), 60, 86400, true, false},
    {"offload_default", K_OFFLOAD, AT(offload_default), 0, 0, true, false},
    {"mtu", K_U32, AT(mtu), 1280, 9000, true, true},
    {"block_on_exit", K_BOOL, AT(block_on_exit), 0, 1, true, false},
    {"mss_clamp", K_BOOL, AT(mss_clamp), 0, 1, true, false},
    {"pool_leases", K_TEXT, AT(pool_leases), 0, SIZE(pool_leases), true, true},
    {"metrics", K_METRICS, AT(metrics), 0, SIZE(metrics), true, true},
    {"metrics_group", K_TEXT, AT(metrics_group), 0, SIZE(metrics_group), true, true},
    {"metrics_per_sa", K_BOOL, AT(metrics_per_sa), 0, 1, true, false},
    {"uid_base", K_U32, AT(uid_base), 0, UINT32_MAX - 256, true, true},
    {"seccomp", K_BOOL, AT(seccomp), 0, 1, true, true},
    {"landlock", K_BOOL, AT(landlock), 0, 1, true, true},
    {"workers", K_WORKERS, AT(workers), 1, SETTINGS_MAX_WORKERS, true, true},
    {"fleet.endpoints", K_URLS, AT(fleet_endpoints), 0, SIZE(fleet_endpoints), true, true},
    {"fleet.prefix", K_PREFIX, AT(fleet_prefix), 0, SIZE(fleet_prefix), true, true},
    {"fleet.node", K_TEXT, AT(fleet_node), 0, SIZE(fleet_node), true, true},
    {"fleet.ttl", K_TIME, AT(fleet_ttl), 2, 300, true, true},
    {"fleet.cacert", K_TEXT, AT(fleet_cacert), 0, SIZE(fleet_cacert), true, true},
    {"fleet.cert", K_TEXT, AT(fleet_cert), 0, SIZE(fleet_cert), true, true},
    {"fleet.key", K_TEXT, AT(fleet_key), 0, SIZE(fleet_key), true, true},
    {"fleet.allow_clear", K_BOOL, AT(fleet_allow_clear), 0, 1, true, true},
    {"kernel_esp", K_BOOL, AT(kernel_esp), 0, 1, true, true},
    {"lease_min", K_U32, AT(lease_min), 64, 1u << 24, true, false},
};
enum { KEY_COUNT = sizeof(keys) / sizeof(keys[0]) };

__attribute__((format(printf, 2, 3))) static void warnf(void (*warn)(const char *), const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (warn)
        warn(text);
}

static size_t size_of(const struct key *k)
{
    switch (k->kind) {
    case K_PORT: return sizeof(uint16_t);
    case K_BOOL: return sizeof(bool);
    case K_DOUBLE: return sizeof(double);
    case K_OFFLOAD: return sizeof(enum offload_mode);
    case K_METRICS:
    case K_URLS:
    case K_PREFIX:
    case K_TEXT: return k->max;
    default: return sizeof(uint32_t);
    }
}

void settings_keep_fixed(struct settings *next, const struct settings *now, void (*warn)(const char *text))
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const struct key *k = &keys[i];
        void *to = (char *)next + k->offset;
        const void *from = (const char *)now + k->offset;
        bool text = k->kind == K_TEXT || k->kind == K_METRICS || k->kind == K_URLS || k->kind == K_PREFIX;
        bool same = text ? strcmp(to, from) == 0 : memcmp(to, from, size_of(k)) == 0;
        if (!k->fixed || same)
            continue;
        memcpy(to, from, size_of(k));
        warnf(warn, "%s takes effect at the next start", k->name);
    }
}

static const struct {
    const char *name;
    enum offload_mode mode;
} offload_modes[] = {{"no", OFFLOAD_NO},
                     {"auto", OFFLOAD_AUTO},
                     {"yes", OFFLOAD_YES},
                     {"crypto", OFFLOAD_CRYPTO},
                     {"packet", OFFLOAD_PACKET}};

static bool set_offload(enum offload_mode *out, const char *value)
{
    for (size_t i = 0; i < sizeof(offload_modes) / sizeof(offload_modes[0]); i++) {
        if (strcmp(offload_modes[i].name, value) == 0) {
            *out = offload_modes[i].mode;
            return true;
        }
    }
    return false;
}

static int bad_value(const struct conf_entry *e, const char *expected, struct esp_error *err)
{
    return esp_fail(err, -EINVAL, e->path, "'%.60s' (%.60s): expected %s", e->value, e->where, expected);
}

static int set_metrics(char *at, size_t size, const struct conf_entry *e, struct esp_error *err)
{
    struct metrics_at where;
    bool on, given = e->value[0] && !(value_bool(e->value, &on) && !on);
    if (given && (strlen(e->value) >= size || metrics_at_read(e->value, &where) < 0))
        return bad_value(e, METRICS_AT_EXPECTED, err);
    snprintf(at, size, "%s", given ? e->value : "");
    return 0;
}

static bool are_urls(const char *list)
{
    do {
        list += strspn(list, ", \t");
        if (strncmp(list, "https://", 8) != 0 && strncmp(list, "http://", 7) != 0)
            return !*list;
        list += strcspn(list, ", \t");
    } while (*list);
    return true;
}

// Of keys in etcd: all below it is the fleet's.
static bool is_prefix(const char *text)
{
    size_t n = strlen(text);
    return n > 1 && text[0] == '/' && text[n - 1] == '/';
}

static int set_text(char *at, const struct key *k, const struct conf_entry *e, struct esp_error *err)
{
    char expected[80];
    snprintf(expected, sizeof(expected), "at most %u characters", (unsigned)k->max - 1);
    if (strlen(e->value) >= k->max)
        return bad_value(e, expected, err);
    if (k->kind == K_URLS && !are_urls(e->value))
        return bad_value(e, "https://HOST:PORT (or http://), several between commas", err);
    if (k->kind == K_PREFIX && !is_prefix(e->value))
        return bad_value(e, "a prefix of keys such as /espalier/, with a slash at both ends", err);
    memcpy(at, e->value, strlen(e->value) + 1);
    return 0;
}

// auto: one for each processor that the daemon may run on.
static uint64_t processors(uint64_t most)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof(set), &set) < 0 ? 1 : CPU_COUNT(&set);
    return n < 1 ? 1 : (uint64_t)n > most ? most : (uint64_t)n;
}

static int set_workers(uint32_t *at, const struct key *k, const struct conf_entry *e, struct esp_error *err)
{
    char expected[80];
    uint64_t n = processors(k->max);
    snprintf(expected, sizeof(expected), "auto or a number from %u to %u", (unsigned)k->min,
             (unsigned)k->max);
    if (strcmp(e->value, "auto") != 0 && !value_number(e->value, k->min, k->max, &n))
        return bad_value(e, expected, err);
    *at = (uint32_t)n;
    return 0;
}

static int set_key(struct settings *s, const struct key *k, const struct conf_entry *e, struct esp_error *err)
{
    void *at = (char *)s + k->offset;
    char expected[80];
    uint64_t n = 0;
    switch (k->kind) {
    case K_BOOL: return value_bool(e->value, at) ? 0 : bad_value(e, "yes or no", err);
    case K_OFFLOAD:
        return set_offload(at, e->value) ? 0 : bad_value(e, "no, auto, yes, crypto or packet", err);
    case K_METRICS: return set_metrics(at, k->max, e, err);
    case K_WORKERS: return set_workers(at, k, e, err);
    case K_URLS:
    case K_PREFIX:
    case K_TEXT: return set_text(at, k, e, err);
    case K_DOUBLE:
        snprintf(expected, sizeof(expected), "a number from %u to %u", (unsigned)k->min, (unsigned)k->max);
        return value_fraction(e->value, (double)k->min, (double)k->max, at) ? 0 : bad_value(e, expected, err);
    case K_TIME:
        snprintf(expected, sizeof(expected), "a time from %us to %us (30, 30s, 5m, 1h, 1d)", (unsigned)k->min,
                 (unsigned)k->max);
        if (!value_time(e->value, k->max, &n) || n < k->min)
            return bad_value(e, expected, err);
        break;
    case K_FRAGMENT:
        snprintf(expected, sizeof(expected), "0 (the address family's default) or a number from %u to %u",
                 (unsigned)k->min, (unsigned)k->max);
        if (!value_number(e->value, 0, k->max, &n) || (n && n < k->min))
            return bad_value(e, expected, err);
        break;
    default:
        snprintf(expected, sizeof(expected), "a number from %u to %u", (unsigned)k->min, (unsigned)k->max);
        if (!value_number(e->value, k->min, k->max, &n))
            return bad_value(e, expected, err);
    }
    if (k->kind == K_PORT)
        *(uint16_t *)at = (uint16_t)n;
    else
        *(uint32_t *)at = (uint32_t)n;
    return 0;
}

static const struct key *find_key(const char *name)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    }
    return NULL;
}

static int set_log_path(struct daemon_config *c, const struct conf_entry *e, struct esp_error *err)
{
    const char *path = strcmp(e->value, "stderr") == 0   ? ""
                       : strcmp(e->value, "stdout") == 0 ? "/dev/stdout"
                                                         : e->value;
    if (path[0] && path[0] != '/')
        return bad_value(e, "an absolute path, stderr or stdout", err);
    if (strlen(path) >= sizeof(c->log_path))
        return bad_value(e, "a path of fewer than 200 characters", err);
    if (c->log_path[0] && strcmp(c->log_path, path) != 0)
        return esp_fail(err, -EOPNOTSUPP, e->path, "(%.60s): there is one log, and it goes to %.100s already",
                        e->where, c->log_path);
    snprintf(c->log_path, sizeof(c->log_path), "%s", path);
    return 0;
}

static int set_log_path_by_name(struct daemon_config *c, const char *name, const char *end,
                                const struct conf_entry *e, struct esp_error *err)
{
    char path[256];
    struct conf_entry as_key = *e;
    snprintf(path, sizeof(path), "%.*s", (int)(end - name), name);
    as_key.value = path;
    return set_log_path(c, &as_key, err);
}

static int set_time_format(struct daemon_config *c, const struct conf_entry *e, struct esp_error *err)
{
    char sample[160];
    time_t now = 0;
    struct tm tm;
    if (strlen(e->value) >= sizeof(c->log_time_format) ||
        (e->value[0] && strftime(sample, sizeof(sample), e->value, gmtime_r(&now, &tm)) == 0))
        return bad_value(e, "a format of strftime(3), fewer than 64 characters, that gives fewer than 160",
                         err);
    snprintf(c->log_time_format, sizeof(c->log_time_format), "%s", e->value);
    return 0;
}

// What charon's filelog has and a section of ours may say beside levels. 1: the key is none of these.
static int set_filelog_form(struct daemon_config *c, const char *name, const struct conf_entry *e,
                            struct esp_error *err)
{
    bool on = true;
    if (strcmp(name, "path") == 0)
        return set_log_path(c, e, err);
    if (strcmp(name, "time_format") == 0)
        return set_time_format(c, e, err);
    if (strcmp(name, "append") != 0 && strcmp(name, "flush_line") != 0 && strcmp(name, "ike_name") != 0 &&
        strcmp(name, "log_level") != 0)
        return 1;
    if (!value_bool(e->value, &on))
        return bad_value(e, "yes or no", err);
    if (strcmp(name, "append") == 0)
        c->log_truncate = !on;
    else if (!on &&
             strcmp(name, "flush_line") != 0) // a line is written whole and at once, whatever flush_line says
        return esp_fail(err, -EOPNOTSUPP, e->path, "(%.60s): every line has it; expected yes", e->where);
    return 0;
}

// filelog.NAME { path, time_format, append, default = LEVEL, SUBSYSTEM = LEVEL }: one log, whatever NAME
// says.
static int set_filelog(struct daemon_config *c, const char *rest, const struct conf_entry *e, bool own,
                       void (*warn)(const char *), struct esp_error *err)
{
    static const char *const others[] = {"mgr", "job", "asn", "tnc", "imc", "imv", "pts", "tls", "app"};
    const char *name = strrchr(rest, '.');
    uint64_t n = 0;
    if (name && rest[0] == '/') { // the form before strongSwan 5.7: NAME is the path
        int r = set_log_path_by_name(c, rest, name, e, err);
        if (r)
            return r;
    }
    if (!name)
        return esp_fail(err, -EINVAL, e->path,
                        "(%.60s): expected filelog { NAME { path = FILE default = LEVEL } }", e->where);
    name++;
    int form = set_filelog_form(c, name, e, err);
    if (form <= 0)
        return form;
    int sub = strcmp(name, "default") == 0 ? LOG_SUBSYS_COUNT : log_subsys_by_name(name);
    bool known = sub >= 0;
    for (size_t i = 0; !known && i < sizeof(others) / sizeof(others[0]); i++)
        known = strcmp(name, others[i]) == 0;
    if (!known && own)
        return esp_fail(err, -EINVAL, e->path, "(%.60s): unknown key", e->where);
    if (!known) {
        warnf(warn, "%s (%s) is not honoured", e->path, e->where);
        return 0;
    }
    if (strcmp(e->value, "-1") != 0 && !value_number(e->value, 0, 4, &n))
        return bad_value(e, "a level from -1 to 4", err);
    int level = e->value[0] == '-' ? -1 : (int)n;
    for (int i = 0; i < LOG_SUBSYS_COUNT; i++) {
        if (sub == LOG_SUBSYS_COUNT || sub == i)
            c->log_level[i] = level;
    }
    return 0;
}

// A key that charon has for what we always do.
static int always_before_break(const struct conf_entry *e, void (*warn)(const char *), struct esp_error *err)
{
    bool yes;
    if (!value_bool(e->value, &yes))
        return bad_value(e, "yes or no", err);
    if (!yes)
        warnf(warn, "%s (%s) = no has no effect: the new IKE_SA is always made before the old one goes",
              e->path, e->where);
    return 0;
}

static int apply_entry(struct daemon_config *c, const struct conf_entry *e, const char *name, bool own,
                       void (*warn)(const char *), bool *warned_plugins, struct esp_error *err)
{
    const struct key *k = find_key(name);
    if (k && (own || !k->own))
        return set_key(&c->settings, k, e, err);
    if (strcmp(name, "make_before_break") == 0)
        return always_before_break(e, warn, err);
    if (strncmp(name, "filelog.", 8) == 0)
        return set_filelog(c, name + 8, e, own, warn, err);
    if (own && strncmp(name, "connections.", 12) == 0)
        return esp_fail(err, -EOPNOTSUPP, e->path,
                        "(%.60s): settings for a single connection are not supported yet", e->where);
    if (own && strcmp(name, "allow_updown") == 0)
        return esp_fail(err, -EOPNOTSUPP, e->path, "(%.60s): not supported yet", e->where);
    if (own)
        return esp_fail(err, -EINVAL, e->path, "(%.60s): unknown key", e->where);
    if (strncmp(name, "plugins.", 8) == 0) {
        if (!*warned_plugins)
            warnf(warn, "charon.plugins (%s) has no effect: there are no plugins", e->where);
        *warned_plugins = true;
        return 0;
    }
    warnf(warn, "%s (%s) is not honoured", e->path, e->where);
    return 0;
}

// What strongSwan's own programs read from the same file is none of ours; anything else at the top level is a
// slip of the pen that would lose all that is in it.
static void warn_strange_sections(const struct conf *conf, void (*warn)(const char *text))
{
    static const char *const known[] = {"charon",
                                        "espalierd",
                                        "charon-systemd",
                                        "charon-cmd",
                                        "charon-nm",
                                        "charon-tkm",
                                        "swanctl",
                                        "pki",
                                        "libtls",
                                        "libtnccs",
                                        "libimcv",
                                        "starter",
                                        "scepclient",
                                        "pool",
                                        "medsrv",
                                        "medcli",
                                        "manager",
                                        "attest",
                                        "aikgen",
                                        "load-tester",
                                        "pt-tls-client",
                                        "sw-collector",
                                        "imv_policy_manager",
                                        "checksum_builder"};
    char last[64] = "";
    for (size_t i = 0; i < conf->count; i++) {
        const struct conf_entry *e = &conf->entries[i];
        size_t len = strcspn(e->path, ".");
        bool found = strlen(last) == len && strncmp(last, e->path, len) == 0;
        for (size_t k = 0; !found && k < sizeof(known) / sizeof(known[0]); k++)
            found = strlen(known[k]) == len && strncmp(known[k], e->path, len) == 0;
        if (found)
            continue;
        snprintf(last, sizeof(last), "%.*s", (int)(len < 63 ? len : 63), e->path);
        warnf(warn, "section %s (%s) is nobody's: nothing in it has effect; expected charon or espalierd",
              last, e->where);
    }
}

int config_apply(struct daemon_config *out, const struct conf *conf, void (*warn)(const char *text),
                 struct esp_error *err)
{
    return config_apply_all(out, conf, warn, NULL, NULL, err);
}

int config_apply_all(struct daemon_config *out, const struct conf *conf, void (*warn)(const char *text),
                     void (*fault)(void *ctx, const char *where, const struct esp_error *err), void *ctx,
                     struct esp_error *err)
{
    int first = 0;
    struct esp_error e = {0};
    warn_strange_sections(conf, warn);
    static const char *const sections[] = {"charon.", "espalierd."}; // the later one overrides
    bool warned_plugins = false;
    for (int own = 0; own < 2; own++) {
        size_t len = strlen(sections[own]);
        for (size_t i = 0; i < conf->count; i++) {
            const struct conf_entry *entry = &conf->entries[i];
            if (strncmp(entry->path, sections[own], len) != 0)
                continue;
            int r = apply_entry(out, entry, entry->path + len, own, warn, &warned_plugins, &e);
            if (r && fault)
                fault(ctx, entry->where, &e);
            if (r && first == 0) {
                first = r;
                *err = e;
            }
            if (r && !fault)
                return r;
        }
    }
    return first;
}
