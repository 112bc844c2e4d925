// SPDX-License-Identifier: Apache-2.0
#include "tests/rtl/replay_rig.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

char folder[] = "/tmp/espalier-replay-XXXXXX";
char output[4096];

int run(const char *fmt, ...)
{
    char command[1024], whole[1100];
    size_t n;
    va_list ap;
    FILE *p;

    va_start(ap, fmt);
    vsnprintf(command, sizeof(command), fmt, ap);
    va_end(ap);
    snprintf(whole, sizeof(whole), "( %s ) 2>&1", command);
    p = popen(whole, "r");
    assert_non_null(p);
    n = fread(output, 1, sizeof(output) - 1, p);
    output[n] = 0;
    while (fgetc(p) != EOF)
        ;
    int status = pclose(p);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void must_exit(int code, int expected)
{
    if (code != expected)
        fail_msg("exit %d, expected %d; output:\n%s", code, expected, output);
}

void must_say(const char *text)
{
    if (!strstr(output, text))
        fail_msg("got:\n%sexpected: %s", output, text);
}

int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

int teardown(void **state)
{
    (void)state;
    return run("rm -rf %s", folder);
}

char *slurp(const char *name, size_t *len)
{
    char path[128], *data;
    struct stat st = {0};
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "rb");
    if (!f || fstat(fileno(f), &st) != 0)
        fail_msg("%s is not there", path);
    data = malloc((size_t)st.st_size + 1);
    *len = fread(data, 1, (size_t)st.st_size, f);
    fclose(f);
    return data;
}

void must_be_same_file(const char *got, const char *expected, const char *what)
{
    size_t n, m, i;
    char *a = slurp(got, &n), *b = slurp(expected, &m);

    for (i = 0; i < n && i < m && a[i] == b[i]; i++)
        ;
    if (n != m || i != n)
        fail_msg("%s: %s has %zu octets, %s %zu; the first difference is at octet %zu", what, got, n,
                 expected, m, i);
    free(a);
    free(b);
}

json_t *load(const char *name)
{
    char path[128];
    json_error_t err;
    json_t *j;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    j = json_load_file(path, 0, &err);
    if (!j)
        fail_msg("%s: line %d: %s", path, err.line, err.text);
    return j;
}

void must_be_same_member(json_t *got, json_t *expected, const char *name, const char *what)
{
    json_t *a = json_object_get(got, name), *b = json_object_get(expected, name);

    if (!json_equal(a, b))
        fail_msg("%s: %s\ngot:      %s\nexpected: %s", what, name, json_dumps(a, JSON_COMPACT),
                 json_dumps(b, JSON_COMPACT));
}

// Raw IP packets of one size from 10.0.0.1, to 10.1.0.0, 10.1.0.1 ... (as many destinations as there are
// SAs).
void write_traffic(unsigned packets, unsigned size, unsigned sas)
{
    static const uint8_t header[24] = {0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, [18] = 4, [20] = 101};
    uint8_t record[16 + 9600] = {
        [8] = (uint8_t)size, [9] = (uint8_t)(size >> 8), [12] = (uint8_t)size, [13] = (uint8_t)(size >> 8)};
    uint8_t *ip = record + 16;
    char path[128];
    FILE *f;

    memcpy(ip, "\x45\0\0\0\0\0\x40\0\x40\x11\0\0\x0a\0\0\1\x0a\1", 18);
    ip[2] = (uint8_t)(size >> 8);
    ip[3] = (uint8_t)size;
    snprintf(path, sizeof(path), "%s/in.pcap", folder);
    f = fopen(path, "wb");
    assert_non_null(f);
    fwrite(header, 1, sizeof(header), f);
    for (unsigned i = 0; i < packets; i++) {
        ip[18] = (uint8_t)(i % sas >> 8);
        ip[19] = (uint8_t)(i % sas);
        fwrite(record, 1, 16 + size, f);
    }
    fclose(f);
}

void write_capture(unsigned packets)
{
    write_traffic(packets, 46, 1);
}

void write_sas(unsigned sas)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof(path), "%s/sad", folder);
    f = fopen(path, "w");
    assert_non_null(f);
    for (unsigned i = 0; i < sas; i++)
        fprintf(
            f,
            "xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi %u reqid %u mode tunnel replay-window 64 "
            "aead 'rfc4106(gcm(aes))' 0x%032xcafebabe 128\n"
            "xfrm policy add dst 10.1.%u.%u dir out tmpl src 1.1.1.1 dst 2.2.2.2 proto esp mode tunnel reqid "
            "%u\n",
            1000 + i, i + 1, i + 1, i >> 8, i & 255, i + 1);
    fclose(f);
}

void write_sad(const char *more)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof(path), "%s/sad", folder);
    f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f,
            "xfrm state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 0x100 mode tunnel replay-window 32 "
            "aead 'rfc4106(gcm(aes))' 0x000102030405060708090a0b0c0d0e0fcafebabe 128\n"
            "xfrm policy add src 10.0.0.0/8 dst 10.1.0.0 dir out tmpl src 1.1.1.1 dst 2.2.2.2 proto esp mode "
            "tunnel\n"
            "%s",
            more);
    fclose(f);
}

struct wave wave_head(void)
{
    char path[128];
    uint8_t head[74];
    struct wave w = {0};
    struct stat st = {0};
    FILE *f;

    snprintf(path, sizeof(path), "%s/wave.fst", folder);
    assert_int_equal(stat(path, &st), 0);
    f = fopen(path, "rb");
    assert_int_equal(fread(head, 1, sizeof(head), f), sizeof(head));
    fclose(f);
    assert_int_equal(head[0], 0); // a header block
    w.size = st.st_size;
    for (int i = 0; i < 8; i++) {
        w.start = w.start << 8 | head[9 + i];
        w.end = w.end << 8 | head[17 + i];
    }
    w.unit = (int8_t)head[73];
    return w;
}

void replay(const char *engine)
{
    must_exit(run(ESPALIER_SIM
                  " replay --sad %s/sad --in %s/in.pcap --out %s/out.pcap --json %s/stats.json %s",
                  folder, folder, folder, folder, engine),
              0);
}

void replay_example(const char *engine)
{
    must_exit(run(ESPALIER_SIM " replay --engine %s --sad " EXAMPLES "/example.sad --in " EXAMPLES
                               "/example.pcap --out %s/%s.pcap --json %s/stats.json",
                  engine, folder, engine, folder),
              0);
}
