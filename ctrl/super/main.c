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
#include <unistd.h>

#include "ctrl/config/options.h"
#include "ctrl/config/version.h"
#include "ctrl/ctl/listen.h"
#include "ctrl/lib/log.h"
#include "ctrl/super/children.h"
#include "ctrl/super/rundir.h"
#include "ctrl/super/sockets.h"
#include "ctrl/super/supervise.h"

enum { EXIT_USAGE = 2, EXIT_MISSING = 3 };

static void warn(const char *text)
{
    LOGF(CFG, 0, "warning: %s", text);
}

static void complain(const struct esp_error *err)
{
    fprintf(stderr, "espalierd: %s%s%s\n", err->field, err->field[0] ? ": " : "", err->text);
}

static int status_of(int r)
{
    return r == -EINVAL ? EXIT_USAGE : EXIT_MISSING;
}

static int run(const struct options *o, struct daemon_config *config)
{
    struct socket_set sockets;
    struct esp_error err = {0};
    const struct settings *st = &config->settings;
    int r = vici_uri_check(st->vici_uri, st->vici_insecure, &err);
    if (r == 0 && st->debug_keys[0]) {
        LOGF(DMN, 0, "keys are written to %s; whoever reads them can decrypt the traffic", st->debug_keys);
        r = debug_dir_make(st->debug_keys, &err);
    }
    int lock = r ? r : rundir_take(st->run_dir, &err);
    if (lock < 0) {
        complain(&err);
        return status_of(lock);
    }
    r = sockets_open(&sockets, st, &err);
    int status = EXIT_MISSING;
    if (r == 0) {
        status = supervise(o, config, &sockets);
        sockets_close(&sockets);
    } else {
        complain(&err);
        status = status_of(r);
    }
    close(lock);
    return status;
}

// A socket must never become standard input, output or error, or stand where a room finds what it must know.
static void fill_standard_fds(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (fd >= 0 && fd <= ROOM_START_FD);
    if (fd > ROOM_START_FD)
        close(fd);
}

static void protect_memory(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__ // the leak checker has to look at its own process
    prctl(PR_SET_DUMPABLE, 0);
#endif
}

int main(int argc, char **argv)
{
    struct options o;
    struct daemon_config config;
    struct esp_error err = {0};
    struct room_start room;
    int status = EXIT_USAGE;
    fill_standard_fds();
    if (room_is_one(argv[0], &room))
        return children_run(&room);
    if (options_parse(&o, argc, argv, &err) < 0) {
        complain(&err);
        fputs(options_usage(), stderr);
    } else if (o.help) {
        fputs(options_usage(), stdout);
        status = 0;
    } else if (o.version) {
        puts("espalierd " ESPALIER_VERSION);
        status = 0;
    } else if (config_build(&config, &o, warn, &err) < 0) {
        complain(&err);
    } else {
        config_apply_log(&config);
        protect_memory();
        status = run(&o, &config);
    }
    options_free(&o);
    return status;
}
