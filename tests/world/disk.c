// SPDX-License-Identifier: Apache-2.0
// Disks that are full for a while (link-time seams): what a site's rooms write to a file finds no room, for
// all of it, for the rest of a line, or when it is opened, renamed or synced. They write the leases of a pool
// and their log. A log line has room or has none; what a file system may cut of one is not shown.
//
// All of it by dice of its own, so that what those of other worlds decide stays what it was.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctrl/lib/log.h"
#include "tests/world/world.h"

ssize_t __real_write(int fd, const void *p, size_t n);
int __real_open(const char *file, int flags, ...);
int __real_rename(const char *from, const char *to);
ssize_t __wrap_write(int fd, const void *p, size_t n);
int __wrap_open(const char *file, int flags, ...);
int __wrap_rename(const char *from, const char *to);
int __wrap_fsync(int fd);

static struct disk *of_writer(void)
{
    struct site *s = the_site;
    return s && s->disk.full ? &s->disk : NULL;
}

static int no_room(void)
{
    the_site->disk.refused++;
    errno = ENOSPC;
    return -1;
}

ssize_t __wrap_write(int fd, const void *p, size_t n)
{
    struct disk *d = of_writer();
    struct stat st;
    if (!d || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return __real_write(fd, p, n);
    if (d->logging && fd == d->log)
        return rng_chance(&the_world->disk_dice, 900) ? no_room() : __real_write(fd, p, n);
    n = n < d->room ? n : d->room;
    d->room -= n;
    return n ? __real_write(fd, p, n) : no_room();
}

static bool trips(void)
{
    return of_writer() && rng_chance(&the_world->disk_dice, 300);
}

int __wrap_open(const char *file, int flags, ...)
{
    return flags & O_CREAT && trips() ? no_room() : __real_open(file, flags, 0600);
}

int __wrap_rename(const char *from, const char *to)
{
    return trips() ? no_room() : __real_rename(from, to);
}

int __wrap_fsync(int fd)
{
    (void)fd; // no power fails here
    return trips() ? no_room() : 0;
}

// ---- the log

static uint64_t dropped(struct daemon *d)
{
    uint64_t n = 0;
    for (int r = ROOM_CTL; r < ROOM_FETCH; r++) {
        struct log *before = log_use(d->log[r]);
        n += d->log[r] ? log_dropped() : 0;
        log_use(before);
    }
    return n;
}

static void output_to(struct daemon *d, int fd)
{
    for (int r = ROOM_CTL; r < ROOM_FETCH; r++) {
        struct log *before = log_use(d->log[r]);
        if (d->log[r])
            log_set_output(fd);
        log_use(before);
    }
}

static void begin_log(struct site *s)
{
    char name[] = "/tmp/world-log-XXXXXX";
    if (s->silent.on || s->disk.logging || !s->d.ike || !s->d.path)
        return;
    s->disk.log = mkstemp(name);
    if (s->disk.log < 0)
        abort();
    (void)!unlink(name);
    s->disk.logging = true;
    s->disk.lines = 0;
    s->disk.dropped = dropped(&s->d);
    output_to(&s->d, s->disk.log);
}

void disk_line(struct site *s)
{
    s->disk.lines += s->disk.logging;
}

static void count_lines(struct site *s, uint64_t *had, uint64_t *missing)
{
    char line[8192];
    FILE *f = fdopen(dup(s->disk.log), "r");
    if (!f)
        abort();
    rewind(f);
    for (*had = *missing = 0; fgets(line, sizeof(line), f);) {
        const char *told = strstr(line, " lines are missing here"), *from = told;
        while (from && from > line && from[-1] >= '0' && from[-1] <= '9')
            from--;
        if (!strchr(line, '\n'))
            world_fail(s->w, "log", "%c leaves half a line in its log: %s", s->letter, line);
        if (told)
            *missing += strtoull(from, NULL, 10);
        else
            ++*had;
    }
    fclose(f);
}

// There is room again: each room says something, and what it has dropped is told.
static void say_all(struct site *s)
{
    for (int r = ROOM_CTL; r < ROOM_FETCH; r++) {
        struct log *before = log_use(s->d.log[r]);
        if (s->d.log[r])
            LOGF(DMN, 1, "there is room for the log again");
        log_use(before);
    }
}

static void settle_log(struct site *s)
{
    uint64_t had, missing;
    say_all(s);
    uint64_t lost = dropped(&s->d) - s->disk.dropped;
    count_lines(s, &had, &missing);
    TRACE(s->w, 97, had, "%c log on a full disk: %llu lines, %llu written, %llu dropped", s->letter,
          (unsigned long long)s->disk.lines, (unsigned long long)had, (unsigned long long)lost);
    if (s->disk.lines != had + lost || missing != lost)
        world_fail(s->w, "log",
                   "%c has logged %llu lines; written are %llu, dropped %llu, told to be missing %llu",
                   s->letter, (unsigned long long)s->disk.lines, (unsigned long long)had,
                   (unsigned long long)lost, (unsigned long long)missing);
    output_to(&s->d, -1);
    disk_gone(s);
}

void disk_gone(struct site *s)
{
    if (s->disk.logging)
        close(s->disk.log);
    s->disk.logging = false;
}

// What it has dropped went with it; the others tell theirs now, or would in the next act.
void disk_room_died(struct site *s)
{
    bool full = s->disk.full;
    if (!s->disk.logging)
        return;
    s->disk.full = false;
    say_all(s);
    s->disk.full = full;
    output_to(&s->d, -1);
    disk_gone(s);
}

// ---- the act

static void room_again(struct world *w, void *ctx, uint64_t arg)
{
    struct site *s = ctx;
    (void)arg;
    if (!s->disk.full)
        return;
    TRACE(w, 98, s->index, "the disk of %c has room again", s->letter);
    s->disk.full = false;
    the_site = s;
    if (s->disk.logging && s->d.life == UP)
        settle_log(s);
}

void disk_full(struct site *s, uint64_t for_us)
{
    struct world *w = s->w;
    if (s->disk.full)
        return;
    s->disk.full = true;
    s->disk.room = rng_chance(&w->disk_dice, 500) ? 0 : rng_below(&w->disk_dice, 200);
    TRACE(w, 99, s->disk.room, "the disk of %c is full for %.1f s, but for %zu octets", s->letter,
          (double)for_us / 1e6, s->disk.room);
    if (s->d.life == UP)
        begin_log(s);
    agenda_add(w, for_us, room_again, s, 0);
}

static void some_disk(struct world *w, void *ctx, uint64_t arg)
{
    struct rng *r = &w->disk_dice;
    (void)ctx, (void)arg;
    if (w->calm)
        return;
    disk_full(&w->site[rng_chance(r, 500) ? 1 : rng_below(r, w->sites)], rng_between(r, SECOND, 40 * SECOND));
    agenda_add(w, rng_between(r, 5 * SECOND, 90 * SECOND), some_disk, NULL, 0);
}

void disk_start(struct world *w)
{
    rng_seed(&w->disk_dice, w->o.seed ^ 0x6469736b);
    if (!w->o.plain && rng_chance(&w->disk_dice, w->warriors.count ? 900 : 300))
        agenda_add(w, rng_below(&w->disk_dice, 20 * SECOND), some_disk, NULL, 0);
}
