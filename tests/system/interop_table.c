// SPDX-License-Identifier: Apache-2.0
#include "tests/system/interop_table.h"

#include <string.h>
#include <strings.h>

#include "tests/system/harness.h"

bool matrix_options(int argc, char **argv, struct matrix_options *o)
{
    const struct {
        const char *name, **to;
    } known[] = {{"--method", &o->method},
                 {"--feature", &o->feature},
                 {"--begins", &o->begins},
                 {"--report", &o->report},
                 {"--peers", &o->peers}};
    memset(o, 0, sizeof(*o));
    for (int i = 1; i < argc; i += 2) {
        unsigned k = 0;
        while (k < sizeof(known) / sizeof(known[0]) && strcmp(argv[i], known[k].name) != 0)
            k++;
        if (k == sizeof(known) / sizeof(known[0]) || i + 1 == argc) {
            fprintf(stderr,
                    "usage: %s [--method NAME] [--feature NAME] [--begins espalier|peer] [--report FILE] "
                    "[--peers FOLDER]\n",
                    argv[0]);
            return false;
        }
        *known[k].to = argv[i + 1];
    }
    return true;
}

static void print(FILE *f, const struct matrix *m)
{
    static const char *const word[] = {"–", "ok", "**no**"};
    fprintf(f, "| espalierd begins / %s begins |", m->peer);
    for (unsigned j = 0; j < m->columns; j++)
        fprintf(f, " %s |", m->column[j]);
    fprintf(f, "\n|---|");
    for (unsigned j = 0; j < m->columns; j++)
        fprintf(f, "---|");
    for (unsigned i = 0; i < m->rows; i++) {
        fprintf(f, "\n| %s |", m->row[i]);
        for (unsigned j = 0; j < m->columns; j++)
            fprintf(f, " %s / %s |", word[m->at[i][j][0]], word[m->at[i][j][1]]);
    }
    fprintf(f, "\n\n%u cells ok, %u failed\n", m->passed, m->failed);
}

static bool wanted(const char *want, const char *name)
{
    return !want || strcasecmp(want, name) == 0;
}

static void one(struct matrix *m, unsigned i, unsigned j, bool peer_begins,
                bool (*cell)(unsigned, unsigned, bool, void *), void *ctx)
{
    uint64_t began = mono_us();
    bool ok = cell(i, j, peer_begins, ctx);
    m->at[i][j][peer_begins] = ok ? PASSED : FAILED;
    *(ok ? &m->passed : &m->failed) += 1;
    printf("%-13s %-11s %-10s begins: %s (%.1f s)\n", m->row[i], m->column[j],
           peer_begins ? m->peer : "espalierd", ok ? "ok" : "FAILED", (double)(mono_us() - began) / 1e6);
    fflush(stdout);
}

static bool write_report(const struct matrix *m, const char *path)
{
    FILE *f = fopen(path, "w");
    if (!f)
        return complain("cannot write %s", path);
    print(f, m);
    return fclose(f) == 0;
}

int matrix_run(struct matrix *m, const struct matrix_options *o,
               bool (*cell)(unsigned row, unsigned column, bool peer_begins, void *ctx), void *ctx)
{
    for (unsigned i = 0; i < m->rows; i++)
        for (unsigned j = 0; j < m->columns; j++)
            for (int role = 0; role < 2; role++)
                if (wanted(o->method, m->row[i]) && wanted(o->feature, m->column[j]) &&
                    wanted(o->begins, role ? "peer" : "espalier"))
                    one(m, i, j, role, cell, ctx);
    print(stdout, m);
    bool written = !o->report || write_report(m, o->report);
    return m->failed || !m->passed || !written ? 1 : 0;
}
