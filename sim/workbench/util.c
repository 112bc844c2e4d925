// SPDX-License-Identifier: Apache-2.0
// Small things that all workbench commands share: exit codes, files, hexadecimal, big-endian numbers and the
// tally that vector runs end with.
#include "sim/workbench/util.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int wb_report(const struct esp_error *err)
{
    if (err->field[0])
        fprintf(stderr, "espalier-sim: %s: %s\n", err->field, err->text);
    else
        fprintf(stderr, "espalier-sim: %s\n", err->text);
    switch (err->code) {
    case -EIO:
    case -ENOSPC:
    case -EDQUOT:
    case -EFBIG:
    case -EPROTO:
    case -ETIMEDOUT:
    case -ENOMEM: return WB_FAILED;
    case -EACCES:
    case -EPERM:
    case -ENODEV: return WB_MISSING;
    default: return WB_USAGE;
    }
}

static _Atomic(char *) temporaries[4];

// The handler is gone after its first call (SA_RESETHAND): the signal then ends the program as usual.
static void remove_temporaries(int number)
{
    for (size_t i = 0; i < sizeof(temporaries) / sizeof(temporaries[0]); i++) {
        const char *path = atomic_load(&temporaries[i]);
        if (path)
            unlink(path);
    }
    raise(number);
}

static void catch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    static bool caught;

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && !caught; i++) {
        struct sigaction now, old;
        memset(&now, 0, sizeof(now));
        now.sa_handler = remove_temporaries;
        now.sa_flags = (int)SA_RESETHAND;
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL) // nohup's stay ignored
            sigaction(numbers[i], &now, NULL);
    }
    caught = true;
}

void wb_temporary_add(char *path)
{
    catch_signals();
    for (size_t i = 0; i < sizeof(temporaries) / sizeof(temporaries[0]); i++) {
        char *none = NULL;
        if (atomic_compare_exchange_strong(&temporaries[i], &none, path))
            return;
    }
}

void wb_temporary_done(const char *path)
{
    for (size_t i = 0; i < sizeof(temporaries) / sizeof(temporaries[0]); i++)
        if (atomic_load(&temporaries[i]) == path)
            atomic_store(&temporaries[i], NULL);
}

FILE *wb_temporary_open(char *name)
{
    mode_t mask = umask(0);
    int fd;

    umask(mask);
    wb_temporary_add(name);
    fd = mkstemp(name);
    if (fd < 0)
        return NULL;
    (void)fchmod(fd, 0666 & ~mask);
    return fdopen(fd, "wb");
}

char *wb_target(const char *path)
{
    struct stat st;
    char *target = NULL;

    if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode))
        target = realpath(path, NULL);
    return target ? target : strdup(path);
}

static char *slurp(FILE *f, size_t *len)
{
    size_t cap = 1 << 16;
    char *buf = malloc(cap);

    *len = 0;
    while (buf) {
        *len += fread(buf + *len, 1, cap - *len - 1, f);
        if (*len < cap - 1)
            break;
        char *bigger = realloc(buf, cap *= 2);
        if (!bigger)
            free(buf);
        buf = bigger;
    }
    if (buf)
        buf[*len] = 0;
    return buf;
}

char *wb_read_file(const char *path, size_t *len, struct esp_error *err)
{
    FILE *f = fopen(path, "rb");
    char *buf;

    if (!f) {
        esp_fail(err, -errno, path, "cannot be opened: %s", strerror(errno));
        return NULL;
    }
    errno = 0;
    buf = slurp(f, len);
    if (ferror(f)) {
        esp_fail(err, errno == EISDIR ? -EISDIR : -EIO, path, "cannot be read: %s", strerror(errno));
        free(buf);
        buf = NULL;
    } else if (!buf) {
        esp_fail(err, -ENOMEM, path, "does not fit into memory");
    }
    fclose(f);
    return buf;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int wb_hex(const char *s, uint8_t *out, size_t cap, size_t *len)
{
    *len = 0;
    for (; *s; s += 2) {
        int hi = digit(s[0]), lo = hi < 0 ? -1 : digit(s[1]);
        if (lo < 0)
            return -EINVAL;
        if (*len == cap)
            return -ENOSPC;
        out[(*len)++] = (uint8_t)(hi << 4 | lo);
    }
    return 0;
}

uint8_t *wb_hex_dup(const char *s, size_t *len)
{
    size_t cap = strlen(s) / 2;
    uint8_t *out = malloc(cap + 1);

    if (out && wb_hex(s, out, cap, len) != 0) {
        free(out);
        return NULL;
    }
    return out;
}

uint16_t wb_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

uint32_t wb_get32(const uint8_t *p)
{
    return (uint32_t)wb_get16(p) << 16 | wb_get16(p + 2);
}

uint64_t wb_get64(const uint8_t *p)
{
    return (uint64_t)wb_get32(p) << 32 | wb_get32(p + 4);
}

void wb_put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

void wb_put32(uint8_t *p, uint32_t v)
{
    wb_put16(p, (uint16_t)(v >> 16));
    wb_put16(p + 2, (uint16_t)v);
}

void wb_skip(struct wb_tally *t, const char *fmt, ...)
{
    char text[sizeof(t->reasons[0].text)];
    va_list ap;
    unsigned i;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    t->skipped++;
    for (i = 0; i < t->n_reasons && strcmp(t->reasons[i].text, text) != 0; i++)
        ;
    if (i == t->n_reasons && i == WB_REASONS) { // the last line gathers what found no line of its own
        i = WB_REASONS - 1;
        snprintf(t->reasons[i].text, sizeof(text), "other reasons");
    } else if (i == t->n_reasons) {
        snprintf(t->reasons[t->n_reasons++].text, sizeof(text), "%s", text);
    }
    t->reasons[i].count++;
}

int wb_tally_print(const struct wb_tally *t)
{
    if (t->software_only)
        printf("%" PRIu64 " of those that passed are AES-192 or ChaCha20-Poly1305: software only\n",
               t->software_only);
    for (unsigned i = 0; i < t->n_reasons; i++)
        printf("skipped %6" PRIu64 ": %s\n", t->reasons[i].count, t->reasons[i].text);
    printf("%" PRIu64 " passed, %" PRIu64 " failed, %" PRIu64 " skipped\n", t->passed, t->failed, t->skipped);
    return t->failed ? WB_FAILED : WB_DONE;
}
