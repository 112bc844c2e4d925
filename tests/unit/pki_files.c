// SPDX-License-Identifier: Apache-2.0
// See pki_files.h. What a command says goes to a file of the directory, and to the test's output where it
// fails.
#include "tests/unit/pki_files.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

enum { FILES_MAX = 4096, COMMAND_MAX = 4096 };

static char dir[64];
static void *kept[FILES_MAX];
static size_t kept_count;

void pki_files_begin(void)
{
    snprintf(dir, sizeof(dir), "/tmp/espalier-pki-XXXXXX");
    assert_non_null(mkdtemp(dir));
    kept_count = 0;
}

static int gone(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void pki_files_end(void)
{
    while (kept_count)
        free(kept[--kept_count]);
    nftw(dir, gone, 16, FTW_DEPTH | FTW_PHYS);
}

const char *pki_files_dir(void)
{
    return dir;
}

static int run(const char *fmt, va_list ap)
{
    char command[COMMAND_MAX], whole[COMMAND_MAX + 128];
    int n = vsnprintf(command, sizeof(command), fmt, ap);
    assert_true(n > 0 && (size_t)n < sizeof(command));
    snprintf(whole, sizeof(whole), "cd %s && { %s\n} >out.txt 2>&1 </dev/null", dir, command);
    return system(whole);
}

void pki_run(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int status = run(fmt, ap);
    va_end(ap);
    if (status) {
        struct slice said = pki_read("out.txt");
        print_error("%s\n%.*s\n", fmt, (int)said.len, (const char *)said.p);
        fail_msg("the command above ended with status %d", status);
    }
}

bool pki_try(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int status = run(fmt, ap);
    va_end(ap);
    return status == 0;
}

void pki_write(const char *name, const char *fmt, ...)
{
    char path[256];
    va_list ap;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    va_start(ap, fmt);
    vfprintf(f, fmt, ap);
    va_end(ap);
    fclose(f);
}

struct slice pki_read(const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s%s%s", name[0] == '/' ? "" : dir, name[0] == '/' ? "" : "/", name);
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("%s is not there", path);
    fseek(f, 0, SEEK_END);
    size_t len = (size_t)ftell(f);
    rewind(f);
    uint8_t *p = malloc(len + 1);
    assert_non_null(p);
    assert_int_equal(fread(p, 1, len, f), len);
    p[len] = 0;
    fclose(f);
    assert_true(kept_count < FILES_MAX);
    kept[kept_count++] = p;
    return slice_of(p, len);
}

size_t unhex(uint8_t *out, size_t cap, const char *hex)
{
    size_t n = 0;
    for (unsigned v; hex[0] && hex[1]; hex += 2) {
        assert_true(n < cap);
        assert_int_equal(sscanf(hex, "%2x", &v), 1);
        out[n++] = (uint8_t)v;
    }
    return n;
}
