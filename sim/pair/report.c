// SPDX-License-Identifier: Apache-2.0
// See report.h.
#include "sim/pair/report.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sim/pair/lab.h"

void report_begin(struct pair_report *r, bool quiet)
{
    *r = (struct pair_report){.quiet = quiet, .begun = pair_ms()};
}

static uint64_t told(const struct pair_report *r)
{
    uint64_t ms = 0;
    for (unsigned i = 0; i < r->count; i++)
        ms += r->step[i].ms;
    return ms;
}

bool report_step(struct pair_report *r, const char *name, bool ok, const char *fmt, ...)
{
    struct report_step *s = &r->step[r->count];
    va_list ap;
    if (r->count == REPORT_STEPS)
        return false;
    *s = (struct report_step){.name = name, .ok = ok, .ms = pair_ms() - r->begun - told(r)};
    va_start(ap, fmt);
    vsnprintf(s->text, sizeof(s->text), fmt, ap);
    va_end(ap);
    r->count++;
    r->failed += !ok;
    if (!r->quiet) {
        printf("  %-6s %s: %s (%" PRIu64 " ms)\n", ok ? "ok" : "FAILED", name, s->text, s->ms);
        fflush(stdout);
    }
    return ok;
}

static const char *verdict(const struct pair_report *r, const char *lacks)
{
    return lacks ? "not run" : r->failed || !r->count ? "failed" : "passed";
}

int report_json(const struct pair_report *r, const char *engine, const char *lacks, char **out)
{
    json_t *all = json_array(), *root;
    for (unsigned i = 0; i < r->count; i++) {
        const struct report_step *s = &r->step[i];
        json_array_append_new(all, json_pack("{s:s, s:b, s:s, s:I}", "name", s->name, "ok", s->ok, "text",
                                             s->text, "ms", (json_int_t)s->ms));
    }
    root = json_pack("{s:s, s:s, s:s*, s:o}", "verdict", verdict(r, lacks), "engine", engine, "lacks", lacks,
                     "steps", all);
    *out = json_dumps(root, JSON_INDENT(1));
    json_decref(root);
    return *out ? 0 : -ENOMEM;
}

// ---- JUnit

// What XML cannot hold is left out: control characters; octets above 127 are no part of our own words, and
// what a program has said may be cut in the middle of one.
static void put_xml(FILE *f, const char *text)
{
    for (const char *p = text; *p; p++) {
        switch (*p) {
        case '&': fputs("&amp;", f); break;
        case '<': fputs("&lt;", f); break;
        case '>': fputs("&gt;", f); break;
        case '"': fputs("&quot;", f); break;
        case '\n':
        case '\t': fputs(" ", f); break;
        default:
            if (*p >= 32 && *p < 127)
                fputc(*p, f);
        }
    }
}

static void put_case(FILE *f, const char *name, const char *engine, uint64_t ms)
{
    fputs("    <testcase classname=\"espalier.pair.", f);
    put_xml(f, engine);
    fputs("\" name=\"", f);
    put_xml(f, name);
    fprintf(f, "\" time=\"%" PRIu64 ".%03" PRIu64 "\">", ms / 1000, ms % 1000);
}

static void put_word(FILE *f, const char *element, const char *text)
{
    fprintf(f, "<%s message=\"", element);
    put_xml(f, text);
    fputs("\"/>", f);
}

static void put_step(FILE *f, const struct report_step *s, const char *engine)
{
    put_case(f, s->name, engine, s->ms);
    if (s->ok) {
        fputs("<system-out>", f);
        put_xml(f, s->text);
        fputs("</system-out>", f);
    } else {
        put_word(f, "failure", s->text);
    }
    fputs("</testcase>\n", f);
}

bool report_junit(const struct pair_report *r, const char *engine, const char *lacks, const char *path)
{
    FILE *f = fopen(path, "w");
    uint64_t ms = told(r);
    if (!f)
        return false;
    fprintf(f,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"espalier-pair\" "
            "tests=\"%u\" failures=\"%u\" errors=\"0\" skipped=\"%d\" time=\"%" PRIu64 ".%03" PRIu64 "\">\n",
            r->count + (lacks != NULL), r->failed, lacks != NULL, ms / 1000, ms % 1000);
    for (unsigned i = 0; i < r->count; i++)
        put_step(f, &r->step[i], engine);
    if (lacks) {
        put_case(f, "what it needs", engine, 0);
        put_word(f, "skipped", lacks);
        fputs("</testcase>\n", f);
    }
    fputs("  </testsuite>\n</testsuites>\n", f);
    bool written = !ferror(f);
    return fclose(f) == 0 && written;
}
