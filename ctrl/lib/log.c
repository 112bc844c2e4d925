// SPDX-License-Identifier: Apache-2.0
// Formats log lines, filters them by subsystem and hands them to stderr and the sink.
#include "ctrl/lib/log.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

static const char *const names[] = {
#define X(sym, name) name,
    LOG_SUBSYS_LIST(X)
#undef X
};
struct log {
    int levels[LOG_SUBSYS_COUNT];
    int fd;
    bool json;
    bool inside; // a sink that cannot send may log in turn
    char process[16];
    char context_name[132];
    unsigned context_id;
    log_sink_fn sink;
    void *sink_ctx;
};
static struct log own = {
    .levels = {[0 ... LOG_SUBSYS_COUNT - 1] = 1}, .fd = STDERR_FILENO, .process = "espalierd"};
static _Thread_local struct log *used; // NULL: own

static struct log *current(void)
{
    return used ? used : &own;
}

struct log *log_new(void)
{
    struct log *l = malloc(sizeof(*l));
    if (l) {
        *l = *current();
        l->inside = false;
        l->sink = NULL;
    }
    return l;
}

void log_free(struct log *l)
{
    if (used == l)
        used = NULL;
    free(l);
}

struct log *log_use(struct log *l)
{
    struct log *before = used;
    used = l;
    return before;
}

const char *log_subsys_name(enum log_subsys s)
{
    return (unsigned)s < LOG_SUBSYS_COUNT ? names[s] : "?";
}

int log_subsys_by_name(const char *name)
{
    for (int i = 0; i < LOG_SUBSYS_COUNT; i++) {
        if (!strcasecmp(names[i], name))
            return i;
    }
    return -1;
}

void log_set_level(enum log_subsys s, int level)
{
    current()->levels[s] = level;
}

void log_set_all(int level)
{
    for (int i = 0; i < LOG_SUBSYS_COUNT; i++)
        current()->levels[i] = level;
}

void log_set_json(bool on)
{
    current()->json = on;
}

void log_set_process(const char *name)
{
    snprintf(current()->process, sizeof(own.process), "%s", name);
}

void log_set_output(int fd)
{
    current()->fd = fd;
}

void log_set_sink(log_sink_fn sink, void *ctx)
{
    current()->sink = sink;
    current()->sink_ctx = ctx;
}

void log_set_context(const char *ike_name, unsigned ike_id)
{
    snprintf(current()->context_name, sizeof(own.context_name), "%s", ike_name);
    current()->context_id = ike_id;
}

// Control characters never reach a terminal or a log file.
static void clean(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c; c++) {
        if (*c < 0x20 || *c == 0x7f)
            *c = '?';
    }
}

static void escape(char *dst, size_t size, const char *src)
{
    size_t n = 0;
    for (; *src && n + 3 < size; src++) {
        if (*src == '"' || *src == '\\')
            dst[n++] = '\\';
        dst[n++] = *src;
    }
    dst[n] = 0;
}

static void write_json(const struct log *l, enum log_subsys s, int level, const char *text)
{
    struct timespec now;
    struct tm tm;
    char stamp[32], line[2400], esc[2100], ike[280];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
    escape(esc, sizeof(esc), text);
    escape(ike, sizeof(ike), l->context_name);
    int n = snprintf(line, sizeof(line),
                     "{\"time\":\"%s.%03ldZ\",\"process\":\"%s\",\"subsystem\":\"%s\",\"level\":%d,\"ike\":"
                     "\"%s\",\"ike_id\":%u,\"text\":\"%s\"}\n",
                     stamp, now.tv_nsec / 1000000, l->process, names[s], level, ike, l->context_id, esc);
    if (n > 0 && write(l->fd, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1) < 0)
        return; // nobody reads: there is nowhere left to say so
}

void log_line(enum log_subsys s, int level, const char *fmt, ...)
{
    struct log *l = current();
    char text[1024], line[1200];
    va_list ap;
    if (level > l->levels[s])
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    clean(text);
    if (l->json && l->fd >= 0) {
        write_json(l, s, level, text);
    } else if (l->fd >= 0) {
        char who[160] = "";
        if (l->context_id)
            snprintf(who, sizeof(who), "<%s|%u> ", l->context_name, l->context_id);
        int n = snprintf(line, sizeof(line), "%s[%s] %s%s\n", l->process, names[s], who, text);
        if (n > 0 && write(l->fd, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1) < 0)
            return;
    }
    if (l->sink && !l->inside) {
        l->inside = true;
        l->sink(l->sink_ctx, s, level, l->context_name, l->context_id, text);
        l->inside = false;
    }
}
