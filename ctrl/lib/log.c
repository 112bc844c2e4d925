// SPDX-License-Identifier: Apache-2.0
// Formats log lines, filters them by subsystem and hands them to stderr and the sink.
#include "ctrl/lib/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctrl/lib/log_journal.h"
#include "ctrl/lib/log_page.h"
#include "ctrl/lib/printable.h"

static const char *const names[] = {
#define X(sym, name) name,
    LOG_SUBSYS_LIST(X)
#undef X
};
// What a line goes to decides how it is written: a file takes it, a socket says whether it does, what else
// there is must be asked before.
enum form { FORM_TEXT, FORM_JSON, FORM_JOURNAL };
enum output { OUTPUT_UNKNOWN, OUTPUT_FILE, OUTPUT_SOCKET, OUTPUT_OTHER };

struct log {
    int levels[LOG_SUBSYS_COUNT];
    int fd;
    enum output output;
    enum form form;
    bool torn;   // the output had room for the beginning of a line alone
    bool inside; // a sink that cannot send may log in turn
    char process[16];
    char time_format[LOG_TIME_FORMAT];
    time_t second; // the last one that a line was written in, and its text
    char second_text[32];
    char context_name[132];
    unsigned context_id;
    char child_name[132]; // of one line
    unsigned child_id;    // 0: it is about none
    log_sink_fn sink;
    void *sink_ctx;
    bool (*gate)(void *ctx);
    void *gate_ctx;
    unsigned long long dropped, told; // lines that the output had no room for; of them reported
    struct log_page *page;            // NULL: they go out one by one
    bool holds;                       // otherwise they do so too
};
static _Thread_local struct {
    struct log own, *used; // used NULL: own
} thread = {
    .own = {.levels = {[0 ... LOG_SUBSYS_COUNT - 1] = 1}, .fd = STDERR_FILENO, .process = "espalierd"}};

static struct log *current(void)
{
    return thread.used ? thread.used : &thread.own;
}

struct log *log_new(void)
{
    struct log *l = malloc(sizeof(*l));
    if (l) {
        *l = *current();
        l->inside = false;
        l->sink = NULL;
        l->gate = NULL;
        l->page = NULL;
    }
    return l;
}

void log_free(struct log *l)
{
    if (thread.used == l)
        thread.used = NULL;
    free(l);
}

struct log *log_use(struct log *l)
{
    struct log *before = thread.used;
    thread.used = l;
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
    current()->form = on ? FORM_JSON : FORM_TEXT;
}

void log_set_process(const char *name)
{
    struct log *l = current();
    snprintf(l->process, sizeof(l->process), "%s", name);
}

void log_set_output(int fd)
{
    log_flush(); // to where they were written for
    current()->fd = fd;
    current()->output = OUTPUT_UNKNOWN;
}

void log_set_sink(log_sink_fn sink, void *ctx)
{
    current()->sink = sink;
    current()->sink_ctx = ctx;
}

void log_set_gate(bool (*may)(void *ctx), void *ctx)
{
    current()->gate = may;
    current()->gate_ctx = ctx;
}

unsigned long long log_dropped(void)
{
    return current()->dropped;
}

void log_set_context(const char *ike_name, unsigned ike_id)
{
    struct log *l = current();
    size_t len = strnlen(ike_name, sizeof(l->context_name) - 1);
    memcpy(l->context_name, ike_name, len);
    l->context_name[len] = 0;
    printable_make(l->context_name);
    l->context_id = ike_id;
}

void log_of_child(const char *child, unsigned id)
{
    struct log *l = current();
    snprintf(l->child_name, sizeof(l->child_name), "%s", child);
    printable_make(l->child_name);
    l->child_id = id;
}

void log_set_time_format(const char *format)
{
    struct log *l = current();
    snprintf(l->time_format, sizeof(l->time_format), "%s", format);
}

// UTC with milliseconds, or the local time in the operator's format.
static void stamp(struct log *l, char *out, size_t size)
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    if (l->time_format[0] && l->form != FORM_JSON) {
        localtime_r(&now.tv_sec, &tm);
        if (strftime(out, size, l->time_format, &tm) == 0)
            out[0] = 0;
        printable_make(out);
        return;
    }
    if (now.tv_sec != l->second || !l->second_text[0]) {
        gmtime_r(&now.tv_sec, &tm);
        strftime(l->second_text, sizeof(l->second_text), "%Y-%m-%dT%H:%M:%S", &tm);
        l->second = now.tv_sec;
    }
    snprintf(out, size, "%s.%03ldZ", l->second_text, now.tv_nsec / 1000000);
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

// a line of JSON is never cut
enum { TEXT = 1024, NAME = sizeof(((struct log *)0)->context_name), LINE = 2 * TEXT + 4 * NAME + 320 };

static int json_line(struct log *l, char *line, enum log_subsys s, int level, const char *text)
{
    char when[160], esc[2 * TEXT], ike[2 * NAME], name[2 * NAME], child[2 * NAME + 40] = "";
    stamp(l, when, sizeof(when));
    escape(esc, sizeof(esc), text);
    escape(ike, sizeof(ike), l->context_name);
    escape(name, sizeof(name), l->child_name);
    if (l->child_id)
        snprintf(child, sizeof(child), "\"child\":\"%s\",\"child_id\":%u,", name, l->child_id);
    return snprintf(line, LINE,
                    "{\"time\":\"%s\",\"process\":\"%s\",\"subsystem\":\"%s\",\"level\":%d,\"ike\":\"%s\","
                    "\"ike_id\":%u,%s\"text\":\"%s\"}\n",
                    when, l->process, names[s], level, ike, l->context_id, child, esc);
}

static int text_line(struct log *l, char *line, enum log_subsys s, int level, const char *text)
{
    char when[160], who[NAME + 16] = "";
    stamp(l, when, sizeof(when));
    if (l->context_id)
        snprintf(who, sizeof(who), "<%s|%u> ", l->context_name, l->context_id);
    return snprintf(line, LINE, "%s %d %s[%s] %s%s\n", when, level, l->process, names[s], who, text);
}

// What is printable has no line end, so each field is a line. The journal has the time by itself.
static int journal_line(struct log *l, char *line, enum log_subsys s, int level, const char *text)
{
    char who[NAME + 60] = "", child[NAME + 60] = "";
    if (l->context_id)
        snprintf(who, sizeof(who), "ESPALIER_CONNECTION=%s\nESPALIER_IKE_ID=%u\n", l->context_name,
                 l->context_id);
    if (l->child_id)
        snprintf(child, sizeof(child), "ESPALIER_CHILD=%s\nESPALIER_CHILD_ID=%u\n", l->child_name,
                 l->child_id);
    return snprintf(line, LINE,
                    "PRIORITY=%d\nSYSLOG_IDENTIFIER=espalierd\nESPALIER_PROCESS=%s\nESPALIER_SUBSYSTEM=%s\n"
                    "ESPALIER_LEVEL=%d\n%s%sMESSAGE=%s\n",
                    level <= 0   ? 5
                    : level == 1 ? 6
                                 : 7,
                    l->process, names[s], level, who, child, text);
}

int log_journal_open(const char *path, struct esp_error *err)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(to.sun_path))
        return esp_fail(err, -ENAMETOOLONG, "--log-format", "the journal's socket: at most %zu characters",
                        sizeof(to.sun_path) - 1);
    strcpy(to.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    int e = errno;
    if (fd >= 0)
        close(fd);
    return esp_fail(err, -e, path, "the journal cannot be reached: %s", strerror(e));
}

void log_set_journal(int fd)
{
    log_set_output(fd);
    current()->form = FORM_JOURNAL;
}

// A reader that stands still must not make the daemon stand still: a line that the pipe, socket or terminal
// has no room for is dropped. (A pipe that is ready takes a line as a whole: LINE is below PIPE_BUF.)
// Returns how much of it has been taken, or -1.
static ssize_t emit(int fd, enum output to, const char *line, size_t len)
{
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    if (to == OUTPUT_SOCKET)
        return send(fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (to != OUTPUT_FILE && (poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT)))
        return -1;
    return write(fd, line, len);
}

static enum output kind_of(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return OUTPUT_OTHER;
    return S_ISREG(st.st_mode) ? OUTPUT_FILE : S_ISSOCK(st.st_mode) ? OUTPUT_SOCKET : OUTPUT_OTHER;
}

static size_t make_line(struct log *l, char line[LINE], enum log_subsys s, int level, const char *text)
{
    int n = l->form == FORM_JSON      ? json_line(l, line, s, level, text)
            : l->form == FORM_JOURNAL ? journal_line(l, line, s, level, text)
                                      : text_line(l, line, s, level, text);
    return n < 0 ? 0 : n < LINE ? (size_t)n : LINE - 1;
}

// Whole lines. A line that a full disk has cut ends before the next one begins, for which there is an octet
// before them. How many octets of them have been taken.
static size_t put(struct log *l, char *lines, size_t len)
{
    size_t before = l->torn;
    lines[-1] = '\n';
    if (!l->output)
        l->output = kind_of(l->fd);
    ssize_t done = emit(l->fd, l->output, lines - before, len + before);
    size_t taken = done > (ssize_t)before ? (size_t)done - before : 0;
    if (done > 0)
        l->torn = taken && lines[taken - 1] != '\n';
    return taken;
}

// A reader that goes on reading is told what it has missed before it gets anything else.
static void tell_missed(struct log *l)
{
    char missed[96], buf[LINE + 1];
    snprintf(missed, sizeof(missed), "%llu lines are missing here: nobody read them", l->dropped - l->told);
    size_t len = make_line(l, buf + 1, LOG_DMN, 0, missed);
    if (put(l, buf + 1, len) == len)
        l->told = l->dropped;
}

// Of what is not taken a line that was cut counts as one that is missing.
static void output(struct log *l, char *lines, size_t len)
{
    if (l->dropped != l->told)
        tell_missed(l);
    size_t taken = l->dropped == l->told ? put(l, lines, len) : 0;
    if (l->form == FORM_JOURNAL) // all of an entry or nothing
        l->dropped += taken < len;
    for (size_t at = taken; at < len && l->form != FORM_JOURNAL; at++)
        l->dropped += lines[at] == '\n';
}

// An octet of it is the one that output wants before them.
static size_t page_room(const struct log_page *p)
{
    return sizeof(p->text) - 1 - p->len;
}

static void flush(struct log *l)
{
    if (l->page->len)
        output(l, l->page->text + 1, l->page->len);
    l->page->len = 0;
}

// The length is last: who finds the page when the process is dead finds whole lines.
static void gather(struct log *l, const char *line, size_t len)
{
    struct log_page *p = l->page;
    if (len > page_room(p))
        flush(l);
    memcpy(p->text + 1 + p->len, line, len);
    atomic_store_explicit(&p->len, p->len + (uint32_t)len, memory_order_release);
}

void log_gather(struct log_page *p)
{
    log_flush();
    current()->page = p;
}

void log_hold(void)
{
    current()->holds = true;
}

void log_flush(void)
{
    struct log *l = current();
    l->holds = false;
    if (l->page)
        flush(l);
}

void log_rest(struct log_page *p)
{
    uint32_t len = p->len, most = sizeof(p->text) - 1;
    if (len && current()->form != FORM_JOURNAL) // entries are not gathered: it is none of ours
        output(current(), p->text + 1, len < most ? len : most);
    p->len = 0;
}

static void line_out(struct log *l, enum log_subsys s, int level, const char *text)
{
    _Static_assert(LINE + 1 <= sizeof(((struct log_page *)0)->text), "a line fits into a ready pipe");
    char buf[LINE + 1];
    size_t len = make_line(l, buf + 1, s, level, text);
    if (l->page && l->holds && l->form != FORM_JOURNAL)
        gather(l, buf + 1, len);
    else
        output(l, buf + 1, len);
}

void log_announce(int fd, const char *text)
{
    struct log *l = current();
    char line[LINE];
    int n = l->form == FORM_JSON ? json_line(l, line, LOG_DMN, 0, text)
                                 : snprintf(line, sizeof(line), "%s\n", text);
    if (n > 0)
        emit(fd, kind_of(fd), line, n < LINE ? (size_t)n : LINE - 1);
}

bool log_wants(enum log_subsys s, int level)
{
    struct log *l = current();
    if (level > l->levels[s])
        return false;
    int e = errno; // the line may be about it
    bool yes = !l->gate || l->gate(l->gate_ctx);
    errno = e;
    return yes;
}

__attribute__((format(printf, 3, 0))) static void write_line(enum log_subsys s, int level, const char *fmt,
                                                             va_list ap)
{
    struct log *l = current();
    char text[TEXT];
    vsnprintf(text, sizeof(text), fmt, ap);
    printable_make(text);
    if (l->fd >= 0)
        line_out(l, s, level, text);
    if (l->sink && !l->inside) {
        l->inside = true;
        l->sink(l->sink_ctx, s, level, l->context_name, l->context_id, text);
        l->inside = false;
    }
    l->child_id = 0;
}

void log_wanted(enum log_subsys s, int level, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    write_line(s, level, fmt, ap);
    va_end(ap);
}

void log_line(enum log_subsys s, int level, const char *fmt, ...)
{
    va_list ap;
    if (!log_wants(s, level))
        return;
    va_start(ap, fmt);
    write_line(s, level, fmt, ap);
    va_end(ap);
}
