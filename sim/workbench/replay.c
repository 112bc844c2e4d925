// SPDX-License-Identifier: Apache-2.0
// `espalier-sim replay`: a capture through one pass of an engine (pass.c) into another capture, statistics as
// JSON and a summary for people.
#include "sim/workbench/replay.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/workbench/pass.h"
#include "sim/workbench/progress.h"
#include "sim/workbench/stats.h"
#include "sim/workbench/summary.h"
#include "sim/workbench/util.h"

struct replay {
    struct sad sad;
    struct wb_engine *engine;
    struct capture_reader *reader;
    struct capture_writer *writer;
    struct pass *pass;
    struct stats stats;
    struct progress progress;
    struct esp_error cut; // where the capture could not be read any further
};

static int open_engine(struct replay *r, const struct replay_options *o, struct esp_error *err)
{
    struct wb_card_options card = {
        .lanes = o->lanes, .fst = o->fst, .fst_from = o->fst_from, .fst_to = o->fst_to};

    if (r->sad.n_states > o->sas)
        return esp_fail(err, -EINVAL, o->sad, "%zu states, but the engine has %u slots", r->sad.n_states,
                        o->sas);
    return o->soft ? wb_soft_open(&r->engine, err) : wb_card_open(&r->engine, &card, err);
}

static int sink(void *ctx, const struct pass_result *res, struct esp_error *err)
{
    struct replay *r = ctx;

    stats_take(&r->stats, res);
    progress_show(&r->progress, capture_permille(r->reader), r->stats.in);
    return res->end == PASS_DROPPED ? 0 : capture_write(r->writer, &res->out, err);
}

static int run(struct replay *r, struct esp_error *err)
{
    struct capture_packet p;
    int ret = pass_open(&r->pass, &r->sad, r->engine, capture_link(r->reader), sink, r, err);

    while (ret == 0 && capture_next(r->reader, &p, &r->cut) == 1)
        ret = pass_take(r->pass, &p, err);
    if (ret == 0)
        ret = pass_drain(r->pass, err);
    progress_end(&r->progress);
    return ret;
}

static bool is_stdout(const char *path)
{
    struct stat a, b;

    return path && stat(path, &a) == 0 && fstat(STDOUT_FILENO, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

// Where an output goes to standard output the summary must not stand in it.
static void summarise(struct replay *r, const struct replay_options *o)
{
    summary_print(is_stdout(o->out) || is_stdout(o->json) ? stderr : stdout, &r->stats, r->engine);
    fflush(stdout);
    summary_warn(stderr, &r->stats, &r->sad);
}

static void close_all(struct replay *r)
{
    pass_close(r->pass);
    capture_abandon(r->writer);
    capture_close(r->reader);
    if (r->engine)
        r->engine->ops->close(r->engine);
    stats_clear(&r->stats);
    sad_clear(&r->sad);
    free(r);
}

static int open_all(struct replay *r, const struct replay_options *o, struct esp_error *err)
{
    int ret = sad_load(&r->sad, o->sad, err);

    if (ret == 0 && !o->ipv6)
        ret = wb_refuse_ipv6(&r->sad, o->sad, err);
    if (ret == 0)
        ret = capture_open(&r->reader, o->in, err);
    if (ret == 0)
        ret = capture_create(&r->writer, o->out, r->reader, err);
    if (ret == 0)
        ret = open_engine(r, o, err);
    progress_start(&r->progress, o->in);
    return ret;
}

int wb_replay(const struct replay_options *o, struct esp_error *err)
{
    struct replay *r = calloc(1, sizeof(*r));
    int ret;

    if (!r)
        return esp_fail(err, -ENOMEM, "", "out of memory");
    ret = open_all(r, o, err);
    if (ret == 0)
        ret = run(r, err);
    if (ret == 0 && o->json)
        ret = stats_write(&r->stats, o->json, r->engine, &r->sad, err);
    if (ret == 0) {
        ret = capture_commit(r->writer, err);
        r->writer = NULL;
    }
    if (ret == 0)
        summarise(r, o);
    if (ret == 0 && r->cut.code != 0)
        ret = esp_fail(err, -EIO, r->cut.field, "%.130s (the packets before it were processed)", r->cut.text);
    close_all(r);
    return ret;
}
