// SPDX-License-Identifier: Apache-2.0
// Both ends of the control socket: what each command does to the card, and the client that sends it.
#include "sim/card/control.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sim/card/options.h"
#include "sim/card/stats.h"
#include "sim/card/tree.h"

enum { MAX_WORDS = 4 };

__attribute__((format(printf, 1, 2))) static char *answer(const char *format, ...)
{
    char *text;
    va_list ap;
    va_start(ap, format);
    int n = vasprintf(&text, format, ap);
    va_end(ap);
    return n < 0 ? NULL : text;
}

static char *refuse_fault(const char *name)
{
    char *text = answer("error %d fault %s: no such mode; this card knows", EXIT_USAGE, name);
    for (unsigned i = 1; text && i < CARD_FAULT_COUNT; i++) {
        char *more = answer("%s %s,", text, card_fault_name((enum card_fault)i));
        free(text);
        text = more;
    }
    char *whole = text ? answer("%s clear\n", text) : NULL;
    free(text);
    return whole;
}

static char *do_fault(struct card_device *d, const char *name)
{
    enum card_fault fault = CARD_FAULT_NONE;
    if (strcmp(name, "clear") != 0 && card_fault_parse(name, &fault))
        return refuse_fault(name);
    card_device_set_fault(d, fault);
    return answer("ok\n");
}

static char *do_counters(struct card_device *d)
{
    char *json = card_stats_json(d);
    char *text = json ? answer("ok\n%s\n", json) : NULL;
    free(json);
    return text;
}

static char *do_reset(struct card_device *d)
{
    int rc = card_device_reset(d);
    return rc ? answer("error %d reset: the card is dead; clear the fault first\n", EXIT_FAILED)
              : answer("ok\n");
}

static char *do_wave(struct card_device *d, const char *file, const char *what)
{
    if (strcmp(what, "stop") == 0) {
        card_device_wave_stop(d);
        return answer("ok\n");
    }
    if (strcmp(what, "start") != 0)
        return answer("error %d wave %s: expected start or stop\n", EXIT_USAGE, what);
    int rc = card_device_wave_start(d, file);
    if (rc == -ENOTSUP)
        return answer("error %d wave: this card was built without waveforms\n", EXIT_MISSING);
    return rc ? answer("error %d wave %s: %s\n", EXIT_FAILED, file, strerror(-rc)) : answer("ok\n%s\n", file);
}

char *card_control_execute(struct card_device *d, const char *wave_file, char *line)
{
    char *words[MAX_WORDS], *save = NULL;
    size_t n = 0;
    for (char *w = strtok_r(line, " \n", &save); w && n < MAX_WORDS; w = strtok_r(NULL, " \n", &save))
        words[n++] = w;
    if (n == 2 && strcmp(words[0], "fault") == 0)
        return do_fault(d, words[1]);
    if (n == 1 && strcmp(words[0], "counters") == 0)
        return do_counters(d);
    if (n == 1 && strcmp(words[0], "reset") == 0)
        return do_reset(d);
    if (n == 2 && strcmp(words[0], "wave") == 0)
        return do_wave(d, wave_file, words[1]);
    return answer("error %d expected: fault MODE|clear, counters, reset, wave start|stop\n", EXIT_USAGE);
}

// -------------------------------------------------------------------------------------------------------
// client

static int usage(const char *why)
{
    fprintf(stderr, "espalier-card ctl: %s\n", why);
    fprintf(stderr,
            "usage: espalier-card ctl --dir DIR fault MODE|clear | counters | reset | wave start|stop\n");
    return EXIT_USAGE;
}

static int send_line(int fd, int argc, char **argv)
{
    char line[256];
    size_t n = 0;
    for (int i = 0; i < argc; i++) {
        int m = snprintf(line + n, sizeof line - n, "%s%c", argv[i], i + 1 < argc ? ' ' : '\n');
        if (m < 0 || (size_t)m >= sizeof line - n || strpbrk(argv[i], " \n"))
            return -EINVAL;
        n += (size_t)m;
    }
    return send(fd, line, n, MSG_NOSIGNAL) == (ssize_t)n ? 0 : -EIO;
}

// Reads to the end of the stream: a string for free().
static char *read_all(int fd)
{
    size_t used = 0, size = 4096;
    char *text = malloc(size);
    while (text) {
        ssize_t n = read(fd, text + used, size - used - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        used += (size_t)n;
        if (size - used < 2) {
            char *more = realloc(text, size *= 2);
            if (!more)
                free(text);
            text = more;
        }
    }
    if (text)
        text[used] = 0;
    return text;
}

static int report(const char *text)
{
    int status;
    int at = 0;
    if (strncmp(text, "ok\n", 3) == 0) {
        fputs(text + 3, stdout);
        return EXIT_DONE;
    }
    if (sscanf(text, "error %d %n", &status, &at) == 1 && at > 0) {
        fprintf(stderr, "espalier-card ctl: %s", text + at);
        return status;
    }
    fprintf(stderr, "espalier-card ctl: the card went away without an answer\n");
    return EXIT_FAILED;
}

int card_control_main(int argc, char **argv)
{
    if (argc < 4 || strcmp(argv[1], "--dir") != 0)
        return usage("--dir DIR and a command are needed");
    int fd = card_tree_connect_control(argv[2]);
    if (fd < 0) {
        fprintf(stderr, "espalier-card ctl: no card runs in %s (%s)\n", argv[2], strerror(-fd));
        return EXIT_MISSING;
    }
    int status;
    if (send_line(fd, argc - 3, argv + 3)) {
        status = usage("the command could not be sent");
    } else {
        char *text = read_all(fd);
        status = report(text ? text : "");
        free(text);
    }
    close(fd);
    return status;
}
