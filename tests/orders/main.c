// SPDX-License-Identifier: Apache-2.0
// orders: see usage() and tests/orders/README.md.
#include <getopt.h>
#include <stdio.h>
#include <time.h>
#include <sys/resource.h>

#include "tests/orders/orders.h"

enum { LOG2_STATES = 28, KEPT_MOST = 4, SCATTER = 1009 };
// KEPT_MOST: losses and copies of a kept order. SCATTER: a prime that no number of lists has

struct options {
    unsigned acts, losses, copies, stride, walks;
    uint64_t seed, slice;
    double cpu;
    bool keep_going, verbose, by_ends;
    const char *order, *kept, *record, *only;
};
struct sum {
    uint64_t states, transitions, ends, scenarios, failed;
};

static double cpu_now(void)
{
    struct rusage self, children;
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
    const struct timeval *all[] = {&self.ru_utime, &self.ru_stime, &children.ru_utime, &children.ru_stime};
    double s = 0;
    for (unsigned i = 0; i < 4; i++)
        s += (double)all[i]->tv_sec + (double)all[i]->tv_usec / 1e6;
    return s;
}

static void usage(void)
{
    printf("usage: orders [A/B] [OPTION]...\n"
           "A, B: what the ends begin, a letter each; without them: every pair of lists of --acts letters\n");
    for (const char *a = ACT_LETTERS; *a; a++)
        printf("  %c  %s\n", *a, act_name(*a));
    for (const char *a = ACT_NAMED; *a; a++)
        printf("  %c  %s (in no list but a given one)\n", *a, act_name(*a));
    printf("  --acts N      of either end (2)\n"
           "  --losses N    datagrams that may be lost (1)\n"
           "  --copies N    datagrams that may come twice (1)\n"
           "  --seed N      the first seed of the random numbers (1)\n"
           "  --only A      lists of these letters alone\n"
           "  --stride N    only each N-th pair of lists (1), from that on which --slice says (0)\n"
           "  --record FILE writes down there which pairs of lists are done, and leaves those that were\n"
           "  --walks N     N random orders, one of each of N random pairs of lists, instead of all\n"
           "  --cpu S       no further pair of lists after S seconds of CPU time\n"
           "  --keep-going  the first failing order of each pair of lists\n"
           "  --by-ends     the ends go each step themselves, whether one has gone it before or not\n"
           "  --kept FILE   the orders that stand there, a line each: LISTS SEED ORDER\n"
           "  --order O     that order again, step by step (IKE_LOG=1: with the daemons' logs)\n");
}

static bool act_possible(int side, char act)
{
    return act_name(act) && !(side == 1 && act == 'm'); // only who began it decides where it is
}

// The n-th list of `count` letters that this side can do; false: there is none.
static bool list_of(int side, unsigned count, uint64_t n, char *out)
{
    char letters[16] = "";
    size_t k = 0;
    for (const char *a = ACT_LETTERS; *a; a++)
        if (act_possible(side, *a))
            letters[k++] = *a;
    for (unsigned i = 0; i < count; i++, n /= k)
        out[i] = letters[n % k];
    out[count] = 0;
    return n == 0;
}

// --- a record of the pairs of lists that are done: a line each ---

static bool done_before(const struct options *o, const struct scenario *sc, struct sum *sum)
{
    char line[200], lists[16], mine[16];
    unsigned long long y[5];
    bool found = false;
    FILE *f = o->record ? fopen(o->record, "re") : NULL;
    snprintf(mine, sizeof(mine), "%s/%s", sc->acts[0], sc->acts[1]);
    while (f && !found && fgets(line, sizeof(line), f)) {
        found = sscanf(line, "%15s losses %llu copies %llu seed %llu: %llu states, %llu steps", lists, &y[0],
                       &y[1], &y[2], &y[3], &y[4]) == 6 &&
                strcmp(lists, mine) == 0 && y[0] == sc->losses && y[1] == sc->copies && y[2] == sc->seed;
        if (found) {
            sum->scenarios++;
            sum->states += y[3];
            sum->transitions += y[4];
        }
    }
    if (f)
        fclose(f);
    return found;
}

static void write_down(const struct options *o, const struct scenario *sc, const struct tally *y, double cpu)
{
    FILE *f = o->record ? fopen(o->record, "ae") : NULL;
    if (!f)
        return;
    fprintf(f, "%s/%s losses %u copies %u seed %llu: %llu states, %llu steps, %.2f CPU s\n", sc->acts[0],
            sc->acts[1], sc->losses, sc->copies, (unsigned long long)sc->seed, (unsigned long long)y->states,
            (unsigned long long)y->transitions, cpu);
    fclose(f);
}

static bool run(struct search *s, const struct scenario *sc, const struct options *o, struct sum *sum)
{
    struct tally y;
    double begun = cpu_now();
    bool ok = o->kept    ? search_again(s, sc, o->order, &y)
              : o->walks ? search_walk(s, sc, &y)
                         : search_all(s, sc, o->by_ends, &y);
    sum->states += y.states;
    sum->transitions += y.transitions;
    sum->ends += y.ends;
    sum->scenarios++;
    sum->failed += !ok;
    if (o->verbose)
        printf("%s/%s: %llu states, %llu steps, %llu by the ends, %.2f CPU s\n", sc->acts[0], sc->acts[1],
               (unsigned long long)y.states, (unsigned long long)y.transitions, (unsigned long long)y.gone,
               cpu_now() - begun);
    if (ok && !y.full)
        write_down(o, sc, &y, cpu_now() - begun);
    if (y.full)
        printf("%s/%s: not all: the table of states is full\n", sc->acts[0], sc->acts[1]);
    if (!ok)
        printf("FAILED %s/%s: %s\n  build/tests/orders %s/%s --losses %u --copies %u --seed %llu --order "
               "%s\n",
               sc->acts[0], sc->acts[1], y.why, sc->acts[0], sc->acts[1], sc->losses, sc->copies,
               (unsigned long long)sc->seed, y.order);
    fflush(stdout);
    return ok && !y.full;
}

static bool is_of(const struct scenario *sc, const char *letters)
{
    for (int side = 0; side < 2; side++)
        if (strspn(sc->acts[side], letters) != strlen(sc->acts[side]))
            return false;
    return true;
}

static uint64_t lists_of(int side, unsigned acts)
{
    char any[ACTS_MAX + 1];
    uint64_t n = 0;
    while (list_of(side, acts, n, any))
        n++;
    return n;
}

// Not in their order, so that what there is time for is of all kinds.
static bool lists_in(struct search *s, struct scenario *sc, const struct options *o, struct sum *sum,
                     bool of_the_first)
{
    uint64_t b = lists_of(1, o->acts), all = lists_of(0, o->acts) * b;
    for (uint64_t i = 0; i < all; i++) {
        uint64_t at = i * SCATTER % all;
        list_of(0, o->acts, at / b, sc->acts[0]);
        list_of(1, o->acts, at % b, sc->acts[1]);
        if (is_of(sc, ACTS_FIRST) != of_the_first || (o->only && !is_of(sc, o->only)) ||
            i % o->stride != o->slice % o->stride || done_before(o, sc, sum))
            continue;
        if (o->cpu > 0 && cpu_now() > o->cpu)
            return true;
        if (!run(s, sc, o, sum) && !o->keep_going)
            return false;
    }
    return sum->failed == 0;
}

static bool all_lists(struct search *s, struct scenario *sc, const struct options *o, struct sum *sum)
{
    bool first = lists_in(s, sc, o, sum, true);
    return (first || o->keep_going) && lists_in(s, sc, o, sum, false);
}

static bool walks(struct search *s, struct scenario *sc, const struct options *o, struct sum *sum)
{
    struct rng r;
    for (uint64_t i = 0; i < o->walks; i++) {
        if (o->cpu > 0 && cpu_now() > o->cpu)
            return true;
        sc->seed = o->seed + i;
        rng_seed(&r, sc->seed);
        for (int side = 0; side < 2; side++) {
            uint64_t n = rng_next(&r) % 1000000;
            list_of(side, o->acts, n, sc->acts[side]);
        }
        if (!run(s, sc, o, sum) && !o->keep_going)
            return false;
    }
    return sum->failed == 0;
}

static bool read_lists(const char *text, struct scenario *sc)
{
    const char *slash = strchr(text, '/');
    if (!slash || slash - text > ACTS_MAX || strlen(slash + 1) > ACTS_MAX)
        return false;
    snprintf(sc->acts[0], sizeof(sc->acts[0]), "%.*s", (int)(slash - text), text);
    snprintf(sc->acts[1], sizeof(sc->acts[1]), "%s", slash + 1);
    for (int side = 0; side < 2; side++)
        for (const char *a = sc->acts[side]; *a; a++)
            if (!act_possible(side, *a))
                return false;
    return true;
}

static bool all_kept(struct search *s, struct scenario *sc, struct options *o, struct sum *sum)
{
    char line[DEPTH_MAX * 5 + 100], lists[16], order[DEPTH_MAX * 5];
    unsigned long long seed;
    FILE *f = fopen(o->kept, "re");
    if (!f) {
        perror(o->kept);
        return false;
    }
    while (fgets(line, sizeof(line), f)) {
        if (line[0] == '#')
            continue;
        if (sscanf(line, "%15s %llu %1999s", lists, &seed, order) != 3 || !read_lists(lists, sc)) {
            printf("%s: expected LISTS SEED ORDER instead of '%s'\n", o->kept, line);
            sum->failed++;
            continue;
        }
        sc->seed = seed;
        o->order = order;
        run(s, sc, o, sum);
    }
    o->order = NULL;
    fclose(f);
    return sum->failed == 0;
}

static const struct option OPTIONS[] = {{"acts", 1, NULL, 'a'},
                                        {"losses", 1, NULL, 'l'},
                                        {"copies", 1, NULL, 'c'},
                                        {"seed", 1, NULL, 's'},
                                        {"cpu", 1, NULL, 't'},
                                        {"order", 1, NULL, 'o'},
                                        {"keep-going", 0, NULL, 'k'},
                                        {"walks", 1, NULL, 'w'},
                                        {"kept", 1, NULL, 'f'},
                                        {"slice", 1, NULL, 'i'},
                                        {"only", 1, NULL, 'y'},
                                        {"record", 1, NULL, 'r'},
                                        {"help", 0, NULL, 'h'},
                                        {"stride", 1, NULL, 'n'},
                                        {"verbose", 0, NULL, 'v'},
                                        {"by-ends", 0, NULL, 'e'},
                                        {0}};

static bool read_options(int argc, char **argv, struct options *o)
{
    for (int c; (c = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;) {
        uint64_t n = optarg ? strtoull(optarg, NULL, 10) : 0;
        switch (c) {
        case 'a': o->acts = (unsigned)n; break;
        case 'l': o->losses = (unsigned)n; break;
        case 'c': o->copies = (unsigned)n; break;
        case 's': o->seed = n; break;
        case 't': o->cpu = (double)n; break;
        case 'i': o->slice = n; break;
        case 'y': o->only = optarg; break;
        case 'r': o->record = optarg; break;
        case 'f': o->kept = optarg; break;
        case 'o': o->order = optarg; break;
        case 'k': o->keep_going = true; break;
        case 'w': o->walks = (unsigned)n; break;
        case 'n': o->stride = (unsigned)n; break;
        case 'v': o->verbose = true; break;
        case 'e': o->by_ends = true; break;
        default: return false;
        }
    }
    return o->acts >= 1 && o->acts <= ACTS_MAX && o->stride;
}

int main(int argc, char **argv)
{
    struct options o = {.acts = 2, .losses = 1, .copies = 1, .stride = 1, .seed = 1};
    struct scenario sc = {0};
    struct sum sum = {0};
    bool ok, given;
    if (!read_options(argc, argv, &o) || argc - optind > 1 ||
        ((given = argc > optind) && !read_lists(argv[optind], &sc)) || (o.order && argc == optind) ||
        (o.kept && given)) {
        usage();
        return 2;
    }
    sc.losses = o.losses;
    sc.copies = o.copies;
    sc.seed = o.seed;
    if (o.order)
        return !search_replay(&sc, o.order);
    if (o.kept)
        sc.losses = sc.copies = KEPT_MOST;
    struct search *s = search_new(LOG2_STATES);
    ok = o.kept    ? all_kept(s, &sc, &o, &sum)
         : given   ? run(s, &sc, &o, &sum)
         : o.walks ? walks(s, &sc, &o, &sum)
                   : all_lists(s, &sc, &o, &sum);
    search_free(s);
    printf("%llu pairs of lists, %llu states, %llu steps, %llu ends judged, %llu FAILED, in %.2f CPU s\n",
           (unsigned long long)sum.scenarios, (unsigned long long)sum.states,
           (unsigned long long)sum.transitions, (unsigned long long)sum.ends, (unsigned long long)sum.failed,
           cpu_now());
    return !(ok && sum.scenarios); // what did nothing has not passed
}
