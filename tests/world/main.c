// SPDX-License-Identifier: Apache-2.0
// world SEED [--trace] [--minutes N] [--count N] [--card c|verilated]: runs the world of a seed, or of N
// seeds from it on. 0: every invariant held; 1: one did not (its name, the end of the trace and the command
// to replay it are printed).
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctrl/path/path.h"
#include "tests/world/world.h"

static uint64_t cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

struct totals {
    uint64_t worlds, steps, virtual_us, packets, through, exchanges, cpu;
    double tunnel_minutes;
};

// A daemon that dies for good takes the world with it: which seed it was is said first.
static char dying[120];
static struct sigaction before[NSIG];

static void dies(int sig)
{
    ssize_t rc = write(STDOUT_FILENO, dying, strlen(dying));
    (void)rc;
    sigaction(sig, &before[sig], NULL); // and then as ever: a core, a sanitizer's report
    if (sig == SIGXCPU)
        raise(sig);
}

static void watch_deaths(void)
{
    static const int of[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGXCPU};
    for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++)
        sigaction(of[i], &(struct sigaction){.sa_handler = dies}, &before[of[i]]);
}

// For whoever wants to see what a world that fails leaves.
static void trip(struct world *w, void *ctx, uint64_t arg)
{
    (void)ctx, (void)arg;
    world_fail(w, "tripped", "--trip asked for it");
}

// The same world again: whatever of the options has a hand in it.
static void print_replay(const struct options *o)
{
    printf("replay: build/tests/world %llu --minutes %u", (unsigned long long)o->seed, o->minutes);
    if (o->traffic)
        printf(" --traffic %u", o->traffic);
    if (o->workers)
        printf(" --workers %u", o->workers);
    if (o->deaths)
        printf(" --deaths");
    if (o->steps)
        printf(" --steps %llu", (unsigned long long)o->steps);
    if (o->ignore)
        printf(" --ignore %s", o->ignore);
    if (o->trip_s)
        printf(" --trip %u", o->trip_s);
    printf("%s --trace\n", o->verilated ? " --card verilated" : "");
}

// hash: of the trace, where somebody wants it.
static bool run(const struct options *o, bool trace, struct totals *t, uint64_t *hash)
{
    static struct world w;
    uint64_t began = cpu_us();
    snprintf(dying, sizeof(dying), "seed %llu: invariant crash does not hold: it dies, or does not end\n",
             (unsigned long long)o->seed);
    world_begin(&w, o, trace);
    uint64_t from = w.now;
    if (o->trip_s)
        agenda_add(&w, o->trip_s * SECOND, trip, NULL, 0);
    world_run_until(&w, w.now + o->minutes * MINUTE);
    if (!w.failed)
        world_conclude(&w);
    if (w.failed && trace && !o->quiet) {
        size_t n = w.tail_at < TAIL ? w.tail_at : TAIL;
        for (size_t i = w.tail_at - n; !o->trace && i < w.tail_at; i++)
            putchar(w.tail[i % TAIL]);
    }
    if (w.failed && trace) {
        printf("seed %llu: invariant %s does not hold: %s\n", (unsigned long long)o->seed, w.failed, w.why);
        print_replay(o);
    }
    bool ok = !w.failed;
    t->worlds++;
    t->steps += w.steps;
    t->virtual_us += w.now - from;
    t->packets += w.ledger.count;
    t->through += w.packets_through;
    t->exchanges += w.exchanges;
    t->tunnel_minutes += (double)(w.pairs + w.warriors.count) * (double)(w.now - from) / MINUTE;
    if (o->trace || trace)
        printf("trace %016llx\n", (unsigned long long)w.hash);
    if (hash)
        *hash = w.hash;
    t->cpu += cpu_us() - began;
    world_end(&w);
    return ok;
}

static int usage(void)
{
    fputs("usage: world SEED [--trace] [--minutes N] [--count N] [--steps N] [--twice] [--quiet] [--cpu "
          "SECONDS]\n"
          "       [--ignore INVARIANT] [--card c|verilated] [--traffic PACKETS] [--workers N] [--fast] "
          "[--busy]\n"
          "       [--trip SECONDS] [--deaths]\n"
          "  Runs the world of SEED (or of N seeds from it on): N minutes of faults, then calm.\n"
          "  --twice: only whether two runs of a seed are the same to the octet.\n"
          "  --cpu: no further seed after so many seconds of CPU time.\n"
          "  --ignore: goes on past that one, to see what else there is.\n"
          "  --card verilated: the cards are the RTL (build/tests/world_verilated), and slow.\n"
          "  --traffic: so many packets a minute between two networks, and rekeys without end.\n"
          "  --workers: so many in each path, one to 16, all in one thread; packets come to each in turn.\n"
          "  --fast: fails below 100 virtual seconds and 50,000 events a CPU second.\n"
          "  --busy: fails below 1,000 packets through and 10 exchanges a virtual minute and tunnel.\n"
          "  --quiet: all seeds, one line for each that fails.\n"
          "  --deaths: rooms die far more often, several at once, short of memory, while operators go on.\n"
          "  --trip: fails after so many virtual seconds, whatever holds.\n",
          stderr);
    return 2;
}

static bool parse(int argc, char **argv, struct options *o, uint64_t *count)
{
    *o = (struct options){.minutes = 5};
    *count = 1;
    if (argc < 2)
        return false;
    o->seed = strtoull(argv[1], NULL, 0);
    for (int i = 2; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(argv[i], "--trace"))
            o->trace = true;
        else if (!strcmp(argv[i], "--twice"))
            o->twice = true;
        else if (!strcmp(argv[i], "--quiet"))
            o->quiet = true;
        else if (!strcmp(argv[i], "--deaths"))
            o->deaths = true;
        else if (!strcmp(argv[i], "--fast"))
            o->fast = true;
        else if (!strcmp(argv[i], "--busy"))
            o->busy = true;
        else if (!strcmp(argv[i], "--traffic"))
            o->traffic = (unsigned)strtoul(value, NULL, 0), i++;
        else if (!strcmp(argv[i], "--workers"))
            o->workers = (unsigned)strtoul(value, NULL, 0), i++;
        else if (!strcmp(argv[i], "--card") && (!strcmp(value, "c") || !strcmp(value, "verilated")))
            o->verilated = !strcmp(value, "verilated"), i++;
        else if (!strcmp(argv[i], "--cpu"))
            o->cpu_s = strtoull(value, NULL, 0), i++;
        else if (!strcmp(argv[i], "--ignore"))
            o->ignore = value, i++;
        else if (!strcmp(argv[i], "--minutes"))
            o->minutes = (unsigned)strtoul(value, NULL, 0), i++;
        else if (!strcmp(argv[i], "--count"))
            *count = strtoull(value, NULL, 0), i++;
        else if (!strcmp(argv[i], "--trip"))
            o->trip_s = (unsigned)strtoul(value, NULL, 0), i++;
        else if (!strcmp(argv[i], "--steps"))
            o->steps = strtoull(value, NULL, 0), i++;
        else
            return false;
    }
    return o->workers <= PATH_WORKERS;
}

// The program that holds the Verilated card is another: nobody has to build it for the one in C.
static int become_verilated(char **argv)
{
    char other[4096];
    if (snprintf(other, sizeof(other), "%s_verilated", argv[0]) < (int)sizeof(other))
        execv(other, argv);
    fprintf(stderr, "world: cannot run %s: make build/tests/world_verilated\n", other);
    return 2;
}

static void tell(const struct totals *t, uint64_t failed)
{
    double v = (double)t->virtual_us / 1e6, c = (double)t->cpu / 1e6;
    printf("%llu worlds PASSED, %llu failed: %.0f virtual minutes in %.1f CPU s (%.0f x real time), %.0f "
           "events a CPU second; a virtual minute and tunnel: %.0f packets offered, %.0f through tunnels, "
           "%.1f IKE exchanges\n",
           (unsigned long long)(t->worlds - failed), (unsigned long long)failed, v / 60, c, v / c,
           (double)t->steps / c, (double)t->packets / t->tunnel_minutes,
           (double)t->through / t->tunnel_minutes, (double)t->exchanges / t->tunnel_minutes);
}

static bool reaches(double is, double least, const char *what)
{
    if (is < least)
        printf("too few: %.1f %s, %.0f are asked for\n", is, what, least);
    return is >= least;
}

// In CPU time: what else the machine does is no matter.
static bool is_fast(const struct totals *t)
{
    double c = (double)t->cpu / 1e6;
    bool pace = reaches((double)t->virtual_us / 1e6 / c, 100, "virtual seconds a CPU second");
    return reaches((double)t->steps / c, 50000, "events a CPU second") && pace;
}

static bool is_busy(const struct totals *t)
{
    bool packets =
        reaches((double)t->through / t->tunnel_minutes, 1000, "packets a virtual minute through a tunnel");
    return reaches((double)t->exchanges / t->tunnel_minutes, 10, "exchanges a virtual minute and tunnel") &&
           packets;
}

int main(int argc, char **argv)
{
    struct options o;
    struct totals t = {0};
    uint64_t count, failed = 0;
    if (!parse(argc, argv, &o, &count))
        return usage();
    if (o.verilated && !site_card_verilated())
        return become_verilated(argv);
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    watch_deaths();
    for (uint64_t i = 0; i < count && (!o.cpu_s || t.cpu < o.cpu_s * 1000000); i++, o.seed++) {
        uint64_t hash, again;
        bool ok = run(&o, o.trace, &t, &hash);
        if (o.twice && (run(&o, false, &t, &again) != ok || again != hash)) {
            printf("seed %llu: two runs differ: traces %016llx and %016llx\n", (unsigned long long)o.seed,
                   (unsigned long long)hash, (unsigned long long)again);
            failed++;
            continue;
        }
        if (ok || o.twice)
            continue;
        failed++;
        if (!o.trace)
            run(&o, true, &t, NULL); // the same again, with words
        if (!o.quiet)
            break;
    }
    bool good = !failed && t.worlds; // what ran nothing has not passed
    tell(&t, failed);
    good &= !o.fast || is_fast(&t);
    good &= !o.busy || is_busy(&t);
    return good ? 0 : 1;
}
