// SPDX-License-Identifier: Apache-2.0
// espalierd's entry: options, settings, the things that need rights, then the supervisor. Exit status: 0
// done, 1 failed, 2 usage or bad input, 3 a missing right, device or port.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctrl/config/check.h"
#include "ctrl/config/options.h"
#include "ctrl/config/version.h"
#include "ctrl/ctl/listen.h"
#include "ctrl/lib/log.h"
#include "ctrl/lib/log_journal.h"
#include "ctrl/super/children.h"
#include "ctrl/super/filter.h"
#include "ctrl/super/purge.h"
#include "ctrl/super/rundir.h"
#include "ctrl/super/sockets.h"
#include "ctrl/super/supervise.h"

enum { EXIT_USAGE = 2, EXIT_MISSING = 3 };

static void warn(const char *text)
{
    LOGF(CFG, 0, "warning: %s", text);
}

// On the standard error that the program was started with, wherever the log goes.
static void complain(int fd, const struct esp_error *err)
{
    char text[512];
    snprintf(text, sizeof(text), "espalierd: %s%s%s", err->field, err->field[0] ? ": " : "", err->text);
    log_announce(fd, text);
}

// What is short now may be there at the next start: that is a failure. The rest is for somebody to mend.
static int status_of(int r, int otherwise)
{
    switch (-r) {
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case EAGAIN:
    case EIO: return EXIT_FAILURE;
    case EINVAL: return EXIT_USAGE;
    default: return otherwise;
    }
}

// A card that the operator names is there, or this is said before anything starts; `auto` waits for one.
static int card_check(const struct settings *st, struct esp_error *err)
{
    char path[sizeof(st->pci_sysfs) + sizeof(st->card) + 16];
    if (strcmp(st->card, "auto") == 0 || strcmp(st->card, "none") == 0)
        return 0;
    snprintf(path, sizeof(path), "%s/devices/%s", st->pci_sysfs, st->card);
    if (access(path, F_OK) == 0)
        return 0;
    return esp_fail(err, -ENODEV, "--card", "%s is not in %s/devices (auto takes a card that comes later)",
                    st->card, st->pci_sysfs);
}

// All rooms write to one pipe or terminal: what has room for a line when one of them looks may have none when
// it writes. Opened anew it can be told not to wait, and that is so for nobody else who has it open. Where
// /proc does not give it, looking has to do.
static void do_not_wait_for(int fd)
{
    char path[32];
    struct stat st;
    if (fstat(fd, &st) < 0 || !(S_ISFIFO(st.st_mode) || isatty(fd)))
        return;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (own < 0)
        return;
    (void)dup2(own, fd);
    close(own);
}

// Standard error becomes the log's file, here and in the rooms that are started from here. Returns where the
// line `ready` goes all the same, or negative errno.
static int open_log(const struct daemon_config *c, const char *journal, struct esp_error *err)
{
    do_not_wait_for(STDERR_FILENO);
    int announce = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, LOG_JOURNAL_FD + 1);
    if (announce < 0)
        return esp_fail(err, -errno, "standard error", "%s", strerror(errno));
    if (journal) {
        int entries = log_journal_open(journal, err), r = entries;
        if (entries >= 0 && dup3(entries, LOG_JOURNAL_FD, O_CLOEXEC) < 0)
            r = esp_fail(err, -errno, journal, "%s", strerror(errno));
        if (entries >= 0)
            close(entries);
        if (r < 0)
            close(announce);
        return r < 0 ? r : announce;
    }
    if (!c->log_path[0])
        return announce;
    int fd = open(c->log_path,
                  O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK |
                      (c->log_truncate ? O_TRUNC : 0),
                  0640);
    if (fd < 0 || dup2(fd, STDERR_FILENO) < 0) {
        int e = errno;
        close(announce);
        if (fd >= 0)
            close(fd);
        return esp_fail(err, -e, c->log_path, "opening the log: %s", strerror(e));
    }
    close(fd);
    log_set_output(STDERR_FILENO); // it is another one now
    return announce;
}

static int open_all(struct socket_set *s, const struct settings *st, struct esp_error *err)
{
    int r = sockets_open(s, st, err);
    if (r == 0 && ((r = sockets_open_ctl(s, st, err)) < 0 || (r = sockets_open_fleet(s, st, err)) < 0))
        sockets_close(s);
    return r;
}

// What a daemon that was killed had is free when the last of its processes is gone.
static int open_sockets(struct socket_set *s, const struct settings *st, bool killed, struct esp_error *err)
{
    enum { MOST_MS = 2000, PAUSE_MS = 20 };
    int r = open_all(s, st, err);
    for (int ms = 0; killed && (r == -EADDRINUSE || r == -EBUSY) && ms < MOST_MS; ms += PAUSE_MS) {
        usleep(PAUSE_MS * 1000);
        *err = (struct esp_error){0};
        r = open_all(s, st, err);
    }
    return r;
}

static int run(const struct options *o, struct daemon_config *config, int announce)
{
    struct socket_set sockets;
    struct esp_error err = {0};
    const struct settings *st = &config->settings;
    int r = vici_uri_check(st->vici_uri, st->vici_insecure, &err);
    if (r == 0)
        r = card_check(st, &err);
    if (r == 0 && st->debug_keys[0]) {
        LOGF(DMN, 0, "keys are written to %s; whoever reads them can decrypt the traffic", st->debug_keys);
        r = debug_dir_make(st->debug_keys, &err);
    }
    bool killed = false;
    int lock = r ? r : rundir_take(st->run_dir, &killed, &err);
    if (lock < 0) {
        complain(announce, &err);
        return status_of(lock, EXIT_MISSING);
    }
    r = open_sockets(&sockets, st, killed, &err);
    int status = EXIT_MISSING;
    sockets.run_lock = lock;
    if (r == 0) {
        status = supervise(o, config, &sockets, announce);
        sockets_end_vici(&sockets);
        sockets_close(&sockets);
    } else {
        complain(announce, &err);
        status = status_of(r, EXIT_MISSING);
    }
    rundir_leave(lock);
    return status;
}

// A socket must never become standard input, output or error, or stand where a room finds what it must know,
// or says its last words.
static int fill_standard_fds(int last, struct esp_error *err)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (fd >= 0 && fd <= last);
    if (fd < 0)
        return esp_fail(err, -errno, "/dev/null", "%s", strerror(errno));
    close(fd);
    return 0;
}

static void protect_memory(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__ // the leak checker has to look at its own process
    prctl(PR_SET_DUMPABLE, 0);
#endif
}

static int start(const struct options *o)
{
    struct daemon_config config;
    struct esp_error err = {0};
    int r = config_build(&config, o, warn, &err);
    if (r < 0) {
        complain(STDERR_FILENO, &err);
        return status_of(r, EXIT_USAGE);
    }
    int announce = open_log(&config, o->journal, &err);
    if (announce < 0) {
        complain(STDERR_FILENO, &err);
        return status_of(announce, EXIT_MISSING);
    }
    config_apply_log(&config);
    protect_memory();
    int status = run(o, &config, announce);
    close(announce);
    return status;
}

static int run_purge(const struct options *o)
{
    struct daemon_config config;
    struct esp_error err = {0};
    int r = config_build(&config, o, warn, &err);
    int otherwise = r < 0 ? EXIT_USAGE : EXIT_FAILURE;
    if (r == 0)
        r = purge_run(&config.settings, &err);
    if (r == 0)
        return 0;
    complain(STDERR_FILENO, &err);
    return r == -EPERM || r == -EACCES ? EXIT_MISSING : status_of(r, otherwise);
}

static int run_room(const char *title)
{
    struct room_start start;
    int r = room_read_start(&start);
    if (r == 0)
        return children_run(&start);
    LOGF(DMN, 0, "%s: its start cannot be read from descriptor %d: %s", title, ROOM_START_FD, strerror(-r));
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct options o;
    struct esp_error err = {0};
    int status = EXIT_USAGE;
    if (fill_standard_fds(room_is_one(argv[0]) ? FILTER_WORDS_FD : LOG_JOURNAL_FD, &err) < 0) {
        complain(STDERR_FILENO, &err);
        return EXIT_FAILURE;
    }
    if (room_is_one(argv[0]))
        return run_room(argv[0]);
    int r = options_parse(&o, argc, argv, &err);
    if (r == -ENOMEM) {
        complain(STDERR_FILENO, &err);
        status = EXIT_FAILURE;
    } else if (r < 0) {
        complain(STDERR_FILENO, &err);
        fputs(options_usage(), stderr);
    } else if (o.help) {
        options_help(stdout);
        status = 0;
    } else if (o.version) {
        puts("espalierd " ESPALIER_VERSION);
        status = 0;
    } else if (o.check) {
        r = config_check(&o);
        status = r == -ENOMEM ? 1 : r ? EXIT_USAGE : 0;
    } else if (o.purge) {
        status = run_purge(&o);
    } else {
        log_set_json(o.log_json);
        status = start(&o);
    }
    options_free(&o);
    return status;
}
