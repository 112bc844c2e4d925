// SPDX-License-Identifier: Apache-2.0
// Formats log lines, filters them by subsystem and hands them to stderr and the sink.
#include "ctrl/lib/log.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

static const char *const names[] = {
#define X(sym, name) name,
    LOG_SUBSYS_LIST(X)
#undef X
};
static int levels[LOG_SUBSYS_COUNT] = {[0 ... LOG_SUBSYS_COUNT - 1] = 1};
static bool json;
static char process[16] = "espalierd";
static char context_name[132];
static unsigned context_id;
static void (*log_sink)(enum log_subsys s, int level, const char *ike_name, unsigned ike_id,
                        const char *text);

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
    levels[s] = level;
}

void log_set_all(int level)
{
    for (int i = 0; i < LOG_SUBSYS_COUNT; i++)
        levels[i] = level;
}

void log_set_json(bool on)
{
    json = on;
}

void log_set_process(const char *name)
{
    snprintf(process, sizeof(process), "%s", name);
}

void log_set_sink(void (*sink)(enum log_subsys, int, const char *, unsigned, const char *))
{
    log_sink = sink;
}

void log_set_context(const char *ike_name, unsigned ike_id)
{
    snprintf(context_name, sizeof(context_name), "%s", ike_name);
    context_id = ike_id;
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

static void write_json(enum log_subsys s, int level, const char *text)
{
    struct timespec now;
    struct tm tm;
    char stamp[32], line[2400], esc[2100], ike[280];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
    escape(esc, sizeof(esc), text);
    escape(ike, sizeof(ike), context_name);
    int n = snprintf(line, sizeof(line),
                     "{\"time\":\"%s.%03ldZ\",\"process\":\"%s\",\"subsystem\":\"%s\",\"level\":%d,\"ike\":"
                     "\"%s\",\"ike_id\":%u,\"text\":\"%s\"}\n",
                     stamp, now.tv_nsec / 1000000, process, names[s], level, ike, context_id, esc);
    if (n > 0 && write(STDERR_FILENO, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1) < 0)
        return; // nobody reads: there is nowhere left to say so
}

void log_line(enum log_subsys s, int level, const char *fmt, ...)
{
    char text[1024], line[1200];
    va_list ap;
    if (level > levels[s])
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    clean(text);
    if (json) {
        write_json(s, level, text);
    } else {
        char who[160] = "";
        if (context_id)
            snprintf(who, sizeof(who), "<%s|%u> ", context_name, context_id);
        int n = snprintf(line, sizeof(line), "%s[%s] %s%s\n", process, names[s], who, text);
        if (n > 0 && write(STDERR_FILENO, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1) < 0)
            return;
    }
    static bool inside; // a sink that cannot send may log in turn
    if (log_sink && !inside) {
        inside = true;
        log_sink(s, level, context_name, context_id, text);
        inside = false;
    }
}
